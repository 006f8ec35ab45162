/*
 * The split-block Bloom filter (bloom.h).
 *
 * A hash's high bits choose the block, its low 48 bits the eight bits in it:
 * six for each word.
 */
#include "bloom.h"

#include "bytes.h"
#include "hash.h"

enum { WORDS = 8, BITS_OF_WORD_INDEX = 6, BLOCK_BITS = KV_BLOOM_BLOCK_BYTES * 8 };

_Static_assert(WORDS * 8 == KV_BLOOM_BLOCK_BYTES, "a block is eight words of 64 bits");

uint64_t kv_bloom_block_count(uint64_t key_count)
{
    return key_count * KV_BLOOM_BITS_A_KEY / BLOCK_BITS + 1;
}

uint64_t kv_bloom_block(uint64_t hash, uint64_t block_count)
{
    return kv_hash_scale(hash, block_count);
}

static inline uint64_t word_bit(uint64_t hash, unsigned word)
{
    return UINT64_C(1) << ((hash >> (word * BITS_OF_WORD_INDEX)) & 63);
}

void kv_bloom_add(void *block, uint64_t hash)
{
    uint64_t *words = block;

    for (unsigned i = 0; i < WORDS; i++)
        words[i] |= word_bit(hash, i);
}

bool kv_bloom_may_contain(const void *block, uint64_t hash)
{
    const uint64_t *words = block;
    uint64_t missing = 0;

    /* Without branches: all eight words are in the one line that was fetched. */
    for (unsigned i = 0; i < WORDS; i++)
        missing |= ~words[i] & word_bit(hash, i);
    return missing == 0;
}
