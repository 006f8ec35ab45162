/* Opening alone, and closing cleanly: see recover.h. */
#include "recover.h"

#include "cleanup.h"
#include "failover.h"
#include "group.h"
#include "log_scan.h"
#include "mutant.h"
#include "names.h"
#include "seal.h"
#include "writer.h"

/* ---- Opening */

/* Alone, nothing that MANIFEST names can be gone because a newer one does not. */
static enum kv_status missing_is_corrupt(const struct kv_engine *engine, enum kv_status st)
{
    if (st != KV_NOTFOUND)
        return st;
    return kv_fail_in(KV_CORRUPT, "%s: MANIFEST names a file that is missing", engine->path);
}

/* The version that the manifest on disk names, with the log as it was scanned. */
static enum kv_status open_version(struct kv_engine *engine, struct kv_log *log)
{
    enum kv_status st =
        kv_version_open(&engine->place, &engine->manifest, log, NULL, &engine->version);

    if (st == KV_OK)
        atomic_store(&engine->serial, 1);
    return missing_is_corrupt(engine, st);
}

/*
 * Alone: what the page says is left over from others. All that it can tell is
 * whether the manifest was announced, so is known to be durable.
 */
static void begin_reset(struct kv_engine *engine)
{
    struct kv_page *page = engine->page;
    uint64_t generation = engine->manifest.generation;

    kv_page_store(&page->incarnation, 0);
    kv_page_store(&page->committed_lsn, 0);
    kv_page_store(&page->durable_lsn, 0);
    if (kv_page_load(&page->generation) != generation)
        kv_page_store(&page->generation, generation - 1);
    kv_page_clear(&page->writer_busy);
    kv_page_clear(&page->syncing);
    kv_page_clear(&page->refuse_writes);
}

/*
 * A manifest that was never announced may be undone by a crash: the sync of its
 * directory failed, or was never made. Whoever takes MANIFEST puts that right.
 */
static enum kv_status confirm_manifest(struct kv_engine *engine)
{
    enum kv_status st = KV_OK;

    if (!KV_MUTANT(manifest_not_confirmed) &&
        kv_page_load(&engine->page->generation) != engine->manifest.generation) {
        st = kv_engine_take_manifest(engine);
        if (st == KV_OK)
            kv_engine_drop_manifest(engine);
    }
    return st;
}

/* Everything that has been recovered is durable: tell the page so. */
static void finish_reset(struct kv_engine *engine)
{
    struct kv_page *page = engine->page;
    struct kv_log *log = engine->version->log;
    uint64_t lsn = kv_log_lsn(log, log->tail.end_bytes);

    kv_engine_note_durable(engine, lsn);
    kv_page_store(&page->committed_lsn, lsn);
    kv_page_store(&page->incarnation, engine->nonce_seed | 1);
}

/* Is this the log of the manifest, header and chain? */
static enum kv_status check_log(const struct kv_engine *engine, const struct kv_log *log)
{
    const struct kv_manifest *manifest = &engine->manifest;
    char name[KV_NAME_BYTES];

    if (log->header.log.base_lsn == manifest->active.base_lsn &&
        log->header.log.previous_digest == manifest->active.previous_digest &&
        log->header.base_seq == manifest->last_seq)
        return KV_OK;
    kv_name_segment(name, log->header.number);
    return kv_fail(KV_CORRUPT, "%s/%s: MANIFEST says something else than its header, at offset 0",
                   engine->path, name);
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
        return missing_is_corrupt(engine, st);
    st = check_log(engine, log);
    if (st == KV_OK)
        st = kv_log_scan(log, manifest->active.start_lsn, 0, scan);
    if (st == KV_OK)
        st = kv_group_check(engine, log);
    if (st != KV_OK) {
        kv_log_unref(log);
        return st;
    }
    *out = log;
    return KV_OK;
}

/*
 * What a log without index costs is memory, and time at the next opening: no
 * reason not to open. But a manifest that may or may not be there is.
 */
static enum kv_status finish_seal(struct kv_engine *engine)
{
    enum kv_status st = kv_seal_finish(engine, NULL);

    return kv_page_is_set(&engine->page->refuse_writes) ? st : KV_OK;
}

enum kv_status kv_recover(struct kv_engine *engine)
{
    struct kv_log_scan scan;
    struct kv_log *log = NULL;
    enum kv_status st;

    begin_reset(engine);
    st = kv_cleanup_note_numbers(engine);
    if (st == KV_OK)
        st = open_log(engine, &log, &scan);
    if (st == KV_OK)
        st = kv_cleanup_check_unlisted(engine, &log->tail);
    if (st == KV_OK)
        st = open_version(engine, log);
    /* A group that counts or not is nothing that a clean close leaves behind. */
    if (st == KV_OK)
        st = (scan.clean || KV_MUTANT(unclean_end_trusted)) && engine->manifest.group_count == 0
                 ? confirm_manifest(engine)
                 : kv_failover(engine, log, &scan);
    if (st == KV_OK)
        st = finish_seal(engine);
    if (st == KV_OK)
        st = kv_cleanup(engine, true);
    if (st == KV_OK)
        finish_reset(engine);
    kv_log_unref(log);
    return st;
}

enum kv_status kv_recover_readonly(struct kv_engine *engine)
{
    enum kv_lock_mode held;
    struct kv_log_scan scan;
    struct kv_log *log;
    enum kv_status st = kv_lock_test(engine->lock, KV_LOCK_ATTACHED, KV_LOCK_EXCLUSIVE, &held);
    if (st == KV_OK && held == KV_LOCK_SHARED) {
        st = kv_engine_follow(engine);
        return st == KV_OK ? kv_engine_refresh(engine) : st;
    }
    if (st == KV_OK)
        st = open_log(engine, &log, &scan);
    if (st != KV_OK)
        return st;
    st = open_version(engine, log);
    kv_log_unref(log);
    return st;
}

/* ---- Closing */

/* Write END behind the tail of a log that is durable up to there, and make it durable. */
static enum kv_status write_end(struct kv_engine *engine, struct kv_log *log)
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

/*
 * END goes with the tail that it stands behind, if the file is cut: so MANIFEST says, too, how far
 * the log went. Replacing it does that, now that all of the log is durable.
 */
static enum kv_status publish_end(struct kv_engine *engine, const struct kv_version *version)
{
    struct kv_manifest next = {0};
    bool renamed;
    enum kv_status st;

    if (version->start_lsn == kv_log_lsn(version->log, version->log->tail.end_bytes))
        return KV_OK;
    st = kv_engine_take_manifest(engine);
    if (st != KV_OK)
        return st;
    st = kv_manifest_copy(&next, &engine->manifest);
    if (st == KV_OK)
        st = kv_engine_install(engine, &next, version->log, &renamed);
    kv_manifest_release(&next);
    kv_engine_drop_manifest(engine);
    return st;
}

/* Does a valid END stand at the tail already? */
static bool has_end(const struct kv_log *log)
{
    uint32_t at = log->tail.end_bytes;
    uint64_t size;
    struct kv_end end;

    return kv_io_file_size(log->file, &size) == KV_OK && at + (uint64_t)KV_END_BYTES <= size &&
           kv_end_decode(kv_slice_of(log->data + at, KV_END_BYTES), log->header.salt, at, &end) ==
               KV_OK &&
           end.digest == log->tail.digest && end.end_lsn == kv_log_lsn(log, at);
}

enum kv_status kv_recover_close(struct kv_engine *engine)
{
    struct kv_version *version;
    enum kv_status st;

    if (engine->place.readonly)
        return KV_OK;
    /*
     * This resolves doubt, whoever left it: what others have committed without a sync, and then
     * died, is nobody else's to make durable before the next opening, which may come after the
     * power has failed.
     */
    st = kv_writer_take(engine, 0);
    if (st != KV_OK)
        return st;
    version = kv_engine_version(engine);
    if (version->log->tail.end_bytes >= KV_FAILOVER_SEAL_MIN_BYTES || version->pending_count > 0)
        st = kv_seal(engine, false, NULL);
    if (st == KV_OK)
        st = kv_seal_finish(engine, NULL);
    kv_version_unref(version);
    version = kv_engine_version(engine);
    if (st == KV_OK && !has_end(version->log)) {
        st = KV_UNLESS_MUTANT(end_before_sync, kv_engine_sync_log(engine, version->log,
                                                                  version->log->tail.end_bytes));
        if (st == KV_OK)
            st = write_end(engine, version->log);
    }
    if (st == KV_OK)
        st = KV_UNLESS_MUTANT(clean_end_ignored, publish_end(engine, version));
    if (st == KV_OK)
        kv_log_trim_behind(version->log, version->log->tail.end_bytes + KV_END_BYTES);
    kv_version_unref(version);
    kv_engine_drop_writer(engine, false);
    return st;
}
