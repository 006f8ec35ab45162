/*
 * Ordered key-value stores as C libraries, behind one set of functions, so that
 * one workload measures all. Each peer_<name>.c is linked if its library is
 * installed. Every failure ends the program. Keys have BENCH_KEY_BYTES.
 */
#ifndef KV_BENCH_PEER_H
#define KV_BENCH_PEER_H

#include "common.h"
#include "slice.h"

struct bench_store;
struct bench_reader;

struct bench_peer {
    const char *name;

    /* In an empty directory. `durable`: commits are on disk when they return. */
    struct bench_store *(*open)(const char *directory, bool durable);
    void (*close)(struct bench_store *store);

    /* One transaction at a time. Key and value are copied. */
    void (*begin)(struct bench_store *store);
    void (*put)(struct bench_store *store, struct kv_slice key, struct kv_slice value);
    void (*erase)(struct bench_store *store, struct kv_slice key);
    void (*commit)(struct bench_store *store);

    /* Sees what is committed when it is made; used by one thread. */
    struct bench_reader *(*reader_new)(struct bench_store *store);
    void (*reader_free)(struct bench_reader *reader);

    /* What they hand out is valid until the next call. false: no such key, no more rows. */
    bool (*get)(struct bench_reader *reader, struct kv_slice key, struct kv_slice *value);
    void (*seek)(struct bench_reader *reader, struct kv_slice key);
    bool (*next)(struct bench_reader *reader, struct kv_slice *key, struct kv_slice *value);

    void (*compact)(struct bench_store *store); /* NULL: there is no such thing */
};

/* What is not linked has no address. */
extern const struct bench_peer bench_peer_kv;
extern const struct bench_peer bench_peer_lmdb __attribute__((weak));
extern const struct bench_peer bench_peer_leveldb __attribute__((weak));
extern const struct bench_peer bench_peer_rocksdb __attribute__((weak));

/* Allocate zeroed memory. */
void *bench_allocate(size_t bytes);

#endif
