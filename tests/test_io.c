/*
 * io.h: one contract, two worlds. Every test runs in a real directory (world 0)
 * and in memfs (world 1), so that what is proved on memfs holds on Linux.
 * What only the real one has is at the end; test_memfs.c has crashes and faults.
 */
#include "io.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memfs.h"
#include "runner.h"

enum { WORLDS = 2 };

struct world {
    struct kv_io *io;
    struct kv_memfs *fs; /* NULL in the real world */
    struct kv_dir *dir;  /* empty at first */
    char path[64];
    char below[80]; /* a path in `dir` that does not exist */
};

static struct world world_open(int which)
{
    struct world world = {.path = "/tmp/kv-test-io-XXXXXX"};

    if (which == 0) {
        world.io = kv_io_posix();
        ck_assert_ptr_nonnull(mkdtemp(world.path));
    } else {
        world.fs = kv_memfs_new(1);
        world.io = kv_memfs_io(world.fs);
        strcpy(world.path, "/db");
        ck_kv(kv_io_dir_create(world.io, world.path, 0700));
    }
    snprintf(world.below, sizeof(world.below), "%s/below", world.path);
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

static struct kv_file *file_make(struct world *world, const char *name)
{
    struct kv_file *file;

    ck_kv(kv_io_file_open(world->dir, name, KV_OPEN_WRITE | KV_OPEN_CREATE | KV_OPEN_EXCL, 0600,
                          &file));
    return file;
}

static void put(struct kv_file *file, uint64_t offset, const char *text)
{
    ck_kv(kv_io_write(file, offset, text, strlen(text)));
}

/* Fail unless the file holds exactly `expected`. */
static void expect_bytes(struct kv_file *file, const char *expected, size_t size)
{
    char bytes[256];
    size_t got;
    uint64_t file_size;

    ck_kv(kv_io_read(file, 0, bytes, sizeof(bytes), &got));
    ck_assert_uint_eq(got, size);
    ck_assert_mem_eq(bytes, expected, size);
    ck_kv(kv_io_file_size(file, &file_size));
    ck_assert_uint_eq(file_size, size);
}

/* ---- Directories */

START_TEST(test_io_dir_open_says_why_not)
{
    struct world world = world_open(_i);
    struct kv_dir *dir = world.dir;
    char path[128];

    ck_kv_is(kv_io_dir_open(world.io, world.below, &dir), KV_NOTFOUND);
    ck_assert_ptr_null(dir);
    ck_assert_ptr_nonnull(strstr(kv_message(), world.below));
    kv_io_file_close(file_make(&world, "file"));
    snprintf(path, sizeof(path), "%s/file", world.path);
    ck_kv_is(kv_io_dir_open(world.io, path, &dir), KV_INVALID);
    ck_assert_ptr_null(dir);
    kv_io_dir_close(NULL);
    world_close(&world);
}
END_TEST

START_TEST(test_io_dir_create_and_remove)
{
    struct world world = world_open(_i);
    struct kv_dir *dir;
    struct kv_file *file;
    char deep[128];

    snprintf(deep, sizeof(deep), "%s/deep", world.below);
    ck_kv_is(kv_io_dir_create(world.io, deep, 0700), KV_NOTFOUND);
    ck_kv(kv_io_dir_create(world.io, world.below, 0700));
    ck_kv_is(kv_io_dir_create(world.io, world.below, 0700), KV_EXISTS);
    ck_kv(kv_io_dir_open(world.io, world.below, &dir));
    ck_kv(kv_io_file_open(dir, "a", KV_OPEN_WRITE | KV_OPEN_CREATE, 0600, &file));
    kv_io_file_close(file);
    ck_kv_is(kv_io_dir_remove(world.io, world.below), KV_EXISTS);
    ck_kv(kv_io_unlink(dir, "a"));
    ck_kv(kv_io_dir_remove(world.io, world.below));
    ck_kv_is(kv_io_dir_remove(world.io, world.below), KV_NOTFOUND);
    ck_kv_is(kv_io_file_open(dir, "b", KV_OPEN_WRITE | KV_OPEN_CREATE, 0600, &file), KV_NOTFOUND);
    kv_io_dir_close(dir);
    world_close(&world);
}
END_TEST

START_TEST(test_io_dir_identity_is_the_directory)
{
    struct world world = world_open(_i);
    struct kv_identity first, second, other;
    struct kv_dir *dir;

    ck_kv(kv_io_dir_identity(world.dir, &first));
    ck_kv(kv_io_dir_open(world.io, world.path, &dir));
    ck_kv(kv_io_dir_identity(dir, &second));
    kv_io_dir_close(dir);
    ck_assert(first.device == second.device && first.inode == second.inode);
    ck_kv(kv_io_dir_create(world.io, world.below, 0700));
    ck_kv(kv_io_name_identity(world.dir, "below", &other));
    ck_assert_uint_ne(first.inode, other.inode);
    ck_kv(kv_io_dir_remove(world.io, world.below));
    world_close(&world);
}
END_TEST

struct listing {
    unsigned seen; /* a bit a letter */
    unsigned count;
    unsigned stop_at;
};

static enum kv_status note_name(void *context, const char *name)
{
    struct listing *listing = context;

    ck_assert_uint_eq(strlen(name), 1);
    listing->seen |= 1u << (name[0] - 'a');
    return ++listing->count == listing->stop_at ? KV_DONE : KV_OK;
}

START_TEST(test_io_dir_list_gives_every_name_once)
{
    struct world world = world_open(_i);
    struct listing all = {0};
    struct listing some = {.stop_at = 2};

    for (char name[] = "a"; name[0] <= 'e'; name[0]++)
        kv_io_file_close(file_make(&world, name));
    ck_kv(kv_io_dir_list(world.dir, note_name, &all));
    ck_assert_uint_eq(all.count, 5);
    ck_assert_uint_eq(all.seen, 31);
    ck_kv_is(kv_io_dir_list(world.dir, note_name, &some), KV_DONE);
    ck_assert_uint_eq(some.count, 2);
    world_close(&world);
}
END_TEST

START_TEST(test_io_dir_answers_about_itself)
{
    struct world world = world_open(_i);
    uint64_t free_bytes = 0;

    ck_kv(kv_io_dir_writable(world.dir));
    ck_kv(kv_io_dir_sync(world.dir));
    ck_kv(kv_io_dir_free_bytes(world.dir, &free_bytes));
    ck_assert_uint_gt(free_bytes, 0);
    world_close(&world);
}
END_TEST

START_TEST(test_io_rename_replaces)
{
    struct world world = world_open(_i);
    struct kv_file *old = file_make(&world, "name");
    struct kv_file *new = file_make(&world, "name.tmp");
    struct kv_identity held, named;

    put(old, 0, "old");
    put(new, 0, "new");
    ck_kv(kv_io_rename(world.dir, "name.tmp", "name"));
    ck_kv(kv_io_file_identity(new, &held));
    ck_kv(kv_io_name_identity(world.dir, "name", &named));
    ck_assert(held.device == named.device && held.inode == named.inode);
    ck_kv_is(kv_io_name_identity(world.dir, "name.tmp", &named), KV_NOTFOUND);
    expect_bytes(old, "old", 3); /* nameless, but open */
    ck_kv_is(kv_io_rename(world.dir, "name.tmp", "name"), KV_NOTFOUND);
    ck_kv(kv_io_rename(world.dir, "name", "name"));
    expect_bytes(new, "new", 3);
    kv_io_file_close(old);
    kv_io_file_close(new);
    world_close(&world);
}
END_TEST

/* One file under two names: what is written through one shows through the other, and each can go. */
START_TEST(test_io_link_gives_a_second_name)
{
    struct world world = world_open(_i);
    struct kv_file *file = file_make(&world, "a"), *other;
    struct kv_identity first, second;
    struct kv_dir *below;

    ck_kv(kv_io_dir_create(world.io, world.below, 0700));
    ck_kv(kv_io_dir_open(world.io, world.below, &below));
    put(file, 0, "shared");
    ck_kv(kv_io_link(world.dir, "a", below));
    ck_kv(kv_io_name_identity(world.dir, "a", &first));
    ck_kv(kv_io_name_identity(below, "a", &second));
    ck_assert(first.device == second.device && first.inode == second.inode);
    ck_kv(kv_io_file_open(below, "a", 0, 0, &other));
    put(file, 0, "SHA");
    expect_bytes(other, "SHAred", 6);
    kv_io_file_close(other);
    kv_io_file_close(file);
    ck_kv(kv_io_unlink(world.dir, "a"));
    ck_kv(kv_io_file_open(below, "a", 0, 0, &other));
    expect_bytes(other, "SHAred", 6);
    kv_io_file_close(other);
    ck_kv(kv_io_unlink(below, "a"));
    kv_io_dir_close(below);
    ck_kv(kv_io_dir_remove(world.io, world.below));
    world_close(&world);
}
END_TEST

START_TEST(test_io_link_says_why_not)
{
    struct world world = world_open(_i);
    struct kv_dir *below;

    ck_kv(kv_io_dir_create(world.io, world.below, 0700));
    ck_kv(kv_io_dir_open(world.io, world.below, &below));
    ck_kv_is(kv_io_link(world.dir, "a", below), KV_NOTFOUND);
    ck_assert_ptr_nonnull(strstr(kv_message(), "/a"));
    kv_io_file_close(file_make(&world, "a"));
    ck_kv(kv_io_link(world.dir, "a", below));
    ck_kv_is(kv_io_link(world.dir, "a", below), KV_EXISTS);
    ck_kv_is(kv_io_link(world.dir, "below", below), KV_INVALID); /* only files have several names */
    ck_kv(kv_io_unlink(below, "a"));
    kv_io_dir_close(below);
    ck_kv(kv_io_dir_remove(world.io, world.below));
    world_close(&world);
}
END_TEST

START_TEST(test_io_unlink_leaves_open_files)
{
    struct world world = world_open(_i);
    struct kv_file *file = file_make(&world, "a");
    struct kv_file *again;
    uint8_t *map;

    put(file, 0, "still here");
    ck_kv(kv_io_map(file, 4096, false, &map));
    ck_kv(kv_io_unlink(world.dir, "a"));
    ck_kv_is(kv_io_unlink(world.dir, "a"), KV_NOTFOUND);
    ck_assert_ptr_nonnull(strstr(kv_message(), "/a"));
    ck_kv_is(kv_io_file_open(world.dir, "a", 0, 0, &again), KV_NOTFOUND);
    ck_assert_ptr_null(again);
    expect_bytes(file, "still here", 10);
    kv_io_file_close(file);
    ck_assert_mem_eq(map, "still here", 10);
    kv_io_unmap(world.io, map, 4096);
    world_close(&world);
}
END_TEST

/* ---- Opening */

START_TEST(test_io_open_honours_its_flags)
{
    struct world world = world_open(_i);
    struct kv_file *file;

    ck_kv_is(kv_io_file_open(world.dir, "a", KV_OPEN_WRITE, 0, &file), KV_NOTFOUND);
    put(file = file_make(&world, "a"), 0, "kept");
    kv_io_file_close(file);
    ck_kv_is(
        kv_io_file_open(world.dir, "a", KV_OPEN_WRITE | KV_OPEN_CREATE | KV_OPEN_EXCL, 0600, &file),
        KV_EXISTS);
    ck_kv(kv_io_file_open(world.dir, "a", KV_OPEN_WRITE | KV_OPEN_CREATE, 0600, &file));
    expect_bytes(file, "kept", 4);
    kv_io_file_close(file);
    ck_kv(kv_io_file_open(world.dir, "a", 0, 0, &file));
    expect_bytes(file, "kept", 4);
    ck_kv_is(kv_io_write(file, 0, "x", 1), KV_IOERR);
    kv_io_file_close(file);
    kv_io_file_close(NULL);
    world_close(&world);
}
END_TEST

START_TEST(test_io_open_refuses_a_directory)
{
    struct world world = world_open(_i);
    struct kv_file *file;

    ck_kv(kv_io_dir_create(world.io, world.below, 0700));
    ck_kv_is(kv_io_file_open(world.dir, "below", 0, 0, &file), KV_INVALID);
    ck_kv_is(kv_io_file_open(world.dir, "below", KV_OPEN_WRITE, 0, &file), KV_INVALID);
    ck_assert_ptr_null(file);
    ck_kv(kv_io_dir_remove(world.io, world.below));
    world_close(&world);
}
END_TEST

START_TEST(test_io_temporary_has_no_name)
{
    struct world world = world_open(_i);
    struct listing all = {0};
    struct kv_file *file;
    uint8_t *map;

    ck_kv(kv_io_file_temporary(world.io, &file));
    put(file, 2, "x");
    expect_bytes(file, "\0\0x", 3);
    ck_kv(kv_io_map(file, 3, true, &map));
    kv_io_file_close(file);
    ck_assert_uint_eq(map[2], 'x');
    kv_io_unmap(world.io, map, 3);
    ck_kv(kv_io_dir_list(world.dir, note_name, &all));
    ck_assert_uint_eq(all.count, 0);
    world_close(&world);
}
END_TEST

/* ---- Bytes */

START_TEST(test_io_read_ends_at_the_end)
{
    struct world world = world_open(_i);
    struct kv_file *file = file_make(&world, "a");
    char bytes[16];
    size_t got = 99;

    ck_kv(kv_io_read(file, 0, bytes, 16, &got));
    ck_assert_uint_eq(got, 0);
    put(file, 0, "hello");
    ck_kv(kv_io_read(file, 1, bytes, 2, &got));
    ck_assert_uint_eq(got, 2);
    ck_assert_mem_eq(bytes, "el", 2);
    ck_kv(kv_io_read(file, 3, bytes, 16, &got));
    ck_assert_uint_eq(got, 2);
    ck_kv(kv_io_read(file, 5, bytes, 16, &got));
    ck_assert_uint_eq(got, 0);
    ck_kv(kv_io_read(file, 1 << 20, bytes, 16, &got));
    ck_assert_uint_eq(got, 0);
    kv_io_file_close(file);
    world_close(&world);
}
END_TEST

START_TEST(test_io_write_leaves_zeros_in_gaps)
{
    struct world world = world_open(_i);
    struct kv_file *file = file_make(&world, "a");

    put(file, 4, "b");
    put(file, 0, "a");
    put(file, 2, "");
    expect_bytes(file, "a\0\0\0b", 5);
    put(file, 1, "xy");
    expect_bytes(file, "axy\0b", 5);
    kv_io_file_close(file);
    world_close(&world);
}
END_TEST

START_TEST(test_io_truncate_cuts_and_grows)
{
    struct world world = world_open(_i);
    struct kv_file *file = file_make(&world, "a");

    put(file, 0, "abcdef");
    ck_kv(kv_io_truncate(file, 2));
    expect_bytes(file, "ab", 2);
    ck_kv(kv_io_truncate(file, 4)); /* what was cut does not come back */
    expect_bytes(file, "ab\0\0", 4);
    kv_io_file_close(file);
    world_close(&world);
}
END_TEST

START_TEST(test_io_allocate_extends_and_keeps)
{
    struct world world = world_open(_i);
    struct kv_file *file = file_make(&world, "a");

    put(file, 0, "abc");
    ck_kv(kv_io_allocate(file, 1, 7));
    expect_bytes(file, "abc\0\0\0\0\0", 8);
    ck_kv(kv_io_allocate(file, 0, 2)); /* never shorter */
    ck_kv(kv_io_allocate(file, 100, 0));
    expect_bytes(file, "abc\0\0\0\0\0", 8);
    kv_io_file_close(file);
    world_close(&world);
}
END_TEST

START_TEST(test_io_syncs_succeed)
{
    struct world world = world_open(_i);
    struct kv_file *file = file_make(&world, "a");

    put(file, 0, "abc");
    ck_kv(kv_io_write_back(file, 0, 3));
    ck_kv(kv_io_write_back(file, 0, 0));
    ck_kv(kv_io_datasync(file));
    ck_kv(kv_io_sync(file));
    kv_io_file_close(file);
    world_close(&world);
}
END_TEST

/* ---- Mappings */

START_TEST(test_io_map_shows_writes_and_growth)
{
    struct world world = world_open(_i);
    struct kv_file *file = file_make(&world, "a");
    uint8_t *map;

    put(file, 0, "one");
    ck_kv(kv_io_map(file, 1 << 20, false, &map)); /* far past the end */
    kv_io_advise_random(world.io, map, 1 << 20);
    kv_io_advise_soon(world.io, map + 1, 2); /* from the middle of a page */
    ck_assert_mem_eq(map, "one", 3);
    put(file, 0, "two");
    ck_assert_mem_eq(map, "two", 3);
    put(file, 100000, "far");
    ck_assert_mem_eq(map + 100000, "far", 3);
    kv_io_unmap(world.io, map + 4096, (1 << 20) - 4096);
    ck_assert_mem_eq(map, "two", 3);
    kv_io_unmap(world.io, map, 4096);
    kv_io_unmap(world.io, NULL, 4096);
    kv_io_file_close(file);
    world_close(&world);
}
END_TEST

START_TEST(test_io_map_writable_reaches_the_file)
{
    struct world world = world_open(_i);
    struct kv_file *file = file_make(&world, "a");
    struct kv_file *reader;
    uint8_t *map, *view;

    put(file, 0, "....");
    ck_kv(kv_io_file_open(world.dir, "a", 0, 0, &reader));
    ck_kv(kv_io_map(file, 4, true, &map));
    ck_kv(kv_io_map(reader, 4, false, &view));
    map[1] = 'x';
    ck_assert_uint_eq(view[1], 'x');
    expect_bytes(reader, ".x..", 4);
    ck_kv_is(kv_io_map(reader, 4, true, &view), KV_READONLY);
    ck_assert_ptr_null(view);
    ck_kv_is(kv_io_map(reader, 0, false, &view), KV_IOERR);
    kv_io_unmap(world.io, map, 4);
    kv_io_file_close(reader);
    kv_io_file_close(file);
    world_close(&world);
}
END_TEST

/* ---- Locks */

static void expect_held(struct kv_file *file, enum kv_lock_mode asked, enum kv_lock_mode expected)
{
    enum kv_lock_mode held;

    ck_kv(kv_io_lock_test(file, 7, asked, &held));
    ck_assert_int_eq(held, expected);
}

/*
 * Goal: locks belong to handles, within one process too, and conversions are atomic.
 * Method: two handles of one file, through every pair of modes.
 */
START_TEST(test_io_locks_conflict_between_handles)
{
    struct world world = world_open(_i);
    struct kv_file *a = file_make(&world, "a");
    struct kv_file *b;

    ck_kv(kv_io_file_open(world.dir, "a", KV_OPEN_WRITE, 0, &b));
    ck_kv(kv_io_lock(a, 7, KV_LOCK_SHARED));
    ck_kv(kv_io_lock(b, 7, KV_LOCK_SHARED));
    expect_held(a, KV_LOCK_SHARED, KV_LOCK_NONE);
    expect_held(a, KV_LOCK_EXCLUSIVE, KV_LOCK_SHARED);
    ck_kv_is(kv_io_lock(a, 7, KV_LOCK_EXCLUSIVE), KV_BUSY);
    expect_held(b, KV_LOCK_EXCLUSIVE, KV_LOCK_SHARED); /* the refused conversion lost nothing */
    ck_kv(kv_io_lock(b, 7, KV_LOCK_NONE));
    ck_kv(kv_io_lock(b, 7, KV_LOCK_NONE));
    ck_kv(kv_io_lock(a, 7, KV_LOCK_EXCLUSIVE));
    ck_kv_is(kv_io_lock(b, 7, KV_LOCK_SHARED), KV_BUSY);
    ck_kv_is(kv_io_lock(b, 7, KV_LOCK_EXCLUSIVE), KV_BUSY);
    expect_held(b, KV_LOCK_SHARED, KV_LOCK_EXCLUSIVE);
    expect_held(b, KV_LOCK_NONE, KV_LOCK_NONE);
    expect_held(a, KV_LOCK_EXCLUSIVE, KV_LOCK_NONE); /* one's own lock refuses nothing */
    ck_kv(kv_io_lock(b, 8, KV_LOCK_EXCLUSIVE));      /* another byte */
    ck_kv(kv_io_lock(a, 7, KV_LOCK_SHARED));
    ck_kv(kv_io_lock(b, 7, KV_LOCK_SHARED));
    kv_io_file_close(a);
    kv_io_file_close(b);
    world_close(&world);
}
END_TEST

START_TEST(test_io_locks_end_with_their_handle_only)
{
    struct world world = world_open(_i);
    struct kv_file *a = file_make(&world, "a");
    struct kv_file *b, *c;

    ck_kv(kv_io_file_open(world.dir, "a", KV_OPEN_WRITE, 0, &b));
    ck_kv(kv_io_file_open(world.dir, "a", 0, 0, &c));
    ck_kv(kv_io_lock(a, 7, KV_LOCK_EXCLUSIVE));
    kv_io_file_close(b); /* with the locks of POSIX proper, this would drop a's */
    ck_kv_is(kv_io_lock(c, 7, KV_LOCK_SHARED), KV_BUSY);
    kv_io_file_close(a);
    ck_kv_is(kv_io_lock(c, 7, KV_LOCK_EXCLUSIVE), KV_IOERR); /* needs a writable handle */
    ck_kv(kv_io_lock(c, 7, KV_LOCK_SHARED));
    kv_io_file_close(c);
    world_close(&world);
}
END_TEST

/* ---- Clocks and randomness */

START_TEST(test_io_clocks_and_randomness)
{
    struct world world = world_open(_i);
    uint64_t wall_ms = kv_io_now_ms(world.io);
    uint64_t start_ms = kv_io_monotonic_ms(world.io);
    uint8_t a[32] = {0}, b[32] = {0};

    ck_assert_uint_gt(wall_ms, 1600000000000);
    kv_io_sleep_ms(world.io, 30);
    ck_assert_uint_ge(kv_io_monotonic_ms(world.io), start_ms + 15); /* ticks are coarse */
    ck_assert_uint_ge(kv_io_now_ms(world.io), wall_ms + 15);
    ck_kv(kv_io_random(world.io, a, sizeof(a)));
    ck_kv(kv_io_random(world.io, b, sizeof(b)));
    ck_assert_mem_ne(a, b, sizeof(a));
    world_close(&world);
}
END_TEST

/* ---- Only the real world */

START_TEST(test_io_posix_opens_regular_files_only)
{
    struct world world = world_open(0);
    struct kv_file *file;
    char path[128];

    kv_io_file_close(file_make(&world, "real"));
    snprintf(path, sizeof(path), "%s/link", world.path);
    ck_assert_int_eq(symlink("real", path), 0);
    snprintf(path, sizeof(path), "%s/fifo", world.path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    for (unsigned flags = 0; flags <= (KV_OPEN_WRITE | KV_OPEN_CREATE); flags++) {
        ck_kv_is(kv_io_file_open(world.dir, "link", flags, 0600, &file), KV_INVALID);
        ck_kv_is(kv_io_file_open(world.dir, "fifo", flags, 0600, &file), KV_INVALID);
    }
    ck_assert_ptr_nonnull(strstr(kv_message(), "/fifo: not a regular file"));
    world_close(&world);
}
END_TEST

START_TEST(test_io_posix_gives_the_mode_asked_for)
{
    mode_t mask = umask(077);
    struct world world = world_open(0);
    struct kv_file *file;
    struct stat stat_of;
    char path[128];

    ck_kv(kv_io_file_open(world.dir, "a", KV_OPEN_WRITE | KV_OPEN_CREATE, 0664, &file));
    kv_io_file_close(file);
    snprintf(path, sizeof(path), "%s/a", world.path);
    ck_assert_int_eq(stat(path, &stat_of), 0);
    ck_assert_uint_eq(stat_of.st_mode & 0777, 0664);
    ck_kv(kv_io_dir_create(world.io, world.below, 0775));
    ck_assert_int_eq(stat(world.below, &stat_of), 0);
    ck_assert_uint_eq(stat_of.st_mode & 0777, 0775);
    ck_kv(kv_io_dir_remove(world.io, world.below));
    world_close(&world);
    umask(mask);
}
END_TEST

START_TEST(test_io_posix_links_within_a_file_system_only)
{
    struct world world = world_open(0);
    char path[] = "/dev/shm/kv-test-io-XXXXXX";
    struct kv_identity here, there;
    struct kv_dir *other;

    if (mkdtemp(path)) { /* another file system wherever Linux is set up as usual */
        ck_kv(kv_io_dir_open(world.io, path, &other));
        ck_kv(kv_io_dir_identity(world.dir, &here));
        ck_kv(kv_io_dir_identity(other, &there));
        kv_io_file_close(file_make(&world, "a"));
        if (here.device != there.device)
            ck_kv_is(kv_io_link(world.dir, "a", other), KV_INVALID);
        kv_io_dir_close(other);
        ck_kv(kv_io_dir_remove(world.io, path));
    }
    world_close(&world);
}
END_TEST

START_TEST(test_io_posix_handles_are_not_inherited_by_exec)
{
    struct world world = world_open(0);
    struct kv_file *file = file_make(&world, "a");
    struct kv_identity identity;
    int found = 0;

    ck_kv(kv_io_file_identity(file, &identity));
    for (int fd = 0; fd < 64; fd++) {
        struct stat stat_of;

        if (fstat(fd, &stat_of) != 0 || stat_of.st_ino != identity.inode)
            continue;
        ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        found++;
    }
    ck_assert_int_eq(found, 1);
    kv_io_file_close(file);
    world_close(&world);
}
END_TEST

static Suite *io_suite(void)
{
    Suite *suite = suite_create("io");
    TCase *both = tcase_create("both worlds");
    TCase *posix = tcase_create("posix");

    tcase_add_loop_test(both, test_io_dir_open_says_why_not, 0, WORLDS);
    tcase_add_loop_test(both, test_io_dir_create_and_remove, 0, WORLDS);
    tcase_add_loop_test(both, test_io_dir_identity_is_the_directory, 0, WORLDS);
    tcase_add_loop_test(both, test_io_dir_list_gives_every_name_once, 0, WORLDS);
    tcase_add_loop_test(both, test_io_dir_answers_about_itself, 0, WORLDS);
    tcase_add_loop_test(both, test_io_rename_replaces, 0, WORLDS);
    tcase_add_loop_test(both, test_io_link_gives_a_second_name, 0, WORLDS);
    tcase_add_loop_test(both, test_io_link_says_why_not, 0, WORLDS);
    tcase_add_loop_test(both, test_io_unlink_leaves_open_files, 0, WORLDS);
    tcase_add_loop_test(both, test_io_open_honours_its_flags, 0, WORLDS);
    tcase_add_loop_test(both, test_io_open_refuses_a_directory, 0, WORLDS);
    tcase_add_loop_test(both, test_io_temporary_has_no_name, 0, WORLDS);
    tcase_add_loop_test(both, test_io_read_ends_at_the_end, 0, WORLDS);
    tcase_add_loop_test(both, test_io_write_leaves_zeros_in_gaps, 0, WORLDS);
    tcase_add_loop_test(both, test_io_truncate_cuts_and_grows, 0, WORLDS);
    tcase_add_loop_test(both, test_io_allocate_extends_and_keeps, 0, WORLDS);
    tcase_add_loop_test(both, test_io_syncs_succeed, 0, WORLDS);
    tcase_add_loop_test(both, test_io_map_shows_writes_and_growth, 0, WORLDS);
    tcase_add_loop_test(both, test_io_map_writable_reaches_the_file, 0, WORLDS);
    tcase_add_loop_test(both, test_io_locks_conflict_between_handles, 0, WORLDS);
    tcase_add_loop_test(both, test_io_locks_end_with_their_handle_only, 0, WORLDS);
    tcase_add_loop_test(both, test_io_clocks_and_randomness, 0, WORLDS);
    suite_add_tcase(suite, both);
    tcase_add_test(posix, test_io_posix_opens_regular_files_only);
    tcase_add_test(posix, test_io_posix_gives_the_mode_asked_for);
    tcase_add_test(posix, test_io_posix_links_within_a_file_system_only);
    tcase_add_test(posix, test_io_posix_handles_are_not_inherited_by_exec);
    suite_add_tcase(suite, posix);
    return suite;
}

int main(void)
{
    return kv_run_suite(io_suite());
}
