/* Another program: see intruder.h. */
#include "intruder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* It says that it begins on this descriptor. */
enum { READY_DESCRIPTOR = 3, SECONDS_LIMIT = 60, BUSY_MS = 5000 };

enum argument {
    ARGUMENT_NAME,
    ARGUMENT_INTRUDE,
    ARGUMENT_DIRECTORY,
    ARGUMENT_PRAGMAS,
    ARGUMENT_EXTENSION, /* "" for none */
    ARGUMENT_SQL,
    ARGUMENT_COUNT
};

extern char **environ;

/*
 * Run the transaction, as far as it goes. Statements may fail; one that ends
 * the transaction ends all.
 */
static void run_transaction(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return;
    while (*sql) {
        sqlite3_stmt *statement = NULL;

        if (sqlite3_prepare_v2(db, sql, -1, &statement, &sql) != SQLITE_OK)
            sql += strcspn(sql, "\n");
        while (sqlite3_step(statement) == SQLITE_ROW)
            ;
        sqlite3_finalize(statement);
        sql += *sql == '\n';
        if (sqlite3_get_autocommit(db))
            return;
    }
    if (sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
}

int intruder_main(int argc, char **argv)
{
    struct setting setting = {0};
    sqlite3 *db;

    if (argc != ARGUMENT_COUNT)
        return 2;
    alarm(SECONDS_LIMIT);
    setting.pragmas = argv[ARGUMENT_PRAGMAS];
    setting.extension = *argv[ARGUMENT_EXTENSION] ? argv[ARGUMENT_EXTENSION] : NULL;
    db = world_connect(WORLD_KV, &setting, argv[ARGUMENT_DIRECTORY]);
    close(READY_DESCRIPTOR);
    run_transaction(db, argv[ARGUMENT_SQL]);
    for (;;)
        pause();
}

/* ---- From outside */

static pid_t start(const struct world *kv, const char *sql, int ready)
{
    const char *arguments[ARGUMENT_COUNT + 1] = {
        "differential",
        "--intrude",
        kv->directory,
        kv->setting->pragmas,
        kv->setting->extension ? kv->setting->extension : "",
        sql,
    };
    posix_spawn_file_actions_t actions;
    pid_t child;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ready, READY_DESCRIPTOR);
    if (posix_spawn(&child, "/proc/self/exe", &actions, NULL, (char *const *)arguments, environ) !=
        0)
        abort();
    posix_spawn_file_actions_destroy(&actions);
    return child;
}

/* Wait until it begins, or is dead. */
static void wait_until_ready(int descriptor)
{
    char byte;

    while (read(descriptor, &byte, 1) < 0 && errno == EINTR)
        ;
    close(descriptor);
}

/* True if it died by our hand. */
static bool kill_process(pid_t child)
{
    int status;

    kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            abort();
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static bool live_and_die(const struct world *kv, const struct intrusion *intrusion)
{
    int pipes[2];
    pid_t child;

    fflush(NULL);
    if (pipe2(pipes, O_CLOEXEC) != 0)
        abort();
    child = start(kv, intrusion->kv_sql, pipes[1]);
    close(pipes[1]);
    wait_until_ready(pipes[0]);
    usleep((useconds_t)intrusion->microseconds);
    return kill_process(child);
}

/*
 * The marker's number; 0 if there is none. A transaction that was on its way when
 * its process died shows only once the next writer has decided what becomes of it.
 */
static int read_marker(sqlite3 *db, struct text *what)
{
    sqlite3_stmt *statement = NULL;
    int number = 0, code;

    sqlite3_busy_timeout(db, BUSY_MS);
    code = sqlite3_exec(db, "DELETE FROM k WHERE key IS NULL", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(db, "SELECT CAST(v AS INTEGER) FROM k WHERE key = " MARKER_KEY,
                                  -1, &statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        number = sqlite3_column_int(statement, 0);
    /* Without a table `k` there is nothing to be found. */
    if (code != SQLITE_ROW && code != SQLITE_DONE && !strstr(sqlite3_errmsg(db), "no such table"))
        text_add(what, "intruder's remains %d: (%s)\n", code, sqlite3_errmsg(db));
    sqlite3_finalize(statement);
    return number;
}

static bool has_committed(const struct world *kv, int number, struct text *what)
{
    sqlite3 *db = world_connect(WORLD_KV, kv->setting, kv->directory);
    bool committed = read_marker(db, what) == number;

    sqlite3_close(db);
    return committed;
}

static void repeat_in(const struct world *ordinary, const char *sql)
{
    sqlite3 *db = world_connect(WORLD_ORDINARY, ordinary->setting, ordinary->directory);

    run_transaction(db, sql);
    sqlite3_close(db);
}

bool intruder_run(const struct world *kv, const struct world *ordinary,
                  const struct intrusion *intrusion, bool *committed, struct text *what)
{
    size_t size = what->size;

    if (!live_and_die(kv, intrusion))
        text_add(what, "intruder ended: by itself\n");
    *committed = has_committed(kv, intrusion->number, what);
    if (*committed)
        repeat_in(ordinary, intrusion->ordinary_sql);
    return what->size == size;
}
