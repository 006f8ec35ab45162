/*
 * The steps of a merge as edits of the manifest, one table row a step: what is
 * left of the inputs, what the output holds, and who carries the merge's id.
 *
 * Runs are written as text, newest first: "30[e k] t0 low=f id=6; 45[b f]+46[g i] t1 id=6" is an
 * input of tier 0 whose keys up to f are hidden, and the output so far, of tier 1.
 */
#include <stdio.h>

#include "manifest_fixture.h"
#include "runner.h"

enum { TEXT_BYTES = 512, LAST_MERGE_ID = 5 };

/* ---- Manifests as text */

static void append_segment(char *text, size_t *size, const struct kv_segment_info *info)
{
    *size +=
        (size_t)snprintf(text + *size, TEXT_BYTES - *size, "%u[%.*s %.*s]", (unsigned)info->number,
                         (int)info->min_key.size, (const char *)info->min_key.data,
                         (int)info->max_key.size, (const char *)info->max_key.data);
}

static void append_run(char *text, size_t *size, const struct kv_run *run)
{
    for (size_t i = 0; i < run->segment_count; i++) {
        *size += (size_t)snprintf(text + *size, TEXT_BYTES - *size, "%s", i ? "+" : "");
        append_segment(text, size, &run->segments[i]);
    }
    *size += (size_t)snprintf(text + *size, TEXT_BYTES - *size, " t%u", run->tier);
    if (run->has_low)
        *size += (size_t)snprintf(text + *size, TEXT_BYTES - *size, " low=%.*s", (int)run->low.size,
                                  (const char *)run->low.data);
    if (run->merge_id)
        *size +=
            (size_t)snprintf(text + *size, TEXT_BYTES - *size, " id=%u", (unsigned)run->merge_id);
}

static void expect_runs(const struct kv_manifest *manifest, const char *expected)
{
    char text[TEXT_BYTES] = "";
    size_t size = 0;

    for (size_t i = 0; i < manifest->run_count; i++) {
        size += (size_t)snprintf(text + size, TEXT_BYTES - size, "%s", i ? "; " : "");
        append_run(text, &size, &manifest->runs[i]);
    }
    ck_assert_str_eq(text, expected);
    ck_kv(kv_manifest_check(manifest));
}

/* ---- Building them, oldest run first */

static void add_run(struct kv_manifest *manifest, unsigned tier, uint64_t number, const char *min,
                    const char *max)
{
    struct kv_segment_info info = manifest_segment(number, min, max);

    ck_kv(kv_manifest_add_run(manifest, tier, &info));
}

/* Make a run of several segments the newest. */
static void add_segments(struct kv_manifest *manifest, unsigned tier, uint64_t first,
                         const char *const (*keys)[2], size_t count)
{
    struct kv_segment_info infos[4];

    ck_assert_uint_le(count, 4);
    for (size_t i = 0; i < count; i++)
        infos[i] = manifest_segment(first + i, keys[i][0], keys[i][1]);
    ck_kv(kv_manifest_replace_runs(manifest, 0, 0, tier, infos, count));
}

static void set_low(struct kv_manifest *manifest, size_t run, const char *low)
{
    manifest->runs[run].has_low = true;
    manifest_set_text(&manifest->runs[run].low, low);
}

/*
 * Newest first: log 40, not part of any merge; inputs 30 and 20+21+22; oldest 10. The step's
 * inputs are runs 1 and 2.
 */
static struct kv_manifest two_inputs(void)
{
    static const char *const keys[3][2] = {{"b", "d"}, {"f", "h"}, {"j", "p"}};
    struct kv_manifest manifest = manifest_empty();

    add_run(&manifest, 2, 10, "a", "z");
    add_segments(&manifest, 0, 20, keys, 3);
    add_run(&manifest, 0, 30, "e", "k");
    add_run(&manifest, 0, 40, "a", "z");
    return manifest;
}

static struct kv_merge_step step_of(bool has_output, const char *done_up_to)
{
    struct kv_merge_step step = {
        .first = 1, .input_count = 2, .tier = 1, .has_output = has_output, .is_last = !done_up_to};

    if (done_up_to)
        step.done_up_to = kv_slice_text(done_up_to);
    return step;
}

/* One step whose output is the segment `number`; 0: it wrote none. */
static void advance(struct kv_manifest *manifest, const struct kv_merge_step *step, uint64_t number,
                    const char *min, const char *max)
{
    struct kv_segment_info output = {0};

    if (number)
        output = manifest_segment(number, min, max);
    ck_kv(kv_manifest_advance_merge(manifest, step, &output));
    ck_assert_uint_eq(output.number, 0); /* taken over */
    ck_assert_ptr_null(output.max_key.data);
}

/* ---- A merge from beginning to end */

/* The first step makes the output a run of its own, between inputs and what is older. */
START_TEST(test_manifest_merge_first_step)
{
    struct kv_manifest manifest = two_inputs();
    struct kv_merge_step step = step_of(false, "f");

    advance(&manifest, &step, 45, "b", "f");
    expect_runs(&manifest, "40[a z] t0; 30[e k] t0 low=f id=6; 21[f h]+22[j p] t0 low=f id=6; "
                           "45[b f] t1 id=6; 10[a z] t2");
    ck_assert_uint_eq(manifest.last_merge_id, LAST_MERGE_ID + 1);
    kv_manifest_release(&manifest);
}
END_TEST

/* Later ones append to it under the same id, and take more from the inputs. */
START_TEST(test_manifest_merge_next_step)
{
    struct kv_manifest manifest = two_inputs();
    struct kv_merge_step step = step_of(false, "f");

    advance(&manifest, &step, 45, "b", "f");
    step = step_of(true, "i");
    advance(&manifest, &step, 46, "g", "i");
    expect_runs(&manifest, "40[a z] t0; 30[e k] t0 low=i id=6; 22[j p] t0 low=i id=6; "
                           "45[b f]+46[g i] t1 id=6; 10[a z] t2");
    ck_assert_uint_eq(manifest.last_merge_id, LAST_MERGE_ID + 1);
    kv_manifest_release(&manifest);
}
END_TEST

/* The last one gives the inputs up, whatever is not hidden in them, and the id with them. */
START_TEST(test_manifest_merge_last_step)
{
    struct kv_manifest manifest = two_inputs();
    struct kv_merge_step step = step_of(false, "f");

    advance(&manifest, &step, 45, "b", "f");
    step = step_of(true, NULL);
    advance(&manifest, &step, 46, "g", "p");
    expect_runs(&manifest, "40[a z] t0; 45[b f]+46[g p] t1; 10[a z] t2");
    kv_manifest_release(&manifest);
}
END_TEST

/* What the inputs had left may have been dropped as a whole: the output stays as it is. */
START_TEST(test_manifest_merge_last_step_without_output)
{
    struct kv_manifest manifest = two_inputs();
    struct kv_merge_step step = step_of(false, "f");

    advance(&manifest, &step, 45, "b", "f");
    step = step_of(true, NULL);
    advance(&manifest, &step, 0, NULL, NULL);
    expect_runs(&manifest, "40[a z] t0; 45[b f] t1; 10[a z] t2");
    kv_manifest_release(&manifest);
}
END_TEST

START_TEST(test_manifest_merge_in_one_step)
{
    struct kv_manifest manifest = two_inputs();
    struct kv_merge_step step = step_of(false, NULL);

    advance(&manifest, &step, 45, "b", "p");
    expect_runs(&manifest, "40[a z] t0; 45[b p] t1; 10[a z] t2");
    ck_assert_uint_eq(manifest.last_merge_id, LAST_MERGE_ID); /* it was never open */
    kv_manifest_release(&manifest);
}
END_TEST

/* Tombstones alone come to nothing: no run is left, and none that stays gets an id. */
START_TEST(test_manifest_merge_without_any_output)
{
    struct kv_manifest manifest = two_inputs();
    struct kv_merge_step step = step_of(false, NULL);

    advance(&manifest, &step, 0, NULL, NULL);
    expect_runs(&manifest, "40[a z] t0; 10[a z] t2");
    ck_assert_uint_eq(manifest.last_merge_id, LAST_MERGE_ID);
    kv_manifest_release(&manifest);
}
END_TEST

/* ---- What becomes of inputs */

struct input_case {
    const char *done_up_to;
    const char *expected; /* of the inputs and the output */
};

/* Goal: a segment goes when its last key is hidden, an input with its last segment; not before. */
static const struct input_case input_cases[] = {
    {"c", "30[e k] t0 low=c id=6; 20[b d]+21[f h]+22[j p] t0 low=c id=6; 45[a c] t1 id=6"},
    {"d", "30[e k] t0 low=d id=6; 21[f h]+22[j p] t0 low=d id=6; 45[a d] t1 id=6"},
    {"dd", "30[e k] t0 low=dd id=6; 21[f h]+22[j p] t0 low=dd id=6; 45[a dd] t1 id=6"},
    {"h", "30[e k] t0 low=h id=6; 22[j p] t0 low=h id=6; 45[a h] t1 id=6"},
    {"k", "22[j p] t0 low=k id=6; 45[a k] t1 id=6"}, /* the newer input is emptied */
    {"o", "22[j p] t0 low=o id=6; 45[a o] t1 id=6"},
    {"p", "45[a p] t1"}, /* both are, and so the merge is at its end */
    {"q", "45[a q] t1"},
};

START_TEST(test_manifest_merge_shortens_inputs)
{
    const struct input_case *it = &input_cases[_i];
    struct kv_manifest manifest = two_inputs();
    struct kv_merge_step step = step_of(false, it->done_up_to);
    char expected[TEXT_BYTES];

    advance(&manifest, &step, 45, "a", it->done_up_to);
    snprintf(expected, sizeof(expected), "40[a z] t0; %s; 10[a z] t2", it->expected);
    expect_runs(&manifest, expected);
    kv_manifest_release(&manifest);
}
END_TEST

/* The older input is emptied, and the newer one that stays keeps its place. */
START_TEST(test_manifest_merge_empties_the_older_input)
{
    struct kv_manifest manifest = manifest_empty();
    struct kv_merge_step step = {.input_count = 3, .tier = 1, .done_up_to = kv_slice_text("d")};

    add_run(&manifest, 0, 10, "a", "d");
    add_run(&manifest, 0, 11, "a", "c");
    add_run(&manifest, 0, 12, "a", "e");
    advance(&manifest, &step, 45, "a", "d");
    expect_runs(&manifest, "12[a e] t0 low=d id=6; 45[a d] t1 id=6");
    kv_manifest_release(&manifest);
}
END_TEST

/*
 * Goal: what an input hides already never shows again. Method: one whose own `low`, left by an
 * earlier merge, is above the step's, and ends in the middle of its segments.
 */
START_TEST(test_manifest_merge_keeps_a_higher_low)
{
    struct kv_manifest manifest = two_inputs();
    struct kv_merge_step step = step_of(false, "d");

    set_low(&manifest, 2, "g");
    advance(&manifest, &step, 45, "b", "d");
    expect_runs(&manifest, "40[a z] t0; 30[e k] t0 low=d id=6; 21[f h]+22[j p] t0 low=g id=6; "
                           "45[b d] t1 id=6; 10[a z] t2");
    step = step_of(true, "g");
    advance(&manifest, &step, 46, "e", "g");
    expect_runs(&manifest, "40[a z] t0; 30[e k] t0 low=g id=6; 21[f h]+22[j p] t0 low=g id=6; "
                           "45[b d]+46[e g] t1 id=6; 10[a z] t2");
    kv_manifest_release(&manifest);
}
END_TEST

/* A `low` of its own may hide all of an input, which goes then with the next step. */
START_TEST(test_manifest_merge_drops_what_its_own_low_hides)
{
    struct kv_manifest manifest = two_inputs();
    struct kv_merge_step step = step_of(false, "d");

    set_low(&manifest, 1, "k");
    set_low(&manifest, 2, "h");
    advance(&manifest, &step, 45, "b", "d");
    expect_runs(&manifest, "40[a z] t0; 22[j p] t0 low=h id=6; 45[b d] t1 id=6; 10[a z] t2");
    kv_manifest_release(&manifest);
}
END_TEST

/* An open merge elsewhere keeps its id; two merges never share one. */
START_TEST(test_manifest_merge_leaves_another_open_merge_alone)
{
    struct kv_manifest manifest = manifest_full();
    struct kv_merge_step step = {.input_count = 2, .done_up_to = kv_slice_text("j")};

    advance(&manifest, &step, 45, "a", "j");
    expect_runs(&manifest, "8[k k] t0 low=j id=6; 7[k k] t0 low=j id=6; 45[a j] t0 id=6; "
                           "5[b y] t0 low=m id=5; 6[a cc]+4[cd m] t1 id=5; 3[a z] t3");
    ck_assert_uint_eq(manifest.last_merge_id, LAST_MERGE_ID + 1);
    kv_manifest_release(&manifest);
}
END_TEST

/* One that an earlier process has begun is resumed under the id that its output carries. */
START_TEST(test_manifest_merge_resumes_an_open_one)
{
    struct kv_manifest manifest = manifest_full();
    struct kv_merge_step step = {.first = 2,
                                 .input_count = 1,
                                 .has_output = true,
                                 .tier = 1,
                                 .done_up_to = kv_slice_text("p")};

    advance(&manifest, &step, 45, "n", "p");
    expect_runs(&manifest, "8[k k] t0; 7[k k] t0; 5[b y] t0 low=p id=5; "
                           "6[a cc]+4[cd m]+45[n p] t1 id=5; 3[a z] t3");
    ck_assert_uint_eq(manifest.last_merge_id, LAST_MERGE_ID);
    step.is_last = true;
    advance(&manifest, &step, 46, "q", "y");
    expect_runs(&manifest, "8[k k] t0; 7[k k] t0; 6[a cc]+4[cd m]+45[n p]+46[q y] t1; 3[a z] t3");
    kv_manifest_release(&manifest);
}
END_TEST

/* An id may be cleared at any time: what was the output goes on as the output, under a new one. */
START_TEST(test_manifest_merge_goes_on_without_an_id)
{
    struct kv_manifest manifest = manifest_full();
    struct kv_merge_step step = {.first = 2,
                                 .input_count = 1,
                                 .has_output = true,
                                 .tier = 1,
                                 .done_up_to = kv_slice_text("p")};

    manifest.runs[2].merge_id = manifest.runs[3].merge_id = 0;
    advance(&manifest, &step, 45, "n", "p");
    expect_runs(&manifest, "8[k k] t0; 7[k k] t0; 5[b y] t0 low=p id=6; "
                           "6[a cc]+4[cd m]+45[n p] t1 id=6; 3[a z] t3");
    kv_manifest_release(&manifest);
}
END_TEST

/* The newest run of all may be an input, and the oldest one too: nothing is behind the output. */
START_TEST(test_manifest_merge_of_all_runs)
{
    struct kv_manifest manifest = two_inputs();
    struct kv_merge_step step = {.input_count = 4, .tier = 3, .done_up_to = kv_slice_text("k")};

    advance(&manifest, &step, 45, "a", "k");
    expect_runs(&manifest, "40[a z] t0 low=k id=6; 22[j p] t0 low=k id=6; 10[a z] t2 low=k id=6; "
                           "45[a k] t3 id=6");
    step = (struct kv_merge_step){.input_count = 3, .has_output = true, .tier = 3, .is_last = true};
    advance(&manifest, &step, 0, NULL, NULL);
    expect_runs(&manifest, "45[a k] t3");
    kv_manifest_release(&manifest);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manifest_merge");
    TCase *whole = tcase_create("whole");
    TCase *inputs = tcase_create("inputs");

    tcase_add_test(whole, test_manifest_merge_first_step);
    tcase_add_test(whole, test_manifest_merge_next_step);
    tcase_add_test(whole, test_manifest_merge_last_step);
    tcase_add_test(whole, test_manifest_merge_last_step_without_output);
    tcase_add_test(whole, test_manifest_merge_in_one_step);
    tcase_add_test(whole, test_manifest_merge_without_any_output);
    suite_add_tcase(suite, whole);

    tcase_add_loop_test(inputs, test_manifest_merge_shortens_inputs, 0,
                        (int)(sizeof(input_cases) / sizeof(*input_cases)));
    tcase_add_test(inputs, test_manifest_merge_empties_the_older_input);
    tcase_add_test(inputs, test_manifest_merge_keeps_a_higher_low);
    tcase_add_test(inputs, test_manifest_merge_drops_what_its_own_low_hides);
    tcase_add_test(inputs, test_manifest_merge_leaves_another_open_merge_alone);
    tcase_add_test(inputs, test_manifest_merge_resumes_an_open_one);
    tcase_add_test(inputs, test_manifest_merge_goes_on_without_an_id);
    tcase_add_test(inputs, test_manifest_merge_of_all_runs);
    suite_add_tcase(suite, inputs);
    return kv_run_suite(suite);
}
