-- Compaction of a single segment: rewriting it without its dead records.
-- A table that leaves compaction alone fills one segment, in which most is soon overwritten.
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes='64KB', garbage_ratio=0.05, auto_compact=off);
INSERT INTO kv SELECT printf('key%02d', value), printf('%01000d', value) FROM generate_series(1, 20);
REPLACE INTO kv SELECT printf('key%02d', value), printf('%01000d', value + 100) FROM generate_series(1, 20);
REPLACE INTO kv SELECT printf('key%02d', value), printf('%01000d', value + 200) FROM generate_series(1, 20);
REPLACE INTO kv SELECT printf('key%02d', value), printf('%01000d', value + 300) FROM generate_series(1, 10);
.read ../indexed.sql
SELECT segment, tier, state, records, dead_bytes * 100 / (live_bytes + dead_bytes) AS dead_percent, reason
    FROM kv_segments('kv') WHERE state = 'sealed';
SELECT count(*), sum(value) FROM kv;

-- The same store with automatic compaction: attach it again.
-- (settle.sql waits until the background has nothing left to do.)
DROP TABLE kv;
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes='64KB', garbage_ratio=0.05);
SELECT count(*), sum(value) FROM kv;
.read ../settle.sql
SELECT tier, state, records, dead_bytes, reason FROM kv_segments('kv') WHERE state = 'sealed';
SELECT count(*), sum(value) FROM kv;
INSERT INTO kv SELECT printf('new%02d', value), printf('%01000d', value) FROM generate_series(1, 70);
.read ../indexed.sql
SELECT tier, state, records, dead_bytes, reason FROM kv_segments('kv') WHERE state = 'sealed';
SELECT count(*), sum(value) FROM kv;

-- By hand: everything, into one run with nothing dead in it. A second time there is nothing to do.
DELETE FROM kv WHERE key GLOB 'new*';
SELECT kv_compact('kv') > 0;
SELECT kv_compact('kv');
SELECT state, records, dead_bytes, reason FROM kv_segments('kv') WHERE records > 0;
SELECT count(*), sum(value) FROM kv;
SELECT stat, value FROM kv_stats('kv') WHERE stat IN ('dead_bytes', 'tombstones', 'keys', 'runs') ORDER BY stat;
