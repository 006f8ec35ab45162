/*
 * Scenes: pieces of work on a store in memory that between them make every call of io.h there is
 * in core/. A play is one performance of a scene, with or without faults: it stops at
 * the first failure that it is told of, and keeps what it was promised until then.
 *
 * What a store holds is a matter of its seq alone: a scene commits the same each time.
 */
#ifndef KV_FAULTS_PLAY_H
#define KV_FAULTS_PLAY_H

#include "world.h"

enum { PLAY_SEQS = 256 };

struct play {
    struct world world;
    struct world other;    /* another process of scenes that need one */
    enum kv_status st;     /* the first failure */
    uint64_t promised_seq; /* acknowledged */
    uint64_t durable_seq;  /* acknowledged as durable */
    bool unknown;          /* one more transaction may be there */
    bool loses;            /* failed syncs lose what was written */
    bool destroyed;        /* the store may be gone, on purpose */
    uint64_t *digests;     /* by seq; filled in by a rehearsal */
    bool is_rehearsal;
};

struct scene {
    const char *name;
    /* Leaves files that nobody has open. It makes the processes, too, if there are two. */
    void (*prepare)(struct play *play);
    /* What is disturbed. */
    void (*work)(struct play *play);
    /* When nothing fails any more: what must hold besides. The store is not open. NULL: nothing. */
    void (*check)(struct play *play);
    bool has_two_processes;
    bool is_long; /* played only for errors that no scene before it has come to */
};

extern const struct scene scenes[];
extern const unsigned scene_count;

#endif
