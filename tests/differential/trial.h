/*
 * Running a list of operations in a process of its own, so that a crash or a
 * hang is a finding like any other, and can be shrunk.
 */
#ifndef KV_DIFFERENTIAL_TRIAL_H
#define KV_DIFFERENTIAL_TRIAL_H

#include <sys/types.h>

#include "run.h"

enum { WHAT_BYTES = 16384 };

enum verdict {
    VERDICT_SAME,
    VERDICT_DIFFERENT,
    VERDICT_DIED, /* killed by a signal, or ended by an assertion, a sanitizer or a time limit */
};

/* What the process tells; it lies in memory that both see. */
struct report {
    struct figures figures;
    size_t failed_at;
    bool is_finished;
    bool is_same;
    char what[WHAT_BYTES];
};

struct trial {
    pid_t process;
    char directory[PATH_BYTES];
    struct report *report;
};

/* Make `trial` usable, with a directory named `name` below `parent`; it may run many times. */
void trial_init(struct trial *trial, const char *parent, unsigned name);
void trial_release(struct trial *trial);

/* Start the process. */
void trial_start(struct trial *trial, const struct op_list *list, const struct setting *setting);

/* What came of it, from the status that waitpid() gave. trial->report tells more. */
enum verdict trial_finish(struct trial *trial, int status);

/* Start and wait. */
enum verdict trial_run(struct trial *trial, const struct op_list *list,
                       const struct setting *setting);

#endif
