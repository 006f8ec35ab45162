/*
 * SQLite as this extension sees it: the header of the host that compiled it,
 * and a careful way to what newer hosts have.
 *
 * A loadable extension calls SQLite through a table of functions that grows
 * with every release. A call that the running host lacks lies past the end of
 * its table, so newer ones are gated by sqlite3_libversion_number().
 */
#ifndef KV_EXT_SQLITE_H
#define KV_EXT_SQLITE_H

/* The table's address is a symbol of ours, so it has our prefix. */
#define sqlite3_api kv_sqlite3_api
#include <sqlite3ext.h>

SQLITE_EXTENSION_INIT3

enum {
    KV_SQLITE_MIN = 3038000,            /* sqlite3_vtab_in() */
    KV_SQLITE_IS_INTERRUPTED = 3041000, /* sqlite3_is_interrupted() */
    KV_SQLITE_INTEGRITY = 3044000,      /* sqlite3_module.xIntegrity */
};

#if SQLITE_VERSION_NUMBER < 3041000 && !defined(SQLITE_CORE)
/* The member that release 3.41 appended to the table as 3.40 knows it. */
struct kv_sqlite_3_41 {
    sqlite3_api_routines routines;
#if SQLITE_VERSION_NUMBER < 3039000
    void *release_3_39[3];
#endif
#if SQLITE_VERSION_NUMBER < 3040000
    void *release_3_40;
#endif
    int (*is_interrupted)(sqlite3 *);
};
#define kv_sqlite_is_interrupted(db)                                                               \
    (((const struct kv_sqlite_3_41 *)(const void *)sqlite3_api)->is_interrupted(db))
#define KV_HAS_IS_INTERRUPTED() (sqlite3_libversion_number() >= KV_SQLITE_IS_INTERRUPTED)
#elif SQLITE_VERSION_NUMBER < 3041000
#define kv_sqlite_is_interrupted(db) ((void)(db), 0)
#define KV_HAS_IS_INTERRUPTED() 0
#else
#define kv_sqlite_is_interrupted(db) sqlite3_is_interrupted(db)
#define KV_HAS_IS_INTERRUPTED() (sqlite3_libversion_number() >= KV_SQLITE_IS_INTERRUPTED)
#endif

#endif
