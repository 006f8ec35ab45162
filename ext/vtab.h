/*
 * The virtual table: what SQLite calls a kv table, from CREATE to DROP.
 *
 * Connecting only declares the columns: it creates nothing, opens nothing and
 * cannot fail for reasons that lie in the store, since DROP and RENAME connect
 * first. The store is opened by the first statement that needs it; what is
 * wrong with it, or with the arguments, is reported there, each time anew.
 */
#ifndef KV_EXT_VTAB_H
#define KV_EXT_VTAB_H

#include "arguments.h"
#include "connection.h"
#include "errors.h"
#include "link.h"
#include "scratch.h"
#include "sqlite.h"

struct kv_cursor;

struct kv_table {
    sqlite3_vtab base; /* SQLite's part comes first */
    struct kv_connection *connection;
    struct kv_link *link; /* NULL until the store is needed */
    char *schema, *name;
    struct kv_definition definition;
    bool is_created;                     /* by a transaction that is still open */
    char *trouble;                       /* what is wrong with the arguments; NULL: nothing */
    struct kv_cell *cells;               /* one a value column, for the row being written */
    struct kv_scratch key, old_key, row; /* the same, encoded */
    struct kv_cursor *idle;              /* a closed cursor kept for the next statement */
    struct kv_table *next;               /* of the connection */
};

/* Open the store unless it is open. An SQLite code; the message is in base.zErrMsg. */
int kv_table_open(struct kv_table *table);

/* Set the table's message, after its name, and return `code`. */
int kv_table_error(struct kv_table *table, int code, const char *format, ...) KV_PRINTF(3, 4);

/* The same for what the engine just failed with. KV_OK and KV_DONE are SQLITE_OK. */
int kv_table_status(struct kv_table *table, enum kv_status st);

/* Give up the table's use of its store. */
void kv_table_leave(struct kv_table *table);

/* Register the module; SQLite's code. */
int kv_table_register(struct kv_connection *connection);

/* The file of the schema's database; "" if it has none (in memory, or temporary). */
const char *kv_database_file(sqlite3 *db, const char *schema);

#endif
