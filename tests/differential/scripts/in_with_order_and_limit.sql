--- Old versions of SQLite skip rows of an ordinary table that IN selects (OP_SeekScan).
-- differential: in a file
-- pragmas: PRAGMA page_size=1024; PRAGMA journal_mode=delete; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=0; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=0
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key INTEGER, v INTEGER, w REAL NOT NULL, path='k', synchronous=off, segment_bytes='64KB', max_segment_bytes='128KB', fanout=2, tiers=1, garbage_ratio=0.35, auto_compact=off);
-- ordinary
CREATE TABLE k(key INTEGER NOT NULL PRIMARY KEY, v INTEGER, w REAL NOT NULL) WITHOUT ROWID;
-- run, schema: setup
CREATE VIRTUAL TABLE att.k3 USING kv(key BLOB, v REAL, w NUMERIC, path='k3', synchronous=full, segment_bytes='64KB', max_segment_bytes='256KB', fanout=3, tiers=3, garbage_ratio=0.05, auto_compact=off);
-- ordinary
CREATE TABLE att.k3(key BLOB NOT NULL PRIMARY KEY, v REAL, w NUMERIC) WITHOUT ROWID;
-- run: insert
INSERT OR IGNORE INTO k(key, v, w) VALUES (2, 'a*b', NULL), (18, NULL, '2024-01'), (25, NULL, 9), (-1, '2024-02', zeroblob(11322)), (24, -8, hex(zeroblob(15)));
-- run, schema: schema
ANALYZE;
-- run: insert select
INSERT OR REPLACE INTO att.k3 WITH RECURSIVE c(i) AS (SELECT 18 UNION ALL SELECT i + 1 FROM c WHERE i < 140) SELECT i * 7 % 400, hex(zeroblob(489)) || i, i FROM c;
-- run: insert select
INSERT OR REPLACE INTO k WITH RECURSIVE c(i) AS (SELECT 25 UNION ALL SELECT i + 1 FROM c WHERE i < 181) SELECT i * 7 % 400, hex(zeroblob(221)) || i, i FROM c;
-- run, ordered, reads: list
SELECT * FROM k WHERE key IN (SELECT key FROM att.k3) ORDER BY v, key LIMIT 4;
