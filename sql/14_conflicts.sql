-- Conflicts: the clauses of an ordinary table, with the same codes, messages and counts. Each statement
-- runs on a kv table and on an ordinary one.
CREATE VIRTUAL TABLE kv USING kv(key TEXT, value INTEGER NOT NULL, path='data');
CREATE TABLE plain(key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO kv VALUES('a', 1), ('b', 2), ('c', 3);
INSERT INTO plain VALUES('a', 1), ('b', 2), ('c', 3);

INSERT INTO kv VALUES('a', 10);
INSERT INTO plain VALUES('a', 10);
INSERT OR IGNORE INTO kv VALUES('a', 10), ('d', 4), ('b', 20); SELECT changes();
INSERT OR IGNORE INTO plain VALUES('a', 10), ('d', 4), ('b', 20); SELECT changes();
INSERT OR FAIL INTO kv VALUES('e', 5), ('a', 10), ('f', 6);
INSERT OR FAIL INTO plain VALUES('e', 5), ('a', 10), ('f', 6);
SELECT group_concat(key || value, ' ') FROM kv;
SELECT group_concat(key || value, ' ') FROM plain;
INSERT OR REPLACE INTO kv VALUES('a', 10), ('g', 7); SELECT changes();
INSERT OR REPLACE INTO plain VALUES('a', 10), ('g', 7); SELECT changes();

BEGIN; INSERT INTO kv VALUES('h', 8);
INSERT OR ROLLBACK INTO kv VALUES('i', 9), ('a', 11);
COMMIT;
BEGIN; INSERT INTO plain VALUES('h', 8);
INSERT OR ROLLBACK INTO plain VALUES('i', 9), ('a', 11);
COMMIT;
SELECT group_concat(key || value, ' ') FROM kv;
SELECT group_concat(key || value, ' ') FROM plain;

-- NULL
INSERT INTO kv VALUES(NULL, 1);
INSERT INTO plain VALUES(NULL, 1);
INSERT INTO kv VALUES('n', NULL);
INSERT INTO plain VALUES('n', NULL);
INSERT OR IGNORE INTO kv VALUES(NULL, 1), ('n', NULL); SELECT changes();
INSERT OR IGNORE INTO plain VALUES(NULL, 1), ('n', NULL); SELECT changes();
INSERT OR REPLACE INTO kv VALUES('n', NULL);
INSERT OR REPLACE INTO plain VALUES('n', NULL);
UPDATE kv SET key = NULL WHERE key = 'a';
UPDATE plain SET key = NULL WHERE key = 'a';
UPDATE kv SET value = NULL WHERE key = 'a';
UPDATE plain SET value = NULL WHERE key = 'a';

-- UPDATE of the key
UPDATE kv SET key = 'b' WHERE key = 'a';
UPDATE plain SET key = 'b' WHERE key = 'a';
UPDATE OR IGNORE kv SET key = 'b' WHERE key IN ('a', 'c'); SELECT changes();
UPDATE OR IGNORE plain SET key = 'b' WHERE key IN ('a', 'c'); SELECT changes();
UPDATE OR REPLACE kv SET key = 'b' WHERE key = 'a'; SELECT changes();
UPDATE OR REPLACE plain SET key = 'b' WHERE key = 'a'; SELECT changes();
UPDATE kv SET key = key || key WHERE key > 'c'; SELECT changes();
UPDATE plain SET key = key || key WHERE key > 'c'; SELECT changes();
SELECT group_concat(key || value, ' ') FROM kv;
SELECT group_concat(key || value, ' ') FROM plain;

-- UPDATE FROM, INSERT SELECT from itself, RETURNING, total_changes(), last_insert_rowid()
UPDATE kv SET value = p.value * 100 FROM plain p WHERE p.key = kv.key AND p.value > 3; SELECT changes();
UPDATE plain SET value = p.value * 100 FROM kv p WHERE p.key = plain.key AND p.value > 300; SELECT changes();
INSERT INTO kv SELECT key || '!', value + 1 FROM kv; SELECT changes();
INSERT INTO kv VALUES('r', 1) RETURNING key, value + 1;
SELECT * FROM kv;
CREATE TABLE counter(n INTEGER PRIMARY KEY);
INSERT INTO counter VALUES(42);
INSERT INTO kv VALUES('s', 1);
SELECT last_insert_rowid();

-- What SQLite refuses on virtual tables
INSERT INTO kv VALUES('r', 1) ON CONFLICT DO NOTHING;
INSERT INTO kv VALUES('r', 1) ON CONFLICT(key) DO UPDATE SET value = 2;
DELETE FROM kv WHERE key = 'r' RETURNING key;
SELECT rowid FROM kv;
CREATE INDEX i ON kv(value);
CREATE TRIGGER t AFTER INSERT ON kv BEGIN SELECT 1; END;
ALTER TABLE kv ADD COLUMN more;
