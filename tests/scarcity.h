/*
 * Memory that runs out: an allocation of this thread fails, or it and all that follow.
 *
 * For programs that are linked so that all calls of malloc, calloc and realloc come here
 * first (WRAP in the Makefile). Other threads have all the memory they want.
 */
#ifndef KV_TESTS_SCARCITY_H
#define KV_TESTS_SCARCITY_H

#include <stdbool.h>
#include <stdint.h>

/* Once, before the tests' processes are forked, which add up what they made fail. */
void scarcity_init(void);
uint64_t scarcity_count(void);

/*
 * From now on, allocation `call` fails (1: the next one), and if `lasts`, all behind it.
 * Those of malloc and its like are meant if `engine`, else those that ask scarcity_strikes().
 */
void scarcity_begin(uint64_t call, bool lasts, bool engine);

/* True: memory ran out since scarcity_begin(). */
bool scarcity_end(void);

/* For allocators beside malloc: is there none for this call? */
bool scarcity_strikes(void);

#endif
