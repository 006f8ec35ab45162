/* Databases for tests: see database.h. */
#include "database.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runner.h"

int sqlite3_kv_static_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

static char directory[64];

static void set_up_in(const char *parent)
{
    snprintf(directory, sizeof(directory), "%s/kv-database-XXXXXX", parent);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
}

void database_set_up(void)
{
    set_up_in("/tmp");
}

void database_set_up_in_memory(void)
{
    set_up_in(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

void database_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void database_tear_down(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    database_remove(directory);
}

sqlite3 *database_open(const char *file)
{
    sqlite3 *db;
    char *error = NULL;

    ck_assert_int_eq(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_extended_result_codes(db, 1);
    ck_assert_msg(sqlite3_kv_static_init(db, &error, NULL) == SQLITE_OK, "%s", error);
    return db;
}

void database_close(sqlite3 *db)
{
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

void database_run(sqlite3 *db, const char *sql)
{
    database_fails(db, sql, SQLITE_OK);
}

int database_try(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

void database_fails(sqlite3 *db, const char *sql, int code)
{
    int got = database_try(db, sql);

    ck_assert_msg(got == code, "%s: %d, not %d: %s", sql, got, code, sqlite3_errmsg(db));
}

sqlite3_stmt *database_prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;

    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s: %s", sql,
                  sqlite3_errmsg(db));
    return statement;
}

char *database_text(sqlite3 *db, const char *sql)
{
    sqlite3_str *text = sqlite3_str_new(NULL);
    sqlite3_stmt *statement = NULL;
    char *made, *copy;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        for (int i = 0; code == SQLITE_ROW && i < sqlite3_column_count(statement); i++) {
            const char *cell = (const char *)sqlite3_column_text(statement, i);

            sqlite3_str_appendf(text, "%s%s",
                                i                          ? "|"
                                : sqlite3_str_length(text) ? " "
                                                           : "",
                                cell ? cell : "NULL");
        }
    }
    if (code != SQLITE_DONE)
        sqlite3_str_appendf(text, "!%d", code);
    sqlite3_finalize(statement);
    made = sqlite3_str_finish(text);
    copy = strdup(made ? made : "");
    sqlite3_free(made);
    ck_assert_ptr_nonnull(copy);
    return copy;
}

void database_expect(sqlite3 *db, const char *sql, const char *expected)
{
    char *got = database_text(db, sql);

    ck_assert_msg(strcmp(got, expected) == 0, "%s: \"%s\", not \"%s\" (%s)", sql, got, expected,
                  sqlite3_errmsg(db));
    free(got);
}
