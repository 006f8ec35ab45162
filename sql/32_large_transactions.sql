-- A transaction may be larger than a segment, than all segments, than memory. It is one transaction all the same.
CREATE VIRTUAL TABLE kv USING kv(id INTEGER, value, path='data', segment_bytes='64KB', auto_compact=off);
CREATE TABLE plain(id INTEGER PRIMARY KEY, value) WITHOUT ROWID;

BEGIN;
INSERT INTO kv SELECT value, printf('%0100d', value) FROM generate_series(1, 20000);
INSERT INTO plain SELECT * FROM kv;
SELECT count(*), min(id), max(id) FROM kv;
-- Others see nothing of it yet.
.connection 1
.open :memory:
.load kv
CREATE VIRTUAL TABLE kv USING kv(id INTEGER, value, path='data');
SELECT count(*) FROM kv;
.connection 0

-- It reads, changes and deletes its own rows.
UPDATE kv SET value = 'changed' WHERE id % 1000 = 0;
DELETE FROM kv WHERE id BETWEEN 5001 AND 15000;
UPDATE plain SET value = 'changed' WHERE id % 1000 = 0;
DELETE FROM plain WHERE id BETWEEN 5001 AND 15000;
SELECT id, value FROM kv WHERE id IN (1000, 5000, 5001, 15000, 15001, 20000);
SELECT * FROM kv EXCEPT SELECT * FROM plain;
SELECT count(*) FROM kv;

-- Savepoints reach back across segments.
SAVEPOINT one;
INSERT OR REPLACE INTO kv SELECT value, 'new' FROM generate_series(1, 30000);
SELECT count(*), count(*) FILTER (WHERE value = 'new') FROM kv;
ROLLBACK TO one;
SELECT count(*), count(*) FILTER (WHERE value = 'new') FROM kv;
-- A statement that fails in its last row takes all of its rows back.
INSERT INTO kv SELECT CASE value WHEN 9000 THEN 1 ELSE 100000 + value END, 'x' FROM generate_series(1, 9000);
SELECT count(*) FROM kv;
COMMIT;

SELECT (SELECT count(*) FROM (SELECT * FROM kv EXCEPT SELECT * FROM plain)),
       (SELECT count(*) FROM (SELECT * FROM plain EXCEPT SELECT * FROM kv));
.connection 1
SELECT count(*), min(id), max(id) FROM kv;
.connection 0
SELECT * FROM kv_check('kv');

-- A rollback leaves nothing behind.
BEGIN;
DELETE FROM kv;
INSERT INTO kv SELECT value, zeroblob(1000) FROM generate_series(1, 5000);
ROLLBACK;
SELECT count(*) FROM kv;
SELECT * FROM kv_check('kv');
SELECT kv_compact('kv') > 0;
SELECT count(*), min(id), max(id) FROM kv;
SELECT stat, value FROM kv_stats('kv') WHERE stat IN ('records', 'tombstones', 'runs', 'last_seq');
