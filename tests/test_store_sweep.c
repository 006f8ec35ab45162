/*
 * Every call of a fixed workload, one after the other: it fails once, it fails
 * and so do all that follow, the power is cut there.
 *
 * The workload creates a store, runs transactions in all synchronous modes over
 * several seals and merges, with rollbacks, prepared transactions that are
 * taken back or written on, a full compaction, closes and opens again. What
 * must hold afterwards is as in test_store_model.c; here nothing is left to
 * chance but what a torn disk looks like.
 *
 * KV_TEST_SCALE multiplies what there is time for; with 10 no call is left out.
 * KV_TEST_SEED: only the call with this number.
 */
#include <stdio.h>

#include "model.h"
#include "runner.h"
#include "world.h"

enum {
    TRANSACTIONS = 30,
    FAULT_RUNS = 120, /* for each kind */
    CUTS = 40,        /* calls at which the power is cut, for each kind of disk */
    DISKS_A_CUT = 5,  /* states of the disk for each of them */
    RECOVERY_CALLS = 70,
};

static struct model_figures *figures;

struct sweep {
    struct world world;
    struct model model;
    uint64_t durable_seq;
    bool
        maybe; /* `after` may be there: the message said so, or its process died with it prepared */
    struct model_state after;
    bool stop_at_fault;
};

/* ---- The workload */

static bool stopped(const struct sweep *sweep)
{
    return sweep->stop_at_fault && kv_memfs_fault_count(sweep->world.fs) > 0;
}

static void note_failure(struct sweep *sweep, const struct model_state *working)
{
    if (!strstr(kv_message(), "unknown"))
        return;
    sweep->maybe = true;
    sweep->after = *working;
}

/* Some writes; what fails is no part of the transaction. */
static void write_some(struct sweep *sweep, struct kv_txn *txn, struct model_state *working,
                       uint64_t random)
{
    for (int i = 0; i < 14; i++) {
        unsigned key = model_below(&random, MODEL_KEYS);
        uint32_t number = model_percent(&random, 80) ? (uint32_t)model_random(&random) | 1 : 0;
        struct model_state before = *working;
        enum kv_status st;

        if (number)
            st = kv_txn_put(txn, model_key(key), model_row(number));
        else
            st = kv_txn_delete(txn, model_key(key));
        if (st == KV_OK)
            working->rows[key] = number;
        else
            note_failure(sweep, &before);
    }
}

/* Savepoints, and preparing only to go on or to take it back. False: the transaction is over. */
static bool hesitate(struct sweep *sweep, struct kv_txn *txn, struct model_state *working,
                     unsigned i)
{
    struct kv_savepoint savepoint = kv_txn_savepoint(txn);
    struct model_state before = *working;

    if (i % 4 == 1) {
        write_some(sweep, txn, working, 1000 + i);
        kv_txn_rollback_to(txn, savepoint);
        *working = before;
    }
    if (i % 5 == 2) {
        if (kv_txn_prepare(txn) != KV_OK) {
            note_failure(sweep, working);
            kv_txn_abort(txn);
            return false;
        }
        write_some(sweep, txn, working, 2000 + i);
    }
    if (i % 6 == 3) {
        uint64_t faults = kv_memfs_fault_count(sweep->world.fs);

        if (kv_txn_prepare(txn) != KV_OK)
            note_failure(sweep, working);
        kv_txn_abort(txn);
        if (kv_memfs_fault_count(sweep->world.fs) > faults) { /* abort cannot say so */
            sweep->maybe = true;
            sweep->after = *working;
        }
        return false;
    }
    return true;
}

static void transact(struct sweep *sweep, unsigned i)
{
    struct kv_settings settings = sweep->world.options.settings;
    struct model_state working = *model_last(&sweep->model);
    struct kv_txn *txn;

    settings.synchronous = (enum kv_synchronous)(i % 3);
    if (kv_txn_begin(sweep->world.store, &settings, &txn) != KV_OK)
        return;
    sweep->maybe = false; /* whoever writes resolves doubt first */
    write_some(sweep, txn, &working, i);
    if (!hesitate(sweep, txn, &working, i))
        return;
    if (kv_txn_record_count(txn) == 0) {
        kv_txn_abort(txn);
        return;
    }
    if (kv_txn_commit(txn) != KV_OK) {
        note_failure(sweep, &working);
        return;
    }
    model_commit(&sweep->model, &working);
    if (settings.synchronous == KV_SYNC_FULL)
        sweep->durable_seq = sweep->model.last_seq;
    figures->transactions++;
}

static bool open_store(struct sweep *sweep)
{
    struct world *world = &sweep->world;

    return kv_store_open(WORLD_PATH, &world->options, &world->store) == KV_OK;
}

static void close_store(struct sweep *sweep)
{
    enum kv_status st = kv_store_close(sweep->world.store);

    sweep->world.store = NULL;
    if (st == KV_OK && !sweep->maybe)
        sweep->durable_seq = sweep->model.last_seq;
}

static void note_stats(struct sweep *sweep)
{
    struct kv_stats stats;

    if (kv_store_stats(sweep->world.store, &stats) != KV_OK)
        return;
    ck_assert_uint_ge(stats.durable_seq, sweep->durable_seq);
    ck_assert_uint_le(stats.durable_seq, sweep->model.last_seq);
    sweep->durable_seq = stats.durable_seq;
}

/* All of it. A single failure is survived: the store is opened again if need be. */
static void work(struct sweep *sweep)
{
    uint64_t seq;

    for (unsigned i = 0; i < TRANSACTIONS && !stopped(sweep); i++) {
        if (!sweep->world.store && !open_store(sweep))
            continue;
        transact(sweep, i);
        if (stopped(sweep))
            return;
        if (i % 10 == 4 && kv_sync(sweep->world.store, &seq) == KV_OK)
            sweep->durable_seq = seq;
        if (i == 20 && kv_compact(sweep->world.store, NULL, NULL) == KV_OK)
            sweep->durable_seq = sweep->model.last_seq;
        note_stats(sweep);
        if ((i == 12 || i == TRANSACTIONS - 2) && !stopped(sweep))
            close_store(sweep);
    }
}

static void sweep_init(struct sweep *sweep, unsigned disk)
{
    struct kv_settings *settings;

    *sweep = (struct sweep){0};
    world_init(&sweep->world);
    model_init(&sweep->model);
    kv_memfs_set_write_back(sweep->world.fs, disk % 3 * 45);
    kv_memfs_set_sync_names(sweep->world.fs, disk % 2 == 1);
    settings = &sweep->world.options.settings;
    settings->auto_compact = true;
    settings->fanout = 2;
    settings->tiers = 3;
    settings->max_segment_bytes = 64 * 1024;
}

static void sweep_release(struct sweep *sweep)
{
    figures->faults += kv_memfs_fault_count(sweep->world.fs);
    figures->runs++;
    world_end(&sweep->world);
    model_release(&sweep->model);
}

/* How many calls an undisturbed run takes. */
static uint64_t count_calls(unsigned disk)
{
    struct sweep sweep;
    uint64_t calls;

    sweep_init(&sweep, disk);
    work(&sweep);
    calls = kv_memfs_calls(sweep.world.fs, KV_MEMFS_ANY);
    ck_assert_uint_ge(sweep.model.last_seq, TRANSACTIONS - TRANSACTIONS / 6);
    ck_assert_uint_ge(world_stats(&sweep.world).compactions, 3);
    sweep_release(&sweep);
    return calls;
}

/* ---- What must hold */

/*
 * Open, and compare. `cut`: the power was cut, so that what was not durable may
 * be gone; `maybe`: what nobody could know may be there.
 */
static void check_store(struct sweep *sweep, struct world *world, bool cut, bool maybe)
{
    const struct model_state *state;
    struct kv_snapshot *snapshot;
    uint64_t seq, last_seq = sweep->model.last_seq;

    world_open(world);
    seq = kv_store_seq(world->store);
    ck_assert_uint_ge(seq, cut ? sweep->durable_seq : last_seq);
    ck_assert_uint_le(seq, last_seq + (sweep->maybe && maybe));
    state = seq > last_seq ? &sweep->after : &sweep->model.states[seq];
    snapshot = world_snapshot(world);
    model_expect(state, snapshot, NULL);
    kv_snapshot_free(snapshot);
    ck_assert_uint_eq(world_stats(world).durable_seq, seq);
    world_check(world);
}

/* One more transaction survives, and compaction and opening again bring nothing back. */
static void check_use(struct world *world)
{
    uint64_t digest, seq = kv_store_seq(world->store);

    world_put(world, "one more", "transaction");
    digest = world_digest(world);
    world_crash(world, KV_MEMFS_DROP, 0);
    world_open(world);
    ck_assert_uint_eq(kv_store_seq(world->store), seq + 1);
    ck_assert_uint_eq(world_digest(world), digest);
    ck_kv(kv_compact(world->store, NULL, NULL));
    ck_assert_uint_eq(world_digest(world), digest);
    world_reopen(world);
    ck_assert_uint_eq(world_digest(world), digest);
    world_check(world);
}

/* ---- Faults */

/* The nth call is 1, 1 + stride, … of `calls`, so that there are about `runs`. */
static uint64_t stride_for(uint64_t calls, unsigned runs)
{
    return model_only_seed() ? 1 : calls / model_scaled(runs) + 1;
}

static bool is_left_out(uint64_t nth)
{
    return model_only_seed() && model_only_seed() != nth;
}

static void sweep_faults(enum kv_status status, unsigned flags)
{
    uint64_t calls = count_calls(0), stride = stride_for(calls, FAULT_RUNS);

    for (uint64_t nth = 1 + flags % stride; nth <= calls; nth += stride) {
        bool sticky = flags & KV_MEMFS_STICKY;
        struct sweep sweep;

        if (is_left_out(nth))
            continue;
        figures->seed = nth;
        sweep_init(&sweep, 0);
        kv_memfs_fail(sweep.world.fs, KV_MEMFS_ANY, nth, status, flags);
        work(&sweep);
        kv_memfs_heal(sweep.world.fs);
        if (sweep.world.store)
            close_store(&sweep);
        check_store(&sweep, &sweep.world, false, sticky);
        check_use(&sweep.world);
        sweep_release(&sweep);
    }
}

START_TEST(test_store_sweep_each_call_fails_once)
{
    sweep_faults(KV_IOERR, KV_MEMFS_ONCE);
}
END_TEST

START_TEST(test_store_sweep_each_call_finds_the_disk_full)
{
    sweep_faults(KV_FULL, KV_MEMFS_ONCE | KV_MEMFS_PARTIAL);
}
END_TEST

START_TEST(test_store_sweep_all_calls_fail_from_one_on)
{
    sweep_faults(KV_IOERR, KV_MEMFS_STICKY);
}
END_TEST

/* Each kind of call that the workload makes must be able to fail: no site may be without a test. */
START_TEST(test_store_sweep_reaches_every_kind_of_call)
{
    struct sweep sweep;

    sweep_init(&sweep, 0);
    work(&sweep);
    for (int call = KV_MEMFS_DIR_OPEN; call < KV_MEMFS_CALL_COUNT; call++) {
        bool unused = call == KV_MEMFS_DIR_REMOVE || call == KV_MEMFS_FILE_TEMPORARY ||
                      call == KV_MEMFS_LOCK_TEST || call == KV_MEMFS_LINK; /* test_backup.c's */

        if (!unused)
            ck_assert_msg(kv_memfs_calls(sweep.world.fs, (enum kv_memfs_call)call) > 0,
                          "no call of kind %d", call);
    }
    sweep_release(&sweep);
}
END_TEST

/* ---- Power cuts */

/* Recovery is cut as well, perhaps several times, before it may end. */
static void cut_recovery(struct world *world, uint64_t seed)
{
    uint64_t random = seed;

    while (model_percent(&random, 60)) {
        kv_memfs_fail(world->fs, KV_MEMFS_ANY, 1 + model_below(&random, RECOVERY_CALLS), KV_IOERR,
                      KV_MEMFS_STICKY);
        if (kv_store_open(WORLD_PATH, &world->options, &world->store) == KV_OK)
            world_crash(world, KV_MEMFS_RANDOM, model_random(&random));
        else
            kv_memfs_crash(world->fs, KV_MEMFS_RANDOM, model_random(&random));
        kv_memfs_heal(world->fs);
        figures->recoveries++;
    }
}

/* One state that the disk may hold when the power is cut now. */
static void check_disk(struct sweep *sweep, uint64_t seed)
{
    struct world world = sweep->world;

    world.store = NULL;
    world.fs = kv_memfs_clone(sweep->world.fs);
    world.io = world.options.io = kv_memfs_io(world.fs);
    kv_memfs_crash(world.fs, seed == 0 ? KV_MEMFS_DROP : KV_MEMFS_RANDOM, seed);
    figures->crashes++;
    if (seed % 3 == 1)
        cut_recovery(&world, seed);
    check_store(sweep, &world, true, true);
    if (seed % 4 == 0)
        check_use(&world);
    world_end(&world);
}

/* Cut the power before the nth call of a kind. False: there are not as many. */
static bool cut_power(unsigned disk, enum kv_memfs_call call, uint64_t nth)
{
    struct sweep sweep;
    bool reached;

    if (is_left_out(nth))
        return true;
    figures->seed = nth;
    sweep_init(&sweep, disk);
    sweep.stop_at_fault = true;
    kv_memfs_fail(sweep.world.fs, call, nth, KV_IOERR, KV_MEMFS_FREEZE);
    work(&sweep);
    reached = kv_memfs_fault_count(sweep.world.fs) > 0;
    for (uint64_t i = 0; reached && i < DISKS_A_CUT; i++)
        check_disk(&sweep, i == 0 ? 0 : nth * DISKS_A_CUT + i);
    world_kill(&sweep.world);
    sweep_release(&sweep);
    return reached;
}

/* Before every call that makes something durable, or that changes a name. */
static void cut_power_before_syncs(unsigned disk)
{
    static const enum kv_memfs_call calls[] = {KV_MEMFS_SYNC,     KV_MEMFS_DATASYNC,
                                               KV_MEMFS_DIR_SYNC, KV_MEMFS_RENAME,
                                               KV_MEMFS_UNLINK,   KV_MEMFS_TRUNCATE};

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        for (uint64_t nth = 1; cut_power(disk, calls[i], nth); nth++) {
        }
    }
}

static void cut_power_anywhere(unsigned disk)
{
    uint64_t calls = count_calls(disk), stride = stride_for(calls, CUTS);

    for (uint64_t nth = 1 + disk % stride; nth <= calls; nth += stride)
        cut_power(disk, KV_MEMFS_ANY, nth);
}

START_TEST(test_store_sweep_power_cut_before_each_sync)
{
    cut_power_before_syncs(0);
}
END_TEST

START_TEST(test_store_sweep_power_cut_at_each_call)
{
    for (unsigned disk = 0; disk < 3; disk++)
        cut_power_anywhere(disk);
}
END_TEST

static Suite *store_sweep_suite(void)
{
    Suite *suite = suite_create("store_sweep");
    TCase *tests = tcase_create("every call of a workload");

    tcase_set_timeout(tests, 60 * model_scaled(1));
    tcase_add_test(tests, test_store_sweep_reaches_every_kind_of_call);
    tcase_add_test(tests, test_store_sweep_each_call_fails_once);
    tcase_add_test(tests, test_store_sweep_each_call_finds_the_disk_full);
    tcase_add_test(tests, test_store_sweep_all_calls_fail_from_one_on);
    tcase_add_test(tests, test_store_sweep_power_cut_before_each_sync);
    tcase_add_test(tests, test_store_sweep_power_cut_at_each_call);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    int failures;

    figures = model_figures_new();
    failures = kv_run_suite(store_sweep_suite());
    if (failures)
        printf("the last call that failed was number %llu\n", (unsigned long long)figures->seed);
    printf("%llu runs, %llu transactions, %llu faults, %llu disks after power cuts, "
           "%llu cuts of recovery\n",
           (unsigned long long)figures->runs, (unsigned long long)figures->transactions,
           (unsigned long long)figures->faults, (unsigned long long)figures->crashes,
           (unsigned long long)figures->recoveries);
    return failures;
}
