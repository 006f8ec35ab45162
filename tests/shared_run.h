/*
 * Processes that share a store in memory, and what it must contain by a model:
 * the steps of tests/test_store_shared.c that concern one process and its transaction.
 *
 * A step fails the running test where the store says something else than the model. Calls may
 * fail for two reasons only: a fault was injected into them, or their process is dead.
 */
#ifndef KV_TESTS_SHARED_RUN_H
#define KV_TESTS_SHARED_RUN_H

#include "model.h"
#include "world.h"

enum { WRITERS = 3, PROCESSES = 4, SNAPSHOTS = 3 };

struct process {
    struct world world;            /* its store NULL: not running */
    struct kv_txn *txn;            /* NULL: none */
    struct kv_settings settings;   /* of its transaction */
    struct kv_settings long_calls; /* in the middle of which others go on */
    struct {
        struct kv_snapshot *snapshot; /* NULL: none */
        uint64_t seq;
    } held[SNAPSHOTS];
};

struct run {
    uint64_t random;
    struct model_figures *figures;
    struct world host; /* whose files these are; looks at backups */
    struct process processes[PROCESSES];
    struct process *writer; /* who has a transaction; NULL: nobody */
    struct process *caller; /* in the middle of a long call; NULL: nobody */
    bool nested;            /* another one goes on meanwhile */
    struct model model;
    uint64_t durable_seq;

    bool
        maybe; /* one more transaction may be there: its process died, or was told that nobody knows */
    struct model_state after; /* the state then */

    struct model_state working; /* what the transaction sees */
    bool prepared;
    bool floods, flooded; /* transactions may be, this one is too large for a log */
    bool disturbed;       /* a process has died since a transaction began last */
    struct kv_savepoint savepoint;
    struct model_state saved;

    bool is_full; /* the disk is, at times */
    bool loses;   /* what a failed sync did not write is gone from the cache, too */
    bool faulty;
    uint64_t faults_seen, faults_at_begin;
    bool has_backup;
    unsigned backup_number; /* a directory for each that nobody has written to */
    uint64_t backup_seq;    /* it contains at least so much */
    struct model_state backup_state;
    bool backup_is_ahead; /* it has what a power cut has taken from the store */
};

static inline unsigned below(struct run *run, unsigned count)
{
    return model_below(&run->random, count);
}

static inline bool percent(struct run *run, unsigned chance)
{
    return model_percent(&run->random, chance);
}

static inline bool run_is_reader(const struct run *run, const struct process *process)
{
    return process - run->processes >= WRITERS;
}

/* Tell what is going on, for people who replay a run. `process` NULL: all of them. */
void run_trace(const struct run *run, const struct process *process, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- Failures */

bool run_is_dead(const struct process *process);

/* Did a call fail, or its process die? A call may fail only if a fault was injected into it. */
bool run_failed(struct run *run, struct process *process, enum kv_status st);

/* The same for what needs a sync: one that failed since a writer last began stands in its way. */
bool run_failed_to_sync(struct run *run, struct process *process, enum kv_status st);

/* And for what needs WRITER or COMPACTOR: another one has it. */
bool run_was_busy(const struct run *run, enum kv_status st);

/* Nobody knows whether a transaction counts that leads to the state `after`, until doubt is resolved. */
void run_note_maybe(struct run *run, const struct process *process,
                    const struct model_state *after);

/* Some of the next calls fail. */
void run_arm_fault(struct run *run);

/* Between these others may go on (meanwhile). */
void run_begin_call(struct run *run, struct process *process);
void run_end_call(struct run *run, struct process *process);

/* ---- Looking */

/* A process sees `seq`. */
void run_note_seen(struct run *run, uint64_t seq);
void run_look(struct run *run, struct process *process);

void run_drop_snapshot(struct process *process, unsigned slot);
void run_take_snapshot(struct run *run, struct process *process, unsigned slot);

/* Compare a held snapshot, or part of it, with what it showed when it was taken. */
void run_read_snapshot(struct run *run, struct process *process, unsigned slot);

/* Ask what is durable. */
void run_note_durable(struct run *run, struct process *process);

/* For checks that must find nothing but what the dead have left behind; the context says what of. */
enum kv_status run_fail_on_problem(void *context, const struct kv_problem *problem);
void run_check(struct run *run, struct process *process);

/* ---- Transactions */

void run_begin(struct run *run, struct process *process);
void run_write_row(struct run *run, struct process *process, uint32_t number); /* 0: delete */
void run_commit(struct run *run, struct process *process);
void run_abort_txn(struct run *run, struct process *process);
void run_step_txn(struct run *run, struct process *process); /* one of the above, or another step */
void run_end_txn(struct run *run, struct process *process);  /* the handle is gone */

/* Is its commit on disk perhaps, and not published? */
bool run_is_pending(const struct run *run, const struct process *process);

#endif
