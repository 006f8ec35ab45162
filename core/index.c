/*
 * Reading an index file (index.h has the file as a whole).
 *
 * The header page, all numbers little-endian:
 *
 *   offset  field
 *   0       magic "kvidx\r\n\x1a"
 *   8       version u32
 *   12      prefix_size u32: bytes at 176
 *   16      store uuid, 16 bytes
 *   32      number u64    \
 *   40      salt u64       | the segment's identity
 *   48      end_bytes u64  |
 *   56      digest u64    /
 *   64      seed mark u64: XXH3-64 of the store's hash seed, seeded with salt
 *   72      entry_count u64
 *   80      bucket_count u64
 *   88      block_count u64, of the filter
 *   96      totals, u64 each, as in the manifest: record_count,
 *           tombstone_count, entry_bytes, dead_bytes, min_seq, max_seq,
 *           min_time_ms, max_time_ms, first_lsn, last_lsn
 *   176     the prefix that all keys share, or its first 3856 bytes; zeros up to a multiple
 *           of 16; then copies of the first fences of fence pages (struct kv_index_tops)
 *   4032    checksum line, as of every page
 *
 * The sizes of the sections follow from the three counts. The salt is read
 * before the checksum that it seeds, so that an index of other data is told
 * from a damaged one. The format needs no room to evolve: an index of another
 * version is built anew.
 *
 * Pages are verified on first touch. A bitmap remembers them; bits are only
 * set, each read stands for itself, and two threads that verify the same page
 * at once do no harm, so relaxed atomics are enough.
 */
#include "index.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bloom.h"
#include "index_layout.h"
#include "mutant.h"
#include "names.h"
#include "prefetch.h"

struct kv_index {
    struct kv_io *io;
    const char *path;         /* the place's */
    char name[KV_NAME_BYTES]; /* for messages */
    const uint8_t *pages;
    uint64_t size_bytes;
    uint64_t salt;
    struct kv_index_layout layout;
    struct kv_slice prefix;     /* in the header page */
    struct kv_index_tops tops;  /* there, too */
    _Atomic uint64_t *verified; /* one bit a page */
};

_Static_assert(KV_INDEX_PREFIX_AT == 176 && KV_INDEX_PREFIX_MAX_BYTES == 3856,
               "as documented above");

/* ---- Pages */

static enum kv_status damaged(const struct kv_index *index, const char *what)
{
    return kv_fail(KV_CORRUPT, "%s/%s: %s; the index can be removed, it is built anew", index->path,
                   index->name, what);
}

static bool page_is_good(const struct kv_index *index, uint64_t page)
{
    const uint8_t *at = index->pages + page * KV_INDEX_PAGE_BYTES;

    return kv_index_page_checksum(at, index->salt, page) ==
               kv_load_u64(at + KV_INDEX_CHECKSUM_AT) ||
           KV_MUTANT(index_checksum_ignored);
}

static __attribute__((noinline)) enum kv_status verify_page(struct kv_index *index, uint64_t page)
{
    if (!page_is_good(index, page))
        return kv_fail(KV_CORRUPT, "%s/%s: a damaged page at offset %llu", index->path, index->name,
                       (unsigned long long)page * KV_INDEX_PAGE_BYTES);
    atomic_fetch_or_explicit(&index->verified[page / 64], UINT64_C(1) << page % 64,
                             memory_order_relaxed);
    return KV_OK;
}

static inline enum kv_status touch_page(struct kv_index *index, uint64_t page)
{
    uint64_t word = atomic_load_explicit(&index->verified[page / 64], memory_order_relaxed);

    if (__builtin_expect((word >> page % 64 & 1) != 0, 1))
        return KV_OK;
    return verify_page(index, page);
}

/* Item `i` of a section whose pages hold `items_a_page` items of `item_bytes`: its page and address. */
struct spot {
    uint64_t page;
    const uint8_t *at;
};

static inline struct spot spot_of(const struct kv_index *index, uint64_t first_page, uint64_t i,
                                  unsigned items_a_page, unsigned item_bytes)
{
    uint64_t page = first_page + i / items_a_page;

    return (struct spot){page,
                         index->pages + page * KV_INDEX_PAGE_BYTES + i % items_a_page * item_bytes};
}

/* ---- Opening */

static struct kv_slice header_identity(const uint8_t *page, const struct kv_place *place,
                                       const struct kv_segment_info *info, uint8_t *expected)
{
    memcpy(expected, place->uuid, KV_UUID_BYTES);
    kv_store_u64(expected + KV_INDEX_NUMBER_AT - KV_INDEX_UUID_AT, info->number);
    kv_store_u64(expected + KV_INDEX_SALT_AT - KV_INDEX_UUID_AT, info->salt);
    kv_store_u64(expected + KV_INDEX_END_AT - KV_INDEX_UUID_AT, info->end_bytes);
    kv_store_u64(expected + KV_INDEX_DIGEST_AT - KV_INDEX_UUID_AT, info->digest);
    kv_store_u64(expected + KV_INDEX_SEED_AT - KV_INDEX_UUID_AT,
                 kv_index_seed_mark(place->hash_seed, info->salt));
    return kv_slice_of(page + KV_INDEX_UUID_AT, KV_INDEX_ENTRIES_AT - KV_INDEX_UUID_AT);
}

static bool names_segment(const uint8_t *page, const struct kv_place *place,
                          const struct kv_segment_info *info)
{
    uint8_t expected[KV_INDEX_ENTRIES_AT - KV_INDEX_UUID_AT];
    struct kv_slice found = header_identity(page, place, info, expected);

    return kv_slice_equal(found, kv_slice_of(expected, sizeof(expected)));
}

/* The counts, bounded by the file's size and then by each other. */
static bool read_layout(const uint8_t *page, uint64_t size_bytes, struct kv_index_layout *out)
{
    uint64_t entries = kv_load_u64(page + KV_INDEX_ENTRIES_AT);
    uint64_t buckets = kv_load_u64(page + KV_INDEX_BUCKETS_AT);
    uint64_t blocks = kv_load_u64(page + KV_INDEX_BLOCKS_AT);

    if (entries > size_bytes || buckets > size_bytes || blocks > size_bytes || !buckets || !blocks)
        return false;
    *out = kv_index_layout_of(entries, buckets, blocks);
    return out->page_count == size_bytes / KV_INDEX_PAGE_BYTES &&
           size_bytes % KV_INDEX_PAGE_BYTES == 0;
}

static enum kv_status read_header(struct kv_index *index, const struct kv_place *place,
                                  const struct kv_segment_info *info)
{
    const uint8_t *page = index->pages;

    if (memcmp(page, KV_INDEX_MAGIC, sizeof(KV_INDEX_MAGIC)) != 0)
        return damaged(index, "this is no index");
    index->salt = kv_load_u64(page + KV_INDEX_SALT_AT);
    if (!page_is_good(index, 0))
        return damaged(index, "the checksum of its header does not match");
    if (kv_load_u32(page + KV_INDEX_VERSION_AT) != KV_INDEX_VERSION ||
        (!names_segment(page, place, info) && !KV_MUTANT(stale_index_accepted)))
        return kv_fail(KV_MISMATCH, "%s/%s: this index belongs to other data or another version",
                       index->path, index->name);
    if (!read_layout(page, index->size_bytes, &index->layout))
        return damaged(index, "its sections do not add up to its size");

    uint32_t prefix_size = kv_load_u32(page + KV_INDEX_PREFIX_SIZE_AT);
    if (prefix_size > KV_INDEX_PREFIX_MAX_BYTES)
        return damaged(index, "its key prefix is too long");
    index->prefix = kv_slice_of(page + KV_INDEX_PREFIX_AT, prefix_size);
    index->tops = kv_index_tops_of(&index->layout, prefix_size);
    return KV_OK;
}

enum kv_status kv_index_map(const struct kv_place *place, const struct kv_segment_info *info,
                            struct kv_file *file, const char *name, struct kv_index **out)
{
    struct kv_index *index;
    uint8_t *pages;
    enum kv_status st;

    *out = NULL;
    index = calloc(1, sizeof(*index));
    if (!index)
        return kv_fail_nomem();
    index->io = place->io;
    index->path = place->path;
    memcpy(index->name, name, strlen(name) + 1);

    st = kv_io_file_size(file, &index->size_bytes);
    if (st != KV_OK)
        goto out;
    if (index->size_bytes < KV_INDEX_PAGE_BYTES) {
        st = damaged(index, "the file is shorter than its header");
        goto out;
    }
    st = kv_io_map(file, index->size_bytes, false, &pages);
    if (st != KV_OK)
        goto out;
    index->pages = pages;
    /* What is looked up lies anywhere; who goes through the order asks for it ahead (ahead.h). */
    kv_io_advise_random(index->io, pages, index->size_bytes);
    st = read_header(index, place, info);
    if (st != KV_OK)
        goto out;

    index->verified = calloc(index->layout.page_count / 64 + 1, sizeof(*index->verified));
    if (!index->verified) {
        st = kv_fail_nomem();
        goto out;
    }
    *out = index;
    index = NULL; /* ownership moved */
out:
    kv_index_free(index);
    return st;
}

enum kv_status kv_index_open(const struct kv_place *place, const struct kv_segment_info *info,
                             struct kv_index **out)
{
    char name[KV_NAME_BYTES];
    struct kv_file *file;
    enum kv_status st;

    *out = NULL;
    kv_name_index(name, info->number);
    st = kv_io_file_open(place->dir, name, 0, 0, &file);
    if (st != KV_OK)
        return st;
    st = kv_index_map(place, info, file, name, out);
    kv_io_file_close(file);
    return st;
}

void kv_index_free(struct kv_index *index)
{
    if (!index)
        return;
    kv_io_unmap(index->io, index->pages, index->size_bytes);
    free(index->verified);
    free(index);
}

uint64_t kv_index_entry_count(const struct kv_index *index)
{
    return index->layout.entry_count;
}

struct kv_slice kv_index_bytes(const struct kv_index *index)
{
    return kv_slice_of(index->pages, (size_t)index->size_bytes);
}

uint64_t kv_index_size_bytes(const struct kv_index *index)
{
    return index->size_bytes;
}

enum kv_status kv_index_check(const struct kv_index *index)
{
    for (uint64_t page = 0; page < index->layout.page_count; page++)
        if (!page_is_good(index, page))
            return kv_fail(KV_CORRUPT, "%s/%s: a damaged page at offset %llu", index->path,
                           index->name, (unsigned long long)page * KV_INDEX_PAGE_BYTES);
    return KV_OK;
}

/* ---- The filter */

static inline struct spot bucket_spot(const struct kv_index *index, uint64_t bucket)
{
    return spot_of(index, index->layout.hash_page, bucket, KV_INDEX_PAGE_LINES,
                   KV_INDEX_LINE_BYTES);
}

static inline struct spot block_spot(const struct kv_index *index, uint64_t hash)
{
    return spot_of(index, index->layout.bloom_page, kv_bloom_block(hash, index->layout.block_count),
                   KV_INDEX_PAGE_LINES, KV_INDEX_LINE_BYTES);
}

void kv_index_prefetch(const struct kv_index *index, uint64_t hash, bool likely)
{
    __builtin_prefetch(block_spot(index, hash).at);
    if (likely) {
        uint64_t bucket = kv_index_bucket(kv_index_remix(hash), index->layout.bucket_count);

        __builtin_prefetch(bucket_spot(index, bucket).at);
    }
}

enum kv_status kv_index_may_contain(struct kv_index *index, uint64_t hash, bool *out)
{
    struct spot block = block_spot(index, hash);
    enum kv_status st = touch_page(index, block.page);

    *out = st == KV_OK && kv_bloom_may_contain(block.at, hash);
    return st;
}

/* ---- The hash table */

/* The first slot from `slot` on with this fingerprint and an offset; KV_INDEX_BUCKET_SLOTS: none. */
static inline unsigned find_slot(const uint8_t *bucket, uint16_t fingerprint, unsigned slot)
{
    for (; slot < KV_INDEX_BUCKET_SLOTS; slot++)
        if (kv_load_u16(bucket + 2 * slot) == fingerprint &&
            kv_load_u32(bucket + KV_INDEX_BUCKET_OFFSETS_AT + 4 * slot) != 0)
            break;
    return slot;
}

/* A probe's step counts slots from the first of the key's own bucket on. */
enum kv_status kv_index_probe(struct kv_index *index, uint64_t hash, struct kv_index_probe *probe,
                              uint32_t *offset_bytes)
{
    uint64_t bucket_count = index->layout.bucket_count;
    uint64_t remix = kv_index_remix(hash);
    uint64_t distance = probe->step / KV_INDEX_BUCKET_SLOTS;
    unsigned slot = (unsigned)(probe->step % KV_INDEX_BUCKET_SLOTS);
    uint64_t bucket = kv_index_bucket(remix, bucket_count) + distance;

    for (; distance < bucket_count; distance++, bucket++, slot = 0) {
        if (distance == KV_INDEX_PROBE_MAX_BUCKETS) {
            probe->is_crowded = true;
            break;
        }
        if (bucket >= bucket_count)
            bucket -= bucket_count;
        struct spot line = bucket_spot(index, bucket);
        enum kv_status st = touch_page(index, line.page);
        if (st != KV_OK)
            return st;
        slot = find_slot(line.at, kv_index_fingerprint(remix), slot);
        if (slot < KV_INDEX_BUCKET_SLOTS) {
            *offset_bytes = kv_load_u32(line.at + KV_INDEX_BUCKET_OFFSETS_AT + 4 * slot);
            probe->step = distance * KV_INDEX_BUCKET_SLOTS + slot + 1;
            return KV_OK;
        }
        if (kv_load_u16(line.at + KV_INDEX_BUCKET_OVERFLOW_AT) == 0)
            break;
    }
    probe->step = bucket_count * KV_INDEX_BUCKET_SLOTS;
    return KV_DONE;
}

/* ---- Order and fences */

static inline struct spot order_spot(const struct kv_index *index, uint64_t position)
{
    return spot_of(index, index->layout.order_page, position, KV_INDEX_PAGE_OFFSETS, 4);
}

enum kv_status kv_index_at(struct kv_index *index, uint64_t position, uint32_t *offset_bytes)
{
    assert(position < index->layout.entry_count);

    struct spot spot = order_spot(index, position);
    enum kv_status st = touch_page(index, spot.page);
    *offset_bytes = st == KV_OK ? kv_load_u32(spot.at) : 0;
    return st;
}

uint64_t kv_index_order_offset(const struct kv_index *index, uint64_t position)
{
    return (
        uint64_t)(spot_of(index, index->layout.order_page, position, KV_INDEX_PAGE_OFFSETS, 4).at -
                  index->pages);
}

static enum kv_status fence_at(struct kv_index *index, uint64_t i, struct kv_index_fence *out)
{
    struct spot spot =
        spot_of(index, index->layout.fence_page, i, KV_INDEX_PAGE_FENCES, KV_INDEX_FENCE_BYTES);
    enum kv_status st = touch_page(index, spot.page);

    if (st == KV_OK)
        *out = kv_index_fence_load(spot.at);
    return st;
}

/* Does a fence come before those that are not less than `key`, or with `or_equal` greater than it? */
static inline bool comes_before(struct kv_index_fence fence, struct kv_index_fence key,
                                bool or_equal)
{
    return or_equal ? !kv_index_fence_less(key, fence) : kv_index_fence_less(fence, key);
}

/* By the copies in the header: the first fence that does not come before is one of *low … *high. */
static void narrow_by_tops(const struct kv_index *index, struct kv_index_fence key, bool or_equal,
                           uint64_t *low, uint64_t *high)
{
    const struct kv_index_tops *tops = &index->tops;
    uint64_t fences_a_top = tops->step * KV_INDEX_PAGE_FENCES;
    uint64_t first = 0, last = tops->count;

    while (first < last) {
        uint64_t middle = first + (last - first) / 2;
        const uint8_t *at = index->pages + tops->at + middle * KV_INDEX_FENCE_BYTES;

        if (comes_before(kv_index_fence_load(at), key, or_equal))
            first = middle + 1;
        else
            last = middle;
    }
    *low = first ? (first - 1) * fences_a_top + 1 : 0;
    *high = first < tops->count ? first * fences_a_top
                                : kv_index_fence_count(index->layout.entry_count);
}

/*
 * The first fence from `from` on that is not less than `key`, or with `or_equal`
 * greater than it. The second is asked where the first was answered, and then
 * `from` itself is the likeliest answer: it is looked at first.
 */
static enum kv_status find_fence(struct kv_index *index, uint64_t from, struct kv_index_fence key,
                                 bool or_equal, uint64_t *out)
{
    uint64_t low, high, middle;

    narrow_by_tops(index, key, or_equal, &low, &high);
    if (low < from)
        low = from;
    middle = or_equal ? low : low + (high - low) / 2;
    while (low < high) {
        struct kv_index_fence fence;
        enum kv_status st = fence_at(index, middle, &fence);
        if (st != KV_OK)
            return st;
        if (comes_before(fence, key, or_equal))
            low = middle + 1;
        else
            high = middle;
        middle = low + (high - low) / 2;
    }
    *out = low;
    return KV_OK;
}

/* Fetch the offsets between two fences, which a search will read next; no more if there are more. */
static void prefetch_order(const struct kv_index *index, uint64_t low, uint64_t high)
{
    const uint64_t line = KV_CACHE_LINE_BYTES / 4;

    if (high > low + KV_INDEX_FENCE_STEP)
        high = low + KV_INDEX_FENCE_STEP;
    for (uint64_t i = low; i < high; i += line)
        __builtin_prefetch(order_spot(index, i).at);
}

/* <0: before all keys; >0: behind all; 0: it has their prefix. */
static int compare_to_prefix(const struct kv_index *index, struct kv_slice key)
{
    if (key.size < index->prefix.size)
        return kv_slice_compare(key, index->prefix);
    return kv_slice_compare(kv_slice_of(key.data, index->prefix.size), index->prefix);
}

enum kv_status kv_index_narrow(struct kv_index *index, struct kv_slice key, uint64_t *low,
                               uint64_t *high)
{
    uint64_t entry_count = index->layout.entry_count, below, not_above;
    int side = compare_to_prefix(index, key);

    *low = *high = side > 0 ? entry_count : 0;
    if (side != 0)
        return KV_OK;

    struct kv_index_fence fence = kv_index_fence_of(key, index->prefix.size);
    enum kv_status st = find_fence(index, 0, fence, false, &below);
    if (st == KV_OK)
        st = find_fence(index, below, fence, true, &not_above);
    if (st != KV_OK)
        return st;
    /* Fence i is of entry i * STEP: those of the last lesser fence and before it are lesser. */
    *low = below ? (below - 1) * KV_INDEX_FENCE_STEP + 1 : 0;
    *high = not_above * KV_INDEX_FENCE_STEP < entry_count ? not_above * KV_INDEX_FENCE_STEP
                                                          : entry_count;
    prefetch_order(index, *low, *high);
    assert(*low <= *high); /* also if a hostile file's fences descend: below <= not_above */
    return KV_OK;
}
