-- Four runs in a tier are merged into one of the next, and four of those again: the classic layout of
-- three tiers. Each REPLACE below fills a log, which its commit seals. Keys come in scattered order, so that the
-- logs' ranges overlap; later ones overwrite rows of earlier ones. Merges run in the background; settle.sql waits for them.
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes='64KB', fanout=4, tiers=3, garbage_ratio=0.95);
CREATE TABLE numbers AS SELECT value AS n, value / 60 AS log FROM generate_series(0, 1199);
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 0;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 1;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 2;
.read ../indexed.sql
SELECT tier, count(DISTINCT run) AS runs, sum(records) AS records, max(reason) FROM kv_segments('kv') WHERE state = 'sealed' GROUP BY tier;
-- The fourth: a merge.
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 3;
.read ../settle.sql
SELECT tier, count(DISTINCT run) AS runs, sum(records) AS records, max(reason) FROM kv_segments('kv') WHERE state = 'sealed' GROUP BY tier;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 4;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 5;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 6;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 7;
.read ../settle.sql
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 8;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 9;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 10;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 11;
.read ../settle.sql
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 12;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 13;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 14;
.read ../indexed.sql
SELECT tier, count(DISTINCT run) AS runs, sum(records) AS records, max(reason) FROM kv_segments('kv') WHERE state = 'sealed' GROUP BY tier;
-- The sixteenth: a merge, and one of its result with its likes.
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 15;
.read ../settle.sql
SELECT tier, count(DISTINCT run) AS runs, sum(records) AS records, max(reason) FROM kv_segments('kv') WHERE state = 'sealed' GROUP BY tier;
-- Four more.
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 16;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 17;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 18;
REPLACE INTO kv SELECT printf('key%04d', n * 389 % 700), printf('%01050d', n) FROM numbers WHERE log = 19;
.read ../settle.sql
SELECT tier, count(DISTINCT run) AS runs, sum(records) AS records, max(reason) FROM kv_segments('kv') WHERE state = 'sealed' GROUP BY tier;

-- No row is lost or old.
CREATE TABLE right AS SELECT printf('key%04d', n * 389 % 700) AS key, printf('%01050d', max(n)) AS value FROM numbers GROUP BY 1;
SELECT count(*), (SELECT count(*) FROM kv JOIN right USING (key, value)) FROM kv;
SELECT value FROM kv_stats('kv') WHERE stat = 'compactions';

-- By hand: everything into one run.
SELECT kv_compact('kv') >= 0;
SELECT tier, count(DISTINCT run) AS runs, sum(records) AS records, max(reason) FROM kv_segments('kv') WHERE state = 'sealed' GROUP BY tier;
SELECT stat, value FROM kv_stats('kv') WHERE stat IN ('runs', 'dead_bytes', 'keys', 'exact') ORDER BY stat;
SELECT count(*), (SELECT count(*) FROM kv JOIN right USING (key, value)) FROM kv;
.open :memory:
.shell kvsql test.db "SELECT count(*), (SELECT count(*) FROM kv JOIN right USING (key, value)) FROM kv"
