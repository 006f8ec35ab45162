/* Seeing a transaction to its end: see witness.h. */
#include "witness.h"

#include "errors.h"
#include "link.h"

struct witness {
    sqlite3_vtab base;
    struct kv_connection *connection;
};

static struct kv_connection *connection_of(sqlite3_vtab *vtab)
{
    return ((struct witness *)vtab)->connection;
}

static struct kv_link *links_of(sqlite3_vtab *vtab)
{
    return connection_of(vtab)->links;
}

/* ---- A table without rows */

static int witness_connect(sqlite3 *db, void *context, int argc, const char *const *argv,
                           sqlite3_vtab **out, char **error)
{
    struct witness *witness;
    int code = sqlite3_declare_vtab(db, "CREATE TABLE x(unused)");

    (void)argc, (void)argv, (void)error;
    *out = NULL;
    if (code != SQLITE_OK)
        return code;
    sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
    witness = (struct witness *)sqlite3_malloc64(sizeof(*witness));
    if (!witness)
        return SQLITE_NOMEM;
    *witness = (struct witness){.connection = (struct kv_connection *)context};
    *out = &witness->base;
    return SQLITE_OK;
}

static int witness_disconnect(sqlite3_vtab *vtab)
{
    sqlite3_free(vtab->zErrMsg); /* not every caller of ours takes it */
    sqlite3_free(vtab);
    return SQLITE_OK;
}

static int witness_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    (void)vtab;
    info->estimatedCost = 1;
    info->estimatedRows = 1;
    return SQLITE_OK;
}

static int witness_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    (void)vtab;
    *out = (sqlite3_vtab_cursor *)sqlite3_malloc64(sizeof(**out));
    return *out ? SQLITE_OK : SQLITE_NOMEM;
}

static int witness_close(sqlite3_vtab_cursor *cursor)
{
    sqlite3_free(cursor);
    return SQLITE_OK;
}

static int witness_filter(sqlite3_vtab_cursor *cursor, int plan, const char *words, int argc,
                          sqlite3_value **argv)
{
    (void)cursor, (void)plan, (void)words, (void)argc, (void)argv;
    return SQLITE_OK;
}

static int witness_next(sqlite3_vtab_cursor *cursor)
{
    (void)cursor;
    return SQLITE_OK;
}

static int witness_eof(sqlite3_vtab_cursor *cursor)
{
    (void)cursor;
    return 1;
}

static int witness_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column)
{
    (void)cursor, (void)context, (void)column;
    return SQLITE_OK;
}

static int witness_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *out)
{
    (void)cursor;
    *out = 0;
    return SQLITE_OK;
}

/* It exists so that SQLite counts the table as writable and lets it join transactions. */
static int witness_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid)
{
    (void)argc, (void)argv, (void)rowid;
    return kv_error(&vtab->zErrMsg, SQLITE_READONLY, "kv_witness", "this table holds no rows");
}

/* ---- Passing on */

static int witness_begin(sqlite3_vtab *vtab)
{
    connection_of(vtab)->witnessed = true;
    connection_of(vtab)->savepoint_level = -1;
    return SQLITE_OK;
}

static int witness_sync(sqlite3_vtab *vtab)
{
    for (struct kv_link *link = links_of(vtab); link; link = link->next) {
        enum kv_status st = kv_link_prepare(link);

        if (st != KV_OK)
            return kv_error_of(&vtab->zErrMsg, link->path, st);
    }
    return SQLITE_OK;
}

/* Let go of what was held for the transaction's sake. */
static void witness_end(sqlite3_vtab *vtab)
{
    struct kv_link *next;

    connection_of(vtab)->witnessed = false;
    for (struct kv_link *link = links_of(vtab); link; link = next) {
        next = link->next;
        link->is_held = false;
        kv_link_close_if_unused(link);
    }
}

static int witness_commit(sqlite3_vtab *vtab)
{
    for (struct kv_link *link = links_of(vtab); link; link = link->next)
        kv_link_publish(link);
    witness_end(vtab);
    return SQLITE_OK;
}

/* A DROP was, or may have been, taken back: the table wants its rows. */
static void undo_drops(sqlite3_vtab *vtab)
{
    for (struct kv_link *link = links_of(vtab); link; link = link->next)
        if (link->is_held)
            link->is_dropped = false;
}

static int witness_rollback(sqlite3_vtab *vtab)
{
    undo_drops(vtab);
    for (struct kv_link *link = links_of(vtab); link; link = link->next)
        kv_link_abort(link);
    witness_end(vtab);
    return SQLITE_OK;
}

static int witness_savepoint(sqlite3_vtab *vtab, int level)
{
    connection_of(vtab)->savepoint_level = level;
    for (struct kv_link *link = links_of(vtab); link; link = link->next) {
        enum kv_status st = kv_link_mark(link, level);

        if (st != KV_OK)
            return kv_error_of(&vtab->zErrMsg, link->path, st);
    }
    return SQLITE_OK;
}

static int witness_release(sqlite3_vtab *vtab, int level)
{
    connection_of(vtab)->savepoint_level = level - 1;
    for (struct kv_link *link = links_of(vtab); link; link = link->next)
        kv_link_forget_marks(link, level);
    return SQLITE_OK;
}

static int witness_rollback_to(sqlite3_vtab *vtab, int level)
{
    connection_of(vtab)->savepoint_level = level;
    undo_drops(vtab);
    for (struct kv_link *link = links_of(vtab); link; link = link->next)
        kv_link_rollback_to(link, level);
    return SQLITE_OK;
}

static const sqlite3_module module = {
    .iVersion = 2,
    .xConnect = witness_connect, /* without xCreate: eponymous only */
    .xBestIndex = witness_best_index,
    .xDisconnect = witness_disconnect,
    .xOpen = witness_open,
    .xClose = witness_close,
    .xFilter = witness_filter,
    .xNext = witness_next,
    .xEof = witness_eof,
    .xColumn = witness_column,
    .xRowid = witness_rowid,
    .xUpdate = witness_update,
    .xBegin = witness_begin,
    .xSync = witness_sync,
    .xCommit = witness_commit,
    .xRollback = witness_rollback,
    .xSavepoint = witness_savepoint,
    .xRelease = witness_release,
    .xRollbackTo = witness_rollback_to,
};

int kv_witness_register(struct kv_connection *connection)
{
    return sqlite3_create_module_v2(connection->db, "kv_witness", &module,
                                    kv_connection_hold(connection), kv_connection_release);
}

int kv_witness_join(struct kv_connection *connection)
{
    int code;

    if (connection->witnessed)
        return SQLITE_OK;
    /* A statement that writes nothing makes the table join all the same. */
    code = sqlite3_exec(connection->db, "DELETE FROM kv_witness WHERE 0", NULL, NULL, NULL);
    if (code != SQLITE_OK)
        return code;
    return connection->witnessed ? SQLITE_OK : SQLITE_ERROR;
}
