/* Which transactions of a damaged log count: see salvage.h for the rules and why they hold. */
#include <stdlib.h>

#include "hash.h"
#include "salvage.h"

enum { SEARCH_FACTOR = 16, SEARCH_SPARE_BYTES = 1 << 20 };

/* A COMMIT that can be read, and where its transaction begins. */
struct anchor {
    uint32_t begin, at;
    struct kv_commit commit;
};

struct walk {
    struct kv_salvage *salvage;
    uint64_t limit;    /* offset behind which nothing counts */
    uint64_t durable;  /* offset before which everything was committed: D */
    uint64_t last_seq; /* of the transaction that ends there; 0: unknown */

    struct anchor *anchors; /* in file order */
    size_t anchor_count, anchor_capacity;
    size_t next; /* the first that may still matter */

    uint64_t at; /* the transactions before it have been dealt with */
    uint64_t seq, digest;
    bool digest_is_known;
    uint64_t budget; /* of bytes to hash in search of records */
};

static uint64_t offset_of(const struct walk *walk, uint64_t lsn)
{
    uint64_t base = walk->salvage->header.log.base_lsn;

    return lsn < base || lsn - base > KV_SEGMENT_MAX_BYTES ? 0 : lsn - base + KV_HEADER_BYTES;
}

static uint64_t lsn_of(const struct walk *walk, uint64_t offset)
{
    return walk->salvage->header.log.base_lsn + (offset - KV_HEADER_BYTES);
}

/* ---- What the log says of itself */

/* Everything before this was committed, in a transaction numbered so (0: unknown). */
static void note_durable(struct walk *walk, uint64_t lsn, uint64_t seq)
{
    uint64_t offset = offset_of(walk, lsn);

    if (offset > walk->durable && offset <= walk->limit) {
        walk->durable = offset;
        walk->last_seq = seq;
    }
}

static enum kv_status add_anchor(struct walk *walk, uint64_t at, const struct kv_commit *commit)
{
    uint64_t begin = offset_of(walk, commit->begin_lsn);

    note_durable(walk, commit->durable_lsn, 0);
    if (begin < KV_HEADER_BYTES || begin > at)
        return KV_OK;
    if (walk->anchor_count == walk->anchor_capacity) {
        size_t capacity = walk->anchor_capacity ? 2 * walk->anchor_capacity : 64;
        struct anchor *anchors = realloc(walk->anchors, capacity * sizeof(*anchors));

        if (!anchors)
            return kv_fail_nomem();
        walk->anchors = anchors;
        walk->anchor_capacity = capacity;
    }
    walk->anchors[walk->anchor_count++] =
        (struct anchor){.begin = (uint32_t)begin, .at = (uint32_t)at, .commit = *commit};
    return KV_OK;
}

static enum kv_status find_commits(struct walk *walk)
{
    struct kv_slice bytes = kv_salvage_rest(walk->salvage, 0, walk->limit);
    uint64_t salt = walk->salvage->header.salt;
    enum kv_status st = KV_OK;

    for (size_t at = kv_commit_find(bytes, salt, KV_HEADER_BYTES); st == KV_OK && at != SIZE_MAX;
         at = kv_commit_find(bytes, salt, at + 1)) {
        struct kv_commit commit;

        st = kv_commit_decode(kv_slice_of(bytes.data + at, bytes.size - at), salt, at, &commit);
        if (st == KV_NEWER)
            return kv_salvage_newer(walk->salvage, at);
        st = add_anchor(walk, at, &commit);
    }
    return st;
}

static void find_end(struct walk *walk)
{
    struct kv_slice bytes = kv_salvage_rest(walk->salvage, 0, walk->limit);
    uint64_t salt = walk->salvage->header.salt;

    for (size_t at = kv_end_find(bytes, salt, KV_HEADER_BYTES); at != SIZE_MAX;
         at = kv_end_find(bytes, salt, at + 1)) {
        struct kv_end end;

        if (kv_end_decode(kv_slice_of(bytes.data + at, bytes.size - at), salt, at, &end) == KV_OK)
            note_durable(walk, end.end_lsn, end.seq);
    }
}

/* ---- Records */

/* Take the valid records with this seq from `*at` on, up to `to`; `*digest` is carried over them. */
static enum kv_status take_chain(struct walk *walk, uint64_t *at, uint64_t to, uint64_t seq,
                                 uint64_t *digest)
{
    struct kv_salvage *salvage = walk->salvage;

    while (*at < to) {
        struct kv_record record;
        enum kv_status st = kv_record_decode(kv_salvage_rest(salvage, *at, to),
                                             &salvage->record_place, *at, &record);

        if (st == KV_NEWER)
            return kv_salvage_newer(salvage, *at);
        if (st != KV_OK || record.seq != seq)
            break;
        st = kv_salvage_add(salvage, (uint32_t)*at);
        if (st != KV_OK)
            return st;
        *digest = kv_digest_add(*digest, record.checksum);
        *at += record.size_bytes;
    }
    return KV_OK;
}

/* Where such a chain from `at` ends, without taking it; `at` itself if there is none. */
static uint64_t chain_end(struct walk *walk, uint64_t at, uint64_t to, uint64_t seq)
{
    const struct kv_salvage *salvage = walk->salvage;
    struct kv_record record;

    for (;;) {
        struct kv_slice rest = kv_salvage_rest(salvage, at, to);

        if (!kv_record_peek(rest, &salvage->record_place, &record) || record.seq != seq ||
            record.size_bytes > walk->budget)
            return at;
        walk->budget -= record.size_bytes;
        if (kv_record_decode(rest, &salvage->record_place, at, &record) != KV_OK)
            return at;
        at += record.size_bytes;
    }
}

/*
 * The first offset behind `from` where records of this seq begin that lead
 * exactly to `to`; `to` if there are none.
 */
static uint64_t find_suffix(struct walk *walk, uint64_t from, uint64_t to, uint64_t seq)
{
    uint64_t at = to <= walk->salvage->size_bytes ? from + 1 : to;

    while (at < to) {
        uint64_t end = chain_end(walk, at, to, seq);

        if (end == to)
            return at;
        at = end + 1; /* a start within a chain that stops there would stop there as well */
    }
    return to;
}

static enum kv_status add_gap(struct walk *walk, uint64_t from, uint64_t to, uint64_t seq)
{
    return kv_salvage_add_gap(
        walk->salvage, (struct kv_gap){.from = (uint32_t)from, .to = (uint32_t)to, .seq = seq});
}

/* Take what hangs on to the end of [from, to), behind damage that begins at `from`. */
static enum kv_status take_suffix(struct walk *walk, uint64_t from, uint64_t to, uint64_t behind,
                                  uint64_t seq)
{
    uint64_t at = seq ? find_suffix(walk, from, to, seq) : to, digest = 0;
    /* What is lost reaches over the end and its COMMIT, if there is nothing before them. */
    enum kv_status st = add_gap(walk, from, at < to ? at : behind, seq);

    return st == KV_OK ? take_chain(walk, &at, to, seq, &digest) : st;
}

/* ---- Transactions */

static void note_time(struct kv_log_tail *tail, uint64_t time_ms)
{
    if (tail->min_time_ms == 0 || time_ms < tail->min_time_ms)
        tail->min_time_ms = time_ms;
    if (time_ms > tail->max_time_ms)
        tail->max_time_ms = time_ms;
}

static void accept(struct walk *walk, uint64_t end, const struct kv_commit *commit)
{
    walk->at = end;
    walk->seq = commit->seq;
    walk->digest = commit->digest;
    walk->digest_is_known = true;
    if (commit->group != 0) {
        walk->salvage->tail.group = commit->group;
        walk->salvage->tail.group_digest = commit->group_digest;
    }
    note_time(&walk->salvage->tail, commit->time_ms);
}

/*
 * Read the transaction that begins where the last one ended; KV_DONE if none counts there. Its
 * COMMIT is not KV_NEWER: find_commits has seen all of them.
 */
static enum kv_status read_next(struct walk *walk)
{
    struct kv_salvage *salvage = walk->salvage;
    size_t before = salvage->count;
    uint64_t at = walk->at, digest = walk->digest;
    struct kv_commit commit;
    enum kv_status st = take_chain(walk, &at, walk->limit, walk->seq + 1, &digest);

    if (st != KV_OK)
        return st;
    st = kv_commit_decode(kv_salvage_rest(salvage, at, walk->limit), salvage->header.salt, at,
                          &commit);
    if (st == KV_OK && commit.seq == walk->seq + 1 &&
        commit.record_count == salvage->count - before &&
        commit.begin_lsn == lsn_of(walk, walk->at) &&
        (!walk->digest_is_known || commit.digest == kv_commit_digest(&commit, digest))) {
        accept(walk, at + KV_COMMIT_BYTES, &commit);
        return KV_OK;
    }
    salvage->count = before;
    return KV_DONE;
}

/*
 * Bytes from walk->at to `to` were committed, in transactions up to seq `last`
 * (0: unknown), but none of their COMMITs can be read, nor perhaps some records.
 */
static enum kv_status take_without_commits(struct walk *walk, uint64_t to, uint64_t last)
{
    uint64_t seq = walk->seq + 1, digest = 0, at = walk->at;
    enum kv_status st;

    for (;;) {
        st = take_chain(walk, &at, to, seq, &digest);
        if (st != KV_OK || at + KV_COMMIT_BYTES > to)
            break;
        /* Only the COMMIT is lost if what comes behind it is the next transaction. */
        if (at + KV_COMMIT_BYTES != to &&
            chain_end(walk, at + KV_COMMIT_BYTES, to, seq + 1) == at + KV_COMMIT_BYTES)
            break;
        st = add_gap(walk, at, at + KV_COMMIT_BYTES, 0);
        at += KV_COMMIT_BYTES;
        walk->seq = seq++;
        if (st != KV_OK || at == to)
            break;
    }
    if (st == KV_OK && at < to)
        st = to - at > KV_COMMIT_BYTES ? take_suffix(walk, at, to - KV_COMMIT_BYTES, to, last)
                                       : add_gap(walk, at, to, seq);
    walk->at = to;
    walk->seq = last ? last : walk->seq;
    walk->digest_is_known = false;
    return st;
}

/* All records are there, but they are not those that were committed. */
static enum kv_status give_up(struct walk *walk, const struct anchor *anchor, size_t before)
{
    walk->salvage->count = before;
    return kv_salvage_add_gap(walk->salvage, (struct kv_gap){.from = anchor->begin,
                                                             .to = anchor->at,
                                                             .seq = anchor->commit.seq,
                                                             .contradicts = true});
}

/* Take what can be read of the transaction whose COMMIT is `anchor`. */
static enum kv_status take_anchored(struct walk *walk, const struct anchor *anchor)
{
    struct kv_salvage *salvage = walk->salvage;
    const struct kv_commit *commit = &anchor->commit;
    size_t before = salvage->count;
    bool follows = walk->at == anchor->begin && walk->digest_is_known;
    uint64_t at = anchor->begin, digest = walk->digest;
    enum kv_status st = take_chain(walk, &at, anchor->at, commit->seq, &digest);

    if (st != KV_OK)
        return st;
    if (at < anchor->at) {
        st = take_suffix(walk, at, anchor->at, anchor->at, commit->seq);
    } else if (salvage->count - before != commit->record_count ||
               (follows && commit->digest != kv_commit_digest(commit, digest))) {
        st = give_up(walk, anchor, before);
    } else if (follows) {
        /* It fits after all: only its seq does not continue the last one. */
        st = add_gap(walk, anchor->begin, anchor->begin, 0);
    }
    if (st == KV_OK)
        accept(walk, (uint64_t)anchor->at + KV_COMMIT_BYTES, commit);
    return st;
}

/* The next COMMIT that may vouch for its transaction: one behind D only for a whole one. NULL: none. */
static const struct anchor *next_anchor(struct walk *walk)
{
    while (walk->next < walk->anchor_count) {
        const struct anchor *anchor = &walk->anchors[walk->next++];

        if (anchor->begin < walk->at || anchor->commit.seq <= walk->seq)
            continue;
        if (anchor->begin < walk->durable ||
            chain_end(walk, anchor->begin, anchor->at, anchor->commit.seq) == anchor->at)
            return anchor;
    }
    return NULL;
}

/* The chain has broken before D: go on with the next COMMIT that begins there or later. */
static enum kv_status skip_damage(struct walk *walk)
{
    const struct anchor *anchor = next_anchor(walk);
    enum kv_status st = KV_OK;

    if (!anchor)
        return take_without_commits(walk, walk->durable, walk->last_seq);
    if (anchor->begin > walk->at)
        st = take_without_commits(walk, anchor->begin, anchor->commit.seq - 1);
    return st == KV_OK ? take_anchored(walk, anchor) : st;
}

enum kv_status kv_salvage_log(struct kv_salvage *salvage, const struct kv_salvage_end *end)
{
    const struct kv_header *header = &salvage->header;
    struct walk walk = {.salvage = salvage,
                        .limit = salvage->size_bytes,
                        .at = KV_HEADER_BYTES,
                        .seq = header->base_seq,
                        .digest = header->log.previous_digest,
                        .digest_is_known = !end->begins_anew,
                        .budget = SEARCH_FACTOR * (salvage->size_bytes + SEARCH_SPARE_BYTES)};
    uint64_t known = offset_of(&walk, end->known_lsn);
    enum kv_status st;

    if (end->limit_lsn)
        walk.limit = offset_of(&walk, end->limit_lsn);
    st = find_commits(&walk);
    find_end(&walk);
    if (known > walk.durable) {
        walk.durable = known;
        walk.last_seq = end->last_seq;
    }
    while (st == KV_OK) {
        st = read_next(&walk);
        if (st == KV_DONE && walk.at < walk.durable)
            st = skip_damage(&walk);
    }
    salvage->record_count = salvage->count;
    salvage->durable_bytes = walk.durable;
    salvage->tail.end_bytes = (uint32_t)walk.at;
    salvage->tail.seq = walk.seq;
    salvage->tail.digest = walk.digest_is_known ? walk.digest : 0;
    salvage->tail.record_count = (uint32_t)salvage->count;
    free(walk.anchors);
    return st == KV_DONE ? KV_OK : st;
}
