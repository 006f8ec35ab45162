/*
 * Compaction: rewriting a contiguous range of runs into one run.
 *
 * Why a version may be dropped: within the range, the newest run that has a
 * key decides; older versions of it in the range are superseded. So is the
 * newest, if a run before the range has a record of the key, be it a tombstone:
 * only merges drop records of runs, there is one merge at a time, and a later
 * one drops a record only for a newer one, or a tombstone over nothing. Runs
 * outside the range keep what they have, and stay newer or older than the
 * output, because the range is contiguous and the output takes its place.
 *
 * Why a tombstone may be dropped (P7): it hides versions of its key in older
 * runs. The versions in the range go with it. Below the range, every run's
 * ranges and filters are asked; if none can hold the key, nothing is left to
 * hide. Filters have no false negatives, and a damaged one says maybe. Runs
 * that appear while the merge works are newer, so this cannot become wrong.
 * Uncommitted and unsealed records live in logs, which are newer than every run.
 *
 * Merges go a segment of output at a time: rewrite.h. Nothing is unlinked before the
 * manifest without it is durable, and damaged input stops a step with everything as it was.
 */
#ifndef KV_COMPACT_H
#define KV_COMPACT_H

#include "engine.h"
#include "kv.h"
#include "policy.h"

struct kv_policy kv_compact_policy(const struct kv_settings *settings);

/* Carry out what the policy says until it has nothing more to say. COMPACTOR is held. KV_INTERRUPTED: some of it is done. */
enum kv_status kv_compact_by_policy(struct kv_engine *engine,
                                    const struct kv_settings *settings) KV_WARN_UNUSED;

/*
 * Merge all runs that there are into one without dead records, if there is anything to
 * gain. COMPACTOR is held. With a budget (NULL: none) it does about that much, going on where an
 * earlier call has stopped; `*left_bytes` (may be NULL) is what is still to be read: 0 when done.
 */
enum kv_status kv_compact_all(struct kv_engine *engine, const struct kv_settings *settings,
                              const struct kv_compact_budget *budget,
                              uint64_t *left_bytes) KV_WARN_UNUSED;

#endif
