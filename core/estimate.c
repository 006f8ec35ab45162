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

void kv_estimate_superseded(struct kv_version *version, struct kv_manifest *manifest,
                            struct kv_segment_info *info)
{
    struct kv_log *log = version->log;
    uint64_t step = info->record_count / SAMPLE_COUNT;
    double weight;

    step += step == 0;
    /* Overwritten keys are sampled too often by as much as they were overwritten. */
    weight = (double)step * (double)info->entry_count / (double)info->record_count;
    for (uint64_t i = 0; i < info->record_count; i += step) {
        const struct kv_item *item = &log->memtable.items[i];
        struct kv_record record;
        struct kv_entry older;
        size_t run;
        enum kv_status st =
            kv_log_decode(log, item->offset_bytes, (uint32_t)info->end_bytes, &record);

        if (st == KV_OK)
            st = kv_version_get_in_runs(version, 0, version->run_count, item->hash, record.key,
                                        &older, &run);
        if (st == KV_DONE && record.kind == KV_DELETE)
            add_dead(info, weight * record.size_bytes);
        if (st == KV_OK) {
            struct kv_segment_info *segment = covering(&manifest->runs[run], record.key);

            if (segment)
                add_dead(segment, weight * older.size_bytes);
        }
    }
}
