/*
 * Opening after whatever end, and closing: a clean end is one, nothing that
 * recovery does is lost when it is interrupted, and damage is left as it is.
 * What failover copies: test_failover.c.
 */
#include "recover.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine_world.h"
#include "names.h"
#include "record.h"
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

static uint64_t generation(void)
{
    return engine_of(&world)->manifest.generation;
}

static uint64_t active_number(void)
{
    return engine_of(&world)->manifest.active.number;
}

/* A run, a log with overwrites and a tombstone: "b=2 c=2 d=3". */
static const char *const filled = "b=2 c=2 d=3";

static void fill(void)
{
    world_put(&world, "a", "1");
    world_put(&world, "b", "1");
    engine_seal(&world);
    world_put(&world, "b", "2");
    world_put(&world, "c", "2");
    world_delete(&world, "a");
    world_put(&world, "d", "3");
}

static enum kv_status try_open(void)
{
    return kv_store_open(WORLD_PATH, &world.options, &world.store);
}

/* Opening fails so, with a message that says this, and changes nothing. */
static void expect_refused(enum kv_status st, const char *text)
{
    uint64_t digest = world_files_digest(&world);

    ck_kv_is(try_open(), st);
    ck_assert_msg(strstr(kv_message(), text), "%s", kv_message());
    ck_assert_uint_eq(world_files_digest(&world), digest);
}

/* ---- Clean ends */

START_TEST(test_recover_clean_end_stands_at_the_tail)
{
    uint64_t number, size;
    struct kv_log_tail tail;
    struct kv_buffer file;
    struct kv_end end;
    uint64_t salt;
    char name[KV_NAME_BYTES];

    fill();
    number = active_number();
    tail = engine_of(&world)->version->log->tail;
    salt = engine_of(&world)->version->log->header.salt;
    world_close(&world);
    size = kv_memfs_size(world.fs, segment_path(number));
    ck_assert_uint_eq(size, tail.end_bytes + KV_END_BYTES); /* trimmed to it */
    kv_name_segment(name, number);
    file = file_save(&world, name);
    ck_kv(kv_end_decode(kv_slice_of(file.data + tail.end_bytes, KV_END_BYTES), salt, tail.end_bytes,
                        &end));
    ck_assert_uint_eq(end.seq, tail.seq);
    ck_assert_uint_eq(end.digest, tail.digest);
    kv_buffer_release(&file);
    world_open(&world);
}
END_TEST

/* Opening and closing without a write changes nothing, however often: no failover, no new manifest. */
START_TEST(test_recover_clean_reopen_changes_nothing)
{
    uint64_t before, number, digest;

    fill();
    world_reopen(&world);
    before = generation();
    number = active_number();
    world_close(&world);
    digest = world_files_digest(&world);
    for (int i = 0; i < 3; i++) {
        world_open(&world);
        ck_assert_uint_eq(generation(), before);
        ck_assert_uint_eq(active_number(), number);
        world_expect_all(&world, filled);
        world_close(&world);
        ck_assert_uint_eq(world_files_digest(&world), digest);
    }
    world_open(&world);
}
END_TEST

/*
 * The clean end is durable, and published: the power may go after it. There is no failover;
 * the manifest may be published again, because the page that knew of it was volatile.
 */
START_TEST(test_recover_clean_end_is_durable)
{
    uint64_t before, number;

    fill();
    before = generation();
    number = active_number();
    world_close(&world);
    kv_memfs_crash(world.fs, _i ? KV_MEMFS_RANDOM : KV_MEMFS_DROP, (uint64_t)_i);
    world_open(&world);
    ck_assert_uint_le(generation(), before + 2);
    ck_assert_uint_eq(active_number(), number);
    world_expect_all(&world, filled);
}
END_TEST

/* A clean log is written on; the next end is clean as well. */
START_TEST(test_recover_clean_log_goes_on)
{
    uint64_t number;

    fill();
    number = active_number();
    for (int i = 0; i < 5; i++) {
        char row[] = {(char)('0' + i), '\0'};

        world_reopen(&world);
        ck_assert_uint_eq(active_number(), number);
        world_put(&world, "z", row);
    }
    world_reopen(&world);
    ck_assert_uint_eq(active_number(), number);
    world_expect_all(&world, "b=2 c=2 d=3 z=4");
}
END_TEST

/* What `fill` writes is not durable; then somebody dies as a writer, or in a sync, or a sync fails. */
static void fill_and_doubt(unsigned which)
{
    struct kv_page *page;

    world.options.settings.synchronous = KV_SYNC_OFF;
    world_reopen(&world);
    fill();
    page = engine_of(&world)->page;
    ck_assert_uint_lt(kv_page_load(&page->durable_lsn), kv_page_load(&page->committed_lsn));
    atomic_store(which == 0   ? &page->refuse_writes
                 : which == 1 ? &page->writer_busy
                              : &page->syncing,
                 1);
}

/* In doubt, closing fails over: the power may go then, and the next opening finds a clean end. */
START_TEST(test_recover_close_in_doubt)
{
    uint64_t number;

    fill_and_doubt((unsigned)_i);
    number = active_number();
    world_close(&world);
    kv_memfs_crash(world.fs, KV_MEMFS_DROP, 0);
    world_open(&world);
    ck_assert_uint_eq(active_number(), number + 1); /* no failover by the opening */
    world_expect_all(&world, filled);
}
END_TEST

/* If it cannot, it says so, and leaves everything, without END, to the next opening. */
START_TEST(test_recover_close_in_doubt_fails)
{
    uint64_t number;

    fill_and_doubt((unsigned)_i);
    number = active_number();
    kv_memfs_fail(world.fs, KV_MEMFS_SYNC, 1, KV_IOERR, KV_MEMFS_STICKY);
    ck_kv_is(kv_store_close(world.store), KV_IOERR);
    world.store = NULL;
    kv_memfs_heal(world.fs);
    world_open(&world);
    ck_assert_uint_ne(active_number(), number); /* it has failed over */
    world_expect_all(&world, filled);
}
END_TEST

/* ---- Unclean ends */

START_TEST(test_recover_again_and_again)
{
    fill();
    for (int i = 0; i < 5; i++) {
        uint64_t seq = kv_store_seq(world.store);

        if (_i == 0)
            world_kill(&world);
        else
            world_crash(&world, _i == 1 ? KV_MEMFS_DROP : KV_MEMFS_RANDOM, (uint64_t)(i + _i));
        world_open(&world);
        world_expect_all(&world, filled);
        ck_assert_uint_eq(kv_store_seq(world.store), seq);
        world_check(&world);
    }
    world_put(&world, "e", "5");
    world_reopen(&world);
    world_expect_all(&world, "b=2 c=2 d=3 e=5");
}
END_TEST

/* What has no COMMIT is gone, also when it has reached the file. */
START_TEST(test_recover_cuts_an_unfinished_transaction)
{
    static uint8_t row[600 * 1024];
    struct kv_txn *txn;

    fill();
    txn = world_begin(&world);
    ck_kv(kv_txn_put(txn, kv_slice_text("x"), kv_slice_of(row, sizeof(row))));
    kv_memfs_kill(world.fs);
    kv_txn_abort(txn);
    world_kill(&world);
    world_open(&world);
    world_expect_all(&world, filled);
    ck_assert_uint_eq(kv_store_seq(world.store), 6);
}
END_TEST

/* A transaction that was prepared when its process died may be either; here its COMMIT is in the file. */
START_TEST(test_recover_keeps_a_complete_transaction)
{
    struct kv_txn *txn;

    fill();
    txn = world_begin(&world);
    txn_put(txn, "e", "5");
    ck_kv(kv_txn_prepare(txn));
    kv_memfs_kill(world.fs);
    kv_txn_abort(txn);
    world_kill(&world);
    world_open(&world);
    world_expect_all(&world, "b=2 c=2 d=3 e=5");
    world_kill(&world);
    world_open(&world);
    world_expect_all(&world, "b=2 c=2 d=3 e=5");
}
END_TEST

/* One that was taken back is not, though its records are there. */
START_TEST(test_recover_forgets_a_transaction_taken_back)
{
    struct kv_txn *txn;

    fill();
    txn = world_begin(&world);
    txn_put(txn, "e", "5");
    ck_kv(kv_txn_prepare(txn));
    kv_txn_abort(txn);
    if (_i)
        world_crash(&world, KV_MEMFS_RANDOM, (uint64_t)_i);
    else
        world_kill(&world);
    world_open(&world);
    world_expect_all(&world, filled);
}
END_TEST

/* Without syncs the power takes the end, never the middle: some prefix is left. */
START_TEST(test_recover_prefix_after_power_loss)
{
    char *text;
    struct kv_snapshot *snapshot;
    int count = 0;

    world_close(&world);
    world.options.settings.synchronous = KV_SYNC_OFF;
    world_open(&world);
    for (int i = 0; i < 50; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%02d", i);
        world_put(&world, key, "some bytes, so that transactions go over sectors");
    }
    world_crash(&world, KV_MEMFS_RANDOM, (uint64_t)_i);
    world_open(&world);
    snapshot = world_snapshot(&world);
    text = snapshot_text(snapshot, NULL, NULL);
    kv_snapshot_free(snapshot);
    for (char *at = text; (at = strchr(at, 'k')) != NULL; at++, count++)
        ck_assert_int_eq(atoi(at + 1), count);
    ck_assert_int_eq(count, (int)kv_store_seq(world.store));
    free(text);
    world_check(&world);
}
END_TEST

/* ---- Recovery that is interrupted, or fails */

/*
 * Goal: recovery loses nothing when it is interrupted, wherever that is, and
 * leaves nothing lying about.
 * Method: freeze the world at each of its calls, cut the power or kill, recover.
 */
START_TEST(test_recover_crashes_at_every_call)
{
    enum kv_status st = KV_IOERR;
    uint64_t nth;

    for (nth = 1; st != KV_OK; nth++) {
        if (nth > 1) {
            world_end(&world);
            world_start(&world);
        }
        fill();
        world_kill(&world);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
        st = try_open();
        if (st == KV_OK)
            world_kill(&world);
        if (_i == 0)
            kv_memfs_kill(world.fs);
        else
            kv_memfs_crash(world.fs, _i == 1 ? KV_MEMFS_DROP : KV_MEMFS_RANDOM,
                           nth * 17 + (uint64_t)_i);
        world_open(&world);
        world_expect_all(&world, filled);
        ck_assert_uint_eq(kv_store_seq(world.store), 6);
        world_check(&world);
        world_put(&world, "e", "5");
        world_reopen(&world);
        world_expect_all(&world, "b=2 c=2 d=3 e=5");
    }
    ck_assert_uint_gt(nth, 30);
}
END_TEST

/* Each call failing once, with the process living on: opening fails, and works when asked again. */
START_TEST(test_recover_fails_at_every_call)
{
    enum kv_status fault = _i ? KV_FULL : KV_IOERR, st = fault;
    uint64_t nth;

    for (nth = 1; st != KV_OK; nth++) {
        uint64_t injected;

        if (nth > 1) {
            world_end(&world);
            world_start(&world);
        }
        fill();
        world_kill(&world);
        injected = kv_memfs_fault_count(world.fs);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, fault, KV_MEMFS_ONCE);
        st = try_open();
        ck_assert_msg(st == KV_OK || st == fault || st == KV_CORRUPT || st == KV_BUSY, "%s: %s",
                      kv_status_name(st), kv_message());
        if (st == KV_OK && kv_memfs_fault_count(world.fs) > injected)
            st = fault; /* it did without that call */
        kv_memfs_heal(world.fs);
        if (!world.store)
            world_open(&world);
        world_expect_all(&world, filled);
        world_put(&world, "e", "5");
        world_reopen(&world);
        world_expect_all(&world, "b=2 c=2 d=3 e=5");
        world_check(&world);
    }
    ck_assert_uint_gt(nth, 30);
}
END_TEST

/* ---- Damage, and files of others */

START_TEST(test_recover_refuses_a_damaged_log)
{
    uint64_t number;

    fill();
    number = active_number();
    world_kill(&world);
    kv_memfs_flip_bit(world.fs, segment_path(number), KV_HEADER_BYTES + 20, 0);
    expect_refused(KV_CORRUPT, "offset 4096");
    ck_assert_ptr_nonnull(strstr(kv_message(), segment_path(number)));
    kv_memfs_flip_bit(world.fs, segment_path(number), KV_HEADER_BYTES + 20, 0);
    world_open(&world);
    world_expect_all(&world, filled);
}
END_TEST

START_TEST(test_recover_refuses_a_damaged_log_after_a_clean_end)
{
    uint64_t number, size;

    fill();
    number = active_number();
    world_close(&world);
    size = kv_memfs_size(world.fs, segment_path(number));
    for (uint64_t at = KV_HEADER_BYTES; at + KV_END_BYTES < size; at += 5) {
        kv_memfs_flip_bit(world.fs, segment_path(number), at, at % 8);
        ck_kv_is(try_open(), KV_CORRUPT);
        kv_memfs_flip_bit(world.fs, segment_path(number), at, at % 8);
    }
    world_open(&world);
    world_expect_all(&world, filled);
}
END_TEST

START_TEST(test_recover_misses_files)
{
    struct kv_buffer file;
    uint64_t numbers[2];
    char name[KV_NAME_BYTES];

    fill();
    numbers[0] = active_number();
    numbers[1] = run_of(&world, 0)->segments[0].number;
    if (_i == 0)
        world_close(&world);
    else
        world_kill(&world);
    for (int i = 0; i < 2; i++) {
        kv_name_segment(name, numbers[i]);
        file = file_save(&world, name);
        ck_assert(kv_memfs_delete(world.fs, world_path(name)));
        expect_refused(KV_CORRUPT, name);
        file_restore(&world, name, &file);
        kv_buffer_release(&file);
    }
    world_open(&world);
    world_expect_all(&world, filled);
}
END_TEST

/* Change the manifest on disk, as if it had been written so. */
static void edit_manifest(void (*edit)(struct kv_manifest *manifest))
{
    struct kv_dir *dir;
    struct kv_manifest manifest;
    bool renamed;

    ck_kv(kv_io_dir_open(world.io, WORLD_PATH, &dir));
    ck_kv(kv_manifest_load(world.io, dir, WORLD_PATH, &manifest));
    edit(&manifest);
    ck_kv(kv_manifest_replace(world.io, dir, 0600, &manifest, &renamed));
    kv_manifest_release(&manifest);
    kv_io_dir_close(dir);
}

static void change_base_lsn(struct kv_manifest *manifest)
{
    manifest->active.base_lsn += 8;
    manifest->active.start_lsn += 8;
}

static void change_digest(struct kv_manifest *manifest)
{
    manifest->active.previous_digest++;
}

static void change_last_seq(struct kv_manifest *manifest)
{
    manifest->last_seq++;
}

static void change_salt(struct kv_manifest *manifest)
{
    manifest->active.salt++;
}

static void change_uuid(struct kv_manifest *manifest)
{
    manifest->uuid[3]++;
}

/* Log and manifest must agree on everything that links them. */
START_TEST(test_recover_refuses_a_log_that_does_not_fit)
{
    static void (*const edits[])(struct kv_manifest *) = {
        change_base_lsn, change_digest, change_last_seq, change_salt, change_uuid};

    fill();
    world_close(&world);
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        struct kv_buffer manifest = file_save(&world, KV_NAME_MANIFEST);

        edit_manifest(edits[i]);
        expect_refused(KV_CORRUPT, WORLD_PATH);
        file_restore(&world, KV_NAME_MANIFEST, &manifest);
        kv_buffer_release(&manifest);
    }
    world_open(&world);
    world_expect_all(&world, filled);
}
END_TEST

static void promise_more(struct kv_manifest *manifest)
{
    manifest->active.start_lsn += 1000;
}

/* The manifest promises what failover copied: it must be there. */
START_TEST(test_recover_misses_what_was_copied)
{
    fill();
    world_kill(&world);
    edit_manifest(promise_more);
    expect_refused(KV_CORRUPT, "damaged");
    world.options.readonly = true;
    expect_refused(KV_CORRUPT, "damaged");
}
END_TEST

/* A manifest lists a group as pending, but its segment is not there. */
static void add_group(struct kv_manifest *manifest)
{
    struct kv_pending_group group = {.id = manifest->next_number, .segment_count = 1};
    struct kv_segment_info *info = calloc(1, sizeof(*info));

    *info = (struct kv_segment_info){.number = manifest->next_number++,
                                     .end_bytes = 8192,
                                     .record_count = 1,
                                     .entry_count = 1,
                                     .entry_bytes = 100};
    ck_kv(kv_buffer_set(&info->min_key, kv_slice_text("k")));
    ck_kv(kv_buffer_set(&info->max_key, kv_slice_text("k")));
    group.segments = info;
    ck_kv(kv_manifest_set_group(manifest, &group));
}

START_TEST(test_recover_refuses_missing_group)
{
    fill();
    world_close(&world);
    edit_manifest(add_group);
    expect_refused(KV_CORRUPT, "missing");
    world.options.readonly = true;
    expect_refused(KV_CORRUPT, "missing");
}
END_TEST

static void drop_group(struct kv_manifest *manifest)
{
    ck_assert_uint_eq(manifest->group_count, 1);
    ck_kv(kv_manifest_set_group(manifest, NULL));
}

/* The log commits a large transaction of which the manifest knows nothing: acknowledged rows are missing. */
START_TEST(test_recover_refuses_commit_of_unknown_group)
{
    static uint8_t row[30000];
    struct kv_txn *txn;

    fill();
    txn = world_begin(&world);
    for (unsigned char i = 0; i < 20; i++)
        ck_kv(kv_txn_put(txn, kv_slice_of(&i, 1), kv_slice_of(row, sizeof(row))));
    ck_kv(kv_txn_prepare(txn));
    kv_memfs_kill(world.fs);
    kv_txn_abort(txn);
    ck_assert(kv_store_close(world.store) != KV_DONE);
    world.store = NULL;
    edit_manifest(drop_group);
    expect_refused(KV_CORRUPT, "does not name");
    world.options.readonly = true;
    expect_refused(KV_CORRUPT, "does not name");
}
END_TEST

/* ---- Read-only */

/* A store that was not closed is read as it is, again and again, and nothing is changed. */
START_TEST(test_recover_readonly_after_a_kill)
{
    uint64_t digest;

    fill();
    world_kill(&world);
    digest = world_files_digest(&world);
    world.options.readonly = true;
    for (int i = 0; i < 2; i++) {
        world_open(&world);
        world_expect_all(&world, filled);
        ck_assert_uint_eq(kv_store_seq(world.store), 6);
        ck_kv_is(kv_put(world.store, kv_slice_text("x"), kv_slice_text("y")), KV_READONLY);
        world_close(&world);
        ck_assert_uint_eq(world_files_digest(&world), digest);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recover");
    TCase *ends = tcase_create("ends");
    TCase *interrupted = tcase_create("interrupted");
    TCase *damage = tcase_create("damage");

    tcase_add_checked_fixture(ends, setup, teardown);
    tcase_add_test(ends, test_recover_clean_end_stands_at_the_tail);
    tcase_add_test(ends, test_recover_clean_reopen_changes_nothing);
    tcase_add_loop_test(ends, test_recover_clean_end_is_durable, 0, 4);
    tcase_add_test(ends, test_recover_clean_log_goes_on);
    tcase_add_loop_test(ends, test_recover_close_in_doubt, 0, 3);
    tcase_add_loop_test(ends, test_recover_close_in_doubt_fails, 0, 3);
    tcase_add_loop_test(ends, test_recover_again_and_again, 0, 4);
    tcase_add_test(ends, test_recover_cuts_an_unfinished_transaction);
    tcase_add_test(ends, test_recover_keeps_a_complete_transaction);
    tcase_add_loop_test(ends, test_recover_forgets_a_transaction_taken_back, 0, 5);
    tcase_add_loop_test(ends, test_recover_prefix_after_power_loss, 0, 20);
    tcase_add_test(ends, test_recover_readonly_after_a_kill);
    suite_add_tcase(suite, ends);

    tcase_add_checked_fixture(interrupted, setup, teardown);
    tcase_set_timeout(interrupted, 20);
    tcase_add_loop_test(interrupted, test_recover_crashes_at_every_call, 0, 4);
    tcase_add_loop_test(interrupted, test_recover_fails_at_every_call, 0, 2);
    suite_add_tcase(suite, interrupted);

    tcase_add_checked_fixture(damage, setup, teardown);
    tcase_add_test(damage, test_recover_refuses_a_damaged_log);
    tcase_add_test(damage, test_recover_refuses_a_damaged_log_after_a_clean_end);
    tcase_add_loop_test(damage, test_recover_misses_files, 0, 2);
    tcase_add_test(damage, test_recover_refuses_a_log_that_does_not_fit);
    tcase_add_test(damage, test_recover_misses_what_was_copied);
    tcase_add_test(damage, test_recover_refuses_missing_group);
    tcase_add_test(damage, test_recover_refuses_commit_of_unknown_group);
    suite_add_tcase(suite, damage);
    return kv_run_suite(suite);
}
