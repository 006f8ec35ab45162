/* sqlite-kv's engine as a peer: see peer.h. */
#include <stdlib.h>

#include "kv.h"
#include "peer.h"

struct bench_store {
    struct kv_store *store;
    struct kv_txn *txn;
};

struct bench_reader {
    struct kv_snapshot *snapshot;
    struct kv_scan *scan;
};

static void must(enum kv_status st)
{
    if (st != KV_OK)
        bench_fail("kv: %s: %s", kv_status_name(st), kv_message());
}

static struct bench_store *store_open(const char *directory, bool durable)
{
    struct bench_store *store = bench_allocate(sizeof(*store));
    struct kv_open_options options = kv_open_options_default();

    options.mode = KV_OPEN_OR_CREATE;
    options.settings.synchronous = durable ? KV_SYNC_FULL : KV_SYNC_NORMAL;
    must(kv_store_open(directory, &options, &store->store));
    return store;
}

static void store_close(struct bench_store *store)
{
    must(kv_store_close(store->store));
    free(store);
}

static void begin(struct bench_store *store)
{
    must(kv_txn_begin(store->store, NULL, &store->txn));
}

static void put(struct bench_store *store, struct kv_slice key, struct kv_slice value)
{
    must(kv_txn_put(store->txn, key, value));
}

static void erase(struct bench_store *store, struct kv_slice key)
{
    must(kv_txn_delete(store->txn, key));
}

static void commit(struct bench_store *store)
{
    must(kv_txn_commit(store->txn));
}

static struct bench_reader *reader_new(struct bench_store *store)
{
    struct bench_reader *reader = bench_allocate(sizeof(*reader));

    must(kv_snapshot_new(store->store, &reader->snapshot));
    must(kv_snapshot_acquire(reader->snapshot));
    return reader;
}

static void reader_free(struct bench_reader *reader)
{
    kv_scan_close(reader->scan);
    kv_snapshot_free(reader->snapshot);
    free(reader);
}

static bool get(struct bench_reader *reader, struct kv_slice key, struct kv_slice *value)
{
    struct kv_entry entry;
    enum kv_status st = kv_snapshot_get(reader->snapshot, NULL, key, &entry);

    if (st == KV_DONE)
        return false;
    must(st);
    *value = entry.row;
    return true;
}

static void seek(struct bench_reader *reader, struct kv_slice key)
{
    struct kv_range range = {.has_lower = true, .lower = key};

    kv_scan_close(reader->scan);
    must(kv_scan_open(reader->snapshot, NULL, &range, &reader->scan));
}

static bool next(struct bench_reader *reader, struct kv_slice *key, struct kv_slice *value)
{
    struct kv_entry entry;
    enum kv_status st = kv_scan_next(reader->scan, &entry);

    if (st == KV_DONE)
        return false;
    must(st);
    *key = entry.key;
    *value = entry.row;
    return true;
}

static void compact(struct bench_store *store)
{
    must(kv_compact(store->store, NULL, NULL));
}

const struct bench_peer bench_peer_kv = {
    "kv",       store_open,  store_close, begin, put,  erase,   commit,
    reader_new, reader_free, get,         seek,  next, compact,
};
