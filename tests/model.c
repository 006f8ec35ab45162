/* The simplest thing that behaves like a store (model.h). */
#include "model.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "runner.h"

void model_init(struct model *model)
{
    *model = (struct model){.capacity = 64};
    model->states = calloc(model->capacity, sizeof(*model->states));
    ck_assert_ptr_nonnull(model->states);
}

void model_release(struct model *model)
{
    free(model->states);
    *model = (struct model){0};
}

struct model_state *model_last(struct model *model)
{
    return &model->states[model->last_seq];
}

void model_commit(struct model *model, const struct model_state *state)
{
    struct model_state copy = *state; /* it may lie in the array that moves */

    if (model->last_seq + 1 == model->capacity) {
        model->capacity *= 2;
        model->states = realloc(model->states, model->capacity * sizeof(*model->states));
        ck_assert_ptr_nonnull(model->states);
    }
    model->states[++model->last_seq] = copy;
}

/* ---- Keys and rows */

static uint8_t key_bytes[MODEL_KEYS][MODEL_KEY_BYTES];
static size_t key_sizes[MODEL_KEYS];

/* Groups of four: a base, and what follows it most closely. Half of the bases share a long beginning. */
static void make_key(unsigned key)
{
    static const char shared[] = "shared/beginning/";
    uint8_t *at = key_bytes[key];
    unsigned group = key / 4;
    size_t size = 0;

    if (key >= MODEL_KEYS / 2) {
        memcpy(at, shared, sizeof(shared) - 1);
        size = sizeof(shared) - 1;
    }
    at[size++] = (uint8_t)(group + 1);
    switch (key % 4) {
    case 0: break;
    case 1: at[size++] = 0; break;
    case 2: size += group % 5 == 0 ? 600 : 2; break; /* zeros */
    default: at[size++] = 1;
    }
    key_sizes[key] = size;
}

struct kv_slice model_key(unsigned key)
{
    if (key_sizes[key] == 0)
        make_key(key);
    return kv_slice_of(key_bytes[key], key_sizes[key]);
}

static size_t row_size(uint64_t *random)
{
    unsigned kind = model_below(random, 200);

    if (kind < 20)
        return 0;
    if (kind < 130)
        return 1 + model_below(random, 120);
    if (kind < 194)
        return 200 + model_below(random, 1500);
    if (kind < 199)
        return 3000 + model_below(random, 8000);
    return MODEL_LARGE_BYTES + model_below(random, MODEL_ROW_BYTES - MODEL_LARGE_BYTES);
}

uint32_t model_large_row(uint64_t *random)
{
    for (;;) {
        uint32_t number = (uint32_t)model_random(random) | 1;
        uint64_t seed = number;

        if (row_size(&seed) >= MODEL_LARGE_BYTES)
            return number;
    }
}

struct kv_slice model_row(uint32_t number)
{
    static _Thread_local uint64_t words[MODEL_ROW_BYTES / 8 + 1];
    uint64_t random = number;
    size_t size = row_size(&random);

    for (size_t i = 0; i * 8 < size; i++)
        words[i] = random += 0x9e3779b97f4a7c15u;
    return kv_slice_of(words, size);
}

/* ---- Comparing */

void model_expect_entry(const struct model_state *state, unsigned key, const struct kv_entry *entry)
{
    ck_assert_msg(key < MODEL_KEYS && state->rows[key] != 0, "key %u is not to be there", key);
    ck_assert_msg(kv_slice_equal(entry->key, model_key(key)), "another key than %u", key);
    ck_assert_msg(kv_slice_equal(entry->row, model_row(state->rows[key])),
                  "key %u has another row than %u", key, state->rows[key]);
    ck_assert(!entry->deleted);
}

void model_expect_range(const struct model_state *state, struct kv_snapshot *snapshot,
                        struct kv_txn *txn, unsigned first, unsigned last, bool descending)
{
    struct kv_range range = {.has_lower = first > 0,
                             .has_upper = last < MODEL_KEYS,
                             .upper_open = true,
                             .descending = descending};
    struct kv_entry entry;
    struct kv_scan *scan;

    if (range.has_lower)
        range.lower = model_key(first);
    if (range.has_upper)
        range.upper = model_key(last);
    ck_kv(kv_scan_open(snapshot, txn, &range, &scan));
    for (unsigned i = first; i < last; i++) {
        unsigned key = descending ? first + last - 1 - i : i;

        if (state->rows[key] == 0)
            continue;
        ck_kv(kv_scan_next(scan, &entry));
        model_expect_entry(state, key, &entry);
    }
    ck_kv_is(kv_scan_next(scan, &entry), KV_DONE);
    kv_scan_close(scan);
}

void model_expect(const struct model_state *state, struct kv_snapshot *snapshot, struct kv_txn *txn)
{
    model_expect_range(state, snapshot, txn, 0, MODEL_KEYS, false);
    model_expect_range(state, snapshot, txn, 0, MODEL_KEYS, true);
}

void model_expect_key(const struct model_state *state, struct kv_snapshot *snapshot,
                      struct kv_txn *txn, unsigned key)
{
    struct kv_entry entry;
    enum kv_status st = kv_snapshot_get(snapshot, txn, model_key(key), &entry);

    ck_assert_msg(st == KV_OK || st == KV_DONE, "%s", kv_message());
    ck_assert_msg((st == KV_OK) == (state->rows[key] != 0), "key %u: %s", key, kv_status_name(st));
    if (st == KV_OK)
        model_expect_entry(state, key, &entry);
}

unsigned model_count(const struct model_state *state)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MODEL_KEYS; i++)
        count += state->rows[i] != 0;
    return count;
}

/* ---- Chance and figures */

uint64_t model_random(uint64_t *random)
{
    uint64_t word = *random += 0x9e3779b97f4a7c15u;

    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
}

struct model_figures *model_figures_new(void)
{
    void *at = mmap(NULL, sizeof(struct model_figures), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        abort();
    /* Else memory for an empty memtable, once freed, would be cleared instead of mapped anew. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    return at;
}

unsigned model_scaled(unsigned count)
{
    const char *scale = getenv("KV_TEST_SCALE");
    double scaled = count * (scale ? atof(scale) : 1);

    return scaled < 1 ? 1 : (unsigned)scaled;
}

uint64_t model_only_seed(void)
{
    const char *seed = getenv("KV_TEST_SEED");

    return seed ? strtoull(seed, NULL, 0) : 0;
}

uint64_t model_first_run(void)
{
    const char *first = getenv("KV_TEST_FIRST_RUN");

    return first ? strtoull(first, NULL, 0) : 1;
}
