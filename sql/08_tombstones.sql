-- A tombstone lives until nothing older can hold its key. Dropped earlier, the deleted row would come back.
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes='64KB', fanout=4, garbage_ratio=0.95);
INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(1, 70);
INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(71, 140);
INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(141, 210);
INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(211, 280);
.read ../settle.sql
SELECT tier, records, tombstones, min_key, max_key FROM kv_segments('kv') WHERE state = 'sealed';

-- Deletes of rows in that oldest run, and of one that is nowhere else.
INSERT INTO kv VALUES('only here', 'x');
DELETE FROM kv WHERE key = 'only here';
DELETE FROM kv WHERE key IN ('key007', 'key008');
INSERT INTO kv SELECT printf('other%03d', value), printf('%01000d', value) FROM generate_series(1, 70);
.read ../indexed.sql
SELECT tier, records, tombstones, min_key, max_key FROM kv_segments('kv') WHERE state = 'sealed';

-- Merging the newer logs keeps the tombstones that the oldest run needs, and only these.
REPLACE INTO kv SELECT printf('other%03d', value), printf('%01000d', value + 1) FROM generate_series(11, 80);
REPLACE INTO kv SELECT printf('other%03d', value), printf('%01000d', value + 2) FROM generate_series(21, 90);
REPLACE INTO kv SELECT printf('other%03d', value), printf('%01000d', value + 3) FROM generate_series(31, 100);
.read ../settle.sql
SELECT tier, records, tombstones, min_key, max_key FROM kv_segments('kv') WHERE state = 'sealed';
SELECT count(*), sum(key GLOB 'key*'), sum(key IN ('key007', 'key008', 'only here')) FROM kv;
SELECT key FROM kv WHERE key IN ('key006', 'key007', 'key008', 'key009');

-- Everything in one run: no older one, no tombstones.
SELECT kv_compact('kv') > 0;
SELECT tier, records, tombstones, min_key, max_key FROM kv_segments('kv') WHERE state = 'sealed';
SELECT count(*), sum(key GLOB 'key*'), sum(key IN ('key007', 'key008', 'only here')) FROM kv;
.open :memory:
.shell kvsql test.db "SELECT count(*), sum(key GLOB 'key*'), sum(key IN ('key007', 'key008', 'only here')) FROM kv"
.open test.db
.load kv

-- Deleting everything and compacting leaves an empty log, and nothing else.
DELETE FROM kv;
SELECT changes(), (SELECT count(*) FROM kv);
SELECT kv_compact('kv') > 0;
SELECT count(*), sum(records) FROM kv_segments('kv');
