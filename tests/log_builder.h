/*
 * Logs made byte by byte, as they should be or not, and scanned: for the tests
 * of what counts in a log. And logs made as the engine does.
 */
#ifndef KV_TESTS_LOG_BUILDER_H
#define KV_TESTS_LOG_BUILDER_H

#include "log_scan.h"
#include "segment_fixture.h"
#include "write_set.h"

enum {
    BUILT_NUMBER = 7,
    BUILT_SALT = 0x5a17,
    BUILT_BASE_SEQ = 40,
    BUILT_BASE_LSN = 1 << 20,
    BUILT_TIME_MS = 1700000, /* of a commit: this and the seq before it */
    BUILT_RECORD_LIMIT = 64,
    BUILT_SMALL_COUNT = 4, /* transactions of log_builder_small */
};

/* A log as it grows. */
struct log_builder {
    struct kv_header header;
    struct kv_record_place place;
    struct kv_buffer bytes;  /* the file; owned */
    struct kv_log_tail tail; /* as scanning should find it */
    uint64_t records_digest; /* over what was added since the last COMMIT */
    uint32_t open_count;
    uint64_t durable_lsn, nonce; /* what the next COMMIT says */
};

/* Start an empty log, whatever `log` was; its bytes are released with kv_buffer_release. */
void log_builder_begin(struct log_builder *log);
void log_builder_write_header(struct log_builder *log); /* anew, after a change of log->header */
uint64_t log_builder_lsn(uint64_t offset_bytes);

/* Append the record of one write of the open transaction. */
void log_builder_add(struct log_builder *log, enum kv_kind kind, const char *key, size_t row_size);

/* The COMMIT that belongs to the open transaction; append one and believe it; both. */
struct kv_commit log_builder_next_commit(const struct log_builder *log);
void log_builder_append_commit(struct log_builder *log, const struct kv_commit *commit);
void log_builder_commit(struct log_builder *log);

/* The END that belongs to the tail; append one, wherever the bytes end. */
struct kv_end log_builder_next_end(const struct log_builder *log);
void log_builder_append_end(struct log_builder *log, const struct kv_end *end);

/* Cut what comes after the last transaction that counts, as if nothing had been added. */
void log_builder_cut(struct log_builder *log);

/* Change a byte of the record at an offset and repair its checksum. */
void log_builder_reseal(struct log_builder *log, size_t offset_bytes, size_t size, size_t at,
                        uint8_t value);

/* What COMMITs say was durable: all before them, or nothing. */
enum claims { CLAIM_ALL, CLAIM_NOTHING };

/* Four transactions of all sorts; `ends` (may be NULL) gets the tail after 0 … 4 of them. */
void log_builder_small(struct log_builder *log, enum claims claims, struct kv_log_tail *ends);

/* ---- Scanning them */

struct scanned {
    struct kv_log *log; /* a reference */
    struct kv_log_scan scan;
    enum kv_status st;
};

/*
 * Open and scan these bytes as the log's file. They are scanned in a block of
 * their size, so that ASan traps any read past the end.
 */
struct scanned scan_bytes(struct fixture *fixture, struct kv_slice bytes, uint64_t start_lsn);
struct scanned scan_log(struct fixture *fixture, const struct log_builder *log);
void scanned_release(struct scanned *result);

/* The scan found just what ends at `tail`, and indexed just that. */
void scanned_check_tail(const struct scanned *result, const struct kv_log_tail *tail);
void scanned_check_durable(const struct scanned *result, const struct kv_log_tail *tail);

/* It failed so, and said where: the file, and this offset. */
void scanned_check_failed(const struct scanned *result, enum kv_status st, uint32_t offset_bytes);

/* ---- Logs made by the engine */

/* Create a log; its LSNs start at 1 MiB times its number. */
struct kv_log *live_log_new(struct fixture *fixture, uint64_t number, uint64_t base_seq);

/* Start the next transaction of a log. */
struct kv_write_set *live_log_begin(struct kv_log *log);

/* Add a write to it; hashes are the store's. */
void live_log_put(struct kv_write_set *set, struct kv_slice key, struct kv_slice row);
void live_log_delete(struct kv_write_set *set, struct kv_slice key);

/* Commit, publish and free it. */
void live_log_commit(struct kv_write_set *set, uint64_t time_ms);

/* Open a log once more, as after a crash, and scan it into `*scan`. */
struct kv_log *live_log_reopen(const struct kv_log *log, struct kv_log_scan *scan);

#endif
