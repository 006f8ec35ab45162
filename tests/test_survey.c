/*
 * Repair without a manifest: what the headers of the files alone say of a store (survey.h), through
 * kv_repair. Each test loses MANIFEST, and something else.
 */
#include <stdio.h>

#include "engine_world.h"
#include "header.h"
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

static enum kv_status count_step(void *context, const struct kv_repair_step *step)
{
    (void)step;
    ++*(unsigned *)context;
    return KV_OK;
}

/* Close, lose MANIFEST, repair, open; how many steps it took. */
static unsigned lose_manifest(void)
{
    unsigned steps = 0;

    if (world.store)
        world_close(&world);
    ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    ck_kv(kv_repair(WORLD_PATH, world.io, NULL, count_step, &steps));
    world_open(&world);
    world_check(&world);
    return steps;
}

/* One transaction with many keys: "a" first, then "k00", …, all with `row`. */
static void put_all(const char *row)
{
    struct kv_txn *txn = world_begin(&world);
    char key[16];

    txn_put(txn, "a", row);
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "k%02d", i);
        txn_put(txn, key, row);
    }
    ck_kv(kv_txn_commit(txn));
}

/* Where a text stands in a file. */
static uint64_t offset_of(const char *path, const char *text)
{
    size_t size;
    uint8_t *bytes = kv_memfs_read_file(world.fs, path, &size);
    uint8_t *at = memmem(bytes, size, text, strlen(text));
    uint64_t offset = (uint64_t)(at - bytes);

    ck_assert_ptr_nonnull(at);
    free(bytes);
    return offset;
}

/*
 * Goal: damage in the last transaction of a sealed log costs what it hits, and is no torn tail: the next log's header
 * says where this one was sealed.
 */
START_TEST(test_survey_damage_in_the_last_transaction_of_a_sealed_log)
{
    char log[64];

    put_all("old");
    engine_seal(&world);
    snprintf(log, sizeof(log), "%s", segment_path(engine_of(&world)->manifest.active.number));
    put_all("new row");
    engine_seal(&world);
    world_put(&world, "z", "1");
    world_close(&world);
    ck_assert(kv_memfs_flip_bit(world.fs, log, offset_of(log, "new row") + 2, 1));
    ck_assert_uint_gt(lose_manifest(), 1);
    world_expect(&world, "a", NULL); /* "old" is withheld */
    world_expect(&world, "k00", "new row");
    world_expect(&world, "k19", "new row");
    world_expect(&world, "z", "1");
}
END_TEST

/* The active log is sealed and rewritten by itself. */
static void seal_and_rewrite(void)
{
    struct kv_settings settings = world.options.settings;
    uint64_t number = engine_of(&world)->manifest.active.number;

    settings.garbage_ratio = 0.3;
    engine_seal(&world);
    ck_kv(engine_try_policy(&world, &settings));
    ck_assert_uint_eq(kv_memfs_size(world.fs, segment_path(number)), UINT64_MAX);
}

/*
 * Goal: a log that a merge has rewritten, and which the power brought back as large as it was before it was
 * trimmed, is nothing to a repair; also if the logs behind it are gone, so that the next one that is there
 * says where another log ended: by that, this one would be newer than what a merge has made of those.
 */
START_TEST(test_survey_of_an_input_that_is_back)
{
    static const uint8_t zeros[2 * WORLD_SEGMENT_BYTES];
    struct kv_buffer bytes = {0};
    uint64_t number = engine_of(&world)->manifest.active.number;
    uint8_t *log;
    size_t size;

    put_all("older");
    put_all("old");
    log = kv_memfs_read_file(world.fs, segment_path(number), &size);
    ck_kv(kv_buffer_set(&bytes, kv_slice_of(log, engine_of(&world)->version->log->tail.end_bytes)));
    ck_kv(kv_buffer_append(&bytes, kv_slice_of(zeros, sizeof(zeros))));
    free(log);
    seal_and_rewrite();
    world_fill(&world, "m", 0, 20);
    world_fill(&world, "m", 0, 20);
    world_put(&world, "a", "new");
    seal_and_rewrite();
    world_put(&world, "t", "1");
    world_delete(&world, "t");
    seal_and_rewrite(); /* to nothing */
    ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 2);
    world_put(&world, "z", "1");
    world_close(&world);
    ck_assert(kv_memfs_write_file(world.fs, segment_path(number), kv_buffer_slice(&bytes)));
    kv_buffer_release(&bytes);
    lose_manifest();
    world_expect(&world, "a", "new");
    world_expect(&world, "k00", "old");
    world_expect(&world, "z", "1");
}
END_TEST

/*
 * Goal: what a repair keeps is durable, also if the process that wrote it died before it had synced it, or
 * after a sync had failed: no other one on the same file says anything then.
 */
START_TEST(test_survey_makes_the_last_log_durable)
{
    unsigned steps = 0;

    world.store->settings.synchronous = KV_SYNC_OFF;
    put_all("row");
    world_put(&world, "a", "2");
    if (_i) {
        kv_memfs_fail(world.fs, KV_MEMFS_DATASYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
        ck_kv_is(kv_sync(world.store, NULL), KV_IOERR);
    }
    world_kill(&world);
    ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    ck_kv(kv_repair(WORLD_PATH, world.io, NULL, count_step, &steps));
    kv_memfs_crash(world.fs, KV_MEMFS_DROP, 0);
    world_open(&world);
    ck_assert_uint_eq(kv_store_seq(world.store), 2);
    world_expect(&world, "a", "2");
    world_expect(&world, "k19", "row");
    world_check(&world);
}
END_TEST

/* A transaction that no log can hold. */
static void put_very_large(void)
{
    struct kv_txn *txn = world_begin(&world);
    void *row = calloc(1, 100000);
    char key[16];

    for (int i = 0; i < 6; i++) {
        snprintf(key, sizeof(key), "l%d", i);
        ck_kv(kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, 100000)));
    }
    ck_kv(kv_txn_commit(txn));
    free(row);
}

/*
 * Goal: a log that the power brought back as it was before it was trimmed ends where the log with a large
 * transaction's COMMIT began, which is gone: what was aborted behind that is not taken for a part of the
 * large one.
 */
START_TEST(test_survey_of_a_log_before_a_large_transaction)
{
    uint64_t number = engine_of(&world)->manifest.active.number;
    struct kv_buffer bytes = {0};
    struct kv_txn *txn;
    uint8_t *log;
    size_t size;

    put_all("row");
    txn = world_begin(&world);
    txn_put(txn, "k", "aborted");
    ck_kv(kv_txn_prepare(txn));
    kv_txn_abort(txn);
    log = kv_memfs_read_file(world.fs, segment_path(number), &size);
    ck_kv(kv_buffer_set(&bytes, kv_slice_of(log, size)));
    free(log);
    put_very_large();
    world_put(&world, "z", "1");
    world_close(&world);
    ck_assert_uint_lt(kv_memfs_size(world.fs, segment_path(number)), size);
    ck_assert(kv_memfs_write_file(world.fs, segment_path(number), kv_buffer_slice(&bytes)));
    kv_buffer_release(&bytes);
    lose_manifest();
    ck_assert_uint_eq(kv_store_seq(world.store), 3);
    world_expect(&world, "k", NULL);
    world_expect(&world, "k19", "row");
    world_expect(&world, "z", "1");
}
END_TEST

/* One run of several segments. */
static void fill_a_run(void)
{
    world_close(&world);
    world.options.settings.max_segment_bytes = WORLD_SEGMENT_BYTES;
    world_open(&world);
    world_fill(&world, "k", 0, 180);
    ck_kv(kv_compact(world.store, NULL, NULL));
    ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 1);
    ck_assert_uint_ge(run_of(&world, 0)->segment_count, 3);
}

/* All rows of fill_a_run but the damaged ones are there. */
static void expect_run(unsigned lost)
{
    ck_assert_uint_eq(world_stats(&world).records, 180 - lost);
    world_expect(&world, "k0000", NULL);
    ck_assert_uint_eq(world_stats(&world).runs, 1);
    world_check(&world);
}

/* False: repair ended before its nth call. */
static bool interrupt_repair(uint64_t nth)
{
    unsigned steps = 0;
    bool interrupted;

    kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_FREEZE);
    (void)!kv_repair(WORLD_PATH, world.io, NULL, count_step, &steps);
    interrupted = kv_memfs_fault_count(world.fs) > 0;
    kv_memfs_heal(world.fs);
    kv_memfs_kill(world.fs);
    return interrupted;
}

/*
 * Goal: what a repair has written before it was interrupted replaces the damaged segment of a run, and no other.
 * Method: damage the first segment of a run, kill the repair at each of its calls, and repair again.
 */
START_TEST(test_survey_of_an_interrupted_repair)
{
    struct kv_memfs *damaged;
    char path[64];
    bool interrupted = true;
    uint64_t nth;

    fill_a_run();
    snprintf(path, sizeof(path), "%s", segment_path(run_of(&world, 0)->segments[0].number));
    world_close(&world);
    ck_assert(kv_memfs_flip_bit(world.fs, path, 4096 + 500, 3));
    ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    damaged = world.fs;
    for (nth = 1; interrupted; nth++) {
        world.fs = kv_memfs_clone(damaged);
        world.io = world.options.io = kv_memfs_io(world.fs);
        interrupted = interrupt_repair(nth);
        if (interrupted) {
            unsigned steps = 0;

            ck_kv(kv_repair(WORLD_PATH, world.io, NULL, count_step, &steps));
        }
        world_open(&world);
        expect_run(1);
        world_end(&world);
    }
    ck_assert_uint_gt(nth, 50);
    world.fs = damaged;
}
END_TEST

/* ---- Files that are not what they are called */

/* Put a copy of a segment's file, with a byte of `text` changed, under the name of another number. */
static void copy_damaged(uint64_t from, uint64_t to, const char *text)
{
    char path[64];
    size_t size;
    uint8_t *bytes;

    snprintf(path, sizeof(path), "%s", segment_path(from));
    bytes = kv_memfs_read_file(world.fs, path, &size);
    bytes[offset_of(path, text)] ^= 1;
    ck_assert(kv_memfs_write_file(world.fs, segment_path(to), kv_slice_of(bytes, size)));
    free(bytes);
}

/* Goal: of two files that say they are the same segment, the one under its own name is read. */
START_TEST(test_survey_of_a_copy_under_another_name)
{
    uint64_t number;

    put_all("row");
    number = engine_of(&world)->manifest.active.number;
    engine_seal(&world);
    world_put(&world, "z", "1");
    world_close(&world);
    copy_damaged(number, _i % 2 ? 900 : 0, "row");
    if (_i < 2) {
        lose_manifest();
    } else {
        unsigned steps = 0;

        ck_assert(kv_memfs_flip_bit(world.fs, segment_path(number), 100, 1)); /* the header */
        ck_kv(kv_repair(WORLD_PATH, world.io, NULL, count_step, &steps));
        world_open(&world);
        world_check(&world);
    }
    world_expect(&world, "a", _i < 2 ? "row" : NULL); /* else the copy's first record is damaged */
    world_expect(&world, "k00", "row");
    world_expect(&world, "k19", "row");
    world_expect(&world, "z", "1");
}
END_TEST

/* Goal: segments of another store, fewer than our own, do not count, whatever their numbers. */
START_TEST(test_survey_of_another_stores_segment)
{
    struct kv_header header;
    uint64_t number;
    size_t size;
    uint8_t *bytes;

    put_all("row");
    number = engine_of(&world)->manifest.active.number;
    engine_seal(&world);
    put_all("newer");
    engine_seal(&world);
    world_close(&world);
    bytes = kv_memfs_read_file(world.fs, segment_path(number), &size);
    ck_kv(kv_header_decode(kv_slice_of(bytes, KV_HEADER_BYTES), &header));
    header.uuid[0] ^= 1;
    header.number = _i ? 900 : number;
    kv_header_encode(bytes, &header);
    ck_assert(kv_memfs_write_file(world.fs, segment_path(900), kv_slice_of(bytes, size)));
    free(bytes);
    lose_manifest();
    world_expect(&world, "a", "newer");
    world_expect(&world, "k19", "newer");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("survey");
    TCase *tests = tcase_create("survey");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_survey_damage_in_the_last_transaction_of_a_sealed_log);
    tcase_add_test(tests, test_survey_of_an_input_that_is_back);
    tcase_add_loop_test(tests, test_survey_makes_the_last_log_durable, 0, 2);
    tcase_add_test(tests, test_survey_of_a_log_before_a_large_transaction);
    tcase_add_test(tests, test_survey_of_an_interrupted_repair);
    tcase_add_loop_test(tests, test_survey_of_a_copy_under_another_name, 0, 4);
    tcase_add_loop_test(tests, test_survey_of_another_stores_segment, 0, 2);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
