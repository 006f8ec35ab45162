/*
 * MANIFEST: the single source of truth of what a store consists of. Replaced
 * whole and atomically (P0 in store.h); this module encodes, decodes, copies
 * and edits the value, and reads and writes the file.
 *
 * How far the active log is known to go (start_lsn) is a lower bound that stays true, so
 * nobody takes it back: after failover the end of what was copied, after a clean close that of the
 * log, and whatever is known of it when the manifest is replaced for another reason. A log that ends
 * before it is damaged, not torn (P2 in log_scan.h).
 *
 * The file: magic, format version u32, compatible and incompatible feature
 * bits u64 each, body size u64, body, checksum u64 (XXH3-64 over everything
 * before it). The table of all fields is at the top of manifest_codec.c.
 * An incompatible bit unknown to this version is KV_NEWER; an unknown
 * compatible bit is kept and written back. Bytes of the body behind the
 * fields known to this version are an error.
 *
 * VALID, as kv_manifest_check tells:
 * - the checksum matches; every number, seq, LSN, id and total is below 2^62,
 *   so that adding sizes of files to them never overflows; generation >= 1;
 * - at most KV_SEGMENT_COUNT_MAX segments, in at most KV_MANIFEST_MAX_BYTES;
 * - numbers, that of the active log included, are unique, not 0 and below next_number;
 * - base_lsn <= start_lsn of the active log, and start_lsn lies in its file;
 * - tiers are below KV_TIER_COUNT and never descend from newest run to oldest;
 * - a run's merge id is not past last_merge_id; a group's id is not 0, and unique;
 * - a run or group has a segment; a run's segments ascend and are disjoint,
 *   max_key of one below min_key of the next; `low` has the size of a key;
 * - a segment: KV_HEADER_BYTES <= end_bytes <= KV_SEGMENT_MAX_BYTES;
 *   1 <= entry_count <= record_count, which fit the file; tombstone_count <=
 *   entry_count; entry_bytes and dead_bytes within the file; keys of
 *   1 … KV_KEY_MAX_BYTES, min_key <= max_key; min_seq <= max_seq; first_lsn <= last_lsn;
 * - the unindexed log, if there is one: of what is known of a segment only when it is
 *   indexed everything is 0 and empty; its LSNs are as many as its bytes behind the header;
 * - in runs and the unindexed log, which are older than the active log, max_seq <= last_seq
 *   and last_lsn <= base_lsn.
 */
#ifndef KV_MANIFEST_H
#define KV_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "header.h"
#include "io.h"
#include "segment_info.h"

enum {
    KV_TIER_COUNT = 8,
    KV_SEGMENT_COUNT_MAX = 20000,
    KV_MANIFEST_MAX_BYTES = 1 << 28, /* of the whole file */
};

enum kv_compatible_features {
    KV_FEATURE_SCHEMA_LOST =
        1 << 0, /* the schema went with an earlier manifest: the next opener who has one sets it */
};

/* One sorted source. */
struct kv_run {
    unsigned tier;
    uint64_t merge_id; /* inputs and output of an open merge share it; 0: none */
    bool has_low;      /* keys <= `low` of this run are hidden: a merge has moved them */
    struct kv_buffer low;
    struct kv_segment_info *segments; /* ascending, disjoint; at least one */
    size_t segment_count;
};

/* Segments of a transaction too large for a log, not visible until COMMIT names the group. */
struct kv_pending_group {
    uint64_t id;     /* the number of the first segment that was begun for it */
    uint64_t digest; /* kv_group_digest */
    uint64_t
        commit_lsn; /* where its COMMIT ends, once it is there: visible to snapshots from then on */
    struct kv_segment_info *segments;
    size_t segment_count;
};

struct kv_manifest {
    uint64_t compatible_features;
    uint8_t uuid[KV_UUID_BYTES];
    uint64_t lineage; /* changed by the first write to a backup */
    bool is_backup;   /* not written to since it was made as a backup */
    uint64_t hash_seed;
    uint64_t generation;     /* 1, 2, 3, … */
    uint64_t next_number;    /* greater than every number ever used */
    uint64_t last_seq;       /* when this manifest was written: last seq before the active log */
    struct kv_buffer schema; /* the application's; opaque */
    struct {
        uint64_t number;
        uint64_t salt;
        uint64_t base_lsn;
        uint64_t previous_digest;
        uint64_t start_lsn; /* everything before it is committed and durable: base_lsn, or more */
    } active;
    /*
     * The log sealed last, while it has no index: newer than every run.
     * entry_count, tombstone_count, entry_bytes, dead_bytes and keys are not
     * known yet: 0 and empty. Number 0: there is none.
     */
    struct kv_segment_info unindexed;
    uint64_t last_merge_id;
    uint64_t compaction_count;    /* merges since the store was created */
    uint64_t log_bytes_written;   /* by sealed logs; for write amplification */
    uint64_t merge_bytes_written; /* by merges */
    struct kv_run *runs;          /* newest first */
    size_t run_count;
    struct kv_pending_group *groups;
    size_t group_count;
};

void kv_manifest_release(struct kv_manifest *manifest);

/* A deep copy. KV_NOMEM leaves `*to` empty. */
enum kv_status kv_manifest_copy(struct kv_manifest *to,
                                const struct kv_manifest *from) KV_WARN_UNUSED;

/* KV_OK, KV_NOMEM, or KV_CORRUPT with a message that says which rule of VALID is broken where. */
enum kv_status kv_manifest_check(const struct kv_manifest *manifest) KV_WARN_UNUSED;

/*
 * Append the encoded file to `out`. KV_TOOBIG: too many segments, or bytes.
 * KV_CORRUPT: the value is not VALID, and would not be read again. A failure appends nothing.
 */
enum kv_status kv_manifest_encode(const struct kv_manifest *manifest,
                                  struct kv_buffer *out) KV_WARN_UNUSED;

/* KV_OK: `*out` is the caller's to release. KV_CORRUPT or KV_NEWER, with a message that names no file. */
enum kv_status kv_manifest_decode(struct kv_slice bytes, struct kv_manifest *out) KV_WARN_UNUSED;

/* Read and decode MANIFEST. KV_NOTFOUND: there is none. Messages name directory and file. */
enum kv_status kv_manifest_load(struct kv_io *io, struct kv_dir *dir, const char *path,
                                struct kv_manifest *out) KV_WARN_UNUSED;

/* The same for a file of another name. */
enum kv_status kv_manifest_read(struct kv_dir *dir, const char *path, const char *name,
                                struct kv_manifest *out) KV_WARN_UNUSED;

/* Write a manifest to a new file of any name, in the place of what has it; synced, its name is not. */
enum kv_status kv_manifest_write(struct kv_dir *dir, const char *name, unsigned file_mode,
                                 const struct kv_manifest *manifest) KV_WARN_UNUSED;

/*
 * Replace MANIFEST: directory sync (names of new files), temporary file,
 * fsync, rename, directory sync. `*renamed` tells whether the new one is in
 * place when a failure is returned: then either may survive a crash, and
 * the files of both must stay.
 */
enum kv_status kv_manifest_replace(struct kv_io *io, struct kv_dir *dir, unsigned file_mode,
                                   const struct kv_manifest *manifest,
                                   bool *renamed) KV_WARN_UNUSED;

/* ---- Edits. Each leaves the manifest unchanged when it fails (KV_NOMEM). */

/* Make a run of one segment the newest; takes `*info` over on success. */
enum kv_status kv_manifest_add_run(struct kv_manifest *manifest, unsigned tier,
                                   struct kv_segment_info *info) KV_WARN_UNUSED;

/*
 * Put one run, or nothing if `segment_count` is 0, in place of runs
 * first … first+count-1. Takes over the infos, not the array.
 */
enum kv_status kv_manifest_replace_runs(struct kv_manifest *manifest, size_t first, size_t count,
                                        unsigned tier, struct kv_segment_info *segments,
                                        size_t segment_count) KV_WARN_UNUSED;

/* A step of a merge: how far its output has come, and which runs take part. */
struct kv_merge_step {
    size_t first, input_count;  /* the inputs, newest first */
    bool has_output;            /* the run behind them is the output of earlier steps */
    unsigned tier;              /* the output's */
    bool is_last;               /* nothing is left in the inputs */
    struct kv_slice done_up_to; /* last key of the output; unless is_last */
};

/*
 * Append `*output` (taken over; number 0: nothing was written) to the merge's output run, hide in the inputs
 * what that holds, and drop segments that are hidden as a whole; in the end, the inputs.
 * An unfinished merge has an id of its own. On failure the manifest is fit for nothing but release.
 */
enum kv_status kv_manifest_advance_merge(struct kv_manifest *manifest,
                                         const struct kv_merge_step *step,
                                         struct kv_segment_info *output) KV_WARN_UNUSED;

/* Join runs first … first+count-1, whose key ranges ascend from oldest to newest, into one of `tier`. */
enum kv_status kv_manifest_join_runs(struct kv_manifest *manifest, size_t first, size_t count,
                                     unsigned tier) KV_WARN_UNUSED;

static inline bool kv_manifest_has_unindexed(const struct kv_manifest *manifest)
{
    return manifest->unindexed.number != 0;
}

/*
 * Make one group the only pending one, in place of those that are listed; takes
 * over its array and infos on success. `group` NULL: none is left.
 */
enum kv_status kv_manifest_set_group(struct kv_manifest *manifest,
                                     struct kv_pending_group *group) KV_WARN_UNUSED;

/*
 * Make every segment of the pending groups a run of tier 0, the last one the newest. A
 * failure half-way leaves the manifest fit for nothing but release.
 */
enum kv_status kv_manifest_settle_groups(struct kv_manifest *manifest) KV_WARN_UNUSED;

/* Segments of all runs and pending groups, and the unindexed log; without the active one. */
size_t kv_manifest_segment_count(const struct kv_manifest *manifest);

/* The index of the run that holds a segment; SIZE_MAX if none does. */
size_t kv_manifest_find_run(const struct kv_manifest *manifest, uint64_t segment_number);

/* Is there a sealed segment with this number, in a run or group, or unindexed? */
bool kv_manifest_has_sealed(const struct kv_manifest *manifest, uint64_t segment_number);

#endif
