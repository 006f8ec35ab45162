/*
 * The processes that the torture program starts: what each does until it is
 * killed, or told to stop by SIGTERM. They end with a message on stderr and
 * WORKER_FAILED if anything is not as it must be.
 */
#ifndef KV_TORTURE_WORKER_H
#define KV_TORTURE_WORKER_H

#include <stdatomic.h>

#include "bank.h"
#include "table.h"

enum role {
    WRITER,
    READER,
    COMPACTOR,
    FORKER, /* forks children that have what it has open, and open it anew */
    ROLE_COUNT,
};

enum { WORKER_FAILED = 3 };

/* Memory that all processes share, and that outlives those who are killed. */
struct shared {
    _Atomic int64_t clock;                  /* of the last commit that returned */
    _Atomic int64_t attempted[BANK_PLACES]; /* the last commit that was begun */
    _Atomic int64_t seq_ahead;              /* of the store's seq before the clock */
    _Atomic uint64_t commits, aborts, bulks, reads, rows, compactions, syncs, checks, forks, opens,
        busy;
};

struct worker {
    enum role role;
    unsigned place;  /* of a writer */
    uint64_t random; /* the seed, at first */
    struct table_config config;
    int64_t acknowledged; /* of a writer's place, when this one was started */
    struct shared *shared;
    int pipe; /* where acknowledgements go */

    struct table *table;
    int64_t count, clock; /* as last seen */
};

/* What goes through the pipe after each commit; whole, being short. */
struct acknowledgement {
    unsigned place;
    int64_t count;
};

/* Never returns. */
void worker_run(struct worker *worker) __attribute__((noreturn));

/* Make the rows of a bank that has nothing yet, in an empty directory. */
void worker_found(struct worker *worker) __attribute__((noreturn));

/* Open, look, close. */
void worker_visit(struct worker *worker) __attribute__((noreturn));

/*
 * Nobody else has the store open. Look at it without and with recovery: both
 * must show the same, and nothing acknowledged may be missing.
 */
void worker_audit(struct worker *worker, const int64_t acknowledged[BANK_PLACES])
    __attribute__((noreturn));

const char *worker_role_name(enum role role);

#endif
