/* Maintenance as kv.h promises it: compaction, sync, statistics, waiting for other writers. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "header.h"
#include "names.h"
#include "record.h"
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

/* ---- kv_compact */

START_TEST(test_kv_compact_frees_what_is_dead)
{
    uint64_t freed = 1, before;

    ck_kv(kv_compact(world.store, NULL, &freed));
    ck_assert_uint_eq(freed, 0);
    for (int turn = 0; turn < 5; turn++)
        world_fill(&world, "k", 0, 60); /* 300 KB, a fifth of it alive */
    for (unsigned i = 0; i < 60; i += 2) {
        char key[16];

        snprintf(key, sizeof(key), "k%04u", i);
        world_delete(&world, key);
    }
    before = world_stats(&world).data_bytes + world_stats(&world).index_bytes;
    ck_kv(kv_compact(world.store, NULL, &freed));
    ck_assert_uint_eq(freed,
                      before - world_stats(&world).data_bytes - world_stats(&world).index_bytes);
    ck_assert_uint_gt(freed, 200000);
    ck_assert_uint_eq(world_stats(&world).keys, 30);
    ck_assert_uint_eq(world_stats(&world).records, 30);
    ck_assert_uint_eq(world_stats(&world).tombstones, 0);
    ck_assert_uint_eq(world_stats(&world).dead_bytes, 0);
    ck_assert_uint_eq(world_stats(&world).runs, 1);
    world_check(&world);
    /* Again: there is nothing to do, and nothing is done. */
    before = world_files_digest(&world);
    ck_kv(kv_compact(world.store, NULL, &freed));
    ck_assert_uint_eq(freed, 0);
    ck_assert_uint_eq(world_files_digest(&world), before);
}
END_TEST

START_TEST(test_kv_compact_of_deletions_leaves_nothing)
{
    world_fill(&world, "k", 0, 100);
    for (unsigned i = 0; i < 100; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%04u", i);
        world_delete(&world, key);
    }
    ck_kv(kv_compact(world.store, NULL, NULL));
    ck_assert_uint_eq(world_stats(&world).runs, 0);
    ck_assert_uint_eq(world_stats(&world).records, 0);
    world_reopen(&world);
    world_expect_all(&world, "");
    ck_assert_uint_eq(kv_store_seq(world.store), 200);
    world_put(&world, "a", "1");
    world_check(&world);
}
END_TEST

static enum kv_status name_active(void *context, const struct kv_segment_report *report)
{
    if (report->state == KV_SEGMENT_ACTIVE)
        *(uint64_t *)context = report->number;
    return KV_OK;
}

START_TEST(test_kv_compact_is_refused_while_busy)
{
    struct kv_txn *txn;
    uint64_t freed = 7, number = 0;
    char name[KV_NAME_BYTES];

    world_fill(&world, "k", 0, 10);
    txn = world_begin(&world);
    ck_kv_is(kv_compact(world.store, NULL, &freed), KV_BUSY);
    ck_assert_uint_eq(freed, 0);
    kv_txn_abort(txn);
    ck_kv(kv_store_segments(world.store, NULL, name_active, &number));
    kv_name_segment(name, number);
    ck_assert(world_has_file(&world, name));
    ck_kv(kv_compact(world.store, NULL, &freed));
}
END_TEST

/* Asked by a compaction: start another one, and say when to stop. */
struct questions {
    unsigned asked, stop_at;
};

static bool interrupted(void *context)
{
    struct questions *questions = context;

    ck_kv_is(kv_compact(world.store, NULL, NULL), KV_BUSY); /* one at a time */
    world_put(&world, "meanwhile", "others write");
    return ++questions->asked == questions->stop_at;
}

START_TEST(test_kv_compact_can_be_interrupted)
{
    struct kv_settings settings = world.options.settings;
    struct questions questions = {.stop_at = 2};
    uint64_t freed = 7, digest;

    for (int turn = 0; turn < 3; turn++)
        world_fill(&world, "k", 0, 1000);
    world_put(&world, "meanwhile", "others write");
    digest = world_digest(&world);
    settings.interrupted = interrupted;
    settings.interrupted_context = &questions;
    settings.segment_bytes = WORLD_SEGMENT_BYTES;
    ck_kv_is(kv_compact(world.store, &settings, &freed), KV_INTERRUPTED);
    ck_assert_uint_eq(questions.asked, 2);
    ck_assert_uint_eq(freed, 0);
    ck_assert_uint_eq(world_digest(&world), digest);
    world_check(&world); /* no unfinished file */
    world_reopen(&world);
    ck_assert_uint_eq(world_digest(&world), digest);
    questions.stop_at = 0;
    ck_kv(kv_compact(world.store, &settings, &freed));
    ck_assert_uint_gt(questions.asked, 2);
    ck_assert_uint_eq(world_digest(&world), digest);
    world_check(&world);
}
END_TEST

START_TEST(test_kv_compact_respects_max_segment_bytes)
{
    struct kv_settings settings = world.options.settings;

    settings.max_segment_bytes = 64 * 1024;
    world_fill(&world, "k", 0, 300);
    ck_kv(kv_compact(world.store, &settings, NULL));
    ck_assert_uint_eq(world_stats(&world).runs, 1);
    ck_assert_uint_ge(world_stats(&world).segments, 1 + 5);
    ck_assert_uint_eq(world_stats(&world).keys, 300);
    world_check(&world);
    world_reopen(&world);
    ck_assert_uint_eq(world_stats(&world).keys, 300);
}
END_TEST

START_TEST(test_kv_compact_needs_free_space)
{
    uint64_t digest;

    for (int turn = 0; turn < 3; turn++)
        world_fill(&world, "k", 0, 100);
    digest = world_digest(&world);
    kv_memfs_set_space(world.fs, world_stats(&world).disk_bytes + 1000000);
    ck_kv_is(kv_compact(world.store, NULL, NULL), KV_FULL);
    ck_assert_uint_eq(world_digest(&world), digest);
    world_check(&world);
    kv_memfs_set_space(world.fs, UINT64_MAX);
    ck_kv(kv_compact(world.store, NULL, NULL));
    ck_assert_uint_eq(world_digest(&world), digest);
    ck_assert_uint_eq(world_stats(&world).records, 100);
}
END_TEST

/* ---- Compaction by itself */

/*
 * Goal: compaction by policy comes to an end and keeps the store small.
 * Method: overwrite the same keys again and again; runs that newer ones
 * supersede are rewritten, and must not be chosen for ever.
 */
START_TEST(test_kv_auto_compaction_ends)
{
    struct kv_settings *settings = &world.options.settings;

    for (unsigned tiers = 1; tiers <= 3; tiers++) {
        teardown();
        world_init(&world);
        settings->auto_compact = true;
        settings->tiers = tiers;
        settings->fanout = 4;
        world_open(&world);
        for (int turn = 0; turn < 12; turn++) {
            world_fill(&world, "k", 0, 70);
            ck_assert_uint_le(world_stats(&world).runs, 8);
        }
        ck_assert_uint_eq(world_stats(&world).keys, 70);
        ck_assert_uint_lt(world_stats(&world).data_bytes, 70 * 1100 * 5);
        ck_assert_uint_gt(world_stats(&world).compactions_since_open, 0);
        world_check(&world);
    }
}
END_TEST

START_TEST(test_kv_auto_compaction_can_be_off)
{
    for (int turn = 0; turn < 12; turn++)
        world_fill(&world, "k", 0, 70);
    ck_assert_uint_ge(world_stats(&world).runs, 12);
    ck_assert_uint_eq(world_stats(&world).compactions, 0);
    ck_assert_uint_eq(world_stats(&world).keys, 70);
    world_check(&world);
}
END_TEST

/* Keys in order: runs are joined, not rewritten. */
START_TEST(test_kv_ascending_logs_are_joined)
{
    world_close(&world);
    world.options.settings.auto_compact = true;
    world.options.settings.max_segment_bytes = 256 * 1024;
    world_open(&world);
    world_fill(&world, "k", 0, 1500);
    ck_assert_uint_le(world_stats(&world).runs, 3 * 3);
    ck_assert_uint_eq(world_stats(&world).compactions, 0);
    ck_assert_double_eq(world_stats(&world).write_amplification, 1);
    ck_assert_uint_eq(world_stats(&world).keys, 1500);
    world_check(&world);
    world_reopen(&world);
    world_check(&world);
}
END_TEST

/* Put until it succeeds: a begin reports what an overdue seal runs into. */
static void put_at_last(unsigned i)
{
    static const char row[1000];
    char key[16];
    enum kv_status st = KV_FULL;

    snprintf(key, sizeof(key), "k%04u", i);
    for (int attempt = 0; st != KV_OK; attempt++) {
        st = kv_put(world.store, kv_slice_text(key), kv_slice_of(row, sizeof(row)));
        ck_assert(st == KV_OK || st == KV_FULL || st == KV_NOMEM);
        ck_assert_int_lt(attempt, 3);
    }
}

/*
 * Goal: what fails after a commit concerns the store only: it is tried again
 * later, and leaves no files behind.
 */
START_TEST(test_kv_failed_maintenance_does_no_harm)
{
    for (uint64_t nth = 1; nth < 120; nth += 3) {
        teardown();
        world_init(&world);
        world.options.settings.auto_compact = true;
        world.options.settings.fanout = 2;
        world.options.settings.synchronous = KV_SYNC_OFF;
        world_open(&world);
        world_fill(&world, "k", 0, 110);
        kv_memfs_fail(world.fs, KV_MEMFS_RENAME, 1 + nth % 4, KV_FULL, KV_MEMFS_ONCE);
        kv_memfs_fail(world.fs, KV_MEMFS_MAP, nth, KV_NOMEM, KV_MEMFS_ONCE);
        for (unsigned i = 0; i < 300; i++)
            put_at_last(i);
        kv_memfs_heal(world.fs);
        world_check(&world);
        for (unsigned i = 300; i < 490; i++)
            put_at_last(i);
        ck_assert_uint_eq(world_stats(&world).keys, 490);
        world_check(&world);
        world_reopen(&world);
        ck_assert_uint_eq(world_stats(&world).keys, 490);
        world_check(&world);
    }
}
END_TEST

/* The same for every call of a compaction; its message is that of the cause. */
START_TEST(test_kv_failed_compaction_does_no_harm)
{
    uint64_t faults = 1;

    for (uint64_t nth = 1; faults; nth++) {
        enum kv_status st;
        uint64_t digest;

        teardown();
        world_start(&world);
        for (int turn = 0; turn < 3; turn++)
            world_fill(&world, "k", 0, 30);
        digest = world_digest(&world);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_ONCE);
        st = kv_compact(world.store, NULL, NULL);
        if (st != KV_OK) {
            ck_assert_int_eq(st, KV_IOERR);
            ck_assert_msg(strstr(kv_message(), "injected"), "%s", kv_message());
        }
        faults = kv_memfs_fault_count(world.fs);
        kv_memfs_heal(world.fs);
        ck_assert_uint_eq(world_digest(&world), digest);
        /* A sync that failed asks for opening again; a file that could not be removed waits for it. */
        if (kv_compact(world.store, NULL, NULL) != KV_OK || st == KV_OK)
            world_reopen(&world);
        else
            world_check(&world);
        ck_assert_uint_eq(world_digest(&world), digest);
        world_check(&world);
        world_crash(&world, KV_MEMFS_RANDOM, nth);
        world_open(&world);
        ck_assert_uint_eq(world_digest(&world), digest);
        world_check(&world);
    }
}
END_TEST

/* ---- kv_sync, statistics, reports */

START_TEST(test_kv_sync_makes_durable)
{
    uint64_t seq = 7;

    world_close(&world);
    world.options.settings.synchronous = KV_SYNC_OFF;
    world_open(&world);
    ck_kv(kv_sync(world.store, &seq));
    ck_assert_uint_eq(seq, 0);
    world_put(&world, "a", "1");
    world_put(&world, "b", "2");
    ck_assert_uint_eq(world_stats(&world).durable_seq, 0);
    ck_kv(kv_sync(world.store, &seq));
    ck_assert_uint_eq(seq, 2);
    ck_assert_uint_eq(world_stats(&world).durable_seq, 2);
    ck_kv(kv_sync(world.store, NULL)); /* nothing to do */
    ck_assert_uint_eq(world_stats(&world).syncs_since_open, 1);
    world_put(&world, "c", "3");
    world_crash(&world, KV_MEMFS_DROP, 0);
    world_open(&world);
    world_expect_all(&world, "a=1 b=2");
}
END_TEST

/* NORMAL: what was committed a second ago goes to disk with the next commit. */
START_TEST(test_kv_normal_commits_reach_the_disk_in_a_second)
{
    struct kv_settings normal = world.options.settings;

    normal.synchronous = KV_SYNC_NORMAL;
    for (int i = 0; i < 4; i++) {
        struct kv_txn *txn;

        ck_kv(kv_txn_begin(world.store, &normal, &txn));
        txn_put(txn, "a", "1");
        ck_kv(kv_txn_commit(txn));
        ck_assert_uint_eq(world_stats(&world).durable_seq, i < 3 ? 0 : 4);
        kv_memfs_advance(world.fs, 400);
    }
}
END_TEST

START_TEST(test_kv_stats_count)
{
    struct kv_stats stats = world_stats(&world);

    ck_assert_uint_eq(stats.segments, 1);
    ck_assert_uint_eq(stats.runs, 0);
    ck_assert_uint_eq(stats.keys, 0);
    ck_assert(stats.exact);
    ck_assert_double_eq(stats.space_amplification, 0);
    world_put(&world, "a", "1");
    world_put(&world, "a", "2");
    world_delete(&world, "b");
    stats = world_stats(&world);
    ck_assert_uint_eq(stats.keys, 1);
    ck_assert_uint_eq(stats.records, 3);
    ck_assert_uint_eq(stats.last_seq, 3);
    ck_assert_uint_eq(stats.durable_seq, 3);
    ck_assert_uint_eq(stats.commits_since_open, 3);
    ck_assert_uint_gt(stats.dead_bytes, stats.live_bytes);
    ck_assert_uint_gt(stats.memory_bytes, 0);
    ck_assert_double_eq(stats.write_amplification, 1);
    ck_assert_double_gt(stats.space_amplification, 1);
    ck_kv(kv_compact(world.store, NULL, NULL));
    stats = world_stats(&world);
    ck_assert_uint_eq(stats.records, 1);
    ck_assert_uint_eq(stats.segments, 2);
    ck_assert_uint_eq(stats.compactions, 1);
    ck_assert_uint_eq(stats.compactions_since_open, 1);
    ck_assert_uint_eq(stats.seals_since_open, 1);
    ck_assert_uint_gt(stats.index_bytes, 0);
    ck_assert_double_gt(stats.write_amplification, 1);
    world_reopen(&world);
    stats = world_stats(&world);
    ck_assert_uint_eq(stats.compactions, 1);
    ck_assert_uint_eq(stats.compactions_since_open, 0);
    ck_assert_uint_eq(stats.commits_since_open, 0);
    ck_assert_uint_eq(stats.indexes_rebuilt_since_open, 0);
    world_close(&world);
    ck_assert(kv_memfs_delete(world.fs, WORLD_PATH "/segment_000000000003.idx"));
    world_open(&world);
    ck_assert_uint_eq(world_stats(&world).indexes_rebuilt_since_open, 1);
    ck_assert(world_has_file(&world, "segment_000000000003.idx"));
    world_check(&world);
}
END_TEST

START_TEST(test_kv_stats_estimate_large_stores)
{
    struct kv_settings settings = world.options.settings;
    struct kv_stats stats;
    struct kv_txn *txn;

    settings.segment_bytes = 1024 * 1024;
    for (int half = 0; half < 2; half++) {
        ck_kv(kv_txn_begin(world.store, &settings, &txn));
        for (uint32_t i = 0; i < 20000; i++) {
            uint32_t key = half ? i / 2 : i;

            ck_kv(kv_txn_put(txn, kv_slice_of(&key, sizeof(key)), kv_slice_of(&i, sizeof(i))));
        }
        ck_kv(kv_txn_commit(txn));
        world_fill(&world, "k", 0, 1);
    }
    stats = world_stats(&world);
    ck_assert(!stats.exact);
    ck_assert_uint_gt(stats.keys, 10000);
    ck_assert_uint_lt(stats.keys, 40000);
    ck_kv(kv_compact(world.store, NULL, NULL));
    stats = world_stats(&world);
    ck_assert(stats.exact);
    ck_assert_uint_eq(stats.keys, 20001);
}
END_TEST

static enum kv_status stop_at_second(void *context, const struct kv_segment_report *report)
{
    (void)report;
    return ++*(unsigned *)context == 2 ? KV_INTERRUPTED : KV_OK;
}

static enum kv_status check_report(void *context, const struct kv_segment_report *report)
{
    unsigned *count = context;

    if (++*count == 1) {
        ck_assert_int_eq(report->state, KV_SEGMENT_ACTIVE);
        ck_assert_uint_eq(report->records, 1);
        ck_assert_uint_eq(report->min_seq, 4);
        ck_assert_uint_eq(report->max_seq, 4);
        ck_assert_uint_eq(report->min_key.size, 0);
        return KV_OK;
    }
    ck_assert_int_eq(report->state, KV_SEGMENT_SEALED);
    ck_assert_uint_eq(report->run, 1);
    ck_assert_uint_eq(report->records, 2);
    ck_assert_uint_eq(report->min_seq, 2); /* the first version of "a" is gone */
    ck_assert_uint_eq(report->max_seq, 3);
    ck_assert(kv_slice_equal(report->min_key, kv_slice_text("a")));
    ck_assert(kv_slice_equal(report->max_key, kv_slice_text("z")));
    ck_assert_uint_gt(report->max_time_ms, 0);
    ck_assert_ptr_nonnull(strstr(report->reason, "has 1 of 4 runs"));
    return KV_OK;
}

START_TEST(test_kv_segments_are_reported)
{
    unsigned count = 0;

    world_put(&world, "a", "1");
    world_put(&world, "a", "2");
    world_put(&world, "z", "3");
    ck_kv(kv_compact(world.store, NULL, NULL));
    world_put(&world, "b", "4");
    ck_kv(kv_store_segments(world.store, NULL, check_report, &count));
    ck_assert_uint_eq(count, 2);
    count = 0;
    ck_kv_is(kv_store_segments(world.store, NULL, stop_at_second, &count), KV_INTERRUPTED);
    ck_assert_uint_eq(count, 2);
}
END_TEST

/* ---- Waiting: with the real clock, in a real directory */

static char real_path[] = "/tmp/kv-test-XXXXXX/db";

static struct kv_store *open_real(void)
{
    struct kv_open_options options = kv_open_options_default();
    struct kv_store *store;
    char *slash = strrchr(real_path, '/');

    options.temporary = true;
    *slash = '\0';
    ck_assert_ptr_nonnull(mkdtemp(real_path));
    *slash = '/';
    ck_kv(kv_store_open(real_path, &options, &store));
    return store;
}

static void close_real(struct kv_store *store)
{
    ck_kv(kv_store_close(store));
    *strrchr(real_path, '/') = '\0';
    ck_assert_int_eq(rmdir(real_path), 0);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

START_TEST(test_kv_second_writer_is_refused_in_time)
{
    struct kv_settings settings = kv_settings_default();
    struct kv_store *store = open_real();
    struct kv_txn *txn, *other;
    uint64_t start = now_ms();

    ck_kv(kv_txn_begin(store, NULL, &txn));
    ck_kv_is(kv_txn_begin(store, &settings, &other), KV_BUSY);
    ck_assert_ptr_null(other);
    ck_kv_is(kv_put(store, kv_slice_text("a"), kv_slice_text("1")), KV_BUSY);
    ck_assert_uint_lt(now_ms() - start, 100);
    settings.busy_timeout_ms = 150;
    start = now_ms();
    ck_kv_is(kv_txn_begin(store, &settings, &other), KV_BUSY);
    ck_assert_uint_ge(now_ms() - start, 140);
    ck_assert_uint_lt(now_ms() - start, 5000);
    kv_txn_abort(txn);
    ck_kv(kv_txn_begin(store, &settings, &other));
    kv_txn_abort(other);
    close_real(store);
}
END_TEST

struct waiting {
    struct kv_store *store;
    enum kv_status st;
    uint64_t waited_ms;
};

static void *wait_and_put(void *context)
{
    struct waiting *waiting = context;
    struct kv_settings settings = kv_settings_default();
    uint64_t start = now_ms();
    struct kv_txn *txn;

    settings.busy_timeout_ms = 20000;
    waiting->st = kv_txn_begin(waiting->store, &settings, &txn);
    waiting->waited_ms = now_ms() - start;
    if (waiting->st == KV_OK)
        waiting->st = kv_txn_put(txn, kv_slice_text("waited"), kv_slice_text("1"));
    if (waiting->st == KV_OK)
        waiting->st = kv_txn_commit(txn);
    return NULL;
}

START_TEST(test_kv_second_writer_waits_for_the_first)
{
    struct waiting waiting = {.store = open_real()};
    struct timespec nap = {.tv_nsec = 100000000};
    struct kv_txn *txn;
    pthread_t thread;

    ck_kv(kv_txn_begin(waiting.store, NULL, &txn));
    txn_put(txn, "first", "1");
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_and_put, &waiting), 0);
    nanosleep(&nap, NULL);
    ck_kv(kv_txn_commit(txn));
    pthread_join(thread, NULL);
    ck_kv(waiting.st);
    ck_assert_uint_lt(waiting.waited_ms, 10000);
    ck_assert_uint_eq(kv_store_seq(waiting.store), 2);
    close_real(waiting.store);
}
END_TEST

static Suite *kv_compact_suite(void)
{
    Suite *suite = suite_create("kv_compact");
    TCase *tests = tcase_create("maintenance"), *real = tcase_create("waiting");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_kv_compact_frees_what_is_dead);
    tcase_add_test(tests, test_kv_compact_of_deletions_leaves_nothing);
    tcase_add_test(tests, test_kv_compact_is_refused_while_busy);
    tcase_add_test(tests, test_kv_compact_can_be_interrupted);
    tcase_add_test(tests, test_kv_compact_respects_max_segment_bytes);
    tcase_add_test(tests, test_kv_compact_needs_free_space);
    tcase_add_test(tests, test_kv_auto_compaction_ends);
    tcase_add_test(tests, test_kv_auto_compaction_can_be_off);
    tcase_add_test(tests, test_kv_ascending_logs_are_joined);
    tcase_add_test(tests, test_kv_failed_maintenance_does_no_harm);
    tcase_add_test(tests, test_kv_failed_compaction_does_no_harm);
    tcase_add_test(tests, test_kv_sync_makes_durable);
    tcase_add_test(tests, test_kv_normal_commits_reach_the_disk_in_a_second);
    tcase_add_test(tests, test_kv_stats_count);
    tcase_add_test(tests, test_kv_stats_estimate_large_stores);
    tcase_add_test(tests, test_kv_segments_are_reported);
    tcase_add_test(real, test_kv_second_writer_is_refused_in_time);
    tcase_add_test(real, test_kv_second_writer_waits_for_the_first);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, real);
    return suite;
}

int main(void)
{
    return kv_run_suite(kv_compact_suite());
}
