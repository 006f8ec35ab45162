--- A cursor does not show rows of its transaction that were rolled back.
-- differential: in a file
-- pragmas: PRAGMA page_size=4096; PRAGMA journal_mode=persist; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=0; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key REAL, v , w REAL, x NUMERIC, y REAL, path='k', synchronous=full, segment_bytes='64KB', max_segment_bytes='128KB', fanout=3, tiers=2, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k(key REAL NOT NULL PRIMARY KEY, v , w REAL, x NUMERIC, y REAL) WITHOUT ROWID;
-- run, schema: setup
CREATE VIRTUAL TABLE k_again USING kv(key REAL, v , w REAL, x NUMERIC, y REAL, path='k', synchronous=off, segment_bytes='64KB', max_segment_bytes='128KB', fanout=2, tiers=2, garbage_ratio=0.35, auto_compact=on);
-- ordinary
SELECT 1 WHERE 0;
-- run: savepoint
SAVEPOINT s2;
-- run: insert select
INSERT OR REPLACE INTO k WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 102) SELECT i * 7 % 400, hex(zeroblob(158)) || i, i, i, i FROM c;
-- run: update
UPDATE k SET v = hex(zeroblob(807)) || key;
-- run, reads: range
SELECT v, key FROM k_again WHERE key <= 0.0;
-- run: replace
REPLACE INTO k VALUES (29, 43, 37, x'757365723a31', (hex(zeroblob(1308)) || 'end')), (('user:' || char(0)), (hex(zeroblob(17)) || 'end'), replace(hex(zeroblob(24)), '00', 'abc'), hex(zeroblob(43)), x'ff');
-- run: insert select
INSERT OR REPLACE INTO k WITH RECURSIVE c(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM c WHERE i < 23) SELECT i * 7 % 400, hex(zeroblob(2760)) || i, i, i, i FROM c;
-- open, slot 2, reads: cursor
SELECT * FROM k ORDER BY key DESC;
-- run: transaction
ROLLBACK;
-- step, slot 2, count 6: cursor
