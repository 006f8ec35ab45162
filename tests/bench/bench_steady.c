/*
 * Does the speed last? Rows of a full store are overwritten in random order for
 * a while, as fast as they go, and each second is looked at: a store that lets merges pile
 * up is fast at first, and then stands still, or grows.
 *
 * BENCH_SECONDS says for how long (15); BENCH_GROWTH=1 does it with 5,000,000 rows for
 * 300 seconds besides. The seconds are written to bench_steady-<rows>.dat, to be drawn.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "kv.h"

enum { ROWS_A_COMMIT = 100, LATENCIES_MAX = 1 << 25 };

/* What happened in one second. */
struct second {
    uint64_t rows;
    float slowest_ms;
    uint64_t runs;
    double space_amplification;
};

struct steady {
    const struct bench_options *options;
    struct bench_json *json;
    struct kv_store *store;
    uint64_t rows;
    uint64_t live_bytes; /* of records, when each row is there once */
    struct second *seconds;
    unsigned second_count;
    float *commit_us;
    size_t commit_count;
    uint64_t written; /* rows so far; the n-th one is always the same */
};

static void must(enum kv_status st)
{
    if (st != KV_OK)
        bench_fail("%s: %s", kv_status_name(st), kv_message());
}

/* ---- Writing */

static void put(struct steady *steady, struct kv_txn *txn, uint64_t n, uint64_t value)
{
    size_t value_bytes = steady->options->value_bytes;
    char key[BENCH_KEY_BYTES];

    bench_key(key, bench_scatter(n));
    must(kv_txn_put(txn, kv_slice_of(key, BENCH_KEY_BYTES),
                    kv_slice_of(bench_value(value, value_bytes), value_bytes)));
}

/* Every row once, and nothing else: what they take then is what is live. */
static void fill(struct steady *steady)
{
    struct kv_stats stats;
    struct kv_txn *txn;

    for (uint64_t i = 0; i < steady->rows; i += BENCH_ROWS_PER_TRANSACTION) {
        must(kv_txn_begin(steady->store, NULL, &txn));
        for (uint64_t n = i; n < i + BENCH_ROWS_PER_TRANSACTION && n < steady->rows; n++)
            put(steady, txn, n, n);
        must(kv_txn_commit(txn));
    }
    must(kv_compact(steady->store, NULL, NULL));
    must(kv_store_stats(steady->store, &stats));
    bench_check(stats.keys == steady->rows);
    steady->live_bytes = stats.live_bytes;
}

/* Overwrite rows in one transaction; returns how long it took, in microseconds. */
static float commit_some(struct steady *steady)
{
    double start = bench_seconds();
    struct kv_txn *txn;

    must(kv_txn_begin(steady->store, NULL, &txn));
    for (unsigned i = 0; i < ROWS_A_COMMIT; i++) {
        uint64_t n = bench_scatter(~steady->written) % steady->rows;

        put(steady, txn, n, n);
        steady->written++;
    }
    must(kv_txn_commit(txn));
    return (float)((bench_seconds() - start) * 1e6);
}

static struct second write_for_a_second(struct steady *steady)
{
    double end = bench_seconds() + 1;
    uint64_t before = steady->written;
    struct second second = {0};
    struct kv_stats stats;

    do {
        float us = commit_some(steady);

        if (us > second.slowest_ms * 1000)
            second.slowest_ms = us / 1000;
        if (steady->commit_count < LATENCIES_MAX)
            steady->commit_us[steady->commit_count++] = us;
    } while (bench_seconds() < end);
    second.rows = steady->written - before;
    must(kv_store_stats(steady->store, &stats));
    second.runs = stats.runs;
    second.space_amplification = (double)stats.data_bytes / (double)steady->live_bytes;
    return second;
}

/* ---- Reading */

/* All rows are there, each with its value. */
static void check_rows(struct steady *steady)
{
    size_t value_bytes = steady->options->value_bytes;
    struct kv_snapshot *snapshot;
    char key[BENCH_KEY_BYTES];
    struct kv_entry entry;

    must(kv_snapshot_new(steady->store, &snapshot));
    must(kv_snapshot_acquire(snapshot));
    for (uint64_t i = 0; i < steady->rows; i += 1 + steady->rows / 100000) {
        bench_key(key, bench_scatter(i));
        must(kv_snapshot_get(snapshot, NULL, kv_slice_of(key, BENCH_KEY_BYTES), &entry));
        bench_check(entry.row.size == value_bytes);
        bench_check(!memcmp(entry.row.data, bench_value(i, value_bytes), value_bytes));
    }
    kv_snapshot_free(snapshot);
}

/* ---- Reporting */

/* Print a figure; its name in JSON says of how many rows. */
static void report(const struct steady *steady, const char *name, const char *unit, double value)
{
    char label[128];

    snprintf(label, sizeof(label), "%s, %llu rows", name, (unsigned long long)steady->rows);
    printf("%-48s %12.2f %s\n", label, value, unit);
    bench_json_number(steady->json, label, unit, value);
}

/* The series: a line a second. */
static void write_series(const struct steady *steady)
{
    char path[4200];
    FILE *file;

    snprintf(path, sizeof(path), "%s/bench_steady-%llu.dat", steady->options->directory,
             (unsigned long long)steady->rows);
    file = fopen(path, "w");
    if (!file)
        bench_fail("cannot write %s", path);
    fputs("second rows slowest_commit_ms runs space_amplification\n", file);
    for (unsigned i = 0; i < steady->second_count; i++) {
        const struct second *it = &steady->seconds[i];

        fprintf(file, "%u %llu %.2f %llu %.3f\n", i + 1, (unsigned long long)it->rows,
                (double)it->slowest_ms, (unsigned long long)it->runs, it->space_amplification);
    }
    if (fclose(file))
        bench_fail("cannot write %s", path);
}

static int compare_floats(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;

    return (left > right) - (left < right);
}

static void report_commits(struct steady *steady)
{
    float *us = steady->commit_us;
    double last = (double)(steady->commit_count - 1);

    qsort(us, steady->commit_count, sizeof(*us), compare_floats);
    report(steady, "commit of 100 rows, p50", "us", us[(size_t)(last * 0.5)]);
    report(steady, "commit of 100 rows, p99", "us", us[(size_t)(last * 0.99)]);
    report(steady, "commit of 100 rows, p99.9", "us", us[(size_t)(last * 0.999)]);
    report(steady, "slowest commit", "us", us[steady->commit_count - 1]);
}

static void report_seconds(const struct steady *steady)
{
    double *rows = malloc(steady->second_count * sizeof(*rows)), median;
    double worst_space = 0;

    if (!rows)
        bench_fail("out of memory");
    for (unsigned i = 0; i < steady->second_count; i++) {
        rows[i] = (double)steady->seconds[i].rows;
        if (steady->seconds[i].space_amplification > worst_space)
            worst_space = steady->seconds[i].space_amplification;
    }
    median = bench_median(rows, steady->second_count); /* sorts */
    report(steady, "median second", "rows", median);
    report(steady, "worst second", "rows", rows[0]);
    report(steady, "worst of median", "ratio", rows[0] / median);
    report(steady, "space amplification, worst second", "ratio", worst_space);
    free(rows);
}

static void report_settled(struct steady *steady)
{
    double seconds = bench_settle_store(steady->store);
    struct kv_stats stats;

    must(kv_store_stats(steady->store, &stats));
    report(steady, "until merged", "ms", seconds * 1e3);
    report(steady, "space amplification, settled", "ratio",
           (double)stats.data_bytes / (double)steady->live_bytes);
    report(steady, "write amplification", "ratio", stats.write_amplification);
}

/* ---- All of it */

static void steady_init(struct steady *steady, unsigned seconds)
{
    steady->seconds = calloc(seconds, sizeof(*steady->seconds));
    steady->commit_us = malloc(LATENCIES_MAX * sizeof(*steady->commit_us));
    if (!steady->seconds || !steady->commit_us)
        bench_fail("out of memory");
}

static void measure(const struct bench_options *options, struct bench_json *json, uint64_t rows,
                    unsigned seconds)
{
    struct steady steady = {.options = options, .json = json, .rows = rows};
    struct kv_open_options open_options = kv_open_options_default();
    char directory[4096];

    steady_init(&steady, seconds);
    bench_fresh_directory(options, "steady", directory);
    open_options.mode = KV_OPEN_OR_CREATE;
    open_options.settings.synchronous = KV_SYNC_NORMAL;
    must(kv_store_open(directory, &open_options, &steady.store));
    fill(&steady);
    while (steady.second_count < seconds) {
        struct second second = write_for_a_second(&steady);

        steady.seconds[steady.second_count++] = second;
    }
    write_series(&steady);
    report_seconds(&steady);
    report_commits(&steady);
    report_settled(&steady);
    check_rows(&steady);
    must(kv_store_close(steady.store));
    bench_remove_directory(directory);
    free(steady.seconds);
    free(steady.commit_us);
    putchar('\n');
}

int main(void)
{
    struct bench_options options = bench_options(1000000);
    unsigned seconds = (unsigned)bench_number("BENCH_SECONDS", 15);
    const char *growth = getenv("BENCH_GROWTH");
    struct bench_json *json;

    printf("Overwriting for %u seconds (sqlite-kv %s)\n", seconds, KV_VERSION);
    options.runs = 1;
    bench_print_machine(&options);
    json = bench_json_open(&options, "bench_steady");
    measure(&options, json, options.rows, seconds);
    if (growth && strcmp(growth, "1") == 0)
        measure(&options, json, 5000000, 300);
    bench_json_close(json);
    return EXIT_SUCCESS;
}
