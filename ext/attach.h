/* A kv table's store: making or attaching it at CREATE, opening it later. */
#ifndef KV_EXT_ATTACH_H
#define KV_EXT_ATTACH_H

#include "vtab.h"

/* At CREATE: find the place, make or attach the store, record it in the shadow table. */
int kv_table_create_store(struct kv_table *table);

/* At the first use later: open the store that the shadow table names. */
int kv_table_open_store(struct kv_table *table);

/* The directory of the table's store, whether or not it can be opened; for sqlite3_free. An SQLite code. */
int kv_table_store_path(struct kv_table *table, char **out);

#endif
