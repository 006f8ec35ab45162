/*
 * Damage of every kind to a small store that was closed cleanly: bytes that
 * flipped, sectors that are zeros or another's, files that are cut, missing,
 * swapped, or another store's. What is read then is right, or KV_CORRUPT with
 * the file's name; never wrong, never silently missing.
 *
 * The store: an active log with an END, a sealed log, a merged run of several
 * segments, indexes, and a state for each of its transactions in the model.
 */
#include <stdio.h>

#include "manifest.h"
#include "model.h"
#include "names.h"
#include "record.h"
#include "runner.h"
#include "world.h"

enum { FILES = 16 };

static struct model_figures *figures;

static struct world world;
static struct model model;
static char names[FILES][KV_NAME_BYTES];
static unsigned file_count;

/* ---- The store */

static void transact(uint64_t random, unsigned writes, uint32_t row)
{
    struct model_state state = *model_last(&model);
    struct kv_txn *txn = world_begin(&world);

    for (unsigned i = 0; i < writes; i++) {
        unsigned key = model_below(&random, MODEL_KEYS);
        uint32_t number = row                          ? row
                          : model_percent(&random, 85) ? (uint32_t)model_random(&random) | 1
                                                       : 0;

        if (number)
            ck_kv(kv_txn_put(txn, model_key(key), model_row(number)));
        else
            ck_kv(kv_txn_delete(txn, model_key(key)));
        state.rows[key] = number;
    }
    ck_kv(kv_txn_commit(txn));
    model_commit(&model, &state);
}

/* A row that fills a log, so that it is sealed. */
static uint32_t filling_row(void)
{
    uint32_t number = 1;

    while (model_row(number).size < 62000)
        number++;
    return number;
}

static void list_files(void)
{
    char *all = kv_memfs_list(world.fs, WORLD_PATH), *rest = all, *name;

    file_count = 0;
    while ((name = strsep(&rest, "\n")) != NULL) {
        if (*name && strcmp(name, KV_NAME_LOCK) != 0) {
            ck_assert_uint_lt(file_count, FILES);
            snprintf(names[file_count++], KV_NAME_BYTES, "%s", name);
        }
    }
    free(all);
}

static void setup(void)
{
    world_init(&world);
    model_init(&model);
    world.options.settings.max_segment_bytes = 64 * 1024;
    world_open(&world);
    for (unsigned i = 0; i < 8; i++)
        transact(i, 20, 0);
    ck_kv(kv_compact(world.store, NULL, NULL));
    transact(100, 30, 0);
    transact(101, 1, filling_row());
    for (unsigned i = 102; i < 110; i++)
        transact(i, 3, 0);
    ck_assert_uint_eq(world_stats(&world).runs, 2);
    ck_assert_uint_ge(world_stats(&world).segments, 4);
    world_check(&world);
    world_close(&world);
    list_files();
}

static void teardown(void)
{
    world_end(&world);
    model_release(&model);
}

static const char *path_of(const char *name)
{
    static char path[KV_NAME_BYTES + sizeof(WORLD_PATH)];

    snprintf(path, sizeof(path), WORLD_PATH "/%s", name);
    return path;
}

/* The log that is active: the segment with the highest number. */
static const char *active_log(void)
{
    const char *last = NULL;
    uint64_t number;

    for (unsigned i = 0; i < file_count; i++) {
        if (kv_name_parse(names[i], &number) == KV_NAME_IS_SEGMENT)
            last = names[i];
    }
    return last;
}

/* ---- What may be read */

/* A failure is damage that is named. `name` NULL: whichever file it is. */
static void expect_named(enum kv_status st, const char *name)
{
    ck_assert_msg(st == KV_CORRUPT || st == KV_NEWER, "%s: %s", kv_status_name(st), kv_message());
    ck_assert_msg(strstr(kv_message(), name ? name : WORLD_PATH), "%s does not name %s",
                  kv_message(), name);
}

static void read_keys(const struct model_state *state, struct kv_snapshot *snapshot,
                      const char *name)
{
    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        struct kv_entry entry;
        enum kv_status st = kv_snapshot_get(snapshot, NULL, model_key(key), &entry);

        if (st == KV_OK)
            model_expect_entry(state, key, &entry);
        else if (st == KV_DONE)
            ck_assert_msg(state->rows[key] == 0, "key %u is missing", key);
        else
            expect_named(st, name);
    }
}

/* Right up to the end, or to the damage. */
static void read_scan(const struct model_state *state, struct kv_snapshot *snapshot,
                      const char *name, bool descending)
{
    struct kv_range range = {.descending = descending};
    struct kv_scan *scan;
    struct kv_entry entry;
    enum kv_status st = kv_scan_open(snapshot, NULL, &range, &scan);

    for (unsigned i = 0; i < MODEL_KEYS && st == KV_OK; i++) {
        unsigned key = descending ? MODEL_KEYS - 1 - i : i;

        if (state->rows[key] == 0)
            continue;
        st = kv_scan_next(scan, &entry);
        ck_assert_msg(st != KV_DONE, "key %u is missing in a scan", key);
        if (st == KV_OK)
            model_expect_entry(state, key, &entry);
    }
    if (st == KV_OK) {
        st = kv_scan_next(scan, &entry);
        ck_assert_int_ne(st, KV_OK);
    }
    if (st != KV_DONE)
        expect_named(st, name);
    kv_scan_close(scan);
}

static enum kv_status count_problem(void *context, const struct kv_problem *problem)
{
    ck_assert_ptr_nonnull(problem->text);
    ++*(unsigned *)context;
    return KV_OK;
}

/* Open and read everything. True: it opened. */
static bool read_store(struct world *it, const char *name)
{
    const struct model_state *state;
    struct kv_snapshot *snapshot;
    unsigned problems = 0;
    uint64_t seq;
    enum kv_status st = kv_store_open(WORLD_PATH, &it->options, &it->store);

    figures->runs++;
    if (st != KV_OK) {
        ck_assert_ptr_null(it->store);
        expect_named(st, name);
        figures->faults++;
        return false;
    }
    seq = kv_store_seq(it->store);
    ck_assert_msg(seq == model.last_seq, "the last transactions are missing");
    state = &model.states[seq];
    snapshot = world_snapshot(it);
    read_keys(state, snapshot, name);
    read_scan(state, snapshot, name, false);
    read_scan(state, snapshot, name, true);
    kv_snapshot_free(snapshot);
    if (figures->runs % 8 == 0)
        ck_kv(kv_store_check(it->store, NULL, count_problem, &problems));
    world_close(it);
    return true;
}

/* Read the damaged store without changing it. */
static void read_only(const char *name)
{
    world.options.readonly = true;
    read_store(&world, name);
    world.options.readonly = false;
}

/*
 * Use a copy of the damaged store: what it heals must be right, what it
 * compacts too, and what it refuses must not be worse afterwards.
 */
static void use_copy(const char *name)
{
    struct world copy = world;

    copy.fs = kv_memfs_clone(world.fs);
    copy.io = copy.options.io = kv_memfs_io(copy.fs);
    if (read_store(&copy, name)) {
        world_open(&copy);
        if (kv_compact(copy.store, NULL, NULL) != KV_OK)
            expect_named(KV_CORRUPT, name);
        world_close(&copy);
        read_store(&copy, name);
    }
    world_end(&copy);
}

/* ---- Bytes */

/* Is a byte worth trying? All that are dense with meaning, samples of the others. */
static bool is_chosen(const char *name, uint64_t offset, uint64_t size, unsigned stride)
{
    uint64_t number, in_page = offset % KV_HEADER_BYTES;
    enum kv_name_kind kind = kv_name_parse(name, &number);

    if (kind == KV_NAME_IS_MANIFEST)
        return true;
    if (in_page < 64 || in_page >= KV_HEADER_BYTES - 16) {
        if (kind == KV_NAME_IS_INDEX)
            return offset % 3 == 0 || offset < 200 || stride == 1;
        if (offset < KV_HEADER_BYTES)
            return true;
    }
    if (kind == KV_NAME_IS_SEGMENT && offset < 128)
        return true;
    if (strcmp(name, active_log()) == 0 && offset + 600 > size)
        return true; /* the last transactions and END */
    return offset % stride == 0;
}

static void flip_bits(const char *name, unsigned stride)
{
    uint64_t size = kv_memfs_size(world.fs, path_of(name)), number;
    bool index = kv_name_parse(name, &number) == KV_NAME_IS_INDEX;

    for (uint64_t offset = 0; offset < size; offset++) {
        unsigned bit = (unsigned)(offset * 5 % 8);

        if (!is_chosen(name, offset, size, stride))
            continue;
        ck_assert(kv_memfs_flip_bit(world.fs, path_of(name), offset, bit));
        read_only(name);
        if (offset % (8 * stride) == 0)
            use_copy(name);
        ck_assert(kv_memfs_flip_bit(world.fs, path_of(name), offset, bit));
        /* An index is derived: damage to it must not be noticed at all. */
        ck_assert(!index || figures->faults == 0);
    }
}

START_TEST(test_damage_flipped_bits)
{
    unsigned stride = 6000 / model_scaled(40) + 1;

    for (unsigned i = 0; i < file_count; i++) {
        figures->faults = 0;
        flip_bits(names[i], stride);
    }
}
END_TEST

/* A sector of a file reads as zeros, or as another sector of it. */
START_TEST(test_damage_wrong_sectors)
{
    enum { SECTOR = KV_MEMFS_SECTOR_BYTES };

    for (unsigned i = 0; i < file_count; i++) {
        size_t size;
        uint8_t *good = kv_memfs_read_file(world.fs, path_of(names[i]), &size);
        uint8_t *bad = malloc(size + SECTOR);

        for (size_t at = 0; at < size; at += SECTOR * (at / 16384 + 1)) {
            size_t end = at + SECTOR < size ? at + SECTOR : size;

            memcpy(bad, good, size);
            if (at / SECTOR % 2 && at + 5 * SECTOR < size)
                memcpy(bad + at, good + at + 4 * SECTOR, end - at);
            else
                memset(bad + at, 0, end - at);
            ck_assert(kv_memfs_write_file(world.fs, path_of(names[i]), kv_slice_of(bad, size)));
            read_only(names[i]);
            if (at / SECTOR % 16 == 0)
                use_copy(names[i]);
        }
        ck_assert(kv_memfs_write_file(world.fs, path_of(names[i]), kv_slice_of(good, size)));
        free(good);
        free(bad);
    }
}
END_TEST

/* A file is cut. */
START_TEST(test_damage_cut_files)
{
    for (unsigned i = 0; i < file_count; i++) {
        size_t size;
        uint8_t *good = kv_memfs_read_file(world.fs, path_of(names[i]), &size);
        uint64_t step = size / model_scaled(40) + 1;

        for (size_t left = 0; left < size; left += left < 64 || left + 64 > size ? 7 : step) {
            ck_assert(kv_memfs_truncate(world.fs, path_of(names[i]), left));
            read_only(names[i]);
            if (left % 5 == 0)
                use_copy(names[i]);
            ck_assert(kv_memfs_write_file(world.fs, path_of(names[i]), kv_slice_of(good, size)));
        }
        free(good);
    }
}
END_TEST

/* ---- Files */

START_TEST(test_damage_missing_files)
{
    for (unsigned i = 0; i < file_count; i++) {
        size_t size;
        uint8_t *good = kv_memfs_read_file(world.fs, path_of(names[i]), &size);
        uint64_t number;
        enum kv_name_kind kind = kv_name_parse(names[i], &number);
        unsigned refused = (unsigned)figures->faults;

        ck_assert(kv_memfs_delete(world.fs, path_of(names[i])));
        if (kind == KV_NAME_IS_MANIFEST) {
            ck_kv_is(kv_store_open(WORLD_PATH, &world.options, &world.store), KV_CORRUPT);
        } else {
            read_only(names[i]);
            use_copy(names[i]);
            ck_assert_int_eq(figures->faults > refused, kind == KV_NAME_IS_SEGMENT);
        }
        ck_assert(kv_memfs_write_file(world.fs, path_of(names[i]), kv_slice_of(good, size)));
        free(good);
    }
    ck_assert(kv_memfs_delete(world.fs, path_of(KV_NAME_LOCK)));
    read_only(NULL);
    use_copy(NULL);
}
END_TEST

static void swap_files(const char *a, const char *b)
{
    size_t a_size, b_size;
    uint8_t *a_bytes = kv_memfs_read_file(world.fs, path_of(a), &a_size);
    uint8_t *b_bytes = kv_memfs_read_file(world.fs, path_of(b), &b_size);

    ck_assert(kv_memfs_write_file(world.fs, path_of(a), kv_slice_of(b_bytes, b_size)));
    ck_assert(kv_memfs_write_file(world.fs, path_of(b), kv_slice_of(a_bytes, a_size)));
    free(a_bytes);
    free(b_bytes);
}

START_TEST(test_damage_swapped_files)
{
    for (unsigned a = 0; a < file_count; a++) {
        for (unsigned b = a + 1; b < file_count; b++) {
            uint64_t number;
            bool indexes = kv_name_parse(names[a], &number) == KV_NAME_IS_INDEX &&
                           kv_name_parse(names[b], &number) == KV_NAME_IS_INDEX;
            uint64_t refused = figures->faults;

            swap_files(names[a], names[b]);
            read_only(NULL);
            use_copy(NULL);
            swap_files(names[a], names[b]);
            if (indexes)
                ck_assert_uint_eq(figures->faults, refused);
        }
    }
}
END_TEST

/* Another store's file under the same name: it has another uuid, whatever is in it. */
START_TEST(test_damage_files_of_another_store)
{
    struct world mine = world;
    struct world other = {0};

    world_init(&world);
    kv_memfs_free(world.fs);
    world.fs = kv_memfs_new(77); /* other random numbers */
    world.io = world.options.io = kv_memfs_io(world.fs);
    world.options.settings = mine.options.settings;
    world_open(&world);
    for (int i = 0; i < 4; i++)
        world_fill(&world, "other", 0, 70);
    ck_assert_uint_ge(world_stats(&world).segments, 4);
    world_close(&world);
    other = world;
    world = mine;
    for (unsigned i = 0; i < file_count; i++) {
        size_t size, other_size;
        uint8_t *good = kv_memfs_read_file(world.fs, path_of(names[i]), &size);
        uint8_t *bad = kv_memfs_read_file(other.fs, path_of(names[i]), &other_size);

        if (bad) {
            ck_assert(
                kv_memfs_write_file(world.fs, path_of(names[i]), kv_slice_of(bad, other_size)));
            read_only(NULL);
            use_copy(NULL);
            ck_assert(kv_memfs_write_file(world.fs, path_of(names[i]), kv_slice_of(good, size)));
        }
        free(good);
        free(bad);
    }
    world_end(&other);
}
END_TEST

/* MANIFEST is put back as it was: what was committed since is there, or missed. */
START_TEST(test_damage_old_manifest)
{
    size_t size;
    uint8_t *old = kv_memfs_read_file(world.fs, path_of(KV_NAME_MANIFEST), &size);

    for (int turn = 0; turn < 3; turn++) {
        world_open(&world);
        transact(200 + (unsigned)turn, 30, 0);
        transact(201 + (unsigned)turn, 1, filling_row()); /* sealed */
        transact(202 + (unsigned)turn, 3, 0);
        if (turn == 2)
            ck_kv(kv_compact(world.store, NULL, NULL));
        world_close(&world);
        struct world copy = world;
        copy.fs = kv_memfs_clone(world.fs);
        copy.io = copy.options.io = kv_memfs_io(copy.fs);
        ck_assert(kv_memfs_write_file(copy.fs, path_of(KV_NAME_MANIFEST), kv_slice_of(old, size)));
        ck_assert(!read_store(&copy, NULL));
        ck_assert(!read_store(&copy, NULL)); /* nothing was changed */
        world_end(&copy);
    }
    free(old);
}
END_TEST

/* ---- Lies */

/* The numbers that MANIFEST states about a segment, one after the other. */
static uint64_t *number_of(struct kv_segment_info *info, unsigned which)
{
    uint64_t *const numbers[] = {&info->salt,         &info->end_bytes,   &info->digest,
                                 &info->record_count, &info->entry_count, &info->tombstone_count,
                                 &info->entry_bytes,  &info->dead_bytes,  &info->min_seq,
                                 &info->max_seq,      &info->min_time_ms, &info->max_time_ms,
                                 &info->first_lsn,    &info->last_lsn,    &info->number};

    return which < sizeof(numbers) / sizeof(numbers[0]) ? numbers[which] : NULL;
}

/* Open, read and compact whatever this is. It may say anything, but must come back. */
static void use_anything(struct world *it)
{
    struct kv_range everything = {0};
    struct kv_snapshot *snapshot;
    struct kv_entry entry;
    struct kv_scan *scan;
    struct kv_stats stats;
    unsigned problems = 0;
    enum kv_status st = kv_store_open(WORLD_PATH, &it->options, &it->store);

    figures->runs++;
    if (st != KV_OK)
        return;
    snapshot = world_snapshot(it);
    for (unsigned key = 0; key < MODEL_KEYS; key += 3)
        st = kv_snapshot_get(snapshot, NULL, model_key(key), &entry);
    if (kv_scan_open(snapshot, NULL, &everything, &scan) == KV_OK) {
        while (kv_scan_next(scan, &entry) == KV_OK) {
        }
        kv_scan_close(scan);
    }
    kv_snapshot_free(snapshot);
    st = kv_store_stats(it->store, &stats);
    st = kv_store_check(it->store, NULL, count_problem, &problems);
    st = kv_put(it->store, kv_slice_text("one"), kv_slice_text("more"));
    st = kv_compact(it->store, NULL, NULL);
    st = kv_store_close(it->store);
    it->store = NULL;
}

/*
 * Goal: a manifest that is whole, and lies, leads to errors at worst.
 * Method: for every number it states about a segment, less, more and far off;
 * keys that are not the first and last; what is refused when writing it is fine.
 */
static void lie(unsigned run, unsigned which, uint64_t value)
{
    struct world copy = world;
    struct kv_manifest manifest;
    struct kv_dir *dir;
    bool renamed;

    copy.fs = kv_memfs_clone(world.fs);
    copy.io = copy.options.io = kv_memfs_io(copy.fs);
    ck_kv(kv_io_dir_open(copy.io, WORLD_PATH, &dir));
    ck_kv(kv_manifest_load(copy.io, dir, WORLD_PATH, &manifest));
    for (size_t i = 0; i < manifest.runs[run].segment_count; i++) {
        struct kv_segment_info *info = &manifest.runs[run].segments[i];

        if (number_of(info, which))
            *number_of(info, which) = value;
        else if (i == 0)
            ck_kv(kv_buffer_set(which % 2 ? &info->min_key : &info->max_key,
                                model_key((unsigned)value % MODEL_KEYS)));
    }
    manifest.generation++;
    if (kv_manifest_replace(copy.io, dir, 0600, &manifest, &renamed) == KV_OK)
        use_anything(&copy);
    kv_manifest_release(&manifest);
    kv_io_dir_close(dir);
    world_end(&copy);
}

START_TEST(test_damage_lying_manifest)
{
    static const uint64_t values[] = {0,   1,    2,    5,    7,     10,    31,
                                      100, 4096, 4097, 5000, 65536, 70000, 1 << 30};

    for (unsigned run = 0; run < 2; run++) {
        for (unsigned which = 0; which < 19; which++) {
            for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
                lie(run, which, values[i]);
        }
    }
}
END_TEST

/*
 * The last transaction of a store that was not closed cleanly may be taken for
 * a torn one; damage before it is damage.
 */
START_TEST(test_damage_of_an_unclean_log)
{
    const char *log = active_log();
    uint64_t size, before;

    world_open(&world);
    for (unsigned i = 300; i < 306; i++) {
        before = model.last_seq;
        transact(i, 2, 0);
    }
    world_kill(&world);
    size = kv_memfs_size(world.fs, path_of(log));
    /* Behind the records is preallocated space: a few samples of it are enough. */
    for (uint64_t offset = KV_HEADER_BYTES; offset < size; offset += offset < 60000 ? 23 : 5003) {
        struct world copy = world;

        copy.fs = kv_memfs_clone(world.fs);
        copy.io = copy.options.io = kv_memfs_io(copy.fs);
        ck_assert(kv_memfs_flip_bit(copy.fs, path_of(log), offset, 3));
        if (kv_store_open(WORLD_PATH, &copy.options, &copy.store) == KV_OK) {
            uint64_t seq = kv_store_seq(copy.store);
            struct kv_snapshot *snapshot = world_snapshot(&copy);

            ck_assert_uint_ge(seq, before);
            model_expect(&model.states[seq], snapshot, NULL);
            kv_snapshot_free(snapshot);
        } else {
            expect_named(KV_CORRUPT, log);
        }
        world_end(&copy);
        figures->runs++;
    }
}
END_TEST

static Suite *damage_suite(void)
{
    Suite *suite = suite_create("damage");
    TCase *tests = tcase_create("damaged stores");

    tcase_set_timeout(tests, 60 * model_scaled(1));
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_damage_flipped_bits);
    tcase_add_test(tests, test_damage_wrong_sectors);
    tcase_add_test(tests, test_damage_cut_files);
    tcase_add_test(tests, test_damage_missing_files);
    tcase_add_test(tests, test_damage_swapped_files);
    tcase_add_test(tests, test_damage_files_of_another_store);
    tcase_add_test(tests, test_damage_old_manifest);
    tcase_add_test(tests, test_damage_of_an_unclean_log);
    tcase_add_test(tests, test_damage_lying_manifest);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    int failures;

    figures = model_figures_new();
    failures = kv_run_suite(damage_suite());
    printf("%llu damaged stores read\n", (unsigned long long)figures->runs);
    return failures;
}
