-- RENAME: the directory stays where it is.
CREATE VIRTUAL TABLE kv USING kv;
INSERT INTO kv VALUES('a', 1);
ALTER TABLE kv RENAME TO store;
SELECT * FROM store;
SELECT * FROM kv;
INSERT INTO store VALUES('b', 2);
INSERT INTO store(store) VALUES('sync');
.shell kvsql test.db "SELECT * FROM store"
.shell ls test.db-kv
SELECT name FROM sqlite_schema ORDER BY name;

-- A transaction may create, write, rename, and roll it all back.
BEGIN;
CREATE VIRTUAL TABLE t USING kv;
INSERT INTO t VALUES('x', 1);
ALTER TABLE t RENAME TO u;
INSERT INTO u VALUES('y', 2);
SELECT * FROM u;
ROLLBACK;
SELECT * FROM u;
CREATE VIRTUAL TABLE t USING kv;
SELECT count(*) FROM t;

-- DROP detaches. The files stay, since SQLite may roll a DROP back.
BEGIN;
DROP TABLE store;
ROLLBACK;
SELECT * FROM store;
DROP TABLE store;
SELECT count(*) FROM sqlite_schema WHERE name GLOB 'store*';
.shell ls test.db-kv/kv
CREATE VIRTUAL TABLE again USING kv(path='test.db-kv/kv');
SELECT * FROM again;

-- kv_destroy removes a store that nobody has open, and nothing else.
SELECT kv_destroy('test.db-kv/kv');
DROP TABLE again;
SELECT kv_destroy('test.db-kv/kv');
.shell ls test.db-kv
SELECT kv_destroy('test.db-kv/kv');
CREATE VIRTUAL TABLE mixed USING kv(path='mixed');
INSERT INTO mixed VALUES('a', 1);
DROP TABLE mixed;
.shell echo "keep me" > mixed/letter
SELECT kv_destroy('mixed');
.shell ls mixed

-- Several on one store: the files are in use until the last is dropped.
CREATE VIRTUAL TABLE one USING kv(path='shared');
CREATE VIRTUAL TABLE two USING kv(path='shared');
DROP TABLE one;
SELECT kv_destroy('shared');
INSERT INTO two VALUES('still', 'there');
SELECT * FROM two;

-- DROP of a table whose store is gone.
.shell rm -r shared
DROP TABLE two;
DROP TABLE t;
SELECT name FROM sqlite_schema;
