/* The arguments of CREATE VIRTUAL TABLE: what is taken, what it means, what is refused and how. */
#include "arguments.h"

#include <sqlite3.h>

#include "location.h"
#include "runner.h"
#include "tokens.h"

enum { ARGUMENT_MAX = 16 };

/* Parse the arguments up to the first NULL. */
static int parse(const char *const *arguments, struct kv_definition *out, char **error)
{
    int count = 0;

    while (count < ARGUMENT_MAX && arguments[count])
        count++;
    return kv_definition_parse("kv", count, arguments, out, error);
}

/* ---- What is taken */

static const struct {
    const char *arguments[ARGUMENT_MAX];
    const char *schema;      /* what the store records */
    const char *declaration; /* what SQLite is told */
} accepted[] = {
    {{NULL},
     "\"key\" TEXT, \"value\"",
     "CREATE TABLE x(\"key\" TEXT PRIMARY KEY NOT NULL, \"value\" , \"kv\" HIDDEN) WITHOUT ROWID"},
    {{""},
     "\"key\" TEXT, \"value\"",
     "CREATE TABLE x(\"key\" TEXT PRIMARY KEY NOT NULL, \"value\" , \"kv\" HIDDEN) WITHOUT ROWID"},
    {{"id INTEGER", "name TEXT NOT NULL", "score REAL", "path='m'"},
     "\"id\" INTEGER, \"name\" TEXT NOT NULL, \"score\" REAL",
     "CREATE TABLE x(\"id\" INTEGER PRIMARY KEY NOT NULL, \"name\" TEXT NOT NULL, \"score\" REAL, "
     "\"kv\" HIDDEN) WITHOUT ROWID"},
    {{"id INTEGER PRIMARY KEY NOT NULL"},
     "\"id\" INTEGER, \"value\"",
     "CREATE TABLE x(\"id\" INTEGER PRIMARY KEY NOT NULL, \"value\" , \"kv\" HIDDEN) WITHOUT "
     "ROWID"},
    {{"a varchar ( 20 )", "b  decimal(10,\t-2) not null", "c ANY", "d BLOB", "e unsigned big int"},
     "\"a\" TEXT, \"b\" NUMERIC NOT NULL, \"c\", \"d\", \"e\" INTEGER",
     "CREATE TABLE x(\"a\" varchar(20) PRIMARY KEY NOT NULL, \"b\" decimal(10,-2) NOT NULL, \"c\" "
     ", "
     "\"d\" BLOB, \"e\" unsigned big int, \"kv\" HIDDEN) WITHOUT ROWID"},
    {{"\"a \"\"b\" TEXT", "[c d] INT", "`e`", "'f'", "\xc3\xa9_$1"},
     "\"a \"\"b\" TEXT, \"c d\" INTEGER, \"e\", \"f\", \"\xc3\xa9_$1\"",
     "CREATE TABLE x(\"a \"\"b\" TEXT PRIMARY KEY NOT NULL, \"c d\" INT, \"e\" , \"f\" , "
     "\"\xc3\xa9_$1\" , \"kv\" HIDDEN) WITHOUT ROWID"},
    {{"/* the key */ k -- and its type\n TEXT /**/", "v"},
     "\"k\" TEXT, \"v\"",
     "CREATE TABLE x(\"k\" TEXT PRIMARY KEY NOT NULL, \"v\" , \"kv\" HIDDEN) WITHOUT ROWID"},
    {{"k \"my type\"", "KV"}, /* a column of the table's name leaves no room for commands */
     "\"k\" NUMERIC, \"KV\"",
     "CREATE TABLE x(\"k\" \"my type\" PRIMARY KEY NOT NULL, \"KV\" ) WITHOUT ROWID"},
};

static void check_text(char *got, const char *expected)
{
    ck_assert_str_eq(got, expected);
    sqlite3_free(got);
}

/* Goal: columns mean what they say. Method: compare with what the store and SQLite are told. */
START_TEST(test_arguments_columns)
{
    struct kv_definition definition;
    char *error;

    ck_assert_msg(parse(accepted[_i].arguments, &definition, &error) == SQLITE_OK, "%s", error);
    check_text(kv_definition_schema(&definition), accepted[_i].schema);
    check_text(kv_definition_declaration(&definition, "kv"), accepted[_i].declaration);
    kv_definition_release(&definition);
}
END_TEST

/* SQLite takes every declaration, and sees the types that we see. */
START_TEST(test_arguments_declarations_are_sql)
{
    sqlite3 *db;
    char *error = NULL;

    ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, accepted[_i].declaration, NULL, NULL, &error) == SQLITE_OK, "%s",
                  error);
    sqlite3_close(db);
}
END_TEST

START_TEST(test_arguments_options)
{
    static const char *const all[] = {"path = 'it''s'",
                                      "synchronous=NORMAL",
                                      "segment_bytes = 1MB",
                                      "max_segment_bytes='2gb'",
                                      "fanout=3",
                                      "tiers=\"2\"",
                                      "garbage_ratio=.25",
                                      "auto_compact=off",
                                      "readonly=1",
                                      NULL};
    struct kv_definition definition;
    char *error;

    ck_assert_msg(parse(all, &definition, &error) == SQLITE_OK, "%s", error);
    ck_assert_str_eq(definition.path, "it's");
    ck_assert_int_eq(definition.settings.synchronous, KV_SYNC_NORMAL);
    ck_assert_uint_eq(definition.settings.segment_bytes, 1 << 20);
    ck_assert_uint_eq(definition.settings.max_segment_bytes, UINT64_C(2) << 30);
    ck_assert_uint_eq(definition.settings.fanout, 3);
    ck_assert_uint_eq(definition.settings.tiers, 2);
    ck_assert(definition.settings.garbage_ratio == 0.25);
    ck_assert(!definition.settings.auto_compact);
    ck_assert(definition.readonly);
    kv_definition_release(&definition);
}
END_TEST

/* Without options everything is as the engine's defaults say. */
START_TEST(test_arguments_options_have_defaults)
{
    static const char *const none[] = {NULL};
    struct kv_settings defaults = kv_settings_default();
    struct kv_definition definition;
    char *error;

    ck_assert_int_eq(parse(none, &definition, &error), SQLITE_OK);
    ck_assert_ptr_null(definition.path);
    ck_assert(!definition.readonly);
    ck_assert(definition.has_command);
    ck_assert_int_eq(definition.settings.synchronous, defaults.synchronous);
    ck_assert_uint_eq(definition.settings.segment_bytes, defaults.segment_bytes);
    ck_assert_uint_eq(definition.settings.fanout, defaults.fanout);
    kv_definition_release(&definition);
}
END_TEST

/* Paths may be bare, and hold what an identifier may not. */
START_TEST(test_arguments_paths_may_be_bare)
{
    static const struct {
        const char *argument, *path;
    } paths[] = {{"path=/tmp/a b", "/tmp/a b"},     {"path=  data  ", "data"},
                 {"path=\"data\"", "data"},         {"'path'=x", "x"},
                 {"path='a' || 'b'", "'a' || 'b'"}, {"path=a=b", "a=b"}};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const char *const arguments[] = {paths[i].argument, NULL};
        struct kv_definition definition;
        char *error;

        ck_assert_msg(parse(arguments, &definition, &error) == SQLITE_OK, "%s", error);
        ck_assert_str_eq(definition.path, paths[i].path);
        kv_definition_release(&definition);
    }
}
END_TEST

/* ---- What is refused */

static const struct {
    const char *arguments[ARGUMENT_MAX];
    const char *error; /* is part of the message */
    int column_count;  /* known in spite of the error */
} refused[] = {
    {{"key TEXT DEFAULT 'x'"}, "column key: DEFAULT is not allowed", 0},
    {{"key TEXT", "v CHECK (v > 0)"}, "column v: CHECK is not allowed", 1},
    {{"key TEXT COLLATE NOCASE"}, "column key: COLLATE is not allowed", 0},
    {{"key TEXT", "v UNIQUE"}, "column v: UNIQUE is not allowed", 1},
    {{"key TEXT", "v GENERATED ALWAYS AS (1)"}, "column v: GENERATED is not allowed", 1},
    {{"key TEXT", "v AS (1)"}, "column v: AS is not allowed", 1},
    {{"key TEXT", "v REFERENCES t"}, "column v: REFERENCES is not allowed", 1},
    {{"key TEXT", "v PRIMARY KEY"}, "column v: a second PRIMARY KEY is not allowed", 1},
    {{"key TEXT PRIMARY KEY DESC"}, "column key: DESC is not allowed", 0},
    {{"key TEXT PRIMARY"}, "column key: PRIMARY is not allowed", 0},
    {{"key TEXT NOT"}, "column key: NOT is not allowed", 0},
    {{"key TEXT NULL"}, "column key: NULL is not allowed", 0},
    {{"key HIDDEN"}, "column key: HIDDEN is not allowed", 0},
    {{"key TEXT(1"}, "column key: the type's parenthesis is not closed", 0},
    {{"key TEXT()"}, "column key: the size of its type is not one number or two", 0},
    {{"key TEXT(max)"}, "column key: the size of its type is not one number or two", 0},
    {{"key DECIMAL(1,-)"}, "column key: the size of its type is not one number or two", 0},
    {{"key DECIMAL(1,2,3)"}, "column key: the size of its type is not one number or two", 0},
    {{"key TEXT(1;2)"}, "column key: ; is not allowed", 0},
    {{"key TEXT +"}, "column key: + is not allowed", 0},
    {{"key \"TEXT"}, "column key: a quote or comment is not closed", 0},
    {{"key /* TEXT"}, "column key: a quote or comment is not closed", 0},
    {{"PRIMARY KEY (a)"}, "PRIMARY is not allowed; arguments are column definitions", 0},
    {{"a", "UNIQUE (a)"}, "UNIQUE is not allowed", 1},
    {{"a", ""}, "is not allowed", 1},
    {{"(a)"}, "( is not allowed", 0},
    {{"a", "b", "A INT"}, "column A: there is another column of this name", 2},
    {{"value INT"}, "column value: there is another column of this name", 1},
    {{"path=x", "a TEXT"}, "a TEXT: columns come before options", 2},
    {{"paht=x"}, "unknown option paht; allowed are path, synchronous, segment_bytes", 2},
    {{"path=x", "PATH=y"}, "option path is given twice", 2},
    {{"path="}, "path=: allowed is a directory", 2},
    {{"path=''"}, "path=: allowed is a directory", 2},
    {{"synchronous=extra"}, "synchronous=extra: allowed is full, normal or off", 2},
    {{"segment_bytes=big"}, "segment_bytes=big: allowed is a size", 2},
    {{"segment_bytes=1TB"}, "segment_bytes=1TB: allowed is a size", 2},
    {{"segment_bytes=-1"}, "segment_bytes=-1: allowed is a size", 2},
    {{"segment_bytes=99999999999999999999"}, "allowed is a size", 2},
    {{"segment_bytes=18446744073709551615GB"}, "allowed is a size", 2},
    {{"segment_bytes=1"}, "segment_bytes", 2},
    {{"segment_bytes=4GB"}, "segment_bytes", 2},
    {{"max_segment_bytes=8GB"}, "max_segment_bytes", 2},
    {{"fanout=1"}, "fanout", 2},
    {{"fanout=33"}, "fanout", 2},
    {{"fanout=four"}, "fanout=four: allowed is a whole number", 2},
    {{"fanout=4294967300"}, "fanout=4294967300: allowed is a whole number", 2},
    {{"tiers=0"}, "tiers", 2},
    {{"tiers=9"}, "tiers", 2},
    {{"garbage_ratio=1"}, "garbage_ratio", 2},
    {{"garbage_ratio=0.01"}, "garbage_ratio", 2},
    {{"garbage_ratio=0,5"}, "garbage_ratio=0,5: allowed is a number", 2},
    {{"auto_compact=maybe"}, "auto_compact=maybe: allowed is on or off", 2},
    {{"readonly=2"}, "readonly=2: allowed is 0 or 1", 2},
};

/*
 * Goal: each error names the argument and says what is allowed; the columns
 * survive an error in an option, so that the table can still be dropped.
 */
START_TEST(test_arguments_errors_name_the_argument)
{
    struct kv_definition definition;
    char *error;

    ck_assert_int_eq(parse(refused[_i].arguments, &definition, &error), SQLITE_ERROR);
    ck_assert_msg(strstr(error, refused[_i].error) != NULL, "%s, not %s", error, refused[_i].error);
    ck_assert_int_eq(definition.column_count, refused[_i].column_count);
    sqlite3_free(error);
    kv_definition_release(&definition);
}
END_TEST

/*
 * Goal: no argument makes the parser leave it. Method: every prefix of every
 * argument above, in blocks of its exact size.
 */
START_TEST(test_arguments_prefixes_stay_in_bounds)
{
    for (int i = 0; refused[_i].arguments[i]; i++) {
        const char *argument = refused[_i].arguments[i];

        for (size_t size = 0; size <= strlen(argument); size++) {
            char *exact = malloc(size + 1);
            const char *const arguments[] = {exact, NULL};
            struct kv_definition definition;
            char *error;

            ck_assert_ptr_nonnull(exact);
            memcpy(exact, argument, size);
            exact[size] = 0;
            if (parse(arguments, &definition, &error) != SQLITE_OK)
                ck_assert_ptr_nonnull(error);
            sqlite3_free(error);
            kv_definition_release(&definition);
            free(exact);
        }
    }
}
END_TEST

/* ---- Paths */

START_TEST(test_arguments_default_path_follows_the_table)
{
    check_text(kv_location_default("/home/me/app.db", "kv"), "app.db-kv/kv");
    check_text(kv_location_default("app.db", "Kv_1-x"), "app.db-kv/Kv_1-x");
    check_text(kv_location_default("/a.db", "../../x"), "a.db-kv/%2E%2E%2F%2E%2E%2Fx");
    check_text(kv_location_default("/a.db", "a b%\xc3\xa9"), "a.db-kv/a%20b%25%C3%A9");
    check_text(kv_location_default("/a.db", ""), "a.db-kv/%");
}
END_TEST

START_TEST(test_arguments_relative_paths_start_at_the_database)
{
    check_text(kv_location_resolve("/home/me/app.db", "data"), "/home/me/data");
    check_text(kv_location_resolve("/home/me/app.db", "/data"), "/data");
    check_text(kv_location_resolve("/app.db", "../data"), "/../data");
    check_text(kv_location_resolve("app.db", "data"), "data");
    check_text(kv_location_resolve("", "data"), "data");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arguments");
    TCase *all = tcase_create("arguments");
    int accepted_count = sizeof(accepted) / sizeof(accepted[0]);
    int refused_count = sizeof(refused) / sizeof(refused[0]);

    tcase_add_loop_test(all, test_arguments_columns, 0, accepted_count);
    tcase_add_loop_test(all, test_arguments_declarations_are_sql, 0, accepted_count);
    tcase_add_test(all, test_arguments_options);
    tcase_add_test(all, test_arguments_options_have_defaults);
    tcase_add_test(all, test_arguments_paths_may_be_bare);
    tcase_add_loop_test(all, test_arguments_errors_name_the_argument, 0, refused_count);
    tcase_add_loop_test(all, test_arguments_prefixes_stay_in_bounds, 0, refused_count);
    tcase_add_test(all, test_arguments_default_path_follows_the_table);
    tcase_add_test(all, test_arguments_relative_paths_start_at_the_database);
    suite_add_tcase(suite, all);
    return kv_run_suite(suite);
}
