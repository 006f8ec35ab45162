/*
 * Where repair keeps damaged files: whatever happens, a file that is kept has its
 * bytes under some name, and nothing that was kept before is overwritten.
 */
#include "quarantine.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "names.h"
#include "runner.h"
#include "segment_fixture.h"

#define QUARANTINE FIXTURE_DIRECTORY "/" KV_NAME_QUARANTINE

enum { CHUNK_BYTES = 1 << 20, PAGE_BYTES = 4096 };

static struct fixture fixture;
static struct kv_quarantine *quarantine;

static void setup(void)
{
    fixture_init(&fixture);
    ck_kv(kv_quarantine_open(&fixture.place, &quarantine));
}

static void teardown(void)
{
    kv_quarantine_close(quarantine);
    fixture_release(&fixture);
}

static void write_file(const char *path, const char *text)
{
    ck_assert(kv_memfs_write_file(fixture.fs, path, kv_slice_text(text)));
}

static void expect_file(const char *path, const char *text)
{
    size_t size;
    uint8_t *bytes = kv_memfs_read_file(fixture.fs, path, &size);

    ck_assert_msg(bytes, "%s is missing", path);
    ck_assert_str_eq((const char *)bytes, text);
    free(bytes);
}

static void expect_names(const char *expected)
{
    char *names = kv_memfs_list(fixture.fs, QUARANTINE);

    ck_assert_str_eq(names, expected);
    free(names);
}

/* The file keeps its name in the store, too, until nothing needs it there any more. */
START_TEST(test_quarantine_keeps_a_file)
{
    ck_assert_str_eq(kv_quarantine_path(quarantine), QUARANTINE);
    write_file(FIXTURE_DIRECTORY "/a", "bytes");
    ck_kv(kv_quarantine_keep(quarantine, "a"));
    expect_file(FIXTURE_DIRECTORY "/a", "bytes");
    expect_file(QUARANTINE "/a", "bytes");
}
END_TEST

/* Goal: what is kept stays after a loss of power, once that is synced, also without its first name. */
START_TEST(test_quarantine_is_durable)
{
    write_file(FIXTURE_DIRECTORY "/a", "bytes");
    kv_memfs_settle(fixture.fs);
    ck_kv(kv_quarantine_keep(quarantine, "a"));
    ck_kv(kv_quarantine_sync(quarantine));
    ck_kv(kv_io_unlink(fixture.place.dir, "a"));
    ck_kv(kv_io_dir_sync(fixture.place.dir));
    kv_memfs_crash(fixture.fs, KV_MEMFS_DROP, 1);
    expect_file(QUARANTINE "/a", "bytes");
}
END_TEST

START_TEST(test_quarantine_of_no_file)
{
    ck_kv(kv_quarantine_keep(quarantine, "a"));
    expect_names("");
    kv_memfs_fail(fixture.fs, KV_MEMFS_LINK, 1, KV_INVALID, KV_MEMFS_ONCE);
    ck_kv(kv_quarantine_keep(quarantine, "a")); /* nor by copying */
    expect_names("");
}
END_TEST

/* A repair that was interrupted has kept it already: it is not kept twice. */
START_TEST(test_quarantine_keeps_a_file_once)
{
    write_file(FIXTURE_DIRECTORY "/a", "bytes");
    ck_kv(kv_quarantine_keep(quarantine, "a"));
    ck_kv(kv_quarantine_keep(quarantine, "a"));
    expect_names("a\n");
}
END_TEST

/* Others of the name step aside, each under the next free number. */
START_TEST(test_quarantine_keeps_others_of_the_name)
{
    write_file(QUARANTINE "/a", "first");
    write_file(QUARANTINE "/a.2", "second");
    write_file(FIXTURE_DIRECTORY "/a", "third");
    ck_kv(kv_quarantine_keep(quarantine, "a"));
    expect_names("a\na.2\na.3\n");
    expect_file(QUARANTINE "/a", "third");
    expect_file(QUARANTINE "/a.2", "second");
    expect_file(QUARANTINE "/a.3", "first");
}
END_TEST

/* Where the file system has no links: a copy, also beside another of the name. */
START_TEST(test_quarantine_copies)
{
    write_file(FIXTURE_DIRECTORY "/a", "bytes");
    write_file(QUARANTINE "/a", "other");
    kv_memfs_fail(fixture.fs, KV_MEMFS_LINK, 2, KV_INVALID, KV_MEMFS_ONCE);
    ck_kv(kv_quarantine_keep(quarantine, "a"));
    expect_file(QUARANTINE "/a", "bytes");
    expect_file(QUARANTINE "/a.2", "other");
    write_file(FIXTURE_DIRECTORY "/a", "changed");
    expect_file(QUARANTINE "/a", "bytes"); /* it is none of the store's */
}
END_TEST

/*
 * Goal: a bad sector costs its page of the copy only.
 * Method: the first large read fails, then that of the second page.
 */
START_TEST(test_quarantine_copies_around_bad_pages)
{
    size_t size = CHUNK_BYTES + PAGE_BYTES + 5;
    uint8_t *bytes = malloc(size), *copy;

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(1 + i % 251);
    ck_assert(kv_memfs_write_file(fixture.fs, FIXTURE_DIRECTORY "/a", kv_slice_of(bytes, size)));
    kv_memfs_fail(fixture.fs, KV_MEMFS_LINK, 1, KV_INVALID, KV_MEMFS_ONCE);
    kv_memfs_fail(fixture.fs, KV_MEMFS_READ, 1, KV_IOERR, KV_MEMFS_ONCE);
    /* Pages are read singly where a chunk cannot be, and chunks behind each one that can. */
    kv_memfs_fail(fixture.fs, KV_MEMFS_READ, 3, KV_IOERR, KV_MEMFS_ONCE);
    kv_memfs_fail(fixture.fs, KV_MEMFS_READ, 4, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv(kv_quarantine_keep(quarantine, "a"));

    memset(bytes + PAGE_BYTES, 0, PAGE_BYTES);
    copy = kv_memfs_read_file(fixture.fs, QUARANTINE "/a", &size);
    ck_assert_uint_eq(size, CHUNK_BYTES + PAGE_BYTES + 5);
    ck_assert_mem_eq(copy, bytes, size);
    free(copy);
    free(bytes);
}
END_TEST

/* A copy that is not whole is a failure, and the store's file stays. */
START_TEST(test_quarantine_copy_fails)
{
    static const enum kv_memfs_call calls[] = {
        KV_MEMFS_FILE_SIZE, KV_MEMFS_WRITE, KV_MEMFS_TRUNCATE, KV_MEMFS_SYNC, KV_MEMFS_FILE_OPEN};

    write_file(FIXTURE_DIRECTORY "/a", "bytes");
    kv_memfs_fail(fixture.fs, KV_MEMFS_LINK, 1, KV_INVALID, KV_MEMFS_ONCE);
    kv_memfs_fail(fixture.fs, calls[_i], 1, KV_FULL, KV_MEMFS_ONCE);
    ck_kv_is(kv_quarantine_keep(quarantine, "a"), KV_FULL);
    expect_file(FIXTURE_DIRECTORY "/a", "bytes");
    ck_kv(kv_quarantine_keep(quarantine, "a")); /* once there is room */
    expect_file(QUARANTINE "/a", "bytes");
}
END_TEST

START_TEST(test_quarantine_tells_what_fails)
{
    static const enum kv_memfs_call calls[] = {KV_MEMFS_LINK, KV_MEMFS_RENAME};

    write_file(FIXTURE_DIRECTORY "/a", "bytes");
    write_file(QUARANTINE "/a", "other");
    kv_memfs_fail(fixture.fs, calls[_i], 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_quarantine_keep(quarantine, "a"), KV_IOERR);
    expect_file(QUARANTINE "/a", "other");
    /* What has the name cannot be told from the file: one more copy does no harm. */
    kv_memfs_fail(fixture.fs, KV_MEMFS_NAME_IDENTITY, 3, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_quarantine_keep(quarantine, "a"), KV_IOERR);
    kv_memfs_fail(fixture.fs, KV_MEMFS_DIR_SYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_quarantine_sync(quarantine), KV_IOERR);
}
END_TEST

START_TEST(test_quarantine_open_fails)
{
    static const struct {
        enum kv_memfs_call call;
        uint64_t nth;
    } calls[] = {{KV_MEMFS_DIR_OPEN, 3}, /* behind parents, whose syncs may fail */
                 {KV_MEMFS_NAME_IDENTITY, 1},
                 {KV_MEMFS_DIR_IDENTITY, 1},
                 {KV_MEMFS_DIR_CREATE, 1}};
    struct kv_quarantine *other;

    kv_memfs_fail(fixture.fs, calls[_i].call, calls[_i].nth, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_quarantine_open(&fixture.place, &other), KV_IOERR);
    ck_assert_ptr_null(other);
    ck_kv(kv_quarantine_open(&fixture.place, &other));
    kv_quarantine_close(other);
}
END_TEST

/* A link could lead damaged files, and those who look at them, anywhere. */
START_TEST(test_quarantine_refuses_a_link)
{
    char path[] = "/tmp/test_quarantine_XXXXXX", name[sizeof(path) + 32];
    struct kv_place place = {.io = kv_io_posix(), .path = path, .file_mode = 0600};
    struct kv_quarantine *other;

    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(name, sizeof(name), "%s/" KV_NAME_QUARANTINE, path);
    ck_assert_int_eq(symlink("/tmp", name), 0);
    ck_kv(kv_io_dir_open(place.io, path, &place.dir));
    ck_kv_is(kv_quarantine_open(&place, &other), KV_INVALID);
    ck_assert_ptr_nonnull(strstr(kv_message(), name));
    ck_assert_ptr_null(other);
    kv_io_dir_close(place.dir);
    ck_assert_int_eq(unlink(name), 0);
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quarantine");
    TCase *tests = tcase_create("quarantine");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_quarantine_keeps_a_file);
    tcase_add_test(tests, test_quarantine_is_durable);
    tcase_add_test(tests, test_quarantine_of_no_file);
    tcase_add_test(tests, test_quarantine_keeps_a_file_once);
    tcase_add_test(tests, test_quarantine_keeps_others_of_the_name);
    tcase_add_test(tests, test_quarantine_copies);
    tcase_add_test(tests, test_quarantine_copies_around_bad_pages);
    tcase_add_loop_test(tests, test_quarantine_copy_fails, 0, 5);
    tcase_add_loop_test(tests, test_quarantine_tells_what_fails, 0, 2);
    tcase_add_loop_test(tests, test_quarantine_open_fails, 0, 4);
    tcase_add_test(tests, test_quarantine_refuses_a_link);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
