/*
 * A contest: contestants run the same workloads in turn, each in a process of
 * its own, so that their memory and what they write can be told apart. The
 * first contestant is ours; the others' figures are given as multiples of its.
 */
#ifndef KV_BENCH_CONTEST_H
#define KV_BENCH_CONTEST_H

#include "common.h"

enum { BENCH_CONTESTANTS_MAX = 5, BENCH_WORKLOADS_MAX = 32 };

struct bench_result {
    double seconds;
    uint64_t operations;
};

struct bench_workload {
    const char *name; /* the unit is µs an operation, or what the name says */
    struct bench_result (*run)(void *world);
    bool ours_only; /* the others have nothing like it */
};

struct bench_contestant {
    const char *name;
    void *world; /* handed to the workloads, in the contestant's process */
    void (*finish)(void *world);
};

struct bench_contest {
    const char *program; /* names the JSON file and the picture's figures */
    const struct bench_options *options;
    const struct bench_workload *workloads; /* in the order in which they run */
    unsigned workload_count;
    struct bench_contestant contestants[BENCH_CONTESTANTS_MAX];
    unsigned contestant_count;
};

/*
 * Run every workload options->runs times, print a table of medians, and write
 * them to <directory>/<program>.dat and to the JSON returned, which the caller
 * closes. Must be called before the process has threads or an open store.
 */
struct bench_json *bench_contest(const struct bench_contest *contest);

#endif
