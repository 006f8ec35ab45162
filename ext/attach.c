/* Making, attaching and opening a table's store: see attach.h. */
#include "attach.h"

#include <stdlib.h>
#include <string.h>

#include "location.h"
#include "shadow.h"

const char *kv_database_file(sqlite3 *db, const char *schema)
{
    const char *file = sqlite3_db_filename(db, schema);
    char *vfs = NULL;
    bool in_memory;

    if (!file || !*file)
        return "";
    /* A database of the VFS memdb has a name like a file's, but there is none. */
    (void)sqlite3_file_control(db, schema, SQLITE_FCNTL_VFSNAME, &vfs);
    in_memory = vfs && strncmp(vfs, "memdb", 5) == 0;
    sqlite3_free(vfs);
    return in_memory ? "" : file;
}

/* In UTF-16 SQLite compares texts by code units, which is not the order of our bytes. */
static int check_encoding(struct kv_table *table)
{
    sqlite3_stmt *statement = NULL;
    bool is_utf16 = false;

    if (sqlite3_prepare_v2(table->connection->db, "PRAGMA encoding", -1, &statement, NULL) ==
            SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);

        is_utf16 = name && strncmp(name, "UTF-16", 6) == 0;
    }
    sqlite3_finalize(statement);
    if (!is_utf16)
        return SQLITE_OK;
    return kv_table_error(table, SQLITE_ERROR,
                          "the database's encoding is UTF-16; kv tables need a database in UTF-8 "
                          "(PRAGMA encoding, before anything else is created)");
}

static struct kv_open_options open_options(const struct kv_table *table, enum kv_open_mode mode)
{
    struct kv_open_options options = kv_open_options_default();
    const char *file = kv_database_file(table->connection->db, table->schema);

    options.mode = mode;
    options.readonly = table->definition.readonly;
    options.settings = table->definition.settings;
    if (*file)
        options.mode_like = file;
    /* Others may be opening or closing the store just now. */
    options.settings.busy_timeout_ms = kv_connection_busy_timeout_ms(table->connection);
    options.settings.interrupted = kv_connection_interrupted;
    options.settings.interrupted_context = table->connection;
    return options;
}

/* Are the store's columns the table's? `ours` is the table's schema text. */
static int check_columns(struct kv_table *table, const struct kv_link *link, const char *ours)
{
    struct kv_slice theirs = kv_store_schema(link->store);

    if (theirs.size == strlen(ours) &&
        sqlite3_strnicmp((const char *)theirs.data, ours, (int)theirs.size) == 0)
        return SQLITE_OK;
    if (theirs.size == 0)
        return kv_table_error(table, SQLITE_ERROR,
                              "the store %s has no columns: another program made it with kv.h",
                              link->path);
    return kv_table_error(table, SQLITE_ERROR,
                          "the store %s has the columns (%.*s), not (%s); create the table with "
                          "the store's columns",
                          link->path, (int)theirs.size, (const char *)theirs.data, ours);
}

static int already_there(struct kv_table *table, const char *path)
{
    char *quoted = sqlite3_mprintf("%Q", path);
    int code;

    if (!quoted)
        return SQLITE_NOMEM;
    code = kv_table_error(table, SQLITE_ERROR,
                          "%s already holds a store; attach it with path=%s or remove it with "
                          "SELECT kv_destroy(%s)",
                          path, quoted, quoted);
    sqlite3_free(quoted);
    return code;
}

/* Open the store and make it the table's, if its columns are. */
static int attach(struct kv_table *table, const char *path, struct kv_open_options *options)
{
    char *schema = kv_definition_schema(&table->definition);
    struct kv_link *link = NULL;
    enum kv_status st;
    int code;

    if (!schema)
        return SQLITE_NOMEM;
    options->schema = kv_slice_text(schema);
    st = kv_link_open(table->connection, path, options, &link);
    if (st == KV_EXISTS)
        code = already_there(table, path);
    else
        code = st == KV_OK ? check_columns(table, link, schema) : kv_table_status(table, st);
    sqlite3_free(schema);
    if (code == SQLITE_OK)
        table->link = link;
    else if (link)
        kv_link_leave(link);
    return code;
}

/* ---- CREATE */

/* Where a new table's rows go. */
struct place {
    char *recorded; /* for the shadow table */
    char *path;     /* to open */
    enum kv_open_mode mode;
    bool is_temporary;
};

static void release_place(struct place *place)
{
    sqlite3_free(place->recorded);
    sqlite3_free(place->path);
}

static int choose_place(const struct kv_table *table, struct place *out)
{
    const struct kv_definition *definition = &table->definition;
    const char *file = kv_database_file(table->connection->db, table->schema);
    const char *directory = getenv("TMPDIR");

    *out = (struct place){.mode = KV_OPEN_NEW};
    if (definition->path) {
        out->recorded = sqlite3_mprintf("%s", definition->path);
        out->mode = definition->readonly ? KV_OPEN_EXISTING : KV_OPEN_OR_CREATE;
    } else if (*file) {
        out->recorded = kv_location_default(file, table->name);
    } else {
        out->recorded = kv_location_temporary(directory && *directory ? directory : "/tmp");
        out->is_temporary = true;
    }
    if (out->recorded)
        out->path = kv_location_resolve(file, out->recorded);
    return out->path ? SQLITE_OK : SQLITE_NOMEM;
}

static int create_at(struct kv_table *table, const struct place *place)
{
    struct kv_open_options options = open_options(table, place->mode);
    int code;

    options.temporary = place->is_temporary;
    code = attach(table, place->path, &options);
    if (code != SQLITE_OK)
        return code;
    /* If the transaction does not commit, nobody will want the temporary store. */
    table->link->is_created = place->is_temporary;
    return kv_shadow_create(table->connection->db, table->schema, table->name, place->recorded,
                            kv_store_uuid(table->link->store), &table->base.zErrMsg);
}

int kv_table_create_store(struct kv_table *table)
{
    struct place place;
    int code = check_encoding(table);

    if (code != SQLITE_OK)
        return code;
    if (table->definition.readonly && !table->definition.path)
        return kv_table_error(table, SQLITE_ERROR,
                              "readonly=1 needs the path of a store that exists: path='…'");
    code = choose_place(table, &place);
    if (code == SQLITE_OK)
        code = create_at(table, &place);
    release_place(&place);
    return code;
}

/* ---- Later */

int kv_table_store_path(struct kv_table *table, char **out)
{
    sqlite3 *db = table->connection->db;
    struct kv_shadow shadow;
    int code = kv_shadow_read(db, table->schema, table->name, &shadow, &table->base.zErrMsg);

    *out = NULL;
    if (code != SQLITE_OK)
        return code;
    *out = kv_location_resolve(kv_database_file(db, table->schema), shadow.path);
    sqlite3_free(shadow.path);
    return *out ? SQLITE_OK : SQLITE_NOMEM;
}

int kv_table_open_store(struct kv_table *table)
{
    struct kv_open_options options = open_options(table, KV_OPEN_EXISTING);
    sqlite3 *db = table->connection->db;
    struct kv_shadow shadow;
    char *path;
    int code = check_encoding(table);

    if (code == SQLITE_OK)
        code = kv_shadow_read(db, table->schema, table->name, &shadow, &table->base.zErrMsg);
    if (code != SQLITE_OK)
        return code;
    path = kv_location_resolve(kv_database_file(db, table->schema), shadow.path);
    options.uuid = shadow.uuid;
    code = path ? attach(table, path, &options) : SQLITE_NOMEM;
    sqlite3_free(path);
    sqlite3_free(shadow.path);
    return code;
}
