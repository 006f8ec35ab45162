/*
 * Power loss: workloads are traced, and of every moment of their traces the
 * states are made that the disk may hold when the power fails there; each is
 * opened and checked (check.h). Recovery is cut short, too.
 *
 *   power [--states N] [--seed N] [--jobs N] [--only PROFILE:SEED] [--tell]
 *
 * Goes through the profiles with seeds from --seed on until there were N states.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "explore.h"
#include "report.h"

struct options {
    uint64_t states, seed;
    unsigned jobs;
    const char *only; /* PROFILE:SEED */
    bool tell;        /* what happens in that workload */
};

static const struct exploration exploration = {
    .samples = 12, .exhaust = 16, .nest_percent = 2, .nest_samples = 3};

static void tell(const struct profile *profile, uint64_t seed)
{
    struct workload workload;

    workload_run(&workload, profile, seed);
    for (size_t i = 0; i < workload.trace.count; i++) {
        const struct trace_event *event = &workload.trace.events[i];
        const struct expectation *expectation = &workload.history.expectations[event->mark];

        if (event->kind == TRACE_MARK)
            printf("%zu: %llu durable, %llu committed%s\n", i,
                   (unsigned long long)expectation->durable, (unsigned long long)expectation->last,
                   expectation->maybe ? ", perhaps one more" : "");
        else
            printf("%zu: %s\n", i, trace_text(event));
    }
    workload_release(&workload);
}

static void explore_only(const struct options *options)
{
    char name[32];
    unsigned long long seed;

    if (sscanf(options->only, "%31[a-z]:%llu", name, &seed) != 2)
        exit(2);
    for (unsigned i = 0; i < profile_count; i++) {
        if (strcmp(profiles[i].name, name) != 0)
            continue;
        if (options->tell)
            tell(&profiles[i], seed);
        explore(&exploration, &profiles[i], seed);
    }
}

/* Workload i goes to job i modulo jobs; of those with long rows, one in eight. */
static void explore_share(const struct options *options, unsigned job)
{
    for (uint64_t i = job; figures->states < options->states; i += options->jobs) {
        const struct profile *profile = &profiles[i % profile_count];
        uint64_t round = i / profile_count;

        if (!profile->long_rows || round % 8 == 1)
            explore(&exploration, profile, options->seed + round);
    }
}

static bool run_jobs(const struct options *options)
{
    bool failed = false;
    int status;

    for (unsigned job = 0; job < options->jobs; job++) {
        pid_t child = fork();

        if (child < 0)
            return false;
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* whoever ends the program ends all of it */
            if (options->only)
                explore_only(options);
            else
                explore_share(options, job);
            exit(0);
        }
    }
    while (wait(&status) > 0)
        failed |= status != 0;
    return !failed;
}

static bool parse(struct options *options, int count, char **words)
{
    for (int i = 1; i < count; i++) {
        bool has_value = i + 1 < count;

        if (strcmp(words[i], "--tell") == 0)
            options->tell = true;
        else if (strcmp(words[i], "--states") == 0 && has_value)
            options->states = strtoull(words[++i], NULL, 10);
        else if (strcmp(words[i], "--seed") == 0 && has_value)
            options->seed = strtoull(words[++i], NULL, 10);
        else if (strcmp(words[i], "--jobs") == 0 && has_value)
            options->jobs = (unsigned)atoi(words[++i]);
        else if (strcmp(words[i], "--only") == 0 && has_value)
            options->only = words[++i];
        else
            return false;
    }
    return options->jobs > 0;
}

int main(int count, char **words)
{
    struct options options = {
        .states = 50000, .seed = 1, .jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN)};
    bool ok;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!parse(&options, count, words)) {
        fprintf(stderr,
                "power [--states N] [--seed N] [--jobs N] [--only PROFILE:SEED] [--tell]\n");
        return 2;
    }
    if (options.only)
        options.jobs = 1;
    figures_init();
    ok = run_jobs(&options);
    figures_print(options.seed, options.seed + figures->workloads / profile_count, !ok);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
