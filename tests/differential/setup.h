/* What an episode begins with. */
#ifndef KV_DIFFERENTIAL_SETUP_H
#define KV_DIFFERENTIAL_SETUP_H

#include "maker.h"

/* Choose a setting and the shapes of tables, and add the operations that create them all. */
void setup(struct maker *maker);

#endif
