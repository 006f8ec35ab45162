/*
 * Scanning a log part of the way, and going on later: what processes do that
 * follow a writer in another one.
 */
#include <stdio.h>

#include "hash.h"
#include "log_builder.h"
#include "numbered.h"
#include "runner.h"

enum { TRANSACTIONS = 12, ROW = 20 };

static struct fixture fixture;
static struct kv_log *writer;             /* who writes it */
static uint64_t ends[TRANSACTIONS + 1];   /* LSN after each transaction */
static uint64_t counts[TRANSACTIONS + 1]; /* numbered writes by then */
static struct kv_log_tail tails[TRANSACTIONS + 1];

static void write_one(int i)
{
    struct kv_write_set *set = live_log_begin(writer);

    counts[i] = counts[i - 1] + (uint64_t)i;
    numbered_add(set, counts[i - 1], counts[i], ROW);
    live_log_commit(set, (uint64_t)i);
    tails[i] = writer->tail;
    ends[i] = kv_log_lsn(writer, writer->tail.end_bytes);
}

static void setup(void)
{
    fixture_init(&fixture);
    writer = live_log_new(&fixture, 3, 100);
    tails[0] = writer->tail;
    ends[0] = kv_log_lsn(writer, KV_HEADER_BYTES);
    for (int i = 1; i <= TRANSACTIONS; i++)
        write_one(i);
}

static void teardown(void)
{
    kv_log_unref(writer);
    fixture_release(&fixture);
}

static struct kv_log *open_again(void)
{
    struct kv_log *log;

    ck_kv_fast(kv_log_open(&fixture.place, 3, writer->header.salt, &log));
    return log;
}

/* The log has been indexed up to transaction `i`, and no further. */
static void check_at(struct kv_log *log, int i)
{
    ck_assert_uint_eq(log->tail.end_bytes, tails[i].end_bytes);
    ck_assert_uint_eq(log->tail.digest, tails[i].digest);
    ck_assert_uint_eq(log->tail.seq, tails[i].seq);
    ck_assert_uint_eq(log->tail.record_count, tails[i].record_count);
    ck_assert_uint_eq(log->tail.max_time_ms, tails[i].max_time_ms);
    ck_assert_uint_eq(atomic_load(&log->readable_bytes), tails[i].end_bytes);
    ck_assert_uint_eq(kv_memtable_count(&log->memtable), tails[i].record_count);
    for (uint64_t k = 0; k < NUMBERED_KEYS; k++) {
        struct kv_slice key = numbered_key(k);
        int64_t last = numbered_last(k, counts[i]);
        struct kv_entry entry;
        enum kv_status st = kv_log_get(log, kv_hash(key, fixture.place.hash_seed), key,
                                       log->tail.end_bytes, &entry);

        ck_assert_int_eq(st, last < 0 ? KV_DONE : KV_OK);
        if (last >= 0)
            numbered_check(&entry, (uint64_t)last, ROW);
    }
}

static void damage(uint64_t offset_bytes)
{
    ck_assert(kv_memfs_flip_bit(fixture.fs, fixture_data_path(3), offset_bytes, 3));
}

static void expect_place(int i)
{
    char place[64];

    snprintf(place, sizeof(place), "offset %u", tails[i].end_bytes);
    ck_assert_msg(strstr(kv_message(), fixture_data_path(3)) && strstr(kv_message(), place), "%s",
                  kv_message());
}

/* ---- Scanning up to a limit */

START_TEST(test_log_catch_up_scan_up_to_every_limit)
{
    for (int i = 1; i <= TRANSACTIONS; i++) {
        for (uint64_t into = 0; into <= 90; into += 30) { /* at its end, or before the next ends */
            struct kv_log *log = open_again();
            struct kv_log_scan scan;

            ck_kv(kv_log_scan(log, ends[0], ends[i] + into, &scan));
            check_at(log, i);
            ck_assert(!scan.clean);
            kv_log_unref(log);
        }
    }
}
END_TEST

/* What lies behind the limit is known not to count: no damage there is any. */
START_TEST(test_log_catch_up_limit_hides_what_follows)
{
    struct kv_log *log = open_again();
    struct kv_log_scan scan;

    damage(tails[5].end_bytes + 10);
    ck_kv(kv_log_scan(log, ends[5], ends[5], &scan));
    check_at(log, 5);
    ck_assert_uint_eq(scan.durable_lsn, ends[5]);
    kv_log_unref(log);
}
END_TEST

/* What is known to be durable must be there, limit or not. */
START_TEST(test_log_catch_up_limit_does_not_hide_damage)
{
    struct kv_log *log = open_again();
    struct kv_log_scan scan;

    damage(tails[4].end_bytes + 10);
    ck_kv_is(kv_log_scan(log, ends[5], ends[8], &scan), KV_CORRUPT);
    expect_place(4);
    kv_log_unref(log);
}
END_TEST

/* ---- Following a writer */

START_TEST(test_log_catch_up_step_by_step)
{
    for (int step = 1; step <= TRANSACTIONS; step += 3) {
        struct kv_log *log = open_again();

        check_at(log, 0);
        for (int i = step; i <= TRANSACTIONS; i += step) {
            ck_kv(kv_log_catch_up(log, ends[i]));
            check_at(log, i);
            ck_kv(kv_log_catch_up(log, ends[i]));     /* has been done */
            ck_kv(kv_log_catch_up(log, ends[i / 2])); /* long ago */
            check_at(log, i);
        }
        kv_log_unref(log);
    }
}
END_TEST

/* The writer itself has nothing to catch up with. */
START_TEST(test_log_catch_up_of_the_writer)
{
    ck_kv(kv_log_catch_up(writer, ends[TRANSACTIONS]));
    check_at(writer, TRANSACTIONS);
}
END_TEST

/* The file has grown since it was opened. */
START_TEST(test_log_catch_up_with_a_file_that_grows)
{
    struct kv_log *log = open_again();
    struct kv_write_set *set;
    static uint8_t row[3 << 20];

    ck_kv(kv_log_catch_up(log, ends[TRANSACTIONS]));
    set = live_log_begin(writer);
    live_log_put(set, kv_slice_text("large"), kv_slice_of(row, sizeof(row)));
    live_log_commit(set, 50);
    ck_kv(kv_log_catch_up(log, kv_log_lsn(writer, writer->tail.end_bytes)));
    ck_assert_mem_eq(&log->tail.digest, &writer->tail.digest, sizeof(log->tail.digest));
    kv_log_unref(log);
}
END_TEST

/*
 * Goal: a page that anybody could have written to leads to KV_CORRUPT at worst.
 * Method: LSNs before, inside of and behind transactions, and far off.
 */
START_TEST(test_log_catch_up_to_hostile_lsns)
{
    uint64_t base = ends[0];
    uint64_t lsns[] = {ends[7] + 1,
                       ends[8] - 1,
                       ends[TRANSACTIONS] + 1,
                       base + KV_SEGMENT_MAX_BYTES,
                       base - 1,
                       base - KV_HEADER_BYTES - 1,
                       0,
                       UINT64_MAX,
                       UINT64_MAX / 2};

    for (size_t i = 0; i < sizeof(lsns) / sizeof(lsns[0]); i++) {
        struct kv_log *log = open_again();
        enum kv_status st;

        ck_kv(kv_log_catch_up(log, ends[7]));
        st = kv_log_catch_up(log, lsns[i]);
        if (lsns[i] > ends[7])
            ck_assert_int_eq(st, KV_CORRUPT);
        check_at(log, lsns[i] == ends[TRANSACTIONS] + 1 ? TRANSACTIONS : 7);
        ck_kv(kv_log_catch_up(log, ends[TRANSACTIONS])); /* nothing is spoiled */
        check_at(log, TRANSACTIONS);
        kv_log_unref(log);
    }
}
END_TEST

/* Goal: damage in what a writer has published is reported; what came before stays readable. */
START_TEST(test_log_catch_up_over_damage)
{
    for (uint64_t at = tails[4].end_bytes; at < tails[5].end_bytes; at += 7) {
        struct kv_log *log = open_again();

        damage(at);
        ck_kv(kv_log_catch_up(log, ends[2]));
        ck_kv_is(kv_log_catch_up(log, ends[8]), KV_CORRUPT);
        expect_place(4);
        check_at(log, 4);
        damage(at);
        ck_kv(kv_log_catch_up(log, ends[8]));
        check_at(log, 8);
        kv_log_unref(log);
    }
}
END_TEST

START_TEST(test_log_catch_up_cannot_ask_for_the_size)
{
    struct kv_log *log = open_again();

    kv_memfs_fail(fixture.fs, KV_MEMFS_FILE_SIZE, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_log_catch_up(log, ends[3]), KV_IOERR);
    check_at(log, 0);
    ck_kv(kv_log_catch_up(log, ends[3]));
    check_at(log, 3);
    kv_log_unref(log);
}
END_TEST

/* ---- Without a page */

START_TEST(test_log_catch_up_extends_as_far_as_it_goes)
{
    struct kv_log *log = open_again();
    struct kv_write_set *set;
    uint64_t lsn;

    ck_kv(kv_log_extend(log, &lsn));
    ck_assert_uint_eq(lsn, ends[TRANSACTIONS]);
    check_at(log, TRANSACTIONS);
    set = live_log_begin(writer); /* records without a COMMIT do not count */
    numbered_add(set, 0, 30, NUMBERED_LARGE_ROW);
    ck_assert_uint_gt(set->flushed_bytes, set->begin_bytes);
    ck_kv(kv_log_extend(log, &lsn));
    ck_assert_uint_eq(lsn, ends[TRANSACTIONS]);
    check_at(log, TRANSACTIONS);
    live_log_commit(set, 60);
    ck_kv(kv_log_extend(log, &lsn));
    ck_assert_uint_eq(lsn, kv_log_lsn(writer, writer->tail.end_bytes));
    ck_assert_uint_eq(log->tail.digest, writer->tail.digest);
    kv_log_unref(log);
}
END_TEST

/* A torn tail is the end; the same transaction whole, later, is found. */
START_TEST(test_log_catch_up_extends_up_to_a_torn_tail)
{
    struct kv_log *log = open_again();
    uint64_t lsn;

    damage(tails[6].end_bytes + 5);
    for (int i = 0; i < 2; i++) {
        ck_kv(kv_log_extend(log, &lsn));
        ck_assert_uint_eq(lsn, ends[6]);
        check_at(log, 6);
    }
    damage(tails[6].end_bytes + 5);
    ck_kv(kv_log_extend(log, &lsn));
    check_at(log, TRANSACTIONS);
    kv_log_unref(log);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_catch_up");
    TCase *tests = tcase_create("log_catch_up");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_log_catch_up_scan_up_to_every_limit);
    tcase_add_test(tests, test_log_catch_up_limit_hides_what_follows);
    tcase_add_test(tests, test_log_catch_up_limit_does_not_hide_damage);
    tcase_add_test(tests, test_log_catch_up_step_by_step);
    tcase_add_test(tests, test_log_catch_up_of_the_writer);
    tcase_add_test(tests, test_log_catch_up_with_a_file_that_grows);
    tcase_add_test(tests, test_log_catch_up_to_hostile_lsns);
    tcase_add_test(tests, test_log_catch_up_over_damage);
    tcase_add_test(tests, test_log_catch_up_cannot_ask_for_the_size);
    tcase_add_test(tests, test_log_catch_up_extends_as_far_as_it_goes);
    tcase_add_test(tests, test_log_catch_up_extends_up_to_a_torn_tail);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
