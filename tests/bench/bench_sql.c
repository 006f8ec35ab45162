/*
 * What a kv table costs through SQL, beside an ordinary WITHOUT ROWID table.
 * Both use prepared statements; every answer is checked.
 *
 * A kv table brings a thread for its background work. From the second thread
 * on, SQLite's mutexes cost about 8 ns more each time, and to step to a row and
 * read two columns takes five of them. So the ordinary table is measured
 * twice: in a process with one thread, and in one that has another anyway.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "contest.h"
#include "session.h"

enum { LARGE_VALUE_BYTES = 4096, SEEK_ROWS = 100 };

/* ---- Workloads. Each returns how long its statements took. */

/* Write `rows` rows, 1,000 in a transaction. */
static struct bench_result fill(struct session *session, const char *sql, uint64_t rows,
                                bool sequential, size_t value_bytes, uint64_t value_offset)
{
    sqlite3_stmt *insert = session_prepare(session, sql);
    char key[BENCH_KEY_BYTES];
    double start = bench_seconds();

    for (uint64_t i = 0; i < rows; i++) {
        if (i % BENCH_ROWS_PER_TRANSACTION == 0)
            session_execute(session, i ? "COMMIT; BEGIN" : "BEGIN");
        session_bind_key(insert, key, sequential ? i : bench_scatter(i));
        session_bind_value(insert, i + value_offset, value_bytes);
        session_run(session, insert);
    }
    session_execute(session, "COMMIT");
    start = bench_seconds() - start;
    sqlite3_finalize(insert);
    return (struct bench_result){start, rows};
}

static struct bench_result fillseq(void *world)
{
    struct session *session = world;

    session_reset(session);
    return fill(session, "INSERT OR REPLACE INTO t VALUES(?, ?)", session->options->rows, true,
                session->options->value_bytes, 0);
}

static struct bench_result fillrandom_insert(void *world)
{
    struct session *session = world;

    session_reset(session);
    return fill(session, "INSERT INTO t VALUES(?, ?)", session->options->rows, false,
                session->options->value_bytes, 0);
}

static struct bench_result fillrandom(void *world)
{
    struct session *session = world;

    session_reset(session);
    return fill(session, "INSERT OR REPLACE INTO t VALUES(?, ?)", session->options->rows, false,
                session->options->value_bytes, 0);
}

static struct bench_result overwrite(void *world)
{
    struct session *session = world;

    return fill(session, "INSERT OR REPLACE INTO t VALUES(?, ?)", session->options->rows, false,
                session->options->value_bytes, 1);
}

/* Wait until the background has nothing left to merge. */
static struct bench_result settle(void *world)
{
    (void)world;
    return (struct bench_result){bench_settle(), 1000};
}

/* Look up existing rows, or absent ones (numbers past the last), inside a transaction. */
static struct bench_result read_rows(struct session *session, uint64_t rows, bool missing,
                                     size_t value_bytes)
{
    sqlite3_stmt *query = session_prepare(session, "SELECT value FROM t WHERE key = ?");
    char key[BENCH_KEY_BYTES];
    double start;

    session_execute(session, "BEGIN");
    start = bench_seconds();
    for (uint64_t i = 0; i < rows; i++) {
        uint64_t n = missing ? rows + i : bench_scatter(~i) % rows;

        session_bind_key(query, key, bench_scatter(n));
        if (missing) {
            bench_check(sqlite3_step(query) == SQLITE_DONE);
        } else {
            bench_check(sqlite3_step(query) == SQLITE_ROW);
            bench_check((size_t)sqlite3_column_bytes(query, 0) == value_bytes);
            bench_check(
                !memcmp(sqlite3_column_blob(query, 0), bench_value(n, value_bytes), value_bytes));
        }
        sqlite3_reset(query);
    }
    start = bench_seconds() - start;
    session_execute(session, "COMMIT");
    sqlite3_finalize(query);
    return (struct bench_result){start, rows};
}

static struct bench_result readrandom(void *world)
{
    struct session *session = world;

    return read_rows(session, session->options->rows, false, session->options->value_bytes);
}

static struct bench_result readmissing(void *world)
{
    struct session *session = world;

    return read_rows(session, session->options->rows, true, session->options->value_bytes);
}

static struct bench_result readseq(void *world)
{
    struct session *session = world;
    sqlite3_stmt *query = session_prepare(session, "SELECT key, value FROM t");
    uint64_t rows = session->options->rows;
    double start = bench_seconds();

    bench_check(session_read_ascending(session, query, UINT64_MAX) == rows);
    start = bench_seconds() - start;
    sqlite3_finalize(query);
    return (struct bench_result){start, rows};
}

static struct bench_result seek100(void *world)
{
    struct session *session = world;
    sqlite3_stmt *query =
        session_prepare(session, "SELECT key, value FROM t WHERE key >= ? ORDER BY key LIMIT 100");
    uint64_t seeks = session->options->rows / 50 + 1;
    char key[BENCH_KEY_BYTES];
    double start;

    session_execute(session, "BEGIN");
    start = bench_seconds();
    for (uint64_t i = 0; i < seeks; i++) {
        /* The last sixteenth is left out, so that a hundred rows do follow. */
        uint64_t n = bench_scatter(i) % (UINT64_MAX / 16 * 15);
        uint64_t count;

        session_bind_key(query, key, n);
        count = session_read_ascending(session, query, SEEK_ROWS);
        bench_check(count == SEEK_ROWS || session->options->rows < 10000);
    }
    start = bench_seconds() - start;
    session_execute(session, "COMMIT");
    sqlite3_finalize(query);
    return (struct bench_result){start, seeks};
}

static struct bench_result compact(void *world)
{
    struct session *session = world;
    double start = bench_seconds();

    if (session->is_kv)
        session_execute(session, "SELECT kv_compact('t')");
    return (struct bench_result){bench_seconds() - start, session->options->rows};
}

/* Transactions of one row, on a table of their own. */
static struct bench_result commit_rows(struct session *session, bool full, uint64_t commits)
{
    sqlite3_stmt *insert;
    char key[BENCH_KEY_BYTES];
    double start;

    if (session->is_kv) {
        session_execute(session,
                        full ? "CREATE VIRTUAL TABLE c USING kv(path='full', synchronous=full)"
                             : "CREATE VIRTUAL TABLE c USING kv(path='normal', "
                               "synchronous=normal)");
    } else {
        session_execute(session,
                        full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
        session_execute(session, "CREATE TABLE c(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID");
    }
    insert = session_prepare(session, "INSERT OR REPLACE INTO c VALUES(?, ?)");
    start = bench_seconds();
    for (uint64_t i = 0; i < commits; i++) {
        session_bind_key(insert, key, bench_scatter(i));
        session_bind_value(insert, i, session->options->value_bytes);
        session_run(session, insert);
    }
    start = bench_seconds() - start;
    sqlite3_finalize(insert);
    session_execute(session, "DROP TABLE c");
    session_execute(session, "PRAGMA synchronous = NORMAL");
    return (struct bench_result){start, commits};
}

static struct bench_result commit_normal(void *world)
{
    struct session *session = world;
    uint64_t rows = session->options->rows;

    return commit_rows(session, false, rows < 50000 ? rows : 50000);
}

static struct bench_result commit_full(void *world)
{
    struct session *session = world;
    uint64_t rows = session->options->rows;

    return commit_rows(session, true, rows < 150000 ? rows / 50 + 1 : 3000);
}

static struct bench_result delete_rows(void *world)
{
    struct session *session = world;
    sqlite3_stmt *delete = session_prepare(session, "DELETE FROM t WHERE key = ?");
    uint64_t rows = session->options->rows;
    char key[BENCH_KEY_BYTES];
    double start = bench_seconds();

    for (uint64_t i = 0; i < rows; i++) {
        if (i % BENCH_ROWS_PER_TRANSACTION == 0)
            session_execute(session, i ? "COMMIT; BEGIN" : "BEGIN");
        session_bind_key(delete, key, bench_scatter(i));
        session_run(session, delete);
        bench_check(sqlite3_changes(session->db) == 1);
    }
    session_execute(session, "COMMIT");
    start = bench_seconds() - start;
    sqlite3_finalize(delete);
    return (struct bench_result){start, rows};
}

static struct bench_result fill_large(void *world)
{
    struct session *session = world;

    session_reset(session);
    return fill(session, "INSERT OR REPLACE INTO t VALUES(?, ?)", session->options->rows / 10 + 1,
                false, LARGE_VALUE_BYTES, 0);
}

static struct bench_result read_large(void *world)
{
    struct session *session = world;

    return read_rows(session, session->options->rows / 10 + 1, false, LARGE_VALUE_BYTES);
}

/* In the order in which they run. Some are a kv table's own. */
static const struct bench_workload workloads[] = {
    {"fillseq", fillseq, false},
    {"fillrandom, INSERT", fillrandom_insert, false},
    {"fillrandom", fillrandom, false},
    {"until merged, ms", settle, true},
    {"readrandom", readrandom, false},
    {"readmissing", readmissing, false},
    {"readseq", readseq, false},
    {"seek + 100 rows", seek100, false},
    {"overwrite", overwrite, false},
    {"kv_compact, a row", compact, true},
    {"readseq, compacted", readseq, false},
    {"commit, normal", commit_normal, false},
    {"commit, full", commit_full, false},
    {"delete", delete_rows, false},
    {"4 KB: fill", fill_large, false},
    {"4 KB: until merged, ms", settle, true},
    {"4 KB: readrandom", read_large, false},
};

/* What the disk itself takes to make an append durable: into space that is there already. */
static double raw_sync_seconds(const struct bench_options *options)
{
    enum { SYNCS = 300, RECORD_BYTES = 200 };
    char directory[4096], path[4200];
    double start;
    int fd;

    bench_fresh_directory(options, "raw", directory);
    snprintf(path, sizeof(path), "%s/file", directory);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || posix_fallocate(fd, 0, 1 << 20))
        bench_fail("cannot create %s", path);
    fsync(fd);
    start = bench_seconds();
    for (int i = 0; i < SYNCS; i++)
        if (pwrite(fd, bench_value(1, RECORD_BYTES), RECORD_BYTES, i * RECORD_BYTES) < 0 ||
            fdatasync(fd))
            bench_fail("cannot write %s", path);
    start = (bench_seconds() - start) / SYNCS;
    close(fd);
    bench_remove_directory(directory);
    return start;
}

int main(void)
{
    struct bench_options options = bench_options(1000000);
    struct session kv = {.options = &options, .is_kv = true}, ordinary = {.options = &options},
                   threaded = {.options = &options, .has_thread = true};
    struct bench_contest contest = {
        .program = "bench_sql",
        .options = &options,
        .workloads = workloads,
        .workload_count = sizeof(workloads) / sizeof(workloads[0]),
        .contestants = {{"kv", &kv, session_finish},
                        {"ordinary", &ordinary, session_finish},
                        {"threaded", &threaded, session_finish}},
        .contestant_count = 3,
    };
    struct bench_json *json;
    double sync_us;

    printf("SQL: a kv table beside an ordinary table (SQLite %s)\n", sqlite3_libversion());
    bench_print_machine(&options);
    json = bench_contest(&contest);
    sync_us = raw_sync_seconds(&options) * 1e6;
    printf("%-24s %12.1f\n\n", "raw fdatasync, µs", sync_us);
    bench_json_number(json, "raw fdatasync", "us", sync_us);
    bench_json_close(json);
    return EXIT_SUCCESS;
}
