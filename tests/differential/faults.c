/* Failures on request: see faults.h. */
#include "faults.h"

#include <string.h>

struct faulty {
    sqlite3_vtab base;
    struct faults *faults;
};

static struct faults *faults_of(sqlite3_vtab *vtab)
{
    return ((struct faulty *)vtab)->faults;
}

static int faulty_connect(sqlite3 *db, void *context, int argc, const char *const *argv,
                          sqlite3_vtab **out, char **error)
{
    struct faulty *faulty;
    int code = sqlite3_declare_vtab(db, "CREATE TABLE x(what)");

    (void)argc, (void)argv, (void)error;
    *out = NULL;
    if (code != SQLITE_OK)
        return code;
    faulty = (struct faulty *)sqlite3_malloc64(sizeof(*faulty));
    if (!faulty)
        return SQLITE_NOMEM;
    *faulty = (struct faulty){.faults = (struct faults *)context};
    *out = &faulty->base;
    return SQLITE_OK;
}

static int faulty_disconnect(sqlite3_vtab *vtab)
{
    sqlite3_free(vtab);
    return SQLITE_OK;
}

static int faulty_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    (void)vtab;
    info->estimatedCost = 1;
    return SQLITE_OK;
}

/* It has no rows to read. */
static int faulty_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    (void)vtab;
    *out = NULL;
    return SQLITE_ERROR;
}

static int faulty_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid)
{
    const char *what = argc > 2 ? (const char *)sqlite3_value_text(argv[2]) : NULL;

    if (what && strcmp(what, "fail") == 0)
        faults_of(vtab)->fails = true;
    *rowid = 1;
    return SQLITE_OK;
}

static int faulty_begin(sqlite3_vtab *vtab)
{
    faults_of(vtab)->fails = false;
    return SQLITE_OK;
}

static int faulty_sync(sqlite3_vtab *vtab)
{
    if (!faults_of(vtab)->fails)
        return SQLITE_OK;
    vtab->zErrMsg = sqlite3_mprintf("faulty: told to fail");
    return SQLITE_IOERR;
}

static int faulty_end(sqlite3_vtab *vtab)
{
    faults_of(vtab)->fails = false;
    return SQLITE_OK;
}

static const sqlite3_module module = {
    .iVersion = 2,
    .xConnect = faulty_connect, /* without xCreate: there under its own name */
    .xBestIndex = faulty_best_index,
    .xDisconnect = faulty_disconnect,
    .xOpen = faulty_open,
    .xUpdate = faulty_update,
    .xBegin = faulty_begin,
    .xSync = faulty_sync,
    .xCommit = faulty_end,
    .xRollback = faulty_end,
};

static int refuse(void *context)
{
    struct faults *faults = (struct faults *)context;
    bool veto = faults->veto;

    faults->veto = false;
    return veto;
}

int faults_register(sqlite3 *db, struct faults *faults)
{
    sqlite3_commit_hook(db, refuse, faults);
    return sqlite3_create_module(db, "faulty", &module, faults);
}
