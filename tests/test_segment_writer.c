/* Merge outputs: what was appended is read back; what was not finished is no segment. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"
#include "runner.h"
#include "segment.h"
#include "segment_fixture.h"
#include "segment_writer.h"

enum { NUMBER = 9, BASE_SEQ = 100 };

/* Entry `i` of a test: its key counts up, its row has some length, every fifth is a tombstone. */
struct made {
    struct kv_buffer key, row;
    struct kv_entry entry;
};

static void make_entry(struct made *made, uint64_t i)
{
    fixture_key(KEYS_COUNTER, i, &made->key);
    size_t row_size = i % 50 * 25;
    made->row.size = 0;
    memset(kv_buffer_reserve(&made->row, row_size + 1), (int)i, row_size);
    made->row.size = row_size;
    made->entry = (struct kv_entry){.key = kv_buffer_slice(&made->key),
                                    .row = kv_buffer_slice(&made->row),
                                    .seq = BASE_SEQ + i * 31 % 1000,
                                    .deleted = i % 5 == 4};
    if (made->entry.deleted)
        made->entry.row = kv_slice_of(NULL, 0);
}

static void release_entry(struct made *made)
{
    kv_buffer_release(&made->key);
    kv_buffer_release(&made->row);
}

static const struct kv_segment_writer_summary SUMMARY = {.first_lsn = 10,
                                                         .last_lsn = 20,
                                                         .min_time_ms = 1000,
                                                         .max_time_ms = 2000,
                                                         .low = {(const uint8_t *)"low", 3},
                                                         .last_of_run = true};

/* Write entries 0 … count-1 into segment NUMBER. */
static enum kv_status write_segment(const struct kv_place *place, uint64_t count,
                                    struct kv_segment_info *info)
{
    struct kv_segment_writer *writer;
    struct made made = {0};
    enum kv_status st = kv_segment_writer_open(place, NUMBER, BASE_SEQ, &writer);

    *info = (struct kv_segment_info){0};
    for (uint64_t i = 0; st == KV_OK && i < count; i++) {
        make_entry(&made, i);
        st = kv_segment_writer_append(writer, &made.entry);
        if (st == KV_OK)
            ck_assert_uint_eq(kv_segment_writer_record_count(writer), i + 1);
    }
    if (st == KV_OK)
        st = kv_segment_writer_finish(writer, &SUMMARY, info);
    kv_segment_writer_close(writer);
    release_entry(&made);
    return st;
}

static void check_entry(const struct kv_entry *entry, const struct kv_entry *expected)
{
    ck_assert(kv_slice_equal(entry->key, expected->key));
    ck_assert(kv_slice_equal(entry->row, expected->row));
    ck_assert_uint_eq(entry->seq, expected->seq);
    ck_assert_int_eq(entry->deleted, expected->deleted);
}

static void no_problem(void *context, uint64_t offset, const char *text)
{
    (void)context;
    ck_abort_msg("offset %lu: %s", (unsigned long)offset, text);
}

/* Everything that `info` says, and every entry, by get and in order. */
static void check_segment(const struct kv_place *place, const struct kv_segment_info *info,
                          uint64_t count)
{
    struct kv_segment *segment;
    struct kv_iter *it;
    struct kv_entry entry;
    struct made made = {0};

    ck_kv(kv_segment_open(place, info, &segment));
    ck_assert(!kv_segment_index_rebuilt(segment));
    ck_kv(kv_segment_check(
        segment, &(struct kv_segment_watcher){.problem = no_problem})); /* the totals, above all */
    ck_kv(kv_segment_iter(segment, &it));
    ck_kv(kv_iter_seek(it, NULL, KV_FORWARD));
    for (uint64_t i = 0; i < count; i++) {
        make_entry(&made, i);
        ck_kv(kv_iter_next(it, &entry));
        check_entry(&entry, &made.entry);
        ck_kv(kv_segment_get(segment, kv_hash(made.entry.key, place->hash_seed), made.entry.key,
                             &entry));
        check_entry(&entry, &made.entry);
    }
    ck_kv_is(kv_iter_next(it, &entry), KV_DONE);
    kv_iter_free(it);
    kv_segment_unref(segment);
    release_entry(&made);
}

/* ---- What is written */

static const uint64_t COUNTS[] = {1, 2, 5, 64, 65, 5000};

START_TEST(test_segment_writer_round_trip)
{
    struct fixture fixture;
    struct kv_segment_info info;

    fixture_init(&fixture);
    ck_kv(write_segment(&fixture.place, COUNTS[_i], &info));
    ck_assert_uint_eq(info.number, NUMBER);
    ck_assert_uint_eq(info.record_count, COUNTS[_i]);
    ck_assert_uint_eq(info.dead_bytes, 0);
    ck_assert_uint_eq(info.min_time_ms, SUMMARY.min_time_ms);
    ck_assert_uint_eq(info.max_time_ms, SUMMARY.max_time_ms);
    ck_assert_uint_eq(info.first_lsn, SUMMARY.first_lsn);
    ck_assert_uint_eq(info.last_lsn, SUMMARY.last_lsn);
    check_segment(&fixture.place, &info, COUNTS[_i]);

    /* The file carries all that a rebuild needs. */
    ck_assert(kv_memfs_delete(fixture.fs, fixture_index_path(NUMBER)));
    struct kv_segment *segment;
    ck_kv(kv_segment_open(&fixture.place, &info, &segment));
    ck_assert(kv_segment_index_rebuilt(segment));
    kv_segment_unref(segment);
    check_segment(&fixture.place, &info, COUNTS[_i]);
    kv_segment_info_release(&info);
    fixture_release(&fixture);
}
END_TEST

/* Goal: header and key interval are as header.h says, and the file ends behind them. */
START_TEST(test_segment_writer_header_and_interval)
{
    struct fixture fixture;
    struct kv_segment_info info;
    struct kv_header header;
    size_t size;

    fixture_init(&fixture);
    ck_kv(write_segment(&fixture.place, 10, &info));
    uint8_t *file = kv_memfs_read_file(fixture.fs, fixture_data_path(NUMBER), &size);
    ck_kv(kv_header_decode(kv_slice_of(file, size), &header));
    ck_assert_int_eq(header.role, KV_ROLE_MERGE);
    ck_assert_uint_eq(header.number, NUMBER);
    ck_assert_uint_eq(header.salt, info.salt);
    ck_assert_uint_eq(header.base_seq, BASE_SEQ);
    ck_assert_uint_eq(header.merge.end_bytes, info.end_bytes);
    ck_assert_uint_eq(header.merge.digest, info.digest);
    ck_assert_uint_eq(header.merge.first_lsn, SUMMARY.first_lsn);
    ck_assert_uint_eq(header.merge.last_lsn, SUMMARY.last_lsn);
    ck_assert_uint_eq(header.merge.record_count, 10);
    ck_assert(header.merge.last_of_run);
    ck_assert_uint_eq(header.merge.interval_bytes, 12 + 3 + 9);
    ck_assert_uint_eq(size, info.end_bytes + header.merge.interval_bytes);

    const uint8_t *interval = file + info.end_bytes;
    ck_assert_uint_eq(kv_load_u32(interval),
                      kv_checksum(interval + 4, 12 + 3 + 9 - 4, info.salt ^ info.end_bytes));
    ck_assert_uint_eq(kv_load_u32(interval + 4), 3);
    ck_assert_uint_eq(kv_load_u32(interval + 8), 9);
    ck_assert_mem_eq(interval + 12, "low", 3);
    ck_assert_mem_eq(interval + 15, info.max_key.data, 9);
    free(file);
    kv_segment_info_release(&info);
    fixture_release(&fixture);
}
END_TEST

/*
 * Goal: what is written does not pile up before the disk, where it would be in
 * everybody's way: it is synced as it comes.
 */
START_TEST(test_segment_writer_syncs_on_the_way)
{
    enum { MEGABYTES = 40 };
    static const uint8_t row[1 << 20] = {7};
    struct kv_segment_writer *writer;
    struct fixture fixture;
    uint64_t before;

    fixture_init(&fixture);
    before = kv_memfs_calls(fixture.fs, KV_MEMFS_SYNC);
    ck_kv(kv_segment_writer_open(&fixture.place, NUMBER, BASE_SEQ, &writer));
    for (uint8_t i = 0; i < MEGABYTES; i++) {
        struct kv_entry entry = {
            .key = kv_slice_of(&i, 1), .row = kv_slice_of(row, sizeof(row)), .seq = BASE_SEQ};

        ck_kv(kv_segment_writer_append(writer, &entry));
        ck_assert_uint_ge(kv_memfs_calls(fixture.fs, KV_MEMFS_SYNC) - before, i / 10);
    }
    ck_assert_uint_le(kv_memfs_calls(fixture.fs, KV_MEMFS_SYNC) - before, MEGABYTES / 8);
    kv_segment_writer_close(writer);
    fixture_release(&fixture);
}
END_TEST

/* Goal: rows larger than the buffer, and larger than an allocation step, are written whole. */
START_TEST(test_segment_writer_large_rows)
{
    enum { ROW_BYTES = 5 << 20, ROWS = 4 };
    struct fixture fixture;
    struct kv_segment_writer *writer;
    struct kv_segment_info info;
    struct kv_segment *segment;
    uint8_t *row = malloc(ROW_BYTES);

    fixture_init(&fixture);
    ck_kv(kv_segment_writer_open(&fixture.place, NUMBER, 0, &writer));
    for (uint8_t i = 0; i < ROWS; i++) {
        memset(row, i, ROW_BYTES);
        struct kv_entry big = {.key = {&i, 1}, .row = {row, ROW_BYTES - i}, .seq = 1};
        struct kv_entry small = {.key = {(uint8_t[]){i, 0}, 2}, .row = {row, 3}, .seq = 2};
        ck_kv(kv_segment_writer_append(writer, &big));
        ck_kv(kv_segment_writer_append(writer, &small));
    }
    ck_kv(kv_segment_writer_finish(writer, &SUMMARY, &info));
    kv_segment_writer_close(writer);
    ck_kv(kv_segment_open(&fixture.place, &info, &segment));
    for (uint8_t i = 0; i < ROWS; i++) {
        struct kv_slice key = kv_slice_of(&i, 1);
        struct kv_entry entry;
        memset(row, i, ROW_BYTES);
        ck_kv(kv_segment_get(segment, kv_hash(key, fixture.place.hash_seed), key, &entry));
        ck_assert(kv_slice_equal(entry.row, kv_slice_of(row, (size_t)(ROW_BYTES - i))));
    }
    kv_segment_unref(segment);
    kv_segment_info_release(&info);
    free(row);
    fixture_release(&fixture);
}
END_TEST

/* Goal: the same on a real file system, mapped and preallocated for real. */
START_TEST(test_segment_writer_on_the_real_system)
{
    char path[] = "/tmp/kv-test-XXXXXX";
    struct kv_place place = {.io = kv_io_posix(), .hash_seed = 5, .file_mode = 0640};
    struct kv_segment_info info;
    struct stat status;
    char name[100];

    ck_assert_ptr_nonnull(mkdtemp(path));
    place.path = path;
    ck_kv(kv_io_dir_open(place.io, path, &place.dir));
    ck_kv(write_segment(&place, 5000, &info));
    check_segment(&place, &info, 5000);
    snprintf(name, sizeof(name), "%s/segment_000000000009.db", path);
    ck_assert_int_eq(stat(name, &status), 0);
    ck_assert_int_eq(status.st_mode & 0777, 0640);
    ck_assert_uint_le((uint64_t)status.st_blocks * 512, (uint64_t)status.st_size + (64 << 10));
    ck_kv(kv_io_unlink(place.dir, "segment_000000000009.db"));
    ck_kv(kv_io_unlink(place.dir, "segment_000000000009.idx"));
    kv_io_dir_close(place.dir);
    ck_assert_int_eq(rmdir(path), 0);
    kv_segment_info_release(&info);
}
END_TEST

/* ---- What goes wrong */

START_TEST(test_segment_writer_refuses_wrong_order)
{
    struct fixture fixture;
    struct kv_segment_writer *writer;
    struct kv_entry b = {.key = kv_slice_text("b"), .seq = 1};
    struct kv_entry other = {.key = kv_slice_text(_i ? "a" : "b"), .seq = 1};

    fixture_init(&fixture);
    ck_kv(kv_segment_writer_open(&fixture.place, NUMBER, 0, &writer));
    ck_kv(kv_segment_writer_append(writer, &b));
    ck_kv_is(kv_segment_writer_append(writer, &other), KV_CORRUPT);
    kv_segment_writer_close(writer);
    ck_assert_uint_eq(kv_memfs_size(fixture.fs, fixture_data_path(NUMBER)), UINT64_MAX);
    fixture_release(&fixture);
}
END_TEST

/* Goal: a number that is taken is refused, and what has it stays. */
START_TEST(test_segment_writer_never_replaces_a_file)
{
    struct fixture fixture;
    struct kv_segment_writer *writer;

    fixture_init(&fixture);
    ck_assert(
        kv_memfs_write_file(fixture.fs, fixture_data_path(NUMBER), kv_slice_text("precious")));
    ck_kv_is(kv_segment_writer_open(&fixture.place, NUMBER, 0, &writer), KV_EXISTS);
    ck_assert_ptr_null(writer);
    ck_assert_uint_eq(kv_memfs_size(fixture.fs, fixture_data_path(NUMBER)), 8);
    fixture_release(&fixture);
}
END_TEST

/*
 * Goal: whatever call fails, it is reported and no file stays.
 * Method: fail each call in turn; enough rows for several writes and allocations.
 */
START_TEST(test_segment_writer_leaves_nothing_after_any_failure)
{
    struct fixture fixture;
    struct kv_segment_info info;
    uint64_t faults = 0;

    fixture_init(&fixture);
    for (uint64_t nth = 1;; nth++) {
        kv_memfs_fail(fixture.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_ONCE);
        enum kv_status st = write_segment(&fixture.place, 3000, &info);
        bool injected = kv_memfs_fault_count(fixture.fs) > faults;
        faults = kv_memfs_fault_count(fixture.fs);
        kv_memfs_heal(fixture.fs);
        if (!injected) {
            ck_kv(st);
            break;
        }
        ck_kv_is(st, KV_IOERR);
        char *names = kv_memfs_list(fixture.fs, FIXTURE_DIRECTORY);
        ck_assert_str_eq(names, "");
        free(names);
    }
    ck_assert_uint_ge(faults, 15);
    check_segment(&fixture.place, &info, 3000);
    kv_segment_info_release(&info);
    fixture_release(&fixture);
}
END_TEST

START_TEST(test_segment_writer_reports_a_full_disk)
{
    struct fixture fixture;
    struct kv_segment_info info;

    fixture_init(&fixture);
    for (uint64_t space = 0; space < 1800000; space += 100000) {
        kv_memfs_set_space(fixture.fs, space);
        ck_kv_is(write_segment(&fixture.place, 3000, &info), KV_FULL);
        char *names = kv_memfs_list(fixture.fs, FIXTURE_DIRECTORY);
        ck_assert_str_eq(names, "");
        free(names);
    }
    fixture_release(&fixture);
}
END_TEST

/*
 * Goal: after a crash the file is a whole segment or none: never a valid
 * header before lost records.
 * Method: freeze the world before each call, lose power, look at the header.
 */
START_TEST(test_segment_writer_header_implies_records)
{
    enum { COUNT = 300 };
    struct fixture fixture;
    struct kv_segment_info info, whole;
    unsigned with_header = 0, without = 0;
    bool done = false;

    fixture_init(&fixture);
    ck_kv(write_segment(&fixture.place, COUNT, &whole));
    fixture_release(&fixture);
    for (uint64_t nth = 3; !done; nth++) {
        fixture_init(&fixture);
        kv_memfs_settle(fixture.fs);
        kv_memfs_set_sync_names(fixture.fs, true);
        kv_memfs_fail(fixture.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
        done = write_segment(&fixture.place, COUNT, &info) == KV_OK;
        kv_memfs_crash(fixture.fs, KV_MEMFS_RANDOM, nth);
        kv_io_dir_close(fixture.place.dir);
        ck_kv(kv_io_dir_open(fixture.place.io, FIXTURE_DIRECTORY, &fixture.place.dir));

        size_t size = 0;
        struct kv_header header;
        uint8_t *file = kv_memfs_read_file(fixture.fs, fixture_data_path(NUMBER), &size);
        if (file && kv_header_decode(kv_slice_of(file, size), &header) == KV_OK) {
            struct kv_segment_info found = whole;
            struct kv_segment *segment;
            found.salt = header.salt;
            found.end_bytes = header.merge.end_bytes;
            found.digest = header.merge.digest;
            ck_kv(kv_segment_open(&fixture.place, &found, &segment));
            ck_kv(kv_segment_check(segment, &(struct kv_segment_watcher){.problem = no_problem}));
            kv_segment_unref(segment);
            with_header++;
        } else {
            ck_assert(!done);
            without++;
        }
        free(file);
        kv_segment_info_release(&info);
        fixture_release(&fixture);
    }
    ck_assert_uint_gt(with_header, 0);
    ck_assert_uint_gt(without, 0);
    kv_segment_info_release(&whole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segment_writer");
    TCase *written = tcase_create("written"), *wrong = tcase_create("wrong");

    tcase_set_timeout(wrong, 60);
    tcase_add_loop_test(written, test_segment_writer_round_trip, 0,
                        sizeof(COUNTS) / sizeof(COUNTS[0]));
    tcase_add_test(written, test_segment_writer_header_and_interval);
    tcase_add_test(written, test_segment_writer_large_rows);
    tcase_add_test(written, test_segment_writer_syncs_on_the_way);
    tcase_add_test(written, test_segment_writer_on_the_real_system);
    tcase_add_loop_test(wrong, test_segment_writer_refuses_wrong_order, 0, 2);
    tcase_add_test(wrong, test_segment_writer_never_replaces_a_file);
    tcase_add_test(wrong, test_segment_writer_leaves_nothing_after_any_failure);
    tcase_add_test(wrong, test_segment_writer_reports_a_full_disk);
    tcase_add_test(wrong, test_segment_writer_header_implies_records);
    suite_add_tcase(suite, written);
    suite_add_tcase(suite, wrong);
    return kv_run_suite(suite);
}
