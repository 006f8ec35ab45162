/*
 * How far a merge has come: for those who ask (kv_stats, kv_segments), and for the pace of
 * writers. What a merge has to do are bytes of its inputs still to be read; what it has done,
 * bytes of output, by all its steps.
 */
#ifndef KV_PROGRESS_H
#define KV_PROGRESS_H

#include "engine.h"
#include "policy.h"

/* A merge of runs first_run … in a version and its manifest: its inputs, then perhaps its output. */
struct kv_progress {
    uint64_t merge_id; /* 0: none */
    size_t first_run, run_count;
    uint64_t written_bytes;
    uint64_t left_bytes; /* about; 0: unknown, or nothing */
};

/* Bytes of `count` runs that belong to keys past `key` (empty: all of them), about. */
uint64_t kv_progress_left(struct kv_version *version, size_t first, size_t count,
                          struct kv_slice key);

/* Bytes of a run's files, without indexes. */
uint64_t kv_progress_run_bytes(const struct kv_run *run);

/* The open merge that `resume` goes on with, as it was left; KV_ACTION_NONE: none. */
struct kv_progress kv_progress_of_open(struct kv_version *version,
                                       const struct kv_manifest *manifest,
                                       const struct kv_choice *resume);

/* Where `merging` stands in a manifest; its merge_id is 0 if it has gone. */
struct kv_progress kv_progress_of_merging(const struct kv_merging *merging,
                                          const struct kv_manifest *manifest);

/* Note what this process is merging and how far it is; NULL: nothing any more. */
void kv_progress_note(struct kv_engine *engine, const struct kv_merging *merging);

#endif
