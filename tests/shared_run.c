/* One process of several, and its transaction, against a model (shared_run.h). */
#include "shared_run.h"

#include <stdarg.h>
#include <stdio.h>

#include "runner.h"

enum { FLOOD_ROWS = 6 };

/* Tell what is going on, for people who replay a run. */
void __attribute__((format(printf, 3, 4)))
run_trace(const struct run *run, const struct process *process, const char *format, ...)
{
    va_list arguments;

    if (!getenv("KV_TEST_TRACE"))
        return;
    fprintf(stderr, "seq %llu, durable %llu, %llu calls: ", (unsigned long long)run->model.last_seq,
            (unsigned long long)run->durable_seq,
            (unsigned long long)kv_memfs_calls(run->host.fs, KV_MEMFS_ANY));
    if (process)
        fprintf(stderr, "%s%c: ", run->nested ? "meanwhile " : "",
                (char)('a' + (process - run->processes)));
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* ---- Failures */

bool run_is_dead(const struct process *process)
{
    return kv_memfs_process_is_dead(process->world.io);
}

static bool fault_since(const struct run *run, uint64_t count)
{
    return kv_memfs_fault_count(run->host.fs) > count;
}

/* Faults since there were so many of them, or a disk that is full at times. */
static bool may_fail(const struct run *run, uint64_t count)
{
    return fault_since(run, count) || run->is_full;
}

/* Did a call fail, or its process die? A call may fail only if a fault was injected into it. */
bool run_failed(struct run *run, struct process *process, enum kv_status st)
{
    if (run_is_dead(process))
        return true;
    if (st == KV_OK)
        return false;
    run_trace(run, process, "failed: %s: %s", kv_status_name(st), kv_message());
    ck_assert_msg(may_fail(run, run->faults_seen) && (st != KV_CORRUPT || run->loses), "%s: %s",
                  kv_status_name(st), kv_message());
    return true;
}

/* The same for what needs a sync: one that failed since a writer last began stands in its way. */
bool run_failed_to_sync(struct run *run, struct process *process, enum kv_status st)
{
    bool gone = run->disturbed && run->flooded && process->txn;

    if (st == KV_IOERR && (gone || may_fail(run, run->faults_at_begin)))
        return true;
    return run_failed(run, process, st);
}

/* And for what needs WRITER or COMPACTOR. */
bool run_was_busy(const struct run *run, enum kv_status st)
{
    return st == KV_BUSY && (run->writer || run->nested);
}

void run_note_maybe(struct run *run, const struct process *process, const struct model_state *after)
{
    run_trace(run, process, "its outcome is unknown");
    run->maybe = true;
    run->after = *after;
}

void run_arm_fault(struct run *run)
{
    static const struct {
        enum kv_memfs_call call;
        enum kv_status status;
        unsigned flags, spread;
    } faults[] = {
        {KV_MEMFS_ANY, KV_IOERR, KV_MEMFS_ONCE, 60},
        {KV_MEMFS_ANY, KV_NOMEM, KV_MEMFS_ONCE, 60},
        {KV_MEMFS_WRITE, KV_FULL, KV_MEMFS_PARTIAL, 8},
        {KV_MEMFS_ALLOCATE, KV_FULL, KV_MEMFS_ONCE, 4},
        {KV_MEMFS_SYNC, KV_IOERR, KV_MEMFS_ONCE, 6},
        {KV_MEMFS_DATASYNC, KV_IOERR, KV_MEMFS_ONCE, 8},
        {KV_MEMFS_DIR_SYNC, KV_IOERR, KV_MEMFS_ONCE, 4},
        {KV_MEMFS_RENAME, KV_FULL, KV_MEMFS_ONCE, 3},
        {KV_MEMFS_LOCK, KV_IOERR, KV_MEMFS_ONCE, 10},
        {KV_MEMFS_MAP, KV_NOMEM, KV_MEMFS_ONCE, 8},
    };

    kv_memfs_heal(run->host.fs);
    for (unsigned i = 0; i <= below(run, 2); i++) {
        unsigned which = below(run, sizeof(faults) / sizeof(faults[0]));

        run_trace(run, NULL, "a call of kind %d is going to fail", (int)faults[which].call);
        kv_memfs_fail(run->host.fs, faults[which].call, 1 + below(run, faults[which].spread),
                      faults[which].status, faults[which].flags);
    }
}

/* Between these others may go on (meanwhile). */
void run_begin_call(struct run *run, struct process *process)
{
    if (!run->nested)
        run->caller = process;
}

void run_end_call(struct run *run, struct process *process)
{
    if (run->caller == process)
        run->caller = NULL;
}

/* ---- Looking */

/* A process sees `seq`. */
void run_note_seen(struct run *run, uint64_t seq)
{
    if (run->maybe && seq == run->model.last_seq + 1) {
        model_commit(&run->model, &run->after);
        run->maybe = false;
    }
    ck_assert_uint_eq(seq, run->model.last_seq);
}

void run_look(struct run *run, struct process *process)
{
    uint64_t seq = kv_store_seq(process->world.store);

    if (!run_is_dead(process) && !fault_since(run, run->faults_seen))
        run_note_seen(run, seq);
}

void run_drop_snapshot(struct process *process, unsigned slot)
{
    kv_snapshot_free(process->held[slot].snapshot);
    process->held[slot].snapshot = NULL;
}

void run_take_snapshot(struct run *run, struct process *process, unsigned slot)
{
    struct kv_snapshot *snapshot;

    run_drop_snapshot(process, slot);
    ck_kv(kv_snapshot_new(process->world.store, &snapshot));
    if (run_failed(run, process, kv_snapshot_acquire(snapshot))) {
        kv_snapshot_free(snapshot);
        return;
    }
    process->held[slot].snapshot = snapshot;
    process->held[slot].seq = kv_snapshot_seq(snapshot);
    run_note_seen(run, process->held[slot].seq);
}

/* Compare a held snapshot, or part of it, with what it showed when it was taken. */
void run_read_snapshot(struct run *run, struct process *process, unsigned slot)
{
    struct kv_snapshot *snapshot = process->held[slot].snapshot;
    unsigned first = below(run, MODEL_KEYS), last = first + below(run, MODEL_KEYS + 1 - first);
    const struct model_state *state;

    if (!snapshot)
        return;
    state = &run->model.states[process->held[slot].seq];
    if (percent(run, 10))
        model_expect(state, snapshot, NULL);
    model_expect_range(state, snapshot, NULL, first, last, percent(run, 50));
    model_expect_key(state, snapshot, NULL, first);
}

void run_note_durable(struct run *run, struct process *process)
{
    struct kv_stats stats;

    if (run_failed(run, process, kv_store_stats(process->world.store, &stats)))
        return;
    run_note_seen(run, stats.last_seq);
    ck_assert_uint_le(stats.durable_seq, stats.last_seq);
    if (stats.durable_seq > run->durable_seq)
        run->durable_seq = stats.durable_seq;
    /* Where a manifest may be taken back by a crash, some know less than others. */
    ck_assert(run->faulty || stats.durable_seq == run->durable_seq);
    if (stats.exact)
        ck_assert_uint_eq(stats.keys, model_count(model_last(&run->model)));
}

/* What the dead have left behind is no fault: it goes when a store is opened that nobody has open. */
enum kv_status run_fail_on_problem(void *context, const struct kv_problem *problem)
{
    if (strstr(problem->text, "not named by MANIFEST"))
        return KV_OK;
    ck_abort_msg("%s: segment %llu, offset %llu: %s", (const char *)context,
                 (unsigned long long)problem->segment, (unsigned long long)problem->offset,
                 problem->text);
    return KV_OK;
}

void run_check(struct run *run, struct process *process)
{
    enum kv_status st;

    run_trace(run, process, "kv_store_check");
    run_begin_call(run, process);
    st = kv_store_check(process->world.store, &process->long_calls, run_fail_on_problem,
                        "the store");
    run_end_call(run, process);
    if (st != KV_INTERRUPTED)
        run_failed(run, process, st);
}

/* ---- Transactions */

void run_begin(struct run *run, struct process *process)
{
    enum kv_status st;

    process->settings = process->world.options.settings;
    process->settings.synchronous = (enum kv_synchronous)below(run, 3);
    st = kv_txn_begin(process->world.store, percent(run, 80) ? &process->settings : NULL,
                      &process->txn);
    if (run_was_busy(run, st) || run_failed(run, process, st))
        return;
    ck_assert_msg(!run->writer, "two processes write");
    run_trace(run, process, "begun");
    run->writer = process;
    kv_memfs_heal(run->host.fs);
    run->faults_at_begin = run->faults_seen = kv_memfs_fault_count(run->host.fs);
    run_look(run, process);
    if (run_is_dead(process))
        return;
    run->maybe = run->disturbed = run->flooded = run->prepared =
        false; /* doubt is resolved first */
    run->working = run->saved = *model_last(&run->model);
    run->savepoint = kv_txn_savepoint(process->txn);
}

void run_end_txn(struct run *run, struct process *process)
{
    process->txn = NULL;
    run->writer = NULL;
    run->prepared = false;
}

/* Its commit is on disk perhaps, and not published. */
bool run_is_pending(const struct run *run, const struct process *process)
{
    return process->txn && run->prepared && kv_txn_record_count(process->txn) > 0;
}

void run_abort_txn(struct run *run, struct process *process)
{
    bool pending = run_is_pending(run, process);
    struct model_state working = run->working;

    run_trace(run, process, "abort%s", pending ? " what was prepared" : "");
    kv_txn_abort(process->txn);
    if (pending && (run_is_dead(process) || may_fail(run, run->faults_seen)))
        run_note_maybe(run, process, &working);
    run_end_txn(run, process);
}

void run_write_row(struct run *run, struct process *process, uint32_t number)
{
    unsigned key = below(run, MODEL_KEYS);
    struct model_state before = run->working;
    bool pending = run_is_pending(run, process);
    enum kv_status st;

    if (number)
        st = kv_txn_put(process->txn, model_key(key), model_row(number));
    else
        st = kv_txn_delete(process->txn, model_key(key));
    run->prepared = false;
    if (!run_failed_to_sync(run, process, st))
        run->working.rows[key] = number;
    else if (pending && (run_is_dead(process) || strstr(kv_message(), "unknown")))
        run_note_maybe(run, process, &before);
}

/* Far more than a log may take of one transaction. */
static void flood(struct run *run, struct process *process)
{
    run_trace(run, process, "flood");
    run->flooded = true;
    for (unsigned i = 0; i < FLOOD_ROWS; i++)
        run_write_row(run, process, model_large_row(&run->random));
}

static void rollback(struct run *run, struct process *process)
{
    struct model_state before = run->working;
    bool pending = run_is_pending(run, process);

    pending &= kv_txn_record_count(process->txn) > run->savepoint.record_count;
    run_trace(run, process, "roll back%s", pending ? " what was prepared" : "");
    kv_txn_rollback_to(process->txn, run->savepoint);
    run->prepared &= !pending;
    run->working = run->saved;
    if (pending && (run_is_dead(process) || may_fail(run, run->faults_seen)))
        run_note_maybe(run, process, &before);
}

static void prepare(struct run *run, struct process *process)
{
    enum kv_status st = kv_txn_prepare(process->txn);

    run_trace(run, process, "prepared: %s", kv_status_name(st));
    run->prepared = true;
    if (!run_failed_to_sync(run, process, st))
        return;
    if (run_is_dead(process))
        return; /* see bury() */
    run->prepared = false;
    if (strstr(kv_message(), "unknown"))
        run_note_maybe(run, process, &run->working);
    run_abort_txn(run, process);
}

void run_commit(struct run *run, struct process *process)
{
    uint64_t count = kv_txn_record_count(process->txn);
    bool full = process->settings.synchronous == KV_SYNC_FULL &&
                process->world.options.settings.synchronous == KV_SYNC_FULL;
    enum kv_status st = kv_txn_commit(process->txn);

    run_trace(run, process, "committed %llu records: %s", (unsigned long long)count,
              kv_status_name(st));
    if (run_failed_to_sync(run, process, st)) {
        if (count > 0 && (run_is_dead(process) || strstr(kv_message(), "unknown")))
            run_note_maybe(run, process, &run->working);
        run_end_txn(run, process);
        return;
    }
    run_end_txn(run, process);
    run->figures->transactions++;
    if (count == 0)
        return;
    model_commit(&run->model, &run->working);
    run_look(run, process);
    if (full)
        run->durable_seq = run->model.last_seq;
}

static void get(struct run *run, struct process *process)
{
    unsigned key = below(run, MODEL_KEYS);
    struct kv_entry entry;
    enum kv_status st = kv_txn_get(process->txn, model_key(key), &entry);

    if (st == KV_IOERR && (run->disturbed || may_fail(run, run->faults_at_begin)))
        return; /* the transaction has failed before */
    ck_kv_is(st, run->working.rows[key] ? KV_OK : KV_DONE);
    if (st == KV_OK)
        model_expect_entry(&run->working, key, &entry);
}

void run_step_txn(struct run *run, struct process *process)
{
    unsigned dice = below(run, 200);

    if (dice < 2 && run->floods)
        flood(run, process);
    else if (dice < 6)
        run_write_row(run, process, model_large_row(&run->random));
    else if (dice < 140)
        run_write_row(run, process,
                      percent(run, 75) ? (uint32_t)model_random(&run->random) | 1 : 0);
    else if (dice < 150)
        get(run, process);
    else if (dice < 156) {
        run->savepoint = kv_txn_savepoint(process->txn);
        run->saved = run->working;
    } else if (dice < 162)
        rollback(run, process);
    else if (dice < 168)
        prepare(run, process);
    else if (dice < 172)
        run_abort_txn(run, process);
    else
        run_commit(run, process);
}
