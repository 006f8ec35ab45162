/* How much kv_compact() is asked to do: its second argument. Pure. */
#ifndef KV_EXT_BUDGET_H
#define KV_EXT_BUDGET_H

#include "kv.h"
#include "sqlite.h"

/*
 * Read a size ("64MB", or a number of bytes) or a time ("500ms", "2s"). SQLITE_OK;
 * SQLITE_NOMEM; SQLITE_ERROR with `*error`, which begins with `caller` and says what is allowed.
 */
int kv_budget_parse(const char *caller, sqlite3_value *value, struct kv_compact_budget *out,
                    char **error);

#endif
