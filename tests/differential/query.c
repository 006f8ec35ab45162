/* SELECT statements: see query.h. */
#include "query.h"

/* A statement being written. */
struct draft {
    struct context context;
    struct text text;
    unsigned flags;
};

static struct draft new_draft(struct random *random, const struct table *tables)
{
    struct context context = {.random = random,
                              .tables = tables,
                              .table = random_table(random, tables),
                              .prefix = "",
                              .is_safe = true};

    return (struct draft){.context = context, .flags = OP_READS};
}

static struct op finish(struct draft *draft, enum op_class class)
{
    return (struct op){
        .kind = OP_RUN, .class = class, .flags = draft->flags, .sql = text_take(&draft->text)};
}

/* The table's name, or another one for the same. */
static const char *name_of(const struct draft *draft)
{
    const struct table *table = draft->context.table;

    return random_chance(draft->context.random, 20) ? table->other_name : table->name;
}

/* ---- Parts */

static void columns(struct draft *draft)
{
    switch (random_below(draft->context.random, 5)) {
    case 0: text_add(&draft->text, "key"); break;
    case 1: text_add(&draft->text, "v, key"); break;
    case 2: text_add(&draft->text, "typeof(key), quote(key), v"); break;
    case 3:
        text_add(&draft->text, "key, ");
        expression_any(&draft->context, &draft->text);
        break;
    default: text_add(&draft->text, "*");
    }
}

static void where(struct draft *draft)
{
    if (random_chance(draft->context.random, 15))
        return;
    text_add(&draft->text, FRAGMENT " WHERE ");
    condition_any(&draft->context, &draft->text);
    text_add(&draft->text, END);
}

static void limit(struct draft *draft)
{
    struct random *random = draft->context.random;

    text_add(&draft->text, FRAGMENT " LIMIT %d", (int)random_below(random, 12) - 1);
    if (random_chance(random, 50))
        text_add(&draft->text, FRAGMENT " OFFSET %d" END, (int)random_below(random, 6) - 1);
    text_add(&draft->text, END);
}

/* An order that leaves nothing open; only then may rows be counted off. */
static void order(struct draft *draft)
{
    static const char *const orders[] = {
        "key",
        "key DESC",
        "key DESC",
        "key, v DESC",
        "v, key",
        "v DESC, key DESC",
        "typeof(v), key",
        "key COLLATE NOCASE, key",
        "-key, key",
        "key ASC NULLS FIRST",
        "key DESC NULLS LAST",
    };

    if (random_chance(draft->context.random, 35)) {
        if (draft->context.in_order)
            limit(draft);
        return;
    }
    draft->flags |= OP_ORDERED;
    text_add(&draft->text, FRAGMENT " ORDER BY %s", RANDOM_PICK(draft->context.random, orders));
    if (random_chance(draft->context.random, 40))
        limit(draft);
    text_add(&draft->text, END);
}

static struct op simple(struct random *random, const struct table *tables, enum op_class class,
                        void (*condition)(const struct context *, struct text *))
{
    struct draft draft = new_draft(random, tables);

    /* Then the first rows are the same without ORDER BY, too. */
    draft.context.in_order = class == CLASS_RANGE && random_chance(random, 40);
    text_add(&draft.text, "SELECT ");
    columns(&draft);
    text_add(&draft.text, " FROM %s WHERE ", name_of(&draft));
    condition(&draft.context, &draft.text);
    if (random_chance(random, 25)) {
        text_add(&draft.text, FRAGMENT " AND ");
        condition_any(&draft.context, &draft.text);
        text_add(&draft.text, END);
    }
    order(&draft);
    return finish(&draft, class);
}

/* ---- Kinds */

static struct op aggregate(struct random *random, const struct table *tables)
{
    static const char *const results[] = {
        "count(*)",
        "min(key)",
        "max(key)",
        "min(key), max(key), count(*)",
        "count(v), count(DISTINCT key)",
        "sum(length(v)), count(*)",
        "quote(min(key))",
        "sum(key IS NOT NULL), total(length(key))",
        "max(v), typeof(max(v))",
        "count(DISTINCT typeof(v)), max(length(v))",
        "min(key), v",
        "group_concat(typeof(key))",
    };
    struct draft draft = new_draft(random, tables);

    draft.flags |= OP_ORDERED;
    draft.context.in_order = true; /* for group_concat */
    text_add(&draft.text, "SELECT %s FROM %s", RANDOM_PICK(random, results), name_of(&draft));
    where(&draft);
    return finish(&draft, CLASS_AGGREGATE);
}

static struct op group(struct random *random, const struct table *tables)
{
    static const char *const heads[] = {"typeof(key), count(*), max(key)",
                                        "typeof(key), sum(length(v))", "count(*)"};
    static const char *const tails[] = {
        " GROUP BY typeof(key)", " GROUP BY typeof(key) HAVING count(*) > 2", " GROUP BY key",
        " GROUP BY key, v", " GROUP BY typeof(key) ORDER BY 1 DESC"};
    struct draft draft = new_draft(random, tables);

    if (random_chance(random, 40)) {
        text_add(&draft.text, "SELECT DISTINCT %s FROM %s",
                 random_chance(random, 50) ? "key" : "typeof(v), typeof(key)", name_of(&draft));
        where(&draft);
        if (random_chance(random, 50))
            text_add(&draft.text, FRAGMENT " ORDER BY 1 DESC" END);
        return finish(&draft, CLASS_AGGREGATE);
    }
    text_add(&draft.text, "SELECT %s FROM %s", RANDOM_PICK(random, heads), name_of(&draft));
    where(&draft);
    text_add(&draft.text, "%s", RANDOM_PICK(random, tails));
    return finish(&draft, CLASS_AGGREGATE);
}

static void join_condition(struct draft *draft, const char *prefix)
{
    if (!random_chance(draft->context.random, 40))
        return;
    draft->context.prefix = prefix;
    text_add(&draft->text, FRAGMENT " WHERE ");
    condition_range(&draft->context, &draft->text);
    text_add(&draft->text, END);
}

/* With an ordinary table, in either order. */
static struct op join_ordinary(struct random *random, const struct table *tables)
{
    static const char *const kinds[] = {"JOIN",       "LEFT JOIN", "CROSS JOIN",
                                        "RIGHT JOIN", "FULL JOIN", "JOIN"};
    struct draft draft = new_draft(random, tables);
    const char *other = random_chance(random, 50) ? "o" : "fixed";
    const char *partner = condition_partner(&draft.context);
    const char *kind = RANDOM_PICK(random, kinds);

    if (random_chance(random, 50))
        text_add(&draft.text, "SELECT a.id, a.b, z.* FROM %s AS a %s %s AS z ON z.key = a.%s",
                 other, kind, name_of(&draft), partner);
    else
        text_add(&draft.text, "SELECT z.*, a.id FROM %s AS z %s %s AS a ON z.key = a.%s",
                 name_of(&draft), kind, other, partner);
    join_condition(&draft, "z.");
    if (random_chance(random, 40)) {
        /* SQLite takes z.key for unique here, although texts of one number are many. */
        text_add(&draft.text, FRAGMENT " ORDER BY a.id, z.key DESC" END);
    }
    return finish(&draft, CLASS_JOIN);
}

/* Three, in whatever order they are looked up. */
static struct op join_three(struct random *random, const struct table *tables)
{
    static const char *const kinds[] = {"JOIN", "LEFT JOIN", "CROSS JOIN"};
    struct draft draft = new_draft(random, tables);
    const char *partner = condition_partner(&draft.context);

    text_add(&draft.text, "SELECT a.id, y.v, z.key FROM fixed AS a %s %s AS z ON z.key = a.%s %s ",
             RANDOM_PICK(random, kinds), name_of(&draft), partner, RANDOM_PICK(random, kinds));
    if (random_chance(random, 50))
        text_add(&draft.text, "%s AS y ON y.key = z.key", name_of(&draft));
    else
        text_add(&draft.text, "%s AS y ON y.key > z.key AND y.key <= a.id", name_of(&draft));
    join_condition(&draft, "z.");
    return finish(&draft, CLASS_JOIN);
}

/* By all columns of the same name: the key, and v at least. */
static struct op join_naturally(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);

    text_add(&draft.text, "SELECT * FROM %s NATURAL %sJOIN %s AS z", draft.context.table->name,
             random_chance(random, 30) ? "LEFT " : "", name_of(&draft));
    return finish(&draft, CLASS_JOIN);
}

/* Two tables under test, often the same. */
static struct op join_two(struct random *random, const struct table *tables)
{
    static const char *const ons[] = {"z.key = a.key", "quote(z.key) = quote(a.key)",
                                      "z.key = a.v || ''"};
    static const char *const ranges[] = {"z.key > a.key", "z.key BETWEEN a.key AND a.key",
                                         "z.key <= a.key AND a.key < z.key || 'x'"};
    struct draft draft = new_draft(random, tables);
    const struct table *other =
        random_chance(random, 50) ? draft.context.table : random_table(random, tables);
    bool is_alike = other->columns[0].family == draft.context.table->columns[0].family;

    text_add(&draft.text, "SELECT a.key, z.key, z.v FROM %s AS a %s %s AS z ", other->name,
             random_chance(random, 30) ? "LEFT JOIN" : "JOIN", name_of(&draft));
    text_add(&draft.text, random_chance(random, 15) ? "USING (key) JOIN fixed ON " : "ON ");
    /* A column of numbers may hold other texts, behind all texts that look like numbers. */
    if (is_alike && random_chance(random, 20))
        text_add(&draft.text, "%s", RANDOM_PICK(random, ranges));
    else
        text_add(&draft.text, "%s", RANDOM_PICK(random, ons));
    join_condition(&draft, "a.");
    if (is_alike && random_chance(random, 40)) {
        draft.flags |= OP_ORDERED;
        text_add(&draft.text, FRAGMENT " ORDER BY a.key, z.key" FRAGMENT " LIMIT 20" END END);
    }
    return finish(&draft, CLASS_JOIN);
}

static struct op subquery(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);

    draft.context.prefix = "a.";
    switch (random_below(random, 5)) {
    case 0:
        text_add(&draft.text,
                 "SELECT a.key, (SELECT count(*) FROM %s AS b WHERE b.key <= a.key) FROM %s AS a",
                 draft.context.table->name, name_of(&draft));
        break;
    case 1:
        text_add(&draft.text,
                 "SELECT a.key, (SELECT max(b.key) FROM %s AS b WHERE b.key < a.key) FROM %s AS a",
                 draft.context.table->name, name_of(&draft));
        break;
    case 2:
        text_add(&draft.text,
                 "SELECT key, row_number() OVER (ORDER BY key DESC), lag(key) OVER (ORDER BY key) "
                 "FROM %s AS a",
                 name_of(&draft));
        break;
    case 3:
        text_add(
            &draft.text,
            "SELECT a.id FROM o AS a WHERE %sEXISTS (SELECT 1 FROM %s AS z WHERE z.key = a.%s)",
            random_chance(random, 50) ? "NOT " : "", name_of(&draft),
            condition_partner(&draft.context));
        return finish(&draft, CLASS_SUBQUERY);
    default:
        text_add(
            &draft.text,
            "SELECT a.id, (SELECT min(quote(z.v)) FROM %s AS z WHERE z.key = a.%s) FROM fixed AS a",
            name_of(&draft), condition_partner(&draft.context));
        return finish(&draft, CLASS_SUBQUERY);
    }
    where(&draft);
    return finish(&draft, CLASS_SUBQUERY);
}

static void part_of_compound(struct draft *draft)
{
    text_add(&draft->text, "SELECT quote(key) FROM %s", name_of(draft));
    where(draft);
}

static struct op compound(struct random *random, const struct table *tables)
{
    static const char *const operators[] = {"UNION ALL", "UNION", "EXCEPT", "INTERSECT"};
    struct draft draft = new_draft(random, tables);

    if (random_chance(random, 25)) {
        text_add(
            &draft.text,
            "WITH RECURSIVE hop(x) AS (SELECT min(key) FROM %s UNION SELECT (SELECT min(key) FROM "
            "%s "
            "WHERE key > x) FROM hop WHERE x IS NOT NULL) SELECT count(*), quote(max(x)) FROM hop",
            draft.context.table->name, name_of(&draft));
        return finish(&draft, CLASS_COMPOUND);
    }
    part_of_compound(&draft);
    text_add(&draft.text, FRAGMENT " %s ", RANDOM_PICK(random, operators));
    draft.context.table = random_table(random, tables);
    part_of_compound(&draft);
    text_add(&draft.text, END);
    if (random_chance(random, 60)) {
        draft.flags |= OP_ORDERED;
        text_add(&draft.text, FRAGMENT " ORDER BY 1 DESC" FRAGMENT " LIMIT 7" END END);
    }
    return finish(&draft, CLASS_COMPOUND);
}

struct op query_any(struct random *random, const struct table *tables)
{
    switch (random_below(random, 16)) {
    case 0:
    case 1: return simple(random, tables, CLASS_POINT, condition_point);
    case 2:
    case 3:
    case 4:
    case 5: return simple(random, tables, CLASS_RANGE, condition_range);
    case 6:
    case 7: return simple(random, tables, CLASS_LIST, condition_list);
    case 8: return simple(random, tables, CLASS_PATTERN, condition_pattern);
    case 9: return simple(random, tables, CLASS_RANGE, condition_any);
    case 10: return aggregate(random, tables);
    case 11: return group(random, tables);
    case 12:
        return random_chance(random, 75) ? join_ordinary(random, tables)
                                         : join_three(random, tables);
    case 13:
        return random_chance(random, 85) ? join_two(random, tables)
                                         : join_naturally(random, tables);
    case 14: return subquery(random, tables);
    default: return compound(random, tables);
    }
}

/* ---- For cursors */

struct op query_for_cursor(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);

    draft.context.is_long = true;
    if (random_chance(random, 20)) {
        draft.flags |= OP_REFILTERS;
        text_add(&draft.text,
                 "SELECT a.id, z.* FROM fixed AS a CROSS JOIN %s AS z ON z.key = a.t || '' ORDER "
                 "BY a.id",
                 name_of(&draft)); /* a number may equal several texts, whose order is open */
        return finish(&draft, CLASS_CURSOR);
    }
    text_add(&draft.text, "SELECT * FROM %s", name_of(&draft));
    if (random_chance(random, 70)) {
        text_add(&draft.text, FRAGMENT " WHERE ");
        switch (random_below(random, 4)) {
        case 0: condition_point(&draft.context, &draft.text); break;
        case 1: condition_list(&draft.context, &draft.text); break;
        case 2: condition_pattern(&draft.context, &draft.text); break;
        default: condition_range(&draft.context, &draft.text);
        }
        text_add(&draft.text, END);
    }
    text_add(&draft.text, " ORDER BY key%s", random_chance(random, 40) ? " DESC" : "");
    return finish(&draft, CLASS_CURSOR);
}

struct op query_content(struct random *random, const struct table *table)
{
    struct draft draft = {.flags = OP_READS | OP_ORDERED};

    text_add(&draft.text, "SELECT * FROM %s ORDER BY key%s", table->name,
             random_chance(random, 25) ? " DESC" : "");
    return finish(&draft, CLASS_CONTENT);
}
