/* Copying a log's undurable end into a successor: see failover.h. */
#include "failover.h"

#include "cleanup.h"
#include "group.h"
#include "mutant.h"
#include "seal.h"
#include "write_set.h"

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

/*
 * Where the log before the new one ends. If nothing of the old log stays, it is the end of the one
 * before that: to a repair without a manifest, no number tells that leftovers of both are replaced.
 */
static uint64_t previous_end(const struct kv_log *from, const struct kv_log_tail *durable)
{
    return durable->end_bytes > KV_HEADER_BYTES ? kv_log_lsn(from, durable->end_bytes)
                                                : from->header.log.previous_end_lsn;
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
    struct kv_header header = {
        .base_seq = durable->seq,
        .log = {.base_lsn = past,
                .previous_digest = durable->digest,
                .previous_end_lsn = previous_end(from, durable),
                .copied_seq = from->tail.seq > durable->seq && !KV_MUTANT(copies_not_noted)
                                  ? from->tail.seq
                                  : 0}};
    enum kv_status st =
        kv_seal_new_log(engine, &header, !KV_MUTANT(failover_header_first), &copier.to);

    *out = NULL;
    if (st != KV_OK)
        return st;
    while (st == KV_OK && copier.at < from->tail.end_bytes)
        st = copy_transaction(&copier);
    if (st == KV_OK)
        st = KV_UNLESS_MUTANT(failover_copies_without_sync, kv_io_sync(copier.to->file));
    if (st == KV_OK)
        st = kv_log_write_header(copier.to);
    if (st == KV_OK)
        st = KV_UNLESS_MUTANT(failover_header_without_sync, kv_io_sync(copier.to->file));
    if (st != KV_OK) {
        kv_log_unref(copier.to);
        return st;
    }
    *out = copier.to;
    return KV_OK;
}

/* A group goes with its COMMIT: settled with the part that is sealed, or on to the new log; or nowhere. */
static enum kv_status failover_group(struct kv_engine *engine, const struct kv_log *from,
                                     const struct kv_log_tail *durable, const struct kv_log *to,
                                     struct kv_manifest *next)
{
    if (!kv_group_is_committed(next, &from->tail))
        return kv_manifest_set_group(next, NULL);
    if (durable->group != 0)
        return kv_group_settle(&engine->place, from, next);
    kv_group_place(&next->groups[0], kv_log_lsn(to, KV_HEADER_BYTES));
    return KV_OK;
}

/*
 * The manifest in which `to` is active and `from` is sealed where it was
 * durable, or gone if nothing of it is left. MANIFEST is held.
 */
static enum kv_status install(struct kv_engine *engine, const struct kv_log *from,
                              const struct kv_log_tail *durable, struct kv_log *to)
{
    struct kv_manifest next;
    bool renamed;
    enum kv_status st = kv_manifest_copy(&next, &engine->manifest);

    if (st != KV_OK)
        return st;
    st = failover_group(engine, from, durable, to, &next);
    if (st == KV_OK)
        st = kv_seal_add(&next, from, durable);
    kv_seal_set_active(&next, to, to->tail.end_bytes);
    if (st == KV_OK)
        st = kv_engine_install(engine, &next, to, &renamed);
    kv_manifest_release(&next);
    return st;
}

/* All of the new log is durable and committed; the doubt is over. */
static void announce(struct kv_engine *engine, const struct kv_log *to)
{
    struct kv_page *page = engine->page;
    uint64_t lsn = kv_log_lsn(to, to->tail.end_bytes);

    kv_engine_note_durable(engine, lsn);
    kv_page_store(&page->committed_lsn, lsn);
    kv_page_clear(&page->syncing);
    kv_page_clear(&page->refuse_writes);
}

enum kv_status kv_failover(struct kv_engine *engine, struct kv_log *from,
                           const struct kv_log_scan *scan)
{
    struct kv_log_tail durable = scan->durable;
    struct kv_log *to = NULL;
    enum kv_status st = KV_OK;

    if (durable.end_bytes < KV_FAILOVER_SEAL_MIN_BYTES)
        durable = (struct kv_log_tail){.end_bytes = KV_HEADER_BYTES,
                                       .seq = from->header.base_seq,
                                       .digest = from->header.log.previous_digest};
    if (durable.end_bytes > KV_HEADER_BYTES)
        st = kv_seal_finish(engine, NULL);
    if (st == KV_OK)
        st = make_successor(engine, from, &durable, &to);
    if (st == KV_OK)
        st = kv_engine_take_manifest(engine);
    if (st == KV_OK) {
        st = install(engine, from, &durable, to);
        kv_engine_drop_manifest(engine);
    }
    if (st == KV_OK)
        announce(engine, to);
    kv_log_unref(to);
    return st;
}
