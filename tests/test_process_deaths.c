/*
 * A process that shares a store is killed at each of its calls in turn, before
 * it and right behind it: opening, committing in all modes, sealing, merging,
 * replacing MANIFEST, failing over, closing.
 *
 * Whoever lives goes on at once: the lock is free, what was acknowledged is
 * there, the transaction at work is there in whole or not at all. Every fourth
 * call, unless KV_TEST_SCALE is more than 1.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine_world.h"
#include "model.h"
#include "runner.h"

enum { ROW_BYTES = 3000, LARGE_BYTES = 300 * 1024, STEPS = 12 };

/* One to be killed; one that lives, perhaps; one that only reads. */
static struct world victim, survivor, reader;

static struct model_figures *figures;

static void begin_world(void)
{
    world_init(&victim);
    world_join(&survivor, &victim);
    world_join(&reader, &victim);
    victim.io = victim.options.io = kv_memfs_process(victim.fs);
    reader.options.readonly = true;
}

static void end_world(void)
{
    world_end(&reader);
    world_end(&survivor);
    world_end(&victim);
}

/* ---- What the victim does: steps that leave a trace, one transaction each */

/* State k: row "last" says k, there are rows "s1" … "sk", and "gonek" alone of its kind. */
static enum kv_status put_step(struct kv_txn *txn, unsigned step, size_t row_bytes)
{
    static uint8_t row[LARGE_BYTES];
    char key[16], number[16];
    enum kv_status st;

    snprintf(number, sizeof(number), "%u", step);
    snprintf(key, sizeof(key), "s%u", step);
    memset(row, (int)step, row_bytes);
    st = kv_txn_put(txn, kv_slice_text("last"), kv_slice_text(number));
    if (st == KV_OK)
        st = kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, row_bytes));
    snprintf(key, sizeof(key), "gone%u", step);
    if (st == KV_OK)
        st = kv_txn_put(txn, kv_slice_text(key), kv_slice_text("x"));
    snprintf(key, sizeof(key), "gone%u", step - 1);
    if (st == KV_OK)
        st = kv_txn_delete(txn, kv_slice_text(key));
    return st;
}

static enum kv_status write_step(struct kv_store *store, const struct kv_settings *settings,
                                 unsigned step, size_t row_bytes)
{
    struct kv_txn *txn;
    enum kv_status st = kv_txn_begin(store, settings, &txn);

    if (st != KV_OK)
        return st;
    st = put_step(txn, step, row_bytes);
    if (st == KV_OK)
        return kv_txn_commit(txn);
    kv_txn_abort(txn);
    return st;
}

static bool is_dead(void)
{
    return kv_memfs_process_is_dead(victim.io);
}

struct script {
    enum kv_synchronous synchronous;
    unsigned done;      /* transactions that returned KV_OK */
    unsigned durable;   /* of those, the last that was FULL */
    unsigned attempted; /* the last one begun */
};

static enum kv_status commit_step(struct script *script, size_t row_bytes)
{
    struct kv_settings settings = victim.options.settings;
    enum kv_status st;

    settings.synchronous = script->attempted % 3 == 2 ? KV_SYNC_OFF : script->synchronous;
    st = write_step(victim.store, &settings, ++script->attempted, row_bytes);
    if (st != KV_OK || is_dead()) /* the dead acknowledge nothing */
        return st;
    script->done = script->attempted;
    if (settings.synchronous == KV_SYNC_FULL)
        script->durable = script->done;
    return KV_OK;
}

/* Prepare the next step, and take it back. */
static enum kv_status unprepare_step(struct script *script)
{
    struct kv_txn *txn;
    enum kv_status st = kv_txn_begin(victim.store, NULL, &txn);

    if (st != KV_OK)
        return st;
    script->attempted++;
    st = put_step(txn, script->attempted, ROW_BYTES);
    if (st == KV_OK)
        st = kv_txn_prepare(txn);
    kv_txn_abort(txn);
    if (!is_dead())
        script->attempted--;
    return st;
}

/* Run to the end, or to death. */
static void run(struct script *script)
{
    enum kv_status st = kv_store_open(WORLD_PATH, &victim.options, &victim.store);

    for (unsigned i = 0; i < STEPS && st == KV_OK; i++)
        st = commit_step(script, i == 7 ? LARGE_BYTES : ROW_BYTES);
    if (st == KV_OK)
        st = unprepare_step(script);
    if (st == KV_OK)
        st = engine_try_seal(&victim);
    for (unsigned i = 0; i < 2 && st == KV_OK; i++)
        st = commit_step(script, ROW_BYTES);
    if (st == KV_OK)
        st = kv_compact(victim.store, NULL, NULL);
    if (st == KV_OK)
        st = commit_step(script, ROW_BYTES);
    if (victim.store) {
        enum kv_status closed = kv_store_close(victim.store);

        victim.store = NULL;
        st = st == KV_OK ? closed : st;
    }
    if (st != KV_OK && !is_dead())
        ck_abort_msg("%s: %s", kv_status_name(st), kv_message());
}

/* ---- What the others find */

static bool has(struct world *world, char letter, unsigned number)
{
    char key[16];
    void *row;
    size_t size;
    enum kv_status st;

    snprintf(key, sizeof(key), letter == 's' ? "s%u" : "gone%u", number);
    st = kv_get(world->store, kv_slice_text(key), &row, &size);
    if (st != KV_OK && st != KV_DONE)
        ck_abort_msg("%s: %s", kv_status_name(st), kv_message());
    free(row);
    return st == KV_OK;
}

/* Which state the store is in; all of it must fit. */
static unsigned state_of(struct world *world)
{
    char number[16] = "0";
    unsigned state;
    void *row;
    size_t size;
    enum kv_status st = kv_get(world->store, kv_slice_text("last"), &row, &size);

    if (st != KV_OK && st != KV_DONE)
        ck_abort_msg("%s: %s", kv_status_name(st), kv_message());
    if (st == KV_OK)
        snprintf(number, sizeof(number), "%.*s", (int)size, (char *)row);
    free(row);
    state = (unsigned)strtoul(number, NULL, 10);
    for (unsigned i = 1; i <= STEPS + 4; i++)
        if (has(world, 's', i) != (i <= state) || has(world, 'g', i) != (i == state))
            ck_abort_msg("row %u does not fit state %u", i, state);
    return state;
}

static enum kv_status fail_on_problem(void *context, const struct kv_problem *problem)
{
    (void)context;
    ck_abort_msg("segment %llu: %s", (unsigned long long)problem->segment, problem->text);
}

static void expect_between(unsigned state, unsigned least, unsigned most)
{
    if (state < least || state > most)
        ck_abort_msg("state %u, not %u … %u", state, least, most);
}

/* A new process in the place of the dead one. */
static void replace_victim(void)
{
    victim.io = victim.options.io = kv_memfs_process(victim.fs);
}

/* Everybody closes; whoever opens then finds a store without a trace of what has happened. */
static void close_and_look(unsigned state)
{
    if (reader.store)
        world_close(&reader);
    world_close(&survivor);
    if (victim.store)
        world_close(&victim);
    world_open(&survivor);
    expect_between(state_of(&survivor), state, state);
    world_check(&survivor);
    ck_kv(kv_compact(survivor.store, NULL, NULL));
    expect_between(state_of(&survivor), state, state);
    world_check(&survivor);
}

/* The others go on as if nothing had happened. */
static void go_on(const struct script *script)
{
    unsigned seen, state;

    world_open(&reader);
    seen = state_of(&reader);
    expect_between(seen, script->done, script->attempted);
    if (!survivor.store)
        world_open(&survivor);
    kv_txn_abort(world_begin(&survivor)); /* the lock is free, and doubt is resolved */
    state = state_of(&survivor);
    expect_between(state, seen, script->attempted);
    expect_between(state_of(&reader), state, state);
    ck_kv_fast(kv_store_check(survivor.store, NULL, fail_on_problem, NULL));
    replace_victim();
    world_open(&victim);
    ck_kv_fast(write_step(victim.store, NULL, state + 1, ROW_BYTES));
    ck_kv_fast(write_step(survivor.store, NULL, state + 2, ROW_BYTES));
    expect_between(state_of(&victim), state + 2, state + 2);
    expect_between(state_of(&reader), state + 2, state + 2);
    close_and_look(state + 2);
}

/* A new process opens what the power has left. */
static void open_after_power(const struct script *script, unsigned durable)
{
    unsigned state;

    world_open(&survivor);
    state = state_of(&survivor);
    expect_between(state, durable, script->attempted);
    ck_kv_fast(write_step(survivor.store, NULL, state + 1, ROW_BYTES));
    close_and_look(state + 1);
}

/* The power fails before anybody could do something about the death. */
static void lose_power(const struct script *script, uint64_t seed)
{
    kv_memfs_crash(victim.fs, seed % 4 ? KV_MEMFS_RANDOM : KV_MEMFS_DROP, seed);
    if (survivor.store) {
        enum kv_status st = kv_store_close(survivor.store);

        (void)st;
        survivor.store = NULL;
    }
    open_after_power(script, script->durable);
}

/* The last one closes, without having written since the death, then the power fails: nothing is lost. */
static void close_and_lose_power(const struct script *script)
{
    if (!survivor.store)
        world_open(&survivor);
    world_close(&survivor);
    kv_memfs_crash(victim.fs, KV_MEMFS_DROP, 0);
    open_after_power(script, script->done);
}

enum scene {
    ALONE,         /* nobody else has the store open */
    ACCOMPANIED,   /* another process has */
    AFTER_A_CRASH, /* alone, with a store to be recovered first */
    IN_DOUBT,      /* another process has, and a third died just now, with its commit prepared */
    SCENES,
};

/* Another process writes, and is killed with a prepared transaction. */
static void die_earlier(void)
{
    struct world earlier;
    struct kv_txn *txn;
    enum kv_status st;

    world_join(&earlier, &survivor);
    world_open(&earlier);
    world_put(&earlier, "earlier", "1");
    txn = world_begin(&earlier);
    txn_put(txn, "earlier", "2");
    ck_kv_fast(kv_txn_prepare(txn));
    kv_memfs_kill_process(earlier.fs, earlier.io);
    kv_txn_abort(txn);
    st = kv_store_close(earlier.store);
    (void)st;
}

static void set_scene(enum scene scene)
{
    world_open(&survivor);
    if (scene == ALONE || scene == AFTER_A_CRASH)
        world_close(&survivor);
    if (scene == AFTER_A_CRASH || scene == IN_DOUBT)
        die_earlier();
}

enum aftermath { GO_ON, LOSE_POWER, CLOSE_AND_LOSE_POWER, AFTERMATHS };

/* False: the script was over before its nth call. */
static bool die_at(enum scene scene, uint64_t nth, bool behind, enum aftermath aftermath)
{
    struct script script = {.synchronous = nth % 2 ? KV_SYNC_FULL : KV_SYNC_NORMAL};
    bool died;

    figures->runs++;
    begin_world();
    set_scene(scene);
    kv_memfs_kill_process_at(victim.fs, victim.io, nth, behind);
    run(&script);
    died = is_dead();
    figures->kills += died;
    figures->crashes += died && aftermath != GO_ON;
    if (died && aftermath == GO_ON)
        go_on(&script);
    else if (died && aftermath == LOSE_POWER)
        lose_power(&script, nth);
    else if (died)
        close_and_lose_power(&script);
    end_world();
    return died;
}

/* Goal and method: see the top. */
START_TEST(test_process_deaths_at_every_call)
{
    enum scene scene = (enum scene)(_i % SCENES);
    bool behind = _i / SCENES % 2;
    enum aftermath aftermath = (enum aftermath)(_i / SCENES / 2);
    unsigned stride = model_scaled(1) > 1 ? 1 : 4;
    uint64_t nth = 1 + (unsigned)_i % stride;

    while (die_at(scene, nth, behind, aftermath))
        nth += stride;
    ck_assert_uint_gt(nth, 150);
}
END_TEST

static Suite *process_deaths_suite(void)
{
    Suite *suite = suite_create("process_deaths");
    TCase *tests = tcase_create("process_deaths");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_process_deaths_at_every_call, 0, SCENES * 2 * AFTERMATHS);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    int failed;

    figures = model_figures_new();
    failed = kv_run_suite(process_deaths_suite());
    printf("%llu kills at calls, %llu with a power cut behind\n",
           (unsigned long long)figures->kills, (unsigned long long)figures->crashes);
    return failed;
}
