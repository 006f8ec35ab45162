/*
 * Merges that go a segment of output at a time: what is there is the same
 * before, between and after all steps, whatever happens in between.
 */
#include <stdio.h>
#include <stdlib.h>

#include "compact.h"
#include "engine_world.h"
#include "model.h"
#include "runner.h"

enum { ROWS = 600, ROW_BYTES = 1000, STEP_BYTES = 40000 };

static struct world world;

static void begin(void)
{
    world_init(&world);
    world.options.settings.max_segment_bytes = 64 * 1024;
}

static void setup(void)
{
    begin();
    world_open(&world);
}

static void teardown(void)
{
    world_end(&world);
}

static const struct kv_manifest *manifest(void)
{
    return &engine_of(&world)->manifest;
}

static size_t open_runs(void)
{
    size_t count = 0;

    for (size_t i = 0; i < manifest()->run_count; i++)
        count += manifest()->runs[i].merge_id != 0;
    return count;
}

/* ---- Rows "0000", "0001", …, with a letter that says who wrote them */

static const char *key_of(unsigned number)
{
    static char key[16];

    snprintf(key, sizeof(key), "%04u", number);
    return key;
}

/* What must be there: a letter a row; 0: none. */
static char expected[ROWS];

/* Write every `stride`th row, or with letter 0 delete it; in one transaction, then sealed. */
static void write_rows(unsigned first, unsigned stride, char letter)
{
    static uint8_t row[ROW_BYTES];
    struct kv_txn *txn = world_begin(&world);

    memset(row, letter, sizeof(row));
    for (unsigned i = first; i < ROWS; i += stride) {
        if (letter)
            ck_kv_fast(kv_txn_put(txn, kv_slice_text(key_of(i)), kv_slice_of(row, sizeof(row))));
        else
            ck_kv_fast(kv_txn_delete(txn, kv_slice_text(key_of(i))));
        expected[i] = letter;
    }
    ck_kv_fast(kv_txn_commit(txn));
    engine_seal(&world);
}

static void expect_rows(void)
{
    struct kv_snapshot *snapshot = world_snapshot(&world);
    struct kv_range everything = {0};
    struct kv_entry entry;
    struct kv_scan *scan;

    ck_kv_fast(kv_scan_open(snapshot, NULL, &everything, &scan));
    for (unsigned i = 0; i < ROWS; i++) {
        enum kv_status st = kv_snapshot_get(snapshot, NULL, kv_slice_text(key_of(i)), &entry);

        if (st != (expected[i] ? KV_OK : KV_DONE) ||
            (st == KV_OK && entry.row.data[3] != expected[i]))
            ck_abort_msg("row %u: %s", i, kv_status_name(st));
        if (!expected[i])
            continue;
        ck_kv_fast(kv_scan_next(scan, &entry));
        if (!kv_slice_equal(entry.key, kv_slice_text(key_of(i))) ||
            entry.row.data[3] != expected[i])
            ck_abort_msg("the scan does not come to row %u", i);
    }
    ck_kv_is(kv_scan_next(scan, &entry), KV_DONE);
    kv_scan_close(scan);
    kv_snapshot_free(snapshot);
}

/* Three runs: all rows, a third of them overwritten, another third deleted. */
static void fill(void)
{
    write_rows(0, 1, 'a');
    write_rows(0, 3, 'b');
    write_rows(1, 3, 0);
}

/* What is left to be rewritten. */
static uint64_t step(void)
{
    struct kv_compact_budget budget = {.bytes = STEP_BYTES};
    uint64_t left;

    ck_kv_fast(kv_compact_some(world.store, NULL, &budget, &left));
    return left;
}

/* ---- Steps */

START_TEST(test_rewrite_is_the_same_between_steps)
{
    uint64_t left = UINT64_MAX, before;
    unsigned steps = 0;

    fill();
    do {
        before = left;
        left = step();
        steps++;
        ck_assert_uint_lt(left, before);
        ck_assert_uint_eq(open_runs(), left ? manifest()->run_count : 0);
        expect_rows();
        world_check(&world);
        if (_i)
            world_reopen(&world);
    } while (left);
    ck_assert_uint_gt(steps, 8);
    ck_assert_uint_eq(manifest()->run_count, 1);
    ck_assert_uint_eq(world_stats(&world).records, ROWS / 3 * 2);
    ck_assert_uint_eq(step(), 0);
}
END_TEST

/* Input segments go as soon as they are used up: little more space is needed than there was. */
START_TEST(test_rewrite_needs_room_for_a_segment_only)
{
    uint64_t space;

    fill();
    ck_kv(kv_compact(world.store, NULL, NULL)); /* a run of many segments */
    write_rows(0, 5, 'c');
    space = world_stats(&world).disk_bytes;
    kv_memfs_set_space(world.fs, space + 400 * 1024 + 8 * 1024 * 1024);
    ck_kv(kv_compact(world.store, NULL, NULL));
    kv_memfs_set_space(world.fs, UINT64_MAX);
    expect_rows();
    ck_assert_uint_eq(manifest()->run_count, 1);
    ck_assert_uint_lt(world_stats(&world).disk_bytes, space);
}
END_TEST

/* Rows are written and deleted between the steps, before and behind the place that the merge has come to. */
START_TEST(test_rewrite_with_writes_in_between)
{
    fill();
    for (unsigned i = 0; i < 12; i++) {
        step();
        write_rows(i % 7, 7 + i, i % 3 ? (char)('d' + i) : 0);
        expect_rows();
        world_check(&world);
    }
    while (step())
        expect_rows();
    ck_kv(kv_compact(world.store, NULL, NULL));
    expect_rows();
    world_check(&world);
    ck_assert_uint_eq(manifest()->run_count, 1);
    ck_assert_uint_eq(open_runs(), 0);
}
END_TEST

/* The policy goes on with what was left open, and smaller merges come first. */
START_TEST(test_rewrite_is_resumed_by_policy)
{
    fill();
    ck_assert_uint_gt(step(), 0);
    ck_assert_uint_gt(open_runs(), 1);
    world_reopen(&world);
    write_rows(2, 50, 'x');
    ck_kv(engine_try_policy(&world, NULL));
    ck_assert_uint_eq(open_runs(), 0);
    ck_assert_uint_eq(manifest()->run_count, 2);
    expect_rows();
    world_check(&world);
}
END_TEST

/* kv_compact() takes over whatever is open, tombstones and hidden rows included. */
START_TEST(test_rewrite_is_taken_over)
{
    fill();
    for (int i = 0; i < 3; i++)
        ck_assert_uint_gt(step(), 0);
    write_rows(1, 2, 0);
    ck_kv(kv_compact(world.store, NULL, NULL));
    ck_assert_uint_eq(manifest()->run_count, 1);
    ck_assert_uint_eq(open_runs(), 0);
    expect_rows();
    world_check(&world);
    ck_assert_uint_eq(world_stats(&world).tombstones, 0);
}
END_TEST

/* Everything is dead: steps without output. */
START_TEST(test_rewrite_of_nothing_but_tombstones)
{
    fill();
    write_rows(0, 1, 0);
    while (step())
        expect_rows();
    expect_rows();
    ck_assert_uint_eq(manifest()->run_count, 0);
    world_check(&world);
}
END_TEST

/* A scan that was opened before, between or after steps reads on in what it has. */
START_TEST(test_rewrite_leaves_open_scans_alone)
{
    struct kv_range everything = {0};
    struct kv_snapshot *snapshots[4];
    struct kv_scan *scans[4];
    struct kv_entry entry;
    unsigned counts[4] = {0};

    fill();
    for (unsigned i = 0; i < 4; i++) {
        snapshots[i] = world_snapshot(&world);
        ck_kv(kv_scan_open(snapshots[i], NULL, &everything, &scans[i]));
        step();
        for (unsigned s = 0; s <= i; s++) {
            for (unsigned k = 0; k < 20; k++, counts[s]++)
                ck_kv_fast(kv_scan_next(scans[s], &entry));
        }
    }
    while (step())
        ;
    for (unsigned s = 0; s < 4; s++) {
        while (kv_scan_next(scans[s], &entry) == KV_OK)
            counts[s]++;
        ck_assert_uint_eq(counts[s], ROWS / 3 * 2);
        kv_scan_close(scans[s]);
        kv_snapshot_free(snapshots[s]);
    }
}
END_TEST

/* ---- Deaths */

/* False: it was over before its nth call. */
static bool die_at(uint64_t nth, bool power)
{
    struct kv_compact_budget budget = {.bytes = 3 * STEP_BYTES};
    uint64_t left;
    bool died;

    begin();
    world_open(&world);
    fill();
    step();
    kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_FREEZE);
    (void)!kv_compact_some(world.store, NULL, &budget, &left);
    died = kv_memfs_fault_count(world.fs) > 0;
    kv_memfs_heal(world.fs);
    if (power)
        world_crash(&world, nth % 3 ? KV_MEMFS_RANDOM : KV_MEMFS_DROP, nth);
    else
        world_kill(&world);
    world_open(&world);
    expect_rows();
    world_check(&world);
    write_rows(1, 4, 'z');
    while (step())
        ;
    expect_rows();
    ck_kv_fast(kv_compact(world.store, NULL, NULL));
    expect_rows();
    world_check(&world);
    world_end(&world);
    return died;
}

/* Goal: wherever a merge is cut off, nothing is lost, nothing comes back, and it can go on. */
START_TEST(test_rewrite_deaths_at_every_call)
{
    unsigned stride = model_scaled(1) > 1 ? 1 : 3;
    uint64_t nth = 1 + (unsigned)_i % stride;

    while (die_at(nth, _i % 2))
        nth += stride;
    ck_assert_uint_gt(nth, 60);
}
END_TEST

static Suite *rewrite_suite(void)
{
    Suite *suite = suite_create("rewrite");
    TCase *tests = tcase_create("steps"), *deaths = tcase_create("deaths");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, test_rewrite_is_the_same_between_steps, 0, 2);
    tcase_add_test(tests, test_rewrite_needs_room_for_a_segment_only);
    tcase_add_test(tests, test_rewrite_with_writes_in_between);
    tcase_add_test(tests, test_rewrite_is_resumed_by_policy);
    tcase_add_test(tests, test_rewrite_is_taken_over);
    tcase_add_test(tests, test_rewrite_of_nothing_but_tombstones);
    tcase_add_test(tests, test_rewrite_leaves_open_scans_alone);
    suite_add_tcase(suite, tests);
    tcase_set_timeout(deaths, 60);
    tcase_add_loop_test(deaths, test_rewrite_deaths_at_every_call, 0, 4);
    suite_add_tcase(suite, deaths);
    return suite;
}

int main(void)
{
    return kv_run_suite(rewrite_suite());
}
