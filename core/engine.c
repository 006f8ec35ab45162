/* Exclusion, versions and manifests of an open store: see engine.h for who may touch what. */
#include "engine.h"

#include <stdlib.h>
#include <time.h>

#include "names.h"

enum { MANIFEST_WAIT_MS = 30000 };

void kv_engine_init(struct kv_engine *engine)
{
    pthread_condattr_t attributes;

    *engine = (struct kv_engine){0};
    pthread_mutex_init(&engine->mutex, NULL);
    pthread_mutex_init(&engine->manifest_mutex, NULL);
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

enum kv_status kv_engine_take_writer(struct kv_engine *engine, unsigned timeout_ms)
{
    enum kv_status st;

    if (!take_flag(engine, &engine->writer_taken, timeout_ms))
        return kv_fail(KV_BUSY, "%s: another connection is writing; wait longer with busy_timeout",
                       engine->path);
    st = kv_lock_wait(engine->lock, KV_LOCK_WRITER, KV_LOCK_EXCLUSIVE, timeout_ms);
    if (st != KV_OK) {
        drop_flag(engine, &engine->writer_taken);
        return st;
    }
    atomic_store(&engine->page->writer_busy, 1);
    return KV_OK;
}

void kv_engine_drop_writer(struct kv_engine *engine)
{
    atomic_store(&engine->page->writer_busy, 0);
    kv_lock_drop(engine->lock, KV_LOCK_WRITER);
    drop_flag(engine, &engine->writer_taken);
}

enum kv_status kv_engine_take_compactor(struct kv_engine *engine, unsigned timeout_ms)
{
    enum kv_status st;

    if (!take_flag(engine, &engine->compactor_taken, timeout_ms))
        return kv_fail(KV_BUSY, "%s: another connection is compacting", engine->path);
    st = kv_lock_wait(engine->lock, KV_LOCK_COMPACTOR, KV_LOCK_EXCLUSIVE, timeout_ms);
    if (st != KV_OK)
        drop_flag(engine, &engine->compactor_taken);
    return st;
}

void kv_engine_drop_compactor(struct kv_engine *engine)
{
    kv_lock_drop(engine->lock, KV_LOCK_COMPACTOR);
    drop_flag(engine, &engine->compactor_taken);
}

enum kv_status kv_engine_take_manifest(struct kv_engine *engine)
{
    enum kv_status st;

    pthread_mutex_lock(&engine->manifest_mutex);
    st = kv_lock_wait(engine->lock, KV_LOCK_MANIFEST, KV_LOCK_EXCLUSIVE, MANIFEST_WAIT_MS);
    if (st != KV_OK)
        pthread_mutex_unlock(&engine->manifest_mutex);
    return st;
}

void kv_engine_drop_manifest(struct kv_engine *engine)
{
    kv_lock_drop(engine->lock, KV_LOCK_MANIFEST);
    pthread_mutex_unlock(&engine->manifest_mutex);
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

uint64_t kv_engine_acquire(struct kv_engine *engine, struct kv_pin *pin)
{
    uint64_t lsn;
    int idle = KV_PIN_IDLE;

    while (!atomic_compare_exchange_strong_explicit(&pin->state, &idle, KV_PIN_HELD,
                                                    memory_order_acquire, memory_order_relaxed)) {
        /* Being stolen this instant, under the mutex. */
        pthread_mutex_lock(&engine->mutex);
        pthread_mutex_unlock(&engine->mutex);
        idle = KV_PIN_IDLE;
    }
    lsn = atomic_load_explicit(&engine->page->committed_lsn, memory_order_acquire);
    if (pin->serial != atomic_load_explicit(&engine->serial, memory_order_acquire))
        renew_pin(engine, pin);
    return lsn > pin->version->start_lsn ? lsn : pin->version->start_lsn;
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

static void unlink_segment(struct kv_engine *engine, uint64_t number)
{
    char name[KV_NAME_BYTES];
    enum kv_status st;

    /* Failure leaves an unlisted file, which the next opening removes. */
    kv_name_segment(name, number);
    st = kv_io_unlink(engine->place.dir, name);
    kv_name_index(name, number);
    st = kv_io_unlink(engine->place.dir, name);
    (void)st;
}

/* Remove the files that `old` names and `engine->manifest` does not, oldest first. */
static void unlink_obsolete(struct kv_engine *engine, const struct kv_manifest *old)
{
    const struct kv_manifest *now = &engine->manifest;

    for (size_t r = old->run_count; r-- > 0;) {
        for (size_t s = 0; s < old->runs[r].segment_count; s++) {
            uint64_t number = old->runs[r].segments[s].number;

            if (kv_manifest_find_run(now, number) == SIZE_MAX)
                unlink_segment(engine, number);
        }
    }
    if (old->active.number != 0 && old->active.number != now->active.number &&
        kv_manifest_find_run(now, old->active.number) == SIZE_MAX)
        unlink_segment(engine, old->active.number);
}

enum kv_status kv_engine_install(struct kv_engine *engine, struct kv_manifest *next,
                                 struct kv_log *log)
{
    struct kv_version *version = NULL, *previous = engine->version;
    struct kv_manifest old;
    bool renamed = false;
    enum kv_status st;

    next->generation = engine->manifest.generation + 1;
    next->next_number = atomic_load(&engine->next_number);
    st = kv_engine_check_writable(engine); /* an earlier replacement may be in doubt */
    if (st == KV_OK)
        st = kv_version_open(&engine->place, next, log, previous, &version);
    if (st == KV_OK)
        st = kv_manifest_replace(engine->place.io, engine->place.dir, engine->place.file_mode, next,
                                 &renamed);
    if (st != KV_OK) {
        if (renamed) /* a crash may bring either back: both sets of files must stay as they are */
            atomic_store(&engine->page->refuse_writes, 1);
        kv_version_unref(version);
        return st;
    }
    pthread_mutex_lock(&engine->mutex);
    old = engine->manifest;
    engine->manifest = *next;
    *next = (struct kv_manifest){0};
    engine->version = version;
    atomic_store_explicit(&engine->page->generation, engine->manifest.generation,
                          memory_order_release);
    atomic_fetch_add_explicit(&engine->serial, 1, memory_order_release);
    steal_idle_pins(engine);
    pthread_mutex_unlock(&engine->mutex);
    kv_version_unref(previous);
    unlink_obsolete(engine, &old);
    kv_manifest_release(&old);
    return KV_OK;
}

/* ---- Syncing */

/* Raise a word of the page, never lower it. */
static void raise(_Atomic uint64_t *word, uint64_t value)
{
    uint64_t seen = atomic_load(word);

    while (seen < value && !atomic_compare_exchange_weak(word, &seen, value)) {
    }
}

void kv_engine_note_durable(struct kv_engine *engine, uint64_t lsn)
{
    raise(&engine->page->durable_lsn, lsn);
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
    /* Another's sync failed while this one waited: its error may have been the one for our bytes. */
    st = kv_engine_check_writable(engine);
    if (st != KV_OK)
        goto out;
    atomic_store(&engine->page->syncing, 1);
    st = kv_log_sync(log);
    if (st == KV_OK) {
        kv_engine_note_durable(engine, kv_log_lsn(log, end_bytes));
        atomic_store(&engine->synced_ms, kv_io_monotonic_ms(engine->place.io));
        atomic_fetch_add_explicit(&engine->counters.syncs, 1, memory_order_relaxed);
    } else {
        /* The kernel may have dropped what it could not write: never ask again. */
        atomic_store(&engine->page->refuse_writes, 1);
    }
    atomic_store(&engine->page->syncing, 0);
out:
    kv_lock_drop(engine->lock, KV_LOCK_SYNC);
    pthread_mutex_unlock(&engine->sync_mutex);
    return st;
}

enum kv_status kv_engine_check_writable(struct kv_engine *engine)
{
    if (engine->place.readonly)
        return kv_fail(KV_READONLY, "%s: the store was opened read-only", engine->path);
    if (atomic_load(&engine->page->refuse_writes))
        return kv_fail(KV_IOERR,
                       "%s: a write could not be made durable earlier; close every connection to "
                       "the store and open it again to recover",
                       engine->path);
    return KV_OK;
}

uint64_t kv_engine_new_number(struct kv_engine *engine)
{
    return atomic_fetch_add(&engine->next_number, 1);
}
