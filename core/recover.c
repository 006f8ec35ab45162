/* Opening alone, failover, and closing cleanly: see recover.h. */
#include "recover.h"

#include <stdlib.h>

#include "cleanup.h"
#include "log_scan.h"
#include "seal.h"
#include "write_set.h"

enum { WORTH_SEALING_BYTES = 1024 * 1024 };

/* ---- Failover */

/* Copy transactions of `from`, whose records are in its memtable, from `start` on to the end of `to`. */
struct copier {
    struct kv_engine *engine;
    struct kv_log *from, *to;
    uint32_t at;    /* offset in `from` */
    uint32_t index; /* of the next item in its memtable */
};

/* The COMMIT behind the next transaction's records, which are `*count`. */
static enum kv_status next_commit(struct copier *copier, uint32_t *count, struct kv_commit *commit)
{
    struct kv_log *from = copier->from;
    uint32_t at = copier->at, end = from->tail.end_bytes;

    *count = 0;
    for (;;) {
        struct kv_slice bytes = kv_slice_of(from->data + at, end - at);
        struct kv_record record;
        enum kv_status st;

        if (kv_record_kind(bytes) == KV_COMMIT) {
            copier->at = at + KV_COMMIT_BYTES;
            return kv_commit_decode(bytes, from->header.salt, at, commit);
        }
        st = kv_log_decode(from, at, end, &record);
        if (st != KV_OK)
            return st;
        at += record.size_bytes;
        ++*count;
    }
}

static enum kv_status copy_records(struct copier *copier, uint32_t count, struct kv_write_set *set)
{
    struct kv_log *from = copier->from;
    enum kv_status st = KV_OK;

    for (uint32_t i = 0; i < count && st == KV_OK; i++) {
        const struct kv_item *item = &from->memtable.items[copier->index++];
        struct kv_record record;

        st = kv_log_decode(from, item->offset_bytes, from->tail.end_bytes, &record);
        if (st == KV_OK)
            st = kv_write_set_add(set, record.kind, item->hash, record.key, record.row);
    }
    return st;
}

/* Copy one transaction: seq and time stay, LSNs, nonce and digest are new. */
static enum kv_status copy_transaction(struct copier *copier)
{
    struct kv_write_set *set = NULL;
    struct kv_commit commit;
    uint32_t count;
    enum kv_status st = next_commit(copier, &count, &commit);

    if (st == KV_OK)
        st = kv_write_set_new(copier->to, commit.seq, &set);
    if (st == KV_OK)
        st = copy_records(copier, count, set);
    if (st == KV_OK) {
        commit.durable_lsn = kv_log_lsn(copier->to, KV_HEADER_BYTES);
        commit.nonce = copier->engine->nonce_seed;
        st = kv_write_set_commit(set, &commit);
    }
    if (st == KV_OK)
        kv_write_set_publish(set, &commit);
    kv_write_set_unref(set);
    return st;
}

/* The log that takes over: copies of what comes after `durable`, durable itself, header last. */
static enum kv_status make_successor(struct kv_engine *engine, struct kv_log *from,
                                     const struct kv_log_tail *durable, struct kv_log **out)
{
    struct copier copier = {
        .engine = engine, .from = from, .at = durable->end_bytes, .index = durable->record_count};
    uint64_t past =
        kv_log_lsn(from, from->allocated_bytes > from->tail.end_bytes ? from->allocated_bytes
                                                                      : from->tail.end_bytes);
    struct kv_header header;
    enum kv_status st = kv_seal_next_header(engine, durable, past, &header);

    *out = NULL;
    if (st != KV_OK)
        return st;
    header.log.previous_end_lsn = kv_log_lsn(from, durable->end_bytes);
    header.log.copied_seq = from->tail.seq > durable->seq ? from->tail.seq : 0;
    st = kv_log_create(&engine->place, &header, true, &copier.to);
    if (st != KV_OK)
        return st;
    while (st == KV_OK && copier.at < from->tail.end_bytes)
        st = copy_transaction(&copier);
    if (st == KV_OK)
        st = kv_io_sync(copier.to->file);
    if (st == KV_OK)
        st = kv_log_write_header(copier.to);
    if (st == KV_OK)
        st = kv_io_sync(copier.to->file);
    if (st != KV_OK) {
        kv_log_unref(copier.to);
        return st;
    }
    *out = copier.to;
    return KV_OK;
}

/* The manifest in which `to` is active and `from` is sealed where it was durable, or gone if nothing of it is left. */
static enum kv_status failover_manifest(struct kv_engine *engine, struct kv_log *from,
                                        const struct kv_log_tail *durable, struct kv_log *to,
                                        struct kv_manifest *next)
{
    struct kv_segment_info info = {0};
    enum kv_status st = kv_manifest_copy(next, &engine->manifest);

    if (st == KV_OK && durable->record_count > 0) {
        st = kv_seal_describe(&engine->place, from, durable, &info);
        if (st == KV_OK) {
            next->log_bytes_written += info.end_bytes;
            st = kv_manifest_add_run(next, 0, &info);
        }
    }
    kv_segment_info_release(&info);
    if (st != KV_OK) {
        kv_manifest_release(next);
        return st;
    }
    next->last_seq = to->header.base_seq;
    next->active.number = to->header.number;
    next->active.salt = to->header.salt;
    next->active.base_lsn = to->header.log.base_lsn;
    next->active.start_lsn = kv_log_lsn(to, to->tail.end_bytes);
    next->active.previous_digest = to->header.log.previous_digest;
    return KV_OK;
}

static enum kv_status failover(struct kv_engine *engine, struct kv_log *from,
                               const struct kv_log_scan *scan)
{
    struct kv_log_tail durable = scan->durable;
    struct kv_manifest next = {0};
    struct kv_log *to = NULL;
    enum kv_status st;

    if (durable.end_bytes < WORTH_SEALING_BYTES)
        durable = (struct kv_log_tail){.end_bytes = KV_HEADER_BYTES,
                                       .seq = from->header.base_seq,
                                       .digest = from->header.log.previous_digest};
    st = make_successor(engine, from, &durable, &to);
    if (st == KV_OK)
        st = failover_manifest(engine, from, &durable, to, &next);
    if (st == KV_OK)
        st = kv_engine_take_manifest(engine);
    if (st == KV_OK) {
        st = kv_engine_install(engine, &next, to);
        kv_engine_drop_manifest(engine);
    }
    kv_manifest_release(&next);
    kv_log_unref(to);
    return st;
}

/* ---- Opening */

/*
 * A manifest of which the page does not know that it is durable may be undone
 * by a crash: the sync of its directory failed, or was never made. A second
 * sync could succeed without meaning it. So put the same content in its place,
 * in the whole order of P0, before anything relies on it.
 */
static enum kv_status confirm_manifest(struct kv_engine *engine, struct kv_log *log)
{
    struct kv_manifest next;
    enum kv_status st;

    if (atomic_load(&engine->page->generation) == engine->manifest.generation)
        return KV_OK;
    st = kv_manifest_copy(&next, &engine->manifest);
    if (st == KV_OK)
        st = kv_engine_take_manifest(engine);
    if (st == KV_OK) {
        st = kv_engine_install(engine, &next, log);
        kv_engine_drop_manifest(engine);
    }
    kv_manifest_release(&next);
    return st;
}

/* The version that the manifest on disk names, with the log as it was scanned. */
static enum kv_status open_version(struct kv_engine *engine, struct kv_log *log)
{
    enum kv_status st =
        kv_version_open(&engine->place, &engine->manifest, log, NULL, &engine->version);

    if (st == KV_OK)
        atomic_store(&engine->serial, 1);
    return st;
}

/* Everything that has been recovered is durable: tell the page so. */
static void reset_page(struct kv_engine *engine)
{
    struct kv_page *page = engine->page;
    struct kv_log *log = engine->version->log;
    uint64_t lsn = kv_log_lsn(log, log->tail.end_bytes);

    atomic_store(&page->committed_lsn, lsn);
    atomic_store(&page->durable_lsn, lsn);
    atomic_store(&page->generation, engine->manifest.generation);
    atomic_store(&page->writer_busy, 0);
    atomic_store(&page->syncing, 0);
    atomic_store(&page->refuse_writes, 0);
    atomic_store(&page->incarnation, engine->nonce_seed | 1);
    atomic_store(&engine->synced_ms, kv_io_monotonic_ms(engine->place.io));
}

/* Is this the log of the manifest, header and chain? */
static enum kv_status check_log(const struct kv_engine *engine, const struct kv_log *log)
{
    const struct kv_manifest *manifest = &engine->manifest;

    if (log->header.log.base_lsn == manifest->active.base_lsn &&
        log->header.log.previous_digest == manifest->active.previous_digest &&
        log->header.base_seq == manifest->last_seq)
        return KV_OK;
    return kv_fail(KV_CORRUPT, "%s: MANIFEST and the header of log %llu contradict each other",
                   engine->path, (unsigned long long)log->header.number);
}

static enum kv_status open_log(struct kv_engine *engine, struct kv_log **out,
                               struct kv_log_scan *scan)
{
    const struct kv_manifest *manifest = &engine->manifest;
    struct kv_log *log;
    enum kv_status st =
        kv_log_open(&engine->place, manifest->active.number, manifest->active.salt, &log);

    *out = NULL;
    if (st != KV_OK)
        return st;
    st = check_log(engine, log);
    if (st == KV_OK)
        st = kv_log_scan(log, manifest->active.start_lsn, scan);
    if (st != KV_OK) {
        kv_log_unref(log);
        return st;
    }
    *out = log;
    return KV_OK;
}

enum kv_status kv_recover(struct kv_engine *engine)
{
    bool writable = !engine->place.readonly;
    struct kv_log_scan scan;
    struct kv_log *log = NULL;
    enum kv_status st = KV_OK;

    /* Alone: what an earlier process was refused is what recovery is about to resolve. */
    atomic_store(&engine->page->refuse_writes, 0);
    if (engine->manifest.group_count > 0)
        return kv_fail(KV_NEWER, "%s: holds a transaction written by a newer version of sqlite-kv",
                       engine->path);
    if (writable)
        st = kv_cleanup_note_numbers(engine);
    if (st == KV_OK)
        st = open_log(engine, &log, &scan);
    if (st == KV_OK && writable)
        st = kv_cleanup_check_unlisted(engine, &log->tail);
    if (st == KV_OK)
        st = open_version(engine, log);
    if (st == KV_OK && writable)
        st = scan.clean ? confirm_manifest(engine, log) : failover(engine, log, &scan);
    if (st == KV_OK && writable)
        st = kv_cleanup(engine);
    if (st == KV_OK)
        reset_page(engine);
    kv_log_unref(log);
    return st;
}

/* ---- Closing */

enum kv_status kv_recover_write_end(struct kv_engine *engine, struct kv_log *log)
{
    uint8_t bytes[KV_END_BYTES];
    struct kv_end end = {.seq = log->tail.seq,
                         .end_lsn = kv_log_lsn(log, log->tail.end_bytes),
                         .time_ms = kv_io_now_ms(engine->place.io),
                         .digest = log->tail.digest};
    enum kv_status st;

    kv_end_encode(bytes, log->header.salt, log->tail.end_bytes, &end);
    st = kv_log_write(log, log->tail.end_bytes, bytes, sizeof(bytes));
    if (st == KV_OK)
        st = kv_engine_sync_log(engine, log, log->tail.end_bytes);
    return st;
}

/* Does a valid END stand at the tail already? */
static bool has_end(const struct kv_log *log)
{
    uint32_t at = log->tail.end_bytes;
    struct kv_end end;

    return at + (uint64_t)KV_END_BYTES <= log->allocated_bytes &&
           kv_end_decode(kv_slice_of(log->data + at, KV_END_BYTES), log->header.salt, at, &end) ==
               KV_OK &&
           end.digest == log->tail.digest && end.end_lsn == kv_log_lsn(log, at);
}

enum kv_status kv_recover_close(struct kv_engine *engine)
{
    struct kv_version *version;
    enum kv_status st;

    if (engine->place.readonly || atomic_load(&engine->page->refuse_writes))
        return KV_OK;
    st = kv_engine_take_writer(engine, 0);
    if (st != KV_OK)
        return st;
    if (engine->version->log->tail.end_bytes >= WORTH_SEALING_BYTES)
        st = kv_seal(engine, false);
    version = kv_engine_version(engine);
    if (st == KV_OK && !has_end(version->log)) {
        st = kv_engine_sync_log(engine, version->log, version->log->tail.end_bytes);
        if (st == KV_OK)
            st = kv_recover_write_end(engine, version->log);
    }
    if (st == KV_OK)
        kv_log_trim_behind(version->log, version->log->tail.end_bytes + KV_END_BYTES);
    kv_version_unref(version);
    kv_engine_drop_writer(engine);
    return st;
}
