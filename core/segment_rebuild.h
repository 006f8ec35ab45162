/* Builds the index of a sealed segment anew, from the segment's bytes alone. */
#ifndef KV_SEGMENT_REBUILD_H
#define KV_SEGMENT_REBUILD_H

#include "header.h"
#include "index.h"
#include "place.h"
#include "segment_info.h"

/*
 * One verifying scan of `data` (the file from offset 0 to info->end_bytes), a
 * sort of the newest versions unless they stand in order already, and
 * kv_index_build. Memory: 16 bytes a record. Fails as the scan or the build
 * does; KV_CORRUPT means that the data is bad.
 */
enum kv_status kv_segment_rebuild_index(const struct kv_place *place,
                                        const struct kv_segment_info *info,
                                        const struct kv_header *header, struct kv_slice data,
                                        struct kv_index **out) KV_WARN_UNUSED;

#endif
