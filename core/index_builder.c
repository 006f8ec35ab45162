/*
 * Writing an index file.
 *
 * The file is allocated in full before it is mapped, because a store through
 * the mapping into a hole of a full disk would be a SIGBUS; then it is filled
 * in place, so that nothing but the page cache holds it. It gets its name when
 * it is durable.
 */
#include <assert.h>

#include "bloom.h"
#include "huge.h"
#include "index.h"
#include "index_layout.h"
#include "mutant.h"
#include "names.h"
#include "record.h"
#include "table.h"

/*
 * Entries a bucket on average. At 7.5 of ten about one bucket in six spills
 * over into the next, and a key costs 8.5 bytes.
 */
enum { ENTRIES_A_BUCKET_TIMES_2 = 15, TAKEN_AHEAD = 8 };

enum { STEPS_MAX = KV_INDEX_PROBE_MAX_BUCKETS }; /* more is no accident */

struct builder {
    const struct kv_place *place;
    const struct kv_segment_info *info;
    struct kv_slice data;
    struct kv_index_source *source;
    const struct kv_interrupt *interrupt;
    struct kv_index_layout layout;
    uint8_t *pages;
    uint32_t *skips; /* of a bucket: 1 + the one to go on with; NULL: none is needed yet */
};

static uint8_t *item_at(const struct builder *builder, uint64_t first_page, uint64_t i,
                        unsigned items_a_page, unsigned item_bytes)
{
    return builder->pages + (first_page + i / items_a_page) * KV_INDEX_PAGE_BYTES +
           i % items_a_page * item_bytes;
}

/* ---- Entries in memory */

static enum kv_status array_next(struct kv_index_source *source, struct kv_index_item *out)
{
    struct kv_index_array *array = (struct kv_index_array *)source;

    *out = *array->items++;
    return KV_OK;
}

struct kv_index_array kv_index_array(const struct kv_index_item *items, size_t count)
{
    return (struct kv_index_array){{array_next, count}, items};
}

/* ---- Hash and filter */

static size_t skips_size(const struct builder *builder)
{
    return (size_t)builder->layout.bucket_count * sizeof(uint32_t);
}

static uint8_t *bucket_at(const struct builder *builder, uint64_t bucket)
{
    return item_at(builder, builder->layout.hash_page, bucket, KV_INDEX_PAGE_LINES,
                   KV_INDEX_LINE_BYTES);
}

static uint64_t behind(const struct builder *builder, uint64_t bucket)
{
    if (builder->skips && builder->skips[bucket])
        return builder->skips[bucket] - 1;
    return bucket + 1 < builder->layout.bucket_count ? bucket + 1 : 0;
}

static bool is_full(const uint8_t *line)
{
    return kv_load_u16(line + KV_INDEX_BUCKET_USED_AT) == KV_INDEX_BUCKET_SLOTS;
}

/*
 * The walk from `bucket` to `end` was long: whoever chose the keys knew how they would be hashed.
 * From all buckets on the way the next walk leads straight to its end, as a path is compressed
 * in a union-find, so that even then walks are short on average.
 */
static enum kv_status compress(struct builder *builder, uint64_t bucket, uint64_t end)
{
    if (!builder->skips)
        builder->skips = kv_table_new(skips_size(builder));
    if (!builder->skips)
        return kv_fail_nomem();
    while (bucket != end) {
        uint64_t next = behind(builder, bucket);

        builder->skips[bucket] = (uint32_t)end + 1;
        bucket = next;
    }
    return KV_OK;
}

/* There are more slots than entries, so this ends at the latest after one round. */
static enum kv_status add_to_buckets(struct builder *builder, const struct kv_index_item *item)
{
    uint64_t remix = kv_index_remix(item->hash);
    uint64_t first = kv_index_bucket(remix, builder->layout.bucket_count), bucket = first;
    uint8_t *line = bucket_at(builder, bucket);
    unsigned steps = 0;
    uint16_t used;

    for (; is_full(line); steps++) {
        kv_store_u16(line + KV_INDEX_BUCKET_OVERFLOW_AT, 1);
        bucket = behind(builder, bucket);
        line = bucket_at(builder, bucket);
    }
    used = kv_load_u16(line + KV_INDEX_BUCKET_USED_AT);
    kv_store_u16(line + 2 * used, kv_index_fingerprint(remix));
    kv_store_u32(line + KV_INDEX_BUCKET_OFFSETS_AT + 4 * used, item->offset_bytes);
    kv_store_u16(line + KV_INDEX_BUCKET_USED_AT, (uint16_t)(used + 1));
    return steps > STEPS_MAX ? compress(builder, first, bucket) : KV_OK;
}

static uint8_t *block_at(const struct builder *builder, uint64_t hash)
{
    return item_at(builder, builder->layout.bloom_page,
                   kv_bloom_block(hash, builder->layout.block_count), KV_INDEX_PAGE_LINES,
                   KV_INDEX_LINE_BYTES);
}

/* ---- Entries */

static uint8_t *order_at(const struct builder *builder, size_t i)
{
    return item_at(builder, builder->layout.order_page, i, KV_INDEX_PAGE_OFFSETS, 4);
}

static enum kv_status fail_short(const struct builder *builder)
{
    char name[KV_NAME_BYTES];

    kv_name_segment(name, builder->info->number);
    return kv_fail(KV_CORRUPT, "%s/%s: it has fewer of its records than it had",
                   builder->place->path, name);
}

/* Take the next entry from the source, and start fetching where it will go. */
static enum kv_status take(const struct builder *builder, struct kv_index_item *out)
{
    enum kv_status st = builder->source->next(builder->source, out);
    uint64_t bucket;

    if (st == KV_DONE)
        return fail_short(builder);
    if (st != KV_OK)
        return st;
    bucket = kv_index_bucket(kv_index_remix(out->hash), builder->layout.bucket_count);
    __builtin_prefetch(bucket_at(builder, bucket), 1);
    __builtin_prefetch(block_at(builder, out->hash), 1);
    return KV_OK;
}

static enum kv_status add(struct builder *builder, size_t i, const struct kv_index_item *item)
{
    kv_bloom_add(block_at(builder, item->hash), item->hash);
    kv_store_u32(order_at(builder, i), item->offset_bytes);
    return add_to_buckets(builder, item);
}

/* Buckets and blocks are hit in no order, so entries are taken some time before they are added. */
static enum kv_status fill_entries(struct builder *builder)
{
    struct kv_index_item ahead[TAKEN_AHEAD];
    size_t taken = 0;

    for (size_t i = 0; i < builder->source->count; i++) {
        enum kv_status st = KV_OK;

        for (; st == KV_OK && taken < builder->source->count && taken < i + TAKEN_AHEAD; taken++)
            st = take(builder, &ahead[taken % TAKEN_AHEAD]);
        if (st == KV_OK)
            st = add(builder, i, &ahead[i % TAKEN_AHEAD]);
        if (st != KV_OK)
            return st;
        if (kv_interrupt_is_due(i) && kv_interrupt_asked(builder->interrupt))
            return kv_fail(KV_INTERRUPTED, "%s: indexing was interrupted", builder->place->path);
    }
    return KV_OK;
}

/* ---- Fences */

static struct kv_slice key_of(const struct builder *builder, size_t i)
{
    uint32_t offset = kv_load_u32(order_at(builder, i));

    assert(offset >= KV_HEADER_BYTES && offset < builder->data.size);
    return kv_record_key(kv_slice_of(builder->data.data + offset, builder->data.size - offset));
}

/* Keys ascend, so what the first and the last share, all share. */
static struct kv_slice shared_prefix(const struct builder *builder)
{
    if (builder->source->count == 0)
        return kv_slice_of(NULL, 0);

    struct kv_slice first = key_of(builder, 0), last = key_of(builder, builder->source->count - 1);
    size_t size = 0;
    while (size < KV_INDEX_PREFIX_MAX_BYTES && size < first.size && size < last.size &&
           first.data[size] == last.data[size])
        size++;
    return kv_slice_of(first.data, size);
}

static void fill_fences(const struct builder *builder, size_t prefix_size)
{
    for (size_t i = 0; i < builder->source->count; i += KV_INDEX_FENCE_STEP) {
        struct kv_slice key = key_of(builder, i);
        uint8_t *at = item_at(builder, builder->layout.fence_page, i / KV_INDEX_FENCE_STEP,
                              KV_INDEX_PAGE_FENCES, KV_INDEX_FENCE_BYTES);
        assert(key.size >= prefix_size);
        kv_index_fence_store(at, kv_index_fence_of(key, prefix_size));
    }
}

/* Copy the first fence of fence pages into the header. */
static void fill_tops(const struct builder *builder, size_t prefix_size)
{
    struct kv_index_tops tops = kv_index_tops_of(&builder->layout, prefix_size);

    for (uint64_t i = 0; i < tops.count; i++)
        memcpy(builder->pages + tops.at + i * KV_INDEX_FENCE_BYTES,
               item_at(builder, builder->layout.fence_page, i * tops.step * KV_INDEX_PAGE_FENCES,
                       KV_INDEX_PAGE_FENCES, KV_INDEX_FENCE_BYTES),
               KV_INDEX_FENCE_BYTES);
}

/* ---- Header and checksums */

static void fill_header(const struct builder *builder, struct kv_slice prefix)
{
    const struct kv_segment_info *info = builder->info;
    uint8_t *page = builder->pages;
    const uint64_t totals[KV_INDEX_TOTALS_COUNT] = {
        info->record_count, info->tombstone_count, info->entry_bytes, info->dead_bytes,
        info->min_seq,      info->max_seq,         info->min_time_ms, info->max_time_ms,
        info->first_lsn,    info->last_lsn};

    memcpy(page, KV_INDEX_MAGIC, sizeof(KV_INDEX_MAGIC));
    kv_store_u32(page + KV_INDEX_VERSION_AT, KV_INDEX_VERSION);
    kv_store_u32(page + KV_INDEX_PREFIX_SIZE_AT, (uint32_t)prefix.size);
    memcpy(page + KV_INDEX_UUID_AT, builder->place->uuid, KV_UUID_BYTES);
    kv_store_u64(page + KV_INDEX_NUMBER_AT, info->number);
    kv_store_u64(page + KV_INDEX_SALT_AT, info->salt);
    kv_store_u64(page + KV_INDEX_END_AT, info->end_bytes);
    kv_store_u64(page + KV_INDEX_DIGEST_AT, info->digest);
    kv_store_u64(page + KV_INDEX_SEED_AT,
                 kv_index_seed_mark(builder->place->hash_seed, info->salt));
    kv_store_u64(page + KV_INDEX_ENTRIES_AT, builder->layout.entry_count);
    kv_store_u64(page + KV_INDEX_BUCKETS_AT, builder->layout.bucket_count);
    kv_store_u64(page + KV_INDEX_BLOCKS_AT, builder->layout.block_count);
    for (unsigned i = 0; i < KV_INDEX_TOTALS_COUNT; i++)
        kv_store_u64(page + KV_INDEX_TOTALS_AT + 8 * i, totals[i]);
    if (prefix.size)
        memcpy(page + KV_INDEX_PREFIX_AT, prefix.data, prefix.size);
}

static void fill_checksums(const struct builder *builder)
{
    for (uint64_t page = 0; page < builder->layout.page_count; page++) {
        uint8_t *at = builder->pages + page * KV_INDEX_PAGE_BYTES;
        kv_store_u64(at + KV_INDEX_CHECKSUM_AT,
                     kv_index_page_checksum(at, builder->info->salt, page));
    }
}

/* What follows the entries is quick. */
static enum kv_status fill(struct builder *builder)
{
    enum kv_status st = fill_entries(builder);
    struct kv_slice prefix;

    if (st != KV_OK)
        return st;
    prefix = shared_prefix(builder);
    fill_header(builder, prefix);
    fill_fences(builder, prefix.size);
    fill_tops(builder, prefix.size);
    fill_checksums(builder);
    return KV_OK;
}

/* ---- The file */

/* Fill a new, empty file and make it durable. */
static enum kv_status write_file(struct builder *builder, struct kv_file *file)
{
    uint64_t size_bytes = builder->layout.page_count * KV_INDEX_PAGE_BYTES;
    enum kv_status st = kv_io_allocate(file, 0, size_bytes);

    if (st == KV_OK)
        st = kv_huge_prepare(file, size_bytes);
    if (st == KV_OK)
        st = kv_io_map(file, size_bytes, true, &builder->pages);
    if (st != KV_OK)
        return st;
    st = fill(builder);
    kv_table_free(builder->skips, skips_size(builder));
    builder->skips = NULL;
    kv_io_unmap(builder->place->io, builder->pages, size_bytes);
    builder->pages = NULL;
    return st;
}

/* Without a name, for a place where nothing may be created. */
static enum kv_status build_unnamed(struct builder *builder, struct kv_index **out)
{
    char name[KV_NAME_BYTES];
    struct kv_file *file;
    enum kv_status st = kv_io_file_temporary(builder->place->io, &file);

    if (st != KV_OK)
        return st;
    kv_name_index(name, builder->info->number);
    st = write_file(builder, file);
    if (st == KV_OK)
        st = kv_index_map(builder->place, builder->info, file, name, out);
    kv_io_file_close(file);
    return st;
}

static enum kv_status build_named(struct builder *builder, struct kv_index **out)
{
    const struct kv_place *place = builder->place;
    char name[KV_NAME_BYTES], temporary[KV_NAME_BYTES];
    struct kv_index *index = NULL;
    struct kv_file *file;
    uint64_t random;
    enum kv_status st = kv_io_random(place->io, &random, sizeof(random));

    if (st != KV_OK)
        return st;
    kv_name_index(name, builder->info->number);
    kv_name_index_temporary(temporary, builder->info->number, random);
    st = kv_io_file_open(place->dir, temporary, KV_OPEN_WRITE | KV_OPEN_CREATE | KV_OPEN_EXCL,
                         place->file_mode, &file);
    if (st != KV_OK)
        return st;

    st = write_file(builder, file);
    if (st == KV_OK)
        st = KV_UNLESS_MUTANT(index_without_sync, kv_io_sync(file));
    /* Mapped before it has its name, so that a failure leaves no file behind. */
    if (st == KV_OK && out)
        st = kv_index_map(place, builder->info, file, name, &index);
    kv_io_file_close(file);
    if (st == KV_OK)
        st = kv_io_rename(place->dir, temporary, name);
    if (st != KV_OK) {
        kv_index_free(index);
        (void)kv_io_unlink(place->dir, temporary);
        return st;
    }
    if (out)
        *out = index;
    return KV_OK;
}

enum kv_status kv_index_build(const struct kv_place *place, const struct kv_segment_info *info,
                              struct kv_slice data, struct kv_index_source *source,
                              const struct kv_interrupt *interrupt, struct kv_index **out)
{
    struct builder builder = {
        .place = place, .info = info, .data = data, .source = source, .interrupt = interrupt};
    uint64_t bucket_count = (uint64_t)source->count * 2 / ENTRIES_A_BUCKET_TIMES_2 + 1;

    assert(out || !place->readonly);
    if (out)
        *out = NULL;
    builder.layout =
        kv_index_layout_of(source->count, bucket_count, kv_bloom_block_count(source->count));
    return place->readonly ? build_unnamed(&builder, out) : build_named(&builder, out);
}
