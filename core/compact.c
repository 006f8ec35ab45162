/* What to compact, and for how long: see compact.h. */
#include "compact.h"

#include "progress.h"
#include "rewrite.h"

struct kv_policy kv_compact_policy(const struct kv_settings *settings)
{
    return (struct kv_policy){.fanout = settings->fanout,
                              .tier_count = settings->tiers,
                              .garbage_ratio = settings->garbage_ratio,
                              .max_segment_bytes = settings->max_segment_bytes};
}

static struct kv_choice choose_by_policy(const struct kv_manifest *manifest, void *context)
{
    return kv_policy_choose(manifest, context);
}

enum kv_status kv_compact_by_policy(struct kv_engine *engine, const struct kv_settings *settings)
{
    struct kv_policy policy = kv_compact_policy(settings);
    struct kv_rewrite_limit limit = {0};
    uint64_t written_bytes = 0;
    bool done = false;
    enum kv_status st = KV_OK;

    /* After each step the policy is asked anew: small merges do not wait for a large one. */
    while (st == KV_OK && !done)
        st = kv_rewrite_step(engine, settings, choose_by_policy, &policy, &limit, &done,
                             &written_bytes);
    return st;
}

/* ---- Everything */

/* Is there anything that a rewrite of everything would drop or join? */
static bool worth_compacting(const struct kv_manifest *manifest)
{
    if (manifest->run_count != 1)
        return manifest->run_count > 1;
    if (manifest->runs[0].has_low)
        return true;
    for (size_t i = 0; i < manifest->runs[0].segment_count; i++) {
        const struct kv_segment_info *info = &manifest->runs[0].segments[i];

        if (info->dead_bytes > 0 || info->tombstone_count > 0 ||
            info->record_count > info->entry_count)
            return true;
    }
    return false;
}

/* A merge of everything that there is when it begins; it takes over what merges are open. */
struct everything {
    const struct kv_settings *settings;
    bool begun;
};

static struct kv_choice begin_everything(const struct kv_manifest *manifest,
                                         const struct kv_settings *settings)
{
    struct kv_choice choice = {.action = KV_ACTION_REWRITE, .run_count = manifest->run_count};

    if (!worth_compacting(manifest))
        return (struct kv_choice){.action = KV_ACTION_NONE};
    choice.tier = manifest->runs[choice.run_count - 1].tier;
    if (choice.run_count > 1 && choice.tier + 1 < settings->tiers)
        choice.tier++;
    return choice;
}

static struct kv_choice choose_everything(const struct kv_manifest *manifest, void *context)
{
    struct everything *everything = context;

    if (everything->begun)
        return kv_policy_resume_oldest(manifest);
    everything->begun = true;
    return begin_everything(manifest, everything->settings);
}

/* Is a merge open that only logs sealed since take no part in, so that going on with it is what was asked for? */
static bool is_open(struct kv_engine *engine)
{
    const struct kv_manifest *manifest = &engine->manifest;
    struct kv_choice choice;
    bool open;

    pthread_mutex_lock(&engine->mutex);
    choice = kv_policy_resume_oldest(manifest);
    open = choice.action == KV_ACTION_RESUME &&
           choice.first_run + choice.run_count == manifest->run_count &&
           (choice.first_run == 0 || manifest->runs[choice.first_run - 1].tier == 0);
    pthread_mutex_unlock(&engine->mutex);
    return open;
}

/* Where the open merge has come to: the last key of its output, in `*key`. */
static struct kv_version *find_position(struct kv_engine *engine, struct kv_choice *choice,
                                        struct kv_buffer *key)
{
    struct kv_version *version;

    pthread_mutex_lock(&engine->mutex);
    version = kv_version_ref(engine->version);
    *choice = kv_policy_resume_oldest(&engine->manifest);
    if (choice->action == KV_ACTION_RESUME) {
        const struct kv_run *output =
            &engine->manifest.runs[choice->first_run + choice->run_count - 1];
        enum kv_status st = kv_buffer_set(
            key, kv_buffer_slice(&output->segments[output->segment_count - 1].max_key));

        (void)st; /* without it, all is still to be done */
    }
    pthread_mutex_unlock(&engine->mutex);
    return version;
}

/* Bytes that the open merge has still to read, about. */
static uint64_t bytes_left(struct kv_engine *engine)
{
    struct kv_buffer key = {0};
    struct kv_choice choice;
    struct kv_version *version = find_position(engine, &choice, &key);
    uint64_t bytes = 0;

    if (choice.run_count > 1)
        bytes = kv_progress_left(version, choice.first_run, choice.run_count - 1,
                                 kv_buffer_slice(&key));
    kv_buffer_release(&key);
    kv_version_unref(version);
    return choice.run_count > 1 && bytes == 0 ? 1 : bytes;
}

/* What one step may do of what is left of a budget. False: nothing. */
static bool limit_step(struct kv_engine *engine, const struct kv_compact_budget *budget,
                       uint64_t until_ms, uint64_t written_bytes, struct kv_rewrite_limit *limit)
{
    *limit = (struct kv_rewrite_limit){.until_ms = until_ms};
    if (!budget)
        return true;
    if (until_ms && kv_io_monotonic_ms(engine->place.io) >= until_ms)
        return false;
    if (budget->bytes && written_bytes >= budget->bytes)
        return false;
    limit->bytes = budget->bytes ? budget->bytes - written_bytes : 0;
    return true;
}

enum kv_status kv_compact_all(struct kv_engine *engine, const struct kv_settings *settings,
                              const struct kv_compact_budget *budget, uint64_t *left_bytes)
{
    struct everything everything = {settings, budget && is_open(engine)};
    uint64_t until_ms =
        budget && budget->ms ? kv_io_monotonic_ms(engine->place.io) + budget->ms : 0;
    uint64_t written_bytes = 0;
    struct kv_rewrite_limit limit;
    bool done = false;
    enum kv_status st = KV_OK;

    while (st == KV_OK && !done && limit_step(engine, budget, until_ms, written_bytes, &limit))
        st = kv_rewrite_step(engine, settings, choose_everything, &everything, &limit, &done,
                             &written_bytes);
    if (left_bytes)
        *left_bytes = bytes_left(engine);
    return st;
}
