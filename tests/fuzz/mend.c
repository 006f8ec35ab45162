/* Checksums made right: see mend.h. */
#include "mend.h"

#include "hash.h"
#include "header.h"
#include "index_layout.h"
#include "manifest.h"
#include "record.h"

enum {
    MANIFEST_BODY_SIZE_AT = 28,
    MANIFEST_HEAD_BYTES = 36,
    CHECKSUM_BYTES = 8,

    HEADER_ROLE_AT = 12,
    HEADER_NUMBER_AT = 32,
    HEADER_SALT_AT = 40,
    HEADER_BASE_SEQ_AT = 48,
    HEADER_END_AT = 64,    /* of a merge output */
    HEADER_DIGEST_AT = 72, /* of a merge output; of a log: the digest before it */
    HEADER_CHECKSUM_AT = KV_HEADER_BYTES - CHECKSUM_BYTES,

    RECORD_KIND_AT = 4,
    COMMIT_DIGEST_AT = 72,
    END_DIGEST_AT = 40,
};

void mend_manifest(struct kv_buffer *bytes)
{
    size_t covered = bytes->size - CHECKSUM_BYTES;

    if (bytes->size < MANIFEST_HEAD_BYTES + CHECKSUM_BYTES)
        return;
    kv_store_u64(bytes->data + MANIFEST_BODY_SIZE_AT, covered - MANIFEST_HEAD_BYTES);
    kv_store_u64(bytes->data + covered, kv_hash(kv_slice_of(bytes->data, covered), 0));
}

/* ---- Segments */

struct walk {
    uint8_t *data;
    size_t end, at;
    struct kv_record_place place;
    uint64_t digest;  /* over the records since the last COMMIT, from its digest on */
    uint64_t chained; /* digest of the last COMMIT */
};

static uint64_t seal_record(struct walk *walk, size_t size)
{
    uint8_t *at = walk->data + walk->at;
    uint32_t checksum = kv_checksum(at + 4, size - 4, walk->place.salt ^ walk->at);

    kv_store_u32(at, checksum);
    walk->at += size;
    return checksum;
}

/* The digest depends on the other fields, which decoding gives once the checksum is right. */
static void mend_commit(struct walk *walk)
{
    size_t start = walk->at;
    struct kv_commit commit;

    seal_record(walk, KV_COMMIT_BYTES);
    if (kv_commit_decode(kv_slice_of(walk->data + start, KV_COMMIT_BYTES), walk->place.salt, start,
                         &commit) != KV_OK)
        return;
    walk->digest = walk->chained = kv_commit_digest(&commit, walk->digest);
    kv_store_u64(walk->data + start + COMMIT_DIGEST_AT, walk->chained);
    walk->at = start;
    seal_record(walk, KV_COMMIT_BYTES);
}

/* False: here is nothing that has a size. */
static bool mend_next(struct walk *walk)
{
    struct kv_slice rest = kv_slice_of(walk->data + walk->at, walk->end - walk->at);
    struct kv_record record;

    switch (kv_record_kind(rest)) {
    case KV_COMMIT:
        if (rest.size < KV_COMMIT_BYTES)
            return false;
        mend_commit(walk);
        return true;
    case KV_END:
        if (rest.size < KV_END_BYTES)
            return false;
        kv_store_u64(walk->data + walk->at + END_DIGEST_AT, walk->chained);
        seal_record(walk, KV_END_BYTES);
        return true;
    default:
        if (!kv_record_peek(rest, &walk->place, &record))
            return false;
        walk->digest = kv_digest_add(walk->digest, seal_record(walk, record.size_bytes));
        return true;
    }
}

/* The header's checksum, also behind what a merge says of itself. */
static void mend_header(uint8_t *data)
{
    kv_store_u64(data + HEADER_CHECKSUM_AT, kv_hash(kv_slice_of(data, HEADER_CHECKSUM_AT),
                                                    kv_load_u64(data + HEADER_NUMBER_AT)));
}

/* False: it is too short to be one. `*digest`: what the manifest should say. */
static bool mend_segment(struct kv_buffer *bytes, uint64_t *digest)
{
    struct walk walk = {.data = bytes->data, .end = bytes->size, .at = KV_HEADER_BYTES};
    bool merged;
    uint64_t end;

    if (bytes->size < KV_HEADER_BYTES)
        return false;
    merged = kv_load_u32(walk.data + HEADER_ROLE_AT) == KV_ROLE_MERGE;
    end = kv_load_u64(walk.data + HEADER_END_AT);
    if (merged && end >= KV_HEADER_BYTES && end <= bytes->size)
        walk.end = (size_t)end;
    walk.place.salt = kv_load_u64(walk.data + HEADER_SALT_AT);
    walk.place.base_seq = kv_load_u64(walk.data + HEADER_BASE_SEQ_AT);
    if (!merged)
        walk.digest = walk.chained = kv_load_u64(walk.data + HEADER_DIGEST_AT);
    while (mend_next(&walk))
        continue;
    *digest = merged ? walk.digest : walk.chained;
    if (merged) {
        kv_store_u64(walk.data + HEADER_DIGEST_AT, *digest);
        if (bytes->size - walk.end > 4)
            kv_store_u32(walk.data + walk.end,
                         kv_checksum(walk.data + walk.end + 4, bytes->size - walk.end - 4,
                                     walk.place.salt ^ walk.end));
    }
    mend_header(walk.data);
    return true;
}

/* ---- Indexes */

static void mend_index(struct kv_buffer *bytes, const uint64_t *digest)
{
    uint64_t salt;

    if (bytes->size < KV_INDEX_PAGE_BYTES)
        return;
    salt = kv_load_u64(bytes->data + KV_INDEX_SALT_AT);
    if (digest)
        kv_store_u64(bytes->data + KV_INDEX_DIGEST_AT, *digest);
    for (size_t at = 0; at + KV_INDEX_PAGE_BYTES <= bytes->size; at += KV_INDEX_PAGE_BYTES) {
        uint8_t *page = bytes->data + at;

        kv_store_u64(page + KV_INDEX_CHECKSUM_AT,
                     kv_index_page_checksum(page, salt, at / KV_INDEX_PAGE_BYTES));
    }
}

/* ---- Together */

/* What MANIFEST says of a segment. */
static void set_digest(struct kv_manifest *manifest, uint64_t number, uint64_t digest)
{
    if (manifest->unindexed.number == number)
        manifest->unindexed.digest = digest;
    for (size_t i = 0; i < manifest->run_count; i++) {
        struct kv_run *run = &manifest->runs[i];

        for (size_t j = 0; j < run->segment_count; j++) {
            if (run->segments[j].number == number)
                run->segments[j].digest = digest;
        }
    }
}

static void set_digests(struct kv_buffer *bytes, const uint64_t *digests, const bool *known)
{
    struct kv_buffer encoded = {0};
    struct kv_manifest manifest;

    mend_manifest(bytes);
    if (kv_manifest_decode(kv_buffer_slice(bytes), &manifest) != KV_OK)
        return;
    for (uint64_t number = 0; number <= UINT8_MAX; number++) {
        if (known[number])
            set_digest(&manifest, number, digests[number]);
    }
    if (kv_manifest_encode(&manifest, &encoded) == KV_OK) {
        kv_buffer_release(bytes);
        *bytes = encoded;
    }
    kv_manifest_release(&manifest);
}

void mend_image(struct image *image)
{
    uint64_t digests[UINT8_MAX + 1];
    bool known[UINT8_MAX + 1] = {false};

    for (size_t i = 0; i < image->count; i++) {
        struct image_file *file = &image->files[i];

        if (file->kind == IMAGE_SEGMENT)
            known[file->number] = mend_segment(&file->bytes, &digests[file->number]);
    }
    for (size_t i = 0; i < image->count; i++) {
        struct image_file *file = &image->files[i];

        if (file->kind == IMAGE_INDEX)
            mend_index(&file->bytes, known[file->number] ? &digests[file->number] : NULL);
        else if (file->kind == IMAGE_MANIFEST)
            set_digests(&file->bytes, digests, known);
    }
}
