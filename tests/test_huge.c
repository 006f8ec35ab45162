/* Huge pages: zeros that prepare them, and who writes whole ones. */
#include "huge.h"

#include <stdlib.h>

#include "runner.h"
#include "segment_fixture.h"
#include "segment_writer.h"
#include "trace.h"

enum { PAGE = KV_MEMFS_HUGE_BYTES, NUMBER = 9 };

static struct fixture fixture;
static struct trace trace;
static struct kv_io *io;
static struct kv_place place; /* the fixture's, with calls written down */

static void setup(void)
{
    fixture_init(&fixture);
    trace_init(&trace, FIXTURE_DIRECTORY);
    io = trace_io_new(&trace, kv_memfs_io(fixture.fs));
    place = fixture.place;
    place.io = io;
    ck_kv(kv_io_dir_open(io, FIXTURE_DIRECTORY, &place.dir));
}

static void teardown(void)
{
    kv_io_dir_close(place.dir);
    trace_io_free(io);
    trace_release(&trace);
    fixture_release(&fixture);
}

static struct kv_file *new_file(void)
{
    struct kv_file *file;

    ck_kv(kv_io_file_open(place.dir, "file", KV_OPEN_WRITE | KV_OPEN_CREATE, 0600, &file));
    return file;
}

/* Goal: zeros are written a page at a time, to whole pages only. */
START_TEST(test_huge_prepares_whole_pages)
{
    static const struct {
        uint64_t size, page_count;
    } cases[] = {{0, 0},       {1, 0}, {PAGE - 1, 0}, {PAGE, 1}, {PAGE + 1, 1}, {3 * PAGE - 1, 2},
                 {3 * PAGE, 3}};

    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct kv_file *file = new_file();
        size_t first = trace.count;
        uint64_t size;

        ck_kv(kv_io_truncate(file, 0));
        first = trace.count;
        ck_kv(kv_huge_prepare(file, cases[c].size));
        ck_assert_uint_eq(trace.count - first, cases[c].page_count);
        for (size_t i = first; i < trace.count; i++) {
            const struct trace_event *event = &trace.events[i];

            ck_assert_int_eq(event->kind, TRACE_WRITE);
            ck_assert_uint_eq(event->offset, (i - first) * PAGE);
            ck_assert_uint_eq(event->size, PAGE);
            for (size_t b = 0; b < PAGE; b++)
                ck_assert(event->bytes[b] == 0);
        }
        ck_kv(kv_io_file_size(file, &size));
        ck_assert_uint_eq(size, cases[c].page_count * PAGE);
        kv_io_file_close(file);
    }
}
END_TEST

START_TEST(test_huge_reports_a_failed_write)
{
    struct kv_file *file = new_file();

    kv_memfs_fail(fixture.fs, KV_MEMFS_WRITE, 2, KV_FULL, KV_MEMFS_ONCE);
    ck_kv_is(kv_huge_prepare(file, 3 * PAGE), KV_FULL);
    kv_io_file_close(file);
}
END_TEST

/* The first write to a file behind event `from`; trace.count: none. */
static size_t next_write(size_t from, unsigned file)
{
    while (from < trace.count &&
           (trace.events[from].kind != TRACE_WRITE || trace.events[from].file != file))
        from++;
    return from;
}

/*
 * Goal: merge outputs are written in whole huge pages, up to the last one; also rows that are
 * larger than one. The header's page is zeros until all the rest is there.
 */
START_TEST(test_huge_pages_of_merge_outputs)
{
    static uint8_t row[5 * PAGE / 2];
    struct kv_segment_writer_summary summary = {.last_of_run = true};
    struct kv_segment_info info;
    struct kv_segment_writer *writer;
    uint64_t at = 0;
    size_t i;

    ck_kv(kv_segment_writer_open(&place, NUMBER, 1, &writer));
    for (unsigned char n = 'a'; n < 'k'; n++) {
        size_t size = n == 'e' ? sizeof(row) : PAGE / 3;
        struct kv_entry entry = {
            .key = kv_slice_of(&n, 1), .row = kv_slice_of(row, size), .seq = n};

        ck_kv(kv_segment_writer_append(writer, &entry));
    }
    ck_kv(kv_segment_writer_finish(writer, &summary, &info));
    for (i = next_write(0, 0); trace.events[i].size >= PAGE; i = next_write(i + 1, 0)) {
        ck_assert_uint_eq(trace.events[i].offset, at);
        ck_assert_uint_eq(trace.events[i].size % PAGE, 0);
        for (size_t b = 0; at == 0 && b < KV_HEADER_BYTES; b++)
            ck_assert_uint_eq(trace.events[i].bytes[b], 0);
        at += trace.events[i].size;
    }
    ck_assert_uint_eq(at, info.end_bytes / PAGE * PAGE);
    ck_assert_uint_eq(trace.events[i].offset, at); /* the rest, and then the header */
    i = next_write(i + 1, 0);
    ck_assert_uint_eq(trace.events[i].offset, 0);
    ck_assert_uint_eq(trace.events[i].size, KV_HEADER_BYTES);
    kv_segment_writer_close(writer);
    kv_segment_info_release(&info);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("huge");
    TCase *tests = tcase_create("huge");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_huge_prepares_whole_pages);
    tcase_add_test(tests, test_huge_reports_a_failed_write);
    tcase_add_test(tests, test_huge_pages_of_merge_outputs);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
