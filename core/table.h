/*
 * Zeroed memory for tables. Large ones are pages of their own: untouched they cost nothing, and
 * freed they are gone, where the heap would keep them for a next time that may never come.
 */
#ifndef KV_TABLE_H
#define KV_TABLE_H

#include <stdlib.h>

#include "io.h"

enum { KV_TABLE_PAGES_MIN_BYTES = 1 << 20 };

/* NULL: out of memory. */
static inline void *kv_table_new(size_t size)
{
    return size < KV_TABLE_PAGES_MIN_BYTES ? calloc(1, size) : kv_io_pages_new(size);
}

/* A hint: most of it is going to be touched. */
static inline void kv_table_expect_all(void *table, size_t size)
{
    if (size >= KV_TABLE_PAGES_MIN_BYTES)
        kv_io_pages_expect_all(table, size);
}

/* `size` as it was asked for. NULL is fine. */
static inline void kv_table_free(void *table, size_t size)
{
    if (size < KV_TABLE_PAGES_MIN_BYTES)
        free(table);
    else
        kv_io_pages_free(table, size);
}

#endif
