/* Syncing the active log, one at a time among all who have the store open: see engine.h. */
#include "engine.h"

#include "mutant.h"

void kv_engine_note_durable(struct kv_engine *engine, uint64_t lsn)
{
    kv_page_raise(&engine->page->durable_lsn, lsn);
    atomic_store(&engine->synced_ms, kv_io_monotonic_ms(engine->place.io));
}

enum kv_status kv_engine_sync_log(struct kv_engine *engine, struct kv_log *log, uint32_t end_bytes)
{
    enum kv_status st;

    pthread_mutex_lock(&engine->sync_mutex);
    st = KV_UNLESS_MUTANT(sync_not_locked, kv_lock_wait(engine->lock, KV_LOCK_SYNC,
                                                        KV_LOCK_EXCLUSIVE, KV_SHORT_WAIT_MS));
    if (st != KV_OK) {
        pthread_mutex_unlock(&engine->sync_mutex);
        return st;
    }
    if (kv_page_is_set(&engine->page->refuse_writes))
        /* Another's sync failed while this one waited: its error may have been the one for our bytes. */
        st = kv_fail(KV_BUSY, "%s: a write could not be made durable earlier; try again",
                     engine->path);
    else if (kv_page_test_and_set(&engine->page->syncing))
        /* Whoever set it died in the sync, and its outcome with it. */
        st = kv_fail(KV_BUSY, "%s: a process died while it was syncing the log; try again",
                     engine->path);
    else
        st = kv_log_sync(log);
    if (st == KV_OK) {
        kv_engine_note_durable(engine, kv_log_lsn(log, end_bytes));
        atomic_fetch_add_explicit(&engine->counters.syncs, 1, memory_order_relaxed);
    } else if (!KV_MUTANT(failed_sync_forgotten)) {
        /* The kernel may have dropped what it could not write: never ask again. */
        kv_page_set(&engine->page->refuse_writes);
    }
    kv_page_clear(&engine->page->syncing);
    kv_lock_drop(engine->lock, KV_LOCK_SYNC);
    pthread_mutex_unlock(&engine->sync_mutex);
    return st;
}
