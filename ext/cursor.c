/*
 * Reading rows: see cursor.h.
 *
 * A cursor is in one of three modes. POINT has at most one row, found by
 * xFilter. BATCH has a sorted list of keys and looks each up as it comes to
 * it. SCAN walks a range. Rows are borrowed from the view, which stays until
 * xClose; own writes of the transaction move with it and are copied.
 *
 * P5: a cursor shows the view it took at its first xFilter, and own writes up
 * to its latest. A later xFilter of the same statement keeps the view, unless the
 * connection has since committed what the statement had already seen as own
 * writes: then only a newer view still shows it.
 *
 * A batch inside a transaction looks everything up in xFilter, since later
 * writes must not show.
 */
#include "cursor.h"

#include "batch.h"
#include "plan.h"
#include "rowcodec.h"

enum mode { MODE_END, MODE_POINT, MODE_BATCH, MODE_SCAN };

struct kv_cursor {
    sqlite3_vtab_cursor base;
    struct kv_link *link; /* shared: the table may lose its own before the cursor closes */
    enum mode mode;
    struct kv_view *view; /* NULL until the first xFilter */
    bool saw_own;         /* own writes were visible through `view` */
    struct kv_scan *scan;
    struct kv_scan *later; /* comes after `scan`; NULL most often */
    struct kv_batch batch;
    struct kv_watch watch;          /* of own rows in the batch */
    struct kv_scratch lower, upper; /* encoded bounds */
    struct kv_scratch copy;         /* of an own row */
    struct kv_slice key, row;       /* the current row */
    bool is_decoded;
    bool skips_point;       /* the scan comes after a point, whose key is in `lower` */
    struct kv_cell cells[]; /* the current row's value columns, once decoded */
};

static struct kv_table *table_of(struct kv_cursor *cursor)
{
    return (struct kv_table *)(void *)cursor->base.pVtab;
}

/* ---- Opening and closing */

static struct kv_cursor *new_cursor(const struct kv_table *table)
{
    size_t size =
        sizeof(struct kv_cursor) + sizeof(struct kv_cell) * (size_t)table->definition.column_count;
    struct kv_cursor *cursor = (struct kv_cursor *)sqlite3_malloc64(size);

    if (cursor)
        memset(cursor, 0, size);
    return cursor;
}

int kv_cursor_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    struct kv_table *table = (struct kv_table *)(void *)vtab;
    struct kv_cursor *cursor;
    int code = kv_table_open(table);

    *out = NULL;
    if (code != SQLITE_OK)
        return code;
    cursor = table->idle ? table->idle : new_cursor(table);
    table->idle = NULL;
    if (!cursor)
        return SQLITE_NOMEM;
    cursor->link = kv_link_share(table->link);
    *out = &cursor->base;
    return SQLITE_OK;
}

/* Stop showing anything, but keep the view: the statement may filter again. */
static void reset(struct kv_cursor *cursor)
{
    cursor->mode = MODE_END;
    if (cursor->scan || cursor->later) {
        kv_scan_close(cursor->scan);
        kv_scan_close(cursor->later);
        cursor->scan = cursor->later = NULL;
    }
    if (cursor->watch.is_listed)
        kv_link_unwatch(cursor->link, &cursor->watch);
    cursor->watch.is_cut = false;
    cursor->skips_point = false;
}

static void release_view(struct kv_cursor *cursor)
{
    if (cursor->view)
        kv_link_release(cursor->view);
    cursor->view = NULL;
    cursor->saw_own = false;
}

int kv_cursor_close(sqlite3_vtab_cursor *base)
{
    struct kv_cursor *cursor = (struct kv_cursor *)(void *)base;
    struct kv_table *table = table_of(cursor);

    reset(cursor);
    release_view(cursor);
    kv_link_leave(cursor->link);
    kv_scratch_trim(&cursor->copy);
    kv_batch_trim(&cursor->batch);
    if (table->idle)
        kv_cursor_free(cursor);
    else
        table->idle = cursor;
    return SQLITE_OK;
}

void kv_cursor_free(struct kv_cursor *cursor)
{
    if (!cursor)
        return;
    kv_scratch_release(&cursor->lower);
    kv_scratch_release(&cursor->upper);
    kv_scratch_release(&cursor->copy);
    kv_batch_release(&cursor->batch);
    sqlite3_free(cursor);
}

/* ---- The current row */

static int out_of_memory(struct kv_cursor *cursor)
{
    return kv_table_status(table_of(cursor), kv_fail_nomem());
}

/* Show this row; `row` stays where it is until the cursor moves. */
static void show(struct kv_cursor *cursor, struct kv_slice key, struct kv_slice row)
{
    cursor->key = key;
    cursor->row = row;
    cursor->is_decoded = false;
}

/* Show what a lookup has found. Own writes may move with the next write, so they are copied. */
static int show_found(struct kv_cursor *cursor, struct kv_slice key, const struct kv_entry *entry)
{
    struct kv_slice row = entry->row;

    if (entry->own) {
        if (!kv_scratch_set(&cursor->copy, row))
            return out_of_memory(cursor);
        row = kv_scratch_slice(&cursor->copy);
    }
    show(cursor, key, row);
    return SQLITE_OK;
}

static int scan_next(struct kv_cursor *cursor)
{
    struct kv_entry entry;
    enum kv_status st = kv_scan_next(cursor->scan, &entry);

    if (st == KV_OK && cursor->skips_point &&
        kv_slice_equal(entry.key, kv_scratch_slice(&cursor->lower))) {
        cursor->skips_point = false;
        st = kv_scan_next(cursor->scan, &entry);
    }
    if (st == KV_DONE && cursor->later) {
        kv_scan_close(cursor->scan);
        cursor->scan = cursor->later;
        cursor->later = NULL;
        st = kv_scan_next(cursor->scan, &entry);
    }
    if (st == KV_OK) {
        show(cursor, entry.key, entry.row);
        return SQLITE_OK;
    }
    cursor->mode = MODE_END;
    return kv_table_status(table_of(cursor), st);
}

/* ---- Points */

static int find_point(struct kv_cursor *cursor, sqlite3_value *value)
{
    struct kv_table *table = table_of(cursor);
    struct kv_entry entry;
    struct kv_slice key;
    enum kv_status st;

    switch (kv_bound_equal(value, table->definition.columns[0].affinity, &cursor->lower)) {
    case KV_BOUND_KEY: break;
    case KV_BOUND_NOMEM: return out_of_memory(cursor);
    default: return SQLITE_OK; /* NULL, or too long for a key: no row */
    }
    key = kv_scratch_slice(&cursor->lower);
    st = kv_snapshot_get(cursor->view->snapshot, cursor->link->txn, key, &entry);
    if (st != KV_OK)
        return kv_table_status(table, st);
    cursor->mode = MODE_POINT;
    return show_found(cursor, key, &entry);
}

/* One scan of the cursor's view. */
static enum kv_status open_scan(struct kv_cursor *cursor, struct kv_range *range,
                                struct kv_scan **out)
{
    range->interrupted = kv_connection_interrupted;
    range->interrupted_context = cursor->link->connection;
    return kv_scan_open(cursor->view->snapshot, cursor->link->txn, range, out);
}

static enum kv_status scan_numeric_texts(struct kv_cursor *cursor)
{
    struct kv_range range = {.has_lower = true, .has_upper = true, .upper_open = true};

    kv_bound_numeric_texts(&range.lower, &range.upper);
    return open_scan(cursor, &range, &cursor->scan);
}

/*
 * The key that the value stands for comes first, since SQLite may look at one
 * row only; then, where others may equal it, these.
 */
static int filter_point(struct kv_cursor *cursor, int plan, sqlite3_value *value)
{
    enum kv_affinity affinity = table_of(cursor)->definition.columns[0].affinity;
    bool converts = !(plan & KV_PLAN_PLAIN) && kv_bound_converts(value, affinity);
    int code = find_point(cursor, value);
    enum kv_status st;

    if (code != SQLITE_OK || !converts)
        return code;
    st = scan_numeric_texts(cursor);
    if (st != KV_OK)
        return kv_table_status(table_of(cursor), st);
    cursor->skips_point = cursor->mode == MODE_POINT;
    if (cursor->mode == MODE_POINT)
        return SQLITE_OK;
    cursor->mode = MODE_SCAN;
    return scan_next(cursor);
}

/* ---- Batches */

/* Numbers in the list may equal texts that are not: those of the table join the list. */
static enum kv_status list_numeric_texts(struct kv_cursor *cursor)
{
    enum kv_status st = scan_numeric_texts(cursor);
    struct kv_entry entry;

    while (st == KV_OK && (st = kv_scan_next(cursor->scan, &entry)) == KV_OK)
        st = kv_batch_add(&cursor->batch, entry.key);
    kv_scan_close(cursor->scan);
    cursor->scan = NULL;
    return st == KV_DONE ? KV_OK : st;
}

/* The keys of an IN list. */
static int read_list(struct kv_cursor *cursor, sqlite3_value *list)
{
    enum kv_affinity affinity = table_of(cursor)->definition.columns[0].affinity;
    bool converts = false;
    sqlite3_value *value;
    int code;

    kv_batch_clear(&cursor->batch, cursor->link->connection);
    for (code = sqlite3_vtab_in_first(list, &value); code == SQLITE_OK && value;
         code = sqlite3_vtab_in_next(list, &value)) {
        converts |= kv_bound_converts(value, affinity);
        switch (kv_bound_equal(value, affinity, &cursor->lower)) {
        case KV_BOUND_KEY:
            if (kv_batch_add(&cursor->batch, kv_scratch_slice(&cursor->lower)) != KV_OK)
                return out_of_memory(cursor);
            break;
        case KV_BOUND_NOMEM: return out_of_memory(cursor);
        default: break; /* NULL, or too long for a key: no row */
        }
    }
    if (code == SQLITE_DONE && converts)
        return kv_table_status(table_of(cursor), list_numeric_texts(cursor));
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Show the next row of the list that exists. */
static int batch_next(struct kv_cursor *cursor)
{
    struct kv_slice key, row;
    enum kv_status st;

    if (cursor->watch.is_cut) {
        cursor->mode = MODE_END;
        return kv_table_error(table_of(cursor), SQLITE_ABORT_ROLLBACK,
                              "the transaction whose rows this statement shows was rolled back");
    }
    st = kv_batch_next(&cursor->batch, cursor->view->snapshot, &key, &row);
    if (st == KV_OK) {
        show(cursor, key, row);
        return SQLITE_OK;
    }
    cursor->mode = MODE_END;
    return kv_table_status(table_of(cursor), st);
}

static int filter_batch(struct kv_cursor *cursor, int plan, sqlite3_value *list)
{
    struct kv_link *link = cursor->link;
    int code = read_list(cursor, list);
    enum kv_status st = KV_OK;

    if (code != SQLITE_OK)
        return code;
    kv_batch_start(&cursor->batch, plan & KV_PLAN_DESC);
    if (link->txn) {
        /* Later writes must not show, so nothing is left to look up later. */
        st = kv_batch_prefetch(&cursor->batch, cursor->view->snapshot, link->txn);
        kv_link_watch(link, &cursor->watch);
    }
    if (st != KV_OK)
        return kv_table_status(table_of(cursor), st);
    cursor->mode = MODE_BATCH;
    return batch_next(cursor);
}

/* ---- Ranges */

/*
 * Scan what a pattern's start leaves: texts, and blobs, which match by their
 * bytes. They lie apart, so there are two scans.
 */
static enum kv_status scan_pattern(struct kv_cursor *cursor, bool descending)
{
    struct kv_range range = {.has_lower = true,
                             .has_upper = true,
                             .upper_open = true,
                             .lower = kv_scratch_slice(&cursor->lower),
                             .upper = kv_scratch_slice(&cursor->upper),
                             .descending = descending};
    enum kv_status st = open_scan(cursor, &range, descending ? &cursor->later : &cursor->scan);

    if (st != KV_OK)
        return st;
    cursor->lower.data[0] = cursor->upper.data[0] = KV_KEY_BLOB_TAG;
    return open_scan(cursor, &range, descending ? &cursor->scan : &cursor->later);
}

/*
 * Turn the right side of a comparison into one end of the range. A key that
 * was cut to the longest length is as good closed: what equals it is checked
 * again. KV_BOUND_NOTHING: no row passes; KV_BOUND_NOMEM.
 */
static enum kv_bound read_end(struct kv_cursor *cursor, sqlite3_value *value,
                              struct kv_scratch *key, bool *has_end, bool *is_open)
{
    enum kv_affinity affinity = table_of(cursor)->definition.columns[0].affinity;
    enum kv_bound bound = kv_bound_range(value, affinity, key);

    *has_end = bound == KV_BOUND_KEY || bound == KV_BOUND_KEY_LONG;
    *is_open = *is_open && bound == KV_BOUND_KEY;
    return bound;
}

/* As above for the upper end, before which lie texts that the value may turn into numbers. */
static enum kv_bound read_upper_end(struct kv_cursor *cursor, int plan, sqlite3_value *value,
                                    struct kv_range *range)
{
    enum kv_affinity affinity = table_of(cursor)->definition.columns[0].affinity;
    struct kv_slice lower, upper;

    if (plan & KV_PLAN_PLAIN || affinity == KV_AFFINITY_TEXT || !kv_bound_converts(value, affinity))
        return read_end(cursor, value, &cursor->upper, &range->has_upper, &range->upper_open);
    kv_bound_numeric_texts(&lower, &upper);
    range->has_upper = range->upper_open = true;
    return kv_scratch_set(&cursor->upper, upper) ? KV_BOUND_KEY : KV_BOUND_NOMEM;
}

/* Scan texts in the range, and all blobs, which come behind them. */
static enum kv_status scan_with_blobs(struct kv_cursor *cursor, struct kv_range *texts)
{
    static const uint8_t tag = KV_KEY_BLOB_TAG;
    struct kv_range blobs = {.has_lower = true,
                             .lower = kv_slice_of(&tag, sizeof(tag)),
                             .descending = texts->descending};
    enum kv_status st =
        open_scan(cursor, texts, texts->descending ? &cursor->later : &cursor->scan);

    if (st != KV_OK)
        return st;
    return open_scan(cursor, &blobs, texts->descending ? &cursor->scan : &cursor->later);
}

/* Scan between the comparisons' bounds. */
static enum kv_status scan_bounds(struct kv_cursor *cursor, int plan, sqlite3_value **argv)
{
    struct kv_range range = {.lower_open = (plan & KV_PLAN_MIN_OPEN) != 0,
                             .upper_open = (plan & KV_PLAN_MAX_OPEN) != 0,
                             .descending = (plan & KV_PLAN_DESC) != 0};
    enum kv_bound min = KV_BOUND_ALL, max = KV_BOUND_ALL;

    if (plan & KV_PLAN_MIN)
        min = read_end(cursor, *argv++, &cursor->lower, &range.has_lower, &range.lower_open);
    if (plan & KV_PLAN_MAX)
        max = read_upper_end(cursor, plan, *argv, &range);
    if (min == KV_BOUND_NOMEM || max == KV_BOUND_NOMEM)
        return kv_fail_nomem();
    if (min == KV_BOUND_NOTHING || max == KV_BOUND_NOTHING)
        return KV_DONE;
    range.lower = kv_scratch_slice(&cursor->lower);
    range.upper = kv_scratch_slice(&cursor->upper);
    if (plan & KV_PLAN_BLOBS && range.has_upper && range.upper.data[0] == KV_KEY_TEXT_TAG)
        return scan_with_blobs(cursor, &range);
    return open_scan(cursor, &range, &cursor->scan);
}

/*
 * Scan a range. SQLite derives comparisons from some patterns, which hold for
 * texts only: so where the pattern tells the range, the comparisons do not count.
 */
static enum kv_status scan_range(struct kv_cursor *cursor, int plan, sqlite3_value **argv)
{
    enum kv_affinity affinity = table_of(cursor)->definition.columns[0].affinity;
    sqlite3_value **pattern = argv + !!(plan & KV_PLAN_MIN) + !!(plan & KV_PLAN_MAX);
    enum kv_bound bound = KV_BOUND_ALL;

    if (plan & KV_PLAN_GLOB)
        bound = kv_bound_glob(*pattern, affinity, &cursor->lower, &cursor->upper);
    switch (bound) {
    case KV_BOUND_KEY: return scan_pattern(cursor, plan & KV_PLAN_DESC);
    case KV_BOUND_ALL: return scan_bounds(cursor, plan, argv);
    case KV_BOUND_NOMEM: return kv_fail_nomem();
    default: return KV_DONE;
    }
}

static int filter_range(struct kv_cursor *cursor, int plan, sqlite3_value **argv)
{
    enum kv_status st = scan_range(cursor, plan, argv);

    if (st != KV_OK)
        return kv_table_status(table_of(cursor), st);
    cursor->mode = MODE_SCAN;
    return scan_next(cursor);
}

/* ---- What SQLite calls */

/* Have a view. See the head of this file for which. */
static enum kv_status take_view(struct kv_cursor *cursor)
{
    struct kv_link *link = cursor->link;
    enum kv_status st = KV_OK;

    if (cursor->view && cursor->saw_own && cursor->view->commit_count != link->commit_count)
        release_view(cursor);
    if (!cursor->view)
        st = kv_link_acquire(link, &cursor->view);
    if (link->txn)
        cursor->saw_own = true;
    return st;
}

int kv_cursor_filter(sqlite3_vtab_cursor *base, int plan, const char *words, int argc,
                     sqlite3_value **argv)
{
    struct kv_cursor *cursor = (struct kv_cursor *)(void *)base;
    enum kv_status st;

    (void)words, (void)argc;
    reset(cursor);
    st = take_view(cursor);
    if (st != KV_OK)
        return kv_table_status(table_of(cursor), st);
    if (plan & KV_PLAN_EQ)
        return filter_point(cursor, plan, argv[0]);
    if (plan & KV_PLAN_IN)
        return filter_batch(cursor, plan, argv[0]);
    return filter_range(cursor, plan, argv);
}

int kv_cursor_next(sqlite3_vtab_cursor *base)
{
    struct kv_cursor *cursor = (struct kv_cursor *)(void *)base;

    switch (cursor->mode) {
    case MODE_SCAN: return scan_next(cursor);
    case MODE_BATCH: return batch_next(cursor);
    case MODE_POINT:
        if (cursor->scan) {
            cursor->mode = MODE_SCAN;
            return scan_next(cursor);
        }
        cursor->mode = MODE_END;
        return SQLITE_OK;
    default: cursor->mode = MODE_END; return SQLITE_OK;
    }
}

int kv_cursor_eof(sqlite3_vtab_cursor *base)
{
    return ((struct kv_cursor *)(void *)base)->mode == MODE_END;
}

static int malformed(struct kv_cursor *cursor)
{
    return kv_table_error(table_of(cursor), SQLITE_CORRUPT_VTAB,
                          "a row in the store %s is malformed; it was not written by this table",
                          kv_store_path(cursor->link->store));
}

static int key_column(struct kv_cursor *cursor, sqlite3_context *context)
{
    enum kv_key_kind kind;
    struct kv_cell cell;

    if (!kv_row_kind(cursor->row, &kind) || !kv_key_decode(cursor->key, kind, &cell))
        return malformed(cursor);
    kv_cell_result(context, &cell);
    return SQLITE_OK;
}

int kv_cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    struct kv_cursor *cursor = (struct kv_cursor *)(void *)base;
    int column_count = table_of(cursor)->definition.column_count;

    if (column == 0)
        return key_column(cursor, context);
    if (column >= column_count) /* the command column */
        return SQLITE_OK;
    if (!cursor->is_decoded) {
        if (!kv_row_decode(cursor->row, cursor->cells, column_count - 1))
            return malformed(cursor);
        cursor->is_decoded = true;
    }
    kv_cell_result(context, &cursor->cells[column - 1]);
    return SQLITE_OK;
}

/*
 * The table has no rowid, and SQLite knows that once it has connected the
 * table. But it reads DELETE … LIMIT and UPDATE … LIMIT before it connects, and so
 * takes the first such statement of a connection for one on rowids. Preparing
 * it again, which this code asks for, puts that right.
 */
int kv_cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    (void)base;
    *out = 0;
    return SQLITE_SCHEMA;
}
