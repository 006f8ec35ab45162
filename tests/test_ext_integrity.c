/*
 * What PRAGMA integrity_check says of a kv table. SQLite asks virtual tables from 3.44 on only;
 * so that older ones test it as well, a function makes the call that the pragma makes.
 */
#include "integrity.h"

#include <string.h>

#include "catalog.h"
#include "database.h"
#include "runner.h"

static struct kv_connection *connection;
static sqlite3 *db;

/* integrity(table, flags [, 'interrupt']): the problem; NULL: none. */
static void integrity(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    char *problem = NULL, *error = NULL;
    struct kv_table *table;
    int code;

    code = kv_catalog_find(connection, "integrity", (const char *)sqlite3_value_text(argv[0]),
                           &table, &error);
    ck_assert_msg(code == SQLITE_OK, "%s", error);
    if (argc == 3)
        sqlite3_interrupt(db);
    code = kv_integrity_check(&table->base, "main", "kv", sqlite3_value_int(argv[1]), &problem);
    if (code == SQLITE_OK)
        sqlite3_result_text(context, problem, -1, SQLITE_TRANSIENT);
    else
        sqlite3_result_error_code(context, code);
    ck_assert(code == SQLITE_OK || !problem);
    if (argc == 3) /* SQLite would say so anyway */
        ck_assert_int_eq(code, SQLITE_INTERRUPT);
    sqlite3_free(problem);
}

static void open_again(void)
{
    bool is_new;

    db = database_open("test.db");
    connection = kv_connection_get(db, &is_new);
    ck_assert(connection && !is_new);
    ck_assert_int_eq(
        sqlite3_create_function(db, "integrity", -1, SQLITE_UTF8, NULL, integrity, NULL, NULL),
        SQLITE_OK);
}

static void close_all(void)
{
    kv_connection_release(connection);
    database_close(db);
}

static void setup(void)
{
    database_set_up();
    open_again();
    database_run(db, "CREATE VIRTUAL TABLE kv USING kv(id, name, score, path='data')");
    database_run(db, "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
                     "INSERT INTO kv SELECT i, 'name' || i, i / 2.0 FROM n");
}

static void teardown(void)
{
    close_all();
    database_tear_down();
}

START_TEST(test_ext_integrity_of_a_sound_table)
{
    database_expect(db, "SELECT integrity('kv', 0), integrity('kv', 1)", "NULL|NULL");
    database_run(db, "BEGIN; INSERT INTO kv VALUES('own', 1, x'00')");
    database_expect(db, "SELECT integrity('kv', 0)", "NULL");
    database_run(db, "ROLLBACK");
}
END_TEST

/* Goal: damage in the middle is found by reading everything, which quick_check does not. */
START_TEST(test_ext_integrity_of_a_damaged_store)
{
    database_run(db, "SELECT kv_compact('kv')");
    close_all();
    ck_assert_int_eq(system("f=$(ls -S data/*.db | head -1) && printf '~~~~' | "
                            "dd of=$f bs=1 seek=9000 conv=notrunc status=none"),
                     0);
    open_again();
    database_expect(db, "SELECT integrity('kv', 1)", "NULL");
    database_expect(db, "SELECT integrity('kv', 0) GLOB 'kv: *segment_*.db*offset*'", "1");
}
END_TEST

START_TEST(test_ext_integrity_of_a_store_that_is_gone)
{
    close_all();
    database_remove("data");
    open_again();
    database_expect(db, "SELECT integrity('kv', 0) GLOB 'kv: *data*'", "1");
    database_expect(db, "SELECT integrity('kv', 1) GLOB 'kv: *data*'", "1");
}
END_TEST

/* Goal: rows that no table wrote are found, though their checksums are right. */
START_TEST(test_ext_integrity_of_malformed_rows)
{
    static const struct {
        const char *key, *row;
        size_t row_size;
    } bad[] = {{"\xff", "", 0}, {"\xff", "\1", 1}, {"5text", "\x7f\x7f\x7f", 3}};
    struct kv_open_options options = kv_open_options_default();
    struct kv_store *store;
    struct kv_txn *txn;

    close_all();
    ck_kv(kv_store_open("data", &options, &store));
    ck_kv(kv_txn_begin(store, NULL, &txn));
    ck_kv(kv_txn_put(txn, kv_slice_text(bad[_i].key), kv_slice_of(bad[_i].row, bad[_i].row_size)));
    ck_kv(kv_txn_commit(txn));
    ck_kv(kv_store_close(store));
    open_again();
    database_expect(db, "SELECT integrity('kv', 0) GLOB 'kv: a row in the store * is malformed*'",
                    "1");
}
END_TEST

START_TEST(test_ext_integrity_is_interrupted)
{
    database_fails(db, "SELECT integrity('kv', 0, 'interrupt')", SQLITE_INTERRUPT);
    database_expect(db, "SELECT integrity('kv', 0)", "NULL");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ext_integrity");
    TCase *tests = tcase_create("ext_integrity");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_ext_integrity_of_a_sound_table);
    tcase_add_test(tests, test_ext_integrity_of_a_damaged_store);
    tcase_add_test(tests, test_ext_integrity_of_a_store_that_is_gone);
    tcase_add_loop_test(tests, test_ext_integrity_of_malformed_rows, 0, 3);
    tcase_add_test(tests, test_ext_integrity_is_interrupted);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
