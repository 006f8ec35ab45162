/* Carrying out a choice of the policy: see compact.h for what may be dropped, and why. */
#include "compact.h"

#include <stdlib.h>

#include "hash.h"
#include "merge.h"
#include "segment_writer.h"

enum {
    CHECK_EVERY_COUNT = 256, /* entries between questions for interruption */
    CHECK_EVERY_BYTES = 1024 * 1024,
    SAMPLE_EVERY_COUNT = 61,       /* entries between samples of what newer runs supersede */
    OUTPUT_RECORD_MAX = 1 << 21,   /* bounds the memory that an index takes to build */
    SPARE_BYTES = 8 * 1024 * 1024, /* left free on the device by a merge */
};

struct kv_policy kv_compact_policy(const struct kv_settings *settings)
{
    return (struct kv_policy){.fanout = settings->fanout,
                              .tier_count = settings->tiers,
                              .garbage_ratio = settings->garbage_ratio,
                              .max_segment_bytes = settings->max_segment_bytes};
}

/* One rewrite at work. */
struct rewrite {
    struct kv_engine *engine;
    const struct kv_settings *settings;
    struct kv_version *version;
    struct kv_manifest manifest; /* as of the start */
    size_t first, count;         /* the range, in `version` */
    struct kv_segment_writer_summary summary;
    uint64_t base_seq;

    struct kv_segment_writer *writer;         /* the output being written */
    struct kv_buffer low;                     /* last key of the output before */
    struct kv_buffer last;                    /* last key written */
    uint64_t sampled_bytes, superseded_bytes; /* of the output being written */

    struct kv_segment_info *outputs;
    size_t output_count;
    uint64_t written_bytes;
    uint64_t unchecked_count, unchecked_bytes;
};

static void rewrite_release(struct rewrite *rewrite, bool remove_outputs)
{
    kv_segment_writer_close(rewrite->writer);
    for (size_t i = 0; i < rewrite->output_count; i++) {
        if (remove_outputs)
            kv_place_remove_segment(&rewrite->engine->place, rewrite->outputs[i].number);
        kv_segment_info_release(&rewrite->outputs[i]);
    }
    free(rewrite->outputs);
    kv_buffer_release(&rewrite->low);
    kv_buffer_release(&rewrite->last);
    kv_manifest_release(&rewrite->manifest);
    kv_version_unref(rewrite->version);
}

static void lower(uint64_t *least, uint64_t value)
{
    if (value < *least)
        *least = value;
}

static void higher(uint64_t *most, uint64_t value)
{
    if (value > *most)
        *most = value;
}

/* What the output inherits from the range, and whether there is room for it. */
static enum kv_status summarise(struct rewrite *rewrite)
{
    struct kv_segment_writer_summary *summary = &rewrite->summary;
    uint64_t bytes = 0, free_bytes = 0;
    enum kv_status st;

    *summary =
        (struct kv_segment_writer_summary){.first_lsn = UINT64_MAX, .min_time_ms = UINT64_MAX};
    rewrite->base_seq = UINT64_MAX;
    for (size_t r = rewrite->first; r < rewrite->first + rewrite->count; r++) {
        const struct kv_run *run = &rewrite->manifest.runs[r];

        for (size_t s = 0; s < run->segment_count; s++) {
            const struct kv_segment_info *info = &run->segments[s];

            lower(&summary->first_lsn, info->first_lsn);
            higher(&summary->last_lsn, info->last_lsn);
            lower(&summary->min_time_ms, info->min_time_ms);
            higher(&summary->max_time_ms, info->max_time_ms);
            lower(&rewrite->base_seq, info->min_seq);
            bytes += info->end_bytes;
        }
    }
    st = kv_io_dir_free_bytes(rewrite->engine->place.dir, &free_bytes);
    if (st == KV_OK && free_bytes < bytes + bytes / 8 + SPARE_BYTES)
        st = kv_fail(KV_FULL,
                     "%s: compaction needs up to %llu bytes of free disk space, there are %llu; "
                     "nothing was changed",
                     rewrite->engine->path, (unsigned long long)(bytes + bytes / 8 + SPARE_BYTES),
                     (unsigned long long)free_bytes);
    return st;
}

static enum kv_status check_interrupted(struct rewrite *rewrite, const struct kv_entry *entry)
{
    const struct kv_settings *settings = rewrite->settings;

    rewrite->unchecked_bytes += entry->size_bytes;
    if (++rewrite->unchecked_count < CHECK_EVERY_COUNT &&
        rewrite->unchecked_bytes < CHECK_EVERY_BYTES)
        return KV_OK;
    rewrite->unchecked_count = rewrite->unchecked_bytes = 0;
    if (settings->interrupted && settings->interrupted(settings->interrupted_context))
        return kv_fail(KV_INTERRUPTED, "%s: compaction was interrupted", rewrite->engine->path);
    return KV_OK;
}

/* Now and then: would a newer run's version of this key win over this one? */
static void sample(struct rewrite *rewrite, const struct kv_entry *entry, uint64_t index)
{
    uint64_t hash;

    if (rewrite->first == 0 || index % SAMPLE_EVERY_COUNT != 0)
        return;
    hash = kv_hash(entry->key, rewrite->engine->place.hash_seed);
    rewrite->sampled_bytes += entry->size_bytes;
    if (kv_version_may_contain(rewrite->version, 0, rewrite->first, hash, entry->key))
        rewrite->superseded_bytes += entry->size_bytes;
}

/* A tombstone with nothing under it that it could hide. */
static bool is_needless(struct rewrite *rewrite, const struct kv_entry *entry)
{
    size_t older = rewrite->first + rewrite->count;

    return entry->deleted && !kv_version_may_contain(
                                 rewrite->version, older, rewrite->version->run_count - older,
                                 kv_hash(entry->key, rewrite->engine->place.hash_seed), entry->key);
}

/* Finish the output being written, if there is one. */
static enum kv_status finish_output(struct rewrite *rewrite, bool last_of_run)
{
    struct kv_segment_info info, *outputs;
    enum kv_status st;

    if (!rewrite->writer)
        return KV_OK;
    outputs = realloc(rewrite->outputs, (rewrite->output_count + 1) * sizeof(*outputs));
    if (!outputs)
        return kv_fail_nomem();
    rewrite->outputs = outputs;
    rewrite->summary.low = kv_buffer_slice(&rewrite->low);
    rewrite->summary.last_of_run = last_of_run;
    st = kv_segment_writer_finish(rewrite->writer, &rewrite->summary, &info);
    if (st != KV_OK)
        return st;
    if (rewrite->sampled_bytes > 0)
        info.dead_bytes = (uint64_t)((double)info.entry_bytes * (double)rewrite->superseded_bytes /
                                     (double)rewrite->sampled_bytes);
    rewrite->sampled_bytes = rewrite->superseded_bytes = 0;
    rewrite->written_bytes += info.end_bytes;
    outputs[rewrite->output_count++] = info;
    kv_segment_writer_close(rewrite->writer);
    rewrite->writer = NULL;
    return kv_buffer_set(&rewrite->low, kv_buffer_slice(&rewrite->last));
}

static bool is_full(const struct rewrite *rewrite, const struct kv_entry *entry)
{
    uint64_t limit = rewrite->settings->max_segment_bytes;

    if (limit > KV_SEGMENT_MAX_BYTES)
        limit = KV_SEGMENT_MAX_BYTES;
    /* The key interval behind the records takes two keys more, a varint seq a few bytes. */
    return kv_segment_writer_end_bytes(rewrite->writer) + entry->size_bytes + 16 +
                   2 * (uint64_t)KV_KEY_MAX_BYTES >
               KV_SEGMENT_MAX_BYTES ||
           kv_segment_writer_end_bytes(rewrite->writer) + entry->size_bytes > limit ||
           kv_segment_writer_record_count(rewrite->writer) >= OUTPUT_RECORD_MAX;
}

static enum kv_status open_output(struct rewrite *rewrite)
{
    struct kv_engine *engine = rewrite->engine;
    enum kv_status st = kv_engine_take_manifest(engine);

    if (st != KV_OK)
        return st;
    st = kv_segment_writer_open(&engine->place, kv_engine_new_number(engine), rewrite->base_seq,
                                &rewrite->writer);
    kv_engine_drop_manifest(engine);
    return st;
}

static enum kv_status write_entry(struct rewrite *rewrite, const struct kv_entry *entry)
{
    enum kv_status st = KV_OK;

    if (rewrite->writer && kv_segment_writer_record_count(rewrite->writer) > 0 &&
        is_full(rewrite, entry))
        st = finish_output(rewrite, false);
    if (st == KV_OK && !rewrite->writer)
        st = open_output(rewrite);
    if (st == KV_OK)
        st = kv_segment_writer_append(rewrite->writer, entry);
    if (st == KV_OK)
        st = kv_buffer_set(&rewrite->last, entry->key);
    return st;
}

static enum kv_status open_inputs(struct rewrite *rewrite, struct kv_iter **out)
{
    struct kv_iter **inputs = calloc(rewrite->count, sizeof(*inputs));
    size_t count = 0;
    enum kv_status st = inputs ? KV_OK : kv_fail_nomem();

    *out = NULL;
    while (st == KV_OK && count < rewrite->count) {
        st = kv_run_iter(rewrite->version->runs[rewrite->first + count], &inputs[count]);
        count += st == KV_OK;
    }
    if (st == KV_OK)
        st = kv_merge_open(inputs, count, out);
    else
        while (count > 0)
            kv_iter_free(inputs[--count]);
    free(inputs);
    return st;
}

/* Write the outputs. */
static enum kv_status copy_live(struct rewrite *rewrite)
{
    struct kv_iter *merged;
    struct kv_entry entry;
    uint64_t index = 0;
    enum kv_status st = open_inputs(rewrite, &merged);

    if (st == KV_OK)
        st = kv_iter_seek(merged, NULL, KV_FORWARD);
    while (st == KV_OK && (st = kv_iter_next(merged, &entry)) == KV_OK) {
        st = check_interrupted(rewrite, &entry);
        if (st != KV_OK || is_needless(rewrite, &entry))
            continue;
        sample(rewrite, &entry, index++);
        st = write_entry(rewrite, &entry);
    }
    kv_iter_free(merged);
    return st == KV_DONE ? finish_output(rewrite, true) : st;
}

/* Where the range stands in the manifest now: seals may have put newer runs before it. */
static enum kv_status find_range(const struct rewrite *rewrite, size_t *first)
{
    const struct kv_run *newest = &rewrite->manifest.runs[rewrite->first];

    *first = kv_manifest_find_run(&rewrite->engine->manifest, newest->segments[0].number);
    if (*first == SIZE_MAX || *first + rewrite->count > rewrite->engine->manifest.run_count)
        return kv_fail(KV_INVALID, "%s: the runs to compact are gone", rewrite->engine->path);
    return KV_OK;
}

/* Put the outputs in the place of the range, or, to join, the range itself as one run. */
static enum kv_status publish(struct rewrite *rewrite, const struct kv_choice *choice)
{
    struct kv_engine *engine = rewrite->engine;
    struct kv_manifest next = {0};
    struct kv_version *version = NULL;
    size_t first;
    enum kv_status st = kv_engine_take_manifest(engine);

    if (st != KV_OK)
        return st;
    st = find_range(rewrite, &first);
    if (st == KV_OK)
        st = kv_manifest_copy(&next, &engine->manifest);
    if (st == KV_OK && choice->action == KV_ACTION_JOIN)
        st = kv_manifest_join_runs(&next, first, choice->run_count, choice->tier);
    else if (st == KV_OK)
        st = kv_manifest_replace_runs(&next, first, choice->run_count, choice->tier,
                                      rewrite->outputs, rewrite->output_count);
    if (st == KV_OK) {
        if (choice->action != KV_ACTION_JOIN) {
            rewrite->output_count = 0; /* the manifest has taken the infos over */
            next.compaction_count++;
            next.merge_bytes_written += rewrite->written_bytes;
        }
        version = kv_engine_version(engine);
        st = kv_engine_install(engine, &next, version->log);
    }
    kv_version_unref(version);
    kv_manifest_release(&next);
    kv_engine_drop_manifest(engine);
    return st;
}

/* Note what is being merged, for those who ask; NULL: nothing any more. */
static void note_merging(struct kv_engine *engine, const struct rewrite *rewrite)
{
    uint64_t first = 0, last = 0;

    if (rewrite) {
        const struct kv_run *newest = &rewrite->manifest.runs[rewrite->first];
        const struct kv_run *oldest = newest + rewrite->count - 1;

        first = newest->segments[0].number;
        last = oldest->segments[oldest->segment_count - 1].number;
    }
    pthread_mutex_lock(&engine->mutex);
    engine->merging_first = first;
    engine->merging_last = last;
    pthread_mutex_unlock(&engine->mutex);
}

enum kv_status kv_compact_apply(struct kv_engine *engine, const struct kv_settings *settings,
                                const struct kv_choice *choice)
{
    struct rewrite rewrite = {.engine = engine,
                              .settings = settings,
                              .first = choice->first_run,
                              .count = choice->run_count};
    enum kv_status st;

    pthread_mutex_lock(&engine->mutex);
    rewrite.version = kv_version_ref(engine->version);
    st = kv_manifest_copy(&rewrite.manifest, &engine->manifest);
    pthread_mutex_unlock(&engine->mutex);
    if (st == KV_OK && choice->action != KV_ACTION_JOIN) {
        note_merging(engine, &rewrite);
        st = summarise(&rewrite);
        if (st == KV_OK)
            st = copy_live(&rewrite);
    }
    if (st == KV_OK)
        st = publish(&rewrite, choice);
    note_merging(engine, NULL);
    if (st == KV_OK && choice->action != KV_ACTION_JOIN) {
        atomic_fetch_add_explicit(&engine->counters.compactions, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&engine->counters.merge_bytes, rewrite.written_bytes,
                                  memory_order_relaxed);
    }
    rewrite_release(&rewrite, st != KV_OK);
    return st;
}

static struct kv_choice choose(struct kv_engine *engine, const struct kv_settings *settings)
{
    struct kv_policy policy = kv_compact_policy(settings);
    struct kv_choice choice;

    pthread_mutex_lock(&engine->mutex);
    choice = kv_policy_choose(&engine->manifest, &policy);
    pthread_mutex_unlock(&engine->mutex);
    return choice;
}

enum kv_status kv_compact_by_policy(struct kv_engine *engine, const struct kv_settings *settings)
{
    enum kv_status st = KV_OK;

    while (st == KV_OK) {
        struct kv_choice choice = choose(engine, settings);

        if (choice.action == KV_ACTION_NONE)
            return KV_OK;
        st = kv_compact_apply(engine, settings, &choice);
    }
    return st;
}

/* Is there anything that a rewrite of everything would drop or join? */
static bool worth_compacting(const struct kv_manifest *manifest)
{
    if (manifest->run_count != 1)
        return manifest->run_count > 1;
    for (size_t i = 0; i < manifest->runs[0].segment_count; i++) {
        const struct kv_segment_info *info = &manifest->runs[0].segments[i];

        if (info->dead_bytes > 0 || info->tombstone_count > 0 ||
            info->record_count > info->entry_count)
            return true;
    }
    return false;
}

enum kv_status kv_compact_all(struct kv_engine *engine, const struct kv_settings *settings)
{
    struct kv_choice choice = {.action = KV_ACTION_REWRITE};
    bool worth;

    pthread_mutex_lock(&engine->mutex);
    worth = worth_compacting(&engine->manifest);
    choice.run_count = engine->manifest.run_count;
    if (choice.run_count > 0)
        choice.tier = engine->manifest.runs[choice.run_count - 1].tier;
    pthread_mutex_unlock(&engine->mutex);
    if (!worth)
        return KV_OK;
    if (choice.run_count > 1 && choice.tier + 1 < settings->tiers)
        choice.tier++;
    return kv_compact_apply(engine, settings, &choice);
}
