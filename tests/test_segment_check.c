/* Checking segments: silence when all is well, and a word for each kind of damage. */
#include <stdio.h>

#include "index_layout.h"
#include "runner.h"
#include "segment.h"
#include "segment_fixture.h"

enum { NUMBER = SEGMENT_WORLD_NUMBER };

struct problems {
    unsigned count;
    uint64_t last_offset;
    char text[2000];
};

static void note(void *context, uint64_t offset, const char *text)
{
    struct problems *problems = context;
    size_t used = strlen(problems->text);

    problems->count++;
    problems->last_offset = offset;
    snprintf(problems->text + used, sizeof(problems->text) - used, "%s\n", text);
}

static struct problems check(struct segment_world *world)
{
    struct problems problems = {0};

    ck_kv(kv_segment_check(world->segment,
                           &(struct kv_segment_watcher){.problem = note, .context = &problems}));
    return problems;
}

START_TEST(test_segment_check_is_silent_when_all_is_well)
{
    struct segment_world world;

    segment_world_init(&world, (enum key_shape)_i, 500);
    ck_kv(segment_world_reopen(&world));
    struct problems problems = check(&world);
    ck_assert_msg(problems.count == 0, "%s", problems.text);
    segment_world_release(&world);
}
END_TEST

static void no_problem(void *context, uint64_t offset, const char *text)
{
    (void)context;
    ck_abort_msg("%s at %llu", text, (unsigned long long)offset);
}

static bool count_down(void *context)
{
    unsigned *left = context;

    return (*left)-- > 0;
}

/* Both passes ask, often enough that a stop takes effect at once. */
START_TEST(test_segment_check_stops_when_told)
{
    struct segment_world world;
    unsigned left = 1000000;
    struct kv_segment_watcher watcher = {no_problem, count_down, &left};
    unsigned questions;

    segment_world_init(&world, KEYS_COUNTER, 3000);
    ck_kv(segment_world_reopen(&world));
    ck_kv(kv_segment_check(world.segment, &watcher));
    questions = 1000000 - left;
    ck_assert_uint_ge(questions, 2 * 3000 / 256);
    for (unsigned until = 0; until < questions; until++) {
        left = until;
        ck_assert_int_eq(kv_segment_check(world.segment, &watcher), KV_INTERRUPTED);
    }
    segment_world_release(&world);
}
END_TEST

START_TEST(test_segment_check_finds_damage)
{
    struct segment_world world;

    segment_world_init(&world, KEYS_COUNTER, 50);
    segment_world_index(&world);
    for (size_t i = 0; i < 50; i++) {
        uint64_t at = world.log.newest[i]->offset_bytes + world.log.newest[i]->size_bytes - 1;
        ck_assert(kv_memfs_flip_bit(world.fixture.fs, fixture_data_path(NUMBER), at, 0));
        ck_kv(segment_world_reopen(&world));
        struct problems problems = check(&world);
        ck_assert_msg(problems.count == 1, "%zu: %s", i, problems.text);
        ck_assert_uint_eq(problems.last_offset, world.log.newest[i]->offset_bytes);
        ck_assert(kv_memfs_flip_bit(world.fixture.fs, fixture_data_path(NUMBER), at, 0));
    }
    for (uint64_t page = 1; page < 5; page++) {
        segment_world_damage_page(&world, page);
        ck_kv(segment_world_reopen(&world));
        struct problems problems = check(&world);
        ck_assert_uint_eq(problems.count, 1);
        ck_assert_uint_eq(problems.last_offset, 0);
        ck_assert_ptr_nonnull(strstr(problems.text, ".idx"));
        ck_assert(!kv_segment_index_rebuilt(world.segment));
        segment_world_damage_page(&world, page); /* undone */
    }
    segment_world_release(&world);
}
END_TEST

/* Goal: an index that is intact but wrong does not pass: lost keys, old versions, wrong order. */
START_TEST(test_segment_check_finds_a_wrong_index)
{
    struct segment_world world;
    struct kv_index_item *items, swapped;
    size_t count;

    segment_world_init(&world, KEYS_COUNTER, 100);
    items = sealed_log_items(&world.log, &world.fixture);
    count = world.log.newest_count;
    switch (_i) {
    case 0: count--; break; /* the last key is lost */
    case 1: items[50] = items[51]; break;
    case 2: swapped = items[50], items[50] = items[51], items[51] = swapped; break;
    case 3: items[50].hash++; break;
    case 4: items[50].offset_bytes = items[49].offset_bytes; break; /* another key's record */
    case 5: items[50].offset_bytes = 5; break;
    case 6: items[50].offset_bytes = UINT32_MAX; break;
    default: /* an old version */
        for (size_t i = 0; i < world.log.count; i++)
            for (size_t k = 0; k < count; k++)
                if (kv_slice_equal(world.log.writes[i].key, world.log.newest[k]->key) &&
                    world.log.writes[i].offset_bytes < items[k].offset_bytes)
                    items[k].offset_bytes = world.log.writes[i].offset_bytes;
        break;
    }
    segment_world_lie(&world, items, count);
    struct problems problems = check(&world);
    ck_assert_uint_gt(problems.count, 0);
    static const char *const expected[] = {"does not have the key", "does not have the key",
                                           "order is wrong",        "does not have the key",
                                           "does not have the key", "outside the segment",
                                           "outside the segment",   "older version"};
    ck_assert_msg(strstr(problems.text, expected[_i]) != NULL, "%s", problems.text);
    free(items);
    segment_world_release(&world);
}
END_TEST

/* Goal: each total of the manifest is compared. */
START_TEST(test_segment_check_compares_totals)
{
    struct segment_world world;
    struct kv_segment_info *info = &world.log.info;

    segment_world_init(&world, KEYS_COUNTER, 100);
    uint64_t *totals[] = {&info->record_count, &info->entry_count, &info->tombstone_count,
                          &info->entry_bytes,  &info->min_seq,     &info->max_seq};
    if (_i < 6)
        (*totals[_i])++;
    else
        (_i == 6 ? &info->min_key : &info->max_key)->data[3]++;
    ck_kv(segment_world_reopen(&world));
    ck_assert_uint_eq(check(&world).count, 1);
    segment_world_release(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segment_check");
    TCase *tests = tcase_create("check");

    tcase_add_loop_test(tests, test_segment_check_is_silent_when_all_is_well, 0, KEYS_SHAPE_COUNT);
    tcase_add_test(tests, test_segment_check_stops_when_told);
    tcase_add_test(tests, test_segment_check_finds_damage);
    tcase_add_loop_test(tests, test_segment_check_finds_a_wrong_index, 0, 8);
    tcase_add_loop_test(tests, test_segment_check_compares_totals, 0, 8);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
