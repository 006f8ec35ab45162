-- Four runs in a tier are merged into one of the next, and four of those again: the classic layout of
-- three tiers. First sixteen sealed logs, with merging left off.
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes=64KB, fanout=4, tiers=3, auto_compact=off);
-- Keys in scattered order, so that the logs' ranges overlap; every log also overwrites part of an earlier one.
CREATE TABLE numbers AS SELECT value AS n, value / 60 AS log FROM generate_series(0, 959);
INSERT INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 0;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 1;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 2;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 3;
SELECT tier, count(*), sum(records) FROM kv_segments('kv') GROUP BY tier, state ORDER BY tier, state;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 4;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 5;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 6;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 7;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 8;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 9;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 10;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 11;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 12;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 13;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 14;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 15;
SELECT state, tier, count(*), sum(records), min(reason) FROM kv_segments('kv') GROUP BY state, tier ORDER BY state, tier;
CREATE TABLE right AS SELECT printf('key%04d', n * 389 % 700) AS key, printf('%01050d', max(n)) AS value FROM numbers GROUP BY 1;
SELECT count(*), (SELECT count(*) FROM kv JOIN right USING (key, value)) FROM kv;

-- Now with merging in the background, and no garbage limit in its way.
DROP TABLE kv;
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes=64KB, fanout=4, tiers=3, garbage_ratio=0.95);
SELECT count(*) FROM kv;
.shell await "SELECT count(*) FROM kv_segments('kv') WHERE reason LIKE '%merge%' AND state <> 'active'" 0
SELECT max(tier) <= 2 AS three_tiers, min(runs) >= 1, max(runs) < 4 AS fewer_than_fanout
    FROM (SELECT tier, count(DISTINCT run) AS runs FROM kv_segments('kv') WHERE state = 'sealed' GROUP BY tier);
SELECT value > 0 FROM kv_stats('kv') WHERE stat = 'compactions';
SELECT count(*), (SELECT count(*) FROM kv JOIN right USING (key, value)) FROM kv;

-- And by hand: everything into one run.
SELECT kv_compact('kv') >= 0;
SELECT stat, value FROM kv_stats('kv') WHERE stat IN ('runs', 'dead_bytes', 'keys', 'exact') ORDER BY stat;
SELECT count(*), (SELECT count(*) FROM kv JOIN right USING (key, value)) FROM kv;
.shell kvsql test.db "SELECT count(*), (SELECT count(*) FROM kv JOIN right USING (key, value)) FROM kv"
