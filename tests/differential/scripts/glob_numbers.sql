--- A pattern may match numbers, which lie apart from texts.
-- differential: in a file
-- pragmas: PRAGMA page_size=4096; PRAGMA journal_mode=persist; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=0; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key REAL, v , w REAL, x NUMERIC, y REAL, path='k', synchronous=full, segment_bytes='64KB', max_segment_bytes='128KB', fanout=3, tiers=2, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k(key REAL NOT NULL PRIMARY KEY, v , w REAL, x NUMERIC, y REAL) WITHOUT ROWID;
-- run, schema: setup
CREATE TABLE o(id INTEGER PRIMARY KEY, a REAL UNIQUE, b, t TEXT, n INTEGER);
-- run, schema: setup
CREATE TRIGGER o_insert AFTER INSERT ON o BEGIN INSERT OR IGNORE INTO k VALUES(new.a, new.b, 1, 1, 1); SELECT RAISE(IGNORE) WHERE new.n = 13; END;
-- run: setup
INSERT OR IGNORE INTO o(a, b, t, n) VALUES(-6, 32, -4, 13);
-- run: delete
DELETE FROM k WHERE key GLOB '-*';
