/* Sealing a log: see seal.h for the order of things. */
#include "seal.h"

#include <stdio.h>
#include <stdlib.h>

#include "estimate.h"
#include "group.h"
#include "index.h"
#include "names.h"

/* The log's items in key order, and which of them are the newest of their key. */
struct sorted {
    struct kv_batch *batch;
    struct kv_index_item *items; /* newest of each key, in key order */
    size_t item_count;
    uint8_t *newest; /* by index of the item */
};

static void sorted_release(struct sorted *sorted)
{
    free(sorted->batch);
    free(sorted->items);
    free(sorted->newest);
}

/* Sort the first `count` items. */
static enum kv_status sort(const struct kv_log *log, uint32_t count, struct sorted *out)
{
    struct kv_item_list list = kv_log_item_list(log);
    enum kv_status st = kv_order_sort_once(&list, count, &out->batch);

    if (st != KV_OK)
        return st;
    out->items = malloc((count + 1) * sizeof(*out->items));
    out->newest = calloc(count + 1, 1);
    if (!out->items || !out->newest)
        return kv_fail_nomem();
    for (uint32_t i = 0; i < count; i++) {
        uint32_t entry = out->batch->entries[i];
        const struct kv_item *item = &list.items[entry & KV_ORDER_INDEX];

        if (entry & KV_ORDER_DUPLICATE)
            continue;
        out->newest[entry] = 1;
        out->items[out->item_count++] = (struct kv_index_item){item->hash, item->offset_bytes};
    }
    return KV_OK;
}

/* Count what the log holds, in file order; each record is verified once more before it is final. */
static enum kv_status count_records(struct kv_log *log, uint32_t end_bytes, const uint8_t *newest,
                                    struct kv_segment_info *info)
{
    for (uint32_t i = 0; i < info->record_count; i++) {
        struct kv_record record;
        enum kv_status st =
            kv_log_decode(log, log->memtable.items[i].offset_bytes, end_bytes, &record);

        if (st != KV_OK)
            return st;
        if (i == 0)
            info->min_seq = record.seq;
        info->max_seq = record.seq;
        if (!newest[i])
            continue;
        info->entry_bytes += record.size_bytes;
        info->tombstone_count += record.kind == KV_DELETE;
    }
    info->dead_bytes = end_bytes - KV_HEADER_BYTES - info->entry_bytes;
    return KV_OK;
}

static enum kv_status set_key(struct kv_buffer *to, const struct kv_log *log, uint32_t offset_bytes,
                              uint32_t end_bytes)
{
    return kv_buffer_set(
        to, kv_record_key(kv_slice_of(log->data + offset_bytes, end_bytes - offset_bytes)));
}

enum kv_status kv_seal_describe(const struct kv_place *place, struct kv_log *log,
                                const struct kv_log_tail *end, struct kv_segment_info *info)
{
    struct sorted sorted = {0};
    enum kv_status st;

    *info = (struct kv_segment_info){.number = log->header.number,
                                     .salt = log->header.salt,
                                     .end_bytes = end->end_bytes,
                                     .digest = end->digest,
                                     .record_count = end->record_count,
                                     .min_time_ms = end->min_time_ms,
                                     .max_time_ms = end->max_time_ms,
                                     .first_lsn = log->header.log.base_lsn,
                                     .last_lsn = kv_log_lsn(log, end->end_bytes)};
    st = sort(log, end->record_count, &sorted);
    if (st == KV_OK)
        st = count_records(log, end->end_bytes, sorted.newest, info);
    if (st != KV_OK)
        goto out;
    info->entry_count = sorted.item_count;
    st = set_key(&info->min_key, log, sorted.items[0].offset_bytes, end->end_bytes);
    if (st == KV_OK)
        st = set_key(&info->max_key, log, sorted.items[sorted.item_count - 1].offset_bytes,
                     end->end_bytes);
    if (st == KV_OK)
        st = kv_index_build(place, info, kv_slice_of(log->data, end->end_bytes), sorted.items,
                            sorted.item_count, NULL);
out:
    if (st != KV_OK)
        kv_segment_info_release(info);
    sorted_release(&sorted);
    return st;
}

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

/* The log's group, then the log itself, if it has records, become the newest runs of `next`. */
static enum kv_status add_runs(struct kv_engine *engine, struct kv_version *version,
                               struct kv_segment_info *info, struct kv_manifest *next)
{
    enum kv_status st;

    kv_estimate_superseded_by_group(version, next);
    if (info->record_count > 0) {
        kv_estimate_superseded(version, next, info);
        next->log_bytes_written += info->end_bytes;
    }
    st = kv_group_settle(&engine->place, version->log, next);
    if (st == KV_OK && info->record_count > 0)
        st = kv_manifest_add_run(next, 0, info);
    return st;
}

/* The manifest that lists `info` as the newest run and `log` as the active log. MANIFEST is held. */
static enum kv_status install(struct kv_engine *engine, struct kv_segment_info *info,
                              struct kv_log *log)
{
    struct kv_version *version;
    struct kv_manifest next;
    bool renamed;
    enum kv_status st = kv_manifest_copy(&next, &engine->manifest);

    if (st != KV_OK)
        return st;
    version = kv_engine_version(engine); /* with the runs of this manifest: merges go on */
    st = add_runs(engine, version, info, &next);
    kv_version_unref(version);
    next.last_seq = log->header.base_seq;
    next.active.number = log->header.number;
    next.active.salt = log->header.salt;
    next.active.base_lsn = log->header.log.base_lsn;
    next.active.start_lsn = log->header.log.base_lsn;
    next.active.previous_digest = log->header.log.previous_digest;
    if (st == KV_OK)
        st = kv_engine_install(engine, &next, log, &renamed);
    kv_manifest_release(&next);
    return st;
}

/*
 * Nothing came of it: remove the new log (NULL: none yet) and the index of the
 * old one, lest each attempt leave files behind. They stay if a manifest that
 * names them may survive a crash. The failure being reported keeps its message.
 */
static enum kv_status discard(struct kv_engine *engine, const struct kv_log *log,
                              const struct kv_log *next, enum kv_status st)
{
    char name[KV_NAME_BYTES], message[512];

    if (kv_page_is_set(&engine->page->refuse_writes))
        return st;
    snprintf(message, sizeof(message), "%s", kv_message());
    kv_name_index(name, log->header.number);
    (void)!kv_io_unlink(engine->place.dir, name);
    if (next) {
        kv_name_segment(name, next->header.number);
        (void)!kv_io_unlink(engine->place.dir, name);
    }
    return kv_fail(st, "%s", message);
}

enum kv_status kv_seal(struct kv_engine *engine, bool keep_tail)
{
    struct kv_version *version = kv_engine_version(engine);
    struct kv_log *log = version->log, *next = NULL;
    struct kv_segment_info info = {0};
    uint64_t end_lsn = kv_log_lsn(log, log->tail.end_bytes);
    struct kv_header header = {.base_seq = log->tail.seq,
                               .log = {.base_lsn = end_lsn,
                                       .previous_digest = log->tail.digest,
                                       .previous_end_lsn = end_lsn}};
    enum kv_status st = KV_OK;

    if (log->tail.record_count == 0 && version->pending_count == 0)
        goto out;
    st = kv_engine_sync_log(engine, log, log->tail.end_bytes);
    if (st == KV_OK && log->tail.record_count > 0)
        st = kv_seal_describe(&engine->place, log, &log->tail, &info);
    if (st == KV_OK)
        st = kv_seal_new_log(engine, &header, false, &next);
    if (st == KV_OK)
        st = kv_io_sync(next->file);
    if (st == KV_OK)
        st = kv_engine_take_manifest(engine);
    if (st != KV_OK)
        goto out;
    st = install(engine, &info, next);
    kv_engine_drop_manifest(engine);
    if (st != KV_OK)
        goto out;
    atomic_fetch_add_explicit(&engine->counters.seals, 1, memory_order_relaxed);
    if (!keep_tail)
        kv_log_trim(log);
out:
    if (st != KV_OK)
        st = discard(engine, log, next, st);
    kv_segment_info_release(&info);
    kv_log_unref(next);
    kv_version_unref(version);
    return st;
}
