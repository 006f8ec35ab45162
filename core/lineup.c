/* Choosing segments by their headers: see lineup.h for the rules. */
#include "lineup.h"

#include <stdlib.h>

#include "mutant.h"

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_number_descending(const void *a, const void *b)
{
    return compare_u64(((const struct kv_lineup_file *)b)->number,
                       ((const struct kv_lineup_file *)a)->number);
}

/* ---- Logs */

static void choose_logs(struct kv_lineup_file *files, size_t count)
{
    uint64_t bound = UINT64_MAX; /* LSNs from here on belong to logs chosen already, or to nobody */
    uint64_t bound_seq = UINT64_MAX; /* transactions behind this one, too */

    for (size_t i = 0; i < count; i++) {
        struct kv_lineup_file *log = &files[i];
        bool made_by_seal = log->copied_seq == 0 && log->first_lsn == log->previous_end_lsn;
        bool is_replaced = log->base_seq >= bound_seq && !KV_MUTANT(replaced_log_counts);

        if (!log->is_log || (log->first_lsn >= bound && !is_replaced))
            continue;
        log->end_lsn = log->last_lsn < bound ? log->last_lsn : bound;
        log->counts = log->end_lsn > log->first_lsn && !is_replaced;
        if (!log->counts && made_by_seal)
            continue;
        /* Also of one that was replaced: what counts has a lower seq, and ends before. */
        if (log->previous_end_lsn < bound)
            bound = log->previous_end_lsn;
        if (log->base_seq < bound_seq)
            bound_seq = log->base_seq;
    }
}

/* ---- Outputs */

static bool replaces(const struct kv_lineup_file *output, const struct kv_lineup_file *file)
{
    if (output->is_log || output->is_pending || output == file ||
        file->first_lsn < output->first_lsn || file->end_lsn > output->end_lsn)
        return false;
    return file->first_lsn > output->first_lsn || file->end_lsn < output->end_lsn ||
           output->number > file->number;
}

/*
 * Has `output` to do with the keys of `file`? Of outputs with the same LSNs, those
 * that lie side by side are of one merge. Of older ones also the keys before `output` are
 * not believed.
 */
static bool overlap(const struct kv_lineup_file *output, const struct kv_lineup_file *file)
{
    bool same = output->first_lsn == file->first_lsn && output->end_lsn == file->end_lsn;

    if (file->is_log || file->is_pending)
        return true;
    if (!output->last_of_run && kv_slice_compare(output->high, file->low) <= 0)
        return false;
    return !same || file->last_of_run || kv_slice_compare(output->low, file->high) < 0;
}

/* Take away what `output` replaces of `file`. */
static void hide(struct kv_lineup_file *file, const struct kv_lineup_file *output)
{
    if (output->last_of_run) {
        file->counts = false;
        return;
    }
    if (!file->has_hidden || kv_slice_compare(output->high, file->hidden) > 0)
        file->hidden = output->high;
    file->has_hidden = true;
    if (!file->is_log && !file->is_pending && !file->last_of_run &&
        kv_slice_compare(file->high, file->hidden) <= 0)
        file->counts = false;
}

static void choose_outputs(struct kv_lineup_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (files[i].is_log)
            continue;
        files[i].counts = true;
        files[i].end_lsn = files[i].last_lsn;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t o = 0; o < count && files[i].counts; o++) {
            if (replaces(&files[o], &files[i]) && overlap(&files[o], &files[i]))
                hide(&files[i], &files[o]);
        }
    }
}

/* ---- Order */

static int by_age(const void *a, const void *b)
{
    const struct kv_lineup_file *left = a, *right = b;
    int order = (int)right->counts - (int)left->counts;

    if (!order)
        order = compare_u64(right->end_lsn, left->end_lsn);
    if (!order)
        order = compare_u64(right->first_lsn, left->first_lsn);
    if (!order)
        order = compare_u64(right->ordinal, left->ordinal);
    if (!order)
        order = kv_slice_compare(left->low, right->low);
    return order ? order : compare_u64(left->number, right->number);
}

/* Outputs of one merge that lie side by side are one run. */
static bool are_neighbours(const struct kv_lineup_file *left, const struct kv_lineup_file *right)
{
    return !left->is_log && !right->is_log && !left->is_pending && !right->is_pending &&
           left->counts && right->counts && left->first_lsn == right->first_lsn &&
           left->end_lsn == right->end_lsn && !left->last_of_run &&
           kv_slice_compare(left->high, right->low) <= 0 && left->has_hidden == right->has_hidden &&
           !left->has_hidden;
}

void kv_lineup(struct kv_lineup_file *files, size_t count)
{
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        files[i].counts = files[i].has_hidden = files[i].continues_run = false;
        files[i].end_lsn = 0;
    }
    qsort(files, count, sizeof(*files), by_number_descending);
    choose_logs(files, count);
    choose_outputs(files, count);
    qsort(files, count, sizeof(*files), by_age);
    for (size_t i = 1; i < count; i++)
        files[i].continues_run = are_neighbours(&files[i - 1], &files[i]);
}
