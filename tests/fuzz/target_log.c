/* Recovery of a log: what a scan says counts is found, both ways and key by key. */
#include "agree.h"
#include "disk.h"
#include "fuzz.h"
#include "hash.h"
#include "log_scan.h"
#include "merge.h"

struct subject {
    struct kv_log *log;
    uint64_t hash_seed;
};

static enum kv_status get(void *context, struct kv_slice key, struct kv_entry *out)
{
    const struct subject *subject = context;

    return kv_log_get(subject->log, kv_hash(key, subject->hash_seed), key,
                      subject->log->tail.end_bytes, out);
}

static enum kv_status scan(void *context, bool descending,
                           void (*each)(void *collector, const struct kv_entry *entry),
                           void *collector)
{
    const struct subject *subject = context;
    struct kv_iter *sources[KV_BATCH_COUNT_MAX], *it = NULL;
    struct kv_entry entry;
    size_t count;
    enum kv_status st = kv_log_iters(subject->log, subject->log->tail.end_bytes, sources, &count);

    if (st == KV_OK)
        st = kv_merge_open(sources, count, &it);
    if (st == KV_OK)
        st = kv_iter_seek(it, NULL, descending ? KV_BACKWARD : KV_FORWARD);
    while (st == KV_OK && (st = kv_iter_next(it, &entry)) == KV_OK)
        each(collector, &entry);
    kv_iter_free(it);
    return st;
}

/* As opening a store compares the two, before it scans. */
static bool belongs(const struct kv_log *log, const struct kv_manifest *manifest)
{
    return log->header.log.base_lsn == manifest->active.base_lsn &&
           log->header.log.previous_digest == manifest->active.previous_digest &&
           log->header.base_seq == manifest->last_seq;
}

/* A scan has verified what counts, so that it must be readable, and is the same once more. */
static void try_log(const struct kv_place *place, const struct kv_manifest *manifest)
{
    struct subject subject = {.hash_seed = place->hash_seed};
    struct agree_source source = {.context = &subject, .get = get, .scan = scan};
    struct kv_log_scan result;
    uint64_t lsn;
    enum kv_status st =
        kv_log_open(place, manifest->active.number, manifest->active.salt, &subject.log);

    if (st != KV_OK)
        return;
    st = KV_CORRUPT;
    if (belongs(subject.log, manifest))
        st = kv_log_scan(subject.log, manifest->active.start_lsn, 0, &result);
    if (st == KV_OK) {
        fuzz_check(result.durable.end_bytes <= subject.log->tail.end_bytes, "durable past the end");
        fuzz_check(subject.log->tail.end_bytes <= subject.log->allocated_bytes, "past the file");
        agree_source(&source, true);
        fuzz_check(kv_log_extend(subject.log, &lsn) == KV_OK, "%s", kv_message());
        fuzz_check(lsn == kv_log_lsn(subject.log, subject.log->tail.end_bytes), "a longer log");
    }
    kv_log_unref(subject.log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image image;
    struct kv_manifest manifest;
    struct kv_place place;

    image_unpack(kv_slice_of(data, size), &image);
    if (disk_place(&image, &manifest, &place)) {
        try_log(&place, &manifest);
        disk_place_release(&manifest, &place);
    }
    image_release(&image);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return image_mutate(seed % 16 ? IMAGE_SEGMENT : IMAGE_SEGMENT | IMAGE_MANIFEST, data, size,
                        max_size, seed);
}
