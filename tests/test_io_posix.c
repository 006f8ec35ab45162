/*
 * io_posix.c when the kernel says no. This program defines the system calls
 * itself, in front of the C library's: each can be told to fail once, or to
 * transfer only a little at a time, and is counted.
 */
#include "huge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runner.h"

enum call {
    OPEN,
    OPENAT,
    FSTAT,
    FSTATVFS,
    PREAD,
    PWRITE,
    FTRUNCATE,
    FALLOCATE,
    SYNC_FILE_RANGE,
    FSYNC,
    FDATASYNC,
    FCNTL,
    GETRANDOM,
    NANOSLEEP,
    CALLS,
};

static int next_error[CALLS]; /* errno of the next call; 0: let it through */
static int call_count[CALLS];
static size_t transfer_max = SIZE_MAX;
static size_t largest_write;

static bool fails(enum call call)
{
    call_count[call]++;
    if (!next_error[call])
        return false;
    errno = next_error[call];
    next_error[call] = 0;
    return true;
}

static size_t cut(size_t size)
{
    return size < transfer_max ? size : transfer_max;
}

/* ---- The calls */

int open(const char *path, int flags, ...)
{
    va_list arguments;
    unsigned mode;

    va_start(arguments, flags);
    mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    return fails(OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int openat(int fd, const char *path, int flags, ...)
{
    va_list arguments;
    unsigned mode;

    va_start(arguments, flags);
    mode = flags & O_CREAT ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    return fails(OPENAT) ? -1 : (int)syscall(SYS_openat, fd, path, flags, mode);
}

int fstat(int fd, struct stat *out)
{
    return fails(FSTAT) ? -1 : fstatat(fd, "", out, AT_EMPTY_PATH);
}

int fstatvfs(int fd, struct statvfs *out)
{
    (void)fd;
    return fails(FSTATVFS) ? -1 : statvfs("/", out);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    return fails(PREAD) ? -1 : syscall(SYS_pread64, fd, data, cut(size), offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    if (size > largest_write)
        largest_write = size;
    return fails(PWRITE) ? -1 : syscall(SYS_pwrite64, fd, data, cut(size), offset);
}

int ftruncate(int fd, off_t size)
{
    return fails(FTRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return fails(FALLOCATE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

int sync_file_range(int fd, off_t offset, off_t size, unsigned flags)
{
    (void)fd;
    (void)offset;
    (void)size;
    (void)flags;
    return fails(SYNC_FILE_RANGE) ? -1 : 0;
}

int fsync(int fd)
{
    (void)fd;
    return fails(FSYNC) ? -1 : 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return fails(FDATASYNC) ? -1 : 0;
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return fails(FCNTL) ? -1 : (int)syscall(SYS_fcntl, fd, command, argument);
}

ssize_t getrandom(void *data, size_t size, unsigned flags)
{
    return fails(GETRANDOM) ? -1 : syscall(SYS_getrandom, data, cut(size), flags);
}

int nanosleep(const struct timespec *asked, struct timespec *left)
{
    if (fails(NANOSLEEP)) {
        *left = *asked;
        return -1;
    }
    return 0;
}

/* ---- A directory with one file */

static char path[64];
static struct kv_io *io;
static struct kv_dir *dir;
static struct kv_file *file;

static void setup(void)
{
    io = kv_io_posix();
    strcpy(path, "/tmp/kv-test-io-posix-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
    ck_kv(kv_io_dir_open(io, path, &dir));
    ck_kv(kv_io_file_open(dir, "file", KV_OPEN_WRITE | KV_OPEN_CREATE, 0600, &file));
    ck_kv(kv_io_write(file, 0, "0123456789", 10));
    memset(call_count, 0, sizeof(call_count));
}

static void teardown(void)
{
    transfer_max = SIZE_MAX;
    kv_io_file_close(file);
    ck_kv(kv_io_unlink(dir, "file"));
    kv_io_dir_close(dir);
    ck_kv(kv_io_dir_remove(io, path));
}

static void expect_bytes(const char *expected, size_t size)
{
    char bytes[64];
    size_t got;

    ck_kv(kv_io_read(file, 0, bytes, sizeof(bytes), &got));
    ck_assert_uint_eq(got, size);
    ck_assert_mem_eq(bytes, expected, size);
}

/* ---- One operation for each call */

static enum kv_status no_name(void *context, const char *name)
{
    (void)context;
    (void)name;
    return KV_OK;
}

static enum kv_status open_again(unsigned flags)
{
    struct kv_file *again;
    enum kv_status st = kv_io_file_open(dir, "file", flags, 0600, &again);

    ck_assert((st == KV_OK) == (again != NULL));
    kv_io_file_close(again);
    return st;
}

static enum kv_status open_directory(void)
{
    struct kv_dir *again;
    enum kv_status st = kv_io_dir_open(io, path, &again);

    ck_assert((st == KV_OK) == (again != NULL));
    kv_io_dir_close(again);
    return st;
}

static enum kv_status operate(enum call call)
{
    char bytes[10];
    size_t got;
    uint64_t number;

    switch (call) {
    case OPEN: return open_directory();
    case OPENAT: return open_again(KV_OPEN_WRITE);
    case FSTAT: return kv_io_file_size(file, &number);
    case FSTATVFS: return kv_io_dir_free_bytes(dir, &number);
    case PREAD: return kv_io_read(file, 0, bytes, sizeof(bytes), &got);
    case PWRITE: return kv_io_write(file, 0, "0123456789", 10);
    case FTRUNCATE: return kv_io_truncate(file, 10);
    case FALLOCATE: return kv_io_allocate(file, 0, 10);
    case SYNC_FILE_RANGE: return kv_io_write_back(file, 0, 10);
    case FSYNC: return kv_io_sync(file);
    case FDATASYNC: return kv_io_datasync(file);
    case FCNTL: return kv_io_lock(file, 0, KV_LOCK_EXCLUSIVE);
    case GETRANDOM: return kv_io_random(io, bytes, sizeof(bytes));
    case NANOSLEEP: kv_io_sleep_ms(io, 1); return KV_OK;
    case CALLS: break;
    }
    return KV_INVALID;
}

static const struct {
    enum call call;
    int error;
    enum kv_status expected;
} refusals[] = {
    {OPEN, EMFILE, KV_IOERR},
    {OPEN, ENOENT, KV_NOTFOUND},
    {OPEN, ENOTDIR, KV_INVALID},
    {OPEN, EACCES, KV_IOERR}, /* to read is no matter of writing */
    {OPENAT, EMFILE, KV_IOERR},
    {OPENAT, EROFS, KV_READONLY},
    {OPENAT, EACCES, KV_READONLY},
    {OPENAT, EPERM, KV_READONLY},
    {OPENAT, ENXIO, KV_INVALID},
    {OPENAT, ELOOP, KV_INVALID},
    {FSTAT, EIO, KV_IOERR},
    {FSTATVFS, EIO, KV_IOERR},
    {PREAD, EIO, KV_IOERR},
    {PREAD, EACCES, KV_IOERR},
    {PWRITE, EIO, KV_IOERR},
    {PWRITE, ENOSPC, KV_FULL},
    {PWRITE, EDQUOT, KV_FULL},
    {FTRUNCATE, EIO, KV_IOERR},
    {FTRUNCATE, EROFS, KV_READONLY},
    {FALLOCATE, ENOSPC, KV_FULL},
    {FALLOCATE, EDQUOT, KV_FULL},
    {FALLOCATE, EFBIG, KV_IOERR},
    {SYNC_FILE_RANGE, EIO, KV_IOERR},
    {SYNC_FILE_RANGE, ENOSPC, KV_FULL},
    {SYNC_FILE_RANGE, ENOSYS, KV_OK}, /* it promises nothing */
    {FSYNC, EIO, KV_IOERR},
    {FSYNC, ENOSPC, KV_FULL},
    {FSYNC, EINTR, KV_IOERR},
    {FDATASYNC, EIO, KV_IOERR},
    {FDATASYNC, EDQUOT, KV_FULL},
    {FDATASYNC, EINTR, KV_IOERR},
    {FCNTL, EAGAIN, KV_BUSY},
    {FCNTL, EACCES, KV_BUSY},
    {FCNTL, ENOLCK, KV_IOERR},
    {FCNTL, ENOMEM, KV_NOMEM},
    {GETRANDOM, ENOSYS, KV_IOERR},
};
enum { REFUSALS = sizeof(refusals) / sizeof(refusals[0]) };

/* Goal: every refusal has its status, is not tried again, and names the file. */
START_TEST(test_io_posix_translates_errors)
{
    enum call call = refusals[_i].call;

    ck_kv(operate(call));
    call_count[call] = 0;
    next_error[call] = refusals[_i].error;
    ck_kv_is(operate(call), refusals[_i].expected);
    ck_assert_int_eq(call_count[call], 1);
    if (refusals[_i].expected != KV_OK && call != GETRANDOM)
        ck_assert(strncmp(kv_message(), path, strlen(path)) == 0);
}
END_TEST

START_TEST(test_io_posix_finishes_interrupted_calls)
{
    static const enum call calls[] = {OPENAT,    PREAD, PWRITE,    FTRUNCATE,
                                      FALLOCATE, FCNTL, GETRANDOM, NANOSLEEP};

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        next_error[calls[i]] = EINTR;
        call_count[calls[i]] = 0;
        ck_kv(operate(calls[i]));
        ck_assert_int_eq(call_count[calls[i]], 2);
    }
    expect_bytes("0123456789", 10);
}
END_TEST

START_TEST(test_io_posix_finishes_short_transfers)
{
    uint8_t random[9] = {0};
    unsigned zeros = 0;

    transfer_max = 3;
    ck_kv(kv_io_write(file, 0, "abcdefghij", 10));
    ck_assert_int_eq(call_count[PWRITE], 4);
    expect_bytes("abcdefghij", 10);
    ck_assert_int_eq(call_count[PREAD], 5); /* the fifth finds the end */
    ck_kv(kv_io_random(io, random, sizeof(random)));
    ck_assert_int_eq(call_count[GETRANDOM], 3);
    for (size_t i = 0; i < sizeof(random); i++)
        zeros += random[i] == 0;
    ck_assert_uint_lt(zeros, sizeof(random) / 2);
}
END_TEST

/*
 * Goal: a large write arrives whole, wherever its pieces end, also when the kernel takes less than a piece.
 * Method: write a pattern that no shift repeats, from an odd offset; look at the calls and at the file.
 */
START_TEST(test_io_posix_writes_in_pieces)
{
    enum { SIZE = 200000, OFFSET = 1001, PIECE = 32 * 1024 };
    static uint8_t pattern[SIZE], found[SIZE + 1];
    size_t got;

    for (size_t i = 0; i < SIZE; i++)
        pattern[i] = (uint8_t)(i ^ i >> 8 ^ i >> 13);
    for (size_t most = SIZE_MAX; most > 0; most = most == SIZE_MAX ? 20000 : 0) {
        transfer_max = most;
        largest_write = 0;
        call_count[PWRITE] = 0;
        ck_kv(kv_io_truncate(file, OFFSET));
        ck_kv(kv_io_write(file, OFFSET, pattern, SIZE));
        ck_assert_uint_eq(largest_write, PIECE);
        if (most == SIZE_MAX)
            ck_assert_int_eq(call_count[PWRITE], (OFFSET + SIZE + PIECE - 1) / PIECE);
        transfer_max = SIZE_MAX;
        ck_kv(kv_io_read(file, OFFSET, found, SIZE + 1, &got));
        ck_assert_uint_eq(got, SIZE);
        ck_assert_mem_eq(found, pattern, SIZE);
    }
}
END_TEST

/* Goal: whole huge pages go to the kernel at once, what is around them in pieces. */
START_TEST(test_io_posix_writes_huge_pages)
{
    enum { PIECE = 32 * 1024, BEFORE = 3, BEHIND = 2, SIZE = 2 * KV_HUGE_MAX_BYTES + 5 * PIECE };
    uint64_t offset = KV_HUGE_MAX_BYTES - BEFORE * PIECE;
    uint8_t *pattern = malloc(SIZE), *found = malloc(SIZE);
    size_t got;

    ck_assert(pattern && found);
    for (size_t i = 0; i < SIZE; i++)
        pattern[i] = (uint8_t)(i ^ i >> 8 ^ i >> 13);
    largest_write = 0;
    call_count[PWRITE] = 0;
    ck_kv(kv_io_write(file, offset, pattern, SIZE));
    ck_assert_uint_eq(largest_write, KV_HUGE_MAX_BYTES);
    ck_assert_int_eq(call_count[PWRITE], BEFORE + 2 + BEHIND);
    ck_kv(kv_io_read(file, offset, found, SIZE, &got));
    ck_assert_uint_eq(got, SIZE);
    ck_assert_mem_eq(found, pattern, SIZE);
    free(pattern);
    free(found);
}
END_TEST

/* ---- Fallbacks */

START_TEST(test_io_posix_allocates_by_writing)
{
    next_error[FALLOCATE] = EOPNOTSUPP;
    ck_kv(kv_io_allocate(file, 8, 4));
    expect_bytes("0123456789\0\0", 12);
    next_error[FALLOCATE] = EOPNOTSUPP;
    ck_kv(kv_io_allocate(file, 14, 1));
    expect_bytes("0123456789\0\0\0\0\0", 15);
    call_count[PWRITE] = 0;
    next_error[FALLOCATE] = EOPNOTSUPP;
    ck_kv(kv_io_allocate(file, 0, 15)); /* all there: nothing to write */
    ck_assert_int_eq(call_count[PWRITE], 0);
    next_error[FALLOCATE] = EOPNOTSUPP;
    next_error[PWRITE] = ENOSPC;
    ck_kv_is(kv_io_allocate(file, 0, 20), KV_FULL);
    next_error[FALLOCATE] = EOPNOTSUPP;
    next_error[FSTAT] = EIO;
    ck_kv_is(kv_io_allocate(file, 0, 20), KV_IOERR);
    next_error[FALLOCATE] = EOPNOTSUPP;
    call_count[PWRITE] = 0;
    ck_kv(kv_io_allocate(file, 0, 300000)); /* in several writes */
    ck_assert_int_gt(call_count[PWRITE], 1);
}
END_TEST

START_TEST(test_io_posix_temporary_without_tmpfile)
{
    struct kv_file *temporary;
    char left[128];

    ck_assert_int_eq(setenv("TMPDIR", path, 1), 0);
    next_error[OPEN] = EOPNOTSUPP;
    ck_kv(kv_io_file_temporary(io, &temporary));
    ck_kv(kv_io_write(temporary, 0, "x", 1));
    snprintf(left, sizeof(left), "%s/file", path);
    kv_io_file_close(temporary); /* teardown finds the directory empty but for `file` */
    ck_assert_int_eq(setenv("TMPDIR", left, 1), 0);
    ck_kv_is(kv_io_file_temporary(io, &temporary), KV_INVALID);
    ck_assert_ptr_null(temporary);
    ck_assert_ptr_nonnull(strstr(kv_message(), left));
    ck_assert_int_eq(unsetenv("TMPDIR"), 0);
}
END_TEST

/* ---- What is left over after a failure */

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += syscall(SYS_fcntl, fd, F_GETFD, 0) >= 0;
    return count;
}

START_TEST(test_io_posix_failures_leak_no_descriptors)
{
    int before = open_descriptors();

    next_error[FSTAT] = EIO;
    ck_kv_is(open_again(KV_OPEN_WRITE), KV_IOERR);
    next_error[OPENAT] = EIO;
    ck_kv_is(open_again(0), KV_IOERR);
    next_error[OPENAT] = EMFILE;
    ck_kv_is(kv_io_dir_list(dir, no_name, NULL), KV_IOERR);
    ck_kv(kv_io_dir_list(dir, no_name, NULL));
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

START_TEST(test_io_posix_reports_what_cannot_be_mapped_or_asked)
{
    struct kv_identity identity;
    enum kv_lock_mode held;
    uint8_t *map;

    ck_kv_is(kv_io_map(file, 1ull << 62, false, &map), KV_NOMEM);
    ck_assert_ptr_null(map);
    next_error[FCNTL] = EIO;
    ck_kv_is(kv_io_lock_test(file, 0, KV_LOCK_SHARED, &held), KV_IOERR);
    next_error[FSTAT] = EIO;
    ck_kv_is(kv_io_file_identity(file, &identity), KV_IOERR);
    next_error[FSTAT] = EIO;
    ck_kv_is(kv_io_dir_identity(dir, &identity), KV_IOERR);
    next_error[FSYNC] = EIO;
    ck_kv_is(kv_io_dir_sync(dir), KV_IOERR);
}
END_TEST

static Suite *io_posix_suite(void)
{
    Suite *suite = suite_create("io_posix");
    TCase *tests = tcase_create("io_posix");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, test_io_posix_translates_errors, 0, REFUSALS);
    tcase_add_test(tests, test_io_posix_finishes_interrupted_calls);
    tcase_add_test(tests, test_io_posix_finishes_short_transfers);
    tcase_add_test(tests, test_io_posix_writes_in_pieces);
    tcase_add_test(tests, test_io_posix_writes_huge_pages);
    tcase_add_test(tests, test_io_posix_allocates_by_writing);
    tcase_add_test(tests, test_io_posix_temporary_without_tmpfile);
    tcase_add_test(tests, test_io_posix_failures_leak_no_descriptors);
    tcase_add_test(tests, test_io_posix_reports_what_cannot_be_mapped_or_asked);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(io_posix_suite());
}
