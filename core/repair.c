/* Repair as a whole: see repair.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "create.h"
#include "mutant.h"
#include "repair_private.h"
#include "verify.h"

enum { WITHHELD_TXN_BYTES = 1 << 20 };

/* LSNs left out before a new log's: more than any file that was cut can have had. */
static const uint64_t SPARE_LSNS = (uint64_t)KV_SEGMENT_MAX_BYTES + 1;

/* ---- Services for repair_segment.c */

enum kv_status kv_repair_tell(struct kv_repair *repair, uint64_t segment, uint64_t offset,
                              const char *format, ...)
{
    char text[256];
    struct kv_repair_step step = {segment, offset, text};
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return repair->each(repair->context, &step);
}

bool kv_repair_goes_on(void *context)
{
    const struct kv_settings *settings = ((struct kv_repair *)context)->settings;

    return !settings || !settings->interrupted ||
           !settings->interrupted(settings->interrupted_context);
}

enum kv_status kv_repair_spoil(struct kv_repair *repair, const char *name)
{
    for (size_t i = 0; i < repair->spoiled_count; i++) {
        if (strcmp(repair->spoiled[i], name) == 0)
            return KV_OK;
    }
    if (repair->spoiled_count == repair->spoiled_capacity) {
        size_t capacity = repair->spoiled_capacity ? 2 * repair->spoiled_capacity : 16;
        void *names = realloc(repair->spoiled, capacity * sizeof(*repair->spoiled));

        if (!names)
            return kv_fail_nomem();
        repair->spoiled = names;
        repair->spoiled_capacity = capacity;
    }
    snprintf(repair->spoiled[repair->spoiled_count++], KV_NAME_BYTES, "%s", name);
    return KV_OK;
}

static enum kv_status open_quarantine(struct kv_repair *repair)
{
    return repair->quarantine ? KV_OK
                              : kv_quarantine_open(&repair->engine->place, &repair->quarantine);
}

/* ---- Withheld rows */

static enum kv_status open_withheld(struct kv_repair *repair)
{
    struct kv_open_options options = kv_open_options_default();
    char *path;
    size_t size;
    enum kv_status st = open_quarantine(repair);

    if (st != KV_OK)
        return st;
    size = strlen(kv_quarantine_path(repair->quarantine)) + sizeof("/withheld");
    path = malloc(size);
    if (!path)
        return kv_fail_nomem();
    snprintf(path, size, "%s/withheld", kv_quarantine_path(repair->quarantine));
    options.io = repair->engine->place.io;
    options.file_mode = repair->engine->place.file_mode;
    options.schema = kv_buffer_slice(&repair->draft.schema);
    options.foreground = true;
    st = kv_store_open(path, &options, &repair->withheld);
    free(path);
    return st;
}

static enum kv_status commit_withheld(struct kv_repair *repair)
{
    struct kv_txn *txn = repair->txn;

    repair->txn = NULL;
    repair->txn_bytes = 0;
    return txn ? kv_txn_commit(txn) : KV_OK;
}

enum kv_status kv_repair_withhold(void *context, const struct kv_entry *entry)
{
    struct kv_repair *repair = context;
    enum kv_status st = repair->withheld ? KV_OK : open_withheld(repair);

    if (st == KV_OK && !repair->txn)
        st = kv_txn_begin(repair->withheld, NULL, &repair->txn);
    if (st == KV_OK)
        st = kv_txn_put(repair->txn, entry->key, entry->row);
    repair->txn_bytes += entry->size_bytes;
    if (st == KV_OK && repair->txn_bytes >= WITHHELD_TXN_BYTES)
        st = commit_withheld(repair);
    return st;
}

static enum kv_status close_withheld(struct kv_repair *repair)
{
    enum kv_status st = commit_withheld(repair), closed = kv_store_close(repair->withheld);

    repair->withheld = NULL;
    return st == KV_OK ? closed : st;
}

/* ---- What the store consists of */

static enum kv_status random_u64(const struct kv_repair *repair, uint64_t *out)
{
    return kv_io_random(repair->engine->place.io, out, sizeof(*out));
}

/* Make up what only a manifest knows. The schema stays empty: the first table to attach sets it. */
static enum kv_status make_identity(struct kv_repair *repair)
{
    struct kv_manifest *draft = &repair->draft;
    struct kv_engine *engine = repair->engine;
    enum kv_status st = random_u64(repair, &draft->hash_seed);

    *draft = (struct kv_manifest){.hash_seed = draft->hash_seed,
                                  .compatible_features = KV_FEATURE_SCHEMA_LOST};
    if (!kv_survey_uuid(&repair->survey, draft->uuid))
        return kv_fail(KV_CORRUPT,
                       "%s: neither MANIFEST nor any segment can be read; nothing was changed",
                       engine->path);
    if (st == KV_OK)
        st = random_u64(repair, &draft->lineage);
    draft->generation = kv_page_load(&engine->page->generation) % ((uint64_t)1 << 61);
    return st;
}

/* Keep a manifest's identity, but ask the headers for the runs. */
static enum kv_status rebuild_runs(struct kv_repair *repair)
{
    struct kv_manifest *draft = &repair->draft;
    enum kv_status st;

    for (size_t i = 0; i < draft->run_count; i++) {
        for (size_t s = 0; s < draft->runs[i].segment_count; s++)
            kv_segment_info_release(&draft->runs[i].segments[s]);
        free(draft->runs[i].segments);
        kv_buffer_release(&draft->runs[i].low);
    }
    draft->run_count = 0;
    kv_segment_info_release(&draft->unindexed);
    draft->unindexed = (struct kv_segment_info){0};
    repair->is_rebuilding = repair->is_changed = repair->needs_log = true;
    st = kv_survey_runs(&repair->survey, &repair->engine->place, draft, &repair->unsealed);
    return st == KV_OK
               ? kv_repair_tell(repair, 0, 0, "MANIFEST is made anew from the headers of segments")
               : st;
}

/* A log that was sealed without an index gets one now. */
static enum kv_status take_unindexed(struct kv_repair *repair)
{
    struct kv_manifest *draft = &repair->draft;

    if (!kv_manifest_has_unindexed(draft))
        return KV_OK;
    repair->is_changed = true;
    return kv_manifest_add_run(draft, 0, &draft->unindexed);
}

static enum kv_status note_problem(void *context, const struct kv_problem *problem)
{
    (void)problem;
    ++*(unsigned *)context;
    return KV_OK;
}

/* Is all that the manifest names sound? */
static enum kv_status check_sound(const struct kv_repair *repair, bool *sound)
{
    unsigned problem_count = 0;
    struct kv_verify check = {.place = repair->engine->place,
                              .settings = repair->settings,
                              .each = note_problem,
                              .context = &problem_count};
    enum kv_status st;

    check.place.readonly = true;
    memcpy(check.place.uuid, repair->draft.uuid, KV_UUID_BYTES);
    check.place.hash_seed = repair->draft.hash_seed;
    st = kv_verify_manifest(&check, &repair->draft);
    *sound = problem_count == 0;
    return st;
}

/*
 * A pending group that a crash has left. In a sound store it is opening's to settle.
 * Else its segments become runs if its COMMIT counts. That ends where the manifest says, and
 * nothing else can end there (group.h): so it counts if the log does up to there, also if it
 * cannot be read any more. The log is rewritten, since it speaks of a group that is no more.
 */
static enum kv_status take_groups(struct kv_repair *repair)
{
    struct kv_manifest *draft = &repair->draft;
    uint64_t end_lsn = 0;
    bool sound = false;
    enum kv_status st;

    if (draft->group_count == 0)
        return KV_OK;
    st = check_sound(repair, &sound);
    if (st != KV_OK || sound)
        return st;
    st = kv_repair_log_end(repair, &end_lsn);
    if (st != KV_OK)
        return st;
    repair->is_changed = repair->needs_log = true;
    return end_lsn >= draft->groups[0].commit_lsn ? kv_manifest_settle_groups(draft)
                                                  : kv_manifest_set_group(draft, NULL);
}

/* From a manifest that was read. */
static enum kv_status begin_with_manifest(struct kv_repair *repair)
{
    struct kv_engine *engine = repair->engine;
    bool outdated;
    enum kv_status st = kv_manifest_copy(&repair->draft, &engine->manifest);

    if (st == KV_OK)
        st = kv_survey_is_outdated(&repair->survey, &engine->place, &repair->draft, &outdated);
    if (st == KV_OK && !outdated) {
        st = take_unindexed(repair); /* it is older than a group */
        return st == KV_OK ? take_groups(repair) : st;
    }
    if (st != KV_OK)
        return st;
    st = kv_repair_tell(repair, 0, 0, "MANIFEST is older than the store");
    return st == KV_OK ? rebuild_runs(repair) : st;
}

/* Without one. */
static enum kv_status begin_without_manifest(struct kv_repair *repair, enum kv_status why)
{
    enum kv_status st = make_identity(repair);

    if (st != KV_OK)
        return st;
    st = kv_repair_tell(repair, 0, 0,
                        why == KV_NOTFOUND ? "MANIFEST is missing" : "MANIFEST cannot be read");
    return st == KV_OK ? rebuild_runs(repair) : st;
}

static enum kv_status begin(struct kv_repair *repair)
{
    struct kv_engine *engine = repair->engine;
    struct kv_place *place = &engine->place;
    enum kv_status manifest =
                       kv_manifest_load(place->io, place->dir, place->path, &engine->manifest),
                   st;

    if (manifest == KV_IOERR) /* a bad sector is bad twice */
        manifest = kv_manifest_load(place->io, place->dir, place->path, &engine->manifest);
    if (manifest != KV_OK && manifest != KV_NOTFOUND && manifest != KV_CORRUPT &&
        manifest != KV_INVALID && manifest != KV_IOERR)
        return manifest;
    st = kv_survey_directory(place, &repair->survey);
    if (st == KV_OK)
        st = kv_cleanup_note_numbers(engine);
    if (st == KV_OK)
        st = manifest == KV_OK ? begin_with_manifest(repair)
                               : begin_without_manifest(repair, manifest);
    memcpy(place->uuid, repair->draft.uuid, KV_UUID_BYTES);
    place->hash_seed = repair->draft.hash_seed;
    return st;
}

/* ---- All segments, oldest first */

static void drop_run(struct kv_manifest *draft, size_t r)
{
    free(draft->runs[r].segments);
    kv_buffer_release(&draft->runs[r].low);
    memmove(&draft->runs[r], &draft->runs[r + 1],
            (draft->run_count - r - 1) * sizeof(*draft->runs));
    draft->run_count--;
}

static enum kv_status repair_run(struct kv_repair *repair, size_t r)
{
    struct kv_manifest *draft = &repair->draft;
    enum kv_status st = KV_OK;
    size_t count;

    for (size_t s = 0; s < draft->runs[r].segment_count && st == KV_OK; s += count) {
        st = kv_repair_segment(repair, r, s, &count);
        if (st == KV_OK && !kv_repair_goes_on(repair))
            st = kv_fail(KV_INTERRUPTED, "%s: the repair was interrupted; nothing was changed",
                         repair->engine->path);
    }
    if (st == KV_OK && draft->runs[r].segment_count == 0)
        drop_run(draft, r);
    return st;
}

static enum kv_status repair_all(struct kv_repair *repair)
{
    enum kv_status st = KV_OK;

    for (size_t r = repair->draft.run_count; r > 0 && st == KV_OK; r--)
        st = repair_run(repair, r - 1);
    if (st == KV_OK && !repair->is_rebuilding)
        st = kv_repair_log(repair);
    return st;
}

/* ---- Putting the draft in place */

/* Seqs and LSNs go on behind everything that there has been. */
static enum kv_status make_log(struct kv_repair *repair)
{
    struct kv_manifest *draft = &repair->draft;
    enum kv_status st;

    if (!repair->needs_log)
        return KV_OK;
    st = random_u64(repair, &draft->active.salt);
    if (st != KV_OK)
        return st;
    for (size_t r = 0; r < draft->run_count; r++) {
        for (size_t s = 0; s < draft->runs[r].segment_count; s++) {
            const struct kv_segment_info *info = &draft->runs[r].segments[s];

            if (info->max_seq > draft->last_seq)
                draft->last_seq = info->max_seq;
            if (info->last_lsn > draft->active.base_lsn)
                draft->active.base_lsn = info->last_lsn;
        }
    }
    draft->active.base_lsn += SPARE_LSNS;
    draft->active.start_lsn = draft->active.base_lsn;
    draft->active.number = atomic_fetch_add(&repair->engine->next_number, 1); /* alone */
    return kv_create_log(
        &repair->engine->place,
        (struct kv_header){.number = draft->active.number,
                           .salt = draft->active.salt,
                           .base_seq = draft->last_seq,
                           .log = {.base_lsn = draft->active.base_lsn,
                                   .previous_digest = draft->active.previous_digest,
                                   .previous_end_lsn = draft->active.base_lsn}});
}

static bool is_named(const struct kv_repair *repair, uint64_t number)
{
    return number == repair->draft.active.number || kv_manifest_has_sealed(&repair->draft, number);
}

/* Rows of it are not missed by anybody: it is told here, or never. */
static enum kv_status tell_unknown(struct kv_repair *repair, const struct kv_survey_file *file)
{
    if (file->kind != KV_NAME_IS_SEGMENT || file->has_header)
        return KV_OK;
    return kv_repair_tell(repair, file->number, 0,
                          "neither MANIFEST nor a header tells what the segment was: nothing of it "
                          "counts, older rows may show; the file is in quarantine");
}

/* Without a manifest nobody knows what files that do not count are: all are kept. */
static enum kv_status spoil_unnamed(struct kv_repair *repair)
{
    const struct kv_survey *survey = &repair->survey;
    enum kv_status st = KV_OK;

    for (size_t i = 0; i < survey->count && st == KV_OK; i++) {
        const struct kv_survey_file *file = &survey->files[i];

        if (file->kind == KV_NAME_IS_MANIFEST || is_named(repair, file->number))
            continue;
        st = tell_unknown(repair, file);
        if (st == KV_OK)
            st = kv_repair_spoil(repair, file->name);
    }
    return st;
}

/* Give damaged files, and a manifest that was not believed, their names in the quarantine. */
static enum kv_status keep_spoiled(struct kv_repair *repair)
{
    enum kv_status st = KV_OK;

    if (repair->is_rebuilding)
        st = spoil_unnamed(repair);
    if (st != KV_OK || (repair->spoiled_count == 0 && !repair->is_rebuilding))
        return st;
    st = open_quarantine(repair);
    if (st == KV_OK && repair->is_rebuilding)
        st = kv_quarantine_keep(repair->quarantine, KV_NAME_MANIFEST);
    for (size_t i = 0; i < repair->spoiled_count && st == KV_OK; i++)
        st = KV_UNLESS_MUTANT(damaged_file_deleted,
                              kv_quarantine_keep(repair->quarantine, repair->spoiled[i]));
    return st == KV_OK ? kv_quarantine_sync(repair->quarantine) : st;
}

static enum kv_status remove_spoiled(struct kv_repair *repair)
{
    struct kv_dir *dir = repair->engine->place.dir;
    enum kv_status st = KV_OK;

    for (size_t i = 0; i < repair->spoiled_count && st == KV_OK; i++) {
        st = kv_io_unlink(dir, repair->spoiled[i]);
        if (st == KV_NOTFOUND)
            st = KV_OK;
    }
    if (st == KV_OK && repair->spoiled_count > 0)
        st = KV_UNLESS_MUTANT(spoiled_may_return, kv_io_dir_sync(dir));
    return st;
}

static enum kv_status replace_manifest(struct kv_repair *repair)
{
    struct kv_engine *engine = repair->engine;
    struct kv_manifest *draft = &repair->draft;
    bool renamed;
    enum kv_status st;

    /* An open merge cannot go on with other segments than it began with: it ends here. */
    for (size_t r = 0; r < draft->run_count; r++)
        draft->runs[r].merge_id = 0;
    draft->generation++;
    draft->next_number = atomic_load(&engine->next_number);
    st = kv_manifest_replace(engine->place.io, engine->place.dir, engine->place.file_mode, draft,
                             &renamed);
    if (st == KV_OK)
        kv_page_store(&engine->page->generation, draft->generation);
    return st;
}

static enum kv_status finish(struct kv_repair *repair)
{
    enum kv_status st = close_withheld(repair);

    if (st != KV_OK || !repair->is_changed)
        return st;
    st = make_log(repair);
    if (st == KV_OK)
        st = keep_spoiled(repair);
    if (st == KV_OK)
        st = replace_manifest(repair);
    return st == KV_OK ? remove_spoiled(repair) : st;
}

enum kv_status kv_repair_store(struct kv_engine *engine, const struct kv_settings *settings,
                               enum kv_status (*each)(void *context,
                                                      const struct kv_repair_step *step),
                               void *context)
{
    struct kv_repair repair = {
        .engine = engine, .settings = settings, .each = each, .context = context};
    struct kv_held_message held;
    enum kv_status st = begin(&repair);

    if (st == KV_OK)
        st = repair_all(&repair);
    if (st == KV_OK)
        st = finish(&repair);
    kv_message_hold(&held);
    kv_txn_abort(repair.txn);
    (void)!kv_store_close(repair.withheld);
    kv_message_restore(&held);
    kv_quarantine_close(repair.quarantine);
    kv_manifest_release(&repair.draft);
    kv_survey_release(&repair.survey);
    free(repair.spoiled);
    return st;
}
