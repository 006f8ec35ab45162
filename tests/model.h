/*
 * What a store must contain, kept the simplest way: an array with the number
 * of each key's row, one array for each transaction there has been.
 *
 * Keys come from a fixed list in ascending order, with prefixes of each other,
 * shared beginnings and a few long ones; a row's number decides its bytes. So
 * a state is a few hundred numbers, and copying it is a snapshot.
 */
#ifndef KV_TESTS_MODEL_H
#define KV_TESTS_MODEL_H

#include "kv.h"

enum {
    MODEL_KEYS = 160,
    MODEL_KEY_BYTES = 700,
    MODEL_ROW_BYTES = 80000,
    MODEL_LARGE_BYTES = 60000,
};

struct model_state {
    uint32_t rows[MODEL_KEYS]; /* 0: no such key */
};

/* States by seq: what the store contained after each transaction; [0] is empty. */
struct model {
    struct model_state *states;
    uint64_t last_seq, capacity;
};

void model_init(struct model *model);
void model_release(struct model *model);

/* The state after the last transaction. Valid until the next model_commit. */
struct model_state *model_last(struct model *model);

/* One more transaction: seq last_seq + 1. */
void model_commit(struct model *model, const struct model_state *state);

struct kv_slice model_key(unsigned key);

/* The bytes of row `number`, which is not 0; valid until the next call on this thread. */
struct kv_slice model_row(uint32_t number);

/* The number of a row of MODEL_LARGE_BYTES or more. */
uint32_t model_large_row(uint64_t *random);

/* Fail unless `entry` is what `state` says of `key`. */
void model_expect_entry(const struct model_state *state, unsigned key,
                        const struct kv_entry *entry);

/*
 * Fail unless a scan of keys first … last-1 (with both bounds, or none at the
 * ends) shows `state`, forwards or backwards.
 */
void model_expect_range(const struct model_state *state, struct kv_snapshot *snapshot,
                        struct kv_txn *txn, unsigned first, unsigned last, bool descending);

/* All of it, both ways. */
void model_expect(const struct model_state *state, struct kv_snapshot *snapshot,
                  struct kv_txn *txn);

/* Look one key up. */
void model_expect_key(const struct model_state *state, struct kv_snapshot *snapshot,
                      struct kv_txn *txn, unsigned key);

unsigned model_count(const struct model_state *state);

/* ---- Chance */

/* SplitMix64. */
uint64_t model_random(uint64_t *random);

/* 0 … count-1. */
static inline unsigned model_below(uint64_t *random, unsigned count)
{
    return (unsigned)(model_random(random) >> 16) % count;
}

static inline bool model_percent(uint64_t *random, unsigned percent)
{
    return model_below(random, 100) < percent;
}

/* ---- Figures of a program whose tests run in processes of their own */

struct model_figures {
    uint64_t seed; /* of the run at work: to be replayed alone if it failed */
    uint64_t runs, transactions, crashes, kills, faults, recoveries, seals, compactions;
};

/* Shared by this process and its children, zeroed. */
struct model_figures *model_figures_new(void);

/* KV_TEST_SCALE, times `count`; at least 1. */
unsigned model_scaled(unsigned count);

/* KV_TEST_SEED: the only seed to run; 0: all. */
uint64_t model_only_seed(void);

/* KV_TEST_FIRST_RUN: the number of the first run, from which its seed follows; 1. */
uint64_t model_first_run(void);

#endif
