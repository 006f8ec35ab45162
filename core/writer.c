/* Becoming the writer, and resolving doubt: see writer.h. */
#include "writer.h"

#include "cleanup.h"
#include "failover.h"
#include "group.h"
#include "mutant.h"
#include "names.h"
#include "patience.h"
#include "seal.h"

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Did a process die in a sync? Asking costs nothing unless one is going on or has. */
static bool sync_died(struct kv_engine *engine)
{
    bool died = false;

    if (!kv_page_is_set(&engine->page->syncing) || pthread_mutex_trylock(&engine->sync_mutex) != 0)
        return false;
    if (kv_lock_try(engine->lock, KV_LOCK_SYNC, KV_LOCK_EXCLUSIVE) == KV_OK) {
        died = kv_page_is_set(&engine->page->syncing);
        kv_lock_drop(engine->lock, KV_LOCK_SYNC);
    }
    pthread_mutex_unlock(&engine->sync_mutex);
    return died;
}

/*
 * Doubt leaves files behind that no manifest names. Removing them can wait for
 * the next opening, so whatever stands in the way is no failure.
 */
static void clean_up(struct kv_engine *engine)
{
    struct kv_version *version = kv_engine_version(engine);
    enum kv_status st = kv_engine_take_compactor(engine, 0);

    if (st == KV_OK) {
        st = kv_engine_take_manifest(engine);
        if (st == KV_OK) {
            st = kv_cleanup_check_unlisted(engine, &version->log->tail);
            if (st == KV_OK)
                st = kv_cleanup(engine, false);
            kv_engine_drop_manifest(engine);
        }
        kv_engine_drop_compactor(engine);
    }
    kv_version_unref(version);
}

/* Of a log that is in use: what was published is not there any more. */
static enum kv_status fail_shortened(const struct kv_log *log)
{
    char name[KV_NAME_BYTES];

    kv_name_segment(name, log->header.number);
    return kv_fail(KV_CORRUPT,
                   "%s/%s: committed transactions from offset %u on can no longer be read; "
                   "nothing can be written; copy what can be read into a new store",
                   log->place->path, name, log->tail.end_bytes);
}

enum kv_status kv_writer_resolve(struct kv_engine *engine, bool adopt)
{
    uint64_t number, salt, start_lsn, committed_lsn, durable_lsn;
    struct kv_log_scan scan;
    struct kv_log *log;
    enum kv_status st;

    if (!adopt)
        kv_page_set(&engine->page->refuse_writes);
    /* From the manifest on disk: its maker may have died before announcing it. */
    st = kv_engine_take_manifest(engine);
    if (st != KV_OK)
        return st;
    number = engine->manifest.active.number;
    salt = engine->manifest.active.salt;
    start_lsn = engine->manifest.active.start_lsn;
    kv_engine_drop_manifest(engine); /* merges go on, and replace the manifest */
    committed_lsn = later(kv_page_load(&engine->page->committed_lsn), start_lsn);
    durable_lsn = later(kv_page_load(&engine->page->durable_lsn), start_lsn);
    st = kv_log_open(&engine->place, number, salt, &log);
    if (st != KV_OK)
        return st;
    st = kv_log_scan(log, durable_lsn,
                     adopt && !KV_MUTANT(complete_commit_dropped) ? 0 : committed_lsn, &scan);
    if (st == KV_OK && kv_log_lsn(log, log->tail.end_bytes) < committed_lsn)
        st = fail_shortened(log);
    if (st == KV_OK)
        st = kv_failover(engine, log, &scan);
    kv_log_unref(log);
    if (st == KV_OK)
        clean_up(engine);
    return st;
}

/* See what others have committed. */
static enum kv_status catch_up(struct kv_engine *engine)
{
    struct kv_version *version;
    uint64_t lsn = kv_page_load(&engine->page->committed_lsn);
    enum kv_status st = kv_engine_refresh(engine);

    if (st != KV_OK)
        return st;
    version = kv_engine_version(engine);
    st = kv_log_catch_up(version->log, later(lsn, version->start_lsn));
    if (st == KV_OK)
        st = kv_group_forget_uncommitted(engine, version);
    kv_version_unref(version);
    return st;
}

enum kv_status kv_writer_take(struct kv_engine *engine, unsigned timeout_ms)
{
    bool died, failed;
    enum kv_status st = kv_engine_take_writer(engine, timeout_ms, &died);

    if (st != KV_OK)
        return st;
    died &= !KV_MUTANT(dead_writer_trusted);
    failed = (kv_page_is_set(&engine->page->refuse_writes) && !KV_MUTANT(failed_sync_trusted)) ||
             (sync_died(engine) && !KV_MUTANT(dead_sync_trusted));
    if (died || failed)
        st = kv_writer_resolve(engine, !failed);
    else
        st = catch_up(engine);
    if (st != KV_OK)
        kv_engine_drop_writer(engine, died);
    return st;
}

enum kv_status kv_writer_wait(struct kv_engine *engine, const struct kv_settings *settings)
{
    struct kv_patience patience = kv_patience_start(engine, settings, settings->busy_timeout_ms);
    enum kv_status st;

    do
        st = kv_writer_take(engine, patience.step_ms);
    while (st == KV_BUSY && kv_patience_goes_on(&patience, &st));
    return st;
}

enum kv_status kv_writer_seal(struct kv_engine *engine, bool keep_tail,
                              const struct kv_interrupt *interrupt)
{
    enum kv_status st = kv_seal(engine, keep_tail, interrupt);

    if (st != KV_BUSY)
        return st;
    st = kv_writer_resolve(engine, false);
    return st == KV_OK ? kv_seal(engine, keep_tail, interrupt) : st;
}

enum kv_status kv_writer_seal_committed(struct kv_engine *engine,
                                        const struct kv_settings *settings)
{
    struct kv_interrupt interrupt = {settings->interrupted, settings->interrupted_context};
    enum kv_status st = kv_writer_wait(engine, settings);

    if (st != KV_OK)
        return st;
    st = kv_writer_seal(engine, false, &interrupt);
    kv_engine_drop_writer(engine, false);
    return st == KV_OK ? kv_seal_finish(engine, &interrupt) : st;
}

/* The manifest with a lineage of the store's own. MANIFEST is held. */
static enum kv_status install_lineage(struct kv_engine *engine)
{
    struct kv_version *version = kv_engine_version(engine);
    struct kv_manifest next;
    bool renamed;
    enum kv_status st = kv_manifest_copy(&next, &engine->manifest);

    if (st == KV_OK) {
        next.is_backup = false;
        st = kv_io_random(engine->place.io, &next.lineage, sizeof(next.lineage));
    }
    if (st == KV_OK)
        st = kv_engine_install(engine, &next, version->log, &renamed);
    kv_manifest_release(&next);
    kv_version_unref(version);
    return st;
}

enum kv_status kv_writer_leave_backup(struct kv_engine *engine)
{
    enum kv_status st = kv_engine_take_manifest(engine);

    if (st != KV_OK)
        return st;
    if (engine->manifest.is_backup)
        st = install_lineage(engine);
    kv_engine_drop_manifest(engine);
    return st;
}
