/* Files, directories and their two versions: the data structure under memfs. */
#include "memfs_private.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { SECTOR = KV_MEMFS_SECTOR_BYTES };

void *kv_memfs_need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "memfs: out of memory\n");
        abort();
    }
    return memory;
}

uint64_t kv_memfs_next_device(void)
{
    static _Atomic uint64_t last;

    return atomic_fetch_add(&last, 1) + 1;
}

uint64_t kv_memfs_next_random(uint64_t *state)
{
    uint64_t word = *state += 0x9e3779b97f4a7c15u;

    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
}

/* ---- Nodes */

/*
 * Blocks of small files are kept and used again: memory that the kernel has zeroed already is what
 * tests with very many short-lived worlds mostly wait for.
 */
enum { POOL_BLOCKS = 64, POOL_TOUCHED_MAX = 4 * 1048576 };
static struct {
    pthread_mutex_t mutex;
    uint8_t *blocks[POOL_BLOCKS];
    size_t count;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static uint8_t *take_from_pool(void)
{
    uint8_t *block = NULL;

    pthread_mutex_lock(&pool.mutex);
    if (pool.count > 0)
        block = pool.blocks[--pool.count];
    pthread_mutex_unlock(&pool.mutex);
    return block;
}

/* False: it is full. */
static bool put_into_pool(uint8_t *block, uint64_t touched)
{
    bool ok;

    memset(block, 0, touched);
    memset(block + KV_MEMFS_FILE_BYTES, 0, touched);
    pthread_mutex_lock(&pool.mutex);
    ok = pool.count < POOL_BLOCKS;
    if (ok)
        pool.blocks[pool.count++] = block;
    pthread_mutex_unlock(&pool.mutex);
    return ok;
}

/* Where there are several processes, they must be able to see a block at several addresses. */
uint8_t *kv_memfs_block_new(const struct kv_memfs *fs)
{
    int sharing = fs->others ? MAP_SHARED : MAP_PRIVATE;
    void *block = fs->others ? NULL : take_from_pool();

    if (block)
        return block;
    block = mmap(NULL, 2 * (size_t)KV_MEMFS_FILE_BYTES, PROT_READ | PROT_WRITE,
                 sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return kv_memfs_need(block == MAP_FAILED ? NULL : block);
}

void kv_memfs_block_free(const struct kv_memfs *fs, uint8_t *block, uint64_t touched)
{
    if (!block)
        return;
    if (fs->others || touched > POOL_TOUCHED_MAX || !put_into_pool(block, touched))
        munmap(block, 2 * (size_t)KV_MEMFS_FILE_BYTES);
}

struct memfs_node *kv_memfs_node_new(struct kv_memfs *fs, bool is_directory)
{
    struct memfs_node *node = kv_memfs_need(calloc(1, sizeof(*node)));

    node->inode = ++fs->last_inode;
    node->is_directory = is_directory;
    if (!is_directory) {
        node->cached = kv_memfs_block_new(fs);
        node->durable = node->cached + KV_MEMFS_FILE_BYTES;
    }
    node->next = fs->nodes;
    fs->nodes = node;
    return node;
}

void kv_memfs_names_clear(struct memfs_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i].name);
    free(names->items);
    *names = (struct memfs_names){0};
}

void kv_memfs_touch(struct memfs_node *node, uint64_t end)
{
    end += (SECTOR - end % SECTOR) % SECTOR;
    node->touched = end > node->touched ? end : node->touched;
}

void kv_memfs_node_free(const struct kv_memfs *fs, struct memfs_node *node)
{
    kv_memfs_changes_forget(node);
    kv_memfs_names_clear(&node->cached_names);
    kv_memfs_names_clear(&node->durable_names);
    kv_memfs_block_free(fs, node->cached, node->touched);
    free(node->lost);
    free(node->locks);
    free(node);
}

/* ---- Names */

static struct memfs_name *find_name(const struct memfs_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i].name, name) == 0)
            return &names->items[i];
    return NULL;
}

struct memfs_node *kv_memfs_names_find(const struct memfs_names *names, const char *name)
{
    const struct memfs_name *found = find_name(names, name);

    return found ? found->node : NULL;
}

void kv_memfs_names_set(struct memfs_names *names, const char *name, struct memfs_node *node)
{
    struct memfs_name *found = find_name(names, name);

    if (!found) {
        names->items =
            kv_memfs_need(realloc(names->items, (names->count + 1) * sizeof(*names->items)));
        found = &names->items[names->count++];
        found->name = kv_memfs_need(strdup(name));
    }
    found->node = node;
}

void kv_memfs_names_remove(struct memfs_names *names, const char *name)
{
    struct memfs_name *found = find_name(names, name);

    if (!found)
        return;
    free(found->name);
    *found = names->items[--names->count];
}

void kv_memfs_names_copy(struct memfs_names *to, const struct memfs_names *from)
{
    kv_memfs_names_clear(to);
    for (size_t i = 0; i < from->count; i++)
        kv_memfs_names_set(to, from->items[i].name, from->items[i].node);
}

bool kv_memfs_has_name(const struct kv_memfs *fs, const struct memfs_node *node)
{
    for (const struct memfs_node *directory = fs->nodes; directory; directory = directory->next)
        for (size_t i = 0; i < directory->cached_names.count; i++)
            if (directory->cached_names.items[i].node == node)
                return true;
    return false;
}

/* ---- Changes of a directory */

/*
 * Changes of one directory may be durable without those before them. What then
 * makes no sense, such as the removal of a file that has another name by now,
 * does nothing.
 */
void kv_memfs_change_apply(struct memfs_names *names, const struct memfs_change *change)
{
    const char *gone = change->kind == MEMFS_UNLINK ? change->name : change->from;

    if (change->kind != MEMFS_UNLINK)
        kv_memfs_names_set(names, change->name, change->node);
    if (gone && kv_memfs_names_find(names, gone) == change->node)
        kv_memfs_names_remove(names, gone);
}

void kv_memfs_change(struct memfs_node *directory, int kind, const char *name, const char *from,
                     struct memfs_node *node)
{
    struct memfs_change *change;

    directory->changes =
        kv_memfs_need(realloc(directory->changes, (directory->change_count + 1) * sizeof(*change)));
    change = &directory->changes[directory->change_count++];
    change->kind = kind;
    change->name = kv_memfs_need(strdup(name));
    change->from = from ? kv_memfs_need(strdup(from)) : NULL;
    change->node = node;
    change->fate = MEMFS_OPEN;
    kv_memfs_change_apply(&directory->cached_names, change);
}

/* Forget the first `count` changes. */
static void forget_changes(struct memfs_node *directory, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(directory->changes[i].name);
        free(directory->changes[i].from);
    }
    directory->change_count -= count;
    if (count > 0)
        memmove(directory->changes, directory->changes + count,
                directory->change_count * sizeof(*directory->changes));
}

void kv_memfs_changes_forget(struct memfs_node *directory)
{
    forget_changes(directory, directory->change_count);
    free(directory->changes);
    directory->changes = NULL;
}

void kv_memfs_changes_doom(struct memfs_node *directory)
{
    for (size_t i = 0; i < directory->change_count; i++)
        if (directory->changes[i].fate == MEMFS_OPEN && !directory->changes[i].node->is_directory)
            directory->changes[i].fate = MEMFS_DOOMED;
}

void kv_memfs_changes_sync(struct memfs_node *directory)
{
    size_t first = 0;

    for (size_t i = 0; i < directory->change_count; i++)
        if (directory->changes[i].fate == MEMFS_OPEN)
            directory->changes[i].fate = MEMFS_DURABLE;
    for (; first < directory->change_count && directory->changes[first].fate == MEMFS_DURABLE;
         first++)
        kv_memfs_change_apply(&directory->durable_names, &directory->changes[first]);
    forget_changes(directory, first);
}

void kv_memfs_changes_sync_with(struct memfs_node *directory, const struct memfs_node *file)
{
    bool concerned = false;

    for (size_t i = 0; i < directory->change_count; i++)
        concerned |= directory->changes[i].node == file && directory->changes[i].fate == MEMFS_OPEN;
    if (concerned)
        kv_memfs_changes_sync(directory);
}

void kv_memfs_changes_keep_last(struct memfs_node *directory)
{
    size_t last = directory->change_count - 1;

    if (directory->change_count == 0)
        return;
    for (size_t i = 0; i < last; i++)
        if (directory->changes[i].fate == MEMFS_DURABLE)
            kv_memfs_change_apply(&directory->durable_names, &directory->changes[i]);
    forget_changes(directory, last);
    directory->changes[0].fate = MEMFS_DURABLE;
}

void kv_memfs_changes_settle(struct memfs_node *directory)
{
    kv_memfs_names_copy(&directory->durable_names, &directory->cached_names);
    kv_memfs_changes_forget(directory);
}

/* ---- Paths */

/* Go down from the root along the first `size` bytes of `path`. */
static struct memfs_node *walk(struct kv_memfs *fs, const char *path, size_t size)
{
    struct memfs_node *node = fs->root;
    char *copy = kv_memfs_need(strndup(path, size));
    char *rest = copy;

    for (;;) {
        const char *part = strtok_r(rest, "/", &rest);

        if (!part || !node)
            break;
        node = node->is_directory ? kv_memfs_names_find(&node->cached_names, part) : NULL;
    }
    free(copy);
    return node;
}

struct memfs_node *kv_memfs_find(struct kv_memfs *fs, const char *path)
{
    return walk(fs, path, strlen(path));
}

struct memfs_node *kv_memfs_find_parent(struct kv_memfs *fs, const char *path, char **name)
{
    size_t end = strlen(path);
    size_t start;
    struct memfs_node *parent;

    while (end > 0 && path[end - 1] == '/')
        end--;
    start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    *name = kv_memfs_need(strndup(path + start, end - start));
    parent = walk(fs, path, start);
    return parent && parent->is_directory ? parent : NULL;
}

/* ---- Bytes */

void kv_memfs_dirty(struct memfs_node *file, uint64_t from, uint64_t to)
{
    if (from >= to)
        return;
    kv_memfs_touch(file, to);
    if (file->dirty_from == file->dirty_to) {
        file->dirty_from = from;
        file->dirty_to = to;
    }
    file->dirty_from = from < file->dirty_from ? from : file->dirty_from;
    file->dirty_to = to > file->dirty_to ? to : file->dirty_to;
    if (file->lost)
        memset(file->lost + from / SECTOR, 0, (to - 1) / SECTOR - from / SECTOR + 1);
}

void kv_memfs_resize(struct memfs_node *file, uint64_t size)
{
    if (size < file->size) {
        uint64_t end = file->size < file->touched ? file->size : file->touched;

        if (size < file->touched)
            memset(file->cached + size, 0, file->touched - size);
        kv_memfs_dirty(file, size, end);
    }
    file->size = size;
}

void kv_memfs_dirty_range(const struct memfs_node *file, uint64_t *from, uint64_t *to)
{
    *from = file->dirty_from;
    *to = file->dirty_to;
    if (file->mapped_writable) { /* stores through a mapping are not seen */
        *from = 0;
        *to = *to > file->size ? *to : file->size;
    }
    *to = *to < file->touched ? *to : file->touched;
    *from = *from < *to ? *from : *to;
    *from -= *from % SECTOR;
    *to += (SECTOR - *to % SECTOR) % SECTOR;
}

void kv_memfs_flush(struct memfs_node *file)
{
    uint64_t from, to;

    kv_memfs_dirty_range(file, &from, &to);
    if (!file->lost) {
        memcpy(file->durable + from, file->cached + from, to - from);
        file->dirty_from = file->dirty_to = 0;
    }
    for (uint64_t at = from; file->lost && at < to; at += SECTOR)
        if (!file->lost[at / SECTOR])
            memcpy(file->durable + at, file->cached + at, SECTOR);
    if (file->touched > file->size)
        memset(file->durable + file->size, 0, file->touched - file->size);
    file->durable_size = file->size;
}
