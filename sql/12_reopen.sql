-- Opening a store restores everything, in each process anew.
CREATE VIRTUAL TABLE kv USING kv(id INTEGER, name TEXT, score REAL, path='data', segment_bytes=64KB);
INSERT INTO kv SELECT value, 'name ' || value, value / 4.0 FROM generate_series(-1000, 1000);
UPDATE kv SET score = NULL WHERE id % 10 = 0;
DELETE FROM kv WHERE id > 990;
.shell kvsql test.db "SELECT count(*), min(id), max(id), sum(score), count(score) FROM kv" "SELECT * FROM kv WHERE id IN (-1000, 0, 1, 991)"

-- This connection and another process are peers: each sees what the other commits.
.shell kvsql test.db "INSERT INTO kv VALUES(5000, 'from the other process', 1)"
SELECT * FROM kv WHERE id >= 900 AND id % 40 = 0;
UPDATE kv SET name = 'seen, and changed here' WHERE id = 5000;
.shell kvsql test.db "SELECT * FROM kv WHERE id = 5000"

-- A store may be attached from any database, an in-memory one too.
.shell kvsql :memory: "CREATE VIRTUAL TABLE mine USING kv(id INTEGER, name TEXT, score REAL, path='data')" "SELECT count(*), max(id) FROM mine"

-- A copy of the directory of a store that nobody has open is a store.
.shell kvsql copy.db "CREATE VIRTUAL TABLE kv USING kv(path='to copy')" "INSERT INTO kv VALUES('a', 1), ('b', 2)"
.shell cp -r "to copy" copied; kvsql elsewhere.db "CREATE VIRTUAL TABLE kv USING kv(path='copied')" "SELECT * FROM kv"

-- Moved together with their database, the default directory is found again.
.shell kvsql movable.db "CREATE VIRTUAL TABLE kv USING kv" "INSERT INTO kv VALUES('a', 1)"
.shell mkdir sub; mv movable.db movable.db-kv sub; kvsql sub/movable.db "SELECT * FROM kv"

-- A writer elsewhere holds the store: wait, or be told.
.shell (echo "BEGIN; INSERT INTO kv VALUES(6000, 'slow', 0); .shell sleep 1"; echo "COMMIT;") | sed "s/; \.shell/;\n.shell/" > slow.sql
CREATE VIRTUAL TABLE temp.direct USING kv(id INTEGER, name TEXT, score REAL, path='data');
.shell kvsql :memory: "CREATE VIRTUAL TABLE kv USING kv(id INTEGER, name TEXT, score REAL, path='data')" ".read slow.sql" & sleep 0.5
INSERT INTO direct VALUES(6001, 'too early', 0);
.timeout 10000
INSERT INTO direct VALUES(6001, 'waited', 0);
SELECT id, name FROM direct WHERE id >= 6000;
