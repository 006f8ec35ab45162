/* A write transaction, as the rest of the façade sees it: its writes. */
#ifndef KV_TXN_H
#define KV_TXN_H

#include "overflow.h"
#include "store.h"
#include "write_set.h"

struct kv_txn {
    struct kv_store *store;
    const struct kv_settings *settings;
    struct kv_pin pin; /* what it reads beside its own writes */
    uint64_t lsn;
    struct kv_write_set *set;
    struct kv_overflow overflow; /* records that come before the set's; mostly none */
    struct kv_write_views views;
    uint64_t nonce;
    bool sealed; /* a log, on the way: there may be something to merge */
    bool prepared;
    bool durable;            /* prepared, and synced since */
    bool failed;             /* its commit was in doubt, or its log is gone: only abort remains */
    struct kv_commit commit; /* of a prepared transaction with records */
};

/* The newest own record of `key`, as kv_write_set_get. */
enum kv_status kv_txn_get_own(struct kv_txn *txn, uint64_t hash, struct kv_slice key,
                              struct kv_entry *out) KV_WARN_UNUSED;

/* Iterators over own records, newest first, into `out` (room for kv_txn_iter_max()); `*view` as kv_write_set_iters. */
size_t kv_txn_iter_max(const struct kv_txn *txn);
enum kv_status kv_txn_iters(struct kv_txn *txn, struct kv_iter **out, size_t *count,
                            struct kv_write_view **view) KV_WARN_UNUSED;

#endif
