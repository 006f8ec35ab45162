/* A store in memory and its backup (backup_world.h). */
#include "backup_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "hash.h"
#include "names.h"
#include "runner.h"

struct world world;

void setup(void)
{
    world_start(&world);
}

void teardown(void)
{
    world_end(&world);
}

enum kv_status try_backup(uint64_t *copied_bytes)
{
    return kv_backup(world.store, BACKUP_PATH, NULL, copied_bytes);
}

uint64_t backup(void)
{
    uint64_t copied_bytes = UINT64_MAX;

    ck_kv(try_backup(&copied_bytes));
    return copied_bytes;
}

void refuse_links(void)
{
    kv_memfs_fail(world.fs, KV_MEMFS_LINK, 1, KV_INVALID, KV_MEMFS_STICKY);
}

void open_copy(struct world *copy, const char *path, bool readonly)
{
    *copy = world;
    copy->is_guest = true;
    copy->store = NULL;
    copy->options.mode = KV_OPEN_EXISTING;
    copy->options.readonly = readonly;
    ck_kv(kv_store_open(path, &copy->options, &copy->store));
}

enum kv_status fail_on_problem(void *context, const struct kv_problem *problem)
{
    ck_abort_msg("%s: segment %llu, offset %llu: %s", (const char *)context,
                 (unsigned long long)problem->segment, (unsigned long long)problem->offset,
                 problem->text);
    return KV_OK;
}

void expect_backup(const char *expected)
{
    struct world copy;

    ck_kv(kv_check(BACKUP_PATH, world.io, NULL, fail_on_problem, BACKUP_PATH));
    open_copy(&copy, BACKUP_PATH, true);
    world_expect_all(&copy, expected);
    world_end(&copy);
    open_copy(&copy, BACKUP_PATH, false);
    world_expect_all(&copy, expected);
    ck_kv(kv_store_check(copy.store, NULL, fail_on_problem, "opened"));
    world_end(&copy);
}

char *contents(const char *path)
{
    char *names = kv_memfs_list(world.fs, path), *rest = names, *name, *text = NULL;
    size_t text_size;
    FILE *out = open_memstream(&text, &text_size);

    while (names && (name = strsep(&rest, "\n")) != NULL) {
        char file[256];
        uint8_t *bytes;
        size_t size;

        if (!*name || strcmp(name, KV_NAME_LOCK) == 0)
            continue;
        snprintf(file, sizeof(file), "%s/%s", path, name);
        bytes = kv_memfs_read_file(world.fs, file, &size);
        fprintf(out, "%s %zu ", name, size);
        fprintf(out, "%016llx\n", (unsigned long long)kv_hash(kv_slice_of(bytes, size), 1));
        free(bytes);
    }
    fclose(out);
    free(names);
    return text;
}

static void copy_file(const char *from, const char *to)
{
    size_t size;
    uint8_t *bytes = kv_memfs_read_file(world.fs, from, &size);

    ck_assert_ptr_nonnull(bytes);
    ck_assert(kv_memfs_write_file(world.fs, to, kv_slice_of(bytes, size)));
    free(bytes);
}

void copy_directory(const char *from, const char *to)
{
    char *names = kv_memfs_list(world.fs, from), *rest = names, *name;

    ck_kv(kv_io_dir_create(world.io, to, 0700));
    while ((name = strsep(&rest, "\n")) != NULL) {
        char source[256], target[256];

        snprintf(source, sizeof(source), "%s/%s", from, name);
        snprintf(target, sizeof(target), "%s/%s", to, name);
        if (*name)
            copy_file(source, target);
    }
    free(names);
}

void fill(void)
{
    world_put(&world, "a", "1");
    world_put(&world, "b", "1");
    engine_seal(&world);
    world_put(&world, "a", "2");
    world_put(&world, "c", "1");
    engine_seal(&world);
    ck_kv(engine_try_merge(&world, NULL));
    world_delete(&world, "c");
    engine_seal(&world);
    world_put(&world, "d", "1");
}

void change(void)
{
    world_put(&world, "e", "1");
    ck_kv(kv_compact(world.store, NULL, NULL));
    world_put(&world, "f", "1");
}
