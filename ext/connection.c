/* State of one database connection: see connection.h. */
#include "connection.h"

#include <pthread.h>

#include "link.h"

/*
 * The timeout of a connection that is interrupted while it is read: whoever waits asks
 * for interruption before anything else, and is told so instead of BUSY.
 */
enum { ASKS_FIRST_MS = 1000 };

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kv_connection *registry;

static struct kv_connection *find(sqlite3 *db)
{
    struct kv_connection *connection = registry;

    while (connection && connection->db != db)
        connection = connection->next;
    return connection;
}

static struct kv_connection *add(sqlite3 *db)
{
    struct kv_connection *connection =
        (struct kv_connection *)sqlite3_malloc64(sizeof(*connection));

    if (connection) {
        *connection = (struct kv_connection){.db = db, .next = registry};
        registry = connection;
    }
    return connection;
}

static void remove_from_registry(struct kv_connection *connection)
{
    struct kv_connection **at = &registry;

    while (*at != connection)
        at = &(*at)->next;
    *at = connection->next;
}

struct kv_connection *kv_connection_get(sqlite3 *db, bool *is_new)
{
    struct kv_connection *connection;

    pthread_mutex_lock(&registry_lock);
    connection = find(db);
    *is_new = !connection;
    if (!connection)
        connection = add(db);
    if (connection)
        connection->reference_count++;
    pthread_mutex_unlock(&registry_lock);
    return connection;
}

void *kv_connection_hold(struct kv_connection *connection)
{
    pthread_mutex_lock(&registry_lock);
    connection->reference_count++;
    pthread_mutex_unlock(&registry_lock);
    return connection;
}

void kv_connection_release(void *context)
{
    struct kv_connection *connection = (struct kv_connection *)context;
    bool last;

    pthread_mutex_lock(&registry_lock);
    last = --connection->reference_count == 0;
    if (last)
        remove_from_registry(connection);
    pthread_mutex_unlock(&registry_lock);
    if (!last)
        return;
    while (connection->links)
        kv_link_free(connection->links);
    sqlite3_free(connection);
}

unsigned kv_connection_busy_timeout_ms(struct kv_connection *connection)
{
    sqlite3_stmt *statement = NULL;
    int timeout_ms = 0;
    int code = sqlite3_prepare_v2(connection->db, "PRAGMA busy_timeout", -1, &statement, NULL);

    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        timeout_ms = sqlite3_column_int(statement, 0);
    else if (code == SQLITE_INTERRUPT)
        timeout_ms = ASKS_FIRST_MS;
    sqlite3_finalize(statement);
    return timeout_ms > 0 ? (unsigned)timeout_ms : 0;
}

sqlite3_stmt *kv_connection_begin_work(struct kv_connection *connection)
{
    sqlite3_stmt *before = connection->probe;

    if (!KV_HAS_IS_INTERRUPTED()) {
        /* Without a probe each question needs one of its own. */
        connection->probe = NULL;
        (void)sqlite3_prepare_v2(connection->db, "SELECT 1", -1, &connection->probe, NULL);
    }
    return before;
}

void kv_connection_end_work(struct kv_connection *connection, sqlite3_stmt *before)
{
    if (connection->probe != before)
        sqlite3_finalize(connection->probe);
    connection->probe = before;
}

bool kv_connection_interrupted(void *context)
{
    struct kv_connection *connection = (struct kv_connection *)context;
    sqlite3_stmt *probe = connection->probe;
    int code = SQLITE_OK;

    if (KV_HAS_IS_INTERRUPTED())
        return kv_sqlite_is_interrupted(connection->db) != 0;
    if (!probe) /* outside of long work, or preparing it was interrupted: as this would be */
        code = sqlite3_prepare_v2(connection->db, "SELECT 1", -1, &probe, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(probe);
    if (probe == connection->probe)
        sqlite3_reset(probe);
    else
        sqlite3_finalize(probe);
    return code == SQLITE_INTERRUPT;
}

bool kv_connection_in_transaction(const struct kv_connection *connection)
{
    return !sqlite3_get_autocommit(connection->db);
}
