/*
 * Iterates one sorted batch of items (order.h), showing of each key the newest
 * item below a bound. Where the records' bytes are is the owner's business.
 */
#ifndef KV_BATCH_ITER_H
#define KV_BATCH_ITER_H

#include "buffer.h"
#include "iter.h"
#include "order.h"

/* Who owns the items: a log, or a transaction's writes. */
struct kv_batch_owner_ops {
    /* The items as they are now: the array may move between calls. */
    struct kv_item_list (*list)(const void *owner);
    /*
     * The entry of item `index`, whose record stood at `offset_bytes` when it
     * was sorted. Its slices are valid until the next call with
     * the same `scratch`, which may hold them. KV_ABORTED: what the iterator
     * shows has been taken back.
     */
    enum kv_status (*entry)(void *owner, uint32_t index, uint32_t offset_bytes,
                            struct kv_buffer *scratch, struct kv_entry *out);
    /* What offsets count from, for fetching records ahead. NULL: not worth it. */
    const uint8_t *(*bytes)(const void *owner);
    void (*unref)(void *owner);
};

/*
 * Iterate `batches->batches[which]`, showing items with an index below
 * `bound_index`. Takes over a reference of `owner` and one of `batches`, also
 * when it fails.
 */
enum kv_status kv_batch_iter_open(const struct kv_batch_owner_ops *ops, void *owner,
                                  struct kv_batch_set *batches, uint32_t which,
                                  uint32_t bound_index, struct kv_iter **out) KV_WARN_UNUSED;

/*
 * Open one iterator for each batch of `batches`, newest first, into `out`
 * (room for KV_BATCH_COUNT_MAX). Borrows owner and batches: `ref` takes a reference of owner for each.
 */
enum kv_status kv_batch_iters_open(const struct kv_batch_owner_ops *ops, void *owner,
                                   void (*ref)(void *owner), struct kv_batch_set *batches,
                                   uint32_t bound_index, struct kv_iter **out,
                                   size_t *count) KV_WARN_UNUSED;

#endif
