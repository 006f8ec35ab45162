/*
 * The table-valued functions kv_stats([table]), kv_segments([table]),
 * kv_check([table or path]) and kv_repair(path).
 *
 * Each is one description: its columns, and how one kv table's rows are made.
 * xFilter makes all rows at once: they are few, and a moment's picture.
 */
#ifndef KV_EXT_TABLES_H
#define KV_EXT_TABLES_H

#include "vtab.h"

/* The rows of a result, as SQL values. Grows by kv_report_* from left to right. */
struct kv_report;

void kv_report_text(struct kv_report *report, const char *text); /* copied; NULL is NULL */
void kv_report_integer(struct kv_report *report, sqlite3_int64 integer);
void kv_report_real(struct kv_report *report, double real);
void kv_report_cell(struct kv_report *report, const struct kv_cell *cell); /* bytes are copied */
void kv_report_null(struct kv_report *report);

struct kv_report_kind {
    const char *name;
    const char *declaration; /* CREATE TABLE x(…), the hidden argument last */
    int column_count;        /* the argument not counted */
    /*
     * Append the rows of `table`, whose store is open, unless the function is
     * about stores that cannot be opened as well. An SQLite code, its message in the table.
     * NULL: the argument is a path in any case, and must be given.
     */
    int (*fill)(struct kv_report *report, struct kv_table *table);
    bool takes_broken_stores;
    /* The same for a store's directory; NULL: the argument is a table in any case. */
    int (*fill_path)(struct kv_report *report, struct kv_connection *connection, const char *path,
                     char **error);
};

extern const struct kv_report_kind kv_stats_kind, kv_segments_kind, kv_check_kind, kv_repair_kind;

/* Register them; SQLite's code. */
int kv_tables_register(struct kv_connection *connection);

#endif
