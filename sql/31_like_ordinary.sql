-- What random statements have found: each on a kv table and on an ordinary one, with the same result.
CREATE VIRTUAL TABLE kv USING kv(key TEXT, value INTEGER NOT NULL, path='data');
CREATE TABLE plain(key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO kv VALUES('a', 1);
INSERT INTO plain VALUES('a', 1);

-- A conflict that was ignored is not blamed for what fails later in the statement: here, another connection's lock.
.connection 1
.open test.db
.load kv
BEGIN; SELECT * FROM plain;
.connection 0
INSERT OR IGNORE INTO kv VALUES('a', 2), ('b', NULL), ('c', 3);
INSERT OR IGNORE INTO plain VALUES('a', 2), ('b', NULL), ('c', 3);
.connection 1
COMMIT;
.connection 0
SELECT * FROM kv;

-- DELETE and UPDATE with LIMIT, each as a connection's first statement (SQLite's shell is built with them).
INSERT INTO kv VALUES('b', 2), ('c', 3), ('d', 4), ('e', 5);
.shell kvsql test.db "DELETE FROM kv WHERE value < 5 ORDER BY key DESC LIMIT 2"
SELECT * FROM kv;
.shell kvsql test.db "UPDATE kv SET value = value * 10 ORDER BY key DESC LIMIT 1 OFFSET 1"
SELECT * FROM kv;
