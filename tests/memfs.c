/* The calls of io.h in memory: each enters under the mutex, where faults are injected, and leaves. */
#include "memfs.h"

#include <stdlib.h>

#include "memfs_private.h"

enum { SECTOR = KV_MEMFS_SECTOR_BYTES };

static struct memfs_process *process_of(struct kv_io *io)
{
    return (struct memfs_process *)io;
}

static struct kv_memfs *fs_of(struct kv_io *io)
{
    return process_of(io)->fs;
}

static struct memfs_handle *dir_handle(struct kv_dir *dir)
{
    return (struct memfs_handle *)dir;
}

static struct memfs_handle *file_handle(struct kv_file *file)
{
    return (struct memfs_handle *)file;
}

/* ---- Entering and leaving */

static enum kv_status injected(struct kv_memfs *fs, enum kv_memfs_call call, const char *path,
                               bool *partial)
{
    enum kv_status st = KV_OK;

    for (int i = 0; i < MEMFS_FAULTS; i++) {
        struct memfs_fault *fault = &fs->faults[i];

        if (fault->calls_left == 0 || (fault->call != KV_MEMFS_ANY && fault->call != call))
            continue;
        if (fault->calls_left > 1) {
            fault->calls_left--;
            continue;
        }
        fault->calls_left = fault->flags & (KV_MEMFS_STICKY | KV_MEMFS_FREEZE) ? 1 : 0;
        if (fault->flags & KV_MEMFS_FREEZE)
            fault->call = KV_MEMFS_ANY;
        *partial = fault->flags & KV_MEMFS_PARTIAL;
        st = fault->status;
    }
    if (st == KV_OK && fs->judge) {
        unsigned flags = 0;

        st = fs->judge(fs->judge_context, call, &flags);
        *partial = flags & KV_MEMFS_PARTIAL;
    }
    if (st == KV_OK)
        return KV_OK;
    fs->fault_count++;
    return kv_fail(st, "%s: cannot go on: injected failure of call kind %d", path, call);
}

/* What a call is told when it begins. */
struct entry {
    enum kv_status st;
    bool injected; /* `st` is a fault of the test's */
    bool partial;
};

static struct entry enter_path(struct kv_io *io, enum kv_memfs_call call, const char *path)
{
    struct kv_memfs *fs = fs_of(io);
    struct entry entry = {0};

    pthread_mutex_lock(&fs->mutex);
    fs->calls[KV_MEMFS_ANY]++;
    fs->calls[call]++;
    kv_memfs_count_call(process_of(io));
    if (!process_of(io)->is_dead) {
        entry.st = injected(fs, call, path, &entry.partial);
        entry.injected = entry.st != KV_OK;
        return entry;
    }
    entry.st = kv_fail(KV_IOERR, "%s: the process is dead", path);
    return entry;
}

static struct entry enter(struct kv_memfs *fs, enum kv_memfs_call call,
                          const struct memfs_handle *handle)
{
    struct entry entry = enter_path(handle->base.dir.io, call, handle->path);

    if (handle->device == fs->device)
        return entry;
    entry = (struct entry){0};
    entry.st = kv_fail(KV_IOERR, "%s: the handle died with its process", handle->path);
    return entry;
}

static enum kv_status leave(struct kv_memfs *fs, enum kv_status st)
{
    if (fs->dying)
        kv_memfs_die(fs->dying);
    pthread_mutex_unlock(&fs->mutex);
    return st;
}

static enum kv_status fail_readonly(const struct kv_memfs *fs, const char *path)
{
    return fs->readonly ? kv_fail(KV_READONLY, "%s: cannot write: Read-only file system", path)
                        : KV_OK;
}

static enum kv_status fail_missing(const char *path)
{
    return kv_fail(KV_NOTFOUND, "%s: No such file or directory", path);
}

static char *join(const char *directory, const char *name)
{
    size_t path_bytes = strlen(directory) + strlen(name) + 2;
    char *path = kv_memfs_need(malloc(path_bytes));

    strcpy(path, directory);
    strcat(path, "/");
    strcat(path, name);
    return path;
}

static struct memfs_handle *handle_new(struct kv_io *io, struct memfs_node *node, char *path,
                                       bool writable)
{
    struct memfs_handle *handle = kv_memfs_need(calloc(1, sizeof(*handle)));

    handle->base.dir.io = io;
    handle->device = fs_of(io)->device;
    handle->writable = writable;
    handle->node = node;
    handle->path = path;
    return handle;
}

static void handle_free(struct memfs_handle *handle)
{
    free(handle->path);
    free(handle);
}

/* ---- Directories */

static enum kv_status memfs_dir_open(struct kv_io *io, const char *path, struct kv_dir **out)
{
    struct kv_memfs *fs = fs_of(io);
    struct entry entry = enter_path(io, KV_MEMFS_DIR_OPEN, path);
    struct memfs_node *node = kv_memfs_find(fs, path);

    *out = NULL;
    if (entry.st != KV_OK)
        return leave(fs, entry.st);
    if (!node)
        return leave(fs, fail_missing(path));
    if (!node->is_directory)
        return leave(fs, kv_fail(KV_INVALID, "%s: Not a directory", path));
    *out = &handle_new(io, node, kv_memfs_need(strdup(path)), true)->base.dir;
    return leave(fs, KV_OK);
}

static enum kv_status create_directory(struct kv_memfs *fs, const char *path)
{
    char *name;
    struct memfs_node *parent = kv_memfs_find_parent(fs, path, &name);
    enum kv_status st = fail_readonly(fs, path);

    if (!parent)
        st = fail_missing(path);
    else if (!*name || kv_memfs_names_find(&parent->cached_names, name))
        st = kv_fail(KV_EXISTS, "%s: File exists", path);
    if (st == KV_OK)
        kv_memfs_change(parent, MEMFS_LINK, name, NULL, kv_memfs_node_new(fs, true));
    free(name);
    return st;
}

static enum kv_status memfs_dir_create(struct kv_io *io, const char *path, unsigned mode)
{
    struct kv_memfs *fs = fs_of(io);
    struct entry entry = enter_path(io, KV_MEMFS_DIR_CREATE, path);

    (void)mode;
    return leave(fs, entry.st == KV_OK ? create_directory(fs, path) : entry.st);
}

static enum kv_status remove_directory(struct kv_memfs *fs, const char *path)
{
    char *name;
    struct memfs_node *parent = kv_memfs_find_parent(fs, path, &name);
    struct memfs_node *node = parent ? kv_memfs_names_find(&parent->cached_names, name) : NULL;
    enum kv_status st = fail_readonly(fs, path);

    if (!node)
        st = fail_missing(path);
    else if (!node->is_directory)
        st = kv_fail(KV_INVALID, "%s: Not a directory", path);
    else if (node->cached_names.count)
        st = kv_fail(KV_EXISTS, "%s: Directory not empty", path);
    if (st == KV_OK) {
        node->removed = true;
        kv_memfs_change(parent, MEMFS_UNLINK, name, NULL, node);
    }
    free(name);
    return st;
}

static enum kv_status memfs_dir_remove(struct kv_io *io, const char *path)
{
    struct kv_memfs *fs = fs_of(io);
    struct entry entry = enter_path(io, KV_MEMFS_DIR_REMOVE, path);

    return leave(fs, entry.st == KV_OK ? remove_directory(fs, path) : entry.st);
}

static void memfs_dir_close(struct kv_dir *dir)
{
    handle_free(dir_handle(dir));
}

static enum kv_status memfs_dir_identity(struct kv_dir *dir, struct kv_identity *out)
{
    struct kv_memfs *fs = fs_of(dir->io);
    struct entry entry = enter(fs, KV_MEMFS_DIR_IDENTITY, dir_handle(dir));

    if (entry.st == KV_OK)
        *out = (struct kv_identity){fs->device, dir_handle(dir)->node->inode, 0600};
    return leave(fs, entry.st);
}

static enum kv_status memfs_dir_list(struct kv_dir *dir,
                                     enum kv_status (*each)(void *context, const char *name),
                                     void *context)
{
    struct kv_memfs *fs = fs_of(dir->io);
    struct entry entry = enter(fs, KV_MEMFS_DIR_LIST, dir_handle(dir));
    struct memfs_names names = {0}; /* a copy: `each` may change the directory */
    enum kv_status st;

    if (entry.st == KV_OK)
        kv_memfs_names_copy(&names, &dir_handle(dir)->node->cached_names);
    st = leave(fs, entry.st);
    for (size_t i = 0; st == KV_OK && i < names.count; i++)
        st = each(context, names.items[i].name);
    kv_memfs_names_clear(&names);
    return st;
}

static enum kv_status memfs_dir_sync(struct kv_dir *dir)
{
    struct kv_memfs *fs = fs_of(dir->io);
    struct entry entry = enter(fs, KV_MEMFS_DIR_SYNC, dir_handle(dir));
    struct memfs_node *node = dir_handle(dir)->node;

    if (entry.injected)
        kv_memfs_changes_doom(node);
    if (entry.st != KV_OK)
        return leave(fs, entry.st);
    kv_memfs_changes_sync(node);
    return leave(fs, KV_OK);
}

static enum kv_status memfs_dir_writable(struct kv_dir *dir)
{
    struct kv_memfs *fs = fs_of(dir->io);
    struct entry entry = enter(fs, KV_MEMFS_DIR_WRITABLE, dir_handle(dir));

    return leave(fs, entry.st == KV_OK ? fail_readonly(fs, dir_handle(dir)->path) : entry.st);
}

/* Bytes that files may still grow by. */
static uint64_t free_bytes(const struct kv_memfs *fs)
{
    uint64_t used = 0;

    if (fs->space_bytes == UINT64_MAX)
        return UINT64_MAX / 2;
    for (const struct memfs_node *node = fs->nodes; node; node = node->next)
        used += node->removed ? 0 : node->size;
    return used < fs->space_bytes ? fs->space_bytes - used : 0;
}

static enum kv_status memfs_dir_free_bytes(struct kv_dir *dir, uint64_t *out)
{
    struct kv_memfs *fs = fs_of(dir->io);
    struct entry entry = enter(fs, KV_MEMFS_DIR_FREE_BYTES, dir_handle(dir));

    *out = free_bytes(fs);
    return leave(fs, entry.st);
}

static enum kv_status rename_in(const struct kv_memfs *fs, const struct memfs_handle *dir,
                                const char *from, const char *to)
{
    struct memfs_node *node = kv_memfs_names_find(&dir->node->cached_names, from);
    struct memfs_node *replaced = kv_memfs_names_find(&dir->node->cached_names, to);

    if (fs->readonly)
        return fail_readonly(fs, dir->path);
    if (!node)
        return kv_fail(KV_NOTFOUND, "%s/%s: cannot rename: No such file", dir->path, from);
    if (node == replaced)
        return KV_OK;
    kv_memfs_change(dir->node, MEMFS_RENAME, to, from, node);
    if (replaced)
        replaced->removed = !kv_memfs_has_name(fs, replaced);
    return KV_OK;
}

static enum kv_status memfs_rename(struct kv_dir *dir, const char *from, const char *to)
{
    struct kv_memfs *fs = fs_of(dir->io);
    struct entry entry = enter(fs, KV_MEMFS_RENAME, dir_handle(dir));

    return leave(fs, entry.st == KV_OK ? rename_in(fs, dir_handle(dir), from, to) : entry.st);
}

static enum kv_status link_into(const struct kv_memfs *fs, const struct memfs_handle *from,
                                const char *name, const struct memfs_handle *to)
{
    struct memfs_node *node = kv_memfs_names_find(&from->node->cached_names, name);

    if (fs->readonly)
        return fail_readonly(fs, to->path);
    if (!node || to->node->removed)
        return kv_fail(KV_NOTFOUND, "%s/%s: cannot link: No such file", from->path, name);
    if (node->is_directory)
        return kv_fail(KV_INVALID, "%s/%s: cannot be linked", from->path, name);
    if (kv_memfs_names_find(&to->node->cached_names, name))
        return kv_fail(KV_EXISTS, "%s/%s: cannot link: File exists", to->path, name);
    kv_memfs_change(to->node, MEMFS_LINK, name, NULL, node);
    return KV_OK;
}

static enum kv_status memfs_link(struct kv_dir *from, const char *name, struct kv_dir *to)
{
    struct kv_memfs *fs = fs_of(to->io);
    struct entry entry = enter(fs, KV_MEMFS_LINK, dir_handle(to));

    return leave(fs, entry.st == KV_OK ? link_into(fs, dir_handle(from), name, dir_handle(to))
                                       : entry.st);
}

static enum kv_status memfs_unlink(struct kv_dir *dir, const char *name)
{
    struct kv_memfs *fs = fs_of(dir->io);
    struct memfs_handle *handle = dir_handle(dir);
    struct entry entry = enter(fs, KV_MEMFS_UNLINK, handle);
    struct memfs_node *node = kv_memfs_names_find(&handle->node->cached_names, name);

    if (entry.st != KV_OK)
        return leave(fs, entry.st);
    if (fs->readonly)
        return leave(fs, fail_readonly(fs, handle->path));
    if (!node)
        return leave(
            fs, kv_fail(KV_NOTFOUND, "%s/%s: cannot remove: No such file", handle->path, name));
    if (node->is_directory)
        return leave(fs,
                     kv_fail(KV_IOERR, "%s/%s: cannot remove: Is a directory", handle->path, name));
    kv_memfs_change(handle->node, MEMFS_UNLINK, name, NULL, node);
    node->removed = !kv_memfs_has_name(fs, node);
    return leave(fs, KV_OK);
}

static enum kv_status memfs_name_identity(struct kv_dir *dir, const char *name,
                                          struct kv_identity *out)
{
    struct kv_memfs *fs = fs_of(dir->io);
    struct memfs_handle *handle = dir_handle(dir);
    struct entry entry = enter(fs, KV_MEMFS_NAME_IDENTITY, handle);
    const struct memfs_node *node = kv_memfs_names_find(&handle->node->cached_names, name);

    if (entry.st != KV_OK)
        return leave(fs, entry.st);
    if (!node)
        return leave(
            fs, kv_fail(KV_NOTFOUND, "%s/%s: cannot examine: No such file", handle->path, name));
    *out = (struct kv_identity){fs->device, node->inode, 0600};
    return leave(fs, KV_OK);
}

/* ---- Files */

/* Find or make the file that is to be opened. */
static enum kv_status file_at(struct kv_memfs *fs, const struct memfs_handle *dir, const char *name,
                              unsigned flags, struct memfs_node **out)
{
    struct memfs_node *node = kv_memfs_names_find(&dir->node->cached_names, name);
    bool create = flags & KV_OPEN_CREATE;

    if (node && create && flags & KV_OPEN_EXCL)
        return kv_fail(KV_EXISTS, "%s/%s: cannot create: File exists", dir->path, name);
    if (node && node->is_directory)
        return kv_fail(KV_INVALID, "%s/%s: not a regular file; move it away", dir->path, name);
    if (!node && (!create || dir->node->removed))
        return kv_fail(KV_NOTFOUND, "%s/%s: cannot open: No such file", dir->path, name);
    if (fs->readonly && (!node || flags & KV_OPEN_WRITE))
        return fail_readonly(fs, dir->path);
    if (!node) {
        node = kv_memfs_node_new(fs, false);
        kv_memfs_change(dir->node, MEMFS_LINK, name, NULL, node);
    }
    *out = node;
    return KV_OK;
}

static enum kv_status memfs_file_open(struct kv_dir *dir, const char *name, unsigned flags,
                                      unsigned mode, struct kv_file **out)
{
    struct kv_memfs *fs = fs_of(dir->io);
    struct entry entry = enter(fs, KV_MEMFS_FILE_OPEN, dir_handle(dir));
    struct memfs_node *node = NULL;
    enum kv_status st = entry.st;

    (void)mode;
    *out = NULL;
    if (st == KV_OK)
        st = file_at(fs, dir_handle(dir), name, flags, &node);
    if (st == KV_OK)
        *out = &handle_new(dir->io, node, join(dir_handle(dir)->path, name), flags & KV_OPEN_WRITE)
                    ->base.file;
    return leave(fs, st);
}

static enum kv_status memfs_file_temporary(struct kv_io *io, struct kv_file **out)
{
    struct kv_memfs *fs = fs_of(io);
    struct entry entry = enter_path(io, KV_MEMFS_FILE_TEMPORARY, "temporary file");
    struct memfs_node *node;

    *out = NULL;
    if (entry.st != KV_OK)
        return leave(fs, entry.st);
    node = kv_memfs_node_new(fs, false);
    node->removed = true;
    *out = &handle_new(io, node, kv_memfs_need(strdup("temporary file")), true)->base.file;
    return leave(fs, KV_OK);
}

static void unlock(struct memfs_node *node, const struct kv_file *owner, uint64_t byte)
{
    for (size_t i = 0; i < node->lock_count; i++)
        if (node->locks[i].owner == owner && (byte == UINT64_MAX || node->locks[i].byte == byte))
            node->locks[i--] = node->locks[--node->lock_count];
}

static void memfs_file_close(struct kv_file *file)
{
    struct kv_memfs *fs = fs_of(file->io);

    pthread_mutex_lock(&fs->mutex);
    unlock(file_handle(file)->node, file, UINT64_MAX);
    pthread_mutex_unlock(&fs->mutex);
    handle_free(file_handle(file));
}

static enum kv_status memfs_file_identity(struct kv_file *file, struct kv_identity *out)
{
    struct kv_memfs *fs = fs_of(file->io);
    struct entry entry = enter(fs, KV_MEMFS_FILE_IDENTITY, file_handle(file));

    if (entry.st == KV_OK)
        *out = (struct kv_identity){fs->device, file_handle(file)->node->inode, 0600};
    return leave(fs, entry.st);
}

static enum kv_status memfs_file_size(struct kv_file *file, uint64_t *out)
{
    struct kv_memfs *fs = fs_of(file->io);
    struct entry entry = enter(fs, KV_MEMFS_FILE_SIZE, file_handle(file));

    if (entry.st == KV_OK)
        *out = file_handle(file)->node->size;
    return leave(fs, entry.st);
}

static enum kv_status memfs_read(struct kv_file *file, uint64_t offset, void *data, size_t size,
                                 size_t *got)
{
    struct kv_memfs *fs = fs_of(file->io);
    struct entry entry = enter(fs, KV_MEMFS_READ, file_handle(file));
    const struct memfs_node *node = file_handle(file)->node;

    *got = 0;
    if (entry.st != KV_OK || offset >= node->size)
        return leave(fs, entry.st);
    *got = size < node->size - offset ? size : (size_t)(node->size - offset);
    memcpy(data, node->cached + offset, *got);
    return leave(fs, KV_OK);
}

/* May the handle change the file so that it reaches up to `end`? */
static enum kv_status may_write(const struct kv_memfs *fs, const struct memfs_handle *handle,
                                uint64_t offset, uint64_t size)
{
    uint64_t end = offset + size;

    if (!handle->writable)
        return kv_fail(KV_IOERR, "%s: cannot write: Bad file descriptor", handle->path);
    if (end < offset || end > KV_MEMFS_FILE_BYTES ||
        (end > handle->node->size && end - handle->node->size > free_bytes(fs)))
        return kv_fail(KV_FULL, "%s: cannot write: No space left on device", handle->path);
    return KV_OK;
}

/* Let the kernel write back what it likes: see kv_memfs_set_write_back. */
static void write_back_some(struct kv_memfs *fs, struct memfs_node *node, uint64_t from,
                            uint64_t to)
{
    if (!fs->write_back_percent)
        return;
    for (uint64_t at = from - from % SECTOR; at < to; at += SECTOR)
        if (kv_memfs_next_random(&fs->random) % 100 < fs->write_back_percent &&
            !(node->lost && node->lost[at / SECTOR]))
            memcpy(node->durable + at, node->cached + at, SECTOR);
}

static void write_bytes(struct kv_memfs *fs, struct memfs_node *node, uint64_t offset,
                        const void *data, size_t size)
{
    if (size == 0)
        return;
    kv_memfs_touch(node, offset + size);
    memcpy(node->cached + offset, data, size);
    if (offset + size > node->size)
        node->size = offset + size;
    kv_memfs_dirty(node, offset, offset + size);
    write_back_some(fs, node, offset, offset + size);
}

static enum kv_status memfs_write(struct kv_file *file, uint64_t offset, const void *data,
                                  size_t size)
{
    struct kv_memfs *fs = fs_of(file->io);
    struct memfs_handle *handle = file_handle(file);
    struct entry entry = enter(fs, KV_MEMFS_WRITE, handle);
    enum kv_status st =
        entry.st == KV_OK || entry.partial ? may_write(fs, handle, offset, size) : entry.st;

    if (st != KV_OK)
        return leave(fs, st);
    if (entry.partial && size)
        size = kv_memfs_next_random(&fs->random) % size;
    write_bytes(fs, handle->node, offset, data, size);
    return leave(fs, entry.st);
}

static enum kv_status memfs_truncate(struct kv_file *file, uint64_t size)
{
    struct kv_memfs *fs = fs_of(file->io);
    struct entry entry = enter(fs, KV_MEMFS_TRUNCATE, file_handle(file));

    if (entry.st == KV_OK)
        entry.st = may_write(fs, file_handle(file), 0, size);
    if (entry.st == KV_OK)
        kv_memfs_resize(file_handle(file)->node, size);
    return leave(fs, entry.st);
}

static enum kv_status memfs_allocate(struct kv_file *file, uint64_t offset, uint64_t size)
{
    struct kv_memfs *fs = fs_of(file->io);
    struct memfs_node *node = file_handle(file)->node;
    struct entry entry = enter(fs, KV_MEMFS_ALLOCATE, file_handle(file));

    if (entry.st == KV_OK)
        entry.st = may_write(fs, file_handle(file), offset, size);
    if (entry.st == KV_OK && size && offset + size > node->size)
        node->size = offset + size;
    return leave(fs, entry.st);
}

static enum kv_status memfs_write_back(struct kv_file *file, uint64_t offset, uint64_t size)
{
    struct kv_memfs *fs = fs_of(file->io);
    struct memfs_node *node = file_handle(file)->node;
    struct entry entry = enter(fs, KV_MEMFS_WRITE_BACK, file_handle(file));
    uint64_t end = offset + size < node->size ? offset + size : node->size;

    if (entry.st == KV_OK)
        write_back_some(fs, node, offset, end);
    return leave(fs, entry.st);
}

/* ---- Syncing */

/* As the kernel does: what could not be written counts as clean, and is never written again. */
static void lose(struct kv_memfs *fs, struct memfs_node *node)
{
    uint64_t from, to;

    kv_memfs_dirty_range(node, &from, &to);
    if (!node->lost)
        node->lost = kv_memfs_need(calloc(KV_MEMFS_FILE_BYTES / SECTOR, 1));
    memset(node->lost + from / SECTOR, 1, (to - from) / SECTOR);
    if (fs->sync_loss)
        memcpy(node->cached + from, node->durable + from, to - from);
}

/* As in a journal: with the change that concerns the file go all of its directory. */
static void sync_names(struct kv_memfs *fs, const struct memfs_node *file)
{
    for (struct memfs_node *node = fs->nodes; node; node = node->next)
        kv_memfs_changes_sync_with(node, file);
}

static enum kv_status sync_as(struct kv_file *file, enum kv_memfs_call call)
{
    struct kv_memfs *fs = fs_of(file->io);
    struct memfs_node *node = file_handle(file)->node;
    struct entry entry = enter(fs, call, file_handle(file));

    if (entry.injected)
        lose(fs, node);
    if (entry.st != KV_OK)
        return leave(fs, entry.st);
    kv_memfs_flush(node);
    if (fs->sync_names)
        sync_names(fs, node);
    return leave(fs, KV_OK);
}

static enum kv_status memfs_sync(struct kv_file *file)
{
    return sync_as(file, KV_MEMFS_SYNC);
}

static enum kv_status memfs_datasync(struct kv_file *file)
{
    return sync_as(file, KV_MEMFS_DATASYNC);
}

/* ---- Locks */

static enum kv_lock_mode conflict(const struct memfs_node *node, const struct kv_file *owner,
                                  uint64_t byte, enum kv_lock_mode mode)
{
    enum kv_lock_mode held = KV_LOCK_NONE;

    for (size_t i = 0; i < node->lock_count; i++) {
        const struct memfs_lock *lock = &node->locks[i];

        if (lock->owner == owner || lock->byte != byte)
            continue;
        if (mode == KV_LOCK_EXCLUSIVE ||
            (mode == KV_LOCK_SHARED && lock->mode == KV_LOCK_EXCLUSIVE))
            held = lock->mode;
    }
    return held;
}

static enum kv_status lock_node(struct memfs_handle *handle, uint64_t byte, enum kv_lock_mode mode)
{
    struct memfs_node *node = handle->node;
    const struct kv_file *owner = &handle->base.file;

    if (mode == KV_LOCK_EXCLUSIVE && !handle->writable)
        return kv_fail(KV_IOERR, "%s: cannot lock: Bad file descriptor", handle->path);
    if (conflict(node, owner, byte, mode) != KV_LOCK_NONE)
        return kv_fail(KV_BUSY, "%s: locked by another process", handle->path);
    unlock(node, owner, byte);
    node->locks =
        kv_memfs_need(realloc(node->locks, (node->lock_count + 1) * sizeof(*node->locks)));
    node->locks[node->lock_count++] = (struct memfs_lock){owner, byte, mode};
    return KV_OK;
}

static enum kv_status memfs_lock(struct kv_file *file, uint64_t byte, enum kv_lock_mode mode)
{
    struct kv_memfs *fs = fs_of(file->io);
    struct entry entry;

    /* Dropping a lock cannot fail, so it is no call to inject a fault into. */
    if (mode == KV_LOCK_NONE) {
        pthread_mutex_lock(&fs->mutex);
        unlock(file_handle(file)->node, file, byte);
        return leave(fs, KV_OK);
    }
    entry = enter(fs, KV_MEMFS_LOCK, file_handle(file));
    return leave(fs, entry.st == KV_OK ? lock_node(file_handle(file), byte, mode) : entry.st);
}

static enum kv_status memfs_lock_test(struct kv_file *file, uint64_t byte, enum kv_lock_mode mode,
                                      enum kv_lock_mode *held)
{
    struct kv_memfs *fs = fs_of(file->io);
    struct entry entry = enter(fs, KV_MEMFS_LOCK_TEST, file_handle(file));

    *held = conflict(file_handle(file)->node, file, byte, mode);
    return leave(fs, entry.st);
}

/* ---- Mappings */

static enum kv_status memfs_map(struct kv_file *file, uint64_t size, bool writable, uint8_t **out)
{
    struct kv_memfs *fs = fs_of(file->io);
    struct memfs_handle *handle = file_handle(file);
    struct entry entry = enter(fs, KV_MEMFS_MAP, handle);

    *out = NULL;
    if (entry.st == KV_OK && size == 0)
        entry.st = kv_fail(KV_IOERR, "%s: cannot map: Invalid argument", handle->path);
    if (entry.st == KV_OK && writable && !handle->writable)
        entry.st = kv_fail(KV_READONLY, "%s: cannot map: Permission denied", handle->path);
    if (entry.st != KV_OK)
        return leave(fs, entry.st);
    handle->node->mapped = true;
    if (writable)
        kv_memfs_touch(handle->node, size);
    handle->node->mapped_writable |= writable;
    *out = handle->node->cached;
    if (writable && fs->others)
        *out = kv_memfs_alias(process_of(file->io), handle->node, size);
    return leave(fs, KV_OK);
}

/* Other mappings are views of the file's own block, which lives as long as the world. */
static void memfs_unmap(struct kv_io *io, const uint8_t *at, uint64_t size)
{
    struct kv_memfs *fs = fs_of(io);

    (void)size;
    pthread_mutex_lock(&fs->mutex);
    kv_memfs_unalias(process_of(io), at);
    pthread_mutex_unlock(&fs->mutex);
}

/* Hints change nothing. */
static void memfs_advise(struct kv_io *io, const uint8_t *at, uint64_t size)
{
    (void)io;
    (void)at;
    (void)size;
}

/* ---- Randomness */

static enum kv_status memfs_random(struct kv_io *io, void *data, size_t size)
{
    struct kv_memfs *fs = fs_of(io);
    struct entry entry = enter_path(io, KV_MEMFS_RANDOM_BYTES, "random bytes");
    uint8_t *out = data;

    for (size_t i = 0; entry.st == KV_OK && i < size; i++)
        out[i] = (uint8_t)kv_memfs_next_random(&fs->random);
    return leave(fs, entry.st);
}

const struct kv_io_ops kv_memfs_ops = {
    .dir_open = memfs_dir_open,
    .dir_create = memfs_dir_create,
    .dir_remove = memfs_dir_remove,
    .dir_close = memfs_dir_close,
    .dir_identity = memfs_dir_identity,
    .dir_list = memfs_dir_list,
    .dir_sync = memfs_dir_sync,
    .dir_writable = memfs_dir_writable,
    .dir_free_bytes = memfs_dir_free_bytes,
    .rename = memfs_rename,
    .link = memfs_link,
    .unlink = memfs_unlink,
    .name_identity = memfs_name_identity,
    .file_open = memfs_file_open,
    .file_temporary = memfs_file_temporary,
    .file_close = memfs_file_close,
    .file_identity = memfs_file_identity,
    .file_size = memfs_file_size,
    .read = memfs_read,
    .write = memfs_write,
    .truncate = memfs_truncate,
    .allocate = memfs_allocate,
    .write_back = memfs_write_back,
    .sync = memfs_sync,
    .datasync = memfs_datasync,
    .lock = memfs_lock,
    .lock_test = memfs_lock_test,
    .map = memfs_map,
    .unmap = memfs_unmap,
    .advise_random = memfs_advise,
    .advise_soon = memfs_advise,
    .now_ms = kv_memfs_now_ms,
    .monotonic_ms = kv_memfs_monotonic_ms,
    .huge_bytes = KV_MEMFS_HUGE_BYTES,
    .sleep_ms = kv_memfs_sleep_ms,
    .random = memfs_random,
};
