/*
 * MANIFEST as a file: reading it, and replacing it in the order that promise P0
 * needs. A reader that opened the file keeps reading that one, whatever is
 * renamed over its name meanwhile.
 */
#include <inttypes.h>
#include <stdio.h>

#include "manifest.h"
#include "mutant.h"
#include "names.h"

/* ---- Loading */

static enum kv_status read_all(struct kv_file *file, struct kv_buffer *out)
{
    uint64_t size;
    size_t got;
    uint8_t *at;
    enum kv_status st;

    st = kv_io_file_size(file, &size);
    if (st != KV_OK)
        return st;
    /* A sparse file may claim any size. */
    if (size > KV_MANIFEST_MAX_BYTES)
        return kv_fail(KV_CORRUPT, "%" PRIu64 " bytes are over the limit of %d", size,
                       KV_MANIFEST_MAX_BYTES);
    at = kv_buffer_reserve(out, (size_t)size);
    if (!at)
        return kv_fail_nomem();
    st = kv_io_read(file, 0, at, (size_t)size, &got);
    if (st == KV_OK)
        out->size = got;
    return st;
}

enum kv_status kv_manifest_read(struct kv_dir *dir, const char *path, const char *name,
                                struct kv_manifest *out)
{
    struct kv_buffer bytes = {0};
    struct kv_file *file = NULL;
    enum kv_status st;

    *out = (struct kv_manifest){0};
    st = kv_io_file_open(dir, name, 0, 0, &file);
    if (st != KV_OK)
        goto out;
    st = read_all(file, &bytes);
    if (st == KV_OK)
        st = kv_manifest_decode(kv_buffer_slice(&bytes), out);
    if (st == KV_CORRUPT || st == KV_NEWER)
        st = kv_fail_in(st, "%s/%s", path, name);
out:
    kv_io_file_close(file);
    kv_buffer_release(&bytes);
    return st;
}

enum kv_status kv_manifest_load(struct kv_io *io, struct kv_dir *dir, const char *path,
                                struct kv_manifest *out)
{
    (void)io; /* `dir` knows its world */
    return kv_manifest_read(dir, path, KV_NAME_MANIFEST, out);
}

/* ---- Replacing */

/*
 * A new file with the temporary's name. What has that name is left over from
 * a process that died (whoever replaces MANIFEST is alone at it), and may have
 * been through a failed fsync: it is never written again.
 */
static enum kv_status create_temporary(struct kv_dir *dir, const char *name, unsigned file_mode,
                                       struct kv_file **out)
{
    enum kv_status st = kv_io_unlink(dir, name);

    if (st != KV_OK && st != KV_NOTFOUND)
        return st;
    return kv_io_file_open(dir, name, KV_OPEN_WRITE | KV_OPEN_CREATE | KV_OPEN_EXCL, file_mode,
                           out);
}

static enum kv_status write_temporary(struct kv_dir *dir, const char *name, unsigned file_mode,
                                      struct kv_slice bytes)
{
    struct kv_file *file = NULL;
    enum kv_status st;

    st = create_temporary(dir, name, file_mode, &file);
    if (st == KV_OK)
        st = kv_io_write(file, 0, bytes.data, bytes.size);
    if (st == KV_OK)
        st = KV_UNLESS_MUTANT(manifest_without_sync, kv_io_sync(file));
    kv_io_file_close(file);
    return st;
}

enum kv_status kv_manifest_write(struct kv_dir *dir, const char *name, unsigned file_mode,
                                 const struct kv_manifest *manifest)
{
    struct kv_buffer bytes = {0};
    enum kv_status st = kv_manifest_encode(manifest, &bytes);

    if (st == KV_OK)
        st = write_temporary(dir, name, file_mode, kv_buffer_slice(&bytes));
    kv_buffer_release(&bytes);
    return st;
}

/* Give back the space of an unfinished temporary; the failure being reported keeps its message. */
static enum kv_status remove_temporary(struct kv_dir *dir, enum kv_status st)
{
    struct kv_held_message held;

    kv_message_hold(&held);
    /* If it stays, the next replacement or opening removes it. */
    (void)!kv_io_unlink(dir, KV_NAME_MANIFEST_TEMPORARY);
    kv_message_restore(&held);
    return st;
}

enum kv_status kv_manifest_replace(struct kv_io *io, struct kv_dir *dir, unsigned file_mode,
                                   const struct kv_manifest *manifest, bool *renamed)
{
    struct kv_buffer bytes = {0};
    enum kv_status st;

    (void)io; /* `dir` knows its world */
    *renamed = false;
    st = kv_manifest_encode(manifest, &bytes);
    if (st != KV_OK)
        goto out;

    /* A manifest that is durable never names files whose names are not. */
    st = KV_UNLESS_MUTANT(names_without_sync, kv_io_dir_sync(dir));
    if (st != KV_OK)
        goto out;
    st = write_temporary(dir, KV_NAME_MANIFEST_TEMPORARY, file_mode, kv_buffer_slice(&bytes));
    if (st == KV_OK)
        st = kv_io_rename(dir, KV_NAME_MANIFEST_TEMPORARY, KV_NAME_MANIFEST);
    if (st != KV_OK) {
        st = remove_temporary(dir, st);
        goto out;
    }
    *renamed = true;
    st = KV_UNLESS_MUTANT(manifest_name_without_sync, kv_io_dir_sync(dir));
    if (st != KV_OK)
        st = kv_fail_in(st, "the new manifest is in place, but may not survive a crash");
out:
    kv_buffer_release(&bytes);
    return st;
}
