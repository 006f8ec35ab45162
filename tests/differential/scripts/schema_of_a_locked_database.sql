--- A locked database's table is not found if its schema is an old one: kv_check() has read but one anew.
-- differential: in a file
-- pragmas: PRAGMA page_size=512; PRAGMA journal_mode=delete; PRAGMA synchronous=off; PRAGMA cache_spill=off; PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=1; PRAGMA case_sensitive_like=0; PRAGMA automatic_index=1
-- run, schema: setup
CREATE VIRTUAL TABLE k USING kv(key BLOB, v NUMERIC, w INTEGER, x NUMERIC, y TEXT NOT NULL, path='k', synchronous=normal, segment_bytes='64KB', max_segment_bytes='256KB', fanout=3, tiers=4, garbage_ratio=0.35, auto_compact=on);
-- ordinary
CREATE TABLE k(key BLOB NOT NULL PRIMARY KEY, v NUMERIC, w INTEGER, x NUMERIC, y TEXT NOT NULL) WITHOUT ROWID;
-- run, schema: setup
CREATE VIRTUAL TABLE att.k3 USING kv(key INTEGER, v NUMERIC, w NUMERIC, x BIGINT, y NUMERIC, path='k3', synchronous=full, segment_bytes='64KB', max_segment_bytes='256KB', fanout=4, tiers=3, garbage_ratio=0.35, auto_compact=on);
-- ordinary
CREATE TABLE att.k3(key INTEGER NOT NULL PRIMARY KEY, v NUMERIC, w NUMERIC, x BIGINT, y NUMERIC) WITHOUT ROWID;
-- run, second, maintains: compact
SELECT c.* FROM sqlite_schema AS s CROSS JOIN kv_check(s.name) AS c WHERE s.sql LIKE '%USING kv(%';
-- run, second, ordered, reads: content
SELECT * FROM k ORDER BY key;
-- run: transaction
BEGIN EXCLUSIVE;
-- open, second, slot 1, reads: cursor
SELECT * FROM att.k3 ORDER BY key;
