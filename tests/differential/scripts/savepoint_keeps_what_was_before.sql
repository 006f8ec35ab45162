--- ROLLBACK TO takes back what came after, and no more.
-- differential: in a file
-- pragmas: PRAGMA page_size=8192; PRAGMA journal_mode=delete; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=1; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE att.k3 USING kv(key NUMERIC, v REAL, w , x VARCHAR(9), path='k3', synchronous=off, segment_bytes='64KB', max_segment_bytes='256KB', fanout=2, tiers=3, garbage_ratio=0.35, auto_compact=on);
-- ordinary
CREATE TABLE att.k3(key NUMERIC NOT NULL PRIMARY KEY, v REAL, w , x VARCHAR(9)) WITHOUT ROWID;
-- run: transaction
BEGIN;
-- run: insert select
INSERT OR REPLACE INTO att.k3 WITH RECURSIVE c(i) AS (SELECT 8 UNION ALL SELECT i + 1 FROM c WHERE i < 154) SELECT i * 7 % 400, hex(zeroblob(462)) || i, i, i FROM c;
-- run: insert
INSERT INTO att.k3(key) VALUES (4), (NULL);
-- run: update
UPDATE att.k3 SET v = hex(zeroblob(1336)) || key;
