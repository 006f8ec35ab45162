/* Failures and figures: see report.h. */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

struct place place;
struct figures *figures;

void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n    at %s of workload %s:%llu, power lost before event %llu, sample %llu", place.step,
           place.profile, (unsigned long long)place.seed, (unsigned long long)place.event,
           (unsigned long long)place.sample);
    if (place.nested_event)
        printf(", and again before event %llu, sample %llu", (unsigned long long)place.nested_event,
               (unsigned long long)place.nested_sample);
    printf("\n");
    fflush(stdout);
    _Exit(1);
}

void figures_init(void)
{
    void *at =
        mmap(NULL, sizeof(*figures), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        abort();
    figures = at;
}

void figures_print(uint64_t first_seed, uint64_t last_seed, bool failed)
{
    printf("%llu states after power loss (%llu duplicates left out), %llu of them nested crashes, "
           "%llu points exhausted of %llu, %llu recoveries, %llu repaired without a manifest, %llu "
           "damaged, %llu workloads, %s, "
           "seeds %llu to %llu\n",
           (unsigned long long)figures->states, (unsigned long long)figures->duplicates,
           (unsigned long long)figures->nested, (unsigned long long)figures->exhausted,
           (unsigned long long)figures->points, (unsigned long long)figures->recoveries,
           (unsigned long long)figures->repaired, (unsigned long long)figures->damaged,
           (unsigned long long)figures->workloads, failed ? "FAILED" : "0 losses",
           (unsigned long long)first_seed, (unsigned long long)last_seed);
}
