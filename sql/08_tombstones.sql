-- A tombstone lives until nothing older can hold its key. Dropped earlier, the deleted row would come back.
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes=64KB, auto_compact=off);
INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(1, 60);
-- The oldest run now holds key001 … key060.
SELECT kv_compact('kv') >= 0;

-- Newer logs: deletes of some of these, and of keys that are nowhere else.
INSERT INTO kv VALUES('only here', 'x');
DELETE FROM kv WHERE key = 'only here';
DELETE FROM kv WHERE key IN ('key007', 'key008');
INSERT INTO kv SELECT printf('other%03d', value), printf('%01000d', value) FROM generate_series(1, 60);
REPLACE INTO kv SELECT printf('other%03d', value), printf('%01000d', value) FROM generate_series(1, 60);
REPLACE INTO kv SELECT printf('other%03d', value), printf('%01000d', value) FROM generate_series(1, 60);
REPLACE INTO kv SELECT printf('other%03d', value), printf('%01000d', value) FROM generate_series(1, 60);
REPLACE INTO kv SELECT printf('other%03d', value), printf('%01000d', value) FROM generate_series(1, 60);
SELECT sum(tombstones) FROM kv_segments('kv');
SELECT count(*), sum(key GLOB 'key*') FROM kv;

-- Merge the newer logs only: the background merge leaves the old run, the larger part, alone.
DROP TABLE kv;
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes=64KB, fanout=4, garbage_ratio=0.95);
SELECT count(*), sum(key GLOB 'key*') FROM kv;
.shell await "SELECT count(*) > 0 FROM kv_segments('kv') WHERE state = 'sealed' AND tier > 0 AND max_key GLOB 'other*'" 1
SELECT sum(tombstones) FROM kv_segments('kv');
SELECT count(*), sum(key GLOB 'key*'), sum(key IN ('key007', 'key008', 'only here')) FROM kv;

-- Everything in one run: no older one, no tombstones.
SELECT kv_compact('kv') > 0;
SELECT sum(tombstones) FROM kv_segments('kv');
SELECT count(*), sum(key GLOB 'key*'), sum(key IN ('key007', 'key008', 'only here')) FROM kv;
.shell kvsql test.db "SELECT count(*), sum(key GLOB 'key*'), sum(key IN ('key007', 'key008', 'only here')) FROM kv"

-- Deleting everything leaves an empty store, and compaction an empty directory but for an empty log.
DELETE FROM kv;
SELECT changes(), (SELECT count(*) FROM kv);
SELECT kv_compact('kv') > 0;
SELECT count(*), sum(records) FROM kv_segments('kv');
