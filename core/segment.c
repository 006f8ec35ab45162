/*
 * A sealed segment: opening, lookups, and healing of its index.
 *
 * The data is mapped once and never changes, so readers share it without
 * locks. The index is derived: when a page of it turns out damaged, one reader
 * builds it anew under the mutex and puts it in place with one store; the old
 * one stays mapped for those who are in the middle of it, until the segment
 * goes. That happens at most once: an index damaged again means that the disk
 * cannot be trusted, and is reported.
 */
#include "segment.h"

#include <stdlib.h>

#include "mutant.h"
#include "names.h"
#include "prefetch.h"
#include "segment_private.h"
#include "segment_rebuild.h"

/* ---- Opening */

static enum kv_status check_limits(const struct kv_segment *segment, const char *name)
{
    uint64_t end_bytes = segment->info.end_bytes;

    if (end_bytes < KV_HEADER_BYTES || end_bytes > KV_SEGMENT_MAX_BYTES)
        return kv_fail(KV_CORRUPT,
                       "%s/%s: the manifest gives it an impossible length of %llu bytes",
                       segment->place->path, name, (unsigned long long)end_bytes);
    return KV_OK;
}

static enum kv_status map_data(struct kv_segment *segment, const char *name)
{
    struct kv_file *file;
    uint64_t size_bytes;
    uint8_t *data;
    enum kv_status st = kv_io_file_open(segment->place->dir, name, 0, 0, &file);

    if (st != KV_OK)
        return st;
    st = kv_io_file_size(file, &size_bytes);
    if (st == KV_OK && size_bytes < segment->info.end_bytes)
        st = kv_fail(KV_CORRUPT, "%s/%s: the file has %llu of its %llu bytes", segment->place->path,
                     name, (unsigned long long)size_bytes,
                     (unsigned long long)segment->info.end_bytes);
    /* A sparse file may claim any size. */
    if (size_bytes > KV_SEGMENT_MAX_BYTES)
        size_bytes = segment->info.end_bytes;
    if (st == KV_OK)
        st = kv_io_map(file, size_bytes, false, &data);
    if (st == KV_OK) {
        segment->data = kv_slice_of(data, (size_t)segment->info.end_bytes);
        segment->mapped_bytes = size_bytes;
        kv_io_advise_random(segment->place->io, data, size_bytes);
    }
    kv_io_file_close(file);
    return st;
}

static bool header_fits(const struct kv_segment *segment)
{
    const struct kv_header *header = &segment->header;
    const struct kv_segment_info *info = &segment->info;

    if (memcmp(header->uuid, segment->place->uuid, KV_UUID_BYTES) != 0 ||
        header->number != info->number || header->salt != info->salt)
        return false;
    return header->role != KV_ROLE_MERGE ||
           (header->merge.end_bytes == info->end_bytes && header->merge.digest == info->digest);
}

/* What is mapped as read at random is read a page at a time, unless it is asked for. */
static void read_soon(void *io, struct kv_slice record)
{
    kv_io_advise_soon(io, record.data, record.size);
}

static enum kv_status read_header(struct kv_segment *segment, const char *name)
{
    enum kv_status st = kv_header_decode(segment->data, &segment->header);

    if (st == KV_NEWER)
        return kv_fail(st, "%s/%s: written by a newer version of sqlite-kv", segment->place->path,
                       name);
    if (st != KV_OK)
        return kv_fail(st, "%s/%s: its header, at offset 0, is damaged", segment->place->path,
                       name);
    if (!header_fits(segment) && !KV_MUTANT(another_segment_accepted))
        return kv_fail(KV_CORRUPT, "%s/%s: this is another segment than the manifest names",
                       segment->place->path, name);
    segment->record_place = (struct kv_record_place){.salt = segment->header.salt,
                                                     .base_seq = segment->header.base_seq,
                                                     .read_soon = read_soon,
                                                     .context = segment->place->io};
    return KV_OK;
}

static enum kv_status rebuild(struct kv_segment *segment, struct kv_index **out)
{
    enum kv_status st = kv_segment_rebuild_index(segment->place, &segment->info, &segment->header,
                                                 segment->data, out);

    if (st == KV_OK)
        atomic_store_explicit(&segment->rebuilt, true, memory_order_relaxed);
    return st;
}

static enum kv_status open_index(struct kv_segment *segment)
{
    struct kv_index *index;
    enum kv_status st = kv_index_open(segment->place, &segment->info, &index);

    /* KV_INVALID: something else has its name, as a link or a FIFO may. */
    if (st == KV_NOTFOUND || st == KV_MISMATCH || st == KV_CORRUPT || st == KV_INVALID)
        st = rebuild(segment, &index);
    if (st == KV_OK)
        atomic_init(&segment->index, index);
    return st;
}

static void segment_free(struct kv_segment *segment)
{
    kv_index_free(kv_segment_index(segment));
    kv_index_free(segment->damaged);
    kv_io_unmap(segment->place->io, segment->data.data, segment->mapped_bytes);
    kv_segment_info_release(&segment->info);
    pthread_mutex_destroy(&segment->mutex);
    free(segment);
}

enum kv_status kv_segment_open(const struct kv_place *place, const struct kv_segment_info *info,
                               struct kv_segment **out)
{
    char name[KV_NAME_BYTES];
    struct kv_segment *segment;
    enum kv_status st;

    *out = NULL;
    segment = calloc(1, sizeof(*segment));
    if (!segment)
        return kv_fail_nomem();
    atomic_init(&segment->references, 1);
    pthread_mutex_init(&segment->mutex, NULL);
    segment->place = place;

    kv_name_segment(name, info->number);
    st = kv_segment_info_copy(&segment->info, info);
    if (st != KV_OK) {
        st = kv_fail_nomem();
        goto out;
    }
    st = check_limits(segment, name);
    if (st == KV_OK)
        st = map_data(segment, name);
    if (st == KV_OK)
        st = read_header(segment, name);
    if (st == KV_OK)
        st = open_index(segment);
    if (st != KV_OK)
        goto out;
    *out = segment;
    segment = NULL; /* ownership moved */
out:
    if (segment)
        segment_free(segment);
    return st;
}

struct kv_segment *kv_segment_ref(struct kv_segment *segment)
{
    atomic_fetch_add_explicit(&segment->references, 1, memory_order_relaxed);
    return segment;
}

void kv_segment_unref(struct kv_segment *segment)
{
    if (segment && atomic_fetch_sub_explicit(&segment->references, 1, memory_order_acq_rel) == 1)
        segment_free(segment);
}

const struct kv_segment_info *kv_segment_info(const struct kv_segment *segment)
{
    return &segment->info;
}

struct kv_slice kv_segment_data(const struct kv_segment *segment)
{
    /* Behind a log's end is space that it had reserved, and that may be cut off. */
    return segment->header.role == KV_ROLE_LOG
               ? segment->data
               : kv_slice_of(segment->data.data, (size_t)segment->mapped_bytes);
}

struct kv_slice kv_segment_index_data(const struct kv_segment *segment)
{
    return kv_index_bytes(atomic_load_explicit(&segment->index, memory_order_acquire));
}

uint64_t kv_segment_index_bytes(const struct kv_segment *segment)
{
    return kv_index_size_bytes(atomic_load_explicit(&segment->index, memory_order_acquire));
}

bool kv_segment_index_rebuilt(const struct kv_segment *segment)
{
    return atomic_load_explicit(&segment->rebuilt, memory_order_relaxed);
}

/* ---- Damage */

enum kv_status kv_segment_read(const struct kv_segment *segment, uint32_t offset_bytes,
                               struct kv_record *out)
{
    struct kv_slice rest =
        kv_slice_of(segment->data.data + offset_bytes, segment->data.size - offset_bytes);
    enum kv_status st = kv_record_decode(rest, &segment->record_place, offset_bytes, out);

    if (__builtin_expect(st == KV_OK, 1))
        return KV_OK;

    char name[KV_NAME_BYTES];
    kv_name_segment(name, segment->info.number);
    return kv_fail(st, "%s/%s: %s at offset %lu", segment->place->path, name,
                   st == KV_NEWER ? "a record of a newer version" : "a damaged record",
                   (unsigned long)offset_bytes);
}

enum kv_status kv_segment_bad_offset(const struct kv_segment *segment)
{
    char name[KV_NAME_BYTES];

    kv_name_index(name, segment->info.number);
    return kv_fail(KV_CORRUPT, "%s/%s: it points outside the segment", segment->place->path, name);
}

enum kv_status kv_segment_heal(struct kv_segment *segment, const struct kv_index *bad)
{
    struct kv_index *index;
    enum kv_status st = KV_OK;

    pthread_mutex_lock(&segment->mutex);
    if (kv_segment_index(segment) == bad) {
        if (segment->damaged)
            st = KV_CORRUPT; /* with the message of who found it */
        else
            st = rebuild(segment, &index);
        if (st == KV_OK) {
            segment->damaged = kv_segment_index(segment);
            atomic_store_explicit(&segment->index, index, memory_order_release);
        }
    }
    pthread_mutex_unlock(&segment->mutex);
    return st;
}

/* ---- Lookups */

void kv_segment_prefetch(const struct kv_segment *segment, uint64_t hash, bool likely)
{
    kv_index_prefetch(atomic_load_explicit(&segment->index, memory_order_acquire), hash, likely);
}

/*
 * Fetch the records that a search between two fences may read: all at once, where it would wait for
 * one after the other. Positions further apart are those of keys with equal fences.
 */
static void prefetch_records(const struct kv_segment *segment, struct kv_index *index, uint64_t low,
                             uint64_t high)
{
    if (high - low > KV_BURST_MAX_COUNT)
        return;
    for (uint64_t i = low; i < high; i++) {
        uint32_t offset;

        if (kv_index_at(index, i, &offset) != KV_OK)
            return; /* the search finds it damaged, too */
        if (kv_segment_holds(segment, offset))
            kv_prefetch_first_line(segment->data.data + offset);
    }
}

enum kv_status kv_segment_search(const struct kv_segment *segment, struct kv_index *index,
                                 struct kv_slice key, uint32_t *offset_bytes, struct kv_record *out,
                                 bool *index_is_bad)
{
    uint64_t low = 0, high = 0;
    enum kv_status st = kv_index_narrow(index, key, &low, &high);

    if (st == KV_OK)
        prefetch_records(segment, index, low, high);
    while (st == KV_OK && low < high) {
        uint64_t middle = low + (high - low) / 2;
        int order;

        st = kv_index_at(index, middle, offset_bytes);
        if (st == KV_OK && !kv_segment_holds(segment, *offset_bytes))
            st = kv_segment_bad_offset(segment);
        if (st != KV_OK)
            break;
        st = kv_segment_read(segment, *offset_bytes, out);
        if (st != KV_OK)
            return st;
        order = kv_slice_compare(out->key, key);
        if (order == 0)
            return KV_OK;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *index_is_bad = st == KV_CORRUPT;
    return st == KV_OK ? KV_DONE : st;
}

/* Where looking up by hash leads to too many others: slower, but nobody can choose keys that make it worse. */
static enum kv_status find_in_order(const struct kv_segment *segment, struct kv_index *index,
                                    struct kv_slice key, struct kv_entry *out, bool *index_is_bad)
{
    struct kv_record record;
    uint32_t offset;
    enum kv_status st = kv_segment_search(segment, index, key, &offset, &record, index_is_bad);

    if (st == KV_OK)
        kv_segment_entry(&record, out);
    return st;
}

/* Look up through one index. `*index_is_bad` tells whose damage a KV_CORRUPT is. */
static enum kv_status find(const struct kv_segment *segment, struct kv_index *index, uint64_t hash,
                           struct kv_slice key, struct kv_entry *out, bool *index_is_bad)
{
    struct kv_index_probe probe = {0};
    struct kv_record record;
    unsigned other_keys = 0;
    uint32_t offset;
    bool maybe;
    enum kv_status st = kv_index_may_contain(index, hash, &maybe);

    if (st == KV_OK && !maybe)
        return KV_DONE;
    while (st == KV_OK) {
        st = kv_index_probe(index, hash, &probe, &offset);
        if (st == KV_OK ? other_keys == KV_SEGMENT_OTHER_KEYS_MAX : probe.is_crowded)
            return find_in_order(segment, index, key, out, index_is_bad);
        if (st != KV_OK)
            break;
        if (!kv_segment_holds(segment, offset)) {
            st = kv_segment_bad_offset(segment);
            break;
        }
        /* All its lines at once, not one after the other as they are read. */
        kv_prefetch(segment->data.data + offset, KV_RECORD_AHEAD_BYTES);
        st = kv_segment_read(segment, offset, &record);
        if (st != KV_OK)
            return st;
        if (kv_slice_equal(record.key, key)) {
            kv_segment_entry(&record, out);
            return KV_OK;
        }
        other_keys++;
    }
    *index_is_bad = st == KV_CORRUPT;
    return st;
}

enum kv_status kv_segment_get(struct kv_segment *segment, uint64_t hash, struct kv_slice key,
                              struct kv_entry *out)
{
    for (;;) {
        struct kv_index *index = kv_segment_index(segment);
        bool index_is_bad = false;
        enum kv_status st = find(segment, index, hash, key, out, &index_is_bad);

        if (!index_is_bad)
            return st;
        /* Succeeds at most twice: then the index that was put in place is bad. */
        st = kv_segment_heal(segment, index);
        if (st != KV_OK)
            return st;
    }
}

bool kv_segment_may_contain(struct kv_segment *segment, uint64_t hash)
{
    bool maybe;
    enum kv_status st = kv_index_may_contain(kv_segment_index(segment), hash, &maybe);

    return st != KV_OK || maybe;
}

/* ---- All of it, or some */

void kv_segment_scan_all(const struct kv_segment *segment, struct kv_segment_scan *out)
{
    kv_segment_scan_init(out, segment->place, &segment->info, &segment->header, segment->data);
}

enum kv_status kv_segment_sample(struct kv_segment *segment, uint64_t position,
                                 struct kv_entry *out)
{
    struct kv_record record;
    uint32_t offset;
    enum kv_status st = kv_index_at(kv_segment_index(segment), position, &offset);

    if (st == KV_OK && !kv_segment_holds(segment, offset))
        st = kv_segment_bad_offset(segment);
    if (st == KV_OK)
        st = kv_segment_read(segment, offset, &record);
    if (st == KV_OK)
        kv_segment_entry(&record, out);
    return st;
}

uint64_t kv_segment_bytes_past(struct kv_segment *segment, struct kv_slice key)
{
    struct kv_index *index = kv_segment_index(segment);
    uint64_t count = kv_index_entry_count(index), low, high;

    if (kv_slice_compare(key, kv_buffer_slice(&segment->info.min_key)) < 0)
        return segment->info.end_bytes;
    if (kv_slice_compare(key, kv_buffer_slice(&segment->info.max_key)) >= 0)
        return 0;
    if (kv_index_narrow(index, key, &low, &high) != KV_OK || count == 0)
        return segment->info.end_bytes;
    return (uint64_t)((double)segment->info.end_bytes * (double)(count - low) / (double)count);
}
