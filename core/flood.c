/* The second table of a memtable that is flooded: see flood.h. */
#include "flood.h"

#include <pthread.h>
#include <stdlib.h>

#include "hash.h"
#include "mutant.h"

enum { LINK_AT_ONCE = 12 }; /* items whose slots are fetched together */

struct kv_flood {
    pthread_mutex_t mutex; /* held by whoever adds to the table */
    struct kv_memtable table;
};

void kv_flood_free(struct kv_flood *flood)
{
    if (!flood)
        return;
    kv_memtable_release(&flood->table);
    pthread_mutex_destroy(&flood->mutex);
    free(flood);
}

uint64_t kv_flood_hash(const struct kv_memtable *memtable, struct kv_slice key)
{
    return kv_hash(key, memtable->secret);
}

/* An empty table for as many items. NULL: no memory. */
static struct kv_flood *flood_new(const struct kv_memtable *memtable)
{
    struct kv_flood *flood = calloc(1, sizeof(*flood));

    if (!flood)
        return NULL;
    pthread_mutex_init(&flood->mutex, NULL);
    if (kv_memtable_init(&flood->table, memtable->capacity, memtable->secret) == KV_OK &&
        kv_memtable_reserve(&flood->table) == KV_OK)
        return flood;
    kv_flood_free(flood);
    return NULL;
}

/* The memtable's flood, made if there is none: if two threads do that at once, the first one's. NULL: no memory. */
static struct kv_flood *flood_of(struct kv_memtable *memtable)
{
    struct kv_flood *flood = atomic_load_explicit(&memtable->flood, memory_order_acquire);
    struct kv_flood *made;

    if (flood)
        return flood;
    made = flood_new(memtable);
    if (!made || atomic_compare_exchange_strong(&memtable->flood, &flood, made))
        return made;
    kv_flood_free(made);
    return flood;
}

/*
 * Is there an item `index` before the bound? Only of one that is linked the offset is asked: nobody
 * changes that any more.
 */
static bool has_item(const struct kv_memtable *memtable, uint32_t index, uint32_t bound_bytes)
{
    return index < kv_memtable_linked_count(memtable) &&
           memtable->items[index].offset_bytes < bound_bytes;
}

/* Append the next item, without linking it. */
static enum kv_status append(struct kv_memtable *table, const struct kv_memtable *memtable,
                             const struct kv_flood_keys *keys)
{
    struct kv_item item = memtable->items[kv_memtable_count(table)];
    struct kv_slice key;
    enum kv_status st = keys->key(keys->owner, item.offset_bytes, keys->bound_bytes, &key);

    if (st != KV_OK)
        return st;
    item.hash = kv_flood_hash(memtable, key);
    kv_memtable_append(table, item);
    kv_memtable_prefetch(table, item.hash);
    return KV_OK;
}

/* Add what lies before the bound. The mutex is held. */
static enum kv_status add(struct kv_memtable *table, const struct kv_memtable *memtable,
                          const struct kv_flood_keys *keys)
{
    enum kv_status st = kv_memtable_grow(table, memtable->capacity);

    while (st == KV_OK && has_item(memtable, kv_memtable_count(table), keys->bound_bytes)) {
        st = append(table, memtable, keys);
        if (kv_memtable_count(table) % LINK_AT_ONCE == 0)
            kv_memtable_link(table);
    }
    kv_memtable_link(table);
    return st;
}

enum kv_status kv_flood_table(struct kv_memtable *memtable, const struct kv_flood_keys *keys,
                              const struct kv_memtable **out)
{
    struct kv_flood *flood = flood_of(memtable);
    enum kv_status st = KV_OK;

    *out = NULL;
    if (!flood)
        return kv_fail_nomem();
    if (has_item(memtable, kv_memtable_linked_count(&flood->table), keys->bound_bytes)) {
        pthread_mutex_lock(&flood->mutex);
        st = add(&flood->table, memtable, keys);
        pthread_mutex_unlock(&flood->mutex);
    }
    if (st == KV_OK)
        *out = &flood->table;
    return st;
}

void kv_flood_truncate(struct kv_flood *flood, uint32_t count)
{
    if (!flood || KV_MUTANT(flood_not_truncated))
        return;
    pthread_mutex_lock(&flood->mutex);
    if (kv_memtable_count(&flood->table) > count)
        kv_memtable_truncate(&flood->table, count);
    pthread_mutex_unlock(&flood->mutex);
}

uint64_t kv_flood_memory_bytes(const struct kv_flood *flood)
{
    return flood ? sizeof(*flood) + kv_memtable_memory_bytes(&flood->table) : 0;
}
