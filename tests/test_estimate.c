/*
 * Estimates of dead bytes: exact for small logs without overwrites, near for
 * large ones, never more than there is, and never a reason to fail.
 */
#include "estimate.h"

#include <stdio.h>

#include "engine_world.h"
#include "runner.h"

static struct world world;

static void setup(void)
{
    world_init(&world);
    world.options.settings.segment_bytes = 1 << 20; /* no seals but those that are asked for */
    world_open(&world);
}

static void teardown(void)
{
    world_end(&world);
}

/* One transaction that puts (or deletes) keys first, first+step … below end, with rows of this size. */
static void write_keys(unsigned first, unsigned end, unsigned step, size_t row_size, bool deleted)
{
    static const uint8_t row[1000] = {1};
    struct kv_txn *txn = world_begin(&world);

    for (unsigned i = first; i < end; i += step) {
        char text[16];
        struct kv_slice key = kv_slice_of(text, (size_t)snprintf(text, sizeof(text), "%08u", i));

        if (deleted)
            ck_kv_fast(kv_txn_delete(txn, key));
        else
            ck_kv_fast(kv_txn_put(txn, key, kv_slice_of(row, row_size)));
    }
    ck_kv(kv_txn_commit(txn));
}

static void put_keys(unsigned first, unsigned end, unsigned step, size_t row_size)
{
    write_keys(first, end, step, row_size, false);
}

static size_t run_count(void)
{
    return engine_of(&world)->manifest.run_count;
}

static const struct kv_segment_info *info_of(size_t run)
{
    return &run_of(&world, run)->segments[0];
}

/* Dead bytes that nobody but newer runs has made so: beyond COMMITs and overwrites in the log itself. */
static uint64_t superseded_in(size_t run)
{
    const struct kv_segment_info *info = info_of(run);

    return info->dead_bytes - (info->end_bytes - KV_HEADER_BYTES - info->entry_bytes);
}

static void expect_about(uint64_t value, uint64_t expected)
{
    ck_assert_msg(value * 10 >= expected * 8 && value * 10 <= expected * 12, "%llu, not about %llu",
                  (unsigned long long)value, (unsigned long long)expected);
}

START_TEST(test_estimate_of_the_first_run)
{
    put_keys(0, 100, 1, 50);
    engine_seal(&world);
    ck_assert_uint_eq(superseded_in(0), 0);
}
END_TEST

/* Every key once, in either log: the dead bytes are exactly the older records'. */
START_TEST(test_estimate_is_exact_for_small_logs)
{
    put_keys(0, 500, 1, 50);
    engine_seal(&world);
    put_keys(0, 500, 2, 10);
    engine_seal(&world);
    ck_assert_uint_eq(superseded_in(0), 0);
    ck_assert_uint_eq(superseded_in(1), info_of(1)->entry_bytes / 2);
    put_keys(1, 500, 2, 10);
    engine_seal(&world);
    ck_assert_uint_eq(superseded_in(2), info_of(2)->entry_bytes);
    ck_assert_uint_eq(superseded_in(1),
                      0); /* the newest run that has a key is what is superseded */
}
END_TEST

/* Keys overwritten within the new log count once. */
START_TEST(test_estimate_counts_overwritten_keys_once)
{
    put_keys(0, 400, 1, 50);
    engine_seal(&world);
    for (int i = 0; i < 2; i++)
        put_keys(0, 400, 2, 10);
    engine_seal(&world);
    ck_assert_uint_eq(superseded_in(1), info_of(1)->entry_bytes / 2);
}
END_TEST

START_TEST(test_estimate_samples_large_logs)
{
    put_keys(0, 12000, 1, 50);
    engine_seal(&world);
    put_keys(0, 12000, 4, 50);
    engine_seal(&world);
    expect_about(superseded_in(1), info_of(1)->entry_bytes / 4);
    put_keys(6000, 18000, 1, 5); /* half of it is new */
    engine_seal(&world);
    expect_about(superseded_in(1), info_of(1)->entry_bytes / 2);
    expect_about(superseded_in(2), info_of(2)->entry_bytes * 5 / 8);
    ck_assert_uint_eq(superseded_in(0), 0);
}
END_TEST

/* A tombstone makes what it hides dead; with nothing to hide it is dead itself. */
START_TEST(test_estimate_of_tombstones)
{
    put_keys(0, 200, 1, 50);
    engine_seal(&world);
    write_keys(0, 200, 2, 0, true);
    engine_seal(&world);
    ck_assert_uint_eq(superseded_in(1), info_of(1)->entry_bytes / 2);
    ck_assert_uint_eq(superseded_in(0), 0);
    write_keys(1000, 1100, 1, 0, true);
    engine_seal(&world);
    ck_assert_uint_eq(superseded_in(0), info_of(0)->entry_bytes);
    ck_assert_uint_eq(superseded_in(1), 0);
}
END_TEST

/*
 * Goal: never more dead than there is, however far off the estimate is.
 * Method: an old key overwritten a thousand times beside a thousand new ones:
 * counted as half of its times, it outweighs the segment that it is in.
 */
START_TEST(test_estimate_has_a_limit)
{
    put_keys(0, 1, 1, 50);
    engine_seal(&world);
    for (int i = 0; i < 1000; i++)
        put_keys(0, 1, 1, 0);
    put_keys(1, 1000, 1, 0);
    engine_seal(&world);
    ck_assert_uint_eq(run_count(), 2);
    ck_assert_uint_eq(info_of(1)->dead_bytes, info_of(1)->end_bytes - KV_HEADER_BYTES);
    ck_assert_uint_lt(info_of(0)->dead_bytes, info_of(0)->end_bytes - KV_HEADER_BYTES);
    world_reopen(&world); /* the manifest is valid */
    ck_assert_uint_eq(world_stats(&world).keys, 1000);
}
END_TEST

/* In a run of several segments it is the right one that gets it. */
START_TEST(test_estimate_finds_the_segment)
{
    struct kv_settings settings = world.options.settings;
    const struct kv_run *run;

    settings.max_segment_bytes = 65536;
    put_keys(0, 2000, 1, 100);
    engine_seal(&world);
    put_keys(2000, 4000, 1, 100);
    engine_seal(&world);
    ck_kv(engine_try_merge(&world, &settings));
    ck_assert_uint_gt(run_of(&world, 0)->segment_count, 4);
    put_keys(3990, 4000, 1, 1);
    put_keys(9000, 9010, 1, 1); /* behind all of them */
    engine_seal(&world);
    run = run_of(&world, 1);
    for (size_t i = 0; i < run->segment_count; i++) {
        if (i + 1 < run->segment_count)
            ck_assert_uint_eq(run->segments[i].dead_bytes, 0);
        else
            expect_about(run->segments[i].dead_bytes, 10 * 120);
    }
}
END_TEST

/* Goal: what cannot be read is not counted, and stops nothing. Method: damage an older run. */
START_TEST(test_estimate_of_damage)
{
    const struct kv_segment_info *info;

    put_keys(0, 100, 1, 50);
    engine_seal(&world);
    info = info_of(0);
    for (uint64_t at = KV_HEADER_BYTES; at < info->end_bytes; at += 16)
        kv_memfs_flip_bit(world.fs, segment_path(info->number), at, 2);
    put_keys(0, 100, 1, 50);
    engine_seal(&world);
    ck_assert_uint_eq(superseded_in(1), 0);
    ck_assert_uint_eq(superseded_in(0), 0);
}
END_TEST

/* Asked by a merge whether to stop: overwrite half of the keys, once. */
static bool overwrite_meanwhile(void *context)
{
    bool *done = context;

    if (!*done) {
        *done = true;
        put_keys(0, 2000, 2, 50);
        engine_seal(&world);
    }
    return false;
}

/*
 * Goal: what is overwritten while a merge reads it is noticed all the same.
 * Method: seal a log from within the merge; its keys are found in the inputs, which then go.
 */
START_TEST(test_estimate_of_what_a_merge_writes)
{
    struct kv_settings settings = world.options.settings;
    bool done = false;

    settings.interrupted = overwrite_meanwhile;
    settings.interrupted_context = &done;
    put_keys(0, 1000, 1, 50);
    engine_seal(&world);
    put_keys(1000, 2000, 1, 50);
    engine_seal(&world);
    ck_kv(engine_try_merge(&world, &settings));
    ck_assert(done);
    ck_assert_uint_eq(run_count(), 2);
    ck_assert_uint_eq(superseded_in(0), 0);
    expect_about(superseded_in(1), info_of(1)->entry_bytes / 2);
    ck_assert_uint_le(world_stats(&world).dead_bytes, world_stats(&world).live_bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("estimate");
    TCase *tests = tcase_create("estimate");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_estimate_of_the_first_run);
    tcase_add_test(tests, test_estimate_is_exact_for_small_logs);
    tcase_add_test(tests, test_estimate_counts_overwritten_keys_once);
    tcase_add_test(tests, test_estimate_samples_large_logs);
    tcase_add_test(tests, test_estimate_of_tombstones);
    tcase_add_test(tests, test_estimate_has_a_limit);
    tcase_add_test(tests, test_estimate_finds_the_segment);
    tcase_add_test(tests, test_estimate_of_damage);
    tcase_add_test(tests, test_estimate_of_what_a_merge_writes);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
