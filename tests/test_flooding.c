/*
 * Hash flooding: keys chosen so that a hash table becomes a list. Time is never judged here
 * (bench_flooding measures it): what is counted is how far lookups go.
 *
 * Two adversaries. One knows the code, but not the store's seed: he chooses keys by their structure, or
 * such as collide under a seed that he guesses. The other has made the store, and knows its seed: he
 * can have any hashes he likes, for whole tables of keys. Against him, slots in memory depend on a
 * secret of the process, a log gets a second table by another hash (test_flood.c), indexes are built by walks
 * that are short on average, and a lookup in one that goes on for too long goes by key order instead.
 */
#include <stdio.h>

#include "engine_world.h"
#include "hash.h"
#include "index_layout.h"
#include "memtable.h"
#include "names.h"
#include "runner.h"
#include "segment_fixture.h"

enum { KEYS = 1 << 14 };

static const uint64_t TABLE_SECRET = UINT64_C(0x6d0f27bd9e3a51c8); /* any will do */

/* ---- Keys by structure */

enum family {
    RANDOM,
    COUNTER,      /* differ in the last bits */
    HIGH_COUNTER, /* in the first ones */
    STRIDE,       /* multiples of a power of two */
    FEW_BITS,     /* two bits of 32 bytes are set */
    LENGTHS,      /* the same byte, at most so many times */
    GUESSED_LOW,  /* the low bits of their hashes are equal under seed 0 … */
    GUESSED_HIGH, /* … or the high ones */
    FAMILIES
};

static bool is_guessed(enum family family, uint64_t number)
{
    uint64_t hash = kv_hash(kv_slice_of(&number, sizeof(number)), 0);

    return family == GUESSED_LOW ? hash % 256 == 7 : hash >> 56 == 7;
}

/* The next key of a family into `key`, which has room for KEYS bytes; `*state` begins with 0. */
static struct kv_slice next_key(enum family family, uint64_t i, uint64_t *state, uint8_t *key)
{
    uint64_t number = i;

    switch (family) {
    case RANDOM: number = fixture_random(state); break;
    case HIGH_COUNTER: number = i << 48; break;
    case STRIDE: number = i << 20; break;
    case FEW_BITS:
        memset(key, 0, 32);
        key[i % 256 / 8] ^= (uint8_t)(1 << i % 8);
        key[i / 256 % 256 / 8] ^= (uint8_t)(1 << i / 256 % 8);
        key[31] ^= (uint8_t)(i / 65536);
        return kv_slice_of(key, 32 + (i / 256 < i % 256)); /* the two in either order are one */
    case LENGTHS: memset(key, 'a', i + 1); return kv_slice_of(key, i + 1);
    case GUESSED_LOW:
    case GUESSED_HIGH:
        while (!is_guessed(family, ++*state))
            continue;
        number = *state;
        break;
    default: break;
    }
    memcpy(key, &number, sizeof(number));
    return kv_slice_of(key, sizeof(number));
}

/* ---- The table in memory */

/* How far a lookup may have to go: the longest row of slots that are in use. */
static unsigned longest_run(const struct kv_memtable *memtable)
{
    unsigned run = 0, longest = 0;

    for (uint64_t i = 0; i < 4 * (uint64_t)memtable->capacity; i++) {
        run = memtable->slots[i % (2 * memtable->capacity)] ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* Fill a table with the hashes that `hash` gives, and see how far lookups go. */
static unsigned run_of_hashes(uint64_t (*hash)(void *context, uint64_t i), void *context)
{
    struct kv_memtable memtable;
    unsigned longest;

    ck_kv_fast(kv_memtable_init(&memtable, KEYS, TABLE_SECRET));
    ck_kv_fast(kv_memtable_reserve(&memtable));
    for (uint64_t i = 0; i < KEYS; i++)
        kv_memtable_append(&memtable, (struct kv_item){.hash = hash(context, i)});
    kv_memtable_link(&memtable);
    longest = longest_run(&memtable);
    kv_memtable_release(&memtable);
    return longest;
}

struct keys {
    enum family family;
    uint64_t state;
    uint8_t *key;
};

static uint64_t hash_of_key(void *context, uint64_t i)
{
    struct keys *keys = context;

    return kv_hash(next_key(keys->family, i, &keys->state, keys->key), TABLE_SECRET ^ 1);
}

static unsigned run_of_family(enum family family)
{
    struct keys keys = {.family = family, .key = malloc(KEYS + 1)};
    unsigned run = run_of_hashes(hash_of_key, &keys);

    free(keys.key);
    return run;
}

/* Goal: no family of keys is harder on the table than random ones are. */
START_TEST(test_flooding_table_by_structure)
{
    ck_assert_uint_le(run_of_family((enum family)_i), 3 * run_of_family(RANDOM));
}
END_TEST

/* Hashes that would share slots, tags or both, if those were bits of them. */
static uint64_t hostile_hash(void *context, uint64_t i)
{
    switch (*(int *)context) {
    case 0: return i << 32;
    case 1: return i << 50;
    case 2: return i;
    case 3: return i << 20 | i >> 12 << 52;
    case 4: return kv_digest_add(1, i) >> 32 << 32;
    default: return (i & 127) << 57 | kv_digest_add(2, i >> 7) >> 7;
    }
}

/* Goal: whoever chooses hashes does not choose slots. */
START_TEST(test_flooding_table_by_hashes)
{
    ck_assert_uint_le(run_of_hashes(hostile_hash, &_i), 3 * run_of_family(RANDOM));
}
END_TEST

/* ---- The index */

/* How many buckets looking up each of the keys goes through, at most and in all. */
static unsigned walk_of_family(enum family family, uint64_t *sum)
{
    struct segment_world it = {0};
    struct keys keys = {.family = family, .key = malloc(KEYS + 1)};
    unsigned longest = 0;

    fixture_init(&it.fixture);
    sealed_log_begin(&it.log, &it.fixture, SEGMENT_WORLD_NUMBER);
    for (uint64_t i = 0; i < KEYS / 8; i++)
        sealed_log_put(&it.log, next_key(family, i, &keys.state, keys.key), kv_slice_text("row"));
    sealed_log_finish(&it.log, &it.fixture);
    segment_world_index(&it);
    struct kv_index *index;
    ck_kv(kv_index_open(&it.fixture.place, &it.log.info, &index));
    *sum = 0;
    for (size_t i = 0; i < it.log.newest_count; i++) {
        struct kv_slice key = it.log.newest[i]->key;
        struct kv_index_probe probe = {0};
        uint32_t offset = 0;

        while (offset != it.log.newest[i]->offset_bytes)
            ck_kv_fast(
                kv_index_probe(index, kv_hash(key, it.fixture.place.hash_seed), &probe, &offset));
        *sum += probe.step / KV_INDEX_BUCKET_SLOTS + 1;
        if (probe.step / KV_INDEX_BUCKET_SLOTS + 1 > longest)
            longest = (unsigned)(probe.step / KV_INDEX_BUCKET_SLOTS + 1);
    }
    kv_index_free(index);
    segment_world_release(&it);
    free(keys.key);
    return longest;
}

START_TEST(test_flooding_index_by_structure)
{
    uint64_t sum, random_sum;
    unsigned longest = walk_of_family((enum family)_i, &sum);

    ck_assert_uint_le(longest, 3 * walk_of_family(RANDOM, &random_sum));
    ck_assert_uint_le(sum, 2 * random_sum);
}
END_TEST

/* ---- A store whose maker knows its seed */

enum { HOSTILE_KEYS = 4000, HOSTILE_KEY_BYTES = 32 };

static struct world world;

/*
 * Keys of one and the same 64-bit hash: XXH3 multiplies the halves of 16 bytes, each changed by the
 * seed, and the first eight are chosen so that one factor is 0.
 */
static struct kv_slice hostile_key(uint64_t i)
{
    static uint8_t key[HOSTILE_KEY_BYTES];
    uint64_t zero = XXH_readLE64(XXH3_kSecret) + engine_of(&world)->place.hash_seed;

    memset(key, 'k', sizeof(key));
    memcpy(key, &zero, sizeof(zero));
    memcpy(key + 8, &i, sizeof(i));
    return kv_slice_of(key, sizeof(key));
}

/* What a key's row is in the end: those of 10, 20, … are deleted, those of 7, 14, … overwritten. */
static const char *row_of(uint64_t i)
{
    return i % 10 == 0 ? NULL : i % 7 == 0 ? "again" : "first";
}

static void fill_hostile(uint64_t from, uint64_t to)
{
    struct kv_txn *txn = world_begin(&world);

    for (uint64_t i = from; i < to; i++)
        ck_kv_fast(kv_txn_put(txn, hostile_key(i), kv_slice_text("first")));
    for (uint64_t i = from; i < to; i++) {
        if (i % 10 == 0)
            ck_kv_fast(kv_txn_delete(txn, hostile_key(i)));
        else if (i % 7 == 0)
            ck_kv_fast(kv_txn_put(txn, hostile_key(i), kv_slice_text("again")));
    }
    ck_kv(kv_txn_commit(txn));
}

/* Keys below `count` are as they should be, and those behind are absent. */
static void expect_hostile(struct kv_snapshot *snapshot, uint64_t count)
{
    for (uint64_t i = 0; i < count + 50; i++) {
        struct kv_entry entry;
        enum kv_status st = kv_snapshot_get(snapshot, NULL, hostile_key(i), &entry);
        const char *row = i < count ? row_of(i) : NULL;

        if (st != (row ? KV_OK : KV_DONE) ||
            (row && !kv_slice_equal(entry.row, kv_slice_text(row))))
            ck_abort_msg("key %llu of %llu: %s: %s", (unsigned long long)i,
                         (unsigned long long)count, kv_status_name(st), kv_message());
    }
}

static void expect_newest(uint64_t count)
{
    struct kv_snapshot *snapshot = world_snapshot(&world);

    expect_hostile(snapshot, count);
    kv_snapshot_free(snapshot);
}

/* Overwrite a key whose older versions have been sorted already; it is as it was then. */
static void overwrite_one(void)
{
    static const char *const rows[] = {"newer", "first"};

    for (int i = 0; i < 2; i++) {
        struct kv_snapshot *snapshot;
        struct kv_entry entry;

        ck_kv(kv_put(world.store, hostile_key(1), kv_slice_text(rows[i])));
        snapshot = world_snapshot(&world);
        ck_kv(kv_snapshot_get(snapshot, NULL, hostile_key(1), &entry));
        ck_assert(kv_slice_equal(entry.row, kv_slice_text(rows[i])));
        kv_snapshot_free(snapshot);
    }
}

static void start_hostile(void)
{
    world_init(&world);
    world.options.settings.segment_bytes = 16 << 20;
    world.options.settings.max_segment_bytes = 16 << 20;
    world_open(&world);
    ck_assert(kv_hash(hostile_key(1), engine_of(&world)->place.hash_seed) ==
              kv_hash(hostile_key(77), engine_of(&world)->place.hash_seed));
}

/*
 * Goal: keys of one hash are found, or not, as others are, in a log and in an index; old snapshots
 * see what they saw.
 */
START_TEST(test_flooding_one_hash)
{
    struct kv_snapshot *before;

    start_hostile();
    fill_hostile(0, HOSTILE_KEYS / 2);
    before = world_snapshot(&world);
    fill_hostile(HOSTILE_KEYS / 2, HOSTILE_KEYS);
    expect_hostile(before, HOSTILE_KEYS / 2);
    expect_newest(HOSTILE_KEYS);
    overwrite_one();
    fill_hostile(0, 20); /* in front of it in the chain */
    overwrite_one();
    expect_newest(HOSTILE_KEYS);
    kv_snapshot_free(before);
    world_reopen(&world);
    expect_newest(HOSTILE_KEYS);
    engine_seal(&world);
    expect_newest(HOSTILE_KEYS);
    world_check(&world);
    world_put(&world, "other", "row");
    ck_kv(kv_compact(world.store, NULL, NULL));
    expect_newest(HOSTILE_KEYS);
    world_check(&world);
    world_end(&world);
}
END_TEST

/* Goal: the same in a log that was sealed and has no index yet, beside the next one. */
START_TEST(test_flooding_unindexed_log)
{
    struct kv_snapshot *before;

    start_hostile();
    fill_hostile(0, HOSTILE_KEYS / 2);
    before = world_snapshot(&world);
    fill_hostile(HOSTILE_KEYS / 2, HOSTILE_KEYS);
    engine_only_seal(&world);
    expect_hostile(before, HOSTILE_KEYS / 2);
    expect_newest(HOSTILE_KEYS);
    fill_hostile(HOSTILE_KEYS, HOSTILE_KEYS + 500);
    fill_hostile(0, 20);
    expect_hostile(before, HOSTILE_KEYS / 2);
    expect_newest(HOSTILE_KEYS + 500);
    kv_snapshot_free(before);
    world_check(&world);
    world_end(&world);
}
END_TEST

/* Goal: a transaction finds its own rows of one hash, while it writes and takes back. */
START_TEST(test_flooding_own_rows_of_one_hash)
{
    struct kv_savepoint savepoint;
    struct kv_entry entry;
    struct kv_txn *txn;

    start_hostile();
    txn = world_begin(&world);
    for (uint64_t i = 0; i < HOSTILE_KEYS; i++) {
        ck_assert_int_eq(kv_txn_get(txn, hostile_key(i), &entry), KV_DONE);
        ck_kv_fast(kv_txn_put(txn, hostile_key(i), kv_slice_text("first")));
        ck_kv_fast(kv_txn_get(txn, hostile_key(i / 2), &entry));
        ck_assert(kv_slice_equal(entry.row, kv_slice_text("first")));
    }
    savepoint = kv_txn_savepoint(txn);
    for (uint64_t i = 0; i < 100; i++) {
        ck_kv_fast(kv_txn_put(txn, hostile_key(i), kv_slice_text("again")));
        ck_kv_fast(kv_txn_get(txn, hostile_key(i), &entry));
        ck_assert(kv_slice_equal(entry.row, kv_slice_text("again")));
    }
    kv_txn_rollback_to(txn, savepoint);
    for (uint64_t i = 0; i < 100; i++) {
        ck_kv_fast(kv_txn_get(txn, hostile_key(i), &entry));
        ck_assert(kv_slice_equal(entry.row, kv_slice_text("first")));
    }
    ck_kv(kv_txn_commit(txn));
    world_end(&world);
}
END_TEST

static struct kv_buffer index_of_first_run(char name[KV_NAME_BYTES])
{
    kv_name_index(name, run_of(&world, 0)->segments[0].number);
    return file_save(&world, name);
}

/*
 * Goal: an index of such keys has all of them in its table, one behind the other, as one that was built
 * by walking all the way each time would have.
 */
START_TEST(test_flooding_index_of_one_hash)
{
    char name[KV_NAME_BYTES];
    struct kv_buffer bytes;
    uint64_t entries = 0, full = 0, marked = 0;

    start_hostile();
    fill_hostile(0, HOSTILE_KEYS);
    engine_seal(&world);
    bytes = index_of_first_run(name);
    for (uint64_t i = 0; i < kv_load_u64(bytes.data + KV_INDEX_BUCKETS_AT); i++) {
        const uint8_t *bucket = bytes.data + (1 + i / KV_INDEX_PAGE_LINES) * KV_INDEX_PAGE_BYTES +
                                i % KV_INDEX_PAGE_LINES * KV_INDEX_LINE_BYTES;
        uint16_t used = kv_load_u16(bucket + KV_INDEX_BUCKET_USED_AT);

        entries += used;
        full += used == KV_INDEX_BUCKET_SLOTS;
        marked += kv_load_u16(bucket + KV_INDEX_BUCKET_OVERFLOW_AT);
    }
    ck_assert_uint_eq(entries, HOSTILE_KEYS);
    ck_assert_uint_eq(full, HOSTILE_KEYS / KV_INDEX_BUCKET_SLOTS);
    ck_assert_uint_eq(marked, full - 1);
    kv_buffer_release(&bytes);
    world_end(&world);
}
END_TEST

static Suite *flooding_suite(void)
{
    Suite *suite = suite_create("flooding");
    TCase *keys = tcase_create("keys"), *hostile = tcase_create("hostile stores");

    tcase_add_loop_test(keys, test_flooding_table_by_structure, COUNTER, FAMILIES);
    tcase_add_loop_test(keys, test_flooding_table_by_hashes, 0, 6);
    tcase_add_loop_test(keys, test_flooding_index_by_structure, COUNTER, FAMILIES);
    tcase_add_test(hostile, test_flooding_one_hash);
    tcase_add_test(hostile, test_flooding_unindexed_log);
    tcase_add_test(hostile, test_flooding_own_rows_of_one_hash);
    tcase_add_test(hostile, test_flooding_index_of_one_hash);
    suite_add_tcase(suite, keys);
    suite_add_tcase(suite, hostile);
    return suite;
}

int main(void)
{
    return kv_run_suite(flooding_suite());
}
