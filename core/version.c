/* Versions: opening what a manifest names, and reading across all of it. */
#include "version.h"

#include <stdlib.h>

#include "log_scan.h"
#include "names.h"

enum {
    LIKELY_RUNS = 3,   /* the oldest: most keys are there */
    RUNS_AT_ONCE = 16, /* that are fetched from memory together */
};

struct kv_version *kv_version_ref(struct kv_version *version)
{
    atomic_fetch_add_explicit(&version->references, 1, memory_order_relaxed);
    return version;
}

void kv_version_unref(struct kv_version *version)
{
    if (!version || atomic_fetch_sub_explicit(&version->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < version->run_count; i++)
        kv_run_unref(version->runs[i]);
    for (size_t i = 0; i < version->pending_count; i++)
        kv_run_unref(version->pending[i].run);
    free(version->pending);
    kv_log_unref(version->unindexed);
    kv_log_unref(version->log);
    free(version);
}

struct kv_version *kv_version_of_runs(const struct kv_version *version)
{
    struct kv_version *out =
        calloc(1, sizeof(*out) + version->run_count * sizeof(version->runs[0]));

    if (!out)
        return NULL;
    atomic_init(&out->references, 1);
    out->generation = version->generation;
    for (; out->run_count < version->run_count; out->run_count++)
        out->runs[out->run_count] = kv_run_ref(version->runs[out->run_count]);
    return out;
}

static struct kv_segment *find_in_run(const struct kv_run_reader *run, uint64_t number)
{
    for (size_t i = 0; i < kv_run_segment_count(run); i++) {
        struct kv_segment *segment = kv_run_segment(run, i);

        if (kv_segment_info(segment)->number == number)
            return segment;
    }
    return NULL;
}

/* The open segment with this number in `previous`, if it is there; borrowed. */
static struct kv_segment *find_open(const struct kv_version *previous, uint64_t number)
{
    struct kv_segment *found = NULL;

    if (!previous)
        return NULL;
    for (size_t i = 0; i < previous->run_count && !found; i++)
        found = find_in_run(previous->runs[i], number);
    for (size_t i = 0; i < previous->pending_count && !found; i++)
        found = find_in_run(previous->pending[i].run, number);
    return found;
}

static enum kv_status open_run(const struct kv_place *place, const struct kv_run *run,
                               const struct kv_version *previous, struct kv_run_reader **out)
{
    struct kv_segment **segments = calloc(run->segment_count, sizeof(struct kv_segment *));
    struct kv_slice low = kv_buffer_slice(&run->low);
    enum kv_status st = segments ? KV_OK : kv_fail_nomem();

    for (size_t i = 0; i < run->segment_count && st == KV_OK; i++) {
        struct kv_segment *open = find_open(previous, run->segments[i].number);

        if (open)
            segments[i] = kv_segment_ref(open);
        else
            st = kv_segment_open(place, &run->segments[i], &segments[i]);
    }
    if (st == KV_OK)
        st = kv_run_open(segments, run->segment_count, run->has_low ? &low : NULL, out);
    for (size_t i = 0; segments && i < run->segment_count; i++)
        kv_segment_unref(segments[i]);
    free(segments);
    return st;
}

/* Each segment of a pending group is a source of its own, the last one the newest. */
static enum kv_status open_group(const struct kv_place *place, struct kv_pending_group *group,
                                 const struct kv_version *previous, struct kv_version *version)
{
    enum kv_status st = KV_OK;

    for (size_t i = group->segment_count; i-- > 0 && st == KV_OK;) {
        struct kv_run run = {.segments = &group->segments[i], .segment_count = 1};
        struct kv_pending_run *pending = &version->pending[version->pending_count];

        pending->commit_lsn = group->commit_lsn;
        st = open_run(place, &run, previous, &pending->run);
        version->pending_count += st == KV_OK;
    }
    return st;
}

static enum kv_status open_groups(const struct kv_place *place, const struct kv_manifest *manifest,
                                  const struct kv_version *previous, struct kv_version *version)
{
    size_t count = 0;
    enum kv_status st = KV_OK;

    for (size_t i = 0; i < manifest->group_count; i++)
        count += manifest->groups[i].segment_count;
    if (count == 0)
        return KV_OK;
    version->pending = calloc(count, sizeof(*version->pending));
    if (!version->pending)
        return kv_fail_nomem();
    for (size_t i = manifest->group_count; i-- > 0 && st == KV_OK;)
        st = open_group(place, &manifest->groups[i], previous, version);
    return st;
}

/* ---- The log without index */

static bool is_log(const struct kv_log *log, const struct kv_segment_info *info)
{
    return log && log->header.number == info->number && log->header.salt == info->salt;
}

static enum kv_status contradiction(const struct kv_place *place,
                                    const struct kv_segment_info *info)
{
    char name[KV_NAME_BYTES];

    kv_name_segment(name, info->number);
    return kv_fail(KV_CORRUPT, "%s/%s: MANIFEST says something else of this log", place->path,
                   name);
}

/* Does the manifest say of the log what has been found in it? What lies behind its end matters no more. */
static bool agrees(struct kv_log *log, const struct kv_segment_info *info)
{
    bool ok;

    pthread_mutex_lock(&log->index_mutex);
    ok = log->tail.end_bytes > info->end_bytes || log->tail.digest == info->digest;
    pthread_mutex_unlock(&log->index_mutex);
    return ok && kv_log_count_before(log, (uint32_t)info->end_bytes) == info->record_count;
}

/* Index in memory all of the log that was sealed. */
static enum kv_status complete(const struct kv_place *place, struct kv_log *log,
                               const struct kv_segment_info *info)
{
    enum kv_status st;

    if (log->header.log.base_lsn != info->first_lsn)
        return contradiction(place, info);
    st = kv_log_catch_up(log, info->last_lsn);
    if (st == KV_OK && !agrees(log, info))
        st = contradiction(place, info);
    return st;
}

/* Open it as a log, or share the object that `previous` has, in which it may still be the active one. */
static enum kv_status open_unindexed(const struct kv_place *place,
                                     const struct kv_segment_info *info,
                                     const struct kv_version *previous, struct kv_log **out)
{
    enum kv_status st = KV_OK;

    if (previous && is_log(previous->log, info))
        *out = kv_log_ref(previous->log);
    else if (previous && is_log(previous->unindexed, info))
        *out = kv_log_ref(previous->unindexed);
    else
        st = kv_log_open(place, info->number, info->salt, out);
    if (st != KV_OK)
        return st;
    st = complete(place, *out, info);
    if (st != KV_OK) {
        kv_log_unref(*out);
        *out = NULL;
    }
    return st;
}

/* ---- All of it */

enum kv_status kv_version_open(const struct kv_place *place, const struct kv_manifest *manifest,
                               struct kv_log *log, struct kv_version *previous,
                               struct kv_version **out)
{
    struct kv_version *version =
        calloc(1, sizeof(*version) + manifest->run_count * sizeof(version->runs[0]));
    enum kv_status st = KV_OK;

    *out = NULL;
    if (!version)
        return kv_fail_nomem();
    atomic_init(&version->references, 1);
    version->generation = manifest->generation;
    version->start_lsn = manifest->active.start_lsn;
    version->is_backup = manifest->is_backup;
    version->log = kv_log_ref(log);
    version->unindexed_end_bytes = (uint32_t)manifest->unindexed.end_bytes;
    if (kv_manifest_has_unindexed(manifest))
        st = open_unindexed(place, &manifest->unindexed, previous, &version->unindexed);
    for (size_t i = 0; i < manifest->run_count && st == KV_OK; i++) {
        st = open_run(place, &manifest->runs[i], previous, &version->runs[i]);
        version->run_count += st == KV_OK;
    }
    if (st == KV_OK)
        st = open_groups(place, manifest, previous, version);
    if (st != KV_OK) {
        kv_version_unref(version);
        return st;
    }
    *out = version;
    return KV_OK;
}

/* ---- Reading */

static enum kv_status get_pending(struct kv_version *version, uint64_t lsn, uint64_t hash,
                                  struct kv_slice key, struct kv_entry *out)
{
    enum kv_status st = KV_DONE;

    for (size_t i = 0; i < version->pending_count && st == KV_DONE; i++) {
        if (version->pending[i].commit_lsn <= lsn)
            st = kv_run_get(version->pending[i].run, hash, key, out);
    }
    return st;
}

/*
 * In runs from `first` on and before `end`, find the segments that may show `key`, NULL where there is
 * none, and start fetching what they will be asked. Returns how many.
 */
static size_t prefetch_runs(const struct kv_version *version, size_t first, size_t end,
                            uint64_t hash, struct kv_slice key,
                            struct kv_segment *candidates[RUNS_AT_ONCE])
{
    size_t count = end - first;

    if (count > RUNS_AT_ONCE)
        count = RUNS_AT_ONCE;
    for (size_t i = 0; i < count; i++) {
        candidates[i] = kv_run_segment_of(version->runs[first + i], key);
        if (candidates[i])
            kv_segment_prefetch(candidates[i], hash, first + i + LIKELY_RUNS >= version->run_count);
    }
    return count;
}

static enum kv_status get_in_segments(struct kv_segment *const *segments, size_t count,
                                      uint64_t hash, struct kv_slice key, struct kv_entry *out)
{
    enum kv_status st = KV_DONE;

    for (size_t i = 0; i < count && st == KV_DONE; i++) {
        if (segments[i])
            st = kv_segment_get(segments[i], hash, key, out);
    }
    return st;
}

enum kv_status kv_version_get_in_runs(struct kv_version *version, size_t first, size_t count,
                                      uint64_t hash, struct kv_slice key, struct kv_entry *out,
                                      size_t *run)
{
    struct kv_segment *candidates[RUNS_AT_ONCE];
    size_t end = first + count;

    for (; first < end; first += count) {
        count = prefetch_runs(version, first, end, hash, key, candidates);
        for (size_t i = 0; i < count; i++) {
            enum kv_status st =
                candidates[i] ? kv_segment_get(candidates[i], hash, key, out) : KV_DONE;

            if (st == KV_DONE)
                continue;
            if (run)
                *run = first + i;
            return st;
        }
    }
    return KV_DONE;
}

enum kv_status kv_version_get(struct kv_version *version, uint64_t lsn, uint64_t hash,
                              struct kv_slice key, struct kv_entry *out)
{
    struct kv_segment *candidates[RUNS_AT_ONCE];
    size_t behind = 0, count;
    enum kv_status st;

    /* All the cache misses of the first questions at once. */
    kv_memtable_prefetch(&version->log->memtable, hash);
    if (version->unindexed)
        kv_memtable_prefetch(&version->unindexed->memtable, hash);
    count = prefetch_runs(version, behind, version->run_count, hash, key, candidates);
    st = kv_log_get(version->log, hash, key, kv_version_log_bound(version, lsn), out);
    if (st == KV_DONE)
        st = get_pending(version, lsn, hash, key, out);
    if (st == KV_DONE && version->unindexed)
        st = kv_log_get(version->unindexed, hash, key, kv_version_unindexed_bound(version, lsn),
                        out);
    while (st == KV_DONE && count > 0) {
        st = get_in_segments(candidates, count, hash, key, out);
        behind += count;
        if (st == KV_DONE)
            count = prefetch_runs(version, behind, version->run_count, hash, key, candidates);
    }
    return st;
}

uint64_t kv_version_seq(const struct kv_version *version, uint64_t lsn)
{
    const struct kv_log *log = version->log;
    struct kv_commit commit;
    uint64_t end_bytes;

    /* The COMMIT of the transaction that ends there says it. */
    if (lsn < kv_log_lsn(log, KV_HEADER_BYTES + KV_COMMIT_BYTES))
        return log->header.base_seq;
    end_bytes = kv_log_offset(log, lsn) - KV_COMMIT_BYTES;
    if (kv_commit_decode(kv_slice_of(log->data + end_bytes, KV_COMMIT_BYTES), log->header.salt,
                         end_bytes, &commit) != KV_OK)
        return log->header.base_seq;
    return commit.seq;
}

bool kv_version_may_contain(struct kv_version *version, size_t first, size_t count, uint64_t hash,
                            struct kv_slice key)
{
    for (size_t i = first; i < first + count; i++) {
        if (kv_run_may_contain(version->runs[i], hash, key))
            return true;
    }
    return false;
}

size_t kv_version_iter_max(const struct kv_version *version)
{
    size_t log_count = version->unindexed ? 2 : 1;

    return log_count * KV_BATCH_COUNT_MAX + version->pending_count + version->run_count;
}

static enum kv_status add_iter(struct kv_run_reader *run, struct kv_iter **out, size_t *count)
{
    enum kv_status st = kv_run_iter(run, &out[*count]);

    *count += st == KV_OK;
    return st;
}

enum kv_status kv_version_iters(struct kv_version *version, uint64_t lsn, struct kv_iter **out,
                                size_t *count)
{
    size_t added = 0;
    enum kv_status st = kv_log_iters(version->log, kv_version_log_bound(version, lsn), out, count);

    if (st != KV_OK)
        return st;
    for (size_t i = 0; i < version->pending_count && st == KV_OK; i++) {
        if (version->pending[i].commit_lsn <= lsn)
            st = add_iter(version->pending[i].run, out, count);
    }
    if (st == KV_OK && version->unindexed)
        st = kv_log_iters(version->unindexed, kv_version_unindexed_bound(version, lsn),
                          out + *count, &added);
    *count += added;
    for (size_t i = 0; i < version->run_count && st == KV_OK; i++)
        st = add_iter(version->runs[i], out, count);
    if (st != KV_OK)
        kv_iters_free(out, count);
    return st;
}
