/*
 * The entry points: everything is registered from here.
 *
 * SQLite calls are made through a table of functions that the host hands
 * over, kept in one variable for all of this library. So all connections of
 * the process must belong to the same SQLite library: one with another table is refused.
 *
 * The background thread of a store outlives the connection that started it,
 * so the library must never be unloaded: SQLITE_OK_LOAD_PERMANENTLY says so
 * to sqlite3_load_extension(). Where the extension is linked in, or called by
 * sqlite3_auto_extension(), that code reads as a failure: hence two entry points.
 */
#include "sqlite.h"

#include <pthread.h>

#include "functions.h"
#include "tables.h"
#include "vtab.h"
#include "witness.h"

SQLITE_EXTENSION_INIT1

#define EXPORT __attribute__((visibility("default")))

EXPORT int sqlite3_kv_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);
EXPORT int sqlite3_kv_static_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

/*
 * Call SQLite through `api` from now on. Messages are made by the host that reads them. Linked
 * into the same program as SQLite, there is only one, called directly.
 */
static int adopt_host(char **error, const sqlite3_api_routines *api)
{
#ifdef SQLITE_CORE
    (void)api;
    if (sqlite3_libversion_number() >= KV_SQLITE_MIN)
        return SQLITE_OK;
    *error =
        sqlite3_mprintf("sqlite-kv needs SQLite 3.38 or newer; this is %s", sqlite3_libversion());
    return SQLITE_ERROR;
#else
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const sqlite3_api_routines *adopted;

    if (!api)
        return SQLITE_ERROR;
    if (api->libversion_number() < KV_SQLITE_MIN) {
        *error =
            api->mprintf("sqlite-kv needs SQLite 3.38 or newer; this is %s", api->libversion());
        return SQLITE_ERROR;
    }
    pthread_mutex_lock(&lock);
    if (!sqlite3_api)
        sqlite3_api = api;
    adopted = sqlite3_api;
    pthread_mutex_unlock(&lock);
    if (adopted == api)
        return SQLITE_OK;
    *error = api->mprintf("sqlite-kv is in use by another SQLite library (%s) in this process; "
                          "it serves one of them only",
                          adopted->libversion());
    return SQLITE_ERROR;
#endif
}

static int register_all(struct kv_connection *connection)
{
    int code = kv_table_register(connection);

    if (code == SQLITE_OK)
        code = kv_witness_register(connection);
    if (code == SQLITE_OK)
        code = kv_functions_register(connection);
    if (code == SQLITE_OK)
        code = kv_tables_register(connection);
    return code;
}

static int load(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
    struct kv_connection *connection;
    bool is_new;
    int code = adopt_host(error, api);

    if (code != SQLITE_OK)
        return code;
    connection = kv_connection_get(db, &is_new);
    if (!connection)
        return SQLITE_NOMEM;
    if (is_new)
        code = register_all(connection);
    if (code != SQLITE_OK)
        *error = sqlite3_mprintf("sqlite-kv: %s", sqlite3_errmsg(db));
    kv_connection_release(connection);
    return code;
}

int sqlite3_kv_init(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
    int code = load(db, error, api);

    return code == SQLITE_OK ? SQLITE_OK_LOAD_PERMANENTLY : code;
}

int sqlite3_kv_static_init(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
    return load(db, error, api);
}
