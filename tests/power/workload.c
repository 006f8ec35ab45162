/* Random operations on a store: see workload.h. */
#include "workload.h"

#include <stdlib.h>

#include "chooser.h"
#include "compact.h"
#include "memfs.h"
#include "report.h"
#include "seal.h"
#include "store.h"
#include "writer.h"

const struct profile profiles[] = {
    {.name = "commits",
     .steps = 24,
     .commit = 10,
     .abort = 3,
     .prepare = 3,
     .idle = 2,
     .sync = 1,
     .reopen = 1,
     .full_percent = 70,
     .normal_percent = 20,
     .processes = 1},
    {.name = "lazy",
     .steps = 24,
     .commit = 10,
     .abort = 2,
     .prepare = 2,
     .idle = 3,
     .sync = 1,
     .seal = 1,
     .reopen = 1,
     .kill = 1,
     .full_percent = 10,
     .normal_percent = 50,
     .processes = 1},
    {.name = "seals",
     .steps = 28,
     .commit = 10,
     .abort = 1,
     .prepare = 1,
     .sync = 1,
     .seal = 6,
     .merge = 2,
     .compact = 1,
     .reopen = 1,
     .full_percent = 50,
     .normal_percent = 20,
     .processes = 1},
    {.name = "faults",
     .steps = 30,
     .commit = 10,
     .abort = 1,
     .prepare = 2,
     .idle = 1,
     .sync = 1,
     .seal = 3,
     .merge = 1,
     .compact = 1,
     .reopen = 1,
     .fault = 6,
     .full_percent = 60,
     .normal_percent = 20,
     .processes = 1},
    {.name = "closes",
     .steps = 24,
     .commit = 10,
     .seal = 2,
     .merge = 1,
     .reopen = 8,
     .kill = 3,
     .full_percent = 40,
     .normal_percent = 20,
     .processes = 1},
    {.name = "processes",
     .steps = 30,
     .commit = 12,
     .abort = 2,
     .prepare = 2,
     .idle = 1,
     .sync = 1,
     .seal = 2,
     .merge = 1,
     .reopen = 2,
     .die = 4,
     .full_percent = 50,
     .normal_percent = 20,
     .processes = 2},
    {.name = "long",
     .steps = 8,
     .commit = 10,
     .abort = 1,
     .prepare = 1,
     .sync = 1,
     .reopen = 1,
     .kill = 1,
     .fault = 2,
     .full_percent = 60,
     .normal_percent = 20,
     .processes = 1,
     .long_rows = true,
     .auto_compact = true},
};
const unsigned profile_count = sizeof(profiles) / sizeof(profiles[0]);

enum { PROCESSES = 8 };

struct process {
    struct kv_io *inner, *io;
    struct kv_store *store; /* NULL: not open */
    bool is_dead;           /* for good */
};

struct run {
    struct workload *workload;
    const struct profile *profile;
    struct chooser chance;
    struct kv_memfs *fs;
    struct process processes[PROCESSES];
    struct process *at; /* who does the next thing */
    struct kv_settings settings;
    struct expectation now;
    bool may_fail; /* a fault was armed, or the process is dying */
};

struct kv_open_options power_options(struct kv_io *io)
{
    struct kv_open_options options = kv_open_options_default();

    options.io = io;
    options.foreground = true;
    options.settings.segment_bytes = 64 * 1024;
    options.settings.max_segment_bytes = 64 * 1024;
    options.settings.auto_compact = false;
    options.settings.fanout = 2;
    options.settings.tiers = 3;
    return options;
}

static unsigned below(struct run *run, unsigned count)
{
    return chooser_below(&run->chance, count);
}

static bool percent(struct run *run, unsigned chance)
{
    return below(run, 100) < chance;
}

static bool failed(const struct run *run, enum kv_status st)
{
    need_that(st == KV_OK || run->may_fail, "%s: %s", kv_status_name(st), kv_message());
    return st != KV_OK;
}

/* ---- Expectations */

static void note(struct run *run)
{
    struct workload *workload = run->workload;

    run->now.last = workload->history.last;
    trace_mark(&workload->trace, history_expect(&workload->history, &run->now));
}

/* What the store itself says is durable must be so. */
static void note_durable(struct run *run)
{
    struct kv_stats stats;

    if (run->at->store && kv_store_stats(run->at->store, &stats) == KV_OK &&
        stats.durable_seq > run->now.durable && stats.last_seq == run->workload->history.last)
        run->now.durable = stats.durable_seq;
    note(run);
}

static uint64_t durable_seq(struct run *run)
{
    struct kv_stats stats;

    return kv_store_stats(run->at->store, &stats) == KV_OK ? stats.durable_seq : 0;
}

static const struct content *newest(const struct run *run)
{
    return &run->workload->history.states[run->workload->history.last].content;
}

static void may_be_there(struct run *run, const struct content *content)
{
    run->now.maybe = true;
    run->now.after = *content;
    run->now.proven = durable_seq(run);
    note(run);
}

/* It failed: is it gone, or may it come back? */
static void note_failure(struct run *run)
{
    if (!strstr(kv_message(), "unknown") && !run->at->is_dead)
        run->now.maybe = false;
    note(run);
}

/* Somebody has just resolved whatever doubt there was. */
static void find_out(struct run *run)
{
    struct history *history = &run->workload->history;
    uint64_t seq = kv_store_seq(run->at->store);

    if (run->now.maybe && seq == history->last + 1)
        history_commit(history, &run->now.after, run->now.proven);
    need_that(seq == history->last, "%llu transactions, not %llu", (unsigned long long)seq,
              (unsigned long long)history->last);
    run->now.maybe = false;
    note_durable(run);
}

/* ---- Opening and closing */

static void note_death(struct run *run)
{
    enum kv_status st;

    if (!kv_memfs_process_is_dead(run->at->inner))
        return;
    run->at->is_dead = true;
    st = kv_store_close(run->at->store);
    (void)st;
    run->at->store = NULL;
}

static void open_store(struct run *run)
{
    struct kv_open_options options = power_options(run->at->io);
    bool alone = true;

    for (unsigned i = 0; i < PROCESSES; i++)
        alone &= run->processes[i].store == NULL;
    if (failed(run, kv_store_open(POWER_PATH, &options, &run->at->store))) {
        note_death(run);
        return;
    }
    if (alone)
        find_out(run);
}

static void close_store(struct run *run)
{
    struct kv_store *store = run->at->store;
    bool alone = true, ok;

    run->at->store = NULL;
    for (unsigned i = 0; i < PROCESSES; i++)
        alone &= run->processes[i].store == NULL;
    ok = !failed(run, kv_store_close(store));
    if (ok && alone)
        run->now.durable = run->workload->history.last;
    note(run);
    run->at->is_dead |= kv_memfs_process_is_dead(run->at->inner);
}

static void kill_all(struct run *run)
{
    kv_memfs_kill(run->fs);
    for (unsigned i = 0; i < PROCESSES; i++) {
        enum kv_status st = kv_store_close(run->processes[i].store);

        (void)st;
        run->processes[i].store = NULL;
    }
}

/* ---- Transactions */

/* False: a commit that should have been taken back may count all the same. */
static bool write_some(struct run *run, struct kv_txn *txn, struct content *content)
{
    unsigned count = 1 + below(run, run->profile->long_rows ? 3 : 5);

    for (unsigned i = 0; i < count; i++) {
        unsigned key = below(run, HISTORY_KEYS);
        uint32_t number = percent(run, 70) ? (uint32_t)chooser_random(&run->chance) | 1 : 0;
        enum kv_status st;

        if (!run->profile->long_rows || percent(run, 40))
            number &= ~HISTORY_LONG_ROW;
        if (number)
            st = kv_txn_put(txn, history_key(key), history_row(number));
        else
            st = kv_txn_delete(txn, history_key(key));
        if (!failed(run, st))
            content->rows[key] = number;
        else if (strstr(kv_message(), "unknown"))
            return false;
    }
    return true;
}

static void write_with_savepoints(struct run *run, struct kv_txn *txn, struct content *content)
{
    write_some(run, txn, content);
    if (percent(run, 25)) {
        struct kv_savepoint savepoint = kv_txn_savepoint(txn);
        struct content before = *content;

        write_some(run, txn, content);
        kv_txn_rollback_to(txn, savepoint);
        *content = before;
        if (percent(run, 50))
            write_some(run, txn, content);
    }
}

static bool prepare(struct run *run, struct kv_txn *txn, const struct content *content)
{
    if (kv_txn_record_count(txn) == 0)
        return false;
    may_be_there(run, content);
    if (!failed(run, kv_txn_prepare(txn)))
        return true;
    note_failure(run);
    return false;
}

/* Take the transaction back, prepared or not. */
static void abort_txn(struct run *run, struct kv_txn *txn, bool prepared)
{
    kv_txn_abort(txn);
    /* It cannot say whether it failed. */
    if (prepared && !run->may_fail)
        run->now.maybe = false;
    note(run);
}

static void publish(struct run *run, struct kv_txn *txn, const struct content *content, bool full)
{
    kv_txn_publish(txn);
    if (kv_memfs_process_is_dead(run->at->inner)) {
        note(run); /* it could tell nobody: whether others have seen it, they will say */
        return;
    }
    history_commit(&run->workload->history, content, run->now.proven);
    run->now.maybe = false;
    if (full)
        run->now.durable = run->workload->history.last;
    note_durable(run);
}

enum ending { COMMIT, ABORT, PREPARE };

static void transact(struct run *run, enum ending ending)
{
    struct content content;
    struct kv_txn *txn;
    bool prepared;

    run->settings = power_options(NULL).settings;
    run->settings.auto_compact = run->profile->auto_compact;
    run->settings.synchronous = percent(run, run->profile->full_percent)     ? KV_SYNC_FULL
                                : percent(run, run->profile->normal_percent) ? KV_SYNC_NORMAL
                                                                             : KV_SYNC_OFF;
    if (failed(run, kv_txn_begin(run->at->store, &run->settings, &txn)))
        return;
    find_out(run);
    content = *newest(run);
    write_with_savepoints(run, txn, &content);
    if (ending == ABORT) {
        abort_txn(run, txn, false);
        return;
    }
    prepared = prepare(run, txn, &content);
    if (prepared && ending == PREPARE && percent(run, 60)) {
        if (!write_some(run, txn, &content)) { /* takes the commit back first */
            abort_txn(run, txn, true);
            return;
        }
        run->now.maybe = false;
        note(run);
        prepared = prepare(run, txn, &content);
        ending = COMMIT;
    }
    if (prepared && ending == COMMIT)
        publish(run, txn, &content, run->settings.synchronous == KV_SYNC_FULL);
    else
        abort_txn(run, txn, prepared);
}

/* ---- Other operations */

static void sync_store(struct run *run)
{
    uint64_t seq;

    if (!failed(run, kv_sync(run->at->store, &seq)) && seq > run->now.durable) {
        need_that(seq == run->workload->history.last, "kv_sync says %llu", (unsigned long long)seq);
        run->now.durable = seq;
    }
    note_durable(run);
}

static void seal_log(struct run *run)
{
    struct kv_engine *engine = &run->at->store->engine;

    if (failed(run, kv_writer_take(engine, 0)))
        return;
    find_out(run);
    failed(run, kv_writer_seal(engine, false, NULL));
    kv_engine_drop_writer(engine, false);
    note_durable(run);
    if (percent(run, 60)) /* else it stays without an index for a while */
        failed(run, kv_seal_finish(engine, NULL));
    note_durable(run);
}

static void merge_runs(struct run *run)
{
    struct kv_engine *engine = &run->at->store->engine;
    struct kv_settings settings = power_options(NULL).settings;

    if (failed(run, kv_engine_take_compactor(engine, 0)))
        return;
    failed(run, kv_compact_by_policy(engine, &settings));
    kv_engine_drop_compactor(engine);
    note_durable(run);
}

static void compact(struct run *run)
{
    if (!failed(run, kv_compact(run->at->store, NULL, NULL)))
        find_out(run);
    note_durable(run);
}

static void arm_fault(struct run *run)
{
    static const struct {
        enum kv_memfs_call call;
        enum kv_status status;
        unsigned spread;
    } faults[] = {
        {KV_MEMFS_DATASYNC, KV_IOERR, 2}, {KV_MEMFS_SYNC, KV_IOERR, 4},
        {KV_MEMFS_DIR_SYNC, KV_IOERR, 3}, {KV_MEMFS_RENAME, KV_IOERR, 2},
        {KV_MEMFS_WRITE, KV_FULL, 4},     {KV_MEMFS_ALLOCATE, KV_FULL, 2},
        {KV_MEMFS_UNLINK, KV_IOERR, 2},   {KV_MEMFS_ANY, KV_IOERR, 40},
    };
    unsigned which = below(run, sizeof(faults) / sizeof(faults[0]));

    kv_memfs_fail(run->fs, faults[which].call, 1 + below(run, faults[which].spread),
                  faults[which].status, KV_MEMFS_ONCE);
    run->may_fail = true;
}

static enum ending any_ending(struct run *run)
{
    return (enum ending)below(run, 3);
}

/* Do something, chosen by the profile's numbers. */
static void step(struct run *run)
{
    const struct profile *profile = run->profile;
    unsigned weights[] = {profile->commit, profile->abort, profile->prepare, profile->idle,
                          profile->sync,   profile->seal,  profile->merge,   profile->compact,
                          profile->reopen, profile->kill};
    unsigned sum = 0, dice, which = 0;

    for (unsigned i = 0; i < sizeof(weights) / sizeof(weights[0]); i++)
        sum += weights[i];
    for (dice = below(run, sum); dice >= weights[which]; which++)
        dice -= weights[which];
    switch (which) {
    case 0: transact(run, COMMIT); break;
    case 1: transact(run, ABORT); break;
    case 2: transact(run, PREPARE); break;
    case 3: kv_memfs_advance(run->fs, below(run, 1800)); break;
    case 4: sync_store(run); break;
    case 5: seal_log(run); break;
    case 6: merge_runs(run); break;
    case 7: compact(run); break;
    case 8: close_store(run); break;
    default: kill_all(run);
    }
    if (run->at->store)
        note_death(run);
}

/* A process dies at some call of what it does now. Another will find what it left. */
static void die(struct run *run)
{
    unsigned alive = 0;

    for (unsigned i = 0; i < PROCESSES; i++)
        alive += !run->processes[i].is_dead;
    if (alive < 3 || !run->at->store)
        return;
    run->may_fail = true;
    kv_memfs_kill_process_at(run->fs, run->at->inner, 1 + below(run, 45), percent(run, 50));
    for (unsigned tries = 0; tries < 8 && !run->at->is_dead && run->at->store; tries++) {
        if (percent(run, 30))
            seal_log(run);
        else
            transact(run, any_ending(run));
        if (run->at->store)
            note_death(run);
    }
    if (run->at->store) {
        kv_memfs_kill_process(run->fs, run->at->inner);
        note_death(run);
    }
    run->at->is_dead = true;
    run->may_fail = false;
}

static void choose_process(struct run *run)
{
    unsigned skip = below(run, run->profile->processes);

    for (unsigned i = 0; i < PROCESSES; i++) {
        if (!run->processes[i].is_dead) {
            run->at = &run->processes[i];
            if (skip-- == 0)
                return;
        }
    }
}

static void work(struct run *run)
{
    const struct profile *profile = run->profile;

    for (unsigned i = 0; i < profile->steps; i++) {
        choose_process(run);
        if (!run->at->store)
            open_store(run);
        if (!run->at->store)
            continue;
        if (profile->fault && below(run, 20) < profile->fault)
            arm_fault(run);
        if (profile->die && below(run, 20) < profile->die)
            die(run);
        else
            step(run);
        if (run->may_fail && percent(run, 50)) {
            kv_memfs_heal(run->fs);
            run->may_fail = run->now.maybe;
        }
    }
}

static void make_processes(struct run *run)
{
    bool several = run->profile->processes > 1;

    for (unsigned i = 0; i < PROCESSES; i++) {
        struct process *process = &run->processes[i];

        process->is_dead = i > 0 && !several;
        process->inner = several ? kv_memfs_process(run->fs) : kv_memfs_io(run->fs);
        process->io = trace_io_new(&run->workload->trace, process->inner);
    }
    run->at = &run->processes[0];
}

void workload_run(struct workload *workload, const struct profile *profile, uint64_t seed)
{
    struct run run = {.workload = workload, .profile = profile};

    place.step = "the workload itself";
    chooser_init(&run.chance, CHOOSE_RANDOMLY, seed * 1000 + (uint64_t)(profile - profiles), 1);
    trace_init(&workload->trace, POWER_PATH);
    history_init(&workload->history);
    run.fs = kv_memfs_new(chooser_random(&run.chance));
    make_processes(&run);
    note(&run);
    work(&run);
    kv_memfs_heal(run.fs);
    run.may_fail = true;
    for (unsigned i = 0; i < PROCESSES; i++) {
        run.at = &run.processes[i];
        if (run.at->store)
            close_store(&run);
        trace_io_free(run.at->io);
    }
    kv_memfs_free(run.fs);
}

void workload_release(struct workload *workload)
{
    trace_release(&workload->trace);
    history_release(&workload->history);
}
