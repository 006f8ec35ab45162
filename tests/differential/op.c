/* Lists of operations: see op.h. */
#include "op.h"

#include <stdlib.h>
#include <string.h>

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

void op_list_remove(struct op_list *list, size_t from, size_t count)
{
    if (from >= list->count)
        return;
    if (count > list->count - from)
        count = list->count - from;
    for (size_t i = from; i < from + count; i++) {
        free(list->ops[i].sql);
        free(list->ops[i].ordinary);
    }
    memmove(&list->ops[from], &list->ops[from + count],
            (list->count - from - count) * sizeof(*list->ops));
    list->count -= count;
}

void op_list_release(struct op_list *list)
{
    op_list_remove(list, 0, list->count);
    free(list->ops);
    *list = (struct op_list){0};
}
