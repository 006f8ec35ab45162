/* What the processes of the torture program do: see worker.h. */
#include "worker.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OPEN_TRIES = 20 };

static volatile sig_atomic_t stopping;

const char *worker_role_name(enum role role)
{
    static const char *const names[] = {"writer", "reader", "compactor", "forker"};

    return names[role];
}

static void note_stop(int number)
{
    (void)number;
    stopping = 1;
}

static void nap(struct worker *worker, unsigned most_us)
{
    struct timespec time = {.tv_nsec = (long)bank_below(&worker->random, most_us) * 1000};

    nanosleep(&time, NULL);
}

/* ---- Failing */

static void __attribute__((noreturn, format(printf, 2, 3)))
fail(const struct worker *worker, const char *format, ...)
{
    const struct table_config *config = &worker->config;
    char text[900];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(stderr, "torture: %s %d (%s%s%s%s, synchronous %d): %s\n",
            worker_role_name(worker->role), (int)getpid(), config->sql ? "sql" : "kv.h",
            config->sql && config->library ? ", loaded" : "", config->database ? ", file" : "",
            config->readonly ? ", readonly" : "", config->synchronous, text);
    fflush(stderr);
    _exit(WORKER_FAILED);
}

#define must(worker, call)                                                                         \
    do {                                                                                           \
        enum kv_status must_status = (call);                                                       \
        if (must_status < 0)                                                                       \
            fail(worker, "%s: %s: %s", #call, kv_status_name(must_status), kv_message());          \
    } while (0)

static void open_table(struct worker *worker)
{
    enum kv_status st = KV_BUSY;

    /* Others may be opening, closing and recovering. */
    for (unsigned tries = 0; st == KV_BUSY && tries < OPEN_TRIES; tries++)
        st = table_open(&worker->config, &worker->table);
    must(worker, st);
    worker->shared->opens++;
}

static void close_table(struct worker *worker)
{
    must(worker, worker->table->ops->close(worker->table));
    worker->table = NULL;
}

/* ---- Writing: the calls of a transaction */

static int64_t get(struct worker *worker, const char *key)
{
    int64_t amount = 0;

    must(worker, worker->table->ops->get(worker->table, key, &amount));
    return amount;
}

static void put(struct worker *worker, const char *key, int64_t amount)
{
    struct kv_slice pad = bank_pad(amount, bank_below(&worker->random, BANK_PAD_MAX + 1));

    must(worker, worker->table->ops->put(worker->table, key, amount, pad));
}

static void drop(struct worker *worker, const char *key)
{
    must(worker, worker->table->ops->remove(worker->table, key));
}

/* Move an amount from one account to another; returns by how much that changes the checksum. */
static int64_t transfer(struct worker *worker)
{
    unsigned from = bank_below(&worker->random, BANK_ACCOUNTS);
    unsigned to = bank_below(&worker->random, BANK_ACCOUNTS);
    int64_t amount = 1 + bank_below(&worker->random, 1000), change = 0;
    const unsigned accounts[2] = {from, to};

    for (int i = 0; i < 2 && from != to; i++) {
        int64_t before = get(worker, bank_account(accounts[i]));
        int64_t after = before + (i ? amount : -amount);

        put(worker, bank_account(accounts[i]), after);
        change += bank_part(accounts[i], after) - bank_part(accounts[i], before);
    }
    return change;
}

/* Replace all of a place's bulk rows, perhaps more than any log can hold. */
static void write_bulk(struct worker *worker)
{
    int64_t head = get(worker, bank_bulk_head(worker->place));
    unsigned before = (unsigned)(head & 0xffff);
    unsigned count =
        bank_below(&worker->random, bank_percent(&worker->random, 40) ? BANK_BULK_MAX : 100);
    int64_t generation = (head >> 16) + 1;

    for (unsigned i = 0; i < count; i++)
        put(worker, bank_bulk(worker->place, i), generation);
    for (unsigned i = count; i < before; i++)
        drop(worker, bank_bulk(worker->place, i));
    put(worker, bank_bulk_head(worker->place), bank_bulk_amount(generation, count));
    worker->shared->bulks++;
}

/* Write what is taken back before the commit. */
static void write_and_forget(struct worker *worker)
{
    struct table *table = worker->table;

    must(worker, table->ops->mark(table));
    transfer(worker);
    drop(worker, "clock");
    must(worker, table->ops->back_to_mark(table));
}

static void write_transaction(struct worker *worker, int64_t *count, int64_t *clock)
{
    int64_t change = 0;

    *count = get(worker, bank_counter(worker->place)) + 1;
    *clock = get(worker, "clock") + 1;
    if (worker->count < 0 && *count - 1 < worker->acknowledged)
        fail(worker, "LOST: place %u has %" PRId64 " transactions, %" PRId64 " were acknowledged",
             worker->place, *count - 1, worker->acknowledged);
    if (worker->count < 0 && *count - 1 > worker->shared->attempted[worker->place])
        fail(worker, "place %u has %" PRId64 " transactions, %" PRId64 " were attempted",
             worker->place, *count - 1, worker->shared->attempted[worker->place]);
    if (worker->count >= 0 && *count - 1 != worker->count)
        fail(worker, "place %u has %" PRId64 " transactions, not %" PRId64, worker->place,
             *count - 1, worker->count);
    for (unsigned i = bank_below(&worker->random, 4); i > 0; i--)
        change += transfer(worker);
    if (bank_percent(&worker->random, 10))
        write_and_forget(worker);
    if (bank_percent(&worker->random, 1))
        write_bulk(worker);
    put(worker, bank_queue(worker->place, *count), *count);
    if (*count > BANK_QUEUE)
        drop(worker, bank_queue(worker->place, *count - BANK_QUEUE));
    put(worker, "check", get(worker, "check") + change);
    put(worker, bank_counter(worker->place), *count);
    put(worker, "clock", *clock);
}

/* ---- Writing: committing */

static void raise_clock(struct worker *worker, int64_t clock)
{
    int64_t seen = worker->shared->clock;

    while (seen < clock && !atomic_compare_exchange_weak(&worker->shared->clock, &seen, clock)) {
    }
}

static void acknowledge(struct worker *worker, int64_t count, int64_t clock)
{
    struct acknowledgement message = {worker->place, count};

    raise_clock(worker, clock);
    worker->shared->commits++;
    if (write(worker->pipe, &message, sizeof(message)) != (ssize_t)sizeof(message))
        _exit(0); /* the parent is gone */
}

static void write_once(struct worker *worker)
{
    struct table *table = worker->table;
    int64_t count, clock;
    enum kv_status st = table->ops->begin(table);

    if (st == KV_BUSY) {
        worker->shared->busy++;
        return;
    }
    must(worker, st);
    write_transaction(worker, &count, &clock);
    worker->count = count - 1;
    if (bank_percent(&worker->random, 10)) {
        table->ops->abort(table);
        worker->shared->aborts++;
        return;
    }
    worker->shared->attempted[worker->place] = count;
    st = table->ops->commit(table);
    if (st == KV_BUSY) { /* SQLite's: readers of the main database */
        table->ops->abort(table);
        worker->shared->attempted[worker->place] = count - 1;
        worker->shared->busy++;
        return;
    }
    must(worker, st);
    worker->count = count;
    acknowledge(worker, count, clock);
}

static void write_on(struct worker *worker)
{
    worker->count = -1;
    while (!stopping) {
        write_once(worker);
        if (bank_percent(&worker->random, 5))
            nap(worker, 5000);
        if (bank_below(&worker->random, 2000) == 0) {
            close_table(worker);
            open_table(worker);
        }
    }
}

/* ---- Reading */

static void note_row(void *context, int pass, const char *key, int64_t amount, struct kv_slice pad)
{
    bank_row(&((struct bank_snapshot *)context)[pass], key, amount, pad);
}

/* Both passes saw one state, and it is as it must be. */
static void check_passes(struct worker *worker, const struct bank_snapshot *passes)
{
    const char *wrong = bank_end(&passes[0]);

    if (!wrong)
        wrong = bank_end(&passes[1]);
    if (!wrong && (passes[0].clock != passes[1].clock || passes[0].check != passes[1].check ||
                   passes[0].row_count != passes[1].row_count))
        wrong = "the snapshot changed while it was read";
    if (wrong)
        fail(worker, "clock %" PRId64 ": %s", passes[0].clock, wrong);
}

/* KV_OK: what was read is in `passes` and right. KV_BUSY. */
static enum kv_status read_once(struct worker *worker, struct bank_snapshot passes[2])
{
    bool descending = bank_percent(&worker->random, 50);
    unsigned pause_ms = bank_percent(&worker->random, 10) ? bank_below(&worker->random, 30) : 0;
    int64_t known = worker->shared->clock;
    uint64_t seq;
    enum kv_status st;

    bank_begin(&passes[0], descending);
    bank_begin(&passes[1], !descending);
    st = worker->table->ops->read(worker->table, descending, pause_ms, note_row, passes, &seq);
    if (st == KV_BUSY) {
        worker->shared->busy++;
        return st;
    }
    must(worker, st);
    check_passes(worker, passes);
    if (passes->clock < worker->clock)
        fail(worker, "time ran backwards: %" PRId64 " after %" PRId64, passes->clock,
             worker->clock);
    if (passes->clock < known)
        fail(worker, "a commit that had returned is not there: clock %" PRId64 ", not %" PRId64,
             passes->clock, known);
    if (seq != 0 && (int64_t)seq - passes->clock != worker->shared->seq_ahead)
        fail(worker, "the snapshot's seq is %" PRIu64 " at clock %" PRId64 ", not %" PRId64, seq,
             passes->clock, passes->clock + worker->shared->seq_ahead);
    worker->clock = passes->clock;
    worker->shared->reads++;
    worker->shared->rows += passes->row_count;
    return KV_OK;
}

static void read_on(struct worker *worker)
{
    struct bank_snapshot passes[2];

    while (!stopping) {
        (void)!read_once(worker, passes);
        nap(worker, 4000);
        if (bank_below(&worker->random, 500) == 0) {
            close_table(worker);
            open_table(worker);
        }
    }
}

/* ---- Compacting */

static void maintain_once(struct worker *worker)
{
    struct table *table = worker->table;
    unsigned what = bank_below(&worker->random, 10);
    enum kv_status st;

    if (what < 6) {
        st = table->ops->compact(table);
        worker->shared->compactions++;
    } else if (what < 8) {
        st = table->ops->sync(table);
        worker->shared->syncs++;
    } else {
        st = table->ops->check(table);
        worker->shared->checks++;
    }
    if (st == KV_BUSY)
        worker->shared->busy++;
    else
        must(worker, st);
}

static void maintain_on(struct worker *worker)
{
    while (!stopping) {
        maintain_once(worker);
        nap(worker, 50000);
    }
}

/* ---- Forking */

/*
 * If another thread is in the allocator at the moment of a fork, the child must not find it locked for good:
 * the C library sees to that, the address sanitizer's allocator does not.
 */
#ifdef __SANITIZE_ADDRESS__
enum { CAN_FORK = false };
#else
enum { CAN_FORK = true };
#endif

static void __attribute__((noreturn)) be_child(struct worker *worker)
{
    struct bank_snapshot passes[2];
    struct table *inherited = worker->table;

    /* SQLite's own handles must not be touched in a child. */
    if (!worker->config.sql) {
        uint64_t seq;

        if (inherited->ops->begin(inherited) >= 0)
            fail(worker, "a transaction began in a forked child on its parent's handle");
        if (inherited->ops->read(inherited, false, 0, note_row, passes, &seq) >= 0)
            fail(worker, "a forked child could read through its parent's handle");
        must(worker, inherited->ops->close(inherited));
    }
    open_table(worker);
    for (int i = 0; i < 3; i++) {
        (void)!read_once(worker, passes);
        nap(worker, 20000);
    }
    close_table(worker);
    _exit(0);
}

static void fork_on(struct worker *worker)
{
    struct bank_snapshot passes[2];

    if (!CAN_FORK)
        read_on(worker);
    while (!stopping) {
        int status;
        pid_t child = fork();

        if (child == 0)
            be_child(worker);
        if (child < 0)
            fail(worker, "fork failed");
        worker->shared->forks++;
        (void)!read_once(worker, passes);
        while (waitpid(child, &status, 0) != child) {
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
            _exit(WEXITSTATUS(status)); /* the child has said why */
        if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
            fail(worker, "the forked child died of signal %d", WTERMSIG(status));
        nap(worker, 50000);
    }
}

/* ---- Running */

void worker_run(struct worker *worker)
{
    static void (*const loops[ROLE_COUNT])(struct worker *) = {write_on, read_on, maintain_on,
                                                               fork_on};

    sigset_t term;

    signal(SIGTERM, note_stop);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_UNBLOCK, &term, NULL);
    open_table(worker);
    loops[worker->role](worker);
    close_table(worker);
    _exit(0);
}

/* Rows that add up, in one transaction. */
static void write_first_rows(struct worker *worker)
{
    int64_t check = 0;

    must(worker, worker->table->ops->begin(worker->table));
    for (unsigned i = 0; i < BANK_ACCOUNTS; i++) {
        put(worker, bank_account(i), 0);
        check += bank_part(i, 0);
    }
    put(worker, "check", check);
    put(worker, "clock", 0);
    for (unsigned i = 0; i < BANK_PLACES; i++) {
        put(worker, bank_counter(i), 0);
        put(worker, bank_bulk_head(i), 0);
    }
    must(worker, worker->table->ops->commit(worker->table));
}

void worker_found(struct worker *worker)
{
    struct bank_snapshot passes[2];
    uint64_t seq;

    open_table(worker);
    write_first_rows(worker);
    close_table(worker);
    worker->config.sql = false;
    open_table(worker);
    bank_begin(&passes[0], false);
    bank_begin(&passes[1], true);
    must(worker, worker->table->ops->read(worker->table, false, 0, note_row, passes, &seq));
    worker->shared->seq_ahead = (int64_t)seq;
    check_passes(worker, passes);
    close_table(worker);
    _exit(0);
}

void worker_visit(struct worker *worker)
{
    struct bank_snapshot passes[2];

    open_table(worker);
    must(worker, read_once(worker, passes));
    close_table(worker);
    _exit(0);
}

/* ---- Auditing */

static void read_state(struct worker *worker, bool readonly, struct bank_snapshot passes[2])
{
    worker->config.readonly = readonly;
    open_table(worker);
    must(worker, read_once(worker, passes));
}

void worker_audit(struct worker *worker, const int64_t acknowledged[BANK_PLACES])
{
    struct bank_snapshot before[2], after[2];

    worker->config.sql = false;
    read_state(worker, true, before);
    close_table(worker);
    read_state(worker, false, after);
    if (before->clock != after->clock || before->check != after->check ||
        before->row_count != after->row_count)
        fail(worker, "recovery changed what there is: clock %" PRId64 ", not %" PRId64,
             after->clock, before->clock);
    for (unsigned i = 0; i < BANK_PLACES; i++) {
        int64_t count = after->places[i].count;

        if (count < acknowledged[i])
            fail(worker,
                 "LOST: place %u has %" PRId64 " transactions, %" PRId64 " were acknowledged", i,
                 count, acknowledged[i]);
        if (count > worker->shared->attempted[i])
            fail(worker, "place %u has %" PRId64 " transactions, %" PRId64 " were attempted", i,
                 count, worker->shared->attempted[i]);
    }
    must(worker, worker->table->ops->check(worker->table));
    must(worker, worker->table->ops->compact(worker->table));
    must(worker, read_once(worker, before));
    must(worker, worker->table->ops->check(worker->table));
    if (before->clock != after->clock || before->row_count != after->row_count)
        fail(worker, "compaction changed what there is");
    close_table(worker);
    _exit(0);
}
