/* Sorting a log and describing what is in it: see log_index.h. */
#include "log_index.h"

#include <stdlib.h>

#include "index.h"

/* The log's items in key order, and which of them are the newest of their key. */
struct sorted {
    struct kv_index_source base; /* gives out the newest of each key */
    const struct kv_item *items;
    struct kv_batch *batch;
    uint32_t given;  /* entries of the batch that are behind */
    uint8_t *newest; /* by index of the item */
};

static void sorted_release(struct sorted *sorted)
{
    kv_batch_unref(sorted->batch);
    free(sorted->newest);
}

/* The next entry that is the newest of its key; the batch has as many as base.count says. */
static enum kv_status next(struct kv_index_source *source, struct kv_index_item *out)
{
    struct sorted *sorted = (struct sorted *)source;
    const struct kv_batch *batch = sorted->batch;
    uint32_t entry = batch->entries[sorted->given];

    while (entry & KV_ORDER_DUPLICATE)
        entry = batch->entries[++sorted->given];
    *out = (struct kv_index_item){sorted->items[entry].hash, batch->offsets[sorted->given++]};
    return KV_OK;
}

/* Sort the first `count` items. */
static enum kv_status sort(const struct kv_log *log, const struct kv_item *items, uint32_t count,
                           const struct kv_interrupt *interrupt, struct sorted *out)
{
    struct kv_item_list list = kv_log_item_list(log);
    enum kv_status st;

    list.items = items;
    st = kv_order_sort_once(&list, count, interrupt, &out->batch);
    if (st != KV_OK)
        return st;
    out->base.next = next;
    out->items = items;
    out->newest = calloc(count + 1, 1);
    if (!out->newest)
        return kv_fail_nomem();
    for (uint32_t i = 0; i < count; i++) {
        uint32_t entry = out->batch->entries[i];

        if (entry & KV_ORDER_DUPLICATE)
            continue;
        out->newest[entry] = 1;
        out->base.count++;
    }
    return KV_OK;
}

/* Count what the log holds, in file order; each record is verified once more before it is final. */
static enum kv_status count_records(const struct kv_log *log, const struct sorted *sorted,
                                    struct kv_segment_info *info,
                                    const struct kv_interrupt *interrupt)
{
    uint32_t end_bytes = (uint32_t)info->end_bytes;

    for (uint32_t i = 0; i < info->record_count; i++) {
        struct kv_record record;
        enum kv_status st = kv_log_decode(log, sorted->items[i].offset_bytes, end_bytes, &record);

        if (st != KV_OK)
            return st;
        if (kv_interrupt_is_due(i) && kv_interrupt_asked(interrupt))
            return kv_fail(KV_INTERRUPTED, "%s: indexing was interrupted", log->place->path);
        if (i == 0)
            info->min_seq = record.seq;
        info->max_seq = record.seq;
        if (!sorted->newest[i])
            continue;
        info->entry_bytes += record.size_bytes;
        info->tombstone_count += record.kind == KV_DELETE;
    }
    info->dead_bytes = end_bytes - KV_HEADER_BYTES - info->entry_bytes;
    return KV_OK;
}

static enum kv_status set_key(struct kv_buffer *to, const struct kv_log *log, uint32_t offset_bytes,
                              uint64_t end_bytes)
{
    return kv_buffer_set(
        to, kv_record_key(kv_slice_of(log->data + offset_bytes, end_bytes - offset_bytes)));
}

void kv_log_describe(const struct kv_log *log, const struct kv_log_tail *end,
                     struct kv_segment_info *out)
{
    *out = (struct kv_segment_info){.number = log->header.number,
                                    .salt = log->header.salt,
                                    .end_bytes = end->end_bytes,
                                    .digest = end->digest,
                                    .record_count = end->record_count,
                                    .min_seq = log->header.base_seq + 1,
                                    .max_seq = end->seq,
                                    .min_time_ms = end->min_time_ms,
                                    .max_time_ms = end->max_time_ms,
                                    .first_lsn = log->header.log.base_lsn,
                                    .last_lsn = kv_log_lsn(log, end->end_bytes)};
}

enum kv_status kv_log_build_index(const struct kv_place *place, const struct kv_log *log,
                                  const struct kv_item *items, struct kv_segment_info *info,
                                  const struct kv_interrupt *interrupt)
{
    struct sorted sorted = {0};
    const struct kv_batch *batch;
    enum kv_status st = sort(log, items, (uint32_t)info->record_count, interrupt, &sorted);

    if (st == KV_OK)
        st = count_records(log, &sorted, info, interrupt);
    if (st != KV_OK)
        goto out;
    batch = sorted.batch;
    info->entry_count = sorted.base.count;
    /* The last entry may be an older version, of the same key. */
    st = set_key(&info->min_key, log, batch->offsets[0], info->end_bytes);
    if (st == KV_OK)
        st = set_key(&info->max_key, log, batch->offsets[batch->count - 1], info->end_bytes);
    if (st == KV_OK)
        st = kv_index_build(place, info, kv_slice_of(log->data, info->end_bytes), &sorted.base,
                            interrupt, NULL);
out:
    sorted_release(&sorted);
    return st;
}

enum kv_status kv_log_index(const struct kv_place *place, const struct kv_log *log,
                            const struct kv_item *items, const struct kv_log_tail *end,
                            struct kv_segment_info *info, const struct kv_interrupt *interrupt)
{
    enum kv_status st;

    kv_log_describe(log, end, info);
    st = kv_log_build_index(place, log, items, info, interrupt);
    if (st != KV_OK)
        kv_segment_info_release(info);
    return st;
}
