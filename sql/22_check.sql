-- kv_check: everything that a store consists of is read and compared; no rows: sound.
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes='64KB', auto_compact=off);
INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(1, 60);
INSERT INTO kv SELECT printf('key%03d', value), printf('%01000d', value) FROM generate_series(61, 120);
SELECT count(*) FROM kv_check;
SELECT count(*) FROM kv_check('main.kv');
INSERT INTO kv(kv) VALUES('check');
PRAGMA integrity_check;
.open :memory:
.load kv

-- By its directory, without any table; the table's own word is as good.
SELECT count(*) FROM kv_check('data');
SELECT * FROM kv_check('nowhere');
.shell cp -r data whole

-- A damaged record, and a damaged page of the index, each found where it is.
.shell bytes flip data/segment_000000000001.db 30000
.shell bytes flip data/segment_000000000001.idx 5000
SELECT schema, name, segment, offset, problem FROM kv_check('data');
.shell kvsql test.db "SELECT schema, name, segment, offset FROM kv_check" "SELECT count(*) FROM kv WHERE key < 'key010'"
.shell kvsql test.db "INSERT INTO kv(kv) VALUES('check')"
.shell rm -r data; cp -r whole data

-- Missing files: an index is no loss, a segment is; the table cannot be opened then, but checked.
.shell rm data/segment_000000000001.idx
SELECT segment, offset, problem FROM kv_check('data');
.shell mv data/segment_000000000001.db elsewhere
.shell kvsql test.db "SELECT schema, name, segment, problem FROM kv_check"
.shell kvsql test.db "SELECT count(*) FROM kv"
.shell rm -r data; cp -r whole data

-- The manifest, and a file that it does not name.
.shell bytes flip data/MANIFEST 60
SELECT segment, offset, problem FROM kv_check('data');
.shell rm -r data; cp -r whole data
.shell cp data/segment_000000000001.db data/segment_000000000099.db
SELECT segment, offset, problem FROM kv_check('data');
.shell rm data/segment_000000000099.db
SELECT count(*) FROM kv_check('data');

-- A table whose store is gone.
.shell rm -r data
.shell kvsql test.db "SELECT schema, name, segment, problem FROM kv_check" "DROP TABLE kv" "SELECT count(*) FROM sqlite_schema"
