/* Records: what is written comes back, and nothing else is ever taken for a record. */
#include "hash.h"
#include "record.h"
#include "runner.h"

static const struct kv_record_place PLACE = {.salt = 0x1234567890abcdef, .base_seq = 1000};
enum { OFFSET = 4096 };

struct sample {
    enum kv_kind kind;
    uint64_t seq;
    size_t key_size;
    size_t row_size;
};

static const struct sample SAMPLES[] = {
    {KV_PUT, 1000, 1, 0},
    {KV_PUT, 1001, 9, 100},
    {KV_PUT, 1000 + 127, 127, 127},
    {KV_PUT, 1000 + 128, 128, 128},
    {KV_DELETE, 1000, 1, 0},
    {KV_DELETE, 5000000, 300, 0},
    {KV_PUT, UINT64_MAX, KV_KEY_MAX_BYTES, 70000},
};
enum { SAMPLE_COUNT = sizeof(SAMPLES) / sizeof(SAMPLES[0]), SMALL_SAMPLE_COUNT = SAMPLE_COUNT - 1 };

/* Encode a sample into an exactly-sized heap block. */
static uint8_t *encode(const struct sample *sample, struct kv_record *record)
{
    uint8_t *key = malloc(sample->key_size);
    uint8_t *row = malloc(sample->row_size + 1);

    for (size_t i = 0; i < sample->key_size; i++)
        key[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sample->row_size; i++)
        row[i] = (uint8_t)(i * 13 + 1);
    *record = (struct kv_record){.kind = sample->kind,
                                 .seq = sample->seq,
                                 .key = kv_slice_of(key, sample->key_size),
                                 .row = kv_slice_of(row, sample->row_size)};
    uint8_t *bytes = malloc(kv_record_size(&PLACE, record));
    kv_record_encode(bytes, &PLACE, OFFSET, record);
    ck_assert_uint_eq(record->size_bytes, kv_record_size(&PLACE, record));
    return bytes;
}

static void release(uint8_t *bytes, struct kv_record *record)
{
    free((void *)(uintptr_t)record->key.data);
    free((void *)(uintptr_t)record->row.data);
    free(bytes);
}

/* A copy of the first `size` bytes in a block of just that size. */
static uint8_t *exact(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    memcpy(copy, bytes, size);
    return copy;
}

START_TEST(test_record_round_trip)
{
    struct kv_record record, again;
    uint8_t *bytes = encode(&SAMPLES[_i], &record);
    struct kv_slice all = kv_slice_of(bytes, record.size_bytes);

    ck_kv(kv_record_decode(all, &PLACE, OFFSET, &again));
    ck_assert_int_eq(again.kind, record.kind);
    ck_assert_uint_eq(again.seq, record.seq);
    ck_assert(kv_slice_equal(again.key, record.key));
    ck_assert(kv_slice_equal(again.row, record.row));
    ck_assert_uint_eq(again.checksum, record.checksum);
    ck_assert_uint_eq(again.size_bytes, record.size_bytes);
    ck_assert(kv_slice_equal(kv_record_key(all), record.key));
    ck_assert_uint_eq(kv_record_kind(all), record.kind);
    release(bytes, &record);
}
END_TEST

/* Goal: what follows a record does not matter. Method: decode it out of a longer run of bytes. */
static void note_record(void *context, struct kv_slice record)
{
    *(struct kv_slice *)context = record;
}

/* Goal: whoever wants to read ahead is told of large records, of these alone, and where they are. */
START_TEST(test_record_decode_tells_of_large_ones)
{
    for (size_t size = KV_RECORD_LARGE_BYTES - 1; size <= KV_RECORD_LARGE_BYTES; size++) {
        struct sample sample = {KV_PUT, 1000, 7, size - 4 - 1 - 1 - 1 - 3 - 7};
        struct kv_record_place place = PLACE;
        struct kv_slice told = {0};
        struct kv_record record, again;
        uint8_t *bytes = encode(&sample, &record);

        ck_assert_uint_eq(record.size_bytes, size);
        place.read_soon = note_record;
        place.context = &told;
        ck_kv(kv_record_decode(kv_slice_of(bytes, size), &place, OFFSET, &again));
        ck_assert_ptr_eq(told.data, size < KV_RECORD_LARGE_BYTES ? NULL : bytes);
        ck_assert_uint_eq(told.size, size < KV_RECORD_LARGE_BYTES ? 0 : size);
        told = (struct kv_slice){0};
        ck_kv_is(kv_record_decode(kv_slice_of(bytes, size - 1), &place, OFFSET, &again),
                 KV_CORRUPT);
        ck_assert_ptr_null(told.data);
        release(bytes, &record);
    }
}
END_TEST

START_TEST(test_record_decode_ignores_what_follows)
{
    struct kv_record record, again;
    uint8_t *bytes = encode(&SAMPLES[1], &record);
    uint8_t *longer = malloc(record.size_bytes + 50);

    memcpy(longer, bytes, record.size_bytes);
    memset(longer + record.size_bytes, 0xff, 50);
    ck_kv(kv_record_decode(kv_slice_of(longer, record.size_bytes + 50), &PLACE, OFFSET, &again));
    ck_assert_uint_eq(again.size_bytes, record.size_bytes);
    free(longer);
    release(bytes, &record);
}
END_TEST

/*
 * Goal: no torn write is mistaken for a record.
 * Method: decode every proper prefix, each in an exactly-sized heap block so
 * that ASan traps any read past the end.
 */
START_TEST(test_record_decode_rejects_every_truncation)
{
    struct kv_record record, again;
    uint8_t *bytes = encode(&SAMPLES[_i], &record);

    for (size_t size = 0; size < record.size_bytes; size++) {
        uint8_t *cut = exact(bytes, size);
        ck_kv_is(kv_record_decode(kv_slice_of(cut, size), &PLACE, OFFSET, &again), KV_CORRUPT);
        ck_assert_uint_eq(kv_record_key(kv_slice_of(cut, size)).size, 0);
        free(cut);
    }
    release(bytes, &record);
}
END_TEST

START_TEST(test_record_decode_rejects_every_bit_flip)
{
    struct kv_record record, again;
    uint8_t *bytes = encode(&SAMPLES[_i], &record);
    struct kv_slice all = kv_slice_of(bytes, record.size_bytes);

    for (size_t bit = 0; bit < record.size_bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_kv_is(kv_record_decode(all, &PLACE, OFFSET, &again), KV_CORRUPT);
        (void)kv_record_key(all); /* only must stay within bounds */
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_kv(kv_record_decode(all, &PLACE, OFFSET, &again));
    release(bytes, &record);
}
END_TEST

START_TEST(test_record_is_valid_only_where_it_was_written)
{
    struct kv_record record, again;
    uint8_t *bytes = encode(&SAMPLES[1], &record);
    struct kv_slice all = kv_slice_of(bytes, record.size_bytes);
    struct kv_record_place other = PLACE;

    ck_kv_is(kv_record_decode(all, &PLACE, OFFSET + 1, &again), KV_CORRUPT);
    ck_kv_is(kv_record_decode(all, &PLACE, 0, &again), KV_CORRUPT);
    other.salt ^= 1;
    ck_kv_is(kv_record_decode(all, &other, OFFSET, &again), KV_CORRUPT);
    release(bytes, &record);
}
END_TEST

/* Write head and body by hand with a good checksum, to `bytes`; returns the size. */
static size_t forge(uint8_t *bytes, unsigned kind, const uint64_t *varints, size_t varint_count,
                    size_t body_size)
{
    uint8_t *at = bytes + 4;

    *at++ = (uint8_t)kind;
    for (size_t i = 0; i < varint_count; i++)
        at = kv_varint_put(at, varints[i]);
    memset(at, 'b', body_size);
    at += body_size;
    size_t size = (size_t)(at - bytes);
    kv_store_u32(bytes, kv_checksum(bytes + 4, size - 4, PLACE.salt ^ OFFSET));
    return size;
}

/*
 * Goal: what a later version adds is reported as newer, never skipped and
 * never misread, and damage to it is still damage.
 */
START_TEST(test_record_decode_reports_newer_kinds_and_flags)
{
    uint8_t bytes[100];
    struct kv_record record;
    const uint64_t plain[] = {0, 3, 5}, flagged[] = {0, 3, 5, 2}, flagged_delete[] = {0, 3, 2};

    size_t size = forge(bytes, 5, plain, 3, 8);
    ck_kv_is(kv_record_decode(kv_slice_of(bytes, size), &PLACE, OFFSET, &record), KV_NEWER);
    size = forge(bytes, 0x10 | KV_DELETE, flagged_delete, 3, 5);
    ck_kv_is(kv_record_decode(kv_slice_of(bytes, size), &PLACE, OFFSET, &record), KV_NEWER);
    size = forge(bytes, 0x80 | KV_PUT, flagged, 4, 10);
    ck_kv_is(kv_record_decode(kv_slice_of(bytes, size), &PLACE, OFFSET, &record), KV_NEWER);
    ck_assert_uint_eq(kv_record_key(kv_slice_of(bytes, size)).size, 0);
    ck_assert_uint_eq(kv_record_kind(kv_slice_of(bytes, size)), KV_PUT);
    for (size_t cut = 0; cut < size; cut++)
        ck_kv_is(kv_record_decode(kv_slice_of(bytes, cut), &PLACE, OFFSET, &record), KV_CORRUPT);
    bytes[size - 1] ^= 1;
    ck_kv_is(kv_record_decode(kv_slice_of(bytes, size), &PLACE, OFFSET, &record), KV_CORRUPT);
}
END_TEST

/* Goal: sizes past the limits are refused even under a good checksum. */
START_TEST(test_record_decode_rejects_hostile_sizes)
{
    static const uint64_t heads[][3] = {
        {0, 0, 5},                    /* no key */
        {0, KV_KEY_MAX_BYTES + 1, 0}, /* key past its limit */
        {0, UINT64_MAX, 0},           /* sums that wrap around */
        {0, 1, UINT64_MAX},
        {0, 2, UINT64_MAX - 1},
        {0, 1, KV_ROW_MAX_BYTES + 1},
        {UINT64_MAX, 1, 1}, /* a seq past 64 bits */
    };
    uint8_t *bytes = malloc(70000);
    struct kv_record record;

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        size_t size = forge(bytes, KV_PUT, heads[i], 3, 66000);
        ck_kv_is(kv_record_decode(kv_slice_of(bytes, size), &PLACE, OFFSET, &record), KV_CORRUPT);
    }
    free(bytes);
}
END_TEST

START_TEST(test_record_decode_rejects_what_is_no_record)
{
    uint8_t bytes[KV_COMMIT_BYTES] = {0};
    struct kv_record record;

    ck_kv_is(kv_record_decode(kv_slice_of(bytes, sizeof(bytes)), &PLACE, OFFSET, &record),
             KV_CORRUPT);
    kv_store_u32(bytes, kv_checksum(bytes + 4, 4, PLACE.salt ^ OFFSET));
    ck_kv_is(kv_record_decode(kv_slice_of(bytes, 8), &PLACE, OFFSET, &record), KV_CORRUPT);
    kv_commit_encode(bytes, PLACE.salt, OFFSET, &(struct kv_commit){.seq = 1});
    ck_kv_is(kv_record_decode(kv_slice_of(bytes, sizeof(bytes)), &PLACE, OFFSET, &record),
             KV_CORRUPT);
    ck_assert_uint_eq(kv_record_key(kv_slice_of(bytes, sizeof(bytes))).size, 0);
    ck_assert_uint_eq(kv_record_kind(kv_slice_of(NULL, 0)), 0);
}
END_TEST

/* ---- COMMIT and END */

static struct kv_commit sample_commit(void)
{
    return (struct kv_commit){.seq = 0x0102030405060708,
                              .record_count = 77,
                              .begin_lsn = 0x1111222233334444,
                              .time_ms = 1700000000000,
                              .durable_lsn = 0x1111222233330000,
                              .group = 5,
                              .group_digest = 0x5555,
                              .nonce = 0xfeedface,
                              .digest = 0x9876543210};
}

static const struct kv_end SAMPLE_END = {
    .seq = 9, .end_lsn = 1 << 20, .time_ms = 1700000000001, .digest = 0xabcdef};

START_TEST(test_record_commit_round_trip)
{
    struct kv_commit commit = sample_commit(), again;
    uint8_t *bytes = malloc(KV_COMMIT_BYTES);

    kv_commit_encode(bytes, PLACE.salt, OFFSET, &commit);
    ck_kv(kv_commit_decode(kv_slice_of(bytes, KV_COMMIT_BYTES), PLACE.salt, OFFSET, &again));
    ck_assert_uint_eq(again.seq, commit.seq);
    ck_assert_uint_eq(again.record_count, commit.record_count);
    ck_assert_uint_eq(again.begin_lsn, commit.begin_lsn);
    ck_assert_uint_eq(again.time_ms, commit.time_ms);
    ck_assert_uint_eq(again.durable_lsn, commit.durable_lsn);
    ck_assert_uint_eq(again.group, commit.group);
    ck_assert_uint_eq(again.group_digest, commit.group_digest);
    ck_assert_uint_eq(again.nonce, commit.nonce);
    ck_assert_uint_eq(again.digest, commit.digest);
    ck_kv_is(kv_commit_decode(kv_slice_of(bytes, KV_COMMIT_BYTES), PLACE.salt, OFFSET + 1, &again),
             KV_CORRUPT);
    free(bytes);
}
END_TEST

START_TEST(test_record_end_round_trip)
{
    struct kv_end again;
    uint8_t *bytes = malloc(KV_END_BYTES);

    kv_end_encode(bytes, PLACE.salt, OFFSET, &SAMPLE_END);
    ck_kv(kv_end_decode(kv_slice_of(bytes, KV_END_BYTES), PLACE.salt, OFFSET, &again));
    ck_assert_uint_eq(again.seq, SAMPLE_END.seq);
    ck_assert_uint_eq(again.end_lsn, SAMPLE_END.end_lsn);
    ck_assert_uint_eq(again.time_ms, SAMPLE_END.time_ms);
    ck_assert_uint_eq(again.digest, SAMPLE_END.digest);
    free(bytes);
}
END_TEST

START_TEST(test_record_commit_and_end_reject_damage)
{
    uint8_t commit[KV_COMMIT_BYTES], end[KV_END_BYTES];
    struct kv_commit sample = sample_commit(), commit_again;
    struct kv_end end_again;

    kv_commit_encode(commit, PLACE.salt, OFFSET, &sample);
    kv_end_encode(end, PLACE.salt, OFFSET, &SAMPLE_END);
    for (size_t size = 0; size < sizeof(commit); size++) {
        uint8_t *cut = exact(commit, size);
        ck_kv_is(kv_commit_decode(kv_slice_of(cut, size), PLACE.salt, OFFSET, &commit_again),
                 KV_CORRUPT);
        free(cut);
    }
    for (size_t size = 0; size < sizeof(end); size++) {
        uint8_t *cut = exact(end, size);
        ck_kv_is(kv_end_decode(kv_slice_of(cut, size), PLACE.salt, OFFSET, &end_again), KV_CORRUPT);
        free(cut);
    }
    for (size_t bit = 0; bit < sizeof(commit) * 8; bit++) {
        commit[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_kv_is(kv_commit_decode(kv_slice_of(commit, sizeof(commit)), PLACE.salt, OFFSET,
                                  &commit_again),
                 KV_CORRUPT);
        commit[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < sizeof(end) * 8; bit++) {
        end[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_kv_is(kv_end_decode(kv_slice_of(end, sizeof(end)), PLACE.salt, OFFSET, &end_again),
                 KV_CORRUPT);
        end[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

START_TEST(test_record_commit_and_end_report_newer_flags)
{
    uint8_t bytes[KV_COMMIT_BYTES];
    struct kv_commit commit = sample_commit();
    struct kv_end end;

    kv_commit_encode(bytes, PLACE.salt, 0, &commit);
    bytes[4] |= 0x10;
    kv_store_u32(bytes, kv_checksum(bytes + 4, KV_COMMIT_BYTES - 4, PLACE.salt));
    ck_kv_is(kv_commit_decode(kv_slice_of(bytes, KV_COMMIT_BYTES), PLACE.salt, 0, &commit),
             KV_NEWER);
    ck_assert_uint_eq(kv_commit_find(kv_slice_of(bytes, KV_COMMIT_BYTES), PLACE.salt, 0), 0);
    kv_end_encode(bytes, PLACE.salt, OFFSET, &SAMPLE_END);
    bytes[4] |= 0x40;
    kv_store_u32(bytes, kv_checksum(bytes + 4, KV_END_BYTES - 4, PLACE.salt ^ OFFSET));
    ck_kv_is(kv_end_decode(kv_slice_of(bytes, KV_END_BYTES), PLACE.salt, OFFSET, &end), KV_NEWER);
}
END_TEST

/* Goal: every field is covered by the digest, except the digest itself. */
START_TEST(test_record_commit_digest_covers_every_field)
{
    struct kv_commit base = sample_commit(), changed;
    uint64_t digest = kv_commit_digest(&base, 42);

    ck_assert_uint_eq(kv_commit_digest(&base, 42), digest);
    ck_assert_uint_ne(kv_commit_digest(&base, 43), digest);
    changed = base, changed.digest++;
    ck_assert_uint_eq(kv_commit_digest(&changed, 42), digest);
#define CHANGED(field)                                                                             \
    changed = base, changed.field++;                                                               \
    ck_assert_uint_ne(kv_commit_digest(&changed, 42), digest)
    CHANGED(seq);
    CHANGED(record_count);
    CHANGED(begin_lsn);
    CHANGED(time_ms);
    CHANGED(durable_lsn);
    CHANGED(group);
    CHANGED(group_digest);
    CHANGED(nonce);
#undef CHANGED
}
END_TEST

/*
 * Goal: COMMITs are found wherever they start, false magics are passed over.
 * Method: a COMMIT at every small offset, behind a magic that lies.
 */
START_TEST(test_record_commit_find)
{
    enum { SIZE = 400 };
    uint8_t *bytes = malloc(SIZE);
    struct kv_commit commit = sample_commit();
    struct kv_slice all = kv_slice_of(bytes, SIZE);

    for (size_t at = 8; at + KV_COMMIT_BYTES <= SIZE; at++) {
        memset(bytes, 0, SIZE);
        kv_commit_encode(bytes + at, PLACE.salt, at, &commit);
        memcpy(bytes, bytes + at + 4, 8); /* kind and magic, no record */
        ck_assert_uint_eq(kv_commit_find(all, PLACE.salt, 0), at);
        ck_assert_uint_eq(kv_commit_find(all, PLACE.salt, at), at);
        ck_assert_uint_eq(kv_commit_find(all, PLACE.salt, at + 1), SIZE_MAX);
        ck_assert_uint_eq(kv_end_find(all, PLACE.salt, 0), SIZE_MAX);
        ck_assert_uint_eq(kv_commit_find(all, PLACE.salt + 1, 0), SIZE_MAX);
        ck_assert_uint_eq(
            kv_commit_find(kv_slice_of(bytes, at + KV_COMMIT_BYTES - 1), PLACE.salt, 0), SIZE_MAX);
    }
    memset(bytes, 0, SIZE);
    kv_end_encode(bytes + SIZE - KV_END_BYTES, PLACE.salt, SIZE - KV_END_BYTES, &SAMPLE_END);
    ck_assert_uint_eq(kv_end_find(all, PLACE.salt, 0), SIZE - KV_END_BYTES);
    ck_assert_uint_eq(kv_commit_find(all, PLACE.salt, 0), SIZE_MAX);
    ck_assert_uint_eq(kv_commit_find(all, PLACE.salt, SIZE + 1), SIZE_MAX);
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("record");
    TCase *codec = tcase_create("codec"), *fixed = tcase_create("commit and end");

    tcase_add_loop_test(codec, test_record_round_trip, 0, SAMPLE_COUNT);
    tcase_add_test(codec, test_record_decode_tells_of_large_ones);
    tcase_add_test(codec, test_record_decode_ignores_what_follows);
    tcase_add_loop_test(codec, test_record_decode_rejects_every_truncation, 0, SMALL_SAMPLE_COUNT);
    tcase_add_loop_test(codec, test_record_decode_rejects_every_bit_flip, 0, SMALL_SAMPLE_COUNT);
    tcase_add_test(codec, test_record_is_valid_only_where_it_was_written);
    tcase_add_test(codec, test_record_decode_reports_newer_kinds_and_flags);
    tcase_add_test(codec, test_record_decode_rejects_hostile_sizes);
    tcase_add_test(codec, test_record_decode_rejects_what_is_no_record);
    tcase_add_test(fixed, test_record_commit_round_trip);
    tcase_add_test(fixed, test_record_end_round_trip);
    tcase_add_test(fixed, test_record_commit_and_end_reject_damage);
    tcase_add_test(fixed, test_record_commit_and_end_report_newer_flags);
    tcase_add_test(fixed, test_record_commit_digest_covers_every_field);
    tcase_add_test(fixed, test_record_commit_find);
    suite_add_tcase(suite, codec);
    suite_add_tcase(suite, fixed);
    return kv_run_suite(suite);
}
