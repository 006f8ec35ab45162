/*
 * Transactions as SQLite really runs them: commits that fail after the store
 * has done its part, or half of the way, cursors that outlive what they read,
 * and savepoints and schema changes that tables are not told of.
 */
#include <sqlite3.h>
#include <string.h>

#include "database.h"
#include "runner.h"

static sqlite3 *db;

static void set_up(void)
{
    database_set_up();
    db = database_open("test.db");
    database_run(db, "CREATE VIRTUAL TABLE kv USING kv; CREATE TABLE plain(x);"
                     "INSERT INTO kv VALUES('a', 1); INSERT INTO plain VALUES(1)");
}

static void tear_down(void)
{
    database_close(db);
    database_tear_down();
}

/* Fail unless the table holds these keys, now, for others, and after opening again; and is sound. */
static void expect_keys(const char *expected)
{
    sqlite3 *other = database_open("test.db");

    database_expect(db, "SELECT key FROM kv", expected);
    database_expect(other, "SELECT key FROM kv", expected);
    database_close(other);
    database_close(db);
    db = database_open("test.db");
    database_expect(db, "SELECT key FROM kv", expected);
    database_expect(db, "SELECT count(*) FROM kv_check", "0");
}

/* ---- BUSY at COMMIT */

/* Someone who reads an ordinary table: the main database cannot commit meanwhile. */
struct reader {
    sqlite3 *db;
    sqlite3_stmt *statement;
};

static struct reader start_reader(void)
{
    struct reader reader = {.db = database_open("test.db")};

    reader.statement = database_prepare(reader.db, "SELECT x FROM plain");
    ck_assert_int_eq(sqlite3_step(reader.statement), SQLITE_ROW);
    return reader;
}

static void stop_reader(struct reader *reader)
{
    sqlite3_finalize(reader->statement);
    database_close(reader->db);
}

START_TEST(test_ext_busy_commit_of_one_statement_is_undone)
{
    struct reader reader = start_reader();

    database_fails(db, "INSERT INTO kv VALUES('b', 2)", SQLITE_BUSY);
    database_expect(db, "SELECT key FROM kv", "a");
    database_fails(db, "REPLACE INTO kv VALUES('a', 2), ('c', 3)", SQLITE_BUSY);
    stop_reader(&reader);
    database_expect(db, "SELECT value FROM kv", "1");
    database_run(db, "INSERT INTO kv VALUES('d', 4)");
    expect_keys("a d");
}
END_TEST

static const struct {
    const char *sql;
    const char *keys;
} more[] = {
    {"INSERT INTO kv VALUES('c', 3)", "a b c"},
    {"DELETE FROM kv WHERE key = 'a'", "b"},
    {"INSERT INTO kv VALUES('c', 3); DELETE FROM kv WHERE key = 'a'", "b c"},
};

/* The store has prepared; SQLite tells it nothing, writes more, and prepares again. */
START_TEST(test_ext_busy_commit_inside_begin_goes_on)
{
    struct reader reader = start_reader();

    database_run(db, "BEGIN; INSERT INTO kv VALUES('b', 2)");
    database_fails(db, "COMMIT", SQLITE_BUSY);
    database_fails(db, "COMMIT", SQLITE_BUSY);
    database_run(db, more[_i].sql);
    if (_i != 0)
        database_fails(db, "COMMIT", SQLITE_BUSY);
    database_expect(db, "SELECT key FROM kv", more[_i].keys);
    database_expect(reader.db, "SELECT key FROM kv", "a");
    stop_reader(&reader);
    database_run(db, "COMMIT");
    expect_keys(more[_i].keys);
}
END_TEST

START_TEST(test_ext_busy_commit_may_end_in_rollback)
{
    struct reader reader = start_reader();

    database_run(db, "BEGIN; INSERT INTO kv VALUES('b', 2)");
    database_fails(db, "COMMIT", SQLITE_BUSY);
    database_run(db, "ROLLBACK");
    stop_reader(&reader);
    expect_keys("a");
}
END_TEST

START_TEST(test_ext_busy_commit_may_be_cut_to_a_savepoint)
{
    struct reader reader = start_reader();

    database_run(db, "BEGIN; INSERT INTO kv VALUES('b', 2); SAVEPOINT s;"
                     "INSERT INTO kv VALUES('c', 3)");
    database_fails(db, "COMMIT", SQLITE_BUSY);
    database_run(db, "ROLLBACK TO s");
    database_fails(db, "COMMIT", SQLITE_BUSY);
    stop_reader(&reader);
    database_run(db, "COMMIT");
    expect_keys("a b");
}
END_TEST

/* The same where a savepoint took the place of BEGIN (SQLite's savepoint.test 5.4, 14). */
START_TEST(test_ext_busy_release_of_a_savepoint_goes_on)
{
    struct reader reader = start_reader();

    database_run(db, "SAVEPOINT s; INSERT INTO kv VALUES('b', 2)");
    database_fails(db, "RELEASE s", SQLITE_BUSY);
    database_expect(db, "SELECT key FROM kv", "a b");
    if (_i)
        database_run(db, "ROLLBACK TO s; INSERT INTO kv VALUES('c', 3)");
    stop_reader(&reader);
    database_run(db, "RELEASE s");
    expect_keys(_i ? "a c" : "a b");
}
END_TEST

/* ---- Commits that fail after the store's part */

static int refuse(void *count)
{
    return ++*(int *)count;
}

START_TEST(test_ext_commit_hook_veto_undoes)
{
    int count = 0;

    sqlite3_commit_hook(db, refuse, &count);
    database_fails(db, "INSERT INTO kv VALUES('b', 2)", SQLITE_CONSTRAINT_COMMITHOOK);
    database_fails(db, "BEGIN; INSERT INTO kv VALUES('c', 2); COMMIT",
                   SQLITE_CONSTRAINT_COMMITHOOK);
    ck_assert_int_eq(count, 2);
    ck_assert(sqlite3_get_autocommit(db));
    sqlite3_commit_hook(db, NULL, NULL);
    database_expect(db, "SELECT key FROM kv", "a");
    database_run(db, "INSERT INTO kv VALUES('d', 4)");
    expect_keys("a d");
}
END_TEST

/* A table that takes part in transactions and fails to prepare when told to. */
static int sync_code;

static int other_connect(sqlite3 *connection, void *context, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **error)
{
    (void)context, (void)argc, (void)argv, (void)error;
    *out = sqlite3_malloc64(sizeof(**out));
    memset(*out, 0, sizeof(**out));
    return sqlite3_declare_vtab(connection, "CREATE TABLE x(y)");
}

static int other_disconnect(sqlite3_vtab *vtab)
{
    sqlite3_free(vtab);
    return SQLITE_OK;
}

static int other_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    (void)vtab, (void)info;
    return SQLITE_OK;
}

static int other_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid)
{
    (void)vtab, (void)argc, (void)argv, (void)rowid;
    return SQLITE_OK;
}

static int other_begin(sqlite3_vtab *vtab)
{
    (void)vtab;
    return SQLITE_OK;
}

static int other_sync(sqlite3_vtab *vtab)
{
    (void)vtab;
    return sync_code;
}

static const sqlite3_module other_module = {
    .xConnect = other_connect,
    .xBestIndex = other_best_index,
    .xDisconnect = other_disconnect,
    .xUpdate = other_update,
    .xBegin = other_begin,
    .xSync = other_sync,
};

/* Goal: whichever table is asked first. */
START_TEST(test_ext_failing_sync_of_another_table_undoes)
{
    const char *const first = "INSERT INTO kv VALUES('b', 2); INSERT INTO other VALUES(1)";
    const char *const last = "INSERT INTO other VALUES(1); INSERT INTO kv VALUES('b', 2)";

    ck_assert_int_eq(sqlite3_create_module(db, "other", &other_module, NULL), SQLITE_OK);
    sync_code = SQLITE_FULL;
    database_run(db, "BEGIN");
    database_run(db, _i ? first : last);
    database_fails(db, "COMMIT", SQLITE_FULL);
    if (!sqlite3_get_autocommit(db))
        database_run(db, "ROLLBACK");
    database_expect(db, "SELECT key FROM kv", "a");
    sync_code = SQLITE_OK;
    database_run(db, "BEGIN");
    database_run(db, _i ? first : last);
    database_run(db, "COMMIT");
    expect_keys("a b");
}
END_TEST

/* ---- Cursors that outlive what they read */

static const char *const reads[] = {
    "SELECT key, value FROM kv",
    "SELECT key, value FROM kv ORDER BY key DESC",
    "SELECT key, value FROM kv WHERE key > '0'",
    "SELECT key, value FROM kv WHERE key IN ('a', 'b', 'c', 'd')",
    "SELECT a.key, b.value FROM kv a JOIN kv b ON b.key = a.key",
};
enum { READS = sizeof(reads) / sizeof(reads[0]) };

/* Read to the end, and the values too; the code at the end. */
static int read_on(sqlite3_stmt *statement)
{
    int code;

    do {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
            (void)sqlite3_column_text(statement, 1);
    } while (code == SQLITE_ROW);
    return code;
}

/* Goal: own writes that are gone are neither shown nor touched. */
START_TEST(test_ext_cursor_on_own_writes_fails_after_rollback)
{
    sqlite3_stmt *statement;

    database_run(db, "BEGIN; INSERT INTO kv VALUES('b', 2), ('c', 3)");
    statement = database_prepare(db, reads[_i]);
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    database_run(db, "ROLLBACK");
    ck_assert_int_eq(read_on(statement), SQLITE_ABORT_ROLLBACK);
    sqlite3_finalize(statement);
    expect_keys("a");
}
END_TEST

START_TEST(test_ext_cursor_fails_after_rollback_to_below_it)
{
    sqlite3_stmt *statement;

    database_run(db, "BEGIN; INSERT INTO kv VALUES('b', 2); SAVEPOINT s;"
                     "INSERT INTO kv VALUES('c', zeroblob(100000))");
    statement = database_prepare(db, reads[_i]);
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    database_run(db, "ROLLBACK TO s; INSERT INTO kv VALUES('d', zeroblob(100000))");
    ck_assert_int_eq(read_on(statement), SQLITE_ABORT_ROLLBACK);
    sqlite3_finalize(statement);
    database_run(db, "COMMIT");
    expect_keys("a b d");
}
END_TEST

/* A cursor that saw nothing of what was cut goes on. */
START_TEST(test_ext_cursor_on_committed_rows_survives_rollback)
{
    sqlite3_stmt *statement;

    database_run(db, "INSERT INTO kv VALUES('b', 2), ('c', 3)");
    statement = database_prepare(db, reads[_i]);
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    database_run(db, "BEGIN; DELETE FROM kv; INSERT INTO kv VALUES('z', 1); ROLLBACK");
    ck_assert_int_eq(read_on(statement), SQLITE_DONE);
    sqlite3_finalize(statement);
    expect_keys("a b c");
}
END_TEST

/* Commits, too, move what was private to the transaction. */
START_TEST(test_ext_cursor_on_own_writes_survives_commit)
{
    sqlite3_stmt *statement;
    int rows = 1;

    database_run(db, "BEGIN; INSERT INTO kv VALUES('b', 2), ('c', zeroblob(100000))");
    statement = database_prepare(db, reads[_i]);
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    database_run(db, "COMMIT; DELETE FROM kv WHERE key = 'c'; SELECT kv_compact('kv')");
    while (sqlite3_step(statement) == SQLITE_ROW)
        rows++;
    ck_assert_int_eq(sqlite3_finalize(statement), SQLITE_OK);
    ck_assert_int_eq(rows, _i == 4 ? rows : 3);
    expect_keys("a b");
}
END_TEST

/* An inner savepoint that is released is nobody's business (SQLite's savepoint7.test). */
START_TEST(test_ext_cursor_survives_release)
{
    sqlite3_stmt *statement;

    database_run(db, "BEGIN; INSERT INTO kv VALUES('b', 2), ('c', 3)");
    statement = database_prepare(db, reads[_i]);
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    database_run(db, "SAVEPOINT s; INSERT INTO kv VALUES('d', 4); RELEASE s");
    ck_assert_int_eq(read_on(statement), SQLITE_DONE);
    sqlite3_finalize(statement);
    database_run(db, "COMMIT");
    expect_keys("a b c d");
}
END_TEST

/* What is undone is written no more, but the place stays taken (SQLite's savepoint.test 3). */
START_TEST(test_ext_rollback_to_keeps_the_writers_place)
{
    sqlite3 *other = database_open(":memory:");

    database_run(other, "CREATE VIRTUAL TABLE kv USING kv(path='test.db-kv/kv')");
    database_run(db, "SAVEPOINT s; INSERT INTO kv VALUES('b', 2); ROLLBACK TO s");
    database_fails(other, "INSERT INTO kv VALUES('c', 3)", SQLITE_BUSY);
    database_run(db, "RELEASE s");
    database_run(other, "INSERT INTO kv VALUES('c', 3)");
    database_close(other);
    expect_keys("a c");
}
END_TEST

/* ---- Several databases */

/* Goal: savepoints cut what was written to stores of all databases (SQLite's savepoint.test 10). */
START_TEST(test_ext_savepoints_span_databases)
{
    static const char all[] = "SELECT (SELECT group_concat(key, '') FROM kv),"
                              "(SELECT group_concat(key, '') FROM two.second),"
                              "(SELECT group_concat(key, '') FROM three.third)";

    database_run(db,
                 "ATTACH 'two.db' AS two; ATTACH 'three.db' AS three;"
                 "CREATE VIRTUAL TABLE two.second USING kv;"
                 "CREATE VIRTUAL TABLE three.third USING kv;"
                 "SAVEPOINT one; INSERT INTO kv VALUES('b', 2); INSERT INTO third VALUES('c', 3);"
                 "SAVEPOINT two; INSERT INTO second VALUES('d', 4)");
    database_expect(db, all, "ab|d|c");
    database_run(db, "ROLLBACK TO two");
    database_expect(db, all, "ab|NULL|c");
    database_run(db, "INSERT INTO second VALUES('e', 5); RELEASE one");
    database_expect(db, all, "ab|e|c");
    database_run(db, "SAVEPOINT one; INSERT INTO kv VALUES('f', 1); SAVEPOINT two;"
                     "INSERT INTO second VALUES('f', 1); SAVEPOINT three;"
                     "INSERT INTO third VALUES('f', 1)");
    database_expect(db, all, "abf|ef|cf");
    database_run(db, "ROLLBACK TO two");
    database_expect(db, all, "abf|e|c");
    database_run(db, "INSERT INTO third VALUES('g', 1); ROLLBACK TO two");
    database_expect(db, all, "abf|e|c");
    database_run(db, "ROLLBACK");
    database_expect(db, all, "ab|e|c");
    expect_keys("a b");
}
END_TEST

/* ---- What tables are not told of */

/*
 * Goal: savepoints that were never announced to the table, and schema changes
 * that are taken back, end as for an ordinary table.
 * Method: run each script on both kinds of tables named t, where @ stands for
 * creating it, and compare the codes of all statements, and the rows.
 */
static const char *const scripts[] = {
    /* Levels opened before the table joins the transaction */
    "@; BEGIN; SAVEPOINT a; SAVEPOINT b; INSERT INTO t VALUES('x', 1); ROLLBACK TO a;"
    "INSERT INTO t VALUES('y', 1); RELEASE a; COMMIT",
    "@; BEGIN; SAVEPOINT a; SAVEPOINT b; INSERT INTO t VALUES('x', 1); ROLLBACK TO b;"
    "INSERT INTO t VALUES('y', 1); ROLLBACK TO a; INSERT INTO t VALUES('z', 1); COMMIT",
    "@; BEGIN; SAVEPOINT a; SAVEPOINT b; INSERT INTO t VALUES('x', 1); RELEASE b;"
    "INSERT INTO t VALUES('y', 1); ROLLBACK TO a; COMMIT",
    "@; BEGIN; SAVEPOINT a; INSERT INTO t VALUES('x', 1); SAVEPOINT b; SAVEPOINT c;"
    "INSERT INTO t VALUES('y', 1); RELEASE c; ROLLBACK TO b; COMMIT",
    /* A savepoint in place of BEGIN has level -1 */
    "@; SAVEPOINT a; INSERT INTO t VALUES('x', 1); ROLLBACK TO a; INSERT INTO t VALUES('y', 1);"
    "RELEASE a",
    "@; SAVEPOINT a; SAVEPOINT b; INSERT INTO t VALUES('x', 1); ROLLBACK TO b;"
    "INSERT INTO t VALUES('y', 1); ROLLBACK TO a; INSERT INTO t VALUES('z', 1); RELEASE a",
    "@; SAVEPOINT a; INSERT INTO t VALUES('x', 1); SAVEPOINT a; DELETE FROM t; ROLLBACK TO a;"
    "RELEASE a; RELEASE a",
    /* Statements on other tables open and close levels, too */
    "@; CREATE TABLE o(x UNIQUE); BEGIN; INSERT INTO t VALUES('x', 1);"
    "INSERT INTO o VALUES(1), (1); INSERT INTO t VALUES('y', 1), ('x', 2); COMMIT",
    "@; CREATE TABLE o(x UNIQUE); SAVEPOINT a; INSERT INTO o VALUES(2), (3);"
    "INSERT INTO t VALUES('x', 1); INSERT INTO o VALUES(4), (3); ROLLBACK TO a;"
    "INSERT INTO t VALUES('y', 1); RELEASE a",
    /* Created and written in one transaction: no beginning is announced */
    "BEGIN; @; INSERT INTO t VALUES('x', 1); COMMIT",
    "BEGIN; @; INSERT INTO t VALUES('x', 1); ROLLBACK",
    "BEGIN; @; INSERT INTO t VALUES('x', 1); SAVEPOINT a; DELETE FROM t; ROLLBACK TO a; COMMIT",
    "BEGIN; SAVEPOINT a; @; INSERT INTO t VALUES('x', 1); ROLLBACK TO a; @;"
    "INSERT INTO t VALUES('y', 1); COMMIT",
    "SAVEPOINT a; @; INSERT INTO t VALUES('x', 1); ROLLBACK TO a; RELEASE a",
    "BEGIN; @; INSERT INTO t VALUES('x', 1), ('y', 2), ('x', 3); INSERT INTO t VALUES('z', 1);"
    "COMMIT",
    "BEGIN; @; INSERT INTO t VALUES('x', 1); SAVEPOINT a; INSERT INTO t VALUES('y', 1);"
    "ROLLBACK TO a; SELECT * FROM t; ROLLBACK; @; INSERT INTO t VALUES('z', 1)",
    /* Dropped and taken back */
    "BEGIN; @; INSERT INTO t VALUES('x', 1); SAVEPOINT a; DROP TABLE t; CREATE TABLE t(a, b, c);"
    "INSERT INTO t VALUES(1, 2, 3); ROLLBACK TO a; INSERT INTO t VALUES('y', 1); COMMIT",
    "@; INSERT INTO t VALUES('x', 1); BEGIN; DROP TABLE t; ROLLBACK; INSERT INTO t VALUES('y', 1)",
    "@; INSERT INTO t VALUES('x', 1); BEGIN; INSERT INTO t VALUES('y', 1); DROP TABLE t; ROLLBACK;"
    "INSERT INTO t VALUES('z', 1)",
    "@; INSERT INTO t VALUES('x', 1); SAVEPOINT a; DROP TABLE t; ROLLBACK TO a;"
    "INSERT INTO t VALUES('y', 1); RELEASE a",
    "@; INSERT INTO t VALUES('x', 1); BEGIN; INSERT INTO t VALUES('y', 1); SAVEPOINT a;"
    "DROP TABLE t; ROLLBACK TO a; INSERT INTO t VALUES('z', 1); COMMIT",
    "@; INSERT INTO t VALUES('x', 1); BEGIN; DELETE FROM t; DROP TABLE t;"
    "CREATE TABLE t(a, b); INSERT INTO t VALUES(1, 2); ROLLBACK",
    /* Two objects of one table in a transaction, after a change of the schema was cut */
    "@; BEGIN; INSERT INTO t VALUES('x', 1); SAVEPOINT a; CREATE TABLE o(x);"
    "INSERT INTO t VALUES('y', 1); ROLLBACK TO a; INSERT INTO t VALUES('z', 1); COMMIT",
    "@; BEGIN; SAVEPOINT a; INSERT INTO t VALUES('x', 1); ALTER TABLE t RENAME TO u;"
    "INSERT INTO u VALUES('y', 1); ROLLBACK TO a; INSERT INTO t VALUES('z', 1); COMMIT",
    "@; BEGIN; INSERT INTO t VALUES('x', 1); SAVEPOINT a; CREATE TABLE o(x); ROLLBACK TO a;"
    "INSERT INTO t VALUES('y', 1); SAVEPOINT b; INSERT INTO t VALUES('z', 1); ROLLBACK TO b;"
    "COMMIT",
    "@; BEGIN; INSERT INTO t VALUES('x', 1); SAVEPOINT a; CREATE TABLE o(x); ROLLBACK TO a;"
    "INSERT INTO t VALUES('y', 1); ROLLBACK; INSERT INTO t VALUES('z', 1)",
    "@; INSERT INTO t VALUES('x', 1); BEGIN; INSERT INTO t VALUES('y', 1);"
    "ALTER TABLE t RENAME TO u; ROLLBACK; INSERT INTO t VALUES('z', 1)",
};
enum { SCRIPTS = sizeof(scripts) / sizeof(scripts[0]) };

/* Add the statement's code to `log`; the rest of the script. */
static const char *run_next(sqlite3 *connection, const char *script, const char *create,
                            sqlite3_str *log)
{
    size_t size = strcspn(script, ";");
    char *sql = sqlite3_mprintf("%.*s", (int)size, script);

    sqlite3_str_appendf(log, "%d ", database_try(connection, strchr(sql, '@') ? create : sql));
    sqlite3_free(sql);
    return script[size] ? script + size + 1 : NULL;
}

/* Codes, rows, rows after opening again if there is a file; for sqlite3_free(). */
static char *play(const char *script, const char *file, const char *create)
{
    sqlite3 *connection = database_open(file);
    sqlite3_str *log = sqlite3_str_new(NULL);

    while (script)
        script = run_next(connection, script, create, log);
    for (int i = 0; i < 2; i++) {
        char *rows = database_text(connection, "SELECT key, value FROM t");

        sqlite3_str_appendf(log, "/ %s ", rows);
        free(rows);
        if (strcmp(file, ":memory:") == 0)
            continue;
        database_close(connection);
        connection = database_open(file);
    }
    database_close(connection);
    return sqlite3_str_finish(log);
}

static void compare(const char *script, const char *file, const char *other_file,
                    const char *create)
{
    char *got = play(script, file, create);
    char *expected = play(script, other_file,
                          "CREATE TABLE t(key TEXT PRIMARY KEY NOT NULL, value) WITHOUT ROWID");

    ck_assert_msg(strcmp(got, expected) == 0, "%s:\n  %s\nnot\n  %s", script, got, expected);
    sqlite3_free(got);
    sqlite3_free(expected);
}

START_TEST(test_ext_scripts_end_as_for_an_ordinary_table)
{
    compare(scripts[_i], "one.db", "two.db", "CREATE VIRTUAL TABLE t USING kv(path='t')");
    /* A temporary store is removed with its table, and must not be if the table returns. */
    compare(scripts[_i], ":memory:", ":memory:", "CREATE VIRTUAL TABLE t USING kv");
}
END_TEST

/* Statements of a table that is gone: finalized, or stepped, at any time. */
START_TEST(test_ext_statements_outlive_their_table)
{
    sqlite3_stmt *read = database_prepare(db, "SELECT key, value FROM kv");
    sqlite3_stmt *write = database_prepare(db, "INSERT INTO kv VALUES('b', 2)");

    ck_assert_int_eq(sqlite3_step(read), SQLITE_ROW);
    ck_assert_int_eq(database_try(db, "DROP TABLE kv"), SQLITE_LOCKED);
    sqlite3_reset(read);
    database_run(db, "BEGIN; DROP TABLE kv");
    ck_assert_int_ne(sqlite3_step(read), SQLITE_ROW);
    ck_assert_int_ne(sqlite3_step(write), SQLITE_DONE);
    sqlite3_reset(read);
    sqlite3_reset(write);
    database_run(db, "ROLLBACK");
    ck_assert_int_eq(sqlite3_step(read), SQLITE_ROW);
    ck_assert_int_eq(sqlite3_step(write), SQLITE_DONE);
    sqlite3_finalize(write);
    /* The connection stays until its last statement is finalized. */
    ck_assert_int_eq(sqlite3_close_v2(db), SQLITE_OK);
    ck_assert_int_eq(read_on(read), SQLITE_DONE);
    sqlite3_finalize(read);
    db = database_open("test.db");
    expect_keys("a b");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ext_traps");
    TCase *all = tcase_create("ext_traps");

    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, test_ext_busy_commit_of_one_statement_is_undone);
    tcase_add_loop_test(all, test_ext_busy_commit_inside_begin_goes_on, 0, 3);
    tcase_add_test(all, test_ext_busy_commit_may_end_in_rollback);
    tcase_add_test(all, test_ext_busy_commit_may_be_cut_to_a_savepoint);
    tcase_add_loop_test(all, test_ext_busy_release_of_a_savepoint_goes_on, 0, 2);
    tcase_add_test(all, test_ext_commit_hook_veto_undoes);
    tcase_add_loop_test(all, test_ext_failing_sync_of_another_table_undoes, 0, 2);
    tcase_add_loop_test(all, test_ext_cursor_on_own_writes_fails_after_rollback, 0, READS);
    tcase_add_loop_test(all, test_ext_cursor_fails_after_rollback_to_below_it, 0, READS);
    tcase_add_loop_test(all, test_ext_cursor_on_committed_rows_survives_rollback, 0, READS);
    tcase_add_loop_test(all, test_ext_cursor_on_own_writes_survives_commit, 0, READS);
    tcase_add_loop_test(all, test_ext_cursor_survives_release, 0, READS);
    tcase_add_test(all, test_ext_rollback_to_keeps_the_writers_place);
    tcase_add_test(all, test_ext_savepoints_span_databases);
    tcase_add_loop_test(all, test_ext_scripts_end_as_for_an_ordinary_table, 0, SCRIPTS);
    tcase_add_test(all, test_ext_statements_outlive_their_table);
    suite_add_tcase(suite, all);
    return kv_run_suite(suite);
}
