/*
 * memfs is the judge of crash safety, so it is judged first: what it drops,
 * keeps and loses, and that its faults hit the call that was meant.
 */
#include "memfs.h"

#include "runner.h"

enum { SECTOR = KV_MEMFS_SECTOR_BYTES };

static struct kv_memfs *fs;
static struct kv_io *io;
static struct kv_dir *dir;

static void setup(void)
{
    fs = kv_memfs_new(1);
    io = kv_memfs_io(fs);
    ck_kv(kv_io_dir_open(io, "/", &dir));
}

static void teardown(void)
{
    kv_io_dir_close(dir);
    kv_memfs_free(fs);
}

static struct kv_file *file_open(const char *name)
{
    struct kv_file *file;

    ck_kv(kv_io_file_open(dir, name, KV_OPEN_WRITE | KV_OPEN_CREATE, 0600, &file));
    return file;
}

static void put(struct kv_file *file, uint64_t offset, const char *text)
{
    ck_kv(kv_io_write(file, offset, text, strlen(text)));
}

/* A file whose bytes and name are durable. */
static void make_durable(const char *name, const char *text)
{
    struct kv_file *file = file_open(name);

    put(file, 0, text);
    ck_kv(kv_io_sync(file));
    kv_io_file_close(file);
    ck_kv(kv_io_dir_sync(dir));
}

/* `expected` NULL: there must be no such file. */
static void expect_file(struct kv_memfs *world, const char *path, const char *expected)
{
    size_t size;
    uint8_t *bytes = kv_memfs_read_file(world, path, &size);

    if (expected)
        ck_assert_str_eq((const char *)bytes, expected);
    else
        ck_assert_ptr_null(bytes);
    free(bytes);
}

static void expect_names(struct kv_memfs *world, const char *expected)
{
    char *names = kv_memfs_list(world, "/");

    ck_assert_str_eq(names, expected);
    free(names);
}

/* What would be left if the power failed now. */
static void expect_after_crash(const char *names, const char *a)
{
    struct kv_memfs *after = kv_memfs_clone(fs);

    kv_memfs_crash(after, KV_MEMFS_DROP, 0);
    expect_names(after, names);
    expect_file(after, "/a", a);
    kv_memfs_free(after);
}

/* ---- Power loss */

START_TEST(test_memfs_crash_drops_what_was_not_synced)
{
    struct kv_file *file;

    make_durable("a", "durable");
    file = file_open("a");
    put(file, 0, "cached-and-longer");
    kv_io_file_close(file);
    file = file_open("b"); /* bytes durable, name not */
    put(file, 0, "b");
    ck_kv(kv_io_datasync(file));
    kv_io_file_close(file);
    file = file_open("c"); /* name durable, bytes not */
    ck_kv(kv_io_dir_sync(dir));
    put(file, 0, "c");
    kv_io_file_close(file);
    ck_kv(kv_io_unlink(dir, "b"));
    file = file_open("d");
    kv_io_file_close(file);
    kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    expect_file(fs, "/a", "durable");
    /* dir_sync made b's name durable as well; its removal was not. */
    expect_file(fs, "/b", "b");
    expect_file(fs, "/c", "");
    expect_names(fs, "a\nb\nc\n");
}
END_TEST

START_TEST(test_memfs_crash_undoes_rename_unlink_and_truncate)
{
    struct kv_file *file;

    make_durable("a", "old");
    make_durable("a.tmp", "new");
    make_durable("gone", "gone");
    ck_kv(kv_io_rename(dir, "a.tmp", "a"));
    ck_kv(kv_io_unlink(dir, "gone"));
    expect_names(fs, "a\n");
    kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    expect_names(fs, "a\na.tmp\ngone\n");
    expect_file(fs, "/a", "old");
    kv_io_dir_close(dir);
    ck_kv(kv_io_dir_open(io, "/", &dir));
    file = file_open("a");
    ck_kv(kv_io_truncate(file, 1));
    kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    expect_file(fs, "/a", "old");
    kv_io_file_close(file);
}
END_TEST

/* A link is a name like any other: durable by a sync of its directory, and the file is there once. */
START_TEST(test_memfs_crash_undoes_links)
{
    struct kv_dir *below;
    uint64_t before, after;

    make_durable("a", "shared");
    make_durable("b", "other");
    ck_kv(kv_io_dir_create(io, "/below", 0700));
    ck_kv(kv_io_dir_sync(dir));
    ck_kv(kv_io_dir_open(io, "/below", &below));
    kv_memfs_set_space(fs, 1000);
    ck_kv(kv_io_dir_free_bytes(dir, &before));
    ck_kv(kv_io_link(dir, "a", below));
    ck_kv(kv_io_dir_sync(below));
    ck_kv(kv_io_link(dir, "b", below));
    ck_kv(kv_io_unlink(dir, "a"));
    ck_kv(kv_io_dir_sync(dir));
    ck_kv(kv_io_dir_free_bytes(dir, &after));
    ck_assert_uint_eq(after, before);
    kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    expect_names(fs, "b\nbelow\n");
    expect_file(fs, "/below/a", "shared");
    expect_file(fs, "/below/b", NULL);
    expect_file(fs, "/b", "other");
    kv_io_dir_close(below);
}
END_TEST

START_TEST(test_memfs_sync_can_make_names_durable)
{
    struct kv_file *file;

    kv_memfs_set_sync_names(fs, true);
    file = file_open("a");
    put(file, 0, "x");
    ck_kv(kv_io_sync(file));
    kv_io_file_close(file);
    kv_io_file_close(file_open("b"));
    kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    expect_names(fs, "a\n");
    expect_file(fs, "/a", "x");
}
END_TEST

START_TEST(test_memfs_crash_drops_unsynced_directories)
{
    struct kv_dir *below;
    struct kv_file *file;

    ck_kv(kv_io_dir_create(io, "/kept", 0700));
    ck_kv(kv_io_dir_sync(dir));
    ck_kv(kv_io_dir_create(io, "/dropped", 0700));
    ck_kv(kv_io_dir_open(io, "/kept/", &below));
    ck_kv(kv_io_file_open(below, "a", KV_OPEN_WRITE | KV_OPEN_CREATE, 0600, &file));
    ck_kv(kv_io_dir_sync(below));
    kv_io_file_close(file);
    kv_io_dir_close(below);
    kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    expect_names(fs, "kept\n");
    ck_assert_uint_eq(kv_memfs_size(fs, "/kept/a"), 0);
}
END_TEST

START_TEST(test_memfs_settle_makes_all_durable)
{
    struct kv_file *file = file_open("a");
    uint8_t *map;

    put(file, 0, "x.");
    ck_kv(kv_io_map(file, 2, true, &map));
    map[1] = 'y';
    kv_memfs_settle(fs);
    kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    expect_file(fs, "/a", "xy");
    kv_io_file_close(file);
}
END_TEST

/* What a crash made of a file of four sectors 'o', overwritten by five of 'n'. */
struct outcome {
    bool old_size, new_size, other_size;
    bool old, new, garbage;
};

static void crash_overwritten(uint64_t seed, struct outcome *seen)
{
    struct kv_memfs *clone = kv_memfs_clone(fs);
    size_t size;
    uint8_t *bytes;

    kv_memfs_crash(clone, KV_MEMFS_RANDOM, seed);
    bytes = kv_memfs_read_file(clone, "/a", &size);
    *(size == 4 * SECTOR   ? &seen->old_size
      : size == 5 * SECTOR ? &seen->new_size
                           : &seen->other_size) = true;
    for (size_t at = 0; at + SECTOR <= size; at += SECTOR) {
        size_t same = 1;

        while (same < SECTOR && bytes[at + same] == bytes[at])
            same++;
        if (same < SECTOR) {
            seen->garbage = true;
            continue;
        }
        ck_assert(bytes[at] == 'n' || bytes[at] == (at < 4 * SECTOR ? 'o' : 0));
        *(bytes[at] == 'n' ? &seen->new : &seen->old) = true;
    }
    free(bytes);
    kv_memfs_free(clone);
}

/* Goal: random crashes show every kind of outcome, sector by sector, and no other. */
START_TEST(test_memfs_crash_at_random_shows_every_outcome)
{
    struct outcome seen = {0};
    struct kv_file *file = file_open("a");
    char bytes[5 * SECTOR];

    memset(bytes, 'o', sizeof(bytes));
    ck_kv(kv_io_write(file, 0, bytes, 4 * SECTOR));
    ck_kv(kv_io_sync(file));
    ck_kv(kv_io_dir_sync(dir));
    memset(bytes, 'n', sizeof(bytes));
    ck_kv(kv_io_write(file, 0, bytes, 5 * SECTOR));
    for (uint64_t seed = 0; seed < 100; seed++)
        crash_overwritten(seed, &seen);
    ck_assert(seen.old_size && seen.new_size && seen.other_size);
    ck_assert(seen.old && seen.new &&seen.garbage);
    kv_io_file_close(file);
}
END_TEST

START_TEST(test_memfs_crash_at_random_repeats_with_its_seed)
{
    struct kv_file *file = file_open("a");
    size_t size[2];
    uint8_t *bytes[2];

    ck_kv(kv_io_dir_sync(dir));
    for (uint64_t i = 0; i < 64; i++)
        put(file, i * SECTOR, "something");
    for (int i = 0; i < 2; i++) {
        struct kv_memfs *clone = kv_memfs_clone(fs);

        kv_memfs_crash(clone, KV_MEMFS_RANDOM, 4711);
        bytes[i] = kv_memfs_read_file(clone, "/a", &size[i]);
        kv_memfs_free(clone);
    }
    ck_assert_uint_eq(size[0], size[1]);
    ck_assert_mem_eq(bytes[0], bytes[1], size[0]);
    free(bytes[0]);
    free(bytes[1]);
    kv_io_file_close(file);
}
END_TEST

/* Decisions counted like the digits of a number. */
struct odometer {
    unsigned digits[16], limits[16];
    int used, at;
};

static unsigned next_digit(void *context, enum kv_memfs_choice choice, unsigned count)
{
    struct odometer *odometer = context;
    int at = odometer->at++;

    (void)choice;
    ck_assert_int_lt(at, 16);
    if (at == odometer->used)
        odometer->digits[odometer->used++] = 0;
    odometer->limits[at] = count;
    return odometer->digits[at];
}

static bool turn(struct odometer *odometer)
{
    odometer->at = 0;
    while (odometer->used) {
        int last = odometer->used - 1;

        if (++odometer->digits[last] < odometer->limits[last])
            return true;
        odometer->used--;
    }
    return false;
}

static unsigned choose_garbage(void *context, enum kv_memfs_choice choice, unsigned count)
{
    return (void)context, (void)count, choice == KV_MEMFS_CHOOSE_SECTOR ? 2 : 1;
}

/* Goal: garbage is only where something was written since the last good sync, also after one that failed. */
START_TEST(test_memfs_garbage_after_a_failed_sync)
{
    struct kv_file *file = file_open("a");

    put(file, 0, "lost");
    kv_memfs_fail(fs, KV_MEMFS_SYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_io_sync(file), KV_IOERR);
    kv_io_file_close(file);
    make_durable("a", "good");
    file = file_open("a");
    put(file, 4, "\n\n\n");
    kv_memfs_crash_with(fs, choose_garbage, NULL);
    kv_io_file_close(file);
    ck_assert(kv_memfs_truncate(fs, "/a", 4));
    expect_file(fs, "/a", "good");
}
END_TEST

/*
 * Goal: crash_with offers each state of a small set exactly once.
 * Method: two unsynced names; the file that survives has one sector and a size.
 */
START_TEST(test_memfs_crash_with_exhausts_the_choices)
{
    struct odometer odometer = {0};
    struct kv_file *file = file_open("a");
    unsigned states = 0;
    unsigned with_a = 0;

    put(file, 0, "x");
    kv_io_file_close(file);
    kv_io_file_close(file_open("b"));
    do {
        struct kv_memfs *clone = kv_memfs_clone(fs);

        kv_memfs_crash_with(clone, next_digit, &odometer);
        with_a += kv_memfs_size(clone, "/a") != UINT64_MAX;
        states++;
        kv_memfs_free(clone);
    } while (turn(&odometer));
    /* For each fate of b: no a; a of size 0, or between 0 and 1 (0 again); a of size 1, three ways. */
    ck_assert_uint_eq(states, 2 * (1 + 1 + 1 + 3));
    ck_assert_uint_eq(with_a, 2 * (1 + 1 + 3));
}
END_TEST

START_TEST(test_memfs_write_back_lets_old_bytes_land)
{
    struct kv_file *file = file_open("a");

    ck_kv(kv_io_dir_sync(dir));
    put(file, 0, "....");
    ck_kv(kv_io_sync(file));
    kv_memfs_set_write_back(fs, 100);
    put(file, 0, "1st ");
    kv_memfs_set_write_back(fs, 0);
    put(file, 0, "2nd ");
    kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    expect_file(fs, "/a", "1st ");
    kv_io_file_close(file);
}
END_TEST

/* ---- Death of processes */

static void expect_dead(struct kv_file *file)
{
    uint64_t size;

    ck_kv_is(kv_io_write(file, 0, "late", 4), KV_IOERR);
    ck_kv_is(kv_io_sync(file), KV_IOERR);
    ck_kv_is(kv_io_file_size(file, &size), KV_IOERR);
    ck_kv_is(kv_io_dir_sync(dir), KV_IOERR);
}

START_TEST(test_memfs_kill_keeps_bytes_and_frees_locks)
{
    struct kv_file *file = file_open("a");
    struct kv_file *again;
    struct kv_identity before, after;

    put(file, 0, "cached");
    ck_kv(kv_io_lock(file, 0, KV_LOCK_EXCLUSIVE));
    ck_kv(kv_io_name_identity(dir, "a", &before));
    kv_memfs_kill(fs);
    expect_dead(file);
    kv_io_dir_close(dir);
    ck_kv(kv_io_dir_open(io, "/", &dir));
    ck_kv(kv_io_name_identity(dir, "a", &after));
    ck_assert(before.device != after.device || before.inode != after.inode);
    again = file_open("a");
    ck_kv(kv_io_lock(again, 0, KV_LOCK_EXCLUSIVE));
    expect_file(fs, "/a", "cached");
    kv_io_file_close(file); /* a dead handle's end takes no lock along */
    file = file_open("a");
    ck_kv_is(kv_io_lock(file, 0, KV_LOCK_SHARED), KV_BUSY);
    kv_io_file_close(file);
    kv_io_file_close(again);
}
END_TEST

START_TEST(test_memfs_mappings_of_before_a_crash_reach_nobody)
{
    struct kv_file *file;
    uint8_t *map;

    make_durable("a", "durable");
    file = file_open("a");
    put(file, 0, "changed");
    ck_kv(kv_io_map(file, 7, true, &map));
    kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    ck_assert_mem_eq(map, "changed", 7);
    map[0] = 'X';
    expect_file(fs, "/a", "durable");
    expect_dead(file);
    kv_io_file_close(file);
}
END_TEST

START_TEST(test_memfs_crash_drops_stores_through_mappings)
{
    struct kv_file *file;
    uint8_t *map;

    make_durable("a", "durable");
    file = file_open("a");
    ck_kv(kv_io_map(file, 7, true, &map));
    map[0] = 'D';
    expect_file(fs, "/a", "Durable");
    kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    expect_file(fs, "/a", "durable");
    kv_io_file_close(file);
}
END_TEST

/* ---- Clones */

START_TEST(test_memfs_clone_branches)
{
    struct kv_file *file;
    struct kv_memfs *clone;

    make_durable("a", "durable");
    file = file_open("a");
    put(file, 0, "cached!");
    ck_kv(kv_io_rename(dir, "a", "b"));
    clone = kv_memfs_clone(fs);
    put(file, 0, "later");
    expect_file(clone, "/b", "cached!");
    kv_memfs_crash(clone, KV_MEMFS_DROP, 0);
    expect_file(clone, "/a", "durable");
    expect_file(clone, "/b", NULL);
    expect_file(fs, "/b", "laterd!");
    kv_io_file_close(file);
    kv_memfs_free(clone);
}
END_TEST

/* ---- Faults */

START_TEST(test_memfs_fails_the_nth_call)
{
    struct kv_file *file = file_open("a");
    uint64_t size;

    kv_memfs_fail(fs, KV_MEMFS_WRITE, 2, KV_FULL, KV_MEMFS_ONCE);
    put(file, 0, "1");
    ck_kv(kv_io_file_size(file, &size));
    ck_kv_is(kv_io_write(file, 1, "2", 1), KV_FULL);
    ck_assert_ptr_nonnull(strstr(kv_message(), "/a: "));
    expect_file(fs, "/a", "1");
    put(file, 1, "3");
    kv_memfs_fail(fs, KV_MEMFS_ANY, 2, KV_IOERR, KV_MEMFS_STICKY);
    put(file, 2, "4");
    ck_kv_is(kv_io_file_size(file, &size), KV_IOERR);
    ck_kv_is(kv_io_write(file, 1, "5", 1), KV_IOERR);
    kv_memfs_heal(fs);
    put(file, 3, "6");
    expect_file(fs, "/a", "1346");
    ck_assert_uint_eq(kv_memfs_fault_count(fs), 3);
    ck_assert_uint_eq(kv_memfs_calls(fs, KV_MEMFS_WRITE), 6);
    ck_assert_uint_eq(kv_memfs_calls(fs, KV_MEMFS_FILE_SIZE), 2);
    ck_assert_uint_eq(kv_memfs_calls(fs, KV_MEMFS_ANY), 10); /* with dir_open and file_open */
    kv_io_file_close(file);
}
END_TEST

START_TEST(test_memfs_partial_writes_leave_a_part)
{
    struct kv_file *file = file_open("a");
    char bytes[100];

    memset(bytes, 'x', sizeof(bytes));
    kv_memfs_fail(fs, KV_MEMFS_WRITE, 1, KV_IOERR, KV_MEMFS_PARTIAL);
    ck_kv_is(kv_io_write(file, 0, bytes, sizeof(bytes)), KV_IOERR);
    ck_assert_uint_lt(kv_memfs_size(fs, "/a"), sizeof(bytes));
    ck_assert_uint_gt(kv_memfs_size(fs, "/a"), 0); /* with this seed */
    kv_io_file_close(file);
}
END_TEST

/*
 * Goal: what a failed sync lost does not come back with the next one.
 * Method: fail a sync of two sectors, write one of them again, sync, crash.
 */
START_TEST(test_memfs_failed_sync_loses_bytes_for_good)
{
    struct kv_file *file = file_open("a");
    size_t size;
    uint8_t *bytes;

    ck_kv(kv_io_dir_sync(dir));
    put(file, 0, "x");
    put(file, SECTOR, "y");
    kv_memfs_fail(fs, KV_MEMFS_DATASYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_io_datasync(file), KV_IOERR);
    ck_kv(kv_io_datasync(file));
    put(file, SECTOR, "z");
    ck_kv(kv_io_datasync(file));
    expect_file(fs, "/a", "x"); /* in the cache it is still there */
    kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    bytes = kv_memfs_read_file(fs, "/a", &size);
    ck_assert_uint_eq(size, SECTOR + 1);
    ck_assert_uint_eq(bytes[0], 0);
    ck_assert_uint_eq(bytes[SECTOR], 'z');
    free(bytes);
    kv_io_file_close(file);
}
END_TEST

START_TEST(test_memfs_failed_sync_can_drop_the_cache)
{
    struct kv_file *file;

    make_durable("a", "durable");
    file = file_open("a");
    put(file, 0, "changed");
    kv_memfs_set_sync_loss(fs, true);
    kv_memfs_fail(fs, KV_MEMFS_SYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_io_sync(file), KV_IOERR);
    expect_file(fs, "/a", "durable");
    kv_io_file_close(file);
}
END_TEST

START_TEST(test_memfs_failed_dir_sync_keeps_names_pending)
{
    kv_io_file_close(file_open("a"));
    kv_memfs_fail(fs, KV_MEMFS_DIR_SYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_io_dir_sync(dir), KV_IOERR);
    kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    expect_names(fs, "");
}
END_TEST

/*
 * Goal: a directory sync that succeeds does not make up for one that failed.
 * Method: a replacement goes into a sync that fails; what comes behind it is durable,
 * it is not, until the name is replaced once more.
 */
START_TEST(test_memfs_names_of_a_failed_dir_sync_are_doomed)
{
    make_durable("a", "old");
    make_durable("b", "new");
    make_durable("c", "newest");
    ck_kv(kv_io_rename(dir, "b", "a"));
    kv_memfs_fail(fs, KV_MEMFS_DIR_SYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_io_dir_sync(dir), KV_IOERR);
    kv_io_file_close(file_open("d"));
    ck_kv(kv_io_dir_sync(dir));
    expect_names(fs, "a\nc\nd\n");
    expect_after_crash("a\nb\nc\nd\n", "old");
    ck_kv(kv_io_rename(dir, "c", "a"));
    ck_kv(kv_io_dir_sync(dir));
    expect_after_crash("a\nb\nd\n", "newest");
}
END_TEST

START_TEST(test_memfs_crash_may_leave_only_removals)
{
    make_durable("a", "old");
    make_durable("b", "new");
    make_durable("c", "gone");
    ck_kv(kv_io_rename(dir, "b", "a"));
    ck_kv(kv_io_unlink(dir, "c"));
    kv_io_file_close(file_open("d"));
    kv_memfs_crash(fs, KV_MEMFS_REMOVE, 0);
    expect_names(fs, "a\nb\n");
    expect_file(fs, "/a", "old");
}
END_TEST

START_TEST(test_memfs_crash_may_leave_only_the_last_change)
{
    make_durable("a", "old");
    make_durable("b", "new");
    kv_io_file_close(file_open("c"));
    ck_kv(kv_io_unlink(dir, "a"));
    ck_kv(kv_io_rename(dir, "b", "d"));
    kv_memfs_crash(fs, KV_MEMFS_LAST, 0);
    expect_names(fs, "a\nd\n");
}
END_TEST

START_TEST(test_memfs_space_and_readonly_refuse)
{
    struct kv_file *file = file_open("a");
    struct kv_file *none;
    uint64_t free_bytes;

    kv_memfs_set_space(fs, 10);
    put(file, 0, "12345678");
    ck_kv(kv_io_dir_free_bytes(dir, &free_bytes));
    ck_assert_uint_eq(free_bytes, 2);
    ck_kv_is(kv_io_write(file, 8, "90A", 3), KV_FULL);
    ck_kv_is(kv_io_allocate(file, 0, 11), KV_FULL);
    put(file, 8, "90");
    ck_kv(kv_io_unlink(dir, "a")); /* nameless bytes are given back at once */
    ck_kv(kv_io_dir_free_bytes(dir, &free_bytes));
    ck_assert_uint_eq(free_bytes, 10);
    kv_memfs_set_readonly(fs, true);
    ck_kv_is(kv_io_dir_writable(dir), KV_READONLY);
    ck_kv_is(kv_io_dir_create(io, "/d", 0700), KV_READONLY);
    ck_kv_is(kv_io_file_open(dir, "b", KV_OPEN_WRITE | KV_OPEN_CREATE, 0600, &none), KV_READONLY);
    kv_io_file_close(file);
}
END_TEST

/* ---- Damage */

START_TEST(test_memfs_damage_is_cached_and_durable)
{
    make_durable("a", "abc");
    make_durable("b", "b");
    make_durable("c", "abc");
    ck_assert(kv_memfs_flip_bit(fs, "/a", 1, 0));
    ck_assert(!kv_memfs_flip_bit(fs, "/a", 3, 0));
    ck_assert(!kv_memfs_flip_bit(fs, "/none", 0, 0));
    ck_assert(kv_memfs_delete(fs, "/b"));
    ck_assert(!kv_memfs_delete(fs, "/b"));
    ck_assert(kv_memfs_truncate(fs, "/c", 1));
    ck_assert(kv_memfs_write_file(fs, "/d", kv_slice_text("new")));
    ck_assert(!kv_memfs_write_file(fs, "/none/d", kv_slice_text("new")));
    for (int i = 0; i < 2; i++) {
        expect_names(fs, "a\nc\nd\n");
        expect_file(fs, "/a", "acc");
        expect_file(fs, "/c", "a");
        expect_file(fs, "/d", "new");
        kv_memfs_crash(fs, KV_MEMFS_DROP, 0);
    }
}
END_TEST

/* Goal: processes share files and exclude each other; killing one takes only its locks and handles. */
START_TEST(test_memfs_has_several_processes)
{
    struct kv_io *other_io = kv_memfs_process(fs);
    struct kv_dir *other_dir;
    struct kv_file *mine = file_open("f"), *other;

    put(mine, 0, "abc");
    ck_kv(kv_io_dir_open(other_io, "/", &other_dir));
    ck_kv(kv_io_file_open(other_dir, "f", KV_OPEN_WRITE, 0, &other));
    ck_kv(kv_io_write(other, 3, "d", 1));
    expect_file(fs, "/f", "abcd");
    ck_kv(kv_io_lock(other, 0, KV_LOCK_EXCLUSIVE));
    ck_kv_is(kv_io_lock(mine, 0, KV_LOCK_SHARED), KV_BUSY);
    kv_memfs_kill_process(fs, other_io);
    ck_kv(kv_io_lock(mine, 0, KV_LOCK_EXCLUSIVE));
    ck_kv_is(kv_io_write(other, 0, "x", 1), KV_IOERR);
    ck_kv_is(kv_io_lock(other, 1, KV_LOCK_SHARED), KV_IOERR);
    ck_kv(kv_io_write(mine, 0, "A", 1));
    kv_io_file_close(other);
    kv_io_dir_close(other_dir);
    ck_kv_is(kv_io_dir_open(other_io, "/", &other_dir), KV_IOERR);
    expect_file(fs, "/f", "Abcd");
    kv_io_file_close(mine);
}
END_TEST

/* Goal: a process can be killed at any call of its own; what it stores afterwards reaches nobody. */
START_TEST(test_memfs_kills_a_process_at_a_call)
{
    bool behind = _i;
    struct kv_io *other_io = kv_memfs_process(fs);
    struct kv_file *mine = file_open("f"), *other;
    struct kv_dir *other_dir;
    uint8_t *map, *other_map;

    put(mine, 0, "abcd");
    ck_kv(kv_io_map(mine, 4, true, &map));
    ck_kv(kv_io_dir_open(other_io, "/", &other_dir));
    ck_kv(kv_io_file_open(other_dir, "f", KV_OPEN_WRITE, 0, &other));
    ck_kv(kv_io_map(other, 4, true, &other_map));
    other_map[0] = 'A';
    ck_assert_int_eq(map[0], 'A');
    kv_memfs_kill_process_at(fs, other_io, 2, behind);
    put(mine, 1, "B"); /* other processes' calls do not count */
    ck_kv(kv_io_write(other, 2, "C", 1));
    ck_kv_is(kv_io_write(other, 3, "D", 1), behind ? KV_OK : KV_IOERR);
    ck_assert(kv_memfs_process_is_dead(other_io));
    ck_kv_is(kv_io_sync(other), KV_IOERR);
    other_map[0] = 'x';
    expect_file(fs, "/f", behind ? "ABCD" : "ABCd");
    kv_io_unmap(other_io, other_map, 4);
    kv_io_file_close(other);
    kv_io_dir_close(other_dir);
    kv_io_unmap(io, map, 4);
    kv_io_file_close(mine);
}
END_TEST

START_TEST(test_memfs_is_deterministic)
{
    struct kv_memfs *same = kv_memfs_new(1);
    uint8_t a[16], b[16];

    ck_kv(kv_io_random(io, a, sizeof(a)));
    ck_kv(kv_io_random(kv_memfs_io(same), b, sizeof(b)));
    ck_assert_mem_eq(a, b, sizeof(a));
    kv_memfs_set_clock(fs, 5000);
    kv_io_sleep_ms(io, 7);
    ck_assert_uint_eq(kv_io_now_ms(io), 5007);
    kv_memfs_free(same);
}
END_TEST

static Suite *memfs_suite(void)
{
    Suite *suite = suite_create("memfs");
    TCase *tests = tcase_create("memfs");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_memfs_crash_drops_what_was_not_synced);
    tcase_add_test(tests, test_memfs_crash_undoes_rename_unlink_and_truncate);
    tcase_add_test(tests, test_memfs_crash_undoes_links);
    tcase_add_test(tests, test_memfs_sync_can_make_names_durable);
    tcase_add_test(tests, test_memfs_crash_drops_unsynced_directories);
    tcase_add_test(tests, test_memfs_settle_makes_all_durable);
    tcase_add_test(tests, test_memfs_crash_at_random_shows_every_outcome);
    tcase_add_test(tests, test_memfs_crash_at_random_repeats_with_its_seed);
    tcase_add_test(tests, test_memfs_garbage_after_a_failed_sync);
    tcase_add_test(tests, test_memfs_crash_with_exhausts_the_choices);
    tcase_add_test(tests, test_memfs_write_back_lets_old_bytes_land);
    tcase_add_test(tests, test_memfs_kill_keeps_bytes_and_frees_locks);
    tcase_add_test(tests, test_memfs_mappings_of_before_a_crash_reach_nobody);
    tcase_add_test(tests, test_memfs_crash_drops_stores_through_mappings);
    tcase_add_test(tests, test_memfs_clone_branches);
    tcase_add_test(tests, test_memfs_fails_the_nth_call);
    tcase_add_test(tests, test_memfs_partial_writes_leave_a_part);
    tcase_add_test(tests, test_memfs_failed_sync_loses_bytes_for_good);
    tcase_add_test(tests, test_memfs_failed_sync_can_drop_the_cache);
    tcase_add_test(tests, test_memfs_failed_dir_sync_keeps_names_pending);
    tcase_add_test(tests, test_memfs_names_of_a_failed_dir_sync_are_doomed);
    tcase_add_test(tests, test_memfs_crash_may_leave_only_removals);
    tcase_add_test(tests, test_memfs_crash_may_leave_only_the_last_change);
    tcase_add_test(tests, test_memfs_space_and_readonly_refuse);
    tcase_add_test(tests, test_memfs_damage_is_cached_and_durable);
    tcase_add_test(tests, test_memfs_has_several_processes);
    tcase_add_loop_test(tests, test_memfs_kills_a_process_at_a_call, 0, 2);
    tcase_add_test(tests, test_memfs_is_deterministic);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(memfs_suite());
}
