/*
 * A file system in memory behind io.h, for unit tests, fault injection and
 * simulated power loss.
 *
 * Everything exists twice: as the running machine sees it (*cached*) and as
 * the disk holds it (*durable*). Bytes and sizes become durable by sync or
 * datasync of their file, names by dir_sync of their directory. kv_memfs_crash
 * throws the cached half away.
 *
 * Deterministic: clock and randomness come from the seed and from what the
 * test does; sleeping moves the clock and does not wait. One mutex guards all
 * of it. Running out of memory aborts the test.
 *
 * Paths are absolute ("/db/LOCK"); "/" exists from the start.
 */
#ifndef KV_TESTS_MEMFS_H
#define KV_TESTS_MEMFS_H

#include "io.h"

struct kv_memfs;

enum {
    KV_MEMFS_SECTOR_BYTES = 512,         /* the disk writes this much at once, or not */
    KV_MEMFS_FILE_BYTES = 256 * 1048576, /* a file cannot grow past this: KV_FULL */
    KV_MEMFS_HUGE_BYTES = 16 * 1024, /* huge pages (huge.h), small so that small stores have some */
};

/* ---- A world */

struct kv_memfs *kv_memfs_new(uint64_t seed);

/* A deep copy of files, names and clock, without handles, locks and faults. */
struct kv_memfs *kv_memfs_clone(struct kv_memfs *fs);

/* Every handle has been closed. Mappings end here. NULL is fine. */
void kv_memfs_free(struct kv_memfs *fs);

struct kv_io *kv_memfs_io(struct kv_memfs *fs);

/*
 * The same world for one more process, with locks and mappings of its own.
 * Before there are files. Valid until kv_memfs_free.
 */
struct kv_io *kv_memfs_process(struct kv_memfs *fs);

/* ---- How it behaves: all off or unlimited at first */

/* Syncing a file makes its name durable too, as ext4 and xfs do for new files. */
void kv_memfs_set_sync_names(struct kv_memfs *fs, bool on);

/* Nothing may be changed or created: KV_READONLY. */
void kv_memfs_set_readonly(struct kv_memfs *fs, bool on);

/* Bytes that all files together may have; past it KV_FULL. UINT64_MAX: no limit. */
void kv_memfs_set_space(struct kv_memfs *fs, uint64_t bytes);

/*
 * The kernel writes back as it likes: each written sector reaches the disk at
 * once with this chance, so that the disk may hold what was overwritten since.
 */
void kv_memfs_set_write_back(struct kv_memfs *fs, unsigned percent);

/* After a failed sync the unsynced bytes are dropped from the cache as well. */
void kv_memfs_set_sync_loss(struct kv_memfs *fs, bool on);

void kv_memfs_set_clock(struct kv_memfs *fs, uint64_t now_ms);

/* Move both clocks forwards. */
void kv_memfs_advance(struct kv_memfs *fs, uint64_t ms);

/* ---- The end of a process, or of the power */

/*
 * Kill and crash leave every handle dead: it only fails with KV_IOERR, and may be closed.
 * Its locks are gone; its mappings stay readable and reach nobody. Directories
 * and files get another identity. Faults are forgotten.
 */

/* kill -9 of every process: what is cached stays. */
void kv_memfs_kill(struct kv_memfs *fs);

/*
 * kill -9 of one process, for good: its handles are dead, its locks are gone, its mappings reach
 * nobody. `io` is one of kv_memfs_process.
 */
void kv_memfs_kill_process(struct kv_memfs *fs, struct kv_io *io);

/* The same, when it makes its `nth` call from now on (1: the next): before it, or right behind. */
void kv_memfs_kill_process_at(struct kv_memfs *fs, struct kv_io *io, uint64_t nth, bool behind);

/* Has it come to that? */
bool kv_memfs_process_is_dead(struct kv_io *io);

enum kv_memfs_crash_mode {
    KV_MEMFS_DROP,   /* nothing that was not synced survives */
    KV_MEMFS_REMOVE, /* nothing but removals of names */
    KV_MEMFS_LAST,   /* nothing but the last change of names in each directory */
    KV_MEMFS_RANDOM, /* as `seed` says; see enum kv_memfs_choice */
};
void kv_memfs_crash(struct kv_memfs *fs, enum kv_memfs_crash_mode mode, uint64_t seed);

/*
 * What a crash decides, each with its number of alternatives; 0 always drops
 * and 1 always keeps. For a file, its size comes before its sectors, so size
 * may land without data. Garbage is only where something was written since: the
 * rest of a sector stays.
 */
enum kv_memfs_choice {
    KV_MEMFS_CHOOSE_NAME,   /* an unsynced create, rename or mkdir: 2 */
    KV_MEMFS_CHOOSE_UNLINK, /* an unsynced unlink or rmdir: 2 */
    KV_MEMFS_CHOOSE_SIZE,   /* an unsynced size: old, new, between: 3 */
    KV_MEMFS_CHOOSE_SECTOR, /* an unsynced sector: old, new, garbage: 3 */
};

/* Crash with decisions of the caller's, to exhaust small sets: `choose` returns 0 … count-1. */
void kv_memfs_crash_with(struct kv_memfs *fs,
                         unsigned (*choose)(void *context, enum kv_memfs_choice choice,
                                            unsigned count),
                         void *context);

/* Make everything durable as it is now. */
void kv_memfs_settle(struct kv_memfs *fs);

/* ---- Faults */

enum kv_memfs_call {
    KV_MEMFS_ANY,
    KV_MEMFS_DIR_OPEN,
    KV_MEMFS_DIR_CREATE,
    KV_MEMFS_DIR_REMOVE,
    KV_MEMFS_DIR_IDENTITY,
    KV_MEMFS_DIR_LIST,
    KV_MEMFS_DIR_SYNC,
    KV_MEMFS_DIR_WRITABLE,
    KV_MEMFS_DIR_FREE_BYTES,
    KV_MEMFS_RENAME,
    KV_MEMFS_LINK,
    KV_MEMFS_UNLINK,
    KV_MEMFS_NAME_IDENTITY,
    KV_MEMFS_FILE_OPEN,
    KV_MEMFS_FILE_TEMPORARY,
    KV_MEMFS_FILE_IDENTITY,
    KV_MEMFS_FILE_SIZE,
    KV_MEMFS_READ,
    KV_MEMFS_WRITE,
    KV_MEMFS_TRUNCATE,
    KV_MEMFS_ALLOCATE,
    KV_MEMFS_WRITE_BACK,
    KV_MEMFS_SYNC,
    KV_MEMFS_DATASYNC,
    KV_MEMFS_LOCK,
    KV_MEMFS_LOCK_TEST,
    KV_MEMFS_MAP,
    KV_MEMFS_RANDOM_BYTES,
    KV_MEMFS_CALL_COUNT,
};

enum kv_memfs_fault_flags {
    KV_MEMFS_ONCE = 0,
    KV_MEMFS_STICKY = 1 << 0,  /* the nth and all later ones */
    KV_MEMFS_PARTIAL = 1 << 1, /* a failing write has written a part first */
    KV_MEMFS_FREEZE = 1 << 2,  /* the nth, and from then on calls of every kind */
};

/*
 * Make the `nth` call of a kind from now on (1: the next) fail with `status`.
 * The call has no effect, but for PARTIAL; and after a failed sync, of a file or a directory,
 * what was not durable by then never becomes so by a later sync, unless it is written or changed
 * again. (But for names of directories: those who made them have nothing to make again.)
 * FREEZE, as sticky ANY, leaves the world as a crash would find it. At most 8 at a time.
 */
void kv_memfs_fail(struct kv_memfs *fs, enum kv_memfs_call call, uint64_t nth,
                   enum kv_status status, unsigned flags);
void kv_memfs_heal(struct kv_memfs *fs); /* forget every fault, and the judge */

/*
 * Let `judge` decide about every call: KV_OK, and it goes on; all else is injected, with what the
 * judge has set of enum kv_memfs_fault_flags (PARTIAL). It is asked under the mutex, so it makes no calls itself.
 */
typedef enum kv_status kv_memfs_judge(void *context, enum kv_memfs_call call, unsigned *flags);
void kv_memfs_set_judge(struct kv_memfs *fs, kv_memfs_judge *judge, void *context);

/*
 * Calls so far, and faults injected so far. When the world ends, a line with these is added to
 * the file that the environment names in KV_FAULT_LOG: so a run of many programs adds them up.
 */
uint64_t kv_memfs_calls(struct kv_memfs *fs, enum kv_memfs_call call);
uint64_t kv_memfs_fault_count(struct kv_memfs *fs);

/* ---- Looking, and damaging: cached and durable alike, past every handle */

/* UINT64_MAX: no such file. */
uint64_t kv_memfs_size(struct kv_memfs *fs, const char *path);

/* A copy of the cached content, for free(); NULL: no such file. One byte of 0 follows it. */
uint8_t *kv_memfs_read_file(struct kv_memfs *fs, const char *path, size_t *size);

/* Names in a directory, sorted, one a line, for free(). NULL: no such directory. */
char *kv_memfs_list(struct kv_memfs *fs, const char *path);

/* False: no such file, or nothing at that offset. */
bool kv_memfs_flip_bit(struct kv_memfs *fs, const char *path, uint64_t offset, unsigned bit);
bool kv_memfs_truncate(struct kv_memfs *fs, const char *path, uint64_t size);
bool kv_memfs_delete(struct kv_memfs *fs, const char *path);

/* Give a file this content; it is made if its directory exists. */
bool kv_memfs_write_file(struct kv_memfs *fs, const char *path, struct kv_slice bytes);

#endif
