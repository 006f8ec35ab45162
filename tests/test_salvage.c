/*
 * What counts in a damaged log: whole transactions before the damage and behind it, and of
 * a damaged one what hangs on to its ends; never what was torn, aborted or exchanged.
 */
#include "salvage.h"

#include <stdio.h>
#include <stdlib.h>

#include "log_builder.h"
#include "names.h"
#include "runner.h"

enum { TRANSACTIONS = 3, RECORDS = 3, ALL = TRANSACTIONS * RECORDS, PAGE_BYTES = 4096 };

/* Three transactions of three records; all but the last are known to be durable. */
static struct fixture fixture;
static struct log_builder built;
static struct kv_salvage salvage;
static uint32_t records[ALL + 1]; /* offsets; the last is where the file ends */
static uint32_t commits[TRANSACTIONS];
static struct kv_log_tail tails[TRANSACTIONS + 1];

static uint32_t offset(void)
{
    return (uint32_t)built.bytes.size;
}

static void setup(void)
{
    char key[8];

    fixture_init(&fixture);
    log_builder_begin(&built);
    for (unsigned t = 0; t < TRANSACTIONS; t++) {
        tails[t] = built.tail;
        built.durable_lsn = log_builder_lsn(built.tail.end_bytes);
        for (unsigned i = 0; i < RECORDS; i++) {
            records[t * RECORDS + i] = offset();
            snprintf(key, sizeof(key), "%u", 9 - (t * RECORDS + i));
            log_builder_add(&built, i == 1 ? KV_DELETE : KV_PUT, key, i == 1 ? 0 : 10 + t);
        }
        commits[t] = offset();
        log_builder_commit(&built);
    }
    tails[TRANSACTIONS] = built.tail;
    records[ALL] = offset();
}

static void teardown(void)
{
    kv_salvage_release(&salvage);
    kv_buffer_release(&built.bytes);
    fixture_release(&fixture);
}

static void load(void)
{
    char name[KV_NAME_BYTES];

    kv_salvage_release(&salvage);
    ck_assert(kv_memfs_write_file(fixture.fs, fixture_data_path(BUILT_NUMBER),
                                  kv_buffer_slice(&built.bytes)));
    kv_name_segment(name, BUILT_NUMBER);
    ck_kv(kv_salvage_load(&fixture.place, name, &salvage));
}

static void read_log(void)
{
    struct kv_salvage_end nothing = {0};

    load();
    ck_assert(salvage.has_header);
    ck_kv(kv_salvage_log(&salvage, &nothing));
}

/* Just these records count: bit i stands for record i. */
static void expect_records(unsigned expected)
{
    unsigned found = 0;

    for (size_t i = 0; i < salvage.count; i++)
        for (unsigned r = 0; r < ALL; r++)
            found |= (unsigned)(salvage.offsets[i] == records[r]) << r;
    ck_assert_msg(found == expected, "records %03o, not %03o", found, expected);
    ck_assert_uint_eq(salvage.count, (unsigned)__builtin_popcount(expected));
    ck_assert_uint_eq(salvage.record_count, salvage.count);
}

static void expect_gap(size_t i, uint32_t from, uint32_t to, uint64_t seq)
{
    ck_assert_uint_lt(i, salvage.gap_count);
    ck_assert_uint_eq(salvage.gaps[i].from, from);
    ck_assert_uint_eq(salvage.gaps[i].to, to);
    ck_assert_uint_eq(salvage.gaps[i].seq, seq);
}

static void expect_tail(const struct kv_log_tail *tail)
{
    ck_assert_uint_eq(salvage.tail.end_bytes, tail->end_bytes);
    ck_assert_uint_eq(salvage.tail.seq, tail->seq);
    ck_assert_uint_eq(salvage.tail.digest, tail->digest);
    ck_assert_uint_eq(salvage.tail.max_time_ms, tail->max_time_ms);
}

static void damage(size_t at)
{
    built.bytes.data[at] ^= 0x10;
}

START_TEST(test_salvage_of_a_sound_log)
{
    read_log();
    expect_records(0777);
    ck_assert_uint_eq(salvage.gap_count, 0);
    ck_assert_uint_eq(salvage.bad_bytes, 0);
    expect_tail(&tails[TRANSACTIONS]);
}
END_TEST

/* Goal: damage to one record costs that record alone, wherever in its transaction it stands. */
START_TEST(test_salvage_of_a_damaged_record)
{
    bool last = _i >= 2 * RECORDS; /* nothing says that the last transaction was whole */
    unsigned t = (unsigned)_i / RECORDS;

    damage(records[_i] + 5);
    read_log();
    expect_records(last ? 077 : 0777 & ~(1u << _i));
    if (last) {
        expect_tail(&tails[2]);
        ck_assert_uint_eq(salvage.gap_count, 0);
        return;
    }
    expect_tail(&tails[TRANSACTIONS]);
    ck_assert_uint_eq(salvage.gap_count, 1);
    /* Behind a last record nothing hangs on to the COMMIT: the gap ends there. */
    expect_gap(0, records[_i], _i % RECORDS == 2 ? commits[t] : records[_i + 1],
               BUILT_BASE_SEQ + 1 + t);
}
END_TEST

/* A lost COMMIT costs nothing: what is behind it begins where it ends. */
START_TEST(test_salvage_of_a_damaged_commit)
{
    damage(commits[_i] + 20);
    read_log();
    if (_i == 2) { /* the torn tail */
        expect_records(077);
        expect_tail(&tails[2]);
        return;
    }
    expect_records(0777);
    expect_tail(&tails[TRANSACTIONS]);
    ck_assert_uint_eq(salvage.gap_count, 1);
    expect_gap(0, commits[_i], commits[_i] + KV_COMMIT_BYTES, 0);
}
END_TEST

/* Goal: a record between two damaged places hangs on to neither end, and is left out. */
START_TEST(test_salvage_of_an_island)
{
    damage(records[0] + 5);
    damage(records[2] + 5);
    read_log();
    expect_records(0770);
    ck_assert_uint_eq(salvage.gap_count, 1);
    expect_gap(0, records[0], commits[0], BUILT_BASE_SEQ + 1);
}
END_TEST

/* Records that are valid, but not those that were committed, do not count. */
START_TEST(test_salvage_of_exchanged_records)
{
    log_builder_reseal(&built, records[0], records[1] - records[0], records[1] - records[0] - 1,
                       'X');
    read_log();
    expect_records(0770);
    ck_assert_uint_eq(salvage.gap_count, 1);
    expect_gap(0, records[0], commits[0], BUILT_BASE_SEQ + 1);
    ck_assert(salvage.gaps[0].contradicts);
}
END_TEST

/* Goal: known to others, the end makes damage of what would be a torn tail. */
START_TEST(test_salvage_to_a_known_end)
{
    struct kv_salvage_end end = {.known_lsn = log_builder_lsn(records[ALL]),
                                 .limit_lsn = log_builder_lsn(records[ALL]),
                                 .last_seq = BUILT_BASE_SEQ + TRANSACTIONS};

    damage(records[6] + 5);
    load();
    ck_kv(kv_salvage_log(&salvage, &end));
    expect_records(0677);
    expect_tail(&tails[TRANSACTIONS]);

    damage(commits[2] + 20); /* and its COMMIT */
    load();
    ck_kv(kv_salvage_log(&salvage, &end));
    expect_records(0677);
    ck_assert_uint_eq(salvage.tail.end_bytes, records[ALL]);
    ck_assert_uint_eq(salvage.tail.seq, BUILT_BASE_SEQ + TRANSACTIONS);
    ck_assert_uint_eq(salvage.tail.digest, 0); /* nobody knows it */
}
END_TEST

/* END says what was durable, as a COMMIT does. */
START_TEST(test_salvage_believes_an_end)
{
    struct kv_end end = log_builder_next_end(&built);

    log_builder_append_end(&built, &end);
    damage(records[7] + 5);
    read_log();
    expect_records(0577);
    expect_tail(&tails[TRANSACTIONS]);
}
END_TEST

/* Goal: a transaction behind the limit that others have set does not count, sound as it is. */
START_TEST(test_salvage_stops_at_a_limit)
{
    struct kv_salvage_end end = {.limit_lsn = log_builder_lsn(records[RECORDS])};

    load();
    ck_kv(kv_salvage_log(&salvage, &end));
    expect_records(007);
    expect_tail(&tails[1]);
}
END_TEST

/* A header that was put together does not know the digest before it. */
START_TEST(test_salvage_that_begins_anew)
{
    struct kv_salvage_end end = {.begins_anew = true}, nothing = {0};

    built.header.log.previous_digest ^= 1;
    log_builder_write_header(&built);
    load();
    ck_kv(kv_salvage_log(&salvage, &end));
    expect_records(0777);
    load();
    ck_kv(kv_salvage_log(&salvage, &nothing));
    expect_records(0770); /* not that transaction, of a log that should not be this one */
    ck_assert(salvage.gaps[0].contradicts);
}
END_TEST

/* ---- What cannot be, or is not known yet */

enum { NEWER_RECORD = 9, NEWER_FLAG = 0x80 };

/* Change what kind of thing stands at an offset into one that later versions may write. */
static void make_newer(uint32_t at, uint32_t size)
{
    uint8_t kind = built.bytes.data[at + 4];

    log_builder_reseal(&built, at, size, 4, kind == KV_PUT ? NEWER_RECORD : kind | NEWER_FLAG);
}

/* Goal: what a newer version has written is no damage: nothing of it is given up. */
START_TEST(test_salvage_refuses_what_is_newer)
{
    struct kv_salvage_end nothing = {0};

    if (_i < TRANSACTIONS)
        make_newer(records[_i * RECORDS], records[_i * RECORDS + 1] - records[_i * RECORDS]);
    else
        make_newer(commits[_i - TRANSACTIONS], KV_COMMIT_BYTES);
    load();
    ck_kv_is(kv_salvage_log(&salvage, &nothing), KV_NEWER);
}
END_TEST

START_TEST(test_salvage_does_not_believe_a_newer_end)
{
    struct kv_end end = log_builder_next_end(&built);
    uint32_t at = offset();

    log_builder_append_end(&built, &end);
    make_newer(at, KV_END_BYTES);
    damage(records[7] + 5);
    read_log();
    expect_records(077);
    expect_tail(&tails[2]);
}
END_TEST

/* Goal: two COMMITs lost in a row cost nothing, since each record tells its transaction. */
START_TEST(test_salvage_of_two_damaged_commits)
{
    damage(commits[0] + 20);
    damage(commits[1] + 20);
    read_log();
    expect_records(0777);
    ck_assert_uint_eq(salvage.gap_count, 2);
    expect_gap(0, commits[0], commits[0] + KV_COMMIT_BYTES, 0);
    expect_gap(1, commits[1], commits[1] + KV_COMMIT_BYTES, 0);
}
END_TEST

/* Goal: behind what was durable, only whole transactions count, also behind damage. */
START_TEST(test_salvage_of_damage_before_a_torn_transaction)
{
    damage(commits[1] + 20);
    damage(records[7] + 5);
    read_log();
    expect_records(077);
    ck_assert_uint_eq(salvage.tail.end_bytes, records[6]);
    expect_gap(0, commits[1], commits[1] + KV_COMMIT_BYTES, 0);
}
END_TEST

/* Goal: behind damage, a record whose head alone is right leads nowhere. */
START_TEST(test_salvage_of_records_in_a_row)
{
    damage(records[0] + 5);
    damage(records[2] - 1); /* the key of records[1] */
    read_log();
    expect_records(0774);
    ck_assert_uint_eq(salvage.gap_count, 1);
    expect_gap(0, records[0], records[2], BUILT_BASE_SEQ + 1);
}
END_TEST

/* Goal: an end that others place within a COMMIT makes a gap of just these bytes. */
START_TEST(test_salvage_to_an_end_within_a_commit)
{
    struct kv_salvage_end end = {.known_lsn = log_builder_lsn(commits[2] + 20)};

    damage(commits[2] + 30);
    load();
    ck_kv(kv_salvage_log(&salvage, &end));
    expect_records(0777);
    ck_assert_uint_eq(salvage.gap_count, 1);
    expect_gap(0, commits[2], commits[2] + 20, BUILT_BASE_SEQ + TRANSACTIONS);
}
END_TEST

/* A fourth transaction of one record, whose COMMIT is as `change` makes it, and durable. */
static void add_changed(void (*change)(struct kv_commit *commit))
{
    struct kv_salvage_end end = {0};
    struct kv_commit commit;

    log_builder_add(&built, KV_PUT, "more", 5);
    commit = log_builder_next_commit(&built);
    change(&commit);
    commit.digest = kv_commit_digest(&commit, built.records_digest);
    log_builder_append_commit(&built, &commit);
    end.known_lsn = log_builder_lsn(offset());
    load();
    ck_kv(kv_salvage_log(&salvage, &end));
}

static void begin_later(struct kv_commit *commit)
{
    commit->begin_lsn += 1 << 20;
}

static void begin_before_the_log(struct kv_commit *commit)
{
    commit->begin_lsn = 5;
}

static void begin_earlier(struct kv_commit *commit)
{
    commit->begin_lsn = log_builder_lsn(records[3]);
}

static void repeat_a_seq(struct kv_commit *commit)
{
    commit->seq--;
}

static void count_more(struct kv_commit *commit)
{
    commit->record_count++;
}

static void be_early(struct kv_commit *commit)
{
    commit->time_ms = 5;
}

/*
 * Goal: a COMMIT, with a right checksum, that says what cannot be vouches for nothing. What is
 * durable stands all the same, and the transactions before it stay.
 */
START_TEST(test_salvage_of_a_commit_that_lies)
{
    static void (*const changes[])(struct kv_commit *) = {begin_later, begin_before_the_log,
                                                          begin_earlier, repeat_a_seq};

    add_changed(changes[_i]);
    ck_assert_uint_eq(salvage.count, ALL + 1);
    ck_assert_uint_eq(salvage.gap_count, 1);
    expect_gap(0, offset() - KV_COMMIT_BYTES, offset(), 0);
}
END_TEST

START_TEST(test_salvage_of_a_commit_of_other_records)
{
    add_changed(count_more);
    ck_assert_uint_eq(salvage.count, ALL);
    ck_assert_uint_eq(salvage.gap_count, 1);
    ck_assert(salvage.gaps[0].contradicts);
}
END_TEST

/* Goal: a transaction that follows in everything but its seq is taken, and told of. */
START_TEST(test_salvage_of_a_seq_left_out)
{
    struct kv_salvage_end end = {0};

    built.tail.seq++;
    log_builder_add(&built, KV_PUT, "more", 5);
    log_builder_commit(&built);
    end.known_lsn = log_builder_lsn(offset());
    load();
    ck_kv(kv_salvage_log(&salvage, &end));
    ck_assert_uint_eq(salvage.count, ALL + 1);
    ck_assert_uint_eq(salvage.gap_count, 1);
    expect_gap(0, records[ALL], records[ALL], 0);
    ck_assert_uint_eq(salvage.tail.seq, BUILT_BASE_SEQ + TRANSACTIONS + 2);
}
END_TEST

START_TEST(test_salvage_finds_the_earliest_time)
{
    add_changed(be_early);
    ck_assert_uint_eq(salvage.count, ALL + 1);
    ck_assert_uint_eq(salvage.gap_count, 0);
    ck_assert_uint_eq(salvage.tail.min_time_ms, 5);
    ck_assert_uint_eq(salvage.tail.max_time_ms, BUILT_TIME_MS + BUILT_BASE_SEQ + 2);
}
END_TEST

/* Goal: many transactions, each second one damaged, cost one record each. */
START_TEST(test_salvage_of_damage_everywhere)
{
    enum { COUNT = 150 };
    struct kv_salvage_end end = {0};

    for (unsigned i = 0; i < COUNT; i++) {
        uint32_t at = offset();

        log_builder_add(&built, KV_PUT, "a", 20);
        log_builder_add(&built, KV_PUT, "b", 20);
        log_builder_commit(&built);
        if (i % 2 == 0)
            damage(at + 5);
    }
    end.known_lsn = log_builder_lsn(offset());
    load();
    ck_kv(kv_salvage_log(&salvage, &end));
    ck_assert_uint_eq(salvage.count, ALL + 2 * COUNT - COUNT / 2);
    ck_assert_uint_eq(salvage.gap_count, COUNT / 2);
    ck_assert_uint_eq(salvage.tail.seq, BUILT_BASE_SEQ + TRANSACTIONS + COUNT);
}
END_TEST

/* ---- The file */

/* Goal: a page that the disk refuses twice is zeros, and is counted; one refused once is read. */
START_TEST(test_salvage_of_bad_pages)
{
    char name[KV_NAME_BYTES];
    bool refused = _i;

    for (int i = 0; i < 3; i++)
        log_builder_add(&built, KV_PUT, "filler", PAGE_BYTES);
    log_builder_commit(&built);
    ck_assert(kv_memfs_write_file(fixture.fs, fixture_data_path(BUILT_NUMBER),
                                  kv_buffer_slice(&built.bytes)));
    kv_name_segment(name, BUILT_NUMBER);
    /* As a whole, then page by page: the second one, and that once more. */
    kv_memfs_fail(fixture.fs, KV_MEMFS_READ, 1, KV_IOERR, KV_MEMFS_ONCE);
    kv_memfs_fail(fixture.fs, KV_MEMFS_READ, 3, KV_IOERR, KV_MEMFS_ONCE);
    if (refused)
        kv_memfs_fail(fixture.fs, KV_MEMFS_READ, 4, KV_IOERR, KV_MEMFS_ONCE);
    ck_kv(kv_salvage_load(&fixture.place, name, &salvage));
    ck_assert_uint_eq(salvage.bad_bytes, refused ? PAGE_BYTES : 0);
    if (refused)
        memset(built.bytes.data + PAGE_BYTES, 0, PAGE_BYTES);
    ck_assert_uint_eq(salvage.size_bytes, built.bytes.size);
    ck_assert_mem_eq(salvage.bytes, built.bytes.data, built.bytes.size);
}
END_TEST

START_TEST(test_salvage_load_fails)
{
    static const enum kv_memfs_call calls[] = {KV_MEMFS_FILE_OPEN, KV_MEMFS_FILE_SIZE,
                                               KV_MEMFS_READ};
    char name[KV_NAME_BYTES];

    load();
    kv_salvage_release(&salvage);
    kv_name_segment(name, BUILT_NUMBER);
    kv_memfs_fail(fixture.fs, calls[_i], 1, KV_NOMEM, KV_MEMFS_ONCE);
    ck_kv_is(kv_salvage_load(&fixture.place, name, &salvage), KV_NOMEM);
    ck_assert_ptr_null(salvage.bytes);
    ck_kv_is(kv_salvage_load(&fixture.place, "nowhere", &salvage), KV_NOTFOUND);
}
END_TEST

/* Nothing, or less than a header, is a file without one. */
START_TEST(test_salvage_of_next_to_nothing)
{
    struct kv_salvage_end nothing = {0};

    built.bytes.size = _i ? 100 : 0;
    load();
    ck_assert(!salvage.has_header);
    ck_kv(kv_salvage_log(&salvage, &nothing));
    expect_records(0);
    ck_kv(kv_salvage_merge(&salvage, UINT64_MAX, 0));
    expect_records(0);
    ck_assert_uint_eq(salvage.gap_count, 0);
}
END_TEST

/* ---- Describing */

/* Goal: of equal keys the newest stays, in key order; totals count what was read. */
START_TEST(test_salvage_describes)
{
    struct kv_segment_info info = {0};

    log_builder_add(&built, KV_PUT, "5", 20); /* over record 4, a tombstone */
    log_builder_add(&built, KV_DELETE, "9", 0);
    log_builder_commit(&built);
    read_log();
    ck_kv(kv_salvage_describe(&salvage, &info));
    ck_assert_uint_eq(info.record_count, ALL + 2);
    ck_assert_uint_eq(info.entry_count, ALL);
    ck_assert_uint_eq(info.tombstone_count, 3); /* 8, 2, and now 9, but 5 no more */
    ck_assert_uint_eq(info.min_seq, BUILT_BASE_SEQ + 1);
    ck_assert_uint_eq(info.max_seq, BUILT_BASE_SEQ + TRANSACTIONS + 1);
    ck_assert(kv_slice_equal(kv_buffer_slice(&info.min_key), kv_slice_text("1")));
    ck_assert(kv_slice_equal(kv_buffer_slice(&info.max_key), kv_slice_text("9")));
    ck_assert_uint_eq(salvage.count, ALL);
    ck_assert_uint_eq(salvage.offsets[4], records[ALL]);     /* "5": the newest */
    ck_assert_uint_eq(salvage.offsets[0], records[ALL - 1]); /* "1" */
    kv_segment_info_release(&info);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("salvage");
    TCase *logs = tcase_create("logs");
    TCase *files = tcase_create("files");

    tcase_add_checked_fixture(logs, setup, teardown);
    tcase_add_test(logs, test_salvage_of_a_sound_log);
    tcase_add_loop_test(logs, test_salvage_of_a_damaged_record, 0, ALL);
    tcase_add_loop_test(logs, test_salvage_of_a_damaged_commit, 0, TRANSACTIONS);
    tcase_add_test(logs, test_salvage_of_an_island);
    tcase_add_test(logs, test_salvage_of_exchanged_records);
    tcase_add_test(logs, test_salvage_to_a_known_end);
    tcase_add_test(logs, test_salvage_believes_an_end);
    tcase_add_test(logs, test_salvage_stops_at_a_limit);
    tcase_add_test(logs, test_salvage_that_begins_anew);
    tcase_add_loop_test(logs, test_salvage_refuses_what_is_newer, 0, 2 * TRANSACTIONS);
    tcase_add_test(logs, test_salvage_does_not_believe_a_newer_end);
    tcase_add_test(logs, test_salvage_of_two_damaged_commits);
    tcase_add_test(logs, test_salvage_of_damage_before_a_torn_transaction);
    tcase_add_test(logs, test_salvage_of_records_in_a_row);
    tcase_add_test(logs, test_salvage_to_an_end_within_a_commit);
    tcase_add_loop_test(logs, test_salvage_of_a_commit_that_lies, 0, 4);
    tcase_add_test(logs, test_salvage_of_a_commit_of_other_records);
    tcase_add_test(logs, test_salvage_of_a_seq_left_out);
    tcase_add_test(logs, test_salvage_finds_the_earliest_time);
    tcase_add_test(logs, test_salvage_of_damage_everywhere);
    suite_add_tcase(suite, logs);

    tcase_add_checked_fixture(files, setup, teardown);
    tcase_add_loop_test(files, test_salvage_of_bad_pages, 0, 2);
    tcase_add_loop_test(files, test_salvage_load_fails, 0, 3);
    tcase_add_loop_test(files, test_salvage_of_next_to_nothing, 0, 2);
    tcase_add_test(files, test_salvage_describes);
    suite_add_tcase(suite, files);
    return kv_run_suite(suite);
}
