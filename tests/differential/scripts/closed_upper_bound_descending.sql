--- key <= b in descending order begins with b.
-- differential: in memory, one connection
-- pragmas: PRAGMA page_size=1024; PRAGMA journal_mode=delete; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=1; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key DOUBLE, v BLOB, synchronous=off, segment_bytes='64KB', max_segment_bytes='512KB', fanout=2, tiers=2, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k(key DOUBLE NOT NULL PRIMARY KEY, v BLOB) WITHOUT ROWID;
-- run: insert select
INSERT OR REPLACE INTO k WITH RECURSIVE c(i) AS (SELECT 24 UNION ALL SELECT i + 1 FROM c WHERE i < 210) SELECT i * 7 % 400, hex(zeroblob(280)) || i FROM c;
-- run, ordered, reads: range
SELECT typeof(key), quote(key), v FROM k WHERE key BETWEEN -7 AND 32 ORDER BY key DESC NULLS LAST;
