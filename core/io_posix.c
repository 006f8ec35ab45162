/*
 * The real world behind io.h: Linux files, mappings, OFD locks, clocks.
 *
 * The only file of the engine that makes system calls, and the only one that
 * knows errno. Every handle carries its path, because every failure names it.
 * Nothing here has state of its own: handles are immutable once open, so that
 * threads share them without locks.
 */
#include "huge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "mutant.h"

struct posix_dir {
    struct kv_dir base;
    int fd;
    char path[]; /* as given to dir_open */
};

struct posix_file {
    struct kv_file base;
    int fd;
    char path[]; /* <directory>/<file> */
};

enum { PIECE_BYTES = 32 * 1024 };

/* Were we asked to change something? Then "permission denied" means that the store is read-only. */
enum purpose { READS, CHANGES };

static const struct posix_dir *dir_of(const struct kv_dir *dir)
{
    return (const struct posix_dir *)dir;
}

static const struct posix_file *file_of(const struct kv_file *file)
{
    return (const struct posix_file *)file;
}

/* ---- Errors */

static enum kv_status status_of(int error, enum purpose purpose)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT: return KV_FULL;
    case ENOENT: return KV_NOTFOUND;
    case EEXIST: return KV_EXISTS;
    case ENOMEM: return KV_NOMEM;
    case ENOTDIR: return KV_INVALID;
    case EROFS:
    case EACCES:
    case EPERM: return purpose == CHANGES ? KV_READONLY : KV_IOERR;
    default: return KV_IOERR;
    }
}

static enum kv_status fail_path(const char *path, const char *verb, enum purpose purpose)
{
    int error = errno;
    char text[128];

    return kv_fail(status_of(error, purpose), "%s: cannot %s: %s", path, verb,
                   strerror_r(error, text, sizeof(text)));
}

static enum kv_status fail_name(const struct kv_dir *dir, const char *name, const char *verb,
                                enum purpose purpose)
{
    int error = errno;
    char text[128];

    return kv_fail(status_of(error, purpose), "%s/%s: cannot %s: %s", dir_of(dir)->path, name, verb,
                   strerror_r(error, text, sizeof(text)));
}

static enum kv_status fail_file(const struct kv_file *file, const char *verb, enum purpose purpose)
{
    return fail_path(file_of(file)->path, verb, purpose);
}

static struct kv_identity identity_of(const struct stat *stat)
{
    return (struct kv_identity){.device = stat->st_dev,
                                .inode = stat->st_ino,
                                .mode = S_ISLNK(stat->st_mode) ? 0 : stat->st_mode & 0777};
}

/*
 * Undo what the umask took away: the caller chose the bits, usually those of
 * the main database, and users who may write that must be able to write here.
 * Best effort, since the file works for its owner in any case.
 */
static void set_mode(int fd, const struct stat *stat, unsigned mode)
{
    if ((stat->st_mode & 0777) != mode)
        fchmod(fd, (mode_t)mode);
}

/* ---- Directories */

static enum kv_status posix_dir_open(struct kv_io *io, const char *path, struct kv_dir **out)
{
    size_t path_bytes = strlen(path) + 1;
    struct posix_dir *dir;

    *out = NULL;
    dir = malloc(sizeof(*dir) + path_bytes);
    if (!dir)
        return kv_fail_nomem();
    dir->base.io = io;
    memcpy(dir->path, path, path_bytes);
    dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->fd < 0) {
        enum kv_status st = fail_path(path, "open the directory", READS);
        free(dir);
        return st;
    }
    *out = &dir->base;
    return KV_OK;
}

static enum kv_status posix_dir_create(struct kv_io *io, const char *path, unsigned mode)
{
    struct stat stat;
    int fd;

    (void)io;
    if (mkdir(path, (mode_t)mode) != 0)
        return fail_path(path, "create the directory", CHANGES);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return KV_OK; /* it is there; see set_mode */
    if (fstat(fd, &stat) == 0)
        set_mode(fd, &stat, mode);
    close(fd);
    return KV_OK;
}

static enum kv_status posix_dir_remove(struct kv_io *io, const char *path)
{
    (void)io;
    if (rmdir(path) == 0)
        return KV_OK;
    if (errno == ENOTEMPTY)
        errno = EEXIST; /* POSIX allows either for a directory that is not empty */
    return fail_path(path, "remove the directory", CHANGES);
}

static void posix_dir_close(struct kv_dir *dir)
{
    close(dir_of(dir)->fd);
    free(dir);
}

static enum kv_status posix_dir_identity(struct kv_dir *dir, struct kv_identity *out)
{
    struct stat stat;

    if (fstat(dir_of(dir)->fd, &stat) != 0)
        return fail_path(dir_of(dir)->path, "examine the directory", READS);
    *out = identity_of(&stat);
    return KV_OK;
}

static enum kv_status list_stream(const struct kv_dir *dir, DIR *stream,
                                  enum kv_status (*each)(void *context, const char *name),
                                  void *context)
{
    for (;;) {
        const struct dirent *entry;
        enum kv_status st;

        errno = 0;
        entry = readdir(stream);
        if (!entry)
            return errno ? fail_path(dir_of(dir)->path, "list the directory", READS) : KV_OK;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        st = each(context, entry->d_name);
        if (st != KV_OK)
            return st;
    }
}

static enum kv_status posix_dir_list(struct kv_dir *dir,
                                     enum kv_status (*each)(void *context, const char *name),
                                     void *context)
{
    /* A description of its own, since threads may list through one handle at once. */
    int fd = openat(dir_of(dir)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    enum kv_status st;

    if (!stream) {
        st = fail_path(dir_of(dir)->path, "list the directory", READS);
        if (fd >= 0)
            close(fd);
        return st;
    }
    st = list_stream(dir, stream, each, context);
    closedir(stream);
    return st;
}

static enum kv_status posix_dir_sync(struct kv_dir *dir)
{
    if (fsync(dir_of(dir)->fd) != 0)
        return fail_path(dir_of(dir)->path, "sync the directory", CHANGES);
    return KV_OK;
}

static enum kv_status posix_dir_writable(struct kv_dir *dir)
{
    if (faccessat(dir_of(dir)->fd, ".", W_OK | X_OK, AT_EACCESS) != 0)
        return fail_path(dir_of(dir)->path, "write to the directory", CHANGES);
    return KV_OK;
}

static enum kv_status posix_dir_free_bytes(struct kv_dir *dir, uint64_t *out)
{
    struct statvfs space;

    if (fstatvfs(dir_of(dir)->fd, &space) != 0)
        return fail_path(dir_of(dir)->path, "ask for the free space", READS);
    *out = (uint64_t)space.f_bavail * space.f_frsize;
    return KV_OK;
}

static enum kv_status posix_rename(struct kv_dir *dir, const char *from, const char *to)
{
    int fd = dir_of(dir)->fd;

    if (renameat(fd, from, fd, to) != 0)
        return fail_name(dir, from, "rename", CHANGES);
    return KV_OK;
}

/* Does this error say that there can be no link, but a copy? */
static bool forbids_link(int error)
{
    return error == EXDEV || error == EMLINK || error == EPERM || error == EOPNOTSUPP ||
           error == ENOSYS;
}

static enum kv_status posix_link(struct kv_dir *from, const char *name, struct kv_dir *to)
{
    if (linkat(dir_of(from)->fd, name, dir_of(to)->fd, name, 0) == 0)
        return KV_OK;
    if (forbids_link(errno))
        return kv_fail(KV_INVALID, "%s/%s: cannot be linked from %s", dir_of(to)->path, name,
                       dir_of(from)->path);
    return fail_name(to, name, "link", CHANGES);
}

static enum kv_status posix_unlink(struct kv_dir *dir, const char *name)
{
    if (unlinkat(dir_of(dir)->fd, name, 0) != 0)
        return fail_name(dir, name, "remove", CHANGES);
    return KV_OK;
}

static enum kv_status posix_name_identity(struct kv_dir *dir, const char *name,
                                          struct kv_identity *out)
{
    struct stat stat;

    if (fstatat(dir_of(dir)->fd, name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
        return fail_name(dir, name, "examine", READS);
    *out = identity_of(&stat);
    return KV_OK;
}

/* ---- Opening files */

static struct posix_file *file_new(struct kv_io *io, const char *directory, const char *name)
{
    size_t path_bytes = strlen(directory) + strlen(name) + 2;
    struct posix_file *file = malloc(sizeof(*file) + path_bytes);

    if (!file)
        return NULL;
    file->base.io = io;
    file->fd = -1;
    snprintf(file->path, path_bytes, "%s/%s", directory, name);
    return file;
}

static void posix_file_close(struct kv_file *file)
{
    if (file_of(file)->fd >= 0)
        close(file_of(file)->fd);
    free(file);
}

static enum kv_status fail_not_regular(const struct posix_file *file)
{
    return kv_fail(KV_INVALID, "%s: not a regular file; move it away", file->path);
}

static enum kv_status open_regular(struct posix_file *file, int dir_fd, const char *name,
                                   unsigned flags, unsigned mode)
{
    int how = flags & KV_OPEN_WRITE ? O_RDWR : O_RDONLY;
    enum purpose purpose = flags & (KV_OPEN_WRITE | KV_OPEN_CREATE) ? CHANGES : READS;
    struct stat stat;

    if (flags & KV_OPEN_CREATE)
        how |= flags & KV_OPEN_EXCL ? O_CREAT | O_EXCL : O_CREAT;
    /* O_NONBLOCK is for the FIFO or device that stands where a file should; a file ignores it. */
    how |= O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    do
        file->fd = openat(dir_fd, name, how, (mode_t)mode);
    while (file->fd < 0 && errno == EINTR);

    if (file->fd < 0) {
        /* What open says of a symbolic link, a directory and a socket. */
        if (errno == ELOOP || errno == EISDIR || errno == ENXIO)
            return fail_not_regular(file);
        return fail_path(file->path, flags & KV_OPEN_CREATE ? "create" : "open", purpose);
    }
    if (fstat(file->fd, &stat) != 0)
        return fail_path(file->path, "examine", READS);
    if (!S_ISREG(stat.st_mode))
        return fail_not_regular(file);
    if (flags & KV_OPEN_CREATE && stat.st_size == 0)
        set_mode(file->fd, &stat, mode);
    return KV_OK;
}

static enum kv_status posix_file_open(struct kv_dir *dir, const char *name, unsigned flags,
                                      unsigned mode, struct kv_file **out)
{
    struct posix_file *file = file_new(dir->io, dir_of(dir)->path, name);
    enum kv_status st;

    *out = NULL;
    if (!file)
        return kv_fail_nomem();
    st = open_regular(file, dir_of(dir)->fd, name, flags, mode);
    if (st != KV_OK) {
        posix_file_close(&file->base);
        return st;
    }
    *out = &file->base;
    return KV_OK;
}

/* A file under the name `file->path`, whose last six bytes are XXXXXX, that loses it at once. */
static int open_unlinked(struct posix_file *file)
{
    int fd = mkostemp(file->path, O_CLOEXEC);

    if (fd >= 0 && unlink(file->path) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static enum kv_status posix_file_temporary(struct kv_io *io, struct kv_file **out)
{
    const char *directory = secure_getenv("TMPDIR");
    struct posix_file *file;

    *out = NULL;
    if (!directory || !*directory)
        directory = P_tmpdir;
    file = file_new(io, directory, "sqlite-kv-XXXXXX");
    if (!file)
        return kv_fail_nomem();
    file->fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file->fd < 0) /* a file system without O_TMPFILE; any other cause fails here again */
        file->fd = open_unlinked(file);
    if (file->fd < 0) {
        enum kv_status st = fail_path(directory, "create a temporary file", CHANGES);
        posix_file_close(&file->base);
        return st;
    }
    *out = &file->base;
    return KV_OK;
}

static enum kv_status posix_file_identity(struct kv_file *file, struct kv_identity *out)
{
    struct stat stat;

    if (fstat(file_of(file)->fd, &stat) != 0)
        return fail_file(file, "examine", READS);
    *out = identity_of(&stat);
    return KV_OK;
}

static enum kv_status posix_file_size(struct kv_file *file, uint64_t *out)
{
    struct stat stat;

    if (fstat(file_of(file)->fd, &stat) != 0)
        return fail_file(file, "examine", READS);
    *out = (uint64_t)stat.st_size;
    return KV_OK;
}

/* ---- Reading, writing, syncing */

static enum kv_status posix_read(struct kv_file *file, uint64_t offset, void *data, size_t size,
                                 size_t *got)
{
    *got = 0;
    while (*got < size) {
        ssize_t count =
            pread(file_of(file)->fd, (char *)data + *got, size - *got, (off_t)(offset + *got));

        if (count == 0)
            return KV_OK; /* the end of the file */
        if (count > 0)
            *got += (size_t)count;
        else if (errno != EINTR)
            return fail_file(file, "read", READS);
    }
    return KV_OK;
}

/*
 * How much of a write goes to the kernel at once: a whole huge page (huge.h), or else up to the
 * next multiple of PIECE_BYTES.
 *
 * The page cache takes memory in blocks as large as a write, and what is free in
 * large blocks is memory that nobody has used for long: not in any cache, and in
 * a virtual machine perhaps given back to its host, which every page of it then
 * waits for. Smaller blocks are left over from recent use. Measured on such
 * a machine: 1.0 µs a page in pieces, 5.6 µs in writes of 256 KiB, 9 µs of 1 MiB;
 * where all memory is in use anyway, pieces cost 0.1 µs a page more.
 */
static size_t piece_size(uint64_t offset, size_t size)
{
    size_t room = PIECE_BYTES - (size_t)(offset % PIECE_BYTES);

    if (offset % KV_HUGE_MAX_BYTES == 0 && size >= KV_HUGE_MAX_BYTES)
        return KV_HUGE_MAX_BYTES;
    return size < room ? size : room;
}

static enum kv_status posix_write(struct kv_file *file, uint64_t offset, const void *data,
                                  size_t size)
{
    size_t done = 0;

    while (done < size) {
        size_t piece = piece_size(offset + done, size - done);
        ssize_t count =
            pwrite(file_of(file)->fd, (const char *)data + done, piece, (off_t)(offset + done));

        if (count > 0)
            done += KV_MUTANT(short_write_ignored) ? piece : (size_t)count;
        else if (count == 0 || errno != EINTR)
            return fail_file(file, "write", CHANGES);
    }
    return KV_OK;
}

static enum kv_status posix_truncate(struct kv_file *file, uint64_t size)
{
    int failed;

    do
        failed = ftruncate(file_of(file)->fd, (off_t)size);
    while (failed && errno == EINTR);
    return failed ? fail_file(file, "change the size", CHANGES) : KV_OK;
}

/*
 * Where fallocate is not supported: write zeros behind the end of the file.
 * What is already there keeps its bytes, and its holes.
 */
static enum kv_status allocate_by_writing(struct kv_file *file, uint64_t offset, uint64_t size)
{
    static const uint8_t zeros[64 * 1024];
    uint64_t end = offset + size;
    uint64_t at;
    enum kv_status st = posix_file_size(file, &at);

    if (st != KV_OK)
        return st;
    if (at < offset)
        at = offset;
    while (st == KV_OK && at < end) {
        size_t step = end - at < sizeof(zeros) ? (size_t)(end - at) : sizeof(zeros);

        st = posix_write(file, at, zeros, step);
        at += step;
    }
    return st;
}

static enum kv_status posix_allocate(struct kv_file *file, uint64_t offset, uint64_t size)
{
    int failed;

    if (size == 0)
        return KV_OK;
    do
        failed = fallocate(file_of(file)->fd, 0, (off_t)offset, (off_t)size);
    while (failed && errno == EINTR);
    if (!failed)
        return KV_OK;
    if (errno == EOPNOTSUPP || errno == ENOSYS)
        return allocate_by_writing(file, offset, size);
    return fail_file(file, "allocate space", CHANGES);
}

static enum kv_status posix_write_back(struct kv_file *file, uint64_t offset, uint64_t size)
{
    int fd = file_of(file)->fd;

    /* To the kernel a size of 0 means "up to the end". */
    if (size == 0 || sync_file_range(fd, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE) == 0 ||
        errno == ENOSYS)
        return KV_OK;
    return fail_file(file, "start writing back", CHANGES);
}

/* Not even EINTR is worth a second try: what the first one lost, the second would not report. */
static enum kv_status posix_sync(struct kv_file *file)
{
    return fsync(file_of(file)->fd) == 0 ? KV_OK : fail_file(file, "sync", CHANGES);
}

static enum kv_status posix_datasync(struct kv_file *file)
{
    return fdatasync(file_of(file)->fd) == 0 ? KV_OK : fail_file(file, "sync", CHANGES);
}

/* ---- Locks */

static struct flock lock_on(uint64_t byte, enum kv_lock_mode mode)
{
    static const short types[] = {
        [KV_LOCK_NONE] = F_UNLCK,
        [KV_LOCK_SHARED] = F_RDLCK,
        [KV_LOCK_EXCLUSIVE] = F_WRLCK,
    };

    return (struct flock){
        .l_type = types[mode], .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
}

static enum kv_status posix_lock(struct kv_file *file, uint64_t byte, enum kv_lock_mode mode)
{
    struct flock lock = lock_on(byte, mode);
    int failed;

    do
        failed = fcntl(file_of(file)->fd, F_OFD_SETLK, &lock);
    while (failed && errno == EINTR);
    if (!failed)
        return KV_OK;
    if (errno == EAGAIN || errno == EACCES)
        return kv_fail(KV_BUSY, "%s: locked by another process", file_of(file)->path);
    return fail_file(file, "lock", READS);
}

static enum kv_status posix_lock_test(struct kv_file *file, uint64_t byte, enum kv_lock_mode mode,
                                      enum kv_lock_mode *held)
{
    struct flock lock = lock_on(byte, mode);

    *held = KV_LOCK_NONE;
    if (mode == KV_LOCK_NONE)
        return KV_OK; /* nothing refuses to drop a lock */
    if (fcntl(file_of(file)->fd, F_OFD_GETLK, &lock) != 0)
        return fail_file(file, "ask about a lock", READS);
    if (lock.l_type != F_UNLCK)
        *held = lock.l_type == F_RDLCK ? KV_LOCK_SHARED : KV_LOCK_EXCLUSIVE;
    return KV_OK;
}

/* ---- Memory and mappings */

void *kv_io_pages_new(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return pages == MAP_FAILED ? NULL : pages;
}

void kv_io_pages_free(void *pages, size_t size)
{
    if (pages)
        munmap(pages, size);
}

void kv_io_pages_expect_all(void *pages, size_t size)
{
    madvise(pages, size, MADV_HUGEPAGE);
}

static enum kv_status posix_map(struct kv_file *file, uint64_t size, bool writable, uint8_t **out)
{
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *at = mmap(NULL, size, protection, MAP_SHARED | MAP_NORESERVE, file_of(file)->fd, 0);

    *out = NULL;
    if (at == MAP_FAILED)
        return fail_file(file, "map", writable ? CHANGES : READS);
    *out = at;
    return KV_OK;
}

static void posix_unmap(struct kv_io *io, const uint8_t *at, uint64_t size)
{
    (void)io;
    munmap((void *)at, size);
}

static void posix_advise_random(struct kv_io *io, const uint8_t *at, uint64_t size)
{
    (void)io;
    madvise((void *)at, size, MADV_RANDOM);
}

/* Of one call Linux reads no more than the device's readahead, 128 KiB unless somebody has set it, and forgets the rest. */
static void posix_advise_soon(struct kv_io *io, const uint8_t *at, uint64_t size)
{
    enum { STEP_BYTES = 128 * 1024 };
    uint64_t extra = (uintptr_t)at % (uint64_t)sysconf(_SC_PAGESIZE);

    (void)io;
    at -= extra;
    size += extra;
    for (uint64_t done = 0; done < size; done += STEP_BYTES)
        madvise((void *)(at + done), size - done < STEP_BYTES ? size - done : STEP_BYTES,
                MADV_WILLNEED);
}

/* ---- Clocks and randomness */

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t posix_now_ms(struct kv_io *io)
{
    (void)io;
    return clock_ms(CLOCK_REALTIME);
}

static uint64_t posix_monotonic_ms(struct kv_io *io)
{
    (void)io;
    return clock_ms(CLOCK_MONOTONIC_COARSE); /* exact to some ms, and never a system call */
}

static void posix_sleep_ms(struct kv_io *io, unsigned ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)io;
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

static enum kv_status posix_random(struct kv_io *io, void *data, size_t size)
{
    size_t done = 0;

    (void)io;
    while (done < size) {
        ssize_t count = getrandom((char *)data + done, size - done, 0);

        if (count >= 0)
            done += (size_t)count;
        else if (errno != EINTR)
            return fail_path("the kernel", "give random bytes", READS);
    }
    return KV_OK;
}

struct kv_io *kv_io_posix(void)
{
    static const struct kv_io_ops ops = {
        .dir_open = posix_dir_open,
        .dir_create = posix_dir_create,
        .dir_remove = posix_dir_remove,
        .dir_close = posix_dir_close,
        .dir_identity = posix_dir_identity,
        .dir_list = posix_dir_list,
        .dir_sync = posix_dir_sync,
        .dir_writable = posix_dir_writable,
        .dir_free_bytes = posix_dir_free_bytes,
        .rename = posix_rename,
        .link = posix_link,
        .unlink = posix_unlink,
        .name_identity = posix_name_identity,
        .file_open = posix_file_open,
        .file_temporary = posix_file_temporary,
        .file_close = posix_file_close,
        .file_identity = posix_file_identity,
        .file_size = posix_file_size,
        .read = posix_read,
        .write = posix_write,
        .truncate = posix_truncate,
        .allocate = posix_allocate,
        .write_back = posix_write_back,
        .sync = posix_sync,
        .datasync = posix_datasync,
        .lock = posix_lock,
        .lock_test = posix_lock_test,
        .map = posix_map,
        .unmap = posix_unmap,
        .advise_random = posix_advise_random,
        .advise_soon = posix_advise_soon,
        .now_ms = posix_now_ms,
        .monotonic_ms = posix_monotonic_ms,
        .sleep_ms = posix_sleep_ms,
        .random = posix_random,
        .huge_bytes = KV_HUGE_MAX_BYTES,
    };
    static struct kv_io io = {&ops};

    return &io;
}
