/*
 * A transaction's own writes: spilling to the log, taking back, looking up,
 * views, moving to another log, committing and taking that back.
 */
#include "hash.h"
#include "log_builder.h"
#include "numbered.h"
#include "runner.h"

enum { FLUSH_BYTES = 256 * 1024, LARGE_ROW = NUMBERED_LARGE_ROW };

static struct fixture fixture;
static struct kv_log *log_; /* with one transaction in it */

static void setup(void)
{
    struct kv_write_set *set;

    fixture_init(&fixture);
    log_ = live_log_new(&fixture, 3, 100);
    set = live_log_begin(log_);
    live_log_put(set, kv_slice_text("committed before"), kv_slice_text("row"));
    live_log_commit(set, 1000);
}

static void teardown(void)
{
    kv_log_unref(log_);
    fixture_release(&fixture);
}

static uint64_t hash_of(struct kv_slice key)
{
    return kv_hash(key, fixture.place.hash_seed);
}

/* Lookups give what writes 0 … count-1 left. */
static void check_gets(struct kv_write_set *set, uint64_t count, size_t row_size)
{
    struct kv_slice absent = kv_slice_text("never written");
    struct kv_entry entry;

    ck_assert_uint_eq(kv_write_set_count(set), count);
    for (uint64_t k = 0; k < NUMBERED_KEYS; k++) {
        int64_t i = numbered_last(k, count);
        enum kv_status st =
            kv_write_set_get(set, hash_of(numbered_key(k)), numbered_key(k), &entry);

        ck_assert_int_eq(st, i < 0 ? KV_DONE : KV_OK);
        if (i < 0)
            continue;
        numbered_check(&entry, (uint64_t)i, row_size);
        ck_assert(entry.own && entry.seq == 0);
    }
    ck_kv_is(kv_write_set_get(set, hash_of(absent), absent, &entry), KV_DONE);
}

/* The newest records at the log's tail are those that writes 0 … count-1 left. */
static void check_log(struct kv_log *log, uint64_t count, size_t row_size)
{
    struct kv_entry entry;

    for (uint64_t k = 0; k < NUMBERED_KEYS; k++) {
        int64_t i = numbered_last(k, count);
        enum kv_status st =
            kv_log_get(log, hash_of(numbered_key(k)), numbered_key(k), log->tail.end_bytes, &entry);

        ck_assert_int_eq(st, i < 0 ? KV_DONE : KV_OK);
        if (i < 0)
            continue;
        numbered_check(&entry, (uint64_t)i, row_size);
        ck_assert_uint_eq(entry.seq, log->tail.seq);
    }
}

/* Commit and publish; then the log, and what a scan finds in the file, hold writes 0 … count-1. */
static void check_commit(struct kv_write_set *set, uint64_t count, size_t row_size)
{
    struct kv_log *log = kv_log_ref(set->log), *again;
    uint32_t before = log->tail.record_count;
    uint64_t seq = log->tail.seq;
    struct kv_log_scan scan;

    live_log_commit(set, 2000);
    ck_assert_uint_eq(log->tail.seq, seq + 1);
    ck_assert_uint_eq(log->tail.record_count, before + count);
    check_log(log, count, row_size);
    again = live_log_reopen(log, &scan);
    ck_assert_mem_eq(&again->tail, &log->tail, sizeof(again->tail));
    check_log(again, count, row_size);
    kv_log_unref(again);
    kv_log_unref(log);
}

/* ---- Writing */

START_TEST(test_write_set_empty)
{
    struct kv_write_set *set = live_log_begin(log_);

    check_gets(set, 0, 0);
    kv_write_set_truncate(set, 0);
    kv_write_set_truncate(set, 5);
    kv_write_set_unref(set);
    kv_write_set_unref(NULL);
}
END_TEST

START_TEST(test_write_set_small)
{
    struct kv_write_set *set = live_log_begin(log_);
    uint32_t begin = log_->tail.end_bytes;

    numbered_add(set, 0, 40, 10);
    ck_assert_uint_eq(set->begin_bytes, begin);
    ck_assert_uint_eq(set->flushed_bytes, begin); /* all of it in memory */
    ck_assert_uint_eq(set->buffer.size, set->end_bytes - begin);
    check_gets(set, 40, 10);
    ck_assert_uint_eq(log_->tail.end_bytes, begin);
    check_commit(set, 40, 10);
    ck_assert_uint_eq(log_->tail.min_time_ms, 1000);
    ck_assert_uint_eq(log_->tail.max_time_ms, 2000);
}
END_TEST

/* Past 256 KiB it goes to the log, and memory stays small. */
START_TEST(test_write_set_spills)
{
    struct kv_write_set *set = live_log_begin(log_);

    for (uint64_t i = 0; i < 300; i++) {
        numbered_add(set, i, i + 1, LARGE_ROW);
        ck_assert_uint_lt(set->buffer.size, FLUSH_BYTES);
        ck_assert_uint_eq(set->flushed_bytes + set->buffer.size, set->end_bytes);
    }
    ck_assert_uint_gt(set->flushed_bytes, set->begin_bytes + 20 * FLUSH_BYTES);
    ck_assert_uint_lt(set->buffer.capacity, 4 * FLUSH_BYTES);
    check_gets(set, 300, LARGE_ROW);
    check_commit(set, 300, LARGE_ROW);
}
END_TEST

/* One row larger than the buffer does not make the buffer stay large. */
START_TEST(test_write_set_large_row)
{
    static const uint8_t row[20 << 20] = {7};
    struct kv_write_set *set = live_log_begin(log_);
    struct kv_slice key = kv_slice_text("large");
    struct kv_entry entry;

    live_log_put(set, key, kv_slice_of(row, sizeof(row)));
    ck_assert_uint_le(set->buffer.capacity, 4 * FLUSH_BYTES);
    ck_kv(kv_write_set_get(set, hash_of(key), key, &entry));
    ck_assert(kv_slice_equal(entry.row, kv_slice_of(row, sizeof(row))));
    live_log_commit(set, 1);
    ck_kv(kv_log_get(log_, hash_of(key), key, log_->tail.end_bytes, &entry));
    ck_assert(kv_slice_equal(entry.row, kv_slice_of(row, sizeof(row))));
}
END_TEST

START_TEST(test_write_set_record_size)
{
    struct kv_write_set *set = live_log_begin(log_);

    for (uint64_t i = 0; i < 100; i++) {
        struct kv_slice row = numbered_row(i, i * 100);
        enum kv_kind kind = row.size ? KV_PUT : KV_DELETE;
        size_t size = kv_write_set_record_size(set, kind, numbered_key(i), row);
        uint32_t before = set->end_bytes;

        ck_kv(kv_write_set_add(set, kind, 0, numbered_key(i), row));
        ck_assert_uint_eq(set->end_bytes - before, size);
    }
    kv_write_set_unref(set);
}
END_TEST

/* Transactions after each other: the chain goes on. */
START_TEST(test_write_set_chain)
{
    for (uint64_t i = 1; i <= 20; i++) {
        struct kv_write_set *set = live_log_begin(log_);

        numbered_add(set, 0, i, 10);
        check_commit(set, i, 10);
    }
    ck_assert_uint_eq(log_->tail.seq, 121);
}
END_TEST

/* Writes to one key many times, and keys of one hash. */
START_TEST(test_write_set_equal_hashes)
{
    struct kv_write_set *set = live_log_begin(log_);
    struct kv_entry entry;

    for (uint64_t i = 0; i < 50; i++)
        ck_kv(kv_write_set_add(set, KV_PUT, 42, numbered_key(i), numbered_row(i, 3)));
    for (uint64_t k = 0; k < NUMBERED_KEYS; k++) {
        ck_kv(kv_write_set_get(set, 42, numbered_key(k), &entry));
        ck_assert(kv_slice_equal(entry.row, numbered_row((uint64_t)numbered_last(k, 50), 3)));
    }
    ck_kv_is(kv_write_set_get(set, 42, kv_slice_text("other"), &entry), KV_DONE);
    kv_write_set_unref(set);
}
END_TEST

/* ---- Taking back */

/*
 * Goal: taking back to any count leaves just what was there then, on either
 * side of what has been flushed, and the rest can be written again.
 */
START_TEST(test_write_set_truncate_to_every_count)
{
    enum { COUNT = 24 };
    size_t row_size = _i ? LARGE_ROW : 10;
    bool before_flushed = false, behind_flushed = false;

    for (uint32_t count = 0; count <= COUNT; count++) {
        struct kv_log *log = live_log_new(&fixture, 10 + count, 5);
        struct kv_write_set *set = live_log_begin(log);
        uint32_t ends[COUNT + 1];

        for (uint32_t i = 0; i < COUNT; i++) {
            ends[i] = set->end_bytes;
            numbered_add(set, i, i + 1, row_size);
        }
        ends[COUNT] = set->end_bytes;
        before_flushed |= ends[count] < set->flushed_bytes;
        behind_flushed |= ends[count] > set->flushed_bytes;
        if (count % 2)
            check_gets(set, COUNT, row_size); /* and so have linked them */
        kv_write_set_truncate(set, count);
        ck_assert_uint_eq(set->end_bytes, ends[count]);
        ck_assert_uint_eq(set->flushed_bytes + set->buffer.size, set->end_bytes);
        check_gets(set, count, row_size);
        if (count % 3)
            numbered_add(set, count, COUNT, row_size);
        check_gets(set, count % 3 ? COUNT : count, row_size);
        check_commit(set, count % 3 ? COUNT : count, row_size);
        kv_log_unref(log);
    }
    ck_assert(behind_flushed);
    ck_assert(before_flushed == (_i == 1));
}
END_TEST

/*
 * Goal: a transaction that goes back to a savepoint many thousand times,
 * looking things up each time, neither hangs nor grows.
 */
START_TEST(test_write_set_truncates_and_looks_up_forever)
{
    struct kv_write_set *set = live_log_begin(log_);
    struct kv_entry entry;

    numbered_add(set, 0, 30, 10);
    for (uint64_t turn = 0; turn < 30000; turn++) {
        uint8_t bytes[8];
        struct kv_slice key = kv_slice_of(bytes, sizeof(bytes));

        kv_store_u64(bytes, turn);
        ck_kv_fast(kv_write_set_add(set, KV_PUT, hash_of(key), key, key));
        ck_kv_fast(kv_write_set_get(set, hash_of(key), key, &entry));
        kv_write_set_truncate(set, 30);
        if (kv_write_set_get(set, hash_of(key), key, &entry) != KV_DONE)
            ck_abort_msg("turn %d", (int)turn);
    }
    ck_assert_uint_eq(set->memtable.capacity, 64);
    check_gets(set, 30, 10);
    check_commit(set, 30, 10);
}
END_TEST

/* What was taken back behind the last flush, and written over, is not what is read. */
START_TEST(test_write_set_truncates_flushed_records_again_and_again)
{
    struct kv_write_set *set = live_log_begin(log_);
    uint64_t random = 1, count = 0;

    for (int turn = 0; turn < 200; turn++) {
        if (fixture_random(&random) % 3 && count < 60) {
            numbered_add(set, count, count + 5, LARGE_ROW);
            count += 5;
        } else {
            count = fixture_random(&random) % (count + 1);
            kv_write_set_truncate(set, (uint32_t)count);
        }
        if (turn % 10 == 0)
            check_gets(set, count, LARGE_ROW);
    }
    check_commit(set, count, LARGE_ROW);
}
END_TEST

/* ---- A full disk */

/* Goal: a write that fails is not part of the transaction, which stays usable. */
START_TEST(test_write_set_full_disk)
{
    struct kv_write_set *set = live_log_begin(log_);
    uint64_t count = 0;

    kv_memfs_set_space(fixture.fs, kv_memfs_size(fixture.fs, fixture_data_path(3)) + FLUSH_BYTES);
    while (numbered_try(set, count, LARGE_ROW) == KV_OK)
        count++;
    ck_assert_uint_gt(count, 8);
    ck_kv_is(numbered_try(set, count, LARGE_ROW), KV_FULL);
    check_gets(set, count, LARGE_ROW);
    kv_memfs_set_space(fixture.fs, UINT64_MAX);
    numbered_add(set, count, count + 20, LARGE_ROW);
    check_gets(set, count + 20, LARGE_ROW);
    check_commit(set, count + 20, LARGE_ROW);
}
END_TEST

START_TEST(test_write_set_commit_fails)
{
    struct kv_write_set *set = live_log_begin(log_);
    struct kv_log_tail before = log_->tail;
    struct kv_commit commit = {.time_ms = 5};
    struct kv_log *again;
    struct kv_log_scan scan;

    numbered_add(set, 0, 12, LARGE_ROW);
    kv_memfs_fail(fixture.fs, KV_MEMFS_WRITE, 1, KV_IOERR, _i ? KV_MEMFS_PARTIAL : KV_MEMFS_ONCE);
    ck_kv_is(kv_write_set_commit(set, &commit), KV_IOERR);
    again = live_log_reopen(log_, &scan); /* it does not count */
    ck_assert_mem_eq(&again->tail, &before, sizeof(before));
    kv_log_unref(again);
    check_gets(set, 12, LARGE_ROW);
    kv_write_set_truncate(set, 11); /* it may still be cut, and committed */
    check_commit(set, 11, LARGE_ROW);
}
END_TEST

/* ---- Committing and taking it back */

START_TEST(test_write_set_commit_fills_in)
{
    struct kv_write_set *set = live_log_begin(log_);
    struct kv_commit commit = {.time_ms = 77, .durable_lsn = 3 << 20, .nonce = 9}, read;
    uint32_t end;

    numbered_add(set, 0, 5, 10);
    end = set->end_bytes;
    ck_kv(kv_write_set_commit(set, &commit));
    ck_assert_uint_eq(commit.seq, 102);
    ck_assert_uint_eq(commit.record_count, 5);
    ck_assert_uint_eq(commit.begin_lsn, kv_log_lsn(log_, log_->tail.end_bytes));
    ck_kv(kv_commit_decode(kv_slice_of(log_->data + end, KV_COMMIT_BYTES), log_->header.salt, end,
                           &read));
    ck_assert_uint_eq(read.digest, commit.digest);
    ck_assert_uint_eq(read.time_ms, 77);
    ck_assert_uint_eq(read.nonce, 9);
    kv_write_set_publish(set, &commit);
    ck_assert_uint_eq(log_->tail.end_bytes, end + KV_COMMIT_BYTES);
    ck_assert_uint_eq(log_->tail.digest, commit.digest);
    kv_write_set_unref(set);
}
END_TEST

/* Goal: a COMMIT taken back does not count, and the transaction can go on and commit again. */
START_TEST(test_write_set_uncommit)
{
    size_t row_size = _i ? LARGE_ROW : 10;
    struct kv_write_set *set = live_log_begin(log_);
    struct kv_log_tail before = log_->tail;
    struct kv_commit commit = {.time_ms = 5, .nonce = 1};
    struct kv_log *again;
    struct kv_log_scan scan;

    numbered_add(set, 0, 12, row_size);
    ck_kv(kv_write_set_commit(set, &commit));
    again = live_log_reopen(log_, &scan);
    ck_assert_uint_eq(again->tail.seq, before.seq + 1);
    kv_log_unref(again);

    ck_kv(kv_write_set_uncommit(set));
    again = live_log_reopen(log_, &scan);
    ck_assert_mem_eq(&again->tail, &before, sizeof(before));
    kv_log_unref(again);
    check_gets(set, 12, row_size);
    numbered_add(set, 12, 20, row_size);
    check_gets(set, 20, row_size);
    check_commit(set, 20, row_size);
}
END_TEST

START_TEST(test_write_set_uncommit_fails)
{
    struct kv_write_set *set = live_log_begin(log_);
    struct kv_commit commit = {.time_ms = 5};

    numbered_add(set, 0, 5, 10);
    ck_kv(kv_write_set_commit(set, &commit));
    kv_memfs_fail(fixture.fs, KV_MEMFS_WRITE, 1, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_write_set_uncommit(set), KV_IOERR);
    check_gets(set, 5, 10);
    ck_kv(kv_write_set_uncommit(set));
    kv_write_set_truncate(set, 0);
    check_gets(set, 0, 10);
    kv_write_set_unref(set);
}
END_TEST

/* ---- Moving */

/* A log with a transaction in it, so that its tail is not at its start, and another base seq. */
static struct kv_log *other_log(uint64_t number)
{
    struct kv_log *log = live_log_new(&fixture, number, log_->tail.seq - 1);
    struct kv_write_set *set = live_log_begin(log);

    live_log_put(set, kv_slice_text("in the other log"), kv_slice_text("row"));
    live_log_commit(set, 1);
    return log;
}

START_TEST(test_write_set_move)
{
    static const uint64_t counts[] = {0, 1, 9, 30};
    size_t row_size = _i ? LARGE_ROW : 10;

    for (int c = 0; c < 4; c++) {
        struct kv_write_set *set = live_log_begin(log_);
        struct kv_log *log = other_log(20 + (uint64_t)c);

        numbered_add(set, 0, counts[c] + 3, row_size);
        kv_write_set_truncate(set, (uint32_t)counts[c]);
        ck_kv(kv_write_set_move(set, log));
        ck_assert_ptr_eq(set->log, log);
        ck_assert_uint_eq(set->begin_bytes, log->tail.end_bytes);
        check_gets(set, counts[c], row_size);
        numbered_add(set, counts[c], counts[c] + 5, row_size);
        kv_write_set_truncate(set, (uint32_t)counts[c] + 2);
        check_gets(set, counts[c] + 2, row_size);
        check_commit(set, counts[c] + 2, row_size);
        kv_log_unref(log);
    }
    ck_assert_uint_eq(log_->tail.seq, 101); /* nothing was committed here */
}
END_TEST

/* Goal: a move that fails leaves the transaction where it was. Method: fail each of its calls. */
START_TEST(test_write_set_move_fails_at_every_call)
{
    struct kv_write_set *set = live_log_begin(log_);
    struct kv_log *log = other_log(20);
    enum kv_status st = KV_FULL;
    uint64_t nth;

    numbered_add(set, 0, 30, LARGE_ROW);
    for (nth = 1; st != KV_OK; nth++) {
        kv_memfs_fail(fixture.fs, KV_MEMFS_ANY, nth, KV_FULL, KV_MEMFS_STICKY);
        st = kv_write_set_move(set, log);
        kv_memfs_heal(fixture.fs);
        ck_assert_ptr_eq(set->log, st == KV_OK ? log : log_);
        check_gets(set, 30, LARGE_ROW);
    }
    ck_assert_uint_gt(nth, 4);
    check_commit(set, 30, LARGE_ROW);
    kv_log_unref(log);
}
END_TEST

/* A record that changed underneath, in the file, is never moved or read. */
START_TEST(test_write_set_notices_damage)
{
    struct kv_write_set *set = live_log_begin(log_);
    struct kv_log *log = other_log(20);
    struct kv_entry entry;

    numbered_add(set, 0, 20, LARGE_ROW);
    ck_assert(kv_memfs_flip_bit(fixture.fs, fixture_data_path(3),
                                set->memtable.items[7].offset_bytes + 100, 0));
    kv_write_set_truncate(set, 8);
    ck_kv_is(kv_write_set_get(set, hash_of(numbered_key(7)), numbered_key(7), &entry), KV_CORRUPT);
    ck_kv_is(kv_write_set_move(set, log), KV_CORRUPT);
    ck_assert_ptr_eq(set->log, log_);
    kv_write_set_truncate(set, 7);
    check_gets(set, 7, LARGE_ROW);
    kv_log_unref(log);
    kv_write_set_unref(set);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("write_set");
    TCase *writing = tcase_create("writing");
    TCase *committing = tcase_create("committing");

    tcase_add_checked_fixture(writing, setup, teardown);
    tcase_add_test(writing, test_write_set_empty);
    tcase_add_test(writing, test_write_set_small);
    tcase_add_test(writing, test_write_set_spills);
    tcase_add_test(writing, test_write_set_large_row);
    tcase_add_test(writing, test_write_set_record_size);
    tcase_add_test(writing, test_write_set_equal_hashes);
    tcase_add_loop_test(writing, test_write_set_truncate_to_every_count, 0, 2);
    tcase_add_test(writing, test_write_set_truncates_and_looks_up_forever);
    tcase_add_test(writing, test_write_set_truncates_flushed_records_again_and_again);
    tcase_add_test(writing, test_write_set_full_disk);
    suite_add_tcase(suite, writing);

    tcase_add_checked_fixture(committing, setup, teardown);
    tcase_add_test(committing, test_write_set_chain);
    tcase_add_loop_test(committing, test_write_set_commit_fails, 0, 2);
    tcase_add_test(committing, test_write_set_commit_fills_in);
    tcase_add_loop_test(committing, test_write_set_uncommit, 0, 2);
    tcase_add_test(committing, test_write_set_uncommit_fails);
    tcase_add_loop_test(committing, test_write_set_move, 0, 2);
    tcase_add_test(committing, test_write_set_move_fails_at_every_call);
    tcase_add_test(committing, test_write_set_notices_damage);
    suite_add_tcase(suite, committing);

    return kv_run_suite(suite);
}
