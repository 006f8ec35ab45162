/* The tables of an episode: the shapes of those under test, and the ordinary ones around them. */
#ifndef KV_DIFFERENTIAL_TABLE_H
#define KV_DIFFERENTIAL_TABLE_H

#include <stdbool.h>

#include "random.h"
#include "text.h"

/*
 * Under test:      k, k2, att.k3, temp.kt; `k` is k_again, too.
 * Ordinary tables: o(id INTEGER PRIMARY KEY, a UNIQUE, b, t TEXT, n INTEGER), its column `a` declared as k's key, with
 *                  triggers that write into k; fixed, of the same columns, never written; p(id, ref), whose
 *                  deferred foreign key fails at COMMIT; hold, for the locks of cursors.
 * Views:           w, of k, with INSTEAD OF triggers.
 */
enum { TABLE_COUNT = 4, COLUMNS_MAX = 5, MAIN_TABLE_COUNT = 2 };

/* How values are converted: the four kinds of affinity that matter for comparisons. */
enum family { FAMILY_NONE, FAMILY_TEXT, FAMILY_NUMBER };

struct column {
    const char *name;
    const char *type; /* "" for none */
    enum family family;
    bool not_null;
};

struct table {
    const char *name;                   /* as statements write it */
    const char *other_name;             /* the same, or the other one of its two names */
    const char *path;                   /* of its store */
    struct column columns[COLUMNS_MAX]; /* the first is the key */
    int column_count;
};

/* Choose columns for the table; its names and its path are set. */
void table_shape(struct table *table, struct random *random);

/* Append CREATE VIRTUAL TABLE …, with random options. */
void table_create_kv(const struct table *table, bool in_memory, struct random *random,
                     struct text *out);

/* Append CREATE TABLE … WITHOUT ROWID of the same shape. */
void table_create_ordinary(const struct table *table, struct text *out);

#endif
