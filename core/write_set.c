/* A transaction's records before they are published: see write_set.h. */
#include "write_set.h"

#include <stdlib.h>

#include "flood.h"
#include "hash.h"
#include "mutant.h"
#include "names.h"

enum { FLUSH_BYTES = 256 * 1024, KEEP_BUFFER_BYTES = 4 * FLUSH_BYTES, FIRST_ITEM_COUNT = 64 };

struct kv_write_view {
    unsigned references; /* of its iterators */
    struct kv_write_set *set;
    uint32_t bound_index;               /* records there were in the set when it was opened */
    bool cut;                           /* the transaction has been taken back behind that */
    struct kv_write_view **link, *next; /* what points to it; NULL: the transaction is over */
};

enum kv_status kv_write_set_new(struct kv_log *log, uint64_t seq, struct kv_write_set **out)
{
    struct kv_write_set *set = calloc(1, sizeof(*set));

    *out = NULL;
    if (!set ||
        kv_memtable_init(&set->memtable, FIRST_ITEM_COUNT, log->place->table_secret) != KV_OK) {
        free(set);
        return kv_fail_nomem();
    }
    set->references = 1;
    set->log = kv_log_ref(log);
    set->seq = seq;
    set->begin_bytes = set->flushed_bytes = set->end_bytes = log->tail.end_bytes;
    set->digest = log->tail.digest;
    *out = set;
    return KV_OK;
}

void kv_write_set_unref(struct kv_write_set *set)
{
    if (!set || --set->references > 0)
        return;
    kv_memtable_release(&set->memtable);
    kv_buffer_release(&set->buffer);
    kv_log_unref(set->log);
    free(set);
}

/* Everything from a file offset to the end of what is there. */
static struct kv_slice bytes_at(const struct kv_write_set *set, uint32_t offset_bytes)
{
    if (offset_bytes < set->flushed_bytes)
        return kv_slice_of(set->log->data + offset_bytes, set->flushed_bytes - offset_bytes);
    offset_bytes -= set->flushed_bytes;
    return kv_slice_of(set->buffer.data + offset_bytes, set->buffer.size - offset_bytes);
}

static enum kv_status flush(struct kv_write_set *set)
{
    enum kv_status st;

    if (set->buffer.size == 0)
        return KV_OK;
    st = kv_log_write(set->log, set->flushed_bytes, set->buffer.data, set->buffer.size);
    if (st != KV_OK)
        return st;
    set->flushed_bytes += (uint32_t)set->buffer.size;
    set->buffer.size = 0;
    if (set->buffer.capacity > KEEP_BUFFER_BYTES)
        kv_buffer_release(&set->buffer);
    return KV_OK;
}

static struct kv_record record_of(const struct kv_write_set *set, enum kv_kind kind,
                                  struct kv_slice key, struct kv_slice row)
{
    return (struct kv_record){.kind = kind, .seq = set->seq, .key = key, .row = row};
}

size_t kv_write_set_record_size(const struct kv_write_set *set, enum kv_kind kind,
                                struct kv_slice key, struct kv_slice row)
{
    struct kv_record record = record_of(set, kind, key, row);

    return kv_record_size(&set->log->record_place, &record);
}

/* Encode a record behind the last one, without listing it. */
static enum kv_status append(struct kv_write_set *set, struct kv_record *record)
{
    size_t size = kv_record_size(&set->log->record_place, record);
    uint8_t *at = kv_buffer_reserve(&set->buffer, size);

    if (!at)
        return kv_fail_nomem();
    kv_record_encode(at, &set->log->record_place, set->end_bytes, record);
    set->digest = kv_digest_add(set->digest, record->checksum);
    set->buffer.size += size;
    set->end_bytes += (uint32_t)size;
    return KV_OK;
}

enum kv_status kv_write_set_add(struct kv_write_set *set, enum kv_kind kind, uint64_t hash,
                                struct kv_slice key, struct kv_slice row)
{
    struct kv_record record = record_of(set, kind, key, row);
    struct kv_item item = {
        .prefix = kv_slice_prefix(key), .hash = hash, .offset_bytes = set->end_bytes};
    uint32_t count = kv_write_set_count(set);
    enum kv_status st = KV_OK;

    if (count == set->memtable.capacity)
        st = kv_memtable_grow(&set->memtable, count + 1);
    if (st == KV_OK)
        st = append(set, &record);
    if (st != KV_OK)
        return st;
    kv_memtable_append(&set->memtable, item);
    if (set->buffer.size < FLUSH_BYTES)
        return KV_OK;
    st = flush(set);
    if (st != KV_OK)
        kv_write_set_truncate(set, count);
    return st;
}

/* Decode the record at an offset; borrows the set. */
static enum kv_status decode_at(const struct kv_write_set *set, uint32_t offset_bytes,
                                struct kv_record *out)
{
    enum kv_status st =
        kv_record_decode(bytes_at(set, offset_bytes), &set->log->record_place, offset_bytes, out);

    char name[KV_NAME_BYTES];

    if (st == KV_OK)
        return KV_OK;
    kv_name_segment(name, set->log->header.number);
    return kv_fail(KV_CORRUPT, "%s/%s: an uncommitted record at offset %u changed underneath",
                   set->log->place->path, name, offset_bytes);
}

static enum kv_status decode(const struct kv_write_set *set, uint32_t index, struct kv_record *out)
{
    return decode_at(set, set->memtable.items[index].offset_bytes, out);
}

static struct kv_slice key_at(const void *context, uint32_t offset_bytes)
{
    const struct kv_write_set *set = context;

    if (offset_bytes >= set->end_bytes)
        return (struct kv_slice){0}; /* taken back: a view that is cut may still seek */
    return kv_record_key(bytes_at(set, offset_bytes));
}

static struct kv_item_list item_list(const struct kv_write_set *set)
{
    return (struct kv_item_list){set->memtable.items, key_at, set};
}

static enum kv_status entry_at(const struct kv_write_set *set, uint32_t index, struct kv_entry *out)
{
    struct kv_record record;
    enum kv_status st = decode(set, index, &record);

    if (st != KV_OK)
        return st;
    kv_entry_of(out, &record);
    out->seq = 0;
    out->own = true;
    return KV_OK;
}

/* By key order, for want of memory. */
static enum kv_status get_in_order(struct kv_write_set *set, struct kv_slice key,
                                   struct kv_entry *out)
{
    struct kv_item_list list = item_list(set);
    uint32_t count = kv_write_set_count(set), found;
    struct kv_batch_set *batches;
    enum kv_status st = kv_order_sort(&set->memtable.order, &list, count, &batches);

    if (st != KV_OK)
        return st;
    found = kv_batch_set_find(batches, &list, key, count);
    kv_batch_set_unref(batches);
    return found == 0 ? KV_DONE : entry_at(set, found - 1, out);
}

/* The newest record of `key` by the chain of its hash; `is_flooded` as in kv_log_get. */
static enum kv_status follow(struct kv_write_set *set, const struct kv_memtable *table,
                             uint64_t hash, struct kv_slice key, bool *is_flooded,
                             struct kv_entry *out)
{
    uint32_t at;

    for (at = kv_memtable_find(table, hash); at != 0; at = table->items[at - 1].older) {
        enum kv_status st;

        if (table->items[at - 1].hash != hash)
            continue;
        st = entry_at(set, at - 1, out);
        if (st != KV_OK || kv_slice_equal(out->key, key))
            return st;
        if (is_flooded) {
            *is_flooded = true;
            return KV_DONE;
        }
    }
    return KV_DONE;
}

static enum kv_status verified_key(const void *owner, uint32_t offset_bytes, uint32_t bound_bytes,
                                   struct kv_slice *out)
{
    struct kv_record record;
    enum kv_status st = decode_at(owner, offset_bytes, &record);

    (void)bound_bytes; /* which is where the set ends */
    *out = st == KV_OK ? record.key : (struct kv_slice){0};
    return st;
}

static enum kv_status get_flooded(struct kv_write_set *set, struct kv_slice key,
                                  struct kv_entry *out)
{
    struct kv_flood_keys keys = {verified_key, set, set->end_bytes};
    const struct kv_memtable *table;
    enum kv_status st = kv_flood_table(&set->memtable, &keys, &table);

    if (st == KV_NOMEM)
        return get_in_order(set, key, out);
    if (st != KV_OK)
        return st;
    return follow(set, table, kv_flood_hash(table, key), key, NULL, out);
}

enum kv_status kv_write_set_get(struct kv_write_set *set, uint64_t hash, struct kv_slice key,
                                struct kv_entry *out)
{
    bool is_flooded = kv_memtable_is_flooded(&set->memtable);
    enum kv_status st = KV_DONE;

    if (kv_write_set_count(set) == 0)
        return KV_DONE;
    if (kv_memtable_reserve(&set->memtable) != KV_OK)
        return KV_NOMEM;
    kv_memtable_link(&set->memtable);
    if (!is_flooded)
        st = follow(set, &set->memtable, hash, key, &is_flooded, out);
    return is_flooded ? get_flooded(set, key, out) : st;
}

void kv_write_set_truncate(struct kv_write_set *set, uint32_t count)
{
    if (count >= kv_write_set_count(set))
        return;
    set->digest_is_stale = true;
    set->end_bytes = set->memtable.items[count].offset_bytes;
    if (set->end_bytes < set->flushed_bytes) {
        set->flushed_bytes = set->end_bytes;
        set->buffer.size = 0;
    } else {
        set->buffer.size = set->end_bytes - set->flushed_bytes;
    }
    kv_memtable_truncate(&set->memtable, count);
}

/* The chain from the last COMMIT, or from 0, over every record's checksum. */
static uint64_t records_digest(const struct kv_write_set *set)
{
    uint64_t digest = set->log->tail.digest;
    uint32_t count = kv_write_set_count(set);

    /* What has been written is read again only where there is no other way. */
    if (!set->digest_is_stale)
        return set->digest;

    for (uint32_t i = 0; i < count; i++)
        digest = kv_digest_add(
            digest, kv_load_u32(bytes_at(set, set->memtable.items[i].offset_bytes).data));
    return digest;
}

enum kv_status kv_write_set_commit(struct kv_write_set *set, struct kv_commit *commit)
{
    uint8_t *at = kv_buffer_reserve(&set->buffer, KV_COMMIT_BYTES);
    size_t size = set->buffer.size;
    enum kv_status st;

    if (!at)
        return kv_fail_nomem();
    commit->seq = set->seq;
    commit->record_count = kv_write_set_count(set);
    commit->begin_lsn = kv_log_lsn(set->log, set->begin_bytes);
    commit->digest = kv_commit_digest(commit, records_digest(set));
    kv_commit_encode(at, set->log->header.salt, set->end_bytes, commit);
    set->buffer.size += KV_COMMIT_BYTES;
    st = flush(set);
    if (st != KV_OK)
        set->buffer.size = size;
    return st;
}

void kv_write_set_publish(struct kv_write_set *set, const struct kv_commit *commit)
{
    struct kv_log *log = set->log;
    struct kv_log_tail *tail = &log->tail;
    uint32_t count = kv_write_set_count(set);

    pthread_mutex_lock(&log->index_mutex);
    kv_log_tail_advance(tail, set->end_bytes, count, commit);
    kv_memtable_splice(&log->memtable, set->memtable.items, count);
    kv_log_show(log, tail->end_bytes);
    pthread_mutex_unlock(&log->index_mutex);
}

enum kv_status kv_write_set_uncommit(struct kv_write_set *set)
{
    static const uint8_t zeros[KV_COMMIT_BYTES];
    enum kv_status st = KV_UNLESS_MUTANT(
        uncommit_not_written, kv_log_write(set->log, set->end_bytes, zeros, sizeof(zeros)));

    set->flushed_bytes = set->end_bytes;
    return st;
}

enum kv_status kv_write_set_close(struct kv_write_set *set)
{
    struct kv_log *log = set->log;
    uint32_t count = kv_write_set_count(set);
    enum kv_status st = flush(set);

    if (st != KV_OK)
        return st;
    log->tail =
        (struct kv_log_tail){.end_bytes = set->end_bytes, .seq = set->seq, .record_count = count};
    log->tail.digest = records_digest(set);
    kv_log_show(log, set->end_bytes);
    return KV_OK;
}

enum kv_status kv_write_set_move(struct kv_write_set *set, struct kv_log *log)
{
    uint32_t count = kv_write_set_count(set);
    uint32_t *offsets = malloc((count + 1) * sizeof(*offsets));
    struct kv_write_set *to = NULL;
    enum kv_status st = offsets ? kv_write_set_new(log, set->seq, &to) : kv_fail_nomem();

    for (uint32_t i = 0; i < count && st == KV_OK; i++) {
        struct kv_record record;

        offsets[i] = to->end_bytes;
        st = decode(set, i, &record);
        if (st == KV_OK)
            st = append(to, &record);
        if (st == KV_OK && to->buffer.size >= FLUSH_BYTES)
            st = flush(to);
    }
    if (st == KV_OK) {
        struct kv_log *old_log = set->log;
        struct kv_buffer old_buffer = set->buffer;

        for (uint32_t i = 0; i < count; i++)
            set->memtable.items[i].offset_bytes = offsets[i];
        set->log = to->log;
        set->buffer = to->buffer;
        set->digest = to->digest;
        set->digest_is_stale = false;
        set->begin_bytes = to->begin_bytes;
        set->flushed_bytes = to->flushed_bytes;
        set->end_bytes = to->end_bytes;
        to->log = old_log;
        to->buffer = old_buffer;
    }
    kv_write_set_unref(to);
    free(offsets);
    return st;
}

/* ---- Views */

static struct kv_item_list view_list(const void *owner)
{
    return item_list(((const struct kv_write_view *)owner)->set);
}

enum kv_status kv_write_view_check(const struct kv_write_view *view)
{
    if (!view->cut)
        return KV_OK;
    return kv_fail(KV_ABORTED, "the rows that this scan shows have been rolled back");
}

static enum kv_status view_entry(void *owner, uint32_t index, uint32_t offset_bytes,
                                 struct kv_buffer *scratch, struct kv_entry *out)
{
    const struct kv_write_view *view = owner;
    struct kv_record record;
    size_t key_size;
    enum kv_status st;

    (void)offset_bytes; /* another log may have taken the records over since: the item knows */
    st = kv_write_view_check(view);
    if (st == KV_OK)
        st = decode(view->set, index, &record);
    if (st != KV_OK)
        return st;
    kv_entry_of(out, &record);
    out->seq = 0;
    out->own = true;
    key_size = record.key.size;
    st = kv_buffer_set(scratch, record.key);
    if (st == KV_OK)
        st = kv_buffer_append(scratch, record.row);
    out->key = kv_slice_of(scratch->data, key_size);
    out->row = kv_slice_of(scratch->data + key_size, record.row.size);
    return st;
}

static const uint8_t *view_bytes(const void *owner)
{
    (void)owner; /* a transaction's own bytes are mostly in the cache */
    return NULL;
}

static void view_ref(void *owner)
{
    ((struct kv_write_view *)owner)->references++;
}

static void unlink_view(struct kv_write_view *view)
{
    if (!view->link)
        return;
    *view->link = view->next;
    if (view->next)
        view->next->link = view->link;
    view->link = NULL;
}

void kv_write_views_cut(struct kv_write_views *views, uint64_t record_count)
{
    for (struct kv_write_view *view = views->first; view; view = view->next)
        view->cut |= view->set->first_record + view->bound_index > record_count;
}

void kv_write_views_release(struct kv_write_views *views)
{
    while (views->first)
        unlink_view(views->first);
}

void kv_write_view_unref(struct kv_write_view *view)
{
    if (!view || --view->references > 0)
        return;
    unlink_view(view);
    kv_write_set_unref(view->set);
    free(view);
}

static void view_unref(void *owner)
{
    kv_write_view_unref(owner);
}

static struct kv_write_view *view_new(struct kv_write_set *set, struct kv_write_views *views)
{
    struct kv_write_view *view = calloc(1, sizeof(*view));

    if (!view)
        return NULL;
    view->references = 1;
    view->set = set;
    set->references++;
    view->bound_index = kv_write_set_count(set);
    view->next = views->first;
    if (view->next)
        view->next->link = &view->next;
    view->link = &views->first;
    views->first = view;
    return view;
}

enum kv_status kv_write_set_iters(struct kv_write_set *set, struct kv_write_views *views,
                                  struct kv_iter **out, size_t *count, struct kv_write_view **seen)
{
    static const struct kv_batch_owner_ops ops = {view_list, view_entry, view_bytes, view_unref};
    struct kv_item_list list = item_list(set);
    struct kv_write_view *view = view_new(set, views);
    struct kv_batch_set *batches = NULL;
    enum kv_status st;

    *count = 0;
    *seen = NULL;
    if (!view)
        return kv_fail_nomem();
    st = kv_order_sort(&set->memtable.order, &list, view->bound_index, &batches);
    if (st == KV_OK)
        st = kv_batch_iters_open(&ops, view, view_ref, batches, view->bound_index, out, count);
    kv_batch_set_unref(batches);
    if (st == KV_OK)
        *seen = view;
    else
        kv_write_view_unref(view);
    return st;
}
