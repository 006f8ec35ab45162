/* Indexes: every key is found, in order, in few bytes; damage and strangers are noticed. */
#include <stdio.h>

#include "hash.h"
#include "index_layout.h"
#include "names.h"
#include "runner.h"
#include "segment_fixture.h"

enum { NUMBER = 7 };

/* A log of one shape of keys, and its index. */
struct world {
    struct fixture fixture;
    struct sealed_log log;
    struct kv_index_item *items;
    struct kv_index *index;
};

static enum kv_status build(struct world *world, struct kv_index **out)
{
    struct kv_index_array array = kv_index_array(world->items, world->log.newest_count);

    return kv_index_build(&world->fixture.place, &world->log.info,
                          kv_buffer_slice(&world->log.bytes), &array.base, NULL, out);
}

static void world_init(struct world *world, enum key_shape shape, size_t key_count)
{
    struct kv_buffer key = {0};

    fixture_init(&world->fixture);
    sealed_log_begin(&world->log, &world->fixture, NUMBER);
    for (size_t i = 0; i < key_count; i++) {
        fixture_key(shape, i * 7919 % key_count, &key); /* not in order */
        sealed_log_put(&world->log, kv_buffer_slice(&key), kv_slice_text("row"));
    }
    sealed_log_finish(&world->log, &world->fixture);
    kv_buffer_release(&key);
    world->items = sealed_log_items(&world->log, &world->fixture);
    ck_kv(build(world, &world->index));
    ck_assert_uint_eq(kv_index_entry_count(world->index), world->log.newest_count);
}

static void world_release(struct world *world)
{
    kv_index_free(world->index);
    free(world->items);
    sealed_log_release(&world->log);
    fixture_release(&world->fixture);
}

static enum kv_status reopen(struct world *world)
{
    kv_index_free(world->index);
    return kv_index_open(&world->fixture.place, &world->log.info, &world->index);
}

/* Does probing for `hash` come by `offset`, or give up? */
static enum kv_status find(struct kv_index *index, uint64_t hash, uint32_t offset, bool *found)
{
    struct kv_index_probe probe = {0};
    uint32_t candidate;
    enum kv_status st;

    *found = false;
    while ((st = kv_index_probe(index, hash, &probe, &candidate)) == KV_OK)
        *found |= candidate == offset;
    *found |= probe.is_crowded;
    return st == KV_DONE ? KV_OK : st;
}

static void check_all_found(struct world *world)
{
    for (size_t i = 0; i < world->log.newest_count; i++) {
        uint32_t offset;
        bool found;
        ck_kv(kv_index_may_contain(world->index, world->items[i].hash, &found));
        ck_assert(found);
        ck_kv(find(world->index, world->items[i].hash, world->items[i].offset_bytes, &found));
        ck_assert(found);
        ck_kv(kv_index_at(world->index, i, &offset));
        ck_assert_uint_eq(offset, world->items[i].offset_bytes);
    }
}

/* ---- Right answers */

static const size_t COUNTS[] = {0, 1, 2, 63, 64, 65, 128, 129, 1000};
enum { COUNT_COUNT = sizeof(COUNTS) / sizeof(COUNTS[0]) };

START_TEST(test_index_finds_every_key_in_order)
{
    struct world world;

    world_init(&world, (enum key_shape)(_i / COUNT_COUNT), COUNTS[_i % COUNT_COUNT]);
    check_all_found(&world);
    ck_kv(kv_index_check(world.index));
    ck_kv(reopen(&world));
    check_all_found(&world);
    world_release(&world);
}
END_TEST

static void check_narrow(struct world *world, struct kv_slice key)
{
    size_t first = sealed_log_rank(&world->log, key, false);
    size_t behind = sealed_log_rank(&world->log, key, true);
    uint64_t low, high;

    ck_kv(kv_index_narrow(world->index, key, &low, &high));
    ck_assert_uint_le(low, high);
    ck_assert_uint_le(high, world->log.newest_count);
    ck_assert_uint_le(low, first);   /* all before are less */
    ck_assert_uint_ge(high, behind); /* all from there on are greater */
}

/*
 * Goal: narrowing never excludes the answer.
 * Method: against the sorted list, for each key, what is just before and
 * behind it, its prefixes, and random keys.
 */
START_TEST(test_index_narrow_agrees_with_brute_force)
{
    struct world world;
    struct kv_buffer key = {0};

    world_init(&world, (enum key_shape)(_i / COUNT_COUNT), COUNTS[_i % COUNT_COUNT]);
    check_narrow(&world, kv_slice_of(NULL, 0));
    for (size_t i = 0; i < world.log.newest_count; i++) {
        ck_kv(kv_buffer_set(&key, world.log.newest[i]->key));
        check_narrow(&world, kv_buffer_slice(&key));
        check_narrow(&world, kv_slice_of(key.data, key.size - 1));
        check_narrow(&world, kv_slice_of(key.data, key.size / 2));
        ck_kv(kv_buffer_append(&key, kv_slice_of("", 1)));
        check_narrow(&world, kv_buffer_slice(&key));
        key.data[key.size - 2]--;
        check_narrow(&world, kv_buffer_slice(&key));
        key.data[key.size - 2] += 2;
        check_narrow(&world, kv_buffer_slice(&key));
    }
    for (uint64_t i = 0; i < 300; i++) {
        fixture_key(KEYS_RANDOM, i + 1000000, &key);
        check_narrow(&world, kv_buffer_slice(&key));
    }
    kv_buffer_release(&key);
    world_release(&world);
}
END_TEST

/* ---- Copies of fences in the header */

enum { TOP_KEYS = 625, TOP_ENTRIES = TOP_KEYS * KV_INDEX_FENCE_STEP };

/* A key behind `prefix_size` bytes: 2 * n for those that are there. */
static void top_key(struct kv_buffer *out, size_t prefix_size, unsigned n)
{
    uint8_t number[3] = {(uint8_t)(1 + n / 256), (uint8_t)n, 'k'};

    out->size = 0;
    memset(kv_buffer_reserve(out, prefix_size), 'p', prefix_size);
    out->size = prefix_size;
    ck_kv(kv_buffer_append(out, kv_slice_of(number, sizeof(number))));
}

/* An index whose entries are one fence's step of each key, so that few long keys fill pages of fences. */
static void world_init_of_fences(struct world *world, size_t prefix_size)
{
    struct kv_index_array source;
    struct kv_buffer key = {0};

    fixture_init(&world->fixture);
    sealed_log_begin(&world->log, &world->fixture, NUMBER);
    for (unsigned n = 0; n < TOP_KEYS; n++) {
        top_key(&key, prefix_size, 2 * n);
        sealed_log_put(&world->log, kv_buffer_slice(&key), kv_slice_text("row"));
    }
    sealed_log_finish(&world->log, &world->fixture);
    kv_buffer_release(&key);
    world->items = calloc(TOP_ENTRIES, sizeof(*world->items));
    for (size_t i = 0; i < TOP_ENTRIES; i++)
        world->items[i].offset_bytes = world->log.newest[i / KV_INDEX_FENCE_STEP]->offset_bytes;
    source = kv_index_array(world->items, TOP_ENTRIES);
    ck_kv(kv_index_build(&world->fixture.place, &world->log.info,
                         kv_buffer_slice(&world->log.bytes), &source.base, NULL, &world->index));
}

/*
 * Goal: the copies of fences in the header lead to the right page of fences, also where there is
 * room for a few of them only, or for none.
 * Method: three pages of fences behind prefixes that leave room for all, two, one and none.
 */
START_TEST(test_index_narrow_by_copies_in_the_header)
{
    static const size_t prefixes[] = {1, 3820, 3830, 3850};
    static const uint64_t copies[] = {3, 2, 1, 0};
    struct kv_index_layout layout = kv_index_layout_of(TOP_ENTRIES, 1, 1);
    struct kv_buffer key = {0};
    struct world world;

    ck_assert_uint_eq(layout.page_count - layout.fence_page, 3);
    ck_assert_uint_eq(kv_index_tops_of(&layout, prefixes[_i]).count, copies[_i]);
    world_init_of_fences(&world, prefixes[_i]);
    for (unsigned n = 0; n < 2 * TOP_KEYS; n++) {
        uint64_t low, high, first = (n + 1) / 2 * KV_INDEX_FENCE_STEP;
        uint64_t behind = (n / 2 + 1) * KV_INDEX_FENCE_STEP;

        top_key(&key, prefixes[_i], n);
        ck_kv(kv_index_narrow(world.index, kv_buffer_slice(&key), &low, &high));
        ck_assert_uint_le(low, first);
        ck_assert_uint_ge(high, behind);
        ck_assert_uint_le(high - low, 2 * KV_INDEX_FENCE_STEP);
    }
    kv_buffer_release(&key);
    world_release(&world);
}
END_TEST

/* Goal: wherever there is room, copies stand for all pages of fences and end where the checksum begins. */
START_TEST(test_index_copies_in_the_header_fit)
{
    for (uint64_t entries = 0; entries < 100000000; entries = entries * 3 + 1) {
        struct kv_index_layout layout = kv_index_layout_of(entries, 1, 1);
        uint64_t pages = layout.page_count - layout.fence_page;

        for (size_t prefix = 0; prefix <= KV_INDEX_PREFIX_MAX_BYTES; prefix++) {
            struct kv_index_tops tops = kv_index_tops_of(&layout, prefix);

            ck_assert_uint_ge(tops.at, KV_INDEX_PREFIX_AT + prefix);
            ck_assert_uint_le(tops.at + tops.count * KV_INDEX_FENCE_BYTES, KV_INDEX_PAYLOAD_BYTES);
            ck_assert(tops.count > 0 || pages == 0 ||
                      prefix > KV_INDEX_PREFIX_MAX_BYTES - KV_INDEX_FENCE_BYTES);
            ck_assert(tops.count == 0 ||
                      (tops.count * tops.step >= pages && (tops.count - 1) * tops.step < pages));
        }
    }
}
END_TEST

/* Goal: fences narrow a seek to one step where 16 bytes tell keys apart. */
START_TEST(test_index_narrow_is_narrow)
{
    struct world world;
    uint64_t low, high;

    world_init(&world, _i ? KEYS_LONG_PREFIX : KEYS_COUNTER, 5000);
    for (size_t i = 0; i < 5000; i++) {
        ck_kv(kv_index_narrow(world.index, world.log.newest[i]->key, &low, &high));
        ck_assert_uint_le(high - low, 2 * KV_INDEX_FENCE_STEP);
    }
    ck_kv(kv_index_narrow(world.index, kv_slice_text("\xff"), &low, &high));
    ck_assert_uint_eq(low, 5000);
    ck_kv(kv_index_narrow(world.index, kv_slice_text("\x01"), &low, &high));
    ck_assert_uint_eq(high, 0);
    world_release(&world);
}
END_TEST

/* Goal: the documented price, and the documented rate of wasted lookups. */
START_TEST(test_index_costs_and_false_positives)
{
    enum { KEYS = 100000 };
    struct world world;
    unsigned maybes = 0, candidates = 0;

    world_init(&world, KEYS_COUNTER, KEYS);
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t hash = kv_digest_add(77, i);
        struct kv_index_probe probe = {0};
        uint32_t offset;
        bool maybe;
        ck_kv(kv_index_may_contain(world.index, hash, &maybe));
        maybes += maybe;
        while (kv_index_probe(world.index, hash, &probe, &offset) == KV_OK)
            candidates++;
    }
    double bytes_a_key = (double)kv_index_size_bytes(world.index) / KEYS;
    printf("index: %.2f bytes a key, %.2f %% false positives of the filter, %.3f %% of the hash\n",
           bytes_a_key, 100.0 * maybes / KEYS, 100.0 * candidates / KEYS);
    ck_assert(bytes_a_key <= 16);
    ck_assert_uint_lt(maybes, KEYS / 50);
    ck_assert_uint_lt(candidates, KEYS / 500);
    world_release(&world);
}
END_TEST

static unsigned count_candidates(struct kv_index *index, uint64_t hash)
{
    struct kv_index_probe probe = {0};
    unsigned count = 0;
    uint32_t offset;

    while (kv_index_probe(index, hash, &probe, &offset) == KV_OK)
        count++;
    return count;
}

/*
 * Goal: hashes that an attacker would choose cost little time, and no correctness.
 * Method: one hash for all; hashes whose buckets are all the same.
 */
START_TEST(test_index_survives_colliding_hashes)
{
    enum { KEYS = 3000 };
    struct world world;

    world_init(&world, KEYS_COUNTER, KEYS);
    kv_index_free(world.index);
    world.index = NULL;
    for (size_t i = 0; i < KEYS; i++)
        world.items[i].hash = _i == 0 ? 42 : _i == 1 ? i << 40 : UINT64_MAX - i;
    ck_kv(build(&world, &world.index));
    for (size_t i = 0; i < KEYS; i += 37) {
        bool found;
        ck_kv(find(world.index, world.items[i].hash, world.items[i].offset_bytes, &found));
        ck_assert(found);
        ck_kv(kv_index_may_contain(world.index, world.items[i].hash, &found));
        ck_assert(found);
    }
    ck_assert_uint_le(count_candidates(world.index, world.items[KEYS - 1].hash),
                      KV_INDEX_PROBE_MAX_BUCKETS * KV_INDEX_BUCKET_SLOTS);
    world_release(&world);
}
END_TEST

/* ---- Strangers */

START_TEST(test_index_open_refuses_other_data)
{
    struct world world;
    struct kv_segment_info info;
    struct kv_place place;
    struct kv_index *index;

    world_init(&world, KEYS_COUNTER, 100);
    info = world.log.info;
    place = world.fixture.place;

    info.salt++;
    ck_kv_is(kv_index_open(&place, &info, &index), KV_MISMATCH);
    ck_assert_ptr_null(index);
    info = world.log.info, info.end_bytes++;
    ck_kv_is(kv_index_open(&place, &info, &index), KV_MISMATCH);
    info = world.log.info, info.digest ^= 1;
    ck_kv_is(kv_index_open(&place, &info, &index), KV_MISMATCH);
    info = world.log.info, place.uuid[3] ^= 1;
    ck_kv_is(kv_index_open(&place, &info, &index), KV_MISMATCH);
    place = world.fixture.place, place.hash_seed++;
    ck_kv_is(kv_index_open(&place, &info, &index), KV_MISMATCH);
    place = world.fixture.place, info.number++;
    ck_kv_is(kv_index_open(&place, &info, &index), KV_NOTFOUND);
    ck_kv(kv_io_rename(place.dir, strrchr(fixture_index_path(NUMBER), '/') + 1,
                       "segment_000000000008.idx"));
    ck_kv_is(kv_index_open(&place, &info, &index), KV_MISMATCH);
    world_release(&world);
}
END_TEST

/* ---- Damage */

/* What the world's index answers for all keys; the first failure. */
static enum kv_status ask_everything(struct world *world)
{
    enum kv_status st = KV_OK;

    for (size_t i = 0; st == KV_OK && i < world->log.newest_count; i++) {
        uint64_t low, high;
        uint32_t offset;
        bool found;
        st = kv_index_may_contain(world->index, world->items[i].hash, &found);
        if (st == KV_OK) {
            ck_assert(found);
            st = find(world->index, world->items[i].hash, world->items[i].offset_bytes, &found);
        }
        if (st == KV_OK) {
            ck_assert(found);
            st = kv_index_at(world->index, i, &offset);
        }
        if (st == KV_OK) {
            ck_assert_uint_eq(offset, world->items[i].offset_bytes);
            st = kv_index_narrow(world->index, world->log.newest[i]->key, &low, &high);
        }
        if (st == KV_OK)
            ck_assert(low <= i && i < high);
    }
    return st;
}

/*
 * Goal: no flipped bit goes unnoticed: the header's at opening, another
 * page's when it is used, all by a check; and no answer is wrong.
 */
START_TEST(test_index_notices_every_bit_flip)
{
    struct world world;
    const char *path;
    uint64_t size, noticed_in_use = 0;

    world_init(&world, KEYS_COUNTER, 100); /* a second fence: the header knows the first */
    path = fixture_index_path(NUMBER);
    size = kv_index_size_bytes(world.index);
    ck_assert_uint_eq(size, 5 * KV_INDEX_PAGE_BYTES);
    for (uint64_t bit = 0; bit < size * 8; bit++) {
        ck_assert(kv_memfs_flip_bit(world.fixture.fs, path, bit / 8, bit % 8));
        enum kv_status st = reopen(&world);
        if (bit / 8 < KV_INDEX_PAGE_BYTES) {
            ck_assert(st == KV_CORRUPT || st == KV_MISMATCH);
        } else {
            ck_kv(st);
            ck_kv_is(kv_index_check(world.index), KV_CORRUPT);
            st = ask_everything(&world);
            ck_assert(st == KV_OK || st == KV_CORRUPT);
            noticed_in_use += st == KV_CORRUPT;
        }
        ck_assert(kv_memfs_flip_bit(world.fixture.fs, path, bit / 8, bit % 8));
    }
    /* There is one page of each kind, and each is used. */
    ck_assert_uint_eq(noticed_in_use, 4 * KV_INDEX_PAGE_BYTES * 8);
    ck_kv(reopen(&world));
    ck_kv(ask_everything(&world));
    world_release(&world);
}
END_TEST

START_TEST(test_index_open_refuses_every_truncation)
{
    struct world world;
    uint64_t size;

    world_init(&world, KEYS_COUNTER, 2000);
    size = kv_index_size_bytes(world.index);
    for (uint64_t cut = 1; cut <= size; cut += cut < 70 || size - cut < 5000 ? 1 : 997) {
        kv_index_free(world.index);
        world.index = NULL;
        ck_assert(kv_memfs_truncate(world.fixture.fs, fixture_index_path(NUMBER), size - cut));
        ck_kv_is(reopen(&world), KV_CORRUPT);
    }
    world_release(&world);
}
END_TEST

/* A number put into the header under a good checksum. */
static void forge(struct world *world, unsigned at, uint64_t value)
{
    size_t size;
    uint8_t *bytes = kv_memfs_read_file(world->fixture.fs, fixture_index_path(NUMBER), &size);

    kv_store_u64(bytes + at, value);
    kv_store_u64(bytes + KV_INDEX_CHECKSUM_AT,
                 kv_index_page_checksum(bytes, world->log.info.salt, 0));
    ck_assert(kv_memfs_write_file(world->fixture.fs, fixture_index_path(NUMBER),
                                  kv_slice_of(bytes, size)));
    free(bytes);
}

/* Goal: counts that lie are refused, also those that would wrap around. */
START_TEST(test_index_open_refuses_hostile_counts)
{
    static const unsigned fields[] = {KV_INDEX_ENTRIES_AT, KV_INDEX_BUCKETS_AT, KV_INDEX_BLOCKS_AT};
    static const uint64_t lies[] = {
        0, 5000, 1 << 20, UINT32_MAX, 1ull << 56, UINT64_MAX / 64, UINT64_MAX / 2, UINT64_MAX};
    struct world world;

    world_init(&world, KEYS_COUNTER, 1009);
    for (size_t i = 0; i < 3; i++) {
        uint64_t truth[3] = {1009, 1009 * 2 / 15 + 1, 1009 * 11 / 512 + 1};
        for (size_t k = 0; k < sizeof(lies) / sizeof(lies[0]); k++) {
            forge(&world, fields[i], lies[k]);
            ck_kv_is(reopen(&world), KV_CORRUPT);
        }
        forge(&world, fields[i], truth[i]);
        ck_kv(reopen(&world));
    }
    forge(&world, KV_INDEX_VERSION_AT, KV_INDEX_VERSION + 1);
    ck_kv_is(reopen(&world), KV_MISMATCH);
    forge(&world, KV_INDEX_VERSION_AT,
          KV_INDEX_VERSION | (uint64_t)(KV_INDEX_PREFIX_MAX_BYTES + 1) << 32);
    ck_kv_is(reopen(&world), KV_CORRUPT);
    world_release(&world);
}
END_TEST

/*
 * Goal: a table whose every bucket says "look on" ends after one round, and
 * fences that descend are noticed or harmless.
 */
START_TEST(test_index_reading_ends_on_hostile_pages)
{
    struct world world;
    size_t size;
    uint8_t *bytes;
    bool found;

    world_init(&world, KEYS_COUNTER, 2000);
    bytes = kv_memfs_read_file(world.fixture.fs, fixture_index_path(NUMBER), &size);
    for (uint64_t page = 0; page < size / KV_INDEX_PAGE_BYTES; page++) {
        uint8_t *at = bytes + page * KV_INDEX_PAGE_BYTES;
        if (page == 0)
            memset(at + KV_INDEX_PREFIX_AT + 16, _i * 127,
                   KV_INDEX_FENCE_BYTES); /* the only copy */
        else
            memset(at, 0xff, KV_INDEX_PAYLOAD_BYTES);
        if (page == size / KV_INDEX_PAGE_BYTES - 1)
            for (unsigned i = 0; i < KV_INDEX_PAGE_FENCES; i++)
                memset(at + i * KV_INDEX_FENCE_BYTES, (int)(255 - i % 256), KV_INDEX_FENCE_BYTES);
        kv_store_u64(at + KV_INDEX_CHECKSUM_AT,
                     kv_index_page_checksum(at, world.log.info.salt, page));
    }
    ck_assert(kv_memfs_write_file(world.fixture.fs, fixture_index_path(NUMBER),
                                  kv_slice_of(bytes, size)));
    free(bytes);
    ck_kv(reopen(&world));
    for (size_t i = 0; i < 2000; i += 10) {
        uint64_t low, high;
        ck_kv(find(world.index, world.items[i].hash, 1, &found));
        enum kv_status st = kv_index_narrow(world.index, world.log.newest[i]->key, &low, &high);
        ck_assert(st == KV_CORRUPT || (st == KV_OK && low <= high && high <= 2000));
    }
    world_release(&world);
}
END_TEST

/* ---- Building */

START_TEST(test_index_build_replaces_and_leaves_nothing_else)
{
    struct world world;
    char *names;

    world_init(&world, KEYS_COUNTER, 100);
    ck_kv(build(&world, NULL));
    names = kv_memfs_list(world.fixture.fs, FIXTURE_DIRECTORY);
    ck_assert_str_eq(names, "segment_000000000007.db\nsegment_000000000007.idx\n");
    free(names);
    check_all_found(&world); /* the old one, still mapped */
    ck_kv(reopen(&world));
    check_all_found(&world);
    world_release(&world);
}
END_TEST

/* Goal: a read-only place gets an index, and the directory stays as it was. */
START_TEST(test_index_build_on_a_readonly_place)
{
    struct world world;
    char *names;

    world_init(&world, KEYS_COUNTER, 100);
    kv_index_free(world.index);
    ck_kv(kv_io_unlink(world.fixture.place.dir, strrchr(fixture_index_path(NUMBER), '/') + 1));
    world.fixture.place.readonly = true;
    ck_kv(build(&world, &world.index));
    check_all_found(&world);
    names = kv_memfs_list(world.fixture.fs, FIXTURE_DIRECTORY);
    ck_assert_str_eq(names, "segment_000000000007.db\n");
    free(names);
    world_release(&world);
}
END_TEST

/* Goal: whatever call fails, the failure is reported and no file stays. */
START_TEST(test_index_build_leaves_nothing_after_any_failure)
{
    struct world world;
    uint64_t calls = 0;

    world_init(&world, KEYS_COUNTER, 100);
    ck_kv(kv_io_unlink(world.fixture.place.dir, strrchr(fixture_index_path(NUMBER), '/') + 1));
    for (uint64_t nth = 1;; nth++) {
        struct kv_index *index;
        kv_memfs_fail(world.fixture.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_ONCE);
        enum kv_status st = build(&world, &index);
        bool injected = kv_memfs_fault_count(world.fixture.fs) > calls;
        calls = kv_memfs_fault_count(world.fixture.fs);
        kv_memfs_heal(world.fixture.fs);
        if (!injected) {
            ck_kv(st);
            kv_index_free(index);
            break;
        }
        ck_kv_is(st, KV_IOERR);
        ck_assert_ptr_null(index);
        char *names = kv_memfs_list(world.fixture.fs, FIXTURE_DIRECTORY);
        ck_assert_str_eq(names, "segment_000000000007.db\n");
        free(names);
    }
    ck_assert_uint_ge(calls, 6);
    kv_memfs_set_space(world.fixture.fs,
                       kv_memfs_size(world.fixture.fs, fixture_data_path(NUMBER)));
    ck_kv_is(build(&world, NULL), KV_FULL);
    world_release(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("index");
    TCase *answers = tcase_create("answers"), *damage = tcase_create("damage"),
          *building = tcase_create("building");

    tcase_set_timeout(damage, 60);
    tcase_add_loop_test(answers, test_index_finds_every_key_in_order, 0,
                        KEYS_SHAPE_COUNT * COUNT_COUNT);
    tcase_add_loop_test(answers, test_index_narrow_agrees_with_brute_force, 0,
                        KEYS_SHAPE_COUNT * COUNT_COUNT);
    tcase_add_loop_test(answers, test_index_narrow_is_narrow, 0, 2);
    tcase_add_loop_test(answers, test_index_narrow_by_copies_in_the_header, 0, 4);
    tcase_add_test(answers, test_index_copies_in_the_header_fit);
    tcase_add_test(answers, test_index_costs_and_false_positives);
    tcase_add_loop_test(answers, test_index_survives_colliding_hashes, 0, 3);
    tcase_add_test(damage, test_index_open_refuses_other_data);
    tcase_add_test(damage, test_index_notices_every_bit_flip);
    tcase_add_test(damage, test_index_open_refuses_every_truncation);
    tcase_add_test(damage, test_index_open_refuses_hostile_counts);
    tcase_add_loop_test(damage, test_index_reading_ends_on_hostile_pages, 0, 3);
    tcase_add_test(building, test_index_build_replaces_and_leaves_nothing_else);
    tcase_add_test(building, test_index_build_on_a_readonly_place);
    tcase_add_test(building, test_index_build_leaves_nothing_after_any_failure);
    suite_add_tcase(suite, answers);
    suite_add_tcase(suite, damage);
    suite_add_tcase(suite, building);
    return kv_run_suite(suite);
}
