/* Letting merges catch up: see backlog.h. */
#include "backlog.h"

#include "compact.h"
#include "patience.h"

static size_t run_limit(const struct kv_settings *settings)
{
    struct kv_policy policy = kv_compact_policy(settings);

    return kv_policy_run_limit(&policy);
}

bool kv_store_is_behind(struct kv_store *store, const struct kv_settings *settings)
{
    settings = kv_store_settings(store, settings);
    return settings->auto_compact && kv_engine_check_alive(&store->engine) == KV_OK &&
           !kv_engine_wait_for_runs(&store->engine, run_limit(settings), 0);
}

/* KV_BUSY: they have not in time. */
static enum kv_status wait_for_merges(struct kv_store *store, const struct kv_settings *settings)
{
    struct kv_engine *engine = &store->engine;
    struct kv_patience patience = kv_patience_start(engine, settings, settings->busy_timeout_ms);
    enum kv_status st;

    do
        st = kv_engine_wait_for_runs(engine, run_limit(settings), patience.step_ms) ? KV_OK
                                                                                    : KV_BUSY;
    while (st == KV_BUSY && kv_patience_goes_on(&patience, &st));
    return st;
}

static enum kv_status merge(struct kv_engine *engine, const struct kv_settings *settings)
{
    enum kv_status st;

    if (kv_engine_take_compactor(engine, 0) != KV_OK)
        return KV_OK; /* whoever has it is at it */
    st = kv_compact_by_policy(engine, settings);
    kv_engine_drop_compactor(engine);
    return st == KV_INTERRUPTED ? st : KV_OK;
}

/* Slow down, so that it need not come to more. Whoever waits sees to it that the thread is at it. */
static void keep_pace(struct kv_store *store, const struct kv_settings *settings)
{
    struct kv_policy policy = kv_compact_policy(settings);
    unsigned wait_ms;

    if (!settings->auto_compact || !store->maintainer.running)
        return;
    wait_ms = kv_pace_ask(&store->pace, &store->engine, &policy);
    if (wait_ms == 0 || kv_maintainer_fails(&store->maintainer))
        return;
    kv_maintainer_note_seal(&store->maintainer, settings);
    (void)!kv_engine_wait_for_runs(&store->engine, 0, wait_ms); /* however few there are */
}

enum kv_status kv_backlog_reduce(struct kv_store *store, const struct kv_settings *settings)
{
    enum kv_status st;

    keep_pace(store, settings);
    if (!kv_store_is_behind(store, settings))
        return KV_OK;
    if (store->maintainer.running) {
        /* It tries again less and less often: writers need not pay for each try. */
        if (kv_maintainer_fails(&store->maintainer))
            return KV_OK;
        kv_maintainer_note_seal(&store->maintainer, settings);
    }
    st = wait_for_merges(store, settings);
    return st == KV_BUSY ? merge(&store->engine, settings) : st;
}
