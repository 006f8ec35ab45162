/*
 * Who may write, merge and replace the manifest: flags and mutexes within the
 * process, bytes of LOCK among processes. See engine.h for the order of taking.
 */
#include <time.h>

#include "engine.h"

#include "mutant.h"

enum { INDEXER_STEP_MS = 50 };

static struct timespec deadline_after(struct kv_engine *engine, unsigned timeout_ms)
{
    uint64_t at_ms = kv_io_monotonic_ms(engine->place.io) + timeout_ms;

    return (struct timespec){.tv_sec = (time_t)(at_ms / 1000),
                             .tv_nsec = (long)(at_ms % 1000) * 1000000};
}

/* Set `*taken`, one of the flags under `mutex`, waiting until it is clear. */
static bool take_flag(struct kv_engine *engine, bool *taken, unsigned timeout_ms)
{
    struct timespec deadline = {0};
    bool ok;

    pthread_mutex_lock(&engine->mutex);
    if (*taken && timeout_ms > 0)
        deadline = deadline_after(engine, timeout_ms);
    while (*taken && timeout_ms > 0) {
        if (pthread_cond_timedwait(&engine->changed, &engine->mutex, &deadline) != 0)
            break;
    }
    ok = !*taken;
    if (ok)
        *taken = true;
    pthread_mutex_unlock(&engine->mutex);
    return ok;
}

static void drop_flag(struct kv_engine *engine, bool *taken)
{
    pthread_mutex_lock(&engine->mutex);
    *taken = false;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->mutex);
}

/* A LOCK that was deleted excludes nobody: those who came later have another. */
static enum kv_status check_lock(struct kv_engine *engine)
{
    enum kv_status st = kv_lock_check(engine->lock);

    return st == KV_OK ? KV_OK : kv_fail_in(st, "%s", engine->path);
}

enum kv_status kv_engine_take_writer(struct kv_engine *engine, unsigned timeout_ms, bool *died)
{
    enum kv_status st;

    *died = false;
    if (!take_flag(engine, &engine->writer_taken, timeout_ms))
        return kv_fail(KV_BUSY, "%s: another connection is writing; wait longer with busy_timeout",
                       engine->path);
    st = KV_UNLESS_MUTANT(writer_not_locked, kv_lock_wait(engine->lock, KV_LOCK_WRITER,
                                                          KV_LOCK_EXCLUSIVE, timeout_ms));
    if (st != KV_OK) {
        drop_flag(engine, &engine->writer_taken);
        if (st == KV_BUSY)
            st = kv_fail(st, "%s: another process is writing; wait longer with busy_timeout",
                         engine->path);
        return st;
    }
    st = check_lock(engine);
    if (st != KV_OK) {
        kv_lock_drop(engine->lock, KV_LOCK_WRITER);
        drop_flag(engine, &engine->writer_taken);
        return st;
    }
    *died = kv_page_test_and_set(&engine->page->writer_busy);
    return KV_OK;
}

void kv_engine_drop_writer(struct kv_engine *engine, bool doubt)
{
    if (!doubt)
        kv_page_clear(&engine->page->writer_busy);
    kv_lock_drop(engine->lock, KV_LOCK_WRITER);
    drop_flag(engine, &engine->writer_taken);
}

enum kv_status kv_engine_take_compactor(struct kv_engine *engine, unsigned timeout_ms)
{
    enum kv_status st;

    if (!take_flag(engine, &engine->compactor_taken, timeout_ms))
        return kv_fail(KV_BUSY, "%s: another connection is compacting", engine->path);
    st = KV_UNLESS_MUTANT(compactor_not_locked, kv_lock_wait(engine->lock, KV_LOCK_COMPACTOR,
                                                             KV_LOCK_EXCLUSIVE, timeout_ms));
    if (st != KV_OK) {
        drop_flag(engine, &engine->compactor_taken);
        return st;
    }
    /*
     * What others have merged is merged; from here on nobody else does. Also
     * what was put in place and never announced: taking MANIFEST sees to that.
     */
    st = kv_engine_take_manifest(engine);
    if (st == KV_OK)
        kv_engine_drop_manifest(engine);
    else
        kv_engine_drop_compactor(engine);
    return st;
}

void kv_engine_drop_compactor(struct kv_engine *engine)
{
    kv_lock_drop(engine->lock, KV_LOCK_COMPACTOR);
    drop_flag(engine, &engine->compactor_taken);
}

enum kv_status kv_engine_take_indexer(struct kv_engine *engine,
                                      const struct kv_interrupt *interrupt)
{
    while (!take_flag(engine, &engine->indexer_taken, INDEXER_STEP_MS)) {
        if (kv_interrupt_asked(interrupt))
            return kv_fail(KV_INTERRUPTED, "%s: interrupted while a log was being indexed",
                           engine->path);
    }
    return KV_OK;
}

void kv_engine_drop_indexer(struct kv_engine *engine)
{
    drop_flag(engine, &engine->indexer_taken);
}

void kv_engine_drop_manifest(struct kv_engine *engine)
{
    kv_lock_drop(engine->lock, KV_LOCK_MANIFEST);
    pthread_mutex_unlock(&engine->manifest_mutex);
}

bool kv_engine_wait_for_runs(struct kv_engine *engine, size_t limit, unsigned timeout_ms)
{
    struct timespec deadline = {0};
    bool ok;

    pthread_mutex_lock(&engine->mutex);
    ok = engine->manifest.run_count < limit;
    if (!ok && timeout_ms > 0)
        deadline = deadline_after(engine, timeout_ms);
    while (!ok && timeout_ms > 0 &&
           pthread_cond_timedwait(&engine->changed, &engine->mutex, &deadline) == 0)
        ok = engine->manifest.run_count < limit;
    pthread_mutex_unlock(&engine->mutex);
    return ok;
}

/*
 * Publish a manifest that may not be durable once more, as the next generation: a second sync of
 * the directory may succeed although the first one lost something.
 */
static enum kv_status publish_again(struct kv_engine *engine, struct kv_manifest *disk)
{
    const struct kv_place *place = &engine->place;
    bool renamed;
    enum kv_status st;

    if (KV_MUTANT(second_name_sync_trusted)) {
        /* The brackets keep tests/faults from looking for a way to get here. */
        st = (kv_io_dir_sync)(place->dir);
    } else {
        disk->generation++;
        st = kv_manifest_replace(place->io, place->dir, place->file_mode, disk, &renamed);
    }
    if (st == KV_OK)
        kv_page_raise(&engine->page->generation, disk->generation);
    return st;
}

/* MANIFEST is held: find out what is on disk, and whether its maker lived to announce it. */
static enum kv_status catch_up_manifest(struct kv_engine *engine)
{
    struct kv_manifest disk;
    enum kv_status st = kv_manifest_load(engine->place.io, engine->place.dir, engine->path, &disk);

    if (st != KV_OK)
        return st;
    if (disk.generation > kv_page_load(&engine->page->generation) &&
        !KV_MUTANT(unannounced_manifest_trusted))
        st = publish_again(engine, &disk);
    kv_manifest_release(&disk);
    return st == KV_OK ? kv_engine_refresh(engine) : st;
}

enum kv_status kv_engine_take_manifest(struct kv_engine *engine)
{
    enum kv_status st;

    pthread_mutex_lock(&engine->manifest_mutex);
    st = KV_UNLESS_MUTANT(manifest_not_locked, kv_lock_wait(engine->lock, KV_LOCK_MANIFEST,
                                                            KV_LOCK_EXCLUSIVE, KV_SHORT_WAIT_MS));
    if (st != KV_OK) {
        pthread_mutex_unlock(&engine->manifest_mutex);
        return st;
    }
    st = check_lock(engine);
    if (st == KV_OK)
        st = catch_up_manifest(engine);
    if (st != KV_OK)
        kv_engine_drop_manifest(engine);
    return st;
}
