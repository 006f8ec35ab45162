/*
 * The shadow table `<table>_kvmeta`: which store a kv table's rows are in.
 *
 * One row: the store's path, relative to the database file's directory where
 * it was given so, and its UUID. A user may edit it unless the connection is defensive,
 * and a crafted database may say anything: the UUID is what tells the right
 * store, and opening never creates one.
 */
#ifndef KV_EXT_SHADOW_H
#define KV_EXT_SHADOW_H

#include <stdint.h>

#include "sqlite.h"

enum { KV_UUID_SIZE = 16 };

struct kv_shadow {
    char *path; /* to be freed with sqlite3_free */
    uint8_t uuid[KV_UUID_SIZE];
};

/* All return an SQLite code; on failure `*error` is a message that begins with the table's name. */

int kv_shadow_create(sqlite3 *db, const char *schema, const char *table, const char *path,
                     const uint8_t *uuid, char **error);
int kv_shadow_read(sqlite3 *db, const char *schema, const char *table, struct kv_shadow *out,
                   char **error);
int kv_shadow_rename(sqlite3 *db, const char *schema, const char *table, const char *new_table,
                     char **error);
int kv_shadow_drop(sqlite3 *db, const char *schema, const char *table, char **error);

/* Is `<table>_<suffix>` a shadow table? */
int kv_shadow_is_name(const char *suffix);

#endif
