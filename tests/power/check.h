/*
 * What must hold of a store after the power has failed:
 *
 * 1. it opens for writing with no manual step;
 * 2. its content is that of transactions 1 … k, for some k: no hole;
 * 3. k is at least the last that was acknowledged as durable;
 * 4. no part of an aborted or later transaction is there;
 * 5. checking it finds nothing, no unfinished file is left, and no index had to be built anew;
 * 6. recovering again changes nothing;
 * 7. one more transaction commits and survives the next failure;
 * 8. compacting everything and opening it again brings nothing back;
 * 9. without its manifest, repairing it brings back the same, but perhaps the last transaction
 *    that was not acknowledged;
 * 10. with a byte damaged instead, what it says is right or KV_CORRUPT, and
 *     nothing is missing that the disk itself proves to have been durable.
 */
#ifndef KV_POWER_CHECK_H
#define KV_POWER_CHECK_H

#include "history.h"
#include "image.h"
#include "trace.h"

/* What was found; the same disk need not be looked at twice. */
struct verdict {
    uint64_t seq; /* k */
    uint64_t content_hash;
};

/* Fail unless a verdict is what the expectation allows (2, 3, 4). */
void check_verdict(const struct verdict *verdict, const struct history *history,
                   const struct expectation *expectation);

/* Check 1 to 8. */
void check_image(const struct image *image, const struct history *history,
                 const struct expectation *expectation, struct verdict *out);

/* Check 9. */
void check_repaired(const struct image *image, const struct history *history,
                    const struct expectation *expectation);

/* Check 10, with one bit that `seed` chooses. */
void check_damaged(struct image *image, const struct history *history,
                   const struct expectation *expectation, uint64_t seed);

/*
 * Recover, commit, compact, close and open again, as check_image does, writing
 * down what happens: the material for the next power failure.
 */
void check_traced(const struct image *image, const struct history *history,
                  const struct expectation *expectation, struct trace *trace, struct history *next);

#endif
