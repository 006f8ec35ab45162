/* Where backups go: see backup_target.h. */
#include "backup_target.h"

#include <stdlib.h>

#include "cleanup.h"
#include "create.h"
#include "mutant.h"
#include "names.h"

enum { DIRECTORY_MODE = 0700 };

/* ---- What is in the directory? */

/* Is it a backup of this store that nobody has written to? */
static enum kv_status check_earlier(const struct kv_place *source, uint64_t lineage,
                                    const struct kv_manifest *earlier, const char *path)
{
    if (memcmp(earlier->uuid, source->uuid, KV_UUID_BYTES) != 0)
        return kv_fail(KV_MISMATCH, "%s: holds another store; choose an empty or new directory",
                       path);
    if (earlier->lineage != lineage)
        return kv_fail(
            KV_MISMATCH,
            "%s: the store there has gone its own way since it was a backup of this one; "
            "choose an empty or new directory",
            path);
    if (!earlier->is_backup)
        return kv_fail(KV_MISMATCH,
                       "%s: holds this store or a copy of it that is no backup; choose an empty or "
                       "new directory",
                       path);
    return KV_OK;
}

struct contents {
    bool foreign, segments;
};

static enum kv_status note_content(void *context, const char *name)
{
    struct contents *contents = context;
    uint64_t number;

    switch (kv_name_parse(name, &number)) {
    case KV_NAME_IS_OTHER: contents->foreign = true; break;
    case KV_NAME_IS_SEGMENT:
    case KV_NAME_IS_INDEX: contents->segments = true; break;
    default: break;
    }
    return KV_OK;
}

/* There are segments and no MANIFEST: fine, if they are left over from a first backup of this store. */
static enum kv_status check_unfinished(const struct kv_place *source, uint64_t lineage,
                                       struct kv_dir *dir, const char *path)
{
    struct kv_manifest begun;
    enum kv_status st = kv_manifest_read(dir, path, KV_NAME_BACKUP_TEMPORARY, &begun);

    if (st == KV_OK)
        st = check_earlier(source, lineage, &begun, path);
    else if (st == KV_NOTFOUND || st == KV_CORRUPT)
        st = kv_fail(KV_INVALID,
                     "%s: holds segments but no MANIFEST; choose an empty or new directory", path);
    kv_manifest_release(&begun);
    return st;
}

/* May a backup go there? Changes nothing. `*earlier` is the manifest of the backup that is there, or zeros. */
static enum kv_status examine(const struct kv_place *source, uint64_t lineage, struct kv_dir *dir,
                              const char *path, struct kv_manifest *earlier)
{
    struct contents contents = {0};
    enum kv_status st = kv_manifest_load(source->io, dir, path, earlier);

    if (st == KV_OK)
        return check_earlier(source, lineage, earlier, path);
    if (st != KV_NOTFOUND)
        return st;
    st = kv_io_dir_list(dir, note_content, &contents);
    if (st == KV_OK && contents.foreign)
        st =
            kv_fail(KV_INVALID,
                    "%s: is not empty and holds no backup; choose an empty or new directory", path);
    if (st == KV_OK && contents.segments)
        st = check_unfinished(source, lineage, dir, path);
    return st;
}

/* ---- Claiming */

/* The same before anything is touched, and without anybody's leave. */
static enum kv_status examine_unclaimed(const struct kv_place *source, uint64_t lineage,
                                        const char *path, bool *missing)
{
    struct kv_manifest earlier = {0};
    struct kv_dir *dir;
    enum kv_status st = kv_io_dir_open(source->io, path, &dir);

    *missing = st == KV_NOTFOUND;
    if (st != KV_OK)
        return *missing ? KV_OK : st;
    st = examine(source, lineage, dir, path, &earlier);
    kv_manifest_release(&earlier);
    kv_io_dir_close(dir);
    return st;
}

/* Remove the directory if it was created for the backup and is empty. Keeps the message. */
static void remove_made(const struct kv_backup_target *target, struct kv_io *io, const char *path)
{
    struct kv_held_message held;

    kv_message_hold(&held);
    if (target->made)
        (void)!kv_io_dir_remove(io, path);
    kv_message_restore(&held);
}

enum kv_status kv_backup_target_claim(struct kv_backup_target *target,
                                      const struct kv_place *source, uint64_t lineage,
                                      const char *path)
{
    struct kv_engine *engine;
    enum kv_status st = examine_unclaimed(source, lineage, path, &target->made);

    target->store = NULL;
    target->settled = false;
    if (st == KV_OK && target->made)
        st = kv_create_directory(source->io, path, DIRECTORY_MODE);
    if (st == KV_OK)
        st = kv_store_claim(source->io, path, source->file_mode, &target->store);
    if (st != KV_OK) {
        remove_made(target, source->io, path);
        return st;
    }
    engine = &target->store->engine;
    memcpy(engine->place.uuid, source->uuid, KV_UUID_BYTES);
    engine->place.hash_seed = source->hash_seed;
    st = examine(source, lineage, engine->place.dir, engine->path, &engine->manifest);
    if (st == KV_OK)
        return KV_OK;
    kv_store_unclaim(target->store); /* untouched: what is there was put there this instant */
    target->store = NULL;
    return st;
}

/* ---- Beginning and finishing */

/*
 * Remove what the manifest does not name: segments before what says that they are nobody's. Without
 * a manifest they are gone for good before that goes, also one that could not be copied and went by itself.
 */
static enum kv_status tidy(struct kv_engine *engine)
{
    enum kv_status st = kv_cleanup(engine, false);

    if (st == KV_OK && engine->manifest.generation == 0)
        st = KV_UNLESS_MUTANT(undone_copy_may_return, kv_io_dir_sync(engine->place.dir));
    return st == KV_OK ? kv_cleanup(engine, true) : st;
}

/* Does the earlier backup's manifest survive a crash? Whoever put it in place has said so. */
static bool is_confirmed(const struct kv_engine *engine)
{
    return kv_page_load(&engine->page->generation) == engine->manifest.generation ||
           KV_MUTANT(unconfirmed_backup_trusted);
}

/*
 * An attempt that failed at its very end leaves a manifest of which nobody knows whether a crash takes it
 * back: then the one before it counts again, and needs its files. A second sync of the directory
 * says nothing after one that failed, so it is put in place anew.
 */
static enum kv_status confirm(struct kv_engine *engine)
{
    struct kv_place *place = &engine->place;
    bool renamed;
    enum kv_status st;

    if (engine->manifest.generation == 0 || is_confirmed(engine))
        return KV_OK;
    engine->manifest.generation++;
    kv_page_store(&engine->page->generation, 0);
    st = kv_manifest_replace(place->io, place->dir, place->file_mode, &engine->manifest, &renamed);
    if (st == KV_OK)
        kv_page_store(&engine->page->generation, engine->manifest.generation);
    return st;
}

enum kv_status kv_backup_target_begin(struct kv_backup_target *target,
                                      const struct kv_manifest *next)
{
    struct kv_place *place = &target->store->engine.place;
    enum kv_status st = confirm(&target->store->engine);

    if (st == KV_OK)
        st = tidy(&target->store->engine);

    if (st != KV_OK || !kv_backup_target_is_new(target))
        return st;
    /* The directory may be left over from a backup that ended before its name was durable. */
    st = kv_create_directory(place->io, place->path, DIRECTORY_MODE);
    if (st == KV_OK)
        st = kv_manifest_write(place->dir, KV_NAME_BACKUP_TEMPORARY, place->file_mode, next);
    return st == KV_OK ? KV_UNLESS_MUTANT(backup_begun_without_sync, kv_io_dir_sync(place->dir))
                       : st;
}

enum kv_status kv_backup_target_finish(struct kv_backup_target *target, struct kv_manifest *next)
{
    struct kv_engine *engine = &target->store->engine;
    struct kv_place *place = &engine->place;
    struct kv_held_message held;
    bool renamed;
    enum kv_status st;

    /* LOCK may be left over from another store: no manifest has been announced. */
    kv_page_store(&engine->page->generation, 0);
    st = kv_manifest_replace(place->io, place->dir, place->file_mode, next, &renamed);
    target->settled = renamed; /* a crash may bring either back, so both sets of files stay */
    if (st != KV_OK &&
        !renamed) /* the earlier one is still what kv_backup_target_begin confirmed */
        kv_page_store(&engine->page->generation, engine->manifest.generation);
    if (st != KV_OK)
        return st;
    kv_page_store(&engine->page->generation, next->generation);
    kv_manifest_release(&engine->manifest);
    engine->manifest = *next;
    *next = (struct kv_manifest){0};
    kv_message_hold(&held);
    (void)!tidy(engine); /* the next opening, or backup, tries again */
    kv_message_restore(&held);
    return KV_OK;
}

/* Nothing has come of a backup: leave the directory as it was. What cannot be removed is known as left over. */
static void undo(struct kv_backup_target *target)
{
    struct kv_engine *engine = &target->store->engine;

    if (engine->manifest.generation != 0 && !is_confirmed(engine))
        return; /* the next backup sees to that, or opening does */
    if (tidy(engine) == KV_OK && target->made &&
        kv_io_unlink(engine->place.dir, KV_NAME_LOCK) == KV_OK)
        remove_made(target, engine->place.io, engine->path);
}

void kv_backup_target_leave(struct kv_backup_target *target)
{
    struct kv_held_message held;

    if (!target->store)
        return;
    kv_message_hold(&held);
    if (!target->settled)
        undo(target);
    kv_store_unclaim(target->store);
    kv_message_restore(&held);
}
