/*
 * The background thread of an open store: what is due is done without making
 * anybody wait for it. In this order, again and again:
 *
 *   1. install what other processes have sealed or merged, so that a process
 *      that only sits there does not keep files alive that nobody reads;
 *   2. sync the log, if something committed has not been durable for most of a
 *      second, whichever process committed it (P4, also when that one has died);
 *   3. index the log that was sealed last (seal.h): at once if a user of this
 *      process sealed it, else when whoever did so has left it for two seconds;
 *   4. merge, as the policy says, after a seal;
 *   5. free versions that have been replaced, once nobody holds them.
 *
 * A merge takes long, so syncs and indexes are seen to while it works, too.
 *
 * It blocks all signals. An index or a merge that fails is tried again, less and
 * less often; a failed sync sets "refuse writes", and the next writer fails over. (If it was
 * another process that died in a sync, this one fails over at once.)
 */
#ifndef KV_MAINTAIN_H
#define KV_MAINTAIN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine.h"
#include "kv.h"

/* When to try again what has failed. */
struct kv_retry {
    unsigned delay_ms; /* 0: the last attempt did not fail */
    uint64_t at_ms;
};

struct kv_maintainer {
    struct kv_engine *engine;
    pthread_t thread;
    bool running;
    pthread_mutex_t mutex; /* guards what follows; innermost but for the engine's */
    pthread_cond_t wake;
    _Atomic bool stop;
    _Atomic bool index_due;
    bool merge_due;
    struct kv_settings settings; /* to merge by: those of the last user that sealed */
    bool is_failing; /* the last merge could not be made, and not because of another one */

    /* The thread's own. */
    uint64_t looked_ms;       /* when it last saw to what is due by the clock */
    uint64_t durable_lsn;     /* as it was then … */
    unsigned undurable_looks; /* … and how many looks in a row found the same, and more committed */
    uint64_t unindexed;       /* the number of the log that had no index then; 0: none … */
    unsigned unindexed_looks; /* … and how many looks in a row found the same */
    struct kv_retry index_retry, merge_retry;
};

/*
 * Start the thread for an engine that is up. Merges that an earlier process
 * left undone are due at once, if `settings` say so. Failure: no thread, and the
 * store works as with none.
 */
enum kv_status kv_maintainer_start(struct kv_maintainer *maintainer, struct kv_engine *engine,
                                   const struct kv_settings *settings) KV_WARN_UNUSED;

/* Interrupt what it is doing and wait for its end. Fine if it was never started. */
void kv_maintainer_stop(struct kv_maintainer *maintainer);

/* Did the last merge fail? It is tried again, but waiting for it would be in vain. */
bool kv_maintainer_fails(struct kv_maintainer *maintainer);

/* A log was sealed by a user with these settings (copied): index it, and merge if they say so. */
void kv_maintainer_note_seal(struct kv_maintainer *maintainer, const struct kv_settings *settings);

#endif
