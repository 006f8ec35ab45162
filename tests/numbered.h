/*
 * Writes that can be told apart by their number, to a write set: number i puts
 * or deletes one of a few keys, so that every key is overwritten again and again.
 */
#ifndef KV_TESTS_NUMBERED_H
#define KV_TESTS_NUMBERED_H

#include "write_set.h"

enum {
    NUMBERED_KEYS = 7,
    NUMBERED_LARGE_ROW = 30000
}; /* nine such rows are past a write set's buffer */

struct kv_slice numbered_key(uint64_t i);

/* The row of a put: a few bytes longer than `row_size`. Valid until the next call. */
struct kv_slice numbered_row(uint64_t i, size_t row_size);

/* Do write i; do writes first … end-1, which must succeed. */
enum kv_status numbered_try(struct kv_write_set *set, uint64_t i, size_t row_size);
void numbered_add(struct kv_write_set *set, uint64_t first, uint64_t end, size_t row_size);

/* The last of writes 0 … count-1 to key k; -1: none. */
int64_t numbered_last(uint64_t k, uint64_t count);

/* The entry is what write i left. */
void numbered_check(const struct kv_entry *entry, uint64_t i, size_t row_size);

#endif
