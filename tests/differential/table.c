/* Tables: see table.h. */
#include "table.h"

#include <string.h>

static const struct {
    const char *type;
    enum family family;
} types[] = {
    {"TEXT", FAMILY_TEXT},       {"INTEGER", FAMILY_NUMBER},
    {"REAL", FAMILY_NUMBER},     {"NUMERIC", FAMILY_NUMBER},
    {"BLOB", FAMILY_NONE},       {"", FAMILY_NONE},
    {"VARCHAR(9)", FAMILY_TEXT}, {"DOUBLE", FAMILY_NUMBER},
    {"BIGINT", FAMILY_NUMBER},   {"DECIMAL(10,5)", FAMILY_NUMBER},
};

static struct column random_column(struct random *random, const char *name)
{
    unsigned i = random_below(random, sizeof(types) / sizeof(types[0]));

    /* Often a plain one: mixtures of types are rare in the plain ones' conversions. */
    if (random_chance(random, 40))
        i = random_below(random, 6);
    return (struct column){.name = name, .type = types[i].type, .family = types[i].family};
}

void table_shape(struct table *table, struct random *random)
{
    static const char *const names[COLUMNS_MAX] = {"key", "v", "w", "x", "y"};

    table->column_count = (int)random_between(random, 2, COLUMNS_MAX);
    for (int i = 0; i < table->column_count; i++) {
        table->columns[i] = random_column(random, names[i]);
        /* The column `v` is never NOT NULL, so that most rows pass. */
        table->columns[i].not_null = i > 1 && random_chance(random, 25);
    }
}

static void add_columns(const struct table *table, bool is_kv, struct text *out)
{
    for (int i = 0; i < table->column_count; i++) {
        const struct column *column = &table->columns[i];

        text_add(out, "%s%s %s", i ? ", " : "", column->name, column->type);
        if (i == 0 && !is_kv)
            text_add(out, " NOT NULL PRIMARY KEY");
        if (column->not_null)
            text_add(out, " NOT NULL");
    }
}

/* Small segments and low tiers, so that sealing and merging happen all the time. */
static void add_options(struct random *random, struct text *out)
{
    static const char *const synchronous[] = {"off", "off", "normal", "full"};

    text_add(out, ", synchronous=%s, segment_bytes='64KB', max_segment_bytes='%uKB'",
             RANDOM_PICK(random, synchronous), 64u << random_below(random, 4));
    text_add(out, ", fanout=%u, tiers=%u, garbage_ratio=%s, auto_compact=%s",
             random_between(random, 2, 4), random_between(random, 1, 4),
             random_chance(random, 50) ? "0.05" : "0.35", random_chance(random, 80) ? "on" : "off");
}

void table_create_kv(const struct table *table, bool in_memory, struct random *random,
                     struct text *out)
{
    text_add(out, "CREATE VIRTUAL TABLE %s USING kv(", table->name);
    add_columns(table, true, out);
    if (!in_memory && table->path)
        text_add(out, ", path='%s'", table->path);
    add_options(random, out);
    text_add(out, ")");
}

void table_create_ordinary(const struct table *table, struct text *out)
{
    bool is_temp = strncmp(table->name, "temp.", 5) == 0;

    text_add(out, "CREATE %sTABLE %s(", is_temp ? "TEMP " : "",
             is_temp ? table->name + 5 : table->name);
    add_columns(table, false, out);
    text_add(out, ") WITHOUT ROWID");
}
