/* Conditions and expressions: see condition.h. */
#include "condition.h"

#include <string.h>

static void key(const struct context *context, struct text *out)
{
    text_add(out, "%skey", context->prefix);
}

static void key_literal(const struct context *context, struct text *out)
{
    literal_key(context->random, context->table, out);
}

const struct table *random_table(struct random *random, const struct table *tables)
{
    unsigned which = random_below(random, 100);

    return &tables[which < 60 ? 0 : which < 82 ? 1 : which < 92 ? 2 : 3];
}

/*
 * Compared with a column, a key is converted as that column's type asks: a
 * text key '007' equals 7 in a column of numbers.
 */
const char *condition_partner(const struct context *context)
{
    static const char *const partners[] = {"a", "a", "b", "t", "n", "n + 0", "t || ''", "id"};

    return RANDOM_PICK(context->random, partners);
}

/* ---- The key */

void condition_point(const struct context *context, struct text *out)
{
    static const char *const equals[] = {"=", "=", "=", "==", "IS"};

    key(context, out);
    text_add(out, " %s ", RANDOM_PICK(context->random, equals));
    key_literal(context, out);
}

void condition_range(const struct context *context, struct text *out)
{
    static const char *const lower[] = {">", ">="};
    static const char *const upper[] = {"<", "<="};
    unsigned which = random_below(context->random, 8);

    if (which == 0) {
        key(context, out);
        text_add(out, " BETWEEN ");
        key_literal(context, out);
        text_add(out, " AND ");
        key_literal(context, out);
        return;
    }
    if (which == 1) {
        text_add(out, "(%skey, %sv) %s (", context->prefix, context->prefix,
                 random_chance(context->random, 50) ? ">" : "<=");
        key_literal(context, out);
        text_add(out, ", ");
        literal_value(context->random, out);
        text_add(out, ")");
        return;
    }
    key(context, out);
    text_add(out, " %s ",
             which < 5 ? RANDOM_PICK(context->random, lower) : RANDOM_PICK(context->random, upper));
    key_literal(context, out);
    if (which % 2 == 0)
        return;
    text_add(out, FRAGMENT " AND ");
    key(context, out);
    text_add(out, " %s ",
             which < 5 ? RANDOM_PICK(context->random, upper) : RANDOM_PICK(context->random, lower));
    key_literal(context, out);
    text_add(out, END);
}

/* Of what others write, a statement that goes on meanwhile shows one state only in its own table. */
static const struct table *other_table(const struct context *context)
{
    return context->is_long ? context->table : random_table(context->random, context->tables);
}

/* A query for IN. */
static void list_query(const struct context *context, struct text *out)
{
    struct context other = *context;

    other.prefix = "";
    other.table = other_table(context);
    switch (random_below(context->random, 3)) {
    case 0: text_add(out, "SELECT %s FROM fixed", condition_partner(context)); break;
    case 1:
        text_add(out, "SELECT %s FROM %s", condition_partner(context),
                 context->is_long ? "fixed" : "o");
        break;
    default:
        text_add(out, "SELECT key FROM %s", other.table->name);
        text_add(out, FRAGMENT " WHERE ");
        condition_range(&other, out);
        text_add(out, END);
    }
    if (random_chance(context->random, 20))
        text_add(out, FRAGMENT " ORDER BY 1 LIMIT %u" END, random_below(context->random, 9));
}

void condition_list(const struct context *context, struct text *out)
{
    unsigned count = random_below(context->random, 8);

    if (random_chance(context->random, 20)) {
        text_add(out, "(%skey = ", context->prefix);
        key_literal(context, out);
        text_add(out, FRAGMENT " OR %skey = ", context->prefix);
        key_literal(context, out);
        text_add(out, END ")");
        return;
    }
    key(context, out);
    text_add(out, random_chance(context->random, 85) ? " IN (" : " NOT IN (");
    if (random_chance(context->random, 35)) {
        list_query(context, out);
    } else {
        for (unsigned i = 0; i < count; i++) {
            text_add(out, i ? FRAGMENT ", " : "");
            key_literal(context, out);
            text_add(out, i ? END : "");
        }
    }
    text_add(out, ")");
}

void condition_pattern(const struct context *context, struct text *out)
{
    key(context, out);
    if (random_chance(context->random, 10))
        text_add(out, " NOT");
    if (random_chance(context->random, 65)) {
        text_add(out, " GLOB ");
        literal_glob(context->random, out);
    } else {
        text_add(out, " LIKE ");
        literal_like(context->random, out);
    }
}

/* The key and a value beside others. Of a list of pairs, SQLite sorts the rows that it finds. */
static void pair(const struct context *context, struct text *out)
{
    struct context other = *context;
    bool is_list;

    other.prefix = "";
    text_add(out, "(%skey, %sv) ", context->prefix, context->prefix);
    if (!context->in_order && random_chance(context->random, 40)) {
        text_add(out, "IN (SELECT key, v FROM %s WHERE ", context->table->name);
        condition_range(&other, out);
        text_add(out, ")");
        return;
    }
    is_list = !context->in_order && random_chance(context->random, 50);
    text_add(out, is_list ? "IN (VALUES (" : "= (");
    key_literal(context, out);
    text_add(out, ", ");
    literal_value(context->random, out);
    text_add(out, is_list ? "))" : ")");
}

/* Comparisons of the key that no lookup answers. */
static void key_otherwise(const struct context *context, struct text *out)
{
    static const char *const forms[] = {"%skey != ",
                                        "+%skey = ",
                                        "%skey || '' = ",
                                        "%skey IS NOT ",
                                        "%skey COLLATE NOCASE = ",
                                        "%skey COLLATE NOCASE < ",
                                        "typeof(%skey) < ",
                                        "%skey COLLATE RTRIM = ",
                                        "%skey % 3 = ",
                                        "length(%skey) > "};
    const char *form = RANDOM_PICK(context->random, forms);

    for (; *form; form++) {
        if (form[0] == '%' && form[1] == 's') {
            text_add(out, "%s", context->prefix);
            form++;
        } else {
            text_add_bytes(out, form, 1);
        }
    }
    key_literal(context, out);
}

static void key_null(const struct context *context, struct text *out)
{
    static const char *const forms[] = {" IS NULL", " IS NOT NULL", " NOTNULL", " = NULL",
                                        " > NULL"};

    key(context, out);
    text_add(out, "%s", RANDOM_PICK(context->random, forms));
}

/* The key beside what a scalar subquery gives; aggregates have no affinity. */
static void key_scalar(const struct context *context, struct text *out)
{
    static const char *const operators[] = {"=", ">", "<=", "IS", "<", ">="};
    static const char *const aggregates[] = {"min", "max"};

    key(context, out);
    text_add(out, " %s (SELECT %s(%s) FROM %s)", RANDOM_PICK(context->random, operators),
             RANDOM_PICK(context->random, aggregates),
             random_chance(context->random, 50) ? "key" : "v", context->table->name);
}

static void exists(const struct context *context, struct text *out)
{
    /* A table that is being changed may not be read once for each of its rows. */
    if (!context->is_target && random_chance(context->random, 50)) {
        const struct table *other = random_table(context->random, context->tables);

        text_add(out,
                 "EXISTS (SELECT 1 FROM %s AS z WHERE z.v = %sv AND quote(z.key) > quote(%skey))",
                 other->name, context->prefix, context->prefix);
        return;
    }
    text_add(out, "%sEXISTS (SELECT 1 FROM %s AS z WHERE %skey = z.%s)",
             random_chance(context->random, 30) ? "NOT " : "",
             random_chance(context->random, 50) ? "o" : "fixed", context->prefix,
             condition_partner(context));
}

static void value_condition(const struct context *context, struct text *out)
{
    static const char *const operators[] = {"=", "!=", "<", ">", ">=", "IS", "IS NOT"};

    switch (random_below(context->random, 5)) {
    case 0:
        expression_column(context, out);
        text_add(out, random_chance(context->random, 50) ? " IS NULL" : " IS NOT NULL");
        break;
    case 1:
        text_add(out, "typeof(");
        expression_column(context, out);
        text_add(out, ") = '%s'", random_chance(context->random, 50) ? "text" : "integer");
        break;
    case 2:
        text_add(out, "length(%sv) > %u", context->prefix, random_below(context->random, 40));
        break;
    default:
        expression_column(context, out);
        text_add(out, " %s ", RANDOM_PICK(context->random, operators));
        literal_value(context->random, out);
    }
}

static void simple(const struct context *context, struct text *out)
{
    switch (random_below(context->random, 17)) {
    case 0:
    case 1:
    case 2: condition_point(context, out); break;
    case 3:
    case 4:
    case 5:
    case 6: condition_range(context, out); break;
    case 7:
    case 8: condition_list(context, out); break;
    case 9: condition_pattern(context, out); break;
    case 10: key_otherwise(context, out); break;
    case 11: key_null(context, out); break;
    case 12: key_scalar(context, out); break;
    case 13: exists(context, out); break;
    case 14: pair(context, out); break;
    default: value_condition(context, out); break;
    }
}

void condition_any(const struct context *context, struct text *out)
{
    unsigned which = random_below(context->random, 8);

    /* Either side of an OR may be looked up by itself. */
    switch (which == 0 && context->in_order ? 1 : which) {
    case 0:
        text_add(out, "(");
        simple(context, out);
        text_add(out, FRAGMENT " OR ");
        simple(context, out);
        text_add(out, END ")");
        break;
    case 1:
        text_add(out, "NOT (");
        simple(context, out);
        text_add(out, ")");
        break;
    case 2:
    case 3:
        simple(context, out);
        text_add(out, FRAGMENT " AND ");
        simple(context, out);
        text_add(out, END);
        break;
    default: simple(context, out); break;
    }
}

/* ---- Expressions */

void expression_column(const struct context *context, struct text *out)
{
    unsigned i = random_below(context->random, (unsigned)context->table->column_count);

    text_add(out, "%s%s", context->prefix, context->table->columns[i].name);
}

/* An expression that fails on some rows: a statement ends midway. */
static void failing(const struct context *context, struct text *out)
{
    text_add(out, "CASE WHEN ");
    condition_point(context, out);
    text_add(out, " THEN abs(-9223372036854775807 - 1) ELSE %sv END", context->prefix);
}

void expression_any(const struct context *context, struct text *out)
{
    static const char *const forms[] = {
        "substr(%s || 'x', 1, 200)",
        "%s + 1",
        "-%s",
        "length(%s)",
        "%s",
        "substr(%s, 2, 100)",
        "quote(substr(%s, 1, 20))",
        "typeof(%s)",
        "coalesce(%s, 5)",
        "CAST(substr(%s, 1, 90) AS BLOB)",
        "%s * 1.5",
        "%s %% 7",
        "%s / 2",
        "CAST(%s AS INTEGER)",
        "%s || ''",
        "upper(substr(%s, 1, 50))",
        "nullif(%s, 1)",
        "CAST(substr(%s, 1, 70) AS TEXT)",
        "abs(%s %% 1000)",
        "%s IS NULL",
    };
    struct text column = {0};

    if (random_chance(context->random, 30)) {
        literal_value(context->random, out);
        return;
    }
    if (random_chance(context->random, 4) && !context->is_safe) {
        failing(context, out);
        return;
    }
    if (random_chance(context->random, 4)) {
        text_add(out, "(SELECT %s FROM fixed WHERE fixed.%s %s %skey)",
                 random_chance(context->random, 50) ? "count(*)" : "min(fixed.id)",
                 condition_partner(context), random_chance(context->random, 50) ? "<" : "=",
                 context->prefix);
        return;
    }
    expression_column(context, &column);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    text_add(out, RANDOM_PICK(context->random, forms), column.data);
#pragma GCC diagnostic pop
    text_release(&column);
}

void expression_key(const struct context *context, struct text *out)
{
    const char *prefix = context->prefix;

    switch (random_below(context->random, 9)) {
    case 0: text_add(out, "%skey + 1", prefix); break;
    case 1: text_add(out, "%skey - 1", prefix); break;
    case 2: text_add(out, "substr(%skey || 'x', 1, 40)", prefix); break;
    case 3: text_add(out, "substr(%skey, 1, 2)", prefix); break;
    case 4: text_add(out, "%skey %% 5", prefix); break;
    case 5: text_add(out, "substr(%sv, 1, 60)", prefix); break;
    case 6: text_add(out, "%skey", prefix); break;
    case 7: text_add(out, "'k' || abs(%skey %% 50)", prefix); break;
    default: key_literal(context, out); break;
    }
}
