/* Reading ahead: what is asked for, when, and never outside the file. */
#include "ahead.h"
#include "runner.h"

/* A system of which nothing but hints is asked; they are noted. */
enum { FILE_BYTES = 5000000, HINTS_MAX = 100 };

static uint8_t file[FILE_BYTES];
static struct hint {
    uint64_t begin, end;
} hints[HINTS_MAX];
static size_t hint_count;

static void note_hint(struct kv_io *io, const uint8_t *at, uint64_t size)
{
    (void)io;
    ck_assert_uint_lt(hint_count, HINTS_MAX);
    ck_assert_uint_gt(size, 0);
    ck_assert(at >= file && at + size <= file + FILE_BYTES);
    hints[hint_count++] = (struct hint){(uint64_t)(at - file), (uint64_t)(at - file) + size};
}

static const struct kv_io_ops ops = {.advise_soon = note_hint};
static struct kv_io io = {&ops};

static struct kv_ahead start(bool down)
{
    struct kv_ahead ahead;

    hint_count = 0;
    kv_ahead_init(&ahead, &io, kv_slice_of(file, FILE_BYTES), down);
    return ahead;
}

/* Goal: a reader who begins anywhere is always a window behind what was asked for, and nothing is asked for twice. */
START_TEST(test_ahead_covers_what_is_read)
{
    bool down = _i % 2;
    uint64_t from = _i / 2 == 0 ? 0 : _i / 2 == 1 ? 1234567 : FILE_BYTES - 10;
    struct kv_ahead ahead = start(down);

    for (uint64_t done = 0; done + from < FILE_BYTES; done += 100) {
        uint64_t offset = down ? FILE_BYTES - from - done : from + done;

        kv_ahead_reach(&ahead, offset);
        if (down)
            ck_assert_uint_le(hints[hint_count - 1].begin, offset > 65536 ? offset - 65536 : 0);
        else
            ck_assert_uint_ge(hints[hint_count - 1].end,
                              offset + 65536 < FILE_BYTES ? offset + 65536 : FILE_BYTES);
    }
    for (size_t i = 1; i < hint_count; i++)
        ck_assert_uint_eq(down ? hints[i].end : hints[i].begin,
                          down ? hints[i - 1].begin : hints[i - 1].end);
    ck_assert_uint_le(hint_count, 4 + FILE_BYTES / (1 << 20) + 2);
}
END_TEST

/* Goal: a short read asks for little, and who jumps about asks for nothing outside the file. */
START_TEST(test_ahead_windows_are_bounded)
{
    for (unsigned down = 0; down < 2; down++) {
        struct kv_ahead ahead = start(down);
        uint64_t state = 1;

        kv_ahead_reach(&ahead, 2000000);
        ck_assert_uint_eq(hint_count, 1);
        ck_assert_uint_eq(hints[0].end - hints[0].begin, 65536);
        for (unsigned i = 0; i < 10000 && hint_count < HINTS_MAX - 1; i++) {
            state = state * 6364136223846793005u + 1;
            kv_ahead_reach(&ahead, (state >> 33) % (FILE_BYTES + 1));
            ck_assert_uint_le(hints[hint_count - 1].end - hints[hint_count - 1].begin, 1 << 20);
        }
    }
}
END_TEST

START_TEST(test_ahead_all_at_once)
{
    struct kv_ahead ahead = start(false);

    kv_ahead_all(&ahead);
    ck_assert_uint_eq(hint_count, 1);
    ck_assert_uint_eq(hints[0].end - hints[0].begin, FILE_BYTES);
    kv_ahead_reach(&ahead, 12345);
    ck_assert_uint_eq(hint_count, 1);
    hint_count = 0;
    kv_ahead_init(&ahead, &io, kv_slice_of(NULL, 0), false);
    kv_ahead_all(&ahead);
    kv_ahead_reach(&ahead, 0);
    ck_assert_uint_eq(hint_count, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ahead");
    TCase *windows = tcase_create("windows");

    tcase_add_loop_test(windows, test_ahead_covers_what_is_read, 0, 6);
    tcase_add_test(windows, test_ahead_windows_are_bounded);
    tcase_add_test(windows, test_ahead_all_at_once);
    suite_add_tcase(suite, windows);
    return kv_run_suite(suite);
}
