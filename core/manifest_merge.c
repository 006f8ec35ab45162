/* The steps of a merge, as edits of the manifest: see rewrite.h for what holds between them. */
#include <assert.h>
#include <stdlib.h>

#include "manifest.h"
#include "mutant.h"

/* Add a segment to a run. Takes `*info` over. */
static enum kv_status append(struct kv_run *run, struct kv_segment_info *info)
{
    struct kv_segment_info *segments =
        realloc(run->segments, (run->segment_count + 1) * sizeof(*segments));

    if (!segments)
        return kv_fail_nomem();
    run->segments = segments;
    segments[run->segment_count++] = *info;
    *info = (struct kv_segment_info){0};
    return KV_OK;
}

/* Hide keys up to `low` in an input; what is hidden already stays so. */
static enum kv_status raise_low(struct kv_run *run, struct kv_slice low)
{
    size_t dropped = 0;

    if (run->has_low &&
        (kv_slice_compare(kv_buffer_slice(&run->low), low) >= 0 || KV_MUTANT(low_not_raised)))
        low = kv_buffer_slice(&run->low);
    else if (kv_buffer_set(&run->low, low) != KV_OK)
        return KV_NOMEM;
    run->has_low = true;
    while (dropped < run->segment_count &&
           kv_slice_compare(kv_buffer_slice(&run->segments[dropped].max_key), low) <= 0)
        kv_segment_info_release(&run->segments[dropped++]);
    run->segment_count -= dropped;
    memmove(run->segments, run->segments + dropped, run->segment_count * sizeof(*run->segments));
    return KV_OK;
}

/* Make a run for the output, behind the inputs. */
static enum kv_status begin_output(struct kv_manifest *manifest, const struct kv_merge_step *step,
                                   struct kv_segment_info *output)
{
    size_t behind = step->first + step->input_count;
    enum kv_status st = kv_manifest_replace_runs(manifest, behind, 0, step->tier, output, 1);

    if (st == KV_OK)
        *output = (struct kv_segment_info){0};
    return st;
}

/* Give the inputs up, or what of them is hidden as a whole; how many are left. */
static enum kv_status shorten_inputs(struct kv_manifest *manifest, const struct kv_merge_step *step,
                                     size_t *left)
{
    size_t i = step->first, end = step->first + step->input_count;

    while (i < end) {
        struct kv_run *run = &manifest->runs[i];

        if (!step->is_last && raise_low(run, step->done_up_to) != KV_OK)
            return kv_fail_nomem();
        if (step->is_last || run->segment_count == 0) {
            enum kv_status st = kv_manifest_replace_runs(manifest, i, 1, 0, NULL, 0);

            if (st != KV_OK)
                return st;
            end--;
        } else {
            i++;
        }
    }
    *left = end - step->first;
    return KV_OK;
}

enum kv_status kv_manifest_advance_merge(struct kv_manifest *manifest,
                                         const struct kv_merge_step *step,
                                         struct kv_segment_info *output)
{
    bool has_output = step->has_output || output->number != 0;
    uint64_t id = step->has_output ? manifest->runs[step->first + step->input_count].merge_id : 0;
    size_t left = 0;
    enum kv_status st = KV_OK;

    assert(step->is_last || has_output);
    if (output->number != 0)
        st = step->has_output ? append(&manifest->runs[step->first + step->input_count], output)
                              : begin_output(manifest, step, output);
    if (st == KV_OK)
        st = shorten_inputs(manifest, step, &left);
    if (st != KV_OK || !has_output)
        return st;
    if (left == 0)
        id = 0;
    else if (id == 0)
        id = KV_MUTANT(merge_id_reused) && manifest->last_merge_id > 0 ? manifest->last_merge_id
                                                                       : ++manifest->last_merge_id;
    for (size_t i = step->first; i <= step->first + left; i++)
        manifest->runs[i].merge_id = id;
    return KV_OK;
}
