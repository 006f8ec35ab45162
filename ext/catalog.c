/* Finding kv tables: see catalog.h. */
#include "catalog.h"

#include <string.h>

/* ---- One table */

static struct kv_table *connected(struct kv_connection *connection, const char *schema,
                                  const char *name)
{
    struct kv_table *table = connection->tables;

    while (table &&
           (sqlite3_stricmp(table->schema, schema) != 0 || sqlite3_stricmp(table->name, name) != 0))
        table = table->next;
    return table;
}

/* Prepare a statement that names the table, so that SQLite connects it. */
static int connect(struct kv_connection *connection, const char *schema, const char *name)
{
    char *sql = sqlite3_mprintf("SELECT 1 FROM \"%w\".\"%w\"", schema, name);
    sqlite3_stmt *statement = NULL;
    int code;

    if (!sql)
        return SQLITE_NOMEM;
    code = sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL);
    sqlite3_finalize(statement);
    sqlite3_free(sql);
    return code;
}

enum found { FOUND_NOTHING, FOUND_OTHER, FOUND_VIRTUAL };

/* What a name means in a schema. */
static int look_up(struct kv_connection *connection, const char *schema, const char *name,
                   enum found *out)
{
    char *sql = sqlite3_mprintf("SELECT type = 'table' AND rootpage = 0 FROM "
                                "\"%w\".sqlite_schema WHERE type IN ('table', 'view') AND "
                                "name = %Q COLLATE NOCASE",
                                schema, name);
    sqlite3_stmt *statement = NULL;
    int code;

    *out = FOUND_NOTHING;
    if (!sql)
        return SQLITE_NOMEM;
    code = sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        *out = sqlite3_column_int(statement, 0) ? FOUND_VIRTUAL : FOUND_OTHER;
    if (code == SQLITE_OK)
        code = sqlite3_finalize(statement);
    sqlite3_free(sql);
    return code;
}

/*
 * The kv table of this schema and name; `*out` NULL if the name means nothing
 * there, or, with `*stop` set, something else.
 */
static int find_in_schema(struct kv_connection *connection, const char *schema, const char *name,
                          struct kv_table **out, bool *stop)
{
    enum found found;
    int code = look_up(connection, schema, name, &found);

    *out = NULL;
    *stop = code != SQLITE_OK || found != FOUND_NOTHING;
    if (code != SQLITE_OK || found != FOUND_VIRTUAL)
        return code;
    *out = connected(connection, schema, name);
    if (!*out) {
        code = connect(connection, schema, name);
        *out = connected(connection, schema, name);
    }
    return code;
}

/* ---- Schemas */

/* The names of the connection's databases, in the order in which SQLite resolves names. */
struct schemas {
    char **names;
    int count;
};

static void release_schemas(struct schemas *schemas)
{
    for (int i = 0; i < schemas->count; i++)
        sqlite3_free(schemas->names[i]);
    sqlite3_free(schemas->names);
}

/* Insert `name` at `index`. */
static int add_schema(struct schemas *schemas, int index, const char *name)
{
    char **names = (char **)sqlite3_realloc64(
        schemas->names, sizeof(*names) * (sqlite3_uint64)(schemas->count + 1));
    char *copy = sqlite3_mprintf("%s", name);

    if (names)
        schemas->names = names;
    if (!names || !copy) {
        sqlite3_free(copy);
        return SQLITE_NOMEM;
    }
    memmove(names + index + 1, names + index, sizeof(*names) * (size_t)(schemas->count - index));
    names[index] = copy;
    schemas->count++;
    return SQLITE_OK;
}

/*
 * The statement, not the table-valued function of that name: SQLite reports an
 * interruption while it sets that up as SQLITE_ERROR.
 */
static int list_schemas(struct kv_connection *connection, struct schemas *out)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(connection->db, "PRAGMA database_list", -1, &statement, NULL);

    *out = (struct schemas){NULL, 0};
    while (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 1);
        bool is_temp = sqlite3_column_int(statement, 0) == 1; /* searched before main */

        code = name ? add_schema(out, is_temp ? 0 : out->count, name) : SQLITE_NOMEM;
    }
    if (code == SQLITE_OK)
        return sqlite3_finalize(statement);
    sqlite3_finalize(statement);
    return code;
}

/* ---- By name */

static int find_anywhere(struct kv_connection *connection, const struct schemas *schemas,
                         const char *name, struct kv_table **out)
{
    bool stop = false;
    int code = SQLITE_OK;

    *out = NULL;
    for (int i = 0; i < schemas->count && !stop; i++)
        code = find_in_schema(connection, schemas->names[i], name, out, &stop);
    return code;
}

/* `schema.table`, split where the part before a point is a schema. */
static int find_qualified(struct kv_connection *connection, const struct schemas *schemas,
                          const char *name, struct kv_table **out)
{
    bool stop = false;
    int code = SQLITE_OK;

    *out = NULL;
    for (int i = 0; i < schemas->count && !stop; i++) {
        const char *schema = schemas->names[i];
        size_t size = strlen(schema);

        if (sqlite3_strnicmp(name, schema, (int)size) == 0 && name[size] == '.')
            code = find_in_schema(connection, schema, name + size + 1, out, &stop);
    }
    return code;
}

int kv_catalog_find(struct kv_connection *connection, const char *caller, const char *name,
                    struct kv_table **out, char **error)
{
    struct schemas schemas;
    int code = list_schemas(connection, &schemas);

    *out = NULL;
    if (code == SQLITE_OK)
        code = find_anywhere(connection, &schemas, name, out);
    if (code == SQLITE_OK && !*out)
        code = find_qualified(connection, &schemas, name, out);
    release_schemas(&schemas);
    if (code != SQLITE_OK)
        return kv_error_of_sqlite(error, caller, connection->db);
    if (!*out)
        return kv_error(error, SQLITE_ERROR, caller, "no such kv table: %s", name);
    return SQLITE_OK;
}

/* ---- All */

/* The work of kv_catalog_each. */
struct visit {
    struct kv_connection *connection;
    const char *caller;
    int (*each)(void *context, struct kv_table *table);
    void *context;
    char **error;
};

static int visit_table(const struct visit *visit, struct kv_table *table)
{
    int code = visit->each(visit->context, table);

    if (code != SQLITE_OK) {
        sqlite3_free(*visit->error);
        *visit->error = table->base.zErrMsg;
        table->base.zErrMsg = NULL;
    }
    return code;
}

/* A virtual table with a shadow table of ours; that it is connected by our module decides. */
static int visit_row(const struct visit *visit, const char *schema, const char *name)
{
    struct kv_table *table;
    bool stop;
    int code;

    if (!name)
        return kv_error(visit->error, SQLITE_NOMEM, visit->caller, "out of memory");
    code = find_in_schema(visit->connection, schema, name, &table, &stop);
    if (code != SQLITE_OK)
        return kv_error_of_sqlite(visit->error, visit->caller, visit->connection->db);
    return table ? visit_table(visit, table) : SQLITE_OK;
}

static int visit_schema(const struct visit *visit, const char *schema)
{
    sqlite3 *db = visit->connection->db;
    sqlite3_stmt *statement = NULL;
    char *sql = sqlite3_mprintf("SELECT name FROM \"%w\".sqlite_schema AS t WHERE type = 'table' "
                                "AND rootpage = 0 AND EXISTS (SELECT 1 FROM \"%w\".sqlite_schema "
                                "AS s WHERE s.name = t.name || '_kvmeta' COLLATE NOCASE)",
                                schema, schema);
    int code = sql ? sqlite3_prepare_v2(db, sql, -1, &statement, NULL) : SQLITE_NOMEM;
    int step = SQLITE_DONE;

    sqlite3_free(sql);
    if (code != SQLITE_OK)
        return kv_error_of_sqlite(visit->error, visit->caller, db);
    while (code == SQLITE_OK && (step = sqlite3_step(statement)) == SQLITE_ROW)
        code = visit_row(visit, schema, (const char *)sqlite3_column_text(statement, 0));
    if (code == SQLITE_OK && step != SQLITE_DONE)
        code = kv_error_of_sqlite(visit->error, visit->caller, db);
    sqlite3_finalize(statement);
    return code;
}

static int visit_all(const struct visit *visit)
{
    struct schemas schemas;
    int code = list_schemas(visit->connection, &schemas);

    if (code != SQLITE_OK)
        kv_error_of_sqlite(visit->error, visit->caller, visit->connection->db);
    for (int i = 0; i < schemas.count && code == SQLITE_OK; i++)
        code = visit_schema(visit, schemas.names[i]);
    release_schemas(&schemas);
    return code;
}

int kv_catalog_each(struct kv_connection *connection, const char *caller, sqlite3_value *name,
                    int (*each)(void *context, struct kv_table *table), void *context, char **error)
{
    struct visit visit = {connection, caller, each, context, error};
    struct kv_table *table;
    const char *text;
    int code;

    if (!name)
        return visit_all(&visit);
    if (sqlite3_value_type(name) == SQLITE_NULL)
        return kv_error(error, SQLITE_ERROR, caller, "the table's name is NULL");
    text = (const char *)sqlite3_value_text(name);
    if (!text)
        return kv_error(error, SQLITE_NOMEM, caller, "out of memory");
    code = kv_catalog_find(connection, caller, text, &table, error);
    return code == SQLITE_OK ? visit_table(&visit, table) : code;
}
