/*
 * What to compact next: a pure function from a manifest to a range of runs.
 * Choosing is here and table-tested; doing it is compact.h.
 */
#ifndef KV_POLICY_H
#define KV_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "manifest.h"

struct kv_policy {
    unsigned fanout;      /* 2 … 32 */
    unsigned tier_count;  /* 1 … KV_TIER_COUNT */
    double garbage_ratio; /* 0.05 … 0.95 */
    uint64_t max_segment_bytes;
};

enum kv_action {
    KV_ACTION_NONE,
    KV_ACTION_JOIN,    /* ascending, disjoint runs become one without rewriting */
    KV_ACTION_MERGE,   /* a full tier goes down one tier */
    KV_ACTION_REWRITE, /* too much of a range is dead */
    KV_ACTION_RESUME,  /* go on with an open merge: its inputs, and its output as the oldest run */
};

struct kv_choice {
    enum kv_action action;
    size_t first_run; /* newest run of the contiguous range */
    size_t run_count;
    unsigned tier; /* where the result goes */
};

/*
 * The most useful action, or KV_ACTION_NONE. In this order:
 *
 * 1. The lowest tier with an open merge, which is resumed, or with `fanout` runs or
 *    more: joins them if their key ranges
 *    ascend from oldest to newest and segments would not be too small (on
 *    average about a quarter of max_segment_bytes), else merges them into the
 *    next tier; the last tier goes into itself.
 * 2. The run whose dead share is largest, if it reaches garbage_ratio.
 *
 * Where the dead share of everything weighs more than the number of runs (kv_policy_pressure), the
 * oldest open merge comes first, then the run with most garbage together with newer ones that hold no
 * more than what was chosen already. Writers that are always faster than merges keep tier 0
 * full: 2 would never have its turn, and the store would grow on and on.
 *
 * Runs of an open merge are chosen for nothing else, nor are runs newer than those in their
 * tier. Applying choices until NONE always ends: a join or merge leaves fewer
 * runs, a rewrite leaves nothing dead.
 */
struct kv_choice kv_policy_choose(const struct kv_manifest *manifest,
                                  const struct kv_policy *policy);

/* Go on with the open merge of the oldest runs; KV_ACTION_NONE: none is open. */
struct kv_choice kv_policy_resume_oldest(const struct kv_manifest *manifest);

/* More runs than merges that keep up ever leave. */
size_t kv_policy_run_limit(const struct kv_policy *policy);

/* Runs that a merge under way is reading (run_count 0: none): `left_share` of them is still to be read. */
struct kv_headway {
    size_t first_run, run_count;
    double left_share;
};

/*
 * How far merges have fallen behind writers: 0: not at all, 1: as far as they should, 2: at most. The larger of
 * what two measures say, each rising from half of its limit or from where the policy would
 * begin to act:
 *
 * - the number of runs, up to kv_policy_run_limit: each read has to ask them all;
 * - the dead share of everything, from garbage_ratio to half-way between that and 1: the disk space
 *   that the store takes for nothing. About what two logs hold may be dead without counting:
 *   a small store that is overwritten again and again has no better.
 *
 * What was dead of what a merge has read counts as gone, so that this falls steadily while it works.
 * What was alive goes on into its output, and counts all the time.
 */
double kv_policy_pressure(const struct kv_manifest *manifest, const struct kv_policy *policy,
                          const struct kv_headway *headway);

/*
 * Why the policy leaves a run, or what it will do with it, now or after other
 * actions: "tier 0 has 2 of 4 runs, 3% dead", "merge: tier 0 has 4 runs",
 * "join: 4 ascending runs", "rewrite: 92% dead", "in an open merge". Writes at
 * most `size` bytes with the final NUL; 64 hold any of them.
 */
void kv_policy_reason(const struct kv_manifest *manifest, const struct kv_policy *policy,
                      size_t run, char *out, size_t size);

#endif
