/*
 * Every call site of io.h in core/ meets every error that its call can return.
 *
 * Each scene (play.h) is rehearsed, which tells where it makes calls, and how often. Then it
 * is played again for each of these places, each error, and some of the visits there, with
 * that call failing. Where a failure leads to calls that nothing else leads to, those are failed as well.
 * Afterwards nothing fails any more, and the store must open with all that was promised.
 *
 *   faults [--visits <n>]    how many visits of each place to disturb in each scene (default: 2)
 *
 * Exits with 0 if all scenes held, and no place is left without one of its errors.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#include "play.h"
#include "runner.h"
#include "sites.h"

/* ---- Errors */

enum error {
    INPUT_OUTPUT,    /* EIO, EMFILE, …: this call */
    INPUT_OUTPUT_ON, /* and all that follow, of any kind */
    FULL,            /* ENOSPC, EDQUOT */
    FULL_ON,         /* and for all that follow and take space */
    FULL_HALFWAY,    /* a part is written */
    NO_MEMORY,       /* ENOMEM */
    LOST,            /* a sync fails, and what was not on disk is gone from the cache, too */
    LOST_ON,         /* and so do all syncs that follow */
    ERRORS,
};

static const struct {
    const char *name;
    enum kv_status status;
    bool lasts;
} errors[ERRORS] = {
    [INPUT_OUTPUT] = {"EIO", KV_IOERR, false},
    [INPUT_OUTPUT_ON] = {"EIO from then on", KV_IOERR, true},
    [FULL] = {"ENOSPC", KV_FULL, false},
    [FULL_ON] = {"ENOSPC from then on", KV_FULL, true},
    [FULL_HALFWAY] = {"ENOSPC halfway", KV_FULL, false},
    [NO_MEMORY] = {"ENOMEM", KV_NOMEM, false},
    [LOST] = {"EIO with loss", KV_IOERR, false},
    [LOST_ON] = {"EIO with loss from then on", KV_IOERR, true},
};

static bool takes_space(const struct site *site)
{
    switch (site->call) {
    case KV_MEMFS_DIR_CREATE:
    case KV_MEMFS_FILE_TEMPORARY:
    case KV_MEMFS_RENAME:
    case KV_MEMFS_LINK:
    case KV_MEMFS_WRITE:
    case KV_MEMFS_ALLOCATE:
    case KV_MEMFS_SYNC:
    case KV_MEMFS_DATASYNC: return true;
    case KV_MEMFS_FILE_OPEN: return strstr(site->arguments, "KV_OPEN_CREATE") != NULL;
    default: return false;
    }
}

static bool can_fail(const struct site *site, enum error error)
{
    switch (error) {
    case INPUT_OUTPUT:
    case INPUT_OUTPUT_ON: return strstr(site->arguments, "KV_LOCK_NONE") == NULL;
    case FULL:
    case FULL_ON: return takes_space(site);
    case FULL_HALFWAY: return site->call == KV_MEMFS_WRITE;
    case NO_MEMORY: return site->call == KV_MEMFS_MAP;
    case LOST:
    case LOST_ON: return site->call == KV_MEMFS_SYNC || site->call == KV_MEMFS_DATASYNC;
    default: return false;
    }
}

/* ---- Sites */

enum { SITES_MAX = 512, SCENES_MAX = 64 };

extern struct site *__start_kv_sites[];
extern struct site *__stop_kv_sites[];

_Thread_local const struct site *site_here;

static size_t site_count(void)
{
    return (size_t)(__stop_kv_sites - __start_kv_sites);
}

static void sites_list(void)
{
    for (size_t i = 0; i < site_count(); i++)
        __start_kv_sites[i]->index = (unsigned)i;
    if (site_count() > SITES_MAX || scene_count > SCENES_MAX)
        abort();
}

/* ---- What all children of this process add up */

static struct {
    _Atomic unsigned met[SITES_MAX]; /* a bit for each error */
    _Atomic uint64_t plays, faults;
    char now[SCENES_MAX][512]; /* what is being tried, by scene */
} * total;

static unsigned visits_max = 2;

/* ---- Attempts */

struct fault {
    const struct site *site; /* NULL: none */
    uint64_t visit;          /* 1: the first */
    enum error error;
};

enum { FAULTS = 3 };

/* Faults of one play, and how often it came where. */
struct attempt {
    struct fault faults[FAULTS]; /* in the order in which they come */
    uint64_t visits[SITES_MAX];
    int lasting; /* an error; -1: none */
};

static enum kv_status meet(const struct site *site, enum error error, unsigned *flags)
{
    atomic_fetch_or(&total->met[site->index], 1u << error);
    if (error == FULL_HALFWAY)
        *flags = KV_MEMFS_PARTIAL;
    return errors[error].status;
}

static enum kv_status judge(void *context, enum kv_memfs_call call, unsigned *flags)
{
    struct attempt *attempt = context;
    const struct site *site = site_here;
    uint64_t visit;

    site_here = NULL;
    if (!site || site->call != call)
        return KV_OK; /* the test's own call */
    visit = ++attempt->visits[site->index];
    for (int i = 0; i < FAULTS; i++) {
        const struct fault *fault = &attempt->faults[i];

        if (fault->site != site || fault->visit != visit)
            continue;
        if (errors[fault->error].lasts)
            attempt->lasting = (int)fault->error;
        return meet(site, fault->error, flags);
    }
    if (attempt->lasting >= 0 && can_fail(site, (enum error)attempt->lasting))
        return meet(site, (enum error)attempt->lasting, flags);
    return KV_OK;
}

static bool loses(const struct attempt *attempt)
{
    for (int i = 0; i < FAULTS; i++)
        if (attempt->faults[i].site &&
            (attempt->faults[i].error == LOST || attempt->faults[i].error == LOST_ON))
            return true;
    return false;
}

static void announce(const struct scene *scene, const struct attempt *attempt)
{
    char *now = total->now[scene - scenes];
    int size = snprintf(now, sizeof(total->now[0]), "%s", scene->name);

    for (int i = 0; i < FAULTS && attempt->faults[i].site; i++) {
        const struct fault *fault = &attempt->faults[i];

        size += snprintf(now + size, sizeof(total->now[0]) - (size_t)size, "; %s:%u, visit %u: %s",
                         fault->site->file, fault->site->line, (unsigned)fault->visit,
                         errors[fault->error].name);
    }
}

/* ---- Plays */

/* What a scene begins with, made once; scenes of two processes make it each time. */
static struct play prepared;

static void begin(const struct scene *scene, struct play *play)
{
    if (scene->has_two_processes) {
        uint64_t *digests = play->digests;

        *play = (struct play){.digests = digests, .is_rehearsal = play->is_rehearsal};
        scene->prepare(play);
        return;
    }
    *play = prepared;
    play->world.fs = kv_memfs_clone(prepared.world.fs);
    play->world.io = play->world.options.io = kv_memfs_io(play->world.fs);
}

static void give_back(struct world *world)
{
    (void)!kv_store_close(world->store); /* what it says no longer matters */
    world->store = NULL;
}

/* All that was promised is there, and nothing that was not. */
static void expect_promises(struct play *play)
{
    struct world *world = &play->world;
    uint64_t seq = kv_store_seq(world->store), digest = world_digest(world);

    if (play->is_rehearsal)
        play->digests[seq] = digest;
    if (play->destroyed)
        return;
    ck_assert_uint_ge(seq, play->loses ? play->durable_seq : play->promised_seq);
    ck_assert_uint_le(seq, play->promised_seq + play->unknown);
    ck_assert_uint_eq(digest, play->digests[seq]);
}

/* One more transaction, a compaction and an opening change nothing else. */
static void expect_use(struct world *world)
{
    uint64_t digest;

    world_check(world);
    world_put(world, "one more", "transaction");
    digest = world_digest(world);
    ck_kv(kv_compact(world->store, NULL, NULL));
    world_reopen(world);
    ck_assert_uint_eq(world_digest(world), digest);
    world_check(world);
}

static void end(const struct scene *scene, struct play *play)
{
    struct world *world = &play->world;

    kv_memfs_heal(world->fs);
    kv_memfs_set_sync_loss(world->fs, false);
    give_back(world);
    if (scene->has_two_processes)
        give_back(&play->other);
    if (scene->check)
        scene->check(play);
    world_open(world);
    expect_promises(play);
    expect_use(world);
    atomic_fetch_add(&total->faults, kv_memfs_fault_count(world->fs));
    atomic_fetch_add(&total->plays, 1);
    world_end(world);
}

/* Play a scene with the faults of an attempt, whose visits are counted. */
static void perform(const struct scene *scene, struct attempt *attempt, uint64_t *digests,
                    bool is_rehearsal)
{
    struct play play = {.digests = digests, .is_rehearsal = is_rehearsal};

    announce(scene, attempt);
    attempt->lasting = -1;
    memset(attempt->visits, 0, sizeof(attempt->visits));
    site_here = NULL;
    begin(scene, &play);
    play.is_rehearsal = is_rehearsal;
    play.loses = loses(attempt);
    kv_memfs_set_sync_loss(play.world.fs, play.loses);
    kv_memfs_set_judge(play.world.fs, judge, attempt);
    scene->work(&play);
    if (!attempt->faults[0].site)
        ck_assert_msg(play.st == KV_OK, "undisturbed: %s", kv_message());
    else
        ck_assert_msg(play.st == KV_OK || play.st == KV_IOERR || play.st == KV_FULL ||
                          play.st == KV_NOMEM || (play.st == KV_CORRUPT && play.loses),
                      "%s: %s", kv_status_name(play.st), kv_message());
    end(scene, &play);
}

/* ---- The sweep of one scene */

struct sweep {
    const struct scene *scene;
    uint64_t digests[PLAY_SEQS];
    uint64_t visits[SITES_MAX]; /* of an undisturbed play */
};

static bool is_unmet(const struct site *site, enum error error)
{
    return can_fail(site, error) && !(atomic_load(&total->met[site->index]) & 1u << error);
}

/* A play with faults came where undisturbed ones do not: there is to be one more fault. */
static void fail_again(struct sweep *sweep, const struct attempt *before)
{
    unsigned depth = 1;

    while (depth < FAULTS && before->faults[depth].site)
        depth++;
    for (size_t i = 0; i < site_count() && depth < FAULTS; i++) {
        if (before->visits[i] == 0 || sweep->visits[i] > 0)
            continue;
        for (int error = 0; error < ERRORS; error++) {
            struct attempt attempt = *before;

            if (!is_unmet(__start_kv_sites[i], (enum error)error))
                continue;
            attempt.faults[depth] = (struct fault){__start_kv_sites[i], 1, (enum error)error};
            perform(sweep->scene, &attempt, sweep->digests, false);
            fail_again(sweep, &attempt);
        }
    }
}

static void fail_at(struct sweep *sweep, const struct site *site, uint64_t visit)
{
    for (int error = 0; error < ERRORS; error++) {
        struct attempt attempt = {.faults = {{site, visit, (enum error)error}}};

        if (!can_fail(site, (enum error)error) ||
            (sweep->scene->is_long && !is_unmet(site, (enum error)error)))
            continue;
        perform(sweep->scene, &attempt, sweep->digests, false);
        if (!errors[error].lasts)
            fail_again(sweep, &attempt);
    }
}

/* Some of its visits, the first and the last among them. */
static void fail_site(struct sweep *sweep, size_t i)
{
    uint64_t count = sweep->visits[i], tries = count < visits_max ? count : visits_max;

    for (uint64_t try = 0; try < tries; try++)
        fail_at(sweep, __start_kv_sites[i], tries == 1 ? 1 : 1 + try * (count - 1) / (tries - 1));
}

START_TEST(test_faults_at_every_site)
{
    struct sweep sweep = {.scene = &scenes[_i]};
    struct attempt undisturbed = {0};

    prepared = (struct play){.digests = sweep.digests, .is_rehearsal = true};
    if (!scenes[_i].has_two_processes)
        scenes[_i].prepare(&prepared);
    perform(sweep.scene, &undisturbed, sweep.digests, true);
    perform(sweep.scene, &undisturbed, sweep.digests, false); /* the rehearsal reads more */
    memcpy(sweep.visits, undisturbed.visits, sizeof(sweep.visits));
    for (size_t i = 0; i < site_count(); i++)
        fail_site(&sweep, i);
    if (!scenes[_i].has_two_processes)
        world_end(&prepared.world);
}
END_TEST

/* ---- The report */

static unsigned report(void)
{
    unsigned sites = 0, sites_met = 0, pairs = 0, pairs_met = 0;

    for (size_t i = 0; i < site_count(); i++) {
        const struct site *site = __start_kv_sites[i];
        unsigned before = pairs, met = pairs_met;

        for (int error = 0; error < ERRORS; error++) {
            if (!can_fail(site, (enum error)error))
                continue;
            pairs++;
            pairs_met += !is_unmet(site, (enum error)error);
            if (is_unmet(site, (enum error)error))
                printf("missing: %s:%u (%s): %s\n", site->file, site->line, site->arguments,
                       errors[error].name);
        }
        sites += pairs > before;
        sites_met += pairs > before && pairs_met - met == pairs - before;
    }
    printf("fault sites: %u of %u, errors: %u of %u, %llu faults in %llu plays of %u scenes\n",
           sites_met, sites, pairs_met, pairs, (unsigned long long)total->faults,
           (unsigned long long)total->plays, scene_count);
    return pairs - pairs_met;
}

static Suite *faults_suite(void)
{
    Suite *suite = suite_create("faults");
    TCase *tests = tcase_create("faults");

    tcase_set_timeout(tests, 60 * visits_max);
    tcase_add_loop_test(tests, test_faults_at_every_site, 0, (int)scene_count);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    int failed;

    if (argc == 3 && strcmp(argv[1], "--visits") == 0)
        visits_max = (unsigned)atoi(argv[2]);
    if (visits_max == 0 || (argc != 3 && argc != 1)) {
        fprintf(stderr, "usage: faults [--visits <n>]\n");
        return EXIT_FAILURE;
    }
    total = mmap(NULL, sizeof(*total), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (total == MAP_FAILED)
        abort();
    sites_list();
    failed = kv_run_suite(faults_suite());
    for (unsigned i = 0; i < scene_count; i++)
        if (failed || strchr(total->now[i], ';') == NULL)
            printf("%u: the last play was: %s\n", i, total->now[i]);
    return report() > 0 || failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
