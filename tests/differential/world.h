/*
 * One of the two sides that are compared: a directory with a database, its
 * attached database and, in the kv world, the stores; two connections; and
 * what runs on them. Both worlds see the same statements, save that the tables
 * `k`, `k2`, `att.k3` and `temp.kt` are kv tables in one and ordinary ones in the other.
 *
 * CURSORS are statements that stay open while others write. What such a
 * statement shows of an ordinary table is undefined, but a kv table promises the state
 * of its start. So the ordinary world reads all rows at once, then holds the
 * locks of an open statement by another one, on a table that nobody writes.
 */
#ifndef KV_DIFFERENTIAL_WORLD_H
#define KV_DIFFERENTIAL_WORLD_H

#include <sqlite3.h>
#include <stdbool.h>

#include "faults.h"
#include "op.h"
#include "outcome.h"
#include "text.h"

enum { CACHED_COUNT = 16, PATH_BYTES = 256 };

/* How an episode opens its databases. */
struct setting {
    bool in_memory; /* then stores are temporary */
    bool is_single; /* there is one connection only */
    bool is_wal;
    const char *pragmas;   /* run on every new connection */
    const char *extension; /* a file; NULL: the extension that is linked in */
};

struct cursor {
    sqlite3_stmt *statement; /* NULL: closed; in the ordinary world, who holds the locks */
    struct rows rows;        /* ordinary world: all of them */
    size_t position;
};

struct cached {
    char *sql;
    sqlite3_stmt *statement;
};

struct connection {
    sqlite3 *db;
    struct faults faults;
    struct cached cached[CACHED_COUNT]; /* statements prepared earlier, by their text */
    struct cursor cursors[CURSOR_COUNT];
};

struct world {
    enum text_world kind;
    const struct setting *setting;
    char directory[PATH_BYTES];
    unsigned generation; /* how often it was copied */
    struct connection connections[CONNECTION_COUNT];
};

/* Make the directory below `parent` and open everything. Failures end the program. */
void world_init(struct world *world, enum text_world kind, const struct setting *setting,
                const char *parent);
void world_release(struct world *world);

/* What to run. */
struct statement {
    const char *sql;
    sqlite3_stmt *values; /* its current row is bound to the parameters; NULL: none */
};

/* Run the statement, or several of them, a line for each, until one fails. */
void world_run(struct world *world, int connection, const struct statement *statement,
               struct outcome *out);

/* Detach the attached database; attach it again if that went well. */
void world_reattach(struct world *world, int connection, struct outcome *out);

/* Close, and open again: one connection, or all (-1). */
void world_close(struct world *world, int connection);
void world_open(struct world *world, int connection);

/* One more connection to the world in `directory`, with its pragmas; the caller closes it. */
sqlite3 *world_connect(enum text_world kind, const struct setting *setting, const char *directory);

/*
 * Go on with a copy of all files, in a process that was forked for it: the
 * connections that it inherited are left as they are.
 */
void world_move(struct world *world);

/* What the connection's transaction is: SQLITE_TXN_NONE, _READ or _WRITE. */
int world_txn_state(const struct world *world, int connection);

/*
 * Cursors. SQLITE_ROW: `*row` holds the row alone. Anything else ends the cursor;
 * SQLITE_DONE, or an error.
 */
int world_cursor_open(struct world *world, int connection, int slot,
                      const struct statement *statement, struct rows *row);
int world_cursor_step(struct world *world, int connection, int slot, struct rows *row);
void world_cursor_close(struct world *world, int connection, int slot);
bool world_cursor_is_open(const struct world *world, int connection, int slot);

#endif
