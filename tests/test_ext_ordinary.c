/*
 * What SQLite's own tests say of conflict clauses, savepoints, IN, LIKE and
 * GLOB, ORDER BY and row values, said to kv tables and to ordinary ones.
 * COVERAGE.md tells which of SQLite's files each script follows.
 */
#include <sqlite3.h>
#include <string.h>

#include "database.h"
#include "runner.h"

/*
 * Each is run on t(key TEXT, value), n(id INTEGER, v) and u(key, value), and
 * on plain(x), an ordinary table on both sides.
 */
static const char *const scripts[] = {
    /* conflict.test, conflict2.test: a transaction of two tables, each clause */
    "BEGIN; INSERT INTO plain VALUES(1); INSERT INTO t VALUES('b', 4); COMMIT",
    "BEGIN; INSERT INTO plain VALUES(1); INSERT OR IGNORE INTO t VALUES('b', 4); COMMIT",
    "BEGIN; INSERT INTO plain VALUES(1); INSERT OR REPLACE INTO t VALUES('b', 4); COMMIT",
    "BEGIN; INSERT INTO plain VALUES(1); REPLACE INTO t VALUES('b', 4); COMMIT",
    "BEGIN; INSERT INTO plain VALUES(1); INSERT OR FAIL INTO t VALUES('y', 1), ('b', 4); COMMIT",
    "BEGIN; INSERT INTO plain VALUES(1); INSERT OR ABORT INTO t VALUES('y', 1), ('b', 4); COMMIT",
    "BEGIN; INSERT INTO plain VALUES(1); INSERT OR ROLLBACK INTO t VALUES('y', 1), ('b', 4); "
    "COMMIT",
    /* The same of NULL */
    "BEGIN; INSERT INTO plain VALUES(1); INSERT OR IGNORE INTO t VALUES('y', 1), (NULL, 4); COMMIT",
    "BEGIN; INSERT INTO plain VALUES(1); INSERT OR REPLACE INTO t VALUES('y', 1), (NULL, 4); "
    "COMMIT",
    "BEGIN; INSERT INTO plain VALUES(1); INSERT OR FAIL INTO t VALUES('y', 1), (NULL, 4); COMMIT",
    "BEGIN; INSERT INTO plain VALUES(1); INSERT OR ROLLBACK INTO t VALUES('y', 1), (NULL, 4); "
    "COMMIT",
    /* UPDATE to keys that meet */
    "UPDATE n SET id = id % 3 + 5",
    "UPDATE OR IGNORE n SET id = id % 3 + 5",
    "UPDATE OR FAIL n SET id = id % 3 + 105",
    "UPDATE OR ABORT n SET id = id % 3 + 105",
    "BEGIN; INSERT INTO plain VALUES(1); UPDATE OR ROLLBACK n SET id = id % 3 + 105; COMMIT",
    "UPDATE OR REPLACE n SET id = id % 3 + 105",
    "UPDATE OR IGNORE n SET id = 1000; SELECT v FROM n WHERE id = 1000",
    "UPDATE OR REPLACE n SET id = 1001; SELECT v FROM n WHERE id = 1001; SELECT count(*) FROM n",
    "UPDATE n SET id = -id",
    "UPDATE n SET id = id + 1000 WHERE id > 4",
    "UPDATE OR REPLACE n SET id = id - 1 WHERE id > 1",
    "UPDATE n SET id = NULL WHERE id = 2",
    "UPDATE OR IGNORE n SET id = NULL",
    "UPDATE OR REPLACE n SET id = NULL WHERE id = 2",
    /* Counting what was ignored or replaced */
    "INSERT OR IGNORE INTO t VALUES('b', 3)",
    "INSERT OR REPLACE INTO t VALUES('b', 3)",
    "INSERT OR IGNORE INTO n SELECT * FROM n",
    "INSERT OR IGNORE INTO n SELECT id + 2, v FROM n",
    "REPLACE INTO n SELECT id + 3, v FROM n",
    "INSERT INTO n SELECT id + 2, v FROM n",
    /* Statements that fail midway, and what came before them in the transaction */
    "BEGIN; INSERT OR ROLLBACK INTO t VALUES('x', 1); INSERT OR ROLLBACK INTO t VALUES('x', 2); "
    "COMMIT",
    "BEGIN; UPDATE t SET value = 0; DELETE FROM t WHERE key = 'c'; INSERT INTO t SELECT 'same', id "
    "FROM n;"
    "COMMIT",
    "BEGIN; UPDATE n SET id = id + 1; INSERT INTO n SELECT 50, v FROM n; ROLLBACK",
    /* trigger2.test: the clause of a trigger's own statement, and of the statement outside */
    "CREATE TRIGGER r AFTER INSERT ON plain BEGIN INSERT OR IGNORE INTO t VALUES('b', new.x); END;"
    "INSERT INTO plain VALUES(1); INSERT OR REPLACE INTO plain VALUES(2)",
    "CREATE TRIGGER r AFTER INSERT ON plain BEGIN INSERT INTO t VALUES('b', new.x); END;"
    "INSERT INTO plain VALUES(1); INSERT OR IGNORE INTO plain VALUES(2);"
    "INSERT OR REPLACE INTO plain VALUES(3); INSERT OR FAIL INTO plain VALUES(4)",
    "CREATE TRIGGER r AFTER DELETE ON plain BEGIN UPDATE n SET id = id + old.x; END;"
    "INSERT INTO plain VALUES(100), (200); DELETE FROM plain",

    /* savepoint.test: nesting, names used twice, RELEASE of an outer one, none of that name */
    "SAVEPOINT a; SAVEPOINT b; INSERT INTO t VALUES('x', 1); RELEASE a; ROLLBACK TO a; COMMIT",
    "SAVEPOINT a; INSERT INTO t VALUES('x', 1); SAVEPOINT A; INSERT INTO t VALUES('y', 1);"
    "ROLLBACK TO a; ROLLBACK TO a; RELEASE a; SELECT count(*) FROM t; RELEASE a",
    "BEGIN; SAVEPOINT a; DELETE FROM t; SAVEPOINT b; INSERT INTO t VALUES('x', 1); SAVEPOINT c;"
    "UPDATE t SET value = 9; ROLLBACK TO c; RELEASE b; SELECT * FROM t; ROLLBACK TO a; COMMIT",
    "BEGIN; INSERT INTO t VALUES('x', 1); SAVEPOINT a; ROLLBACK; ROLLBACK TO a; RELEASE a",
    "SAVEPOINT a; INSERT INTO t VALUES('x', 1); BEGIN; COMMIT; SELECT count(*) FROM t; RELEASE a",
    "SAVEPOINT \"With spaces \"; INSERT INTO t VALUES('x', 1); ROLLBACK TO \"with Spaces \";"
    "INSERT INTO t VALUES('y', 1); RELEASE \"WITH spaces \"",
    "SAVEPOINT a; SAVEPOINT b; SAVEPOINT c; DELETE FROM n; ROLLBACK TRANSACTION TO SAVEPOINT c;"
    "ROLLBACK TRANSACTION TO b; SELECT count(*) FROM n; RELEASE SAVEPOINT A; RELEASE a",
    /* savepoint.test 6 and 7, savepoint2.test: a large part of the table changes in each */
    "BEGIN; UPDATE n SET v = v || 1; SAVEPOINT a; DELETE FROM n WHERE id % 2; SAVEPOINT b;"
    "UPDATE n SET id = -id; ROLLBACK TO b; SELECT count(*) FROM n; RELEASE b; ROLLBACK TO a; "
    "COMMIT",
    "SAVEPOINT a; REPLACE INTO n SELECT id, 'r' FROM n; SAVEPOINT b; DELETE FROM n; ROLLBACK TO a;"
    "RELEASE a",
    /* savepoint6.test: reading between, by every way */
    "SAVEPOINT a; INSERT INTO t VALUES('bb', 1); SELECT key FROM t WHERE key IN ('b', 'bb', 'c');"
    "ROLLBACK TO a; SELECT key FROM t WHERE key IN ('b', 'bb', 'c');"
    "SELECT key FROM t WHERE key GLOB 'b*'; SELECT max(key) FROM t; RELEASE a",
    /* savepoint.test 12: the transaction ends by a conflict while savepoints are open */
    "SAVEPOINT a; INSERT INTO t VALUES('x', 1); SAVEPOINT b; INSERT OR ROLLBACK INTO t VALUES('b', "
    "1);"
    "RELEASE b; RELEASE a",

    /* in.test: lists of values, of columns, with NULL, of nothing */
    "SELECT id FROM n WHERE id IN (3, 1, 2, 3, NULL) ORDER BY id",
    "SELECT id FROM n WHERE id NOT IN (3, 1, 2) ORDER BY id",
    "SELECT id FROM n WHERE id NOT IN (3, NULL) ORDER BY id",
    "SELECT id FROM n WHERE id IN ()",
    "SELECT id FROM n WHERE id NOT IN () ORDER BY id",
    "SELECT id FROM n WHERE id IN (v, 4, id + 0) ORDER BY id",
    "SELECT id IN (1, 2), v IN ('v3') FROM n ORDER BY id",
    "SELECT id FROM n WHERE id IN ('3', 4.0, 4.5, x'35') ORDER BY id",
    "SELECT key FROM t WHERE key IN (1, '1', 2.5, 'b') ORDER BY key",
    "SELECT quote(key) FROM u WHERE key IN (1, '1', 2.5, x'61', 'b') ORDER BY key",
    /* in2.test, in3.test, in4.test: subqueries, large lists, ORDER BY */
    "SELECT id FROM n WHERE id IN (SELECT id * 2 FROM n) ORDER BY id DESC",
    "SELECT id FROM n WHERE id IN (SELECT id FROM n WHERE id > 3 UNION SELECT 1) ORDER BY id",
    "SELECT id FROM n WHERE id IN (SELECT NULL) OR id = 2",
    "SELECT id FROM n WHERE id IN (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 2 FROM c "
    "WHERE i < 500) SELECT i FROM c) ORDER BY id",
    "SELECT count(*) FROM n a WHERE EXISTS (SELECT 1 FROM n b WHERE b.id IN (a.id, a.id + 1))",
    "DELETE FROM n WHERE id IN (SELECT id + 1 FROM n)",
    "UPDATE n SET v = 0 WHERE id IN (1, '2', 9)",
    "SELECT id FROM n WHERE id IN plain",
    "SELECT id FROM n WHERE id IN n",
    "SELECT 2 IN (SELECT value FROM t), 99 IN (SELECT value FROM t), 99 NOT IN (SELECT value FROM "
    "t),"
    "'zz' IN (SELECT key FROM t), NULL IN (SELECT key FROM t), NULL IN (SELECT key FROM t WHERE 0)",
    "SELECT a.key, b.key FROM t a, t b WHERE a.key IN (b.value) ORDER BY 1, 2",
    "SELECT a.key, b.key FROM t a, t b WHERE a.value IN (b.key) ORDER BY 1, 2",
    "SELECT n.id, t.key FROM n LEFT JOIN t ON t.value = n.id AND t.key IN ('b', 'b', 'c') ORDER BY "
    "1",
    "SELECT id FROM n WHERE id IN (SELECT count(*) FROM n WHERE id < 4)",
    "SELECT count(*) FROM n WHERE id IN (SELECT DISTINCT id / 2 FROM n ORDER BY 1 LIMIT 3)",
    "SELECT value FROM t WHERE key IN ('b', 'b%', 'a') ORDER BY value ASC NULLS LAST",
    /* in5.test, in6.test, in7.test: IN with other constraints, and two of them */
    "SELECT id FROM n WHERE id IN (1, 2, 3, 4) AND id > 2",
    "SELECT * FROM n WHERE id IN (2, 3) AND v = 'v3'",
    "SELECT id FROM n WHERE id IN (1, 2, 3) AND id IN (2, 3, 4) ORDER BY id",
    "SELECT a.id, b.id FROM n a, n b WHERE a.id IN (1, 2) AND b.id IN (a.id, 3) ORDER BY 1, 2",
    "SELECT id FROM n WHERE id IN (5, 1, 3) ORDER BY id LIMIT 1 OFFSET 1",

    /* like.test, like2.test, like3.test */
    "SELECT key FROM t WHERE key LIKE 'B%' ORDER BY key",
    "SELECT key FROM t WHERE key LIKE 'b_' ORDER BY 1",
    "SELECT key FROM t WHERE key LIKE '%' ORDER BY key",
    "SELECT key FROM t WHERE key LIKE 'b!%%' ESCAPE '!'",
    "SELECT key FROM t WHERE key NOT LIKE 'b%' ORDER BY key",
    "SELECT key FROM t WHERE key LIKE NULL",
    "PRAGMA case_sensitive_like = 1; SELECT key FROM t WHERE key LIKE 'b%' ORDER BY key;"
    "SELECT key FROM t WHERE key LIKE 'B%' ORDER BY key; PRAGMA case_sensitive_like = 0",
    "SELECT key FROM t WHERE key GLOB 'b*' ORDER BY key DESC",
    "SELECT key FROM t WHERE key GLOB 'B*'",
    "SELECT key FROM t WHERE key GLOB 'b' ORDER BY key",
    "SELECT key FROM t WHERE key GLOB '[a-b]*' ORDER BY key",
    "SELECT key FROM t WHERE key GLOB '' ORDER BY key",
    "SELECT key FROM t WHERE key NOT GLOB 'b*' ORDER BY key",
    "SELECT key FROM t WHERE key GLOB 'b*' AND key > 'ba' ORDER BY key",
    "SELECT key FROM t WHERE key GLOB '1*' ORDER BY key",
    "SELECT id FROM n WHERE id GLOB '1*' ORDER BY id",
    "SELECT id FROM n WHERE id LIKE '1%' ORDER BY id",
    "SELECT quote(key) FROM u WHERE key GLOB '1*' ORDER BY key",
    "SELECT quote(key) FROM u WHERE key LIKE 'a%' ORDER BY key",
    "PRAGMA case_sensitive_like = 1; SELECT quote(key) FROM u WHERE key LIKE 'a%' ORDER BY key;"
    "SELECT quote(key) FROM u WHERE key LIKE 'a%' ORDER BY key DESC; PRAGMA case_sensitive_like = "
    "0",
    "SELECT key FROM t WHERE key GLOB 'ж*'",
    "SELECT key FROM t WHERE key LIKE ('b' || '%') ORDER BY key",
    "SELECT key FROM t WHERE key GLOB ('b' || '*') ORDER BY key",
    "SELECT key FROM t WHERE +key GLOB 'b*' ORDER BY key",
    "SELECT key FROM t WHERE key LIKE 'b%%' ESCAPE '%'",
    "SELECT key FROM t WHERE key LIKE 'b%' COLLATE BINARY ORDER BY key",
    "SELECT quote(key) FROM u WHERE key >= x'61' AND key GLOB 'a*' ORDER BY key",
    "SELECT quote(key) FROM u WHERE key GLOB '-*'",
    "SELECT quote(key) FROM u WHERE key GLOB '1*' ORDER BY key DESC",
    "INSERT INTO t VALUES(CAST(x'61ff62' AS TEXT), 1), (CAST(x'61ffff' AS TEXT), 2), ('b', 3);"
    "REPLACE INTO t VALUES(CAST(x'61ff62' AS TEXT), 1), (CAST(x'61ffff' AS TEXT), 2);"
    "SELECT hex(key) FROM t WHERE key GLOB CAST(x'61ff2a' AS TEXT) ORDER BY key;"
    "SELECT hex(a.key) FROM t a WHERE a.key GLOB a.key || '*' ORDER BY a.key",
    "SELECT key FROM t WHERE key REGEXP 'b' ORDER BY key",
    "SELECT key FROM t WHERE key MATCH 'c' ORDER BY key",
    "SELECT key FROM t WHERE key GLOB 5 OR key GLOB x'62' ORDER BY key",

    /* in.test 11, in4.test 4, orderby5.test 5: numbers beside keys that may be texts of numbers */
    "SELECT quote(key) FROM t WHERE key = 1",
    "SELECT quote(key) FROM t WHERE key = 1 + 0",
    "SELECT quote(key) FROM t WHERE key = 1.0",
    "SELECT quote(key) FROM t WHERE key IN (1, 10.0, 'b')",
    "SELECT quote(key) FROM t WHERE key = (SELECT id FROM n WHERE v = 'v1') ORDER BY key",
    "SELECT quote(key) FROM t WHERE key IN (SELECT id FROM n) ORDER BY key",
    "SELECT quote(key) FROM t WHERE key IN (SELECT id FROM n) ORDER BY key DESC",
    "SELECT quote(key) FROM t WHERE key IN (SELECT -id FROM n) ORDER BY key",
    "SELECT quote(key) FROM t WHERE key NOT IN (SELECT id FROM n) ORDER BY key",
    "SELECT n.id, quote(t.key) FROM n CROSS JOIN t ON t.key = n.id ORDER BY 1, 2",
    "SELECT n.id, quote(t.key) FROM n LEFT JOIN t ON t.key = n.id ORDER BY 1, 2",
    "SELECT n.id, quote(t.key) FROM n CROSS JOIN t ON t.key < n.id ORDER BY 1, 2",
    "SELECT n.id, quote(t.key) FROM n CROSS JOIN t ON t.key BETWEEN n.id AND 20 ORDER BY 1, 2",
    "SELECT n.id, quote(t.key) FROM t CROSS JOIN n ON t.key = n.id ORDER BY 1, 2",
    "SELECT quote(key) FROM u WHERE key = 1",
    "SELECT quote(key) FROM u WHERE key < 2",
    "SELECT quote(key) FROM u WHERE key IN (1, 12, 'b') ORDER BY key",
    "SELECT quote(key) FROM u WHERE key = (SELECT id FROM n WHERE v = 'v1') ORDER BY key",
    "SELECT quote(key) FROM u WHERE key IN (SELECT id FROM n) ORDER BY key",
    "SELECT quote(key) FROM u WHERE key IN (SELECT id FROM n) ORDER BY key DESC",
    "SELECT n.id, quote(u.key) FROM n CROSS JOIN u ON u.key = n.id ORDER BY 1, 2",
    "SELECT n.id, quote(u.key) FROM n CROSS JOIN u ON u.key < n.id ORDER BY 1, 2",
    "SELECT n.id, quote(u.key) FROM n CROSS JOIN u ON u.key >= n.id ORDER BY 1, 2",
    "SELECT n.id, quote(u.key) FROM n CROSS JOIN u ON u.key BETWEEN -20 AND n.id ORDER BY 1, 2",
    "SELECT t.key, quote(u.key) FROM t CROSS JOIN u ON u.key = t.key ORDER BY 1, 2",
    "SELECT t.key, n.id FROM t CROSS JOIN n ON n.id = t.key ORDER BY 1, 2",
    "SELECT t.key, n.id FROM t CROSS JOIN n ON n.id > t.key ORDER BY 1, 2",
    "UPDATE t SET value = 100 FROM n WHERE t.key = n.id",
    "DELETE FROM t WHERE key IN (SELECT id FROM n)",
    "DELETE FROM u WHERE key IN (SELECT id FROM n)",
    "BEGIN; INSERT INTO t VALUES('010', 0), ('1e1', 0), ('1e1x', 0);"
    "SELECT quote(key) FROM t WHERE key IN (SELECT id FROM n) ORDER BY key;"
    "SELECT quote(key) FROM t WHERE key = (SELECT 10.0 + max(id) - max(id) FROM n);"
    "SELECT n.id, quote(t.key) FROM n CROSS JOIN t ON t.key = n.id ORDER BY 1, 2; COMMIT",

    /* orderby1.test … orderbyA.test: terms behind the key, joins, expressions, LIMIT, compounds */
    "SELECT key FROM t ORDER BY key",
    "SELECT key FROM t ORDER BY key DESC, value",
    "SELECT key FROM t ORDER BY value, key DESC",
    "SELECT id FROM n ORDER BY -id",
    "SELECT id FROM n ORDER BY +id DESC LIMIT 3",
    "SELECT key FROM t ORDER BY key COLLATE NOCASE, key",
    "SELECT key FROM t ORDER BY 1 DESC LIMIT 2 OFFSET 1",
    "SELECT a.id, b.id FROM n a, n b WHERE b.id < a.id ORDER BY a.id DESC, b.id",
    "SELECT a.id, b.id FROM n a JOIN n b ON b.id = a.id + 1 ORDER BY b.id DESC, a.id",
    "SELECT a.key, n.id FROM t a LEFT JOIN n ON n.id = a.value ORDER BY a.key DESC, n.id",
    "SELECT id FROM n UNION SELECT id + 3 FROM n ORDER BY 1 DESC",
    "SELECT id FROM n UNION ALL SELECT 4 ORDER BY id",
    "SELECT id % 2, count(*), max(id) FROM n GROUP BY 1 ORDER BY 2, 1",
    "SELECT DISTINCT id % 3 FROM n ORDER BY 1",
    "SELECT max(id), min(id), v FROM n",
    "SELECT key, sum(value) FROM t GROUP BY key ORDER BY key DESC",
    "SELECT key, value, count(*) FROM t GROUP BY key, value ORDER BY key DESC NULLS FIRST, value",
    "SELECT a.value, b.id FROM t a, n b ORDER BY 1, 2",
    "SELECT a.value, b.id FROM n b CROSS JOIN t a ORDER BY 1, 2 DESC",
    "SELECT DISTINCT key, value FROM t WHERE value = 2 ORDER BY value, key",
    "SELECT DISTINCT key COLLATE NOCASE FROM t WHERE key > 'a' ORDER BY 1",
    "SELECT key FROM t WHERE key > 'a' ORDER BY key DESC NULLS LAST",
    "SELECT id, sum(id) OVER (ORDER BY id DESC ROWS 1 PRECEDING) FROM n ORDER BY id",
    "SELECT quote(key) FROM u ORDER BY key",
    "SELECT quote(key) FROM u ORDER BY key DESC",

    /* rowvalue.test, rowvalue2.test … rowvalue9.test */
    "SELECT key FROM t WHERE (key, value) = ('b', 2)",
    "SELECT key FROM t WHERE (key, value) > ('b', 2) ORDER BY key",
    "SELECT key FROM t WHERE (key, value) >= ('b', 2) ORDER BY key LIMIT 1",
    "SELECT key FROM t WHERE (key, value) < ('bc', 0) ORDER BY key DESC",
    "SELECT key FROM t WHERE (value, key) > (2, 'a') ORDER BY key",
    "SELECT id FROM n WHERE (id, v) BETWEEN (2, 'v2') AND (4, 'v3') ORDER BY id",
    "SELECT id FROM n WHERE (id, v) IN (SELECT id, 'v' || id FROM n WHERE id < 4) ORDER BY id",
    "SELECT id FROM n WHERE (id, v) IN (VALUES(2, 'v2'), (3, 'x'), (NULL, 'v1')) ORDER BY id",
    "SELECT id FROM n WHERE (id, v) NOT IN (VALUES(2, 'v2')) ORDER BY id",
    "SELECT id FROM n WHERE (id, v) IS (3, 'v3')",
    "SELECT id FROM n WHERE (id, v) = (NULL, 'v1') OR (id, v) IS NOT (2, 'v2') ORDER BY id",
    "SELECT id FROM n WHERE (id, id) > (2, 3) ORDER BY id",
    "SELECT id FROM n WHERE (id, v) > (SELECT 2, 'v2') ORDER BY id",
    "SELECT key FROM t WHERE ('b', 2) < (key, value) ORDER BY key DESC",
    "SELECT key FROM t WHERE (key, value) >= ('b', NULL) ORDER BY key",
    "SELECT key FROM t WHERE (key, value) <= ('b', NULL) ORDER BY key",
    "SELECT key FROM t WHERE (key, value) = (SELECT key, value FROM t ORDER BY key DESC LIMIT 1)",
    "SELECT n.id, t.key FROM n LEFT JOIN t ON (t.key, t.value) = ('b', n.id) ORDER BY 1, 2",
    "SELECT key FROM t WHERE (key, value) = 1",
    "SELECT key FROM t WHERE key = ('a', 1)",
    "SELECT key FROM t WHERE (key, value) IN (SELECT * FROM plain)",
    "CREATE TRIGGER r AFTER INSERT ON plain BEGIN"
    "  UPDATE t SET (value, key) = (SELECT new.x, 'r' || new.x) WHERE key = 'a'; END;"
    "INSERT INTO plain VALUES(7)",
    "UPDATE t SET (key, value) = ('moved', value + 1) WHERE key = 'b'",
    "UPDATE t SET (value, key) = (SELECT 7, 'c' || key) WHERE key > 'b'",
    "UPDATE n SET (v, id) = (SELECT 'w', n.id + 100)",
    "DELETE FROM n WHERE (id, v) > (2, 'v2')",
};
enum { SCRIPTS = sizeof(scripts) / sizeof(scripts[0]) };

static const char *const rows =
    "INSERT INTO t VALUES('a', 1), ('b', 2), ('B', 3), ('ba', 4), ('bc', 2), ('b%', NULL),"
    "('c', 6), ('1', 7), ('10', 8), ('жук', 9), ('', 10),"
    "('01', 11), (' 1', 12), ('1.0', 13), ('2', 14), ('+3', 15), ('1:2', 16);"
    "INSERT INTO n VALUES(5, 'v5'), (3, 'v3'), (1, 'v1'), (4, 'v4'), (2, 'v2'), (10, 'v10');"
    "INSERT INTO u VALUES(1, 'one'), ('1', 'text'), (2.5, 0), (x'61', 1), ('a', 2), ('b', 3),"
    "(x'', 4), (-10, 5), (12, 6), ('12', 7), ('01', 8), (' 1 ', 9), ('3.0', 10), (x'31', 11)";

/* The rows and the code of one statement, and how many rows it changed. */
static void run_statement(sqlite3 *db, const char *sql, sqlite3_str *log)
{
    int before = sqlite3_total_changes(db);
    char *text = database_text(db, sql);

    sqlite3_str_appendf(log, "%s (%d changes)\n", text, sqlite3_total_changes(db) - before);
    free(text);
}

/* What a script says on these tables, and what they hold then; for sqlite3_free(). */
static char *play(sqlite3 *db, const char *script)
{
    static const char *const contents[] = {"SELECT * FROM t ORDER BY key",
                                           "SELECT * FROM n ORDER BY id", "SELECT * FROM plain"};
    sqlite3_str *log = sqlite3_str_new(NULL);
    sqlite3_stmt *statement;

    /* SQLite knows where a statement ends: triggers hold semicolons. */
    while (*script && sqlite3_prepare_v2(db, script, -1, &statement, &script) == SQLITE_OK &&
           statement) {
        char *sql = sqlite3_mprintf("%s", sqlite3_sql(statement));

        sqlite3_finalize(statement);
        run_statement(db, sql, log);
        sqlite3_free(sql);
    }
    ck_assert_msg(!*script, "%s: %s", sqlite3_errmsg(db), script);
    for (int i = 0; i < 3; i++)
        run_statement(db, contents[i], log);
    return sqlite3_str_finish(log);
}

/* Stands for functions of applications: does the second text hold the first one? */
static void holds(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const char *part = (const char *)sqlite3_value_text(argv[0]);
    const char *text = (const char *)sqlite3_value_text(argv[1]);

    (void)argc;
    sqlite3_result_int(context, part && text && strstr(text, part));
}

static sqlite3 *open_tables(const char *file, const char *create)
{
    sqlite3 *db = database_open(file);

    database_run(db, "PRAGMA synchronous = off");
    database_run(db, create);
    database_run(db, "CREATE TABLE plain(x)");
    sqlite3_create_function(db, "regexp", 2, SQLITE_UTF8, NULL, holds, NULL, NULL);
    sqlite3_create_function(db, "match", 2, SQLITE_UTF8, NULL, holds, NULL, NULL);
    return db;
}

/* As every script finds them. */
static void fill(sqlite3 *db)
{
    if (!sqlite3_get_autocommit(db))
        database_run(db, "ROLLBACK");
    database_run(db, "DROP TRIGGER IF EXISTS r; DELETE FROM plain; DELETE FROM t; DELETE FROM n;"
                     "DELETE FROM u");
    database_run(db, rows);
}

static sqlite3 *open_kv(void)
{
    return open_tables("kv.db", "CREATE VIRTUAL TABLE t USING kv(synchronous=off);"
                                "CREATE VIRTUAL TABLE n USING kv(id INTEGER, v, synchronous=off);"
                                "CREATE VIRTUAL TABLE u USING kv(key, value, synchronous=off)");
}

static sqlite3 *open_ordinary(void)
{
    return open_tables("ordinary.db",
                       "CREATE TABLE t(key TEXT PRIMARY KEY NOT NULL, value) WITHOUT ROWID;"
                       "CREATE TABLE n(id INTEGER PRIMARY KEY NOT NULL, v) WITHOUT ROWID;"
                       "CREATE TABLE u(key PRIMARY KEY NOT NULL, value) WITHOUT ROWID");
}

static void compare(sqlite3 *kv, sqlite3 *ordinary, const char *script)
{
    char *got, *expected;

    fill(kv);
    fill(ordinary);
    got = play(kv, script);
    expected = play(ordinary, script);
    ck_assert_msg(strcmp(got, expected) == 0, "%s:\n%s\nnot\n%s", script, got, expected);
    sqlite3_free(got);
    sqlite3_free(expected);
}

START_TEST(test_ext_ordinary_tables_say_the_same)
{
    sqlite3 *kv = open_kv(), *ordinary = open_ordinary();

    for (int i = 0; i < SCRIPTS; i++)
        compare(kv, ordinary, scripts[i]);
    database_close(kv);
    database_close(ordinary);
}
END_TEST

/* Goal: functions behind operators may be an application's: no plan goes by what they usually mean. */
START_TEST(test_ext_ordinary_with_functions_overridden)
{
    static const char *const names[] = {"like", "glob"};
    sqlite3 *dbs[] = {open_kv(), open_ordinary()};

    for (int i = 0; i < 2; i++)
        for (int n = 0; n < 2; n++)
            sqlite3_create_function(dbs[i], names[n], 2, SQLITE_UTF8, NULL, holds, NULL, NULL);
    compare(dbs[0], dbs[1], "SELECT key FROM t WHERE key LIKE 'c' ORDER BY key");
    compare(dbs[0], dbs[1], "SELECT key FROM t WHERE key NOT LIKE 'b' ORDER BY key DESC");
    compare(dbs[0], dbs[1], "DELETE FROM t WHERE key LIKE 'b'");
    database_close(dbs[0]);
    database_close(dbs[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ext_ordinary");
    TCase *all = tcase_create("ext_ordinary");

    tcase_add_checked_fixture(all, database_set_up, database_tear_down);
    tcase_add_test(all, test_ext_ordinary_tables_say_the_same);
    tcase_add_test(all, test_ext_ordinary_with_functions_overridden);
    suite_add_tcase(suite, all);
    return kv_run_suite(suite);
}
