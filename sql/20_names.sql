-- Table and column names are any text; names never lead out of the default directory.
CREATE VIRTUAL TABLE "../../escape" USING kv;
CREATE VIRTUAL TABLE "two words" USING kv("the key" TEXT, "a ""quoted"" value");
CREATE VIRTUAL TABLE "select" USING kv("from", "where");
CREATE VIRTUAL TABLE 'it''s' USING kv;
CREATE VIRTUAL TABLE "имя" USING kv("ключ" TEXT, "значение");
CREATE VIRTUAL TABLE "a.b" USING kv;
CREATE VIRTUAL TABLE "%2E" USING kv;
CREATE VIRTUAL TABLE "semi;colon--" USING kv;
.shell ls test.db-kv
.shell ls .. | grep -c escape; true
INSERT INTO "../../escape" VALUES('a', 1);
INSERT INTO "two words" VALUES('a', 2);
INSERT INTO "select" VALUES('a', 3);
INSERT INTO "it's" VALUES('a', 4);
INSERT INTO "имя" VALUES('a', 5);
INSERT INTO "a.b" VALUES('a', 6);
INSERT INTO "%2E" VALUES('a', 7);
INSERT INTO "semi;colon--" VALUES('a', 8);
SELECT e.value, "a ""quoted"" value", "where", i.value, "значение", d.value, p.value, s.value
    FROM "../../escape" e, "two words", "select", "it's" i, "имя", "a.b" d, "%2E" p, "semi;colon--" s;
INSERT INTO "two words"("the key") VALUES('a');
INSERT INTO "it's" VALUES('a', 1);
INSERT INTO "two words"("two words") VALUES('compact');
SELECT kv_compact('two words') >= 0, kv_compact('it''s') >= 0, kv_compact('main.имя') >= 0, kv_compact('../../escape') >= 0;
SELECT name FROM kv_stats WHERE stat = 'keys' AND value = 1 ORDER BY name;

-- A column may have the table's name: then there is no hidden column for commands.
CREATE VIRTUAL TABLE self USING kv(self TEXT, value);
INSERT INTO self(self) VALUES('compact');
SELECT * FROM self;

-- Nor does anything break that looks like SQL in a path.
CREATE VIRTUAL TABLE odd USING kv(path='o''dd; DROP TABLE self; --');
INSERT INTO odd VALUES('a', 1);
.shell ls -d o*
SELECT count(*) FROM self;

-- One database of several: names are resolved as SQLite does.
ATTACH 'second.db' AS second;
CREATE VIRTUAL TABLE second.self USING kv;
INSERT INTO second.self VALUES('b', 2);
SELECT * FROM self;
SELECT * FROM second.self;
SELECT schema, name, value FROM kv_stats('second.self') WHERE stat = 'keys';
SELECT kv_compact('second.self') >= 0;
.shell ls second.db-kv
BEGIN;
INSERT INTO main.self VALUES('x', 1);
INSERT INTO second.self VALUES('x', 1);
COMMIT;
SELECT count(*) FROM main.self JOIN second.self s ON s.key = main.self.self;
DETACH second;
SELECT count(*) FROM self;
