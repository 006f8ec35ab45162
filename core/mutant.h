/*
 * Deliberate mistakes, to see that the tests notice them. In every build but
 * that of `make mutants` (-DKV_MUTANTS) a mutant is the constant false, and
 * nothing of it is left in the program; there the environment variable KV_MUTANT
 * names the one that is active. Each name occurs once in core/, where the mistake is made.
 */
#ifndef KV_MUTANT_H
#define KV_MUTANT_H

#include <stdbool.h>

#ifdef KV_MUTANTS
bool kv_mutant_is(const char *name); /* tests/mutants/mutant.c */
#define KV_MUTANT(name) kv_mutant_is(#name)
#else
#define KV_MUTANT(name) false
#endif

/* Make a call, the outcome of which is a status, unless the mutant leaves it out. */
#define KV_UNLESS_MUTANT(name, call) (KV_MUTANT(name) ? KV_OK : (call))

#endif
