--- A statement whose table was renamed since it was prepared does not run, and changes() stays.
-- differential: in a file, one connection
-- pragmas: PRAGMA page_size=512; PRAGMA journal_mode=persist; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=1; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key DECIMAL(10,5), v INTEGER, w TEXT, x BLOB, y DOUBLE, path='k', synchronous=off, segment_bytes='64KB', max_segment_bytes='64KB', fanout=3, tiers=4, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k(key DECIMAL(10,5) NOT NULL PRIMARY KEY, v INTEGER, w TEXT, x BLOB, y DOUBLE) WITHOUT ROWID;
-- run, schema: setup
CREATE VIRTUAL TABLE k2 USING kv(key BLOB, v INTEGER, w NUMERIC, path='main.db-kv/k2', synchronous=off, segment_bytes='64KB', max_segment_bytes='128KB', fanout=4, tiers=1, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k2(key BLOB NOT NULL PRIMARY KEY, v INTEGER, w NUMERIC) WITHOUT ROWID;
-- run: insert select
INSERT OR REPLACE INTO k2 WITH RECURSIVE c(i) AS (SELECT 25 UNION ALL SELECT i + 1 FROM c WHERE i < 179) SELECT i * 7 % 400, hex(zeroblob(162)) || i, i FROM c;
-- run, schema: schema
ALTER TABLE k2 RENAME TO k2_moved;
-- run, schema: schema
DELETE FROM k;
DROP TABLE k;
CREATE VIRTUAL TABLE k USING kv(key DECIMAL(10,5), v INTEGER, w TEXT, x BLOB, y DOUBLE, path='k', synchronous=off, segment_bytes='64KB', max_segment_bytes='512KB', fanout=4, tiers=2, garbage_ratio=0.05, auto_compact=on);
-- ordinary
DELETE FROM k;
DROP TABLE k;
CREATE TABLE k(key DECIMAL(10,5) NOT NULL PRIMARY KEY, v INTEGER, w TEXT, x BLOB, y DOUBLE) WITHOUT ROWID;
-- run: insert select
INSERT OR REPLACE INTO k2 WITH RECURSIVE c(i) AS (SELECT 25 UNION ALL SELECT i + 1 FROM c WHERE i < 179) SELECT i * 7 % 400, hex(zeroblob(162)) || i, i FROM c;
