/*
 * What becomes of a store as it grows: filled in random order, read, and each
 * row overwritten twice; speed, memory, and amplification of writes and space.
 * BENCH_GROWTH=1 does it with 100,000, 1,000,000 and 10,000,000 rows, else it
 * is done once with BENCH_ROWS.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "kv.h"

struct growth {
    const struct bench_options *options;
    struct bench_json *json;
    struct kv_store *store;
    uint64_t rows;
    struct bench_memory peak;
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

static void note_memory(struct growth *growth)
{
    struct bench_memory now = bench_memory(getpid());

    if (now.anonymous_bytes > growth->peak.anonymous_bytes)
        growth->peak.anonymous_bytes = now.anonymous_bytes;
    if (now.mapped_bytes > growth->peak.mapped_bytes)
        growth->peak.mapped_bytes = now.mapped_bytes;
}

/* Print a figure; its name in JSON says of how many rows. */
static void report(const struct growth *growth, const char *name, const char *unit, double value)
{
    char label[128];

    snprintf(label, sizeof(label), "%s, %llu rows", name, (unsigned long long)growth->rows);
    printf("%-44s %10.2f %s\n", label, value, unit);
    bench_json_number(growth->json, label, unit, value);
}

/* Returns the seconds. Values are those of row n + `value_offset`. */
static double write_rows(struct growth *growth, uint64_t value_offset)
{
    size_t value_bytes = growth->options->value_bytes;
    char key[BENCH_KEY_BYTES];
    double start = bench_seconds();
    struct kv_txn *txn;

    for (uint64_t i = 0; i < growth->rows; i += BENCH_ROWS_PER_TRANSACTION) {
        must(kv_txn_begin(growth->store, NULL, &txn));
        for (uint64_t n = i; n < i + BENCH_ROWS_PER_TRANSACTION && n < growth->rows; n++)
            must(kv_txn_put(txn, key_slice(key, bench_scatter(n)),
                            kv_slice_of(bench_value(n + value_offset, value_bytes), value_bytes)));
        must(kv_txn_commit(txn));
        if (i / BENCH_ROWS_PER_TRANSACTION % 64 == 0)
            note_memory(growth);
    }
    note_memory(growth);
    return bench_seconds() - start;
}

static double read_rows(struct growth *growth, uint64_t reads)
{
    size_t value_bytes = growth->options->value_bytes;
    struct kv_snapshot *snapshot;
    char key[BENCH_KEY_BYTES];
    struct kv_entry entry;
    double start = bench_seconds();

    must(kv_snapshot_new(growth->store, &snapshot));
    must(kv_snapshot_acquire(snapshot));
    for (uint64_t i = 0; i < reads; i++) {
        uint64_t n = bench_scatter(~i) % growth->rows;

        must(kv_snapshot_get(snapshot, NULL, key_slice(key, bench_scatter(n)), &entry));
        bench_check(entry.row.size == value_bytes);
        bench_check(!memcmp(entry.row.data, bench_value(n, value_bytes), value_bytes));
    }
    kv_snapshot_free(snapshot);
    note_memory(growth);
    return bench_seconds() - start;
}

static void report_speed(struct growth *growth)
{
    double rows = (double)growth->rows;
    uint64_t reads = growth->rows < 1000000 ? growth->rows : 1000000;
    double fill_seconds = write_rows(growth, 0);
    double merge_seconds = bench_settle_store(growth->store);

    report(growth, "fillrandom", "us", fill_seconds * 1e6 / rows);
    report(growth, "until merged", "ms", merge_seconds * 1e3);
    report(growth, "fillrandom and merging", "us", (fill_seconds + merge_seconds) * 1e6 / rows);
    report(growth, "readrandom", "us", read_rows(growth, reads) * 1e6 / (double)reads);
}

static void report_amplification(struct growth *growth, uint64_t written_before_bytes)
{
    double record_bytes =
        (double)growth->rows * (double)(BENCH_KEY_BYTES + growth->options->value_bytes);
    struct kv_stats stats, compacted;

    write_rows(growth, 1);
    write_rows(growth, 2);
    bench_settle_store(growth->store);
    must(kv_store_stats(growth->store, &stats));
    report(growth, "write amplification", "ratio", stats.write_amplification);
    report(growth, "written to disk for a byte", "ratio",
           (double)(bench_written_bytes(getpid()) - written_before_bytes) / (3 * record_bytes));
    must(kv_compact(growth->store, NULL, NULL));
    must(kv_store_stats(growth->store, &compacted));
    bench_check(!compacted.exact || compacted.keys == growth->rows);
    /* What is live is known for certain only now: before, it is the store's own estimate. */
    report(growth, "space amplification, settled", "ratio",
           (double)stats.data_bytes / (double)compacted.live_bytes);
    report(growth, "space amplification, compacted", "ratio",
           (double)compacted.data_bytes / (double)compacted.live_bytes);
    report(growth, "index", "bytes a key", (double)compacted.index_bytes / (double)growth->rows);
}

static void measure(const struct bench_options *options, struct bench_json *json, uint64_t rows)
{
    struct growth growth = {.options = options, .json = json, .rows = rows};
    struct kv_open_options open_options = kv_open_options_default();
    uint64_t written_bytes = bench_written_bytes(getpid());
    char directory[4096];

    bench_fresh_directory(options, "growth", directory);
    open_options.mode = KV_OPEN_OR_CREATE;
    open_options.settings.synchronous = KV_SYNC_NORMAL;
    must(kv_store_open(directory, &open_options, &growth.store));
    report_speed(&growth);
    report_amplification(&growth, written_bytes);
    report(&growth, "anonymous memory, peak", "bytes", (double)growth.peak.anonymous_bytes);
    report(&growth, "mapped memory, peak", "bytes", (double)growth.peak.mapped_bytes);
    must(kv_store_close(growth.store));
    bench_remove_directory(directory);
    putchar('\n');
}

int main(void)
{
    static const uint64_t sizes[] = {100000, 1000000, 10000000};
    struct bench_options options = bench_options(1000000);
    const char *growth = getenv("BENCH_GROWTH");
    struct bench_json *json;

    printf("Growth: kv.h, filled, read, and overwritten twice (sqlite-kv %s)\n", KV_VERSION);
    options.runs = 1;
    bench_print_machine(&options);
    json = bench_json_open(&options, "bench_growth");
    if (!growth || strcmp(growth, "1") != 0)
        measure(&options, json, options.rows);
    else
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            measure(&options, json, sizes[i]);
    bench_json_close(json);
    return EXIT_SUCCESS;
}
