/* kv_compact, kv_sync and kv_store_check: what users may ask of an open store by hand. */
#include "compact.h"
#include "names.h"
#include "patience.h"
#include "seal.h"
#include "store.h"
#include "verify.h"
#include "writer.h"

enum { RESOLVE_WAIT_MS = 1000, COMPACTOR_WAIT_MS = 60000 };

/* Bytes of the segments and indexes that the manifest names. */
static uint64_t files_bytes(struct kv_engine *engine)
{
    struct kv_version *version = kv_engine_version(engine);
    uint64_t lsn = kv_page_load(&engine->page->committed_lsn), bytes;

    bytes = lsn > version->start_lsn ? lsn : version->start_lsn;
    bytes = kv_log_offset(version->log, bytes) + version->unindexed_end_bytes;
    for (size_t r = 0; r < version->run_count; r++) {
        for (size_t s = 0; s < kv_run_segment_count(version->runs[r]); s++) {
            const struct kv_segment *segment = kv_run_segment(version->runs[r], s);

            bytes += kv_segment_info(segment)->end_bytes + kv_segment_index_bytes(segment);
        }
    }
    kv_version_unref(version);
    return bytes;
}

/*
 * Wait for a merge that is under way: it is doing part of what was asked for.
 * Longer than for a writer, but not for ever: its process may have been stopped.
 */
static enum kv_status take_compactor(struct kv_engine *engine, const struct kv_settings *settings)
{
    uint64_t limit_ms = settings->busy_timeout_ms > COMPACTOR_WAIT_MS ? settings->busy_timeout_ms
                                                                      : COMPACTOR_WAIT_MS;
    struct kv_patience patience = kv_patience_start(engine, settings, limit_ms);
    enum kv_status st;

    do
        st = kv_engine_take_compactor(engine, patience.step_ms);
    while (st == KV_BUSY && kv_patience_goes_on(&patience, &st));
    return st;
}

/* With a budget, only part of it: then `*bytes` is what is left to do, else what was freed. */
static enum kv_status compact(struct kv_store *store, const struct kv_settings *settings,
                              const struct kv_compact_budget *budget, uint64_t *bytes)
{
    struct kv_engine *engine = &store->engine;
    uint64_t before, after, left;
    enum kv_status st = kv_engine_check_writable(engine);

    *bytes = 0;
    if (st != KV_OK)
        return st;
    settings = kv_store_settings(store, settings);
    before = files_bytes(engine);
    /* The only moment at which compaction needs the writer's place. */
    st = kv_writer_seal_committed(engine, settings);
    if (st == KV_OK)
        st = take_compactor(engine, settings);
    if (st != KV_OK)
        return st;
    st = kv_compact_all(engine, settings, budget, &left);
    kv_engine_drop_compactor(engine);
    after = files_bytes(engine);
    if (st == KV_OK)
        *bytes = budget ? left : after < before ? before - after : 0;
    return st;
}

enum kv_status kv_compact(struct kv_store *store, const struct kv_settings *settings,
                          uint64_t *freed_bytes)
{
    uint64_t bytes;
    enum kv_status st = compact(store, settings, NULL, &bytes);

    if (freed_bytes)
        *freed_bytes = bytes;
    return st;
}

enum kv_status kv_compact_some(struct kv_store *store, const struct kv_settings *settings,
                               const struct kv_compact_budget *budget, uint64_t *left_bytes)
{
    return compact(store, settings, budget, left_bytes);
}

/* Becoming the writer makes all that is committed durable, if others have left it in doubt. */
static enum kv_status resolve_doubt(struct kv_engine *engine, unsigned timeout_ms)
{
    enum kv_status st =
        kv_writer_take(engine, timeout_ms > RESOLVE_WAIT_MS ? timeout_ms : RESOLVE_WAIT_MS);

    if (st == KV_OK)
        kv_engine_drop_writer(engine, false);
    else if (st == KV_BUSY)
        st = kv_fail(KV_IOERR,
                     "%s: a sync has failed, or a process died in it, and another connection is "
                     "writing; try again",
                     engine->path);
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
        snapshot->lsn > kv_page_load(&engine->page->durable_lsn)) {
        struct kv_log *log = snapshot->pin.version->log;

        st = kv_engine_sync_log(engine, log, (uint32_t)kv_log_offset(log, snapshot->lsn));
        if (st == KV_BUSY)
            st = resolve_doubt(engine, store->settings.busy_timeout_ms);
    }
    if (st == KV_OK && seq)
        *seq = kv_snapshot_seq(snapshot);
    kv_snapshot_free(snapshot);
    return st;
}

/*
 * Is there nothing newer, made here or by another process? Names that lead to
 * nothing mean something only then, asked in this order: files are unlinked
 * after the manifest that no longer names them was announced.
 */
static bool is_newest(struct kv_engine *engine, const struct kv_version *version)
{
    if (engine->place.readonly && kv_engine_follow(engine) != KV_OK)
        return false;
    return version->generation >= kv_page_load(&engine->page->generation);
}

/* Do the names of a segment's files lead to anything? */
static void check_names(struct kv_verify *check, struct kv_engine *engine,
                        const struct kv_version *version, uint64_t number)
{
    struct kv_identity identity;
    char data_name[KV_NAME_BYTES], index_name[KV_NAME_BYTES];
    enum kv_status data, index;

    kv_name_segment(data_name, number);
    kv_name_index(index_name, number);
    data = kv_io_name_identity(check->place.dir, data_name, &identity);
    index = kv_io_name_identity(check->place.dir, index_name, &identity);
    if ((data != KV_NOTFOUND && index != KV_NOTFOUND) || !is_newest(engine, version))
        return;
    if (data == KV_NOTFOUND)
        kv_verify_report(check, number, 0,
                         "the file is missing; it is open here: copy the rows out");
    if (index == KV_NOTFOUND)
        kv_verify_report(check, number, 0,
                         "the index is missing; it is built anew when the store is opened");
}

/* Scan a log of the version afresh, as it is on disk: it must reach `start_lsn`, and is read to `end_lsn`. */
static void check_log(struct kv_verify *check, struct kv_engine *engine,
                      const struct kv_version *version, const struct kv_header *header,
                      uint64_t start_lsn, uint64_t end_lsn)
{
    struct kv_log *log;
    enum kv_status st = kv_log_open(&check->place, header->number, header->salt, &log);

    if (st == KV_OK) {
        kv_verify_log(check, log, start_lsn, end_lsn);
        kv_log_unref(log);
    } else if (st != KV_NOTFOUND || is_newest(engine, version)) {
        kv_verify_failure(check, header->number, st);
    }
}

/* The active log, as far as the snapshot shows it, and the one without index to its end. */
static void check_logs(struct kv_verify *check, struct kv_engine *engine,
                       const struct kv_version *version, uint64_t lsn)
{
    const struct kv_log *sealed = version->unindexed;

    check_log(check, engine, version, &version->log->header, version->start_lsn, lsn);
    if (sealed && kv_verify_goes_on(check)) {
        uint64_t end_lsn = kv_log_lsn(sealed, version->unindexed_end_bytes);

        check_log(check, engine, version, &sealed->header, end_lsn, end_lsn);
    }
}

enum kv_status kv_store_check(struct kv_store *store, const struct kv_settings *settings,
                              enum kv_status (*each)(void *context,
                                                     const struct kv_problem *problem),
                              void *context)
{
    struct kv_engine *engine = &store->engine;
    struct kv_verify check = {.place = engine->place,
                              .settings = kv_store_settings(store, settings),
                              .each = each,
                              .context = context};
    struct kv_snapshot *snapshot;
    struct kv_version *version;
    enum kv_status st = kv_snapshot_new(store, &snapshot);

    if (st != KV_OK)
        return st;
    st = kv_snapshot_acquire(snapshot);
    if (st != KV_OK) {
        kv_snapshot_free(snapshot);
        return st;
    }
    version = snapshot->pin.version;
    check.place.readonly = true;
    check_logs(&check, engine, version, snapshot->lsn);
    for (size_t r = 0; r < version->run_count; r++) {
        for (size_t s = 0; s < kv_run_segment_count(version->runs[r]) && kv_verify_goes_on(&check);
             s++) {
            struct kv_segment *segment = kv_run_segment(version->runs[r], s);

            check_names(&check, engine, version, kv_segment_info(segment)->number);
            kv_verify_segment(&check, segment);
        }
    }
    kv_snapshot_free(snapshot);
    return check.st;
}
