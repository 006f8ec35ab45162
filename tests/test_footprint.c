/*
 * How much anonymous memory a store takes while it is written to, however much it holds. Small rows fill
 * logs to their limit of records, which is what memory depends on.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bytes.h"
#include "footprint.h"
#include "hash.h"
#include "header.h"
#include "kv.h"
#include "runner.h"

enum {
    LOG_ROWS = KV_LOG_RECORD_LIMIT,
    ROWS = 4 * LOG_ROWS + LOG_ROWS / 2,
    MEMTABLE_BYTES = LOG_ROWS * 32, /* 24 an item, two slots of 4 */
    SORTING_BYTES = LOG_ROWS * 12,  /* 8 that stay, 32 for an eighth of them at a time */
    BUFFERS_BYTES = 8 << 20,        /* those of merges, too */
};

static char directory[64];
static struct kv_store *store;

static void set_up(void)
{
    struct kv_open_options options = kv_open_options_default();
    char path[80];

    snprintf(directory, sizeof(directory), "%s/test_footprint_XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/store", directory);
    options.mode = KV_OPEN_OR_CREATE;
    options.settings.synchronous = KV_SYNC_OFF;
    ck_kv(kv_store_open(path, &options, &store));
}

static void tear_down(void)
{
    char command[128];

    ck_kv(kv_store_close(store));
    snprintf(command, sizeof(command), "rm -r %s", directory);
    ck_assert_int_eq(system(command), 0);
}

/* Rows first … end-1; with `look`, each is looked up before it is put, as SQL does it. */
static void put_rows(uint64_t first, uint64_t end, bool look)
{
    struct kv_txn *txn;

    ck_kv_fast(kv_txn_begin(store, NULL, &txn));
    for (uint64_t i = first; i < end; i++) {
        uint64_t bytes = kv_digest_add(1, i);
        struct kv_slice key = kv_slice_of(&bytes, sizeof(bytes));
        struct kv_entry entry;

        ck_kv_fast(look && kv_txn_get(txn, key, &entry) != KV_DONE ? KV_CORRUPT : KV_OK);
        ck_kv_fast(kv_txn_put(txn, key, key));
    }
    ck_kv_fast(kv_txn_commit(txn));
}

/* What is taken at most while logs fill, are sorted, indexed and merged. */
static uint64_t fill(uint64_t rows_a_transaction, bool look)
{
    struct footprint_watch watch;
    uint64_t peak_bytes;

    footprint_watch_start(&watch);
    for (uint64_t i = 0; i < ROWS; i += rows_a_transaction)
        put_rows(i, i + rows_a_transaction < ROWS ? i + rows_a_transaction : ROWS, look);
    peak_bytes = footprint_watch_end(&watch);
    printf("%d rows, %d a transaction: %.1f MB\n", (int)ROWS, (int)rows_a_transaction,
           (double)peak_bytes / 1e6);
    ck_assert_uint_gt(peak_bytes, MEMTABLE_BYTES);
    return peak_bytes;
}

/*
 * The active log's memtable, and that of the sealed one that is being indexed; beside them what
 * sorting takes or, if the background thread was kept from freeing it, the one before.
 */
START_TEST(test_footprint_of_transactions)
{
    ck_assert_uint_le(fill(1000, false), 3 * MEMTABLE_BYTES + BUFFERS_BYTES);
}
END_TEST

/* A transaction that no log can hold: it has one list of its records, and sorts that. */
START_TEST(test_footprint_of_one_transaction)
{
    ck_assert_uint_le(fill(ROWS, true), MEMTABLE_BYTES + SORTING_BYTES + BUFFERS_BYTES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("footprint");
    TCase *tests = tcase_create("footprint");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
/* Sanitizers have memory of their own beside ours. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tests, test_footprint_of_transactions);
    tcase_add_test(tests, test_footprint_of_one_transaction);
#else
    (void)test_footprint_of_transactions;
    (void)test_footprint_of_one_transaction;
#endif
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
