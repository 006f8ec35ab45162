/* The table through kv.h, in the rows of the extension: see table.h. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bank.h"
#include "rowcodec.h"
#include "table.h"

struct engine_table {
    struct table base;
    struct kv_store *store;
    struct kv_txn *txn;
    struct kv_savepoint mark;
    struct kv_snapshot *snapshot;
    struct kv_scratch key, row;
};

static struct engine_table *engine_of(struct table *table)
{
    return (struct engine_table *)table;
}

/* ---- Rows */

static enum kv_status encode_key(struct engine_table *table, const char *key)
{
    struct kv_cell cell = {.type = SQLITE_TEXT, .bytes = kv_slice_text(key)};

    return kv_key_encode(&cell, &table->key) ? KV_OK : kv_fail_nomem();
}

static enum kv_status encode(struct engine_table *table, const char *key, int64_t amount,
                             struct kv_slice pad)
{
    struct kv_cell cells[2] = {{.type = SQLITE_INTEGER, .integer = amount},
                               {.type = SQLITE_BLOB, .bytes = pad}};
    enum kv_status st = encode_key(table, key);

    if (st == KV_OK && !kv_row_encode(KV_KEY_BYTES, cells, 2, &table->row))
        st = kv_fail_nomem();
    return st;
}

static enum kv_status decode_amount(struct kv_slice row, int64_t *amount, struct kv_slice *pad)
{
    struct kv_cell cells[2];

    if (!kv_row_decode(row, cells, 2) || cells[0].type != SQLITE_INTEGER)
        return kv_fail(KV_CORRUPT, "a row of %zu bytes is malformed", row.size);
    *amount = cells[0].integer;
    *pad = cells[1].type == SQLITE_BLOB ? cells[1].bytes : (struct kv_slice){0};
    return KV_OK;
}

static enum kv_status give(const struct kv_entry *entry, int pass, table_row *row, void *context)
{
    char text[BANK_KEY_BYTES];
    struct kv_cell key;
    struct kv_slice pad;
    int64_t amount = 0;
    enum kv_status st = decode_amount(entry->row, &amount, &pad);

    if (st != KV_OK)
        return st;
    if (!kv_key_decode(entry->key, KV_KEY_BYTES, &key) || key.bytes.size >= sizeof(text))
        return kv_fail(KV_CORRUPT, "a key of %zu bytes is malformed", entry->key.size);
    memcpy(text, key.bytes.data, key.bytes.size);
    text[key.bytes.size] = '\0';
    row(context, pass, text, amount, pad);
    return KV_OK;
}

/* ---- Transactions */

static enum kv_status engine_begin(struct table *base)
{
    return kv_txn_begin(engine_of(base)->store, NULL, &engine_of(base)->txn);
}

static enum kv_status engine_get(struct table *base, const char *key, int64_t *amount)
{
    struct engine_table *table = engine_of(base);
    struct kv_entry entry;
    struct kv_slice pad;
    enum kv_status st = encode_key(table, key);

    if (st == KV_OK)
        st = kv_txn_get(table->txn, kv_scratch_slice(&table->key), &entry);
    return st == KV_OK ? decode_amount(entry.row, amount, &pad) : st;
}

static enum kv_status engine_put(struct table *base, const char *key, int64_t amount,
                                 struct kv_slice pad)
{
    struct engine_table *table = engine_of(base);
    enum kv_status st = encode(table, key, amount, pad);

    return st == KV_OK ? kv_txn_put(table->txn, kv_scratch_slice(&table->key),
                                    kv_scratch_slice(&table->row))
                       : st;
}

static enum kv_status engine_remove(struct table *base, const char *key)
{
    struct engine_table *table = engine_of(base);
    enum kv_status st = encode_key(table, key);

    return st == KV_OK ? kv_txn_delete(table->txn, kv_scratch_slice(&table->key)) : st;
}

static enum kv_status engine_mark(struct table *base)
{
    engine_of(base)->mark = kv_txn_savepoint(engine_of(base)->txn);
    return KV_OK;
}

static enum kv_status engine_back_to_mark(struct table *base)
{
    kv_txn_rollback_to(engine_of(base)->txn, engine_of(base)->mark);
    return KV_OK;
}

static enum kv_status engine_commit(struct table *base)
{
    struct kv_txn *txn = engine_of(base)->txn;

    engine_of(base)->txn = NULL;
    return kv_txn_commit(txn);
}

static void engine_abort(struct table *base)
{
    kv_txn_abort(engine_of(base)->txn);
    engine_of(base)->txn = NULL;
}

/* ---- Reading */

static enum kv_status scan_rest(struct kv_scan *scan, int pass, table_row *row, void *context)
{
    struct kv_entry entry;
    enum kv_status st;

    while ((st = kv_scan_next(scan, &entry)) == KV_OK) {
        st = give(&entry, pass, row, context);
        if (st != KV_OK)
            return st;
    }
    return st == KV_DONE ? KV_OK : st;
}

static enum kv_status read_held(struct kv_snapshot *snapshot, bool descending, unsigned pause_ms,
                                table_row *row, void *context)
{
    struct timespec pause = {.tv_sec = pause_ms / 1000,
                             .tv_nsec = (long)(pause_ms % 1000) * 1000000};
    struct kv_range first = {.descending = descending}, second = {.descending = !descending};
    struct kv_scan *outer = NULL, *inner = NULL;
    struct kv_entry entry;
    enum kv_status st = kv_scan_open(snapshot, NULL, &first, &outer);

    if (st == KV_OK)
        st = kv_scan_next(outer, &entry);
    if (st == KV_OK)
        st = give(&entry, 0, row, context);
    if (st == KV_OK)
        st = kv_scan_open(snapshot, NULL, &second, &inner);
    if (st == KV_OK)
        st = scan_rest(inner, 1, row, context);
    if (st == KV_OK && pause_ms)
        nanosleep(&pause, NULL);
    if (st == KV_OK)
        st = scan_rest(outer, 0, row, context);
    kv_scan_close(inner);
    kv_scan_close(outer);
    return st;
}

static enum kv_status engine_read(struct table *base, bool descending, unsigned pause_ms,
                                  table_row *row, void *context, uint64_t *seq)
{
    struct kv_snapshot *snapshot = engine_of(base)->snapshot;
    enum kv_status st = kv_snapshot_acquire(snapshot);

    *seq = 0;
    if (st != KV_OK)
        return st;
    *seq = kv_snapshot_seq(snapshot);
    st = read_held(snapshot, descending, pause_ms, row, context);
    kv_snapshot_release(snapshot);
    return st;
}

/* ---- Maintenance */

static enum kv_status engine_compact(struct table *base)
{
    return kv_compact(engine_of(base)->store, NULL, NULL);
}

static enum kv_status engine_sync(struct table *base)
{
    return kv_sync(engine_of(base)->store, NULL);
}

static enum kv_status note_problem(void *context, const struct kv_problem *problem)
{
    (void)context;
    return kv_fail(KV_CORRUPT, "segment %llu, offset %llu: %s",
                   (unsigned long long)problem->segment, (unsigned long long)problem->offset,
                   problem->text);
}

static enum kv_status engine_check(struct table *base)
{
    return kv_store_check(engine_of(base)->store, NULL, note_problem, NULL);
}

static enum kv_status engine_close(struct table *base)
{
    struct engine_table *table = engine_of(base);
    enum kv_status st;

    kv_txn_abort(table->txn);
    kv_snapshot_free(table->snapshot);
    kv_scratch_release(&table->key);
    kv_scratch_release(&table->row);
    st = kv_store_close(table->store);
    free(table);
    return st;
}

static const struct table_ops ops = {
    .begin = engine_begin,
    .get = engine_get,
    .put = engine_put,
    .remove = engine_remove,
    .mark = engine_mark,
    .back_to_mark = engine_back_to_mark,
    .commit = engine_commit,
    .abort = engine_abort,
    .read = engine_read,
    .compact = engine_compact,
    .sync = engine_sync,
    .check = engine_check,
    .close = engine_close,
};

enum kv_status table_engine_open(const struct table_config *config, struct table **out)
{
    struct kv_open_options options = kv_open_options_default();
    struct engine_table *table = calloc(1, sizeof(*table));
    enum kv_status st;

    *out = NULL;
    if (!table)
        return kv_fail_nomem();
    table->base.ops = &ops;
    options.mode = KV_OPEN_EXISTING;
    options.readonly = config->readonly;
    options.settings.synchronous = config->synchronous;
    options.settings.auto_compact = config->auto_compact;
    options.settings.segment_bytes = TABLE_SEGMENT_BYTES;
    options.settings.max_segment_bytes = TABLE_MAX_SEGMENT_BYTES;
    options.settings.fanout = TABLE_FANOUT;
    options.settings.tiers = TABLE_TIERS;
    options.settings.busy_timeout_ms = TABLE_BUSY_MS;
    st = kv_store_open(config->store, &options, &table->store);
    if (st == KV_OK)
        st = kv_snapshot_new(table->store, &table->snapshot);
    if (st == KV_OK) {
        *out = &table->base;
        return KV_OK;
    }
    (void)!engine_close(&table->base);
    return st;
}

enum kv_status table_open(const struct table_config *config, struct table **out)
{
    return config->sql ? table_sql_open(config, out) : table_engine_open(config, out);
}
