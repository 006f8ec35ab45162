/*
 * kv_backup: what a backup holds, what the next one adds to it, and what is
 * refused and left alone. test_backup_ends.c has failures, kills and power cuts.
 */
#include <stdio.h>
#include <stdlib.h>

#include "backup_world.h"
#include "names.h"
#include "runner.h"

/* ---- What it holds */

START_TEST(test_backup_holds_what_was_committed)
{
    uint64_t copied_bytes;

    fill();
    if (_i)
        refuse_links();
    copied_bytes = backup();
    kv_memfs_heal(world.fs);
    if (_i)
        ck_assert_uint_gt(copied_bytes, 3 * KV_HEADER_BYTES);
    else
        ck_assert_uint_eq(copied_bytes, 0);
    world_put(&world, "later", "1");
    expect_backup(filled);
    world_expect_all(&world, "a=2 b=1 d=1 later=1");
    world_check(&world);
}
END_TEST

/*
 * Goal: a copied file is the whole file: what stands behind the records of a merge's output
 * is what repair goes by. Method: compare both directories' files, but for the space that a
 * log had reserved; also for those whose names merges take away on the way.
 */
START_TEST(test_backup_copies_whole_files)
{
    char *names, *rest, *name;
    unsigned merged = 0;
    uint64_t number;

    fill();
    refuse_links();
    backup();
    names = rest = kv_memfs_list(world.fs, BACKUP_PATH);
    while ((name = strsep(&rest, "\n")) != NULL) {
        char from[128], to[128];
        uint8_t *expected, *copied;
        size_t expected_size, size;

        if (kv_name_parse(name, &number) != KV_NAME_IS_SEGMENT || number >= 1000000000)
            continue;
        snprintf(from, sizeof(from), WORLD_PATH "/%s", name);
        snprintf(to, sizeof(to), BACKUP_PATH "/%s", name);
        expected = kv_memfs_read_file(world.fs, from, &expected_size);
        copied = kv_memfs_read_file(world.fs, to, &size);
        ck_assert_uint_eq(size, expected_size);
        ck_assert_mem_eq(copied, expected, size);
        merged += expected[12] == KV_ROLE_MERGE;
        free(expected);
        free(copied);
    }
    free(names);
    ck_assert_uint_gt(merged, 0);
}
END_TEST

START_TEST(test_backup_of_nothing)
{
    struct world copy;

    ck_assert_uint_eq(backup(), 0);
    expect_backup("");
    ck_assert_uint_eq(backup(), 0); /* an earlier backup by now */
    open_copy(&copy, BACKUP_PATH, true);
    ck_assert_mem_eq(kv_store_uuid(copy.store), kv_store_uuid(world.store), KV_UUID_BYTES);
    world_end(&copy);
}
END_TEST

/* Goal: linked files are the store's own, and the backup's other files are not. */
START_TEST(test_backup_links_what_is_sealed)
{
    uint64_t number;
    struct kv_identity store, copy;
    struct kv_dir *from, *to;
    char name[KV_NAME_BYTES];

    fill();
    backup();
    ck_kv(kv_io_dir_open(world.io, WORLD_PATH, &from));
    ck_kv(kv_io_dir_open(world.io, BACKUP_PATH, &to));
    number = run_of(&world, 0)->segments[0].number;
    for (int index = 0; index < 2; index++) {
        (index ? kv_name_index : kv_name_segment)(name, number);
        ck_kv(kv_io_name_identity(from, name, &store));
        ck_kv(kv_io_name_identity(to, name, &copy));
        ck_assert_uint_eq(store.inode, copy.inode);
    }
    kv_name_segment(name, engine_of(&world)->manifest.active.number);
    ck_kv_is(kv_io_name_identity(to, name, &copy), KV_NOTFOUND);
    kv_io_dir_close(from);
    kv_io_dir_close(to);
}
END_TEST

/* Goal: a backup is restored by copying its directory, and written to like any store. */
START_TEST(test_backup_is_restored_by_copying)
{
    struct world copy;

    fill();
    backup();
    copy_directory(BACKUP_PATH, "/restored");
    kv_memfs_settle(world.fs);
    open_copy(&copy, "/restored", false);
    world_expect_all(&copy, filled);
    for (unsigned round = 0; round < 3; round++) {
        world_put(&copy, "d", "2");
        ck_kv(kv_compact(copy.store, NULL, NULL));
    }
    world_end(&copy);
    ck_kv(kv_check("/restored", world.io, NULL, fail_on_problem, "restored"));
    open_copy(&copy, "/restored", false);
    world_expect_all(&copy, "a=2 b=1 d=2");
    /* It is a store of its own now, whose backups have a place of their own. */
    ck_kv_is(kv_backup(copy.store, BACKUP_PATH, NULL, NULL), KV_MISMATCH);
    ck_kv(kv_backup(copy.store, "/other", NULL, NULL));
    world_end(&copy);
    expect_backup(filled);
}
END_TEST

/* Goal: the settings of a store's user say nothing about the state: transactions after the backup began may be missing. */
START_TEST(test_backup_of_a_backup)
{
    struct world copy;

    fill();
    backup();
    open_copy(&copy, BACKUP_PATH, false);
    ck_kv(kv_backup(copy.store, "/second", NULL, NULL));
    world_end(&copy);
    change();
    ck_kv(kv_backup(world.store, "/second", NULL, NULL)); /* an earlier one of the same store */
    open_copy(&copy, "/second", false);
    world_expect_all(&copy, changed);
    world_end(&copy);
    expect_backup(filled);
}
END_TEST

/* ---- The next one */

START_TEST(test_backup_again_brings_what_is_new)
{
    uint64_t first, again;

    fill();
    refuse_links();
    first = backup();
    ck_assert_uint_eq(backup(), 0);
    world_put(&world, "e", "1");
    again = backup();
    ck_assert_uint_gt(again, 0);
    ck_assert_uint_lt(again, first / 2);
    change();
    ck_assert_uint_gt(backup(), again);
    kv_memfs_heal(world.fs);
    expect_backup(changed);
}
END_TEST

/* Goal: what merges have made superfluous is gone from the backup, too. */
START_TEST(test_backup_again_removes_what_is_old)
{
    char *names, *rest, *name;
    unsigned segments = 0;
    uint64_t number;

    fill();
    backup();
    change();
    backup();
    names = rest = kv_memfs_list(world.fs, BACKUP_PATH);
    while ((name = strsep(&rest, "\n")) != NULL)
        segments += kv_name_parse(name, &number) == KV_NAME_IS_SEGMENT;
    free(names);
    ck_assert_uint_eq(segments, 3); /* merged, sealed by the backup, its log */
    expect_backup(changed);
}
END_TEST

/* Goal: opening, checking and compacting a backup are no writes. */
START_TEST(test_backup_again_after_a_look)
{
    struct world copy;

    fill();
    backup();
    open_copy(&copy, BACKUP_PATH, false);
    world_expect_all(&copy, filled);
    ck_kv(kv_compact(copy.store, NULL, NULL));
    kv_txn_abort(world_begin(&copy));
    world_end(&copy);
    change();
    backup();
    expect_backup(changed);
}
END_TEST

/* Goal: a segment of the earlier backup whose file has been lost comes back. */
START_TEST(test_backup_again_brings_what_is_missing)
{
    char path[128], name[KV_NAME_BYTES];

    fill();
    backup();
    kv_name_segment(name, run_of(&world, 1)->segments[0].number);
    snprintf(path, sizeof(path), BACKUP_PATH "/%s", name);
    ck_assert(kv_memfs_delete(world.fs, path));
    backup();
    expect_backup(filled);
}
END_TEST

/* ---- What is refused, and left alone */

static void expect_refusal(enum kv_status expected)
{
    char *before = contents(BACKUP_PATH), *after;
    uint64_t runs = world_stats(&world).runs;

    ck_kv_is(try_backup(NULL), expected);
    ck_assert_msg(strstr(kv_message(), BACKUP_PATH) != NULL, "%s", kv_message());
    after = contents(BACKUP_PATH);
    ck_assert_str_eq(before, after);
    ck_assert_uint_eq(world_stats(&world).runs, runs);
    free(before);
    free(after);
}

START_TEST(test_backup_refuses_what_was_written_to)
{
    struct world copy;

    fill();
    backup();
    open_copy(&copy, BACKUP_PATH, false);
    world_put(&copy, "x", "1");
    world_end(&copy);
    expect_refusal(KV_MISMATCH);
    open_copy(&copy, BACKUP_PATH, false);
    world_expect_all(&copy, "a=2 b=1 d=1 x=1");
    world_end(&copy);
}
END_TEST

START_TEST(test_backup_refuses_other_stores)
{
    struct kv_store *other;

    fill();
    ck_kv(kv_store_open(BACKUP_PATH, &world.options, &other));
    ck_kv(kv_put(other, kv_slice_text("a"), kv_slice_text("1")));
    ck_kv(kv_store_close(other));
    expect_refusal(KV_MISMATCH);
    ck_kv_is(kv_backup(world.store, WORLD_PATH, NULL, NULL), KV_MISMATCH); /* itself */
    ck_kv(kv_destroy(BACKUP_PATH, world.io));
    world_close(&world);
    copy_directory(WORLD_PATH, BACKUP_PATH); /* a copy that is no backup */
    world_open(&world);
    expect_refusal(KV_MISMATCH);
}
END_TEST

START_TEST(test_backup_refuses_other_files)
{
    fill();
    ck_kv(kv_io_dir_create(world.io, BACKUP_PATH, 0700));
    ck_assert(kv_memfs_write_file(world.fs, BACKUP_PATH "/notes", kv_slice_text("mine")));
    expect_refusal(KV_INVALID);
    ck_assert_uint_eq(kv_memfs_size(world.fs, BACKUP_PATH "/" KV_NAME_LOCK), UINT64_MAX);
    ck_assert(kv_memfs_delete(world.fs, BACKUP_PATH "/notes"));
    ck_assert(kv_memfs_write_file(world.fs, BACKUP_PATH "/segment_000000000001.db",
                                  kv_slice_text("whose?")));
    expect_refusal(KV_INVALID);
    ck_assert(kv_memfs_write_file(world.fs, BACKUP_PATH "/" KV_NAME_BACKUP_TEMPORARY,
                                  kv_slice_text("torn")));
    expect_refusal(KV_INVALID);
    ck_assert(
        kv_memfs_write_file(world.fs, BACKUP_PATH "/" KV_NAME_MANIFEST, kv_slice_text("torn")));
    expect_refusal(KV_CORRUPT);
    ck_kv_is(kv_backup(world.store, "", NULL, NULL), KV_INVALID);
    ck_kv_is(kv_backup(world.store, BACKUP_PATH "/" KV_NAME_MANIFEST, NULL, NULL), KV_INVALID);
}
END_TEST

/* Goal: the store may have been set back; the newer backup is not. */
START_TEST(test_backup_refuses_to_go_back)
{
    struct kv_store *old;

    fill();
    world_close(&world);
    copy_directory(WORLD_PATH, "/old");
    world_open(&world);
    change();
    backup();
    ck_kv(kv_store_open("/old", &world.options, &old));
    ck_kv_is(kv_backup(old, BACKUP_PATH, NULL, NULL), KV_MISMATCH);
    ck_assert_ptr_nonnull(strstr(kv_message(), "newer"));
    /* When it is ahead again, its segments are others by the same numbers. */
    for (unsigned i = 0; i < 20; i++)
        ck_kv(kv_put(old, kv_slice_text("i"), kv_slice_text("1")));
    ck_kv_is(kv_backup(old, BACKUP_PATH, NULL, NULL), KV_MISMATCH);
    ck_assert_ptr_nonnull(strstr(kv_message(), "its own way"));
    ck_kv(kv_store_close(old));
    expect_backup(changed);
}
END_TEST

START_TEST(test_backup_refuses_a_directory_in_use)
{
    struct world other, copy;

    world_end(&world);
    world_init(&world);
    world_join(&other, &world);
    world_open(&world);
    fill();
    backup();
    for (int readonly = 0; readonly < 2; readonly++) {
        other.options.readonly = readonly;
        ck_kv(kv_store_open(BACKUP_PATH, &other.options, &other.store));
        expect_refusal(KV_BUSY);
        world_close(&other);
        open_copy(&copy, BACKUP_PATH, readonly);
        expect_refusal(KV_BUSY);
        world_end(&copy);
    }
    backup();
    world_end(&other);
}
END_TEST

/* ---- While it is being made */

struct meddler {
    unsigned asked;
    void (*meddle)(void);
    unsigned when;
    bool stop;
};

static bool ask_meddler(void *context)
{
    struct meddler *meddler = context;

    if (++meddler->asked == meddler->when && meddler->meddle)
        meddler->meddle();
    return meddler->stop && meddler->asked >= meddler->when;
}

static enum kv_status backup_with(struct meddler *meddler, uint64_t *copied_bytes)
{
    struct kv_settings settings = world.options.settings;

    settings.interrupted = ask_meddler;
    settings.interrupted_context = meddler;
    return kv_backup(world.store, BACKUP_PATH, &settings, copied_bytes);
}

static void merge_all(void)
{
    world_put(&world, "meanwhile", "1");
    ck_kv(kv_compact(world.store, NULL, NULL));
}

/* Goal: merges that unlink what is being copied do no harm. Method: one at each question. */
START_TEST(test_backup_while_merges_unlink)
{
    struct meddler meddler = {0};

    do {
        meddler = (struct meddler){.meddle = merge_all, .when = meddler.when + 1};
        world_end(&world);
        world_start(&world);
        fill();
        if (_i)
            refuse_links();
        ck_kv(backup_with(&meddler, NULL));
        kv_memfs_heal(world.fs);
        expect_backup(filled);
        backup();
        expect_backup(meddler.asked < meddler.when ? filled : "a=2 b=1 d=1 meanwhile=1");
    } while (meddler.asked >= meddler.when);
    ck_assert_uint_gt(meddler.when, 3);
}
END_TEST

static void open_elsewhere(void)
{
    struct kv_open_options options = world.options;
    struct kv_store *store;

    ck_kv_is(kv_store_open(BACKUP_PATH, &options, &store), KV_BUSY);
    ck_kv_is(kv_check(BACKUP_PATH, world.io, NULL, fail_on_problem, NULL), KV_BUSY);
    ck_kv_is(kv_destroy(BACKUP_PATH, world.io), KV_BUSY);
    ck_kv_is(try_backup(NULL), KV_BUSY);
}

START_TEST(test_backup_lets_nobody_open_it_meanwhile)
{
    struct meddler meddler = {.meddle = open_elsewhere, .when = 1};

    fill();
    backup();
    change();
    ck_kv(backup_with(&meddler, NULL));
    ck_assert_uint_gt(meddler.asked, 0);
    expect_backup(changed);
}
END_TEST

/* Goal: stopped anywhere, the earlier backup is as it was, or there is nothing. */
START_TEST(test_backup_interrupted)
{
    struct meddler meddler = {0};
    enum kv_status st;

    do {
        char *before, *after;

        meddler = (struct meddler){.stop = true, .when = meddler.when + 1};
        world_end(&world);
        world_start(&world);
        fill();
        if (_i) {
            backup();
            change();
        }
        before = contents(BACKUP_PATH);
        st = backup_with(&meddler, NULL);
        ck_assert(st == KV_OK || st == KV_INTERRUPTED);
        after = contents(BACKUP_PATH);
        if (st != KV_OK) {
            ck_assert_str_eq(before, after);
            ck_assert(_i || kv_memfs_list(world.fs, BACKUP_PATH) == NULL);
        }
        free(before);
        free(after);
        backup();
        expect_backup(_i ? changed : filled);
    } while (st != KV_OK);
    ck_assert_uint_gt(meddler.when, 3);
}
END_TEST

/* Goal: a writer who does not go away makes it KV_BUSY; one who does is waited for elsewhere. */
START_TEST(test_backup_waits_for_a_writer_in_vain)
{
    struct kv_txn *txn;

    fill();
    txn = world_begin(&world);
    txn_put(txn, "x", "1");
    ck_kv_is(try_backup(NULL), KV_BUSY);
    ck_assert_ptr_null(kv_memfs_list(world.fs, BACKUP_PATH));
    ck_kv(kv_txn_commit(txn));
    backup();
    expect_backup("a=2 b=1 d=1 x=1");
}
END_TEST

/* ---- Damage */

/* Goal: what is damaged in the store does not get into the backup. Method: each byte of a segment's records. */
START_TEST(test_backup_of_damage)
{
    const struct kv_segment_info *info;
    char path[128];

    fill();
    if (_i) {
        backup();
        change();
        ck_kv(kv_compact(world.store, NULL, NULL));
    }
    engine_seal(&world);
    info = &run_of(&world, 0)->segments[0];
    snprintf(path, sizeof(path), "%s", segment_path(info->number));
    for (uint64_t at = 0; at < info->end_bytes; at += at < 128 || at >= KV_HEADER_BYTES ? 1 : 64) {
        char *before = contents(BACKUP_PATH), *after;

        ck_assert(kv_memfs_flip_bit(world.fs, path, at, at % 8));
        ck_kv_is(try_backup(NULL), KV_CORRUPT);
        ck_assert(kv_memfs_flip_bit(world.fs, path, at, at % 8));
        after = contents(BACKUP_PATH);
        ck_assert_str_eq(before, after);
        free(before);
        free(after);
    }
    if (_i)
        expect_backup(filled);
    backup();
    expect_backup(_i ? changed : filled);
}
END_TEST

/* ---- Stores that must not be changed */

static void reopen_readonly(void)
{
    world_close(&world);
    world.options.readonly = true;
    world_open(&world);
}

static void reopen_writable(void)
{
    world_close(&world);
    world.options.readonly = false;
    world_open(&world);
}

/* Its writer died with a transaction larger than a log committed, but not settled. */
START_TEST(test_backup_of_a_readonly_store_with_a_pending_group)
{
    static uint8_t row[30000];
    struct kv_txn *txn;
    uint64_t copied_bytes;

    fill();
    txn = world_begin(&world);
    for (unsigned char i = 0; i < 20; i++)
        ck_kv(kv_txn_put(txn, kv_slice_of(&i, 1), kv_slice_of(row, sizeof(row))));
    ck_kv(kv_txn_prepare(txn));
    kv_memfs_kill(world.fs);
    kv_txn_abort(txn);
    (void)!kv_store_close(world.store);
    world.options.readonly = true;
    world.store = NULL;
    world_open(&world);
    ck_kv_is(try_backup(&copied_bytes), KV_BUSY);
    ck_assert_ptr_nonnull(strstr(kv_message(), "larger than a log"));
    reopen_writable();
    ck_kv(try_backup(&copied_bytes));
    ck_assert_uint_gt(world_stats(&world).keys, 20);
}
END_TEST

/* Its writer died with a log sealed, but not indexed, and went on to the next one before. */
START_TEST(test_backup_of_a_readonly_store_with_an_unindexed_log)
{
    uint64_t digest, copied_bytes;

    fill();
    engine_only_seal(&world);
    world_put(&world, "e", "1");
    kv_memfs_settle(world.fs);
    world_kill(&world);
    world.options.readonly = true;
    world_open(&world);
    ck_assert_uint_ne(engine_of(&world)->manifest.unindexed.number, 0);
    digest = world_files_digest(&world);
    if (_i)
        refuse_links();
    copied_bytes = backup();
    ck_assert_uint_gt(copied_bytes, _i ? 4 * KV_HEADER_BYTES : KV_HEADER_BYTES);
    kv_memfs_heal(world.fs);
    expect_backup("a=2 b=1 d=1 e=1");
    backup();
    expect_backup("a=2 b=1 d=1 e=1");
    ck_assert_uint_eq(world_files_digest(&world), digest);
    reopen_writable();
    change();
    backup();
    expect_backup(changed);
}
END_TEST

START_TEST(test_backup_of_a_readonly_store)
{
    uint64_t digest;

    fill();
    reopen_readonly();
    digest = world_files_digest(&world);
    if (_i)
        refuse_links();
    ck_assert_uint_gt(backup(), KV_HEADER_BYTES); /* the log */
    kv_memfs_heal(world.fs);
    ck_assert_uint_eq(world_files_digest(&world), digest);
    expect_backup(filled);
    ck_assert_uint_eq(backup(), 0); /* it has that log already */
    expect_backup(filled);
    reopen_writable();
    change();
    reopen_readonly();
    ck_assert_uint_gt(backup(), KV_HEADER_BYTES);
    expect_backup(changed);
    reopen_writable();
    world_put(&world, "g", "1");
    backup(); /* of the same log, sealed now */
    expect_backup("a=2 b=1 d=1 e=1 f=1 g=1");
}
END_TEST

/* A reader beside a writer in another process backs up what is committed. */
START_TEST(test_backup_beside_a_writer)
{
    struct world other;

    world_end(&world);
    world_init(&world);
    world_join(&other, &world);
    world_open(&world);
    fill();
    other.options.readonly = true;
    world_open(&other);
    for (unsigned i = 0; i < 3; i++) {
        char expected[64];

        snprintf(expected, sizeof(expected), "a=2 b=1 d=1 n=%u", i);
        world_put(&world, "n", expected + 14);
        ck_kv(kv_backup(other.store, BACKUP_PATH, NULL, NULL));
        expect_backup(expected);
        if (i == 1)
            change();
        if (i == 1)
            world_delete(&world, "e");
        if (i == 1)
            world_delete(&world, "f");
    }
    world_end(&other);
}
END_TEST

static Suite *backup_suite(void)
{
    Suite *suite = suite_create("backup");
    TCase *tests = tcase_create("backup");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, test_backup_holds_what_was_committed, 0, 2);
    tcase_add_test(tests, test_backup_copies_whole_files);
    tcase_add_test(tests, test_backup_of_nothing);
    tcase_add_test(tests, test_backup_links_what_is_sealed);
    tcase_add_test(tests, test_backup_is_restored_by_copying);
    tcase_add_test(tests, test_backup_of_a_backup);
    tcase_add_test(tests, test_backup_again_brings_what_is_new);
    tcase_add_test(tests, test_backup_again_removes_what_is_old);
    tcase_add_test(tests, test_backup_again_after_a_look);
    tcase_add_test(tests, test_backup_again_brings_what_is_missing);
    tcase_add_test(tests, test_backup_refuses_what_was_written_to);
    tcase_add_test(tests, test_backup_refuses_other_stores);
    tcase_add_test(tests, test_backup_refuses_other_files);
    tcase_add_test(tests, test_backup_refuses_to_go_back);
    tcase_add_test(tests, test_backup_refuses_a_directory_in_use);
    tcase_add_loop_test(tests, test_backup_while_merges_unlink, 0, 2);
    tcase_add_test(tests, test_backup_lets_nobody_open_it_meanwhile);
    tcase_add_loop_test(tests, test_backup_interrupted, 0, 2);
    tcase_add_test(tests, test_backup_waits_for_a_writer_in_vain);
    tcase_add_loop_test(tests, test_backup_of_damage, 0, 2);
    tcase_add_loop_test(tests, test_backup_of_a_readonly_store, 0, 2);
    tcase_add_loop_test(tests, test_backup_of_a_readonly_store_with_an_unindexed_log, 0, 2);
    tcase_add_test(tests, test_backup_of_a_readonly_store_with_a_pending_group);
    tcase_add_test(tests, test_backup_beside_a_writer);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(backup_suite());
}
