/* Carrying out a choice of the policy: see compact.h for what may be dropped, and why. */
#include "compact.h"

#include <stdlib.h>

#include "hash.h"
#include "merge.h"
#include "record.h"
#include "segment_writer.h"

enum {
    CHECK_EVERY_COUNT = 256, /* entries between questions for interruption */
    CHECK_EVERY_BYTES = 1024 * 1024,
    OUTPUT_RECORD_MAX = 1 << 21,   /* bounds the memory that an index takes to build */
    SPARE_BYTES = 8 * 1024 * 1024, /* left free on the device by a merge */
    INTERVAL_SPARE_BYTES = 16 + 2 * KV_KEY_MAX_BYTES, /* the key interval behind the records */
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
    struct kv_interrupt interrupt; /* as the settings say */
    struct kv_version *version;
    struct kv_manifest manifest; /* as of the start */
    size_t first, count;         /* the range, in `version` */
    struct kv_segment_writer_summary summary;
    uint64_t base_seq;

    struct kv_segment_writer *writer; /* the output being written */
    struct kv_buffer low;             /* last key of the output before */
    struct kv_buffer last;            /* last key written */

    struct kv_segment_info *outputs;
    size_t output_count;
    bool handed_over; /* the outputs' infos belong to a manifest */
    bool doubt;       /* a manifest that names the outputs was put in place, perhaps not for good */
    uint64_t written_bytes;
    uint64_t unchecked_count, unchecked_bytes;
};

/* A version and its manifest, and so the range, are of one moment: seals put runs before it. */
static enum kv_status rewrite_init(struct rewrite *rewrite, struct kv_engine *engine,
                                   const struct kv_settings *settings)
{
    enum kv_status st;

    *rewrite = (struct rewrite){
        .engine = engine,
        .settings = settings,
        .interrupt = {settings->interrupted, settings->interrupted_context},
    };
    pthread_mutex_lock(&engine->mutex);
    rewrite->version = kv_version_ref(engine->version);
    st = kv_manifest_copy(&rewrite->manifest, &engine->manifest);
    pthread_mutex_unlock(&engine->mutex);
    return st;
}

static void rewrite_release(struct rewrite *rewrite, bool remove_outputs)
{
    kv_segment_writer_close(rewrite->writer);
    for (size_t i = 0; i < rewrite->output_count; i++) {
        if (remove_outputs)
            kv_place_remove_segment(&rewrite->engine->place, rewrite->outputs[i].number);
        if (!rewrite->handed_over)
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
    rewrite->unchecked_bytes += entry->size_bytes;
    if (++rewrite->unchecked_count < CHECK_EVERY_COUNT &&
        rewrite->unchecked_bytes < CHECK_EVERY_BYTES)
        return KV_OK;
    rewrite->unchecked_count = rewrite->unchecked_bytes = 0;
    if (kv_interrupt_asked(&rewrite->interrupt))
        return kv_fail(KV_INTERRUPTED, "%s: compaction was interrupted", rewrite->engine->path);
    return KV_OK;
}

/* Has a newer run a record of this key? It was read, verified and compared in full: only that counts. */
static enum kv_status is_superseded(struct rewrite *rewrite, const struct kv_entry *entry,
                                    uint64_t hash, bool *out)
{
    struct kv_entry newer;
    enum kv_status st =
        kv_version_get_in_runs(rewrite->version, 0, rewrite->first, hash, entry->key, &newer, NULL);

    *out = st == KV_OK;
    return st == KV_DONE ? KV_OK : st;
}

/* Is a tombstone needless, because nothing is under it that it could hide? */
static bool hides_nothing(struct rewrite *rewrite, const struct kv_entry *entry, uint64_t hash)
{
    size_t older = rewrite->first + rewrite->count;

    return !kv_version_may_contain(rewrite->version, older, rewrite->version->run_count - older,
                                   hash, entry->key);
}

/* May an entry, the newest of its key in the range, be left out? */
static enum kv_status is_needless(struct rewrite *rewrite, const struct kv_entry *entry, bool *out)
{
    uint64_t hash;
    enum kv_status st = KV_OK;

    *out = false;
    if (rewrite->first == 0 && !entry->deleted)
        return KV_OK;
    hash = kv_hash(entry->key, rewrite->engine->place.hash_seed);
    if (rewrite->first > 0)
        st = is_superseded(rewrite, entry, hash, out);
    if (st == KV_OK && !*out && entry->deleted)
        *out = hides_nothing(rewrite, entry, hash);
    return st;
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
    rewrite->summary.interrupt = &rewrite->interrupt;
    st = kv_segment_writer_finish(rewrite->writer, &rewrite->summary, &info);
    if (st != KV_OK)
        return st;
    rewrite->written_bytes += info.end_bytes;
    outputs[rewrite->output_count++] = info;
    kv_segment_writer_close(rewrite->writer);
    rewrite->writer = NULL;
    return kv_buffer_set(&rewrite->low, kv_buffer_slice(&rewrite->last));
}

/* The bytes that an entry takes in the output; its seq is relative to another base than in the input. */
static uint64_t output_size(const struct rewrite *rewrite, const struct kv_entry *entry)
{
    struct kv_record_place place = {.base_seq = rewrite->base_seq};
    struct kv_record record = {.kind = entry->deleted ? KV_DELETE : KV_PUT,
                               .seq = entry->seq,
                               .key = entry->key,
                               .row = entry->row};

    return kv_record_size(&place, &record);
}

static bool is_full(const struct rewrite *rewrite, const struct kv_entry *entry)
{
    uint64_t limit = rewrite->settings->max_segment_bytes;
    uint64_t end_bytes = kv_segment_writer_end_bytes(rewrite->writer) + output_size(rewrite, entry);

    if (limit > KV_SEGMENT_MAX_BYTES - INTERVAL_SPARE_BYTES)
        limit = KV_SEGMENT_MAX_BYTES - INTERVAL_SPARE_BYTES;
    return end_bytes > limit ||
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

    if (entry->seq < rewrite->base_seq)
        return kv_fail(KV_CORRUPT,
                       "%s/MANIFEST: a segment to compact has a record older than its first seq",
                       rewrite->engine->path);
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
    bool needless;
    enum kv_status st = open_inputs(rewrite, &merged);

    if (st == KV_OK)
        st = kv_iter_seek(merged, NULL, KV_FORWARD);
    while (st == KV_OK && (st = kv_iter_next(merged, &entry)) == KV_OK) {
        st = check_interrupted(rewrite, &entry);
        if (st == KV_OK)
            st = is_needless(rewrite, &entry, &needless);
        if (st == KV_OK && !needless)
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
            rewrite->handed_over = true;
            next.compaction_count++;
            next.merge_bytes_written += rewrite->written_bytes;
        }
        version = kv_engine_version(engine);
        st = kv_engine_install(engine, &next, version->log, &rewrite->doubt);
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

/* Carry out one choice, made from the rewrite's manifest; releases the rewrite. */
static enum kv_status carry_out(struct rewrite *rewrite, const struct kv_choice *choice)
{
    struct kv_engine *engine = rewrite->engine;
    bool writes = choice->action != KV_ACTION_JOIN;
    enum kv_status st = KV_OK;

    rewrite->first = choice->first_run;
    rewrite->count = choice->run_count;
    if (writes) {
        note_merging(engine, rewrite);
        st = summarise(rewrite);
        if (st == KV_OK)
            st = copy_live(rewrite);
    }
    if (st == KV_OK)
        st = publish(rewrite, choice);
    note_merging(engine, NULL);
    if (st == KV_OK && writes) {
        atomic_fetch_add_explicit(&engine->counters.compactions, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&engine->counters.merge_bytes, rewrite->written_bytes,
                                  memory_order_relaxed);
    }
    /* Outputs stay if a manifest that names them may come back after a crash. */
    rewrite_release(rewrite, st != KV_OK && !rewrite->doubt);
    return st;
}

enum kv_status kv_compact_by_policy(struct kv_engine *engine, const struct kv_settings *settings)
{
    struct kv_policy policy = kv_compact_policy(settings);
    struct rewrite rewrite;

    for (;;) {
        enum kv_status st = rewrite_init(&rewrite, engine, settings);
        struct kv_choice choice = {.action = KV_ACTION_NONE};

        if (st == KV_OK)
            choice = kv_policy_choose(&rewrite.manifest, &policy);
        if (choice.action == KV_ACTION_NONE) {
            rewrite_release(&rewrite, false);
            return st;
        }
        st = carry_out(&rewrite, &choice);
        if (st != KV_OK)
            return st;
    }
}

/* Is there anything that a rewrite of everything would drop or join? */
static bool worth_compacting(const struct kv_manifest *manifest)
{
    if (manifest->run_count != 1)
        return manifest->run_count > 1;
    if (manifest->runs[0].has_low)
        return true;
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
    struct rewrite rewrite;
    enum kv_status st = rewrite_init(&rewrite, engine, settings);

    if (st != KV_OK || !worth_compacting(&rewrite.manifest)) {
        rewrite_release(&rewrite, false);
        return st;
    }
    choice.run_count = rewrite.manifest.run_count;
    choice.tier = rewrite.manifest.runs[choice.run_count - 1].tier;
    if (choice.run_count > 1 && choice.tier + 1 < settings->tiers)
        choice.tier++;
    return carry_out(&rewrite, &choice);
}
