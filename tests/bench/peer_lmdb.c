/*
 * LMDB as a peer: see peer.h. Without durability it writes through its map and
 * leaves syncing to the system, which is its fastest.
 */
#include <lmdb.h>
#include <stdlib.h>

#include "peer.h"

struct bench_store {
    MDB_env *environment;
    MDB_dbi table;
    MDB_txn *txn;
};

struct bench_reader {
    MDB_dbi table;
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    int result; /* of moving the cursor: what it stands on is not handed out yet */
};

static void must(int result)
{
    if (result)
        bench_fail("LMDB: %s", mdb_strerror(result));
}

static MDB_val value_of(struct kv_slice slice)
{
    return (MDB_val){.mv_size = slice.size, .mv_data = (void *)(uintptr_t)slice.data};
}

static struct bench_store *store_open(const char *directory, bool durable)
{
    static const size_t map_bytes = (size_t)64 << 30; /* address space, not disk */
    struct bench_store *store = bench_allocate(sizeof(*store));
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (durable ? 0 : MDB_WRITEMAP | MDB_NOSYNC);
    MDB_txn *txn;

    must(mdb_env_create(&store->environment));
    must(mdb_env_set_mapsize(store->environment, map_bytes));
    must(mdb_env_open(store->environment, directory, flags, 0666));
    must(mdb_txn_begin(store->environment, NULL, 0, &txn));
    must(mdb_dbi_open(txn, NULL, MDB_CREATE, &store->table));
    must(mdb_txn_commit(txn));
    return store;
}

static void store_close(struct bench_store *store)
{
    mdb_env_close(store->environment);
    free(store);
}

static void begin(struct bench_store *store)
{
    must(mdb_txn_begin(store->environment, NULL, 0, &store->txn));
}

static void put(struct bench_store *store, struct kv_slice key, struct kv_slice value)
{
    MDB_val k = value_of(key), v = value_of(value);

    must(mdb_put(store->txn, store->table, &k, &v, 0));
}

static void erase(struct bench_store *store, struct kv_slice key)
{
    MDB_val k = value_of(key);

    must(mdb_del(store->txn, store->table, &k, NULL));
}

static void commit(struct bench_store *store)
{
    must(mdb_txn_commit(store->txn));
}

static struct bench_reader *reader_new(struct bench_store *store)
{
    struct bench_reader *reader = bench_allocate(sizeof(*reader));

    reader->table = store->table;
    must(mdb_txn_begin(store->environment, NULL, MDB_RDONLY, &reader->txn));
    must(mdb_cursor_open(reader->txn, reader->table, &reader->cursor));
    return reader;
}

static void reader_free(struct bench_reader *reader)
{
    mdb_cursor_close(reader->cursor);
    mdb_txn_abort(reader->txn);
    free(reader);
}

static bool get(struct bench_reader *reader, struct kv_slice key, struct kv_slice *value)
{
    MDB_val k = value_of(key), v;
    int result = mdb_get(reader->txn, reader->table, &k, &v);

    if (result == MDB_NOTFOUND)
        return false;
    must(result);
    *value = kv_slice_of(v.mv_data, v.mv_size);
    return true;
}

static void seek(struct bench_reader *reader, struct kv_slice key)
{
    reader->key = value_of(key);
    reader->result = mdb_cursor_get(reader->cursor, &reader->key, &reader->value, MDB_SET_RANGE);
}

static bool next(struct bench_reader *reader, struct kv_slice *key, struct kv_slice *value)
{
    if (reader->result == MDB_NOTFOUND)
        return false;
    must(reader->result);
    *key = kv_slice_of(reader->key.mv_data, reader->key.mv_size);
    *value = kv_slice_of(reader->value.mv_data, reader->value.mv_size);
    /* The map stays where it is, so what was handed out remains valid. */
    reader->result = mdb_cursor_get(reader->cursor, &reader->key, &reader->value, MDB_NEXT);
    return true;
}

const struct bench_peer bench_peer_lmdb = {
    "LMDB",     store_open,  store_close, begin, put,  erase, commit,
    reader_new, reader_free, get,         seek,  next, NULL,
};
