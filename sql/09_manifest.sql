-- The manifest says what the store consists of. Nothing else does. (Each kvsql is a process of its own.)
.shell kvsql test.db "CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes='64KB', auto_compact=off)"
.shell kvsql test.db "INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(1, 60)"
.shell kvsql test.db "DELETE FROM kv WHERE key < 'key050'"
.shell kvsql test.db "INSERT INTO kv SELECT printf('new%03d', value), printf('%01000d', value) FROM generate_series(1, 60)"
.shell kvsql test.db "SELECT count(*), min(key), max(key) FROM kv"

-- A copy of an old segment under another number is no part of the store; nor is a file of another name.
.shell cp data/segment_000000000001.db data/segment_000000000999.db; echo hello > data/notes.txt
.shell kvsql test.db "SELECT count(*), min(key), max(key) FROM kv"
.shell cat data/notes.txt; ls data | grep -c 999; true

-- Nor is what an interrupted merge or index left behind.
.shell cp data/MANIFEST data/MANIFEST.manifest.tmp; : > data/segment_000000000001.idx.0011223344556677.tmp
.shell kvsql test.db "SELECT count(*), min(key), max(key) FROM kv"
.shell ls data | grep -c tmp; true

-- A segment that the manifest names must be there, and be the right one.
.shell mv data/segment_000000000001.db away
.shell kvsql test.db "SELECT count(*), min(key), max(key) FROM kv"
.shell cp $(ls data/*.db | tail -1) data/segment_000000000001.db
.shell kvsql test.db "SELECT count(*), min(key), max(key) FROM kv"
.shell mv away data/segment_000000000001.db
.shell kvsql test.db "SELECT count(*), min(key), max(key) FROM kv"

-- Without a manifest there is no store, and none is created in its place.
.shell mv data/MANIFEST away
.shell kvsql test.db "SELECT count(*) FROM kv"
.shell ls data | grep -c MANIFEST; true
.shell mv away data/MANIFEST
.shell kvsql test.db "SELECT count(*), min(key), max(key) FROM kv"

-- Another store in its place is noticed.
.shell kvsql other.db "CREATE VIRTUAL TABLE kv USING kv(path='other')" "INSERT INTO kv VALUES('a', 1)"
.shell mv data kept; cp -r other data
.shell kvsql test.db "SELECT count(*) FROM kv"
.shell rm -r data; mv kept data
.shell kvsql test.db "SELECT count(*), min(key), max(key) FROM kv"
