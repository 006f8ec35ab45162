--- A transaction finds its own writes by lookups, too.
-- differential: in a file
-- pragmas: PRAGMA page_size=4096; PRAGMA journal_mode=delete; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=0; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key REAL, v NUMERIC, w  NOT NULL, x REAL NOT NULL, path='k', synchronous=normal, segment_bytes='64KB', max_segment_bytes='64KB', fanout=4, tiers=1, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k(key REAL NOT NULL PRIMARY KEY, v NUMERIC, w  NOT NULL, x REAL NOT NULL) WITHOUT ROWID;
-- run, schema: setup
CREATE TABLE fixed(id INTEGER PRIMARY KEY, a REAL UNIQUE, b, t TEXT, n INTEGER);
-- run: insert
INSERT INTO k(key, v, w, x) VALUES (x'', 51, 59, zeroblob(57));
-- run: transaction
BEGIN IMMEDIATE;
-- run: insert select
INSERT OR REPLACE INTO k SELECT key, (SELECT min(fixed.id) FROM fixed WHERE fixed.a < key), quote(substr(w, 1, 20)), w IS NULL FROM k ORDER BY key LIMIT 13;
-- run: update from
UPDATE k AS z SET v = a.v FROM k AS a WHERE a.key = z.key;
-- run, ordered, reads: content
SELECT * FROM k ORDER BY key;
