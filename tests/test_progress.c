/* How far a merge has come, as statistics tell it: while it works, and when it was left open. */
#include "progress.h"

#include <stdio.h>

#include "engine_world.h"
#include "runner.h"

static struct world world;

static void setup(void)
{
    world_init(&world);
    world.options.settings.segment_bytes = 16 << 20; /* no seals but those that are asked for */
    world_open(&world);
}

static void teardown(void)
{
    world_end(&world);
}

/* What statistics have said of a merge, asked whenever that asks whether to go on. */
struct watch {
    uint64_t questions, changes, written_bytes, left_bytes;
};

static enum kv_status expect_merging(void *context, const struct kv_segment_report *report)
{
    const struct watch *watch = context;
    char expected[160];

    if (report->state == KV_SEGMENT_ACTIVE)
        return KV_OK;
    snprintf(expected, sizeof(expected), "merge 1: %llu bytes written, %llu to read",
             (unsigned long long)watch->written_bytes, (unsigned long long)watch->left_bytes);
    ck_assert_int_eq(report->state, KV_SEGMENT_MERGING);
    ck_assert_str_eq(report->reason, expected);
    return KV_OK;
}

static bool watch_merge(void *context)
{
    struct watch *watch = context;
    struct kv_stats stats = world_stats(&world);

    if (stats.merge_id == 0) /* it is sealing */
        return false;
    ck_assert_uint_eq(stats.merge_id, 1);
    ck_assert_uint_ge(stats.merge_written_bytes, watch->written_bytes);
    if (watch->questions++ > 0)
        ck_assert_uint_le(stats.merge_left_bytes, watch->left_bytes);
    watch->changes += stats.merge_left_bytes != watch->left_bytes;
    watch->written_bytes = stats.merge_written_bytes;
    watch->left_bytes = stats.merge_left_bytes;
    ck_kv(kv_store_segments(world.store, NULL, expect_merging, watch));
    return false;
}

/* Two runs of 20,000 rows, every second one in both. */
static uint64_t fill_for_merge(void)
{
    char key[16];

    for (unsigned run = 0; run < 2; run++) {
        struct kv_txn *txn = world_begin(&world);

        for (unsigned i = 0; i < 20000; i++) {
            snprintf(key, sizeof(key), "%06u", i * (run + 1));
            ck_kv_fast(kv_txn_put(txn, kv_slice_text(key), kv_slice_text("some row or other")));
        }
        ck_kv(kv_txn_commit(txn));
        engine_seal(&world);
    }
    return world_stats(&world).data_bytes;
}

/* Goal: who looks while a merge works sees less and less to be read, and what it has written grow. */
START_TEST(test_progress_of_a_merge_at_work)
{
    struct kv_settings settings = world.options.settings;
    struct watch watch = {0};
    uint64_t before_bytes;

    before_bytes = fill_for_merge();
    ck_assert_uint_eq(world_stats(&world).merge_id, 0);
    settings.interrupted = watch_merge;
    settings.interrupted_context = &watch;
    ck_kv(kv_compact(world.store, &settings, NULL));
    ck_assert_uint_ge(watch.changes, 5);
    ck_assert_uint_lt(watch.left_bytes, before_bytes / 2);
    ck_assert_uint_gt(watch.written_bytes, before_bytes / 4);
    ck_assert_uint_eq(world_stats(&world).merge_id, 0);
    ck_assert_uint_eq(world_stats(&world).merge_left_bytes, 0);
}
END_TEST

/* Goal: a merge that was left open is told of as well, also after opening again. */
START_TEST(test_progress_of_an_open_merge)
{
    struct kv_compact_budget budget = {.bytes = 200000};
    struct kv_stats stats;
    struct watch watch;
    uint64_t left;

    fill_for_merge();
    ck_kv(kv_compact_some(world.store, NULL, &budget, &left));
    ck_assert_uint_gt(left, 0);
    for (int i = 0; i < 2; i++) {
        stats = world_stats(&world);
        ck_assert_uint_eq(stats.merge_id, 1);
        ck_assert_uint_eq(stats.merge_left_bytes, left);
        ck_assert_uint_ge(stats.merge_written_bytes, 200000);
        watch = (struct watch){.written_bytes = stats.merge_written_bytes, .left_bytes = left};
        ck_kv(kv_store_segments(world.store, NULL, expect_merging, &watch));
        world_reopen(&world);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("progress");
    TCase *tests = tcase_create("progress");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_progress_of_a_merge_at_work);
    tcase_add_test(tests, test_progress_of_an_open_merge);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
