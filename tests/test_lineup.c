/* Which segments count without a manifest: each test is a small history, told by headers. */
#include <stdio.h>

#include "lineup.h"
#include "runner.h"

/* A log that follows its predecessor without a gap. */
static struct kv_lineup_file sealed(uint64_t number, uint64_t first_lsn, uint64_t last_lsn)
{
    return (struct kv_lineup_file){.number = number,
                                   .is_log = true,
                                   .first_lsn = first_lsn,
                                   .last_lsn = last_lsn,
                                   .base_seq = first_lsn, /* a transaction for each LSN */
                                   .previous_end_lsn = first_lsn};
}

/* A log made by a failover of one that was sealed at `previous_end_lsn`. */
static struct kv_lineup_file successor(uint64_t number, uint64_t previous_end_lsn,
                                       uint64_t first_lsn, uint64_t last_lsn)
{
    struct kv_lineup_file file = sealed(number, first_lsn, last_lsn);

    file.base_seq = previous_end_lsn;
    file.previous_end_lsn = previous_end_lsn;
    file.copied_seq = 7;
    return file;
}

/* An output of the logs first … last that covers keys > low and <= high ("": all greater ones). */
static struct kv_lineup_file output(uint64_t number, uint64_t first_lsn, uint64_t last_lsn,
                                    const char *low, const char *high)
{
    return (struct kv_lineup_file){.number = number,
                                   .first_lsn = first_lsn,
                                   .last_lsn = last_lsn,
                                   .low = kv_slice_text(low),
                                   .high = kv_slice_text(*high ? high : "zz"),
                                   .last_of_run = !*high};
}

/* "8@50 6+5 4>k": number, where a log is cut, segments of one run, and what is hidden; newest first. */
static void expect(struct kv_lineup_file *files, size_t count, const char *expected)
{
    char text[256] = "";

    kv_lineup(files, count);
    for (size_t i = 0; i < count && files[i].counts; i++) {
        size_t size = strlen(text);

        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%llu",
                                 i == 0                   ? ""
                                 : files[i].continues_run ? "+"
                                                          : " ",
                                 (unsigned long long)files[i].number);
        if (files[i].end_lsn != files[i].last_lsn)
            size += (size_t)snprintf(text + size, sizeof(text) - size, "@%llu",
                                     (unsigned long long)files[i].end_lsn);
        if (files[i].has_hidden)
            snprintf(text + size, sizeof(text) - size, ">%.*s", (int)files[i].hidden.size,
                     (const char *)files[i].hidden.data);
    }
    ck_assert_str_eq(text, expected);
}

#define EXPECT(expected, ...)                                                                      \
    do {                                                                                           \
        struct kv_lineup_file files[] = {__VA_ARGS__};                                             \
        expect(files, sizeof(files) / sizeof(*files), expected);                                   \
    } while (0)

START_TEST(test_lineup_logs_count_newest_first)
{
    EXPECT("3 2 1", sealed(1, 10, 20), sealed(3, 30, 40), sealed(2, 20, 30));
    EXPECT("3 1", sealed(3, 30, 40), sealed(1, 10, 20)); /* one is lost */
    EXPECT("2", sealed(2, 20, 30), sealed(4, 30, 30));   /* an empty one */
}
END_TEST

/* A log ends where its successor says; what a failed seal has left says nothing. */
START_TEST(test_lineup_logs_are_cut_by_their_successors)
{
    EXPECT("2 1@15", sealed(1, 10, 20), successor(2, 15, 40, 50));
    EXPECT("1@15", sealed(1, 10, 20), successor(2, 15, 40, 40));
    EXPECT("1", sealed(1, 10, 20), sealed(2, 15, 15));
}
END_TEST

/* Of several successors of one log only the last counts, wherever they begin. */
START_TEST(test_lineup_abandoned_successors_do_not_count)
{
    EXPECT("4 1@15", sealed(1, 10, 20), successor(2, 15, 40, 60), successor(4, 15, 40, 50));
    EXPECT("4 1@15", sealed(1, 10, 20), successor(2, 18, 30, 60), successor(4, 15, 40, 50));
    EXPECT("4 1@15", sealed(1, 10, 20), successor(2, 12, 40, 60), successor(4, 15, 40, 50));
    EXPECT("5 4@44 1@15", sealed(1, 10, 20), successor(2, 15, 40, 60), successor(4, 15, 40, 50),
           successor(5, 44, 70, 80));
}
END_TEST

/* The log between two failovers is gone; the one before holds what was copied from it, and more. */
START_TEST(test_lineup_logs_with_the_same_transactions_do_not_count_twice)
{
    struct kv_lineup_file last = successor(7, 50, 80, 90);

    last.base_seq = 20; /* nothing of the missing one was durable */
    EXPECT("7 2", sealed(2, 10, 20), sealed(3, 20, 40), last);
    EXPECT("7 2", sealed(2, 10, 20), sealed(3, 20, 40), successor(5, 20, 50, 60), last);
}
END_TEST

START_TEST(test_lineup_outputs_replace_their_inputs)
{
    EXPECT("3 4", sealed(1, 10, 20), sealed(2, 20, 30), sealed(3, 30, 40),
           output(4, 10, 30, "", ""));
    EXPECT("4+5", sealed(1, 10, 20), output(4, 10, 20, "", "k"), output(5, 10, 20, "k", ""));
    EXPECT("7", output(4, 10, 20, "", "k"), output(5, 10, 20, "k", ""), output(7, 10, 20, "", ""));
    EXPECT("4+5+6", output(6, 10, 20, "p", ""), output(5, 10, 20, "k", "p"),
           output(4, 10, 20, "", "k"));
    EXPECT("7", output(4, 10, 20, "", ""), output(7, 5, 30, "", ""));
}
END_TEST

/* A merge that was interrupted has replaced its inputs up to a key. */
START_TEST(test_lineup_half_a_merge_hides_half_of_its_inputs)
{
    EXPECT("2>k 4 1>k", sealed(1, 10, 20), sealed(2, 20, 30), output(4, 10, 30, "", "k"));
    EXPECT("6 5>d", output(4, 10, 30, "", "c"), output(5, 10, 30, "c", ""),
           output(6, 10, 30, "", "d"));
}
END_TEST

/* Where an output is missing, what it had replaced stays hidden. */
START_TEST(test_lineup_a_missing_output_shows_nothing_older)
{
    EXPECT("1>p 5", sealed(1, 10, 30), output(5, 10, 30, "k", "p"));
    EXPECT("5", sealed(1, 10, 30), output(5, 10, 30, "k", ""));
}
END_TEST

START_TEST(test_lineup_pending_segments_are_older_than_their_log)
{
    struct kv_lineup_file first = {.number = 5,
                                   .is_pending = true,
                                   .first_lsn = 20,
                                   .last_lsn = 22,
                                   .ordinal = 1,
                                   .last_of_run = true};
    struct kv_lineup_file second = first;

    second.number = 6;
    second.ordinal = 2;
    EXPECT("7 6 5 1", sealed(1, 10, 20), first, second, sealed(7, 20, 40));
    EXPECT("8", first, second, sealed(7, 20, 40), output(8, 20, 40, "", ""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lineup");
    TCase *tests = tcase_create("lineup");

    tcase_add_test(tests, test_lineup_logs_count_newest_first);
    tcase_add_test(tests, test_lineup_logs_are_cut_by_their_successors);
    tcase_add_test(tests, test_lineup_abandoned_successors_do_not_count);
    tcase_add_test(tests, test_lineup_logs_with_the_same_transactions_do_not_count_twice);
    tcase_add_test(tests, test_lineup_outputs_replace_their_inputs);
    tcase_add_test(tests, test_lineup_half_a_merge_hides_half_of_its_inputs);
    tcase_add_test(tests, test_lineup_a_missing_output_shows_nothing_older);
    tcase_add_test(tests, test_lineup_pending_segments_are_older_than_their_log);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
