/* Unlisted files: see cleanup.h. */
#include "cleanup.h"

#include <stdio.h>
#include <stdlib.h>

#include "log_scan.h"
#include "mutant.h"
#include "names.h"
#include "salvage.h"

static enum kv_status note_number(void *context, const char *name)
{
    struct kv_engine *engine = context;
    uint64_t number;

    if (kv_name_parse(name, &number) != KV_NAME_IS_OTHER &&
        number >= atomic_load(&engine->next_number))
        atomic_store(&engine->next_number, number + 1);
    return KV_OK;
}

enum kv_status kv_cleanup_note_numbers(struct kv_engine *engine)
{
    atomic_store(&engine->next_number, engine->manifest.next_number);
    return kv_io_dir_list(engine->place.dir, note_number, engine);
}

static bool listed(const struct kv_engine *engine, uint64_t number)
{
    return number == engine->manifest.active.number ||
           kv_manifest_has_sealed(&engine->manifest, number);
}

/* Names that a listing found, kept because the directory is not changed while it is read. */
struct found {
    struct kv_engine *engine;
    char (*names)[KV_NAME_BYTES];
    size_t count, capacity;
    bool (*wanted)(const struct kv_engine *engine, enum kv_name_kind kind, uint64_t number);
};

static enum kv_status find(void *context, const char *name)
{
    struct found *found = context;
    uint64_t number;
    enum kv_name_kind kind = kv_name_parse(name, &number);

    if (!found->wanted(found->engine, kind, number))
        return KV_OK;
    if (found->count == found->capacity) {
        size_t capacity = found->capacity ? 2 * found->capacity : 16;
        void *names = realloc(found->names, capacity * sizeof(*found->names));

        if (!names)
            return kv_fail_nomem();
        found->names = names;
        found->capacity = capacity;
    }
    snprintf(found->names[found->count++], KV_NAME_BYTES, "%s", name);
    return KV_OK;
}

/* False if the file does not begin with the header of a segment of this store. */
static bool read_header(struct kv_engine *engine, const char *name, struct kv_header *header)
{
    uint8_t page[KV_HEADER_BYTES];
    struct kv_file *file;
    size_t got = 0;
    bool ok;

    if (kv_io_file_open(engine->place.dir, name, 0, 0, &file) != KV_OK)
        return false;
    ok = kv_io_read(file, 0, page, sizeof(page), &got) == KV_OK &&
         kv_header_decode(kv_slice_of(page, got), header) == KV_OK &&
         memcmp(header->uuid, engine->place.uuid, KV_UUID_BYTES) == 0;
    kv_io_file_close(file);
    return ok;
}

/* ---- Logs that the manifest has lost */

static bool is_later_segment(const struct kv_engine *engine, enum kv_name_kind kind,
                             uint64_t number)
{
    return kind == KV_NAME_IS_SEGMENT && number > engine->manifest.active.number &&
           !listed(engine, number);
}

/* A log begins where the one before it ended, or, after a failover, repeats the end of that. */
static bool continues(const struct kv_header *header, const struct kv_log_tail *tail)
{
    if (header->log.copied_seq != 0)
        return header->base_seq <= tail->seq && header->log.copied_seq >= tail->seq;
    return header->base_seq == tail->seq && header->log.previous_digest == tail->digest;
}

/* Is the file a log of this store that follows `tail`? */
static bool follows(struct kv_engine *engine, const char *name, const struct kv_log_tail *tail,
                    struct kv_header *header)
{
    return read_header(engine, name, header) && header->role == KV_ROLE_LOG &&
           continues(header, tail);
}

static enum kv_status check_one(struct kv_engine *engine, const char *name,
                                const struct kv_log_tail *tail)
{
    struct kv_log_scan scan;
    struct kv_header header;
    struct kv_log *log;
    enum kv_status st;

    if (!follows(engine, name, tail, &header))
        return KV_OK;
    st = kv_log_open(&engine->place, header.number, header.salt, &log);
    if (st != KV_OK)
        return st == KV_CORRUPT || st == KV_NOTFOUND ? KV_OK : st;
    st = kv_log_scan(log, header.log.base_lsn, 0, &scan);
    if (st == KV_OK && log->tail.seq > header.log.copied_seq && log->tail.seq > tail->seq &&
        !KV_MUTANT(lost_log_removed))
        st = kv_fail(KV_CORRUPT,
                     "%s: %s holds transactions after the last one of the active log, but MANIFEST "
                     "does not name it: MANIFEST is older than the store; nothing was changed",
                     engine->path, name);
    kv_log_unref(log);
    return st;
}

enum kv_status kv_cleanup_check_unlisted(struct kv_engine *engine, const struct kv_log_tail *tail)
{
    struct found found = {.engine = engine, .wanted = is_later_segment};
    enum kv_status st = kv_io_dir_list(engine->place.dir, find, &found);

    for (size_t i = 0; i < found.count && st == KV_OK; i++)
        st = check_one(engine, found.names[i], tail);
    free(found.names);
    return st;
}

/* ---- Leftovers */

static bool is_leftover(const struct kv_engine *engine, enum kv_name_kind kind, uint64_t number)
{
    switch (kind) {
    case KV_NAME_IS_SEGMENT: return !listed(engine, number);
    case KV_NAME_IS_INDEX: return !kv_manifest_has_sealed(&engine->manifest, number);
    default: return false;
    }
}

static bool is_leftover_alone(const struct kv_engine *engine, enum kv_name_kind kind,
                              uint64_t number)
{
    return kind == KV_NAME_IS_TEMPORARY || is_leftover(engine, kind, number);
}

/*
 * A segment, which a repair without a manifest could count. It holds deletes, perhaps, of what older
 * ones hold. While a merge's output is listed, that stands for all that was merged, but where it
 * had nothing to write, nothing does: so the older must not outlast the newer, on the disk neither.
 */
struct remains {
    const char *name;
    struct kv_header header;
    uint64_t begin_lsn; /* where what it holds begins; an output holds what several logs held */
};

static enum kv_status find_begin(struct kv_engine *engine, struct remains *remains)
{
    const struct kv_header *header = &remains->header;
    struct kv_salvage salvage = {0};
    struct kv_commit witness = {0};
    enum kv_status st;

    if (header->role != KV_ROLE_PENDING) {
        remains->begin_lsn =
            header->role == KV_ROLE_LOG ? header->log.base_lsn : header->merge.first_lsn;
        return KV_OK;
    }
    /* Without a witness its group is not settled: what no manifest names of it, nobody counts. */
    remains->begin_lsn = UINT64_MAX;
    st = kv_salvage_load(&engine->place, remains->name, &salvage);
    if (st == KV_OK && kv_salvage_witness(&salvage, &witness) != SIZE_MAX)
        remains->begin_lsn = witness.begin_lsn;
    kv_salvage_release(&salvage);
    return st;
}

/* A group comes before the rest of the log that has its COMMIT; of one group, the last segment is the newest. */
static int by_age(const void *a, const void *b)
{
    const struct remains *left = a, *right = b;
    bool left_is_log = left->header.role == KV_ROLE_LOG;
    bool right_is_log = right->header.role == KV_ROLE_LOG;

    if (left->begin_lsn != right->begin_lsn)
        return left->begin_lsn < right->begin_lsn ? -1 : 1;
    if (left_is_log != right_is_log)
        return left_is_log ? 1 : -1;
    return (left->header.number > right->header.number) -
           (left->header.number < right->header.number);
}

/* Outputs that begin alike hold what the same logs held, under other keys. */
static bool in_any_order(const struct remains *older, const struct remains *newer)
{
    return older->header.role == KV_ROLE_MERGE && newer->header.role == KV_ROLE_MERGE &&
           older->begin_lsn == newer->begin_lsn;
}

static enum kv_status sync_removals(struct kv_engine *engine)
{
    return kv_io_dir_sync(engine->place.dir);
}

/* Their beginnings have been found. */
static enum kv_status remove_by_age(struct kv_engine *engine, struct remains *all, size_t count)
{
    enum kv_status st = KV_OK;

    if (!KV_MUTANT(leftovers_in_any_order))
        qsort(all, count, sizeof(*all), by_age);
    for (size_t i = 0; i < count && st == KV_OK; i++) {
        if (i > 0 && !in_any_order(&all[i - 1], &all[i]))
            st = KV_UNLESS_MUTANT(leftovers_without_sync, sync_removals(engine));
        if (st == KV_OK)
            st = kv_io_unlink(engine->place.dir, all[i].name);
    }
    return st;
}

/* What nobody could count goes first. */
static enum kv_status remove_all(struct kv_engine *engine, const struct found *found,
                                 struct remains *remains)
{
    size_t count = 0;
    enum kv_status st = KV_OK;

    for (size_t i = 0; i < found->count && st == KV_OK; i++) {
        const char *name = found->names[i];
        uint64_t number;

        remains[count] = (struct remains){.name = name};
        if (kv_name_parse(name, &number) == KV_NAME_IS_SEGMENT &&
            read_header(engine, name, &remains[count].header))
            st = find_begin(engine, &remains[count++]);
        else
            st = kv_io_unlink(engine->place.dir, name);
    }
    return st == KV_OK ? remove_by_age(engine, remains, count) : st;
}

/*
 * Without a manifest a log counts for more than those numbered below it. One that a crash
 * brought back would hide what is written to the active log from now on.
 */
static bool may_return(const struct kv_engine *engine, const struct found *found)
{
    for (size_t i = 0; i < found->count; i++) {
        uint64_t number;

        if (kv_name_parse(found->names[i], &number) != KV_NAME_IS_TEMPORARY &&
            number > engine->manifest.active.number)
            return true;
    }
    return false;
}

enum kv_status kv_cleanup(struct kv_engine *engine, bool alone)
{
    struct found found = {.engine = engine, .wanted = alone ? is_leftover_alone : is_leftover};
    struct remains *remains = NULL;
    enum kv_status st = kv_io_dir_list(engine->place.dir, find, &found);

    if (st == KV_OK && found.count > 0) {
        remains = calloc(found.count, sizeof(*remains));
        st = remains ? KV_UNLESS_MUTANT(leftovers_stay, remove_all(engine, &found, remains))
                     : kv_fail_nomem();
    }
    if (st == KV_OK && may_return(engine, &found))
        st = KV_UNLESS_MUTANT(later_log_may_return, sync_removals(engine));
    free(remains);
    free(found.names);
    return st;
}

/* ---- Leftovers of earlier merges */

static bool is_unlisted_segment(const struct kv_engine *engine, enum kv_name_kind kind,
                                uint64_t number)
{
    return kind == KV_NAME_IS_SEGMENT && !listed(engine, number);
}

/* Of those found, the ones that `old` does not name either and that begin before `end_lsn`. */
static enum kv_status choose_earlier(struct kv_engine *engine, const struct found *found,
                                     const struct kv_manifest *old, uint64_t end_lsn,
                                     struct remains *remains, size_t *count)
{
    enum kv_status st = KV_OK;

    *count = 0;
    for (size_t i = 0; i < found->count && st == KV_OK; i++) {
        struct remains *next = &remains[*count];
        uint64_t number;

        *next = (struct remains){.name = found->names[i]};
        (void)kv_name_parse(next->name, &number);
        if (kv_manifest_has_sealed(old, number) || !read_header(engine, next->name, &next->header))
            continue;
        st = find_begin(engine, next);
        *count += st == KV_OK && next->begin_lsn < end_lsn;
    }
    return st;
}

enum kv_status kv_cleanup_earlier(struct kv_engine *engine, const struct kv_manifest *old,
                                  uint64_t end_lsn)
{
    struct found found = {.engine = engine, .wanted = is_unlisted_segment};
    struct remains *remains = NULL;
    size_t count = 0;
    enum kv_status st = kv_io_dir_list(engine->place.dir, find, &found);

    if (st == KV_OK && found.count > 0) {
        remains = calloc(found.count, sizeof(*remains));
        st = remains ? choose_earlier(engine, &found, old, end_lsn, remains, &count)
                     : kv_fail_nomem();
    }
    if (st == KV_OK && count > 0) {
        st = remove_by_age(engine, remains, count);
        if (st == KV_OK)
            st = sync_removals(engine);
    }
    free(remains);
    free(found.names);
    return st;
}
