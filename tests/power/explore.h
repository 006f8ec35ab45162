/* Every state that a disk may be in, at every moment of a trace, checked. */
#ifndef KV_POWER_EXPLORE_H
#define KV_POWER_EXPLORE_H

#include "workload.h"

struct exploration {
    unsigned samples;      /* of each moment before a sync; of others fewer */
    unsigned exhaust;      /* so many combinations are tried one by one */
    unsigned nest_percent; /* of the states: their recovery is cut, too */
    unsigned nest_samples; /* states for each of those */
};

/* Run a workload and explore its trace. */
void explore(const struct exploration *exploration, const struct profile *profile, uint64_t seed);

#endif
