/* How much memory this process takes, and took at most while something was done. */
#ifndef KV_TESTS_FOOTPRINT_H
#define KV_TESTS_FOOTPRINT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Resident memory that is not a file's. */
uint64_t footprint_bytes(void);

/* A thread that looks about once a millisecond. */
struct footprint_watch {
    pthread_t thread;
    atomic_bool stop;
    uint64_t peak_bytes; /* above what there was when it began */
};

void footprint_watch_start(struct footprint_watch *watch);
uint64_t footprint_watch_end(struct footprint_watch *watch);

#endif
