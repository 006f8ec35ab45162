/*
 * What to do with files in the store's directory that the manifest does not
 * name: leftovers of unfinished work, which are removed, except the one kind
 * that would be a loss.
 */
#ifndef KV_CLEANUP_H
#define KV_CLEANUP_H

#include "engine.h"

/* Raise engine->next_number above every number in the manifest and in the directory. */
enum kv_status kv_cleanup_note_numbers(struct kv_engine *engine) KV_WARN_UNUSED;

/*
 * An unlisted log numbered above the active one that continues the recovered
 * end, with a COMMIT past the last seq copied into it, holds transactions that
 * the manifest has lost: KV_CORRUPT, nothing is removed. Others are leftovers.
 */
enum kv_status kv_cleanup_check_unlisted(struct kv_engine *engine,
                                         const struct kv_log_tail *tail) KV_WARN_UNUSED;

/*
 * Remove unlisted segments, their indexes, indexes without a segment and, if
 * `alone` with the store, temporary files, which could be another process's
 * work. Otherwise WRITER, COMPACTOR and MANIFEST are held. The manifest is durable. Segments
 * go oldest first, each durably before the next. The
 * removal of what is numbered above the active log is durable behind it.
 */
enum kv_status kv_cleanup(struct kv_engine *engine, bool alone) KV_WARN_UNUSED;

/*
 * A merge had nothing to write: segments that `old` names and the manifest does not, which end
 * at `end_lsn`, are about to be removed. Remove, durably, what nobody has removed yet of what they
 * in turn were made from: nothing would stand for that any more. COMPACTOR and MANIFEST are
 * held. WRITER need not be: what a writer is making begins behind every segment that is
 * sealed, or belongs to a group that is not settled.
 */
enum kv_status kv_cleanup_earlier(struct kv_engine *engine, const struct kv_manifest *old,
                                  uint64_t end_lsn) KV_WARN_UNUSED;

#endif
