/* What memfs.c (the calls of io.h), memfs_node.c and memfs_control.c share. Callers hold the mutex. */
#ifndef KV_TESTS_MEMFS_PRIVATE_H
#define KV_TESTS_MEMFS_PRIVATE_H

#include <pthread.h>

#include "memfs.h"

struct memfs_node;

struct memfs_name {
    char *name;
    struct memfs_node *node;
};

/* The names in a directory, in no order. */
struct memfs_names {
    struct memfs_name *items;
    size_t count;
};

/* A change of a directory that is not durable yet. */
struct memfs_change {
    enum { MEMFS_LINK, MEMFS_UNLINK, MEMFS_RENAME } kind;
    char *name;
    char *from; /* RENAME: the name before */
    struct memfs_node *node;
    enum {
        MEMFS_OPEN, /* the next sync makes it durable; a crash may or may not */
        MEMFS_DOOMED, /* went into a sync that failed: only a crash decides, whatever is synced later */
        MEMFS_DURABLE /* made for good, but behind a doomed one */
    } fate;
};

struct memfs_lock {
    const struct kv_file *owner;
    uint64_t byte;
    enum kv_lock_mode mode;
};

/*
 * A file or a directory. Nodes live as long as their world, so that handles
 * and mappings never dangle.
 */
struct memfs_node {
    struct memfs_node *next; /* of all nodes */
    uint64_t inode;
    bool is_directory;

    struct memfs_names cached_names, durable_names;
    struct memfs_change *changes; /* from durable to cached, in order; mostly open */
    size_t change_count;
    bool removed;

    /*
     * Two halves of one reserved block of address space: mappings point into
     * `cached` and stay valid while the file grows. Bytes past a size are 0,
     * but in `durable` they may be what was written back ahead of the size.
     */
    uint8_t *cached, *durable;
    uint64_t size, durable_size;
    uint64_t dirty_from, dirty_to; /* outside, the halves are equal */
    uint64_t touched;              /* both halves are zeros behind it */
    uint8_t
        *lost; /* a byte a sector: in the cache after a failed sync, not to be synced; or NULL */
    bool mapped, mapped_writable;
    struct memfs_lock *locks;
    size_t lock_count;
};

struct memfs_fault {
    enum kv_memfs_call call; /* ANY and a count of 0: unused */
    uint64_t calls_left;     /* 1: the next one fails; 0: unused */
    enum kv_status status;
    unsigned flags;
};

enum { MEMFS_FAULTS = 8 };

/* A handle of a file or a directory. */
struct memfs_handle {
    union {
        struct kv_dir dir;
        struct kv_file file;
    } base;
    uint64_t device; /* of the world that it was opened in: see kv_memfs.device */
    bool writable;
    struct memfs_node *node;
    char *path;
};

/* A block whose mappings may still be read by the dead. */
struct memfs_retired {
    struct memfs_retired *next;
    uint8_t *block;
    uint64_t touched;
};

/* A mapping that one process may store through, at an address of its own. */
struct memfs_alias {
    struct memfs_alias *next;
    uint8_t *at;
    uint64_t size;
};

/* A process: what its handles lead back to. */
struct memfs_process {
    struct kv_io io;
    struct kv_memfs *fs;
    bool is_dead;
    uint64_t calls_left;   /* until it dies; 0: it does not */
    bool dies_behind_call; /* not before it */
    struct memfs_alias *aliases;
    struct memfs_process *next;
};

struct kv_memfs {
    struct memfs_process first;
    struct memfs_process *others;
    struct memfs_process *dying; /* at the end of the call at work */
    pthread_mutex_t mutex;
    uint64_t device; /* another one after each death, so handles know theirs */
    uint64_t last_inode;
    uint64_t random;
    uint64_t now_ms, monotonic_ms;
    struct memfs_node *nodes;
    struct memfs_node *root;
    struct memfs_retired *retired;

    bool sync_names, readonly, sync_loss;
    unsigned write_back_percent;
    uint64_t space_bytes;

    struct memfs_fault faults[MEMFS_FAULTS];
    kv_memfs_judge *judge;
    void *judge_context;
    uint64_t calls[KV_MEMFS_CALL_COUNT];
    uint64_t fault_count;
};

/* The table of calls: memfs.c. */
extern const struct kv_io_ops kv_memfs_ops;

void *kv_memfs_need(void *memory); /* abort when out of memory */
uint64_t kv_memfs_next_device(void);

/* The next number of a SplitMix64 sequence (Steele, Lea, Flood 2014). */
uint64_t kv_memfs_next_random(uint64_t *state);

/* ---- Nodes */

struct memfs_node *kv_memfs_node_new(struct kv_memfs *fs, bool is_directory);
uint8_t *kv_memfs_block_new(const struct kv_memfs *fs);
void kv_memfs_block_free(const struct kv_memfs *fs, uint8_t *block, uint64_t touched);
void kv_memfs_touch(struct memfs_node *node,
                    uint64_t end); /* before something is stored below it */
void kv_memfs_node_free(const struct kv_memfs *fs, struct memfs_node *node);

struct memfs_node *kv_memfs_names_find(const struct memfs_names *names, const char *name);
void kv_memfs_names_set(struct memfs_names *names, const char *name, struct memfs_node *node);
void kv_memfs_names_remove(struct memfs_names *names, const char *name);
void kv_memfs_names_clear(struct memfs_names *names);
void kv_memfs_names_copy(struct memfs_names *to, const struct memfs_names *from);

/* Record a change, and do it to the cached names. `from` may be NULL. */
void kv_memfs_change(struct memfs_node *directory, int kind, const char *name, const char *from,
                     struct memfs_node *node);
void kv_memfs_change_apply(struct memfs_names *names, const struct memfs_change *change);
void kv_memfs_changes_forget(struct memfs_node *directory);
void kv_memfs_changes_doom(struct memfs_node *directory); /* a sync failed */
void kv_memfs_changes_sync(struct memfs_node *directory); /* a sync succeeded */
/* The same, if a change that concerns `file` is open. */
void kv_memfs_changes_sync_with(struct memfs_node *directory, const struct memfs_node *file);
void kv_memfs_changes_keep_last(struct memfs_node *directory); /* the others are lost */
void kv_memfs_changes_settle(struct memfs_node *directory); /* all become durable, the doomed too */

/* The node at `path`, or NULL. */
struct memfs_node *kv_memfs_find(struct kv_memfs *fs, const char *path);

/*
 * The directory that `path` lies in (NULL: there is none), and in `*name` its
 * last component, for free().
 */
struct memfs_node *kv_memfs_find_parent(struct kv_memfs *fs, const char *path, char **name);

/* Does any name lead to the node? */
bool kv_memfs_has_name(const struct kv_memfs *fs, const struct memfs_node *node);

/* ---- Processes */

/* Count a call, before which the process may die. */
void kv_memfs_count_call(struct memfs_process *process);

/* It is dead: its locks are gone, and what it stores reaches nobody. */
void kv_memfs_die(struct memfs_process *process);

/* Where `process` may store into `node`'s bytes. */
uint8_t *kv_memfs_alias(struct memfs_process *process, struct memfs_node *node, uint64_t size);

/* End what was mapped there, if it was an alias. */
void kv_memfs_unalias(struct memfs_process *process, const uint8_t *at);
void kv_memfs_free_aliases(struct memfs_process *process);

/* Calls of io.h. */
uint64_t kv_memfs_now_ms(struct kv_io *io);
uint64_t kv_memfs_monotonic_ms(struct kv_io *io);
void kv_memfs_sleep_ms(struct kv_io *io, unsigned ms);

/* Note that [from, to) changed, and that its sectors are worth syncing again. */
void kv_memfs_dirty(struct memfs_node *file, uint64_t from, uint64_t to);

/* Set the cached size; what is cut reads as 0 afterwards. */
void kv_memfs_resize(struct memfs_node *file, uint64_t size);

/* The range in which cached and durable may differ. */
void kv_memfs_dirty_range(const struct memfs_node *file, uint64_t *from, uint64_t *to);

/* Make bytes and size durable, as a sync that succeeds does. */
void kv_memfs_flush(struct memfs_node *file);

#endif
