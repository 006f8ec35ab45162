/*
 * Rebuilding an index: scan, and for a log sort and drop superseded versions.
 *
 * Sorting compares eight bytes of each key, taken behind the prefix that all
 * keys share, and goes to the keys themselves, which lie scattered, only for
 * ties. Until the order is known an item's `hash` holds those eight bytes;
 * this halves the memory.
 */
#include "segment_rebuild.h"

#include <stdlib.h>

#include "hash.h"
#include "record.h"
#include "segment_scan.h"

enum { FIRST_CAPACITY = 1024 };

struct collection {
    struct kv_slice data;
    struct kv_index_item *items;
    size_t count;
    size_t capacity;
    struct kv_slice first_key;
    size_t shared_bytes; /* of first_key: the prefix that all keys have */
};

static enum kv_status grow(struct collection *all)
{
    size_t capacity = all->capacity ? all->capacity * 2 : FIRST_CAPACITY;
    struct kv_index_item *items = realloc(all->items, capacity * sizeof(*items));

    if (!items)
        return kv_fail_nomem();
    all->items = items;
    all->capacity = capacity;
    return KV_OK;
}

static void share_prefix(struct collection *all, struct kv_slice key)
{
    size_t shared = 0;

    if (all->count == 0) {
        all->first_key = key;
        all->shared_bytes = key.size;
        return;
    }
    while (shared < all->shared_bytes && shared < key.size &&
           key.data[shared] == all->first_key.data[shared])
        shared++;
    all->shared_bytes = shared;
}

static enum kv_status collect(struct collection *all, struct kv_segment_scan *scan)
{
    struct kv_record record;
    uint32_t offset;
    enum kv_status st;

    while ((st = kv_segment_scan_next(scan, &record, &offset)) == KV_OK) {
        if (all->count == all->capacity && (st = grow(all)) != KV_OK)
            return st;
        share_prefix(all, record.key);
        all->items[all->count++] = (struct kv_index_item){.offset_bytes = offset};
    }
    return st == KV_DONE ? KV_OK : st;
}

static struct kv_slice key_at(const struct collection *all, const struct kv_index_item *item)
{
    return kv_record_key(
        kv_slice_of(all->data.data + item->offset_bytes, all->data.size - item->offset_bytes));
}

/* By key; of equal keys the newest, that is the last written, first. */
static int compare_items(const void *a, const void *b, void *context)
{
    const struct kv_index_item *left = a, *right = b;
    const struct collection *all = context;

    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    int order = kv_slice_compare(key_at(all, left), key_at(all, right));
    if (order)
        return order;
    return left->offset_bytes > right->offset_bytes ? -1 : left->offset_bytes < right->offset_bytes;
}

static void sort(struct collection *all)
{
    for (size_t i = 0; i < all->count; i++) {
        struct kv_slice key = key_at(all, &all->items[i]);
        all->items[i].hash = kv_slice_prefix(
            kv_slice_of(key.data + all->shared_bytes, key.size - all->shared_bytes));
    }
    qsort_r(all->items, all->count, sizeof(*all->items), compare_items, all);
}

/* Of a sorted collection: the first of each group of equal keys is the newest. */
static void drop_superseded(struct collection *all)
{
    struct kv_slice last = {0};
    size_t kept = 0;

    for (size_t i = 0; i < all->count; i++) {
        struct kv_slice key = key_at(all, &all->items[i]);
        if (kept > 0 && kv_slice_equal(key, last))
            continue;
        all->items[kept++] = all->items[i];
        last = key;
    }
    all->count = kept;
}

static void hash_keys(struct collection *all, uint64_t seed)
{
    for (size_t i = 0; i < all->count; i++)
        all->items[i].hash = kv_hash(key_at(all, &all->items[i]), seed);
}

static enum kv_status rebuild_log(const struct kv_place *place, const struct kv_segment_info *info,
                                  const struct kv_header *header, struct kv_slice data,
                                  struct kv_index **out)
{
    struct collection all = {.data = data};
    struct kv_index_array array;
    struct kv_segment_scan scan;
    enum kv_status st;

    kv_segment_scan_init(&scan, place, info, header, data);
    st = collect(&all, &scan);
    if (st == KV_OK && all.count > 0) {
        sort(&all);
        drop_superseded(&all);
        hash_keys(&all, place->hash_seed);
    }
    array = kv_index_array(all.items, all.count);
    if (st == KV_OK)
        st = kv_index_build(place, info, data, &array.base, NULL, out);
    free(all.items);
    return st;
}

/* ---- Merge outputs */

struct in_order {
    struct kv_index_source base;
    struct kv_segment_scan scan;
    uint64_t hash_seed;
};

static enum kv_status next_in_order(struct kv_index_source *source, struct kv_index_item *out)
{
    struct in_order *segment = (struct in_order *)source;
    struct kv_record record;
    enum kv_status st = kv_segment_scan_next(&segment->scan, &record, &out->offset_bytes);

    if (st == KV_OK)
        out->hash = kv_hash(record.key, segment->hash_seed);
    return st;
}

enum kv_status kv_segment_build_index(const struct kv_place *place,
                                      const struct kv_segment_info *info,
                                      const struct kv_header *header, struct kv_slice data,
                                      const struct kv_interrupt *interrupt, struct kv_index **out)
{
    struct in_order segment = {.base = {next_in_order, (size_t)info->record_count},
                               .hash_seed = place->hash_seed};

    kv_segment_scan_init(&segment.scan, place, info, header, data);
    return kv_index_build(place, info, data, &segment.base, interrupt, out);
}

/* Verify all of it, and count its records. */
static enum kv_status count_records(const struct kv_place *place,
                                    const struct kv_segment_info *info,
                                    const struct kv_header *header, struct kv_slice data,
                                    uint64_t *out)
{
    struct kv_segment_scan scan;
    struct kv_record record;
    uint32_t offset;
    enum kv_status st;

    *out = 0;
    kv_segment_scan_init(&scan, place, info, header, data);
    while ((st = kv_segment_scan_next(&scan, &record, &offset)) == KV_OK)
        ++*out;
    return st == KV_DONE ? KV_OK : st;
}

/* ---- Any segment */

enum kv_status kv_segment_rebuild_index(const struct kv_place *place,
                                        const struct kv_segment_info *info,
                                        const struct kv_header *header, struct kv_slice data,
                                        struct kv_index **out)
{
    struct kv_segment_info counted = *info;
    enum kv_status st;

    *out = NULL;
    if (header->role != KV_ROLE_MERGE)
        return rebuild_log(place, info, header, data, out);
    st = count_records(place, info, header, data, &counted.record_count);
    return st == KV_OK ? kv_segment_build_index(place, &counted, header, data, NULL, out) : st;
}
