/*
 * Golden stores (test_golden.c) whose last user was killed at work: with a log that has no index
 * yet, with a merge that is open in the middle, and with a transaction that no log can hold,
 * committed or not. Every later version must read them, and finish what was begun.
 *
 * They are files in tests/golden, and copied to memory. `test_golden_killed --make` made them.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "create.h"
#include "engine_world.h"
#include "names.h"
#include "record.h"
#include "runner.h"

enum { KEYS = 80, ROW_BYTES = 700, FILE_MAX_BYTES = 1 << 20, KEPT_BYTES = 512 };

static char golden[PATH_MAX]; /* tests/golden, found before tests change directories */

static struct world world;

/* ---- Rows: key i has ROW_BYTES of tag[i], or is absent (0) */

struct rows {
    char tag[KEYS];
};

static struct kv_slice key_text(unsigned key)
{
    static char text[16];

    return kv_slice_of(text, (size_t)snprintf(text, sizeof(text), "key %02u", key));
}

/* Every `step`-th key gets a row of `tag`, or none (0), in one transaction, which is prepared. */
static struct kv_txn *prepare_every(struct rows *rows, const struct kv_settings *settings,
                                    unsigned step, char tag)
{
    struct kv_txn *txn;
    char row[ROW_BYTES];

    memset(row, tag, sizeof(row));
    ck_kv(kv_txn_begin(world.store, settings, &txn));
    for (unsigned key = 0; key < KEYS; key += step) {
        if (tag)
            ck_kv_fast(kv_txn_put(txn, key_text(key), kv_slice_of(row, sizeof(row))));
        else
            ck_kv_fast(kv_txn_delete(txn, key_text(key)));
        rows->tag[key] = tag;
    }
    ck_kv(kv_txn_prepare(txn));
    return txn;
}

static void set_every(struct rows *rows, unsigned step, char tag)
{
    ck_kv(kv_txn_commit(prepare_every(rows, NULL, step, tag)));
}

static void expect(const struct rows *rows)
{
    struct kv_snapshot *snapshot = world_snapshot(&world);
    struct kv_range range = {0};
    struct kv_entry entry;
    struct kv_scan *scan;

    ck_kv(kv_scan_open(snapshot, NULL, &range, &scan));
    for (unsigned key = 0; key < KEYS; key++) {
        char row[ROW_BYTES];

        memset(row, rows->tag[key], sizeof(row));
        ck_assert_int_eq(kv_snapshot_get(snapshot, NULL, key_text(key), &entry),
                         rows->tag[key] ? KV_OK : KV_DONE);
        if (!rows->tag[key])
            continue;
        ck_assert(kv_slice_equal(entry.row, kv_slice_of(row, sizeof(row))));
        ck_kv_fast(kv_scan_next(scan, &entry));
        ck_assert(kv_slice_equal(entry.key, key_text(key)));
        ck_assert(kv_slice_equal(entry.row, kv_slice_of(row, sizeof(row))));
    }
    ck_kv_is(kv_scan_next(scan, &entry), KV_DONE);
    kv_scan_close(scan);
    kv_snapshot_free(snapshot);
}

/* ---- The stores */

static struct kv_settings small_segments(void)
{
    struct kv_settings settings = world.options.settings;

    settings.segment_bytes = settings.max_segment_bytes = 12 * 1024;
    return settings;
}

static struct kv_txn *fill_unindexed(struct rows *rows)
{
    set_every(rows, 1, 'a');
    engine_seal(&world);
    set_every(rows, 3, 'b');
    set_every(rows, 5, 0);
    engine_only_seal(&world);
    set_every(rows, 7, 'c');
    return NULL;
}

static struct kv_txn *fill_merge(struct rows *rows)
{
    struct kv_compact_budget budget = {.bytes = 1};
    struct kv_settings small = small_segments();
    uint64_t left;

    set_every(rows, 1, 'a');
    engine_seal(&world);
    set_every(rows, 3, 'b');
    set_every(rows, 5, 0);
    ck_kv(kv_compact_some(world.store, &small, &budget, &left));
    ck_assert_uint_gt(left, 0);
    set_every(rows, 7, 'c');
    return NULL;
}

static struct kv_txn *fill_group(struct rows *rows)
{
    struct kv_settings small = small_segments();

    set_every(rows, 1, 'a');
    engine_seal(&world);
    set_every(rows, 5, 0);
    engine_seal(&world);
    return prepare_every(rows, &small, 1, 'b');
}

static bool has_unindexed(const struct kv_manifest *manifest)
{
    return manifest->unindexed.number != 0;
}

static bool has_open_merge(const struct kv_manifest *manifest)
{
    bool has_low = false;

    for (size_t i = 0; i < manifest->run_count; i++)
        has_low |= manifest->runs[i].merge_id != 0 && manifest->runs[i].has_low;
    return has_low;
}

static bool has_group(const struct kv_manifest *manifest)
{
    return manifest->group_count == 1 && manifest->groups[0].segment_count > 1;
}

static const struct killed {
    const char *name;
    struct kv_txn *(*fill)(struct rows *rows); /* what is prepared still, or NULL */
    bool (*is_as_meant)(const struct kv_manifest *manifest);
} stores[] = {{"format-1-unindexed", fill_unindexed, has_unindexed},
              {"format-1-merge", fill_merge, has_open_merge},
              {"format-1-group", fill_group, has_group}};
enum { STORES = sizeof(stores) / sizeof(stores[0]), GROUP = 2, UNCOMMITTED = STORES };

/* ---- To files, and from files */

static bool is_zero(const uint8_t *bytes, size_t size)
{
    while (size > 0 && bytes[size - 1] == 0)
        size--;
    return size == 0;
}

/* Zeros at the end were allocated in advance; a disk need not have done so. */
static void save_file(const char *directory, const char *name)
{
    char path[PATH_MAX + KV_NAME_BYTES];
    size_t size;
    uint8_t *bytes = kv_memfs_read_file(world.fs, world_path(name), &size);
    FILE *file;

    while (size > KEPT_BYTES && is_zero(bytes + size - KEPT_BYTES, KEPT_BYTES))
        size -= KEPT_BYTES;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "wb");
    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    free(bytes);
}

static void make(const struct killed *store)
{
    struct rows rows = {{0}};
    char directory[PATH_MAX + 32], *all, *rest, *name;
    struct kv_txn *txn;

    world_start(&world);
    txn = store->fill(&rows);
    kv_memfs_kill(world.fs);
    kv_txn_abort(txn);
    world_kill(&world);
    snprintf(directory, sizeof(directory), "%s/%s", golden, store->name);
    ck_assert_int_eq(mkdir(directory, 0777), 0);
    all = rest = world_names(&world);
    while ((name = strsep(&rest, "\n")) != NULL) {
        if (*name)
            save_file(directory, name);
    }
    free(all);
    world_end(&world);
}

static enum kv_status load_file(void *directory, const char *name)
{
    static uint8_t bytes[FILE_MAX_BYTES];
    char path[PATH_MAX + KV_NAME_BYTES];
    FILE *file;
    size_t size;

    snprintf(path, sizeof(path), "%s/%s", (const char *)directory, name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    ck_assert(kv_memfs_write_file(world.fs, world_path(name), kv_slice_of(bytes, size)));
    return KV_OK;
}

/* The rows that such a store had. */
static struct rows rows_of(const struct killed *store)
{
    struct rows rows = {{0}};

    world_start(&world);
    kv_txn_abort(store->fill(&rows));
    world_end(&world);
    return rows;
}

static void load(const struct killed *store)
{
    char directory[PATH_MAX + 32];
    struct kv_dir *dir;

    world_init(&world);
    ck_kv(kv_create_directory(world.io, WORLD_PATH, 0700));
    snprintf(directory, sizeof(directory), "%s/%s", golden, store->name);
    ck_kv(kv_io_dir_open(kv_io_posix(), directory, &dir));
    ck_kv(kv_io_dir_list(dir, load_file, directory));
    kv_io_dir_close(dir);
}

/* Take back the COMMIT of the group, which is all that its log has: it was never written. */
static void uncommit(struct rows *rows)
{
    uint64_t number;

    world.options.readonly = true;
    world_open(&world);
    number = engine_of(&world)->manifest.active.number;
    world_close(&world);
    world.options.readonly = false;
    ck_assert(kv_memfs_truncate(world.fs, segment_path(number), KV_HEADER_BYTES));
    memset(rows->tag, 'a', sizeof(rows->tag));
    for (unsigned key = 0; key < KEYS; key += 5)
        rows->tag[key] = 0;
}

/* ---- Tests */

/* Goal: they are read, and finished, as the version that made them would have. */
START_TEST(test_golden_killed_at_work)
{
    const struct killed *store = &stores[_i == UNCOMMITTED ? GROUP : _i];
    struct rows rows = rows_of(store);
    uint64_t digest;

    load(store);
    if (_i == UNCOMMITTED)
        uncommit(&rows);
    digest = world_files_digest(&world);
    world.options.readonly = true;
    world_open(&world);
    ck_assert(store->is_as_meant(&engine_of(&world)->manifest));
    expect(&rows);
    world_close(&world);
    ck_assert_uint_eq(world_files_digest(&world), digest);

    world.options.readonly = false;
    world_open(&world);
    expect(&rows);
    world_check(&world);
    set_every(&rows, 9, 'd');
    expect(&rows);
    world_reopen(&world);
    expect(&rows);
    ck_kv(kv_compact(world.store, NULL, NULL));
    ck_assert(!store->is_as_meant(&engine_of(&world)->manifest));
    ck_assert_uint_eq(world_stats(&world).runs, 1);
    expect(&rows);
    world_check(&world);
    world_end(&world);
}
END_TEST

/* Goal: what opening finishes may be cut short anywhere. Method: die at each call, and open again. */
START_TEST(test_golden_killed_once_more)
{
    const struct killed *store = &stores[_i == UNCOMMITTED ? GROUP : _i];
    struct rows rows = rows_of(store);
    bool opened = false;

    for (uint64_t nth = 1; !opened; nth++) {
        load(store);
        if (_i == UNCOMMITTED)
            uncommit(&rows);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
        opened = kv_store_open(WORLD_PATH, &world.options, &world.store) == KV_OK &&
                 kv_memfs_fault_count(world.fs) == 0;
        world_crash(&world, KV_MEMFS_RANDOM, nth);
        world_open(&world);
        expect(&rows);
        world_check(&world);
        world_end(&world);
    }
}
END_TEST

static Suite *golden_killed_suite(void)
{
    Suite *suite = suite_create("golden_killed");
    TCase *tests = tcase_create("golden_killed");

    tcase_add_loop_test(tests, test_golden_killed_at_work, 0, STORES + 1);
    tcase_add_loop_test(tests, test_golden_killed_once_more, 0, STORES + 1);
    suite_add_tcase(suite, tests);
    return suite;
}

START_TEST(make_all)
{
    for (unsigned i = 0; i < STORES; i++)
        make(&stores[i]);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("making golden stores");
    TCase *tests = tcase_create("make");

    tcase_add_test(tests, make_all);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int count, char **arguments)
{
    if (!realpath("tests/golden", golden)) {
        fprintf(stderr, "run this from the top of the repository: there is no tests/golden here\n");
        return EXIT_FAILURE;
    }
    return kv_run_suite(count > 1 && strcmp(arguments[1], "--make") == 0 ? make_suite()
                                                                         : golden_killed_suite());
}
