-- An .idx file is the index of one sealed segment: derived, so that opening need not read the data.
-- It may be deleted at any time. (Each kvsql below is a process of its own.)
.shell kvsql test.db "CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes='64KB', auto_compact=off)"
.shell kvsql test.db "INSERT INTO kv SELECT printf('key%04d', value), printf('%0800d', value) FROM generate_series(1, 60)"
.shell kvsql test.db "INSERT INTO kv SELECT printf('key%04d', value), printf('%0800d', value) FROM generate_series(61, 120)"
.shell kvsql test.db "INSERT INTO kv SELECT printf('key%04d', value), printf('%0800d', value) FROM generate_series(121, 180)"
.shell kvsql test.db "DELETE FROM kv WHERE key GLOB 'key00[05]*'"
.shell ls data | grep -c idx
.shell kvsql test.db "SELECT count(*), sum(value), min(key), max(key) FROM kv"

-- Without them: the same rows, and they are written again.
.shell ls data/*.idx > indexes
.shell rm data/*.idx
.shell kvsql test.db "SELECT count(*), sum(value), min(key), max(key) FROM kv" "SELECT value > 0 FROM kv_stats('kv') WHERE stat = 'indexes_rebuilt_since_open'"
.shell ls data/*.idx | cmp - indexes && echo rebuilt

-- An index of another segment, an empty one, garbage: never believed.
.shell cp $(head -1 indexes) $(tail -1 indexes)
.shell kvsql test.db "SELECT count(*), sum(value), min(key), max(key) FROM kv"
.shell for f in $(cat indexes); do : > $f; done
.shell kvsql test.db "SELECT count(*), sum(value), min(key), max(key) FROM kv"
.shell for f in $(cat indexes); do head -c 9999 /dev/urandom > $f; done
.shell kvsql test.db "SELECT count(*), sum(value), min(key), max(key) FROM kv"

-- A table that is opened read-only builds them in memory of its own and leaves the directory alone.
.shell rm data/*.idx; ls data > before
.shell kvsql :memory: "CREATE VIRTUAL TABLE kv USING kv(path='data', readonly=1)" "SELECT count(*), sum(value) FROM kv" "INSERT INTO kv VALUES('a', 1)"
.shell ls data | cmp - before && echo unchanged
