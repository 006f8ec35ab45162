/*
 * Sorting items by key: eight bytes at a time.
 *
 * Keys of a log lie scattered over it, so comparing whole keys costs a cache
 * miss a comparison. Instead each round sorts by one eight-byte word of the
 * key, fetched once an item, and goes on within groups whose words are equal:
 * multikey radix sort (Bentley and Sedgewick, Fast Algorithms for Sorting and
 * Searching Strings, 1997) with words for characters. Round 0 uses the prefix
 * kept in the item and touches no key at all. What the keys of a group have in
 * common behind the word is found while they are looked at, and jumped over.
 *
 * A word is zero-padded where its key ends, so "a" and "a\0" have equal words:
 * within a group of equal words, keys that end in this word come first, by
 * length, and keys of equal length are equal.
 *
 * Recursion goes into the smaller groups only, the largest is the loop's next
 * range: so it is never deeper than log2 of the count, whatever the keys.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "bytes.h"
#include "order.h"

enum {
    INSERTION_MAX_COUNT = 24,
    RADIX_MIN_COUNT = 512,
    WORD_BYTES = 8,
    WIDE_MIN_COUNT = 1 << 16,  /* below, going through the values of 16 bits would show */
    WIDE_MAX_VALUES = 1 << 10, /* in 16 bits: more places to write to do not fit the caches */
};

/* One sort at work. */
struct sorter {
    const struct kv_item_list *list;
    struct kv_sort_pair *other; /* as much room again */
    const struct kv_interrupt *interrupt;
    uint32_t unasked_count; /* pairs seen to since it was last asked */
    bool stopped;
};

/* Pairs that hold the words at `depth` of keys that are equal in every byte before. */
struct range {
    struct kv_sort_pair *pairs;
    uint32_t count;
    size_t depth;
};

/* ---- Words */

static int compare_pairs(const void *a, const void *b)
{
    const struct kv_sort_pair *left = a, *right = b;

    if (left->word != right->word)
        return left->word < right->word ? -1 : 1;
    /* Newest, that is the higher index, first. */
    return left->index > right->index ? -1 : left->index < right->index;
}

static void insertion_sort(struct kv_sort_pair *pairs, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct kv_sort_pair pair = pairs[i];
        uint32_t at = i;

        for (; at > 0 && compare_pairs(&pairs[at - 1], &pair) > 0; at--)
            pairs[at] = pairs[at - 1];
        pairs[at] = pair;
    }
}

/* Some neighbouring bits of words, by which one pass sorts. */
struct digit {
    unsigned shift;
    unsigned bits; /* 8 or 16 */
};

/* How often each value of each byte occurs, the least significant byte first. */
struct histogram {
    uint32_t counts[WORD_BYTES][256];
    uint32_t values[WORD_BYTES]; /* how many occur at all */
};

static void count_bytes(const struct kv_sort_pair *pairs, uint32_t count, struct histogram *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < count; i++) {
        for (unsigned byte = 0; byte < WORD_BYTES; byte++)
            out->counts[byte][(pairs[i].word >> (8 * byte)) & 0xff]++;
    }
    for (unsigned byte = 0; byte < WORD_BYTES; byte++) {
        for (unsigned value = 0; value < 256; value++)
            out->values[byte] += out->counts[byte][value] > 0;
    }
}

static void count_wide(const struct kv_sort_pair *pairs, uint32_t count, unsigned shift,
                       uint32_t *counts)
{
    memset(counts, 0, (1 << 16) * sizeof(*counts));
    for (uint32_t i = 0; i < count; i++)
        counts[(pairs[i].word >> shift) & 0xffff]++;
}

/* Move `from` to `to` in the order of one digit; `counts` says how often each value occurs. Stable. */
static void radix_pass(struct kv_sort_pair *to, const struct kv_sort_pair *from, uint32_t count,
                       struct digit digit, uint32_t *counts)
{
    uint32_t mask = (1u << digit.bits) - 1, sum = 0;

    for (uint32_t value = 0; value <= mask; value++) {
        uint32_t here = counts[value];

        counts[value] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < count; i++)
        to[counts[(from[i].word >> digit.shift) & mask]++] = from[i];
}

/*
 * Choose digits, the most significant first, until they have many more values
 * than there are pairs: then hardly any two are equal. Two bytes of few values, as
 * texts have them, make one digit. Returns how many; `*unseen_bits` low ones are in none.
 */
static unsigned choose_digits(const uint32_t values[WORD_BYTES], uint32_t count, bool may_be_wide,
                              struct digit digits[WORD_BYTES], unsigned *unseen_bits)
{
    double wanted = 4.0 * count;
    unsigned chosen = 0, byte = WORD_BYTES;

    for (; byte > 0 && wanted > 1; byte--) {
        bool two = byte > 1 && may_be_wide && values[byte - 2] > 1 &&
                   values[byte - 1] * values[byte - 2] <= WIDE_MAX_VALUES;

        if (values[byte - 1] == 1)
            continue;
        wanted /= values[byte - 1];
        if (two)
            wanted /= values[--byte - 1];
        digits[chosen++] = (struct digit){8 * (byte - 1), two ? 16 : 8};
    }
    *unseen_bits = 8 * byte;
    return chosen;
}

/*
 * Sort by the first digits in which words differ, least significant first.
 * Stable. Returns how many low bits of the words have not been looked at.
 */
static unsigned radix_sort(struct kv_sort_pair *pairs, struct kv_sort_pair *other, uint32_t count)
{
    uint32_t *wide_counts = NULL; /* without memory for them there are no wide digits */
    struct kv_sort_pair *from = pairs, *to = other;
    struct digit digits[WORD_BYTES];
    struct histogram histogram;
    unsigned digit_count, unseen_bits;

    if (count >= WIDE_MIN_COUNT)
        wide_counts = malloc((1 << 16) * sizeof(*wide_counts));
    count_bytes(pairs, count, &histogram);
    digit_count = choose_digits(histogram.values, count, wide_counts != NULL, digits, &unseen_bits);
    while (digit_count-- > 0) {
        struct digit digit = digits[digit_count];
        struct kv_sort_pair *swap = from;
        bool wide = digit.bits > 8;

        if (wide)
            count_wide(from, count, digit.shift, wide_counts);
        radix_pass(to, from, count, digit, wide ? wide_counts : histogram.counts[digit.shift / 8]);
        from = to;
        to = swap;
    }
    if (from != pairs)
        memcpy(pairs, from, count * sizeof(*pairs));
    free(wide_counts);
    return unseen_bits;
}

/* Sort by word, of equal words the newest first, as they are now. */
static void sort_words(struct kv_sort_pair *pairs, struct kv_sort_pair *other, uint32_t count)
{
    unsigned unseen_bits;

    if (count <= INSERTION_MAX_COUNT) {
        insertion_sort(pairs, count);
        return;
    }
    if (count < RADIX_MIN_COUNT) {
        qsort(pairs, count, sizeof(*pairs), compare_pairs);
        return;
    }
    unseen_bits = radix_sort(pairs, other, count);
    for (uint32_t start = 0, end = 0; unseen_bits > 0 && start < count; start = end) {
        uint64_t seen = pairs[start].word >> unseen_bits;

        while (end < count && pairs[end].word >> unseen_bits == seen)
            end++;
        if (end - start > 1)
            sort_words(pairs + start, other, end - start);
    }
}

/* ---- Keys */

static uint64_t word_at(struct kv_slice key, size_t depth)
{
    if (key.size <= depth)
        return 0;
    return kv_slice_prefix(kv_slice_of(key.data + depth, key.size - depth));
}

/* Where two keys that are equal before `from` first differ; `limit` if not before that. */
static size_t common_size(struct kv_slice a, struct kv_slice b, size_t from, size_t limit)
{
    if (limit > a.size)
        limit = a.size;
    if (limit > b.size)
        limit = b.size;
    while (from + WORD_BYTES <= limit && kv_load_u64(a.data + from) == kv_load_u64(b.data + from))
        from += WORD_BYTES;
    while (from < limit && a.data[from] == b.data[from])
        from++;
    return from;
}

/*
 * In a group of equal words, move the keys that end within the word to the
 * front and finish them. Returns the others, with the words behind what they have in common.
 */
static struct range split_group(const struct sorter *sorter, struct range group)
{
    const struct kv_item_list *list = sorter->list;
    struct kv_sort_pair *other = sorter->other;
    size_t depth = group.depth + WORD_BYTES, common = SIZE_MAX;
    uint32_t ended = 0, longer = 0;
    struct kv_slice first = {0};
    struct range rest;

    for (uint32_t i = 0; i < group.count; i++) {
        struct kv_sort_pair pair = group.pairs[i];
        struct kv_slice key = list->key(list->context, pair.offset_bytes);

        if (key.size <= depth) {
            pair.word = key.size;
            group.pairs[ended++] = pair;
            continue;
        }
        if (longer == 0)
            first = key;
        common = common_size(first, key, depth, common);
        pair.word = word_at(key, depth);
        other[longer++] = pair;
    }
    rest = (struct range){group.pairs + ended, longer, depth};
    memcpy(rest.pairs, other, longer * sizeof(*other));
    if (longer > 0 && common >= depth + WORD_BYTES) {
        rest.depth = common;
        for (uint32_t i = 0; i < longer; i++)
            rest.pairs[i].word =
                word_at(list->key(list->context, rest.pairs[i].offset_bytes), common);
    }
    sort_words(group.pairs, other, ended);
    for (uint32_t i = ended; i-- > 1;) {
        if (group.pairs[i].word == group.pairs[i - 1].word)
            group.pairs[i].index |= KV_ORDER_DUPLICATE;
    }
    return rest;
}

/* Now and then, ask whether to go on. */
static bool goes_on(struct sorter *sorter, uint32_t count)
{
    sorter->unasked_count += count;
    if (sorter->unasked_count >= KV_INTERRUPT_EVERY_COUNT) {
        sorter->unasked_count = 0;
        sorter->stopped |= kv_interrupt_asked(sorter->interrupt);
    }
    return !sorter->stopped;
}

static void sort_range(struct sorter *sorter, struct range range)
{
    while (range.count > 1 && goes_on(sorter, range.count)) {
        struct range largest = {0};

        sort_words(range.pairs, sorter->other, range.count);
        for (uint32_t start = 0, end = 0; start < range.count; start = end) {
            struct range group = {range.pairs + start, 0, range.depth};

            while (end < range.count && range.pairs[end].word == range.pairs[start].word)
                end++;
            group.count = end - start;
            if (group.count == 1)
                continue;
            group = split_group(sorter, group);
            if (group.count > largest.count) {
                struct range smaller = largest;

                largest = group;
                group = smaller;
            }
            sort_range(sorter, group);
        }
        range = largest;
    }
}

bool kv_order_sort_entries(const struct kv_item_list *list, uint32_t *entries, uint32_t *offsets,
                           uint32_t count, struct kv_sort_pair *scratch,
                           const struct kv_interrupt *interrupt)
{
    struct sorter sorter = {.list = list, .other = scratch + count, .interrupt = interrupt};

    /* Newest first, so that the stable radix sort keeps equal keys in that order. */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = entries[count - 1 - i];
        const struct kv_item *item = &list->items[index];

        scratch[i] = (struct kv_sort_pair){item->prefix, index, item->offset_bytes};
    }
    sort_range(&sorter, (struct range){scratch, count, 0});
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = scratch[i].index;
        offsets[i] = scratch[i].offset_bytes;
    }
    return !sorter.stopped;
}
