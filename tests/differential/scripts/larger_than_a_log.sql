--- A transaction that does not fit the log moves to the next one, in whole.
-- differential: in a file
-- pragmas: PRAGMA page_size=8192; PRAGMA journal_mode=delete; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=1; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key REAL, v BLOB, w BLOB, x INTEGER, path='k', synchronous=full, segment_bytes='64KB', max_segment_bytes='512KB', fanout=4, tiers=2, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k(key REAL NOT NULL PRIMARY KEY, v BLOB, w BLOB, x INTEGER) WITHOUT ROWID;
-- run: replace
INSERT OR REPLACE INTO k(key) VALUES (12.0);
-- run: insert select
INSERT OR REPLACE INTO k WITH RECURSIVE c(i) AS (SELECT 14 UNION ALL SELECT i + 1 FROM c WHERE i < 132) SELECT i * 7 % 400, hex(zeroblob(348)) || i, i, i FROM c;
-- run, ordered, reads: content
SELECT * FROM k ORDER BY key;
