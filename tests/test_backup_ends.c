/*
 * What failing calls, killed processes and power cuts leave of a backup that is
 * being made, and of one that is written to for the first time.
 */
#include <stdio.h>
#include <stdlib.h>

#include "backup_world.h"
#include "runner.h"

/* ---- Whatever goes wrong */

enum { WITH_EARLIER = 1, WITHOUT_LINKS = 2, UNFINISHED = 4, READONLY = 8 };

static const int cases[] = {0,
                            WITH_EARLIER,
                            WITHOUT_LINKS,
                            WITHOUT_LINKS | WITH_EARLIER,
                            UNFINISHED,
                            UNFINISHED | WITH_EARLIER,
                            READONLY,
                            READONLY | WITH_EARLIER};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void begin_again(int which)
{
    world_end(&world);
    world_start(&world);
    fill();
    if (which & WITH_EARLIER)
        backup();
    if (which & WITH_EARLIER && which & READONLY) { /* its log goes on just where the backup ends */
        world_put(&world, "e", "1");
        world_put(&world, "f", "1");
    } else if (which & WITH_EARLIER) {
        change();
    }
    if (which & READONLY) {
        world_close(&world);
        world.options.readonly = true;
        world_open(&world);
    }
    if (which & UNFINISHED) { /* killed when most segments were there */
        kv_memfs_fail(world.fs, KV_MEMFS_NAME_IDENTITY, 8, KV_IOERR, KV_MEMFS_FREEZE);
        (void)!try_backup(NULL);
        world_kill(&world);
        world_open(&world);
    }
    if (which & WITHOUT_LINKS)
        refuse_links();
}

/* What the store holds then. */
static const char *content_of(int which)
{
    return which & WITH_EARLIER ? changed : filled;
}

/* How many calls a backup makes. */
static uint64_t count_calls(int which)
{
    uint64_t before;

    begin_again(which);
    before = kv_memfs_calls(world.fs, KV_MEMFS_ANY);
    backup();
    return kv_memfs_calls(world.fs, KV_MEMFS_ANY) - before;
}

/* Fail unless the backup opens as the earlier or the new one; without an earlier one it need not be there. */
static void expect_either(int which)
{
    struct world copy = world;
    struct kv_snapshot *snapshot;
    enum kv_status st;
    char *text;

    copy.is_guest = true;
    copy.store = NULL;
    copy.options.readonly = false;
    copy.options.mode = KV_OPEN_EXISTING;
    st = kv_store_open(BACKUP_PATH, &copy.options, &copy.store);
    if (st == KV_NOTFOUND && !(which & WITH_EARLIER))
        return;
    ck_kv(st);
    snapshot = world_snapshot(&copy);
    text = snapshot_text(snapshot, NULL, NULL);
    ck_assert_msg(strcmp(text, content_of(which)) == 0 ||
                      (which & WITH_EARLIER && strcmp(text, filled) == 0),
                  "%s", text);
    free(text);
    kv_snapshot_free(snapshot);
    ck_kv(kv_store_check(copy.store, NULL, fail_on_problem, "the backup"));
    world_end(&copy);
}

/* Whatever has happened, the next backup is as good as any. */
static void expect_next(int which)
{
    char expected[64];

    world_expect_all(&world, content_of(which));
    if (which & READONLY) {
        backup();
        expect_backup(content_of(which));
        world_close(&world);
        world.options.readonly = false;
        world_open(&world);
    }
    world_put(&world, "z", "1");
    backup();
    snprintf(expected, sizeof(expected), "%s z=1", content_of(which));
    expect_backup(expected);
    world_check(&world);
}

/* Goal: a failing call costs nothing but the backup, and nothing is left behind. */
START_TEST(test_backup_fails_at_every_call)
{
    int which = cases[_i];
    uint64_t calls = count_calls(which);

    for (uint64_t nth = 1; nth <= calls; nth++) {
        enum kv_status fault = nth % 2 ? KV_IOERR : KV_FULL, st;
        char *before, *after;

        begin_again(which);
        before = contents(BACKUP_PATH);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, fault, KV_MEMFS_ONCE);
        st = try_backup(NULL);
        kv_memfs_heal(world.fs);
        ck_assert_msg(st == KV_OK || st == fault, "call %u: %s", (unsigned)nth, kv_message());
        after = contents(BACKUP_PATH);
        if (st != KV_OK && strcmp(before, after) != 0 &&
            !(which & UNFINISHED)) /* it failed behind the rename */
            ck_assert_msg(strstr(kv_message(), "in place") != NULL, "call %u: %s", (unsigned)nth,
                          kv_message());
        free(before);
        free(after);
        expect_either(which);
        expect_next(which);
    }
    ck_assert_uint_gt(calls, 40);
}
END_TEST

/* How many calls a backup makes whose manifest cannot be put in place. */
static uint64_t fail_backup(int which, uint64_t frozen_from)
{
    uint64_t before;

    begin_again(which);
    kv_memfs_settle(world.fs);
    before = kv_memfs_calls(world.fs, KV_MEMFS_ANY);
    kv_memfs_fail(world.fs, KV_MEMFS_RENAME, 1, KV_IOERR, KV_MEMFS_ONCE);
    kv_memfs_fail(world.fs, KV_MEMFS_ANY, frozen_from, KV_IOERR, KV_MEMFS_STICKY);
    ck_kv_is(try_backup(NULL), KV_IOERR);
    return kv_memfs_calls(world.fs, KV_MEMFS_ANY) - before;
}

/*
 * Goal: what is left of a backup that came to nothing is never taken for somebody else's.
 * Method: the power is cut at each of the calls that undo it, and only the last one reaches the disk.
 */
START_TEST(test_backup_is_undone_in_order)
{
    int which = cases[2 * _i];
    uint64_t calls = fail_backup(which, UINT64_MAX);

    for (uint64_t nth = calls - calls / 3; nth <= calls + 1; nth++) {
        fail_backup(which, nth);
        world_crash(&world, KV_MEMFS_LAST, 0);
        world_open(&world);
        expect_either(which);
        expect_next(which);
    }
}
END_TEST

enum { KILLED, CUT_DROP, CUT_RANDOM, ENDINGS };

/* Goal: killed at any call, or with the power cut there, the earlier backup still opens. */
START_TEST(test_backup_ends_at_every_call)
{
    int which = cases[_i % CASES], ending = _i / CASES;
    uint64_t calls = count_calls(which);

    for (uint64_t nth = 1; nth <= calls + 1; nth++) {
        begin_again(which);
        kv_memfs_settle(world.fs);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
        (void)!try_backup(NULL);
        if (ending == KILLED)
            world_kill(&world);
        else
            world_crash(&world, ending == CUT_DROP ? KV_MEMFS_DROP : KV_MEMFS_RANDOM,
                        nth * ENDINGS + (uint64_t)_i);
        world_open(&world);
        if (nth % 2) /* else the next backup is the first to see what was left */
            expect_either(which);
        expect_next(which);
    }
}
END_TEST

/* No links, and then the disk is full. */
static enum kv_status fill_disk(void *context, enum kv_memfs_call call, unsigned *flags)
{
    bool *copies = context;

    (void)flags;
    *copies |= call == KV_MEMFS_LINK;
    if (call == KV_MEMFS_LINK)
        return kv_fail(KV_INVALID, "injected");
    return *copies && call == KV_MEMFS_WRITE ? kv_fail(KV_FULL, "injected") : KV_OK;
}

/* Goal: as above, of a copy that could not be finished, and was removed at once. */
START_TEST(test_backup_is_undone_behind_a_copy)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        bool copies = false;

        begin_again(0);
        ck_kv(kv_io_dir_create(world.io, BACKUP_PATH, 0700));
        kv_memfs_settle(world.fs);
        kv_memfs_set_judge(world.fs, fill_disk, &copies);
        ck_kv_is(try_backup(NULL), KV_FULL);
        ck_assert(copies);
        kv_memfs_heal(world.fs);
        world_crash(&world, KV_MEMFS_RANDOM, seed);
        world_open(&world);
        expect_next(0);
    }
}
END_TEST

/*
 * Goal: if nobody knows whether a backup replaces the one before, the files of both stay, whatever attempts
 * follow, until one has succeeded.
 * Method: each sync of a directory fails in turn; the next attempt ends early; the power leaves nothing
 * but what was removed.
 */
START_TEST(test_backup_that_may_be_taken_back)
{
    bool failed = true;

    for (uint64_t nth = 1; failed; nth++) {
        struct kv_txn *txn;

        begin_again(WITH_EARLIER);
        kv_memfs_settle(world.fs);
        kv_memfs_fail(world.fs, KV_MEMFS_DIR_SYNC, nth, KV_IOERR, KV_MEMFS_ONCE);
        (void)!try_backup(NULL);
        failed = kv_memfs_fault_count(world.fs) > 0;
        kv_memfs_heal(world.fs);
        txn = world_begin(&world);
        ck_kv_is(try_backup(NULL), KV_BUSY);
        kv_txn_abort(txn);
        if (_i) /* or it succeeds, with its files, and is taken back by nothing */
            ck_kv(try_backup(NULL));
        world_crash(&world, KV_MEMFS_REMOVE, 0);
        world_open(&world);
        expect_either(WITH_EARLIER);
        expect_next(WITH_EARLIER);
    }
}
END_TEST

/* ---- The first write to a backup */

/* Write to the backup in `copy`, or try to. */
static enum kv_status write_to(struct world *copy)
{
    return kv_put(copy->store, kv_slice_text("x"), kv_slice_text("1"));
}

/* Goal: whoever wrote to a backup has changed its lineage, whatever happened in between. */
START_TEST(test_backup_first_write_ends_at_every_call)
{
    uint64_t nth = 1, calls = UINT64_MAX, kept = 0;

    for (; nth <= calls; nth++) {
        struct world copy;
        enum kv_status st;
        bool written;

        begin_again(0);
        backup();
        kv_memfs_settle(world.fs);
        open_copy(&copy, BACKUP_PATH, false);
        calls = kv_memfs_calls(world.fs, KV_MEMFS_ANY);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR,
                      _i == 0 ? KV_MEMFS_ONCE : KV_MEMFS_STICKY);
        st = write_to(&copy);
        calls = st == KV_OK ? kv_memfs_calls(world.fs, KV_MEMFS_ANY) - calls : UINT64_MAX;
        kv_memfs_heal(world.fs);
        if (_i == 0) {
            world_end(&copy);
        } else {
            if (_i == 1)
                kv_memfs_kill(world.fs);
            else
                kv_memfs_crash(world.fs, _i == 2 ? KV_MEMFS_DROP : KV_MEMFS_RANDOM, nth);
            (void)!kv_store_close(copy.store);
            (void)!kv_store_close(world.store);
            world.store = NULL;
            world_open(&world);
        }
        open_copy(&copy, BACKUP_PATH, false);
        written = kv_store_seq(copy.store) > kv_store_seq(world.store);
        ck_assert(written || st != KV_OK);
        world_expect(&copy, "x", written ? "1" : NULL);
        world_expect(&copy, "d", "1");
        world_end(&copy);
        st = try_backup(NULL);
        ck_assert_msg(st == KV_MISMATCH || (st == KV_OK && !written), "%s", kv_message());
        kept += st == KV_OK;
    }
    ck_assert_uint_gt(kept, 5);
    ck_assert_uint_gt(nth, kept + 5);
}
END_TEST

static Suite *backup_ends_suite(void)
{
    Suite *suite = suite_create("backup ends");
    TCase *tests = tcase_create("backup ends");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, test_backup_fails_at_every_call, 0, CASES);
    tcase_add_loop_test(tests, test_backup_is_undone_in_order, 0, CASES / 2);
    tcase_add_test(tests, test_backup_is_undone_behind_a_copy);
    tcase_add_loop_test(tests, test_backup_that_may_be_taken_back, 0, 2);
    tcase_add_loop_test(tests, test_backup_ends_at_every_call, 0, ENDINGS * CASES);
    tcase_add_loop_test(tests, test_backup_first_write_ends_at_every_call, 0, 4);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(backup_ends_suite());
}
