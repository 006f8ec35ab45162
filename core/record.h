/*
 * Records: the items of a segment file.
 *
 *   bytes     field
 *   4         checksum, u32: low half of XXH3-64 over all that follows in the
 *             record, seeded with salt ^ file offset of the record
 *   1         kind; 0 is invalid, so that zeroed space never is a record
 *   1-10      seq - base_seq of the segment's header, varint   (PUT, DELETE)
 *   1-3       key_size, varint                                 (PUT, DELETE)
 *   1-5       row_size, varint                                 (PUT)
 *   key_size  key
 *   row_size  row                                              (PUT)
 *
 * COMMIT and END have a fixed length and a magic number of their own:
 *
 *   offset  COMMIT                          END
 *   0       checksum u32                    checksum u32
 *   4       kind u8                         kind u8
 *   5       magic, 7 bytes                  magic, 7 bytes
 *   12      record_count u32                zero u32
 *   16      seq u64                         seq u64 (last one)
 *   24      begin_lsn u64                   end_lsn u64
 *   32      time_ms u64                     time_ms u64
 *   40      durable_lsn u64                 digest u64
 *   48      group u64                       (48 bytes)
 *   56      group_digest u64
 *   64      nonce u64
 *   72      digest u64
 *           (80 bytes)
 *
 * All numbers are little-endian. VALID: every size is within its limit, the
 * record lies within the bytes given, and the checksum matches; bounds are
 * checked before the checksum is computed. Because of the seed, a record is
 * valid only in the file and at the offset where it was written.
 *
 * Evolution: the high bits of `kind` (KV_KIND_FLAGS) are for optional fields
 * (expiry, compression). With any of them set, one more varint follows
 * row_size: the size of the optional fields, which stand before the key. A kind
 * to come has the shape of a PUT. So every version can find a record's end and
 * verify it; a valid one with a flag or kind unknown to this version is
 * KV_NEWER, never skipped.
 */
#ifndef KV_RECORD_H
#define KV_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "status.h"

enum kv_kind { KV_PUT = 1, KV_DELETE = 2, KV_COMMIT = 3, KV_END = 4 };

enum {
    KV_KIND_FLAGS = 0xf0,
    KV_KEY_MAX_BYTES = 65535,
    KV_ROW_MAX_BYTES = 1000000000,
    KV_COMMIT_BYTES = 80,
    KV_END_BYTES = 48,
    KV_RECORD_HEAD_MAX_BYTES = 4 + 1 + 10 + 3 + 5, /* all before the key */
    KV_RECORD_LARGE_BYTES = 32 * 1024,
};

/* Where a segment's records were written: what their checksums are seeded with. */
struct kv_record_place {
    uint64_t salt;
    uint64_t base_seq;
    /* Told of a record of KV_RECORD_LARGE_BYTES or more before decoding reads all of it; NULL: nobody cares. */
    void (*read_soon)(void *context, struct kv_slice record);
    void *context;
};

/* A PUT or DELETE. Decoded slices borrow the bytes they were decoded from. */
struct kv_record {
    enum kv_kind kind;
    uint64_t seq;
    struct kv_slice key;
    struct kv_slice row; /* empty for DELETE */
    uint32_t checksum;   /* set by encode and decode */
    uint32_t size_bytes; /* the whole record; set by encode and decode */
};

struct kv_commit {
    uint64_t seq;
    uint32_t record_count;
    uint64_t begin_lsn;    /* where the transaction's first record starts */
    uint64_t time_ms;      /* wall clock, since 1970 */
    uint64_t durable_lsn;  /* known to be on disk when this was written; <= begin_lsn */
    uint64_t group;        /* id of the pending group that this commits; 0: none */
    uint64_t group_digest; /* over the group's segments; 0 without a group */
    uint64_t nonce;        /* random for each acquisition of WRITER */
    uint64_t digest;       /* chain: see kv_commit_digest */
};

struct kv_end {
    uint64_t seq;     /* of the last transaction; 0: none */
    uint64_t end_lsn; /* everything before it is durable */
    uint64_t time_ms;
    uint64_t digest; /* of the last COMMIT */
};

/* The bytes that encoding takes. Sizes are within their limits. */
size_t kv_record_size(const struct kv_record_place *place, const struct kv_record *record);

/*
 * Encode to `out`, which has kv_record_size() bytes and will be written at
 * `offset_bytes` of the file. Sets `checksum` and `size_bytes`. seq >= base_seq.
 */
void kv_record_encode(uint8_t *out, const struct kv_record_place *place, uint64_t offset_bytes,
                      struct kv_record *record);

/*
 * Decode and verify the PUT or DELETE at the start of `bytes`, which is all
 * that may be read (not necessarily one record); it stands at `offset_bytes`.
 * KV_OK; KV_CORRUPT (also for COMMIT, END, zeros, a cut record) or KV_NEWER.
 * No message is set: the caller knows the file, and whether it matters.
 */
enum kv_status kv_record_decode(struct kv_slice bytes, const struct kv_record_place *place,
                                uint64_t offset_bytes, struct kv_record *out) KV_WARN_UNUSED;

/*
 * The key alone, bounds-checked but without the checksum: for comparing keys of
 * records that were verified before. Empty if the bytes are no PUT or DELETE.
 */
struct kv_slice kv_record_key(struct kv_slice bytes);

/*
 * The same PUT or DELETE if what stands there is to be believed: bounds are checked, its
 * checksum is not compared. For those who look for records among damaged bytes.
 */
bool kv_record_peek(struct kv_slice bytes, const struct kv_record_place *place,
                    struct kv_record *out);

/* The kind at the start of `bytes` without its flags; 0 if there is none. */
unsigned kv_record_kind(struct kv_slice bytes);

void kv_commit_encode(uint8_t out[KV_COMMIT_BYTES], uint64_t salt, uint64_t offset_bytes,
                      const struct kv_commit *commit);
enum kv_status kv_commit_decode(struct kv_slice bytes, uint64_t salt, uint64_t offset_bytes,
                                struct kv_commit *out) KV_WARN_UNUSED;

void kv_end_encode(uint8_t out[KV_END_BYTES], uint64_t salt, uint64_t offset_bytes,
                   const struct kv_end *end);
enum kv_status kv_end_decode(struct kv_slice bytes, uint64_t salt, uint64_t offset_bytes,
                             struct kv_end *out) KV_WARN_UNUSED;

/*
 * The digest of a COMMIT: over every field but `digest`, seeded with
 * `records_digest`, which is kv_digest_add() of each record's checksum in
 * turn, starting from the digest of the COMMIT before.
 */
uint64_t kv_commit_digest(const struct kv_commit *commit, uint64_t records_digest);

/*
 * The first offset >= `from` in `bytes` (which stand at offset 0 of the file)
 * where a valid COMMIT (or END) begins, found by its magic and checksum, also
 * one that decodes to KV_NEWER; SIZE_MAX if there is none.
 */
size_t kv_commit_find(struct kv_slice bytes, uint64_t salt, size_t from);
size_t kv_end_find(struct kv_slice bytes, uint64_t salt, size_t from);

#endif
