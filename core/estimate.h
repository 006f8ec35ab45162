/*
 * Estimates of dead bytes, by sampling keys: they guide the choice of what to
 * compact and never decide what is dropped.
 */
#ifndef KV_ESTIMATE_H
#define KV_ESTIMATE_H

#include "manifest.h"
#include "version.h"

/*
 * A log described by `info`, the unindexed one of `version`, is about to become
 * the newest run: look a sample of its keys up in the older runs, and add what
 * they supersede to the dead_bytes of segments in `manifest`, which has the runs of
 * `version`. Tombstones with nothing older under them are dead themselves. Doubt counts nothing.
 */
void kv_estimate_superseded(struct kv_version *version, struct kv_manifest *manifest,
                            struct kv_segment_info *info);

/* The same for the segments of the manifest's pending group, which `version` has open. */
void kv_estimate_superseded_by_group(struct kv_version *version, struct kv_manifest *manifest);

/*
 * A merge's output, described by `info`, is about to be listed behind the newest `newer_count` runs of
 * `version`, for whose sake nothing was left out, most often as they have come while it was written: add
 * what they supersede to its dead_bytes. Else it would have to be noticed anew, and never is.
 */
void kv_estimate_superseded_in_output(struct kv_version *version, size_t newer_count,
                                      const struct kv_place *place, struct kv_segment_info *info);

#endif
