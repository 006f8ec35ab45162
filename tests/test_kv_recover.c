/* Recovery through kv.h: which of the bytes that a crash left count, and which never do. */
#include <stdio.h>

#include "names.h"
#include "runner.h"
#include "world.h"

enum { ROW_BYTES = 1500 }; /* several sectors */

static struct world world;

static void setup(void)
{
    world_init(&world);
    world.options.settings.synchronous = KV_SYNC_OFF;
    world_open(&world);
}

static void teardown(void)
{
    world_end(&world);
}

/* ---- Crashes that lose one sector, or a pair of them */

struct losses {
    unsigned at, count, width;
};

static unsigned lose(void *context, enum kv_memfs_choice choice, unsigned count)
{
    struct losses *losses = context;

    (void)count;
    if (choice != KV_MEMFS_CHOOSE_SECTOR)
        return 1;
    losses->count++;
    return losses->count <= losses->at || losses->count > losses->at + losses->width;
}

/* Everything reaches the disk but for sectors at … at+width-1 of what is unsynced. False: there are fewer. */
static bool crash_without(unsigned at, unsigned width)
{
    struct losses losses = {.at = at, .width = width};

    kv_memfs_crash_with(world.fs, lose, &losses);
    world_kill(&world);
    return losses.count > at;
}

static void put_row(const char *key, char fill)
{
    char row[ROW_BYTES];

    memset(row, fill, sizeof(row));
    ck_kv(kv_put(world.store, kv_slice_text(key), kv_slice_of(row, sizeof(row))));
}

/* "a" has a row of `fill`, or is absent if `fill` is 0. */
static bool has_row(const char *key, char fill)
{
    void *row;
    size_t size;
    enum kv_status st = kv_get(world.store, kv_slice_text(key), &row, &size);
    bool ok = fill ? st == KV_OK && size == ROW_BYTES && *(char *)row == fill : st == KV_DONE;

    free(row);
    return ok;
}

/*
 * Goal: a whole transaction left behind another one in its place never counts,
 * not even if that one is the same to the byte in all but its COMMIT.
 * Method: behind a clean end, write two transactions and lose any one or two
 * sectors of them. Where that leaves the clean end, write the first one again,
 * with the same row or another; the second lies right behind it.
 */
START_TEST(test_kv_recover_leftover_transactions_never_count)
{
    unsigned clean = 0, at = 0;
    bool more;

    do {
        uint64_t seq;

        teardown();
        setup();
        world_put(&world, "base", "1");
        world_reopen(&world);
        put_row("a", 'x');
        world_put(&world, "b", "2");
        more = crash_without(at / 2, 1 + at % 2);
        world_open(&world);
        seq = kv_store_seq(world.store);
        clean += seq == 1;
        world_expect(&world, "base", "1");
        ck_assert(has_row("a", seq > 1 ? 'x' : 0));
        world_expect(&world, "b", seq > 2 ? "2" : NULL);

        put_row("a", _i ? 'x' : 'y');
        world_kill(&world);
        world_open(&world);
        ck_assert_uint_eq(kv_store_seq(world.store), seq + 1);
        ck_assert(has_row("a", _i ? 'x' : 'y'));
        world_expect(&world, "b", seq > 2 ? "2" : NULL);
        world_check(&world);
        at++;
    } while (more);
    ck_assert_uint_gt(clean, 0);
}
END_TEST

/* The same behind a transaction that was prepared, with its COMMIT on disk, and aborted. */
START_TEST(test_kv_recover_after_aborted_commits)
{
    unsigned at = 0;
    bool more;

    do {
        struct kv_txn *txn;
        uint64_t seq;

        teardown();
        setup();
        world_put(&world, "base", "1");
        txn = world_begin(&world);
        txn_put(txn, "gone", "1");
        txn_put(txn, "gone too", "1");
        ck_kv(kv_txn_prepare(txn));
        kv_memfs_settle(world.fs);
        kv_txn_abort(txn);
        put_row("a", 'x');
        world_put(&world, "b", "2");
        more = crash_without(at++, 1);
        world_open(&world);
        seq = kv_store_seq(world.store);
        ck_assert_uint_ge(seq, 1);
        world_expect(&world, "gone", NULL);
        world_expect(&world, "gone too", NULL);
        ck_assert(has_row("a", seq > 1 ? 'x' : 0));
        world_expect(&world, "b", seq > 2 ? "2" : NULL);
        world_check(&world);
    } while (more);
    ck_assert_uint_gt(at, 4);
}
END_TEST

/* ---- Recovering twice */

/*
 * Goal: recovery destroys nothing before its result is durable.
 * Method: stop it at each of its calls, in each of three ways, and let the
 * next one finish.
 */
START_TEST(test_kv_recover_can_be_interrupted)
{
    uint64_t faults = 1;

    for (uint64_t nth = 1; faults; nth++) {
        uint64_t digest;

        teardown();
        setup();
        world_fill(&world, "k", 0, 100); /* a run, and a log */
        ck_kv(kv_sync(world.store, NULL));
        digest = world_digest(&world);
        world_crash(&world, KV_MEMFS_DROP, 0);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_FREEZE);
        if (kv_store_open(WORLD_PATH, &world.options, &world.store) == KV_OK)
            world_kill(&world);
        faults = kv_memfs_fault_count(world.fs);
        if (_i == 0)
            kv_memfs_kill(world.fs);
        else
            kv_memfs_crash(world.fs, _i == 1 ? KV_MEMFS_DROP : KV_MEMFS_RANDOM, nth);
        world_open(&world);
        ck_assert_uint_eq(world_digest(&world), digest);
        world_check(&world);
    }
}
END_TEST

START_TEST(test_kv_recover_again_changes_nothing)
{
    uint64_t files, digest;

    world_fill(&world, "k", 0, 100);
    world_kill(&world);
    world_open(&world);
    digest = world_digest(&world);
    world_reopen(&world);
    world_close(&world);
    files = world_files_digest(&world);
    world_open(&world);
    ck_assert_uint_eq(world_digest(&world), digest);
    world_close(&world);
    ck_assert_uint_eq(world_files_digest(&world), files);
    world_open(&world);
}
END_TEST

/*
 * Goal: a log whose durable part is large is sealed there, and only the rest is copied.
 * Method: more than 1 MiB, synced, and some behind it that is not. The process
 * dies, the power is cut, or a sync fails while the store goes on.
 */
START_TEST(test_kv_recover_seals_a_large_durable_part)
{
    struct kv_settings *settings = &world.options.settings;
    uint64_t seq, digest, durable;

    world_close(&world);
    settings->segment_bytes = 64 * 1024 * 1024;
    settings->synchronous = KV_SYNC_OFF;
    world_open(&world);
    world_fill(&world, "k", 0, 1200);
    ck_kv(kv_sync(world.store, &durable));
    world_fill(&world, "k", 1190, 30); /* COMMITs that say what was durable */
    digest = world_digest(&world);
    seq = kv_store_seq(world.store);
    if (_i == 0) {
        world_kill(&world);
        world_open(&world);
    } else if (_i == 1) {
        world_crash(&world, KV_MEMFS_DROP, 0);
        world_open(&world);
        ck_assert_uint_ge(kv_store_seq(world.store), durable);
        ck_assert_uint_eq(world_stats(&world).keys, 1200);
    } else {
        kv_memfs_fail(world.fs, KV_MEMFS_DATASYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
        ck_kv_is(kv_sync(world.store, NULL), KV_IOERR);
        world_put(&world, "one", "more");
        world_delete(&world, "one");
        seq += 2;
    }
    if (_i != 1) {
        ck_assert_uint_eq(kv_store_seq(world.store), seq);
        ck_assert_uint_eq(world_digest(&world), digest);
        ck_assert_uint_lt(world_stats(&world).data_bytes, 1400000); /* not all of it was copied */
    }
    ck_assert_uint_eq(world_stats(&world).runs, _i != 1 || durable < kv_store_seq(world.store));
    world_check(&world);
    digest = world_digest(&world);
    world_crash(&world, KV_MEMFS_DROP, 0);
    world_open(&world);
    ck_assert_uint_eq(world_digest(&world), digest);
    world_check(&world);
    ck_kv(kv_compact(world.store, NULL, NULL));
    ck_assert_uint_eq(world_digest(&world), digest);
}
END_TEST

/* Files that look like the store's, and belong to nothing, go; all others stay. */
START_TEST(test_kv_recover_removes_leftovers)
{
    static const char *const leftovers[] = {"segment_000000000050.db", "segment_000000000050.idx",
                                            "segment_000000000001.idx", KV_NAME_MANIFEST_TEMPORARY};
    static const char *const others[] = {"segment_50.db", "notes.txt", "MANIFEST.old"};
    char path[128];

    world_put(&world, "a", "1");
    world_close(&world);
    for (unsigned i = 0; i < 7; i++) {
        snprintf(path, sizeof(path), WORLD_PATH "/%s", i < 4 ? leftovers[i] : others[i - 4]);
        ck_assert(kv_memfs_write_file(world.fs, path, kv_slice_text("something")));
    }
    world_open(&world);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_msg(!world_has_file(&world, leftovers[i]), "%s is still there", leftovers[i]);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_msg(world_has_file(&world, others[i]), "%s is gone", others[i]);
    /* The number of what was there is not used again. */
    world_seal(&world);
    ck_assert(!world_has_file(&world, "segment_000000000050.db"));
    ck_assert(world_has_file(&world, "segment_000000000051.db"));
    world_expect(&world, "a", "1");
}
END_TEST

static Suite *kv_recover_suite(void)
{
    Suite *suite = suite_create("kv_recover");
    TCase *tests = tcase_create("after crashes");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, test_kv_recover_leftover_transactions_never_count, 0, 2);
    tcase_add_test(tests, test_kv_recover_after_aborted_commits);
    tcase_add_loop_test(tests, test_kv_recover_can_be_interrupted, 0, 3);
    tcase_add_test(tests, test_kv_recover_again_changes_nothing);
    tcase_add_loop_test(tests, test_kv_recover_seals_a_large_durable_part, 0, 3);
    tcase_add_test(tests, test_kv_recover_removes_leftovers);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(kv_recover_suite());
}
