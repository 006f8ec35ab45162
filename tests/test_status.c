/* Statuses and the message that goes with them: set, extended, cut, one a thread. */
#include "status.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "runner.h"

enum { MESSAGE_MAX = 511 };

START_TEST(test_status_has_no_message_at_first)
{
    ck_assert_str_eq(kv_message(), "");
}
END_TEST

START_TEST(test_status_fail_sets_the_message)
{
    ck_kv_is(kv_fail(KV_CORRUPT, "%s: bad at %d", "a/b", 42), KV_CORRUPT);
    ck_assert_str_eq(kv_message(), "a/b: bad at 42");
    ck_kv_is(kv_fail(KV_FULL, "new"), KV_FULL);
    ck_assert_str_eq(kv_message(), "new"); /* nothing of the longer one is left */
    ck_kv_is(kv_fail_nomem(), KV_NOMEM);
    ck_assert_str_eq(kv_message(), "out of memory");
}
END_TEST

START_TEST(test_status_fail_in_puts_before)
{
    ck_kv_is(kv_fail(KV_IOERR, "inner"), KV_IOERR);
    ck_kv_is(kv_fail_in(KV_BUSY, "file %d", 7), KV_BUSY);
    ck_kv_is(kv_fail_in(KV_BUSY, "store"), KV_BUSY);
    ck_assert_str_eq(kv_message(), "store: file 7: inner");
}
END_TEST

/* The arguments may be the message itself. */
START_TEST(test_status_fail_can_quote_the_message)
{
    ck_kv_is(kv_fail(KV_BUSY, "locked"), KV_BUSY);
    ck_kv_is(kv_fail(KV_BUSY, "%s and %s", kv_message(), kv_message()), KV_BUSY);
    ck_assert_str_eq(kv_message(), "locked and locked");
    ck_kv_is(kv_fail_in(KV_BUSY, "<%s>", kv_message()), KV_BUSY);
    ck_assert_str_eq(kv_message(), "<locked and locked>: locked and locked");
}
END_TEST

/* Goal: a message of 511 bytes is whole, a longer one is cut there. Method: lengths around the limit. */
START_TEST(test_status_cuts_long_messages)
{
    char text[1024];

    for (size_t size = MESSAGE_MAX - 2; size < sizeof(text); size++) {
        size_t expected = size < MESSAGE_MAX ? size : MESSAGE_MAX;

        memset(text, 'x', size);
        text[size] = 0;
        ck_kv_is(kv_fail(KV_IOERR, "%s", text), KV_IOERR);
        ck_assert_uint_eq(strlen(kv_message()), expected);
        ck_kv_is(kv_fail_in(KV_IOERR, "before"), KV_IOERR);
        ck_assert_uint_eq(strlen(kv_message()), MESSAGE_MAX);
        ck_assert(strncmp(kv_message(), "before: xxx", 11) == 0);
        ck_kv_is(kv_fail_in(KV_IOERR, "%s", text), KV_IOERR);
        ck_assert_uint_eq(strlen(kv_message()), MESSAGE_MAX);
    }
}
END_TEST

static void *fail_elsewhere(void *was_empty)
{
    *(bool *)was_empty = strcmp(kv_message(), "") == 0;
    return kv_fail(KV_IOERR, "theirs") == KV_IOERR ? was_empty : NULL;
}

START_TEST(test_status_messages_belong_to_threads)
{
    pthread_t thread;
    bool was_empty = false;
    void *result;

    ck_kv_is(kv_fail(KV_FULL, "ours"), KV_FULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, &was_empty), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert(was_empty);
    ck_assert_ptr_nonnull(result);
    ck_assert_str_eq(kv_message(), "ours");
}
END_TEST

START_TEST(test_status_names_are_distinct)
{
    for (int st = KV_INTERRUPTED; st <= KV_DONE; st++) {
        ck_assert(strncmp(kv_status_name((enum kv_status)st), "KV_", 3) == 0);
        for (int other = KV_INTERRUPTED; other < st; other++)
            ck_assert_str_ne(kv_status_name((enum kv_status)st),
                             kv_status_name((enum kv_status)other));
    }
    ck_assert_str_eq(kv_status_name(KV_CORRUPT), "KV_CORRUPT");
    ck_assert_str_eq(kv_status_name((enum kv_status) - 1000), "unknown status");
}
END_TEST

static Suite *status_suite(void)
{
    Suite *suite = suite_create("status");
    TCase *tests = tcase_create("status");

    tcase_add_test(tests, test_status_has_no_message_at_first);
    tcase_add_test(tests, test_status_fail_sets_the_message);
    tcase_add_test(tests, test_status_fail_in_puts_before);
    tcase_add_test(tests, test_status_fail_can_quote_the_message);
    tcase_add_test(tests, test_status_cuts_long_messages);
    tcase_add_test(tests, test_status_messages_belong_to_threads);
    tcase_add_test(tests, test_status_names_are_distinct);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(status_suite());
}
