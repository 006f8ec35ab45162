/* Table-valued functions: see tables.h. */
#include "tables.h"

#include <string.h>

#include "catalog.h"

/* A value that outlives what it was read from. */
struct value {
    struct kv_cell cell;
    size_t offset; /* of a text's or blob's bytes in the report's */
};

struct kv_report {
    struct value *values;
    size_t count, capacity;
    struct kv_scratch bytes;
    bool is_out_of_memory;
};

struct report_table {
    sqlite3_vtab base;
    struct kv_connection *connection;
    const struct kv_report_kind *kind;
};

struct report_cursor {
    sqlite3_vtab_cursor base;
    struct kv_report report;
    size_t row;
};

/* ---- Reports */

void kv_report_cell(struct kv_report *report, const struct kv_cell *cell)
{
    bool has_bytes = cell->type == SQLITE_TEXT || cell->type == SQLITE_BLOB;
    size_t size = has_bytes ? cell->bytes.size : 0;
    struct kv_scratch *bytes = &report->bytes;

    if (report->count == report->capacity) {
        size_t capacity = 2 * report->capacity + 64;
        struct value *values =
            (struct value *)sqlite3_realloc64(report->values, capacity * sizeof(*values));

        report->is_out_of_memory |= !values;
        if (!values)
            return;
        report->values = values;
        report->capacity = capacity;
    }
    if (!kv_scratch_reserve(bytes, bytes->size + size)) {
        report->is_out_of_memory = true;
        return;
    }
    if (size)
        memcpy(bytes->data + bytes->size, cell->bytes.data, size);
    report->values[report->count++] = (struct value){*cell, bytes->size};
    bytes->size += size;
}

void kv_report_text(struct kv_report *report, const char *text)
{
    if (text)
        kv_report_cell(report,
                       &(struct kv_cell){.type = SQLITE_TEXT, .bytes = kv_slice_text(text)});
    else
        kv_report_null(report);
}

void kv_report_integer(struct kv_report *report, sqlite3_int64 integer)
{
    kv_report_cell(report, &(struct kv_cell){.type = SQLITE_INTEGER, .integer = integer});
}

void kv_report_real(struct kv_report *report, double real)
{
    kv_report_cell(report, &(struct kv_cell){.type = SQLITE_FLOAT, .real = real});
}

void kv_report_null(struct kv_report *report)
{
    kv_report_cell(report, &(struct kv_cell){.type = SQLITE_NULL});
}

static void clear(struct kv_report *report)
{
    sqlite3_free(report->values);
    kv_scratch_release(&report->bytes);
    *report = (struct kv_report){.values = NULL};
}

/* ---- The virtual table */

static int report_connect(sqlite3 *db, void *context, const struct kv_report_kind *kind,
                          sqlite3_vtab **out)
{
    struct report_table *table;
    int code = sqlite3_declare_vtab(db, kind->declaration);

    *out = NULL;
    if (code != SQLITE_OK)
        return code;
    sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
    table = (struct report_table *)sqlite3_malloc64(sizeof(*table));
    if (!table)
        return SQLITE_NOMEM;
    *table = (struct report_table){.connection = (struct kv_connection *)context, .kind = kind};
    *out = &table->base;
    return SQLITE_OK;
}

static int stats_connect(sqlite3 *db, void *context, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **error)
{
    (void)argc, (void)argv, (void)error;
    return report_connect(db, context, &kv_stats_kind, out);
}

static int segments_connect(sqlite3 *db, void *context, int argc, const char *const *argv,
                            sqlite3_vtab **out, char **error)
{
    (void)argc, (void)argv, (void)error;
    return report_connect(db, context, &kv_segments_kind, out);
}

static int check_connect(sqlite3 *db, void *context, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **error)
{
    (void)argc, (void)argv, (void)error;
    return report_connect(db, context, &kv_check_kind, out);
}

static int repair_connect(sqlite3 *db, void *context, int argc, const char *const *argv,
                          sqlite3_vtab **out, char **error)
{
    (void)argc, (void)argv, (void)error;
    return report_connect(db, context, &kv_repair_kind, out);
}

static int report_disconnect(sqlite3_vtab *vtab)
{
    sqlite3_free(vtab);
    return SQLITE_OK;
}

/* The plan is 1 if the argument is given. */
static int report_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    const struct kv_report_kind *kind = ((struct report_table *)(void *)vtab)->kind;

    info->estimatedCost = 1000;
    info->estimatedRows = 100;
    for (int i = 0; i < info->nConstraint; i++) {
        const struct sqlite3_index_constraint *constraint = &info->aConstraint[i];

        if (constraint->iColumn != kind->column_count ||
            constraint->op != SQLITE_INDEX_CONSTRAINT_EQ)
            continue;
        if (!constraint->usable)
            return SQLITE_CONSTRAINT; /* the argument comes from a table not read yet */
        info->aConstraintUsage[i].argvIndex = 1;
        info->aConstraintUsage[i].omit = 1;
        info->idxNum = 1;
        info->estimatedCost = 100;
        break;
    }
    return SQLITE_OK;
}

static int report_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    struct report_cursor *cursor = (struct report_cursor *)sqlite3_malloc64(sizeof(*cursor));

    (void)vtab;
    *out = NULL;
    if (!cursor)
        return SQLITE_NOMEM;
    memset(cursor, 0, sizeof(*cursor));
    *out = &cursor->base;
    return SQLITE_OK;
}

static int report_close(sqlite3_vtab_cursor *base)
{
    clear(&((struct report_cursor *)(void *)base)->report);
    sqlite3_free(base);
    return SQLITE_OK;
}

static int fill_table(void *context, struct kv_table *table)
{
    struct report_cursor *cursor = (struct report_cursor *)context;
    const struct kv_report_kind *kind = ((struct report_table *)(void *)cursor->base.pVtab)->kind;
    int code = kind->takes_broken_stores ? SQLITE_OK : kv_table_open(table);

    if (code == SQLITE_OK)
        code = kind->fill(&cursor->report, table);
    if (code == SQLITE_OK && cursor->report.is_out_of_memory)
        code = SQLITE_NOMEM;
    return code;
}

/*
 * Does the argument name a kv table, or is it, for those who take one, a path? `*path` is NULL if
 * it is none.
 */
static int find_path(struct report_table *table, sqlite3_value *argument, const char **path)
{
    const char *text = (const char *)sqlite3_value_text(argument);
    struct kv_table *found = NULL;
    char *error = NULL;
    int code;

    *path = NULL;
    if (!table->kind->fill_path || !text)
        return SQLITE_OK;
    code = kv_catalog_find(table->connection, table->kind->name, text, &found, &error);
    if (code == SQLITE_OK || code == SQLITE_ERROR) { /* an error: there is no such table */
        sqlite3_free(error);
        *path = found ? NULL : text;
        return SQLITE_OK;
    }
    sqlite3_free(table->base.zErrMsg);
    table->base.zErrMsg = error;
    return code;
}

static int fill_at(struct report_cursor *cursor, struct report_table *table, const char *path)
{
    int code =
        table->kind->fill_path(&cursor->report, table->connection, path, &table->base.zErrMsg);

    return code == SQLITE_OK && cursor->report.is_out_of_memory ? SQLITE_NOMEM : code;
}

/* For those that take nothing but a path. */
static int fill_only_path(struct report_cursor *cursor, struct report_table *table,
                          sqlite3_value *argument)
{
    const char *path = argument ? (const char *)sqlite3_value_text(argument) : NULL;

    if (argument && !path && sqlite3_value_type(argument) != SQLITE_NULL)
        return SQLITE_NOMEM;
    if (!path || !*path)
        return kv_error(&table->base.zErrMsg, SQLITE_ERROR, table->kind->name,
                        "the path of a store is expected");
    return fill_at(cursor, table, path);
}

static int report_filter(sqlite3_vtab_cursor *base, int plan, const char *words, int argc,
                         sqlite3_value **argv)
{
    struct report_cursor *cursor = (struct report_cursor *)(void *)base;
    struct report_table *table = (struct report_table *)(void *)base->pVtab;
    const char *path = NULL;
    int code = SQLITE_OK;

    (void)words, (void)argc;
    clear(&cursor->report);
    cursor->row = 0;
    if (!table->kind->fill)
        return fill_only_path(cursor, table, plan ? argv[0] : NULL);
    if (plan)
        code = find_path(table, argv[0], &path);
    if (code != SQLITE_OK)
        return code;
    if (path)
        return fill_at(cursor, table, path);
    return kv_catalog_each(table->connection, table->kind->name, plan ? argv[0] : NULL, fill_table,
                           cursor, &table->base.zErrMsg);
}

static int report_next(sqlite3_vtab_cursor *base)
{
    ((struct report_cursor *)(void *)base)->row++;
    return SQLITE_OK;
}

static size_t column_count_of(const struct report_cursor *cursor)
{
    return (size_t)((struct report_table *)(void *)cursor->base.pVtab)->kind->column_count;
}

static int report_eof(sqlite3_vtab_cursor *base)
{
    const struct report_cursor *cursor = (const struct report_cursor *)(void *)base;

    return cursor->row * column_count_of(cursor) >= cursor->report.count;
}

static int report_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    struct report_cursor *cursor = (struct report_cursor *)(void *)base;
    size_t columns = column_count_of(cursor);
    struct value *value;

    if ((size_t)column >= columns) /* the argument */
        return SQLITE_OK;
    value = &cursor->report.values[cursor->row * columns + (size_t)column];
    value->cell.bytes.data = cursor->report.bytes.data + value->offset;
    kv_cell_result(context, &value->cell);
    return SQLITE_OK;
}

static int report_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    *out = (sqlite3_int64)((struct report_cursor *)(void *)base)->row;
    return SQLITE_OK;
}

#define REPORT_METHODS                                                                             \
    .xBestIndex = report_best_index, .xDisconnect = report_disconnect, .xOpen = report_open,       \
    .xClose = report_close, .xFilter = report_filter, .xNext = report_next, .xEof = report_eof,    \
    .xColumn = report_column, .xRowid = report_rowid

/* Without xCreate, a module is a table-valued function only. */
static const sqlite3_module stats_module = {.xConnect = stats_connect, REPORT_METHODS};
static const sqlite3_module segments_module = {.xConnect = segments_connect, REPORT_METHODS};

static const sqlite3_module check_module = {.xConnect = check_connect, REPORT_METHODS};
static const sqlite3_module repair_module = {.xConnect = repair_connect, REPORT_METHODS};

int kv_tables_register(struct kv_connection *connection)
{
    static const struct {
        const struct kv_report_kind *kind;
        const sqlite3_module *module;
    } functions[] = {{&kv_stats_kind, &stats_module},
                     {&kv_segments_kind, &segments_module},
                     {&kv_check_kind, &check_module},
                     {&kv_repair_kind, &repair_module}};
    int code = SQLITE_OK;

    for (size_t i = 0; i < sizeof(functions) / sizeof(*functions) && code == SQLITE_OK; i++)
        code =
            sqlite3_create_module_v2(connection->db, functions[i].kind->name, functions[i].module,
                                     kv_connection_hold(connection), kv_connection_release);
    return code;
}
