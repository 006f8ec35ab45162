-- Checksums tell whole transactions from partial ones. (Each kvsql is a process of its own.)
.shell kvsql test.db "CREATE VIRTUAL TABLE kv USING kv(path='data')"

-- A writer that is killed in the middle of a transaction: what it had committed is there, nothing else.
.shell kvsql test.db "INSERT INTO kv VALUES('a', 'first')" "BEGIN" "INSERT INTO kv VALUES('b', 'never')" '.shell kill -9 \$PPID' || true
.shell kvsql test.db "SELECT * FROM kv"

-- The last record of the log is only partly on disk, as after a power cut: its transaction never happened.
.shell kvsql test.db "INSERT INTO kv VALUES('c', 'second')" "INSERT INTO kv VALUES('d', 'third')" '.shell kill -9 \$PPID' || true
.shell bytes cut $(ls data/*.db | tail -1) 10
.shell kvsql test.db "SELECT * FROM kv" "INSERT INTO kv VALUES('e', 'fourth')" "SELECT * FROM kv"

-- Zeros or garbage behind the last transaction are no records either.
.shell kvsql test.db "INSERT INTO kv VALUES('f', 'fifth')" '.shell kill -9 \$PPID' || true
.shell bytes garbage $(ls data/*.db | tail -1) 5000
.shell kvsql test.db "SELECT * FROM kv"
.shell kvsql test.db "INSERT INTO kv VALUES('g', 'sixth')" '.shell kill -9 \$PPID' || true
.shell truncate -s +1M $(ls data/*.db | tail -1)
.shell kvsql test.db "SELECT * FROM kv"

-- But a transaction that a later one knows to be on disk cannot be torn. If it does not read back, that
-- is damage, and nothing is dropped.
.shell kvsql test.db "INSERT INTO kv VALUES('h', 'a long enough value')" "INSERT INTO kv VALUES('i', 'seventh')" "INSERT INTO kv VALUES('j', 'eighth')" '.shell kill -9 \$PPID' || true
.shell cp -r data copy
.shell log=$(ls data/*.db | tail -1); bytes flip $log $(grep -abo "long enough" $log | tail -1 | cut -d: -f1)
.shell ls data > before; kvsql test.db "SELECT * FROM kv"
.shell ls data | cmp - before && echo "nothing was removed"
.shell rm -r data; mv copy data; kvsql test.db "SELECT count(*), max(key) FROM kv"

-- A clean end is written when everything before it is on disk: damage to what it covers is noticed, too.
.shell bytes flip $(ls data/*.db | tail -1) -100
.shell kvsql test.db "SELECT count(*), max(key) FROM kv"
