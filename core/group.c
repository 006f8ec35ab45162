/* Pending groups: see group.h for their life. */
#include "group.h"

#include <stdlib.h>

#include "hash.h"
#include "mutant.h"
#include "names.h"

uint64_t kv_group_digest(const struct kv_segment_info *segments, size_t count)
{
    uint64_t digest = 0;

    for (size_t i = 0; i < count; i++) {
        digest = kv_digest_add(digest, segments[i].number);
        digest = kv_digest_add(digest, segments[i].salt);
        digest = kv_digest_add(digest, segments[i].end_bytes);
        digest = kv_digest_add(digest, segments[i].digest);
    }
    return digest;
}

void kv_group_place(struct kv_pending_group *group, uint64_t begin_lsn)
{
    group->commit_lsn = begin_lsn + KV_COMMIT_BYTES;
    for (size_t i = 0; i < group->segment_count; i++) {
        group->segments[i].first_lsn = begin_lsn;
        group->segments[i].last_lsn = group->commit_lsn;
    }
}

/* The listed group that a log's first COMMIT names; NULL: none. */
static const struct kv_pending_group *find_committed(const struct kv_manifest *manifest,
                                                     const struct kv_log_tail *tail)
{
    for (size_t i = 0; i < manifest->group_count; i++) {
        const struct kv_pending_group *group = &manifest->groups[i];

        if ((tail->group == group->id && tail->group_digest == group->digest &&
             group->digest == kv_group_digest(group->segments, group->segment_count)) ||
            KV_MUTANT(group_without_commit_counts))
            return group;
    }
    return NULL;
}

bool kv_group_is_committed(const struct kv_manifest *manifest, const struct kv_log_tail *tail)
{
    return find_committed(manifest, tail) != NULL;
}

enum kv_status kv_group_check(const struct kv_engine *engine, const struct kv_log *log)
{
    char name[KV_NAME_BYTES];

    if (log->tail.group == 0 || find_committed(&engine->manifest, &log->tail))
        return KV_OK;
    kv_name_segment(name, log->header.number);
    return kv_fail(KV_CORRUPT,
                   "%s/%s: it commits a large transaction whose segments MANIFEST does not name; "
                   "nothing was changed",
                   engine->path, name);
}

enum kv_status kv_group_list(struct kv_engine *engine, struct kv_pending_group *group,
                             bool *renamed)
{
    struct kv_manifest next = {0};
    struct kv_version *version;
    enum kv_status st = kv_engine_take_manifest(engine);

    *renamed = false;
    if (st != KV_OK)
        return st;
    version = kv_engine_version(engine);
    st = kv_manifest_copy(&next, &engine->manifest);
    if (st == KV_OK)
        st = kv_manifest_set_group(&next, group);
    if (st == KV_OK)
        st = kv_engine_install(engine, &next, version->log, renamed);
    kv_engine_drop_manifest(engine);
    kv_manifest_release(&next);
    kv_version_unref(version);
    return st;
}

enum kv_status kv_group_forget_uncommitted(struct kv_engine *engine,
                                           const struct kv_version *version)
{
    bool committed, renamed;

    if (version->pending_count == 0)
        return KV_OK;
    pthread_mutex_lock(&engine->mutex);
    committed = kv_group_is_committed(&engine->manifest, &version->log->tail);
    pthread_mutex_unlock(&engine->mutex);
    return committed ? KV_OK : kv_group_list(engine, NULL, &renamed);
}

/* ---- Settling */

/* Append a copy of COMMIT to one segment. Written again after a crash, it is the same. */
static enum kv_status write_witness(const struct kv_place *place,
                                    const struct kv_segment_info *info,
                                    const struct kv_commit *commit)
{
    uint8_t bytes[KV_COMMIT_BYTES];
    char name[KV_NAME_BYTES];
    struct kv_file *file;
    enum kv_status st;

    kv_name_segment(name, info->number);
    kv_commit_encode(bytes, info->salt, info->end_bytes, commit);
    st = kv_io_file_open(place->dir, name, KV_OPEN_WRITE, 0, &file);
    if (st != KV_OK)
        return st;
    st = kv_io_write(file, info->end_bytes, bytes, sizeof(bytes));
    if (st == KV_OK)
        st = KV_UNLESS_MUTANT(witness_without_sync, kv_io_sync(file));
    kv_io_file_close(file);
    return st;
}

enum kv_status kv_group_settle(const struct kv_place *place, const struct kv_log *log,
                               struct kv_manifest *next)
{
    const struct kv_pending_group *group = find_committed(next, &log->tail);
    struct kv_commit commit;
    char name[KV_NAME_BYTES];
    enum kv_status st;

    if (!group)
        return KV_OK;
    kv_name_segment(name, log->header.number);
    st = kv_commit_decode(kv_slice_of(log->data + KV_HEADER_BYTES, KV_COMMIT_BYTES),
                          log->header.salt, KV_HEADER_BYTES, &commit);
    if (st != KV_OK)
        return kv_fail(KV_CORRUPT, "%s/%s: the commit at offset %d changed underneath", place->path,
                       name, KV_HEADER_BYTES);
    for (size_t i = 0; i < group->segment_count && st == KV_OK; i++) {
        next->log_bytes_written += group->segments[i].end_bytes;
        st = KV_UNLESS_MUTANT(witness_not_written,
                              write_witness(place, &group->segments[i], &commit));
    }
    return st == KV_OK ? kv_manifest_settle_groups(next) : st;
}
