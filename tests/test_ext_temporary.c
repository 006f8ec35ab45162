/*
 * Temporary stores: those of databases without a file. They lie under TMPDIR, in
 * directories whose names say what they are, and go with their last user.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "database.h"
#include "runner.h"

enum { PATH_BYTES = 300 };

static void set_up(void)
{
    database_set_up();
    ck_assert_int_eq(mkdir("tmp", 0777), 0);
    ck_assert_int_eq(setenv("TMPDIR", "tmp", 1), 0);
}

/* How many stores there are; the path of one in `path`. Nothing else is there. */
static int count_stores(char path[PATH_BYTES])
{
    DIR *directory = opendir("tmp");
    struct dirent *entry;
    int count = 0;

    ck_assert_ptr_nonnull(directory);
    while ((entry = readdir(directory)) != NULL) {
        struct stat status;

        if (entry->d_name[0] == '.')
            continue;
        ck_assert_int_eq(strncmp(entry->d_name, "sqlite-kv-", 10), 0);
        ck_assert_uint_eq(strspn(entry->d_name + 10, "0123456789abcdef"), 32);
        ck_assert_uint_eq(strlen(entry->d_name), 42);
        snprintf(path, PATH_BYTES, "tmp/%s", entry->d_name);
        ck_assert_int_eq(stat(path, &status), 0);
        ck_assert_uint_eq(status.st_mode, S_IFDIR | 0700);
        count++;
    }
    closedir(directory);
    return count;
}

static void expect_stores(int expected)
{
    char path[PATH_BYTES];

    ck_assert_int_eq(count_stores(path), expected);
}

static void destroy(sqlite3 *db, const char *path, int code)
{
    char *sql = sqlite3_mprintf("SELECT kv_destroy(%Q)", path);

    database_fails(db, sql, code);
    sqlite3_free(sql);
}

/* Databases without a file, and a schema without one in a database that has one. */
static const struct {
    const char *file, *create;
} places[] = {
    {":memory:", "CREATE VIRTUAL TABLE kv USING kv"},
    {"", "CREATE VIRTUAL TABLE kv USING kv"},
    {"test.db", "CREATE VIRTUAL TABLE temp.kv USING kv"},
    {"test.db", "ATTACH ':memory:' AS a; CREATE VIRTUAL TABLE a.kv USING kv"},
    {"file:/x?vfs=memdb", "CREATE VIRTUAL TABLE kv USING kv"},
};
enum { PLACES = sizeof(places) / sizeof(places[0]) };

START_TEST(test_ext_temporary_store_goes_with_its_connection)
{
    sqlite3 *db;

    sqlite3_config(SQLITE_CONFIG_URI, 1);
    db = database_open(places[_i].file);
    database_run(db, places[_i].create);
    expect_stores(1);
    database_run(db, "INSERT INTO kv VALUES('a', 1); BEGIN; INSERT INTO kv VALUES('b', 2)");
    database_expect(db, "SELECT * FROM kv", "a|1 b|2");
    database_run(db, "ROLLBACK");
    database_expect(db, "SELECT * FROM kv", "a|1");
    database_close(db);
    expect_stores(0);
}
END_TEST

START_TEST(test_ext_temporary_store_goes_with_its_table)
{
    sqlite3 *db = database_open(":memory:");

    database_run(db, "CREATE VIRTUAL TABLE kv USING kv; CREATE VIRTUAL TABLE other USING kv");
    expect_stores(2);
    database_run(db, "DROP TABLE other");
    expect_stores(1);
    database_run(db,
                 "BEGIN; CREATE VIRTUAL TABLE third USING kv; INSERT INTO third VALUES('a', 1)");
    expect_stores(2);
    database_run(db, "ROLLBACK");
    expect_stores(1);
    database_run(db, "BEGIN; DROP TABLE kv; ROLLBACK; INSERT INTO kv VALUES('a', 1)");
    database_expect(db, "SELECT * FROM kv", "a|1");
    expect_stores(1);
    database_close(db);
    expect_stores(0);
}
END_TEST

/* Whoever knows the path is a user like others: the last one removes it. */
START_TEST(test_ext_temporary_store_stays_while_used)
{
    sqlite3 *first = database_open(":memory:"), *second = database_open(":memory:");
    char path[PATH_BYTES], *sql;

    database_run(first, "CREATE VIRTUAL TABLE kv USING kv; INSERT INTO kv VALUES('a', 1)");
    ck_assert_int_eq(count_stores(path), 1);
    sql = sqlite3_mprintf("CREATE VIRTUAL TABLE kv USING kv(path=%Q)", path);
    database_run(second, sql);
    sqlite3_free(sql);
    destroy(second, path, SQLITE_BUSY);
    database_close(first);
    database_expect(second, "SELECT * FROM kv", "a|1");
    expect_stores(1);
    database_close(second);
    expect_stores(0);
}
END_TEST

/* A process with a temporary store; killed in the midst of a transaction, or not yet. */
static pid_t start_process(void)
{
    int ready[2];
    char byte;
    pid_t child;

    ck_assert_int_eq(pipe(ready), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        sqlite3 *db = database_open(":memory:");

        database_run(db, "CREATE VIRTUAL TABLE kv USING kv; INSERT INTO kv VALUES('a', 1);"
                         "BEGIN; INSERT INTO kv VALUES('b', 2)");
        ck_assert_int_eq(write(ready[1], "!", 1), 1);
        for (;;)
            pause();
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

/* Goal: what a killed process leaves is known by its name, and easily removed, but only then. */
START_TEST(test_ext_temporary_store_of_a_killed_process_can_be_destroyed)
{
    sqlite3 *db = database_open("test.db");
    pid_t child = start_process();
    char path[PATH_BYTES];

    ck_assert_int_eq(count_stores(path), 1);
    destroy(db, path, SQLITE_BUSY);
    expect_stores(1);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    expect_stores(1);
    destroy(db, path, SQLITE_OK);
    expect_stores(0);
    database_close(db);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ext_temporary");
    TCase *all = tcase_create("ext_temporary");

    tcase_add_checked_fixture(all, set_up, database_tear_down);
    tcase_add_loop_test(all, test_ext_temporary_store_goes_with_its_connection, 0, PLACES);
    tcase_add_test(all, test_ext_temporary_store_goes_with_its_table);
    tcase_add_test(all, test_ext_temporary_store_stays_while_used);
    tcase_add_test(all, test_ext_temporary_store_of_a_killed_process_can_be_destroyed);
    suite_add_tcase(suite, all);
    return kv_run_suite(suite);
}
