/* Episodes: see episode.h. */
#include "episode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "intruder.h"
#include "query.h"

enum {
    CONTENT_EVERY = 50,
    FIXED_ROWS = 14,
    REPEATED_PERCENT = 4,
    BOUND_PERCENT = 25,
    SECOND_CONNECTION_PERCENT = 15,
};

#define CHECK_ALL                                                                                  \
    "SELECT c.* FROM sqlite_schema AS s CROSS JOIN kv_check(s.name) AS c WHERE s.sql LIKE "        \
    "'%USING kv(%'"
#define CHECK_ATTACHED                                                                             \
    "SELECT c.* FROM att.sqlite_schema AS s CROSS JOIN kv_check('att.' || s.name) AS c WHERE "     \
    "s.sql LIKE '%USING kv(%'"

struct maker {
    struct episode *episode;
    struct random random;
};

/* ---- Settings */

static void choose_setting(struct episode *episode, struct random *random)
{
    static const char *const modes[] = {"wal",    "wal",     "wal",      "delete",
                                        "delete", "persist", "truncate", "memory"};
    const char *mode = RANDOM_PICK(random, modes);

    episode->setting.in_memory = random_chance(random, 8);
    episode->setting.is_single = episode->setting.in_memory || random_chance(random, 12);
    episode->setting.is_wal = !episode->setting.in_memory && strcmp(mode, "wal") == 0;
    /* A cache that spills would take locks in one world and not in the other. */
    snprintf(episode->pragmas, sizeof(episode->pragmas),
             "PRAGMA page_size=%u; PRAGMA journal_mode=%s; PRAGMA synchronous=off; PRAGMA "
             "cache_spill=off; "
             "PRAGMA foreign_keys=on; PRAGMA temp_store=memory; PRAGMA recursive_triggers=%u; "
             "PRAGMA case_sensitive_like=%u; PRAGMA automatic_index=%u",
             512u << random_below(random, 5), mode, random_below(random, 2),
             random_chance(random, 20), random_chance(random, 80));
    episode->setting.pragmas = episode->pragmas;
}

static void choose_tables(struct episode *episode, struct random *random)
{
    static const struct table names[TABLE_COUNT] = {
        {.name = "k", .other_name = EITHER_NAME, .path = "k"},
        {.name = "k2", .other_name = "main.k2", .path = "main.db-kv/k2"},
        {.name = "att.k3", .other_name = "att.k3", .path = "k3"},
        {.name = "temp.kt", .other_name = "kt"},
    };

    for (int i = 0; i < TABLE_COUNT; i++) {
        episode->tables[i] = names[i];
        table_shape(&episode->tables[i], random);
    }
    if (episode->setting.in_memory)
        episode->tables[0].other_name = "k";
}

/* ---- Adding operations */

static void add(struct maker *maker, struct op op)
{
    op_list_add(&maker->episode->ops, op);
}

static void add_sql(struct maker *maker, enum op_class class, unsigned flags, struct text *sql)
{
    add(maker, (struct op){.kind = OP_RUN, .class = class, .flags = flags, .sql = text_take(sql)});
}

static void add_fixed_sql(struct maker *maker, enum op_class class, unsigned flags, const char *sql)
{
    struct text text = {0};

    text_add(&text, "%s", sql);
    add_sql(maker, class, flags, &text);
}

/* Run on connection 1 now and then; kt is a table of connection 0. */
static void add_anywhere(struct maker *maker, struct op op)
{
    if (random_chance(&maker->random, SECOND_CONNECTION_PERCENT))
        op.connection = 1;
    if (random_chance(&maker->random, BOUND_PERCENT))
        op.flags |= OP_BINDS;
    add(maker, op);
}

/* ---- Setting up */

static void create_table(struct maker *maker, int connection, const struct table *table,
                         const char *before)
{
    struct text kv = {0}, ordinary = {0};

    text_add(&kv, "%s", before);
    text_add(&ordinary, "%s", before);
    table_create_kv(table, maker->episode->setting.in_memory, &maker->random, &kv);
    table_create_ordinary(table, &ordinary);
    add(maker, (struct op){.kind = OP_RUN,
                           .connection = connection,
                           .class = *before ? CLASS_SCHEMA : CLASS_SETUP,
                           .flags = OP_IS_SCHEMA,
                           .sql = text_take(&kv),
                           .ordinary = text_take(&ordinary)});
}

/* A second table on k's store. The ordinary world knows it as `k`. */
static void create_alias(struct maker *maker)
{
    struct table alias = maker->episode->tables[0];
    struct text kv = {0}, ordinary = {0};

    if (maker->episode->setting.in_memory)
        return;
    /*
     * In another database file, which is not locked with k's. Then there is nobody to meet locks.
     */
    alias.name = maker->episode->setting.is_single ? "att.k_again" : "k_again";
    table_create_kv(&alias, false, &maker->random, &kv);
    text_add(&ordinary, "SELECT 1 WHERE 0");
    add(maker, (struct op){.kind = OP_RUN,
                           .class = CLASS_SETUP,
                           .flags = OP_IS_SCHEMA,
                           .sql = text_take(&kv),
                           .ordinary = text_take(&ordinary)});
}

static void create_partner(struct maker *maker, const char *name)
{
    struct text sql = {0};

    text_add(&sql, "CREATE TABLE %s(id INTEGER PRIMARY KEY, a %s UNIQUE, b, t TEXT, n INTEGER)",
             name, maker->episode->tables[0].columns[0].type);
    add_sql(maker, CLASS_SETUP, OP_IS_SCHEMA, &sql);
}

static void fill_partner(struct maker *maker, const char *name, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct text sql = {0};

        text_add(&sql, "INSERT OR IGNORE INTO %s(a, b, t, n) VALUES(", name);
        for (int column = 0; column < 3; column++) {
            literal_key(&maker->random, &maker->episode->tables[0], &sql);
            text_add(&sql, ", ");
        }
        text_add(&sql, "%u)", random_below(&maker->random, 60));
        add_sql(maker, CLASS_SETUP, 0, &sql);
    }
}

/* Append values for all of k's columns: `a`, `b` of the row `row`, and anything but NULL for the others. */
static void trigger_values(const struct table *table, const char *row, struct text *sql)
{
    text_add(sql, "%s.%s, %s.%s", row, strcmp(row, "new") == 0 ? "a" : "key", row,
             strcmp(row, "new") == 0 ? "b" : "v");
    for (int i = 2; i < table->column_count; i++)
        text_add(sql, ", 1");
}

static const char *trigger_clause(struct random *random)
{
    static const char *const clauses[] = {"", "", "OR REPLACE", "OR IGNORE", "OR FAIL", "OR ABORT"};

    return RANDOM_PICK(random, clauses);
}

static void create_triggers(struct maker *maker)
{
    static const char *const raises[] = {"IGNORE", "ABORT, 'thirteen'", "FAIL, 'thirteen'",
                                         "ROLLBACK, 'thirteen'"};
    struct text sql = {0};

    text_add(&sql, "CREATE TRIGGER o_insert AFTER INSERT ON o BEGIN INSERT %s INTO k VALUES(",
             trigger_clause(&maker->random));
    trigger_values(&maker->episode->tables[0], "new", &sql);
    text_add(&sql, "); SELECT RAISE(%s) WHERE new.n = 13; END",
             RANDOM_PICK(&maker->random, raises));
    add_sql(maker, CLASS_SETUP, OP_IS_SCHEMA, &sql);
    add_fixed_sql(
        maker, CLASS_SETUP, OP_IS_SCHEMA,
        "CREATE TRIGGER o_delete AFTER DELETE ON o BEGIN DELETE FROM k WHERE key = old.a; END");
    text_add(&sql,
             "CREATE TRIGGER o_update AFTER UPDATE OF b ON o BEGIN UPDATE %s k SET v = new.b "
             "WHERE key = old.a; END",
             trigger_clause(&maker->random));
    add_sql(maker, CLASS_SETUP, OP_IS_SCHEMA, &sql);
}

static void create_view(struct maker *maker)
{
    struct text sql = {0};

    add_fixed_sql(maker, CLASS_SETUP, OP_IS_SCHEMA,
                  "CREATE VIEW w AS SELECT key, v FROM k WHERE v IS NOT NULL");
    text_add(
        &sql,
        "CREATE TRIGGER w_insert INSTEAD OF INSERT ON w BEGIN INSERT INTO k VALUES(new.key, new.v");
    for (int i = 2; i < maker->episode->tables[0].column_count; i++)
        text_add(&sql, ", 1");
    text_add(&sql, "); END");
    add_sql(maker, CLASS_SETUP, OP_IS_SCHEMA, &sql);
    add_fixed_sql(maker, CLASS_SETUP, OP_IS_SCHEMA,
                  "CREATE TRIGGER w_update INSTEAD OF UPDATE ON w BEGIN UPDATE k SET v = new.v "
                  "WHERE key = old.key; "
                  "INSERT OR REPLACE INTO k2(key, v) VALUES(new.key, 'seen'); END");
    add_fixed_sql(maker, CLASS_SETUP, OP_IS_SCHEMA,
                  "CREATE TRIGGER w_delete INSTEAD OF DELETE ON w BEGIN DELETE FROM k WHERE key = "
                  "old.key; END");
}

static void set_up(struct maker *maker)
{
    for (int i = 0; i < TABLE_COUNT; i++)
        create_table(maker, 0, &maker->episode->tables[i], "");
    create_alias(maker);
    create_partner(maker, "o");
    create_partner(maker, "fixed");
    add_fixed_sql(maker, CLASS_SETUP, OP_IS_SCHEMA,
                  "CREATE TABLE p(id INTEGER PRIMARY KEY, ref REFERENCES o(id) DEFERRABLE "
                  "INITIALLY DEFERRED)");
    create_triggers(maker);
    create_view(maker);
    fill_partner(maker, "fixed", FIXED_ROWS);
    fill_partner(maker, "o", FIXED_ROWS);
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
    add(maker, op);
}

/* A savepoint outside of a transaction begins one, so there are fewer of these. */
static void savepoint(struct maker *maker)
{
    static const char *const verbs[] = {"SAVEPOINT", "SAVEPOINT", "RELEASE", "RELEASE",
                                        "ROLLBACK TO"};
    struct text sql = {0};

    text_add(&sql, "%s s%u", RANDOM_PICK(&maker->random, verbs),
             random_between(&maker->random, 1, 3));
    add_anywhere(maker,
                 (struct op){.kind = OP_RUN, .class = CLASS_SAVEPOINT, .sql = text_take(&sql)});
}

static void commit_all(struct maker *maker)
{
    for (int i = 0; i < CONNECTION_COUNT; i++) {
        struct op op = transaction_op("COMMIT");

        op.connection = i;
        add(maker, op);
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
    add(maker, op);
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
    add_anywhere(maker, (struct op){.kind = OP_RUN,
                                    .class = CLASS_COMPACT,
                                    .flags = OP_MAINTAINS,
                                    .sql = text_take(&sql)});
}

static void fault(struct maker *maker)
{
    struct text sql = {0};

    if (random_chance(&maker->random, 50)) {
        add_anywhere(maker, (struct op){.kind = OP_VETO, .class = CLASS_FAULT});
        return;
    }
    text_add(&sql, "INSERT INTO faulty VALUES('%s')",
             random_chance(&maker->random, 80) ? "fail" : "succeed");
    add_anywhere(maker, (struct op){.kind = OP_RUN, .class = CLASS_FAULT, .sql = text_take(&sql)});
}

/* Statements about a whole database. */
static void database(struct maker *maker)
{
    static const char *const statements[] = {"VACUUM", "ANALYZE", "PRAGMA integrity_check",
                                             "PRAGMA quick_check", "REINDEX"};

    add_fixed_sql(maker, CLASS_SCHEMA, OP_IS_SCHEMA, RANDOM_PICK(&maker->random, statements));
}

static void schema_of_k4(struct maker *maker)
{
    struct table k4 = {.name = "k4",
                       .path = "k4",
                       .column_count = 2,
                       .columns = {{.name = "key", .type = "TEXT"}, {.name = "v", .type = ""}}};

    switch (random_below(&maker->random, 4)) {
    case 0: create_table(maker, 0, &k4, ""); break;
    case 1:
        add_fixed_sql(maker, CLASS_SCHEMA, OP_IS_SCHEMA, "DELETE FROM k4;\nDROP TABLE k4");
        break;
    case 2:
        add_fixed_sql(
            maker, CLASS_SCHEMA, 0,
            "INSERT OR REPLACE INTO k4 SELECT key, v FROM k WHERE typeof(key) = 'text' LIMIT 9");
        break;
    default:
        add_fixed_sql(maker, CLASS_CONTENT, OP_READS | OP_ORDERED, "SELECT * FROM k4 ORDER BY key");
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
        create_table(maker, random_chance(&maker->random, 20), table, before.data);
        text_release(&before);
        break;
    case 2:
        add_fixed_sql(maker, CLASS_SCHEMA, OP_IS_SCHEMA,
                      random_chance(&maker->random, 50) ? "ALTER TABLE k2 RENAME TO k2_moved"
                                                        : "ALTER TABLE k2_moved RENAME TO k2");
        break;
    default: schema_of_k4(maker);
    }
}

/* What was temporary is gone after closing. */
static void create_lost(struct maker *maker)
{
    create_table(maker, 0, &maker->episode->tables[3], "");
    add_fixed_sql(maker, CLASS_SCHEMA, OP_IS_SCHEMA, "ALTER TABLE k2_moved RENAME TO k2");
}

static void reopen(struct maker *maker)
{
    bool is_crash = random_chance(&maker->random, 40);

    add_anywhere(maker, (struct op){.kind = is_crash ? OP_CRASH : OP_REOPEN,
                                    .class = is_crash ? CLASS_CRASH : CLASS_REOPEN,
                                    .flags = random_chance(&maker->random, 50) ? OP_ALL : 0});
    create_lost(maker);
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
        struct op change =
            random_chance(random, 20) ? change_much(random, only_k) : change_any(random, only_k);

        text_add(&sql, FRAGMENT "%s;\n" END, change.sql);
        free(change.sql);
    }
    add_marker(k, op.number, &sql);
    op.sql = text_take(&sql);
    commit_all(maker);
    add(maker, op);
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
    add(maker, op);
}

static void contents(struct maker *maker)
{
    const struct table *tables = maker->episode->tables;

    for (int i = 0; i < TABLE_COUNT; i++) {
        add(maker, query_content(&maker->random, &tables[i]));
        if (random_chance(&maker->random, 60))
            add(maker, change_shorten(&maker->random, &tables[i]));
    }
    for (int i = 0; i < MAIN_TABLE_COUNT; i++) {
        struct op op = query_content(&maker->random, &tables[i]);

        op.connection = 1;
        add(maker, op);
    }
}

static void something(struct maker *maker)
{
    const struct table *tables = maker->episode->tables;
    unsigned which = random_below(&maker->random, 1000);

    if (which < 355)
        add_anywhere(maker, change_any(&maker->random, tables));
    else if (which < 400)
        add_anywhere(maker, change_much(&maker->random, tables));
    else if (which < 450)
        add_anywhere(maker, change_around(&maker->random, tables));
    else if (which < 750)
        add_anywhere(maker, query_any(&maker->random, tables));
    else if (which < 815)
        transaction(maker);
    else if (which < 860)
        savepoint(maker);
    else if (which < 965)
        cursor(maker);
    else if (which < 972)
        maintenance(maker);
    else if (which < 981)
        fault(maker);
    else if (which < 990)
        schema(maker);
    else if (which < 994)
        reopen(maker);
    else if (which < 997)
        intruder(maker);
    if (random_chance(&maker->random, REPEATED_PERCENT))
        repeat(maker);
}

/* In the end, everything once more, after closing properly. */
static void finish(struct maker *maker)
{
    for (int i = 0; i < CONNECTION_COUNT; i++)
        add(maker, (struct op){
                       .kind = OP_REOPEN, .class = CLASS_REOPEN, .connection = i, .flags = OP_ALL});
    contents(maker);
    add_fixed_sql(maker, CLASS_COMPACT, OP_MAINTAINS, CHECK_ALL);
    add_fixed_sql(maker, CLASS_COMPACT, OP_MAINTAINS, CHECK_ATTACHED);
}

void episode_init(struct episode *episode, uint64_t seed, size_t count)
{
    struct maker maker = {.episode = episode, .random = {.state = seed}};
    size_t next_content = CONTENT_EVERY;

    *episode = (struct episode){.seed = seed};
    choose_setting(episode, &maker.random);
    choose_tables(episode, &maker.random);
    set_up(&maker);
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
