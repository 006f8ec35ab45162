/* Scripts: see script.h. */
#include "script.h"

#include <string.h>

static void print_sql(FILE *file, const char *marked)
{
    struct text sql = {0};

    text_add_sql(&sql, marked, WORLD_KV, NULL);
    fprintf(file, "%s;", sql.data ? sql.data : "");
    text_release(&sql);
}

/* Comments say what is not SQL, and where a statement is not run as it stands. */
static void print_op(FILE *file, const struct op *op)
{
    const char *connection = op->connection ? " on the second connection" : "";

    switch (op->kind) {
    case OP_OPEN: fprintf(file, "-- open cursor %d%s: ", op->slot, connection); break;
    case OP_STEP:
        fprintf(file, "-- step cursor %d%s %d times", op->slot, connection, op->count);
        break;
    case OP_CLOSE: fprintf(file, "-- close cursor %d%s", op->slot, connection); break;
    case OP_REOPEN:
        fprintf(file, "-- close and open again%s",
                op->flags & OP_ALL ? " all connections" : connection);
        break;
    case OP_CRASH: fprintf(file, "-- kill -9, then go on"); break;
    case OP_VETO: fprintf(file, "-- the next commit%s is refused by a hook", connection); break;
    case OP_RUN:
        if (op->connection)
            fprintf(file, "-- on the second connection:\n");
    }
    if (op->flags & OP_BINDS)
        fprintf(file, "/* values are bound */ ");
    if (op->sql)
        print_sql(file, op->sql);
    if (op->ordinary) {
        fprintf(file, "\n    -- instead of ");
        print_sql(file, op->ordinary);
    }
    fprintf(file, "\n");
}

void script_print(FILE *file, const struct op_list *list, const struct setting *setting)
{
    fprintf(file, "-- a database %s, another one attached as att\n",
            setting->in_memory ? "in memory" : "in a file");
    fprintf(file, "%s;\n", setting->pragmas);
    for (size_t i = 0; i < list->count; i++)
        print_op(file, &list->ops[i]);
}
