-- Queries on the key go through the index: no sorting, no full scan. EXPLAIN QUERY PLAN shows it in words.
CREATE VIRTUAL TABLE kv USING kv(path='data');
INSERT INTO kv SELECT printf('user:%03d', value), value FROM generate_series(1, 100);
INSERT INTO kv SELECT printf('item:%03d', value), value * 10 FROM generate_series(1, 100);
CREATE TABLE orders(customer TEXT, item TEXT);
INSERT INTO orders VALUES('user:001', 'item:007'), ('user:001', 'item:009'), ('user:099', 'item:100'), ('user:500', 'item:001');

EXPLAIN QUERY PLAN SELECT * FROM kv WHERE key = 'user:042';
SELECT * FROM kv WHERE key = 'user:042';
EXPLAIN QUERY PLAN SELECT * FROM kv WHERE key IN ('user:042', 'nobody', 'item:001') ORDER BY key;
SELECT * FROM kv WHERE key IN ('user:042', 'nobody', 'item:001') ORDER BY key;
SELECT * FROM kv WHERE key = 'user:042' OR key = 'user:043';
EXPLAIN QUERY PLAN SELECT * FROM kv WHERE key > 'user:097' AND key <= 'user:099';
SELECT * FROM kv WHERE key > 'user:097' AND key <= 'user:099';
EXPLAIN QUERY PLAN SELECT * FROM kv WHERE key BETWEEN 'item:099' AND 'user:001' ORDER BY key DESC;
SELECT * FROM kv WHERE key BETWEEN 'item:099' AND 'user:001' ORDER BY key DESC;
EXPLAIN QUERY PLAN SELECT count(*) FROM kv WHERE key GLOB 'user:01*';
SELECT count(*), sum(value) FROM kv WHERE key GLOB 'user:01*';
EXPLAIN QUERY PLAN SELECT key FROM kv ORDER BY key LIMIT 2 OFFSET 1;
SELECT key FROM kv ORDER BY key LIMIT 2 OFFSET 1;
EXPLAIN QUERY PLAN SELECT key FROM kv ORDER BY key DESC LIMIT 2;
SELECT key FROM kv ORDER BY key DESC LIMIT 2;
EXPLAIN QUERY PLAN SELECT max(key) FROM kv;
SELECT min(key), max(key) FROM kv;
EXPLAIN QUERY PLAN SELECT * FROM kv;
EXPLAIN QUERY PLAN SELECT * FROM kv WHERE value = 50 ORDER BY value;
SELECT * FROM kv WHERE value = 50 ORDER BY key;

-- Joins look rows up by key, whichever way round they are written.
EXPLAIN QUERY PLAN SELECT customer, c.value, i.value FROM orders JOIN kv c ON c.key = customer JOIN kv i ON i.key = item;
SELECT customer, c.value, i.value FROM orders JOIN kv c ON c.key = customer JOIN kv i ON i.key = item ORDER BY item;
SELECT customer, c.value FROM orders LEFT JOIN kv c ON c.key = customer ORDER BY item;
SELECT substr(key, 1, 4) AS kind, count(*), max(value) FROM kv GROUP BY kind;
SELECT count(*) FROM kv a JOIN kv b ON b.key = 'user:' || substr(a.key, 6) WHERE a.key GLOB 'item:00*';
SELECT key FROM kv WHERE key IN (SELECT item FROM orders) ORDER BY key DESC;
SELECT key FROM kv WHERE key LIKE 'USER:01_' AND value % 5 = 0;
SELECT key FROM kv WHERE key NOT IN (SELECT key FROM kv WHERE key > 'item:002');
SELECT DISTINCT substr(key, 1, 7) FROM kv WHERE key < 'item:03';
WITH RECURSIVE hop(key) AS (SELECT 'user:001' UNION SELECT printf('user:%03d', value * 2) FROM hop JOIN kv USING (key) WHERE value < 60)
    SELECT group_concat(key, ' ') FROM hop;

-- Bounds of other types, empty and contradictory ranges, NULL.
SELECT count(*) FROM kv WHERE key > 5;
SELECT count(*) FROM kv WHERE key < 5;
SELECT count(*) FROM kv WHERE key < x'00';
SELECT count(*) FROM kv WHERE key > 'user:050' AND key < 'user:040';
SELECT count(*) FROM kv WHERE key = NULL;
SELECT count(*) FROM kv WHERE key IS NULL;
SELECT count(*) FROM kv WHERE key > '' AND key >= 'user:099' AND key <= 'zzz' AND key < 'user:100';

-- The same rows as an ordinary table gives.
CREATE TABLE plain AS SELECT * FROM kv;
SELECT count(*) FROM (SELECT * FROM kv EXCEPT SELECT * FROM plain) UNION ALL SELECT count(*) FROM (SELECT * FROM plain EXCEPT SELECT * FROM kv);

-- A plan for an INTEGER key.
CREATE VIRTUAL TABLE n USING kv(id INTEGER, name, path='n');
INSERT INTO n SELECT value, 'n' || value FROM generate_series(-10, 10);
EXPLAIN QUERY PLAN SELECT * FROM n WHERE id = 3;
SELECT * FROM n WHERE id = '3';
SELECT group_concat(id, ' ') FROM n WHERE id > -2.5 AND id < 2.5;
SELECT id FROM n WHERE id >= 9 ORDER BY id DESC;
