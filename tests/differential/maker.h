/* An episode in the making, and how operations are added to it. */
#ifndef KV_DIFFERENTIAL_MAKER_H
#define KV_DIFFERENTIAL_MAKER_H

#include "episode.h"

enum { ACTIONS_MAX = 16 };

struct maker {
    struct episode *episode;
    struct random random;
    /* How this episode differs from others: see choose_mood in episode.c. */
    unsigned weights[ACTIONS_MAX], weight;
    unsigned rows_kept;
};

/* Append the operation. */
void maker_add(struct maker *maker, struct op op);

/* The same, on connection 1 now and then, and now and then with bound values. */
void maker_add_anywhere(struct maker *maker, struct op op);

/* Append statements to be run; `sql` is empty afterwards. */
void maker_add_sql(struct maker *maker, enum op_class class, unsigned flags, struct text *sql);
void maker_add_fixed_sql(struct maker *maker, enum op_class class, unsigned flags, const char *sql);

/* Append the table's creation, behind the statements `before` in the same operation. */
void maker_create_table(struct maker *maker, int connection, const struct table *table,
                        const char *before);

#endif
