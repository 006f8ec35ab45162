/*
 * The pace of writers while merges are behind. A store that takes writes faster than it
 * merges them becomes slower to read, and larger, until something gives and writers stand still.
 * So each step by which merges fall behind (policy.h: pressure) slows writers down by the
 * same factor, from 512 MiB a second down, until both keep up with each other.
 *
 * What was committed is charged to whoever begins to write next, who holds nothing yet; a
 * transaction under way is never held up.
 */
#ifndef KV_PACE_H
#define KV_PACE_H

#include "engine.h"
#include "policy.h"

enum { KV_PACE_WAIT_MAX_MS = 100 }; /* nobody who asks for an interruption has to wait longer */

/* One for each store object, zeroed; the engine's mutex guards it. */
struct kv_pace {
    uint64_t serial;      /* of the version that the pressure was taken from … */
    uint64_t measured_ms; /* … and when */
    double pressure;
    uint64_t lsn;   /* bytes up to here have been charged */
    uint64_t at_ms; /* monotonic: when they were, and who asked had waited */
    double owed_ms; /* what they still cost at the present rate; negative: time to spare */
};

/*
 * How many milliseconds to wait before writing: 0 most often. Charges what all processes
 * have committed since it was asked last.
 */
unsigned kv_pace_ask(struct kv_pace *pace, struct kv_engine *engine,
                     const struct kv_policy *policy);

/* Bytes a second that go with a pressure. */
double kv_pace_rate(double pressure);

#endif
