/*
 * The manifest as a value: release, copy, edits.
 *
 * A manifest owns its runs and groups, they own their segments' descriptions,
 * and those their keys. Every edit first gets all the memory it needs, then
 * moves pointers, which cannot fail; so a failed edit has changed nothing.
 */
#include "manifest.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void release_segments(struct kv_segment_info *segments, size_t count)
{
    for (size_t i = 0; i < count; i++)
        kv_segment_info_release(&segments[i]);
    free(segments);
}

static void release_run(struct kv_run *run)
{
    kv_buffer_release(&run->low);
    release_segments(run->segments, run->segment_count);
    *run = (struct kv_run){0};
}

static void release_groups(struct kv_manifest *manifest)
{
    for (size_t i = 0; i < manifest->group_count; i++)
        release_segments(manifest->groups[i].segments, manifest->groups[i].segment_count);
    free(manifest->groups);
    manifest->groups = NULL;
    manifest->group_count = 0;
}

void kv_manifest_release(struct kv_manifest *manifest)
{
    for (size_t i = 0; i < manifest->run_count; i++)
        release_run(&manifest->runs[i]);
    free(manifest->runs);
    release_groups(manifest);
    kv_segment_info_release(&manifest->unindexed);
    kv_buffer_release(&manifest->schema);
    *manifest = (struct kv_manifest){0};
}

/* ---- Copying. Counts follow what has been copied, so that a release in the middle is right. */

static enum kv_status copy_segments(struct kv_segment_info **to, size_t *to_count,
                                    const struct kv_segment_info *from, size_t count)
{
    *to_count = 0;
    *to = calloc(count ? count : 1, sizeof(**to));
    if (!*to)
        return kv_fail_nomem();
    for (size_t i = 0; i < count; i++) {
        if (kv_segment_info_copy(&(*to)[i], &from[i]) != KV_OK)
            return KV_NOMEM;
        *to_count = i + 1;
    }
    return KV_OK;
}

static enum kv_status copy_run(struct kv_run *to, const struct kv_run *from)
{
    *to = *from;
    to->low = (struct kv_buffer){0};
    to->segments = NULL;
    to->segment_count = 0;
    if (from->has_low && kv_buffer_set(&to->low, kv_buffer_slice(&from->low)) != KV_OK)
        return KV_NOMEM;
    return copy_segments(&to->segments, &to->segment_count, from->segments, from->segment_count);
}

static enum kv_status copy_runs(struct kv_manifest *to, const struct kv_manifest *from)
{
    to->runs = calloc(from->run_count ? from->run_count : 1, sizeof(*to->runs));
    if (!to->runs)
        return kv_fail_nomem();
    for (size_t i = 0; i < from->run_count; i++) {
        to->run_count = i + 1;
        if (copy_run(&to->runs[i], &from->runs[i]) != KV_OK)
            return KV_NOMEM;
    }
    return KV_OK;
}

static enum kv_status copy_groups(struct kv_manifest *to, const struct kv_manifest *from)
{
    to->groups = calloc(from->group_count ? from->group_count : 1, sizeof(*to->groups));
    if (!to->groups)
        return kv_fail_nomem();
    for (size_t i = 0; i < from->group_count; i++) {
        const struct kv_pending_group *group = &from->groups[i];

        to->groups[i] = *group;
        to->group_count = i + 1;
        if (copy_segments(&to->groups[i].segments, &to->groups[i].segment_count, group->segments,
                          group->segment_count) != KV_OK)
            return KV_NOMEM;
    }
    return KV_OK;
}

enum kv_status kv_manifest_copy(struct kv_manifest *to, const struct kv_manifest *from)
{
    *to = *from;
    to->schema = (struct kv_buffer){0};
    to->unindexed = (struct kv_segment_info){0};
    to->runs = NULL;
    to->run_count = 0;
    to->groups = NULL;
    to->group_count = 0;
    if (kv_buffer_set(&to->schema, kv_buffer_slice(&from->schema)) == KV_OK &&
        kv_segment_info_copy(&to->unindexed, &from->unindexed) == KV_OK &&
        copy_runs(to, from) == KV_OK && copy_groups(to, from) == KV_OK)
        return KV_OK;
    kv_manifest_release(to);
    return KV_NOMEM;
}

/* ---- Edits */

/* Room for one more run; the manifest's meaning does not change. */
static enum kv_status reserve_run(struct kv_manifest *manifest)
{
    struct kv_run *runs =
        realloc(manifest->runs, (manifest->run_count + 1) * sizeof(*manifest->runs));

    if (!runs)
        return kv_fail_nomem();
    manifest->runs = runs;
    return KV_OK;
}

/* Put `run` (none if NULL) in place of runs that have been emptied; there is room. */
static void splice_run(struct kv_manifest *manifest, size_t first, size_t count,
                       const struct kv_run *run)
{
    size_t added = run ? 1 : 0;
    size_t after = manifest->run_count - first - count;

    if (after > 0)
        memmove(&manifest->runs[first + added], &manifest->runs[first + count],
                after * sizeof(*manifest->runs));
    if (run)
        manifest->runs[first] = *run;
    manifest->run_count = first + added + after;
}

enum kv_status kv_manifest_add_run(struct kv_manifest *manifest, unsigned tier,
                                   struct kv_segment_info *info)
{
    enum kv_status st = kv_manifest_replace_runs(manifest, 0, 0, tier, info, 1);

    if (st == KV_OK)
        *info = (struct kv_segment_info){0};
    return st;
}

enum kv_status kv_manifest_replace_runs(struct kv_manifest *manifest, size_t first, size_t count,
                                        unsigned tier, struct kv_segment_info *segments,
                                        size_t segment_count)
{
    struct kv_run run = {.tier = tier, .segment_count = segment_count};

    assert(first <= manifest->run_count && count <= manifest->run_count - first);
    if (segment_count > 0) {
        if (reserve_run(manifest) != KV_OK)
            return KV_NOMEM;
        run.segments = malloc(segment_count * sizeof(*segments));
        if (!run.segments)
            return kv_fail_nomem();
        memcpy(run.segments, segments, segment_count * sizeof(*segments));
    }
    for (size_t i = first; i < first + count; i++)
        release_run(&manifest->runs[i]);
    splice_run(manifest, first, count, segment_count > 0 ? &run : NULL);
    return KV_OK;
}

enum kv_status kv_manifest_join_runs(struct kv_manifest *manifest, size_t first, size_t count,
                                     unsigned tier)
{
    struct kv_run run = {.tier = tier};
    size_t segment_count = 0;

    assert(count > 0);
    assert(first <= manifest->run_count && count <= manifest->run_count - first);
    for (size_t i = first; i < first + count; i++) {
        assert(manifest->runs[i].merge_id == 0);
        assert(!manifest->runs[i].has_low || i == first + count - 1);
        segment_count += manifest->runs[i].segment_count;
    }
    run.segments = malloc(segment_count * sizeof(*run.segments));
    if (!run.segments)
        return kv_fail_nomem();

    /* The oldest run holds the lowest keys, and so the only `low` that may stay. */
    for (size_t i = first + count; i-- > first;) {
        struct kv_run *from = &manifest->runs[i];

        memcpy(&run.segments[run.segment_count], from->segments,
               from->segment_count * sizeof(*run.segments));
        run.segment_count += from->segment_count;
        if (from->has_low) {
            run.has_low = true;
            run.low = from->low;
        }
        free(from->segments);
    }
    splice_run(manifest, first, count, &run);
    return KV_OK;
}

enum kv_status kv_manifest_set_group(struct kv_manifest *manifest, struct kv_pending_group *group)
{
    struct kv_pending_group *groups = NULL;

    if (group) {
        groups = malloc(sizeof(*groups));
        if (!groups)
            return kv_fail_nomem();
        *groups = *group;
        *group = (struct kv_pending_group){0};
    }
    release_groups(manifest);
    manifest->groups = groups;
    manifest->group_count = groups ? 1 : 0;
    return KV_OK;
}

enum kv_status kv_manifest_settle_groups(struct kv_manifest *manifest)
{
    for (size_t i = 0; i < manifest->group_count; i++) {
        struct kv_pending_group *group = &manifest->groups[i];

        /* What has been moved is left empty, so that a failure half-way loses nothing. */
        for (size_t k = 0; k < group->segment_count; k++) {
            enum kv_status st = kv_manifest_add_run(manifest, 0, &group->segments[k]);

            if (st != KV_OK)
                return st;
        }
    }
    release_groups(manifest);
    return KV_OK;
}

/* ---- Questions */

size_t kv_manifest_segment_count(const struct kv_manifest *manifest)
{
    size_t count = kv_manifest_has_unindexed(manifest);

    for (size_t i = 0; i < manifest->run_count; i++)
        count += manifest->runs[i].segment_count;
    for (size_t i = 0; i < manifest->group_count; i++)
        count += manifest->groups[i].segment_count;
    return count;
}

size_t kv_manifest_find_run(const struct kv_manifest *manifest, uint64_t segment_number)
{
    for (size_t i = 0; i < manifest->run_count; i++) {
        const struct kv_run *run = &manifest->runs[i];

        for (size_t k = 0; k < run->segment_count; k++) {
            if (run->segments[k].number == segment_number)
                return i;
        }
    }
    return SIZE_MAX;
}

bool kv_manifest_has_sealed(const struct kv_manifest *manifest, uint64_t segment_number)
{
    for (size_t i = 0; i < manifest->group_count; i++) {
        const struct kv_pending_group *group = &manifest->groups[i];

        for (size_t k = 0; k < group->segment_count; k++) {
            if (group->segments[k].number == segment_number)
                return true;
        }
    }
    return (kv_manifest_has_unindexed(manifest) && manifest->unindexed.number == segment_number) ||
           kv_manifest_find_run(manifest, segment_number) != SIZE_MAX;
}
