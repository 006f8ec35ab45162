/*
 * Sealing: what the manifest learns of the sealed log, how the new log follows
 * it, and what is left when it fails, or the power does, half-way.
 */
#include "seal.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine_world.h"
#include "log_index.h"
#include "names.h"
#include "numbered.h"
#include "runner.h"
#include "writer.h"

static struct world world;

static void setup(void)
{
    world_start(&world);
}

static void teardown(void)
{
    world_end(&world);
}

static struct kv_log *active_log(void)
{
    return engine_of(&world)->version->log;
}

/* ---- What a seal makes */

START_TEST(test_seal_of_an_empty_log_does_nothing)
{
    uint64_t generation = engine_of(&world)->manifest.generation;
    uint64_t digest = world_files_digest(&world);

    engine_seal(&world);
    ck_assert_uint_eq(engine_of(&world)->manifest.generation, generation);
    ck_assert_uint_eq(world_files_digest(&world), digest);
}
END_TEST

START_TEST(test_seal_makes_a_run_and_a_new_log)
{
    struct kv_engine *engine = engine_of(&world);
    const struct kv_segment_info *info;
    struct kv_log_tail tail;
    struct kv_header old;
    const struct kv_header *new;
    uint64_t generation = engine->manifest.generation, end_lsn;

    kv_memfs_set_clock(world.fs, 5000);
    world_put(&world, "b", "1");
    world_put(&world, "a", "1");
    kv_memfs_set_clock(world.fs, 7000);
    world_put(&world, "b", "2");
    world_delete(&world, "c");
    tail = active_log()->tail;
    old = active_log()->header;
    end_lsn = kv_log_lsn(active_log(), tail.end_bytes);
    engine_seal(&world);

    ck_assert_uint_eq(engine->manifest.generation, generation + 2); /* sealed, indexed */
    ck_assert_uint_eq(engine->manifest.run_count, 1);
    ck_assert_uint_eq(run_of(&world, 0)->tier, 0);
    ck_assert_uint_eq(run_of(&world, 0)->segment_count, 1);
    info = &run_of(&world, 0)->segments[0];
    ck_assert_uint_eq(info->number, old.number);
    ck_assert_uint_eq(info->salt, old.salt);
    ck_assert_uint_eq(info->end_bytes, tail.end_bytes);
    ck_assert_uint_eq(info->digest, tail.digest);
    ck_assert_uint_eq(info->record_count, 4);
    ck_assert_uint_eq(info->entry_count, 3);
    ck_assert_uint_eq(info->tombstone_count, 1);
    ck_assert_uint_eq(info->min_seq, 1);
    ck_assert_uint_eq(info->max_seq, 4);
    ck_assert_uint_eq(info->min_time_ms, 5000);
    ck_assert_uint_eq(info->max_time_ms, 7000);
    ck_assert_uint_eq(info->first_lsn, old.log.base_lsn);
    ck_assert_uint_eq(info->last_lsn, end_lsn);
    ck_assert(kv_slice_equal(kv_buffer_slice(&info->min_key), kv_slice_text("a")));
    ck_assert(kv_slice_equal(kv_buffer_slice(&info->max_key), kv_slice_text("c")));

    new = &active_log()->header;
    ck_assert_uint_gt(new->number, old.number);
    ck_assert_uint_ne(new->salt, old.salt);
    ck_assert_uint_eq(new->base_seq, 4);
    ck_assert_uint_eq(new->log.base_lsn, end_lsn); /* a seal leaves no gap */
    ck_assert_uint_eq(new->log.previous_digest, tail.digest);
    ck_assert_uint_eq(new->log.previous_end_lsn, end_lsn);
    ck_assert_uint_eq(new->log.copied_seq, 0);
    ck_assert_uint_eq(engine->manifest.active.number, new->number);
    ck_assert_uint_eq(engine->manifest.active.start_lsn, end_lsn);
    ck_assert_uint_eq(engine->manifest.last_seq, 4);
    ck_assert_uint_gt(engine->manifest.next_number, new->number);
    ck_assert_uint_eq(kv_memfs_size(world.fs, segment_path(old.number)), tail.end_bytes);

    world_expect_all(&world, "a=1 b=2");
    world_check(&world);
    world_put(&world, "d", "3");
    ck_assert_uint_eq(kv_store_seq(world.store), 5);
    world_reopen(&world);
    world_expect_all(&world, "a=1 b=2 d=3");
    world_check(&world);
}
END_TEST

/* Every figure of the info, against the writes themselves. */
START_TEST(test_seal_describes_random_logs)
{
    struct kv_engine *engine = engine_of(&world);

    for (uint64_t count = 1; count <= 60; count += 1 + count / 3) {
        struct kv_write_set *set;
        struct kv_commit commit = {.time_ms = count};
        struct kv_segment_info info;
        uint64_t entries = 0, tombstones = 0, bytes = 0;
        uint32_t sizes[64];

        ck_kv(kv_writer_take(engine, 0));
        ck_kv(kv_write_set_new(active_log(), active_log()->tail.seq + 1, &set));
        for (uint64_t i = 0; i < count; i++) {
            uint32_t before = set->end_bytes;

            numbered_add(set, i, i + 1, i * 7);
            sizes[i] = set->end_bytes - before;
        }
        ck_kv(kv_write_set_commit(set, &commit));
        kv_write_set_publish(set, &commit);
        kv_write_set_unref(set);
        kv_log_describe(active_log(), &active_log()->tail, &info);
        ck_assert_uint_eq(info.entry_count, 0);
        ck_kv(kv_log_build_index(&engine->place, active_log(), active_log()->memtable.items, &info,
                                 NULL));
        for (uint64_t k = 0; k < NUMBERED_KEYS; k++) {
            int64_t last = numbered_last(k, count);

            entries += last >= 0;
            tombstones += last >= 0 && numbered_row((uint64_t)last, 1).size == 0;
            bytes += last >= 0 ? sizes[last] : 0;
        }
        ck_assert_uint_eq(info.record_count, count);
        ck_assert_uint_eq(info.entry_count, entries);
        ck_assert_uint_eq(info.tombstone_count, tombstones);
        ck_assert_uint_eq(info.entry_bytes, bytes);
        ck_assert_uint_eq(info.dead_bytes, info.end_bytes - KV_HEADER_BYTES - bytes);
        kv_segment_info_release(&info);
        ck_kv(kv_seal(engine, false, NULL));
        kv_engine_drop_writer(engine, false);
    }
}
END_TEST

/* `count` rows of `row_bytes` in the active log, which is sealed; the record limit of the next. */
static uint32_t limit_behind(uint32_t count, size_t row_bytes, bool keep_tail)
{
    struct kv_engine *engine = engine_of(&world);
    uint8_t *row = calloc(1, row_bytes);
    struct kv_write_set *set;
    struct kv_commit commit = {.time_ms = 1};
    uint32_t limit;

    ck_kv(kv_writer_take(engine, 0));
    ck_kv(kv_write_set_new(active_log(), active_log()->tail.seq + 1, &set));
    for (uint32_t i = 0; i < count; i++)
        ck_kv_fast(kv_write_set_add(set, KV_PUT, i, kv_slice_of(&i, sizeof(i)),
                                    kv_slice_of(row, row_bytes)));
    ck_kv(kv_write_set_commit(set, &commit));
    kv_write_set_publish(set, &commit);
    kv_write_set_unref(set);
    ck_kv(kv_seal(engine, keep_tail, NULL));
    kv_engine_drop_writer(engine, false);
    limit = active_log()->header.log.record_limit;
    ck_assert_uint_eq(active_log()->memtable.capacity, limit);
    free(row);
    return limit;
}

/*
 * Goal: behind a log of large records the next has room for about as many, of small ones for
 * all; and for all, too, if a transaction is to be moved there.
 */
START_TEST(test_seal_makes_room_for_as_many_records)
{
    enum { ALL = KV_LOG_RECORD_LIMIT, FEW = 1 << 16, LARGE = 1100 };

    ck_assert_uint_eq(active_log()->header.log.record_limit, ALL);
    ck_assert_uint_eq(limit_behind(3, 1, false), ALL);
    ck_assert_uint_eq(limit_behind(20, LARGE, false), FEW);
    world_reopen(&world);
    ck_assert_uint_eq(active_log()->header.log.record_limit, FEW);
    ck_assert_uint_eq(active_log()->memtable.capacity, FEW);
    ck_assert_uint_eq(limit_behind(20, LARGE, true), ALL);
    ck_assert_uint_eq(limit_behind(FEW / 2, LARGE, false), FEW);
    ck_assert_uint_eq(limit_behind(FEW / 2 + 1, LARGE, false), 2 * FEW);
    ck_assert_uint_eq(limit_behind(3, 1, false), ALL);
}
END_TEST

/* Whatever `synchronous` says, what is sealed is on disk. */
START_TEST(test_seal_makes_durable)
{
    struct kv_settings settings = world.options.settings;
    struct kv_txn *txn;

    settings.synchronous = KV_SYNC_OFF;
    for (int i = 0; i < 3; i++) {
        char key[] = {(char)('a' + i), '\0'};

        ck_kv(kv_txn_begin(world.store, &settings, &txn));
        txn_put(txn, key, "1");
        ck_kv(kv_txn_commit(txn));
    }
    engine_seal(&world);
    world_crash(&world, KV_MEMFS_DROP, 1);
    world_open(&world);
    world_expect_all(&world, "a=1 b=1 c=1");
    world_check(&world);
}
END_TEST

/* A log and whether nothing but a test holds it, as far as was seen while another was indexed. */
struct sighting {
    struct kv_log *log;
    bool seen, is_free;
};

static bool look_at_log(void *context)
{
    struct sighting *sighting = context;

    sighting->seen = true;
    sighting->is_free = atomic_load(&sighting->log->references) == 1;
    return false;
}

/*
 * Goal: when a log is indexed, the memtable of the one indexed before is gone, though nobody has
 * come by to free what is retired: there are never three beside what sorting takes.
 */
START_TEST(test_seal_frees_a_memtable_before_it_indexes)
{
    struct kv_engine *engine = engine_of(&world);
    struct sighting sighting = {0};
    struct kv_interrupt interrupt = {look_at_log, &sighting};

    kv_engine_retire(engine, true);
    sighting.log = kv_log_ref(active_log());
    limit_behind(1, 1, false);
    ck_kv(kv_seal_finish(engine, NULL));
    ck_assert_uint_gt(atomic_load(&sighting.log->references), 1);
    limit_behind(2 * KV_INTERRUPT_EVERY_COUNT, 1, false);
    ck_kv(kv_seal_finish(engine, &interrupt));
    ck_assert(sighting.seen);
    ck_assert(sighting.is_free);
    kv_log_unref(sighting.log);
    kv_engine_retire(engine, false);
}
END_TEST

/* What a transaction has spilled behind the committed end stays readable if it is to be moved. */
START_TEST(test_seal_keeps_the_tail)
{
    struct kv_engine *engine = engine_of(&world);
    struct kv_write_set *set;
    struct kv_entry entry;
    struct kv_log *old, *log;

    world_put(&world, "before", "1");
    ck_kv(kv_writer_take(engine, 0));
    old = kv_log_ref(active_log());
    ck_kv(kv_write_set_new(old, 2, &set));
    numbered_add(set, 0, 20, NUMBERED_LARGE_ROW);
    ck_assert_uint_gt(set->flushed_bytes, set->begin_bytes);
    ck_kv(kv_seal(engine, true, NULL));
    log = active_log();
    ck_assert_ptr_ne(log, old);
    ck_assert_uint_ge(kv_memfs_size(world.fs, segment_path(old->header.number)),
                      set->flushed_bytes);
    ck_kv(kv_write_set_move(set, log));
    ck_kv(kv_write_set_get(set, set->memtable.items[18].hash, numbered_key(18), &entry));
    numbered_check(&entry, 18, NUMBERED_LARGE_ROW);
    kv_log_trim(old);
    ck_assert_uint_eq(kv_memfs_size(world.fs, segment_path(old->header.number)),
                      old->tail.end_bytes);
    kv_write_set_unref(set);
    kv_log_unref(old);
    kv_engine_drop_writer(engine, false);
}
END_TEST

/* A record that is damaged by now is never indexed: KV_CORRUPT, and what can be read still can. */
START_TEST(test_seal_refuses_damage)
{
    uint64_t number;

    world_put(&world, "a", "1");
    world_put(&world, "b", "2");
    number = active_log()->header.number;
    kv_memfs_flip_bit(world.fs, segment_path(number), KV_HEADER_BYTES + 9, 1);
    for (int i = 0; i < 2; i++) {
        ck_kv_is(engine_try_seal(&world), KV_CORRUPT);
        ck_assert_ptr_nonnull(strstr(kv_message(), segment_path(number)));
        ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 0);
        ck_assert_uint_eq(engine_of(&world)->manifest.unindexed.number, number);
        world_expect(&world, "b", "2");
        world_put(&world, "c", "3"); /* the next seal waits in vain for this one */
    }
    kv_memfs_flip_bit(world.fs, segment_path(number), KV_HEADER_BYTES + 9, 1);
    engine_seal(&world);
    world_expect_all(&world, "a=1 b=2 c=3");
}
END_TEST

/* ---- Failures half-way */

/* Two runs' worth of content, the second still in the log. */
static void fill(void)
{
    world_put(&world, "a", "1");
    world_put(&world, "b", "1");
    engine_seal(&world);
    world_put(&world, "b", "2");
    world_put(&world, "c", "2");
    world_delete(&world, "a");
}

static const char *const filled = "b=2 c=2";

/*
 * Goal: a seal that fails changes nothing, or leaves doubt that the next writer
 * resolves; nothing is lost, and nothing lies about.
 * Method: fail each call of a seal, with each status.
 */
START_TEST(test_seal_fails_at_every_call)
{
    enum kv_status fault = _i ? KV_FULL : KV_IOERR, st;
    bool met = true;
    uint64_t nth;

    for (nth = 1; met; nth++) {
        if (nth > 1) {
            world_end(&world);
            world_start(&world);
        }
        fill();
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, fault, KV_MEMFS_ONCE);
        st = engine_try_seal(&world);
        met = kv_memfs_fault_count(world.fs) > 0;
        kv_memfs_heal(world.fs);
        ck_assert(st == KV_OK || st == fault);
        ck_assert(met || st == KV_OK);
        world_expect_all(&world, filled);
        world_put(&world, "d", "3");
        engine_seal(&world);
        world_expect_all(&world, "b=2 c=2 d=3");
        world_reopen(&world);
        world_expect_all(&world, "b=2 c=2 d=3");
        world_check(&world);
    }
    ck_assert_uint_gt(nth, 30);
}
END_TEST

/* The same step failing again and again, on a full disk, leaves no heap of files. */
START_TEST(test_seal_failing_again_leaves_no_files)
{
    char *before, *after;

    fill();
    before = world_names(&world);
    for (int i = 0; i < 20; i++) {
        kv_memfs_fail(world.fs, KV_MEMFS_RENAME, 1, KV_FULL, KV_MEMFS_ONCE); /* MANIFEST */
        ck_kv_is(engine_try_seal(&world), KV_FULL);
        kv_memfs_heal(world.fs);
    }
    after = world_names(&world);
    ck_assert_str_eq(after, before);
    free(before);
    free(after);
    engine_only_seal(&world);
    before = world_names(&world);
    for (int i = 0; i < 20; i++) {
        kv_memfs_fail(world.fs, KV_MEMFS_RENAME, 1, KV_FULL, KV_MEMFS_ONCE); /* the index */
        ck_kv_is(kv_seal_finish(engine_of(&world), NULL), KV_FULL);
        kv_memfs_heal(world.fs);
    }
    after = world_names(&world);
    ck_assert_str_eq(after, before);
    free(before);
    free(after);
    ck_kv(kv_seal_finish(engine_of(&world), NULL));
    world_expect_all(&world, filled);
    world_check(&world);
}
END_TEST

/*
 * Goal: wherever the power goes during a seal, everything committed is there.
 * Method: freeze the world at each call; then drop what was not synced, or some of it.
 */
START_TEST(test_seal_crashes_at_every_call)
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
        st = engine_try_seal(&world);
        if (_i == 0)
            world_kill(&world);
        else
            world_crash(&world, _i == 1 ? KV_MEMFS_DROP : KV_MEMFS_RANDOM, nth * 31 + (uint64_t)_i);
        world_open(&world);
        world_expect_all(&world, filled);
        world_check(&world);
        world_put(&world, "d", "3");
        world_reopen(&world);
        world_expect_all(&world, "b=2 c=2 d=3");
    }
    ck_assert_uint_gt(nth, 12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("seal");
    TCase *tests = tcase_create("seal");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 20);
    tcase_add_test(tests, test_seal_of_an_empty_log_does_nothing);
    tcase_add_test(tests, test_seal_makes_a_run_and_a_new_log);
    tcase_add_test(tests, test_seal_describes_random_logs);
    tcase_add_test(tests, test_seal_makes_room_for_as_many_records);
    tcase_add_test(tests, test_seal_makes_durable);
    tcase_add_test(tests, test_seal_frees_a_memtable_before_it_indexes);
    tcase_add_test(tests, test_seal_keeps_the_tail);
    tcase_add_test(tests, test_seal_refuses_damage);
    tcase_add_loop_test(tests, test_seal_fails_at_every_call, 0, 2);
    tcase_add_test(tests, test_seal_failing_again_leaves_no_files);
    tcase_add_loop_test(tests, test_seal_crashes_at_every_call, 0, 4);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
