/* Where the explorer is, how to end when something is wrong, and its figures. */
#ifndef KV_POWER_REPORT_H
#define KV_POWER_REPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What is being done, so that a failure can be replayed. */
struct place {
    const char *profile;
    uint64_t seed;
    uint64_t event;  /* of the workload's trace, before which the power failed */
    uint64_t sample; /* which state the disk was in */
    uint64_t nested_event,
        nested_sample; /* the same of the life after, where it failed again; 0: not */
    const char *step;
};

extern struct place place;

/* Say what is wrong, and where, and end this process as failed. */
void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...);

/* The same unless `condition` holds. */
#define need_that(condition, ...)                                                                  \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail(__VA_ARGS__);                                                                     \
    } while (0)

/* Of all processes. */
struct figures {
    _Atomic uint64_t workloads, events, points, states, duplicates, nested, exhausted, damaged;
    _Atomic uint64_t recoveries, repaired;
};

extern struct figures *figures;

void figures_init(void);
void figures_print(uint64_t first_seed, uint64_t last_seed, bool failed);

#endif
