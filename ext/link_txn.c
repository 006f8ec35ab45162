/* Write transactions of a link: see link.h. */
#include "link.h"

/* ---- Watches */

void kv_link_watch(struct kv_link *link, struct kv_watch *watch)
{
    kv_link_unwatch(link, watch);
    watch->is_cut = false;
    if (!link->txn)
        return;
    watch->record_count = kv_txn_record_count(link->txn);
    watch->is_listed = true;
    watch->next = link->watches;
    link->watches = watch;
}

void kv_link_unwatch(struct kv_link *link, struct kv_watch *watch)
{
    struct kv_watch **at = &link->watches;

    if (!watch->is_listed)
        return;
    while (*at != watch)
        at = &(*at)->next;
    *at = watch->next;
    watch->is_listed = false;
}

/* The transaction now has `record_count` records: who has seen more shows what is gone. */
static void cut_watches(struct kv_link *link, uint64_t record_count)
{
    for (struct kv_watch *watch = link->watches; watch; watch = watch->next)
        if (watch->record_count > record_count)
            watch->is_cut = true;
}

static void drop_watches(struct kv_link *link)
{
    while (link->watches)
        kv_link_unwatch(link, link->watches);
}

/* ---- Beginning */

/* Has another writer committed since an open cursor took its snapshot? Own commits do not count. */
static bool is_overtaken(const struct kv_link *link)
{
    uint64_t now = 0;

    for (const struct kv_view *view = link->views; view; view = view->next) {
        if (!view->user_count)
            continue;
        if (!now)
            now = kv_store_seq(link->store);
        if (kv_snapshot_seq(view->snapshot) + (link->commit_count - view->commit_count) < now)
            return true;
    }
    return false;
}

static enum kv_status begin_waiting(struct kv_link *link)
{
    struct kv_connection *connection = link->connection;
    bool is_behind = kv_store_is_behind(link->store, &link->settings);
    enum kv_status st = KV_BUSY;

    /* Asking SQLite for its timeout costs as much as all else: only who has to wait does. */
    link->settings.busy_timeout_ms = 0;
    if (!is_behind)
        st = kv_txn_begin(link->store, &link->settings, &link->txn);
    if (st != KV_BUSY)
        return st;
    link->settings.busy_timeout_ms = kv_connection_busy_timeout_ms(connection);
    if (link->settings.busy_timeout_ms || is_behind) {
        sqlite3_stmt *before = kv_connection_begin_work(connection);

        st = kv_txn_begin(link->store, &link->settings, &link->txn);
        kv_connection_end_work(connection, before);
    }
    return st;
}

enum kv_status kv_link_begin(struct kv_link *link, const struct kv_settings *settings)
{
    enum kv_status st;

    if (link->txn) {
        if (settings->synchronous > link->settings.synchronous)
            link->settings.synchronous = settings->synchronous;
        return KV_OK;
    }
    link->settings = *settings;
    link->settings.interrupted = kv_connection_interrupted;
    link->settings.interrupted_context = link->connection;
    st = begin_waiting(link);
    if (st != KV_OK) {
        link->txn = NULL;
        return st;
    }
    if (is_overtaken(link)) {
        kv_txn_abort(link->txn);
        link->txn = NULL;
        return kv_fail(KV_BUSY_SNAPSHOT,
                       "another writer has committed since a statement of this connection that is "
                       "still open began to read; finish or reset that statement, then try again");
    }
    link->start = kv_txn_savepoint(link->txn);
    link->is_prepared = false;
    return KV_OK;
}

/* ---- Writing */

enum kv_status kv_link_put(struct kv_link *link, struct kv_slice key, struct kv_slice row)
{
    link->is_prepared = false;
    return kv_txn_put(link->txn, key, row);
}

enum kv_status kv_link_delete(struct kv_link *link, struct kv_slice key)
{
    link->is_prepared = false;
    return kv_txn_delete(link->txn, key);
}

bool kv_link_has_writes(const struct kv_link *link)
{
    return link->txn && kv_txn_record_count(link->txn) > 0;
}

void kv_link_set_aside(struct kv_link *link)
{
    kv_txn_abort(link->txn);
    link->txn = NULL;
    link->is_prepared = false;
    for (size_t i = 0; i < link->mark_count; i++)
        link->marks[i].before_begin = true;
}

/* ---- Ending */

static void end(struct kv_link *link)
{
    link->txn = NULL;
    link->is_prepared = false;
    link->mark_count = 0;
    drop_watches(link);
}

enum kv_status kv_link_prepare(struct kv_link *link)
{
    enum kv_status st;

    if (!kv_link_has_writes(link) || link->is_prepared)
        return KV_OK;
    st = kv_txn_prepare(link->txn);
    link->is_prepared = st == KV_OK;
    return st;
}

void kv_link_publish(struct kv_link *link)
{
    if (link->is_prepared) {
        kv_txn_publish(link->txn);
        link->commit_count++;
    } else {
        kv_txn_abort(link->txn);
    }
    link->is_created = false;
    end(link);
}

void kv_link_abort(struct kv_link *link)
{
    cut_watches(link, 0);
    kv_txn_abort(link->txn);
    /* Its table is gone with the transaction. */
    if (link->is_created)
        link->is_dropped = true;
    link->is_created = false;
    end(link);
}

/* ---- Marks */

enum kv_status kv_link_mark(struct kv_link *link, int level)
{
    struct kv_mark *mark;

    /* Another table has announced this level already, maybe long ago. */
    if (link->mark_count && link->marks[link->mark_count - 1].level >= level)
        return KV_OK;
    if (link->mark_count == link->mark_capacity) {
        size_t capacity = 2 * link->mark_capacity + 8;
        struct kv_mark *marks =
            (struct kv_mark *)sqlite3_realloc64(link->marks, capacity * sizeof(*marks));

        if (!marks)
            return kv_fail_nomem();
        link->marks = marks;
        link->mark_capacity = capacity;
    }
    mark = &link->marks[link->mark_count++];
    *mark = (struct kv_mark){.level = level, .before_begin = !link->txn};
    if (link->txn)
        mark->position = kv_txn_savepoint(link->txn);
    return KV_OK;
}

/* The first mark at `level` or above; mark_count if there is none. */
static size_t find_mark(const struct kv_link *link, int level)
{
    size_t i = link->mark_count;

    while (i && link->marks[i - 1].level >= level)
        i--;
    return i;
}

void kv_link_forget_marks(struct kv_link *link, int level)
{
    size_t i = find_mark(link, level);

    /*
     * The oldest mark was made on joining the transaction, if lower levels
     * were open then: nothing was written between, so it is theirs too.
     */
    if (i == 0 && link->mark_count && level > 0) {
        link->marks[0].level = level - 1;
        i = 1;
    }
    link->mark_count = i;
}

static void cut(struct kv_link *link, struct kv_savepoint position)
{
    /* Whatever was prepared is not what will be committed. */
    link->is_prepared = false;
    kv_txn_rollback_to(link->txn, position);
    cut_watches(link, kv_txn_record_count(link->txn));
}

/*
 * To the oldest state at this level or a higher one: a table that joined late
 * has announced only the highest. Level -1 is a savepoint that took the place
 * of BEGIN and is never announced.
 */
void kv_link_rollback_to(struct kv_link *link, int level)
{
    struct kv_mark mark = {.level = -1, .before_begin = true};
    size_t i = find_mark(link, level);

    if (level >= 0) {
        if (i == link->mark_count)
            return;
        mark = link->marks[i];
    }
    if (link->txn)
        cut(link, mark.before_begin ? link->start : mark.position);
    link->mark_count = i;
    if (level >= 0) {
        link->marks[i].level = level;
        link->mark_count = i + 1;
    }
}
