/*
 * The extension and the program that hosts it: entry points in any order and
 * number, other SQLite libraries in the process, and interruption.
 *
 * The loadable library is the file that KV_SO names, if it is set.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3ext.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "database.h"
#include "lock.h"
#include "runner.h"

int sqlite3_kv_static_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

/* The loadable library; NULL if it was not built. */
static const char *library_file(void)
{
    const char *file = getenv("KV_SO");

    return file && access(file, R_OK) == 0 ? file : NULL;
}

typedef int entry_point(sqlite3 *db, char **error, const sqlite3_api_routines *api);

static void set_up(void)
{
    database_set_up();
}

static void tear_down(void)
{
    sqlite3_reset_auto_extension();
    database_tear_down();
}

static sqlite3 *open_plainly(const char *file)
{
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_extended_result_codes(db, 1);
    return db;
}

/* ---- Linked in */

START_TEST(test_ext_host_auto_extension_serves_every_connection)
{
    sqlite3 *first, *second, *later;

    ck_assert_int_eq(sqlite3_auto_extension((void (*)(void))sqlite3_kv_static_init), SQLITE_OK);
    first = open_plainly("one.db");
    second = open_plainly("one.db");
    database_run(first, "CREATE VIRTUAL TABLE kv USING kv; INSERT INTO kv VALUES('a', 1)");
    database_expect(second, "SELECT key FROM kv", "a");
    sqlite3_cancel_auto_extension((void (*)(void))sqlite3_kv_static_init);
    later = open_plainly("one.db");
    database_fails(later, "SELECT * FROM kv", SQLITE_ERROR);
    /* Connections end in any order; who is left goes on. */
    database_close(first);
    database_run(second, "INSERT INTO kv VALUES('b', 2)");
    database_expect(second, "SELECT key FROM kv", "a b");
    database_close(second);
    database_close(later);
}
END_TEST

START_TEST(test_ext_host_entry_point_may_be_called_again)
{
    sqlite3 *db = database_open("one.db");
    char *error = NULL;

    database_run(db, "CREATE VIRTUAL TABLE kv USING kv; BEGIN; INSERT INTO kv VALUES('a', 1)");
    ck_assert_int_eq(sqlite3_kv_static_init(db, &error, NULL), SQLITE_OK);
    database_expect(db, "SELECT key FROM kv", "a");
    database_run(db, "COMMIT");
    database_expect(db, "SELECT kv_compact('kv') >= 0", "1");
    database_close(db);
}
END_TEST

/* ---- Loaded */

static const sqlite3_api_routines *host_api;

static int keep_api(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
    (void)db, (void)error;
    host_api = api;
    return SQLITE_OK;
}

/* The loadable library's entry point; NULL if there is no library to load. */
static entry_point *load(sqlite3 **db)
{
    const char *file = library_file();
    void *library = file ? dlopen(file, RTLD_NOW | RTLD_LOCAL) : NULL;
    entry_point *entry = NULL;

    ck_assert_msg(!file || library, "%s", dlerror());
    sqlite3_auto_extension((void (*)(void))keep_api);
    *db = open_plainly("one.db");
    sqlite3_cancel_auto_extension((void (*)(void))keep_api);
    if (library)
        *(void **)(&entry) = dlsym(library, "sqlite3_kv_init");
    return entry;
}

/* The loader learns that the library must stay: its threads may outlive every connection. */
START_TEST(test_ext_host_loadable_stays_loaded)
{
    const char *file = library_file();
    sqlite3 *first = open_plainly("one.db"), *second = open_plainly("one.db");

    for (int i = 0; file && i < 3; i++) {
        sqlite3_db_config(first, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
        sqlite3_db_config(second, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
        ck_assert_int_eq(sqlite3_load_extension(first, file, NULL, NULL), SQLITE_OK);
        ck_assert_int_eq(sqlite3_load_extension(second, file, NULL, NULL), SQLITE_OK);
        database_run(first, "CREATE VIRTUAL TABLE IF NOT EXISTS kv USING kv(segment_bytes='64KB');"
                            "REPLACE INTO kv VALUES('a', zeroblob(50000));"
                            "REPLACE INTO kv VALUES('b', zeroblob(50000))");
        database_close(first);
        database_expect(second, "SELECT key FROM kv", "a b");
        database_close(second);
        first = open_plainly("one.db");
        second = open_plainly("one.db");
    }
    database_close(second);
    database_close(first);
}
END_TEST

/* Its calls would go to the wrong library, with the other one's objects. */
START_TEST(test_ext_host_second_library_is_refused)
{
    sqlite3 *db;
    entry_point *entry = load(&db);
    sqlite3_api_routines second;
    char *error = NULL;

    if (entry) {
        ck_assert_int_eq(entry(db, &error, host_api), SQLITE_OK_LOAD_PERMANENTLY);
        second = *host_api;
        ck_assert_int_eq(entry(db, &error, &second), SQLITE_ERROR);
        ck_assert_ptr_nonnull(error);
        ck_assert_ptr_nonnull(strstr(error, "another SQLite library"));
        sqlite3_free(error);
        database_run(db, "CREATE VIRTUAL TABLE kv USING kv; INSERT INTO kv VALUES('a', 1)");
    }
    database_close(db);
}
END_TEST

static int old_version_number(void)
{
    return 3037002;
}

static const char *old_version(void)
{
    return "3.37.2";
}

START_TEST(test_ext_host_old_library_is_refused)
{
    sqlite3 *db;
    entry_point *entry = load(&db);
    sqlite3_api_routines old;
    char *error = NULL;

    if (entry) {
        old = *host_api;
        old.libversion_number = old_version_number;
        old.libversion = old_version;
        ck_assert_int_eq(entry(db, &error, &old), SQLITE_ERROR);
        ck_assert_str_eq(error, "sqlite-kv needs SQLite 3.38 or newer; this is 3.37.2");
        sqlite3_free(error);
        /* Nothing of the old one is kept. */
        error = NULL;
        ck_assert_int_eq(entry(db, &error, host_api), SQLITE_OK_LOAD_PERMANENTLY);
    }
    database_close(db);
}
END_TEST

/* ---- Waiting */

static int refuse_pragmas(void *context, int action, const char *a, const char *b, const char *c,
                          const char *d)
{
    (void)context, (void)a, (void)b, (void)c, (void)d;
    return action == SQLITE_PRAGMA ? SQLITE_DENY : SQLITE_OK;
}

static int never_wait(void *context, int count)
{
    (void)context, (void)count;
    return 0;
}

/* The timeout cannot be read under an authorizer or a handler of one's own: fail at once, and go on. */
START_TEST(test_ext_host_unknown_busy_timeout_is_none)
{
    sqlite3 *first = database_open(":memory:"), *second = database_open(":memory:");

    database_run(first, "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    database_run(second, "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    sqlite3_busy_timeout(second, 60000);
    if (_i == 0)
        sqlite3_set_authorizer(second, refuse_pragmas, NULL);
    else
        sqlite3_busy_handler(second, never_wait, NULL);
    database_run(first, "BEGIN; INSERT INTO kv VALUES('a', 1)");
    database_fails(second, "INSERT INTO kv VALUES('b', 2)", SQLITE_BUSY);
    database_run(first, "COMMIT");
    database_run(second, "INSERT INTO kv VALUES('b', 2)");
    database_expect(first, "SELECT key FROM kv", "a b");
    database_close(first);
    database_close(second);
}
END_TEST

/* Hold a lock as another process would, until the file is closed. */
static int hold(const char *lock, enum kv_lock_byte which)
{
    struct flock byte = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = KV_PAGE_BYTES + which, .l_len = 1};
    int file = open(lock, O_RDWR);

    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(fcntl(file, F_OFD_SETLK, &byte), 0);
    return file;
}

static long used_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A dozen logs where there should be two runs at most. */
static void pile_runs_up(sqlite3 *db)
{
    database_run(db, "CREATE VIRTUAL TABLE off USING kv(path='data', segment_bytes='64KB',"
                     "auto_compact=off, synchronous=off)");
    for (int i = 0; i < 24; i++)
        database_run(db, "REPLACE INTO off VALUES('a', zeroblob(40000))");
}

/*
 * Goal: a transaction that begins when merges lag behind waits for them as long
 * as busy_timeout says, and then goes on.
 */
START_TEST(test_ext_host_writer_waits_for_merges)
{
    sqlite3 *db = database_open(":memory:");
    long timeout_ms = 300 * _i, waited_ms;
    int file;

    pile_runs_up(db);
    file = hold("data/LOCK", KV_LOCK_COMPACTOR);
    database_run(db, "CREATE VIRTUAL TABLE kv USING kv(path='data', fanout=2, tiers=1)");
    sqlite3_busy_timeout(db, (int)timeout_ms);
    waited_ms = used_ms(CLOCK_MONOTONIC);
    database_run(db, "INSERT INTO kv VALUES('b', 2)");
    waited_ms = used_ms(CLOCK_MONOTONIC) - waited_ms;
    ck_assert_int_ge(waited_ms, timeout_ms - 10);
    if (_i == 0)
        ck_assert_int_lt(waited_ms, 5000);
    database_expect(db, "SELECT value > 4 FROM kv_stats('kv') WHERE stat = 'runs'", "1");
    close(file);
    /* Nobody is in the way any more: merged it is, by whoever comes first. */
    database_run(db, "INSERT INTO kv VALUES('c', 2)");
    sqlite3_busy_timeout(db, 30000);
    database_run(db, "INSERT INTO kv VALUES('d', 2)");
    database_expect(db, "SELECT value < 4 FROM kv_stats('kv') WHERE stat = 'runs'", "1");
    database_close(db);
}
END_TEST

/* ---- Interruption */

/* Time is what the working thread used: other programs may keep it waiting. */
struct interruption {
    sqlite3 *db;
    long after_ms;
    clockid_t clock;
    long begin_ms;    /* what the clock said before the work */
    long used_ms;     /* by then */
    bool again;       /* until the work is over: an interruption before its begin is forgotten */
    atomic_bool over; /* the work */
};

static void *interrupt_later(void *context)
{
    struct interruption *interruption = (struct interruption *)context;

    /* A millisecond more, so that the work has begun: earlier, nothing is interrupted. */
    while (!atomic_load(&interruption->over) &&
           used_ms(interruption->clock) - interruption->begin_ms <= interruption->after_ms)
        usleep(200);
    interruption->used_ms = used_ms(interruption->clock);
    do
        sqlite3_interrupt(interruption->db);
    while (interruption->again && !atomic_load(&interruption->over) && usleep(20000) == 0);
    return NULL;
}

/* Statements that run long on 200,000 rows. */
static const char *const long_work[] = {
    "SELECT kv_compact('kv')",
    "INSERT INTO kv(kv) VALUES('compact')",
    "SELECT count(*) FROM kv a, kv b WHERE a.value < b.value",
    "SELECT count(*) FROM kv_check",
    "UPDATE kv SET value = value || 'x'",
    "SELECT count(*) FROM kv a, kv b WHERE a.key IN (b.value, b.key, 'x')",
    "SELECT count(*) FROM kv WHERE key IN (SELECT key || 'x' FROM kv)",
};
enum { LONG_WORK = sizeof(long_work) / sizeof(long_work[0]) };

/* Sanitizers and valgrind slow all down alike. */
static long limit_ms(void)
{
    const char *multiplier = getenv("CK_TIMEOUT_MULTIPLIER");

    return 100 * (multiplier ? strtol(multiplier, NULL, 10) : 1);
}

/* All of it in one log of the usual size, which compaction has to seal and index first. */
static void fill(sqlite3 *db)
{
    database_run(db, "CREATE VIRTUAL TABLE kv USING kv(auto_compact=off, synchronous=off,"
                     "segment_bytes='64MB')");
    for (int i = 0; i < 200000; i += 10000) {
        char *sql = sqlite3_mprintf(
            "WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
            "INSERT INTO kv SELECT 'key' || (i * 7919 %% 200003), printf('%%0100d', i) FROM n",
            i + 1, i + 10000);

        database_run(db, sql);
        sqlite3_free(sql);
    }
}

/*
 * Goal: long work stops within 100 ms of sqlite3_interrupt(), and leaves all as it was.
 * Method: interrupt at several moments; work that was done before does not
 * count, and what has been compacted gets something to compact.
 */
START_TEST(test_ext_host_interrupt_stops_long_work)
{
    bool updates = strncmp(long_work[_i], "UPDATE", 6) == 0;
    sqlite3 *db = database_open("one.db");
    char expected[64];
    pthread_t thread;
    int interrupted = 0, done = 0;

    fill(db);
    /* SQLite reports an interruption while it connects a table-valued function as SQLITE_ERROR. */
    database_expect(db, "SELECT count(*) FROM kv_check WHERE 0", "0");
    for (long after_ms = 0; after_ms < 60; after_ms += 6) {
        struct interruption interruption = {.db = db, .after_ms = after_ms};
        int code;
        long late_ms;

        /* What has been compacted once, since the interruption came too early or too late, is no work. */
        database_run(db, "UPDATE kv SET value = value WHERE key = 'key1'");
        ck_assert_int_eq(pthread_getcpuclockid(pthread_self(), &interruption.clock), 0);
        interruption.begin_ms = used_ms(interruption.clock);
        ck_assert_int_eq(pthread_create(&thread, NULL, interrupt_later, &interruption), 0);
        code = database_try(db, long_work[_i]);
        late_ms = used_ms(interruption.clock);
        atomic_store(&interruption.over, true);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        late_ms -= interruption.used_ms;
        ck_assert_msg(code == SQLITE_OK || code == SQLITE_INTERRUPT, "%d: %s", code,
                      sqlite3_errmsg(db));
        ck_assert_msg(code == SQLITE_OK || late_ms <= limit_ms(), "%s: %ld ms late after %ld ms",
                      long_work[_i], late_ms, after_ms);
        interrupted += code == SQLITE_INTERRUPT;
        done += code == SQLITE_OK;
    }
    ck_assert_msg(interrupted > 0, "%s was never interrupted", long_work[_i]);
    sqlite3_snprintf(sizeof(expected), expected, "200000|key1|%d|%d", 100 + updates * done,
                     100 + updates * done);
    database_expect(db, "SELECT count(*), min(key), min(length(value)), max(length(value)) FROM kv",
                    expected);
    database_expect(db, "SELECT count(*) FROM kv_check", "0");
    database_close(db);
}
END_TEST

/* ---- Interruption of a wait */

/* Fail unless the statement, which waits for somebody who does not end, ends when interrupted. */
static void expect_interrupted(sqlite3 *db, const char *statement)
{
    struct interruption interruption = {
        .db = db, .after_ms = 100, .clock = CLOCK_MONOTONIC, .again = true};
    pthread_t thread;
    long late_ms;

    sqlite3_busy_timeout(db, 40000);
    interruption.begin_ms = used_ms(CLOCK_MONOTONIC);
    ck_assert_int_eq(pthread_create(&thread, NULL, interrupt_later, &interruption), 0);
    database_fails(db, statement, SQLITE_INTERRUPT);
    atomic_store(&interruption.over, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    late_ms = used_ms(CLOCK_MONOTONIC) - interruption.used_ms;
    /* Other programs keep it waiting, too. */
    ck_assert_msg(late_ms < 10000, "%ld ms late", late_ms);
}

static const char *const waiting[] = {"INSERT INTO kv VALUES('b', 2)", "SELECT kv_compact('kv')",
                                      "INSERT INTO kv(kv) VALUES('compact')"};
enum { WAITING = sizeof(waiting) / sizeof(waiting[0]) };

START_TEST(test_ext_host_interrupt_stops_waiting)
{
    sqlite3 *first = database_open(":memory:"), *second = database_open(":memory:");

    database_run(first, "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    database_run(second, "CREATE VIRTUAL TABLE kv USING kv(path='data')");
    database_run(first, "BEGIN; INSERT INTO kv VALUES('a', 1)");
    expect_interrupted(second, waiting[_i]);
    database_run(first, "COMMIT");
    database_run(second, "INSERT INTO kv VALUES('c', 3)");
    database_expect(first, "SELECT key FROM kv", "a c");
    database_close(first);
    database_close(second);
}
END_TEST

/* While somebody else opens, or recovers, the store. */
START_TEST(test_ext_host_interrupt_stops_opening)
{
    sqlite3 *db = database_open("one.db");
    int file;

    database_run(db,
                 "CREATE VIRTUAL TABLE kv USING kv(path='data'); INSERT INTO kv VALUES('a', 1)");
    database_close(db);
    file = hold("data/LOCK", KV_LOCK_OPEN);
    db = database_open("one.db");
    /* Not a SELECT, which looks at the store when it is planned, where SQLite may forget the interruption. */
    expect_interrupted(db, "INSERT INTO kv VALUES('b', 2)");
    close(file);
    database_expect(db, "SELECT * FROM kv", "a|1");
    database_close(db);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ext_host");
    TCase *all = tcase_create("ext_host");

    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, test_ext_host_auto_extension_serves_every_connection);
    tcase_add_test(all, test_ext_host_entry_point_may_be_called_again);
    tcase_add_test(all, test_ext_host_loadable_stays_loaded);
    tcase_add_test(all, test_ext_host_second_library_is_refused);
    tcase_add_test(all, test_ext_host_old_library_is_refused);
    tcase_add_loop_test(all, test_ext_host_unknown_busy_timeout_is_none, 0, 2);
    tcase_add_loop_test(all, test_ext_host_writer_waits_for_merges, 0, 2);
    tcase_add_loop_test(all, test_ext_host_interrupt_stops_long_work, 0, LONG_WORK);
    tcase_add_loop_test(all, test_ext_host_interrupt_stops_waiting, 0, WAITING);
    tcase_add_test(all, test_ext_host_interrupt_stops_opening);
    suite_add_tcase(suite, all);
    return kv_run_suite(suite);
}
