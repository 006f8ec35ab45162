/*
 * The keys of an IN list, looked up in key order, each once.
 *
 * Rows are looked up as the reader comes to them, without the writes of a
 * transaction. To see these, as they are now, everything is looked up in
 * advance; only own rows are copied, all others stay where they are.
 */
#ifndef KV_EXT_BATCH_H
#define KV_EXT_BATCH_H

#include "connection.h"
#include "kv.h"
#include "scratch.h"

struct kv_batch_item;

struct kv_batch {
    struct kv_scratch keys; /* one after the other */
    struct kv_scratch own;  /* copies of own rows, the same way */
    struct kv_batch_item *items;
    struct kv_connection *connection; /* asked now and then while no row is found */
    size_t count, capacity, position;
    bool is_prefetched;
    bool is_descending;
};

/* Forget the keys, but keep the memory. */
void kv_batch_clear(struct kv_batch *batch, struct kv_connection *connection);

/* Add a key, which is copied. */
enum kv_status kv_batch_add(struct kv_batch *batch, struct kv_slice key) KV_WARN_UNUSED;

/* All keys are there: put them in order, and go back to the first, or the last. */
void kv_batch_start(struct kv_batch *batch, bool descending);

/* Look everything up now, in the snapshot and in the writes of `txn`. KV_INTERRUPTED. */
enum kv_status kv_batch_prefetch(struct kv_batch *batch, struct kv_snapshot *snapshot,
                                 struct kv_txn *txn) KV_WARN_UNUSED;

/* The next row that exists; it stays until the snapshot is released. KV_DONE: no more. KV_INTERRUPTED. */
enum kv_status kv_batch_next(struct kv_batch *batch, struct kv_snapshot *snapshot,
                             struct kv_slice *key, struct kv_slice *row) KV_WARN_UNUSED;

/* Give back what a long list took. */
void kv_batch_trim(struct kv_batch *batch);
void kv_batch_release(struct kv_batch *batch);

#endif
