/*
 * Keys chosen against hash tables, beside random ones: what inserting and finding
 * them costs. By structure, by someone who does not know the store's seed; and, by
 * someone who made the store and does, keys of one and the same hash, or of few each. BENCH_ROWS
 * is how many (1,000,000).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "hash.h"
#include "store.h"

enum { KEY_BYTES = 32 };

struct family {
    const char *name;
    void (*key)(const struct kv_store *store, uint64_t i, uint8_t out[KEY_BYTES]);
};

static void must(enum kv_status st)
{
    if (st != KV_OK)
        bench_fail("%s: %s", kv_status_name(st), kv_message());
}

/* ---- Keys */

static void put_number(uint8_t out[KEY_BYTES], unsigned at, uint64_t number)
{
    memset(out, 0, KEY_BYTES);
    memcpy(out + at, &number, sizeof(number));
}

static void random_key(const struct kv_store *store, uint64_t i, uint8_t out[KEY_BYTES])
{
    (void)store;
    put_number(out, 0, bench_scatter(i));
    put_number(out, 8, bench_scatter(i));
}

static void counter_key(const struct kv_store *store, uint64_t i, uint8_t out[KEY_BYTES])
{
    (void)store;
    put_number(out, 24, i);
}

static void stride_key(const struct kv_store *store, uint64_t i, uint8_t out[KEY_BYTES])
{
    (void)store;
    put_number(out, 0, i << 40);
}

/* Four of 256 bits are set, or fewer. */
static void bits_key(const struct kv_store *store, uint64_t i, uint8_t out[KEY_BYTES])
{
    (void)store;
    memset(out, 0, KEY_BYTES);
    for (; i > 0; i >>= 7)
        out[i % 128 / 4] |= (uint8_t)(1 << 2 * (i % 4));
}

/* Keys whose hashes end alike, if the seed is 0. */
static void guessed_key(const struct kv_store *store, uint64_t i, uint8_t out[KEY_BYTES])
{
    static uint64_t tried;

    (void)store;
    if (i == 0)
        tried = 0;
    do
        put_number(out, 8, ++tried);
    while (kv_hash(kv_slice_of(out, KEY_BYTES), 0) % 64 != 0);
}

/* XXH3 multiplies two halves of 16 bytes, each changed by the seed: of these keys one factor is 0. */
static void hostile_key(const struct kv_store *store, uint64_t i, uint8_t out[KEY_BYTES])
{
    uint64_t zero = XXH_readLE64(XXH3_kSecret) + store->engine.place.hash_seed;

    put_number(out, 8, bench_scatter(i));
    memcpy(out, &zero, sizeof(zero));
}

/* The same, but with a second half of few kinds, and so a few keys of each hash, far from each other. */
static void grouped_key(const struct kv_store *store, uint64_t i, uint8_t out[KEY_BYTES])
{
    uint64_t group = bench_scatter(i % 65536);

    hostile_key(store, i, out);
    memcpy(out + 16, &group, sizeof(group));
}

/* ---- Measuring */

static struct kv_store *open_store(const char *directory)
{
    struct kv_open_options options = kv_open_options_default();
    struct kv_store *store;

    options.mode = KV_OPEN_OR_CREATE;
    options.settings.synchronous = KV_SYNC_OFF;
    options.settings.auto_compact = false;
    must(kv_store_open(directory, &options, &store));
    return store;
}

static double insert(struct kv_store *store, const struct family *family, uint64_t rows)
{
    double start = bench_seconds();
    struct kv_txn *txn;

    for (uint64_t i = 0; i < rows; i += BENCH_ROWS_PER_TRANSACTION) {
        must(kv_txn_begin(store, NULL, &txn));
        for (uint64_t n = i; n < i + BENCH_ROWS_PER_TRANSACTION && n < rows; n++) {
            uint8_t key[KEY_BYTES];

            family->key(store, n, key);
            must(kv_txn_put(txn, kv_slice_of(key, KEY_BYTES), kv_slice_of(&n, sizeof(n))));
        }
        must(kv_txn_commit(txn));
    }
    return bench_seconds() - start;
}

static double find(struct kv_store *store, const struct family *family, uint64_t rows)
{
    struct kv_snapshot *snapshot;
    double start = bench_seconds();

    must(kv_snapshot_new(store, &snapshot));
    must(kv_snapshot_acquire(snapshot));
    for (uint64_t n = 0; n < rows; n++) {
        struct kv_entry entry;
        uint8_t key[KEY_BYTES];

        family->key(store, n, key);
        must(kv_snapshot_get(snapshot, NULL, kv_slice_of(key, KEY_BYTES), &entry));
        bench_check(kv_slice_equal(entry.row, kv_slice_of(&n, sizeof(n))) ||
                    family->key == bits_key);
    }
    kv_snapshot_free(snapshot);
    return bench_seconds() - start;
}

/* What making the keys costs is not the store's. */
static double make_keys(struct kv_store *store, const struct family *family, uint64_t rows)
{
    double start = bench_seconds();
    uint8_t key[KEY_BYTES], sum = 0;

    for (uint64_t n = 0; n < rows; n++) {
        family->key(store, n, key);
        sum ^= key[n % KEY_BYTES];
    }
    return bench_seconds() - start + 1e-12 * sum;
}

enum { FIGURES = 4 };
static const char *const figures[FIGURES] = {"insert", "find", "compact", "find, compacted"};

static void measure(const struct bench_options *options, const struct family *family,
                    double seconds[FIGURES])
{
    char directory[4096];
    struct kv_store *store;
    double keys, start;

    bench_fresh_directory(options, "flooding", directory);
    store = open_store(directory);
    keys = make_keys(store, family, options->rows);
    seconds[0] = insert(store, family, options->rows) - keys;
    seconds[1] = find(store, family, options->rows) - keys;
    start = bench_seconds();
    must(kv_compact(store, NULL, NULL));
    seconds[2] = bench_seconds() - start;
    seconds[3] = find(store, family, options->rows) - keys;
    must(kv_store_close(store));
    bench_remove_directory(directory);
}

int main(void)
{
    static const struct family families[] = {
        {"random", random_key},
        {"counters", counter_key},
        {"strides", stride_key},
        {"few bits", bits_key},
        {"seed guessed", guessed_key},
        {"seed known, one hash", hostile_key},
        {"seed known, groups", grouped_key},
    };
    struct bench_options options = bench_options(1000000);
    struct bench_json *json = bench_json_open(&options, "bench_flooding");
    double random[FIGURES] = {0};

    printf("Keys chosen against hash tables\n");
    bench_print_machine(&options);
    printf("\n%-24s%12s%12s%12s%20s   [us a key; times random ones]\n", "", figures[0], figures[1],
           figures[2], figures[3]);
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        double seconds[FIGURES];

        measure(&options, &families[i], i == 0 ? random : seconds);
        if (i == 0)
            memcpy(seconds, random, sizeof(random));
        printf("%-24s", families[i].name);
        for (unsigned f = 0; f < FIGURES; f++) {
            char name[128];

            snprintf(name, sizeof(name), "%s: %s", families[i].name, figures[f]);
            bench_json_number(json, name, "us", seconds[f] * 1e6 / (double)options.rows);
            printf("%*.2f (%.1f)", f == 3 ? 14 : 6, seconds[f] * 1e6 / (double)options.rows,
                   seconds[f] / random[f]);
        }
        printf("\n");
    }
    bench_json_close(json);
    return 0;
}
