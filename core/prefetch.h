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

#endif
