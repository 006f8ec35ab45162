/*
 * The store as a torturing process uses it: through SQL, or through kv.h.
 *
 * Both write the same bytes, so processes of both kinds share a store. Failures
 * are statuses with a message in kv_message(), SQLite's translated.
 */
#ifndef KV_TORTURE_TABLE_H
#define KV_TORTURE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "kv.h"

struct table_config {
    const char *store;        /* the directory */
    const char *database;     /* of SQL: a database that has the table kv; NULL: one in memory */
    const char *journal_mode; /* that the database gets; NULL: it stays */
    const char *library;      /* of SQL: kv.so to be loaded; NULL: the extension linked in */
    bool sql;
    bool readonly;
    bool auto_compact;
    enum kv_synchronous synchronous;
};

/* What a snapshot's rows are given to; `pass` is 0 or 1. */
typedef void table_row(void *context, int pass, const char *key, int64_t amount,
                       struct kv_slice pad);

struct table;

struct table_ops {
    enum kv_status (*begin)(struct table *table);
    /* KV_DONE: no such row. Inside a transaction. */
    enum kv_status (*get)(struct table *table, const char *key, int64_t *amount);
    enum kv_status (*put)(struct table *table, const char *key, int64_t amount,
                          struct kv_slice pad);
    enum kv_status (*remove)(struct table *table, const char *key);
    enum kv_status (*mark)(struct table *table); /* one savepoint at a time */
    enum kv_status (*back_to_mark)(struct table *table);
    enum kv_status (*commit)(struct table *table); /* after a failure: abort */
    void (*abort)(struct table *table);
    /*
     * Read all rows of one snapshot twice: pass 0 in one direction, begun before and ended
     * after pass 1 in the other. `pause_ms` lies between. `*seq`: the snapshot's, 0 if unknown.
     */
    enum kv_status (*read)(struct table *table, bool descending, unsigned pause_ms, table_row *row,
                           void *context, uint64_t *seq);
    enum kv_status (*compact)(struct table *table);
    enum kv_status (*sync)(struct table *table);
    enum kv_status (*check)(struct table *table); /* KV_CORRUPT: there is a problem */
    enum kv_status (*close)(struct table *table); /* frees it */
};

/* Embed as the first member of both. */
struct table {
    const struct table_ops *ops;
};

/* Open, or make, the table; settings make it seal and merge all the time. */
enum kv_status table_open(const struct table_config *config, struct table **out) KV_WARN_UNUSED;

/* What table_open calls. */
enum kv_status table_sql_open(const struct table_config *config, struct table **out) KV_WARN_UNUSED;
enum kv_status table_engine_open(const struct table_config *config,
                                 struct table **out) KV_WARN_UNUSED;

enum {
    TABLE_BUSY_MS = 20000,
    TABLE_SEGMENT_BYTES = 64 * 1024,
    TABLE_MAX_SEGMENT_BYTES = 128 * 1024,
    TABLE_FANOUT = 2,
    TABLE_TIERS = 4,
};

#endif
