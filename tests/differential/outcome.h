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

/*
 * Append to `what` in which way the kv table's outcome differs from the
 * ordinary one's. `counts`: of a statement that changes rows, their number, too.
 * False: it does not.
 */
bool outcome_differs(struct outcome *kv, struct outcome *ordinary, bool ordered, bool counts,
                     struct text *what);

#endif
