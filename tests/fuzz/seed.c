/*
 * Writes the first inputs of each target into a corpus directory:
 *
 *   fuzz_seed tests/corpus
 *
 * Small stores, made through SQL in memory, at several moments of their lives.
 */
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "disk.h"
#include "fuzz.h"

int sqlite3_kv_static_init(sqlite3 *db, char **error, const struct sqlite3_api_routines *api);

#define TABLE                                                                                      \
    "CREATE VIRTUAL TABLE t USING kv(k, v, path='" DISK_PATH "', segment_bytes=65536, "            \
    "auto_compact=off);"
#define ROWS(from, to)                                                                             \
    "WITH RECURSIVE n(i) AS (VALUES(" #from ") UNION ALL SELECT i + 1 FROM n WHERE i < " #to ")"   \
    " REPLACE INTO t SELECT CASE i % 5 WHEN 0 THEN 'key ' || i ELSE i END, 'row ' || i FROM n;"
#define SEAL "SELECT kv_backup('t', '/backup');"

static const struct {
    const char *name, *sql;
    bool is_closed; /* else it is as a dying process leaves it */
} stores[] = {
    {"empty", TABLE, true},
    {"log", TABLE ROWS(1, 9) "DELETE FROM t WHERE k = 2; REPLACE INTO t VALUES(3, x'00ff');", true},
    {"crashed", TABLE ROWS(1, 9) "DELETE FROM t WHERE k = 2;" ROWS(5, 12), false},
    {"sealed", TABLE ROWS(1, 70) SEAL "DELETE FROM t WHERE k < 9;" ROWS(60, 80), true},
    {"merged",
     TABLE ROWS(1, 100) "SELECT kv_compact('t'); DELETE FROM t WHERE k < 30;" ROWS(90, 110) SEAL
     "REPLACE INTO t VALUES('z', zeroblob(300));",
     true},
    {"runs",
     TABLE ROWS(1, 9) SEAL ROWS(5, 14) SEAL
     "DELETE FROM t WHERE k IN (1, 6, 11);" SEAL ROWS(20, 22),
     false},
};

static const struct {
    const char *name, *text;
} arguments[] = {
    {"plain", "key TEXT\nvalue"},
    {"columns", "id INTEGER PRIMARY KEY NOT NULL\nname varchar(20) NOT NULL\n\"a \"\"b\" REAL\n"
                "[c d] decimal(10,-2)\n`e`"},
    {"options", "k\npath='it''s'\nsynchronous=NORMAL\nsegment_bytes = 1MB\nmax_segment_bytes='2gb'"
                "\nfanout=3\ntiers=\"2\"\ngarbage_ratio=.25\nauto_compact=off\nreadonly=1"},
    {"comments", "/* the key */ k -- and its type\n TEXT /**/"},
    {"refused", "key TEXT DEFAULT 'x'\nv CHECK (v > 0)"},
};

static const char *corpus;

static void write_input(const char *target, const char *name, struct kv_slice bytes)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", corpus, target);
    mkdir(path, 0777);
    snprintf(path, sizeof(path), "%s/%s/%s", corpus, target, name);
    file = fopen(path, "wb");
    fuzz_check(file && fwrite(bytes.data, 1, bytes.size, file) == bytes.size, "%s", path);
    fclose(file);
}

static void write_image(struct image *image, const char *name)
{
    static const char *const targets[] = {"segment", "index", "log", "store"};
    struct image_file *manifest = image_find(image, IMAGE_MANIFEST, 0);
    struct kv_buffer packed = {0};
    bool has_index = false;

    for (size_t i = 0; i < image->count; i++)
        has_index |= image->files[i].kind == IMAGE_INDEX;
    image_pack(image, &packed);
    for (size_t i = has_index ? 0 : 2; i < sizeof(targets) / sizeof(targets[0]); i++)
        write_input(targets[i], name, kv_buffer_slice(&packed));
    write_input("manifest", name, kv_buffer_slice(&manifest->bytes));
    kv_buffer_release(&packed);
}

static void run(sqlite3 *db, const char *sql)
{
    char *error = NULL;

    fuzz_check(sqlite3_exec(db, sql, NULL, NULL, &error) == SQLITE_OK, "%s: %s", sql, error);
}

static void write_store(size_t i)
{
    char *error = NULL;
    struct image image;
    sqlite3 *db;

    disk_start(NULL);
    fuzz_check(sqlite3_open(":memory:", &db) == SQLITE_OK, "no database");
    fuzz_check(sqlite3_kv_static_init(db, &error, NULL) == SQLITE_OK, "%s", error);
    run(db, stores[i].sql);
    if (!stores[i].is_closed)
        image_take(disk_fs(), DISK_PATH, &image);
    fuzz_check(sqlite3_close(db) == SQLITE_OK, "the database is not closed");
    if (stores[i].is_closed)
        image_take(disk_fs(), DISK_PATH, &image);
    write_image(&image, stores[i].name);
    image_release(&image);
    disk_end();
}

int main(int argc, char **argv)
{
    fuzz_check(argc == 2, "the corpus' directory is expected");
    corpus = argv[1];
    mkdir(corpus, 0777);
    for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++)
        write_store(i);
    for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++)
        write_input("arguments", arguments[i].name, kv_slice_text(arguments[i].text));
    return 0;
}
