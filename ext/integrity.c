/* Reading everything to see whether it can be read: see integrity.h. */
#include "integrity.h"

#include "rowcodec.h"
#include "vtab.h"

static bool is_well_formed(struct kv_table *table, const struct kv_entry *entry)
{
    enum kv_key_kind kind;
    struct kv_cell key;

    return kv_row_kind(entry->row, &kind) && kv_key_decode(entry->key, kind, &key) &&
           kv_row_decode(entry->row, table->cells, table->definition.column_count - 1);
}

static enum kv_status check_rows(struct kv_table *table, struct kv_scan *scan)
{
    struct kv_entry entry;
    uint64_t count = 0;
    enum kv_status st;

    while ((st = kv_scan_next(scan, &entry)) == KV_OK) {
        if (!is_well_formed(table, &entry))
            return kv_fail(KV_CORRUPT, "a row in the store %s is malformed",
                           kv_store_path(table->link->store));
        if (++count % 256 == 0 && kv_connection_interrupted(table->connection))
            return kv_fail(KV_INTERRUPTED, "the check was interrupted");
    }
    return st;
}

static enum kv_status check(struct kv_table *table)
{
    struct kv_range everything = {.interrupted = kv_connection_interrupted,
                                  .interrupted_context = table->connection};
    struct kv_scan *scan = NULL;
    struct kv_view *view;
    enum kv_status st = kv_link_acquire(table->link, &view);

    if (st != KV_OK)
        return st;
    st = kv_scan_open(view->snapshot, table->link->txn, &everything, &scan);
    if (st == KV_OK)
        st = check_rows(table, scan);
    kv_scan_close(scan);
    kv_link_release(view);
    return st;
}

/* What is wrong with the table is the check's result; that it could not be made is a failure. */
static int report(struct kv_table *table, int code, char **problem)
{
    if (code == SQLITE_NOMEM || code == SQLITE_INTERRUPT)
        return code;
    *problem = table->base.zErrMsg;
    table->base.zErrMsg = NULL;
    return SQLITE_OK;
}

int kv_integrity_check(sqlite3_vtab *vtab, const char *schema, const char *name, int flags,
                       char **problem)
{
    struct kv_table *table = (struct kv_table *)(void *)vtab;
    sqlite3_stmt *before;
    int code = kv_table_open(table);

    (void)schema, (void)name;
    if (code == SQLITE_OK && !(flags & 1)) {
        before = kv_connection_begin_work(table->connection);
        code = kv_table_status(table, check(table));
        kv_connection_end_work(table->connection, before);
    }
    return code == SQLITE_OK ? code : report(table, code, problem);
}
