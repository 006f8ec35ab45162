-- Opening a store restores everything, in each process anew.
CREATE VIRTUAL TABLE kv USING kv(id INTEGER, name TEXT, score REAL, path='data', segment_bytes='64KB');
INSERT INTO kv SELECT value, 'name ' || value, value / 4.0 FROM generate_series(-1000, 1000);
UPDATE kv SET score = NULL WHERE id % 10 = 0;
DELETE FROM kv WHERE id > 990;
SELECT count(*), min(id), max(id), sum(score), count(score) FROM kv;

.open :memory:
.shell kvsql test.db "SELECT count(*), min(id), max(id), sum(score), count(score) FROM kv" "SELECT * FROM kv WHERE id IN (-1000, 0, 1, 991)"

-- Processes share a store: each sees what others have committed.
.open test.db
.load kv
SELECT count(*), max(id) FROM kv;
.shell kvsql test.db "INSERT INTO kv VALUES(5000, 'from the other process', 1)" "DELETE FROM kv WHERE id < 0"
SELECT count(*), max(id) FROM kv;
UPDATE kv SET name = 'seen, and changed here' WHERE id = 5000;
.shell kvsql test.db "SELECT * FROM kv WHERE id = 5000" "SELECT kv_compact('kv') > 0"
SELECT count(*), max(id) FROM kv;

-- One that dies in the middle of a transaction does not hold up the others.
.shell kvsql test.db "BEGIN" "DELETE FROM kv" '.shell kill -9 \$PPID' || true
INSERT INTO kv VALUES(5001, 'went on', 2);
SELECT count(*), max(id) FROM kv;

-- A store may be attached from any database, an in-memory one too.
.open :memory:
.load kv
CREATE VIRTUAL TABLE mine USING kv(id INTEGER, name TEXT, score REAL, path='data');
SELECT count(*), max(id) FROM mine;
UPDATE mine SET name = 'from an in-memory database' WHERE id = 5001;
.open test.db
.load kv
SELECT * FROM kv WHERE id >= 900 AND id % 40 <= 1;

-- A copy of the directory of a store that nobody has open is a store.
.shell kvsql copy.db "CREATE VIRTUAL TABLE kv USING kv(path='to copy')" "INSERT INTO kv VALUES('a', 1), ('b', 2)"
.shell cp -r "to copy" copied; kvsql elsewhere.db "CREATE VIRTUAL TABLE kv USING kv(path='copied')" "SELECT * FROM kv"

-- Moved together with their database, stores are found again.
.shell kvsql movable.db "CREATE VIRTUAL TABLE kv USING kv" "INSERT INTO kv VALUES('a', 1)"
.shell mkdir sub; mv movable.db movable.db-kv sub; kvsql sub/movable.db "SELECT * FROM kv"

-- A connection that writes holds the store's writer: another one is told, at once or after its timeout.
.shell kvsql two.db "CREATE VIRTUAL TABLE kv USING kv(path='two')" "INSERT INTO kv VALUES('a', 1)"
CREATE VIRTUAL TABLE temp.first USING kv(path='two');
BEGIN;
INSERT INTO first VALUES('b', 2);
.connection 1
.open :memory:
.load kv
CREATE VIRTUAL TABLE second USING kv(path='two');
SELECT * FROM second;
.timeout 0
INSERT INTO second VALUES('c', 3);
.connection 0
COMMIT;
.connection 1
INSERT INTO second VALUES('c', 3);
SELECT * FROM second;
