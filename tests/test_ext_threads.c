/*
 * Connections on several threads, opened and closed in any order and by
 * anybody, on one store that background work goes on in.
 *
 * Money moves between accounts, so that their sum is always the same. Leaks, races
 * and hangs are what the sanitizers and the time limit find.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database.h"
#include "model.h"
#include "runner.h"

int sqlite3_kv_static_init(sqlite3 *db, char **error, const struct sqlite3_api_routines *api);

enum { THREADS = 4, ACCOUNTS = 50, TURNS = 200, SHELF = 6 };

/* Checks cannot fail on other threads than the test's own: the first problem is kept for it. */
static char problem[200];
static pthread_mutex_t problem_mutex = PTHREAD_MUTEX_INITIALIZER;

static void complain(const char *what, const char *why)
{
    pthread_mutex_lock(&problem_mutex);
    if (!problem[0])
        snprintf(problem, sizeof(problem), "%s: %s", what, why);
    pthread_mutex_unlock(&problem_mutex);
}

/* A connection of its own database in memory, with the table on the store. */
static sqlite3 *connect_to_store(void)
{
    sqlite3 *db = NULL;
    char *error = NULL;

    if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
        sqlite3_kv_static_init(db, &error, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(db, 20000) != SQLITE_OK ||
        sqlite3_exec(
            db,
            "CREATE VIRTUAL TABLE kv USING kv(account INTEGER, amount INTEGER, path='data',"
            "segment_bytes='64KB', max_segment_bytes='64KB', fanout=2, synchronous=normal)",
            NULL, NULL, &error) != SQLITE_OK)
        complain("opening", error ? error : "out of memory");
    sqlite3_free(error);
    return db;
}

/* Move an amount from one account to another; padding makes logs fill up. */
static void move_money(sqlite3 *db, unsigned from, unsigned to)
{
    char sql[400], *error = NULL;
    int code;

    snprintf(sql, sizeof(sql),
             "BEGIN; UPDATE kv SET amount = amount - 7 WHERE account = %u;"
             "UPDATE kv SET amount = amount + 7 WHERE account = %u;"
             "REPLACE INTO kv VALUES(-%u, zeroblob(2000)); COMMIT",
             from, to, from + 1);
    code = sqlite3_exec(db, sql, NULL, NULL, &error);
    if (code != SQLITE_OK) {
        complain("moving money", error ? error : "out of memory");
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    sqlite3_free(error);
}

static void count_money(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(db, "SELECT sum(amount), count(*) FROM kv WHERE account >= 0", -1,
                           &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        complain("counting", sqlite3_errmsg(db));
    else if (sqlite3_column_int64(statement, 0) != 0 ||
             sqlite3_column_int(statement, 1) != ACCOUNTS)
        complain("counting", "money was lost or made");
    sqlite3_finalize(statement);
}

/* ---- Connections change hands here */

static pthread_mutex_t shelf_mutex = PTHREAD_MUTEX_INITIALIZER;
static sqlite3 *shelf[SHELF];

/* Put a connection (or NULL) down, and take up what was there. */
static sqlite3 *exchange(sqlite3 *db, unsigned place)
{
    sqlite3 *other;

    pthread_mutex_lock(&shelf_mutex);
    other = shelf[place];
    shelf[place] = db;
    pthread_mutex_unlock(&shelf_mutex);
    return other;
}

/* Close with a statement still open: what SQLite keeps goes with that. */
static void close_late(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(db, "SELECT * FROM kv", -1, &statement, NULL) == SQLITE_OK)
        sqlite3_step(statement);
    sqlite3_close_v2(db);
    sqlite3_finalize(statement);
}

static void *live(void *context)
{
    uint64_t random = *(uint64_t *)context;
    sqlite3 *db = connect_to_store();

    for (int turn = 0; turn < TURNS && !problem[0]; turn++) {
        unsigned dice = model_below(&random, 10);

        if (!db)
            db = connect_to_store();
        move_money(db, model_below(&random, ACCOUNTS), model_below(&random, ACCOUNTS));
        count_money(db);
        if (dice < 3) {
            db = exchange(db, model_below(&random, SHELF));
        } else if (dice == 3) {
            close_late(db);
            db = NULL;
        } else if (dice == 4) {
            if (sqlite3_close(db) != SQLITE_OK)
                complain("closing", "busy");
            db = NULL;
        } else if (dice == 5 && sqlite3_exec(db, "SELECT kv_compact('kv', '100KB')", NULL, NULL,
                                             NULL) == SQLITE_ERROR) {
            complain("compacting", sqlite3_errmsg(db));
        }
    }
    sqlite3_close(db);
    return NULL;
}

START_TEST(test_ext_threads_share_a_store)
{
    pthread_t threads[THREADS];
    uint64_t seeds[THREADS];
    sqlite3 *db = connect_to_store();

    for (int i = 0; i < ACCOUNTS; i++) {
        char sql[100];

        snprintf(sql, sizeof(sql), "INSERT INTO kv VALUES(%d, 0)", i);
        database_run(db, sql);
    }
    if (_i)
        database_close(db); /* nobody has the store open now and then */
    for (unsigned i = 0; i < THREADS; i++) {
        seeds[i] = (uint64_t)_i * THREADS + i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, live, &seeds[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_msg(!problem[0], "%s", problem);
    for (unsigned i = 0; i < SHELF; i++)
        sqlite3_close(exchange(NULL, i));
    if (_i)
        db = connect_to_store();
    count_money(db);
    ck_assert_msg(!problem[0], "%s", problem);
    database_expect(db, "SELECT count(*) FROM kv_check", "0");
    database_close(db);
    db = database_open(":memory:");
    database_expect(db, "SELECT kv_destroy('data') IS NULL OR 1", "1");
    database_close(db);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ext_threads");
    TCase *tests = tcase_create("ext_threads");

    tcase_add_checked_fixture(tests, database_set_up, database_tear_down);
    tcase_add_loop_test(tests, test_ext_threads_share_a_store, 0, 2);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
