/* What to compact next: by table, and by carrying out what it says until it has enough. */
#include <stdio.h>

#include "hash.h"
#include "policy.h"
#include "runner.h"

/* ---- Manifests in words */

enum { UNIT_BYTES = 10000 }; /* of records: "a unit" in the tables below */

static void set_key(struct kv_buffer *key, const char *text, size_t size)
{
    ck_kv(kv_buffer_set(key, kv_slice_of(text, size)));
}

static struct kv_segment_info segment(uint64_t number, uint64_t record_bytes, uint64_t dead_bytes)
{
    return (struct kv_segment_info){
        .number = number,
        .end_bytes = KV_HEADER_BYTES + record_bytes,
        .record_count = 1,
        .entry_count = 1,
        .dead_bytes = dead_bytes,
    };
}

static struct kv_manifest empty_manifest(void)
{
    return (struct kv_manifest){
        .generation = 1, .next_number = 2, .active = {.number = 1}, .last_merge_id = 9};
}

/*
 * Add what a word says behind (older than) the runs so far: "<tier>:<low><high>[<percent>]",
 * such as "0:am" (keys from a to m, one unit) or "1:kz40" (40% of it dead). Ahead of it
 * "!" puts it into an open merge and "^" gives it a `low`.
 */
static void add_word(struct kv_manifest *manifest, const char *word)
{
    bool merging = *word == '!', low = *word == '^';
    unsigned tier, percent = 0;
    char first, last;
    struct kv_segment_info info;
    struct kv_run *run;

    if (merging || low)
        word++;
    ck_assert_int_ge(sscanf(word, "%u:%c%c%u", &tier, &first, &last, &percent), 3);
    info = segment(manifest->next_number++, UNIT_BYTES, UNIT_BYTES / 100 * percent);
    set_key(&info.min_key, &first, 1);
    set_key(&info.max_key, &last, 1);
    ck_kv(kv_manifest_replace_runs(manifest, manifest->run_count, 0, tier, &info, 1));
    run = &manifest->runs[manifest->run_count - 1];
    run->merge_id = merging ? 7 : 0;
    run->has_low = low;
    if (low)
        set_key(&run->low, &first, 1);
}

/* `words`: runs, newest first. */
static struct kv_manifest manifest_of(const char *words)
{
    struct kv_manifest manifest = empty_manifest();
    char text[512], *rest = text, *word;

    snprintf(text, sizeof(text), "%s", words);
    while ((word = strsep(&rest, " ")) != NULL) {
        if (*word)
            add_word(&manifest, word);
    }
    ck_kv(kv_manifest_check(&manifest));
    return manifest;
}

static struct kv_policy policy_of(unsigned fanout, unsigned tier_count)
{
    return (struct kv_policy){.fanout = fanout,
                              .tier_count = tier_count,
                              .garbage_ratio = 0.35,
                              .max_segment_bytes = UNIT_BYTES + KV_HEADER_BYTES};
}

/* "merge 0-3 to 1", or "none". */
static void describe(struct kv_choice choice, char *out, size_t size)
{
    static const char *const names[] = {"none", "join", "merge", "rewrite", "resume"};

    if (choice.action == KV_ACTION_NONE)
        snprintf(out, size, "none");
    else
        snprintf(out, size, "%s %zu-%zu to %u", names[choice.action], choice.first_run,
                 choice.first_run + choice.run_count - 1, choice.tier);
}

struct example {
    const char *runs;
    unsigned fanout, tier_count;
    const char *expected;
};

static void assert_example(const struct example *example)
{
    struct kv_manifest manifest = manifest_of(example->runs);
    struct kv_policy policy = policy_of(example->fanout, example->tier_count);
    char is[64];

    describe(kv_policy_choose(&manifest, &policy), is, sizeof(is));
    ck_assert_msg(strcmp(is, example->expected) == 0, "%s: %s, not %s", example->runs, is,
                  example->expected);
    kv_manifest_release(&manifest);
}

/* ---- By table */

static const struct example tier_examples[] = {
    {"", 2, 8, "none"},
    {"0:az", 2, 8, "none"},
    {"0:az 0:az 0:az", 4, 8, "none"},
    {"0:az 0:az 0:az 0:az", 4, 8, "merge 0-3 to 1"},
    /* More than fanout, as after a time without merging, go all at once. */
    {"0:az 0:az 0:az 0:az 0:az 0:az", 4, 8, "merge 0-5 to 1"},
    {"0:az 0:az 1:az 1:az", 2, 8, "merge 0-1 to 1"},
    {"0:az 1:az 1:az 1:az", 3, 8, "merge 1-3 to 2"},
    {"0:az 1:az 2:az 2:az 2:az 5:az", 3, 8, "merge 2-4 to 3"},
    /* The last tier goes into itself. */
    {"0:az 0:az", 2, 1, "merge 0-1 to 0"},
    {"0:az 2:az 2:az", 2, 3, "merge 1-2 to 2"},
    /* Deeper tiers of an earlier user count for the last one, and stay as deep. */
    {"0:az 1:az 3:az", 2, 2, "merge 1-2 to 3"},
    {"1:az 3:az 4:az", 3, 1, "merge 0-2 to 4"},
    {"0:az 2:az 5:az", 2, 8, "none"},
};

static const struct example join_examples[] = {
    {"0:gh 0:ef 0:cd 0:ab", 4, 8, "join 0-3 to 1"},
    {"0:gh 0:ef", 2, 1, "join 0-1 to 0"},
    {"2:gh 4:ef", 2, 3, "join 0-1 to 4"},
    /* In time they must ascend, not descend; nor touch. */
    {"0:ab 0:cd 0:ef 0:gh", 4, 8, "merge 0-3 to 1"},
    {"0:gh 0:eg 0:cd 0:ab", 4, 8, "merge 0-3 to 1"},
    /* Only a full tier joins. */
    {"0:gh 0:ef 0:cd", 4, 8, "none"},
    {"0:gh 0:ef 1:ab", 3, 8, "none"},
    /* `low` hides the lowest keys of a run: only the oldest, lowest run may have it. */
    {"0:gh 0:ef ^0:cd", 3, 8, "join 0-2 to 1"},
    {"0:gh ^0:ef 0:cd", 3, 8, "merge 0-2 to 1"},
    {"^0:gh 0:ef 0:cd", 3, 8, "merge 0-2 to 1"},
};

static const struct example open_merge_examples[] = {
    {"!0:az !0:az", 2, 8, "resume 0-1 to 0"},
    {"!0:az70", 2, 8, "resume 0-0 to 0"},
    /* Newer runs wait for the open merge of their tier. */
    {"0:az 0:az !0:az !0:az", 2, 8, "resume 2-3 to 0"},
    {"0:az !0:az !0:az !1:az 1:az 1:az", 2, 8, "resume 1-3 to 1"},
    {"3:az !4:az 5:az 5:az", 2, 3, "resume 1-1 to 4"},
    /* Merges of lower tiers come first, be they open or due; those of higher ones do not. */
    {"0:az 0:az !1:az !2:az", 2, 8, "merge 0-1 to 1"},
    {"0:az !1:az !2:az 2:az 2:az", 2, 8, "resume 1-2 to 2"},
    {"0:az50 !1:az !1:az", 4, 8, "resume 1-2 to 1"},
};

static const struct example garbage_examples[] = {
    {"0:az34", 4, 8, "none"},
    {"0:az35", 4, 8, "rewrite 0-0 to 0"},
    {"0:az100", 4, 8, "rewrite 0-0 to 0"},
    /* The largest share goes first, and of equal ones the newest. */
    {"0:az40 1:az60 2:az50", 4, 8, "rewrite 1-1 to 1"},
    {"0:az40 1:az40 2:az30", 4, 8, "rewrite 0-0 to 0"},
    /* Full tiers come before garbage. */
    {"0:az90 1:az 1:az", 2, 8, "merge 1-2 to 2"},
    /* Unless the store as a whole is full of it, beyond half a segment. */
    {"0:az 0:az 1:az90 2:az90 2:az90", 2, 8, "rewrite 0-2 to 1"},
    {"0:az 0:az 1:az90 !2:az90 2:az90", 2, 8, "resume 3-3 to 2"},
    /* With the run that has most of it go newer ones that are smaller, garbage or not. */
    {"0:az90 0:az90 1:az90 2:az91", 2, 8, "rewrite 0-3 to 2"},
    {"0:az 1:az60 1:az90 2:az91", 2, 8, "rewrite 0-3 to 2"},
    {"0:az 0:az 1:az70 2:az70 2:az70", 2, 8, "merge 0-1 to 1"},
    /* A run stays in its tier, also one deeper than this user goes. */
    {"0:az 6:az50", 4, 3, "rewrite 1-1 to 6"},
};

#define COUNT_OF(table) (int)(sizeof(table) / sizeof((table)[0]))

START_TEST(test_policy_merges_full_tiers)
{
    assert_example(&tier_examples[_i]);
}
END_TEST

START_TEST(test_policy_joins_ascending_runs)
{
    assert_example(&join_examples[_i]);
}
END_TEST

START_TEST(test_policy_resumes_open_merges)
{
    assert_example(&open_merge_examples[_i]);
}
END_TEST

START_TEST(test_policy_rewrites_garbage)
{
    assert_example(&garbage_examples[_i]);
}
END_TEST

/* Goal: small segments are merged into large ones even if joining would be free. */
START_TEST(test_policy_joins_only_large_segments)
{
    struct kv_manifest manifest = manifest_of("0:gh 0:ef 0:cd 0:ab");
    struct kv_policy policy = policy_of(4, 8);
    uint64_t quarter_and_slack = (UNIT_BYTES + KV_HEADER_BYTES) * 64 / 15;

    policy.max_segment_bytes = quarter_and_slack;
    ck_assert_int_eq(kv_policy_choose(&manifest, &policy).action, KV_ACTION_JOIN);
    policy.max_segment_bytes = quarter_and_slack + 64;
    ck_assert_int_eq(kv_policy_choose(&manifest, &policy).action, KV_ACTION_MERGE);
    kv_manifest_release(&manifest);
}
END_TEST

/* Make a run of four segments of the largest size, half of them dead. */
static void enlarge(struct kv_manifest *manifest, size_t run)
{
    const uint64_t large = KV_SEGMENT_MAX_BYTES - KV_HEADER_BYTES;
    struct kv_segment_info segments[4];

    for (size_t i = 0; i < 4; i++)
        segments[i] = segment(manifest->next_number++, large, large / 2);
    ck_kv(kv_manifest_replace_runs(manifest, run, 1, manifest->runs[run].tier, segments, 4));
}

/* Goal: of equal shares the one with fewer bytes is cheaper; products that need more than 64 bits. */
START_TEST(test_policy_compares_shares_exactly)
{
    struct kv_manifest manifest = manifest_of("0:az 1:az50 2:az");
    struct kv_policy policy = policy_of(4, 8);

    policy.max_segment_bytes = UINT64_C(1) << 40; /* all that garbage is not much */
    enlarge(&manifest, 0);
    enlarge(&manifest, 2);
    ck_assert_uint_eq(kv_policy_choose(&manifest, &policy).first_run, 1);
    manifest.runs[1].segments[0].dead_bytes = 0;
    ck_assert_uint_eq(kv_policy_choose(&manifest, &policy).first_run, 0);
    manifest.runs[2].segments[0].dead_bytes++;
    ck_assert_uint_eq(kv_policy_choose(&manifest, &policy).first_run, 2);
    kv_manifest_release(&manifest);
}
END_TEST

/* Goal: an estimate of less than one record is no reason to write a tiny run again and again. */
START_TEST(test_policy_ignores_less_than_a_record)
{
    struct kv_manifest manifest = manifest_of("0:az");
    struct kv_policy policy = policy_of(4, 8);

    manifest.runs[0].segments[0].end_bytes = KV_HEADER_BYTES + 12;
    manifest.runs[0].segments[0].dead_bytes = 7;
    ck_assert_int_eq(kv_policy_choose(&manifest, &policy).action, KV_ACTION_NONE);
    manifest.runs[0].segments[0].dead_bytes = 8;
    ck_assert_int_eq(kv_policy_choose(&manifest, &policy).action, KV_ACTION_REWRITE);
    kv_manifest_release(&manifest);
}
END_TEST

/* ---- Reasons */

static void assert_reason(const char *runs, size_t run, const char *expected)
{
    struct kv_manifest manifest = manifest_of(runs);
    struct kv_policy policy = policy_of(4, 3);
    char is[64];

    kv_policy_reason(&manifest, &policy, run, is, sizeof(is));
    ck_assert_str_eq(is, expected);
    kv_policy_reason(&manifest, &policy, run, is, 5);
    ck_assert_uint_eq(strlen(is), 4);
    kv_manifest_release(&manifest);
}

START_TEST(test_policy_reasons)
{
    assert_reason("0:az3 0:az", 0, "tier 0 has 2 of 4 runs, 3% dead");
    assert_reason("0:az3 0:az", 1, "tier 0 has 2 of 4 runs, 0% dead");
    assert_reason("0:az 0:az 0:az 0:az", 2, "merge: tier 0 has 4 runs");
    assert_reason("0:gh 0:ef 0:cd 0:ab90", 3, "join: 4 ascending runs");
    assert_reason("0:az 2:az92", 1, "rewrite: 92% dead");
    assert_reason("0:az 2:az92", 0, "tier 0 has 1 of 4 runs, 0% dead");
    /* The second full tier has its turn too. */
    assert_reason("0:az 0:az 0:az 0:az 1:az 1:az 1:az 1:az", 5, "merge: tier 1 has 4 runs");
    assert_reason("0:az 0:az !0:az !0:az", 0, "tier 0 has 2 of 4 runs, 0% dead");
    assert_reason("0:az 0:az !0:az !0:az", 2, "in an open merge");
    assert_reason("2:az 5:az", 1, "tier 2 has 2 of 4 runs, 0% dead");
}
END_TEST

/* An estimate may exceed what there is: the dead share stays a share. */
START_TEST(test_policy_reason_never_exceeds_100_percent)
{
    struct kv_manifest manifest = manifest_of("0:az");
    struct kv_policy policy = policy_of(4, 3);
    char is[64];

    manifest.runs[0].segments[0].dead_bytes = UNIT_BYTES + KV_HEADER_BYTES;
    kv_policy_reason(&manifest, &policy, 0, is, sizeof(is));
    ck_assert_str_eq(is, "rewrite: 100% dead");
    kv_manifest_release(&manifest);
}
END_TEST

/* ---- Pressure */

struct pressure_example {
    unsigned run_count, dead_percent; /* runs of one unit each */
    unsigned first, count;            /* of them a merge is reading these … */
    double left_share;                /* … and has still so much to read */
    double expected;
};

/* fanout 2, tiers 8: at most 32 runs; garbage_ratio 0.35; 0.7 units of garbage weigh nothing. */
static const struct pressure_example pressure_examples[] = {
    {0, 0, 0, 0, 1, 0},
    {16, 0, 0, 0, 1, 0},
    {24, 0, 0, 0, 1, 0.5},
    {32, 0, 0, 0, 1, 1},
    {48, 0, 0, 0, 1, 2},
    {90, 0, 0, 0, 1, 2},
    {10, 40, 0, 0, 1, 0},
    {10, 50, 0, 0, 1, (0.5 - 0.07 - 0.35) / 0.325},
    {10, 100, 0, 0, 1, (1 - 0.07 - 0.35) / 0.325},
    {1, 70, 0, 0, 1, 0},
    /* The larger one counts. */
    {20, 50, 0, 0, 1, (0.5 - 0.035 - 0.35) / 0.325},
    {28, 50, 0, 0, 1, 0.75},
    /* What has been read counts no more. */
    {32, 0, 4, 16, 1, 1},
    {32, 0, 4, 16, 0.5, 0.5},
    {32, 0, 4, 16, 0, 0},
    {10, 100, 0, 10, 0.5, (1 - 0.14 - 0.35) / 0.325},
    {10, 100, 0, 10, 0, 0},
    /* What was alive counts all the time. */
    {20, 60, 0, 10, 0, (6 - 0.7) / 14 > 0.35 ? ((6 - 0.7) / 14 - 0.35) / 0.325 : 0},
};

START_TEST(test_policy_pressure)
{
    const struct pressure_example *example = &pressure_examples[_i];
    struct kv_headway headway = {example->first, example->count, example->left_share};
    struct kv_manifest manifest = empty_manifest();
    struct kv_policy policy = policy_of(2, 8);
    char word[16];

    policy.max_segment_bytes = UNIT_BYTES * 14 / 10;
    snprintf(word, sizeof(word), "0:az%u", example->dead_percent);
    for (unsigned i = 0; i < example->run_count; i++)
        add_word(&manifest, word);
    ck_assert_double_eq_tol(kv_policy_pressure(&manifest, &policy, &headway), example->expected,
                            1e-9);
    kv_manifest_release(&manifest);
}
END_TEST

/* ---- Carrying it out */

static uint64_t random_state;

static size_t random_below(size_t count)
{
    random_state = kv_digest_add(random_state, 1);
    return random_state % count;
}

static void add_random_run(struct kv_manifest *manifest, size_t position, unsigned tier)
{
    /* Nothing, something or all of it is dead, but never all except a part of a record. */
    uint64_t bytes = 20 + random_below(UNIT_BYTES);
    uint64_t dead[] = {0, random_below(bytes - 8), bytes};
    struct kv_segment_info info = segment(manifest->next_number++, bytes, dead[random_below(3)]);
    /* Ascending keys half of the time, as from an application that counts upwards. */
    char key = (char)('a' + random_below(26));

    if (random_below(2))
        key = (char)('a' + manifest->next_number % 26);
    set_key(&info.min_key, &key, 1);
    set_key(&info.max_key, &key, 1);
    ck_kv(kv_manifest_replace_runs(manifest, position, 0, tier, &info, 1));
}

static uint64_t live_bytes(const struct kv_run *run)
{
    uint64_t live = 0;

    for (size_t i = 0; i < run->segment_count; i++) {
        const struct kv_segment_info *info = &run->segments[i];

        live += info->end_bytes - KV_HEADER_BYTES - info->dead_bytes;
    }
    return live;
}

static uint64_t all_live_bytes(const struct kv_manifest *manifest)
{
    uint64_t live = 0;

    for (size_t i = 0; i < manifest->run_count; i++)
        live += live_bytes(&manifest->runs[i]);
    return live;
}

/* Rewrite as the engine would: one run of what is alive, if anything is. */
static void rewrite(struct kv_manifest *manifest, struct kv_choice choice)
{
    struct kv_segment_info info = {0};
    uint64_t live = 0;

    for (size_t i = choice.first_run; i < choice.first_run + choice.run_count; i++)
        live += live_bytes(&manifest->runs[i]);
    if (live > 0) {
        info = segment(manifest->next_number++, live, 0);
        set_key(&info.min_key, "a", 1);
        set_key(&info.max_key, "z", 1);
    }
    ck_kv(kv_manifest_replace_runs(manifest, choice.first_run, choice.run_count, choice.tier, &info,
                                   live > 0 ? 1 : 0));
}

static void apply(struct kv_manifest *manifest, struct kv_choice choice)
{
    ck_assert_uint_le(choice.first_run + choice.run_count, manifest->run_count);
    if (choice.action == KV_ACTION_JOIN)
        ck_kv(kv_manifest_join_runs(manifest, choice.first_run, choice.run_count, choice.tier));
    else
        rewrite(manifest, choice);
    ck_kv(kv_manifest_check(manifest));
}

/* Carry out choices until there are none; returns how many there were. */
static size_t settle(struct kv_manifest *manifest, const struct kv_policy *policy)
{
    size_t bound = 2 * manifest->run_count + 1;

    for (size_t steps = 0; steps <= bound; steps++) {
        struct kv_choice choice = kv_policy_choose(manifest, policy);

        if (choice.action == KV_ACTION_NONE)
            return steps;
        apply(manifest, choice);
    }
    ck_abort_msg("no end after %zu actions", bound);
    return 0;
}

static void assert_settled(const struct kv_manifest *manifest, const struct kv_policy *policy)
{
    size_t counts[KV_TIER_COUNT] = {0};

    for (size_t i = 0; i < manifest->run_count; i++) {
        unsigned tier = manifest->runs[i].tier;

        counts[tier < policy->tier_count ? tier : policy->tier_count - 1]++;
    }
    for (unsigned tier = 0; tier < policy->tier_count; tier++)
        ck_assert_uint_lt(counts[tier], policy->fanout);
}

static struct kv_policy random_policy(void)
{
    struct kv_policy policy =
        policy_of((unsigned)(2 + random_below(6)), (unsigned)(1 + random_below(KV_TIER_COUNT)));

    policy.garbage_ratio = 0.05 + (double)random_below(90) / 100;
    policy.max_segment_bytes = (1 + random_below(8)) * UNIT_BYTES;
    return policy;
}

static struct kv_manifest random_manifest(void)
{
    struct kv_manifest manifest = empty_manifest();
    unsigned tier = 0;

    for (size_t count = random_below(80); count > 0; count--) {
        tier += random_below(10) == 0 && tier + 1 < KV_TIER_COUNT;
        add_random_run(&manifest, manifest.run_count, tier);
    }
    return manifest;
}

/*
 * Goal: from any manifest the choices come to an end, with no full tier left
 * and nothing lost; the manifest is VALID after each.
 */
START_TEST(test_policy_settles)
{
    random_state = (uint64_t)_i;
    for (int round = 0; round < 300; round++) {
        struct kv_policy policy = random_policy();
        struct kv_manifest manifest = random_manifest();
        uint64_t live = all_live_bytes(&manifest);

        settle(&manifest, &policy);
        assert_settled(&manifest, &policy);
        ck_assert_uint_eq(all_live_bytes(&manifest), live);
        kv_manifest_release(&manifest);
    }
}
END_TEST

/* Goal: a store that the policy leaves as it is exerts none, so that nobody waits for nothing. */
START_TEST(test_policy_pressure_ends)
{
    const struct kv_headway none = {0};

    random_state = (uint64_t)_i + 200;
    for (int round = 0; round < 300; round++) {
        struct kv_policy policy = random_policy();
        struct kv_manifest manifest = random_manifest();

        settle(&manifest, &policy);
        ck_assert_double_eq(kv_policy_pressure(&manifest, &policy, &none), 0);
        kv_manifest_release(&manifest);
    }
}
END_TEST

/*
 * Goal: logs that keep coming cost a bounded number of actions each, and runs
 * do not pile up.
 */
START_TEST(test_policy_keeps_up)
{
    random_state = (uint64_t)_i + 100;
    for (int round = 0; round < 20; round++) {
        struct kv_policy policy = random_policy();
        struct kv_manifest manifest = empty_manifest();
        size_t steps = 0;

        for (int log = 0; log < 300; log++) {
            add_random_run(&manifest, 0, 0);
            steps += settle(&manifest, &policy);
            assert_settled(&manifest, &policy);
        }
        ck_assert_uint_le(steps, 2 * 300);
        kv_manifest_release(&manifest);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tables = tcase_create("tables");
    TCase *simulation = tcase_create("simulation");

    tcase_add_loop_test(tables, test_policy_merges_full_tiers, 0, COUNT_OF(tier_examples));
    tcase_add_loop_test(tables, test_policy_joins_ascending_runs, 0, COUNT_OF(join_examples));
    tcase_add_loop_test(tables, test_policy_resumes_open_merges, 0, COUNT_OF(open_merge_examples));
    tcase_add_loop_test(tables, test_policy_rewrites_garbage, 0, COUNT_OF(garbage_examples));
    tcase_add_test(tables, test_policy_joins_only_large_segments);
    tcase_add_test(tables, test_policy_compares_shares_exactly);
    tcase_add_test(tables, test_policy_ignores_less_than_a_record);
    tcase_add_test(tables, test_policy_reasons);
    tcase_add_test(tables, test_policy_reason_never_exceeds_100_percent);
    tcase_add_loop_test(tables, test_policy_pressure, 0, COUNT_OF(pressure_examples));
    suite_add_tcase(suite, tables);
    tcase_set_timeout(simulation, 60);
    tcase_add_loop_test(simulation, test_policy_settles, 0, 4);
    tcase_add_loop_test(simulation, test_policy_pressure_ends, 0, 4);
    tcase_add_loop_test(simulation, test_policy_keeps_up, 0, 4);
    suite_add_tcase(suite, simulation);
    return kv_run_suite(suite);
}
