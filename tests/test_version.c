/*
 * Versions: opening what a manifest names, reading across all of it, and
 * keeping it readable while others replace it.
 */
#include "version.h"

#include "engine_world.h"
#include "hash.h"
#include "names.h"
#include "runner.h"

static struct world world;

static void setup(void)
{
    world_start(&world);
}

static void teardown(void)
{
    world_end(&world);
}

static uint64_t hash_of(const char *key)
{
    return kv_hash(kv_slice_text(key), engine_of(&world)->place.hash_seed);
}

/* The newest LSN of a version. */
static uint64_t end_of(const struct kv_version *version)
{
    return kv_log_lsn(version->log, version->log->tail.end_bytes);
}

/* `key` has `row` there; "": deleted there; NULL: no record of it. */
static void expect_at(struct kv_version *version, uint64_t lsn, const char *key, const char *row)
{
    struct kv_entry entry;
    enum kv_status st = kv_version_get(version, lsn, hash_of(key), kv_slice_text(key), &entry);

    ck_assert_msg(st == (row ? KV_OK : KV_DONE), "%s: %s", key, kv_status_name(st));
    if (row) {
        ck_assert(entry.deleted == (*row == '\0'));
        ck_assert(kv_slice_equal(entry.row, kv_slice_text(row)));
        ck_assert(kv_slice_equal(entry.key, kv_slice_text(key)));
    }
}

/*
 * Three runs and a log:  run 2: a=1 b=1 c=1   run 1: b deleted, c=2   run 0: d=3   log: a=4, c deleted
 */
static struct kv_version *make_layers(void)
{
    world_put(&world, "a", "1");
    world_put(&world, "b", "1");
    world_put(&world, "c", "1");
    engine_seal(&world);
    world_delete(&world, "b");
    world_put(&world, "c", "2");
    engine_seal(&world);
    world_put(&world, "d", "3");
    engine_seal(&world);
    world_put(&world, "a", "4");
    world_delete(&world, "c");
    return kv_engine_version(engine_of(&world));
}

/* ---- Reading */

START_TEST(test_version_of_a_new_store)
{
    struct kv_version *version = kv_engine_version(engine_of(&world));
    struct kv_iter *its[KV_BATCH_COUNT_MAX];
    size_t count;

    ck_assert_uint_eq(version->run_count, 0);
    ck_assert_uint_ge(kv_version_iter_max(version), 1);
    expect_at(version, version->start_lsn, "a", NULL);
    ck_kv(kv_version_iters(version, version->start_lsn, its, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(kv_version_seq(version, version->start_lsn), 0);
    kv_version_unref(version);
    kv_version_unref(NULL);
}
END_TEST

START_TEST(test_version_get_newest_first)
{
    struct kv_version *version = make_layers();

    ck_assert_uint_eq(version->run_count, 3);
    expect_at(version, end_of(version), "a", "4");
    expect_at(version, end_of(version), "b", "");
    expect_at(version, end_of(version), "c", "");
    expect_at(version, end_of(version), "d", "3");
    expect_at(version, end_of(version), "e", NULL);
    kv_version_unref(version);
}
END_TEST

/* Of the log only what lies before the LSN shows; at its start, what the runs say. */
START_TEST(test_version_get_at_an_lsn)
{
    struct kv_version *version = make_layers();
    uint64_t begin = version->start_lsn, middle;

    expect_at(version, begin, "a", "1");
    expect_at(version, begin, "c", "2");
    middle = end_of(version);
    world_put(&world, "c", "5");
    expect_at(version, middle, "c", "");
    expect_at(version, end_of(version), "c", "5");
    ck_assert_uint_eq(kv_version_seq(version, begin), 6);
    ck_assert_uint_eq(kv_version_seq(version, middle), 8);
    ck_assert_uint_eq(kv_version_seq(version, end_of(version)), 9);
    kv_version_unref(version);
}
END_TEST

START_TEST(test_version_get_in_runs)
{
    struct kv_version *version = make_layers();
    struct kv_slice key = kv_slice_text("c");
    struct kv_entry entry;
    size_t run = 99;

    ck_kv(kv_version_get_in_runs(version, 0, 3, hash_of("c"), key, &entry, &run));
    ck_assert_uint_eq(run, 1);
    ck_kv(kv_version_get_in_runs(version, 2, 1, hash_of("c"), key, &entry, &run));
    ck_assert_uint_eq(run, 2);
    ck_assert(kv_slice_equal(entry.row, kv_slice_text("1")));
    ck_kv_is(kv_version_get_in_runs(version, 0, 1, hash_of("c"), key, &entry, NULL), KV_DONE);
    ck_kv_is(kv_version_get_in_runs(version, 3, 0, hash_of("c"), key, &entry, NULL), KV_DONE);
    ck_kv_is(kv_version_get_in_runs(version, 0, 0, hash_of("c"), key, &entry, NULL), KV_DONE);
    kv_version_unref(version);
}
END_TEST

/* Filters never say no to a key that is there, deleted or not. */
START_TEST(test_version_may_contain)
{
    struct kv_version *version = make_layers();
    struct kv_slice b = kv_slice_text("b"), d = kv_slice_text("d");

    ck_assert(kv_version_may_contain(version, 0, 3, hash_of("b"), b));
    ck_assert(kv_version_may_contain(version, 1, 1, hash_of("b"), b));
    ck_assert(kv_version_may_contain(version, 2, 1, hash_of("b"), b));
    ck_assert(!kv_version_may_contain(version, 0, 1, hash_of("b"), b)); /* out of its range */
    ck_assert(!kv_version_may_contain(version, 1, 2, hash_of("d"), d));
    ck_assert(!kv_version_may_contain(version, 0, 0, hash_of("b"), b));
    kv_version_unref(version);
}
END_TEST

START_TEST(test_version_iters_newest_first)
{
    struct kv_version *version = make_layers();
    static const char *const firsts[] = {"a", "d", "b", "a"}; /* of log, run 0, run 1, run 2 */
    struct kv_iter **its = calloc(kv_version_iter_max(version), sizeof(*its));
    size_t count;

    ck_assert_uint_ge(kv_version_iter_max(version), 4);
    ck_kv(kv_version_iters(version, end_of(version), its, &count));
    ck_assert_uint_eq(count, 4);
    kv_version_unref(version); /* they hold what they read */
    for (size_t i = 0; i < count; i++) {
        struct kv_entry entry;

        ck_kv(kv_iter_seek(its[i], NULL, KV_FORWARD));
        ck_kv(kv_iter_next(its[i], &entry));
        ck_assert(kv_slice_equal(entry.key, kv_slice_text(firsts[i])));
        kv_iter_free(its[i]);
    }
    free(its);
}
END_TEST

/* ---- Opening */

/* Segments that are open already are shared, not opened again. */
START_TEST(test_version_open_shares_segments)
{
    struct kv_version *before = make_layers(), *after;
    struct kv_engine *engine = engine_of(&world);
    uint64_t opened = kv_memfs_calls(world.fs, KV_MEMFS_FILE_OPEN);

    ck_kv(kv_version_open(&engine->place, &engine->manifest, before->log, before, &after));
    ck_assert_uint_eq(kv_memfs_calls(world.fs, KV_MEMFS_FILE_OPEN), opened);
    ck_assert_uint_eq(after->run_count, 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_ptr_eq(kv_run_segment(after->runs[i], 0), kv_run_segment(before->runs[i], 0));
    kv_version_unref(after);

    ck_kv(kv_version_open(&engine->place, &engine->manifest, before->log, NULL, &after));
    ck_assert_uint_gt(kv_memfs_calls(world.fs, KV_MEMFS_FILE_OPEN), opened);
    ck_assert_ptr_ne(kv_run_segment(after->runs[0], 0), kv_run_segment(before->runs[0], 0));
    expect_at(after, end_of(after), "d", "3");
    kv_version_unref(after);
    kv_version_unref(before);
}
END_TEST

/* Goal: a version that cannot be opened leaves nothing behind. Method: fail each call; LeakSanitizer. */
START_TEST(test_version_open_fails_at_every_call)
{
    struct kv_version *before = make_layers(), *after = NULL;
    struct kv_engine *engine = engine_of(&world);
    uint64_t nth;

    for (nth = 1; !after; nth++) {
        enum kv_status st;

        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
        st = kv_version_open(&engine->place, &engine->manifest, before->log, NULL, &after);
        kv_memfs_heal(world.fs);
        ck_assert_int_eq(st, after ? KV_OK : KV_IOERR);
    }
    ck_assert_uint_gt(nth, 9);
    expect_at(after, end_of(after), "b", "");
    kv_version_unref(after);
    kv_version_unref(before);
}
END_TEST

START_TEST(test_version_open_misses_a_segment)
{
    struct kv_version *before = make_layers(), *after;
    struct kv_engine *engine = engine_of(&world);
    enum kv_status st;

    ck_assert(kv_memfs_delete(world.fs, segment_path(run_of(&world, 2)->segments[0].number)));
    st = kv_version_open(&engine->place, &engine->manifest, before->log, NULL, &after);
    ck_assert_msg(st == KV_NOTFOUND || st == KV_CORRUPT, "%s", kv_status_name(st));
    ck_assert_ptr_null(after);
    ck_assert_ptr_nonnull(strstr(kv_message(), "segment_"));
    expect_at(before, end_of(before), "b", ""); /* what is open stays open */
    kv_version_unref(before);
}
END_TEST

/* ---- While others go on (P5) */

/* An old version reads on when its log is sealed, its runs are merged and their files are gone. */
START_TEST(test_version_stays)
{
    struct kv_version *version = make_layers();
    uint64_t lsn = end_of(version), number = run_of(&world, 0)->segments[0].number;

    world_put(&world, "a", "new");
    world_delete(&world, "d");
    ck_kv(kv_compact(world.store, NULL, NULL));
    ck_assert_uint_eq(kv_memfs_size(world.fs, segment_path(number)), UINT64_MAX);
    expect_at(version, lsn, "a", "4");
    expect_at(version, lsn, "b", "");
    expect_at(version, lsn, "c", "");
    expect_at(version, lsn, "d", "3");
    kv_version_unref(version);
    version = kv_engine_version(engine_of(&world));
    ck_assert_uint_eq(version->run_count, 1);
    expect_at(version, end_of(version), "a", "new");
    expect_at(version, end_of(version), "d", NULL);
    kv_version_unref(version);
}
END_TEST

/* A pin held keeps its version; one that is idle gives it up, and takes the newest when asked again. */
START_TEST(test_version_idle_pins_give_theirs_up)
{
    struct kv_engine *engine = engine_of(&world);
    struct kv_pin held = {0}, idle = {0};
    struct kv_version *version;
    uint64_t lsn, later;

    kv_engine_add_pin(engine, &held);
    kv_engine_add_pin(engine, &idle);
    world_put(&world, "a", "1");
    ck_kv(kv_engine_acquire(engine, &held, &lsn));
    ck_kv(kv_engine_acquire(engine, &idle, &later));
    ck_assert_uint_eq(later, lsn);
    kv_engine_release_pin(&idle);
    version = held.version;
    ck_assert_ptr_eq(idle.version, version);

    engine_seal(&world);
    ck_assert_ptr_null(idle.version);
    ck_assert_ptr_eq(held.version, version);
    expect_at(version, lsn, "a", "1");
    world_put(&world, "a", "2");
    ck_kv(kv_engine_acquire(engine, &idle, &later));
    ck_assert_uint_gt(later, lsn);
    ck_assert_ptr_ne(idle.version, version);
    expect_at(idle.version, end_of(idle.version), "a", "2");
    kv_engine_release_pin(&idle);

    kv_engine_release_pin(&held);
    ck_kv(kv_engine_acquire(engine, &held, &lsn));
    ck_assert_uint_eq(lsn, later);
    ck_assert_ptr_eq(held.version, idle.version);
    kv_engine_release_pin(&held);
    kv_engine_remove_pin(engine, &held);
    kv_engine_remove_pin(engine, &idle);
}
END_TEST

/* Goal: who only reads runs keeps no log, and so no memtable; runs stay as long as they are held. */
START_TEST(test_version_of_runs)
{
    struct kv_version *version = make_layers();
    struct kv_version *runs = kv_version_of_runs(version);
    struct kv_entry entry;

    ck_assert_ptr_nonnull(runs);
    ck_assert_ptr_null(runs->log);
    ck_assert_ptr_null(runs->unindexed);
    ck_assert_uint_eq(runs->run_count, version->run_count);
    kv_version_unref(version);
    ck_kv(kv_compact(world.store, NULL, NULL)); /* and the files are gone */
    ck_kv(kv_version_get_in_runs(runs, 0, runs->run_count, hash_of("d"), kv_slice_text("d"), &entry,
                                 NULL));
    ck_assert(kv_slice_equal(entry.row, kv_slice_text("3")));
    ck_assert(kv_version_may_contain(runs, 0, runs->run_count, hash_of("a"), kv_slice_text("a")));
    kv_version_unref(runs);
}
END_TEST

/*
 * Goal: who lets go of a version last does not free it, if somebody else has undertaken to; and
 * when that one gives it up, nothing stays behind (which the sanitizer sees).
 */
START_TEST(test_version_retired_is_freed_by_another)
{
    struct kv_engine *engine = engine_of(&world);
    struct kv_version *first, *second;

    world_put(&world, "a", "1");
    first = kv_engine_version(engine);
    kv_engine_retire(engine, true);
    engine_seal(&world);
    second = kv_engine_version(engine);
    kv_engine_free_retired(engine);
    ck_assert_ptr_eq(engine->retired, first); /* and not what sealing did on the way */
    ck_assert_ptr_null(first->next_retired);
    kv_version_unref(first);
    expect_at(first, end_of(first), "a", "1"); /* it is still there */
    kv_engine_free_retired(engine);
    ck_assert_ptr_null(engine->retired);

    world_put(&world, "a", "2");
    engine_seal(&world);
    kv_engine_retire(engine, false);
    ck_assert_ptr_null(engine->retired);
    expect_at(second, end_of(second), "a", "2"); /* its holder's now */
    kv_version_unref(second);
    second = kv_engine_version(engine);
    engine_seal(&world);
    ck_assert_ptr_null(engine->retired);
    kv_version_unref(second);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("version");
    TCase *tests = tcase_create("version");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_version_of_a_new_store);
    tcase_add_test(tests, test_version_get_newest_first);
    tcase_add_test(tests, test_version_get_at_an_lsn);
    tcase_add_test(tests, test_version_get_in_runs);
    tcase_add_test(tests, test_version_may_contain);
    tcase_add_test(tests, test_version_iters_newest_first);
    tcase_add_test(tests, test_version_open_shares_segments);
    tcase_add_test(tests, test_version_open_fails_at_every_call);
    tcase_add_test(tests, test_version_open_misses_a_segment);
    tcase_add_test(tests, test_version_stays);
    tcase_add_test(tests, test_version_idle_pins_give_theirs_up);
    tcase_add_test(tests, test_version_of_runs);
    tcase_add_test(tests, test_version_retired_is_freed_by_another);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
