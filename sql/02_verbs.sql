-- The verbs of a key-value store.
CREATE VIRTUAL TABLE kv USING kv(path='data');

-- set
INSERT INTO kv VALUES('name', 'Ada'), ('city', 'London'), ('year', 1815);
REPLACE INTO kv VALUES('name', 'Ada Lovelace');
-- get
SELECT value FROM kv WHERE key = 'name';
-- get what is not there: no row
SELECT value FROM kv WHERE key = 'street';
-- an INSERT of a key that is there is refused
INSERT INTO kv VALUES('name', 'Charles');
-- update
UPDATE kv SET value = value + 37 WHERE key = 'year';
UPDATE kv SET key = 'town' WHERE key = 'city';
SELECT changes();
-- list, in order of the keys
SELECT key, value, typeof(value) FROM kv;
SELECT key FROM kv ORDER BY key DESC;
-- delete: the record of a delete is a tombstone, the older records stay until compaction
DELETE FROM kv WHERE key = 'town';
SELECT changes();
DELETE FROM kv WHERE key = 'nobody';
SELECT changes();
SELECT key FROM kv;
SELECT stat, value FROM kv_stats('kv') WHERE stat = 'records';
-- and set again
INSERT INTO kv VALUES('town', 'Paris');
SELECT value FROM kv WHERE key = 'town';

-- Keys and values are any text, in the order of their UTF-8 bytes.
INSERT INTO kv VALUES('ключ', 'значение'), ('键', '值'), ('clé', 'valeur'), ('🔑', '💎'), ('Ключ', 'Большой');
SELECT key, value FROM kv WHERE key IN ('🔑', 'ключ', '键', 'clé');
SELECT key FROM kv WHERE key >= 'town';
UPDATE kv SET value = '宝石' WHERE key = '🔑';
DELETE FROM kv WHERE key = '键';
SELECT key, value, length(value) FROM kv WHERE key > 'year';

-- count, prefix, first, last
SELECT count(*) FROM kv;
SELECT key FROM kv WHERE key GLOB 'кл*';
SELECT min(key), max(key) FROM kv;

-- The hidden column named as the table runs commands.
INSERT INTO kv(kv) VALUES('compact');
INSERT INTO kv(kv) VALUES('sync');
INSERT INTO kv(kv) VALUES('nonsense');
SELECT stat, value FROM kv_stats('kv') WHERE stat = 'records';

-- Everything is there for the next process.
.open :memory:
.shell kvsql test.db "SELECT key, value FROM kv"
