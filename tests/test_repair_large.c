/*
 * kv_repair and transactions that no log could hold: their pending segments
 * count if a COMMIT names their group, whether a log's seal has settled it or not.
 */
#include <stdio.h>

#include "engine_world.h"
#include "names.h"
#include "record.h"
#include "runner.h"

enum { ROW_BYTES = 3000, FEW = 30, MANY = 150 };

static struct world world;
static struct kv_txn *large;   /* prepared */
static uint64_t first_pending; /* number of the transaction's first segment */

static void put_rows(struct kv_txn *txn, unsigned count, char writer)
{
    static uint8_t row[ROW_BYTES];
    char key[16];

    memset(row, writer, sizeof(row));
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "%05u", i);
        ck_kv_fast(kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, sizeof(row))));
    }
}

/* A few rows by 'a', overwritten in a transaction of many by 'b'. */
static void setup(void)
{
    struct kv_txn *txn;

    world_init(&world);
    world.options.foreground = true;
    world_open(&world);
    txn = world_begin(&world);
    put_rows(txn, FEW, 'a');
    ck_kv(kv_txn_commit(txn));
    large = world_begin(&world);
    put_rows(large, MANY, 'b');
    ck_kv(kv_txn_prepare(large));
    ck_assert_uint_eq(engine_of(&world)->manifest.group_count, 1);
    first_pending = engine_of(&world)->manifest.groups[0].segments[0].number;
}

static void teardown(void)
{
    world_end(&world);
}

/* Leave the group as a crash behind its COMMIT does, or settled and closed. */
static void leave(bool settled)
{
    if (settled) {
        kv_txn_publish(large);
        world_close(&world);
        return;
    }
    kv_memfs_kill(world.fs);
    kv_txn_abort(large); /* frees it: nothing else reaches the files any more */
    world_kill(&world);
}

static enum kv_status ignore_step(void *context, const struct kv_repair_step *step)
{
    (void)step;
    ++*(unsigned *)context;
    return KV_OK;
}

static unsigned repair(void)
{
    unsigned steps = 0;

    ck_kv(kv_repair(WORLD_PATH, world.io, NULL, ignore_step, &steps));
    return steps;
}

/* Rows by 'b', of which `lost` are missing; none by 'a'. */
static void expect_rows(unsigned lost)
{
    struct kv_snapshot *snapshot;
    unsigned seen = 0;

    world_open(&world);
    snapshot = world_snapshot(&world);
    for (unsigned i = 0; i < MANY; i++) {
        struct kv_entry entry;
        char key[16];
        enum kv_status st;

        snprintf(key, sizeof(key), "%05u", i);
        st = kv_snapshot_get(snapshot, NULL, kv_slice_text(key), &entry);
        ck_assert_msg(st == KV_OK || st == KV_DONE, "%s", kv_message());
        ck_assert_msg(st == KV_DONE || entry.row.data[7] == 'b', "row %u is an old one", i);
        seen += st == KV_OK;
    }
    kv_snapshot_free(snapshot);
    ck_assert_uint_eq(seen, MANY - lost);
    world_check(&world);
    world_close(&world);
    ck_assert_uint_eq(repair(), 0);
}

START_TEST(test_repair_large_leaves_a_sound_group_alone)
{
    leave(_i);
    ck_assert_uint_eq(repair(), 0);
    expect_rows(0);
}
END_TEST

START_TEST(test_repair_large_loses_one_damaged_row)
{
    leave(_i);
    ck_assert(kv_memfs_flip_bit(world.fs, segment_path(first_pending), KV_HEADER_BYTES + 2000, 1));
    ck_assert_uint_gt(repair(), 0);
    expect_rows(1);
}
END_TEST

START_TEST(test_repair_large_reads_behind_a_damaged_header)
{
    leave(_i);
    ck_assert(kv_memfs_flip_bit(world.fs, segment_path(first_pending), 50, 1));
    ck_assert_uint_gt(repair(), 0);
    expect_rows(0);
}
END_TEST

START_TEST(test_repair_large_counts_without_a_manifest)
{
    leave(_i);
    ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    ck_assert_uint_gt(repair(), 0);
    expect_rows(0);
}
END_TEST

/* The same if the power is cut: the log that named the group goes when the group is settled. */
START_TEST(test_repair_large_counts_after_a_power_cut)
{
    kv_txn_publish(large);
    world_crash(&world, _i == 0 ? KV_MEMFS_DROP : KV_MEMFS_REMOVE, 1);
    ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    ck_assert_uint_gt(repair(), 0);
    expect_rows(0);
}
END_TEST

/* Segments of a transaction that did not get to its COMMIT do not count, with a manifest or without. */
START_TEST(test_repair_large_forgets_what_was_not_committed)
{
    struct kv_txn *txn;

    kv_txn_publish(large);
    txn = world_begin(&world);
    put_rows(txn, MANY, 'c');
    kv_memfs_kill(world.fs);
    kv_txn_abort(txn);
    world_kill(&world);
    if (_i)
        ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    repair();
    expect_rows(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("repair_large");
    TCase *tests = tcase_create("repair_large");

    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, test_repair_large_leaves_a_sound_group_alone, 0, 2);
    tcase_add_loop_test(tests, test_repair_large_loses_one_damaged_row, 0, 2);
    tcase_add_loop_test(tests, test_repair_large_reads_behind_a_damaged_header, 0, 2);
    tcase_add_loop_test(tests, test_repair_large_counts_without_a_manifest, 0, 2);
    tcase_add_loop_test(tests, test_repair_large_counts_after_a_power_cut, 0, 2);
    tcase_add_loop_test(tests, test_repair_large_forgets_what_was_not_committed, 0, 2);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
