/*
 * Start fetching memory that will be read soon.
 *
 * Always inlined: GCC 12 takes a function that does nothing but prefetch for
 * one without effect, and drops calls to it.
 */
#ifndef KV_PREFETCH_H
#define KV_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

enum { KV_CACHE_LINE_BYTES = 64 };

/* The first `size` bytes at `at`, a line at a time; they need not be readable. */
static inline __attribute__((always_inline)) void kv_prefetch(const void *at, size_t size)
{
    for (size_t i = 0; i < size; i += KV_CACHE_LINE_BYTES)
        __builtin_prefetch((const uint8_t *)at + i);
}

/*
 * The same for `count` records: `size` bytes at each of these offsets from `base`. The
 * first line of each comes first, since that is what a page's translation has to be
 * looked up for; the processor looks up several at once if nothing stands between them.
 */
static inline __attribute__((always_inline)) void kv_prefetch_each(const uint8_t *base,
                                                                   const uint32_t *offsets,
                                                                   size_t count, size_t size)
{
    for (size_t i = 0; i < size; i += KV_CACHE_LINE_BYTES) {
        for (size_t record = 0; record < count; record++)
            __builtin_prefetch(base + offsets[record] + i);
    }
}

#endif
