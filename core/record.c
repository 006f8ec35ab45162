/*
 * Encoding and decoding of records (format: record.h).
 *
 * Decoding bounds every size by what is left before it computes a checksum,
 * so that hostile sizes cost nothing. PUT and DELETE are the hottest code of
 * the store: one pass over the head, one checksum, no allocation, no message.
 */
#include "record.h"

#include <assert.h>

#include "hash.h"
#include "mutant.h"

enum {
    KIND_AT = 4,
    HEAD_MIN_BYTES = 4 + 1 + 1 + 1, /* of a DELETE, the shortest */
    MAGIC_AT = 5,
    MAGIC_BYTES = 7,
    COMMIT_FIELDS_AT = 12, /* what its digest covers: from here … */
    COMMIT_DIGEST_AT = 72, /* … to here */
};

/* Bytes that text, zeros and small numbers do not contain, and that differ from each other. */
static const uint8_t COMMIT_MAGIC[MAGIC_BYTES] = {0x9d, 'K', 'V', 'C', 0xe1, 0x0a, 0x5b};
static const uint8_t END_MAGIC[MAGIC_BYTES] = {0xb6, 'K', 'V', 'E', 0xd8, 0x0a, 0xa7};

_Static_assert(COMMIT_DIGEST_AT + 8 == KV_COMMIT_BYTES, "the digest is the last field of COMMIT");

/* ---- PUT and DELETE */

size_t kv_record_size(const struct kv_record_place *place, const struct kv_record *record)
{
    size_t size = KIND_AT + 1 + record->key.size + kv_varint_size(record->key.size) +
                  kv_varint_size(record->seq - place->base_seq);

    if (record->kind == KV_PUT)
        size += kv_varint_size(record->row.size) + record->row.size;
    return size;
}

void kv_record_encode(uint8_t *out, const struct kv_record_place *place, uint64_t offset_bytes,
                      struct kv_record *record)
{
    uint8_t *at = out + KIND_AT;

    assert(record->kind == KV_PUT || record->kind == KV_DELETE);
    assert(record->seq >= place->base_seq);
    assert(record->key.size >= 1 && record->key.size <= KV_KEY_MAX_BYTES);
    assert(record->row.size <= KV_ROW_MAX_BYTES);

    *at++ = (uint8_t)record->kind;
    at = kv_varint_put(at, record->seq - place->base_seq);
    at = kv_varint_put(at, record->key.size);
    if (record->kind == KV_PUT)
        at = kv_varint_put(at, record->row.size);
    memcpy(at, record->key.data, record->key.size);
    at += record->key.size;
    if (record->kind == KV_PUT && record->row.size) {
        memcpy(at, record->row.data, record->row.size);
        at += record->row.size;
    }

    size_t size = (size_t)(at - out);
    record->size_bytes = (uint32_t)size;
    record->checksum = kv_checksum(out + KIND_AT, size - KIND_AT, place->salt ^ offset_bytes);
    kv_store_u32(out, record->checksum);
}

/* What the bytes before a record's key say; the sizes lie within the bytes given. */
struct head {
    unsigned kind;
    uint64_t seq_delta;
    struct kv_slice key;
    struct kv_slice row;
    size_t size_bytes;
};

/*
 * Parse the head and bound every size. Kinds and flags unknown to this version
 * have the shape that record.h promises for them. false: no such record here.
 */
static inline bool parse_head(struct kv_slice bytes, struct head *out)
{
    if (bytes.size < HEAD_MIN_BYTES)
        return false;

    unsigned byte = bytes.data[KIND_AT];
    unsigned kind = byte & ~(unsigned)KV_KIND_FLAGS;
    if (kind == 0 || kind == KV_COMMIT || kind == KV_END)
        return false;

    struct kv_reader reader = {bytes.data + KIND_AT + 1, bytes.data + bytes.size, false};
    out->kind = byte;
    out->seq_delta = kv_read_varint(&reader);
    uint64_t key_size = kv_read_varint(&reader);
    uint64_t row_size = kind == KV_DELETE ? 0 : kv_read_varint(&reader);
    uint64_t extra_size = byte & KV_KIND_FLAGS ? kv_read_varint(&reader) : 0;
    size_t left = kv_reader_left(&reader);
    if (reader.failed || key_size == 0 || key_size > KV_KEY_MAX_BYTES ||
        row_size > KV_ROW_MAX_BYTES || extra_size > left || key_size + row_size > left - extra_size)
        return false;

    out->key = kv_slice_of(reader.at + extra_size, (size_t)key_size);
    out->row = kv_slice_of(out->key.data + key_size, (size_t)row_size);
    out->size_bytes = (size_t)(out->row.data - bytes.data) + (size_t)row_size;
    return true;
}

enum kv_status kv_record_decode(struct kv_slice bytes, const struct kv_record_place *place,
                                uint64_t offset_bytes, struct kv_record *out)
{
    struct head head;

    if (!parse_head(bytes, &head))
        return KV_CORRUPT;

    if (__builtin_expect(head.size_bytes >= KV_RECORD_LARGE_BYTES, 0) && place->read_soon)
        place->read_soon(place->context, kv_slice_of(bytes.data, head.size_bytes));

    uint32_t checksum = kv_load_u32(bytes.data);
    if (kv_checksum(bytes.data + KIND_AT, head.size_bytes - KIND_AT, place->salt ^ offset_bytes) !=
            checksum &&
        !KV_MUTANT(record_checksum_ignored))
        return KV_CORRUPT;
    if (head.kind != KV_PUT && head.kind != KV_DELETE)
        return KV_NEWER;
    if (head.seq_delta > UINT64_MAX - place->base_seq)
        return KV_CORRUPT;

    out->kind = (enum kv_kind)head.kind;
    out->seq = place->base_seq + head.seq_delta;
    out->key = head.key;
    out->row = head.row;
    out->checksum = checksum;
    out->size_bytes = (uint32_t)head.size_bytes;
    return KV_OK;
}

struct kv_slice kv_record_key(struct kv_slice bytes)
{
    struct head head;

    if (!parse_head(bytes, &head) || (head.kind != KV_PUT && head.kind != KV_DELETE))
        return kv_slice_of(NULL, 0);
    return head.key;
}

bool kv_record_peek(struct kv_slice bytes, const struct kv_record_place *place,
                    struct kv_record *out)
{
    struct head head;

    if (!parse_head(bytes, &head) || (head.kind != KV_PUT && head.kind != KV_DELETE) ||
        head.seq_delta > UINT64_MAX - place->base_seq)
        return false;
    *out = (struct kv_record){.kind = (enum kv_kind)head.kind,
                              .seq = place->base_seq + head.seq_delta,
                              .key = head.key,
                              .row = head.row,
                              .checksum = kv_load_u32(bytes.data),
                              .size_bytes = (uint32_t)head.size_bytes};
    return true;
}

unsigned kv_record_kind(struct kv_slice bytes)
{
    return bytes.size > KIND_AT ? bytes.data[KIND_AT] & ~(unsigned)KV_KIND_FLAGS : 0;
}

/* ---- COMMIT and END: fixed length, magic, checksum */

static void seal_fixed(uint8_t *out, size_t size, enum kv_kind kind, const uint8_t *magic,
                       uint64_t seed)
{
    out[KIND_AT] = (uint8_t)kind;
    memcpy(out + MAGIC_AT, magic, MAGIC_BYTES);
    kv_store_u32(out, kv_checksum(out + KIND_AT, size - KIND_AT, seed));
}

static enum kv_status verify_fixed(struct kv_slice bytes, size_t size, enum kv_kind kind,
                                   const uint8_t *magic, uint64_t seed)
{
    if (bytes.size < size || kv_record_kind(bytes) != kind ||
        memcmp(bytes.data + MAGIC_AT, magic, MAGIC_BYTES) != 0)
        return KV_CORRUPT;
    if (kv_checksum(bytes.data + KIND_AT, size - KIND_AT, seed) != kv_load_u32(bytes.data) &&
        !KV_MUTANT(commit_checksum_ignored))
        return KV_CORRUPT;
    return bytes.data[KIND_AT] == kind ? KV_OK : KV_NEWER;
}

static void put_commit_fields(uint8_t *out, const struct kv_commit *commit)
{
    kv_store_u32(out + 12, commit->record_count);
    kv_store_u64(out + 16, commit->seq);
    kv_store_u64(out + 24, commit->begin_lsn);
    kv_store_u64(out + 32, commit->time_ms);
    kv_store_u64(out + 40, commit->durable_lsn);
    kv_store_u64(out + 48, commit->group);
    kv_store_u64(out + 56, commit->group_digest);
    kv_store_u64(out + 64, commit->nonce);
}

void kv_commit_encode(uint8_t out[KV_COMMIT_BYTES], uint64_t salt, uint64_t offset_bytes,
                      const struct kv_commit *commit)
{
    put_commit_fields(out, commit);
    kv_store_u64(out + COMMIT_DIGEST_AT, commit->digest);
    seal_fixed(out, KV_COMMIT_BYTES, KV_COMMIT, COMMIT_MAGIC, salt ^ offset_bytes);
}

enum kv_status kv_commit_decode(struct kv_slice bytes, uint64_t salt, uint64_t offset_bytes,
                                struct kv_commit *out)
{
    enum kv_status st =
        verify_fixed(bytes, KV_COMMIT_BYTES, KV_COMMIT, COMMIT_MAGIC, salt ^ offset_bytes);

    if (st != KV_OK)
        return st;
    *out = (struct kv_commit){
        .record_count = kv_load_u32(bytes.data + 12),
        .seq = kv_load_u64(bytes.data + 16),
        .begin_lsn = kv_load_u64(bytes.data + 24),
        .time_ms = kv_load_u64(bytes.data + 32),
        .durable_lsn = kv_load_u64(bytes.data + 40),
        .group = kv_load_u64(bytes.data + 48),
        .group_digest = kv_load_u64(bytes.data + 56),
        .nonce = kv_load_u64(bytes.data + 64),
        .digest = kv_load_u64(bytes.data + COMMIT_DIGEST_AT),
    };
    return KV_OK;
}

void kv_end_encode(uint8_t out[KV_END_BYTES], uint64_t salt, uint64_t offset_bytes,
                   const struct kv_end *end)
{
    kv_store_u32(out + 12, 0);
    kv_store_u64(out + 16, end->seq);
    kv_store_u64(out + 24, end->end_lsn);
    kv_store_u64(out + 32, end->time_ms);
    kv_store_u64(out + 40, end->digest);
    seal_fixed(out, KV_END_BYTES, KV_END, END_MAGIC, salt ^ offset_bytes);
}

enum kv_status kv_end_decode(struct kv_slice bytes, uint64_t salt, uint64_t offset_bytes,
                             struct kv_end *out)
{
    enum kv_status st = verify_fixed(bytes, KV_END_BYTES, KV_END, END_MAGIC, salt ^ offset_bytes);

    if (st != KV_OK)
        return st;
    *out = (struct kv_end){
        .seq = kv_load_u64(bytes.data + 16),
        .end_lsn = kv_load_u64(bytes.data + 24),
        .time_ms = kv_load_u64(bytes.data + 32),
        .digest = kv_load_u64(bytes.data + 40),
    };
    return KV_OK;
}

uint64_t kv_commit_digest(const struct kv_commit *commit, uint64_t records_digest)
{
    uint8_t bytes[KV_COMMIT_BYTES];

    put_commit_fields(bytes, commit);
    return kv_hash(kv_slice_of(bytes + COMMIT_FIELDS_AT, COMMIT_DIGEST_AT - COMMIT_FIELDS_AT),
                   records_digest);
}

/* Candidates are found by the magic's first byte, at memory speed; the checksum decides. */
static size_t find_fixed(struct kv_slice bytes, uint64_t salt, size_t from, size_t size,
                         enum kv_kind kind, const uint8_t *magic)
{
    while (from <= bytes.size && bytes.size - from >= size) {
        size_t last_start = bytes.size - size;
        const uint8_t *hit = memchr(bytes.data + from + MAGIC_AT, magic[0], last_start - from + 1);
        if (!hit)
            return SIZE_MAX;
        from = (size_t)(hit - bytes.data) - MAGIC_AT;
        struct kv_slice rest = kv_slice_of(bytes.data + from, bytes.size - from);
        if (verify_fixed(rest, size, kind, magic, salt ^ from) != KV_CORRUPT)
            return from;
        from++;
    }
    return SIZE_MAX;
}

size_t kv_commit_find(struct kv_slice bytes, uint64_t salt, size_t from)
{
    return find_fixed(bytes, salt, from, KV_COMMIT_BYTES, KV_COMMIT, COMMIT_MAGIC);
}

size_t kv_end_find(struct kv_slice bytes, uint64_t salt, size_t from)
{
    return find_fixed(bytes, salt, from, KV_END_BYTES, KV_END, END_MAGIC);
}
