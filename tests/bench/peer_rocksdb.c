/* RocksDB as a peer: see peer.h. Bloom filters, a cache of 256 MB, no compression. */
#include <rocksdb/c.h>
#include <stdlib.h>

#include "peer.h"

struct bench_store {
    rocksdb_t *db;
    rocksdb_cache_t *cache;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *write_options;
    rocksdb_readoptions_t *read_options;
    rocksdb_writebatch_t *batch;
};

struct bench_reader {
    struct bench_store *store;
    rocksdb_iterator_t *iterator;   /* stands on the next row; NULL: nothing was sought */
    rocksdb_pinnableslice_t *value; /* handed out last */
    bool is_fresh;                  /* the row it stands on has not been handed out */
};

static void must(char *error)
{
    if (error)
        bench_fail("RocksDB: %s", error);
}

static struct bench_store *store_open(const char *directory, bool durable)
{
    struct bench_store *store = bench_allocate(sizeof(*store));
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    char *error = NULL;

    store->cache = rocksdb_cache_create_lru((size_t)256 << 20);
    store->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(store->options, 1);
    rocksdb_options_set_compression(store->options, rocksdb_no_compression);
    rocksdb_block_based_options_set_block_cache(table, store->cache);
    /* The table's options take the filter over. */
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_options_set_block_based_table_factory(store->options, table);
    rocksdb_block_based_options_destroy(table);
    store->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(store->write_options, durable);
    store->read_options = rocksdb_readoptions_create();
    store->batch = rocksdb_writebatch_create();
    store->db = rocksdb_open(store->options, directory, &error);
    must(error);
    return store;
}

static void store_close(struct bench_store *store)
{
    rocksdb_close(store->db);
    rocksdb_writebatch_destroy(store->batch);
    rocksdb_readoptions_destroy(store->read_options);
    rocksdb_writeoptions_destroy(store->write_options);
    rocksdb_options_destroy(store->options);
    rocksdb_cache_destroy(store->cache);
    free(store);
}

static void begin(struct bench_store *store)
{
    rocksdb_writebatch_clear(store->batch);
}

static void put(struct bench_store *store, struct kv_slice key, struct kv_slice value)
{
    rocksdb_writebatch_put(store->batch, (const char *)key.data, key.size, (const char *)value.data,
                           value.size);
}

static void erase(struct bench_store *store, struct kv_slice key)
{
    rocksdb_writebatch_delete(store->batch, (const char *)key.data, key.size);
}

static void commit(struct bench_store *store)
{
    char *error = NULL;

    rocksdb_write(store->db, store->write_options, store->batch, &error);
    must(error);
}

static struct bench_reader *reader_new(struct bench_store *store)
{
    struct bench_reader *reader = bench_allocate(sizeof(*reader));

    reader->store = store;
    return reader;
}

static void reader_free(struct bench_reader *reader)
{
    if (reader->iterator)
        rocksdb_iter_destroy(reader->iterator);
    rocksdb_pinnableslice_destroy(reader->value);
    free(reader);
}

static bool get(struct bench_reader *reader, struct kv_slice key, struct kv_slice *value)
{
    struct bench_store *store = reader->store;
    char *error = NULL;
    const char *data;
    size_t size;

    rocksdb_pinnableslice_destroy(reader->value);
    reader->value = rocksdb_get_pinned(store->db, store->read_options, (const char *)key.data,
                                       key.size, &error);
    must(error);
    if (!reader->value)
        return false;
    data = rocksdb_pinnableslice_value(reader->value, &size);
    *value = kv_slice_of(data, size);
    return true;
}

static void seek(struct bench_reader *reader, struct kv_slice key)
{
    struct bench_store *store = reader->store;

    if (!reader->iterator)
        reader->iterator = rocksdb_create_iterator(store->db, store->read_options);
    rocksdb_iter_seek(reader->iterator, (const char *)key.data, key.size);
    reader->is_fresh = true;
}

static bool next(struct bench_reader *reader, struct kv_slice *key, struct kv_slice *value)
{
    char *error = NULL;

    if (!reader->is_fresh)
        rocksdb_iter_next(reader->iterator);
    reader->is_fresh = false;
    if (!rocksdb_iter_valid(reader->iterator)) {
        rocksdb_iter_get_error(reader->iterator, &error);
        must(error);
        return false;
    }
    key->data = (const void *)rocksdb_iter_key(reader->iterator, &key->size);
    value->data = (const void *)rocksdb_iter_value(reader->iterator, &value->size);
    return true;
}

static void compact(struct bench_store *store)
{
    rocksdb_compact_range(store->db, NULL, 0, NULL, 0);
}

const struct bench_peer bench_peer_rocksdb = {
    "RocksDB",  store_open,  store_close, begin, put,  erase,   commit,
    reader_new, reader_free, get,         seek,  next, compact,
};
