/* Opening and closing links, and their views: see link.h. link_txn.c has transactions. */
#include "link.h"

#include <string.h>

/* ---- Opening and closing */

static bool serves(const struct kv_link *link, const char *path,
                   const struct kv_open_options *options)
{
    /* A store that must be new is never one that is open. */
    if (options->mode == KV_OPEN_NEW || strcmp(link->path, path) != 0)
        return false;
    if (options->uuid && memcmp(options->uuid, kv_store_uuid(link->store), 16) != 0)
        return false;
    return options->readonly || !kv_store_readonly(link->store);
}

static struct kv_link *new_link(struct kv_connection *connection, const char *path,
                                const struct kv_open_options *options, struct kv_store *store)
{
    struct kv_link *link = (struct kv_link *)sqlite3_malloc64(sizeof(*link));
    char *copy = sqlite3_mprintf("%s", path);

    if (!link || !copy) {
        sqlite3_free(link);
        sqlite3_free(copy);
        return NULL;
    }
    *link = (struct kv_link){.connection = connection,
                             .store = store,
                             .path = copy,
                             .is_temporary = options->temporary,
                             .next = connection->links};
    connection->links = link;
    return link;
}

/* The link of a store that has just been opened, which it takes over. */
static enum kv_status link_of_store(struct kv_connection *connection, const char *path,
                                    const struct kv_open_options *options, struct kv_store *store,
                                    struct kv_link **out)
{
    struct kv_link *link = connection->links;

    while (link && link->store != store)
        link = link->next;
    if (link) {
        /* The same directory by another path; one opening is enough. */
        *out = link;
        return kv_store_close(store);
    }
    *out = new_link(connection, path, options, store);
    if (*out)
        return KV_OK;
    (void)kv_store_close(store);
    return kv_fail_nomem();
}

enum kv_status kv_link_open(struct kv_connection *connection, const char *path,
                            const struct kv_open_options *options, struct kv_link **out)
{
    struct kv_link *link = connection->links;
    struct kv_store *store = NULL;
    enum kv_status st = KV_OK;

    while (link && !serves(link, path, options))
        link = link->next;
    if (!link) {
        st = kv_store_open(path, options, &store);
        if (st == KV_OK)
            st = link_of_store(connection, path, options, store, &link);
    }
    *out = st == KV_OK ? link : NULL;
    if (st == KV_OK) {
        link->user_count++;
        link->is_dropped = false;
    }
    return st;
}

void kv_link_leave(struct kv_link *link)
{
    link->user_count--;
    kv_link_close_if_unused(link);
}

void kv_link_close_if_unused(struct kv_link *link)
{
    if (link->user_count || link->txn || link->is_held)
        return;
    /* A table in memory may come back, after a rolled back schema change, and wants its rows. */
    if (link->is_temporary && !link->is_dropped)
        return;
    kv_link_free(link);
}

static void free_views(struct kv_link *link)
{
    while (link->views) {
        struct kv_view *view = link->views;

        link->views = view->next;
        kv_snapshot_free(view->snapshot);
        sqlite3_free(view);
    }
}

void kv_link_free(struct kv_link *link)
{
    struct kv_link **at = &link->connection->links;

    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    kv_link_abort(link);
    free_views(link);
    /* Nobody is left to tell of a failure; the next opening finds what is committed without a clean end, too. */
    (void)kv_store_close(link->store);
    sqlite3_free(link->marks);
    sqlite3_free(link->path);
    sqlite3_free(link);
}

/* ---- Views */

static struct kv_view *idle_view(struct kv_link *link)
{
    struct kv_view *view = link->views;

    while (view && view->user_count)
        view = view->next;
    return view;
}

static enum kv_status new_view(struct kv_link *link, struct kv_view **out)
{
    struct kv_view *view = (struct kv_view *)sqlite3_malloc64(sizeof(*view));
    enum kv_status st;

    *out = NULL;
    if (!view)
        return kv_fail_nomem();
    *view = (struct kv_view){.next = link->views};
    st = kv_snapshot_new(link->store, &view->snapshot);
    if (st != KV_OK) {
        sqlite3_free(view);
        return st;
    }
    link->views = view;
    *out = view;
    return KV_OK;
}

enum kv_status kv_link_acquire(struct kv_link *link, struct kv_view **out)
{
    struct kv_view *view = link->view;
    enum kv_status st = KV_OK;

    *out = NULL;
    if (view && view->user_count && view->commit_count == link->commit_count) {
        view->user_count++;
        *out = view;
        return KV_OK;
    }
    /* Most often the newest view, just released. */
    if (!view || view->user_count)
        view = idle_view(link);
    if (!view)
        st = new_view(link, &view);
    if (st == KV_OK)
        st = kv_snapshot_acquire(view->snapshot);
    if (st != KV_OK)
        return st;
    view->user_count = 1;
    view->commit_count = link->commit_count;
    link->view = view;
    *out = view;
    return KV_OK;
}

void kv_link_release(struct kv_view *view)
{
    if (--view->user_count == 0)
        kv_snapshot_release(view->snapshot);
}

/* ---- Estimates */

uint64_t kv_link_row_estimate(struct kv_link *link)
{
    uint64_t seq = kv_store_seq(link->store);
    struct kv_stats stats;

    /* Preparing many statements between two commits counts the rows once. */
    if ((!link->has_estimate || link->estimate_seq != seq) &&
        kv_store_stats(link->store, &stats) == KV_OK) {
        link->row_estimate = stats.keys;
        link->estimate_seq = seq;
        link->has_estimate = true;
    }
    return link->row_estimate + (link->txn ? kv_txn_record_count(link->txn) : 0);
}
