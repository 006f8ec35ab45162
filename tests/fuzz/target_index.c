/* An index file: whatever it says, asking it ends, and stays within its bounds. */
#include "disk.h"
#include "fuzz.h"
#include "hash.h"
#include "index.h"

enum { ENTRIES = 4096 };

static void narrow(struct kv_index *index, struct kv_slice key)
{
    uint64_t low, high;

    if (kv_index_narrow(index, key, &low, &high) == KV_OK)
        fuzz_check(low <= high && high <= kv_index_entry_count(index), "narrowed to %llu … %llu",
                   (unsigned long long)low, (unsigned long long)high);
}

/* No slot comes twice, so a walk has an end: at most a slot for every six bytes of the file. */
static void probe(struct kv_index *index, uint64_t hash)
{
    struct kv_index_probe walk = {0};
    uint64_t left = kv_index_size_bytes(index) / 6;
    uint32_t offset;
    bool may_contain;
    enum kv_status st = kv_index_may_contain(index, hash, &may_contain);

    while (st == KV_OK && (st = kv_index_probe(index, hash, &walk, &offset)) == KV_OK)
        fuzz_check(left-- > 0, "a walk without end");
}

static void try_index(const struct kv_place *place, const struct kv_segment_info *info)
{
    struct kv_index *index;
    enum kv_status st = kv_index_open(place, info, &index);
    uint8_t key[40];

    if (st != KV_OK)
        return;
    for (uint64_t i = 0; i < kv_index_entry_count(index) && i < ENTRIES; i++) {
        uint32_t offset;

        st = kv_index_at(index, i, &offset);
    }
    narrow(index, kv_buffer_slice(&info->min_key));
    narrow(index, kv_buffer_slice(&info->max_key));
    for (uint64_t i = 0; i < 64; i++) {
        uint64_t hash = kv_hash(kv_slice_of(&i, sizeof(i)), info->salt);

        memset(key, (int)(4 * i), sizeof(key));
        narrow(index, kv_slice_of(key, 1 + i % sizeof(key)));
        probe(index,
              i < 32 ? hash : kv_hash(kv_buffer_slice(&info->min_key), place->hash_seed) ^ i);
    }
    st = kv_index_check(index);
    kv_index_free(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    disk_each_segment(data, size, try_index);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return image_mutate(IMAGE_INDEX, data, size, max_size, seed);
}
