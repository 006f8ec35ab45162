/* The manifest as a value and as bytes: round trip, damage, hostile bytes, edits. */
#include <stdio.h>

#include "bytes.h"
#include "hash.h"
#include "manifest_fixture.h"
#include "runner.h"

/* ---- Bytes */

static void assert_same(const struct kv_manifest *a, const struct kv_manifest *b)
{
    struct kv_buffer bytes_a = {0}, bytes_b = {0};

    ck_kv(kv_manifest_encode(a, &bytes_a));
    ck_kv(kv_manifest_encode(b, &bytes_b));
    ck_assert(kv_slice_equal(kv_buffer_slice(&bytes_a), kv_buffer_slice(&bytes_b)));
    kv_buffer_release(&bytes_a);
    kv_buffer_release(&bytes_b);
}

static void assert_segment(const struct kv_segment_info *is, uint64_t number, const char *min_key,
                           const char *max_key)
{
    struct kv_segment_info expected = manifest_segment(number, min_key, max_key);

    ck_assert_uint_eq(is->number, expected.number);
    ck_assert_uint_eq(is->salt, expected.salt);
    ck_assert_uint_eq(is->end_bytes, expected.end_bytes);
    ck_assert_uint_eq(is->digest, expected.digest);
    ck_assert_uint_eq(is->record_count, expected.record_count);
    ck_assert_uint_eq(is->entry_count, expected.entry_count);
    ck_assert_uint_eq(is->tombstone_count, expected.tombstone_count);
    ck_assert_uint_eq(is->entry_bytes, expected.entry_bytes);
    ck_assert_uint_eq(is->dead_bytes, expected.dead_bytes);
    ck_assert_uint_eq(is->min_seq, expected.min_seq);
    ck_assert_uint_eq(is->max_seq, expected.max_seq);
    ck_assert_uint_eq(is->min_time_ms, expected.min_time_ms);
    ck_assert_uint_eq(is->max_time_ms, expected.max_time_ms);
    ck_assert_uint_eq(is->first_lsn, expected.first_lsn);
    ck_assert_uint_eq(is->last_lsn, expected.last_lsn);
    ck_assert(kv_slice_equal(kv_buffer_slice(&is->min_key), kv_slice_text(min_key)));
    ck_assert(kv_slice_equal(kv_buffer_slice(&is->max_key), kv_slice_text(max_key)));
    kv_segment_info_release(&expected);
}

static void assert_full_head(const struct kv_manifest *is)
{
    ck_assert_uint_eq(is->compatible_features, 0x8000000000000001);
    ck_assert_mem_eq(is->uuid, "0123456789abcde", KV_UUID_BYTES);
    ck_assert_uint_eq(is->lineage, 7);
    ck_assert(is->is_backup);
    ck_assert_uint_eq(is->hash_seed, 0xfeedfacecafebeef);
    ck_assert_uint_eq(is->generation, 3);
    ck_assert_uint_eq(is->next_number, 100);
    ck_assert_uint_eq(is->last_seq, 50);
    ck_assert(
        kv_slice_equal(kv_buffer_slice(&is->schema), kv_slice_text("(k INTEGER PRIMARY KEY, v)")));
    ck_assert_uint_eq(is->active.number, 9);
    ck_assert_uint_eq(is->active.salt, 77);
    ck_assert_uint_eq(is->active.base_lsn, 1000000);
    ck_assert_uint_eq(is->active.previous_digest, 88);
    ck_assert_uint_eq(is->active.start_lsn, 1000400);
    ck_assert_uint_eq(is->unindexed.number, 10);
    ck_assert_uint_eq(is->unindexed.salt, 55);
    ck_assert_uint_eq(is->unindexed.end_bytes, KV_HEADER_BYTES + 900);
    ck_assert_uint_eq(is->unindexed.digest, 66);
    ck_assert_uint_eq(is->unindexed.record_count, 12);
    ck_assert_uint_eq(is->unindexed.min_seq, 48);
    ck_assert_uint_eq(is->unindexed.max_seq, 50);
    ck_assert_uint_eq(is->unindexed.min_time_ms, 1700000000001);
    ck_assert_uint_eq(is->unindexed.max_time_ms, 1700000000002);
    ck_assert_uint_eq(is->unindexed.first_lsn, 999000);
    ck_assert_uint_eq(is->unindexed.last_lsn, 999900);
    ck_assert_uint_eq(is->last_merge_id, 5);
    ck_assert_uint_eq(is->compaction_count, 6);
    ck_assert_uint_eq(is->log_bytes_written, 123456);
    ck_assert_uint_eq(is->merge_bytes_written, 654321);
}

/* Goal: every field comes back, whatever other fields hold. */
START_TEST(test_manifest_round_trip)
{
    struct kv_buffer bytes = manifest_encoded_full();
    struct kv_manifest is;

    ck_kv(kv_manifest_decode(kv_buffer_slice(&bytes), &is));
    assert_full_head(&is);
    ck_assert_uint_eq(is.run_count, 5);
    assert_segment(&is.runs[0].segments[0], 8, "k", "k");
    assert_segment(&is.runs[1].segments[0], 7, "k", "k");
    assert_segment(&is.runs[2].segments[0], 5, "b", "y");
    ck_assert_uint_eq(is.runs[3].segment_count, 2);
    assert_segment(&is.runs[3].segments[0], 6, "a", "cc");
    assert_segment(&is.runs[3].segments[1], 4, "cd", "m");
    assert_segment(&is.runs[4].segments[0], 3, "a", "z");
    ck_assert(!is.runs[1].has_low && is.runs[2].has_low && !is.runs[3].has_low);
    ck_assert(kv_slice_equal(kv_buffer_slice(&is.runs[2].low), kv_slice_text("m")));
    ck_assert(is.runs[1].merge_id == 0 && is.runs[2].merge_id == 5 && is.runs[3].merge_id == 5);
    ck_assert(is.runs[2].tier == 0 && is.runs[3].tier == 1 && is.runs[4].tier == 3);
    ck_assert_uint_eq(is.group_count, 2);
    ck_assert_uint_eq(is.groups[1].id, 32);
    ck_assert_uint_eq(is.groups[1].digest, 99);
    ck_assert(is.groups[0].commit_lsn == 0 && is.groups[1].commit_lsn == 1000500);
    assert_segment(&is.groups[0].segments[0], 20, "g", "h");
    kv_manifest_release(&is);
    kv_buffer_release(&bytes);
}
END_TEST

START_TEST(test_manifest_round_trip_without_runs)
{
    struct kv_manifest manifest = manifest_empty();
    struct kv_buffer bytes = manifest_encoded(&manifest);
    struct kv_manifest is;

    ck_kv(kv_manifest_decode(kv_buffer_slice(&bytes), &is));
    ck_assert(is.run_count == 0 && is.group_count == 0 && !is.is_backup);
    ck_assert(!kv_manifest_has_unindexed(&is));
    assert_same(&is, &manifest);
    kv_manifest_release(&is);
    kv_manifest_release(&manifest);
    kv_buffer_release(&bytes);
}
END_TEST

START_TEST(test_manifest_encode_appends)
{
    struct kv_manifest manifest = manifest_full();
    struct kv_buffer alone = manifest_encoded(&manifest), behind = {0};
    struct kv_slice tail;

    manifest_set_text(&behind, "before");
    ck_kv(kv_manifest_encode(&manifest, &behind));
    ck_assert_mem_eq(behind.data, "before", 6);
    tail = kv_slice_of(behind.data + 6, behind.size - 6);
    ck_assert(kv_slice_equal(tail, kv_buffer_slice(&alone)));
    kv_manifest_release(&manifest);
    kv_buffer_release(&alone);
    kv_buffer_release(&behind);
}
END_TEST

/* Decode a copy in a heap block of exactly that size, so that ASan traps any read past the end. */
static enum kv_status decode_exactly(const uint8_t *data, size_t size, struct kv_manifest *out)
{
    uint8_t *copy = malloc(size ? size : 1);
    enum kv_status st;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, size);
    st = kv_manifest_decode(kv_slice_of(copy, size), out);
    free(copy);
    return st;
}

/* Goal: half a manifest is never taken for one. */
START_TEST(test_manifest_decode_rejects_every_truncation)
{
    struct kv_buffer bytes = manifest_encoded_full();
    struct kv_manifest is;

    for (size_t size = 0; size < bytes.size; size++) {
        ck_kv_is(decode_exactly(bytes.data, size, &is), KV_CORRUPT);
        ck_assert(is.runs == NULL && is.run_count == 0);
    }
    kv_buffer_release(&bytes);
}
END_TEST

START_TEST(test_manifest_decode_rejects_every_bit_flip)
{
    struct kv_buffer bytes = manifest_encoded_full();
    struct kv_manifest is;

    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_kv_is(decode_exactly(bytes.data, bytes.size, &is), KV_CORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    kv_buffer_release(&bytes);
}
END_TEST

START_TEST(test_manifest_decode_rejects_more_bytes)
{
    struct kv_buffer bytes = manifest_encoded_full();
    struct kv_manifest is;

    ck_kv(kv_buffer_append(&bytes, kv_slice_of("", 1)));
    ck_kv_is(decode_exactly(bytes.data, bytes.size, &is), KV_CORRUPT);
    kv_buffer_release(&bytes);
}
END_TEST

/* ---- Bytes with a valid checksum */

enum {
    VERSION_OFFSET = 8,
    COMPATIBLE_OFFSET = 12,
    INCOMPATIBLE_OFFSET = 20,
    BODY_SIZE_OFFSET = 28
};

static void repair(struct kv_buffer *bytes)
{
    size_t size = bytes->size - 8;

    kv_store_u64(bytes->data + BODY_SIZE_OFFSET, size - 36);
    kv_store_u64(bytes->data + size, kv_hash(kv_slice_of(bytes->data, size), 0));
}

/* Whatever decodes must encode to the very same bytes. */
static void assert_canonical(const struct kv_buffer *bytes, const struct kv_manifest *is)
{
    struct kv_buffer again = manifest_encoded(is);

    ck_assert(kv_slice_equal(kv_buffer_slice(bytes), kv_buffer_slice(&again)));
    kv_buffer_release(&again);
}

static uint64_t next_random(uint64_t *state)
{
    *state = kv_digest_add(*state, 1);
    return *state;
}

/* Change a byte, or cut or insert one in the body. */
static void mutate(struct kv_buffer *bytes, uint64_t *random)
{
    static const uint8_t extremes[] = {0, 1, 0x7f, 0x80, 0xff};
    size_t at = BODY_SIZE_OFFSET + 8 + next_random(random) % (bytes->size - 44);
    uint64_t choice = next_random(random) % 8;

    if (choice == 0) {
        memmove(bytes->data + at, bytes->data + at + 1, bytes->size - at - 1);
        bytes->size--;
    } else if (choice == 1) {
        ck_kv(kv_buffer_append(bytes, kv_slice_of("", 1)));
        memmove(bytes->data + at + 1, bytes->data + at, bytes->size - at - 1);
    } else if (choice == 2) {
        bytes->data[at] = extremes[next_random(random) % sizeof(extremes)];
    } else {
        bytes->data[at] = (uint8_t)next_random(random);
    }
}

/*
 * Goal: bytes that were made to look right do no harm, and mean one thing.
 * Method: random changes of the body with the checksum computed anew; what
 * decodes keeps the rules and encodes to the same bytes.
 */
START_TEST(test_manifest_decode_survives_hostile_bytes)
{
    struct kv_buffer original = manifest_encoded_full(), bytes = {0};
    uint64_t random = 1;
    unsigned accepted = 0, refused = 0;

    for (int round = 0; round < 20000; round++) {
        struct kv_manifest is;
        enum kv_status st;

        ck_kv(kv_buffer_set(&bytes, kv_buffer_slice(&original)));
        for (uint64_t count = next_random(&random) % 3; count < 3; count++)
            mutate(&bytes, &random);
        repair(&bytes);
        st = decode_exactly(bytes.data, bytes.size, &is);
        if (st == KV_OK) {
            assert_canonical(&bytes, &is);
            kv_manifest_release(&is);
            accepted++;
        } else {
            ck_assert_int_eq(st, KV_CORRUPT);
            refused++;
        }
    }
    ck_assert_uint_gt(accepted, 100);
    ck_assert_uint_gt(refused, 100);
    kv_buffer_release(&original);
    kv_buffer_release(&bytes);
}
END_TEST

static void assert_refused(struct kv_buffer *bytes, enum kv_status expected, const char *text)
{
    struct kv_manifest is;

    repair(bytes);
    ck_kv_is(decode_exactly(bytes->data, bytes->size, &is), expected);
    ck_assert_msg(strstr(kv_message(), text) != NULL, "%s", kv_message());
    kv_buffer_release(bytes);
}

START_TEST(test_manifest_decode_tells_a_newer_version)
{
    struct kv_buffer bytes = manifest_encoded_full();

    kv_store_u32(bytes.data + VERSION_OFFSET, KV_FORMAT_VERSION + 1);
    assert_refused(&bytes, KV_NEWER, "newer version");
    bytes = manifest_encoded_full();
    kv_store_u64(bytes.data + INCOMPATIBLE_OFFSET, (uint64_t)1 << 63);
    assert_refused(&bytes, KV_NEWER, "newer version");
    bytes = manifest_encoded_full();
    kv_store_u32(bytes.data + VERSION_OFFSET, 0);
    assert_refused(&bytes, KV_CORRUPT, "version is 0");
}
END_TEST

/* Goal: a count is believed only as far as the bytes that are left could bear it out. */
START_TEST(test_manifest_decode_refuses_counts_that_cannot_be)
{
    for (size_t from_end = 1; from_end <= 2; from_end++) {
        struct kv_manifest manifest = manifest_empty();
        struct kv_buffer bytes = manifest_encoded(&manifest);

        /* Without runs and groups the body ends with their two counts. */
        bytes.data[bytes.size - 8 - from_end] = 0x7f;
        assert_refused(&bytes, KV_CORRUPT, "malformed");
        kv_manifest_release(&manifest);
    }
}
END_TEST

START_TEST(test_manifest_decode_refuses_bytes_behind_the_last_field)
{
    struct kv_buffer bytes = manifest_encoded_full();

    ck_kv(kv_buffer_append(&bytes, kv_slice_of("", 1)));
    assert_refused(&bytes, KV_CORRUPT, "behind its last field");
}
END_TEST

/* ---- Copies and edits */

/* Goal: a copy shares nothing with what it was copied from. */
START_TEST(test_manifest_copy_is_deep)
{
    struct kv_manifest manifest = manifest_full(), expected = manifest_full(), copy;

    ck_kv(kv_manifest_copy(&copy, &manifest));
    manifest.runs[2].low.data[0] = 'x';
    manifest.runs[3].segments[0].min_key.data[0] = 'b';
    manifest.groups[0].segments[0].digest = 0;
    manifest.schema.data[0] = '?';
    kv_manifest_release(&manifest);
    assert_same(&copy, &expected);
    kv_manifest_release(&copy);
    kv_manifest_release(&expected);
}
END_TEST

/* The first segment numbers of all runs, as text: "8 7 5 6 3". */
static void assert_runs(const struct kv_manifest *manifest, const char *expected)
{
    char text[256] = "";
    size_t size = 0;

    for (size_t i = 0; i < manifest->run_count; i++)
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%u", i ? " " : "",
                                 (unsigned)manifest->runs[i].segments[0].number);
    ck_assert_str_eq(text, expected);
}

START_TEST(test_manifest_add_run_makes_the_newest)
{
    struct kv_manifest manifest = manifest_full();
    struct kv_segment_info info = manifest_segment(10, "p", "q");

    ck_kv(kv_manifest_add_run(&manifest, 0, &info));
    ck_assert_ptr_null(info.min_key.data); /* taken over */
    assert_runs(&manifest, "10 8 7 5 6 3");
    ck_assert(manifest.runs[0].tier == 0 && manifest.runs[0].merge_id == 0);
    assert_segment(&manifest.runs[0].segments[0], 10, "p", "q");
    kv_manifest_release(&manifest);
}
END_TEST

START_TEST(test_manifest_replace_runs_keeps_the_others)
{
    struct kv_manifest manifest = manifest_full();
    struct kv_segment_info two[2] = {manifest_segment(11, "a", "b"),
                                     manifest_segment(12, "c", "d")};

    ck_kv(kv_manifest_replace_runs(&manifest, 1, 2, 1, two, 2));
    assert_runs(&manifest, "8 11 6 3");
    ck_assert(manifest.runs[1].tier == 1 && manifest.runs[1].segment_count == 2);
    ck_assert(!manifest.runs[1].has_low && manifest.runs[1].merge_id == 0);
    ck_kv(kv_manifest_replace_runs(&manifest, 2, 2, 0, NULL, 0));
    assert_runs(&manifest, "8 11");
    ck_kv(kv_manifest_replace_runs(&manifest, 0, 2, 0, NULL, 0));
    ck_assert_uint_eq(manifest.run_count, 0);
    kv_manifest_release(&manifest);
}
END_TEST

/* Goal: joining turns runs from newest to oldest into segments from lowest to highest. */
START_TEST(test_manifest_join_runs_puts_the_oldest_first)
{
    struct kv_manifest manifest = manifest_empty();
    struct kv_segment_info two[2] = {manifest_segment(1, "a", "b"), manifest_segment(2, "c", "d")};
    struct kv_segment_info one = manifest_segment(3, "e", "f");

    ck_kv(kv_manifest_replace_runs(&manifest, 0, 0, 0, two, 2));
    ck_kv(kv_manifest_add_run(&manifest, 0, &one));
    one = manifest_segment(4, "g", "h");
    ck_kv(kv_manifest_add_run(&manifest, 0, &one));
    one = manifest_segment(5, "a", "z");
    ck_kv(kv_manifest_add_run(&manifest, 0, &one));
    manifest.runs[3].has_low = true;
    manifest_set_text(&manifest.runs[3].low, "aa");

    ck_kv(kv_manifest_join_runs(&manifest, 1, 3, 1));
    assert_runs(&manifest, "5 1");
    ck_assert(manifest.runs[1].tier == 1 && manifest.runs[1].segment_count == 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(manifest.runs[1].segments[i].number, i + 1);
    ck_assert(manifest.runs[1].has_low);
    ck_assert(kv_slice_equal(kv_buffer_slice(&manifest.runs[1].low), kv_slice_text("aa")));
    ck_kv(kv_manifest_check(&manifest));
    kv_manifest_release(&manifest);
}
END_TEST

START_TEST(test_manifest_find_run)
{
    struct kv_manifest manifest = manifest_full();

    ck_assert_uint_eq(kv_manifest_find_run(&manifest, 8), 0);
    ck_assert_uint_eq(kv_manifest_find_run(&manifest, 4), 3);
    ck_assert_uint_eq(kv_manifest_find_run(&manifest, 3), 4);
    ck_assert(kv_manifest_find_run(&manifest, 20) == SIZE_MAX); /* pending, in no run */
    ck_assert(kv_manifest_find_run(&manifest, 9) == SIZE_MAX);  /* the active log */
    ck_assert(kv_manifest_find_run(&manifest, 10) == SIZE_MAX); /* not a run yet */
    ck_assert_uint_eq(kv_manifest_segment_count(&manifest), 9);
    kv_manifest_release(&manifest);
}
END_TEST

START_TEST(test_manifest_has_sealed)
{
    struct kv_manifest manifest = manifest_full();

    ck_assert(kv_manifest_has_sealed(&manifest, 10));
    ck_assert(kv_manifest_has_sealed(&manifest, 4));
    ck_assert(!kv_manifest_has_sealed(&manifest, 9));
    ck_assert(kv_manifest_has_sealed(&manifest, 20)); /* pending */
    manifest.unindexed = (struct kv_segment_info){0};
    ck_assert(!kv_manifest_has_sealed(&manifest, 10));
    ck_assert(!kv_manifest_has_sealed(&manifest, 0));
    kv_manifest_release(&manifest);
}
END_TEST

/* One group takes the place of all; what it was given is the manifest's. */
START_TEST(test_manifest_set_group)
{
    struct kv_manifest manifest = manifest_full();
    struct kv_pending_group group = manifest.groups[1];

    manifest.group_count = 1; /* the second is taken out, to be set */
    ck_kv(kv_manifest_set_group(&manifest, &group));
    ck_assert_ptr_null(group.segments);
    ck_assert_uint_eq(manifest.group_count, 1);
    ck_assert_uint_eq(manifest.groups[0].id, 32);
    ck_assert(!kv_manifest_has_sealed(&manifest, 20));
    ck_assert(kv_manifest_has_sealed(&manifest, 21));
    ck_kv(kv_manifest_set_group(&manifest, NULL));
    ck_assert_uint_eq(manifest.group_count, 0);
    kv_manifest_release(&manifest);
}
END_TEST

/* The segments of groups become the newest runs, the last one first. */
START_TEST(test_manifest_settle_groups)
{
    struct kv_manifest manifest = manifest_full();
    size_t run_count = manifest.run_count;

    ck_kv(kv_manifest_settle_groups(&manifest));
    ck_assert_uint_eq(manifest.group_count, 0);
    ck_assert_uint_eq(manifest.run_count, run_count + 2);
    ck_assert_uint_eq(kv_manifest_find_run(&manifest, 21), 0);
    ck_assert_uint_eq(kv_manifest_find_run(&manifest, 20), 1);
    ck_assert_uint_eq(manifest.runs[0].tier, 0);
    kv_manifest_release(&manifest);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manifest");
    TCase *bytes = tcase_create("bytes");
    TCase *edits = tcase_create("edits");

    tcase_set_timeout(bytes, 60);
    tcase_add_test(bytes, test_manifest_round_trip);
    tcase_add_test(bytes, test_manifest_round_trip_without_runs);
    tcase_add_test(bytes, test_manifest_encode_appends);
    tcase_add_test(bytes, test_manifest_decode_rejects_every_truncation);
    tcase_add_test(bytes, test_manifest_decode_rejects_every_bit_flip);
    tcase_add_test(bytes, test_manifest_decode_rejects_more_bytes);
    tcase_add_test(bytes, test_manifest_decode_survives_hostile_bytes);
    tcase_add_test(bytes, test_manifest_decode_tells_a_newer_version);
    tcase_add_test(bytes, test_manifest_decode_refuses_counts_that_cannot_be);
    tcase_add_test(bytes, test_manifest_decode_refuses_bytes_behind_the_last_field);
    suite_add_tcase(suite, bytes);

    tcase_add_test(edits, test_manifest_copy_is_deep);
    tcase_add_test(edits, test_manifest_add_run_makes_the_newest);
    tcase_add_test(edits, test_manifest_replace_runs_keeps_the_others);
    tcase_add_test(edits, test_manifest_join_runs_puts_the_oldest_first);
    tcase_add_test(edits, test_manifest_find_run);
    tcase_add_test(edits, test_manifest_has_sealed);
    tcase_add_test(edits, test_manifest_set_group);
    tcase_add_test(edits, test_manifest_settle_groups);
    suite_add_tcase(suite, edits);
    return kv_run_suite(suite);
}
