/*
 * The oracle: what is read one way must be what is read the other way.
 *
 * Hostile bytes with good checksums may say anything, and a check then names the
 * contradictions. What a check calls sound must answer every question alike.
 */
#ifndef KV_FUZZ_AGREE_H
#define KV_FUZZ_AGREE_H

#include <stdbool.h>

#include "iter.h"
#include "kv.h"

/* A source of entries, and how to look one up in it: OK, DONE, or any failure. */
struct agree_source {
    void *context;
    enum kv_status (*get)(void *context, struct kv_slice key, struct kv_entry *out);
    enum kv_status (*scan)(void *context, bool descending,
                           void (*each)(void *collector, const struct kv_entry *entry),
                           void *collector);
};

/* Read all of it, both ways and key by key; `sound`: fail unless everything agrees. */
void agree_source(const struct agree_source *source, bool sound);

/* The same for an open store, as its own check says. Returns how many rows it has. */
uint64_t agree_store(struct kv_store *store);

/* What kv_check says of a directory: no problems, and it could be checked. */
bool agree_is_sound(const char *path, struct kv_io *io);

#endif
