/*
 * Processes that run workloads in turn: see contest.h. Whose turn it is not is stopped, so that
 * its background threads neither disturb the others nor get ahead while others are measured.
 */
#include "contest.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct peer {
    pid_t process;
    int commands; /* numbers of workloads, to the peer */
    int results;  /* struct bench_result, from it */
    struct bench_memory peak;
    uint64_t written_bytes;
    double seconds[BENCH_WORKLOADS_MAX][BENCH_RUNS_MAX]; /* an operation */
};

enum { STOP = 255 }; /* a command: a closed pipe would not do, other peers have inherited its end */

static void serve(const struct bench_contest *contest, const struct bench_contestant *contestant,
                  int commands, int results)
{
    unsigned char number;

    while (read(commands, &number, 1) == 1 && number != STOP) {
        struct bench_result result = contest->workloads[number].run(contestant->world);

        if (write(results, &result, sizeof(result)) != sizeof(result))
            exit(EXIT_FAILURE);
    }
    contestant->finish(contestant->world);
    exit(EXIT_SUCCESS);
}

static void start_peer(struct peer *peer, const struct bench_contest *contest,
                       const struct bench_contestant *contestant)
{
    int commands[2], results[2];

    if (pipe2(commands, O_CLOEXEC) || pipe2(results, O_CLOEXEC))
        bench_fail("cannot create a pipe");
    peer->process = fork();
    if (peer->process < 0)
        bench_fail("cannot fork");
    if (peer->process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* or a stopped one would stay for ever */
        close(commands[1]);
        close(results[0]);
        serve(contest, contestant, commands[0], results[1]);
    }
    close(commands[0]);
    close(results[1]);
    peer->commands = commands[1];
    peer->results = results[0];
}

static void sample(struct peer *peer)
{
    struct bench_memory now = bench_memory(peer->process);

    if (now.anonymous_bytes > peer->peak.anonymous_bytes)
        peer->peak.anonymous_bytes = now.anonymous_bytes;
    if (now.mapped_bytes > peer->peak.mapped_bytes)
        peer->peak.mapped_bytes = now.mapped_bytes;
}

/* Returns the seconds that an operation took. */
static double run_workload(struct peer *peer, unsigned workload)
{
    unsigned char number = (unsigned char)workload;
    struct pollfd wait = {.fd = peer->results, .events = POLLIN};
    struct bench_result result;

    kill(peer->process, SIGCONT);
    if (write(peer->commands, &number, 1) != 1)
        bench_fail("a peer has ended");
    do
        sample(peer);
    while (poll(&wait, 1, 10) == 0);
    if (read(peer->results, &result, sizeof(result)) != sizeof(result))
        bench_fail("a peer has ended");
    kill(peer->process, SIGSTOP);
    return result.seconds / (double)result.operations;
}

static void stop_peer(struct peer *peer)
{
    unsigned char number = STOP;
    int status;

    peer->written_bytes = bench_written_bytes(peer->process);
    kill(peer->process, SIGCONT);
    if (write(peer->commands, &number, 1) != 1)
        bench_fail("a peer has ended");
    close(peer->commands);
    if (waitpid(peer->process, &status, 0) < 0 || status != 0)
        bench_fail("a peer failed at its end");
    close(peer->results);
}

/* Says how it goes on stderr: a round takes minutes. */
static void run_round(const struct bench_contest *contest, struct peer *peers, unsigned round)
{
    for (unsigned i = 0; i < contest->workload_count; i++) {
        unsigned count = contest->workloads[i].ours_only ? 1 : contest->contestant_count;

        fprintf(stderr, "round %u, %s:", round + 1, contest->workloads[i].name);
        for (unsigned peer = 0; peer < count; peer++) {
            peers[peer].seconds[i][round] = run_workload(&peers[peer], i);
            fprintf(stderr, " %.3f", peers[peer].seconds[i][round] * 1e6);
        }
        fputc('\n', stderr);
    }
}

static void run_all(const struct bench_contest *contest, struct peer *peers)
{
    fflush(stdout); /* or the children print it once more */
    bench_value(0, 1);
    for (unsigned i = 0; i < contest->contestant_count; i++)
        start_peer(&peers[i], contest, &contest->contestants[i]);
    for (unsigned round = 0; round < contest->options->runs; round++)
        run_round(contest, peers, round);
    for (unsigned i = 0; i < contest->contestant_count; i++)
        stop_peer(&peers[i]);
}

/* ---- What came of it */

static void print_heading(const struct bench_contest *contest, FILE *ratios)
{
    printf("%-25s", "µs an operation");
    fputs("workload", ratios);
    for (unsigned i = 0; i < contest->contestant_count; i++)
        printf(" %12s", contest->contestants[i].name);
    for (unsigned i = 1; i < contest->contestant_count; i++) {
        printf(" %9s/%s", contest->contestants[i].name, contest->contestants[0].name);
        fprintf(ratios, " \"%s\"", contest->contestants[i].name);
    }
    putchar('\n');
    fputc('\n', ratios);
}

static void report_workload(const struct bench_contest *contest, struct peer *peers,
                            unsigned workload, struct bench_json *json, FILE *ratios)
{
    const char *name = contest->workloads[workload].name;
    unsigned count = contest->workloads[workload].ours_only ? 1 : contest->contestant_count;
    double us[BENCH_CONTESTANTS_MAX];
    char label[128];

    printf("%-24s", name);
    for (unsigned i = 0; i < count; i++) {
        us[i] = bench_median(peers[i].seconds[workload], contest->options->runs) * 1e6;
        snprintf(label, sizeof(label), "%s: %s", contest->contestants[i].name, name);
        bench_json_number(json, label, strstr(name, ", ms") ? "ms" : "us", us[i]);
        printf(" %12.3f", us[i]);
    }
    if (count > 1)
        fprintf(ratios, "\"%s\"", name);
    for (unsigned i = 1; i < count; i++) {
        if (us[i] > 0 && us[0] > 0) {
            printf(" %12.2f", us[i] / us[0]);
            fprintf(ratios, " %.3f", us[i] / us[0]);
        } else { /* nothing to do for one of them */
            printf(" %12s", "-");
            fputs(" ?", ratios);
        }
    }
    putchar('\n');
    if (count > 1)
        fputc('\n', ratios);
}

static void report_size(const struct bench_contest *contest, const struct peer *peers,
                        const char *name, size_t member, struct bench_json *json)
{
    char label[128];

    snprintf(label, sizeof(label), "%s, MB", name);
    printf("%-24s", label);
    for (unsigned i = 0; i < contest->contestant_count; i++) {
        uint64_t bytes = *(const uint64_t *)((const char *)&peers[i] + member);

        snprintf(label, sizeof(label), "%s: %s", contest->contestants[i].name, name);
        bench_json_number(json, label, "bytes", (double)bytes);
        printf(" %12.1f", (double)bytes / 1e6);
    }
    putchar('\n');
}

struct bench_json *bench_contest(const struct bench_contest *contest)
{
    static struct peer peers[BENCH_CONTESTANTS_MAX];
    struct bench_json *json;
    char path[4200];
    FILE *ratios;

    run_all(contest, peers);
    json = bench_json_open(contest->options, contest->program);
    snprintf(path, sizeof(path), "%s/%s.dat", contest->options->directory, contest->program);
    ratios = fopen(path, "w");
    if (!ratios)
        bench_fail("cannot write %s", path);
    print_heading(contest, ratios);
    for (unsigned i = 0; i < contest->workload_count; i++)
        report_workload(contest, peers, i, json, ratios);
    fclose(ratios);
    report_size(contest, peers, "anonymous, peak", offsetof(struct peer, peak.anonymous_bytes),
                json);
    report_size(contest, peers, "mapped, peak", offsetof(struct peer, peak.mapped_bytes), json);
    report_size(contest, peers, "written in all", offsetof(struct peer, written_bytes), json);
    return json;
}
