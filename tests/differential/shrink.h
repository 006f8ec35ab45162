/*
 * Making a failing episode short: leave out operations, then fragments of
 * statements (see text.h), as long as the failure stays of its kind.
 * After Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input".
 */
#ifndef KV_DIFFERENTIAL_SHRINK_H
#define KV_DIFFERENTIAL_SHRINK_H

#include "trial.h"

/*
 * Shrink `list`, which fails as trial->report says, for at most `seconds`.
 * Afterwards trial->report tells how the shorter one fails.
 */
void shrink(struct op_list *list, const struct setting *setting, struct trial *trial,
            unsigned seconds);

#endif
