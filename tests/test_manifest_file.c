/*
 * MANIFEST as a file: loading and replacing, in a real directory and in memfs,
 * where calls fail and the power goes.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "manifest.h"
#include "memfs.h"
#include "names.h"
#include "runner.h"

/* ---- Two worlds: 0 is a real directory, 1 memfs */

struct world {
    struct kv_io *io;
    struct kv_memfs *fs; /* NULL in the real world */
    struct kv_dir *dir;
    char path[64];
};

static struct world world_open(int which)
{
    struct world world = {.path = "/tmp/kv-test-manifest-XXXXXX"};

    if (which == 0) {
        world.io = kv_io_posix();
        ck_assert_ptr_nonnull(mkdtemp(world.path));
    } else {
        world.fs = kv_memfs_new(1);
        world.io = kv_memfs_io(world.fs);
        strcpy(world.path, "/db");
        ck_kv(kv_io_dir_create(world.io, world.path, 0700));
        kv_memfs_settle(world.fs);
    }
    ck_kv(kv_io_dir_open(world.io, world.path, &world.dir));
    return world;
}

static enum kv_status remove_name(void *dir, const char *name)
{
    return kv_io_unlink(dir, name);
}

static void world_close(struct world *world)
{
    ck_kv(kv_io_dir_list(world->dir, remove_name, world->dir));
    kv_io_dir_close(world->dir);
    ck_kv(kv_io_dir_remove(world->io, world->path));
    kv_memfs_free(world->fs);
}

/* After a crash nothing that was open works any more. */
static void world_reopen(struct world *world)
{
    kv_io_dir_close(world->dir);
    ck_kv(kv_io_dir_open(world->io, world->path, &world->dir));
}

static void put_file(struct world *world, const char *name, struct kv_slice bytes)
{
    struct kv_file *file;

    ck_kv(kv_io_file_open(world->dir, name, KV_OPEN_WRITE | KV_OPEN_CREATE, 0600, &file));
    ck_kv(kv_io_write(file, 0, bytes.data, bytes.size));
    ck_kv(kv_io_sync(file));
    kv_io_file_close(file);
}

static bool has_file(struct world *world, const char *name)
{
    struct kv_identity identity;
    enum kv_status st = kv_io_name_identity(world->dir, name, &identity);

    ck_assert(st == KV_OK || st == KV_NOTFOUND);
    return st == KV_OK;
}

/* ---- Manifests that are told apart by their generation */

static struct kv_manifest manifest_of(uint64_t generation)
{
    return (struct kv_manifest){
        .generation = generation, .next_number = 10, .active = {.number = 1}};
}

static enum kv_status replace(struct world *world, uint64_t generation, bool *renamed)
{
    struct kv_manifest manifest = manifest_of(generation);

    return kv_manifest_replace(world->io, world->dir, 0600, &manifest, renamed);
}

static void must_replace(struct world *world, uint64_t generation)
{
    bool renamed;

    ck_kv(replace(world, generation, &renamed));
    ck_assert(renamed);
}

static uint64_t loaded_generation(struct world *world)
{
    struct kv_manifest manifest;
    uint64_t generation;

    ck_kv(kv_manifest_load(world->io, world->dir, world->path, &manifest));
    generation = manifest.generation;
    kv_manifest_release(&manifest);
    return generation;
}

static void assert_load_fails(struct world *world, enum kv_status expected, const char *problem)
{
    struct kv_manifest manifest;
    char place[80];

    ck_kv_is(kv_manifest_load(world->io, world->dir, world->path, &manifest), expected);
    snprintf(place, sizeof(place), "%s/%s", world->path, KV_NAME_MANIFEST);
    ck_assert_msg(strstr(kv_message(), place) == kv_message(), "%s", kv_message());
    ck_assert_msg(strstr(kv_message(), problem) != NULL, "%s", kv_message());
    ck_assert(manifest.runs == NULL && manifest.generation == 0);
}

/* ---- In both worlds */

START_TEST(test_manifest_file_is_replaced_and_loaded)
{
    struct world world = world_open(_i);

    for (uint64_t generation = 1; generation <= 3; generation++) {
        must_replace(&world, generation);
        ck_assert_uint_eq(loaded_generation(&world), generation);
        ck_assert(!has_file(&world, KV_NAME_MANIFEST_TEMPORARY));
    }
    world_close(&world);
}
END_TEST

START_TEST(test_manifest_file_may_be_missing)
{
    struct world world = world_open(_i);

    assert_load_fails(&world, KV_NOTFOUND, "");
    world_close(&world);
}
END_TEST

/* Goal: what a dead process left behind, longer than the new file and unfinished, does no harm. */
START_TEST(test_manifest_file_replaces_a_leftover)
{
    struct world world = world_open(_i);
    uint8_t garbage[4096];

    memset(garbage, 0xaa, sizeof(garbage));
    put_file(&world, KV_NAME_MANIFEST_TEMPORARY, kv_slice_of(garbage, sizeof(garbage)));
    must_replace(&world, 5);
    ck_assert_uint_eq(loaded_generation(&world), 5);
    ck_assert(!has_file(&world, KV_NAME_MANIFEST_TEMPORARY));
    world_close(&world);
}
END_TEST

START_TEST(test_manifest_file_refuses_damage)
{
    struct world world = world_open(_i);
    struct kv_file *file;

    put_file(&world, KV_NAME_MANIFEST, kv_slice_text(""));
    assert_load_fails(&world, KV_CORRUPT, "no manifest");
    must_replace(&world, 1);
    ck_kv(kv_io_file_open(world.dir, KV_NAME_MANIFEST, KV_OPEN_WRITE, 0, &file));
    ck_kv(kv_io_write(file, 50, "damage", 6));
    kv_io_file_close(file);
    assert_load_fails(&world, KV_CORRUPT, "checksum");
    world_close(&world);
}
END_TEST

/* Goal: a file that claims to be huge costs nothing. Method: one that is sparse. */
START_TEST(test_manifest_file_refuses_a_huge_one)
{
    struct world world = world_open(0);
    struct kv_file *file;

    must_replace(&world, 1);
    ck_kv(kv_io_file_open(world.dir, KV_NAME_MANIFEST, KV_OPEN_WRITE, 0, &file));
    ck_kv(kv_io_truncate(file, (uint64_t)1 << 40));
    kv_io_file_close(file);
    assert_load_fails(&world, KV_CORRUPT, "over the limit");
    world_close(&world);
}
END_TEST

START_TEST(test_manifest_file_has_the_mode_asked_for)
{
    struct world world = world_open(0);
    struct kv_manifest manifest = manifest_of(1);
    char place[80];
    struct stat attributes;
    bool renamed;

    ck_kv(kv_manifest_replace(world.io, world.dir, 0640, &manifest, &renamed));
    snprintf(place, sizeof(place), "%s/%s", world.path, KV_NAME_MANIFEST);
    ck_assert_int_eq(stat(place, &attributes), 0);
    ck_assert_uint_eq(attributes.st_mode & 0777, 0640);
    world_close(&world);
}
END_TEST

/* Goal: a value that breaks a rule never reaches the disk. */
START_TEST(test_manifest_file_is_never_invalid)
{
    struct world world = world_open(_i);
    bool renamed = true;

    must_replace(&world, 1);
    ck_kv_is(replace(&world, 0, &renamed), KV_CORRUPT);
    ck_assert(!renamed);
    ck_assert_uint_eq(loaded_generation(&world), 1);
    world_close(&world);
}
END_TEST

/* ---- Failures and crashes */

/*
 * Goal: whichever call fails, `renamed` says which manifest is in place, the
 * message is that failure's, nothing unfinished stays, and trying again works.
 * Method: fail the first call, then the second, until one replacement succeeds.
 */
START_TEST(test_manifest_file_survives_every_failing_call)
{
    uint64_t injected = 0;
    uint64_t nth = 1;

    do {
        struct world world = world_open(1);
        bool renamed;
        enum kv_status st;

        must_replace(&world, 1);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth++, KV_IOERR, KV_MEMFS_ONCE);
        st = replace(&world, 2, &renamed);
        injected = kv_memfs_fault_count(world.fs);
        ck_assert_int_eq(st, injected ? KV_IOERR : KV_OK);
        kv_memfs_heal(world.fs);
        ck_assert_uint_eq(loaded_generation(&world), renamed ? 2 : 1);
        ck_assert(!has_file(&world, KV_NAME_MANIFEST_TEMPORARY));
        must_replace(&world, 3);
        ck_assert_uint_eq(loaded_generation(&world), 3);
        world_close(&world);
    } while (injected);
    /* Two directory syncs, unlink, open, write, sync, rename. */
    ck_assert_uint_eq(nth - 1, 7 + 1);
}
END_TEST

START_TEST(test_manifest_file_survives_a_full_disk)
{
    struct world world = world_open(1);
    bool renamed;

    must_replace(&world, 1);
    kv_memfs_fail(world.fs, KV_MEMFS_WRITE, 1, KV_FULL, KV_MEMFS_PARTIAL);
    ck_kv_is(replace(&world, 2, &renamed), KV_FULL);
    ck_assert(!renamed);
    ck_assert_uint_eq(loaded_generation(&world), 1);
    ck_assert(!has_file(&world, KV_NAME_MANIFEST_TEMPORARY));
    world_close(&world);
}
END_TEST

START_TEST(test_manifest_file_passes_failures_of_reading_on)
{
    static const enum kv_memfs_call calls[] = {KV_MEMFS_FILE_OPEN, KV_MEMFS_FILE_SIZE,
                                               KV_MEMFS_READ};
    struct world world = world_open(1);

    must_replace(&world, 1);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct kv_manifest manifest;

        kv_memfs_fail(world.fs, calls[i], 1, KV_IOERR, KV_MEMFS_ONCE);
        ck_kv_is(kv_manifest_load(world.io, world.dir, world.path, &manifest), KV_IOERR);
        ck_assert_ptr_null(manifest.runs);
    }
    ck_assert_uint_eq(loaded_generation(&world), 1);
    world_close(&world);
}
END_TEST

/* Replace generation 1 by 2, which names a new segment, until the power goes at the `nth` call. */
static enum kv_status replace_until_crash(struct world *world, uint64_t nth, uint64_t seed)
{
    char segment[KV_NAME_BYTES];
    enum kv_status st;
    bool renamed;

    must_replace(world, 1);
    kv_name_segment(segment, 2);
    put_file(world, segment, kv_slice_text("records"));
    kv_memfs_fail(world->fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
    st = replace(world, 2, &renamed);
    kv_memfs_crash(world->fs, seed ? KV_MEMFS_RANDOM : KV_MEMFS_DROP, seed);
    world_reopen(world);
    return st;
}

/*
 * Goal: after a crash at any moment there is a whole manifest, old or new; the
 * new one if the replacement had returned; and the new one names no file
 * whose name is gone.
 * Method: freeze the world at each call, and let the disk keep what it likes.
 */
START_TEST(test_manifest_file_survives_every_crash)
{
    unsigned old = 0, new = 0;

    for (uint64_t nth = 1; nth <= 8; nth++) {
        for (uint64_t seed = 0; seed < 40; seed++) {
            struct world world = world_open(1);
            enum kv_status st = replace_until_crash(&world, nth, seed);
            uint64_t generation = loaded_generation(&world);
            char segment[KV_NAME_BYTES];

            kv_name_segment(segment, 2);
            ck_assert(generation == 1 || generation == 2);
            ck_assert(st != KV_OK || generation == 2);
            ck_assert(generation == 1 || has_file(&world, segment));
            must_replace(&world, 3);
            ck_assert_uint_eq(loaded_generation(&world), 3);
            *(generation == 1 ? &old : &new) += 1;
            world_close(&world);
        }
    }
    /* The last of the eight moments is after the end; the one before it may go either way. */
    ck_assert_uint_gt(new, 40);
    ck_assert_uint_gt(old, 6 * 40);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manifest_file");
    TCase *worlds = tcase_create("worlds");
    TCase *faults = tcase_create("faults");

    tcase_add_loop_test(worlds, test_manifest_file_is_replaced_and_loaded, 0, 2);
    tcase_add_loop_test(worlds, test_manifest_file_may_be_missing, 0, 2);
    tcase_add_loop_test(worlds, test_manifest_file_replaces_a_leftover, 0, 2);
    tcase_add_loop_test(worlds, test_manifest_file_refuses_damage, 0, 2);
    tcase_add_test(worlds, test_manifest_file_refuses_a_huge_one);
    tcase_add_test(worlds, test_manifest_file_has_the_mode_asked_for);
    tcase_add_loop_test(worlds, test_manifest_file_is_never_invalid, 0, 2);
    suite_add_tcase(suite, worlds);
    tcase_set_timeout(faults, 60);
    tcase_add_test(faults, test_manifest_file_survives_every_failing_call);
    tcase_add_test(faults, test_manifest_file_survives_a_full_disk);
    tcase_add_test(faults, test_manifest_file_passes_failures_of_reading_on);
    tcase_add_test(faults, test_manifest_file_survives_every_crash);
    suite_add_tcase(suite, faults);
    return kv_run_suite(suite);
}
