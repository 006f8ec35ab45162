/* Keeping damaged files: see quarantine.h. */
#include "quarantine.h"

#include <stdio.h>
#include <stdlib.h>

#include "create.h"
#include "mutant.h"
#include "names.h"

enum { COPY_BYTES = 1 << 20, PAGE_BYTES = 4096, NAMES_MAX = 100000 };

struct kv_quarantine {
    const struct kv_place *place;
    char *path;
    struct kv_dir *dir;
};

/* A link could lead files away from the store. */
static enum kv_status check_is_ours(const struct kv_quarantine *quarantine)
{
    struct kv_identity named, opened;
    enum kv_status st = kv_io_name_identity(quarantine->place->dir, KV_NAME_QUARANTINE, &named);

    if (st == KV_OK)
        st = kv_io_dir_identity(quarantine->dir, &opened);
    if (st == KV_OK && (named.device != opened.device || named.inode != opened.inode))
        st = kv_fail(KV_INVALID, "%s: leads to another place; remove it", quarantine->path);
    return st;
}

enum kv_status kv_quarantine_open(const struct kv_place *place, struct kv_quarantine **out)
{
    size_t size = strlen(place->path) + sizeof("/" KV_NAME_QUARANTINE);
    struct kv_quarantine *quarantine = calloc(1, sizeof(*quarantine));
    unsigned mode = place->file_mode;
    enum kv_status st;

    *out = NULL;
    if (!quarantine)
        return kv_fail_nomem();
    quarantine->place = place;
    quarantine->path = malloc(size);
    if (!quarantine->path) {
        free(quarantine);
        return kv_fail_nomem();
    }
    snprintf(quarantine->path, size, "%s/" KV_NAME_QUARANTINE, place->path);
    st = kv_create_directory(place->io, quarantine->path, mode | (mode & 0444) >> 2);
    if (st == KV_OK)
        st = kv_io_dir_open(place->io, quarantine->path, &quarantine->dir);
    if (st == KV_OK)
        st = check_is_ours(quarantine);
    if (st != KV_OK) {
        kv_quarantine_close(quarantine);
        return st;
    }
    *out = quarantine;
    return KV_OK;
}

void kv_quarantine_close(struct kv_quarantine *quarantine)
{
    if (!quarantine)
        return;
    kv_io_dir_close(quarantine->dir);
    free(quarantine->path);
    free(quarantine);
}

const char *kv_quarantine_path(const struct kv_quarantine *quarantine)
{
    return quarantine->path;
}

/* ---- Keeping */

/* Copy what can be read; pages that cannot be are left as zeros. */
static enum kv_status copy_bytes(struct kv_file *from, struct kv_file *to)
{
    uint8_t *bytes = malloc(COPY_BYTES);
    uint64_t size = 0, at = 0;
    size_t got, chunk = COPY_BYTES;
    enum kv_status st = bytes ? kv_io_file_size(from, &size) : kv_fail_nomem();

    while (st == KV_OK && at < size) {
        chunk = size - at < chunk ? (size_t)(size - at) : chunk;
        if (kv_io_read(from, at, bytes, chunk, &got) == KV_OK) {
            st = kv_io_write(to, at, bytes, got);
            at += chunk;
            chunk = COPY_BYTES;
        } else if (chunk > PAGE_BYTES) {
            chunk = PAGE_BYTES;
        } else {
            at += chunk;
        }
    }
    if (st == KV_OK)
        st = kv_io_truncate(to, size);
    free(bytes);
    return st == KV_OK ? KV_UNLESS_MUTANT(quarantined_copy_without_sync, kv_io_sync(to)) : st;
}

static enum kv_status copy_file(struct kv_quarantine *quarantine, const char *name)
{
    const struct kv_place *place = quarantine->place;
    struct kv_file *from, *to = NULL;
    enum kv_status st = kv_io_file_open(place->dir, name, 0, 0, &from);

    if (st != KV_OK)
        return st;
    st = kv_io_file_open(quarantine->dir, name, KV_OPEN_WRITE | KV_OPEN_CREATE | KV_OPEN_EXCL,
                         place->file_mode, &to);
    if (st == KV_OK)
        st = copy_bytes(from, to);
    kv_io_file_close(from);
    kv_io_file_close(to);
    return st;
}

/* Give what has a name in the quarantine another one: the name with the next free number. */
static enum kv_status step_aside(struct kv_quarantine *quarantine, const char *name)
{
    char other[KV_NAME_BYTES + 16];
    struct kv_identity identity;

    for (unsigned i = 2; i < NAMES_MAX; i++) {
        enum kv_status st;

        snprintf(other, sizeof(other), "%s.%u", name, i);
        st = kv_io_name_identity(quarantine->dir, other, &identity);
        if (st == KV_NOTFOUND)
            return kv_io_rename(quarantine->dir, name, other);
        if (st != KV_OK)
            return st;
    }
    return kv_fail(KV_EXISTS, "%s: too many files named %s", quarantine->path, name);
}

/* Is the file kept already, by a repair that was interrupted? */
static bool is_kept(struct kv_quarantine *quarantine, const char *name)
{
    struct kv_identity here, there;

    return kv_io_name_identity(quarantine->place->dir, name, &here) == KV_OK &&
           kv_io_name_identity(quarantine->dir, name, &there) == KV_OK &&
           here.device == there.device && here.inode == there.inode;
}

enum kv_status kv_quarantine_keep(struct kv_quarantine *quarantine, const char *name)
{
    enum kv_status st = kv_io_link(quarantine->place->dir, name, quarantine->dir);

    if (st == KV_EXISTS && is_kept(quarantine, name))
        return KV_OK;
    if (st == KV_EXISTS) {
        st = step_aside(quarantine, name);
        if (st == KV_OK)
            st = kv_io_link(quarantine->place->dir, name, quarantine->dir);
    }
    if (st == KV_INVALID)
        st = copy_file(quarantine, name);
    return st == KV_NOTFOUND ? KV_OK : st;
}

enum kv_status kv_quarantine_sync(struct kv_quarantine *quarantine)
{
    return KV_UNLESS_MUTANT(quarantine_without_sync, kv_io_dir_sync(quarantine->dir));
}
