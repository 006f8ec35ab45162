/* Logs made byte by byte (log_builder.h). */
#include "log_builder.h"

#include <stdio.h>

#include "hash.h"
#include "runner.h"

/* ---- Making logs */

void log_builder_write_header(struct log_builder *log)
{
    kv_header_encode(log->bytes.data, &log->header);
}

void log_builder_begin(struct log_builder *log)
{
    *log = (struct log_builder){
        .header = {.role = KV_ROLE_LOG,
                   .number = BUILT_NUMBER,
                   .salt = BUILT_SALT,
                   .base_seq = BUILT_BASE_SEQ,
                   .log = {.base_lsn = BUILT_BASE_LSN,
                           .previous_digest = 0xd1ce,
                           .record_limit = BUILT_RECORD_LIMIT}},
        .place = {.salt = BUILT_SALT, .base_seq = BUILT_BASE_SEQ},
        .tail = {.end_bytes = KV_HEADER_BYTES, .seq = BUILT_BASE_SEQ, .digest = 0xd1ce},
        .records_digest = 0xd1ce,
        .durable_lsn = BUILT_BASE_LSN,
        .nonce = 1};
    memset(log->header.uuid, 'u', KV_UUID_BYTES);
    kv_buffer_reserve(&log->bytes, KV_HEADER_BYTES);
    log->bytes.size = KV_HEADER_BYTES;
    log_builder_write_header(log);
}

uint64_t log_builder_lsn(uint64_t offset_bytes)
{
    return BUILT_BASE_LSN + offset_bytes - KV_HEADER_BYTES;
}

/* Append the record of one write of the open transaction. */
void log_builder_add(struct log_builder *log, enum kv_kind kind, const char *key, size_t row_size)
{
    uint8_t row[4096];
    struct kv_record record = {.kind = kind,
                               .seq = log->tail.seq + 1,
                               .key = kv_slice_text(key),
                               .row = kv_slice_of(row, row_size)};
    size_t size = kv_record_size(&log->place, &record);

    memset(row, 'r', sizeof(row));
    kv_record_encode(kv_buffer_reserve(&log->bytes, size), &log->place, log->bytes.size, &record);
    log->bytes.size += size;
    log->records_digest = kv_digest_add(log->records_digest, record.checksum);
    log->open_count++;
}

/* The COMMIT that belongs to the open transaction. */
struct kv_commit log_builder_next_commit(const struct log_builder *log)
{
    struct kv_commit commit = {.seq = log->tail.seq + 1,
                               .record_count = log->open_count,
                               .begin_lsn = log_builder_lsn(log->tail.end_bytes),
                               .time_ms = BUILT_TIME_MS + log->tail.seq,
                               .durable_lsn = log->durable_lsn,
                               .nonce = log->nonce};

    commit.digest = kv_commit_digest(&commit, log->records_digest);
    return commit;
}

/* Append a COMMIT and believe it. */
void log_builder_append_commit(struct log_builder *log, const struct kv_commit *commit)
{
    kv_commit_encode(kv_buffer_reserve(&log->bytes, KV_COMMIT_BYTES), log->header.salt,
                     log->bytes.size, commit);
    log->bytes.size += KV_COMMIT_BYTES;
    log->tail.end_bytes = (uint32_t)log->bytes.size;
    log->tail.seq = commit->seq;
    log->tail.digest = log->records_digest = commit->digest;
    log->tail.record_count += log->open_count;
    log->tail.min_time_ms = BUILT_TIME_MS + BUILT_BASE_SEQ;
    log->tail.max_time_ms = commit->time_ms;
    log->open_count = 0;
}

void log_builder_commit(struct log_builder *log)
{
    struct kv_commit it = log_builder_next_commit(log);

    log_builder_append_commit(log, &it);
}

struct kv_end log_builder_next_end(const struct log_builder *log)
{
    return (struct kv_end){.seq = log->tail.seq,
                           .end_lsn = log_builder_lsn(log->tail.end_bytes),
                           .digest = log->tail.digest};
}

void log_builder_append_end(struct log_builder *log, const struct kv_end *end)
{
    kv_end_encode(kv_buffer_reserve(&log->bytes, KV_END_BYTES), log->header.salt, log->bytes.size,
                  end);
    log->bytes.size += KV_END_BYTES;
}

/* Cut what comes after the last transaction that counts, as if nothing had been added. */
void log_builder_cut(struct log_builder *log)
{
    log->bytes.size = log->tail.end_bytes;
    log->records_digest = log->tail.digest;
    log->open_count = 0;
}

void log_builder_reseal(struct log_builder *log, size_t offset_bytes, size_t size, size_t at,
                        uint8_t value)
{
    uint8_t *record = log->bytes.data + offset_bytes;

    record[at] = value;
    kv_store_u32(record, kv_checksum(record + 4, size - 4, log->header.salt ^ offset_bytes));
}

/* Four transactions of all sorts; `ends` (may be NULL) gets the tail after 0 … 4 of them. */
void log_builder_small(struct log_builder *log, enum claims claims, struct kv_log_tail *ends)
{
    log_builder_begin(log);
    for (int i = 0; i < BUILT_SMALL_COUNT; i++) {
        if (ends)
            ends[i] = log->tail;
        if (claims == CLAIM_ALL)
            log->durable_lsn = log_builder_lsn(log->tail.end_bytes);
        log_builder_add(log, KV_PUT, "same", (size_t)i);
        if (i == 1)
            log_builder_add(log, KV_DELETE, "gone", 0);
        if (i == 2)
            log_builder_add(log, KV_PUT, "long", 300);
        log_builder_commit(log);
    }
    if (ends)
        ends[BUILT_SMALL_COUNT] = log->tail;
}

/* ---- Scanning them */

/*
 * Open and scan these bytes as the log's file. They are scanned in a block of
 * their size, so that ASan traps any read past the end.
 */
struct scanned scan_bytes(struct fixture *fixture, struct kv_slice bytes, uint64_t start_lsn)
{
    struct scanned result;
    uint8_t *block = malloc(bytes.size);
    const uint8_t *mapping;

    ck_assert(kv_memfs_write_file(fixture->fs, fixture_data_path(BUILT_NUMBER), bytes));
    ck_kv_fast(kv_log_open(&fixture->place, BUILT_NUMBER, BUILT_SALT, &result.log));
    memcpy(block, bytes.data, bytes.size);
    mapping = result.log->data;
    result.log->data = block;
    result.st = kv_log_scan(result.log, start_lsn, 0, &result.scan);
    result.log->data = mapping;
    free(block);
    return result;
}

struct scanned scan_log(struct fixture *fixture, const struct log_builder *log)
{
    return scan_bytes(fixture, kv_buffer_slice(&log->bytes), BUILT_BASE_LSN);
}

static bool same_tail(const struct kv_log_tail *a, const struct kv_log_tail *b)
{
    return a->end_bytes == b->end_bytes && a->seq == b->seq && a->digest == b->digest &&
           a->record_count == b->record_count && a->min_time_ms == b->min_time_ms &&
           a->max_time_ms == b->max_time_ms;
}

/* The scan found just what ends at `tail`, and indexed just that. */
void scanned_check_tail(const struct scanned *result, const struct kv_log_tail *tail)
{
    uint32_t count = kv_memtable_count(&result->log->memtable);

    if (result->st != KV_OK)
        ck_abort_msg("%s", kv_message());
    if (!same_tail(&result->log->tail, tail))
        ck_abort_msg("the tail is at %u, not %u", result->log->tail.end_bytes, tail->end_bytes);
    if (count != tail->record_count)
        ck_abort_msg("%u records are indexed, not %u", count, tail->record_count);
    if (atomic_load(&result->log->readable_bytes) != tail->end_bytes)
        ck_abort_msg("readers are let past the tail");
}

void scanned_check_durable(const struct scanned *result, const struct kv_log_tail *tail)
{
    if (!same_tail(&result->scan.durable, tail))
        ck_abort_msg("durable up to %u, not %u", result->scan.durable.end_bytes, tail->end_bytes);
    if (result->scan.durable_lsn != log_builder_lsn(tail->end_bytes))
        ck_abort_msg("durable up to LSN %llu", (unsigned long long)result->scan.durable_lsn);
}

/* It failed so, and said where: the file, and this offset. */
void scanned_check_failed(const struct scanned *result, enum kv_status st, uint32_t offset_bytes)
{
    char place[64];

    snprintf(place, sizeof(place), "offset %u", offset_bytes);
    if (result->st != st || !strstr(kv_message(), fixture_data_path(BUILT_NUMBER)) ||
        !strstr(kv_message(), place))
        ck_abort_msg("%s: %s; expected %s at %s", kv_status_name(result->st), kv_message(),
                     kv_status_name(st), place);
}

void scanned_release(struct scanned *result)
{
    kv_log_unref(result->log);
}

/* ---- Logs made by the engine */

struct kv_log *live_log_new(struct fixture *fixture, uint64_t number, uint64_t base_seq)
{
    struct kv_header header = {.number = number,
                               .salt = number * 77,
                               .base_seq = base_seq,
                               .log = {.base_lsn = number << 20, .previous_digest = number}};
    struct kv_log *log;

    memcpy(header.uuid, fixture->place.uuid, KV_UUID_BYTES);
    ck_kv_fast(kv_log_create(&fixture->place, &header, false, &log));
    return log;
}

struct kv_write_set *live_log_begin(struct kv_log *log)
{
    struct kv_write_set *set;

    ck_kv_fast(kv_write_set_new(log, log->tail.seq + 1, &set));
    return set;
}

static void live_log_write(struct kv_write_set *set, enum kv_kind kind, struct kv_slice key,
                           struct kv_slice row)
{
    uint64_t hash = kv_hash(key, set->log->place->hash_seed);

    ck_kv_fast(kv_write_set_add(set, kind, hash, key, row));
}

void live_log_put(struct kv_write_set *set, struct kv_slice key, struct kv_slice row)
{
    live_log_write(set, KV_PUT, key, row);
}

void live_log_delete(struct kv_write_set *set, struct kv_slice key)
{
    live_log_write(set, KV_DELETE, key, (struct kv_slice){0});
}

void live_log_commit(struct kv_write_set *set, uint64_t time_ms)
{
    struct kv_commit commit = {.time_ms = time_ms, .nonce = set->seq * 3};

    commit.durable_lsn = kv_log_lsn(set->log, KV_HEADER_BYTES);
    ck_kv_fast(kv_write_set_commit(set, &commit));
    kv_write_set_publish(set, &commit);
    kv_write_set_unref(set);
}

struct kv_log *live_log_reopen(const struct kv_log *log, struct kv_log_scan *scan)
{
    struct kv_log *again;

    ck_kv_fast(kv_log_open(log->place, log->header.number, log->header.salt, &again));
    ck_kv_fast(kv_log_scan(again, log->header.log.base_lsn, 0, scan));
    return again;
}
