/* Exclusion, versions and manifests of an open store: see engine.h for who may touch what. */
#include "engine.h"

#include <stdlib.h>
#include <time.h>

#include "log_scan.h"
#include "names.h"

enum { MANIFEST_WAIT_MS = 30000, FOLLOW_TRIES = 5000 };

void kv_engine_init(struct kv_engine *engine)
{
    pthread_condattr_t attributes;

    *engine = (struct kv_engine){0};
    pthread_mutex_init(&engine->mutex, NULL);
    pthread_mutex_init(&engine->manifest_mutex, NULL);
    pthread_mutex_init(&engine->install_mutex, NULL);
    pthread_mutex_init(&engine->sync_mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void kv_engine_release(struct kv_engine *engine)
{
    kv_version_unref(engine->version);
    kv_manifest_release(&engine->manifest);
    kv_lock_close(engine->lock);
    kv_io_dir_close(engine->place.dir);
    free(engine->path);
    pthread_cond_destroy(&engine->changed);
    pthread_mutex_destroy(&engine->sync_mutex);
    pthread_mutex_destroy(&engine->install_mutex);
    pthread_mutex_destroy(&engine->manifest_mutex);
    pthread_mutex_destroy(&engine->mutex);
}

/* ---- Exclusion */

static struct timespec deadline_after(struct kv_engine *engine, unsigned timeout_ms)
{
    uint64_t at_ms = kv_io_monotonic_ms(engine->place.io) + timeout_ms;

    return (struct timespec){.tv_sec = (time_t)(at_ms / 1000),
                             .tv_nsec = (long)(at_ms % 1000) * 1000000};
}

/* Set `*taken`, one of the flags under `mutex`, waiting until it is clear. */
static bool take_flag(struct kv_engine *engine, bool *taken, unsigned timeout_ms)
{
    struct timespec deadline = {0};
    bool ok;

    pthread_mutex_lock(&engine->mutex);
    if (*taken && timeout_ms > 0)
        deadline = deadline_after(engine, timeout_ms);
    while (*taken && timeout_ms > 0) {
        if (pthread_cond_timedwait(&engine->changed, &engine->mutex, &deadline) != 0)
            break;
    }
    ok = !*taken;
    if (ok)
        *taken = true;
    pthread_mutex_unlock(&engine->mutex);
    return ok;
}

static void drop_flag(struct kv_engine *engine, bool *taken)
{
    pthread_mutex_lock(&engine->mutex);
    *taken = false;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->mutex);
}

/* A LOCK that was deleted excludes nobody: those who came later have another. */
static enum kv_status check_lock(struct kv_engine *engine)
{
    enum kv_status st = kv_lock_check(engine->lock);

    return st == KV_OK ? KV_OK : kv_fail_in(st, "%s", engine->path);
}

enum kv_status kv_engine_take_writer(struct kv_engine *engine, unsigned timeout_ms, bool *died)
{
    enum kv_status st;

    *died = false;
    if (!take_flag(engine, &engine->writer_taken, timeout_ms))
        return kv_fail(KV_BUSY, "%s: another connection is writing; wait longer with busy_timeout",
                       engine->path);
    st = kv_lock_wait(engine->lock, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE, timeout_ms);
    if (st != KV_OK) {
        drop_flag(engine, &engine->writer_taken);
        if (st == KV_BUSY)
            st = kv_fail(st, "%s: another process is writing; wait longer with busy_timeout",
                         engine->path);
        return st;
    }
    st = check_lock(engine);
    if (st != KV_OK) {
        kv_lock_drop(engine->lock, KV_LOCK_WRITER);
        drop_flag(engine, &engine->writer_taken);
        return st;
    }
    *died = kv_page_test_and_set(&engine->page->writer_busy);
    return KV_OK;
}

void kv_engine_drop_writer(struct kv_engine *engine, bool doubt)
{
    if (!doubt)
        kv_page_clear(&engine->page->writer_busy);
    kv_lock_drop(engine->lock, KV_LOCK_WRITER);
    drop_flag(engine, &engine->writer_taken);
}

enum kv_status kv_engine_take_compactor(struct kv_engine *engine, unsigned timeout_ms)
{
    enum kv_status st;

    if (!take_flag(engine, &engine->compactor_taken, timeout_ms))
        return kv_fail(KV_BUSY, "%s: another connection is compacting", engine->path);
    st = kv_lock_wait(engine->lock, KV_LOCK_COMPACTOR, KV_LOCK_EXCLUSIVE, timeout_ms);
    if (st != KV_OK) {
        drop_flag(engine, &engine->compactor_taken);
        return st;
    }
    /*
     * What others have merged is merged; from here on nobody else does. Also
     * what was put in place and never announced: taking MANIFEST sees to that.
     */
    st = kv_engine_take_manifest(engine);
    if (st == KV_OK)
        kv_engine_drop_manifest(engine);
    else
        kv_engine_drop_compactor(engine);
    return st;
}

void kv_engine_drop_compactor(struct kv_engine *engine)
{
    kv_lock_drop(engine->lock, KV_LOCK_COMPACTOR);
    drop_flag(engine, &engine->compactor_taken);
}

void kv_engine_drop_manifest(struct kv_engine *engine)
{
    kv_lock_drop(engine->lock, KV_LOCK_MANIFEST);
    pthread_mutex_unlock(&engine->manifest_mutex);
}

bool kv_engine_wait_for_runs(struct kv_engine *engine, size_t limit, unsigned timeout_ms)
{
    struct timespec deadline = {0};
    bool ok;

    pthread_mutex_lock(&engine->mutex);
    ok = engine->manifest.run_count < limit;
    if (!ok && timeout_ms > 0)
        deadline = deadline_after(engine, timeout_ms);
    while (!ok && timeout_ms > 0 &&
           pthread_cond_timedwait(&engine->changed, &engine->mutex, &deadline) == 0)
        ok = engine->manifest.run_count < limit;
    pthread_mutex_unlock(&engine->mutex);
    return ok;
}

/* ---- Versions */

struct kv_version *kv_engine_version(struct kv_engine *engine)
{
    struct kv_version *version;

    pthread_mutex_lock(&engine->mutex);
    version = kv_version_ref(engine->version);
    pthread_mutex_unlock(&engine->mutex);
    return version;
}

void kv_engine_add_pin(struct kv_engine *engine, struct kv_pin *pin)
{
    pthread_mutex_lock(&engine->mutex);
    pin->previous = NULL;
    pin->next = engine->pins;
    if (pin->next)
        pin->next->previous = pin;
    engine->pins = pin;
    pthread_mutex_unlock(&engine->mutex);
}

void kv_engine_remove_pin(struct kv_engine *engine, struct kv_pin *pin)
{
    pthread_mutex_lock(&engine->mutex);
    if (pin->previous)
        pin->previous->next = pin->next;
    else
        engine->pins = pin->next;
    if (pin->next)
        pin->next->previous = pin->previous;
    pthread_mutex_unlock(&engine->mutex);
    kv_version_unref(pin->version);
    pin->version = NULL;
}

/* The version in the pin is not the newest: exchange it. */
static void renew_pin(struct kv_engine *engine, struct kv_pin *pin)
{
    struct kv_version *old = pin->version;

    pthread_mutex_lock(&engine->mutex);
    pin->version = kv_version_ref(engine->version);
    pin->serial = atomic_load_explicit(&engine->serial, memory_order_relaxed);
    pthread_mutex_unlock(&engine->mutex);
    kv_version_unref(old);
}

/* The newest version and LSN as they are now; the pin is held. */
static enum kv_status look(struct kv_engine *engine, struct kv_pin *pin, uint64_t *lsn)
{
    uint64_t generation;

    for (;;) {
        enum kv_status st;

        *lsn = kv_page_load(&engine->page->committed_lsn);
        generation = kv_page_load(&engine->page->generation);
        if (pin->serial != atomic_load_explicit(&engine->serial, memory_order_acquire))
            renew_pin(engine, pin);
        if (pin->version->generation >= generation)
            break;
        st = kv_engine_refresh(engine);
        if (st != KV_OK)
            return st;
    }
    if (*lsn < pin->version->start_lsn)
        *lsn = pin->version->start_lsn;
    return kv_log_catch_up(pin->version->log, *lsn);
}

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

enum kv_status kv_engine_acquire(struct kv_engine *engine, struct kv_pin *pin, uint64_t *lsn)
{
    int idle = KV_PIN_IDLE;
    enum kv_status st = kv_engine_check_alive(engine);

    if (st != KV_OK)
        return st;
    while (!atomic_compare_exchange_strong_explicit(&pin->state, &idle, KV_PIN_HELD,
                                                    memory_order_acquire, memory_order_relaxed)) {
        /* Being stolen this instant, under the mutex. */
        pthread_mutex_lock(&engine->mutex);
        pthread_mutex_unlock(&engine->mutex);
        idle = KV_PIN_IDLE;
    }
    st = engine->place.readonly ? kv_engine_follow(engine) : KV_OK;
    if (st == KV_OK)
        st = look(engine, pin, lsn);
    if (st != KV_OK)
        kv_engine_release_pin(pin);
    return st;
}

void kv_engine_release_pin(struct kv_pin *pin)
{
    atomic_store_explicit(&pin->state, KV_PIN_IDLE, memory_order_release);
}

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

/* Remove the files that `old` names and `engine->manifest` does not, oldest first. */
static void unlink_obsolete(struct kv_engine *engine, const struct kv_manifest *old)
{
    const struct kv_manifest *now = &engine->manifest;

    for (size_t r = old->run_count; r-- > 0;) {
        for (size_t s = 0; s < old->runs[r].segment_count; s++) {
            uint64_t number = old->runs[r].segments[s].number;

            if (kv_manifest_find_run(now, number) == SIZE_MAX)
                kv_place_remove_segment(&engine->place, number);
        }
    }
    if (old->active.number != 0 && old->active.number != now->active.number &&
        kv_manifest_find_run(now, old->active.number) == SIZE_MAX)
        kv_place_remove_segment(&engine->place, old->active.number);
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

/* MANIFEST is held: find out what is on disk, and whether its maker lived to announce it. */
static enum kv_status catch_up_manifest(struct kv_engine *engine)
{
    struct kv_manifest disk;
    bool renamed;
    enum kv_status st = kv_manifest_load(engine->place.io, engine->place.dir, engine->path, &disk);

    if (st != KV_OK)
        return st;
    if (disk.generation > kv_page_load(&engine->page->generation)) {
        /* A second sync of the directory may succeed although the first one lost something. */
        disk.generation++;
        st = kv_manifest_replace(engine->place.io, engine->place.dir, engine->place.file_mode,
                                 &disk, &renamed);
        if (st == KV_OK)
            kv_page_raise(&engine->page->generation, disk.generation);
    }
    kv_manifest_release(&disk);
    return st == KV_OK ? kv_engine_refresh(engine) : st;
}

enum kv_status kv_engine_take_manifest(struct kv_engine *engine)
{
    enum kv_status st;

    pthread_mutex_lock(&engine->manifest_mutex);
    st = kv_lock_wait(engine->lock, KV_LOCK_MANIFEST, KV_LOCK_EXCLUSIVE, MANIFEST_WAIT_MS);
    if (st != KV_OK) {
        pthread_mutex_unlock(&engine->manifest_mutex);
        return st;
    }
    st = check_lock(engine);
    if (st == KV_OK)
        st = catch_up_manifest(engine);
    if (st != KV_OK)
        kv_engine_drop_manifest(engine);
    return st;
}

enum kv_status kv_engine_install(struct kv_engine *engine, struct kv_manifest *next,
                                 struct kv_log *log, bool *renamed)
{
    struct kv_version *version = NULL;
    struct kv_manifest old;
    enum kv_status st;

    *renamed = false;
    next->generation = engine->manifest.generation + 1;
    if (next->next_number < atomic_load(&engine->next_number))
        next->next_number = atomic_load(&engine->next_number);
    st = kv_version_open(&engine->place, next, log, engine->version, &version);
    if (st == KV_OK)
        st = kv_manifest_replace(engine->place.io, engine->place.dir, engine->place.file_mode, next,
                                 renamed);
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

/* ---- Syncing */

void kv_engine_note_durable(struct kv_engine *engine, uint64_t lsn)
{
    kv_page_raise(&engine->page->durable_lsn, lsn);
    atomic_store(&engine->synced_ms, kv_io_monotonic_ms(engine->place.io));
}

enum kv_status kv_engine_sync_log(struct kv_engine *engine, struct kv_log *log, uint32_t end_bytes)
{
    enum kv_status st;

    pthread_mutex_lock(&engine->sync_mutex);
    st = kv_lock_wait(engine->lock, KV_LOCK_SYNC, KV_LOCK_EXCLUSIVE, MANIFEST_WAIT_MS);
    if (st != KV_OK) {
        pthread_mutex_unlock(&engine->sync_mutex);
        return st;
    }
    if (kv_page_is_set(&engine->page->refuse_writes))
        /* Another's sync failed while this one waited: its error may have been the one for our bytes. */
        st = kv_fail(KV_BUSY, "%s: a write could not be made durable earlier; try again",
                     engine->path);
    else if (kv_page_test_and_set(&engine->page->syncing))
        /* Whoever set it died in the sync, and its outcome with it. */
        st = kv_fail(KV_BUSY, "%s: a process died while it was syncing the log; try again",
                     engine->path);
    else
        st = kv_log_sync(log);
    if (st == KV_OK) {
        kv_engine_note_durable(engine, kv_log_lsn(log, end_bytes));
        atomic_fetch_add_explicit(&engine->counters.syncs, 1, memory_order_relaxed);
    } else {
        /* The kernel may have dropped what it could not write: never ask again. */
        kv_page_set(&engine->page->refuse_writes);
    }
    kv_page_clear(&engine->page->syncing);
    kv_lock_drop(engine->lock, KV_LOCK_SYNC);
    pthread_mutex_unlock(&engine->sync_mutex);
    return st;
}

enum kv_status kv_engine_check_alive(struct kv_engine *engine)
{
    if (atomic_load_explicit(&engine->forked, memory_order_relaxed))
        return kv_fail(KV_INVALID,
                       "%s: was opened before fork(); open it again in the child process",
                       engine->path);
    return KV_OK;
}

enum kv_status kv_engine_check_writable(struct kv_engine *engine)
{
    enum kv_status st = kv_engine_check_alive(engine);

    if (st != KV_OK)
        return st;
    if (engine->place.readonly)
        return kv_fail(KV_READONLY, "%s: the store was opened read-only", engine->path);
    return KV_OK;
}

/* Is there a file with this number? If that cannot be told, creating it will. */
static bool is_taken(struct kv_engine *engine, uint64_t number)
{
    struct kv_identity identity;
    char name[KV_NAME_BYTES];

    kv_name_segment(name, number);
    return kv_io_name_identity(engine->place.dir, name, &identity) == KV_OK;
}

uint64_t kv_engine_new_number(struct kv_engine *engine)
{
    uint64_t number;

    /* Numbers of files that have come and gone since are in the manifest alone. */
    if (atomic_load(&engine->next_number) < engine->manifest.next_number)
        atomic_store(&engine->next_number, engine->manifest.next_number);
    do {
        number = atomic_fetch_add(&engine->next_number, 1);
    } while (is_taken(engine, number));
    return number;
}
