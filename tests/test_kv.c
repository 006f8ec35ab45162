/* kv.h as its users see it: verbs, write transactions, their limits and their failures. */
#include <stdio.h>

#include "record.h"
#include "runner.h"
#include "world.h"

static struct world world;

static void setup(void)
{
    world_start(&world);
}

static void teardown(void)
{
    world_end(&world);
}

/* ---- Verbs */

START_TEST(test_kv_put_replaces_and_delete_removes)
{
    world_put(&world, "b", "1");
    world_put(&world, "a", "2");
    world_put(&world, "b", "3");
    world_expect(&world, "a", "2");
    world_expect(&world, "b", "3");
    world_delete(&world, "a");
    world_delete(&world, "never there");
    world_expect(&world, "a", NULL);
    world_expect_all(&world, "b=3");
    ck_assert_uint_eq(kv_store_seq(world.store), 5);
    world_reopen(&world);
    world_expect_all(&world, "b=3");
    ck_assert_uint_eq(kv_store_seq(world.store), 5);
    world_check(&world);
}
END_TEST

START_TEST(test_kv_keys_and_rows_are_any_bytes)
{
    static const uint8_t key[] = {0, 0xff, 0, 1};
    struct kv_slice slice = kv_slice_of(key, sizeof(key));
    void *row;
    size_t size;

    ck_kv(kv_put(world.store, slice, kv_slice_of("\0\1\0", 3)));
    ck_kv(kv_put(world.store, kv_slice_of(key, 3), (struct kv_slice){0}));
    for (int turn = 0; turn < 2; turn++) {
        ck_kv(kv_get(world.store, slice, &row, &size));
        ck_assert_uint_eq(size, 3);
        ck_assert_mem_eq(row, "\0\1\0", 3);
        free(row);
        ck_kv(kv_get(world.store, kv_slice_of(key, 3), &row, &size));
        ck_assert_uint_eq(size, 0);
        ck_assert_ptr_nonnull(row); /* an empty row is a row */
        free(row);
        row = &size;
        ck_kv_is(kv_get(world.store, kv_slice_of(key, 2), &row, &size), KV_DONE);
        ck_assert_ptr_null(row);
        world_seal(&world);
    }
}
END_TEST

START_TEST(test_kv_large_rows_come_back_whole)
{
    enum { SIZE = 3000000 };
    char *big = malloc(SIZE);
    void *row;
    size_t size;

    for (int i = 0; i < SIZE; i++)
        big[i] = (char)(i * 7 >> 3);
    ck_kv(kv_put(world.store, kv_slice_text("big"), kv_slice_of(big, SIZE)));
    for (int turn = 0; turn < 3; turn++) {
        ck_kv(kv_get(world.store, kv_slice_text("big"), &row, &size));
        ck_assert_uint_eq(size, SIZE);
        ck_assert_mem_eq(row, big, SIZE);
        free(row);
        if (turn == 0)
            ck_kv(kv_compact(world.store, NULL, NULL));
        else
            world_reopen(&world);
    }
    free(big);
    world_check(&world);
}
END_TEST

START_TEST(test_kv_store_tells_what_it_is)
{
    ck_assert_str_eq(kv_store_path(world.store), WORLD_PATH);
    ck_assert(!kv_store_readonly(world.store));
    ck_assert_uint_eq(kv_store_schema(world.store).size, 0);
    ck_assert_uint_eq(kv_store_seq(world.store), 0);
}
END_TEST

/* ---- Limits */

START_TEST(test_kv_keys_have_1_to_65535_bytes)
{
    static char key[KV_KEY_MAX_BYTES + 1];
    struct kv_txn *txn = world_begin(&world);
    struct kv_slice row = kv_slice_text("row");

    memset(key, 'k', sizeof(key));
    txn_put(txn, "a", "1");
    ck_kv_is(kv_txn_put(txn, (struct kv_slice){0}, row), KV_INVALID);
    ck_kv_is(kv_txn_delete(txn, (struct kv_slice){0}), KV_INVALID);
    ck_kv_is(kv_txn_put(txn, kv_slice_of(key, sizeof(key)), row), KV_TOOBIG);
    ck_assert_ptr_nonnull(strstr(kv_message(), "65536"));
    ck_assert_ptr_nonnull(strstr(kv_message(), "65535"));
    ck_kv_is(kv_txn_delete(txn, kv_slice_of(key, sizeof(key))), KV_TOOBIG);
    ck_kv(kv_txn_put(txn, kv_slice_of(key, KV_KEY_MAX_BYTES), row));
    ck_assert_uint_eq(kv_txn_record_count(txn), 2);
    ck_kv(kv_txn_commit(txn));

    ck_kv_is(kv_put(world.store, (struct kv_slice){0}, row), KV_INVALID);
    ck_kv_is(kv_put(world.store, kv_slice_of(key, sizeof(key)), row), KV_TOOBIG);
    ck_kv_is(kv_delete(world.store, (struct kv_slice){0}), KV_INVALID);
    world_reopen(&world);
    world_expect(&world, "a", "1");
    ck_assert_uint_eq(world_stats(&world).keys, 2);
    ck_kv(kv_compact(world.store, NULL, NULL));
    ck_assert_uint_eq(world_stats(&world).keys, 2);
    world_check(&world);
}
END_TEST

START_TEST(test_kv_rows_have_up_to_a_billion_bytes)
{
    struct kv_txn *txn = world_begin(&world);

    /* The size is refused before a byte is read. */
    ck_kv_is(kv_txn_put(txn, kv_slice_text("a"), kv_slice_of("", KV_ROW_MAX_BYTES + 1)), KV_TOOBIG);
    ck_assert_ptr_nonnull(strstr(kv_message(), "1000000001"));
    txn_put(txn, "a", "1");
    ck_kv(kv_txn_commit(txn));
    world_expect_all(&world, "a=1");
}
END_TEST

static enum kv_status put_number(struct kv_txn *txn, uint32_t number)
{
    return kv_txn_put(txn, kv_slice_of(&number, sizeof(number)), (struct kv_slice){0});
}

/*
 * Goal: the record limit of logs is none of transactions: at it, they overflow.
 * Method: go just past it, behind another transaction, and back.
 */
START_TEST(test_kv_record_limit_is_passed)
{
    enum { LIMIT = 1 << 19 };
    struct kv_settings settings = world.options.settings;
    struct kv_savepoint savepoint;
    struct kv_txn *txn;

    settings.segment_bytes = 64 * 1024 * 1024;
    world_put(&world, "a", "1");
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    for (uint32_t i = 0; i < LIMIT; i++)
        ck_kv_fast(put_number(txn, i));
    savepoint = kv_txn_savepoint(txn);
    ck_kv(put_number(txn, LIMIT));
    ck_kv(kv_txn_delete(txn, kv_slice_text("a")));
    ck_assert_uint_eq(kv_txn_record_count(txn), LIMIT + 2);
    kv_txn_rollback_to(txn, savepoint);
    txn_put(txn, "last", "2");
    ck_kv(kv_txn_commit(txn));
    world_expect(&world, "a", "1");
    world_expect(&world, "last", "2");
    world_put(&world, "after", "3");
    world_reopen(&world);
    world_expect(&world, "last", "2");
    ck_assert_uint_eq(world_stats(&world).records, LIMIT + 3);
    world_check(&world);
}
END_TEST

/* Goal: behind large records a log has room for fewer, and a transaction does not notice, alone there or not. */
START_TEST(test_kv_lower_record_limit_is_passed)
{
    enum { LIMIT = 1 << 16 };
    static const uint8_t large[5000];
    struct kv_settings settings = world.options.settings;
    struct kv_txn *txn;

    settings.segment_bytes = 64 * 1024 * 1024;
    ck_kv(kv_put(world.store, kv_slice_text("large"), kv_slice_of(large, sizeof(large))));
    ck_kv(kv_compact(world.store, NULL, NULL));
    if (_i)
        world_put(&world, "before", "1");
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    for (uint32_t i = 0; i < LIMIT + 2; i++)
        ck_kv_fast(put_number(txn, i));
    txn_put(txn, "last", "2");
    ck_kv(kv_txn_commit(txn));
    world_put(&world, "after", "3");
    for (int i = 0; i < 2; i++) {
        world_expect(&world, "last", "2");
        world_expect(&world, "after", "3");
        ck_assert_uint_eq(world_stats(&world).records, LIMIT + 5 + (unsigned)_i);
        world_reopen(&world);
    }
    world_check(&world);
}
END_TEST

/* ---- Transactions */

START_TEST(test_kv_txn_reads_its_own_writes)
{
    struct kv_txn *txn;
    struct kv_entry entry;

    world_put(&world, "a", "1");
    world_put(&world, "b", "2");
    txn = world_begin(&world);
    txn_put(txn, "a", "10");
    txn_put(txn, "c", "30");
    txn_delete(txn, "b");
    txn_expect(txn, "a", "10");
    txn_expect(txn, "b", NULL);
    txn_expect(txn, "c", "30");
    txn_expect(txn, "d", NULL);
    ck_kv(kv_txn_get(txn, kv_slice_text("a"), &entry));
    ck_assert(entry.own);
    ck_assert_uint_eq(entry.seq, 0);
    ck_kv(kv_txn_get(txn, kv_slice_text("a"), NULL));
    ck_kv_is(kv_txn_get(txn, kv_slice_text("b"), NULL), KV_DONE);
    world_expect_all(&world, "a=1 b=2"); /* others see none of it */
    ck_kv(kv_txn_commit(txn));
    world_expect_all(&world, "a=10 c=30");
    ck_assert_uint_eq(kv_store_seq(world.store), 3);
}
END_TEST

START_TEST(test_kv_abort_forgets)
{
    struct kv_txn *txn;

    world_put(&world, "a", "1");
    txn = world_begin(&world);
    txn_put(txn, "a", "2");
    txn_put(txn, "b", "2");
    kv_txn_abort(txn);
    kv_txn_abort(NULL);
    world_expect_all(&world, "a=1");
    world_put(&world, "c", "3");
    ck_assert_uint_eq(kv_store_seq(world.store), 2);
    world_kill(&world);
    world_open(&world);
    world_expect_all(&world, "a=1 c=3");
}
END_TEST

START_TEST(test_kv_commit_without_writes_is_nothing)
{
    uint64_t before;

    world_put(&world, "a", "1");
    world_reopen(&world); /* the clean end stays */
    before = world_files_digest(&world);
    ck_kv(kv_txn_commit(world_begin(&world)));
    struct kv_txn *txn = world_begin(&world);
    ck_kv(kv_txn_prepare(txn));
    kv_txn_publish(txn);
    txn = world_begin(&world);
    txn_put(txn, "b", "1");
    kv_txn_rollback_to(txn, (struct kv_savepoint){0});
    ck_kv(kv_txn_commit(txn));
    ck_assert_uint_eq(kv_store_seq(world.store), 1);
    ck_assert_uint_eq(world_files_digest(&world), before);
}
END_TEST

START_TEST(test_kv_savepoints_nest)
{
    struct kv_savepoint empty, outer, inner;
    struct kv_txn *txn;

    world_put(&world, "a", "0");
    txn = world_begin(&world);
    empty = kv_txn_savepoint(txn);
    txn_put(txn, "a", "1");
    outer = kv_txn_savepoint(txn);
    txn_put(txn, "b", "1");
    txn_expect(txn, "b", "1"); /* from here on there is a hash to keep right */
    inner = kv_txn_savepoint(txn);
    txn_put(txn, "b", "2");
    txn_delete(txn, "a");
    txn_expect(txn, "a", NULL);
    kv_txn_rollback_to(txn, inner);
    kv_txn_rollback_to(txn, inner); /* again: nothing */
    txn_expect(txn, "a", "1");
    txn_expect(txn, "b", "1");
    txn_put(txn, "c", "3");
    kv_txn_rollback_to(txn, outer);
    txn_expect(txn, "b", NULL);
    txn_expect(txn, "c", NULL);
    kv_txn_rollback_to(txn, inner); /* past the end: nothing */
    ck_assert_uint_eq(kv_txn_record_count(txn), 1);
    txn_put(txn, "d", "4");
    txn_expect(txn, "d", "4");
    kv_txn_rollback_to(txn, empty);
    txn_expect(txn, "a", "0");
    txn_expect(txn, "d", NULL);
    txn_put(txn, "e", "5");
    ck_kv(kv_txn_commit(txn));
    world_expect_all(&world, "a=0 e=5");
    world_kill(&world);
    world_open(&world);
    world_expect_all(&world, "a=0 e=5");
}
END_TEST

/*
 * Goal: rolling back below what has gone to the file already loses nothing.
 * Method: rows of 100 KB, so that each third record is flushed.
 */
START_TEST(test_kv_rollback_below_what_was_written)
{
    enum { SIZE = 100000 };
    char *row = malloc(SIZE);
    struct kv_settings settings = world.options.settings;
    struct kv_savepoint savepoint;
    struct kv_txn *txn;
    char key[16];

    settings.segment_bytes = 64 * 1024 * 1024;
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    txn_put(txn, "a", "1");
    savepoint = kv_txn_savepoint(txn);
    for (int turn = 0; turn < 3; turn++) {
        kv_txn_rollback_to(txn, savepoint);
        memset(row, 'p' + turn, SIZE);
        for (int i = 0; i < 10 - turn; i++) {
            snprintf(key, sizeof(key), "row%d", i);
            ck_kv(kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, SIZE)));
        }
    }
    ck_kv(kv_txn_commit(txn));
    free(row);
    for (int turn = 0; turn < 2; turn++) {
        world_expect_all(&world, "a=1 row0=rrrrrrrrrrrrrrrr row1=rrrrrrrrrrrrrrrr "
                                 "row2=rrrrrrrrrrrrrrrr row3=rrrrrrrrrrrrrrrr "
                                 "row4=rrrrrrrrrrrrrrrr row5=rrrrrrrrrrrrrrrr "
                                 "row6=rrrrrrrrrrrrrrrr row7=rrrrrrrrrrrrrrrr");
        world_kill(&world);
        world_open(&world);
    }
}
END_TEST

/* ---- The two halves of a commit */

START_TEST(test_kv_prepared_is_not_visible_until_published)
{
    struct kv_txn *txn = world_begin(&world);

    txn_put(txn, "a", "1");
    ck_kv(kv_txn_prepare(txn));
    ck_kv(kv_txn_prepare(txn)); /* again: nothing */
    txn_expect(txn, "a", "1");
    world_expect_all(&world, "");
    ck_assert_uint_eq(kv_store_seq(world.store), 0);
    kv_txn_publish(txn);
    world_expect_all(&world, "a=1");
    ck_assert_uint_eq(kv_store_seq(world.store), 1);
}
END_TEST

/* Goal: a prepared transaction that was taken back never comes back. */
START_TEST(test_kv_prepared_can_be_aborted)
{
    for (int sync = KV_SYNC_OFF; sync <= KV_SYNC_FULL; sync++) {
        struct kv_settings settings = world.options.settings;
        struct kv_txn *txn;

        settings.synchronous = (enum kv_synchronous)sync;
        ck_kv(kv_txn_begin(world.store, &settings, &txn));
        txn_put(txn, "a", "1");
        ck_kv(kv_txn_prepare(txn));
        kv_txn_abort(txn);
        world_expect_all(&world, "");
        if (sync == KV_SYNC_FULL)
            world_kill(&world);
        else
            world_crash(&world, KV_MEMFS_RANDOM, (uint64_t)sync);
        world_open(&world);
        world_expect_all(&world, "");
        ck_assert_uint_eq(kv_store_seq(world.store), 0);
    }
}
END_TEST

START_TEST(test_kv_prepared_can_be_written_on)
{
    struct kv_txn *txn = world_begin(&world);
    struct kv_savepoint savepoint;

    txn_put(txn, "a", "1");
    savepoint = kv_txn_savepoint(txn);
    ck_kv(kv_txn_prepare(txn));
    txn_put(txn, "b", "2");
    world_expect_all(&world, "");
    ck_kv(kv_txn_prepare(txn));
    txn_delete(txn, "a");
    ck_kv(kv_txn_prepare(txn));
    kv_txn_rollback_to(txn, savepoint);
    txn_put(txn, "c", "3");
    ck_kv(kv_txn_prepare(txn));
    kv_txn_publish(txn);
    world_expect_all(&world, "a=1 c=3");
    world_put(&world, "d", "4");
    world_kill(&world);
    world_open(&world);
    world_expect_all(&world, "a=1 c=3 d=4");
    ck_assert_uint_eq(kv_store_seq(world.store), 2);
    world_check(&world);
}
END_TEST

/*
 * Goal: what was said to be durable is. Bytes of a prepared transaction that
 * was aborted were synced; what is written over them is not.
 * Method: a long prepared transaction, aborted, then short ones in their place
 * without syncs; ask what is durable, then cut the power.
 */
START_TEST(test_kv_aborted_bytes_do_not_count_as_durable)
{
    struct kv_settings off = world.options.settings;
    struct kv_txn *txn = world_begin(&world);
    uint64_t durable_seq;

    off.synchronous = KV_SYNC_OFF;
    for (int i = 0; i < 20; i++)
        txn_put(txn, "some key", "and some row, to have something to write over");
    ck_kv(kv_txn_prepare(txn));
    kv_txn_abort(txn);
    for (int i = 0; i < 3; i++) {
        ck_kv(kv_txn_begin(world.store, &off, &txn));
        txn_put(txn, "a", "1");
        ck_kv(kv_txn_commit(txn));
    }
    ck_kv(kv_sync(world.store, &durable_seq));
    ck_assert_uint_eq(durable_seq, 3);
    world_crash(&world, KV_MEMFS_DROP, 0);
    world_open(&world);
    world_expect_all(&world, "a=1");
    ck_assert_uint_eq(kv_store_seq(world.store), 3);
}
END_TEST

/* The same for the store's own bookkeeping: a torn tail behind such bytes is no damage. */
START_TEST(test_kv_torn_tail_over_aborted_bytes_is_no_damage)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct kv_settings off = world.options.settings;
        struct kv_txn *txn = world_begin(&world);

        off.synchronous = KV_SYNC_OFF;
        for (int i = 0; i < 100; i++)
            txn_put(txn, "some key", "and some row, to have something to write over");
        ck_kv(kv_txn_prepare(txn));
        kv_txn_abort(txn);
        for (int i = 0; i < 40; i++) {
            ck_kv(kv_txn_begin(world.store, &off, &txn));
            txn_put(txn, "a", "a row of some length, so that there are sectors to lose");
            ck_kv(kv_txn_commit(txn));
        }
        world_crash(&world, KV_MEMFS_RANDOM, seed);
        world_open(&world);
        world_check(&world);
    }
}
END_TEST

/* ---- Failed syncs */

/* Goal: in mode normal, a commit a second after the last sync makes everything up to it durable. */
START_TEST(test_kv_normal_syncs_after_a_second)
{
    world.options.settings.synchronous = KV_SYNC_NORMAL;
    world_reopen(&world);
    kv_memfs_advance(world.fs, 1100);
    world_put(&world, "a", "1"); /* synced itself: the last sync is as long ago */
    world_put(&world, "b", "2");
    kv_memfs_advance(world.fs, 1100);
    world_put(&world, "c", "3");
    world_put(&world, "d", "4"); /* within the second */
    world_crash(&world, KV_MEMFS_DROP, 0);
    world_open(&world);
    world_expect_all(&world, "a=1 b=2 c=3");
}
END_TEST

/*
 * Goal: a transaction whose sync failed is gone, everything else is there, and
 * the store writes on in another log without anybody reopening it.
 */
START_TEST(test_kv_failed_sync_fails_over)
{
    struct kv_txn *txn;
    uint64_t seq;

    world_put(&world, "a", "1");
    txn = world_begin(&world);
    txn_put(txn, "b", "2");
    kv_memfs_fail(world.fs, KV_MEMFS_DATASYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_txn_prepare(txn), KV_IOERR);
    ck_assert_int_eq(kv_io_cause(), KV_IO_SYNC); /* whatever failing over did in between */
    ck_assert_ptr_nonnull(strstr(kv_message(), "rolled back"));
    ck_assert_ptr_null(strstr(kv_message(), "unknown"));
    ck_kv_is(kv_txn_prepare(txn), KV_IOERR);
    ck_kv_is(kv_txn_put(txn, kv_slice_text("d"), kv_slice_text("4")), KV_IOERR);
    kv_txn_abort(txn);

    world_expect_all(&world, "a=1");
    ck_kv(kv_sync(world.store, &seq));
    ck_assert_uint_eq(seq, 1);
    world_put(&world, "c", "3");
    world_crash(&world, KV_MEMFS_DROP, 0);
    world_open(&world);
    world_expect_all(&world, "a=1 c=3");
    world_check(&world);
}
END_TEST

/*
 * Goal: when failing over fails too, the message says that the outcome is
 * unknown, nothing is written, and reading goes on; the next write that can, resolves it.
 */
START_TEST(test_kv_failed_failover_refuses_writes)
{
    struct kv_txn *txn;

    world_put(&world, "a", "1");
    txn = world_begin(&world);
    txn_put(txn, "b", "2");
    kv_memfs_fail(world.fs, KV_MEMFS_DATASYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    kv_memfs_fail(world.fs, KV_MEMFS_SYNC, 1, KV_IOERR, KV_MEMFS_STICKY);
    ck_kv_is(kv_txn_commit(txn), KV_IOERR);
    ck_assert_ptr_nonnull(strstr(kv_message(), "unknown"));
    ck_kv_is(kv_put(world.store, kv_slice_text("c"), kv_slice_text("3")), KV_IOERR);
    ck_kv_is(kv_compact(world.store, NULL, NULL), KV_IOERR);
    world_expect_all(&world, "a=1");

    kv_memfs_heal(world.fs);
    world_put(&world, "c", "3");
    world_expect_all(&world, "a=1 c=3");
    world_crash(&world, KV_MEMFS_DROP, 0);
    world_open(&world);
    world_expect_all(&world, "a=1 c=3");
    world_check(&world);
}
END_TEST

/*
 * Goal: kv_sync never says that something is durable whose sync has failed.
 * Method: fail the sync, then let an aborted commit sync the same file with success.
 */
START_TEST(test_kv_sync_stays_failed)
{
    struct kv_settings off = world.options.settings;
    struct kv_txn *txn;
    uint64_t seq;

    off.synchronous = KV_SYNC_OFF;
    ck_kv(kv_txn_begin(world.store, &off, &txn));
    txn_put(txn, "a", "1");
    ck_kv(kv_txn_commit(txn));
    ck_kv(kv_txn_begin(world.store, &off, &txn));
    txn_put(txn, "b", "2");
    ck_kv(kv_txn_prepare(txn));
    kv_memfs_fail(world.fs, KV_MEMFS_DATASYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_sync(world.store, &seq), KV_IOERR);
    ck_assert_uint_eq(seq, 0);
    ck_kv_is(kv_sync(world.store, &seq), KV_IOERR);
    ck_assert_uint_eq(world_stats(&world).durable_seq, 0);
    kv_txn_abort(txn); /* takes the commit back, by failover: in a log of its own all is durable */
    ck_kv(kv_sync(world.store, &seq));
    ck_assert_uint_eq(seq, 1);
    ck_assert_uint_eq(world_stats(&world).last_seq, 1);
    world_expect_all(&world, "a=1");
    world_reopen(&world);
    ck_kv(kv_sync(world.store, &seq));
    ck_assert_uint_eq(seq, kv_store_seq(world.store));
}
END_TEST

/*
 * Goal: starting write-back early is a hint; if it fails, nothing does. A
 * commit that failed behind its COMMIT would count after all.
 * Method: let the 4 MiB after which it is started end in the last write.
 */
START_TEST(test_kv_failed_write_back_is_no_failure)
{
    enum { FLUSHED = 3950000, BUFFERED = 250000 };
    struct kv_settings settings = world.options.settings;
    char *row = calloc(1, FLUSHED);
    struct kv_txn *txn;

    settings.segment_bytes = 64 * 1024 * 1024;
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    ck_kv(kv_txn_put(txn, kv_slice_text("a"), kv_slice_of(row, FLUSHED)));
    ck_kv(kv_txn_put(txn, kv_slice_text("b"), kv_slice_of(row, BUFFERED)));
    ck_assert_uint_eq(kv_memfs_calls(world.fs, KV_MEMFS_WRITE_BACK), 0);
    kv_memfs_fail(world.fs, KV_MEMFS_WRITE_BACK, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv(kv_txn_commit(txn));
    ck_assert_uint_eq(kv_memfs_fault_count(world.fs), 1);
    free(row);
    ck_assert_uint_eq(world_stats(&world).keys, 2);
    world_crash(&world, KV_MEMFS_DROP, 0);
    world_open(&world);
    ck_assert_uint_eq(world_stats(&world).keys, 2);
    world_check(&world);
}
END_TEST

START_TEST(test_kv_full_disk_leaves_transaction_usable)
{
    char row[20000];
    struct kv_txn *txn;
    int count = 0;

    memset(row, 'r', sizeof(row));
    world_put(&world, "a", "1");
    kv_memfs_set_space(world.fs, 600000);
    txn = world_begin(&world);
    txn_put(txn, "b", "2");
    for (enum kv_status st = KV_OK; st != KV_FULL; count++) {
        char key[16];

        snprintf(key, sizeof(key), "c%03d", count);
        st = kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, sizeof(row)));
        ck_assert(st == KV_OK || st == KV_FULL);
        ck_assert_int_lt(count, 100);
    }
    ck_assert_uint_eq(kv_txn_record_count(txn), (uint64_t)count);
    kv_txn_rollback_to(txn, (struct kv_savepoint){1});
    ck_kv(kv_txn_commit(txn));
    world_expect_all(&world, "a=1 b=2");
    world_kill(&world);
    kv_memfs_set_space(world.fs, UINT64_MAX);
    world_open(&world);
    world_expect_all(&world, "a=1 b=2");
    world_check(&world);
}
END_TEST

/* ---- A transaction that outgrows the rest of the log */

/*
 * Goal: moving to a new log changes nothing that the transaction, its
 * savepoints and its scans see.
 * Method: half fill a log, then write three times as much in one transaction,
 * with a scan open since before the move.
 */
START_TEST(test_kv_txn_moves_to_a_new_log)
{
    struct kv_savepoint savepoint;
    struct kv_range everything = {0};
    struct kv_snapshot *snapshot;
    struct kv_scan *scan;
    struct kv_txn *txn;
    char row[1000], *text;

    memset(row, 'r', sizeof(row));
    world_fill(&world, "old", 0, 40);
    world_put(&world, "a", "0");
    txn = world_begin(&world);
    txn_put(txn, "a", "1");
    txn_delete(txn, "old0039");
    savepoint = kv_txn_savepoint(txn);
    txn_put(txn, "b", "2");
    snapshot = world_snapshot(&world);
    ck_kv(kv_scan_open(snapshot, txn, &everything, &scan));
    for (int i = 0; i < 200; i++) {
        char key[16];

        snprintf(key, sizeof(key), "new%04d", i);
        ck_kv(kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, sizeof(row))));
    }
    ck_assert_uint_eq(world_stats(&world).runs, 1);
    text = scan_text(scan);
    ck_assert_msg(strncmp(text, "a=1 b=2 old0000=0 of old", 24) == 0, "%.40s", text);
    ck_assert_ptr_nonnull(strstr(text, "old0038"));
    ck_assert_ptr_null(strstr(text, "old0039"));
    ck_assert_ptr_null(strstr(text, "new"));
    free(text);
    kv_scan_close(scan);
    kv_snapshot_free(snapshot);
    txn_expect(txn, "b", "2");
    kv_txn_rollback_to(txn, savepoint);
    txn_expect(txn, "a", "1");
    txn_expect(txn, "b", NULL);
    txn_put(txn, "c", "3");
    ck_kv(kv_txn_commit(txn));
    world_kill(&world);
    world_open(&world);
    world_expect(&world, "a", "1");
    world_expect(&world, "b", NULL);
    world_expect(&world, "c", "3");
    world_expect(&world, "old0039", NULL);
    world_expect(&world, "new0000", NULL);
    world_check(&world);
}
END_TEST

/* A move that fails, at whichever call, leaves a transaction that can be committed or tried again. */
START_TEST(test_kv_failed_move_leaves_transaction_usable)
{
    enum { CALLS_OF_A_MOVE = 40 };
    char row[1000];

    memset(row, 'r', sizeof(row));
    for (uint64_t nth = 1; nth <= CALLS_OF_A_MOVE; nth++) {
        struct kv_txn *txn;
        char key[16], expected[16];

        world_fill(&world, "old", 0, 40);
        snprintf(expected, sizeof(expected), "%d", (int)nth);
        txn = world_begin(&world);
        txn_put(txn, "a", expected);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_ONCE);
        for (int i = 0; i < 45; i++) {
            enum kv_status st;

            snprintf(key, sizeof(key), "new%04d", i);
            st = kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, sizeof(row)));
            ck_assert(st == KV_OK || st == KV_IOERR);
        }
        kv_memfs_heal(world.fs);
        txn_expect(txn, "a", expected);
        if (kv_txn_commit(txn) != KV_OK) { /* a sync failed */
            world_reopen(&world);
            world_put(&world, "a", expected);
        }
        world_expect(&world, "a", expected);
        world_reopen(&world);
        world_expect(&world, "a", expected);
        world_check(&world);
        ck_kv(kv_compact(world.store, NULL, NULL));
    }
}
END_TEST

static Suite *kv_suite(void)
{
    Suite *suite = suite_create("kv");
    TCase *tests = tcase_create("verbs and transactions");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_kv_put_replaces_and_delete_removes);
    tcase_add_test(tests, test_kv_keys_and_rows_are_any_bytes);
    tcase_add_test(tests, test_kv_large_rows_come_back_whole);
    tcase_add_test(tests, test_kv_store_tells_what_it_is);
    tcase_add_test(tests, test_kv_keys_have_1_to_65535_bytes);
    tcase_add_test(tests, test_kv_rows_have_up_to_a_billion_bytes);
    tcase_add_test(tests, test_kv_record_limit_is_passed);
    tcase_add_loop_test(tests, test_kv_lower_record_limit_is_passed, 0, 2);
    tcase_add_test(tests, test_kv_txn_reads_its_own_writes);
    tcase_add_test(tests, test_kv_abort_forgets);
    tcase_add_test(tests, test_kv_commit_without_writes_is_nothing);
    tcase_add_test(tests, test_kv_savepoints_nest);
    tcase_add_test(tests, test_kv_rollback_below_what_was_written);
    tcase_add_test(tests, test_kv_prepared_is_not_visible_until_published);
    tcase_add_test(tests, test_kv_prepared_can_be_aborted);
    tcase_add_test(tests, test_kv_prepared_can_be_written_on);
    tcase_add_test(tests, test_kv_aborted_bytes_do_not_count_as_durable);
    tcase_add_test(tests, test_kv_torn_tail_over_aborted_bytes_is_no_damage);
    tcase_add_test(tests, test_kv_normal_syncs_after_a_second);
    tcase_add_test(tests, test_kv_failed_sync_fails_over);
    tcase_add_test(tests, test_kv_failed_failover_refuses_writes);
    tcase_add_test(tests, test_kv_sync_stays_failed);
    tcase_add_test(tests, test_kv_failed_write_back_is_no_failure);
    tcase_add_test(tests, test_kv_full_disk_leaves_transaction_usable);
    tcase_add_test(tests, test_kv_txn_moves_to_a_new_log);
    tcase_add_test(tests, test_kv_failed_move_leaves_transaction_usable);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(kv_suite());
}
