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
    uint64_t hash_seed; /* secret of the store: hashes of keys are seeded with it */
    unsigned file_mode; /* permission bits of new files */
    bool readonly;      /* nothing is created, changed or removed */
};

#endif
