/*
 * Waiting for other writers and for merges: as long as was asked for, and no
 * longer than somebody wants to wait.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "names.h"
#include "runner.h"
#include "store.h"
#include "world.h"

enum { STEP_MS = 50, RUN_LIMIT = 4 };

static struct world world;
static struct kv_settings settings; /* of who waits */

/* Asked by who waits: says when to stop, and may let the wait end well. */
static struct questions {
    unsigned asked, stop_at;
    struct kv_txn *ends; /* a transaction to end at the second question; NULL: none */
} questions;

static bool interrupted(void *context)
{
    ck_assert_ptr_eq(context, &questions);
    questions.asked++;
    if (questions.asked == 2) {
        kv_txn_abort(questions.ends);
        questions.ends = NULL;
    }
    return questions.asked == questions.stop_at;
}

static void setup(void)
{
    world_init(&world);
    world.options.settings.fanout = 2;
    world.options.settings.tiers = 1;
    world_open(&world);
    settings = world.options.settings;
    settings.interrupted = interrupted;
    settings.interrupted_context = &questions;
    settings.busy_timeout_ms = 10 * STEP_MS;
    questions = (struct questions){0};
}

static void teardown(void)
{
    world_end(&world);
}

/* ---- For a writer */

START_TEST(test_patience_for_a_writer_can_be_interrupted)
{
    struct kv_txn *txn = world_begin(&world), *other;

    questions.stop_at = 3;
    ck_kv_is(kv_txn_begin(world.store, &settings, &other), KV_INTERRUPTED);
    ck_assert_ptr_null(other);
    ck_assert_uint_eq(questions.asked, 3);
    questions = (struct questions){.stop_at = 3};
    ck_kv_is(kv_compact(world.store, &settings, NULL), KV_INTERRUPTED);
    ck_assert_uint_eq(questions.asked, 3);
    kv_txn_abort(txn);
    ck_kv(kv_txn_begin(world.store, &settings, &other));
    kv_txn_abort(other);
}
END_TEST

/* Goal: all of the time is waited, in steps; and without any, nobody is asked. */
START_TEST(test_patience_for_a_writer_ends_with_the_time)
{
    struct kv_txn *txn = world_begin(&world), *other;

    ck_kv_is(kv_txn_begin(world.store, &settings, &other), KV_BUSY);
    ck_assert_uint_eq(questions.asked, 10 + 1);
    questions.asked = 0;
    settings.busy_timeout_ms = 0;
    ck_kv_is(kv_txn_begin(world.store, &settings, &other), KV_BUSY);
    ck_assert_uint_eq(questions.asked, 0);
    kv_txn_abort(txn);
}
END_TEST

START_TEST(test_patience_for_a_writer_is_rewarded)
{
    struct kv_txn *other;

    questions.ends = world_begin(&world);
    ck_kv(kv_txn_begin(world.store, &settings, &other));
    ck_assert_uint_eq(questions.asked, 2);
    kv_txn_abort(other);
}
END_TEST

/* ---- For another merge */

START_TEST(test_patience_for_a_compactor_can_be_interrupted)
{
    ck_kv(kv_engine_take_compactor(&world.store->engine, 0));
    questions.stop_at = 5;
    ck_kv_is(kv_compact(world.store, &settings, NULL), KV_INTERRUPTED);
    ck_assert_uint_eq(questions.asked, 5);
    kv_engine_drop_compactor(&world.store->engine);
    ck_kv(kv_compact(world.store, &settings, NULL));
}
END_TEST

/* ---- For merges to catch up */

/* More runs than there should be, with enough in them for a merge to ask whether to go on. */
static void pile_up(void)
{
    struct kv_txn *txn = world_begin(&world);

    for (unsigned i = 0; i < 1000; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%u", i);
        txn_put(txn, key, "small");
    }
    ck_kv(kv_txn_commit(txn));
    for (int i = 0; i <= RUN_LIMIT; i++) {
        world_put(&world, "again", "and again"); /* keeps logs from being joined */
        world_seal(&world);
    }
    ck_assert_uint_gt(world_stats(&world).runs, RUN_LIMIT);
    settings.auto_compact = true;
}

START_TEST(test_patience_with_merges_ends_with_the_time)
{
    struct kv_txn *txn;

    ck_assert(!kv_store_is_behind(world.store, &settings));
    pile_up();
    ck_assert(kv_store_is_behind(world.store, &settings));
    /* Somebody is at it, but does not get done. */
    ck_kv(kv_engine_take_compactor(&world.store->engine, 0));
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    ck_assert_uint_eq(questions.asked, 10 + 1);
    ck_assert_uint_gt(world_stats(&world).runs, RUN_LIMIT);
    kv_txn_abort(txn);
    kv_engine_drop_compactor(&world.store->engine);
}
END_TEST

START_TEST(test_patience_with_merges_turns_into_help)
{
    struct kv_txn *txn;

    pile_up();
    settings.busy_timeout_ms = (unsigned)_i * STEP_MS;
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    ck_assert_uint_ge(questions.asked, (unsigned)_i);
    ck_assert_uint_lt(world_stats(&world).runs, RUN_LIMIT);
    ck_assert(!kv_store_is_behind(world.store, &settings));
    txn_put(txn, "a", "1");
    ck_kv(kv_txn_commit(txn));
    world_expect(&world, "a", "1");
    world_check(&world);
}
END_TEST

/* Goal: at each moment: while waiting, and while merging. */
START_TEST(test_patience_with_merges_can_be_interrupted)
{
    struct kv_txn *txn;

    pile_up();
    settings.busy_timeout_ms = 2 * STEP_MS;
    questions.stop_at = (unsigned)_i + 1;
    ck_kv_is(kv_txn_begin(world.store, &settings, &txn), KV_INTERRUPTED);
    ck_assert_ptr_null(txn);
    ck_assert_uint_gt(world_stats(&world).runs, RUN_LIMIT);
    world_put(&world, "a", "1"); /* nothing is held */
    world_check(&world);
}
END_TEST

START_TEST(test_patience_is_not_for_merges_that_are_off)
{
    struct kv_txn *txn;

    pile_up();
    settings.auto_compact = false;
    ck_assert(!kv_store_is_behind(world.store, &settings));
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    ck_assert_uint_eq(questions.asked, 0);
    ck_assert_uint_gt(world_stats(&world).runs, RUN_LIMIT);
    kv_txn_abort(txn);
}
END_TEST

/* ---- With a thread in the background */

/* Open the same store again, now with a thread. It has nothing to do before somebody says so. */
static void open_with_thread(void)
{
    world_close(&world);
    world.options.foreground = false;
    world_open(&world);
    ck_assert(world.store->maintainer.running);
}

static void sleep_ms(long ms)
{
    struct timespec nap = {.tv_nsec = ms * 1000000};

    nanosleep(&nap, NULL);
}

static bool wait_a_little(void *context)
{
    sleep_ms(STEP_MS);
    return interrupted(context);
}

/* Goal: the thread learns that there is work, and who waits sees it done. */
START_TEST(test_patience_with_a_thread_is_rewarded)
{
    struct kv_txn *txn;

    pile_up();
    open_with_thread();
    settings.interrupted = wait_a_little; /* time stands still in memory */
    settings.busy_timeout_ms = 400 * STEP_MS;
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    ck_assert_uint_lt(questions.asked, 400);
    ck_assert_uint_lt(world_stats(&world).runs, RUN_LIMIT);
    kv_txn_abort(txn);
}
END_TEST

/* Begin and end a transaction; how long it was to wait for the pace's sake. (Time stands still in memory.) */
static uint64_t paced_ms(void)
{
    uint64_t before_ms = world.store->pace.at_ms;
    struct kv_txn *txn;

    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    kv_txn_abort(txn);
    return world.store->pace.at_ms - before_ms;
}

static void put_large_row(void)
{
    static const uint8_t row[100000] = {1};
    struct kv_txn *txn;

    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    ck_kv(kv_txn_put(txn, kv_slice_text("a"), kv_slice_of(row, sizeof(row))));
    ck_kv(kv_txn_commit(txn));
}

/*
 * Goal: who writes faster than the thread merges is slowed down, also one who waits for
 * nobody, and only while there are too many runs.
 */
START_TEST(test_patience_keeps_pace_with_the_thread)
{
    pile_up();
    open_with_thread();
    settings.busy_timeout_ms = 0;
    ck_kv(kv_engine_take_compactor(&world.store->engine, 0)); /* the thread does not get on */
    paced_ms();                                               /* what was before is not charged */
    put_large_row();
    ck_assert_uint_eq(paced_ms(), KV_PACE_WAIT_MAX_MS);
    settings.auto_compact = false;
    put_large_row();
    ck_assert_uint_eq(paced_ms(), 0);
    kv_engine_drop_compactor(&world.store->engine);
    ck_kv(kv_compact(world.store, &settings, NULL));
    settings.auto_compact = true;
    put_large_row();
    ck_assert_uint_eq(paced_ms(), 0);
}
END_TEST

/*
 * Goal: nobody is slowed down for the sake of merges that nobody makes.
 * Method: the thread was told not to merge, by another user; who is slowed down tells it better.
 */
START_TEST(test_patience_keeps_pace_with_a_thread_at_work)
{
    uint64_t waited_ms;

    pile_up();
    world.options.settings.auto_compact = false;
    open_with_thread();
    settings.fanout = 3;               /* there are more runs than should be, but not too many */
    settings.segment_bytes = 16 << 20; /* sealing would tell it, too */
    settings.busy_timeout_ms = 0;
    for (waited_ms = 0; waited_ms == 0; waited_ms = paced_ms())
        put_large_row();
    for (int i = 0; i < 40 && world_stats(&world).runs >= settings.fanout; i++)
        sleep_ms(STEP_MS);
    ck_assert_uint_lt(world_stats(&world).runs, settings.fanout);
}
END_TEST

/* Spoil the middle of every sealed segment. */
static enum kv_status spoil(void *context, const struct kv_segment_report *report)
{
    struct kv_dir *dir = context;
    struct kv_file *file;
    char name[KV_NAME_BYTES];

    if (report->state == KV_SEGMENT_ACTIVE)
        return KV_OK;
    kv_name_segment(name, report->number);
    ck_kv(kv_io_file_open(dir, name, KV_OPEN_WRITE, 0, &file));
    ck_kv(kv_io_write(file, report->file_bytes / 2, "spoilt", 6));
    kv_io_file_close(file);
    return KV_OK;
}

/* Goal: a store whose merges fail does not make every transaction wait, or try it again. */
START_TEST(test_patience_is_not_for_merges_that_fail)
{
    struct kv_txn *txn;
    unsigned asked;

    pile_up();
    ck_kv(kv_store_segments(world.store, NULL, spoil, world.store->engine.place.dir));
    open_with_thread();
    settings.interrupted = wait_a_little;
    for (int i = 0; i < 400 && !kv_maintainer_fails(&world.store->maintainer); i++) {
        questions.asked = 0;
        ck_kv(kv_txn_begin(world.store, &settings, &txn));
        kv_txn_abort(txn);
    }
    ck_assert(kv_maintainer_fails(&world.store->maintainer));
    asked = questions.asked;
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    ck_assert_uint_eq(questions.asked, asked);
    ck_assert(kv_store_is_behind(world.store, &settings));
    kv_txn_abort(txn);
}
END_TEST

/* ---- Checks */

static enum kv_status no_problem(void *context, const struct kv_problem *problem)
{
    (void)context;
    return kv_fail(KV_CORRUPT, "%s", problem->text);
}

/* Goal: also a long log is read in parts, between which somebody can be asked. */
START_TEST(test_patience_with_a_check_of_the_log_ends)
{
    settings.segment_bytes = 1 << 30;
    for (int i = 0; i < 4; i++) {
        struct kv_txn *txn;
        char *row = calloc(1, 1 << 20);

        ck_kv(kv_txn_begin(world.store, &settings, &txn));
        ck_kv(kv_txn_put(txn, kv_slice_text("a"), kv_slice_of(row, 1 << 20)));
        ck_kv(kv_txn_commit(txn));
        free(row);
    }
    ck_assert_uint_eq(world_stats(&world).segments, 1);
    questions.stop_at = (unsigned)_i;
    ck_kv_is(kv_store_check(world.store, &settings, no_problem, NULL), _i ? KV_INTERRUPTED : KV_OK);
    ck_assert_uint_ge(questions.asked, _i ? (unsigned)_i : 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("patience");
    TCase *all = tcase_create("patience");

    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, test_patience_for_a_writer_can_be_interrupted);
    tcase_add_test(all, test_patience_for_a_writer_ends_with_the_time);
    tcase_add_test(all, test_patience_for_a_writer_is_rewarded);
    tcase_add_test(all, test_patience_for_a_compactor_can_be_interrupted);
    tcase_add_test(all, test_patience_with_merges_ends_with_the_time);
    tcase_add_loop_test(all, test_patience_with_merges_turns_into_help, 0, 3);
    tcase_add_loop_test(all, test_patience_with_merges_can_be_interrupted, 0, 4);
    tcase_add_test(all, test_patience_is_not_for_merges_that_are_off);
    tcase_add_test(all, test_patience_with_a_thread_is_rewarded);
    tcase_add_test(all, test_patience_keeps_pace_with_the_thread);
    tcase_add_test(all, test_patience_keeps_pace_with_a_thread_at_work);
    tcase_add_test(all, test_patience_is_not_for_merges_that_fail);
    tcase_add_loop_test(all, test_patience_with_a_check_of_the_log_ends, 0, 4);
    suite_add_tcase(suite, all);
    return kv_run_suite(suite);
}
