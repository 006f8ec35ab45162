/* Stores in memory for tests (world.h). */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "hash.h"
#include "names.h"
#include "runner.h"

void world_init(struct world *world)
{
    *world = (struct world){.fs = kv_memfs_new(1), .options = kv_open_options_default()};
    world->io = kv_memfs_io(world->fs);
    world->options.io = world->io;
    world->options.foreground = true; /* what happens is the same each time */
    world->options.settings.segment_bytes = WORLD_SEGMENT_BYTES;
    world->options.settings.auto_compact = false;
}

void world_open(struct world *world)
{
    ck_assert_ptr_null(world->store);
    ck_kv(kv_store_open(WORLD_PATH, &world->options, &world->store));
}

void world_start(struct world *world)
{
    world_init(world);
    world_open(world);
}

void world_close(struct world *world)
{
    struct kv_store *store = world->store;

    world->store = NULL;
    ck_kv(kv_store_close(store));
}

void world_reopen(struct world *world)
{
    world_close(world);
    world_open(world);
}

void world_end(struct world *world)
{
    if (world->store)
        world_close(world);
    if (!world->is_guest)
        kv_memfs_free(world->fs);
}

void world_join(struct world *guest, struct world *host)
{
    *guest = (struct world){.fs = host->fs,
                            .io = kv_memfs_process(host->fs),
                            .options = host->options,
                            .is_guest = true};
    guest->options.io = guest->io;
}

/* The process is dead: what its handles say no longer matters. */
static void bury(struct world *world)
{
    enum kv_status st = kv_store_close(world->store);

    (void)st;
    world->store = NULL;
}

void world_kill(struct world *world)
{
    kv_memfs_kill(world->fs);
    bury(world);
}

void world_crash(struct world *world, enum kv_memfs_crash_mode mode, uint64_t seed)
{
    kv_memfs_crash(world->fs, mode, seed);
    bury(world);
}

/* ---- Verbs */

void world_put(struct world *world, const char *key, const char *row)
{
    ck_kv(kv_put(world->store, kv_slice_text(key), kv_slice_text(row)));
}

void world_delete(struct world *world, const char *key)
{
    ck_kv(kv_delete(world->store, kv_slice_text(key)));
}

static void expect_row(enum kv_status st, const char *key, struct kv_slice found, const char *row)
{
    ck_assert_msg(st == KV_OK || st == KV_DONE, "%s: %s", key, kv_message());
    if (!row) {
        ck_assert_msg(st == KV_DONE, "%s is there: %.*s", key, (int)found.size, found.data);
        return;
    }
    ck_assert_msg(st == KV_OK, "%s is not there", key);
    ck_assert_msg(kv_slice_equal(found, kv_slice_text(row)), "%s is %.*s, not %s", key,
                  (int)found.size, found.data, row);
}

void world_expect(struct world *world, const char *key, const char *row)
{
    void *found;
    size_t size;
    enum kv_status st = kv_get(world->store, kv_slice_text(key), &found, &size);

    expect_row(st, key, kv_slice_of(found, size), row);
    free(found);
}

unsigned world_fill(struct world *world, const char *prefix, unsigned from, unsigned count)
{
    char key[64], row[1000];

    memset(row, 'x', sizeof(row));
    for (unsigned i = from; i < from + count; i++) {
        snprintf(key, sizeof(key), "%s%04u", prefix, i);
        snprintf(row, sizeof(row), "%u of %s", i, prefix);
        ck_kv(kv_put(world->store, kv_slice_text(key), kv_slice_of(row, sizeof(row))));
    }
    return from + count;
}

void world_seal(struct world *world)
{
    uint64_t runs = world_stats(world).runs;
    unsigned filler = 0;

    while (world_stats(world).runs == runs)
        filler = world_fill(world, "~", filler, 8);
}

enum kv_status world_compact_some(struct world *world, uint64_t bytes)
{
    struct kv_compact_budget budget = {.bytes = bytes};
    uint64_t left;

    return kv_compact_some(world->store, NULL, &budget, &left);
}

/* ---- Transactions */

struct kv_txn *world_begin(struct world *world)
{
    struct kv_txn *txn;

    ck_kv(kv_txn_begin(world->store, NULL, &txn));
    return txn;
}

void txn_put(struct kv_txn *txn, const char *key, const char *row)
{
    ck_kv(kv_txn_put(txn, kv_slice_text(key), kv_slice_text(row)));
}

void txn_delete(struct kv_txn *txn, const char *key)
{
    ck_kv(kv_txn_delete(txn, kv_slice_text(key)));
}

void txn_expect(struct kv_txn *txn, const char *key, const char *row)
{
    struct kv_entry entry = {0};
    enum kv_status st = kv_txn_get(txn, kv_slice_text(key), &entry);

    expect_row(st, key, entry.row, row);
}

/* ---- Contents */

char *scan_text(struct kv_scan *scan)
{
    enum { CUT = 16 };
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    const char *space = "";
    struct kv_entry entry;
    enum kv_status st;

    ck_assert_ptr_nonnull(out);
    while ((st = kv_scan_next(scan, &entry)) == KV_OK) {
        int row_size = entry.row.size > CUT ? CUT : (int)entry.row.size;

        ck_assert(!entry.deleted);
        fprintf(out, "%s%.*s=%.*s", space, (int)entry.key.size, entry.key.data, row_size,
                entry.row.data);
        space = " ";
    }
    if (st != KV_DONE)
        fprintf(out, "%s!%s", space, kv_status_name(st));
    fclose(out);
    return text;
}

char *snapshot_text(struct kv_snapshot *snapshot, struct kv_txn *txn, const struct kv_range *range)
{
    struct kv_range everything = {0};
    struct kv_scan *scan;
    char *text;

    ck_kv(kv_scan_open(snapshot, txn, range ? range : &everything, &scan));
    text = scan_text(scan);
    kv_scan_close(scan);
    return text;
}

/* The words of a text in the opposite order, for free(). */
static char *reversed(const char *text)
{
    size_t size = strlen(text), end = size;
    char *out = calloc(size + 2, 1);

    while (end > 0) {
        size_t start = end;

        while (start > 0 && text[start - 1] != ' ')
            start--;
        strncat(out, text + start, end - start);
        end = start > 0 ? start - 1 : 0;
        if (start > 0)
            strcat(out, " ");
    }
    return out;
}

struct kv_snapshot *world_snapshot(struct world *world)
{
    struct kv_snapshot *snapshot;

    ck_kv(kv_snapshot_new(world->store, &snapshot));
    ck_kv(kv_snapshot_acquire(snapshot));
    return snapshot;
}

void world_expect_all(struct world *world, const char *expected)
{
    struct kv_snapshot *snapshot = world_snapshot(world);
    struct kv_range backwards = {.descending = true};
    char *text = snapshot_text(snapshot, NULL, NULL);
    char *down = snapshot_text(snapshot, NULL, &backwards);
    char *turned = reversed(down);

    ck_assert_str_eq(text, expected);
    ck_assert_str_eq(turned, expected);
    free(text);
    free(down);
    free(turned);
    kv_snapshot_free(snapshot);
}

uint64_t snapshot_digest(struct kv_snapshot *snapshot)
{
    struct kv_range everything = {0};
    struct kv_scan *scan;
    struct kv_entry entry;
    uint64_t digest = 0;
    enum kv_status st;

    ck_kv(kv_scan_open(snapshot, NULL, &everything, &scan));
    while ((st = kv_scan_next(scan, &entry)) == KV_OK) {
        digest = kv_digest_add(digest, kv_hash(entry.key, 1));
        digest = kv_digest_add(digest, kv_hash(entry.row, 2));
    }
    ck_kv_is(st, KV_DONE);
    kv_scan_close(scan);
    return digest;
}

uint64_t world_digest(struct world *world)
{
    struct kv_snapshot *snapshot = world_snapshot(world);
    uint64_t digest = snapshot_digest(snapshot);

    kv_snapshot_free(snapshot);
    return digest;
}

/* ---- What the store says of itself */

struct kv_stats world_stats(struct world *world)
{
    struct kv_stats stats;

    ck_kv(kv_store_stats(world->store, &stats));
    return stats;
}

static enum kv_status fail_on_problem(void *context, const struct kv_problem *problem)
{
    (void)context;
    ck_abort_msg("segment %llu, offset %llu: %s", (unsigned long long)problem->segment,
                 (unsigned long long)problem->offset, problem->text);
    return KV_OK;
}

struct reported {
    struct world *world;
    uint64_t segments, runs, records, tombstones, file_bytes;
    bool log_seen;
};

static enum kv_status add_report(void *context, const struct kv_segment_report *report)
{
    struct reported *sum = context;
    char name[KV_NAME_BYTES];

    kv_name_segment(name, report->number);
    ck_assert_msg(world_has_file(sum->world, name), "%s is reported, but not there", name);
    ck_assert_int_eq(report->state == KV_SEGMENT_ACTIVE, !sum->log_seen);
    sum->log_seen = true;
    ck_assert_uint_ge(report->run, sum->runs);
    ck_assert_uint_le(report->run, sum->runs + 1);
    ck_assert_uint_le(report->min_seq, report->max_seq);
    ck_assert_uint_le(report->min_time_ms, report->max_time_ms);
    ck_assert_int_le(kv_slice_compare(report->min_key, report->max_key), 0);
    ck_assert_ptr_nonnull(report->reason);
    sum->runs = report->run;
    sum->segments++;
    sum->records += report->records;
    sum->tombstones += report->tombstones;
    sum->file_bytes += report->file_bytes;
    return KV_OK;
}

/* Nothing lies about that is neither MANIFEST, LOCK, nor a segment or index in use. */
static void check_directory(struct world *world, uint64_t segments)
{
    char *names = kv_memfs_list(world->fs, WORLD_PATH), *rest = names, *name;
    uint64_t number, found = 0, indexes = 0;

    while ((name = strsep(&rest, "\n")) != NULL) {
        enum kv_name_kind kind = kv_name_parse(name, &number);

        ck_assert_msg(kind != KV_NAME_IS_TEMPORARY, "%s was left behind", name);
        found += kind == KV_NAME_IS_SEGMENT;
        indexes += kind == KV_NAME_IS_INDEX;
    }
    free(names);
    ck_assert_uint_eq(found, segments);
    ck_assert_uint_le(indexes, segments - 1);
}

void world_check(struct world *world)
{
    struct reported sum = {.world = world};
    struct kv_stats stats = world_stats(world);

    ck_kv(kv_store_check(world->store, NULL, fail_on_problem, NULL));
    ck_kv(kv_store_segments(world->store, NULL, add_report, &sum));
    ck_assert_uint_eq(stats.segments, sum.segments);
    ck_assert_uint_eq(stats.runs, sum.runs);
    ck_assert_uint_eq(stats.records, sum.records);
    ck_assert_uint_eq(stats.tombstones, sum.tombstones);
    ck_assert_uint_eq(stats.data_bytes, sum.file_bytes);
    ck_assert_uint_eq(stats.last_seq, kv_store_seq(world->store));
    ck_assert_uint_le(stats.durable_seq, stats.last_seq);
    ck_assert_uint_le(stats.keys, stats.records);
    ck_assert_uint_ge(stats.disk_bytes, stats.data_bytes + stats.index_bytes);
    check_directory(world, stats.segments);
}

uint64_t world_files_digest(struct world *world)
{
    char *names = kv_memfs_list(world->fs, WORLD_PATH), *rest = names, *name;
    uint64_t digest = 0;

    while ((name = strsep(&rest, "\n")) != NULL) {
        char path[KV_NAME_BYTES + sizeof(WORLD_PATH)];
        uint8_t *bytes;
        size_t size;

        if (!*name || strcmp(name, KV_NAME_LOCK) == 0)
            continue;
        snprintf(path, sizeof(path), WORLD_PATH "/%s", name);
        bytes = kv_memfs_read_file(world->fs, path, &size);
        digest = kv_digest_add(digest, kv_hash(kv_slice_text(name), 3));
        digest = kv_digest_add(digest, kv_hash(kv_slice_of(bytes, size), 4));
        free(bytes);
    }
    free(names);
    return digest;
}

bool world_has_file(struct world *world, const char *name)
{
    char path[KV_NAME_BYTES + sizeof(WORLD_PATH)];

    snprintf(path, sizeof(path), WORLD_PATH "/%s", name);
    return kv_memfs_size(world->fs, path) != UINT64_MAX;
}
