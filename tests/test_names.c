/* Names of files: made, recognised, and nothing else mistaken for them. */
#include "names.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "runner.h"

static const uint64_t numbers[] = {
    0, 1, 7, 999999999999, 1000000000000, 1000000000001, INT64_MAX, UINT64_MAX - 1, UINT64_MAX,
};
enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };

static void expect_kind(const char *name, enum kv_name_kind kind, uint64_t number)
{
    uint64_t found = 12345;

    ck_assert_msg(kv_name_parse(name, &found) == kind, "\"%s\" is not of kind %d", name, kind);
    ck_assert_uint_eq(found, number);
}

START_TEST(test_names_are_as_documented)
{
    char name[KV_NAME_BYTES];

    kv_name_segment(name, 7);
    ck_assert_str_eq(name, "segment_000000000007.db");
    kv_name_index(name, 7);
    ck_assert_str_eq(name, "segment_000000000007.idx");
    kv_name_index_temporary(name, 7, 0xabc);
    ck_assert_str_eq(name, "segment_000000000007.idx.0000000000000abc.tmp");
    kv_name_segment(name, UINT64_MAX);
    ck_assert_str_eq(name, "segment_18446744073709551615.db");
}
END_TEST

START_TEST(test_names_round_trip)
{
    char name[KV_NAME_BYTES];
    uint64_t number = numbers[_i];

    kv_name_segment(name, number);
    expect_kind(name, KV_NAME_IS_SEGMENT, number);
    kv_name_index(name, number);
    expect_kind(name, KV_NAME_IS_INDEX, number);
    for (int i = 0; i < NUMBERS; i++) {
        kv_name_index_temporary(name, number, numbers[i]);
        ck_assert_uint_lt(strlen(name), KV_NAME_BYTES);
        expect_kind(name, KV_NAME_IS_TEMPORARY, number);
    }
    expect_kind(KV_NAME_MANIFEST, KV_NAME_IS_MANIFEST, 0);
    expect_kind(KV_NAME_LOCK, KV_NAME_IS_LOCK, 0);
    expect_kind(KV_NAME_MANIFEST_TEMPORARY, KV_NAME_IS_TEMPORARY, 0);
    expect_kind(KV_NAME_BACKUP_TEMPORARY, KV_NAME_IS_TEMPORARY, 0);
}
END_TEST

START_TEST(test_names_of_others_are_left_alone)
{
    static const char *const others[] = {
        "",
        ".",
        "..",
        "manifest",
        "MANIFEST ",
        "MANIFEST.tmp",
        "MANIFEST.manifest.tmp.tmp",
        "LOCK.",
        "lock",
        "segment_",
        "segment_.db",
        "segment_7.db",
        "segment_00000000007.db",   /* eleven digits */
        "segment_0000000000007.db", /* thirteen, with a zero in front */
        "segment_0x0000000007.db",
        "segment_+00000000007.db",
        "segment_-00000000007.db",
        "segment_ 00000000007.db",
        "segment_00000000000a.db",
        "segment_18446744073709551616.db", /* 2^64 */
        "segment_99999999999999999999999.db",
        "segment_000000000007",
        "segment_000000000007.DB",
        "segment_000000000007.db.tmp",
        "segment_000000000007.db ",
        "segment_000000000007.idx.tmp",
        "segment_000000000007.idx..tmp",
        "segment_000000000007.idx.abc.tmp", /* not sixteen digits */
        "segment_000000000007.idx.0000000000000ABC.tmp",
        "segment_000000000007.idx.0x00000000000abc.tmp",
        "segment_000000000007.idx.0000000000000abc.tmp~",
        "segment_000000000007.idx.0000000000000abc",
        "segment_000000000007.idx.10000000000000000.tmp",
        "Segment_000000000007.db",
        "notes.txt",
    };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        expect_kind(others[i], KV_NAME_IS_OTHER, 0);
}
END_TEST

/*
 * Goal: one form a name: no other string is taken for ours.
 * Method: change each byte of each kind of name to every other value. What is
 * still recognised must be a name with other digits in the same places.
 */
START_TEST(test_names_reject_every_changed_byte)
{
    char name[KV_NAME_BYTES], changed[KV_NAME_BYTES];
    uint64_t number;

    if (_i == 0)
        kv_name_segment(name, 7);
    else if (_i == 1)
        kv_name_index(name, 7);
    else
        kv_name_index_temporary(name, 7, 0xabc);
    for (size_t at = 0; name[at]; at++) {
        for (int byte = 1; byte < 256; byte++) {
            strcpy(changed, name);
            changed[at] = (char)byte;
            if (strcmp(changed, name) == 0 || kv_name_parse(changed, &number) == KV_NAME_IS_OTHER)
                continue;
            ck_assert_msg(isxdigit((unsigned char)name[at]) && isxdigit(byte) && !isupper(byte),
                          "\"%s\" was recognised", changed);
            ck_assert_msg(at >= 20 || isdigit(byte), "\"%s\" was recognised", changed);
        }
    }
}
END_TEST

/* In exactly-sized heap blocks, so that ASan traps any read past the final NUL. */
START_TEST(test_names_survive_every_truncation)
{
    char name[KV_NAME_BYTES];
    uint64_t number;

    kv_name_index_temporary(name, UINT64_MAX, UINT64_MAX);
    for (size_t size = 0; size < strlen(name); size++) {
        char *cut = strndup(name, size);

        ck_assert_ptr_nonnull(cut);
        ck_assert_int_eq(kv_name_parse(cut, &number),
                         size == strlen("segment_18446744073709551615.idx") ? KV_NAME_IS_INDEX
                                                                            : KV_NAME_IS_OTHER);
        free(cut);
    }
}
END_TEST

static Suite *names_suite(void)
{
    Suite *suite = suite_create("names");
    TCase *tests = tcase_create("names");

    tcase_add_test(tests, test_names_are_as_documented);
    tcase_add_loop_test(tests, test_names_round_trip, 0, NUMBERS);
    tcase_add_test(tests, test_names_of_others_are_left_alone);
    tcase_add_loop_test(tests, test_names_reject_every_changed_byte, 0, 3);
    tcase_add_test(tests, test_names_survive_every_truncation);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(names_suite());
}
