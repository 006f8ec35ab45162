/* One step of a rewrite: see rewrite.h. */
#include "rewrite.h"

#include <stdlib.h>

#include "estimate.h"
#include "hash.h"
#include "merge.h"
#include "mutant.h"
#include "progress.h"
#include "record.h"
#include "segment_writer.h"

enum {
    CHECK_EVERY_COUNT = 256, /* entries between questions for interruption */
    CHECK_EVERY_BYTES = 1024 * 1024,
    NOTE_EVERY_CHECKS = 16,
    ASKED_RUNS_MAX = 8,
    OUTPUT_RECORD_MAX = 1 << 21,   /* bounds the memory that an index takes to build */
    SPARE_BYTES = 8 * 1024 * 1024, /* left free on the device by a merge */
    INTERVAL_SPARE_BYTES = 16 + 2 * KV_KEY_MAX_BYTES, /* the key interval behind the records */
};

/* One step at work. */
struct rewrite {
    struct kv_engine *engine;
    const struct kv_settings *settings;
    const struct kv_rewrite_limit *limit;
    struct kv_interrupt interrupt; /* as the settings say */
    struct kv_version *version;    /* of the runs alone: memtables need not outlive them */
    struct kv_manifest manifest;   /* as of the start */
    struct kv_choice choice;
    size_t first, count; /* the inputs, in `version` */
    bool has_output;     /* the run behind them is what earlier steps have written */
    struct kv_segment_writer_summary summary;
    uint64_t base_seq;

    struct kv_segment_writer *writer; /* NULL: nothing has been written yet */
    struct kv_buffer last;            /* last key written */
    bool is_last;                     /* the inputs are exhausted */
    uint64_t number;                  /* of the output; 0: none */
    struct kv_segment_info output;
    bool doubt; /* a manifest that names the output was put in place, perhaps not for good */
    uint64_t unchecked_count, unchecked_bytes;
    struct kv_merging merging; /* as others know of it */
    unsigned checks_unnoted;
};

/* A version and its manifest, and so the range, are of one moment: seals put runs before it. */
static enum kv_status rewrite_init(struct rewrite *rewrite, struct kv_engine *engine,
                                   const struct kv_settings *settings,
                                   const struct kv_rewrite_limit *limit)
{
    enum kv_status st;

    *rewrite = (struct rewrite){
        .engine = engine,
        .settings = settings,
        .limit = limit,
        .interrupt = {settings->interrupted, settings->interrupted_context},
    };
    pthread_mutex_lock(&engine->mutex);
    rewrite->version = kv_version_of_runs(engine->version);
    st = rewrite->version ? kv_manifest_copy(&rewrite->manifest, &engine->manifest)
                          : kv_fail_nomem();
    pthread_mutex_unlock(&engine->mutex);
    return st;
}

static void rewrite_release(struct rewrite *rewrite, bool remove_output)
{
    kv_segment_writer_close(rewrite->writer);
    if (remove_output && rewrite->number)
        kv_place_remove_segment(&rewrite->engine->place, rewrite->number);
    kv_segment_info_release(&rewrite->output);
    kv_buffer_release(&rewrite->last);
    kv_manifest_release(&rewrite->manifest);
    kv_version_unref(rewrite->version);
}

/* What is to be done: `choice`, from the beginning or from where the output ends. */
static void set_range(struct rewrite *rewrite, const struct kv_choice *choice)
{
    rewrite->choice = *choice;
    rewrite->first = choice->first_run;
    rewrite->has_output = choice->action == KV_ACTION_RESUME;
    rewrite->count = choice->run_count - (rewrite->has_output ? 1 : 0);
}

/* The run that earlier steps have written; NULL: this is the first. */
static const struct kv_run *output_run(const struct rewrite *rewrite)
{
    return rewrite->has_output ? &rewrite->manifest.runs[rewrite->first + rewrite->count] : NULL;
}

/* The last key of the output so far; empty: none. */
static struct kv_slice done_up_to(const struct rewrite *rewrite)
{
    const struct kv_run *run = output_run(rewrite);

    return run ? kv_buffer_slice(&run->segments[run->segment_count - 1].max_key)
               : (struct kv_slice){0};
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

/* What the output inherits from one run. */
static void add_run(struct rewrite *rewrite, const struct kv_run *run, bool is_input,
                    uint64_t *bytes)
{
    struct kv_segment_writer_summary *summary = &rewrite->summary;

    for (size_t s = 0; s < run->segment_count; s++) {
        const struct kv_segment_info *info = &run->segments[s];

        lower(&summary->first_lsn, info->first_lsn);
        higher(&summary->last_lsn, info->last_lsn);
        lower(&summary->min_time_ms, info->min_time_ms);
        higher(&summary->max_time_ms, info->max_time_ms);
        if (is_input) {
            lower(&rewrite->base_seq, info->min_seq);
            *bytes += info->end_bytes;
        }
    }
}

/* What the output inherits, and whether there is room for it: a segment at a time. */
static enum kv_status summarise(struct rewrite *rewrite)
{
    uint64_t bytes = 0, free_bytes = 0, limit = rewrite->settings->max_segment_bytes;
    enum kv_status st;

    rewrite->summary =
        (struct kv_segment_writer_summary){.first_lsn = UINT64_MAX, .min_time_ms = UINT64_MAX};
    rewrite->base_seq = UINT64_MAX;
    for (size_t r = 0; r < rewrite->count; r++)
        add_run(rewrite, &rewrite->manifest.runs[rewrite->first + r], true, &bytes);
    if (rewrite->has_output)
        add_run(rewrite, output_run(rewrite), false, &bytes);
    rewrite->summary.low = done_up_to(rewrite);
    if (bytes > limit)
        bytes = limit;
    st = kv_io_dir_free_bytes(rewrite->engine->place.dir, &free_bytes);
    if (st == KV_OK && free_bytes < bytes + bytes / 2 + SPARE_BYTES)
        st = kv_fail(KV_FULL,
                     "%s: compaction needs up to %llu bytes of free disk space, there are %llu; "
                     "nothing was changed",
                     rewrite->engine->path, (unsigned long long)(bytes + bytes / 2 + SPARE_BYTES),
                     (unsigned long long)free_bytes);
    return st;
}

/* Tell those who ask how far it is, now and then. */
static void note_progress(struct rewrite *rewrite, struct kv_slice key)
{
    const struct kv_run *output = output_run(rewrite);
    struct kv_merging *merging = &rewrite->merging;

    if (rewrite->checks_unnoted++ % NOTE_EVERY_CHECKS != 0)
        return;
    merging->left_bytes = kv_progress_left(rewrite->version, rewrite->first, rewrite->count, key);
    merging->written_bytes = (output ? kv_progress_run_bytes(output) : 0) +
                             (rewrite->writer ? kv_segment_writer_end_bytes(rewrite->writer) : 0);
    kv_progress_note(rewrite->engine, merging);
}

static enum kv_status check_interrupted(struct rewrite *rewrite, const struct kv_entry *entry)
{
    rewrite->unchecked_bytes += entry->size_bytes;
    if (++rewrite->unchecked_count < CHECK_EVERY_COUNT &&
        rewrite->unchecked_bytes < CHECK_EVERY_BYTES)
        return KV_OK;
    rewrite->unchecked_count = rewrite->unchecked_bytes = 0;
    note_progress(rewrite, entry->key);
    if (kv_interrupt_asked(&rewrite->interrupt))
        return kv_fail(KV_INTERRUPTED, "%s: compaction was interrupted", rewrite->engine->path);
    return KV_OK;
}

/*
 * Runs just newer than the inputs that are asked. Where more have piled up, asking all of them would take
 * longer than the merge itself; what only the others overwrite is written once more.
 */
static size_t asked_count(const struct rewrite *rewrite)
{
    return rewrite->first < ASKED_RUNS_MAX ? rewrite->first : ASKED_RUNS_MAX;
}

/* Has a newer run a record of this key? It was read, verified and compared in full: only that counts. */
static enum kv_status is_superseded(struct rewrite *rewrite, const struct kv_entry *entry,
                                    uint64_t hash, bool *out)
{
    size_t count = asked_count(rewrite);
    struct kv_entry newer;
    enum kv_status st = kv_version_get_in_runs(rewrite->version, rewrite->first - count, count,
                                               hash, entry->key, &newer, NULL);

    *out = st == KV_OK;
    return st == KV_DONE ? KV_OK : st;
}

/* Is a tombstone needless, because nothing is under it that it could hide? */
static bool hides_nothing(struct rewrite *rewrite, const struct kv_entry *entry, uint64_t hash)
{
    size_t older =
        rewrite->first + rewrite->choice.run_count; /* behind the output, if there is one */

    return KV_MUTANT(tombstone_dropped_early) ||
           (KV_MUTANT(tombstone_dropped_in_next_step) && rewrite->has_output) ||
           !kv_version_may_contain(rewrite->version, older, rewrite->version->run_count - older,
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
    rewrite->number = kv_engine_new_number(engine);
    st = kv_segment_writer_open(&engine->place, rewrite->number, rewrite->base_seq,
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
    if (!rewrite->writer)
        st = open_output(rewrite);
    if (st == KV_OK)
        st = kv_segment_writer_append(rewrite->writer, entry);
    if (st == KV_OK)
        st = kv_buffer_set(&rewrite->last, entry->key);
    return st;
}

static enum kv_status open_inputs(struct rewrite *rewrite, struct kv_iter **out)
{
    struct kv_iter **inputs = calloc(rewrite->count + 1, sizeof(*inputs));
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
        kv_iters_free(inputs, &count);
    free(inputs);
    return st;
}

/* Is the step over before an entry that has to be written: is the segment full, or the limit reached? */
static bool is_enough(const struct rewrite *rewrite, const struct kv_entry *entry)
{
    const struct kv_rewrite_limit *limit = rewrite->limit;
    uint64_t bytes;

    if (!rewrite->writer)
        return false;
    bytes = kv_segment_writer_end_bytes(rewrite->writer);
    return is_full(rewrite, entry) || (limit->bytes && bytes >= limit->bytes) ||
           (limit->until_ms && rewrite->unchecked_count == 0 &&
            kv_io_monotonic_ms(rewrite->engine->place.io) >= limit->until_ms);
}

/* Write live entries until it is enough, or none is left. KV_DONE: either. */
static enum kv_status copy_entries(struct rewrite *rewrite, struct kv_iter *merged)
{
    struct kv_entry entry;
    bool needless;
    enum kv_status st;

    while ((st = kv_iter_next(merged, &entry)) == KV_OK) {
        st = check_interrupted(rewrite, &entry);
        if (st == KV_OK)
            st = is_needless(rewrite, &entry, &needless);
        if (st != KV_OK)
            return st;
        if (needless)
            continue;
        if (is_enough(rewrite, &entry))
            return KV_DONE;
        st = write_entry(rewrite, &entry);
        if (st != KV_OK)
            return st;
    }
    rewrite->is_last = st == KV_DONE;
    return st;
}

/* Write the output, if there is anything to write. */
static enum kv_status copy_live(struct rewrite *rewrite)
{
    struct kv_slice from = done_up_to(rewrite); /* itself hidden in all inputs */
    struct kv_iter *merged;
    enum kv_status st;

    if (rewrite->count == 0) {
        rewrite->is_last = true;
        return KV_OK;
    }
    st = open_inputs(rewrite, &merged);
    if (st == KV_OK)
        st = kv_iter_seek(merged, from.size ? &from : NULL, KV_FORWARD);
    if (st == KV_OK)
        st = copy_entries(rewrite, merged);
    kv_iter_free(merged);
    if (st != KV_DONE)
        return st;
    if (!rewrite->writer)
        return KV_OK;
    rewrite->summary.last_of_run = rewrite->is_last;
    rewrite->summary.interrupt = &rewrite->interrupt;
    st = kv_segment_writer_finish(rewrite->writer, &rewrite->summary, &rewrite->output);
    if (st == KV_OK) {
        kv_segment_writer_close(rewrite->writer);
        rewrite->writer = NULL;
    }
    return st;
}

/* Where the range stands in the manifest now: seals may have put newer runs before it. */
static enum kv_status find_range(const struct rewrite *rewrite, size_t *first)
{
    const struct kv_run *newest = &rewrite->manifest.runs[rewrite->first];
    const struct kv_manifest *now = &rewrite->engine->manifest;

    *first = kv_manifest_find_run(now, newest->segments[0].number);
    if (*first == SIZE_MAX || *first + rewrite->choice.run_count > now->run_count)
        return kv_fail(KV_INVALID, "%s: the runs to compact are gone", rewrite->engine->path);
    return KV_OK;
}

/* What the step changes in a manifest. */
static enum kv_status edit(struct rewrite *rewrite, size_t first, struct kv_manifest *next)
{
    const struct kv_choice *choice = &rewrite->choice;
    struct kv_merge_step step = {.first = first,
                                 .input_count = rewrite->count,
                                 .has_output = rewrite->has_output,
                                 .tier = choice->tier,
                                 .is_last = rewrite->is_last,
                                 .done_up_to = kv_buffer_slice(&rewrite->last)};

    if (choice->action == KV_ACTION_JOIN)
        return kv_manifest_join_runs(next, first, choice->run_count, choice->tier);
    next->compaction_count += rewrite->is_last;
    next->merge_bytes_written += rewrite->output.end_bytes;
    return kv_manifest_advance_merge(next, &step, &rewrite->output);
}

static enum kv_status publish(struct rewrite *rewrite)
{
    struct kv_engine *engine = rewrite->engine;
    struct kv_manifest next = {0};
    struct kv_version *version = NULL;
    size_t first;
    enum kv_status st = kv_engine_take_manifest(engine);

    if (st != KV_OK)
        return st;
    version = kv_engine_version(engine);
    st = find_range(rewrite, &first);
    if (st == KV_OK)
        st = kv_manifest_copy(&next, &engine->manifest);
    if (st == KV_OK && rewrite->output.number != 0)
        kv_estimate_superseded_in_output(version, first - asked_count(rewrite), &engine->place,
                                         &rewrite->output);
    if (st == KV_OK)
        st = edit(rewrite, first, &next);
    if (st == KV_OK)
        st = kv_engine_install(engine, &next, version->log, &rewrite->doubt);
    kv_version_unref(version);
    kv_manifest_release(&next);
    kv_engine_drop_manifest(engine);
    return st;
}

/* What is about to be merged. */
static void begin_progress(struct rewrite *rewrite)
{
    const struct kv_run *newest = &rewrite->manifest.runs[rewrite->first];
    const struct kv_run *oldest = newest + rewrite->choice.run_count - 1;
    struct kv_merging *merging = &rewrite->merging;

    merging->id = rewrite->has_output ? oldest->merge_id : rewrite->manifest.last_merge_id + 1;
    merging->first = newest->segments[0].number;
    merging->last = oldest->segments[oldest->segment_count - 1].number;
    merging->input_count = rewrite->count;
    for (size_t r = 0; r < rewrite->count; r++)
        merging->input_bytes += kv_progress_run_bytes(newest + r);
    note_progress(rewrite, done_up_to(rewrite));
}

/* Carry out the choice, or its next step. */
static enum kv_status carry_out(struct rewrite *rewrite, uint64_t *written_bytes)
{
    struct kv_engine *engine = rewrite->engine;
    bool writes = rewrite->choice.action != KV_ACTION_JOIN;
    uint64_t output_bytes;
    enum kv_status st = KV_OK;

    if (writes) {
        begin_progress(rewrite);
        st = summarise(rewrite);
        if (st == KV_OK)
            st = copy_live(rewrite);
    }
    output_bytes = rewrite->output.end_bytes;
    if (st == KV_OK)
        st = publish(rewrite);
    kv_progress_note(engine, NULL);
    if (st == KV_OK && writes) {
        *written_bytes += output_bytes;
        atomic_fetch_add_explicit(&engine->counters.compactions, rewrite->is_last,
                                  memory_order_relaxed);
        atomic_fetch_add_explicit(&engine->counters.merge_bytes, output_bytes,
                                  memory_order_relaxed);
    }
    return st;
}

enum kv_status kv_rewrite_step(struct kv_engine *engine, const struct kv_settings *settings,
                               struct kv_choice (*choose)(const struct kv_manifest *manifest,
                                                          void *context),
                               void *context, const struct kv_rewrite_limit *limit, bool *done,
                               uint64_t *written_bytes)
{
    struct kv_choice choice = {.action = KV_ACTION_NONE};
    struct rewrite rewrite;
    enum kv_status st = rewrite_init(&rewrite, engine, settings, limit);

    if (st == KV_OK)
        choice = choose(&rewrite.manifest, context);
    *done = choice.action == KV_ACTION_NONE;
    if (!*done) {
        set_range(&rewrite, &choice);
        st = carry_out(&rewrite, written_bytes);
    }
    /* An output stays if a manifest that names it may come back after a crash. */
    rewrite_release(&rewrite, st != KV_OK && !rewrite.doubt);
    return st;
}
