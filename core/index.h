/*
 * The index of a sealed segment (`.idx`): hash, Bloom filter and key order over
 * the newest version of each key in it. Derived data: whoever finds it missing
 * or wrong builds it again from the segment.
 *
 * The file is a sequence of 4096-byte pages. Each page is 63 lines of 64 bytes
 * of payload and a last line holding a checksum u64, then zeros. It is XXH3-64
 * over the rest of its line, seeded with XXH3-64 over the payload, seeded with
 * salt ^ page number; it is verified when this process first touches the page.
 *
 *   page 0        header: see index.c
 *   hash pages    buckets of one line: ten slots of a fingerprint u16 and an
 *                 offset u32 (0: empty), and an overflow mark: a key that does
 *                 not fit its bucket goes into the next that has room
 *   bloom pages   blocks of one line (bloom.h)
 *   order pages   record offsets u32 in ascending key order, 1008 a page
 *   fence pages   for every 16th entry of the order, 16 bytes of its key behind
 *                 the prefix that all keys of the segment share, zero-padded:
 *                 a weak order that narrows a seek before records are touched. The
 *                 header page has a copy of the first fence of each page of them
 *
 * VALID: the header's page is, it names this segment (number, salt, length,
 * digest), and its section sizes add up to the file's size. Offsets read from
 * it are bounds-checked, and the record found is compared with the key asked
 * for, so a wrong index can cost time, never a wrong row; a page that fails
 * its checksum is KV_CORRUPT, so a damaged one cannot hide a key.
 */
#ifndef KV_INDEX_H
#define KV_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "interrupt.h"
#include "place.h"
#include "segment_info.h"
#include "slice.h"
#include "status.h"

struct kv_index_item {
    uint64_t hash; /* kv_hash(key, place->hash_seed) */
    uint32_t offset_bytes;
};

/*
 * Where the builder takes entries from, in ascending key order, newest versions only. It asks
 * `count` times, so that they need not all be in memory. Embed as the first member.
 */
struct kv_index_source {
    /* KV_DONE or a failure: there is none, though there should be. */
    enum kv_status (*next)(struct kv_index_source *source, struct kv_index_item *out);
    size_t count;
};

/* Entries that are in memory; borrowed. */
struct kv_index_array {
    struct kv_index_source base;
    const struct kv_index_item *items;
};
struct kv_index_array kv_index_array(const struct kv_index_item *items, size_t count);

struct kv_index;

/*
 * Write the index of the segment that `info` describes: unique temporary
 * file, fsync, rename over `segment_N.idx`. `data` is the segment's bytes from
 * offset 0 to info->end_bytes: keys for the fences are read from it.
 * On a read-only place the file is an unlinked temporary one, and `*out`
 * (required there, else optional) is the opened index.
 * Any failure, of `source` and KV_INTERRUPTED too, leaves no file behind. The file is durable, its name is not
 * until the directory is synced: a lost name costs building it again.
 */
enum kv_status kv_index_build(const struct kv_place *place, const struct kv_segment_info *info,
                              struct kv_slice data, struct kv_index_source *source,
                              const struct kv_interrupt *interrupt,
                              struct kv_index **out) KV_WARN_UNUSED;

/*
 * Map the index of the segment that `info` describes. KV_NOTFOUND: there is
 * none. KV_MISMATCH: it belongs to other data. KV_CORRUPT: its header is bad.
 */
enum kv_status kv_index_open(const struct kv_place *place, const struct kv_segment_info *info,
                             struct kv_index **out) KV_WARN_UNUSED;
void kv_index_free(struct kv_index *index);

uint64_t kv_index_entry_count(const struct kv_index *index);
struct kv_slice kv_index_bytes(const struct kv_index *index); /* the whole file */
uint64_t kv_index_size_bytes(const struct kv_index *index);

/* Verify every page, whatever was verified before. KV_CORRUPT names the first bad one. */
enum kv_status kv_index_check(const struct kv_index *index) KV_WARN_UNUSED;

/*
 * Fetch the filter's cache line for `hash` ahead of kv_index_may_contain, and with `likely` also
 * the bucket's, which kv_index_probe would otherwise have to wait for after the filter.
 */
void kv_index_prefetch(const struct kv_index *index, uint64_t hash, bool likely);

/* Ask the filter. `*out` false: no entry has this hash. KV_CORRUPT: its page is damaged. */
enum kv_status kv_index_may_contain(struct kv_index *index, uint64_t hash,
                                    bool *out) KV_WARN_UNUSED;

/*
 * Walk the offsets whose fingerprint fits `hash`. Start with a zeroed probe.
 * KV_OK: `*offset_bytes` is a candidate (compare the record's key). KV_DONE: there is no other,
 * unless the walk has become so long that somebody must have chosen the keys to that end:
 * then `is_crowded`, and only the order can tell.
 */
struct kv_index_probe {
    uint64_t step;
    bool is_crowded;
};
enum kv_status kv_index_probe(struct kv_index *index, uint64_t hash, struct kv_index_probe *probe,
                              uint32_t *offset_bytes) KV_WARN_UNUSED;

/* The offset of entry `position` (0 … entry_count-1) in key order. */
enum kv_status kv_index_at(struct kv_index *index, uint64_t position,
                           uint32_t *offset_bytes) KV_WARN_UNUSED;

/* Where in the file that stands: for reading ahead. */
uint64_t kv_index_order_offset(const struct kv_index *index, uint64_t position);

/*
 * By the fences alone: entries before `*low` have keys < `key`, entries from
 * `*high` on have keys > `key`. 0 <= *low <= *high <= entry_count.
 */
enum kv_status kv_index_narrow(struct kv_index *index, struct kv_slice key, uint64_t *low,
                               uint64_t *high) KV_WARN_UNUSED;

#endif
