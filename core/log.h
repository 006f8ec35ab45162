/*
 * A log: the segment file that takes writes, its mapping and its memtable.
 *
 * The file is mapped once, far past its end, so that it grows under readers
 * without a new mapping; nobody reads past the LSN they were given, except
 * the owner of the write transaction. Appending and allocation belong to
 * whoever holds WRITER. Each process indexes the committed part for itself:
 * the writing one when it publishes, the others when they see a newer LSN
 * (log_scan.h), under `index_mutex`; `readable_bytes` says how far that has
 * come. Whoever holds WRITER has caught up, and then nobody else adds.
 *
 * LSN of a byte = base_lsn + its offset - KV_HEADER_BYTES.
 */
#ifndef KV_LOG_H
#define KV_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include "batch_iter.h"
#include "header.h"
#include "iter.h"
#include "memtable.h"
#include "place.h"
#include "record.h"

/* Where the last committed transaction ended. */
struct kv_log_tail {
    uint32_t end_bytes;                /* file offset */
    uint64_t seq;                      /* of the last transaction, in this log or before it */
    uint64_t digest;                   /* of its COMMIT */
    uint32_t record_count;             /* in this log */
    uint64_t min_time_ms, max_time_ms; /* of commits in this log; 0: none */
    uint64_t group, group_digest;      /* the pending group that its first COMMIT names; 0: none */
};

/* A transaction of `count` records follows, whose COMMIT stands at `commit_bytes`. */
static inline void kv_log_tail_advance(struct kv_log_tail *tail, uint32_t commit_bytes,
                                       uint32_t count, const struct kv_commit *commit)
{
    tail->end_bytes = commit_bytes + KV_COMMIT_BYTES;
    tail->seq = commit->seq;
    tail->digest = commit->digest;
    tail->record_count += count;
    if (tail->min_time_ms == 0 || commit->time_ms < tail->min_time_ms)
        tail->min_time_ms = commit->time_ms;
    if (commit->time_ms > tail->max_time_ms)
        tail->max_time_ms = commit->time_ms;
    if (commit->group != 0) {
        tail->group = commit->group;
        tail->group_digest = commit->group_digest;
    }
}

struct kv_log {
    _Atomic uint32_t references;
    pthread_mutex_t index_mutex; /* held by whoever adds to memtable and tail */
    const struct kv_place *place;
    struct kv_header header;
    struct kv_record_place record_place;
    struct kv_file *file;
    const uint8_t *data; /* the mapping */
    uint64_t mapped_bytes;
    struct kv_memtable memtable;
    _Atomic uint32_t
        readable_bytes;          /* the file's records end there at least: nobody reads past it */
    struct kv_log_tail tail;     /* WRITER's */
    uint64_t allocated_bytes;    /* WRITER's: the file's length */
    uint64_t written_back_bytes; /* WRITER's: write-back has been started up to here */
};

/*
 * Create segment_<number>.db as a log with this header, or, if that has the role,
 * as a pending segment, which is written to as a log is. (The role of a log and the record
 * limit are filled in.) With `defer_header` the header's page stays zeros until
 * kv_log_write_header. The header is not synced yet. The caller gets the only
 * reference. Failure leaves no file.
 */
enum kv_status kv_log_create(const struct kv_place *place, const struct kv_header *header,
                             bool defer_header, struct kv_log **out) KV_WARN_UNUSED;
enum kv_status kv_log_write_header(struct kv_log *log) KV_WARN_UNUSED;

/*
 * Open an existing log, for writing unless the place is read-only. The tail
 * is as if nothing had been committed: see recover.h. KV_CORRUPT: its
 * header is not that of segment `number` of this store with this salt.
 * KV_NOTFOUND: no such file.
 */
enum kv_status kv_log_open(const struct kv_place *place, uint64_t number, uint64_t salt,
                           struct kv_log **out) KV_WARN_UNUSED;

struct kv_log *kv_log_ref(struct kv_log *log);
void kv_log_unref(struct kv_log *log); /* NULL is fine */

static inline uint64_t kv_log_lsn(const struct kv_log *log, uint64_t offset_bytes)
{
    return log->header.log.base_lsn + (offset_bytes - KV_HEADER_BYTES);
}

static inline uint64_t kv_log_offset(const struct kv_log *log, uint64_t lsn)
{
    return lsn - log->header.log.base_lsn + KV_HEADER_BYTES;
}

/*
 * Write bytes at an offset at or past the committed end, allocating space
 * ahead in growing steps. KV_FULL: nothing that was there is affected.
 */
enum kv_status kv_log_write(struct kv_log *log, uint64_t offset_bytes, const void *data,
                            size_t size) KV_WARN_UNUSED;

/* Records up to `end_bytes` are committed: let readers look at them. Publishes the tail's bytes. */
static inline void kv_log_show(struct kv_log *log, uint32_t end_bytes)
{
    atomic_store_explicit(&log->readable_bytes, end_bytes, memory_order_release);
}

/* How far this process has indexed the log. */
static inline uint32_t kv_log_readable(const struct kv_log *log)
{
    return atomic_load_explicit(&log->readable_bytes, memory_order_acquire);
}

/* Make everything written durable. After a failure the log's tail is in doubt. */
enum kv_status kv_log_sync(struct kv_log *log) KV_WARN_UNUSED;

/* Give back what was allocated past the committed end, or past `end_bytes` behind it; failure is of no consequence. */
void kv_log_trim(struct kv_log *log);
void kv_log_trim_behind(struct kv_log *log, uint64_t end_bytes);

/*
 * The newest record of `key` that lies before offset `bound_bytes`. KV_DONE;
 * KV_CORRUPT with the file and offset. `*out` borrows the log.
 */
enum kv_status kv_log_get(struct kv_log *log, uint64_t hash, struct kv_slice key,
                          uint32_t bound_bytes, struct kv_entry *out) KV_WARN_UNUSED;

/*
 * Iterators that together give the records before `bound_bytes` in key order,
 * newest first, into `out` (room for KV_BATCH_COUNT_MAX). They hold the log.
 */
enum kv_status kv_log_iters(struct kv_log *log, uint32_t bound_bytes, struct kv_iter **out,
                            size_t *count) KV_WARN_UNUSED;

/* How many records lie before `bound_bytes`. */
uint32_t kv_log_count_before(const struct kv_log *log, uint32_t bound_bytes);

/* Decode and verify the PUT or DELETE at an offset; nothing from `bound_bytes` on is read. */
enum kv_status kv_log_decode(const struct kv_log *log, uint32_t offset_bytes, uint32_t bound_bytes,
                             struct kv_record *out) KV_WARN_UNUSED;

/* The items and where their keys are, for sorting. */
struct kv_item_list kv_log_item_list(const struct kv_log *log);

/* A record as an entry; borrows what the record does. */
static inline void kv_entry_of(struct kv_entry *out, const struct kv_record *record)
{
    *out = (struct kv_entry){.key = record->key,
                             .row = record->row,
                             .seq = record->seq,
                             .size_bytes = record->size_bytes,
                             .deleted = record->kind == KV_DELETE};
}

#endif
