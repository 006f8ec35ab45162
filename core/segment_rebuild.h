/* Builds the index of a sealed segment from the segment's bytes alone. */
#ifndef KV_SEGMENT_REBUILD_H
#define KV_SEGMENT_REBUILD_H

#include "header.h"
#include "index.h"
#include "place.h"
#include "segment_info.h"

/*
 * For a merge output, whose records stand in order: one verifying scan of `data` (the file from
 * offset 0 to info->end_bytes), which goes to kv_index_build. There are info->record_count
 * of them. No memory is needed for each. Fails as the scan or the build does.
 */
enum kv_status kv_segment_build_index(const struct kv_place *place,
                                      const struct kv_segment_info *info,
                                      const struct kv_header *header, struct kv_slice data,
                                      const struct kv_interrupt *interrupt,
                                      struct kv_index **out) KV_WARN_UNUSED;

/*
 * For any segment, of which `info` may be wrong: one verifying scan, which also counts. Then a
 * merge output is read once more; the records of a log are sorted, for which it
 * takes 16 bytes a record. KV_CORRUPT means that the data is bad.
 */
enum kv_status kv_segment_rebuild_index(const struct kv_place *place,
                                        const struct kv_segment_info *info,
                                        const struct kv_header *header, struct kv_slice data,
                                        struct kv_index **out) KV_WARN_UNUSED;

#endif
