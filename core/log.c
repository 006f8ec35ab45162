/* The file behind a log: creating, growing, syncing, mapping, and lookups through its memtable. */
#include "log.h"

#include <stdlib.h>

#include "flood.h"
#include "mutant.h"
#include "names.h"

enum {
    ALLOCATE_FIRST_BYTES = 256 * 1024,
    ALLOCATE_MAX_BYTES = 16 * 1024 * 1024,
    WRITE_BACK_BYTES = 4 * 1024 * 1024,
    NEWER_UNSEEN_MAX = 64, /* items that are skipped before it is asked whose they are */
};

struct kv_log *kv_log_ref(struct kv_log *log)
{
    atomic_fetch_add_explicit(&log->references, 1, memory_order_relaxed);
    return log;
}

void kv_log_unref(struct kv_log *log)
{
    if (!log || atomic_fetch_sub_explicit(&log->references, 1, memory_order_acq_rel) != 1)
        return;
    kv_io_unmap(log->place->io, log->data, log->mapped_bytes);
    kv_io_file_close(log->file);
    kv_memtable_release(&log->memtable);
    pthread_mutex_destroy(&log->index_mutex);
    free(log);
}

static struct kv_log *log_new(const struct kv_place *place)
{
    struct kv_log *log = calloc(1, sizeof(*log));

    if (!log)
        return NULL;
    atomic_init(&log->references, 1);
    pthread_mutex_init(&log->index_mutex, NULL);
    log->place = place;
    return log;
}

/* What follows once the header is known. */
static enum kv_status prepare(struct kv_log *log)
{
    enum kv_status st;

    log->record_place =
        (struct kv_record_place){.salt = log->header.salt, .base_seq = log->header.base_seq};
    log->tail = (struct kv_log_tail){.end_bytes = KV_HEADER_BYTES,
                                     .seq = log->header.base_seq,
                                     .digest = log->header.log.previous_digest};
    kv_log_show(log, KV_HEADER_BYTES);
    st = kv_memtable_init(&log->memtable, log->header.log.record_limit, log->place->table_secret);
    if (st == KV_OK)
        st = kv_memtable_reserve(&log->memtable);
    return st;
}

/* Map the file past its end: address space costs nothing, and the file grows into it. */
static enum kv_status map(struct kv_log *log, struct kv_file *file)
{
    uint8_t *data;
    enum kv_status st = kv_io_map(file, KV_SEGMENT_MAX_BYTES, false, &data);

    if (st != KV_OK)
        return st;
    log->data = data;
    log->mapped_bytes = KV_SEGMENT_MAX_BYTES;
    return KV_OK;
}

enum kv_status kv_log_write_header(struct kv_log *log)
{
    uint8_t page[KV_HEADER_BYTES];

    kv_header_encode(page, &log->header);
    return kv_io_write(log->file, 0, page, sizeof(page));
}

enum kv_status kv_log_create(const struct kv_place *place, const struct kv_header *header,
                             bool defer_header, struct kv_log **out)
{
    struct kv_log *log = log_new(place);
    char name[KV_NAME_BYTES];
    enum kv_status st;

    *out = NULL;
    if (!log)
        return kv_fail_nomem();
    log->header = *header;
    if (header->role != KV_ROLE_PENDING)
        log->header.role = KV_ROLE_LOG;
    if (header->log.record_limit == 0)
        log->header.log.record_limit = KV_LOG_RECORD_LIMIT;
    kv_name_segment(name, header->number);
    st = prepare(log);
    if (st == KV_OK)
        st = kv_io_file_open(place->dir, name, KV_OPEN_WRITE | KV_OPEN_CREATE | KV_OPEN_EXCL,
                             place->file_mode, &log->file);
    if (st != KV_OK)
        goto out;
    st = kv_io_allocate(log->file, 0, KV_HEADER_BYTES);
    if (st == KV_OK && !defer_header)
        st = kv_log_write_header(log);
    if (st == KV_OK)
        st = map(log, log->file);
    log->allocated_bytes = log->written_back_bytes = KV_HEADER_BYTES;
    if (st != KV_OK) {
        kv_place_remove_segment(place, header->number);
        goto out;
    }
    *out = log;
    log = NULL;
out:
    kv_log_unref(log);
    return st;
}

/* Is the header that of the log which the manifest names? */
static enum kv_status check_header(const struct kv_log *log, const char *name, uint64_t number,
                                   uint64_t salt)
{
    const struct kv_header *header = &log->header;
    const char *problem = NULL;

    if (header->role != KV_ROLE_LOG)
        problem = "it is not a log";
    else if (memcmp(header->uuid, log->place->uuid, KV_UUID_BYTES) != 0)
        problem = "it belongs to another store";
    else if (header->number != number || header->salt != salt)
        problem = "it is not the log that MANIFEST names";
    else if (header->log.record_limit == 0 || header->log.record_limit > KV_LOG_RECORD_LIMIT)
        problem = "its record limit is out of range";
    else if (header->log.base_lsn > UINT64_MAX / 2)
        problem = "its base LSN is out of range";
    if (!problem)
        return KV_OK;
    return kv_fail(KV_CORRUPT, "%s/%s: %s", log->place->path, name, problem);
}

static enum kv_status read_header(struct kv_log *log, struct kv_file *file, const char *name)
{
    uint8_t page[KV_HEADER_BYTES];
    size_t got;
    enum kv_status st = kv_io_read(file, 0, page, sizeof(page), &got);

    if (st != KV_OK)
        return st;
    st = kv_header_decode(kv_slice_of(page, got), &log->header);
    if (st == KV_NEWER)
        return kv_fail(st, "%s/%s: written by a newer version of sqlite-kv", log->place->path,
                       name);
    if (st != KV_OK)
        return kv_fail(st, "%s/%s: the header at offset 0 is damaged", log->place->path, name);
    return KV_OK;
}

enum kv_status kv_log_open(const struct kv_place *place, uint64_t number, uint64_t salt,
                           struct kv_log **out)
{
    struct kv_log *log = log_new(place);
    struct kv_file *file = NULL;
    char name[KV_NAME_BYTES];
    enum kv_status st;

    *out = NULL;
    if (!log)
        return kv_fail_nomem();
    kv_name_segment(name, number);
    st = kv_io_file_open(place->dir, name, place->readonly ? 0 : KV_OPEN_WRITE, 0, &file);
    if (st == KV_OK)
        st = read_header(log, file, name);
    if (st == KV_OK)
        st = check_header(log, name, number, salt);
    if (st == KV_OK)
        st = kv_io_file_size(file, &log->allocated_bytes);
    if (st == KV_OK && log->allocated_bytes > KV_SEGMENT_MAX_BYTES)
        st = kv_fail(KV_CORRUPT, "%s/%s: larger than a log can be", place->path, name);
    if (st == KV_OK)
        st = map(log, file);
    if (st == KV_OK)
        st = prepare(log);
    if (st != KV_OK)
        goto out;
    log->file = file;
    file = NULL;
    *out = log;
    log = NULL;
out:
    kv_io_file_close(file);
    kv_log_unref(log);
    return st;
}

/* Make sure that the file reaches `end_bytes`: as much again as there is, within limits, ahead of need. */
static enum kv_status allocate(struct kv_log *log, uint64_t end_bytes)
{
    uint64_t step = log->allocated_bytes;
    uint64_t target;
    enum kv_status st;

    if (end_bytes <= log->allocated_bytes)
        return KV_OK;
    if (step < ALLOCATE_FIRST_BYTES)
        step = ALLOCATE_FIRST_BYTES;
    if (step > ALLOCATE_MAX_BYTES)
        step = ALLOCATE_MAX_BYTES;
    target = log->allocated_bytes + step;
    if (target < end_bytes)
        target = end_bytes;
    if (target > KV_SEGMENT_MAX_BYTES)
        target = KV_SEGMENT_MAX_BYTES;
    st = kv_io_allocate(log->file, log->allocated_bytes, target - log->allocated_bytes);
    if (st == KV_FULL && end_bytes < target) {
        target = end_bytes; /* perhaps there is room for what is needed now */
        st = kv_io_allocate(log->file, log->allocated_bytes, target - log->allocated_bytes);
    }
    if (st == KV_OK)
        log->allocated_bytes = target;
    return st;
}

enum kv_status kv_log_write(struct kv_log *log, uint64_t offset_bytes, const void *data,
                            size_t size)
{
    uint64_t end_bytes = offset_bytes + size;
    enum kv_status st = allocate(log, end_bytes);

    if (st == KV_OK)
        st = kv_io_write(log->file, offset_bytes, data, size);
    if (st == KV_OK && end_bytes >= log->written_back_bytes + WRITE_BACK_BYTES) {
        /* A hint. What cannot be written back fails the sync, where that is told from a write. */
        (void)!kv_io_write_back(log->file, log->written_back_bytes,
                                end_bytes - log->written_back_bytes);
        log->written_back_bytes = end_bytes;
    }
    return st;
}

enum kv_status kv_log_sync(struct kv_log *log)
{
    return kv_io_datasync(log->file);
}

void kv_log_trim(struct kv_log *log)
{
    kv_log_trim_behind(log, log->tail.end_bytes);
}

void kv_log_trim_behind(struct kv_log *log, uint64_t end_bytes)
{
    if (end_bytes < log->allocated_bytes && kv_io_truncate(log->file, end_bytes) == KV_OK)
        log->allocated_bytes = end_bytes;
}

/* ---- Reading */

/* A damaged size must not lead past what may be read: behind the end of the file is SIGBUS. */
static struct kv_slice key_at(const void *context, uint32_t offset_bytes)
{
    const struct kv_log *log = context;

    return kv_record_key(
        kv_slice_of(log->data + offset_bytes, kv_log_readable(log) - offset_bytes));
}

struct kv_item_list kv_log_item_list(const struct kv_log *log)
{
    return (struct kv_item_list){log->memtable.items, key_at, log};
}

enum kv_status kv_log_decode(const struct kv_log *log, uint32_t offset_bytes, uint32_t bound_bytes,
                             struct kv_record *out)
{
    enum kv_status st =
        kv_record_decode(kv_slice_of(log->data + offset_bytes, bound_bytes - offset_bytes),
                         &log->record_place, offset_bytes, out);
    char name[KV_NAME_BYTES];

    if (st == KV_OK)
        return KV_OK;
    kv_name_segment(name, log->header.number);
    return kv_fail(st, "%s/%s: the record at offset %u is damaged", log->place->path, name,
                   offset_bytes);
}

/* By key order, for want of memory: slower than by hash, but nobody can choose keys that make it worse. */
static enum kv_status get_in_order(struct kv_log *log, struct kv_slice key, uint32_t bound_bytes,
                                   struct kv_entry *out)
{
    struct kv_item_list list = kv_log_item_list(log);
    uint32_t bound_index = kv_log_count_before(log, bound_bytes), found;
    struct kv_batch_set *batches;
    struct kv_record record;
    enum kv_status st = kv_order_sort(&log->memtable.order, &list, bound_index, &batches);

    if (st != KV_OK)
        return st;
    found = kv_batch_set_find(batches, &list, key, bound_index);
    kv_batch_set_unref(batches);
    if (found == 0)
        return KV_DONE;
    st = kv_log_decode(log, list.items[found - 1].offset_bytes, bound_bytes, &record);
    if (st == KV_OK)
        kv_entry_of(out, &record);
    return st;
}

/* Is the record at an offset, which is past the reader's bound, but not past all, of another key? */
static bool is_of_other_key(const struct kv_log *log, uint32_t offset_bytes, struct kv_slice key)
{
    return offset_bytes < kv_log_readable(log) && !kv_slice_equal(key_at(log, offset_bytes), key);
}

/*
 * The newest record of `key` by the chain of its hash. With `is_flooded` only as far as its items
 * may be taken for its own: at the first that is another key's it is set, and nothing known.
 */
static inline enum kv_status follow(struct kv_log *log, const struct kv_memtable *table,
                                    uint64_t hash, struct kv_slice key, uint32_t bound_bytes,
                                    bool *is_flooded, struct kv_entry *out)
{
    unsigned newer_count = 0;
    uint32_t at;

    for (at = kv_memtable_find(table, hash); at != 0; at = table->items[at - 1].older) {
        const struct kv_item *item = &table->items[at - 1];
        struct kv_record record;
        enum kv_status st;

        if (item->hash != hash)
            continue;
        if (item->offset_bytes >= bound_bytes && !KV_MUTANT(bound_ignored)) {
            if (is_flooded && ++newer_count % NEWER_UNSEEN_MAX == 0 &&
                (*is_flooded = is_of_other_key(log, item->offset_bytes, key)))
                return KV_DONE;
            continue;
        }
        st = kv_log_decode(log, item->offset_bytes, bound_bytes, &record);
        if (st != KV_OK)
            return st;
        if (kv_slice_equal(record.key, key)) {
            kv_entry_of(out, &record);
            return KV_OK;
        }
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
    enum kv_status st = kv_log_decode(owner, offset_bytes, bound_bytes, &record);

    *out = st == KV_OK ? record.key : (struct kv_slice){0};
    return st;
}

/* By a hash that nobody could choose keys for. */
static enum kv_status get_flooded(struct kv_log *log, struct kv_slice key, uint32_t bound_bytes,
                                  struct kv_entry *out)
{
    struct kv_flood_keys keys = {verified_key, log, bound_bytes};
    const struct kv_memtable *table;
    enum kv_status st = kv_flood_table(&log->memtable, &keys, &table);

    if (st == KV_NOMEM)
        return get_in_order(log, key, bound_bytes, out);
    if (st != KV_OK)
        return st;
    return follow(log, table, kv_flood_hash(table, key), key, bound_bytes, NULL, out);
}

enum kv_status kv_log_get(struct kv_log *log, uint64_t hash, struct kv_slice key,
                          uint32_t bound_bytes, struct kv_entry *out)
{
    bool is_flooded = kv_memtable_is_flooded(&log->memtable);
    enum kv_status st = KV_DONE;

    if (!is_flooded)
        st = follow(log, &log->memtable, hash, key, bound_bytes, &is_flooded, out);
    return is_flooded ? get_flooded(log, key, bound_bytes, out) : st;
}

static struct kv_item_list owner_list(const void *owner)
{
    return kv_log_item_list(owner);
}

static enum kv_status owner_entry(void *owner, uint32_t index, uint32_t offset_bytes,
                                  struct kv_buffer *scratch, struct kv_entry *out)
{
    struct kv_log *log = owner;
    struct kv_record record;
    enum kv_status st;

    (void)index, (void)scratch; /* records do not move, and the mapping stays */
    st = kv_log_decode(log, offset_bytes, kv_log_readable(log), &record);
    if (st == KV_OK)
        kv_entry_of(out, &record);
    return st;
}

static const uint8_t *owner_bytes(const void *owner)
{
    return ((const struct kv_log *)owner)->data;
}

static void owner_ref(void *owner)
{
    kv_log_ref(owner);
}

static void owner_unref(void *owner)
{
    kv_log_unref(owner);
}

/* Items are in file order. */
uint32_t kv_log_count_before(const struct kv_log *log, uint32_t bound_bytes)
{
    uint32_t low = 0, high = kv_memtable_count(&log->memtable);

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (log->memtable.items[middle].offset_bytes < bound_bytes)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum kv_status kv_log_iters(struct kv_log *log, uint32_t bound_bytes, struct kv_iter **out,
                            size_t *count)
{
    static const struct kv_batch_owner_ops ops = {owner_list, owner_entry, owner_bytes,
                                                  owner_unref};
    struct kv_item_list list = kv_log_item_list(log);
    struct kv_batch_set *batches;
    uint32_t bound_index = kv_log_count_before(log, bound_bytes);
    enum kv_status st;

    *count = 0;
    st = kv_order_sort(&log->memtable.order, &list, bound_index, &batches);
    if (st == KV_OK)
        st = kv_batch_iters_open(&ops, log, owner_ref, batches, bound_index, out, count);
    kv_batch_set_unref(batches);
    return st;
}
