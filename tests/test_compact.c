/*
 * Compaction: what a merge keeps and drops (P7), how it splits and joins, and
 * that it leaves everything as it was when it does not end.
 */
#include "compact.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine_world.h"
#include "hash.h"
#include "names.h"
#include "record.h"
#include "runner.h"

static struct world world;
static struct kv_settings settings; /* to merge with */

static void setup(void)
{
    world_start(&world);
    settings = world.options.settings;
    settings.garbage_ratio = 0.95;
}

static void teardown(void)
{
    world_end(&world);
}

static size_t run_count(void)
{
    return engine_of(&world)->manifest.run_count;
}

/* ---- Every combination of what four runs may say of a key */

enum { RUNS = 4, KEYS = 81 }; /* 3^4: a digit a run, newest first; 0: nothing, 1: put, 2: deleted */

static unsigned digit(unsigned key, unsigned run)
{
    while (run-- > 0)
        key /= 3;
    return key % 3;
}

static struct kv_slice key_text(unsigned key)
{
    static char text[64];

    return kv_slice_of(text, (size_t)snprintf(text, sizeof(text), "key %02u", key));
}

/* Oldest run first. Each has a large row of its own besides, so that no run is mostly dead. */
static void make_runs(void)
{
    static uint8_t large[30000];

    for (unsigned run = RUNS; run-- > 0;) {
        struct kv_txn *txn = world_begin(&world);
        char row[] = {'r', (char)('0' + run), '\0'};

        for (unsigned key = 0; key < KEYS; key++) {
            if (digit(key, run) == 1)
                ck_kv(kv_txn_put(txn, key_text(key), kv_slice_text(row)));
            else if (digit(key, run) == 2)
                ck_kv(kv_txn_delete(txn, key_text(key)));
        }
        row[0] = 'z';
        ck_kv(kv_txn_put(txn, kv_slice_text(row), kv_slice_of(large, sizeof(large))));
        ck_kv(kv_txn_commit(txn));
        engine_seal(&world);
    }
    ck_assert_uint_eq(run_count(), RUNS);
}

/* The newest of runs first … end-1 that says something of a key; `end`: none does. */
static unsigned newest(unsigned key, unsigned first, unsigned end)
{
    while (first < end && digit(key, first) == 0)
        first++;
    return first;
}

static void check_content(void)
{
    for (unsigned key = 0; key < KEYS; key++) {
        unsigned run = newest(key, 0, RUNS);
        char row[] = {'r', (char)('0' + run), '\0'};
        char text[16];

        snprintf(text, sizeof(text), "key %02u", key);
        world_expect(&world, text, run < RUNS && digit(key, run) == 1 ? row : NULL);
    }
}

/* What run `run` of the store has on a key now: 0, 1 or 2. */
static unsigned found(struct kv_version *version, size_t run, unsigned key)
{
    struct kv_slice text = key_text(key);
    struct kv_entry entry;
    enum kv_status st = kv_version_get_in_runs(
        version, run, 1, kv_hash(text, engine_of(&world)->place.hash_seed), text, &entry, NULL);

    ck_assert(st == KV_OK || st == KV_DONE);
    return st == KV_DONE ? 0 : entry.deleted ? 2 : 1;
}

/*
 * Runs first … first+count-1 have been merged: the others are as they were; of
 * each key the newest record is there, unless a newer run has one, or it is a
 * tombstone and no older run has any record. `*kept` counts tombstones that are
 * there for a filter's mistake.
 */
static void check_records(unsigned first, unsigned count, unsigned *kept)
{
    struct kv_version *version = kv_engine_version(engine_of(&world));

    *kept = 0;
    for (unsigned key = 0; key < KEYS; key++) {
        unsigned in_range = newest(key, first, first + count), expected = 0, got;

        for (unsigned run = 0; run < RUNS; run++) {
            if (run < first)
                ck_assert_uint_eq(found(version, run, key), digit(key, run));
            else if (run >= first + count)
                ck_assert_uint_eq(found(version, run - count + 1, key), digit(key, run));
        }
        if (in_range < first + count && newest(key, 0, first) == first)
            expected = digit(key, in_range);
        got = found(version, first, key);
        if (expected == 2 && newest(key, first + count, RUNS) == RUNS) {
            ck_assert_uint_ne(got, 1); /* it should go; a filter may have said maybe */
            *kept += got == 2;
        } else {
            ck_assert_msg(got == expected, "key %u of runs %u+%u: %u", key, first, count, got);
        }
    }
    kv_version_unref(version);
}

/*
 * Have the policy merge runs first … first+count-1: it takes the lowest tier
 * with two runs. Tiers are only a matter of choosing, so they may be set.
 */
static void merge_range(unsigned first, unsigned count)
{
    struct kv_manifest *manifest = &engine_of(&world)->manifest;

    for (unsigned run = 0; run < RUNS; run++)
        manifest->runs[run].tier = run < first           ? run
                                   : run < first + count ? first
                                                         : run - count + 3;
    settings.fanout = 2;
    ck_kv(engine_try_policy(&world, &settings));
}

/*
 * Goal (P7): whatever range is merged, the content stays, a tombstone stays as
 * long as an older run has something to hide, and goes when none has.
 */
START_TEST(test_compact_every_range_of_every_combination)
{
    for (unsigned first = 0; first < RUNS; first++) {
        for (unsigned count = 2; first + count <= RUNS; count++) {
            unsigned kept;

            make_runs();
            merge_range(first, count);
            ck_assert_uint_eq(run_count(), RUNS - count + 1);
            check_records(first, count, &kept);
            ck_assert_uint_le(kept, 4);
            check_content();
            world_check(&world);
            world_kill(&world);
            world_open(&world);
            check_content();
            ck_kv(engine_try_merge(&world, NULL)); /* the rest, after all */
            ck_assert_uint_le(run_count(), 1);
            ck_assert_uint_eq(world_stats(&world).tombstones, 0);
            check_content();
            world_end(&world);
            world_start(&world);
        }
    }
}
END_TEST

/* Step by step to one run, in every order of two neighbours: nothing ever comes back. */
START_TEST(test_compact_pairs_in_every_order)
{
    for (unsigned order = 0; order < 6; order++) {
        unsigned left = RUNS, choices = order;

        make_runs();
        while (left > 1) {
            struct kv_manifest *manifest = &engine_of(&world)->manifest;
            unsigned first = choices % (left - 1);

            choices /= left - 1;
            for (unsigned run = 0; run < left; run++)
                manifest->runs[run].tier = run < first ? run : run < first + 2 ? first : run + 1;
            settings.fanout = 2;
            ck_kv(engine_try_policy(&world, &settings));
            ck_assert_uint_eq(run_count(), --left);
            check_content();
        }
        ck_assert_uint_eq(world_stats(&world).tombstones, 0);
        world_check(&world);
        world_end(&world);
        world_start(&world);
    }
}
END_TEST

/* Goal (P7): a filter that cannot be read says maybe. Method: damage the older run's index. */
START_TEST(test_compact_keeps_tombstones_over_a_damaged_filter)
{
    char name[KV_NAME_BYTES];
    uint64_t number;

    world_put(&world, "a", "1");
    world_put(&world, "b", "1");
    world_put(&world, "z", "1");
    engine_seal(&world);
    number = run_of(&world, 0)->segments[0].number;
    world_delete(&world, "b");
    engine_seal(&world);
    world_delete(&world, "c");
    engine_seal(&world);
    world_reopen(&world); /* nothing of it has been read yet */
    kv_name_index(name, number);
    for (uint64_t at = 4096; at < kv_memfs_size(world.fs, world_path(name)); at += 64)
        kv_memfs_flip_bit(world.fs, world_path(name), at, 0);
    engine_of(&world)->manifest.runs[2].tier = 3;
    settings.fanout = 2;
    ck_kv(engine_try_policy(&world, &settings));
    ck_assert_uint_eq(run_count(), 2);
    ck_assert_uint_eq(run_of(&world, 0)->segments[0].tombstone_count, 2);
    world_expect_all(&world, "a=1 z=1");
    world_reopen(&world);
    world_expect_all(&world, "a=1 z=1");
}
END_TEST

/* ---- Sizes */

static void put_rows(const char *prefix, unsigned count, size_t row_size)
{
    static uint8_t row[300000];
    struct kv_txn *txn = world_begin(&world);

    for (unsigned i = 0; i < count; i++) {
        char key[32];

        snprintf(key, sizeof(key), "%s%05u", prefix, i);
        ck_kv_fast(kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, row_size)));
    }
    ck_kv(kv_txn_commit(txn));
    engine_seal(&world);
}

/* Segments of at most max_segment_bytes, nearly full, ascending and disjoint. */
static void check_run(const struct kv_run *run)
{
    for (size_t i = 0; i < run->segment_count; i++) {
        const struct kv_segment_info *info = &run->segments[i];

        ck_assert_uint_le(info->end_bytes, settings.max_segment_bytes);
        ck_assert_uint_eq(info->dead_bytes, 0);
        if (i + 1 < run->segment_count)
            ck_assert_uint_gt(info->end_bytes, settings.max_segment_bytes / 10 * 9);
        if (i > 0)
            ck_assert_int_lt(kv_slice_compare(kv_buffer_slice(&run->segments[i - 1].max_key),
                                              kv_buffer_slice(&info->min_key)),
                             0);
    }
}

START_TEST(test_compact_splits_outputs)
{
    settings.max_segment_bytes = 65536 + (uint64_t)_i * 1237;
    put_rows("a", 1500, 130);
    put_rows("b", 1500, 130);
    put_rows("a", 700, 77);
    ck_kv(engine_try_merge(&world, &settings));
    ck_assert_uint_eq(run_count(), 1);
    ck_assert_uint_gt(run_of(&world, 0)->segment_count, 5);
    check_run(run_of(&world, 0));
    ck_assert_uint_eq(world_stats(&world).records, 3000);
    world_check(&world);
    world_reopen(&world);
    world_check(&world);
    ck_assert_uint_eq(world_stats(&world).keys, 3000);
}
END_TEST

/* Seqs far apart take more bytes relative to a smaller base: still no output is too long. */
START_TEST(test_compact_splits_outputs_with_distant_seqs)
{
    settings.max_segment_bytes = 65536;
    world_put(&world, "0", "first of all");
    engine_seal(&world);
    for (unsigned i = 0; i < 20000; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%05u", i);
        ck_kv_fast(kv_put(world.store, kv_slice_text(key), kv_slice_text("r")));
    }
    engine_seal(&world);
    ck_kv(engine_try_merge(&world, &settings));
    ck_assert_uint_gt(run_of(&world, 0)->segment_count, 4);
    check_run(run_of(&world, 0));
    world_check(&world);
}
END_TEST

/* A row larger than the limit gets a segment of its own. */
START_TEST(test_compact_rows_larger_than_a_segment)
{
    settings.max_segment_bytes = 65536;
    put_rows("m", 3, 200000);
    put_rows("a", 100, 100);
    put_rows("z", 100, 100);
    ck_kv(engine_try_merge(&world, &settings));
    ck_assert_uint_eq(run_count(), 1);
    ck_assert_uint_eq(run_of(&world, 0)->segment_count, 5);
    ck_assert_uint_eq(run_of(&world, 0)->segments[2].record_count, 1);
    world_check(&world);
    world_reopen(&world);
    ck_assert_uint_eq(world_stats(&world).keys, 203);
}
END_TEST

/* The output answers for its inputs' seqs, times and LSNs. */
START_TEST(test_compact_inherits)
{
    const struct kv_segment_info *info;
    uint64_t first_lsn, last_lsn;

    kv_memfs_set_clock(world.fs, 1000);
    world_put(&world, "a", "1");
    kv_memfs_set_clock(world.fs, 2000);
    world_put(&world, "b", "2");
    engine_seal(&world);
    first_lsn = run_of(&world, 0)->segments[0].first_lsn;
    kv_memfs_set_clock(world.fs, 3000);
    world_put(&world, "b", "3");
    engine_seal(&world);
    last_lsn = run_of(&world, 0)->segments[0].last_lsn;
    ck_kv(engine_try_merge(&world, &settings));
    info = &run_of(&world, 0)->segments[0];
    ck_assert_uint_eq(run_of(&world, 0)->tier, 1);
    ck_assert_uint_eq(info->first_lsn, first_lsn);
    ck_assert_uint_eq(info->last_lsn, last_lsn);
    ck_assert_uint_eq(info->min_time_ms, 1000);
    ck_assert_uint_eq(info->max_time_ms, 3000);
    ck_assert_uint_eq(info->min_seq, 1);
    ck_assert_uint_eq(info->max_seq, 3);
    ck_assert_uint_eq(info->record_count, 2);
    ck_assert_uint_eq(engine_of(&world)->manifest.compaction_count, 1);
    ck_assert_uint_eq(engine_of(&world)->manifest.merge_bytes_written, info->end_bytes);
    ck_assert_uint_eq(engine_of(&world)->merging.id, 0);
}
END_TEST

/* ---- Joining */

/* Runs in ascending order, large enough, become one without a byte being written. */
START_TEST(test_compact_joins_without_rewriting)
{
    uint64_t numbers[4], written;

    settings.max_segment_bytes = 65536;
    settings.fanout = 4;
    for (unsigned i = 0; i < 4; i++) {
        char prefix[] = {(char)('a' + i), '\0'};

        put_rows(prefix, 100, 200);
        numbers[i] = run_of(&world, 0)->segments[0].number;
    }
    written = kv_memfs_calls(world.fs, KV_MEMFS_WRITE);
    ck_kv(engine_try_policy(&world, &settings));
    ck_assert_uint_eq(kv_memfs_calls(world.fs, KV_MEMFS_WRITE) - written, 1); /* MANIFEST */
    ck_assert_uint_eq(run_count(), 1);
    ck_assert_uint_eq(run_of(&world, 0)->tier, 1);
    ck_assert_uint_eq(run_of(&world, 0)->segment_count, 4);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(run_of(&world, 0)->segments[i].number, numbers[i]);
    ck_assert_uint_eq(engine_of(&world)->manifest.compaction_count, 0);
    world_check(&world);
    world_reopen(&world);
    ck_assert_uint_eq(world_stats(&world).keys, 400);
}
END_TEST

/* ---- When it does not end */

static const char *const before_merge = "a=2 b=1 d=3";

static void fill(void)
{
    world_put(&world, "a", "1");
    world_put(&world, "b", "1");
    world_put(&world, "c", "1");
    engine_seal(&world);
    world_put(&world, "a", "2");
    world_delete(&world, "c");
    engine_seal(&world);
    world_put(&world, "d", "3");
    engine_seal(&world);
}

struct countdown {
    unsigned left, asked;
};

static bool stop_after(void *context)
{
    struct countdown *countdown = context;

    countdown->asked++;
    return countdown->left-- == 0;
}

/* Goal: an interruption changes nothing that can be read, and leaves no files. Method: at every question. */
START_TEST(test_compact_interrupted)
{
    struct countdown countdown = {0};
    enum kv_status st = KV_INTERRUPTED;
    uint64_t digest;
    unsigned tries;

    put_rows("a", 1500, 100);
    put_rows("a", 1000, 100);
    digest = world_digest(&world);
    settings.max_segment_bytes = 65536;
    settings.interrupted = stop_after;
    settings.interrupted_context = &countdown;
    for (tries = 0; st != KV_OK; tries++) {
        countdown.left = tries;
        st = engine_try_merge(&world, &settings);
        ck_assert(st == KV_INTERRUPTED || (st == KV_OK && run_count() == 1));
        ck_assert_uint_eq(world_digest(&world), digest);
        world_check(&world);
        ck_assert_uint_eq(engine_of(&world)->merging.id, 0);
    }
    ck_assert_uint_gt(tries, 4);
    ck_assert_uint_eq(world_stats(&world).keys, 1500);
}
END_TEST

/* Another thread commits and seals in the middle of a merge: what it adds stays on top. */
static bool seal_once(void *context)
{
    bool *sealed = context;

    if (!*sealed) {
        *sealed = true;
        world_put(&world, "a00001", "newer");
        world_delete(&world, "a00002");
        engine_seal(&world);
        world_put(&world, "a00003", "newest");
    }
    return false;
}

START_TEST(test_compact_while_others_seal)
{
    bool sealed = false;

    put_rows("a", 1000, 100);
    put_rows("a", 1000, 50);
    settings.interrupted = seal_once;
    settings.interrupted_context = &sealed;
    ck_kv(engine_try_merge(&world, &settings));
    ck_assert(sealed);
    ck_assert_uint_eq(run_count(), 2);
    for (int i = 0; i < 2; i++) {
        world_expect(&world, "a00001", "newer");
        world_expect(&world, "a00002", NULL);
        world_expect(&world, "a00003", "newest");
        ck_assert_uint_eq(world_stats(&world).segments, 3);
        world_check(&world);
        world_reopen(&world);
    }
}
END_TEST

/* Goal: too little space is noticed before anything is written. */
START_TEST(test_compact_full_disk)
{
    uint64_t digest, used = 0;
    char *names, *rest, *name;

    fill();
    names = rest = world_names(&world);
    while ((name = strsep(&rest, "\n")) != NULL)
        used += *name ? kv_memfs_size(world.fs, world_path(name)) : 0;
    free(names);
    digest = world_files_digest(&world);
    kv_memfs_set_space(world.fs, used + 8192);
    ck_kv_is(engine_try_merge(&world, &settings), KV_FULL);
    ck_assert_ptr_nonnull(strstr(kv_message(), "free disk space"));
    ck_assert_uint_eq(world_files_digest(&world), digest);
    world_expect_all(&world, before_merge);
    kv_memfs_set_space(world.fs, UINT64_MAX);
    ck_kv(engine_try_merge(&world, &settings));
    ck_assert_uint_eq(run_count(), 1);
    world_expect_all(&world, before_merge);
}
END_TEST

/*
 * Goal: a merge that fails leaves runs and files as they were, unless a MANIFEST
 * of its may come back: then that is put right later.
 * Method: fail each call.
 */
START_TEST(test_compact_fails_at_every_call)
{
    enum kv_status fault = _i ? KV_FULL : KV_IOERR, st = fault;
    uint64_t nth;

    for (nth = 1; st != KV_OK; nth++) {
        uint64_t digest, injected;

        if (nth > 1) {
            world_end(&world);
            world_start(&world);
        }
        fill();
        digest = world_files_digest(&world);
        injected = kv_memfs_fault_count(world.fs);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, fault, KV_MEMFS_ONCE);
        st = engine_try_merge(&world, &settings);
        ck_assert(st == KV_OK || st == fault);
        if (st == KV_OK && kv_memfs_fault_count(world.fs) > injected)
            st = fault; /* it did without that call: it could not remove a file, say */
        else if (st != KV_OK && !atomic_load(&engine_of(&world)->page->refuse_writes))
            ck_assert_msg(world_files_digest(&world) == digest || run_count() == 1,
                          "call %d left something: %s", (int)nth, kv_message());
        kv_memfs_heal(world.fs);
        world_expect_all(&world, before_merge);
        world_put(&world, "e", "4");
        ck_kv(kv_compact(world.store, NULL, NULL));
        world_expect_all(&world, "a=2 b=1 d=3 e=4");
        world_reopen(&world);
        world_expect_all(&world, "a=2 b=1 d=3 e=4");
        world_check(&world);
    }
    ck_assert_uint_gt(nth, 20);
}
END_TEST

/* Goal (P7, P0): wherever the power goes in a merge, the content is the same. */
START_TEST(test_compact_crashes_at_every_call)
{
    enum kv_status st = KV_IOERR;
    uint64_t nth;

    for (nth = 1; st != KV_OK; nth++) {
        if (nth > 1) {
            world_end(&world);
            world_start(&world);
        }
        fill();
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
        st = engine_try_merge(&world, &settings);
        if (_i == 0)
            world_kill(&world);
        else
            world_crash(&world, _i == 1 ? KV_MEMFS_DROP : KV_MEMFS_RANDOM, nth + (uint64_t)_i);
        world_open(&world);
        world_expect_all(&world, before_merge);
        world_check(&world);
        ck_kv(kv_compact(world.store, NULL, NULL));
        world_expect_all(&world, before_merge);
    }
    ck_assert_uint_gt(nth, 20);
}
END_TEST

/* Goal: damaged input stops the merge, and nothing is unlinked. Method: each byte of each record. */
START_TEST(test_compact_of_damage)
{
    for (unsigned run = 0; run < 3; run++) { /* one transaction each: records, then its COMMIT */
        struct kv_txn *txn = world_begin(&world);

        txn_put(txn, "a", "1");
        txn_put(txn, "b", "a row that is a little longer");
        txn_delete(txn, run == 1 ? "c" : "d");
        ck_kv(kv_txn_commit(txn));
        engine_seal(&world);
    }
    for (size_t run = 0; run < 3; run++) {
        const struct kv_segment_info *info = &run_of(&world, run)->segments[0];

        for (uint64_t at = KV_HEADER_BYTES; at < info->end_bytes - KV_COMMIT_BYTES; at++) {
            uint64_t digest;

            kv_memfs_flip_bit(world.fs, segment_path(info->number), at, (unsigned)at % 8);
            digest = world_files_digest(&world);
            ck_kv_is(engine_try_merge(&world, &settings), KV_CORRUPT);
            ck_assert_ptr_nonnull(strstr(kv_message(), segment_path(info->number)));
            ck_assert_uint_eq(world_files_digest(&world), digest);
            ck_assert_uint_eq(run_count(), 3);
            kv_memfs_flip_bit(world.fs, segment_path(info->number), at, (unsigned)at % 8);
        }
    }
    ck_kv(engine_try_merge(&world, &settings));
    ck_assert_uint_eq(run_count(), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compact");
    TCase *keeping = tcase_create("keeping");
    TCase *sizes = tcase_create("sizes");
    TCase *ending = tcase_create("ending");

    tcase_add_checked_fixture(keeping, setup, teardown);
    tcase_set_timeout(keeping, 20);
    tcase_add_test(keeping, test_compact_every_range_of_every_combination);
    tcase_add_test(keeping, test_compact_pairs_in_every_order);
    tcase_add_test(keeping, test_compact_keeps_tombstones_over_a_damaged_filter);
    suite_add_tcase(suite, keeping);

    tcase_add_checked_fixture(sizes, setup, teardown);
    tcase_add_loop_test(sizes, test_compact_splits_outputs, 0, 4);
    tcase_add_test(sizes, test_compact_splits_outputs_with_distant_seqs);
    tcase_add_test(sizes, test_compact_rows_larger_than_a_segment);
    tcase_add_test(sizes, test_compact_inherits);
    tcase_add_test(sizes, test_compact_joins_without_rewriting);
    suite_add_tcase(suite, sizes);

    tcase_add_checked_fixture(ending, setup, teardown);
    tcase_set_timeout(ending, 20);
    tcase_add_test(ending, test_compact_interrupted);
    tcase_add_test(ending, test_compact_while_others_seal);
    tcase_add_test(ending, test_compact_full_disk);
    tcase_add_loop_test(ending, test_compact_fails_at_every_call, 0, 2);
    tcase_add_loop_test(ending, test_compact_crashes_at_every_call, 0, 4);
    tcase_add_test(ending, test_compact_of_damage);
    suite_add_tcase(suite, ending);
    return kv_run_suite(suite);
}
