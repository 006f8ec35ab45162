/* The rules that make a manifest valid, one broken at a time, and its limits. */
#include <stdio.h>
#include <stdlib.h>

#include "manifest_fixture.h"
#include "runner.h"

/* Break the rule of that number; the text that its message must have, NULL behind the last. */
static const char *break_rule(struct kv_manifest *manifest, size_t rule)
{
    const uint64_t limit = (uint64_t)1 << 62;
    struct kv_run *runs = manifest->runs;
    struct kv_pending_group *groups = manifest->groups;
    struct kv_segment_info *info = &runs[3].segments[1], *log = &manifest->unindexed;
    struct {
        uint64_t *field;
        uint64_t value;
        const char *text;
    } rules[] = {
        {&manifest->generation, 0, "generation"},
        {&manifest->generation, limit, "counter"},
        {&manifest->merge_bytes_written, UINT64_MAX, "counter"},
        {&manifest->active.number, 0, "active log"},
        {&manifest->active.number, 100, "active log"},
        {&manifest->active.start_lsn, 999999, "start LSN"},
        {&manifest->active.start_lsn, 1000000 + KV_SEGMENT_MAX_BYTES, "start LSN"},
        {&manifest->active.number, 3, "segment 3 is listed twice"},
        {&info->number, 5, "segment 5 is listed twice"},
        {&groups[1].segments[0].number, 5, "segment 5 is listed twice"},
        {&info->number, 0, "segment 0: number"},
        {&info->number, 100, "segment 100: number"},
        {&runs[2].merge_id, 6, "run 2: merge id"},
        {&runs[2].low.size, 0, "run 2: size of low"},
        {&runs[2].low.size, 65536, "run 2: size of low"},
        {&groups[1].id, 0, "group 1: id"},
        {&groups[1].id, 31, "group 31 is listed twice"},
        {&groups[0].commit_lsn, limit, "group 0: id or LSN"},
        {&info->end_bytes, KV_HEADER_BYTES - 1, "segment 4: length"},
        {&info->end_bytes, KV_SEGMENT_MAX_BYTES + (uint64_t)1, "segment 4: length"},
        {&info->record_count, 501, "segment 4: more records"},
        {&info->entry_count, 0, "segment 4: number of entries"},
        {&info->entry_count, 13, "segment 4: number of entries"},
        {&info->tombstone_count, 11, "segment 4: more tombstones"},
        {&info->entry_bytes, 4001, "segment 4: entries are larger"},
        {&info->dead_bytes, info->end_bytes + 1, "segment 4: dead bytes"},
        {&info->min_seq, 6, "segment 4: first seq"},
        {&info->max_seq, 51, "segment 4: last seq is past"},
        {&info->max_seq, limit, "segment 4: seq or LSN"},
        {&info->first_lsn, 40901, "segment 4: first LSN"},
        {&info->last_lsn, 1000001, "segment 4: last LSN is past"},
        {&info->min_key.size, 0, "segment 4: size of its"},
        {&info->max_key.size, 65536, "segment 4: size of its"},
        {&info->min_key.size, 1, "segment 4: keys do not"}, /* "c", the one before ends at "cc" */
        {&info->max_key.size, 0, "segment 4: size of its"},
        {&groups[0].segments[0].entry_count, 0, "segment 20: number of entries"},
        {&log->number, 9, "segment 9 is listed twice"},
        {&log->number, 3, "segment 3 is listed twice"},
        {&log->number, 100, "segment 100: number"},
        {&log->end_bytes, KV_HEADER_BYTES - 1, "segment 10: length"},
        {&log->end_bytes, KV_HEADER_BYTES + 901, "segment 10: its LSNs"},
        {&log->record_count, 0, "segment 10: no records"},
        {&log->record_count, 113, "segment 10: more records"},
        {&log->entry_count, 1, "segment 10: totals"},
        {&log->tombstone_count, 1, "segment 10: totals"},
        {&log->entry_bytes, 1, "segment 10: totals"},
        {&log->dead_bytes, 1, "segment 10: totals"},
        {&log->min_seq, 51, "segment 10: first seq"},
        {&log->max_seq, 51, "segment 10: last seq is past"},
        {&log->first_lsn, 999901, "segment 10: first LSN"},
        {&log->last_lsn, 1000001, "segment 10: last LSN is past"},
    };

    if (rule >= sizeof(rules) / sizeof(rules[0]))
        return NULL;
    *rules[rule].field = rules[rule].value;
    return rules[rule].text;
}

static void assert_broken(const struct kv_manifest *manifest, const char *text)
{
    struct kv_buffer bytes = {0};

    ck_kv_is(kv_manifest_check(manifest), KV_CORRUPT);
    ck_assert_msg(strstr(kv_message(), text) != NULL, "%s, not: %s", text, kv_message());
    ck_kv_is(kv_manifest_encode(manifest, &bytes), KV_CORRUPT);
    ck_assert_uint_eq(bytes.size, 0);
}

/*
 * Goal: each rule of VALID is enforced, on reading as on writing.
 * Method: break one rule at a time; the message says which.
 */
START_TEST(test_manifest_check_enforces_each_rule)
{
    const char *text;
    size_t rule = 0;

    do {
        struct kv_manifest manifest = manifest_full();

        ck_kv(kv_manifest_check(&manifest));
        text = break_rule(&manifest, rule++);
        if (text)
            assert_broken(&manifest, text);
        kv_manifest_release(&manifest);
    } while (text);
    ck_assert_uint_gt(rule, 30);
}
END_TEST

START_TEST(test_manifest_check_enforces_order)
{
    struct kv_manifest manifest = manifest_full();

    manifest.runs[4].tier = KV_TIER_COUNT;
    assert_broken(&manifest, "run 4: tier 8");
    manifest.runs[4].tier = 0;
    assert_broken(&manifest, "tier 0 stands behind tier 1");
    manifest.runs[4].tier = 1;
    ck_kv(kv_manifest_check(&manifest));
    manifest.runs[0].segments[0].min_key.data[0]++;
    assert_broken(&manifest, "segment 8: first key is past the last");
    manifest.runs[0].segments[0].min_key.data[0]--;
    manifest.groups[0].segments[0].min_key.data[0] = 'i';
    assert_broken(&manifest, "segment 20: first key is past the last");
    kv_manifest_release(&manifest);
}
END_TEST

/* Goal: the limits themselves are allowed. */
START_TEST(test_manifest_check_allows_the_limits)
{
    struct kv_manifest manifest = manifest_full();
    struct kv_segment_info *info = &manifest.runs[3].segments[1];
    uint8_t longest[65535];

    memset(longest, 'n', sizeof(longest));
    manifest.generation = ((uint64_t)1 << 62) - 1;
    manifest.active.number = 99;
    manifest.active.start_lsn = manifest.active.base_lsn;
    ck_kv(kv_buffer_set(&info->max_key, kv_slice_of(longest, sizeof(longest))));
    info->record_count = 500;
    info->entry_count = 500;
    info->tombstone_count = 500;
    info->entry_bytes = 4000;
    info->dead_bytes = info->end_bytes;
    info->max_seq = 50;
    info->last_lsn = manifest.active.base_lsn;
    ck_kv(kv_manifest_check(&manifest));
    kv_manifest_release(&manifest);
}
END_TEST

/* Goal: a run or group without segments, which no encoder writes, is refused. */
START_TEST(test_manifest_check_refuses_empty_runs)
{
    struct kv_manifest manifest = manifest_full();
    size_t *counts[2] = {&manifest.runs[0].segment_count, &manifest.groups[0].segment_count};

    for (size_t i = 0; i < 2; i++) {
        *counts[i] = 0;
        ck_kv_is(kv_manifest_check(&manifest), KV_CORRUPT);
        ck_assert_ptr_nonnull(strstr(kv_message(), "no segments"));
        *counts[i] = 1;
    }
    kv_manifest_release(&manifest);
}
END_TEST

static void add_large_run(struct kv_manifest *manifest, size_t segment_count)
{
    struct kv_segment_info *segments = calloc(segment_count, sizeof(*segments));

    ck_assert_ptr_nonnull(segments);
    for (size_t i = 0; i < segment_count; i++) {
        char key[16];

        snprintf(key, sizeof(key), "%05u", (unsigned)i);
        segments[i] = manifest_segment(1, key, key);
        segments[i].number = 50 + i;
    }
    ck_kv(kv_manifest_replace_runs(manifest, 0, 0, 0, segments, segment_count));
    free(segments);
}

START_TEST(test_manifest_check_encode_refuses_too_many_segments)
{
    struct kv_manifest manifest = manifest_empty();
    struct kv_segment_info info = manifest_segment(1, "a", "b");
    struct kv_buffer bytes = {0};

    manifest.next_number = 100000;
    add_large_run(&manifest, KV_SEGMENT_COUNT_MAX);
    ck_kv(kv_manifest_encode(&manifest, &bytes));
    kv_buffer_release(&bytes);
    ck_kv(kv_manifest_add_run(&manifest, 0, &info));
    ck_kv_is(kv_manifest_encode(&manifest, &bytes), KV_TOOBIG);
    ck_assert_ptr_nonnull(strstr(kv_message(), "kv_compact()"));
    ck_kv_is(kv_manifest_check(&manifest), KV_CORRUPT);
    kv_manifest_release(&manifest);
    kv_buffer_release(&bytes);
}
END_TEST

/* Method: the schema only claims to be so large; it is refused before it is read. */
START_TEST(test_manifest_check_encode_refuses_too_many_bytes)
{
    struct kv_manifest manifest = manifest_empty();
    struct kv_buffer bytes = {0};

    manifest.schema.size = KV_MANIFEST_MAX_BYTES;
    ck_kv_is(kv_manifest_encode(&manifest, &bytes), KV_TOOBIG);
    ck_assert_ptr_nonnull(strstr(kv_message(), "kv_compact()"));
    ck_assert_uint_eq(bytes.size, 0);
    kv_manifest_release(&manifest);
    kv_buffer_release(&bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manifest_check");
    TCase *rules = tcase_create("rules");

    tcase_set_timeout(rules, 60);
    tcase_add_test(rules, test_manifest_check_enforces_each_rule);
    tcase_add_test(rules, test_manifest_check_enforces_order);
    tcase_add_test(rules, test_manifest_check_allows_the_limits);
    tcase_add_test(rules, test_manifest_check_refuses_empty_runs);
    tcase_add_test(rules, test_manifest_check_encode_refuses_too_many_segments);
    tcase_add_test(rules, test_manifest_check_encode_refuses_too_many_bytes);
    suite_add_tcase(suite, rules);
    return kv_run_suite(suite);
}
