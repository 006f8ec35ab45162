--- ROLLBACK TO a savepoint from before the table joined the transaction takes all back.
-- differential: in a file
-- pragmas: PRAGMA page_size=4096; PRAGMA journal_mode=truncate; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=0; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE temp.kt USING kv(key DECIMAL(10,5), v NUMERIC, w DOUBLE, x NUMERIC NOT NULL, y REAL, synchronous=off, segment_bytes='64KB', max_segment_bytes='256KB', fanout=4, tiers=3, garbage_ratio=0.35, auto_compact=off);
-- ordinary
CREATE TEMP TABLE kt(key DECIMAL(10,5) NOT NULL PRIMARY KEY, v NUMERIC, w DOUBLE, x NUMERIC NOT NULL, y REAL) WITHOUT ROWID;
-- run: transaction
BEGIN;
-- run: savepoint
SAVEPOINT s3;
-- run: insert
INSERT INTO temp.kt VALUES (-6, '2024-01', '1.0', replace(hex(zeroblob(27)), '00', 'abc'), 'a');
-- run: savepoint
SAVEPOINT s2;
-- run: savepoint
ROLLBACK TO s3;
-- run, ordered, reads: content
SELECT * FROM temp.kt ORDER BY key;
