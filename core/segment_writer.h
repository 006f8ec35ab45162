/*
 * Writes one output segment of a merge: records in ascending key order, then
 * the key interval, then, when all that is durable, the header (header.h).
 * Nothing refers to the file until a manifest names it.
 */
#ifndef KV_SEGMENT_WRITER_H
#define KV_SEGMENT_WRITER_H

#include <stdint.h>

#include "interrupt.h"
#include "iter.h"
#include "place.h"
#include "segment_info.h"

struct kv_segment_writer;

/* Create `segment_<number>.db` (it must not exist). `base_seq` is at most the smallest seq to come. */
enum kv_status kv_segment_writer_open(const struct kv_place *place, uint64_t number,
                                      uint64_t base_seq,
                                      struct kv_segment_writer **out) KV_WARN_UNUSED;

/* Append one entry, greater than all before; its slices are copied. After a failure only close. */
enum kv_status kv_segment_writer_append(struct kv_segment_writer *writer,
                                        const struct kv_entry *entry) KV_WARN_UNUSED;

/* Where the next record goes: the file's length so far. */
uint64_t kv_segment_writer_end_bytes(const struct kv_segment_writer *writer);
uint64_t kv_segment_writer_record_count(const struct kv_segment_writer *writer);

/* What finishing needs to know of the merge. */
struct kv_segment_writer_summary {
    uint64_t first_lsn, last_lsn;      /* of the logs summarised */
    uint64_t min_time_ms, max_time_ms; /* commit times of the inputs */
    struct kv_slice low;               /* last key of the output before; empty: none */
    bool last_of_run;
    const struct kv_interrupt *interrupt; /* asked while the index is built; NULL: never */
};

/*
 * Write what is left, sync data, header and index. On success `*info` (owned
 * by the caller) describes the segment, with dead_bytes 0, and
 * every file is durable, but not their names: sync the directory.
 * At least one entry has been appended. KV_INTERRUPTED: the index took too long.
 */
enum kv_status kv_segment_writer_finish(struct kv_segment_writer *writer,
                                        const struct kv_segment_writer_summary *summary,
                                        struct kv_segment_info *info) KV_WARN_UNUSED;

/* Free the writer; without a successful finish its files are removed. NULL is fine. */
void kv_segment_writer_close(struct kv_segment_writer *writer);

#endif
