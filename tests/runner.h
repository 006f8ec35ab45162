/* The main function of every test program: run one check suite, print its summary line. */
#ifndef KV_TESTS_RUNNER_H
#define KV_TESTS_RUNNER_H

#include <check.h>
#include <stdlib.h>

#include "status.h"

/* Fail with the engine's message unless `call` returns KV_OK. */
#define ck_kv(call)                                                                                \
    do {                                                                                           \
        enum kv_status ck_status = (call);                                                         \
        ck_assert_msg(ck_status == KV_OK, "%s: %s: %s", #call, kv_status_name(ck_status),          \
                      kv_message());                                                               \
    } while (0)

/* The same, for loops of many: libcheck makes a system call at every check that holds. */
#define ck_kv_fast(call)                                                                           \
    do {                                                                                           \
        enum kv_status ck_status = (call);                                                         \
        if (ck_status != KV_OK)                                                                    \
            ck_abort_msg("%s: %s: %s", #call, kv_status_name(ck_status), kv_message());            \
    } while (0)

/* Fail unless `call` returns exactly `expected`. */
#define ck_kv_is(call, expected)                                                                   \
    do {                                                                                           \
        enum kv_status ck_status = (call);                                                         \
        ck_assert_msg(ck_status == (expected), "%s: %s, not %s (%s)", #call,                       \
                      kv_status_name(ck_status), kv_status_name(expected), kv_message());          \
    } while (0)

static inline int kv_run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
