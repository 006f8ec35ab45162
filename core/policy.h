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
    unsigned fanout;            /* 2 … 32 */
    unsigned tier_count;        /* 1 … KV_TIER_COUNT */
    double garbage_ratio;       /* 0.05 … 0.95 */
    uint64_t max_segment_bytes;
};

enum kv_action {
    KV_ACTION_NONE,
    KV_ACTION_JOIN,    /* ascending, disjoint runs become one without rewriting */
    KV_ACTION_MERGE,   /* a full tier goes down one tier */
    KV_ACTION_REWRITE, /* too much of a range is dead */
};

struct kv_choice {
    enum kv_action action;
    size_t first_run;      /* newest run of the contiguous range */
    size_t run_count;
    unsigned tier;         /* where the result goes */
};

/*
 * The most useful action, or KV_ACTION_NONE. In this order: the lowest tier
 * with `fanout` runs or more joins if it can, else merges into the next (the
 * last tier into itself); then the contiguous range, also of one segment's run, whose
 * dead share is largest, if it passes garbage_ratio. Applying choices until
 * NONE always ends.
 */
struct kv_choice kv_policy_choose(const struct kv_manifest *manifest, const struct kv_policy *policy);

/* Why the policy leaves a run, or what it will do with it: "tier 0 has 2 of 4 runs", … Writes at most `size` bytes. */
void kv_policy_reason(const struct kv_manifest *manifest, const struct kv_policy *policy,
                      size_t run, char *out, size_t size);

#endif
