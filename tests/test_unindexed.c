/*
 * The log that was sealed last, while it has no index: reading it, here and in
 * other processes, finishing it, by whom and when, and stopping that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine_world.h"
#include "names.h"
#include "runner.h"
#include "seal.h"

static struct world world, early, late; /* three processes; the others are not open at first */

static void setup(void)
{
    world_init(&world);
    world_join(&early, &world);
    world_join(&late, &world);
    world_open(&world);
}

static void teardown(void)
{
    world_end(&late);
    world_end(&early);
    world_end(&world);
}

static struct kv_log *active_log(void)
{
    return engine_of(&world)->version->log;
}

/* Two logs and a run: "c=3" and more in the active one, "b=2 c=2" unindexed, "a=1 b=1" a run. */
static void fill_unindexed(void)
{
    world_put(&world, "a", "1");
    world_put(&world, "b", "1");
    engine_seal(&world);
    world_put(&world, "b", "2");
    world_put(&world, "c", "2");
    world_delete(&world, "a");
    engine_only_seal(&world);
    world_put(&world, "c", "3");
}

static const char *const unindexed_rows = "b=2 c=3";

static uint64_t unindexed_number(struct world *of)
{
    return engine_of(of)->manifest.unindexed.number;
}

static bool has_index(uint64_t number)
{
    char name[KV_NAME_BYTES];

    kv_name_index(name, number);
    return world_has_file(&world, name);
}

/* The manifest knows what the log's tail told; sorting tells the rest later. */
START_TEST(test_unindexed_leaves_the_index_for_later)
{
    const struct kv_segment_info *info = &engine_of(&world)->manifest.unindexed;
    uint64_t number;

    fill_unindexed();
    number = unindexed_number(&world);
    ck_assert_uint_ne(number, 0);
    ck_assert(!has_index(number));
    ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 1);
    ck_assert_uint_eq(info->record_count, 3);
    ck_assert_uint_eq(info->min_seq, 3);
    ck_assert_uint_eq(info->max_seq, 5);
    ck_assert_uint_eq(info->last_lsn, active_log()->header.log.base_lsn);
    ck_assert_uint_eq(kv_memfs_size(world.fs, segment_path(number)), info->end_bytes);
    world_expect_all(&world, unindexed_rows);
    world_expect(&world, "a", NULL); /* a tombstone there hides the run's row */
    world_check(&world);
    ck_kv(kv_seal_finish(engine_of(&world), NULL));
    ck_assert_uint_eq(unindexed_number(&world), 0);
    ck_assert(has_index(number));
    ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 2);
    ck_assert_uint_eq(run_of(&world, 0)->segments[0].number, number);
    ck_assert_uint_eq(run_of(&world, 0)->segments[0].tombstone_count, 1);
    world_expect_all(&world, unindexed_rows);
    world_check(&world);
    ck_kv(kv_seal_finish(engine_of(&world), NULL)); /* nothing to do */
}
END_TEST

/* A snapshot reads the log as active, unindexed and as a run, and finds the same each time. */
START_TEST(test_unindexed_changes_no_snapshot)
{
    struct kv_snapshot *before, *between;
    char *text;

    world_put(&world, "a", "1");
    before = world_snapshot(&world);
    world_put(&world, "a", "2");
    engine_only_seal(&world);
    between = world_snapshot(&world);
    world_put(&world, "a", "3");
    for (int i = 0; i < 3; i++) {
        text = snapshot_text(before, NULL, NULL);
        ck_assert_str_eq(text, "a=1");
        free(text);
        text = snapshot_text(between, NULL, NULL);
        ck_assert_str_eq(text, "a=2");
        free(text);
        if (i == 0)
            ck_kv(kv_seal_finish(engine_of(&world), NULL));
        else
            engine_seal(&world);
    }
    kv_snapshot_free(before);
    kv_snapshot_free(between);
}
END_TEST

START_TEST(test_unindexed_finishes_the_one_before_first)
{
    uint64_t number;

    fill_unindexed();
    number = unindexed_number(&world);
    engine_only_seal(&world);
    ck_assert_uint_ne(unindexed_number(&world), 0);
    ck_assert_uint_ne(unindexed_number(&world), number);
    ck_assert_uint_eq(run_of(&world, 0)->segments[0].number, number);
    world_expect_all(&world, unindexed_rows);
    world_check(&world);
}
END_TEST

/* A merge works on runs alone; the unindexed log stays newer than what comes out of it. */
START_TEST(test_unindexed_lets_merges_go_on)
{
    fill_unindexed();
    ck_kv(engine_try_merge(&world, NULL));
    ck_assert_uint_ne(unindexed_number(&world), 0);
    world_expect_all(&world, unindexed_rows);
    ck_kv(kv_compact(world.store, NULL, NULL)); /* it does the index first */
    ck_assert_uint_eq(unindexed_number(&world), 0);
    ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 1);
    world_expect_all(&world, unindexed_rows);
    world_check(&world);
}
END_TEST

/* Opening alone leaves no log without index, and neither does a clean end. */
START_TEST(test_unindexed_is_finished_by_the_next_opening)
{
    fill_unindexed();
    if (_i == 0)
        world_reopen(&world);
    else if (_i == 1)
        world_kill(&world);
    else
        world_crash(&world, KV_MEMFS_DROP, 1);
    if (_i > 0)
        world_open(&world);
    ck_assert_uint_eq(unindexed_number(&world), 0);
    world_expect_all(&world, unindexed_rows);
    world_check(&world);
}
END_TEST

/* On a full disk the store opens all the same, and reads. */
START_TEST(test_unindexed_without_room_for_an_index_opens)
{
    fill_unindexed();
    world_kill(&world);
    world_open(&world);
    world_put(&world, "d", "4");
    engine_only_seal(&world);
    kv_memfs_fail(world.fs, KV_MEMFS_RENAME, 1, KV_FULL, KV_MEMFS_STICKY);
    ck_kv_is(kv_store_close(world.store), KV_FULL);
    kv_memfs_heal(world.fs);
    world.store = NULL;
    kv_memfs_fail(world.fs, KV_MEMFS_RENAME, 2, KV_FULL,
                  KV_MEMFS_ONCE); /* failover, then the index */
    world_open(&world);
    kv_memfs_heal(world.fs);
    world_expect_all(&world, "b=2 c=3 d=4");
    ck_kv(kv_seal_finish(engine_of(&world), NULL));
    world_check(&world);
}
END_TEST

/* ---- Other processes */

/*
 * Goal: other processes read a log that has no index, and switch to the index when it is there.
 * Method: one that had the log open as the active one, and one that comes later; each may finish it.
 */
START_TEST(test_unindexed_is_seen_by_others)
{
    struct world *finisher = _i == 0 ? &world : _i == 1 ? &early : &late;

    world_put(&world, "b", "0");
    world_open(&early);
    world_expect_all(&early, "b=0");
    fill_unindexed();
    world_open(&late);
    world_expect_all(&early, unindexed_rows);
    world_expect_all(&late, unindexed_rows);
    ck_assert_uint_eq(unindexed_number(&early), unindexed_number(&world));
    ck_assert_uint_eq(unindexed_number(&late), unindexed_number(&world));
    world_check(&late);
    ck_kv(kv_seal_finish(engine_of(finisher), NULL));
    world_expect_all(&early, unindexed_rows);
    world_expect_all(&late, unindexed_rows);
    ck_assert_uint_eq(unindexed_number(&early), 0);
    ck_assert_uint_eq(unindexed_number(&late), 0);
    ck_kv(kv_seal_finish(engine_of(&world), NULL)); /* it may not know yet: no harm */
    ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 2);
    world_put(&late, "c", "4");
    engine_seal(&late); /* who comes late seals on */
    world_expect_all(&world, "b=2 c=4");
    world_check(&early);
}
END_TEST

/* The process that sealed dies, with a commit in doubt: the next writer finishes the index, and fails over. */
START_TEST(test_unindexed_of_the_dead_is_finished_by_others)
{
    world_open(&early);
    fill_unindexed();
    world_fill(&world, "k", 0, 40);
    kv_memfs_kill_process(world.fs, world.io);
    ck_kv_is(kv_store_close(world.store), KV_IOERR);
    world.store = NULL;
    world_expect(&early, "c", "3");
    world_put(&early, "d", "4");
    world_expect(&early, "b", "2");
    ck_assert_uint_eq(world_stats(&early).records, 6 + 40 + 1);
    engine_seal(&early);
    ck_assert_uint_eq(unindexed_number(&early), 0);
    world_check(&early);
    world_end(&early);
}
END_TEST

static char real_path[] = "/tmp/kv-unindexed-XXXXXX/store";

/* Another process: seals, and dies before there is an index. */
static void seal_and_die(void)
{
    struct kv_open_options options = kv_open_options_default();
    struct world child = {0};

    options.foreground = true;
    if (kv_store_open(real_path, &options, &child.store) != KV_OK ||
        kv_put(child.store, kv_slice_text("a"), kv_slice_text("1")) != KV_OK ||
        engine_try_only_seal(&child) != KV_OK)
        _exit(1);
    _exit(0);
}

/* The background thread of a process that only sits there does it, after a while. */
START_TEST(test_unindexed_is_finished_in_the_background)
{
    struct kv_open_options options = kv_open_options_default();
    struct kv_stats stats = {0};
    struct world survivor = {0};
    char *slash = strrchr(real_path, '/');
    int status;
    pid_t child;

    *slash = '\0';
    ck_assert_ptr_nonnull(mkdtemp(real_path));
    *slash = '/';
    options.temporary = true;
    ck_kv(kv_store_open(real_path, &options, &survivor.store));
    child = fork();
    if (child == 0)
        seal_and_die();
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    world_expect(&survivor, "a", "1");
    for (int i = 0; i < 200 && stats.index_bytes == 0; i++) {
        usleep(50000);
        ck_kv(kv_store_stats(survivor.store, &stats));
    }
    ck_assert_uint_gt(stats.index_bytes, 0);
    ck_assert_uint_eq(stats.runs, 1);
    world_expect(&survivor, "a", "1");
    world_close(&survivor);
    *slash = '\0';
    ck_assert_int_eq(rmdir(real_path), 0);
}
END_TEST

/* A manifest that contradicts the log is not believed. */
START_TEST(test_unindexed_distrusts_the_manifest)
{
    struct kv_segment_info *info;
    struct kv_manifest manifest;
    struct kv_store *store;
    bool renamed;
    struct kv_dir *dir;

    fill_unindexed();
    ck_kv(kv_manifest_copy(&manifest, &engine_of(&world)->manifest));
    world_kill(&world);
    info = &manifest.unindexed;
    info->record_count -= _i == 0;
    info->digest += _i == 1;
    info->salt += _i == 2;
    info->first_lsn -= _i == 3;
    info->last_lsn -= _i == 3;
    info->end_bytes -= _i == 4;
    info->last_lsn -= _i == 4;
    ck_kv(kv_io_dir_open(world.io, WORLD_PATH, &dir));
    ck_kv(kv_manifest_replace(world.io, dir, 0600, &manifest, &renamed));
    kv_io_dir_close(dir);
    kv_manifest_release(&manifest);
    ck_kv_is(kv_store_open(WORLD_PATH, &world.options, &store), KV_CORRUPT);
}
END_TEST

/* ---- Interruption */

struct questions {
    unsigned asked, stop_at; /* 0: never */
};

static bool ask(void *context)
{
    struct questions *questions = context;

    return ++questions->asked == questions->stop_at;
}

/*
 * Goal: sorting and indexing stop wherever they are asked, and nothing is left of it.
 * Method: enough records that each part asks; stop at each question in turn.
 */
START_TEST(test_unindexed_can_be_interrupted)
{
    struct questions questions = {.stop_at = 0};
    struct kv_interrupt interrupt = {ask, &questions};
    struct kv_settings settings = world.options.settings;
    struct kv_txn *txn;
    char *before, *after;
    unsigned total;

    settings.segment_bytes = 16 * 1024 * 1024;
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    for (unsigned i = 0; i < 20000; i++) {
        char key[32];

        snprintf(key, sizeof(key), "a common prefix %05u", i * 7919 % 20011);
        txn_put(txn, key, "row");
    }
    ck_kv(kv_txn_commit(txn));
    engine_only_seal(&world);
    before = world_names(&world);
    for (questions.stop_at = 1; questions.stop_at < 1000; questions.stop_at++) {
        enum kv_status st;

        questions.asked = 0;
        st = kv_seal_finish(engine_of(&world), &interrupt);
        if (st == KV_OK)
            break;
        ck_kv_is(st, KV_INTERRUPTED);
        ck_assert_uint_eq(questions.asked, questions.stop_at);
        after = world_names(&world);
        ck_assert_str_eq(after, before);
        free(after);
    }
    total = questions.asked;
    ck_assert_uint_ge(total, 10); /* sorting, counting, filling: every few thousand records */
    ck_assert_uint_eq(unindexed_number(&world), 0);
    free(before);
    world_expect(&world, "a common prefix 00000", "row");
    world_check(&world);
}
END_TEST

/* kv_compact stops at the index of the log that it seals, before any merge; the next one goes on. */
START_TEST(test_unindexed_by_kv_compact_can_be_interrupted)
{
    struct questions questions = {.stop_at = 1};
    struct kv_settings settings = world.options.settings;
    struct kv_txn *txn;

    settings.segment_bytes = 16 * 1024 * 1024;
    settings.interrupted = ask;
    settings.interrupted_context = &questions;
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    for (unsigned i = 0; i < 6000; i++) {
        char key[32];

        snprintf(key, sizeof(key), "%05u", i * 7919 % 20011);
        txn_put(txn, key, "row");
    }
    ck_kv(kv_txn_commit(txn));
    ck_kv_is(kv_compact(world.store, &settings, NULL), KV_INTERRUPTED);
    ck_assert_uint_ne(unindexed_number(&world), 0);
    world_expect(&world, "00000", "row");
    world_check(&world);
    questions.stop_at = 0;
    ck_kv(kv_compact(world.store, &settings, NULL));
    ck_assert_uint_eq(unindexed_number(&world), 0);
    world_check(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("unindexed");
    TCase *tests = tcase_create("unindexed");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 20);
    tcase_add_test(tests, test_unindexed_leaves_the_index_for_later);
    tcase_add_test(tests, test_unindexed_changes_no_snapshot);
    tcase_add_test(tests, test_unindexed_finishes_the_one_before_first);
    tcase_add_test(tests, test_unindexed_lets_merges_go_on);
    tcase_add_loop_test(tests, test_unindexed_is_finished_by_the_next_opening, 0, 3);
    tcase_add_test(tests, test_unindexed_without_room_for_an_index_opens);
    tcase_add_loop_test(tests, test_unindexed_is_seen_by_others, 0, 3);
    tcase_add_test(tests, test_unindexed_of_the_dead_is_finished_by_others);
    tcase_add_test(tests, test_unindexed_is_finished_in_the_background);
    tcase_add_loop_test(tests, test_unindexed_distrusts_the_manifest, 0, 5);
    tcase_add_test(tests, test_unindexed_can_be_interrupted);
    tcase_add_test(tests, test_unindexed_by_kv_compact_can_be_interrupted);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
