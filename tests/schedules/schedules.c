/*
 * All schedules of small scenes (stage.h), up to a bound: processes that
 * attach, write, read, merge, die, in every order.
 *
 * In a short run all schedules with one deviation from "whoever runs goes on"
 * (a preemption, a death, a failed sync) and a share of those with more; with
 * --full all of them.
 *
 *   schedules [--scene NAME] [--full] [--preemptions N] [--share PERCENT]
 *             [--seed N] [--limit N] [--jobs N] [--replay DECISIONS [--trace]]
 *
 * One line of figures a scene. A failure says how to see it again.
 */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scenes.h"

struct wishes {
    const char *scene, *replay;
    bool full, trace;
    long preemptions, share; /* -1: the scene's */
    uint64_t seed, limit;
    unsigned jobs;
};

/* Shared by the jobs. */
static struct shared {
    _Atomic unsigned next, played, failed; /* scenes */
    _Atomic uint64_t schedules, states, deaths, power_cuts, faults;
} * shared;

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report(const struct stage *stage, double seconds)
{
    const struct explorer *explorer = &stage->explorer;

    printf("%-12s preemptions %u, share %3u%%: %8llu schedules (%llu cut short), %7llu states, "
           "%6llu kills, %5llu power cuts, %5llu faults, %.1f s\n",
           stage->scene->name, explorer->budget.preemptions, explorer->share_percent,
           (unsigned long long)stage->figures.schedules,
           (unsigned long long)stage->figures.cut_short, (unsigned long long)explorer->state_count,
           (unsigned long long)stage->figures.deaths, (unsigned long long)stage->figures.power_cuts,
           (unsigned long long)stage->figures.faults, seconds);
    fflush(stdout);
    shared->schedules += stage->figures.schedules;
    shared->states += explorer->state_count;
    shared->deaths += stage->figures.deaths;
    shared->power_cuts += stage->figures.power_cuts;
    shared->faults += stage->figures.faults;
}

static void run_scene(const struct scene *scene, const struct wishes *wishes)
{
    static struct stage stage;
    struct budget budget = scene->budget;
    unsigned share = wishes->full ? 100 - scene->spared_percent : scene->share_percent;
    double start_s = now_s();

    if (wishes->preemptions >= 0)
        budget.preemptions = (unsigned)wishes->preemptions;
    if (wishes->share >= 0)
        share = (unsigned)wishes->share;
    if (wishes->replay)
        budget = (struct budget){1000, 1000, 1000};
    stage_init(&stage, scene);
    explorer_init(&stage.explorer, budget);
    stage.explorer.share_percent = share;
    stage.explorer.seed = wishes->seed;
    stage.explorer.replay = wishes->replay;
    stage.trace = wishes->trace;
    stage_run(&stage, wishes->limit);
    report(&stage, now_s() - start_s);
    stage_release(&stage);
}

static const char *value_of(char **args, int *at, int count)
{
    if (++*at < count)
        return args[*at];
    fprintf(stderr, "schedules: %s needs a value\n", args[*at - 1]);
    exit(2);
}

static struct wishes parse(int count, char **args)
{
    struct wishes wishes = {
        .jobs = 1, .preemptions = -1, .share = -1, .seed = (uint64_t)time(NULL)};

    for (int i = 1; i < count; i++) {
        if (strcmp(args[i], "--full") == 0)
            wishes.full = true;
        else if (strcmp(args[i], "--trace") == 0)
            wishes.trace = true;
        else if (strcmp(args[i], "--scene") == 0)
            wishes.scene = value_of(args, &i, count);
        else if (strcmp(args[i], "--replay") == 0)
            wishes.replay = value_of(args, &i, count);
        else if (strcmp(args[i], "--preemptions") == 0)
            wishes.preemptions = strtol(value_of(args, &i, count), NULL, 10);
        else if (strcmp(args[i], "--share") == 0)
            wishes.share = strtol(value_of(args, &i, count), NULL, 10);
        else if (strcmp(args[i], "--seed") == 0)
            wishes.seed = strtoull(value_of(args, &i, count), NULL, 10);
        else if (strcmp(args[i], "--jobs") == 0)
            wishes.jobs = (unsigned)strtoul(value_of(args, &i, count), NULL, 10);
        else if (strcmp(args[i], "--limit") == 0)
            wishes.limit = strtoull(value_of(args, &i, count), NULL, 10);
        else {
            fprintf(stderr, "schedules: what is %s?\n", args[i]);
            exit(2);
        }
    }
    return wishes;
}

/* One thread runs at a time: waking one up is cheaper where it is. */
static void stay_on_one_cpu(unsigned job)
{
    cpu_set_t all, one;

    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof(all), &all) != 0)
        return;
    job %= (unsigned)CPU_COUNT(&all);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && job-- == 0)
            CPU_SET(cpu, &one);
    (void)!sched_setaffinity(0, sizeof(one), &one);
}

/* Run scenes that no other job has taken. */
static void run_job(const struct wishes *wishes)
{
    for (;;) {
        unsigned i = atomic_fetch_add(&shared->next, 1);

        if (i >= scene_count)
            return;
        if (wishes->scene && strcmp(wishes->scene, scenes[i].name) != 0)
            continue;
        run_scene(&scenes[i], wishes);
        atomic_fetch_add(&shared->played, 1);
    }
}

/* Several jobs are processes: each has one thread at work. */
static void run_jobs(const struct wishes *wishes)
{
    for (unsigned job = 0; job < wishes->jobs; job++) {
        pid_t child = fork();

        if (child == 0) {
            stay_on_one_cpu(job);
            run_job(wishes);
            _Exit(0);
        }
        if (child < 0)
            shared->failed++;
    }
    for (;;) {
        int status;

        if (wait(&status) < 0)
            return;
        shared->failed += status != 0;
    }
}

int main(int count, char **args)
{
    struct wishes wishes = parse(count, args);
    unsigned checks;

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    printf("seed %llu\n", (unsigned long long)wishes.seed);
    fflush(stdout);
    run_jobs(&wishes);
    checks = shared->played + shared->failed;
    if (!checks) {
        fprintf(stderr, "schedules: there is no scene %s\n", wishes.scene);
        return 2;
    }
    printf("%u%%: Checks: %u, Failures: %u, Errors: 0\n", 100 * shared->played / checks, checks,
           shared->failed);
    printf(
        "%llu schedules, %llu states, %llu kills, %llu power cuts, %llu failed syncs, seed %llu\n",
        (unsigned long long)shared->schedules, (unsigned long long)shared->states,
        (unsigned long long)shared->deaths, (unsigned long long)shared->power_cuts,
        (unsigned long long)shared->faults, (unsigned long long)wishes.seed);
    return shared->failed != 0;
}
