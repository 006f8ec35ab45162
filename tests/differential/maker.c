/* Adding operations: see maker.h. */
#include "maker.h"

enum { BOUND_PERCENT = 25, SECOND_CONNECTION_PERCENT = 15 };

void maker_add(struct maker *maker, struct op op)
{
    op_list_add(&maker->episode->ops, op);
}

void maker_add_sql(struct maker *maker, enum op_class class, unsigned flags, struct text *sql)
{
    maker_add(maker,
              (struct op){.kind = OP_RUN, .class = class, .flags = flags, .sql = text_take(sql)});
}

void maker_add_fixed_sql(struct maker *maker, enum op_class class, unsigned flags, const char *sql)
{
    struct text text = {0};

    text_add(&text, "%s", sql);
    maker_add_sql(maker, class, flags, &text);
}

/* The table kt is one of connection 0: the other meets an error. */
void maker_add_anywhere(struct maker *maker, struct op op)
{
    if (random_chance(&maker->random, SECOND_CONNECTION_PERCENT))
        op.connection = 1;
    if (random_chance(&maker->random, BOUND_PERCENT))
        op.flags |= OP_BINDS;
    maker_add(maker, op);
}

void maker_create_table(struct maker *maker, int connection, const struct table *table,
                        const char *before)
{
    struct text kv = {0}, ordinary = {0};

    text_add(&kv, "%s", before);
    text_add(&ordinary, "%s", before);
    table_create_kv(table, maker->episode->setting.in_memory, &maker->random, &kv);
    table_create_ordinary(table, &ordinary);
    maker_add(maker, (struct op){.kind = OP_RUN,
                                 .connection = connection,
                                 .class = *before ? CLASS_SCHEMA : CLASS_SETUP,
                                 .flags = OP_IS_SCHEMA,
                                 .sql = text_take(&kv),
                                 .ordinary = text_take(&ordinary)});
}
