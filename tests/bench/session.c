/* A connection and its table: see session.h. */
#include "session.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void session_execute(struct session *session, const char *sql)
{
    char *message;

    if (sqlite3_exec(session->db, sql, NULL, NULL, &message) != SQLITE_OK)
        bench_fail("%s: %s", sql, message);
}

sqlite3_stmt *session_prepare(struct session *session, const char *sql)
{
    sqlite3_stmt *statement;

    if (sqlite3_prepare_v2(session->db, sql, -1, &statement, NULL) != SQLITE_OK)
        bench_fail("%s: %s", sql, sqlite3_errmsg(session->db));
    return statement;
}

void session_run(struct session *session, sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE)
        bench_fail("%s: %s", sqlite3_sql(statement), sqlite3_errmsg(session->db));
    sqlite3_reset(statement);
}

void session_bind_key(sqlite3_stmt *statement, char key[BENCH_KEY_BYTES], uint64_t n)
{
    bench_key(key, n);
    sqlite3_bind_text(statement, 1, key, BENCH_KEY_BYTES, SQLITE_STATIC);
}

void session_bind_value(sqlite3_stmt *statement, uint64_t n, size_t value_bytes)
{
    sqlite3_bind_blob(statement, 2, bench_value(n, value_bytes), (int)value_bytes, SQLITE_STATIC);
}

static void load_extension(struct session *session)
{
    const char *path = getenv("KV_SO");
    char *message;

    sqlite3_enable_load_extension(session->db, 1);
    if (sqlite3_load_extension(session->db, path ? path : "./kv", "sqlite3_kv_init", &message))
        bench_fail("cannot load the extension: %s", message);
}

static void *do_nothing(void *argument)
{
    for (;;)
        pause();
    return argument;
}

/* Until a process has its second thread, the C library's mutexes do without atomic operations. */
static void have_thread(void)
{
    static bool has_it;
    pthread_t thread;

    if (!has_it && pthread_create(&thread, NULL, do_nothing, NULL))
        bench_fail("cannot start a thread");
    has_it = true;
}

void session_reset(struct session *session)
{
    char path[4200];

    if (session->has_thread)
        have_thread();
    if (session->db && sqlite3_close(session->db) != SQLITE_OK)
        bench_fail("a statement was left open");
    bench_fresh_directory(session->options,
                          session->is_kv        ? "kv"
                          : session->has_thread ? "threaded"
                                                : "ordinary",
                          session->directory);
    snprintf(path, sizeof(path), "%s/main.db", session->directory);
    if (sqlite3_open(path, &session->db) != SQLITE_OK)
        bench_fail("cannot open %s", path);
    session_execute(session, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
    if (session->is_kv) {
        load_extension(session);
        session_execute(session,
                        "CREATE VIRTUAL TABLE t USING kv(key TEXT, value BLOB, path='store', "
                        "synchronous=normal)");
    } else {
        session_execute(session, "PRAGMA cache_size = -262144; PRAGMA mmap_size = 17179869184;"
                                 "CREATE TABLE t(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID");
    }
}

uint64_t session_read_ascending(struct session *session, sqlite3_stmt *query, uint64_t limit)
{
    char last[BENCH_KEY_BYTES] = {0};
    uint64_t count = 0;

    while (count < limit && sqlite3_step(query) == SQLITE_ROW) {
        const void *key = sqlite3_column_text(query, 0);

        bench_check(sqlite3_column_bytes(query, 0) == BENCH_KEY_BYTES);
        bench_check(memcmp(key, last, BENCH_KEY_BYTES) > 0);
        bench_check(sqlite3_column_blob(query, 1));
        bench_check((size_t)sqlite3_column_bytes(query, 1) == session->options->value_bytes);
        memcpy(last, key, BENCH_KEY_BYTES);
        count++;
    }
    sqlite3_reset(query);
    return count;
}

void session_finish(void *context)
{
    struct session *session = context;

    if (sqlite3_close(session->db) != SQLITE_OK)
        bench_fail("a statement was left open");
    bench_remove_directory(session->directory);
}
