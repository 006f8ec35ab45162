/*
 * Failover (P6): what is copied into the new log and what is kept of the old
 * one, after a crash and while the store is open.
 */
#include "failover.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine_world.h"
#include "names.h"
#include "record.h"
#include "runner.h"
#include "write_set.h"
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

/* ---- A history with transactions that can be told apart: number i puts key i, at time 1000 * i */

enum { SMALL = 20, LARGE = 300 * 1024 };

static void commit_number(unsigned i, size_t row_size, enum kv_synchronous synchronous)
{
    static uint8_t row[LARGE];
    struct kv_settings settings = world.options.settings;
    struct kv_txn *txn;
    char key[16];

    snprintf(key, sizeof(key), "k%03u", i);
    memset(row, (int)i, row_size);
    settings.segment_bytes = 64 << 20;
    settings.synchronous = synchronous;
    kv_memfs_set_clock(world.fs, 1000 * i);
    ck_kv(kv_txn_begin(world.store, &settings, &txn));
    ck_kv(kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, row_size)));
    ck_kv(kv_txn_delete(txn, kv_slice_text("never there")));
    ck_kv(kv_txn_commit(txn));
}

/* Keys 1 … count are there, with rows of this size. */
static void expect_numbers(unsigned count, size_t row_size)
{
    for (unsigned i = 1; i <= count + 1; i++) {
        char key[16];
        void *row;
        size_t size;
        enum kv_status st;

        snprintf(key, sizeof(key), "k%03u", i);
        st = kv_get(world.store, kv_slice_text(key), &row, &size);
        ck_assert_int_eq(st, i <= count ? KV_OK : KV_DONE);
        if (i <= count) {
            ck_assert_uint_eq(size, row_size);
            ck_assert_uint_eq(((uint8_t *)row)[size - 1], i);
        }
        free(row);
    }
    ck_assert_uint_eq(kv_store_seq(world.store), count);
}

/* The COMMITs of the active log, in order. */
static size_t read_commits(struct kv_commit *out, size_t capacity)
{
    const struct kv_log *log = active_log();
    struct kv_slice bytes = kv_slice_of(log->data, log->tail.end_bytes);
    size_t count = 0;

    for (size_t at = kv_commit_find(bytes, log->header.salt, KV_HEADER_BYTES); at != SIZE_MAX;
         at = kv_commit_find(bytes, log->header.salt, at + 1)) {
        ck_assert_uint_lt(count, capacity);
        ck_kv(kv_commit_decode(kv_slice_of(bytes.data + at, bytes.size - at), log->header.salt, at,
                               &out[count++]));
    }
    return count;
}

/* ---- What is copied */

START_TEST(test_failover_copies_all_of_a_small_log)
{
    struct kv_commit commits[32];
    uint64_t number = active_log()->header.number, base = active_log()->header.log.base_lsn;
    uint64_t nonce, digest, past;

    for (unsigned i = 1; i <= 10; i++)
        commit_number(i, SMALL, KV_SYNC_FULL);
    ck_assert_uint_eq(read_commits(commits, 32), 10);
    nonce = commits[9].nonce;
    digest = commits[9].digest;
    past = base + kv_memfs_size(world.fs, segment_path(number)) - KV_HEADER_BYTES;
    world_kill(&world);
    world_open(&world);

    ck_assert_uint_ne(active_log()->header.number, number);
    ck_assert_uint_eq(kv_memfs_size(world.fs, segment_path(number)), UINT64_MAX);
    ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 0);
    ck_assert_uint_eq(active_log()->header.base_seq, 0);
    ck_assert_uint_eq(active_log()->header.log.copied_seq, 10);
    ck_assert_uint_ge(active_log()->header.log.base_lsn, past); /* past every byte */
    ck_assert_uint_eq(active_log()->header.log.previous_end_lsn, base);
    ck_assert_uint_eq(engine_of(&world)->manifest.active.start_lsn,
                      kv_log_lsn(active_log(), active_log()->tail.end_bytes));
    ck_assert_uint_eq(read_commits(commits, 32), 10);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_uint_eq(commits[i].seq, i + 1);
        ck_assert_uint_eq(commits[i].time_ms, 1000 * (i + 1));
        ck_assert_uint_eq(commits[i].record_count, 2);
        ck_assert_uint_ne(commits[i].nonce, nonce);
        ck_assert_uint_le(commits[i].durable_lsn, commits[i].begin_lsn);
    }
    ck_assert_uint_ne(commits[9].digest, digest);
    expect_numbers(10, SMALL);
    commit_number(11, SMALL, KV_SYNC_FULL);
    world_reopen(&world);
    expect_numbers(11, SMALL);
    world_check(&world);
}
END_TEST

/* What was durable for sure, if it is a MiB or more, becomes a run; the rest is copied. */
START_TEST(test_failover_seals_a_large_durable_part)
{
    struct kv_commit commits[8];
    const struct kv_segment_info *info;
    struct kv_log_tail tails[8];
    struct kv_header old = active_log()->header;
    uint64_t size;

    for (unsigned i = 1; i <= 7;
         i++) { /* a COMMIT says that what came before a FULL one is durable */
        commit_number(i, LARGE, i <= 5 ? KV_SYNC_FULL : KV_SYNC_OFF);
        tails[i] = active_log()->tail;
    }
    size = kv_memfs_size(world.fs, segment_path(old.number));
    world_kill(&world);
    world_open(&world);

    ck_assert_uint_eq(engine_of(&world)->manifest.run_count, 1);
    info = &run_of(&world, 0)->segments[0];
    ck_assert_uint_eq(info->number, old.number);
    ck_assert_uint_eq(info->end_bytes, tails[5].end_bytes);
    ck_assert_uint_eq(info->digest, tails[5].digest);
    ck_assert_uint_eq(info->record_count, 10);
    ck_assert_uint_eq(info->min_seq, 1);
    ck_assert_uint_eq(info->max_seq, 5);
    ck_assert_uint_eq(info->min_time_ms, 1000);
    ck_assert_uint_eq(info->max_time_ms, 5000);
    ck_assert_uint_eq(kv_memfs_size(world.fs, segment_path(old.number)), size); /* never trimmed */
    ck_assert_uint_eq(active_log()->header.base_seq, 5);
    ck_assert_uint_eq(active_log()->header.log.copied_seq, 7);
    ck_assert_uint_eq(active_log()->header.log.previous_digest, tails[5].digest);
    ck_assert_uint_eq(active_log()->header.log.previous_end_lsn, info->last_lsn);
    ck_assert_uint_eq(read_commits(commits, 8), 2);
    ck_assert_uint_eq(commits[0].seq, 6);
    ck_assert_uint_eq(commits[1].time_ms, 7000);
    expect_numbers(7, LARGE);
    world_check(&world);
    world_reopen(&world);
    expect_numbers(7, LARGE);
}
END_TEST

/* Less than a MiB is not worth a segment, one transaction more is. */
START_TEST(test_failover_needs_a_mib_to_seal)
{
    static uint8_t row[KV_FAILOVER_SEAL_MIN_BYTES];
    size_t rest = KV_FAILOVER_SEAL_MIN_BYTES - KV_HEADER_BYTES - KV_COMMIT_BYTES;

    for (unsigned enough = 0; enough < 2; enough++) {
        struct kv_settings settings = world.options.settings;
        struct kv_txn *txn;
        struct kv_slice key = kv_slice_text("k");

        settings.segment_bytes = 64 << 20;
        ck_kv(kv_txn_begin(world.store, &settings, &txn));
        /* Checksum, kind, seq, key_size and three bytes of row_size stand before key and row. */
        ck_kv(kv_txn_put(txn, key, kv_slice_of(row, rest - 11 - !enough)));
        ck_kv(kv_txn_commit(txn));
        ck_assert_uint_eq(active_log()->tail.end_bytes, KV_FAILOVER_SEAL_MIN_BYTES - !enough);
        commit_number(2, SMALL, KV_SYNC_FULL); /* says that the other one is durable */
        world_kill(&world);
        world_open(&world);
        ck_assert_uint_eq(engine_of(&world)->manifest.run_count, enough);
        ck_assert_uint_eq(kv_store_seq(world.store), 2);
        world_end(&world);
        world_start(&world);
    }
}
END_TEST

/* Nothing at all to copy: the new log is empty, and starts where the old one cannot reach. */
START_TEST(test_failover_of_an_empty_log)
{
    uint64_t number = active_log()->header.number, base = active_log()->header.log.base_lsn;

    world_kill(&world);
    kv_memfs_truncate(world.fs, segment_path(number), KV_HEADER_BYTES); /* no END either */
    world_open(&world);
    ck_assert_uint_ne(active_log()->header.number, number);
    ck_assert_uint_eq(active_log()->header.log.copied_seq, 0);
    ck_assert_uint_ge(active_log()->header.log.base_lsn, base);
    expect_numbers(0, SMALL);
    commit_number(1, SMALL, KV_SYNC_FULL);
    world_kill(&world);
    world_open(&world);
    expect_numbers(1, SMALL);
}
END_TEST

/* LSNs and seqs go on through any number of failovers. */
START_TEST(test_failover_again_and_again)
{
    uint64_t last = 0;

    for (unsigned i = 1; i <= 12; i++) {
        uint64_t lsn;

        commit_number(i, i % 3 ? SMALL : LARGE, i % 2 ? KV_SYNC_FULL : KV_SYNC_OFF);
        lsn = kv_log_lsn(active_log(), active_log()->tail.end_bytes);
        ck_assert_uint_gt(lsn, last);
        last = lsn;
        ck_assert_uint_eq(kv_store_seq(world.store), i);
        if (i % 4)
            world_kill(&world);
        else
            world_close(&world);
        world_open(&world);
        ck_assert_uint_eq(kv_store_seq(world.store), i);
        world_check(&world);
    }
    for (unsigned i = 1; i <= 12; i++) {
        void *row;
        size_t size;
        char key[16];

        snprintf(key, sizeof(key), "k%03u", i);
        ck_kv(kv_get(world.store, kv_slice_text(key), &row, &size));
        ck_assert_uint_eq(size, i % 3 ? SMALL : LARGE);
        free(row);
    }
}
END_TEST

/* ---- Interrupted */

/*
 * Goal: a failover with a part to seal and a part to copy is as safe as a small one.
 * Method: freeze the world at each call, cut the power, recover.
 */
START_TEST(test_failover_crashes_at_every_call)
{
    enum kv_status st = KV_IOERR;
    uint64_t nth;

    for (nth = 1; st != KV_OK; nth++) {
        if (nth > 1) {
            world_end(&world);
            world_start(&world);
        }
        for (unsigned i = 1; i <= 5; i++)
            commit_number(i, LARGE, i <= 4 ? KV_SYNC_FULL : KV_SYNC_OFF);
        world_kill(&world);
        kv_memfs_settle(world.fs); /* the first crash is behind us: what is there is there */
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
        st = kv_store_open(WORLD_PATH, &world.options, &world.store);
        if (st == KV_OK)
            world_kill(&world);
        kv_memfs_crash(world.fs, nth % 2 ? KV_MEMFS_DROP : KV_MEMFS_RANDOM, nth);
        world_open(&world);
        expect_numbers(5, LARGE);
        world_check(&world);
    }
    ck_assert_uint_gt(nth, 30);
}
END_TEST

/*
 * Goal: copies that a crash leaves behind, of transactions that the power takes
 * from the old log, are leftovers: nobody was told that they were durable.
 * Method: kill without syncs, freeze the recovery at each call, drop what was not synced.
 */
START_TEST(test_failover_copies_may_outlive_the_originals)
{
    enum kv_status st = KV_IOERR;

    for (uint64_t nth = 1; st != KV_OK; nth += _i ? 3 : 1) {
        unsigned count;

        world_end(&world);
        world_start(&world);
        for (unsigned i = 1; i <= 6; i++)
            commit_number(i, _i ? LARGE : SMALL, i <= 4 ? KV_SYNC_FULL : KV_SYNC_OFF);
        world_kill(&world);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
        st = kv_store_open(WORLD_PATH, &world.options, &world.store);
        if (st == KV_OK)
            world_kill(&world);
        kv_memfs_crash(world.fs, KV_MEMFS_DROP, nth);
        world_open(&world);
        count = (unsigned)kv_store_seq(world.store);
        ck_assert(count >= 4 && count <= 6);
        ck_assert(st != KV_OK || count == 6);
        expect_numbers(count, _i ? LARGE : SMALL);
        world_check(&world);
    }
}
END_TEST

static enum kv_status expect_other(void *context, const struct kv_repair_step *step)
{
    const uint64_t *number = context;

    ck_assert_uint_ne(step->segment, *number);
    return KV_OK;
}

/*
 * Goal: a log that was replaced long ago, and which the power brought back torn, is nothing to a repair
 * without a manifest, though the log that replaced it is gone.
 * Method: fail over twice, put the first log's file back with a byte changed, take MANIFEST away.
 */
START_TEST(test_failover_leftovers_do_not_count_without_a_manifest)
{
    uint64_t number = active_log()->header.number, end_bytes;
    uint8_t *bytes;
    size_t size;

    for (unsigned i = 1; i <= 3; i++)
        commit_number(i, SMALL, KV_SYNC_FULL);
    end_bytes = active_log()->tail.end_bytes;
    world_kill(&world);
    bytes = kv_memfs_read_file(world.fs, segment_path(number), &size);
    for (unsigned i = 0; i < 2; i++) {
        world_open(&world);
        world_kill(&world);
    }
    ck_assert(kv_memfs_write_file(world.fs, segment_path(number), kv_slice_of(bytes, size)));
    free(bytes);
    ck_assert(kv_memfs_flip_bit(world.fs, segment_path(number), end_bytes - 1, 0));
    ck_assert(kv_memfs_delete(world.fs, world_path(KV_NAME_MANIFEST)));
    ck_kv(kv_repair(WORLD_PATH, world.io, NULL, expect_other, &number));
    world_open(&world);
    ck_assert_uint_eq(kv_store_seq(world.store), 3);
    expect_numbers(3, SMALL);
    world_check(&world);
}
END_TEST

/* ---- While the store is open */

/* A snapshot held goes on showing what it showed; the next one shows the same state. */
START_TEST(test_failover_under_readers)
{
    struct kv_snapshot *snapshot;
    uint64_t number, digest;

    for (unsigned i = 1; i <= 5; i++)
        commit_number(i, i % 2 ? SMALL : LARGE, KV_SYNC_FULL);
    number = active_log()->header.number;
    snapshot = world_snapshot(&world);
    digest = snapshot_digest(snapshot);
    ck_kv(kv_writer_take(engine_of(&world), 0));
    ck_kv(kv_writer_resolve(engine_of(&world), _i));
    kv_engine_drop_writer(engine_of(&world), false);
    ck_assert_uint_ne(active_log()->header.number, number);
    ck_assert_uint_eq(snapshot_digest(snapshot), digest);
    ck_assert_uint_eq(kv_snapshot_seq(snapshot), 5);
    ck_assert_uint_eq(world_digest(&world), digest);
    commit_number(6, SMALL, KV_SYNC_FULL);
    ck_assert_uint_eq(snapshot_digest(snapshot), digest);
    kv_snapshot_free(snapshot);
    ck_assert_uint_eq(kv_store_seq(world.store), 6);
    world_check(&world);
}
END_TEST

/* Leave a complete transaction behind the committed end, as a writer that dies before it publishes. */
static void prepare_and_die(void)
{
    struct kv_engine *engine = engine_of(&world);
    struct kv_write_set *set;
    struct kv_commit commit = {.time_ms = 99};

    ck_kv(kv_writer_take(engine, 0));
    ck_kv(kv_write_set_new(active_log(), active_log()->tail.seq + 1, &set));
    ck_kv(kv_write_set_add(set, KV_PUT, 1, kv_slice_text("k006"), kv_slice_text("dead man's row")));
    commit.durable_lsn = kv_log_lsn(active_log(), KV_HEADER_BYTES);
    ck_kv(kv_write_set_commit(set, &commit));
    kv_write_set_unref(set);
    kv_engine_drop_writer(engine, true);
}

/* A dead writer's complete transaction counts: somebody may have been told. */
START_TEST(test_failover_adopts_a_dead_writers_transaction)
{
    for (unsigned i = 1; i <= 5; i++)
        commit_number(i, SMALL, KV_SYNC_FULL);
    prepare_and_die();
    ck_kv(kv_writer_take(engine_of(&world), 0)); /* notices, and resolves it */
    kv_engine_drop_writer(engine_of(&world), false);
    ck_assert_uint_eq(kv_store_seq(world.store), 6);
    world_expect(&world, "k006", "dead man's row");
    world_crash(&world, KV_MEMFS_DROP, 1);
    world_open(&world);
    world_expect(&world, "k006", "dead man's row");
}
END_TEST

/* After a failed sync the committed end is the end: what stands behind was given up. */
START_TEST(test_failover_without_adopting)
{
    for (unsigned i = 1; i <= 5; i++)
        commit_number(i, SMALL, KV_SYNC_FULL);
    prepare_and_die();
    atomic_store(&engine_of(&world)->page->refuse_writes, 1);
    ck_kv(kv_writer_take(engine_of(&world), 0));
    kv_engine_drop_writer(engine_of(&world), false);
    ck_assert_uint_eq(atomic_load(&engine_of(&world)->page->refuse_writes), 0);
    expect_numbers(5, SMALL);
    world_crash(&world, KV_MEMFS_DROP, 1);
    world_open(&world);
    expect_numbers(5, SMALL);
}
END_TEST

/*
 * Goal: a failover that fails leaves the store refusing writes and reading on;
 * one that works later ends the doubt.
 * Method: fail each call of it, for good and once.
 */
START_TEST(test_failover_fails_at_every_call)
{
    enum kv_status st = KV_IOERR;
    uint64_t nth;

    for (nth = 1; st != KV_OK; nth++) {
        uint64_t injected;

        if (nth > 1) {
            world_end(&world);
            world_start(&world);
        }
        for (unsigned i = 1; i <= 5; i++)
            commit_number(i, SMALL, KV_SYNC_FULL);
        atomic_store(&engine_of(&world)->page->refuse_writes, 1);
        injected = kv_memfs_fault_count(world.fs);
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_FULL, _i ? KV_MEMFS_STICKY : KV_MEMFS_ONCE);
        st = kv_writer_take(engine_of(&world), 0);
        if (st == KV_OK)
            kv_engine_drop_writer(engine_of(&world), false);
        if (st == KV_OK && kv_memfs_fault_count(world.fs) > injected)
            st = KV_FULL; /* it did without that call */
        kv_memfs_heal(world.fs);
        expect_numbers(5, SMALL);
        commit_number(6, SMALL, KV_SYNC_FULL);
        expect_numbers(6, SMALL);
        world_crash(&world, KV_MEMFS_DROP, nth);
        world_open(&world);
        expect_numbers(6, SMALL);
        world_check(&world);
    }
    ck_assert_uint_gt(nth, 20);
}
END_TEST

/*
 * Goal: published transactions that can no longer be read are never cut off:
 * KV_CORRUPT, and nothing is written from then on.
 */
START_TEST(test_failover_misses_published_transactions)
{
    uint64_t at;

    for (unsigned i = 1; i <= 5; i++)
        commit_number(i, SMALL, KV_SYNC_OFF);
    at = active_log()->tail.end_bytes - KV_COMMIT_BYTES - 3;
    atomic_store(&engine_of(&world)->page->refuse_writes, 1);
    kv_memfs_flip_bit(world.fs, segment_path(active_log()->header.number), at, 0);
    for (int i = 0; i < 2; i++) {
        ck_kv_is(kv_put(world.store, kv_slice_text("x"), kv_slice_text("y")), KV_CORRUPT);
        ck_assert_uint_eq(atomic_load(&engine_of(&world)->page->refuse_writes), 1);
    }
    world_expect(&world, "x", NULL);
    kv_memfs_flip_bit(world.fs, segment_path(active_log()->header.number), at, 0);
    commit_number(6, SMALL, KV_SYNC_FULL);
    expect_numbers(6, SMALL);
}
END_TEST

/* ---- Doubt that others leave while a transaction is open */

/* The log's sync, and what is to happen behind it. */
struct behind_sync {
    bool synced, done;
};

/* After the next sync of a log the disk is full, once. */
static enum kv_status fill_disk(void *context, enum kv_memfs_call call, unsigned *flags)
{
    struct behind_sync *behind = context;
    bool full = behind->synced && !behind->done && call == KV_MEMFS_ALLOCATE;

    (void)flags;
    behind->synced |= call == KV_MEMFS_DATASYNC;
    behind->done |= full;
    return full ? kv_fail(KV_FULL, "injected") : KV_OK;
}

/*
 * Goal: a transaction goes on in the log that failover has made, also if the seal that it wanted
 * fails after that: what it commits would be lost in the old one.
 */
START_TEST(test_failover_under_a_transaction_whose_seal_fails)
{
    struct behind_sync behind = {0};
    uint64_t number = active_log()->header.number;
    struct kv_txn *txn;
    void *row = calloc(1, LARGE);

    world_put(&world, "a", "1");
    txn = world_begin(&world);
    txn_put(txn, "b", "2");
    kv_page_set(&engine_of(&world)->page->refuse_writes);
    kv_memfs_set_judge(world.fs, fill_disk, &behind);
    ck_kv_is(kv_txn_put(txn, kv_slice_text("c"), kv_slice_of(row, LARGE / 3)), KV_FULL);
    ck_assert(behind.done);
    ck_assert_uint_ne(active_log()->header.number, number);
    kv_memfs_heal(world.fs);
    txn_expect(txn, "b", "2");
    if (_i)
        ck_kv(kv_txn_put(txn, kv_slice_text("c"), kv_slice_of(row, LARGE / 3)));
    ck_kv(kv_txn_commit(txn));
    world_expect(&world, "b", "2");
    world_reopen(&world);
    ck_assert_uint_eq(kv_store_seq(world.store), 2);
    world_expect(&world, "a", "1");
    world_expect(&world, "b", "2");
    free(row);
}
END_TEST

/* With the next sync of the log: as if others' had failed right behind it. */
static enum kv_status fail_elsewhere(void *context, enum kv_memfs_call call, unsigned *flags)
{
    struct behind_sync *behind = context;

    (void)flags;
    if (call == KV_MEMFS_DATASYNC && !behind->synced)
        kv_page_set(&engine_of(&world)->page->refuse_writes);
    behind->synced |= call == KV_MEMFS_DATASYNC;
    return KV_OK;
}

/*
 * Goal: P4. A commit that was synced, but is written anew since another's sync has failed right behind
 * that, is not said to be durable for the first sync.
 */
START_TEST(test_failover_of_a_commit_that_was_synced)
{
    struct behind_sync behind = {0};
    uint64_t durable_seq;

    commit_number(1, SMALL, KV_SYNC_FULL);
    kv_memfs_advance(world.fs, 2000);
    kv_memfs_set_judge(world.fs, fail_elsewhere, &behind);
    commit_number(2, SMALL, KV_SYNC_NORMAL);
    ck_assert(behind.synced);
    kv_memfs_heal(world.fs);
    durable_seq = world_stats(&world).durable_seq;
    world_crash(&world, KV_MEMFS_DROP, 0);
    world_open(&world);
    ck_assert_uint_ge(kv_store_seq(world.store), durable_seq);
}
END_TEST

/*
 * Goal: what was durable is said to be, also after a failover that could not say that it was done.
 * Method: its manifest is in place when the sync of the directory fails; the next one to replace it announces it.
 */
START_TEST(test_failover_that_others_announce)
{
    struct kv_txn *txn;

    commit_number(1, SMALL, KV_SYNC_FULL);
    commit_number(2, SMALL, KV_SYNC_FULL);
    kv_page_set(&engine_of(&world)->page->refuse_writes);
    kv_memfs_fail(world.fs, KV_MEMFS_DIR_SYNC, 2, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_txn_begin(world.store, NULL, &txn), KV_IOERR);
    ck_assert_ptr_nonnull(strstr(kv_message(), "the new manifest is in place"));
    ck_kv(kv_engine_take_manifest(engine_of(&world)));
    kv_engine_drop_manifest(engine_of(&world));
    ck_assert_uint_eq(world_stats(&world).durable_seq, 2);
    commit_number(3, SMALL, KV_SYNC_FULL);
    ck_assert_uint_eq(world_stats(&world).durable_seq, 3);
    expect_numbers(3, SMALL);
}
END_TEST

/* Goal: P4. As above, but before that: who has opened it since says nothing that a crash may take back. */
START_TEST(test_failover_that_nobody_has_announced)
{
    struct world other;
    struct kv_txn *txn;
    uint64_t durable_seq;

    world_end(&world);
    world_init(&world);
    world_join(&other, &world);
    world_open(&world);
    commit_number(1, SMALL, KV_SYNC_FULL);
    commit_number(2, SMALL, KV_SYNC_OFF);
    kv_page_set(&engine_of(&world)->page->refuse_writes);
    kv_memfs_fail(world.fs, KV_MEMFS_DIR_SYNC, 2, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv_is(kv_txn_begin(world.store, NULL, &txn), KV_IOERR);
    world_open(&other);
    ck_assert_uint_eq(kv_store_seq(other.store), 2);
    durable_seq = world_stats(&other).durable_seq;
    world_crash(&other, KV_MEMFS_DROP, 0);
    (void)!kv_store_close(world.store);
    world.store = NULL;
    world_open(&world);
    ck_assert_uint_ge(kv_store_seq(world.store), durable_seq);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("failover");
    TCase *tests = tcase_create("failover");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 20);
    tcase_add_test(tests, test_failover_copies_all_of_a_small_log);
    tcase_add_test(tests, test_failover_seals_a_large_durable_part);
    tcase_add_test(tests, test_failover_needs_a_mib_to_seal);
    tcase_add_test(tests, test_failover_of_an_empty_log);
    tcase_add_test(tests, test_failover_again_and_again);
    tcase_add_test(tests, test_failover_crashes_at_every_call);
    tcase_add_loop_test(tests, test_failover_copies_may_outlive_the_originals, 0, 2);
    tcase_add_test(tests, test_failover_leftovers_do_not_count_without_a_manifest);
    tcase_add_loop_test(tests, test_failover_under_readers, 0, 2);
    tcase_add_test(tests, test_failover_adopts_a_dead_writers_transaction);
    tcase_add_test(tests, test_failover_without_adopting);
    tcase_add_loop_test(tests, test_failover_fails_at_every_call, 0, 2);
    tcase_add_test(tests, test_failover_misses_published_transactions);
    tcase_add_loop_test(tests, test_failover_under_a_transaction_whose_seal_fails, 0, 2);
    tcase_add_test(tests, test_failover_of_a_commit_that_was_synced);
    tcase_add_test(tests, test_failover_that_others_announce);
    tcase_add_test(tests, test_failover_that_nobody_has_announced);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
