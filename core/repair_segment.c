/* Repairing one segment, or the active log: see repair.h. */
#include <inttypes.h>
#include <stdlib.h>

#include "group.h"
#include "log_scan.h"
#include "merge.h"
#include "mutant.h"
#include "repair_private.h"
#include "replace.h"
#include "run.h"
#include "segment.h"
#include "segment_rebuild.h"

/* A segment being examined. */
struct patient {
    struct kv_repair *repair;
    struct kv_segment_info *info; /* as the draft has it, or made up for the active log */
    struct kv_salvage salvage;
    char name[KV_NAME_BYTES]; /* of the file that was read */
    bool is_missing, is_in_place;
    bool is_damaged;
};

/* ---- Reading it */

/* The file that is to be read as this segment: by its header; if no header tells, by its name. */
static bool find_file(struct patient *patient)
{
    const struct kv_survey *survey = &patient->repair->survey;
    const struct kv_survey_file *found = kv_survey_find(survey, patient->repair->draft.uuid,
                                                        patient->info->number, patient->info->salt);
    char nominal[KV_NAME_BYTES];

    kv_name_segment(nominal, patient->info->number);
    memcpy(patient->name, found ? found->name : nominal, sizeof(nominal));
    patient->is_in_place = strcmp(patient->name, nominal) == 0;
    if (found)
        return true;
    for (size_t i = 0; i < survey->count; i++) {
        if (strcmp(survey->files[i].name, nominal) == 0)
            return !survey->files[i].has_header; /* else it is another segment */
    }
    return false;
}

static enum kv_status load(struct patient *patient)
{
    const struct kv_place *place = &patient->repair->engine->place;
    enum kv_status st = KV_NOTFOUND;

    if (find_file(patient))
        st = kv_salvage_load(place, patient->name, &patient->salvage);
    if (st != KV_NOTFOUND && st != KV_INVALID)
        return st;
    patient->is_missing = true;
    patient->salvage = (struct kv_salvage){.place = place};
    return KV_OK;
}

/* Put a header together from what the manifest knows, for a file whose own is lost. */
static void assume_header(struct patient *patient)
{
    struct kv_salvage *salvage = &patient->salvage;
    const struct kv_segment_info *info = patient->info;
    struct kv_slice bytes = kv_salvage_rest(salvage, 0, UINT64_MAX);
    bool is_log = kv_commit_find(bytes, info->salt, KV_HEADER_BYTES) != SIZE_MAX;

    salvage->header = (struct kv_header){
        .role = is_log ? KV_ROLE_LOG : KV_ROLE_MERGE, .number = info->number, .salt = info->salt};
    if (is_log) {
        salvage->header.base_seq = info->min_seq > 0 ? info->min_seq - 1 : 0;
        salvage->header.log.base_lsn = info->first_lsn;
    }
    salvage->record_place =
        (struct kv_record_place){.salt = info->salt, .base_seq = salvage->header.base_seq};
}

/* Seqs of a merge output whose header is lost are relative to what its smallest one tells. */
static void assume_base_seq(struct patient *patient)
{
    struct kv_salvage *salvage = &patient->salvage;
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < salvage->count; i++) {
        uint64_t seq = kv_salvage_record(salvage, salvage->offsets[i]).seq;

        least = seq < least ? seq : least;
    }
    if (salvage->count > 0 && least <= patient->info->min_seq)
        salvage->header.base_seq = salvage->record_place.base_seq = patient->info->min_seq - least;
}

/* Is the file, byte for byte, what the manifest says? */
static bool is_sound(const struct patient *patient)
{
    const struct kv_salvage *salvage = &patient->salvage;
    const struct kv_segment_info *info = patient->info;
    bool is_log = salvage->header.role == KV_ROLE_LOG;
    uint64_t digest = is_log ? salvage->tail.digest : salvage->digest;

    return salvage->has_header && patient->is_in_place && salvage->gap_count == 0 &&
           salvage->count > 0 && (!is_log || salvage->tail.end_bytes == info->end_bytes) &&
           (digest == info->digest || (is_log && info->digest == 0));
}

static enum kv_status read_sealed(struct patient *patient)
{
    struct kv_salvage *salvage = &patient->salvage;
    const struct kv_segment_info *info = patient->info;
    struct kv_salvage_end end = {.last_seq = info->max_seq};
    enum kv_status st = load(patient);

    if (st != KV_OK)
        return st;
    if (!salvage->has_header)
        assume_header(patient);
    if (salvage->header.role == KV_ROLE_LOG) {
        end.known_lsn = end.limit_lsn =
            salvage->header.log.base_lsn + (info->end_bytes - KV_HEADER_BYTES);
        end.begins_anew = !salvage->has_header;
        st = kv_salvage_log(salvage, &end);
    } else {
        bool knows_seq =
            salvage->has_header && salvage->header.role == KV_ROLE_PENDING && info->max_seq > 0;

        st = kv_salvage_merge(salvage, info->end_bytes, knows_seq ? info->max_seq : 0);
        if (st == KV_OK && !salvage->has_header)
            assume_base_seq(patient);
    }
    patient->is_damaged = !is_sound(patient);
    return st;
}

/* ---- A sound one */

static bool same_key(const struct kv_buffer *a, const struct kv_buffer *b)
{
    return kv_slice_equal(kv_buffer_slice(a), kv_buffer_slice(b));
}

static bool same_totals(const struct kv_segment_info *a, const struct kv_segment_info *b)
{
    return a->record_count == b->record_count && a->entry_count == b->entry_count &&
           a->tombstone_count == b->tombstone_count && a->entry_bytes == b->entry_bytes &&
           a->min_seq == b->min_seq && a->max_seq == b->max_seq &&
           same_key(&a->min_key, &b->min_key) && same_key(&a->max_key, &b->max_key);
}

/* Take over what reading has found; the rest of the description stays. */
static void set_totals(struct kv_segment_info *info, struct kv_segment_info *found)
{
    uint64_t record_bytes = info->end_bytes - KV_HEADER_BYTES;

    info->record_count = found->record_count;
    info->entry_count = found->entry_count;
    info->tombstone_count = found->tombstone_count;
    info->entry_bytes = found->entry_bytes;
    info->min_seq = found->min_seq;
    info->max_seq = found->max_seq;
    info->dead_bytes = found->entry_bytes < record_bytes ? record_bytes - found->entry_bytes : 0;
    kv_buffer_release(&info->min_key);
    kv_buffer_release(&info->max_key);
    info->min_key = found->min_key; /* ownership moved */
    info->max_key = found->max_key;
    found->min_key = found->max_key = (struct kv_buffer){0};
}

/* Put the draft's description right. */
static enum kv_status check_totals(struct patient *patient)
{
    struct kv_repair *repair = patient->repair;
    struct kv_segment_info *info = patient->info, found = {0};
    bool was_known = info->entry_count > 0;
    enum kv_status st = kv_salvage_describe(&patient->salvage, &found);

    if (st == KV_OK && patient->salvage.header.role == KV_ROLE_LOG)
        info->digest = patient->salvage.tail.digest;
    if (st == KV_OK && !same_totals(info, &found)) {
        set_totals(info, &found);
        repair->is_changed = true;
        if (was_known)
            st = kv_repair_tell(repair, info->number, 0,
                                "MANIFEST did not describe the segment rightly: put right");
    }
    kv_segment_info_release(&found);
    return st;
}

static void count_problem(void *context, uint64_t offset, const char *text)
{
    (void)offset, (void)text;
    ++*(unsigned *)context;
}

/* Does the index lead to every record, and to nothing else? The data is known to be sound. */
static enum kv_status check_index(const struct patient *patient, bool *sound)
{
    const struct kv_place *place = &patient->repair->engine->place;
    unsigned problem_count = 0;
    struct kv_segment_watcher watcher = {.problem = count_problem, .context = &problem_count};
    struct kv_segment *segment;
    struct kv_index *index;
    enum kv_status st = kv_index_open(place, patient->info, &index);

    *sound = false;
    if (st != KV_OK)
        return st == KV_NOMEM ? st : KV_OK;
    kv_index_free(index);
    st = kv_segment_open(place, patient->info, &segment);
    if (st != KV_OK)
        return st;
    st = kv_segment_check(segment, &watcher);
    kv_segment_unref(segment);
    *sound = st == KV_OK && problem_count == 0;
    return st == KV_CORRUPT ? KV_OK : st;
}

static enum kv_status repair_index(struct patient *patient)
{
    const struct kv_place *place = &patient->repair->engine->place;
    const struct kv_salvage *salvage = &patient->salvage;
    const struct kv_segment_info *info = patient->info;
    struct kv_index *index;
    bool sound;
    enum kv_status st = check_index(patient, &sound);

    if (st != KV_OK || sound)
        return st;
    st = kv_segment_rebuild_index(place, info, &salvage->header,
                                  kv_slice_of(salvage->bytes, (size_t)info->end_bytes), &index);
    kv_index_free(index);
    return st == KV_OK ? kv_repair_tell(patient->repair, info->number, 0,
                                        "the index was missing or wrong: built anew")
                       : st;
}

/* ---- What is older */

static enum kv_status open_run(const struct kv_place *place, const struct kv_run *run,
                               struct kv_iter **out)
{
    struct kv_segment **segments = calloc(run->segment_count, sizeof(struct kv_segment *));
    struct kv_run_reader *reader = NULL;
    struct kv_slice low = kv_buffer_slice(&run->low);
    enum kv_status st = segments ? KV_OK : kv_fail_nomem();

    for (size_t i = 0; i < run->segment_count && st == KV_OK; i++)
        st = kv_segment_open(place, &run->segments[i], &segments[i]);
    if (st == KV_OK)
        st = kv_run_open(segments, run->segment_count, run->has_low ? &low : NULL, &reader);
    if (st == KV_OK)
        st = kv_run_iter(reader, out);
    kv_run_unref(reader);
    for (size_t i = 0; segments && i < run->segment_count; i++)
        kv_segment_unref(segments[i]);
    free(segments);
    return st;
}

/* The newest version of each key in the runs from `first` on; NULL: there are none. */
static enum kv_status open_older(const struct kv_repair *repair, size_t first, struct kv_iter **out)
{
    const struct kv_manifest *draft = &repair->draft;
    size_t run_count = draft->run_count - first, count = 0;
    struct kv_iter **iters;
    enum kv_status st = KV_OK;

    *out = NULL;
    if (run_count == 0)
        return KV_OK;
    iters = calloc(run_count, sizeof(struct kv_iter *));
    if (!iters)
        return kv_fail_nomem();
    while (st == KV_OK && count < run_count) {
        st = open_run(&repair->engine->place, &draft->runs[first + count], &iters[count]);
        count += st == KV_OK;
    }
    if (st == KV_OK)
        st = kv_merge_open(iters, count, out);
    else
        kv_iters_free(iters, &count);
    free(iters);
    return st;
}

/* ---- A damaged one */

static enum kv_status tell_damage(struct patient *patient)
{
    struct kv_repair *repair = patient->repair;
    const struct kv_salvage *salvage = &patient->salvage;
    uint64_t number = patient->info->number;
    enum kv_status st = KV_OK;

    if (patient->is_missing)
        return kv_repair_tell(repair, number, 0, "the file is missing, or another store's");
    if (!patient->is_in_place)
        st = kv_repair_tell(repair, number, 0, "was found under the name %s", patient->name);
    if (st == KV_OK && !salvage->has_header)
        st = kv_repair_tell(repair, number, 0, "the header cannot be read");
    if (st == KV_OK && salvage->bad_bytes > 0)
        st = kv_repair_tell(repair, number, 0, "the disk refuses to give %" PRIu64 " bytes",
                            salvage->bad_bytes);
    for (size_t i = 0; i < salvage->gap_count && st == KV_OK; i++) {
        const struct kv_gap *gap = &salvage->gaps[i];

        st = kv_repair_tell(repair, number, gap->from,
                            gap->contradicts ? "skipped %" PRIu32 " bytes: these are not the "
                                               "records that were committed there"
                                             : "skipped %" PRIu32 " bytes that cannot be read",
                            gap->to - gap->from);
    }
    return st;
}

static enum kv_status spoil(struct patient *patient)
{
    char name[KV_NAME_BYTES];
    enum kv_status st = KV_OK;

    patient->repair->is_changed = true;
    if (!patient->is_missing)
        st = kv_repair_spoil(patient->repair, patient->name);
    kv_name_segment(name, patient->info->number);
    if (st == KV_OK)
        st = kv_repair_spoil(patient->repair, name);
    kv_name_index(name, patient->info->number);
    return st == KV_OK ? kv_repair_spoil(patient->repair, name) : st;
}

/*
 * Write what takes the patient's place. `loss` has its bounds; runs from
 * `older` on are older. `*replace` has the result.
 */
static enum kv_status write_replacement(struct patient *patient, struct kv_loss *loss,
                                        bool last_of_run, size_t older,
                                        struct kv_segment_info *info, struct kv_replace *replace)
{
    struct kv_repair *repair = patient->repair;
    enum kv_status st = KV_OK;

    *replace = (struct kv_replace){.engine = repair->engine,
                                   .info = info,
                                   .salvage = &patient->salvage,
                                   .loss = loss,
                                   .last_of_run = last_of_run,
                                   .withhold = kv_repair_withhold,
                                   .goes_on = kv_repair_goes_on,
                                   .context = repair};
    if (!kv_loss_is_none(loss))
        st = open_older(repair, older, &replace->older);
    if (st == KV_OK)
        st = kv_replace_segment(replace);
    kv_iter_free(replace->older);
    if (st == KV_OK && replace->withheld_count > 0)
        st = kv_repair_tell(repair, info->number, 0,
                            "withheld %" PRIu64 " older rows whose newer versions may be lost: "
                            "they are in the store quarantine/withheld",
                            replace->withheld_count);
    if (st == KV_OK)
        st = kv_repair_tell(repair, info->number, 0, "kept %zu records; the file is in quarantine",
                            patient->salvage.count);
    return st == KV_OK ? spoil(patient) : st;
}

/* The draft took over what is described there, unless something failed (`st`). */
static void free_outputs(struct kv_replace *replace, enum kv_status st)
{
    for (size_t i = 0; st != KV_OK && i < replace->output_count; i++)
        kv_segment_info_release(&replace->outputs[i]);
    free(replace->outputs);
}

/* The first readable key of a segment that has not been described yet. */
static enum kv_status first_key_of(struct kv_repair *repair, struct kv_segment_info *info,
                                   struct kv_buffer *out)
{
    struct patient patient = {.repair = repair, .info = info};
    enum kv_status st = read_sealed(&patient);

    if (st == KV_OK && patient.salvage.count > 0)
        st =
            kv_buffer_set(out, kv_salvage_record(&patient.salvage, patient.salvage.offsets[0]).key);
    kv_salvage_release(&patient.salvage);
    return st;
}

/* Keys that a segment may have lost lie between those of its neighbours in the run. */
static enum kv_status bound(struct kv_repair *repair, size_t r, size_t s, struct kv_loss *loss,
                            struct kv_buffer *next_key)
{
    const struct kv_run *run = &repair->draft.runs[r];
    enum kv_status st = KV_OK;

    loss->min_key = kv_buffer_slice(&run->segments[s].min_key);
    loss->max_key = kv_buffer_slice(&run->segments[s].max_key);
    if (s > 0)
        loss->above = kv_buffer_slice(&run->segments[s - 1].max_key);
    if (run->has_low && !KV_MUTANT(low_ignored_by_repair) &&
        kv_slice_compare(kv_buffer_slice(&run->low), loss->above) > 0)
        loss->above = kv_buffer_slice(&run->low);
    if (s + 1 < run->segment_count) {
        st = run->segments[s + 1].min_key.size
                 ? kv_buffer_set(next_key, kv_buffer_slice(&run->segments[s + 1].min_key))
                 : first_key_of(repair, &run->segments[s + 1], next_key);
        loss->below = kv_buffer_slice(next_key);
    }
    return st;
}

/* Put the outputs in the place of segment `s`; their infos are taken over. */
static enum kv_status put_outputs(struct kv_run *run, size_t s, struct kv_replace *replace)
{
    size_t count = run->segment_count - 1 + replace->output_count;
    struct kv_segment_info *segments = calloc(count + 1, sizeof(*segments));

    if (!segments)
        return kv_fail_nomem();
    memcpy(segments, run->segments, s * sizeof(*segments));
    if (replace->output_count > 0)
        memcpy(segments + s, replace->outputs, replace->output_count * sizeof(*segments));
    memcpy(segments + s + replace->output_count, run->segments + s + 1,
           (run->segment_count - s - 1) * sizeof(*segments));
    kv_segment_info_release(&run->segments[s]);
    free(run->segments);
    run->segments = segments;
    run->segment_count = count;
    return KV_OK;
}

/* The segment's index; NULL: there is none that can be used. */
static enum kv_status open_evidence(const struct kv_repair *repair,
                                    const struct kv_segment_info *info, struct kv_index **out)
{
    enum kv_status st = kv_index_open(&repair->engine->place, info, out);

    return st == KV_NOTFOUND || st == KV_MISMATCH || st == KV_CORRUPT || st == KV_INVALID ? KV_OK
                                                                                          : st;
}

static enum kv_status replace_segment(struct patient *patient, size_t r, size_t s, size_t *count)
{
    struct kv_repair *repair = patient->repair;
    struct kv_salvage *salvage = &patient->salvage;
    struct kv_segment_info info = *patient->info; /* shallow: for the writer */
    bool is_log =
        salvage->bytes ? salvage->header.role == KV_ROLE_LOG : repair->draft.runs[r].tier == 0;
    struct kv_index *index = NULL;
    struct kv_loss loss = {0};
    struct kv_buffer next_key = {0};
    struct kv_replace replace = {0};
    bool is_last = s + 1 == repair->draft.runs[r].segment_count;
    enum kv_status st = tell_damage(patient);

    for (size_t i = 0; i < salvage->count; i++) {
        uint64_t seq = kv_salvage_record(salvage, salvage->offsets[i]).seq;

        info.max_seq = seq > info.max_seq ? seq : info.max_seq;
    }
    if (is_log)
        kv_salvage_sort(salvage);
    if (st == KV_OK)
        st = open_evidence(repair, &info, &index);
    if (st == KV_OK)
        st = kv_loss_init(&loss, salvage, index, is_log);
    if (st == KV_OK)
        st = bound(repair, r, s, &loss, &next_key);
    if (st == KV_OK)
        st = write_replacement(patient, &loss, is_last, r + 1, &info, &replace);
    if (st == KV_OK)
        st = put_outputs(&repair->draft.runs[r], s, &replace);
    *count = replace.output_count;
    free_outputs(&replace, st);
    kv_loss_release(&loss);
    kv_buffer_release(&next_key);
    kv_index_free(index);
    return st;
}

/*
 * The log that was active is sealed by the new manifest, which vouches for it. A process that died may have left
 * its end in the cache alone, after a failed sync perhaps: so it is copied, as failover would do.
 */
static enum kv_status tell_copied(const struct patient *patient)
{
    return kv_repair_tell(patient->repair, patient->info->number, 0,
                          "its last transactions may not be on the disk yet: it is written anew");
}

enum kv_status kv_repair_segment(struct kv_repair *repair, size_t r, size_t s, size_t *count)
{
    struct patient patient = {.repair = repair, .info = &repair->draft.runs[r].segments[s]};
    bool copied = repair->unsealed != 0 && patient.info->number == repair->unsealed &&
                  !KV_MUTANT(repaired_log_not_copied);
    enum kv_status st = read_sealed(&patient);

    *count = 1;
    if (st == KV_OK && copied)
        st = tell_copied(&patient);
    if (st == KV_OK && (patient.is_damaged || copied)) {
        st = replace_segment(&patient, r, s, count);
    } else if (st == KV_OK) {
        st = check_totals(&patient);
        if (st == KV_OK)
            st = repair_index(&patient);
    }
    kv_salvage_release(&patient.salvage);
    return st;
}

/* ---- The active log */

/* The manifest knows of the active log's header what matters. */
static bool agree(struct patient *patient)
{
    const struct kv_manifest *draft = &patient->repair->draft;
    struct kv_salvage *salvage = &patient->salvage;
    struct kv_header *header = &salvage->header;
    bool same = salvage->has_header && header->role == KV_ROLE_LOG &&
                header->log.base_lsn == draft->active.base_lsn &&
                header->log.previous_digest == draft->active.previous_digest &&
                header->base_seq == draft->last_seq;

    if (same)
        return true;
    salvage->has_header = false;
    *header = (struct kv_header){.role = KV_ROLE_LOG,
                                 .number = draft->active.number,
                                 .salt = draft->active.salt,
                                 .base_seq = draft->last_seq,
                                 .log = {.base_lsn = draft->active.base_lsn,
                                         .previous_digest = draft->active.previous_digest}};
    salvage->record_place =
        (struct kv_record_place){.salt = header->salt, .base_seq = header->base_seq};
    return false;
}

/* What takes the log's place in the draft. */
static enum kv_status replace_log(struct patient *patient)
{
    struct kv_repair *repair = patient->repair;
    struct kv_manifest *draft = &repair->draft;
    struct kv_salvage *salvage = &patient->salvage;
    struct kv_segment_info *info = patient->info;
    struct kv_replace replace = {0};
    struct kv_loss loss = {0};
    uint64_t end = salvage->size_bytes > salvage->tail.end_bytes ? salvage->size_bytes
                                                                 : salvage->tail.end_bytes;
    enum kv_status st = tell_damage(patient);

    info->last_lsn = info->first_lsn + (salvage->tail.end_bytes - KV_HEADER_BYTES);
    info->max_seq = salvage->tail.seq;
    info->min_time_ms = salvage->tail.min_time_ms;
    info->max_time_ms = salvage->tail.max_time_ms;
    kv_salvage_sort(salvage);
    if (st == KV_OK)
        st = kv_loss_init(&loss, salvage, NULL, true);
    if (st == KV_OK)
        st = write_replacement(patient, &loss, true, 0, info, &replace);
    if (st == KV_OK)
        st = kv_manifest_replace_runs(draft, 0, 0, 0, replace.outputs, replace.output_count);
    free_outputs(&replace, st);
    kv_loss_release(&loss);
    if (st != KV_OK)
        return st;
    draft->last_seq = salvage->tail.seq;
    draft->active.base_lsn += end;
    draft->active.previous_digest = salvage->tail.digest;
    repair->needs_log = true;
    return KV_OK;
}

/*
 * Read the log that the manifest names as active. `*sound`: it can stay. Its file may be
 * missing: then nothing counts in it.
 */
static enum kv_status read_log(struct patient *patient, bool *sound)
{
    struct kv_salvage_end end = {.known_lsn = patient->repair->draft.active.start_lsn};
    enum kv_status st = load(patient);

    if (st != KV_OK)
        return st;
    *sound = agree(patient) && patient->is_in_place;
    st = kv_salvage_log(&patient->salvage, &end);
    *sound = *sound && patient->salvage.gap_count == 0;
    return st;
}

enum kv_status kv_repair_log_end(struct kv_repair *repair, uint64_t *lsn)
{
    struct kv_segment_info info = {.number = repair->draft.active.number,
                                   .salt = repair->draft.active.salt};
    struct patient patient = {.repair = repair, .info = &info};
    bool sound;
    enum kv_status st = read_log(&patient, &sound);

    if (st == KV_OK)
        *lsn = repair->draft.active.base_lsn + (patient.salvage.tail.end_bytes - KV_HEADER_BYTES);
    kv_salvage_release(&patient.salvage);
    return st;
}

/* Read the log as opening will: it has the last word on what is sound, whatever the bytes are. */
static enum kv_status scan_log(const struct kv_repair *repair)
{
    const struct kv_manifest *draft = &repair->draft;
    struct kv_place place = repair->engine->place;
    struct kv_log_scan scan;
    struct kv_log *log;
    enum kv_status st;

    place.readonly = true;
    st = kv_log_open(&place, draft->active.number, draft->active.salt, &log);
    if (st != KV_OK)
        return st;
    st = kv_log_scan(log, draft->active.start_lsn, 0, &scan);
    if (st == KV_OK && log->tail.group != 0 && !kv_group_is_committed(draft, &log->tail))
        st = kv_fail(KV_CORRUPT, "it commits a large transaction whose segments are gone");
    kv_log_unref(log);
    return st;
}

/*
 * All that could be read is there; but a log may claim to have held more, past its own end or in an
 * LSN that it cannot have. Opening believes that rather than miss anything, and refuses.
 */
static enum kv_status check_claims(struct kv_repair *repair, bool *sound)
{
    enum kv_status st = *sound ? scan_log(repair) : KV_OK;

    if (st != KV_CORRUPT)
        return st;
    *sound = false;
    return kv_repair_tell(repair, repair->draft.active.number, 0, "%s", kv_message());
}

enum kv_status kv_repair_log(struct kv_repair *repair)
{
    const struct kv_manifest *draft = &repair->draft;
    struct kv_segment_info info = {.number = draft->active.number,
                                   .salt = draft->active.salt,
                                   .first_lsn = draft->active.base_lsn};
    struct patient patient = {.repair = repair, .info = &info};
    bool sound = false;
    enum kv_status st = read_log(&patient, &sound);

    if (st == KV_OK && !repair->needs_log)
        st = check_claims(repair, &sound);
    if (st == KV_OK && (!sound || repair->needs_log))
        st = replace_log(&patient);
    kv_salvage_release(&patient.salvage);
    return st;
}
