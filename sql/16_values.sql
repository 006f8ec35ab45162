-- Values of every type come back exactly as written. (Reals with 15 digits: how many more quote() shows depends on SQLite's release.)
CREATE VIRTUAL TABLE kv USING kv(key, value, path='data');
INSERT INTO kv VALUES('null', NULL), ('empty text', ''), ('empty blob', x''), ('text', 'héllo'),
    ('zero', 0), ('one', 1), ('minus one', -1), ('byte', 255), ('word', -32769), ('largest', 9223372036854775807),
    ('smallest', -9223372036854775807 - 1), ('real', 0.1), ('tiny', 5e-324), ('huge', 1.7976931348623157e308),
    ('negative zero', -0.0), ('infinity', 9e999), ('minus infinity', -9e999), ('real one', 1.0),
    ('blob', x'00010203ff'), ('text with NUL', cast(x'610062' AS TEXT)), ('long', hex(zeroblob(10000)));
SELECT key, typeof(value), CASE WHEN typeof(value) = 'real' THEN printf('%.15g', value)
    WHEN length(value) < 100 THEN quote(value) ELSE length(value) END FROM kv;
SELECT key FROM kv WHERE value IN (5e-324, 1.7976931348623157e308, 0.1, 9e999, -9e999);
SELECT hex(value) FROM kv WHERE key = 'text with NUL';

-- Keys of every type but NULL: numbers in their order, then text and blobs by bytes.
CREATE VIRTUAL TABLE k USING kv(key, value, path='k');
INSERT INTO k VALUES(1, 'integer'), (2.5, 'real'), (-1e300, 'real'), (-5, 'integer'), (9223372036854775807, 'integer'),
    (9223372036854775808.0, 'real'), (x'', 'empty blob'), (x'00', 'blob'), (x'ff', 'blob'), ('', 'empty text'), ('a', 'text'),
    ('1', 'text'), (cast(x'6100' AS TEXT), 'text with NUL'), ('ab', 'text'), (9007199254740993, 'integer'), (9007199254740992.0, 'real');
SELECT typeof(key), iif(typeof(key) = 'real', printf('%.15g', key), quote(key)), value FROM k;
SELECT iif(typeof(key) = 'real', printf('%.15g', key), quote(key)) FROM k WHERE key < 'a' ORDER BY key DESC;
SELECT iif(typeof(key) = 'real', printf('%.15g', key), quote(key)) FROM k WHERE key BETWEEN 2 AND 9007199254740993;
-- 1 and 1.0 are the same key; the row keeps the one written.
INSERT INTO k VALUES(1.0, 'real');
REPLACE INTO k VALUES(1.0, 'now a real');
SELECT typeof(key), key, value FROM k WHERE key = 1;
SELECT typeof(key), value FROM k WHERE key = '1';

-- Declared types are affinities, applied on write as an ordinary table applies them.
CREATE VIRTUAL TABLE t USING kv(key TEXT, i INTEGER, r REAL, t TEXT, n NUMERIC, b BLOB, a ANY, path='t');
CREATE TABLE plain(key TEXT PRIMARY KEY, i INTEGER, r REAL, t TEXT, n NUMERIC, b BLOB, a BLOB);
INSERT INTO plain VALUES(1, '2', '3', 4, '5.0', '6', '7'), (2.5, 2.0, 3, 4.5, '1e3', 6, 7), ('x', 'y', 'z', x'01', 'w', NULL, 1.0);
INSERT INTO t SELECT * FROM plain;
SELECT quote(key), quote(i), quote(r), quote(t), quote(n), quote(b), quote(a) FROM t;
SELECT quote(key), quote(i), quote(r), quote(t), quote(n), quote(b), quote(a) FROM plain;
SELECT typeof(i), typeof(r) FROM t WHERE key = 1;

-- A key column of a numeric type.
CREATE VIRTUAL TABLE n USING kv(id INTEGER, name TEXT, path='n');
INSERT INTO n VALUES('7', 'seven'), (8.0, 'eight'), ('nine', '9'), (7.5, 'seven and a half');
SELECT typeof(id), id, name FROM n;
SELECT name FROM n WHERE id = '7';
DELETE FROM n WHERE id IN (7, '8', 'nine');
SELECT * FROM n;

-- Many columns; only the key: then there is a `value`, too.
CREATE VIRTUAL TABLE wide USING kv(k, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18, c19, c20, path='wide');
INSERT INTO wide(k, c3, c20) VALUES(1, 'three', 'twenty');
UPDATE wide SET c10 = c20 || '?' WHERE k = 1;
SELECT k, c1, c3, c10, c20 FROM wide;
CREATE VIRTUAL TABLE keys USING kv(k TEXT, path='keys');
INSERT INTO keys(k) VALUES('b'), ('a');
SELECT k, value FROM keys;

-- A megabyte and more in one row, in one key 65,000 bytes.
INSERT INTO kv VALUES('big', zeroblob(3000000)), (hex(zeroblob(32500)), 'long key');
SELECT length(value) FROM kv WHERE key = 'big';
SELECT value FROM kv WHERE key = hex(zeroblob(32500));
