/*
 * The store object behind kv.h: an engine, its users, and the settings of the
 * first of them. Private to the façade (store, txn, snapshot, scan, stats).
 */
#ifndef KV_STORE_H
#define KV_STORE_H

#include "engine.h"
#include "kv.h"
#include "maintain.h"
#include "pace.h"

struct kv_store {
    struct kv_engine engine;
    struct kv_settings settings;
    struct kv_buffer schema;     /* a copy of the manifest's */
    struct kv_identity identity; /* of the directory: the key of the registry */
    unsigned users;              /* under the registry's mutex */
    bool temporary;
    bool claimed;                    /* see kv_store_claim: nobody uses it */
    struct kv_maintainer maintainer; /* not running in the foreground, and in read-only stores */
    struct kv_pace pace;
    struct kv_store *next; /* in the registry */
};

enum { KV_CACHE_LINE_BYTES = 64 };

/* Cache lines of its own: threads would take the pin's, which each read changes, from each other. */
struct kv_snapshot {
    _Alignas(KV_CACHE_LINE_BYTES) struct kv_store *store;
    struct kv_pin pin;
    uint64_t lsn;
    bool held;
};

/*
 * Claim an existing directory for work on its files that no user of a store may meet: nobody
 * has it open, here or elsewhere, and nobody can open it until it is given back. `*out` has
 * its place, without uuid, and its lock; no manifest, no version. LOCK is created if need be.
 * KV_BUSY: somebody has it open.
 */
enum kv_status kv_store_claim(struct kv_io *io, const char *path, unsigned file_mode,
                              struct kv_store **out) KV_WARN_UNUSED;
void kv_store_unclaim(struct kv_store *store); /* NULL is fine */

/* The settings that a call goes by. */
static inline const struct kv_settings *kv_store_settings(const struct kv_store *store,
                                                          const struct kv_settings *settings)
{
    return settings ? settings : &store->settings;
}

#endif
