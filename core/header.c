/* Encoding and decoding of segment headers (format: header.h). */
#include "header.h"

#include <assert.h>

#include "bytes.h"
#include "hash.h"
#include "record.h"

enum {
    CHECKSUM_AT = KV_HEADER_BYTES - 8,
    INTERVAL_HEAD_BYTES = 12,
    INTERVAL_MAX_BYTES = INTERVAL_HEAD_BYTES + 2 * KV_KEY_MAX_BYTES,
};

enum merge_flags { FLAG_LAST_OF_RUN = 1 << 0, FLAGS_KNOWN = FLAG_LAST_OF_RUN };

static const char MAGIC[8] = {'k', 'v', 's', 'e', 'g', '\r', '\n', '\x1a'};

static void put_log(uint8_t *out, const struct kv_header *header)
{
    kv_store_u64(out + 64, header->log.base_lsn);
    kv_store_u64(out + 72, header->log.previous_digest);
    kv_store_u64(out + 80, header->log.previous_end_lsn);
    kv_store_u64(out + 88, header->log.copied_seq);
    kv_store_u32(out + 96, header->log.record_limit);
}

static void put_merge(uint8_t *out, const struct kv_header *header)
{
    kv_store_u64(out + 64, header->merge.end_bytes);
    kv_store_u64(out + 72, header->merge.digest);
    kv_store_u64(out + 80, header->merge.first_lsn);
    kv_store_u64(out + 88, header->merge.last_lsn);
    kv_store_u32(out + 96, header->merge.record_count);
    kv_store_u32(out + 100, header->merge.last_of_run ? FLAG_LAST_OF_RUN : 0);
    kv_store_u32(out + 104, header->merge.interval_bytes);
}

static void put_pending(uint8_t *out, const struct kv_header *header)
{
    kv_store_u64(out + 112, header->pending.group);
    kv_store_u32(out + 120, header->pending.ordinal);
}

void kv_header_encode(uint8_t out[KV_HEADER_BYTES], const struct kv_header *header)
{
    memset(out, 0, KV_HEADER_BYTES);
    memcpy(out, MAGIC, sizeof(MAGIC));
    kv_store_u32(out + 8, KV_FORMAT_VERSION);
    kv_store_u32(out + 12, header->role);
    memcpy(out + 16, header->uuid, KV_UUID_BYTES);
    kv_store_u64(out + 32, header->number);
    kv_store_u64(out + 40, header->salt);
    kv_store_u64(out + 48, header->base_seq);
    kv_store_u64(out + 56, header->time_ms);
    switch (header->role) {
    case KV_ROLE_LOG: put_log(out, header); break;
    case KV_ROLE_MERGE: put_merge(out, header); break;
    case KV_ROLE_PENDING: put_pending(out, header); break;
    }
    kv_store_u64(out + CHECKSUM_AT, kv_hash(kv_slice_of(out, CHECKSUM_AT), header->number));

    /* What is written must be what is accepted. */
    struct kv_header again;
    assert(kv_header_decode(kv_slice_of(out, KV_HEADER_BYTES), &again) == KV_OK);
    (void)again;
}

static enum kv_status get_log(const uint8_t *bytes, struct kv_header *out)
{
    out->log.base_lsn = kv_load_u64(bytes + 64);
    out->log.previous_digest = kv_load_u64(bytes + 72);
    out->log.previous_end_lsn = kv_load_u64(bytes + 80);
    out->log.copied_seq = kv_load_u64(bytes + 88);
    out->log.record_limit = kv_load_u32(bytes + 96);
    if (out->log.record_limit == 0 || out->log.record_limit > KV_LOG_RECORD_LIMIT)
        return KV_CORRUPT;
    /* The log's LSNs must not wrap around. */
    return out->log.base_lsn > UINT64_MAX - KV_SEGMENT_MAX_BYTES ? KV_CORRUPT : KV_OK;
}

static enum kv_status get_merge(const uint8_t *bytes, struct kv_header *out)
{
    uint32_t flags = kv_load_u32(bytes + 100);

    out->merge.end_bytes = kv_load_u64(bytes + 64);
    out->merge.digest = kv_load_u64(bytes + 72);
    out->merge.first_lsn = kv_load_u64(bytes + 80);
    out->merge.last_lsn = kv_load_u64(bytes + 88);
    out->merge.record_count = kv_load_u32(bytes + 96);
    out->merge.last_of_run = flags & FLAG_LAST_OF_RUN;
    out->merge.interval_bytes = kv_load_u32(bytes + 104);
    if (flags & ~(uint32_t)FLAGS_KNOWN)
        return KV_NEWER;
    if (out->merge.end_bytes < KV_HEADER_BYTES || out->merge.end_bytes > KV_SEGMENT_MAX_BYTES ||
        out->merge.first_lsn > out->merge.last_lsn)
        return KV_CORRUPT;
    return out->merge.interval_bytes < INTERVAL_HEAD_BYTES ||
                   out->merge.interval_bytes > INTERVAL_MAX_BYTES
               ? KV_CORRUPT
               : KV_OK;
}

static enum kv_status get_pending(const uint8_t *bytes, struct kv_header *out)
{
    out->pending.group = kv_load_u64(bytes + 112);
    out->pending.ordinal = kv_load_u32(bytes + 120);
    return out->pending.group ? KV_OK : KV_CORRUPT;
}

enum kv_status kv_header_decode(struct kv_slice bytes, struct kv_header *out)
{
    *out = (struct kv_header){0};
    if (bytes.size < KV_HEADER_BYTES || memcmp(bytes.data, MAGIC, sizeof(MAGIC)) != 0)
        return KV_CORRUPT;

    uint32_t version = kv_load_u32(bytes.data + 8);
    uint32_t role = kv_load_u32(bytes.data + 12);
    out->number = kv_load_u64(bytes.data + 32);
    if (kv_hash(kv_slice_of(bytes.data, CHECKSUM_AT), out->number) !=
        kv_load_u64(bytes.data + CHECKSUM_AT))
        return KV_CORRUPT;
    if (version > KV_FORMAT_VERSION)
        return KV_NEWER;
    if (version == 0)
        return KV_CORRUPT;

    memcpy(out->uuid, bytes.data + 16, KV_UUID_BYTES);
    out->salt = kv_load_u64(bytes.data + 40);
    out->base_seq = kv_load_u64(bytes.data + 48);
    out->time_ms = kv_load_u64(bytes.data + 56);
    out->role = (enum kv_segment_role)role;
    switch (role) {
    case KV_ROLE_LOG: return get_log(bytes.data, out);
    case KV_ROLE_MERGE: return get_merge(bytes.data, out);
    case KV_ROLE_PENDING: return get_pending(bytes.data, out);
    default: return KV_CORRUPT;
    }
}
