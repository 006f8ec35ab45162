/* Episodes: see episode.h. */
#include "episode.h"

#include <stdlib.h>

#include "change.h"
#include "intruder.h"
#include "query.h"
#include "setup.h"

enum {
    CONTENT_EVERY = 50,
    REPEATED_PERCENT = 4,
    SMALL_ROWS = 100,
    LARGE_ROWS = 700,
    BOUND_PERCENT = 25,
};

#define CHECK_ALL                                                                                  \
    "SELECT c.* FROM sqlite_schema AS s CROSS JOIN kv_check(s.name) AS c WHERE s.sql LIKE "        \
    "'%USING kv(%'"
#define CHECK_ATTACHED                                                                             \
    "SELECT c.* FROM att.sqlite_schema AS s CROSS JOIN kv_check('att.' || s.name) AS c WHERE "     \
    "s.sql LIKE '%USING kv(%'"

/* Of how many keys do statements that write much choose? */
static unsigned key_count(const struct maker *maker)
{
    return 4 * maker->rows_kept;
}

/* ---- Between statements */

static struct op transaction_op(const char *verb)
{
    struct text sql = {0};

    text_add(&sql, "%s", verb);
    return (struct op){.kind = OP_RUN, .class = CLASS_TRANSACTION, .sql = text_take(&sql)};
}

/* The second connection does less, and must not keep its locks for longer because of that. */
static void transaction(struct maker *maker)
{
    static const char *const begins[] = {"BEGIN", "BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"};
    static const char *const ends[] = {"COMMIT", "COMMIT", "COMMIT", "COMMIT", "END", "ROLLBACK"};
    bool begins_one = random_chance(&maker->random, 35);
    struct op op = transaction_op(begins_one ? RANDOM_PICK(&maker->random, begins)
                                             : RANDOM_PICK(&maker->random, ends));

    op.connection = random_chance(&maker->random, begins_one ? 15 : 45);
    maker_add(maker, op);
}

/* A savepoint outside of a transaction begins one, so there are fewer of these. */
static void savepoint(struct maker *maker)
{
    static const char *const verbs[] = {"SAVEPOINT", "SAVEPOINT", "RELEASE", "RELEASE",
                                        "ROLLBACK TO"};
    struct text sql = {0};

    text_add(&sql, "%s s%u", RANDOM_PICK(&maker->random, verbs),
             random_between(&maker->random, 1, 3));
    maker_add_anywhere(
        maker, (struct op){.kind = OP_RUN, .class = CLASS_SAVEPOINT, .sql = text_take(&sql)});
}

static void commit_all(struct maker *maker)
{
    for (int i = 0; i < CONNECTION_COUNT; i++) {
        struct op op = transaction_op("COMMIT");

        op.connection = i;
        maker_add(maker, op);
    }
}

static void cursor(struct maker *maker)
{
    struct random *random = &maker->random;
    struct op op = {.class = CLASS_CURSOR, .slot = (int)random_below(random, CURSOR_COUNT)};
    unsigned which = random_below(random, 10);

    if (which < 3) {
        op = query_for_cursor(random, maker->episode->tables);
        op.kind = OP_OPEN;
        op.slot = (int)random_below(random, CURSOR_COUNT);
    } else if (which < 9) {
        op.kind = OP_STEP;
        op.count = (int)random_between(random, 1, random_chance(random, 20) ? 200 : 6);
    } else {
        op.kind = OP_CLOSE;
    }
    if (random_chance(random, 35))
        op.connection = 1;
    if (random_chance(random, BOUND_PERCENT))
        op.flags |= OP_BINDS;
    maker_add(maker, op);
}

static void maintenance(struct maker *maker)
{
    static const char *const statements[] = {
        "SELECT 1 FROM sqlite_schema WHERE name = 'k' AND kv_compact('k') < 0",
        "SELECT 1 FROM sqlite_schema WHERE name = 'k2' AND kv_compact('k2') < 0",
        "SELECT 1 FROM att.sqlite_schema WHERE name = 'k3' AND kv_compact('att.k3') < 0",
        "SELECT 1 FROM sqlite_schema WHERE name = 'k' AND kv_sync('k') < 0",
        "SELECT 1 WHERE kv_compact() < 0",
        "INSERT INTO k(k) VALUES('compact')",
        CHECK_ALL,
        CHECK_ATTACHED,
    };
    struct text sql = {0};

    if (random_chance(&maker->random, 60))
        commit_all(maker);
    text_add(&sql, "%s", RANDOM_PICK(&maker->random, statements));
    maker_add_anywhere(maker, (struct op){.kind = OP_RUN,
                                          .class = CLASS_COMPACT,
                                          .flags = OP_MAINTAINS,
                                          .sql = text_take(&sql)});
}

static void fault(struct maker *maker)
{
    struct text sql = {0};

    if (random_chance(&maker->random, 50)) {
        maker_add_anywhere(maker, (struct op){.kind = OP_VETO, .class = CLASS_FAULT});
        return;
    }
    text_add(&sql, "INSERT INTO faulty VALUES('%s')",
             random_chance(&maker->random, 80) ? "fail" : "succeed");
    maker_add_anywhere(maker,
                       (struct op){.kind = OP_RUN, .class = CLASS_FAULT, .sql = text_take(&sql)});
}

/* Statements about a whole database. */
static void database(struct maker *maker)
{
    static const char *const statements[] = {"VACUUM", "ANALYZE", "PRAGMA integrity_check",
                                             "PRAGMA quick_check", "REINDEX"};

    maker_add_fixed_sql(maker, CLASS_SCHEMA, OP_IS_SCHEMA, RANDOM_PICK(&maker->random, statements));
}

static void schema_of_k4(struct maker *maker)
{
    struct table k4 = {.name = "k4",
                       .path = "k4",
                       .column_count = 2,
                       .columns = {{.name = "key", .type = "TEXT"}, {.name = "v", .type = ""}}};

    switch (random_below(&maker->random, 4)) {
    case 0: maker_create_table(maker, 0, &k4, ""); break;
    case 1:
        maker_add_fixed_sql(maker, CLASS_SCHEMA, OP_IS_SCHEMA, "DELETE FROM k4;\nDROP TABLE k4");
        break;
    case 2:
        maker_add_fixed_sql(
            maker, CLASS_SCHEMA, 0,
            "INSERT OR REPLACE INTO k4 SELECT key, v FROM k WHERE typeof(key) = 'text' LIMIT 9");
        break;
    default:
        maker_add_fixed_sql(maker, CLASS_CONTENT, OP_READS | OP_ORDERED,
                            "SELECT * FROM k4 ORDER BY key");
    }
}

/*
 * A dropped table's store keeps its rows, so they are deleted first, and the
 * table is back before anything else happens.
 */
static void schema(struct maker *maker)
{
    const struct table *table = random_table(&maker->random, maker->episode->tables);
    struct text before = {0};

    switch (random_below(&maker->random, 5)) {
    case 0: database(maker); break;
    case 1:
        text_add(&before, "DELETE FROM %s;\nDROP TABLE %s;\n", table->name, table->name);
        maker_create_table(maker, random_chance(&maker->random, 20), table, before.data);
        text_release(&before);
        break;
    case 2:
        maker_add_fixed_sql(maker, CLASS_SCHEMA, OP_IS_SCHEMA,
                            random_chance(&maker->random, 50)
                                ? "ALTER TABLE k2 RENAME TO k2_moved"
                                : "ALTER TABLE k2_moved RENAME TO k2");
        break;
    default: schema_of_k4(maker);
    }
}

/* What was temporary is gone after closing. */
static void create_lost(struct maker *maker)
{
    maker_create_table(maker, 0, &maker->episode->tables[3], "");
    maker_add_fixed_sql(maker, CLASS_SCHEMA, OP_IS_SCHEMA, "ALTER TABLE k2_moved RENAME TO k2");
}

static void reopen(struct maker *maker)
{
    bool is_crash = random_chance(&maker->random, 40);

    maker_add_anywhere(maker, (struct op){.kind = is_crash ? OP_CRASH : OP_REOPEN,
                                          .class = is_crash ? CLASS_CRASH : CLASS_REOPEN,
                                          .flags = random_chance(&maker->random, 50) ? OP_ALL : 0});
    create_lost(maker);
}

static void reattach(struct maker *maker)
{
    maker_add_anywhere(maker, (struct op){.kind = OP_REATTACH, .class = CLASS_REOPEN});
}

/* Most of its life is short, as is what it does. */
static int lifetime(struct random *random)
{
    static const unsigned limits[] = {300, 1500, 1500, 4000, 20000};

    return (int)random_below(random, RANDOM_PICK(random, limits));
}

static void add_marker(const struct table *k, int number, struct text *sql)
{
    text_add(sql, "INSERT OR REPLACE INTO k VALUES(" MARKER_KEY ", %d", number);
    for (int i = 2; i < k->column_count; i++)
        text_add(sql, ", 1");
    text_add(sql, ")");
}

/* Only k may be changed: two stores need not agree after a death. */
static void intruder(struct maker *maker)
{
    struct random *random = &maker->random;
    const struct table *k = &maker->episode->tables[0];
    const struct table only_k[TABLE_COUNT] = {*k, *k, *k, *k};
    struct op op = {.kind = OP_INTRUDE,
                    .class = CLASS_INTRUDER,
                    .flags = random_chance(random, 25) ? OP_ALL : 0,
                    .count = lifetime(random),
                    .number = (int)random_between(random, 1, 1000000000)};
    struct text sql = {0};

    for (unsigned i = random_below(random, 6); i > 0; i--) {
        struct op change = random_chance(random, 20) ? change_much(random, only_k, key_count(maker))
                                                     : change_any(random, only_k);

        text_add(&sql, FRAGMENT "%s;\n" END, change.sql);
        free(change.sql);
    }
    add_marker(k, op.number, &sql);
    op.sql = text_take(&sql);
    commit_all(maker);
    maker_add(maker, op);
    if (op.flags & OP_ALL)
        create_lost(maker);
}

static char *copy_of(const char *text)
{
    struct text copy = {0};

    if (!text)
        return NULL;
    text_add(&copy, "%s", text);
    return text_take(&copy);
}

/* A statement of some time ago once more: it may still be prepared. */
static void repeat(struct maker *maker)
{
    const struct op_list *list = &maker->episode->ops;
    unsigned back = random_between(&maker->random, 1, 60);
    struct op op;

    if (back > list->count)
        return;
    op = list->ops[list->count - back];
    if (op.kind != OP_RUN || op.flags & OP_IS_SCHEMA || op.ordinary)
        return;
    op.sql = copy_of(op.sql);
    maker_add(maker, op);
}

static void contents(struct maker *maker)
{
    const struct table *tables = maker->episode->tables;

    for (int i = 0; i < TABLE_COUNT; i++) {
        maker_add(maker, query_content(&maker->random, &tables[i]));
        if (random_chance(&maker->random, 60))
            maker_add(maker, change_shorten(&maker->random, &tables[i], maker->rows_kept));
    }
    for (int i = 0; i < MAIN_TABLE_COUNT; i++) {
        struct op op = query_content(&maker->random, &tables[i]);

        op.connection = 1;
        maker_add(maker, op);
    }
}

static void change(struct maker *maker)
{
    maker_add_anywhere(maker, change_any(&maker->random, maker->episode->tables));
}

static void much(struct maker *maker)
{
    maker_add_anywhere(maker,
                       change_much(&maker->random, maker->episode->tables, key_count(maker)));
}

static void around(struct maker *maker)
{
    maker_add_anywhere(maker, change_around(&maker->random, maker->episode->tables));
}

static void query(struct maker *maker)
{
    maker_add_anywhere(maker, query_any(&maker->random, maker->episode->tables));
}

static const struct action {
    void (*add)(struct maker *maker);
    unsigned weight;
    bool is_needed;
} actions[] = {
    {change, 355, true},     {much, 45, false},      {around, 50, false},  {query, 300, true},
    {transaction, 65, true}, {savepoint, 45, false}, {cursor, 105, false}, {maintenance, 7, false},
    {fault, 9, false},       {schema, 9, false},     {reopen, 4, false},   {reattach, 3, false},
    {intruder, 3, false},
};
enum { ACTION_COUNT = sizeof(actions) / sizeof(actions[0]) };

/*
 * Episodes that leave some kinds of operations out, or do much of them, meet
 * states that an even mixture does not: "Swarm Testing", Groce et al., 2012.
 */
static void choose_mood(struct maker *maker)
{
    static const unsigned factors[] = {0, 1, 1, 1, 1, 4};

    for (int i = 0; i < ACTION_COUNT; i++) {
        unsigned factor = RANDOM_PICK(&maker->random, factors);

        maker->weights[i] = actions[i].weight * (actions[i].is_needed && !factor ? 1 : factor);
        maker->weight += maker->weights[i];
    }
    maker->rows_kept = random_chance(&maker->random, 10) ? LARGE_ROWS : SMALL_ROWS;
}

static void something(struct maker *maker)
{
    unsigned which = random_below(&maker->random, maker->weight);
    int i = 0;

    while (which >= maker->weights[i])
        which -= maker->weights[i++];
    actions[i].add(maker);
    if (random_chance(&maker->random, REPEATED_PERCENT))
        repeat(maker);
}

/* In the end, everything once more, after closing properly. */
static void finish(struct maker *maker)
{
    for (int i = 0; i < CONNECTION_COUNT; i++)
        maker_add(maker,
                  (struct op){
                      .kind = OP_REOPEN, .class = CLASS_REOPEN, .connection = i, .flags = OP_ALL});
    contents(maker);
    maker_add_fixed_sql(maker, CLASS_COMPACT, OP_MAINTAINS, CHECK_ALL);
    maker_add_fixed_sql(maker, CLASS_COMPACT, OP_MAINTAINS, CHECK_ATTACHED);
}

void episode_init(struct episode *episode, uint64_t seed, size_t count)
{
    struct maker maker = {.episode = episode, .random = {.state = seed}};
    size_t next_content = CONTENT_EVERY;

    *episode = (struct episode){.seed = seed};
    setup(&maker);
    choose_mood(&maker);
    while (episode->ops.count < count) {
        something(&maker);
        if (episode->ops.count >= next_content) {
            contents(&maker);
            next_content = episode->ops.count + CONTENT_EVERY;
        }
    }
    finish(&maker);
}

void episode_release(struct episode *episode)
{
    op_list_release(&episode->ops);
}
