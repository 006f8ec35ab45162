/* Looking up a list of keys: see batch.h. */
#include "batch.h"

#include <stdlib.h>

/* One key: where it lies in the batch's bytes, and what was found in advance. */
struct kv_batch_item {
    size_t offset;
    size_t size;
    struct kv_slice row; /* borrowed from the snapshot */
    size_t own_offset;   /* of an own row, in the batch's own bytes */
    bool is_own;
    bool is_found;
};

enum { ASK_EVERY_COUNT = 1024 };

void kv_batch_clear(struct kv_batch *batch, struct kv_connection *connection)
{
    batch->connection = connection;
    batch->count = 0;
    batch->keys.size = 0;
    batch->own.size = 0;
    batch->is_prefetched = false;
}

static bool reserve_item(struct kv_batch *batch)
{
    size_t capacity = 2 * batch->capacity + 16;
    struct kv_batch_item *items;

    if (batch->count < batch->capacity)
        return true;
    items = (struct kv_batch_item *)sqlite3_realloc64(batch->items, capacity * sizeof(*items));
    if (!items)
        return false;
    batch->items = items;
    batch->capacity = capacity;
    return true;
}

/* Append a copy of `bytes`; false when out of memory. */
static bool append(struct kv_scratch *scratch, struct kv_slice bytes)
{
    if (!kv_scratch_reserve(scratch, scratch->size + bytes.size))
        return false;
    if (bytes.size)
        memcpy(scratch->data + scratch->size, bytes.data, bytes.size);
    scratch->size += bytes.size;
    return true;
}

enum kv_status kv_batch_add(struct kv_batch *batch, struct kv_slice key)
{
    size_t offset = batch->keys.size;

    if (!reserve_item(batch) || !append(&batch->keys, key))
        return kv_fail_nomem();
    batch->items[batch->count++] = (struct kv_batch_item){.offset = offset, .size = key.size};
    return KV_OK;
}

static struct kv_slice key_of(const struct kv_batch *batch, const struct kv_batch_item *item)
{
    return kv_slice_of(batch->keys.data + item->offset, item->size);
}

static int compare_items(const void *a, const void *b, void *context)
{
    const struct kv_batch *batch = (const struct kv_batch *)context;

    return kv_slice_compare(key_of(batch, (const struct kv_batch_item *)a),
                            key_of(batch, (const struct kv_batch_item *)b));
}

void kv_batch_start(struct kv_batch *batch, bool descending)
{
    size_t kept = 0;

    if (batch->count > 1)
        qsort_r(batch->items, batch->count, sizeof(*batch->items), compare_items, batch);
    /* Conversion can make equal keys of different values: each row comes once. */
    for (size_t i = 0; i < batch->count; i++)
        if (kept == 0 || compare_items(&batch->items[kept - 1], &batch->items[i], batch) != 0)
            batch->items[kept++] = batch->items[i];
    batch->count = kept;
    batch->position = 0;
    batch->is_descending = descending;
}

/* A long list of keys, most of which may not be there, is looked up without SQLite's notice. */
static enum kv_status go_on(const struct kv_batch *batch, size_t done_count)
{
    if (done_count % ASK_EVERY_COUNT != 0 || !kv_connection_interrupted(batch->connection))
        return KV_OK;
    return kv_fail(KV_INTERRUPTED, "looking keys up was interrupted");
}

static enum kv_status prefetch_item(struct kv_batch *batch, struct kv_batch_item *item,
                                    struct kv_snapshot *snapshot, struct kv_txn *txn)
{
    struct kv_entry entry;
    enum kv_status st = kv_snapshot_get(snapshot, txn, key_of(batch, item), &entry);

    item->is_found = st == KV_OK;
    if (st != KV_OK)
        return st == KV_DONE ? KV_OK : st;
    item->row = entry.row;
    item->is_own = entry.own;
    item->own_offset = batch->own.size;
    if (entry.own && !append(&batch->own, entry.row))
        return kv_fail_nomem();
    return KV_OK;
}

enum kv_status kv_batch_prefetch(struct kv_batch *batch, struct kv_snapshot *snapshot,
                                 struct kv_txn *txn)
{
    enum kv_status st = KV_OK;

    for (size_t i = 0; i < batch->count && st == KV_OK; i++) {
        st = prefetch_item(batch, &batch->items[i], snapshot, txn);
        if (st == KV_OK)
            st = go_on(batch, i + 1);
    }
    batch->is_prefetched = true;
    return st;
}

/* What the item's row is; KV_DONE: there is none. */
static enum kv_status find_row(struct kv_batch *batch, const struct kv_batch_item *item,
                               struct kv_snapshot *snapshot, struct kv_slice *row)
{
    struct kv_entry entry;
    enum kv_status st;

    if (!batch->is_prefetched) {
        st = kv_snapshot_get(snapshot, NULL, key_of(batch, item), &entry);
        if (st == KV_OK)
            *row = entry.row;
        return st;
    }
    *row = item->row;
    if (item->is_own)
        row->data = batch->own.data + item->own_offset;
    return item->is_found ? KV_OK : KV_DONE;
}

enum kv_status kv_batch_next(struct kv_batch *batch, struct kv_snapshot *snapshot,
                             struct kv_slice *key, struct kv_slice *row)
{
    while (batch->position < batch->count) {
        size_t i = batch->is_descending ? batch->count - 1 - batch->position : batch->position;
        const struct kv_batch_item *item = &batch->items[i];
        enum kv_status st = find_row(batch, item, snapshot, row);

        batch->position++;
        *key = key_of(batch, item);
        if (st == KV_DONE)
            st = go_on(batch, batch->position) == KV_OK ? KV_DONE : KV_INTERRUPTED;
        if (st != KV_DONE)
            return st;
    }
    return KV_DONE;
}

void kv_batch_trim(struct kv_batch *batch)
{
    if (batch->capacity * sizeof(*batch->items) > KV_SCRATCH_KEEP_BYTES ||
        batch->keys.capacity > KV_SCRATCH_KEEP_BYTES || batch->own.capacity > KV_SCRATCH_KEEP_BYTES)
        kv_batch_release(batch);
}

void kv_batch_release(struct kv_batch *batch)
{
    kv_scratch_release(&batch->keys);
    kv_scratch_release(&batch->own);
    sqlite3_free(batch->items);
    *batch = (struct kv_batch){.count = 0};
}
