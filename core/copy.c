/*
 * Copying files: see copy.h.
 *
 * A copy is written and synced piece by piece, and whoever wants it may say
 * between pieces that it is no longer wanted: a sync of all of it at the end could
 * not be interrupted.
 */
#include "copy.h"
#include "mutant.h"

#include <stdlib.h>

enum { PIECE_BYTES = 1024 * 1024, SYNC_EVERY_COUNT = 8 };

struct copy {
    const struct kv_place *to;
    const char *name;
    const struct kv_settings *settings;
    struct kv_file *file;
    uint64_t size_bytes; /* so far */
    unsigned piece_count;
};

enum kv_status kv_copy_goes_on(const struct kv_settings *settings)
{
    if (settings->interrupted && settings->interrupted(settings->interrupted_context))
        return kv_fail(KV_INTERRUPTED, "the backup was interrupted");
    return KV_OK;
}

static enum kv_status begin(struct copy *copy)
{
    return kv_io_file_open(copy->to->dir, copy->name, KV_OPEN_WRITE | KV_OPEN_CREATE | KV_OPEN_EXCL,
                           copy->to->file_mode, &copy->file);
}

/* Write at most PIECE_BYTES behind what is there. */
static enum kv_status add_piece(struct copy *copy, struct kv_slice piece)
{
    enum kv_status st = kv_copy_goes_on(copy->settings);

    if (st == KV_OK)
        st = kv_io_write(copy->file, copy->size_bytes, piece.data, piece.size);
    copy->size_bytes += piece.size;
    if (st == KV_OK && ++copy->piece_count % SYNC_EVERY_COUNT == 0)
        st = kv_io_datasync(copy->file);
    return st;
}

static enum kv_status add(struct copy *copy, struct kv_slice bytes)
{
    enum kv_status st = KV_OK;

    for (size_t at = 0; at < bytes.size && st == KV_OK; at += PIECE_BYTES) {
        size_t size = bytes.size - at < PIECE_BYTES ? bytes.size - at : PIECE_BYTES;

        st = add_piece(copy, kv_slice_of(bytes.data + at, size));
    }
    return st;
}

/* Nothing may be missing, or nothing is left. `st` is what has become of it so far. */
static enum kv_status finish(struct copy *copy, enum kv_status st)
{
    struct kv_held_message held;

    if (st == KV_OK)
        st = KV_UNLESS_MUTANT(copy_without_sync, kv_io_sync(copy->file));
    kv_io_file_close(copy->file);
    if (st == KV_OK)
        return KV_OK;
    kv_message_hold(&held);
    (void)!kv_io_unlink(copy->to->dir, copy->name);
    kv_message_restore(&held);
    return st;
}

enum kv_status kv_copy_bytes(const struct kv_place *to, const char *name, struct kv_slice head,
                             struct kv_slice rest, const struct kv_settings *settings)
{
    struct copy copy = {.to = to, .name = name, .settings = settings};
    enum kv_status st = begin(&copy);

    if (st != KV_OK)
        return st;
    st = add(&copy, head);
    if (st == KV_OK)
        st = add(&copy, rest);
    return finish(&copy, st);
}

/* Read rather than mapped: what its owner cuts off behind its end meanwhile is of no interest. */
static enum kv_status add_file(struct copy *copy, struct kv_file *from)
{
    uint8_t *piece = malloc(PIECE_BYTES);
    size_t got = PIECE_BYTES;
    enum kv_status st = piece ? KV_OK : kv_fail_nomem();

    while (st == KV_OK && got == PIECE_BYTES) {
        st = kv_io_read(from, copy->size_bytes, piece, PIECE_BYTES, &got);
        if (st == KV_OK && got > 0)
            st = add_piece(copy, kv_slice_of(piece, got));
    }
    free(piece);
    return st;
}

enum kv_status kv_copy_file(const struct kv_place *to, const struct kv_place *from,
                            const char *name, const struct kv_settings *settings,
                            uint64_t *copied_bytes)
{
    struct copy copy = {.to = to, .name = name, .settings = settings};
    struct kv_file *file;
    enum kv_status st = kv_io_file_open(from->dir, name, 0, 0, &file);

    *copied_bytes = 0;
    if (st != KV_OK)
        return st;
    st = begin(&copy);
    if (st == KV_OK)
        st = finish(&copy, add_file(&copy, file));
    kv_io_file_close(file);
    if (st == KV_OK)
        *copied_bytes = copy.size_bytes;
    return st;
}
