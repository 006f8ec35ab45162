/*
 * The store object behind kv.h: an engine, its users, and the settings of the
 * first of them. Private to the façade (store, txn, snapshot, scan, stats).
 */
#ifndef KV_STORE_H
#define KV_STORE_H

#include "engine.h"
#include "kv.h"
#include "maintain.h"

struct kv_store {
    struct kv_engine engine;
    struct kv_settings settings;
    struct kv_buffer schema;     /* a copy of the manifest's */
    struct kv_identity identity; /* of the directory: the key of the registry */
    unsigned users;              /* under the registry's mutex */
    bool temporary;
    struct kv_maintainer maintainer; /* not running in the foreground, and in read-only stores */
    struct kv_store *next;           /* in the registry */
};

struct kv_snapshot {
    struct kv_store *store;
    struct kv_pin pin;
    uint64_t lsn;
    bool held;
};

/* The settings that a call goes by. */
static inline const struct kv_settings *kv_store_settings(const struct kv_store *store,
                                                          const struct kv_settings *settings)
{
    return settings ? settings : &store->settings;
}

#endif
