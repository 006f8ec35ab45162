/*
 * The arguments of CREATE VIRTUAL TABLE … USING kv(…): column definitions,
 * then option=value pairs. Pure.
 */
#ifndef KV_EXT_ARGUMENTS_H
#define KV_EXT_ARGUMENTS_H

#include <stdbool.h>

#include "cell.h"
#include "kv.h"
#include "sqlite.h"

struct kv_column {
    char *name;
    char *type; /* as declared, words one space apart; NULL: none, or ANY */
    enum kv_affinity affinity;
    bool not_null;
};

struct kv_definition {
    struct kv_column *columns; /* the first is the key */
    int column_count;          /* 0: the columns could not be read */
    bool has_command;          /* a hidden column named as the table takes commands */
    char *path;                /* NULL: not given */
    bool readonly;
    struct kv_settings settings;
};

/*
 * Read the arguments; release `out` in any case.
 *
 * SQLITE_OK; SQLITE_NOMEM; or SQLITE_ERROR with `*error`, to be freed with
 * sqlite3_free, saying which argument is wrong and what is allowed. Then the
 * columns are those read so far: all of them if it is an option that is wrong.
 */
int kv_definition_parse(const char *table, int argc, const char *const *argv,
                        struct kv_definition *out, char **error);

void kv_definition_release(struct kv_definition *definition);

/*
 * The CREATE TABLE statement that tells SQLite the table's shape; columns that
 * could not be read are replaced by a key alone. To be freed with
 * sqlite3_free; NULL: no memory.
 */
char *kv_definition_declaration(const struct kv_definition *definition, const char *table);

/*
 * The columns as the store records them: names, affinities and NOT NULLs.
 * Two definitions with equal texts, in any case of letters, read each other's
 * rows. To be freed with sqlite3_free; NULL: no memory.
 */
char *kv_definition_schema(const struct kv_definition *definition);

#endif
