-- Compaction in parts: each call does about as much as its budget says, and tells how many bytes are still to be rewritten.
CREATE VIRTUAL TABLE kv USING kv(id INTEGER, value, path='data', segment_bytes='64KB', max_segment_bytes='64KB', auto_compact=off);
CREATE TABLE plain(id INTEGER PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO plain SELECT value, printf('%0100d', value) FROM generate_series(1, 5000);
INSERT INTO kv SELECT * FROM plain;
UPDATE kv SET value = 'new' WHERE id % 3 = 0;
UPDATE plain SET value = 'new' WHERE id % 3 = 0;
DELETE FROM kv WHERE id BETWEEN 1000 AND 2000;
DELETE FROM plain WHERE id BETWEEN 1000 AND 2000;

SELECT kv_compact('kv', '100KB') > 0;
-- What is merged and what is not are one table.
SELECT DISTINCT state FROM kv_segments('kv') ORDER BY state;
-- How far it has come: what was written, and what is still to be read.
SELECT stat, value > 0 FROM kv_stats('kv') WHERE stat GLOB 'merge_*';
SELECT DISTINCT reason GLOB 'merge [1-9]*: [1-9]* bytes written, [1-9]* to read' FROM kv_segments('kv') WHERE state = 'merging';
SELECT (SELECT count(*) FROM (SELECT * FROM kv EXCEPT SELECT * FROM plain)),
       (SELECT count(*) FROM (SELECT * FROM plain EXCEPT SELECT * FROM kv));
SELECT * FROM kv_check('kv');

-- Others write meanwhile, and another process goes on with it.
INSERT OR REPLACE INTO kv SELECT value, 'late' FROM generate_series(4900, 5100);
INSERT OR REPLACE INTO plain SELECT value, 'late' FROM generate_series(4900, 5100);
.shell kvsql test.db "SELECT kv_compact('kv', '100KB') > 0"
SELECT (SELECT count(*) FROM (SELECT * FROM kv EXCEPT SELECT * FROM plain)),
       (SELECT count(*) FROM (SELECT * FROM plain EXCEPT SELECT * FROM kv));
WITH RECURSIVE again(left_bytes, calls) AS (
  SELECT kv_compact('kv', '100KB'), 1 UNION ALL SELECT kv_compact('kv', '100KB'), calls + 1 FROM again WHERE left_bytes > 0)
SELECT count(*) > 1, min(left_bytes) FROM again;
SELECT (SELECT count(*) FROM (SELECT * FROM kv EXCEPT SELECT * FROM plain)),
       (SELECT count(*) FROM (SELECT * FROM plain EXCEPT SELECT * FROM kv));
SELECT kv_compact('kv', '1s'), kv_compact('kv') >= 0, kv_compact('kv', 1000000);
SELECT count(DISTINCT run) FROM kv_segments('kv') WHERE state <> 'active';
SELECT stat, value FROM kv_stats('kv') WHERE stat GLOB 'merge_*';
SELECT * FROM kv_check('kv');

-- A budget is a size or a time.
SELECT kv_compact('kv', 'much');
SELECT kv_compact('kv', NULL);
SELECT kv_compact('kv', '0MB');
SELECT kv_compact(NULL, '1MB');
SELECT kv_compact('kv', '1MB', 1);
