/* The background thread: see maintain.h. */
#include "maintain.h"

#include <signal.h>
#include <time.h>

#include "compact.h"
#include "seal.h"
#include "writer.h"

enum {
    POLL_MS = 250, /* four looks a second: a commit waits for at most three of them */
    SYNC_AFTER_LOOKS = 3,
    INDEX_AFTER_LOOKS = 8, /* what others have sealed: they are about to do it */
    RETRY_FIRST_MS = 1000,
    RETRY_MAX_MS = 60000,
};

static uint64_t now_ms(const struct kv_maintainer *maintainer)
{
    return kv_io_monotonic_ms(maintainer->engine->place.io);
}

/* ---- Trying again */

static bool is_time(const struct kv_maintainer *maintainer, const struct kv_retry *retry)
{
    return retry->delay_ms == 0 || now_ms(maintainer) >= retry->at_ms;
}

/* After a failure, and while another process is at it, come back later. */
static void note_outcome(const struct kv_maintainer *maintainer, struct kv_retry *retry,
                         enum kv_status st)
{
    unsigned delay_ms = st == KV_BUSY ? RETRY_FIRST_MS : 2 * retry->delay_ms;

    if (delay_ms < RETRY_FIRST_MS)
        delay_ms = RETRY_FIRST_MS;
    if (st == KV_OK)
        delay_ms = 0;
    retry->delay_ms = delay_ms < RETRY_MAX_MS ? delay_ms : RETRY_MAX_MS;
    retry->at_ms = now_ms(maintainer) + retry->delay_ms;
}

static void set_merge_due(struct kv_maintainer *maintainer)
{
    pthread_mutex_lock(&maintainer->mutex);
    maintainer->merge_due = maintainer->settings.auto_compact;
    pthread_mutex_unlock(&maintainer->mutex);
}

/* ---- Other processes' work */

static void look_around(struct kv_maintainer *maintainer)
{
    struct kv_engine *engine = maintainer->engine;
    uint64_t serial = atomic_load(&engine->serial);
    enum kv_status st = kv_engine_refresh(engine);

    if (st != KV_OK || serial == atomic_load(&engine->serial))
        return; /* a reader will meet the same failure, and report it */
    /* Whoever sealed may have died since. */
    set_merge_due(maintainer);
}

/* ---- Syncs that are due */

static void sync_if_due(struct kv_maintainer *maintainer)
{
    struct kv_engine *engine = maintainer->engine;
    uint64_t durable_lsn = kv_page_load(&engine->page->durable_lsn);
    uint64_t committed_lsn = kv_page_load(&engine->page->committed_lsn);
    struct kv_version *version;
    enum kv_status st = KV_OK;

    if (durable_lsn >= committed_lsn || durable_lsn != maintainer->durable_lsn)
        maintainer->undurable_looks = 0;
    maintainer->durable_lsn = durable_lsn;
    if (durable_lsn >= committed_lsn || ++maintainer->undurable_looks < SYNC_AFTER_LOOKS ||
        kv_page_is_set(&engine->page->refuse_writes))
        return;
    /* The LSN was loaded before: it lies in the log that is active now, or in one that is sealed. */
    if (kv_engine_refresh(engine) != KV_OK)
        return;
    version = kv_engine_version(engine);
    if (committed_lsn > kv_log_lsn(version->log, KV_HEADER_BYTES))
        st = kv_engine_sync_log(engine, version->log,
                                (uint32_t)kv_log_offset(version->log, committed_lsn));
    kv_version_unref(version);
    /* A process died in a sync: unless another writes, and resolves that, nobody else may come. */
    if (st == KV_BUSY && kv_writer_take(engine, 0) == KV_OK)
        kv_engine_drop_writer(engine, false);
    maintainer->undurable_looks = 0;
}

/* ---- Indexes */

/* Has somebody left a log without index? */
static void look_for_unindexed(struct kv_maintainer *maintainer)
{
    struct kv_version *version = kv_engine_version(maintainer->engine);
    uint64_t number = version->unindexed ? version->unindexed->header.number : 0;

    kv_version_unref(version);
    if (number != maintainer->unindexed)
        maintainer->unindexed_looks = 0;
    maintainer->unindexed = number;
    if (number != 0 && ++maintainer->unindexed_looks >= INDEX_AFTER_LOOKS)
        atomic_store(&maintainer->index_due, true);
}

static void index_if_due(struct kv_maintainer *maintainer)
{
    enum kv_status st;

    if (!atomic_load_explicit(&maintainer->index_due, memory_order_relaxed) ||
        !is_time(maintainer, &maintainer->index_retry))
        return;
    atomic_store(&maintainer->index_due, false);
    st = kv_seal_finish(maintainer->engine, NULL);
    note_outcome(maintainer, &maintainer->index_retry, st);
    kv_engine_free_retired(maintainer->engine); /* a memtable, most often */
    if (st == KV_OK)
        set_merge_due(maintainer);
    else
        atomic_store(&maintainer->index_due, true);
}

/* ---- What does not wait for a merge */

static void do_urgent(struct kv_maintainer *maintainer)
{
    uint64_t time_ms = now_ms(maintainer);

    if (time_ms - maintainer->looked_ms >= POLL_MS) {
        maintainer->looked_ms = time_ms;
        sync_if_due(maintainer);
        look_for_unindexed(maintainer);
        kv_engine_free_retired(maintainer->engine);
    }
    index_if_due(maintainer);
}

/* A merge asks now and then whether to stop: a good moment. */
static bool is_stopping(void *context)
{
    struct kv_maintainer *maintainer = context;

    if (atomic_load(&maintainer->stop))
        return true;
    do_urgent(maintainer);
    return false;
}

/* ---- Merging */

/* Is there something to merge? `*settings` is how. */
static bool take_merge(struct kv_maintainer *maintainer, struct kv_settings *settings)
{
    bool due;

    pthread_mutex_lock(&maintainer->mutex);
    due = maintainer->merge_due && is_time(maintainer, &maintainer->merge_retry);
    if (due)
        maintainer->merge_due = false;
    *settings = maintainer->settings;
    pthread_mutex_unlock(&maintainer->mutex);
    settings->interrupted = is_stopping;
    settings->interrupted_context = maintainer;
    return due;
}

/* For those who wait for merges, and for the next attempt. */
static void note_merge(struct kv_maintainer *maintainer, enum kv_status st)
{
    pthread_mutex_lock(&maintainer->mutex);
    maintainer->is_failing = st != KV_OK && st != KV_BUSY;
    maintainer->merge_due |= st != KV_OK;
    pthread_mutex_unlock(&maintainer->mutex);
}

static void merge_if_due(struct kv_maintainer *maintainer)
{
    struct kv_engine *engine = maintainer->engine;
    struct kv_settings settings;
    enum kv_status st;

    if (!take_merge(maintainer, &settings))
        return;
    st = kv_engine_take_compactor(engine, 0);
    if (st == KV_OK) {
        st = kv_compact_by_policy(engine, &settings);
        kv_engine_drop_compactor(engine);
    }
    note_outcome(maintainer, &maintainer->merge_retry, st);
    note_merge(maintainer, st);
}

/* ---- The thread */

/* Sleep until it is time to look again, or somebody has work. */
static void wait_for_work(struct kv_maintainer *maintainer)
{
    uint64_t until_ms = now_ms(maintainer) + POLL_MS;
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000};

    pthread_mutex_lock(&maintainer->mutex);
    if (!atomic_load(&maintainer->stop) &&
        !(atomic_load(&maintainer->index_due) && maintainer->index_retry.delay_ms == 0) &&
        !(maintainer->merge_due && maintainer->merge_retry.delay_ms == 0))
        pthread_cond_timedwait(&maintainer->wake, &maintainer->mutex, &until);
    pthread_mutex_unlock(&maintainer->mutex);
}

static void *run(void *context)
{
    struct kv_maintainer *maintainer = context;

    while (!atomic_load(&maintainer->stop)) {
        look_around(maintainer);
        do_urgent(maintainer);
        merge_if_due(maintainer);
        wait_for_work(maintainer);
    }
    return NULL;
}

enum kv_status kv_maintainer_start(struct kv_maintainer *maintainer, struct kv_engine *engine,
                                   const struct kv_settings *settings)
{
    pthread_condattr_t attributes;
    sigset_t all, before;
    int failed;

    *maintainer = (struct kv_maintainer){
        .engine = engine, .merge_due = settings->auto_compact, .settings = *settings};
    pthread_mutex_init(&maintainer->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&maintainer->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&maintainer->thread, NULL, run, maintainer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    maintainer->running = !failed;
    kv_engine_retire(engine, !failed);
    return failed ? kv_fail(KV_NOMEM, "%s: cannot start a thread", engine->path) : KV_OK;
}

void kv_maintainer_stop(struct kv_maintainer *maintainer)
{
    if (!maintainer->engine)
        return;
    if (maintainer->running) {
        pthread_mutex_lock(&maintainer->mutex);
        atomic_store(&maintainer->stop, true);
        pthread_cond_signal(&maintainer->wake);
        pthread_mutex_unlock(&maintainer->mutex);
        pthread_join(maintainer->thread, NULL);
        maintainer->running = false;
        kv_engine_retire(maintainer->engine, false);
    }
    pthread_cond_destroy(&maintainer->wake);
    pthread_mutex_destroy(&maintainer->mutex);
    maintainer->engine = NULL;
}

bool kv_maintainer_fails(struct kv_maintainer *maintainer)
{
    bool fails;

    pthread_mutex_lock(&maintainer->mutex);
    fails = maintainer->is_failing;
    pthread_mutex_unlock(&maintainer->mutex);
    return fails;
}

void kv_maintainer_note_seal(struct kv_maintainer *maintainer, const struct kv_settings *settings)
{
    pthread_mutex_lock(&maintainer->mutex);
    maintainer->settings = *settings;
    atomic_store(&maintainer->index_due, true);
    maintainer->merge_due = settings->auto_compact;
    pthread_cond_signal(&maintainer->wake);
    pthread_mutex_unlock(&maintainer->mutex);
}
