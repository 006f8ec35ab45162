/*
 * Which keys a damaged segment may have lost: none that it did lose is missed, by any kind of
 * evidence; and of others only those that the evidence cannot tell from lost ones.
 *
 * Method: a log of one transaction, whose end is known, with keys in ascending order, so that
 * it can be taken for a merge output as well.
 */
#include "loss.h"

#include <stdio.h>
#include <stdlib.h>

#include "hash.h"
#include "names.h"
#include "runner.h"
#include "segment_fixture.h"

enum { NUMBER = 3 };

static struct fixture fixture;
static struct sealed_log written;
static struct kv_salvage salvage;
static struct kv_index *evidence;
static struct kv_loss loss;

static void setup(void)
{
    fixture_init(&fixture);
    sealed_log_begin(&written, &fixture, NUMBER);
}

static void teardown(void)
{
    kv_loss_release(&loss);
    kv_index_free(evidence);
    kv_salvage_release(&salvage);
    sealed_log_release(&written);
    fixture_release(&fixture);
}

/* ---- Damaging a log, and reading it */

static const uint8_t row_bytes[3 << 20];

static void put(const char *key, size_t row_size)
{
    sealed_log_put(&written, kv_slice_text(key), kv_slice_of(row_bytes, row_size));
}

static void put_letters(void)
{
    put("b", 10);
    put("d", 10);
    put("f", 10);
    put("h", 10);
}

/* Where in the file the key of a record begins, counted from the record's beginning. */
static uint32_t key_at(size_t i)
{
    const struct write *write = &written.writes[i];

    return write->offset_bytes + write->size_bytes - (uint32_t)(write->row.size + write->key.size);
}

static void damage_at(uint32_t offset)
{
    written.bytes.data[offset] ^= 0x40;
}

static void damage_key(size_t i)
{
    damage_at(key_at(i));
}

static void damage_row(size_t i)
{
    damage_at(written.writes[i].offset_bytes + written.writes[i].size_bytes - 1);
}

/* Read the first `size` bytes as repair does. */
static void read_start(size_t size)
{
    struct kv_salvage_end end = {.known_lsn = written.info.last_lsn,
                                 .last_seq = written.info.max_seq};
    char name[KV_NAME_BYTES];

    ck_assert(kv_memfs_write_file(fixture.fs, fixture_data_path(NUMBER),
                                  kv_slice_of(written.bytes.data, size)));
    kv_name_segment(name, NUMBER);
    ck_kv(kv_salvage_load(&fixture.place, name, &salvage));
    ck_kv(kv_salvage_log(&salvage, &end));
    kv_salvage_sort(&salvage);
}

/* As if a record could not be taken. */
static void add_gap(size_t i, uint64_t seq, bool contradicts)
{
    uint32_t from = written.writes[i].offset_bytes;

    ck_kv(kv_salvage_add_gap(&salvage, (struct kv_gap){.from = from,
                                                       .to = from + written.writes[i].size_bytes,
                                                       .seq = seq,
                                                       .contradicts = contradicts}));
}

static void judge_start(size_t size, bool is_log)
{
    read_start(size);
    ck_kv(kv_loss_init(&loss, &salvage, evidence, is_log));
}

static void judge(bool is_log)
{
    judge_start(written.bytes.size, is_log);
}

/* ---- What may be lost */

static uint64_t hash_of(const char *key)
{
    return kv_hash(kv_slice_text(key), fixture.place.hash_seed);
}

static bool may_hold(const char *key)
{
    return kv_loss_may_hold(&loss, hash_of(key), kv_slice_text(key), 0);
}

/* Of these keys of one letter, just those in `expected`. */
static void expect_lost(const char *keys, const char *expected)
{
    for (; *keys; keys++) {
        char key[2] = {*keys};

        ck_assert_msg(may_hold(key) == (strchr(expected, *keys) != NULL), "%s among \"%s\"", key,
                      expected);
    }
}

static const char all_keys[] = "abcdefghi";

/* ---- By the order of a merge output */

START_TEST(test_loss_by_order_lies_between_neighbours)
{
    static const char *const lost[] = {"abc", "cde", "efg", "ghi"};

    put_letters();
    sealed_log_finish(&written, &fixture);
    damage_key((size_t)_i);
    judge(false);
    ck_assert(!kv_loss_is_none(&loss));
    expect_lost(all_keys, lost[_i]);
}
END_TEST

START_TEST(test_loss_lies_within_its_bounds)
{
    put_letters();
    sealed_log_finish(&written, &fixture);
    damage_key(1);
    damage_key(2);
    judge(false);
    expect_lost(all_keys, "cdefg");
    loss.min_key = kv_slice_text("d");
    expect_lost(all_keys, "defg");
    loss.max_key = kv_slice_text("f");
    expect_lost(all_keys, "def");
    loss.above = kv_slice_text("d");
    expect_lost(all_keys, "ef");
    loss.below = kv_slice_text("f");
    expect_lost(all_keys, "e");
}
END_TEST

START_TEST(test_loss_of_nothing)
{
    put_letters();
    sealed_log_finish(&written, &fixture);
    judge(_i);
    ck_assert(kv_loss_is_none(&loss));
    expect_lost(all_keys, "");
}
END_TEST

/* ---- By the index */

static void open_index(const struct kv_index_item *items, size_t count)
{
    struct kv_index_array array = kv_index_array(items, count);

    ck_kv(kv_index_build(&fixture.place, &written.info, kv_buffer_slice(&written.bytes),
                         &array.base, NULL, NULL));
    ck_kv(kv_index_open(&fixture.place, &written.info, &evidence));
}

static struct kv_index_item *finish_letters(void)
{
    put_letters();
    sealed_log_finish(&written, &fixture);
    return sealed_log_items(&written, &fixture);
}

static void index_letters(void)
{
    struct kv_index_item *items = finish_letters();

    open_index(items, written.newest_count);
    free(items);
}

START_TEST(test_loss_by_index_is_the_key_itself)
{
    static const char *const lost[] = {"b", "d", "f", "h"};

    index_letters();
    damage_key((size_t)_i);
    judge(true);
    expect_lost(all_keys, lost[_i]);
    ck_assert_uint_eq(salvage.count, 3);
    /* Another key with this hash could not have stood there in the order. */
    ck_assert(!kv_loss_may_hold(&loss, hash_of(lost[_i]), kv_slice_text(_i < 2 ? "z" : "a"), 0));
}
END_TEST

/* Goal: a record that reads well counts as lost where the transaction's digest denies it. */
START_TEST(test_loss_by_index_of_what_is_contradicted)
{
    const struct write *write;

    index_letters();
    write = &written.writes[2];
    read_start(written.bytes.size);
    ck_kv(
        kv_salvage_add_gap(&salvage, (struct kv_gap){.from = write->offset_bytes,
                                                     .to = write->offset_bytes + write->size_bytes,
                                                     .contradicts = true}));
    ck_kv(kv_loss_init(&loss, &salvage, evidence, true));
    expect_lost(all_keys, "f");
    ck_assert_uint_eq(salvage.count, 3);
}
END_TEST

/* Goal: entries of a wrong index that lead into the header, or back, count as lost. */
START_TEST(test_loss_by_an_index_that_lies)
{
    struct kv_index_item *items = finish_letters();
    uint32_t d = items[1].offset_bytes, f = items[2].offset_bytes;

    items[1].offset_bytes = _i ? f : 8;
    items[2].offset_bytes = _i ? d : f;
    open_index(items, written.newest_count);
    free(items);
    judge(true);
    ck_assert_uint_eq(loss.count, 1);
    ck_assert_uint_eq(loss.items[0].offset, _i ? d : 8);
    ck_assert_uint_eq(salvage.count, 3);
    ck_assert(!may_hold("b"));
}
END_TEST

/* Goal: where somebody chose keys that crowd the index, no key is said not to be lost. */
START_TEST(test_loss_by_a_crowded_index)
{
    enum { CROWD = 1000 };
    struct kv_index_item *items = calloc(CROWD, sizeof(*items));
    char key[8];

    for (unsigned i = 0; i < CROWD; i++) {
        snprintf(key, sizeof(key), "%04u", i);
        put(key, 1);
    }
    sealed_log_finish(&written, &fixture);
    for (unsigned i = 0; i < CROWD; i++)
        items[i] = (struct kv_index_item){hash_of("crowd"), written.newest[i]->offset_bytes};
    open_index(items, CROWD);
    free(items);
    damage_key(CROWD - 1);
    judge(true);
    ck_assert(may_hold("crowd"));
}
END_TEST

START_TEST(test_loss_by_a_damaged_index_is_by_bytes)
{
    index_letters();
    ck_assert(kv_memfs_flip_bit(fixture.fs, fixture_index_path(NUMBER), 4096 + 7, 1));
    kv_index_free(evidence);
    ck_kv(kv_index_open(&fixture.place, &written.info, &evidence));
    damage_row(1);
    judge(true);
    ck_assert(loss.by_bytes);
    expect_lost(all_keys, "d");
}
END_TEST

/* ---- By bytes */

/* Goal: a key whose own bytes are damaged is known by its checksum, whatever the row's size. */
START_TEST(test_loss_by_bytes_knows_a_damaged_key)
{
    static const size_t sizes[] = {0, 1, 9, 126, 127, 128, 129, 16383, 16384, 100000};

    put("b", 10);
    put("damaged", sizes[_i]);
    put("f", 10);
    sealed_log_finish(&written, &fixture);
    damage_key(1);
    judge(true);
    ck_kv(kv_loss_try(&loss, kv_slice_text("other")));
    ck_kv(kv_loss_try(&loss, kv_slice_text("another")));
    ck_kv(kv_loss_try(&loss, kv_slice_of(row_bytes, sizes[_i] + 60)));
    ck_assert(!may_hold("damaged"));
    ck_kv(kv_loss_try(&loss, kv_slice_text("damaged")));
    ck_assert(may_hold("damaged"));
    ck_assert(!may_hold("another"));
    ck_kv(kv_loss_try(&loss, kv_slice_text("another")));
    ck_assert(may_hold("damaged"));
}
END_TEST

START_TEST(test_loss_by_bytes_knows_a_damaged_tombstone)
{
    put("b", 10);
    sealed_log_delete(&written, kv_slice_text("damaged"));
    sealed_log_finish(&written, &fixture);
    damage_key(1);
    judge(true);
    ck_kv(kv_loss_try(&loss, kv_slice_text("b")));
    ck_kv(kv_loss_try(&loss, kv_slice_text("damaged")));
    ck_assert(may_hold("damaged"));
}
END_TEST

/* Goal: where rows are damaged, the keys before them tell what is lost, and from where on. */
START_TEST(test_loss_by_bytes_names_keys_of_damaged_rows)
{
    put_letters();
    sealed_log_finish(&written, &fixture);
    damage_row(1);
    damage_row(2);
    judge(true);
    expect_lost(all_keys, "df");
    ck_assert(kv_loss_may_hold(&loss, hash_of("d"), kv_slice_text("d"), loss.items[0].offset));
    ck_assert(!kv_loss_may_hold(&loss, hash_of("d"), kv_slice_text("d"), loss.items[0].offset + 1));
}
END_TEST

/* Goal: names belong to their own gap: only what is lost behind a record may be newer than it. */
START_TEST(test_loss_by_bytes_of_separate_gaps)
{
    put_letters();
    sealed_log_finish(&written, &fixture);
    damage_row(0);
    read_start(written.bytes.size);
    add_gap(2, written.info.max_seq, false);
    ck_kv(kv_loss_init(&loss, &salvage, NULL, true));
    ck_assert_uint_eq(loss.count, 2);
    expect_lost(all_keys, "bf");
    ck_assert(!kv_loss_may_hold(&loss, hash_of("b"), kv_slice_text("b"), loss.items[1].offset));
    ck_assert(kv_loss_may_hold(&loss, hash_of("f"), kv_slice_text("f"), loss.items[1].offset));
}
END_TEST

START_TEST(test_loss_by_bytes_of_a_head)
{
    put_letters();
    sealed_log_finish(&written, &fixture);
    damage_at(written.writes[1].offset_bytes + 4); /* its kind */
    judge(true);
    ck_assert_uint_eq(loss.named_count, 0);
    ck_kv(kv_loss_try(&loss, kv_slice_text("d")));
    expect_lost(all_keys, "d");
}
END_TEST

/* Goal: no key is tried against more than a megabyte; its own bytes still name it. */
START_TEST(test_loss_by_bytes_of_a_long_record)
{
    put("b", 10);
    put("long", sizeof(row_bytes));
    sealed_log_finish(&written, &fixture);
    if (_i)
        damage_key(1);
    else
        damage_row(1);
    judge(true);
    ck_assert_uint_eq(loss.scratch_bytes, 0);
    ck_kv(kv_loss_try(&loss, kv_slice_text("long")));
    ck_assert(may_hold("long") == !_i);
}
END_TEST

START_TEST(test_loss_by_bytes_of_a_commit_is_none)
{
    put_letters();
    sealed_log_finish(&written, &fixture);
    damage_at((uint32_t)written.bytes.size - 1);
    judge(true);
    ck_assert_uint_gt(salvage.gap_count, 0);
    ck_assert(kv_loss_is_none(&loss));
}
END_TEST

/* Goal: what is cut off with the file's end cannot be tried, and reads nothing behind it. */
START_TEST(test_loss_by_bytes_of_a_file_cut_short)
{
    put_letters();
    sealed_log_finish(&written, &fixture);
    judge_start(written.writes[3].offset_bytes + (uint32_t)_i, true);
    ck_assert(!kv_loss_is_none(&loss));
    ck_kv(kv_loss_try(&loss, kv_slice_text("h")));
    expect_lost(all_keys, "");
}
END_TEST

/* Goal: a gap that says a seq which the segment cannot have is no record of any key. */
START_TEST(test_loss_by_bytes_with_an_impossible_seq)
{
    put_letters();
    sealed_log_finish(&written, &fixture);
    read_start(written.bytes.size);
    add_gap(0, 1, false);
    ck_kv(kv_loss_init(&loss, &salvage, NULL, true));
    ck_kv(kv_loss_try(&loss, kv_slice_text("x")));
    expect_lost("x", "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loss");
    TCase *tests = tcase_create("loss");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, test_loss_by_order_lies_between_neighbours, 0, 4);
    tcase_add_test(tests, test_loss_lies_within_its_bounds);
    tcase_add_loop_test(tests, test_loss_of_nothing, 0, 2);
    tcase_add_loop_test(tests, test_loss_by_index_is_the_key_itself, 0, 4);
    tcase_add_test(tests, test_loss_by_index_of_what_is_contradicted);
    tcase_add_loop_test(tests, test_loss_by_an_index_that_lies, 0, 2);
    tcase_add_test(tests, test_loss_by_a_crowded_index);
    tcase_add_test(tests, test_loss_by_a_damaged_index_is_by_bytes);
    tcase_add_loop_test(tests, test_loss_by_bytes_knows_a_damaged_key, 0, 10);
    tcase_add_test(tests, test_loss_by_bytes_knows_a_damaged_tombstone);
    tcase_add_test(tests, test_loss_by_bytes_names_keys_of_damaged_rows);
    tcase_add_test(tests, test_loss_by_bytes_of_separate_gaps);
    tcase_add_test(tests, test_loss_by_bytes_of_a_head);
    tcase_add_loop_test(tests, test_loss_by_bytes_of_a_long_record, 0, 2);
    tcase_add_test(tests, test_loss_by_bytes_of_a_commit_is_none);
    tcase_add_loop_test(tests, test_loss_by_bytes_of_a_file_cut_short, 0, 12);
    tcase_add_test(tests, test_loss_by_bytes_with_an_impossible_seq);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
