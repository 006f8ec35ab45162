/* How long a writer waits before it writes: see pace.h. */
#include "pace.h"

enum {
    HALVINGS = 5,       /* of the rate, with each unit of pressure */
    MEASURE_MS = 20,    /* while there is pressure, it is measured as often */
    SPARE_MAX_MS = 10,  /* how long a pause of the writer counts in its favour */
    OWED_MAX_MS = 1000, /* one huge transaction is not held against all that follow */
};
static const double FASTEST_BYTES_PER_MS = 1 << 19;

double kv_pace_rate(double pressure)
{
    double halvings = pressure * HALVINGS;
    unsigned whole = (unsigned)halvings;

    /* Two to the power of it, with straight lines between the whole numbers. */
    return FASTEST_BYTES_PER_MS * 1000 / (double)(1u << whole) / (1 + halvings - (double)whole);
}

static double within(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

/* Engine's mutex. */
static unsigned charge(struct kv_pace *pace, uint64_t bytes, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms > pace->at_ms ? now_ms - pace->at_ms : 0;
    unsigned wait_ms;

    pace->owed_ms -= (double)passed_ms;
    pace->owed_ms += (double)bytes * 1000 / kv_pace_rate(pace->pressure);
    pace->owed_ms = within(pace->owed_ms, -SPARE_MAX_MS, OWED_MAX_MS);
    wait_ms = (unsigned)within(pace->owed_ms, 0, KV_PACE_WAIT_MAX_MS);
    pace->owed_ms -= wait_ms;
    pace->at_ms = now_ms + wait_ms;
    return wait_ms;
}

/* Runs that this process is reading in a merge. Engine's mutex. */
static struct kv_headway headway_of(const struct kv_engine *engine)
{
    const struct kv_merging *merging = &engine->merging;
    struct kv_headway headway = {0};

    if (merging->input_bytes == 0)
        return headway;
    headway.first_run = kv_manifest_find_run(&engine->manifest, merging->first);
    if (headway.first_run == SIZE_MAX)
        return (struct kv_headway){0}; /* the step is over */
    headway.run_count = merging->input_count;
    headway.left_share = (double)merging->left_bytes / (double)merging->input_bytes;
    return headway;
}

/* Engine's mutex. */
static void measure(struct kv_pace *pace, const struct kv_engine *engine,
                    const struct kv_policy *policy)
{
    uint64_t serial = atomic_load_explicit(&engine->serial, memory_order_relaxed);
    struct kv_headway headway;
    uint64_t now_ms;

    if (pace->serial == serial && pace->pressure <= 0)
        return;
    now_ms = kv_io_monotonic_ms(engine->place.io);
    if (pace->serial == serial && now_ms < pace->measured_ms + MEASURE_MS)
        return;
    headway = headway_of(engine);
    pace->serial = serial;
    pace->measured_ms = now_ms;
    pace->pressure = kv_policy_pressure(&engine->manifest, policy, &headway);
}

unsigned kv_pace_ask(struct kv_pace *pace, struct kv_engine *engine, const struct kv_policy *policy)
{
    uint64_t lsn = kv_page_load(&engine->page->committed_lsn);
    unsigned wait_ms = 0;

    pthread_mutex_lock(&engine->mutex);
    measure(pace, engine, policy);
    if (pace->pressure > 0) /* the first question charges nothing: nobody knows since when */
        wait_ms = charge(pace, pace->lsn > 0 && lsn > pace->lsn ? lsn - pace->lsn : 0,
                         kv_io_monotonic_ms(engine->place.io));
    pace->lsn = lsn;
    pthread_mutex_unlock(&engine->mutex);
    return wait_ms;
}
