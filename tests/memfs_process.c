/* Processes of a memfs, and their ends (memfs.h). */
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "memfs_private.h"

static struct memfs_process *process_of(struct kv_io *io)
{
    return (struct memfs_process *)io;
}

struct kv_io *kv_memfs_process(struct kv_memfs *fs)
{
    struct memfs_process *process = kv_memfs_need(calloc(1, sizeof(*process)));

    pthread_mutex_lock(&fs->mutex);
    *process = (struct memfs_process){.io.ops = &kv_memfs_ops, .fs = fs, .next = fs->others};
    fs->others = process;
    pthread_mutex_unlock(&fs->mutex);
    return &process->io;
}

/* ---- Mappings */

uint8_t *kv_memfs_alias(struct memfs_process *process, struct memfs_node *node, uint64_t size)
{
    struct memfs_alias *alias = kv_memfs_need(malloc(sizeof(*alias)));
    /* A second mapping of the same shared memory: that is what an old size of 0 asks for. */
    void *at = mremap(node->cached, 0, size, MREMAP_MAYMOVE);

    alias->at = kv_memfs_need(at == MAP_FAILED ? NULL : at);
    alias->size = size;
    alias->next = process->aliases;
    process->aliases = alias;
    return alias->at;
}

void kv_memfs_unalias(struct memfs_process *process, const uint8_t *at)
{
    struct memfs_alias **link = &process->aliases, *alias;

    while (*link && (*link)->at != at)
        link = &(*link)->next;
    if (!*link)
        return;
    alias = *link;
    *link = alias->next;
    munmap(alias->at, alias->size);
    free(alias);
}

void kv_memfs_free_aliases(struct memfs_process *process)
{
    while (process->aliases)
        kv_memfs_unalias(process, process->aliases->at);
}

/* Put private memory with the same bytes in the place of a mapping. */
static void detach(struct memfs_alias *alias)
{
    uint8_t *copy = kv_memfs_need(malloc(alias->size));
    void *at;

    memcpy(copy, alias->at, alias->size);
    at = mmap(alias->at, alias->size, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    kv_memfs_need(at == MAP_FAILED ? NULL : at);
    memcpy(alias->at, copy, alias->size);
    free(copy);
}

/* ---- Death */

void kv_memfs_die(struct memfs_process *process)
{
    struct kv_memfs *fs = process->fs;

    process->is_dead = true;
    process->calls_left = 0;
    if (fs->dying == process)
        fs->dying = NULL;
    for (struct memfs_alias *alias = process->aliases; alias; alias = alias->next)
        detach(alias);
    for (struct memfs_node *node = fs->nodes; node; node = node->next)
        for (size_t i = 0; i < node->lock_count; i++)
            if (node->locks[i].owner->io == &process->io)
                node->locks[i--] = node->locks[--node->lock_count];
}

void kv_memfs_count_call(struct memfs_process *process)
{
    if (process->calls_left == 0 || --process->calls_left > 0)
        return;
    if (process->dies_behind_call)
        process->fs->dying = process;
    else
        kv_memfs_die(process);
}

void kv_memfs_kill_process(struct kv_memfs *fs, struct kv_io *io)
{
    pthread_mutex_lock(&fs->mutex);
    kv_memfs_die(process_of(io));
    pthread_mutex_unlock(&fs->mutex);
}

void kv_memfs_kill_process_at(struct kv_memfs *fs, struct kv_io *io, uint64_t nth, bool behind)
{
    pthread_mutex_lock(&fs->mutex);
    process_of(io)->calls_left = nth;
    process_of(io)->dies_behind_call = behind;
    pthread_mutex_unlock(&fs->mutex);
}

bool kv_memfs_process_is_dead(struct kv_io *io)
{
    struct kv_memfs *fs = process_of(io)->fs;
    bool dead;

    pthread_mutex_lock(&fs->mutex);
    dead = process_of(io)->is_dead;
    pthread_mutex_unlock(&fs->mutex);
    return dead;
}

/* ---- The clock, which moves when somebody sleeps or the test says so */

uint64_t kv_memfs_now_ms(struct kv_io *io)
{
    struct kv_memfs *fs = process_of(io)->fs;
    uint64_t now_ms;

    pthread_mutex_lock(&fs->mutex);
    now_ms = fs->now_ms;
    pthread_mutex_unlock(&fs->mutex);
    return now_ms;
}

uint64_t kv_memfs_monotonic_ms(struct kv_io *io)
{
    struct kv_memfs *fs = process_of(io)->fs;
    uint64_t now_ms;

    pthread_mutex_lock(&fs->mutex);
    now_ms = fs->monotonic_ms;
    pthread_mutex_unlock(&fs->mutex);
    return now_ms;
}

void kv_memfs_sleep_ms(struct kv_io *io, unsigned ms)
{
    kv_memfs_advance(process_of(io)->fs, ms);
    sched_yield();
}
