/*
 * The trace is what power loss is simulated from: what it misses, no crash ever
 * loses. So it is judged first: every change is there, in order, and nothing else.
 */
#include "trace.h"

#include "memfs.h"
#include "runner.h"

#define STORE "/db"

enum { PAGE_BYTES = 4096 };

static struct kv_memfs *fs;
static struct kv_io *io;
static struct kv_dir *dir, *parent;
static struct trace trace;
static size_t seen; /* events that were expected so far */

static void setup(void)
{
    fs = kv_memfs_new(1);
    trace_init(&trace, STORE);
    io = trace_io_new(&trace, kv_memfs_io(fs));
    seen = 0;
    ck_kv(kv_io_dir_create(io, STORE, 0700));
    ck_kv(kv_io_dir_open(io, "/", &parent));
    ck_kv(kv_io_dir_open(io, STORE, &dir));
}

static void teardown(void)
{
    kv_io_dir_close(dir);
    kv_io_dir_close(parent);
    trace_io_free(io);
    trace_release(&trace);
    kv_memfs_free(fs);
}

static struct kv_file *file_open(const char *name)
{
    struct kv_file *file;

    ck_kv(kv_io_file_open(dir, name, KV_OPEN_WRITE | KV_OPEN_CREATE, 0600, &file));
    return file;
}

/* The next event, of this kind. */
static const struct trace_event *next(enum trace_kind kind)
{
    ck_assert_msg(seen < trace.count, "event %zu is missing", seen);
    ck_assert_msg(trace.events[seen].kind == kind, "event %zu is: %s", seen,
                  trace_text(&trace.events[seen]));
    return &trace.events[seen++];
}

static void expect_end(void)
{
    ck_assert_msg(seen == trace.count, "one more: %s", trace_text(&trace.events[seen]));
}

static void expect_named(enum trace_kind kind, const char *name, unsigned file)
{
    const struct trace_event *event = next(kind);

    ck_assert_str_eq(event->name, name);
    ck_assert_uint_eq(event->file, file);
}

static void expect_bytes(enum trace_kind kind, unsigned file, uint64_t offset, const void *bytes,
                         size_t size)
{
    const struct trace_event *event = next(kind);

    ck_assert_uint_eq(event->file, file);
    ck_assert_uint_eq(event->offset, offset);
    ck_assert_uint_eq(event->size, size);
    ck_assert_mem_eq(event->bytes, bytes, size);
}

static void expect_size(enum trace_kind kind, unsigned file, uint64_t size)
{
    const struct trace_event *event = next(kind);

    ck_assert_uint_eq(event->file, file);
    ck_assert_uint_eq(event->size, size);
}

static void expect_sync(enum trace_kind kind, bool failed)
{
    ck_assert(next(kind)->failed == failed);
}

START_TEST(test_trace_of_directories)
{
    ck_kv(kv_io_dir_sync(parent));
    ck_kv(kv_io_dir_sync(dir));
    kv_memfs_fail(fs, KV_MEMFS_DIR_SYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_io_dir_sync(dir), KV_IOERR);
    ck_kv_is(kv_io_dir_create(io, STORE, 0700), KV_EXISTS);

    next(TRACE_CREATE_DIRECTORY);
    expect_sync(TRACE_SYNC_PARENT, false);
    expect_sync(TRACE_SYNC_DIRECTORY, false);
    expect_sync(TRACE_SYNC_DIRECTORY, true);
    expect_end();
}
END_TEST

/* Goal: a process that is dead makes no sync that could fail; one that dies in a sync does. */
START_TEST(test_trace_of_the_dead)
{
    struct kv_io *process = kv_memfs_process(fs), *other = trace_io_new(&trace, process);
    struct kv_dir *other_dir;
    struct kv_file *file;

    ck_kv(kv_io_dir_open(other, STORE, &other_dir));
    ck_kv(kv_io_file_open(other_dir, "LOCK", KV_OPEN_WRITE | KV_OPEN_CREATE, 0600, &file));
    next(TRACE_CREATE_DIRECTORY);
    expect_named(TRACE_CREATE, "LOCK", 0);
    kv_memfs_kill_process_at(fs, process, 1, false);
    ck_kv_is(kv_io_datasync(file), KV_IOERR);
    expect_sync(TRACE_SYNC, true);
    ck_kv_is(kv_io_datasync(file), KV_IOERR);
    ck_kv_is(kv_io_sync(file), KV_IOERR);
    ck_kv_is(kv_io_dir_sync(other_dir), KV_IOERR);
    expect_end();
    kv_io_file_close(file);
    kv_io_dir_close(other_dir);
    trace_io_free(other);
}
END_TEST

/* Goal: an event belongs to a file, whatever its name is by then. */
START_TEST(test_trace_of_names)
{
    struct kv_file *first = file_open("first"), *second = file_open("second"), *again;

    ck_kv(kv_io_rename(dir, "second", "first"));
    again = file_open("first");
    ck_kv(kv_io_write(again, 0, "2", 1));
    ck_kv(kv_io_write(first, 0, "1", 1));
    ck_kv(kv_io_unlink(dir, "first"));
    ck_kv_is(kv_io_unlink(dir, "first"), KV_NOTFOUND);
    ck_kv_is(kv_io_rename(dir, "first", "third"), KV_NOTFOUND);
    kv_io_file_close(again);
    again = file_open("first");

    next(TRACE_CREATE_DIRECTORY);
    expect_named(TRACE_CREATE, "first", 0);
    expect_named(TRACE_CREATE, "second", 1);
    expect_named(TRACE_RENAME, "first", 1);
    ck_assert_str_eq(trace.events[seen - 1].from, "second");
    expect_bytes(TRACE_WRITE, 1, 0, "2", 1);
    expect_bytes(TRACE_WRITE, 0, 0, "1", 1);
    expect_named(TRACE_UNLINK, "first", 1);
    expect_named(TRACE_CREATE, "first", 2); /* another file of the same name */
    expect_end();
    kv_io_file_close(first);
    kv_io_file_close(second);
    kv_io_file_close(again);
}
END_TEST

START_TEST(test_trace_of_sizes_and_syncs)
{
    struct kv_file *file = file_open("file");

    ck_kv(kv_io_allocate(file, 100, 50));
    ck_kv(kv_io_truncate(file, 7));
    ck_kv(kv_io_sync(file));
    ck_kv(kv_io_datasync(file));
    kv_memfs_fail(fs, KV_MEMFS_DATASYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_io_datasync(file), KV_IOERR);

    next(TRACE_CREATE_DIRECTORY);
    expect_named(TRACE_CREATE, "file", 0);
    expect_size(TRACE_GROW, 0, 150);
    expect_size(TRACE_RESIZE, 0, 7);
    expect_sync(TRACE_SYNC, false);
    expect_sync(TRACE_SYNC, false);
    expect_sync(TRACE_SYNC, true);
    expect_end();
    kv_io_file_close(file);
}
END_TEST

/* Goal: the disk was never asked to do what the system refused, or what has no name. */
START_TEST(test_trace_leaves_out_what_did_not_happen)
{
    struct kv_file *file = file_open("file"), *temporary;
    char bytes[3];
    size_t got;

    kv_memfs_fail(fs, KV_MEMFS_WRITE, 1, KV_FULL, KV_MEMFS_ONCE);
    ck_kv_is(kv_io_write(file, 0, "abc", 3), KV_FULL);
    kv_memfs_fail(fs, KV_MEMFS_TRUNCATE, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_io_truncate(file, 9), KV_IOERR);
    kv_memfs_fail(fs, KV_MEMFS_ALLOCATE, 1, KV_FULL, KV_MEMFS_ONCE);
    ck_kv_is(kv_io_allocate(file, 0, 9), KV_FULL);
    ck_kv(kv_io_write(file, 0, "", 0));
    ck_kv(kv_io_read(file, 0, bytes, sizeof(bytes), &got));

    ck_kv(kv_io_file_temporary(io, &temporary));
    ck_kv(kv_io_write(temporary, 0, "abc", 3));
    ck_kv(kv_io_truncate(temporary, 2));
    ck_kv(kv_io_sync(temporary));
    ck_kv(kv_io_read(temporary, 0, bytes, sizeof(bytes), &got));
    ck_assert_uint_eq(got, 2);

    next(TRACE_CREATE_DIRECTORY);
    expect_named(TRACE_CREATE, "file", 0);
    expect_end();
    kv_io_file_close(temporary);
    kv_io_file_close(file);
}
END_TEST

/*
 * Goal: what is stored through a mapping is written down before what the disk is asked next.
 * Method: store in the last, partial, page; twice in one page between two events; and
 * through one of two mappings of the file, which must not be seen through the other again.
 */
START_TEST(test_trace_of_stores)
{
    struct kv_file *file = file_open("file");
    uint8_t *mapping, *other, expected[PAGE_BYTES] = {0};
    enum { SIZE = PAGE_BYTES + 100 };

    ck_kv(kv_io_truncate(file, SIZE));
    ck_kv(kv_io_map(file, SIZE, true, &mapping));
    ck_kv(kv_io_map(file, SIZE, true, &other));
    mapping[SIZE - 1] = 9;
    trace_mark(&trace, 77);
    other[5] = 1;
    other[6] = 2;
    ck_kv(kv_io_sync(file));
    mapping[7] = 3;
    kv_io_unmap(io, mapping, SIZE);
    kv_io_unmap(io, other, SIZE);

    next(TRACE_CREATE_DIRECTORY);
    expect_named(TRACE_CREATE, "file", 0);
    expect_size(TRACE_RESIZE, 0, SIZE);
    expected[99] = 9;
    expect_bytes(TRACE_STORE, 0, PAGE_BYTES, expected, 100);
    ck_assert_uint_eq(next(TRACE_MARK)->mark, 77);
    expected[99] = 0;
    expected[5] = 1;
    expected[6] = 2;
    expect_bytes(TRACE_STORE, 0, 0, expected, PAGE_BYTES);
    expect_sync(TRACE_SYNC, false);
    expected[7] = 3;
    expect_bytes(TRACE_STORE, 0, 0, expected, PAGE_BYTES);
    expect_end();
    kv_io_file_close(file);
}
END_TEST

/* Mappings that are only read cannot change anything, and are not looked at. */
START_TEST(test_trace_of_readers)
{
    struct kv_file *file = file_open("file");
    uint8_t *mapping;

    ck_kv(kv_io_write(file, 0, "abc", 3));
    ck_kv(kv_io_map(file, 3, false, &mapping));
    ck_assert_ptr_null(trace.mappings);
    kv_io_advise_random(io, mapping, 3);
    kv_io_advise_soon(io, mapping + 1, 1);
    kv_io_unmap(io, mapping, 3);
    kv_io_file_close(file);
}
END_TEST

/* Files that were there before keep the ids that they were given. */
START_TEST(test_trace_of_files_that_were_there)
{
    struct kv_file *file;

    ck_assert(kv_memfs_write_file(fs, STORE "/old", kv_slice_text("bytes")));
    ck_assert(kv_memfs_write_file(fs, STORE "/older", kv_slice_text("bytes")));
    trace_add_file(&trace, "older");
    trace_add_file(&trace, "old");
    file = file_open("old");
    ck_kv(kv_io_write(file, 2, "x", 1));
    kv_io_file_close(file);
    file = file_open("new");

    next(TRACE_CREATE_DIRECTORY);
    expect_bytes(TRACE_WRITE, 1, 2, "x", 1);
    expect_named(TRACE_CREATE, "new", 2);
    expect_end();
    kv_io_file_close(file);
}
END_TEST

START_TEST(test_trace_text)
{
    struct trace_event event = {.kind = TRACE_RENAME, .file = 3, .from = "a", .name = "b"};

    ck_assert_str_eq(trace_text(&event), "rename file 3 a to b at 0, 0 bytes; mark 0");
    event = (struct trace_event){.kind = TRACE_SYNC, .file = 4, .failed = true};
    ck_assert_ptr_nonnull(strstr(trace_text(&event), "sync (failed) file 4"));
    event = (struct trace_event){.kind = TRACE_MARK, .mark = 12};
    ck_assert_ptr_nonnull(strstr(trace_text(&event), "mark 12"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace");
    TCase *tests = tcase_create("trace");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_trace_of_directories);
    tcase_add_test(tests, test_trace_of_the_dead);
    tcase_add_test(tests, test_trace_of_names);
    tcase_add_test(tests, test_trace_of_sizes_and_syncs);
    tcase_add_test(tests, test_trace_leaves_out_what_did_not_happen);
    tcase_add_test(tests, test_trace_of_stores);
    tcase_add_test(tests, test_trace_of_readers);
    tcase_add_test(tests, test_trace_of_files_that_were_there);
    tcase_add_test(tests, test_trace_text);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
