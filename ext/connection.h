/*
 * What the extension keeps for one database connection: the tables that are
 * connected, the stores that they use, and how to ask SQLite whether to stop
 * and how long to wait.
 *
 * It lives as long as anything registered with SQLite points to it: each
 * registration holds a reference, given back by its destructor. Loading the
 * extension twice into one connection finds the same object. SQLite serialises
 * all that happens to a connection; only the list of connections has a lock.
 */
#ifndef KV_EXT_CONNECTION_H
#define KV_EXT_CONNECTION_H

#include <stdbool.h>

#include "kv.h"
#include "sqlite.h"

struct kv_link;
struct kv_table;

struct kv_connection {
    sqlite3 *db;
    struct kv_table *tables; /* connected, newest first */
    struct kv_link *links;   /* one a store */
    sqlite3_stmt *probe;     /* during long work: tells whether it was interrupted */
    bool witnessed;          /* the running transaction's end will be told: see witness.h */
    int savepoint_level;     /* the highest that is open, if witnessed; -1: none */
    unsigned reference_count;
    struct kv_connection *next; /* of all connections of the process */
};

/*
 * The object of `db`, with a reference for the caller; NULL: no memory.
 * `*is_new`: nothing is registered with `db` yet.
 */
struct kv_connection *kv_connection_get(sqlite3 *db, bool *is_new);

/* One more reference, for a registration whose destructor is kv_connection_release. */
void *kv_connection_hold(struct kv_connection *connection);

/* Give a reference back; the last one frees. Fits SQLite's destructors. */
void kv_connection_release(void *connection);

/* PRAGMA busy_timeout, or 0 if that cannot be read. */
unsigned kv_connection_busy_timeout_ms(struct kv_connection *connection);

/* Bracket work that may take long, so that kv_connection_interrupted can answer. Nests. */
sqlite3_stmt *kv_connection_begin_work(struct kv_connection *connection);
void kv_connection_end_work(struct kv_connection *connection, sqlite3_stmt *before);

/* Has sqlite3_interrupt() been called? Fits kv_settings.interrupted. */
bool kv_connection_interrupted(void *connection);

/* Is a BEGIN, or a savepoint in its place, open? */
bool kv_connection_in_transaction(const struct kv_connection *connection);

#endif
