/* Inside of a store in memory (world.h): its engine, and what it does by itself, on demand. */
#ifndef KV_TESTS_ENGINE_WORLD_H
#define KV_TESTS_ENGINE_WORLD_H

#include "store.h"
#include "world.h"

static inline struct kv_engine *engine_of(struct world *world)
{
    return &world->store->engine;
}

/* The runs as the manifest has them. Valid until it is replaced. */
static inline const struct kv_run *run_of(struct world *world, size_t run)
{
    return &world->store->engine.manifest.runs[run];
}

/* Seal the active log, holding WRITER, and leave it without index. */
enum kv_status engine_try_only_seal(struct world *world);
void engine_only_seal(struct world *world);

/* Seal the active log and make it a run. */
enum kv_status engine_try_seal(struct world *world);
void engine_seal(struct world *world);

/* Merge as the policy says, or everything, holding COMPACTOR. NULL: the world's settings. */
enum kv_status engine_try_policy(struct world *world, const struct kv_settings *settings);
enum kv_status engine_try_merge(struct world *world, const struct kv_settings *settings);

/* "/db/segment_N.db"; "/db/NAME". Valid until the next call of either. */
const char *segment_path(uint64_t number);
const char *world_path(const char *name);

/* A copy of a file's bytes, to be put back later; release with kv_buffer_release. */
struct kv_buffer file_save(struct world *world, const char *name);
void file_restore(struct world *world, const char *name, const struct kv_buffer *bytes);

/* Names of the store's files but LOCK, one a line, for free(). */
char *world_names(struct world *world);

#endif
