/*
 * The file behind a log: creating, opening, growing, trimming, and reading
 * what was published. What counts after a crash: test_log_scan.c.
 */
#include "hash.h"
#include "log_builder.h"
#include "runner.h"

static struct fixture fixture;

static void setup(void)
{
    fixture_init(&fixture);
}

static void teardown(void)
{
    fixture_release(&fixture);
}

static struct kv_header header_of(uint64_t number)
{
    struct kv_header header = {.role = KV_ROLE_LOG,
                               .number = number,
                               .salt = number * 77,
                               .base_seq = 5,
                               .log = {.base_lsn = number << 20}};

    memcpy(header.uuid, fixture.place.uuid, KV_UUID_BYTES);
    return header;
}

static uint64_t hash_of(struct kv_slice key)
{
    return kv_hash(key, fixture.place.hash_seed);
}

/* ---- Creating and opening */

START_TEST(test_log_create_and_open)
{
    struct kv_header header = header_of(3);
    struct kv_log *log, *again;

    ck_kv(kv_log_create(&fixture.place, &header, false, &log));
    ck_assert_uint_eq(log->tail.end_bytes, KV_HEADER_BYTES);
    ck_assert_uint_eq(log->tail.seq, 5);
    ck_assert_uint_eq(kv_memfs_size(fixture.fs, fixture_data_path(3)), KV_HEADER_BYTES);
    ck_kv(kv_log_open(&fixture.place, 3, header.salt, &again));
    ck_assert_mem_eq(&again->header, &log->header, sizeof(again->header));
    ck_assert_uint_eq(again->header.role, KV_ROLE_LOG);
    ck_assert_uint_eq(again->header.log.record_limit, KV_LOG_RECORD_LIMIT);
    ck_assert_uint_eq(again->tail.end_bytes, KV_HEADER_BYTES);
    kv_log_unref(again);
    kv_log_unref(log);
    kv_log_unref(NULL);
}
END_TEST

START_TEST(test_log_lsn_and_offset)
{
    struct kv_log *log = live_log_new(&fixture, 3, 0);

    ck_assert_uint_eq(kv_log_lsn(log, KV_HEADER_BYTES), 3 << 20);
    ck_assert_uint_eq(kv_log_offset(log, (3 << 20) + 17), KV_HEADER_BYTES + 17);
    ck_assert_uint_eq(kv_log_lsn(log, KV_SEGMENT_MAX_BYTES),
                      (uint64_t)(3 << 20) + KV_SEGMENT_MAX_BYTES - KV_HEADER_BYTES);
    kv_log_unref(log);
}
END_TEST

/* A log whose header is to come is no log yet, whatever is in it. */
START_TEST(test_log_deferred_header)
{
    struct kv_header header = header_of(3);
    struct kv_log *log, *again;

    ck_kv(kv_log_create(&fixture.place, &header, true, &log));
    live_log_commit(live_log_begin(log), 1);
    ck_kv_is(kv_log_open(&fixture.place, 3, header.salt, &again), KV_CORRUPT);
    ck_kv(kv_log_write_header(log));
    ck_kv(kv_log_open(&fixture.place, 3, header.salt, &again));
    kv_log_unref(again);
    kv_log_unref(log);
}
END_TEST

/* A number is never used twice: what has the name stays as it is. */
START_TEST(test_log_create_over_a_file)
{
    struct kv_header header = header_of(3);
    struct kv_log *log;
    uint8_t *bytes;
    size_t size;

    ck_assert(kv_memfs_write_file(fixture.fs, fixture_data_path(3), kv_slice_text("precious")));
    ck_kv_is(kv_log_create(&fixture.place, &header, false, &log), KV_EXISTS);
    ck_assert_ptr_null(log);
    bytes = kv_memfs_read_file(fixture.fs, fixture_data_path(3), &size);
    ck_assert_str_eq((const char *)bytes, "precious");
    free(bytes);
}
END_TEST

/* Goal: a creation that fails leaves no file. Method: fail each of its calls. */
START_TEST(test_log_create_fails_at_every_call)
{
    struct kv_header header = header_of(3);
    struct kv_log *log = NULL;
    uint64_t nth = 1;

    for (; !log; nth++) {
        enum kv_status st;

        kv_memfs_fail(fixture.fs, KV_MEMFS_ANY, nth, nth % 2 ? KV_FULL : KV_IOERR, KV_MEMFS_ONCE);
        st = kv_log_create(&fixture.place, &header, false, &log);
        kv_memfs_heal(fixture.fs);
        ck_assert_int_eq(st, log ? KV_OK : nth % 2 ? KV_FULL : KV_IOERR);
        ck_assert(log || kv_memfs_size(fixture.fs, fixture_data_path(3)) == UINT64_MAX);
    }
    ck_assert_uint_gt(nth, 4);
    kv_log_unref(log);
}
END_TEST

START_TEST(test_log_open_fails_at_every_call)
{
    struct kv_log *log = live_log_new(&fixture, 3, 0), *again = NULL;
    uint64_t nth = 1;

    for (; !again; nth++) {
        enum kv_status st;

        kv_memfs_fail(fixture.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_ONCE);
        st = kv_log_open(&fixture.place, 3, log->header.salt, &again);
        kv_memfs_heal(fixture.fs);
        ck_assert_int_eq(st, again ? KV_OK : KV_IOERR);
    }
    ck_assert_uint_gt(nth, 3);
    kv_log_unref(again);
    kv_log_unref(log);
}
END_TEST

START_TEST(test_log_open_a_missing_log)
{
    struct kv_log *log;

    ck_kv_is(kv_log_open(&fixture.place, 3, 1, &log), KV_NOTFOUND);
    ck_assert_ptr_null(log);
    ck_assert_ptr_nonnull(strstr(kv_message(), fixture_data_path(3)));
}
END_TEST

/* A read-only store's log can be read. */
START_TEST(test_log_open_readonly)
{
    struct kv_log *log = live_log_new(&fixture, 3, 0), *again;
    struct kv_write_set *set = live_log_begin(log);
    struct kv_slice key = kv_slice_text("key");
    struct kv_log_scan scan;
    struct kv_entry entry;

    live_log_put(set, key, kv_slice_text("row"));
    live_log_commit(set, 1);
    kv_memfs_set_readonly(fixture.fs, true);
    fixture.place.readonly = true;
    again = live_log_reopen(log, &scan);
    ck_kv(kv_log_get(again, hash_of(key), key, again->tail.end_bytes, &entry));
    ck_assert_uint_eq(entry.row.size, 3);
    kv_log_unref(again);
    kv_log_unref(log);
}
END_TEST

/* ---- Growing */

static void write_bytes(struct kv_log *log, uint64_t offset, size_t size)
{
    uint8_t *bytes = malloc(size);

    memset(bytes, 'w', size);
    ck_kv_fast(kv_log_write(log, offset, bytes, size));
    free(bytes);
}

/* Space is there before bytes are written, in few and growing steps. */
START_TEST(test_log_allocates_ahead)
{
    enum { PIECE = 100 * 1000, PIECES = 900 };
    struct kv_log *log = live_log_new(&fixture, 3, 0);
    uint64_t end = KV_HEADER_BYTES, calls;

    write_bytes(log, end, 1);
    ck_assert_uint_eq(log->allocated_bytes, KV_HEADER_BYTES + 256 * 1024);
    calls = kv_memfs_calls(fixture.fs, KV_MEMFS_ALLOCATE);
    for (int i = 0; i < PIECES; i++, end += PIECE) {
        uint64_t before = log->allocated_bytes;

        write_bytes(log, end, PIECE);
        if (log->allocated_bytes - before > 16 * 1048576 || log->allocated_bytes < end + PIECE ||
            kv_memfs_size(fixture.fs, fixture_data_path(3)) != log->allocated_bytes)
            ck_abort_msg("%llu allocated", (unsigned long long)log->allocated_bytes);
    }
    ck_assert_uint_lt(kv_memfs_calls(fixture.fs, KV_MEMFS_ALLOCATE) - calls, 15);
    ck_assert_uint_gt(kv_memfs_calls(fixture.fs, KV_MEMFS_WRITE_BACK), 15);
    kv_log_unref(log);
}
END_TEST

/* One write larger than any step gets what it needs. */
START_TEST(test_log_allocates_for_a_large_write)
{
    struct kv_log *log = live_log_new(&fixture, 3, 0);

    write_bytes(log, KV_HEADER_BYTES, 40 * 1048576);
    ck_assert_uint_eq(log->allocated_bytes, KV_HEADER_BYTES + 40 * 1048576);
    kv_log_unref(log);
}
END_TEST

/*
 * Goal: a full disk is noticed before anything is written, and what fits fits.
 * Method: leave less room than a step, then less than the write.
 */
START_TEST(test_log_full_disk)
{
    struct kv_log *log = live_log_new(&fixture, 3, 0);
    uint64_t size = kv_memfs_size(fixture.fs, fixture_data_path(3));
    uint8_t bytes[1000] = {1}, *file;
    size_t file_size;

    kv_memfs_set_space(fixture.fs, size + 1500);
    ck_kv(kv_log_write(log, KV_HEADER_BYTES, bytes, sizeof(bytes))); /* less than a step is left */
    ck_assert_uint_eq(log->allocated_bytes, KV_HEADER_BYTES + sizeof(bytes));
    ck_kv_is(kv_log_write(log, KV_HEADER_BYTES + 1000, bytes, sizeof(bytes)), KV_FULL);
    ck_kv_is(kv_log_write(log, KV_HEADER_BYTES + 999, bytes, sizeof(bytes)), KV_FULL);
    file = kv_memfs_read_file(fixture.fs, fixture_data_path(3), &file_size);
    ck_assert_uint_eq(file_size, KV_HEADER_BYTES + sizeof(bytes));
    ck_assert_mem_eq(file + KV_HEADER_BYTES, bytes, sizeof(bytes));
    free(file);
    kv_memfs_set_space(fixture.fs, UINT64_MAX);
    ck_kv(kv_log_write(log, KV_HEADER_BYTES + 1000, bytes, sizeof(bytes)));
    kv_log_unref(log);
}
END_TEST

/* What was synced is there after the power went. */
START_TEST(test_log_sync)
{
    struct kv_log *log = live_log_new(&fixture, 3, 0);
    uint8_t *file;
    size_t size;

    kv_memfs_settle(fixture.fs);
    write_bytes(log, KV_HEADER_BYTES, 5000);
    ck_kv(kv_log_sync(log));
    kv_memfs_crash(fixture.fs, KV_MEMFS_DROP, 1);
    file = kv_memfs_read_file(fixture.fs, fixture_data_path(3), &size);
    ck_assert_uint_ge(size, KV_HEADER_BYTES + 5000);
    ck_assert_int_eq(file[KV_HEADER_BYTES + 4999], 'w');
    free(file);
    kv_log_unref(log);
}
END_TEST

START_TEST(test_log_trim)
{
    struct kv_log *log = live_log_new(&fixture, 3, 0);
    struct kv_write_set *set = live_log_begin(log);

    live_log_put(set, kv_slice_text("key"), kv_slice_text("row"));
    live_log_commit(set, 1);
    ck_assert_uint_gt(log->allocated_bytes, log->tail.end_bytes + 1000);
    kv_log_trim_behind(log, log->tail.end_bytes + 1000);
    ck_assert_uint_eq(kv_memfs_size(fixture.fs, fixture_data_path(3)), log->tail.end_bytes + 1000);

    kv_memfs_fail(fixture.fs, KV_MEMFS_TRUNCATE, 1, KV_IOERR, KV_MEMFS_ONCE);
    kv_log_trim(log); /* of no consequence */
    ck_assert_uint_eq(log->allocated_bytes, log->tail.end_bytes + 1000);
    kv_log_trim(log);
    ck_assert_uint_eq(kv_memfs_size(fixture.fs, fixture_data_path(3)), log->tail.end_bytes);
    kv_log_trim_behind(log, log->tail.end_bytes + 500); /* never makes it longer */
    ck_assert_uint_eq(log->allocated_bytes, log->tail.end_bytes);

    set = live_log_begin(log); /* and it grows again */
    live_log_put(set, kv_slice_text("key"), kv_slice_text("row"));
    live_log_commit(set, 1);
    ck_assert_uint_ge(log->allocated_bytes, log->tail.end_bytes);
    kv_log_unref(log);
}
END_TEST

/* ---- Reading */

/* Twenty transactions over few keys; `ends[i]` is where the i-th ended. */
enum { TRANSACTIONS = 20, KEYS = 6 };

static struct kv_slice key_number(uint64_t i)
{
    static const char *const keys[KEYS] = {"a", "aa", "ab", "b", "ba", "longer than a prefix"};

    return kv_slice_text(keys[i % KEYS]);
}

struct history {
    struct kv_log *log;
    uint32_t ends[TRANSACTIONS + 1];
    int states[TRANSACTIONS + 1][KEYS]; /* size of the row; -1: deleted; -2: never written */
};

static void history_make(struct history *history, uint64_t seed)
{
    history->log = live_log_new(&fixture, 3, 100);
    history->ends[0] = KV_HEADER_BYTES;
    for (int k = 0; k < KEYS; k++)
        history->states[0][k] = -2;
    for (int t = 1; t <= TRANSACTIONS; t++) {
        struct kv_write_set *set = live_log_begin(history->log);
        uint8_t row[TRANSACTIONS + 1];

        memset(row, t, sizeof(row));
        memcpy(history->states[t], history->states[t - 1], sizeof(history->states[t]));
        for (int i = 0; i < 3; i++) {
            uint64_t k = fixture_random(&seed) % KEYS;
            bool deleted = fixture_random(&seed) % 3 == 0;

            if (deleted)
                live_log_delete(set, key_number(k));
            else
                live_log_put(set, key_number(k), kv_slice_of(row, (size_t)t));
            history->states[t][k] = deleted ? -1 : t;
        }
        live_log_commit(set, (uint64_t)t);
        history->ends[t] = history->log->tail.end_bytes;
    }
}

static void check_entry(const struct kv_entry *entry, struct kv_slice key, int state)
{
    ck_assert(kv_slice_equal(entry->key, key));
    ck_assert(entry->deleted == (state == -1));
    ck_assert_uint_eq(entry->row.size, state > 0 ? (size_t)state : 0);
    ck_assert(state <= 0 || entry->row.data[0] == state);
    ck_assert(state <= 0 || entry->seq == 100 + (uint64_t)state);
    ck_assert(!entry->own);
}

START_TEST(test_log_get_at_every_bound)
{
    struct history history;

    history_make(&history, 1);
    for (int t = 0; t <= TRANSACTIONS; t++) {
        for (uint64_t k = 0; k < KEYS; k++) {
            struct kv_slice key = key_number(k);
            struct kv_entry entry;
            enum kv_status st = kv_log_get(history.log, hash_of(key), key, history.ends[t], &entry);

            ck_assert_int_eq(st, history.states[t][k] == -2 ? KV_DONE : KV_OK);
            if (st == KV_OK)
                check_entry(&entry, key, history.states[t][k]);
        }
    }
    kv_log_unref(history.log);
}
END_TEST

/* Sources in the order given: the first that has a key wins. KEYS items; -2: in none. */
static void collect(struct kv_iter **its, size_t count, struct kv_entry found[KEYS], bool has[KEYS])
{
    memset(has, 0, KEYS * sizeof(has[0]));
    for (size_t i = 0; i < count; i++) {
        struct kv_slice last = {0};
        struct kv_entry entry;

        ck_kv(kv_iter_seek(its[i], NULL, KV_FORWARD));
        while (kv_iter_next(its[i], &entry) == KV_OK) {
            ck_assert(kv_slice_compare(last, entry.key) < 0);
            last = entry.key;
            for (uint64_t k = 0; k < KEYS; k++) {
                if (!kv_slice_equal(key_number(k), entry.key) || has[k])
                    continue;
                found[k] = entry;
                has[k] = true;
            }
        }
    }
}

/* Bounds in any order: what was sorted for a later one must not show at an earlier one. */
START_TEST(test_log_iters_at_every_bound)
{
    struct history history;

    history_make(&history, (uint64_t)_i);
    for (int i = 0; i <= 3 * TRANSACTIONS; i++) {
        int t = i * 13 % (TRANSACTIONS + 1);
        struct kv_iter *its[KV_BATCH_COUNT_MAX];
        struct kv_entry found[KEYS];
        bool has[KEYS];
        size_t count;

        ck_kv(kv_log_iters(history.log, history.ends[t], its, &count));
        collect(its, count, found, has);
        for (uint64_t k = 0; k < KEYS; k++) {
            ck_assert(has[k] == (history.states[t][k] != -2));
            if (has[k])
                check_entry(&found[k], key_number(k), history.states[t][k]);
        }
        while (count > 0)
            kv_iter_free(its[--count]);
    }
    kv_log_unref(history.log);
}
END_TEST

/* Different keys of one hash are told apart by the key. */
START_TEST(test_log_get_among_equal_hashes)
{
    struct kv_log *log = live_log_new(&fixture, 3, 0);
    struct kv_write_set *set = live_log_begin(log);
    struct kv_slice other = kv_slice_text("not written");
    struct kv_entry entry;

    for (uint64_t k = 0; k < KEYS; k++)
        ck_kv(kv_write_set_add(set, KV_PUT, 42, key_number(k), key_number(k)));
    live_log_commit(set, 1);
    for (uint64_t k = 0; k < KEYS; k++) {
        ck_kv(kv_log_get(log, 42, key_number(k), log->tail.end_bytes, &entry));
        ck_assert(kv_slice_equal(entry.row, key_number(k)));
    }
    ck_kv_is(kv_log_get(log, 42, other, log->tail.end_bytes, &entry), KV_DONE);
    ck_kv_is(kv_log_get(log, 43, other, log->tail.end_bytes, &entry), KV_DONE);
    kv_log_unref(log);
}
END_TEST

/* Goal: damage behind the back of an open log is never handed out. */
START_TEST(test_log_reads_verify)
{
    struct kv_log *log = live_log_new(&fixture, 3, 0);
    struct kv_write_set *set = live_log_begin(log);
    struct kv_slice key = kv_slice_text("key");
    struct kv_iter *its[KV_BATCH_COUNT_MAX];
    struct kv_entry entry;
    size_t count, size;

    live_log_put(set, key, kv_slice_text("row"));
    size = set->end_bytes - KV_HEADER_BYTES;
    live_log_commit(set, 1);
    for (size_t bit = 0; bit < size * 8; bit++) {
        uint64_t at = KV_HEADER_BYTES + bit / 8;
        enum kv_status st;

        kv_memfs_flip_bit(fixture.fs, fixture_data_path(3), at, bit % 8);
        ck_kv_is(kv_log_get(log, hash_of(key), key, log->tail.end_bytes, &entry), KV_CORRUPT);
        ck_assert_ptr_nonnull(strstr(kv_message(), fixture_data_path(3)));
        ck_assert_ptr_nonnull(strstr(kv_message(), "offset 4096"));
        ck_kv(kv_log_iters(log, log->tail.end_bytes, its, &count));
        ck_assert_uint_eq(count, 1);
        st = kv_iter_next(its[0], &entry);
        ck_assert_int_eq(st, KV_CORRUPT);
        kv_iter_free(its[0]);
        kv_memfs_flip_bit(fixture.fs, fixture_data_path(3), at, bit % 8);
    }
    ck_kv(kv_log_get(log, hash_of(key), key, log->tail.end_bytes, &entry));
    kv_log_unref(log);
}
END_TEST

/* An iterator keeps its log, and shows nothing that was published after it was opened. */
START_TEST(test_log_iterators_hold_the_log)
{
    struct kv_log *log = live_log_new(&fixture, 3, 0);
    struct kv_write_set *set = live_log_begin(log);
    struct kv_iter *its[KV_BATCH_COUNT_MAX];
    struct kv_entry entry;
    size_t count;

    live_log_put(set, kv_slice_text("a"), kv_slice_text("before"));
    live_log_commit(set, 1);
    ck_kv(kv_log_iters(log, log->tail.end_bytes, its, &count));
    ck_assert_uint_eq(count, 1);
    set = live_log_begin(log);
    live_log_put(set, kv_slice_text("a"), kv_slice_text("after"));
    live_log_put(set, kv_slice_text("b"), kv_slice_text("after"));
    live_log_commit(set, 1);
    kv_log_unref(log);
    ck_kv(kv_iter_seek(its[0], NULL, KV_FORWARD));
    ck_kv(kv_iter_next(its[0], &entry));
    ck_assert(kv_slice_equal(entry.row, kv_slice_text("before")));
    ck_kv_is(kv_iter_next(its[0], &entry), KV_DONE);
    kv_iter_free(its[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *file = tcase_create("file");
    TCase *reading = tcase_create("reading");

    tcase_add_checked_fixture(file, setup, teardown);
    tcase_add_test(file, test_log_create_and_open);
    tcase_add_test(file, test_log_lsn_and_offset);
    tcase_add_test(file, test_log_deferred_header);
    tcase_add_test(file, test_log_create_over_a_file);
    tcase_add_test(file, test_log_create_fails_at_every_call);
    tcase_add_test(file, test_log_open_fails_at_every_call);
    tcase_add_test(file, test_log_open_a_missing_log);
    tcase_add_test(file, test_log_open_readonly);
    tcase_add_test(file, test_log_allocates_ahead);
    tcase_add_test(file, test_log_allocates_for_a_large_write);
    tcase_add_test(file, test_log_full_disk);
    tcase_add_test(file, test_log_sync);
    tcase_add_test(file, test_log_trim);
    suite_add_tcase(suite, file);

    tcase_add_checked_fixture(reading, setup, teardown);
    tcase_add_test(reading, test_log_get_at_every_bound);
    tcase_add_loop_test(reading, test_log_iters_at_every_bound, 0, 5);
    tcase_add_test(reading, test_log_get_among_equal_hashes);
    tcase_add_test(reading, test_log_reads_verify);
    tcase_add_test(reading, test_log_iterators_hold_the_log);
    suite_add_tcase(suite, reading);
    return kv_run_suite(suite);
}
