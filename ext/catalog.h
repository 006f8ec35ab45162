/*
 * Finding kv tables by name, as SQLite resolves names: temp, main, then
 * attached databases in order. SQLite connects a table only when a statement
 * names it, so tables that this connection has not used yet are connected here.
 */
#ifndef KV_EXT_CATALOG_H
#define KV_EXT_CATALOG_H

#include "vtab.h"

/*
 * The table called `name`, which is `table` or `schema.table`. An SQLite code;
 * on failure `*error` is a message that begins with `caller`.
 */
int kv_catalog_find(struct kv_connection *connection, const char *caller, const char *name,
                    struct kv_table **out, char **error);

/*
 * Call `each` for every kv table of the connection, or for the one that
 * `name` (unless NULL) names. What `each` fails with ends it; its message is the table's.
 */
int kv_catalog_each(struct kv_connection *connection, const char *caller, sqlite3_value *name,
                    int (*each)(void *context, struct kv_table *table), void *context,
                    char **error);

#endif
