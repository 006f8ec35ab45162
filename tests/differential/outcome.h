/* All that a statement shows of itself, and whether two agree in it. */
#ifndef KV_DIFFERENTIAL_OUTCOME_H
#define KV_DIFFERENTIAL_OUTCOME_H

#include "rows.h"

struct outcome {
    int code; /* extended; SQLITE_OK after the last row */
    bool ran; /* prepared at least */
    struct text message;
    struct rows rows;
    sqlite3_int64 changes, total_changes, last_rowid;
    int autocommit;
    int txn_state;
};

void outcome_clear(struct outcome *outcome);
void outcome_release(struct outcome *outcome);

/* What is compared besides result, rows and what every statement leaves the same. */
enum comparison {
    COMPARE_ORDER = 1,   /* of rows */
    COMPARE_CHANGES = 2, /* the number of rows changed: of statements that change rows */
    COMPARE_TXN_STATE =
        4, /* unless a failed CREATE in one world took locks that it did not in the other */
};

/*
 * Append to `what` in which way the kv table's outcome differs from the
 * ordinary one's. False: it does not.
 */
bool outcome_differs(struct outcome *kv, struct outcome *ordinary, unsigned compared,
                     struct text *what);

#endif
