/* Sealing a log: see seal.h for the order of things. */
#include "seal.h"

#include "estimate.h"
#include "group.h"
#include "log_index.h"
#include "mutant.h"
#include "names.h"

enum {
    LARGE_RECORD_BYTES = 1024,
    RECORD_LIMIT_MIN = 1 << 16,
    MANY_RECORDS = KV_LOG_RECORD_LIMIT / 4,
};

/* ---- What the next manifest says of logs */

enum kv_status kv_seal_add(struct kv_manifest *next, const struct kv_log *log,
                           const struct kv_log_tail *end)
{
    if (end->record_count == 0)
        return KV_OK;
    if (kv_manifest_has_unindexed(next))
        return kv_fail(KV_CORRUPT, "%s/MANIFEST: somebody else has sealed a log", log->place->path);
    kv_segment_info_release(&next->unindexed);
    kv_log_describe(log, end, &next->unindexed);
    next->log_bytes_written += end->end_bytes;
    return KV_OK;
}

void kv_seal_set_active(struct kv_manifest *next, const struct kv_log *log, uint32_t start_bytes)
{
    next->last_seq = log->header.base_seq;
    next->active.number = log->header.number;
    next->active.salt = log->header.salt;
    next->active.base_lsn = log->header.log.base_lsn;
    next->active.start_lsn = kv_log_lsn(log, start_bytes);
    next->active.previous_digest = log->header.log.previous_digest;
}

/* ---- The second step */

/* Is there a log to finish, as far as this process knows? */
static bool is_unfinished(struct kv_engine *engine)
{
    bool unfinished;

    pthread_mutex_lock(&engine->mutex);
    unfinished = engine->version->unindexed != NULL;
    pthread_mutex_unlock(&engine->mutex);
    return unfinished;
}

/* The version and what its manifest says of its unindexed log; KV_DONE: there is none. */
static enum kv_status find_unindexed(struct kv_engine *engine, struct kv_version **version,
                                     struct kv_segment_info *info)
{
    enum kv_status st = KV_DONE;

    *version = NULL;
    pthread_mutex_lock(&engine->mutex);
    if (engine->version->unindexed) {
        *version = kv_version_ref(engine->version);
        st = kv_segment_info_copy(info, &engine->manifest.unindexed);
    }
    pthread_mutex_unlock(&engine->mutex);
    return st;
}

/* List the log as the newest run, unless another process has done that. MANIFEST is held. */
static enum kv_status install_run(struct kv_engine *engine, struct kv_segment_info *info)
{
    struct kv_version *version;
    struct kv_manifest next;
    bool renamed;
    enum kv_status st = KV_OK;

    if (engine->manifest.unindexed.number != info->number)
        return KV_OK;
    st = kv_manifest_copy(&next, &engine->manifest);
    if (st != KV_OK)
        return st;
    version = kv_engine_version(engine); /* with the runs of this manifest: merges go on */
    kv_estimate_superseded(version, &next, info);
    kv_segment_info_release(&next.unindexed);
    st = kv_manifest_add_run(&next, 0, info);
    if (st == KV_OK)
        st = kv_engine_install(engine, &next, version->log, &renamed);
    kv_version_unref(version);
    kv_manifest_release(&next);
    return st;
}

/*
 * The indexer is this thread. Most often the memtable of the log that was indexed before is
 * retired by now: it goes first, lest there be three beside what sorting takes.
 */
static enum kv_status finish(struct kv_engine *engine, const struct kv_interrupt *interrupt)
{
    struct kv_version *version;
    struct kv_segment_info info = {0};
    enum kv_status st = find_unindexed(engine, &version, &info);

    kv_engine_free_retired(engine);
    if (st == KV_OK)
        st = kv_log_build_index(&engine->place, version->unindexed,
                                version->unindexed->memtable.items, &info, interrupt);
    if (st == KV_OK)
        st = kv_engine_take_manifest(engine);
    if (st == KV_OK) {
        st = install_run(engine, &info);
        kv_engine_drop_manifest(engine);
    }
    kv_segment_info_release(&info);
    kv_version_unref(version);
    return st == KV_DONE ? KV_OK : st;
}

enum kv_status kv_seal_finish(struct kv_engine *engine, const struct kv_interrupt *interrupt)
{
    enum kv_status st;

    if (!is_unfinished(engine))
        return KV_OK;
    st = kv_engine_take_indexer(engine, interrupt);
    if (st != KV_OK)
        return st;
    st = finish(engine, interrupt);
    kv_engine_drop_indexer(engine);
    return st;
}

/* ---- The first step */

enum kv_status kv_seal_new_log(struct kv_engine *engine, struct kv_header *header,
                               bool defer_header, struct kv_log **out)
{
    enum kv_status st;

    *out = NULL;
    memcpy(header->uuid, engine->place.uuid, KV_UUID_BYTES);
    header->time_ms = kv_io_now_ms(engine->place.io);
    st = kv_io_random(engine->place.io, &header->salt, sizeof(header->salt));
    if (st == KV_OK)
        st = kv_engine_take_manifest(engine);
    if (st != KV_OK)
        return st;
    header->number = kv_engine_new_number(engine);
    if (header->pending.group == 0)
        header->pending.group = header->number;
    st = kv_log_create(&engine->place, header, defer_header, out);
    kv_engine_drop_manifest(engine);
    return st;
}

/*
 * The manifest in which the group of `from` is settled, `from` unindexed, if it
 * has records, and `to` the active log. MANIFEST is held.
 */
static enum kv_status install_log(struct kv_engine *engine, const struct kv_log *from,
                                  struct kv_log *to)
{
    struct kv_version *version;
    struct kv_manifest next;
    bool renamed;
    enum kv_status st = kv_manifest_copy(&next, &engine->manifest);

    if (st != KV_OK)
        return st;
    version = kv_engine_version(engine); /* with the runs of this manifest: merges go on */
    kv_estimate_superseded_by_group(version, &next);
    kv_version_unref(version);
    st = kv_group_settle(&engine->place, from, &next);
    if (st == KV_OK)
        st = kv_seal_add(&next, from, &from->tail);
    kv_seal_set_active(&next, to, KV_HEADER_BYTES);
    if (st == KV_OK)
        st = kv_engine_install(engine, &next, to, &renamed);
    kv_manifest_release(&next);
    return st;
}

/*
 * Nothing came of it: remove the new log (NULL: none yet), lest each attempt
 * leave a file behind. It stays if a manifest that names it may survive a
 * crash. The failure being reported keeps its message.
 */
static void discard(struct kv_engine *engine, const struct kv_log *next)
{
    struct kv_held_message held;
    char name[KV_NAME_BYTES];

    if (!next || kv_page_is_set(&engine->page->refuse_writes))
        return;
    kv_message_hold(&held);
    kv_name_segment(name, next->header.number);
    (void)!kv_io_unlink(engine->place.dir, name);
    kv_message_restore(&held);
}

/*
 * How many records the log behind `log` may hold. Large ones fill a log by their
 * bytes, long before KV_LOG_RECORD_LIMIT: in a memtable for so many, each slot would be
 * on a page of its own, and touching a new page costs about as much as writing one.
 * Should records be small from then on, that log is sealed early, and the next has room for all again.
 */
static uint32_t next_record_limit(const struct kv_log *log)
{
    uint64_t count = log->tail.record_count;
    uint32_t limit = RECORD_LIMIT_MIN;

    if (count >= (log->tail.end_bytes - KV_HEADER_BYTES) / LARGE_RECORD_BYTES)
        return KV_LOG_RECORD_LIMIT;
    while (limit < KV_LOG_RECORD_LIMIT && limit < 2 * count)
        limit *= 2;
    return limit;
}

/* A log to follow `log`, whose transactions are durable; durable itself. */
static enum kv_status make_successor(struct kv_engine *engine, const struct kv_log *log,
                                     uint32_t record_limit, struct kv_log **out)
{
    uint64_t end_lsn = kv_log_lsn(log, log->tail.end_bytes);
    struct kv_header header = {.base_seq = log->tail.seq,
                               .log = {.base_lsn = end_lsn,
                                       .previous_digest = log->tail.digest,
                                       .record_limit = record_limit,
                                       .previous_end_lsn = end_lsn}};
    enum kv_status st = kv_seal_new_log(engine, &header, false, out);

    /* Small stores shall not pay for what they never fill: a log is judged by the one before it. */
    if (st == KV_OK && log->tail.record_count >= MANY_RECORDS && record_limit >= MANY_RECORDS)
        kv_memtable_expect_many(&(*out)->memtable);
    return st == KV_OK ? KV_UNLESS_MUTANT(new_log_without_sync, kv_io_sync((*out)->file)) : st;
}

enum kv_status kv_seal(struct kv_engine *engine, bool keep_tail,
                       const struct kv_interrupt *interrupt)
{
    struct kv_version *version = kv_engine_version(engine);
    struct kv_log *log = version->log, *next = NULL;
    enum kv_status st = KV_OK;

    if (log->tail.record_count == 0 && version->pending_count == 0)
        goto out;
    st = kv_seal_finish(engine, interrupt);
    if (st == KV_OK)
        st = KV_UNLESS_MUTANT(seal_without_log_sync,
                              kv_engine_sync_log(engine, log, log->tail.end_bytes));
    if (st == KV_OK)
        /* What is to be moved there may be more than has come so far. */
        st = make_successor(engine, log, keep_tail ? KV_LOG_RECORD_LIMIT : next_record_limit(log),
                            &next);
    if (st == KV_OK)
        st = kv_engine_take_manifest(engine);
    if (st == KV_OK) {
        st = install_log(engine, log, next);
        kv_engine_drop_manifest(engine);
    }
    if (st != KV_OK) {
        discard(engine, next);
        goto out;
    }
    atomic_fetch_add_explicit(&engine->counters.seals, 1, memory_order_relaxed);
    if (!keep_tail)
        kv_log_trim(log);
out:
    kv_log_unref(next);
    kv_version_unref(version);
    return st;
}
