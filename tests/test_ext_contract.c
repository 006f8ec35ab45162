/*
 * What the extension promises its users besides what ordinary tables do: error
 * codes and messages, snapshots, stores shared by tables, read-only tables, and
 * tables whose store or definition is in trouble.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "database.h"
#include "errors.h"
#include "kv.h"
#include "runner.h"

/* In every message that would tell what is stored. */
#define SECRET "sesame"

/* Fail unless the statement fails with `code`, and a message that holds `part`, but nothing that is stored. */
static void expect_failure(sqlite3 *db, const char *sql, int code, const char *part)
{
    database_fails(db, sql, code);
    ck_assert_msg(strstr(sqlite3_errmsg(db), part) != NULL, "%s: %s", sql, sqlite3_errmsg(db));
    ck_assert_msg(strstr(sqlite3_errmsg(db), SECRET) == NULL, "%s: %s", sql, sqlite3_errmsg(db));
}

static sqlite3 *open_on(const char *file, const char *create)
{
    sqlite3 *db = database_open(file);

    database_run(db, create);
    return db;
}

/* ---- Codes */

START_TEST(test_ext_contract_statuses_have_codes)
{
    static const struct {
        enum kv_status st;
        int code;
    } codes[] = {
        {KV_OK, SQLITE_OK},
        {KV_DONE, SQLITE_OK},
        {KV_BUSY, SQLITE_BUSY},
        {KV_BUSY_SNAPSHOT, SQLITE_BUSY_SNAPSHOT},
        {KV_CORRUPT, SQLITE_CORRUPT_VTAB},
        {KV_FULL, SQLITE_FULL},
        {KV_IOERR, SQLITE_IOERR},
        {KV_READONLY, SQLITE_READONLY},
        {KV_NOMEM, SQLITE_NOMEM},
        {KV_TOOBIG, SQLITE_TOOBIG},
        {KV_INVALID, SQLITE_ERROR},
        {KV_NOTFOUND, SQLITE_CANTOPEN},
        {KV_ABORTED, SQLITE_ABORT_ROLLBACK},
        {KV_INTERRUPTED, SQLITE_INTERRUPT},
    };

    ck_kv_is(kv_fail(KV_IOERR, "for no reason"), KV_IOERR);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        ck_assert_int_eq(kv_code_of(codes[i].st), codes[i].code);
}
END_TEST

/* An input or output error says what could not be done, as those of SQLite's own files do. */
START_TEST(test_ext_contract_io_errors_have_causes)
{
    static const struct {
        enum kv_io_cause cause;
        int code;
    } codes[] = {
        {KV_IO_OTHER, SQLITE_IOERR},
        {KV_IO_READ, SQLITE_IOERR_READ},
        {KV_IO_WRITE, SQLITE_IOERR_WRITE},
        {KV_IO_SYNC, SQLITE_IOERR_FSYNC},
        {KV_IO_DIR_SYNC, SQLITE_IOERR_DIR_FSYNC},
        {KV_IO_RESIZE, SQLITE_IOERR_TRUNCATE},
        {KV_IO_EXAMINE, SQLITE_IOERR_FSTAT},
        {KV_IO_REMOVE, SQLITE_IOERR_DELETE},
        {KV_IO_LOCK, SQLITE_IOERR_LOCK},
        {KV_IO_MAP, SQLITE_IOERR_MMAP},
    };

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        enum kv_status st = kv_io_note(codes[i].cause, kv_fail(KV_IOERR, "the cause"));

        ck_assert_int_eq(kv_code_of(st), codes[i].code);
        st = kv_fail_after(kv_fail_in(st, "where"), ", and so on");
        ck_assert_str_eq(kv_message(), "where: the cause, and so on");
        ck_assert_int_eq(kv_code_of(st), codes[i].code);
        ck_assert_int_eq(kv_code_of(kv_fail(KV_IOERR, "another")), SQLITE_IOERR);
    }
}
END_TEST

/* Goal: the message names the table, what is too large, how large it is and may be; not what it is. */
START_TEST(test_ext_contract_limits_are_named)
{
    sqlite3 *db = open_on("test.db", "CREATE VIRTUAL TABLE kv USING kv");

    database_run(db, "BEGIN; INSERT INTO kv VALUES('" SECRET "', 1)");
    expect_failure(db, "INSERT INTO kv VALUES('" SECRET "' || hex(zeroblob(40000)), 1)",
                   SQLITE_TOOBIG, "kv: ");
    ck_assert_ptr_nonnull(strstr(sqlite3_errmsg(db), "80007 bytes"));
    ck_assert_ptr_nonnull(strstr(sqlite3_errmsg(db), "65535"));
    database_expect(db, "SELECT count(*) FROM kv", "1");
    database_run(db, "COMMIT");
    database_close(db);
}
END_TEST

/* Overwrite bytes in the middle of the largest segment of a store. */
static void damage(const char *directory)
{
    DIR *names = opendir(directory);
    struct dirent *entry;
    char path[512], largest[512] = "";
    struct stat status;
    off_t size = 0;
    int file;

    ck_assert_ptr_nonnull(names);
    while ((entry = readdir(names)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (!strstr(path, ".db") || stat(path, &status) != 0 || status.st_size <= size)
            continue;
        size = status.st_size;
        snprintf(largest, sizeof(largest), "%s", path);
    }
    closedir(names);
    file = open(largest, O_RDWR);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(pwrite(file, "damaged", 7, size / 2), 7);
    close(file);
}

START_TEST(test_ext_contract_damage_is_corrupt_vtab)
{
    sqlite3 *db = open_on("test.db", "CREATE VIRTUAL TABLE kv USING kv(path='data')");

    database_run(db,
                 "INSERT INTO kv SELECT '" SECRET "' || value, '" SECRET "' || hex(zeroblob(50))"
                 "FROM (WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c "
                 "WHERE value < 1000) SELECT value FROM c)");
    database_run(db, "SELECT kv_compact('kv')");
    database_close(db);
    damage("data");
    db = database_open("test.db");
    expect_failure(db, "SELECT sum(length(value)) FROM kv", SQLITE_CORRUPT_VTAB, "kv: ");
    ck_assert_ptr_nonnull(strstr(sqlite3_errmsg(db), "/segment_"));
    ck_assert_ptr_nonnull(strstr(sqlite3_errmsg(db), "offset"));
    ck_assert_ptr_nonnull(strstr(sqlite3_errmsg(db), "kv_repair()"));
    expect_failure(db, "INSERT INTO kv(kv) VALUES('check')", SQLITE_CORRUPT_VTAB, "kv: ");
    database_expect(db, "SELECT count(*) > 0 FROM kv_check('kv')", "1");
    database_expect(db, "SELECT count(*) FROM kv_check('kv') WHERE problem GLOB '*" SECRET "*'",
                    "0");
    database_close(db);
}
END_TEST

START_TEST(test_ext_contract_null_is_no_table)
{
    static const char *const calls[] = {
        "SELECT kv_compact(NULL)",
        "SELECT kv_sync(NULL)",
        "SELECT kv_destroy(NULL)",
        "SELECT * FROM kv_stats(NULL)",
        "SELECT * FROM kv_segments(NULL)",
        "SELECT * FROM kv_check(NULL)",
        "SELECT kv_backup(NULL, 'elsewhere')",
        "SELECT kv_backup('kv', NULL)",
    };
    sqlite3 *db = open_on("test.db", "CREATE VIRTUAL TABLE kv USING kv");

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        const char *name = strstr(calls[i], "kv_");
        char part[32];

        snprintf(part, sizeof(part), "%.*s: ", (int)strcspn(name, "("), name);
        expect_failure(db, calls[i], SQLITE_ERROR, part);
    }
    database_close(db);
}
END_TEST

/*
 * Goal: who reads keys only does not look at values, nor pay for them.
 * Method: a row whose value is malformed, as no kv table writes it, does not matter to keys.
 */
START_TEST(test_ext_contract_keys_are_read_without_values)
{
    static const uint8_t key[] = {0x20, 'a'}, row[] = {0x00, 0xff, 0xff};
    struct kv_open_options options = kv_open_options_default();
    struct kv_store *store;
    sqlite3 *db;

    options.schema = kv_slice_text("\"key\" TEXT, \"value\"");
    ck_assert_int_eq(kv_store_open("data", &options, &store), KV_OK);
    ck_assert_int_eq(kv_put(store, kv_slice_of(key, 2), kv_slice_of(row, 3)), KV_OK);
    ck_assert_int_eq(kv_store_close(store), KV_OK);
    db = open_on("test.db", "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    database_expect(db, "SELECT key FROM kv", "a");
    database_expect(db, "SELECT count(*), max(key) FROM kv WHERE key GLOB 'a*'", "1|a");
    database_expect(db, "SELECT a.key FROM kv a JOIN kv b USING (key) ORDER BY 1 DESC", "a");
    database_expect(db, "SELECT key FROM kv WHERE key IN ('a', 'b')", "a");
    expect_failure(db, "SELECT value FROM kv", SQLITE_CORRUPT_VTAB, "kv: ");
    database_run(db, "DELETE FROM kv WHERE key = 'a'");
    database_close(db);
}
END_TEST

/* ---- Snapshots */

/* Goal: who writes builds on what it has read: not while a statement shows what is no longer so. */
START_TEST(test_ext_contract_overtaken_statement_forbids_writing)
{
    sqlite3 *db = open_on(":memory:", "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    sqlite3 *other = open_on(":memory:", "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    sqlite3_stmt *statement;

    database_run(db, "INSERT INTO kv VALUES('a', 1), ('" SECRET "', 2)");
    statement = database_prepare(db, "SELECT key FROM kv");
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    database_run(db, "INSERT INTO kv VALUES('c', 3)"); /* nobody but itself has overtaken it */
    database_run(other, "INSERT INTO kv VALUES('d', 4)");
    expect_failure(db, "INSERT INTO kv VALUES('e', 5)", SQLITE_BUSY_SNAPSHOT, "kv: ");
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_DONE); /* as it was */
    sqlite3_reset(statement);
    database_run(db, "INSERT INTO kv VALUES('e', 5)");
    database_expect(other, "SELECT key FROM kv", "a c d e " SECRET);
    sqlite3_finalize(statement);
    database_close(db);
    database_close(other);
}
END_TEST

START_TEST(test_ext_contract_open_statements_share_a_snapshot)
{
    sqlite3 *db = open_on(":memory:", "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    sqlite3 *other = open_on(":memory:", "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    sqlite3_stmt *statement;

    database_run(db, "INSERT INTO kv VALUES('a', 1), ('b', 2)");
    statement = database_prepare(db, "SELECT key FROM kv");
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    database_run(other, "INSERT INTO kv VALUES('c', 3)");
    database_expect(db, "SELECT count(*), max(key) FROM kv", "2|b");
    database_expect(other, "SELECT count(*), max(key) FROM kv", "3|c");
    sqlite3_finalize(statement);
    database_expect(db, "SELECT count(*), max(key) FROM kv", "3|c");
    database_close(db);
    database_close(other);
}
END_TEST

/* What differs: a transaction that only reads sees others' commits between its statements. */
START_TEST(test_ext_contract_commits_show_between_statements)
{
    sqlite3 *db = open_on("test.db", "PRAGMA journal_mode = wal; CREATE VIRTUAL TABLE kv USING kv");
    sqlite3 *other = database_open("test.db");

    database_run(db, "INSERT INTO kv VALUES('a', 1); BEGIN");
    database_expect(db, "SELECT count(*) FROM kv", "1");
    database_run(other, "INSERT INTO kv VALUES('b', 2)");
    database_expect(db, "SELECT count(*) FROM kv", "2");
    database_run(db, "COMMIT; BEGIN IMMEDIATE");
    database_expect(db, "SELECT count(*) FROM kv", "2");
    database_fails(other, "INSERT INTO kv VALUES('c', 3)", SQLITE_BUSY);
    database_run(db, "INSERT INTO kv VALUES('d', 4); COMMIT");
    database_expect(other, "SELECT key FROM kv", "a b d");
    database_close(db);
    database_close(other);
}
END_TEST

/* ---- Two tables, one store */

START_TEST(test_ext_contract_tables_on_one_store_are_views)
{
    sqlite3 *db = open_on("test.db", "CREATE VIRTUAL TABLE a USING kv(path='data');"
                                     "CREATE VIRTUAL TABLE b USING kv(path='./data')");

    database_run(db, "BEGIN; INSERT INTO a VALUES('x', 1)");
    database_expect(db, "SELECT key FROM b", "x");
    database_fails(db, "INSERT INTO b VALUES('x', 2)", SQLITE_CONSTRAINT_PRIMARYKEY);
    database_run(db, "SAVEPOINT s; INSERT INTO b VALUES('y', 2); DELETE FROM a WHERE key = 'x'");
    database_expect(db, "SELECT key FROM a UNION ALL SELECT key FROM b", "y y");
    database_run(db, "ROLLBACK TO s");
    database_expect(db, "SELECT key FROM a UNION ALL SELECT key FROM b", "x x");
    database_run(db, "UPDATE b SET value = 3; COMMIT; DROP TABLE a");
    database_expect(db, "SELECT * FROM b", "x|3");
    database_fails(db, "SELECT kv_destroy('data')", SQLITE_BUSY);
    database_close(db);
}
END_TEST

/* A DROP may be taken back: until that is decided nobody can remove what it would bring back. */
START_TEST(test_ext_contract_dropped_store_is_held_to_the_end)
{
    sqlite3 *db = open_on("test.db", "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    sqlite3 *other = database_open(":memory:");

    database_run(db, "INSERT INTO kv VALUES('a', 1); BEGIN; DROP TABLE kv");
    database_fails(other, "SELECT kv_destroy('data')", SQLITE_BUSY);
    database_run(db, "ROLLBACK");
    database_expect(db, "SELECT * FROM kv", "a|1");
    database_run(db, "BEGIN; DROP TABLE kv; COMMIT");
    database_run(other, "SELECT kv_destroy('data')");
    ck_assert_int_ne(access("data", F_OK), 0);
    database_close(db);
    database_close(other);
}
END_TEST

/* ---- Read-only tables */

/* Names, sizes and times of what is in a directory; for free(). */
static char *listing(const char *directory)
{
    DIR *names = opendir(directory);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct dirent *entry;
    struct stat status;

    ck_assert_ptr_nonnull(names);
    while ((entry = readdir(names)) != NULL) {
        ck_assert_int_eq(fstatat(dirfd(names), entry->d_name, &status, 0), 0);
        if (entry->d_name[0] != '.')
            fprintf(out, "%s %lld %ld\n", entry->d_name, (long long)status.st_size,
                    (long)status.st_mtim.tv_nsec);
    }
    closedir(names);
    fclose(out);
    return text;
}

START_TEST(test_ext_contract_readonly_changes_nothing)
{
    sqlite3 *db = open_on("test.db", "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    char *before, *after;

    database_run(db, "INSERT INTO kv VALUES('" SECRET "', 1); SELECT kv_compact('kv');"
                     "INSERT INTO kv VALUES('b', 2)");
    database_close(db);
    before = listing("data");
    db = open_on(":memory:", "CREATE VIRTUAL TABLE r USING kv(path='data', readonly=1)");
    database_expect(db, "SELECT count(*), max(value) FROM r", "2|2");
    expect_failure(db, "INSERT INTO r VALUES('c', 3)", SQLITE_READONLY, "r: ");
    expect_failure(db, "DELETE FROM r WHERE key = '" SECRET "'", SQLITE_READONLY, "r: ");
    expect_failure(db, "SELECT kv_compact('r')", SQLITE_READONLY, "r: ");
    database_expect(db, "SELECT count(*) FROM kv_check('r')", "0");
    database_run(db, "DROP TABLE r");
    database_close(db);
    after = listing("data");
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
}
END_TEST

/* ---- Tables in trouble */

static const struct {
    const char *definition, *part;
} troubles[] = {
    {"kv(path=''data'', colour=''red'')", "unknown option colour"},
    {"kv(path=''data'', fanout=99)", "fanout"},
    {"kv(path=''nowhere'')", "data"}, /* the shadow table's path counts */
    {"kv(key TEXT, value, more, path=''data'')", "columns"},
    {"kv(key TEXT COLLATE NOCASE)", "COLLATE"},
};
enum { TROUBLES = sizeof(troubles) / sizeof(troubles[0]) };

/*
 * Goal: a definition that a newer version, or somebody's editor, wrote makes
 * statements fail with a message, but not DROP TABLE, nor kv_check.
 */
START_TEST(test_ext_contract_bad_definition_is_told_and_dropped)
{
    static const char *const statements[] = {"SELECT * FROM kv", "INSERT INTO kv(key) VALUES('b')",
                                             "DELETE FROM kv", "SELECT kv_compact('kv')",
                                             "SELECT * FROM kv_stats('kv')"};
    sqlite3 *db = open_on("test.db", "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    bool sound = strcmp(troubles[_i].part, "data") == 0;
    char *sql = sqlite3_mprintf("PRAGMA writable_schema = on; UPDATE sqlite_schema SET sql = "
                                "'CREATE VIRTUAL TABLE kv USING %s' WHERE name = 'kv'",
                                troubles[_i].definition);

    database_run(db, "INSERT INTO kv VALUES('" SECRET "', 1)");
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    database_run(db, sql);
    sqlite3_free(sql);
    database_close(db);
    db = database_open("test.db");
    for (size_t i = 0; !sound && i < sizeof(statements) / sizeof(statements[0]); i++) {
        expect_failure(db, statements[i], SQLITE_ERROR, "kv: ");
        ck_assert_msg(strstr(sqlite3_errmsg(db), troubles[_i].part) != NULL, "%s",
                      sqlite3_errmsg(db));
    }
    if (sound)
        database_expect(db, "SELECT value FROM kv", "1");
    else
        database_expect(db, "SELECT count(*) FROM kv_check('kv')", "1");
    database_run(db, "ALTER TABLE kv RENAME TO other; DROP TABLE other");
    database_expect(db, "SELECT count(*) FROM sqlite_schema", "0");
    database_run(db, "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    database_expect(db, "SELECT value FROM kv", "1");
    database_close(db);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ext_contract");
    TCase *all = tcase_create("ext_contract");

    tcase_add_checked_fixture(all, database_set_up, database_tear_down);
    tcase_add_test(all, test_ext_contract_statuses_have_codes);
    tcase_add_test(all, test_ext_contract_io_errors_have_causes);
    tcase_add_test(all, test_ext_contract_limits_are_named);
    tcase_add_test(all, test_ext_contract_damage_is_corrupt_vtab);
    tcase_add_test(all, test_ext_contract_null_is_no_table);
    tcase_add_test(all, test_ext_contract_keys_are_read_without_values);
    tcase_add_test(all, test_ext_contract_overtaken_statement_forbids_writing);
    tcase_add_test(all, test_ext_contract_open_statements_share_a_snapshot);
    tcase_add_test(all, test_ext_contract_commits_show_between_statements);
    tcase_add_test(all, test_ext_contract_tables_on_one_store_are_views);
    tcase_add_test(all, test_ext_contract_dropped_store_is_held_to_the_end);
    tcase_add_test(all, test_ext_contract_readonly_changes_nothing);
    tcase_add_loop_test(all, test_ext_contract_bad_definition_is_told_and_dropped, 0, TROUBLES);
    suite_add_tcase(suite, all);
    return kv_run_suite(suite);
}
