/*
 * differential: random SQL against kv tables and against ordinary WITHOUT ROWID
 * tables of the same shape, statement by statement with the same results.
 *
 *   differential [--statements=N] [--seed=S] [--length=L] [--jobs=J]
 *   differential --episode=S [--length=L]
 *
 * An episode is about L statements in a fresh pair of worlds (see world.h) and
 * depends on its seed only; --episode replays one. A difference is shrunk to a
 * short script, which is printed with the seed. The seed S of a whole run is
 * the first episode's. DIFFERENTIAL_DIR says where the files go (memory, if possible).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "episode.h"
#include "files.h"
#include "script.h"
#include "shrink.h"
#include "trial.h"

enum { JOBS_MAX = 16, FAILURES_MAX = 5, SHRINK_SECONDS = 120, LENGTH_MIN = 60 };

struct options {
    unsigned long long statements;
    uint64_t seed;
    size_t length;
    unsigned jobs;
    bool one_episode;
    bool is_verbose;
};

struct job {
    struct trial trial;
    struct episode episode;
    bool is_running;
};

struct session {
    struct options options;
    char directory[64];
    struct job jobs[JOBS_MAX];
    struct figures sum;
    unsigned episodes, failures, started;
    struct timespec begin;
};

/* ---- Options */

/* `--name=value`: the value, if `argument` is that option. */
static const char *value_of(const char *argument, const char *name)
{
    size_t size = strlen(name);

    return strncmp(argument, name, size) == 0 && argument[size] == '=' ? argument + size + 1 : NULL;
}

static bool read_option(struct options *options, const char *argument)
{
    const char *value;

    if ((value = value_of(argument, "--statements")))
        options->statements = strtoull(value, NULL, 10);
    else if ((value = value_of(argument, "--seed")))
        options->seed = strtoull(value, NULL, 10);
    else if ((value = value_of(argument, "--length")))
        options->length = (size_t)strtoull(value, NULL, 10);
    else if ((value = value_of(argument, "--jobs")))
        options->jobs = (unsigned)strtoul(value, NULL, 10);
    else if ((value = value_of(argument, "--episode"))) {
        options->seed = strtoull(value, NULL, 10);
        options->one_episode = true;
    } else if (strcmp(argument, "--verbose") == 0)
        options->is_verbose = true;
    else
        return false;
    return true;
}

static bool read_options(int argc, char **argv, struct options *options)
{
    *options = (struct options){.statements = 100000, .seed = 1, .length = 1000, .jobs = 2};
    for (int i = 1; i < argc; i++)
        if (!read_option(options, argv[i]))
            return false;
    if (options->jobs < 1 || options->jobs > JOBS_MAX)
        options->jobs = 1;
    if (options->length < LENGTH_MIN)
        options->length = LENGTH_MIN;
    return true;
}

static void make_directory(struct session *session)
{
    const char *place = getenv("DIFFERENTIAL_DIR");

    if (!place)
        place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(session->directory, sizeof(session->directory), "%s/kv-differential.XXXXXX", place);
    if (!mkdtemp(session->directory)) {
        perror(session->directory);
        exit(2);
    }
}

/* ---- Episodes */

static void add_figures(struct figures *sum, const struct figures *figures)
{
    sum->statements += figures->statements;
    sum->skipped += figures->skipped;
    sum->failed += figures->failed;
    sum->rows += figures->rows;
    for (int i = 0; i < CLASS_COUNT; i++)
        sum->of_class[i] += figures->of_class[i];
}

static void report_failure(struct session *session, struct job *job)
{
    struct episode *episode = &job->episode;
    const struct report *report = job->trial.report;

    session->failures++;
    printf("differential --episode=%llu --length=%zu: operation %zu of %zu:\n%s",
           (unsigned long long)episode->seed, session->options.length, report->failed_at,
           episode->ops.count, report->what);
    fflush(stdout);
    shrink(&episode->ops, &episode->setting, &job->trial, SHRINK_SECONDS);
    printf("---- shrunk to %zu operations:\n", episode->ops.count);
    script_print(stdout, &episode->ops, &episode->setting);
    printf("---- which differ:\n%s----\n", report->what);
    fflush(stdout);
}

static void start(struct session *session, struct job *job)
{
    uint64_t seed = session->options.seed + session->started++;

    episode_init(&job->episode, seed, session->options.length);
    trial_start(&job->trial, &job->episode.ops, &job->episode.setting);
    job->is_running = true;
    if (session->options.is_verbose)
        printf("episode %llu\n", (unsigned long long)seed);
}

static void finish(struct session *session, struct job *job, int status)
{
    enum verdict verdict = trial_finish(&job->trial, status);

    job->is_running = false;
    session->episodes++;
    add_figures(&session->sum, &job->trial.report->figures);
    if (verdict != VERDICT_SAME)
        report_failure(session, job);
    episode_release(&job->episode);
}

static bool wants_more(const struct session *session)
{
    if (session->options.one_episode)
        return session->started == 0;
    return session->sum.statements < session->options.statements &&
           session->failures < FAILURES_MAX;
}

/* Wait for any of the jobs. False: none was running. */
static bool wait_for_one(struct session *session)
{
    int status;
    pid_t process;

    while ((process = waitpid(-1, &status, 0)) < 0)
        if (errno != EINTR)
            return false;
    for (unsigned i = 0; i < session->options.jobs; i++)
        if (session->jobs[i].is_running && session->jobs[i].trial.process == process)
            finish(session, &session->jobs[i], status);
    return true;
}

static void run_episodes(struct session *session)
{
    bool is_running = true;

    while (is_running) {
        is_running = false;
        for (unsigned i = 0; i < session->options.jobs; i++) {
            struct job *job = &session->jobs[i];

            if (!job->is_running && wants_more(session))
                start(session, job);
            is_running |= job->is_running;
        }
        is_running = is_running && wait_for_one(session);
    }
}

/* ---- Figures */

static void print_figures(const struct session *session)
{
    const struct figures *sum = &session->sum;
    struct timespec now;
    double seconds;

    clock_gettime(CLOCK_MONOTONIC, &now);
    seconds = (double)(now.tv_sec - session->begin.tv_sec) +
              (double)(now.tv_nsec - session->begin.tv_nsec) / 1e9;
    printf("%u%%: Checks: %u, Failures: %u, Errors: 0\n",
           session->episodes ? 100 * (session->episodes - session->failures) / session->episodes
                             : 0,
           session->episodes, session->failures);
    printf("differential: %llu statements (%.0f/s)", sum->statements,
           (double)sum->statements / seconds);
    for (int i = 0; i < CLASS_COUNT; i++)
        printf(", %llu %s", sum->of_class[i], op_class_name((enum op_class)i));
    printf("; %llu skipped, %llu failed alike, %llu rows, %u episodes from seed %llu, %u "
           "differences\n",
           sum->skipped, sum->failed, sum->rows, session->episodes,
           (unsigned long long)session->options.seed, session->failures);
}

int main(int argc, char **argv)
{
    static struct session session;

    if (argc > 1 && strcmp(argv[1], "--wait-for") == 0)
        return run_waiter(argc, argv);
    if (!read_options(argc, argv, &session.options)) {
        fprintf(stderr,
                "usage: differential [--statements=N] [--seed=S] [--episode=S] [--length=L] "
                "[--jobs=J] [--verbose]\n");
        return 2;
    }
    make_directory(&session);
    clock_gettime(CLOCK_MONOTONIC, &session.begin);
    for (unsigned i = 0; i < session.options.jobs; i++)
        trial_init(&session.jobs[i].trial, session.directory, i);
    run_episodes(&session);
    for (unsigned i = 0; i < session.options.jobs; i++)
        trial_release(&session.jobs[i].trial);
    files_remove(session.directory);
    print_figures(&session);
    return session.failures || !session.episodes ? EXIT_FAILURE : EXIT_SUCCESS;
}
