--- Integers beyond 2^53 are different keys, and lie between reals.
-- differential: in a file
-- pragmas: PRAGMA page_size=4096; PRAGMA journal_mode=delete; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=0; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE k2 USING kv(key INTEGER, v DECIMAL(10,5), path='main.db-kv/k2', synchronous=full, segment_bytes='64KB', max_segment_bytes='128KB', fanout=3, tiers=3, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k2(key INTEGER NOT NULL PRIMARY KEY, v DECIMAL(10,5)) WITHOUT ROWID;
-- run: insert
INSERT INTO k2 VALUES (x'6162', NULL), (123456789012345678, 55);
-- run, ordered, reads: content
SELECT * FROM k2 ORDER BY key;
