-- What is refused, and what it says.
CREATE VIRTUAL TABLE bad USING kv(colour=red);
CREATE VIRTUAL TABLE bad USING kv(path='data', segment_bytes=lots);
CREATE VIRTUAL TABLE bad USING kv(path='data', segment_bytes=1);
CREATE VIRTUAL TABLE bad USING kv(path='data', synchronous=maybe);
CREATE VIRTUAL TABLE bad USING kv(path='data', fanout=1);
CREATE VIRTUAL TABLE bad USING kv(path='data', tiers=9);
CREATE VIRTUAL TABLE bad USING kv(path='data', garbage_ratio=2);
CREATE VIRTUAL TABLE bad USING kv(path='data', auto_compact=sometimes);
CREATE VIRTUAL TABLE bad USING kv(path='data', readonly=1);
CREATE VIRTUAL TABLE bad USING kv(path='', fanout=4);
CREATE VIRTUAL TABLE bad USING kv(path='one', path='two');

-- Columns
CREATE VIRTUAL TABLE bad USING kv(a TEXT PRIMARY KEY, b TEXT PRIMARY KEY);
CREATE VIRTUAL TABLE bad USING kv(a TEXT, b TEXT DEFAULT 'x');
CREATE VIRTUAL TABLE bad USING kv(a TEXT, b INTEGER CHECK (b > 0));
CREATE VIRTUAL TABLE bad USING kv(a TEXT COLLATE NOCASE, b);
CREATE VIRTUAL TABLE bad USING kv(a TEXT, b TEXT UNIQUE);
CREATE VIRTUAL TABLE bad USING kv(a TEXT, b GENERATED ALWAYS AS (a));
CREATE VIRTUAL TABLE bad USING kv(a TEXT, b REFERENCES other(x));
CREATE VIRTUAL TABLE bad USING kv(a TEXT, A BLOB);
CREATE VIRTUAL TABLE bad USING kv(path='data', a TEXT);
.shell ls

-- Paths
.shell echo "not a store" > file; mkdir full; echo hello > full/letter
CREATE VIRTUAL TABLE bad USING kv(path='file');
CREATE VIRTUAL TABLE bad USING kv(path='file/below');
CREATE VIRTUAL TABLE bad USING kv(path='full');
CREATE VIRTUAL TABLE bad USING kv(path='/proc/no-such-place');
.shell cat file full/letter; ls full

-- Keys, rows
CREATE VIRTUAL TABLE kv USING kv(key TEXT, value, path='data');
INSERT INTO kv VALUES(NULL, 1);
INSERT INTO kv VALUES(hex(zeroblob(40000)), 1);
INSERT INTO kv(value) VALUES(1);
INSERT INTO kv VALUES('a');
INSERT INTO kv VALUES('a', 1, 2);
INSERT INTO kv(kv) VALUES('explode');
INSERT INTO kv(kv, key) VALUES('compact', 'a');
SELECT missing FROM kv;
SELECT count(*) FROM kv;

-- Another shape of table on the same store
CREATE VIRTUAL TABLE bad USING kv(key TEXT, value, more, path='data');
CREATE VIRTUAL TABLE bad USING kv(key INTEGER, value, path='data');

-- A store that is not there when its database is opened: every use says so, DROP works.
.shell kvsql gone.db "CREATE VIRTUAL TABLE kv USING kv(path='gone')" "INSERT INTO kv VALUES('a', 1)"
.shell mv gone elsewhere
.shell kvsql gone.db "SELECT * FROM kv"
.shell kvsql gone.db "INSERT INTO kv VALUES('b', 2)"
.shell ls -d gone
.shell mv elsewhere gone; kvsql gone.db "SELECT * FROM kv"
.shell rm -r gone; kvsql gone.db "DROP TABLE kv" "SELECT count(*) FROM sqlite_schema"

-- Functions
SELECT kv_compact('nobody');
SELECT kv_sync('sqlite_schema');
SELECT kv_destroy('nowhere');
SELECT kv_destroy('full');
SELECT kv_destroy('data');
SELECT kv_destroy(NULL);
.shell ls full

-- A UTF-16 database orders text in another way.
.shell kvsql utf16.db "PRAGMA encoding = 'UTF-16'" "CREATE VIRTUAL TABLE kv USING kv"
