/* Sampling: every key of a small log, about SAMPLE_COUNT evenly spread ones of a large one. */
#include "estimate.h"

#include "hash.h"

enum { SAMPLE_COUNT = 1024 };

/* The segment of a run that covers `key`; NULL: none does. */
static struct kv_segment_info *covering(struct kv_run *run, struct kv_slice key)
{
    for (size_t i = 0; i < run->segment_count; i++) {
        struct kv_segment_info *info = &run->segments[i];

        if (kv_slice_compare(key, kv_buffer_slice(&info->max_key)) <= 0)
            return kv_slice_compare(key, kv_buffer_slice(&info->min_key)) >= 0 ? info : NULL;
    }
    return NULL;
}

static void add_dead(struct kv_segment_info *info, double bytes)
{
    uint64_t limit = info->end_bytes - KV_HEADER_BYTES;
    uint64_t dead = info->dead_bytes + (uint64_t)(bytes + 0.5);

    info->dead_bytes = dead < limit ? dead : limit;
}

/* One sampled record of `info`, which stands for `weight` of them: what does it supersede in older runs? */
static void add_sample(struct kv_version *version, struct kv_manifest *manifest,
                       struct kv_segment_info *info, uint64_t hash, const struct kv_entry *sample,
                       double weight)
{
    struct kv_entry older;
    size_t run;
    enum kv_status st =
        kv_version_get_in_runs(version, 0, version->run_count, hash, sample->key, &older, &run);

    if (st == KV_DONE && sample->deleted)
        add_dead(info, weight * sample->size_bytes);
    if (st == KV_OK) {
        struct kv_segment_info *segment = covering(&manifest->runs[run], sample->key);

        if (segment)
            add_dead(segment, weight * older.size_bytes);
    }
}

void kv_estimate_superseded(struct kv_version *version, struct kv_manifest *manifest,
                            struct kv_segment_info *info)
{
    struct kv_log *log = version->unindexed;
    uint64_t step = info->record_count / SAMPLE_COUNT;
    double weight;

    step += step == 0;
    /* Overwritten keys are sampled too often by as much as they were overwritten. */
    weight = (double)step * (double)info->entry_count / (double)info->record_count;
    for (uint64_t i = 0; i < info->record_count; i += step) {
        const struct kv_item *item = &log->memtable.items[i];
        struct kv_record record;
        struct kv_entry sample;

        if (kv_log_decode(log, item->offset_bytes, (uint32_t)info->end_bytes, &record) != KV_OK)
            continue;
        kv_entry_of(&sample, &record);
        add_sample(version, manifest, info, item->hash, &sample, weight);
    }
}

static void estimate_segment(struct kv_version *version, uint64_t hash_seed,
                             struct kv_manifest *manifest, struct kv_segment *segment,
                             struct kv_segment_info *info)
{
    uint64_t step = info->entry_count / SAMPLE_COUNT;

    step += step == 0;
    for (uint64_t i = 0; i < info->entry_count; i += step) {
        struct kv_entry sample;

        if (kv_segment_sample(segment, i, &sample) == KV_OK)
            add_sample(version, manifest, info, kv_hash(sample.key, hash_seed), &sample,
                       (double)step);
    }
}

void kv_estimate_superseded_by_group(struct kv_version *version, struct kv_manifest *manifest)
{
    size_t count = version->pending_count;

    for (size_t g = 0; g < manifest->group_count; g++) {
        struct kv_pending_group *group = &manifest->groups[g];

        for (size_t i = 0; i < group->segment_count && count > 0; i++)
            estimate_segment(version, manifest->hash_seed, manifest,
                             kv_run_segment(version->pending[--count].run, 0), &group->segments[i]);
    }
}

void kv_estimate_superseded_in_output(struct kv_version *version, size_t newer_count,
                                      const struct kv_place *place, struct kv_segment_info *info)
{
    uint64_t step = info->entry_count / SAMPLE_COUNT;
    struct kv_segment *segment;
    struct kv_entry sample, newer;

    if (newer_count == 0 || kv_segment_open(place, info, &segment) != KV_OK)
        return;
    step += step == 0;
    for (uint64_t i = 0; i < info->entry_count; i += step) {
        if (kv_segment_sample(segment, i, &sample) == KV_OK &&
            kv_version_get_in_runs(version, 0, newer_count, kv_hash(sample.key, place->hash_seed),
                                   sample.key, &newer, NULL) == KV_OK)
            add_dead(info, (double)step * (double)sample.size_bytes);
    }
    kv_segment_unref(segment);
}
