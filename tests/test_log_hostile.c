/*
 * Logs whose checksums are good and whose content is not: written by a newer
 * version, or by someone who wants to do harm.
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

/* ---- What a newer version wrote is never skipped */

START_TEST(test_log_hostile_newer_record)
{
    static const uint8_t kinds[] = {KV_PUT | 0x10, KV_PUT | 0x80, 5, 15, 7 | 0x20};

    for (size_t i = 0; i < sizeof(kinds); i++) {
        size_t from, size;
        struct scanned result;

        log_builder_small(&log_, CLAIM_ALL, NULL);
        from = log_.tail.end_bytes;
        log_builder_add(&log_, KV_PUT, "a key", 10);
        size = log_.bytes.size - from;
        if (kinds[i] &
            KV_KIND_FLAGS) { /* one varint more, "no optional fields": the key is shorter */
            log_.bytes.data[from + 6] = 4;
            log_.bytes.data[from + 8] = 0;
        }
        log_builder_reseal(&log_, from, size, 4, kinds[i]);
        result = scan_log(&fixture, &log_);
        scanned_check_failed(&result, KV_NEWER, (uint32_t)from);
        scanned_release(&result);
        kv_buffer_release(&log_.bytes);
    }
}
END_TEST

START_TEST(test_log_hostile_newer_commit)
{
    size_t at;
    struct scanned result;

    log_builder_small(&log_, CLAIM_ALL, NULL);
    log_builder_add(&log_, KV_PUT, "k", 10);
    at = log_.bytes.size;
    log_builder_commit(&log_);
    log_builder_reseal(&log_, at, KV_COMMIT_BYTES, 4, KV_COMMIT | 0x10);
    result = scan_log(&fixture, &log_);
    scanned_check_failed(&result, KV_NEWER, (uint32_t)at);
    scanned_release(&result);
}
END_TEST

/* The COMMIT of a group of pending segments has no records beside it; a later version may write such. */
START_TEST(test_log_hostile_commit_of_a_group)
{
    uint32_t at;
    struct kv_commit it;
    struct scanned result;

    log_builder_small(&log_, CLAIM_ALL, NULL);
    log_builder_add(&log_, KV_PUT, "k", 10);
    at = (uint32_t)log_.bytes.size;
    it = log_builder_next_commit(&log_);
    it.group = 3;
    it.digest = kv_commit_digest(&it, log_.records_digest);
    log_builder_append_commit(&log_, &it);
    result = scan_log(&fixture, &log_);
    scanned_check_failed(&result, KV_NEWER, at);
    scanned_release(&result);
}
END_TEST

/* ---- Sizes and numbers */

/* Behind the tail, a record of these head bytes, as long as it can be and with a checksum over all of it. */
static void check_hostile_head(const uint8_t *head, size_t head_size)
{
    struct kv_log_tail before;
    struct scanned result;
    size_t from;

    log_builder_small(&log_, CLAIM_ALL, NULL);
    before = log_.tail;
    from = log_.bytes.size;
    memset(kv_buffer_reserve(&log_.bytes, 100), 0, 100);
    memcpy(log_.bytes.data + from + 4, head, head_size);
    for (size_t size = head_size + 4; size <= 100; size++) {
        log_.bytes.size = from + size;
        log_builder_reseal(&log_, from, size, 4, head[0]);
        result = scan_log(&fixture, &log_);
        scanned_check_tail(&result, &before);
        scanned_release(&result);
    }
    kv_buffer_release(&log_.bytes);
}

START_TEST(test_log_hostile_hostile_sizes)
{
    static const uint8_t heads[][24] = {
        {KV_PUT, 1, 0, 0},                            /* no key */
        {KV_PUT, 1, 0xff, 0xff, 0x03, 0},             /* key_size 65,535 */
        {KV_PUT, 1, 0x80, 0x80, 0x04, 0},             /* key_size 65,536 */
        {KV_PUT, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}, /* row_size 2^32-1 */
        {KV_PUT, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, /* 2^64-1 */
        {KV_PUT, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
         1}, /* as key_size */
        {KV_PUT, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
         1}, /* more than 64 bits */
        {KV_PUT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1, 1}, /* seq 2^64-1 */
        {KV_PUT, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
         0x80},                     /* no end of a varint */
        {KV_PUT, 0x85, 0x00, 1, 1}, /* longer than needed */
        {KV_DELETE, 5, 0xff, 0x7f}, /* key_size past the end */
        {KV_PUT | 0x10, 5, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
        {0, 0, 0, 0},
        {KV_COMMIT, 0x9d, 'K', 'V', 'C', 0xe1, 0x0a, 0x5b, 0, 0, 0, 0, 9},
        {KV_END, 0xb6, 'K', 'V', 'E', 0xd8, 0x0a, 0xa7, 0, 0, 0, 0, 9},
    };

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        check_hostile_head(heads[i], sizeof(heads[i]));
}
END_TEST

/* A log never has more records than its header allows: the rest does not count. */
START_TEST(test_log_hostile_more_records_than_the_limit)
{
    struct kv_log_tail before;
    struct scanned result;

    log_builder_begin(&log_);
    for (int i = 0; i < BUILT_RECORD_LIMIT - 1; i++)
        log_builder_add(&log_, KV_PUT, "k", 1);
    log_builder_commit(&log_);
    before = log_.tail;
    log_builder_add(&log_, KV_PUT, "k", 1);
    log_builder_add(&log_, KV_PUT, "k", 1);
    log_builder_commit(&log_);
    result = scan_log(&fixture, &log_);
    scanned_check_tail(&result, &before);
    scanned_release(&result);
}
END_TEST

/* A COMMIT that counts may claim what it likes: nothing behind it is believed to be there. */
START_TEST(test_log_hostile_claim_of_everything)
{
    struct kv_log_tail before;
    struct scanned result;

    log_builder_small(&log_, CLAIM_NOTHING, NULL);
    before = log_.tail;
    log_.durable_lsn = UINT64_MAX;
    log_builder_add(&log_, KV_PUT, "k", 1);
    log_builder_commit(&log_);
    result = scan_log(&fixture, &log_);
    scanned_check_tail(&result, &log_.tail);
    scanned_check_durable(&result, &before);
    scanned_release(&result);
}
END_TEST

/* A number somewhere in the header that does not belong there; its checksum is good. */
static const struct {
    uint64_t value;
    size_t at, size;
    enum kv_status expected;
} header_faults[] = {
    {KV_FORMAT_VERSION + 1, 8, 4, KV_NEWER},
    {0, 8, 4, KV_CORRUPT}, /* no version */
    {KV_ROLE_PENDING, 12, 4, KV_CORRUPT},
    {0, 12, 4, KV_CORRUPT}, /* no role */
    {9, 12, 4, KV_CORRUPT},
    {'v', 16, 1, KV_CORRUPT}, /* the uuid of another store */
    {BUILT_NUMBER + 1, 32, 8, KV_CORRUPT},
    {BUILT_SALT + 1, 40, 8, KV_CORRUPT},
    {UINT64_MAX / 2 + 1, 64, 8, KV_CORRUPT}, /* base LSN */
    {UINT64_MAX, 64, 8, KV_CORRUPT},
    {0, 96, 4, KV_CORRUPT}, /* record limit */
    {KV_LOG_RECORD_LIMIT + 1, 96, 4, KV_CORRUPT},
    {UINT32_MAX, 96, 4, KV_CORRUPT},
};

START_TEST(test_log_hostile_header_that_does_not_fit)
{
    uint8_t *page;
    struct kv_log *log;

    log_builder_begin(&log_);
    page = log_.bytes.data;
    memcpy(page + header_faults[_i].at, &header_faults[_i].value, header_faults[_i].size);
    kv_store_u64(page + KV_HEADER_BYTES - 8,
                 kv_hash(kv_slice_of(page, KV_HEADER_BYTES - 8), kv_load_u64(page + 32)));
    ck_assert(kv_memfs_write_file(fixture.fs, fixture_data_path(BUILT_NUMBER),
                                  kv_buffer_slice(&log_.bytes)));
    ck_kv_is(kv_log_open(&fixture.place, BUILT_NUMBER, BUILT_SALT, &log),
             header_faults[_i].expected);
    ck_assert_ptr_null(log);
    ck_assert_ptr_nonnull(strstr(kv_message(), fixture_data_path(BUILT_NUMBER)));
}
END_TEST

/* The largest seq and LSN that a header may state: no sum overflows into something that counts. */
START_TEST(test_log_hostile_largest_numbers)
{
    struct scanned result;

    log_builder_begin(&log_);
    log_.header.base_seq = UINT64_MAX;
    log_.header.log.base_lsn = UINT64_MAX / 2;
    log_builder_write_header(&log_);
    log_.place.base_seq = 0;
    log_.tail.seq = UINT64_MAX;
    log_builder_add(&log_, KV_PUT, "k", 1); /* seq wraps to 0 */
    log_builder_commit(&log_);
    result = scan_bytes(&fixture, kv_buffer_slice(&log_.bytes), 0);
    ck_kv(result.st);
    ck_assert_uint_eq(result.log->tail.end_bytes, KV_HEADER_BYTES);
    scanned_release(&result);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_hostile");
    TCase *hostile = tcase_create("hostile");

    tcase_add_checked_fixture(hostile, setup, teardown);
    tcase_add_test(hostile, test_log_hostile_newer_record);
    tcase_add_test(hostile, test_log_hostile_newer_commit);
    tcase_add_test(hostile, test_log_hostile_commit_of_a_group);
    tcase_add_test(hostile, test_log_hostile_hostile_sizes);
    tcase_add_test(hostile, test_log_hostile_more_records_than_the_limit);
    tcase_add_test(hostile, test_log_hostile_claim_of_everything);
    tcase_add_loop_test(hostile, test_log_hostile_header_that_does_not_fit, 0,
                        sizeof(header_faults) / sizeof(header_faults[0]));
    tcase_add_test(hostile, test_log_hostile_largest_numbers);
    suite_add_tcase(suite, hostile);
    return kv_run_suite(suite);
}
