-- Every transaction carries the time of its commit; segments tell the first and the last of theirs.
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes='64KB', auto_compact=off);
INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(1, 40);
.shell sleep 0.02
INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(41, 80);
.shell sleep 0.02
INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(81, 120);
SELECT segment, min_seq, max_seq, min_time <= max_time AS ordered,
       abs(julianday('now') - julianday(max_time, 'unixepoch')) * 86400 < 60 AS recent
    FROM kv_segments('kv') WHERE records > 0 ORDER BY segment;
SELECT count(*) > 0 AS older_is_earlier FROM kv_segments('kv') a JOIN kv_segments('kv') b
    ON a.segment < b.segment WHERE a.records > 0 AND b.records > 0 AND a.max_time < b.min_time;

-- Statistics, for one table or all.
SELECT stat, value FROM kv_stats('kv') WHERE stat IN
    ('keys', 'exact', 'records', 'tombstones', 'segments', 'runs', 'last_seq', 'synchronous', 'compactions') ORDER BY stat;
SELECT stat, value > 0 FROM kv_stats('kv') WHERE stat IN
    ('live_bytes', 'disk_bytes', 'memory_bytes', 'index_bytes', 'write_amplification', 'space_amplification') ORDER BY stat;
REPLACE INTO kv VALUES('key001', 'short');
DELETE FROM kv WHERE key > 'key110';
SELECT stat, value FROM kv_stats('main.kv') WHERE stat IN ('records', 'last_seq') ORDER BY stat;
SELECT kv_compact('kv') > 0;
SELECT stat, value FROM kv_stats('kv') WHERE stat IN
    ('keys', 'exact', 'records', 'tombstones', 'runs', 'last_seq', 'dead_bytes', 'compactions') ORDER BY stat;
SELECT stat, round(value, 1) FROM kv_stats('kv') WHERE stat = 'space_amplification';
SELECT count(DISTINCT stat) = count(*), min(schema), max(name) FROM kv_stats('kv');

-- Merged segments keep the span of times of what they hold.
SELECT min_seq, max_seq, min_time < max_time FROM kv_segments('kv') WHERE records > 0;
SELECT * FROM kv_stats('nobody');
