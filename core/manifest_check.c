/*
 * The rules that make a manifest VALID (manifest.h), checked on the value: after
 * decoding, because bytes from disk may say anything, and before encoding, so
 * that no store is ever left with a manifest that it refuses to read.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "manifest.h"
#include "record.h"

/* Sums of counters and sizes of files stay far from 2^64. */
#define COUNTER_LIMIT ((uint64_t)1 << 62)

/* checksum, kind, seq, key size and one byte of key: no record is shorter. */
enum { RECORD_MIN_BYTES = 8 };

static int compare_numbers(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

/* Sorts `numbers`. The smallest that occurs twice, or 0 (which is none) if all differ. */
static uint64_t find_duplicate(uint64_t *numbers, size_t count)
{
    qsort(numbers, count, sizeof(*numbers), compare_numbers);
    for (size_t i = 1; i < count; i++) {
        if (numbers[i] == numbers[i - 1])
            return numbers[i];
    }
    return 0;
}

/* ---- One segment */

static bool key_size_is_valid(const struct kv_buffer *key)
{
    return key->size >= 1 && key->size <= KV_KEY_MAX_BYTES;
}

static enum kv_status fail_segment(const struct kv_segment_info *info, const char *problem)
{
    return kv_fail(KV_CORRUPT, "segment %" PRIu64 ": %s", info->number, problem);
}

static enum kv_status check_totals(const struct kv_segment_info *info)
{
    uint64_t record_bytes = info->end_bytes - KV_HEADER_BYTES;

    if (info->entry_count < 1 || info->entry_count > info->record_count)
        return fail_segment(info, "number of entries is not between 1 and that of records");
    if (info->tombstone_count > info->entry_count)
        return fail_segment(info, "more tombstones than entries");
    if (info->entry_bytes > record_bytes)
        return fail_segment(info, "entries are larger than the file");
    if (info->dead_bytes > info->end_bytes)
        return fail_segment(info, "dead bytes exceed its length");
    return KV_OK;
}

static enum kv_status check_keys(const struct kv_segment_info *info)
{
    if (!key_size_is_valid(&info->min_key) || !key_size_is_valid(&info->max_key))
        return fail_segment(info, "size of its first or last key is outside the limits of keys");
    if (kv_slice_compare(kv_buffer_slice(&info->min_key), kv_buffer_slice(&info->max_key)) > 0)
        return fail_segment(info, "first key is past the last");
    return KV_OK;
}

/* What is known of every segment. */
static enum kv_status check_file(const struct kv_segment_info *info, uint64_t next_number)
{
    if (info->number == 0 || info->number >= next_number)
        return kv_fail(KV_CORRUPT, "segment %" PRIu64 ": number is not between 1 and %" PRIu64,
                       info->number, next_number - 1);
    if (info->end_bytes < KV_HEADER_BYTES || info->end_bytes > KV_SEGMENT_MAX_BYTES)
        return fail_segment(info, "length is outside the limits of a segment");
    if (info->record_count > (info->end_bytes - KV_HEADER_BYTES) / RECORD_MIN_BYTES)
        return fail_segment(info, "more records than its length has room for");
    if ((info->max_seq | info->last_lsn) >= COUNTER_LIMIT)
        return fail_segment(info, "seq or LSN is over the limit");
    if (info->min_seq > info->max_seq)
        return fail_segment(info, "first seq is past the last");
    if (info->first_lsn > info->last_lsn)
        return fail_segment(info, "first LSN is past the last");
    return KV_OK;
}

static enum kv_status check_segment(const struct kv_segment_info *info, uint64_t next_number)
{
    if (check_file(info, next_number) != KV_OK || check_totals(info) != KV_OK)
        return KV_CORRUPT;
    return check_keys(info);
}

/* Sealed segments are older than the active log. */
static enum kv_status check_age(const struct kv_manifest *manifest,
                                const struct kv_segment_info *info)
{
    if (info->max_seq > manifest->last_seq)
        return fail_segment(info, "last seq is past that of the store");
    if (info->last_lsn > manifest->active.base_lsn)
        return fail_segment(info, "last LSN is past the start of the active log");
    return KV_OK;
}

static enum kv_status check_unindexed(const struct kv_manifest *manifest)
{
    const struct kv_segment_info *info = &manifest->unindexed;

    if (!kv_manifest_has_unindexed(manifest))
        return KV_OK;
    if (check_file(info, manifest->next_number) != KV_OK || check_age(manifest, info) != KV_OK)
        return KV_CORRUPT;
    if ((info->entry_count | info->tombstone_count | info->entry_bytes | info->dead_bytes |
         info->min_key.size | info->max_key.size) != 0)
        return fail_segment(info, "totals or keys of a log without index");
    if (info->record_count == 0)
        return fail_segment(info, "no records");
    if (info->last_lsn - info->first_lsn != info->end_bytes - KV_HEADER_BYTES)
        return fail_segment(info, "its LSNs are not as many as its bytes");
    return KV_OK;
}

/* ---- Runs and groups */

static enum kv_status check_run_segments(const struct kv_manifest *manifest,
                                         const struct kv_run *run)
{
    for (size_t i = 0; i < run->segment_count; i++) {
        const struct kv_segment_info *info = &run->segments[i];

        if (check_segment(info, manifest->next_number) != KV_OK)
            return KV_CORRUPT;
        if (check_age(manifest, info) != KV_OK)
            return KV_CORRUPT;
        if (i > 0 && kv_slice_compare(kv_buffer_slice(&info[-1].max_key),
                                      kv_buffer_slice(&info->min_key)) >= 0)
            return fail_segment(info, "keys do not lie past those of the segment before it");
    }
    return KV_OK;
}

static enum kv_status check_runs(const struct kv_manifest *manifest)
{
    unsigned tier = 0;

    for (size_t i = 0; i < manifest->run_count; i++) {
        const struct kv_run *run = &manifest->runs[i];

        if (run->segment_count == 0)
            return kv_fail(KV_CORRUPT, "run %zu: no segments", i);
        if (run->tier >= KV_TIER_COUNT)
            return kv_fail(KV_CORRUPT, "run %zu: tier %u is over the limit of %d", i, run->tier,
                           KV_TIER_COUNT - 1);
        if (run->tier < tier)
            return kv_fail(KV_CORRUPT, "run %zu: tier %u stands behind tier %u of a newer run", i,
                           run->tier, tier);
        if (run->merge_id > manifest->last_merge_id)
            return kv_fail(KV_CORRUPT, "run %zu: merge id is past the last one", i);
        if (run->has_low && !key_size_is_valid(&run->low))
            return kv_fail(KV_CORRUPT, "run %zu: size of low is outside the limits of keys", i);
        if (check_run_segments(manifest, run) != KV_OK)
            return KV_CORRUPT;
        tier = run->tier;
    }
    return KV_OK;
}

static enum kv_status check_groups(const struct kv_manifest *manifest)
{
    for (size_t i = 0; i < manifest->group_count; i++) {
        const struct kv_pending_group *group = &manifest->groups[i];

        if (group->id == 0 || (group->id | group->commit_lsn) >= COUNTER_LIMIT)
            return kv_fail(KV_CORRUPT, "pending group %zu: id or LSN is outside the limits", i);
        if (group->segment_count == 0)
            return kv_fail(KV_CORRUPT, "pending group %zu: no segments", i);
        for (size_t k = 0; k < group->segment_count; k++) {
            if (check_segment(&group->segments[k], manifest->next_number) != KV_OK)
                return KV_CORRUPT;
        }
    }
    return KV_OK;
}

/* ---- The whole */

static enum kv_status check_counters(const struct kv_manifest *manifest)
{
    uint64_t start_offset = manifest->active.start_lsn - manifest->active.base_lsn;
    uint64_t all = manifest->generation | manifest->next_number | manifest->last_seq |
                   manifest->active.base_lsn | manifest->active.start_lsn |
                   manifest->last_merge_id | manifest->compaction_count |
                   manifest->log_bytes_written | manifest->merge_bytes_written;

    if (all >= COUNTER_LIMIT)
        return kv_fail(KV_CORRUPT, "a counter is over the limit");
    if (manifest->generation == 0)
        return kv_fail(KV_CORRUPT, "generation is 0");
    if (manifest->active.number == 0 || manifest->active.number >= manifest->next_number)
        return kv_fail(KV_CORRUPT, "number of the active log is not below the next number");
    /* An LSN before the base wraps round to an offset that no file has. */
    if (start_offset > KV_SEGMENT_MAX_BYTES - KV_HEADER_BYTES)
        return kv_fail(KV_CORRUPT, "start LSN of the active log lies outside of it");
    return KV_OK;
}

static size_t collect_numbers(const struct kv_manifest *manifest, uint64_t *numbers)
{
    size_t count = 0;

    numbers[count++] = manifest->active.number;
    if (kv_manifest_has_unindexed(manifest))
        numbers[count++] = manifest->unindexed.number;
    for (size_t i = 0; i < manifest->run_count; i++) {
        for (size_t k = 0; k < manifest->runs[i].segment_count; k++)
            numbers[count++] = manifest->runs[i].segments[k].number;
    }
    for (size_t i = 0; i < manifest->group_count; i++) {
        for (size_t k = 0; k < manifest->groups[i].segment_count; k++)
            numbers[count++] = manifest->groups[i].segments[k].number;
    }
    return count;
}

/* All segments are there and counted: each group has one, so `numbers` has room for the ids too. */
static enum kv_status check_unique(const struct kv_manifest *manifest, size_t segment_count)
{
    uint64_t *numbers = malloc((segment_count + 1) * sizeof(*numbers));
    uint64_t duplicate;
    enum kv_status st = KV_OK;

    if (!numbers)
        return kv_fail_nomem();
    duplicate = find_duplicate(numbers, collect_numbers(manifest, numbers));
    if (duplicate) {
        st = kv_fail(KV_CORRUPT, "segment %" PRIu64 " is listed twice", duplicate);
        goto out;
    }
    for (size_t i = 0; i < manifest->group_count; i++)
        numbers[i] = manifest->groups[i].id;
    duplicate = find_duplicate(numbers, manifest->group_count);
    if (duplicate)
        st = kv_fail(KV_CORRUPT, "pending group %" PRIu64 " is listed twice", duplicate);
out:
    free(numbers);
    return st;
}

enum kv_status kv_manifest_check(const struct kv_manifest *manifest)
{
    size_t segment_count = kv_manifest_segment_count(manifest);

    if (segment_count > KV_SEGMENT_COUNT_MAX)
        return kv_fail(KV_CORRUPT, "%zu segments are over the limit of %d", segment_count,
                       KV_SEGMENT_COUNT_MAX);
    if (check_counters(manifest) != KV_OK || check_unindexed(manifest) != KV_OK ||
        check_runs(manifest) != KV_OK || check_groups(manifest) != KV_OK)
        return KV_CORRUPT;
    return check_unique(manifest, segment_count);
}
