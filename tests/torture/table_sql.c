/* The table through the extension: see table.h. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "bank.h"
#include "table.h"

int sqlite3_kv_static_init(sqlite3 *db, char **error, const struct sqlite3_api_routines *api);

enum statement {
    BEGIN,
    FIRST_WRITE, /* a blind one: it makes this process the store's writer before it reads */
    GET,
    REPLACE,
    UPDATE,
    REMOVE,
    MARK,
    BACK_TO_MARK,
    COMMIT,
    ROLLBACK,
    CHECK,
    ALL_ASCENDING,
    ALL_DESCENDING,
    STATEMENT_COUNT,
};

static const char *const texts[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [FIRST_WRITE] = "REPLACE INTO kv VALUES('l', 0, NULL)",
    [GET] = "SELECT amount FROM kv WHERE key = ?1",
    [REPLACE] = "REPLACE INTO kv VALUES(?1, ?2, ?3)",
    [UPDATE] = "UPDATE kv SET amount = ?2, pad = ?3 WHERE key = ?1",
    [REMOVE] = "DELETE FROM kv WHERE key = ?1",
    [MARK] = "SAVEPOINT mark",
    [BACK_TO_MARK] = "ROLLBACK TO mark",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [CHECK] = "SELECT segment, offset, problem FROM kv_check('kv')",
    [ALL_ASCENDING] = "SELECT key, amount, pad FROM kv ORDER BY key",
    [ALL_DESCENDING] = "SELECT key, amount, pad FROM kv ORDER BY key DESC",
};

struct sql_table {
    struct table base;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    unsigned put_count;
};

static struct sql_table *sql_of(struct table *table)
{
    return (struct sql_table *)table;
}

/* The status of SQLite's last failure, with its message. */
static enum kv_status failure(const struct sql_table *table, const char *sql)
{
    int code = sqlite3_extended_errcode(table->db);
    enum kv_status st = KV_IOERR;

    if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED)
        st = KV_BUSY;
    else if ((code & 0xff) == SQLITE_CORRUPT)
        st = KV_CORRUPT;
    return kv_fail(st, "%s: %d %s", sql, code, sqlite3_errmsg(table->db));
}

/* Run a statement to its end; it returns no row that matters. */
static enum kv_status run(struct sql_table *table, enum statement which)
{
    sqlite3_stmt *statement = table->statements[which];
    int code;

    do {
        code = sqlite3_step(statement);
    } while (code == SQLITE_ROW);
    if (code != SQLITE_DONE) {
        enum kv_status st = failure(table, texts[which]);

        sqlite3_reset(statement);
        return st;
    }
    sqlite3_reset(statement);
    return KV_OK;
}

/* Run SQL whose first column of its first row is a number. */
static enum kv_status ask(struct sql_table *table, const char *sql, int64_t *number)
{
    sqlite3_stmt *statement = NULL;
    enum kv_status st = KV_OK;
    int code = sqlite3_prepare_v2(table->db, sql, -1, &statement, NULL);

    *number = 0;
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    else if (code != SQLITE_DONE)
        st = failure(table, sql);
    sqlite3_finalize(statement);
    return st;
}

static enum kv_status execute(struct sql_table *table, const char *sql)
{
    int64_t number;

    return ask(table, sql, &number);
}

/* ---- Transactions */

static void sql_abort(struct table *base)
{
    if (!sqlite3_get_autocommit(sql_of(base)->db))
        (void)!run(sql_of(base), ROLLBACK);
}

static enum kv_status sql_begin(struct table *base)
{
    enum kv_status st = run(sql_of(base), BEGIN);

    if (st == KV_OK)
        st = run(sql_of(base), FIRST_WRITE);
    if (st != KV_OK) {
        struct kv_held_message held;

        kv_message_hold(&held);
        sql_abort(base);
        kv_message_restore(&held);
    }
    return st;
}

static enum kv_status sql_get(struct table *base, const char *key, int64_t *amount)
{
    struct sql_table *table = sql_of(base);
    sqlite3_stmt *statement = table->statements[GET];
    enum kv_status st = KV_DONE;
    int code;

    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *amount = sqlite3_column_int64(statement, 0);
        st = KV_OK;
    } else if (code != SQLITE_DONE) {
        st = failure(table, texts[GET]);
    }
    sqlite3_reset(statement);
    return st;
}

static enum kv_status sql_put(struct table *base, const char *key, int64_t amount,
                              struct kv_slice pad)
{
    struct sql_table *table = sql_of(base);
    int before = sqlite3_total_changes(table->db);
    enum statement which = ++table->put_count % 3 ? REPLACE : UPDATE;
    enum kv_status st;

    for (;;) {
        sqlite3_stmt *statement = table->statements[which];

        sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 2, amount);
        sqlite3_bind_blob64(statement, 3, pad.data, pad.size, SQLITE_STATIC);
        st = run(table, which);
        /* What is not there cannot be updated. */
        if (st != KV_OK || sqlite3_total_changes(table->db) != before || which == REPLACE)
            return st;
        which = REPLACE;
    }
}

static enum kv_status sql_remove(struct table *base, const char *key)
{
    sqlite3_bind_text(sql_of(base)->statements[REMOVE], 1, key, -1, SQLITE_STATIC);
    return run(sql_of(base), REMOVE);
}

static enum kv_status sql_mark(struct table *base)
{
    return run(sql_of(base), MARK);
}

static enum kv_status sql_back_to_mark(struct table *base)
{
    return run(sql_of(base), BACK_TO_MARK);
}

static enum kv_status sql_commit(struct table *base)
{
    enum kv_status st = run(sql_of(base), COMMIT);

    /* The main database had readers: the kv part has been prepared, and is now prepared again. */
    for (unsigned tries = 0; st == KV_BUSY && tries < 3; tries++)
        st = run(sql_of(base), COMMIT);
    return st;
}

/* ---- Reading */

/* Give a row to the reader; false: there was none, or a failure. */
static int step_row(sqlite3_stmt *statement, int pass, table_row *row, void *context)
{
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        row(context, pass, (const char *)sqlite3_column_text(statement, 0),
            sqlite3_column_int64(statement, 1),
            kv_slice_of(sqlite3_column_blob(statement, 2),
                        (size_t)sqlite3_column_bytes(statement, 2)));
    return code;
}

static enum kv_status sql_read(struct table *base, bool descending, unsigned pause_ms,
                               table_row *row, void *context, uint64_t *seq)
{
    struct sql_table *table = sql_of(base);
    sqlite3_stmt *outer = table->statements[descending ? ALL_DESCENDING : ALL_ASCENDING];
    sqlite3_stmt *inner = table->statements[descending ? ALL_ASCENDING : ALL_DESCENDING];
    enum kv_status st = KV_OK;
    int code;

    *seq = 0;
    code = step_row(outer, 0, row, context);
    if (code == SQLITE_ROW) {
        /* The second statement shares the snapshot of the first, which is still open. */
        do {
            code = step_row(inner, 1, row, context);
        } while (code == SQLITE_ROW);
        if (code == SQLITE_DONE && pause_ms)
            sqlite3_sleep((int)pause_ms);
    }
    if (code == SQLITE_DONE)
        do {
            code = step_row(outer, 0, row, context);
        } while (code == SQLITE_ROW);
    if (code != SQLITE_DONE)
        st = failure(table, "SELECT");
    sqlite3_reset(inner);
    sqlite3_reset(outer);
    return st;
}

/* ---- Maintenance */

static enum kv_status sql_compact(struct table *base)
{
    return execute(sql_of(base), "SELECT kv_compact('kv')");
}

static enum kv_status sql_sync(struct table *base)
{
    return execute(sql_of(base), "SELECT kv_sync('kv')");
}

static enum kv_status sql_check(struct table *base)
{
    sqlite3_stmt *statement = sql_of(base)->statements[CHECK];
    int code = sqlite3_step(statement);
    enum kv_status st = KV_OK;

    if (code == SQLITE_ROW)
        st = kv_fail(KV_CORRUPT, "segment %lld, offset %lld: %s",
                     sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1),
                     (const char *)sqlite3_column_text(statement, 2));
    else if (code != SQLITE_DONE)
        st = failure(sql_of(base), texts[CHECK]);
    sqlite3_reset(statement);
    return st;
}

static enum kv_status sql_close(struct table *base)
{
    struct sql_table *table = sql_of(base);
    int code;

    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(table->statements[i]);
    code = sqlite3_close(table->db);
    free(table);
    return code == SQLITE_OK ? KV_OK : kv_fail(KV_IOERR, "sqlite3_close: %d", code);
}

static const struct table_ops ops = {
    .begin = sql_begin,
    .get = sql_get,
    .put = sql_put,
    .remove = sql_remove,
    .mark = sql_mark,
    .back_to_mark = sql_back_to_mark,
    .commit = sql_commit,
    .abort = sql_abort,
    .read = sql_read,
    .compact = sql_compact,
    .sync = sql_sync,
    .check = sql_check,
    .close = sql_close,
};

/* ---- Opening */

static enum kv_status load(struct sql_table *table, const char *library)
{
    char *message = NULL;
    enum kv_status st = KV_OK;
    int code;

    if (library) {
        sqlite3_enable_load_extension(table->db, 1);
        code = sqlite3_load_extension(table->db, library, "sqlite3_kv_init", &message);
    } else {
        code = sqlite3_kv_static_init(table->db, &message, NULL);
    }
    if (code != SQLITE_OK)
        st = kv_fail(KV_IOERR, "loading the extension: %d %s", code, message ? message : "");
    sqlite3_free(message);
    return st;
}

static enum kv_status create(struct sql_table *table, const struct table_config *config)
{
    static const char *const synchronous[] = {"off", "normal", "full"};
    char *sql = sqlite3_mprintf(
        "CREATE VIRTUAL TABLE kv USING kv(key TEXT, amount INTEGER, pad BLOB, path=%Q, "
        "readonly=%d, auto_compact=%s, synchronous=%s, segment_bytes=%d, max_segment_bytes=%d, "
        "fanout=%d, tiers=%d)",
        config->store, config->readonly, config->auto_compact ? "on" : "off",
        synchronous[config->synchronous], TABLE_SEGMENT_BYTES, TABLE_MAX_SEGMENT_BYTES,
        TABLE_FANOUT, TABLE_TIERS);
    enum kv_status st = sql ? execute(table, sql) : kv_fail_nomem();

    sqlite3_free(sql);
    return st;
}

static enum kv_status prepare(struct sql_table *table, bool readonly)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        if (readonly && i < ALL_ASCENDING)
            continue;
        if (sqlite3_prepare_v3(table->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &table->statements[i], NULL) != SQLITE_OK)
            return failure(table, texts[i]);
    }
    return KV_OK;
}

static enum kv_status set_journal_mode(struct sql_table *table, const char *mode)
{
    char sql[64];

    if (!mode)
        return KV_OK;
    snprintf(sql, sizeof(sql), "PRAGMA journal_mode = %s", mode);
    return execute(table, sql);
}

/* The table may be there: other processes, or earlier ones, have the database, too. */
static enum kv_status open_table(struct sql_table *table, const struct table_config *config)
{
    int64_t count = 0;
    enum kv_status st = load(table, config->library);

    if (st == KV_OK)
        st = ask(table, "SELECT count(*) FROM sqlite_schema WHERE name = 'kv'", &count);
    if (st == KV_OK && count == 0)
        st = create(table, config);
    if (st == KV_OK) /* opens the store */
        st = execute(table, "SELECT 1 FROM kv WHERE key = 'clock'");
    return st == KV_OK ? prepare(table, config->readonly) : st;
}

enum kv_status table_sql_open(const struct table_config *config, struct table **out)
{
    struct sql_table *table = calloc(1, sizeof(*table));
    enum kv_status st;

    *out = NULL;
    if (!table)
        return kv_fail_nomem();
    table->base.ops = &ops;
    if (sqlite3_open(config->database ? config->database : ":memory:", &table->db) != SQLITE_OK) {
        st = failure(table, "sqlite3_open");
    } else {
        sqlite3_busy_timeout(table->db, TABLE_BUSY_MS);
        /* The main database's own durability is not what is tested, and would only cost time. */
        st = execute(table, "PRAGMA synchronous = OFF");
        if (st == KV_OK)
            st = set_journal_mode(table, config->journal_mode);
        if (st == KV_OK)
            st = open_table(table, config);
    }
    if (st == KV_OK)
        *out = &table->base;
    else
        (void)!sql_close(&table->base);
    return st;
}
