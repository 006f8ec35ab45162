/* Sealed segments: right answers or KV_CORRUPT, whatever happens to the two files. */
#include <pthread.h>
#include <stdio.h>

#include "hash.h"
#include "index_layout.h"
#include "runner.h"
#include "segment.h"
#include "segment_fixture.h"

enum { NUMBER = SEGMENT_WORLD_NUMBER };

/* ---- Asking: the answer is what was written, or a failure; never another answer */

static void check_entry(const struct kv_entry *entry, const struct write *expected)
{
    ck_assert(kv_slice_equal(entry->key, expected->key));
    ck_assert(kv_slice_equal(entry->row, expected->row));
    ck_assert_uint_eq(entry->seq, expected->seq);
    ck_assert_uint_eq(entry->size_bytes, expected->size_bytes);
    ck_assert_int_eq(entry->deleted, expected->deleted);
    ck_assert(!entry->own);
}

static enum kv_status get(struct segment_world *world, struct kv_slice key)
{
    uint64_t hash = kv_hash(key, world->fixture.place.hash_seed);
    const struct write *expected = sealed_log_find(&world->log, key);
    struct kv_entry entry;

    kv_segment_prefetch(world->segment, hash, expected);
    enum kv_status st = kv_segment_get(world->segment, hash, key, &entry);
    if (st == KV_OK) {
        ck_assert_ptr_nonnull(expected);
        check_entry(&entry, expected);
    } else if (st == KV_DONE) {
        ck_assert_ptr_null(expected);
    }
    return st < 0 ? st : KV_OK;
}

static enum kv_status get_all(struct segment_world *world)
{
    enum kv_status st = KV_OK;

    for (size_t i = 0; st == KV_OK && i < world->log.newest_count; i++)
        st = get(world, world->log.newest[i]->key);
    if (st == KV_OK)
        st = get(world, kv_slice_text("no such key"));
    return st;
}

/* Seek, read up to `limit` entries, compare each with the list. */
static enum kv_status iterate(struct segment_world *world, const struct kv_slice *bound,
                              enum kv_direction direction, size_t limit)
{
    const struct sealed_log *log = &world->log;
    size_t behind = bound ? sealed_log_rank(log, *bound, direction == KV_BACKWARD)
                    : direction == KV_FORWARD ? 0
                                              : log->newest_count;
    struct kv_iter *it;
    struct kv_entry entry;
    enum kv_status st;

    ck_kv(kv_segment_iter(world->segment, &it));
    st = kv_iter_seek(it, bound, direction);
    for (; st == KV_OK && limit > 0; limit--) {
        st = kv_iter_next(it, &entry);
        bool at_end = direction == KV_FORWARD ? behind == log->newest_count : behind == 0;
        if (st == KV_DONE)
            ck_assert(at_end);
        if (st == KV_OK) {
            ck_assert(!at_end);
            check_entry(&entry, log->newest[direction == KV_FORWARD ? behind : behind - 1]);
            behind += (size_t)direction;
        }
    }
    if (st < 0)
        ck_kv_is(kv_iter_next(it, &entry), st); /* a failure ends it */
    kv_iter_free(it);
    return st == KV_DONE ? KV_OK : st;
}

static enum kv_status ask_everything(struct segment_world *world)
{
    enum kv_status st = get_all(world);

    if (st == KV_OK)
        st = iterate(world, NULL, KV_FORWARD, SIZE_MAX);
    if (st == KV_OK)
        st = iterate(world, NULL, KV_BACKWARD, SIZE_MAX);
    return st;
}

/* ---- Right answers */

static const size_t COUNTS[] = {1, 2, 64, 65, 500};
enum { COUNT_COUNT = sizeof(COUNTS) / sizeof(COUNTS[0]) };

START_TEST(test_segment_answers_all_questions)
{
    struct segment_world world;
    struct kv_buffer key = {0};

    segment_world_init(&world, (enum key_shape)(_i / COUNT_COUNT), COUNTS[_i % COUNT_COUNT]);
    segment_world_index(&world);
    ck_kv(segment_world_reopen(&world));
    ck_assert(!kv_segment_index_rebuilt(world.segment));
    ck_kv(ask_everything(&world));
    ck_kv(iterate(&world, &(struct kv_slice){0}, KV_FORWARD, 3));
    ck_kv(iterate(&world, &(struct kv_slice){0}, KV_BACKWARD, 3));
    for (size_t i = 0; i < world.log.newest_count; i++) {
        ck_kv(kv_buffer_set(&key, world.log.newest[i]->key));
        for (int change = 0; change < 3; change++) {
            struct kv_slice bound = kv_buffer_slice(&key);
            ck_kv(iterate(&world, &bound, KV_FORWARD, 3));
            ck_kv(iterate(&world, &bound, KV_BACKWARD, 3));
            bound.size -= change < 2 ? 1 : 0;
            ck_kv(iterate(&world, &bound, KV_FORWARD, 2));
            ck_kv(kv_buffer_append(&key, kv_slice_text(change ? "\xff" : "\x01")));
        }
    }
    kv_buffer_release(&key);
    segment_world_release(&world);
}
END_TEST

START_TEST(test_segment_may_contain)
{
    struct segment_world world;
    unsigned wrong = 0;

    segment_world_init(&world, KEYS_COUNTER, 500);
    ck_kv(segment_world_reopen(&world));
    for (size_t i = 0; i < world.log.newest_count; i++)
        ck_assert(kv_segment_may_contain(
            world.segment, kv_hash(world.log.newest[i]->key, world.fixture.place.hash_seed)));
    for (uint64_t i = 0; i < 10000; i++)
        wrong += kv_segment_may_contain(world.segment, kv_digest_add(5, i));
    ck_assert_uint_lt(wrong, 200);
    segment_world_release(&world);
}
END_TEST

/* Goal: one iterator may be sought again, also the other way, and before its first seek is at an end. */
START_TEST(test_segment_iter_is_reusable)
{
    struct segment_world world;
    struct kv_iter *it;
    struct kv_entry entry;

    segment_world_init(&world, KEYS_COUNTER, 100);
    ck_kv(segment_world_reopen(&world));
    ck_kv(kv_segment_iter(world.segment, &it));
    ck_kv_is(kv_iter_next(it, &entry), KV_DONE);
    ck_kv(kv_iter_seek(it, NULL, KV_FORWARD));
    ck_kv(kv_iter_next(it, &entry));
    check_entry(&entry, world.log.newest[0]);
    ck_kv(kv_iter_seek(it, NULL, KV_BACKWARD));
    ck_kv(kv_iter_next(it, &entry));
    check_entry(&entry, world.log.newest[99]);
    ck_kv(kv_iter_seek(it, &entry.key, KV_FORWARD));
    ck_kv(kv_iter_next(it, &entry));
    ck_kv_is(kv_iter_next(it, &entry), KV_DONE);
    ck_kv_is(kv_iter_next(it, &entry), KV_DONE);

    /* It holds a reference. */
    kv_segment_unref(world.segment);
    world.segment = NULL;
    ck_kv(kv_iter_seek(it, NULL, KV_FORWARD));
    ck_kv(kv_iter_next(it, &entry));
    check_entry(&entry, world.log.newest[0]);
    kv_iter_free(it);
    segment_world_release(&world);
}
END_TEST

/* Goal: a log without entries, and one closed by END, are fine. */
START_TEST(test_segment_empty_and_ended_logs)
{
    struct segment_world world = {0};

    fixture_init(&world.fixture);
    sealed_log_begin(&world.log, &world.fixture, NUMBER);
    if (_i)
        sealed_log_put_keys(&world.log, KEYS_COUNTER, 10);
    sealed_log_commit(&world.log);
    sealed_log_end(&world.log);
    sealed_log_finish(&world.log, &world.fixture);
    ck_kv(segment_world_reopen(&world));
    ck_kv(ask_everything(&world));
    segment_world_release(&world);
}
END_TEST

/* ---- The index: missing, of other data, damaged */

START_TEST(test_segment_rebuilds_a_missing_index)
{
    struct segment_world world;

    segment_world_init(&world, (enum key_shape)(_i / COUNT_COUNT), COUNTS[_i % COUNT_COUNT]);
    ck_kv(segment_world_reopen(&world));
    ck_assert(kv_segment_index_rebuilt(world.segment));
    ck_kv(ask_everything(&world));
    ck_kv(segment_world_reopen(&world)); /* it is there now */
    ck_assert(!kv_segment_index_rebuilt(world.segment));
    ck_kv(ask_everything(&world));
    segment_world_release(&world);
}
END_TEST

/* Goal: the index of an earlier life of the file, of another file, and garbage are built anew. */
START_TEST(test_segment_rebuilds_a_foreign_index)
{
    struct segment_world world;
    struct kv_segment_info stale;
    struct kv_index_item item = {1, KV_HEADER_BYTES};
    struct kv_index_array array = kv_index_array(&item, 1);
    const struct kv_place *place;

    segment_world_init(&world, KEYS_COUNTER, 50);
    place = &world.fixture.place;
    stale = world.log.info;
    stale.digest ^= _i == 0;
    stale.salt ^= _i == 1;
    stale.end_bytes -= _i == 2 ? KV_COMMIT_BYTES : 0;
    ck_kv(
        kv_index_build(place, &stale, kv_buffer_slice(&world.log.bytes), &array.base, NULL, NULL));
    if (_i == 3)
        ck_assert(kv_memfs_write_file(world.fixture.fs, fixture_index_path(NUMBER),
                                      kv_slice_text("not an index")));
    if (_i == 4)
        ck_assert(kv_memfs_truncate(world.fixture.fs, fixture_index_path(NUMBER), 0));
    ck_kv(segment_world_reopen(&world));
    ck_assert(kv_segment_index_rebuilt(world.segment));
    ck_kv(ask_everything(&world));
    segment_world_release(&world);
}
END_TEST

/*
 * Goal: wherever the index is damaged all answers are right, and damage that
 * was met has been mended. (That each bit is covered is test_index.c's.)
 * Method: a bit of every seventh byte, questions asked in turn so that each
 * kind of page is met first by each kind of question.
 */
START_TEST(test_segment_heals_damage_all_over_the_index)
{
    struct segment_world world;
    unsigned met = 0, healed = 0;

    segment_world_init(&world, KEYS_COUNTER, 100);
    segment_world_index(&world);
    for (uint64_t at = 0; at < 5 * KV_INDEX_PAGE_BYTES; at += 7) {
        struct kv_slice bound = world.log.newest[at % 100]->key;
        ck_assert(
            kv_memfs_flip_bit(world.fixture.fs, fixture_index_path(NUMBER), at, (unsigned)at % 8));
        ck_kv(segment_world_reopen(&world));
        switch (at % 4) {
        case 0: ck_kv(get(&world, bound)); break;
        case 1: ck_kv(iterate(&world, &bound, KV_FORWARD, SIZE_MAX)); break;
        case 2: ck_kv(iterate(&world, NULL, KV_BACKWARD, SIZE_MAX)); break;
        case 3: ck_assert(kv_segment_may_contain(world.segment, kv_hash(bound, 0xc0ffee))); break;
        }
        ck_kv(ask_everything(&world));
        /* Only a seek with a bound needs the last page, the fences. */
        met += at < 4 * KV_INDEX_PAGE_BYTES || at % 4 == 1;
        healed += kv_segment_index_rebuilt(world.segment);
        if (!kv_segment_index_rebuilt(world.segment))
            segment_world_index(&world);
    }
    ck_assert_uint_eq(healed, met);
    segment_world_release(&world);
}
END_TEST

/* Goal: an index that is damaged again after it was mended is reported, not mended for ever. */
START_TEST(test_segment_heals_once)
{
    struct segment_world world;
    struct kv_slice key;

    segment_world_init(&world, KEYS_COUNTER, 50);
    segment_world_index(&world);
    key = world.log.newest[20]->key;
    segment_world_damage_page(&world, 2); /* of the filter */
    ck_kv(segment_world_reopen(&world));
    ck_kv(get(&world, key));
    ck_assert(kv_segment_index_rebuilt(world.segment));
    segment_world_damage_page(&world, 3); /* of the order, not met yet */
    ck_kv_is(iterate(&world, NULL, KV_FORWARD, 1), KV_CORRUPT);
    ck_assert_ptr_nonnull(strstr(kv_message(), "segment_000000000003.idx"));
    ck_kv(get(&world, key));
    segment_world_release(&world);
}
END_TEST

/* Goal: an iteration that meets damage goes on where it was, in either direction. */
START_TEST(test_segment_iter_heals_on_the_way)
{
    enum { KEYS = 3000, PAGE = 1008 };
    enum kv_direction direction = _i ? KV_BACKWARD : KV_FORWARD;
    struct segment_world world;
    struct kv_iter *it;
    struct kv_entry entry;
    size_t size;

    segment_world_init(&world, KEYS_COUNTER, KEYS);
    segment_world_index(&world);
    free(kv_memfs_read_file(world.fixture.fs, fixture_index_path(NUMBER), &size));
    struct kv_index_layout layout =
        kv_index_layout_of(KEYS, KEYS * 2 / 15 + 1, KEYS * 11 / 512 + 1);
    ck_assert_uint_eq(layout.page_count * KV_INDEX_PAGE_BYTES, size);
    segment_world_damage_page(&world, layout.order_page + 1);
    ck_kv(segment_world_reopen(&world));
    ck_kv(kv_segment_iter(world.segment, &it));
    ck_kv(kv_iter_seek(it, NULL, direction));
    for (size_t i = 0; i < KEYS; i++) {
        ck_kv(kv_iter_next(it, &entry));
        check_entry(&entry, world.log.newest[_i ? KEYS - 1 - i : i]);
        ck_assert(i > 900 || !kv_segment_index_rebuilt(world.segment));
    }
    ck_kv_is(kv_iter_next(it, &entry), KV_DONE);
    ck_assert(kv_segment_index_rebuilt(world.segment));
    kv_iter_free(it);
    segment_world_release(&world);
}
END_TEST

START_TEST(test_segment_heals_without_writing_on_a_readonly_place)
{
    struct segment_world world;
    char *names;

    segment_world_init(&world, KEYS_COUNTER, 50);
    world.fixture.place.readonly = true;
    ck_kv(segment_world_reopen(&world));
    ck_kv(ask_everything(&world));
    names = kv_memfs_list(world.fixture.fs, FIXTURE_DIRECTORY);
    ck_assert_str_eq(names, "segment_000000000003.db\n");
    free(names);
    segment_world_release(&world);
}
END_TEST

static void *get_all_thread(void *context)
{
    for (int i = 0; i < 3; i++)
        ck_kv(ask_everything(context));
    return NULL;
}

/* Goal: many readers that meet damage at once all get right answers. For TSan above all. */
START_TEST(test_segment_heals_under_many_readers)
{
    enum { THREADS = 4 };
    struct segment_world world;
    pthread_t threads[THREADS];

    segment_world_init(&world, KEYS_COUNTER, 500);
    segment_world_index(&world);
    segment_world_damage_page(&world, 1);
    ck_kv(segment_world_reopen(&world));
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, get_all_thread, &world), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert(kv_segment_index_rebuilt(world.segment));
    segment_world_release(&world);
}
END_TEST

/* ---- An index that lies under good checksums */

/* Goal: an order that is none is reported, whichever way it is read. */
START_TEST(test_segment_iter_reports_a_wrong_order)
{
    struct segment_world world;
    struct kv_index_item *items, swapped;

    segment_world_init(&world, KEYS_COUNTER, 100);
    items = sealed_log_items(&world.log, &world.fixture);
    swapped = items[50];
    if (_i == 0)
        items[50] = items[51], items[51] = swapped;
    else
        items[50] = items[51]; /* the same key twice */
    segment_world_lie(&world, items, 100);
    struct kv_iter *it;
    struct kv_entry entry;
    for (int backward = 0; backward < 2; backward++) {
        unsigned given = 0;
        enum kv_status st;
        ck_kv(kv_segment_iter(world.segment, &it));
        ck_kv(kv_iter_seek(it, NULL, backward ? KV_BACKWARD : KV_FORWARD));
        while ((st = kv_iter_next(it, &entry)) == KV_OK)
            given++;
        ck_kv_is(st, KV_CORRUPT);
        ck_assert_ptr_nonnull(strstr(kv_message(), "segment_000000000003.idx"));
        ck_assert_uint_le(given, 51);
        kv_iter_free(it);
    }
    free(items);
    segment_world_release(&world);
}
END_TEST

/* Goal: offsets outside the file make the index be rebuilt; offsets between records are damage. */
START_TEST(test_segment_survives_lying_offsets)
{
    struct segment_world world;
    struct kv_index_item *items;

    segment_world_init(&world, KEYS_COUNTER, 100);
    items = sealed_log_items(&world.log, &world.fixture);
    items[50].offset_bytes = _i == 0   ? UINT32_MAX
                             : _i == 1 ? 1
                             : _i == 2 ? (uint32_t)world.log.info.end_bytes
                                       : items[50].offset_bytes + 1;
    segment_world_lie(&world, items, 100);
    if (_i < 3) {
        ck_kv(get(&world, world.log.newest[50]->key));
        ck_assert(kv_segment_index_rebuilt(world.segment));
        ck_kv(ask_everything(&world));
    } else {
        ck_kv_is(get(&world, world.log.newest[50]->key), KV_CORRUPT);
        ck_kv_is(iterate(&world, NULL, KV_FORWARD, SIZE_MAX), KV_CORRUPT);
    }
    free(items);
    segment_world_release(&world);
}
END_TEST

/* ---- The data */

START_TEST(test_segment_open_refuses_every_truncation)
{
    struct segment_world world;
    uint64_t size;

    segment_world_init(&world, KEYS_COUNTER, 40);
    segment_world_index(&world);
    size = world.log.info.end_bytes;
    for (uint64_t cut = 1; cut <= size; cut++) {
        ck_assert(kv_memfs_truncate(world.fixture.fs, fixture_data_path(NUMBER), size - cut));
        ck_kv_is(segment_world_reopen(&world), KV_CORRUPT);
        ck_assert_ptr_null(world.segment);
        ck_assert_ptr_nonnull(strstr(kv_message(), "segment_000000000003.db"));
    }
    segment_world_release(&world);
}
END_TEST

/*
 * Goal: no flipped bit of the data gives a wrong answer.
 * Method: every bit; with the index in place, and for one bit of each byte
 * also without one, so that it is rebuilt from damaged data.
 */
START_TEST(test_segment_notices_every_bit_flip_of_the_data)
{
    struct segment_world world;
    uint64_t size, noticed = 0;
    enum kv_status st;

    segment_world_init(&world, KEYS_COUNTER, 12);
    segment_world_index(&world);
    size = world.log.info.end_bytes;
    for (uint64_t bit = 0; bit < size * 8; bit++) {
        if (bit / 8 == 100 && bit % 8 == 0)
            bit = (KV_HEADER_BYTES - 16) * 8; /* zeros: covered by the header's own test */
        ck_assert(kv_memfs_flip_bit(world.fixture.fs, fixture_data_path(NUMBER), bit / 8, bit % 8));
        st = segment_world_reopen(&world);
        if (st == KV_OK)
            st = get_all(&world);
        ck_assert(st == KV_OK || st == KV_CORRUPT);
        if (world.segment) {
            st = iterate(&world, NULL, bit % 16 < 8 ? KV_FORWARD : KV_BACKWARD, SIZE_MAX);
            ck_assert(st == KV_OK || st == KV_CORRUPT);
        }
        if (bit % 9 == 0) {
            ck_assert(kv_memfs_delete(world.fixture.fs, fixture_index_path(NUMBER)));
            ck_kv_is(segment_world_reopen(&world), KV_CORRUPT);
            noticed++;
        }
        ck_assert(kv_memfs_flip_bit(world.fixture.fs, fixture_data_path(NUMBER), bit / 8, bit % 8));
        if (bit % 9 == 0)
            segment_world_index(&world);
    }
    ck_assert_uint_gt(noticed, 0);
    ck_kv(segment_world_reopen(&world));
    ck_kv(ask_everything(&world));
    segment_world_release(&world);
}
END_TEST

/* Goal: files that are not what the manifest says are refused by name. */
START_TEST(test_segment_open_refuses_other_files)
{
    struct segment_world world;
    struct kv_segment_info truth;

    segment_world_init(&world, KEYS_COUNTER, 10);
    truth = world.log.info;
    world.log.info.salt++;
    ck_kv_is(segment_world_reopen(&world), KV_CORRUPT);
    world.log.info = truth, world.fixture.place.uuid[0]++;
    ck_kv_is(segment_world_reopen(&world), KV_CORRUPT);
    world.fixture.place.uuid[0]--, world.log.info.end_bytes = 100;
    ck_kv_is(segment_world_reopen(&world), KV_CORRUPT);
    world.log.info.end_bytes = UINT64_MAX;
    ck_kv_is(segment_world_reopen(&world), KV_CORRUPT);
    world.log.info = truth, world.log.info.digest++; /* seen by the scan that rebuilds */
    ck_kv_is(segment_world_reopen(&world), KV_CORRUPT);
    world.log.info = truth, world.log.info.end_bytes -= KV_COMMIT_BYTES;
    ck_kv_is(segment_world_reopen(&world), KV_CORRUPT);
    world.log.info = truth, world.log.info.number++;
    ck_kv_is(segment_world_reopen(&world), KV_NOTFOUND);
    world.log.info = truth;
    ck_kv(segment_world_reopen(&world));
    segment_world_release(&world);
}
END_TEST

/* Goal: a log is only whole transactions in one chain. Method: logs that break each rule. */
START_TEST(test_segment_rebuild_refuses_broken_logs)
{
    struct segment_world world = {0};
    struct sealed_log *log = &world.log;

    fixture_init(&world.fixture);
    sealed_log_begin(log, &world.fixture, NUMBER);
    sealed_log_put_keys(log, KEYS_COUNTER, 10);
    sealed_log_commit(log);
    switch (_i) {
    case 0: /* a transaction without its COMMIT */
        sealed_log_put(log, kv_slice_text("k"), kv_slice_text("r"));
        log->open_count = 0;
        break;
    case 1: /* one that does not continue the chain */
        log->records_digest++;
        sealed_log_put(log, kv_slice_text("k"), kv_slice_text("r"));
        break;
    case 2: /* END in the middle */
        sealed_log_end(log);
        sealed_log_put(log, kv_slice_text("k"), kv_slice_text("r"));
        break;
    case 3: /* an END of something else */
        log->digest++;
        sealed_log_end(log);
        log->digest--;
        break;
    default: /* zeros */
        memset(kv_buffer_reserve(&log->bytes, 200), 0, 200);
        log->bytes.size += 200;
        break;
    }
    sealed_log_finish(log, &world.fixture);
    ck_kv_is(segment_world_reopen(&world), KV_CORRUPT);
    ck_assert_ptr_nonnull(strstr(kv_message(), "segment_000000000003.db"));
    ck_assert_ptr_nonnull(strstr(kv_message(), "offset"));
    segment_world_release(&world);
}
END_TEST

/* Goal: a record of a later version is reported as such by every reader. */
START_TEST(test_segment_reports_newer_records)
{
    struct segment_world world;
    struct write *write;
    uint8_t *record;

    segment_world_init(&world, KEYS_COUNTER, 10);
    segment_world_index(&world);
    write = world.log.newest[5];
    record = world.log.bytes.data + write->offset_bytes;
    record[4] = 7; /* a kind to come */
    kv_store_u32(record, kv_checksum(record + 4, write->size_bytes - 4,
                                     world.log.info.salt ^ write->offset_bytes));
    ck_assert(kv_memfs_write_file(world.fixture.fs, fixture_data_path(NUMBER),
                                  kv_buffer_slice(&world.log.bytes)));
    ck_kv(segment_world_reopen(&world));
    ck_kv_is(get(&world, write->key), KV_NEWER);
    ck_kv_is(iterate(&world, NULL, KV_FORWARD, SIZE_MAX), KV_NEWER);
    ck_assert(kv_memfs_delete(world.fixture.fs, fixture_index_path(NUMBER)));
    ck_kv_is(segment_world_reopen(&world), KV_NEWER);
    segment_world_release(&world);
}
END_TEST

/* Goal: every call that fails is reported, with nothing left over. */
START_TEST(test_segment_open_reports_every_failure)
{
    struct segment_world world;
    uint64_t faults = 0;
    char *names;

    segment_world_init(&world, KEYS_COUNTER, 50);
    for (uint64_t nth = 1;; nth++) {
        kv_memfs_fail(world.fixture.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_ONCE);
        enum kv_status st = segment_world_reopen(&world);
        bool injected = kv_memfs_fault_count(world.fixture.fs) > faults;
        faults = kv_memfs_fault_count(world.fixture.fs);
        kv_memfs_heal(world.fixture.fs);
        if (!injected) {
            ck_kv(st);
            break;
        }
        ck_kv_is(st, KV_IOERR);
        ck_assert_ptr_null(world.segment);
        names = kv_memfs_list(world.fixture.fs, FIXTURE_DIRECTORY);
        ck_assert_str_eq(names, "segment_000000000003.db\n");
        free(names);
    }
    ck_assert_uint_ge(faults, 10);
    segment_world_release(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segment");
    TCase *answers = tcase_create("answers"), *index = tcase_create("index"),
          *data = tcase_create("data");

    tcase_set_timeout(index, 60);
    tcase_set_timeout(data, 60);
    tcase_add_loop_test(answers, test_segment_answers_all_questions, 0,
                        KEYS_SHAPE_COUNT * COUNT_COUNT);
    tcase_add_test(answers, test_segment_may_contain);
    tcase_add_test(answers, test_segment_iter_is_reusable);
    tcase_add_loop_test(answers, test_segment_empty_and_ended_logs, 0, 2);
    tcase_add_loop_test(index, test_segment_rebuilds_a_missing_index, 0,
                        KEYS_SHAPE_COUNT * COUNT_COUNT);
    tcase_add_loop_test(index, test_segment_rebuilds_a_foreign_index, 0, 5);
    tcase_add_test(index, test_segment_heals_damage_all_over_the_index);
    tcase_add_test(index, test_segment_heals_once);
    tcase_add_loop_test(index, test_segment_iter_heals_on_the_way, 0, 2);
    tcase_add_test(index, test_segment_heals_without_writing_on_a_readonly_place);
    tcase_add_test(index, test_segment_heals_under_many_readers);
    tcase_add_loop_test(index, test_segment_iter_reports_a_wrong_order, 0, 2);
    tcase_add_loop_test(index, test_segment_survives_lying_offsets, 0, 4);
    tcase_add_test(data, test_segment_open_refuses_every_truncation);
    tcase_add_test(data, test_segment_notices_every_bit_flip_of_the_data);
    tcase_add_test(data, test_segment_open_refuses_other_files);
    tcase_add_loop_test(data, test_segment_rebuild_refuses_broken_logs, 0, 5);
    tcase_add_test(data, test_segment_reports_newer_records);
    tcase_add_test(data, test_segment_open_reports_every_failure);
    suite_add_tcase(suite, answers);
    suite_add_tcase(suite, index);
    suite_add_tcase(suite, data);
    return kv_run_suite(suite);
}
