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

/* ---- What was deleted */

enum { FILES_MAX = 32 };

struct saved {
    char name[KV_NAME_BYTES];
    struct kv_buffer bytes;
};

static size_t save_runs(struct saved saved[FILES_MAX])
{
    const struct kv_manifest *manifest = &engine_of(&world)->manifest;
    size_t count = 0;

    for (size_t r = 0; r < manifest->run_count; r++) {
        for (size_t s = 0; s < manifest->runs[r].segment_count; s++, count++) {
            ck_assert_uint_lt(count, FILES_MAX);
            kv_name_segment(saved[count].name, manifest->runs[r].segments[s].number);
            saved[count].bytes = file_save(&world, saved[count].name);
        }
    }
    return count;
}

/*
 * Another transaction of many overwrites all rows, and deletes an older one. Then they are deleted, and merged
 * away, but what the merge has read is still there.
 */
static void make_leftovers(void)
{
    struct saved saved[FILES_MAX];
    struct kv_txn *txn;
    size_t count;

    kv_txn_publish(large);
    world_put(&world, "old", "1");
    engine_seal(&world);
    txn = world_begin(&world);
    put_rows(txn, MANY, 'c');
    txn_delete(txn, "old");
    ck_kv(kv_txn_commit(txn));
    txn = world_begin(&world);
    for (unsigned i = 0; i < MANY; i++) {
        char key[16];

        snprintf(key, sizeof(key), "%05u", i);
        ck_kv_fast(kv_txn_delete(txn, kv_slice_text(key)));
    }
    ck_kv(kv_txn_commit(txn));
    engine_seal(&world);
    count = save_runs(saved);
    ck_assert_uint_gt(count, 12);
    ck_kv(kv_compact(world.store, NULL, NULL));
    ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 0);
    world_close(&world);
    for (size_t i = 0; i < count; i++) {
        file_restore(&world, saved[i].name, &saved[i].bytes);
        kv_buffer_release(&saved[i].bytes);
    }
    kv_memfs_settle(world.fs);
}

/*
 * Goal: a group goes before what deletes its rows, and behind what holds the row that it deletes,
 * though its header does not say how old it is.
 * Method: stop the opening that removes the leftovers at each of its calls; lose the power; repair without a manifest.
 */
START_TEST(test_repair_large_of_what_was_deleted)
{
    for (uint64_t nth = 1;; nth++) {
        bool stopped;

        make_leftovers();
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
        (void)!kv_store_open(WORLD_PATH, &world.options, &world.store);
        stopped = kv_memfs_fault_count(world.fs) > 0;
        kv_memfs_heal(world.fs);
        world_crash(&world, _i == 0 ? KV_MEMFS_REMOVE : KV_MEMFS_RANDOM, nth * (unsigned)_i);
        ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
        repair();
        world_open(&world);
        world_expect_all(&world, "");
        world_check(&world);
        world_close(&world);
        if (!stopped)
            break;
        teardown();
        setup();
    }
}
END_TEST

/*
 * Goal: a part of a group whose COMMIT a failover has copied does not count beside what a merge has made of the
 * group, though the COMMIT, and with it each part, has been given other LSNs since.
 * Method: overwrite all rows in the same transaction; put its first part back behind the merge.
 */
START_TEST(test_repair_large_of_a_group_that_failed_over)
{
    char name[KV_NAME_BYTES];
    struct kv_buffer first;

    kv_txn_abort(large);
    large = world_begin(&world);
    put_rows(large, MANY, 'x');
    put_rows(large, MANY, 'b');
    ck_kv(kv_txn_prepare(large));
    kv_name_segment(name, engine_of(&world)->manifest.groups[0].segments[0].number);
    kv_memfs_fail(world.fs, KV_MEMFS_DATASYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    kv_txn_publish(large); /* its seal fails, which leaves doubt */
    ck_assert_uint_eq(kv_memfs_fault_count(world.fs), 1);
    kv_txn_abort(world_begin(&world)); /* resolves it, and seals */
    ck_assert_uint_eq(engine_of(&world)->manifest.group_count, 0);
    first = file_save(&world, name);
    ck_kv(kv_compact(world.store, NULL, NULL));
    world_close(&world);
    file_restore(&world, name, &first);
    kv_buffer_release(&first);
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
    tcase_add_loop_test(tests, test_repair_large_of_what_was_deleted, 0, 3);
    tcase_add_test(tests, test_repair_large_of_a_group_that_failed_over);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
