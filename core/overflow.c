/* Pending segments of a running transaction: see overflow.h. */
#include "overflow.h"

#include <stdlib.h>

#include "group.h"
#include "hash.h"
#include "log_index.h"
#include "mutant.h"
#include "seal.h"
#include "segment_scan.h"

static void release_part(struct kv_overflow_part *part)
{
    kv_segment_unref(part->segment);
    *part = (struct kv_overflow_part){0};
}

void kv_overflow_release(struct kv_overflow *overflow)
{
    while (overflow->count > 0)
        release_part(&overflow->parts[--overflow->count]);
    free(overflow->parts);
    *overflow = (struct kv_overflow){0};
}

/* ---- Growing */

/* A new pending segment, as a log to write to. */
static enum kv_status new_segment(struct kv_overflow *overflow, struct kv_engine *engine,
                                  uint64_t seq, struct kv_log **out)
{
    struct kv_header header = {
        .role = KV_ROLE_PENDING,
        .base_seq = seq - 1,
        .pending = {.group = overflow->group, .ordinal = overflow->next_ordinal}};
    enum kv_status st = kv_seal_new_log(engine, &header, false, out);

    if (st == KV_OK) {
        overflow->group = header.pending.group;
        overflow->next_ordinal++;
    }
    return st;
}

/* Give up a segment that holds nothing of the transaction. */
static void discard(struct kv_engine *engine, struct kv_log *log)
{
    kv_place_remove_segment(&engine->place, log->header.number);
    kv_log_unref(log);
}

/* An empty set that collects the next part. */
static enum kv_status new_set(struct kv_overflow *overflow, struct kv_engine *engine, uint64_t seq,
                              struct kv_write_set **out)
{
    struct kv_log *log;
    enum kv_status st = new_segment(overflow, engine, seq, &log);

    *out = NULL;
    if (st != KV_OK)
        return st;
    st = kv_write_set_new(log, seq, out);
    if (st != KV_OK) {
        discard(engine, log);
        return st;
    }
    (*out)->first_record = overflow->record_count;
    kv_log_unref(log);
    return KV_OK;
}

static enum kv_status reserve_part(struct kv_overflow *overflow)
{
    size_t capacity = overflow->capacity ? 2 * overflow->capacity : 8;
    struct kv_overflow_part *parts;

    if (overflow->count < overflow->capacity)
        return KV_OK;
    parts = realloc(overflow->parts, capacity * sizeof(*parts));
    if (!parts)
        return kv_fail_nomem();
    overflow->parts = parts;
    overflow->capacity = capacity;
    return KV_OK;
}

/*
 * After a failed sync the kernel may take what it could not write for written, so a second one that
 * succeeds says nothing: the transaction can only be rolled back.
 */
static enum kv_status sync_segment(struct kv_overflow *overflow, const struct kv_engine *engine,
                                   const struct kv_log *log)
{
    enum kv_status st;

    if (overflow->sync_failed)
        return kv_fail(KV_IOERR,
                       "%s: a sync of a part of this transaction failed before; roll it back",
                       engine->path);
    st = KV_UNLESS_MUTANT(overflow_without_sync, kv_io_sync(log->file));
    overflow->sync_failed = st != KV_OK;
    return st;
}

/* Sync, index and open what a set has written. */
static enum kv_status finish_segment(struct kv_overflow *overflow, struct kv_engine *engine,
                                     struct kv_write_set *set, struct kv_segment **out)
{
    struct kv_segment_info info = {0};
    enum kv_status st = kv_write_set_close(set);

    *out = NULL;
    if (st != KV_OK)
        return st;
    kv_log_trim(set->log);
    st = sync_segment(overflow, engine, set->log);
    if (st == KV_OK)
        st = kv_log_index(&engine->place, set->log, set->memtable.items, &set->log->tail, &info,
                          NULL);
    if (st == KV_OK)
        st = kv_segment_open(&engine->place, &info, out);
    kv_segment_info_release(&info);
    return st;
}

/* What the set holds is a part from then on, and the set an empty one at the end of `log`. */
static enum kv_status close_part(struct kv_overflow *overflow, struct kv_engine *engine,
                                 struct kv_log *log, struct kv_write_set **set)
{
    struct kv_overflow_part part = {.first_record = (*set)->first_record};
    struct kv_write_set *old = *set, *empty;
    enum kv_status st = reserve_part(overflow);

    if (st == KV_OK)
        st = kv_write_set_new(log, old->seq, &empty);
    if (st != KV_OK)
        return st;
    st = finish_segment(overflow, engine, old, &part.segment);
    if (st != KV_OK) {
        kv_write_set_unref(empty);
        return st;
    }
    overflow->record_count += kv_write_set_count(old);
    empty->first_record = overflow->record_count;
    *set = empty;
    kv_write_set_unref(old);
    overflow->parts[overflow->count++] = part;
    return KV_OK;
}

enum kv_status kv_overflow_begin(struct kv_overflow *overflow, struct kv_engine *engine,
                                 struct kv_write_set **set)
{
    struct kv_log *from = kv_log_ref((*set)->log), *to;
    enum kv_status st = new_segment(overflow, engine, (*set)->seq, &to);

    if (st == KV_OK) {
        st = kv_write_set_move(*set, to);
        if (st == KV_OK) {
            kv_log_trim(from);
            kv_log_unref(to);
        } else {
            discard(engine, to);
            kv_overflow_release(overflow);
        }
    }
    kv_log_unref(from);
    return st;
}

enum kv_status kv_overflow_next(struct kv_overflow *overflow, struct kv_engine *engine,
                                struct kv_log *log, struct kv_write_set **set)
{
    struct kv_write_set *next;
    enum kv_status st = KV_OK;

    if (kv_write_set_count(*set) > 0)
        st = close_part(overflow, engine, log, set);
    if (st == KV_OK)
        st = new_set(overflow, engine, (*set)->seq, &next);
    if (st != KV_OK)
        return st;
    kv_write_set_unref(*set);
    *set = next;
    return KV_OK;
}

/* ---- Listing */

/* Describe the parts as the group that `commit` will name, at the end of `log`. */
static enum kv_status describe_group(const struct kv_overflow *overflow, const struct kv_log *log,
                                     const struct kv_commit *commit, struct kv_pending_group *out)
{
    enum kv_status st = KV_OK;

    *out = (struct kv_pending_group){.id = overflow->group,
                                     .segments = calloc(overflow->count, sizeof(*out->segments))};
    if (!out->segments)
        return kv_fail_nomem();
    for (size_t i = 0; i < overflow->count && st == KV_OK; i++) {
        struct kv_segment_info *info = &out->segments[i];

        st = kv_segment_info_copy(info, kv_segment_info(overflow->parts[i].segment));
        info->min_time_ms = info->max_time_ms = commit->time_ms;
        out->segment_count = i + 1;
    }
    kv_group_place(out, kv_log_lsn(log, KV_HEADER_BYTES));
    out->digest = kv_group_digest(out->segments, out->segment_count);
    return st;
}

static void release_group(struct kv_pending_group *group)
{
    for (size_t i = 0; i < group->segment_count; i++)
        kv_segment_info_release(&group->segments[i]);
    free(group->segments);
}

/* Give up a set that holds nothing any more, with its file, for an empty one at the end of the active log. */
static enum kv_status return_to_log(struct kv_overflow *overflow, struct kv_engine *engine,
                                    struct kv_log *log, struct kv_write_set **set)
{
    struct kv_write_set *empty;
    enum kv_status st = kv_write_set_new(log, (*set)->seq, &empty);

    if (st != KV_OK)
        return st;
    if ((*set)->log->header.role == KV_ROLE_PENDING)
        kv_place_remove_segment(&engine->place, (*set)->log->header.number);
    empty->first_record = overflow->record_count;
    kv_write_set_unref(*set);
    *set = empty;
    return KV_OK;
}

enum kv_status kv_overflow_list(struct kv_overflow *overflow, struct kv_engine *engine,
                                struct kv_log *log, struct kv_write_set **set,
                                struct kv_commit *commit)
{
    struct kv_pending_group group = {0};
    bool renamed = false;
    enum kv_status st = KV_OK;

    if (kv_write_set_count(*set) > 0)
        st = close_part(overflow, engine, log, set);
    if (st == KV_OK && (*set)->log != log)
        st = return_to_log(overflow, engine, log, set);
    if (st == KV_OK)
        st = describe_group(overflow, log, commit, &group);
    if (st == KV_OK) {
        commit->group = group.id;
        commit->group_digest = group.digest;
        st = kv_group_list(engine, &group, &renamed);
        overflow->listed |= renamed;
        for (size_t i = 0; i < overflow->count; i++)
            overflow->parts[i].listed |= renamed;
    }
    release_group(&group);
    return st;
}

enum kv_status kv_overflow_unlist(struct kv_overflow *overflow, struct kv_engine *engine)
{
    bool renamed;
    enum kv_status st = kv_group_list(engine, NULL, &renamed);

    if (st == KV_OK)
        overflow->listed = false;
    return st;
}

/* ---- Rolling back */

/* Files that a manifest may name go when another one takes its place. */
static void drop_part(struct kv_overflow *overflow, struct kv_engine *engine)
{
    struct kv_overflow_part *part = &overflow->parts[--overflow->count];

    overflow->record_count = part->first_record;
    if (!part->listed)
        kv_place_remove_segment(&engine->place, kv_segment_info(part->segment)->number);
    release_part(part);
}

/* Copy the first `count` records of a segment to a set. */
static enum kv_status copy_records(const struct kv_segment *segment, uint64_t hash_seed,
                                   uint64_t count, struct kv_write_set *set)
{
    struct kv_segment_scan scan;
    struct kv_record record;
    uint32_t offset;
    enum kv_status st = KV_OK;

    kv_segment_scan_all(segment, &scan);
    for (uint64_t i = 0; i < count && st == KV_OK; i++) {
        st = kv_segment_scan_next(&scan, &record, &offset);
        if (st == KV_OK)
            st = kv_write_set_add(set, record.kind, kv_hash(record.key, hash_seed), record.key,
                                  record.row);
    }
    return st;
}

/* The last part goes, but for its first `count` records, which become the set's. */
static enum kv_status shorten_part(struct kv_overflow *overflow, struct kv_engine *engine,
                                   struct kv_write_set **set, uint64_t count)
{
    struct kv_segment *segment = kv_segment_ref(overflow->parts[overflow->count - 1].segment);
    struct kv_write_set *next;
    enum kv_status st;

    drop_part(overflow, engine);
    st = new_set(overflow, engine, (*set)->seq, &next);
    if (st == KV_OK) {
        kv_write_set_unref(*set);
        *set = next;
        st = copy_records(segment, engine->place.hash_seed, count, next);
    }
    kv_segment_unref(segment);
    return st;
}

enum kv_status kv_overflow_truncate(struct kv_overflow *overflow, struct kv_engine *engine,
                                    struct kv_log *log, struct kv_write_set **set,
                                    uint64_t record_count)
{
    enum kv_status st;

    if (record_count > overflow->record_count) {
        kv_write_set_truncate(*set, (uint32_t)(record_count - overflow->record_count));
        return KV_OK;
    }
    kv_write_set_truncate(*set, 0);
    while (overflow->count > 0 && overflow->parts[overflow->count - 1].first_record >= record_count)
        drop_part(overflow, engine);
    st = return_to_log(overflow, engine, log, set);
    if (st == KV_OK && record_count < overflow->record_count)
        st = shorten_part(overflow, engine, set,
                          record_count - overflow->parts[overflow->count - 1].first_record);
    if (st == KV_OK && record_count == 0 && !overflow->listed)
        kv_overflow_release(overflow);
    return st;
}

/* ---- Reading */

enum kv_status kv_overflow_get(const struct kv_overflow *overflow, uint64_t hash,
                               struct kv_slice key, struct kv_entry *out)
{
    enum kv_status st = KV_DONE;

    for (size_t i = overflow->count; i-- > 0 && st == KV_DONE;)
        st = kv_segment_get(overflow->parts[i].segment, hash, key, out);
    if (st == KV_OK) {
        out->seq = 0;
        out->own = true;
    }
    return st;
}

enum kv_status kv_overflow_iters(const struct kv_overflow *overflow, struct kv_iter **out,
                                 size_t *count)
{
    *count = 0;
    for (size_t i = overflow->count; i-- > 0;) {
        enum kv_status st = kv_segment_iter(overflow->parts[i].segment, &out[*count]);

        if (st != KV_OK) {
            kv_iters_free(out, count);
            return st;
        }
        ++*count;
    }
    return KV_OK;
}
