/* Segment headers: round trip per role; damage, newer versions and bad limits are told apart. */
#include "bytes.h"
#include "hash.h"
#include "header.h"
#include "runner.h"

static struct kv_header sample(enum kv_segment_role role)
{
    struct kv_header header = {.role = role,
                               .uuid = "0123456789abcde",
                               .number = 7,
                               .salt = 0xfeedfacecafebeef,
                               .base_seq = 33,
                               .time_ms = 1700000000000};

    if (role == KV_ROLE_LOG) {
        header.log.base_lsn = 1 << 20;
        header.log.previous_digest = 0x77;
        header.log.previous_end_lsn = 1 << 19;
        header.log.copied_seq = 12;
        header.log.record_limit = KV_LOG_RECORD_LIMIT;
    } else if (role == KV_ROLE_MERGE) {
        header.merge.end_bytes = 123456;
        header.merge.digest = 0x1234;
        header.merge.first_lsn = 100;
        header.merge.last_lsn = 200;
        header.merge.record_count = 99;
        header.merge.interval_bytes = 40;
        header.merge.last_of_run = true;
    } else {
        header.pending.group = 4;
        header.pending.ordinal = 2;
    }
    return header;
}

static const enum kv_segment_role ROLES[] = {KV_ROLE_LOG, KV_ROLE_MERGE, KV_ROLE_PENDING};

START_TEST(test_header_round_trip)
{
    struct kv_header header = sample(ROLES[_i]), again;
    uint8_t *bytes = malloc(KV_HEADER_BYTES);

    kv_header_encode(bytes, &header);
    ck_kv(kv_header_decode(kv_slice_of(bytes, KV_HEADER_BYTES), &again));
    ck_assert_int_eq(again.role, header.role);
    ck_assert_mem_eq(again.uuid, header.uuid, KV_UUID_BYTES);
    ck_assert_uint_eq(again.number, header.number);
    ck_assert_uint_eq(again.salt, header.salt);
    ck_assert_uint_eq(again.base_seq, header.base_seq);
    ck_assert_uint_eq(again.time_ms, header.time_ms);
    ck_assert_uint_eq(again.log.base_lsn, header.log.base_lsn);
    ck_assert_uint_eq(again.log.previous_digest, header.log.previous_digest);
    ck_assert_uint_eq(again.log.previous_end_lsn, header.log.previous_end_lsn);
    ck_assert_uint_eq(again.log.copied_seq, header.log.copied_seq);
    ck_assert_uint_eq(again.log.record_limit, header.log.record_limit);
    ck_assert_uint_eq(again.merge.end_bytes, header.merge.end_bytes);
    ck_assert_uint_eq(again.merge.digest, header.merge.digest);
    ck_assert_uint_eq(again.merge.first_lsn, header.merge.first_lsn);
    ck_assert_uint_eq(again.merge.last_lsn, header.merge.last_lsn);
    ck_assert_uint_eq(again.merge.record_count, header.merge.record_count);
    ck_assert_uint_eq(again.merge.interval_bytes, header.merge.interval_bytes);
    ck_assert_int_eq(again.merge.last_of_run, header.merge.last_of_run);
    ck_assert_uint_eq(again.pending.group, header.pending.group);
    ck_assert_uint_eq(again.pending.ordinal, header.pending.ordinal);
    free(bytes);
}
END_TEST

START_TEST(test_header_rejects_every_truncation)
{
    struct kv_header header = sample(ROLES[_i]), again;
    uint8_t bytes[KV_HEADER_BYTES];

    kv_header_encode(bytes, &header);
    for (size_t size = 0; size < KV_HEADER_BYTES; size++) {
        uint8_t *cut = malloc(size ? size : 1);
        memcpy(cut, bytes, size);
        ck_kv_is(kv_header_decode(kv_slice_of(cut, size), &again), KV_CORRUPT);
        free(cut);
    }
}
END_TEST

START_TEST(test_header_rejects_every_bit_flip)
{
    struct kv_header header = sample(ROLES[_i]), again;
    uint8_t bytes[KV_HEADER_BYTES];

    kv_header_encode(bytes, &header);
    for (size_t bit = 0; bit < KV_HEADER_BYTES * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_kv_is(kv_header_decode(kv_slice_of(bytes, sizeof(bytes)), &again), KV_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

/* A field put in place by hand, under a good checksum. */
struct forgery {
    enum kv_segment_role role;
    unsigned at;
    uint32_t value;
    enum kv_status expected;
};

static const struct forgery FORGERIES[] = {
    {KV_ROLE_LOG, 8, KV_FORMAT_VERSION + 1, KV_NEWER},
    {KV_ROLE_LOG, 8, 0, KV_CORRUPT},
    {KV_ROLE_LOG, 12, 0, KV_CORRUPT},
    {KV_ROLE_LOG, 12, 4, KV_CORRUPT},
    {KV_ROLE_LOG, 68, UINT32_MAX, KV_CORRUPT}, /* base_lsn near 2^64 */
    {KV_ROLE_LOG, 96, 0, KV_CORRUPT},
    {KV_ROLE_LOG, 96, KV_LOG_RECORD_LIMIT + 1, KV_CORRUPT},
    {KV_ROLE_LOG, 96, 1, KV_OK},
    {KV_ROLE_MERGE, 64, KV_HEADER_BYTES - 1, KV_CORRUPT},
    {KV_ROLE_MERGE, 68, 1, KV_CORRUPT}, /* end_bytes past 4 GiB */
    {KV_ROLE_MERGE, 80, 201, KV_CORRUPT},
    {KV_ROLE_MERGE, 100, 3, KV_NEWER},
    {KV_ROLE_MERGE, 100, 0, KV_OK},
    {KV_ROLE_MERGE, 104, 11, KV_CORRUPT},
    {KV_ROLE_MERGE, 104, 12 + 2 * 65535 + 1, KV_CORRUPT},
    {KV_ROLE_PENDING, 112, 0, KV_CORRUPT},
};

START_TEST(test_header_checks_limits_under_a_good_checksum)
{
    const struct forgery *forgery = &FORGERIES[_i];
    struct kv_header header = sample(forgery->role), again;
    uint8_t bytes[KV_HEADER_BYTES];

    kv_header_encode(bytes, &header);
    kv_store_u32(bytes + forgery->at, forgery->value);
    kv_store_u64(bytes + 4088, kv_hash(kv_slice_of(bytes, 4088), header.number));
    ck_kv_is(kv_header_decode(kv_slice_of(bytes, sizeof(bytes)), &again), forgery->expected);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("header");
    TCase *tests = tcase_create("codec");

    tcase_add_loop_test(tests, test_header_round_trip, 0, 3);
    tcase_add_loop_test(tests, test_header_rejects_every_truncation, 0, 3);
    tcase_add_loop_test(tests, test_header_rejects_every_bit_flip, 0, 3);
    tcase_add_loop_test(tests, test_header_checks_limits_under_a_good_checksum, 0,
                        sizeof(FORGERIES) / sizeof(FORGERIES[0]));
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
