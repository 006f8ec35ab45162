/*
 * The golden stores: one of each file format that there has been, made by
 * tests/golden/make.sh at its time. This version must read each, go on writing to it, and
 * recover it after a crash.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database.h"
#include "index_layout.h"
#include "runner.h"

static char golden[PATH_MAX]; /* tests/golden, found before tests change directories */

static const char *const formats[] = {"format-1"};
enum { FORMATS = sizeof(formats) / sizeof(formats[0]) };

/* A file as a whole, with a final NUL, for free(). */
static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *bytes = malloc(1 << 20);

    ck_assert_msg(file != NULL && bytes != NULL, "%s", path);
    *size = fread(bytes, 1, (1 << 20) - 1, file);
    bytes[*size] = '\0';
    fclose(file);
    return bytes;
}

static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

/* Call `each` for the path of every file of the store in "store". */
static void each_file(void (*each)(const char *path, void *context), void *context)
{
    DIR *directory = opendir("store");
    const struct dirent *entry;

    ck_assert_ptr_nonnull(directory);
    while ((entry = readdir(directory)) != NULL) {
        char path[300];

        snprintf(path, sizeof(path), "store/%s", entry->d_name);
        if (entry->d_name[0] != '.')
            each(path, context);
    }
    closedir(directory);
}

/* A copy of a golden store in "store". */
static void copy_store(const char *format)
{
    char command[2 * PATH_MAX];

    snprintf(command, sizeof(command), "cp -r '%s/%s' store && chmod -R u+w store", golden, format);
    ck_assert_int_eq(system(command), 0);
}

static sqlite3 *attach(const char *options)
{
    sqlite3 *db = database_open(":memory:");
    char *sql = sqlite3_mprintf("CREATE VIRTUAL TABLE golden USING kv(k, a, b TEXT, c REAL, "
                                "path='store', auto_compact=off%s)",
                                options);

    database_run(db, sql);
    sqlite3_free(sql);
    return db;
}

/* The rows as the shell prints them, for free(). */
static char *dump(sqlite3 *db)
{
    char path[PATH_MAX + 32], *sql, *text = NULL;
    sqlite3_stmt *statement;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    snprintf(path, sizeof(path), "%s/dump.sql", golden);
    sql = read_file(path, &size);
    statement = database_prepare(db, sql);
    while (sqlite3_step(statement) == SQLITE_ROW)
        for (int i = 0; i < 4; i++)
            fprintf(out, "%s%c", (const char *)sqlite3_column_text(statement, i),
                    i < 3 ? '|' : '\n');
    ck_assert_int_eq(sqlite3_finalize(statement), SQLITE_OK);
    fclose(out);
    free(sql);
    return text;
}

static void expect_golden(sqlite3 *db, const char *format)
{
    char path[PATH_MAX + 32], *expected, *text = dump(db);
    size_t size;

    snprintf(path, sizeof(path), "%s/%s.txt", golden, format);
    expected = read_file(path, &size);
    ck_assert_str_eq(text, expected);
    free(text);
    free(expected);
    database_expect(db, "SELECT count(*) FROM kv_check('golden')", "0");
}

/* ---- Tests */

/* Goal: the golden store has what it is meant to have, or the other tests show little. */
START_TEST(test_golden_has_something_of_everything)
{
    sqlite3 *db;

    copy_store(formats[_i]);
    db = attach(", readonly=1");
    database_expect(db,
                    "SELECT state = 'active' AS active, tier, records > 0, tombstones > 0 "
                    "FROM kv_segments('golden') ORDER BY 1, 2, segment",
                    "0|0|1|1 0|0|1|1 0|1|1|0 1|0|1|0");
    database_expect(
        db,
        "SELECT group_concat(DISTINCT typeof(a)) FROM (SELECT a FROM golden ORDER BY typeof(a))",
        "blob,integer,null,real,text");
    database_close(db);
}
END_TEST

static void add_file(const char *path, void *context)
{
    size_t size;
    char *bytes = read_file(path, &size);

    fprintf(context, "%s %zu ", path, size);
    fwrite(bytes, 1, size, context);
    free(bytes);
}

static char *files(size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);

    each_file(add_file, out);
    fclose(out);
    return text;
}

START_TEST(test_golden_is_read)
{
    size_t before_size, after_size;
    char *before, *after;
    sqlite3 *db;

    copy_store(formats[_i]);
    before = files(&before_size);
    db = attach(", readonly=1");
    expect_golden(db, formats[_i]);
    database_close(db);
    after = files(&after_size);
    ck_assert_uint_eq(before_size, after_size);
    ck_assert_mem_eq(before, after, after_size);
    free(before);
    free(after);
}
END_TEST

START_TEST(test_golden_is_written_to)
{
    sqlite3 *db;

    copy_store(formats[_i]);
    db = attach("");
    expect_golden(db, formats[_i]);
    database_run(db, "INSERT INTO golden(k, a) VALUES('new', 1)");
    database_run(db, "DELETE FROM golden WHERE k = 'new'");
    expect_golden(db, formats[_i]);
    database_close(db);
    db = attach("");
    expect_golden(db, formats[_i]);
    database_run(db, "SELECT kv_compact('golden')");
    expect_golden(db, formats[_i]);
    database_close(db);
    db = attach("");
    expect_golden(db, formats[_i]);
    database_expect(db, "SELECT value FROM kv_stats('golden') WHERE stat = 'runs'", "1");
    database_close(db);
}
END_TEST

/* The log that was active has the greatest number of all. */
static void find_log(const char *path, void *context)
{
    char *greatest = context;

    if (strcmp(path + strlen(path) - 3, ".db") == 0 && strcmp(path, greatest) > 0)
        strcpy(greatest, path);
}

/* Goal: it is recovered like any store whose last user was killed. Method: cut off what marks the clean end. */
START_TEST(test_golden_is_recovered)
{
    char path[300] = "", *bytes;
    size_t size;
    sqlite3 *db;

    copy_store(formats[_i]);
    each_file(find_log, path);
    bytes = read_file(path, &size);
    write_file(path, bytes, size - 1);
    free(bytes);
    db = attach("");
    expect_golden(db, formats[_i]);
    database_run(db, "REPLACE INTO golden SELECT * FROM golden");
    expect_golden(db, formats[_i]);
    database_close(db);
}
END_TEST

static void remove_index(const char *path, void *context)
{
    (void)context;
    if (strcmp(path + strlen(path) - 4, ".idx") == 0)
        ck_assert_int_eq(unlink(path), 0);
}

START_TEST(test_golden_is_indexed_anew)
{
    sqlite3 *db;

    copy_store(formats[_i]);
    each_file(remove_index, NULL);
    db = attach(", readonly=1");
    database_expect(db, "SELECT b FROM golden WHERE k = 101", "overwritten");
    database_close(db);
    db = attach("");
    expect_golden(db, formats[_i]);
    database_close(db);
}
END_TEST

static void find_index_version(const char *path, void *context)
{
    unsigned *versions = context;
    size_t size;
    char *bytes;

    if (strcmp(path + strlen(path) - 4, ".idx") != 0)
        return;
    bytes = read_file(path, &size);
    *versions |= 1u << bytes[KV_INDEX_VERSION_AT];
    free(bytes);
}

/* Goal: indexes, which have a format of their own, are replaced if theirs is an older one. */
START_TEST(test_golden_has_old_indexes)
{
    unsigned before = 0, after = 0;
    sqlite3 *db;

    copy_store(formats[_i]);
    each_file(find_index_version, &before);
    ck_assert_uint_eq(before, 1u << 1);
    db = attach("");
    expect_golden(db, formats[_i]);
    database_close(db);
    each_file(find_index_version, &after);
    ck_assert_uint_eq(after, 1u << KV_INDEX_VERSION);
}
END_TEST

static Suite *golden_suite(void)
{
    Suite *suite = suite_create("golden");
    TCase *tests = tcase_create("golden");

    tcase_add_checked_fixture(tests, database_set_up, database_tear_down);
    tcase_add_loop_test(tests, test_golden_has_something_of_everything, 0, FORMATS);
    tcase_add_loop_test(tests, test_golden_is_read, 0, FORMATS);
    tcase_add_loop_test(tests, test_golden_is_written_to, 0, FORMATS);
    tcase_add_loop_test(tests, test_golden_is_recovered, 0, FORMATS);
    tcase_add_loop_test(tests, test_golden_is_indexed_anew, 0, FORMATS);
    tcase_add_loop_test(tests, test_golden_has_old_indexes, 0, FORMATS);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    if (!realpath("tests/golden", golden)) {
        fprintf(stderr, "run this from the top of the repository: there is no tests/golden here\n");
        return EXIT_FAILURE;
    }
    return kv_run_suite(golden_suite());
}
