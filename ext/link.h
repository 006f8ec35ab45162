/*
 * A link: one connection's use of one store.
 *
 * All state of transactions is here, never in a sqlite3_vtab: two tables on
 * one store are views of the same rows, also inside a transaction, and SQLite
 * may have two sqlite3_vtab objects for one table in a transaction (ROLLBACK
 * TO after a schema change). So each call below may arrive once for every
 * table, in any order; the second time it does nothing.
 *
 *   begin → put, delete, mark … → prepare → publish
 *                                        ↘ abort
 *
 * SQLite may go on after `prepare`: when the main database cannot commit
 * (SQLITE_BUSY inside BEGIN), further writes follow, then prepare again.
 *
 * MARKS are savepoints: SQLite's level and the transaction's position then.
 * A level is announced by each table for itself, later by tables that join
 * later: the oldest announcement of a level counts. Levels may be announced
 * before the transaction begins (a table created in it is not told of a
 * beginning): then the position is the transaction's start.
 *
 * VIEWS are snapshots shared by cursors: a cursor opened while another is open
 * shares its view, unless the connection has committed since.
 */
#ifndef KV_EXT_LINK_H
#define KV_EXT_LINK_H

#include <stdbool.h>

#include "connection.h"
#include "kv.h"

struct kv_view {
    struct kv_snapshot *snapshot;
    unsigned user_count;   /* cursors; 0: the snapshot is not acquired */
    uint64_t commit_count; /* the link's when it was acquired */
    struct kv_view *next;
};

struct kv_mark {
    int level;
    bool before_begin;
    struct kv_savepoint position; /* unless before_begin */
};

/* Tells a reader that copied own writes whether they have been cut since. Owned by the reader. */
struct kv_watch {
    uint64_t record_count;
    bool is_cut;
    bool is_listed;
    struct kv_watch *next;
};

struct kv_link {
    struct kv_connection *connection;
    struct kv_store *store;
    char *path;          /* as it was opened */
    unsigned user_count; /* tables, and open cursors */
    bool is_temporary;   /* its files go when the store is closed */
    bool is_created;     /* temporary, by a transaction that is still open */
    bool is_dropped;     /* its last table was dropped */
    bool is_held;        /* until the transaction ends: a DROP may be undone */

    struct kv_txn *txn;          /* NULL: none */
    struct kv_settings settings; /* of the transaction */
    struct kv_savepoint start;
    bool is_prepared;
    struct kv_mark *marks;
    size_t mark_count, mark_capacity;
    struct kv_watch *watches;

    struct kv_view *views; /* all of them */
    struct kv_view *view;  /* the newest */
    uint64_t commit_count; /* transactions of this link that were published with writes */

    uint64_t estimate_seq;
    uint64_t row_estimate;
    bool has_estimate;

    struct kv_link *next; /* of the connection */
};

/*
 * Use the store at `path`: the connection's link to it, or a new one. Give it
 * back with kv_link_leave. Fails as kv_store_open does.
 */
enum kv_status kv_link_open(struct kv_connection *connection, const char *path,
                            const struct kv_open_options *options,
                            struct kv_link **out) KV_WARN_UNUSED;

/* One more user, who leaves with kv_link_leave. */
static inline struct kv_link *kv_link_share(struct kv_link *link)
{
    link->user_count++;
    return link;
}

/* A user stops using the link. The store is closed unless something still needs it. */
void kv_link_leave(struct kv_link *link);

/* Close the store if nobody uses it and nothing holds it. */
void kv_link_close_if_unused(struct kv_link *link);

/* Close the store, whatever state the link is in. */
void kv_link_free(struct kv_link *link);

/* ---- Transactions */

/*
 * Start the write transaction, if there is none yet; of several tables'
 * settings the safer synchronous mode counts. KV_BUSY after PRAGMA busy_timeout;
 * KV_BUSY_SNAPSHOT: an open cursor shows what another writer has overtaken.
 */
enum kv_status kv_link_begin(struct kv_link *link,
                             const struct kv_settings *settings) KV_WARN_UNUSED;

enum kv_status kv_link_put(struct kv_link *link, struct kv_slice key,
                           struct kv_slice row) KV_WARN_UNUSED;
enum kv_status kv_link_delete(struct kv_link *link, struct kv_slice key) KV_WARN_UNUSED;

/* All that can fail of a commit; a transaction without writes needs nothing. */
enum kv_status kv_link_prepare(struct kv_link *link) KV_WARN_UNUSED;
void kv_link_publish(struct kv_link *link);
void kv_link_abort(struct kv_link *link);

/* Has the transaction written anything? */
bool kv_link_has_writes(const struct kv_link *link);

/* Give up the place of a transaction that has written nothing; the next write takes it again. */
void kv_link_set_aside(struct kv_link *link);

enum kv_status kv_link_mark(struct kv_link *link, int level) KV_WARN_UNUSED;
void kv_link_forget_marks(struct kv_link *link, int level);
void kv_link_rollback_to(struct kv_link *link, int level);

/* Follow the own writes so far: `watch->is_cut` will tell. Does nothing outside a transaction. */
void kv_link_watch(struct kv_link *link, struct kv_watch *watch);
void kv_link_unwatch(struct kv_link *link, struct kv_watch *watch);

/* ---- Reading */

/* A view for a cursor; give it back with kv_link_release. */
enum kv_status kv_link_acquire(struct kv_link *link, struct kv_view **out) KV_WARN_UNUSED;
void kv_link_release(struct kv_view *view);

/* About how many rows there are. */
uint64_t kv_link_row_estimate(struct kv_link *link);

#endif
