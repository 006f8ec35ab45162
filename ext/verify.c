/*
 * kv_check: what is wrong with a store, one problem a row. See tables.h.
 *
 * A table whose store cannot be opened is checked by the path that its shadow
 * table names; a store without a table by the path that the user gives.
 */
#include "verify.h"

#include "attach.h"
#include "location.h"
#include "tables.h"

struct sheet {
    struct kv_report *report;
    const char *schema, *name; /* of the table; NULL: none */
    uint64_t problem_count;
};

static enum kv_status write_problem(void *context, const struct kv_problem *problem)
{
    struct sheet *sheet = (struct sheet *)context;

    sheet->problem_count++;
    kv_report_text(sheet->report, sheet->schema);
    kv_report_text(sheet->report, sheet->name);
    if (problem->segment)
        kv_report_integer(sheet->report, (sqlite3_int64)problem->segment);
    else
        kv_report_null(sheet->report);
    if (problem->offset)
        kv_report_integer(sheet->report, (sqlite3_int64)problem->offset);
    else
        kv_report_null(sheet->report);
    kv_report_text(sheet->report, problem->text);
    return KV_OK;
}

static struct kv_settings interruptible(struct kv_connection *connection)
{
    struct kv_settings settings = kv_settings_default();

    settings.interrupted = kv_connection_interrupted;
    settings.interrupted_context = connection;
    return settings;
}

static enum kv_status check_store(struct kv_table *table, struct sheet *sheet)
{
    struct kv_settings settings = interruptible(table->connection);
    sqlite3_stmt *before = kv_connection_begin_work(table->connection);
    enum kv_status st = kv_store_check(table->link->store, &settings, write_problem, sheet);

    kv_connection_end_work(table->connection, before);
    return st;
}

static enum kv_status check_directory(struct kv_connection *connection, const char *path,
                                      struct sheet *sheet)
{
    struct kv_settings settings = interruptible(connection);
    sqlite3_stmt *before = kv_connection_begin_work(connection);
    enum kv_status st = kv_check(path, NULL, &settings, write_problem, sheet);

    kv_connection_end_work(connection, before);
    return st;
}

/* Is this about the store, rather than about making the check? */
static bool is_finding(enum kv_status st)
{
    return st == KV_NOTFOUND || st == KV_INVALID || st == KV_IOERR || st == KV_CORRUPT ||
           st == KV_NEWER;
}

/*
 * The table's store cannot be opened, which is a problem in itself: its
 * message is reported unless reading the directory finds the cause.
 */
static int check_broken(struct kv_table *table, int code, struct sheet *sheet)
{
    char *message = table->base.zErrMsg, *path = NULL;
    enum kv_status st = KV_OK;

    if (code == SQLITE_NOMEM || code == SQLITE_INTERRUPT || code == SQLITE_BUSY)
        return code;
    table->base.zErrMsg = NULL;
    code = kv_table_store_path(table, &path);
    if (code == SQLITE_OK)
        st = check_directory(table->connection, path, sheet);
    sqlite3_free(path);
    if (code == SQLITE_OK && st != KV_OK && !is_finding(st))
        code = kv_table_status(table, st);
    else if (sheet->problem_count == 0) {
        struct kv_problem problem = {.text = message ? message : "it cannot be opened"};

        (void)write_problem(sheet, &problem);
        code = SQLITE_OK;
    }
    sqlite3_free(message);
    return code;
}

static int fill(struct kv_report *report, struct kv_table *table)
{
    struct sheet sheet = {.report = report, .schema = table->schema, .name = table->name};
    int code = kv_table_open(table);

    if (code != SQLITE_OK)
        return check_broken(table, code, &sheet);
    return kv_table_status(table, check_store(table, &sheet));
}

static int fill_path(struct kv_report *report, struct kv_connection *connection, const char *path,
                     char **error)
{
    struct sheet sheet = {.report = report};
    char *resolved = kv_location_resolve(kv_database_file(connection->db, "main"), path);
    enum kv_status st;

    if (!resolved)
        return SQLITE_NOMEM;
    st = check_directory(connection, resolved, &sheet);
    sqlite3_free(resolved);
    return st == KV_OK ? SQLITE_OK : kv_error_of(error, "kv_check", st);
}

const struct kv_report_kind kv_check_kind = {
    .name = "kv_check",
    .declaration = "CREATE TABLE x(schema, name, segment, offset, problem, argument HIDDEN)",
    .column_count = 5,
    .fill = fill,
    .takes_broken_stores = true,
    .fill_path = fill_path,
};

/* ---- The command */

/* The first problem becomes the message of a failure. */
static enum kv_status fail_with_problem(void *context, const struct kv_problem *problem)
{
    const struct kv_table *table = (const struct kv_table *)context;

    if (problem->segment == 0)
        return kv_fail(KV_CORRUPT, "%s", problem->text);
    return kv_fail(KV_CORRUPT, "%s, segment %llu, offset %llu: %s",
                   kv_store_path(table->link->store), (unsigned long long)problem->segment,
                   (unsigned long long)problem->offset, problem->text);
}

int kv_verify_table(struct kv_table *table)
{
    struct kv_settings settings = interruptible(table->connection);
    sqlite3_stmt *before;
    enum kv_status st;
    int code = kv_table_open(table);

    if (code != SQLITE_OK)
        return code;
    before = kv_connection_begin_work(table->connection);
    st = kv_store_check(table->link->store, &settings, fail_with_problem, table);
    kv_connection_end_work(table->connection, before);
    return kv_table_status(table, st);
}
