/* kv_compact and kv_sync: what users may ask for by hand. */
#include "compact.h"
#include "seal.h"
#include "store.h"

/* Bytes of the segments and indexes that the manifest names. */
static uint64_t files_bytes(struct kv_engine *engine)
{
    struct kv_version *version = kv_engine_version(engine);
    uint64_t lsn = atomic_load(&engine->page->committed_lsn), bytes;

    bytes = lsn > version->start_lsn ? lsn : version->start_lsn;
    bytes = kv_log_offset(version->log, bytes);
    for (size_t r = 0; r < version->run_count; r++) {
        for (size_t s = 0; s < kv_run_segment_count(version->runs[r]); s++) {
            const struct kv_segment *segment = kv_run_segment(version->runs[r], s);

            bytes += kv_segment_info(segment)->end_bytes + kv_segment_index_bytes(segment);
        }
    }
    kv_version_unref(version);
    return bytes;
}

/* Seal the active log: the only moment at which compaction needs the writer's place. */
static enum kv_status seal(struct kv_engine *engine, const struct kv_settings *settings)
{
    enum kv_status st = kv_engine_take_writer(engine, settings->busy_timeout_ms);

    if (st != KV_OK)
        return st;
    st = kv_engine_check_writable(engine);
    if (st == KV_OK)
        st = kv_seal(engine, false);
    kv_engine_drop_writer(engine);
    return st;
}

enum kv_status kv_compact(struct kv_store *store, const struct kv_settings *settings,
                          uint64_t *freed_bytes)
{
    struct kv_engine *engine = &store->engine;
    uint64_t before, after;
    enum kv_status st = kv_engine_check_writable(engine);

    if (freed_bytes)
        *freed_bytes = 0;
    if (st != KV_OK)
        return st;
    settings = kv_store_settings(store, settings);
    before = files_bytes(engine);
    st = seal(engine, settings);
    if (st == KV_OK)
        st = kv_engine_take_compactor(engine, settings->busy_timeout_ms);
    if (st != KV_OK)
        return st;
    st = kv_compact_all(engine, settings);
    kv_engine_drop_compactor(engine);
    after = files_bytes(engine);
    if (st == KV_OK && freed_bytes && after < before)
        *freed_bytes = before - after;
    return st;
}

enum kv_status kv_sync(struct kv_store *store, uint64_t *seq)
{
    struct kv_engine *engine = &store->engine;
    struct kv_snapshot *snapshot;
    enum kv_status st = KV_OK;

    if (seq)
        *seq = 0;
    st = kv_snapshot_new(store, &snapshot);
    if (st == KV_OK)
        st = kv_snapshot_acquire(snapshot);
    /* What an older log held was made durable when it was sealed. */
    if (st == KV_OK && !engine->place.readonly &&
        snapshot->lsn > atomic_load(&engine->page->durable_lsn)) {
        struct kv_log *log = snapshot->pin.version->log;

        st = kv_engine_check_writable(engine);
        if (st == KV_OK)
            st = kv_engine_sync_log(engine, log, (uint32_t)kv_log_offset(log, snapshot->lsn));
    }
    if (st == KV_OK && seq)
        *seq = kv_snapshot_seq(snapshot);
    kv_snapshot_free(snapshot);
    return st;
}
