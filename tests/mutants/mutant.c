/* Which of the deliberate mistakes is active (core/mutant.h): the one that KV_MUTANT names. */
#include "mutant.h"

#include <stdlib.h>
#include <string.h>

static const char *active;

static void __attribute__((constructor)) choose(void)
{
    active = getenv("KV_MUTANT");
}

bool kv_mutant_is(const char *name)
{
    return active && strcmp(active, name) == 0;
}
