/* The engine's beginning and end, and the pins that hold its versions: see engine.h for who may touch what. */
#include "engine.h"

#include <stdlib.h>
#include <time.h>

#include "log_scan.h"
#include "mutant.h"
#include "names.h"

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

/* ---- Versions and pins */

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

/* Take versions off the list of those retired: with `all`, all, else those that nobody holds. */
static struct kv_version *take_retired(struct kv_engine *engine, bool all)
{
    struct kv_version **at = &engine->retired, *taken = NULL;

    pthread_mutex_lock(&engine->mutex);
    while (*at) {
        struct kv_version *version = *at;

        /* The list's reference is the last one: nobody is left to make more from. */
        if (all || atomic_load_explicit(&version->references, memory_order_acquire) == 1) {
            *at = version->next_retired;
            version->next_retired = taken;
            taken = version;
        } else {
            at = &version->next_retired;
        }
    }
    pthread_mutex_unlock(&engine->mutex);
    return taken;
}

static void unref_all(struct kv_version *version)
{
    while (version) {
        struct kv_version *next = version->next_retired;

        kv_version_unref(version);
        version = next;
    }
}

void kv_engine_retire(struct kv_engine *engine, bool on)
{
    pthread_mutex_lock(&engine->mutex);
    engine->retires = on;
    pthread_mutex_unlock(&engine->mutex);
    if (!on)
        unref_all(take_retired(engine, true));
}

void kv_engine_free_retired(struct kv_engine *engine)
{
    unref_all(take_retired(engine, false));
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
    if (*lsn < pin->version->start_lsn && !KV_MUTANT(start_ignored))
        *lsn = pin->version->start_lsn;
    return kv_log_catch_up(pin->version->log, *lsn);
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
    } while (is_taken(engine, number) && !KV_MUTANT(number_taken));
    return number;
}
