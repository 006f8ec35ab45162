/*
 * Checking a sealed segment and its index against each other.
 *
 * Two passes. In file order: every record is intact, and for each the index
 * leads to that record or a later one, which makes the index complete and its
 * versions the newest. In key order: every entry is intact and greater than
 * the one before. Nothing is healed on the way.
 */
#include <inttypes.h>
#include <stdio.h>

#include "hash.h"
#include "segment_private.h"
#include "segment_scan.h"

enum { ASK_EVERY_COUNT = 256 }; /* records between questions to the watcher */

struct check {
    struct kv_segment *segment;
    struct kv_index *index; /* NULL once it is known to be damaged */
    const struct kv_segment_watcher *watcher;
    uint64_t read_count; /* since the watcher was last asked */
    uint64_t bad_offset; /* where the pass in file order stopped; 0: nowhere */

    /* What the pass in file order counts. */
    struct kv_segment_info totals; /* without keys */
};

static void report(const struct check *check, uint64_t offset, const char *text)
{
    check->watcher->problem(check->watcher->context, offset, text);
}

/* One more record has been read: may the check go on? */
static bool goes_on(struct check *check)
{
    const struct kv_segment_watcher *watcher = check->watcher;

    if (!watcher->goes_on || ++check->read_count < ASK_EVERY_COUNT)
        return true;
    check->read_count = 0;
    return watcher->goes_on(watcher->context);
}

/* An index that cannot be read is reported once and not used any more. */
static void give_up_index(struct check *check)
{
    report(check, 0, kv_message());
    check->index = NULL;
}

/* ---- In file order */

/* Where the index finds `key` by its order. */
static enum kv_status look_up_in_order(const struct check *check, struct kv_slice key,
                                       uint32_t *out)
{
    struct kv_record record;
    bool index_is_bad = false;
    uint32_t offset;
    enum kv_status st =
        kv_segment_search(check->segment, check->index, key, &offset, &record, &index_is_bad);

    *out = st == KV_OK ? offset : 0;
    if (st >= 0 || index_is_bad)
        return st < 0 ? st : KV_OK;
    *out = UINT32_MAX;
    return KV_OK;
}

/*
 * Where the index finds `key`; 0: nowhere. A damaged record on the way may be
 * the one, so it is taken for it; its damage is reported elsewhere.
 */
static enum kv_status look_up(const struct check *check, struct kv_slice key, uint32_t *out)
{
    uint64_t hash = kv_hash(key, check->segment->place->hash_seed);
    struct kv_index_probe probe = {0};
    struct kv_record record;
    unsigned other_keys = 0;
    uint32_t offset;
    bool maybe;
    enum kv_status st = kv_index_may_contain(check->index, hash, &maybe);

    *out = 0;
    if (st == KV_OK && !maybe)
        return KV_OK;
    while (st == KV_OK && (st = kv_index_probe(check->index, hash, &probe, &offset)) == KV_OK) {
        if (other_keys == KV_SEGMENT_OTHER_KEYS_MAX)
            return look_up_in_order(check, key, out);
        if (!kv_segment_holds(check->segment, offset))
            return kv_segment_bad_offset(check->segment);
        if (kv_segment_read(check->segment, offset, &record) != KV_OK) {
            *out = UINT32_MAX;
            return KV_OK;
        }
        if (kv_slice_equal(record.key, key)) {
            *out = offset;
            return KV_OK;
        }
        other_keys++;
    }
    if (probe.is_crowded)
        return look_up_in_order(check, key, out);
    return st == KV_DONE ? KV_OK : st;
}

static void count(struct check *check, const struct kv_record *record, bool is_newest)
{
    struct kv_segment_info *totals = &check->totals;

    totals->record_count++;
    if (totals->record_count == 1 || record->seq < totals->min_seq)
        totals->min_seq = record->seq;
    if (record->seq > totals->max_seq)
        totals->max_seq = record->seq;
    if (is_newest) {
        totals->entry_count++;
        totals->tombstone_count += record->kind == KV_DELETE;
        totals->entry_bytes += record->size_bytes;
    }
}

static void check_record(struct check *check, const struct kv_record *record, uint32_t offset)
{
    uint32_t found = offset;

    if (check->index && look_up(check, record->key, &found) != KV_OK)
        give_up_index(check);
    if (check->index && found == 0)
        report(check, offset, "the index does not have the key of this record");
    else if (check->index && found < offset)
        report(check, offset, "the index has an older version than this record");
    count(check, record, found == offset);
}

static enum kv_status check_file(struct check *check)
{
    const struct kv_segment *segment = check->segment;
    struct kv_segment_scan scan;
    struct kv_record record;
    uint32_t offset;
    enum kv_status st;

    kv_segment_scan_init(&scan, segment->place, &segment->info, &segment->header, segment->data);
    while ((st = kv_segment_scan_next(&scan, &record, &offset)) == KV_OK) {
        if (!goes_on(check))
            return KV_INTERRUPTED;
        check_record(check, &record, offset);
    }
    if (st == KV_DONE)
        return KV_OK;
    check->bad_offset = scan.offset_bytes;
    report(check, scan.offset_bytes, kv_message());
    return st == KV_CORRUPT || st == KV_NEWER ? KV_OK : st;
}

/* ---- In key order */

struct walk {
    struct kv_slice key;      /* of the position looked at; empty: its record is damaged */
    struct kv_slice last_key; /* the last one that is not */
};

/* The record of one position. KV_CORRUPT: the index is unusable. */
static enum kv_status check_position(const struct check *check, struct walk *walk,
                                     uint64_t position)
{
    struct kv_record record;
    uint32_t offset;
    enum kv_status st = kv_index_at(check->index, position, &offset);

    walk->key = (struct kv_slice){0};
    if (st != KV_OK)
        return st;
    if (!kv_segment_holds(check->segment, offset))
        return kv_segment_bad_offset(check->segment);
    if (kv_segment_read(check->segment, offset, &record) != KV_OK) {
        if (offset != check->bad_offset)
            report(check, offset, kv_message());
        return KV_OK;
    }
    if (kv_slice_compare(walk->last_key, record.key) >= 0)
        report(check, offset, "the index's order is wrong at this record");
    walk->key = walk->last_key = record.key;
    return KV_OK;
}

/* Compare the first or last key with the manifest's, unless its record is damaged. */
static void check_key(const struct check *check, const struct walk *walk,
                      const struct kv_buffer *stated, const char *text)
{
    if (walk->key.size && !kv_slice_equal(walk->key, kv_buffer_slice(stated)))
        report(check, 0, text);
}

static enum kv_status check_index(struct check *check)
{
    const struct kv_segment_info *info = &check->segment->info;
    uint64_t entry_count = kv_index_entry_count(check->index);
    struct walk walk = {0};

    for (uint64_t i = 0; i < entry_count; i++) {
        if (!goes_on(check))
            return KV_INTERRUPTED;
        if (check_position(check, &walk, i) != KV_OK) {
            give_up_index(check);
            return KV_OK;
        }
        if (i == 0)
            check_key(check, &walk, &info->min_key, "the smallest key is not the manifest's");
        if (i == entry_count - 1)
            check_key(check, &walk, &info->max_key, "the greatest key is not the manifest's");
    }
    return KV_OK;
}

/* ---- Totals */

static void check_total(const struct check *check, const char *what, uint64_t found,
                        uint64_t stated)
{
    char text[160];

    if (found == stated)
        return;
    snprintf(text, sizeof(text), "%s is %" PRIu64 ", but the manifest says %" PRIu64, what, found,
             stated);
    report(check, 0, text);
}

static void check_totals(const struct check *check)
{
    const struct kv_segment_info *info = &check->segment->info, *totals = &check->totals;

    check_total(check, "the number of records", totals->record_count, info->record_count);
    if (totals->record_count > 0) {
        check_total(check, "the smallest seq", totals->min_seq, info->min_seq);
        check_total(check, "the greatest seq", totals->max_seq, info->max_seq);
    }
    if (!check->index)
        return; /* without it, nobody knows which records are the newest */
    check_total(check, "the number of entries", totals->entry_count, info->entry_count);
    check_total(check, "the number of entries in the index", kv_index_entry_count(check->index),
                totals->entry_count);
    check_total(check, "the number of tombstones", totals->tombstone_count, info->tombstone_count);
    check_total(check, "the size of the entries", totals->entry_bytes, info->entry_bytes);
}

enum kv_status kv_segment_check(struct kv_segment *segment,
                                const struct kv_segment_watcher *watcher)
{
    struct check check = {
        .segment = segment, .index = kv_segment_index(segment), .watcher = watcher};
    enum kv_status st;

    if (kv_index_check(check.index) != KV_OK)
        give_up_index(&check);
    st = check_file(&check);
    if (st == KV_OK && check.index)
        st = check_index(&check);
    if (st == KV_OK && check.bad_offset == 0)
        check_totals(&check);
    return st;
}
