/*
 * Waiting for others in steps, so that whoever waits can be asked to stop:
 *
 *   struct kv_patience patience = kv_patience_start(engine, settings, limit_ms);
 *   do
 *       st = kv_engine_take_…(engine, patience.step_ms, …);
 *   while (st == KV_BUSY && kv_patience_goes_on(&patience, &st));
 */
#ifndef KV_PATIENCE_H
#define KV_PATIENCE_H

#include "engine.h"
#include "kv.h"

struct kv_patience {
    struct kv_engine *engine;
    const struct kv_settings *settings; /* who waits: settings->interrupted is asked */
    uint64_t left_ms;
    uint64_t last_ms; /* monotonic: when the steps so far were counted */
    unsigned step_ms; /* how long to wait now; 0: once more without waiting */
};

/* Wait for up to `limit_ms`. The first step is none at all, since most often nobody is in the way. */
struct kv_patience kv_patience_start(struct kv_engine *engine, const struct kv_settings *settings,
                                     uint64_t limit_ms);

/*
 * After a step in vain: is there another one? False with `*st` KV_INTERRUPTED: it is no longer
 * wanted; else with `*st` as it was: the time is up.
 */
bool kv_patience_goes_on(struct kv_patience *patience, enum kv_status *st);

#endif
