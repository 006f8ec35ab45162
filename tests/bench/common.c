/* What the benchmarks share: see common.h. */
#include "common.h"

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "kv.h"

struct bench_json {
    FILE *file;
};

void bench_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

uint64_t bench_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    char *end;
    uint64_t value;

    if (!text || !*text)
        return otherwise;
    value = strtoull(text, &end, 10);
    if (*end || value == 0)
        bench_fail("%s is not a positive number", name);
    return value;
}

struct bench_options bench_options(uint64_t rows)
{
    struct bench_options options = {0};
    const char *directory = getenv("BENCH_DIR");

    options.rows = bench_number("BENCH_ROWS", rows);
    options.value_bytes = bench_number("BENCH_VALUE_BYTES", 100);
    options.runs = (unsigned)bench_number("BENCH_RUNS", 3);
    if (options.runs > BENCH_RUNS_MAX)
        bench_fail("BENCH_RUNS is at most %d", BENCH_RUNS_MAX);
    if (options.value_bytes > 65536)
        bench_fail("BENCH_VALUE_BYTES is at most 65536");
    snprintf(options.directory, sizeof(options.directory), "%s",
             directory ? directory : "build/bench");
    if (mkdir(options.directory, 0777) && errno != EEXIST)
        bench_fail("cannot create %s: %s", options.directory, strerror(errno));
    return options;
}

double bench_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable generators, 2014), a bijection. */
uint64_t bench_scatter(uint64_t n)
{
    n += 0x9e3779b97f4a7c15u;
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
    n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
    return n ^ (n >> 31);
}

void bench_key(char out[BENCH_KEY_BYTES], uint64_t n)
{
    for (int i = BENCH_KEY_BYTES - 1; i >= 0; i--) {
        out[i] = "0123456789abcdef"[n & 15];
        n >>= 4;
    }
}

/* Values are pieces of one pool of random bytes, so that making one costs nothing. */
const void *bench_value(uint64_t n, size_t value_bytes)
{
    enum { POOL_BYTES = 1 << 20 };
    static uint64_t pool[POOL_BYTES / sizeof(uint64_t)];

    if (!pool[0])
        for (size_t i = 0; i < POOL_BYTES / sizeof(uint64_t); i++)
            pool[i] = bench_scatter(i + 1000000007);
    return (const uint8_t *)pool + bench_scatter(n ^ 0x5555) % (POOL_BYTES - value_bytes);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

void bench_remove_directory(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void bench_fresh_directory(const struct bench_options *options, const char *name, char out[4096])
{
    int length = snprintf(out, 4096, "%s/%s", options->directory, name);

    if (length < 0 || length >= 4096)
        bench_fail("path too long: %s", options->directory);
    bench_remove_directory(out);
    if (mkdir(out, 0777))
        bench_fail("cannot create %s: %s", out, strerror(errno));
}

/* The number after `name` at the start of a line of /proc/<process>/<file>; 0 if it is not there. */
static uint64_t number_from_proc(pid_t process, const char *file_name, const char *name)
{
    char path[64], line[256];
    uint64_t number = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)process, file_name);
    file = fopen(path, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file))
        if (!strncmp(line, name, strlen(name)))
            number = strtoull(line + strlen(name), NULL, 10);
    fclose(file);
    return number;
}

struct bench_memory bench_memory(pid_t process)
{
    return (struct bench_memory){number_from_proc(process, "status", "RssAnon:") * 1024,
                                 number_from_proc(process, "status", "RssFile:") * 1024};
}

uint64_t bench_written_bytes(pid_t process)
{
    return number_from_proc(process, "io", "write_bytes:");
}

uint64_t bench_read_bytes(pid_t process)
{
    return number_from_proc(process, "io", "read_bytes:");
}

double bench_settle(void)
{
    double start = bench_seconds(), last_change = start;
    uint64_t before = bench_written_bytes(getpid());

    while (bench_seconds() - last_change < 0.5) {
        uint64_t now;

        usleep(10000);
        now = bench_written_bytes(getpid());
        if (now != before)
            last_change = bench_seconds();
        before = now;
    }
    return last_change - start;
}

/* Does the policy leave a segment as it is? */
static enum kv_status look_at_segment(void *context, const struct kv_segment_report *report)
{
    bool *settled = context;

    *settled &= report->state == KV_SEGMENT_ACTIVE || strncmp(report->reason, "tier ", 5) == 0;
    return KV_OK;
}

double bench_settle_store(struct kv_store *store)
{
    double start = bench_seconds();
    bool settled = false;

    while (!settled) {
        usleep(1000);
        settled = true;
        if (kv_store_segments(store, NULL, look_at_segment, &settled) != KV_OK)
            bench_fail("%s", kv_message());
    }
    return bench_seconds() - start;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_median(double *values, unsigned count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* The processor's name, from the first line of /proc/cpuinfo that has it. */
static void processor_name(char out[128])
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");

    snprintf(out, 128, "unknown processor");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "model name : %127[^\n]", out) == 1)
            break;
    if (file)
        fclose(file);
}

void bench_print_machine(const struct bench_options *options)
{
    char processor[128], day[32];
    struct utsname system;
    time_t now = time(NULL);

    processor_name(processor);
    uname(&system);
    strftime(day, sizeof(day), "%Y-%m-%d", gmtime(&now));
    printf("%s, %ld cores, Linux %s, %s\n", processor, sysconf(_SC_NPROCESSORS_ONLN),
           system.release, day);
    printf("%llu rows, keys of %d bytes, values of %zu bytes, %d rows a transaction, "
           "median of %u\n\n",
           (unsigned long long)options->rows, BENCH_KEY_BYTES, options->value_bytes,
           BENCH_ROWS_PER_TRANSACTION, options->runs);
}

struct bench_json *bench_json_open(const struct bench_options *options, const char *program)
{
    struct bench_json *json = malloc(sizeof(*json));
    char path[4200], processor[128];

    if (!json)
        bench_fail("out of memory");
    snprintf(path, sizeof(path), "%s/%s.json", options->directory, program);
    json->file = fopen(path, "w");
    if (!json->file)
        bench_fail("cannot write %s: %s", path, strerror(errno));
    processor_name(processor);
    fprintf(json->file,
            "{\n  \"program\": \"%s\",\n  \"time\": %lld,\n  \"processor\": \"%s\",\n"
            "  \"cores\": %ld,\n  \"rows\": %llu,\n  \"value_bytes\": %zu,\n  \"runs\": %u",
            program, (long long)time(NULL), processor, sysconf(_SC_NPROCESSORS_ONLN),
            (unsigned long long)options->rows, options->value_bytes, options->runs);
    return json;
}

void bench_json_number(struct bench_json *json, const char *name, const char *unit, double value)
{
    fprintf(json->file, ",\n  \"%s [%s]\": %.6g", name, unit, value);
}

void bench_json_close(struct bench_json *json)
{
    fprintf(json->file, "\n}\n");
    if (fclose(json->file))
        bench_fail("cannot write JSON: %s", strerror(errno));
    free(json);
}
