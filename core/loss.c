/* Judging keys by what is left of a damaged segment: see loss.h. */
#include "loss.h"

#include <stdlib.h>

#include "hash.h"

enum { TRIED_RECORD_MAX_BYTES = 1 << 20 }; /* longer ones are not tried with other keys */

static void *grow(void *items, size_t count, size_t *capacity, size_t item_bytes)
{
    size_t wanted = *capacity ? 2 * *capacity : 64;

    if (count < *capacity)
        return items;
    items = realloc(items, wanted * item_bytes);
    if (items)
        *capacity = wanted;
    return items;
}

static enum kv_status add_item(struct kv_loss *loss, struct kv_lost_item item)
{
    struct kv_lost_item *items = grow(loss->items, loss->count, &loss->capacity, sizeof(*items));

    if (!items)
        return kv_fail_nomem();
    loss->items = items;
    items[loss->count++] = item;
    return KV_OK;
}

static struct kv_slice key_at(const struct kv_loss *loss, uint32_t offset)
{
    return kv_salvage_record(loss->salvage, offset).key;
}

/* ---- INDEX */

static bool is_contradicted(const struct kv_salvage *salvage, uint32_t offset)
{
    for (size_t i = 0; i < salvage->gap_count; i++) {
        const struct kv_gap *gap = &salvage->gaps[i];

        if (gap->contradicts && offset >= gap->from && offset < gap->to)
            return true;
    }
    return false;
}

/* Is there a valid record at an offset that the index gives, with a key behind `last`? */
static bool reads_well(const struct kv_salvage *salvage, uint32_t offset, struct kv_slice last,
                       struct kv_record *record)
{
    return offset >= KV_HEADER_BYTES && !is_contradicted(salvage, offset) &&
           kv_record_decode(kv_salvage_rest(salvage, offset, UINT64_MAX), &salvage->record_place,
                            offset, record) == KV_OK &&
           kv_slice_compare(record->key, last) > 0;
}

static int compare_items(const void *a, const void *b)
{
    uint32_t left = ((const struct kv_lost_item *)a)->offset;
    uint32_t right = ((const struct kv_lost_item *)b)->offset;

    return (left > right) - (left < right);
}

/* The entries as the index lists them, in place of those that reading alone has found. */
static enum kv_status read_by_index(struct kv_loss *loss, struct kv_index *index)
{
    struct kv_salvage *salvage = loss->salvage;
    uint64_t entry_count = kv_index_entry_count(index);
    size_t open = 0; /* the first lost item whose neighbour behind is not known yet */
    struct kv_slice last = {0};
    uint32_t before = 0;
    enum kv_status st = KV_OK;

    salvage->count = 0;
    for (uint64_t i = 0; i < entry_count && st == KV_OK; i++) {
        struct kv_record record;
        uint32_t offset;

        st = kv_index_at(index, i, &offset);
        if (st != KV_OK)
            break;
        if (!reads_well(salvage, offset, last, &record)) {
            st = add_item(loss, (struct kv_lost_item){.offset = offset, .before = before});
            continue;
        }
        st = kv_salvage_add(salvage, offset);
        last = record.key;
        before = offset;
        for (; open < loss->count; open++)
            loss->items[open].behind = offset;
    }
    salvage->record_count = salvage->count;
    if (loss->count > 0)
        qsort(loss->items, loss->count, sizeof(*loss->items), compare_items);
    return st;
}

/* ---- ORDER */

/* The position of the first entry at or behind `offset`; a merge output's entries ascend in the file, too. */
static size_t entry_behind(const struct kv_salvage *salvage, uint32_t offset)
{
    size_t low = 0, high = salvage->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (salvage->offsets[middle] < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum kv_status read_by_order(struct kv_loss *loss)
{
    const struct kv_salvage *salvage = loss->salvage;
    enum kv_status st = KV_OK;

    for (size_t i = 0; i < salvage->gap_count && st == KV_OK; i++) {
        const struct kv_gap *gap = &salvage->gaps[i];
        size_t behind = entry_behind(salvage, gap->from);

        st = add_item(loss, (struct kv_lost_item){
                                .offset = gap->from,
                                .end = gap->to,
                                .before = behind > 0 ? salvage->offsets[behind - 1] : 0,
                                .behind = behind < salvage->count ? salvage->offsets[behind] : 0});
    }
    return st;
}

/* ---- BYTES */

static enum kv_status add_named(struct kv_loss *loss, uint32_t offset)
{
    uint32_t *named =
        grow(loss->named, loss->named_count, &loss->named_capacity, sizeof(*loss->named));

    if (!named)
        return kv_fail_nomem();
    loss->named = named;
    named[loss->named_count++] = offset;
    return KV_OK;
}

/* Step through a gap from record to record, as long as heads make sense. */
static enum kv_status read_names(struct kv_loss *loss, const struct kv_gap *gap)
{
    const struct kv_salvage *salvage = loss->salvage;
    uint32_t at = gap->from;
    enum kv_status st = KV_OK;

    while (st == KV_OK && at < gap->to) {
        struct kv_record record;

        if (!kv_record_peek(kv_salvage_rest(salvage, at, gap->to), &salvage->record_place, &record))
            break;
        st = add_named(loss, at);
        at += record.size_bytes;
    }
    return st;
}

static enum kv_status read_bytes(struct kv_loss *loss)
{
    const struct kv_salvage *salvage = loss->salvage;
    enum kv_status st = KV_OK;

    loss->by_bytes = true;
    for (size_t i = 0; i < salvage->gap_count && st == KV_OK; i++) {
        const struct kv_gap *gap = &salvage->gaps[i];

        if (gap->seq == 0)
            continue; /* a COMMIT */
        st = add_item(loss,
                      (struct kv_lost_item){.offset = gap->from, .end = gap->to, .seq = gap->seq});
        if (st == KV_OK)
            st = read_names(loss, gap);
        if (gap->to - gap->from > loss->scratch_bytes &&
            gap->to - gap->from <= TRIED_RECORD_MAX_BYTES)
            loss->scratch_bytes = gap->to - gap->from;
    }
    if (st == KV_OK && loss->scratch_bytes) {
        loss->scratch = malloc(loss->scratch_bytes);
        st = loss->scratch ? KV_OK : kv_fail_nomem();
    }
    return st;
}

/* The row of a record of `bytes` in all, whose head without a row takes `head` bytes; false: there is none. */
static bool row_of(struct kv_slice bytes, size_t head, struct kv_slice *row)
{
    size_t left = bytes.size - (head - 1), size_bytes = 1; /* one byte says that there is no row */

    while (left > size_bytes && kv_varint_size(left - size_bytes) > size_bytes)
        size_bytes++;
    if (left < size_bytes || kv_varint_size(left - size_bytes) != size_bytes)
        return false;
    *row = kv_slice_of(bytes.data + bytes.size - (left - size_bytes), left - size_bytes);
    return true;
}

/* Would a record with this key, of just the gap's length, have the checksum that stands there? */
static bool fits(struct kv_loss *loss, const struct kv_lost_item *item, enum kv_kind kind,
                 struct kv_slice key)
{
    const struct kv_record_place *place = &loss->salvage->record_place;
    struct kv_slice bytes = kv_salvage_rest(loss->salvage, item->offset, item->end);
    struct kv_record record = {.kind = kind, .seq = item->seq, .key = key};
    size_t head;

    if (item->seq < place->base_seq || bytes.size != item->end - item->offset ||
        bytes.size > loss->scratch_bytes)
        return false;
    head = kv_record_size(place, &record);
    if (bytes.size < head || (kind == KV_PUT && !row_of(bytes, head, &record.row)) ||
        kv_record_size(place, &record) != bytes.size)
        return false;
    kv_record_encode(loss->scratch, place, item->offset, &record);
    return record.checksum == kv_load_u32(bytes.data);
}

enum kv_status kv_loss_try(struct kv_loss *loss, struct kv_slice key)
{
    enum kv_status st = KV_OK;

    for (size_t i = 0; loss->by_bytes && i < loss->count && st == KV_OK; i++) {
        struct kv_lost_item *item = &loss->items[i];

        if (item->key.size == 0 &&
            (fits(loss, item, KV_DELETE, key) || fits(loss, item, KV_PUT, key)))
            st = kv_buffer_set(&item->key, key);
    }
    return st;
}

static bool is_named(const struct kv_loss *loss, const struct kv_lost_item *item,
                     struct kv_slice key)
{
    for (size_t i = 0; i < loss->named_count; i++) {
        if (loss->named[i] >= item->offset && loss->named[i] < item->end &&
            kv_slice_equal(key, key_at(loss, loss->named[i])))
            return true;
    }
    return false;
}

static bool may_be_bytes(const struct kv_loss *loss, struct kv_slice key, uint32_t from)
{
    for (size_t i = 0; i < loss->count; i++) {
        const struct kv_lost_item *item = &loss->items[i];

        if (item->offset < from)
            continue;
        if (item->key.size ? kv_slice_equal(key, kv_buffer_slice(&item->key))
                           : is_named(loss, item, key))
            return true;
    }
    return false;
}

/* ---- Judging */

enum kv_status kv_loss_init(struct kv_loss *loss, struct kv_salvage *salvage,
                            struct kv_index *index, bool is_log)
{
    *loss = (struct kv_loss){.salvage = salvage};
    if (index && kv_index_check(index) == KV_OK) {
        loss->index = index;
        return read_by_index(loss, index);
    }
    return is_log ? read_bytes(loss) : read_by_order(loss);
}

void kv_loss_release(struct kv_loss *loss)
{
    for (size_t i = 0; i < loss->count; i++)
        kv_buffer_release(&loss->items[i].key);
    free(loss->items);
    free(loss->named);
    free(loss->scratch);
    *loss = (struct kv_loss){0};
}

bool kv_loss_is_none(const struct kv_loss *loss)
{
    return loss->count == 0;
}

static bool lies_between(const struct kv_loss *loss, struct kv_slice key,
                         const struct kv_lost_item *item)
{
    return (!item->before || kv_slice_compare(key, key_at(loss, item->before)) > 0) &&
           (!item->behind || kv_slice_compare(key, key_at(loss, item->behind)) < 0);
}

static const struct kv_lost_item *find_item(const struct kv_loss *loss, uint32_t offset)
{
    struct kv_lost_item wanted = {.offset = offset};

    return bsearch(&wanted, loss->items, loss->count, sizeof(wanted), compare_items);
}

static bool may_be_indexed(struct kv_loss *loss, uint64_t hash, struct kv_slice key)
{
    struct kv_index_probe probe = {0};
    uint32_t offset;
    enum kv_status st;

    while ((st = kv_index_probe(loss->index, hash, &probe, &offset)) == KV_OK) {
        const struct kv_lost_item *item = find_item(loss, offset);

        if (item && lies_between(loss, key, item))
            return true;
    }
    return st != KV_DONE || probe.is_crowded;
}

static bool lies_within(const struct kv_loss *loss, struct kv_slice key)
{
    return (!loss->min_key.size || kv_slice_compare(key, loss->min_key) >= 0) &&
           (!loss->max_key.size || kv_slice_compare(key, loss->max_key) <= 0) &&
           (!loss->above.size || kv_slice_compare(key, loss->above) > 0) &&
           (!loss->below.size || kv_slice_compare(key, loss->below) < 0);
}

bool kv_loss_may_hold(struct kv_loss *loss, uint64_t hash, struct kv_slice key, uint32_t from)
{
    if (loss->count == 0 || !lies_within(loss, key))
        return false;
    if (loss->index)
        return may_be_indexed(loss, hash, key);
    if (loss->by_bytes)
        return may_be_bytes(loss, key, from);
    for (size_t i = 0; i < loss->count; i++) {
        if (lies_between(loss, key, &loss->items[i]))
            return true;
    }
    return false;
}
