/*
 * The directory that a backup goes to: new, empty, or with an earlier backup of
 * the same store. Whatever else is there is refused, and not touched.
 *
 * While a backup is made the directory is claimed (store.h). Until its manifest
 * is in place, the earlier backup's is: it opens as it did, and what has been
 * brought for the new one is unlisted, which whoever opens it removes. A first
 * backup has no manifest to fall back on; a file BACKUP.attached.tmp, durable before any
 * segment is there and removed after the last one, says that what is there is nobody's
 * data, so that the next backup may begin anew.
 */
#ifndef KV_BACKUP_TARGET_H
#define KV_BACKUP_TARGET_H

#include "store.h"

struct kv_backup_target {
    struct kv_store
        *store;   /* claimed; engine.manifest is the earlier backup's, zeros if there is none */
    bool made;    /* the directory has been created for it */
    bool settled; /* the new manifest is in place: there is nothing to undo */
};

/*
 * Open or create directory `path` and claim it for a backup of the store with the uuid and
 * lineage of `source`. Its place is the store's then. KV_MISMATCH: another store, or one
 * that was written to; KV_INVALID: other files; KV_BUSY: somebody has it open.
 */
enum kv_status kv_backup_target_claim(struct kv_backup_target *target,
                                      const struct kv_place *source, uint64_t lineage,
                                      const char *path) KV_WARN_UNUSED;

static inline bool kv_backup_target_is_new(const struct kv_backup_target *target)
{
    return target->store->engine.manifest.generation == 0;
}

/*
 * Remove what an unfinished backup has left, and make sure that what an unfinished first one
 * will leave is known as such. `next` is about what it will be.
 */
enum kv_status kv_backup_target_begin(struct kv_backup_target *target,
                                      const struct kv_manifest *next) KV_WARN_UNUSED;

/*
 * Every file that `*next` names is there and durable, but for its name: make it the
 * backup (P0). Takes `*next` over; then what only the earlier one named is unlinked. On
 * failure the earlier one stays, or, if it was to be replaced at that moment, either.
 */
enum kv_status kv_backup_target_finish(struct kv_backup_target *target,
                                       struct kv_manifest *next) KV_WARN_UNUSED;

/* Give the directory back. If the backup has not been finished, what it has brought is removed. Keeps the message. */
void kv_backup_target_leave(struct kv_backup_target *target);

#endif
