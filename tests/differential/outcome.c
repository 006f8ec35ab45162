/* Outcomes: see outcome.h. */
#include "outcome.h"

#include <string.h>

enum { SHOWN_ROWS = 12 };

void outcome_clear(struct outcome *outcome)
{
    outcome->code = SQLITE_OK;
    outcome->ran = false;
    text_clear(&outcome->message);
    rows_clear(&outcome->rows);
}

void outcome_release(struct outcome *outcome)
{
    text_release(&outcome->message);
    rows_release(&outcome->rows);
}

static const char *message_of(const struct outcome *outcome)
{
    return outcome->message.data ? outcome->message.data : "";
}

/* Call the table `k_again` by its other name, which the ordinary world knows. */
static void use_one_name(struct text *message)
{
    static const char name[] = "k_again";
    char *at = message->data ? strstr(message->data, name) : NULL;
    const char *rest;

    if (!at)
        return;
    rest = at + strlen(name);
    memmove(at + 1, rest, strlen(rest) + 1);
    message->size -= strlen(name) - 1;
}

/* Who waits for whom is told in other words where it is the store that is busy. */
static bool is_message_ours(int code)
{
    return (code & 0xff) == SQLITE_BUSY;
}

/* Did both fail because the other connection had changed the schema and had not let go of its locks? */
static bool is_race(const struct outcome *a, const struct outcome *b)
{
    return (a->code & 0xff) == SQLITE_BUSY && strncmp(message_of(b), "no such table", 13) == 0;
}

/* The rows of `a` that are not at the same place in `b`. */
static void describe_missing(const char *whose, const struct rows *a, const struct rows *b,
                             struct text *what)
{
    size_t shown = 0;

    text_add(what, "rows of %s: %zu", whose, a->count);
    for (size_t i = 0; i < a->count && shown < SHOWN_ROWS; i++) {
        if (i < b->count && rows_equal_at(a, i, b, i))
            continue;
        text_add(what, "\n    row %zu: ", i + 1);
        rows_describe(a, i, what);
        shown++;
    }
    text_add(what, "\n");
}

static bool number_differs(const char *name, sqlite3_int64 kv, sqlite3_int64 ordinary,
                           struct text *what)
{
    if (kv == ordinary)
        return false;
    text_add(what, "%s: kv %lld, ordinary %lld\n", name, kv, ordinary);
    return true;
}

bool outcome_differs(struct outcome *kv, struct outcome *ordinary, unsigned compared,
                     struct text *what)
{
    bool differs = false;

    use_one_name(&kv->message);
    if (is_race(kv, ordinary) || is_race(ordinary, kv))
        return false;
    if (kv->code != ordinary->code ||
        (!is_message_ours(kv->code) && strcmp(message_of(kv), message_of(ordinary)) != 0)) {
        text_add(what, "result kv %d, ordinary %d: (%s), (%s)\n", kv->code, ordinary->code,
                 message_of(kv), message_of(ordinary));
        return true;
    }
    /* What came before a failure depends on the plan. */
    if (kv->code == SQLITE_OK &&
        !rows_equal(&kv->rows, &ordinary->rows, compared & COMPARE_ORDER)) {
        describe_missing("kv", &kv->rows, &ordinary->rows, what);
        describe_missing("ordinary", &ordinary->rows, &kv->rows, what);
        return true;
    }
    /* A statement that was never prepared leaves changes() as it was. */
    if (compared & COMPARE_CHANGES && kv->ran && ordinary->ran) {
        differs |= number_differs("changes()", kv->changes, ordinary->changes, what);
        differs |=
            number_differs("total_changes()", kv->total_changes, ordinary->total_changes, what);
    }
    differs |= number_differs("last_insert_rowid()", kv->last_rowid, ordinary->last_rowid, what);
    differs |= number_differs("autocommit", kv->autocommit, ordinary->autocommit, what);
    /* After a failure it may be another: see align_locks in run.c. */
    if (kv->code == SQLITE_OK && compared & COMPARE_TXN_STATE)
        differs |= number_differs("transaction state", kv->txn_state, ordinary->txn_state, what);
    return differs;
}
