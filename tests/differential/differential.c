/*
 * differential: random SQL against kv tables and against ordinary WITHOUT ROWID
 * tables of the same shape, statement by statement with the same results.
 *
 *   differential [options]              episodes from --seed on, until --statements were run
 *   differential [options] --episode=S  this one
 *   differential [options] SCRIPT…      what these say (see script.h)
 *
 * An episode is about --length statements in a fresh pair of worlds (see
 * world.h) and depends on its seed only. A difference is shrunk to a short script, which
 * is printed, and kept in the directory --save. --so=kv.so loads that instead of
 * the extension that is linked in. --jobs episodes run at a time; --failures are
 * enough. The environment's DIFFERENTIAL_DIR says where the files go (memory, if possible).
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
#include "intruder.h"
#include "process.h"
#include "script.h"
#include "shrink.h"
#include "trial.h"

enum { JOBS_MAX = 16, SHRINK_SECONDS = 120, LENGTH_MIN = 60 };

struct options {
    unsigned long long statements;
    uint64_t seed;
    size_t length;
    unsigned jobs;
    unsigned failures; /* after which it gives up */
    bool one_episode;
    bool is_verbose;
    const char *extension; /* a file; NULL: the one that is linked in */
    const char *save;      /* a directory for scripts; NULL: they are printed only */
    char **scripts;        /* to be run instead of episodes */
    unsigned script_count;
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
    } else if ((value = value_of(argument, "--failures")))
        options->failures = (unsigned)strtoul(value, NULL, 10);
    else if ((value = value_of(argument, "--so")))
        options->extension = value;
    else if ((value = value_of(argument, "--save")))
        options->save = value;
    else if (strcmp(argument, "--verbose") == 0)
        options->is_verbose = true;
    else
        return false;
    return true;
}

static bool read_options(int argc, char **argv, struct options *options)
{
    int i = 1;

    *options =
        (struct options){.statements = 100000, .seed = 1, .length = 1000, .jobs = 2, .failures = 5};
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++)
        if (!read_option(options, argv[i]))
            return false;
    options->scripts = argv + i;
    options->script_count = (unsigned)(argc - i);
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
    sum->comparisons += figures->comparisons;
    sum->committed += figures->committed;
    for (int i = 0; i < CLASS_COUNT; i++)
        sum->of_class[i] += figures->of_class[i];
}

/* How to have the episode again. */
static void print_name(const struct session *session, const struct episode *episode)
{
    if (session->options.script_count)
        printf("differential %s", session->options.scripts[episode->seed]);
    else
        printf("differential --episode=%llu --length=%zu", (unsigned long long)episode->seed,
               session->options.length);
}

static void save(const struct session *session, const struct episode *episode)
{
    char path[PATH_BYTES];
    FILE *file;

    snprintf(path, sizeof(path), "%s/differential-%llu.sql", session->options.save,
             (unsigned long long)episode->seed);
    if (!(file = fopen(path, "w"))) {
        perror(path);
        return;
    }
    script_print(file, episode);
    if (fclose(file) != 0)
        perror(path);
    else
        printf("---- saved: differential %s\n", path);
}

static void report_failure(struct session *session, struct job *job)
{
    struct episode *episode = &job->episode;
    const struct report *report = job->trial.report;

    session->failures++;
    print_name(session, episode);
    printf(": operation %zu of %zu:\n%s", report->failed_at, episode->ops.count, report->what);
    fflush(stdout);
    shrink(&episode->ops, &episode->setting, &job->trial, SHRINK_SECONDS);
    printf("---- shrunk to %zu operations:\n", episode->ops.count);
    script_print(stdout, episode);
    printf("---- which differ:\n%s----\n", report->what);
    if (session->options.save)
        save(session, episode);
    fflush(stdout);
}

static void read_script(const char *path, struct episode *episode)
{
    FILE *file = fopen(path, "r");

    if (!file) {
        perror(path);
        exit(2);
    }
    if (!script_read(file, episode)) {
        fprintf(stderr, "differential: %s is not a script\n", path);
        exit(2);
    }
    fclose(file);
}

static void start(struct session *session, struct job *job)
{
    const struct options *options = &session->options;
    struct episode *episode = &job->episode;

    if (options->script_count) {
        read_script(options->scripts[session->started], episode);
        episode->seed = session->started;
    } else {
        episode_init(episode, options->seed + session->started, options->length);
    }
    session->started++;
    episode->setting.extension = options->extension;
    if (options->is_verbose) {
        print_name(session, episode);
        printf("\n");
    }
    trial_start(&job->trial, &episode->ops, &episode->setting);
    job->is_running = true;
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
    const struct options *options = &session->options;

    if (options->script_count)
        return session->started < options->script_count;
    if (options->one_episode)
        return session->started == 0;
    return session->sum.statements < options->statements && session->failures < options->failures;
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
    printf("differential: %llu statements (", sum->statements);
    for (int i = 0; i < CLASS_COUNT; i++)
        if (sum->of_class[i])
            printf("%llu %s, ", sum->of_class[i], op_class_name((enum op_class)i));
    printf("%llu failed alike, %llu killed intruders had committed, %llu skipped), %u episodes",
           sum->failed, sum->committed, sum->skipped, session->episodes);
    if (!session->options.script_count)
        printf(" from seed %llu", (unsigned long long)session->options.seed);
    printf(", %llu comparisons, %llu rows, %.0f statements/s, %u differences\n", sum->comparisons,
           sum->rows, (double)sum->statements / seconds, session->failures);
}

int main(int argc, char **argv)
{
    static struct session session;

    if (argc > 1 && strcmp(argv[1], "--wait-for") == 0)
        return process_wait_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "--intrude") == 0)
        return intruder_main(argc, argv);
    if (!read_options(argc, argv, &session.options)) {
        fprintf(stderr,
                "usage: differential [--statements=N] [--seed=S] [--episode=S] [--length=L] "
                "[--jobs=J] [--failures=F] [--so=FILE] [--save=DIR] [--verbose] [SCRIPT...]\n");
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
