/* A run of segments as one sorted source (run.h). */
#include "run.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "buffer.h"
#include "mutant.h"

struct kv_run_reader {
    _Atomic uint32_t references;
    bool has_low;
    struct kv_buffer low;
    size_t segment_count;
    struct kv_segment *segments[];
};

static void run_free(struct kv_run_reader *run)
{
    for (size_t i = 0; i < run->segment_count; i++)
        kv_segment_unref(run->segments[i]);
    kv_buffer_release(&run->low);
    free(run);
}

enum kv_status kv_run_open(struct kv_segment *const *segments, size_t segment_count,
                           const struct kv_slice *low, struct kv_run_reader **out)
{
    struct kv_run_reader *run = calloc(1, sizeof(*run) + segment_count * sizeof(*segments));

    *out = NULL;
    if (!run)
        return kv_fail_nomem();
    atomic_init(&run->references, 1);
    run->has_low = low != NULL;
    if (low && kv_buffer_set(&run->low, *low) != KV_OK) {
        run_free(run);
        return kv_fail_nomem();
    }
    run->segment_count = segment_count;
    for (size_t i = 0; i < segment_count; i++)
        run->segments[i] = kv_segment_ref(segments[i]);
    *out = run;
    return KV_OK;
}

struct kv_run_reader *kv_run_ref(struct kv_run_reader *run)
{
    atomic_fetch_add_explicit(&run->references, 1, memory_order_relaxed);
    return run;
}

void kv_run_unref(struct kv_run_reader *run)
{
    if (run && atomic_fetch_sub_explicit(&run->references, 1, memory_order_acq_rel) == 1)
        run_free(run);
}

size_t kv_run_segment_count(const struct kv_run_reader *run)
{
    return run->segment_count;
}

struct kv_segment *kv_run_segment(const struct kv_run_reader *run, size_t i)
{
    return run->segments[i];
}

/* ---- Which segment */

static struct kv_slice max_key(const struct kv_run_reader *run, size_t i)
{
    return kv_buffer_slice(&kv_segment_info(run->segments[i])->max_key);
}

static bool is_hidden(const struct kv_run_reader *run, struct kv_slice key)
{
    return run->has_low && kv_slice_compare(key, kv_buffer_slice(&run->low)) <= 0;
}

/* The first segment that does not end before `key`; segment_count: none. */
static size_t first_reaching(const struct kv_run_reader *run, struct kv_slice key)
{
    size_t low = 0, high = run->segment_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kv_slice_compare(max_key(run, middle), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct kv_segment *kv_run_segment_of(const struct kv_run_reader *run, struct kv_slice key)
{
    if (is_hidden(run, key) && !KV_MUTANT(low_ignored_by_get))
        return NULL;
    /* Its filter knows better than its first and last key. */
    if (run->segment_count == 1)
        return run->segments[0];

    size_t i = first_reaching(run, key);
    return i < run->segment_count ? run->segments[i] : NULL;
}

/* ---- Lookups */

enum kv_status kv_run_get(struct kv_run_reader *run, uint64_t hash, struct kv_slice key,
                          struct kv_entry *out)
{
    struct kv_segment *segment = kv_run_segment_of(run, key);

    return segment ? kv_segment_get(segment, hash, key, out) : KV_DONE;
}

bool kv_run_may_contain(struct kv_run_reader *run, uint64_t hash, struct kv_slice key)
{
    struct kv_segment *segment = kv_run_segment_of(run, key);

    return segment && kv_segment_may_contain(segment, hash);
}

/* ---- Iteration: the segments' iterators, one after the other */

struct run_iter {
    struct kv_iter base;
    struct kv_run_reader *run; /* a reference */
    enum kv_direction direction;
    size_t segment;     /* the one being iterated */
    struct kv_iter *it; /* over it; NULL: the end was reached, or nothing sought */
    bool may_be_hidden; /* the next entry may still be below `low` */
};

static struct run_iter *of(struct kv_iter *it)
{
    return (struct run_iter *)it;
}

static void close_segment(struct run_iter *it)
{
    kv_iter_free(it->it);
    it->it = NULL;
}

/* Iterate over segment `i` from `bound` on. Past either end: nothing. */
static enum kv_status open_segment(struct run_iter *it, size_t i, const struct kv_slice *bound)
{
    enum kv_status st;

    close_segment(it);
    if (i >= it->run->segment_count)
        return KV_OK;
    it->segment = i;
    st = kv_segment_iter(it->run->segments[i], &it->it);
    if (st == KV_OK)
        st = kv_iter_seek(it->it, bound, it->direction);
    if (st != KV_OK)
        close_segment(it);
    return st;
}

static enum kv_status seek_forward(struct run_iter *it, const struct kv_slice *bound)
{
    struct kv_slice low = kv_buffer_slice(&it->run->low);

    /* What is hidden is jumped over; `low` itself may be there still. */
    it->may_be_hidden = it->run->has_low && !KV_MUTANT(low_ignored_forwards) &&
                        (!bound || is_hidden(it->run, *bound));
    if (it->may_be_hidden)
        bound = &low;
    return open_segment(it, bound ? first_reaching(it->run, *bound) : 0, bound);
}

static enum kv_status seek_backward(struct run_iter *it, const struct kv_slice *bound)
{
    size_t last = it->run->segment_count - 1;
    size_t i = bound ? first_reaching(it->run, *bound) : last;

    it->may_be_hidden = it->run->has_low && !KV_MUTANT(low_ignored_backwards);
    /* The bound may lie before segment i: then i has nothing, and i - 1 comes next. */
    return open_segment(it, i > last ? last : i, bound);
}

static enum kv_status seek(struct kv_iter *base, const struct kv_slice *bound,
                           enum kv_direction direction)
{
    struct run_iter *it = of(base);

    it->direction = direction;
    return direction == KV_FORWARD ? seek_forward(it, bound) : seek_backward(it, bound);
}

/* The next entry, hidden or not, going from segment to segment. */
static enum kv_status next_of_any(struct run_iter *it, struct kv_entry *out)
{
    enum kv_status st = KV_DONE;

    while (it->it && (st = kv_iter_next(it->it, out)) == KV_DONE) {
        /* Backwards from segment 0 wraps around to past the end. */
        st = open_segment(it, it->segment + (size_t)it->direction, NULL);
        if (st != KV_OK)
            return st;
        st = KV_DONE;
    }
    return st;
}

static enum kv_status next(struct kv_iter *base, struct kv_entry *out)
{
    struct run_iter *it = of(base);
    enum kv_status st = next_of_any(it, out);

    while (st == KV_OK && it->may_be_hidden && is_hidden(it->run, out->key)) {
        if (it->direction == KV_BACKWARD) {
            close_segment(it); /* so is all that follows */
            return KV_DONE;
        }
        st = next_of_any(it, out);
    }
    if (it->direction == KV_FORWARD)
        it->may_be_hidden = false;
    return st;
}

static void iter_free(struct kv_iter *base)
{
    close_segment(of(base));
    kv_run_unref(of(base)->run);
    free(of(base));
}

enum kv_status kv_run_iter(struct kv_run_reader *run, struct kv_iter **out)
{
    static const struct kv_iter_ops ops = {.seek = seek, .next = next, .free = iter_free};
    struct run_iter *it = calloc(1, sizeof(*it));

    *out = NULL;
    if (!it)
        return kv_fail_nomem();
    it->base.ops = &ops;
    it->run = kv_run_ref(run);
    *out = &it->base;
    return KV_OK;
}
