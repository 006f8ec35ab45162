-- Automatic compaction: with `auto_compact=on`, the default, a background thread merges what the policy says.
-- Here fifty rows are overwritten again and again; the directory does not grow with that.
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes='64KB', synchronous=normal);
CREATE TABLE numbers AS SELECT value AS n FROM generate_series(1, 50);
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 1) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 2) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 3) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 4) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 5) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 6) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 7) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 8) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 9) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 10) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 11) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 12) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 13) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 14) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 15) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 16) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 17) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 18) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 19) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 20) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 21) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 22) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 23) FROM numbers;
REPLACE INTO kv SELECT printf('key%02d', n), printf('%01000d', n + 24) FROM numbers;
.read ../settle.sql
SELECT stat, value FROM kv_stats('kv') WHERE stat = 'last_seq';
SELECT stat, value > 0 FROM kv_stats('kv') WHERE stat = 'compactions';
SELECT sum(file_bytes) < 500000 FROM kv_segments('kv');
SELECT count(*), sum(value) - sum(substr(key, 4)) FROM kv;

-- A cursor that is open keeps reading what it began with, whatever is merged and unlinked meanwhile.
SELECT key, CASE key WHEN 'key01' THEN kv_compact('kv') >= 0 END AS compacted, value % 100 AS v
    FROM kv WHERE key IN ('key01', 'key02', 'key50') ORDER BY key;

-- Manual compaction: one table, or all of this connection.
CREATE VIRTUAL TABLE second USING kv(path='second', auto_compact=off);
INSERT INTO second VALUES('a', 1);
REPLACE INTO second VALUES('a', 2);
DELETE FROM kv WHERE key < 'key40';
SELECT kv_compact() >= 0;
SELECT name, stat, value FROM kv_stats WHERE stat IN ('dead_bytes', 'keys', 'tombstones', 'runs') ORDER BY name, stat;

-- Not inside a transaction with changes of its own to that table; nor of a table that is not there.
BEGIN;
INSERT INTO kv VALUES('a', 1);
SELECT kv_compact('kv');
ROLLBACK;
SELECT kv_compact('nobody');
SELECT kv_compact(NULL);
SELECT kv_compact('numbers');
SELECT count(*) FROM kv;
