/*
 * Databases in a directory of their own, with the extension loaded, for tests
 * that speak SQL from C.
 *
 * Everything fails the running test when it does not succeed, but for
 * database_try.
 */
#ifndef KV_TESTS_DATABASE_H
#define KV_TESTS_DATABASE_H

#include <sqlite3.h>

/* A new directory, which becomes the working directory; and its removal. */
void database_set_up(void);
void database_tear_down(void);

/* The same in memory where possible, for tests that would mostly wait for the disk. */
void database_set_up_in_memory(void);

/* Remove a directory with all that is in it, if it is there. */
void database_remove(const char *path);

/* A connection to a file there, with the extension. Extended result codes. */
sqlite3 *database_open(const char *file);
void database_close(sqlite3 *db);

/* Run all statements. */
void database_run(sqlite3 *db, const char *sql);

/* The same; the code of the statement that failed, or SQLITE_OK. */
int database_try(sqlite3 *db, const char *sql);

/* Fail unless the statement gives `code`. */
void database_fails(sqlite3 *db, const char *sql, int code);

/* The rows of a statement as "a|1 b|NULL", for free(); ends with "!code" if it failed. */
char *database_text(sqlite3 *db, const char *sql);

/* Fail unless that is `expected`. */
void database_expect(sqlite3 *db, const char *sql, const char *expected);

sqlite3_stmt *database_prepare(sqlite3 *db, const char *sql);

#endif
