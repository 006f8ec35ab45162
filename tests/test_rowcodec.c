/* Affinity, keys and rows: what the extension makes of SQL values, checked against SQLite itself. */
#include "rowcodec.h"

#include <sqlite3.h>
#include <stdio.h>

#include "runner.h"

/* ---- SQL values from SQLite */

static const char *const specimens[] = {
    "NULL",
    "0",
    "1",
    "-1",
    "127",
    "128",
    "-128",
    "-129",
    "32767",
    "8388608",
    "2147483648",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "9007199254740994",
    "9007199254740995",
    "-9007199254740993",
    "9223372036854775807",
    "9223372036854775806",
    "9223372036854774784",
    "9223372036854774783",
    "(-9223372036854775807 - 1)",
    "-9223372036854775807",
    "-9223372036854774785",
    "4611686018427387905",
    "72057594037927937",
    "0.0",
    "-0.0",
    "0.5",
    "-0.5",
    "1.0",
    "1.5",
    "9007199254740992.0",
    "9007199254740994.0",
    "9.2233720368547758e18",
    "-9.2233720368547758e18",
    "9.3e18",
    "1e300",
    "-1e300",
    "9e999",
    "-9e999",
    "1e-300",
    "4.9e-324",
    "-4.9e-324",
    "1e15",
    "1e16",
    "123456789012345680.0",
    "''",
    "' '",
    "'abc'",
    "'ABC'",
    "'1'",
    "'01'",
    "'+1'",
    "'-1'",
    "' 1'",
    "'1 '",
    "' 1.5 '",
    "'1.0'",
    "'1.'",
    "'.5'",
    "'.'",
    "'+'",
    "'-.5e1'",
    "'1e3'",
    "'1E+3'",
    "'1e'",
    "'1e-2'",
    "'1e400'",
    "'-1e400'",
    "'0x10'",
    "'1x'",
    "'1 2'",
    "'Inf'",
    "'nan'",
    "'1_000'",
    "'-0'",
    "'-0.0'",
    "'0.0'",
    "'9223372036854775807'",
    "'9223372036854775808'",
    "'-9223372036854775808'",
    "'-9223372036854775809'",
    "'9007199254740993'",
    "'9007199254740993.0'",
    "'100000000000000000000'",
    "'1.0e18'",
    "'922337203685477580.7e1'",
    "'0.1'",
    "'123456789.987654321'",
    "char(9, 49, 10)",
    "char(160, 49)",
    "'1' || char(0)",
    "char(0)",
    "'a' || char(0) || 'b'",
    "'\xc3\xa9'",
    "'\xf0\x9f\x98\x80'",
    "x''",
    "x'00'",
    "x'31'",
    "x'616263'",
    "x'ffffffff'",
    "zeroblob(5)",
};
enum { SPECIMENS = sizeof(specimens) / sizeof(specimens[0]), RANDOM_VALUES = 6000 };

static const char *const columns[] = {"n", "t", "i", "r", "u"};
static const enum kv_affinity affinities[] = {
    KV_AFFINITY_NONE, KV_AFFINITY_TEXT, KV_AFFINITY_INTEGER, KV_AFFINITY_REAL, KV_AFFINITY_NUMERIC};
enum { COLUMNS = 5 };

static sqlite3 *db;
static uint64_t random_state = 42;

static uint64_t next_random(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return random_state >> 11 ^ random_state << 43;
}

/* cell(affinity, value): what kv_cell_read makes of the value. */
static void cell_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct kv_cell cell;

    (void)argc;
    ck_assert_int_eq(kv_cell_read(argv[1], (enum kv_affinity)sqlite3_value_int(argv[0]), &cell),
                     SQLITE_OK);
    kv_cell_result(context, &cell);
}

static struct kv_scratch scratch;

/* key(value), row_of(value): their encoded form as blobs. */
static void key_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct kv_cell cell;

    (void)argc;
    ck_assert_int_eq(kv_cell_read(argv[0], KV_AFFINITY_NONE, &cell), SQLITE_OK);
    ck_assert(kv_key_encode(&cell, &scratch));
    sqlite3_result_blob(context, scratch.data, (int)scratch.size, SQLITE_TRANSIENT);
}

/* A text that may or may not look like a number. */
static void random_text(char *out)
{
    static const char letters[] = "0123456789012345678901234567890123456789..eE+- x";
    size_t size = 1 + next_random() % 24;

    for (size_t i = 0; i < size; i++)
        *out++ = letters[next_random() % (sizeof(letters) - 1)];
    *out = 0;
}

static void bind_random(sqlite3_stmt *statement)
{
    uint64_t bits = next_random() * 3 ^ next_random() << 20;
    char text[64];
    double real;

    switch (next_random() % 6) {
    case 0: sqlite3_bind_int64(statement, 1, (sqlite3_int64)(bits >> next_random() % 64)); break;
    case 1:
        sqlite3_bind_int64(statement, 1, -(sqlite3_int64)(bits >> (1 + next_random() % 63)));
        break;
    case 2:
        memcpy(&real, &bits, sizeof(real));
        sqlite3_bind_double(statement, 1, real);
        break;
    case 3: sqlite3_bind_double(statement, 1, (double)(int64_t)(bits >> next_random() % 64)); break;
    default: random_text(text); sqlite3_bind_text(statement, 1, text, -1, SQLITE_TRANSIENT);
    }
}

static void run(const char *sql)
{
    char *error = NULL;

    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &error) == SQLITE_OK, "%s: %s", sql, error);
}

static sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *statement;

    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s: %s", sql,
                  sqlite3_errmsg(db));
    return statement;
}

/* A table v(x) of all specimens and many random values, without NULL. */
static void set_up(void)
{
    sqlite3_stmt *insert;

    ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    sqlite3_create_function(db, "cell", 2, SQLITE_UTF8, NULL, cell_function, NULL, NULL);
    sqlite3_create_function(db, "key", 1, SQLITE_UTF8, NULL, key_function, NULL, NULL);
    run("CREATE TABLE v(x)");
    for (int i = 0; i < SPECIMENS; i++) {
        char sql[256];

        snprintf(sql, sizeof(sql), "INSERT INTO v SELECT %s", specimens[i]);
        run(sql);
    }
    insert = prepare("INSERT INTO v VALUES(?)");
    for (int i = 0; i < RANDOM_VALUES; i++) {
        if (i == 0)
            sqlite3_bind_double(insert, 1, -0.0); /* SQL text cannot say it */
        else
            bind_random(insert);
        ck_assert_int_eq(sqlite3_step(insert), SQLITE_DONE);
        sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
}

static void tear_down(void)
{
    kv_scratch_release(&scratch);
    sqlite3_close(db);
}

/* The same type and, to the last bit, the same value. */
static bool is_same(sqlite3_stmt *statement, int a, int b)
{
    int type = sqlite3_column_type(statement, a);
    double reals[2] = {sqlite3_column_double(statement, a), sqlite3_column_double(statement, b)};
    const void *bytes[2];
    int size;

    if (type != sqlite3_column_type(statement, b))
        return false;
    switch (type) {
    case SQLITE_NULL: return true;
    case SQLITE_INTEGER:
        return sqlite3_column_int64(statement, a) == sqlite3_column_int64(statement, b);
    case SQLITE_FLOAT: return memcmp(&reals[0], &reals[1], sizeof(double)) == 0;
    default:
        bytes[0] = sqlite3_column_blob(statement, a);
        bytes[1] = sqlite3_column_blob(statement, b);
        size = sqlite3_column_bytes(statement, a);
        return size == sqlite3_column_bytes(statement, b) &&
               (size == 0 || memcmp(bytes[0], bytes[1], (size_t)size) == 0);
    }
}

/* ---- Affinity */

/*
 * Goal: each affinity converts every value as an ordinary column does.
 * Method: store thousands of values in an ordinary table with one column of
 * each affinity, then compare each with what kv_cell_read gives.
 */
START_TEST(test_rowcodec_affinity_is_that_of_an_ordinary_table)
{
    sqlite3_stmt *select;
    int count = 0;

    run("CREATE TABLE t(x, n, t TEXT, i INTEGER, r REAL, u NUMERIC)");
    run("INSERT INTO t SELECT x, x, x, x, x, x FROM v");
    for (int c = 0; c < COLUMNS; c++) {
        char sql[128];

        snprintf(sql, sizeof(sql), "SELECT %s, cell(%d, x), quote(x) FROM t", columns[c],
                 (int)affinities[c]);
        select = prepare(sql);
        for (; sqlite3_step(select) == SQLITE_ROW; count++)
            ck_assert_msg(is_same(select, 0, 1), "%s as %s: %s, not %s",
                          sqlite3_column_text(select, 2), columns[c],
                          sqlite3_column_text(select, 1), sqlite3_column_text(select, 0));
        sqlite3_finalize(select);
    }
    ck_assert_int_eq(count, COLUMNS * (SPECIMENS + RANDOM_VALUES));
}
END_TEST

static const struct {
    const char *type;
    enum kv_affinity affinity;
} types[] = {
    {NULL, KV_AFFINITY_NONE},
    {"", KV_AFFINITY_NONE},
    {"ANY", KV_AFFINITY_NONE},
    {"any", KV_AFFINITY_NONE},
    {"BLOB", KV_AFFINITY_NONE},
    {"INT", KV_AFFINITY_INTEGER},
    {"INTEGER", KV_AFFINITY_INTEGER},
    {"UNSIGNED BIG INT", KV_AFFINITY_INTEGER},
    {"CHARINT", KV_AFFINITY_INTEGER},
    {"POINT", KV_AFFINITY_INTEGER},
    {"VARCHAR(255)", KV_AFFINITY_TEXT},
    {"NATIVE CHARACTER(70)", KV_AFFINITY_TEXT},
    {"clob", KV_AFFINITY_TEXT},
    {"TEXT", KV_AFFINITY_TEXT},
    {"REALCLOB", KV_AFFINITY_TEXT},
    {"REAL", KV_AFFINITY_REAL},
    {"DOUBLE PRECISION", KV_AFFINITY_REAL},
    {"FLOAT", KV_AFFINITY_REAL},
    {"REALBLOB", KV_AFFINITY_NONE},
    {"TEXTBLOB", KV_AFFINITY_TEXT},
    {"NUMERIC", KV_AFFINITY_NUMERIC},
    {"DECIMAL(10,5)", KV_AFFINITY_NUMERIC},
    {"BOOLEAN", KV_AFFINITY_NUMERIC},
    {"DATETIME", KV_AFFINITY_NUMERIC},
    {"STRING", KV_AFFINITY_NUMERIC},
    {"x", KV_AFFINITY_NUMERIC},
};

/* Goal: a type's name means what it means to SQLite. Method: examples from its documentation. */
START_TEST(test_rowcodec_affinity_follows_from_the_type)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        ck_assert_msg(kv_affinity_of_type(types[i].type) == types[i].affinity, "%s", types[i].type);
}
END_TEST

/* ---- Keys */

/*
 * Goal: keys order as SQLite orders values, and values that it calls equal share one.
 * Method: let SQLite sort thousands of values; compare the keys of neighbours.
 */
START_TEST(test_rowcodec_keys_order_as_values_do)
{
    sqlite3_stmt *select;
    int count = 0;

    /* The last value has no neighbour. */
    select =
        prepare("SELECT key(a), key(b), a = b, quote(a) || ' ' || quote(b) FROM (SELECT x AS a, "
                "lead(x) OVER (ORDER BY x) AS b FROM v WHERE x IS NOT NULL) "
                "WHERE b IS NOT NULL");
    for (; sqlite3_step(select) == SQLITE_ROW; count++) {
        struct kv_slice a =
            kv_slice_of(sqlite3_column_blob(select, 0), (size_t)sqlite3_column_bytes(select, 0));
        struct kv_slice b =
            kv_slice_of(sqlite3_column_blob(select, 1), (size_t)sqlite3_column_bytes(select, 1));
        int order = kv_slice_compare(a, b);

        ck_assert_msg(sqlite3_column_int(select, 2) ? order == 0 : order < 0, "%s",
                      sqlite3_column_text(select, 3));
    }
    ck_assert_int_gt(count, RANDOM_VALUES);
    sqlite3_finalize(select);
}
END_TEST

static void check_cells_equal(const struct kv_cell *a, const struct kv_cell *b)
{
    ck_assert_int_eq(a->type, b->type);
    if (a->type == SQLITE_INTEGER)
        ck_assert_int_eq(a->integer, b->integer);
    else if (a->type == SQLITE_FLOAT)
        ck_assert_int_eq(memcmp(&a->real, &b->real, sizeof(a->real)), 0);
    else if (a->type != SQLITE_NULL)
        ck_assert(kv_slice_equal(a->bytes, b->bytes));
}

/* A cell is read within an SQL function: only there are values protected. */
static void round_trip_function(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct kv_scratch key = {NULL, 0, 0};
    struct kv_cell before, after;
    enum kv_key_kind kind;

    (void)argc, (void)context;
    ck_assert_int_eq(kv_cell_read(argv[0], KV_AFFINITY_NONE, &before), SQLITE_OK);
    kind = kv_key_kind_of(&before);
    ck_assert(kv_key_encode(&before, &key));
    ck_assert(kv_key_decode(kv_scratch_slice(&key), kind, &after));
    check_cells_equal(&before, &after);
    ck_assert(kv_key_decode_alone(kv_scratch_slice(&key), &after));
    for (int other = 0; other <= KV_KEY_NEGATIVE_ZERO; other++) {
        bool was_number = before.type == SQLITE_INTEGER || before.type == SQLITE_FLOAT;

        if (was_number != (other != KV_KEY_BYTES))
            ck_assert(!kv_key_decode(kv_scratch_slice(&key), (enum kv_key_kind)other, &after));
    }
    kv_scratch_release(&key);
}

/* Goal: a key and its kind give the value back to the last bit; no other class of kind is taken. */
START_TEST(test_rowcodec_keys_give_values_back)
{
    sqlite3_create_function(db, "round_trip", 1, SQLITE_UTF8, NULL, round_trip_function, NULL,
                            NULL);
    run("SELECT round_trip(x) FROM v WHERE x IS NOT NULL");
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
} bad_keys[] = {
    {"", 0},
    {"\x00", 1},
    {"\x11", 1},
    {"\x10", 1},
    {"\x10\x80\0\0\0\0\0\0", 8},                          /* a byte short */
    {"\x10\x80\0\0\0\0\0\0\0\0", 10},                     /* half a residual */
    {"\x10\x80\0\0\0\0\0\0\0\0\0", 11},                   /* a residual of 0 */
    {"\x10\x80\0\0\0\0\0\0\0\0\1", 11},                   /* no double needs one here */
    {"\x10\x80\0\0\0\0\0\0\0\0\1\0", 12},                 /* a byte long */
    {"\x10\x7f\xff\xff\xff\xff\xff\xff\xff", 9},          /* -0.0 */
    {"\x10\xff\xf8\0\0\0\0\0\0", 9},                      /* NaN */
    {"\x10\0\0\0\0\0\0\0\0", 9},                          /* a negative NaN */
    {"\x10\xc3\xdf\xff\xff\xff\xff\xff\xff\x04\x00", 11}, /* past the largest integer */
};

/* Goal: bytes that kv_key_encode never writes are told apart, in blocks of their exact size. */
START_TEST(test_rowcodec_malformed_keys_are_refused)
{
    for (size_t i = 0; i < sizeof(bad_keys) / sizeof(bad_keys[0]); i++) {
        uint8_t *exact = malloc(bad_keys[i].size + !bad_keys[i].size);
        struct kv_cell cell;

        ck_assert_ptr_nonnull(exact);
        memcpy(exact, bad_keys[i].bytes, bad_keys[i].size);
        for (int kind = 0; kind <= KV_KEY_NEGATIVE_ZERO; kind++)
            ck_assert_msg(
                !kv_key_decode(kv_slice_of(exact, bad_keys[i].size), (enum kv_key_kind)kind, &cell),
                "key %zu as kind %d", i, kind);
        free(exact);
    }
}
END_TEST

/* ---- Rows */

static const struct kv_cell sample[] = {
    {.type = SQLITE_NULL},
    {.type = SQLITE_INTEGER, .integer = 0},
    {.type = SQLITE_INTEGER, .integer = -1},
    {.type = SQLITE_INTEGER, .integer = 127},
    {.type = SQLITE_INTEGER, .integer = 128},
    {.type = SQLITE_INTEGER, .integer = -129},
    {.type = SQLITE_INTEGER, .integer = INT64_MAX},
    {.type = SQLITE_INTEGER, .integer = INT64_MIN},
    {.type = SQLITE_FLOAT, .real = 1.5},
    {.type = SQLITE_FLOAT, .real = -0.0},
    {.type = SQLITE_TEXT, .bytes = {(const uint8_t *)"hello", 5}},
    {.type = SQLITE_TEXT, .bytes = {NULL, 0}},
    {.type = SQLITE_BLOB, .bytes = {(const uint8_t *)"a\0b", 3}},
    {.type = SQLITE_BLOB, .bytes = {NULL, 0}},
};
enum { SAMPLE = sizeof(sample) / sizeof(sample[0]) };

static struct kv_scratch encode_sample(int count)
{
    struct kv_scratch row = {NULL, 0, 0};

    ck_assert(kv_row_encode(KV_KEY_REAL, sample, count, &row));
    return row;
}

START_TEST(test_rowcodec_rows_give_values_back)
{
    struct kv_cell cells[SAMPLE];

    for (int count = 0; count <= SAMPLE; count++) {
        struct kv_scratch row = encode_sample(count);
        enum kv_key_kind kind;

        ck_assert(kv_row_kind(kv_scratch_slice(&row), &kind));
        ck_assert_int_eq(kind, KV_KEY_REAL);
        ck_assert(kv_row_decode(kv_scratch_slice(&row), cells, count));
        for (int i = 0; i < count; i++)
            check_cells_equal(&sample[i], &cells[i]);
        /* A table with other columns than the row's never misreads it. */
        if (count < SAMPLE)
            ck_assert(!kv_row_decode(kv_scratch_slice(&row), cells, count + 1));
        kv_scratch_release(&row);
    }
}
END_TEST

/* Goal: small values take few bytes: a kind, a tag, and as little as the value needs. */
START_TEST(test_rowcodec_rows_are_short)
{
    static const struct {
        sqlite3_int64 integer;
        size_t size;
    } sizes[] = {{0, 0},    {1, 1},     {-1, 1},    {127, 1},     {128, 2},       {-128, 1},
                 {-129, 2}, {32767, 2}, {32768, 3}, {1 << 23, 4}, {INT64_MAX, 8}, {INT64_MIN, 8}};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct kv_cell cell = {.type = SQLITE_INTEGER, .integer = sizes[i].integer};
        struct kv_scratch row = {NULL, 0, 0};

        ck_assert(kv_row_encode(KV_KEY_BYTES, &cell, 1, &row));
        ck_assert_uint_eq(row.size, 2 + sizes[i].size);
        kv_scratch_release(&row);
    }
}
END_TEST

static bool decode_exact(const uint8_t *bytes, size_t size, int count)
{
    struct kv_cell cells[SAMPLE];
    uint8_t *exact = malloc(size + !size);
    volatile unsigned sum = 0;
    bool ok;

    ck_assert_ptr_nonnull(exact);
    memcpy(exact, bytes, size);
    ok = kv_row_decode(kv_slice_of(exact, size), cells, count);
    /* What was decoded lies within the row: read it all. */
    for (int i = 0; ok && i < count; i++)
        if (cells[i].type == SQLITE_TEXT || cells[i].type == SQLITE_BLOB)
            for (size_t b = 0; b < cells[i].bytes.size; b++)
                sum += cells[i].bytes.data[b];
    free(exact);
    return ok;
}

/*
 * Goal: no part of a row is taken for a row.
 * Method: decode every proper prefix, in exactly-sized blocks, so that ASan traps overreads.
 */
START_TEST(test_rowcodec_truncated_rows_are_refused)
{
    struct kv_scratch row = encode_sample(SAMPLE);

    ck_assert(decode_exact(row.data, row.size, SAMPLE));
    for (size_t size = 0; size < row.size; size++)
        ck_assert_msg(!decode_exact(row.data, size, SAMPLE), "%zu of %zu bytes", size, row.size);
    kv_scratch_release(&row);
}
END_TEST

/*
 * Goal: whatever a row holds, decoding stays within it.
 * Method: flip every bit; flips within a body stay rows, flips of tags mostly do not.
 */
START_TEST(test_rowcodec_damaged_rows_stay_in_bounds)
{
    struct kv_scratch row = encode_sample(SAMPLE);
    int refused = 0;

    for (size_t bit = 0; bit < 8 * row.size; bit++) {
        row.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        refused += !decode_exact(row.data, row.size, SAMPLE);
        row.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_int_gt(refused, SAMPLE * 5);
    ck_assert(decode_exact(row.data, row.size, SAMPLE));
    kv_scratch_release(&row);
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
    int count;
} bad_rows[] = {
    {"\0\x08", 2, 0},   /* a tag too many */
    {"\0", 1, 1},       /* one too few */
    {"\0\x80", 2, 1},   /* a tag without end */
    {"\0\x80\0", 3, 1}, /* 0 in two bytes */
    {"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, 1},
    {"\0\xfb\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, 1}, /* a text of 2^60 bytes */
    {"\0\x09\0", 3, 1},                                    /* an integer longer than need be */
    {"\0\x49\1\1\1\1\1\1\1\1\1", 11, 1},                   /* of nine bytes */
    {"\0\x3a\1\1\1\1\1\1\1", 9, 1},                        /* a real of seven */
    {"\0\x08\0", 3, 1},                                    /* a NULL with a body */
    {"\0\x05", 2, 1},                                      /* types that do not exist */
    {"\0\x06", 2, 1},
    {"\0\x07", 2, 1},
};

START_TEST(test_rowcodec_malformed_rows_are_refused)
{
    enum kv_key_kind kind;

    for (size_t i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++)
        ck_assert_msg(
            !decode_exact((const uint8_t *)bad_rows[i].bytes, bad_rows[i].size, bad_rows[i].count),
            "row %zu", i);
    ck_assert(!kv_row_kind(kv_slice_of("", 0), &kind));
    ck_assert(!kv_row_kind(kv_slice_of("\4", 1), &kind));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rowcodec");
    TCase *sqlite = tcase_create("against SQLite");
    TCase *bytes = tcase_create("bytes");

    tcase_add_checked_fixture(sqlite, set_up, tear_down);
    tcase_add_test(sqlite, test_rowcodec_affinity_is_that_of_an_ordinary_table);
    tcase_add_test(sqlite, test_rowcodec_keys_order_as_values_do);
    tcase_add_test(sqlite, test_rowcodec_keys_give_values_back);
    tcase_add_test(bytes, test_rowcodec_affinity_follows_from_the_type);
    tcase_add_test(bytes, test_rowcodec_malformed_keys_are_refused);
    tcase_add_test(bytes, test_rowcodec_rows_give_values_back);
    tcase_add_test(bytes, test_rowcodec_rows_are_short);
    tcase_add_test(bytes, test_rowcodec_truncated_rows_are_refused);
    tcase_add_test(bytes, test_rowcodec_damaged_rows_stay_in_bounds);
    tcase_add_test(bytes, test_rowcodec_malformed_rows_are_refused);
    suite_add_tcase(suite, sqlite);
    suite_add_tcase(suite, bytes);
    return kv_run_suite(suite);
}
