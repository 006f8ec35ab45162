/*
 * How functions of sqlite-kv report what happened.
 *
 * A function that can fail returns `enum kv_status`: 0 is success, a negative
 * value a failure, a positive one a normal end. The failing function leaves a
 * message for people in a thread-local buffer by calling kv_fail(); callers
 * pass the status up unchanged and add to the message only where they know
 * more (kv_fail_in). Nothing is printed anywhere.
 */
#ifndef KV_STATUS_H
#define KV_STATUS_H

enum kv_status {
    KV_OK = 0,
    KV_DONE = 1,           /* normal end: no more entries, or no such key */
    KV_NOMEM = -1,         /* out of memory */
    KV_IOERR = -2,         /* the operating system refused or failed */
    KV_FULL = -3,          /* no space left on the device, or quota */
    KV_CORRUPT = -4,       /* bytes on disk are not what was written */
    KV_BUSY = -5,          /* another writer or process holds the store */
    KV_BUSY_SNAPSHOT = -6, /* a held snapshot has been overtaken */
    KV_READONLY = -7,      /* the store or its directory cannot be written */
    KV_TOOBIG = -8,        /* a key, row or manifest is over its limit */
    KV_NOTFOUND = -9,      /* no such file or directory; no store there */
    KV_EXISTS = -10,       /* there is a store, or file, already */
    KV_MISMATCH = -11,     /* another store than the one expected */
    KV_NEWER = -12,        /* written by a newer version of sqlite-kv */
    KV_INVALID = -13,      /* a bad argument, or a call out of order */
    KV_ABORTED = -14,      /* own writes that an iterator showed were cut */
    KV_INTERRUPTED = -15,  /* the caller asked to stop */
};

#define KV_WARN_UNUSED __attribute__((warn_unused_result))
#define KV_PRINTF(text, first) __attribute__((format(printf, text, first)))

/*
 * Set this thread's message, printf-like, and return `st`.
 * `st` is a failure; the message says what failed, on which file, why, and
 * what to do, without a final full stop or newline. It never contains keys or
 * rows. Longer than 511 bytes is cut.
 */
enum kv_status kv_fail(enum kv_status st, const char *format, ...) KV_PRINTF(2, 3);

/* Put `prefix: ` before this thread's message, or a text behind it, and return `st`. */
enum kv_status kv_fail_in(enum kv_status st, const char *format, ...) KV_PRINTF(2, 3);
enum kv_status kv_fail_after(enum kv_status st, const char *format, ...) KV_PRINTF(2, 3);

/* KV_NOMEM with its message. */
enum kv_status kv_fail_nomem(void);

/*
 * The message of this thread's last failure; "" if there was none.
 * Valid until the next call into sqlite-kv on this thread. Never NULL.
 */
const char *kv_message(void);

/* What the operating system failed to do, where a KV_IOERR comes from it. */
enum kv_io_cause {
    KV_IO_OTHER,
    KV_IO_READ,
    KV_IO_WRITE,
    KV_IO_SYNC,
    KV_IO_DIR_SYNC,
    KV_IO_RESIZE,
    KV_IO_EXAMINE,
    KV_IO_REMOVE,
    KV_IO_LOCK,
    KV_IO_MAP,
};

/* Of this thread's last failure; valid as long as its message. */
enum kv_io_cause kv_io_cause(void);

/* Note the cause of a failure that has its message, and return `st`. Anything but KV_IOERR has none. */
enum kv_status kv_io_note(enum kv_io_cause cause, enum kv_status st);

/* Keep this thread's message, with its cause, across work whose failures are of no interest. */
struct kv_held_message {
    enum kv_io_cause cause;
    char text[512];
};
void kv_message_hold(struct kv_held_message *held);
void kv_message_restore(const struct kv_held_message *held);

/* The name of a status, such as "KV_CORRUPT", for logs and tests. */
const char *kv_status_name(enum kv_status st);

#endif
