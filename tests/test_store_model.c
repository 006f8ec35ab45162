/*
 * A store against a model: random operations, deaths and faults.
 *
 * Each run is decided by its seed. It writes, rolls back, commits in all three
 * synchronous modes, reads through snapshots and scans held across everything,
 * compacts, and dies: by closing, kill -9 or power cut, also during recovery.
 * After each death:
 *
 * - the store opens without a helping hand, and contains transactions 1 … k;
 * - k is the last one after a close or kill; after a power cut at least the
 *   last one that was said to be durable: by a FULL commit, kv_sync, statistics;
 * - a transaction that failed is there only if its message said that nobody
 *   knows, and the power was cut; one that was aborted never;
 * - kv_store_check finds nothing, and opening again changes nothing.
 *
 * KV_TEST_SEED replays one run alone, and KV_TEST_TRACE has it told;
 * KV_TEST_SCALE multiplies the number of runs, KV_TEST_FIRST_RUN is where they begin (1).
 */
#include <stdarg.h>
#include <stdio.h>

#include "model.h"
#include "runner.h"
#include "world.h"

enum { RUNS = 250, STEPS = 450, SAVEPOINTS = 6, SNAPSHOTS = 5, SCANS = 4, FLOOD_ROWS = 6 };

static struct model_figures *figures;

struct open_scan {
    struct kv_scan *scan; /* NULL: none */
    unsigned slot;        /* of its snapshot */
    struct model_state state;
    unsigned next; /* how many keys it is past, in its direction */
    bool descending;
    uint64_t own_count; /* records of the transaction that it shows */
    bool cut;           /* and some of them are gone */
    bool ended;
};

struct run {
    uint64_t random;
    struct world world;
    struct model model;
    uint64_t durable_seq;     /* so many transactions survive a power cut */
    bool maybe;               /* one more transaction may be there after a power cut */
    struct model_state after; /* what the store contains then */

    bool floods;    /* some transactions are too large for a log */
    bool ascending; /* mostly: so that runs do not overlap, and are joined */
    unsigned next_key;
    bool faulty;          /* faults are injected in this run */
    bool frozen;          /* from some call on, all of them */
    bool loses;           /* what a failed sync did not write is gone from the cache too */
    uint64_t faults_seen; /* before this step */
    uint64_t faults_at_begin, faults_at_open;

    struct kv_txn *txn; /* NULL: none */
    struct kv_settings settings;
    struct model_state working; /* what the transaction sees */
    bool prepared;
    struct {
        struct kv_savepoint at;
        struct model_state state;
    } savepoints[SAVEPOINTS];
    unsigned savepoint_count;

    struct {
        struct kv_snapshot *snapshot; /* NULL: none */
        uint64_t seq;
    } snapshots[SNAPSHOTS];
    struct open_scan scans[SCANS];
};

static unsigned below(struct run *run, unsigned count)
{
    return model_below(&run->random, count);
}

static bool percent(struct run *run, unsigned chance)
{
    return model_percent(&run->random, chance);
}

/* Tell what is going on, for people who replay a run. */
static void __attribute__((format(printf, 2, 3)))
trace(const struct run *run, const char *format, ...)
{
    va_list arguments;

    if (!getenv("KV_TEST_TRACE"))
        return;
    fprintf(stderr, "seq %llu, durable %llu, %llu calls, %llu faults: ",
            (unsigned long long)run->model.last_seq, (unsigned long long)run->durable_seq,
            (unsigned long long)kv_memfs_calls(run->world.fs, KV_MEMFS_ANY),
            (unsigned long long)kv_memfs_fault_count(run->world.fs));
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* ---- Failures */

static bool fault_happened(const struct run *run)
{
    return kv_memfs_fault_count(run->world.fs) != run->faults_seen;
}

/* What is not durable may be gone from the cache: then there is nothing to compare. */
static bool readable(const struct run *run)
{
    return !run->loses || kv_memfs_fault_count(run->world.fs) == run->faults_at_open;
}

/* Did a call fail? It may only if a fault was injected into it, or has lost what was not durable. */
static bool failed(struct run *run, enum kv_status st)
{
    if (st == KV_OK)
        return false;
    ck_assert_msg(fault_happened(run) || (st == KV_CORRUPT && !readable(run)), "%s: %s",
                  kv_status_name(st), kv_message());
    trace(run, "failed: %s: %s", kv_status_name(st), kv_message());
    return true;
}

/* The same for what a transaction does: a fault in an earlier step of it may stand in its way. */
static bool failed_in_txn(struct run *run, enum kv_status st)
{
    if (st == KV_IOERR && kv_memfs_fault_count(run->world.fs) > run->faults_at_begin)
        return true;
    return failed(run, st);
}

/* Nobody knows whether the transaction counts, until something is written or the store is opened again. */
static void note_maybe(struct run *run, const struct model_state *after)
{
    trace(run, "its outcome is unknown");
    run->maybe = true;
    run->after = *after;
}

static void note_failed_commit(struct run *run)
{
    if (strstr(kv_message(), "unknown"))
        note_maybe(run, &run->working);
}

static void arm_fault(struct run *run)
{
    static const struct {
        enum kv_memfs_call call;
        enum kv_status status;
        unsigned flags, spread;
    } faults[] = {
        {KV_MEMFS_ANY, KV_IOERR, KV_MEMFS_ONCE, 60},
        {KV_MEMFS_ANY, KV_NOMEM, KV_MEMFS_ONCE, 60},
        {KV_MEMFS_WRITE, KV_FULL, KV_MEMFS_PARTIAL, 8},
        {KV_MEMFS_WRITE, KV_IOERR, KV_MEMFS_ONCE, 8},
        {KV_MEMFS_ALLOCATE, KV_FULL, KV_MEMFS_ONCE, 4},
        {KV_MEMFS_SYNC, KV_IOERR, KV_MEMFS_ONCE, 6},
        {KV_MEMFS_DATASYNC, KV_IOERR, KV_MEMFS_ONCE, 8},
        {KV_MEMFS_DIR_SYNC, KV_IOERR, KV_MEMFS_ONCE, 4},
        {KV_MEMFS_RENAME, KV_FULL, KV_MEMFS_ONCE, 3},
        {KV_MEMFS_UNLINK, KV_IOERR, KV_MEMFS_ONCE, 5},
        {KV_MEMFS_FILE_OPEN, KV_IOERR, KV_MEMFS_ONCE, 8},
        {KV_MEMFS_MAP, KV_NOMEM, KV_MEMFS_ONCE, 8},
        {KV_MEMFS_LOCK, KV_IOERR, KV_MEMFS_ONCE, 10},
    };
    unsigned which = below(run, sizeof(faults) / sizeof(faults[0]));

    kv_memfs_heal(run->world.fs);
    if (percent(run, 15)) {
        run->frozen = true;
        trace(run, "all calls are going to fail");
        kv_memfs_fail(run->world.fs, KV_MEMFS_ANY, 1 + below(run, 60), KV_IOERR, KV_MEMFS_STICKY);
        return;
    }
    trace(run, "a call of kind %d is going to fail", (int)faults[which].call);
    kv_memfs_fail(run->world.fs, faults[which].call, 1 + below(run, faults[which].spread),
                  faults[which].status, faults[which].flags);
}

/* ---- Scans and snapshots */

static void close_scan(struct open_scan *open)
{
    kv_scan_close(open->scan);
    open->scan = NULL;
}

static void drop_snapshot(struct run *run, unsigned slot)
{
    for (unsigned i = 0; i < SCANS; i++) {
        if (run->scans[i].scan && run->scans[i].slot == slot)
            close_scan(&run->scans[i]);
    }
    kv_snapshot_free(run->snapshots[slot].snapshot);
    run->snapshots[slot].snapshot = NULL;
}

static void take_snapshot(struct run *run, unsigned slot)
{
    drop_snapshot(run, slot);
    run->snapshots[slot].snapshot = world_snapshot(&run->world);
    run->snapshots[slot].seq = run->model.last_seq;
    if (readable(run))
        ck_assert_uint_eq(kv_snapshot_seq(run->snapshots[slot].snapshot), run->model.last_seq);
}

/* Compare a held snapshot, or part of it, with what it showed when it was taken. */
static void read_snapshot(struct run *run, unsigned slot)
{
    struct kv_snapshot *snapshot = run->snapshots[slot].snapshot;
    const struct model_state *state;
    unsigned first = below(run, MODEL_KEYS), last = first + below(run, MODEL_KEYS + 1 - first);

    if (!snapshot || !readable(run))
        return;
    state = &run->model.states[run->snapshots[slot].seq];
    if (percent(run, 10))
        model_expect(state, snapshot, NULL);
    model_expect_range(state, snapshot, NULL, first, last, percent(run, 50));
    model_expect_key(state, snapshot, NULL, first);
}

static void open_scan(struct run *run, struct open_scan *open)
{
    struct kv_range range = {.descending = percent(run, 50)};
    enum kv_status st;

    close_scan(open);
    *open = (struct open_scan){.slot = below(run, SNAPSHOTS), .descending = range.descending};
    /* With own writes over an older snapshot the states would have to be merged. */
    if (run->txn)
        take_snapshot(run, open->slot);
    if (!run->snapshots[open->slot].snapshot || !readable(run))
        return;
    open->own_count = run->txn ? kv_txn_record_count(run->txn) : 0;
    open->state = run->txn ? run->working : run->model.states[run->snapshots[open->slot].seq];
    st = kv_scan_open(run->snapshots[open->slot].snapshot, run->txn, &range, &open->scan);
    if (run->txn && failed_in_txn(run, st))
        return;
    ck_kv(st);
}

static void step_scan(struct run *run, struct open_scan *open)
{
    struct kv_entry entry;

    if (!open->scan || !readable(run))
        return;
    for (unsigned left = 1 + below(run, 40); left > 0 && !open->ended; left--) {
        enum kv_status st = kv_scan_next(open->scan, &entry);
        unsigned key;

        if (open->cut) {
            ck_kv_is(st, KV_ABORTED);
            return;
        }
        do {
            key = open->descending ? MODEL_KEYS - 1 - open->next : open->next;
        } while (open->next++ < MODEL_KEYS && open->state.rows[key] == 0);
        open->ended = open->next > MODEL_KEYS;
        ck_kv_is(st, open->ended ? KV_DONE : KV_OK);
        if (!open->ended)
            model_expect_entry(&open->state, key, &entry);
    }
}

/* The transaction has `count` records left. */
static void cut_scans(struct run *run, uint64_t count)
{
    for (unsigned i = 0; i < SCANS; i++)
        run->scans[i].cut |= run->scans[i].own_count > count && !run->scans[i].ended;
}

/* What scans show stays, but no rollback concerns them any more. */
static void release_scans(struct run *run)
{
    for (unsigned i = 0; i < SCANS; i++)
        run->scans[i].own_count = 0;
}

/* ---- Transactions */

static void begin(struct run *run)
{
    enum kv_status st;

    run->settings = run->world.options.settings;
    run->settings.synchronous = (enum kv_synchronous)below(run, 3);
    st = kv_txn_begin(run->world.store, percent(run, 80) ? &run->settings : NULL, &run->txn);
    if (failed(run, st)) {
        ck_assert_ptr_null(run->txn);
        return;
    }
    trace(run, "begun");
    run->faults_at_begin = kv_memfs_fault_count(run->world.fs);
    run->maybe = false; /* whoever writes resolves doubt first */
    run->working = *model_last(&run->model);
    run->savepoint_count = 0;
    run->prepared = false;
}

/* The transaction is over: committed, or gone. */
static void end_txn(struct run *run, bool committed)
{
    run->txn = NULL;
    run->prepared = false;
    if (!committed) {
        cut_scans(run, 0);
        release_scans(run);
        return;
    }
    release_scans(run);
    figures->transactions++;
    if (memcmp(&run->working, model_last(&run->model), sizeof(run->working)) != 0 ||
        kv_store_seq(run->world.store) > run->model.last_seq)
        model_commit(&run->model, &run->working);
    /* Publishing may seal, and so sync: if that fails, what says so may be gone from the cache. */
    if (readable(run))
        ck_assert_uint_eq(kv_store_seq(run->world.store), run->model.last_seq);
}

static void abort_txn(struct run *run)
{
    struct model_state working = run->working;
    bool prepared = run->prepared && kv_txn_record_count(run->txn) > 0;

    trace(run, "abort%s", prepared ? " what was prepared" : "");
    kv_txn_abort(run->txn);
    if (prepared && fault_happened(run))
        note_maybe(run, &working);
    end_txn(run, false);
}

static unsigned choose_key(struct run *run)
{
    if (run->ascending && percent(run, 98))
        return run->next_key++ % MODEL_KEYS;
    return below(run, MODEL_KEYS);
}

/* `number` 0: delete. */
static void write_row(struct run *run, uint32_t number)
{
    unsigned key = choose_key(run);
    struct model_state before = run->working;
    bool prepared = run->prepared;
    enum kv_status st;

    if (number)
        st = kv_txn_put(run->txn, model_key(key), model_row(number));
    else
        st = kv_txn_delete(run->txn, model_key(key));
    run->prepared = false;
    if (!failed_in_txn(run, st)) {
        run->working.rows[key] = number;
        return;
    }
    if (prepared && strstr(kv_message(), "unknown"))
        note_maybe(run, &before);
}

static void write_key(struct run *run)
{
    write_row(run, percent(run, 75) ? (uint32_t)model_random(&run->random) | 1 : 0);
}

/* Far more than a log may take of one transaction. */
static void flood(struct run *run)
{
    for (unsigned i = 0; i < FLOOD_ROWS; i++)
        write_row(run, model_large_row(&run->random));
}

static void rollback(struct run *run)
{
    unsigned to = run->savepoint_count ? below(run, run->savepoint_count) : 0;
    struct model_state before = run->working;
    bool prepared = run->prepared && kv_txn_record_count(run->txn) > 0;
    struct kv_savepoint savepoint = {0};

    if (run->savepoint_count) {
        savepoint = run->savepoints[to].at;
        run->working = run->savepoints[to].state;
        run->savepoint_count = to + percent(run, 50);
    } else {
        run->working = *model_last(&run->model);
    }
    prepared &= kv_txn_record_count(run->txn) > savepoint.record_count;
    kv_txn_rollback_to(run->txn, savepoint);
    run->prepared &= !prepared;
    if (prepared && fault_happened(run))
        note_maybe(run, &before);
    cut_scans(run, savepoint.record_count);
}

static void note_durable(struct run *run)
{
    struct kv_stats stats;

    if (failed(run, kv_store_stats(run->world.store, &stats)) || !readable(run))
        return;
    ck_assert_uint_eq(stats.last_seq, run->model.last_seq);
    ck_assert_uint_ge(stats.durable_seq, run->durable_seq);
    ck_assert_uint_le(stats.durable_seq, stats.last_seq);
    run->durable_seq = stats.durable_seq;
    ck_assert_uint_eq(stats.keys, model_count(model_last(&run->model)));
}

static void commit(struct run *run)
{
    uint64_t count = kv_txn_record_count(run->txn);
    bool full = run->settings.synchronous == KV_SYNC_FULL &&
                run->world.options.settings.synchronous == KV_SYNC_FULL;

    if (percent(run, 50)) {
        if (failed_in_txn(run, kv_txn_commit(run->txn))) {
            note_failed_commit(run);
            end_txn(run, false);
            return;
        }
    } else {
        if (failed_in_txn(run, kv_txn_prepare(run->txn))) {
            note_failed_commit(run);
            kv_txn_abort(run->txn);
            end_txn(run, false);
            return;
        }
        kv_txn_publish(run->txn);
    }
    end_txn(run, true);
    trace(run, "committed %llu records, synchronous %d or %d", (unsigned long long)count,
          (int)run->settings.synchronous, (int)run->world.options.settings.synchronous);
    if (full && count > 0) {
        run->durable_seq = run->model.last_seq;
        note_durable(run); /* which may not say less */
    }
}

static void step_txn(struct run *run)
{
    unsigned dice = below(run, 200);
    unsigned key = below(run, MODEL_KEYS);

    if (dice < 2 && run->floods) {
        flood(run);
    } else if (dice < 150) {
        write_key(run);
    } else if (dice < 160) {
        struct kv_entry entry;
        enum kv_status st = kv_txn_get(run->txn, model_key(key), &entry);

        if (readable(run) && (st == KV_DONE || !failed_in_txn(run, st))) {
            ck_kv_is(st, run->working.rows[key] ? KV_OK : KV_DONE);
            if (st == KV_OK)
                model_expect_entry(&run->working, key, &entry);
        }
    } else if (dice < 168) {
        if (run->savepoint_count < SAVEPOINTS) {
            run->savepoints[run->savepoint_count].at = kv_txn_savepoint(run->txn);
            run->savepoints[run->savepoint_count++].state = run->working;
        }
    } else if (dice < 174) {
        rollback(run);
    } else if (dice < 180) {
        if (failed_in_txn(run, kv_txn_prepare(run->txn))) {
            note_failed_commit(run);
            abort_txn(run);
        } else {
            run->prepared = true;
            trace(run, "prepared");
        }
    } else if (dice < 184) {
        abort_txn(run);
    } else {
        commit(run);
    }
}

/* ---- Deaths */

static void choose_settings(struct run *run)
{
    static const uint64_t sizes[] = {64 * 1024, 128 * 1024, 1024 * 1024};
    struct kv_settings *settings = &run->world.options.settings;

    settings->synchronous = percent(run, 60) ? KV_SYNC_FULL : (enum kv_synchronous)below(run, 3);
    settings->max_segment_bytes = sizes[below(run, 3)];
    settings->fanout = 2 + below(run, 3);
    settings->tiers = 1 + below(run, 8);
    settings->garbage_ratio = 0.05 + below(run, 90) / 100.0;
    settings->auto_compact = percent(run, 75);
}

/* The handles of a process that is dead, or that closes the store. */
static void drop_handles(struct run *run)
{
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        drop_snapshot(run, i);
    if (run->txn) {
        kv_txn_abort(run->txn);
        end_txn(run, false);
    }
}

static void crash(struct run *run)
{
    trace(run, "power cut");
    kv_memfs_crash(run->world.fs, percent(run, 40) ? KV_MEMFS_DROP : KV_MEMFS_RANDOM,
                   model_random(&run->random));
    figures->crashes++;
}

/* Open after a death; recovery may die too, and then the power is cut. `*cut` tells. */
static void open_again(struct run *run, bool *cut)
{
    struct world *world = &run->world;

    kv_memfs_heal(world->fs);
    choose_settings(run);
    for (int attempt = 0; attempt < 3 && percent(run, 25); attempt++) {
        bool sticky = percent(run, 50);

        kv_memfs_fail(world->fs, KV_MEMFS_ANY, 1 + below(run, 70), KV_IOERR,
                      sticky ? KV_MEMFS_STICKY : KV_MEMFS_ONCE);
        if (kv_store_open(WORLD_PATH, &world->options, &world->store) == KV_OK) {
            kv_memfs_heal(world->fs);
            figures->recoveries++;
            trace(run, "open");
            return;
        }
        if (sticky) {
            crash(run);
            *cut = true;
        }
        kv_memfs_heal(world->fs);
    }
    trace(run, "opening");
    world_open(world);
    figures->recoveries++;
}

/* The store has just been opened: there is no doubt, and no fault yet. */
static void new_life(struct run *run)
{
    run->maybe = run->frozen = false;
    run->faults_seen = run->faults_at_begin = run->faults_at_open =
        kv_memfs_fault_count(run->world.fs);
    run->loses = run->faulty && percent(run, 30);
    kv_memfs_set_sync_loss(run->world.fs, run->loses);
}

/* After opening: nothing is missing, nothing is there that should not be. */
static void check_contents(struct run *run, bool cut, bool maybe)
{
    struct world *world = &run->world;
    uint64_t seq = kv_store_seq(world->store);
    bool may_miss = cut || !readable(run);
    struct kv_snapshot *snapshot;

    if (seq == run->model.last_seq + 1) {
        ck_assert_msg(run->maybe && maybe, "an aborted or failed transaction is back");
        model_commit(&run->model, &run->after);
    }
    ck_assert_uint_le(seq, run->model.last_seq);
    ck_assert_msg(seq >= (may_miss ? run->durable_seq : run->model.last_seq),
                  "%llu transactions left, %llu durable, %llu committed", (unsigned long long)seq,
                  (unsigned long long)run->durable_seq, (unsigned long long)run->model.last_seq);
    run->model.last_seq = run->durable_seq = seq;
    new_life(run);
    snapshot = world_snapshot(world);
    model_expect(model_last(&run->model), snapshot, NULL);
    kv_snapshot_free(snapshot);
    world_check(world);
    note_durable(run);
}

static void close_store(struct run *run)
{
    enum kv_status st;

    trace(run, "close");
    if (run->txn)
        abort_txn(run);
    drop_handles(run);
    st = kv_store_close(run->world.store);
    run->world.store = NULL;
    failed(run, st);
}

static void die(struct run *run)
{
    struct kv_stats stats;
    unsigned how = run->frozen ? 2 + below(run, 2) : below(run, 4);
    bool cut = how >= 2, maybe = true;

    if (kv_store_stats(run->world.store, &stats) == KV_OK) {
        figures->seals += stats.seals_since_open;
        figures->compactions += stats.compactions_since_open;
    }
    if (how == 0) {
        close_store(run);
        maybe = false; /* a failed commit was written over */
    } else {
        note_durable(run);
        if (how == 1) {
            trace(run, "kill -9");
            kv_memfs_kill(run->world.fs);
            figures->kills++;
            maybe = run->prepared;
        } else {
            crash(run);
        }
        if (run->prepared && !run->maybe) {
            run->maybe = true;
            run->after = run->working;
        }
        drop_handles(run);
        world_kill(&run->world);
    }
    open_again(run, &cut);
    check_contents(run, cut, maybe || cut);
    if (percent(run, 30)) { /* opening again changes nothing */
        world_reopen(&run->world);
        check_contents(run, false, false);
    }
}

/* ---- A run */

static void sync_all(struct run *run)
{
    uint64_t seq;
    enum kv_status st = kv_sync(run->world.store, &seq);

    trace(run, "kv_sync: %s", kv_status_name(st));
    if (failed_in_txn(run, st))
        return;
    ck_assert_uint_eq(seq, run->model.last_seq);
    run->durable_seq = seq;
}

static void step_idle(struct run *run)
{
    unsigned dice = below(run, 100);

    if (dice < 60) {
        begin(run);
    } else if (dice < 64) {
        trace(run, "kv_compact");
        failed(run, percent(run, 50) ? kv_compact(run->world.store, NULL, NULL)
                                     : world_compact_some(&run->world, 1000 + below(run, 100000)));
    } else if (dice < 68) {
        sync_all(run);
    } else if (dice < 72) {
        note_durable(run);
    } else if (dice < 78) {
        kv_memfs_advance(run->world.fs, below(run, 1500));
    } else if (dice < 83) {
        die(run);
    }
}

static void step(struct run *run)
{
    unsigned slot = below(run, SNAPSHOTS);
    unsigned dice = below(run, 100);

    run->faults_seen = kv_memfs_fault_count(run->world.fs);
    if (run->frozen && run->faults_seen > 0) {
        die(run);
        return;
    }
    if (run->faulty && percent(run, 4))
        arm_fault(run);
    if (dice < 3)
        take_snapshot(run, slot);
    else if (dice < 6)
        read_snapshot(run, slot);
    else if (dice < 8)
        open_scan(run, &run->scans[below(run, SCANS)]);
    else if (dice < 14)
        step_scan(run, &run->scans[below(run, SCANS)]);
    else if (run->txn && dice < 15)
        die(run);
    else if (run->txn)
        step_txn(run);
    else
        step_idle(run);
}

/* The end: one more transaction survives opening again, and compaction brings nothing back. */
static void finish(struct run *run)
{
    bool cut = false;

    kv_memfs_heal(run->world.fs);
    run->faults_seen = kv_memfs_fault_count(run->world.fs);
    if (run->frozen)
        die(run);
    close_store(run);
    open_again(run, &cut);
    check_contents(run, cut, cut);
    begin(run);
    for (int i = 0; i < 5; i++)
        write_key(run);
    run->settings.synchronous = KV_SYNC_FULL;
    ck_kv(kv_txn_commit(run->txn));
    end_txn(run, true);
    world_reopen(&run->world);
    check_contents(run, false, false);
    ck_kv(kv_compact(run->world.store, NULL, NULL));
    world_reopen(&run->world);
    check_contents(run, false, false);
}

static void execute(uint64_t seed, bool faulty)
{
    struct run *run = calloc(1, sizeof(*run));

    figures->seed = seed;
    run->random = seed;
    run->faulty = faulty;
    run->ascending = percent(run, 25);
    run->floods = percent(run, 30);
    world_init(&run->world);
    model_init(&run->model);
    choose_settings(run);
    kv_memfs_set_write_back(run->world.fs, below(run, 3) * 40);
    kv_memfs_set_sync_names(run->world.fs, percent(run, 50));
    world_open(&run->world);
    new_life(run);
    for (int i = 0; i < STEPS; i++)
        step(run);
    finish(run);
    drop_handles(run);
    figures->faults += kv_memfs_fault_count(run->world.fs);
    figures->runs++;
    world_end(&run->world);
    model_release(&run->model);
    free(run);
}

static void execute_all(bool faulty)
{
    uint64_t only = model_only_seed();

    if (only) {
        execute(only, faulty);
        return;
    }
    for (uint64_t i = 0; i < model_scaled(RUNS); i++)
        execute(2 * (model_first_run() + i) + faulty, faulty);
}

START_TEST(test_store_model_survives_deaths)
{
    if (model_only_seed() % 2 == 0)
        execute_all(false);
}
END_TEST

START_TEST(test_store_model_survives_faults)
{
    if (model_only_seed() % 2 == 1 || model_only_seed() == 0)
        execute_all(true);
}
END_TEST

static Suite *store_model_suite(void)
{
    Suite *suite = suite_create("store_model");
    TCase *tests = tcase_create("random runs");

    tcase_set_timeout(tests, 60 * model_scaled(1));
    tcase_add_test(tests, test_store_model_survives_deaths);
    tcase_add_test(tests, test_store_model_survives_faults);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    int failures;

    figures = model_figures_new();
    failures = kv_run_suite(store_model_suite());
    if (failures)
        printf("replay with KV_TEST_SEED=%llu\n", (unsigned long long)figures->seed);
    printf("%llu runs, %llu transactions, %llu power cuts, %llu kills, %llu recoveries, "
           "%llu faults, %llu seals, %llu merges\n",
           (unsigned long long)figures->runs, (unsigned long long)figures->transactions,
           (unsigned long long)figures->crashes, (unsigned long long)figures->kills,
           (unsigned long long)figures->recoveries, (unsigned long long)figures->faults,
           (unsigned long long)figures->seals, (unsigned long long)figures->compactions);
    return failures;
}
