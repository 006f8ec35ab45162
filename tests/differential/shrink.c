/* Shrinking: see shrink.h. */
#include "shrink.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct shrinker {
    struct op_list *list; /* the shortest so far that fails */
    const struct setting *setting;
    struct trial *trial;
    struct report best;
    time_t deadline;
    unsigned attempts; /* for what fails now and then only */
};

enum { ATTEMPTS_MAX = 6 };

/* A failure's kind is the first line of its description, but for numbers. */
static bool same_kind(const char *a, const char *b)
{
    static const char digits[] = "0123456789";

    for (;;) {
        a += strspn(a, digits);
        b += strspn(b, digits);
        if (*a != *b)
            return false;
        if (!*a || *a == '\n')
            return true;
        a++;
        b++;
    }
}

static bool fails_once(struct shrinker *shrinker, const struct op_list *candidate)
{
    enum verdict verdict = trial_run(shrinker->trial, candidate, shrinker->setting);

    return verdict != VERDICT_SAME && same_kind(shrinker->trial->report->what, shrinker->best.what);
}

/* Does `candidate` fail, too? */
static bool still_fails(struct shrinker *shrinker, const struct op_list *candidate)
{
    bool fails = false;

    for (unsigned i = 0; !fails && i < shrinker->attempts; i++)
        fails = time(NULL) < shrinker->deadline && fails_once(shrinker, candidate);
    if (!fails)
        return false;
    shrinker->best = *shrinker->trial->report;
    return true;
}

/* What comes after the operation that failed is not needed. */
static void cut(struct shrinker *shrinker)
{
    op_list_remove(shrinker->list, shrinker->best.failed_at + 1, SIZE_MAX);
}

/* ---- Operations */

/* A list that shares the operations' texts with `list`, without `count` of them. */
static struct op_list without(const struct op_list *list, size_t from, size_t count)
{
    struct op_list shorter = {0};

    for (size_t i = 0; i < list->count; i++)
        if (i < from || i >= from + count)
            op_list_add(&shorter, list->ops[i]);
    return shorter;
}

/* Try to leave out each run of `size` operations. True: something could go. */
static bool drop_runs(struct shrinker *shrinker, size_t size)
{
    bool progress = false;

    /* From the end: what is late depends on what is early. */
    for (size_t end = shrinker->list->count; end > 0;) {
        size_t from = end > size ? end - size : 0;
        struct op_list shorter = without(shrinker->list, from, end - from);

        if (still_fails(shrinker, &shorter)) {
            op_list_remove(shrinker->list, from, end - from);
            cut(shrinker);
            progress = true;
        }
        free(shorter.ops);
        end = from < shrinker->list->count ? from : shrinker->list->count;
    }
    return progress;
}

static void drop_operations(struct shrinker *shrinker)
{
    size_t size = shrinker->list->count / 2;

    while (size > 0) {
        bool progress = drop_runs(shrinker, size);

        if (!progress || size > 1)
            size /= 2;
    }
}

/* ---- Fragments */

/* The end of the fragment that begins at `at`, behind its mark. */
static const char *end_of_fragment(const char *at)
{
    int depth = 0;

    for (; *at; at++) {
        depth += *at == FRAGMENT[0];
        depth -= *at == END[0];
        if (depth == 0)
            return at + 1;
    }
    return at;
}

/* Try to leave out the fragment that begins at `offset` of the operation's text. */
static bool drop_fragment(struct shrinker *shrinker, size_t i, size_t offset)
{
    struct op *op = &shrinker->list->ops[i];
    const char *end = end_of_fragment(op->sql + offset);
    struct text shorter = {0};
    char *before = op->sql;

    text_add_bytes(&shorter, before, offset);
    text_add(&shorter, "%s", end);
    op->sql = text_take(&shorter);
    if (still_fails(shrinker, shrinker->list)) {
        free(before);
        cut(shrinker);
        return true;
    }
    free(op->sql);
    op->sql = before;
    return false;
}

static bool drop_fragments(struct shrinker *shrinker)
{
    bool progress = false;

    for (size_t i = 0; i < shrinker->list->count; i++) {
        const struct op *op = &shrinker->list->ops[i];

        if (!op->sql || op->ordinary)
            continue;
        for (size_t offset = 0; op->sql[offset]; offset++)
            while (op->sql[offset] == FRAGMENT[0] && drop_fragment(shrinker, i, offset))
                progress = true;
    }
    return progress;
}

/* Try to write out values that are bound. */
static void unbind(struct shrinker *shrinker)
{
    for (size_t i = 0; i < shrinker->list->count; i++) {
        struct op *op = &shrinker->list->ops[i];

        if (!(op->flags & OP_BINDS))
            continue;
        op->flags &= ~(unsigned)OP_BINDS;
        if (still_fails(shrinker, shrinker->list))
            cut(shrinker);
        else
            op->flags |= OP_BINDS;
    }
}

void shrink(struct op_list *list, const struct setting *setting, struct trial *trial,
            unsigned seconds)
{
    struct shrinker shrinker = {.list = list,
                                .setting = setting,
                                .trial = trial,
                                .best = *trial->report,
                                .deadline = time(NULL) + seconds};

    cut(&shrinker);
    shrinker.attempts = fails_once(&shrinker, list) ? 1 : ATTEMPTS_MAX;
    drop_operations(&shrinker);
    while (drop_fragments(&shrinker))
        drop_operations(&shrinker);
    unbind(&shrinker);
    *trial->report = shrinker.best;
}
