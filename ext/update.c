/*
 * Writing rows: see update.h.
 *
 * SQLite hands over values raw and checks nothing, so affinity, NOT NULL and
 * uniqueness are enforced here, in the order of an ordinary table: conversion,
 * nulls from left to right, then the key. A conflict is reported and SQLite
 * does what the statement says about it; only REPLACE is done here. It looks nothing up:
 * a later version hides an earlier one anyway.
 *
 * An UPDATE hands over all columns, also unchanged ones: telling these apart
 * (sqlite3_vtab_nochange) would cost a second lookup of the old row.
 *
 * A single-row statement has no savepoint around it: each call here
 * changes all it should or nothing.
 */
#include "update.h"

#include "maintenance.h"
#include "plan.h"
#include "rowcodec.h"

static struct kv_table *table_of(sqlite3_vtab *vtab)
{
    return (struct kv_table *)(void *)vtab;
}

/* ---- Rows */

/*
 * Report a violated constraint in SQLite's words. Not if the statement says OR
 * IGNORE: SQLite would keep the message and give it to a later failure.
 */
static int constraint_failed(struct kv_table *table, int code, const char *what, int column)
{
    sqlite3_free(table->base.zErrMsg);
    table->base.zErrMsg = NULL;
    if (sqlite3_vtab_on_conflict(table->connection->db) != SQLITE_IGNORE)
        table->base.zErrMsg = sqlite3_mprintf("%s constraint failed: %s.%s", what, table->name,
                                              table->definition.columns[column].name);
    return code;
}

static int not_null_failed(struct kv_table *table, int column)
{
    return constraint_failed(table, SQLITE_CONSTRAINT_NOTNULL, "NOT NULL", column);
}

static int unique_failed(struct kv_table *table)
{
    return constraint_failed(table, SQLITE_CONSTRAINT_PRIMARYKEY, "UNIQUE", 0);
}

/* Encode a whole row, `argv` being its columns, into table->key and table->row. */
static int encode_row(struct kv_table *table, sqlite3_value **argv)
{
    const struct kv_definition *definition = &table->definition;
    struct kv_cell key;

    if (kv_cell_read(argv[0], definition->columns[0].affinity, &key) != SQLITE_OK)
        return SQLITE_NOMEM;
    if (key.type == SQLITE_NULL)
        return not_null_failed(table, 0);
    for (int i = 1; i < definition->column_count; i++) {
        const struct kv_column *column = &definition->columns[i];
        struct kv_cell *cell = &table->cells[i - 1];

        if (kv_cell_read(argv[i], column->affinity, cell) != SQLITE_OK)
            return SQLITE_NOMEM;
        if (column->not_null && cell->type == SQLITE_NULL)
            return not_null_failed(table, i);
    }
    if (!kv_key_encode(&key, &table->key) ||
        !kv_row_encode(kv_key_kind_of(&key), table->cells, definition->column_count - 1,
                       &table->row))
        return SQLITE_NOMEM;
    return SQLITE_OK;
}

/* The key of an existing row, as SQLite hands it back. */
static int encode_old_key(struct kv_table *table, sqlite3_value *value)
{
    switch (kv_bound_equal(value, table->definition.columns[0].affinity, &table->old_key)) {
    case KV_BOUND_KEY: return SQLITE_OK;
    case KV_BOUND_NOMEM: return SQLITE_NOMEM;
    default: return kv_table_error(table, SQLITE_CORRUPT_VTAB, "the row to change has no key");
    }
}

/* Does the statement put up with a row of this key? It does if it replaces it. */
static int check_unique(struct kv_table *table)
{
    struct kv_link *link = table->link;
    enum kv_status st;

    if (sqlite3_vtab_on_conflict(table->connection->db) == SQLITE_REPLACE)
        return SQLITE_OK;
    st = kv_txn_get(link->txn, kv_scratch_slice(&table->key), NULL);
    if (st == KV_OK)
        return unique_failed(table);
    return kv_table_status(table, st);
}

static int put_row(struct kv_table *table)
{
    return kv_table_status(table, kv_link_put(table->link, kv_scratch_slice(&table->key),
                                              kv_scratch_slice(&table->row)));
}

static int insert_row(struct kv_table *table, sqlite3_value **columns)
{
    int code = encode_row(table, columns);

    if (code == SQLITE_OK)
        code = check_unique(table);
    if (code == SQLITE_OK)
        code = put_row(table);
    return code;
}

static int delete_row(struct kv_table *table, sqlite3_value *key)
{
    int code = encode_old_key(table, key);

    if (code == SQLITE_OK)
        code =
            kv_table_status(table, kv_link_delete(table->link, kv_scratch_slice(&table->old_key)));
    return code;
}

/* To another key: the old row goes and the new one comes, both or neither. */
static int move_row(struct kv_table *table)
{
    struct kv_link *link = table->link;
    struct kv_savepoint before = kv_txn_savepoint(link->txn);
    enum kv_status st;
    int code = check_unique(table);

    if (code != SQLITE_OK)
        return code;
    st = kv_link_delete(link, kv_scratch_slice(&table->old_key));
    if (st != KV_OK)
        return kv_table_status(table, st);
    code = put_row(table);
    if (code != SQLITE_OK)
        kv_txn_rollback_to(link->txn, before);
    return code;
}

static int update_row(struct kv_table *table, sqlite3_value *old_key, sqlite3_value **columns)
{
    int code = encode_old_key(table, old_key);

    if (code == SQLITE_OK)
        code = encode_row(table, columns);
    if (code != SQLITE_OK)
        return code;
    if (kv_slice_equal(kv_scratch_slice(&table->old_key), kv_scratch_slice(&table->key)))
        return put_row(table);
    return move_row(table);
}

/* ---- Commands: INSERT INTO kv(kv) VALUES('compact') */

static int run_command(struct kv_table *table, sqlite3_value *command, sqlite3_value **columns)
{
    for (int i = 0; i < table->definition.column_count; i++)
        if (sqlite3_value_type(columns[i]) != SQLITE_NULL)
            return kv_table_error(table, SQLITE_ERROR,
                                  "a command takes no other columns: INSERT INTO \"%s\"(\"%s\") "
                                  "VALUES(…)",
                                  table->name, table->name);
    return kv_maintenance_command(table, command);
}

/* The hidden column's value, if there is one. */
static sqlite3_value *command_of(const struct kv_table *table, sqlite3_value **columns)
{
    sqlite3_value *value;

    if (!table->definition.has_command)
        return NULL;
    value = columns[table->definition.column_count];
    return sqlite3_value_type(value) == SQLITE_NULL ? NULL : value;
}

/* ---- What SQLite calls */

/* The store open and its write transaction begun: SQLite does not announce each. */
static int prepare_to_write(struct kv_table *table)
{
    int code = kv_table_open(table);

    if (code != SQLITE_OK)
        return code;
    if (table->definition.readonly)
        return kv_table_error(table, SQLITE_READONLY,
                              "the table was created with readonly=1; to write, DROP it and CREATE "
                              "it again with path='%s'",
                              kv_store_path(table->link->store));
    return kv_table_status(table, kv_link_begin(table->link, &table->definition.settings));
}

static int update(struct kv_table *table, int argc, sqlite3_value **argv)
{
    bool is_insert = sqlite3_value_type(argv[0]) == SQLITE_NULL;
    sqlite3_value **columns = argv + 2;
    sqlite3_value *command;

    if (argc == 1)
        return delete_row(table, argv[0]);
    command = command_of(table, columns);
    if (command && is_insert)
        return run_command(table, command, columns);
    if (command)
        return kv_table_error(table, SQLITE_ERROR,
                              "the hidden column \"%s\" takes commands by INSERT only",
                              table->name);
    return is_insert ? insert_row(table, columns) : update_row(table, argv[0], columns);
}

int kv_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid)
{
    struct kv_table *table = table_of(vtab);
    int code = prepare_to_write(table);

    if (code == SQLITE_OK)
        code = update(table, argc, argv);
    kv_scratch_trim(&table->row);
    /* SQLite takes what is left here for last_insert_rowid(), and there is no rowid. */
    *rowid = sqlite3_last_insert_rowid(table->connection->db);
    return code;
}

int kv_update_begin(sqlite3_vtab *vtab)
{
    return prepare_to_write(table_of(vtab));
}

int kv_update_sync(sqlite3_vtab *vtab)
{
    struct kv_table *table = table_of(vtab);

    return table->link ? kv_table_status(table, kv_link_prepare(table->link)) : SQLITE_OK;
}

int kv_update_commit(sqlite3_vtab *vtab)
{
    struct kv_table *table = table_of(vtab);

    if (table->link)
        kv_link_publish(table->link);
    table->is_created = false;
    return SQLITE_OK;
}

int kv_update_rollback(sqlite3_vtab *vtab)
{
    struct kv_table *table = table_of(vtab);

    if (table->link)
        kv_link_abort(table->link);
    /* The table is gone, but statements may keep this object: let the store go all the same. */
    if (table->is_created)
        kv_table_leave(table);
    return SQLITE_OK;
}

int kv_update_savepoint(sqlite3_vtab *vtab, int level)
{
    struct kv_table *table = table_of(vtab);

    return table->link ? kv_table_status(table, kv_link_mark(table->link, level)) : SQLITE_OK;
}

int kv_update_release(sqlite3_vtab *vtab, int level)
{
    if (table_of(vtab)->link)
        kv_link_forget_marks(table_of(vtab)->link, level);
    return SQLITE_OK;
}

int kv_update_rollback_to(sqlite3_vtab *vtab, int level)
{
    if (table_of(vtab)->link)
        kv_link_rollback_to(table_of(vtab)->link, level);
    return SQLITE_OK;
}
