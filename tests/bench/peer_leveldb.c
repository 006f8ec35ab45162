/* LevelDB as a peer: see peer.h. Bloom filters, a cache of 256 MB, no compression. */
#include <leveldb/c.h>
#include <stdlib.h>

#include "peer.h"

struct bench_store {
    leveldb_t *db;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_options_t *options;
    leveldb_writeoptions_t *write_options;
    leveldb_readoptions_t *read_options;
    leveldb_writebatch_t *batch;
};

struct bench_reader {
    struct bench_store *store;
    leveldb_iterator_t *iterator; /* stands on the next row; NULL: nothing was sought */
    char *value;                  /* handed out last; freed by us */
    bool is_fresh;                /* the row it stands on has not been handed out */
};

static void must(char *error)
{
    if (error)
        bench_fail("LevelDB: %s", error);
}

static struct bench_store *store_open(const char *directory, bool durable)
{
    struct bench_store *store = bench_allocate(sizeof(*store));
    char *error = NULL;

    store->cache = leveldb_cache_create_lru((size_t)256 << 20);
    store->filter = leveldb_filterpolicy_create_bloom(10);
    store->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(store->options, 1);
    leveldb_options_set_compression(store->options, leveldb_no_compression);
    leveldb_options_set_cache(store->options, store->cache);
    leveldb_options_set_filter_policy(store->options, store->filter);
    store->write_options = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(store->write_options, durable);
    store->read_options = leveldb_readoptions_create();
    store->batch = leveldb_writebatch_create();
    store->db = leveldb_open(store->options, directory, &error);
    must(error);
    return store;
}

static void store_close(struct bench_store *store)
{
    leveldb_close(store->db);
    leveldb_writebatch_destroy(store->batch);
    leveldb_readoptions_destroy(store->read_options);
    leveldb_writeoptions_destroy(store->write_options);
    leveldb_options_destroy(store->options);
    leveldb_filterpolicy_destroy(store->filter);
    leveldb_cache_destroy(store->cache);
    free(store);
}

static void begin(struct bench_store *store)
{
    leveldb_writebatch_clear(store->batch);
}

static void put(struct bench_store *store, struct kv_slice key, struct kv_slice value)
{
    leveldb_writebatch_put(store->batch, (const char *)key.data, key.size, (const char *)value.data,
                           value.size);
}

static void erase(struct bench_store *store, struct kv_slice key)
{
    leveldb_writebatch_delete(store->batch, (const char *)key.data, key.size);
}

static void commit(struct bench_store *store)
{
    char *error = NULL;

    leveldb_write(store->db, store->write_options, store->batch, &error);
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
        leveldb_iter_destroy(reader->iterator);
    leveldb_free(reader->value);
    free(reader);
}

static bool get(struct bench_reader *reader, struct kv_slice key, struct kv_slice *value)
{
    struct bench_store *store = reader->store;
    char *error = NULL;
    size_t size;

    leveldb_free(reader->value);
    reader->value = leveldb_get(store->db, store->read_options, (const char *)key.data, key.size,
                                &size, &error);
    must(error);
    if (!reader->value)
        return false;
    *value = kv_slice_of(reader->value, size);
    return true;
}

static void seek(struct bench_reader *reader, struct kv_slice key)
{
    struct bench_store *store = reader->store;

    if (!reader->iterator)
        reader->iterator = leveldb_create_iterator(store->db, store->read_options);
    leveldb_iter_seek(reader->iterator, (const char *)key.data, key.size);
    reader->is_fresh = true;
}

static bool next(struct bench_reader *reader, struct kv_slice *key, struct kv_slice *value)
{
    char *error = NULL;

    if (!reader->is_fresh)
        leveldb_iter_next(reader->iterator);
    reader->is_fresh = false;
    if (!leveldb_iter_valid(reader->iterator)) {
        leveldb_iter_get_error(reader->iterator, &error);
        must(error);
        return false;
    }
    key->data = (const void *)leveldb_iter_key(reader->iterator, &key->size);
    value->data = (const void *)leveldb_iter_value(reader->iterator, &value->size);
    return true;
}

static void compact(struct bench_store *store)
{
    leveldb_compact_range(store->db, NULL, 0, NULL, 0);
}

const struct bench_peer bench_peer_leveldb = {
    "LevelDB",  store_open,  store_close, begin, put,  erase,   commit,
    reader_new, reader_free, get,         seek,  next, compact,
};
