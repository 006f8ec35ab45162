/*
 * What a kv table costs through SQL, beside an ordinary WITHOUT ROWID table.
 *
 * The two peers are two processes, so that their memory can be told apart; the
 * parent has them run each workload in turn, and samples their anonymous
 * memory meanwhile. The ordinary table has a database file in WAL mode with
 * synchronous=NORMAL, a cache of 256 MB and mmap; the kv table is loaded as an
 * extension. Both use prepared statements. Every answer is checked.
 */
#include <fcntl.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

enum { LARGE_VALUE_BYTES = 4096, SEEK_ROWS = 100 };

/* A peer's own world. */
struct session {
    const struct bench_options *options;
    bool is_kv;
    char directory[4096];
    sqlite3 *db;
};

/* What a workload answers its parent. */
struct result {
    double seconds;
    uint64_t operations;
};

static void execute(struct session *session, const char *sql)
{
    char *message;

    if (sqlite3_exec(session->db, sql, NULL, NULL, &message) != SQLITE_OK)
        bench_fail("%s: %s", sql, message);
}

static sqlite3_stmt *prepare(struct session *session, const char *sql)
{
    sqlite3_stmt *statement;

    if (sqlite3_prepare_v2(session->db, sql, -1, &statement, NULL) != SQLITE_OK)
        bench_fail("%s: %s", sql, sqlite3_errmsg(session->db));
    return statement;
}

/* Step a statement that returns no row. */
static void run(struct session *session, sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE)
        bench_fail("%s: %s", sqlite3_sql(statement), sqlite3_errmsg(session->db));
    sqlite3_reset(statement);
}

static void bind_key(sqlite3_stmt *statement, char key[BENCH_KEY_BYTES], uint64_t n)
{
    bench_key(key, n);
    sqlite3_bind_text(statement, 1, key, BENCH_KEY_BYTES, SQLITE_STATIC);
}

static void load_extension(struct session *session)
{
    const char *path = getenv("KV_SO");
    char *message;

    sqlite3_enable_load_extension(session->db, 1);
    if (sqlite3_load_extension(session->db, path ? path : "./kv", "sqlite3_kv_init", &message))
        bench_fail("cannot load the extension: %s", message);
}

/* Begin anew: no rows, nothing cached. */
static void reset(struct session *session)
{
    char path[4200];

    if (session->db && sqlite3_close(session->db) != SQLITE_OK)
        bench_fail("a statement was left open");
    bench_fresh_directory(session->options, session->is_kv ? "kv" : "ordinary", session->directory);
    snprintf(path, sizeof(path), "%s/main.db", session->directory);
    if (sqlite3_open(path, &session->db) != SQLITE_OK)
        bench_fail("cannot open %s", path);
    execute(session, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
    if (session->is_kv) {
        load_extension(session);
        execute(session, "CREATE VIRTUAL TABLE t USING kv(key TEXT, value BLOB, path='store', "
                         "synchronous=normal)");
    } else {
        execute(session, "PRAGMA cache_size = -262144; PRAGMA mmap_size = 17179869184;"
                         "CREATE TABLE t(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID");
    }
}

/* ---- Workloads. Each returns how long its statements took. */

/* Write `rows` rows, 1,000 in a transaction. */
static struct result fill(struct session *session, const char *sql, uint64_t rows, bool sequential,
                          size_t value_bytes, uint64_t value_offset)
{
    sqlite3_stmt *insert = prepare(session, sql);
    char key[BENCH_KEY_BYTES];
    double start = bench_seconds();

    for (uint64_t i = 0; i < rows; i++) {
        if (i % BENCH_ROWS_PER_TRANSACTION == 0)
            execute(session, i ? "COMMIT; BEGIN" : "BEGIN");
        bind_key(insert, key, sequential ? i : bench_scatter(i));
        sqlite3_bind_blob(insert, 2, bench_value(i + value_offset, value_bytes), (int)value_bytes,
                          SQLITE_STATIC);
        run(session, insert);
    }
    execute(session, "COMMIT");
    start = bench_seconds() - start;
    sqlite3_finalize(insert);
    return (struct result){start, rows};
}

static struct result fillseq(struct session *session)
{
    reset(session);
    return fill(session, "INSERT OR REPLACE INTO t VALUES(?, ?)", session->options->rows, true,
                session->options->value_bytes, 0);
}

static struct result fillrandom_insert(struct session *session)
{
    reset(session);
    return fill(session, "INSERT INTO t VALUES(?, ?)", session->options->rows, false,
                session->options->value_bytes, 0);
}

static struct result fillrandom(struct session *session)
{
    reset(session);
    return fill(session, "INSERT OR REPLACE INTO t VALUES(?, ?)", session->options->rows, false,
                session->options->value_bytes, 0);
}

static struct result overwrite(struct session *session)
{
    return fill(session, "INSERT OR REPLACE INTO t VALUES(?, ?)", session->options->rows, false,
                session->options->value_bytes, 1);
}

static int64_t stat_of(struct session *session, const char *name)
{
    sqlite3_stmt *query = prepare(session, "SELECT value FROM kv_stats('t') WHERE stat = ?");
    int64_t value;

    sqlite3_bind_text(query, 1, name, -1, SQLITE_STATIC);
    bench_check(sqlite3_step(query) == SQLITE_ROW);
    value = sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    return value;
}

/* Wait until the background has nothing left to merge: nothing has happened for a while. */
static struct result settle(struct session *session)
{
    double start = bench_seconds(), last_change = start;
    int64_t before = -1;

    while (session->is_kv && bench_seconds() - last_change < 0.5) {
        int64_t now = stat_of(session, "compactions") * 100000 + stat_of(session, "segments");

        if (now != before)
            last_change = bench_seconds();
        before = now;
        usleep(10000);
    }
    return (struct result){last_change - start, 1000};
}

/* Look up existing rows, or absent ones (numbers past the last), inside a transaction. */
static struct result read_rows(struct session *session, uint64_t rows, bool missing,
                               size_t value_bytes)
{
    sqlite3_stmt *query = prepare(session, "SELECT value FROM t WHERE key = ?");
    char key[BENCH_KEY_BYTES];
    double start;

    execute(session, "BEGIN");
    start = bench_seconds();
    for (uint64_t i = 0; i < rows; i++) {
        uint64_t n = missing ? rows + i : bench_scatter(~i) % rows;

        bind_key(query, key, bench_scatter(n));
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
    execute(session, "COMMIT");
    sqlite3_finalize(query);
    return (struct result){start, rows};
}

static struct result readrandom(struct session *session)
{
    return read_rows(session, session->options->rows, false, session->options->value_bytes);
}

static struct result readmissing(struct session *session)
{
    return read_rows(session, session->options->rows, true, session->options->value_bytes);
}

/* Step through up to `limit` rows of a query; keys must ascend, values have their size. */
static uint64_t read_ascending(struct session *session, sqlite3_stmt *query, uint64_t limit)
{
    char last[BENCH_KEY_BYTES] = {0};
    uint64_t count = 0;

    while (count < limit && sqlite3_step(query) == SQLITE_ROW) {
        const void *key = sqlite3_column_text(query, 0);

        bench_check(sqlite3_column_bytes(query, 0) == BENCH_KEY_BYTES);
        bench_check(memcmp(key, last, BENCH_KEY_BYTES) > 0);
        bench_check(sqlite3_column_blob(query, 1));
        bench_check((size_t)sqlite3_column_bytes(query, 1) == session->options->value_bytes);
        memcpy(last, key, BENCH_KEY_BYTES);
        count++;
    }
    sqlite3_reset(query);
    return count;
}

static struct result readseq(struct session *session)
{
    sqlite3_stmt *query = prepare(session, "SELECT key, value FROM t");
    uint64_t rows = session->options->rows;
    double start = bench_seconds();

    bench_check(read_ascending(session, query, UINT64_MAX) == rows);
    start = bench_seconds() - start;
    sqlite3_finalize(query);
    return (struct result){start, rows};
}

static struct result seek100(struct session *session)
{
    sqlite3_stmt *query =
        prepare(session, "SELECT key, value FROM t WHERE key >= ? ORDER BY key LIMIT 100");
    uint64_t seeks = session->options->rows / 50 + 1;
    char key[BENCH_KEY_BYTES];
    double start;

    execute(session, "BEGIN");
    start = bench_seconds();
    for (uint64_t i = 0; i < seeks; i++) {
        /* The last sixteenth is left out, so that a hundred rows do follow. */
        uint64_t n = bench_scatter(i) % (UINT64_MAX / 16 * 15);
        uint64_t count;

        bind_key(query, key, n);
        count = read_ascending(session, query, SEEK_ROWS);
        bench_check(count == SEEK_ROWS || session->options->rows < 10000);
    }
    start = bench_seconds() - start;
    execute(session, "COMMIT");
    sqlite3_finalize(query);
    return (struct result){start, seeks};
}

static struct result compact(struct session *session)
{
    double start = bench_seconds();

    if (session->is_kv)
        execute(session, "SELECT kv_compact('t')");
    return (struct result){bench_seconds() - start, session->options->rows};
}

/* Transactions of one row, on a table of their own. */
static struct result commit_rows(struct session *session, bool full, uint64_t commits)
{
    sqlite3_stmt *insert;
    char key[BENCH_KEY_BYTES];
    double start;

    if (session->is_kv) {
        execute(session, full ? "CREATE VIRTUAL TABLE c USING kv(path='full', synchronous=full)"
                              : "CREATE VIRTUAL TABLE c USING kv(path='normal', "
                                "synchronous=normal)");
    } else {
        execute(session, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
        execute(session, "CREATE TABLE c(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID");
    }
    insert = prepare(session, "INSERT OR REPLACE INTO c VALUES(?, ?)");
    start = bench_seconds();
    for (uint64_t i = 0; i < commits; i++) {
        bind_key(insert, key, bench_scatter(i));
        sqlite3_bind_blob(insert, 2, bench_value(i, session->options->value_bytes),
                          (int)session->options->value_bytes, SQLITE_STATIC);
        run(session, insert);
    }
    start = bench_seconds() - start;
    sqlite3_finalize(insert);
    execute(session, "DROP TABLE c");
    execute(session, "PRAGMA synchronous = NORMAL");
    return (struct result){start, commits};
}

static struct result commit_normal(struct session *session)
{
    uint64_t rows = session->options->rows;

    return commit_rows(session, false, rows < 50000 ? rows : 50000);
}

static struct result commit_full(struct session *session)
{
    uint64_t rows = session->options->rows;

    return commit_rows(session, true, rows < 3000 ? rows : 3000);
}

static struct result delete_rows(struct session *session)
{
    sqlite3_stmt *delete = prepare(session, "DELETE FROM t WHERE key = ?");
    uint64_t rows = session->options->rows;
    char key[BENCH_KEY_BYTES];
    double start = bench_seconds();

    for (uint64_t i = 0; i < rows; i++) {
        if (i % BENCH_ROWS_PER_TRANSACTION == 0)
            execute(session, i ? "COMMIT; BEGIN" : "BEGIN");
        bind_key(delete, key, bench_scatter(i));
        run(session, delete);
        bench_check(sqlite3_changes(session->db) == 1);
    }
    execute(session, "COMMIT");
    start = bench_seconds() - start;
    sqlite3_finalize(delete);
    return (struct result){start, rows};
}

static struct result fill_large(struct session *session)
{
    reset(session);
    return fill(session, "INSERT OR REPLACE INTO t VALUES(?, ?)", session->options->rows / 10 + 1,
                false, LARGE_VALUE_BYTES, 0);
}

static struct result read_large(struct session *session)
{
    return read_rows(session, session->options->rows / 10 + 1, false, LARGE_VALUE_BYTES);
}

/* In the order in which they run. Some are a kv table's own. */
static const struct workload {
    const char *name; /* the unit is µs an operation, or what the name says */
    struct result (*run)(struct session *session);
    bool kv_only;
} workloads[] = {
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
enum { WORKLOADS = sizeof(workloads) / sizeof(workloads[0]) };

/* ---- Peers */

struct peer {
    pid_t process;
    int commands; /* numbers of workloads, to the peer */
    int results;  /* struct result, from it */
    uint64_t peak_bytes;
    double seconds[WORKLOADS][BENCH_RUNS_MAX]; /* an operation */
};

enum { STOP = 255 }; /* a command: a closed pipe would not do, other peers have inherited its end */

static void serve(const struct bench_options *options, bool is_kv, int commands, int results)
{
    struct session session = {.options = options, .is_kv = is_kv};
    unsigned char number;

    while (read(commands, &number, 1) == 1 && number != STOP) {
        struct result result = workloads[number].run(&session);

        if (write(results, &result, sizeof(result)) != sizeof(result))
            exit(EXIT_FAILURE);
    }
    sqlite3_close(session.db);
    bench_remove_directory(session.directory);
    exit(EXIT_SUCCESS);
}

static void start_peer(struct peer *peer, const struct bench_options *options, bool is_kv)
{
    int commands[2], results[2];

    if (pipe2(commands, O_CLOEXEC) || pipe2(results, O_CLOEXEC))
        bench_fail("cannot create a pipe");
    peer->process = fork();
    if (peer->process < 0)
        bench_fail("cannot fork");
    if (peer->process == 0) {
        close(commands[1]);
        close(results[0]);
        serve(options, is_kv, commands[0], results[1]);
    }
    close(commands[0]);
    close(results[1]);
    peer->commands = commands[1];
    peer->results = results[0];
}

static void run_workload(struct peer *peer, unsigned workload, unsigned round)
{
    unsigned char number = (unsigned char)workload;
    struct pollfd wait = {.fd = peer->results, .events = POLLIN};
    struct result result;

    if (write(peer->commands, &number, 1) != 1)
        bench_fail("a peer has ended");
    do {
        uint64_t bytes = bench_anonymous_bytes(peer->process);

        if (bytes > peer->peak_bytes)
            peer->peak_bytes = bytes;
    } while (poll(&wait, 1, 10) == 0);
    if (read(peer->results, &result, sizeof(result)) != sizeof(result))
        bench_fail("%s: the peer has ended", workloads[workload].name);
    peer->seconds[workload][round] = result.seconds / (double)result.operations;
}

static void stop_peer(struct peer *peer)
{
    unsigned char number = STOP;
    int status;

    if (write(peer->commands, &number, 1) != 1)
        bench_fail("a peer has ended");
    close(peer->commands);
    if (waitpid(peer->process, &status, 0) < 0 || status != 0)
        bench_fail("a peer failed at its end");
    close(peer->results);
}

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

static void report(const struct bench_options *options, struct peer *ordinary, struct peer *kv)
{
    struct bench_json *json = bench_json_open(options, "bench_sql");
    char name[128], path[4200];
    FILE *ratios;

    snprintf(path, sizeof(path), "%s/bench_sql.dat", options->directory);
    ratios = fopen(path, "w");
    if (!ratios)
        bench_fail("cannot write %s", path);
    printf("%-24s %12s %12s %8s\n", "µs an operation", "ordinary", "kv", "ratio");
    for (unsigned i = 0; i < WORKLOADS; i++) {
        double kv_us = bench_median(kv->seconds[i], options->runs) * 1e6;
        double ordinary_us = bench_median(ordinary->seconds[i], options->runs) * 1e6;

        snprintf(name, sizeof(name), "kv: %s", workloads[i].name);
        bench_json_number(json, name, "us", kv_us);
        if (workloads[i].kv_only) {
            printf("%-24s %12s %12.3f\n", workloads[i].name, "", kv_us);
            continue;
        }
        snprintf(name, sizeof(name), "ordinary: %s", workloads[i].name);
        bench_json_number(json, name, "us", ordinary_us);
        printf("%-24s %12.3f %12.3f %8.2f\n", workloads[i].name, ordinary_us, kv_us,
               ordinary_us / kv_us);
        fprintf(ratios, "\"%s\" %.3f\n", workloads[i].name, ordinary_us / kv_us);
    }
    fclose(ratios);
    printf("%-24s %12.1f %12.1f\n", "peak memory, MB", (double)ordinary->peak_bytes / 1e6,
           (double)kv->peak_bytes / 1e6);
    bench_json_number(json, "ordinary: peak anonymous memory", "bytes",
                      (double)ordinary->peak_bytes);
    bench_json_number(json, "kv: peak anonymous memory", "bytes", (double)kv->peak_bytes);
    bench_json_close(json);
}

int main(void)
{
    static struct peer ordinary, kv;
    struct bench_options options = bench_options(1000000);

    printf("SQL: a kv table beside an ordinary table (SQLite %s)\n", sqlite3_libversion());
    bench_print_machine(&options);
    bench_value(0, 1);
    fflush(stdout);
    start_peer(&ordinary, &options, false);
    start_peer(&kv, &options, true);
    for (unsigned round = 0; round < options.runs; round++) {
        for (unsigned i = 0; i < WORKLOADS; i++) {
            if (!workloads[i].kv_only)
                run_workload(&ordinary, i, round);
            run_workload(&kv, i, round);
        }
    }
    stop_peer(&kv); /* first: it holds the other one's pipe open, too */
    stop_peer(&ordinary);
    report(&options, &ordinary, &kv);
    printf("%-24s %12.1f\n\n", "raw fdatasync, µs", raw_sync_seconds(&options) * 1e6);
    return EXIT_SUCCESS;
}
