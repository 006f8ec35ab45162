/*
 * One SQLite connection with one table `t(key, value)`: a kv table, or an
 * ordinary WITHOUT ROWID table in WAL mode with synchronous=NORMAL, a cache of
 * 256 MB and mmap. Every failure ends the program.
 */
#ifndef KV_BENCH_SESSION_H
#define KV_BENCH_SESSION_H

#include <sqlite3.h>

#include "common.h"

struct session {
    const struct bench_options *options;
    bool is_kv;
    bool has_thread; /* the process shall have a second thread, which does nothing */
    char directory[4096];
    sqlite3 *db;
};

/* Begin anew: no rows, nothing cached. */
void session_reset(struct session *session);

/* Close, and remove all files. `context` is a struct session. */
void session_finish(void *context);

void session_execute(struct session *session, const char *sql);
sqlite3_stmt *session_prepare(struct session *session, const char *sql);

/* Step a statement that returns no row, and reset it. */
void session_run(struct session *session, sqlite3_stmt *statement);

/* Bind key and value of row `n`. `key` must stay until the statement has run. */
void session_bind_key(sqlite3_stmt *statement, char key[BENCH_KEY_BYTES], uint64_t n);
void session_bind_value(sqlite3_stmt *statement, uint64_t n, size_t value_bytes);

/* Step through up to `limit` rows of a query, and reset it: keys must ascend, values have their size. */
uint64_t session_read_ascending(struct session *session, sqlite3_stmt *query, uint64_t limit);

#endif
