/*
 * Random values, written as SQL that any SQLite can run, and marked as values
 * (see text.h). None has an affinity
 * of its own (a cast to TEXT would): what `key = 5` finds depends on whether 5
 * stands for itself or comes from a column.
 */
#ifndef KV_DIFFERENTIAL_LITERAL_H
#define KV_DIFFERENTIAL_LITERAL_H

#include "table.h"

/* Any value at all, NULL now and then. */
void literal_value(struct random *random, struct text *out);

/* A value that may well be a key of the table, of which there are few. */
void literal_key(struct random *random, const struct table *table, struct text *out);

/* One for the column: mostly what its type suggests. */
void literal_of_column(struct random *random, const struct table *table, int column,
                       struct text *out);

/* A pattern for GLOB or LIKE. */
void literal_glob(struct random *random, struct text *out);
void literal_like(struct random *random, struct text *out);

#endif
