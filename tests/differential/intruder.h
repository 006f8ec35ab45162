/*
 * Another program on the kv world's files, killed in the midst of what it does.
 *
 * It runs one transaction of a few statements that change `k`, the last of which
 * writes the row MARKER_KEY with a number that was never there. It is killed
 * at any moment: before, in a statement, in its commit, in sealing or merging,
 * or long after. Whoever is left looks for the number: if it is there, all of the
 * transaction must be, and it is run in the ordinary world, too; if not, nothing.
 */
#ifndef KV_DIFFERENTIAL_INTRUDER_H
#define KV_DIFFERENTIAL_INTRUDER_H

#include "world.h"

/* Of no affinity does it become a number. */
#define MARKER_KEY "'marker'"

struct intrusion {
    const char *kv_sql,
        *ordinary_sql; /* statements, a line for each; the last one sets the marker … */
    int number;        /* … to this */
    int microseconds;
};

/*
 * Let it happen to the kv world. `*committed`: all of it, and the ordinary world
 * has it, too. False: `what` says what is wrong with what is left.
 */
bool intruder_run(const struct world *kv, const struct world *ordinary,
                  const struct intrusion *intrusion, bool *committed, struct text *what);

/* The main function of that program. */
int intruder_main(int argc, char **argv);

#endif
