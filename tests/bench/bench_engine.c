/*
 * What the engine costs by itself, through kv.h: the workloads of bench_sql.c
 * without SQLite, and two readers at once. Every answer is checked.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "kv.h"

enum { SEEK_ROWS = 100 };

struct bench {
    const struct bench_options *options;
    char directory[4096];
    struct kv_store *store;
};

struct result {
    double seconds;
    uint64_t operations;
};

static void must(enum kv_status st)
{
    if (st != KV_OK)
        bench_fail("%s: %s", kv_status_name(st), kv_message());
}

static struct kv_slice key_slice(char key[BENCH_KEY_BYTES], uint64_t n)
{
    bench_key(key, n);
    return kv_slice_of(key, BENCH_KEY_BYTES);
}

static void open_store(struct bench *bench, const char *name, enum kv_synchronous synchronous)
{
    struct kv_open_options options = kv_open_options_default();

    must(kv_store_close(bench->store));
    bench_fresh_directory(bench->options, name, bench->directory);
    options.mode = KV_OPEN_OR_CREATE;
    options.settings.synchronous = synchronous;
    must(kv_store_open(bench->directory, &options, &bench->store));
}

/* ---- Workloads */

static struct result fill(struct bench *bench, bool sequential, uint64_t value_offset)
{
    uint64_t rows = bench->options->rows;
    size_t value_bytes = bench->options->value_bytes;
    struct kv_txn *txn = NULL;
    char key[BENCH_KEY_BYTES];
    double start = bench_seconds();

    for (uint64_t i = 0; i < rows; i++) {
        if (i % BENCH_ROWS_PER_TRANSACTION == 0) {
            if (txn)
                must(kv_txn_commit(txn));
            must(kv_txn_begin(bench->store, NULL, &txn));
        }
        must(kv_txn_put(txn, key_slice(key, sequential ? i : bench_scatter(i)),
                        kv_slice_of(bench_value(i + value_offset, value_bytes), value_bytes)));
    }
    must(kv_txn_commit(txn));
    return (struct result){bench_seconds() - start, rows};
}

static struct result fillseq(struct bench *bench)
{
    open_store(bench, "engine", KV_SYNC_NORMAL);
    return fill(bench, true, 0);
}

static struct result fillrandom(struct bench *bench)
{
    open_store(bench, "engine", KV_SYNC_NORMAL);
    return fill(bench, false, 0);
}

static struct result overwrite(struct bench *bench)
{
    return fill(bench, false, 1);
}

/* Wait until the background has nothing left to merge: nothing has happened for a while. */
static struct result settle(struct bench *bench)
{
    double start = bench_seconds(), last_change = start;
    uint64_t before = UINT64_MAX;

    while (bench_seconds() - last_change < 0.5) {
        struct kv_stats stats;

        must(kv_store_stats(bench->store, &stats));
        if (stats.generation != before)
            last_change = bench_seconds();
        before = stats.generation;
        usleep(10000);
    }
    return (struct result){last_change - start, 1000};
}

static void read_rows(struct bench *bench, bool missing, uint64_t seed, uint64_t reads)
{
    uint64_t rows = bench->options->rows;
    size_t value_bytes = bench->options->value_bytes;
    struct kv_snapshot *snapshot;
    char key[BENCH_KEY_BYTES];

    must(kv_snapshot_new(bench->store, &snapshot));
    must(kv_snapshot_acquire(snapshot));
    for (uint64_t i = 0; i < reads; i++) {
        uint64_t n = missing ? rows + i : bench_scatter(~(i + seed)) % rows;
        struct kv_entry entry;
        enum kv_status st =
            kv_snapshot_get(snapshot, NULL, key_slice(key, bench_scatter(n)), &entry);

        if (missing) {
            bench_check(st == KV_DONE);
        } else {
            must(st);
            bench_check(entry.row.size == value_bytes);
            bench_check(!memcmp(entry.row.data, bench_value(n, value_bytes), value_bytes));
        }
    }
    kv_snapshot_free(snapshot);
}

static struct result readrandom(struct bench *bench)
{
    double start = bench_seconds();

    read_rows(bench, false, 0, bench->options->rows);
    return (struct result){bench_seconds() - start, bench->options->rows};
}

static struct result readmissing(struct bench *bench)
{
    double start = bench_seconds();

    read_rows(bench, true, 0, bench->options->rows);
    return (struct result){bench_seconds() - start, bench->options->rows};
}

static void *read_in_thread(void *context)
{
    struct bench *bench = context;

    read_rows(bench, false, 99, bench->options->rows);
    return NULL;
}

/* Two threads, each reading as many rows as one does in readrandom; counted together. */
static struct result readrandom_two(struct bench *bench)
{
    double start = bench_seconds();
    pthread_t other;

    if (pthread_create(&other, NULL, read_in_thread, bench))
        bench_fail("cannot start a thread");
    read_rows(bench, false, 0, bench->options->rows);
    pthread_join(other, NULL);
    return (struct result){bench_seconds() - start, 2 * bench->options->rows};
}

/* Read up to `limit` rows from `*from` on, or all from the start. */
static uint64_t scan(struct bench *bench, struct kv_snapshot *snapshot, const struct kv_slice *from,
                     uint64_t limit)
{
    struct kv_range range = {.has_lower = from != NULL};
    char last[BENCH_KEY_BYTES] = {0};
    struct kv_entry entry;
    struct kv_scan *scan;
    uint64_t count = 0;

    if (from)
        range.lower = *from;
    must(kv_snapshot_acquire(snapshot));
    must(kv_scan_open(snapshot, NULL, &range, &scan));
    while (count < limit) {
        enum kv_status st = kv_scan_next(scan, &entry);

        if (st == KV_DONE)
            break;
        must(st);
        bench_check(entry.key.size == BENCH_KEY_BYTES);
        bench_check(memcmp(entry.key.data, last, BENCH_KEY_BYTES) > 0);
        bench_check(entry.row.size == bench->options->value_bytes);
        memcpy(last, entry.key.data, BENCH_KEY_BYTES);
        count++;
    }
    kv_scan_close(scan);
    kv_snapshot_release(snapshot);
    return count;
}

static struct result readseq(struct bench *bench)
{
    struct kv_snapshot *snapshot;
    double start;

    must(kv_snapshot_new(bench->store, &snapshot));
    start = bench_seconds();
    bench_check(scan(bench, snapshot, NULL, UINT64_MAX) == bench->options->rows);
    start = bench_seconds() - start;
    kv_snapshot_free(snapshot);
    return (struct result){start, bench->options->rows};
}

static struct result seek100(struct bench *bench)
{
    uint64_t seeks = bench->options->rows / 50 + 1;
    struct kv_snapshot *snapshot;
    char key[BENCH_KEY_BYTES];
    double start;

    must(kv_snapshot_new(bench->store, &snapshot));
    start = bench_seconds();
    for (uint64_t i = 0; i < seeks; i++) {
        /* The last sixteenth is left out, so that a hundred rows do follow. */
        struct kv_slice from = key_slice(key, bench_scatter(i) % (UINT64_MAX / 16 * 15));
        uint64_t count = scan(bench, snapshot, &from, SEEK_ROWS);

        bench_check(count == SEEK_ROWS || bench->options->rows < 10000);
    }
    start = bench_seconds() - start;
    kv_snapshot_free(snapshot);
    return (struct result){start, seeks};
}

static struct result compact(struct bench *bench)
{
    double start = bench_seconds();

    must(kv_compact(bench->store, NULL, NULL));
    return (struct result){bench_seconds() - start, bench->options->rows};
}

static struct result delete_rows(struct bench *bench)
{
    uint64_t rows = bench->options->rows;
    struct kv_txn *txn = NULL;
    char key[BENCH_KEY_BYTES];
    double start = bench_seconds();

    for (uint64_t i = 0; i < rows; i++) {
        if (i % BENCH_ROWS_PER_TRANSACTION == 0) {
            if (txn)
                must(kv_txn_commit(txn));
            must(kv_txn_begin(bench->store, NULL, &txn));
        }
        must(kv_txn_delete(txn, key_slice(key, bench_scatter(i))));
    }
    must(kv_txn_commit(txn));
    start = bench_seconds() - start;
    {
        struct kv_snapshot *snapshot;

        must(kv_snapshot_new(bench->store, &snapshot));
        bench_check(scan(bench, snapshot, NULL, 1) == 0);
        kv_snapshot_free(snapshot);
    }
    return (struct result){start, rows};
}

static struct result commit_rows(struct bench *bench, enum kv_synchronous synchronous,
                                 uint64_t commits)
{
    size_t value_bytes = bench->options->value_bytes;
    char key[BENCH_KEY_BYTES];
    double start;

    open_store(bench, "engine", synchronous);
    start = bench_seconds();
    for (uint64_t i = 0; i < commits; i++)
        must(kv_put(bench->store, key_slice(key, bench_scatter(i)),
                    kv_slice_of(bench_value(i, value_bytes), value_bytes)));
    return (struct result){bench_seconds() - start, commits};
}

static struct result commit_normal(struct bench *bench)
{
    uint64_t rows = bench->options->rows;

    return commit_rows(bench, KV_SYNC_NORMAL, rows < 100000 ? rows : 100000);
}

static struct result commit_full(struct bench *bench)
{
    uint64_t rows = bench->options->rows;

    return commit_rows(bench, KV_SYNC_FULL, rows < 3000 ? rows : 3000);
}

/* In the order in which they run. */
static const struct workload {
    const char *name; /* the unit is µs an operation, or what the name says */
    struct result (*run)(struct bench *bench);
} workloads[] = {
    {"fillseq", fillseq},
    {"fillrandom", fillrandom},
    {"until merged, ms", settle},
    {"readrandom", readrandom},
    {"readrandom, 2 threads", readrandom_two},
    {"readmissing", readmissing},
    {"readseq", readseq},
    {"seek + 100 rows", seek100},
    {"overwrite", overwrite},
    {"kv_compact, a row", compact},
    {"readseq, compacted", readseq},
    {"delete", delete_rows},
    {"commit, normal", commit_normal},
    {"commit, full", commit_full},
};
enum { READRANDOM = 3, READRANDOM_TWO, WORKLOADS = sizeof(workloads) / sizeof(workloads[0]) };

/* ---- Latencies: point reads while one thread writes and the background merges, and its commits */

enum { LATENCY_ROWS_A_COMMIT = 100, IDLE_MS = 500, LATENCIES_MAX = 1 << 22 };

struct latencies {
    float *us;
    size_t count;
};

static struct latencies latencies_new(void)
{
    struct latencies all = {.us = malloc(LATENCIES_MAX * sizeof(float))};

    if (!all.us)
        bench_fail("out of memory");
    return all;
}

static void latencies_add(struct latencies *all, double start)
{
    if (all->count < LATENCIES_MAX)
        all->us[all->count++] = (float)((bench_seconds() - start) * 1e6);
}

static int compare_floats(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;

    return (left > right) - (left < right);
}

/* Of sorted ones, the one below which `share` of them are. */
static double latencies_at(const struct latencies *all, double share)
{
    return all->us[(size_t)((double)(all->count - 1) * share)];
}

struct reader {
    struct bench *bench;
    atomic_bool stop;
    struct latencies all;
};

/* At least once, however late the thread begins. */
static void *read_until_stopped(void *context)
{
    struct reader *reader = context;
    uint64_t i = 0;
    struct kv_snapshot *snapshot;
    struct kv_entry entry;
    char key[BENCH_KEY_BYTES];

    must(kv_snapshot_new(reader->bench->store, &snapshot));
    do {
        struct kv_slice slice =
            key_slice(key, bench_scatter(bench_scatter(~i++) % reader->bench->options->rows));
        double start = bench_seconds();

        must(kv_snapshot_acquire(snapshot));
        must(kv_snapshot_get(snapshot, NULL, slice, &entry));
        kv_snapshot_release(snapshot);
        latencies_add(&reader->all, start);
    } while (!atomic_load(&reader->stop));
    kv_snapshot_free(snapshot);
    return NULL;
}

/* Overwrite every row, in small transactions. */
static void write_measured(struct bench *bench, struct latencies *commits)
{
    size_t value_bytes = bench->options->value_bytes;
    char key[BENCH_KEY_BYTES];

    for (uint64_t i = 0; i < bench->options->rows; i += LATENCY_ROWS_A_COMMIT) {
        double start = bench_seconds();
        struct kv_txn *txn;

        must(kv_txn_begin(bench->store, NULL, &txn));
        for (uint64_t n = i; n < i + LATENCY_ROWS_A_COMMIT && n < bench->options->rows; n++)
            must(kv_txn_put(txn, key_slice(key, bench_scatter(n)),
                            kv_slice_of(bench_value(n + 1, value_bytes), value_bytes)));
        must(kv_txn_commit(txn));
        latencies_add(commits, start);
    }
}

static void print_latency(struct bench_json *json, const char *name, const char *unit, double value)
{
    printf("%-24s %10.2f %s\n", name, value, unit);
    bench_json_number(json, name, unit, value);
}

/* Point reads with nothing else going on: what those beside writes are compared with. */
static void report_idle_reads(struct bench *bench, struct bench_json *json)
{
    struct reader reader = {.bench = bench, .all = latencies_new()};
    pthread_t thread;

    if (pthread_create(&thread, NULL, read_until_stopped, &reader))
        bench_fail("cannot start a thread");
    usleep(IDLE_MS * 1000);
    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    qsort(reader.all.us, reader.all.count, sizeof(float), compare_floats);
    print_latency(json, "read alone, p50", "us", latencies_at(&reader.all, 0.5));
    print_latency(json, "read alone, p99", "us", latencies_at(&reader.all, 0.99));
    free(reader.all.us);
}

static void report_latencies(struct bench *bench, struct bench_json *json)
{
    struct reader reader = {.bench = bench, .all = latencies_new()};
    struct latencies commits = latencies_new();
    struct kv_stats before, after;
    uint64_t seals;
    pthread_t thread;

    fillrandom(bench);
    settle(bench);
    report_idle_reads(bench, json);
    must(kv_store_stats(bench->store, &before));
    if (pthread_create(&thread, NULL, read_until_stopped, &reader))
        bench_fail("cannot start a thread");
    write_measured(bench, &commits);
    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    must(kv_store_stats(bench->store, &after));
    seals = after.seals_since_open - before.seals_since_open;
    qsort(reader.all.us, reader.all.count, sizeof(float), compare_floats);
    qsort(commits.us, commits.count, sizeof(float), compare_floats);
    print_latency(json, "read beside writes, p50", "us", latencies_at(&reader.all, 0.5));
    print_latency(json, "read beside writes, p99", "us", latencies_at(&reader.all, 0.99));
    print_latency(json, "commit of 100 rows, p50", "us", latencies_at(&commits, 0.5));
    print_latency(json, "commit of 100 rows, p99", "us", latencies_at(&commits, 0.99));
    /* The slowest commits are those that seal. */
    if (seals > 0 && seals <= commits.count)
        print_latency(json, "commit that seals", "ms",
                      commits.us[commits.count - 1 - (size_t)seals / 2] / 1e3);
    print_latency(json, "slowest commit", "ms", latencies_at(&commits, 1) / 1e3);
    free(reader.all.us);
    free(commits.us);
}

/* Watches this process's anonymous memory until told to stop. */
static struct {
    pthread_t thread;
    atomic_bool stop;
    uint64_t peak_bytes;
} watcher;

static void *watch_memory(void *context)
{
    (void)context;
    while (!atomic_load(&watcher.stop)) {
        uint64_t bytes = bench_anonymous_bytes(getpid());

        watcher.peak_bytes = bytes > watcher.peak_bytes ? bytes : watcher.peak_bytes;
        usleep(10000);
    }
    return NULL;
}

/* Space right after the store has been filled and has settled. */
static void report_space(struct bench *bench, struct bench_json *json)
{
    struct kv_stats stats;
    double rows = (double)bench->options->rows;

    fillrandom(bench);
    settle(bench);
    must(kv_store_stats(bench->store, &stats));
    printf("%-24s %10.2f\n", "write amplification", stats.write_amplification);
    printf("%-24s %10.2f\n", "space amplification", stats.space_amplification);
    printf("%-24s %10.2f\n", "index bytes a key", (double)stats.index_bytes / rows);
    bench_json_number(json, "write amplification", "ratio", stats.write_amplification);
    bench_json_number(json, "space amplification", "ratio", stats.space_amplification);
    bench_json_number(json, "index", "bytes a key", (double)stats.index_bytes / rows);
}

int main(void)
{
    static double seconds[WORKLOADS][BENCH_RUNS_MAX];
    struct bench_options options = bench_options(1000000);
    struct bench bench = {.options = &options};
    struct bench_json *json;

    printf("Engine: kv.h alone (sqlite-kv %s)\n", KV_VERSION);
    bench_print_machine(&options);
    if (pthread_create(&watcher.thread, NULL, watch_memory, NULL))
        bench_fail("cannot start a thread");
    for (unsigned round = 0; round < options.runs; round++) {
        for (unsigned i = 0; i < WORKLOADS; i++) {
            struct result result = workloads[i].run(&bench);

            seconds[i][round] = result.seconds / (double)result.operations;
        }
    }
    atomic_store(&watcher.stop, true);
    pthread_join(watcher.thread, NULL);
    json = bench_json_open(&options, "bench_engine");
    printf("%-24s %10s\n", "µs an operation", "kv.h");
    for (unsigned i = 0; i < WORKLOADS; i++) {
        double us = bench_median(seconds[i], options.runs) * 1e6;

        printf("%-24s %10.3f\n", workloads[i].name, us);
        bench_json_number(json, workloads[i].name, "us", us);
    }
    print_latency(json, "two readers", "times one",
                  bench_median(seconds[READRANDOM], options.runs) /
                      bench_median(seconds[READRANDOM_TWO], options.runs));
    report_space(&bench, json);
    report_latencies(&bench, json);
    printf("%-24s %10.1f\n\n", "peak memory, MB", (double)watcher.peak_bytes / 1e6);
    bench_json_number(json, "peak anonymous memory", "bytes", (double)watcher.peak_bytes);
    bench_json_close(json);
    must(kv_store_close(bench.store));
    bench_remove_directory(bench.directory);
    return EXIT_SUCCESS;
}
