/* Replacing the manifest, and installing the version that it names: see engine.h. */
#include "cleanup.h"
#include "engine.h"
#include "log_scan.h"
#include "mutant.h"

/* Take versions from pins that hold them idly: files that nobody reads go away. Under mutex. */
static void steal_idle_pins(struct kv_engine *engine)
{
    for (struct kv_pin *pin = engine->pins; pin; pin = pin->next) {
        int idle = KV_PIN_IDLE;

        if (!atomic_compare_exchange_strong_explicit(&pin->state, &idle, KV_PIN_STOLEN,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        kv_version_unref(pin->version);
        pin->version = NULL;
        pin->serial = 0;
        atomic_store_explicit(&pin->state, KV_PIN_IDLE, memory_order_release);
    }
}

/* Does `now` name a run with something that `old` does not: what a merge has written? */
static bool has_output(const struct kv_manifest *now, const struct kv_manifest *old)
{
    for (size_t r = 0; r < now->run_count; r++) {
        for (size_t s = 0; s < now->runs[r].segment_count; s++) {
            if (!kv_manifest_has_sealed(old, now->runs[r].segments[s].number))
                return true;
        }
    }
    return false;
}

/*
 * Remove what the manifest does not name of a run any more. `*removed`: there was something. False:
 * it may still be there.
 */
static bool unlink_run(struct kv_engine *engine, const struct kv_run *run, bool *removed)
{
    bool gone = true;

    *removed = false;
    for (size_t s = 0; s < run->segment_count; s++) {
        uint64_t number = run->segments[s].number;

        if (kv_manifest_has_sealed(&engine->manifest, number))
            continue;
        *removed = true;
        gone &= kv_place_remove_segment(&engine->place, number);
    }
    return gone;
}

/* Where the newest of those segments ends that `old` has in its runs and `now` has not; 0: there are none. */
static uint64_t removed_end(const struct kv_manifest *now, const struct kv_manifest *old)
{
    uint64_t end_lsn = 0;

    for (size_t r = 0; r < old->run_count; r++) {
        for (size_t s = 0; s < old->runs[r].segment_count; s++) {
            const struct kv_segment_info *info = &old->runs[r].segments[s];

            if (!kv_manifest_has_sealed(now, info->number) && info->last_lsn > end_lsn)
                end_lsn = info->last_lsn;
        }
    }
    return end_lsn;
}

/* What was read by merges that did not get to removing it; false: some of it may be there still. */
static bool unlink_earlier(struct kv_engine *engine, const struct kv_manifest *old,
                           uint64_t end_lsn)
{
    struct kv_held_message held;
    enum kv_status st;

    kv_message_hold(&held);
    st = KV_UNLESS_MUTANT(earlier_inputs_stay, kv_cleanup_earlier(engine, old, end_lsn));
    kv_message_restore(&held);
    return st == KV_OK;
}

/*
 * Remove what a merge has read, oldest first. To a repair without a manifest its output stands for
 * all of that. Where there is none, since everything was deleted, an older run must not outlast the
 * newer one that deletes what it holds, on the disk neither.
 */
static void unlink_runs(struct kv_engine *engine, const struct kv_manifest *old)
{
    uint64_t end_lsn = has_output(&engine->manifest, old) ? 0 : removed_end(&engine->manifest, old);
    bool in_order = end_lsn != 0 && !KV_MUTANT(removed_in_any_order);

    if (in_order && !unlink_earlier(engine, old, end_lsn))
        return; /* nothing names what stays: it goes at the next opening */
    for (size_t r = old->run_count; r-- > 0;) {
        bool removed, gone = unlink_run(engine, &old->runs[r], &removed);

        if (r > 0 && removed && in_order && (!gone || kv_io_dir_sync(engine->place.dir) != KV_OK))
            return; /* the same */
    }
}

static void unlink_unless_named(struct kv_engine *engine, uint64_t number)
{
    if (!kv_manifest_has_sealed(&engine->manifest, number))
        (void)kv_place_remove_segment(&engine->place, number);
}

/* Remove the files that `old` names and `engine->manifest` does not. */
static void unlink_obsolete(struct kv_engine *engine, const struct kv_manifest *old)
{
    const struct kv_manifest *now = &engine->manifest;

    unlink_runs(engine, old);
    for (size_t g = 0; g < old->group_count; g++) {
        for (size_t s = 0; s < old->groups[g].segment_count; s++)
            unlink_unless_named(engine, old->groups[g].segments[s].number);
    }
    if (kv_manifest_has_unindexed(old))
        unlink_unless_named(engine, old->unindexed.number);
    if (old->active.number != 0 && old->active.number != now->active.number)
        unlink_unless_named(engine, old->active.number);
}

/* Make `*next` and its version the ones that this process goes by. `*old` is the manifest before. */
static void exchange(struct kv_engine *engine, struct kv_manifest *next, struct kv_version *version,
                     struct kv_manifest *old)
{
    struct kv_version *previous;

    pthread_mutex_lock(&engine->mutex);
    *old = engine->manifest;
    engine->manifest = *next;
    *next = (struct kv_manifest){0};
    previous = engine->version;
    engine->version = version;
    atomic_fetch_add_explicit(&engine->serial, 1, memory_order_release);
    steal_idle_pins(engine);
    if (engine->retires && previous) {
        previous->next_retired = engine->retired;
        engine->retired = previous;
        previous = NULL;
    }
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->mutex);
    kv_version_unref(previous);
}

/* The log that a manifest calls active: the one that is open, if it is that. */
static enum kv_status open_active(struct kv_engine *engine, const struct kv_manifest *manifest,
                                  struct kv_log **out)
{
    struct kv_log *open = engine->version ? engine->version->log : NULL;

    if (open && open->header.number == manifest->active.number &&
        open->header.salt == manifest->active.salt) {
        *out = kv_log_ref(open);
        return KV_OK;
    }
    return kv_log_open(&engine->place, manifest->active.number, manifest->active.salt, out);
}

/* Install what another process has made; takes `*next` over on success. The install mutex is held. */
static enum kv_status install_loaded(struct kv_engine *engine, struct kv_manifest *next)
{
    struct kv_version *version;
    struct kv_manifest old;
    struct kv_log *log;
    enum kv_status st;

    if (memcmp(next->uuid, engine->place.uuid, KV_UUID_BYTES) != 0)
        return kv_fail(KV_CORRUPT, "%s/MANIFEST: it has become that of another store",
                       engine->path);
    st = open_active(engine, next, &log);
    if (st != KV_OK)
        return st;
    st = kv_log_catch_up(log, next->active.start_lsn);
    if (st == KV_OK)
        st = kv_version_open(&engine->place, next, log, engine->version, &version);
    kv_log_unref(log);
    if (st != KV_OK)
        return st;
    exchange(engine, next, version, &old);
    kv_manifest_release(&old);
    return KV_OK;
}

/*
 * Load the manifest and install it if it is newer. A file that it names may be
 * gone because a newer one does not name it any more: KV_OK then, with the
 * old version still installed, so that the caller looks again.
 */
static enum kv_status load_and_install(struct kv_engine *engine, uint64_t *missed_generation)
{
    struct kv_manifest next;
    uint64_t generation;
    enum kv_status st = kv_manifest_load(engine->place.io, engine->place.dir, engine->path, &next);

    if (st != KV_OK)
        return st;
    generation = next.generation;
    if (!engine->version || generation > engine->manifest.generation)
        st = install_loaded(engine, &next);
    kv_manifest_release(&next);
    if (st == KV_NOTFOUND && generation != *missed_generation) {
        *missed_generation = generation;
        return KV_OK;
    }
    if (st == KV_NOTFOUND)
        st = kv_fail_in(KV_CORRUPT, "%s: MANIFEST names a file that is missing", engine->path);
    return st;
}

/* Is the installed version older than the page says? The install mutex is held. */
static bool is_behind(struct kv_engine *engine)
{
    return !engine->version ||
           engine->manifest.generation < kv_page_load(&engine->page->generation);
}

enum kv_status kv_engine_refresh(struct kv_engine *engine)
{
    uint64_t missed_generation = 0;
    enum kv_status st = KV_OK;

    pthread_mutex_lock(&engine->install_mutex);
    while (st == KV_OK && is_behind(engine)) {
        uint64_t serial = atomic_load(&engine->serial), missed = missed_generation;

        st = load_and_install(engine, &missed_generation);
        if (st == KV_OK && serial == atomic_load(&engine->serial) && missed == missed_generation)
            st = kv_fail(KV_CORRUPT, "%s/MANIFEST: it is older than it was", engine->path);
    }
    pthread_mutex_unlock(&engine->install_mutex);
    return st;
}

/*
 * Let the manifest vouch for what is durable of the active log by now: should that be cut or
 * damaged up to its end, nothing in it would tell that more had been there (P2). The page never
 * promises what may still be taken back.
 */
static void vouch_for_log(struct kv_engine *engine, struct kv_manifest *next)
{
    uint64_t lsn = kv_page_load(&engine->page->durable_lsn), start = next->active.start_lsn;

    if (lsn > start && lsn - next->active.base_lsn <= KV_SEGMENT_MAX_BYTES - KV_HEADER_BYTES)
        next->active.start_lsn = lsn;
}

enum kv_status kv_engine_install(struct kv_engine *engine, struct kv_manifest *next,
                                 struct kv_log *log, bool *renamed)
{
    struct kv_version *version = NULL;
    struct kv_manifest old;
    enum kv_status st;

    *renamed = false;
    next->generation = engine->manifest.generation + 1;
    vouch_for_log(engine, next);
    if (next->next_number < atomic_load(&engine->next_number) && !KV_MUTANT(number_reused))
        next->next_number = atomic_load(&engine->next_number);
    if (KV_MUTANT(announced_too_early))
        kv_page_raise(&engine->page->generation, next->generation);
    st = kv_version_open(&engine->place, next, log, engine->version, &version);
    if (st == KV_OK)
        st = kv_manifest_replace(engine->place.io, engine->place.dir, engine->place.file_mode, next,
                                 renamed);
    if (*renamed && KV_MUTANT(failed_name_sync_ignored))
        st = KV_OK;
    if (st != KV_OK) {
        if (*renamed) /* a crash may bring either back: both sets of files must stay as they are */
            kv_page_set(&engine->page->refuse_writes);
        kv_version_unref(version);
        return st;
    }
    pthread_mutex_lock(&engine->install_mutex);
    exchange(engine, next, version, &old);
    kv_page_raise(&engine->page->generation, engine->manifest.generation);
    pthread_mutex_unlock(&engine->install_mutex);
    unlink_obsolete(engine, &old);
    kv_manifest_release(&old);
    return KV_OK;
}
