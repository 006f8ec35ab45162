/* PRAGMA integrity_check of a kv table. */
#ifndef KV_EXT_INTEGRITY_H
#define KV_EXT_INTEGRITY_H

#include "sqlite.h"

/*
 * xIntegrity: read every row and its record's checksum; `flags` 1 (quick_check)
 * only opens the store. SQLITE_OK with a problem in `*problem`, or NULL there.
 */
int kv_integrity_check(sqlite3_vtab *vtab, const char *schema, const char *name, int flags,
                       char **problem);

#endif
