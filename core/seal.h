/*
 * Sealing: the active log becomes a run of tier 0, and a new log takes its
 * place. In two steps, so that the writer waits neither for sorting nor for an
 * index:
 *
 * kv_seal, holding WRITER: the log is durable; the new log is written and
 * durable; then one manifest names both, the old one as the unindexed log (P0).
 * The log is trimmed last, when its manifest is durable.
 *
 * kv_seal_finish, by anybody: the unindexed log is sorted and its index
 * written; then one manifest lists it as the newest run.
 *
 * Invariants:
 * - One log at most is unindexed: newer than every run, older than the active
 *   one. kv_seal finishes it before it seals the next.
 * - Only WRITER makes a log unindexed. Anyone may finish it; whoever holds
 *   MANIFEST and finds it still unindexed there replaces the manifest. Two
 *   processes that build the same index write the same, each under a name of its
 *   own until the renaming, which may happen twice: no harm.
 * - An unindexed log is complete and durable, and does not change up to its end.
 *   Every process reads it through its own memtable (version.h).
 * - In a process one thread finishes at a time (the indexer); another that
 *   wants it done waits for it, holding WRITER or COMPACTOR perhaps. The
 *   indexer asks for neither: after them comes INDEXER, then MANIFEST.
 *
 * What a crash leaves. Half-way through kv_seal: files that no manifest names,
 * and the log as it was. Between the two steps: the unindexed log, and perhaps an
 * unfinished index under a temporary name, or a finished one that nobody trusts
 * yet. Any process that has the store open finishes it when its maker has not
 * done so for a while (maintain.h), else whoever opens the store next.
 */
#ifndef KV_SEAL_H
#define KV_SEAL_H

#include "engine.h"
#include "interrupt.h"

/*
 * Seal the active log, unless it is empty, at its committed end; finish the one
 * before first. WRITER is held. With `keep_tail` what lies behind the committed end stays
 * readable: the caller moves it elsewhere, and trims the log then.
 * KV_INTERRUPTED (`interrupt` NULL: never): nothing was sealed.
 */
enum kv_status kv_seal(struct kv_engine *engine, bool keep_tail,
                       const struct kv_interrupt *interrupt) KV_WARN_UNUSED;

/*
 * Make the unindexed log a run; nothing to do if there is none. MANIFEST is not held.
 * A failure leaves it as it was. KV_CORRUPT: it is damaged; KV_INTERRUPTED.
 */
enum kv_status kv_seal_finish(struct kv_engine *engine,
                              const struct kv_interrupt *interrupt) KV_WARN_UNUSED;

/* Make the first `end` of a log the unindexed one of `next`. KV_CORRUPT: it has one, which only WRITER could have added. */
enum kv_status kv_seal_add(struct kv_manifest *next, const struct kv_log *log,
                           const struct kv_log_tail *end) KV_WARN_UNUSED;

/* Make `log`, in which everything from `start_bytes` on is new, the active one of `next`. */
void kv_seal_set_active(struct kv_manifest *next, const struct kv_log *log, uint32_t start_bytes);

/*
 * Create a log with this header, of which role, uuid, number, salt, time and, if it is 0,
 * the record limit are filled in; or a pending segment, whose group, if it is 0, is
 * named after this first segment of it.
 */
enum kv_status kv_seal_new_log(struct kv_engine *engine, struct kv_header *header,
                               bool defer_header, struct kv_log **out) KV_WARN_UNUSED;

#endif
