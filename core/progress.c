/* How far a merge has come: see progress.h. */
#include "progress.h"

uint64_t kv_progress_left(struct kv_version *version, size_t first, size_t count,
                          struct kv_slice key)
{
    uint64_t bytes = 0;

    for (size_t r = first; r < first + count; r++) {
        const struct kv_run_reader *run = version->runs[r];

        for (size_t s = 0; s < kv_run_segment_count(run); s++)
            bytes += kv_segment_bytes_past(kv_run_segment(run, s), key);
    }
    return bytes;
}

uint64_t kv_progress_run_bytes(const struct kv_run *run)
{
    uint64_t bytes = 0;

    for (size_t s = 0; s < run->segment_count; s++)
        bytes += run->segments[s].end_bytes;
    return bytes;
}

struct kv_progress kv_progress_of_open(struct kv_version *version,
                                       const struct kv_manifest *manifest,
                                       const struct kv_choice *resume)
{
    const struct kv_run *output;
    struct kv_slice done_up_to;

    if (resume->action != KV_ACTION_RESUME)
        return (struct kv_progress){0};
    output = &manifest->runs[resume->first_run + resume->run_count - 1];
    done_up_to = kv_buffer_slice(&output->segments[output->segment_count - 1].max_key);
    return (struct kv_progress){
        .merge_id = output->merge_id,
        .first_run = resume->first_run,
        .run_count = resume->run_count,
        .written_bytes = kv_progress_run_bytes(output),
        .left_bytes =
            kv_progress_left(version, resume->first_run, resume->run_count - 1, done_up_to),
    };
}

struct kv_progress kv_progress_of_merging(const struct kv_merging *merging,
                                          const struct kv_manifest *manifest)
{
    size_t first = kv_manifest_find_run(manifest, merging->first);
    size_t last = kv_manifest_find_run(manifest, merging->last);

    /* The engine notes it until the step is over, which the manifest may be already. */
    if (merging->id == 0 || first == SIZE_MAX || last == SIZE_MAX)
        return (struct kv_progress){0};
    return (struct kv_progress){.merge_id = merging->id,
                                .first_run = first,
                                .run_count = last - first + 1,
                                .written_bytes = merging->written_bytes,
                                .left_bytes = merging->left_bytes};
}

void kv_progress_note(struct kv_engine *engine, const struct kv_merging *merging)
{
    pthread_mutex_lock(&engine->mutex);
    engine->merging = merging ? *merging : (struct kv_merging){0};
    pthread_mutex_unlock(&engine->mutex);
}
