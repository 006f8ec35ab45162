/* What a store can say about itself. */
#include <stdio.h>

#include "compact.h"
#include "progress.h"
#include "store.h"

enum {
    EXACT_RECORD_MAX = 10000, /* up to here keys are counted, beyond they are estimated */
    REASON_BYTES = 160,
};

/* Everything that the numbers are made from, at one moment. */
struct view {
    struct kv_snapshot *snapshot;
    struct kv_manifest manifest;
    struct kv_progress progress; /* of the merge under way here, else of the oldest open one */
    uint32_t log_end_bytes;
    uint32_t log_record_count; /* at least those in the snapshot */
};

static void view_release(struct view *view)
{
    kv_manifest_release(&view->manifest);
    kv_snapshot_free(view->snapshot);
}

/* What is being merged? If nothing is here: what has another process, or an earlier one, left open? */
static void find_progress(struct view *view, const struct kv_merging *merging)
{
    struct kv_choice open = kv_policy_resume_oldest(&view->manifest);

    view->progress = kv_progress_of_merging(merging, &view->manifest);
    if (view->progress.merge_id == 0)
        view->progress = kv_progress_of_open(view->snapshot->pin.version, &view->manifest, &open);
}

static bool is_merging(const struct view *view, size_t run)
{
    return run >= view->progress.first_run &&
           run - view->progress.first_run < view->progress.run_count;
}

static enum kv_status view_open(struct kv_store *store, struct view *view)
{
    enum kv_status st = kv_snapshot_new(store, &view->snapshot);
    struct kv_merging merging = {0};
    bool same = false;

    view->manifest = (struct kv_manifest){0};
    while (st == KV_OK && !same) {
        st = kv_snapshot_acquire(view->snapshot);
        if (st != KV_OK)
            break;
        kv_manifest_release(&view->manifest);
        pthread_mutex_lock(&store->engine.mutex);
        same = view->snapshot->pin.version == store->engine.version;
        st = kv_manifest_copy(&view->manifest, &store->engine.manifest);
        merging = store->engine.merging;
        pthread_mutex_unlock(&store->engine.mutex);
        if (!same)
            kv_snapshot_release(view->snapshot);
    }
    if (st != KV_OK) {
        view_release(view);
        return st;
    }
    find_progress(view, &merging);
    const struct kv_log *log = view->snapshot->pin.version->log;
    view->log_end_bytes = (uint32_t)kv_log_offset(log, view->snapshot->lsn);
    view->log_record_count = kv_memtable_count(&log->memtable);
    return KV_OK;
}

static void add_segment(const struct kv_segment_info *info, const struct kv_segment *open,
                        struct kv_stats *out, uint64_t *entries)
{
    uint64_t size = info->end_bytes - KV_HEADER_BYTES;
    uint64_t dead = info->dead_bytes < size ? info->dead_bytes : size;

    out->segments++;
    out->records += info->record_count;
    out->tombstones += info->tombstone_count;
    out->data_bytes += info->end_bytes;
    out->live_bytes += size - dead;
    out->dead_bytes += dead;
    out->index_bytes += kv_segment_index_bytes(open);
    out->indexes_rebuilt_since_open += kv_segment_index_rebuilt(open);
    *entries += (uint64_t)((double)(info->entry_count - info->tombstone_count) *
                           (double)(size - dead) / (double)(size ? size : 1));
}

/* A log without index: of what it holds, all counts as live. */
static void add_unindexed(const struct kv_segment_info *info, struct kv_stats *out,
                          uint64_t *entries)
{
    out->segments++;
    out->runs++;
    out->records += info->record_count;
    out->data_bytes += info->end_bytes;
    out->live_bytes += info->end_bytes - KV_HEADER_BYTES;
    *entries += info->record_count;
}

/* Sum up what manifest and log know. */
static void add_segments(const struct view *view, struct kv_stats *out, uint64_t *entries)
{
    const struct kv_version *version = view->snapshot->pin.version;
    size_t pending = version->pending_count;

    *entries = view->log_record_count;
    out->segments = 1;
    out->runs = view->manifest.run_count;
    out->records = view->log_record_count;
    out->data_bytes = view->log_end_bytes;
    out->live_bytes = view->log_end_bytes - KV_HEADER_BYTES;
    if (kv_manifest_has_unindexed(&view->manifest))
        add_unindexed(&view->manifest.unindexed, out, entries);
    for (size_t g = 0; g < view->manifest.group_count; g++) {
        const struct kv_pending_group *group = &view->manifest.groups[g];

        for (size_t s = 0; s < group->segment_count; s++)
            add_segment(&group->segments[s], kv_run_segment(version->pending[--pending].run, 0),
                        out, entries);
    }
    for (size_t r = 0; r < view->manifest.run_count; r++) {
        const struct kv_run *run = &view->manifest.runs[r];

        for (size_t s = 0; s < run->segment_count; s++)
            add_segment(&run->segments[s], kv_run_segment(version->runs[r], s), out, entries);
    }
}

/* Read the store: only where that is quick. */
static enum kv_status count_exactly(struct view *view, struct kv_stats *out)
{
    struct kv_range everything = {0};
    struct kv_scan *scan;
    struct kv_entry entry;
    uint64_t keys = 0, bytes = 0;
    enum kv_status st = kv_scan_open(view->snapshot, NULL, &everything, &scan);

    if (st != KV_OK)
        return st;
    while ((st = kv_scan_next(scan, &entry)) == KV_OK) {
        keys++;
        bytes += entry.size_bytes;
    }
    kv_scan_close(scan);
    if (st != KV_DONE)
        return st;
    out->keys = keys;
    out->exact = true;
    out->live_bytes = bytes;
    out->dead_bytes = out->data_bytes - out->segments * KV_HEADER_BYTES - bytes;
    return KV_OK;
}

static enum kv_status add_size(void *context, const char *name)
{
    struct {
        struct kv_dir *dir;
        uint64_t bytes;
    } *sum = context;
    struct kv_file *file;
    uint64_t size;

    /* A file may go away while we look. */
    if (kv_io_file_open(sum->dir, name, 0, 0, &file) != KV_OK)
        return KV_OK;
    if (kv_io_file_size(file, &size) == KV_OK)
        sum->bytes += size;
    kv_io_file_close(file);
    return KV_OK;
}

static enum kv_status add_files(struct kv_engine *engine, struct kv_stats *out)
{
    struct {
        struct kv_dir *dir;
        uint64_t bytes;
    } sum = {engine->place.dir, 0};
    enum kv_status st = kv_io_dir_list(engine->place.dir, add_size, &sum);

    out->disk_bytes = sum.bytes;
    return st;
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

static void add_counters(struct kv_engine *engine, const struct view *view, struct kv_stats *out)
{
    const struct kv_manifest *manifest = &view->manifest;
    const struct kv_version *version = view->snapshot->pin.version;
    uint64_t log_bytes = manifest->log_bytes_written + view->log_end_bytes - KV_HEADER_BYTES;

    out->generation = manifest->generation;
    out->compactions = manifest->compaction_count;
    out->merge_id = view->progress.merge_id;
    out->merge_written_bytes = view->progress.written_bytes;
    out->merge_left_bytes = view->progress.left_bytes;
    out->compactions_since_open = atomic_load(&engine->counters.compactions);
    out->seals_since_open = atomic_load(&engine->counters.seals);
    out->syncs_since_open = atomic_load(&engine->counters.syncs);
    out->commits_since_open = atomic_load(&engine->counters.commits);
    out->memory_bytes = kv_memtable_memory_bytes(&version->log->memtable);
    if (version->unindexed)
        out->memory_bytes += kv_memtable_memory_bytes(&version->unindexed->memtable);
    out->write_amplification = ratio(log_bytes + manifest->merge_bytes_written, log_bytes);
    out->space_amplification = ratio(out->data_bytes, out->live_bytes);
}

/*
 * The last seq that is known to be on disk: the snapshot's, or what the last sync or the manifest covers of its
 * log. Whoever has failed over and died before saying so leaves the page with an LSN of the log before. But
 * a manifest that nobody has announced may be taken back by a crash.
 */
static uint64_t durable_seq(struct kv_store *store, const struct kv_snapshot *snapshot,
                            uint64_t last_seq)
{
    const struct kv_version *version = snapshot->pin.version;
    uint64_t durable_lsn = kv_page_load(&store->engine.page->durable_lsn);

    if (durable_lsn < version->start_lsn &&
        version->generation <= kv_page_load(&store->engine.page->generation))
        durable_lsn = version->start_lsn;
    return durable_lsn >= snapshot->lsn ? last_seq : kv_version_seq(version, durable_lsn);
}

enum kv_status kv_store_stats(struct kv_store *store, struct kv_stats *out)
{
    struct view view;
    enum kv_status st;

    *out = (struct kv_stats){0};
    st = view_open(store, &view);
    if (st != KV_OK)
        return st;
    add_segments(&view, out, &out->keys);
    out->last_seq = kv_snapshot_seq(view.snapshot);
    out->durable_seq = durable_seq(store, view.snapshot, out->last_seq);
    if (out->records <= EXACT_RECORD_MAX)
        st = count_exactly(&view, out);
    else
        out->exact = view.log_record_count == 0 && out->runs == 1 && out->dead_bytes == 0 &&
                     out->tombstones == 0 && !kv_manifest_has_unindexed(&view.manifest);
    if (st == KV_OK)
        st = add_files(&store->engine, out);
    add_counters(&store->engine, &view, out);
    view_release(&view);
    return st;
}

/* ---- Segments */

struct reporting {
    struct kv_engine *engine;
    struct kv_policy policy;
    const struct view *view;
    enum kv_status (*each)(void *context, const struct kv_segment_report *report);
    void *context;
};

static enum kv_status report_log(const struct reporting *reporting,
                                 const struct kv_settings *settings)
{
    const struct view *view = reporting->view;
    const struct kv_log *log = view->snapshot->pin.version->log;
    uint64_t last_seq = kv_snapshot_seq(view->snapshot);
    char reason[REASON_BYTES];
    struct kv_segment_report report = {.number = log->header.number,
                                       .state = KV_SEGMENT_ACTIVE,
                                       .file_bytes = view->log_end_bytes,
                                       .records = view->log_record_count,
                                       .live_bytes = view->log_end_bytes - KV_HEADER_BYTES,
                                       .reason = reason};

    if (last_seq > log->header.base_seq) {
        report.min_seq = log->header.base_seq + 1;
        report.max_seq = last_seq;
    }
    snprintf(reason, sizeof(reason), "takes writes, sealed at %llu bytes",
             (unsigned long long)settings->segment_bytes);
    return reporting->each(reporting->context, &report);
}

static enum kv_status report_segment(const struct reporting *reporting,
                                     const struct kv_segment_info *info, unsigned tier,
                                     unsigned run, bool merging, const char *reason)
{
    uint64_t size = info->end_bytes - KV_HEADER_BYTES;
    struct kv_segment_report report = {
        .number = info->number,
        .tier = tier,
        .run = run,
        .state = merging ? KV_SEGMENT_MERGING : KV_SEGMENT_SEALED,
        .file_bytes = info->end_bytes,
        .records = info->record_count,
        .tombstones = info->tombstone_count,
        .live_bytes = size - (info->dead_bytes < size ? info->dead_bytes : size),
        .dead_bytes = info->dead_bytes,
        .min_key = kv_buffer_slice(&info->min_key),
        .max_key = kv_buffer_slice(&info->max_key),
        .min_seq = info->min_seq,
        .max_seq = info->max_seq,
        .min_time_ms = info->min_time_ms,
        .max_time_ms = info->max_time_ms,
        .reason = reason};

    return reporting->each(reporting->context, &report);
}

static void write_progress(const struct kv_progress *progress, char reason[REASON_BYTES])
{
    snprintf(reason, REASON_BYTES, "merge %llu: %llu bytes written, %llu to read",
             (unsigned long long)progress->merge_id, (unsigned long long)progress->written_bytes,
             (unsigned long long)progress->left_bytes);
}

static enum kv_status report_run(const struct reporting *reporting, size_t r, bool merging)
{
    const struct kv_manifest *manifest = &reporting->view->manifest;
    const struct kv_run *run = &manifest->runs[r];
    char reason[REASON_BYTES];
    enum kv_status st = KV_OK;

    if (is_merging(reporting->view, r))
        write_progress(&reporting->view->progress, reason);
    else
        kv_policy_reason(manifest, &reporting->policy, r, reason, sizeof(reason));
    for (size_t s = 0; s < run->segment_count && st == KV_OK; s++)
        st = report_segment(reporting, &run->segments[s], run->tier,
                            (unsigned)r + 1 + kv_manifest_has_unindexed(manifest), merging, reason);
    return st;
}

/* The log without index is a run, too: the first. */
static enum kv_status report_unindexed(const struct reporting *reporting)
{
    return report_segment(reporting, &reporting->view->manifest.unindexed, 0, 1, false,
                          "sealed, its index is being built");
}

/* Newest first, as all else. */
static enum kv_status report_groups(const struct reporting *reporting)
{
    const struct kv_manifest *manifest = &reporting->view->manifest;
    enum kv_status st = KV_OK;

    for (size_t g = manifest->group_count; g-- > 0;) {
        const struct kv_pending_group *group = &manifest->groups[g];

        for (size_t s = group->segment_count; s-- > 0 && st == KV_OK;)
            st = report_segment(reporting, &group->segments[s], 0, 0, false,
                                "part of one transaction, a run when the log is sealed");
    }
    return st;
}

enum kv_status kv_store_segments(struct kv_store *store, const struct kv_settings *settings,
                                 enum kv_status (*each)(void *context,
                                                        const struct kv_segment_report *report),
                                 void *context)
{
    struct reporting reporting = {.engine = &store->engine, .each = each, .context = context};
    struct view view;
    enum kv_status st;

    settings = kv_store_settings(store, settings);
    reporting.policy = kv_compact_policy(settings);
    st = view_open(store, &view);
    if (st != KV_OK)
        return st;
    reporting.view = &view;
    st = report_log(&reporting, settings);
    if (st == KV_OK)
        st = report_groups(&reporting);
    if (st == KV_OK && kv_manifest_has_unindexed(&view.manifest))
        st = report_unindexed(&reporting);
    for (size_t r = 0; r < view.manifest.run_count && st == KV_OK; r++)
        st = report_run(&reporting, r, view.manifest.runs[r].merge_id != 0 || is_merging(&view, r));
    view_release(&view);
    return st;
}
