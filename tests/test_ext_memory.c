/*
 * SQL while memory runs out: every allocation, SQLite's and the engine's, once or from then on.
 *
 * A statement that fails says so with SQLITE_NOMEM, has changed nothing, and leaks nothing;
 * connection and store are none the worse for it.
 *
 * Method: scripts run statement by statement in copies of a database, with one allocation of
 * this thread failing. Where a script stopped says what the database must hold then, since
 * a rehearsal has noted that. KV_TEST_SCALE=2, as in `make torture`: none is left out.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "database.h"
#include "model.h"
#include "runner.h"
#include "scarcity.h"

/* ---- SQLite's allocator */

static sqlite3_mem_methods sqlite_methods;

static void *sqlite_malloc(int size)
{
    return scarcity_strikes() ? NULL : sqlite_methods.xMalloc(size);
}

static void *sqlite_realloc(void *memory, int size)
{
    return scarcity_strikes() ? NULL : sqlite_methods.xRealloc(memory, size);
}

/* Before SQLite's first use. Without lookaside, so that it asks each time. */
static void hook_sqlite(void)
{
    sqlite3_mem_methods methods;

    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_methods), SQLITE_OK);
    methods = sqlite_methods;
    methods.xMalloc = sqlite_malloc;
    methods.xRealloc = sqlite_realloc;
    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 1), SQLITE_OK);
}

/* ---- Databases */

static void copy_file(const char *from, const char *to)
{
    struct stat status;
    int in = open(from, O_RDONLY), out = open(to, O_RDWR | O_CREAT | O_TRUNC, 0600);
    void *bytes;

    ck_assert(in >= 0 && out >= 0 && fstat(in, &status) == 0);
    bytes = mmap(NULL, (size_t)status.st_size + 1, PROT_READ, MAP_PRIVATE, in, 0);
    ck_assert_ptr_ne(bytes, MAP_FAILED);
    if (write(out, bytes, (size_t)status.st_size) != status.st_size)
        ck_abort_msg("cannot write %s", to);
    munmap(bytes, (size_t)status.st_size + 1);
    close(in);
    close(out);
}

static void copy_directory(const char *from, const char *to)
{
    char source[512], target[512];
    DIR *directory = opendir(from);
    struct dirent *entry;

    ck_assert_ptr_nonnull(directory);
    ck_assert(mkdir(to, 0700) == 0);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(source, sizeof(source), "%s/%s", from, entry->d_name);
        snprintf(target, sizeof(target), "%s/%s", to, entry->d_name);
        if (entry->d_type == DT_DIR)
            copy_directory(source, target);
        else
            copy_file(source, target);
    }
    closedir(directory);
}

#define ROWS(from, to)                                                                             \
    "WITH n(i) AS (SELECT " #from " UNION ALL SELECT i + 1 FROM n WHERE i < " #to ") "             \
    "INSERT INTO kv SELECT printf('key%03d', i), printf('%0500d', i) FROM n"

/* Two sealed logs, one of them merged, and an active one, and something for kv_destroy. */
static void make_whole(void)
{
    sqlite3 *db;

    ck_assert(mkdir("whole", 0700) == 0 && chdir("whole") == 0);
    db = database_open("test.db");
    database_run(db, "CREATE VIRTUAL TABLE kv USING kv(key TEXT, value, path='data', "
                     "segment_bytes='64KB', max_segment_bytes='64KB', auto_compact=off)");
    database_run(db, "CREATE TABLE ordinary(a, b)");
    database_run(db, "INSERT INTO ordinary VALUES('key003', 1), ('key150', 2), ('nothing', 3)");
    database_run(db, ROWS(1, 200));
    database_run(db, "SELECT kv_compact('kv')");
    database_run(db, ROWS(201, 350));
    database_run(db, "DELETE FROM kv WHERE key < 'key010'");
    database_run(db, "CREATE VIRTUAL TABLE spare USING kv(path='spare')");
    database_run(db, "DROP TABLE spare");
    database_close(db);
    ck_assert(chdir("..") == 0);
}

static void flip_bytes(const char *path)
{
    FILE *file = fopen(path, "r+b");

    for (long at = 6000; file && at < 60000; at += 20000) {
        ck_assert_int_eq(fseek(file, at, SEEK_SET), 0);
        fputc('~', file);
    }
    if (file)
        fclose(file);
}

static void damage(void)
{
    flip_bytes("whole/data/segment_000000000002.db");
    flip_bytes("whole/data/segment_000000000003.db");
    flip_bytes("whole/data/segment_000000000004.db");
    (void)!unlink("whole/data/MANIFEST");
}

/* ---- Scripts */

enum { STATEMENTS_MAX = 24 };

struct script {
    const char *name;
    bool opens;     /* the connection is opened without memory, too */
    bool is_broken; /* the store is damaged before, and repaired behind */
    bool answers;   /* the same rows each time */
    const char *statements[STATEMENTS_MAX];
};

static const struct script scripts[] = {
    {.name = "open",
     .opens = true,
     .answers = true,
     .statements = {"SELECT count(*), sum(value) FROM kv"}},
    {.name = "create",
     .statements =
         {"CREATE VIRTUAL TABLE other USING kv(id INTEGER NOT NULL, name TEXT, \"a b\" REAL, "
          "path='other', synchronous=normal, segment_bytes='64KB', max_segment_bytes=65536, "
          "fanout=3, tiers=4, garbage_ratio=0.5, auto_compact=off)",
          "INSERT INTO other VALUES(1, 'a', 2.5), (-7, NULL, x'00ff')",
          "ALTER TABLE other RENAME TO another", "SELECT * FROM another", "DROP TABLE another",
          "CREATE VIRTUAL TABLE again USING kv(id INTEGER NOT NULL, name TEXT, \"a b\" REAL, "
          "path='other')",
          "SELECT * FROM again WHERE id = 1", "CREATE VIRTUAL TABLE \"by name\" USING kv",
          "CREATE VIRTUAL TABLE temp.passing USING kv(k, v, path='passing')",
          "INSERT INTO passing VALUES(1, 2)", "SELECT * FROM temp.passing"}},
    {.name = "attach",
     .statements = {"ATTACH 'second.db' AS second",
                    "CREATE VIRTUAL TABLE second.there USING kv(key TEXT, value)",
                    "INSERT INTO there SELECT key, 1 FROM kv WHERE key < 'key020'",
                    "SELECT count(*) FROM there JOIN kv USING(key)",
                    "SELECT kv_sync('second.there')", "SELECT * FROM kv_stats", "DETACH second",
                    "ATTACH ':memory:' AS memory", "CREATE VIRTUAL TABLE memory.passing USING kv",
                    "INSERT INTO passing VALUES('a', 1)", "DETACH memory"}},
    {.name = "read",
     .answers = true,
     .statements = {"SELECT value FROM kv WHERE key = 'key100'",
                    "SELECT key, value FROM kv WHERE key IN ('key300', 'key100', 'none', 'key100')",
                    "SELECT value FROM kv WHERE key = 5 OR key = 'key300'",
                    "SELECT b FROM ordinary WHERE a IN (SELECT key FROM kv)",
                    "SELECT key, value FROM kv WHERE key IN (SELECT a FROM ordinary)",
                    "SELECT count(*) FROM kv WHERE key >= 'key100' AND key < 'key300'",
                    "SELECT key FROM kv WHERE key GLOB 'key1*' ORDER BY key DESC LIMIT 5",
                    "SELECT key FROM kv WHERE key LIKE 'key2%' ORDER BY value LIMIT 3",
                    "SELECT o.b, kv.value FROM ordinary o JOIN kv ON kv.key = o.a",
                    "EXPLAIN QUERY PLAN SELECT * FROM kv WHERE key > 'a'"}},
    {.name = "read own writes",
     .statements = {"BEGIN", ROWS(351, 360), "DELETE FROM kv WHERE key = 'key100'", "COMMIT"}},
    {.name = "write",
     .statements = {"INSERT INTO kv VALUES('new', 1), ('newer', x'0102')",
                    "REPLACE INTO kv VALUES('new', 'again'), ('key100', NULL)",
                    "INSERT OR IGNORE INTO kv VALUES('new', 'ignored')",
                    "UPDATE kv SET value = value || 'x' WHERE key BETWEEN 'key100' AND 'key120'",
                    "UPDATE kv SET key = 'moved' WHERE key = 'new'",
                    "DELETE FROM kv WHERE key GLOB 'key3*'"}},
    {.name = "roll back",
     .answers = true,
     .statements = {"BEGIN", "INSERT INTO kv VALUES('a', 1)", "SAVEPOINT one",
                    "INSERT INTO kv VALUES('b', 2)",
                    "SELECT * FROM kv WHERE key IN ('a', 'b', 'key100')", "SAVEPOINT two",
                    "DELETE FROM kv WHERE key >= 'key200'", "ROLLBACK TO two", "RELEASE two",
                    "SELECT count(*) FROM kv WHERE key < 'key050' ORDER BY key DESC",
                    "ROLLBACK TO one", "INSERT INTO kv VALUES('c', 3)", "COMMIT", "BEGIN",
                    "DELETE FROM kv", "ROLLBACK"}},
    {.name = "drop in a transaction",
     .statements = {"BEGIN", "CREATE VIRTUAL TABLE other USING kv(path='other')",
                    "INSERT INTO other VALUES('a', 1)", "INSERT INTO kv VALUES('a', 1)",
                    "SAVEPOINT one", "DROP TABLE kv", "ROLLBACK TO one",
                    "INSERT INTO kv VALUES('b', 1)", "COMMIT", "BEGIN",
                    "INSERT INTO other VALUES('b', 1)", "DROP TABLE other", "COMMIT"}},
    {.name = "write much", .statements = {ROWS(400, 900), "SELECT count(*) FROM kv"}},
    {.name = "maintain",
     .statements = {"SELECT kv_compact('kv', '64KB') > 0", "SELECT kv_compact('kv', '2s')",
                    "SELECT kv_compact()", "SELECT kv_sync('main.kv'), kv_version(), kv_debug()",
                    "INSERT INTO kv(kv) VALUES('sync')", "INSERT INTO kv(kv) VALUES('check')",
                    "INSERT INTO kv(kv) VALUES('compact')"}},
    {.name = "report",
     .statements = {"SELECT * FROM kv_stats('kv')", "SELECT * FROM kv_segments('kv')",
                    "SELECT * FROM kv_check('kv')", "SELECT * FROM kv_check",
                    "PRAGMA integrity_check"}},
    {.name = "check a directory", .statements = {"SELECT * FROM kv_check('data')"}},
    {.name = "back up",
     .statements = {"SELECT kv_backup('kv', 'backup') >= 0", "INSERT INTO kv VALUES('a', 1)",
                    "SELECT kv_backup('kv', 'backup') >= 0"}},
    {.name = "destroy", .statements = {"SELECT kv_destroy('spare')"}},
    {.name = "repair", .is_broken = true, .statements = {"SELECT * FROM kv_repair('data')"}},
};
enum { SCRIPTS = sizeof(scripts) / sizeof(scripts[0]) };

/* ---- Running one */

int sqlite3_kv_static_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

static char *expected[STATEMENTS_MAX + 1]; /* what is there behind so many statements */
static uint64_t answers[STATEMENTS_MAX];   /* of a script whose rows are always the same */

/* Add a row to a number that stands for all of them; allocates nothing. */
static int add_row(void *sum, int count, char **values, char **names)
{
    uint64_t *out = sum;

    (void)names;
    for (int i = 0; i < count; i++)
        for (const char *at = values[i] ? values[i] : "NULL"; *at; at++)
            *out = (*out ^ (uint8_t)*at) * 0x100000001b3;
    *out = (*out ^ '|') * 0x100000001b3;
    return SQLITE_OK;
}

/* What the database holds, for free(). */
static char *contents(sqlite3 *db)
{
    return database_text(db, "SELECT count(*), sum(value), group_concat(substr(key, 1, 6)), "
                             "(SELECT group_concat(name) FROM sqlite_schema) FROM kv");
}

static void begin_again(void)
{
    database_remove("used");
    copy_directory("whole", "used");
    ck_assert(chdir("used") == 0);
}

static void end(void)
{
    ck_assert(chdir("..") == 0);
}

/* Without a failure: note what each statement leaves behind when the transaction has ended. */
static void rehearse(const struct script *script)
{
    sqlite3 *db;
    int i = 0;

    begin_again();
    db = database_open("test.db");
    expected[0] = script->is_broken ? NULL : contents(db);
    for (; script->statements[i]; i++) {
        answers[i] = 1;
        ck_assert_int_eq(sqlite3_exec(db, script->statements[i], add_row, &answers[i], NULL),
                         SQLITE_OK);
        expected[i + 1] = sqlite3_get_autocommit(db) ? contents(db) : expected[i];
    }
    if (script->is_broken)
        expected[0] = expected[i];
    database_close(db);
    end();
}

static int open_database(sqlite3 **db)
{
    int code = sqlite3_open("test.db", db);
    char *error = NULL;

    if (code != SQLITE_OK)
        return code;
    sqlite3_extended_result_codes(*db, 1);
    code = sqlite3_kv_static_init(*db, &error, NULL);
    sqlite3_free(error);
    return code;
}

static bool is_out_of_memory(int code)
{
    return code == SQLITE_NOMEM || code == SQLITE_IOERR_NOMEM;
}

struct shortage {
    uint64_t call;
    bool lasts, is_engines;
};

/* How many statements succeeded; `*has_struck`: memory ran out. */
static int perform(const struct script *script, struct shortage shortage, sqlite3 **db,
                   bool *has_struck)
{
    int code = SQLITE_OK, done = 0;
    bool wrong = false;

    if (script->opens)
        scarcity_begin(shortage.call, shortage.lasts, shortage.is_engines);
    code = open_database(db);
    if (!script->opens)
        scarcity_begin(shortage.call, shortage.lasts, shortage.is_engines);
    while (code == SQLITE_OK && script->statements[done]) {
        uint64_t answer = 1;

        code = sqlite3_exec(*db, script->statements[done], add_row, &answer, NULL);
        wrong = wrong || (code == SQLITE_OK && script->answers && answer != answers[done]);
        done += code == SQLITE_OK;
    }
    *has_struck = scarcity_end();
    ck_assert_msg(code == SQLITE_OK || (*has_struck && is_out_of_memory(code)), "%s, %s: %d: %s",
                  script->name, script->statements[done] ? script->statements[done] : "", code,
                  sqlite3_errmsg(*db));
    ck_assert_msg(!wrong, "%s: other rows, at statement %d or before", script->name, done);
    return done;
}

static void expect_contents(sqlite3 *db, const struct script *script, int done)
{
    char *got = contents(db);

    ck_assert_msg(strcmp(got, expected[done]) == 0, "%s, behind statement %d: \"%s\", not \"%s\"",
                  script->name, done, got, expected[done]);
    free(got);
}

/* The connection that met the failure goes on as if there had been none, and gives all back. */
static void expect_recovery(sqlite3 *db, const struct script *script, int done)
{
    if (db && !sqlite3_get_autocommit(db))
        (void)database_try(db, "ROLLBACK");
    if (!script->opens && !script->is_broken)
        expect_contents(db, script, done);
    database_close(db);
}

static void expect_sound(const struct script *script, int done)
{
    sqlite3 *db = database_open("test.db");

    if (script->is_broken)
        database_run(db, "SELECT * FROM kv_repair('data')");
    expect_contents(db, script, done);
    database_expect(db, "SELECT * FROM kv_check('kv')", "");
    database_run(db, "INSERT INTO kv VALUES('one more', 1)");
    database_expect(db, "SELECT value FROM kv WHERE key = 'one more'", "1");
    database_close(db);
}

/* False: there are not so many allocations. */
static bool fail_at(const struct script *script, struct shortage shortage)
{
    sqlite3_int64 used;
    sqlite3 *db = NULL;
    bool has_struck;
    int done;

    begin_again();
    used = sqlite3_memory_used();
    done = perform(script, shortage, &db, &has_struck);
    expect_recovery(db, script, done);
    ck_assert_msg(sqlite3_memory_used() == used, "%s, allocation %u: %d bytes leak", script->name,
                  (unsigned)shortage.call, (int)(sqlite3_memory_used() - used));
    if (has_struck)
        expect_sound(script, done);
    end();
    return has_struck;
}

/* ---- Tests */

static void setup(void)
{
    hook_sqlite();
    ck_assert(setenv("TMPDIR", ".", 1) == 0);
    database_set_up_in_memory();
    make_whole();
}

/* About as many of the calls as there is time for, the first ones all. */
static uint64_t step_from(uint64_t call)
{
    unsigned scale = model_scaled(1);

    return scale > 1 ? 1 : 1 + call / 12;
}

START_TEST(test_ext_memory_runs_out)
{
    const struct script *script = &scripts[_i / 4];
    struct shortage shortage = {1, _i & 1, _i & 2};

    if (script->is_broken)
        damage();
    rehearse(script);
    while (fail_at(script, shortage))
        shortage.call += step_from(shortage.call);
    ck_assert_uint_gt(shortage.call, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ext_memory");
    TCase *tests = tcase_create("ext_memory");
    int failed;

    scarcity_init();
    tcase_set_timeout(tests, model_scaled(1) > 1 ? 600 : 120);
    tcase_add_checked_fixture(tests, setup, database_tear_down);
    tcase_add_loop_test(tests, test_ext_memory_runs_out, 0, SCRIPTS * 4);
    suite_add_tcase(suite, tests);
    failed = kv_run_suite(suite);
    printf("%llu allocations failed\n", (unsigned long long)scarcity_count());
    return failed;
}
