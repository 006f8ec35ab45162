/*
 * Writing the segments that take a damaged one's place: what could be read of
 * it, in key order, and a tombstone for every key of which older segments have
 * a row that cannot be proved to have been the newest (loss.h). Such rows are
 * withheld: handed to whoever keeps them. Older segments stay as they are.
 *
 * Until a manifest names it, a replacement is what the header says: it replaces, in its key interval, all
 * segments of the same logs (lineup.h). So the interval must not reach over the damaged one's
 * neighbours in its run, lest a repair that comes after an interrupted one gives these up.
 */
#ifndef KV_REPLACE_H
#define KV_REPLACE_H

#include "engine.h"
#include "iter.h"
#include "loss.h"
#include "salvage.h"

struct kv_replace {
    struct kv_engine *engine;
    const struct kv_segment_info *info; /* of the damaged one: LSNs, times and max_seq count */
    struct kv_salvage *salvage;         /* sorted */
    struct kv_loss *loss;               /* what is written covers the keys above its `above` … */
    bool last_of_run;      /* … and all greater ones, not only up to the last written */
    struct kv_iter *older; /* what older runs have, newest versions; NULL: nothing */
    enum kv_status (*withhold)(void *context, const struct kv_entry *entry);
    bool (*goes_on)(void *context); /* asked now and then: false stops with KV_INTERRUPTED */
    void *context;
    uint64_t withheld_count;         /* result */
    struct kv_segment_info *outputs; /* result: owned by the caller, none if nothing is left */
    size_t output_count;
};

/* Write them, durably; their names are durable when the directory is synced. A failure leaves no files. */
enum kv_status kv_replace_segment(struct kv_replace *replace) KV_WARN_UNUSED;

#endif
