-- What SQLite refuses on any virtual table, in its own words; and what to write instead.
CREATE VIRTUAL TABLE kv USING kv(path='data');
INSERT INTO kv VALUES('a', 1);
INSERT INTO kv VALUES('a', 2) ON CONFLICT(key) DO UPDATE SET value = 2;
REPLACE INTO kv VALUES('a', 2);
UPDATE kv SET value = value + 1 WHERE key = 'a';
INSERT OR IGNORE INTO kv VALUES('a', 1);
SELECT * FROM kv;
UPDATE kv SET value = 9 RETURNING value;
DELETE FROM kv RETURNING key;
CREATE TRIGGER t AFTER INSERT ON kv BEGIN SELECT 1; END;
CREATE INDEX i ON kv(value);
ALTER TABLE kv ADD COLUMN more;
ALTER TABLE kv RENAME COLUMN value TO other;
ALTER TABLE kv DROP COLUMN value;
SELECT rowid FROM kv;
SELECT * FROM kv WHERE _rowid_ = 1;
SELECT * FROM kv INDEXED BY i;
-- Triggers on other tables may write to it.
CREATE TABLE plain(x);
CREATE TRIGGER t AFTER INSERT ON plain BEGIN REPLACE INTO kv VALUES('from a trigger', new.x); END;
INSERT INTO plain VALUES(5);
SELECT * FROM kv;
-- No foreign key may reference it; a kv table has none itself.
PRAGMA foreign_keys = on;
CREATE TABLE child(x REFERENCES kv(key));
INSERT INTO child VALUES('a');
CREATE VIRTUAL TABLE parentless USING kv(key REFERENCES plain(x), value);
-- Other ways to copy: INSERT … SELECT, and CREATE TABLE … AS.
CREATE VIRTUAL TABLE wider USING kv(key TEXT, value INTEGER, added, path='wider');
INSERT INTO wider SELECT key, value, 'new' FROM kv;
SELECT * FROM wider;
CREATE TABLE copy AS SELECT * FROM wider;
SELECT count(*) FROM copy;
-- What copies the database copies the definition only.
DROP TRIGGER t;
DROP TABLE copy;
.shell kvsql test.db .dump | grep -c trigger; true
VACUUM INTO 'copy.db';
.shell mkdir elsewhere; mv copy.db elsewhere
.shell kvsql elsewhere/copy.db "SELECT path FROM kv_kvmeta" "SELECT count(*) FROM kv" || true
