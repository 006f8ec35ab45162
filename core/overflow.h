/*
 * What of a transaction no log can hold: pending segments, on the side of the
 * transaction that writes them (group.h says what becomes of them).
 *
 * The records of an overflowing transaction are those of its parts, oldest first,
 * followed by those of its write set. A part is a pending segment, complete,
 * synced and indexed, in no manifest yet; the set collects the next one, or is
 * empty at the end of the active log, which stays empty until COMMIT.
 *
 * Rolling back drops whole parts and copies what stays of at most one to a new
 * segment; files are never cut, since scans may be reading them.
 */
#ifndef KV_OVERFLOW_H
#define KV_OVERFLOW_H

#include "engine.h"
#include "write_set.h"

struct kv_overflow_part {
    struct kv_segment *segment; /* a reference */
    uint64_t first_record;      /* of the transaction: how many come before */
    bool listed;                /* a manifest may name it */
};

/* All zero: the transaction has not overflowed. */
struct kv_overflow {
    uint64_t group; /* 0: not overflowing */
    uint32_t next_ordinal;
    struct kv_overflow_part *parts;
    size_t count, capacity;
    uint64_t record_count; /* in parts */
    bool listed;           /* a manifest may name the group, or an earlier form of it */
    bool sync_failed;      /* of a part: what it held may be gone, whatever a later sync says */
};

/* Free memory; files stay as they are. */
void kv_overflow_release(struct kv_overflow *overflow);

/*
 * begin: move what `*set` holds from the log to a pending segment. next: close
 * the part that it holds, if it has records, and let it collect the next one; `log` is
 * the active one. A failure takes no record from the transaction.
 */
enum kv_status kv_overflow_begin(struct kv_overflow *overflow, struct kv_engine *engine,
                                 struct kv_write_set **set) KV_WARN_UNUSED;
enum kv_status kv_overflow_next(struct kv_overflow *overflow, struct kv_engine *engine,
                                struct kv_log *log, struct kv_write_set **set) KV_WARN_UNUSED;

/*
 * Everything is in parts then, and they are listed as a group that `log`, the active
 * one, will commit; `*set` is an empty one at its end. Fills in the group of `commit`,
 * of which seq and time are known.
 */
enum kv_status kv_overflow_list(struct kv_overflow *overflow, struct kv_engine *engine,
                                struct kv_log *log, struct kv_write_set **set,
                                struct kv_commit *commit) KV_WARN_UNUSED;

/* Take the group out of the manifest again, before another transaction begins. */
enum kv_status kv_overflow_unlist(struct kv_overflow *overflow,
                                  struct kv_engine *engine) KV_WARN_UNUSED;

/*
 * Keep the first `record_count` records of the transaction, which are fewer than there are. With
 * none left it overflows no more. `log` is the active one. On failure there are no more
 * records than that, perhaps fewer: the transaction cannot go on.
 */
enum kv_status kv_overflow_truncate(struct kv_overflow *overflow, struct kv_engine *engine,
                                    struct kv_log *log, struct kv_write_set **set,
                                    uint64_t record_count) KV_WARN_UNUSED;

/* The newest record of `key` in the parts, as kv_write_set_get. */
enum kv_status kv_overflow_get(const struct kv_overflow *overflow, uint64_t hash,
                               struct kv_slice key, struct kv_entry *out) KV_WARN_UNUSED;

/* Iterators over the parts, newest first, into `out` (room for overflow->count). */
enum kv_status kv_overflow_iters(const struct kv_overflow *overflow, struct kv_iter **out,
                                 size_t *count) KV_WARN_UNUSED;

#endif
