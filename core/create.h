/* Making a store in a directory, and deleting one. Both run with exclusive ATTACHED. */
#ifndef KV_CREATE_H
#define KV_CREATE_H

#include "engine.h"
#include "slice.h"

/* Create directory `path` and what is missing above it; permission bits `mode` for each new one. KV_OK if it is there. */
enum kv_status kv_create_directory(struct kv_io *io, const char *path,
                                   unsigned mode) KV_WARN_UNUSED;

/*
 * Make an empty store: a log with END, and a manifest, which is left in
 * engine->manifest. The engine's place has io, dir, path and file_mode; uuid
 * and hash seed are made up here. What an unfinished creation left is taken over;
 * segments with something in them are not: KV_CORRUPT, their manifest is missing.
 * KV_INVALID: the directory holds files that are no store's.
 */
enum kv_status kv_create_store(struct kv_engine *engine, struct kv_slice schema) KV_WARN_UNUSED;

/*
 * Replace an empty store (engine->manifest has been loaded) by a new one, with another uuid.
 * KV_EXISTS: it has had a transaction.
 */
enum kv_status kv_create_over(struct kv_engine *engine, struct kv_slice schema) KV_WARN_UNUSED;

/*
 * Make a log that ends with its header and an END, durable but for its name. `header` says
 * everything but role, uuid, time and record limit.
 */
enum kv_status kv_create_log(const struct kv_place *place, struct kv_header header) KV_WARN_UNUSED;

/* KV_OK if the directory has files of a store other than LOCK, else KV_NOTFOUND. Changes nothing. */
enum kv_status kv_create_check_store(struct kv_dir *dir, const char *path) KV_WARN_UNUSED;

/* Remove a store's own files, MANIFEST first. KV_NOTFOUND: there are none. */
enum kv_status kv_create_undo(struct kv_dir *dir, const char *path) KV_WARN_UNUSED;

/* Set the place's uuid and hash seed from the manifest. */
void kv_create_adopt(struct kv_engine *engine);

#endif
