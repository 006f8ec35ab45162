/*
 * What a damaged segment may have lost: judging keys.
 *
 * A record that cannot be read may have been a newer version of a key, or its
 * tombstone. What older segments have of that key must then not show again (P7),
 * so every key that they show is judged: is it proved that the damaged
 * segment had nothing of it? Three kinds of evidence:
 *
 * INDEX. An intact index lists every entry of the segment: its offset, its place in
 * key order between neighbours, and where its key's hash leads. A key is
 * suspected if its hash leads to a lost entry and it lies between that entry's
 * readable neighbours. Nothing that was lost escapes; of other keys, one in
 * tens of thousands is suspected by chance. The index also
 * vouches for records between two damaged places, and versions superseded within the
 * segment are not in it, so they cannot show either.
 *
 * ORDER. A merge output without an index: a lost record's key lies between the
 * readable keys around the gap. All keys there are suspected.
 *
 * BYTES. A log without an index (the active one has none). Where a gap is one record
 * long, that record's key is known as soon as some key, with the length and the
 * seq that are known, makes the checksum right that stands there: so all keys that could show
 * are tried first, and a damaged head, or a damaged key, hides nothing. Else, what stands
 * in the gap still tells the keys of records whose head and key are
 * undamaged: they are suspected. Only where damage has destroyed a
 * record's key together with its checksum or row, or the heads of
 * several records, is nothing left to know the key by. What older
 * segments have of that key then shows again: to withhold it would be to withhold
 * everything that is not written again behind the gap.
 */
#ifndef KV_LOSS_H
#define KV_LOSS_H

#include "index.h"
#include "salvage.h"

struct kv_lost_item {
    uint32_t offset, end;    /* of the lost record or records in the file */
    uint32_t before, behind; /* offsets of the readable neighbours in key order; 0: none */
    uint64_t seq;            /* BYTES: what a single record there would have */
    struct kv_buffer key;    /* BYTES: the one that fits; empty: none does */
};

/* Zero-initialise; release with kv_loss_release. Borrows the salvage and the index. */
struct kv_loss {
    struct kv_salvage *salvage;
    struct kv_index *index; /* NULL: ORDER or BYTES */
    bool by_bytes;
    struct kv_slice min_key, max_key; /* lost keys lie within; empty: anywhere */
    struct kv_slice above, below;     /* and between these, which are the caller's to set */
    struct kv_lost_item *items;       /* ascending offsets */
    size_t count, capacity;
    uint32_t *named; /* offsets in gaps where a record's head and key seem to stand */
    size_t named_count, named_capacity;
    uint8_t *scratch; /* a record as it would be with another key */
    size_t scratch_bytes;
};

/*
 * Find out what a sorted salvage lost. `index` (may be NULL) is the segment's;
 * if all its pages are sound, it is used, and what it vouches for is
 * added to the salvage. `is_log` says what the segment was if nothing of it can be read.
 */
enum kv_status kv_loss_init(struct kv_loss *loss, struct kv_salvage *salvage,
                            struct kv_index *index, bool is_log) KV_WARN_UNUSED;
void kv_loss_release(struct kv_loss *loss);

/* Can no key have been lost at all? */
bool kv_loss_is_none(const struct kv_loss *loss);

/* BYTES: every key that could show is tried before any is judged. Costs a checksum for each gap. */
enum kv_status kv_loss_try(struct kv_loss *loss, struct kv_slice key) KV_WARN_UNUSED;

/*
 * May a version of `key` (its hash is `hash`) have been lost behind offset
 * `from` (0: anywhere) of the segment?
 */
bool kv_loss_may_hold(struct kv_loss *loss, uint64_t hash, struct kv_slice key, uint32_t from);

#endif
