/* What tests do to a memfs from outside: make, clone, kill, crash, inject faults, look, damage. */
#include <stdio.h>
#include <stdlib.h>

#include "memfs_private.h"

enum { SECTOR = KV_MEMFS_SECTOR_BYTES };

typedef unsigned choose_function(void *context, enum kv_memfs_choice choice, unsigned count);

static void lock(struct kv_memfs *fs)
{
    pthread_mutex_lock(&fs->mutex);
}

static void unlock(struct kv_memfs *fs)
{
    pthread_mutex_unlock(&fs->mutex);
}

/* ---- A world */

struct kv_memfs *kv_memfs_new(uint64_t seed)
{
    struct kv_memfs *fs = kv_memfs_need(calloc(1, sizeof(*fs)));

    fs->first = (struct memfs_process){.io.ops = &kv_memfs_ops, .fs = fs};
    pthread_mutex_init(&fs->mutex, NULL);
    fs->device = kv_memfs_next_device();
    fs->random = seed;
    fs->now_ms = 1700000000000;
    fs->monotonic_ms = 1000;
    fs->space_bytes = UINT64_MAX;
    fs->root = kv_memfs_node_new(fs, true);
    return fs;
}

static void log_faults(const struct kv_memfs *fs)
{
    const char *path = getenv("KV_FAULT_LOG");
    FILE *log = path && fs->fault_count > 0 ? fopen(path, "a") : NULL;

    if (!log)
        return;
    fprintf(log, "%llu\n", (unsigned long long)fs->fault_count);
    fclose(log);
}

void kv_memfs_free(struct kv_memfs *fs)
{
    if (!fs)
        return;
    log_faults(fs);
    while (fs->nodes) {
        struct memfs_node *node = fs->nodes;

        fs->nodes = node->next;
        kv_memfs_node_free(fs, node);
    }
    while (fs->retired) {
        struct memfs_retired *retired = fs->retired;

        fs->retired = retired->next;
        kv_memfs_block_free(fs, retired->block, retired->touched);
        free(retired);
    }
    kv_memfs_free_aliases(&fs->first);
    while (fs->others) {
        struct memfs_process *process = fs->others;

        fs->others = process->next;
        kv_memfs_free_aliases(process);
        free(process);
    }
    pthread_mutex_destroy(&fs->mutex);
    free(fs);
}

struct kv_io *kv_memfs_io(struct kv_memfs *fs)
{
    return &fs->first.io;
}

/* ---- Clone */

static void clone_file(struct memfs_node *to, const struct memfs_node *from)
{
    uint64_t dirty_from, dirty_to;

    kv_memfs_dirty_range(from, &dirty_from, &dirty_to);
    kv_memfs_touch(to, from->touched);
    memcpy(to->cached, from->cached, from->touched);
    memcpy(to->durable, from->durable, from->touched);
    to->size = from->size;
    to->durable_size = from->durable_size;
    /* To the byte, but for what was stored through a mapping. */
    to->dirty_from = from->mapped_writable ? dirty_from : from->dirty_from;
    to->dirty_to = from->mapped_writable ? dirty_to : from->dirty_to;
    if (from->lost) {
        to->lost = kv_memfs_need(malloc(KV_MEMFS_FILE_BYTES / SECTOR));
        memcpy(to->lost, from->lost, KV_MEMFS_FILE_BYTES / SECTOR);
    }
}

static struct memfs_node *clone_tree(struct kv_memfs *fs, const struct memfs_node *from,
                                     struct memfs_node **made);

/* The clone of a node: made once, however many names lead to it. */
static struct memfs_node *clone_of(struct kv_memfs *fs, const struct memfs_node *from,
                                   struct memfs_node **made)
{
    return made[from->inode] ? made[from->inode] : clone_tree(fs, from, made);
}

static void clone_names(struct kv_memfs *fs, struct memfs_names *to, const struct memfs_names *from,
                        struct memfs_node **made)
{
    for (size_t i = 0; i < from->count; i++)
        kv_memfs_names_set(to, from->items[i].name, clone_of(fs, from->items[i].node, made));
}

static struct memfs_node *clone_tree(struct kv_memfs *fs, const struct memfs_node *from,
                                     struct memfs_node **made)
{
    struct memfs_node *to = kv_memfs_node_new(fs, from->is_directory);

    made[from->inode] = to;
    to->removed = from->removed;
    if (!from->is_directory) {
        clone_file(to, from);
        return to;
    }
    for (size_t i = 0; i < from->change_count; i++) {
        const struct memfs_change *change = &from->changes[i];

        kv_memfs_change(to, change->kind, change->name, change->from,
                        clone_of(fs, change->node, made));
        to->changes[i].fate = change->fate;
    }
    /* The changes have left what they added; the rest of the names was there before. */
    kv_memfs_names_clear(&to->cached_names);
    clone_names(fs, &to->cached_names, &from->cached_names, made);
    clone_names(fs, &to->durable_names, &from->durable_names, made);
    return to;
}

struct kv_memfs *kv_memfs_clone(struct kv_memfs *fs)
{
    struct kv_memfs *clone = kv_memfs_new(0);
    struct memfs_node **made;

    lock(fs);
    made = kv_memfs_need(calloc(fs->last_inode + 1, sizeof(struct memfs_node *)));
    clone->root = clone_tree(clone, fs->root, made);
    clone->random = fs->random;
    clone->now_ms = fs->now_ms;
    clone->monotonic_ms = fs->monotonic_ms;
    clone->sync_names = fs->sync_names;
    clone->readonly = fs->readonly;
    clone->sync_loss = fs->sync_loss;
    clone->write_back_percent = fs->write_back_percent;
    clone->space_bytes = fs->space_bytes;
    unlock(fs);
    free(made);
    return clone;
}

/* ---- Settings */

void kv_memfs_set_sync_names(struct kv_memfs *fs, bool on)
{
    lock(fs);
    fs->sync_names = on;
    unlock(fs);
}

void kv_memfs_set_readonly(struct kv_memfs *fs, bool on)
{
    lock(fs);
    fs->readonly = on;
    unlock(fs);
}

void kv_memfs_set_space(struct kv_memfs *fs, uint64_t bytes)
{
    lock(fs);
    fs->space_bytes = bytes;
    unlock(fs);
}

void kv_memfs_set_write_back(struct kv_memfs *fs, unsigned percent)
{
    lock(fs);
    fs->write_back_percent = percent;
    unlock(fs);
}

void kv_memfs_set_sync_loss(struct kv_memfs *fs, bool on)
{
    lock(fs);
    fs->sync_loss = on;
    unlock(fs);
}

void kv_memfs_set_clock(struct kv_memfs *fs, uint64_t now_ms)
{
    lock(fs);
    fs->now_ms = now_ms;
    unlock(fs);
}

void kv_memfs_advance(struct kv_memfs *fs, uint64_t ms)
{
    lock(fs);
    fs->now_ms += ms;
    fs->monotonic_ms += ms;
    unlock(fs);
}

/* ---- Death */

/* Everything that a process holds goes; handles notice by the device. */
static void end_processes(struct kv_memfs *fs)
{
    for (struct memfs_node *node = fs->nodes; node; node = node->next)
        node->lock_count = 0;
    fs->device = kv_memfs_next_device();
    memset(fs->faults, 0, sizeof(fs->faults));
}

/* Which of the two sizes the disk holds, or one between. */
static uint64_t choose_size(struct kv_memfs *fs, const struct memfs_node *file,
                            choose_function *choose, void *context)
{
    uint64_t low = file->size < file->durable_size ? file->size : file->durable_size;
    uint64_t high = file->size > file->durable_size ? file->size : file->durable_size;

    if (low == high)
        return low;
    switch (choose(context, KV_MEMFS_CHOOSE_SIZE, 3)) {
    case 0: return file->durable_size;
    case 1: return file->size;
    default: return low + kv_memfs_next_random(&fs->random) % (high - low);
    }
}

/*
 * Garbage in the place of what was being written. A disk leaves the rest of a
 * sector as it is (powersafe overwrite): appending never costs what is durable before it.
 * After a failed sync the range of what is dirty says too much: what is lost keeps it open.
 */
static void spoil_sector(struct kv_memfs *fs, struct memfs_node *file, uint64_t at)
{
    for (uint64_t i = at; i < at + SECTOR; i++) {
        uint8_t garbage = (uint8_t)kv_memfs_next_random(&fs->random);

        if (file->lost && file->durable[i] == file->cached[i])
            continue;
        if (file->mapped_writable || (i >= file->dirty_from && i < file->dirty_to))
            file->durable[i] = garbage;
    }
}

static void choose_sectors(struct kv_memfs *fs, struct memfs_node *file, uint64_t size,
                           choose_function *choose, void *context)
{
    uint64_t from, to;

    kv_memfs_dirty_range(file, &from, &to);
    for (uint64_t at = from; at < to && at < size; at += SECTOR) {
        uint8_t *durable = file->durable + at;

        if (memcmp(durable, file->cached + at, SECTOR) == 0)
            continue;
        switch (choose(context, KV_MEMFS_CHOOSE_SECTOR, 3)) {
        case 0: break;
        case 1: memcpy(durable, file->cached + at, SECTOR); break;
        default: spoil_sector(fs, file, at);
        }
    }
}

/* A new block for a file, so that mappings of the dead see no more changes. */
static void retire_block(struct kv_memfs *fs, struct memfs_node *file)
{
    struct memfs_retired *retired = kv_memfs_need(malloc(sizeof(*retired)));
    uint8_t *block = kv_memfs_block_new(fs);

    memcpy(block + KV_MEMFS_FILE_BYTES, file->durable, file->touched);
    *retired = (struct memfs_retired){fs->retired, file->cached, file->touched};
    fs->retired = retired;
    file->cached = block;
    file->durable = block + KV_MEMFS_FILE_BYTES;
    file->mapped = file->mapped_writable = false;
}

void kv_memfs_kill(struct kv_memfs *fs)
{
    lock(fs);
    end_processes(fs);
    for (struct memfs_node *node = fs->nodes; node; node = node->next) {
        const uint8_t *cached = node->cached;

        if (!node->mapped_writable)
            continue;
        retire_block(fs, node);
        memcpy(node->cached, cached, node->touched);
        kv_memfs_dirty(node, 0, node->size); /* what was stored there is not known */
    }
    unlock(fs);
}

static void crash_file(struct kv_memfs *fs, struct memfs_node *file, choose_function *choose,
                       void *context)
{
    uint64_t size = choose_size(fs, file, choose, context);

    choose_sectors(fs, file, size, choose, context);
    if (size < file->touched)
        memset(file->durable + size, 0, file->touched - size);
    file->size = file->durable_size = size;
    if (file->mapped)
        retire_block(fs, file);
    memcpy(file->cached, file->durable, file->touched);
    file->dirty_from = file->dirty_to = 0;
    free(file->lost);
    file->lost = NULL;
    file->removed = false;
}

static void crash_tree(struct kv_memfs *fs, struct memfs_node *directory, choose_function *choose,
                       void *context)
{
    for (size_t i = 0; i < directory->change_count; i++) {
        const struct memfs_change *change = &directory->changes[i];
        enum kv_memfs_choice choice =
            change->kind == MEMFS_UNLINK ? KV_MEMFS_CHOOSE_UNLINK : KV_MEMFS_CHOOSE_NAME;

        if (change->fate == MEMFS_DURABLE || choose(context, choice, 2))
            kv_memfs_change_apply(&directory->durable_names, change);
    }
    kv_memfs_changes_forget(directory);
    kv_memfs_names_copy(&directory->cached_names, &directory->durable_names);
    directory->removed = false;
    for (size_t i = 0; i < directory->cached_names.count; i++) {
        struct memfs_node *node = directory->cached_names.items[i].node;

        if (node->is_directory)
            crash_tree(fs, node, choose, context);
        else
            crash_file(fs, node, choose, context);
    }
}

void kv_memfs_crash_with(struct kv_memfs *fs, choose_function *choose, void *context)
{
    lock(fs);
    end_processes(fs);
    for (struct memfs_node *node = fs->nodes; node; node = node->next)
        node->removed = true; /* what can still be reached says otherwise in a moment */
    crash_tree(fs, fs->root, choose, context);
    unlock(fs);
}

static unsigned choose_drop(void *context, enum kv_memfs_choice choice, unsigned count)
{
    (void)context;
    (void)choice;
    (void)count;
    return 0;
}

static unsigned choose_removals(void *context, enum kv_memfs_choice choice, unsigned count)
{
    (void)context;
    (void)count;
    return choice == KV_MEMFS_CHOOSE_UNLINK;
}

/*
 * A bias changes now and then: else every large write would be torn to shreds,
 * and states in which a whole stretch survived or vanished would never be seen.
 */
struct dice {
    uint64_t random;
    unsigned keep_percent, garbage_percent;
};

static unsigned choose_random(void *context, enum kv_memfs_choice choice, unsigned count)
{
    static const unsigned percents[] = {0, 10, 50, 90, 100};
    struct dice *dice = context;
    uint64_t word = kv_memfs_next_random(&dice->random);

    if (choice == KV_MEMFS_CHOOSE_SIZE || (word >> 32) % 32 == 0) {
        dice->keep_percent = percents[(word >> 40) % 5];
        dice->garbage_percent = (word >> 48) % 4 == 0 ? 20 : 0;
    }
    if (choice != KV_MEMFS_CHOOSE_SECTOR)
        return (unsigned)(word % count);
    if (word % 100 < dice->garbage_percent)
        return 2;
    return (word >> 8) % 100 < dice->keep_percent;
}

static void keep_last_changes(struct kv_memfs *fs)
{
    lock(fs);
    for (struct memfs_node *node = fs->nodes; node; node = node->next)
        kv_memfs_changes_keep_last(node);
    unlock(fs);
}

void kv_memfs_crash(struct kv_memfs *fs, enum kv_memfs_crash_mode mode, uint64_t seed)
{
    struct dice dice = {.random = seed, .keep_percent = 50};

    if (mode == KV_MEMFS_LAST)
        keep_last_changes(fs);
    kv_memfs_crash_with(fs,
                        mode == KV_MEMFS_RANDOM   ? choose_random
                        : mode == KV_MEMFS_REMOVE ? choose_removals
                                                  : choose_drop,
                        &dice);
}

static void settle_file(struct memfs_node *node)
{
    free(node->lost);
    node->lost = NULL;
    kv_memfs_flush(node);
}

void kv_memfs_settle(struct kv_memfs *fs)
{
    lock(fs);
    for (struct memfs_node *node = fs->nodes; node; node = node->next) {
        if (node->is_directory) {
            kv_memfs_changes_settle(node);
            continue;
        }
        settle_file(node);
    }
    unlock(fs);
}

/* ---- Faults */

void kv_memfs_fail(struct kv_memfs *fs, enum kv_memfs_call call, uint64_t nth,
                   enum kv_status status, unsigned flags)
{
    int i = 0;

    lock(fs);
    while (i < MEMFS_FAULTS && fs->faults[i].calls_left)
        i++;
    if (i == MEMFS_FAULTS || nth == 0) {
        fprintf(stderr, "memfs: no room for another fault, or its nth is 0\n");
        abort();
    }
    fs->faults[i] = (struct memfs_fault){call, nth, status, flags};
    unlock(fs);
}

void kv_memfs_heal(struct kv_memfs *fs)
{
    lock(fs);
    memset(fs->faults, 0, sizeof(fs->faults));
    fs->judge = NULL;
    unlock(fs);
}

void kv_memfs_set_judge(struct kv_memfs *fs, kv_memfs_judge *judge, void *context)
{
    lock(fs);
    fs->judge = judge;
    fs->judge_context = context;
    unlock(fs);
}

uint64_t kv_memfs_calls(struct kv_memfs *fs, enum kv_memfs_call call)
{
    uint64_t count;

    lock(fs);
    count = fs->calls[call];
    unlock(fs);
    return count;
}

uint64_t kv_memfs_fault_count(struct kv_memfs *fs)
{
    uint64_t count;

    lock(fs);
    count = fs->fault_count;
    unlock(fs);
    return count;
}

/* ---- Looking and damaging */

static struct memfs_node *find_file(struct kv_memfs *fs, const char *path)
{
    struct memfs_node *node = kv_memfs_find(fs, path);

    return node && !node->is_directory ? node : NULL;
}

uint64_t kv_memfs_size(struct kv_memfs *fs, const char *path)
{
    const struct memfs_node *node;
    uint64_t size;

    lock(fs);
    node = find_file(fs, path);
    size = node ? node->size : UINT64_MAX;
    unlock(fs);
    return size;
}

uint8_t *kv_memfs_read_file(struct kv_memfs *fs, const char *path, size_t *size)
{
    const struct memfs_node *node;
    uint8_t *bytes = NULL;

    *size = 0;
    lock(fs);
    node = find_file(fs, path);
    if (node) {
        bytes = kv_memfs_need(malloc(node->size + 1));
        memcpy(bytes, node->cached, node->size);
        bytes[node->size] = 0;
        *size = node->size;
    }
    unlock(fs);
    return bytes;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct memfs_name *)a)->name, ((const struct memfs_name *)b)->name);
}

char *kv_memfs_list(struct kv_memfs *fs, const char *path)
{
    struct memfs_node *node;
    char *text = NULL;

    lock(fs);
    node = kv_memfs_find(fs, path);
    if (node && node->is_directory) {
        struct memfs_names *names = &node->cached_names;
        size_t text_bytes = 1;

        if (names->count)
            qsort(names->items, names->count, sizeof(*names->items), compare_names);
        for (size_t i = 0; i < names->count; i++)
            text_bytes += strlen(names->items[i].name) + 1;
        text = kv_memfs_need(calloc(text_bytes, 1));
        for (size_t i = 0; i < names->count; i++)
            strcat(strcat(text, names->items[i].name), "\n");
    }
    unlock(fs);
    return text;
}

bool kv_memfs_flip_bit(struct kv_memfs *fs, const char *path, uint64_t offset, unsigned bit)
{
    struct memfs_node *node;
    bool found;

    lock(fs);
    node = find_file(fs, path);
    found = node && offset < node->size;
    if (found) {
        kv_memfs_touch(node, offset + 1);
        node->cached[offset] ^= (uint8_t)(1 << bit);
        node->durable[offset] ^= (uint8_t)(1 << bit);
    }
    unlock(fs);
    return found;
}

bool kv_memfs_truncate(struct kv_memfs *fs, const char *path, uint64_t size)
{
    struct memfs_node *node;

    lock(fs);
    node = find_file(fs, path);
    if (node && size <= KV_MEMFS_FILE_BYTES) {
        kv_memfs_resize(node, size);
        settle_file(node);
    }
    unlock(fs);
    return node != NULL;
}

bool kv_memfs_delete(struct kv_memfs *fs, const char *path)
{
    char *name;
    struct memfs_node *parent, *node;

    lock(fs);
    parent = kv_memfs_find_parent(fs, path, &name);
    node = parent ? kv_memfs_names_find(&parent->cached_names, name) : NULL;
    if (node) {
        kv_memfs_change(parent, MEMFS_UNLINK, name, NULL, node);
        parent->changes[parent->change_count - 1].fate = MEMFS_DURABLE;
        kv_memfs_names_remove(&parent->durable_names, name);
        node->removed = !kv_memfs_has_name(fs, node);
    }
    free(name);
    unlock(fs);
    return node != NULL;
}

bool kv_memfs_write_file(struct kv_memfs *fs, const char *path, struct kv_slice bytes)
{
    char *name;
    struct memfs_node *parent, *node;

    lock(fs);
    parent = kv_memfs_find_parent(fs, path, &name);
    node = parent ? kv_memfs_names_find(&parent->cached_names, name) : NULL;
    if (parent && !node) {
        node = kv_memfs_node_new(fs, false);
        kv_memfs_names_set(&parent->cached_names, name, node);
        kv_memfs_names_set(&parent->durable_names, name, node);
    }
    if (node && (node->is_directory || bytes.size > KV_MEMFS_FILE_BYTES))
        node = NULL;
    if (node) {
        kv_memfs_resize(node, 0);
        if (bytes.size)
            memcpy(node->cached, bytes.data, bytes.size);
        node->size = bytes.size;
        kv_memfs_dirty(node, 0, bytes.size);
        settle_file(node);
    }
    free(name);
    unlock(fs);
    return node != NULL;
}
