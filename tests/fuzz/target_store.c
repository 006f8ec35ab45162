/*
 * A whole store directory: checked, read, used through SQL, and repaired. What a
 * check calls sound must be readable and usable; whatever repair leaves is sound.
 */
#include <sqlite3.h>

#include "agree.h"
#include "disk.h"
#include "fuzz.h"

int sqlite3_kv_static_init(sqlite3 *db, char **error, const struct sqlite3_api_routines *api);

/* Open the directory and read all of it; false: it cannot be opened. */
static bool read_store(bool readonly, uint64_t *rows)
{
    struct kv_open_options options = kv_open_options_default();
    struct kv_store *store;
    enum kv_status st;

    options.readonly = readonly;
    options.foreground = true;
    options.settings.segment_bytes = 64 * 1024;
    options.settings.max_segment_bytes = 64 * 1024;
    options.settings.auto_compact = false;
    st = kv_store_open(DISK_PATH, &options, &store);
    if (st != KV_OK)
        return false;
    *rows = agree_store(store);
    st = kv_store_close(store);
    return true;
}

/* ---- SQL */

/* The number that a query gives; -1: it failed, or gave none. */
static sqlite3_int64 number_of(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    sqlite3_int64 number = -1;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    if (sqlite3_finalize(statement) != SQLITE_OK)
        number = -1;
    return number;
}

static bool run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* Read and write; `sound`: the check that came before found nothing. */
static void use_table(sqlite3 *db, bool sound)
{
    sqlite3_int64 count = number_of(db, "SELECT count(*) FROM t");
    sqlite3_int64 down =
        number_of(db, "SELECT count(*) FROM (SELECT k, v FROM t ORDER BY k DESC LIMIT 1000000)");

    if (sound && count >= 0 && down >= 0)
        fuzz_check(count == down, "%lld rows, backwards %lld", count, down);
    number_of(db, "SELECT sum(length(v)) FROM t WHERE k BETWEEN 10 AND 40 OR k > 'm'");
    number_of(db, "SELECT count(*) FROM t AS a JOIN t AS b ON a.k = b.k");
    number_of(db, "SELECT count(*) FROM kv_check('t')");
    number_of(db, "SELECT count(*) FROM kv_stats('t')");
    number_of(db, "SELECT count(*) FROM kv_segments('t')");
    if (run(db, "REPLACE INTO t(k, v) VALUES('written', 1)"))
        fuzz_check(number_of(db, "SELECT v FROM t WHERE k = 'written'") == 1, "a write is lost");
    run(db, "BEGIN; UPDATE t SET v = 2 WHERE k < 20; DELETE FROM t WHERE k > 90; ROLLBACK");
    run(db, "DELETE FROM t WHERE k = 'written'");
    if (run(db, "SELECT kv_compact('t')") && sound && count >= 0) {
        down = number_of(db, "SELECT count(*) FROM t");
        fuzz_check(down == count || down == count - 1, "%lld rows, compacted %lld", count, down);
    }
}

static void use_sql(bool sound)
{
    char *error = NULL;
    sqlite3 *db;

    fuzz_check(sqlite3_open(":memory:", &db) == SQLITE_OK, "no database");
    fuzz_check(sqlite3_kv_static_init(db, &error, NULL) == SQLITE_OK, "%s", error);
    if (run(db, "CREATE VIRTUAL TABLE t USING kv(k, v, path='" DISK_PATH "', "
                "segment_bytes=65536, auto_compact=off)"))
        use_table(db, sound);
    fuzz_check(sqlite3_close(db) == SQLITE_OK, "the database is not closed");
}

/* ---- Repair */

static enum kv_status note_step(void *context, const struct kv_repair_step *step)
{
    fuzz_check(step->action, "a step without words");
    ++*(unsigned *)context;
    return KV_OK;
}

/* What is repaired opens, and is sound, whatever it was. */
static void repair(const struct image *image)
{
    unsigned steps = 0;
    uint64_t rows;

    disk_start(image);
    if (kv_repair(DISK_PATH, disk_io(), NULL, note_step, &steps) == KV_OK) {
        fuzz_check(read_store(false, &rows), "it does not open after repair: %s", kv_message());
        fuzz_check(agree_is_sound(DISK_PATH, disk_io()), "it has problems after repair");
    }
    disk_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image image;
    uint64_t before = 0, after = 0;
    bool sound;

    image_unpack(kv_slice_of(data, size), &image);
    disk_start(&image);
    sound = agree_is_sound(DISK_PATH, disk_io());
    if (read_store(true, &before) && read_store(false, &after) && sound)
        fuzz_check(before == after, "%llu rows, later %llu", (unsigned long long)before,
                   (unsigned long long)after);
    use_sql(sound);
    disk_end();
    if (!sound)
        repair(&image);
    image_release(&image);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return image_mutate(IMAGE_ALL, data, size, max_size, seed);
}
