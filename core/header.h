/*
 * The header of a segment file: its first 4096 bytes.
 *
 *   offset  field
 *   0       magic "kvseg\r\n\x1a"
 *   8       format version u32 (KV_FORMAT_VERSION)
 *   12      role u32: log, merge output, pending
 *   16      store uuid, 16 bytes
 *   32      number u64
 *   40      salt u64, random; seeds the checksums of records
 *   48      base_seq u64: seqs in records are relative to it
 *   56      creation time_ms u64
 *   64      log: base_lsn u64           merge: end_bytes u64
 *   72      log: previous_digest u64    merge: digest u64
 *   80      log: previous_end_lsn u64   merge: first_lsn u64
 *   88      log: copied_seq u64         merge: last_lsn u64
 *   96      log: record_limit u32       merge: record_count u32
 *   100     zero u32                    merge: flags u32 (1: last of its run)
 *   104     zero                        merge: interval_bytes u32
 *   112     pending: group u64
 *   120     pending: ordinal u32
 *   124     zero …
 *   4088    checksum u64: XXH3-64 over bytes 0 … 4087, seeded with `number`
 *
 * A merge output's key interval stands behind its records, at `end_bytes`:
 *   checksum u32 (over the rest, seeded with salt ^ end_bytes),
 *   low_size u32, high_size u32, low, high.
 * It covers keys > low (all from the start, if low is empty) and <= high (all,
 * for the last segment of a run). Its header is written last, after
 * everything else is durable; until then the page is zeros.
 *
 * VALID: magic, checksum and every limit. A version greater than
 * KV_FORMAT_VERSION with a good checksum is KV_NEWER.
 */
#ifndef KV_HEADER_H
#define KV_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "slice.h"
#include "status.h"

enum {
    KV_FORMAT_VERSION = 1,
    KV_HEADER_BYTES = 4096, /* records start here */
    KV_UUID_BYTES = 16,
    KV_LOG_RECORD_LIMIT = 1 << 19,
};

/* Files stay below 4 GiB, so that an offset fits 32 bits. */
#define KV_SEGMENT_MAX_BYTES 0xfffff000u

enum kv_segment_role { KV_ROLE_LOG = 1, KV_ROLE_MERGE = 2, KV_ROLE_PENDING = 3 };

struct kv_header {
    enum kv_segment_role role;
    uint8_t uuid[KV_UUID_BYTES];
    uint64_t number;
    uint64_t salt;
    uint64_t base_seq;
    uint64_t time_ms;
    struct {
        uint64_t base_lsn;        /* LSN of the byte at KV_HEADER_BYTES */
        uint64_t previous_digest; /* of the COMMIT before this log; 0: none */
        uint64_t
            previous_end_lsn; /* where the last log that was not replaced as a whole was sealed */
        uint64_t copied_seq;  /* last seq copied here by failover; 0: none */
        uint32_t record_limit;
    } log;
    struct {
        uint64_t end_bytes; /* where its records end */
        uint64_t digest;
        uint64_t first_lsn; /* the LSN interval of the logs that it summarises */
        uint64_t last_lsn;
        uint32_t record_count;
        uint32_t interval_bytes;
        bool last_of_run;
    } merge;
    struct {
        uint64_t group;
        uint32_t ordinal;
    } pending;
};

void kv_header_encode(uint8_t out[KV_HEADER_BYTES], const struct kv_header *header);

/* KV_OK, KV_CORRUPT or KV_NEWER; sets no message. `bytes` may be shorter than a header (KV_CORRUPT). */
enum kv_status kv_header_decode(struct kv_slice bytes, struct kv_header *out) KV_WARN_UNUSED;

#endif
