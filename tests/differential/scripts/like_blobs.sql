--- Where LIKE matches blobs (SQLite's own default), it does so although it tells A from a.
-- differential: in a file
-- pragmas: PRAGMA page_size=4096; PRAGMA journal_mode=truncate; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=1; PRAGMA case_sensitive_like=1; PRAGMA automatic_index=0
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key , v DOUBLE, w DOUBLE, path='k', synchronous=off, segment_bytes='64KB', max_segment_bytes='64KB', fanout=3, tiers=2, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k(key  NOT NULL PRIMARY KEY, v DOUBLE, w DOUBLE) WITHOUT ROWID;
-- run, schema: setup
CREATE VIRTUAL TABLE k_again USING kv(key , v DOUBLE, w DOUBLE, path='k', synchronous=normal, segment_bytes='64KB', max_segment_bytes='256KB', fanout=3, tiers=1, garbage_ratio=0.05, auto_compact=on);
-- ordinary
SELECT 1 WHERE 0;
-- run: insert
INSERT INTO k_again(key, v, w) VALUES ('k09', NULL, 26), (x'61', 35, zeroblob(95));
-- run, reads: pattern
SELECT * FROM k_again WHERE key LIKE 'a%';
