/* Plans: what EXPLAIN QUERY PLAN shows for which statement, and the keys that right sides become. */
#include "plan.h"

#include <sqlite3.h>

#include "rowcodec.h"
#include "runner.h"

int sqlite3_kv_static_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

static sqlite3 *db;

static void run(const char *sql)
{
    char *error = NULL;

    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &error) == SQLITE_OK, "%s: %s", sql, error);
}

static void set_up(void)
{
    char *error = NULL;

    ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_kv_static_init(db, &error, NULL), SQLITE_OK);
    run("CREATE VIRTUAL TABLE kv USING kv(synchronous=off)");
    run("CREATE VIRTUAL TABLE number USING kv(id INTEGER, v, synchronous=off)");
    run("CREATE TABLE t(x, n INTEGER)");
    run("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000) "
        "INSERT INTO kv SELECT printf('%04d', i), i FROM c");
    run("INSERT INTO number SELECT value, key FROM kv");
    run("INSERT INTO t VALUES('0005', 5), ('0500', 500)");
}

static void tear_down(void)
{
    sqlite3_close(db);
}

/* The plan's steps, one a line; for sqlite3_free(). */
static char *plan_of(const char *sql)
{
    char *explain = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sql);
    char *text = sqlite3_mprintf("");
    sqlite3_stmt *statement;

    ck_assert_msg(sqlite3_prepare_v2(db, explain, -1, &statement, NULL) == SQLITE_OK, "%s",
                  sqlite3_errmsg(db));
    while (sqlite3_step(statement) == SQLITE_ROW)
        text = sqlite3_mprintf("%z%s\n", text, sqlite3_column_text(statement, 3));
    sqlite3_finalize(statement);
    sqlite3_free(explain);
    return text;
}

/* ---- What is chosen */

static const struct {
    const char *sql;
    const char *plan; /* is part of EXPLAIN QUERY PLAN's text */
    const char *not_in_plan;
} plans[] = {
    {"SELECT * FROM kv", "INDEX 0:all rows", NULL},
    {"SELECT * FROM kv WHERE key = 'a'", "INDEX 1:key=?", NULL},
    {"SELECT * FROM kv WHERE key IS 'a'", "INDEX 1:key=?", NULL},
    {"SELECT * FROM kv WHERE key = ? AND key > 'a'", "INDEX 1:key=?", NULL},
    {"SELECT * FROM kv WHERE key > 'a'", "INDEX 10:key>?", NULL},
    {"SELECT * FROM kv WHERE key >= 'a'", "INDEX 2:key>=?", NULL},
    {"SELECT * FROM kv WHERE key < 'a'", "INDEX 20:key<?", NULL},
    {"SELECT * FROM kv WHERE key <= 'a'", "INDEX 4:key<=?", NULL},
    {"SELECT * FROM kv WHERE key > 'a' AND key < 'b'", "INDEX 30:key>? AND key<?", NULL},
    {"SELECT * FROM kv WHERE key BETWEEN 'a' AND 'b'", "INDEX 6:key>=? AND key<=?", NULL},
    {"SELECT * FROM kv WHERE key IN ('a', 'b', 'c')", "INDEX 32:key IN (?)", NULL},
    {"SELECT * FROM kv WHERE key = 'a' OR key = 'b'", "INDEX 32:key IN (?)", NULL},
    {"SELECT * FROM kv WHERE key IN (SELECT x FROM t)", "INDEX 32:key IN (?)", NULL},
    {"SELECT * FROM kv WHERE key NOT IN ('a', 'b')", "INDEX 0:all rows", NULL},
    {"SELECT * FROM kv WHERE key GLOB 'user:*'", "key GLOB ?", NULL},
    {"SELECT * FROM kv WHERE key GLOB '5*'", "INDEX 64:key GLOB ?", NULL},
    {"SELECT * FROM number WHERE id GLOB '5*'", "INDEX 64:id GLOB ?", NULL},
    {"SELECT * FROM kv WHERE key LIKE 'user:%'", "INDEX 0:all rows", NULL},
    {"SELECT * FROM kv WHERE key >= 'a' AND key LIKE 'a%'", "INDEX 2:key>=?", "blobs"},
    /* The upper bound could be what SQLite derives where LIKE tells A from a, and blobs may match. */
    {"SELECT * FROM kv WHERE key < 'b' AND key LIKE 'a%'", "INDEX 532:key<? OR blobs", NULL},
    {"SELECT * FROM kv WHERE key = 'a' COLLATE NOCASE", "INDEX 0:all rows", NULL},
    {"SELECT * FROM kv WHERE key > 'a' COLLATE NOCASE", "INDEX 0:all rows", NULL},
    {"SELECT * FROM kv WHERE +key = 'a'", "INDEX 0:all rows", NULL},
    {"SELECT * FROM kv WHERE value = 'a'", "INDEX 0:all rows", NULL},
    {"SELECT * FROM kv ORDER BY key", "INDEX 0:all rows", "TEMP B-TREE"},
    {"SELECT * FROM kv ORDER BY key DESC", "INDEX 128:all rows DESC", "TEMP B-TREE"},
    {"SELECT * FROM kv ORDER BY key, value DESC", "INDEX 0:all rows", "TEMP B-TREE"},
    {"SELECT * FROM kv ORDER BY value", "USE TEMP B-TREE FOR ORDER BY", NULL},
    {"SELECT * FROM kv ORDER BY key COLLATE NOCASE", "USE TEMP B-TREE FOR ORDER BY", NULL},
    {"SELECT * FROM kv WHERE key < 'a' ORDER BY key DESC LIMIT 5", "INDEX 148:key<? DESC",
     "TEMP B-TREE"},
    {"SELECT * FROM kv WHERE key IN ('b', 'a') ORDER BY key", "INDEX 32:key IN (?)", "TEMP B-TREE"},
    {"SELECT * FROM kv WHERE key IN ('b', 'a') ORDER BY key DESC", "INDEX 160:key IN (?) DESC",
     "TEMP B-TREE"},
    {"SELECT max(key) FROM kv", "INDEX 128:all rows DESC", "TEMP B-TREE"},
    {"SELECT DISTINCT key FROM kv", "INDEX 0:all rows", "TEMP B-TREE"},
    {"SELECT key, count(*) FROM kv GROUP BY key", "INDEX 0:all rows", "TEMP B-TREE"},
    {"SELECT * FROM number WHERE id > 5 AND id <= 7", "INDEX 14:id>? AND id<=?", NULL},
    /* The small table outside, the key looked up inside. */
    {"SELECT * FROM kv, t WHERE kv.key = t.x", "INDEX 1:key=?", "all rows"},
    {"SELECT * FROM t, number WHERE number.id = t.n", "INDEX 1:id=?", "all rows"},
    {"SELECT * FROM kv a, kv b WHERE a.key = b.value", "INDEX 1:key=?", NULL},
    {"DELETE FROM kv WHERE key = 'a'", "INDEX 1:key=?", NULL},
    {"UPDATE kv SET value = 1 WHERE key BETWEEN 'a' AND 'b'", "INDEX 6:key>=? AND key<=?", NULL},
};
enum { PLANS = sizeof(plans) / sizeof(plans[0]) };

/* Goal: each statement is answered through the index, without sorting what comes sorted. */
START_TEST(test_plan_is_chosen)
{
    char *text = plan_of(plans[_i].sql);

    ck_assert_msg(strstr(text, plans[_i].plan) != NULL, "%s: %s", plans[_i].sql, text);
    if (plans[_i].not_in_plan)
        ck_assert_msg(strstr(text, plans[_i].not_in_plan) == NULL, "%s: %s", plans[_i].sql, text);
    sqlite3_free(text);
}
END_TEST

/* ---- Sizes */

/*
 * Goal: the smaller table is read and the larger one looked up, whichever is written first, by
 * how many rows there really are.
 */
START_TEST(test_plan_of_a_join_goes_by_real_sizes)
{
    static const char *const joins[] = {
        "SELECT * FROM a, b WHERE a.key = b.key", "SELECT * FROM b, a WHERE a.key = b.key",
        "SELECT * FROM a, b WHERE b.key = a.key", "SELECT * FROM b JOIN a USING (key)"};
    const char *small = _i < 4 ? "a" : "b", *large = _i < 4 ? "b" : "a";
    char *filling = sqlite3_mprintf("INSERT INTO %s SELECT * FROM kv; INSERT INTO %s SELECT * FROM "
                                    "kv WHERE key < '0020'",
                                    large, small);
    char *expected = sqlite3_mprintf("SCAN %s VIRTUAL TABLE INDEX 0:all rows\n"
                                     "SCAN %s VIRTUAL TABLE INDEX 1:key=?\n",
                                     small, large);
    char *plan;

    run("CREATE VIRTUAL TABLE a USING kv; CREATE VIRTUAL TABLE b USING kv");
    run(filling);
    plan = plan_of(joins[_i % 4]);
    ck_assert_str_eq(plan, expected);
    sqlite3_free(filling);
    sqlite3_free(expected);
    sqlite3_free(plan);
}
END_TEST

/* How many steps SQLite makes for a statement: few for a row, many for all. */
static int steps_of(const char *sql)
{
    sqlite3_stmt *statement;
    int steps;

    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s",
                  sqlite3_errmsg(db));
    sqlite3_bind_int(statement, 1, 5);
    while (sqlite3_step(statement) == SQLITE_ROW)
        continue;
    steps = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 0);
    ck_assert_int_eq(sqlite3_finalize(statement), SQLITE_OK);
    return steps;
}

/* Goal: the ends of a table are found without reading what lies between. */
START_TEST(test_plan_of_an_end_reads_one_row)
{
    static const char *const ends[] = {
        "SELECT min(key) FROM kv",
        "SELECT max(key) FROM kv",
        "SELECT max(key) FROM kv WHERE key < '0500'",
        "SELECT min(id), v FROM number WHERE id > 10",
        "SELECT key FROM kv ORDER BY key LIMIT 1",
        "SELECT * FROM kv ORDER BY key DESC, value LIMIT 1",
        "SELECT DISTINCT key FROM kv LIMIT 1",
        "SELECT key, count(*) FROM kv GROUP BY key LIMIT 1",
        "SELECT key, count(*) FROM kv GROUP BY key ORDER BY key DESC LIMIT 1",
    };

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        ck_assert_msg(steps_of(ends[i]) < 100, "%s: %d steps", ends[i], steps_of(ends[i]));
    ck_assert_int_gt(steps_of("SELECT max(value) FROM kv"), 1000); /* so much for counting steps */
}
END_TEST

/* ---- Bounds */

/* Where a value on the right leads: the kind of bound, then the key in hexadecimal. */
static const struct {
    const char *value;
    enum kv_affinity affinity;
    enum kv_bound equal, range;
    const char *key; /* of both; NULL: as long as a key can be */
} bounds[] = {
    {"NULL", KV_AFFINITY_NONE, KV_BOUND_NOTHING, KV_BOUND_NOTHING, ""},
    {"'ab'", KV_AFFINITY_NONE, KV_BOUND_KEY, KV_BOUND_KEY, "206162"},
    {"'ab'", KV_AFFINITY_TEXT, KV_BOUND_KEY, KV_BOUND_KEY, "206162"},
    {"x'ab'", KV_AFFINITY_TEXT, KV_BOUND_KEY, KV_BOUND_KEY, "30AB"},
    {"''", KV_AFFINITY_TEXT, KV_BOUND_KEY, KV_BOUND_KEY, "20"},
    /* SQLite compares a TEXT column with a number by its text, but not always. */
    {"5", KV_AFFINITY_TEXT, KV_BOUND_KEY, KV_BOUND_ALL, "2035"},
    {"5.0", KV_AFFINITY_TEXT, KV_BOUND_KEY, KV_BOUND_ALL, "20352E30"},
    {"'5'", KV_AFFINITY_NONE, KV_BOUND_KEY, KV_BOUND_KEY, "2035"},
    {"' 5 '", KV_AFFINITY_INTEGER, KV_BOUND_KEY, KV_BOUND_KEY, "10C014000000000000"},
    {"5.0", KV_AFFINITY_INTEGER, KV_BOUND_KEY, KV_BOUND_KEY, "10C014000000000000"},
    {"'5x'", KV_AFFINITY_INTEGER, KV_BOUND_KEY, KV_BOUND_KEY, "203578"},
    {"'5'", KV_AFFINITY_NUMERIC, KV_BOUND_KEY, KV_BOUND_KEY, "10C014000000000000"},
    /* Not rounded, though a column of reals would store it so. */
    {"9007199254740993", KV_AFFINITY_REAL, KV_BOUND_KEY, KV_BOUND_KEY, "10C3400000000000000001"},
    {"zeroblob(65534)", KV_AFFINITY_NONE, KV_BOUND_KEY, KV_BOUND_KEY, NULL},
    {"zeroblob(65535)", KV_AFFINITY_NONE, KV_BOUND_KEY_LONG, KV_BOUND_KEY_LONG, NULL},
};
enum { BOUNDS = sizeof(bounds) / sizeof(bounds[0]) };

static void check_key(const struct kv_scratch *key, const char *hex)
{
    char *got = sqlite3_mprintf("");

    for (size_t i = 0; i < key->size; i++)
        got = sqlite3_mprintf("%z%02X", got, key->data[i]);
    ck_assert_str_eq(got, hex);
    sqlite3_free(got);
}

static void bound_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    int i = sqlite3_value_int(argv[1]);
    struct kv_scratch key = {NULL, 0, 0};

    (void)argc, (void)context;
    ck_assert_int_eq(kv_bound_range(argv[0], bounds[i].affinity, &key), bounds[i].range);
    ck_assert_int_eq(kv_bound_equal(argv[0], bounds[i].affinity, &key), bounds[i].equal);
    if (bounds[i].key)
        check_key(&key, bounds[i].key);
    else
        ck_assert_uint_eq(key.size, KV_KEY_LIMIT_BYTES);
    kv_scratch_release(&key);
}

START_TEST(test_plan_right_sides_become_keys)
{
    char *sql = sqlite3_mprintf("SELECT bound(%s, %d)", bounds[_i].value, _i);

    sqlite3_create_function(db, "bound", 2, SQLITE_UTF8, NULL, bound_function, NULL, NULL);
    run(sql);
    sqlite3_free(sql);
}
END_TEST

static const struct {
    const char *pattern;
    enum kv_affinity affinity;
    enum kv_bound bound;
    const char *lower, *upper;
} globs[] = {
    {"'ab*'", KV_AFFINITY_TEXT, KV_BOUND_KEY, "206162", "206163"},
    {"'ab?c'", KV_AFFINITY_TEXT, KV_BOUND_KEY, "206162", "206163"},
    {"'a[bc]'", KV_AFFINITY_TEXT, KV_BOUND_KEY, "2061", "2062"},
    {"'ab'", KV_AFFINITY_TEXT, KV_BOUND_KEY, "206162", "206163"},
    {"'5*'", KV_AFFINITY_TEXT, KV_BOUND_KEY, "2035", "2036"},
    {"'a' || char(0) || 'b*'", KV_AFFINITY_TEXT, KV_BOUND_KEY, "2061", "2062"},
    {"CAST(x'61ff62' AS TEXT)", KV_AFFINITY_TEXT, KV_BOUND_KEY, "2061", "2062"},
    {"'\xc3\xa9*'", KV_AFFINITY_TEXT, KV_BOUND_KEY, "20C3A9", "20C3AA"},
    {"'*'", KV_AFFINITY_TEXT, KV_BOUND_ALL, NULL, NULL},
    {"''", KV_AFFINITY_TEXT, KV_BOUND_ALL, NULL, NULL},
    {"5", KV_AFFINITY_TEXT, KV_BOUND_ALL, NULL, NULL},
    {"x'6162'", KV_AFFINITY_TEXT, KV_BOUND_ALL, NULL, NULL},
    {"NULL", KV_AFFINITY_TEXT, KV_BOUND_NOTHING, NULL, NULL},
    /* Where keys may be numbers, these match by their text. */
    {"'ab*'", KV_AFFINITY_NONE, KV_BOUND_KEY, "206162", "206163"},
    {"'-a*'", KV_AFFINITY_INTEGER, KV_BOUND_KEY, "202D61", "202D62"},
    {"'5*'", KV_AFFINITY_NONE, KV_BOUND_ALL, NULL, NULL},
    {"'-*'", KV_AFFINITY_NONE, KV_BOUND_ALL, NULL, NULL},
    {"'-5*'", KV_AFFINITY_REAL, KV_BOUND_ALL, NULL, NULL},
};
enum { GLOBS = sizeof(globs) / sizeof(globs[0]) };

static void glob_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    int i = sqlite3_value_int(argv[1]);
    struct kv_scratch lower = {NULL, 0, 0}, upper = {NULL, 0, 0};

    (void)argc, (void)context;
    ck_assert_int_eq(kv_bound_glob(argv[0], globs[i].affinity, &lower, &upper), globs[i].bound);
    if (globs[i].lower) {
        check_key(&lower, globs[i].lower);
        check_key(&upper, globs[i].upper);
    }
    kv_scratch_release(&lower);
    kv_scratch_release(&upper);
}

/* Goal: a pattern's range holds all texts that can match it: those that start as it does. */
START_TEST(test_plan_patterns_become_ranges)
{
    char *sql = sqlite3_mprintf("SELECT pattern(%s, %d)", globs[_i].pattern, _i);

    sqlite3_create_function(db, "pattern", 2, SQLITE_UTF8, NULL, glob_function, NULL, NULL);
    run(sql);
    sqlite3_free(sql);
}
END_TEST

/* ---- Numbers beside texts */

static const struct {
    const char *sql;
    bool reads_texts; /* all that may be numbers, of which there are 1000 */
} numbers[] = {
    {"SELECT * FROM kv WHERE key = 5", false},
    {"SELECT * FROM kv WHERE key = ?1", false},
    {"SELECT * FROM kv WHERE key = ?1 ORDER BY key DESC", false},
    {"SELECT * FROM kv WHERE key IN (5, ?1)", false},
    {"SELECT * FROM kv WHERE key = 5 + 0", true},
    {"SELECT * FROM kv WHERE key = (SELECT n FROM t)", true},
    {"SELECT * FROM kv WHERE key IN (SELECT n FROM t)", true},
    {"SELECT * FROM kv WHERE key IN (SELECT x FROM t)", false},
    {"SELECT * FROM number WHERE id = (SELECT n FROM t)", false},
    {"SELECT * FROM untyped WHERE key = 5", false},
    {"SELECT * FROM untyped WHERE key = ?1", false},
    {"SELECT * FROM untyped WHERE key < 5", false},
    {"SELECT * FROM untyped WHERE key BETWEEN ?1 AND 9", false},
    {"SELECT * FROM untyped WHERE key BETWEEN ?1 AND ?1", false},
    {"SELECT * FROM untyped WHERE key < (SELECT n FROM t)", true},
    {"SELECT * FROM untyped WHERE key = (SELECT n FROM t)", true},
};
enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };

/*
 * Goal: texts are compared with numbers one by one where they must be, and only there.
 * Method: SQLite checks each row that a plan yields; count its steps.
 */
START_TEST(test_plan_reads_numeric_texts_where_needed)
{
    int steps;

    run("CREATE VIRTUAL TABLE untyped USING kv(key, value, synchronous=off)");
    run("INSERT INTO untyped SELECT * FROM kv; INSERT INTO untyped VALUES(5, 5), (6, 6), ('x', 7)");
    steps = steps_of(numbers[_i].sql);
    ck_assert_msg(numbers[_i].reads_texts ? steps > 1000 : steps < 200, "%s: %d steps",
                  numbers[_i].sql, steps);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *all = tcase_create("plan");

    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_loop_test(all, test_plan_is_chosen, 0, PLANS);
    tcase_add_loop_test(all, test_plan_of_a_join_goes_by_real_sizes, 0, 8);
    tcase_add_test(all, test_plan_of_an_end_reads_one_row);
    tcase_add_loop_test(all, test_plan_right_sides_become_keys, 0, BOUNDS);
    tcase_add_loop_test(all, test_plan_patterns_become_ranges, 0, GLOBS);
    tcase_add_loop_test(all, test_plan_reads_numeric_texts_where_needed, 0, NUMBERS);
    suite_add_tcase(suite, all);
    return kv_run_suite(suite);
}
