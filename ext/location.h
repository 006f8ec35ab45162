/* Where a table's store lies: from the database file, the table's name and path='…'. Pure. */
#ifndef KV_EXT_LOCATION_H
#define KV_EXT_LOCATION_H

#include <stdbool.h>

#include "sqlite.h"

/*
 * The default path, relative to the database file's directory:
 * `<file name>-kv/<table>`, where bytes of the table's name outside
 * A–Za-z0-9_- become %XX. All functions here return memory to be freed with
 * sqlite3_free, or NULL when there is none.
 */
char *kv_location_default(const char *database_file, const char *table);

/*
 * The path to open for a recorded one: relative ones start at the directory of
 * `database_file`; "" is a database without a file, whose directory is the process's.
 */
char *kv_location_resolve(const char *database_file, const char *path);

/* A name under `directory` that nobody else will think of. */
char *kv_location_temporary(const char *directory);

#endif
