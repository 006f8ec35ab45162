/*
 * Iterating over a sealed segment: positions of the index's order.
 *
 * The records of a log lie in insertion order, so each row of a scan would be
 * a cache miss. Offsets are therefore read some positions ahead into a small
 * ring, and the records fetched (prefetch.h says how).
 *
 * What is not cached at all is read ahead in windows (ahead.h) once so many rows were read that
 * more are likely: in the order, and in the data of a merge output, which has the same order. The data
 * of a log is read as a whole once a page for each row has cost about as much.
 *
 * An index is not trusted: offsets are bounds-checked, records verified, and
 * keys must come out strictly ascending (or descending). So a wrong one can
 * neither repeat a key nor show an old version after a new one.
 */
#include <stdlib.h>

#include "names.h"
#include "prefetch.h"
#include "segment_private.h"

enum {
    RING_SIZE = 32,            /* a power of two; how far ahead records are fetched */
    STEPS_AHEAD = 3,           /* of a binary search: seven records */
    AHEAD_AFTER_COUNT = 256,   /* entries; asking is a system call */
    BYTES_A_PAGE = 256 * 1024, /* read in sequence, they take about as long as one page alone */
};
_Static_assert(RING_SIZE == 2 * KV_BURST_MAX_COUNT, "a burst is read while another is given out");

struct segment_iter {
    struct kv_iter base;
    struct kv_segment *segment; /* a reference */
    struct kv_index *index;     /* the segment's at the last seek or repair */
    enum kv_direction direction;
    enum kv_status failure; /* what ended the iteration; KV_OK: nothing yet */

    /* Entries are numbered in the order of reading: 0 … count-1. */
    uint64_t start; /* position of entry 0 */
    uint64_t count;
    uint64_t loaded;          /* entries whose offset is or was in the ring */
    uint64_t given;           /* entries handed out */
    uint64_t rest_fetched;    /* entries whose record is being fetched in full */
    uint64_t log_whole_count; /* entries of a log after which all of it is read ahead */
    uint32_t ring[RING_SIZE];
    struct kv_slice last_key; /* of the entry handed out last */
    struct kv_ahead order_ahead, data_ahead;
};

static struct segment_iter *of(struct kv_iter *it)
{
    return (struct segment_iter *)it;
}

/* ---- Through the index */

/* The offset at a position; KV_CORRUPT is the index's damage. */
static enum kv_status offset_at(struct segment_iter *it, uint64_t position, uint32_t *out)
{
    enum kv_status st = kv_index_at(it->index, position, out);

    if (st == KV_OK && !kv_segment_holds(it->segment, *out))
        st = kv_segment_bad_offset(it->segment);
    return st;
}

/* How many offsets to read ahead at once: as many as there were so far, within limits. */
static inline uint64_t burst_count(const struct segment_iter *it)
{
    return it->loaded < KV_BURST_FIRST_COUNT ? KV_BURST_FIRST_COUNT
           : it->loaded < KV_BURST_MAX_COUNT ? it->loaded
                                             : KV_BURST_MAX_COUNT;
}

/* The entry at `position` was loaded as the last one so far: read ahead of it. */
static void read_ahead(struct segment_iter *it, uint64_t position, uint32_t offset_bytes)
{
    kv_ahead_reach(&it->order_ahead, kv_index_order_offset(it->index, position));
    if (it->segment->header.role == KV_ROLE_MERGE) {
        kv_ahead_reach(&it->data_ahead, offset_bytes);
    } else if (it->loaded >= it->log_whole_count) {
        kv_ahead_all(&it->data_ahead);
        it->log_whole_count = UINT64_MAX;
    }
}

/* Read the next offsets, and start fetching their records' first lines. */
static enum kv_status load_burst(struct segment_iter *it)
{
    uint64_t end = it->loaded + burst_count(it);
    uint64_t first = it->loaded;
    uint64_t position = it->start;
    enum kv_status st = KV_OK;

    if (end > it->count)
        end = it->count;
    while (st == KV_OK && it->loaded < end) {
        position = it->direction == KV_FORWARD ? it->start + it->loaded : it->start - it->loaded;
        st = offset_at(it, position, &it->ring[it->loaded % RING_SIZE]);
        it->loaded += st == KV_OK;
    }
    for (uint64_t i = first; i < it->loaded; i++)
        kv_prefetch_first_line(it->segment->data.data + it->ring[i % RING_SIZE]);
    if (st == KV_OK && it->loaded >= AHEAD_AFTER_COUNT)
        read_ahead(it, position, it->ring[(it->loaded - 1) % RING_SIZE]);
    return st;
}

/* Have the offset of entry `given`, and as many more as a burst; there is room for another. */
static inline enum kv_status load_ahead(struct segment_iter *it)
{
    enum kv_status st = KV_OK;

    if (it->loaded - it->given <= burst_count(it) && it->loaded < it->count)
        st = load_burst(it);
    while (it->rest_fetched < it->loaded && it->rest_fetched - it->given <= KV_REST_AHEAD_COUNT) {
        kv_prefetch_rest(it->segment->data.data + it->ring[it->rest_fetched % RING_SIZE]);
        it->rest_fetched++;
    }
    return st;
}

/* Replace a damaged index. Positions keep their meaning: both are made from the same data. */
static enum kv_status heal(struct segment_iter *it)
{
    uint64_t entry_count = kv_index_entry_count(it->index);
    enum kv_status st = kv_segment_heal(it->segment, it->index);

    if (st != KV_OK)
        return st;
    it->index = kv_segment_index(it->segment);
    return kv_index_entry_count(it->index) == entry_count ? KV_OK
                                                          : kv_segment_bad_offset(it->segment);
}

/* ---- Seeking */

/*
 * Fetch the records that the next steps of a binary search may look at, all at
 * once: the search then waits for memory once in so many steps.
 */
static void prefetch_middles(struct segment_iter *it, uint64_t low, uint64_t high, unsigned steps)
{
    uint64_t middle = low + (high - low) / 2;
    uint32_t offset;

    if (low >= high || steps == 0)
        return;
    if (kv_index_at(it->index, middle, &offset) == KV_OK && kv_segment_holds(it->segment, offset))
        kv_prefetch(it->segment->data.data + offset, KV_RECORD_AHEAD_BYTES);
    prefetch_middles(it, low, middle, steps - 1);
    prefetch_middles(it, middle + 1, high, steps - 1);
}

/*
 * The position of the first key >= `key`, and whether it is equal. A KV_CORRUPT
 * is the index's damage if `*index_is_bad`, else the record's.
 */
static enum kv_status lower_bound(struct segment_iter *it, struct kv_slice key, uint64_t *out,
                                  bool *equal, bool *index_is_bad)
{
    uint64_t low, high;
    unsigned steps = 0;
    enum kv_status st = kv_index_narrow(it->index, key, &low, &high);

    *equal = false;
    while (st == KV_OK && low < high && !*equal) {
        uint64_t middle = low + (high - low) / 2;
        struct kv_record record;
        uint32_t offset;

        if (steps++ % STEPS_AHEAD == 0)
            prefetch_middles(it, low, high, STEPS_AHEAD);
        st = offset_at(it, middle, &offset);
        if (st != KV_OK)
            break;
        st = kv_segment_read(it->segment, offset, &record);
        if (st != KV_OK)
            return st;
        int order = kv_slice_compare(record.key, key);
        *equal = order == 0;
        low = order < 0 ? middle + 1 : order == 0 ? middle : low;
        high = order < 0 ? high : middle;
    }
    *index_is_bad = st == KV_CORRUPT;
    *out = low;
    return st;
}

static enum kv_status lower_bound_healing(struct segment_iter *it, struct kv_slice key,
                                          uint64_t *out, bool *equal)
{
    for (;;) {
        bool index_is_bad = false;
        enum kv_status st = lower_bound(it, key, out, equal, &index_is_bad);

        if (!index_is_bad)
            return st;
        st = heal(it);
        if (st != KV_OK)
            return st;
    }
}

/* Nothing is read ahead yet: a seek for some rows shall read their pages and no more. */
static void prepare_ahead(struct segment_iter *it)
{
    const struct kv_segment *segment = it->segment;
    bool down = it->direction == KV_BACKWARD;

    kv_ahead_init(&it->order_ahead, segment->place->io, kv_index_bytes(it->index), down);
    kv_ahead_init(&it->data_ahead, segment->place->io, segment->data, down);
    it->log_whole_count = segment->data.size / BYTES_A_PAGE;
}

static enum kv_status seek(struct kv_iter *base, const struct kv_slice *bound,
                           enum kv_direction direction)
{
    struct segment_iter *it = of(base);
    uint64_t entry_count, position;
    bool equal = false;
    enum kv_status st = KV_OK;

    it->index = kv_segment_index(it->segment);
    it->direction = direction;
    it->count = it->loaded = it->given = it->rest_fetched = 0;
    it->last_key = (struct kv_slice){0};
    prepare_ahead(it);

    entry_count = kv_index_entry_count(it->index);
    position = direction == KV_FORWARD ? 0 : entry_count;
    if (bound)
        st = lower_bound_healing(it, *bound, &position, &equal);
    it->failure = st;
    if (st != KV_OK)
        return st;
    if (direction == KV_FORWARD) {
        it->start = position;
        it->count = entry_count - position;
    } else {
        it->count = position + equal;
        it->start = it->count ? it->count - 1 : 0;
    }
    return KV_OK;
}

/* ---- Reading */

static enum kv_status out_of_order(const struct segment_iter *it)
{
    char name[KV_NAME_BYTES];

    kv_name_index(name, it->segment->info.number);
    return kv_fail(KV_CORRUPT,
                   "%s/%s: its order is wrong; the index can be removed, it is built anew",
                   it->segment->place->path, name);
}

static bool in_order(const struct segment_iter *it, struct kv_slice key)
{
    int order = kv_slice_compare(it->last_key, key);

    return it->given == 0 || (it->direction == KV_FORWARD ? order < 0 : order > 0);
}

static enum kv_status read_next(struct segment_iter *it, struct kv_entry *out)
{
    struct kv_record record;
    enum kv_status st;

    while ((st = load_ahead(it)) == KV_CORRUPT && (st = heal(it)) == KV_OK)
        continue;
    if (st != KV_OK)
        return st;
    st = kv_segment_read(it->segment, it->ring[it->given % RING_SIZE], &record);
    if (st != KV_OK)
        return st;
    if (!in_order(it, record.key))
        return out_of_order(it);
    it->last_key = record.key;
    it->given++;
    kv_segment_entry(&record, out);
    return KV_OK;
}

static enum kv_status next(struct kv_iter *base, struct kv_entry *out)
{
    struct segment_iter *it = of(base);

    if (it->failure != KV_OK)
        return it->failure;
    if (it->given == it->count)
        return KV_DONE;
    return it->failure = read_next(it, out);
}

static void iter_free(struct kv_iter *base)
{
    kv_segment_unref(of(base)->segment);
    free(of(base));
}

enum kv_status kv_segment_iter(struct kv_segment *segment, struct kv_iter **out)
{
    static const struct kv_iter_ops ops = {.seek = seek, .next = next, .free = iter_free};
    struct segment_iter *it = calloc(1, sizeof(*it));

    *out = NULL;
    if (!it)
        return kv_fail_nomem();
    it->base.ops = &ops;
    it->segment = kv_segment_ref(segment);
    it->index = kv_segment_index(segment);
    *out = &it->base;
    return KV_OK;
}
