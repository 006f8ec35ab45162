/*
 * The bytes of MANIFEST. All numbers are little-endian; "v" is a varint. Every
 * field has one encoding, so a manifest has one: decoding and encoding again
 * gives the same bytes.
 *
 *   offset  size  field
 *   0       8     magic "kvman\r\n\x1a"
 *   8       4     format version (KV_FORMAT_VERSION)
 *   12      8     compatible feature bits: unknown ones are kept
 *   20      8     incompatible feature bits: unknown ones are KV_NEWER
 *   28      8     size of the body
 *   36            body
 *   end-8   8     checksum: XXH3-64 over everything before it
 *
 *   body          uuid 16, lineage u64, flags u8 (1: is a backup, 2: a sealed log has
 *                 no index), hash_seed u64, generation v, next_number v, last_seq v, schema bytes
 *    active log   number v, salt u64, base_lsn v, previous_digest u64, start_lsn v
 *    unindexed    that log, as in segments, if there is one
 *    totals       last_merge_id v, compaction_count v, log_bytes_written v,
 *                 merge_bytes_written v
 *    runs         count v; each, newest first: tier u8, flags u8 (1: has low),
 *                 merge_id v, low bytes if it has it, segments
 *    groups       count v; each: id v, digest u64, commit_lsn v, segments
 *
 *   segments      count v; each segment: number v, salt u64, end_bytes v, digest u64,
 *                 record_count v, entry_count v, tombstone_count v, entry_bytes v,
 *                 dead_bytes v, min_seq v, max_seq v, min_time_ms v, max_time_ms v,
 *                 first_lsn v, last_lsn v, min_key bytes, max_key bytes
 *   bytes         size v, then so many bytes
 *
 * Reading trusts nothing: a count is refused unless the bytes left could hold
 * as many items, so memory stays in proportion to the file. What the fields
 * say is judged afterwards, by kv_manifest_check.
 */
#include <stdlib.h>

#include "bytes.h"
#include "hash.h"
#include "manifest.h"
#include "mutant.h"

static const uint8_t magic[8] = {'k', 'v', 'm', 'a', 'n', '\r', '\n', 0x1a};

enum { HEAD_BYTES = 36, BODY_SIZE_OFFSET = 28, CHECKSUM_BYTES = 8 };

/* The least that an item can take, all varints being one byte and all keys empty. */
enum {
    SEGMENT_MIN_BYTES = 2 * 8 + 15,
    RUN_MIN_BYTES = 4 + SEGMENT_MIN_BYTES,
    GROUP_MIN_BYTES = 8 + 3 + SEGMENT_MIN_BYTES,
};

enum { MANIFEST_IS_BACKUP = 1, MANIFEST_HAS_UNINDEXED = 2 };
enum { RUN_HAS_LOW = 1 };

/* ---- Encoding */

/* Appends until memory or the limit runs out; from then on `st` says so and nothing is appended. */
struct writer {
    struct kv_buffer *out;
    size_t start;
    enum kv_status st;
};

static void put_bytes(struct writer *writer, const void *data, size_t size)
{
    if (writer->st != KV_OK)
        return;
    if (size > KV_MANIFEST_MAX_BYTES - (writer->out->size - writer->start))
        writer->st = kv_fail(KV_TOOBIG, "the manifest would exceed %d bytes; run kv_compact()",
                             KV_MANIFEST_MAX_BYTES);
    else
        writer->st = kv_buffer_append(writer->out, kv_slice_of(data, size));
}

static void put_u8(struct writer *writer, uint8_t value)
{
    put_bytes(writer, &value, sizeof(value));
}

static void put_u32(struct writer *writer, uint32_t value)
{
    put_bytes(writer, &value, sizeof(value));
}

static void put_u64(struct writer *writer, uint64_t value)
{
    put_bytes(writer, &value, sizeof(value));
}

static void put_varint(struct writer *writer, uint64_t value)
{
    uint8_t bytes[KV_VARINT_MAX_BYTES];

    put_bytes(writer, bytes, (size_t)(kv_varint_put(bytes, value) - bytes));
}

static void put_buffer(struct writer *writer, const struct kv_buffer *buffer)
{
    put_varint(writer, buffer->size);
    put_bytes(writer, buffer->data, buffer->size);
}

static void put_segment(struct writer *writer, const struct kv_segment_info *info)
{
    put_varint(writer, info->number);
    put_u64(writer, info->salt);
    put_varint(writer, info->end_bytes);
    put_u64(writer, info->digest);
    put_varint(writer, info->record_count);
    put_varint(writer, info->entry_count);
    put_varint(writer, info->tombstone_count);
    put_varint(writer, info->entry_bytes);
    put_varint(writer, info->dead_bytes);
    put_varint(writer, info->min_seq);
    put_varint(writer, info->max_seq);
    put_varint(writer, info->min_time_ms);
    put_varint(writer, info->max_time_ms);
    put_varint(writer, info->first_lsn);
    put_varint(writer, info->last_lsn);
    put_buffer(writer, &info->min_key);
    put_buffer(writer, &info->max_key);
}

static void put_segments(struct writer *writer, const struct kv_segment_info *segments,
                         size_t count)
{
    put_varint(writer, count);
    for (size_t i = 0; i < count; i++)
        put_segment(writer, &segments[i]);
}

static void put_runs(struct writer *writer, const struct kv_manifest *manifest)
{
    put_varint(writer, manifest->run_count);
    for (size_t i = 0; i < manifest->run_count; i++) {
        const struct kv_run *run = &manifest->runs[i];

        put_u8(writer, (uint8_t)run->tier);
        put_u8(writer, run->has_low ? RUN_HAS_LOW : 0);
        put_varint(writer, run->merge_id);
        if (run->has_low)
            put_buffer(writer, &run->low);
        put_segments(writer, run->segments, run->segment_count);
    }
}

static void put_groups(struct writer *writer, const struct kv_manifest *manifest)
{
    put_varint(writer, manifest->group_count);
    for (size_t i = 0; i < manifest->group_count; i++) {
        const struct kv_pending_group *group = &manifest->groups[i];

        put_varint(writer, group->id);
        put_u64(writer, group->digest);
        put_varint(writer, group->commit_lsn);
        put_segments(writer, group->segments, group->segment_count);
    }
}

static void put_body(struct writer *writer, const struct kv_manifest *manifest)
{
    put_bytes(writer, manifest->uuid, sizeof(manifest->uuid));
    put_u64(writer, manifest->lineage);
    put_u8(writer, (uint8_t)((manifest->is_backup ? MANIFEST_IS_BACKUP : 0) |
                             (kv_manifest_has_unindexed(manifest) ? MANIFEST_HAS_UNINDEXED : 0)));
    put_u64(writer, manifest->hash_seed);
    put_varint(writer, manifest->generation);
    put_varint(writer, manifest->next_number);
    put_varint(writer, manifest->last_seq);
    put_buffer(writer, &manifest->schema);

    put_varint(writer, manifest->active.number);
    put_u64(writer, manifest->active.salt);
    put_varint(writer, manifest->active.base_lsn);
    put_u64(writer, manifest->active.previous_digest);
    put_varint(writer, manifest->active.start_lsn);

    if (kv_manifest_has_unindexed(manifest))
        put_segment(writer, &manifest->unindexed);
    put_varint(writer, manifest->last_merge_id);
    put_varint(writer, manifest->compaction_count);
    put_varint(writer, manifest->log_bytes_written);
    put_varint(writer, manifest->merge_bytes_written);

    put_runs(writer, manifest);
    put_groups(writer, manifest);
}

static void put_head(struct writer *writer, const struct kv_manifest *manifest)
{
    put_bytes(writer, magic, sizeof(magic));
    put_u32(writer, KV_FORMAT_VERSION);
    put_u64(writer, manifest->compatible_features);
    put_u64(writer, 0); /* this version knows no incompatible feature */
    put_u64(writer, 0); /* the body's size, when it is known */
}

/* What is known only when the body is there. */
static void put_tail(struct writer *writer)
{
    uint8_t *file = writer->out->data + writer->start;
    size_t size = writer->out->size - writer->start;

    if (writer->st != KV_OK)
        return;
    kv_store_u64(file + BODY_SIZE_OFFSET, size - HEAD_BYTES);
    put_u64(writer, kv_hash(kv_slice_of(file, size), 0));
}

enum kv_status kv_manifest_encode(const struct kv_manifest *manifest, struct kv_buffer *out)
{
    struct writer writer = {.out = out, .start = out->size};
    enum kv_status st;

    if (kv_manifest_segment_count(manifest) > KV_SEGMENT_COUNT_MAX)
        return kv_fail(KV_TOOBIG, "the store would have more than %d segments; run kv_compact()",
                       KV_SEGMENT_COUNT_MAX);
    st = kv_manifest_check(manifest);
    if (st == KV_CORRUPT)
        return kv_fail_in(st, "the new manifest would not be valid");
    if (st != KV_OK)
        return st;

    put_head(&writer, manifest);
    put_body(&writer, manifest);
    put_tail(&writer);
    if (writer.st != KV_OK)
        out->size = writer.start;
    return writer.st;
}

/* ---- Decoding. Functions return KV_OK or KV_NOMEM; malformed bytes set `failed` of the reader. */

/* A number of items of at least `item_min_bytes` each, which are still to come. */
static size_t read_count(struct kv_reader *reader, size_t item_min_bytes)
{
    uint64_t count = kv_read_varint(reader);

    if (count <= kv_reader_left(reader) / item_min_bytes)
        return (size_t)count;
    reader->failed = true;
    return 0;
}

/* A set of flags of which only those in `known` may be set. */
static uint8_t read_flags(struct kv_reader *reader, uint8_t known)
{
    uint8_t flags = kv_read_u8(reader);

    if (flags & ~known)
        reader->failed = true;
    return flags;
}

static enum kv_status read_buffer(struct kv_reader *reader, struct kv_buffer *out)
{
    uint64_t size = kv_read_varint(reader);

    return kv_buffer_set(out, kv_read_bytes(reader, size));
}

static enum kv_status read_segment(struct kv_reader *reader, struct kv_segment_info *out)
{
    out->number = kv_read_varint(reader);
    out->salt = kv_read_u64(reader);
    out->end_bytes = kv_read_varint(reader);
    out->digest = kv_read_u64(reader);
    out->record_count = kv_read_varint(reader);
    out->entry_count = kv_read_varint(reader);
    out->tombstone_count = kv_read_varint(reader);
    out->entry_bytes = kv_read_varint(reader);
    out->dead_bytes = kv_read_varint(reader);
    out->min_seq = kv_read_varint(reader);
    out->max_seq = kv_read_varint(reader);
    out->min_time_ms = kv_read_varint(reader);
    out->max_time_ms = kv_read_varint(reader);
    out->first_lsn = kv_read_varint(reader);
    out->last_lsn = kv_read_varint(reader);
    if (read_buffer(reader, &out->min_key) != KV_OK)
        return KV_NOMEM;
    return read_buffer(reader, &out->max_key);
}

static enum kv_status read_segments(struct kv_reader *reader, struct kv_segment_info **out,
                                    size_t *out_count)
{
    size_t count = read_count(reader, SEGMENT_MIN_BYTES);

    *out = calloc(count ? count : 1, sizeof(**out));
    if (!*out)
        return kv_fail_nomem();
    for (size_t i = 0; i < count && !reader->failed; i++) {
        *out_count = i + 1;
        if (read_segment(reader, &(*out)[i]) != KV_OK)
            return KV_NOMEM;
    }
    return KV_OK;
}

static enum kv_status read_run(struct kv_reader *reader, struct kv_run *out)
{
    out->tier = kv_read_u8(reader);
    out->has_low = read_flags(reader, RUN_HAS_LOW) & RUN_HAS_LOW;
    out->merge_id = kv_read_varint(reader);
    if (out->has_low && read_buffer(reader, &out->low) != KV_OK)
        return KV_NOMEM;
    return read_segments(reader, &out->segments, &out->segment_count);
}

static enum kv_status read_runs(struct kv_reader *reader, struct kv_manifest *out)
{
    size_t count = read_count(reader, RUN_MIN_BYTES);

    out->runs = calloc(count ? count : 1, sizeof(*out->runs));
    if (!out->runs)
        return kv_fail_nomem();
    for (size_t i = 0; i < count && !reader->failed; i++) {
        out->run_count = i + 1;
        if (read_run(reader, &out->runs[i]) != KV_OK)
            return KV_NOMEM;
    }
    return KV_OK;
}

static enum kv_status read_group(struct kv_reader *reader, struct kv_pending_group *out)
{
    out->id = kv_read_varint(reader);
    out->digest = kv_read_u64(reader);
    out->commit_lsn = kv_read_varint(reader);
    return read_segments(reader, &out->segments, &out->segment_count);
}

static enum kv_status read_groups(struct kv_reader *reader, struct kv_manifest *out)
{
    size_t count = read_count(reader, GROUP_MIN_BYTES);

    out->groups = calloc(count ? count : 1, sizeof(*out->groups));
    if (!out->groups)
        return kv_fail_nomem();
    for (size_t i = 0; i < count && !reader->failed; i++) {
        out->group_count = i + 1;
        if (read_group(reader, &out->groups[i]) != KV_OK)
            return KV_NOMEM;
    }
    return KV_OK;
}

static enum kv_status read_body(struct kv_reader *reader, struct kv_manifest *out)
{
    struct kv_slice uuid = kv_read_bytes(reader, sizeof(out->uuid));
    uint8_t flags;

    if (uuid.size == sizeof(out->uuid))
        memcpy(out->uuid, uuid.data, uuid.size);
    out->lineage = kv_read_u64(reader);
    flags = read_flags(reader, MANIFEST_IS_BACKUP | MANIFEST_HAS_UNINDEXED);
    out->is_backup = flags & MANIFEST_IS_BACKUP;
    out->hash_seed = kv_read_u64(reader);
    out->generation = kv_read_varint(reader);
    out->next_number = kv_read_varint(reader);
    out->last_seq = kv_read_varint(reader);
    if (read_buffer(reader, &out->schema) != KV_OK)
        return KV_NOMEM;

    out->active.number = kv_read_varint(reader);
    out->active.salt = kv_read_u64(reader);
    out->active.base_lsn = kv_read_varint(reader);
    out->active.previous_digest = kv_read_u64(reader);
    out->active.start_lsn = kv_read_varint(reader);

    if (flags & MANIFEST_HAS_UNINDEXED) {
        if (read_segment(reader, &out->unindexed) != KV_OK)
            return KV_NOMEM;
        reader->failed |= !kv_manifest_has_unindexed(out); /* number 0 says that there is none */
    }
    out->last_merge_id = kv_read_varint(reader);
    out->compaction_count = kv_read_varint(reader);
    out->log_bytes_written = kv_read_varint(reader);
    out->merge_bytes_written = kv_read_varint(reader);

    if (read_runs(reader, out) != KV_OK)
        return KV_NOMEM;
    return read_groups(reader, out);
}

/* What surrounds the body. `*body` borrows `bytes`. */
static enum kv_status open_envelope(struct kv_slice bytes, struct kv_slice *body,
                                    uint64_t *compatible_features)
{
    struct kv_reader reader = kv_reader_of(bytes);
    struct kv_slice mark = kv_read_bytes(&reader, sizeof(magic));
    uint32_t version = kv_read_u32(&reader);
    uint64_t incompatible_features;
    uint64_t body_bytes;

    *compatible_features = kv_read_u64(&reader);
    incompatible_features = kv_read_u64(&reader);
    body_bytes = kv_read_u64(&reader);
    *body = kv_read_bytes(&reader, body_bytes);
    uint64_t checksum = kv_read_u64(&reader);

    if (!kv_slice_equal(mark, kv_slice_of(magic, sizeof(magic))))
        return kv_fail(KV_CORRUPT, "this is no manifest of sqlite-kv");
    if (reader.failed || kv_reader_left(&reader) > 0)
        return kv_fail(KV_CORRUPT, "%zu bytes are not the size that it states", bytes.size);
    if (checksum != kv_hash(kv_slice_of(bytes.data, bytes.size - CHECKSUM_BYTES), 0) &&
        !KV_MUTANT(manifest_checksum_ignored))
        return kv_fail(KV_CORRUPT, "checksum does not match");
    if (version > KV_FORMAT_VERSION || incompatible_features != 0)
        return kv_fail(KV_NEWER, "made by a newer version of sqlite-kv (format %u)", version);
    if (version == 0)
        return kv_fail(KV_CORRUPT, "format version is 0");
    return KV_OK;
}

enum kv_status kv_manifest_decode(struct kv_slice bytes, struct kv_manifest *out)
{
    struct kv_slice body;
    struct kv_reader reader;
    enum kv_status st;

    *out = (struct kv_manifest){0};
    st = open_envelope(bytes, &body, &out->compatible_features);
    if (st != KV_OK)
        goto out;

    reader = kv_reader_of(body);
    st = read_body(&reader, out);
    if (st == KV_OK && reader.failed)
        st = kv_fail(KV_CORRUPT, "a field is malformed or cut short");
    else if (st == KV_OK && kv_reader_left(&reader) > 0)
        st = kv_fail(KV_CORRUPT, "%zu bytes stand behind its last field", kv_reader_left(&reader));
    if (st == KV_OK)
        st = kv_manifest_check(out);
out:
    if (st != KV_OK)
        kv_manifest_release(out);
    return st;
}
