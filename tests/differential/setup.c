/* Setting up: see setup.h. */
#include "setup.h"

#include <stdio.h>
#include <string.h>

#include "literal.h"

enum { FIXED_ROWS = 14 };

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

/* ---- Setting up */

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
    maker_add(maker, (struct op){.kind = OP_RUN,
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
    maker_add_sql(maker, CLASS_SETUP, OP_IS_SCHEMA, &sql);
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
        maker_add_sql(maker, CLASS_SETUP, 0, &sql);
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
    maker_add_sql(maker, CLASS_SETUP, OP_IS_SCHEMA, &sql);
    maker_add_fixed_sql(
        maker, CLASS_SETUP, OP_IS_SCHEMA,
        "CREATE TRIGGER o_delete AFTER DELETE ON o BEGIN DELETE FROM k WHERE key = old.a; END");
    text_add(&sql,
             "CREATE TRIGGER o_update AFTER UPDATE OF b ON o BEGIN UPDATE %s k SET v = new.b "
             "WHERE key = old.a; END",
             trigger_clause(&maker->random));
    maker_add_sql(maker, CLASS_SETUP, OP_IS_SCHEMA, &sql);
}

static void create_view(struct maker *maker)
{
    struct text sql = {0};

    maker_add_fixed_sql(maker, CLASS_SETUP, OP_IS_SCHEMA,
                        "CREATE VIEW w AS SELECT key, v FROM k WHERE v IS NOT NULL");
    text_add(
        &sql,
        "CREATE TRIGGER w_insert INSTEAD OF INSERT ON w BEGIN INSERT INTO k VALUES(new.key, new.v");
    for (int i = 2; i < maker->episode->tables[0].column_count; i++)
        text_add(&sql, ", 1");
    text_add(&sql, "); END");
    maker_add_sql(maker, CLASS_SETUP, OP_IS_SCHEMA, &sql);
    maker_add_fixed_sql(
        maker, CLASS_SETUP, OP_IS_SCHEMA,
        "CREATE TRIGGER w_update INSTEAD OF UPDATE ON w BEGIN UPDATE k SET v = new.v "
        "WHERE key = old.key; "
        "INSERT OR REPLACE INTO k2(key, v) VALUES(new.key, 'seen'); END");
    maker_add_fixed_sql(
        maker, CLASS_SETUP, OP_IS_SCHEMA,
        "CREATE TRIGGER w_delete INSTEAD OF DELETE ON w BEGIN DELETE FROM k WHERE key = "
        "old.key; END");
}

void setup(struct maker *maker)
{
    choose_setting(maker->episode, &maker->random);
    choose_tables(maker->episode, &maker->random);
    for (int i = 0; i < TABLE_COUNT; i++)
        maker_create_table(maker, 0, &maker->episode->tables[i], "");
    create_alias(maker);
    create_partner(maker, "o");
    create_partner(maker, "fixed");
    maker_add_fixed_sql(maker, CLASS_SETUP, OP_IS_SCHEMA,
                        "CREATE TABLE p(id INTEGER PRIMARY KEY, ref REFERENCES o(id) DEFERRABLE "
                        "INITIALLY DEFERRED)");
    create_triggers(maker);
    create_view(maker);
    fill_partner(maker, "fixed", FIXED_ROWS);
    fill_partner(maker, "o", FIXED_ROWS);
}
