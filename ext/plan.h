/*
 * How a statement reads the table: what xBestIndex promises and xFilter does.
 *
 * The plan is a set of the flags below; argv holds one value for each of EQ,
 * IN, MIN, MAX and GLOB that is set, in this order. The words say the same for
 * EXPLAIN QUERY PLAN.
 *
 * Rows come in key order, so ORDER BY on the key is consumed, with the exception below.
 * No constraint is: SQLite checks each row again, for right sides are not
 * converted, and comparisons may convert the column. Bounds only have to hold
 * every row that passes. Only constraints of collation BINARY are taken: under
 * others, equal keys need not be neighbours. LIMIT is not taken, since SQLite stops by
 * itself, nor OFFSET, which counts rows that pass the checks.
 *
 * A number on the right of a text key stands for its usual text, unless it
 * comes from a column of numbers or the like: then texts count as the numbers
 * that they look like, and '05' equals 5. SQLite does not tell a virtual table which it is.
 * Literals are known when planning, parameters when reading; any other number is taken to
 * equal any text that may be a number. All these are read then, after the one that
 * the number stands for: a DELETE of one row looks at the first only.
 */
#ifndef KV_EXT_PLAN_H
#define KV_EXT_PLAN_H

#include <stdbool.h>

#include "cell.h"
#include "scratch.h"
#include "sqlite.h"

enum kv_plan {
    KV_PLAN_EQ = 1 << 0, /* = or IS; excludes the others but DESC */
    KV_PLAN_MIN = 1 << 1,
    KV_PLAN_MAX = 1 << 2,
    KV_PLAN_MIN_OPEN = 1 << 3, /* key > bound; adds no value */
    KV_PLAN_MAX_OPEN = 1 << 4, /* key < bound; adds no value */
    KV_PLAN_IN = 1 << 5,       /* one value, the whole list; excludes all but DESC */
    KV_PLAN_GLOB = 1 << 6,     /* a pattern: its start, if it has one, tells more than the bounds */
    KV_PLAN_DESC = 1 << 7,     /* from the last row to the first */
    KV_PLAN_PLAIN = 1 << 8,    /* numbers on the right are literals: they convert no key */
    KV_PLAN_BLOBS = 1 << 9,    /* a text as MAX holds for texts only: all blobs are read, too */
};

/* What the planner needs to know of the table. */
struct kv_plan_input {
    const char *key_name;
    enum kv_affinity affinity;
    sqlite3_int64 row_estimate;
};

/* xBestIndex. SQLITE_OK or SQLITE_NOMEM. */
int kv_plan_choose(const struct kv_plan_input *input, sqlite3_index_info *info);

/* What a right side comes to in terms of keys. */
enum kv_bound {
    KV_BOUND_KEY,      /* the key is in `out` */
    KV_BOUND_KEY_LONG, /* the same, cut to the longest length that keys have: no key equals it */
    KV_BOUND_NOTHING,  /* NULL: no key passes */
    KV_BOUND_ALL,      /* says nothing about keys */
    KV_BOUND_NOMEM,
};

/*
 * May comparing keys with `value`, whose plan is not KV_PLAN_PLAIN, turn texts
 * among them into numbers?
 */
bool kv_bound_converts(sqlite3_value *value, enum kv_affinity affinity);

/* The range of all texts that may be numbers: lower <= key < upper. */
void kv_bound_numeric_texts(struct kv_slice *lower, struct kv_slice *upper);

/* The key that `value` stands for on the right of = or IN. */
enum kv_bound kv_bound_equal(sqlite3_value *value, enum kv_affinity affinity,
                             struct kv_scratch *out);

/* The key that `value` stands for on the right of <, <=, > or >=. */
enum kv_bound kv_bound_range(sqlite3_value *value, enum kv_affinity affinity,
                             struct kv_scratch *out);

/*
 * The range of texts that start as `pattern` does: lower <= key < upper. Blobs
 * that match have the same bounds, but for the tag. KV_BOUND_ALL if a number could match.
 */
enum kv_bound kv_bound_glob(sqlite3_value *pattern, enum kv_affinity affinity,
                            struct kv_scratch *lower, struct kv_scratch *upper);

#endif
