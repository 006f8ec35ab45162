/*
 * The only door to the operating system: files, directories, mappings, locks,
 * clocks, randomness. Everything above calls the kv_io_… functions below, so
 * that tests can put another world behind them.
 *
 * Errors. An implementation translates errno into enum kv_status and sets the
 * message: "<directory>/<file>: cannot <verb>: <strerror>". ENOSPC and EDQUOT
 * are KV_FULL; ENOENT is KV_NOTFOUND; EEXIST is KV_EXISTS; EROFS, EACCES and
 * EPERM are KV_READONLY when asked to write or create and KV_IOERR otherwise;
 * ENOMEM is KV_NOMEM; all else KV_IOERR. EINTR and short transfers are
 * finished inside. The functions below note what a KV_IOERR was about (kv_io_cause).
 *
 * Durability. Bytes of a file are durable after kv_io_sync or kv_io_datasync of
 * it returned KV_OK, names after kv_io_dir_sync of their directory. A failed
 * sync is never repeated on the same file: the kernel forgets what it lost.
 *
 * Ownership. A kv_dir outlives the kv_files opened in it. Mappings outlive
 * their file's handle, and a name's removal. Handles may be used by several
 * threads at once.
 */
#ifndef KV_IO_H
#define KV_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "slice.h"
#include "status.h"

struct kv_io;   /* one world; implementations embed it first */
struct kv_dir;  /* an open directory */
struct kv_file; /* an open file */

enum kv_open_flags {
    KV_OPEN_WRITE = 1 << 0,  /* read and write; else read only */
    KV_OPEN_CREATE = 1 << 1, /* create it; with KV_OPEN_EXCL it must not exist */
    KV_OPEN_EXCL = 1 << 2,
};

enum kv_lock_mode { KV_LOCK_NONE, KV_LOCK_SHARED, KV_LOCK_EXCLUSIVE };

/* What identifies a file or directory on this machine while it exists, and who may use it. */
struct kv_identity {
    uint64_t device;
    uint64_t inode;
    unsigned mode; /* permission bits; 0 for a symbolic link, which has none of its own */
};

struct kv_io_ops {
    enum kv_status (*dir_open)(struct kv_io *io, const char *path, struct kv_dir **out);
    enum kv_status (*dir_create)(struct kv_io *io, const char *path, unsigned mode);
    enum kv_status (*dir_remove)(struct kv_io *io, const char *path);
    void (*dir_close)(struct kv_dir *dir);
    enum kv_status (*dir_identity)(struct kv_dir *dir, struct kv_identity *out);
    enum kv_status (*dir_list)(struct kv_dir *dir,
                               enum kv_status (*each)(void *context, const char *name),
                               void *context);
    enum kv_status (*dir_sync)(struct kv_dir *dir);
    enum kv_status (*dir_writable)(struct kv_dir *dir);
    enum kv_status (*dir_free_bytes)(struct kv_dir *dir, uint64_t *out);
    enum kv_status (*rename)(struct kv_dir *dir, const char *from, const char *to);
    enum kv_status (*link)(struct kv_dir *from, const char *name, struct kv_dir *to);
    enum kv_status (*unlink)(struct kv_dir *dir, const char *name);
    enum kv_status (*name_identity)(struct kv_dir *dir, const char *name, struct kv_identity *out);

    enum kv_status (*file_open)(struct kv_dir *dir, const char *name, unsigned flags, unsigned mode,
                                struct kv_file **out);
    enum kv_status (*file_temporary)(struct kv_io *io, struct kv_file **out);
    void (*file_close)(struct kv_file *file);
    enum kv_status (*file_identity)(struct kv_file *file, struct kv_identity *out);
    enum kv_status (*file_size)(struct kv_file *file, uint64_t *out);
    enum kv_status (*read)(struct kv_file *file, uint64_t offset, void *data, size_t size,
                           size_t *got);
    enum kv_status (*write)(struct kv_file *file, uint64_t offset, const void *data, size_t size);
    enum kv_status (*truncate)(struct kv_file *file, uint64_t size);
    enum kv_status (*allocate)(struct kv_file *file, uint64_t offset, uint64_t size);
    enum kv_status (*write_back)(struct kv_file *file, uint64_t offset, uint64_t size);
    enum kv_status (*sync)(struct kv_file *file);
    enum kv_status (*datasync)(struct kv_file *file);
    enum kv_status (*lock)(struct kv_file *file, uint64_t byte, enum kv_lock_mode mode);
    enum kv_status (*lock_test)(struct kv_file *file, uint64_t byte, enum kv_lock_mode mode,
                                enum kv_lock_mode *held);

    enum kv_status (*map)(struct kv_file *file, uint64_t size, bool writable, uint8_t **out);
    void (*unmap)(struct kv_io *io, const uint8_t *at, uint64_t size);
    void (*advise_random)(struct kv_io *io, const uint8_t *at, uint64_t size);
    void (*advise_soon)(struct kv_io *io, const uint8_t *at, uint64_t size);

    uint64_t (*now_ms)(struct kv_io *io);
    uint64_t (*monotonic_ms)(struct kv_io *io);
    void (*sleep_ms)(struct kv_io *io, unsigned ms);
    enum kv_status (*random)(struct kv_io *io, void *data, size_t size);

    uint64_t huge_bytes; /* see huge.h */
};

/* Embed as the first member of each implementation; so do the two below. */
struct kv_io {
    const struct kv_io_ops *ops;
};

struct kv_dir {
    struct kv_io *io;
};

struct kv_file {
    struct kv_io *io;
};

/* The real system (Linux). Never freed; the same for every caller. */
struct kv_io *kv_io_posix(void);

/* ---- Memory */

/*
 * Zeroed memory that costs nothing until it is touched; NULL: out of memory.
 * For large tables that stay mostly empty: the heap gives them memory that was used before,
 * which is then zeroed as a whole, and stays resident.
 */
void *kv_io_pages_new(size_t size);
void kv_io_pages_free(void *pages, size_t size); /* NULL is fine */

/* Most of it is going to be touched, in no order: huge pages would serve it well. A hint. */
void kv_io_pages_expect_all(void *pages, size_t size);

/* ---- Directories */

/* Open an existing directory; symbolic links in `path` are followed. A path that is no directory: KV_INVALID. */
static inline enum kv_status kv_io_dir_open(struct kv_io *io, const char *path, struct kv_dir **out)
{
    return io->ops->dir_open(io, path, out);
}

/* Create one directory (its parent exists), with the permission bits `mode`. KV_EXISTS if the name is taken. */
static inline enum kv_status kv_io_dir_create(struct kv_io *io, const char *path, unsigned mode)
{
    return io->ops->dir_create(io, path, mode);
}

/* Remove an empty directory. KV_EXISTS if it is not empty. */
static inline enum kv_status kv_io_dir_remove(struct kv_io *io, const char *path)
{
    return io->ops->dir_remove(io, path);
}

/* Close; NULL is fine. */
static inline void kv_io_dir_close(struct kv_dir *dir)
{
    if (dir)
        dir->io->ops->dir_close(dir);
}

static inline enum kv_status kv_io_dir_identity(struct kv_dir *dir, struct kv_identity *out)
{
    return kv_io_note(KV_IO_EXAMINE, dir->io->ops->dir_identity(dir, out));
}

/* Call `each` for every name but "." and "..", in no order; what it returns other than KV_OK ends the listing. */
static inline enum kv_status kv_io_dir_list(struct kv_dir *dir,
                                            enum kv_status (*each)(void *context, const char *name),
                                            void *context)
{
    return dir->io->ops->dir_list(dir, each, context);
}

/* Make creations, renames and removals of names durable. */
static inline enum kv_status kv_io_dir_sync(struct kv_dir *dir)
{
    return kv_io_note(KV_IO_DIR_SYNC, dir->io->ops->dir_sync(dir));
}

/* KV_OK if this process may create files there, else KV_READONLY. */
static inline enum kv_status kv_io_dir_writable(struct kv_dir *dir)
{
    return dir->io->ops->dir_writable(dir);
}

/* Bytes that this process may still allocate on the file system. */
static inline enum kv_status kv_io_dir_free_bytes(struct kv_dir *dir, uint64_t *out)
{
    return dir->io->ops->dir_free_bytes(dir, out);
}

/* Atomically give `from` the name `to`, replacing what has it. */
static inline enum kv_status kv_io_rename(struct kv_dir *dir, const char *from, const char *to)
{
    return dir->io->ops->rename(dir, from, to);
}

/*
 * Give a file of `from` the same name in `to` as well; it is one file then, with two names.
 * KV_EXISTS: the name is taken there; KV_NOTFOUND: no such file; KV_INVALID: that
 * cannot be (another file system, too many names, not the owner): copy it.
 */
static inline enum kv_status kv_io_link(struct kv_dir *from, const char *name, struct kv_dir *to)
{
    return from->io->ops->link(from, name, to);
}

static inline enum kv_status kv_io_unlink(struct kv_dir *dir, const char *name)
{
    return kv_io_note(KV_IO_REMOVE, dir->io->ops->unlink(dir, name));
}

/* The identity of the file that has a name now, links not followed. */
static inline enum kv_status kv_io_name_identity(struct kv_dir *dir, const char *name,
                                                 struct kv_identity *out)
{
    return kv_io_note(KV_IO_EXAMINE, dir->io->ops->name_identity(dir, name, out));
}

/* ---- Files */

/*
 * Open a regular file by name: never through a symbolic link, never blocking
 * on a FIFO (KV_INVALID for anything but a regular file). `flags` is a set of
 * enum kv_open_flags; `mode` the permission bits of a created file.
 */
static inline enum kv_status kv_io_file_open(struct kv_dir *dir, const char *name, unsigned flags,
                                             unsigned mode, struct kv_file **out)
{
    return dir->io->ops->file_open(dir, name, flags, mode, out);
}

/* A new file without a name, under TMPDIR; gone when closed and unmapped. */
static inline enum kv_status kv_io_file_temporary(struct kv_io *io, struct kv_file **out)
{
    return io->ops->file_temporary(io, out);
}

/* Close; NULL is fine. Releases the locks held through this handle. */
static inline void kv_io_file_close(struct kv_file *file)
{
    if (file)
        file->io->ops->file_close(file);
}

static inline enum kv_status kv_io_file_identity(struct kv_file *file, struct kv_identity *out)
{
    return kv_io_note(KV_IO_EXAMINE, file->io->ops->file_identity(file, out));
}

static inline enum kv_status kv_io_file_size(struct kv_file *file, uint64_t *out)
{
    return kv_io_note(KV_IO_EXAMINE, file->io->ops->file_size(file, out));
}

/* Read up to `size` bytes; fewer only at the end of the file. */
static inline enum kv_status kv_io_read(struct kv_file *file, uint64_t offset, void *data,
                                        size_t size, size_t *got)
{
    return kv_io_note(KV_IO_READ, file->io->ops->read(file, offset, data, size, got));
}

/* Write all of it, growing the file if needed. On failure part may be written. */
static inline enum kv_status kv_io_write(struct kv_file *file, uint64_t offset, const void *data,
                                         size_t size)
{
    return kv_io_note(KV_IO_WRITE, file->io->ops->write(file, offset, data, size));
}

static inline enum kv_status kv_io_truncate(struct kv_file *file, uint64_t size)
{
    return kv_io_note(KV_IO_RESIZE, file->io->ops->truncate(file, size));
}

/* Reserve disk space for a range and extend the file over it; new bytes read as 0. */
static inline enum kv_status kv_io_allocate(struct kv_file *file, uint64_t offset, uint64_t size)
{
    return kv_io_note(KV_IO_RESIZE, file->io->ops->allocate(file, offset, size));
}

/* Start writing a range to disk without waiting; promises nothing. */
static inline enum kv_status kv_io_write_back(struct kv_file *file, uint64_t offset, uint64_t size)
{
    return file->io->ops->write_back(file, offset, size);
}

static inline enum kv_status kv_io_sync(struct kv_file *file)
{
    return kv_io_note(KV_IO_SYNC, file->io->ops->sync(file));
}

/* As kv_io_sync, without times and other attributes that reading does not need. */
static inline enum kv_status kv_io_datasync(struct kv_file *file)
{
    return kv_io_note(KV_IO_SYNC, file->io->ops->datasync(file));
}

/*
 * Take, change or drop (KV_LOCK_NONE) the lock on one byte, without waiting.
 * Locks belong to this handle (open file description), not to the process; a
 * conversion is atomic. KV_BUSY if another handle's lock is in the way.
 * A shared lock works on a read-only handle, an exclusive one needs write.
 */
static inline enum kv_status kv_io_lock(struct kv_file *file, uint64_t byte, enum kv_lock_mode mode)
{
    return kv_io_note(KV_IO_LOCK, file->io->ops->lock(file, byte, mode));
}

/* What lock of another handle would refuse `mode`: *held is NONE, SHARED or EXCLUSIVE. */
static inline enum kv_status kv_io_lock_test(struct kv_file *file, uint64_t byte,
                                             enum kv_lock_mode mode, enum kv_lock_mode *held)
{
    return kv_io_note(KV_IO_LOCK, file->io->ops->lock_test(file, byte, mode, held));
}

/* ---- Mappings */

/*
 * Map the first `size` bytes of a file, shared. `size` may lie past the end of
 * the file: bytes there must not be touched until the file has grown over
 * them. What other handles write shows at once.
 */
static inline enum kv_status kv_io_map(struct kv_file *file, uint64_t size, bool writable,
                                       uint8_t **out)
{
    return kv_io_note(KV_IO_MAP, file->io->ops->map(file, size, writable, out));
}

/* Undo part of a mapping: `at` and, except for its tail, `size` are multiples of the page size. NULL is fine. */
static inline void kv_io_unmap(struct kv_io *io, const uint8_t *at, uint64_t size)
{
    if (at && size)
        io->ops->unmap(io, at, size);
}

/* Hint: a mapping, from its beginning, will be read here and there, not in sequence. */
static inline void kv_io_advise_random(struct kv_io *io, const uint8_t *at, uint64_t size)
{
    io->ops->advise_random(io, at, size);
}

/* Hint: any part of a mapping will be read soon. Starts reading it without waiting. */
static inline void kv_io_advise_soon(struct kv_io *io, const uint8_t *at, uint64_t size)
{
    io->ops->advise_soon(io, at, size);
}

/* ---- Clocks and randomness */

/* Wall clock, ms since 1970. May jump. */
static inline uint64_t kv_io_now_ms(struct kv_io *io)
{
    return io->ops->now_ms(io);
}

/* A clock that only goes forwards; its zero means nothing. Cheap: no system call on the hot path. */
static inline uint64_t kv_io_monotonic_ms(struct kv_io *io)
{
    return io->ops->monotonic_ms(io);
}

static inline void kv_io_sleep_ms(struct kv_io *io, unsigned ms)
{
    io->ops->sleep_ms(io, ms);
}

/* Unpredictable bytes. */
static inline enum kv_status kv_io_random(struct kv_io *io, void *data, size_t size)
{
    return io->ops->random(io, data, size);
}

#endif
