/*
 * Runs of which a merge has moved the lower part: MANIFEST says `low`, and keys
 * up to it are hidden in that run, for lookups, scans both ways and merges.
 *
 * Nothing in this version leaves a merge half done, so the manifests are made
 * by hand, over three runs with a model of each.
 */
#include <stdio.h>

#include "manifest.h"
#include "model.h"
#include "runner.h"
#include "world.h"

enum { RUNS = 3, ABSENT = 0, DELETED = UINT32_MAX };

static struct world world;
static uint32_t runs[RUNS][MODEL_KEYS]; /* newest first: what each run says of a key */

/* ---- Three runs */

static uint32_t filling_row(void)
{
    uint32_t number = 1;

    while (model_row(number).size < 62000)
        number++;
    return number;
}

static void write_key(struct kv_txn *txn, uint32_t *run, unsigned key, uint32_t number)
{
    if (number == DELETED)
        ck_kv(kv_txn_delete(txn, model_key(key)));
    else
        ck_kv(kv_txn_put(txn, model_key(key), model_row(number)));
    run[key] = number;
}

/* The oldest: every third key is missing; in several segments. */
static void make_oldest(void)
{
    struct kv_txn *txn = world_begin(&world);

    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        if (key % 3 != 2)
            write_key(txn, runs[2], key, 1000 + key);
    }
    ck_kv(kv_txn_commit(txn));
    ck_kv(kv_compact(world.store, NULL, NULL));
}

/* A sealed log: rows and tombstones of every `step`th key, and one row that fills it. */
static void make_newer(uint32_t *run, unsigned step, uint32_t first)
{
    struct kv_txn *txn = world_begin(&world);

    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        if (key % step == 0)
            write_key(txn, run, key, key % 7 == 1 ? DELETED : first + key);
    }
    write_key(txn, run, 5, filling_row());
    write_key(txn, run, 5, first + 5);
    write_key(txn, run, 0, first);
    ck_kv(kv_txn_commit(txn));
}

static void setup(void)
{
    memset(runs, 0, sizeof(runs));
    world_init(&world);
    world.options.settings.max_segment_bytes = 64 * 1024;
    world_open(&world);
    make_oldest();
    make_newer(runs[1], 2, 5000);
    make_newer(runs[0], 5, 9000);
    ck_assert_uint_eq(world_stats(&world).runs, RUNS);
    ck_assert_uint_ge(world_stats(&world).segments, RUNS + 2);
    world_close(&world);
}

static void teardown(void)
{
    world_end(&world);
}

/* ---- Hiding */

/* Hide keys up to `low` in one run: in the manifest, and in the model. */
static void hide(unsigned run, struct kv_slice low)
{
    struct kv_manifest manifest;
    struct kv_dir *dir;
    bool renamed;

    ck_kv(kv_io_dir_open(world.io, WORLD_PATH, &dir));
    ck_kv(kv_manifest_load(world.io, dir, WORLD_PATH, &manifest));
    ck_assert_uint_eq(manifest.run_count, RUNS);
    manifest.generation++;
    manifest.runs[run].has_low = true;
    ck_kv(kv_buffer_set(&manifest.runs[run].low, low));
    ck_kv(kv_manifest_replace(world.io, dir, 0600, &manifest, &renamed));
    kv_manifest_release(&manifest);
    kv_io_dir_close(dir);
    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        if (kv_slice_compare(model_key(key), low) <= 0)
            runs[run][key] = ABSENT;
    }
}

static struct model_state visible(void)
{
    struct model_state state = {{0}};

    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        for (unsigned run = 0; run < RUNS && state.rows[key] == ABSENT; run++)
            state.rows[key] = runs[run][key];
        if (state.rows[key] == DELETED)
            state.rows[key] = 0;
    }
    return state;
}

/* Lookups, the whole both ways, and ranges that begin and end all about. */
static void expect_visible(const struct model_state *state)
{
    struct kv_snapshot *snapshot = world_snapshot(&world);

    model_expect(state, snapshot, NULL);
    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        unsigned last = key + key % 23 < MODEL_KEYS ? key + key % 23 : MODEL_KEYS;

        model_expect_key(state, snapshot, NULL, key);
        if (key % 3 != 0)
            continue;
        model_expect_range(state, snapshot, NULL, key, last, key % 2);
        model_expect_range(state, snapshot, NULL, key, MODEL_KEYS, key % 2 == 0);
        model_expect_range(state, snapshot, NULL, 0, key, key % 2 == 0);
    }
    kv_snapshot_free(snapshot);
}

/* As it is, read-only, merged by policy and merged as a whole: the same rows. */
static void expect_everywhere(void)
{
    struct model_state state = visible();
    struct kv_txn *txn;

    world.options.readonly = true;
    world_open(&world);
    expect_visible(&state);
    world_close(&world);
    world.options.readonly = false;
    world.options.settings.fanout = 2;
    world.options.settings.auto_compact = true;
    world_open(&world);
    expect_visible(&state);
    world_check(&world);
    txn = world_begin(&world); /* one more run sets the policy off */
    ck_kv(kv_txn_put(txn, model_key(7), model_row(filling_row())));
    ck_kv(kv_txn_put(txn, model_key(7), model_row(77)));
    state.rows[7] = 77;
    ck_kv(kv_txn_commit(txn));
    ck_assert_uint_gt(world_stats(&world).compactions_since_open, 0);
    expect_visible(&state);
    ck_kv(kv_compact(world.store, NULL, NULL));
    expect_visible(&state);
    ck_assert_uint_eq(world_stats(&world).records, model_count(&state));
    world_check(&world);
    world_reopen(&world);
    expect_visible(&state);
}

/* Each run in turn, at keys that it has and has not, and between all keys. */
START_TEST(test_low_hides_in_one_run)
{
    struct kv_slice low = model_key((unsigned)_i / RUNS * 23);

    hide((unsigned)_i % RUNS, low);
    expect_everywhere();
}
END_TEST

START_TEST(test_low_hides_nothing_or_all)
{
    static const uint8_t first[] = {0}, last[] = {0xff, 0xff};

    hide((unsigned)_i % RUNS,
         _i < RUNS ? kv_slice_of(first, sizeof(first)) : kv_slice_of(last, sizeof(last)));
    expect_everywhere();
}
END_TEST

START_TEST(test_low_hides_in_all_runs)
{
    hide(0, model_key(40));
    hide(1, model_key(41));
    hide(2, model_key(120));
    expect_everywhere();
}
END_TEST

/* A tombstone that is hidden hides nothing; one that is not needs what is under it hidden to go. */
START_TEST(test_low_and_tombstones)
{
    struct model_state state;

    hide(1, model_key(90));
    state = visible();
    /* 8 and 36 are deleted in the middle run, which is hidden there: the oldest shows. */
    ck_assert_uint_eq(state.rows[36], 1036);
    ck_assert_uint_eq(state.rows[92], 0); /* 92 % 7 == 1: deleted, and not hidden */
    expect_everywhere();
}
END_TEST

/* Merging all runs frees what is hidden, also if there is but one run. */
START_TEST(test_low_is_gone_after_compaction)
{
    world_open(&world);
    ck_kv(kv_compact(world.store, NULL, NULL));
    world_close(&world);
    struct kv_manifest manifest;
    struct kv_dir *dir;
    bool renamed;
    uint64_t freed;

    ck_kv(kv_io_dir_open(world.io, WORLD_PATH, &dir));
    ck_kv(kv_manifest_load(world.io, dir, WORLD_PATH, &manifest));
    ck_assert_uint_eq(manifest.run_count, 1);
    manifest.generation++;
    manifest.runs[0].has_low = true;
    ck_kv(kv_buffer_set(&manifest.runs[0].low, model_key(100)));
    ck_kv(kv_manifest_replace(world.io, dir, 0600, &manifest, &renamed));
    kv_manifest_release(&manifest);
    kv_io_dir_close(dir);
    world_open(&world);
    ck_kv(kv_compact(world.store, NULL, &freed));
    ck_assert_uint_gt(freed, 10000);
    ck_assert_uint_eq(world_stats(&world).records, world_stats(&world).keys);
    world_check(&world);
}
END_TEST

static Suite *low_suite(void)
{
    Suite *suite = suite_create("low");
    TCase *tests = tcase_create("hidden parts of runs");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, test_low_hides_in_one_run, 0, RUNS * 7);
    tcase_add_loop_test(tests, test_low_hides_nothing_or_all, 0, 2 * RUNS);
    tcase_add_test(tests, test_low_hides_in_all_runs);
    tcase_add_test(tests, test_low_and_tombstones);
    tcase_add_test(tests, test_low_is_gone_after_compaction);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(low_suite());
}
