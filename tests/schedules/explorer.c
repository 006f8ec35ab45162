/* Walking over schedules: see explorer.h. */
#include "explorer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

static void *need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "schedules: out of memory\n");
        abort();
    }
    return memory;
}

void explorer_init(struct explorer *explorer, struct budget budget)
{
    *explorer = (struct explorer){.budget = budget, .share_percent = 100, .key_capacity = 1 << 16};
    explorer->keys = need(calloc(explorer->key_capacity, sizeof(*explorer->keys)));
    explorer->budgets = need(calloc(explorer->key_capacity, sizeof(*explorer->budgets)));
}

void explorer_release(struct explorer *explorer)
{
    free(explorer->decisions);
    free(explorer->keys);
    free(explorer->budgets);
}

void explorer_begin(struct explorer *explorer)
{
    explorer->at = 0;
    explorer->left = explorer->budget;
}

/* ---- States that have been met */

static size_t slot_of(const struct explorer *explorer, uint64_t key)
{
    size_t slot = key & (explorer->key_capacity - 1);

    while (explorer->keys[slot] && explorer->keys[slot] != key)
        slot = (slot + 1) & (explorer->key_capacity - 1);
    return slot;
}

static void grow(struct explorer *explorer)
{
    struct explorer old = *explorer;

    explorer->key_capacity *= 2;
    explorer->keys = need(calloc(explorer->key_capacity, sizeof(*explorer->keys)));
    explorer->budgets = need(calloc(explorer->key_capacity, sizeof(*explorer->budgets)));
    for (size_t i = 0; i < old.key_capacity; i++) {
        size_t slot;

        if (!old.keys[i])
            continue;
        slot = slot_of(explorer, old.keys[i]);
        explorer->keys[slot] = old.keys[i];
        explorer->budgets[slot] = old.budgets[i];
    }
    free(old.keys);
    free(old.budgets);
}

/* The budgets under which `key` has been met, a bit for each. */
static uint64_t *met(struct explorer *explorer, uint64_t key)
{
    size_t slot;

    if (explorer->key_count * 2 > explorer->key_capacity)
        grow(explorer);
    key += key == 0; /* 0 is an empty slot */
    slot = slot_of(explorer, key);
    if (!explorer->keys[slot]) {
        explorer->keys[slot] = key;
        explorer->key_count++;
    }
    return &explorer->budgets[slot];
}

static unsigned budget_bit(unsigned preemptions, unsigned deaths, unsigned faults)
{
    return preemptions * 16 + deaths * 4 + faults;
}

/* Has `state` been met with at least what is left now? Note that it has. */
static bool is_explored(struct explorer *explorer, uint64_t state)
{
    const struct budget *left = &explorer->left;
    uint64_t *budgets = met(explorer, state);

    explorer->state_count += *budgets == 0;
    for (unsigned p = left->preemptions; p <= explorer->budget.preemptions; p++)
        for (unsigned d = left->deaths; d <= explorer->budget.deaths; d++)
            for (unsigned f = left->faults; f <= explorer->budget.faults; f++)
                if (*budgets & (uint64_t)1 << budget_bit(p, d, f))
                    return true;
    *budgets |= (uint64_t)1 << budget_bit(left->preemptions, left->deaths, left->faults);
    return false;
}

bool explorer_note(struct explorer *explorer, uint64_t key)
{
    uint64_t *noted;

    if (explorer->replay)
        return false;
    noted = met(explorer, kv_digest_add(key, 1));
    if (*noted)
        return true;
    *noted = 1;
    return false;
}

/* ---- Deciding */

static unsigned *purse(struct budget *budget, enum option_cost cost)
{
    switch (cost) {
    case COST_PREEMPTION: return &budget->preemptions;
    case COST_DEATH: return &budget->deaths;
    case COST_FAULT: return &budget->faults;
    case COST_NOTHING: break;
    }
    return NULL;
}

/* Has whoever ran always gone on so far, and nothing gone wrong? */
static bool nothing_spent(const struct explorer *explorer)
{
    return explorer->left.preemptions == explorer->budget.preemptions &&
           explorer->left.deaths == explorer->budget.deaths &&
           explorer->left.faults == explorer->budget.faults;
}

/* Is the option one of those to be tried? */
static bool is_wanted(struct explorer *explorer, uint64_t state, const struct option *option)
{
    const unsigned *left = purse(&explorer->left, option->cost);
    uint64_t chance = kv_digest_add(kv_digest_add(explorer->seed, state),
                                    (uint64_t)option->kind * 64 + option->actor);

    if (!left)
        return true;
    if (*left == 0)
        return false;
    /* Power cuts have been sampled by what they leave. */
    if (option->kind == OPTION_POWER || nothing_spent(explorer))
        return true;
    return chance % 100 < explorer->share_percent;
}

static struct decision *add_decision(struct explorer *explorer)
{
    if (explorer->count == explorer->capacity) {
        explorer->capacity = explorer->capacity ? 2 * explorer->capacity : 1024;
        explorer->decisions =
            need(realloc(explorer->decisions, explorer->capacity * sizeof(*explorer->decisions)));
    }
    return &explorer->decisions[explorer->count++];
}

static const char kind_letters[] = "rtkpf";

/* Which option the text to be replayed asks for at this decision. */
static unsigned replayed(const struct explorer *explorer, const struct decision *decision)
{
    const char *at = explorer->replay;

    while (at && *at) {
        char letter;
        unsigned long number;
        unsigned actor;

        if (sscanf(at, "%lu%c%u", &number, &letter, &actor) == 3 && number == explorer->at)
            for (unsigned i = 0; i < decision->count; i++)
                if (kind_letters[decision->options[i].kind] == letter &&
                    decision->options[i].actor == actor)
                    return i;
        at = strchr(at, ',');
        at += at ? 1 : 0;
    }
    return 0;
}

static const struct option *take(struct explorer *explorer, const struct decision *decision)
{
    const struct option *option = &decision->options[decision->taken];
    unsigned *left = purse(&explorer->left, option->cost);

    explorer->at++;
    if (left)
        --*left;
    return option;
}

const struct option *explorer_choose(struct explorer *explorer, uint64_t state,
                                     const struct option *options, unsigned count)
{
    struct decision *decision;

    if (explorer->at < explorer->count) {
        decision = &explorer->decisions[explorer->at];
        if (decision->state != state)
            explorer_is_lost(explorer);
        return take(explorer, decision);
    }
    if (!explorer->replay && is_explored(explorer, state))
        return NULL;
    decision = add_decision(explorer);
    decision->state = state;
    decision->count = decision->taken = 0;
    for (unsigned i = 0; i < count; i++)
        if (explorer->replay || is_wanted(explorer, state, &options[i]))
            decision->options[decision->count++] = options[i];
    if (explorer->replay)
        decision->taken = replayed(explorer, decision);
    return take(explorer, decision);
}

bool explorer_next(struct explorer *explorer)
{
    if (explorer->replay)
        return false;
    while (explorer->count) {
        struct decision *last = &explorer->decisions[explorer->count - 1];

        if (++last->taken < last->count)
            return true;
        explorer->count--;
    }
    return false;
}

/* ---- Telling */

void explorer_text(const struct explorer *explorer, char *text, size_t size)
{
    size_t used = 0;

    *text = '\0';
    for (size_t i = 0; i < explorer->at && used < size; i++) {
        const struct decision *decision = &explorer->decisions[i];
        const struct option *option = &decision->options[decision->taken];

        if (decision->taken)
            used += (size_t)snprintf(text + used, size - used, "%s%zu%c%u", used ? "," : "", i,
                                     kind_letters[option->kind], option->actor);
    }
}

void explorer_is_lost(const struct explorer *explorer)
{
    fprintf(stderr, "schedules: decision %zu is not what it was: an actor is not deterministic\n",
            explorer->at);
    abort();
}
