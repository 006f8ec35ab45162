/* The inside of struct kv_segment, for segment.c, segment_iter.c and segment_check.c only. */
#ifndef KV_SEGMENT_PRIVATE_H
#define KV_SEGMENT_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "segment.h"

struct kv_segment {
    _Atomic uint32_t references;
    const struct kv_place *place;
    struct kv_segment_info info;
    struct kv_header header;
    struct kv_record_place record_place;
    struct kv_slice data;  /* offset 0 to info.end_bytes */
    uint64_t mapped_bytes; /* the whole file, as long as it was */

    _Atomic(struct kv_index *) index; /* replaced at most once, by kv_segment_heal */
    struct kv_index *damaged;         /* the one replaced: readers may still be in it */
    pthread_mutex_t mutex;            /* of healing */
    atomic_bool rebuilt;
};

/* Looked at in vain by one lookup: more have not the same fingerprint by accident. */
enum { KV_SEGMENT_OTHER_KEYS_MAX = 2 };

static inline struct kv_index *kv_segment_index(struct kv_segment *segment)
{
    return atomic_load_explicit(&segment->index, memory_order_acquire);
}

static inline bool kv_segment_holds(const struct kv_segment *segment, uint32_t offset_bytes)
{
    return offset_bytes >= KV_HEADER_BYTES && offset_bytes < segment->data.size;
}

/*
 * Decode and verify the record at an offset that the segment holds.
 * KV_CORRUPT and KV_NEWER name the file and the offset.
 */
enum kv_status kv_segment_read(const struct kv_segment *segment, uint32_t offset_bytes,
                               struct kv_record *out) KV_WARN_UNUSED;

/* KV_CORRUPT: the index holds an offset that is none. */
enum kv_status kv_segment_bad_offset(const struct kv_segment *segment) KV_WARN_UNUSED;

/*
 * The record of `key` by the index's order alone: KV_OK, or KV_DONE. `*index_is_bad` tells whose
 * damage a KV_CORRUPT is.
 */
enum kv_status kv_segment_search(const struct kv_segment *segment, struct kv_index *index,
                                 struct kv_slice key, uint32_t *offset_bytes, struct kv_record *out,
                                 bool *index_is_bad) KV_WARN_UNUSED;

/*
 * `bad` was found damaged: put a new one in its place, unless another thread
 * has done so. KV_CORRUPT if it was the second, or the data is damaged too.
 */
enum kv_status kv_segment_heal(struct kv_segment *segment,
                               const struct kv_index *bad) KV_WARN_UNUSED;

static inline void kv_segment_entry(const struct kv_record *record, struct kv_entry *out)
{
    *out = (struct kv_entry){.key = record->key,
                             .row = record->row,
                             .seq = record->seq,
                             .size_bytes = record->size_bytes,
                             .deleted = record->kind == KV_DELETE};
}

#endif
