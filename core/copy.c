/* Copying files: see copy.h. */
#include "copy.h"

/* Synced bit by bit: the sync at the end cannot be interrupted. */
enum { CHUNK_BYTES = 1024 * 1024, SYNC_EVERY_CHUNKS = 8 };

enum kv_status kv_copy_goes_on(const struct kv_settings *settings)
{
    if (settings->interrupted && settings->interrupted(settings->interrupted_context))
        return kv_fail(KV_INTERRUPTED, "the backup was interrupted");
    return KV_OK;
}

/* Write all of `bytes` from `offset` on. */
static enum kv_status write_bytes(struct kv_file *file, uint64_t offset, struct kv_slice bytes,
                                  const struct kv_settings *settings)
{
    enum kv_status st = KV_OK;
    unsigned chunk_count = 0;

    for (size_t at = 0; at < bytes.size && st == KV_OK; at += CHUNK_BYTES) {
        size_t size = bytes.size - at < CHUNK_BYTES ? bytes.size - at : CHUNK_BYTES;

        st = kv_copy_goes_on(settings);
        if (st == KV_OK)
            st = kv_io_write(file, offset + at, bytes.data + at, size);
        if (st == KV_OK && ++chunk_count % SYNC_EVERY_CHUNKS == 0)
            st = kv_io_datasync(file);
    }
    return st;
}

enum kv_status kv_copy_bytes(const struct kv_place *to, const char *name, struct kv_slice head,
                             struct kv_slice rest, const struct kv_settings *settings)
{
    struct kv_held_message held;
    struct kv_file *file;
    enum kv_status st = kv_io_file_open(
        to->dir, name, KV_OPEN_WRITE | KV_OPEN_CREATE | KV_OPEN_EXCL, to->file_mode, &file);

    if (st != KV_OK)
        return st;
    st = write_bytes(file, 0, head, settings);
    if (st == KV_OK)
        st = write_bytes(file, head.size, rest, settings);
    if (st == KV_OK)
        st = kv_io_sync(file);
    kv_io_file_close(file);
    if (st != KV_OK) {
        kv_message_hold(&held);
        (void)!kv_io_unlink(to->dir, name);
        kv_message_restore(&held);
    }
    return st;
}
