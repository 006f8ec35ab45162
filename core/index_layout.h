/*
 * Where things are in an index file: what its reader (index.c) and its builder
 * (index_builder.c) must agree on. Private to the two; the file as a whole is
 * described in index.h, the header's fields in index.c.
 */
#ifndef KV_INDEX_LAYOUT_H
#define KV_INDEX_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "hash.h"
#include "index.h"

/* ---- Pages and lines */

enum {
    KV_INDEX_PAGE_BYTES = 4096,
    KV_INDEX_LINE_BYTES = 64,
    KV_INDEX_PAGE_LINES = 63, /* the 64th holds the checksum */
    KV_INDEX_PAYLOAD_BYTES = KV_INDEX_PAGE_LINES * KV_INDEX_LINE_BYTES,
    KV_INDEX_CHECKSUM_AT = KV_INDEX_PAYLOAD_BYTES,

    KV_INDEX_BUCKET_SLOTS = 10,
    KV_INDEX_BUCKET_OFFSETS_AT = 20,  /* behind ten fingerprints u16: ten offsets u32 */
    KV_INDEX_BUCKET_USED_AT = 60,     /* slots in use, u16: for the builder */
    KV_INDEX_BUCKET_OVERFLOW_AT = 62, /* 1, u16: a key of this bucket may be in the next one */
    KV_INDEX_PROBE_MAX_BUCKETS = 48,  /* far more than chance fills one after the other */

    KV_INDEX_PAGE_OFFSETS = KV_INDEX_PAYLOAD_BYTES / 4,
    KV_INDEX_FENCE_STEP = 16, /* one fence for so many entries */
    KV_INDEX_FENCE_BYTES = 16,
    KV_INDEX_PAGE_FENCES = KV_INDEX_PAYLOAD_BYTES / KV_INDEX_FENCE_BYTES,
};

_Static_assert(KV_INDEX_BUCKET_OFFSETS_AT == 2 * KV_INDEX_BUCKET_SLOTS,
               "offsets follow fingerprints");
_Static_assert(KV_INDEX_BUCKET_USED_AT == 6 * KV_INDEX_BUCKET_SLOTS, "marks follow the slots");
_Static_assert(KV_INDEX_BUCKET_OVERFLOW_AT + 2 == KV_INDEX_LINE_BYTES, "a bucket is one line");
_Static_assert(KV_INDEX_PAYLOAD_BYTES % KV_INDEX_FENCE_BYTES == 0, "fences fill their pages");

/* ---- Sections */

/* The first page of each section; `page_count` is where the last one ends. */
struct kv_index_layout {
    uint64_t entry_count;
    uint64_t bucket_count;
    uint64_t block_count;
    uint64_t hash_page, bloom_page, order_page, fence_page;
    uint64_t page_count;
};

static inline uint64_t kv_index_pages(uint64_t item_count, uint64_t items_a_page)
{
    return (item_count + items_a_page - 1) / items_a_page;
}

static inline uint64_t kv_index_fence_count(uint64_t entry_count)
{
    return kv_index_pages(entry_count, KV_INDEX_FENCE_STEP);
}

/* The counts are below 2^56, so that no sum wraps around. */
static inline struct kv_index_layout kv_index_layout_of(uint64_t entry_count, uint64_t bucket_count,
                                                        uint64_t block_count)
{
    struct kv_index_layout layout = {
        .entry_count = entry_count, .bucket_count = bucket_count, .block_count = block_count};

    layout.hash_page = 1;
    layout.bloom_page = layout.hash_page + kv_index_pages(bucket_count, KV_INDEX_PAGE_LINES);
    layout.order_page = layout.bloom_page + kv_index_pages(block_count, KV_INDEX_PAGE_LINES);
    layout.fence_page = layout.order_page + kv_index_pages(entry_count, KV_INDEX_PAGE_OFFSETS);
    layout.page_count =
        layout.fence_page + kv_index_pages(kv_index_fence_count(entry_count), KV_INDEX_PAGE_FENCES);
    return layout;
}

/* Of the payload, and of the line's rest, so that no bit of a page is uncovered. */
static inline uint64_t kv_index_page_checksum(const uint8_t *page, uint64_t salt, uint64_t number)
{
    uint64_t payload = kv_hash(kv_slice_of(page, KV_INDEX_PAYLOAD_BYTES), salt ^ number);

    return kv_hash(kv_slice_of(page + KV_INDEX_CHECKSUM_AT + 8, KV_INDEX_LINE_BYTES - 8), payload);
}

/* ---- What of a key's hash chooses what */

/*
 * The filter uses the hash's high bits and its low 48 (bloom.c). Bucket and
 * fingerprint come from a remix, so that a key that slips through the filter
 * is no likelier than any other to fit a fingerprint.
 */
static inline uint64_t kv_index_remix(uint64_t hash)
{
    return (hash ^ hash >> 32) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline uint64_t kv_index_bucket(uint64_t remix, uint64_t bucket_count)
{
    return kv_hash_scale(remix, bucket_count);
}

static inline uint16_t kv_index_fingerprint(uint64_t remix)
{
    return (uint16_t)(remix >> 16);
}

/* ---- Fences */

/* A weak order on keys: 16 bytes behind the shared prefix, zero-padded, as a number. */
struct kv_index_fence {
    uint64_t high, low;
};

static inline struct kv_index_fence kv_index_fence_of(struct kv_slice key, size_t prefix_size)
{
    struct kv_slice rest = kv_slice_of(key.data + prefix_size, key.size - prefix_size);
    struct kv_index_fence fence = {.high = kv_slice_prefix(rest)};

    if (rest.size > 8)
        fence.low = kv_slice_prefix(kv_slice_of(rest.data + 8, rest.size - 8));
    return fence;
}

static inline struct kv_index_fence kv_index_fence_load(const uint8_t *at)
{
    return (struct kv_index_fence){__builtin_bswap64(kv_load_u64(at)),
                                   __builtin_bswap64(kv_load_u64(at + 8))};
}

static inline void kv_index_fence_store(uint8_t *at, struct kv_index_fence fence)
{
    kv_store_u64(at, __builtin_bswap64(fence.high));
    kv_store_u64(at + 8, __builtin_bswap64(fence.low));
}

static inline bool kv_index_fence_less(struct kv_index_fence a, struct kv_index_fence b)
{
    return a.high != b.high ? a.high < b.high : a.low < b.low;
}

/* ---- The header page */

enum {
    KV_INDEX_VERSION_AT = 8,
    KV_INDEX_PREFIX_SIZE_AT = 12,
    KV_INDEX_UUID_AT = 16,
    KV_INDEX_NUMBER_AT = 32,
    KV_INDEX_SALT_AT = 40,
    KV_INDEX_END_AT = 48,
    KV_INDEX_DIGEST_AT = 56,
    KV_INDEX_SEED_AT = 64,
    KV_INDEX_ENTRIES_AT = 72,
    KV_INDEX_BUCKETS_AT = 80,
    KV_INDEX_BLOCKS_AT = 88,
    KV_INDEX_TOTALS_AT = 96,
    KV_INDEX_TOTALS_COUNT = 10,
    KV_INDEX_PREFIX_AT = KV_INDEX_TOTALS_AT + 8 * KV_INDEX_TOTALS_COUNT,
    KV_INDEX_PREFIX_MAX_BYTES = KV_INDEX_PAYLOAD_BYTES - KV_INDEX_PREFIX_AT,

    KV_INDEX_VERSION = 2,
};

static const char KV_INDEX_MAGIC[8] = {'k', 'v', 'i', 'd', 'x', '\r', '\n', '\x1a'};

/*
 * Behind the prefix, copies of the first fences of fence pages: of each, or, of an index that
 * has more of them than there is room, of every `step`-th. The header is always cached, so a
 * seek touches one page of fences, or a few.
 */
struct kv_index_tops {
    uint64_t at; /* in the header page */
    uint64_t count;
    uint64_t step;
};

static inline struct kv_index_tops kv_index_tops_of(const struct kv_index_layout *layout,
                                                    size_t prefix_size)
{
    uint64_t pages = layout->page_count - layout->fence_page;
    struct kv_index_tops tops = {.step = 1};
    uint64_t room;

    tops.at = KV_INDEX_PREFIX_AT +
              kv_index_pages(prefix_size, KV_INDEX_FENCE_BYTES) * KV_INDEX_FENCE_BYTES;
    room = (KV_INDEX_PAYLOAD_BYTES - tops.at) / KV_INDEX_FENCE_BYTES;
    if (room == 0)
        return tops;
    if (pages > room)
        tops.step = kv_index_pages(pages, room);
    tops.count = kv_index_pages(pages, tops.step);
    return tops;
}

/* What stands for the seed that the keys were hashed with: not the seed itself. */
static inline uint64_t kv_index_seed_mark(uint64_t hash_seed, uint64_t salt)
{
    return kv_digest_add(salt, hash_seed);
}

/*
 * Map and verify the index in `file`, which stays the caller's; `name` is for
 * messages. The rest is as for kv_index_open.
 */
enum kv_status kv_index_map(const struct kv_place *place, const struct kv_segment_info *info,
                            struct kv_file *file, const char *name,
                            struct kv_index **out) KV_WARN_UNUSED;

#endif
