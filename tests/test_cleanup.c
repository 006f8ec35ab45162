/*
 * Files that the manifest does not name: leftovers go at the next opening,
 * foreign files stay, and a log with transactions that an old MANIFEST has lost
 * is never taken for a leftover.
 */
#include "cleanup.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine_world.h"
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

static void put_file(const char *name, const char *text)
{
    ck_assert(kv_memfs_write_file(world.fs, world_path(name), kv_slice_text(text)));
}

/* ---- Leftovers */

START_TEST(test_cleanup_removes_leftovers)
{
    static const char *const leftovers[] = {
        "segment_000000000777.db", /* unlisted */
        "segment_000000000778.db",
        "segment_000000000778.idx",
        "segment_000000000779.idx",                      /* without a segment */
        "segment_000000000780.idx.00000000000000ab.tmp", /* unfinished */
        "MANIFEST.manifest.tmp",
    };
    static const char *const foreign[] = {
        "notes.txt",    "segment_1.db",          "segment_000000000777.db.bak",
        "MANIFEST.old", "segment_.db",           "SEGMENT_000000000777.db",
        "x.tmp",        "manifest.manifest.tmp",
    };

    world_put(&world, "a", "1");
    engine_seal(&world);
    world_put(&world, "b", "2");
    world_close(&world);
    for (size_t i = 0; i < sizeof(leftovers) / sizeof(leftovers[0]); i++)
        put_file(leftovers[i], "left over");
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        put_file(foreign[i], "foreign");
    world_open(&world);
    world_expect_all(&world, "a=1 b=2");
    for (size_t i = 0; i < sizeof(leftovers) / sizeof(leftovers[0]); i++)
        ck_assert_msg(!world_has_file(&world, leftovers[i]), "%s", leftovers[i]);
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        ck_assert_msg(world_has_file(&world, foreign[i]), "%s", foreign[i]);
}
END_TEST

/* The index of a sealed segment is no leftover, that of the active log is. */
START_TEST(test_cleanup_of_indexes)
{
    char name[KV_NAME_BYTES];
    uint64_t sealed;

    world_put(&world, "a", "1");
    engine_seal(&world);
    sealed = run_of(&world, 0)->segments[0].number;
    kv_name_index(name, engine_of(&world)->manifest.active.number);
    world_close(&world);
    put_file(name, "of the active log");
    world_open(&world);
    ck_assert(!world_has_file(&world, name));
    kv_name_index(name, sealed);
    ck_assert(world_has_file(&world, name));
    world_check(&world);
}
END_TEST

/* Goal: a number is never used again, whatever file has it. Method: numbers in names of every kind. */
START_TEST(test_cleanup_notes_numbers)
{
    static const char *const names[] = {"segment_000000005000.db", "segment_000000006000.idx",
                                        "segment_000000007000.idx.00000000000000cd.tmp"};

    for (unsigned i = 0; i < 3; i++) {
        world_close(&world);
        put_file(names[i], "left over");
        world_open(&world);
        world_put(&world, "a", "1");
        engine_seal(&world);
        ck_assert_uint_gt(engine_of(&world)->manifest.active.number, 5000 + i * 1000);
        ck_assert_uint_lt(engine_of(&world)->manifest.active.number, 5100 + i * 1000);
    }
}
END_TEST

/* A leftover that cannot be removed keeps the store from opening, and is harmless once it can be. */
START_TEST(test_cleanup_fails)
{
    world_put(&world, "a", "1");
    world_close(&world);
    put_file("segment_000000000777.db", "left over");
    kv_memfs_fail(world.fs, KV_MEMFS_UNLINK, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_store_open(WORLD_PATH, &world.options, &world.store), KV_IOERR);
    world_open(&world);
    world_expect_all(&world, "a=1");
    ck_assert(!world_has_file(&world, "segment_000000000777.db"));
}
END_TEST

/* Goal: repair, which has no manifest to go by, never meets a log that was removed: see cleanup.c. */
START_TEST(test_cleanup_of_a_later_segment_is_durable)
{
    world_put(&world, "a", "1");
    world_close(&world);
    put_file("segment_000000000777.db", "left over");
    kv_memfs_settle(world.fs);
    world_open(&world);
    world_crash(&world, KV_MEMFS_DROP, 0);
    ck_assert(!world_has_file(&world, "segment_000000000777.db"));
}
END_TEST

START_TEST(test_cleanup_not_when_readonly)
{
    uint64_t digest;

    world_put(&world, "a", "1");
    world_close(&world);
    put_file("segment_000000000777.db", "left over");
    put_file("MANIFEST.manifest.tmp", "left over");
    digest = world_files_digest(&world);
    world.options.readonly = true;
    world_open(&world);
    world_expect_all(&world, "a=1");
    world_close(&world);
    ck_assert_uint_eq(world_files_digest(&world), digest);
    world.options.readonly = false;
    world_open(&world);
}
END_TEST

/* ---- Logs that an old MANIFEST has lost */

/* Opening is refused for this reason, and touches nothing. */
static void expect_lost(void)
{
    uint64_t digest = world_files_digest(&world);

    ck_kv_is(kv_store_open(WORLD_PATH, &world.options, &world.store), KV_CORRUPT);
    ck_assert_msg(strstr(kv_message(), "MANIFEST is older than the store"), "%s", kv_message());
    ck_assert_uint_eq(world_files_digest(&world), digest);
}

/* With the MANIFEST that belongs to it the store has these rows. */
static void expect_with(const struct kv_buffer *manifest, const char *rows)
{
    file_restore(&world, KV_NAME_MANIFEST, manifest);
    world_open(&world);
    world_expect_all(&world, rows);
    world_check(&world);
}

/* A seal, and a commit behind it: the MANIFEST of before the seal does not know of the commit. */
START_TEST(test_cleanup_finds_a_log_behind_a_seal)
{
    struct kv_buffer old, new;

    world_put(&world, "a", "1");
    old = file_save(&world, KV_NAME_MANIFEST);
    engine_seal(&world);
    world_put(&world, "b", "2");
    if (_i == 0)
        world_close(&world);
    else
        world_kill(&world);
    new = file_save(&world, KV_NAME_MANIFEST);
    file_restore(&world, KV_NAME_MANIFEST, &old);
    expect_lost();
    expect_with(&new, "a=1 b=2");
    kv_buffer_release(&old);
    kv_buffer_release(&new);
}
END_TEST

/* Nothing has been committed behind the seal: the old MANIFEST is as good, the new log a leftover. */
START_TEST(test_cleanup_of_a_log_without_commits)
{
    struct kv_buffer old;

    world_put(&world, "a", "1");
    old = file_save(&world, KV_NAME_MANIFEST);
    engine_seal(&world);
    if (_i == 0)
        world_close(&world);
    else
        world_kill(&world);
    expect_with(&old, "a=1");
    kv_buffer_release(&old);
}
END_TEST

/* More than a MiB that is known to be durable, and a transaction that is not. */
static void fill_for_failover(void)
{
    struct kv_settings settings = world.options.settings;
    static uint8_t row[600 * 1024];
    struct kv_txn *txn;

    settings.segment_bytes = 64 << 20;
    for (int i = 0; i < 4; i++) {
        char key[] = {(char)('a' + i), '\0'};

        row[0] = (uint8_t)('1' + i);
        settings.synchronous = i < 3 ? KV_SYNC_FULL : KV_SYNC_OFF;
        ck_kv(kv_txn_begin(world.store, &settings, &txn));
        ck_kv(kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, i < 3 ? sizeof(row) : 1)));
        ck_kv(kv_txn_commit(txn));
    }
}

/*
 * Goal: commits behind a failover are found too, though the new log repeats
 * the end of the old one and does not start where that ends.
 * Method: let a failover seal the durable part, commit, and put back the MANIFEST of before.
 */
START_TEST(test_cleanup_finds_a_log_behind_a_failover)
{
    struct kv_buffer old, new;
    uint64_t digest;

    fill_for_failover();
    old = file_save(&world, KV_NAME_MANIFEST);
    world_kill(&world);
    world_open(&world); /* fails over */
    ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 1);
    ck_assert_uint_ne(engine_of(&world)->version->log->header.log.copied_seq, 0);
    world_put(&world, "z", "9");
    digest = world_digest(&world);
    world_kill(&world);
    new = file_save(&world, KV_NAME_MANIFEST);
    file_restore(&world, KV_NAME_MANIFEST, &old);
    expect_lost();
    file_restore(&world, KV_NAME_MANIFEST, &new);
    world_open(&world);
    world_expect(&world, "z", "9");
    ck_assert_uint_eq(world_digest(&world), digest);
    kv_buffer_release(&old);
    kv_buffer_release(&new);
}
END_TEST

/* A failover that was interrupted before its MANIFEST has copies only: nothing is lost with them. */
START_TEST(test_cleanup_of_an_interrupted_failover)
{
    struct kv_buffer old;
    uint64_t digest;

    fill_for_failover();
    old = file_save(&world, KV_NAME_MANIFEST);
    digest = world_digest(&world);
    world_kill(&world);
    world_open(&world);
    world_kill(&world);
    file_restore(&world, KV_NAME_MANIFEST, &old);
    world_open(&world);
    ck_assert_uint_eq(world_digest(&world), digest);
    world_check(&world);
    kv_buffer_release(&old);
}
END_TEST

/* Goal: a lost log that is damaged is not taken for a leftover either. */
START_TEST(test_cleanup_of_a_damaged_lost_log)
{
    struct kv_buffer old;
    uint64_t digest, number;

    world_put(&world, "a", "1");
    old = file_save(&world, KV_NAME_MANIFEST);
    engine_seal(&world);
    for (int i = 0; i < 4; i++)
        world_put(&world, "b", "2");
    number = engine_of(&world)->manifest.active.number;
    world_kill(&world);
    file_restore(&world, KV_NAME_MANIFEST, &old);
    kv_memfs_flip_bit(world.fs, segment_path(number), KV_HEADER_BYTES + 10, 0);
    digest = world_files_digest(&world);
    ck_kv_is(kv_store_open(WORLD_PATH, &world.options, &world.store), KV_CORRUPT);
    ck_assert_uint_eq(world_files_digest(&world), digest);
    kv_memfs_flip_bit(world.fs, segment_path(number), KV_HEADER_BYTES + 10, 0);
    expect_lost();
    kv_buffer_release(&old);
}
END_TEST

/* Logs of other stores, of other numbers, or that follow something else: nobody's loss. */
START_TEST(test_cleanup_of_logs_that_do_not_follow)
{
    struct kv_header header = {.role = KV_ROLE_LOG,
                               .number = 900,
                               .base_seq = 1,
                               .log = {.base_lsn = 1 << 21, .record_limit = 1}};
    struct kv_buffer bytes = {0};

    world_put(&world, "a", "1");
    header.log.previous_digest = engine_of(&world)->version->log->tail.digest;
    memcpy(header.uuid, engine_of(&world)->place.uuid, KV_UUID_BYTES);
    world_close(&world);
    header.uuid[0] ^= _i == 0;
    header.base_seq += _i == 1;
    header.log.previous_digest += _i == 2;
    kv_header_encode(kv_buffer_reserve(&bytes, KV_HEADER_BYTES), &header);
    bytes.size = KV_HEADER_BYTES;
    file_restore(&world, "segment_000000000900.db", &bytes);
    world_open(&world);
    world_expect_all(&world, "a=1");
    ck_assert(!world_has_file(&world, "segment_000000000900.db"));
    kv_buffer_release(&bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cleanup");
    TCase *tests = tcase_create("cleanup");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_cleanup_removes_leftovers);
    tcase_add_test(tests, test_cleanup_of_indexes);
    tcase_add_test(tests, test_cleanup_notes_numbers);
    tcase_add_test(tests, test_cleanup_fails);
    tcase_add_test(tests, test_cleanup_of_a_later_segment_is_durable);
    tcase_add_test(tests, test_cleanup_not_when_readonly);
    tcase_add_loop_test(tests, test_cleanup_finds_a_log_behind_a_seal, 0, 2);
    tcase_add_loop_test(tests, test_cleanup_of_a_log_without_commits, 0, 2);
    tcase_add_test(tests, test_cleanup_finds_a_log_behind_a_failover);
    tcase_add_test(tests, test_cleanup_of_an_interrupted_failover);
    tcase_add_test(tests, test_cleanup_of_a_damaged_lost_log);
    tcase_add_loop_test(tests, test_cleanup_of_logs_that_do_not_follow, 0, 3);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
