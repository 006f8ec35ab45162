-- Backups.
CREATE VIRTUAL TABLE kv USING kv(path='data', segment_bytes='64KB', auto_compact=off);
INSERT INTO kv VALUES('apple', 1), ('pear', 2);

-- A consistent copy. Sealed segments are linked, so no bytes are copied on the same file system.
SELECT kv_backup('kv', 'backup');
.shell ls data backup | sed 's/_001[0-9]*/_<a number of its own>/'
DELETE FROM kv WHERE key = 'pear';
SELECT * FROM kv;

-- The copy is an ordinary store. Looking at it is no write.
CREATE VIRTUAL TABLE copy USING kv(path='backup', auto_compact=off);
SELECT * FROM copy;
SELECT * FROM kv_check('copy');

-- The next backup into the same directory adds what is new; nobody may have it open.
SELECT kv_backup('kv', 'backup');
DROP TABLE copy;
SELECT kv_compact('kv') >= 0;
SELECT kv_backup('kv', 'backup');
.shell ls backup | sed 's/_001[0-9]*/_<a number of its own>/'
CREATE VIRTUAL TABLE copy USING kv(path='backup', auto_compact=off);
SELECT * FROM copy;

-- Once it has been written to it goes its own way.
INSERT INTO copy VALUES('plum', 3);
DROP TABLE copy;
SELECT kv_backup('kv', 'backup');
SELECT kv_backup('kv', 'another');

-- A directory with anything else in it is left alone.
.shell mkdir precious && touch precious/notes.txt
SELECT kv_backup('kv', 'precious');
.shell ls precious
SELECT kv_backup('kv', 'data');
.shell kvsql other.db "CREATE VIRTUAL TABLE o USING kv(path='other')"
SELECT kv_backup('kv', 'other');
SELECT kv_backup('kv', 'test.db');

-- Others may have the store open, and write to it; this process must not be in the middle of a transaction.
BEGIN;
INSERT INTO kv VALUES('fig', 4);
SELECT kv_backup('kv', 'another');
ROLLBACK;
BEGIN;
SELECT kv_backup('kv', 'another');
COMMIT;
.shell kvsql test.db "INSERT INTO kv VALUES('cherry', 5)" "SELECT kv_backup('kv', 'another')"
CREATE VIRTUAL TABLE copy USING kv(path='another', readonly=1);
SELECT * FROM copy;
DROP TABLE copy;

-- A store that must not be changed is not sealed: its log is copied.
INSERT INTO kv VALUES('quince', 6);
DROP TABLE kv;
CREATE VIRTUAL TABLE kv USING kv(path='data', readonly=1);
SELECT kv_backup('kv', 'readonly') > 4096;
SELECT kv_backup('kv', 'readonly');
CREATE VIRTUAL TABLE copy USING kv(path='readonly', auto_compact=off);
SELECT * FROM copy;
DROP TABLE copy;
DROP TABLE kv;

-- Damage does not get into a backup unnoticed.
CREATE VIRTUAL TABLE kv USING kv(path='data', auto_compact=off);
SELECT kv_compact('kv') >= 0;
DROP TABLE kv;
.shell bytes flip data/$(ls data | sed -n s/idx$/db/p) 4110
CREATE VIRTUAL TABLE kv USING kv(path='data', auto_compact=off);
SELECT kv_backup('kv', 'readonly');
SELECT kv_backup('kv', 'fresh');
.shell ls
CREATE VIRTUAL TABLE copy USING kv(path='readonly', auto_compact=off);
SELECT * FROM copy;
DROP TABLE copy;

-- To restore, copy the backup.
DROP TABLE kv;
.shell mv data damaged && cp -r readonly data
CREATE VIRTUAL TABLE kv USING kv(path='data', auto_compact=off);
REPLACE INTO kv VALUES('quince', 7);
SELECT * FROM kv;
SELECT kv_backup('kv', 'readonly');
SELECT kv_backup('kv', 'fresh');

-- Arguments.
SELECT kv_backup('kv', NULL);
SELECT kv_backup('kv', '');
SELECT kv_backup(NULL, 'x');
SELECT kv_backup('nothing', 'x');
SELECT kv_backup('kv');
CREATE VIEW sneaky AS SELECT kv_backup('kv', 'x');
SELECT * FROM sneaky;
