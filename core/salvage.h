/*
 * Reading one damaged segment: which of its records are to be believed, and
 * where there is nothing to read any more.
 *
 * The file is read as a whole, into memory, page by page where it must be: a
 * mapping of a bad sector would be a signal, and repair is for disks that have
 * some. What cannot be read is zeros, which are no record.
 *
 * A record is only ever taken if its checksum is right, so it was written at
 * this offset of this file by this store. Whether it was also committed:
 *
 * MERGE OUTPUTS. A file is written once and its header last; every record in it
 * counts. They ascend: behind damage, the next valid record is found by trying
 * every offset, and only a greater key will do. Pending segments are the same, but
 * that they belong to one transaction, and that only its seq will do.
 *
 * LOGS. Bytes are known to be committed up to D: the end that the manifest or a
 * successor's header names, END, or what a COMMIT says was durable when it was
 * written. The last is as good as the others: whoever wrote a COMMIT, also one
 * that was taken back later, appended it behind committed bytes, and those are
 * never taken back in the same log (failover makes another one). Before D there
 * is nothing but transactions, one behind the other: what an aborted one had
 * written there has been overwritten. Behind D the chain of P1 alone decides,
 * so a torn tail ends the log as it does when a store is opened.
 *
 * Before D, where the chain breaks, that is damage (P2), and reading goes on
 * with the next COMMIT that begins at or behind the break. It vouches for its
 * own transaction: the bytes from its begin_lsn to itself. Of a transaction
 * that is damaged itself those records count that follow its beginning without
 * a gap, and those that lead up to its COMMIT without a gap. A transaction whose COMMIT is lost
 * counts because the next one begins behind it, and its seq is known from the two
 * around it. Stretches that hang on to neither end are left out, unless the
 * index vouches for them (loss.h): a device that gives back older content of a
 * sector could show an aborted transaction's records there, which carry the same seq. Where
 * all records of a transaction are readable and its digest, from a known one, says that
 * they are not those that were committed, none of them counts.
 *
 * So nothing aborted or torn comes back, and neither do old transactions behind
 * the end: they lie behind D and do not continue the chain, or a COMMIT before
 * D covers their bytes with its own transaction.
 */
#ifndef KV_SALVAGE_H
#define KV_SALVAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "header.h"
#include "log.h"
#include "place.h"
#include "record.h"
#include "segment_info.h"

/* A stretch of the file in which nothing could be read that counts; `to` may lie past the file's end. */
struct kv_gap {
    uint32_t from, to;
    uint64_t seq;     /* what the first record there had; 0: unknown */
    bool contradicts; /* valid records, which are not those that were committed */
};

/* Zero-initialise; release with kv_salvage_release. */
struct kv_salvage {
    const struct kv_place *place;
    uint8_t *bytes;
    uint64_t size_bytes; /* of the file, at most KV_SEGMENT_MAX_BYTES */
    uint64_t bad_bytes;  /* that the disk refused to give */

    struct kv_header header;
    bool has_header; /* its own, and valid; else one that the caller has put together */
    struct kv_record_place record_place;

    uint32_t *
        offsets; /* of records that count: in file order; after sorting the newest of each key in key order */
    size_t count, capacity;
    uint64_t record_count; /* before sorting */
    struct kv_gap *gaps;   /* in file order */
    size_t gap_count, gap_capacity;
    struct kv_log_tail tail; /* of a log: where what counts ends */
    uint64_t durable_bytes;  /* of a log: up to there it is known to have been on the disk */
    uint64_t digest;         /* of a merge output: over the records that count */
};

/*
 * Read file `name`, and its header if that is valid. KV_NOTFOUND: no such file;
 * KV_INVALID: it is no regular file; KV_NEWER.
 */
enum kv_status kv_salvage_load(const struct kv_place *place, const char *name,
                               struct kv_salvage *out) KV_WARN_UNUSED;
void kv_salvage_release(struct kv_salvage *salvage);

/* Where a log's committed part ends, as far as others know. */
struct kv_salvage_end {
    uint64_t known_lsn; /* everything before it was committed; 0: nothing is known */
    uint64_t limit_lsn; /* nothing behind it counts; 0: none */
    uint64_t last_seq;  /* of the transaction that ends at known_lsn; 0: unknown */
    bool begins_anew;   /* previous_digest is not known: the header is put together */
};

/*
 * Find out which records count in a log, or in a merge output or pending segment whose records
 * end at `end_bytes`; behind damage only those with this seq (0: any) do.
 */
enum kv_status kv_salvage_log(struct kv_salvage *salvage,
                              const struct kv_salvage_end *end) KV_WARN_UNUSED;
enum kv_status kv_salvage_merge(struct kv_salvage *salvage, uint64_t end_bytes,
                                uint64_t seq) KV_WARN_UNUSED;

/* Keep the newest record of each key, in key order. */
void kv_salvage_sort(struct kv_salvage *salvage);

/* The record at an offset that is known to count. */
struct kv_record kv_salvage_record(const struct kv_salvage *salvage, uint32_t offset);

/*
 * Fill in what is known of a segment by reading all of it; sorts. LSNs, times, number, salt and
 * dead bytes are the caller's. `*info` is his to release.
 */
enum kv_status kv_salvage_describe(struct kv_salvage *salvage,
                                   struct kv_segment_info *info) KV_WARN_UNUSED;

/*
 * Where a copy of the COMMIT of a pending segment's group stands behind the records (group.h), and
 * that COMMIT; SIZE_MAX: there is none.
 */
size_t kv_salvage_witness(const struct kv_salvage *salvage, struct kv_commit *out);

/* ---- For those who add to it */

enum kv_status kv_salvage_add(struct kv_salvage *salvage, uint32_t offset) KV_WARN_UNUSED;
enum kv_status kv_salvage_add_gap(struct kv_salvage *salvage, struct kv_gap gap) KV_WARN_UNUSED;

/* From `offset` on, up to `end` or the file's. */
struct kv_slice kv_salvage_rest(const struct kv_salvage *salvage, uint64_t offset, uint64_t end);

/* KV_NEWER, with file and offset. */
enum kv_status kv_salvage_newer(const struct kv_salvage *salvage, uint64_t offset) KV_WARN_UNUSED;

#endif
