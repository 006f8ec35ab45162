/*
 * A sealed segment, open for reading: its data mapped, its index mapped.
 *
 * Immutable and shared: any number of threads read one object; it is freed
 * with its last reference. Entries handed out borrow the mapping: they are
 * valid while a reference is held.
 */
#ifndef KV_SEGMENT_H
#define KV_SEGMENT_H

#include <stdint.h>

#include "index.h"
#include "iter.h"
#include "place.h"
#include "record.h"
#include "segment_info.h"
#include "segment_scan.h"

struct kv_segment;

/*
 * Open the segment that `info` (copied) describes; the caller gets the only
 * reference. The header must carry this store's uuid and info's number and salt, and
 * the file must reach info->end_bytes. An index that is missing, of other data
 * or damaged is built anew from the data (one scan).
 *
 * KV_CORRUPT: the data is not what the manifest says; KV_NOTFOUND: no such
 * file. Messages name the file.
 */
enum kv_status kv_segment_open(const struct kv_place *place, const struct kv_segment_info *info,
                               struct kv_segment **out) KV_WARN_UNUSED;

struct kv_segment *kv_segment_ref(struct kv_segment *segment);
void kv_segment_unref(struct kv_segment *segment); /* NULL is fine */

const struct kv_segment_info *kv_segment_info(const struct kv_segment *segment);

/*
 * The bytes of its files as they were when it was opened, which last as long as the segment; of a
 * log's data only those up to info's end_bytes.
 */
struct kv_slice kv_segment_data(const struct kv_segment *segment);
struct kv_slice kv_segment_index_data(const struct kv_segment *segment);
uint64_t kv_segment_index_bytes(const struct kv_segment *segment);
bool kv_segment_index_rebuilt(const struct kv_segment *segment); /* by kv_segment_open or since */

/* Start fetching what kv_segment_get will ask first, and with `likely` what it asks then. */
void kv_segment_prefetch(const struct kv_segment *segment, uint64_t hash, bool likely);

/*
 * Look a key up. KV_OK (`*out` may be a tombstone); KV_DONE: not in this
 * segment. A damaged index is rebuilt once and asked again; KV_CORRUPT if
 * that, or the record, is bad.
 */
enum kv_status kv_segment_get(struct kv_segment *segment, uint64_t hash, struct kv_slice key,
                              struct kv_entry *out) KV_WARN_UNUSED;

/* As the filter alone says: may the segment hold the key? Damage says yes. */
bool kv_segment_may_contain(struct kv_segment *segment, uint64_t hash);

/*
 * Iterate in key order. The iterator holds a reference. Records ahead are
 * prefetched, since those of a log lie in insertion order.
 */
enum kv_status kv_segment_iter(struct kv_segment *segment, struct kv_iter **out) KV_WARN_UNUSED;

/* Read it in file order: kv_segment_scan_next (segment_scan.h). Borrows the segment. */
void kv_segment_scan_all(const struct kv_segment *segment, struct kv_segment_scan *out);

/* The newest record of the key at `position` in key order, for sampling: KV_CORRUPT is no news. */
enum kv_status kv_segment_sample(struct kv_segment *segment, uint64_t position,
                                 struct kv_entry *out) KV_WARN_UNUSED;

/* About how many of its bytes belong to keys past `key`. */
uint64_t kv_segment_bytes_past(struct kv_segment *segment, struct kv_slice key);

/* Who asked for a check. */
struct kv_segment_watcher {
    /* Something is wrong: `offset` in the data file, 0 for the index. */
    void (*problem)(void *context, uint64_t offset, const char *text);
    /* Asked now and then: false ends the check. NULL: never. */
    bool (*goes_on)(void *context);
    void *context;
};

/*
 * Read everything and compare: each record's checksum, the order, the index
 * and info's totals. Tells `watcher` of each thing that is wrong, and goes on
 * where it can. KV_INTERRUPTED: it was told to stop; no message.
 */
enum kv_status kv_segment_check(struct kv_segment *segment,
                                const struct kv_segment_watcher *watcher) KV_WARN_UNUSED;

#endif
