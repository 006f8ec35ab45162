/*
 * How long single point reads and commits take while others work: a thread
 * reads, first alone, then while another one overwrites every row and the
 * background merges. Every read is checked for its row being there.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common.h"
#include "kv.h"

struct bench {
    const struct bench_options *options;
    struct kv_store *store;
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
    const struct bench *bench;
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

/* Write every row, in small transactions. */
static void write_measured(const struct bench *bench, struct latencies *commits)
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

static void report_reads(struct bench_json *json, struct latencies *all, const char *when)
{
    char name[64];

    qsort(all->us, all->count, sizeof(float), compare_floats);
    snprintf(name, sizeof(name), "read %s, p50", when);
    print_latency(json, name, "us", latencies_at(all, 0.5));
    snprintf(name, sizeof(name), "read %s, p99", when);
    print_latency(json, name, "us", latencies_at(all, 0.99));
    snprintf(name, sizeof(name), "read %s, p99.9", when);
    print_latency(json, name, "us", latencies_at(all, 0.999));
}

static void start_reader(struct reader *reader, pthread_t *thread)
{
    if (pthread_create(thread, NULL, read_until_stopped, reader))
        bench_fail("cannot start a thread");
}

static void stop_reader(struct reader *reader, pthread_t thread)
{
    atomic_store(&reader->stop, true);
    pthread_join(thread, NULL);
}

/* What reads take with nothing else going on. */
static void measure_idle(const struct bench *bench, struct bench_json *json)
{
    struct reader reader = {.bench = bench, .all = latencies_new()};
    pthread_t thread;

    start_reader(&reader, &thread);
    usleep(IDLE_MS * 1000);
    stop_reader(&reader, thread);
    report_reads(json, &reader.all, "alone");
    free(reader.all.us);
}

static void report_commits(struct bench_json *json, struct latencies *commits, uint64_t seals)
{
    qsort(commits->us, commits->count, sizeof(float), compare_floats);
    print_latency(json, "commit of 100 rows, p50", "us", latencies_at(commits, 0.5));
    print_latency(json, "commit of 100 rows, p99", "us", latencies_at(commits, 0.99));
    /* The slowest commits are those that seal. */
    if (seals > 0 && seals <= commits->count)
        print_latency(json, "commit that seals", "ms",
                      commits->us[commits->count - 1 - (size_t)seals / 2] / 1e3);
    print_latency(json, "slowest commit", "ms", latencies_at(commits, 1) / 1e3);
}

static void measure_beside_writes(const struct bench *bench, struct bench_json *json)
{
    struct reader reader = {.bench = bench, .all = latencies_new()};
    struct latencies commits = latencies_new();
    struct kv_stats before, after;
    pthread_t thread;

    must(kv_store_stats(bench->store, &before));
    start_reader(&reader, &thread);
    write_measured(bench, &commits);
    stop_reader(&reader, thread);
    must(kv_store_stats(bench->store, &after));
    report_reads(json, &reader.all, "beside writes");
    report_commits(json, &commits, after.seals_since_open - before.seals_since_open);
    free(reader.all.us);
    free(commits.us);
}

int main(void)
{
    struct bench_options options = bench_options(1000000);
    struct kv_open_options open_options = kv_open_options_default();
    struct bench bench = {.options = &options};
    struct latencies fill = latencies_new();
    struct bench_json *json;
    char directory[4096];

    printf("Latencies of one reader and one writer (sqlite-kv %s)\n", KV_VERSION);
    bench_print_machine(&options);
    bench_fresh_directory(&options, "latency", directory);
    open_options.mode = KV_OPEN_OR_CREATE;
    open_options.settings.synchronous = KV_SYNC_NORMAL;
    must(kv_store_open(directory, &open_options, &bench.store));
    json = bench_json_open(&options, "bench_latency");
    write_measured(&bench, &fill);
    bench_settle_store(bench.store);
    measure_idle(&bench, json);
    measure_beside_writes(&bench, json);
    putchar('\n');
    bench_json_close(json);
    must(kv_store_close(bench.store));
    bench_remove_directory(directory);
    free(fill.us);
    return EXIT_SUCCESS;
}
