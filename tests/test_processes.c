/*
 * Several processes on one store, step by step: worlds that share their files
 * (world_join), so that each step happens when the test says.
 *
 * Here a killed process stays as it was: it is given back after everybody else.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine_world.h"
#include "failover.h"
#include "names.h"
#include "runner.h"

enum { PROCESSES = 3, LARGE = 400 * 1024 };

static struct world worlds[PROCESSES];
static struct world *const a = &worlds[0], *const b = &worlds[1], *const c = &worlds[2];

static void setup(void)
{
    world_init(a);
    world_join(b, a);
    world_join(c, a);
}

static void teardown(void)
{
    for (unsigned i = PROCESSES; i-- > 0;)
        world_end(&worlds[i]);
}

static void open_all(void)
{
    for (unsigned i = 0; i < PROCESSES; i++)
        world_open(&worlds[i]);
}

static void expect_everywhere(const char *expected)
{
    for (unsigned i = 0; i < PROCESSES; i++)
        if (worlds[i].store)
            world_expect_all(&worlds[i], expected);
}

static void open_readonly(struct world *world)
{
    world->options.readonly = true;
    world_open(world);
}

/* kill -9: what it holds is freed; its memory is kept, to be given back by bury(). */
struct corpse {
    struct kv_store *store;
    struct kv_txn *txn;
    struct kv_snapshot *snapshot;
};

static struct corpse kill_process(struct world *world, struct kv_txn *txn)
{
    struct corpse corpse = {.store = world->store, .txn = txn};

    kv_memfs_kill_process(world->fs, world->io);
    world->io = world->options.io = kv_memfs_process(world->fs);
    world->store = NULL;
    return corpse;
}

/* Everybody else has closed. The dead reach nobody from here on. */
static void bury(struct corpse corpse)
{
    enum kv_status st;

    for (unsigned i = 0; i < PROCESSES; i++)
        ck_assert_ptr_null(worlds[i].store);
    kv_memfs_kill(a->fs);
    kv_txn_abort(corpse.txn);
    st = kv_store_close(corpse.store);
    (void)st;
}

static uint64_t log_number(struct world *world)
{
    return engine_of(world)->version->log->header.number;
}

/* Put a row that does not fit the buffer, so that part of it is in the log before the commit. */
static void put_large(struct kv_txn *txn, const char *key)
{
    void *row = calloc(1, LARGE);

    ck_kv(kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, LARGE)));
    free(row);
}

/* ---- Seeing each other */

START_TEST(test_processes_see_commits)
{
    char *expected = strdup("");

    open_all();
    for (unsigned i = 0; i < 30; i++) {
        char key[8], row[8], *longer = NULL;
        size_t size;
        FILE *out = open_memstream(&longer, &size);

        snprintf(key, sizeof(key), "k%02u", i);
        snprintf(row, sizeof(row), "%u", i);
        world_put(&worlds[i % PROCESSES], key, row);
        fprintf(out, "%s%s%s=%s", expected, *expected ? " " : "", key, row);
        fclose(out);
        free(expected);
        expected = longer;
        expect_everywhere(expected);
        if (i % 4 == 3)
            engine_seal(&worlds[i / 4 % PROCESSES]);
        if (i % 7 == 6)
            ck_kv(kv_compact(worlds[i / 7 % PROCESSES].store, NULL, NULL));
        expect_everywhere(expected);
        for (unsigned w = 0; w < PROCESSES; w++)
            ck_assert_uint_eq(kv_store_seq(worlds[w].store), i + 1);
    }
    free(expected);
    for (unsigned w = 0; w < PROCESSES; w++)
        world_check(&worlds[w]);
}
END_TEST

START_TEST(test_processes_see_nothing_uncommitted)
{
    struct kv_txn *txn;

    world_open(a);
    world_open(b);
    world_put(a, "k", "1");
    txn = world_begin(a);
    txn_put(txn, "k", "2");
    put_large(txn, "large");
    txn_delete(txn, "k");
    world_expect_all(b, "k=1");
    world_open(c); /* attaching meanwhile makes no difference */
    world_expect_all(c, "k=1");
    ck_kv(kv_txn_prepare(txn));
    expect_everywhere("k=1");
    kv_txn_abort(txn);
    expect_everywhere("k=1");
    txn = world_begin(b);
    txn_put(txn, "k", "3");
    ck_kv(kv_txn_commit(txn));
    expect_everywhere("k=3");
}
END_TEST

/*
 * Goal: P5. A held snapshot and a scan in the middle of its rows stay as they
 * are while another process overwrites, seals, merges and unlinks all of it.
 */
START_TEST(test_processes_snapshots_stay)
{
    struct kv_range everything = {0};
    struct kv_snapshot *snapshot;
    struct kv_scan *scan;
    struct kv_entry entry;
    uint64_t digest, numbers[2];
    char *rest;

    open_all();
    world_fill(a, "k", 0, 100);
    world_put(a, "z", "last");
    numbers[0] = run_of(a, 0)->segments[0].number;
    numbers[1] = log_number(a);
    snapshot = world_snapshot(b);
    digest = snapshot_digest(snapshot);
    ck_kv(kv_scan_open(snapshot, NULL, &everything, &scan));
    ck_kv(kv_scan_next(scan, &entry));
    for (unsigned round = 0; round < 3; round++) {
        world_fill(a, "k", 0, 100);
        world_put(a, "k0001", "new");
        world_put(c, "z", "newer");
        world_delete(c, "k0050");
        ck_kv(kv_compact(worlds[round].store, NULL, NULL));
        ck_assert_uint_eq(snapshot_digest(snapshot), digest);
    }
    for (unsigned i = 0; i < 2; i++)
        ck_assert_uint_eq(kv_memfs_size(a->fs, segment_path(numbers[i])), UINT64_MAX);
    rest = scan_text(scan);
    ck_assert_ptr_nonnull(strstr(rest, " k0050=50 of k"));
    ck_assert_ptr_nonnull(strstr(rest, " z=last"));
    free(rest);
    kv_scan_close(scan);
    kv_snapshot_release(snapshot);
    ck_kv(kv_snapshot_acquire(snapshot));
    ck_assert_uint_ne(snapshot_digest(snapshot), digest);
    kv_snapshot_free(snapshot);
    world_expect(b, "z", "newer");
    world_expect(b, "k0050", NULL);
}
END_TEST

/* Goal: a process that has not looked for long installs what is there now, and nothing between. */
START_TEST(test_processes_catch_up_after_many_merges)
{
    uint64_t generation;

    open_all();
    world_put(a, "first", "1");
    world_expect(b, "first", "1");
    generation = engine_of(b)->version->generation;
    for (unsigned round = 0; round < 20; round++) {
        world_fill(a, "k", 0, 70);
        ck_kv(kv_compact(a->store, NULL, NULL));
    }
    world_delete(a, "first");
    world_put(a, "last", "2");
    ck_assert_uint_eq(engine_of(b)->version->generation, generation);
    world_expect(b, "first", NULL);
    world_expect(b, "last", "2");
    ck_assert_uint_eq(world_digest(b), world_digest(a));
}
END_TEST

/* ---- Excluding each other */

START_TEST(test_processes_wait_for_the_writer)
{
    struct kv_txn *txn, *other;
    uint64_t start_ms;

    world_open(a);
    b->options.settings.busy_timeout_ms = 500;
    world_open(b);
    world_put(b, "k", "1");
    txn = world_begin(a);
    start_ms = kv_io_monotonic_ms(b->io);
    ck_kv_is(kv_txn_begin(b->store, NULL, &other), KV_BUSY);
    ck_assert_ptr_null(other);
    ck_assert_uint_ge(kv_io_monotonic_ms(b->io) - start_ms, 500);
    ck_assert_uint_lt(kv_io_monotonic_ms(b->io) - start_ms, 600);
    ck_assert_ptr_nonnull(strstr(kv_message(), "another process is writing"));
    world_expect(b, "k", "1"); /* readers do not wait */
    txn_put(txn, "k", "2");
    ck_kv(kv_txn_commit(txn));
    world_put(b, "k", "3");
    expect_everywhere("k=3");
    txn = world_begin(b);
    start_ms = kv_io_monotonic_ms(a->io);
    ck_kv_is(kv_txn_begin(a->store, NULL, &other), KV_BUSY); /* its settings say not to wait */
    ck_assert_uint_eq(kv_io_monotonic_ms(a->io), start_ms);
    kv_txn_abort(txn);
    world_put(a, "k", "4");
}
END_TEST

/* What happens in the middle of a merge by process a: settings->interrupted is asked now and then. */
struct during {
    void (*what)(void);
    unsigned count;
};

static bool do_once(void *context)
{
    struct during *during = context;

    if (during->count++ == 0)
        during->what();
    return false;
}

/* Compact in process a; `what` happens meanwhile, in others. */
static void compact_and(void (*what)(void))
{
    struct during during = {.what = what};
    struct kv_settings settings = a->options.settings;

    settings.interrupted = do_once;
    settings.interrupted_context = &during;
    ck_kv(kv_compact(a->store, &settings, NULL));
    ck_assert_uint_gt(during.count, 0);
}

static void write_seal_and_fail_to_merge(void)
{
    world_fill(b, "k", 200, 300);
    world_put(b, "k0000", "new");
    world_delete(b, "k0001");
    engine_seal(b);
    engine_seal(c);
    ck_kv_is(kv_compact(c->store, NULL, NULL), KV_BUSY);
    world_put(c, "k0002", "newer");
}

/*
 * Goal: one process merges while others write and seal; what they wrote stays
 * newer than what comes out of the merge. Only one merges at a time.
 */
START_TEST(test_processes_merge_while_others_write)
{
    open_all();
    world_fill(a, "k", 0, 400);
    compact_and(write_seal_and_fail_to_merge);
    for (unsigned i = 0; i < PROCESSES; i++) {
        world_expect(&worlds[i], "k0000", "new");
        world_expect(&worlds[i], "k0001", NULL);
        world_expect(&worlds[i], "k0002", "newer");
        ck_assert_uint_eq(world_digest(&worlds[i]), world_digest(a));
        world_check(&worlds[i]);
    }
    ck_kv(kv_compact(c->store, NULL, NULL));
    world_expect(b, "k0001", NULL);
}
END_TEST

START_TEST(test_processes_refuse_to_destroy_or_replace_what_others_use)
{
    struct kv_store *store;

    world_open(a);
    ck_kv_is(kv_destroy(WORLD_PATH, b->io), KV_BUSY);
    ck_kv_is(kv_check(WORLD_PATH, b->io, NULL, NULL, NULL), KV_BUSY);
    b->options.mode = KV_OPEN_NEW;
    ck_kv_is(kv_store_open(WORLD_PATH, &b->options, &store), KV_EXISTS);
    /* Those who only read have it open, too. */
    open_readonly(c);
    world_close(a);
    ck_kv_is(kv_store_open(WORLD_PATH, &b->options, &store), KV_EXISTS);
    world_open(a);
    world_put(a, "k", "1");
    world_close(a);
    ck_kv_is(kv_destroy(WORLD_PATH, b->io), KV_BUSY);
    world_expect(c, "k", "1");
    world_close(c);
    ck_kv(kv_destroy(WORLD_PATH, b->io));
}
END_TEST

/* ---- Coming and going */

/* Goal: whoever closes last leaves a clean end, in whatever order they go. */
START_TEST(test_processes_close_in_any_order)
{
    static const unsigned orders[6][PROCESSES] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                                  {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    const unsigned *order = orders[_i];
    uint64_t number, generation, files;
    char expected[32];

    open_all();
    world_put(a, "a", "1");
    world_put(b, "b", "1");
    world_put(c, "c", "1");
    for (unsigned i = 0; i < PROCESSES; i++) {
        struct world *last = &worlds[order[i]];

        world_put(last, "k", i == 2 ? "2" : "1");
        number = log_number(last);
        generation = world_stats(last).generation;
        world_close(last);
        expect_everywhere("a=1 b=1 c=1 k=1");
    }
    files = world_files_digest(a);
    snprintf(expected, sizeof(expected), "a=1 b=1 c=1 k=2");
    world_open(&worlds[order[0]]);
    ck_assert_uint_eq(log_number(&worlds[order[0]]), number);
    ck_assert_uint_eq(world_stats(&worlds[order[0]]).generation, generation + 1); /* as published */
    world_expect_all(&worlds[order[0]], expected);
    world_close(&worlds[order[0]]);
    ck_assert_uint_eq(world_files_digest(a), files);
}
END_TEST

/* Goal: no END, so failover at the next opening, if the last one to close is not the last one there. */
START_TEST(test_processes_the_last_one_killed_leaves_no_end)
{
    struct corpse corpse;
    uint64_t number;

    world_open(a);
    world_open(b);
    world_put(a, "k", "1");
    world_close(a);
    number = log_number(b);
    corpse = kill_process(b, NULL);
    world_open(c);
    ck_assert_uint_ne(log_number(c), number);
    world_expect_all(c, "k=1");
    world_close(c);
    bury(corpse);
}
END_TEST

/* ---- Deaths */

enum stage { IDLE, BEGUN, WRITTEN, SPILLED, PREPARED, STAGES };

static struct kv_txn *advance_to(struct world *world, enum stage stage)
{
    struct kv_txn *txn = NULL;

    if (stage >= BEGUN)
        txn = world_begin(world);
    if (stage >= WRITTEN)
        txn_put(txn, "dead", "1");
    if (stage == SPILLED)
        put_large(txn, "large");
    if (stage == PREPARED)
        ck_kv(kv_txn_prepare(txn));
    return txn;
}

static void kill_and_go_on(enum stage stage, enum kv_synchronous synchronous)
{
    const char *before = "k=1", *after = stage == PREPARED ? "dead=1 k=1" : "k=1";
    struct corpse corpse;
    uint64_t number;

    for (unsigned i = 0; i < PROCESSES; i++)
        worlds[i].options.settings.synchronous = synchronous;
    world_open(a);
    world_open(b);
    open_readonly(c);
    world_put(b, "k", "1");
    number = log_number(a);
    corpse = kill_process(a, advance_to(a, stage));
    expect_everywhere(before);
    /* The lock is free at once, and the first to take it decides about what was left. */
    kv_txn_abort(world_begin(b));
    expect_everywhere(after);
    ck_assert_int_eq(log_number(b) == number, stage == IDLE);
    world_put(b, "l", "2");
    world_delete(b, "l");
    expect_everywhere(after);
    world_open(a);
    expect_everywhere(after);
    world_put(a, "k", "1");
    world_check(a);
    world_check(b);
    for (unsigned i = 0; i < PROCESSES; i++)
        world_close(&worlds[i]);
    bury(corpse);
    kv_memfs_crash(a->fs, synchronous == KV_SYNC_FULL ? KV_MEMFS_DROP : KV_MEMFS_RANDOM, 1);
    open_all();
    expect_everywhere(after); /* closed, so durable in any case */
}

START_TEST(test_processes_survive_a_writer_at_any_stage)
{
    kill_and_go_on((enum stage)(_i % STAGES), (enum kv_synchronous)(_i / STAGES));
}
END_TEST

/* Goal: P3, P4. A writer dies, another has gone on, then the power fails: FULL commits of both are there. */
START_TEST(test_processes_survive_a_writer_then_the_power)
{
    struct corpse corpse;

    world_open(a);
    world_open(b);
    world_put(a, "a", "1");
    corpse = kill_process(a, advance_to(a, (enum stage)_i));
    world_put(b, "b", "1");
    corpse.snapshot = NULL;
    kv_memfs_crash(b->fs, KV_MEMFS_DROP, 0);
    (void)!kv_store_close(b->store);
    b->store = NULL;
    world_open(b);
    world_expect(b, "a", "1");
    world_expect(b, "b", "1");
    world_expect(b, "large", NULL);
    world_check(b);
    world_close(b);
    bury(corpse);
}
END_TEST

/* A process dies in fdatasync: it holds SYNC, and has said so. */
static struct corpse die_in_a_sync(struct world *world)
{
    ck_kv(kv_lock_try(engine_of(world)->lock, KV_LOCK_SYNC, KV_LOCK_EXCLUSIVE));
    atomic_store(&engine_of(world)->page->syncing, 1);
    return kill_process(world, NULL);
}

/*
 * Goal: a process that dies in a sync leaves doubt, which those who live
 * resolve without anybody being told of a failure: none of their own has happened.
 */
START_TEST(test_processes_a_death_in_a_sync_is_nobodys_failure)
{
    struct kv_txn *txn = NULL;
    struct corpse corpse;
    uint64_t seq;

    b->options.settings.synchronous = _i % 2 ? KV_SYNC_FULL : KV_SYNC_NORMAL;
    world_open(a);
    world_open(b);
    world_put(b, "k", "1");
    if (_i / 2 == 0) {
        txn = world_begin(b);
        txn_put(txn, "k", "2");
    }
    corpse = die_in_a_sync(a);
    switch (_i / 2) {
    case 0: ck_kv(kv_txn_commit(txn)); break;
    case 1: world_put(b, "k", "2"); break;
    case 2:
        ck_kv(kv_sync(b->store, &seq));
        ck_assert_uint_eq(seq, 1);
        ck_assert_uint_eq(world_stats(b).durable_seq, 1);
        world_put(b, "k", "2");
        break;
    default: ck_kv(kv_compact(b->store, NULL, NULL)); world_put(b, "k", "2");
    }
    world_expect_all(b, "k=2");
    ck_kv(kv_sync(b->store, &seq));
    ck_assert_uint_eq(seq, 2);
    world_check(b);
    world_close(b);
    bury(corpse);
    kv_memfs_crash(a->fs, KV_MEMFS_DROP, 0);
    world_open(b);
    world_expect_all(b, "k=2");
}
END_TEST

/* ---- Failures of one process */

/*
 * Goal: a commit whose sync fails in one process counts nowhere, and the others
 * go on, whether that process has resolved the doubt or left it to them.
 */
START_TEST(test_processes_share_the_consequences_of_a_failed_sync)
{
    bool lasting = _i % 2;
    struct kv_txn *txn;

    world_open(a);
    world_open(b);
    world_put(a, "k", "1");
    kv_memfs_set_sync_loss(a->fs, _i / 2);
    txn = world_begin(a);
    txn_put(txn, "k", "2");
    kv_memfs_fail(a->fs, KV_MEMFS_DATASYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
    if (lasting)
        kv_memfs_fail(a->fs, KV_MEMFS_SYNC, 1, KV_IOERR, KV_MEMFS_STICKY);
    ck_kv_is(kv_txn_commit(txn), KV_IOERR);
    expect_everywhere("k=1");
    if (lasting)
        ck_kv_is(kv_put(b->store, kv_slice_text("k"), kv_slice_text("3")), KV_IOERR);
    expect_everywhere("k=1");
    kv_memfs_heal(a->fs);
    world_put(b, "l", "1");
    world_put(a, "m", "1");
    expect_everywhere("k=1 l=1 m=1");
    kv_memfs_crash(a->fs, KV_MEMFS_DROP, 0);
    for (unsigned i = 0; i < 2; i++) {
        (void)!kv_store_close(worlds[i].store);
        worlds[i].store = NULL;
    }
    world_open(a);
    expect_everywhere("k=1 l=1 m=1");
}
END_TEST

/* Goal: LOCK deleted under an open store is noticed before two processes write past each other. */
START_TEST(test_processes_notice_that_lock_was_deleted)
{
    struct kv_txn *txn;

    world_open(a);
    world_put(a, "k", "1");
    ck_assert(kv_memfs_delete(a->fs, WORLD_PATH "/LOCK"));
    ck_kv_is(kv_txn_begin(a->store, NULL, &txn), KV_INVALID);
    ck_assert_ptr_nonnull(strstr(kv_message(), "LOCK was deleted"));
    world_expect(a, "k", "1");
    world_open(b); /* thinks that it is alone */
    world_put(b, "k", "2");
    ck_kv_is(kv_txn_begin(a->store, NULL, &txn), KV_INVALID);
    ck_assert_ptr_nonnull(strstr(kv_message(), "LOCK was replaced"));
    ck_kv_is(kv_compact(a->store, NULL, NULL), KV_INVALID);
    (void)!kv_store_close(a->store);
    a->store = NULL;
    world_put(b, "l", "3");
    world_open(a);
    expect_everywhere("k=2 l=3");
    world_check(b);
}
END_TEST

/* ---- Read-only */

/* Goal: a read-only opener follows the store through all that can happen to it, and changes nothing. */
START_TEST(test_processes_readonly_follows)
{
    struct corpse corpse;

    world_open(a);
    open_readonly(c);
    expect_everywhere("");
    world_put(a, "k", "1");
    expect_everywhere("k=1");
    engine_seal(a);
    world_put(a, "l", "2");
    expect_everywhere("k=1 l=2");
    ck_kv(kv_compact(a->store, NULL, NULL));
    expect_everywhere("k=1 l=2");
    world_close(a);
    expect_everywhere("k=1 l=2"); /* nobody writes: the files themselves say what there is */
    world_open(b);
    expect_everywhere("k=1 l=2");
    world_put(b, "k", "3");
    expect_everywhere("k=3 l=2");
    corpse = kill_process(b, advance_to(b, SPILLED));
    expect_everywhere("k=3 l=2");
    world_open(a); /* fails over */
    expect_everywhere("k=3 l=2");
    world_delete(a, "l");
    ck_kv(kv_compact(a->store, NULL, NULL));
    expect_everywhere("k=3");
    world_close(a);
    expect_everywhere("k=3");
    world_close(c);
    bury(corpse);
}
END_TEST

/* Goal: over a crashed store, read-only shows what recovery will, and touches no file. */
START_TEST(test_processes_readonly_over_a_crashed_store)
{
    const char *expected = _i == PREPARED ? "dead=1 k=1" : "k=1";
    struct corpse corpse;
    uint64_t files, lock_bytes;

    world_open(a);
    world_put(a, "k", "1");
    corpse = kill_process(a, advance_to(a, (enum stage)_i));
    files = world_files_digest(a);
    lock_bytes = kv_memfs_size(a->fs, WORLD_PATH "/LOCK");
    open_readonly(c);
    expect_everywhere(expected);
    world_close(c);
    if (_i % 2) /* also without a LOCK, and where none may be made */
        ck_assert(kv_memfs_delete(a->fs, WORLD_PATH "/LOCK"));
    kv_memfs_set_readonly(a->fs, true);
    open_readonly(c);
    expect_everywhere(expected);
    world_close(c);
    kv_memfs_set_readonly(a->fs, false);
    ck_assert_uint_eq(world_files_digest(a), files);
    ck_assert_uint_eq(kv_memfs_size(a->fs, WORLD_PATH "/LOCK"), _i % 2 ? UINT64_MAX : lock_bytes);
    world_open(b);
    expect_everywhere(expected);
    world_close(b);
    bury(corpse);
}
END_TEST

/* Goal: as above, if files that a merge has replaced are unlinked while the reader installs them. */
START_TEST(test_processes_readonly_installs_behind_merges)
{
    world_open(a);
    open_readonly(c);
    for (unsigned round = 0; round < 5; round++) {
        world_fill(a, "k", 0, 150);
        ck_kv(kv_compact(a->store, NULL, NULL));
        world_put(a, "last", "1");
        ck_assert_uint_eq(world_digest(c), world_digest(a));
    }
}
END_TEST

static void *read_on(void *context)
{
    struct kv_snapshot *snapshot;
    uint64_t last = 0;
    atomic_bool *stop = context;

    ck_kv_fast(kv_snapshot_new(c->store, &snapshot));
    while (!atomic_load(stop)) {
        ck_kv_fast(kv_snapshot_acquire(snapshot));
        if (kv_snapshot_seq(snapshot) < last)
            ck_abort_msg("time runs backwards");
        last = kv_snapshot_seq(snapshot);
        kv_snapshot_release(snapshot);
    }
    kv_snapshot_free(snapshot);
    return NULL;
}

/*
 * Goal: threads of a read-only process, which share what it last saw of the
 * page, do not overwrite newer words by older ones.
 */
START_TEST(test_processes_readonly_threads_see_time_go_on)
{
    atomic_bool stop = false;
    pthread_t threads[3];

    world_open(a);
    open_readonly(c);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_on, &stop), 0);
    for (unsigned i = 0; i < 4000; i++) {
        ck_kv_fast(kv_put(a->store, kv_slice_text("k"), kv_slice_text("row")));
        if (i % 16 == 0)
            engine_seal(a);
        if (i % 200 == 0)
            ck_kv(kv_compact(a->store, NULL, NULL));
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

/* ---- Checking while others work */

static enum kv_status fail_on_problem(void *context, const struct kv_problem *problem)
{
    (void)context;
    ck_abort_msg("segment %llu: %s", (unsigned long long)problem->segment, problem->text);
}

static bool compact_elsewhere(void *context)
{
    unsigned *count = context;

    if ((*count)++ == 0) {
        world_fill(b, "k", 0, 150);
        ck_kv(kv_compact(b->store, NULL, NULL));
    }
    return false;
}

/* Goal: kv_store_check finds nothing wrong with files that another process has merged away meanwhile. */
START_TEST(test_processes_check_while_another_merges)
{
    unsigned count = 0;
    struct world *checker = _i ? c : a;
    struct kv_settings settings;

    world_open(a);
    world_open(b);
    open_readonly(c);
    settings = checker->options.settings;
    settings.interrupted = compact_elsewhere;
    settings.interrupted_context = &count;
    world_fill(a, "k", 0, 150);
    ck_kv(kv_store_check(checker->store, &settings, fail_on_problem, NULL));
    ck_assert_uint_gt(count, 1);
}
END_TEST

static Suite *processes_suite(void)
{
    Suite *suite = suite_create("processes");
    TCase *tests = tcase_create("processes");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_processes_see_commits);
    tcase_add_test(tests, test_processes_see_nothing_uncommitted);
    tcase_add_test(tests, test_processes_snapshots_stay);
    tcase_add_test(tests, test_processes_catch_up_after_many_merges);
    tcase_add_test(tests, test_processes_wait_for_the_writer);
    tcase_add_test(tests, test_processes_merge_while_others_write);
    tcase_add_test(tests, test_processes_refuse_to_destroy_or_replace_what_others_use);
    tcase_add_loop_test(tests, test_processes_close_in_any_order, 0, 6);
    tcase_add_test(tests, test_processes_the_last_one_killed_leaves_no_end);
    tcase_add_loop_test(tests, test_processes_survive_a_writer_at_any_stage, 0, 3 * STAGES);
    tcase_add_loop_test(tests, test_processes_survive_a_writer_then_the_power, 0, STAGES);
    tcase_add_loop_test(tests, test_processes_a_death_in_a_sync_is_nobodys_failure, 0, 8);
    tcase_add_loop_test(tests, test_processes_share_the_consequences_of_a_failed_sync, 0, 4);
    tcase_add_test(tests, test_processes_notice_that_lock_was_deleted);
    tcase_add_test(tests, test_processes_readonly_follows);
    tcase_add_loop_test(tests, test_processes_readonly_over_a_crashed_store, 0, STAGES);
    tcase_add_test(tests, test_processes_readonly_installs_behind_merges);
    tcase_add_test(tests, test_processes_readonly_threads_see_time_go_on);
    tcase_add_loop_test(tests, test_processes_check_while_another_merges, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(processes_suite());
}
