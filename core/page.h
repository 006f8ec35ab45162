/*
 * The page of state that all processes with a store open share: its words,
 * and the only ways to touch them. Who writes which word, and in which order,
 * is told in engine.h.
 *
 * All accesses are sequentially consistent: loads cost nothing for it, and
 * stores are few. So a test that runs processes one at a time, switching
 * between them at accesses of these words and at calls of io.h, meets every order of things
 * that real processes can: built with KV_YIELD, each access asks for that first.
 */
#ifndef KV_PAGE_H
#define KV_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { KV_PAGE_BYTES = 4096 };

/* The mapped page. Words mean nothing until whoever attaches alone has reset them. */
struct kv_page {
    _Atomic uint64_t incarnation; /* 0: being reset; random otherwise */
    _Atomic uint64_t committed_lsn;
    _Atomic uint64_t durable_lsn;
    _Atomic uint64_t generation;    /* of the newest manifest that is durable; only raised */
    _Atomic uint32_t writer_busy;   /* set while WRITER is held */
    _Atomic uint32_t syncing;       /* set while SYNC is held around a sync */
    _Atomic uint32_t refuse_writes; /* a sync failed: nothing may be committed */
};

#ifdef KV_YIELD
/* The program's: an access follows; a load has found this. */
void kv_page_yield(const volatile void *word);
void kv_page_found(const volatile void *word, uint64_t value);

/* Memory of a process of its own, where a thread stands for one. */
#define KV_PROCESS_LOCAL _Thread_local
#else
static inline void kv_page_yield(const volatile void *word)
{
    (void)word;
}
static inline void kv_page_found(const volatile void *word, uint64_t value)
{
    (void)word;
    (void)value;
}
#define KV_PROCESS_LOCAL
#endif

/* ---- Numbers */

static inline uint64_t kv_page_load(const _Atomic uint64_t *word)
{
    uint64_t value;

    kv_page_yield(word);
    value = atomic_load(word);
    kv_page_found(word, value);
    return value;
}

static inline void kv_page_store(_Atomic uint64_t *word, uint64_t value)
{
    kv_page_yield(word);
    atomic_store(word, value);
}

/* Raise a word, never lower it. */
static inline void kv_page_raise(_Atomic uint64_t *word, uint64_t value)
{
    uint64_t seen = kv_page_load(word);

    while (seen < value) {
        kv_page_yield(word);
        if (atomic_compare_exchange_weak(word, &seen, value))
            return;
        kv_page_found(word, seen);
    }
}

/* ---- Flags */

static inline bool kv_page_is_set(const _Atomic uint32_t *flag)
{
    bool set;

    kv_page_yield(flag);
    set = atomic_load(flag) != 0;
    kv_page_found(flag, set);
    return set;
}

static inline void kv_page_set(_Atomic uint32_t *flag)
{
    kv_page_yield(flag);
    atomic_store(flag, 1);
}

/* Set it, and tell whether it was. */
static inline bool kv_page_test_and_set(_Atomic uint32_t *flag)
{
    bool was_set;

    kv_page_yield(flag);
    was_set = atomic_exchange(flag, 1) != 0;
    kv_page_found(flag, was_set);
    return was_set;
}

static inline void kv_page_clear(_Atomic uint32_t *flag)
{
    kv_page_yield(flag);
    atomic_store(flag, 0);
}

#endif
