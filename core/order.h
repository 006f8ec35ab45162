/*
 * Key order over a growing list of log records, paid for only by those who ask.
 *
 * A list of items (one a record, in the order of writing) is never sorted in
 * place. When a scan needs order, what is new since the last time is sorted
 * into an immutable batch; batches are merged geometrically, so that there are
 * O(log n) of them and each item is merged O(log n) times (Bentley and Saxe's
 * logarithmic method). The set of batches is immutable too and reference
 * counted: a scan keeps the one it started with.
 */
#ifndef KV_ORDER_H
#define KV_ORDER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "interrupt.h"
#include "slice.h"
#include "status.h"

/* One record of a log. `hash` and `prefix` are of its key. */
struct kv_item {
    uint64_t prefix;       /* kv_slice_prefix(key) */
    uint64_t hash;         /* kv_hash(key, seed of the store) */
    uint32_t offset_bytes; /* of the record in its file */
    uint32_t older;        /* memtable.h: 1 + index of the next older item of the chain; 0: none */
};
_Static_assert(sizeof(struct kv_item) == 24, "an item costs 24 bytes");

/* Where sorting finds the keys of items. */
struct kv_item_list {
    const struct kv_item *items;
    struct kv_slice (*key)(const void *context, uint32_t offset_bytes);
    const void *context;
};

/* An entry of a batch: an item's index; the flag says "same key as the entry before, and older". */
enum { KV_ORDER_DUPLICATE = 1u << 31, KV_ORDER_INDEX = KV_ORDER_DUPLICATE - 1 };

/*
 * Items first … end-1, by key, of equal keys the newest first. Where their
 * records stood when they were sorted is kept beside them: a scan of a log,
 * whose records stay, then comes by its items, which lie scattered, not at all.
 */
struct kv_batch {
    _Atomic uint32_t references;
    uint32_t first, end;
    uint32_t count;    /* end - first */
    uint32_t *offsets; /* of the entries' records; behind them in memory */
    uint32_t entries[];
};

/* Oldest batch first; together they cover items 0 … end-1. */
struct kv_batch_set {
    _Atomic uint32_t references;
    uint32_t end;
    uint32_t batch_count;
    struct kv_batch *batches[];
};

enum { KV_BATCH_COUNT_MAX = 32 }; /* in a set: more than log2 of the items */

struct kv_order {
    pthread_mutex_t mutex; /* held while sorting; nobody who writes or gets takes it */
    struct kv_batch_set *current;
};

void kv_order_init(struct kv_order *order);
void kv_order_release(struct kv_order *order);

/*
 * A set that covers at least the first `count` items, which are published and
 * will not change. The caller owns a reference. KV_NOMEM.
 */
enum kv_status kv_order_sort(struct kv_order *order, const struct kv_item_list *list,
                             uint32_t count, struct kv_batch_set **out) KV_WARN_UNUSED;

/* One batch of the first `count` items, apart from any set. The caller owns it. KV_INTERRUPTED. */
enum kv_status kv_order_sort_once(const struct kv_item_list *list, uint32_t count,
                                  const struct kv_interrupt *interrupt,
                                  struct kv_batch **out) KV_WARN_UNUSED;

void kv_batch_unref(struct kv_batch *batch); /* NULL is fine */

/* Forget items `count` and later. On KV_NOMEM all order is forgotten, which is as good. */
void kv_order_truncate(struct kv_order *order, uint32_t count);

/*
 * 1 + index of the newest of items 0 … `bound_index` - 1 with this key; 0: none. A look-up that
 * nobody can make slow by his choice of keys.
 */
uint32_t kv_batch_set_find(const struct kv_batch_set *set, const struct kv_item_list *list,
                           struct kv_slice key, uint32_t bound_index);

struct kv_batch_set *kv_batch_set_ref(struct kv_batch_set *set);
void kv_batch_set_unref(struct kv_batch_set *set); /* NULL is fine */

/*
 * Sort `count` indexes of items by key, of equal keys the higher index first,
 * set KV_ORDER_DUPLICATE, and tell the items' `offsets` in that order. `scratch` has
 * room for twice `count` of struct kv_sort_pair. False: interrupted, and left in any order.
 */
struct kv_sort_pair {
    uint64_t word;
    uint32_t index;
    uint32_t offset_bytes; /* of the item: spares a look at it */
};
bool kv_order_sort_entries(const struct kv_item_list *list, uint32_t *entries, uint32_t *offsets,
                           uint32_t count, struct kv_sort_pair *scratch,
                           const struct kv_interrupt *interrupt);

#endif
