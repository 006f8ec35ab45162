-- Open a store: CREATE VIRTUAL TABLE makes its directory, or attaches to the one that is there.

-- Without a path the directory is <database file>-kv/<table>; the columns are `key` and `value`.
CREATE VIRTUAL TABLE kv USING kv;
.shell ls test.db-kv/kv
INSERT INTO kv VALUES('greeting', 'hello');
SELECT * FROM kv;

-- With a path, relative to the database file; missing parents are created.
-- Logs of this table are sealed at 1 MB instead of 64 MB.
CREATE VIRTUAL TABLE words USING kv(word TEXT, meaning TEXT, weight REAL,
    path='data/words', segment_bytes='1MB', synchronous=normal);
.shell ls data/words
INSERT INTO words VALUES('log', 'a file that only grows', '1.5');
SELECT word, meaning, weight, typeof(weight) FROM words;

-- A second table on the same store shows the same rows, also inside a transaction.
CREATE VIRTUAL TABLE words2 USING kv(word TEXT, meaning TEXT, weight REAL, path='data/words');
BEGIN;
INSERT INTO words2 VALUES('segment', 'a part of the store', 2);
SELECT word FROM words ORDER BY word;
COMMIT;
SELECT count(*) FROM words, words2 USING (word);

-- Its columns must be those of the store.
CREATE VIRTUAL TABLE words3 USING kv(word TEXT, meaning BLOB, path='data/words');

-- The default path always means a new store: files that a dropped table left are not taken over.
DROP TABLE kv;
CREATE VIRTUAL TABLE kv USING kv;
CREATE VIRTUAL TABLE kv USING kv(path='test.db-kv/kv');
SELECT * FROM kv;

-- A temporary table, or an in-memory database, has a temporary store.
CREATE VIRTUAL TABLE temp.scratch USING kv;
INSERT INTO scratch VALUES('a', 1);
SELECT * FROM scratch;
.shell ls

-- What a table was made with.
SELECT stat, value FROM kv_stats('words') WHERE stat IN ('path', 'synchronous') ORDER BY stat;
