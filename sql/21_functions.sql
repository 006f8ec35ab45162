-- Functions.
SELECT kv_version() GLOB '[0-9]*.[0-9]*.[0-9]*';
SELECT kv_debug() LIKE '%' || sqlite_version() || '%';
CREATE VIRTUAL TABLE kv USING kv(path='data', synchronous=off, auto_compact=off);
INSERT INTO kv VALUES('a', 1);
INSERT INTO kv VALUES('b', 2), ('c', 3);

-- kv_sync makes durable what `synchronous` had left to the system; it returns the number of the last transaction.
SELECT stat, value FROM kv_stats('kv') WHERE stat IN ('last_seq', 'durable_seq');
SELECT kv_sync('kv');
SELECT stat, value FROM kv_stats('kv') WHERE stat IN ('last_seq', 'durable_seq');
SELECT kv_sync();
BEGIN;
INSERT INTO kv VALUES('d', 4);
SELECT kv_sync('kv');
COMMIT;
SELECT kv_sync('main.kv');

-- kv_compact returns how many bytes smaller the files are.
REPLACE INTO kv VALUES('big', zeroblob(100000));
REPLACE INTO kv VALUES('big', zeroblob(100000));
SELECT kv_compact('kv') > 70000;
SELECT kv_compact('kv');

-- What touches files can be called directly only: not by a view, a trigger or a default of a database that
-- someone else made.
CREATE VIEW sneaky AS SELECT kv_destroy('elsewhere');
SELECT * FROM sneaky;
CREATE VIEW curious AS SELECT * FROM kv_stats;
SELECT * FROM curious;
CREATE TABLE t(a DEFAULT (kv_compact()));
INSERT INTO t DEFAULT VALUES;

-- A table in the temp database: the main database's locks do not apply to it.
CREATE VIRTUAL TABLE temp.direct USING kv(path='data');
REPLACE INTO direct VALUES('z', 26);
SELECT key, length(value) FROM kv;

PRAGMA integrity_check;
