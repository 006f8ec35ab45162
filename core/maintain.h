/*
 * The background thread of an open store: what is due is done without making
 * anybody wait for it. In this order, again and again:
 *
 *   1. install what other processes have sealed or merged, so that a process
 *      that only sits there does not keep files alive that nobody reads;
 *   2. sync the log, if something committed has not been durable for most of a
 *      second, whichever process committed it (P4, also when that one has died);
 *   3. merge, as the policy says, after a seal.
 *
 * It blocks all signals. A merge that fails is tried again, less and less
 * often; a failed sync sets "refuse writes", and the next writer fails over. (If it was
 * another process that died in a sync, this one fails over at once.)
 */
#ifndef KV_MAINTAIN_H
#define KV_MAINTAIN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine.h"
#include "kv.h"

struct kv_maintainer {
    struct kv_engine *engine;
    pthread_t thread;
    bool running;
    pthread_mutex_t mutex; /* guards what follows; innermost but for the engine's */
    pthread_cond_t wake;
    _Atomic bool stop;
    bool merge_due;
    struct kv_settings settings; /* to merge by: those of the last user that sealed */
    unsigned retry_delay_ms;     /* after a failed merge; 0: the last one did not fail */
    uint64_t retry_at_ms;
    bool is_failing; /* the last merge could not be made, and not because of another one */
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

/* A log was sealed by a user with these settings (copied): merge if they say so. */
void kv_maintainer_note_seal(struct kv_maintainer *maintainer, const struct kv_settings *settings);

#endif
