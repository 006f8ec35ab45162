/* Writes that can be told apart (numbered.h). */
#include "numbered.h"

#include "hash.h"
#include "runner.h"

static bool is_delete(uint64_t i)
{
    return i % 5 == 4;
}

struct kv_slice numbered_key(uint64_t i)
{
    static const char *const keys[NUMBERED_KEYS] = {
        "a", "aa", "b", "c", "cc", "ccc", "a long key, this one"};

    return kv_slice_text(keys[i % NUMBERED_KEYS]);
}

struct kv_slice numbered_row(uint64_t i, size_t row_size)
{
    static uint8_t row[1 << 16];

    memset(row, (int)i, sizeof(row));
    return is_delete(i) ? (struct kv_slice){0} : kv_slice_of(row, row_size + i % 10);
}

enum kv_status numbered_try(struct kv_write_set *set, uint64_t i, size_t row_size)
{
    struct kv_slice key = numbered_key(i);

    return kv_write_set_add(set, is_delete(i) ? KV_DELETE : KV_PUT,
                            kv_hash(key, set->log->place->hash_seed), key,
                            numbered_row(i, row_size));
}

void numbered_add(struct kv_write_set *set, uint64_t first, uint64_t end, size_t row_size)
{
    for (uint64_t i = first; i < end; i++)
        ck_kv_fast(numbered_try(set, i, row_size));
}

int64_t numbered_last(uint64_t k, uint64_t count)
{
    for (uint64_t i = count; i-- > 0;) {
        if (i % NUMBERED_KEYS == k)
            return (int64_t)i;
    }
    return -1;
}

void numbered_check(const struct kv_entry *entry, uint64_t i, size_t row_size)
{
    if (!kv_slice_equal(entry->key, numbered_key(i)) || entry->deleted != is_delete(i) ||
        !kv_slice_equal(entry->row, numbered_row(i, row_size)))
        ck_abort_msg("not what write %d left", (int)i);
}
