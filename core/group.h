/*
 * Pending groups: transactions that no log can hold, as the store sees them.
 *
 * The life of a group, each step durable before the next:
 *   1. Its segments are written, synced and indexed; no manifest names them.
 *   2. A manifest lists them as a group. The active log is empty then, so the
 *      LSN x at which COMMIT will end is known, and listed with it.
 *   3. COMMIT, alone and the first in the log, names the group and its digest.
 *      When it is published the transaction counts: snapshots at x or past it
 *      see the segments, older than all else in the log, newer than every run.
 *   4. The log's seal settles the group. First a copy of COMMIT, the witness, is
 *      written behind the records of each segment and synced: the log will be
 *      merged away one day, and who repairs a store without its manifest must
 *      still be able to tell that the group counts. Then one manifest makes the
 *      segments runs. If nothing else is in the log, it goes.
 *
 * What a crash leaves: before 2, files that no manifest names. Between 2 and 3, a
 * group without COMMIT: whoever takes WRITER next takes it out of the
 * manifest before writing anything, so no other COMMIT can end at x in this log.
 * After 3, a group that counts; failover carries it to the new log with its
 * COMMIT and a new x, or settles it with the part of the log that it seals.
 * There is one writer at a time, so there is at most one group.
 */
#ifndef KV_GROUP_H
#define KV_GROUP_H

#include "engine.h"

/* Over the identities of a group's segments: what COMMIT says of them. */
uint64_t kv_group_digest(const struct kv_segment_info *segments, size_t count);

/*
 * Its COMMIT begins at this LSN, or does from now on. The segments are of the same place: they replace and
 * are replaced as the witness in each of them says, when there is no manifest to go by (lineup.h).
 */
void kv_group_place(struct kv_pending_group *group, uint64_t begin_lsn);

/* Does the COMMIT of the manifest's group stand in the log that ends like this? False without a group. */
bool kv_group_is_committed(const struct kv_manifest *manifest, const struct kv_log_tail *tail);

/*
 * KV_CORRUPT: the log commits a group that the manifest does not list, so
 * acknowledged rows would be missing.
 */
enum kv_status kv_group_check(const struct kv_engine *engine,
                              const struct kv_log *log) KV_WARN_UNUSED;

/*
 * List `*group` (taken over), or with NULL list none, in a new manifest (P0);
 * WRITER is held. Segments that were listed and are no more are removed.
 * `*renamed` as in kv_engine_install: files of both manifests must stay.
 */
enum kv_status kv_group_list(struct kv_engine *engine, struct kv_pending_group *group,
                             bool *renamed) KV_WARN_UNUSED;

/* WRITER is held, and the log indexed to its end: a group without its COMMIT is taken out. */
enum kv_status kv_group_forget_uncommitted(struct kv_engine *engine,
                                           const struct kv_version *version) KV_WARN_UNUSED;

/*
 * Write the witnesses of the group that `log` commits, which is durable, and make its segments
 * runs of `next`. A failure leaves `next` fit for nothing but release.
 */
enum kv_status kv_group_settle(const struct kv_place *place, const struct kv_log *log,
                               struct kv_manifest *next) KV_WARN_UNUSED;

#endif
