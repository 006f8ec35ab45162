/*
 * What the benchmarks share: a clock, keys and values that can be checked,
 * directories, memory, and the table of results.
 *
 * BENCH_ROWS, BENCH_VALUE_BYTES and BENCH_RUNS scale a run; BENCH_DIR says
 * where data and JSON go. A wrong answer ends the program at once: a fast
 * wrong answer is worth nothing.
 */
#ifndef KV_BENCH_COMMON_H
#define KV_BENCH_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { BENCH_KEY_BYTES = 16, BENCH_ROWS_PER_TRANSACTION = 1000, BENCH_RUNS_MAX = 9 };

struct bench_options {
    uint64_t rows;
    size_t value_bytes;
    unsigned runs;        /* figures are medians of so many */
    char directory[4096]; /* exists */
};

/* From the environment; `rows` is the default for BENCH_ROWS. */
struct bench_options bench_options(uint64_t rows);

/* A positive number from the environment, or `otherwise` if it is not set. */
uint64_t bench_number(const char *name, uint64_t otherwise);

/* Print to stderr and end the program, with exit code 1. */
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#define bench_check(condition)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            bench_fail("%s:%d: wrong answer: %s", __FILE__, __LINE__, #condition);                 \
    } while (0)

double bench_seconds(void); /* of a monotonic clock */

/* A scattering of all 64-bit numbers: different for different `n`. */
uint64_t bench_scatter(uint64_t n);

/* Sixteen hexadecimal digits: `n` as they stand, so keys order as numbers do. */
void bench_key(char out[BENCH_KEY_BYTES], uint64_t n);

/* The value of row `n`: incompressible bytes, the same whenever asked. Valid for ever. */
const void *bench_value(uint64_t n, size_t value_bytes);

/* A fresh empty directory <options->directory>/<name>, whose path is written to `out`. */
void bench_fresh_directory(const struct bench_options *options, const char *name, char out[4096]);
void bench_remove_directory(const char *path);

/* Resident memory of a process now: what is its own, and what it maps of files. 0: cannot be read. */
struct bench_memory {
    uint64_t anonymous_bytes, mapped_bytes;
};
struct bench_memory bench_memory(pid_t process);

/* What a process has had written to disk, or read from it, as /proc/<pid>/io counts it. 0: cannot be read. */
uint64_t bench_written_bytes(pid_t process);
uint64_t bench_read_bytes(pid_t process);

/*
 * Wait until this process has written nothing for half a second: its background threads
 * have nothing left to merge. Returns the seconds until the last write.
 */
double bench_settle(void);

/* The same of a store that is open here, which says when nothing is left to merge. */
struct kv_store;
double bench_settle_store(struct kv_store *store);

/* Sorts, and returns the middle one, or the mean of the middle two. */
double bench_median(double *values, unsigned count);

/*
 * Results as JSON: one file, one object. Names are ours and need no escaping.
 * bench_json_open puts the program's name, the time and the machine in.
 */
struct bench_json;
struct bench_json *bench_json_open(const struct bench_options *options, const char *program);
void bench_json_number(struct bench_json *json, const char *name, const char *unit, double value);
void bench_json_close(struct bench_json *json);

/* One line that says on what: processor, cores, kernel, rows, value size. */
void bench_print_machine(const struct bench_options *options);

#endif
