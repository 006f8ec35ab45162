/* Worlds: see world.h. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "files.h"

int sqlite3_kv_static_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "differential: %s: %s\n", what, why);
    exit(2);
}

/* ---- Connections */

static void run_or_fail(sqlite3 *db, const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail(sql, error ? error : "failed");
}

/* The one that is linked in, or another. */
static int load_extension(sqlite3 *db, const char *path, char **error)
{
    int code;

    if (!path)
        return sqlite3_kv_static_init(db, error, NULL);
    code = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_load_extension(db, path, NULL, error);
    return code;
}

static bool has_connection(const struct world *world, int i)
{
    return i == 0 || !world->setting->is_single;
}

/* Attach the second database, and set what holds for each database. */
static void attach(sqlite3 *db, const struct setting *setting, const char *directory)
{
    char sql[PATH_BYTES + 64] = "ATTACH ':memory:' AS att";

    if (!setting->in_memory)
        snprintf(sql, sizeof(sql), "ATTACH '%s/att.db' AS att", directory);
    run_or_fail(db, sql);
    /* May meet the other connection's lock; then it did its work before. */
    (void)sqlite3_exec(db, setting->pragmas, NULL, NULL, NULL);
}

/*
 * The optimization that old versions of SQLite (3.40 is one) go wrong with: in a
 * SELECT ... WHERE key IN (SELECT ...) ORDER BY ... LIMIT, rows of ordinary tables are missing.
 */
enum { SEEK_SCAN = 0x20000 };

sqlite3 *world_connect(enum text_world kind, const struct setting *setting, const char *directory)
{
    char path[PATH_BYTES + 16] = ":memory:";
    char *error = NULL;
    sqlite3 *db;

    if (!setting->in_memory)
        snprintf(path, sizeof(path), "%s/main.db", directory);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        fail(path, sqlite3_errmsg(db));
    sqlite3_extended_result_codes(db, 1);
    sqlite3_test_control(SQLITE_TESTCTRL_OPTIMIZATIONS, db, SEEK_SCAN);
    if (kind == WORLD_KV && load_extension(db, setting->extension, &error) != SQLITE_OK)
        fail("the extension", error ? error : "cannot be loaded");
    attach(db, setting, directory);
    return db;
}

static void open_connection(struct world *world, int i)
{
    struct connection *connection = &world->connections[i];

    if (!has_connection(world, i))
        return;
    *connection = (struct connection){0};
    connection->db = world_connect(world->kind, world->setting, world->directory);
    if (faults_register(connection->db, &connection->faults) != SQLITE_OK)
        fail("faults", sqlite3_errmsg(connection->db));
    run_or_fail(connection->db, "CREATE TEMP TABLE hold(x); INSERT INTO temp.hold VALUES(1), (2)");
}

static void forget_cached(struct connection *connection)
{
    for (int i = 0; i < CACHED_COUNT; i++) {
        sqlite3_finalize(connection->cached[i].statement);
        free(connection->cached[i].sql);
        connection->cached[i] = (struct cached){0};
    }
}

static void close_connection(struct world *world, int i)
{
    struct connection *connection = &world->connections[i];

    if (!connection->db)
        return;
    for (int slot = 0; slot < CURSOR_COUNT; slot++) {
        world_cursor_close(world, i, slot);
        rows_release(&connection->cursors[slot].rows);
    }
    forget_cached(connection);
    if (sqlite3_close(connection->db) != SQLITE_OK)
        fail("closing", sqlite3_errmsg(connection->db));
    connection->db = NULL;
}

void world_init(struct world *world, enum text_world kind, const struct setting *setting,
                const char *parent)
{
    static const char holders[] =
        "CREATE TABLE main.hold(x); INSERT INTO main.hold VALUES(1), (2); "
        "CREATE TABLE att.hold(x); INSERT INTO att.hold VALUES(1), (2)";

    *world = (struct world){.kind = kind, .setting = setting};
    snprintf(world->directory, sizeof(world->directory), "%s/%s", parent,
             kind == WORLD_KV ? "kv" : "ordinary");
    if (mkdir(world->directory, 0700) != 0)
        fail(world->directory, "cannot be created");
    for (int i = 0; i < CONNECTION_COUNT; i++)
        open_connection(world, i);
    run_or_fail(world->connections[0].db, holders);
}

void world_release(struct world *world)
{
    for (int i = 0; i < CONNECTION_COUNT; i++)
        close_connection(world, i);
    files_remove(world->directory);
}

void world_close(struct world *world, int connection)
{
    for (int i = 0; i < CONNECTION_COUNT; i++)
        if (connection < 0 || connection == i)
            close_connection(world, i);
}

void world_open(struct world *world, int connection)
{
    for (int i = 0; i < CONNECTION_COUNT; i++)
        if (connection < 0 || connection == i)
            open_connection(world, i);
}

void world_move(struct world *world)
{
    char old[PATH_BYTES];
    char *generation = strrchr(world->directory, '+');

    snprintf(old, sizeof(old), "%s", world->directory);
    memset(world->connections, 0, sizeof(world->connections));
    if (!generation)
        generation = world->directory + strlen(world->directory);
    snprintf(generation, sizeof(world->directory) - (size_t)(generation - world->directory), "+%u",
             ++world->generation);
    if (!files_copy(old, world->directory))
        fail(old, "cannot be copied");
    files_remove(old);
    for (int i = 0; i < CONNECTION_COUNT; i++)
        open_connection(world, i);
}

int world_txn_state(const struct world *world, int connection)
{
    sqlite3 *db = world->connections[connection].db;

    return db ? sqlite3_txn_state(db, NULL) : SQLITE_TXN_NONE;
}

/* ---- Statements */

static void note_error(sqlite3 *db, struct outcome *out)
{
    out->code = sqlite3_extended_errcode(db);
    text_clear(&out->message);
    text_add(&out->message, "%s", sqlite3_errmsg(db));
}

/* Step to the end. True if nothing failed. */
static bool step_all(sqlite3 *db, sqlite3_stmt *statement, struct outcome *out)
{
    int code;

    out->ran = true;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        rows_add(&out->rows, statement);
    if (code == SQLITE_DONE)
        return true;
    note_error(db, out);
    return false;
}

static void bind(sqlite3_stmt *statement, sqlite3_stmt *values)
{
    if (values)
        for (int i = 0; i < sqlite3_column_count(values); i++)
            (void)sqlite3_bind_value(statement, i + 1, sqlite3_column_value(values, i));
}

/* Run a single statement, prepared now or earlier. */
static void run_cached(struct connection *connection, const struct statement *what,
                       struct outcome *out)
{
    const char *sql = what->sql;
    size_t slot = XXH3_64bits(sql, strlen(sql)) % CACHED_COUNT;
    struct cached *cached = &connection->cached[slot];

    if (!cached->sql || strcmp(cached->sql, sql) != 0) {
        sqlite3_finalize(cached->statement);
        free(cached->sql);
        *cached = (struct cached){0};
        if (sqlite3_prepare_v2(connection->db, sql, -1, &cached->statement, NULL) != SQLITE_OK) {
            note_error(connection->db, out);
            return;
        }
        cached->sql = strdup(sql);
    }
    if (!cached->statement)
        return;
    bind(cached->statement, what->values);
    (void)step_all(connection->db, cached->statement, out);
    /* If the schema has changed, it may have failed while it was prepared anew. */
    out->ran = (out->code & 0xff) != SQLITE_ERROR;
    sqlite3_reset(cached->statement);
}

static void run_several(struct connection *connection, const char *sql, struct outcome *out)
{
    bool goes_on = true;

    while (goes_on && *sql) {
        sqlite3_stmt *statement = NULL;

        if (sqlite3_prepare_v2(connection->db, sql, -1, &statement, &sql) != SQLITE_OK) {
            note_error(connection->db, out);
            return;
        }
        if (statement)
            goes_on = step_all(connection->db, statement, out);
        sqlite3_finalize(statement);
    }
}

void world_run(struct world *world, int i, const struct statement *statement, struct outcome *out)
{
    struct connection *connection = &world->connections[i];
    sqlite3_int64 before = sqlite3_total_changes64(connection->db);

    outcome_clear(out);
    if (strchr(statement->sql, '\n'))
        run_several(connection, statement->sql, out);
    else
        run_cached(connection, statement, out);
    out->changes = sqlite3_changes64(connection->db);
    out->total_changes = sqlite3_total_changes64(connection->db) - before;
    out->last_rowid = sqlite3_last_insert_rowid(connection->db);
    out->autocommit = sqlite3_get_autocommit(connection->db);
    out->txn_state = world_txn_state(world, i);
}

void world_reattach(struct world *world, int i, struct outcome *out)
{
    static const struct statement detach = {.sql = "DETACH att"};

    world_run(world, i, &detach, out);
    if (out->code == SQLITE_OK)
        attach(world->connections[i].db, world->setting, world->directory);
}

/* ---- Cursors */

/* Which of the connection's databases does the statement lock? A set of bits. */
static unsigned databases_of(sqlite3 *db, const char *sql)
{
    enum { OPCODE_COLUMN = 1, P1_COLUMN };
    char *explain = sqlite3_mprintf("EXPLAIN %s", sql);
    sqlite3_stmt *statement = NULL;
    unsigned databases = 0;

    if (sqlite3_prepare_v2(db, explain, -1, &statement, NULL) == SQLITE_OK)
        while (sqlite3_step(statement) == SQLITE_ROW)
            if (strcmp((const char *)sqlite3_column_text(statement, OPCODE_COLUMN),
                       "Transaction") == 0)
                databases |= 1u << sqlite3_column_int(statement, P1_COLUMN);
    sqlite3_finalize(statement);
    sqlite3_free(explain);
    return databases;
}

/* Hold the locks of a statement by another one, on tables that stay as they are. */
static void hold(struct connection *connection, struct cursor *cursor, unsigned databases)
{
    static const char *const parts[] = {"main.hold", "temp.hold", "att.hold"};
    struct text sql = {0};

    for (unsigned i = 0; i < 3; i++)
        if (databases & 1u << i)
            text_add(&sql, "%s%s", sql.size ? ", " : "SELECT * FROM ", parts[i]);
    if (sqlite3_prepare_v2(connection->db, sql.data, -1, &cursor->statement, NULL) != SQLITE_OK ||
        sqlite3_step(cursor->statement) != SQLITE_ROW)
        fail(sql.data, sqlite3_errmsg(connection->db));
    text_release(&sql);
}

/* Read everything, and hold the locks of a statement that has not. */
static int open_ordinary(struct connection *connection, struct cursor *cursor,
                         const struct statement *what)
{
    unsigned databases = databases_of(connection->db, what->sql);
    int code = sqlite3_prepare_v2(connection->db, what->sql, -1, &cursor->statement, NULL);

    bind(cursor->statement, what->values);
    while (code == SQLITE_OK && (code = sqlite3_step(cursor->statement)) == SQLITE_ROW) {
        rows_add(&cursor->rows, cursor->statement);
        code = SQLITE_OK;
    }
    sqlite3_finalize(cursor->statement);
    cursor->statement = NULL;
    if (code == SQLITE_DONE)
        hold(connection, cursor, databases);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int open_kv(struct connection *connection, struct cursor *cursor,
                   const struct statement *what)
{
    int code = sqlite3_prepare_v2(connection->db, what->sql, -1, &cursor->statement, NULL);

    bind(cursor->statement, what->values);
    return code;
}

int world_cursor_open(struct world *world, int i, int slot, const struct statement *statement,
                      struct rows *row)
{
    struct connection *connection = &world->connections[i];
    struct cursor *cursor = &connection->cursors[slot];
    int code;

    rows_clear(row);
    world_cursor_close(world, i, slot);
    if (world->kind == WORLD_KV)
        code = open_kv(connection, cursor, statement);
    else
        code = open_ordinary(connection, cursor, statement);
    if (code != SQLITE_OK) {
        world_cursor_close(world, i, slot);
        return code;
    }
    return world_cursor_step(world, i, slot, row);
}

int world_cursor_step(struct world *world, int i, int slot, struct rows *row)
{
    struct cursor *cursor = &world->connections[i].cursors[slot];
    int code = SQLITE_DONE;

    rows_clear(row);
    if (world->kind == WORLD_KV) {
        code = sqlite3_step(cursor->statement);
        if (code == SQLITE_ROW)
            rows_add(row, cursor->statement);
    } else if (cursor->position < cursor->rows.count) {
        rows_add_from(row, &cursor->rows, cursor->position++);
        code = SQLITE_ROW;
    }
    if (code != SQLITE_ROW)
        world_cursor_close(world, i, slot);
    return code;
}

void world_cursor_close(struct world *world, int i, int slot)
{
    struct cursor *cursor = &world->connections[i].cursors[slot];

    sqlite3_finalize(cursor->statement);
    cursor->statement = NULL;
    cursor->position = 0;
    rows_clear(&cursor->rows);
}

bool world_cursor_is_open(const struct world *world, int i, int slot)
{
    return world->connections[i].cursors[slot].statement != NULL;
}
