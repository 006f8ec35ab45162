--- Of two versions of a row, the newer one counts.
-- differential: in a file
-- pragmas: PRAGMA page_size=8192; PRAGMA journal_mode=delete; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=1; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key REAL, v BLOB, w BLOB, x INTEGER, path='k', synchronous=full, segment_bytes='64KB', max_segment_bytes='512KB', fanout=4, tiers=2, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k(key REAL NOT NULL PRIMARY KEY, v BLOB, w BLOB, x INTEGER) WITHOUT ROWID;
-- run, schema: setup
CREATE VIRTUAL TABLE k_again USING kv(key REAL, v BLOB, w BLOB, x INTEGER, path='k', synchronous=normal, segment_bytes='64KB', max_segment_bytes='512KB', fanout=4, tiers=3, garbage_ratio=0.05, auto_compact=on);
-- ordinary
SELECT 1 WHERE 0;
-- run: insert
INSERT INTO k_again VALUES ('1e1', hex(zeroblob(45)), hex(zeroblob(49)), 2147483648);
-- run: update
UPDATE OR REPLACE k SET w = v / 2;
-- run: update
UPDATE OR ABORT k_again SET w = CAST(substr(w, 1, 70) AS TEXT);
