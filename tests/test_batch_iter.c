/*
 * Iterating sorted batches: every bound, both directions, every place to seek
 * to, against a plain walk over the items.
 */
#include "batch_iter.h"
#include "runner.h"
#include "segment_fixture.h"

/* Keys of up to three letters of three, NUL among them: many duplicates and prefixes. */
enum { ITEM_COUNT = 60, KEY_COUNT = 39 };

/* An owner whose items move whenever they are asked for. */
struct owner {
    uint32_t references;
    uint32_t bound_index; /* nothing from there on may be asked for */
    enum kv_status fails; /* what `entry` returns */
    struct kv_slice keys[ITEM_COUNT];
    struct kv_item *items;
};

static struct kv_slice key_number(uint32_t number)
{
    static uint8_t keys[KEY_COUNT][3];
    static const uint8_t letters[] = {0, 'a', 0xff};
    uint32_t size = number < 3 ? 1 : number < 12 ? 2 : 3;
    uint32_t rest = number - (size == 1 ? 0 : size == 2 ? 3 : 12);

    for (uint32_t i = 0; i < size; i++, rest /= 3)
        keys[number][i] = letters[rest % 3];
    return kv_slice_of(keys[number], size);
}

static struct kv_slice key_at(const void *context, uint32_t offset_bytes)
{
    return ((const struct owner *)context)->keys[offset_bytes / 100];
}

static struct kv_item_list owner_list(const void *context)
{
    const struct owner *owner = context;
    struct kv_item *items = malloc(ITEM_COUNT * sizeof(*items));

    memcpy(items, owner->items, ITEM_COUNT * sizeof(*items));
    free(owner->items);
    ((struct owner *)(uintptr_t)owner)->items = items;
    return (struct kv_item_list){items, key_at, owner};
}

static enum kv_status owner_entry(void *context, uint32_t index, uint32_t offset_bytes,
                                  struct kv_buffer *scratch, struct kv_entry *out)
{
    struct owner *owner = context;
    enum kv_status st = kv_buffer_set(scratch, owner->keys[index]);

    ck_assert_uint_eq(offset_bytes, index * 100);
    ck_assert_uint_lt(index, owner->bound_index);
    *out = (struct kv_entry){.key = kv_buffer_slice(scratch), .seq = index};
    return owner->fails != KV_OK ? owner->fails : st;
}

static const uint8_t *owner_bytes(const void *context)
{
    return context; /* fetching ahead shows nothing, wherever it reaches */
}

static void owner_ref(void *context)
{
    ((struct owner *)context)->references++;
}

static void owner_unref(void *context)
{
    ((struct owner *)context)->references--;
}

static const struct kv_batch_owner_ops ops = {owner_list, owner_entry, owner_bytes, owner_unref};

static struct owner *owner_new(uint64_t seed)
{
    struct owner *owner = calloc(1, sizeof(*owner));

    owner->items = calloc(ITEM_COUNT, sizeof(*owner->items));
    for (uint32_t i = 0; i < ITEM_COUNT; i++) {
        owner->keys[i] = key_number((uint32_t)(fixture_random(&seed) % KEY_COUNT));
        owner->items[i] =
            (struct kv_item){.prefix = kv_slice_prefix(owner->keys[i]), .offset_bytes = i * 100};
    }
    return owner;
}

/* The order of the items in batches that end where `ends` says (ascending, 0 at the end). */
static struct kv_batch_set *sort_in_steps(struct owner *owner, const uint32_t *ends)
{
    struct kv_order order;
    struct kv_batch_set *set = NULL;
    struct kv_item_list list = owner_list(owner);

    kv_order_init(&order);
    for (; *ends; ends++) {
        kv_batch_set_unref(set);
        ck_kv(kv_order_sort(&order, &list, *ends, &set));
    }
    kv_order_release(&order);
    return set;
}

/* ---- What an iterator should show */

/* The newest item of a key in a batch below the bound; -1: none. */
static int newest(const struct owner *owner, const struct kv_batch *batch, struct kv_slice key)
{
    uint32_t end = batch->end < owner->bound_index ? batch->end : owner->bound_index;

    for (uint32_t i = end; i-- > batch->first;) {
        if (kv_slice_equal(owner->keys[i], key))
            return (int)i;
    }
    return -1;
}

static int compare_keys(const void *a, const void *b)
{
    return kv_slice_compare(*(const struct kv_slice *)a, *(const struct kv_slice *)b);
}

/* Every key there could be, in order. */
static const struct kv_slice *all_keys(void)
{
    static struct kv_slice keys[KEY_COUNT];

    for (uint32_t i = 0; i < KEY_COUNT; i++)
        keys[i] = key_number(i);
    qsort(keys, KEY_COUNT, sizeof(keys[0]), compare_keys);
    return keys;
}

/* Seek, and compare all that follows. `bound` NULL: from the end. */
static void check_from(const struct owner *owner, const struct kv_batch *batch, struct kv_iter *it,
                       const struct kv_slice *bound, enum kv_direction direction)
{
    const struct kv_slice *keys = all_keys();
    struct kv_entry entry;

    ck_kv(kv_iter_seek(it, bound, direction));
    for (int i = 0; i < KEY_COUNT; i++) {
        struct kv_slice key = keys[direction == KV_FORWARD ? i : KEY_COUNT - 1 - i];
        int expected = newest(owner, batch, key);

        if (expected < 0 || (bound && kv_slice_compare(key, *bound) * (int)direction < 0))
            continue;
        ck_kv(kv_iter_next(it, &entry));
        ck_assert_uint_eq(entry.seq, (uint64_t)expected);
        ck_assert(kv_slice_equal(entry.key, key));
    }
    ck_kv_is(kv_iter_next(it, &entry), KV_DONE);
    ck_kv_is(kv_iter_next(it, &entry), KV_DONE);
}

static struct kv_iter *open_one(struct owner *owner, struct kv_batch_set *set, uint32_t which)
{
    struct kv_iter *it;

    owner_ref(owner);
    ck_kv(kv_batch_iter_open(&ops, owner, kv_batch_set_ref(set), which, owner->bound_index, &it));
    return it;
}

static void finish(struct owner *owner, struct kv_batch_set *set)
{
    ck_assert_uint_eq(owner->references, 0);
    ck_assert_uint_eq(atomic_load(&set->references), 1);
    kv_batch_set_unref(set);
    free(owner->items);
    free(owner);
}

/* ---- Tests */

static const uint32_t one_step[] = {ITEM_COUNT, 0};
static const uint32_t many_steps[] = {40, 53, 58, 60, 0};

START_TEST(test_batch_iter_shows_the_newest_below_every_bound)
{
    for (uint32_t bound = 0; bound <= ITEM_COUNT + 1; bound++) {
        struct owner *owner = owner_new((uint64_t)_i);
        struct kv_batch_set *set = sort_in_steps(owner, one_step);
        struct kv_iter *it;

        owner->bound_index = bound;
        it = open_one(owner, set, 0);
        check_from(owner, set->batches[0], it, NULL, KV_FORWARD);
        check_from(owner, set->batches[0], it, NULL, KV_BACKWARD);
        kv_iter_free(it);
        finish(owner, set);
    }
}
END_TEST

START_TEST(test_batch_iter_seeks_to_every_key)
{
    for (uint32_t bound = 1; bound <= ITEM_COUNT; bound += 19) {
        struct owner *owner = owner_new((uint64_t)_i);
        struct kv_batch_set *set = sort_in_steps(owner, one_step);
        struct kv_iter *it;

        owner->bound_index = bound;
        it = open_one(owner, set, 0);
        for (uint32_t i = 0; i < KEY_COUNT; i++) { /* some are there, some are not */
            struct kv_slice key = key_number(i);

            check_from(owner, set->batches[0], it, &key, KV_FORWARD);
            check_from(owner, set->batches[0], it, &key, KV_BACKWARD);
        }
        kv_iter_free(it);
        finish(owner, set);
    }
}
END_TEST

START_TEST(test_batch_iter_seeks_past_the_ends)
{
    struct owner *owner = owner_new(1);
    struct kv_batch_set *set = sort_in_steps(owner, one_step);
    struct kv_slice below = {0}; /* no key is empty, a bound may be */
    struct kv_slice above = kv_slice_text("\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    struct kv_iter *it;

    owner->bound_index = ITEM_COUNT;
    it = open_one(owner, set, 0);
    check_from(owner, set->batches[0], it, &below, KV_FORWARD);
    check_from(owner, set->batches[0], it, &below, KV_BACKWARD);
    check_from(owner, set->batches[0], it, &above, KV_FORWARD);
    check_from(owner, set->batches[0], it, &above, KV_BACKWARD);
    kv_iter_free(it);
    finish(owner, set);
}
END_TEST

/* Without a seek it starts at the first key. */
START_TEST(test_batch_iter_starts_at_the_first)
{
    struct owner *owner = owner_new(1);
    struct kv_batch_set *set = sort_in_steps(owner, one_step);
    struct kv_entry first, entry;
    struct kv_iter *it;

    owner->bound_index = ITEM_COUNT;
    it = open_one(owner, set, 0);
    ck_kv(kv_iter_next(it, &entry));
    ck_kv(kv_iter_seek(it, NULL, KV_FORWARD));
    ck_kv(kv_iter_next(it, &first));
    ck_assert_uint_eq(entry.seq, first.seq);
    kv_iter_free(it);
    finish(owner, set);
}
END_TEST

START_TEST(test_batch_iter_of_each_batch)
{
    struct owner *owner = owner_new(3);
    struct kv_batch_set *set = sort_in_steps(owner, many_steps);

    ck_assert_uint_gt(set->batch_count, 2);
    for (uint32_t i = 0; i < set->batch_count; i++) {
        for (owner->bound_index = 0; owner->bound_index <= ITEM_COUNT; owner->bound_index += 4) {
            struct kv_iter *it = open_one(owner, set, i);

            check_from(owner, set->batches[i], it, NULL, KV_FORWARD);
            check_from(owner, set->batches[i], it, NULL, KV_BACKWARD);
            kv_iter_free(it);
        }
    }
    finish(owner, set);
}
END_TEST

/* The newest batch comes first; those wholly past the bound are left out. */
START_TEST(test_batch_iter_opens_one_for_each_batch)
{
    struct owner *owner = owner_new(3);
    struct kv_batch_set *set = sort_in_steps(owner, many_steps);

    for (owner->bound_index = 0; owner->bound_index <= ITEM_COUNT; owner->bound_index++) {
        struct kv_iter *its[KV_BATCH_COUNT_MAX];
        uint32_t wanted = 0;
        size_t count;

        while (wanted < set->batch_count && set->batches[wanted]->first < owner->bound_index)
            wanted++;
        ck_kv(kv_batch_iters_open(&ops, owner, owner_ref, set, owner->bound_index, its, &count));
        ck_assert_uint_eq(count, wanted);
        ck_assert_uint_eq(owner->references, count);
        for (size_t i = 0; i < count; i++) {
            check_from(owner, set->batches[count - 1 - i], its[i], NULL, KV_FORWARD);
            kv_iter_free(its[i]);
        }
        ck_assert_uint_eq(owner->references, 0);
    }
    finish(owner, set);
}
END_TEST

/* What has been taken back is said so, and nothing else is shown. */
START_TEST(test_batch_iter_passes_failures_on)
{
    struct owner *owner = owner_new(4);
    struct kv_batch_set *set = sort_in_steps(owner, one_step);
    struct kv_entry entry;
    struct kv_iter *it;

    owner->bound_index = ITEM_COUNT;
    it = open_one(owner, set, 0);
    ck_kv(kv_iter_next(it, &entry));
    owner->fails = KV_ABORTED;
    ck_kv_is(kv_iter_next(it, &entry), KV_ABORTED);
    kv_iter_free(it);
    finish(owner, set);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch_iter");
    TCase *tests = tcase_create("batch_iter");

    tcase_add_loop_test(tests, test_batch_iter_shows_the_newest_below_every_bound, 0, 5);
    tcase_add_loop_test(tests, test_batch_iter_seeks_to_every_key, 0, 5);
    tcase_add_test(tests, test_batch_iter_seeks_past_the_ends);
    tcase_add_test(tests, test_batch_iter_starts_at_the_first);
    tcase_add_test(tests, test_batch_iter_of_each_batch);
    tcase_add_test(tests, test_batch_iter_opens_one_for_each_batch);
    tcase_add_test(tests, test_batch_iter_passes_failures_on);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
