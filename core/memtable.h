/*
 * The in-memory index of a log: for each record its key's hash and prefix and
 * where it stands in the file. Keys and rows stay in the log.
 *
 * One mutator at a time; readers take no lock. Publication: an item is
 * written, then the slot of its hash is stored (release); a reader that loads
 * the slot (acquire) sees the whole item and all older ones. Items are never
 * changed or removed while readers may be about, and the memory is reserved
 * in full from the start, so nothing moves under them.
 *
 * The hash table has a slot for each distinct hash: a few bits of it, and the
 * newest item; items of equal hash are chained newest first, so an overwrite
 * need not look at the old record, and a reader compares whole keys anyway.
 * Now and then two hashes that meet have the same few bits: they share a slot and a chain.
 * Open addressing with linear probing, at most half full. Which slot a hash gets depends on
 * a secret of this process, so that whoever made the store, who knows the seed of its hashes, cannot
 * choose keys whose slots crowd together. Keys of one hash would make a long chain: see flood.h.
 *
 * A write transaction uses one for its own records, private until it publishes;
 * there items may also be taken back.
 */
#ifndef KV_MEMTABLE_H
#define KV_MEMTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "order.h"
#include "slice.h"
#include "status.h"

/* With the secret: what hashes are multiplied by. */
#define KV_MEMTABLE_MULTIPLIER UINT64_C(0x9e3779b97f4a7c15)

/* A slot has 20 bits for 1 + the index of an item. */
enum { KV_MEMTABLE_CAPACITY_MAX = 1 << 19 };

struct kv_flood;

struct kv_memtable {
    uint64_t secret, multiplier;   /* the one made of the other: what hashes are mixed with */
    uint32_t capacity;             /* items; a power of two */
    _Atomic uint32_t count;        /* items, in the order of writing */
    _Atomic uint32_t linked_count; /* of them in the hash table */
    struct kv_item *items;
    _Atomic uint32_t *slots; /* 2 * capacity of them; NULL until something is linked */
    struct kv_order order;
    struct kv_flood *_Atomic flood; /* flood.h; NULL: no keys of one hash have been noticed */
};

/*
 * Room for `capacity` items (rounded up to a power of two), at most KV_MEMTABLE_CAPACITY_MAX.
 * Untouched memory costs nothing.
 */
enum kv_status kv_memtable_init(struct kv_memtable *memtable, uint32_t capacity,
                                uint64_t secret) KV_WARN_UNUSED;
void kv_memtable_release(struct kv_memtable *memtable);

/* Make the hash table, so that linking cannot fail. */
enum kv_status kv_memtable_reserve(struct kv_memtable *memtable) KV_WARN_UNUSED;

/* It is empty, and likely to become full: its memory may be taken in large pieces. */
void kv_memtable_expect_many(struct kv_memtable *memtable);

/* Append an item without linking it; there is room. */
static inline void kv_memtable_append(struct kv_memtable *memtable, struct kv_item item)
{
    uint32_t count = atomic_load_explicit(&memtable->count, memory_order_relaxed);

    memtable->items[count] = item;
    atomic_store_explicit(&memtable->count, count + 1, memory_order_release);
}

static inline uint32_t kv_memtable_count(const struct kv_memtable *memtable)
{
    return atomic_load_explicit(&memtable->count, memory_order_acquire);
}

/* The first so many items are whole, and will not change while readers may be about. */
static inline uint32_t kv_memtable_linked_count(const struct kv_memtable *memtable)
{
    return atomic_load_explicit(&memtable->linked_count, memory_order_acquire);
}

/* Has a lookup met keys of one hash? Then lookups go by kv_flood_table(). */
static inline bool kv_memtable_is_flooded(const struct kv_memtable *memtable)
{
    return atomic_load_explicit(&memtable->flood, memory_order_relaxed) != NULL;
}

/* Put every item appended so far into the hash table, which is reserved. */
void kv_memtable_link(struct kv_memtable *memtable);

/*
 * Append copies of `items` and link them: what publishing a transaction does.
 * There is room, and the table is reserved.
 */
void kv_memtable_splice(struct kv_memtable *memtable, const struct kv_item *items, uint32_t count);

/* Take back the newest items until `count` are left. Only while nobody else reads. */
void kv_memtable_truncate(struct kv_memtable *memtable, uint32_t count);

/* Double the capacity, or more, to hold `capacity`. Only while nobody else reads. */
enum kv_status kv_memtable_grow(struct kv_memtable *memtable, uint32_t capacity) KV_WARN_UNUSED;

/* Start fetching the slot that a lookup of `hash` touches first. */
void kv_memtable_prefetch(const struct kv_memtable *memtable, uint64_t hash);

/* 1 + index of the newest linked item whose hash is likely `hash`; 0: none. Follow item.older. */
uint32_t kv_memtable_find(const struct kv_memtable *memtable, uint64_t hash);

/* Anonymous memory in use, about. */
uint64_t kv_memtable_memory_bytes(const struct kv_memtable *memtable);

#endif
