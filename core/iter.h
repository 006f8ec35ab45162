/* An ordered stream of entries, in one direction at a time. */
#ifndef KV_ITER_H
#define KV_ITER_H

#include <stdbool.h>
#include <stdint.h>

#include "slice.h"
#include "status.h"

/* One key and what became of it. Slices are borrowed: see who hands it out. */
struct kv_entry {
    struct kv_slice key;
    struct kv_slice row; /* empty if `deleted` */
    uint64_t seq;        /* of the transaction; 0: uncommitted */
    uint32_t size_bytes; /* of the record on disk */
    bool deleted;        /* a tombstone */
    bool own;            /* an uncommitted write of the reading transaction */
};

enum kv_direction { KV_FORWARD = 1, KV_BACKWARD = -1 };

struct kv_iter;

struct kv_iter_ops {
    /*
     * Forwards: stop before the first key >= `*bound` (`bound` NULL: the very
     * first). Backwards: before the last key <= `*bound` (NULL: the very last).
     */
    enum kv_status (*seek)(struct kv_iter *it, const struct kv_slice *bound,
                           enum kv_direction direction);
    /*
     * KV_OK: `*out` borrows `it` until the next call on it. KV_DONE: no more.
     * Each key comes once, with its newest version in this source; tombstones
     * are entries. Any failure ends the iteration.
     */
    enum kv_status (*next)(struct kv_iter *it, struct kv_entry *out);
    void (*free)(struct kv_iter *it);
};

/* Embed as the first member of each implementation. */
struct kv_iter {
    const struct kv_iter_ops *ops;
};

static inline enum kv_status kv_iter_seek(struct kv_iter *it, const struct kv_slice *bound,
                                          enum kv_direction direction)
{
    return it->ops->seek(it, bound, direction);
}

static inline enum kv_status kv_iter_next(struct kv_iter *it, struct kv_entry *out)
{
    return it->ops->next(it, out);
}

/* NULL is fine. */
static inline void kv_iter_free(struct kv_iter *it)
{
    if (it)
        it->ops->free(it);
}

/* Free all of an array; `*count` is 0 then. */
static inline void kv_iters_free(struct kv_iter **its, size_t *count)
{
    while (*count > 0)
        kv_iter_free(its[--*count]);
}

#endif
