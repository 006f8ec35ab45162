/*
 * Batches and their sets.
 *
 * Invariants: the batches of a set cover consecutive index ranges, oldest
 * first, and each is more than twice as long as the next, so a set of n items
 * has at most log2(n) of them. Sets and batches never change once published
 * in order->current, which is read and replaced under order->mutex only.
 */
#include "order.h"

#include <stdbool.h>
#include <stdlib.h>

#include "table.h"

enum {
    PART_COUNT = 1 << 16, /* items that are sorted at once, about: 2 MB */
    PARTS_MAX = 8,        /* as many as a full log makes */
    SAMPLES_A_PART = 64,
};

void kv_order_init(struct kv_order *order)
{
    pthread_mutex_init(&order->mutex, NULL);
    order->current = NULL;
}

void kv_order_release(struct kv_order *order)
{
    kv_batch_set_unref(order->current);
    order->current = NULL;
    pthread_mutex_destroy(&order->mutex);
}

static size_t batch_size(uint32_t count)
{
    return sizeof(struct kv_batch) + 2 * (size_t)count * sizeof(uint32_t);
}

void kv_batch_unref(struct kv_batch *batch)
{
    if (batch && atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel) == 1)
        kv_table_free(batch, batch_size(batch->count));
}

void kv_batch_set_unref(struct kv_batch_set *set)
{
    if (!set || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < set->batch_count; i++)
        kv_batch_unref(set->batches[i]);
    free(set);
}

struct kv_batch_set *kv_batch_set_ref(struct kv_batch_set *set)
{
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

static struct kv_batch *batch_new(uint32_t first, uint32_t end)
{
    uint32_t count = end - first;
    struct kv_batch *batch = kv_table_new(batch_size(count));

    if (!batch)
        return NULL;
    atomic_init(&batch->references, 1);
    batch->first = first;
    batch->end = end;
    batch->count = count;
    batch->offsets = batch->entries + count;
    return batch;
}

static int compare_entries(const struct kv_item_list *list, uint32_t a, uint32_t b)
{
    const struct kv_item *left = &list->items[a & KV_ORDER_INDEX];
    const struct kv_item *right = &list->items[b & KV_ORDER_INDEX];

    if (left->prefix != right->prefix)
        return left->prefix < right->prefix ? -1 : 1;
    return kv_slice_compare(list->key(list->context, left->offset_bytes),
                            list->key(list->context, right->offset_bytes));
}

/* Put entry `i` of a batch, with more flags, at `*at` of another, and step past both. */
static inline void copy_entry(struct kv_batch *to, uint32_t *at, const struct kv_batch *from,
                              uint32_t *i, uint32_t flags)
{
    to->entries[*at] = from->entries[*i] | flags;
    to->offsets[(*at)++] = from->offsets[(*i)++];
}

/* Merge two neighbours; of equal keys those of `newer` come first. */
static struct kv_batch *batch_merge(const struct kv_item_list *list, const struct kv_batch *older,
                                    const struct kv_batch *newer)
{
    struct kv_batch *batch = batch_new(older->first, newer->end);
    uint32_t o = 0, n = 0, out = 0;

    if (!batch)
        return NULL;
    while (o < older->count && n < newer->count) {
        int order = compare_entries(list, newer->entries[n], older->entries[o]);

        if (order > 0) {
            copy_entry(batch, &out, older, &o, 0);
            continue;
        }
        /* The newer one comes first, with the rest of its group; an equal older group follows as duplicates. */
        do {
            copy_entry(batch, &out, newer, &n, 0);
        } while (n < newer->count && (newer->entries[n] & KV_ORDER_DUPLICATE));
        if (order == 0) {
            do {
                copy_entry(batch, &out, older, &o, KV_ORDER_DUPLICATE);
            } while (o < older->count && (older->entries[o] & KV_ORDER_DUPLICATE));
        }
    }
    while (o < older->count)
        copy_entry(batch, &out, older, &o, 0);
    while (n < newer->count)
        copy_entry(batch, &out, newer, &n, 0);
    return batch;
}

/* ---- Sorting */

/* Keys at which items are cut into parts: those from one on, up to the next, make a part. */
struct cuts {
    uint32_t count;
    struct {
        uint64_t prefix;
        struct kv_slice key;
    } at[PARTS_MAX - 1];
};

/* The keys that cut the items of a batch into parts of about the same size, by a sample. */
static enum kv_status choose_cuts(const struct kv_item_list *list, struct kv_batch *batch,
                                  struct cuts *cuts)
{
    uint32_t sample_count = (cuts->count + 1) * SAMPLES_A_PART;
    size_t scratch_size = 2 * sizeof(struct kv_sort_pair) * (size_t)sample_count;
    struct kv_sort_pair *scratch = kv_table_new(scratch_size);

    if (!scratch)
        return kv_fail_nomem();
    for (uint32_t i = 0; i < sample_count; i++)
        batch->entries[i] = batch->first + (uint32_t)((uint64_t)i * batch->count / sample_count);
    (void)kv_order_sort_entries(list, batch->entries, batch->offsets, sample_count, scratch, NULL);
    kv_table_free(scratch, scratch_size);
    for (uint32_t i = 0; i < cuts->count; i++) {
        uint32_t sample = (i + 1) * SAMPLES_A_PART;

        cuts->at[i].prefix = list->items[batch->entries[sample] & KV_ORDER_INDEX].prefix;
        cuts->at[i].key = list->key(list->context, batch->offsets[sample]);
    }
    return KV_OK;
}

/* The part of an item: all of the same key are in the same one. */
static uint32_t part_of(const struct kv_item_list *list, const struct cuts *cuts,
                        const struct kv_item *item)
{
    uint32_t part = 0;
    struct kv_slice key;

    for (uint32_t i = 0; i < cuts->count; i++)
        part += cuts->at[i].prefix < item->prefix;
    if (part == cuts->count || cuts->at[part].prefix != item->prefix)
        return part;
    key = list->key(list->context, item->offset_bytes);
    while (part < cuts->count && cuts->at[part].prefix == item->prefix &&
           kv_slice_compare(cuts->at[part].key, key) <= 0)
        part++;
    return part;
}

/* Which part each item of the batch is in, noted where its offset will be; count those of each. */
static bool note_parts(const struct kv_item_list *list, const struct cuts *cuts,
                       struct kv_batch *batch, const struct kv_interrupt *interrupt,
                       uint32_t counts[PARTS_MAX])
{
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->offsets[i] = part_of(list, cuts, &list->items[batch->first + i]);
        counts[batch->offsets[i]]++;
        if (kv_interrupt_is_due(i) && kv_interrupt_asked(interrupt))
            return false;
    }
    return true;
}

/* How many parts are made of so many items. */
static uint32_t parts_of(uint32_t count)
{
    uint32_t parts = count / PART_COUNT;

    return parts < 1 ? 1 : parts < PARTS_MAX ? parts : PARTS_MAX;
}

/* List the batch's items part by part, in each the oldest first, and tell where each part ends. */
static enum kv_status cut(const struct kv_item_list *list, struct kv_batch *batch,
                          uint32_t part_count, const struct kv_interrupt *interrupt,
                          uint32_t ends[PARTS_MAX])
{
    struct cuts cuts = {.count = part_count - 1};
    uint32_t sum = 0;
    enum kv_status st = choose_cuts(list, batch, &cuts);

    if (st != KV_OK)
        return st;
    memset(ends, 0, part_count * sizeof(*ends));
    if (!note_parts(list, &cuts, batch, interrupt, ends))
        return kv_fail(KV_INTERRUPTED, "sorting was interrupted");
    for (uint32_t part = 0; part < part_count; part++) {
        uint32_t count = ends[part];

        ends[part] = sum;
        sum += count;
    }
    for (uint32_t i = 0; i < batch->count; i++)
        batch->entries[ends[batch->offsets[i]]++] = batch->first + i;
    return KV_OK;
}

/* Sort each part, in memory for the largest. */
static enum kv_status sort_parts(const struct kv_item_list *list, struct kv_batch *batch,
                                 const uint32_t *ends, uint32_t part_count,
                                 const struct kv_interrupt *interrupt)
{
    struct kv_sort_pair *scratch;
    uint32_t largest = 0, begin = 0;
    size_t scratch_size;
    bool sorted = true;

    for (uint32_t part = 0; part < part_count; begin = ends[part++])
        largest = ends[part] - begin > largest ? ends[part] - begin : largest;
    scratch_size = 2 * sizeof(*scratch) * (size_t)largest;
    scratch = kv_table_new(scratch_size);
    if (!scratch)
        return kv_fail_nomem();
    begin = 0;
    for (uint32_t part = 0; part < part_count && sorted; begin = ends[part++])
        sorted = kv_order_sort_entries(list, batch->entries + begin, batch->offsets + begin,
                                       ends[part] - begin, scratch, interrupt);
    kv_table_free(scratch, scratch_size);
    return sorted ? KV_OK : kv_fail(KV_INTERRUPTED, "sorting was interrupted");
}

/*
 * Sort items first … end-1: a part at a time, since sorting takes 32 bytes an item, four times
 * what stays. Parts follow one another in the order of keys, so nothing is left to be merged.
 */
static enum kv_status batch_sort(const struct kv_item_list *list, uint32_t first, uint32_t end,
                                 const struct kv_interrupt *interrupt, struct kv_batch **out)
{
    struct kv_batch *batch = batch_new(first, end);
    uint32_t part_count = parts_of(end - first), ends[PARTS_MAX];
    enum kv_status st = KV_OK;

    *out = NULL;
    if (!batch)
        return kv_fail_nomem();
    ends[0] = batch->count;
    for (uint32_t i = 0; i < batch->count && part_count == 1; i++)
        batch->entries[i] = first + i;
    if (part_count > 1)
        st = cut(list, batch, part_count, interrupt, ends);
    if (st == KV_OK)
        st = sort_parts(list, batch, ends, part_count, interrupt);
    if (st == KV_OK)
        *out = batch;
    else
        kv_batch_unref(batch);
    return st;
}

enum kv_status kv_order_sort_once(const struct kv_item_list *list, uint32_t count,
                                  const struct kv_interrupt *interrupt, struct kv_batch **out)
{
    return batch_sort(list, 0, count, interrupt, out);
}

/* A set of `count` batches, taking over their references, also when it fails. */
static struct kv_batch_set *set_new(struct kv_batch **batches, uint32_t count)
{
    struct kv_batch_set *set = malloc(sizeof(*set) + count * sizeof(set->batches[0]));

    if (!set) {
        for (uint32_t i = 0; i < count; i++)
            kv_batch_unref(batches[i]);
        return NULL;
    }
    atomic_init(&set->references, 1);
    set->end = count ? batches[count - 1]->end : 0;
    set->batch_count = count;
    for (uint32_t i = 0; i < count; i++)
        set->batches[i] = batches[i];
    return set;
}

/* The set that follows `set` (NULL: none yet) when items up to `end` are in order too. */
static struct kv_batch_set *set_extend(const struct kv_item_list *list,
                                       const struct kv_batch_set *set, uint32_t end)
{
    struct kv_batch *batches[KV_BATCH_COUNT_MAX + 1];
    uint32_t count = set ? set->batch_count : 0;
    struct kv_batch *last;

    if (batch_sort(list, set ? set->end : 0, end, NULL, &last) != KV_OK)
        return NULL;
    for (uint32_t i = 0; i < count; i++) {
        batches[i] = set->batches[i];
        atomic_fetch_add_explicit(&batches[i]->references, 1, memory_order_relaxed);
    }
    while (count > 0 && batches[count - 1]->count <= 2 * (uint64_t)last->count) {
        struct kv_batch *merged = batch_merge(list, batches[count - 1], last);

        if (!merged)
            break; /* out of memory: longer than it should be, but right */
        kv_batch_unref(batches[--count]);
        kv_batch_unref(last);
        last = merged;
    }
    if (count == KV_BATCH_COUNT_MAX) {
        while (count > 0)
            kv_batch_unref(batches[--count]);
        kv_batch_unref(last);
        return NULL;
    }
    batches[count++] = last;
    return set_new(batches, count);
}

enum kv_status kv_order_sort(struct kv_order *order, const struct kv_item_list *list,
                             uint32_t count, struct kv_batch_set **out)
{
    struct kv_batch_set *set;

    *out = NULL;
    pthread_mutex_lock(&order->mutex);
    set = order->current;
    if (count > 0 && (!set || set->end < count)) {
        struct kv_batch_set *extended = set_extend(list, set, count);

        if (!extended) {
            pthread_mutex_unlock(&order->mutex);
            return kv_fail_nomem();
        }
        kv_batch_set_unref(set);
        order->current = set = extended;
    }
    if (set)
        *out = kv_batch_set_ref(set);
    pthread_mutex_unlock(&order->mutex);
    return *out || (*out = set_new(NULL, 0)) ? KV_OK : kv_fail_nomem();
}

/* ---- Searching */

/* An item's key with `key`, whose prefix is known. */
static int compare_key(const struct kv_item_list *list, const struct kv_item *item,
                       struct kv_slice key, uint64_t prefix)
{
    if (item->prefix != prefix)
        return item->prefix < prefix ? -1 : 1;
    return kv_slice_compare(list->key(list->context, item->offset_bytes), key);
}

static const struct kv_item *item_of(const struct kv_batch *batch, const struct kv_item_list *list,
                                     uint32_t at)
{
    return &list->items[batch->entries[at] & KV_ORDER_INDEX];
}

static uint32_t batch_find(const struct kv_batch *batch, const struct kv_item_list *list,
                           struct kv_slice key, uint32_t bound_index)
{
    uint64_t prefix = kv_slice_prefix(key);
    uint32_t low = 0, high = batch->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (compare_key(list, item_of(batch, list, middle), key, prefix) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == batch->count || compare_key(list, item_of(batch, list, low), key, prefix) != 0)
        return 0;
    /* The newest comes first. */
    while ((batch->entries[low] & KV_ORDER_INDEX) >= bound_index) {
        if (++low == batch->count || !(batch->entries[low] & KV_ORDER_DUPLICATE))
            return 0;
    }
    return 1 + (batch->entries[low] & KV_ORDER_INDEX);
}

uint32_t kv_batch_set_find(const struct kv_batch_set *set, const struct kv_item_list *list,
                           struct kv_slice key, uint32_t bound_index)
{
    uint32_t found = 0;

    for (uint32_t i = set->batch_count; i-- > 0 && found == 0;)
        found = batch_find(set->batches[i], list, key, bound_index);
    return found;
}

/* ---- Taking back */

/* `batch` without the items from `end` on; flags of what stays first in its group are cleared. */
static struct kv_batch *batch_cut(const struct kv_batch *batch, uint32_t end)
{
    struct kv_batch *cut = batch_new(batch->first, end);
    uint32_t out = 0;
    bool headless = false; /* the head of this group is gone */

    if (!cut)
        return NULL;
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t entry = batch->entries[i];

        if (!(entry & KV_ORDER_DUPLICATE))
            headless = false;
        if ((entry & KV_ORDER_INDEX) >= end) {
            headless |= !(entry & KV_ORDER_DUPLICATE);
            continue;
        }
        cut->offsets[out] = batch->offsets[i];
        cut->entries[out++] = headless ? entry & KV_ORDER_INDEX : entry;
        headless = false;
    }
    return cut;
}

void kv_order_truncate(struct kv_order *order, uint32_t count)
{
    struct kv_batch *batches[KV_BATCH_COUNT_MAX];
    struct kv_batch_set *set, *shorter = NULL;
    uint32_t kept = 0;

    pthread_mutex_lock(&order->mutex);
    set = order->current;
    if (!set || set->end <= count) {
        pthread_mutex_unlock(&order->mutex);
        return;
    }
    for (uint32_t i = 0; i < set->batch_count && set->batches[i]->first < count; i++) {
        struct kv_batch *batch = set->batches[i];

        if (batch->end <= count)
            atomic_fetch_add_explicit(&batch->references, 1, memory_order_relaxed);
        else
            batch = batch_cut(batch, count);
        if (!batch)
            break;
        batches[kept++] = batch;
    }
    if (kept > 0)
        shorter = set_new(batches, kept);
    order->current = shorter;
    pthread_mutex_unlock(&order->mutex);
    kv_batch_set_unref(set);
}
