/* A borrowed run of bytes, and how the store orders keys. */
#ifndef KV_SLICE_H
#define KV_SLICE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* `data` may be NULL when `size` is 0. Whoever hands one out says until when it is valid. */
struct kv_slice {
    const uint8_t *data;
    size_t size;
};

static inline struct kv_slice kv_slice_of(const void *data, size_t size)
{
    return (struct kv_slice){(const uint8_t *)data, size};
}

static inline struct kv_slice kv_slice_text(const char *text)
{
    return kv_slice_of(text, strlen(text));
}

/* The order of keys: by bytes, unsigned; a proper prefix comes first. <0, 0 or >0. */
static inline int kv_slice_compare(struct kv_slice a, struct kv_slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;

    if (order)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

static inline int kv_slice_equal(struct kv_slice a, struct kv_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/*
 * The first eight bytes as a number, zero-padded: a weak order on keys.
 * a <= b implies prefix(a) <= prefix(b); equal prefixes say nothing.
 */
static inline uint64_t kv_slice_prefix(struct kv_slice key)
{
    uint64_t word = 0;

    if (key.size >= 8) {
        memcpy(&word, key.data, 8);
        return __builtin_bswap64(word);
    }
    for (size_t i = 0; i < key.size; i++)
        word |= (uint64_t)key.data[i] << (56 - 8 * i);
    return word;
}

#endif
