/*
 * Sealing: the active log becomes a tier-0 run, and a new log takes its place.
 *
 * The order (P0): the log is durable; its index is written; the new log is
 * written and durable; then one manifest names all three. Whatever stops this
 * half-way leaves files that no manifest names, and the log as it was. The
 * log is trimmed last, when its manifest is durable.
 */
#ifndef KV_SEAL_H
#define KV_SEAL_H

#include "engine.h"

/*
 * Seal the active log, unless it is empty, at its committed end. WRITER is
 * held. With `keep_tail` what lies behind the committed end stays readable:
 * the caller moves it elsewhere, and trims the log then.
 */
enum kv_status kv_seal(struct kv_engine *engine, bool keep_tail) KV_WARN_UNUSED;

/*
 * Describe the first `end` of a log as a sealed segment, and write its index.
 * `*info` is the caller's to release.
 */
enum kv_status kv_seal_describe(const struct kv_place *place, struct kv_log *log,
                                const struct kv_log_tail *end,
                                struct kv_segment_info *info) KV_WARN_UNUSED;

/*
 * Create a log with this header, of which role, uuid, number, salt, time and
 * record limit are filled in; or a pending segment, whose group, if it is 0, is
 * named after this first segment of it.
 */
enum kv_status kv_seal_new_log(struct kv_engine *engine, struct kv_header *header,
                               bool defer_header, struct kv_log **out) KV_WARN_UNUSED;

#endif
