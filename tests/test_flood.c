/*
 * Keys of one hash in memory: a log and a write set give the same answers as ever, by a second
 * table that is made when the first lookup notices. Every key here is given the hash that the test
 * wants, where a hostile store would have made keys for it.
 */
#include <pthread.h>
#include <stdio.h>

#include "flood.h"
#include "log_builder.h"
#include "runner.h"
#include "scarcity.h"

enum { KEYS = 200, ABSENT = 20, KEY_BYTES = 32, ONE_HASH = 42 };

static struct fixture fixture;

static void setup(void)
{
    fixture_init(&fixture);
}

static void teardown(void)
{
    fixture_release(&fixture);
}

/* Key k, in `buffer`. Their first eight bytes are equal. */
static struct kv_slice key_in(char buffer[KEY_BYTES], uint64_t k)
{
    int size = snprintf(buffer, KEY_BYTES, "the key %llu", (unsigned long long)k);

    return kv_slice_of(buffer, (size_t)size);
}

/* A log whose tables are small enough for the heap. */
static struct kv_log *log_new(uint64_t number)
{
    struct kv_header header = {.number = number, .salt = number * 11};
    struct kv_log *log;

    memcpy(header.uuid, fixture.place.uuid, KV_UUID_BYTES);
    header.log.base_lsn = number << 20;
    header.log.record_limit = 4096;
    ck_kv_fast(kv_log_create(&fixture.place, &header, false, &log));
    return log;
}

/* ---- Writes, and what they leave */

/* Which hash a key has: all the same, or eight keys each. */
enum hashes { ONE, GROUPS, HASHES_COUNT };

static uint64_t hash_of(enum hashes hashes, uint64_t k)
{
    return hashes == ONE ? ONE_HASH : ONE_HASH + k / 8;
}

enum { WRITES_MAX = 4000 };

/* Write i put its own number under a key, or deleted that. */
static struct history {
    enum hashes hashes;
    struct {
        uint16_t key;
        bool deleted;
    } writes[WRITES_MAX];
    uint32_t count;
} history;

static void history_begin(enum hashes hashes)
{
    history.hashes = hashes;
    history.count = 0;
}

static enum kv_status try_write(struct kv_write_set *set, uint16_t k, bool deleted)
{
    char buffer[KEY_BYTES];
    struct kv_slice row = {0};
    enum kv_status st;

    if (!deleted)
        row = kv_slice_of(&history.count, sizeof(history.count));
    st = kv_write_set_add(set, deleted ? KV_DELETE : KV_PUT, hash_of(history.hashes, k),
                          key_in(buffer, k), row);
    if (st != KV_OK)
        return st;
    ck_assert_uint_lt(history.count, WRITES_MAX);
    history.writes[history.count].key = k;
    history.writes[history.count++].deleted = deleted;
    return KV_OK;
}

static void write_random(struct kv_write_set *set, uint64_t *random)
{
    uint16_t k = (uint16_t)(fixture_random(random) % KEYS);

    ck_kv_fast(try_write(set, k, fixture_random(random) % 5 == 0));
}

/* An answer about key k is what writes 0 … count-1 left. */
static void check_answer(enum kv_status st, const struct kv_entry *entry, uint64_t k,
                         uint32_t count)
{
    char buffer[KEY_BYTES];
    uint32_t i = count;

    while (i > 0 && history.writes[i - 1].key != k)
        i--;
    if (i == 0 && st == KV_DONE)
        return;
    ck_assert_msg(i > 0 && st == KV_OK, "key %u of %u writes: %s, %s", (unsigned)k, count,
                  kv_status_name(st), kv_message());
    i--;
    ck_assert(kv_slice_equal(entry->key, key_in(buffer, k)));
    ck_assert(entry->deleted == history.writes[i].deleted);
    if (!entry->deleted)
        ck_assert(kv_slice_equal(entry->row, kv_slice_of(&i, sizeof(i))));
}

static void check_in_log(struct kv_log *log, uint64_t k, uint32_t bound_bytes, uint32_t count)
{
    struct kv_entry entry;
    char buffer[KEY_BYTES];
    enum kv_status st =
        kv_log_get(log, hash_of(history.hashes, k), key_in(buffer, k), bound_bytes, &entry);

    check_answer(st, &entry, k, count);
}

static void check_in_set(struct kv_write_set *set, uint64_t k)
{
    struct kv_entry entry;
    char buffer[KEY_BYTES];
    enum kv_status st =
        kv_write_set_get(set, hash_of(history.hashes, k), key_in(buffer, k), &entry);

    check_answer(st, &entry, k, history.count);
}

/* ---- A log */

enum { TRANSACTIONS = 50 };

/*
 * Goal: in a log, each key is found as it was at each snapshot, or was not.
 * Method: after each transaction, look at random keys through random old bounds, so that the second table
 * is made early, and extended now and then; in the end, everything through all.
 */
START_TEST(test_flood_log_shows_every_version)
{
    struct kv_log *log = log_new(3);
    uint32_t bounds[TRANSACTIONS + 1] = {log->tail.end_bytes}, counts[TRANSACTIONS + 1] = {0};
    uint64_t random = (uint64_t)_i + 1;

    history_begin((enum hashes)_i);
    for (int t = 1; t <= TRANSACTIONS; t++) {
        struct kv_write_set *set = live_log_begin(log);

        for (uint64_t i = fixture_random(&random) % 60 + 1; i > 0; i--)
            write_random(set, &random);
        live_log_commit(set, (uint64_t)t);
        bounds[t] = log->tail.end_bytes;
        counts[t] = history.count;
        for (uint64_t i = fixture_random(&random) % 60; i > 0; i--) {
            uint64_t k = fixture_random(&random) % (KEYS + ABSENT);
            uint64_t at = fixture_random(&random) % (uint64_t)(t + 1);

            check_in_log(log, k, bounds[at], counts[at]);
        }
    }
    ck_assert(kv_memtable_is_flooded(&log->memtable));
    for (int t = 0; t <= TRANSACTIONS; t++)
        for (uint64_t k = 0; k < KEYS + ABSENT; k++)
            check_in_log(log, k, bounds[t], counts[t]);
    kv_log_unref(log);
}
END_TEST

/* Put keys first … end-1 in a transaction of their own. */
static void put_keys(struct kv_log *log, uint16_t first, uint16_t end)
{
    struct kv_write_set *set = live_log_begin(log);

    for (uint16_t k = first; k < end; k++)
        ck_kv_fast(try_write(set, k, false));
    live_log_commit(set, 1);
}

static enum kv_status no_key(const void *owner, uint32_t offset_bytes, uint32_t bound_bytes,
                             struct kv_slice *out)
{
    (void)owner, (void)offset_bytes, (void)bound_bytes, (void)out;
    return kv_fail(KV_CORRUPT, "nobody needs to be asked");
}

/* Goal: lookups do not walk. Method: in the second table each key has a chain almost for itself. */
START_TEST(test_flood_makes_chains_short)
{
    struct kv_log *log = log_new(3);
    struct kv_flood_keys keys = {no_key, NULL, UINT32_MAX};
    const struct kv_memtable *table;

    history_begin(ONE);
    put_keys(log, 0, 2000);
    check_in_log(log, 0, log->tail.end_bytes, history.count);
    ck_kv(kv_flood_table(&log->memtable, &keys, &table)); /* is up to date */
    ck_assert_uint_eq(kv_memtable_count(table), 2000);
    for (uint32_t i = 0; i < 2000; i++) {
        uint32_t at = kv_memtable_find(table, table->items[i].hash), steps = 0;

        for (; at != i + 1 && steps < 3; steps++) /* two may share a slot, by chance */
            at = table->items[at - 1].older;
        ck_assert_uint_eq(at, i + 1);
    }
    kv_log_unref(log);
}
END_TEST

/* Goal: who has no keys of one hash pays nothing, and who has two pays from the first lookup that meets both. */
START_TEST(test_flood_is_noticed_at_once)
{
    struct kv_log *log = log_new(3);
    uint64_t before;

    history_begin(GROUPS);
    for (uint16_t k = 0; k < KEYS; k += 8)
        put_keys(log, k, k + 1);
    for (uint16_t k = 0; k < KEYS; k += 8)
        put_keys(log, k, k + 1);
    for (uint64_t k = 0; k < KEYS; k += 8)
        check_in_log(log, k, log->tail.end_bytes, history.count);
    ck_assert(!kv_memtable_is_flooded(&log->memtable));
    before = kv_memtable_memory_bytes(&log->memtable);

    put_keys(log, 1, 2);
    check_in_log(log, 1, log->tail.end_bytes, history.count);
    ck_assert(!kv_memtable_is_flooded(&log->memtable)); /* nobody has met both */
    check_in_log(log, 0, log->tail.end_bytes, history.count);
    ck_assert(kv_memtable_is_flooded(&log->memtable));
    ck_assert_uint_ge(kv_memtable_memory_bytes(&log->memtable), 2 * before);
    kv_log_unref(log);
}
END_TEST

/*
 * Goal: an old snapshot whose lookups would go through all that came later notices, too; newer
 * versions of the key itself are no flood.
 */
START_TEST(test_flood_is_noticed_behind_the_bound)
{
    struct kv_log *log = log_new(3);
    uint32_t bound;

    history_begin(ONE);
    put_keys(log, 0, 1);
    bound = log->tail.end_bytes;
    for (int i = 0; i < 200; i++)
        put_keys(log, 0, 1);
    check_in_log(log, 0, bound, 1);
    ck_assert(!kv_memtable_is_flooded(&log->memtable));
    put_keys(log, 1, KEYS);
    check_in_log(log, KEYS, KV_HEADER_BYTES, 0);
    ck_assert(kv_memtable_is_flooded(&log->memtable));
    check_in_log(log, 0, bound, 1);
    check_in_log(log, 1, bound, 1);
    check_in_log(log, 1, log->tail.end_bytes, history.count);
    kv_log_unref(log);
}
END_TEST

/* Goal: damage behind the back of a log hides no key, and is told from its absence. */
START_TEST(test_flood_finds_damage)
{
    struct kv_log *log = log_new(3);
    struct kv_entry entry;
    char buffer[KEY_BYTES];
    uint32_t damaged;

    history_begin(ONE);
    put_keys(log, 0, 10);
    check_in_log(log, 0, log->tail.end_bytes, history.count);
    put_keys(log, 10, 20);
    damaged = log->memtable.items[15].offset_bytes;
    for (uint64_t bit = 0; bit < 8 * 20; bit++) {
        kv_memfs_flip_bit(fixture.fs, fixture_data_path(3), damaged + bit / 8, bit % 8);
        for (uint64_t k = 13; k < 18; k++)
            ck_kv_is(kv_log_get(log, ONE_HASH, key_in(buffer, k), log->tail.end_bytes, &entry),
                     KV_CORRUPT);
        ck_assert_ptr_nonnull(strstr(kv_message(), fixture_data_path(3)));
        check_in_log(log, 5, log->memtable.items[12].offset_bytes, history.count);
        kv_memfs_flip_bit(fixture.fs, fixture_data_path(3), damaged + bit / 8, bit % 8);
    }
    for (uint64_t k = 0; k < 25; k++)
        check_in_log(log, k, log->tail.end_bytes, history.count);
    kv_log_unref(log);
}
END_TEST

/* ---- A write set */

static void check_all_in_set(struct kv_write_set *set)
{
    for (uint64_t k = 0; k < KEYS + ABSENT; k++)
        check_in_set(set, k);
}

/* Move to a log of its own; the one before is left. */
static void move(struct kv_write_set *set, uint64_t number)
{
    struct kv_log *log = live_log_new(&fixture, number, set->seq - 1);

    ck_kv_fast(kv_write_set_move(set, log));
    kv_log_unref(log);
}

/*
 * Goal: a transaction finds its own writes, while it grows, is taken back to any point, and
 * moves to other logs; and so does the log in the end.
 */
START_TEST(test_flood_write_set_random_operations)
{
    struct kv_log *log = log_new(3);
    struct kv_write_set *set = live_log_begin(log);
    uint64_t random = (uint64_t)_i + 7, number = 4;
    uint32_t largest = 0;

    kv_log_unref(log);
    history_begin((enum hashes)(_i % HASHES_COUNT));
    for (int turn = 0; turn < 30000; turn++) {
        uint64_t draw = fixture_random(&random) % 1000;

        if (draw < 500 && history.count < WRITES_MAX) {
            write_random(set, &random);
        } else if (draw < 520) {
            uint32_t back = (uint32_t)(fixture_random(&random) % (draw < 501 ? 3000 : 30));

            history.count = back < history.count ? history.count - back : 0;
            kv_write_set_truncate(set, history.count);
        } else if (draw < 521) {
            move(set, number++);
        } else {
            check_in_set(set, fixture_random(&random) % (KEYS + ABSENT));
        }
        largest = history.count > largest ? history.count : largest;
    }
    ck_assert_uint_gt(largest, 200); /* it has grown */
    ck_assert(kv_memtable_is_flooded(&set->memtable));
    check_all_in_set(set);
    log = kv_log_ref(set->log);
    live_log_commit(set, 1);
    for (uint64_t k = 0; k < KEYS + ABSENT; k++)
        check_in_log(log, k, log->tail.end_bytes, history.count);
    kv_log_unref(log);
}
END_TEST

/* ---- Memory that runs out */

static struct kv_log *scarce_log;
static struct kv_write_set *scarce_set;

/* What a lookup of each key said, copied: Check's assertions want memory, too. */
enum { LOOKED_UP = 40 };
static struct {
    enum kv_status st;
    struct kv_entry entry;
    uint32_t row;
} answers[LOOKED_UP];

static void get_each(bool of_log)
{
    for (uint64_t k = 0; k < LOOKED_UP; k++) {
        struct kv_entry *entry = &answers[k].entry;
        char buffer[KEY_BYTES];
        struct kv_slice key = key_in(buffer, k);

        answers[k].st =
            of_log ? kv_log_get(scarce_log, ONE_HASH, key, scarce_log->tail.end_bytes, entry)
                   : kv_write_set_get(scarce_set, ONE_HASH, key, entry);
        if (answers[k].st != KV_OK)
            continue;
        memcpy(&answers[k].row, entry->row.data, sizeof(answers[k].row));
        entry->row.data = (const uint8_t *)&answers[k].row;
    }
}

static void check_answers(bool may_fail)
{
    for (uint64_t k = 0; k < LOOKED_UP; k++) {
        if (!may_fail || answers[k].st != KV_NOMEM)
            check_answer(answers[k].st, &answers[k].entry, k, history.count);
    }
}

/* Look up while `call` fails, and again; false: there were not so many. */
static bool fail_at(uint64_t call, bool lasts, bool of_log)
{
    bool has_failed;

    scarcity_begin(call, lasts, true);
    get_each(of_log);
    has_failed = scarcity_end();
    check_answers(has_failed && lasts);
    get_each(of_log);
    check_answers(false);
    ck_assert(kv_memtable_is_flooded(of_log ? &scarce_log->memtable : &scarce_set->memtable));
    return has_failed;
}

/*
 * Goal: without memory for the second table, lookups give the right answers more slowly, or KV_NOMEM
 * if there is none for that either; when there is memory again, all is well.
 */
START_TEST(test_flood_without_memory)
{
    bool of_log = _i & 1, lasts = _i & 2;
    bool failed = true;

    for (uint64_t call = 1; failed; call++) {
        ck_assert_uint_lt(call, 50);
        scarce_log = log_new(2 + call);
        scarce_set = live_log_begin(scarce_log);
        history_begin(ONE);
        for (uint16_t k = 0; k < 30; k++)
            ck_kv_fast(try_write(scarce_set, k, false));
        if (of_log) {
            live_log_commit(scarce_set, 1);
            scarce_set = NULL;
        } else {
            check_in_set(scarce_set, 3);
            for (uint16_t k = 0; k < 100; k++) /* the next lookup grows the second table */
                ck_kv_fast(try_write(scarce_set, k % 35, false));
        }
        failed = fail_at(call, lasts, of_log);
        ck_assert(failed || call > 1);
        kv_write_set_unref(scarce_set);
        kv_log_unref(scarce_log);
    }
}
END_TEST

/* ---- Readers beside a writer */

enum { SHARED_TRANSACTIONS = 5000, NEW_KEYS = 4, HOT_KEYS = 5, HOT_KEY = 1000000, READERS = 2 };

static struct kv_log *shared;
static uint32_t shared_bounds[SHARED_TRANSACTIONS + 1];
static _Atomic uint64_t shared_count; /* transactions published */
static atomic_bool is_over;

/* The number that key k had after `count` transactions; -1: none. */
static int64_t shared_row(uint64_t k, uint64_t count)
{
    if (k < HOT_KEY)
        return k / NEW_KEYS < count ? (int64_t)k : -1;
    for (uint64_t t = count; t-- > 0;) {
        if (t % HOT_KEYS == k - HOT_KEY)
            return (int64_t)t;
    }
    return -1;
}

static const char *look(uint64_t k, uint64_t count)
{
    int64_t expected = shared_row(k, count);
    struct kv_entry entry;
    char buffer[KEY_BYTES];
    enum kv_status st =
        kv_log_get(shared, ONE_HASH, key_in(buffer, k), shared_bounds[count], &entry);

    if (expected < 0)
        return st == KV_DONE ? NULL : "a key is there too early";
    if (st != KV_OK)
        return "a key is not found";
    return kv_slice_equal(entry.row, kv_slice_of(&expected, sizeof(expected))) ? NULL
                                                                               : "a wrong row";
}

static void *read_flooded(void *context)
{
    uint64_t random = (uint64_t)(uintptr_t)context;
    const char *problem = NULL;

    while (!problem && !atomic_load(&is_over)) {
        uint64_t count = atomic_load(&shared_count);
        uint64_t k = NEW_KEYS * count - 1; /* the very newest, which may not be in the table yet */

        if (count == 0)
            continue;
        switch (fixture_random(&random) % 8) {
        case 0: k = fixture_random(&random) % (NEW_KEYS * count + 20); break;
        case 1: k = HOT_KEY + fixture_random(&random) % HOT_KEYS; break;
        case 2: count = fixture_random(&random) % (count + 1); break;
        default: break;
        }
        problem = look(k, count);
    }
    return (void *)(uintptr_t)problem;
}

static void shared_put(struct kv_write_set *set, uint64_t k, uint64_t row)
{
    char buffer[KEY_BYTES];

    ck_kv_fast(
        kv_write_set_add(set, KV_PUT, ONE_HASH, key_in(buffer, k), kv_slice_of(&row, sizeof(row))));
}

/* Goal: readers of old and new snapshots find what they should, while a writer publishes more. */
START_TEST(test_flood_readers_beside_a_writer)
{
    pthread_t threads[READERS];

    shared = live_log_new(&fixture, 3, 0);
    shared_bounds[0] = shared->tail.end_bytes;
    for (uintptr_t i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_flooded, (void *)(i + 1)), 0);
    for (uint64_t t = 0; t < SHARED_TRANSACTIONS; t++) {
        struct kv_write_set *set = live_log_begin(shared);

        for (uint64_t i = 0; i < NEW_KEYS; i++)
            shared_put(set, t * NEW_KEYS + i, t * NEW_KEYS + i);
        shared_put(set, HOT_KEY + t % HOT_KEYS, t);
        live_log_commit(set, 1);
        shared_bounds[t + 1] = shared->tail.end_bytes;
        atomic_store(&shared_count, t + 1);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < READERS; i++) {
        void *problem;

        ck_assert_int_eq(pthread_join(threads[i], &problem), 0);
        ck_assert_msg(!problem, "%s", (const char *)problem);
    }
    for (uint64_t k = 0; k < SHARED_TRANSACTIONS * NEW_KEYS; k++)
        ck_assert_ptr_null(look(k, SHARED_TRANSACTIONS));
    kv_log_unref(shared);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("flood");
    TCase *tests = tcase_create("flood");

    scarcity_init();
    tcase_set_timeout(tests, 20);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, test_flood_log_shows_every_version, 0, HASHES_COUNT);
    tcase_add_test(tests, test_flood_makes_chains_short);
    tcase_add_test(tests, test_flood_is_noticed_at_once);
    tcase_add_test(tests, test_flood_is_noticed_behind_the_bound);
    tcase_add_test(tests, test_flood_finds_damage);
    tcase_add_loop_test(tests, test_flood_write_set_random_operations, 0, 4);
    tcase_add_loop_test(tests, test_flood_without_memory, 0, 4);
    tcase_add_test(tests, test_flood_readers_beside_a_writer);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
