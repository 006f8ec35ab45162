/*
 * The ledger: which transactions there are, what became of them, and what a
 * snapshot may therefore show.
 *
 * Each transaction has an id, and writes: "last", its id; "k<id>", the id of
 * the transaction before it and how many there have been; "gone<id>", which the next one
 * deletes; perhaps "big", so large that the log is due for sealing. So a snapshot tells
 * which transactions it shows, and in which order, and must show all of each.
 */
#ifndef KV_SCHEDULES_LEDGER_H
#define KV_SCHEDULES_LEDGER_H

#include "kv.h"

enum { TXNS_MAX = 64 };

enum txn_state {
    TXN_NONE,
    TXN_OPEN,      /* nobody may see it */
    TXN_PREPARING, /* nobody, unless its writer dies */
    TXN_PUBLISHED, /* it may be seen, and will be */
    TXN_UNKNOWN,   /* its outcome is said to be unknown */
    TXN_ABORTED,   /* nobody, ever */
};

struct ledger {
    struct {
        enum txn_state state;
        unsigned writer;
    } txns[TXNS_MAX];
    unsigned order[TXNS_MAX]; /* ids by place, as far as that is known; 0: not yet */
    unsigned known;           /* places 1 … known are committed, and everybody must see them */
    unsigned durable;         /* the same behind a power cut */
    unsigned writer_died[8];
    unsigned power_failed;
};

/* What one actor has seen. */
struct witness {
    unsigned place; /* the last that it saw: time does not run backwards */
};

/* The rows of a snapshot, and what they say. */
struct account {
    unsigned last, place;
    unsigned order[TXNS_MAX];
    uint64_t digest;
};

/* NULL, or what is wrong. Valid until the next call on this thread. */
const char *ledger_read(struct kv_snapshot *snapshot, struct account *account);

/* Does the ledger allow this? `floor`: what was known when the snapshot was asked for. */
const char *ledger_judge(struct ledger *ledger, struct witness *witness,
                         const struct account *account, unsigned floor, uint64_t seq);

/* What a reader has seen is committed; for those to come too, and to survive a power cut if `durable`. */
void ledger_note(struct ledger *ledger, const struct account *account, bool durable);

/* Write transaction `id` behind what `txn` sees, with a "big" row of that size (0: none); `*place` is which one it will be. */
enum kv_status ledger_write(struct kv_txn *txn, unsigned id, size_t big_bytes, unsigned *place);

/* It has been acknowledged. NULL, or why it cannot be. */
const char *ledger_acknowledge(struct ledger *ledger, unsigned id, unsigned place, bool durable);

/* Its bytes, summed up: there are none between its members. */
uint64_t ledger_hash(const struct ledger *ledger);

#endif
