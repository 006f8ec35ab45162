/* kv_repair: what was done to a damaged store, one step a row. See tables.h. */
#include "attach.h"
#include "location.h"
#include "tables.h"

static enum kv_status write_step(void *context, const struct kv_repair_step *step)
{
    struct kv_report *report = (struct kv_report *)context;

    if (step->segment)
        kv_report_integer(report, (sqlite3_int64)step->segment);
    else
        kv_report_null(report);
    if (step->offset)
        kv_report_integer(report, (sqlite3_int64)step->offset);
    else
        kv_report_null(report);
    kv_report_text(report, step->action);
    return KV_OK;
}

static enum kv_status repair(struct kv_connection *connection, const char *path,
                             struct kv_report *report)
{
    struct kv_settings settings = kv_settings_default();
    sqlite3_stmt *before = kv_connection_begin_work(connection);
    enum kv_status st;

    settings.interrupted = kv_connection_interrupted;
    settings.interrupted_context = connection;
    st = kv_repair(path, NULL, &settings, write_step, report);
    kv_connection_end_work(connection, before);
    return st;
}

/* The path starts where those of tables do. */
static int fill_path(struct kv_report *report, struct kv_connection *connection, const char *path,
                     char **error)
{
    char *resolved = kv_location_resolve(kv_database_file(connection->db, "main"), path);
    enum kv_status st;

    if (!resolved)
        return SQLITE_NOMEM;
    st = repair(connection, resolved, report);
    sqlite3_free(resolved);
    return st == KV_OK ? SQLITE_OK : kv_error_of(error, "kv_repair", st);
}

const struct kv_report_kind kv_repair_kind = {
    .name = "kv_repair",
    .declaration = "CREATE TABLE x(segment, offset, action, argument HIDDEN)",
    .column_count = 3,
    .fill_path = fill_path,
};
