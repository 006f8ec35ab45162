/* The thread-local message behind `enum kv_status`. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 512 };

static _Thread_local char message[MESSAGE_BYTES];
static _Thread_local enum kv_io_cause io_cause;
_Static_assert(sizeof(((struct kv_held_message *)0)->text) == MESSAGE_BYTES,
               "a held message is whole");

enum kv_status kv_fail(enum kv_status st, const char *format, ...)
{
    /* The arguments may point into the message, so it is built apart. */
    char text[MESSAGE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    memcpy(message, text, sizeof(text));
    io_cause = KV_IO_OTHER;
    return st;
}

enum kv_status kv_fail_in(enum kv_status st, const char *format, ...)
{
    enum kv_io_cause cause = io_cause;
    char prefix[MESSAGE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(prefix, sizeof(prefix), format, arguments);
    va_end(arguments);
    st = kv_fail(st, "%s: %s", prefix, message);
    io_cause = cause;
    return st;
}

enum kv_status kv_fail_after(enum kv_status st, const char *format, ...)
{
    size_t size = strlen(message);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message + size, sizeof(message) - size, format, arguments);
    va_end(arguments);
    return st;
}

enum kv_io_cause kv_io_cause(void)
{
    return io_cause;
}

enum kv_status kv_io_note(enum kv_io_cause cause, enum kv_status st)
{
    if (st == KV_IOERR)
        io_cause = cause;
    return st;
}

enum kv_status kv_fail_nomem(void)
{
    return kv_fail(KV_NOMEM, "out of memory");
}

const char *kv_message(void)
{
    return message;
}

void kv_message_hold(struct kv_held_message *held)
{
    held->cause = io_cause;
    memcpy(held->text, message, sizeof(message));
}

void kv_message_restore(const struct kv_held_message *held)
{
    io_cause = held->cause;
    memcpy(message, held->text, sizeof(message));
}

const char *kv_status_name(enum kv_status st)
{
    switch (st) {
    case KV_OK: return "KV_OK";
    case KV_DONE: return "KV_DONE";
    case KV_NOMEM: return "KV_NOMEM";
    case KV_IOERR: return "KV_IOERR";
    case KV_FULL: return "KV_FULL";
    case KV_CORRUPT: return "KV_CORRUPT";
    case KV_BUSY: return "KV_BUSY";
    case KV_BUSY_SNAPSHOT: return "KV_BUSY_SNAPSHOT";
    case KV_READONLY: return "KV_READONLY";
    case KV_TOOBIG: return "KV_TOOBIG";
    case KV_NOTFOUND: return "KV_NOTFOUND";
    case KV_EXISTS: return "KV_EXISTS";
    case KV_MISMATCH: return "KV_MISMATCH";
    case KV_NEWER: return "KV_NEWER";
    case KV_INVALID: return "KV_INVALID";
    case KV_ABORTED: return "KV_ABORTED";
    case KV_INTERRUPTED: return "KV_INTERRUPTED";
    }
    return "unknown status";
}
