/*
 * LOCK: lock bytes, and one mapped page of state shared by the processes that
 * have the store open.
 *
 * The page is bytes 0 … 4095 of the file; lock bytes lie behind it, at
 * 4096 + enum kv_lock_byte, and need not exist. Locks are OFD locks: they
 * belong to this open file, survive other descriptors' closing, and the kernel
 * frees them when the process dies. Within a process, threads exclude each
 * other by other means first.
 *
 * Order of taking, never waiting for an earlier one while holding a later:
 * OPEN, ATTACHED / ATTACHED_RO, WRITER, COMPACTOR, MANIFEST, SYNC.
 */
#ifndef KV_LOCK_H
#define KV_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "io.h"
#include "page.h"

enum kv_lock_byte {
    KV_LOCK_OPEN,        /* attaching and detaching */
    KV_LOCK_ATTACHED,    /* shared: has the store open; exclusive: alone with it */
    KV_LOCK_ATTACHED_RO, /* shared: has it open read-only */
    KV_LOCK_WRITER,      /* a write transaction */
    KV_LOCK_COMPACTOR,   /* a merge */
    KV_LOCK_MANIFEST,    /* read, modify, replace MANIFEST */
    KV_LOCK_SYNC,        /* around each fdatasync of the active log */
};

struct kv_lock;

/*
 * Open LOCK in `dir`, creating it unless `readonly`; a read-only lock changes
 * nothing there and works without the file too. No byte is locked yet.
 * KV_READONLY: LOCK may not be written; open it with `readonly`.
 */
enum kv_status kv_lock_open(struct kv_io *io, struct kv_dir *dir, unsigned file_mode, bool readonly,
                            struct kv_lock **out) KV_WARN_UNUSED;

/*
 * Close, which releases every byte unless a forked process has the file open
 * too: a child that closes what it inherited leaves its parent's locks alone.
 * NULL is fine.
 */
void kv_lock_close(struct kv_lock *lock);

/*
 * In a forked child: let go of the file, which would otherwise keep the
 * parent's locks alive after its end. The page stays mapped; nothing else may be
 * called but kv_lock_page.
 */
void kv_lock_abandon(struct kv_lock *lock);

/* The shared page; of a read-only lock a private one, zeroed at first. Valid until close. */
struct kv_page *kv_lock_page(struct kv_lock *lock);

/*
 * The shared page, for reading only; NULL if there is none (yet), which only
 * a read-only lock meets. Its words mean something only while another process holds
 * ATTACHED shared: ask kv_lock_test before and after reading them.
 */
const struct kv_page *kv_lock_view(struct kv_lock *lock);

/*
 * Take or convert without waiting. KV_BUSY: another process has it, and what
 * was held is held still. A read-only lock takes bytes shared; without the file it takes nothing, with success.
 */
enum kv_status kv_lock_try(struct kv_lock *lock, enum kv_lock_byte byte,
                           enum kv_lock_mode mode) KV_WARN_UNUSED;

/* The same, trying again for up to `timeout_ms`. */
enum kv_status kv_lock_wait(struct kv_lock *lock, enum kv_lock_byte byte, enum kv_lock_mode mode,
                            unsigned timeout_ms) KV_WARN_UNUSED;

/* The permission bits of LOCK when it was opened; 0: read-only, and there was none. */
unsigned kv_lock_file_mode(const struct kv_lock *lock);

void kv_lock_drop(struct kv_lock *lock, enum kv_lock_byte byte);

/*
 * What another process's lock on `byte` would refuse `mode`: KV_LOCK_NONE,
 * SHARED or EXCLUSIVE in `*held`.
 */
enum kv_status kv_lock_test(struct kv_lock *lock, enum kv_lock_byte byte, enum kv_lock_mode mode,
                            enum kv_lock_mode *held) KV_WARN_UNUSED;

/*
 * KV_INVALID if the name LOCK no longer leads to the open file: someone deleted
 * or replaced it (or, for a read-only lock without the file, created it).
 */
enum kv_status kv_lock_check(struct kv_lock *lock) KV_WARN_UNUSED;

#endif
