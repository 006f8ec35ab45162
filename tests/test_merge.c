/* Merging iterators: against a model, in both directions, with failing sources. */
#include <stdio.h>

#include "hash.h"
#include "merge.h"
#include "runner.h"

/* ---- A source over an array, which takes back what it handed out as soon as it may */

enum { KEY_BYTES = 96, ARRAY_ROWS = 64, SOURCES = 33 };

struct row {
    char key[KEY_BYTES];
    uint64_t seq; /* tells the source */
    bool deleted;
};

struct array {
    struct row rows[ARRAY_ROWS]; /* ascending */
    size_t count;
    unsigned fail_next; /* the call of `next` that fails; 0: none */
    enum kv_status fail_seek;
};

struct array_iter {
    struct kv_iter base;
    struct array *array;
    enum kv_direction direction;
    size_t left; /* rows before `left` (backwards) or from it (forwards) are to come */
    uint8_t *handed_out;
};

static unsigned open_iterators;

static struct kv_slice row_key(const struct row *row)
{
    return kv_slice_text(row->key);
}

static void take_back(struct array_iter *it)
{
    free(it->handed_out);
    it->handed_out = NULL;
}

static enum kv_status array_seek(struct kv_iter *base, const struct kv_slice *bound,
                                 enum kv_direction direction)
{
    struct array_iter *it = (struct array_iter *)base;
    struct array *array = it->array;

    take_back(it);
    if (array->fail_seek != KV_OK)
        return kv_fail(array->fail_seek, "the seek of a source");
    it->direction = direction;
    it->left = direction == KV_FORWARD ? 0 : array->count;
    if (!bound)
        return KV_OK;
    if (direction == KV_FORWARD) {
        while (it->left < array->count &&
               kv_slice_compare(row_key(&array->rows[it->left]), *bound) < 0)
            it->left++;
    } else {
        while (it->left > 0 && kv_slice_compare(row_key(&array->rows[it->left - 1]), *bound) > 0)
            it->left--;
    }
    return KV_OK;
}

/* Each entry's key lives in a heap block of its own until the next call: ASan sees later uses. */
static enum kv_status array_next(struct kv_iter *base, struct kv_entry *out)
{
    struct array_iter *it = (struct array_iter *)base;
    struct array *array = it->array;
    const struct row *row;

    take_back(it);
    if (array->fail_next > 0 && --array->fail_next == 0)
        return kv_fail(KV_IOERR, "the next of a source");
    if (it->left == (it->direction == KV_FORWARD ? array->count : 0))
        return KV_DONE;
    row = it->direction == KV_FORWARD ? &array->rows[it->left++] : &array->rows[--it->left];
    it->handed_out = malloc(strlen(row->key));
    ck_assert_ptr_nonnull(it->handed_out);
    memcpy(it->handed_out, row->key, strlen(row->key));
    *out = (struct kv_entry){.key = kv_slice_of(it->handed_out, strlen(row->key)),
                             .seq = row->seq,
                             .deleted = row->deleted};
    return KV_OK;
}

static void array_free(struct kv_iter *base)
{
    take_back((struct array_iter *)base);
    free(base);
    open_iterators--;
}

static const struct kv_iter_ops array_ops = {array_seek, array_next, array_free};

static struct kv_iter *array_iter(struct array *array)
{
    struct array_iter *it = calloc(1, sizeof(*it));

    ck_assert_ptr_nonnull(it);
    it->base.ops = &array_ops;
    it->array = array;
    open_iterators++;
    return &it->base;
}

static struct kv_iter *merge_of(struct array *arrays, size_t count)
{
    struct kv_iter *sources[SOURCES], *merged;

    for (size_t i = 0; i < count; i++)
        sources[i] = array_iter(&arrays[i]);
    ck_kv(kv_merge_open(sources, count, &merged));
    return merged;
}

static void add_row(struct array *array, uint64_t seq, const char *key, bool deleted)
{
    struct row *row = &array->rows[array->count++];

    snprintf(row->key, sizeof(row->key), "%s", key);
    row->seq = seq;
    row->deleted = deleted;
}

/* One row for each word, all with `seq`; a word that begins with '-' is a tombstone. */
static void fill(struct array *array, uint64_t seq, const char *words)
{
    char text[256], *rest = text, *word;

    snprintf(text, sizeof(text), "%s", words);
    while ((word = strsep(&rest, " ")) != NULL) {
        if (*word)
            add_row(array, seq, *word == '-' ? word + 1 : word, *word == '-');
    }
}

/* What is left of an iteration, as text: "b2 c1-" is b of source 2, then a tombstone of 1. */
static void assert_rest(struct kv_iter *it, const char *expected)
{
    char text[512] = "";
    struct kv_entry entry;
    enum kv_status st;
    size_t size = 0;

    while ((st = kv_iter_next(it, &entry)) == KV_OK)
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%.*s%u%s", size ? " " : "",
                                 (int)entry.key.size, (const char *)entry.key.data,
                                 (unsigned)entry.seq, entry.deleted ? "-" : "");
    ck_assert_int_eq(st, KV_DONE);
    ck_kv_is(kv_iter_next(it, &entry), KV_DONE);
    ck_assert_str_eq(text, expected);
}

static void seek(struct kv_iter *it, const char *bound, enum kv_direction direction)
{
    struct kv_slice key = kv_slice_text(bound ? bound : "");

    ck_kv(kv_iter_seek(it, bound ? &key : NULL, direction));
}

/* ---- By example */

START_TEST(test_merge_interleaves_sources)
{
    struct array arrays[3] = {0};
    struct kv_iter *it;

    fill(&arrays[0], 1, "b e");
    fill(&arrays[1], 2, "a d");
    fill(&arrays[2], 3, "c f");
    it = merge_of(arrays, 3);
    seek(it, NULL, KV_FORWARD);
    assert_rest(it, "a2 b1 c3 d2 e1 f3");
    seek(it, NULL, KV_BACKWARD);
    assert_rest(it, "f3 e1 d2 c3 b1 a2");
    seek(it, "c", KV_FORWARD);
    assert_rest(it, "c3 d2 e1 f3");
    seek(it, "cc", KV_BACKWARD);
    assert_rest(it, "c3 b1 a2");
    kv_iter_free(it);
    ck_assert_uint_eq(open_iterators, 0);
}
END_TEST

/* Goal: of equal keys the newest source's entry comes out, also if it is a tombstone. */
START_TEST(test_merge_newest_wins)
{
    struct array arrays[4] = {0};
    struct kv_iter *it;

    fill(&arrays[0], 1, "c");
    fill(&arrays[1], 2, "b -c d");
    fill(&arrays[2], 3, "a b c d e");
    fill(&arrays[3], 4, "-a -b -c -d -e -f");
    it = merge_of(arrays, 4);
    seek(it, NULL, KV_FORWARD);
    assert_rest(it, "a3 b2 c1 d2 e3 f4-");
    seek(it, NULL, KV_BACKWARD);
    assert_rest(it, "f4- e3 d2 c1 b2 a3");
    arrays[0].rows[0].deleted = true;
    seek(it, "c", KV_FORWARD);
    assert_rest(it, "c1- d2 e3 f4-");
    kv_iter_free(it);
}
END_TEST

/*
 * Goal: keys that share their first eight bytes, are shorter than that, or look
 * like the mark of an ended source, are ordered by all their bytes.
 */
START_TEST(test_merge_orders_equal_prefixes)
{
    struct array arrays[3] = {0};
    struct kv_iter *it;

    fill(&arrays[0], 1, "prefix00 prefix00a prefix00c \xff\xff\xff\xff\xff\xff\xff\xff");
    fill(&arrays[1], 2, "prefix00b \xff\xff\xff\xff\xff\xff\xff \xff\xff\xff\xff\xff\xff\xff\xffz");
    fill(&arrays[2], 3, "");
    it = merge_of(arrays, 3);
    seek(it, NULL, KV_FORWARD);
    assert_rest(it, "prefix001 prefix00a1 prefix00b2 prefix00c1 \xff\xff\xff\xff\xff\xff\xff"
                    "2 \xff\xff\xff\xff\xff\xff\xff\xff"
                    "1 \xff\xff\xff\xff\xff\xff\xff\xffz2");
    seek(it, "\xff", KV_BACKWARD);
    assert_rest(it, "prefix00c1 prefix00b2 prefix00a1 prefix001");
    kv_iter_free(it);
}
END_TEST

START_TEST(test_merge_of_nothing)
{
    struct array arrays[2] = {0};

    for (size_t count = 0; count <= 2; count++) {
        struct kv_iter *it = merge_of(arrays, count);

        seek(it, NULL, KV_FORWARD);
        assert_rest(it, "");
        seek(it, "k", KV_BACKWARD);
        assert_rest(it, "");
        kv_iter_free(it);
    }
    ck_assert_uint_eq(open_iterators, 0);
}
END_TEST

START_TEST(test_merge_is_done_before_the_first_seek)
{
    struct array arrays[2] = {0};
    struct kv_iter *it;

    fill(&arrays[0], 1, "a");
    it = merge_of(arrays, 2);
    assert_rest(it, "");
    kv_iter_free(it);
}
END_TEST

/* Goal: one source costs nothing. */
START_TEST(test_merge_of_one_is_the_source)
{
    struct array array = {0};
    struct kv_iter *source = array_iter(&array), *it;

    ck_kv(kv_merge_open(&source, 1, &it));
    ck_assert_ptr_eq(it, source);
    kv_iter_free(it);
}
END_TEST

/* ---- Failures */

/* Goal: the first failure of any source ends the iteration; a seek starts over. */
START_TEST(test_merge_passes_failures_on)
{
    for (unsigned nth = 1; nth <= 4; nth++) {
        struct array arrays[3] = {0};
        struct kv_entry entry;
        struct kv_iter *it;
        enum kv_status st;
        unsigned rows = 0;

        fill(&arrays[0], 1, "a d g");
        fill(&arrays[1], 2, "b e h");
        fill(&arrays[2], 3, "c f i");
        arrays[1].fail_next = nth;
        it = merge_of(arrays, 3);
        st = kv_iter_seek(it, NULL, KV_FORWARD);
        while (st == KV_OK && (st = kv_iter_next(it, &entry)) == KV_OK)
            rows++;
        ck_assert_int_eq(st, KV_IOERR);
        ck_assert_str_eq(kv_message(), "the next of a source");
        /* The seek takes the first of each; the source of b fails when b, e or h is behind it. */
        ck_assert_uint_eq(rows, nth == 1 ? 0 : 3 * nth - 4);
        ck_kv_is(kv_iter_next(it, &entry), KV_IOERR);
        seek(it, NULL, KV_FORWARD);
        assert_rest(it, "a1 b2 c3 d1 e2 f3 g1 h2 i3");
        kv_iter_free(it);
    }
}
END_TEST

START_TEST(test_merge_passes_failed_seeks_on)
{
    struct array arrays[2] = {0};
    struct kv_entry entry;
    struct kv_iter *it;

    fill(&arrays[0], 1, "a");
    it = merge_of(arrays, 2);
    arrays[1].fail_seek = KV_CORRUPT;
    ck_kv_is(kv_iter_seek(it, NULL, KV_FORWARD), KV_CORRUPT);
    ck_kv_is(kv_iter_next(it, &entry), KV_CORRUPT);
    arrays[1].fail_seek = KV_OK;
    seek(it, NULL, KV_FORWARD);
    assert_rest(it, "a1");
    kv_iter_free(it);
}
END_TEST

/* ---- Against a model */

static uint64_t random_state;

static size_t random_below(size_t count)
{
    random_state = kv_digest_add(random_state, 1);
    return random_state % count;
}

enum { SHAPES = 6 };

/* How keys look. What they share, and where that changes, is what the tree's anchor must follow. */
static void write_key(char out[KEY_BYTES], unsigned shape, size_t number)
{
    static const char *const groups[] = {"", "a", "long-prefix/", "long-prefix-", "z"};

    switch (shape) {
    case 0: snprintf(out, KEY_BYTES, "%zu", number); break;
    case 1: snprintf(out, KEY_BYTES, "long-prefix/%03zu", number); break;
    case 2: snprintf(out, KEY_BYTES, "%s%02zu", groups[number % 5], number / 5); break;
    case 3: snprintf(out, KEY_BYTES, "\xff\xff\xff\xff\xff\xff\xff\xff%zu", number); break;
    case 4: /* changes at once from one long prefix to another, and to something short */
        snprintf(out, KEY_BYTES, number < 48 ? "%c-longprefix-%02zu" : "%c%02zu",
                 (char)('a' + number / 16), number % 16);
        break;
    default: snprintf(out, KEY_BYTES, "%080d%zu", 0, number);
    }
}

static int compare_rows(const void *a, const void *b)
{
    return kv_slice_compare(row_key(a), row_key(b));
}

/* Each source has each of `universe` keys with chance `percent`. */
static void fill_at_random(struct array *arrays, size_t count, unsigned shape, size_t universe,
                           size_t percent)
{
    for (size_t i = 0; i < count; i++) {
        struct array *array = &arrays[i];

        for (size_t number = 0; number < universe; number++) {
            char key[KEY_BYTES];

            write_key(key, shape, number);
            if (random_below(100) < percent)
                add_row(array, i, key, random_below(3) == 0);
        }
        qsort(array->rows, array->count, sizeof(array->rows[0]), compare_rows);
    }
}

/* The row that a merge must give next after `bound` (included or not); NULL for none. */
static const struct row *model_next(const struct array *arrays, size_t count,
                                    const struct kv_slice *bound, bool included,
                                    enum kv_direction direction)
{
    const struct row *best = NULL;

    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < arrays[i].count; k++) {
            const struct row *row = &arrays[i].rows[k];
            int order = bound ? kv_slice_compare(row_key(row), *bound) * (int)direction : 1;

            if (order < 0 || (order == 0 && !included))
                continue;
            if (!best || kv_slice_compare(row_key(row), row_key(best)) * (int)direction < 0)
                best = row;
        }
    }
    return best;
}

/* Seek somewhere and compare some rows with the model's. */
static void compare_from_random_bound(struct kv_iter *it, const struct array *arrays, size_t count,
                                      unsigned shape, size_t universe)
{
    enum kv_direction direction = random_below(2) ? KV_FORWARD : KV_BACKWARD;
    bool bounded = random_below(4) > 0, included = true;
    char key[KEY_BYTES];
    struct kv_slice bound;

    write_key(key, shape, random_below(universe));
    bound = kv_slice_text(key);
    bound.size -= random_below(2);
    ck_kv(kv_iter_seek(it, bounded ? &bound : NULL, direction));
    for (size_t steps = random_below(2 * universe + 2); steps > 0; steps--) {
        const struct row *row =
            model_next(arrays, count, bounded ? &bound : NULL, included, direction);
        struct kv_entry entry;

        if (!row) {
            ck_kv_is(kv_iter_next(it, &entry), KV_DONE);
            return;
        }
        ck_kv(kv_iter_next(it, &entry));
        ck_assert(kv_slice_equal(entry.key, row_key(row)));
        ck_assert(entry.seq == row->seq && entry.deleted == row->deleted);
        bound = row_key(row);
        bounded = true;
        included = false;
    }
}

/*
 * Goal: whatever the sources hold, the merge gives what merging by hand gives.
 * Method: random sources of several shapes of keys, random seeks both ways,
 * each followed by a random number of steps.
 */
START_TEST(test_merge_equals_model)
{
    unsigned shape = (unsigned)_i;

    random_state = shape;
    for (int round = 0; round < 60; round++) {
        static const size_t counts[] = {0, 1, 2, 3, 4, 5, 7, 8, SOURCES};
        static struct array arrays[SOURCES];
        size_t count = counts[random_below(sizeof(counts) / sizeof(counts[0]))];
        size_t universe = 1 + random_below(ARRAY_ROWS);
        struct kv_iter *it;

        memset(arrays, 0, sizeof(arrays));
        fill_at_random(arrays, count, shape, universe, 5 + random_below(90));
        it = merge_of(arrays, count);
        for (int seeks = 0; seeks < 10; seeks++)
            compare_from_random_bound(it, arrays, count, shape, universe);
        kv_iter_free(it);
    }
    ck_assert_uint_eq(open_iterators, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("merge");
    TCase *examples = tcase_create("examples");
    TCase *failures = tcase_create("failures");
    TCase *model = tcase_create("model");

    tcase_add_test(examples, test_merge_interleaves_sources);
    tcase_add_test(examples, test_merge_newest_wins);
    tcase_add_test(examples, test_merge_orders_equal_prefixes);
    tcase_add_test(examples, test_merge_of_nothing);
    tcase_add_test(examples, test_merge_is_done_before_the_first_seek);
    tcase_add_test(examples, test_merge_of_one_is_the_source);
    suite_add_tcase(suite, examples);
    tcase_add_test(failures, test_merge_passes_failures_on);
    tcase_add_test(failures, test_merge_passes_failed_seeks_on);
    suite_add_tcase(suite, failures);
    tcase_set_timeout(model, 60);
    tcase_add_loop_test(model, test_merge_equals_model, 0, SHAPES);
    suite_add_tcase(suite, model);
    return kv_run_suite(suite);
}
