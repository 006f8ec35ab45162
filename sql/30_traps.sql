-- Where virtual tables often differ from ordinary ones, or SQLite leaves something to the module.

-- Clauses that SQLite would read and forget are refused by name.
CREATE VIRTUAL TABLE t USING kv(key TEXT PRIMARY KEY ON CONFLICT REPLACE, value);
CREATE VIRTUAL TABLE t USING kv(key TEXT, value NOT NULL ON CONFLICT IGNORE);
CREATE VIRTUAL TABLE t USING kv(key TEXT COLLATE NOCASE, value);
CREATE VIRTUAL TABLE t USING kv(key TEXT, value DEFAULT 5);

-- Keys that only case tells apart, and a statement that deletes several of them.
CREATE VIRTUAL TABLE t USING kv(path='t');
INSERT INTO t VALUES('a', 1), ('A', 2), ('b', 3);
SELECT key FROM t WHERE key = 'A' COLLATE NOCASE;
DELETE FROM t WHERE key LIKE 'a';
SELECT * FROM t;

-- Untyped keys: '7' and 7 are two, and a statement that deletes several finds both; 7 and 7.0 are one.
CREATE VIRTUAL TABLE u USING kv(key ANY, value, path='u');
INSERT INTO u VALUES('7', 'text'), (7, 'integer'), (x'37', 'blob'), (8.0, 'real');
INSERT INTO u VALUES(7.0, 'the same');
SELECT value FROM u WHERE key = 7;
UPDATE u SET value = value || '!' WHERE key IS NOT NULL;
SELECT typeof(key), key, value FROM u;
DELETE FROM u WHERE key IN ('7', 7) OR value GLOB 'r*';
SELECT typeof(key), value FROM u;

-- IS, IS NOT, NULL, and numbers from a column beside a TEXT key.
INSERT INTO t VALUES('5', 5), ('10', 10);
CREATE TABLE numbers(n INTEGER);
INSERT INTO numbers VALUES(5), (10), (NULL);
SELECT key FROM t WHERE key IS 'b';
SELECT count(*) FROM t WHERE key IS NULL;
SELECT count(*) FROM t WHERE key IS NOT NULL;
SELECT n, key FROM numbers LEFT JOIN t ON key = n ORDER BY n;
SELECT n, count(key) FROM numbers LEFT JOIN t ON key >= n GROUP BY n;

-- Neither creating nor writing moves last_insert_rowid().
INSERT INTO numbers(rowid, n) VALUES(77, 0);
CREATE VIRTUAL TABLE w USING kv(path='w');
INSERT INTO w VALUES('a', 1), ('b', 2);
REPLACE INTO w VALUES('b', 3);
SELECT last_insert_rowid();

-- There is no table by the module's name, nor a way to it.
SELECT * FROM kv;
SELECT * FROM kv('x');

-- What looks at all tables connects them, also those in trouble, and creates nothing.
.shell rm -r w
PRAGMA integrity_check;
SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND name IN ('t', 'u', 'w', 't_kvmeta') ORDER BY name;
.shell kvsql test.db "SELECT count(*) FROM t" "SELECT integrity_check GLOB CASE WHEN sqlite_version() < '3.44' THEN 'ok' ELSE 'w: */w: cannot open *' END FROM pragma_integrity_check" "SELECT count(*) FROM w" || true
.shell kvsql test.db "DROP TABLE w"
.shell test ! -e w && echo nothing there

-- Functions and tables that touch files do nothing from within a schema.
CREATE VIEW v AS SELECT kv_compact('t') AS freed;
SELECT * FROM v;
CREATE VIEW v2 AS SELECT * FROM kv_check('t');
SELECT * FROM v2;

-- The shadow table is protected in defensive mode, and is not believed otherwise.
.dbconfig defensive on
DELETE FROM t_kvmeta;
CREATE VIRTUAL TABLE d USING kv(path='d');
INSERT INTO d VALUES('made in', 'defensive mode');
SELECT * FROM d;
.dbconfig defensive off
UPDATE t_kvmeta SET path = '../elsewhere';
.shell kvsql test.db "SELECT * FROM t"; test ! -e ../elsewhere && echo nothing there
UPDATE t_kvmeta SET path = 'd';
.shell kvsql test.db "INSERT INTO t VALUES('x', 1)" || true
UPDATE t_kvmeta SET path = 't';
.shell kvsql test.db "SELECT * FROM t"
UPDATE t_kvmeta SET uuid = 'short';
.shell kvsql test.db "SELECT * FROM t" || true
DELETE FROM t_kvmeta;
.shell kvsql test.db "SELECT * FROM t" || true
.shell kvsql test.db "DROP TABLE t" && ls

-- Where text compares by UTF-16's code units, keys would have another order.
.open utf16.db
.load kv
PRAGMA encoding = 'UTF-16';
CREATE VIRTUAL TABLE kv USING kv;
.shell test ! -e utf16.db-kv && echo nothing there
-- A database in memory by a file's name: its store is a temporary one.
.open file:/x?vfs=memdb
.load kv
CREATE VIRTUAL TABLE kv USING kv;
INSERT INTO kv VALUES('a', 1);
SELECT * FROM kv;
.shell test ! -e /x-kv && echo nothing there
