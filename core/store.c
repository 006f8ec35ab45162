/*
 * Opening, sharing and closing stores.
 *
 * The registry lists the stores open in this process by their directory's
 * device and inode, so that every path to a directory leads to one object. Its
 * mutex is held while a store is being opened or closed: two threads never
 * recover the same one.
 */
#include "store.h"

#include <stdlib.h>

#include "create.h"
#include "mutant.h"
#include "patience.h"
#include "recover.h"
#include "repair.h"
#include "verify.h"

enum { ATTACH_WAIT_MS = 1000 };

static KV_PROCESS_LOCAL pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static KV_PROCESS_LOCAL struct kv_store *registry;
static pthread_once_t forks_watched = PTHREAD_ONCE_INIT;

/* ---- fork */

static void before_fork(void)
{
    pthread_mutex_lock(&registry_mutex);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&registry_mutex);
}

/*
 * The child has the parent's memory, but neither its threads nor a right to
 * its locks, which would outlive the parent if the child kept LOCK open. What it inherited is
 * dead; it can open stores anew.
 */
static void in_child(void)
{
    for (struct kv_store *store = registry; store; store = store->next) {
        atomic_store(&store->engine.forked, true);
        kv_lock_abandon(store->engine.lock);
    }
    registry = NULL;
    pthread_mutex_unlock(&registry_mutex);
}

static void watch_forks(void)
{
    /* Without memory for it, stores work as well, but in children. */
    (void)pthread_atfork(before_fork, in_parent, in_child);
}

/* ---- Registry; its mutex is held */

/*
 * The store that is open for this directory. There may be two: who only reads
 * shares the one that writes, if it is there; who writes does not share one
 * that was opened only for reading.
 */
static struct kv_store *find_store(const struct kv_io *io, struct kv_identity identity,
                                   bool readonly_will_do)
{
    struct kv_store *found = NULL;

    for (struct kv_store *store = registry; store; store = store->next) {
        bool readonly = store->engine.place.readonly;

        if (store->engine.place.io == io && store->identity.device == identity.device &&
            store->identity.inode == identity.inode && (!readonly || (readonly_will_do && !found)))
            found = store;
    }
    return found;
}

static void remove_store(const struct kv_store *store)
{
    struct kv_store **at = &registry;

    while (*at != store)
        at = &(*at)->next;
    *at = store->next;
}

static enum kv_status already_there(const struct kv_engine *engine)
{
    return kv_fail(KV_EXISTS, "%s already holds a store", engine->path);
}

static enum kv_status check_uuid(const struct kv_engine *engine, const uint8_t *expected)
{
    if (!expected || memcmp(engine->place.uuid, expected, KV_UUID_BYTES) == 0)
        return KV_OK;
    return kv_fail(KV_MISMATCH, "%s: holds another store than the one recorded for this table",
                   engine->path);
}

/*
 * Give a store its schema back, of which repair could not find anything: whoever
 * knows one first is believed. MANIFEST is held.
 */
static enum kv_status set_schema(struct kv_engine *engine, struct kv_slice schema)
{
    struct kv_manifest next;
    struct kv_version *version;
    bool renamed;
    enum kv_status st = kv_manifest_copy(&next, &engine->manifest);

    if (st != KV_OK)
        return st;
    next.compatible_features &= ~(uint64_t)KV_FEATURE_SCHEMA_LOST;
    st = kv_buffer_set(&next.schema, schema);
    if (st == KV_OK) {
        version = kv_engine_version(engine);
        st = kv_engine_install(engine, &next, version->log, &renamed);
        kv_version_unref(version);
    }
    kv_manifest_release(&next);
    return st;
}

/* See to it that the store's object has its schema. The registry's mutex is held. */
static enum kv_status find_schema(struct kv_store *store, const struct kv_open_options *options)
{
    struct kv_engine *engine = &store->engine;
    enum kv_status st;

    if (store->schema.size > 0 || options->schema.size == 0 || engine->place.readonly)
        return KV_OK;
    st = kv_engine_take_manifest(engine);
    if (st != KV_OK)
        return st;
    if (engine->manifest.compatible_features & KV_FEATURE_SCHEMA_LOST)
        st = set_schema(engine, options->schema);
    if (st == KV_OK)
        st = kv_buffer_set(&store->schema, kv_buffer_slice(&engine->manifest.schema));
    kv_engine_drop_manifest(engine);
    return st;
}

static enum kv_status check_unclaimed(const struct kv_store *store)
{
    if (!store->claimed)
        return KV_OK;
    return kv_fail(KV_BUSY, "%s: this process is working on its files; try again later",
                   store->engine.path);
}

/* One more user of a store that is open already. */
static enum kv_status share(struct kv_store *store, const struct kv_open_options *options,
                            struct kv_store **out)
{
    enum kv_status st = check_unclaimed(store);

    if (st == KV_OK)
        st = check_uuid(&store->engine, options->uuid);
    if (st != KV_OK)
        return st;
    if (options->mode == KV_OPEN_NEW)
        return already_there(&store->engine);
    st = find_schema(store, options);
    if (st != KV_OK)
        return st;
    store->users++;
    *out = store;
    return KV_OK;
}

/* ---- Attaching */

enum { READ_AND_WRITE = 0666 };

/* Of those who wait for no longer than is usual. */
static const struct kv_settings no_wish;

/* The permission bits of the file at `path`; none if they cannot be told. */
static unsigned mode_of(struct kv_io *io, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = slash ? strndup(path, (size_t)(slash + 1 - path)) : strdup(".");
    struct kv_identity identity = {.mode = 0};
    struct kv_dir *dir = NULL;

    if (parent && kv_io_dir_open(io, parent, &dir) == KV_OK &&
        kv_io_name_identity(dir, slash ? slash + 1 : path, &identity) != KV_OK)
        identity.mode = 0;
    kv_io_dir_close(dir);
    free(parent);
    return identity.mode & READ_AND_WRITE;
}

static enum kv_status open_directory(struct kv_io *io, const char *path,
                                     const struct kv_open_options *options, struct kv_dir **out)
{
    unsigned mode = options->file_mode;
    enum kv_status st = kv_io_dir_open(io, path, out);

    if (st != KV_NOTFOUND || options->mode == KV_OPEN_EXISTING || options->readonly)
        return st;
    /* Who may read a file may also look for it. */
    st = kv_create_directory(io, path, mode | (mode & 0444) >> 2);
    return st == KV_OK ? kv_io_dir_open(io, path, out) : st;
}

static enum kv_status wait_for(struct kv_engine *engine, enum kv_lock_byte byte,
                               enum kv_lock_mode mode, const struct kv_settings *settings)
{
    unsigned wait_ms = settings->busy_timeout_ms;
    struct kv_patience patience =
        kv_patience_start(engine, settings, wait_ms > ATTACH_WAIT_MS ? wait_ms : ATTACH_WAIT_MS);
    enum kv_status st;

    do
        st = kv_lock_wait(engine->lock, byte, mode, patience.step_ms);
    while (st == KV_BUSY && kv_patience_goes_on(&patience, &st));
    return st;
}

/*
 * OPEN, then ATTACHED: exclusively if possible, then this process is alone and
 * recovers; else shared, which means that somebody has recovered.
 */
static enum kv_status attach(struct kv_engine *engine, const struct kv_settings *settings,
                             bool *alone)
{
    bool readonly = engine->place.readonly;
    enum kv_status st;

    *alone = false;
    st = kv_lock_open(engine->place.io, engine->place.dir, engine->place.file_mode, readonly,
                      &engine->lock);
    if (st != KV_OK)
        return st;
    engine->place.file_mode |= kv_lock_file_mode(engine->lock) & READ_AND_WRITE;
    engine->page = kv_lock_page(engine->lock);
    st = KV_UNLESS_MUTANT(
        open_not_locked,
        wait_for(engine, KV_LOCK_OPEN, readonly ? KV_LOCK_SHARED : KV_LOCK_EXCLUSIVE, settings));
    if (st == KV_OK && !readonly) {
        st = KV_UNLESS_MUTANT(attached_not_locked,
                              kv_lock_try(engine->lock, KV_LOCK_ATTACHED, KV_LOCK_EXCLUSIVE));
        *alone = st == KV_OK;
        if (st == KV_BUSY)
            st = wait_for(engine, KV_LOCK_ATTACHED, KV_LOCK_SHARED, settings);
    } else if (st == KV_OK) {
        st = KV_UNLESS_MUTANT(reader_not_noted,
                              kv_lock_try(engine->lock, KV_LOCK_ATTACHED_RO, KV_LOCK_SHARED));
    }
    if (st == KV_OK)
        st = kv_lock_check(engine->lock);
    if (st == KV_BUSY)
        st = kv_fail(KV_BUSY, "%s: another process is opening or closing the store", engine->path);
    return st;
}

/* Those who only read do not count as attached, but what they read must not be replaced by something else. */
static enum kv_status check_unread(struct kv_engine *engine)
{
    enum kv_lock_mode held;
    enum kv_status st = kv_lock_test(engine->lock, KV_LOCK_ATTACHED_RO, KV_LOCK_EXCLUSIVE, &held);

    if (st == KV_OK && held != KV_LOCK_NONE)
        st = kv_fail(KV_BUSY, "%s: another process has the store open for reading", engine->path);
    return st;
}

/* Alone with the store, or KV_BUSY. */
static enum kv_status attach_alone(struct kv_engine *engine)
{
    bool alone;
    enum kv_status st = attach(engine, &no_wish, &alone);

    if (st == KV_OK && !alone)
        st = kv_fail(KV_BUSY, "%s: another process has the store open", engine->path);
    return st == KV_OK ? check_unread(engine) : st;
}

/* Recovered, or joined those who have: let others attach. */
static enum kv_status settle(struct kv_engine *engine)
{
    enum kv_status st = engine->place.readonly
                            ? KV_OK
                            : kv_lock_try(engine->lock, KV_LOCK_ATTACHED, KV_LOCK_SHARED);

    kv_lock_drop(engine->lock, KV_LOCK_OPEN);
    return st;
}

/* ---- Opening */

static enum kv_status not_there(const struct kv_engine *engine)
{
    return kv_fail(KV_NOTFOUND, "%s: there is no store", engine->path);
}

/* Load the manifest, or make a store if that is wanted. */
static enum kv_status load_or_create(struct kv_engine *engine,
                                     const struct kv_open_options *options, bool alone)
{
    struct kv_place *place = &engine->place;
    bool create = options->mode != KV_OPEN_EXISTING && !options->readonly && alone;
    enum kv_status st = kv_manifest_load(place->io, place->dir, place->path, &engine->manifest);

    if (st == KV_NOTFOUND)
        st = create ? kv_create_store(engine, options->schema) : not_there(engine);
    else if (st == KV_OK && options->mode == KV_OPEN_NEW && !create)
        st = already_there(engine);
    else if (st == KV_OK && options->mode == KV_OPEN_NEW) {
        kv_create_adopt(engine);
        st = check_unread(engine);
        if (st == KV_OK)
            st = kv_create_over(engine, options->schema);
        else if (st == KV_BUSY)
            st = already_there(engine);
    }
    if (st == KV_OK) {
        kv_create_adopt(engine);
        st = check_uuid(engine, options->uuid);
    }
    return st;
}

/* Bring a store up whose io, directory and path are set. */
static enum kv_status start(struct kv_store *store, const struct kv_open_options *options)
{
    struct kv_engine *engine = &store->engine;
    enum kv_status st = KV_OK;
    bool alone = false;

    engine->place.path = engine->path;
    engine->place.file_mode = options->file_mode;
    engine->place.readonly = options->readonly;
    store->settings = options->settings;
    store->settings.interrupted = NULL; /* the first user may be gone long before the store */
    store->temporary = options->temporary;
    if (!options->readonly)
        st = kv_io_dir_writable(engine->place.dir);
    if (st == KV_OK)
        st = kv_io_random(engine->place.io, &engine->nonce_seed, sizeof(engine->nonce_seed));
    if (st == KV_OK)
        st = attach(engine, &options->settings, &alone);
    if (st == KV_OK)
        st = load_or_create(engine, options, alone);
    if (st == KV_OK) /* manifests come and go, the schema stays */
        st = kv_buffer_set(&store->schema, kv_buffer_slice(&engine->manifest.schema));
    if (st == KV_OK)
        st = options->readonly ? kv_recover_readonly(engine)
             : alone           ? kv_recover(engine)
                               : kv_engine_refresh(engine);
    if (st == KV_OK)
        st = settle(engine);
    if (st == KV_OK)
        st = find_schema(store, options);
    if (st == KV_OK && !options->readonly && !options->foreground) {
        /* Without a thread the store works as in the foreground. */
        enum kv_status started = kv_maintainer_start(&store->maintainer, engine, &store->settings);
        (void)started;
    }
    return st;
}

static struct kv_store *store_new(struct kv_io *io, const char *path)
{
    struct kv_store *store = calloc(1, sizeof(*store));

    if (!store)
        return NULL;
    kv_engine_init(&store->engine);
    store->engine.place.io = io;
    store->engine.path = strdup(path);
    if (!store->engine.path) {
        kv_engine_release(&store->engine);
        free(store);
        return NULL;
    }
    /* Without it a hostile store could cost time; no reason not to open one. */
    (void)!kv_io_random(io, &store->engine.place.table_secret,
                        sizeof(store->engine.place.table_secret));
    return store;
}

static void store_free(struct kv_store *store)
{
    kv_buffer_release(&store->schema);
    kv_engine_release(&store->engine);
    free(store);
}

/* Open a directory that nobody in this process has open, or share it. The registry's mutex is held. */
static enum kv_status open_locked(const char *path, const struct kv_open_options *options,
                                  struct kv_store **out)
{
    struct kv_store *store = store_new(options->io, path), *open;
    struct kv_engine *engine;
    enum kv_status st;

    if (!store)
        return kv_fail_nomem();
    engine = &store->engine;
    st = open_directory(options->io, path, options, &engine->place.dir);
    if (st == KV_OK)
        st = kv_io_dir_identity(engine->place.dir, &store->identity);
    open = st == KV_OK ? find_store(options->io, store->identity, options->readonly) : NULL;
    if (open)
        st = share(open, options, out);
    else if (st == KV_OK)
        st = start(store, options);
    if (st == KV_OK && !open) {
        store->users = 1;
        store->next = registry;
        registry = store;
        *out = store;
        return KV_OK;
    }
    store_free(store);
    return st;
}

enum kv_status kv_store_open(const char *path, const struct kv_open_options *options,
                             struct kv_store **out)
{
    struct kv_open_options filled = options ? *options : kv_open_options_default();
    enum kv_status st = kv_settings_check(&filled.settings);

    *out = NULL;
    if (st != KV_OK)
        return st;
    if (path[0] == '\0')
        return kv_fail(KV_INVALID, "the path of a store is empty");
    if (!filled.io)
        filled.io = kv_io_posix();
    if (filled.file_mode == 0)
        filled.file_mode = 0600;
    if (filled.mode_like && !filled.readonly)
        filled.file_mode |= mode_of(filled.io, filled.mode_like);
    pthread_once(&forks_watched, watch_forks);
    pthread_mutex_lock(&registry_mutex);
    st = open_locked(path, &filled, out);
    pthread_mutex_unlock(&registry_mutex);
    return st;
}

/* ---- Closing */

/* Remove a store's files and its directory; nobody has it open. */
static enum kv_status destroy_files(struct kv_io *io, struct kv_dir *dir, const char *path)
{
    enum kv_status st = kv_create_undo(dir, path);

    if (st != KV_OK)
        return st;
    st = kv_io_dir_remove(io, path);
    return st == KV_EXISTS ? KV_OK : st; /* files of others are in it: they stay */
}

/* Be alone again, or KV_BUSY: a temporary store has no readers then either. */
static enum kv_status detach_alone(struct kv_store *store)
{
    struct kv_lock *lock = store->engine.lock;
    enum kv_status st = kv_lock_wait(lock, KV_LOCK_OPEN, KV_LOCK_EXCLUSIVE, ATTACH_WAIT_MS);

    if (st == KV_OK)
        st = KV_UNLESS_MUTANT(ended_among_others,
                              kv_lock_try(lock, KV_LOCK_ATTACHED, KV_LOCK_EXCLUSIVE));
    return st == KV_OK && store->temporary ? check_unread(&store->engine) : st;
}

/*
 * If nobody else has it, leave a clean end, or, of a temporary store, nothing.
 * Otherwise the last one does.
 */
static enum kv_status stop(struct kv_store *store)
{
    struct kv_engine *engine = &store->engine;
    enum kv_status st;

    if (engine->place.readonly)
        return KV_OK;
    st = detach_alone(store);
    if (st != KV_OK)
        return st == KV_BUSY ? KV_OK : st;
    return store->temporary ? destroy_files(engine->place.io, engine->place.dir, engine->path)
                            : kv_recover_close(engine);
}

enum kv_status kv_store_close(struct kv_store *store)
{
    enum kv_status st = KV_OK;

    if (!store || kv_engine_check_alive(&store->engine) != KV_OK)
        return KV_OK; /* what a child inherited stays where it is: the parent's is another copy */
    pthread_mutex_lock(&registry_mutex);
    if (--store->users == 0) {
        remove_store(store);
        kv_maintainer_stop(&store->maintainer);
        st = stop(store);
        store_free(store);
    }
    pthread_mutex_unlock(&registry_mutex);
    return st;
}

/* ---- Destroying */

static enum kv_status destroy_locked(const char *path, struct kv_io *io)
{
    struct kv_store *store = store_new(io, path);
    struct kv_engine *engine;
    enum kv_status st;

    if (!store)
        return kv_fail_nomem();
    engine = &store->engine;
    st = kv_io_dir_open(io, path, &engine->place.dir);
    if (st == KV_NOTFOUND)
        st = not_there(engine);
    if (st == KV_OK)
        st = kv_io_dir_identity(engine->place.dir, &store->identity);
    if (st == KV_OK && find_store(io, store->identity, true))
        st = kv_fail(KV_BUSY,
                     "%s: this process has the store open; drop the tables that use it, or close "
                     "their connections",
                     path);
    engine->place.path = engine->path;
    engine->place.file_mode = 0600;
    if (st == KV_OK)
        st = kv_create_check_store(engine->place.dir, path);
    if (st == KV_OK)
        st = attach_alone(engine);
    if (st == KV_OK)
        st = destroy_files(io, engine->place.dir, path);
    store_free(store);
    return st;
}

enum kv_status kv_destroy(const char *path, struct kv_io *io)
{
    enum kv_status st;

    pthread_mutex_lock(&registry_mutex);
    st = destroy_locked(path, io ? io : kv_io_posix());
    pthread_mutex_unlock(&registry_mutex);
    return st;
}

/* ---- Claiming */

static enum kv_status claim_locked(struct kv_store *store)
{
    struct kv_engine *engine = &store->engine;
    enum kv_status st = kv_io_dir_open(engine->place.io, engine->path, &engine->place.dir);

    if (st == KV_OK)
        st = kv_io_dir_identity(engine->place.dir, &store->identity);
    if (st == KV_OK && find_store(engine->place.io, store->identity, true))
        return kv_fail(KV_BUSY, "%s: this process has the store open", engine->path);
    if (st == KV_OK)
        st = attach_alone(engine);
    if (st == KV_OK) {
        store->claimed = true;
        store->next = registry;
        registry = store;
    }
    return st;
}

enum kv_status kv_store_claim(struct kv_io *io, const char *path, unsigned file_mode,
                              struct kv_store **out)
{
    struct kv_store *store = store_new(io, path);
    enum kv_status st;

    *out = NULL;
    if (!store)
        return kv_fail_nomem();
    store->engine.place.path = store->engine.path;
    store->engine.place.file_mode = file_mode;
    pthread_mutex_lock(&registry_mutex);
    st = claim_locked(store);
    pthread_mutex_unlock(&registry_mutex);
    if (st == KV_OK)
        *out = store;
    else
        store_free(store);
    return st;
}

void kv_store_unclaim(struct kv_store *store)
{
    if (!store || kv_engine_check_alive(&store->engine) != KV_OK)
        return;
    pthread_mutex_lock(&registry_mutex);
    remove_store(store);
    store_free(store);
    pthread_mutex_unlock(&registry_mutex);
}

/* ---- Repairing */

/* Claiming makes a LOCK: not where there is no store. */
static enum kv_status check_is_store(struct kv_io *io, const char *path)
{
    struct kv_dir *dir;
    enum kv_status st = kv_io_dir_open(io, path, &dir);

    if (st == KV_NOTFOUND)
        return kv_fail(KV_NOTFOUND, "%s: there is no store", path);
    if (st != KV_OK)
        return st;
    st = kv_create_check_store(dir, path);
    kv_io_dir_close(dir);
    return st;
}

enum kv_status kv_repair(const char *path, struct kv_io *io, const struct kv_settings *settings,
                         enum kv_status (*each)(void *context, const struct kv_repair_step *step),
                         void *context)
{
    struct kv_store *store = NULL;
    enum kv_status st;

    io = io ? io : kv_io_posix();
    pthread_once(&forks_watched, watch_forks);
    st = check_is_store(io, path);
    if (st == KV_OK)
        st = kv_store_claim(io, path, 0600, &store);
    if (st == KV_OK)
        st = kv_repair_store(&store->engine, settings, each, context);
    kv_store_unclaim(store);
    return st;
}

/* ---- Checking a directory */

/* Check a store that nobody in this process has open. */
static enum kv_status check_closed(struct kv_store *store, struct kv_verify *check)
{
    struct kv_engine *engine = &store->engine;
    enum kv_status st = kv_create_check_store(engine->place.dir, engine->path);
    enum kv_lock_mode held = KV_LOCK_NONE;
    bool alone;

    engine->place.path = engine->path;
    engine->place.readonly = true;
    if (st == KV_OK)
        st = attach(engine, &no_wish, &alone);
    if (st == KV_OK) /* OPEN is held: whoever is attached now stays the only one */
        st = kv_lock_test(engine->lock, KV_LOCK_ATTACHED, KV_LOCK_EXCLUSIVE, &held);
    if (st == KV_OK && held != KV_LOCK_NONE)
        st = kv_fail(KV_BUSY, "%s: another process has the store open; check it there",
                     engine->path);
    if (st != KV_OK)
        return st;
    st = kv_manifest_load(engine->place.io, engine->place.dir, engine->path, &engine->manifest);
    if (st == KV_OK) {
        kv_create_adopt(engine);
        check->place = engine->place;
        return kv_verify_manifest(check, &engine->manifest);
    }
    if (st == KV_NOTFOUND)
        kv_verify_report(
            check, 0, 0,
            "MANIFEST is missing; restore a backup, or salvage what is left with kv_repair()");
    else if (st == KV_CORRUPT || st == KV_NEWER || st == KV_INVALID)
        kv_verify_report(check, 0, 0, NULL);
    else
        return st;
    return check->st;
}

enum kv_status kv_check(const char *path, struct kv_io *io, const struct kv_settings *settings,
                        enum kv_status (*each)(void *context, const struct kv_problem *problem),
                        void *context)
{
    struct kv_verify check = {.settings = settings, .each = each, .context = context};
    struct kv_store *store = store_new(io ? io : kv_io_posix(), path), *open = NULL;
    enum kv_status st;

    if (!store)
        return kv_fail_nomem();
    pthread_mutex_lock(&registry_mutex);
    st = kv_io_dir_open(store->engine.place.io, path, &store->engine.place.dir);
    if (st == KV_NOTFOUND)
        st = not_there(&store->engine);
    if (st == KV_OK)
        st = kv_io_dir_identity(store->engine.place.dir, &store->identity);
    if (st == KV_OK)
        open = find_store(store->engine.place.io, store->identity, true);
    if (open)
        st = check_unclaimed(open);
    else if (st == KV_OK)
        st = check_closed(store, &check);
    if (open && st == KV_OK)
        open->users++;
    pthread_mutex_unlock(&registry_mutex);
    if (open && st == KV_OK) {
        enum kv_status closed;

        st = kv_store_check(open, settings, each, context);
        closed = kv_store_close(open);
        st = st == KV_OK ? closed : st;
    }
    store_free(store);
    return st;
}

/* ---- Asking */

const char *kv_store_path(const struct kv_store *store)
{
    return store->engine.path;
}

const uint8_t *kv_store_uuid(const struct kv_store *store)
{
    return store->engine.place.uuid;
}

struct kv_slice kv_store_schema(const struct kv_store *store)
{
    return kv_buffer_slice(&store->schema);
}

bool kv_store_readonly(const struct kv_store *store)
{
    return store->engine.place.readonly;
}
