/* Manifests to test with (manifest_fixture.h). */
#include "manifest_fixture.h"

#include <stdlib.h>

#include "runner.h"

void manifest_set_text(struct kv_buffer *buffer, const char *text)
{
    ck_kv(kv_buffer_set(buffer, kv_slice_text(text)));
}

struct kv_segment_info manifest_segment(uint64_t number, const char *min_key, const char *max_key)
{
    struct kv_segment_info info = {
        .number = number,
        .salt = 0x1111111111111111u * number,
        .end_bytes = KV_HEADER_BYTES + 1000 * number,
        .digest = ~number,
        .record_count = 12,
        .entry_count = 10,
        .tombstone_count = 3,
        .entry_bytes = 500,
        .dead_bytes = 100 * number,
        .min_seq = number,
        .max_seq = number + 1,
        .min_time_ms = 1700000000000 + number,
        .max_time_ms = 1700000001000 + number,
        .first_lsn = 10000 * number,
        .last_lsn = 10000 * number + 900,
    };

    manifest_set_text(&info.min_key, min_key);
    manifest_set_text(&info.max_key, max_key);
    return info;
}

struct kv_manifest manifest_empty(void)
{
    struct kv_manifest manifest = {
        .uuid = "0123456789abcde",
        .lineage = 7,
        .hash_seed = 0xfeedfacecafebeef,
        .generation = 3,
        .next_number = 100,
        .last_seq = 50,
        .active = {.number = 9,
                   .salt = 77,
                   .base_lsn = 1000000,
                   .previous_digest = 88,
                   .start_lsn = 1000400},
        .last_merge_id = 5,
        .compaction_count = 6,
        .log_bytes_written = 123456,
        .merge_bytes_written = 654321,
    };

    manifest_set_text(&manifest.schema, "(k INTEGER PRIMARY KEY, v)");
    return manifest;
}

static void add_group(struct kv_manifest *manifest)
{
    manifest->groups = calloc(2, sizeof(*manifest->groups));
    ck_assert_ptr_nonnull(manifest->groups);
    manifest->group_count = 2;
    for (size_t i = 0; i < 2; i++) {
        struct kv_pending_group *group = &manifest->groups[i];

        group->id = 31 + i;
        group->digest = 99;
        group->commit_lsn = i ? 1000500 : 0;
        group->segments = calloc(1, sizeof(*group->segments));
        ck_assert_ptr_nonnull(group->segments);
        group->segments[0] = manifest_segment(20 + i, "g", "h");
        group->segment_count = 1;
    }
}

/* What is known of a log before it is indexed. */
static struct kv_segment_info unindexed(uint64_t number)
{
    return (struct kv_segment_info){
        .number = number,
        .salt = 55,
        .end_bytes = KV_HEADER_BYTES + 900,
        .digest = 66,
        .record_count = 12,
        .min_seq = 48,
        .max_seq = 50,
        .min_time_ms = 1700000000001,
        .max_time_ms = 1700000000002,
        .first_lsn = 999000,
        .last_lsn = 999900,
    };
}

struct kv_manifest manifest_full(void)
{
    struct kv_manifest manifest = manifest_empty();
    struct kv_segment_info one[1] = {manifest_segment(3, "a", "z")};
    struct kv_segment_info two[2] = {manifest_segment(6, "a", "cc"),
                                     manifest_segment(4, "cd", "m")};

    ck_kv(kv_manifest_add_run(&manifest, 3, &one[0]));
    ck_kv(kv_manifest_replace_runs(&manifest, 0, 0, 1, two, 2));
    one[0] = manifest_segment(5, "b", "y");
    ck_kv(kv_manifest_add_run(&manifest, 0, &one[0]));
    manifest.runs[0].merge_id = 5;
    manifest.runs[0].has_low = true;
    manifest_set_text(&manifest.runs[0].low, "m");
    manifest.runs[1].merge_id = 5;
    for (uint64_t number = 7; number <= 8; number++) {
        one[0] = manifest_segment(number, "k", "k");
        ck_kv(kv_manifest_add_run(&manifest, 0, &one[0]));
    }
    add_group(&manifest);
    manifest.unindexed = unindexed(10);
    manifest.compatible_features = 0x8000000000000001;
    manifest.is_backup = true;
    return manifest;
}

struct kv_buffer manifest_encoded(const struct kv_manifest *manifest)
{
    struct kv_buffer bytes = {0};

    ck_kv(kv_manifest_encode(manifest, &bytes));
    return bytes;
}

struct kv_buffer manifest_encoded_full(void)
{
    struct kv_manifest manifest = manifest_full();
    struct kv_buffer bytes = manifest_encoded(&manifest);

    kv_manifest_release(&manifest);
    return bytes;
}
