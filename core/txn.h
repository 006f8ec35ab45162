/* A write transaction, as the rest of the façade sees it: its writes. */
#ifndef KV_TXN_H
#define KV_TXN_H

#include "store.h"
#include "write_set.h"

struct kv_txn {
    struct kv_store *store;
    const struct kv_settings *settings;
    struct kv_pin pin; /* what it reads beside its own writes */
    uint64_t lsn;
    struct kv_write_set *set;
    uint64_t nonce;
    bool sealed; /* a log, on the way: there may be something to merge */
    bool prepared;
    bool durable;            /* prepared, and synced since */
    bool failed;             /* its commit was in doubt, or its log is gone: only abort remains */
    struct kv_commit commit; /* of a prepared transaction with records */
};

#endif
