/*
 * Hashes and checksums: XXH3 of xxHash (https://xxhash.com), compiled into each
 * file that uses it, so that nothing is linked.
 */
#ifndef KV_HASH_H
#define KV_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "slice.h"

/* 64 bits over `bytes`. Without the seed nobody can choose keys that collide. */
static inline uint64_t kv_hash(struct kv_slice bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.size, seed);
}

/* The checksum stored before a run of bytes: the low half of its hash. */
static inline uint32_t kv_checksum(const void *data, size_t size, uint64_t seed)
{
    return (uint32_t)XXH3_64bits_withSeed(data, size, seed);
}

/* Carry a digest over one more number; order matters. */
static inline uint64_t kv_digest_add(uint64_t digest, uint64_t value)
{
    return XXH3_64bits_withSeed(&value, sizeof(value), digest);
}

/* Map a hash to 0 … count-1 by its high bits, without a division. */
static inline uint64_t kv_hash_scale(uint64_t hash, uint64_t count)
{
    return (uint64_t)(((unsigned __int128)hash * count) >> 64);
}

#endif
