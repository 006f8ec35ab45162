/*
 * One batch, forwards or backwards.
 *
 * A batch holds groups of equal keys, newest item first, all but the first
 * flagged as duplicates. Of a group the first item below the bound is shown;
 * a group without one is passed over.
 */
#include "batch_iter.h"

#include <stdlib.h>

#include "prefetch.h"

struct batch_iter {
    struct kv_iter base;
    const struct kv_batch_owner_ops *ops;
    void *owner;
    struct kv_batch_set *set;
    const struct kv_batch *batch;
    uint32_t bound_index;
    int64_t
        at; /* forwards: next group's head; backwards: last entry of the next group; or outside */
    const uint8_t *bytes; /* what offsets count from; NULL: nothing is fetched ahead */
    int64_t fetched;      /* of entries before it in the direction, first lines are being fetched */
    int64_t rest_fetched; /* and the other lines too */
    int64_t burst_count;
    enum kv_direction direction;
    struct kv_buffer scratch;
};

/* Compare the key of an entry with `bound`. */
static int compare(const struct kv_item_list *list, uint32_t entry, struct kv_slice bound,
                   uint64_t prefix)
{
    const struct kv_item *item = &list->items[entry & KV_ORDER_INDEX];

    if (item->prefix != prefix)
        return item->prefix < prefix ? -1 : 1;
    return kv_slice_compare(list->key(list->context, item->offset_bytes), bound);
}

/* The first entry whose key is >= `bound`, or with `after` > `bound`. */
static uint32_t search(const struct batch_iter *it, struct kv_slice bound, int after)
{
    struct kv_item_list list = it->ops->list(it->owner);
    uint64_t prefix = kv_slice_prefix(bound);
    uint32_t low = 0, high = it->batch->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (compare(&list, it->batch->entries[middle], bound, prefix) < after)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum kv_status batch_seek(struct kv_iter *base, const struct kv_slice *bound,
                                 enum kv_direction direction)
{
    struct batch_iter *it = (struct batch_iter *)base;

    it->direction = direction;
    if (direction == KV_FORWARD)
        it->at = bound ? search(it, *bound, 0) : 0;
    else
        it->at = (int64_t)(bound ? search(it, *bound, 1) : it->batch->count) - 1;
    it->fetched = it->rest_fetched = it->at;
    it->burst_count = KV_BURST_FIRST_COUNT;
    return KV_OK;
}

/* Start fetching the next records' first lines, of more records than the last time. */
static void fetch_burst(struct batch_iter *it)
{
    for (int64_t i = 0; i < it->burst_count; i++) {
        if (it->fetched < 0 || it->fetched >= it->batch->count)
            break;
        kv_prefetch_first_line(it->bytes + it->batch->offsets[it->fetched]);
        it->fetched += it->direction;
    }
    if (it->burst_count < KV_BURST_MAX_COUNT)
        it->burst_count *= 2;
}

/* Start fetching what later calls will need. */
static inline void fetch_ahead(struct batch_iter *it)
{
    /* A long group may have been stepped over. */
    if ((it->fetched - it->at) * it->direction < 0)
        it->fetched = it->at;
    if ((it->rest_fetched - it->at) * it->direction < 0)
        it->rest_fetched = it->at;
    if ((it->fetched - it->at) * it->direction <= it->burst_count)
        fetch_burst(it);
    while (it->rest_fetched != it->fetched &&
           (it->rest_fetched - it->at) * it->direction <= KV_REST_AHEAD_COUNT) {
        kv_prefetch_rest(it->bytes + it->batch->offsets[it->rest_fetched]);
        it->rest_fetched += it->direction;
    }
}

/* Take the group at `at` and step past it; returns the position of the entry shown, or -1. */
static int64_t take_group(struct batch_iter *it)
{
    const uint32_t *entries = it->batch->entries;
    int64_t head = it->at, count = it->batch->count;
    int64_t shown = -1, i;

    if (it->direction == KV_BACKWARD) {
        while (entries[head] & KV_ORDER_DUPLICATE)
            head--;
    }
    for (i = head; i < count && (i == head || entries[i] & KV_ORDER_DUPLICATE); i++) {
        if (shown < 0 && (entries[i] & KV_ORDER_INDEX) < it->bound_index)
            shown = i;
    }
    it->at = it->direction == KV_FORWARD ? i : head - 1;
    return shown;
}

static enum kv_status batch_next(struct kv_iter *base, struct kv_entry *out)
{
    struct batch_iter *it = (struct batch_iter *)base;
    const struct kv_batch *batch = it->batch;

    while (it->at >= 0 && it->at < batch->count) {
        int64_t shown;

        if (it->bytes)
            fetch_ahead(it);
        shown = take_group(it);
        if (shown >= 0)
            return it->ops->entry(it->owner, batch->entries[shown] & KV_ORDER_INDEX,
                                  batch->offsets[shown], &it->scratch, out);
    }
    return KV_DONE;
}

static void batch_free(struct kv_iter *base)
{
    struct batch_iter *it = (struct batch_iter *)base;

    kv_batch_set_unref(it->set);
    kv_buffer_release(&it->scratch);
    it->ops->unref(it->owner);
    free(it);
}

enum kv_status kv_batch_iter_open(const struct kv_batch_owner_ops *ops, void *owner,
                                  struct kv_batch_set *batches, uint32_t which,
                                  uint32_t bound_index, struct kv_iter **out)
{
    static const struct kv_iter_ops iter_ops = {batch_seek, batch_next, batch_free};
    struct batch_iter *it = calloc(1, sizeof(*it));

    *out = NULL;
    if (!it) {
        kv_batch_set_unref(batches);
        ops->unref(owner);
        return kv_fail_nomem();
    }
    *it = (struct batch_iter){.base = {&iter_ops},
                              .ops = ops,
                              .owner = owner,
                              .bytes = ops->bytes(owner),
                              .set = batches,
                              .batch = batches->batches[which],
                              .bound_index = bound_index,
                              .direction = KV_FORWARD};
    *out = &it->base;
    return KV_OK;
}

enum kv_status kv_batch_iters_open(const struct kv_batch_owner_ops *ops, void *owner,
                                   void (*ref)(void *owner), struct kv_batch_set *batches,
                                   uint32_t bound_index, struct kv_iter **out, size_t *count)
{
    *count = 0;
    for (uint32_t i = batches->batch_count; i-- > 0;) {
        enum kv_status st;

        if (batches->batches[i]->first >= bound_index)
            continue;
        ref(owner);
        st =
            kv_batch_iter_open(ops, owner, kv_batch_set_ref(batches), i, bound_index, &out[*count]);
        if (st != KV_OK) {
            kv_iters_free(out, count);
            return st;
        }
        ++*count;
    }
    return KV_OK;
}
