/*
 * Lock bytes and the shared page.
 *
 * Nothing here knows what the locks protect: order and recovery are the
 * store's. What must hold is that the page can be touched at any time without
 * a signal: its block on disk is reserved before it is mapped, so that a full
 * disk is an error of opening, not a SIGBUS later.
 */
#include "lock.h"

#include <stdlib.h>

#include "names.h"

_Static_assert(sizeof(struct kv_page) <= KV_PAGE_BYTES, "the page holds all words");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "processes share the words: atomics must not need locks of this process");

/* Waiting tries again after 1, 2, 4 … ms: quick at first, cheap in the end. */
enum { FIRST_NAP_MS = 1, LONGEST_NAP_MS = 16 };

struct kv_lock {
    struct kv_io *io;
    struct kv_dir *dir;
    struct kv_file *file;        /* NULL: read-only, and there was no LOCK */
    struct kv_identity identity; /* the file's */
    struct kv_page *map;         /* the file's page; NULL without the file */
    struct kv_page *private;     /* of a read-only lock; else NULL */
    atomic_bool page_in_file;    /* the file has been seen to reach over the page */
};

static const char *byte_name(enum kv_lock_byte byte)
{
    switch (byte) {
    case KV_LOCK_OPEN: return "OPEN";
    case KV_LOCK_ATTACHED: return "ATTACHED";
    case KV_LOCK_ATTACHED_RO: return "ATTACHED_RO";
    case KV_LOCK_WRITER: return "WRITER";
    case KV_LOCK_COMPACTOR: return "COMPACTOR";
    case KV_LOCK_MANIFEST: return "MANIFEST";
    case KV_LOCK_SYNC: return "SYNC";
    }
    return "unknown";
}

static uint64_t byte_offset(enum kv_lock_byte byte)
{
    return KV_PAGE_BYTES + (uint64_t)byte;
}

/* ---- Opening */

/*
 * Map the page through a handle of its own: a mapping keeps its open file
 * alive, and with it the locks, also in a forked child that has closed it.
 */
static enum kv_status map_page(struct kv_lock *lock, bool writable)
{
    struct kv_file *file;
    uint8_t *at;
    enum kv_status st =
        kv_io_file_open(lock->dir, KV_NAME_LOCK, writable ? KV_OPEN_WRITE : 0, 0, &file);

    if (st != KV_OK)
        return st;
    st = kv_io_map(file, KV_PAGE_BYTES, writable, &at);
    if (st == KV_OK)
        lock->map = (struct kv_page *)(void *)at;
    kv_io_file_close(file);
    return st;
}

static enum kv_status open_shared(struct kv_lock *lock, unsigned file_mode)
{
    enum kv_status st = kv_io_file_open(lock->dir, KV_NAME_LOCK, KV_OPEN_WRITE | KV_OPEN_CREATE,
                                        file_mode, &lock->file);

    if (st == KV_OK)
        st = kv_io_file_identity(lock->file, &lock->identity);
    if (st == KV_OK)
        st = kv_io_allocate(lock->file, 0, KV_PAGE_BYTES);
    if (st == KV_OK)
        st = map_page(lock, true);
    atomic_store(&lock->page_in_file, st == KV_OK);
    return st;
}

static enum kv_status open_readonly(struct kv_lock *lock)
{
    enum kv_status st;

    lock->private = calloc(1, sizeof(*lock->private));
    if (!lock->private)
        return kv_fail_nomem();
    st = kv_io_file_open(lock->dir, KV_NAME_LOCK, 0, 0, &lock->file);
    if (st == KV_NOTFOUND)
        return KV_OK;
    if (st == KV_OK)
        st = kv_io_file_identity(lock->file, &lock->identity);
    return st == KV_OK ? map_page(lock, false) : st;
}

enum kv_status kv_lock_open(struct kv_io *io, struct kv_dir *dir, unsigned file_mode, bool readonly,
                            struct kv_lock **out)
{
    struct kv_lock *lock = calloc(1, sizeof(*lock));
    enum kv_status st;

    *out = NULL;
    if (!lock)
        return kv_fail_nomem();
    lock->io = io;
    lock->dir = dir;
    st = readonly ? open_readonly(lock) : open_shared(lock, file_mode);
    if (st != KV_OK) {
        kv_lock_close(lock);
        return st;
    }
    *out = lock;
    return KV_OK;
}

void kv_lock_close(struct kv_lock *lock)
{
    if (!lock)
        return;
    kv_io_unmap(lock->io, (const uint8_t *)lock->map, KV_PAGE_BYTES);
    /* Closing releases the bytes. Unlocking them would do so for a parent process as well. */
    kv_io_file_close(lock->file);
    free(lock->private);
    free(lock);
}

void kv_lock_abandon(struct kv_lock *lock)
{
    kv_io_file_close(lock->file);
    lock->file = NULL;
}

unsigned kv_lock_file_mode(const struct kv_lock *lock)
{
    return lock->identity.mode;
}

/* ---- The page */

struct kv_page *kv_lock_page(struct kv_lock *lock)
{
    return lock->private ? lock->private : lock->map;
}

const struct kv_page *kv_lock_view(struct kv_lock *lock)
{
    uint64_t size;

    if (!lock->map)
        return NULL;
    if (atomic_load_explicit(&lock->page_in_file, memory_order_relaxed))
        return lock->map;
    /* A LOCK that is just being created: its page is there when its size is. */
    if (kv_io_file_size(lock->file, &size) != KV_OK || size < KV_PAGE_BYTES)
        return NULL;
    atomic_store_explicit(&lock->page_in_file, true, memory_order_relaxed);
    return lock->map;
}

/* ---- The bytes */

enum kv_status kv_lock_try(struct kv_lock *lock, enum kv_lock_byte byte, enum kv_lock_mode mode)
{
    enum kv_status st;

    if (!lock->file)
        return KV_OK;
    st = kv_io_lock(lock->file, byte_offset(byte), mode);
    if (st == KV_BUSY)
        return kv_fail_after(st, " (%s)", byte_name(byte));
    return st;
}

enum kv_status kv_lock_wait(struct kv_lock *lock, enum kv_lock_byte byte, enum kv_lock_mode mode,
                            unsigned timeout_ms)
{
    uint64_t start_ms = kv_io_monotonic_ms(lock->io);
    unsigned nap_ms = FIRST_NAP_MS;

    for (;;) {
        enum kv_status st = kv_lock_try(lock, byte, mode);
        uint64_t waited_ms, left_ms;

        if (st != KV_BUSY || timeout_ms == 0)
            return st;
        waited_ms = kv_io_monotonic_ms(lock->io) - start_ms;
        if (waited_ms >= timeout_ms)
            return kv_fail_after(st, ", waited %u ms", timeout_ms);
        left_ms = timeout_ms - waited_ms;
        kv_io_sleep_ms(lock->io, nap_ms < left_ms ? nap_ms : (unsigned)left_ms);
        nap_ms = nap_ms * 2 < LONGEST_NAP_MS ? nap_ms * 2 : LONGEST_NAP_MS;
    }
}

void kv_lock_drop(struct kv_lock *lock, enum kv_lock_byte byte)
{
    /* Dropping a lock does not fail; a handle that died has lost it already. */
    if (lock->file)
        (void)!kv_io_lock(lock->file, byte_offset(byte), KV_LOCK_NONE);
}

enum kv_status kv_lock_test(struct kv_lock *lock, enum kv_lock_byte byte, enum kv_lock_mode mode,
                            enum kv_lock_mode *held)
{
    *held = KV_LOCK_NONE;
    if (!lock->file)
        return KV_OK;
    return kv_io_lock_test(lock->file, byte_offset(byte), mode, held);
}

static enum kv_status fail_changed(const char *what)
{
    return kv_fail(KV_INVALID,
                   KV_NAME_LOCK " was %s while the store was open;"
                                " close the store in every process, then open it again",
                   what);
}

enum kv_status kv_lock_check(struct kv_lock *lock)
{
    struct kv_identity named;
    enum kv_status st = kv_io_name_identity(lock->dir, KV_NAME_LOCK, &named);

    if (st == KV_NOTFOUND)
        return lock->file ? fail_changed("deleted") : KV_OK;
    if (st != KV_OK)
        return st;
    if (!lock->file)
        return fail_changed("created");
    if (lock->identity.device != named.device || lock->identity.inode != named.inode)
        return fail_changed("replaced");
    return KV_OK;
}
