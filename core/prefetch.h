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
 * Fetching records that lie scattered, some time before they are read. The
 * first line of each is asked for in bursts: what that waits for is the translation of the
 * page, and only of loads that follow each other closely does the processor
 * look up several at once. The other lines follow one record at a time: the
 * processor has few places for lines on their way, and stands still when they
 * are taken.
 */
enum {
    KV_BURST_FIRST_COUNT = 4, /* records; so that a seek for one row does not fetch dozens */
    KV_BURST_MAX_COUNT = 16,
    KV_REST_AHEAD_COUNT = 4,     /* records; at most KV_BURST_MAX_COUNT */
    KV_RECORD_AHEAD_BYTES = 192, /* of each record */
};

static inline __attribute__((always_inline)) void kv_prefetch_first_line(const uint8_t *record)
{
    __builtin_prefetch(record);
}

static inline __attribute__((always_inline)) void kv_prefetch_rest(const uint8_t *record)
{
    kv_prefetch(record + KV_CACHE_LINE_BYTES, KV_RECORD_AHEAD_BYTES - KV_CACHE_LINE_BYTES);
}

#endif
