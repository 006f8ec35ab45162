/*
 * kv_backup: a consistent copy of a store that others go on using.
 *
 * What it copies. Sealed segments never change, so a manifest and the files
 * that it names are a state of the store. The active log is sealed first, as
 * compaction does it; then a manifest is taken together with its version,
 * which keeps every file readable although merges may unlink it meanwhile. The
 * backup is that manifest with an empty log of its own in the place of the
 * active one. A store that must not be changed is not sealed: what has been committed to its
 * log is copied into the backup, as a sealed log with a number of the backup's.
 *
 * Numbers. A backup names segments by the store's numbers, now and later, so
 * its own files must never take one that the store will give: they begin at
 * the next billion. What an unfinished backup leaves must not be taken for a later
 * log of the earlier one (cleanup.h): the store's numbers are below that of its
 * active log in any case, and the copy of a log gets one that is, too.
 *
 * Trust. Each file that is new to the backup is read and verified in the
 * backup's directory, header, records and digest, before a manifest names it: what
 * is damaged in the store never takes the place of what is sound in an earlier backup.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "backup_target.h"
#include "copy.h"
#include "create.h"
#include "log_index.h"
#include "log_scan.h"
#include "mutant.h"
#include "names.h"
#include "seal.h"
#include "segment_scan.h"
#include "writer.h"

static const uint64_t NUMBERS_APART = 1000000000;

enum { ASK_EVERY_BYTES = 1024 * 1024 }; /* read between questions whether to go on */

struct backup {
    struct kv_store *store;
    struct kv_engine *source; /* the store's */
    const struct kv_settings *settings;
    struct kv_backup_target target;
    struct kv_pin pin;       /* what is copied */
    uint64_t lsn;            /* of the snapshot */
    struct kv_manifest next; /* the backup's */
    uint64_t copied_bytes;
};

static const struct kv_manifest *earlier_of(const struct backup *backup)
{
    return &backup->target.store->engine.manifest;
}

static const struct kv_place *place_of(const struct backup *backup)
{
    return &backup->target.store->engine.place;
}

/* ---- What is to be copied */

static uint64_t lineage_of(struct kv_engine *engine)
{
    uint64_t lineage;

    pthread_mutex_lock(&engine->mutex);
    lineage = engine->manifest.lineage;
    pthread_mutex_unlock(&engine->mutex);
    return lineage;
}

/* Hold a version, and copy the manifest that it was made from. */
static enum kv_status hold(struct backup *backup)
{
    struct kv_engine *engine = backup->source;
    enum kv_status st;
    bool same = false;

    while (!same) {
        st = kv_engine_acquire(engine, &backup->pin, &backup->lsn);
        if (st != KV_OK)
            return st;
        pthread_mutex_lock(&engine->mutex);
        same = engine->version == backup->pin.version;
        if (same)
            st = kv_manifest_copy(&backup->next, &engine->manifest);
        pthread_mutex_unlock(&engine->mutex);
        if (!same || st != KV_OK)
            kv_engine_release_pin(&backup->pin);
        if (st != KV_OK)
            return st;
    }
    return KV_OK;
}

/* The earlier backup was looked at before the store was sealed: is it still one of the same store, and earlier? */
static enum kv_status check_order(const struct backup *backup)
{
    const struct kv_manifest *earlier = earlier_of(backup);

    if (kv_backup_target_is_new(&backup->target))
        return KV_OK;
    if (earlier->lineage != backup->next.lineage)
        return kv_fail(KV_MISMATCH,
                       "%s: a write has just given the store a lineage of its own; choose an empty "
                       "or new directory",
                       place_of(backup)->path);
    if (earlier->last_seq > kv_version_seq(backup->pin.version, backup->lsn))
        return kv_fail(KV_MISMATCH,
                       "%s: the backup there is newer than the store; choose an empty or new "
                       "directory",
                       place_of(backup)->path);
    return KV_OK;
}

/*
 * A pending group is none of the backup's: it was not there when the log was sealed. In the log of a
 * store that is not sealed it may be committed, and about to be settled (group.h).
 */
static enum kv_status leave_group(struct backup *backup)
{
    const struct kv_version *version = backup->pin.version;

    if (backup->source->place.readonly && version->pending_count > 0 &&
        version->pending[0].commit_lsn <= backup->lsn)
        return kv_fail(KV_BUSY,
                       "%s: a transaction larger than a log has just been committed; try again, or "
                       "write to the store once",
                       backup->source->path);
    return kv_manifest_set_group(&backup->next, NULL);
}

/* Make the store's manifest the backup's, with an active log that is still to be made. */
static enum kv_status prepare_manifest(struct backup *backup)
{
    struct kv_manifest *next = &backup->next;
    uint64_t own = (next->next_number / NUMBERS_APART + 1) * NUMBERS_APART;

    if (own < earlier_of(backup)->next_number)
        own = earlier_of(backup)->next_number;
    for (size_t r = 0; KV_MUTANT(low_ignored_by_backup) && r < next->run_count; r++)
        next->runs[r].has_low = false;
    next->is_backup = true;
    next->generation = earlier_of(backup)->generation + 1;
    next->active.number = own + 1; /* the one before is for the next copy of a log */
    next->active.start_lsn = next->active.base_lsn;
    next->next_number = next->active.number + 1;
    return kv_io_random(backup->source->place.io, &next->active.salt, sizeof(next->active.salt));
}

/* ---- Bringing segments */

static const struct kv_segment_info *find_in_run(const struct kv_run *run, uint64_t number)
{
    for (size_t s = 0; s < run->segment_count; s++) {
        if (run->segments[s].number == number)
            return &run->segments[s];
    }
    return NULL;
}

static const struct kv_segment_info *find_info(const struct kv_manifest *manifest, uint64_t number)
{
    size_t run = kv_manifest_find_run(manifest, number);

    return run == SIZE_MAX ? NULL : find_in_run(&manifest->runs[run], number);
}

/* A segment of the held version, whatever has become of its files' names. */
static const struct kv_segment *held_segment(const struct kv_version *version, uint64_t number)
{
    for (size_t r = 0; r < version->run_count; r++) {
        for (size_t i = 0; i < kv_run_segment_count(version->runs[r]); i++) {
            const struct kv_segment *segment = kv_run_segment(version->runs[r], i);

            if (kv_segment_info(segment)->number == number)
                return segment;
        }
    }
    return NULL;
}

/* If the earlier backup has a segment of this number, it must be this one: what else is there has been removed. */
static enum kv_status check_earlier(const struct backup *backup, const struct kv_segment_info *info)
{
    const struct kv_segment_info *old = find_info(earlier_of(backup), info->number);

    if ((!old || (old->salt == info->salt && old->end_bytes == info->end_bytes &&
                  old->digest == info->digest)) &&
        info->number != earlier_of(backup)->active.number)
        return KV_OK;
    return kv_fail(KV_MISMATCH,
                   "%s: its segment %" PRIu64 " is another one than the store's: one of them is a "
                   "copy that went its own way; choose an empty or new directory",
                   place_of(backup)->path, info->number);
}

/* Is there a file of this name in the backup? */
static enum kv_status find_name(const struct backup *backup, const char *name, bool *found)
{
    struct kv_identity identity;
    enum kv_status st = kv_io_name_identity(place_of(backup)->dir, name, &identity);

    *found = st == KV_OK;
    return st == KV_NOTFOUND ? KV_OK : st;
}

/* Read a segment of the backup wholly, as if nothing were known of it. What is wrong with it is the store's fault. */
static enum kv_status verify_bytes(struct backup *backup, const struct kv_segment_info *info,
                                   const char *name, struct kv_slice data)
{
    const struct kv_place *source = &backup->source->place;
    struct kv_segment_scan scan;
    struct kv_record record;
    struct kv_header header;
    uint32_t offset, asked_at = 0;
    enum kv_status st = kv_header_decode(data, &header);

    if (st == KV_OK && (header.number != info->number || header.salt != info->salt ||
                        memcmp(header.uuid, source->uuid, KV_UUID_BYTES) != 0))
        st = KV_CORRUPT;
    if (st != KV_OK)
        return kv_fail(st, "%s/%s: its header is not that of the segment that MANIFEST names",
                       source->path, name);
    kv_segment_scan_init(&scan, source, info, &header, data);
    while ((st = kv_segment_scan_next(&scan, &record, &offset)) == KV_OK) {
        if (asked_at != 0 && offset - asked_at < ASK_EVERY_BYTES)
            continue;
        asked_at = offset;
        st = kv_copy_goes_on(backup->settings);
        if (st != KV_OK)
            return st;
    }
    return st == KV_DONE ? KV_OK : st;
}

static enum kv_status verify(struct backup *backup, const struct kv_segment_info *info,
                             const char *name)
{
    const struct kv_place *place = place_of(backup);
    uint8_t *data = NULL;
    struct kv_file *file;
    uint64_t size;
    enum kv_status st = kv_io_file_open(place->dir, name, 0, 0, &file);

    if (st != KV_OK)
        return st;
    st = kv_io_file_size(file, &size);
    if (st == KV_OK && size < info->end_bytes)
        st = kv_fail(KV_CORRUPT, "%s/%s: the file has %" PRIu64 " of its %" PRIu64 " bytes",
                     backup->source->path, name, size, info->end_bytes);
    if (st == KV_OK)
        st = kv_io_map(file, info->end_bytes, false, &data);
    kv_io_file_close(file);
    if (st == KV_OK)
        st = verify_bytes(backup, info, name, kv_slice_of(data, info->end_bytes));
    kv_io_unmap(place->io, data, info->end_bytes);
    return st;
}

/* Link a file of the store; copy it where links cannot be, from `bytes` if its name has gone meanwhile. */
static enum kv_status bring_file(struct backup *backup, const char *name, struct kv_slice bytes)
{
    const struct kv_place *from = &backup->source->place, *to = place_of(backup);
    uint64_t copied_bytes = 0;
    enum kv_status st = kv_io_link(from->dir, name, to->dir);

    if (st == KV_INVALID)
        st = kv_copy_file(to, from, name, backup->settings, &copied_bytes);
    if (st == KV_NOTFOUND) {
        st = kv_copy_bytes(to, name, (struct kv_slice){0}, bytes, backup->settings);
        copied_bytes = bytes.size;
    }
    backup->copied_bytes += copied_bytes;
    return st;
}

static enum kv_status bring_segment(struct backup *backup, const struct kv_segment_info *info)
{
    const struct kv_segment *held = held_segment(backup->pin.version, info->number);
    char name[KV_NAME_BYTES];
    bool found;
    enum kv_status st = check_earlier(backup, info);

    kv_name_segment(name, info->number);
    if (st == KV_OK)
        st = find_name(backup, name, &found);
    if (st == KV_OK && !found) {
        st = bring_file(backup, name, kv_segment_data(held));
        if (st == KV_OK)
            st = KV_UNLESS_MUTANT(backup_not_verified, verify(backup, info, name));
    }
    kv_name_index(name, info->number);
    if (st == KV_OK)
        st = find_name(backup, name, &found);
    if (st == KV_OK && !found)
        st = bring_file(backup, name, kv_segment_index_data(held));
    return st == KV_OK ? kv_copy_goes_on(backup->settings) : st;
}

static enum kv_status bring_segments(struct backup *backup)
{
    const struct kv_manifest *next = &backup->next;
    enum kv_status st = KV_OK;

    for (size_t r = 0; r < next->run_count; r++) {
        for (size_t s = 0; s < next->runs[r].segment_count && st == KV_OK; s++)
            st = bring_segment(backup, &next->runs[r].segments[s]);
    }
    return st;
}

/* ---- The log of a store that must not be changed */

/* A number for the copy of a log: below that of the earlier backup's active one. */
static uint64_t spare_number(const struct backup *backup)
{
    const struct kv_manifest *next = &backup->next, *earlier = earlier_of(backup);
    uint64_t number =
        kv_backup_target_is_new(&backup->target) ? next->active.number : earlier->active.number;

    do
        number--;
    while (kv_manifest_has_sealed(earlier, number) || kv_manifest_has_sealed(next, number));
    return number;
}

/* Copy what has been committed to the log into a file of the backup's. */
static enum kv_status copy_log(struct backup *backup, uint64_t number)
{
    const struct kv_log *log = backup->pin.version->log;
    size_t end_bytes = (size_t)kv_log_offset(log, backup->lsn);
    struct kv_header header = log->header;
    uint8_t page[KV_HEADER_BYTES];
    char name[KV_NAME_BYTES];
    enum kv_status st;

    header.number = number;
    kv_header_encode(page, &header);
    kv_name_segment(name, number);
    st = kv_copy_bytes(place_of(backup), name, kv_slice_of(page, sizeof(page)),
                       kv_slice_of(log->data + sizeof(page), end_bytes - sizeof(page)),
                       backup->settings);
    if (st == KV_OK)
        backup->copied_bytes += end_bytes;
    return st;
}

/* List the copied log as the newest run; the backup goes on where it ends. Takes `*info` over. */
static enum kv_status list_log(struct kv_manifest *next, struct kv_segment_info *info)
{
    uint64_t seq = info->max_seq, lsn = info->last_lsn, digest = info->digest;
    enum kv_status st = kv_manifest_add_run(next, 0, info);

    if (st == KV_OK) {
        next->last_seq = seq;
        next->active.base_lsn = next->active.start_lsn = lsn;
        next->active.previous_digest = digest;
    }
    kv_segment_info_release(info);
    return st;
}

static bool goes_on(void *context)
{
    return kv_copy_goes_on(((struct backup *)context)->settings) == KV_OK;
}

static bool is_to_stop(void *context)
{
    return !goes_on(context);
}

/* Read a log of the backup up to `lsn`, which verifies it, and index it. */
static enum kv_status describe_log(struct backup *backup, uint64_t number, uint64_t salt,
                                   uint64_t lsn, struct kv_segment_info *info)
{
    const struct kv_place *place = place_of(backup);
    struct kv_log_watcher watcher = {goes_on, backup};
    struct kv_interrupt interrupt = {is_to_stop, backup};
    struct kv_log_scan scan;
    struct kv_log *log;
    enum kv_status st = kv_log_open(place, number, salt, &log);

    if (st != KV_OK)
        return st;
    st = kv_log_scan_watched(log, lsn, lsn, &watcher, &scan);
    if (st == KV_OK)
        st = kv_log_index(place, log, log->memtable.items, &log->tail, info, &interrupt);
    kv_log_unref(log);
    return st;
}

/* The copy of the log that the earlier backup has, if nothing was committed to it since; else NULL. */
static enum kv_status find_copied_log(const struct backup *backup,
                                      const struct kv_segment_info **out)
{
    const struct kv_header *header = &backup->pin.version->log->header;
    const struct kv_manifest *earlier = earlier_of(backup);
    const struct kv_segment_info *info = earlier->run_count ? earlier->runs[0].segments : NULL;
    char name[KV_NAME_BYTES];
    bool found = false;
    enum kv_status st = KV_OK;

    if (info && info->salt == header->salt && info->number != header->number &&
        info->last_lsn == backup->lsn) {
        kv_name_segment(name, info->number);
        st = find_name(backup, name, &found);
    }
    *out = found ? info : NULL;
    return st;
}

/* The active log is not sealed: the backup has a copy of it. */
static enum kv_status bring_log(struct backup *backup)
{
    const struct kv_segment_info *copied;
    struct kv_manifest *next = &backup->next;
    struct kv_segment_info info = {0};
    uint64_t number = spare_number(backup);
    enum kv_status st = find_copied_log(backup, &copied);

    if (st != KV_OK || backup->lsn == kv_log_lsn(backup->pin.version->log, KV_HEADER_BYTES))
        return st;
    if (copied) {
        st = kv_segment_info_copy(&info, copied);
        return st == KV_OK ? list_log(next, &info) : st;
    }
    st = copy_log(backup, number);
    if (st == KV_OK)
        st =
            describe_log(backup, number, backup->pin.version->log->header.salt, backup->lsn, &info);
    return st == KV_OK ? list_log(next, &info) : st;
}

/* A log of the store that has no index yet: the backup makes its own. */
static enum kv_status bring_unindexed(struct backup *backup)
{
    const struct kv_version *version = backup->pin.version;
    const struct kv_segment_info *sealed = &backup->next.unindexed;
    struct kv_segment_info info = {0};
    char name[KV_NAME_BYTES];
    bool found = false;
    enum kv_status st;

    if (!version->unindexed)
        return KV_OK;
    kv_name_segment(name, sealed->number);
    st = check_earlier(backup, sealed);
    if (st == KV_OK)
        st = find_name(backup, name, &found);
    if (st == KV_OK && !found)
        st = bring_file(backup, name,
                        kv_slice_of(version->unindexed->data, version->unindexed_end_bytes));
    if (st == KV_OK)
        st = describe_log(backup, sealed->number, sealed->salt, sealed->last_lsn, &info);
    if (st == KV_OK)
        st = kv_manifest_add_run(&backup->next, 0, &info);
    kv_segment_info_release(&info);
    if (st == KV_OK)
        kv_segment_info_release(&backup->next.unindexed);
    return st;
}

/* ---- All of it */

/* The log that the backup will be written to, should anybody do that. */
static enum kv_status make_log(struct backup *backup)
{
    const struct kv_manifest *next = &backup->next;
    struct kv_header header = {.number = next->active.number,
                               .salt = next->active.salt,
                               .base_seq = next->last_seq,
                               .log = {.base_lsn = next->active.base_lsn,
                                       .previous_digest = next->active.previous_digest,
                                       .previous_end_lsn = next->active.base_lsn}};

    return kv_create_log(place_of(backup), header);
}

/* Seal the store's log; what that makes due to be merged is the store's business. */
static enum kv_status seal(struct backup *backup)
{
    struct kv_maintainer *maintainer = &backup->store->maintainer;
    enum kv_status st = kv_writer_seal_committed(backup->source, backup->settings);

    if (st == KV_OK && maintainer->running)
        kv_maintainer_note_seal(maintainer, backup->settings);
    return st;
}

static enum kv_status make(struct backup *backup)
{
    enum kv_status st = KV_OK;

    if (!backup->source->place.readonly)
        st = seal(backup);
    if (st == KV_OK)
        st = hold(backup);
    if (st == KV_OK)
        st = check_order(backup);
    if (st == KV_OK)
        st = leave_group(backup);
    if (st == KV_OK)
        st = prepare_manifest(backup);
    if (st == KV_OK)
        st = kv_backup_target_begin(&backup->target, &backup->next);
    if (st == KV_OK)
        st = bring_segments(backup);
    if (st == KV_OK)
        st = bring_unindexed(backup);
    if (st == KV_OK && backup->source->place.readonly)
        st = bring_log(backup);
    if (st == KV_OK)
        st = make_log(backup);
    return st == KV_OK ? kv_backup_target_finish(&backup->target, &backup->next) : st;
}

enum kv_status kv_backup(struct kv_store *store, const char *directory,
                         const struct kv_settings *settings, uint64_t *copied_bytes)
{
    struct kv_engine *engine = &store->engine;
    struct backup backup = {
        .store = store, .source = engine, .settings = kv_store_settings(store, settings)};
    enum kv_status st = kv_engine_check_alive(engine);

    if (copied_bytes)
        *copied_bytes = 0;
    if (st == KV_OK && directory[0] == '\0')
        st = kv_fail(KV_INVALID, "the path of a backup is empty");
    if (st == KV_OK)
        st = kv_backup_target_claim(&backup.target, &engine->place, lineage_of(engine), directory);
    if (st != KV_OK)
        return st;
    kv_engine_add_pin(engine, &backup.pin);
    st = make(&backup);
    kv_backup_target_leave(&backup.target);
    kv_engine_remove_pin(engine, &backup.pin);
    kv_manifest_release(&backup.next);
    if (st == KV_OK && copied_bytes)
        *copied_bytes = backup.copied_bytes;
    return st;
}
