/* Random statements that change rows: of the tables under test, of ordinary ones, and of views. */
#ifndef KV_DIFFERENTIAL_CHANGE_H
#define KV_DIFFERENTIAL_CHANGE_H

#include "condition.h"
#include "op.h"

struct op change_any(struct random *random, const struct table *tables);

/* Of so many bytes that logs fill, of keys that are among as many as said. */
struct op change_much(struct random *random, const struct table *tables, unsigned key_count);

/* Of `o`, whose triggers write into `k`, of `p`, of the view `w`. */
struct op change_around(struct random *random, const struct table *tables);

/* Delete what is beyond a number of rows, `most` at most. */
struct op change_shorten(struct random *random, const struct table *table, unsigned most);

#endif
