/* Writing: INSERT, UPDATE and DELETE of rows, and the transaction around them. */
#ifndef KV_EXT_UPDATE_H
#define KV_EXT_UPDATE_H

#include "vtab.h"

/* xUpdate */
int kv_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid);

/* xBegin, xSync, xCommit, xRollback; xSavepoint, xRelease, xRollbackTo */
int kv_update_begin(sqlite3_vtab *vtab);
int kv_update_sync(sqlite3_vtab *vtab);
int kv_update_commit(sqlite3_vtab *vtab);
int kv_update_rollback(sqlite3_vtab *vtab);
int kv_update_savepoint(sqlite3_vtab *vtab, int level);
int kv_update_release(sqlite3_vtab *vtab, int level);
int kv_update_rollback_to(sqlite3_vtab *vtab, int level);

#endif
