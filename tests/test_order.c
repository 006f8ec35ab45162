/*
 * Sorting items by key (sort.c), and the batches and sets made of it (order.c).
 * Keys lie in a table here; an item's offset is the key's place in it.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "footprint.h"
#include "hash.h"
#include "order.h"
#include "runner.h"
#include "segment_fixture.h"

/* ---- Keys to sort */

struct keys {
    struct kv_buffer bytes;
    struct {
        uint32_t at, size;
    } * places;
    struct kv_item *items;
    uint32_t count, capacity;
};

static struct kv_slice key_at(const void *context, uint32_t offset_bytes)
{
    const struct keys *keys = context;

    return kv_slice_of(keys->bytes.data + keys->places[offset_bytes].at,
                       keys->places[offset_bytes].size);
}

static struct kv_item_list list_of(const struct keys *keys)
{
    return (struct kv_item_list){keys->items, key_at, keys};
}

static void keys_add(struct keys *keys, struct kv_slice key)
{
    if (keys->count == keys->capacity) {
        keys->capacity = keys->capacity ? keys->capacity * 2 : 64;
        keys->places = realloc(keys->places, keys->capacity * sizeof(*keys->places));
        keys->items = realloc(keys->items, keys->capacity * sizeof(*keys->items));
    }
    keys->places[keys->count].at = (uint32_t)keys->bytes.size;
    keys->places[keys->count].size = (uint32_t)key.size;
    keys->items[keys->count] =
        (struct kv_item){.prefix = kv_slice_prefix(key), .offset_bytes = keys->count};
    keys->count++;
    ck_kv_fast(kv_buffer_append(&keys->bytes, key));
}

static void keys_release(struct keys *keys)
{
    kv_buffer_release(&keys->bytes);
    free(keys->places);
    free(keys->items);
    *keys = (struct keys){0};
}

enum shape {
    RANDOM_BYTES, /* 1 … 40 random bytes */
    ONE_BYTE,     /* 256 keys, each many times */
    TWO_LETTERS, /* 1 … 40 times 0 or 1: long common prefixes, NUL bytes, prefixes of each other */
    ZEROS,       /* 1 … 64 NUL bytes: each is a prefix of the longer ones */
    LONG_PREFIX, /* 203 equal bytes, then 0 … 9 random ones */
    FEW,         /* seven keys, each many times */
    NUMBERS,     /* eight bytes that count: words that differ in few bytes */
    STEPS,       /* equal for a random while, then one odd byte, then equal again */
    SHAPE_COUNT,
};

static void make_key(enum shape shape, uint64_t *random, struct kv_buffer *out)
{
    uint8_t bytes[300] = {0};
    size_t size = fixture_random(random) % 40 + 1;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)fixture_random(random);
    switch (shape) {
    case ONE_BYTE: size = 1; break;
    case TWO_LETTERS:
        for (size_t i = 0; i < size; i++)
            bytes[i] &= 1;
        break;
    case ZEROS:
        memset(bytes, 0, size);
        size = fixture_random(random) % 64 + 1;
        break;
    case LONG_PREFIX:
        memmove(bytes + 203, bytes, 9);
        memset(bytes, 'p', 203);
        size = 203 + size % 10;
        break;
    case FEW:
        memset(bytes, 'f', 100);
        size = (size_t[]){1, 7, 8, 9, 16, 17, 100}[size % 7];
        break;
    case NUMBERS:
        kv_store_u64(bytes, __builtin_bswap64(fixture_random(random) % 70000));
        size = 8;
        break;
    case STEPS:
        bytes[200] = bytes[0];
        memset(bytes, 's', 200);
        memset(bytes + size, bytes[200], 1);
        size = 200;
        break;
    case RANDOM_BYTES:
    case SHAPE_COUNT: break;
    }
    ck_kv_fast(kv_buffer_set(out, kv_slice_of(bytes, size)));
}

static struct keys make_keys(enum shape shape, uint32_t count, uint64_t seed)
{
    struct keys keys = {0};
    struct kv_buffer key = {0};

    for (uint32_t i = 0; i < count; i++) {
        make_key(shape, &seed, &key);
        keys_add(&keys, kv_buffer_slice(&key));
    }
    kv_buffer_release(&key);
    return keys;
}

/* ---- What sorting should give */

static int compare_references(const void *a, const void *b, void *context)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    int order = kv_slice_compare(key_at(context, left), key_at(context, right));

    if (order)
        return order;
    return left > right ? -1 : 1;
}

/* Indexes first … end-1 in key order, of equal keys the newest first, flagged; for free(). */
static uint32_t *reference(struct keys *keys, uint32_t first, uint32_t end)
{
    uint32_t count = end - first;
    uint32_t *entries = malloc((count + 1) * sizeof(*entries));

    for (uint32_t i = 0; i < count; i++)
        entries[i] = first + i;
    qsort_r(entries, count, sizeof(*entries), compare_references, keys);
    for (uint32_t i = count; i-- > 1;) {
        if (kv_slice_equal(key_at(keys, entries[i]), key_at(keys, entries[i - 1])))
            entries[i] |= KV_ORDER_DUPLICATE;
    }
    return entries;
}

static void check_batch(struct keys *keys, const struct kv_batch *batch)
{
    uint32_t *expected = reference(keys, batch->first, batch->end);

    ck_assert_uint_eq(batch->count, batch->end - batch->first);
    ck_assert(batch->count == 0 ||
              memcmp(batch->entries, expected, batch->count * sizeof(*expected)) == 0);
    for (uint32_t i = 0; i < batch->count; i++)
        ck_assert_uint_eq(batch->offsets[i],
                          keys->items[expected[i] & KV_ORDER_INDEX].offset_bytes);
    free(expected);
}

static void check_sorting(struct keys *keys)
{
    struct kv_item_list list = list_of(keys);
    struct kv_batch *batch;

    ck_kv(kv_order_sort_once(&list, keys->count, NULL, &batch));
    ck_assert_uint_eq(batch->first, 0);
    ck_assert_uint_eq(batch->end, keys->count);
    check_batch(keys, batch);
    kv_batch_unref(batch);
}

/* ---- Sorting */

/*
 * Goal: every shape of keys is sorted as memcmp would, whichever algorithm its
 * number of items leads to.
 * Method: numbers around each threshold, against qsort.
 */
START_TEST(test_order_sorts_every_shape)
{
    static const uint32_t counts[] = {0, 1, 2, 3, 23, 24, 25, 26, 300, 511, 512, 513, 1025, 5000};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct keys keys = make_keys((enum shape)_i, counts[i], 10 + counts[i]);

        check_sorting(&keys);
        keys_release(&keys);
    }
}
END_TEST

START_TEST(test_order_sorts_100000_items)
{
    struct keys keys = make_keys((enum shape)_i, 100000, 7);

    check_sorting(&keys);
    keys_release(&keys);
}
END_TEST

/* More items than are sorted at once: cut into two parts. */
START_TEST(test_order_sorts_parts)
{
    struct keys keys = make_keys((enum shape)_i, 132000, 8);

    check_sorting(&keys);
    keys_release(&keys);
}
END_TEST

/* More parts, of keys that only bytes behind the prefix tell apart, each with versions everywhere. */
START_TEST(test_order_sorts_parts_of_versions)
{
    struct keys keys = {0};
    char bytes[16];

    for (uint32_t i = 0; i < 280000; i++) {
        snprintf(bytes, sizeof(bytes), "key %05u", i * 7919u % 50000u);
        keys_add(&keys, kv_slice_text(bytes));
    }
    check_sorting(&keys);
    keys_release(&keys);
}
END_TEST

/* What a sort takes at most, seen each time that it asks whether to go on. */
static bool note_footprint(void *context)
{
    uint64_t *peak_bytes = context, bytes = footprint_bytes();

    *peak_bytes = bytes > *peak_bytes ? bytes : *peak_bytes;
    return false;
}

/*
 * Goal: beside the order itself, which takes 8 bytes an item, sorting takes much less than the 32 bytes
 * an item that it works with: whether keys differ early or late, and whatever order they come in.
 */
START_TEST(test_order_sorts_in_little_memory)
{
    enum { COUNT = 1 << 19, LIMIT_BYTES = COUNT * (8 + 2 * 32 / 8) + (1 << 20) };
    static const char *const formats[] = {"%016" PRIx64, "a long common prefix %016" PRIx64};

    for (unsigned i = 0; i < 4; i++) {
        uint64_t before_bytes, peak_bytes = 0;
        struct kv_interrupt interrupt = {note_footprint, &peak_bytes};
        struct keys keys = {0};
        struct kv_item_list list;
        struct kv_batch *batch;
        char bytes[48];

        for (uint64_t n = 0; n < COUNT; n++) {
            snprintf(bytes, sizeof(bytes), formats[i / 2], i % 2 ? n : kv_digest_add(1, n));
            keys_add(&keys, kv_slice_text(bytes));
        }
        list = list_of(&keys);
        before_bytes = footprint_bytes();
        ck_kv(kv_order_sort_once(&list, keys.count, &interrupt, &batch));
        ck_assert_uint_ge(peak_bytes, before_bytes);
        ck_assert_uint_le(peak_bytes - before_bytes, LIMIT_BYTES);
        kv_batch_unref(batch);
        keys_release(&keys);
    }
}
END_TEST

/* All shapes in one list: groups of every kind beside each other. */
START_TEST(test_order_sorts_mixed_shapes)
{
    struct keys keys = {0};
    struct kv_buffer key = {0};
    uint64_t seed = 99;

    for (uint32_t i = 0; i < 20000; i++) {
        make_key((enum shape)(fixture_random(&seed) % SHAPE_COUNT), &seed, &key);
        keys_add(&keys, kv_buffer_slice(&key));
    }
    check_sorting(&keys);
    kv_buffer_release(&key);
    keys_release(&keys);
}
END_TEST

/*
 * Goal: "a" and "a\0" have the same padded word and are different keys, at
 * every distance from the start of a word.
 * Method: all keys of the bytes 0 and 1 up to 10 bytes, behind prefixes of 0 … 17 bytes.
 */
START_TEST(test_order_tells_padding_from_zero_bytes)
{
    uint8_t bytes[32];

    for (size_t prefix = 0; prefix < 18; prefix++) {
        struct keys keys = {0};

        memset(bytes, 'p', prefix);
        for (size_t size = 1; size <= 10; size++) {
            for (uint32_t bits = 0; bits < 1u << size; bits++) {
                for (size_t i = 0; i < size; i++)
                    bytes[prefix + i] = bits >> i & 1;
                keys_add(&keys, kv_slice_of(bytes, prefix + size));
            }
        }
        check_sorting(&keys);
        keys_release(&keys);
    }
}
END_TEST

/* The largest keys there are: equal, prefixes of each other, and different in their last byte only. */
static struct keys make_largest_keys(uint32_t count)
{
    struct keys keys = {0};
    uint8_t *bytes = calloc(1, KV_KEY_MAX_BYTES);

    for (uint32_t i = 0; i < count; i++) {
        bytes[KV_KEY_MAX_BYTES - 1] = (uint8_t)(i % 3 == 0 ? i : 0);
        keys_add(&keys, kv_slice_of(bytes, KV_KEY_MAX_BYTES - (i % 3 == 1 ? i : 0)));
    }
    free(bytes);
    return keys;
}

static void *sort_largest_keys(void *context)
{
    struct keys *keys = context;
    struct kv_item_list list = list_of(keys);
    struct kv_batch *batch;

    ck_kv(kv_order_sort_once(&list, keys->count, NULL, &batch));
    return batch;
}

/* Each key a prefix of the next, a word longer. */
static struct keys make_nested_keys(uint32_t count)
{
    struct keys keys = {0};
    uint8_t *bytes = calloc(count, 8);

    for (uint32_t i = 0; i < count; i++)
        keys_add(&keys, kv_slice_of(bytes, 8 * (size_t)(i * 7919 % count) + 8));
    free(bytes);
    return keys;
}

/*
 * Goal: sorting long keys takes no more stack than sorting short ones.
 * Method: in a thread with a small stack; recursion by the word would be thousands deep.
 */
START_TEST(test_order_sorts_long_keys_on_a_small_stack)
{
    struct keys keys = _i ? make_nested_keys(3000) : make_largest_keys(600);
    pthread_attr_t attributes;
    pthread_t thread;
    void *batch;

    pthread_attr_init(&attributes);
    ck_assert_int_eq(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
    ck_assert_int_eq(pthread_create(&thread, &attributes, sort_largest_keys, &keys), 0);
    ck_assert_int_eq(pthread_join(thread, &batch), 0);
    pthread_attr_destroy(&attributes);
    check_batch(&keys, batch);
    kv_batch_unref(batch);
    keys_release(&keys);
}
END_TEST

/* Each key a prefix of the next: every round ends with all but a few of the keys going on. */
START_TEST(test_order_sorts_nested_keys)
{
    struct keys keys = {0};
    uint8_t bytes[3000];

    memset(bytes, 'n', sizeof(bytes));
    for (uint32_t i = 0; i < 3000; i++)
        keys_add(&keys, kv_slice_of(bytes, (i * 7919) % sizeof(bytes) + 1));
    check_sorting(&keys);
    keys_release(&keys);
}
END_TEST

/* ---- Sets of batches */

static void check_set(struct keys *keys, const struct kv_batch_set *set, uint32_t count)
{
    uint32_t at = 0;

    ck_assert_uint_ge(set->end, count);
    for (uint32_t i = 0; i < set->batch_count; i++) {
        const struct kv_batch *batch = set->batches[i];

        ck_assert_uint_eq(batch->first, at);
        ck_assert_uint_gt(batch->end, at);
        if (i > 0) /* so there are few of them */
            ck_assert_uint_lt(2 * batch->count, set->batches[i - 1]->count);
        check_batch(keys, batch);
        at = batch->end;
    }
    ck_assert_uint_eq(at, set->end);
}

static struct kv_batch_set *sort_first(struct kv_order *order, const struct keys *keys,
                                       uint32_t count)
{
    struct kv_item_list list = list_of(keys);
    struct kv_batch_set *set;

    ck_kv(kv_order_sort(order, &list, count, &set));
    return set;
}

START_TEST(test_order_sort_extends_what_is_there)
{
    struct keys keys = make_keys((enum shape)_i, 3000, 5);
    struct kv_order order;
    uint64_t random = 3;
    uint32_t count = 0;

    kv_order_init(&order);
    while (count < keys.count) {
        struct kv_batch_set *set;

        count += (uint32_t)(fixture_random(&random) % 120);
        count = count < keys.count ? count : keys.count;
        set = sort_first(&order, &keys, count);
        ck_assert_uint_eq(set->end, count);
        check_set(&keys, set, count);
        kv_batch_set_unref(set);
    }
    kv_order_release(&order);
    keys_release(&keys);
}
END_TEST

/* The newest of the first `bound` items with this key, by looking at all of them: 1 + index. */
static uint32_t newest(const struct keys *keys, struct kv_slice key, uint32_t bound)
{
    while (bound > 0 && !kv_slice_equal(key_at(keys, bound - 1), key))
        bound--;
    return bound;
}

/* Goal: of any key, there or not, and below any bound, the newest item is found in a set of batches. */
START_TEST(test_order_set_is_searched)
{
    struct keys keys = make_keys((enum shape)_i, 700, 11),
                others = make_keys((enum shape)_i, 50, 12);
    struct kv_item_list list = list_of(&keys);
    struct kv_order order;
    struct kv_batch_set *set;
    uint64_t random = 13;

    kv_order_init(&order);
    for (uint32_t count = 0; count <= keys.count; count += 50)
        kv_batch_set_unref(sort_first(&order, &keys, count));
    set = sort_first(&order, &keys, keys.count);
    for (uint32_t i = 0; i < keys.count + others.count; i++) {
        struct kv_slice key = i < keys.count ? key_at(&keys, i) : key_at(&others, i - keys.count);
        uint32_t bounds[] = {0, i, i + 1, (uint32_t)(fixture_random(&random) % keys.count),
                             keys.count};

        for (size_t b = 0; b < sizeof(bounds) / sizeof(bounds[0]); b++) {
            uint32_t bound = bounds[b] < keys.count ? bounds[b] : keys.count;

            if (kv_batch_set_find(set, &list, key, bound) != newest(&keys, key, bound))
                ck_abort_msg("key %u below %u", i, bound);
        }
    }
    kv_batch_set_unref(set);
    kv_order_release(&order);
    keys_release(&keys);
    keys_release(&others);
}
END_TEST

/* Goal: order costs O(log n) batches even when it is asked for after every single item. */
START_TEST(test_order_keeps_few_batches)
{
    struct keys keys = make_keys(TWO_LETTERS, 4096, 5);
    struct kv_order order;

    kv_order_init(&order);
    for (uint32_t count = 1; count <= keys.count; count++) {
        struct kv_batch_set *set = sort_first(&order, &keys, count);

        ck_assert_uint_le(set->batch_count, 13);
        if (count % 512 == 511)
            check_set(&keys, set, count);
        kv_batch_set_unref(set);
    }
    kv_order_release(&order);
    keys_release(&keys);
}
END_TEST

START_TEST(test_order_sort_of_nothing)
{
    struct keys keys = {0};
    struct kv_order order;
    struct kv_batch_set *set;

    kv_order_init(&order);
    set = sort_first(&order, &keys, 0);
    ck_assert_uint_eq(set->batch_count, 0);
    ck_assert_uint_eq(set->end, 0);
    kv_batch_set_unref(set);
    kv_batch_set_unref(NULL);
    kv_order_truncate(&order, 0);
    kv_order_release(&order);
}
END_TEST

/* What is sorted already is handed out again, also to those who ask for less. */
START_TEST(test_order_sort_shares_sets)
{
    struct keys keys = make_keys(RANDOM_BYTES, 100, 1);
    struct kv_order order;
    struct kv_batch_set *all, *some;

    kv_order_init(&order);
    all = sort_first(&order, &keys, 100);
    some = sort_first(&order, &keys, 10);
    ck_assert_ptr_eq(all, some);
    kv_batch_set_unref(some);
    kv_batch_set_unref(all);
    kv_order_release(&order);
    keys_release(&keys);
}
END_TEST

/* A set stays as it is while the order goes on, is cut, and is released. */
START_TEST(test_order_sets_outlive_the_order)
{
    struct keys keys = make_keys(FEW, 1000, 1);
    struct kv_order order;
    struct kv_batch_set *set, *later;

    kv_order_init(&order);
    set = sort_first(&order, &keys, 300);
    later = sort_first(&order, &keys, 1000);
    kv_order_truncate(&order, 100);
    kv_order_release(&order);
    ck_assert_uint_eq(set->end, 300);
    check_set(&keys, set, 300);
    check_set(&keys, kv_batch_set_ref(later), 1000);
    kv_batch_set_unref(later);
    kv_batch_set_unref(later);
    kv_batch_set_unref(set);
    keys_release(&keys);
}
END_TEST

/*
 * Goal: taking items back leaves the rest in order, with the newest that is
 * left of each key at the head of its group.
 * Method: sort in two steps, cut to every count, compare; then add others in their place.
 */
START_TEST(test_order_truncate_to_every_count)
{
    struct keys keys = make_keys((enum shape)_i, 90, 11);

    for (uint32_t count = 0; count <= 90; count++) {
        struct kv_order order;
        struct kv_batch_set *set;

        kv_order_init(&order);
        kv_batch_set_unref(sort_first(&order, &keys, 60));
        kv_batch_set_unref(sort_first(&order, &keys, 90));
        kv_order_truncate(&order, count);
        set = sort_first(&order, &keys, count);
        ck_assert_uint_eq(set->end, count);
        check_set(&keys, set, count);
        kv_batch_set_unref(set);
        set = sort_first(&order, &keys, 90);
        check_set(&keys, set, 90);
        kv_batch_set_unref(set);
        kv_order_release(&order);
    }
    keys_release(&keys);
}
END_TEST

/* Items taken back make room for others with the same indexes. */
START_TEST(test_order_truncate_forgets_items)
{
    struct keys keys = make_keys(TWO_LETTERS, 500, 11);
    struct keys other = make_keys(RANDOM_BYTES, 500, 12);
    struct kv_order order;
    struct kv_batch_set *set;

    kv_order_init(&order);
    kv_batch_set_unref(sort_first(&order, &keys, 500));
    kv_order_truncate(&order, 0);
    set = sort_first(&order, &other, 500);
    check_set(&other, set, 500);
    kv_batch_set_unref(set);
    kv_order_release(&order);
    keys_release(&other);
    keys_release(&keys);
}
END_TEST

/* Many scans and savepoints in turn: sets stay right and small. */
START_TEST(test_order_random_extending_and_truncating)
{
    struct keys keys = make_keys((enum shape)_i, 2000, 21);
    struct kv_order order;
    uint64_t random = 4;

    kv_order_init(&order);
    for (int i = 0; i < 100; i++) {
        uint32_t count = (uint32_t)(fixture_random(&random) % (keys.count + 1));
        struct kv_batch_set *set;

        if (fixture_random(&random) % 3 == 0)
            kv_order_truncate(&order, count);
        set = sort_first(&order, &keys, count);
        check_set(&keys, set, count);
        kv_batch_set_unref(set);
    }
    kv_order_release(&order);
    keys_release(&keys);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("order");
    TCase *sorting = tcase_create("sorting");
    TCase *sets = tcase_create("sets");

    tcase_set_timeout(sorting, 20);
    tcase_add_loop_test(sorting, test_order_sorts_every_shape, 0, SHAPE_COUNT);
    tcase_add_loop_test(sorting, test_order_sorts_100000_items, 0, SHAPE_COUNT);
    tcase_add_loop_test(sorting, test_order_sorts_parts, LONG_PREFIX, STEPS);
    tcase_add_test(sorting, test_order_sorts_parts_of_versions);
/* Sanitizers have memory of their own beside ours. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(sorting, test_order_sorts_in_little_memory);
#else
    (void)test_order_sorts_in_little_memory;
#endif
    tcase_add_test(sorting, test_order_sorts_mixed_shapes);
    tcase_add_test(sorting, test_order_tells_padding_from_zero_bytes);
    tcase_add_loop_test(sorting, test_order_sorts_long_keys_on_a_small_stack, 0, 2);
    tcase_add_test(sorting, test_order_sorts_nested_keys);
    suite_add_tcase(suite, sorting);

    tcase_add_loop_test(sets, test_order_sort_extends_what_is_there, 0, SHAPE_COUNT);
    tcase_add_test(sets, test_order_keeps_few_batches);
    tcase_add_loop_test(sets, test_order_set_is_searched, 0, SHAPE_COUNT);
    tcase_add_test(sets, test_order_sort_of_nothing);
    tcase_add_test(sets, test_order_sort_shares_sets);
    tcase_add_test(sets, test_order_sets_outlive_the_order);
    tcase_add_loop_test(sets, test_order_truncate_to_every_count, 0, SHAPE_COUNT);
    tcase_add_test(sets, test_order_truncate_forgets_items);
    tcase_add_loop_test(sets, test_order_random_extending_and_truncating, 0, SHAPE_COUNT);
    suite_add_tcase(suite, sets);
    return kv_run_suite(suite);
}
