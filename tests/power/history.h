/*
 * What a store must contain, and what may be lost, at each moment of a trace.
 *
 * A content is a number for each of a few keys, which decides its row. The
 * history has the content after each transaction, and expectations that marks
 * of a trace refer to: from a mark on, until the next.
 */
#ifndef KV_POWER_HISTORY_H
#define KV_POWER_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slice.h"

enum { HISTORY_KEYS = 14, HISTORY_ROW_MAX = 400 * 1024 };

/* A row with this bit is long. */
#define HISTORY_LONG_ROW 0x80000000u

struct content {
    uint32_t rows[HISTORY_KEYS]; /* 0: no such key */
};

struct expectation {
    uint64_t durable; /* transactions that must be there */
    uint64_t last;    /* that have been committed */
    bool maybe;       /* one more may be there, being committed or taken back: then `after` it is */
    struct content after;
    uint64_t proven; /* by its COMMIT: see below */
};

struct history {
    struct {
        struct content content;
        uint64_t proven; /* so many were durable when this one's COMMIT was written, as it says */
    } * states;          /* by seq; [0] is empty */
    uint64_t last, capacity;
    struct expectation *expectations;
    size_t expectation_count, expectation_capacity;
    const struct history
        *before; /* of a second life: the first; its first expectation is of that */
};

void history_init(struct history *history);
void history_release(struct history *history);

/* One more transaction. */
void history_commit(struct history *history, const struct content *content, uint64_t proven);

/* Add an expectation and return its number. */
uint64_t history_expect(struct history *history, const struct expectation *expectation);

/* The first `seq` transactions of another history. */
void history_copy(struct history *to, const struct history *from, uint64_t seq);

struct kv_slice history_key(unsigned key);

/* Valid until the next call. */
struct kv_slice history_row(uint32_t number);

uint64_t content_hash(const struct content *content);

#endif
