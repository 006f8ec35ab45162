--- A row that gets a new key leaves its old one.
-- differential: in a file
-- pragmas: PRAGMA page_size=8192; PRAGMA journal_mode=delete; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=1; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE temp.kt USING kv(key VARCHAR(9), v TEXT, synchronous=off, segment_bytes='64KB', max_segment_bytes='64KB', fanout=4, tiers=1, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TEMP TABLE kt(key VARCHAR(9) NOT NULL PRIMARY KEY, v TEXT) WITHOUT ROWID;
-- run: insert
INSERT INTO kt(key, v) VALUES ('k10', (CAST(x'6100' AS TEXT) || ''));
-- run: update key
UPDATE OR IGNORE kt SET key = 'k' || abs(key % 50);
-- run, ordered, reads: content
SELECT * FROM temp.kt ORDER BY key DESC;
