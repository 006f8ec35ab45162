/*
 * The hash table over a log's items: finding, chaining, taking back, growing,
 * and publication to readers without locks.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "hash.h"
#include "memtable.h"
#include "runner.h"
#include "segment_fixture.h"

/* With this secret mixing is an exclusive or, and hashes can be made for chosen slots. */
#define SECRET ((KV_MEMTABLE_MULTIPLIER ^ 1) >> 1)

static struct kv_item item_of(uint64_t hash, uint32_t offset_bytes)
{
    return (struct kv_item){.prefix = ~hash, .hash = hash, .offset_bytes = offset_bytes};
}

/* The newest item of exactly this hash that `count` items have, by the chain: 1 + index, or 0. */
static uint32_t find(const struct kv_memtable *memtable, uint64_t hash)
{
    uint32_t at = kv_memtable_find(memtable, hash);

    while (at != 0 && memtable->items[at - 1].hash != hash)
        at = memtable->items[at - 1].older;
    return at;
}

/* What `find` should give, by looking at every item. */
static uint32_t find_slowly(const struct kv_memtable *memtable, uint64_t hash, uint32_t count)
{
    while (count > 0 && memtable->items[count - 1].hash != hash)
        count--;
    return count;
}

/* Every item is found, and its chain shows every older one of its hash. */
static void check_all(const struct kv_memtable *memtable)
{
    uint32_t count = kv_memtable_count(memtable);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = memtable->items[i].hash;
        uint32_t expected = find_slowly(memtable, hash, count);
        uint32_t at = find(memtable, hash);

        for (; expected != 0; expected = find_slowly(memtable, hash, expected - 1)) {
            if (at != expected)
                ck_abort_msg("item %u: %u, not %u", i, at, expected);
            do
                at = memtable->items[at - 1].older;
            while (at != 0 && memtable->items[at - 1].hash != hash);
        }
        if (at != 0)
            ck_abort_msg("item %u: its chain goes on to %u", i, at);
    }
}

/* Hashes that are hard on a table: few of them, or all in one place. */
enum hashes {
    SPREAD,
    FEW_HASHES,
    SAME_SLOT,  /* one place to start, tags differ, but for a few */
    NEAR_SLOTS, /* a few places beside each other, tags differ, one of them 0 */
    SAME_TAG,   /* tags equal, places differ: slots are shared where they meet */
    ALL_ZERO,
    ALL_ONES,
    HASHES_COUNT
};

/* What the table sees of it. */
static uint64_t mixed_of(enum hashes hashes, uint64_t i)
{
    switch (hashes) {
    case SPREAD: return kv_digest_add(3, i);
    case FEW_HASHES: return kv_digest_add(3, i % 7);
    case SAME_SLOT: return kv_digest_add(3, i) >> 32 << 32;
    case NEAR_SLOTS: return (i / 5 % 50) << 52 | i % 5;
    case SAME_TAG: return kv_digest_add(3, i) & UINT32_MAX;
    case ALL_ZERO: return 0;
    case ALL_ONES: return UINT64_MAX;
    case HASHES_COUNT: break;
    }
    return 0;
}

static uint64_t hash_of(enum hashes hashes, uint64_t i)
{
    return mixed_of(hashes, i) ^ SECRET;
}

START_TEST(test_memtable_finds_what_is_linked)
{
    struct kv_memtable memtable;

    ck_kv_fast(kv_memtable_init(&memtable, 1000, SECRET));
    ck_kv_fast(kv_memtable_reserve(&memtable));
    for (uint32_t i = 0; i < 1000; i++)
        kv_memtable_append(&memtable, item_of(hash_of((enum hashes)_i, i), i * 10));
    ck_assert_uint_eq(find(&memtable, hash_of((enum hashes)_i, 1)), 0); /* not linked yet */
    kv_memtable_link(&memtable);
    check_all(&memtable);
    if (_i == SPREAD || _i == SAME_SLOT) {
        for (uint64_t i = 1000; i < 2000; i++)
            ck_assert_uint_eq(find(&memtable, hash_of((enum hashes)_i, i)), 0);
    }
    kv_memtable_release(&memtable);
}
END_TEST

START_TEST(test_memtable_splices)
{
    struct kv_memtable memtable;
    uint64_t random = 1;
    uint32_t count = 0;

    ck_kv_fast(kv_memtable_init(&memtable, 2000, SECRET));
    ck_kv_fast(kv_memtable_reserve(&memtable));
    while (count < 2000) {
        struct kv_item items[64];
        uint32_t more = (uint32_t)(fixture_random(&random) % 64);

        more = more < 2000 - count ? more : 2000 - count;
        for (uint32_t i = 0; i < more; i++) {
            items[i] = item_of(hash_of((enum hashes)_i, (count + i) % 1500), count + i);
            items[i].older = 12345; /* of the table that the item comes from */
        }
        kv_memtable_splice(&memtable, items, more);
        count += more;
        ck_assert_uint_eq(kv_memtable_count(&memtable), count);
    }
    check_all(&memtable);
    kv_memtable_release(&memtable);
}
END_TEST

/* An empty table that was never reserved can be asked, and costs next to nothing. */
START_TEST(test_memtable_empty)
{
    struct kv_memtable memtable;

    ck_kv_fast(kv_memtable_init(&memtable, KV_LOG_RECORD_LIMIT, SECRET));
    ck_assert_uint_eq(memtable.capacity, KV_LOG_RECORD_LIMIT);
    ck_assert_uint_eq(kv_memtable_count(&memtable), 0);
    ck_assert_uint_eq(kv_memtable_find(&memtable, 0), 0);
    ck_assert_uint_eq(kv_memtable_memory_bytes(&memtable), 0);
    ck_kv_fast(kv_memtable_reserve(&memtable));
    ck_kv_fast(kv_memtable_reserve(&memtable));
    ck_assert_uint_eq(kv_memtable_find(&memtable, 0), 0);
    ck_assert_uint_eq(kv_memtable_memory_bytes(&memtable), 2 * 4 * KV_LOG_RECORD_LIMIT);
    kv_memtable_release(&memtable);
    kv_memtable_release(&memtable); /* released already: nothing happens */
}
END_TEST

static size_t resident_pages(const void *at, size_t size)
{
    unsigned char pages[1 << 13];
    size_t count = 0;

    ck_assert_uint_le(size / 4096, sizeof(pages));
    ck_assert_int_eq(mincore((void *)(uintptr_t)at, size, pages), 0);
    for (size_t i = 0; i < size / 4096; i++)
        count += pages[i] & 1;
    return count;
}

/*
 * Goal: a log's table takes memory only as it fills, also when tables have
 * been made and released before: the heap would hand out and zero their memory.
 */
START_TEST(test_memtable_costs_what_it_holds)
{
    enum { HUGE_PAGE = 512 }; /* the kernel may give that many at once; the tables have thousands */

    for (int i = 0; i < 4; i++) {
        struct kv_memtable memtable;

        ck_kv(kv_memtable_init(&memtable, KV_LOG_RECORD_LIMIT, SECRET));
        ck_kv(kv_memtable_reserve(&memtable));
        kv_memtable_append(&memtable, item_of(1, 1));
        kv_memtable_link(&memtable);
        ck_assert_uint_eq(find(&memtable, 1), 1);
        ck_assert_uint_le(resident_pages(memtable.items, KV_LOG_RECORD_LIMIT * 24), HUGE_PAGE);
        ck_assert_uint_le(resident_pages((void *)memtable.slots, 2 * 4 * KV_LOG_RECORD_LIMIT),
                          HUGE_PAGE);
        kv_memtable_release(&memtable);
    }
}
END_TEST

/* A table filled to its capacity still finds an end when it looks for what is not there. */
START_TEST(test_memtable_full)
{
    struct kv_memtable memtable;

    ck_kv_fast(kv_memtable_init(&memtable, 1 << 16, SECRET));
    ck_kv_fast(kv_memtable_reserve(&memtable));
    for (uint32_t i = 0; i < memtable.capacity; i++)
        kv_memtable_append(&memtable, item_of(hash_of(SPREAD, i), i));
    kv_memtable_link(&memtable);
    for (uint32_t i = 0; i < 2 * memtable.capacity; i++) {
        uint32_t expected = i < memtable.capacity ? i + 1 : 0;

        if (find(&memtable, hash_of(SPREAD, i)) != expected)
            ck_abort_msg("item %u", i);
    }
    kv_memtable_release(&memtable);
}
END_TEST

/* ---- Taking back */

START_TEST(test_memtable_truncate_to_every_count)
{
    for (uint32_t count = 0; count <= 100; count++) {
        struct kv_memtable memtable;

        ck_kv_fast(kv_memtable_init(&memtable, 100, SECRET));
        ck_kv_fast(kv_memtable_reserve(&memtable));
        for (uint32_t i = 0; i < 100; i++) {
            if (i == 80)
                kv_memtable_link(&memtable); /* the rest is not linked when it is taken back */
            kv_memtable_append(&memtable, item_of(hash_of((enum hashes)_i, i % 60), i));
        }
        kv_memtable_truncate(&memtable, count);
        ck_assert_uint_eq(kv_memtable_count(&memtable), count);
        kv_memtable_link(&memtable);
        check_all(&memtable);
        for (uint32_t i = count; i < 100; i++) /* others in their place */
            kv_memtable_append(&memtable, item_of(hash_of((enum hashes)_i, i + 1000), i));
        kv_memtable_link(&memtable);
        check_all(&memtable);
        kv_memtable_release(&memtable);
    }
}
END_TEST

static uint32_t used_slots(const struct kv_memtable *memtable)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < 2 * memtable->capacity; i++)
        count += memtable->slots[i] != 0;
    return count;
}

/*
 * Goal: slots of items taken back are used again: a transaction that goes back
 * to a savepoint again and again never fills its table, and lookups stay short.
 * Method: link new hashes and take them back, many times the table's size.
 */
START_TEST(test_memtable_truncation_does_not_fill_the_table)
{
    struct kv_memtable memtable;
    uint64_t next = 0;

    ck_kv_fast(kv_memtable_init(&memtable, 16, SECRET));
    ck_kv_fast(kv_memtable_reserve(&memtable));
    for (uint32_t i = 0; i < 10; i++)
        kv_memtable_append(&memtable, item_of(hash_of(SPREAD, next++), i));
    for (int turn = 0; turn < 50000; turn++) {
        kv_memtable_append(&memtable, item_of(hash_of(SPREAD, next++), 10));
        kv_memtable_append(&memtable, item_of(hash_of(SPREAD, next++), 11));
        kv_memtable_link(&memtable);
        if (find(&memtable, hash_of(SPREAD, next)) != 0 ||
            find(&memtable, memtable.items[11].hash) != 12)
            ck_abort_msg("turn %d", turn);
        kv_memtable_truncate(&memtable, 10);
        if (used_slots(&memtable) != 10)
            ck_abort_msg("turn %d: %u slots are in use", turn, used_slots(&memtable));
    }
    check_all(&memtable);
    kv_memtable_release(&memtable);
}
END_TEST

/* Random growing, taking back and looking up, against looking at every item. */
START_TEST(test_memtable_random_operations)
{
    struct kv_memtable memtable;
    uint64_t random = (uint64_t)_i + 1;

    ck_kv_fast(kv_memtable_init(&memtable, 1, SECRET));
    for (int turn = 0; turn < 20000; turn++) {
        uint32_t count = kv_memtable_count(&memtable);
        uint64_t draw = fixture_random(&random) % 100;
        uint64_t hash = hash_of((enum hashes)_i, fixture_random(&random) % 200);

        if (draw < 60) {
            if (count == memtable.capacity)
                ck_kv_fast(kv_memtable_grow(&memtable, count + 1));
            kv_memtable_append(&memtable, item_of(hash, count));
        } else if (draw < 65) {
            uint64_t back = fixture_random(&random) % 60;

            kv_memtable_truncate(&memtable, back < count ? count - (uint32_t)back : 0);
        } else {
            ck_kv_fast(kv_memtable_reserve(&memtable));
            kv_memtable_link(&memtable);
            if (find(&memtable, hash) != find_slowly(&memtable, hash, count))
                ck_abort_msg("turn %d", turn);
        }
    }
    ck_kv_fast(kv_memtable_reserve(&memtable));
    kv_memtable_link(&memtable);
    check_all(&memtable);
    kv_memtable_release(&memtable);
}
END_TEST

START_TEST(test_memtable_grow_keeps_what_is_there)
{
    for (int linked = 0; linked < 2; linked++) {
        struct kv_memtable memtable;

        ck_kv_fast(kv_memtable_init(&memtable, 20, SECRET));
        if (linked)
            ck_kv_fast(kv_memtable_reserve(&memtable));
        for (uint32_t i = 0; i < 32; i++)
            kv_memtable_append(&memtable, item_of(hash_of(SPREAD, i % 20), i));
        if (linked)
            kv_memtable_link(&memtable);
        ck_kv_fast(kv_memtable_grow(&memtable, 32)); /* is enough already */
        ck_assert_uint_eq(memtable.capacity, 32);
        ck_kv_fast(kv_memtable_grow(&memtable, 1000));
        ck_assert_uint_eq(memtable.capacity, 1024);
        for (uint32_t i = 32; i < 1024; i++)
            kv_memtable_append(&memtable, item_of(hash_of(SPREAD, i), i));
        ck_kv_fast(kv_memtable_reserve(&memtable));
        kv_memtable_link(&memtable);
        check_all(&memtable);
        kv_memtable_release(&memtable);
    }
}
END_TEST

/* From the heap to pages: by doubling past a megabyte. */
START_TEST(test_memtable_grows_large)
{
    struct kv_memtable memtable;

    ck_kv(kv_memtable_init(&memtable, 16, SECRET));
    ck_kv(kv_memtable_reserve(&memtable));
    for (uint32_t i = 0; i < 300000; i++) {
        if (i == memtable.capacity)
            ck_kv(kv_memtable_grow(&memtable, i + 1));
        kv_memtable_append(&memtable, item_of(hash_of(SPREAD, i), i));
        if (i % 1000 == 0)
            kv_memtable_link(&memtable);
    }
    kv_memtable_link(&memtable);
    for (uint32_t i = 0; i < 300000; i++) {
        if (find(&memtable, hash_of(SPREAD, i)) != i + 1 || memtable.items[i].offset_bytes != i)
            ck_abort_msg("item %u", i);
    }
    kv_memtable_release(&memtable);
}
END_TEST

/* ---- Readers without locks */

enum { SHARED_COUNT = 200000, SHARED_HASHES = 5000 };

static struct kv_memtable shared;
static _Atomic bool writing;

static uint64_t shared_hash(uint64_t i)
{
    return hash_of(SPREAD, i % SHARED_HASHES);
}

/*
 * Look up as readers do. Whatever is found was written: an item's fields agree
 * with each other, its chain leads to older items of the hash only, and the
 * newest item of a hash never goes back.
 */
static void *read_while_writing(void *context)
{
    uint32_t *newest = calloc(SHARED_HASHES, sizeof(*newest));
    uint64_t random = (uint64_t)(uintptr_t)context;
    const char *problem = NULL;

    while (!problem && atomic_load(&writing)) {
        uint64_t which = fixture_random(&random) % SHARED_HASHES, hash = shared_hash(which);
        uint32_t before = UINT32_MAX, at = find(&shared, hash);

        if (at < newest[which])
            problem = "an item has gone";
        newest[which] = at;
        for (; at != 0 && !problem; at = shared.items[at - 1].older) {
            const struct kv_item *item = &shared.items[at - 1];

            if (item->prefix != ~item->hash || item->offset_bytes != at - 1)
                problem = "an item is not whole";
            if (at >= before)
                problem = "a chain does not lead to older items";
            before = at;
        }
    }
    free(newest);
    return (void *)(uintptr_t)problem;
}

/* Goal: a reader meets whole items or none. Method: two threads look while one splices. */
START_TEST(test_memtable_readers_see_whole_items)
{
    pthread_t threads[2];
    uint32_t count = 0;

    ck_kv_fast(kv_memtable_init(&shared, SHARED_COUNT, SECRET));
    ck_kv_fast(kv_memtable_reserve(&shared));
    atomic_store(&writing, true);
    for (uintptr_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_while_writing, (void *)(i + 1)), 0);
    while (count < SHARED_COUNT) {
        struct kv_item items[50];

        for (uint32_t i = 0; i < 50; i++)
            items[i] = item_of(shared_hash(count + i), count + i);
        kv_memtable_splice(&shared, items, 50);
        count += 50;
    }
    atomic_store(&writing, false);
    for (int i = 0; i < 2; i++) {
        void *problem;

        ck_assert_int_eq(pthread_join(threads[i], &problem), 0);
        ck_assert_msg(!problem, "%s", (const char *)problem);
    }
    kv_memtable_release(&shared);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memtable");
    TCase *tests = tcase_create("memtable");

    tcase_set_timeout(tests, 20);
    tcase_add_loop_test(tests, test_memtable_finds_what_is_linked, 0, HASHES_COUNT);
    tcase_add_loop_test(tests, test_memtable_splices, 0, HASHES_COUNT);
    tcase_add_test(tests, test_memtable_empty);
    tcase_add_test(tests, test_memtable_costs_what_it_holds);
    tcase_add_test(tests, test_memtable_full);
    tcase_add_loop_test(tests, test_memtable_truncate_to_every_count, 0, HASHES_COUNT);
    tcase_add_test(tests, test_memtable_truncation_does_not_fill_the_table);
    tcase_add_loop_test(tests, test_memtable_random_operations, 0, HASHES_COUNT);
    tcase_add_test(tests, test_memtable_grow_keeps_what_is_there);
    tcase_add_test(tests, test_memtable_grows_large);
    tcase_add_test(tests, test_memtable_readers_see_whole_items);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
