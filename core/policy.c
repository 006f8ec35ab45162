/*
 * `fanout` runs of a tier become one run of the next, so each byte is written
 * once a tier, and runs grow with their age. Logs filled in key order are
 * joined, so they are never written again.
 *
 * Garbage is judged by the run. Ranges of several runs need no thought: the
 * dead share of one lies between the smallest and the largest share of its
 * runs (it is their mediant), so the best range is always a single run.
 *
 * Where a run stands says how old it is, and tiers never descend from newest
 * to oldest: each choice keeps that.
 */
#include "policy.h"

#include <assert.h>
#include <stdio.h>

/* No record is smaller: with fewer bytes dead than this, none is. */
enum { DEAD_MIN_BYTES = 8 };

enum { PRESSURE_MAX = 2 };

/* Consecutive runs, newest first. */
struct range {
    size_t first;
    size_t count;
};

/* The tier that a run counts for: what an earlier user placed deeper than we go is in our last. */
static unsigned tier_of(const struct kv_run *run, const struct kv_policy *policy)
{
    return run->tier < policy->tier_count ? run->tier : policy->tier_count - 1;
}

/*
 * The runs of a tier that may be merged. Those newer than an open merge of the
 * tier wait: in a deeper tier they would stand before its runs.
 */
static struct range mergeable(const struct kv_manifest *manifest, const struct kv_policy *policy,
                              unsigned tier)
{
    size_t end = manifest->run_count;
    size_t first;

    while (end > 0 && tier_of(&manifest->runs[end - 1], policy) > tier)
        end--;
    first = end;
    while (first > 0 && tier_of(&manifest->runs[first - 1], policy) == tier &&
           manifest->runs[first - 1].merge_id == 0)
        first--;
    return (struct range){first, end - first};
}

/* ---- Joining */

/* Do all keys of `newer` lie behind those of `older`? Then one list of segments can hold both. */
static bool ascend(const struct kv_run *older, const struct kv_run *newer)
{
    const struct kv_segment_info *last = &older->segments[older->segment_count - 1];

    /* What `low` hides must stay the lowest part of a run. */
    return !newer->has_low && kv_slice_compare(kv_buffer_slice(&last->max_key),
                                               kv_buffer_slice(&newer->segments[0].min_key)) < 0;
}

/* Segments about as large as logs are worth keeping: a quarter of the largest, less 1/16 of that. */
static bool large_enough(uint64_t bytes, uint64_t segment_count, const struct kv_policy *policy)
{
    return bytes / segment_count >= policy->max_segment_bytes / 64 * 15;
}

static bool can_join(const struct kv_manifest *manifest, const struct kv_policy *policy,
                     struct range range)
{
    uint64_t segment_count = 0;
    uint64_t bytes = 0;

    for (size_t i = range.first; i < range.first + range.count; i++) {
        const struct kv_run *run = &manifest->runs[i];

        if (i > range.first && !ascend(run, run - 1))
            return false;
        segment_count += run->segment_count;
        for (size_t k = 0; k < run->segment_count; k++)
            bytes += run->segments[k].end_bytes;
    }
    return large_enough(bytes, segment_count, policy);
}

/* ---- Open merges: runs with one id, side by side */

/* Go on with the merge that the run is part of. */
static struct kv_choice resume(const struct kv_manifest *manifest, size_t run)
{
    uint64_t id = manifest->runs[run].merge_id;
    size_t first = run, end = run + 1;

    while (first > 0 && manifest->runs[first - 1].merge_id == id)
        first--;
    while (end < manifest->run_count && manifest->runs[end].merge_id == id)
        end++;
    return (struct kv_choice){KV_ACTION_RESUME, first, end - first, manifest->runs[end - 1].tier};
}

struct kv_choice kv_policy_resume_oldest(const struct kv_manifest *manifest)
{
    for (size_t i = manifest->run_count; i-- > 0;) {
        if (manifest->runs[i].merge_id != 0)
            return resume(manifest, i);
    }
    return (struct kv_choice){.action = KV_ACTION_NONE};
}

/* A merge counts for the tier of its newest run. */
static struct kv_choice resume_in_tier(const struct kv_manifest *manifest,
                                       const struct kv_policy *policy, unsigned tier)
{
    for (size_t i = 0; i < manifest->run_count; i++) {
        const struct kv_run *run = &manifest->runs[i];

        if (run->merge_id == 0 || (i > 0 && run[-1].merge_id == run->merge_id))
            continue;
        if (tier_of(run, policy) == tier)
            return resume(manifest, i);
    }
    return (struct kv_choice){.action = KV_ACTION_NONE};
}

/* ---- Tiers */

/* What becomes of a tier. */
static struct kv_choice choose_for_tier(const struct kv_manifest *manifest,
                                        const struct kv_policy *policy, unsigned tier)
{
    struct range range = mergeable(manifest, policy, tier);
    bool last = tier + 1 == policy->tier_count;
    const struct kv_run *oldest;

    if (range.count < policy->fanout)
        return (struct kv_choice){.action = KV_ACTION_NONE};
    oldest = &manifest->runs[range.first + range.count - 1];
    return (struct kv_choice){
        .action = can_join(manifest, policy, range) ? KV_ACTION_JOIN : KV_ACTION_MERGE,
        .first_run = range.first,
        .run_count = range.count,
        .tier = last ? oldest->tier : tier + 1,
    };
}

/* ---- Garbage */

struct garbage {
    uint64_t dead_bytes;
    uint64_t record_bytes; /* dead ones included */
};

static struct garbage garbage_of(const struct kv_run *run)
{
    struct garbage sum = {0};

    for (size_t i = 0; i < run->segment_count; i++) {
        sum.dead_bytes += run->segments[i].dead_bytes;
        sum.record_bytes += run->segments[i].end_bytes - KV_HEADER_BYTES;
    }
    return sum;
}

static uint64_t live_bytes_of(const struct kv_run *run)
{
    struct garbage garbage = garbage_of(run);

    return garbage.record_bytes > garbage.dead_bytes ? garbage.record_bytes - garbage.dead_bytes
                                                     : 0;
}

static bool worth_rewriting(const struct kv_run *run, const struct kv_policy *policy)
{
    struct garbage garbage = garbage_of(run);

    return run->merge_id == 0 && garbage.dead_bytes >= DEAD_MIN_BYTES &&
           (double)garbage.dead_bytes >= policy->garbage_ratio * (double)garbage.record_bytes;
}

/* A larger share, or as large a share of fewer bytes. */
static bool is_worse(struct garbage a, struct garbage b)
{
    unsigned __int128 left = (unsigned __int128)a.dead_bytes * b.record_bytes;
    unsigned __int128 right = (unsigned __int128)b.dead_bytes * a.record_bytes;

    return left != right ? left > right : a.record_bytes < b.record_bytes;
}

static struct kv_choice choose_garbage(const struct kv_manifest *manifest,
                                       const struct kv_policy *policy)
{
    struct kv_choice choice = {.action = KV_ACTION_NONE};

    for (size_t i = 0; i < manifest->run_count; i++) {
        const struct kv_run *run = &manifest->runs[i];

        if (!worth_rewriting(run, policy))
            continue;
        if (choice.action == KV_ACTION_NONE ||
            is_worse(garbage_of(run), garbage_of(&manifest->runs[choice.first_run])))
            choice = (struct kv_choice){KV_ACTION_REWRITE, i, 1, run->tier};
    }
    return choice;
}

/* ---- Pressure */

size_t kv_policy_run_limit(const struct kv_policy *policy)
{
    return (size_t)2 * policy->fanout * policy->tier_count;
}

/* Where a value stands, if `from` is 0 and `to` 1. */
static double position(double value, double from, double to)
{
    double share = (value - from) / (to - from);

    return share < 0 ? 0 : share > PRESSURE_MAX ? PRESSURE_MAX : share;
}

/* How much of a run counts. */
static double share_left(const struct kv_headway *headway, size_t run)
{
    bool read = run >= headway->first_run && run - headway->first_run < headway->run_count;

    return read ? headway->left_share : 1;
}

/* What two measures say: policy.h. */
struct pressure {
    double by_runs, by_garbage;
};

static struct pressure pressure_of(const struct kv_manifest *manifest,
                                   const struct kv_policy *policy, const struct kv_headway *headway)
{
    double limit = (double)kv_policy_run_limit(policy);
    double runs = 0, dead_bytes = 0, live_bytes = 0;
    struct pressure pressure = {0};

    for (size_t i = 0; i < manifest->run_count; i++) {
        struct garbage garbage = garbage_of(&manifest->runs[i]);
        double share = share_left(headway, i);

        runs += share;
        dead_bytes += share * (double)garbage.dead_bytes;
        live_bytes += (double)live_bytes_of(&manifest->runs[i]);
    }
    pressure.by_runs = position(runs, limit / 2, limit);
    if (dead_bytes > (double)policy->max_segment_bytes / 2)
        pressure.by_garbage = position((dead_bytes - (double)policy->max_segment_bytes / 2) /
                                           (dead_bytes + live_bytes),
                                       policy->garbage_ratio, (policy->garbage_ratio + 1) / 2);
    return pressure;
}

double kv_policy_pressure(const struct kv_manifest *manifest, const struct kv_policy *policy,
                          const struct kv_headway *headway)
{
    struct pressure pressure = pressure_of(manifest, policy, headway);

    return pressure.by_runs > pressure.by_garbage ? pressure.by_runs : pressure.by_garbage;
}

/* ---- What to do */

/*
 * Writers that are never slower than merges keep tier 0 full, so garbage would never have its turn.
 * It has when it weighs more than the number of runs does.
 */
static bool garbage_presses(const struct kv_manifest *manifest, const struct kv_policy *policy)
{
    struct pressure pressure = pressure_of(manifest, policy, &(struct kv_headway){0});

    return pressure.by_garbage > pressure.by_runs;
}

/*
 * What to do where garbage presses: rewrite the run with most of it, and with it newer ones as long as
 * what is alive of each is less than what has been chosen: they would have to be merged anyhow.
 */
static struct kv_choice choose_most_garbage(const struct kv_manifest *manifest,
                                            const struct kv_policy *policy)
{
    struct kv_choice choice = kv_policy_resume_oldest(manifest);
    uint64_t most_bytes = 0, chosen_bytes;

    if (choice.action != KV_ACTION_NONE)
        return choice;
    for (size_t i = 0; i < manifest->run_count; i++) {
        uint64_t dead_bytes = garbage_of(&manifest->runs[i]).dead_bytes;

        if (!worth_rewriting(&manifest->runs[i], policy) || dead_bytes <= most_bytes)
            continue;
        most_bytes = dead_bytes;
        choice = (struct kv_choice){KV_ACTION_REWRITE, i, 1, manifest->runs[i].tier};
    }
    if (choice.action == KV_ACTION_NONE)
        return choice;
    chosen_bytes = garbage_of(&manifest->runs[choice.first_run]).record_bytes;
    while (choice.first_run > 0 &&
           live_bytes_of(&manifest->runs[choice.first_run - 1]) <= chosen_bytes) {
        choice.first_run--;
        choice.run_count++;
        chosen_bytes += garbage_of(&manifest->runs[choice.first_run]).record_bytes;
    }
    return choice;
}

static struct kv_choice choose_tier(const struct kv_manifest *manifest,
                                    const struct kv_policy *policy)
{
    struct kv_choice choice = {.action = KV_ACTION_NONE};

    for (unsigned tier = 0; tier < policy->tier_count && choice.action == KV_ACTION_NONE; tier++) {
        choice = resume_in_tier(manifest, policy, tier);
        if (choice.action == KV_ACTION_NONE)
            choice = choose_for_tier(manifest, policy, tier);
    }
    return choice;
}

struct kv_choice kv_policy_choose(const struct kv_manifest *manifest,
                                  const struct kv_policy *policy)
{
    struct kv_choice choice = {.action = KV_ACTION_NONE};

    assert(policy->fanout >= 2);
    assert(policy->tier_count >= 1 && policy->tier_count <= KV_TIER_COUNT);
    if (garbage_presses(manifest, policy))
        choice = choose_most_garbage(manifest, policy);
    if (choice.action == KV_ACTION_NONE)
        choice = choose_tier(manifest, policy);
    return choice.action == KV_ACTION_NONE ? choose_garbage(manifest, policy) : choice;
}

/* ---- Reasons */

static unsigned dead_percent(const struct kv_run *run)
{
    struct garbage garbage = garbage_of(run);

    if (garbage.dead_bytes >= garbage.record_bytes)
        return garbage.dead_bytes > 0 ? 100 : 0;
    return (unsigned)(garbage.dead_bytes * 100 / garbage.record_bytes);
}

/* Runs of a tier that count: those of an open merge do not. */
static size_t count_tier(const struct kv_manifest *manifest, const struct kv_policy *policy,
                         unsigned tier)
{
    size_t count = 0;

    for (size_t i = 0; i < manifest->run_count; i++)
        count += tier_of(&manifest->runs[i], policy) == tier && manifest->runs[i].merge_id == 0;
    return count;
}

void kv_policy_reason(const struct kv_manifest *manifest, const struct kv_policy *policy,
                      size_t run, char *out, size_t size)
{
    const struct kv_run *it = &manifest->runs[run];
    unsigned tier = tier_of(it, policy);
    struct kv_choice choice = choose_for_tier(manifest, policy, tier);
    bool chosen = run >= choice.first_run && run - choice.first_run < choice.run_count;

    if (it->merge_id != 0)
        snprintf(out, size, "in an open merge");
    else if (chosen && choice.action == KV_ACTION_JOIN)
        snprintf(out, size, "join: %zu ascending runs", choice.run_count);
    else if (chosen && choice.action == KV_ACTION_MERGE)
        snprintf(out, size, "merge: tier %u has %zu runs", tier, choice.run_count);
    else if (worth_rewriting(it, policy))
        snprintf(out, size, "rewrite: %u%% dead", dead_percent(it));
    else
        snprintf(out, size, "tier %u has %zu of %u runs, %u%% dead", tier,
                 count_tier(manifest, policy, tier), policy->fanout, dead_percent(it));
}
