/*
 * A store that several processes share, against a model: random operations,
 * deaths of one process or of all, power cuts, faults.
 *
 * Each run is decided by its seed. Three processes write in turn, and one only
 * reads. They come and go, commit in all synchronous modes, hold snapshots,
 * compact, check, and make backups. They are killed between their calls, or at
 * one of them; and while one is in the middle of a merge, a check or a backup,
 * others go on.
 *
 * - Whoever looks sees what was committed last, by whomever; what is held stays as it was.
 * - After a death the others go on at once: what was committed is there; what was just being
 *   committed is there in whole or not at all.
 * - After a power cut there are transactions 1 … k, and k is at least what was said to be
 *   durable. The same without MANIFEST, after a repair.
 * - What the last one to close leaves is durable.
 * - A backup holds what was committed when it began, until another one has succeeded.
 * - KV_BUSY is said only while another process writes, or is in the middle of a call.
 *
 * KV_TEST_SEED replays one run alone, and KV_TEST_TRACE has it told;
 * KV_TEST_SCALE multiplies the number of runs, KV_TEST_FIRST_RUN is where they begin (1).
 */
#include <stdio.h>

#include "names.h"
#include "runner.h"
#include "shared_run.h"

enum { RUNS = 40, STEPS = 1500 };

static struct model_figures *figures;

/* ---- Coming and going */

static bool meanwhile(void *context);

static void choose_settings(struct run *run, struct process *process)
{
    static const uint64_t sizes[] = {64 * 1024, 128 * 1024, 1024 * 1024};
    struct kv_settings *settings = &process->world.options.settings;

    settings->synchronous = percent(run, 60) ? KV_SYNC_FULL : (enum kv_synchronous)below(run, 3);
    settings->segment_bytes = sizes[below(run, 2)];
    settings->max_segment_bytes = sizes[below(run, 3)];
    settings->fanout = 2 + below(run, 3);
    settings->tiers = 1 + below(run, 8);
    settings->garbage_ratio = 0.05 + below(run, 90) / 100.0;
    settings->auto_compact = percent(run, 75);
    settings->busy_timeout_ms = percent(run, 20) ? 30 : 0;
    process->long_calls = *settings;
    process->long_calls.interrupted = meanwhile;
    process->long_calls.interrupted_context = run;
}

static void open_process(struct run *run, struct process *process)
{
    struct world *world = &process->world;
    enum kv_status st;

    choose_settings(run, process);
    world->options.readonly = run_is_reader(run, process);
    world->options.mode = world->options.readonly ? KV_OPEN_EXISTING : KV_OPEN_OR_CREATE;
    st = kv_store_open(WORLD_PATH, &world->options, &world->store);
    run_trace(run, process, "open: %s", kv_status_name(st));
    if (run_failed(run, process, st))
        return;
    run_look(run, process);
}

static bool is_attended(const struct run *run)
{
    for (unsigned i = 0; i < WRITERS; i++) {
        if (run->processes[i].world.store)
            return true;
    }
    return false;
}

static void close_process(struct run *run, struct process *process)
{
    struct kv_store *store = process->world.store;
    enum kv_status st;

    if (process->txn)
        run_abort_txn(run, process);
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        run_drop_snapshot(process, i);
    process->world.store = NULL;
    st = kv_store_close(store);
    run_trace(run, process, "close: %s", kv_status_name(st));
    if (!run_failed(run, process, st) && !is_attended(run) && !run_is_reader(run, process))
        run->durable_seq = run->model.last_seq;
}

/* It is dead: give its handles back, which say nothing any more, and let another come in its place. */
static void bury(struct run *run, struct process *process)
{
    enum kv_status st;

    run_trace(run, process, "dead");
    if (run_is_pending(run, process))
        run_note_maybe(run, process, &run->working);
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        run_drop_snapshot(process, i);
    kv_txn_abort(process->txn);
    if (run->writer == process)
        run_end_txn(run, process);
    process->txn = NULL;
    st = kv_store_close(process->world.store);
    (void)st;
    process->world.store = NULL;
    run->disturbed = true;
}

static void replace(struct run *run, struct process *process)
{
    bury(run, process);
    figures->kills++;
    process->world.io = process->world.options.io = kv_memfs_process(run->host.fs);
}

/* ---- Backups */

/* Where the backup is. Valid until the next call. */
static const char *backup_path(const struct run *run)
{
    static char path[32];

    snprintf(path, sizeof(path), "/backup%u", run->backup_number);
    return path;
}

/*
 * What is in the backup must be what the store contained when it was made: `fresh`, and it may have a little
 * more; or when an attempt since then was made, which a crash may still take back.
 */
static void check_backup(struct run *run, bool fresh)
{
    struct world copy = run->host;
    struct kv_snapshot *snapshot;
    uint64_t seq;

    if (!run->has_backup || run->backup_is_ahead)
        return;
    kv_memfs_heal(run->host.fs);
    ck_kv(kv_check(backup_path(run), copy.io, NULL, run_fail_on_problem, "the backup"));
    copy.is_guest = true;
    copy.options.readonly = true;
    copy.options.mode = KV_OPEN_EXISTING;
    ck_kv(kv_store_open(backup_path(run), &copy.options, &copy.store));
    snapshot = world_snapshot(&copy);
    seq = kv_snapshot_seq(snapshot);
    ck_assert_uint_ge(seq, run->backup_seq);
    if (fresh && seq > run->model.last_seq)
        run_note_seen(run, seq); /* a fault may have kept anybody else from finding out */
    if (seq > run->backup_seq)
        ck_assert_uint_le(seq, run->model.last_seq);
    if (fresh) {
        run->backup_seq = seq;
        run->backup_state = run->model.states[seq];
    }
    model_expect(seq > run->backup_seq ? &run->model.states[seq] : &run->backup_state, snapshot,
                 NULL);
    kv_snapshot_free(snapshot);
    world_close(&copy);
}

static void leave_backup(struct run *run)
{
    run->has_backup = run->backup_is_ahead = false;
    run->backup_number++;
}

static void backup(struct run *run, struct process *process)
{
    uint64_t seq = run->model.last_seq;
    bool fresh = false;
    enum kv_status st;

    run_trace(run, process, "kv_backup");
    if (percent(run, 20)) /* as if it were on another file system */
        kv_memfs_fail(run->host.fs, KV_MEMFS_LINK, 1, KV_INVALID, KV_MEMFS_STICKY);
    run_begin_call(run, process);
    st = kv_backup(process->world.store, backup_path(run), &process->long_calls, NULL);
    run_end_call(run, process);
    run_trace(run, process, "kv_backup: %s", kv_status_name(st));
    if ((st == KV_MISMATCH && run->backup_is_ahead && run->has_backup) ||
        (st == KV_INVALID && run->faulty && !run->has_backup)) {
        /* For the second: two syncs of the directory that failed, and then the power. */
        leave_backup(run);
    } else if (!run_was_busy(run, st) && st != KV_INTERRUPTED &&
               !(st == KV_BUSY && strstr(kv_message(), "larger than a log")) &&
               !run_failed_to_sync(run, process, st)) {
        run->has_backup = true;
        run->backup_is_ahead = false;
        run->backup_seq = seq;
        fresh = true;
    } else {
        run->backup_is_ahead |= run_is_reader(run, process);
    }
    if (!run_is_dead(process))
        run_look(run, process);
    check_backup(run, fresh);
}

/* Somebody uses the backup as a store: then it is no place for backups any more. */
static void use_backup(struct run *run)
{
    struct world copy = run->host;

    if (!run->has_backup || run->backup_is_ahead)
        return;
    run_trace(run, NULL, "the backup is written to");
    kv_memfs_heal(run->host.fs);
    kv_memfs_set_space(run->host.fs, UINT64_MAX);
    copy.is_guest = true;
    ck_kv(kv_store_open(backup_path(run), &copy.options, &copy.store));
    world_put(&copy, "one", "more");
    ck_assert_uint_gt(kv_store_seq(copy.store), run->backup_seq);
    ck_kv(kv_store_check(copy.store, NULL, run_fail_on_problem, "the backup"));
    world_close(&copy);
    leave_backup(run);
}

/* ---- The end of all processes */

static enum kv_status tell_step(void *context, const struct kv_repair_step *step)
{
    run_trace(context, NULL, "segment %llu, offset %llu: %s", (unsigned long long)step->segment,
              (unsigned long long)step->offset, step->action);
    return KV_OK;
}

/* A copy of all files is opened: it contains what the store will once it has recovered, or may. */
static void expect_copy(struct run *run, struct world *copy, uint64_t least)
{
    struct kv_snapshot *snapshot;
    uint64_t seq;

    world_open(copy);
    snapshot = world_snapshot(copy);
    seq = kv_snapshot_seq(snapshot);
    run_trace(run, NULL, "the copy has %llu transactions", (unsigned long long)seq);
    ck_assert_uint_ge(seq, least);
    ck_assert_uint_le(seq, run->model.last_seq + run->maybe);
    model_expect(seq > run->model.last_seq ? &run->after : &run->model.states[seq], snapshot, NULL);
    kv_snapshot_free(snapshot);
    world_end(copy);
}

static struct world copy_files(struct run *run)
{
    struct world copy = {.fs = kv_memfs_clone(run->host.fs), .options = run->host.options};

    copy.io = copy.options.io = kv_memfs_io(copy.fs);
    return copy;
}

static void crash(struct run *run, struct kv_memfs *fs)
{
    kv_memfs_crash(fs, percent(run, 40) ? KV_MEMFS_DROP : KV_MEMFS_RANDOM,
                   model_random(&run->random));
}

/* The store as it is after its MANIFEST was lost, and repaired, not without interruptions. */
static void check_repaired(struct run *run, uint64_t least)
{
    struct world copy = copy_files(run);

    if (!kv_memfs_delete(copy.fs, WORLD_PATH "/" KV_NAME_MANIFEST)) {
        world_end(&copy);
        return;
    }
    run_trace(run, NULL, "repair without MANIFEST");
    while (percent(run, 40)) {
        kv_memfs_fail(copy.fs, KV_MEMFS_ANY, 1 + below(run, 400), KV_IOERR, KV_MEMFS_FREEZE);
        if (kv_repair(WORLD_PATH, copy.io, NULL, tell_step, run) != KV_OK) {
            crash(run, copy.fs);
            least = run->durable_seq;
        }
        kv_memfs_heal(copy.fs);
    }
    ck_kv(kv_repair(WORLD_PATH, copy.io, NULL, tell_step, run));
    expect_copy(run, &copy, least);
}

/* The store for those who only read, before anybody has recovered it: they change nothing. */
static void check_readonly(struct run *run, uint64_t least)
{
    struct world copy = copy_files(run);

    copy.options.readonly = true;
    copy.options.mode = KV_OPEN_EXISTING;
    kv_memfs_set_readonly(copy.fs, true);
    run_trace(run, NULL, "open only to read");
    expect_copy(run, &copy, least);
}

/* The first opens the store after all have died or closed; recovery may die of a power cut, too: `*cut`. */
static void open_first(struct run *run, bool *cut)
{
    struct world *world = &run->processes[0].world;

    choose_settings(run, &run->processes[0]);
    while (percent(run, 25)) {
        kv_memfs_fail(run->host.fs, KV_MEMFS_ANY, 1 + below(run, 90), KV_IOERR,
                      percent(run, 70) ? KV_MEMFS_FREEZE : KV_MEMFS_ONCE);
        if (kv_store_open(WORLD_PATH, &world->options, &world->store) == KV_OK) {
            kv_memfs_heal(run->host.fs);
            return;
        }
        run_trace(run, NULL, "power cut during recovery");
        crash(run, run->host.fs);
        *cut = true;
    }
    world_open(world);
}

/* After all have died or closed: nothing is missing, nothing is there that should not be. */
static void check_contents(struct run *run, bool cut)
{
    struct process *first = &run->processes[0];
    struct kv_snapshot *snapshot;
    uint64_t seq;

    kv_memfs_heal(run->host.fs);
    kv_memfs_set_space(run->host.fs, UINT64_MAX);
    if (percent(run, 30))
        check_repaired(run, cut ? run->durable_seq : run->model.last_seq);
    if (percent(run, 20))
        check_readonly(run, cut ? run->durable_seq : run->model.last_seq);
    open_first(run, &cut);
    run->faults_seen = run->faults_at_begin = kv_memfs_fault_count(run->host.fs);
    seq = kv_store_seq(first->world.store);
    run_trace(run, first, "opened after all, %llu transactions", (unsigned long long)seq);
    ck_assert_uint_ge(seq, cut ? run->durable_seq : run->model.last_seq);
    /* One made from the cache by who only reads may have what the power has taken from the store. */
    run->backup_is_ahead |= seq < run->backup_seq;
    if (seq > run->model.last_seq)
        run_note_seen(run, seq);
    run->model.last_seq = run->durable_seq = seq;
    run->maybe = false;
    snapshot = world_snapshot(&first->world);
    model_expect(model_last(&run->model), snapshot, NULL);
    kv_snapshot_free(snapshot);
    world_check(&first->world);
    check_backup(run, false);
    figures->recoveries++;
}

/* `lossy`: what was not durable may be gone in any case. */
static void die(struct run *run, bool lossy)
{
    bool cut = percent(run, 60);

    run_trace(run, NULL, cut ? "power cut" : "everybody is killed");
    if (cut)
        crash(run, run->host.fs);
    else
        kv_memfs_kill(run->host.fs);
    figures->crashes += cut;
    for (unsigned i = 0; i < PROCESSES; i++) {
        if (run->processes[i].world.store)
            bury(run, &run->processes[i]);
    }
    check_contents(run, cut || lossy);
}

/*
 * After a fault what was not durable may be gone, for everybody. If somebody can write, it is all there;
 * else nobody can go on.
 */
static void look_for_losses(struct run *run)
{
    struct kv_txn *txn = NULL;
    enum kv_status st = KV_IOERR;

    kv_memfs_heal(run->host.fs);
    if (run->writer) {
        if (run_is_pending(run, run->writer))
            run_note_maybe(run, run->writer, &run->working);
        run_abort_txn(run, run->writer);
    }
    run->faults_seen = kv_memfs_fault_count(run->host.fs);
    for (unsigned i = 0; i < WRITERS && st != KV_OK; i++) {
        struct process *process = &run->processes[i];

        if (!process->world.store)
            continue;
        st = kv_txn_begin(process->world.store, NULL, &txn);
        run_trace(run, process, "after a loss: %s", kv_status_name(st));
        if (st == KV_OK)
            run_look(run, process);
    }
    kv_txn_abort(txn);
    if (st == KV_OK)
        run->maybe = false;
    else
        die(run, true);
}

/* ---- A run */

static void compact(struct run *run, struct process *process)
{
    struct kv_compact_budget budget = {.bytes = 1000 + below(run, 100000)};
    uint64_t left;
    enum kv_status st;

    run_trace(run, process, "compact");
    run_begin_call(run, process);
    if (percent(run, 50))
        st = kv_compact(process->world.store, &process->long_calls, NULL);
    else
        st = kv_compact_some(process->world.store, &process->long_calls, &budget, &left);
    run_end_call(run, process);
    run_trace(run, process, "compact: %s", kv_status_name(st));
    if (!run_was_busy(run, st) && st != KV_INTERRUPTED)
        run_failed_to_sync(run, process, st);
    figures->compactions++;
}

static void sync_all(struct run *run, struct process *process)
{
    uint64_t seq;
    enum kv_status st = kv_sync(process->world.store, &seq);

    run_trace(run, process, "kv_sync: %s", kv_status_name(st));
    if (run_was_busy(run, st) || run_failed_to_sync(run, process, st))
        return;
    run_note_seen(run, seq);
    run->durable_seq = seq;
}

/* A sync fails, beside a transaction perhaps; and then something else. */
static void cause_doubt(struct run *run, struct process *process)
{
    run->faults_seen = kv_memfs_fault_count(run->host.fs);
    if (process->world.store && !run_is_reader(run, process)) {
        kv_memfs_heal(run->host.fs);
        kv_memfs_fail(run->host.fs, KV_MEMFS_DATASYNC, 1, KV_IOERR, KV_MEMFS_ONCE);
        sync_all(run, process);
    }
    run_arm_fault(run);
}

static void step_idle(struct run *run, struct process *process)
{
    unsigned dice = below(run, 200);

    if (dice < 10)
        close_process(run, process);
    else if (dice < 14)
        run_check(run, process);
    else if (dice < 18 && !run->nested)
        backup(run, process);
    else if (run_is_reader(run, process))
        run_look(run, process);
    else if (dice < 120)
        run_begin(run, process);
    else if (dice < 130)
        compact(run, process);
    else if (dice < 136)
        sync_all(run, process);
    else if (dice < 142)
        run_note_durable(run, process);
}

static void step_live(struct run *run, struct process *process)
{
    unsigned dice = below(run, 100);

    if (dice < 4)
        run_take_snapshot(run, process, below(run, SNAPSHOTS));
    else if (dice < 8)
        run_read_snapshot(run, process, below(run, SNAPSHOTS));
    else if (process->txn)
        run_step_txn(run, process);
    else
        step_idle(run, process);
}

/* One process does something, and perhaps dies of it. */
static void step_process(struct run *run, struct process *process)
{
    struct kv_memfs *fs = run->host.fs;

    run->faults_seen = kv_memfs_fault_count(fs);
    if (below(run, 150) == 0)
        kv_memfs_kill_process_at(fs, process->world.io, 1 + below(run, 40), percent(run, 50));
    if (below(run, 400) == 0)
        kv_memfs_kill_process(fs, process->world.io);
    else if (process->world.store)
        step_live(run, process);
    else if (percent(run, 40))
        open_process(run, process);
    kv_memfs_kill_process_at(fs, process->world.io, 0, false);
    if (run_is_dead(process))
        replace(run, process);
}

static struct process *choose_process(struct run *run)
{
    struct process *process = &run->processes[below(run, PROCESSES)];

    return run->writer && percent(run, 60) ? run->writer : process;
}

/* In the middle of a long call of one process another one does something. True: the call is interrupted. */
static bool meanwhile(void *context)
{
    struct run *run = context;
    struct process *process = choose_process(run);
    uint64_t faults_seen = run->faults_seen;

    if (run->nested || run->loses || !run->caller || process == run->caller || percent(run, 50))
        return false;
    run->nested = true;
    step_process(run, process);
    run->nested = false;
    run->faults_seen = faults_seen;
    return percent(run, 2);
}

static void step_world(struct run *run)
{
    if (run->faulty && percent(run, 3))
        run_arm_fault(run);
    if (run->is_full && percent(run, 3))
        kv_memfs_set_space(run->host.fs,
                           percent(run, 50) ? UINT64_MAX : 1000000 + below(run, 4000000));
    if (percent(run, 3))
        kv_memfs_advance(run->host.fs, below(run, 1500));
    if (below(run, 300) == 0)
        use_backup(run);
}

static void step(struct run *run)
{
    uint64_t kills = figures->kills, faults = kv_memfs_fault_count(run->host.fs);

    step_world(run);
    if (run->faulty && percent(run, 2))
        cause_doubt(run, choose_process(run));
    else if (below(run, 300) == 0)
        die(run, run->loses);
    else
        step_process(run, choose_process(run));
    /* The power fails before anybody could do something about a death. */
    if (figures->kills > kills && percent(run, 15))
        die(run, run->loses);
    if (run->loses && kv_memfs_fault_count(run->host.fs) > faults)
        look_for_losses(run);
}

static void close_all(struct run *run)
{
    kv_memfs_heal(run->host.fs);
    kv_memfs_set_space(run->host.fs, UINT64_MAX);
    for (unsigned i = 0; i < PROCESSES; i++) {
        if (run->processes[i].world.store)
            close_process(run, &run->processes[i]);
    }
}

/* The end: one more transaction survives opening again, and compaction brings nothing back. */
static void finish(struct run *run)
{
    struct process *first = &run->processes[0];

    close_all(run);
    check_contents(run, false);
    run_begin(run, first);
    for (int i = 0; i < 5; i++)
        run_write_row(run, first, (uint32_t)model_random(&run->random) | 1);
    run_commit(run, first);
    close_all(run);
    check_contents(run, false);
    ck_kv(kv_compact(first->world.store, NULL, NULL));
    close_all(run);
    check_contents(run, false);
    close_all(run);
}

static void execute(uint64_t seed, bool faulty)
{
    struct run *run = calloc(1, sizeof(*run));

    figures->seed = seed;
    run->random = seed;
    run->figures = figures;
    run->faulty = faulty;
    run->floods = percent(run, 30);
    run->is_full = faulty && percent(run, 30);
    run->loses = faulty && percent(run, 30);
    world_init(&run->host);
    for (unsigned i = 0; i < PROCESSES; i++)
        world_join(&run->processes[i].world, &run->host);
    model_init(&run->model);
    kv_memfs_set_write_back(run->host.fs, below(run, 3) * 40);
    kv_memfs_set_sync_names(run->host.fs, percent(run, 50));
    kv_memfs_set_sync_loss(run->host.fs, run->loses);
    open_process(run, &run->processes[0]);
    for (int i = 0; i < STEPS; i++)
        step(run);
    finish(run);
    figures->faults += kv_memfs_fault_count(run->host.fs);
    figures->runs++;
    world_end(&run->host);
    model_release(&run->model);
    free(run);
}

static void execute_all(bool faulty)
{
    uint64_t only = model_only_seed();

    if (only && only % 2 == faulty)
        execute(only, faulty);
    for (uint64_t i = 0; i < model_scaled(RUNS) && !only; i++)
        execute(2 * (model_first_run() + i) + faulty, faulty);
}

START_TEST(test_store_shared_survives_deaths)
{
    execute_all(false);
}
END_TEST

START_TEST(test_store_shared_survives_faults)
{
    execute_all(true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_shared");
    TCase *tests = tcase_create("random runs");
    int failures;

    figures = model_figures_new();
    tcase_set_timeout(tests, 60 * model_scaled(1));
    tcase_add_test(tests, test_store_shared_survives_deaths);
    tcase_add_test(tests, test_store_shared_survives_faults);
    suite_add_tcase(suite, tests);
    failures = kv_run_suite(suite);
    if (failures)
        printf("replay with KV_TEST_SEED=%llu\n", (unsigned long long)figures->seed);
    printf("%llu runs, %llu transactions, %llu power cuts, %llu kills, %llu openings after all had "
           "died, %llu faults, %llu compactions\n",
           (unsigned long long)figures->runs, (unsigned long long)figures->transactions,
           (unsigned long long)figures->crashes, (unsigned long long)figures->kills,
           (unsigned long long)figures->recoveries, (unsigned long long)figures->faults,
           (unsigned long long)figures->compactions);
    return failures;
}
