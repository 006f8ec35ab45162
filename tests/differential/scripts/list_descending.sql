--- An IN list in descending order.
-- differential: in a file
-- pragmas: PRAGMA page_size=8192; PRAGMA journal_mode=delete; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=1; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key REAL, v BLOB, w BLOB, x INTEGER, path='k', synchronous=full, segment_bytes='64KB', max_segment_bytes='512KB', fanout=4, tiers=2, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k(key REAL NOT NULL PRIMARY KEY, v BLOB, w BLOB, x INTEGER) WITHOUT ROWID;
-- run: insert select
INSERT OR REPLACE INTO k WITH RECURSIVE c(i) AS (SELECT 15 UNION ALL SELECT i + 1 FROM c WHERE i < 113) SELECT i * 7 % 400, hex(zeroblob(335)) || i, i, i FROM c;
-- run, ordered, reads: list
SELECT key, substr(v || 'x', 1, 200) FROM k WHERE key IN (SELECT key FROM k) ORDER BY key DESC NULLS LAST;
