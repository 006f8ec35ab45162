/* Settings: their defaults, and both sides of every limit. */
#include <math.h>

#include "kv.h"
#include "runner.h"

enum { KIB = 1024, MIB = 1024 * 1024 };
static const uint64_t GIB = (uint64_t)1024 * MIB;

START_TEST(test_settings_defaults)
{
    struct kv_settings settings = kv_settings_default();
    struct kv_open_options options = kv_open_options_default();

    ck_kv(kv_settings_check(&settings));
    ck_assert_int_eq(settings.synchronous, KV_SYNC_FULL);
    ck_assert_uint_eq(settings.segment_bytes, 64 * MIB);
    ck_assert_uint_eq(settings.max_segment_bytes, 256 * MIB);
    ck_assert_uint_eq(settings.fanout, 4);
    ck_assert_uint_eq(settings.tiers, 8);
    ck_assert_double_eq(settings.garbage_ratio, 0.35);
    ck_assert(settings.auto_compact);
    ck_assert_uint_eq(settings.busy_timeout_ms, 0);
    ck_assert_ptr_null(settings.interrupted);
    ck_assert_int_eq(options.mode, KV_OPEN_OR_CREATE);
    ck_assert_mem_eq(&options.settings.segment_bytes, &settings.segment_bytes,
                     sizeof(settings.segment_bytes));
    ck_assert(!options.readonly && !options.temporary && !options.uuid && !options.io);
}
END_TEST

/* A refusal names the setting and its limits. */
static void check_refused(const struct kv_settings *settings, const char *name, const char *limits)
{
    ck_kv_is(kv_settings_check(settings), KV_INVALID);
    ck_assert_msg(strstr(kv_message(), name) && strstr(kv_message(), limits), "%s", kv_message());
}

START_TEST(test_settings_sizes)
{
    struct kv_settings settings = kv_settings_default();
    struct {
        uint64_t *value, least, most;
        const char *name, *limits;
    } sizes[] = {
        {&settings.segment_bytes, 64 * KIB, GIB, "segment_bytes", "64KB to 1GB"},
        {&settings.max_segment_bytes, 64 * KIB, 4 * GIB, "max_segment_bytes", "64KB to 4GB"},
    };

    for (int i = 0; i < 2; i++) {
        uint64_t usual = *sizes[i].value;

        for (int below = 0; below < 2; below++) {
            *sizes[i].value = below ? sizes[i].least : sizes[i].most;
            ck_kv(kv_settings_check(&settings));
            *sizes[i].value += below ? UINT64_MAX : 1;
            check_refused(&settings, sizes[i].name, sizes[i].limits);
        }
        *sizes[i].value = 0;
        check_refused(&settings, sizes[i].name, sizes[i].limits);
        *sizes[i].value = UINT64_MAX;
        check_refused(&settings, sizes[i].name, sizes[i].limits);
        *sizes[i].value = usual;
    }
}
END_TEST

START_TEST(test_settings_counts)
{
    struct kv_settings settings = kv_settings_default();
    struct {
        unsigned *value, least, most;
        const char *name, *limits;
    } counts[] = {
        {&settings.fanout, 2, 32, "fanout", "2 to 32"},
        {&settings.tiers, 1, 8, "tiers", "1 to 8"},
    };

    for (int i = 0; i < 2; i++) {
        unsigned usual = *counts[i].value;

        *counts[i].value = counts[i].least;
        ck_kv(kv_settings_check(&settings));
        *counts[i].value = counts[i].least - 1;
        check_refused(&settings, counts[i].name, counts[i].limits);
        *counts[i].value = counts[i].most;
        ck_kv(kv_settings_check(&settings));
        *counts[i].value = counts[i].most + 1;
        check_refused(&settings, counts[i].name, counts[i].limits);
        *counts[i].value = usual;
    }
}
END_TEST

START_TEST(test_settings_garbage_ratio)
{
    static const double good[] = {0.05, 0.5, 0.95}, bad[] = {0.049, 0.951, 0, 1, -1, NAN, INFINITY};
    struct kv_settings settings = kv_settings_default();

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        settings.garbage_ratio = good[i];
        ck_kv(kv_settings_check(&settings));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        settings.garbage_ratio = bad[i];
        check_refused(&settings, "garbage_ratio", "0.05 to 0.95");
    }
}
END_TEST

START_TEST(test_settings_synchronous)
{
    struct kv_settings settings = kv_settings_default();

    for (int value = KV_SYNC_OFF; value <= KV_SYNC_FULL; value++) {
        settings.synchronous = (enum kv_synchronous)value;
        ck_kv(kv_settings_check(&settings));
    }
    settings.synchronous = (enum kv_synchronous)(KV_SYNC_FULL + 1);
    check_refused(&settings, "synchronous", "off, normal or full");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("settings");
    TCase *tests = tcase_create("settings");

    tcase_add_test(tests, test_settings_defaults);
    tcase_add_test(tests, test_settings_sizes);
    tcase_add_test(tests, test_settings_counts);
    tcase_add_test(tests, test_settings_garbage_ratio);
    tcase_add_test(tests, test_settings_synchronous);
    suite_add_tcase(suite, tests);
    return kv_run_suite(suite);
}
