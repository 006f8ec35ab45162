/* Snapshots, and the verbs that make one for a single call. */
#include <stdlib.h>

#include "hash.h"
#include "txn.h"

enum kv_status kv_snapshot_new(struct kv_store *store, struct kv_snapshot **out)
{
    struct kv_snapshot *snapshot;
    enum kv_status st = kv_engine_check_alive(&store->engine);

    *out = NULL;
    if (st != KV_OK)
        return st;
    *out = snapshot = aligned_alloc(_Alignof(struct kv_snapshot), sizeof(*snapshot));
    if (!snapshot)
        return kv_fail_nomem();
    *snapshot = (struct kv_snapshot){.store = store};
    kv_engine_add_pin(&store->engine, &snapshot->pin);
    return KV_OK;
}

void kv_snapshot_free(struct kv_snapshot *snapshot)
{
    if (!snapshot)
        return;
    if (kv_engine_check_alive(&snapshot->store->engine) == KV_OK)
        kv_engine_remove_pin(&snapshot->store->engine, &snapshot->pin);
    free(snapshot);
}

enum kv_status kv_snapshot_acquire(struct kv_snapshot *snapshot)
{
    enum kv_status st;

    if (snapshot->held)
        return kv_fail(KV_INVALID, "the snapshot is held already");
    st = kv_engine_acquire(&snapshot->store->engine, &snapshot->pin, &snapshot->lsn);
    snapshot->held = st == KV_OK;
    return st;
}

void kv_snapshot_release(struct kv_snapshot *snapshot)
{
    if (!snapshot->held)
        return;
    snapshot->held = false;
    kv_engine_release_pin(&snapshot->pin);
}

uint64_t kv_snapshot_seq(const struct kv_snapshot *snapshot)
{
    return kv_version_seq(snapshot->pin.version, snapshot->lsn);
}

uint64_t kv_store_seq(struct kv_store *store)
{
    struct kv_pin pin = {0};
    uint64_t lsn, seq = 0;

    if (kv_engine_check_alive(&store->engine) != KV_OK)
        return 0;
    kv_engine_add_pin(&store->engine, &pin);
    if (kv_engine_acquire(&store->engine, &pin, &lsn) == KV_OK)
        seq = kv_version_seq(pin.version, lsn);
    kv_engine_remove_pin(&store->engine, &pin);
    return seq;
}

enum kv_status kv_snapshot_get(struct kv_snapshot *snapshot, struct kv_txn *txn,
                               struct kv_slice key, struct kv_entry *out)
{
    uint64_t hash = kv_hash(key, snapshot->store->engine.place.hash_seed);
    enum kv_status st = KV_DONE;

    if (txn)
        st = kv_txn_get_own(txn, hash, key, out);
    if (st == KV_DONE)
        st = kv_version_get(snapshot->pin.version, snapshot->lsn, hash, key, out);
    return st == KV_OK && out->deleted ? KV_DONE : st;
}

/* ---- Verbs of one call */

enum kv_status kv_get(struct kv_store *store, struct kv_slice key, void **row, size_t *row_size)
{
    struct kv_snapshot snapshot = {.store = store};
    struct kv_entry entry;
    enum kv_status st = kv_engine_check_alive(&store->engine);

    *row = NULL;
    *row_size = 0;
    if (st != KV_OK)
        return st;
    kv_engine_add_pin(&store->engine, &snapshot.pin);
    st = kv_engine_acquire(&store->engine, &snapshot.pin, &snapshot.lsn);
    if (st == KV_OK)
        st = kv_snapshot_get(&snapshot, NULL, key, &entry);
    if (st == KV_OK) {
        *row = malloc(entry.row.size + 1);
        if (*row) {
            memcpy(*row, entry.row.data, entry.row.size);
            *row_size = entry.row.size;
        } else {
            st = kv_fail_nomem();
        }
    }
    kv_engine_remove_pin(&store->engine, &snapshot.pin);
    return st;
}

enum kv_status kv_put(struct kv_store *store, struct kv_slice key, struct kv_slice row)
{
    struct kv_txn *txn;
    enum kv_status st = kv_txn_begin(store, NULL, &txn);

    if (st != KV_OK)
        return st;
    st = kv_txn_put(txn, key, row);
    if (st == KV_OK)
        return kv_txn_commit(txn);
    kv_txn_abort(txn);
    return st;
}

enum kv_status kv_delete(struct kv_store *store, struct kv_slice key)
{
    struct kv_txn *txn;
    enum kv_status st = kv_txn_begin(store, NULL, &txn);

    if (st != KV_OK)
        return st;
    st = kv_txn_delete(txn, key);
    if (st == KV_OK)
        return kv_txn_commit(txn);
    kv_txn_abort(txn);
    return st;
}
