/*
 * Reading makes no system calls: neither through kv.h nor through SQL. Only long ranges
 * ask for what comes next, should it not be cached.
 *
 * Once everything has been touched, a reading thread gives up all system calls but
 * read, write and exit (seccomp's strict mode): any other ends it on the spot.
 */
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "database.h"
#include "kv.h"
#include "runner.h"

enum { ROWS = 20000, GETS = 1000, RANGE = 200 };

/* What is done without system calls: false if it went wrong. */
struct work {
    bool (*run)(void *context);
    void *context;
    bool done;
};

static void *do_quietly(void *context)
{
    struct work *work = context;

    /* The first time, the allocator sets things up for this thread. */
    if (work->run(work->context) && prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0)
        work->done = work->run(work->context);
    syscall(SYS_exit, 0); /* this thread; returning would make calls of its own */
    return NULL;
}

/* Fail unless the work, done twice, makes no system call the second time. */
static void expect_quiet(bool (*run)(void *context), void *context)
{
    struct work work = {run, context, false};
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, do_quietly, &work), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_msg(work.done, "a system call was made, or a read failed");
}

/* Until the thread in the background has built all indexes: what it changes, readers look up. */
static void await_indexes(sqlite3 *db)
{
    sqlite3_stmt *statement =
        database_prepare(db, "SELECT 1 FROM kv_segments('kv') WHERE reason LIKE '%being built'");

    while (sqlite3_step(statement) == SQLITE_ROW) {
        sqlite3_reset(statement);
        usleep(1000);
    }
    ck_assert_int_eq(sqlite3_finalize(statement), SQLITE_OK);
}

/* A table with sealed segments, and rows in the active log; the database is in memory. */
static sqlite3 *open_filled(void)
{
    sqlite3 *db = database_open(":memory:");
    char sql[400];

    database_run(db, "CREATE VIRTUAL TABLE kv USING kv(key INTEGER, value, path='data',"
                     "segment_bytes='256KB', auto_compact=off, synchronous=off)");
    for (unsigned from = 0; from < ROWS; from += 1000) {
        snprintf(sql, sizeof(sql),
                 "WITH RECURSIVE n(i) AS (VALUES(%u) UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
                 "INSERT INTO kv SELECT i, 'row' || i FROM n",
                 from, from + 999);
        database_run(db, sql);
    }
    await_indexes(db);
    return db;
}

/* ---- Through SQL */

static bool select_rows(void *context)
{
    sqlite3_stmt *statement = context;

    for (unsigned i = 0; i < GETS; i++) {
        bool found;

        sqlite3_bind_int64(statement, 1, (i * 7919) % (ROWS + 1000));
        found = sqlite3_step(statement) == SQLITE_ROW;
        if (found != ((i * 7919) % (ROWS + 1000) < ROWS) || sqlite3_reset(statement) != SQLITE_OK)
            return false;
    }
    return true;
}

START_TEST(test_quiet_select)
{
    sqlite3 *db = open_filled();
    sqlite3_stmt *statement = database_prepare(db, "SELECT value FROM kv WHERE key = ?");

    expect_quiet(select_rows, statement);
    sqlite3_finalize(statement);
    database_close(db);
}
END_TEST

static bool select_range(void *context)
{
    sqlite3_stmt *statement = context;
    unsigned count = 0;

    while (sqlite3_step(statement) == SQLITE_ROW)
        count++;
    return count == RANGE && sqlite3_reset(statement) == SQLITE_OK;
}

START_TEST(test_quiet_scan)
{
    sqlite3 *db = open_filled();
    sqlite3_stmt *statement =
        database_prepare(db, "SELECT value FROM kv WHERE key >= 15000 ORDER BY key LIMIT 200");

    expect_quiet(select_range, statement);
    sqlite3_finalize(statement);
    database_close(db);
}
END_TEST

/* ---- Through kv.h, while SQL has the same store open */

static bool get_keys(void *context)
{
    struct kv_snapshot *snapshot = context;
    struct kv_entry entry;

    for (unsigned i = 0; i < GETS; i++) {
        char key[16];
        enum kv_status st;

        snprintf(key, sizeof(key), "key%u", i);
        if (kv_snapshot_acquire(snapshot) != KV_OK)
            return false;
        st = kv_snapshot_get(snapshot, NULL, kv_slice_text(key), &entry);
        kv_snapshot_release(snapshot);
        if (st != (i < 500 ? KV_OK : KV_DONE))
            return false;
    }
    return true;
}

START_TEST(test_quiet_get)
{
    struct kv_open_options options = kv_open_options_default();
    struct kv_snapshot *snapshot;
    struct kv_store *store;
    char key[16];

    ck_kv(kv_store_open("store", &options, &store));
    for (unsigned i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "key%u", i);
        ck_kv(kv_put(store, kv_slice_text(key), kv_slice_text("row")));
        if (i == 250)
            ck_kv(kv_compact(store, NULL, NULL));
    }
    ck_kv(kv_snapshot_new(store, &snapshot));
    expect_quiet(get_keys, snapshot);
    kv_snapshot_free(snapshot);
    ck_kv(kv_store_close(store));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quiet");
    TCase *tests = tcase_create("quiet");

    tcase_add_checked_fixture(tests, database_set_up, database_tear_down);
/* Sanitizers make calls of their own. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tests, test_quiet_select);
    tcase_add_test(tests, test_quiet_scan);
    tcase_add_test(tests, test_quiet_get);
#else
    (void)test_quiet_select;
    (void)test_quiet_scan;
    (void)test_quiet_get;
#endif
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
