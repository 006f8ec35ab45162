/*
 * How a read-only process finds out what is committed: from the page that
 * writers share, while one is attached, else from the files themselves.
 */
#include "engine.h"
#include "log_scan.h"

enum { FOLLOW_TRIES = 5000 };

/* Has somebody the store open for writing, so that the shared page can be followed? */
static enum kv_status is_attended(struct kv_engine *engine, bool *out)
{
    enum kv_lock_mode held;
    enum kv_status st = kv_lock_test(engine->lock, KV_LOCK_ATTACHED, KV_LOCK_EXCLUSIVE, &held);

    *out = st == KV_OK && held == KV_LOCK_SHARED;
    return st;
}

/*
 * Copy the shared page's words to the private one. They count only if a
 * writer was attached before and after, in one incarnation: a page being
 * reset, or left over, says nothing. `*ok` false: it did not hold still.
 */
static enum kv_status copy_page(struct kv_engine *engine, bool *ok)
{
    const struct kv_page *view = kv_lock_view(engine->lock);
    uint64_t incarnation, lsn, generation;
    bool attended;
    enum kv_status st;

    *ok = false;
    if (!view)
        return KV_OK;
    incarnation = kv_page_load(&view->incarnation);
    lsn = kv_page_load(&view->committed_lsn);
    generation = kv_page_load(&view->generation);
    if (incarnation == 0 || incarnation != kv_page_load(&view->incarnation))
        return KV_OK;
    st = is_attended(engine, &attended);
    if (st != KV_OK || !attended)
        return st;
    /* Threads share the private page: whoever comes late must not overwrite what is newer. */
    kv_page_raise(&engine->page->generation, generation);
    kv_page_raise(&engine->page->committed_lsn, lsn);
    *ok = true;
    return KV_OK;
}

/* Nobody writes, and OPEN keeps it so: look at the files themselves. */
static enum kv_status look_alone(struct kv_engine *engine)
{
    struct kv_version *version;
    struct kv_manifest disk;
    uint64_t lsn;
    enum kv_status st = kv_manifest_load(engine->place.io, engine->place.dir, engine->path, &disk);

    if (st != KV_OK)
        return st;
    kv_page_raise(&engine->page->generation, disk.generation);
    kv_manifest_release(&disk);
    st = kv_engine_refresh(engine);
    if (st != KV_OK)
        return st;
    version = kv_engine_version(engine);
    st = kv_log_extend(version->log, &lsn);
    kv_version_unref(version);
    if (st == KV_OK)
        kv_page_raise(&engine->page->committed_lsn, lsn);
    return st;
}

/*
 * Look at the files if nobody writes; `*ok` false: somebody does, or is about
 * to. OPEN is this process's, so threads take it one at a time: the first to
 * drop it would open the store under the others.
 */
static enum kv_status look_if_alone(struct kv_engine *engine, bool *ok)
{
    bool attended;
    enum kv_status st;

    *ok = false;
    pthread_mutex_lock(&engine->manifest_mutex);
    st = kv_lock_try(engine->lock, KV_LOCK_OPEN, KV_LOCK_SHARED);
    if (st == KV_OK) {
        st = is_attended(engine, &attended);
        if (st == KV_OK && !attended) {
            st = look_alone(engine);
            *ok = st == KV_OK;
        }
        kv_lock_drop(engine->lock, KV_LOCK_OPEN);
    } else if (st == KV_BUSY) {
        kv_io_sleep_ms(engine->place.io, 1); /* somebody is attaching or detaching */
        st = KV_OK;
    }
    pthread_mutex_unlock(&engine->manifest_mutex);
    return st;
}

enum kv_status kv_engine_follow(struct kv_engine *engine)
{
    for (unsigned tries = 0; tries < FOLLOW_TRIES; tries++) {
        bool attended, ok;
        enum kv_status st = is_attended(engine, &attended);

        if (st == KV_OK)
            st = attended ? copy_page(engine, &ok) : look_if_alone(engine, &ok);
        if (st != KV_OK || ok)
            return st;
    }
    return kv_fail(KV_BUSY, "%s: another process is opening or closing the store", engine->path);
}
