/* Snapshots and scans: what they show, and that it never changes. */
#include <stdio.h>

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

static struct kv_scan *open_scan(struct kv_snapshot *snapshot, struct kv_txn *txn, bool descending)
{
    struct kv_range range = {.descending = descending};
    struct kv_scan *scan;

    ck_kv(kv_scan_open(snapshot, txn, &range, &scan));
    return scan;
}

/* Fail unless a snapshot, with a transaction's writes or none, reads `expected`. */
static void expect(struct kv_snapshot *snapshot, struct kv_txn *txn, const char *expected)
{
    char *text = snapshot_text(snapshot, txn, NULL);

    ck_assert_str_eq(text, expected);
    free(text);
}

/* Fail unless what is left of a scan is `expected`; closes it. */
static void expect_rest(struct kv_scan *scan, const char *expected)
{
    char *text = scan_text(scan);

    ck_assert_str_eq(text, expected);
    free(text);
    kv_scan_close(scan);
}

static void expect_next(struct kv_scan *scan, const char *key, const char *row)
{
    struct kv_entry entry;

    ck_kv(kv_scan_next(scan, &entry));
    ck_assert(kv_slice_equal(entry.key, kv_slice_text(key)));
    ck_assert(kv_slice_equal(entry.row, kv_slice_text(row)));
}

/* ---- Ranges */

/* Every second key is there; all of them, and some beyond, are bounds. */
enum { KEYS = 9 };
static const char *const keys[KEYS] = {"b", "b\1", "c", "ca", "d", "dddddddddd", "e", "f", "g"};

static bool is_there(int key)
{
    return key % 2 == 1;
}

/* What a scan must show, found the slow way. */
static void expect_range(struct kv_snapshot *snapshot, struct kv_txn *txn,
                         const struct kv_range *range, int lower, int upper)
{
    char expected[256] = "", word[32], *text;

    for (int i = 0; i < KEYS; i++) {
        int key = range->descending ? KEYS - 1 - i : i;

        if (!is_there(key) ||
            (range->has_lower && (range->lower_open ? key <= lower : key < lower)) ||
            (range->has_upper && (range->upper_open ? key >= upper : key > upper)))
            continue;
        snprintf(word, sizeof(word), "%s%s=%d", *expected ? " " : "", keys[key], key);
        strcat(expected, word);
    }
    text = snapshot_text(snapshot, txn, range);
    ck_assert_msg(strcmp(text, expected) == 0, "%s, not %s; bounds %d %d, flags %d%d%d%d%d", text,
                  expected, lower, upper, range->has_lower, range->lower_open, range->has_upper,
                  range->upper_open, range->descending);
    free(text);
}

/* All 16 combinations of bounds, all pairs of bounds (also crossed ones), both directions. */
static void expect_all_ranges(struct kv_snapshot *snapshot, struct kv_txn *txn)
{
    for (int flags = 0; flags < 32; flags++) {
        for (int pair = 0; pair < KEYS * KEYS; pair++) {
            int lower = pair / KEYS, upper = pair % KEYS;
            struct kv_range range = {.has_lower = flags & 1,
                                     .lower_open = flags & 2,
                                     .has_upper = flags & 4,
                                     .upper_open = flags & 8,
                                     .descending = flags & 16,
                                     .lower = kv_slice_text(keys[lower]),
                                     .upper = kv_slice_text(keys[upper])};

            expect_range(snapshot, txn, &range, lower, upper);
        }
    }
}

/* Key `i` gets its row, or, if it is not to be there, is deleted. */
static void write_key(struct kv_txn *txn, int i)
{
    char row[16];

    snprintf(row, sizeof(row), "%d", i);
    if (is_there(i))
        txn_put(txn, keys[i], row);
    else
        txn_delete(txn, keys[i]);
}

/* Commit the keys of which `which` says so; with `seal`, in a log of their own that is sealed at once. */
static void write_keys(bool (*which)(int key, int context), int context, bool seal)
{
    static const char filler[WORLD_SEGMENT_BYTES];
    struct kv_txn *txn = world_begin(&world);

    for (int i = 0; i < KEYS; i++) {
        if (seal && which(i, context))
            ck_kv(kv_txn_put(txn, kv_slice_text(keys[i]), kv_slice_of(filler, sizeof(filler))));
        if (which(i, context))
            write_key(txn, i);
    }
    ck_kv(kv_txn_commit(txn));
}

static bool any_key(int key, int context)
{
    (void)context;
    return key >= 0;
}

static bool every_third(int key, int context)
{
    return key % 3 == context;
}

static void overwrite_all(void)
{
    struct kv_txn *txn = world_begin(&world);

    for (int i = 0; i < KEYS; i++)
        txn_put(txn, keys[i], "to be overwritten");
    ck_kv(kv_txn_commit(txn));
}

static void expect_all_ranges_now(struct kv_txn *txn)
{
    struct kv_snapshot *snapshot = world_snapshot(&world);

    expect_all_ranges(snapshot, txn);
    kv_snapshot_free(snapshot);
}

/*
 * Goal: bounds mean the same wherever the rows are.
 * Method: the same rows in the log, in one run, spread over several runs with
 * older versions and tombstones among them, and as own writes over others.
 */
START_TEST(test_kv_scan_bounds_and_directions)
{
    struct kv_txn *txn;

    write_keys(any_key, 0, false);
    expect_all_ranges_now(NULL);
    ck_kv(kv_compact(world.store, NULL, NULL));
    expect_all_ranges_now(NULL);
    for (int third = 0; third < 3; third++) {
        overwrite_all();
        write_keys(any_key, 0, true);
        overwrite_all();
        for (int i = 0; i < 3; i++)
            write_keys(every_third, (third + i) % 3, i < third);
        expect_all_ranges_now(NULL);
    }
    ck_assert_uint_ge(world_stats(&world).runs, 4);
    overwrite_all();
    txn = world_begin(&world);
    for (int i = 0; i < KEYS; i++)
        write_key(txn, i);
    expect_all_ranges_now(txn);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(test_kv_scan_of_nothing)
{
    struct kv_snapshot *snapshot = world_snapshot(&world);
    struct kv_txn *txn = world_begin(&world);
    struct kv_entry entry;
    struct kv_scan *scan;

    expect(snapshot, NULL, "");
    expect(snapshot, txn, "");
    txn_delete(txn, "a");
    expect(snapshot, txn, "");
    scan = open_scan(snapshot, txn, true);
    ck_kv_is(kv_scan_next(scan, &entry), KV_DONE);
    ck_kv_is(kv_scan_next(scan, &entry), KV_DONE); /* and so on */
    kv_scan_close(scan);
    kv_scan_close(NULL);
    kv_txn_abort(txn);
    kv_snapshot_free(snapshot);
}
END_TEST

START_TEST(test_kv_scan_copies_its_bounds)
{
    char bound[] = "b";
    struct kv_range range = {.has_lower = true, .lower = kv_slice_text(bound)};
    struct kv_snapshot *snapshot;
    struct kv_scan *scan;

    world_put(&world, "a", "1");
    world_put(&world, "b", "2");
    snapshot = world_snapshot(&world);
    range.has_upper = true;
    range.upper = range.lower;
    ck_kv(kv_scan_open(snapshot, NULL, &range, &scan));
    bound[0] = 'x';
    expect_rest(scan, "b=2");
    kv_snapshot_free(snapshot);
}
END_TEST

/* ---- Snapshots */

START_TEST(test_kv_snapshot_is_used_again)
{
    struct kv_snapshot *snapshot;
    struct kv_entry entry;

    ck_kv(kv_snapshot_new(world.store, &snapshot));
    for (int turn = 0; turn < 4; turn++) {
        char row[16];

        snprintf(row, sizeof(row), "%d", turn);
        world_put(&world, "a", row);
        ck_kv(kv_snapshot_acquire(snapshot));
        ck_kv_is(kv_snapshot_acquire(snapshot), KV_INVALID);
        ck_assert_uint_eq(kv_snapshot_seq(snapshot), kv_store_seq(world.store));
        ck_kv(kv_snapshot_get(snapshot, NULL, kv_slice_text("a"), &entry));
        ck_assert(kv_slice_equal(entry.row, kv_slice_text(row)));
        ck_assert_uint_eq(entry.seq, kv_snapshot_seq(snapshot));
        ck_assert(!entry.own && !entry.deleted);
        ck_kv_is(kv_snapshot_get(snapshot, NULL, kv_slice_text("b"), &entry), KV_DONE);
        kv_snapshot_release(snapshot);
        kv_snapshot_release(snapshot); /* again: nothing */
        if (turn % 2)
            world_seal(&world);
        else
            ck_kv(kv_compact(world.store, NULL, NULL));
    }
    ck_kv(kv_snapshot_acquire(snapshot));
    kv_snapshot_free(snapshot); /* while it is held */
    kv_snapshot_free(NULL);
}
END_TEST

/*
 * Goal: what a snapshot shows stays through everything that happens to the store.
 * Method: hold one after each step of overwriting, deleting, sealing and
 * merging, and compare all of them after each step.
 */
START_TEST(test_kv_snapshots_never_change)
{
    enum { STEPS = 60 };
    struct kv_snapshot *snapshots[STEPS];
    uint64_t digests[STEPS], seqs[STEPS], removed = 0;

    for (int step = 0; step < STEPS; step++) {
        uint64_t segments = world_stats(&world).segments;
        char key[16];

        world_fill(&world, "key", (unsigned)step * 7 % 20, 10);
        snprintf(key, sizeof(key), "key%04d", step % 25);
        world_delete(&world, key);
        if (step % 9 == 8)
            ck_kv(kv_compact(world.store, NULL, NULL));
        removed += world_stats(&world).segments < segments;
        snapshots[step] = world_snapshot(&world);
        digests[step] = snapshot_digest(snapshots[step]);
        seqs[step] = kv_snapshot_seq(snapshots[step]);
        for (int i = 0; i <= step; i++) {
            ck_assert_uint_eq(snapshot_digest(snapshots[i]), digests[i]);
            ck_assert_uint_eq(kv_snapshot_seq(snapshots[i]), seqs[i]);
        }
    }
    ck_assert_uint_gt(removed, 3);
    for (int i = 0; i < STEPS; i++)
        kv_snapshot_free(snapshots[i]);
    world_check(&world);
}
END_TEST

START_TEST(test_kv_scan_goes_on_through_seals_and_merges)
{
    struct kv_snapshot *snapshot;
    struct kv_scan *up, *down;
    char expected[16 * 1024] = "", word[64], *text;

    for (unsigned i = 0; i < 3; i++) {
        world_fill(&world, "k", i * 50, 50);
        world_delete(&world, "k0010");
    }
    snapshot = world_snapshot(&world);
    up = open_scan(snapshot, NULL, false);
    down = open_scan(snapshot, NULL, true);
    for (int i = 0; i < 149; i++) {
        int there = i < 10 ? i : i + 1; /* k0010 is not */
        struct kv_entry entry;

        snprintf(word, sizeof(word), "%sk%04d=%d of k", i ? " " : "", there, there);
        strcat(expected, word);
        ck_kv(kv_scan_next(up, &entry));
        ck_assert_mem_eq(entry.key.data, word + (i > 0), entry.key.size);
        ck_kv(kv_scan_next(down, &entry));
        ck_assert_mem_eq(entry.key.data, i < 50 ? "k01" : "k00", 3);
        ck_kv(kv_delete(world.store, entry.key));
        if (i % 20 == 0)
            ck_kv(kv_compact(world.store, NULL, NULL));
    }
    expect_rest(up, "");
    expect_rest(down, "");
    text = snapshot_text(snapshot, NULL, NULL);
    ck_assert_str_eq(text, expected);
    free(text);
    kv_snapshot_free(snapshot);
    world_expect_all(&world, "");
}
END_TEST

/* ---- Own writes */

START_TEST(test_kv_own_writes_cover_the_snapshot)
{
    struct kv_snapshot *snapshot;
    struct kv_entry entry;
    struct kv_txn *txn;

    world_put(&world, "a", "1");
    world_put(&world, "b", "1");
    world_put(&world, "c", "1");
    snapshot = world_snapshot(&world);
    txn = world_begin(&world);
    txn_put(txn, "a", "2");
    txn_delete(txn, "b");
    txn_put(txn, "bb", "2");
    txn_put(txn, "a", "3");
    expect(snapshot, txn, "a=3 bb=2 c=1");
    expect(snapshot, NULL, "a=1 b=1 c=1");
    ck_kv(kv_snapshot_get(snapshot, txn, kv_slice_text("a"), &entry));
    ck_assert(entry.own && kv_slice_equal(entry.row, kv_slice_text("3")));
    ck_kv_is(kv_snapshot_get(snapshot, txn, kv_slice_text("b"), &entry), KV_DONE);
    ck_kv(kv_snapshot_get(snapshot, txn, kv_slice_text("c"), &entry));
    ck_assert(!entry.own);
    ck_kv(kv_txn_commit(txn));
    expect(snapshot, NULL, "a=1 b=1 c=1");
    world_expect_all(&world, "a=3 bb=2 c=1");
    kv_snapshot_free(snapshot);
}
END_TEST

/* A scan shows the writes made before it was opened, also after publish. */
START_TEST(test_kv_own_scan_stops_at_its_opening)
{
    struct kv_snapshot *snapshot;
    struct kv_scan *first, *second, *third;
    struct kv_txn *txn;

    world_put(&world, "d", "0");
    snapshot = world_snapshot(&world);
    txn = world_begin(&world);
    first = open_scan(snapshot, txn, false);
    txn_put(txn, "b", "1");
    second = open_scan(snapshot, txn, true);
    txn_put(txn, "b", "2");
    txn_put(txn, "c", "2");
    txn_delete(txn, "d");
    third = open_scan(snapshot, txn, false);
    expect_next(second, "d", "0");
    expect_next(third, "b", "2");
    for (int i = 0; i < 300; i++) /* the list of writes moves in memory */
        txn_put(txn, "e", "3");
    ck_kv(kv_txn_prepare(txn));
    expect_next(second, "b", "1");
    kv_txn_publish(txn);
    expect_rest(first, "d=0");
    expect_rest(second, "");
    expect_rest(third, "c=2");
    kv_snapshot_free(snapshot);
    world_expect_all(&world, "b=2 c=2 e=3");
}
END_TEST

/*
 * Goal: a scan that shows rolled-back writes says so at its next step, wherever
 * it stands; others go on.
 * Method: scans opened before and after the savepoint, at their beginning, in
 * the middle, and with only committed rows to come.
 */
START_TEST(test_kv_own_scan_fails_once_cut)
{
    struct kv_snapshot *snapshot;
    struct kv_savepoint savepoint;
    struct kv_scan *kept, *cut[3];
    struct kv_entry entry;
    struct kv_txn *txn;

    world_put(&world, "a", "0");
    world_put(&world, "d", "0");
    world_put(&world, "e", "0");
    snapshot = world_snapshot(&world);
    txn = world_begin(&world);
    txn_put(txn, "b", "1");
    kept = open_scan(snapshot, txn, false);
    savepoint = kv_txn_savepoint(txn);
    txn_put(txn, "c", "2");
    for (int i = 0; i < 3; i++)
        cut[i] = open_scan(snapshot, txn, false);
    expect_next(kept, "a", "0");
    expect_next(cut[1], "a", "0");
    expect_next(cut[2], "a", "0");
    expect_next(cut[2], "b", "1");
    expect_next(cut[2], "c", "2");
    expect_next(cut[2], "d", "0");
    kv_txn_rollback_to(txn, savepoint);
    for (int i = 0; i < 3; i++) {
        ck_kv_is(kv_scan_next(cut[i], &entry), KV_ABORTED);
        ck_kv_is(kv_scan_next(cut[i], &entry), KV_ABORTED); /* and stays so */
    }
    txn_put(txn, "c", "3"); /* in the place of what was cut */
    for (int i = 0; i < 3; i++) {
        ck_kv_is(kv_scan_next(cut[i], &entry), KV_ABORTED);
        kv_scan_close(cut[i]);
    }
    expect_next(kept, "b", "1");
    expect_rest(kept, "d=0 e=0");
    expect(snapshot, txn, "a=0 b=1 c=3 d=0 e=0");
    kv_txn_abort(txn);
    kv_snapshot_free(snapshot);
}
END_TEST

/* A scan outlives its transaction, however that ended. */
START_TEST(test_kv_own_scan_after_abort)
{
    for (int prepared = 0; prepared < 2; prepared++) {
        struct kv_snapshot *snapshot;
        struct kv_scan *empty, *scan;
        struct kv_entry entry;
        struct kv_txn *txn;

        world_put(&world, "a", "0");
        snapshot = world_snapshot(&world);
        txn = world_begin(&world);
        empty = open_scan(snapshot, txn, false); /* shows no writes: nothing can be cut */
        txn_put(txn, "b", "1");
        txn_put(txn, "c", "1");
        scan = open_scan(snapshot, txn, false);
        expect_next(scan, "a", "0");
        expect_next(scan, "b", "1");
        if (prepared)
            ck_kv(kv_txn_prepare(txn));
        kv_txn_abort(txn);
        world_put(&world, "x", "something else in the log, where the writes were");
        ck_kv_is(kv_scan_next(scan, &entry), KV_ABORTED);
        kv_scan_close(scan);
        expect_rest(empty, "a=0");
        kv_snapshot_free(snapshot);
        world_delete(&world, "x");
    }
}
END_TEST

/* The entry that a scan handed out stays valid whatever becomes of the transaction. */
START_TEST(test_kv_own_entry_outlives_the_write)
{
    struct kv_snapshot *snapshot = world_snapshot(&world);
    struct kv_txn *txn = world_begin(&world);
    struct kv_entry entry;
    struct kv_scan *scan;

    txn_put(txn, "key", "row");
    txn_put(txn, "later", "row");
    scan = open_scan(snapshot, txn, false);
    ck_kv(kv_scan_next(scan, &entry));
    ck_assert(entry.own);
    for (int i = 0; i < 2000; i++)
        txn_put(txn, "key", "another row, so that buffers grow and move");
    kv_txn_abort(txn);
    world_put(&world, "key", "yet another row in the same place of the file");
    ck_assert(kv_slice_equal(entry.key, kv_slice_text("key")));
    ck_assert(kv_slice_equal(entry.row, kv_slice_text("row")));
    kv_scan_close(scan);
    kv_snapshot_free(snapshot);
}
END_TEST

/* Scans of another snapshot of the same store do not see the transaction at all. */
START_TEST(test_kv_other_snapshots_see_commits_only)
{
    struct kv_snapshot *before, *after;
    struct kv_scan *scan;
    struct kv_txn *txn;

    world_put(&world, "a", "1");
    before = world_snapshot(&world);
    txn = world_begin(&world);
    txn_put(txn, "a", "2");
    txn_put(txn, "b", "2");
    scan = open_scan(before, NULL, false);
    ck_kv(kv_txn_prepare(txn));
    expect(before, NULL, "a=1");
    kv_txn_publish(txn);
    after = world_snapshot(&world);
    expect_rest(scan, "a=1");
    expect(before, NULL, "a=1");
    expect(after, NULL, "a=2 b=2");
    ck_assert_uint_eq(kv_snapshot_seq(before), 1);
    ck_assert_uint_eq(kv_snapshot_seq(after), 2);
    kv_snapshot_free(before);
    kv_snapshot_free(after);
}
END_TEST

/* ---- Interruption */

static bool at_the_second(void *context)
{
    return ++*(unsigned *)context == 2;
}

/* Goal: the search for a row among many deleted ones can be stopped, and only that. */
START_TEST(test_kv_scan_can_be_interrupted)
{
    unsigned asked = 0;
    struct kv_range range = {
        .descending = _i, .interrupted = at_the_second, .interrupted_context = &asked};
    struct kv_snapshot *snapshot = world_snapshot(&world);
    struct kv_txn *txn = world_begin(&world);
    struct kv_scan *scan;
    struct kv_entry entry;

    for (unsigned i = 0; i < 20000; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%05u", i);
        txn_delete(txn, key);
    }
    txn_put(txn, _i ? "a" : "z", "found");
    ck_kv(kv_scan_open(snapshot, txn, &range, &scan));
    ck_kv_is(kv_scan_next(scan, &entry), KV_INTERRUPTED);
    ck_assert_uint_eq(asked, 2);
    ck_kv_is(kv_scan_next(scan, &entry), KV_INTERRUPTED);
    kv_scan_close(scan);
    ck_kv(kv_scan_open(snapshot, txn, &range, &scan));
    expect_next(scan, _i ? "a" : "z", "found");
    kv_scan_close(scan);
    kv_txn_abort(txn);
    kv_snapshot_free(snapshot);
}
END_TEST

static Suite *kv_scan_suite(void)
{
    Suite *suite = suite_create("kv_scan");
    TCase *tests = tcase_create("snapshots and scans");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_kv_scan_bounds_and_directions);
    tcase_add_test(tests, test_kv_scan_of_nothing);
    tcase_add_test(tests, test_kv_scan_copies_its_bounds);
    tcase_add_test(tests, test_kv_snapshot_is_used_again);
    tcase_add_test(tests, test_kv_snapshots_never_change);
    tcase_add_test(tests, test_kv_scan_goes_on_through_seals_and_merges);
    tcase_add_test(tests, test_kv_own_writes_cover_the_snapshot);
    tcase_add_test(tests, test_kv_own_scan_stops_at_its_opening);
    tcase_add_test(tests, test_kv_own_scan_fails_once_cut);
    tcase_add_test(tests, test_kv_own_scan_after_abort);
    tcase_add_test(tests, test_kv_own_entry_outlives_the_write);
    tcase_add_test(tests, test_kv_other_snapshots_see_commits_only);
    tcase_add_loop_test(tests, test_kv_scan_can_be_interrupted, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(kv_scan_suite());
}
