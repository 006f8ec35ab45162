/* The pace of writers: what they owe for what was committed while merges are behind. */
#include "pace.h"

#include "compact.h"
#include "engine_world.h"
#include "runner.h"

static struct world world;
static struct kv_policy policy;
static struct kv_pace pace;

static void setup(void)
{
    world_init(&world);
    world.options.settings.fanout = 2;
    world.options.settings.tiers = 1; /* two runs are nothing, four are the limit */
    world.options.settings.segment_bytes = 16 << 20;
    world_open(&world);
    policy = kv_compact_policy(&world.options.settings);
    pace = (struct kv_pace){0};
    kv_memfs_advance(world.fs, 10000);
}

static void teardown(void)
{
    world_end(&world);
}

static void add_runs(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        world_put(&world, "key", "row");
        engine_seal(&world);
    }
}

static void commit(size_t bytes)
{
    static const uint8_t row[4 << 20] = {1};
    struct kv_txn *txn = world_begin(&world);

    ck_assert_uint_le(bytes, sizeof(row));
    ck_kv(kv_txn_put(txn, kv_slice_text("large"), kv_slice_of(row, bytes)));
    ck_kv(kv_txn_commit(txn));
}

static unsigned ask(void)
{
    return kv_pace_ask(&pace, engine_of(&world), &policy);
}

/* Ask until nothing is owed any more; how long that takes, in milliseconds. */
static unsigned ask_until_paid(void)
{
    unsigned sum = 0, wait_ms;

    while ((wait_ms = ask()) > 0) {
        ck_assert_uint_le(wait_ms, KV_PACE_WAIT_MAX_MS);
        sum += wait_ms;
    }
    return sum;
}

static double milliseconds(double bytes, double pressure)
{
    return bytes * 1000 / kv_pace_rate(pressure);
}

/* Goal: equal steps of pressure divide the rate by equal factors; it falls all the way. */
START_TEST(test_pace_rate)
{
    for (double pressure = 0; pressure <= 1.6; pressure += 0.01) {
        ck_assert_double_gt(kv_pace_rate(pressure), kv_pace_rate(pressure + 0.01));
        ck_assert_double_eq_tol(kv_pace_rate(pressure) / kv_pace_rate(pressure + 0.4), 4, 1e-6);
    }
}
END_TEST

START_TEST(test_pace_without_pressure)
{
    add_runs(2);
    ck_assert_uint_eq(ask(), 0);
    commit(4 << 20);
    ck_assert_uint_eq(ask(), 0);
    /* What was committed then is not charged later. */
    add_runs(3);
    ck_assert_uint_le(ask(), 1);
}
END_TEST

/* Goal: bytes are paid for once, at the rate of the pressure, in short waits. */
START_TEST(test_pace_charges_what_was_committed)
{
    add_runs(4);
    ck_assert_uint_eq(ask(), 0); /* the first question */
    commit(1 << 20);
    ck_assert_uint_gt(ask(), 0);
    ask_until_paid();
    for (int i = 0; i < 3; i++) {
        commit(1 << 20);
        ck_assert_double_eq_tol(ask_until_paid(), milliseconds(1 << 20, 1), 2);
        ck_assert_uint_eq(ask(), 0);
    }
    add_runs(1);
    ask_until_paid();
    commit(1 << 17);
    ck_assert_double_eq_tol(ask_until_paid(), milliseconds(1 << 17, 1.5), 2);
}
END_TEST

/* Goal: what was committed is paid for by time that passes, too, but not in advance. */
START_TEST(test_pace_counts_time)
{
    add_runs(4);
    ask();
    commit(3 << 20);
    kv_memfs_advance(world.fs, 60000);
    ck_assert_uint_eq(ask(), 0);
    for (int i = 0; i < 3; i++) {
        commit(3 << 20);
        kv_memfs_advance(world.fs, 100);
        ck_assert_double_eq_tol(ask_until_paid(), milliseconds(3 << 20, 1) - 100, 12);
        kv_memfs_advance(world.fs, 300);
        ck_assert_uint_eq(ask(), 0);
    }
}
END_TEST

/* Goal: however much was committed, it is forgotten after a second's worth. */
START_TEST(test_pace_forgives)
{
    add_runs(4);
    ask();
    for (int i = 0; i < 6; i++)
        commit(4 << 20);
    ck_assert_uint_eq(ask(), KV_PACE_WAIT_MAX_MS);
    ck_assert_uint_eq(ask_until_paid(), 900);
}
END_TEST

/* Goal: what a merge has read weighs no more; what lies elsewhere does. */
START_TEST(test_pace_sees_merges_at_work)
{
    struct kv_engine *engine = engine_of(&world);

    add_runs(5);
    ask();
    commit(1 << 17);
    ck_assert_double_eq_tol(ask_until_paid(), milliseconds(1 << 17, 1.5), 12);
    engine->merging = (struct kv_merging){.id = 1,
                                          .first = run_of(&world, 1)->segments[0].number,
                                          .last = run_of(&world, 4)->segments[0].number,
                                          .input_count = 4,
                                          .input_bytes = 1000,
                                          .left_bytes = 500};
    kv_memfs_advance(world.fs, 1000);
    ask();
    commit(4 << 20);
    ck_assert_double_eq_tol(ask_until_paid(), milliseconds(4 << 20, 0.5), 12);
    engine->merging.left_bytes = 0;
    kv_memfs_advance(world.fs, 1000);
    ask();
    commit(4 << 20);
    ck_assert_uint_eq(ask(), 0);
    engine->merging = (struct kv_merging){0};
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pace");
    TCase *tests = tcase_create("pace");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_pace_rate);
    tcase_add_test(tests, test_pace_without_pressure);
    tcase_add_test(tests, test_pace_charges_what_was_committed);
    tcase_add_test(tests, test_pace_counts_time);
    tcase_add_test(tests, test_pace_forgives);
    tcase_add_test(tests, test_pace_sees_merges_at_work);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
