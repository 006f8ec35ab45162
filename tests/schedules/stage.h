/*
 * The stage: processes of a store in memory, each played by a thread, of which
 * one runs at a time. Whoever runs stops before every call of io.h and every
 * access to the shared page, and what happens next is decided there
 * (explorer.h): it goes on, another does, someone dies, the power fails.
 *
 * Waiting is no matter of time: an actor that sleeps until a lock is free is
 * out of the game until it is. If everybody is, that is a deadlock.
 *
 * An actor is deterministic: what it does follows from what its calls have
 * returned. So the state of everything is the state of files, locks and page,
 * and of what each actor has seen so far, and is told by a hash of these.
 */
#ifndef KV_SCHEDULES_STAGE_H
#define KV_SCHEDULES_STAGE_H

#include <semaphore.h>

#include "explorer.h"
#include "kv.h"
#include "ledger.h"
#include "memfs_private.h"

#define STAGE_PATH "/db"

enum {
    ACTORS_MAX = 4,
    MAPPED_MAX = 32,
    OWN_MAX = 8,
    INODES_MAX = 512,
    IMAGE_FILES_MAX = 16,
    ACTOR_NAME_BYTES = 24
};

enum stop_flags {
    STOP_MAY_FAIL = 1 << 0, /* the call is a sync that may be made to fail */
    STOP_IS_OWN = 1 << 1,   /* no other actor can tell whether it comes before or behind this */
    STOP_IS_REST = 1 << 2,  /* it lets others go on: that is no preemption */
};

struct actor;
typedef void script(struct actor *actor);

/* What a scene says of one of its actors. */
struct role {
    const char *name;
    script *prepare; /* before the curtain, alone; NULL: nothing */
    script *play;
    bool readonly; /* opens the store so */
    bool mortal;   /* may be killed */
};

enum actor_state { ACTOR_READY, ACTOR_BLOCKED, ACTOR_DONE };

struct actor {
    const struct role *role;
    struct stage *stage;
    unsigned index;
    enum actor_state state;
    bool dead, timed_out; /* timed_out: it may find that others are busy */
    unsigned txn_count;
    pthread_t thread;
    sem_t turn;
    script *job;

    struct kv_io *io;
    struct kv_open_options options;
    struct kv_settings settings; /* of its transactions */
    struct kv_store *store;      /* NULL: not open */
    struct kv_txn *txn;
    struct kv_snapshot *snapshot;
    struct witness witness; /* what it has seen of the store */

    uint64_t history;                            /* of what its calls have returned */
    const struct memfs_node *mapped[MAPPED_MAX]; /* what it reads without a call */
    unsigned mapped_count;
    const struct memfs_node *own[OWN_MAX]; /* files that it has made, and no manifest names yet */
    unsigned own_count;
    const uint8_t *page;  /* where it has mapped LOCK */
    uint64_t wanted_byte; /* the lock that it could not get */
    enum kv_lock_mode wanted_mode;
    uint64_t late_ms; /* how far its clock is ahead */
    uint64_t random;

    const char *call; /* the next one */
    char subject[ACTOR_NAME_BYTES];
    unsigned flags;
};

struct scene {
    const char *name;
    struct role roles[ACTORS_MAX];
    unsigned role_count;
    script *build;    /* the store before: files to begin each schedule with */
    bool dies_before; /* the builder did not close it */
    bool time_outs, power, faults;
    enum kv_synchronous synchronous;
    struct budget budget;
    unsigned share_percent;  /* of schedules with more than one deviation, in a short run */
    unsigned spared_percent; /* of them, in a long one */
};

/* The files to begin with, and what is known of them. */
struct image {
    struct {
        char path[64];
        uint8_t *bytes;
        size_t size;
    } files[IMAGE_FILES_MAX];
    unsigned count;
    struct ledger ledger;
    unsigned txn_count; /* of the crew */
};

struct stage {
    const struct scene *scene;
    struct explorer explorer;
    struct ledger ledger;
    struct actor actors[ACTORS_MAX];
    unsigned actor_count;
    struct actor crew; /* builds the store, and looks at it in the end */
    struct kv_memfs *fs;
    struct memfs_node *lock_file;
    sem_t empty;  /* nobody is playing any more */
    bool is_open; /* the curtain: calls are stops */
    bool cut_short, power_failed;
    unsigned faults;
    bool trace;
    uint64_t stops;
    uint64_t contents[INODES_MAX], durable[INODES_MAX]; /* hashes of files, by inode */
    struct image image;
    struct { /* of all schedules of the scene */
        uint64_t schedules, cut_short, deaths, power_cuts, faults;
    } figures;
};

/* The actor that this thread plays; NULL: none. */
struct actor *stage_self(void);

void stage_init(struct stage *stage, const struct scene *scene);
void stage_release(struct stage *stage);

/* Run one schedule after another until there is none left, or `limit` (0: none) have been run. */
void stage_run(struct stage *stage, uint64_t limit);

/* Print what went wrong and how to see it again, and exit. */
void stage_fail(struct stage *stage, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* The dead say nothing, and what they are told is of no account. */
static inline bool is_alive(const struct actor *actor)
{
    return !actor->dead;
}

/* ---- Stops: calls.c */

/* The calls of an actor: memfs behind stops. */
struct kv_io_ops stage_calls(void);

/* A stop of the actor at work: `call` on `subject` follows. */
void stage_stop(struct actor *self, const char *call, const char *subject, unsigned flags);

/* The actor at work must wait for a lock. False: nobody plays, so nobody can let go of it. */
bool stage_wait(struct actor *self);

/* Files, names, locks and page, summed up in a number. */
uint64_t stage_files_hash(const struct stage *stage);

/* Has somebody died in a sync, so that nobody knows what it did? */
bool stage_sync_is_doubtful(const struct stage *stage);

/* What of them would survive a power cut. */
uint64_t stage_disk_hash(const struct stage *stage);

/* Are there removals of names that are not durable? */
bool stage_has_removals(const struct stage *stage);

/* Could a waiting actor get its lock now? */
bool stage_lock_is_free(const struct stage *stage, const struct actor *actor);

#endif
