/* Views of a transaction's own writes: what a scan sees of them, and for how long. */
#include <stdio.h>

#include "log_builder.h"
#include "numbered.h"
#include "runner.h"

enum { LARGE_ROW = NUMBERED_LARGE_ROW };

static struct fixture fixture;
static struct kv_log *log_; /* with one transaction in it */

static void setup(void)
{
    struct kv_write_set *set;

    fixture_init(&fixture);
    log_ = live_log_new(&fixture, 3, 100);
    set = live_log_begin(log_);
    live_log_put(set, kv_slice_text("committed before"), kv_slice_text("row"));
    live_log_commit(set, 1000);
}

static void teardown(void)
{
    kv_log_unref(log_);
    fixture_release(&fixture);
}

/* A log with a transaction in it, so that its tail is elsewhere, and another base seq. */
static struct kv_log *other_log(uint64_t number)
{
    struct kv_log *log = live_log_new(&fixture, number, log_->tail.seq - 1);
    struct kv_write_set *set = live_log_begin(log);

    live_log_put(set, kv_slice_text("in the other log"), kv_slice_text("a longer row"));
    live_log_commit(set, 1);
    return log;
}

static struct kv_write_views views_;

struct view {
    struct kv_iter *its[KV_BATCH_COUNT_MAX];
    size_t count;
    struct kv_write_view *seen;
};

static struct view view_open(struct kv_write_set *set)
{
    struct view view;

    ck_kv(kv_write_set_iters(set, &views_, view.its, &view.count, &view.seen));
    for (size_t i = 0; i < view.count; i++)
        ck_kv(kv_iter_seek(view.its[i], NULL, KV_FORWARD));
    return view;
}

static void take_back(struct kv_write_set *set, uint32_t count)
{
    kv_write_views_cut(&views_, count);
    kv_write_set_truncate(set, count);
}

static void view_close(struct view *view)
{
    while (view->count > 0)
        kv_iter_free(view->its[--view->count]);
    kv_write_view_unref(view->seen);
}

/* The view shows writes 0 … count-1: of each key the newest, from the newest batch that has it. */
static void check_view(struct view *view, uint64_t count, size_t row_size, enum kv_direction way)
{
    bool seen[NUMBERED_KEYS] = {false};

    for (size_t b = 0; b < view->count; b++) {
        struct kv_entry entry;
        enum kv_status st;

        ck_kv(kv_iter_seek(view->its[b], NULL, way));
        while ((st = kv_iter_next(view->its[b], &entry)) == KV_OK) {
            uint64_t k = 0;

            while (!kv_slice_equal(entry.key, numbered_key(k)))
                k++;
            if (!seen[k])
                numbered_check(&entry, (uint64_t)numbered_last(k, count), row_size);
            ck_assert(entry.own && entry.seq == 0);
            seen[k] = true;
        }
        ck_assert_int_eq(st, KV_DONE);
    }
    for (uint64_t k = 0; k < NUMBERED_KEYS; k++)
        ck_assert(seen[k] == (numbered_last(k, count) >= 0));
}

/* A view shows what was there when it was opened, whatever is written later. */
START_TEST(test_write_view_shows_what_was_there)
{
    size_t row_size = _i ? LARGE_ROW : 10;
    struct kv_write_set *set = live_log_begin(log_);
    struct view views[30];

    for (uint64_t i = 0; i < 30; i++) {
        numbered_add(set, i * 5, i * 5 + 5, row_size); /* the list of items moves meanwhile */
        views[i] = view_open(set);
    }
    for (uint64_t i = 0; i < 30; i++) {
        check_view(&views[i], i * 5 + 5, row_size, KV_FORWARD);
        check_view(&views[i], i * 5 + 5, row_size, KV_BACKWARD);
    }
    for (uint64_t i = 0; i < 30; i++) /* in another order than they were opened */
        view_close(&views[i * 7 % 30]);
    live_log_commit(set, 9);
}
END_TEST

START_TEST(test_write_view_of_nothing)
{
    struct kv_write_set *set = live_log_begin(log_);
    struct view view = view_open(set);

    ck_assert_uint_eq(view.count, 0);
    ck_kv(kv_write_view_check(view.seen));
    view_close(&view);
    ck_assert_ptr_null(views_.first);
    kv_write_set_unref(set);
}
END_TEST

/* What a view handed out last stays until the next call on it, whatever becomes of the set. */
START_TEST(test_write_view_copies)
{
    struct kv_write_set *set = live_log_begin(log_);
    struct kv_entry entry;
    struct view view;

    numbered_add(set, 0, 3, 10);
    view = view_open(set);
    ck_kv(kv_iter_next(view.its[0], &entry));
    take_back(set, 0);
    numbered_add(set, 50, 100, 40);
    numbered_check(&entry, 0, 10);
    view_close(&view);
    kv_write_set_unref(set);
}
END_TEST

/*
 * Goal: a view is cut off by taking back one of its records, and by nothing less.
 * Method: views of every count, truncation to every count, at small rows and
 * across what was flushed.
 */
START_TEST(test_write_view_cut_by_truncation)
{
    enum { COUNT = 12 };
    size_t row_size = _i ? LARGE_ROW : 10;

    for (uint32_t left = 0; left <= COUNT; left++) {
        struct kv_write_set *set = live_log_begin(log_);
        struct view views[COUNT + 1];

        for (uint64_t i = 0; i <= COUNT; i++) {
            views[i] = view_open(set);
            numbered_add(set, i, i + 1, row_size);
        }
        take_back(set, left);
        if (left % 2)
            numbered_add(set, left, COUNT, row_size); /* the same records again are others */
        for (uint64_t i = 1; i <= COUNT; i++) {
            struct kv_entry entry;

            ck_kv_is(kv_write_view_check(views[i].seen), i <= left ? KV_OK : KV_ABORTED);
            if (i <= left)
                check_view(&views[i], i, row_size, KV_FORWARD);
            else
                ck_kv_is(kv_iter_next(views[i].its[0], &entry), KV_ABORTED);
            view_close(&views[i]);
        }
        view_close(&views[0]);
        kv_write_set_unref(set);
    }
}
END_TEST

/*
 * Goal: seeking in a view that was cut off reads nothing that is no longer
 * there, and shows nothing.
 * Method: equal prefixes, so that seeking looks at keys; ASan.
 */
START_TEST(test_write_view_seek_when_cut)
{
    struct kv_write_set *set = live_log_begin(log_);
    struct kv_slice bound = kv_slice_text("equal prefix: 5");
    struct kv_entry entry;
    struct view view;

    for (int i = 0; i < 10; i++) {
        char key[32];

        snprintf(key, sizeof(key), "equal prefix: %d", i);
        live_log_put(set, kv_slice_text(key), numbered_row(1, 10));
    }
    view = view_open(set);
    take_back(set, 0);
    kv_buffer_release(&set->buffer); /* it is empty: flushing may give it back too */
    for (int way = KV_BACKWARD; way <= KV_FORWARD; way += 2) {
        ck_kv(kv_iter_seek(view.its[0], &bound, (enum kv_direction)way));
        ck_assert_int_ne(kv_iter_next(view.its[0], &entry), KV_OK);
    }
    ck_kv_is(kv_write_view_check(view.seen), KV_ABORTED);
    view_close(&view);
    kv_write_set_unref(set);
}
END_TEST

/* A view outlives its transaction: what was published stays readable. */
START_TEST(test_write_view_after_publish)
{
    size_t row_size = _i ? LARGE_ROW : 10;
    struct kv_write_set *set = live_log_begin(log_);
    struct view view;

    numbered_add(set, 0, 15, row_size);
    view = view_open(set);
    numbered_add(set, 15, 20, row_size);
    live_log_commit(set, 5);
    set = live_log_begin(log_); /* others write on */
    numbered_add(set, 50, 90, row_size);
    live_log_commit(set, 6);
    check_view(&view, 15, row_size, KV_FORWARD);
    view_close(&view);
}
END_TEST

/* A view follows its records to another log. */
START_TEST(test_write_view_after_move)
{
    size_t row_size = _i ? LARGE_ROW : 10;
    struct kv_write_set *set = live_log_begin(log_);
    struct kv_log *log = other_log(20);
    struct view view, cut;

    numbered_add(set, 0, 15, row_size);
    view = view_open(set);
    numbered_add(set, 15, 20, row_size);
    cut = view_open(set);
    ck_kv(kv_write_set_move(set, log));
    check_view(&view, 15, row_size, KV_FORWARD);
    check_view(&cut, 20, row_size, KV_BACKWARD);
    take_back(set, 15);
    check_view(&view, 15, row_size, KV_FORWARD);
    ck_kv(kv_iter_seek(cut.its[0], NULL, KV_FORWARD));
    {
        struct kv_entry entry;
        ck_kv_is(kv_iter_next(cut.its[0], &entry), KV_ABORTED);
    }
    view_close(&cut);
    view_close(&view);
    live_log_commit(set, 9);
    kv_log_unref(log);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("write_view");
    TCase *views = tcase_create("views");

    tcase_add_checked_fixture(views, setup, teardown);
    tcase_add_loop_test(views, test_write_view_shows_what_was_there, 0, 2);
    tcase_add_test(views, test_write_view_of_nothing);
    tcase_add_test(views, test_write_view_copies);
    tcase_add_loop_test(views, test_write_view_cut_by_truncation, 0, 2);
    tcase_add_test(views, test_write_view_seek_when_cut);
    tcase_add_loop_test(views, test_write_view_after_publish, 0, 2);
    tcase_add_loop_test(views, test_write_view_after_move, 0, 2);
    suite_add_tcase(suite, views);
    return kv_run_suite(suite);
}
