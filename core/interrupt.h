/* How long work is told to stop. */
#ifndef KV_INTERRUPT_H
#define KV_INTERRUPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many items, of a few hundred nanoseconds each, are worked on between questions. */
enum { KV_INTERRUPT_EVERY_COUNT = 4096 };

/* Who may stop it. Must outlive the work. */
struct kv_interrupt {
    bool (*asked)(void *context); /* true: stop; NULL: never */
    void *context;
};

/* Is it to stop? `interrupt` NULL: never. */
static inline bool kv_interrupt_asked(const struct kv_interrupt *interrupt)
{
    return interrupt && interrupt->asked && interrupt->asked(interrupt->context);
}

/* Is it time to ask, after item `i` of many? Few items are not worth a question. */
static inline bool kv_interrupt_is_due(uint64_t i)
{
    return (i + 1) % KV_INTERRUPT_EVERY_COUNT == 0;
}

#endif
