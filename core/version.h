/*
 * A version: one manifest generation with every file it names open. Immutable
 * and reference counted. A version and an LSN make a snapshot, because what
 * is below the LSN never changes.
 *
 * The log sealed last may have no index yet. It is read as it was while it was
 * active, through its memtable: that of the object that this process had open
 * for it, or one made by scanning it, and only up to where it was sealed.
 *
 * A pin is a place to hold one. Pins are listed with the engine, so that a
 * version can be taken from those that hold it idly; acquiring a pin again
 * costs one uncontended atomic exchange while the version is still the newest.
 */
#ifndef KV_VERSION_H
#define KV_VERSION_H

#include <stdatomic.h>

#include "iter.h"
#include "log.h"
#include "manifest.h"
#include "place.h"
#include "run.h"

/* A segment of a pending group, which snapshots see whose LSN is `commit_lsn` or later. */
struct kv_pending_run {
    uint64_t commit_lsn;
    struct kv_run_reader *run;
};

struct kv_version {
    _Atomic uint32_t references;
    uint64_t generation;
    uint64_t start_lsn;              /* snapshots begin here at the earliest */
    bool is_backup;                  /* nothing has been written since it was made as one */
    struct kv_log *log;              /* the active one */
    struct kv_version *next_retired; /* the engine's list, under its mutex */
    size_t pending_count;
    struct kv_pending_run *pending; /* newest first; between the log and all else */
    struct kv_log *unindexed;       /* sealed, newer than the runs; NULL: none */
    uint32_t unindexed_end_bytes;   /* it was sealed there; what lies behind may not count */
    size_t run_count;
    struct kv_run_reader *runs[]; /* newest first */
};

/*
 * Open everything that `manifest` names; segments and logs that `previous` (NULL:
 * none) has open are shared with it. A reference of `log`, the active one, is taken.
 */
enum kv_status kv_version_open(const struct kv_place *place, const struct kv_manifest *manifest,
                               struct kv_log *log, struct kv_version *previous,
                               struct kv_version **out) KV_WARN_UNUSED;

struct kv_version *kv_version_ref(struct kv_version *version);
void kv_version_unref(struct kv_version *version); /* NULL is fine */

/*
 * A version of the same runs and nothing else: without a log, it keeps no memtable. For who
 * reads runs for long, and asks only what says "in runs" or is about them. NULL: no memory.
 */
struct kv_version *kv_version_of_runs(const struct kv_version *version);

/* The active log is bounded by the snapshot, the unindexed one also by its end. */
static inline uint32_t kv_version_log_bound(const struct kv_version *version, uint64_t lsn)
{
    return (uint32_t)kv_log_offset(version->log, lsn);
}

static inline uint32_t kv_version_unindexed_bound(const struct kv_version *version, uint64_t lsn)
{
    uint64_t bound = kv_log_offset(version->unindexed, lsn);

    return bound < version->unindexed_end_bytes ? (uint32_t)bound : version->unindexed_end_bytes;
}

/* The newest record of `key` at `lsn`. KV_OK (maybe a tombstone), KV_DONE: none; borrows the version. */
enum kv_status kv_version_get(struct kv_version *version, uint64_t lsn, uint64_t hash,
                              struct kv_slice key, struct kv_entry *out) KV_WARN_UNUSED;

/* The same in runs first … first+count-1 alone. `*run` (may be NULL) is where it was found. */
enum kv_status kv_version_get_in_runs(struct kv_version *version, size_t first, size_t count,
                                      uint64_t hash, struct kv_slice key, struct kv_entry *out,
                                      size_t *run) KV_WARN_UNUSED;

/* The seq of the transaction that ends at `lsn`; before the log's first, the seq before the log. */
uint64_t kv_version_seq(const struct kv_version *version, uint64_t lsn);

/* May one of runs first … first+count-1 hold the key? As the filters say; doubt is yes. */
bool kv_version_may_contain(struct kv_version *version, size_t first, size_t count, uint64_t hash,
                            struct kv_slice key);

/*
 * Iterators over all sources at `lsn`, newest first, into `out` (room for
 * kv_version_iter_max()). They hold what they read.
 */
size_t kv_version_iter_max(const struct kv_version *version);
enum kv_status kv_version_iters(struct kv_version *version, uint64_t lsn, struct kv_iter **out,
                                size_t *count) KV_WARN_UNUSED;

enum kv_pin_state { KV_PIN_IDLE, KV_PIN_HELD, KV_PIN_STOLEN };

struct kv_pin {
    _Atomic int state;
    uint64_t serial; /* of the version in the engine; 0: holds none */
    struct kv_version *version;
    struct kv_pin *previous, *next; /* the engine's list, under its mutex */
};

#endif
