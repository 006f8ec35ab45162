/*
 * Sorting items by key: eight bytes at a time.
 *
 * Keys of a log lie scattered over it, so comparing whole keys costs a cache
 * miss a comparison. Instead each round sorts by one eight-byte word of the
 * key, fetched once an item, and goes on within groups whose words are equal:
 * multikey radix sort (Bentley and Sedgewick, Fast Algorithms for Sorting and
 * Searching Strings, 1997) with words for characters. Round 0 uses the prefix
 * kept in the item and touches no key at all.
 *
 * A word is zero-padded where its key ends, so "a" and "a\0" have equal words:
 * within a group of equal words, keys that end in this word come first, by
 * length, and keys of equal length are equal.
 */
#include <stdlib.h>

#include "order.h"

enum { RADIX_MIN_COUNT = 512, WORD_BYTES = 8 };

static struct kv_slice key_of(const struct kv_item_list *list, uint32_t index)
{
    return list->key(list->context, list->items[index].offset_bytes);
}

static uint64_t word_of(const struct kv_item_list *list, uint32_t index, size_t depth)
{
    struct kv_slice key;

    if (depth == 0)
        return list->items[index].prefix;
    key = key_of(list, index);
    if (key.size <= depth)
        return 0;
    return kv_slice_prefix(kv_slice_of(key.data + depth, key.size - depth));
}

static int compare_pairs(const void *a, const void *b)
{
    const struct kv_sort_pair *left = a, *right = b;

    if (left->word != right->word)
        return left->word < right->word ? -1 : 1;
    /* Newest, that is the higher index, first. */
    return left->index > right->index ? -1 : left->index < right->index;
}

/* Least significant byte first; bytes that all words share are skipped. Stable. */
static void radix_sort(struct kv_sort_pair *pairs, struct kv_sort_pair *other, uint32_t count)
{
    struct kv_sort_pair *from = pairs, *to = other;
    uint64_t any = 0, all = ~(uint64_t)0;

    for (uint32_t i = 0; i < count; i++) {
        any |= pairs[i].word;
        all &= pairs[i].word;
    }
    for (unsigned shift = 0; shift < 64; shift += 8) {
        uint32_t starts[256] = {0}, sum = 0;

        if ((((any ^ all) >> shift) & 0xff) == 0)
            continue;
        for (uint32_t i = 0; i < count; i++)
            starts[(from[i].word >> shift) & 0xff]++;
        for (unsigned digit = 0; digit < 256; digit++) {
            uint32_t here = starts[digit];
            starts[digit] = sum;
            sum += here;
        }
        for (uint32_t i = 0; i < count; i++)
            to[starts[(from[i].word >> shift) & 0xff]++] = from[i];
        struct kv_sort_pair *swap = from;
        from = to;
        to = swap;
    }
    if (from != pairs)
        memcpy(pairs, from, count * sizeof(*pairs));
}

static void sort_words(struct kv_sort_pair *pairs, struct kv_sort_pair *other, uint32_t count)
{
    if (count < RADIX_MIN_COUNT)
        qsort(pairs, count, sizeof(*pairs), compare_pairs);
    else
        radix_sort(pairs, other, count);
}

/*
 * Of a group with equal words at `depth`, move the keys that end within the
 * word to the front and finish them; returns how many there were.
 */
static uint32_t finish_ended(const struct kv_item_list *list, struct kv_sort_pair *group,
                             struct kv_sort_pair *other, uint32_t count, size_t depth)
{
    uint32_t ended = 0, longer = 0;

    for (uint32_t i = 0; i < count; i++) {
        size_t size = key_of(list, group[i].index).size;

        if (size > depth + WORD_BYTES)
            other[longer++] = group[i];
        else
            group[ended++] = (struct kv_sort_pair){size, group[i].index, 0};
    }
    memcpy(group + ended, other, longer * sizeof(*group));
    sort_words(group, other, ended);
    for (uint32_t i = ended; i-- > 1;) {
        if (group[i].word == group[i - 1].word)
            group[i].index |= KV_ORDER_DUPLICATE;
    }
    return ended;
}

/* `pairs` holds the words at `depth`, equal in every byte before. */
static void sort_level(const struct kv_item_list *list, struct kv_sort_pair *pairs,
                       struct kv_sort_pair *other, uint32_t count, size_t depth)
{
    uint32_t start = 0;

    sort_words(pairs, other, count);
    while (start < count) {
        uint32_t end = start + 1;

        while (end < count && pairs[end].word == pairs[start].word)
            end++;
        if (end - start > 1) {
            uint32_t next = start + finish_ended(list, pairs + start, other, end - start, depth);
            size_t deeper = depth + WORD_BYTES;

            for (uint32_t i = next; i < end; i++)
                pairs[i].word = word_of(list, pairs[i].index, deeper);
            if (end - next > 1)
                sort_level(list, pairs + next, other, end - next, deeper);
        }
        start = end;
    }
}

void kv_order_sort_entries(const struct kv_item_list *list, uint32_t *entries, uint32_t count,
                           struct kv_sort_pair *scratch)
{
    /* Newest first, so that the stable radix sort keeps equal keys in that order. */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = entries[count - 1 - i];
        scratch[i] = (struct kv_sort_pair){word_of(list, index, 0), index, 0};
    }
    sort_level(list, scratch, scratch + count, count, 0);
    for (uint32_t i = 0; i < count; i++)
        entries[i] = scratch[i].index;
}
