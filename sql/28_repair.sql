-- kv_repair: what can still be read of a damaged store.
CREATE VIRTUAL TABLE kv USING kv(path='data', auto_compact=off);
INSERT INTO kv SELECT printf('key%02d', value), printf('%060d', value) FROM generate_series(1, 50);
SELECT kv_compact('kv') >= 0;
UPDATE kv SET value = 'new' WHERE key = 'key07';
DELETE FROM kv WHERE key = 'key20';
SELECT * FROM kv_repair('data');
.open :memory:
.load kv

-- A sound store stays as it is; so does what is no store.
SELECT * FROM kv_repair('data');
SELECT * FROM kv_repair('nowhere');
SELECT * FROM kv_repair;
SELECT * FROM kv_repair(NULL);
.shell cp -r data whole

-- A damaged row in a merged segment: it is lost, the others are there.
.shell bytes flip data/segment_000000000003.db 5000
.shell kvsql test.db "SELECT count(*) FROM kv"
SELECT * FROM kv_repair('data');
.shell kvsql test.db "SELECT count(*), sum(value = 'new') FROM kv" "SELECT * FROM kv WHERE key = 'key20'" "SELECT count(*) FROM kv_check"
.shell ls data/quarantine
SELECT * FROM kv_repair('data');
.shell rm -r data; cp -r whole data

-- The tombstone of key20 is damaged in the log: its old row does not return, but is kept aside.
.shell bytes flip data/segment_000000000002.db -131
.shell kvsql test.db "SELECT count(*) FROM kv"
SELECT * FROM kv_repair('data');
.shell kvsql test.db "SELECT count(*) FROM kv" "SELECT * FROM kv WHERE key = 'key20'"
CREATE VIRTUAL TABLE withheld USING kv(path='data/quarantine/withheld');
SELECT key, value + 0 FROM withheld;
DROP TABLE withheld;
.shell rm -r data; cp -r whole data

-- MANIFEST is gone: it is made anew, and the table that attaches first tells the columns.
.shell rm data/MANIFEST
.shell kvsql test.db "SELECT count(*) FROM kv"
SELECT * FROM kv_repair('data');
.shell kvsql test.db "SELECT count(*), sum(value = 'new') FROM kv" "SELECT * FROM kv WHERE key = 'key20'" "SELECT count(*) FROM kv_check"
CREATE VIRTUAL TABLE other USING kv(id INTEGER, path='data');

-- Not while somebody has it open, and not from a schema.
.shell kvsql test.db "SELECT count(*) FROM kv" "SELECT * FROM kv_repair('data')"
CREATE VIEW v AS SELECT * FROM kv_repair('data');
SELECT * FROM v;
