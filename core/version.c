/* Versions: opening what a manifest names, and reading across all of it. */
#include "version.h"

#include <stdlib.h>

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
    kv_log_unref(version->log);
    free(version);
}

/* The open segment with this number in `previous`, if it is there; borrowed. */
static struct kv_segment *find_open(const struct kv_version *previous, uint64_t number)
{
    for (size_t r = 0; previous && r < previous->run_count; r++) {
        for (size_t s = 0; s < kv_run_segment_count(previous->runs[r]); s++) {
            struct kv_segment *segment = kv_run_segment(previous->runs[r], s);

            if (kv_segment_info(segment)->number == number)
                return segment;
        }
    }
    return NULL;
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
    for (size_t i = 0; i < manifest->run_count && st == KV_OK; i++) {
        st = open_run(place, &manifest->runs[i], previous, &version->runs[i]);
        version->run_count += st == KV_OK;
    }
    if (st != KV_OK) {
        kv_version_unref(version);
        return st;
    }
    *out = version;
    return KV_OK;
}

/* ---- Reading */

enum kv_status kv_version_get_in_runs(struct kv_version *version, size_t first, size_t count,
                                      uint64_t hash, struct kv_slice key, struct kv_entry *out,
                                      size_t *run)
{
    for (size_t i = first; i < first + count; i++) {
        enum kv_status st = kv_run_get(version->runs[i], hash, key, out);

        if (st == KV_DONE)
            continue;
        if (run)
            *run = i;
        return st;
    }
    return KV_DONE;
}

/* The offset in the log below which `lsn` shows it. */
static uint32_t bound_bytes(const struct kv_version *version, uint64_t lsn)
{
    return (uint32_t)kv_log_offset(version->log, lsn);
}

enum kv_status kv_version_get(struct kv_version *version, uint64_t lsn, uint64_t hash,
                              struct kv_slice key, struct kv_entry *out)
{
    enum kv_status st;

    /* All the cache misses of the first questions at once. */
    kv_memtable_prefetch(&version->log->memtable, hash);
    for (size_t i = 0; i < version->run_count; i++)
        kv_run_prefetch(version->runs[i], hash, key);
    st = kv_log_get(version->log, hash, key, bound_bytes(version, lsn), out);
    if (st == KV_DONE)
        st = kv_version_get_in_runs(version, 0, version->run_count, hash, key, out, NULL);
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
    return KV_BATCH_COUNT_MAX + version->run_count;
}

enum kv_status kv_version_iters(struct kv_version *version, uint64_t lsn, struct kv_iter **out,
                                size_t *count)
{
    enum kv_status st = kv_log_iters(version->log, bound_bytes(version, lsn), out, count);

    if (st != KV_OK)
        return st;
    for (size_t i = 0; i < version->run_count; i++) {
        st = kv_run_iter(version->runs[i], &out[*count]);
        if (st != KV_OK) {
            while (*count > 0)
                kv_iter_free(out[--*count]);
            return st;
        }
        ++*count;
    }
    return KV_OK;
}
