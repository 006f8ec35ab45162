/* Lists of operations: see op.h. */
#include "op.h"

#include <stdlib.h>

const char *op_class_name(enum op_class class)
{
    static const char *const names[CLASS_COUNT] = {
        "setup",       "insert",   "insert select", "replace",  "update",      "update key",
        "update from", "delete",   "point",         "range",    "list",        "pattern",
        "aggregate",   "join",     "subquery",      "compound", "transaction", "savepoint",
        "ordinary",    "view",     "cursor",        "schema",   "compact",     "reopen",
        "crash",       "intruder", "fault",         "content",
    };

    return names[class];
}

void op_list_add(struct op_list *list, struct op op)
{
    if (list->count == list->capacity) {
        list->capacity = 2 * list->capacity + 64;
        list->ops = (struct op *)realloc(list->ops, list->capacity * sizeof(*list->ops));
        if (!list->ops)
            abort();
    }
    list->ops[list->count++] = op;
}

void op_list_release(struct op_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->ops[i].sql);
        free(list->ops[i].ordinary);
    }
    free(list->ops);
    *list = (struct op_list){0};
}
