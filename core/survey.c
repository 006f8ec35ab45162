/* Looking at a directory, and making a manifest of it: see survey.h. */
#include "survey.h"

#include <stdio.h>
#include <stdlib.h>

#include "bytes.h"
#include "hash.h"
#include "lineup.h"
#include "mutant.h"
#include "salvage.h"

enum { INTERVAL_HEAD_BYTES = 12 };

/* ---- The directory */

static enum kv_status add_name(void *context, const char *name)
{
    struct kv_survey *survey = context;
    struct kv_survey_file file = {0};

    file.kind = kv_name_parse(name, &file.number);
    if (file.kind != KV_NAME_IS_SEGMENT && file.kind != KV_NAME_IS_INDEX &&
        file.kind != KV_NAME_IS_MANIFEST)
        return KV_OK;
    snprintf(file.name, sizeof(file.name), "%s", name);
    if (survey->count == survey->capacity) {
        size_t capacity = survey->capacity ? 2 * survey->capacity : 32;
        struct kv_survey_file *files = realloc(survey->files, capacity * sizeof(*files));

        if (!files)
            return kv_fail_nomem();
        survey->files = files;
        survey->capacity = capacity;
    }
    survey->files[survey->count++] = file;
    return KV_OK;
}

/* Read, twice if need be. What a disk refuses to give is no failure of ours: `*got` is 0 then. */
static enum kv_status read_some(struct kv_file *file, uint64_t offset, void *data, size_t size,
                                size_t *got)
{
    enum kv_status st = kv_io_read(file, offset, data, size, got);

    if (st == KV_IOERR)
        st = kv_io_read(file, offset, data, size, got);
    if (st == KV_IOERR)
        *got = 0;
    return st == KV_IOERR ? KV_OK : st;
}

/* A file whose first page cannot be read has no header. */
static enum kv_status look(const struct kv_place *place, struct kv_survey_file *out)
{
    uint8_t page[KV_HEADER_BYTES];
    struct kv_file *file;
    size_t got = 0;
    enum kv_status st = kv_io_file_open(place->dir, out->name, 0, 0, &file), header;

    if (st != KV_OK) /* one that is no file is none; too many open ones are another matter */
        return st == KV_NOTFOUND || st == KV_INVALID ? KV_OK : st;
    st = kv_io_file_size(file, &out->size_bytes);
    if (st == KV_OK)
        st = read_some(file, 0, page, sizeof(page), &got);
    kv_io_file_close(file);
    if (st != KV_OK)
        return st;
    header = kv_header_decode(kv_slice_of(page, got), &out->header);
    out->has_header = header == KV_OK;
    if (header == KV_NEWER)
        return kv_fail(KV_NEWER, "%s/%s: was written by a newer version of sqlite-kv", place->path,
                       out->name);
    return KV_OK;
}

enum kv_status kv_survey_directory(const struct kv_place *place, struct kv_survey *out)
{
    enum kv_status st;

    *out = (struct kv_survey){0};
    st = kv_io_dir_list(place->dir, add_name, out);
    for (size_t i = 0; i < out->count && st == KV_OK; i++)
        st = look(place, &out->files[i]);
    return st;
}

void kv_survey_release(struct kv_survey *survey)
{
    free(survey->files);
    *survey = (struct kv_survey){0};
}

static bool has_its_name(const struct kv_survey_file *file)
{
    return file->kind == KV_NAME_IS_SEGMENT && file->number == file->header.number;
}

const struct kv_survey_file *kv_survey_find(const struct kv_survey *survey, const uint8_t *uuid,
                                            uint64_t number, uint64_t salt)
{
    const struct kv_survey_file *found = NULL;

    for (size_t i = 0; i < survey->count; i++) {
        const struct kv_survey_file *file = &survey->files[i];

        if (file->has_header && file->header.number == number && file->header.salt == salt &&
            memcmp(file->header.uuid, uuid, KV_UUID_BYTES) == 0 && (!found || has_its_name(file)))
            found = file;
    }
    return found;
}

static size_t count_uuid(const struct kv_survey *survey, const uint8_t *uuid)
{
    size_t count = 0;

    for (size_t i = 0; i < survey->count; i++)
        count += survey->files[i].has_header &&
                 memcmp(survey->files[i].header.uuid, uuid, KV_UUID_BYTES) == 0;
    return count;
}

bool kv_survey_uuid(const struct kv_survey *survey, uint8_t out[KV_UUID_BYTES])
{
    const struct kv_survey_file *best = NULL;
    size_t best_count = 0;

    for (size_t i = 0; i < survey->count; i++) {
        const struct kv_survey_file *file = &survey->files[i];
        size_t count = file->has_header ? count_uuid(survey, file->header.uuid) : 0;

        if (count > best_count ||
            (count > 0 && count == best_count && file->header.number > best->header.number)) {
            best = file;
            best_count = count;
        }
    }
    if (best)
        memcpy(out, best->header.uuid, KV_UUID_BYTES);
    return best != NULL;
}

/* ---- Logs that no manifest tells of */

/*
 * A log's own account: where it ends, and with which seq and digest; and whether it is known to be durable up
 * to there. `end` is what others say.
 */
static enum kv_status read_log(const struct kv_place *place, const struct kv_survey_file *file,
                               const struct kv_salvage_end *end, struct kv_log_tail *tail,
                               bool *durable)
{
    struct kv_salvage salvage;
    enum kv_status st = kv_salvage_load(place, file->name, &salvage);

    if (st != KV_OK)
        return st;
    st = kv_salvage_log(&salvage, end);
    *tail = salvage.tail;
    *durable = salvage.durable_bytes >= salvage.tail.end_bytes;
    kv_salvage_release(&salvage);
    return st;
}

static bool is_our(enum kv_segment_role role, const struct kv_survey_file *file,
                   const uint8_t *uuid)
{
    return file->has_header && file->header.role == role &&
           memcmp(file->header.uuid, uuid, KV_UUID_BYTES) == 0;
}

static bool is_our_log(const struct kv_survey_file *file, const uint8_t *uuid)
{
    return is_our(KV_ROLE_LOG, file, uuid);
}

/*
 * Where logs are known to have begun or ended. What outputs of merges and large transactions tell of logs that are
 * gone is as good as a log that is there: merges summarise whole logs, and a group's COMMIT is the first in its log.
 */
struct boundaries {
    uint64_t *lsns;
    size_t count;
};

/* Where the log with the COMMIT of a pending segment's group began. */
static enum kv_status add_group(const struct kv_place *place, const struct kv_survey_file *file,
                                struct boundaries *out)
{
    struct kv_salvage salvage;
    struct kv_commit commit;
    enum kv_status st = kv_salvage_load(place, file->name, &salvage);

    if (st != KV_OK)
        return st;
    if (kv_salvage_witness(&salvage, &commit) != SIZE_MAX && !KV_MUTANT(groups_tell_no_ends))
        out->lsns[out->count++] = commit.begin_lsn;
    kv_salvage_release(&salvage);
    return KV_OK;
}

static enum kv_status find_boundaries(const struct kv_survey *survey, const struct kv_place *place,
                                      const uint8_t *uuid, struct boundaries *out)
{
    enum kv_status st = KV_OK;

    *out = (struct boundaries){.lsns = calloc(2 * survey->count + 1, sizeof(*out->lsns))};
    if (!out->lsns)
        return kv_fail_nomem();
    for (size_t i = 0; i < survey->count && st == KV_OK; i++) {
        const struct kv_survey_file *file = &survey->files[i];

        if (is_our(KV_ROLE_LOG, file, uuid))
            out->lsns[out->count++] = file->header.log.base_lsn;
        if (is_our(KV_ROLE_MERGE, file, uuid) && !KV_MUTANT(outputs_tell_no_ends)) {
            out->lsns[out->count++] = file->header.merge.first_lsn;
            out->lsns[out->count++] = file->header.merge.last_lsn;
        }
        if (is_our(KV_ROLE_PENDING, file, uuid))
            st = add_group(place, file, out);
    }
    return st;
}

/* Where a log that begins at `base` has ended, at the latest. */
static uint64_t next_boundary(const struct boundaries *boundaries, uint64_t base)
{
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < boundaries->count; i++) {
        if (boundaries->lsns[i] > base && boundaries->lsns[i] < next)
            next = boundaries->lsns[i];
    }
    return next;
}

/*
 * What a log's successor says of its end. The log alone cannot tell whether its last transaction was
 * damaged or torn. Logs behind the successor speak of other LSNs, past the next boundary.
 */
static struct kv_salvage_end sealed_end(const struct kv_survey *survey,
                                        const struct boundaries *boundaries,
                                        const struct kv_survey_file *log)
{
    uint64_t base = log->header.log.base_lsn, last = next_boundary(boundaries, base);
    const uint8_t *uuid = log->header.uuid;
    struct kv_salvage_end end = {0};

    for (size_t i = 0; i < survey->count; i++) {
        const struct kv_header *other = &survey->files[i].header;
        uint64_t lsn = other->log.previous_end_lsn;

        if (is_our_log(&survey->files[i], uuid) && other->number > log->header.number &&
            lsn > base && lsn <= last && lsn - base <= log->size_bytes - KV_HEADER_BYTES &&
            lsn > end.known_lsn) {
            end.known_lsn = lsn;
            end.last_seq = other->base_seq;
        }
    }
    return end;
}

enum kv_status kv_survey_is_outdated(const struct kv_survey *survey, const struct kv_place *place,
                                     const struct kv_manifest *manifest, bool *out)
{
    struct kv_salvage_end unknown = {0};
    enum kv_status st = KV_OK;

    *out = false;
    for (size_t i = 0; i < survey->count && st == KV_OK && !*out; i++) {
        const struct kv_survey_file *file = &survey->files[i];
        struct kv_log_tail tail;
        bool durable;

        if (!is_our_log(file, manifest->uuid) || file->header.number < manifest->next_number)
            continue;
        st = read_log(place, file, &unknown, &tail, &durable);
        *out = st == KV_OK && tail.seq > file->header.log.copied_seq &&
               tail.seq > file->header.base_seq && tail.seq > manifest->last_seq;
    }
    return st;
}

/* ---- Candidates */

/* What is known of one file that may count. */
struct candidate {
    const struct kv_survey_file *file;
    struct kv_log_tail tail;   /* of a log */
    bool is_durable;           /* of a log: up to there */
    struct kv_buffer interval; /* of an output: low, then high */
    size_t low_size;
    struct { /* of a pending segment */
        bool is_committed;
        uint64_t end_bytes, digest, seq, begin_lsn;
    } pending;
};

/* The key interval behind an output's records; unreadable: it covers all keys, lest something comes back. */
static enum kv_status read_interval(const struct kv_place *place, struct candidate *candidate,
                                    bool *readable)
{
    const struct kv_header *header = &candidate->file->header;
    uint32_t size = header->merge.interval_bytes;
    uint8_t *bytes = malloc(size);
    struct kv_file *file;
    size_t got = 0;
    enum kv_status st =
        bytes ? kv_io_file_open(place->dir, candidate->file->name, 0, 0, &file) : kv_fail_nomem();

    *readable = false;
    if (st != KV_OK) {
        free(bytes);
        return st;
    }
    st = read_some(file, header->merge.end_bytes, bytes, size, &got);
    if (st == KV_OK && got == size &&
        kv_checksum(bytes + 4, size - 4, header->salt ^ header->merge.end_bytes) ==
            kv_load_u32(bytes)) {
        uint64_t low = kv_load_u32(bytes + 4), high = kv_load_u32(bytes + 8);

        if (INTERVAL_HEAD_BYTES + low + high == size) {
            *readable = true;
            candidate->low_size = (size_t)low;
            st = kv_buffer_set(&candidate->interval, kv_slice_of(bytes + INTERVAL_HEAD_BYTES,
                                                                 size - INTERVAL_HEAD_BYTES));
        }
    }
    kv_io_file_close(file);
    free(bytes);
    return st;
}

/* ---- Pending segments (group.h) */

/* Where the first record is that cannot be read. */
static uint64_t readable_end(const struct kv_salvage *salvage)
{
    uint64_t at = KV_HEADER_BYTES;
    struct kv_record record;

    while (kv_record_decode(kv_salvage_rest(salvage, at, UINT64_MAX), &salvage->record_place, at,
                            &record) == KV_OK)
        at += record.size_bytes;
    return at;
}

static bool find_witness(const struct kv_salvage *salvage, struct candidate *out)
{
    struct kv_commit commit;
    size_t at = kv_salvage_witness(salvage, &commit);

    if (at == SIZE_MAX)
        return false;
    out->pending.end_bytes = at;
    out->pending.seq = commit.seq;
    out->pending.begin_lsn = commit.begin_lsn;
    return true;
}

/* The log whose COMMIT names the group. */
static bool find_log(const struct candidate *candidates, size_t count, struct candidate *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct kv_header *header = &candidates[i].file->header;

        if (header->role != KV_ROLE_LOG ||
            (candidates[i].tail.group != out->file->header.pending.group &&
             !KV_MUTANT(any_log_commits_group)))
            continue;
        out->pending.begin_lsn = header->log.base_lsn;
        out->pending.seq = header->base_seq + 1;
        return true;
    }
    return false;
}

/* Find out whether a pending segment counts, and where it ends. The logs are among the candidates. */
static enum kv_status read_pending(const struct kv_place *place, const struct candidate *candidates,
                                   size_t count, struct candidate *out)
{
    struct kv_salvage salvage;
    enum kv_status st = kv_salvage_load(place, out->file->name, &salvage);

    if (st != KV_OK)
        return st;
    out->pending.is_committed = find_witness(&salvage, out) && !KV_MUTANT(witness_ignored);
    if (!out->pending.is_committed && find_log(candidates, count, out)) {
        out->pending.is_committed = true;
        out->pending.end_bytes = readable_end(&salvage);
    }
    if (out->pending.is_committed)
        st = kv_salvage_merge(&salvage, out->pending.end_bytes, out->pending.seq);
    out->pending.digest = salvage.digest;
    kv_salvage_release(&salvage);
    return st;
}

static enum kv_status describe(const struct kv_survey *survey, const struct kv_place *place,
                               const struct boundaries *boundaries, struct candidate *candidate,
                               struct kv_lineup_file *out)
{
    const struct kv_header *header = &candidate->file->header;
    struct kv_salvage_end end;
    struct kv_slice keys;
    bool readable;
    enum kv_status st;

    out->number = header->number;
    out->is_log = header->role == KV_ROLE_LOG;
    if (out->is_log) {
        end = sealed_end(survey, boundaries, candidate->file);
        st = read_log(place, candidate->file, &end, &candidate->tail, &candidate->is_durable);
        out->first_lsn = header->log.base_lsn;
        out->last_lsn = header->log.base_lsn + (candidate->tail.end_bytes - KV_HEADER_BYTES);
        out->base_seq = header->base_seq;
        out->previous_end_lsn = header->log.previous_end_lsn;
        out->copied_seq = header->log.copied_seq;
        return st;
    }
    st = read_interval(place, candidate, &readable);
    keys = kv_buffer_slice(&candidate->interval);
    out->first_lsn = header->merge.first_lsn;
    out->last_lsn = header->merge.last_lsn;
    out->last_of_run = header->merge.last_of_run || !readable;
    out->low = kv_slice_of(keys.data, candidate->low_size);
    if (keys.size)
        out->high = kv_slice_of(keys.data + candidate->low_size, keys.size - candidate->low_size);
    return st;
}

/* ---- The manifest */

static void fill_info(const struct candidate *candidate, const struct kv_lineup_file *choice,
                      struct kv_segment_info *info)
{
    const struct kv_header *header = &candidate->file->header;

    *info = (struct kv_segment_info){.number = header->number,
                                     .salt = header->salt,
                                     .first_lsn = choice->first_lsn,
                                     .last_lsn = choice->end_lsn,
                                     .min_time_ms = header->time_ms,
                                     .max_time_ms = header->time_ms};
    if (choice->is_pending) {
        info->end_bytes = candidate->pending.end_bytes;
        info->digest = candidate->pending.digest;
        info->max_seq = candidate->pending.seq;
        return;
    }
    if (!choice->is_log) {
        info->end_bytes = header->merge.end_bytes;
        info->digest = header->merge.digest;
        return;
    }
    info->end_bytes = KV_HEADER_BYTES + (choice->end_lsn - choice->first_lsn);
    if (info->end_bytes != candidate->tail.end_bytes)
        return; /* cut: its digest and last seq are read later */
    info->digest = candidate->tail.digest;
    info->max_seq = candidate->tail.seq;
    info->min_time_ms = candidate->tail.min_time_ms;
    info->max_time_ms = candidate->tail.max_time_ms;
}

/* Put a segment behind those of the oldest run. */
static enum kv_status append_segment(struct kv_run *run, const struct kv_segment_info *info)
{
    struct kv_segment_info *segments =
        realloc(run->segments, (run->segment_count + 1) * sizeof(*segments));

    if (!segments)
        return kv_fail_nomem();
    run->segments = segments;
    segments[run->segment_count++] = *info;
    return KV_OK;
}

static enum kv_status append_run(struct kv_manifest *manifest, const struct kv_lineup_file *choice)
{
    struct kv_run *runs = realloc(manifest->runs, (manifest->run_count + 1) * sizeof(*runs));
    struct kv_run *run;
    unsigned tier = choice->is_log || choice->is_pending ? 0 : 1; /* tiers never descend */

    if (!runs)
        return kv_fail_nomem();
    manifest->runs = runs;
    if (manifest->run_count > 0 && runs[manifest->run_count - 1].tier > tier)
        tier = runs[manifest->run_count - 1].tier;
    run = &runs[manifest->run_count++];
    *run = (struct kv_run){.tier = tier,
                           .has_low = choice->has_hidden && !KV_MUTANT(low_ignored_by_survey)};
    return run->has_low ? kv_buffer_set(&run->low, choice->hidden) : KV_OK;
}

static enum kv_status add_choices(const struct candidate *candidates,
                                  const struct kv_lineup_file *choices, size_t count,
                                  struct kv_manifest *manifest, uint64_t *unsealed)
{
    uint64_t newest_lsn = 0;
    enum kv_status st = KV_OK;

    for (size_t i = 0; i < count && st == KV_OK; i++) {
        const struct candidate *candidate = &candidates[choices[i].context];
        struct kv_segment_info info;

        if (candidate->tail.seq > manifest->last_seq && choices[i].counts)
            manifest->last_seq = candidate->tail.seq;
        if (!choices[i].counts)
            continue;
        if (choices[i].is_log && choices[i].end_lsn > newest_lsn) {
            newest_lsn = choices[i].end_lsn;
            manifest->active.previous_digest = candidate->tail.digest;
            *unsealed = candidate->is_durable ? 0 : choices[i].number;
        }
        fill_info(candidate, &choices[i], &info);
        if (!choices[i].continues_run || manifest->run_count == 0)
            st = append_run(manifest, &choices[i]);
        if (st == KV_OK)
            st = append_segment(&manifest->runs[manifest->run_count - 1], &info);
    }
    return st;
}

/*
 * No LSN is used twice, whatever became of the file that had it. Neither is a seq: a log says how many
 * transactions there were before it, of which no record may be left.
 */
static void go_past(struct kv_manifest *manifest, const struct kv_survey_file *file)
{
    const struct kv_header *header = &file->header;
    bool is_log = header->role == KV_ROLE_LOG;
    uint64_t lsn = is_log ? header->log.base_lsn + file->size_bytes : header->merge.last_lsn;

    if (header->role != KV_ROLE_PENDING && lsn > manifest->active.base_lsn)
        manifest->active.base_lsn = lsn;
    if (is_log && header->base_seq > manifest->last_seq)
        manifest->last_seq = header->base_seq;
}

static bool is_ours(const struct kv_survey *survey, const uint8_t *uuid,
                    const struct kv_survey_file *file)
{
    return file->has_header && memcmp(file->header.uuid, uuid, KV_UUID_BYTES) == 0 &&
           kv_survey_find(survey, uuid, file->header.number, file->header.salt) == file;
}

/* Collect what may count into the two arrays, each with room for every file. */
static enum kv_status collect(const struct kv_survey *survey, const struct kv_place *place,
                              const struct boundaries *boundaries, struct kv_manifest *manifest,
                              struct candidate *candidates, struct kv_lineup_file *choices,
                              size_t *count)
{
    enum kv_status st = KV_OK;

    for (size_t i = 0; i < survey->count && st == KV_OK; i++) {
        const struct kv_survey_file *file = &survey->files[i];

        if (!is_ours(survey, manifest->uuid, file) || file->header.role == KV_ROLE_PENDING)
            continue;
        go_past(manifest, file);
        candidates[*count].file = file;
        choices[*count].context = *count;
        st = describe(survey, place, boundaries, &candidates[*count], &choices[*count]);
        ++*count;
    }
    return st;
}

/* The same for pending segments whose group a COMMIT names. */
static enum kv_status collect_pending(const struct kv_survey *survey, const struct kv_place *place,
                                      const struct kv_manifest *manifest,
                                      struct candidate *candidates, struct kv_lineup_file *choices,
                                      size_t *count)
{
    enum kv_status st = KV_OK;

    for (size_t i = 0; i < survey->count && st == KV_OK; i++) {
        const struct kv_survey_file *file = &survey->files[i];
        struct candidate *candidate = &candidates[*count];

        if (!is_ours(survey, manifest->uuid, file) || file->header.role != KV_ROLE_PENDING)
            continue;
        *candidate = (struct candidate){.file = file};
        st = read_pending(place, candidates, *count, candidate);
        if (st != KV_OK || !candidate->pending.is_committed)
            continue;
        choices[*count] =
            (struct kv_lineup_file){.number = file->header.number,
                                    .is_pending = true,
                                    .first_lsn = candidate->pending.begin_lsn,
                                    .last_lsn = candidate->pending.begin_lsn + KV_COMMIT_BYTES,
                                    .ordinal = file->header.pending.ordinal,
                                    .last_of_run = true,
                                    .context = *count};
        ++*count;
    }
    return st;
}

enum kv_status kv_survey_runs(const struct kv_survey *survey, const struct kv_place *place,
                              struct kv_manifest *manifest, uint64_t *unsealed)
{
    struct candidate *candidates = calloc(survey->count + 1, sizeof(*candidates));
    struct kv_lineup_file *choices = calloc(survey->count + 1, sizeof(*choices));
    struct boundaries boundaries = {0};
    size_t count = 0;
    enum kv_status st = candidates && choices ? KV_OK : kv_fail_nomem();

    *unsealed = 0;
    if (st == KV_OK)
        st = find_boundaries(survey, place, manifest->uuid, &boundaries);
    if (st == KV_OK)
        st = collect(survey, place, &boundaries, manifest, candidates, choices, &count);
    if (st == KV_OK)
        st = collect_pending(survey, place, manifest, candidates, choices, &count);
    if (st == KV_OK) {
        kv_lineup(choices, count);
        st = add_choices(candidates, choices, count, manifest, unsealed);
    }
    for (size_t i = 0; candidates && i < count; i++)
        kv_buffer_release(&candidates[i].interval);
    free(boundaries.lsns);
    free(candidates);
    free(choices);
    return st;
}
