/* Runs: several segments answer as one, and what is hidden stays hidden. */
#include "hash.h"
#include "run.h"
#include "runner.h"
#include "segment_fixture.h"

enum { SEGMENTS = 4, KEYS_EACH = 30, KEYS = SEGMENTS * KEYS_EACH, GAP = 10 };

/* Segment s holds keys s*1000 + 0, 10, 20 …: gaps between keys, larger ones between segments. */
struct world {
    struct fixture fixture;
    struct sealed_log logs[SEGMENTS];
    struct kv_segment *segments[SEGMENTS];
    struct kv_run_reader *run;
    struct kv_buffer low;
    bool has_low;
};

static uint64_t number_of(size_t i)
{
    return 1000 + i / KEYS_EACH * 1000 + i % KEYS_EACH * GAP;
}

static struct kv_slice key_of(uint64_t number, struct kv_buffer *buffer)
{
    fixture_key(KEYS_COUNTER, number, buffer);
    return kv_buffer_slice(buffer);
}

static void world_init(struct world *world, size_t segment_count)
{
    struct kv_buffer key = {0};

    *world = (struct world){0};
    fixture_init(&world->fixture);
    for (size_t s = 0; s < segment_count; s++) {
        sealed_log_begin(&world->logs[s], &world->fixture, s + 1);
        for (size_t i = 0; i < KEYS_EACH; i++) {
            struct kv_slice bytes = key_of(number_of(s * KEYS_EACH + i), &key);
            sealed_log_put(&world->logs[s], bytes, bytes);
        }
        sealed_log_finish(&world->logs[s], &world->fixture);
        ck_kv(kv_segment_open(&world->fixture.place, &world->logs[s].info, &world->segments[s]));
    }
    kv_buffer_release(&key);
}

/* Open the run over all segments, hiding keys up to `low` (SIZE_MAX: none). */
static void open_run(struct world *world, size_t segment_count, uint64_t low)
{
    kv_run_unref(world->run);
    world->has_low = low != SIZE_MAX;
    if (world->has_low) {
        struct kv_slice key = key_of(low, &world->low);
        ck_kv(kv_run_open(world->segments, segment_count, &key, &world->run));
        memset(world->low.data, 0, 1); /* it was copied */
        (void)key_of(low, &world->low);
    } else {
        ck_kv(kv_run_open(world->segments, segment_count, NULL, &world->run));
    }
}

static void world_release(struct world *world)
{
    kv_run_unref(world->run);
    for (size_t s = 0; s < SEGMENTS; s++) {
        kv_segment_unref(world->segments[s]);
        sealed_log_release(&world->logs[s]);
    }
    kv_buffer_release(&world->low);
    fixture_release(&world->fixture);
}

/* Seek to `bound` (NULL: none) and compare all that follows with the list of numbers. */
static void check_iteration(struct world *world, size_t key_count, const uint64_t *bound,
                            enum kv_direction direction, uint64_t low)
{
    struct kv_buffer key = {0}, expected = {0};
    struct kv_slice slice = {0};
    struct kv_iter *it;
    struct kv_entry entry;

    ck_kv(kv_run_iter(world->run, &it));
    if (bound)
        slice = key_of(*bound, &key);
    ck_kv(kv_iter_seek(it, bound ? &slice : NULL, direction));
    for (size_t n = 0; n < key_count; n++) {
        uint64_t number = number_of(direction == KV_FORWARD ? n : key_count - 1 - n);
        if (low != SIZE_MAX && number <= low)
            continue;
        if (bound && (direction == KV_FORWARD ? number < *bound : number > *bound))
            continue;
        ck_kv(kv_iter_next(it, &entry));
        ck_assert(kv_slice_equal(entry.key, key_of(number, &expected)));
        ck_assert(kv_slice_equal(entry.row, kv_buffer_slice(&expected)));
    }
    ck_kv_is(kv_iter_next(it, &entry), KV_DONE);
    ck_kv_is(kv_iter_next(it, &entry), KV_DONE);
    kv_iter_free(it);
    kv_buffer_release(&key);
    kv_buffer_release(&expected);
}

static void check_lookup(struct world *world, uint64_t number, bool there)
{
    struct kv_buffer buffer = {0};
    struct kv_slice key = key_of(number, &buffer);
    uint64_t hash = kv_hash(key, world->fixture.place.hash_seed);
    struct kv_entry entry;

    if (there) {
        ck_assert(kv_run_may_contain(world->run, hash, key));
        ck_kv(kv_run_get(world->run, hash, key, &entry));
        ck_assert(kv_slice_equal(entry.key, key));
    } else {
        ck_kv_is(kv_run_get(world->run, hash, key, &entry), KV_DONE);
    }
    kv_buffer_release(&buffer);
}

static bool is_key(uint64_t number, size_t key_count)
{
    for (size_t i = 0; i < key_count; i++)
        if (number_of(i) == number)
            return true;
    return false;
}

/* Where to hide: nothing; before all; on a key; between keys; between segments; the last key; all. */
static const uint64_t LOWS[] = {SIZE_MAX, 5, 1000, 1010, 1015, 1290, 1500, 2000, 4290, 9999};
enum { LOW_COUNT = sizeof(LOWS) / sizeof(LOWS[0]) };

/*
 * Goal: a run is its segments, one after the other, without what is hidden.
 * Method: every bound on and between keys, both ways, for runs of 1 and 4
 * segments and every place where `low` may lie.
 */
START_TEST(test_run_agrees_with_brute_force)
{
    struct world world;
    size_t segment_count = _i % 2 ? SEGMENTS : 1, key_count = segment_count * KEYS_EACH;
    uint64_t low = LOWS[_i / 2];

    world_init(&world, segment_count);
    open_run(&world, segment_count, low);
    ck_assert_uint_eq(kv_run_segment_count(world.run), segment_count);
    check_iteration(&world, key_count, NULL, KV_FORWARD, low);
    check_iteration(&world, key_count, NULL, KV_BACKWARD, low);
    for (uint64_t number = 990; number < segment_count * 1000 + 320; number += 5) {
        if (number % 1000 > 310 && number % 1000 < 980)
            continue;
        check_iteration(&world, key_count, &number, KV_FORWARD, low);
        check_iteration(&world, key_count, &number, KV_BACKWARD, low);
        check_lookup(&world, number,
                     is_key(number, key_count) && (low == SIZE_MAX || number > low));
    }
    world_release(&world);
}
END_TEST

/* Goal: what is hidden is not "perhaps there" either, so that nothing is kept for its sake. */
START_TEST(test_run_may_contain_honours_ranges_and_low)
{
    struct world world;
    struct kv_buffer buffer = {0};

    world_init(&world, SEGMENTS);
    open_run(&world, SEGMENTS, 2000);
    for (size_t i = 0; i < KEYS; i++) {
        struct kv_slice key = key_of(number_of(i), &buffer);
        uint64_t hash = kv_hash(key, world.fixture.place.hash_seed);
        ck_assert_int_eq(kv_run_may_contain(world.run, hash, key), number_of(i) > 2000);
        /* Between the segments nothing is, whatever the filters say. */
        key = key_of(number_of(i) + 500, &buffer);
        ck_assert(!kv_run_may_contain(world.run, hash, key));
    }
    kv_buffer_release(&buffer);
    world_release(&world);
}
END_TEST

/* Goal: iterators and runs hold what they need. */
START_TEST(test_run_holds_references)
{
    struct world world;
    struct kv_iter *it;
    struct kv_entry entry;
    size_t given = 0;

    world_init(&world, SEGMENTS);
    open_run(&world, SEGMENTS, SIZE_MAX);
    ck_assert_ptr_eq(kv_run_segment(world.run, 2), world.segments[2]);
    for (size_t s = 0; s < SEGMENTS; s++) {
        kv_segment_unref(world.segments[s]);
        world.segments[s] = NULL;
    }
    ck_kv(kv_run_iter(world.run, &it));
    kv_run_unref(kv_run_ref(world.run));
    kv_run_unref(world.run);
    world.run = NULL;
    ck_kv_is(kv_iter_next(it, &entry), KV_DONE); /* not sought yet */
    ck_kv(kv_iter_seek(it, NULL, KV_FORWARD));
    while (kv_iter_next(it, &entry) == KV_OK)
        given++;
    ck_assert_uint_eq(given, KEYS);
    ck_kv(kv_iter_seek(it, NULL, KV_BACKWARD)); /* again, the other way */
    while (kv_iter_next(it, &entry) == KV_OK)
        given--;
    ck_assert_uint_eq(given, 0);
    kv_iter_free(it);
    world_release(&world);
}
END_TEST

/* Goal: damage in a later segment is reported when it is reached. */
START_TEST(test_run_iter_reports_damage)
{
    struct world world;
    struct kv_iter *it;
    struct kv_entry entry;
    size_t given = 0;
    enum kv_status st;

    world_init(&world, SEGMENTS);
    open_run(&world, SEGMENTS, SIZE_MAX);
    ck_assert(kv_memfs_flip_bit(world.fixture.fs, fixture_data_path(3),
                                world.logs[2].newest[10]->offset_bytes + 9, 1));
    ck_kv(kv_run_iter(world.run, &it));
    ck_kv(kv_iter_seek(it, NULL, KV_FORWARD));
    while ((st = kv_iter_next(it, &entry)) == KV_OK)
        given++;
    ck_kv_is(st, KV_CORRUPT);
    ck_assert_uint_eq(given, 2 * KEYS_EACH + 10);
    kv_iter_free(it);
    world_release(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run");
    TCase *tests = tcase_create("run");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_run_agrees_with_brute_force, 0, 2 * LOW_COUNT);
    tcase_add_test(tests, test_run_may_contain_honours_ranges_and_low);
    tcase_add_test(tests, test_run_holds_references);
    tcase_add_test(tests, test_run_iter_reports_damage);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
