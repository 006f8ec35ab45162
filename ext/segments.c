/* kv_segments: the segments of a table's store, one a row. See tables.h. */
#include "rowcodec.h"
#include "tables.h"

struct sheet {
    struct kv_report *report;
    const struct kv_table *table;
};

static const char *state_name(enum kv_segment_state state)
{
    switch (state) {
    case KV_SEGMENT_ACTIVE: return "active";
    case KV_SEGMENT_SEALED: return "sealed";
    case KV_SEGMENT_MERGING: return "merging";
    }
    return NULL;
}

/* A key as the SQL value it stands for; NULL for none, or for one that is not ours. */
static void key(struct kv_report *report, struct kv_slice bytes)
{
    struct kv_cell cell;

    if (kv_key_decode_alone(bytes, &cell))
        kv_report_cell(report, &cell);
    else
        kv_report_null(report);
}

static void integer(struct kv_report *report, uint64_t value)
{
    kv_report_integer(report, (sqlite3_int64)value);
}

static void integer_or_null(struct kv_report *report, uint64_t value)
{
    if (value)
        integer(report, value);
    else
        kv_report_null(report);
}

/* Seconds since 1970, as datetime(…, 'unixepoch') takes them. */
static void time(struct kv_report *report, uint64_t time_ms)
{
    if (time_ms)
        kv_report_real(report, (double)time_ms / 1000);
    else
        kv_report_null(report);
}

static enum kv_status write_segment(void *context, const struct kv_segment_report *segment)
{
    const struct sheet *sheet = (const struct sheet *)context;
    struct kv_report *report = sheet->report;

    kv_report_text(report, sheet->table->schema);
    kv_report_text(report, sheet->table->name);
    integer(report, segment->number);
    integer(report, segment->tier);
    integer(report, segment->run);
    kv_report_text(report, state_name(segment->state));
    integer(report, segment->file_bytes);
    integer(report, segment->records);
    integer(report, segment->tombstones);
    integer(report, segment->live_bytes);
    integer(report, segment->dead_bytes);
    key(report, segment->min_key);
    key(report, segment->max_key);
    integer_or_null(report, segment->min_seq);
    integer_or_null(report, segment->max_seq);
    time(report, segment->min_time_ms);
    time(report, segment->max_time_ms);
    kv_report_text(report, segment->reason);
    return KV_OK;
}

static int fill_segments(struct kv_report *report, struct kv_table *table)
{
    struct sheet sheet = {report, table};

    return kv_table_status(table, kv_store_segments(table->link->store, &table->definition.settings,
                                                    write_segment, &sheet));
}

const struct kv_report_kind kv_segments_kind = {
    .name = "kv_segments",
    .declaration = "CREATE TABLE x(schema TEXT, name TEXT, segment INTEGER, tier INTEGER, "
                   "run INTEGER, state TEXT, file_bytes INTEGER, records INTEGER, "
                   "tombstones INTEGER, live_bytes INTEGER, dead_bytes INTEGER, min_key, max_key, "
                   "min_seq INTEGER, max_seq INTEGER, min_time REAL, max_time REAL, reason TEXT, "
                   "\"table\" HIDDEN)",
    .column_count = 18,
    .fill = fill_segments,
};
