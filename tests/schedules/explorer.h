/*
 * Which schedule next: a depth-first walk over everything that may happen,
 * within a budget, as in CHESS (Musuvathi et al., "Finding and reproducing
 * Heisenbugs in concurrent programs", 2008).
 *
 * A schedule is run from its beginning each time, with the decisions of the
 * one before it up to the last that has an alternative left. Switching from an
 * actor that could go on costs a preemption; so does letting a wait time out.
 * Deaths and faults have budgets of their own. Option 0 of a decision is free:
 * whoever runs goes on.
 *
 * A state that has been met with at least as much budget left has been
 * explored: the schedule is cut short there. Two schedules that order
 * independent steps differently end in the same state, so this saves most of the work.
 */
#ifndef KV_SCHEDULES_EXPLORER_H
#define KV_SCHEDULES_EXPLORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_RUN,      /* this actor goes on */
    OPTION_TIME_OUT, /* this actor has waited too long, and goes on */
    OPTION_KILL,     /* this actor dies */
    OPTION_POWER,    /* the power fails */
    OPTION_FAULT,    /* the call that follows fails */
};

enum option_cost { COST_NOTHING, COST_PREEMPTION, COST_DEATH, COST_FAULT };

struct option {
    enum option_kind kind;
    enum option_cost cost;
    unsigned actor; /* of OPTION_POWER: in which way */
};

enum { OPTIONS_MAX = 16, DECISION_TEXT_BYTES = 512 };

struct budget {
    unsigned preemptions, deaths, faults; /* at most 3 each */
};

struct decision {
    uint64_t state;
    unsigned count, taken;
    struct option options[OPTIONS_MAX];
};

struct explorer {
    struct budget budget, left; /* of a schedule; of the one at work */
    unsigned share_percent;     /* of the options that cost something, behind the first such */
    uint64_t seed;
    const char *replay; /* decisions of the only schedule to run; NULL: all schedules */

    struct decision *decisions;
    size_t count, capacity, at; /* `at`: the next decision of the schedule at work */

    uint64_t *keys; /* open addressing: states met, and with which budgets */
    uint64_t *budgets;
    size_t key_count, key_capacity;
    uint64_t state_count;
};

void explorer_init(struct explorer *explorer, struct budget budget);
void explorer_release(struct explorer *explorer);

/* Before each schedule. */
void explorer_begin(struct explorer *explorer);

/*
 * Decide in `state`: the option to take, or NULL if this state has been
 * explored. Options that cannot be paid are not taken.
 */
const struct option *explorer_choose(struct explorer *explorer, uint64_t state,
                                     const struct option *options, unsigned count);

/* Behind each schedule: go to the next; false: there is none. */
bool explorer_next(struct explorer *explorer);

/* Has this number been noted before? Notes it. Never, in a replay. */
bool explorer_note(struct explorer *explorer, uint64_t key);

/* The decisions of the schedule at work that were not the first option, to be replayed. */
void explorer_text(const struct explorer *explorer, char *text, size_t size);

/* Abort: a schedule went another way than the last time. */
void explorer_is_lost(const struct explorer *explorer);

#endif
