-- Damaged files: right answers or an error that names the file, never a wrong or a missing row.
-- (Each kvsql is a process of its own.)
.shell kvsql test.db "CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes='64KB', auto_compact=off)"
.shell kvsql test.db "INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(1, 60)"
.shell kvsql test.db "INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(61, 120)"
.shell kvsql test.db "SELECT count(*), sum(value) FROM kv"
.shell ls data | sed "s/_0*/_/"; cp -r data whole

-- A sealed segment with one byte flipped in the middle.
.shell bytes flip data/segment_000000000001.db 30000
.shell kvsql test.db "SELECT count(*), sum(value) FROM kv"
-- The rows in front of it can still be read one by one, and another segment's too.
.shell kvsql test.db "SELECT key, length(value) FROM kv WHERE key IN ('key001', 'key100')"
.shell rm -r data; cp -r whole data

-- Truncated.
.shell truncate -s 40000 data/segment_000000000001.db
.shell kvsql test.db "SELECT count(*), sum(value) FROM kv"
.shell rm -r data; cp -r whole data

-- Its header.
.shell bytes flip data/segment_000000000001.db 40
.shell kvsql test.db "SELECT count(*), sum(value) FROM kv"
.shell rm -r data; cp -r whole data

-- An index is rebuilt from its segment.
.shell bytes flip data/segment_000000000001.idx 100
.shell kvsql test.db "SELECT count(*), sum(value) FROM kv"
.shell bytes flips data/segment_000000000001.idx 61
.shell kvsql test.db "SELECT count(*), sum(value) FROM kv" "SELECT key, length(value) FROM kv WHERE key = 'key033'"
.shell truncate -s 5000 data/segment_000000000001.idx
.shell kvsql test.db "SELECT count(*), sum(value) FROM kv"
.shell rm -r data; cp -r whole data

-- The manifest.
.shell bytes flip data/MANIFEST 60
.shell kvsql test.db "SELECT count(*), sum(value) FROM kv"
.shell cp whole/MANIFEST data; truncate -s 100 data/MANIFEST
.shell kvsql test.db "SELECT count(*), sum(value) FROM kv"
.shell : > data/MANIFEST
.shell kvsql test.db "SELECT count(*), sum(value) FROM kv"
.shell rm -r data; cp -r whole data

-- LOCK holds nothing that is needed after its last user has gone.
.shell head -c 100 /dev/urandom > data/LOCK
.shell kvsql test.db "SELECT count(*), sum(value) FROM kv"
.shell rm data/LOCK
.shell kvsql test.db "SELECT count(*), sum(value) FROM kv"
