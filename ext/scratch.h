/*
 * A growing run of bytes in SQLite's memory, kept from one row to the next so
 * that writing a row allocates nothing. Zero-initialise it.
 */
#ifndef KV_EXT_SCRATCH_H
#define KV_EXT_SCRATCH_H

#include <stdbool.h>

#include "slice.h"
#include "sqlite.h"

struct kv_scratch {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

/* Larger buffers are not worth keeping for the next row. */
enum { KV_SCRATCH_KEEP_BYTES = 1 << 20 };

/* Make room for `size` bytes in all, keeping the content; false when out of memory. */
static inline bool kv_scratch_reserve(struct kv_scratch *scratch, size_t size)
{
    size_t capacity = size + size / 2 + 64;
    uint8_t *data;

    if (size <= scratch->capacity)
        return true;
    data = (uint8_t *)sqlite3_realloc64(scratch->data, capacity);
    if (!data)
        return false;
    scratch->data = data;
    scratch->capacity = capacity;
    return true;
}

/* Make the content a copy of `bytes`; false when out of memory (the content is unchanged). */
static inline bool kv_scratch_set(struct kv_scratch *scratch, struct kv_slice bytes)
{
    if (!kv_scratch_reserve(scratch, bytes.size))
        return false;
    if (bytes.size)
        memcpy(scratch->data, bytes.data, bytes.size);
    scratch->size = bytes.size;
    return true;
}

static inline struct kv_slice kv_scratch_slice(const struct kv_scratch *scratch)
{
    return kv_slice_of(scratch->data, scratch->size);
}

static inline void kv_scratch_release(struct kv_scratch *scratch)
{
    sqlite3_free(scratch->data);
    *scratch = (struct kv_scratch){NULL, 0, 0};
}

/* After a huge row: give the memory back rather than keep it for the next. */
static inline void kv_scratch_trim(struct kv_scratch *scratch)
{
    if (scratch->capacity > KV_SCRATCH_KEEP_BYTES)
        kv_scratch_release(scratch);
}

#endif
