/*
 * A run, open for reading: sealed segments with disjoint, ascending key ranges,
 * seen as one sorted source. Keys up to `low` are hidden in all of it, because
 * a merge has moved them elsewhere.
 *
 * Immutable and shared, like the segments that it holds references to.
 */
#ifndef KV_RUN_H
#define KV_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iter.h"
#include "segment.h"
#include "slice.h"
#include "status.h"

struct kv_run_reader;

/*
 * Make a run of at least one segment, in ascending order; a reference of each
 * is taken, and `low` (NULL: nothing is hidden) copied. The caller gets the
 * only reference. KV_NOMEM.
 */
enum kv_status kv_run_open(struct kv_segment *const *segments, size_t segment_count,
                           const struct kv_slice *low, struct kv_run_reader **out) KV_WARN_UNUSED;

struct kv_run_reader *kv_run_ref(struct kv_run_reader *run);
void kv_run_unref(struct kv_run_reader *run); /* NULL is fine */

size_t kv_run_segment_count(const struct kv_run_reader *run);
struct kv_segment *kv_run_segment(const struct kv_run_reader *run, size_t i); /* borrowed */

/* The only segment that may show `key`, borrowed; NULL: none does. */
struct kv_segment *kv_run_segment_of(const struct kv_run_reader *run, struct kv_slice key);

/* Look a key up: KV_OK (`*out` may be a tombstone), KV_DONE, or as kv_segment_get fails. */
enum kv_status kv_run_get(struct kv_run_reader *run, uint64_t hash, struct kv_slice key,
                          struct kv_entry *out) KV_WARN_UNUSED;

/* May the run hold the key, and show it? By ranges and filters alone; damage says yes. */
bool kv_run_may_contain(struct kv_run_reader *run, uint64_t hash, struct kv_slice key);

/*
 * Iterate in key order. The iterator holds a reference; its entries are valid
 * until the next call on it. One segment at a time is being iterated.
 */
enum kv_status kv_run_iter(struct kv_run_reader *run, struct kv_iter **out) KV_WARN_UNUSED;

#endif
