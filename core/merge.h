/*
 * Merges iterators into one: ascending or descending keys, and of equal keys
 * the entry of the newest source alone. Nothing is materialised: memory is
 * O(sources).
 *
 * A failure of a source ends the merged iteration with its status until the
 * next seek. A bound must not lie in an entry of this very iterator: seeking
 * the first source would invalidate it for the others.
 */
#ifndef KV_MERGE_H
#define KV_MERGE_H

#include <stddef.h>

#include "iter.h"

/*
 * `sources` are ordered newest first. Takes ownership of the iterators (not of the
 * array), also when it fails. Tombstones come out as entries.
 */
enum kv_status kv_merge_open(struct kv_iter **sources, size_t source_count,
                             struct kv_iter **out) KV_WARN_UNUSED;

#endif
