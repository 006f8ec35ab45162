/*
 * An episode: two fresh worlds, a few tables, and a long list of operations,
 * all made from one number.
 */
#ifndef KV_DIFFERENTIAL_EPISODE_H
#define KV_DIFFERENTIAL_EPISODE_H

#include <stdint.h>

#include "op.h"
#include "table.h"
#include "world.h"

enum { PRAGMAS_BYTES = 400 };

struct episode {
    uint64_t seed;
    struct setting setting;
    char pragmas[PRAGMAS_BYTES];
    struct table tables[TABLE_COUNT];
    struct op_list ops;
};

/* Make the episode of `seed`, with about `count` operations. */
void episode_init(struct episode *episode, uint64_t seed, size_t count);
void episode_release(struct episode *episode);

#endif
