/* MANIFEST: any bytes are refused, or are a manifest that encodes to the same bytes. */
#include "fuzz.h"
#include "manifest.h"
#include "mend.h"

/* Numbers of segments that a manifest names can be looked up. */
static void look_up(const struct kv_manifest *manifest)
{
    size_t count = 0;

    for (size_t i = 0; i < manifest->run_count; i++) {
        const struct kv_run *run = &manifest->runs[i];

        for (size_t j = 0; j < run->segment_count; j++) {
            fuzz_check(kv_manifest_find_run(manifest, run->segments[j].number) == i,
                       "a segment is in another run");
            fuzz_check(kv_manifest_has_sealed(manifest, run->segments[j].number),
                       "a segment is not there");
        }
        count += run->segment_count;
    }
    fuzz_check(kv_manifest_segment_count(manifest) >= count, "segments are not counted");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_slice bytes = kv_slice_of(data, size);
    struct kv_manifest manifest;
    struct kv_buffer again = {0};

    if (kv_manifest_decode(bytes, &manifest) != KV_OK)
        return 0;
    fuzz_check(kv_manifest_check(&manifest) == KV_OK, "a manifest that is not valid was taken");
    fuzz_check(kv_manifest_encode(&manifest, &again) == KV_OK, "it cannot be written again");
    fuzz_check(kv_slice_equal(kv_buffer_slice(&again), bytes), "it has two encodings");
    look_up(&manifest);
    fuzz_check(kv_manifest_settle_groups(&manifest) == KV_OK, "its groups cannot become runs");
    kv_buffer_release(&again);
    kv_manifest_release(&manifest);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed & 1) {
        struct kv_buffer bytes = {.data = data, .size = size, .capacity = max_size};

        mend_manifest(&bytes);
    }
    return size;
}
