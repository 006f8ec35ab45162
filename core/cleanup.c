/* Unlisted files: see cleanup.h. */
#include "cleanup.h"

#include <stdio.h>
#include <stdlib.h>

#include "log_scan.h"
#include "mutant.h"
#include "names.h"

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

/* Read the header; false if the file is not a log of this store that follows `tail`. */
static bool follows(struct kv_engine *engine, const char *name, const struct kv_log_tail *tail,
                    struct kv_header *header)
{
    uint8_t page[KV_HEADER_BYTES];
    struct kv_file *file;
    size_t got = 0;
    bool ok;

    if (kv_io_file_open(engine->place.dir, name, 0, 0, &file) != KV_OK)
        return false;
    ok = kv_io_read(file, 0, page, sizeof(page), &got) == KV_OK &&
         kv_header_decode(kv_slice_of(page, got), header) == KV_OK && header->role == KV_ROLE_LOG &&
         memcmp(header->uuid, engine->place.uuid, KV_UUID_BYTES) == 0 && continues(header, tail);
    kv_io_file_close(file);
    return ok;
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

enum kv_status kv_cleanup(struct kv_engine *engine, bool alone)
{
    struct found found = {.engine = engine, .wanted = alone ? is_leftover_alone : is_leftover};
    bool may_return = false;
    enum kv_status st = kv_io_dir_list(engine->place.dir, find, &found);

    for (size_t i = 0; i < found.count && st == KV_OK; i++) {
        uint64_t number;
        enum kv_name_kind kind = kv_name_parse(found.names[i], &number);

        may_return |= kind != KV_NAME_IS_TEMPORARY && number > engine->manifest.active.number;
        st = KV_UNLESS_MUTANT(leftovers_stay, kv_io_unlink(engine->place.dir, found.names[i]));
    }
    free(found.names);
    /*
     * Without a manifest a log counts for more than those numbered below it. One that a crash
     * brought back would hide what is written to the active log from now on.
     */
    if (st == KV_OK && may_return)
        st = KV_UNLESS_MUTANT(later_log_may_return, kv_io_dir_sync(engine->place.dir));
    return st;
}
