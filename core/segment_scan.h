/*
 * Reads a sealed segment in file order and verifies all of it: each record,
 * each COMMIT, the digests, and for merge outputs the order. What indexes are
 * rebuilt from, and what a check reads.
 */
#ifndef KV_SEGMENT_SCAN_H
#define KV_SEGMENT_SCAN_H

#include "ahead.h"
#include "header.h"
#include "place.h"
#include "record.h"
#include "segment_info.h"

/* Initialise with kv_segment_scan_init; holds nothing, borrows everything. */
struct kv_segment_scan {
    const char *path; /* the place's */
    struct kv_slice data;
    struct kv_record_place record_place;
    enum kv_segment_role role;
    uint64_t number;
    uint64_t end_digest;      /* what the digest must be at the end */
    uint64_t digest;          /* over what was read */
    uint64_t offset_bytes;    /* of what comes next */
    uint32_t open_count;      /* records that no COMMIT has covered yet */
    struct kv_slice last_key; /* of a merge output */
    struct kv_ahead ahead;
};

/* `data` is the file from offset 0 to info->end_bytes; `header` is its header. */
void kv_segment_scan_init(struct kv_segment_scan *scan, const struct kv_place *place,
                          const struct kv_segment_info *info, const struct kv_header *header,
                          struct kv_slice data);

/*
 * The next PUT or DELETE, borrowed from `data`. KV_DONE: all has been read, and
 * its digest is right. KV_CORRUPT and KV_NEWER name file and offset, and
 * `scan->offset_bytes` stays at what is wrong.
 */
enum kv_status kv_segment_scan_next(struct kv_segment_scan *scan, struct kv_record *out,
                                    uint32_t *offset_bytes) KV_WARN_UNUSED;

#endif
