/* Engine statuses for SQLite: see errors.h. */
#include "errors.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

/* The extended code of what the system failed to do, as SQLite's own files have it. */
static int code_of_cause(enum kv_io_cause cause)
{
    switch (cause) {
    case KV_IO_READ: return SQLITE_IOERR_READ;
    case KV_IO_WRITE: return SQLITE_IOERR_WRITE;
    case KV_IO_SYNC: return SQLITE_IOERR_FSYNC;
    case KV_IO_DIR_SYNC: return SQLITE_IOERR_DIR_FSYNC;
    case KV_IO_RESIZE: return SQLITE_IOERR_TRUNCATE;
    case KV_IO_EXAMINE: return SQLITE_IOERR_FSTAT;
    case KV_IO_REMOVE: return SQLITE_IOERR_DELETE;
    case KV_IO_LOCK: return SQLITE_IOERR_LOCK;
    case KV_IO_MAP: return SQLITE_IOERR_MMAP;
    case KV_IO_OTHER: break;
    }
    return SQLITE_IOERR;
}

int kv_code_of(enum kv_status st)
{
    switch (st) {
    case KV_OK:
    case KV_DONE: return SQLITE_OK;
    case KV_NOMEM: return SQLITE_NOMEM;
    case KV_IOERR: return code_of_cause(kv_io_cause());
    case KV_FULL: return SQLITE_FULL;
    case KV_CORRUPT: return SQLITE_CORRUPT_VTAB;
    case KV_BUSY: return SQLITE_BUSY;
    case KV_BUSY_SNAPSHOT: return SQLITE_BUSY_SNAPSHOT;
    case KV_READONLY: return SQLITE_READONLY;
    case KV_TOOBIG: return SQLITE_TOOBIG;
    case KV_NOTFOUND: return SQLITE_CANTOPEN;
    case KV_ABORTED: return SQLITE_ABORT_ROLLBACK;
    case KV_INTERRUPTED: return SQLITE_INTERRUPT;
    case KV_EXISTS:
    case KV_MISMATCH:
    case KV_NEWER:
    case KV_INVALID: return SQLITE_ERROR;
    }
    return SQLITE_ERROR;
}

int kv_error(char **error, int code, const char *name, const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    text = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    sqlite3_free(*error);
    *error = text ? sqlite3_mprintf("%s: %s", name, text) : NULL;
    sqlite3_free(text);
    return code;
}

/* What helps against damage, whatever it is that is damaged. Repair itself knows nothing better. */
static const char *advice_on(enum kv_status st, const char *name)
{
    if (st != KV_CORRUPT || strcmp(name, "kv_repair") == 0)
        return "";
    return "; restore a backup, or salvage what is left with kv_repair()";
}

int kv_error_of(char **error, const char *name, enum kv_status st)
{
    return kv_error(error, kv_code_of(st), name, "%s%s", kv_message(), advice_on(st, name));
}

int kv_error_of_sqlite(char **error, const char *name, sqlite3 *db)
{
    int code = sqlite3_extended_errcode(db);

    /* It was not SQLite that failed but an allocation on the way to it. */
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
        return kv_error(error, SQLITE_NOMEM, name, "out of memory");
    return kv_error(error, code, name, "%s", sqlite3_errmsg(db));
}

void kv_result_error(sqlite3_context *context, int code, char *error)
{
    if (error)
        sqlite3_result_error(context, error, -1);
    sqlite3_result_error_code(context, code);
    sqlite3_free(error);
}
