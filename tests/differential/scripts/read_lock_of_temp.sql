--- What a failed statement has locked of temp is nobody else's business.
-- differential: in a file
-- pragmas: PRAGMA page_size=8192; PRAGMA journal_mode=memory; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=0; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=0
-- run, schema: setup
CREATE VIRTUAL TABLE k2 USING kv(key VARCHAR(9), v TEXT, w REAL NOT NULL, x BLOB, y DOUBLE, path='main.db-kv/k2', synchronous=off, segment_bytes='64KB', max_segment_bytes='512KB', fanout=4, tiers=3, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k2(key VARCHAR(9) NOT NULL PRIMARY KEY, v TEXT, w REAL NOT NULL, x BLOB, y DOUBLE) WITHOUT ROWID;
-- run, schema: setup
CREATE VIRTUAL TABLE temp.kt USING kv(key , v NUMERIC, w INTEGER, x NUMERIC NOT NULL, y NUMERIC, synchronous=off, segment_bytes='64KB', max_segment_bytes='64KB', fanout=3, tiers=4, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TEMP TABLE kt(key  NOT NULL PRIMARY KEY, v NUMERIC, w INTEGER, x NUMERIC NOT NULL, y NUMERIC) WITHOUT ROWID;
-- run, schema: setup
CREATE TABLE o(id INTEGER PRIMARY KEY, a BLOB UNIQUE, b, t TEXT, n INTEGER);
-- run, schema: schema
ALTER TABLE k2 RENAME TO k2_moved;
-- run, second: transaction
BEGIN EXCLUSIVE;
-- run: transaction
BEGIN;
-- run, ordered, reads: aggregate
SELECT quote(min(key)) FROM temp.kt WHERE key IN (SELECT n + 0 FROM o);
-- run: savepoint
SAVEPOINT s3;
