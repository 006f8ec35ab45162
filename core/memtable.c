/* The hash table over a log's items: see memtable.h for how it is published. */
#include "memtable.h"

#include <assert.h>
#include <stdlib.h>

#include "flood.h"
#include "io.h"
#include "prefetch.h"
#include "table.h"

enum {
    SPLICE_AHEAD = 12, /* slots fetched ahead: about one memory latency of inserts */
    TAG_BITS = 12,
};

/*
 * A slot: the tag, which is the highest bits of the mixed hash; below them 1 + index of the newest
 * item. 0: empty. Four bytes, since slots are touched at random, and soon are all resident.
 */
#define INDEX_MASK (UINT32_MAX >> TAG_BITS)
_Static_assert(KV_MEMTABLE_CAPACITY_MAX <= INDEX_MASK, "1 + index fits beside the tag");

static inline uint32_t tag_of(uint64_t mixed)
{
    return (uint32_t)(mixed >> 32) & ~INDEX_MASK;
}

/* Both halves of a product of 128 bits, so that all bits of hash and secret count. */
static inline uint64_t mix(const struct kv_memtable *memtable, uint64_t hash)
{
    unsigned __int128 product = (unsigned __int128)(hash ^ memtable->secret) * memtable->multiplier;

    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

static inline uint32_t mask_of(const struct kv_memtable *memtable)
{
    return 2 * memtable->capacity - 1;
}

static size_t items_size(uint32_t capacity)
{
    return capacity * sizeof(struct kv_item);
}

static size_t slots_size(uint32_t capacity)
{
    return 2 * (size_t)capacity * sizeof(uint32_t);
}

static struct kv_flood *flood_of(const struct kv_memtable *memtable)
{
    return atomic_load_explicit(&memtable->flood, memory_order_acquire);
}

enum kv_status kv_memtable_init(struct kv_memtable *memtable, uint32_t capacity, uint64_t secret)
{
    uint32_t rounded = 16;

    assert(capacity <= KV_MEMTABLE_CAPACITY_MAX);
    while (rounded < capacity)
        rounded *= 2;
    *memtable = (struct kv_memtable){
        .secret = secret, .multiplier = secret << 1 ^ KV_MEMTABLE_MULTIPLIER, .capacity = rounded};
    atomic_init(&memtable->count, 0);
    atomic_init(&memtable->linked_count, 0);
    kv_order_init(&memtable->order);
    atomic_init(&memtable->flood, NULL);
    memtable->items = kv_table_new(items_size(rounded));
    return memtable->items ? KV_OK : kv_fail_nomem();
}

void kv_memtable_release(struct kv_memtable *memtable)
{
    if (memtable->capacity == 0)
        return; /* never initialised */
    kv_order_release(&memtable->order);
    kv_flood_free(flood_of(memtable));
    kv_table_free(memtable->items, items_size(memtable->capacity));
    kv_table_free((void *)memtable->slots, slots_size(memtable->capacity));
    *memtable = (struct kv_memtable){0};
}

enum kv_status kv_memtable_reserve(struct kv_memtable *memtable)
{
    if (!memtable->slots)
        memtable->slots = kv_table_new(slots_size(memtable->capacity));
    return memtable->slots ? KV_OK : kv_fail_nomem();
}

void kv_memtable_expect_many(struct kv_memtable *memtable)
{
    kv_table_expect_all(memtable->items, items_size(memtable->capacity));
    if (memtable->slots)
        kv_table_expect_all((void *)memtable->slots, slots_size(memtable->capacity));
}

/* The slot of this mixed hash, or of one that cannot be told from it; else the empty one where it belongs. */
static inline _Atomic uint32_t *slot_of(const struct kv_memtable *memtable, uint64_t mixed,
                                        uint32_t *content)
{
    uint32_t mask = mask_of(memtable);
    uint32_t at = (uint32_t)mixed & mask;
    uint32_t tag = tag_of(mixed);

    for (;;) {
        *content = atomic_load_explicit(&memtable->slots[at], memory_order_acquire);
        if (*content == 0 || (*content & ~INDEX_MASK) == tag)
            return &memtable->slots[at];
        at = (at + 1) & mask;
    }
}

static void link_item(struct kv_memtable *memtable, uint32_t index)
{
    struct kv_item *item = &memtable->items[index];
    uint64_t mixed = mix(memtable, item->hash);
    uint32_t content;
    _Atomic uint32_t *slot = slot_of(memtable, mixed, &content);

    item->older = content & INDEX_MASK;
    atomic_store_explicit(slot, tag_of(mixed) | (index + 1), memory_order_release);
}

static void set_linked_count(struct kv_memtable *memtable, uint32_t count)
{
    atomic_store_explicit(&memtable->linked_count, count, memory_order_release);
}

void kv_memtable_link(struct kv_memtable *memtable)
{
    uint32_t count = kv_memtable_count(memtable);

    for (uint32_t i = kv_memtable_linked_count(memtable); i < count; i++)
        link_item(memtable, i);
    set_linked_count(memtable, count);
}

static inline __attribute__((always_inline)) void prefetch_slot(const struct kv_memtable *memtable,
                                                                uint64_t hash)
{
    kv_prefetch((const void *)&memtable->slots[(uint32_t)mix(memtable, hash) & mask_of(memtable)],
                sizeof(uint32_t));
}

void kv_memtable_prefetch(const struct kv_memtable *memtable, uint64_t hash)
{
    prefetch_slot(memtable, hash);
}

void kv_memtable_splice(struct kv_memtable *memtable, const struct kv_item *items, uint32_t count)
{
    uint32_t base = kv_memtable_count(memtable);

    memcpy(memtable->items + base, items, count * sizeof(*items));
    for (uint32_t i = 0; i < count; i++) {
        if (i + SPLICE_AHEAD < count)
            prefetch_slot(memtable, items[i + SPLICE_AHEAD].hash);
        link_item(memtable, base + i);
    }
    set_linked_count(memtable, base + count);
    atomic_store_explicit(&memtable->count, base + count, memory_order_release);
}

/*
 * In the opposite order of linking, so each step restores the table as it was
 * before the item came: whoever probed past a slot that is emptied is gone already.
 */
void kv_memtable_truncate(struct kv_memtable *memtable, uint32_t count)
{
    uint32_t linked_count = kv_memtable_linked_count(memtable);

    kv_order_truncate(&memtable->order, count);
    kv_flood_truncate(flood_of(memtable), count);
    while (linked_count > count) {
        const struct kv_item *item = &memtable->items[--linked_count];
        uint64_t mixed = mix(memtable, item->hash);
        uint32_t content;
        _Atomic uint32_t *slot = slot_of(memtable, mixed, &content);

        content = item->older ? tag_of(mixed) | item->older : 0;
        atomic_store_explicit(slot, content, memory_order_relaxed);
    }
    set_linked_count(memtable, linked_count);
    atomic_store_explicit(&memtable->count, count, memory_order_relaxed);
}

enum kv_status kv_memtable_grow(struct kv_memtable *memtable, uint32_t capacity)
{
    uint32_t rounded = memtable->capacity;
    _Atomic uint32_t *slots = NULL;
    struct kv_item *items;

    assert(capacity <= KV_MEMTABLE_CAPACITY_MAX);
    while (rounded < capacity)
        rounded *= 2;
    if (rounded == memtable->capacity)
        return KV_OK;
    items = kv_table_new(items_size(rounded));
    if (items && memtable->slots)
        slots = kv_table_new(slots_size(rounded));
    if (!items || (memtable->slots && !slots)) {
        kv_table_free(items, items_size(rounded));
        return kv_fail_nomem();
    }
    memcpy(items, memtable->items, kv_memtable_count(memtable) * sizeof(*items));
    kv_table_free(memtable->items, items_size(memtable->capacity));
    kv_table_free((void *)memtable->slots, slots_size(memtable->capacity));
    memtable->items = items;
    memtable->slots = slots;
    memtable->capacity = rounded;
    for (uint32_t i = 0; slots && i < kv_memtable_linked_count(memtable); i++)
        link_item(memtable, i);
    return KV_OK;
}

uint32_t kv_memtable_find(const struct kv_memtable *memtable, uint64_t hash)
{
    uint32_t content;

    if (!memtable->slots)
        return 0;
    slot_of(memtable, mix(memtable, hash), &content);
    return content & INDEX_MASK;
}

uint64_t kv_memtable_memory_bytes(const struct kv_memtable *memtable)
{
    uint64_t bytes = (uint64_t)kv_memtable_count(memtable) * sizeof(struct kv_item);

    if (memtable->slots)
        bytes += slots_size(memtable->capacity);
    return bytes + kv_flood_memory_bytes(flood_of(memtable));
}
