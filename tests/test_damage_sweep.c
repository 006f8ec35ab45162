/*
 * Every byte of every file of a small store that was closed cleanly is flipped,
 * and every file cut at every length. Then the same of one whose log had failed over. What is read then is right, or KV_CORRUPT with
 * the file's name; no row is ever wrong, or silently missing. test_damage.c has other
 * kinds of damage, and larger files.
 *
 * The store: several transactions in the active log, in front of END; a sealed log;
 * a merge output; their indexes. Later transactions change what earlier ones wrote.
 */
#include <stdio.h>

#include "engine_world.h"
#include "model.h"
#include "names.h"
#include "record.h"
#include "runner.h"

enum { FILES = 8, KEYS = 10 };

static struct model_figures *figures;

static struct world world;
static char names[FILES][KV_NAME_BYTES]; /* in ascending order */
static unsigned file_count;
static const char *active;     /* of them: the active log */
static const char *rows[KEYS]; /* NULL: absent */

/* ---- The store */

static const char *key_text(unsigned key)
{
    static const char *const keys[KEYS] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};

    return keys[key];
}

static void set(unsigned key, const char *row)
{
    if (row)
        world_put(&world, key_text(key), row);
    else
        world_delete(&world, key_text(key));
    rows[key] = row;
}

static void fill(void)
{
    for (unsigned key = 0; key < 6; key++)
        set(key, "merged");
    engine_seal(&world);
    ck_kv(engine_try_merge(&world, NULL));
    set(0, "sealed");
    set(1, NULL);
    set(6, "sealed");
    engine_seal(&world);
    set(2, "active");
    set(3, NULL);
    set(7, "active");
    set(0, NULL);
    set(8, "written behind what was written before");
    set(7, "active once more");
}

static void list_files(void)
{
    char *all = world_names(&world), *rest = all, *name;
    uint64_t number;

    file_count = 0;
    while ((name = strsep(&rest, "\n")) != NULL) {
        if (!*name)
            continue;
        ck_assert_uint_lt(file_count, FILES);
        snprintf(names[file_count], KV_NAME_BYTES, "%s", name);
        if (kv_name_parse(name, &number) == KV_NAME_IS_SEGMENT)
            active = names[file_count]; /* the last one's number is the highest */
        file_count++;
    }
    free(all);
}

static void close_and_list(void)
{
    ck_assert_uint_eq(world_stats(&world).runs, 2);
    world_check(&world);
    world_close(&world);
    list_files();
    ck_assert_uint_eq(file_count, 6);
}

static void setup(void)
{
    memset(rows, 0, sizeof(rows));
    world_start(&world);
    fill();
    close_and_list();
}

/* The log begins with copies from one that is gone, at LSNs past all of that. */
static void setup_failed_over(bool goes_on)
{
    memset(rows, 0, sizeof(rows));
    world_start(&world);
    fill();
    world_kill(&world);
    world_open(&world);
    ck_assert_uint_ne(engine_of(&world)->version->log->header.log.copied_seq, 0);
    if (goes_on)
        set(9, "no copy");
    close_and_list();
}

static void teardown(void)
{
    world_end(&world);
}

/* ---- What may be read. (Each ck_assert is a system call: there are too many here.) */

static void expect_named(enum kv_status st, const char *name)
{
    if (st != KV_CORRUPT && st != KV_NEWER)
        ck_abort_msg("%s: %s", kv_status_name(st), kv_message());
    if (!strstr(kv_message(), name))
        ck_abort_msg("'%s' does not name %s", kv_message(), name);
    /* MANIFEST is one item; a file that has lost its header has one as well. */
    if (strcmp(name, KV_NAME_MANIFEST) != 0 && !strstr(kv_message(), "offset") &&
        !strstr(kv_message(), "of its"))
        ck_abort_msg("'%s' does not say where", kv_message());
    figures->faults++;
}

static bool is_row(const struct kv_entry *entry, unsigned key)
{
    return rows[key] && kv_slice_equal(entry->row, kv_slice_text(rows[key]));
}

static void read_keys(struct kv_snapshot *snapshot, const char *name)
{
    for (unsigned key = 0; key < KEYS; key++) {
        struct kv_entry entry;
        enum kv_status st = kv_snapshot_get(snapshot, NULL, kv_slice_text(key_text(key)), &entry);

        if (st == KV_OK && !is_row(&entry, key))
            ck_abort_msg("key %u has a wrong row", key);
        else if (st == KV_DONE && rows[key])
            ck_abort_msg("key %u is missing", key);
        else if (st < 0)
            expect_named(st, name);
    }
}

static void read_scan(struct kv_snapshot *snapshot, const char *name)
{
    struct kv_range range = {0};
    struct kv_scan *scan;
    struct kv_entry entry;
    enum kv_status st = kv_scan_open(snapshot, NULL, &range, &scan);

    for (unsigned key = 0; key < KEYS && st == KV_OK; key++) {
        if (!rows[key])
            continue;
        st = kv_scan_next(scan, &entry);
        if (st == KV_DONE ||
            (st == KV_OK &&
             (!is_row(&entry, key) || !kv_slice_equal(entry.key, kv_slice_text(key_text(key))))))
            ck_abort_msg("a scan shows key %u wrong, or not at all", key);
    }
    if (st == KV_OK && kv_scan_next(scan, &entry) == KV_OK)
        ck_abort_msg("a scan shows a row too many");
    if (st < 0)
        expect_named(st, name);
    kv_scan_close(scan);
}

/* Open and read everything; false: it does not open. */
static bool read_store(struct world *it, const char *name)
{
    struct kv_snapshot *snapshot;
    enum kv_status st = kv_store_open(WORLD_PATH, &it->options, &it->store);

    figures->runs++;
    if (st != KV_OK) {
        expect_named(st, name);
        return false;
    }
    snapshot = world_snapshot(it);
    read_keys(snapshot, name);
    read_scan(snapshot, name);
    kv_snapshot_free(snapshot);
    world_close(it);
    return true;
}

static void copy_world(struct world *copy)
{
    *copy = world;
    copy->fs = kv_memfs_clone(world.fs);
    copy->io = copy->options.io = kv_memfs_io(copy->fs);
}

static enum kv_status note_step(void *context, const struct kv_repair_step *step)
{
    (void)step;
    ++*(unsigned *)context;
    return KV_OK;
}

/* What cannot be opened as it is can be repaired, and then nothing is wrong, but that rows are missing. */
static void repair(struct world *it)
{
    unsigned steps = 0;

    ck_kv_fast(kv_repair(WORLD_PATH, it->io, NULL, note_step, &steps));
    if (steps == 0)
        ck_abort_msg("repair says nothing of what was damaged");
    world_open(it);
    world_check(it);
    world_close(it);
}

static void use_copy(const char *name)
{
    struct world copy;

    copy_world(&copy);
    if (!read_store(&copy, name))
        repair(&copy);
    else if (!read_store(&copy, name)) /* closing it has not made it worse */
        ck_abort_msg("it opened once");
    world_end(&copy);
}

/* Read the damaged store, without changing it; now and then use a copy of it, which may. */
static void read_damaged(const char *name, uint64_t turn)
{
    world.options.readonly = true;
    read_store(&world, name);
    world.options.readonly = false;
    if (turn % 16 == 0 || model_scaled(1) > 1)
        use_copy(name);
}

/* ---- Kinds of damage */

static void flip_every_byte(const char *name)
{
    uint64_t size = kv_memfs_size(world.fs, world_path(name));

    for (uint64_t offset = 0; offset < size; offset++) {
        unsigned bit = (unsigned)((offset * 5 + offset / 8) % 8);

        kv_memfs_flip_bit(world.fs, world_path(name), offset, bit);
        read_damaged(name, offset);
        kv_memfs_flip_bit(world.fs, world_path(name), offset, bit);
    }
}

static void cut_to_every_length(const char *name)
{
    size_t size;
    uint8_t *good = kv_memfs_read_file(world.fs, world_path(name), &size);

    for (size_t left = size; left-- > 0;) {
        kv_memfs_truncate(world.fs, world_path(name), left);
        read_damaged(name, left);
    }
    ck_assert(kv_memfs_write_file(world.fs, world_path(name), kv_slice_of(good, size)));
    free(good);
}

/* From each offset of the active log on, its end reads as zeros: it is missed each time. */
static void lose_every_end(void)
{
    size_t size;
    uint8_t *good = kv_memfs_read_file(world.fs, world_path(active), &size);
    uint8_t *bytes = kv_memfs_read_file(world.fs, world_path(active), &size);
    uint64_t refused = figures->faults;

    for (size_t from = size - KV_END_BYTES; from-- > KV_HEADER_BYTES;) {
        memset(bytes + from, 0, size - from);
        ck_assert(kv_memfs_write_file(world.fs, world_path(active), kv_slice_of(bytes, size)));
        read_damaged(active, from);
    }
    ck_assert_uint_ge(figures->faults - refused, size - KV_END_BYTES - KV_HEADER_BYTES);
    ck_assert(kv_memfs_write_file(world.fs, world_path(active), kv_slice_of(good, size)));
    free(bytes);
    free(good);
}

/* ---- Tests */

START_TEST(test_damage_sweep_every_byte_flipped)
{
    flip_every_byte(names[_i]);
}
END_TEST

START_TEST(test_damage_sweep_every_length)
{
    cut_to_every_length(names[_i]);
}
END_TEST

/*
 * Goal: without END, and with the last COMMITs gone, nothing in the log itself tells that they
 * were there; still, they are missed.
 */
START_TEST(test_damage_sweep_every_end_lost)
{
    lose_every_end();
}
END_TEST

/* Goal: a log that took over is as well guarded, copies and all. Odd turns: it has gone on since. */
START_TEST(test_damage_sweep_after_failover)
{
    setup_failed_over(_i % 2);
    if (_i / 2 == 0)
        flip_every_byte(active);
    else if (_i / 2 == 1)
        cut_to_every_length(active);
    else
        lose_every_end();
}
END_TEST

/*
 * Goal: one file that is older than the others is noticed, or makes no difference.
 * Method: each file as it was at a clean close, after a later one.
 */
START_TEST(test_damage_sweep_rolled_back)
{
    struct kv_buffer olds[FILES], newer;
    uint64_t refused;

    if (_i > 0)
        setup_failed_over(_i > 1);
    else
        setup();
    for (unsigned i = 0; i < file_count; i++)
        olds[i] = file_save(&world, names[i]);
    world_open(&world);
    set(3, "later");
    world_close(&world);
    refused = figures->faults;
    read_damaged(active, 1);
    ck_assert_uint_eq(figures->faults, refused);
    for (unsigned i = 0; i < file_count; i++) {
        newer = file_save(&world, names[i]);
        ck_assert(kv_memfs_write_file(world.fs, world_path(names[i]), kv_buffer_slice(&olds[i])));
        read_damaged(names[i], 0);
        ck_assert_int_eq(figures->faults > refused, names[i] == active);
        refused = figures->faults;
        file_restore(&world, names[i], &newer);
        kv_buffer_release(&newer);
        kv_buffer_release(&olds[i]);
    }
}
END_TEST

static Suite *damage_sweep_suite(void)
{
    Suite *suite = suite_create("damage_sweep");
    TCase *tests = tcase_create("all of a small store"), *others = tcase_create("other stores");

    tcase_set_timeout(tests, 60 * model_scaled(1));
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, test_damage_sweep_every_byte_flipped, 0, 6);
    tcase_add_loop_test(tests, test_damage_sweep_every_length, 0, 6);
    tcase_add_test(tests, test_damage_sweep_every_end_lost);
    suite_add_tcase(suite, tests);
    tcase_set_timeout(others, 60 * model_scaled(1));
    tcase_add_checked_fixture(others, NULL, teardown);
    tcase_add_loop_test(others, test_damage_sweep_after_failover, 0, 6);
    tcase_add_loop_test(others, test_damage_sweep_rolled_back, 0, 3);
    suite_add_tcase(suite, others);
    return suite;
}

int main(void)
{
    int failures;

    figures = model_figures_new();
    failures = kv_run_suite(damage_sweep_suite());
    printf("%llu damaged stores read\n", (unsigned long long)figures->runs);
    return failures;
}
