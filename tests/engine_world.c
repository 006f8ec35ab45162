/* Inside of a store in memory (engine_world.h). */
#include "engine_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "compact.h"
#include "names.h"
#include "runner.h"
#include "seal.h"
#include "writer.h"

enum kv_status engine_try_only_seal(struct world *world)
{
    enum kv_status st = kv_writer_take(engine_of(world), 0);

    if (st != KV_OK)
        return st;
    st = kv_seal(engine_of(world), false, NULL);
    kv_engine_drop_writer(engine_of(world), false);
    return st;
}

void engine_only_seal(struct world *world)
{
    ck_kv(engine_try_only_seal(world));
}

enum kv_status engine_try_seal(struct world *world)
{
    enum kv_status st = engine_try_only_seal(world);

    return st == KV_OK ? kv_seal_finish(engine_of(world), NULL) : st;
}

void engine_seal(struct world *world)
{
    ck_kv(engine_try_seal(world));
}

static enum kv_status merge(struct world *world, const struct kv_settings *settings,
                            enum kv_status (*how)(struct kv_engine *engine,
                                                  const struct kv_settings *settings))
{
    enum kv_status st = kv_engine_take_compactor(engine_of(world), 0);

    if (st != KV_OK)
        return st;
    st = how(engine_of(world), settings ? settings : &world->options.settings);
    kv_engine_drop_compactor(engine_of(world));
    return st;
}

enum kv_status engine_try_policy(struct world *world, const struct kv_settings *settings)
{
    return merge(world, settings, kv_compact_by_policy);
}

static enum kv_status merge_all(struct kv_engine *engine, const struct kv_settings *settings)
{
    return kv_compact_all(engine, settings, NULL, NULL);
}

enum kv_status engine_try_merge(struct world *world, const struct kv_settings *settings)
{
    return merge(world, settings, merge_all);
}

const char *world_path(const char *name)
{
    static _Thread_local char path[KV_NAME_BYTES + sizeof(WORLD_PATH)];

    snprintf(path, sizeof(path), WORLD_PATH "/%s", name);
    return path;
}

const char *segment_path(uint64_t number)
{
    char name[KV_NAME_BYTES];

    kv_name_segment(name, number);
    return world_path(name);
}

struct kv_buffer file_save(struct world *world, const char *name)
{
    struct kv_buffer bytes = {0};
    size_t size;
    uint8_t *data = kv_memfs_read_file(world->fs, world_path(name), &size);

    ck_assert_ptr_nonnull(data);
    ck_kv(kv_buffer_set(&bytes, kv_slice_of(data, size)));
    free(data);
    return bytes;
}

void file_restore(struct world *world, const char *name, const struct kv_buffer *bytes)
{
    ck_assert(kv_memfs_write_file(world->fs, world_path(name), kv_buffer_slice(bytes)));
}

char *world_names(struct world *world)
{
    char *names = kv_memfs_list(world->fs, WORLD_PATH), *lock;

    ck_assert_ptr_nonnull(names);
    lock = strstr(names, KV_NAME_LOCK "\n");
    if (lock)
        memmove(lock, lock + sizeof(KV_NAME_LOCK), strlen(lock + sizeof(KV_NAME_LOCK)) + 1);
    return names;
}
