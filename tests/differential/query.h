/* Random SELECT statements. */
#ifndef KV_DIFFERENTIAL_QUERY_H
#define KV_DIFFERENTIAL_QUERY_H

#include "condition.h"
#include "op.h"

/* Any query. */
struct op query_any(struct random *random, const struct table *tables);

/*
 * A query whose rows come in a certain order, to be read step by step while
 * others write. It cannot fail midway.
 */
struct op query_for_cursor(struct random *random, const struct table *tables);

/* All rows of the table. */
struct op query_content(struct random *random, const struct table *table);

#endif
