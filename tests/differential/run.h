/*
 * Running an episode's operations in both worlds and comparing what they show.
 *
 * Operations are written without knowledge of what came before, so that any
 * part of a list is an episode, too. What cannot be compared in the state it
 * meets is SKIPPED here:
 *
 * - In WAL mode a reader does not keep another connection from committing.
 *   An ordinary table then stays as it was for the reader's whole transaction, a kv
 *   table for as long as one of its cursors is open. So nobody writes while the other
 *   connection has a read transaction, unless it consists of open cursors; and then
 *   that connection only goes on with these, until they are closed.
 * - Schema changes, while statements are open: SQLite refuses other ones for
 *   virtual tables.
 * - A crash, after a COMMIT that failed with SQLITE_BUSY: the stores may have
 *   kept the transaction, since theirs is a commit of its own.
 */
#ifndef KV_DIFFERENTIAL_RUN_H
#define KV_DIFFERENTIAL_RUN_H

#include <stdbool.h>

#include "op.h"
#include "world.h"

struct figures {
    unsigned long long statements; /* operations that were run */
    unsigned long long
        comparisons; /* of a statement's outcome, or a cursor's next row, in both worlds */
    unsigned long long committed; /* of intruders */
    unsigned long long skipped;
    unsigned long long failed; /* with an error, the same in both worlds */
    unsigned long long rows;
    unsigned long long of_class[CLASS_COUNT];
};

/*
 * Run the list in directories below `parent`. True: no difference. False:
 * `*failed_at` is the operation, and `what` says in which way the two differ.
 */
bool run_ops(const struct op_list *list, const struct setting *setting, const char *parent,
             struct figures *figures, size_t *failed_at, struct text *what);

#endif
