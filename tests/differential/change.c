/* Statements that change rows: see change.h. */
#include "change.h"

#include <string.h>

/* A statement being written. */
struct draft {
    struct context context;
    struct text text;
    const char *name;
};

static struct draft new_draft(struct random *random, const struct table *tables)
{
    const struct table *table = random_table(random, tables);
    struct context context = {
        .random = random, .tables = tables, .table = table, .prefix = "", .is_target = true};

    return (struct draft){.context = context,
                          .name = random_chance(random, 20) ? table->other_name : table->name};
}

static struct op finish(struct draft *draft, enum op_class class)
{
    return (struct op){.kind = OP_RUN, .class = class, .sql = text_take(&draft->text)};
}

/* What to do about conflicts; "" most often. */
static const char *conflict_clause(struct random *random)
{
    static const char *const clauses[] = {"OR REPLACE", "OR IGNORE", "OR ABORT", "OR FAIL",
                                          "OR ROLLBACK"};

    if (random_chance(random, 45))
        return "";
    /* A rollback ends a transaction that other statements still need. */
    return clauses[random_below(random, random_chance(random, 15) ? 5 : 4)];
}

static void where(struct draft *draft, unsigned percent)
{
    if (!random_chance(draft->context.random, percent))
        return;
    text_add(&draft->text, FRAGMENT " WHERE ");
    condition_any(&draft->context, &draft->text);
    text_add(&draft->text, END);
}

/* ---- INSERT */

static void row(struct draft *draft, int column_count)
{
    text_add(&draft->text, "(");
    for (int i = 0; i < column_count; i++) {
        text_add(&draft->text, i ? ", " : "");
        literal_of_column(draft->context.random, draft->context.table, i, &draft->text);
    }
    text_add(&draft->text, ")");
}

static unsigned row_count(struct random *random)
{
    unsigned which = random_below(random, 100);

    return which < 60   ? 1
           : which < 97 ? random_between(random, 2, 12)
                        : random_between(random, 40, 150);
}

/* All columns, or the first few by name. */
static void insert_rows(struct draft *draft)
{
    struct random *random = draft->context.random;
    int all = draft->context.table->column_count;
    int column_count =
        random_chance(random, 20) ? (int)random_between(random, 1, (unsigned)all) : all;
    unsigned count = row_count(random);

    if (column_count < all || random_chance(random, 20)) {
        text_add(&draft->text, "(");
        for (int i = 0; i < column_count; i++)
            text_add(&draft->text, "%s%s", i ? ", " : "", draft->context.table->columns[i].name);
        text_add(&draft->text, ")");
    }
    text_add(&draft->text, " VALUES");
    for (unsigned i = 0; i < count; i++) {
        text_add(&draft->text, i ? FRAGMENT ", " : " ");
        row(draft, column_count);
        text_add(&draft->text, i ? END : "");
    }
}

/* With OR IGNORE, a virtual table returns the rows that were ignored, too: a known difference. */
static void returning(struct draft *draft, const char *clause)
{
    static const char *const results[] = {"*", "key", "v, key", "typeof(key), quote(key)",
                                          "length(v), typeof(v)"};

    if (strcmp(clause, "OR IGNORE") == 0)
        return;
    if (random_chance(draft->context.random, 12))
        text_add(&draft->text, FRAGMENT " RETURNING %s" END,
                 RANDOM_PICK(draft->context.random, results));
}

static struct op insert(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);
    const char *clause = conflict_clause(random);

    text_add(&draft.text, "INSERT " FRAGMENT "%s " END "INTO %s", clause, draft.name);
    insert_rows(&draft);
    returning(&draft, clause);
    return finish(&draft, CLASS_INSERT);
}

static struct op replace(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);

    text_add(&draft.text, "%s INTO %s", random_chance(random, 50) ? "REPLACE" : "INSERT OR REPLACE",
             draft.name);
    insert_rows(&draft);
    returning(&draft, "");
    return finish(&draft, CLASS_REPLACE);
}

/* From which rows, in a certain order: where a statement stops midway depends on it. */
static void source(struct draft *draft)
{
    struct context context = draft->context;

    context.in_order = true;
    context.table = random_chance(context.random, 50)
                        ? context.table
                        : random_table(context.random, context.tables);
    text_add(&draft->text, " SELECT ");
    expression_key(&context, &draft->text);
    for (int i = 1; i < draft->context.table->column_count; i++) {
        text_add(&draft->text, ", ");
        expression_any(&context, &draft->text);
    }
    text_add(&draft->text, " FROM %s",
             context.is_safe && random_chance(context.random, 50) ? context.table->other_name
                                                                  : context.table->name);
    if (random_chance(context.random, 60)) {
        text_add(&draft->text, FRAGMENT " WHERE ");
        condition_any(&context, &draft->text);
        text_add(&draft->text, END);
    }
    text_add(&draft->text, " ORDER BY key%s LIMIT %u",
             random_chance(context.random, 40) ? " DESC" : "",
             random_between(context.random, 1, 25));
}

static void source_of_numbers(struct draft *draft)
{
    unsigned count = random_between(draft->context.random, 3, 60);

    text_add(
        &draft->text,
        " WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %u) SELECT %s",
        count, draft->context.table->columns[0].family == FAMILY_TEXT ? "printf('k%02d', i)" : "i");
    for (int i = 1; i < draft->context.table->column_count; i++)
        text_add(&draft->text, random_chance(draft->context.random, 50)
                                   ? ", i * 3"
                                   : ", hex(zeroblob(i * 17)) || i");
    text_add(&draft->text, " FROM c");
}

static struct op insert_select(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);
    const char *clause = conflict_clause(random);

    /*
     * From a table to itself, SQLite reads all rows before it inserts the first; under
     * its other name it cannot know. Then no row must fail.
     */
    draft.context.is_safe = draft.name != draft.context.table->name;
    text_add(&draft.text, "INSERT " FRAGMENT "%s " END "INTO %s", clause, draft.name);
    if (random_chance(random, 75)) {
        source(&draft);
        returning(&draft, clause);
    } else {
        source_of_numbers(&draft);
    }
    return finish(&draft, CLASS_INSERT_SELECT);
}

/* ---- UPDATE */

static void set_values(struct draft *draft)
{
    const struct table *table = draft->context.table;
    unsigned count = random_between(draft->context.random, 1, 2);

    for (unsigned i = 0; i < count && (int)i + 1 < table->column_count; i++) {
        unsigned column =
            1 + (random_below(draft->context.random, 2) + i) % (unsigned)(table->column_count - 1);

        if (i && column == 1)
            return; /* twice the same */
        text_add(&draft->text, "%s%s = ", i ? FRAGMENT ", " : "", table->columns[column].name);
        expression_any(&draft->context, &draft->text);
        text_add(&draft->text, i ? END : "");
        if (!i && column > 1)
            return;
    }
}

/*
 * Where an UPDATE stops, or what it finds in its way, depends on the order in
 * which it meets rows. And of a virtual table's rows it computes all new values
 * before it writes the first, so only a row that is skipped may fail to be written.
 */
static void update_alike(struct draft *draft, const char *clause)
{
    draft->context.in_order = true;
    draft->context.is_safe = strcmp(clause, "OR IGNORE") != 0;
}

static struct op update(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);
    const char *clause = conflict_clause(random);

    update_alike(&draft, clause);
    text_add(&draft.text, "UPDATE %s %s SET ", clause, draft.name);
    set_values(&draft);
    where(&draft, 90);
    return finish(&draft, CLASS_UPDATE);
}

/*
 * OR REPLACE of several rows may meet a row that it replaced before coming to
 * it: a known difference. So it changes one row only, which is not left out.
 */
static struct op update_key(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);
    const char *clause = conflict_clause(random);
    bool replaces = strcmp(clause, "OR REPLACE") == 0;

    update_alike(&draft, clause);
    text_add(&draft.text, "UPDATE %s %s SET key = ", clause, draft.name);
    expression_key(&draft.context, &draft.text);
    if (random_chance(random, 40)) {
        text_add(&draft.text, FRAGMENT ", v = ");
        expression_any(&draft.context, &draft.text);
        text_add(&draft.text, END);
    }
    if (replaces) {
        text_add(&draft.text, " WHERE key = ");
        literal_key(random, draft.context.table, &draft.text);
    } else {
        where(&draft, 95);
    }
    return finish(&draft, CLASS_UPDATE_KEY);
}

/* Whose row is the partner of a row of k. */
static void partner(struct draft *draft)
{
    struct random *random = draft->context.random;
    const struct table *tables = draft->context.tables;
    const struct table *other = random_table(random, tables);
    bool is_alike = other->columns[0].family == tables[0].columns[0].family;

    if (is_alike && random_chance(random, 35))
        text_add(&draft->text, "a.v FROM %s AS a WHERE a.key = z.key", other->name);
    else
        text_add(&draft->text, "%s FROM %s AS a WHERE a.a = z.key",
                 random_chance(random, 50) ? "a.b" : "a.id + 1",
                 random_chance(random, 60) ? "o" : "fixed");
}

/*
 * Each row must meet at most one partner: `a` is unique and of the key's type.
 * The order in which they meet is open, so that only one row gets a new key.
 */
static struct op update_from(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);
    bool sets_key = random_chance(random, 20);

    draft.context.table = &tables[0];
    draft.name = random_chance(random, 20) ? tables[0].other_name : tables[0].name;
    text_add(&draft.text, "UPDATE " FRAGMENT "%s " END "%s AS z SET ", conflict_clause(random),
             draft.name);
    if (sets_key) {
        text_add(&draft.text, "key = ");
        literal_key(random, &tables[0], &draft.text);
        text_add(&draft.text, ", ");
    }
    text_add(&draft.text, "v = ");
    partner(&draft);
    draft.context.prefix = "z.";
    if (sets_key) {
        text_add(&draft.text, " AND z.key = ");
        literal_key(random, &tables[0], &draft.text);
    } else if (random_chance(random, 50)) {
        text_add(&draft.text, FRAGMENT " AND ");
        condition_range(&draft.context, &draft.text);
        text_add(&draft.text, END);
    }
    return finish(&draft, CLASS_UPDATE_FROM);
}

/* ---- DELETE */

static struct op delete_rows(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);

    /* With an OR, SQLite may ask a subquery again after the first rows are gone. */
    draft.context.in_order = true;
    text_add(&draft.text, "DELETE FROM %s", draft.name);
    if (random_chance(random, 3))
        return finish(&draft, CLASS_DELETE);
    text_add(&draft.text, " WHERE ");
    if (random_chance(random, 60))
        condition_point(&draft.context, &draft.text);
    else
        condition_any(&draft.context, &draft.text);
    /* Where SQLite is built without this, both tables refuse it. */
    if (random_chance(random, 4))
        text_add(&draft.text, " ORDER BY key DESC LIMIT %u", random_below(random, 6));
    return finish(&draft, CLASS_DELETE);
}

struct op change_shorten(struct random *random, const struct table *table, unsigned most)
{
    struct draft draft = {.name = table->name};

    text_add(&draft.text,
             "DELETE FROM %s WHERE key NOT IN (SELECT key FROM %s ORDER BY key%s LIMIT %u)",
             table->name, table->name, random_chance(random, 50) ? " DESC" : "",
             random_between(random, most / 4, most));
    return finish(&draft, CLASS_DELETE);
}

/* Enough bytes to fill a log or two of the smallest size. */
struct op change_much(struct random *random, const struct table *tables, unsigned key_count)
{
    struct draft draft = new_draft(random, tables);
    const struct table *table = draft.context.table;
    unsigned count = random_between(random, 20, key_count * 5 / 8);
    unsigned bytes = random_between(random, 30000, 150000) / count;
    struct text key = {0};

    if (random_chance(random, 30)) {
        text_add(&draft.text, "UPDATE %s SET v = hex(zeroblob(%u)) || key", draft.name, bytes / 2);
        return finish(&draft, CLASS_UPDATE);
    }
    text_add(&key,
             table->columns[0].family == FAMILY_TEXT ? "printf('k%%02d', i * 7 %% %u)"
                                                     : "i * 7 %% %u",
             key_count);
    text_add(&draft.text,
             "INSERT OR REPLACE INTO %s WITH RECURSIVE c(i) AS (SELECT %u UNION ALL SELECT i + 1 "
             "FROM c WHERE i < %u) SELECT %s, hex(zeroblob(%u)) || i",
             draft.name, random_below(random, 30), count, key.data, bytes / 2);
    text_release(&key);
    for (int i = 2; i < table->column_count; i++)
        text_add(&draft.text, ", i");
    text_add(&draft.text, " FROM c");
    return finish(&draft, CLASS_INSERT_SELECT);
}

struct op change_any(struct random *random, const struct table *tables)
{
    switch (random_below(random, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4: return insert(random, tables);
    case 5:
    case 6: return replace(random, tables);
    case 7:
    case 8: return insert_select(random, tables);
    case 9:
    case 10:
    case 11: return update(random, tables);
    case 12: return update_key(random, tables);
    case 13: return update_from(random, tables);
    default: return delete_rows(random, tables);
    }
}

/* ---- Around */

/* What is read from k decides what is written to o, whose triggers write into k. */
static struct op change_o_from_k(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);

    draft.context.table = &tables[0];
    draft.context.in_order = true;
    switch (random_below(random, 4)) {
    case 0:
        text_add(&draft.text, "INSERT %s INTO o(a, b) SELECT key, v FROM k WHERE ",
                 conflict_clause(random));
        condition_any(&draft.context, &draft.text);
        text_add(&draft.text, " ORDER BY key LIMIT 5");
        break;
    case 1:
        text_add(&draft.text, "DELETE FROM o WHERE a IN (SELECT key FROM k WHERE ");
        condition_range(&draft.context, &draft.text);
        text_add(&draft.text, ")");
        break;
    case 2: text_add(&draft.text, "UPDATE o SET b = z.v FROM k AS z WHERE z.key = o.a"); break;
    default:
        text_add(&draft.text,
                 "UPDATE o SET b = (SELECT quote(z.v) || '+' FROM k AS z WHERE z.key = o.a) WHERE "
                 "id < %u",
                 random_below(random, 25));
    }
    return finish(&draft, CLASS_ORDINARY);
}

static struct op change_o(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);
    struct context *context = &draft.context;

    context->table = &tables[0];
    switch (random_below(random, 4)) {
    case 0:
        text_add(&draft.text, "DELETE FROM o WHERE id %s %u", random_chance(random, 50) ? "=" : "<",
                 random_below(random, 30));
        break;
    case 1:
        text_add(&draft.text, "UPDATE " FRAGMENT "%s " END "o SET b = ", conflict_clause(random));
        literal_value(random, &draft.text);
        text_add(&draft.text, " WHERE id %s %u", random_chance(random, 70) ? "=" : "<",
                 random_below(random, 30));
        break;
    default:
        text_add(&draft.text, "INSERT " FRAGMENT "%s " END "INTO o(a, b, t, n) VALUES(",
                 conflict_clause(random));
        literal_key(random, context->table, &draft.text);
        text_add(&draft.text, ", ");
        literal_value(random, &draft.text);
        text_add(&draft.text, ", ");
        literal_key(random, context->table, &draft.text);
        text_add(&draft.text, ", %u)", random_below(random, 60));
    }
    return finish(&draft, CLASS_ORDINARY);
}

/* The foreign key of `p` is looked at when the transaction commits. */
static struct op change_p(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);

    text_add(&draft.text, "INSERT INTO p(ref) VALUES(%u)", random_below(random, 40));
    return finish(&draft, CLASS_ORDINARY);
}

static struct op change_view(struct random *random, const struct table *tables)
{
    struct draft draft = new_draft(random, tables);

    draft.context.table = &tables[0];
    switch (random_below(random, 3)) {
    case 0:
        text_add(&draft.text, "INSERT " FRAGMENT "%s " END "INTO w(key, v) VALUES(",
                 conflict_clause(random));
        literal_key(random, &tables[0], &draft.text);
        text_add(&draft.text, ", ");
        literal_value(random, &draft.text);
        text_add(&draft.text, ")");
        break;
    case 1:
        text_add(&draft.text, "UPDATE w SET v = ");
        literal_value(random, &draft.text);
        where(&draft, 95);
        break;
    default:
        text_add(&draft.text, "DELETE FROM w WHERE ");
        condition_point(&draft.context, &draft.text);
    }
    return finish(&draft, CLASS_VIEW);
}

struct op change_around(struct random *random, const struct table *tables)
{
    switch (random_below(random, 8)) {
    case 0:
    case 1: return change_view(random, tables);
    case 2: return change_p(random, tables);
    case 3: return change_o_from_k(random, tables);
    default: return change_o(random, tables);
    }
}
