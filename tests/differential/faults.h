/*
 * Failures on request, the same in both worlds: a commit hook that refuses,
 * and a virtual table `faulty` whose part of a commit (xSync) fails in a
 * transaction that has written the value 'fail' to it. Where kv tables joined
 * the transaction earlier, their own xSync has succeeded by then.
 */
#ifndef KV_DIFFERENTIAL_FAULTS_H
#define KV_DIFFERENTIAL_FAULTS_H

#include <sqlite3.h>
#include <stdbool.h>

struct faults {
    bool veto;  /* the next commit is refused */
    bool fails; /* the running transaction's xSync */
};

/* Prepare a connection; `faults` must outlive it. SQLite's code. */
int faults_register(sqlite3 *db, struct faults *faults);

#endif
