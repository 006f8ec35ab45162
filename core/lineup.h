/*
 * Which segments a store consists of when no manifest tells: a pure function of what
 * their headers say.
 *
 * LOGS, from the highest number down. Each names the LSN where its predecessor was sealed. Only a
 * failover leaves a gap between that and its own base, because what lies behind
 * the seal was copied, or given up: so a log that begins in that gap, or where
 * a higher one begins, is a failover's unfinished successor, and a
 * log's own transactions end where the next one says. A successor made by a
 * seal that holds nothing may be left over from one that failed, so it cuts nothing.
 * What comes after a seq is in one log, and in what was sealed behind it: a log that begins with a
 * seq which a higher one begins with, or a later one, was copied or given up, whatever its LSNs are.
 *
 * MERGE OUTPUTS. One replaces, in its key interval, every segment whose LSN interval
 * lies within its own; if equal, the higher number wins. Outputs appear in
 * key order, so what they replace of a segment is all of it, or the keys up to
 * some `low`. Where an output is missing in between, the keys before it are hidden as well: its
 * inputs could show what it had deleted.
 *
 * PENDING SEGMENTS. The caller offers only those whose group a COMMIT names. They
 * replace nothing; of one group, the last is the newest.
 */
#ifndef KV_LINEUP_H
#define KV_LINEUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slice.h"

struct kv_lineup_file {
    uint64_t number;
    bool is_log, is_pending;      /* else a merge output */
    uint64_t first_lsn, last_lsn; /* a log: its base, and where its transactions end */

    uint64_t base_seq, previous_end_lsn, copied_seq; /* of a log */

    uint32_t ordinal;          /* of a pending segment, in its group */
    struct kv_slice low, high; /* of an output: it covers keys > low, and <= high … */
    bool last_of_run;          /* … or all greater ones */

    /* The answer. */
    bool counts;
    uint64_t end_lsn;       /* where it ends; a log may be cut by its successor */
    bool has_hidden;        /* keys <= `hidden` have been replaced */
    struct kv_slice hidden; /* borrowed from another file's `high` */
    bool continues_run;     /* it belongs to the run of the file before it */
    size_t context;         /* the caller's */
};

/* Decide for all; then those that count come first, newest run first, ascending keys within a run. */
void kv_lineup(struct kv_lineup_file *files, size_t count);

#endif
