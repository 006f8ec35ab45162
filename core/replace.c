/* Writing what takes a damaged segment's place: see replace.h. */
#include "replace.h"

#include <stdlib.h>

#include "hash.h"
#include "mutant.h"
#include "segment_writer.h"

enum { CHECK_EVERY_COUNT = 256, INTERVAL_SPARE_BYTES = 16 + 2 * KV_KEY_MAX_BYTES };

/* One replacement at work. */
struct work {
    struct kv_replace *replace;
    uint64_t base_seq;
    struct kv_segment_writer *writer; /* NULL: the output is not begun */
    struct kv_buffer low, last;       /* last key of the output before; last key written */
    size_t position;                  /* of the salvage's next entry */
    bool has_older;                   /* `older` is the next of the older runs' */
    struct kv_entry older;
    uint64_t unchecked_count;
};

/* ---- Outputs */

static enum kv_status finish_output(struct work *work, bool last)
{
    struct kv_replace *replace = work->replace;
    const struct kv_segment_info *info = replace->info;
    struct kv_segment_writer_summary summary = {.first_lsn = info->first_lsn,
                                                .last_lsn = info->last_lsn,
                                                .min_time_ms = info->min_time_ms,
                                                .max_time_ms = info->max_time_ms,
                                                .low = kv_buffer_slice(&work->low),
                                                .last_of_run = last && replace->last_of_run};
    struct kv_segment_info *outputs, done;
    enum kv_status st;

    if (!work->writer)
        return KV_OK;
    outputs = realloc(replace->outputs, (replace->output_count + 1) * sizeof(*outputs));
    if (!outputs)
        return kv_fail_nomem();
    replace->outputs = outputs;
    st = kv_segment_writer_finish(work->writer, &summary, &done);
    if (st != KV_OK)
        return st;
    outputs[replace->output_count++] = done;
    kv_segment_writer_close(work->writer);
    work->writer = NULL;
    return kv_buffer_set(&work->low, kv_buffer_slice(&work->last));
}

static enum kv_status write_entry(struct work *work, const struct kv_entry *entry)
{
    struct kv_engine *engine = work->replace->engine;
    enum kv_status st = KV_OK;

    if (work->writer && kv_segment_writer_end_bytes(work->writer) + entry->key.size +
                                entry->row.size + KV_RECORD_HEAD_MAX_BYTES + INTERVAL_SPARE_BYTES >
                            KV_SEGMENT_MAX_BYTES)
        st = finish_output(work, false);
    if (st == KV_OK && !work->writer)
        st = kv_segment_writer_open(&engine->place, atomic_fetch_add(&engine->next_number, 1),
                                    work->base_seq, &work->writer); /* alone */
    if (st == KV_OK)
        st = kv_segment_writer_append(work->writer, entry);
    return st == KV_OK ? kv_buffer_set(&work->last, entry->key) : st;
}

/* Keep the row elsewhere, and hide its key here. */
static enum kv_status withhold(struct work *work, const struct kv_entry *entry)
{
    struct kv_replace *replace = work->replace;
    struct kv_entry tombstone = {.key = entry->key, .seq = replace->info->max_seq, .deleted = true};
    enum kv_status st = replace->withhold(replace->context, entry);

    replace->withheld_count++;
    return st == KV_OK ? write_entry(work, &tombstone) : st;
}

/* ---- Inputs */

static enum kv_status next_older(struct work *work)
{
    enum kv_status st = KV_DONE;

    if (work->replace->older)
        st = kv_iter_next(work->replace->older, &work->older);
    work->has_older = st == KV_OK;
    return st == KV_DONE ? KV_OK : st;
}

static enum kv_status take_own(struct work *work, const struct kv_record *record, uint32_t offset)
{
    struct kv_replace *replace = work->replace;
    struct kv_entry entry;

    kv_entry_of(&entry, record);
    work->position++;
    /* A log's own version may have been superseded further on in the same log. */
    if (!entry.deleted && replace->loss->by_bytes &&
        kv_loss_may_hold(replace->loss, 0, entry.key, offset + 1))
        return withhold(work, &entry);
    return write_entry(work, &entry);
}

static enum kv_status take_older(struct work *work)
{
    struct kv_replace *replace = work->replace;
    const struct kv_entry *entry = &work->older;
    uint64_t hash = kv_hash(entry->key, replace->engine->place.hash_seed);
    enum kv_status st = KV_OK;

    if (!entry->deleted && kv_loss_may_hold(replace->loss, hash, entry->key, 0))
        st = withhold(work, entry);
    return st == KV_OK ? next_older(work) : st;
}

static enum kv_status check_interrupted(struct work *work)
{
    struct kv_replace *replace = work->replace;

    if (++work->unchecked_count % CHECK_EVERY_COUNT != 0 || replace->goes_on(replace->context))
        return KV_OK;
    return kv_fail(KV_INTERRUPTED, "%s: the repair was interrupted; nothing was changed",
                   replace->engine->path);
}

/* Try every key that could show: one of them may be that of a lost record. */
static enum kv_status try_keys(struct kv_replace *replace)
{
    const struct kv_salvage *salvage = replace->salvage;
    struct kv_entry entry;
    enum kv_status st = KV_OK;

    for (size_t i = 0; i < salvage->count && st == KV_OK; i++)
        st = kv_loss_try(replace->loss, kv_salvage_record(salvage, salvage->offsets[i]).key);
    if (st != KV_OK || !replace->older)
        return st;
    st = kv_iter_seek(replace->older, NULL, KV_FORWARD);
    while (st == KV_OK && (st = kv_iter_next(replace->older, &entry)) == KV_OK)
        st = kv_loss_try(replace->loss, entry.key);
    return st == KV_DONE ? KV_OK : st;
}

/* What the salvage holds below the interval was replaced before: a manifest says so, the headers do not. */
static void skip_hidden(struct work *work)
{
    const struct kv_salvage *salvage = work->replace->salvage;
    struct kv_slice above = work->replace->loss->above;

    while (above.size > 0 && work->position < salvage->count &&
           kv_slice_compare(kv_salvage_record(salvage, salvage->offsets[work->position]).key,
                            above) <= 0)
        work->position++;
}

/* Merge the salvage with what is older; of equal keys the salvage's counts. */
static enum kv_status write_all(struct work *work)
{
    const struct kv_salvage *salvage = work->replace->salvage;
    enum kv_status st = next_older(work);

    if (!KV_MUTANT(hidden_rows_replaced))
        skip_hidden(work);
    while (st == KV_OK && (work->has_older || work->position < salvage->count)) {
        bool has_own = work->position < salvage->count;
        uint32_t offset = has_own ? salvage->offsets[work->position] : 0;
        struct kv_record record = {0};
        int order = 1;

        if (has_own) {
            record = kv_salvage_record(salvage, offset);
            order = work->has_older ? kv_slice_compare(record.key, work->older.key) : -1;
        }
        st = check_interrupted(work);
        if (st == KV_OK && order == 0)
            st = next_older(work);
        if (st == KV_OK)
            st = order <= 0 ? take_own(work, &record, offset) : take_older(work);
    }
    return st == KV_OK ? finish_output(work, true) : st;
}

/* The smallest seq that will be written. */
static uint64_t base_seq_of(const struct kv_replace *replace)
{
    uint64_t base_seq = replace->info->max_seq;

    for (size_t i = 0; i < replace->salvage->count; i++) {
        uint64_t seq = kv_salvage_record(replace->salvage, replace->salvage->offsets[i]).seq;

        base_seq = seq < base_seq ? seq : base_seq;
    }
    return base_seq;
}

enum kv_status kv_replace_segment(struct kv_replace *replace)
{
    struct work work = {.replace = replace, .base_seq = base_seq_of(replace)};
    enum kv_status st = replace->loss->by_bytes ? try_keys(replace) : KV_OK;

    replace->outputs = NULL;
    replace->output_count = 0;
    if (st == KV_OK && replace->older)
        st = kv_iter_seek(replace->older, NULL, KV_FORWARD);
    if (st == KV_OK)
        st = kv_buffer_set(&work.low, replace->loss->above);
    if (st == KV_OK)
        st = write_all(&work);
    kv_segment_writer_close(work.writer);
    kv_buffer_release(&work.low);
    kv_buffer_release(&work.last);
    if (st == KV_OK)
        return KV_OK;
    for (size_t i = 0; i < replace->output_count; i++) {
        kv_place_remove_segment(&replace->engine->place, replace->outputs[i].number);
        kv_segment_info_release(&replace->outputs[i]);
    }
    free(replace->outputs);
    replace->outputs = NULL;
    replace->output_count = 0;
    return st;
}
