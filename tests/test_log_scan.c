/*
 * What counts in a log after a crash (P1), and when the end of what counts is
 * damage and not a torn tail (P2). Hostile logs: test_log_hostile.c.
 */
#include "hash.h"
#include "log_builder.h"
#include "runner.h"

static struct fixture fixture;
static struct log_builder log_;

static void setup(void)
{
    fixture_init(&fixture);
    log_ = (struct log_builder){0};
}

static void teardown(void)
{
    kv_buffer_release(&log_.bytes);
    fixture_release(&fixture);
}

/* ---- Whole logs */

START_TEST(test_log_scan_of_an_empty_log)
{
    struct scanned result;

    log_builder_begin(&log_);
    result = scan_log(&fixture, &log_);
    scanned_check_tail(&result, &log_.tail);
    scanned_check_durable(&result, &log_.tail);
    ck_assert(!result.scan.clean);
    scanned_release(&result);
}
END_TEST

/* What was scanned can be read, the newest version of each key. */
START_TEST(test_log_scan_indexes_what_counts)
{
    struct scanned result;
    struct kv_slice key;
    struct kv_entry entry;
    uint64_t seed = fixture.place.hash_seed;

    log_builder_small(&log_, CLAIM_ALL, NULL);
    result = scan_log(&fixture, &log_);
    scanned_check_tail(&result, &log_.tail);
    key = kv_slice_text("same");
    ck_kv(kv_log_get(result.log, kv_hash(key, seed), key, log_.tail.end_bytes, &entry));
    ck_assert_uint_eq(entry.row.size, 3);
    ck_assert_uint_eq(entry.seq, BUILT_BASE_SEQ + 4);
    key = kv_slice_text("gone");
    ck_kv(kv_log_get(result.log, kv_hash(key, seed), key, log_.tail.end_bytes, &entry));
    ck_assert(entry.deleted);
    key = kv_slice_text("none");
    ck_kv_is(kv_log_get(result.log, kv_hash(key, seed), key, log_.tail.end_bytes, &entry), KV_DONE);
    scanned_release(&result);
}
END_TEST

START_TEST(test_log_scan_of_many_transactions)
{
    struct scanned result;

    log_builder_begin(&log_);
    log_.header.log.record_limit = 5000;
    log_builder_write_header(&log_);
    for (int i = 0; i < 5000; i++) {
        log_builder_add(&log_, KV_PUT, "k", 1);
        log_builder_commit(&log_);
    }
    result = scan_log(&fixture, &log_);
    scanned_check_tail(&result, &log_.tail);
    ck_assert_uint_eq(result.scan.durable_lsn, BUILT_BASE_LSN);
    scanned_release(&result);
}
END_TEST

/* A COMMIT without records is a transaction as well. */
START_TEST(test_log_scan_of_an_empty_transaction)
{
    struct scanned result;

    log_builder_begin(&log_);
    log_builder_commit(&log_);
    log_builder_add(&log_, KV_PUT, "k", 1);
    log_builder_commit(&log_);
    result = scan_log(&fixture, &log_);
    scanned_check_tail(&result, &log_.tail);
    ck_assert_uint_eq(result.log->tail.seq, BUILT_BASE_SEQ + 2);
    scanned_release(&result);
}
END_TEST

/* ---- What is durable */

/*
 * Goal: exactly the transactions that a COMMIT which counts says were durable
 * are taken as durable.
 * Method: random claims, each at most the start of its transaction.
 */
START_TEST(test_log_scan_believes_the_last_claim)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct kv_log_tail ends[21], *durable = &ends[0];
        uint64_t random = seed, claim = BUILT_BASE_LSN;
        struct scanned result;

        log_builder_begin(&log_);
        for (int i = 0; i < 20; i++) {
            ends[i] = log_.tail;
            if (fixture_random(&random) % 4 == 0) {
                claim =
                    log_builder_lsn(ends[fixture_random(&random) % ((uint64_t)i + 1)].end_bytes);
                claim += fixture_random(&random) % 3; /* inside of a transaction: not all of it */
                claim = claim < log_builder_lsn(log_.tail.end_bytes)
                            ? claim
                            : log_builder_lsn(log_.tail.end_bytes);
            }
            log_.durable_lsn = claim > log_.durable_lsn ? claim : log_.durable_lsn;
            log_builder_add(&log_, KV_PUT, "k", (size_t)i);
            log_builder_commit(&log_);
        }
        for (int i = 0; i < 20; i++) {
            if (log_builder_lsn(ends[i].end_bytes) <= log_.durable_lsn)
                durable = &ends[i];
        }
        result = scan_log(&fixture, &log_);
        scanned_check_tail(&result, &log_.tail);
        scanned_check_durable(&result, durable);
        scanned_release(&result);
        kv_buffer_release(&log_.bytes);
    }
}
END_TEST

/* After failover the manifest knows that what was copied is durable; COMMITs do not. */
START_TEST(test_log_scan_believes_the_manifest)
{
    struct kv_log_tail ends[BUILT_SMALL_COUNT + 1];

    log_builder_small(&log_, CLAIM_NOTHING, ends);
    for (int i = 0; i <= BUILT_SMALL_COUNT; i++) {
        struct scanned result =
            scan_bytes(&fixture, kv_buffer_slice(&log_.bytes), log_builder_lsn(ends[i].end_bytes));

        scanned_check_tail(&result, &log_.tail);
        scanned_check_durable(&result, &ends[i]);
        scanned_release(&result);
    }
}
END_TEST

/* Goal: what the manifest says is there must be there, whatever the log looks like. */
START_TEST(test_log_scan_misses_what_the_manifest_promises)
{
    struct kv_log_tail ends[BUILT_SMALL_COUNT + 1];
    struct scanned result;

    log_builder_small(&log_, CLAIM_NOTHING, ends);
    result = scan_bytes(&fixture, kv_buffer_slice(&log_.bytes),
                        log_builder_lsn(log_.tail.end_bytes) + 1);
    scanned_check_failed(&result, KV_CORRUPT, log_.tail.end_bytes);
    scanned_release(&result);
    result = scan_bytes(&fixture, kv_slice_of(log_.bytes.data, ends[3].end_bytes - 1),
                        log_builder_lsn(ends[3].end_bytes));
    scanned_check_failed(&result, KV_CORRUPT, ends[2].end_bytes);
    scanned_release(&result);
}
END_TEST

/* ---- END */

START_TEST(test_log_scan_end_at_the_tail_is_a_clean_end)
{
    for (int transactions = 0; transactions < 2; transactions++) {
        struct scanned result;
        struct kv_end end;

        log_builder_begin(&log_);
        if (transactions) {
            log_builder_add(&log_, KV_PUT, "k", 1);
            log_builder_commit(&log_);
        }
        end = log_builder_next_end(&log_);
        log_builder_append_end(&log_, &end);
        result = scan_log(&fixture, &log_);
        scanned_check_tail(&result, &log_.tail);
        scanned_check_durable(&result, &log_.tail);
        ck_assert(result.scan.clean);
        scanned_release(&result);
        kv_buffer_release(&log_.bytes);
    }
}
END_TEST

/* An END that speaks of something else says nothing about this tail. */
START_TEST(test_log_scan_end_of_something_else)
{
    for (int field = 0; field < 3; field++) {
        struct scanned result;
        struct kv_end end;

        log_builder_small(&log_, CLAIM_NOTHING, NULL);
        end = log_builder_next_end(&log_);
        end.seq += field == 0;
        end.digest += field == 1;
        end.end_lsn -= field == 2;
        log_builder_append_end(&log_, &end);
        result = scan_log(&fixture, &log_);
        scanned_check_tail(&result, &log_.tail);
        ck_assert(!result.scan.clean);
        ck_assert_uint_eq(result.scan.durable_lsn, BUILT_BASE_LSN);
        scanned_release(&result);
        kv_buffer_release(&log_.bytes);
    }
}
END_TEST

/* The next transaction is written over END; what is left of it says nothing. */
START_TEST(test_log_scan_end_is_written_over)
{
    struct kv_log_tail before;
    struct kv_end end;

    log_builder_small(&log_, CLAIM_NOTHING, NULL);
    before = log_.tail;
    end = log_builder_next_end(&log_);
    for (uint32_t written = 1; written <= KV_END_BYTES; written++) {
        struct scanned result;
        uint8_t kept[KV_END_BYTES];

        log_builder_cut(&log_);
        log_builder_append_end(&log_, &end);
        memcpy(kept, log_.bytes.data + before.end_bytes, sizeof(kept));
        log_builder_cut(&log_);
        log_builder_add(&log_, KV_PUT, "next", 60);
        memcpy(log_.bytes.data + before.end_bytes + written, kept + written,
               sizeof(kept) - written);
        result = scan_log(&fixture, &log_);
        scanned_check_tail(&result, &before);
        ck_assert(!result.scan.clean);
        scanned_release(&result);
    }
}
END_TEST

/* ---- Torn tails (P2): cut, silently */

/* How many transactions end at or before `size`. */
static int whole_in(const struct kv_log_tail *ends, size_t size)
{
    int count = 0;

    while (count < BUILT_SMALL_COUNT && ends[count + 1].end_bytes <= size)
        count++;
    return count;
}

/*
 * Goal: wherever the file ends, the transactions before count, and nothing else.
 * Method: every length, as a short file and followed by preallocated zeros.
 */
START_TEST(test_log_scan_every_truncation)
{
    struct kv_log_tail ends[BUILT_SMALL_COUNT + 1];
    struct kv_buffer zeroed = {0};

    log_builder_small(&log_, (enum claims)_i, ends);
    for (size_t size = KV_HEADER_BYTES; size <= log_.bytes.size; size++) {
        int whole = whole_in(ends, size);
        struct scanned result =
            scan_bytes(&fixture, kv_slice_of(log_.bytes.data, size), BUILT_BASE_LSN);

        scanned_check_tail(&result, &ends[whole]);
        scanned_check_durable(&result, &ends[_i == CLAIM_ALL && whole > 0 ? whole - 1 : 0]);
        ck_assert(!result.scan.clean);
        scanned_release(&result);

        ck_kv_fast(kv_buffer_set(&zeroed, kv_slice_of(log_.bytes.data, size)));
        memset(kv_buffer_reserve(&zeroed, 200), 0, 200);
        zeroed.size += 200;
        result = scan_bytes(&fixture, kv_buffer_slice(&zeroed), BUILT_BASE_LSN);
        scanned_check_tail(&result, &ends[whole]);
        scanned_release(&result);
    }
    kv_buffer_release(&zeroed);
}
END_TEST

START_TEST(test_log_scan_every_truncation_of_end)
{
    struct kv_end end;

    log_builder_small(&log_, CLAIM_ALL, NULL);
    end = log_builder_next_end(&log_);
    log_builder_append_end(&log_, &end);
    for (size_t cut_bytes = 0; cut_bytes <= KV_END_BYTES; cut_bytes++) {
        struct scanned result = scan_bytes(
            &fixture, kv_slice_of(log_.bytes.data, log_.bytes.size - cut_bytes), BUILT_BASE_LSN);

        scanned_check_tail(&result, &log_.tail);
        ck_assert(result.scan.clean == (cut_bytes == 0));
        scanned_release(&result);
    }
}
END_TEST

START_TEST(test_log_scan_every_short_header)
{
    log_builder_small(&log_, CLAIM_ALL, NULL);
    for (size_t size = 0; size < KV_HEADER_BYTES; size += 1 + size % 7) {
        struct kv_log *log;

        ck_assert(kv_memfs_write_file(fixture.fs, fixture_data_path(BUILT_NUMBER),
                                      kv_slice_of(log_.bytes.data, size)));
        if (kv_log_open(&fixture.place, BUILT_NUMBER, BUILT_SALT, &log) != KV_CORRUPT || log)
            ck_abort_msg("opened with a header of %zu bytes", size);
    }
}
END_TEST

/* ---- Damage (P2): refused, nothing is cut */

/*
 * Goal: a flipped bit in a transaction is damage if anything proves that the
 * transaction was durable, else a torn tail; it is never taken for data.
 * Method: every bit behind the header, with COMMITs that claim all before them,
 * that claim nothing, and with an END.
 */
static void check_flips(enum claims claims, bool with_end)
{
    struct kv_log_tail ends[BUILT_SMALL_COUNT + 1];

    log_builder_small(&log_, claims, ends);
    if (with_end) {
        struct kv_end end = log_builder_next_end(&log_);
        log_builder_append_end(&log_, &end);
    }
    for (size_t bit = KV_HEADER_BYTES * 8; bit < log_.bytes.size * 8; bit++) {
        int whole = whole_in(ends, bit / 8);
        bool proved = with_end ? whole < BUILT_SMALL_COUNT
                               : claims == CLAIM_ALL && whole < BUILT_SMALL_COUNT - 1;
        struct scanned result;

        log_.bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        result = scan_log(&fixture, &log_);
        log_.bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (proved)
            scanned_check_failed(&result, KV_CORRUPT, ends[whole].end_bytes);
        else
            scanned_check_tail(&result, &ends[whole]);
        if (result.scan.clean)
            ck_abort_msg("bit %zu: a clean end", bit);
        scanned_release(&result);
    }
}

START_TEST(test_log_scan_every_bit_flip)
{
    check_flips((enum claims)_i, false);
}
END_TEST

START_TEST(test_log_scan_every_bit_flip_before_end)
{
    check_flips((enum claims)_i, true);
}
END_TEST

START_TEST(test_log_scan_every_bit_flip_of_the_header)
{
    log_builder_begin(&log_);
    ck_assert(kv_memfs_write_file(fixture.fs, fixture_data_path(BUILT_NUMBER),
                                  kv_buffer_slice(&log_.bytes)));
    for (unsigned bit = 0; bit < KV_HEADER_BYTES * 8; bit++) {
        struct kv_log *log;

        kv_memfs_flip_bit(fixture.fs, fixture_data_path(BUILT_NUMBER), bit / 8, bit % 8);
        if (kv_log_open(&fixture.place, BUILT_NUMBER, BUILT_SALT, &log) != KV_CORRUPT ||
            !strstr(kv_message(), fixture_data_path(BUILT_NUMBER)))
            ck_abort_msg("bit %u: %s", bit, kv_message());
        kv_memfs_flip_bit(fixture.fs, fixture_data_path(BUILT_NUMBER), bit / 8, bit % 8);
    }
}
END_TEST

/* A whole sector of zeros or of garbage in the middle: damage, if what comes after proves it. */
START_TEST(test_log_scan_lost_sector_in_the_middle)
{
    struct kv_log_tail ends[BUILT_SMALL_COUNT + 1];
    struct scanned result;

    log_builder_small(&log_, CLAIM_ALL, ends);
    memset(log_.bytes.data + ends[1].end_bytes, _i ? 0xa5 : 0,
           ends[2].end_bytes - ends[1].end_bytes);
    result = scan_log(&fixture, &log_);
    scanned_check_failed(&result, KV_CORRUPT, ends[1].end_bytes);
    scanned_release(&result);
}
END_TEST

/* A claim up to the very tail proves nothing that is missing; one byte more does. */
START_TEST(test_log_scan_claims_count_from_the_tail_on)
{
    for (uint64_t more = 0; more < 2; more++) {
        struct kv_log_tail before;
        struct scanned result;

        log_builder_small(&log_, CLAIM_NOTHING, NULL);
        before = log_.tail;
        log_.durable_lsn = log_builder_lsn(before.end_bytes) + more;
        log_builder_add(&log_, KV_PUT, "torn", 50);
        log_builder_commit(&log_);
        log_.bytes.data[before.end_bytes + 10] ^= 1;
        result = scan_log(&fixture, &log_);
        if (more)
            scanned_check_failed(&result, KV_CORRUPT, before.end_bytes);
        else
            scanned_check_tail(&result, &before);
        scanned_release(&result);
        kv_buffer_release(&log_.bytes);
    }
}
END_TEST

/* ---- Leftovers behind the tail (P1) */

/* Records of a transaction that was rolled back, or whose COMMIT never came. */
START_TEST(test_log_scan_records_without_commit)
{
    struct kv_log_tail before;
    struct scanned result;

    log_builder_small(&log_, CLAIM_ALL, NULL);
    before = log_.tail;
    log_builder_add(&log_, KV_PUT, "one", 10);
    log_builder_add(&log_, KV_DELETE, "two", 0);
    result = scan_log(&fixture, &log_);
    scanned_check_tail(&result, &before);
    scanned_release(&result);
}
END_TEST

/* The bytes of a long transaction, which then was overwritten from its start by a short one. */
static void overwrite_long_one(struct log_builder *log, size_t short_row_size)
{
    struct kv_buffer old = {0};
    size_t from;

    log_builder_small(log, CLAIM_NOTHING, NULL);
    log->durable_lsn = log_builder_lsn(log->tail.end_bytes);
    from = log->tail.end_bytes;
    log_builder_add(log, KV_PUT, "a", 20);
    log_builder_add(log, KV_PUT, "b", 20);
    for (int i = 0; i < 10; i++)
        log_builder_add(log, KV_PUT, "c", 40);
    log->nonce = 2;
    {
        struct kv_log_tail before = log->tail;

        log_builder_commit(log);
        ck_kv_fast(kv_buffer_set(&old, kv_buffer_slice(&log->bytes)));
        log->tail = before;
    }
    log->nonce = 3;
    log_builder_cut(log);
    log_builder_add(log, KV_PUT, "a", short_row_size);
    log_builder_commit(log);
    ck_assert_uint_lt(log->bytes.size, old.size);
    ck_assert_uint_gt(log->bytes.size, from);
    ck_kv_fast(kv_buffer_append(
        &log->bytes, kv_slice_of(old.data + log->bytes.size, old.size - log->bytes.size)));
    kv_buffer_release(&old);
}

/*
 * Goal: what is left of an overwritten transaction never counts, wherever the
 * new one ends in it, also when whole valid records and a COMMIT follow at once.
 * Method: a new transaction that ends at every offset of the old one.
 */
START_TEST(test_log_scan_rest_of_an_overwritten_transaction)
{
    for (size_t row_size = 0; row_size < 300; row_size++) {
        struct scanned result;

        overwrite_long_one(&log_, row_size);
        result = scan_log(&fixture, &log_);
        scanned_check_tail(&result, &log_.tail);
        ck_assert(kv_commit_find(kv_buffer_slice(&log_.bytes), log_.header.salt,
                                 log_.tail.end_bytes) != SIZE_MAX); /* the old one is still there */
        scanned_release(&result);
        kv_buffer_release(&log_.bytes);
    }
}
END_TEST

/*
 * Goal: a whole old transaction that stands exactly where the next one would,
 * with the next seq and its own good COMMIT, does not count behind another
 * transaction than the one it followed.
 * Method: the same bytes in both, only the nonce differs.
 */
START_TEST(test_log_scan_whole_old_transaction_behind_a_new_one)
{
    struct kv_log_tail before, middle;
    struct kv_buffer old = {0};
    struct scanned result;

    log_builder_small(&log_, CLAIM_NOTHING, NULL);
    before = log_.tail;
    for (int turn = 0; turn < 2; turn++) {
        log_.nonce = 10 + (uint64_t)turn;
        log_builder_add(&log_, KV_PUT, "first", 30);
        log_builder_commit(&log_);
        middle = log_.tail;
        if (turn == 1)
            break;
        log_.durable_lsn = log_builder_lsn(before.end_bytes);
        log_builder_add(&log_, KV_PUT, "second", 30);
        log_builder_commit(&log_);
        ck_kv_fast(kv_buffer_set(&old, kv_buffer_slice(&log_.bytes)));
        log_.tail = before;
        log_builder_cut(&log_);
    }
    /* As it was, both count. */
    result = scan_bytes(&fixture, kv_buffer_slice(&old), BUILT_BASE_LSN);
    ck_kv(result.st);
    ck_assert_uint_eq(result.log->tail.seq, before.seq + 2);
    scanned_release(&result);

    ck_kv_fast(kv_buffer_append(
        &log_.bytes, kv_slice_of(old.data + middle.end_bytes, old.size - middle.end_bytes)));
    result = scan_log(&fixture, &log_);
    scanned_check_tail(&result, &middle);
    scanned_release(&result);
    kv_buffer_release(&old);
}
END_TEST

/* A prepared transaction that was taken back: zeros over its COMMIT. */
START_TEST(test_log_scan_commit_taken_back)
{
    struct kv_log_tail before;
    struct scanned result;

    log_builder_small(&log_, CLAIM_ALL, NULL);
    before = log_.tail;
    log_builder_add(&log_, KV_PUT, "taken back", 30);
    log_builder_commit(&log_);
    memset(log_.bytes.data + log_.bytes.size - KV_COMMIT_BYTES, 0, KV_COMMIT_BYTES);
    result = scan_log(&fixture, &log_);
    scanned_check_tail(&result, &before);
    scanned_release(&result);
}
END_TEST

/* The same bytes at another offset, or from a log with another salt, are no records. */
START_TEST(test_log_scan_bytes_of_another_place)
{
    struct kv_log_tail ends[BUILT_SMALL_COUNT + 1];
    struct log_builder other;
    struct scanned result;

    log_builder_small(&log_, CLAIM_ALL, ends);
    ck_kv_fast(kv_buffer_append(&log_.bytes, kv_slice_of(log_.bytes.data + ends[1].end_bytes,
                                                         ends[4].end_bytes - ends[1].end_bytes)));
    result = scan_log(&fixture, &log_);
    scanned_check_tail(&result, &ends[4]);
    scanned_release(&result);

    log_builder_begin(&other);
    other.header.salt = other.place.salt = 0x5a18;
    other.tail = ends[4];
    other.records_digest = ends[4].digest;
    other.durable_lsn = UINT64_MAX;
    ck_kv_fast(kv_buffer_set(&other.bytes, kv_slice_of(log_.bytes.data, ends[4].end_bytes)));
    log_builder_add(&other, KV_PUT, "of another log", 9);
    log_builder_commit(&other);
    result = scan_bytes(&fixture, kv_buffer_slice(&other.bytes), BUILT_BASE_LSN);
    scanned_check_tail(&result, &ends[4]);
    scanned_release(&result);
    kv_buffer_release(&other.bytes);
}
END_TEST

START_TEST(test_log_scan_garbage_behind_the_tail)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        uint64_t random = seed;
        struct kv_log_tail tail;
        struct scanned result;

        log_builder_small(&log_, CLAIM_ALL, NULL);
        tail = log_.tail;
        for (int i = 0; i < 600; i++) {
            uint8_t byte = (uint8_t)(fixture_random(&random) % (seed % 3 ? 256 : 6));
            ck_kv_fast(kv_buffer_append(&log_.bytes, kv_slice_of(&byte, 1)));
        }
        result = scan_log(&fixture, &log_);
        scanned_check_tail(&result, &tail);
        scanned_release(&result);
        kv_buffer_release(&log_.bytes);
    }
}
END_TEST

/* ---- COMMITs that are valid records, but not the next transaction */

enum commit_fault {
    WRONG_SEQ,
    OLD_SEQ,
    WRONG_COUNT,
    HUGE_COUNT,
    WRONG_BEGIN,
    WRONG_DIGEST,
    COMMIT_FAULT_COUNT,
};

START_TEST(test_log_scan_commit_that_does_not_fit)
{
    struct kv_log_tail before;
    struct kv_commit it;
    struct scanned result;

    log_builder_small(&log_, CLAIM_ALL, NULL);
    before = log_.tail;
    log_builder_add(&log_, KV_PUT, "k", 10);
    it = log_builder_next_commit(&log_);
    it.seq += _i == WRONG_SEQ;
    it.seq -= _i == OLD_SEQ;
    it.record_count += _i == WRONG_COUNT;
    it.record_count = _i == HUGE_COUNT ? UINT32_MAX : it.record_count;
    it.begin_lsn += _i == WRONG_BEGIN;
    if (_i != WRONG_DIGEST) /* everything else is as it should be */
        it.digest = kv_commit_digest(&it, log_.records_digest);
    else
        it.digest ^= 1;
    log_builder_append_commit(&log_, &it);
    result = scan_log(&fixture, &log_);
    scanned_check_tail(&result, &before);
    scanned_release(&result);
}
END_TEST

/* Records of another transaction than the one that their COMMIT says do not count. */
START_TEST(test_log_scan_record_of_another_seq)
{
    struct kv_log_tail before;
    struct scanned result;

    log_builder_small(&log_, CLAIM_ALL, NULL);
    before = log_.tail;
    log_.tail.seq++;
    log_builder_add(&log_, KV_PUT, "of the one after", 10);
    log_.tail.seq--;
    log_builder_commit(&log_);
    result = scan_log(&fixture, &log_);
    scanned_check_tail(&result, &before);
    scanned_release(&result);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_scan");
    TCase *whole = tcase_create("whole logs");
    TCase *torn = tcase_create("torn and damaged");
    TCase *left = tcase_create("leftovers");

    tcase_add_checked_fixture(whole, setup, teardown);
    tcase_add_test(whole, test_log_scan_of_an_empty_log);
    tcase_add_test(whole, test_log_scan_indexes_what_counts);
    tcase_add_test(whole, test_log_scan_of_many_transactions);
    tcase_add_test(whole, test_log_scan_of_an_empty_transaction);
    tcase_add_test(whole, test_log_scan_believes_the_last_claim);
    tcase_add_test(whole, test_log_scan_believes_the_manifest);
    tcase_add_test(whole, test_log_scan_misses_what_the_manifest_promises);
    tcase_add_test(whole, test_log_scan_end_at_the_tail_is_a_clean_end);
    tcase_add_test(whole, test_log_scan_end_of_something_else);
    tcase_add_test(whole, test_log_scan_end_is_written_over);
    suite_add_tcase(suite, whole);

    tcase_add_checked_fixture(torn, setup, teardown);
    tcase_set_timeout(torn, 20);
    tcase_add_loop_test(torn, test_log_scan_every_truncation, CLAIM_ALL, CLAIM_NOTHING + 1);
    tcase_add_test(torn, test_log_scan_every_truncation_of_end);
    tcase_add_test(torn, test_log_scan_every_short_header);
    tcase_add_loop_test(torn, test_log_scan_every_bit_flip, CLAIM_ALL, CLAIM_NOTHING + 1);
    tcase_add_loop_test(torn, test_log_scan_every_bit_flip_before_end, CLAIM_ALL,
                        CLAIM_NOTHING + 1);
    tcase_add_test(torn, test_log_scan_every_bit_flip_of_the_header);
    tcase_add_loop_test(torn, test_log_scan_lost_sector_in_the_middle, 0, 2);
    tcase_add_test(torn, test_log_scan_claims_count_from_the_tail_on);
    suite_add_tcase(suite, torn);

    tcase_add_checked_fixture(left, setup, teardown);
    tcase_add_test(left, test_log_scan_records_without_commit);
    tcase_add_test(left, test_log_scan_rest_of_an_overwritten_transaction);
    tcase_add_test(left, test_log_scan_whole_old_transaction_behind_a_new_one);
    tcase_add_test(left, test_log_scan_commit_taken_back);
    tcase_add_test(left, test_log_scan_bytes_of_another_place);
    tcase_add_test(left, test_log_scan_garbage_behind_the_tail);
    tcase_add_loop_test(left, test_log_scan_commit_that_does_not_fit, 0, COMMIT_FAULT_COUNT);
    tcase_add_test(left, test_log_scan_record_of_another_seq);
    suite_add_tcase(suite, left);

    return kv_run_suite(suite);
}
