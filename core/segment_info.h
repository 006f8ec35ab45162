/* What the manifest and the index know of a sealed segment. */
#ifndef KV_SEGMENT_INFO_H
#define KV_SEGMENT_INFO_H

#include <stdint.h>

#include "buffer.h"

/* (number, salt, length, digest) is a segment's identity. Release with kv_segment_info_release. */
struct kv_segment_info {
    uint64_t number;
    uint64_t salt;
    uint64_t end_bytes; /* file offset where its records end: its length */
    uint64_t digest;    /* of its last COMMIT (log), or over its records (merge output) */

    uint64_t record_count;    /* PUT and DELETE records in the file */
    uint64_t entry_count;     /* distinct keys: what the index holds */
    uint64_t tombstone_count; /* entries that are tombstones */
    uint64_t entry_bytes;     /* record bytes of the entries */
    uint64_t dead_bytes;      /* estimate of what a rewrite reclaims, of end_bytes */
    uint64_t min_seq, max_seq;
    uint64_t min_time_ms, max_time_ms; /* commit times */
    uint64_t first_lsn, last_lsn;      /* the logs that it came from */
    struct kv_buffer min_key, max_key; /* owned; of its entries, tombstones included */
};

/* A deep copy. KV_NOMEM leaves `*to` empty. */
enum kv_status kv_segment_info_copy(struct kv_segment_info *to,
                                    const struct kv_segment_info *from) KV_WARN_UNUSED;
void kv_segment_info_release(struct kv_segment_info *info);

#endif
