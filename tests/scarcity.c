/* Memory that runs out: see scarcity.h. */
#include "scarcity.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

static _Thread_local bool is_scarce, is_engines, is_lasting, has_struck;
static _Thread_local uint64_t countdown;
static _Atomic uint64_t *strikes; /* shared with the processes of the tests */

void scarcity_init(void)
{
    strikes =
        mmap(NULL, sizeof(*strikes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (strikes == MAP_FAILED)
        abort();
}

uint64_t scarcity_count(void)
{
    return atomic_load(strikes);
}

void scarcity_begin(uint64_t call, bool lasts, bool engine)
{
    is_lasting = lasts;
    is_engines = engine;
    has_struck = false;
    countdown = call;
    is_scarce = true;
}

bool scarcity_end(void)
{
    is_scarce = false;
    return has_struck;
}

static bool strikes_now(bool engine)
{
    if (!is_scarce || engine != is_engines || (has_struck && !is_lasting) ||
        (!has_struck && --countdown > 0))
        return false;
    has_struck = true;
    atomic_fetch_add(strikes, 1);
    return true;
}

bool scarcity_strikes(void)
{
    return strikes_now(false);
}

/* ---- What the linker puts in the place of malloc and its like (--wrap) */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    return strikes_now(true) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return strikes_now(true) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return strikes_now(true) ? NULL : __real_realloc(memory, size);
}
