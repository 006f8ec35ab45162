/* Compacting, syncing and backing up on demand: see maintenance.h. */
#include "maintenance.h"

#include "attach.h"
#include "location.h"
#include "verify.h"

/* The store open, with no transaction of this connection on it. */
static int prepare(struct kv_table *table, const char *what)
{
    int code = kv_table_open(table);

    if (code != SQLITE_OK)
        return code;
    if (kv_link_has_writes(table->link))
        return kv_table_error(table, SQLITE_ERROR,
                              "%s is not possible inside a transaction with uncommitted changes to "
                              "this table; COMMIT or ROLLBACK first",
                              what);
    if (table->link->txn)
        kv_link_set_aside(table->link);
    return SQLITE_OK;
}

/* The table's settings, for long work that this connection may interrupt. */
static struct kv_settings settings_of(const struct kv_table *table)
{
    struct kv_settings settings = table->definition.settings;

    settings.busy_timeout_ms = kv_connection_busy_timeout_ms(table->connection);
    settings.interrupted = kv_connection_interrupted;
    settings.interrupted_context = table->connection;
    return settings;
}

int kv_maintenance_compact(struct kv_table *table, const struct kv_compact_budget *budget,
                           uint64_t *bytes)
{
    struct kv_connection *connection = table->connection;
    struct kv_settings settings;
    sqlite3_stmt *before;
    enum kv_status st;
    int code = prepare(table, "compacting");

    *bytes = 0;
    if (code != SQLITE_OK)
        return code;
    if (table->definition.readonly)
        return kv_table_error(table, SQLITE_READONLY, "the table was created with readonly=1");
    settings = settings_of(table);
    before = kv_connection_begin_work(connection);
    st = budget ? kv_compact_some(table->link->store, &settings, budget, bytes)
                : kv_compact(table->link->store, &settings, bytes);
    kv_connection_end_work(connection, before);
    return kv_table_status(table, st);
}

int kv_maintenance_sync(struct kv_table *table, uint64_t *seq)
{
    int code = prepare(table, "syncing");

    *seq = 0;
    return code == SQLITE_OK ? kv_table_status(table, kv_sync(table->link->store, seq)) : code;
}

int kv_maintenance_backup(struct kv_table *table, const char *directory, uint64_t *copied_bytes)
{
    struct kv_connection *connection = table->connection;
    struct kv_settings settings;
    sqlite3_stmt *before;
    enum kv_status st;
    char *path;
    int code = prepare(table, "a backup");

    *copied_bytes = 0;
    if (code != SQLITE_OK)
        return code;
    path = kv_location_resolve(kv_database_file(connection->db, table->schema), directory);
    if (!path)
        return SQLITE_NOMEM;
    settings = settings_of(table);
    before = kv_connection_begin_work(connection);
    st = kv_backup(table->link->store, path, &settings, copied_bytes);
    kv_connection_end_work(connection, before);
    sqlite3_free(path);
    return kv_table_status(table, st);
}

int kv_maintenance_command(struct kv_table *table, sqlite3_value *command)
{
    const char *name = (const char *)sqlite3_value_text(command);
    uint64_t result;

    if (!name)
        return SQLITE_NOMEM;
    if (sqlite3_stricmp(name, "compact") == 0)
        return kv_maintenance_compact(table, NULL, &result);
    if (sqlite3_stricmp(name, "sync") == 0)
        return kv_maintenance_sync(table, &result);
    if (sqlite3_stricmp(name, "check") == 0)
        return kv_verify_table(table);
    return kv_table_error(table, SQLITE_ERROR,
                          "unknown command; allowed are 'compact', 'sync' and 'check'");
}
