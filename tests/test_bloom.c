/* The filter never forgets a key, and rarely claims one that it was not given. */
#include <stdio.h>

#include "bloom.h"
#include "hash.h"
#include "runner.h"

static uint64_t hash_of(uint64_t number)
{
    return kv_hash(kv_slice_of(&number, sizeof(number)), 99);
}

START_TEST(test_bloom_block_counts)
{
    ck_assert_uint_eq(kv_bloom_block_count(0), 1);
    ck_assert_uint_eq(kv_bloom_block_count(1), 1);
    for (uint64_t keys = 1; keys < UINT64_C(1) << 32; keys = keys * 3 + 1) {
        uint64_t blocks = kv_bloom_block_count(keys);
        ck_assert_uint_ge(blocks * KV_BLOOM_BLOCK_BYTES * 8, keys * KV_BLOOM_BITS_A_KEY);
        ck_assert_uint_lt(kv_bloom_block(UINT64_MAX, blocks), blocks);
        ck_assert_uint_eq(kv_bloom_block(0, blocks), 0);
    }
}
END_TEST

START_TEST(test_bloom_empty_block_contains_nothing)
{
    uint64_t block[8] = {0};

    for (uint64_t i = 0; i < 1000; i++)
        ck_assert(!kv_bloom_may_contain(block, hash_of(i)));
}
END_TEST

/* Goal: each key sets exactly one bit in each word. */
START_TEST(test_bloom_add_sets_one_bit_a_word)
{
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t block[8] = {0};
        kv_bloom_add(block, hash_of(i));
        for (int word = 0; word < 8; word++)
            ck_assert_int_eq(__builtin_popcountll(block[word]), 1);
        ck_assert(kv_bloom_may_contain(block, hash_of(i)));
    }
}
END_TEST

/*
 * Goal: no false negatives; fewer than 2 % false positives at the load that
 * the index uses.
 */
START_TEST(test_bloom_false_positive_rate)
{
    enum { KEYS = 100000 };
    uint64_t block_count = kv_bloom_block_count(KEYS);
    uint8_t *blocks = aligned_alloc(64, block_count * KV_BLOOM_BLOCK_BYTES);
    unsigned false_positives = 0;

    memset(blocks, 0, block_count * KV_BLOOM_BLOCK_BYTES);
    for (uint64_t i = 0; i < KEYS; i++)
        kv_bloom_add(blocks + 64 * kv_bloom_block(hash_of(i), block_count), hash_of(i));
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t hash = hash_of(i), other = hash_of(i + KEYS);
        ck_assert(kv_bloom_may_contain(blocks + 64 * kv_bloom_block(hash, block_count), hash));
        false_positives +=
            kv_bloom_may_contain(blocks + 64 * kv_bloom_block(other, block_count), other);
    }
    printf("bloom: %.2f %% false positives\n", 100.0 * false_positives / KEYS);
    ck_assert_uint_lt(false_positives, KEYS / 50);
    free(blocks);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bloom");
    TCase *tests = tcase_create("filter");

    tcase_add_test(tests, test_bloom_block_counts);
    tcase_add_test(tests, test_bloom_empty_block_contains_nothing);
    tcase_add_test(tests, test_bloom_add_sets_one_bit_a_word);
    tcase_add_test(tests, test_bloom_false_positive_rate);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
