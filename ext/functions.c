/* The scalar functions: see functions.h. */
#include "functions.h"

#include "budget.h"
#include "catalog.h"
#include "location.h"
#include "maintenance.h"

static struct kv_connection *connection_of(sqlite3_context *context)
{
    return (struct kv_connection *)sqlite3_user_data(context);
}

/* ---- Of one table, or of all */

/* What the tables visited so far add up to. Tables on one store count once. */
struct total {
    uint64_t number;
    const struct kv_compact_budget *budget; /* NULL: none */
    struct kv_store *stores[64]; /* the last ones; compacting again finds nothing to do */
    unsigned store_count;
};

static bool is_done(struct total *total, struct kv_store *store)
{
    const unsigned kept = sizeof(total->stores) / sizeof(*total->stores);

    for (unsigned i = 0; i < total->store_count && i < kept; i++)
        if (total->stores[i] == store)
            return true;
    total->stores[total->store_count++ % kept] = store;
    return false;
}

static int compact_table(void *context, struct kv_table *table)
{
    struct total *total = (struct total *)context;
    uint64_t bytes = 0;
    int code = kv_table_open(table);

    if (code == SQLITE_OK && !is_done(total, table->link->store))
        code = kv_maintenance_compact(table, total->budget, &bytes);
    total->number += bytes;
    return code;
}

static int sync_table(void *context, struct kv_table *table)
{
    struct total *total = (struct total *)context;
    uint64_t seq;
    int code = kv_maintenance_sync(table, &seq);

    if (seq > total->number)
        total->number = seq;
    return code;
}

static void run_on_tables(sqlite3_context *context, const char *caller, int argc,
                          sqlite3_value **argv, int (*each)(void *context, struct kv_table *table),
                          const struct kv_compact_budget *budget)
{
    struct total total = {.budget = budget};
    char *error = NULL;
    int code = kv_catalog_each(connection_of(context), caller, argc ? argv[0] : NULL, each, &total,
                               &error);

    if (code == SQLITE_OK)
        sqlite3_result_int64(context, (sqlite3_int64)total.number);
    else
        kv_result_error(context, code, error);
}

static void compact_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct kv_compact_budget budget;
    char *error = NULL;
    int code = argc > 1 ? kv_budget_parse("kv_compact", argv[1], &budget, &error) : SQLITE_OK;

    if (code == SQLITE_OK)
        run_on_tables(context, "kv_compact", argc, argv, compact_table, argc > 1 ? &budget : NULL);
    else
        kv_result_error(context, code, error);
}

static void sync_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    run_on_tables(context, "kv_sync", argc, argv, sync_table, NULL);
}

/* ---- kv_backup */

struct backup {
    const char *directory;
    uint64_t copied_bytes;
};

static int backup_table(void *context, struct kv_table *table)
{
    struct backup *backup = (struct backup *)context;

    return kv_maintenance_backup(table, backup->directory, &backup->copied_bytes);
}

static void backup_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct backup backup = {.directory = (const char *)sqlite3_value_text(argv[1])};
    char *error = NULL;
    int code;

    (void)argc;
    if (backup.directory && *backup.directory)
        code = kv_catalog_each(connection_of(context), "kv_backup", argv[0], backup_table, &backup,
                               &error);
    else
        code = kv_error(&error, SQLITE_ERROR, "kv_backup", "the path of a directory is expected");
    if (code == SQLITE_OK)
        sqlite3_result_int64(context, (sqlite3_int64)backup.copied_bytes);
    else
        kv_result_error(context, code, error);
}

/* ---- kv_destroy */

static int destroy(struct kv_connection *connection, const char *path, char **error)
{
    char *resolved;
    enum kv_status st;

    if (kv_connection_in_transaction(connection))
        return kv_error(error, SQLITE_ERROR, "kv_destroy",
                        "not possible inside a transaction; COMMIT or ROLLBACK first");
    resolved = kv_location_resolve(kv_database_file(connection->db, "main"), path);
    if (!resolved)
        return SQLITE_NOMEM;
    st = kv_destroy(resolved, NULL);
    sqlite3_free(resolved);
    return st == KV_OK ? SQLITE_OK : kv_error_of(error, "kv_destroy", st);
}

static void destroy_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const char *path = (const char *)sqlite3_value_text(argv[0]);
    char *error = NULL;
    int code;

    (void)argc;
    if (path && *path)
        code = destroy(connection_of(context), path, &error);
    else
        code = kv_error(&error, SQLITE_ERROR, "kv_destroy", "the path of a store is expected");
    if (code != SQLITE_OK)
        kv_result_error(context, code, error);
}

/* ---- What is running */

static void version_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc, (void)argv;
    sqlite3_result_text(context, KV_VERSION, -1, SQLITE_STATIC);
}

#ifdef __clang__
#define COMPILER __VERSION__ /* says clang itself */
#else
#define COMPILER "gcc " __VERSION__
#endif

static void debug_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    char *text = sqlite3_mprintf("sqlite-kv " KV_VERSION "; built by " COMPILER
                                 " for SQLite " SQLITE_VERSION "; SQLite %s; %s",
                                 sqlite3_libversion(), kv_build());

    (void)argc, (void)argv;
    sqlite3_result_text(context, text, -1, sqlite3_free);
}

/* ---- Registering */

int kv_functions_register(struct kv_connection *connection)
{
    static const struct {
        const char *name;
        int argument_count;
        int flags;
        void (*call)(sqlite3_context *, int, sqlite3_value **);
    } functions[] = {
        /* What touches files must not be called by the schema of a crafted database. */
        {"kv_compact", 0, SQLITE_DIRECTONLY, compact_function},
        {"kv_compact", 1, SQLITE_DIRECTONLY, compact_function},
        {"kv_compact", 2, SQLITE_DIRECTONLY, compact_function},
        {"kv_sync", 0, SQLITE_DIRECTONLY, sync_function},
        {"kv_sync", 1, SQLITE_DIRECTONLY, sync_function},
        {"kv_backup", 2, SQLITE_DIRECTONLY, backup_function},
        {"kv_destroy", 1, SQLITE_DIRECTONLY, destroy_function},
        {"kv_version", 0, SQLITE_INNOCUOUS | SQLITE_DETERMINISTIC, version_function},
        {"kv_debug", 0, SQLITE_INNOCUOUS, debug_function},
    };
    int code = SQLITE_OK;

    for (size_t i = 0; i < sizeof(functions) / sizeof(*functions) && code == SQLITE_OK; i++)
        code = sqlite3_create_function_v2(
            connection->db, functions[i].name, functions[i].argument_count,
            SQLITE_UTF8 | functions[i].flags, kv_connection_hold(connection), functions[i].call,
            NULL, NULL, kv_connection_release);
    return code;
}
