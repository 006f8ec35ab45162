/*
 * One step of rewriting a contiguous range of runs as one run: the next output
 * segment, published. compact.h says what may be dropped, and why.
 *
 * The output fills from the smallest key on. When a segment of it is full, or
 * enough has been done, one manifest replacement adds it to the output run,
 * raises `low` of each input to its last key, and drops the input segments that lie
 * wholly below: what a reader sees is the same before and after, and free space
 * for a few segments is enough. So between steps
 *
 * - inputs and output stand together and carry one merge id; the output is the
 *   oldest of them, since its tier may be the higher one;
 * - the inputs show keys past the output's last one only, the output has no others:
 *   none of them can hide, or bring back, anything of another;
 * - each output segment states in its header the LSNs of all that the merge
 *   began with, also when some of the inputs have gone since: those of the outputs before it.
 *
 * That is all the state there is. Whoever finds it, after a crash or in another
 * process, goes on; a step that is interrupted leaves files that no manifest
 * names, and the rest as it was. The last step removes the inputs and clears the id.
 */
#ifndef KV_REWRITE_H
#define KV_REWRITE_H

#include "engine.h"
#include "kv.h"
#include "policy.h"

/* When to end a step before its segment is full. */
struct kv_rewrite_limit {
    uint64_t bytes;    /* written; 0: none */
    uint64_t until_ms; /* monotonic; 0: none */
};

/*
 * Choose with `choose`, from a manifest and the version that goes with it, and carry out a step
 * of that. COMPACTOR is held. `*done`: there was nothing to choose; `*written_bytes`
 * is added to. KV_INTERRUPTED, KV_FULL, KV_CORRUPT: all is as it was before the step.
 */
enum kv_status kv_rewrite_step(struct kv_engine *engine, const struct kv_settings *settings,
                               struct kv_choice (*choose)(const struct kv_manifest *manifest,
                                                          void *context),
                               void *context, const struct kv_rewrite_limit *limit, bool *done,
                               uint64_t *written_bytes) KV_WARN_UNUSED;

#endif
