/* The one place that turns engine statuses into SQLite's result codes and messages. */
#ifndef KV_EXT_ERRORS_H
#define KV_EXT_ERRORS_H

#include "sqlite.h"
#include "status.h"

/* The result code of a status; KV_OK and KV_DONE are SQLITE_OK. That of KV_IOERR says what this thread failed to do last. */
int kv_code_of(enum kv_status st);

/*
 * Replace `*error` by a message that begins with the table's (or function's)
 * name, printf-like. Returns `code`. Out of memory leaves `*error` NULL.
 */
int kv_error(char **error, int code, const char *name, const char *format, ...) KV_PRINTF(4, 5);

/* As above for what the engine just failed with: its message and code, and what helps against damage. */
int kv_error_of(char **error, const char *name, enum kv_status st);

/*
 * Replace `*error` by the database connection's last message and return its
 * code. SQLITE_NOMEM if it has no failure to tell of.
 */
int kv_error_of_sqlite(char **error, const char *name, sqlite3 *db);

/* Fail the SQL function with `code` and take over `error` (may be NULL). */
void kv_result_error(sqlite3_context *context, int code, char *error);

#endif
