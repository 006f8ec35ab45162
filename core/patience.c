/* Waiting in steps: see patience.h. */
#include "patience.h"

enum { STEP_MS = 50 };

struct kv_patience kv_patience_start(struct kv_engine *engine, const struct kv_settings *settings,
                                     uint64_t limit_ms)
{
    return (struct kv_patience){.engine = engine, .settings = settings, .left_ms = limit_ms};
}

/* Count the step that has just been in vain. It may have taken longer than it should. */
static void count_step(struct kv_patience *patience)
{
    uint64_t now_ms = kv_io_monotonic_ms(patience->engine->place.io);
    uint64_t spent_ms = 0;

    if (patience->step_ms)
        spent_ms = now_ms - patience->last_ms;
    /* Where the clock stands still, waiting must end all the same. */
    if (spent_ms == 0)
        spent_ms = patience->step_ms;
    patience->left_ms -= spent_ms < patience->left_ms ? spent_ms : patience->left_ms;
    patience->last_ms = now_ms;
}

bool kv_patience_goes_on(struct kv_patience *patience, enum kv_status *st)
{
    const struct kv_settings *settings = patience->settings;

    if (patience->left_ms == 0)
        return false;
    if (settings->interrupted && settings->interrupted(settings->interrupted_context)) {
        *st =
            kv_fail(KV_INTERRUPTED, "%s: waiting for another connection or process was interrupted",
                    patience->engine->path);
        return false;
    }
    count_step(patience);
    patience->step_ms = patience->left_ms < STEP_MS ? (unsigned)patience->left_ms : STEP_MS;
    return true;
}
