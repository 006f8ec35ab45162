/* The shadow table: see shadow.h. */
#include "shadow.h"

#include <string.h>

#include "errors.h"

/* Run one statement, built as by sqlite3_mprintf and freed here. */
static int run(sqlite3 *db, const char *table, char *sql, char **error)
{
    int code = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;

    sqlite3_free(sql);
    return code == SQLITE_OK || code == SQLITE_NOMEM ? code : kv_error_of_sqlite(error, table, db);
}

/* Prepare one statement, built as above. */
static int prepare(sqlite3 *db, const char *table, char *sql, sqlite3_stmt **out, char **error)
{
    int code = sql ? sqlite3_prepare_v2(db, sql, -1, out, NULL) : SQLITE_NOMEM;

    sqlite3_free(sql);
    return code == SQLITE_OK || code == SQLITE_NOMEM ? code : kv_error_of_sqlite(error, table, db);
}

int kv_shadow_create(sqlite3 *db, const char *schema, const char *table, const char *path,
                     const uint8_t *uuid, char **error)
{
    sqlite3_stmt *insert = NULL;
    int code;

    /* WITHOUT ROWID: the insertion must not show in last_insert_rowid(). */
    code = run(db, table,
               sqlite3_mprintf("CREATE TABLE \"%w\".\"%w_kvmeta\"(path TEXT PRIMARY KEY, uuid BLOB)"
                               " WITHOUT ROWID",
                               schema, table),
               error);
    if (code != SQLITE_OK)
        return code;
    code = prepare(db, table,
                   sqlite3_mprintf("INSERT INTO \"%w\".\"%w_kvmeta\" VALUES(?, ?)", schema, table),
                   &insert, error);
    if (code != SQLITE_OK)
        return code;
    sqlite3_bind_text(insert, 1, path, -1, SQLITE_STATIC);
    sqlite3_bind_blob(insert, 2, uuid, KV_UUID_SIZE, SQLITE_STATIC);
    sqlite3_step(insert);
    code = sqlite3_finalize(insert);
    return code == SQLITE_OK ? code : kv_error_of_sqlite(error, table, db);
}

static int read_row(sqlite3_stmt *select, struct kv_shadow *out)
{
    const char *path = (const char *)sqlite3_column_text(select, 0);

    /* Whatever an edited table holds: a path is a text without NUL bytes. */
    if (!path || !*path || strlen(path) != (size_t)sqlite3_column_bytes(select, 0))
        return SQLITE_CORRUPT_VTAB;
    if (sqlite3_column_type(select, 1) != SQLITE_BLOB ||
        sqlite3_column_bytes(select, 1) != KV_UUID_SIZE)
        return SQLITE_CORRUPT_VTAB;
    memcpy(out->uuid, sqlite3_column_blob(select, 1), KV_UUID_SIZE);
    out->path = sqlite3_mprintf("%s", path);
    return out->path ? SQLITE_OK : SQLITE_NOMEM;
}

int kv_shadow_read(sqlite3 *db, const char *schema, const char *table, struct kv_shadow *out,
                   char **error)
{
    sqlite3_stmt *select = NULL;
    int code, step;

    out->path = NULL;
    code = prepare(
        db, table,
        sqlite3_mprintf("SELECT path, uuid FROM \"%w\".\"%w_kvmeta\" LIMIT 1", schema, table),
        &select, error);
    if (code != SQLITE_OK)
        return code;
    step = sqlite3_step(select);
    code = step == SQLITE_ROW ? read_row(select, out) : SQLITE_CORRUPT_VTAB;
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        code = kv_error_of_sqlite(error, table, db);
    else if (code == SQLITE_CORRUPT_VTAB)
        code = kv_error(error, code, table,
                        "table %s_kvmeta does not hold one path and one UUID; DROP this table and "
                        "CREATE it again with path=",
                        table);
    sqlite3_finalize(select);
    return code;
}

int kv_shadow_rename(sqlite3 *db, const char *schema, const char *table, const char *new_table,
                     char **error)
{
    return run(db, table,
               sqlite3_mprintf("ALTER TABLE \"%w\".\"%w_kvmeta\" RENAME TO \"%w_kvmeta\"", schema,
                               table, new_table),
               error);
}

int kv_shadow_drop(sqlite3 *db, const char *schema, const char *table, char **error)
{
    return run(db, table,
               sqlite3_mprintf("DROP TABLE IF EXISTS \"%w\".\"%w_kvmeta\"", schema, table), error);
}

int kv_shadow_is_name(const char *suffix)
{
    return sqlite3_stricmp(suffix, "kvmeta") == 0;
}
