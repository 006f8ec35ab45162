-- A kv table: the key is the code point in hexadecimal digits, the other columns are the fields of the file.
-- Its rows live in the directory unicode.db-kv/chars, in logs that are sealed at 1 MB.
CREATE VIRTUAL TABLE chars USING kv(
    code TEXT, name TEXT, category TEXT, combining INTEGER, bidi TEXT, decomposition TEXT,
    decimal INTEGER, digit INTEGER, numeric TEXT, mirrored TEXT, old_name TEXT, comment TEXT,
    upper TEXT, lower TEXT, title TEXT, segment_bytes='1MB', synchronous=normal, auto_compact=off);
.mode list
.separator ";"
.import /usr/share/unicode/UnicodeData.txt chars
.mode table
SELECT count(*) AS characters, min(code) AS first, max(code) AS last FROM chars;

-- Look characters up by key.
SELECT code, name, category, lower FROM chars WHERE code = '0041';
SELECT code, name FROM chars WHERE code IN ('20AC', '1F511', '0BF5', '2603');

-- A range, in the order of the keys, and backwards.
SELECT code, name FROM chars WHERE code BETWEEN '0041' AND '0044';
SELECT code, name FROM chars WHERE code < '0041' ORDER BY code DESC LIMIT 3;

-- A prefix. The plan shows that only these rows are read.
SELECT code, name FROM chars WHERE code GLOB '1F60*' LIMIT 4;
EXPLAIN QUERY PLAN SELECT code, name FROM chars WHERE code GLOB '1F60*';

-- An ordinary table beside it, for joins: the blocks of Unicode.
CREATE TABLE lines(line TEXT);
.mode list
.separator "|"
.import /usr/share/unicode/Blocks.txt lines
.mode table
CREATE TABLE blocks AS SELECT
        substr(line, 1, instr(line, '.') - 1) AS first,
        substr(line, instr(line, '..') + 2, instr(line, ';') - instr(line, '..') - 2) AS last,
        substr(line, instr(line, ';') + 2) AS name
    FROM lines WHERE line GLOB '[0-9A-F]*..*;*';
SELECT b.name AS block, count(*) AS characters, min(c.name) AS one_of_them
    FROM blocks b JOIN chars c ON c.code BETWEEN b.first AND b.last AND length(c.code) = length(b.first)
    WHERE b.name IN ('Basic Latin', 'Cyrillic', 'Arrows', 'Emoticons', 'Egyptian Hieroglyphs')
    GROUP BY b.name ORDER BY b.first;
SELECT capital.code, capital.name, small.code, small.name
    FROM chars capital JOIN chars small ON small.code = capital.lower WHERE capital.code GLOB '041[0-3]';

-- A transaction that is rolled back, and one that stays.
BEGIN;
UPDATE chars SET comment = 'seen' WHERE category = 'Lu';
SELECT changes() AS capitals, (SELECT count(*) FROM chars WHERE comment = 'seen') AS seen;
ROLLBACK;
SELECT count(*) AS seen FROM chars WHERE comment = 'seen';
BEGIN;
UPDATE chars SET comment = 'a favourite' WHERE code IN ('2603', '1F511');
DELETE FROM chars WHERE name GLOB 'CJK COMPATIBILITY IDEOGRAPH-*';
COMMIT;
SELECT count(*) AS characters FROM chars;

-- Updates leave dead records in the segments, deletes leave tombstones. Compaction rewrites what is live.
UPDATE chars SET mirrored = NULL WHERE mirrored = 'N';
SELECT stat, value FROM kv_stats('chars') WHERE stat IN
    ('keys', 'segments', 'runs', 'records', 'tombstones', 'disk_bytes', 'dead_bytes', 'space_amplification');
SELECT kv_compact('chars') AS bytes_freed;
SELECT stat, value FROM kv_stats('chars') WHERE stat IN
    ('keys', 'segments', 'runs', 'records', 'tombstones', 'disk_bytes', 'dead_bytes', 'space_amplification');
SELECT segment, tier, state, records, file_bytes, min_key, max_key FROM kv_segments('chars');
