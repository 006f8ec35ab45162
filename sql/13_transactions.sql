-- Transactions, savepoints and rollback are exact, also together with ordinary tables.
CREATE VIRTUAL TABLE kv USING kv(path='data');
CREATE TABLE plain(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO kv VALUES('a', 1), ('b', 2), ('c', 3);

BEGIN;
UPDATE kv SET value = value * 10;
DELETE FROM kv WHERE key = 'b';
INSERT INTO kv VALUES('d', 4);
INSERT INTO plain VALUES('d', 4);
SELECT * FROM kv;
-- Others do not see it.
.connection 1
.open :memory:
.load kv
CREATE VIRTUAL TABLE kv USING kv(path='data');
SELECT * FROM kv;
.connection 0
ROLLBACK;
SELECT * FROM kv;
SELECT count(*) FROM plain;

-- Savepoints nest.
BEGIN;
INSERT INTO kv VALUES('e', 5);
SAVEPOINT one;
REPLACE INTO kv VALUES('a', 'in one'), ('e', 'in one');
SAVEPOINT two;
DELETE FROM kv;
SELECT count(*) FROM kv;
ROLLBACK TO two;
SELECT * FROM kv;
ROLLBACK TO one;
SELECT * FROM kv;
REPLACE INTO kv VALUES('f', 6);
RELEASE one;
COMMIT;
SELECT * FROM kv;

-- A statement that fails midway leaves nothing behind, in a transaction or outside.
INSERT INTO kv VALUES('g', 7), ('h', 8), ('a', 'again'), ('i', 9);
SELECT group_concat(key, '') FROM kv;
BEGIN;
INSERT INTO kv VALUES('g', 7);
INSERT INTO kv VALUES('h', 8), ('a', 'again');
SELECT group_concat(key, '') FROM kv;
COMMIT;
SELECT group_concat(key, '') FROM kv;

-- A savepoint outside of BEGIN is a transaction.
SAVEPOINT outer;
DELETE FROM kv WHERE key > 'c';
ROLLBACK TO outer;
DELETE FROM kv WHERE key > 'e';
RELEASE outer;
SELECT group_concat(key, '') FROM kv;

-- A trigger on an ordinary table may write to a kv table, in the same transaction.
CREATE TRIGGER log AFTER INSERT ON plain BEGIN INSERT INTO kv VALUES('from trigger ' || new.key, new.value); END;
INSERT INTO plain VALUES('x', 1);
BEGIN;
INSERT INTO plain VALUES('y', 2);
ROLLBACK;
SELECT * FROM kv WHERE key GLOB 'from*';

-- Large transactions are whole too.
BEGIN;
INSERT INTO kv SELECT 'n' || value, zeroblob(100) FROM generate_series(1, 50000);
SELECT count(*) FROM kv;
ROLLBACK;
SELECT count(*) FROM kv;
INSERT INTO kv SELECT 'n' || value, zeroblob(100) FROM generate_series(1, 50000);
.open :memory:
.connection close 1
.shell kvsql test.db "SELECT count(*), sum(length(value)) FROM kv WHERE key GLOB 'n*'"

-- What a transaction wrote and did not commit is gone with its process.
.shell kvsql test.db "BEGIN" "DELETE FROM kv" "SELECT count(*) FROM kv" '.shell kill -9 \$PPID' || true
.shell kvsql test.db "SELECT count(*) FROM kv"
