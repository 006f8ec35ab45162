/*
 * The rows that the torture program keeps, and what must hold of them in every
 * snapshot, whoever was killed and when.
 *
 *   a0000 …           accounts: their sum is 0
 *   check             a checksum over all accounts
 *   w00 …             how many transactions each writer's place has committed
 *   clock             how many there have been in all: the sum of the above
 *   q00:0000000001 …  of each place, a row for each of its last BANK_QUEUE transactions:
 *                     a row that is missing was lost, one too many has come back
 *   B00, b00:00000 …  of each place, many rows that are replaced in one transaction: B says
 *                     which one and how many; they all carry its number
 *
 * Each row has an amount and a padding, whose bytes follow from the amount.
 */
#ifndef KV_TORTURE_BANK_H
#define KV_TORTURE_BANK_H

#include <stdbool.h>
#include <stdint.h>

#include "slice.h"

enum {
    BANK_ACCOUNTS = 100,
    BANK_PLACES = 4, /* of writers: each is taken by one process at a time */
    BANK_QUEUE = 40,
    BANK_BULK_MAX = 4000, /* far more than a log takes of one transaction */
    BANK_PAD_MAX = 300,
    BANK_KEY_BYTES = 24,
};

/* A row's key, as text; valid until the next but seven. */
const char *bank_account(unsigned account);
const char *bank_counter(unsigned place);
const char *bank_queue(unsigned place, int64_t number);
const char *bank_bulk_head(unsigned place);
const char *bank_bulk(unsigned place, unsigned index);

/* What an account adds to the checksum. */
int64_t bank_part(unsigned account, int64_t amount);

/* The amount of a bulk head. */
static inline int64_t bank_bulk_amount(int64_t generation, unsigned count)
{
    return generation << 16 | count;
}

/* `size` bytes of padding for a row of this amount; valid until the next call. */
struct kv_slice bank_pad(int64_t amount, size_t size);

/* One snapshot, as its rows come in. */
struct bank_snapshot {
    int direction;              /* in which keys must come: 1 or -1 */
    char key[BANK_KEY_BYTES];   /* the last one */
    char wrong[BANK_KEY_BYTES]; /* the first row that is wrong in itself; "": none */
    unsigned row_count, account_count;
    int64_t sum, check, stored_check, clock;
    struct {
        int64_t count;
        int64_t queue_first, queue_last, queue_count;
        int64_t bulk_amount;
        int64_t bulk_generation; /* of the first bulk row */
        unsigned bulk_count, bulk_end;
    } places[BANK_PLACES];
};

void bank_begin(struct bank_snapshot *snapshot, bool descending);
void bank_row(struct bank_snapshot *snapshot, const char *key, int64_t amount, struct kv_slice pad);

/* NULL if all holds; else what does not, valid until the next call. */
const char *bank_end(const struct bank_snapshot *snapshot);

/* SplitMix64. */
uint64_t bank_random(uint64_t *random);

/* 0 … count-1. */
static inline unsigned bank_below(uint64_t *random, unsigned count)
{
    return (unsigned)(bank_random(random) >> 16) % count;
}

static inline bool bank_percent(uint64_t *random, unsigned percent)
{
    return bank_below(random, 100) < percent;
}

#endif
