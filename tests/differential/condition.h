/*
 * Random conditions on the rows of a table, and random expressions over them.
 * `prefix` comes before column names: "" or an alias with its dot.
 */
#ifndef KV_DIFFERENTIAL_CONDITION_H
#define KV_DIFFERENTIAL_CONDITION_H

#include "literal.h"

struct context {
    struct random *random;
    const struct table *tables; /* all of them, TABLE_COUNT */
    const struct table *table;  /* whose rows are meant */
    const char *prefix;
    bool is_target; /* the table is being changed: subqueries must not read it row by row */
    bool is_long;   /* others write while the statement reads: no subqueries of what they write */
    bool in_order;  /* rows must be met in the order of keys, however they are found */
    bool is_safe;   /* expressions must not fail on any row */
};

/* Append one comparison of the key that a store answers by a lookup, a range, a list or a pattern. */
void condition_point(const struct context *context, struct text *out);
void condition_range(const struct context *context, struct text *out);
void condition_list(const struct context *context, struct text *out);
void condition_pattern(const struct context *context, struct text *out);

/* Append any condition, with AND, OR and NOT in it. */
void condition_any(const struct context *context, struct text *out);

/* Append an expression of the row's columns that does not grow without end. */
void expression_any(const struct context *context, struct text *out);

/* An expression for a key: few different results, so that conflicts happen. */
void expression_key(const struct context *context, struct text *out);

/* A column of `o` or `fixed`, or an expression of one, to be compared with the key. */
const char *condition_partner(const struct context *context);

/* A random column of the table, with its prefix. */
void expression_column(const struct context *context, struct text *out);

/* A random table under test; its name for FROM and the like. */
const struct table *random_table(struct random *random, const struct table *tables);

#endif
