--- A cursor does not show what was committed after its start.
-- differential: in a file, WAL
-- pragmas: PRAGMA page_size=512; PRAGMA journal_mode=wal; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=1; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key BLOB, v VARCHAR(9), w BLOB, x INTEGER, y BIGINT, path='k', synchronous=normal, segment_bytes='64KB', max_segment_bytes='256KB', fanout=4, tiers=1, garbage_ratio=0.05, auto_compact=on);
-- ordinary
CREATE TABLE k(key BLOB NOT NULL PRIMARY KEY, v VARCHAR(9), w BLOB, x INTEGER, y BIGINT) WITHOUT ROWID;
-- run, schema: setup
CREATE VIRTUAL TABLE k_again USING kv(key BLOB, v VARCHAR(9), w BLOB, x INTEGER, y BIGINT, path='k', synchronous=off, segment_bytes='64KB', max_segment_bytes='128KB', fanout=2, tiers=4, garbage_ratio=0.35, auto_compact=on);
-- ordinary
SELECT 1 WHERE 0;
-- run, schema: setup
CREATE TABLE fixed(id INTEGER PRIMARY KEY, a BLOB UNIQUE, b, t TEXT, n INTEGER);
-- run: setup
INSERT OR IGNORE INTO fixed(a, b, t, n) VALUES('k17', 'z', 8, 16);
-- run: setup
INSERT OR IGNORE INTO fixed(a, b, t, n) VALUES(6, 1, 1, 26);
-- run: insert
INSERT INTO k_again VALUES ('k23', NULL, 'ab', zeroblob(85), 33), ('k17', 73, replace(hex(zeroblob(30)), '00', 'abc'), hex(zeroblob(18)), -16);
-- run: insert select
INSERT OR REPLACE INTO k WITH RECURSIVE c(i) AS (SELECT 8 UNION ALL SELECT i + 1 FROM c WHERE i < 188) SELECT i * 7 % 400, hex(zeroblob(236)) || i, i, i, i FROM c;
-- run: transaction
BEGIN;
-- run: delete
DELETE FROM k_again WHERE NOT (key <= 36 AND key >= 'k37');
-- open, second, reads, refilters: cursor
SELECT a.id, z.* FROM fixed AS a CROSS JOIN k AS z ON z.key = a.a ORDER BY a.id;
-- run: transaction
END;
-- step, second, count 4: cursor
