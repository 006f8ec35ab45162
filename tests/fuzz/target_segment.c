/* Sealed segments and their indexes: what a check calls sound answers alike, whichever way it is asked. */
#include "agree.h"
#include "disk.h"
#include "fuzz.h"
#include "hash.h"
#include "segment.h"

struct subject {
    struct kv_segment *segment;
    uint64_t hash_seed;
};

static enum kv_status get(void *context, struct kv_slice key, struct kv_entry *out)
{
    const struct subject *subject = context;

    return kv_segment_get(subject->segment, kv_hash(key, subject->hash_seed), key, out);
}

static enum kv_status scan(void *context, bool descending,
                           void (*each)(void *collector, const struct kv_entry *entry),
                           void *collector)
{
    const struct subject *subject = context;
    struct kv_entry entry;
    struct kv_iter *it;
    enum kv_status st = kv_segment_iter(subject->segment, &it);

    if (st != KV_OK)
        return st;
    st = kv_iter_seek(it, NULL, descending ? KV_BACKWARD : KV_FORWARD);
    while (st == KV_OK && (st = kv_iter_next(it, &entry)) == KV_OK)
        each(collector, &entry);
    kv_iter_free(it);
    return st;
}

static void note_problem(void *context, uint64_t offset, const char *text)
{
    (void)offset;
    fuzz_check(text, "a problem without words");
    ++*(unsigned *)context;
}

/* Seek to keys there are and to others. */
static void seek(struct kv_segment *segment, const struct kv_segment_info *info)
{
    struct kv_slice bounds[] = {kv_buffer_slice(&info->min_key), kv_buffer_slice(&info->max_key),
                                kv_slice_text("k"), kv_slice_of(info->min_key.data, 1)};
    struct kv_iter *it;
    struct kv_entry entry;

    if (kv_segment_iter(segment, &it) != KV_OK)
        return;
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        enum kv_status st = kv_iter_seek(it, &bounds[i], i % 2 ? KV_BACKWARD : KV_FORWARD);

        if (st == KV_OK)
            st = kv_iter_next(it, &entry);
        kv_segment_bytes_past(segment, bounds[i]);
    }
    kv_iter_free(it);
}

static void try_segment(const struct kv_place *place, const struct kv_segment_info *info)
{
    struct subject subject = {.hash_seed = place->hash_seed};
    struct agree_source source = {.context = &subject, .get = get, .scan = scan};
    unsigned problems = 0;
    struct kv_segment_watcher watcher = {.problem = note_problem, .context = &problems};
    enum kv_status st = kv_segment_open(place, info, &subject.segment);

    if (st != KV_OK)
        return;
    st = kv_segment_check(subject.segment, &watcher);
    agree_source(&source, st == KV_OK && problems == 0);
    seek(subject.segment, info);
    kv_segment_unref(subject.segment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    disk_each_segment(data, size, try_segment);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return image_mutate(seed % 16 ? IMAGE_SEGMENT | IMAGE_INDEX : IMAGE_ALL, data, size, max_size,
                        seed);
}
