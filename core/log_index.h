/*
 * From a log to a sealed segment: what the manifest says of it, and its index,
 * made from its memtable, or from that of the transaction that has filled it.
 */
#ifndef KV_LOG_INDEX_H
#define KV_LOG_INDEX_H

#include "interrupt.h"
#include "log.h"
#include "segment_info.h"

/*
 * Describe the log up to `end` as a sealed segment, as far as that is known
 * without looking at its records: no totals of entries, no keys. What `*out` held is not released.
 */
void kv_log_describe(const struct kv_log *log, const struct kv_log_tail *end,
                     struct kv_segment_info *out);

/*
 * Sort the part of the log that `info` describes, whose records are `items` in the order of
 * writing, fill in the totals and keys, and write the index. Each record is verified once more. The log up to there
 * does not change meanwhile; it may be read.
 *
 * `*info` is the caller's to release, also after a failure, which leaves no
 * file. KV_CORRUPT: a record is damaged; KV_FULL; KV_INTERRUPTED.
 */
enum kv_status kv_log_build_index(const struct kv_place *place, const struct kv_log *log,
                                  const struct kv_item *items, struct kv_segment_info *info,
                                  const struct kv_interrupt *interrupt) KV_WARN_UNUSED;

/* Both, for a log that is sealed and indexed at once. After a failure `*info` is empty. */
enum kv_status kv_log_index(const struct kv_place *place, const struct kv_log *log,
                            const struct kv_item *items, const struct kv_log_tail *end,
                            struct kv_segment_info *info,
                            const struct kv_interrupt *interrupt) KV_WARN_UNUSED;

#endif
