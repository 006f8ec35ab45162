/*
 * Reading ahead in a mapped file.
 *
 * Files of sealed segments are mapped as read at random, so that a lookup in a
 * file that is not cached reads the pages it needs and no others: the kernel
 * would read up to megabytes around each. Whoever reads much of a file in its order asks
 * for what comes next by this, in windows that double; a short read stays short.
 *
 * Hints only: offsets may be anything that lies in the file.
 */
#ifndef KV_AHEAD_H
#define KV_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "io.h"

struct kv_ahead {
    struct kv_io *io;
    struct kv_slice data; /* the mapping, or the part that is read */
    bool down;            /* from high offsets to low ones */
    uint64_t trigger;     /* reading has come there: ask for the next window */
    uint64_t edge;        /* what lies on this side of it has been asked for */
    uint64_t window_bytes;
};

/* Begin to read `data`, upwards or downwards. Nothing is asked for yet. */
void kv_ahead_init(struct kv_ahead *ahead, struct kv_io *io, struct kv_slice data, bool down);

/* Ask for the window behind the last one. */
void kv_ahead_next(struct kv_ahead *ahead, uint64_t offset_bytes);

/* Ask for all of it. */
void kv_ahead_all(struct kv_ahead *ahead);

/* Reading has come to an offset. */
static inline void kv_ahead_reach(struct kv_ahead *ahead, uint64_t offset_bytes)
{
    if (ahead->down ? offset_bytes <= ahead->trigger : offset_bytes >= ahead->trigger)
        kv_ahead_next(ahead, offset_bytes);
}

#endif
