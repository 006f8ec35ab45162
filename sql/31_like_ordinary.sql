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
