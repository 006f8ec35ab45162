-- The store is a sequence of numbered segments. At `segment_bytes` the active log is sealed and
-- the next one begins.
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes='64KB', auto_compact=off);
INSERT INTO kv SELECT printf('key%04d', value), printf('%01000d', value) FROM generate_series(1, 50);
SELECT state, count(*) FROM kv_segments('kv') GROUP BY state ORDER BY state;
INSERT INTO kv SELECT printf('key%04d', value), printf('%01000d', value) FROM generate_series(51, 100);
INSERT INTO kv SELECT printf('key%04d', value), printf('%01000d', value) FROM generate_series(101, 150);
INSERT INTO kv SELECT printf('key%04d', value), printf('%01000d', value) FROM generate_series(151, 200);
INSERT INTO kv SELECT printf('key%04d', value), printf('%01000d', value) FROM generate_series(201, 250);
.read ../indexed.sql
SELECT segment, state, records, min_key, max_key FROM kv_segments('kv') ORDER BY segment;

-- A sealed segment never changes again: not by updates, not by deletes.
.shell rm -f sealed; for f in $(ls data/*.db | head -2); do bytes sum $f >> sealed; done
UPDATE kv SET value = 'new' WHERE key < 'key0120';
DELETE FROM kv WHERE key BETWEEN 'key0010' AND 'key0020';
SELECT count(*), sum(value = 'new') FROM kv;
.shell md5sum -c sealed

-- Each sealed segment has an index beside it, so that a get reads one record.
SELECT 'segments of 64 KB', count(*) BETWEEN 4 AND 6, max(file_bytes) <= 65536 FROM kv_segments('kv');
SELECT key, length(value) FROM kv WHERE key IN ('key0001', 'key0015', 'key0150', 'key0250', 'key0251');

-- A new key order, the same rows: found wherever the newest version is.
SELECT count(*), count(DISTINCT key), min(key), max(key) FROM kv;
SELECT key, value FROM kv WHERE key BETWEEN 'key0118' AND 'key0119';
.shell ls data | sed "s/_0*/_/" | sort -V
