/*
 * One operation at a time, many times over, for valgrind to count its
 * instructions: `make bench-instructions` keeps the counts in instructions.txt,
 * where a change of the code shows as a change of the file.
 *
 * The counts repeat exactly: clocks stand still and random bytes are the same in
 * each run, and only what measured() calls is counted, on its thread. Without
 * an argument every workload runs once, for its answers.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "io.h"
#include "kv.h"
#include "session.h"

enum { ROWS = 20000, VALUE_BYTES = 100, CLOCK_MS = 1000000 };

/* ---- A system without chance: all else is the real one's */

struct kv_io *__real_kv_io_posix(void);
struct kv_io *__wrap_kv_io_posix(void);

static uint64_t still_clock(struct kv_io *io)
{
    (void)io;
    return CLOCK_MS;
}

static enum kv_status same_bytes(struct kv_io *io, void *data, size_t size)
{
    static uint64_t calls;
    uint64_t bytes = bench_scatter(++calls);

    (void)io;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)data)[i] = (uint8_t)(bytes >> (i % 8 * 8));
    return KV_OK;
}

struct kv_io *__wrap_kv_io_posix(void)
{
    static struct kv_io_ops ops;
    static struct kv_io io = {&ops};

    if (!ops.random) {
        ops = *__real_kv_io_posix()->ops;
        ops.now_ms = ops.monotonic_ms = still_clock;
        ops.random = same_bytes;
    }
    return &io;
}

/* ---- The engine */

/* Of the rows, and as many that are never there. Made beforehand: that is no part of an operation. */
static char keys[2 * ROWS][BENCH_KEY_BYTES];

static struct kv_slice key_of(uint64_t n)
{
    return kv_slice_of(keys[n], BENCH_KEY_BYTES);
}

struct world {
    char directory[4096];
    struct kv_store *store;
    struct kv_snapshot *snapshot;
    struct session session;
    sqlite3_stmt *statement;
};

static void must(enum kv_status st)
{
    if (st != KV_OK)
        bench_fail("%s: %s", kv_status_name(st), kv_message());
}

static void put(struct kv_txn *txn, uint64_t n)
{
    must(kv_txn_put(txn, key_of(n), kv_slice_of(bench_value(n, VALUE_BYTES), VALUE_BYTES)));
}

static void put_all(struct world *world)
{
    struct kv_txn *txn;

    for (uint64_t n = 0; n < ROWS; n++) {
        if (n % BENCH_ROWS_PER_TRANSACTION == 0)
            must(kv_txn_begin(world->store, NULL, &txn));
        put(txn, n);
        if ((n + 1) % BENCH_ROWS_PER_TRANSACTION == 0)
            must(kv_txn_commit(txn));
    }
}

static void commit_all(struct world *world)
{
    for (uint64_t n = 0; n < ROWS; n++) {
        struct kv_txn *txn;

        must(kv_txn_begin(world->store, NULL, &txn));
        put(txn, n);
        must(kv_txn_commit(txn));
    }
}

static void get(struct world *world, uint64_t n, enum kv_status expected)
{
    struct kv_entry entry;

    bench_check(kv_snapshot_get(world->snapshot, NULL, key_of(n), &entry) == expected);
    bench_check(expected == KV_DONE || entry.row.size == VALUE_BYTES);
}

static void get_all(struct world *world)
{
    for (uint64_t n = 0; n < ROWS; n++)
        get(world, n, KV_OK);
}

static void get_absent(struct world *world)
{
    for (uint64_t n = 0; n < ROWS; n++)
        get(world, ROWS + n, KV_DONE);
}

static void scan_all(struct world *world)
{
    struct kv_range range = {0};
    struct kv_entry entry;
    struct kv_scan *scan;
    uint64_t count = 0;
    enum kv_status st;

    must(kv_scan_open(world->snapshot, NULL, &range, &scan));
    while ((st = kv_scan_next(scan, &entry)) == KV_OK)
        count++;
    bench_check(st == KV_DONE && count == ROWS);
    kv_scan_close(scan);
}

/* ---- SQL */

int sqlite3_kv_static_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

static void bind_key(struct world *world, uint64_t n)
{
    sqlite3_bind_text(world->statement, 1, keys[n], BENCH_KEY_BYTES, SQLITE_STATIC);
}

static void insert_rows(struct world *world, const char *begin, const char *commit)
{
    struct session *session = &world->session;

    for (uint64_t n = 0; n < ROWS; n++) {
        if (n % BENCH_ROWS_PER_TRANSACTION == 0)
            session_execute(session, begin);
        bind_key(world, n);
        session_bind_value(world->statement, n, VALUE_BYTES);
        session_run(session, world->statement);
        if ((n + 1) % BENCH_ROWS_PER_TRANSACTION == 0)
            session_execute(session, commit);
    }
}

static void insert_all(struct world *world)
{
    insert_rows(world, "BEGIN", "COMMIT");
}

static void insert_each(struct world *world)
{
    insert_rows(world, "", "");
}

static void select_all(struct world *world)
{
    for (uint64_t n = 0; n < ROWS; n++) {
        bind_key(world, n);
        bench_check(sqlite3_step(world->statement) == SQLITE_ROW);
        bench_check(sqlite3_column_bytes(world->statement, 0) == VALUE_BYTES);
        sqlite3_reset(world->statement);
    }
}

static void select_scan(struct world *world)
{
    bench_check(session_read_ascending(&world->session, world->statement, UINT64_MAX) == ROWS);
}

/* ---- What is counted */

struct workload {
    const char *name;
    void (*run)(struct world *world); /* ROWS operations */
    const char *sql;                  /* the statement that it runs; NULL: through kv.h */
    bool filled, compacted;           /* what it finds */
};

static const char select_one[] = "SELECT value FROM t WHERE key = ?";
static const char select_rows[] = "SELECT key, value FROM t";
static const char insert[] = "INSERT OR REPLACE INTO t VALUES(?, ?)";

static const struct workload workloads[] = {
    {"engine: put, 1000 a transaction", put_all, NULL, false, false},
    {"engine: put and commit", commit_all, NULL, false, false},
    {"engine: get from a log", get_all, NULL, true, false},
    {"engine: get, compacted", get_all, NULL, true, true},
    {"engine: get, absent, compacted", get_absent, NULL, true, true},
    {"engine: next row of a log", scan_all, NULL, true, false},
    {"engine: next row, compacted", scan_all, NULL, true, true},
    {"SQL: insert, 1000 a transaction", insert_all, insert, false, false},
    {"SQL: insert and commit", insert_each, insert, false, false},
    {"SQL: select one, compacted", select_all, select_one, true, true},
    {"SQL: next row, compacted", select_scan, select_rows, true, true},
};
enum { WORKLOAD_COUNT = sizeof(workloads) / sizeof(workloads[0]) };

/* The counting begins where this does, and ends with it: valgrind knows it by its name. */
static __attribute__((noinline, noclone)) void measured(const struct workload *workload,
                                                        struct world *world)
{
    workload->run(world);
    __asm__ volatile("" ::: "memory"); /* no tail call, which would leave the function */
}

/* ---- Before and after it */

static void open_engine(struct world *world, const struct workload *workload)
{
    struct kv_open_options options = kv_open_options_default();

    options.mode = KV_OPEN_OR_CREATE;
    options.settings.synchronous = KV_SYNC_NORMAL;
    options.foreground = true;
    must(kv_store_open(world->directory, &options, &world->store));
    if (workload->filled)
        put_all(world);
    if (workload->compacted)
        must(kv_compact(world->store, NULL, NULL));
    must(kv_snapshot_new(world->store, &world->snapshot));
    if (!workload->filled)
        return;
    must(kv_snapshot_acquire(world->snapshot));
    scan_all(world); /* the first one sorts */
}

static void close_engine(struct world *world)
{
    kv_snapshot_free(world->snapshot);
    must(kv_store_close(world->store));
    bench_remove_directory(world->directory);
}

static void open_session(struct world *world, const struct bench_options *options,
                         const struct workload *workload)
{
    struct session *session = &world->session;
    char path[4200], *error;

    session->options = options;
    snprintf(session->directory, sizeof(session->directory), "%s", world->directory);
    snprintf(path, sizeof(path), "%s/main.db", world->directory);
    if (sqlite3_open(path, &session->db) != SQLITE_OK ||
        sqlite3_kv_static_init(session->db, &error, NULL) != SQLITE_OK)
        bench_fail("cannot open %s with the extension", path);
    session_execute(session, "CREATE VIRTUAL TABLE t USING kv(key TEXT, value BLOB, path='store', "
                             "synchronous=normal)");
    if (workload->filled) {
        world->statement = session_prepare(session, insert);
        insert_all(world);
        sqlite3_finalize(world->statement);
    }
    if (workload->compacted)
        session_execute(session, "SELECT kv_compact('t')");
    if (workload->filled)
        session_execute(session,
                        "BEGIN; SELECT count(*) FROM t"); /* reads begin where others left */
    world->statement = session_prepare(session, workload->sql);
}

static void close_session(struct world *world)
{
    sqlite3_finalize(world->statement);
    if (!sqlite3_get_autocommit(world->session.db))
        session_execute(&world->session, "COMMIT");
    session_finish(&world->session);
}

static void run(const struct workload *workload, const struct bench_options *options)
{
    struct world world = {0};

    bench_fresh_directory(options, "instructions", world.directory);
    if (workload->sql) {
        open_session(&world, options, workload);
        measured(workload, &world);
        close_session(&world);
    } else {
        open_engine(&world, workload);
        measured(workload, &world);
        close_engine(&world);
    }
}

/*
 * `bench_instructions`: all; `… <number>`: that one, printing how many operations there were;
 * `… list`: their names; `… version`: of SQLite.
 */
int main(int argc, char **argv)
{
    struct bench_options options = bench_options(ROWS);
    size_t only = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;

    if (argc > 1 && strcmp(argv[1], "version") == 0) {
        puts(sqlite3_libversion());
        return EXIT_SUCCESS;
    }
    options.value_bytes = VALUE_BYTES;
    for (uint64_t n = 0; n < 2 * ROWS; n++)
        bench_key(keys[n], bench_scatter(n));
    for (size_t i = 0; i < WORKLOAD_COUNT; i++) {
        if (argc > 1 && strcmp(argv[1], "list") == 0)
            puts(workloads[i].name);
        else if (only == 0 || only == i + 1)
            run(&workloads[i], &options);
    }
    if (only != 0)
        printf("%d\n", ROWS);
    return EXIT_SUCCESS;
}
