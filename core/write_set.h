/*
 * The writes of a transaction that has not been published: encoded records,
 * in a buffer and past the committed end of the log, and a private memtable.
 *
 * Record i stands at items[i].offset_bytes of the log it is destined for; what
 * lies before `flushed_bytes` has been written there, the rest is in the
 * buffer. Rolling back shortens the list; bytes already written are simply
 * written over later, since nothing counts without a COMMIT that names them.
 *
 * A view is what a scan sees of it: the records there were when the scan was
 * opened. Views outlive the set and the transaction: published records stay
 * readable, and a view whose records are taken back fails with KV_ABORTED. So
 * the transaction has the list of them: the set that a view was opened on may
 * have given way to another by the time of a rollback (overflow.h).
 */
#ifndef KV_WRITE_SET_H
#define KV_WRITE_SET_H

#include <stdbool.h>

#include "log.h"

struct kv_write_view;

/* The open views of a transaction. All zero: none. */
struct kv_write_views {
    struct kv_write_view *first;
};

struct kv_write_set {
    unsigned references;   /* the transaction and its views: one thread at a time */
    struct kv_log *log;    /* a reference */
    uint64_t seq;          /* of the transaction */
    uint64_t first_record; /* how many records of the transaction come before this set */
    struct kv_memtable memtable;
    struct kv_buffer buffer;
    uint32_t begin_bytes;   /* file offset of the first record: the log's committed end */
    uint32_t flushed_bytes; /* file offset where the buffer starts */
    uint32_t end_bytes;     /* file offset after the last record */
    uint64_t digest;        /* the log's chain carried over every record's checksum, unless … */
    bool digest_is_stale;   /* … records were taken back, which leaves no way back */
};

/* Start collecting for the end of `log` (a reference is taken). */
enum kv_status kv_write_set_new(struct kv_log *log, uint64_t seq,
                                struct kv_write_set **out) KV_WARN_UNUSED;
void kv_write_set_unref(struct kv_write_set *set); /* NULL is fine */

static inline uint32_t kv_write_set_count(const struct kv_write_set *set)
{
    return kv_memtable_count(&set->memtable);
}

/*
 * Add a PUT or DELETE of `key`, whose hash is `hash`; sizes are within their
 * limits and the record fits the log. After a failure it is not part of the set.
 */
enum kv_status kv_write_set_add(struct kv_write_set *set, enum kv_kind kind, uint64_t hash,
                                struct kv_slice key, struct kv_slice row) KV_WARN_UNUSED;

/* The bytes that such a record takes. */
size_t kv_write_set_record_size(const struct kv_write_set *set, enum kv_kind kind,
                                struct kv_slice key, struct kv_slice row);

/* The newest record of `key`. KV_DONE; `*out` is valid until the next call on the set. */
enum kv_status kv_write_set_get(struct kv_write_set *set, uint64_t hash, struct kv_slice key,
                                struct kv_entry *out) KV_WARN_UNUSED;

/* Take back all but the first `count` records; views that show more have been cut off. */
void kv_write_set_truncate(struct kv_write_set *set, uint32_t count);

/*
 * Write what is left of a set in a pending segment, and describe it to its log's
 * tail, so that it can be indexed, from the set's items. Nothing is added to the set after that.
 */
enum kv_status kv_write_set_close(struct kv_write_set *set) KV_WARN_UNUSED;

/*
 * Write what is left and `commit`, of which record_count, begin_lsn and digest
 * are filled in. Nothing is synced. The log's tail is not changed.
 */
enum kv_status kv_write_set_commit(struct kv_write_set *set,
                                   struct kv_commit *commit) KV_WARN_UNUSED;

/*
 * Make the committed transaction part of its log: its records go into the log's
 * memtable, and the log's tail behind its COMMIT. Cannot fail. Readers still
 * go by the LSN they are given.
 */
void kv_write_set_publish(struct kv_write_set *set, const struct kv_commit *commit);

/* Write zeros over the COMMIT, so that the transaction does not count. Nothing is synced. */
enum kv_status kv_write_set_uncommit(struct kv_write_set *set) KV_WARN_UNUSED;

/* Move every record to the end of another log. On failure the set is as it was. */
enum kv_status kv_write_set_move(struct kv_write_set *set, struct kv_log *log) KV_WARN_UNUSED;

/*
 * Iterators over the records so far, as kv_log_iters; they hold the set. `*view`
 * is what they show, one of `views` from then on, and the caller's to give back.
 */
enum kv_status kv_write_set_iters(struct kv_write_set *set, struct kv_write_views *views,
                                  struct kv_iter **out, size_t *count,
                                  struct kv_write_view **view) KV_WARN_UNUSED;

/* Cut off views that show more than the first `record_count` records of the transaction. */
void kv_write_views_cut(struct kv_write_views *views, uint64_t record_count);

/* The transaction is over: nothing that views show is taken back any more. */
void kv_write_views_release(struct kv_write_views *views);

/*
 * KV_ABORTED: records that the view shows have been taken back. An iterator
 * finds out when it reads the next of them; what a merge has read ahead, or
 * what they hid, is as wrong.
 */
enum kv_status kv_write_view_check(const struct kv_write_view *view) KV_WARN_UNUSED;
void kv_write_view_unref(struct kv_write_view *view); /* NULL is fine */

#endif
