--- A commit that a hook refused does not come back after a crash.
-- differential: in a file
-- pragmas: PRAGMA page_size=8192; PRAGMA journal_mode=delete; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=1; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key REAL, v BLOB, w BLOB, x INTEGER, path='k', synchronous=full, segment_bytes='64KB', max_segment_bytes='512KB', fanout=4, tiers=2, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k(key REAL NOT NULL PRIMARY KEY, v BLOB, w BLOB, x INTEGER) WITHOUT ROWID;
-- run, schema: setup
CREATE TABLE o(id INTEGER PRIMARY KEY, a REAL UNIQUE, b, t TEXT, n INTEGER);
-- run, schema: setup
CREATE TRIGGER o_insert AFTER INSERT ON o BEGIN INSERT OR FAIL INTO k VALUES(new.a, new.b, 1, 1); SELECT RAISE(IGNORE) WHERE new.n = 13; END;
-- run: setup
INSERT OR IGNORE INTO o(a, b, t, n) VALUES(30, 39, 7, 4);
-- open, second, reads: cursor
SELECT * FROM k ORDER BY key DESC;
-- run: update
UPDATE OR FAIL k SET v = '日本';
-- crash, all: crash
-- run, ordered, reads: content
SELECT * FROM k ORDER BY key;
