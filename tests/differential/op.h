/* What an episode consists of: statements, and what else happens between them. */
#ifndef KV_DIFFERENTIAL_OP_H
#define KV_DIFFERENTIAL_OP_H

#include <stdbool.h>
#include <stddef.h>

enum { CONNECTION_COUNT = 2, CURSOR_COUNT = 3 };

/* For the figures. */
enum op_class {
    CLASS_SETUP,
    CLASS_INSERT,
    CLASS_INSERT_SELECT,
    CLASS_REPLACE,
    CLASS_UPDATE,
    CLASS_UPDATE_KEY,
    CLASS_UPDATE_FROM,
    CLASS_DELETE,
    CLASS_POINT,
    CLASS_RANGE,
    CLASS_LIST,
    CLASS_PATTERN,
    CLASS_AGGREGATE,
    CLASS_JOIN,
    CLASS_SUBQUERY,
    CLASS_COMPOUND,
    CLASS_TRANSACTION,
    CLASS_SAVEPOINT,
    CLASS_ORDINARY,
    CLASS_VIEW,
    CLASS_CURSOR,
    CLASS_SCHEMA,
    CLASS_COMPACT,
    CLASS_REOPEN,
    CLASS_CRASH,
    CLASS_INTRUDER,
    CLASS_FAULT,
    CLASS_CONTENT,
    CLASS_COUNT
};

enum op_kind {
    OP_RUN,      /* all statements of `sql`, until one fails */
    OP_OPEN,     /* begin to read `sql` in cursor `slot` */
    OP_STEP,     /* `count` rows more from the cursor */
    OP_CLOSE,    /* the cursor */
    OP_REOPEN,   /* close and open the connection, or all of them */
    OP_REATTACH, /* detach the attached database, and attach it again */
    OP_CRASH,    /* go on with a copy of all files as they are now, as after kill -9 */
    OP_INTRUDE,  /* another process runs `sql`, killed after `count` microseconds: see intruder.h */
    OP_VETO,     /* the connection's next commit is refused by its commit hook */
};

enum op_flag {
    OP_ORDERED = 1,    /* the order of the result's rows counts */
    OP_READS = 2,      /* never writes or ends a transaction */
    OP_IS_SCHEMA = 4,  /* changes the schema */
    OP_MAINTAINS = 8,  /* runs on the kv tables only, must succeed and give no rows */
    OP_REFILTERS = 16, /* a cursor that reads its table anew for each row of another */
    OP_ALL = 32,       /* all connections; of OP_INTRUDE, they are closed meanwhile */
    OP_BINDS = 64,     /* values are bound as parameters */
};

struct op {
    enum op_kind kind;
    enum op_class class;
    unsigned flags;
    int connection;
    int slot;
    int count;
    int number;     /* OP_INTRUDE: what the marker is set to */
    char *sql;      /* marked: see text.h */
    char *ordinary; /* what runs on the ordinary tables instead; NULL: the same */
};

struct op_list {
    struct op *ops;
    size_t count;
    size_t capacity;
};

const char *op_class_name(enum op_class class);

/* Append; the list owns the texts. */
void op_list_add(struct op_list *list, struct op op);
/* Remove `count` operations from `from` on, or as many as there are. */
void op_list_remove(struct op_list *list, size_t from, size_t count);
void op_list_release(struct op_list *list);

#endif
