/* kv_stats: figures about a table's store, one a row. See tables.h. */
#include "tables.h"

/* Where a figure and its table are written to. */
struct sheet {
    struct kv_report *report;
    const struct kv_table *table;
};

static void start_row(const struct sheet *sheet, const char *stat)
{
    kv_report_text(sheet->report, sheet->table->schema);
    kv_report_text(sheet->report, sheet->table->name);
    kv_report_text(sheet->report, stat);
}

static void integer(const struct sheet *sheet, const char *stat, uint64_t value)
{
    start_row(sheet, stat);
    kv_report_integer(sheet->report, (sqlite3_int64)value);
}

static void real(const struct sheet *sheet, const char *stat, double value)
{
    start_row(sheet, stat);
    kv_report_real(sheet->report, value);
}

static void text(const struct sheet *sheet, const char *stat, const char *value)
{
    start_row(sheet, stat);
    kv_report_text(sheet->report, value);
}

static const char *synchronous_name(enum kv_synchronous synchronous)
{
    switch (synchronous) {
    case KV_SYNC_OFF: return "off";
    case KV_SYNC_NORMAL: return "normal";
    case KV_SYNC_FULL: return "full";
    }
    return NULL;
}

static void write_contents(const struct sheet *sheet, const struct kv_stats *stats)
{
    integer(sheet, "keys", stats->keys);
    integer(sheet, "exact", stats->exact);
    integer(sheet, "records", stats->records);
    integer(sheet, "tombstones", stats->tombstones);
    integer(sheet, "segments", stats->segments);
    integer(sheet, "runs", stats->runs);
    integer(sheet, "last_seq", stats->last_seq);
    integer(sheet, "durable_seq", stats->durable_seq);
    integer(sheet, "live_bytes", stats->live_bytes);
    integer(sheet, "dead_bytes", stats->dead_bytes);
    integer(sheet, "data_bytes", stats->data_bytes);
    integer(sheet, "disk_bytes", stats->disk_bytes);
    integer(sheet, "memory_bytes", stats->memory_bytes);
    integer(sheet, "index_bytes", stats->index_bytes);
}

static void write_history(const struct sheet *sheet, const struct kv_stats *stats)
{
    real(sheet, "write_amplification", stats->write_amplification);
    real(sheet, "space_amplification", stats->space_amplification);
    integer(sheet, "compactions", stats->compactions);
    integer(sheet, "merge_id", stats->merge_id);
    integer(sheet, "merge_written_bytes", stats->merge_written_bytes);
    integer(sheet, "merge_left_bytes", stats->merge_left_bytes);
    integer(sheet, "generation", stats->generation);
    integer(sheet, "compactions_since_open", stats->compactions_since_open);
    integer(sheet, "seals_since_open", stats->seals_since_open);
    integer(sheet, "syncs_since_open", stats->syncs_since_open);
    integer(sheet, "commits_since_open", stats->commits_since_open);
    integer(sheet, "indexes_rebuilt_since_open", stats->indexes_rebuilt_since_open);
}

static int fill_stats(struct kv_report *report, struct kv_table *table)
{
    struct sheet sheet = {report, table};
    struct kv_store *store = table->link->store;
    struct kv_stats stats;
    enum kv_status st = kv_store_stats(store, &stats);

    if (st != KV_OK)
        return kv_table_status(table, st);
    write_contents(&sheet, &stats);
    write_history(&sheet, &stats);
    text(&sheet, "synchronous", synchronous_name(table->definition.settings.synchronous));
    text(&sheet, "path", kv_store_path(store));
    return SQLITE_OK;
}

const struct kv_report_kind kv_stats_kind = {
    .name = "kv_stats",
    .declaration = "CREATE TABLE x(schema TEXT, name TEXT, stat TEXT, value, \"table\" HIDDEN)",
    .column_count = 4,
    .fill = fill_stats,
};
