/*
 * Transactions that no log can hold: they spill to pending segments, and are
 * one transaction all the same.
 *
 * Segments are 64 KiB here, so a transaction overflows at 256 KiB; rows are some KiB.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine_world.h"
#include "model.h"
#include "names.h"
#include "record.h"
#include "runner.h"
#include "txn.h"

enum { ROW_BYTES = 3000, LARGE = 400 }; /* rows of a transaction of about 19 segments */

static struct world world, other;

static void setup(void)
{
    world_init(&world);
    world_join(&other, &world);
    world_open(&world);
}

static void teardown(void)
{
    world_end(&other);
    world_end(&world);
}

/* ---- Rows "00000", "00001", …, each telling who wrote it */

static enum kv_status try_put(struct kv_txn *txn, unsigned number, char writer)
{
    static uint8_t row[ROW_BYTES];
    char key[16];

    snprintf(key, sizeof(key), "%05u", number);
    memset(row, writer, sizeof(row));
    return kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, sizeof(row)));
}

static void put_rows(struct kv_txn *txn, unsigned from, unsigned to, char writer)
{
    for (unsigned i = from; i < to; i++)
        ck_kv_fast(try_put(txn, i, writer));
}

/* Fail unless a scan shows rows 0 … count-1 by `writer` and nothing else; both ways. */
static void expect_rows_of(struct kv_snapshot *snapshot, struct kv_txn *txn, unsigned count,
                           char writer)
{
    for (int descending = 0; descending < 2; descending++) {
        struct kv_range range = {.descending = descending};
        struct kv_entry entry;
        struct kv_scan *scan;
        unsigned seen = 0;
        enum kv_status st;

        ck_kv(kv_scan_open(snapshot, txn, &range, &scan));
        while ((st = kv_scan_next(scan, &entry)) == KV_OK) {
            char key[16];

            snprintf(key, sizeof(key), "%05u", descending ? count - 1 - seen : seen);
            if (!kv_slice_equal(entry.key, kv_slice_text(key)) || entry.row.size != ROW_BYTES ||
                entry.row.data[7] != writer)
                ck_abort_msg("row %u is not as expected", seen);
            seen++;
        }
        ck_kv_is(st, KV_DONE);
        kv_scan_close(scan);
        ck_assert_uint_eq(seen, count);
    }
}

static void expect_rows(struct world *at, unsigned count, char writer)
{
    struct kv_snapshot *snapshot = world_snapshot(at);

    expect_rows_of(snapshot, NULL, count, writer);
    kv_snapshot_free(snapshot);
}

static void expect_own_rows(struct kv_txn *txn, unsigned count, char writer)
{
    struct kv_snapshot *snapshot = world_snapshot(&world);

    expect_rows_of(snapshot, txn, count, writer);
    kv_snapshot_free(snapshot);
}

static bool has_own(struct kv_txn *txn, unsigned number, char writer)
{
    struct kv_entry entry;
    char key[16];
    enum kv_status st;

    snprintf(key, sizeof(key), "%05u", number);
    st = kv_txn_get(txn, kv_slice_text(key), &entry);
    if (st != KV_OK && st != KV_DONE)
        ck_abort_msg("%s", kv_message());
    return st == KV_OK && entry.row.data[7] == writer;
}

/* The process is dead: what its handles say no longer matters. */
static void bury(struct world *dead)
{
    enum kv_status st = kv_store_close(dead->store);

    (void)st;
    dead->store = NULL;
}

/* ---- Committing */

/* Goal: many segments, one transaction: for the writer, for others, after reopening, after a merge. */
START_TEST(test_overflow_commits_as_one)
{
    struct kv_snapshot *before;
    struct kv_txn *txn;

    world_open(&other);
    world_put(&world, "00000", "small");
    before = world_snapshot(&other);
    txn = world_begin(&world);
    put_rows(txn, 0, LARGE, 'a');
    ck_assert_uint_eq(kv_txn_record_count(txn), LARGE);
    for (unsigned i = 0; i < LARGE; i++)
        ck_assert(has_own(txn, i, 'a'));
    ck_assert(!has_own(txn, LARGE, 'a'));
    expect_own_rows(txn, LARGE, 'a');
    world_expect_all(&other, "00000=small");
    ck_kv(kv_txn_prepare(txn));
    world_expect_all(&other, "00000=small");
    kv_txn_publish(txn);
    expect_rows(&world, LARGE, 'a');
    expect_rows(&other, LARGE, 'a');
    ck_assert_uint_eq(world_stats(&other).last_seq, 2);
    kv_snapshot_release(before);
    kv_snapshot_free(before);
    world_check(&world);
    world_put(&other, "zzzzz", "after");
    world_delete(&world, "zzzzz");
    world_close(&other);
    world_reopen(&world);
    expect_rows(&world, LARGE, 'a');
    ck_kv(kv_compact(world.store, NULL, NULL));
    expect_rows(&world, LARGE, 'a');
    world_check(&world);
}
END_TEST

/* A snapshot from before shows nothing of it, for as long as it is held. */
START_TEST(test_overflow_leaves_older_snapshots_alone)
{
    struct kv_snapshot *mine, *theirs;
    struct kv_txn *txn;

    world_open(&other);
    txn = world_begin(&world);
    put_rows(txn, 0, 30, 'a');
    ck_kv(kv_txn_commit(txn));
    mine = world_snapshot(&world);
    theirs = world_snapshot(&other);
    txn = world_begin(&world);
    put_rows(txn, 0, LARGE, 'b');
    ck_kv(kv_txn_commit(txn));
    expect_rows(&world, LARGE, 'b');
    ck_kv(kv_compact(world.store, NULL, NULL));
    expect_rows_of(mine, NULL, 30, 'a');
    expect_rows_of(theirs, NULL, 30, 'a');
    kv_snapshot_free(mine);
    kv_snapshot_free(theirs);
    expect_rows(&other, LARGE, 'b');
    world_check(&world);
}
END_TEST

/* Updates and deletes of its own rows, of older ones, over and over. */
START_TEST(test_overflow_newest_own_record_wins)
{
    struct kv_txn *txn = world_begin(&world);
    char key[16];

    put_rows(txn, 0, LARGE, 'a');
    ck_kv(kv_txn_commit(txn));
    txn = world_begin(&world);
    for (char writer = 'b'; writer < 'f'; writer++)
        put_rows(txn, 0, LARGE, writer);
    for (unsigned i = 100; i < LARGE; i++) {
        snprintf(key, sizeof(key), "%05u", i);
        txn_delete(txn, key);
    }
    put_rows(txn, LARGE, 2 * LARGE, 'x');
    for (unsigned i = LARGE; i < 2 * LARGE; i++) {
        snprintf(key, sizeof(key), "%05u", i);
        txn_delete(txn, key);
    }
    ck_assert(!has_own(txn, 100, 'e') && !has_own(txn, LARGE, 'x'));
    expect_own_rows(txn, 100, 'e');
    ck_kv(kv_txn_commit(txn));
    expect_rows(&world, 100, 'e');
    world_check(&world);
    ck_kv(kv_compact(world.store, NULL, NULL));
    expect_rows(&world, 100, 'e');
    ck_assert_uint_eq(world_stats(&world).records, 100);
}
END_TEST

/* Each synchronous mode; a mode without a sync loses all of it or nothing when the power fails. */
START_TEST(test_overflow_is_atomic_in_every_mode)
{
    struct kv_settings settings = world.options.settings;
    struct kv_txn *txn;
    struct kv_snapshot *snapshot;
    bool all;

    settings.synchronous = (enum kv_synchronous)(_i % 3);
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    put_rows(txn, 0, LARGE, 'a');
    ck_kv(kv_txn_prepare(txn));
    if (_i < 3)
        kv_txn_publish(txn);
    kv_memfs_crash(world.fs, _i % 2 ? KV_MEMFS_DROP : KV_MEMFS_RANDOM, (uint64_t)_i + 1);
    if (_i >= 3)
        kv_txn_abort(txn);
    bury(&world);
    world_open(&world);
    snapshot = world_snapshot(&world);
    all = kv_snapshot_seq(snapshot) == 1;
    expect_rows_of(snapshot, NULL, all ? LARGE : 0, 'a');
    kv_snapshot_free(snapshot);
    ck_assert(all || _i >= 3 || settings.synchronous != KV_SYNC_FULL);
    world_check(&world);
    txn = world_begin(&world);
    put_rows(txn, 0, LARGE, 'b');
    ck_kv(kv_txn_commit(txn));
    expect_rows(&world, LARGE, 'b');
}
END_TEST

/* ---- Rolling back */

static size_t file_count(struct world *at)
{
    char *names = world_names(at);
    size_t count = 0;

    for (const char *c = names; *c; c++)
        count += *c == '\n';
    free(names);
    return count;
}

/* Nothing is left of it: neither rows nor files. */
START_TEST(test_overflow_abort_leaves_nothing)
{
    size_t files;
    struct kv_txn *txn;

    world_put(&world, "a", "1");
    engine_seal(&world);
    files = file_count(&world);
    for (int prepared = 0; prepared < 2; prepared++) {
        txn = world_begin(&world);
        put_rows(txn, 0, LARGE, 'a');
        if (prepared)
            ck_kv(kv_txn_prepare(txn));
        kv_txn_abort(txn);
        world_expect_all(&world, "a=1");
        ck_assert_uint_eq(file_count(&world), files);
        world_check(&world);
    }
    world_put(&world, "b", "2");
    world_reopen(&world);
    world_expect_all(&world, "a=1 b=2");
    world_check(&world);
}
END_TEST

/* Goal: a sync that failed and then succeeds proves nothing; the transaction can only be rolled back. */
START_TEST(test_overflow_trusts_no_second_sync)
{
    enum kv_status st = KV_OK;
    unsigned count = LARGE / 2;
    struct kv_txn *txn;

    world_put(&world, "a", "1");
    txn = world_begin(&world);
    put_rows(txn, 0, count, 'a');
    kv_memfs_fail(world.fs, KV_MEMFS_SYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    while (st == KV_OK && count < LARGE)
        st = try_put(txn, count++, 'a');
    ck_kv_is(st, KV_IOERR);
    ck_kv_is(try_put(txn, count, 'a'), KV_IOERR);
    kv_txn_abort(txn);
    world_put(&world, "b", "2");
    world_reopen(&world);
    world_expect_all(&world, "a=1 b=2");
    world_check(&world);
}
END_TEST

/* Goal: ROLLBACK TO any position leaves exactly what was there, and the transaction goes on from it. */
START_TEST(test_overflow_rolls_back_to_any_position)
{
    struct kv_savepoint savepoint;
    unsigned kept = (unsigned)_i * 37 % LARGE;
    struct kv_txn *txn = world_begin(&world);

    put_rows(txn, 0, kept, 'a');
    savepoint = kv_txn_savepoint(txn);
    put_rows(txn, kept, LARGE, 'b');
    put_rows(txn, 0, kept, 'b');
    if (_i % 3 == 0)
        ck_kv(kv_txn_prepare(txn));
    kv_txn_rollback_to(txn, savepoint);
    ck_assert_uint_eq(kv_txn_record_count(txn), kept);
    expect_own_rows(txn, kept, 'a');
    put_rows(txn, kept, LARGE, 'a');
    expect_own_rows(txn, LARGE, 'a');
    if (_i % 2) {
        kv_txn_rollback_to(txn, savepoint);
        ck_kv(kv_txn_commit(txn));
        expect_rows(&world, kept, 'a');
    } else {
        ck_kv(kv_txn_commit(txn));
        expect_rows(&world, LARGE, 'a');
    }
    world_check(&world);
    world_reopen(&world);
    expect_rows(&world, _i % 2 ? kept : LARGE, 'a');
}
END_TEST

/* Rolled back to its beginning, a transaction is as small as it ever was. */
START_TEST(test_overflow_forgets_that_it_overflowed)
{
    struct kv_txn *txn = world_begin(&world);
    size_t files = file_count(&world);

    put_rows(txn, 0, LARGE, 'a');
    ck_assert_uint_gt(file_count(&world), files + 10);
    kv_txn_rollback_to(txn, (struct kv_savepoint){0});
    ck_assert_uint_eq(file_count(&world), files);
    put_rows(txn, 0, 3, 'b');
    ck_kv(kv_txn_commit(txn));
    expect_rows(&world, 3, 'b');
    world_check(&world);
}
END_TEST

/* COMMIT was answered with BUSY: more is written, and committed again. */
START_TEST(test_overflow_goes_on_after_prepare)
{
    struct kv_txn *txn = world_begin(&world);

    world_open(&other);
    put_rows(txn, 0, LARGE, 'a');
    ck_kv(kv_txn_prepare(txn));
    ck_kv(kv_txn_prepare(txn));
    put_rows(txn, LARGE, LARGE + 10, 'a');
    expect_own_rows(txn, LARGE + 10, 'a');
    ck_kv(kv_txn_prepare(txn));
    put_rows(txn, LARGE + 10, 2 * LARGE, 'a');
    world_expect_all(&other, "");
    ck_kv(kv_txn_commit(txn));
    expect_rows(&other, 2 * LARGE, 'a');
    world_check(&world);
    world_reopen(&world);
    expect_rows(&world, 2 * LARGE, 'a');
}
END_TEST

/* ---- Scans of own rows */

/* Goal: a scan shows what there was when it was opened, while parts are closed under it. */
START_TEST(test_overflow_scans_stay_as_they_were)
{
    struct kv_snapshot *snapshot = world_snapshot(&world);
    struct kv_range range = {0};
    struct kv_txn *txn = world_begin(&world);
    struct kv_savepoint savepoint;
    struct kv_scan *scans[3];
    struct kv_entry entry;

    put_rows(txn, 0, 10, 'a');
    ck_kv(kv_scan_open(snapshot, txn, &range, &scans[0]));
    put_rows(txn, 10, 200, 'a');
    ck_kv(kv_scan_open(snapshot, txn, &range, &scans[1]));
    savepoint = kv_txn_savepoint(txn);
    put_rows(txn, 0, LARGE, 'b');
    ck_kv(kv_scan_open(snapshot, txn, &range, &scans[2]));
    put_rows(txn, 0, LARGE, 'c');
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned s = 0; s < 3; s++) {
            ck_kv(kv_scan_next(scans[s], &entry));
            ck_assert_int_eq(entry.row.data[0], s == 2 ? 'b' : 'a');
        }
    }
    kv_txn_rollback_to(txn, savepoint);
    ck_kv_is(kv_scan_next(scans[2], &entry), KV_ABORTED);
    for (unsigned i = 5; i < 10; i++)
        ck_kv(kv_scan_next(scans[0], &entry));
    ck_kv_is(kv_scan_next(scans[0], &entry), KV_DONE);
    ck_kv(kv_txn_commit(txn));
    for (unsigned i = 5; i < 200; i++) {
        ck_kv(kv_scan_next(scans[1], &entry));
        ck_assert_int_eq(entry.row.data[0], 'a');
    }
    ck_kv_is(kv_scan_next(scans[1], &entry), KV_DONE);
    for (unsigned s = 0; s < 3; s++)
        kv_scan_close(scans[s]);
    kv_snapshot_free(snapshot);
    expect_rows(&world, 200, 'a');
}
END_TEST

/*
 * Goal: a scan that was opened between two parts, when the transaction collects nothing, fails once
 * what it shows is rolled back. Method: after COMMIT was answered with BUSY, and after a rollback to the
 * end of a part.
 */
START_TEST(test_overflow_scans_between_parts_are_cut)
{
    struct kv_snapshot *snapshot = world_snapshot(&world);
    struct kv_range range = {0};
    struct kv_txn *txn = world_begin(&world);
    struct kv_savepoint savepoint;
    struct kv_scan *scan;
    struct kv_entry entry;

    put_rows(txn, 0, 200, 'a');
    savepoint = kv_txn_savepoint(txn);
    put_rows(txn, 200, LARGE, 'a');
    if (_i == 0)
        ck_kv(kv_txn_prepare(txn));
    else
        kv_txn_rollback_to(txn, (struct kv_savepoint){txn->overflow.record_count});
    ck_kv(kv_scan_open(snapshot, txn, &range, &scan));
    ck_kv(kv_scan_next(scan, &entry));
    put_rows(txn, LARGE, 2 * LARGE, 'b');
    ck_kv(kv_scan_next(scan, &entry));
    kv_txn_rollback_to(txn, savepoint);
    ck_kv_is(kv_scan_next(scan, &entry), KV_ABORTED);
    kv_scan_close(scan);
    expect_own_rows(txn, 200, 'a');
    ck_kv(kv_txn_commit(txn));
    kv_snapshot_free(snapshot);
    expect_rows(&world, 200, 'a');
}
END_TEST

/* ---- Deaths and faults */

/* A store with 30 rows, and a transaction that overwrites them and adds many: what may be found later. */
static void begin_story(void)
{
    struct kv_txn *txn;

    world_init(&world);
    world_join(&other, &world);
    other.io = other.options.io = kv_memfs_process(world.fs);
    world_open(&other);
    txn = world_begin(&other);
    put_rows(txn, 0, 30, 'a');
    ck_kv_fast(kv_txn_commit(txn));
}

/* The victim's part; `*acknowledged` once it has been told that it is done. */
static void live(bool *acknowledged)
{
    struct kv_txn *txn;
    enum kv_status st = kv_txn_begin(other.store, NULL, &txn);

    *acknowledged = false;
    if (st != KV_OK)
        return;
    for (unsigned i = 0; i < 150 && st == KV_OK; i++)
        st = try_put(txn, i, 'b');
    if (st == KV_OK)
        st = kv_txn_prepare(txn);
    if (st == KV_OK)
        st = try_put(txn, 150, 'b'); /* taken back, and prepared once more */
    if (st != KV_OK) {
        kv_txn_abort(txn);
        return;
    }
    st = kv_txn_commit(txn);
    *acknowledged = st == KV_OK && !kv_memfs_process_is_dead(other.io);
}

/* All of it or nothing; or what was prepared first, of one that was dead before it said more. */
static void expect_whole(struct world *at, bool acknowledged)
{
    struct kv_snapshot *snapshot = world_snapshot(at);
    bool done = kv_snapshot_seq(snapshot) == 2;
    struct kv_entry last;
    bool has_last = kv_snapshot_get(snapshot, NULL, kv_slice_text("00150"), &last) == KV_OK;

    ck_assert(has_last || !acknowledged);
    expect_rows_of(snapshot, NULL, !done ? 30 : has_last ? 151 : 150, done ? 'b' : 'a');
    kv_snapshot_free(snapshot);
}

static void expect_it_goes_on(struct world *at)
{
    struct kv_txn *txn = world_begin(at);

    put_rows(txn, 0, 160, 'c');
    ck_kv_fast(kv_txn_commit(txn));
    expect_rows(at, 160, 'c');
    world_reopen(at);
    expect_rows(at, 160, 'c');
    world_check(at);
}

/* False: it was over before its nth call. */
static bool die_at(uint64_t nth, bool behind, unsigned fate)
{
    bool acknowledged, died;

    begin_story();
    if (fate == 1)
        world_open(&world); /* somebody else has the store open */
    kv_memfs_kill_process_at(other.fs, other.io, nth, behind);
    live(&acknowledged);
    died = kv_memfs_process_is_dead(other.io);
    if (died && fate == 2)
        kv_memfs_crash(world.fs, nth % 3 ? KV_MEMFS_RANDOM : KV_MEMFS_DROP, nth);
    bury(&other);
    if (died) {
        if (!world.store)
            world_open(&world);
        expect_whole(&world, acknowledged);
        expect_it_goes_on(&world);
    }
    world_end(&other);
    world_end(&world);
    return died;
}

/*
 * Goal: whenever the process dies, with or without company, with or without the power, the
 * transaction is there in whole or not at all, and the store goes on.
 */
START_TEST(test_overflow_deaths_at_every_call)
{
    bool behind = _i % 2;
    unsigned fate = (unsigned)_i / 2, stride = model_scaled(1) > 1 ? 1 : 3;
    uint64_t nth = 1 + (unsigned)_i % stride;

    while (die_at(nth, behind, fate))
        nth += stride;
    ck_assert_uint_gt(nth, 100);
}
END_TEST

/* False: the nth call was never made. */
static bool fail_at(uint64_t nth, enum kv_status status, unsigned flags)
{
    bool acknowledged;
    uint64_t faults;

    begin_story();
    kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, status, flags);
    live(&acknowledged);
    faults = kv_memfs_fault_count(world.fs);
    kv_memfs_heal(world.fs);
    if (faults > 0) {
        expect_whole(&other, acknowledged);
        world_open(&world);
        expect_whole(&world, acknowledged);
        world_close(&other);
        expect_it_goes_on(&world);
    }
    world_end(&other);
    world_end(&world);
    return faults > 0;
}

/* Goal: any call may fail, once or from then on; nothing acknowledged is lost, and the store goes on. */
START_TEST(test_overflow_faults_at_every_call)
{
    static const struct {
        enum kv_status status;
        unsigned flags;
    } faults[] = {{KV_IOERR, KV_MEMFS_ONCE},
                  {KV_FULL, KV_MEMFS_ONCE},
                  {KV_IOERR, KV_MEMFS_STICKY},
                  {KV_FULL, KV_MEMFS_FREEZE}};
    unsigned stride = model_scaled(1) > 1 ? 1 : 3;
    uint64_t nth = 1 + (unsigned)_i % stride;

    while (fail_at(nth, faults[_i].status, faults[_i].flags))
        nth += stride;
    ck_assert_uint_gt(nth, 100);
}
END_TEST

/* ---- What lies on disk */

/* Goal: once settled, each segment itself says that it counts, for who must repair without MANIFEST. */
START_TEST(test_overflow_leaves_a_witness_in_each_segment)
{
    struct kv_txn *txn = world_begin(&world);
    unsigned witnesses = 0;

    put_rows(txn, 0, LARGE, 'a');
    ck_kv(kv_txn_commit(txn));
    ck_assert_uint_eq(engine_of(&world)->manifest.group_count, 0);
    for (size_t i = 0; i < engine_of(&world)->manifest.run_count; i++) {
        const struct kv_segment_info *info = &run_of(&world, i)->segments[0];
        char name[KV_NAME_BYTES];
        struct kv_buffer bytes;
        struct kv_commit commit;

        kv_name_segment(name, info->number);
        bytes = file_save(&world, name);
        ck_kv(kv_commit_decode(
            kv_slice_of(bytes.data + info->end_bytes, bytes.size - info->end_bytes), info->salt,
            info->end_bytes, &commit));
        ck_assert_uint_eq(commit.seq, 1);
        ck_assert_uint_ne(commit.group, 0);
        kv_buffer_release(&bytes);
        witnesses++;
    }
    ck_assert_uint_gt(witnesses, 10);
}
END_TEST

/* Another process dies between the manifest and COMMIT, and again and again right behind COMMIT. */
START_TEST(test_overflow_is_visible_while_it_is_pending)
{
    struct kv_txn *txn;

    world_open(&other);
    txn = world_begin(&world);
    put_rows(txn, 0, LARGE, 'a');
    ck_kv(kv_txn_prepare(txn));
    kv_memfs_fail(world.fs, KV_MEMFS_SYNC, 1, KV_IOERR, KV_MEMFS_STICKY); /* settling fails */
    kv_txn_publish(txn);
    kv_memfs_heal(world.fs);
    ck_assert_uint_eq(engine_of(&world)->manifest.group_count, 1);
    expect_rows(&world, LARGE, 'a');
    expect_rows(&other, LARGE, 'a');
    world_check(&other);
    world_put(&other, "x", "1"); /* settles it first */
    ck_assert_uint_eq(engine_of(&other)->manifest.group_count, 0);
    world_delete(&world, "x");
    expect_rows(&world, LARGE, 'a');
    world_check(&world);
}
END_TEST

static Suite *overflow_suite(void)
{
    Suite *suite = suite_create("overflow");
    TCase *tests = tcase_create("overflow"), *deaths = tcase_create("deaths");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_overflow_commits_as_one);
    tcase_add_test(tests, test_overflow_leaves_older_snapshots_alone);
    tcase_add_test(tests, test_overflow_newest_own_record_wins);
    tcase_add_loop_test(tests, test_overflow_is_atomic_in_every_mode, 0, 6);
    tcase_add_test(tests, test_overflow_abort_leaves_nothing);
    tcase_add_test(tests, test_overflow_trusts_no_second_sync);
    tcase_add_loop_test(tests, test_overflow_rolls_back_to_any_position, 0, 24);
    tcase_add_test(tests, test_overflow_forgets_that_it_overflowed);
    tcase_add_test(tests, test_overflow_goes_on_after_prepare);
    tcase_add_test(tests, test_overflow_scans_stay_as_they_were);
    tcase_add_loop_test(tests, test_overflow_scans_between_parts_are_cut, 0, 2);
    tcase_add_test(tests, test_overflow_leaves_a_witness_in_each_segment);
    tcase_add_test(tests, test_overflow_is_visible_while_it_is_pending);
    suite_add_tcase(suite, tests);
    tcase_set_timeout(deaths, 60);
    tcase_add_loop_test(deaths, test_overflow_deaths_at_every_call, 0, 6);
    tcase_add_loop_test(deaths, test_overflow_faults_at_every_call, 0, 4);
    suite_add_tcase(suite, deaths);
    return suite;
}

int main(void)
{
    return kv_run_suite(overflow_suite());
}
