/*
 * Writing a merge output (segment_writer.h; format: header.h).
 *
 * Records are encoded into a buffer and written from it a huge page at a time (huge.h), of
 * which the first begins with zeros where the header will be. Space is allocated ahead in steps, so that a full disk shows before
 * much is written, and write-back is started as soon as bytes are out. Every few
 * of them the writer waits until they are on disk: what else wants to be there, a commit
 * perhaps, then never finds a long queue before it. The header comes last: a file that was left
 * unfinished begins with zeros and is no segment.
 */
#include "segment_writer.h"

#include <assert.h>
#include <stdlib.h>

#include "buffer.h"
#include "hash.h"
#include "header.h"
#include "huge.h"
#include "mutant.h"
#include "names.h"
#include "record.h"
#include "segment_rebuild.h"

enum {
    BUFFER_KEEP_BYTES = 2 * KV_HUGE_MAX_BYTES, /* more has held a huge row */
    ALLOCATE_MIN_BYTES = 64 << 10,
    ALLOCATE_MAX_BYTES = 64 << 20,
    SYNC_EVERY_BYTES = 8 << 20,
    INTERVAL_HEAD_BYTES = 12,
    INTERVAL_MAX_BYTES = INTERVAL_HEAD_BYTES + 2 * KV_KEY_MAX_BYTES,
};

struct kv_segment_writer {
    const struct kv_place *place;
    char name[KV_NAME_BYTES];
    struct kv_file *file;
    bool finished;
    struct kv_header header;
    struct kv_record_place record_place;

    struct kv_buffer buffer;  /* encoded, not written yet */
    uint64_t written_bytes;   /* the file up to the buffer: whole huge pages, until the end */
    uint64_t synced_bytes;    /* of them are on disk for sure */
    uint64_t allocated_bytes; /* the file's length */

    struct kv_segment_info info; /* grows with each entry; max_key is the last key */
};

/* ---- Opening and closing */

static enum kv_status create_file(struct kv_segment_writer *writer)
{
    const struct kv_place *place = writer->place;

    return kv_io_file_open(place->dir, writer->name, KV_OPEN_WRITE | KV_OPEN_CREATE | KV_OPEN_EXCL,
                           place->file_mode, &writer->file);
}

/* The header's place, in zeros. */
static enum kv_status begin_buffer(struct kv_segment_writer *writer)
{
    uint8_t *at = kv_buffer_reserve(&writer->buffer, KV_HEADER_BYTES);

    if (!at)
        return kv_fail_nomem();
    memset(at, 0, KV_HEADER_BYTES);
    writer->buffer.size = KV_HEADER_BYTES;
    return KV_OK;
}

enum kv_status kv_segment_writer_open(const struct kv_place *place, uint64_t number,
                                      uint64_t base_seq, struct kv_segment_writer **out)
{
    struct kv_segment_writer *writer;
    enum kv_status st;

    *out = NULL;
    writer = calloc(1, sizeof(*writer));
    if (!writer)
        return kv_fail_nomem();
    writer->place = place;
    kv_name_segment(writer->name, number);
    writer->header = (struct kv_header){.role = KV_ROLE_MERGE,
                                        .number = number,
                                        .base_seq = base_seq,
                                        .time_ms = kv_io_now_ms(place->io)};
    memcpy(writer->header.uuid, place->uuid, KV_UUID_BYTES);
    st = kv_io_random(place->io, &writer->header.salt, sizeof(writer->header.salt));
    if (st == KV_OK)
        st = begin_buffer(writer);
    if (st == KV_OK)
        st = create_file(writer);
    if (st != KV_OK) {
        kv_segment_writer_close(writer);
        return st;
    }
    writer->record_place =
        (struct kv_record_place){.salt = writer->header.salt, .base_seq = base_seq};
    writer->info = (struct kv_segment_info){
        .number = number, .salt = writer->header.salt, .min_seq = UINT64_MAX};
    *out = writer;
    return KV_OK;
}

void kv_segment_writer_close(struct kv_segment_writer *writer)
{
    if (!writer)
        return;
    /* The index comes last and leaves nothing behind when it fails. */
    if (writer->file && !writer->finished)
        kv_place_remove_segment(writer->place, writer->header.number);
    kv_io_file_close(writer->file);
    kv_buffer_release(&writer->buffer);
    kv_segment_info_release(&writer->info);
    free(writer);
}

uint64_t kv_segment_writer_end_bytes(const struct kv_segment_writer *writer)
{
    return writer->written_bytes + writer->buffer.size;
}

uint64_t kv_segment_writer_record_count(const struct kv_segment_writer *writer)
{
    return writer->info.record_count;
}

/* ---- Appending */

/* Make sure that the file reaches `end_bytes`: by a quarter more each time, within limits. */
static enum kv_status allocate(struct kv_segment_writer *writer, uint64_t end_bytes)
{
    uint64_t step = end_bytes / 4;
    enum kv_status st;

    if (end_bytes <= writer->allocated_bytes)
        return KV_OK;
    step = step < ALLOCATE_MIN_BYTES ? ALLOCATE_MIN_BYTES : step;
    end_bytes += step > ALLOCATE_MAX_BYTES ? ALLOCATE_MAX_BYTES : step;
    st = kv_io_allocate(writer->file, writer->allocated_bytes, end_bytes - writer->allocated_bytes);
    if (st == KV_OK)
        writer->allocated_bytes = end_bytes;
    return st;
}

static enum kv_status sync_written(struct kv_segment_writer *writer)
{
    writer->synced_bytes = writer->written_bytes;
    return KV_UNLESS_MUTANT(merge_body_without_sync, kv_io_sync(writer->file));
}

/* What has been written leaves the buffer. */
static enum kv_status drop_written(struct kv_buffer *buffer, size_t size)
{
    struct kv_buffer rest = {0};
    enum kv_status st;

    if (buffer->capacity <= BUFFER_KEEP_BYTES) {
        memmove(buffer->data, buffer->data + size, buffer->size - size);
        buffer->size -= size;
        return KV_OK;
    }
    st = kv_buffer_append(&rest, kv_slice_of(buffer->data + size, buffer->size - size));
    if (st != KV_OK)
        return st;
    kv_buffer_release(buffer);
    *buffer = rest;
    return KV_OK;
}

/* Write the first `size` bytes of the buffer. */
static enum kv_status flush(struct kv_segment_writer *writer, size_t size)
{
    uint64_t at = writer->written_bytes;
    enum kv_status st;

    if (size == 0)
        return KV_OK;
    st = allocate(writer, at + size);
    if (st == KV_OK)
        st = kv_io_write(writer->file, at, writer->buffer.data, size);
    if (st == KV_OK)
        st = drop_written(&writer->buffer, size);
    if (st != KV_OK)
        return st;
    writer->written_bytes += size;
    st = kv_io_write_back(writer->file, at, size);
    if (st == KV_OK && writer->written_bytes >= writer->synced_bytes + SYNC_EVERY_BYTES)
        st = sync_written(writer);
    return st;
}

/* Entries come from files, so their order is checked, not asserted. */
static enum kv_status take_key(struct kv_segment_writer *writer, struct kv_slice key)
{
    struct kv_segment_info *info = &writer->info;

    if (kv_slice_compare(key, kv_buffer_slice(&info->max_key)) <= 0)
        return kv_fail(KV_CORRUPT, "%s/%s: the entries to merge are out of order",
                       writer->place->path, writer->name);
    if (info->record_count == 0 && kv_buffer_set(&info->min_key, key) != KV_OK)
        return kv_fail_nomem();
    return kv_buffer_set(&info->max_key, key) == KV_OK ? KV_OK : kv_fail_nomem();
}

static enum kv_status encode(struct kv_segment_writer *writer, struct kv_record *record)
{
    size_t size = kv_record_size(&writer->record_place, record);
    uint8_t *at;

    if (kv_segment_writer_end_bytes(writer) + size + INTERVAL_MAX_BYTES > KV_SEGMENT_MAX_BYTES)
        return kv_fail(KV_TOOBIG, "%s/%s: a record of %zu bytes does not fit below 4 GiB",
                       writer->place->path, writer->name, size);
    at = kv_buffer_reserve(&writer->buffer, size);
    if (!at)
        return kv_fail_nomem();
    kv_record_encode(at, &writer->record_place, kv_segment_writer_end_bytes(writer), record);
    writer->buffer.size += size;
    size = writer->buffer.size;
    return flush(writer, size - size % kv_huge_bytes(writer->place->io));
}

static void count(struct kv_segment_info *info, const struct kv_record *record)
{
    info->digest = kv_digest_add(info->digest, record->checksum);
    info->record_count++;
    info->tombstone_count += record->kind == KV_DELETE;
    info->entry_bytes += record->size_bytes;
    if (record->seq < info->min_seq)
        info->min_seq = record->seq;
    if (record->seq > info->max_seq)
        info->max_seq = record->seq;
}

enum kv_status kv_segment_writer_append(struct kv_segment_writer *writer,
                                        const struct kv_entry *entry)
{
    struct kv_record record = {.kind = entry->deleted ? KV_DELETE : KV_PUT,
                               .seq = entry->seq,
                               .key = entry->key,
                               .row = entry->row};
    enum kv_status st;

    assert(entry->seq >= writer->record_place.base_seq);
    st = take_key(writer, entry->key);
    if (st == KV_OK)
        st = encode(writer, &record);
    if (st == KV_OK)
        count(&writer->info, &record);
    return st;
}

/* ---- Finishing */

static enum kv_status append_interval(struct kv_segment_writer *writer, struct kv_slice low)
{
    struct kv_slice high = kv_buffer_slice(&writer->info.max_key);
    size_t size = INTERVAL_HEAD_BYTES + low.size + high.size;
    uint8_t *at = kv_buffer_reserve(&writer->buffer, size);

    if (!at)
        return kv_fail_nomem();
    kv_store_u32(at + 4, (uint32_t)low.size);
    kv_store_u32(at + 8, (uint32_t)high.size);
    if (low.size)
        memcpy(at + INTERVAL_HEAD_BYTES, low.data, low.size);
    memcpy(at + INTERVAL_HEAD_BYTES + low.size, high.data, high.size);
    kv_store_u32(at, kv_checksum(at + 4, size - 4, writer->header.salt ^ writer->info.end_bytes));
    writer->buffer.size += size;
    writer->header.merge.interval_bytes = (uint32_t)size;
    return KV_OK;
}

/* All but the header: records and interval, cut to size, durable. */
static enum kv_status write_body(struct kv_segment_writer *writer, struct kv_slice low)
{
    enum kv_status st;

    writer->info.end_bytes = kv_segment_writer_end_bytes(writer);
    st = append_interval(writer, low);
    if (st == KV_OK)
        st = flush(writer, writer->buffer.size);
    if (st == KV_OK)
        st = kv_io_truncate(writer->file, writer->written_bytes);
    return st == KV_OK ? sync_written(writer) : st;
}

static enum kv_status write_header(struct kv_segment_writer *writer)
{
    uint8_t page[KV_HEADER_BYTES];
    const struct kv_segment_info *info = &writer->info;
    enum kv_status st;

    writer->header.merge.end_bytes = info->end_bytes;
    writer->header.merge.digest = info->digest;
    writer->header.merge.first_lsn = info->first_lsn;
    writer->header.merge.last_lsn = info->last_lsn;
    writer->header.merge.record_count = (uint32_t)info->record_count;
    kv_header_encode(page, &writer->header);
    st = kv_io_write(writer->file, 0, page, sizeof(page));
    return st == KV_OK ? KV_UNLESS_MUTANT(merge_header_without_sync, kv_io_sync(writer->file)) : st;
}

/* From what was written, read once more: so it is verified, and nothing is kept for each record. */
static enum kv_status build_index(struct kv_segment_writer *writer,
                                  const struct kv_interrupt *interrupt)
{
    const struct kv_place *place = writer->place;
    const struct kv_segment_info *info = &writer->info;
    uint8_t *data;
    enum kv_status st = kv_io_map(writer->file, info->end_bytes, false, &data);

    if (st != KV_OK)
        return st;
    st = kv_segment_build_index(place, info, &writer->header,
                                kv_slice_of(data, (size_t)info->end_bytes), interrupt, NULL);
    kv_io_unmap(place->io, data, info->end_bytes);
    return st;
}

enum kv_status kv_segment_writer_finish(struct kv_segment_writer *writer,
                                        const struct kv_segment_writer_summary *summary,
                                        struct kv_segment_info *info)
{
    enum kv_status st;

    assert(writer->info.record_count > 0 && !writer->finished);
    *info = (struct kv_segment_info){0};
    writer->info.entry_count = writer->info.record_count;
    writer->info.first_lsn = summary->first_lsn;
    writer->info.last_lsn = summary->last_lsn;
    writer->info.min_time_ms = summary->min_time_ms;
    writer->info.max_time_ms = summary->max_time_ms;
    writer->header.merge.last_of_run = summary->last_of_run;

    st = write_body(writer, summary->low);
    if (st == KV_OK)
        st = write_header(writer);
    if (st == KV_OK)
        st = build_index(writer, summary->interrupt);
    if (st != KV_OK)
        return st;
    writer->finished = true;
    *info = writer->info; /* ownership moved */
    writer->info = (struct kv_segment_info){0};
    return KV_OK;
}
