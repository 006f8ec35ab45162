/*
 * A merge that is half done, and whoever reads the store then: MANIFEST's `low`
 * tells which keys of the inputs do not count any more, and an input that is
 * hidden as a whole is gone. What it had deleted must not come back.
 *
 * The store: rows in a merge's output, and in a newer log the delete of the first of them. After
 * one step the log is gone, and the older run still holds the row that was deleted.
 */
#include "backup_world.h"
#include "header.h"
#include "names.h"
#include "rewrite.h"
#include "runner.h"

enum { RECORD_BYTES = 10 }; /* of a key and a row of one byte each */

static const char content[] = "b=1 y=1 z=1";

/* Both runs, and one step of their merge. */
static void make_open_merge(void)
{
    static const char *const keys[] = {"a", "b", "y", "z"};

    for (unsigned i = 0; i < 4; i++) {
        world_put(&world, keys[i], "1");
        engine_seal(&world);
    }
    ck_kv(engine_try_merge(&world, NULL));
    world_delete(&world, "a");
    engine_seal(&world);
    ck_kv(world_compact_some(&world, 1));
    ck_assert_uint_eq(engine_of(&world)->manifest.run_count,
                      2); /* what is left of one, and the output */
    ck_assert(run_of(&world, 0)->has_low);
    ck_assert_uint_ne(run_of(&world, 0)->merge_id, 0);
}

static void setup_merge(void)
{
    setup();
    make_open_merge();
}

START_TEST(test_open_merge_is_read_rightly)
{
    world_expect_all(&world, content);
    world_expect(&world, "a", NULL);
    world_reopen(&world);
    world_expect_all(&world, content);
    world_expect(&world, "a", NULL);
    world_check(&world);
}
END_TEST

START_TEST(test_open_merge_is_backed_up)
{
    backup();
    expect_backup(content);
    ck_kv(kv_compact(world.store, NULL, NULL));
    backup();
    expect_backup(content);
}
END_TEST

/* ---- Repair */

static enum kv_status ignore_step(void *context, const struct kv_repair_step *step)
{
    (void)context;
    (void)step;
    return KV_OK;
}

static void repair(void)
{
    ck_kv(kv_repair(WORLD_PATH, world.io, NULL, ignore_step, NULL));
    world_open(&world);
}

START_TEST(test_open_merge_is_repaired_without_a_manifest)
{
    world_close(&world);
    ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    repair();
    world_expect_all(&world, content);
    world_expect(&world, "a", NULL);
    world_check(&world);
}
END_TEST

/*
 * Goal: what an input has lost below `low` nobody misses, so no row is withheld for it.
 * Method: damage its first two records, and take away the index that could tell which they were.
 */
START_TEST(test_open_merge_with_a_damaged_input)
{
    uint64_t number = run_of(&world, 0)->segments[0].number;
    char name[KV_NAME_BYTES];

    world_close(&world);
    kv_name_index(name, number);
    ck_assert(kv_memfs_delete(world.fs, world_path(name)));
    for (unsigned i = 0; i < 2; i++)
        ck_assert(kv_memfs_flip_bit(world.fs, segment_path(number),
                                    KV_HEADER_BYTES + 6 + i * RECORD_BYTES, 1));
    repair();
    ck_assert_ptr_null(kv_memfs_list(world.fs, world_path(KV_NAME_QUARANTINE "/withheld")));
    world_expect_all(&world, content);
    world_expect(&world, "a", NULL);
    world_check(&world);
}
END_TEST

/*
 * Goal: what takes a damaged input's place has nothing below `low`, which only a manifest tells.
 * Method: damage a row above it; repair, lose the manifest, and repair again.
 */
START_TEST(test_open_merge_with_a_replaced_input)
{
    uint64_t number = run_of(&world, 0)->segments[0].number;

    world_close(&world);
    ck_assert(kv_memfs_flip_bit(world.fs, segment_path(number),
                                KV_HEADER_BYTES + 6 + 2 * RECORD_BYTES, 1));
    repair();
    world_expect_all(&world, "b=1 z=1");
    world_close(&world);
    ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    repair();
    world_expect_all(&world, "b=1 z=1");
    world_check(&world);
}
END_TEST

/* ---- A merge of the newer runs only */

/* The two newest runs, and then whatever is open; `context` says whether it has begun. */
static struct kv_choice choose_newer(const struct kv_manifest *manifest, void *context)
{
    bool *begun = context;

    if (*begun)
        return kv_policy_resume_oldest(manifest);
    *begun = true;
    return (struct kv_choice){.action = KV_ACTION_MERGE, .run_count = 2, .tier = 1};
}

/* Goal: each step of a merge keeps the tombstones of what older runs hold, not just the first. */
START_TEST(test_open_merge_keeps_tombstones)
{
    struct kv_engine *engine = engine_of(&world);
    struct kv_rewrite_limit limit = {.bytes = 1};
    uint64_t written_bytes = 0;
    unsigned steps = 0;
    bool begun = false, done = false;

    ck_kv(kv_compact(world.store, NULL, NULL)); /* the older run */
    world_delete(&world, "b");
    world_put(&world, "c", "1");
    engine_seal(&world);
    world_delete(&world, "y");
    world_delete(&world, "z");
    engine_seal(&world);
    ck_kv(kv_engine_take_compactor(engine, 0));
    for (; !done; steps++)
        ck_kv(kv_rewrite_step(engine, &world.options.settings, choose_newer, &begun, &limit, &done,
                              &written_bytes));
    kv_engine_drop_compactor(engine);
    ck_assert_uint_gt(steps, 3);
    world_expect_all(&world, "c=1");
    world_check(&world);
    ck_kv(kv_compact(world.store, NULL, NULL));
    world_expect_all(&world, "c=1");
}
END_TEST

/* ---- A merge that has nothing to write */

/* Lose the power, in one of several ways. */
static void lose_power(unsigned way, uint64_t seed)
{
    world_crash(&world,
                way == 0   ? KV_MEMFS_DROP
                : way == 1 ? KV_MEMFS_LAST
                : way == 2 ? KV_MEMFS_REMOVE
                           : KV_MEMFS_RANDOM,
                seed * way);
}

/* All calls fail from the nth on. */
static void freeze(uint64_t nth)
{
    kv_memfs_settle(world.fs);
    kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
}

/* Returns whether a call failed; all work again. */
static bool thaw(void)
{
    bool failed = kv_memfs_fault_count(world.fs) > 0;

    kv_memfs_heal(world.fs);
    return failed;
}

static void expect_after_repair(const char *rows)
{
    ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    repair();
    world_expect_all(&world, rows);
    world_check(&world);
}

/*
 * Merge what has been deleted, in a process that stops at the nth of its calls: killed (way 0), or with
 * the power lost (way 1 …). Nothing returns in a repair without a manifest. Returns whether it stopped.
 */
static bool stop_merge_of_nothing(uint64_t nth, unsigned way)
{
    bool stopped;

    freeze(nth);
    (void)!kv_compact(world.store, NULL, NULL);
    stopped = thaw();
    if (way == 0)
        world_kill(&world);
    else
        lose_power(way - 1, nth);
    expect_after_repair("");
    return stopped;
}

/*
 * Goal: where every key was deleted, no output stands for what the inputs held. What they had
 * deleted stays deleted, wherever the process that removes them is stopped, and whatever of that lasts.
 * Method: stop at each call from the merge on; lose the power, in each way; repair without a manifest.
 */
START_TEST(test_open_merge_of_what_was_deleted)
{
    bool stopped = true;

    for (uint64_t nth = 1; stopped; nth++) {
        teardown();
        setup();
        world_put(&world, "a", "1");
        engine_seal(&world);
        world_delete(&world, "a");
        engine_seal(&world);
        stopped = stop_merge_of_nothing(nth, (unsigned)_i);
    }
}
END_TEST

/*
 * A merge had nothing to write, and its process died before it removed what it had read: an output with
 * two rows, and a log with their deletes. The log is the newer one, but has the lower number.
 */
static void make_leftovers(void)
{
    struct kv_buffer older, newer;
    char older_name[KV_NAME_BYTES], newer_name[KV_NAME_BYTES];

    world_put(&world, "a", "1");
    engine_seal(&world);
    world_put(&world, "b", "1");
    engine_seal(&world);
    ck_kv(kv_compact(world.store, NULL, NULL));
    world_delete(&world, "a");
    world_delete(&world, "b");
    engine_seal(&world);
    ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 2);
    kv_name_segment(newer_name, run_of(&world, 0)->segments[0].number);
    kv_name_segment(older_name, run_of(&world, 1)->segments[0].number);
    ck_assert_int_lt(strcmp(newer_name, older_name), 0);
    newer = file_save(&world, newer_name);
    older = file_save(&world, older_name);
    ck_kv(kv_compact(world.store, NULL, NULL));
    ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 0);
    world_put(&world, "z", "1");
    world_close(&world);
    file_restore(&world, newer_name, &newer);
    file_restore(&world, older_name, &older);
    kv_buffer_release(&older);
    kv_buffer_release(&newer);
}

/*
 * Goal: what has been deleted does not return either if the next opening is stopped while it removes
 * such leftovers.
 * Method: stop it at each of its calls; lose the power; repair without a manifest.
 */
START_TEST(test_open_merge_of_what_was_deleted_leaves_inputs)
{
    bool stopped = true;

    for (uint64_t nth = 1; stopped; nth++) {
        teardown();
        setup();
        make_leftovers();
        freeze(nth);
        (void)!kv_store_open(WORLD_PATH, &world.options, &world.store);
        stopped = thaw();
        lose_power((unsigned)_i, nth);
        expect_after_repair("z=1");
    }
}
END_TEST

/*
 * Goal: what an earlier merge has read, and could not remove, does not return when its output goes in turn,
 * with nothing in its place, while the store has been open all the time.
 * Method: put the inputs of a merge back; stop the next one at each of its calls; repair without a manifest.
 */
START_TEST(test_open_merge_of_what_was_deleted_knows_earlier_inputs)
{
    bool stopped = true;

    for (uint64_t nth = 1; stopped; nth++) {
        char names[2][KV_NAME_BYTES];
        struct kv_buffer files[2];

        teardown();
        setup();
        for (unsigned i = 0; i < 2; i++) {
            world_put(&world, i == 0 ? "a" : "b", "1");
            engine_seal(&world);
            kv_name_segment(names[i], run_of(&world, 0)->segments[0].number);
            files[i] = file_save(&world, names[i]);
        }
        ck_kv(kv_compact(world.store, NULL, NULL));
        for (unsigned i = 0; i < 2; i++) {
            file_restore(&world, names[i], &files[i]);
            kv_buffer_release(&files[i]);
        }
        world_delete(&world, "a");
        world_delete(&world, "b");
        engine_seal(&world);
        stopped = stop_merge_of_nothing(nth, (unsigned)_i);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("open merge");
    TCase *tests = tcase_create("open merge"), *empty = tcase_create("empty merge");

    tcase_add_checked_fixture(tests, setup_merge, teardown);
    tcase_add_test(tests, test_open_merge_is_read_rightly);
    tcase_add_test(tests, test_open_merge_is_backed_up);
    tcase_add_test(tests, test_open_merge_is_repaired_without_a_manifest);
    tcase_add_test(tests, test_open_merge_with_a_damaged_input);
    tcase_add_test(tests, test_open_merge_with_a_replaced_input);
    tcase_add_test(tests, test_open_merge_keeps_tombstones);
    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(empty, setup, teardown);
    tcase_add_loop_test(empty, test_open_merge_of_what_was_deleted, 0, 8);
    tcase_add_loop_test(empty, test_open_merge_of_what_was_deleted_leaves_inputs, 0, 12);
    tcase_add_loop_test(empty, test_open_merge_of_what_was_deleted_knows_earlier_inputs, 0, 8);
    suite_add_tcase(suite, empty);
    return kv_run_suite(suite);
}
