/*
 * How long opening a store takes, first read included: after a clean close,
 * after its indexes were deleted, and after its writer was killed in the
 * middle of a transaction; and how long the next read of a process that has it open and is as many
 * rows behind as the store had at first. After a kill it counts what was lost: transactions
 * that were acknowledged through a pipe and are not there in whole.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"
#include "kv.h"

static void must(enum kv_status st)
{
    if (st != KV_OK)
        bench_fail("%s: %s", kv_status_name(st), kv_message());
}

static struct kv_store *open_store(const char *directory)
{
    struct kv_open_options options = kv_open_options_default();
    struct kv_store *store;

    options.mode = KV_OPEN_OR_CREATE;
    options.settings.synchronous = KV_SYNC_NORMAL;
    must(kv_store_open(directory, &options, &store));
    return store;
}

/* Is row `n` there, with its value? */
static bool row_is_there(struct kv_store *store, const struct bench_options *options, uint64_t n)
{
    char key[BENCH_KEY_BYTES];
    size_t size;
    void *row;
    enum kv_status st;
    bool right;

    bench_key(key, bench_scatter(n));
    st = kv_get(store, kv_slice_of(key, sizeof(key)), &row, &size);
    if (st == KV_DONE)
        return false;
    must(st);
    right = size == options->value_bytes && !memcmp(row, bench_value(n, size), size);
    free(row);
    bench_check(right);
    return true;
}

/* Commit rows first … first+999 as one transaction. */
static void write_transaction(struct kv_store *store, const struct bench_options *options,
                              uint64_t first)
{
    struct kv_txn *txn;
    char key[BENCH_KEY_BYTES];

    must(kv_txn_begin(store, NULL, &txn));
    for (uint64_t n = first; n < first + BENCH_ROWS_PER_TRANSACTION; n++) {
        bench_key(key, bench_scatter(n));
        must(kv_txn_put(txn, kv_slice_of(key, sizeof(key)),
                        kv_slice_of(bench_value(n, options->value_bytes), options->value_bytes)));
    }
    must(kv_txn_commit(txn));
}

/* Open, read row 0, close. Returns the milliseconds of the first two. */
static double time_open(const char *directory, const struct bench_options *options)
{
    double start = bench_seconds();
    struct kv_store *store = open_store(directory);

    bench_check(row_is_there(store, options, 0));
    start = bench_seconds() - start;
    must(kv_store_close(store));
    return start * 1e3;
}

static void delete_indexes(const char *directory)
{
    DIR *entries = opendir(directory);
    struct dirent *entry;

    while (entries && (entry = readdir(entries)))
        if (strstr(entry->d_name, ".idx"))
            unlinkat(dirfd(entries), entry->d_name, 0);
    if (entries)
        closedir(entries);
}

/*
 * Have a child write transactions from row `first` on, and kill it after
 * `acknowledged_limit` of them, most likely within another. Returns how many
 * it acknowledged.
 */
static uint64_t kill_a_writer(const char *directory, const struct bench_options *options,
                              uint64_t first, uint64_t acknowledged_limit)
{
    uint64_t acknowledged = 0;
    int acknowledgements[2];
    char byte = 'a';
    pid_t child;

    if (pipe(acknowledgements))
        bench_fail("cannot create a pipe");
    child = fork();
    if (child == 0) {
        struct kv_store *store = open_store(directory);

        for (uint64_t n = first;; n += BENCH_ROWS_PER_TRANSACTION) {
            write_transaction(store, options, n);
            if (write(acknowledgements[1], &byte, 1) != 1)
                _exit(EXIT_FAILURE);
        }
    }
    close(acknowledgements[1]);
    while (acknowledged < acknowledged_limit && read(acknowledgements[0], &byte, 1) == 1)
        acknowledged++;
    usleep((useconds_t)(bench_scatter(first) % 3000));
    kill(child, SIGKILL);
    while (read(acknowledgements[0], &byte, 1) == 1)
        acknowledged++;
    waitpid(child, NULL, 0);
    close(acknowledgements[0]);
    bench_check(acknowledged >= acknowledged_limit);
    return acknowledged;
}

/*
 * Every transaction is there in whole or not at all, also the one that was
 * being written. Returns how many of the acknowledged ones are not.
 */
static uint64_t count_lost(const char *directory, const struct bench_options *options,
                           uint64_t first, uint64_t acknowledged)
{
    struct kv_store *store = open_store(directory);
    uint64_t lost = 0;

    for (uint64_t transaction = 0; transaction < acknowledged + 2; transaction++) {
        uint64_t rows = 0;

        for (uint64_t i = 0; i < BENCH_ROWS_PER_TRANSACTION; i++)
            rows +=
                row_is_there(store, options, first + transaction * BENCH_ROWS_PER_TRANSACTION + i);
        bench_check(rows == 0 || rows == BENCH_ROWS_PER_TRANSACTION);
        lost += rows == 0 && transaction < acknowledged;
    }
    must(kv_store_close(store));
    return lost;
}

/* In a child: open, say so, wait to be told, then time the first read of row `last`. */
static void wait_and_read(const char *directory, const struct bench_options *options, uint64_t last,
                          int in, int out)
{
    struct kv_store *store = open_store(directory);
    double start, ms;
    char byte = 'a';

    bench_check(row_is_there(store, options, 0));
    if (write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1)
        _exit(EXIT_FAILURE);
    start = bench_seconds();
    bench_check(row_is_there(store, options, last));
    ms = (bench_seconds() - start) * 1e3;
    if (write(out, &ms, sizeof(ms)) != sizeof(ms))
        _exit(EXIT_FAILURE);
    must(kv_store_close(store));
    _exit(EXIT_SUCCESS);
}

/*
 * How long another process, which has the store open, takes for its next read when
 * `rows` rows were written meanwhile. It looks for itself once a second, and may be quicker for that.
 */
static double time_catch_up(const char *directory, const struct bench_options *options,
                            uint64_t first, uint64_t rows)
{
    int to_child[2], from_child[2];
    struct kv_store *store;
    double ms = 0;
    char byte = 'a';
    pid_t child;

    if (pipe(to_child) || pipe(from_child))
        bench_fail("cannot create a pipe");
    child = fork();
    if (child == 0)
        wait_and_read(directory, options, first + rows - 1, to_child[0], from_child[1]);
    if (read(from_child[0], &byte, 1) != 1)
        bench_fail("the other process could not open the store");
    store = open_store(directory);
    for (uint64_t n = first; n < first + rows; n += BENCH_ROWS_PER_TRANSACTION)
        write_transaction(store, options, n);
    if (write(to_child[1], &byte, 1) != 1 || read(from_child[0], &ms, sizeof(ms)) != sizeof(ms))
        bench_fail("the other process could not read");
    waitpid(child, NULL, 0);
    must(kv_store_close(store));
    close(to_child[0]);
    close(to_child[1]);
    close(from_child[0]);
    close(from_child[1]);
    return ms;
}

int main(void)
{
    struct bench_options options = bench_options(1000000);
    double clean[BENCH_RUNS_MAX], unindexed[BENCH_RUNS_MAX], killed[BENCH_RUNS_MAX],
        behind[BENCH_RUNS_MAX];
    uint64_t next = 0, acknowledged_sum = 0, lost = 0;
    struct bench_json *json;
    struct kv_store *store;
    char directory[4096];

    printf("Opening a store, and its first read (sqlite-kv %s)\n", KV_VERSION);
    bench_print_machine(&options);
    bench_fresh_directory(&options, "open", directory);
    store = open_store(directory);
    for (; next < options.rows; next += BENCH_ROWS_PER_TRANSACTION)
        write_transaction(store, &options, next);
    must(kv_store_close(store));

    for (unsigned run = 0; run < options.runs; run++) {
        uint64_t limit = options.rows / 5 / BENCH_ROWS_PER_TRANSACTION + 1;
        uint64_t acknowledged;

        clean[run] = time_open(directory, &options);
        delete_indexes(directory);
        unindexed[run] = time_open(directory, &options);
        acknowledged = kill_a_writer(directory, &options, next, limit);
        killed[run] = time_open(directory, &options);
        lost += count_lost(directory, &options, next, acknowledged);
        acknowledged_sum += acknowledged;
        next += (acknowledged + 2) * BENCH_ROWS_PER_TRANSACTION;
        behind[run] = time_catch_up(directory, &options, next, options.rows);
        next += options.rows;
    }
    json = bench_json_open(&options, "bench_open");
    printf("%-36s %10s\n", "", "ms");
    printf("%-36s %10.2f\n", "after a clean close", bench_median(clean, options.runs));
    printf("%-36s %10.2f\n", "after kill -9", bench_median(killed, options.runs));
    printf("%-36s %10.2f\n", "without indexes", bench_median(unindexed, options.runs));
    printf("%-36s %10.2f\n", "of a process that far behind", bench_median(behind, options.runs));
    printf("%u kills, %llu transactions acknowledged, %llu lost\n\n", options.runs,
           (unsigned long long)acknowledged_sum, (unsigned long long)lost);
    bench_json_number(json, "after a clean close", "ms", bench_median(clean, options.runs));
    bench_json_number(json, "after kill -9", "ms", bench_median(killed, options.runs));
    bench_json_number(json, "without indexes", "ms", bench_median(unindexed, options.runs));
    bench_json_number(json, "of a process that far behind", "ms",
                      bench_median(behind, options.runs));
    bench_json_number(json, "lost transactions", "count", (double)lost);
    bench_json_close(json);
    bench_remove_directory(directory);
    return lost ? EXIT_FAILURE : EXIT_SUCCESS;
}
