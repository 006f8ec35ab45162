-- Functions and table-valued functions.
SELECT kv_version() GLOB '[0-9]*.[0-9]*.[0-9]*';
SELECT kv_debug() LIKE '%' || sqlite_version() || '%';
CREATE VIRTUAL TABLE kv USING kv(path='data', synchronous=off, auto_compact=off);
INSERT INTO kv VALUES('a', 1);
INSERT INTO kv VALUES('b', 2), ('c', 3);

-- kv_sync makes durable what `synchronous` had left to the system; it returns the last durable transaction.
SELECT kv_sync('kv');
SELECT kv_sync();

-- kv_check reads everything; no rows: sound.
SELECT * FROM kv_check('kv');
INSERT INTO kv(kv) VALUES('check');

-- kv_backup copies the store while it is in use; another one brings an earlier copy up to date.
SELECT kv_backup('kv', 'backup') > 0;
INSERT INTO kv VALUES('d', 4);
SELECT kv_backup('kv', 'backup') > 0;
DELETE FROM kv;
CREATE VIRTUAL TABLE restored USING kv(path='backup');
SELECT * FROM restored;
INSERT INTO restored VALUES('e', 5);
SELECT count(*) FROM kv;
SELECT kv_backup('kv', 'backup');

-- kv_repair salvages a damaged store.
.shell kvsql broken.db "CREATE VIRTUAL TABLE kv USING kv(path='broken')" "INSERT INTO kv VALUES('a', 1), ('b', 2)"
.shell rm broken/MANIFEST
.shell kvsql broken.db "SELECT * FROM kv"
SELECT count(*) > 0 FROM kv_repair('broken');
.shell kvsql broken.db "SELECT * FROM kv"

-- A temporary table with the functions' help: no main database's locks apply.
CREATE VIRTUAL TABLE temp.direct USING kv(path='data');
REPLACE INTO direct VALUES('z', 26);
SELECT * FROM kv;
