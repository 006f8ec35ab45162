-- Two sealed logs upon what a merge wrote, and an active log; overwritten and deleted rows in each.
CREATE VIRTUAL TABLE golden USING kv(k, a, b TEXT, c REAL, path='store', auto_compact=off);
INSERT INTO golden(k, a) VALUES('null', NULL), ('empty text', ''), ('empty blob', x''), ('text', 'héllo'),
    ('zero', 0), ('one', 1), ('minus one', -1), ('byte', 255), ('word', -32769), ('largest', 9223372036854775807),
    ('smallest', -9223372036854775807 - 1), ('real', 0.1), ('tiny', 5e-324), ('huge', 1.7976931348623157e308),
    ('negative zero', -0.0), ('infinity', 9e999), ('minus infinity', -9e999), ('real one', 1.0),
    ('blob', x'00010203ff'), ('text with NUL', cast(x'610062' AS TEXT)), ('long', zeroblob(1000));
INSERT INTO golden(k, a) VALUES(1, 'integer'), (2.5, 'real'), (-1e300, 'real'), (-5, 'integer'), (9223372036854775807, 'integer'),
    (9223372036854775808.0, 'real'), (x'', 'empty blob'), (x'00', 'blob'), (x'ff', 'blob'), ('', 'empty text'), ('a', 'text'),
    ('1', 'text'), (cast(x'6100' AS TEXT), 'text with NUL'), ('ab', 'text'), (9007199254740993, 'integer'), (9007199254740992.0, 'real'),
    (0, 'to be deleted'), ('b', 'to be deleted'), (zeroblob(300), 'a long key');
INSERT INTO golden VALUES('columns', 1, 2, 3), ('more columns', x'00', 'text', -0.5), ('affinities', '7', 8, '9');
WITH RECURSIVE n(i) AS (VALUES(100) UNION ALL SELECT i + 1 FROM n WHERE i < 199)
    INSERT INTO golden SELECT i, i * i, 'row ' || i, i / 8.0 FROM n;
SELECT kv_backup('golden', 'backup'); -- seals the log
UPDATE golden SET c = 1 WHERE k = 'columns';
DELETE FROM golden WHERE k = 0;
DELETE FROM golden WHERE k BETWEEN 150 AND 159;
SELECT kv_compact('golden') < 0;
BEGIN;
UPDATE golden SET b = 'overwritten' WHERE k BETWEEN 100 AND 109;
DELETE FROM golden WHERE k = 'b';
COMMIT;
INSERT INTO golden(k, a) VALUES('first log', 1);
SELECT kv_backup('golden', 'backup');
DELETE FROM golden WHERE k BETWEEN 110 AND 119;
REPLACE INTO golden VALUES(100, 'again', NULL, NULL), (1.0, 'integer no more', 1, 1);
SELECT kv_backup('golden', 'backup');
INSERT INTO golden(k, a) VALUES('active log', 1);
BEGIN;
DELETE FROM golden WHERE k = 120;
SAVEPOINT s;
DELETE FROM golden;
ROLLBACK TO s;
UPDATE golden SET k = 121.5 WHERE k = 121;
COMMIT;
