/* Slices, numbers, varints, the bounds-checked reader, and the growing buffer. */
#include "bytes.h"

#include "buffer.h"
#include "runner.h"

/* ---- Slices */

static struct kv_slice keys[] = {
    {NULL, 0},
    {(const uint8_t *)"\0", 1},
    {(const uint8_t *)"\0\0", 2},
    {(const uint8_t *)"\0\1", 2},
    {(const uint8_t *)"a", 1},
    {(const uint8_t *)"a\0", 2},
    {(const uint8_t *)"a\0\0\0\0\0\0\0", 8},
    {(const uint8_t *)"a\0\0\0\0\0\0\0\0", 9},
    {(const uint8_t *)"ab", 2},
    {(const uint8_t *)"abcdefg", 7},
    {(const uint8_t *)"abcdefgh", 8},
    {(const uint8_t *)"abcdefgh\xff", 9},
    {(const uint8_t *)"abcdefgi", 8},
    {(const uint8_t *)"\x7f", 1},
    {(const uint8_t *)"\x80", 1}, /* bytes are unsigned */
    {(const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff", 8},
    {(const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9},
};
enum { KEYS = sizeof(keys) / sizeof(keys[0]) };

/* Goal: one total order, and a prefix that never contradicts it. The keys above ascend. */
START_TEST(test_bytes_slices_have_one_order)
{
    for (int i = 0; i < KEYS; i++) {
        for (int j = 0; j < KEYS; j++) {
            int order = kv_slice_compare(keys[i], keys[j]);

            ck_assert_int_eq((order > 0) - (order < 0), (i > j) - (i < j));
            ck_assert_int_eq(kv_slice_equal(keys[i], keys[j]), i == j);
            if (i <= j)
                ck_assert_uint_le(kv_slice_prefix(keys[i]), kv_slice_prefix(keys[j]));
        }
    }
    ck_assert_uint_eq(kv_slice_prefix(kv_slice_text("abc")), 0x6162630000000000);
    ck_assert_uint_eq(kv_slice_prefix(kv_slice_text("abcdefghij")), 0x6162636465666768);
}
END_TEST

/* Equal bytes in different places are equal; ASan watches that no byte past the end is read. */
START_TEST(test_bytes_slices_stay_in_bounds)
{
    for (int i = 1; i < KEYS; i++) {
        uint8_t *exact = malloc(keys[i].size);

        ck_assert_ptr_nonnull(exact);
        memcpy(exact, keys[i].data, keys[i].size);
        ck_assert_int_eq(kv_slice_compare(kv_slice_of(exact, keys[i].size), keys[i]), 0);
        ck_assert(kv_slice_equal(kv_slice_of(exact, keys[i].size), keys[i]));
        ck_assert_uint_eq(kv_slice_prefix(kv_slice_of(exact, keys[i].size)),
                          kv_slice_prefix(keys[i]));
        free(exact);
    }
}
END_TEST

/* ---- Numbers */

START_TEST(test_bytes_numbers_are_little_endian)
{
    uint8_t at[9] = {0}; /* at an odd address, too */

    kv_store_u16(at + 1, 0x0201);
    ck_assert_mem_eq(at + 1, "\x01\x02", 2);
    ck_assert_uint_eq(kv_load_u16(at + 1), 0x0201);
    kv_store_u32(at + 1, 0x04030201);
    ck_assert_mem_eq(at + 1, "\x01\x02\x03\x04", 4);
    ck_assert_uint_eq(kv_load_u32(at + 1), 0x04030201);
    kv_store_u64(at + 1, 0x0807060504030201);
    ck_assert_mem_eq(at + 1, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    ck_assert_uint_eq(kv_load_u64(at + 1), 0x0807060504030201);
}
END_TEST

/* ---- Varints */

/* Both sides of every power of two: all lengths, all boundaries between them. */
static uint64_t near_power(int i)
{
    uint64_t power = 1ull << (i / 3);

    return power + (uint64_t)(i % 3) - 1;
}
enum { NEAR_POWERS = 3 * 64 };

/* An encoding of `value` in a heap block of exactly its size, for free(). */
static uint8_t *encoded(uint64_t value, size_t *size)
{
    uint8_t *bytes;

    *size = kv_varint_size(value);
    bytes = malloc(*size);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_ptr_eq(kv_varint_put(bytes, value), bytes + *size);
    return bytes;
}

START_TEST(test_bytes_varints_round_trip)
{
    for (int i = 0; i <= NEAR_POWERS; i++) {
        uint64_t value = i < NEAR_POWERS ? near_power(i) : UINT64_MAX;
        size_t size;
        uint8_t *bytes = encoded(value, &size);
        struct kv_reader reader = kv_reader_of(kv_slice_of(bytes, size));

        ck_assert_uint_eq(kv_read_varint(&reader), value);
        ck_assert(!reader.failed);
        ck_assert_uint_eq(kv_reader_left(&reader), 0);
        free(bytes);
    }
}
END_TEST

START_TEST(test_bytes_varints_have_their_sizes)
{
    ck_assert_uint_eq(kv_varint_size(0), 1);
    ck_assert_uint_eq(kv_varint_size(127), 1);
    ck_assert_uint_eq(kv_varint_size(128), 2);
    for (unsigned bits = 7; bits < 64; bits += 7) {
        ck_assert_uint_eq(kv_varint_size((1ull << bits) - 1), bits / 7);
        ck_assert_uint_eq(kv_varint_size(1ull << bits), bits / 7 + 1);
    }
    ck_assert_uint_eq(kv_varint_size(UINT64_MAX), KV_VARINT_MAX_BYTES);
}
END_TEST

START_TEST(test_bytes_varints_reject_every_truncation)
{
    for (int i = 0; i < NEAR_POWERS; i++) {
        size_t size;
        uint8_t *bytes = encoded(near_power(i), &size);

        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *exact = malloc(cut + !cut);
            struct kv_reader reader = kv_reader_of(kv_slice_of(exact, cut));

            ck_assert_ptr_nonnull(exact);
            memcpy(exact, bytes, cut);
            ck_assert_uint_eq(kv_read_varint(&reader), 0);
            ck_assert(reader.failed);
            free(exact);
        }
        free(bytes);
    }
}
END_TEST

/* Goal: each number has one form. Method: flip every bit; what is accepted encodes to what was read. */
START_TEST(test_bytes_varints_have_one_form)
{
    for (int i = 0; i < NEAR_POWERS; i++) {
        uint64_t original = near_power(i);
        size_t size, size_again;
        uint8_t *bytes = encoded(original, &size);

        for (size_t bit = 0; bit < 8 * size; bit++) {
            struct kv_reader reader = kv_reader_of(kv_slice_of(bytes, size));
            uint64_t value;

            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            value = kv_read_varint(&reader);
            if (!reader.failed) {
                uint8_t *again = encoded(value, &size_again);

                ck_assert_uint_ne(value, original);
                ck_assert_uint_eq(size_again, size - kv_reader_left(&reader));
                ck_assert_mem_eq(again, bytes, size_again);
                free(again);
            }
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        free(bytes);
    }
}
END_TEST

START_TEST(test_bytes_varints_reject_padding_and_overflow)
{
    static const struct {
        const char *bytes;
        size_t size;
    } invalid[] = {
        {"\x80\x00", 2},                                      /* 0 in two bytes */
        {"\xff\x80\x00", 3},                                  /* 127 in three */
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 10},     /* 0 in ten */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10},     /* bit 65 */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11}, /* eleven bytes */
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12},
    };

    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        struct kv_reader reader = kv_reader_of(kv_slice_of(invalid[i].bytes, invalid[i].size));

        ck_assert_uint_eq(kv_read_varint(&reader), 0);
        ck_assert(reader.failed);
    }
}
END_TEST

/* ---- The reader */

START_TEST(test_bytes_reader_reads_in_order)
{
    static const uint8_t bytes[] = "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
                                   "\xac\x02xyz";
    struct kv_reader reader = kv_reader_of(kv_slice_of(bytes, sizeof(bytes) - 1));
    struct kv_slice rest;

    ck_assert_uint_eq(kv_read_u8(&reader), 0x01);
    ck_assert_uint_eq(kv_read_u16(&reader), 0x0302);
    ck_assert_uint_eq(kv_read_u32(&reader), 0x07060504);
    ck_assert_uint_eq(kv_read_u64(&reader), 0x0f0e0d0c0b0a0908);
    ck_assert_uint_eq(kv_read_varint(&reader), 300);
    ck_assert_uint_eq(kv_read_bytes(&reader, 0).size, 0);
    rest = kv_read_bytes(&reader, 3);
    ck_assert(kv_slice_equal(rest, kv_slice_text("xyz")));
    ck_assert_ptr_eq(rest.data, bytes + 17); /* borrowed, not copied */
    ck_assert(!reader.failed);
    ck_assert_uint_eq(kv_reader_left(&reader), 0);
}
END_TEST

static uint64_t read_kind(struct kv_reader *reader, int kind)
{
    switch (kind) {
    case 0: return kv_read_u8(reader);
    case 1: return kv_read_u16(reader);
    case 2: return kv_read_u32(reader);
    case 3: return kv_read_u64(reader);
    case 4: return kv_read_varint(reader);
    case 5: return kv_read_bytes(reader, 5).size;
    default: return kv_read_bytes(reader, UINT64_MAX).size;
    }
}

/*
 * Goal: no read leaves the bounds, and after the first failure nothing is read.
 * Method: every kind of read on every shorter input, then every other kind.
 */
START_TEST(test_bytes_reader_fails_for_good)
{
    static const size_t needs[] = {1, 2, 4, 8, 1, 5, SIZE_MAX};

    for (int kind = 0; kind < 7; kind++) {
        for (size_t size = 0; size < needs[kind] && size < 8; size++) {
            uint8_t *exact = malloc(size + !size);
            struct kv_reader reader = kv_reader_of(kv_slice_of(exact, size));

            ck_assert_ptr_nonnull(exact);
            memset(exact, 1, size);
            ck_assert_uint_eq(read_kind(&reader, kind), 0);
            ck_assert(reader.failed);
            for (int other = 0; other < 7; other++)
                ck_assert_uint_eq(read_kind(&reader, other), 0);
            ck_assert_uint_eq(kv_read_bytes(&reader, 0).size, 0);
            ck_assert(reader.failed);
            ck_assert_uint_eq(kv_reader_left(&reader), 0);
            free(exact);
        }
    }
}
END_TEST

START_TEST(test_bytes_reader_of_nothing)
{
    struct kv_reader reader = kv_reader_of(kv_slice_of(NULL, 0));

    ck_assert_uint_eq(kv_read_bytes(&reader, 0).size, 0);
    ck_assert(!reader.failed);
    ck_assert_uint_eq(kv_read_varint(&reader), 0);
    ck_assert(reader.failed);
}
END_TEST

/* ---- The buffer */

START_TEST(test_bytes_buffer_grows_and_keeps)
{
    struct kv_buffer buffer = {0};

    for (unsigned i = 0; i < 10000; i++)
        ck_kv(kv_buffer_append(&buffer, kv_slice_of(&i, sizeof(i))));
    ck_assert_uint_eq(buffer.size, 10000 * sizeof(unsigned));
    for (unsigned i = 0; i < 10000; i++)
        ck_assert_uint_eq(kv_load_u32(kv_buffer_slice(&buffer).data + i * sizeof(i)), i);
    kv_buffer_release(&buffer);
    ck_assert_ptr_null(buffer.data);
    ck_assert_uint_eq(buffer.size, 0);
    kv_buffer_release(&buffer);
}
END_TEST

START_TEST(test_bytes_buffer_reserves_without_adding)
{
    struct kv_buffer buffer = {0};
    uint8_t *at;

    ck_assert_ptr_nonnull(kv_buffer_reserve(&buffer, 0)); /* an answer, even for nothing */
    ck_kv(kv_buffer_append(&buffer, kv_slice_text("ab")));
    at = kv_buffer_reserve(&buffer, 100000);
    ck_assert_ptr_eq(at, buffer.data + 2);
    ck_assert_uint_eq(buffer.size, 2);
    memset(at, 'x', 100000); /* ASan: the room is there */
    ck_assert_ptr_eq(kv_buffer_reserve(&buffer, 100000), at);
    kv_buffer_release(&buffer);
}
END_TEST

START_TEST(test_bytes_buffer_refuses_what_cannot_be)
{
    struct kv_buffer buffer = {0};

    ck_kv(kv_buffer_append(&buffer, kv_slice_text("kept")));
    ck_assert_ptr_null(kv_buffer_reserve(&buffer, SIZE_MAX));
    ck_assert_ptr_null(kv_buffer_reserve(&buffer, SIZE_MAX / 2));
    ck_kv_is(kv_buffer_append(&buffer, kv_slice_of(buffer.data, SIZE_MAX)), KV_NOMEM);
    ck_kv_is(kv_buffer_set(&buffer, kv_slice_of(buffer.data, SIZE_MAX)), KV_NOMEM);
    ck_assert(kv_slice_equal(kv_buffer_slice(&buffer), kv_slice_text("kept")));
    kv_buffer_release(&buffer);
}
END_TEST

START_TEST(test_bytes_buffer_set_replaces)
{
    struct kv_buffer buffer = {0};

    ck_kv(kv_buffer_set(&buffer, kv_slice_text("first")));
    ck_kv(kv_buffer_set(&buffer, kv_slice_text("2nd")));
    ck_assert(kv_slice_equal(kv_buffer_slice(&buffer), kv_slice_text("2nd")));
    ck_kv(kv_buffer_set(&buffer, kv_slice_of(NULL, 0)));
    ck_assert_uint_eq(buffer.size, 0);
    kv_buffer_release(&buffer);
}
END_TEST

static Suite *bytes_suite(void)
{
    Suite *suite = suite_create("bytes");
    TCase *tests = tcase_create("bytes");

    tcase_add_test(tests, test_bytes_slices_have_one_order);
    tcase_add_test(tests, test_bytes_slices_stay_in_bounds);
    tcase_add_test(tests, test_bytes_numbers_are_little_endian);
    tcase_add_test(tests, test_bytes_varints_round_trip);
    tcase_add_test(tests, test_bytes_varints_have_their_sizes);
    tcase_add_test(tests, test_bytes_varints_reject_every_truncation);
    tcase_add_test(tests, test_bytes_varints_have_one_form);
    tcase_add_test(tests, test_bytes_varints_reject_padding_and_overflow);
    tcase_add_test(tests, test_bytes_reader_reads_in_order);
    tcase_add_test(tests, test_bytes_reader_fails_for_good);
    tcase_add_test(tests, test_bytes_reader_of_nothing);
    tcase_add_test(tests, test_bytes_buffer_grows_and_keeps);
    tcase_add_test(tests, test_bytes_buffer_reserves_without_adding);
    tcase_add_test(tests, test_bytes_buffer_refuses_what_cannot_be);
    tcase_add_test(tests, test_bytes_buffer_set_replaces);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(bytes_suite());
}
