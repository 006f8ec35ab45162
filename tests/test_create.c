/*
 * Making a store: its directory, its first files, when they are durable, and
 * what may already be there. Interrupted and failed creations: test_kv_open.c.
 */
#include "create.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine_world.h"
#include "hash.h"
#include "names.h"
#include "record.h"
#include "runner.h"

static struct world world;

static void setup(void)
{
    world_init(&world);
}

static void teardown(void)
{
    world_end(&world);
}

static bool is_there(const char *path)
{
    char *names = kv_memfs_list(world.fs, path);
    bool there = names != NULL;

    free(names);
    return there;
}

/* ---- Directories */

START_TEST(test_create_directory)
{
    static const char *const paths[] = {"/a", "/b/c/d", "/e/f/", "//g//h//", "/b/c/x", "/a"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        ck_kv(kv_create_directory(world.io, paths[i], 0700));
        ck_assert(is_there(paths[i]));
        ck_kv(kv_create_directory(world.io, paths[i], 0700)); /* it is there */
    }
}
END_TEST

/* New directories survive the power's going, all of them on the way. */
START_TEST(test_create_directory_is_durable)
{
    ck_kv(kv_create_directory(world.io, "/a/b/c/d", 0700));
    kv_memfs_crash(world.fs, KV_MEMFS_DROP, 1);
    ck_assert(is_there("/a/b/c/d"));
}
END_TEST

/* What is missing is made, what is there is left alone, wherever it failed before. */
START_TEST(test_create_directory_fails_at_every_call)
{
    enum kv_status st = KV_FULL;
    uint64_t nth;

    for (nth = 1; st != KV_OK; nth++) {
        char path[64];

        snprintf(path, sizeof(path), "/%d/b/c", (int)nth);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_FULL, KV_MEMFS_ONCE);
        st = kv_create_directory(world.io, path, 0700);
        ck_assert(st == KV_OK || st == KV_FULL);
        kv_memfs_heal(world.fs);
        ck_kv(kv_create_directory(world.io, path, 0700));
        ck_assert(is_there(path));
    }
    ck_assert_uint_gt(nth, 6);
}
END_TEST

START_TEST(test_create_directory_under_a_file)
{
    ck_assert(kv_memfs_write_file(world.fs, "/file", kv_slice_text("x")));
    ck_assert_int_ne(kv_create_directory(world.io, "/file/b", 0700), KV_OK);
    ck_assert_int_ne(kv_create_directory(world.io, "/file/b/c", 0700), KV_OK);
}
END_TEST

/* ---- The first files */

START_TEST(test_create_makes_log_and_manifest)
{
    const struct kv_manifest *manifest;
    struct kv_buffer file;
    struct kv_header header;
    struct kv_end end;
    char name[KV_NAME_BYTES];

    world.options.schema = kv_slice_text("a schema");
    world_open(&world);
    manifest = &engine_of(&world)->manifest;
    ck_assert_uint_eq(manifest->generation, 1);
    ck_assert_uint_eq(manifest->run_count, 0);
    ck_assert_uint_eq(manifest->last_seq, 0);
    ck_assert_uint_eq(manifest->active.number, 1);
    ck_assert_uint_eq(manifest->next_number, 2);
    ck_assert_uint_gt(manifest->active.base_lsn, 0); /* 0 means none in many places */
    ck_assert_uint_eq(manifest->active.start_lsn, manifest->active.base_lsn);
    ck_assert_uint_ne(manifest->hash_seed, 0);
    ck_assert_uint_ne(manifest->lineage, 0);
    ck_assert(kv_slice_equal(kv_store_schema(world.store), kv_slice_text("a schema")));

    kv_name_segment(name, 1);
    file = file_save(&world, name);
    ck_kv(kv_header_decode(kv_buffer_slice(&file), &header));
    ck_assert_mem_eq(header.uuid, manifest->uuid, KV_UUID_BYTES);
    ck_assert_uint_eq(header.salt, manifest->active.salt);
    ck_assert_uint_eq(file.size, KV_HEADER_BYTES + KV_END_BYTES);
    ck_kv(kv_end_decode(kv_slice_of(file.data + KV_HEADER_BYTES, KV_END_BYTES), header.salt,
                        KV_HEADER_BYTES, &end));
    ck_assert_uint_eq(end.seq, 0);
    kv_buffer_release(&file);
}
END_TEST

/* No two stores are alike. */
START_TEST(test_create_makes_another_store_each_time)
{
    struct kv_manifest first;

    world_open(&world);
    ck_kv(kv_manifest_copy(&first, &engine_of(&world)->manifest));
    world_close(&world);
    ck_kv(kv_destroy(WORLD_PATH, world.io));
    world_open(&world);
    ck_assert_mem_ne(engine_of(&world)->manifest.uuid, first.uuid, KV_UUID_BYTES);
    ck_assert_uint_ne(engine_of(&world)->manifest.hash_seed, first.hash_seed);
    ck_assert_uint_ne(engine_of(&world)->manifest.lineage, first.lineage);
    ck_assert_uint_ne(engine_of(&world)->manifest.active.salt, first.active.salt);
    kv_manifest_release(&first);
}
END_TEST

/* Whoever was told that it is open finds it again after the power went, and what was committed. */
START_TEST(test_create_is_durable)
{
    uint8_t uuid[KV_UUID_BYTES];

    world_open(&world);
    memcpy(uuid, kv_store_uuid(world.store), sizeof(uuid));
    if (_i % 2)
        world_put(&world, "a", "1");
    world_crash(&world, _i < 2 ? KV_MEMFS_DROP : KV_MEMFS_RANDOM, (uint64_t)_i);
    world.options.mode = KV_OPEN_EXISTING;
    world.options.uuid = uuid;
    world_open(&world);
    world_expect_all(&world, _i % 2 ? "a=1" : "");
    world_check(&world);
}
END_TEST

/* ---- What may be there already */

static enum kv_status try_open(void)
{
    return kv_store_open(WORLD_PATH, &world.options, &world.store);
}

/* Without MANIFEST, opening refuses what is there, and touches none of it. */
static void expect_manifest_missed(void)
{
    struct kv_buffer manifest = file_save(&world, KV_NAME_MANIFEST);
    uint64_t digest;

    ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    digest = world_files_digest(&world);
    ck_kv_is(try_open(), KV_CORRUPT);
    ck_assert_msg(strstr(kv_message(), "no MANIFEST"), "%s", kv_message());
    ck_assert_uint_eq(world_files_digest(&world), digest);
    world.options.mode = KV_OPEN_NEW;
    ck_kv_is(try_open(), KV_CORRUPT);
    ck_assert_uint_eq(world_files_digest(&world), digest);
    world.options.mode = KV_OPEN_OR_CREATE;
    file_restore(&world, KV_NAME_MANIFEST, &manifest);
    kv_buffer_release(&manifest);
    world_open(&world);
    world_expect_all(&world, "a=1");
}

/* A MANIFEST that has gone is missed wherever the content is: in the log, sealed, merged. */
START_TEST(test_create_misses_a_lost_manifest)
{
    world_open(&world);
    world_put(&world, "a", "1");
    if (_i > 0)
        engine_seal(&world);
    if (_i > 1) {
        world_put(&world, "b", "2");
        world_delete(&world, "b");
        ck_kv(kv_compact(world.store, NULL, NULL));
        ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 1);
    }
    if (_i % 2)
        world_kill(&world);
    else
        world_close(&world);
    expect_manifest_missed();
}
END_TEST

/*
 * Goal: no damage to the only log makes it pass for one that was never used, so that it would be
 * replaced: neither where MANIFEST is missing too, nor where a new store is asked for. (Only the last COMMIT
 * of a killed store, whose MANIFEST is there, cannot be told from one that was never complete.)
 * Method: every byte of it flipped, in turn.
 */
START_TEST(test_create_takes_no_damaged_log_for_empty)
{
    bool lost = _i < 2, killed = _i % 2;
    uint64_t end_bytes;

    world_open(&world);
    world_put(&world, "a", "1");
    end_bytes =
        engine_of(&world)->version->log->tail.end_bytes - (killed && !lost ? KV_COMMIT_BYTES : 0);
    if (killed)
        world_kill(&world);
    else
        world_close(&world);
    if (lost)
        ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    world.options.mode = KV_OPEN_NEW;
    for (uint64_t offset = 0; offset < end_bytes; offset++) {
        kv_memfs_flip_bit(world.fs, segment_path(1), offset, (unsigned)(offset % 8));
        if (try_open() == KV_OK)
            ck_abort_msg("byte %u: taken over", (unsigned)offset);
        if (kv_memfs_size(world.fs, segment_path(1)) == UINT64_MAX)
            ck_abort_msg("byte %u: removed", (unsigned)offset);
        kv_memfs_flip_bit(world.fs, segment_path(1), offset, (unsigned)(offset % 8));
    }
    if (lost)
        return;
    world.options.mode = KV_OPEN_EXISTING;
    world_open(&world);
    world_expect_all(&world, "a=1");
}
END_TEST

/* What cannot be read, or was made by a newer version, counts as content. */
START_TEST(test_create_takes_nothing_over_in_doubt)
{
    uint8_t page[KV_HEADER_BYTES];
    struct kv_header header = {
        .role = KV_ROLE_LOG, .number = 5, .log = {.base_lsn = 4096, .record_limit = 1}};

    kv_header_encode(page, &header);
    kv_store_u32(page + 8, KV_FORMAT_VERSION + 1);
    kv_store_u64(page + KV_HEADER_BYTES - 8,
                 kv_hash(kv_slice_of(page, KV_HEADER_BYTES - 8), header.number));
    ck_kv(kv_create_directory(world.io, WORLD_PATH, 0700));
    ck_assert(kv_memfs_write_file(world.fs, segment_path(5), kv_slice_of(page, sizeof(page))));
    ck_kv_is(try_open(), KV_CORRUPT);

    header.role = KV_ROLE_LOG;
    kv_header_encode(page, &header); /* an empty log of this version is none */
    ck_assert(kv_memfs_write_file(world.fs, segment_path(5), kv_slice_of(page, sizeof(page))));
    for (int call = KV_MEMFS_FILE_OPEN; call <= KV_MEMFS_MAP; call++) {
        if (call != KV_MEMFS_FILE_OPEN && call != KV_MEMFS_FILE_SIZE && call != KV_MEMFS_MAP)
            continue;
        /* LOCK and MANIFEST are opened, and LOCK's size is asked and mapped, before. */
        kv_memfs_fail(world.fs, (enum kv_memfs_call)call, call == KV_MEMFS_FILE_OPEN ? 3 : 2,
                      KV_IOERR, KV_MEMFS_ONCE);
        ck_assert_int_ne(try_open(), KV_OK);
        kv_memfs_heal(world.fs);
        ck_assert_uint_ne(kv_memfs_size(world.fs, segment_path(5)), UINT64_MAX);
    }
    world_open(&world);
    ck_assert_uint_eq(kv_memfs_size(world.fs, segment_path(5)), UINT64_MAX);
}
END_TEST

/* Leftovers of a creation are taken over; their numbers are not used again. */
START_TEST(test_create_among_leftovers)
{
    static const uint8_t zeros[KV_HEADER_BYTES + 100];

    ck_kv(kv_create_directory(world.io, WORLD_PATH, 0700));
    ck_assert(kv_memfs_write_file(world.fs, segment_path(3), kv_slice_of(zeros, 0)));
    ck_assert(kv_memfs_write_file(world.fs, segment_path(4), kv_slice_of(zeros, sizeof(zeros))));
    ck_assert(kv_memfs_write_file(world.fs, world_path("MANIFEST.manifest.tmp"),
                                  kv_slice_text("half a man")));
    ck_assert(kv_memfs_write_file(world.fs, world_path("segment_000000000009.idx"),
                                  kv_slice_text("an index")));
    world_open(&world);
    ck_assert_uint_eq(engine_of(&world)->manifest.active.number, 10);
    world_put(&world, "a", "1");
    world_check(&world);
    ck_assert(!world_has_file(&world, "MANIFEST.manifest.tmp"));
    ck_assert(!world_has_file(&world, "segment_000000000009.idx"));
    ck_assert_uint_eq(kv_memfs_size(world.fs, segment_path(4)), UINT64_MAX);
}
END_TEST

/* A directory with other things in it is no place for a new store. */
START_TEST(test_create_among_foreign_files)
{
    ck_kv(kv_create_directory(world.io, WORLD_PATH, 0700));
    ck_assert(kv_memfs_write_file(world.fs, world_path("letter.txt"), kv_slice_text("Dear")));
    ck_kv_is(try_open(), KV_INVALID);
    ck_assert_ptr_nonnull(strstr(kv_message(), WORLD_PATH));
    ck_assert(kv_memfs_delete(world.fs, world_path("letter.txt")));
    world_open(&world); /* LOCK alone is no obstacle */
    world_close(&world);
    ck_assert(kv_memfs_write_file(world.fs, world_path("letter.txt"), kv_slice_text("Dear")));
    world_open(&world); /* in a store's directory they may lie */
}
END_TEST

/* ---- Undoing it */

START_TEST(test_create_check_and_undo)
{
    struct kv_dir *dir;
    char *names;

    ck_kv(kv_create_directory(world.io, WORLD_PATH, 0700));
    ck_kv(kv_io_dir_open(world.io, WORLD_PATH, &dir));
    ck_kv_is(kv_create_check_store(dir, WORLD_PATH), KV_NOTFOUND);
    ck_kv_is(kv_create_undo(dir, WORLD_PATH), KV_NOTFOUND);
    ck_assert(kv_memfs_write_file(world.fs, world_path("LOCK"), kv_slice_text("")));
    ck_assert(kv_memfs_write_file(world.fs, world_path("other"), kv_slice_text("")));
    ck_kv_is(kv_create_check_store(dir, WORLD_PATH), KV_NOTFOUND);
    ck_kv_is(kv_create_undo(dir, WORLD_PATH), KV_NOTFOUND);
    ck_assert(world_has_file(&world, "LOCK"));
    ck_assert(kv_memfs_delete(world.fs, world_path("other")));

    world_open(&world);
    world_put(&world, "a", "1");
    engine_seal(&world);
    world_close(&world);
    ck_assert(kv_memfs_write_file(world.fs, world_path("other"), kv_slice_text("")));
    ck_kv(kv_create_check_store(dir, WORLD_PATH));
    ck_kv(kv_create_undo(dir, WORLD_PATH));
    names = kv_memfs_list(world.fs, WORLD_PATH);
    ck_assert_str_eq(names, "other\n");
    free(names);
    kv_io_dir_close(dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("create");
    TCase *tests = tcase_create("create");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_create_directory);
    tcase_add_test(tests, test_create_directory_is_durable);
    tcase_add_test(tests, test_create_directory_fails_at_every_call);
    tcase_add_test(tests, test_create_directory_under_a_file);
    tcase_add_test(tests, test_create_makes_log_and_manifest);
    tcase_add_test(tests, test_create_makes_another_store_each_time);
    tcase_add_loop_test(tests, test_create_is_durable, 0, 6);
    tcase_add_loop_test(tests, test_create_misses_a_lost_manifest, 0, 4);
    tcase_add_loop_test(tests, test_create_takes_no_damaged_log_for_empty, 0, 4);
    tcase_add_test(tests, test_create_takes_nothing_over_in_doubt);
    tcase_add_test(tests, test_create_among_leftovers);
    tcase_add_test(tests, test_create_among_foreign_files);
    tcase_add_test(tests, test_create_check_and_undo);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
