/* Scans: the merged sources of a snapshot between two bounds, without the tombstones. */
#include <stdlib.h>

#include "merge.h"
#include "txn.h"

struct kv_scan {
    struct kv_iter *merged;
    struct kv_write_view *view;  /* the own writes among it; NULL: none */
    struct kv_buffer start, end; /* the bounds in the direction of the scan */
    bool has_start, start_open;
    bool has_end, end_open;
    bool started;           /* past the first entry: the start bound is behind */
    enum kv_status outcome; /* not KV_OK: what the scan ended with */
    enum kv_direction direction;
    bool (*interrupted)(void *context);
    void *interrupted_context;
    unsigned passed_count; /* deleted rows passed over */
};

enum { ASK_EVERY_COUNT = 4096 };

/* Copy the bounds, turned into start and end. */
static enum kv_status set_range(struct kv_scan *scan, const struct kv_range *range)
{
    bool down = range->descending;
    enum kv_status st;

    scan->direction = down ? KV_BACKWARD : KV_FORWARD;
    scan->interrupted = range->interrupted;
    scan->interrupted_context = range->interrupted_context;
    scan->has_start = down ? range->has_upper : range->has_lower;
    scan->start_open = down ? range->upper_open : range->lower_open;
    scan->has_end = down ? range->has_lower : range->has_upper;
    scan->end_open = down ? range->lower_open : range->upper_open;
    st = kv_buffer_set(&scan->start, down ? range->upper : range->lower);
    if (st == KV_OK)
        st = kv_buffer_set(&scan->end, down ? range->lower : range->upper);
    return st;
}

/* All sources, newest first: own writes, the log, the runs. */
static enum kv_status open_sources(struct kv_scan *scan, struct kv_snapshot *snapshot,
                                   struct kv_txn *txn)
{
    struct kv_version *version = snapshot->pin.version;
    struct kv_iter **sources =
        malloc(((txn ? kv_txn_iter_max(txn) : 0) + kv_version_iter_max(version)) *
               sizeof(struct kv_iter *));
    size_t own = 0, count = 0;
    enum kv_status st = sources ? KV_OK : kv_fail_nomem();

    if (st == KV_OK && txn)
        st = kv_txn_iters(txn, sources, &own, &scan->view);
    if (st == KV_OK) {
        st = kv_version_iters(version, snapshot->lsn, sources + own, &count);
        if (st != KV_OK) {
            kv_iters_free(sources, &own);
        }
    }
    if (st == KV_OK)
        st = kv_merge_open(sources, own + count, &scan->merged);
    free(sources);
    return st;
}

enum kv_status kv_scan_open(struct kv_snapshot *snapshot, struct kv_txn *txn,
                            const struct kv_range *range, struct kv_scan **out)
{
    struct kv_scan *scan;
    enum kv_status st = kv_engine_check_alive(&snapshot->store->engine);

    *out = NULL;
    if (st != KV_OK)
        return st;
    scan = calloc(1, sizeof(*scan));
    if (!scan)
        return kv_fail_nomem();
    st = set_range(scan, range);
    if (st == KV_OK)
        st = open_sources(scan, snapshot, txn);
    if (st == KV_OK) {
        struct kv_slice start = kv_buffer_slice(&scan->start);

        st = kv_iter_seek(scan->merged, scan->has_start ? &start : NULL, scan->direction);
    }
    if (st != KV_OK) {
        kv_scan_close(scan);
        return st;
    }
    *out = scan;
    return KV_OK;
}

/* Is a key past the end of the range? */
static bool is_past(const struct kv_scan *scan, struct kv_slice key)
{
    int order = kv_slice_compare(key, kv_buffer_slice(&scan->end)) * (int)scan->direction;

    return order > 0 || (order == 0 && scan->end_open);
}

/* A deleted row was passed over: there may be millions, and nobody else is asked meanwhile. */
static enum kv_status pass_over(struct kv_scan *scan)
{
    if (++scan->passed_count % ASK_EVERY_COUNT != 0 || !scan->interrupted ||
        !scan->interrupted(scan->interrupted_context))
        return KV_OK;
    return kv_fail(KV_INTERRUPTED, "the scan was interrupted");
}

/* The next row, tombstones and bounds seen to. */
static enum kv_status next(struct kv_scan *scan, struct kv_entry *out)
{
    enum kv_status st;

    while ((st = kv_iter_next(scan->merged, out)) == KV_OK) {
        if (!scan->started) {
            scan->started = true;
            if (scan->has_start && scan->start_open &&
                kv_slice_equal(out->key, kv_buffer_slice(&scan->start)))
                continue;
        }
        if (scan->has_end && is_past(scan, out->key))
            return KV_DONE;
        if (!out->deleted)
            return KV_OK;
        st = pass_over(scan);
        if (st != KV_OK)
            return st;
    }
    return st;
}

enum kv_status kv_scan_next(struct kv_scan *scan, struct kv_entry *out)
{
    if (scan->outcome == KV_OK && scan->view)
        scan->outcome = kv_write_view_check(scan->view);
    if (scan->outcome == KV_OK)
        scan->outcome = next(scan, out);
    return scan->outcome;
}

void kv_scan_close(struct kv_scan *scan)
{
    if (!scan)
        return;
    kv_iter_free(scan->merged);
    kv_write_view_unref(scan->view);
    kv_buffer_release(&scan->start);
    kv_buffer_release(&scan->end);
    free(scan);
}
