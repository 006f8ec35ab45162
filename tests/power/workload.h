/*
 * What is done to a store while it is watched: random operations from a seed,
 * of a kind that a profile says, written down in a trace with what must hold
 * at every moment.
 */
#ifndef KV_POWER_WORKLOAD_H
#define KV_POWER_WORKLOAD_H

#include "history.h"
#include "kv.h"
#include "trace.h"

#define POWER_PATH "/db"

struct profile {
    const char *name;
    unsigned steps;
    /* How often, compared with each other. */
    unsigned commit, abort, prepare, idle, sync, seal, merge, compact, reopen, kill, fault, die;
    unsigned full_percent, normal_percent; /* of transactions; the rest is OFF */
    unsigned processes;
    bool long_rows; /* so that every state takes long, too: fewer of them */
    bool auto_compact;
};

extern const struct profile profiles[];
extern const unsigned profile_count;

struct workload {
    struct trace trace;
    struct history history;
};

/* Do it all. Expectation 0 holds from the start. */
void workload_run(struct workload *workload, const struct profile *profile, uint64_t seed);
void workload_release(struct workload *workload);

/* How the explorer opens stores, too: small, in the foreground. */
struct kv_open_options power_options(struct kv_io *io);

#endif
