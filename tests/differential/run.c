/* Running and comparing: see run.h. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "intruder.h"
#include "process.h"

/* What the runner knows of an open cursor. */
struct watch {
    bool refilters; /* reads its table again and again */
    bool is_loose;  /* and somebody wrote meanwhile: nobody says what it shows */
    bool saw_own;   /* rows of the running transaction, or could have */
    bool may_abort; /* these were rolled back */
};

struct side {
    bool is_stale;          /* reads an old state by open cursors: see run.h */
    bool is_in_doubt;       /* a COMMIT in a transaction failed */
    bool has_schema_change; /* in the running transaction, or at least tried */
    struct watch watches[CURSOR_COUNT];
};

struct run {
    const struct setting *setting;
    struct world kv, ordinary;
    struct side sides[CONNECTION_COUNT];
    struct outcome kv_outcome, ordinary_outcome;
    struct text sql[2], values;
    struct statement statements[2]; /* what to run in which world */
    sqlite3 *evaluator;             /* computes values to be bound */
    struct figures *figures;
    struct text *what;
};

/* ---- The state of things */

static int txn_state(const struct run *run, int connection)
{
    return world_txn_state(&run->kv, connection);
}

/* Does the connection look at a state of some database that others may move on from? */
static bool holds_old_state(const struct run *run, int connection)
{
    sqlite3 *db = run->kv.connections[connection].db;

    return db && (sqlite3_txn_state(db, "main") == SQLITE_TXN_READ ||
                  sqlite3_txn_state(db, "att") == SQLITE_TXN_READ);
}

static bool in_transaction(const struct run *run, int connection)
{
    sqlite3 *db = run->kv.connections[connection].db;

    return db && !sqlite3_get_autocommit(db);
}

static bool has_cursors(const struct run *run, int connection)
{
    for (int slot = 0; slot < CURSOR_COUNT; slot++)
        if (world_cursor_is_open(&run->kv, connection, slot))
            return true;
    return false;
}

static bool writes(const struct op *op)
{
    switch (op->kind) {
    case OP_RUN: return !(op->flags & OP_READS);
    case OP_REOPEN: return true;
    default: return false;
    }
}

/* May somebody else write although the connection reads? See run.h. */
static bool may_overtake(struct run *run, int reader)
{
    if (!run->setting->is_wal || !holds_old_state(run, reader))
        return true;
    if (in_transaction(run, reader))
        return false;
    run->sides[reader].is_stale = true;
    return true;
}

/*
 * Another process must not meet locks: if its commit in the database fails and
 * it is killed before it has told the store, then that may keep the transaction.
 */
static bool may_intrude(struct run *run)
{
    int most = run->setting->is_wal ? SQLITE_TXN_READ : SQLITE_TXN_NONE;

    if (run->setting->in_memory || run->setting->is_single)
        return false;
    for (int i = 0; i < CONNECTION_COUNT; i++)
        if (txn_state(run, i) > most || !may_overtake(run, i))
            return false;
    return true;
}

static bool may_change_schema(const struct run *run, const struct op *op)
{
    return !has_cursors(run, 0) && !has_cursors(run, 1) &&
           txn_state(run, 1 - op->connection) == SQLITE_TXN_NONE;
}

static bool is_everyone_idle(const struct run *run)
{
    return txn_state(run, 0) != SQLITE_TXN_WRITE && txn_state(run, 1) != SQLITE_TXN_WRITE &&
           !in_transaction(run, 0) && !in_transaction(run, 1);
}

static bool may_run(struct run *run, const struct op *op)
{
    struct side *side = &run->sides[op->connection];

    if (!run->kv.connections[op->connection].db)
        return false;
    if (txn_state(run, op->connection) == SQLITE_TXN_NONE)
        side->is_stale = false;
    if (side->is_stale && op->kind != OP_STEP && op->kind != OP_CLOSE)
        return false;
    if (writes(op) && !may_overtake(run, 1 - op->connection))
        return false;
    if (op->flags & OP_IS_SCHEMA)
        return may_change_schema(run, op);
    /* One world alone must not use up a veto. */
    if (op->flags & OP_MAINTAINS)
        return is_everyone_idle(run) && !run->kv.connections[op->connection].faults.veto;
    if (op->kind == OP_CRASH)
        return !run->setting->in_memory && !run->sides[0].is_in_doubt && !run->sides[1].is_in_doubt;
    if (op->kind == OP_INTRUDE)
        return may_intrude(run);
    /* There, a table of the attached database shows k, and may hold locks. */
    if (op->kind == OP_REATTACH && run->setting->is_single &&
        txn_state(run, op->connection) != SQLITE_TXN_NONE)
        return false;
    /* One that holds locks might keep the other out while it opens. */
    if (op->kind == OP_REOPEN || op->kind == OP_REATTACH)
        return !run->setting->in_memory &&
               (op->flags & OP_ALL || txn_state(run, 1 - op->connection) == SQLITE_TXN_NONE);
    if (op->kind == OP_OPEN)
        return !side->has_schema_change;
    if (op->kind == OP_STEP || op->kind == OP_CLOSE)
        return world_cursor_is_open(&run->kv, op->connection, op->slot);
    return true;
}

/* ---- Cursors */

/* Does the statement set changes()? */
static bool changes_rows(const struct op *op)
{
    return writes(op) && !(op->flags & OP_IS_SCHEMA) && op->class != CLASS_TRANSACTION &&
           op->class != CLASS_SAVEPOINT;
}

/* Did the statement take back what a transaction had written? Or at least some of it. */
static bool rolled_back(const struct run *run, const struct op *op, bool was_in_transaction)
{
    bool ends = op->class == CLASS_TRANSACTION || op->class == CLASS_SAVEPOINT;

    if (strstr(run->sql[WORLD_KV].data, "ROLLBACK"))
        return true;
    if (run->kv_outcome.code == SQLITE_OK)
        return false;
    /* After a RELEASE that failed, SQLite says that the transaction goes on; but it is empty. */
    return ends || (was_in_transaction && !in_transaction(run, op->connection));
}

/* What a statement that may have written means for the connection's open cursors. */
static void note_write(struct run *run, const struct op *op, bool was_in_transaction)
{
    bool is_cut = rolled_back(run, op, was_in_transaction);

    for (int slot = 0; slot < CURSOR_COUNT; slot++) {
        struct watch *watch = &run->sides[op->connection].watches[slot];

        watch->is_loose |= watch->refilters;
        watch->may_abort |= watch->saw_own && is_cut;
    }
}

static void close_cursor(struct run *run, int connection, int slot)
{
    world_cursor_close(&run->kv, connection, slot);
    world_cursor_close(&run->ordinary, connection, slot);
    run->sides[connection].watches[slot] = (struct watch){0};
}

static void describe_step(struct run *run, const char *whose, int code, const struct rows *rows)
{
    text_add(run->what, "    %s: %s ", whose, sqlite3_errstr(code));
    if (code == SQLITE_ROW)
        rows_describe(rows, 0, run->what);
    text_add(run->what, "\n");
}

/* Compare what one step showed. True: no difference. */
static bool compare_step(struct run *run, const struct watch *watch, int kv, int ordinary)
{
    bool same =
        kv == ordinary && rows_equal(&run->kv_outcome.rows, &run->ordinary_outcome.rows, true);

    run->figures->rows += kv == SQLITE_ROW;
    run->figures->comparisons++;
    if (kv == SQLITE_ABORT_ROLLBACK && watch->may_abort)
        return true;
    if (watch->is_loose && (kv == SQLITE_ROW || kv == SQLITE_DONE))
        return true;
    if (same)
        return true;
    text_add(run->what, "cursor kv %d, ordinary %d:\n", kv, ordinary);
    describe_step(run, "kv", kv, &run->kv_outcome.rows);
    describe_step(run, "ordinary", ordinary, &run->ordinary_outcome.rows);
    return false;
}

static bool end_step(struct run *run, const struct op *op, int kv, int ordinary)
{
    bool same = compare_step(run, &run->sides[op->connection].watches[op->slot], kv, ordinary);

    if (kv != SQLITE_ROW || ordinary != SQLITE_ROW)
        close_cursor(run, op->connection, op->slot);
    return same;
}

static bool open_cursor(struct run *run, const struct op *op)
{
    struct side *side = &run->sides[op->connection];
    int kv, ordinary;

    close_cursor(run, op->connection, op->slot);
    side->watches[op->slot] =
        (struct watch){.refilters = op->flags & OP_REFILTERS,
                       .saw_own = txn_state(run, op->connection) == SQLITE_TXN_WRITE};
    ordinary = world_cursor_open(&run->ordinary, op->connection, op->slot,
                                 &run->statements[WORLD_ORDINARY], &run->ordinary_outcome.rows);
    kv = world_cursor_open(&run->kv, op->connection, op->slot, &run->statements[WORLD_KV],
                           &run->kv_outcome.rows);
    return end_step(run, op, kv, ordinary);
}

static bool step_cursor(struct run *run, const struct op *op)
{
    struct watch *watch = &run->sides[op->connection].watches[op->slot];
    bool same = true;

    if (watch->refilters && txn_state(run, op->connection) == SQLITE_TXN_WRITE)
        watch->saw_own = true;
    for (int i = 0; same && i < op->count; i++) {
        int kv, ordinary = SQLITE_ROW;

        if (!world_cursor_is_open(&run->kv, op->connection, op->slot))
            break;
        kv = world_cursor_step(&run->kv, op->connection, op->slot, &run->kv_outcome.rows);
        /* Of a loose one nobody knows when it ends; its locks are held until then. */
        if (!run->sides[op->connection].watches[op->slot].is_loose)
            ordinary = world_cursor_step(&run->ordinary, op->connection, op->slot,
                                         &run->ordinary_outcome.rows);
        same = end_step(run, op, kv, ordinary);
    }
    return same;
}

/* ---- Statements */

static void note_transaction(struct run *run, const struct op *op)
{
    struct side *side = &run->sides[op->connection];

    if (!in_transaction(run, op->connection)) {
        side->is_in_doubt = false;
        side->has_schema_change = false;
        return;
    }
    side->is_in_doubt |= (run->kv_outcome.code & 0xff) == SQLITE_BUSY;
    side->has_schema_change |= (op->flags & OP_IS_SCHEMA) != 0;
}

static bool maintain(struct run *run, const struct op *op)
{
    const char *message;

    world_run(&run->kv, op->connection, &run->statements[WORLD_KV], &run->kv_outcome);
    message = run->kv_outcome.message.data ? run->kv_outcome.message.data : "";
    if (run->kv_outcome.code == SQLITE_OK && run->kv_outcome.rows.count == 0)
        return true;
    /* A merge in the background, or the table is not there. */
    if (run->kv_outcome.code == SQLITE_BUSY || strstr(message, "no such table"))
        return true;
    text_add(run->what, "maintenance %d: (%s)\n", run->kv_outcome.code, message);
    for (size_t i = 0; i < run->kv_outcome.rows.count && i < 10; i++) {
        rows_describe(&run->kv_outcome.rows, i, run->what);
        text_add(run->what, "\n");
    }
    return false;
}

/* Take a lock that the other world has, on a table that stays as it is. */
static void align_lock(sqlite3 *db, const char *schema, int state)
{
    char sql[64];

    if (state == SQLITE_TXN_READ)
        snprintf(sql, sizeof(sql), "SELECT * FROM %s.hold", schema);
    else if (!sqlite3_get_autocommit(db))
        snprintf(sql, sizeof(sql), "DELETE FROM %s.hold WHERE x > 2", schema);
    else
        return;
    (void)sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/*
 * A kv table's first use reads where its store is: a statement that then failed
 * may leave a read lock in a transaction, and kv_compact() may leave one as long
 * as another statement is open. Dropping one writes in the main database, too. And
 * a statement that was prepared before its table went may fail before or after it
 * has locked anything. From then on, both worlds hold what one of them does.
 */
static void align_locks(struct run *run, int connection)
{
    static const char *const schemas[] = {"main", "att", "temp"};
    sqlite3 *kv = run->kv.connections[connection].db;
    sqlite3 *ordinary = run->ordinary.connections[connection].db;

    for (int i = 0; i < 3; i++) {
        int of_kv = sqlite3_txn_state(kv, schemas[i]);
        int of_ordinary = sqlite3_txn_state(ordinary, schemas[i]);

        if (of_kv > of_ordinary)
            align_lock(ordinary, schemas[i], of_kv);
        if (of_kv < of_ordinary)
            align_lock(kv, schemas[i], of_ordinary);
    }
}

/*
 * What ran on one side only may have made SQLite read one database's schema anew and leave another's
 * as it was; where that is locked later, a table is not found. A table that is nowhere makes it look at all.
 */
static void align_schemas(struct run *run, int connection)
{
    static const char sql[] = "SELECT * FROM main.no_such_table";

    (void)sqlite3_exec(run->kv.connections[connection].db, sql, NULL, NULL, NULL);
    (void)sqlite3_exec(run->ordinary.connections[connection].db, sql, NULL, NULL, NULL);
}

/* VACUUM counts the tables of the schema in last_insert_rowid(). */
static void forget_rowids(struct run *run, int connection)
{
    if (strcmp(run->sql[WORLD_KV].data, "VACUUM") != 0)
        return;
    sqlite3_set_last_insert_rowid(run->kv.connections[connection].db, 0);
    sqlite3_set_last_insert_rowid(run->ordinary.connections[connection].db, 0);
    run->kv_outcome.last_rowid = run->ordinary_outcome.last_rowid = 0;
}

static bool run_statement(struct run *run, const struct op *op)
{
    bool was_in_transaction = in_transaction(run, op->connection);
    unsigned compared;
    bool same;

    if (op->flags & OP_MAINTAINS) {
        same = maintain(run, op);
        align_schemas(run, op->connection);
        align_locks(run, op->connection);
        return same;
    }
    world_run(&run->kv, op->connection, &run->statements[WORLD_KV], &run->kv_outcome);
    world_run(&run->ordinary, op->connection, &run->statements[WORLD_ORDINARY],
              &run->ordinary_outcome);
    if (op->flags & OP_IS_SCHEMA)
        forget_rowids(run, op->connection);
    run->figures->failed += run->kv_outcome.code != SQLITE_OK;
    run->figures->rows += run->kv_outcome.rows.count;
    run->figures->comparisons++;
    compared = (op->flags & OP_ORDERED ? COMPARE_ORDER : 0) |
               (changes_rows(op) ? COMPARE_CHANGES : 0) |
               (run->sides[op->connection].has_schema_change ? 0 : COMPARE_TXN_STATE);
    same = !outcome_differs(&run->kv_outcome, &run->ordinary_outcome, compared, run->what);
    if (run->kv_outcome.code != SQLITE_OK || op->flags & OP_IS_SCHEMA)
        align_locks(run, op->connection);
    if (writes(op))
        note_write(run, op, was_in_transaction);
    note_transaction(run, op);
    return same;
}

/* ---- Processes */

static void crash(struct run *run)
{
    process_crash();
    world_move(&run->kv);
    world_move(&run->ordinary);
    memset(run->sides, 0, sizeof(run->sides));
}

static void close_connections(struct run *run, int connection)
{
    for (int i = 0; i < CONNECTION_COUNT; i++)
        if (connection < 0 || connection == i)
            run->sides[i] = (struct side){0};
    world_close(&run->kv, connection);
    world_close(&run->ordinary, connection);
}

static void open_connections(struct run *run, int connection)
{
    world_open(&run->kv, connection);
    world_open(&run->ordinary, connection);
}

static void reopen(struct run *run, const struct op *op)
{
    int connection = op->flags & OP_ALL ? -1 : op->connection;

    close_connections(run, connection);
    open_connections(run, connection);
}

static bool reattach(struct run *run, const struct op *op)
{
    world_reattach(&run->kv, op->connection, &run->kv_outcome);
    world_reattach(&run->ordinary, op->connection, &run->ordinary_outcome);
    run->figures->comparisons++;
    return !outcome_differs(&run->kv_outcome, &run->ordinary_outcome, 0, run->what);
}

static bool intrude(struct run *run, const struct op *op)
{
    struct intrusion intrusion = {.kv_sql = run->statements[WORLD_KV].sql,
                                  .ordinary_sql = run->statements[WORLD_ORDINARY].sql,
                                  .number = op->number,
                                  .microseconds = op->count};
    bool committed, good;

    if (op->flags & OP_ALL)
        close_connections(run, -1);
    good = intruder_run(&run->kv, &run->ordinary, &intrusion, &committed, run->what);
    if (op->flags & OP_ALL)
        open_connections(run, -1);
    run->figures->committed += committed;
    return good;
}

/* ---- Episodes */

static bool run_op(struct run *run, const struct op *op)
{
    switch (op->kind) {
    case OP_RUN: return run_statement(run, op);
    case OP_OPEN: return open_cursor(run, op);
    case OP_STEP: return step_cursor(run, op);
    case OP_CLOSE: close_cursor(run, op->connection, op->slot); break;
    case OP_REOPEN: reopen(run, op); break;
    case OP_REATTACH: return reattach(run, op);
    case OP_CRASH: crash(run); break;
    case OP_INTRUDE: return intrude(run, op);
    case OP_VETO:
        run->kv.connections[op->connection].faults.veto = true;
        run->ordinary.connections[op->connection].faults.veto = true;
        break;
    }
    return true;
}

/* Compute the values to be bound; NULL if that cannot be, as there are too many. */
static sqlite3_stmt *evaluate(struct run *run)
{
    sqlite3_stmt *statement = NULL;
    struct text sql = {0};

    text_add(&sql, "SELECT %s", run->values.data);
    if (sqlite3_prepare_v2(run->evaluator, sql.data, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        sqlite3_finalize(statement);
        statement = NULL;
    }
    text_release(&sql);
    return statement;
}

static void render(struct run *run, const struct op *op, struct text *values)
{
    const char *kv = op->sql ? op->sql : "";

    text_clear(&run->values);
    for (int i = 0; i < 2; i++)
        text_clear(&run->sql[i]);
    text_add_sql(&run->sql[WORLD_ORDINARY], op->ordinary ? op->ordinary : kv, WORLD_ORDINARY,
                 values);
    text_clear(&run->values);
    text_add_sql(&run->sql[WORLD_KV], kv, WORLD_KV, values);
}

/* Have the texts for both worlds, and the values for them. */
static void prepare(struct run *run, const struct op *op)
{
    sqlite3_stmt *values = NULL;

    if (op->flags & OP_BINDS) {
        render(run, op, &run->values);
        values = run->values.size ? evaluate(run) : NULL;
    }
    if (!values)
        render(run, op, NULL);
    for (int i = 0; i < 2; i++)
        run->statements[i] = (struct statement){.sql = run->sql[i].data, .values = values};
}

static bool run_prepared(struct run *run, const struct op *op)
{
    bool same;

    prepare(run, op);
    same = run_op(run, op);
    sqlite3_finalize(run->statements[0].values);
    return same;
}

static bool run_all(struct run *run, const struct op_list *list, size_t *failed_at)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct op *op = &list->ops[i];

        *failed_at = i;
        if (!may_run(run, op)) {
            run->figures->skipped++;
            continue;
        }
        run->figures->statements++;
        run->figures->of_class[op->class]++;
        if (!run_prepared(run, op))
            return false;
    }
    return true;
}

bool run_ops(const struct op_list *list, const struct setting *setting, const char *parent,
             struct figures *figures, size_t *failed_at, struct text *what)
{
    struct run run = {.setting = setting, .figures = figures, .what = what};
    bool same;

    process_limit();
    if (sqlite3_open(":memory:", &run.evaluator) != SQLITE_OK)
        abort();
    world_init(&run.kv, WORLD_KV, setting, parent);
    world_init(&run.ordinary, WORLD_ORDINARY, setting, parent);
    same = run_all(&run, list, failed_at);
    world_release(&run.kv);
    world_release(&run.ordinary);
    outcome_release(&run.kv_outcome);
    outcome_release(&run.ordinary_outcome);
    for (int i = 0; i < 2; i++)
        text_release(&run.sql[i]);
    text_release(&run.values);
    sqlite3_close(run.evaluator);
    return same;
}
