/* Reading a damaged file, and a merge output's records: see salvage.h. Logs: salvage_log.c. */
#include "salvage.h"

#include <stdlib.h>

#include "hash.h"
#include "names.h"

enum {
    CHUNK_BYTES = 1 << 20,
    PAGE_BYTES = 4096,
    FIRST_CAPACITY = 1024,
    SEARCH_FACTOR = 16, /* bytes hashed in search of records, for each byte of the file */
};

/* ---- The file */

/* What a disk refuses is asked for once more, then left as it is: zeros. */
static enum kv_status read_page(struct kv_file *file, struct kv_salvage *out, uint64_t at,
                                size_t size)
{
    size_t got;
    enum kv_status st = kv_io_read(file, at, out->bytes + at, size, &got);

    if (st == KV_IOERR)
        st = kv_io_read(file, at, out->bytes + at, size, &got);
    if (st != KV_IOERR)
        return st;
    memset(out->bytes + at, 0, size);
    out->bad_bytes += size;
    return KV_OK;
}

static enum kv_status read_chunk(struct kv_file *file, struct kv_salvage *out, uint64_t at,
                                 size_t size)
{
    size_t got;
    enum kv_status st = kv_io_read(file, at, out->bytes + at, size, &got);

    if (st != KV_IOERR)
        return st;
    st = KV_OK;
    for (size_t done = 0; done < size && st == KV_OK; done += PAGE_BYTES)
        st = read_page(file, out, at + done, size - done < PAGE_BYTES ? size - done : PAGE_BYTES);
    return st;
}

static enum kv_status read_file(struct kv_file *file, struct kv_salvage *out)
{
    uint64_t size;
    enum kv_status st = kv_io_file_size(file, &size);

    if (st != KV_OK || size == 0)
        return st;
    out->size_bytes = size < KV_SEGMENT_MAX_BYTES ? size : KV_SEGMENT_MAX_BYTES;
    out->bytes = kv_io_pages_new((size_t)out->size_bytes);
    if (!out->bytes)
        return kv_fail_nomem();
    for (uint64_t at = 0; at < out->size_bytes && st == KV_OK; at += CHUNK_BYTES) {
        uint64_t left = out->size_bytes - at;

        st = read_chunk(file, out, at, left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES);
    }
    return st;
}

enum kv_status kv_salvage_load(const struct kv_place *place, const char *name,
                               struct kv_salvage *out)
{
    struct kv_file *file;
    enum kv_status st = kv_io_file_open(place->dir, name, 0, 0, &file);

    *out = (struct kv_salvage){.place = place};
    if (st != KV_OK)
        return st;
    st = read_file(file, out);
    kv_io_file_close(file);
    if (st == KV_OK) {
        enum kv_status header =
            kv_header_decode(kv_slice_of(out->bytes, (size_t)out->size_bytes), &out->header);

        out->has_header = header == KV_OK;
        out->record_place =
            (struct kv_record_place){.salt = out->header.salt, .base_seq = out->header.base_seq};
        if (header == KV_NEWER)
            st = kv_fail(KV_NEWER, "%s/%s: was written by a newer version of sqlite-kv",
                         place->path, name);
    }
    if (st != KV_OK)
        kv_salvage_release(out);
    return st;
}

void kv_salvage_release(struct kv_salvage *salvage)
{
    kv_io_pages_free(salvage->bytes, (size_t)salvage->size_bytes);
    free(salvage->offsets);
    free(salvage->gaps);
    *salvage = (struct kv_salvage){0};
}

struct kv_slice kv_salvage_rest(const struct kv_salvage *salvage, uint64_t offset, uint64_t end)
{
    if (end > salvage->size_bytes)
        end = salvage->size_bytes;
    return offset < end ? kv_slice_of(salvage->bytes + offset, (size_t)(end - offset))
                        : kv_slice_of(NULL, 0);
}

enum kv_status kv_salvage_newer(const struct kv_salvage *salvage, uint64_t offset)
{
    char name[KV_NAME_BYTES];

    kv_name_segment(name, salvage->header.number);
    return kv_fail(KV_NEWER,
                   "%s/%s: the record at offset %llu was written by a newer version of sqlite-kv; "
                   "repair the store with that",
                   salvage->place->path, name, (unsigned long long)offset);
}

/* ---- What was found */

enum kv_status kv_salvage_add(struct kv_salvage *salvage, uint32_t offset)
{
    if (salvage->count == salvage->capacity) {
        size_t capacity = salvage->capacity ? 2 * salvage->capacity : FIRST_CAPACITY;
        uint32_t *offsets = realloc(salvage->offsets, capacity * sizeof(*offsets));

        if (!offsets)
            return kv_fail_nomem();
        salvage->offsets = offsets;
        salvage->capacity = capacity;
    }
    salvage->offsets[salvage->count++] = offset;
    return KV_OK;
}

enum kv_status kv_salvage_add_gap(struct kv_salvage *salvage, struct kv_gap gap)
{
    if (salvage->gap_count == salvage->gap_capacity) {
        size_t capacity = salvage->gap_capacity ? 2 * salvage->gap_capacity : 16;
        struct kv_gap *gaps = realloc(salvage->gaps, capacity * sizeof(*gaps));

        if (!gaps)
            return kv_fail_nomem();
        salvage->gaps = gaps;
        salvage->gap_capacity = capacity;
    }
    salvage->gaps[salvage->gap_count++] = gap;
    return KV_OK;
}

struct kv_record kv_salvage_record(const struct kv_salvage *salvage, uint32_t offset)
{
    struct kv_record record = {0};

    (void)kv_record_peek(kv_salvage_rest(salvage, offset, UINT64_MAX), &salvage->record_place,
                         &record);
    return record;
}

/* ---- Merge outputs */

/* May a record stand here, behind one with the key `last`? */
static bool may_follow(const struct kv_salvage *salvage, const struct kv_record *record,
                       struct kv_slice last)
{
    return salvage->header.role != KV_ROLE_MERGE || kv_slice_compare(record->key, last) > 0;
}

/*
 * The next offset from `*at` on with a valid record of this seq (0: any) that may follow one
 * with the key `last`; `end` if there is none. What looks like a record costs a checksum, which `*budget` bounds.
 */
static enum kv_status find_record(const struct kv_salvage *salvage, struct kv_slice last,
                                  uint64_t seq, uint64_t end, uint64_t *budget, uint64_t *at)
{
    for (; *at < end; ++*at) {
        struct kv_slice rest = kv_salvage_rest(salvage, *at, end);
        struct kv_record record;
        enum kv_status st;

        if (!kv_record_peek(rest, &salvage->record_place, &record) ||
            !may_follow(salvage, &record, last) || (seq && record.seq != seq))
            continue;
        if (record.size_bytes > *budget)
            break;
        *budget -= record.size_bytes;
        st = kv_record_decode(rest, &salvage->record_place, *at, &record);
        if (st != KV_CORRUPT)
            return st;
    }
    *at = end;
    return KV_OK;
}

enum kv_status kv_salvage_merge(struct kv_salvage *salvage, uint64_t end_bytes, uint64_t seq)
{
    uint64_t at = KV_HEADER_BYTES, budget = SEARCH_FACTOR * (salvage->size_bytes + CHUNK_BYTES);
    uint64_t end = end_bytes < salvage->size_bytes ? end_bytes : salvage->size_bytes;
    struct kv_slice last = {0};
    enum kv_status st = KV_OK;

    while (st == KV_OK && at < end) {
        struct kv_record record;
        uint64_t from = at;

        st = kv_record_decode(kv_salvage_rest(salvage, at, end), &salvage->record_place, at,
                              &record);
        if (st == KV_NEWER)
            return kv_salvage_newer(salvage, at);
        if (st == KV_OK && may_follow(salvage, &record, last)) {
            st = kv_salvage_add(salvage, (uint32_t)at);
            salvage->digest = kv_digest_add(salvage->digest, record.checksum);
            last = record.key;
            at += record.size_bytes;
            continue;
        }
        at++;
        st = find_record(salvage, last, seq, end, &budget, &at);
        if (st == KV_NEWER)
            return kv_salvage_newer(salvage, at);
        if (st == KV_OK)
            st = kv_salvage_add_gap(
                salvage, (struct kv_gap){.from = (uint32_t)from, .to = (uint32_t)at, .seq = seq});
    }
    salvage->record_count = salvage->count;
    return st;
}

/* ---- Order */

/* By key; of equal keys the newest, that is the last written, first. */
static int compare_offsets(const void *a, const void *b, void *context)
{
    const struct kv_salvage *salvage = context;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    int order = kv_slice_compare(kv_salvage_record(salvage, left).key,
                                 kv_salvage_record(salvage, right).key);

    return order ? order : (left < right) - (left > right);
}

void kv_salvage_sort(struct kv_salvage *salvage)
{
    struct kv_slice last = {0};
    size_t kept = 0;

    if (salvage->count > 0)
        qsort_r(salvage->offsets, salvage->count, sizeof(*salvage->offsets), compare_offsets,
                salvage);
    for (size_t i = 0; i < salvage->count; i++) {
        struct kv_slice key = kv_salvage_record(salvage, salvage->offsets[i]).key;

        if (kept > 0 && kv_slice_equal(key, last))
            continue;
        salvage->offsets[kept++] = salvage->offsets[i];
        last = key;
    }
    salvage->count = kept;
}

static void count_seqs(const struct kv_salvage *salvage, struct kv_segment_info *info)
{
    info->min_seq = UINT64_MAX;
    for (size_t i = 0; i < salvage->count; i++) {
        uint64_t seq = kv_salvage_record(salvage, salvage->offsets[i]).seq;

        info->min_seq = seq < info->min_seq ? seq : info->min_seq;
        info->max_seq = seq > info->max_seq ? seq : info->max_seq;
    }
}

enum kv_status kv_salvage_describe(struct kv_salvage *salvage, struct kv_segment_info *info)
{
    enum kv_status st = KV_OK;

    info->record_count = salvage->record_count;
    count_seqs(salvage, info);
    if (salvage->header.role != KV_ROLE_MERGE)
        kv_salvage_sort(salvage);
    info->entry_count = salvage->count;
    for (size_t i = 0; i < salvage->count && st == KV_OK; i++) {
        struct kv_record record = kv_salvage_record(salvage, salvage->offsets[i]);

        info->entry_bytes += record.size_bytes;
        info->tombstone_count += record.kind == KV_DELETE;
        if (i == 0)
            st = kv_buffer_set(&info->min_key, record.key);
        if (st == KV_OK && i + 1 == salvage->count)
            st = kv_buffer_set(&info->max_key, record.key);
    }
    if (st != KV_OK)
        kv_segment_info_release(info);
    return st;
}

/* ---- Pending segments */

size_t kv_salvage_witness(const struct kv_salvage *salvage, struct kv_commit *out)
{
    struct kv_slice bytes = kv_salvage_rest(salvage, 0, UINT64_MAX);
    size_t at = kv_commit_find(bytes, salvage->header.salt, KV_HEADER_BYTES);

    if (at == SIZE_MAX ||
        kv_commit_decode(kv_slice_of(bytes.data + at, bytes.size - at), salvage->header.salt, at,
                         out) != KV_OK ||
        out->group != salvage->header.pending.group)
        return SIZE_MAX;
    return at;
}
