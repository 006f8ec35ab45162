/*
 * A split-block Bloom filter: each key sets one bit in each of the eight words
 * of one 64-byte block, so that a question costs one cache line. (Putze,
 * Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters, 2007; the
 * split layout is Parquet's.) Pure: callers lay blocks out as they like.
 */
#ifndef KV_BLOOM_H
#define KV_BLOOM_H

#include <stdbool.h>
#include <stdint.h>

enum { KV_BLOOM_BLOCK_BYTES = 64, KV_BLOOM_BITS_A_KEY = 11 };

/* Blocks for `key_count` keys; at least 1. */
uint64_t kv_bloom_block_count(uint64_t key_count);

/* The block of a key's hash: 0 … block_count-1. */
uint64_t kv_bloom_block(uint64_t hash, uint64_t block_count);

/* `block` is 64 zeroed or partly filled bytes, aligned to 8. */
void kv_bloom_add(void *block, uint64_t hash);

/* false: the key was never added. true: it may have been. */
bool kv_bloom_may_contain(const void *block, uint64_t hash);

#endif
