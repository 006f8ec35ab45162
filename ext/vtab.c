/* The virtual table module: see vtab.h. */
#include "vtab.h"

#include <stdarg.h>
#include <string.h>

#include "attach.h"
#include "cursor.h"
#include "integrity.h"
#include "plan.h"
#include "shadow.h"
#include "update.h"
#include "witness.h"

/* ---- Errors */

int kv_table_error(struct kv_table *table, int code, const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    text = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    if (text)
        kv_error(&table->base.zErrMsg, code, table->name, "%s", text);
    sqlite3_free(text);
    return code;
}

int kv_table_status(struct kv_table *table, enum kv_status st)
{
    if (st == KV_OK || st == KV_DONE)
        return SQLITE_OK;
    return kv_error_of(&table->base.zErrMsg, table->name, st);
}

/* ---- Tables */

void kv_table_leave(struct kv_table *table)
{
    if (table->link)
        kv_link_leave(table->link);
    table->link = NULL;
}

static void free_table(struct kv_table *table)
{
    struct kv_table **at = &table->connection->tables;

    while (*at && *at != table)
        at = &(*at)->next;
    if (*at)
        *at = table->next;
    kv_cursor_free(table->idle);
    kv_table_leave(table);
    kv_scratch_release(&table->key);
    kv_scratch_release(&table->old_key);
    kv_scratch_release(&table->row);
    kv_definition_release(&table->definition);
    sqlite3_free(table->cells);
    sqlite3_free(table->trouble);
    sqlite3_free(table->schema);
    sqlite3_free(table->name);
    sqlite3_free(table->base.zErrMsg);
    sqlite3_free(table);
}

/*
 * A table of these arguments, declared to SQLite. What is wrong with the
 * arguments is left in table->trouble.
 */
static int new_table(struct kv_connection *connection, int argc, const char *const *argv,
                     struct kv_table **out)
{
    struct kv_table *table = (struct kv_table *)sqlite3_malloc64(sizeof(*table));
    int code;

    *out = table;
    if (!table)
        return SQLITE_NOMEM;
    *table = (struct kv_table){.connection = connection};
    table->next = connection->tables;
    connection->tables = table;
    table->schema = sqlite3_mprintf("%s", argv[1]);
    table->name = sqlite3_mprintf("%s", argv[2]);
    if (!table->schema || !table->name)
        return SQLITE_NOMEM;
    code =
        kv_definition_parse(table->name, argc - 3, argv + 3, &table->definition, &table->trouble);
    if (code == SQLITE_NOMEM)
        return code;
    table->cells = (struct kv_cell *)sqlite3_malloc64(
        sizeof(*table->cells) * (sqlite3_uint64)(table->definition.column_count + 1));
    return table->cells ? SQLITE_OK : SQLITE_NOMEM;
}

static int declare(struct kv_table *table, char **error)
{
    sqlite3 *db = table->connection->db;
    char *sql = kv_definition_declaration(&table->definition, table->name);
    int code = sql ? sqlite3_declare_vtab(db, sql) : SQLITE_NOMEM;

    sqlite3_free(sql);
    if (code != SQLITE_OK && code != SQLITE_NOMEM)
        return kv_error_of_sqlite(error, table->name, db);
    if (code == SQLITE_OK)
        code = sqlite3_vtab_config(db, SQLITE_VTAB_CONSTRAINT_SUPPORT, 1);
    return code;
}

static int in_trouble(struct kv_table *table)
{
    return kv_table_error(table, SQLITE_ERROR, "%s", table->trouble);
}

int kv_table_open(struct kv_table *table)
{
    if (table->link)
        return SQLITE_OK;
    if (table->trouble)
        return in_trouble(table);
    return kv_table_open_store(table);
}

/* ---- Connecting */

/* Give up on a table that could not be made, handing its message to SQLite. */
static int fail_table(struct kv_table *table, int code, char **error)
{
    if (table && !*error) {
        *error = table->base.zErrMsg;
        table->base.zErrMsg = NULL;
    }
    if (table)
        free_table(table);
    return code;
}

static int table_connect(sqlite3 *db, void *context, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **error)
{
    struct kv_table *table;
    int code = new_table((struct kv_connection *)context, argc, argv, &table);

    (void)db;
    *out = NULL;
    if (code == SQLITE_OK)
        code = declare(table, error);
    if (code != SQLITE_OK)
        return fail_table(table, code, error);
    *out = &table->base;
    return SQLITE_OK;
}

/*
 * Inside a transaction: have a savepoint's rollback undo what will be written. Without a witness
 * the rest works all the same, unless its failure made SQLite give up the transaction, and with it
 * the table that is being created.
 */
static int watch_creation(struct kv_table *table)
{
    struct kv_connection *connection = table->connection;
    int code;

    /* Joining locks the main database, which a table elsewhere should not need. */
    if (!kv_connection_in_transaction(connection) || sqlite3_stricmp(table->schema, "temp") == 0)
        return SQLITE_OK;
    code = kv_witness_join(connection);
    if (code == SQLITE_NOMEM || !kv_connection_in_transaction(connection))
        return code;
    if (code != SQLITE_OK || connection->savepoint_level < 0)
        return SQLITE_OK;
    return kv_table_status(table, kv_link_mark(table->link, connection->savepoint_level));
}

static int table_create(sqlite3 *db, void *context, int argc, const char *const *argv,
                        sqlite3_vtab **out, char **error)
{
    struct kv_table *table;
    int code = new_table((struct kv_connection *)context, argc, argv, &table);

    (void)db;
    *out = NULL;
    if (code == SQLITE_OK && table->trouble)
        code = in_trouble(table);
    if (code == SQLITE_OK)
        code = declare(table, error);
    if (code == SQLITE_OK)
        code = kv_table_create_store(table);
    if (code == SQLITE_OK)
        code = watch_creation(table);
    if (code != SQLITE_OK)
        return fail_table(table, code, error);
    table->is_created = true;
    *out = &table->base;
    return SQLITE_OK;
}

static int table_disconnect(sqlite3_vtab *vtab)
{
    free_table((struct kv_table *)(void *)vtab);
    return SQLITE_OK;
}

/* Is `other` the same table of the database as `table`, connected before a change of the schema? */
static bool is_former(const struct kv_table *table, const struct kv_table *other)
{
    return other != table && sqlite3_stricmp(other->schema, table->schema) == 0 &&
           sqlite3_stricmp(other->name, table->name) == 0;
}

/* Does another table of the connection use the link? */
static bool is_link_shared(const struct kv_table *table)
{
    for (const struct kv_table *other = table->connection->tables; other; other = other->next)
        if (other != table && other->link == table->link && !is_former(table, other))
            return true;
    return false;
}

/* Statements that were prepared long ago keep former objects of the table, but not its store. */
static void dismiss_former(struct kv_table *table)
{
    for (struct kv_table *other = table->connection->tables; other; other = other->next)
        if (is_former(table, other))
            kv_table_leave(other);
}

/*
 * Decide what becomes of the store's link when its table is dropped. Inside a
 * transaction the DROP may be undone, and SQLite will not tell the table.
 */
static int hand_over(struct kv_table *table)
{
    struct kv_connection *connection = table->connection;
    struct kv_link *link = table->link;
    bool is_temp_schema = sqlite3_stricmp(table->schema, "temp") == 0;
    int code;

    if (is_link_shared(table))
        return SQLITE_OK;
    if (link->txn && !kv_link_has_writes(link))
        kv_link_set_aside(link);
    if (!kv_connection_in_transaction(connection)) {
        link->is_dropped = true;
        return SQLITE_OK;
    }
    /* Joining locks the main database: a table elsewhere joins only for the sake of its rows. */
    if (is_temp_schema && !link->txn)
        return SQLITE_OK;
    code = kv_witness_join(connection);
    if (code != SQLITE_OK)
        return code;
    link->is_held = true;
    link->is_dropped = true;
    return SQLITE_OK;
}

static int table_destroy(sqlite3_vtab *vtab)
{
    struct kv_table *table = (struct kv_table *)(void *)vtab;
    int code =
        kv_shadow_drop(table->connection->db, table->schema, table->name, &table->base.zErrMsg);

    if (code == SQLITE_OK && table->link)
        code = hand_over(table);
    if (code != SQLITE_OK)
        return code;
    dismiss_former(table);
    free_table(table);
    return SQLITE_OK;
}

static int table_rename(sqlite3_vtab *vtab, const char *new_name)
{
    struct kv_table *table = (struct kv_table *)(void *)vtab;
    char *copy = sqlite3_mprintf("%s", new_name);
    int code;

    if (!copy)
        return SQLITE_NOMEM;
    code = kv_shadow_rename(table->connection->db, table->schema, table->name, new_name,
                            &table->base.zErrMsg);
    if (code == SQLITE_OK) {
        sqlite3_free(table->name);
        table->name = copy;
        copy = NULL;
    }
    sqlite3_free(copy);
    return code;
}

/* ---- Planning */

static int table_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    struct kv_table *table = (struct kv_table *)(void *)vtab;
    struct kv_plan_input input = {.key_name = "key", .row_estimate = 1000};

    if (table->definition.column_count) {
        input.key_name = table->definition.columns[0].name;
        input.affinity = table->definition.columns[0].affinity;
    }
    /* A store that cannot be opened is reported when it is read; here it only has no size. */
    if (kv_table_open(table) == SQLITE_OK)
        input.row_estimate = (sqlite3_int64)kv_link_row_estimate(table->link);
    return kv_plan_choose(&input, info);
}

/* ---- The module */

/* Release 3.44 appended xIntegrity; older hosts never look at it. */
struct module {
    sqlite3_module base;
#if SQLITE_VERSION_NUMBER < 3044000
    int (*xIntegrity)(sqlite3_vtab *, const char *, const char *, int, char **);
#endif
};

static const struct module module = {
    .base.iVersion = 4,
    .base.xCreate = table_create,
    .base.xConnect = table_connect,
    .base.xBestIndex = table_best_index,
    .base.xDisconnect = table_disconnect,
    .base.xDestroy = table_destroy,
    .base.xOpen = kv_cursor_open,
    .base.xClose = kv_cursor_close,
    .base.xFilter = kv_cursor_filter,
    .base.xNext = kv_cursor_next,
    .base.xEof = kv_cursor_eof,
    .base.xColumn = kv_cursor_column,
    .base.xRowid = kv_cursor_rowid,
    .base.xUpdate = kv_update,
    .base.xBegin = kv_update_begin,
    .base.xSync = kv_update_sync,
    .base.xCommit = kv_update_commit,
    .base.xRollback = kv_update_rollback,
    .base.xRename = table_rename,
    .base.xSavepoint = kv_update_savepoint,
    .base.xRelease = kv_update_release,
    .base.xRollbackTo = kv_update_rollback_to,
    .base.xShadowName = kv_shadow_is_name,
#if SQLITE_VERSION_NUMBER < 3044000
    .xIntegrity = kv_integrity_check,
#else
    .base.xIntegrity = kv_integrity_check,
#endif
};

int kv_table_register(struct kv_connection *connection)
{
    return sqlite3_create_module_v2(connection->db, "kv", &module.base,
                                    kv_connection_hold(connection), kv_connection_release);
}
