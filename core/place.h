/* Where a store lives: what every module that touches its files needs to know. */
#ifndef KV_PLACE_H
#define KV_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "header.h"
#include "io.h"

/* Filled when the store is opened, constant from then on; outlives all that points to it. */
struct kv_place {
    struct kv_io *io;
    struct kv_dir *dir;
    const char *path; /* for messages */
    uint8_t uuid[KV_UUID_BYTES];
    uint64_t hash_seed;    /* secret of the store: hashes of keys are seeded with it */
    uint64_t table_secret; /* of this opening: where hashes go in tables in memory */
    unsigned file_mode;    /* permission bits of new files */
    bool readonly;         /* nothing is created, changed or removed */
};

/*
 * Remove a segment's data and index, as far as they are there. What cannot be
 * removed is a file that no manifest names, and goes at the next opening. Leaves this
 * thread's message as it is: it may be about the failure that led here. False: the data may still
 * be there.
 */
bool kv_place_remove_segment(const struct kv_place *place, uint64_t number);

#endif
