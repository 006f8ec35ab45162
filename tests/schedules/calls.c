/*
 * The calls of io.h and the accesses to the shared page, as stops: each asks
 * first what happens next, then goes through to memfs, and what it returns
 * becomes part of the actor's history. Calls that tell an actor nothing about others, and
 * change nothing that they could see, are no stops.
 */
#include <stdio.h>
#include <string.h>

#include "hash.h"
#include "lock.h"
#include "names.h"
#include "page.h"
#include "stage.h"

static const char *name_of(const struct kv_file *file)
{
    const char *path = ((const struct memfs_handle *)file)->path, *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static struct memfs_node *node_of(const struct kv_file *file)
{
    return ((const struct memfs_handle *)file)->node;
}

static void learn(uint64_t value)
{
    struct actor *self = stage_self();

    if (self)
        self->history = kv_digest_add(self->history, value);
}

/*
 * What an actor has mapped it may read at any time until its next stop: what
 * that is now has part in what it does then.
 */
static enum kv_status learn_status(enum kv_status st)
{
    struct actor *self = stage_self();

    if (!self)
        return st;
    learn((uint64_t)(int64_t)st);
    for (unsigned i = 0; i < self->mapped_count; i++)
        learn(self->stage->contents[self->mapped[i]->inode]);
    return st;
}

/* A file's bytes or size have changed. */
static void touch(const struct kv_file *file, uint64_t how)
{
    struct actor *self = stage_self();
    uint64_t *contents;

    if (!self || self->dead)
        return;
    if (node_of(file)->inode >= INODES_MAX)
        stage_fail(self->stage, "too many files");
    contents = &self->stage->contents[node_of(file)->inode];
    *contents = kv_digest_add(*contents, how);
}

static void stop(const char *call, const char *subject)
{
    stage_stop(stage_self(), call, subject, 0);
}

/*
 * A file that an actor has made is its own until MANIFEST is replaced: nobody
 * else opens it, so whether others run before or behind a call on its handle
 * makes no difference. A death does.
 */
static bool is_own(const struct actor *self, const struct memfs_node *node)
{
    for (unsigned i = 0; self && i < self->own_count; i++)
        if (self->own[i] == node)
            return true;
    return false;
}

static void stop_at_file(const char *call, const struct kv_file *file, unsigned flags)
{
    struct actor *self = stage_self();

    stage_stop(self, call, name_of(file), flags | (is_own(self, node_of(file)) ? STOP_IS_OWN : 0));
}

/* Nobody writes to these once they have their names: when they are read makes no difference. */
static bool is_constant(const struct kv_file *file)
{
    const char *name = name_of(file), *suffix = strrchr(name, '.');

    return strcmp(name, KV_NAME_MANIFEST) == 0 || (suffix && strcmp(suffix, ".idx") == 0);
}

/* ---- Directories */

static enum kv_status dir_open(struct kv_io *io, const char *path, struct kv_dir **out)
{
    stop("open", path);
    return learn_status(kv_memfs_ops.dir_open(io, path, out));
}

struct listing {
    enum kv_status (*each)(void *context, const char *name);
    void *context;
    uint64_t sum;
};

static enum kv_status list_one(void *context, const char *name)
{
    struct listing *listing = context;

    listing->sum += kv_hash(kv_slice_text(name), 0);
    return listing->each(listing->context, name);
}

static enum kv_status dir_list(struct kv_dir *dir,
                               enum kv_status (*each)(void *context, const char *name),
                               void *context)
{
    struct listing listing = {.each = each, .context = context};
    enum kv_status st;

    stop("list", STAGE_PATH);
    st = learn_status(kv_memfs_ops.dir_list(dir, list_one, &listing));
    learn(listing.sum);
    return st;
}

static enum kv_status dir_sync(struct kv_dir *dir)
{
    stage_stop(stage_self(), "sync", STAGE_PATH, STOP_MAY_FAIL);
    return learn_status(kv_memfs_ops.dir_sync(dir));
}

static enum kv_status rename_file(struct kv_dir *dir, const char *from, const char *to)
{
    struct actor *self = stage_self();

    stop("rename", to);
    if (self && strcmp(to, KV_NAME_MANIFEST) == 0)
        self->own_count = 0;
    return learn_status(kv_memfs_ops.rename(dir, from, to));
}

static enum kv_status unlink_file(struct kv_dir *dir, const char *name)
{
    stop("unlink", name);
    return learn_status(kv_memfs_ops.unlink(dir, name));
}

static enum kv_status name_identity(struct kv_dir *dir, const char *name, struct kv_identity *out)
{
    stop("stat", name);
    return learn_status(kv_memfs_ops.name_identity(dir, name, out));
}

/* ---- Files */

static enum kv_status file_open(struct kv_dir *dir, const char *name, unsigned flags, unsigned mode,
                                struct kv_file **out)
{
    struct actor *self = stage_self();
    enum kv_status st;

    stop(flags & KV_OPEN_EXCL ? "create" : "open", name);
    st = learn_status(kv_memfs_ops.file_open(dir, name, flags, mode, out));
    if (self && st == KV_OK && flags & KV_OPEN_EXCL && self->own_count < OWN_MAX)
        self->own[self->own_count++] = node_of(*out);
    return st;
}

static void file_close(struct kv_file *file)
{
    /* Closing gives up the locks that are held through the handle. */
    if (node_of(file)->lock_count)
        stop("close", name_of(file));
    kv_memfs_ops.file_close(file);
    learn_status(KV_OK);
}

static enum kv_status file_size(struct kv_file *file, uint64_t *out)
{
    enum kv_status st;

    if (!is_constant(file))
        stop_at_file("size", file, 0);
    st = learn_status(kv_memfs_ops.file_size(file, out));
    learn(st == KV_OK ? *out : 0);
    return st;
}

static enum kv_status read_file(struct kv_file *file, uint64_t offset, void *data, size_t size,
                                size_t *got)
{
    enum kv_status st;

    if (!is_constant(file))
        stop_at_file("read", file, 0);
    st = learn_status(kv_memfs_ops.read(file, offset, data, size, got));
    learn(kv_hash(kv_slice_of(data, *got), *got));
    return st;
}

static enum kv_status write_file(struct kv_file *file, uint64_t offset, const void *data,
                                 size_t size)
{
    stop_at_file("write", file, 0);
    touch(file, kv_hash(kv_slice_of(data, size), offset));
    return learn_status(kv_memfs_ops.write(file, offset, data, size));
}

static enum kv_status truncate_file(struct kv_file *file, uint64_t size)
{
    stop_at_file("truncate", file, 0);
    touch(file, size);
    return learn_status(kv_memfs_ops.truncate(file, size));
}

static enum kv_status allocate(struct kv_file *file, uint64_t offset, uint64_t size)
{
    stop_at_file("allocate", file, 0);
    if (offset + size > node_of(file)->size)
        touch(file, offset + size);
    return learn_status(kv_memfs_ops.allocate(file, offset, size));
}

static enum kv_status sync_as(struct kv_file *file, enum kv_status (*sync)(struct kv_file *file))
{
    struct actor *self = stage_self();
    uint64_t inode = node_of(file)->inode;
    enum kv_status st;

    stop_at_file("sync", file, STOP_MAY_FAIL);
    st = sync(file);
    if (self && st == KV_OK)
        self->stage->durable[inode] = self->stage->contents[inode];
    else
        touch(file, 1); /* what is lost, later syncs do not mend */
    return learn_status(st);
}

static enum kv_status sync_file(struct kv_file *file)
{
    return sync_as(file, kv_memfs_ops.sync);
}

static enum kv_status datasync(struct kv_file *file)
{
    return sync_as(file, kv_memfs_ops.datasync);
}

static enum kv_status map(struct kv_file *file, uint64_t size, bool writable, uint8_t **out)
{
    struct actor *self = stage_self();
    enum kv_status st = kv_memfs_ops.map(file, size, writable, out);

    if (self && st == KV_OK) {
        if (strcmp(name_of(file), KV_NAME_LOCK) == 0)
            self->page = *out;
        else if (self->mapped_count < MAPPED_MAX)
            self->mapped[self->mapped_count++] = node_of(file);
        else
            stage_fail(self->stage, "too many mappings");
    }
    return learn_status(st);
}

/* ---- Locks */

static const char *const byte_names[] = {"OPEN",      "ATTACHED", "ATTACHED_RO", "WRITER",
                                         "COMPACTOR", "MANIFEST", "SYNC"};

static enum kv_status lock(struct kv_file *file, uint64_t byte, enum kv_lock_mode mode)
{
    static const char *const verbs[] = {"drop", "share", "lock"};
    struct actor *self = stage_self();
    enum kv_status st;

    stop(verbs[mode], byte_names[byte - KV_PAGE_BYTES]);
    st = learn_status(kv_memfs_ops.lock(file, byte, mode));
    if (self && st == KV_BUSY) {
        self->wanted_byte = byte;
        self->wanted_mode = mode;
    }
    return st;
}

static enum kv_status lock_test(struct kv_file *file, uint64_t byte, enum kv_lock_mode mode,
                                enum kv_lock_mode *held)
{
    enum kv_status st;

    stop("test", byte_names[byte - KV_PAGE_BYTES]);
    st = learn_status(kv_memfs_ops.lock_test(file, byte, mode, held));
    learn(*held);
    return st;
}

static bool is_in_the_way(const struct memfs_lock *lock, const struct actor *actor)
{
    return lock->owner->io != actor->io && lock->byte == actor->wanted_byte &&
           (actor->wanted_mode == KV_LOCK_EXCLUSIVE || lock->mode == KV_LOCK_EXCLUSIVE);
}

bool stage_lock_is_free(const struct stage *stage, const struct actor *actor)
{
    const struct memfs_node *node = stage->lock_file;

    for (size_t i = 0; i < node->lock_count; i++)
        if (is_in_the_way(&node->locks[i], actor))
            return false;
    return true;
}

bool stage_sync_is_doubtful(const struct stage *stage)
{
    const struct memfs_node *node = stage->lock_file;

    if (!node) /* the store is being built */
        return false;
    for (size_t i = 0; i < node->lock_count; i++)
        if (node->locks[i].byte == KV_PAGE_BYTES + KV_LOCK_SYNC)
            return false;
    return ((const struct kv_page *)node->cached)->syncing;
}

/* ---- Clocks and randomness: each actor has its own */

static uint64_t monotonic_ms(struct kv_io *io)
{
    struct actor *self = stage_self();

    return kv_memfs_ops.monotonic_ms(io) + (self ? self->late_ms : 0);
}

static void sleep_ms(struct kv_io *io, unsigned ms)
{
    struct actor *self = stage_self();

    if (!self) {
        kv_memfs_ops.sleep_ms(io, ms);
        return;
    }
    if (!stage_wait(self))
        self->late_ms += ms;
    learn(self->late_ms);
}

static enum kv_status random_bytes(struct kv_io *io, void *data, size_t size)
{
    struct actor *self = stage_self();
    uint8_t *out = data;

    if (!self || self->dead)
        return kv_memfs_ops.random(io, data, size);
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)kv_memfs_next_random(&self->random);
    return KV_OK;
}

struct kv_io_ops stage_calls(void)
{
    struct kv_io_ops ops = kv_memfs_ops;

    ops.dir_open = dir_open;
    ops.dir_list = dir_list;
    ops.dir_sync = dir_sync;
    ops.rename = rename_file;
    ops.unlink = unlink_file;
    ops.name_identity = name_identity;
    ops.file_open = file_open;
    ops.file_close = file_close;
    ops.file_size = file_size;
    ops.read = read_file;
    ops.write = write_file;
    ops.truncate = truncate_file;
    ops.allocate = allocate;
    ops.sync = sync_file;
    ops.datasync = datasync;
    ops.lock = lock;
    ops.lock_test = lock_test;
    ops.map = map;
    ops.monotonic_ms = monotonic_ms;
    ops.sleep_ms = sleep_ms;
    ops.random = random_bytes;
    return ops;
}

/* ---- The page */

static bool is_shared(const struct actor *self, const volatile void *word)
{
    uintptr_t at = (uintptr_t)word, page = (uintptr_t)self->page;

    return page && at >= page && at < page + KV_PAGE_BYTES;
}

static const char *const word_names[] = {"incarnation", "committed_lsn",   "durable_lsn",
                                         "generation",  "busy or syncing", "refuse_writes"};

void kv_page_yield(const volatile void *word)
{
    struct actor *self = stage_self();

    if (self && is_shared(self, word))
        stage_stop(self, "page", word_names[((uintptr_t)word & (KV_PAGE_BYTES - 1)) / 8], 0);
}

void kv_page_found(const volatile void *word, uint64_t value)
{
    struct actor *self = stage_self();

    if (self && is_shared(self, word)) {
        learn(value);
        learn_status(KV_OK);
    }
}

/* ---- The state of it all */

static uint64_t name_hash(const struct stage *stage, const char *name,
                          const struct memfs_node *node)
{
    uint64_t hash = kv_hash(kv_slice_text(name), stage->contents[node->inode]);

    return kv_digest_add(hash, stage->durable[node->inode]);
}

/* Changes of names that are not durable, in order. */
static uint64_t changes_hash(const struct stage *stage, const struct memfs_node *directory)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < directory->change_count; i++) {
        const struct memfs_change *change = &directory->changes[i];

        hash = kv_digest_add(hash, name_hash(stage, change->name, change->node));
        hash = kv_digest_add(hash, (uint64_t)change->kind * 4 + change->fate);
        if (change->from)
            hash = kv_hash(kv_slice_text(change->from), hash);
    }
    return hash;
}

static uint64_t names_hash(const struct stage *stage, const struct memfs_names *names)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < names->count; i++)
        if (names->items[i].node != stage->lock_file)
            hash += name_hash(stage, names->items[i].name, names->items[i].node);
    return hash;
}

static uint64_t locks_hash(const struct stage *stage)
{
    const struct memfs_node *node = stage->lock_file;
    uint64_t hash = 0;

    for (size_t i = 0; i < node->lock_count; i++) {
        const struct memfs_lock *lock = &node->locks[i];

        for (unsigned a = 0; a < stage->actor_count; a++)
            if (stage->actors[a].io == lock->owner->io)
                hash += kv_digest_add(kv_digest_add(lock->byte, lock->mode), a);
    }
    return hash;
}

uint64_t stage_files_hash(const struct stage *stage)
{
    const struct memfs_node *directory = kv_memfs_find(stage->fs, STAGE_PATH);
    uint64_t hash = names_hash(stage, &directory->cached_names);

    hash = kv_digest_add(hash, changes_hash(stage, directory));
    hash = kv_digest_add(hash, locks_hash(stage));
    return kv_hash(kv_slice_of(stage->lock_file->cached, sizeof(struct kv_page)), hash);
}

uint64_t stage_disk_hash(const struct stage *stage)
{
    const struct memfs_node *directory = kv_memfs_find(stage->fs, STAGE_PATH);
    uint64_t hash = names_hash(stage, &directory->durable_names);

    return kv_digest_add(hash, changes_hash(stage, directory));
}

bool stage_has_removals(const struct stage *stage)
{
    const struct memfs_node *directory = kv_memfs_find(stage->fs, STAGE_PATH);

    for (size_t i = 0; i < directory->change_count; i++)
        if (directory->changes[i].kind == MEMFS_UNLINK &&
            directory->changes[i].fate != MEMFS_DURABLE)
            return true;
    return false;
}
