/*
 * kv_repair on a small store that was damaged in every way: what is behind the
 * damage is there, what was deleted or overwritten stays so, and the store is
 * sound afterwards.
 *
 * The store: a merge output, a sealed log and an active log, with overwrites and
 * tombstones across them. Where each key's newest record stands is found by
 * reading the files, so that it is known which keys damage may cost.
 */
#include <stdio.h>

#include "engine_world.h"
#include "header.h"
#include "manifest.h"
#include "model.h"
#include "names.h"
#include "record.h"
#include "runner.h"

enum { FILES = 16, KEYS = 40 };

/* Where the newest record of a key stands. */
struct spot {
    char name[KV_NAME_BYTES];
    uint32_t offset, size;
    uint64_t seq;
};

static struct world world;
static struct model model;
static char names[FILES][KV_NAME_BYTES];
static unsigned file_count;
static struct spot spots[KEYS];

/* ---- The store */

/* Keys and rows that keep the store small: a byte flipped anywhere should matter. */
static struct kv_slice key_of(unsigned key)
{
    static char text[16];

    snprintf(text, sizeof(text), "key%02u%s", key, key % 3 ? "" : "-long");
    return kv_slice_text(text);
}

static struct kv_slice row_of(uint32_t number)
{
    static char text[64];

    snprintf(text, sizeof(text), "row %u %.*s", number, (int)(number % 23),
             "abcdefghijklmnopqrstuvwx");
    return kv_slice_text(text);
}

static void transact(uint64_t random, unsigned writes)
{
    struct model_state state = *model_last(&model);
    struct kv_txn *txn = world_begin(&world);

    for (unsigned i = 0; i < writes; i++) {
        unsigned key = model_below(&random, KEYS);
        uint32_t number = model_percent(&random, 75) ? (uint32_t)model_random(&random) | 1 : 0;

        if (number)
            ck_kv(kv_txn_put(txn, key_of(key), row_of(number)));
        else
            ck_kv(kv_txn_delete(txn, key_of(key)));
        state.rows[key] = number;
    }
    ck_kv(kv_txn_commit(txn));
    model_commit(&model, &state);
}

static void list_files(void)
{
    char *all = world_names(&world), *rest = all, *name;

    file_count = 0;
    while ((name = strsep(&rest, "\n")) != NULL) {
        if (*name)
            snprintf(names[file_count++], KV_NAME_BYTES, "%s", name);
    }
    free(all);
}

/* The log that is active: the segment with the highest number. */
static const char *active_log(void)
{
    const char *last = NULL;
    uint64_t number;

    for (unsigned i = 0; i < file_count; i++)
        if (kv_name_parse(names[i], &number) == KV_NAME_IS_SEGMENT)
            last = names[i];
    return last;
}

static void note_record(const char *name, uint32_t offset, const struct kv_record *record)
{
    for (unsigned key = 0; key < KEYS; key++) {
        struct spot *spot = &spots[key];

        if (!kv_slice_equal(key_of(key), record->key) || record->seq < spot->seq)
            continue;
        *spot = (struct spot){.offset = offset, .size = record->size_bytes, .seq = record->seq};
        snprintf(spot->name, sizeof(spot->name), "%s", name);
    }
}

static void note_records(const char *name)
{
    struct kv_buffer bytes = file_save(&world, name);
    struct kv_header header;
    struct kv_record_place place;
    size_t at = KV_HEADER_BYTES;

    ck_kv(kv_header_decode(kv_buffer_slice(&bytes), &header));
    place = (struct kv_record_place){.salt = header.salt, .base_seq = header.base_seq};
    while (at < bytes.size) {
        struct kv_slice rest = kv_slice_of(bytes.data + at, bytes.size - at);
        struct kv_record record;

        if (kv_record_kind(rest) == KV_COMMIT)
            at += KV_COMMIT_BYTES;
        else if (kv_record_decode(rest, &place, at, &record) == KV_OK) {
            note_record(name, (uint32_t)at, &record);
            at += record.size_bytes;
        } else
            break;
    }
    kv_buffer_release(&bytes);
}

static void note_all(void)
{
    uint64_t number;

    memset(spots, 0, sizeof(spots));
    list_files();
    for (unsigned i = 0; i < file_count; i++) {
        if (kv_name_parse(names[i], &number) == KV_NAME_IS_SEGMENT)
            note_records(names[i]);
    }
}

static void setup(void)
{
    world_init(&world);
    model_init(&model);
    world.options.foreground = true;
    world_open(&world);
    for (unsigned i = 0; i < 4; i++)
        transact(i, 12);
    ck_kv(kv_compact(world.store, NULL, NULL));
    for (unsigned i = 4; i < 8; i++)
        transact(i, 6);
    engine_seal(&world);
    for (unsigned i = 8; i < 12; i++)
        transact(i, 4);
    ck_assert_uint_eq(world_stats(&world).runs, 2);
    world_close(&world);
    note_all();
}

static void teardown(void)
{
    world_end(&world);
    model_release(&model);
}

/* ---- Repairing a copy */

static struct world copy_world(void)
{
    struct world copy = world;

    copy.fs = kv_memfs_clone(world.fs);
    copy.io = copy.options.io = kv_memfs_io(copy.fs);
    return copy;
}

static enum kv_status count_step(void *context, const struct kv_repair_step *step)
{
    ck_assert_ptr_nonnull(step->action);
    ++*(unsigned *)context;
    return KV_OK;
}

static enum kv_status try_repair(struct world *it, unsigned *steps)
{
    *steps = 0;
    return kv_repair(WORLD_PATH, it->io, NULL, count_step, steps);
}

static unsigned repair(struct world *it)
{
    unsigned steps;

    ck_kv(try_repair(it, &steps));
    return steps;
}

/* What damage may have cost. */
struct toll {
    const char *name;  /* a file … */
    uint64_t from, to; /* … and the bytes of it that were damaged */
    bool shows_older;  /* nothing is left to tell the keys by: what they had before may show */
    bool anything;     /* any row */
};

static bool is_hit(const struct toll *toll, unsigned key)
{
    const struct spot *spot = &spots[key];

    return toll->anything || (toll->name && strcmp(spot->name, toll->name) == 0 &&
                              spot->offset < toll->to && spot->offset + spot->size > toll->from);
}

static bool is_row(const struct kv_entry *entry, uint32_t number)
{
    return number && kv_slice_equal(entry->row, row_of(number));
}

/* Is it a row that the key has ever had? */
static bool was_row(const struct kv_entry *entry, unsigned key)
{
    for (uint64_t seq = 1; seq <= model.last_seq; seq++)
        if (is_row(entry, model.states[seq].rows[key]))
            return true;
    return false;
}

/* Each key is as it was, or absent if its newest record was hit. Its older rows never show, or only then. */
static void expect_key(struct kv_snapshot *snapshot, const struct toll *toll, unsigned key)
{
    uint32_t number = model_last(&model)->rows[key];
    struct kv_entry entry;
    enum kv_status st = kv_snapshot_get(snapshot, NULL, key_of(key), &entry);

    if (st == KV_OK)
        ck_assert_msg(is_row(&entry, number) ||
                          (toll->shows_older && is_hit(toll, key) && was_row(&entry, key)),
                      "key %u has a row that is not its last", key);
    else if (st == KV_DONE)
        ck_assert_msg(number == 0 || is_hit(toll, key), "key %u is missing", key);
    else
        ck_abort_msg("key %u: %s", key, kv_message());
}

static void expect_sound(struct world *it)
{
    unsigned steps;

    world_check(it);
    world_close(it);
    steps = repair(it);
    ck_assert_msg(steps == 0, "a store that was repaired is repaired again");
}

static void expect_repaired(struct world *it, const struct toll *toll)
{
    struct kv_snapshot *snapshot;

    world_open(it);
    snapshot = world_snapshot(it);
    for (unsigned key = 0; key < KEYS; key++)
        expect_key(snapshot, toll, key);
    kv_snapshot_free(snapshot);
    expect_sound(it);
}

/* ---- Tests */

START_TEST(test_repair_leaves_a_sound_store_alone)
{
    uint64_t before = world_files_digest(&world);

    ck_assert_uint_eq(repair(&world), 0);
    ck_assert_uint_eq(world_files_digest(&world), before);
    ck_assert(!world_has_file(&world, KV_NAME_QUARANTINE));
}
END_TEST

/* Bytes worth flipping: all of a segment's records and of MANIFEST, some of headers and indexes. */
static bool is_chosen(const char *name, uint64_t offset, unsigned stride)
{
    uint64_t number;
    enum kv_name_kind kind = kv_name_parse(name, &number);

    if (kind == KV_NAME_IS_SEGMENT && offset >= KV_HEADER_BYTES)
        return stride < 4 || offset % 3 == 0;
    return offset % (kind == KV_NAME_IS_MANIFEST ? (stride + 3) / 4 : stride) == 0;
}

static void flip(const char *name, uint64_t offset)
{
    struct world copy = copy_world();
    struct toll toll = {.name = name, .from = offset, .to = offset + 1};

    ck_assert(kv_memfs_flip_bit(copy.fs, world_path(name), offset, (unsigned)(offset * 5 % 8)));
    repair(&copy);
    expect_repaired(&copy, &toll);
    world_end(&copy);
}

/*
 * Goal: one damaged byte anywhere costs the row that it is in, at most, and brings
 * nothing back.
 */
START_TEST(test_repair_after_a_flipped_bit)
{
    unsigned stride = 200 / model_scaled(1) + 1;

    for (unsigned i = 0; i < file_count; i++) {
        uint64_t size = kv_memfs_size(world.fs, world_path(names[i]));

        for (uint64_t offset = 0; offset < size; offset++)
            if (is_chosen(names[i], offset, stride))
                flip(names[i], offset);
    }
}
END_TEST

/*
 * A segment that is cut costs the rows behind the cut. MANIFEST tells how long the active log
 * was, but nothing which keys were written there.
 */
START_TEST(test_repair_after_a_cut)
{
    unsigned stride = 100 / model_scaled(1) + 1;

    for (unsigned i = 0; i < file_count; i++) {
        uint64_t size = kv_memfs_size(world.fs, world_path(names[i]));

        for (uint64_t left = i; left < size; left += stride) {
            struct world copy = copy_world();
            struct toll toll = {.name = names[i], .from = left, .to = size};

            toll.shows_older = strcmp(names[i], active_log()) == 0;
            ck_assert(kv_memfs_truncate(copy.fs, world_path(names[i]), left));
            repair(&copy); /* if END alone is gone, there is nothing to do */
            expect_repaired(&copy, &toll);
            world_end(&copy);
        }
    }
}
END_TEST

START_TEST(test_repair_after_a_loss_of_files)
{
    for (unsigned i = 0; i < file_count; i++) {
        struct world copy = copy_world();
        struct toll toll = {.name = names[i], .to = UINT64_MAX};

        toll.shows_older = strcmp(names[i], active_log()) == 0;
        ck_assert(kv_memfs_delete(copy.fs, world_path(names[i])));
        ck_assert_uint_gt(repair(&copy), 0);
        expect_repaired(&copy, &toll);
        world_end(&copy);
    }
}
END_TEST

static void swap(struct world *it, const char *a, const char *b)
{
    struct kv_buffer a_bytes = file_save(it, a), b_bytes = file_save(it, b);

    file_restore(it, a, &b_bytes);
    file_restore(it, b, &a_bytes);
    kv_buffer_release(&a_bytes);
    kv_buffer_release(&b_bytes);
}

/* Headers say whose a file is: names that were mixed up cost nothing. */
START_TEST(test_repair_after_files_were_swapped)
{
    struct toll none = {0};
    uint64_t number;

    for (unsigned a = 0; a < file_count; a++) {
        for (unsigned b = a + 1; b < file_count; b++) {
            struct world copy;

            if (kv_name_parse(names[a], &number) != kv_name_parse(names[b], &number))
                continue;
            copy = copy_world();
            swap(&copy, names[a], names[b]);
            ck_assert_uint_gt(repair(&copy), 0);
            expect_repaired(&copy, &none);
            world_end(&copy);
        }
    }
}
END_TEST

/* A segment of another store is no segment of this one. */
START_TEST(test_repair_after_a_file_of_another_store)
{
    struct world mine = world, other;
    const char *log = active_log();
    struct toll toll = {.name = log, .to = UINT64_MAX, .shows_older = true};
    struct kv_buffer bytes;

    world_init(&other);
    kv_memfs_free(other.fs);
    other.fs = kv_memfs_new(77);
    other.io = other.options.io = kv_memfs_io(other.fs);
    world_open(&other);
    while (!world_has_file(&other, log))
        world_seal(&other);
    world_put(&other, "key00-long", "another store's");
    world_close(&other);
    bytes = file_save(&other, log);
    file_restore(&mine, log, &bytes);
    repair(&mine);
    expect_repaired(&mine, &toll);
    world.store = mine.store;
    kv_buffer_release(&bytes);
    world_end(&other);
}
END_TEST

/* Goal: no seq is used twice. Method: of the last transactions no record is left, only their number. */
START_TEST(test_repair_without_a_manifest_goes_on_counting)
{
    uint64_t seq;

    world_open(&world);
    world_put(&world, "zz", "1");
    world_delete(&world, "zz");
    ck_kv(kv_compact(world.store, NULL, NULL));
    seq = kv_store_seq(world.store);
    world_close(&world);
    ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    ck_assert_uint_gt(repair(&world), 0);
    world_open(&world);
    ck_assert_uint_eq(kv_store_seq(world.store), seq);
}
END_TEST

/* Without MANIFEST nothing is lost, and what is not needed any more does not count. */
START_TEST(test_repair_without_a_manifest)
{
    struct kv_buffer old = file_save(&world, KV_NAME_MANIFEST), leftovers[FILES] = {0};
    struct toll none = {0};
    unsigned old_count = file_count;
    char old_names[FILES][KV_NAME_BYTES];

    memcpy(old_names, names, sizeof(names));
    for (unsigned i = 0; i < old_count; i++)
        leftovers[i] = file_save(&world, old_names[i]);
    world_open(&world);
    transact(50, 10);
    ck_kv(kv_compact(world.store, NULL, NULL));
    transact(51, 10);
    world_close(&world);
    /* The inputs of the merge are back, as if they had not been removed. */
    for (unsigned i = 0; i < old_count; i++)
        if (kv_memfs_size(world.fs, world_path(old_names[i])) == UINT64_MAX)
            file_restore(&world, old_names[i], &leftovers[i]);
    for (int turn = 0; turn < 2; turn++) {
        struct world copy = copy_world();

        if (turn == 0)
            ck_assert(kv_memfs_delete(copy.fs, world_path(KV_NAME_MANIFEST)));
        else
            file_restore(&copy, KV_NAME_MANIFEST, &old); /* older than the store */
        ck_assert_uint_gt(repair(&copy), 0);
        expect_repaired(&copy, &none);
        world_end(&copy);
    }
    for (unsigned i = 0; i < old_count; i++)
        kv_buffer_release(&leftovers[i]);
    kv_buffer_release(&old);
}
END_TEST

static enum kv_status find_step(void *context, const struct kv_repair_step *step)
{
    uint64_t *wanted = context; /* the number of a segment; 0 when it was met */

    if (step->segment == *wanted && strstr(step->action, "quarantine"))
        *wanted = 0;
    return KV_OK;
}

/* Goal: a segment that neither MANIFEST nor its header vouches for is not given up in silence. */
START_TEST(test_repair_tells_what_it_cannot_place)
{
    for (unsigned i = 0; i < file_count; i++) {
        struct world copy;
        uint64_t number;

        if (kv_name_parse(names[i], &number) != KV_NAME_IS_SEGMENT)
            continue;
        copy = copy_world();
        ck_assert(kv_memfs_delete(copy.fs, world_path(KV_NAME_MANIFEST)));
        ck_assert(kv_memfs_flip_bit(copy.fs, world_path(names[i]), 20, 1));
        ck_kv(kv_repair(WORLD_PATH, copy.io, NULL, find_step, &number));
        ck_assert_msg(number == 0, "nothing was told of %s", names[i]);
        world_open(&copy);
        expect_sound(&copy);
        world_end(&copy);
    }
}
END_TEST

/* Damaged files keep their bytes in the quarantine, and are not met again in the store. */
START_TEST(test_repair_keeps_what_it_takes_away)
{
    struct spot *spot = NULL;
    struct kv_buffer damaged, kept;

    for (unsigned key = 0; key < KEYS && !spot; key++)
        if (strcmp(spots[key].name, active_log()) == 0)
            spot = &spots[key];
    ck_assert_ptr_nonnull(spot);
    ck_assert(kv_memfs_flip_bit(world.fs, world_path(spot->name), spot->offset + 1, 3));
    damaged = file_save(&world, spot->name);
    kv_memfs_settle(world.fs);
    ck_assert_uint_gt(repair(&world), 0);
    ck_assert(!world_has_file(&world, spot->name));
    kv_memfs_crash(world.fs, KV_MEMFS_DROP, 0);
    ck_assert(!world_has_file(&world, spot->name));
    {
        char name[KV_NAME_BYTES + 16];

        snprintf(name, sizeof(name), "quarantine/%s", spot->name);
        kept = file_save(&world, name);
    }
    ck_assert(kv_slice_equal(kv_buffer_slice(&damaged), kv_buffer_slice(&kept)));
    kv_buffer_release(&damaged);
    kv_buffer_release(&kept);
}
END_TEST

/* A disk that gives nothing any more is no reason to change anything on it. */
START_TEST(test_repair_of_an_unreadable_disk_changes_nothing)
{
    uint64_t before = world_files_digest(&world);
    unsigned steps;

    kv_memfs_fail(world.fs, KV_MEMFS_READ, 1, KV_IOERR, KV_MEMFS_STICKY);
    ck_kv_is(try_repair(&world, &steps), KV_CORRUPT);
    kv_memfs_heal(world.fs);
    ck_assert_uint_eq(world_files_digest(&world), before);
    ck_assert_uint_eq(repair(&world), 0);
}
END_TEST

/* A store with three kinds of damage: of the merge output, the log and, in odd turns, MANIFEST. */
static struct toll damage(struct world *it, unsigned turn)
{
    static const struct spot *spot;

    spot = NULL;
    for (unsigned key = 0; key < KEYS && !spot; key++)
        if ((strcmp(spots[key].name, active_log()) == 0) == (turn / 2 % 2))
            spot = &spots[key];
    ck_assert_ptr_nonnull(spot);
    ck_assert(kv_memfs_flip_bit(it->fs, world_path(spot->name), spot->offset + spot->size - 1, 2));
    if (turn % 2)
        ck_assert(kv_memfs_flip_bit(it->fs, world_path(KV_NAME_MANIFEST), 100, 2));
    return (struct toll){.name = spot->name, .from = spot->offset, .to = spot->offset + spot->size};
}

/*
 * Goal: bad sectors cost what is in them, and bring nothing back; a read that is refused once costs nothing.
 * Method: `_i` + 1 successive reads fail, from each read on: a whole file, one of its pages, that again.
 */
START_TEST(test_repair_of_bad_sectors)
{
    bool went_on = true;

    for (uint64_t call = 1; went_on; call++) {
        struct world copy = copy_world();
        struct toll toll = {.anything = _i > 0};
        enum kv_status st;
        unsigned steps;

        if (call % 2)
            damage(&copy, (unsigned)call / 2 * 2); /* not MANIFEST: with a header it is too much */
        toll.anything |= call % 2;
        for (uint64_t i = 0; i <= (unsigned)_i; i++)
            kv_memfs_fail(copy.fs, KV_MEMFS_READ, call + i, KV_IOERR, KV_MEMFS_ONCE);
        st = try_repair(&copy, &steps);
        went_on = kv_memfs_fault_count(copy.fs) > 0;
        kv_memfs_heal(copy.fs);
        if (st != KV_OK) { /* it could not read what it had written itself */
            ck_assert_int_eq(st, KV_IOERR);
            ck_assert_ptr_nonnull(strstr(kv_message(), KV_NAME_QUARANTINE "/"));
            repair(&copy);
        }
        expect_repaired(&copy, &toll);
        world_end(&copy);
    }
}
END_TEST

START_TEST(test_repair_needs_the_store_for_itself)
{
    unsigned steps;

    world_open(&world);
    ck_kv_is(try_repair(&world, &steps), KV_BUSY);
    world_close(&world);
    ck_kv_is(kv_repair("/nowhere", world.io, NULL, count_step, &steps), KV_NOTFOUND);
}
END_TEST

static bool always(void *context)
{
    (void)context;
    return true;
}

START_TEST(test_repair_can_be_interrupted)
{
    struct kv_settings settings = kv_settings_default();
    unsigned steps = 0;
    uint64_t before = world_files_digest(&world);

    settings.interrupted = always;
    ck_kv_is(kv_repair(WORLD_PATH, world.io, &settings, count_step, &steps), KV_INTERRUPTED);
    ck_assert_uint_eq(world_files_digest(&world), before);
}
END_TEST

/* ---- Crashes */

/*
 * Goal: repair never makes things worse, wherever it is stopped.
 * Method: at each call of io, kill it, cut the power, or let that one call fail; then
 * repair again.
 */
static bool stop_at(unsigned turn, uint64_t call, unsigned how)
{
    struct world copy = copy_world();
    struct toll toll = damage(&copy, turn);
    unsigned steps;
    bool stopped;

    kv_memfs_settle(copy.fs);
    kv_memfs_fail(copy.fs, KV_MEMFS_ANY, call, how == 3 ? KV_FULL : KV_IOERR,
                  how < 3 ? KV_MEMFS_FREEZE : KV_MEMFS_ONCE);
    (void)!try_repair(&copy, &steps);
    stopped = kv_memfs_fault_count(copy.fs) > 0;
    kv_memfs_heal(copy.fs);
    if (how == 0)
        kv_memfs_kill(copy.fs);
    else if (how < 3)
        kv_memfs_crash(copy.fs, how == 1 ? KV_MEMFS_DROP : KV_MEMFS_RANDOM, call);
    repair(&copy);
    /* An interrupted attempt may have taken more than its due: an error in reading is damage. */
    if (how == 3)
        toll = (struct toll){.name = toll.name, .to = UINT64_MAX};
    expect_repaired(&copy, &toll);
    world_end(&copy);
    return stopped;
}

START_TEST(test_repair_stopped_anywhere)
{
    uint64_t step = model_scaled(1) > 8 ? 1 : 9 - model_scaled(1);

    for (unsigned turn = 0; turn < 4; turn++)
        for (unsigned how = 0; how < 4; how++)
            for (uint64_t call = 1 + turn; stop_at(turn, call, how); call += step)
                ;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("repair");
    TCase *tests = tcase_create("repair");

    tcase_set_timeout(tests, 600);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_repair_leaves_a_sound_store_alone);
    tcase_add_test(tests, test_repair_after_a_flipped_bit);
    tcase_add_test(tests, test_repair_after_a_cut);
    tcase_add_test(tests, test_repair_after_a_loss_of_files);
    tcase_add_test(tests, test_repair_after_files_were_swapped);
    tcase_add_test(tests, test_repair_after_a_file_of_another_store);
    tcase_add_test(tests, test_repair_without_a_manifest);
    tcase_add_test(tests, test_repair_without_a_manifest_goes_on_counting);
    tcase_add_test(tests, test_repair_tells_what_it_cannot_place);
    tcase_add_test(tests, test_repair_keeps_what_it_takes_away);
    tcase_add_test(tests, test_repair_of_an_unreadable_disk_changes_nothing);
    tcase_add_loop_test(tests, test_repair_of_bad_sectors, 0, 3);
    tcase_add_test(tests, test_repair_needs_the_store_for_itself);
    tcase_add_test(tests, test_repair_can_be_interrupted);
    tcase_add_test(tests, test_repair_stopped_anywhere);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
