/* Contents and expectations: see history.h. */
#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

static void *need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "history: out of memory\n");
        abort();
    }
    return memory;
}

void history_init(struct history *history)
{
    *history = (struct history){.capacity = 64, .expectation_capacity = 64};
    history->states = need(calloc(history->capacity, sizeof(*history->states)));
    history->expectations =
        need(calloc(history->expectation_capacity, sizeof(*history->expectations)));
}

void history_release(struct history *history)
{
    free(history->states);
    free(history->expectations);
    *history = (struct history){0};
}

void history_commit(struct history *history, const struct content *content, uint64_t proven)
{
    struct content copy = *content; /* it may lie in what moves */

    if (history->last + 1 == history->capacity) {
        history->capacity *= 2;
        history->states =
            need(realloc(history->states, history->capacity * sizeof(*history->states)));
    }
    history->last++;
    history->states[history->last].content = copy;
    history->states[history->last].proven = proven;
}

uint64_t history_expect(struct history *history, const struct expectation *expectation)
{
    if (history->expectation_count == history->expectation_capacity) {
        history->expectation_capacity *= 2;
        history->expectations = need(realloc(
            history->expectations, history->expectation_capacity * sizeof(*history->expectations)));
    }
    history->expectations[history->expectation_count] = *expectation;
    return history->expectation_count++;
}

void history_copy(struct history *to, const struct history *from, uint64_t seq)
{
    history_init(to);
    for (uint64_t i = 1; i <= seq; i++)
        history_commit(to, &from->states[i].content, from->states[i].proven);
}

struct kv_slice history_key(unsigned key)
{
    static const char *const keys[HISTORY_KEYS] = {
        "a",  "a\1", "a\1\1",  "aa",      "b",        "bb",     "c",
        "ca", "d",   "dddddd", "dddddda", "dddddddb", "eeeeee", "zzzzzzzzzzzzzzzzzzzz"};

    return kv_slice_text(keys[key]);
}

struct kv_slice history_row(uint32_t number)
{
    static uint32_t words[HISTORY_ROW_MAX / 4 + 1];
    size_t size = number & HISTORY_LONG_ROW ? HISTORY_ROW_MAX - number % 1000 : number % 70;

    for (size_t i = 0; i * 4 < size; i++)
        words[i] = number + (uint32_t)i * 2654435761u;
    return kv_slice_of(words, size);
}

uint64_t content_hash(const struct content *content)
{
    return kv_hash(kv_slice_of(content, sizeof(*content)), 3);
}
