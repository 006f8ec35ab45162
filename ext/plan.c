/* Choosing how to read, and the keys that bound it: see plan.h. */
#include "plan.h"

#include <string.h>

#include "rowcodec.h"

/* ---- Choosing */

/* The constraints worth using, as positions in aConstraint; -1: none. */
struct found {
    int equal, in, min, max, glob, like;
};

static bool is_usable(sqlite3_index_info *info, int i)
{
    const struct sqlite3_index_constraint *constraint = &info->aConstraint[i];
    const char *collation;

    if (!constraint->usable || constraint->iColumn != 0)
        return false;
    collation = sqlite3_vtab_collation(info, i);
    return !collation || sqlite3_stricmp(collation, "BINARY") == 0;
}

static void note(sqlite3_index_info *info, int i, struct found *found)
{
    switch (info->aConstraint[i].op) {
    case SQLITE_INDEX_CONSTRAINT_EQ:
    case SQLITE_INDEX_CONSTRAINT_IS:
        if (sqlite3_vtab_in(info, i, -1))
            found->in = i;
        else
            found->equal = i;
        break;
    case SQLITE_INDEX_CONSTRAINT_GT:
    case SQLITE_INDEX_CONSTRAINT_GE: found->min = i; break;
    case SQLITE_INDEX_CONSTRAINT_LT:
    case SQLITE_INDEX_CONSTRAINT_LE: found->max = i; break;
    case SQLITE_INDEX_CONSTRAINT_GLOB: found->glob = i; break;
    case SQLITE_INDEX_CONSTRAINT_LIKE: found->like = i; break;
    default: break;
    }
}

static struct found find(sqlite3_index_info *info)
{
    struct found found = {-1, -1, -1, -1, -1, -1};

    for (int i = 0; i < info->nConstraint; i++)
        if (is_usable(info, i))
            note(info, i, &found);
    return found;
}

/* Hand the constraint's right side to xFilter as its next value. */
static void take(sqlite3_index_info *info, int i, int *argument_count)
{
    info->aConstraintUsage[i].argvIndex = ++*argument_count;
    info->aConstraintUsage[i].omit = 0;
}

static int take_range(sqlite3_index_info *info, const struct found *found)
{
    int plan = 0, count = 0;

    if (found->min >= 0) {
        plan |= KV_PLAN_MIN;
        if (info->aConstraint[found->min].op == SQLITE_INDEX_CONSTRAINT_GT)
            plan |= KV_PLAN_MIN_OPEN;
        take(info, found->min, &count);
    }
    if (found->max >= 0) {
        plan |= KV_PLAN_MAX;
        if (info->aConstraint[found->max].op == SQLITE_INDEX_CONSTRAINT_LT)
            plan |= KV_PLAN_MAX_OPEN;
        /* SQLite may have derived it from LIKE 'a%', which blobs may match. */
        if (found->like >= 0)
            plan |= KV_PLAN_BLOBS;
        take(info, found->max, &count);
    }
    if (found->glob >= 0) {
        plan |= KV_PLAN_GLOB;
        take(info, found->glob, &count);
    }
    return plan;
}

/* The flags of the best way, with the values it needs. */
static int choose(sqlite3_index_info *info, const struct found *found)
{
    int count = 0;

    if (found->equal >= 0) {
        take(info, found->equal, &count);
        return KV_PLAN_EQ;
    }
    if (found->in >= 0) {
        take(info, found->in, &count);
        /* The whole list at once: it is looked up in key order. */
        (void)sqlite3_vtab_in(info, found->in, 1);
        return KV_PLAN_IN;
    }
    return take_range(info, found);
}

/* Figures that made good joins, by experiment: only their proportions matter. */
static void estimate(sqlite3_index_info *info, int plan, sqlite3_int64 rows)
{
    bool min = plan & (KV_PLAN_MIN | KV_PLAN_GLOB);
    bool max = plan & (KV_PLAN_MAX | KV_PLAN_GLOB);

    if (rows < 16)
        rows = 16;
    if (plan & KV_PLAN_EQ) {
        info->estimatedCost = 10;
        info->estimatedRows = 1;
        info->idxFlags |= SQLITE_INDEX_SCAN_UNIQUE;
    } else if (plan & KV_PLAN_IN) {
        /* Less than two lookups, which SQLite would otherwise make of `key = a OR key = b`. */
        info->estimatedCost = 19;
        info->estimatedRows = 4;
    } else if (min && max) {
        info->estimatedRows = rows / 16;
        info->estimatedCost = (double)rows / 16;
    } else if (min || max) {
        info->estimatedRows = rows / 4;
        info->estimatedCost = (double)rows / 4;
    } else {
        info->estimatedRows = rows;
        info->estimatedCost = 3 * (double)rows;
    }
}

/* What right sides may make of keys: see the head of plan.h. */
enum conversion { CONVERTS_NOTHING, CONVERTS_NO_KEY, MAY_CONVERT };

static enum conversion conversion_by(sqlite3_index_info *info, int i)
{
    sqlite3_value *value;
    int type;

    if (i < 0)
        return CONVERTS_NOTHING;
    if (sqlite3_vtab_rhs_value(info, i, &value) != SQLITE_OK)
        return MAY_CONVERT;
    type = sqlite3_value_type(value);
    return type == SQLITE_INTEGER || type == SQLITE_FLOAT ? CONVERTS_NO_KEY : CONVERTS_NOTHING;
}

/* What the right sides that matter may make of keys: texts are past any lower bound that is a number. */
static enum conversion conversion_of(sqlite3_index_info *info, const struct found *found, int plan,
                                     enum kv_affinity affinity)
{
    if (plan & KV_PLAN_EQ && affinity <= KV_AFFINITY_TEXT)
        return conversion_by(info, found->equal);
    if (plan & KV_PLAN_MAX && affinity == KV_AFFINITY_NONE)
        return conversion_by(info, found->max);
    return CONVERTS_NOTHING;
}

/*
 * The key is unique: whatever else is to be sorted by never decides. Where
 * several keys may equal a number, they are not read in order.
 */
static int consume_order(sqlite3_index_info *info, int plan, enum conversion conversion)
{
    if (info->nOrderBy == 0 || info->aOrderBy[0].iColumn != 0)
        return 0;
    if (plan & KV_PLAN_EQ && conversion == MAY_CONVERT)
        return 0;
    info->orderByConsumed = 1;
    return info->aOrderBy[0].desc ? KV_PLAN_DESC : 0;
}

static void say_bound(sqlite3_str *words, const char *key_name, const char *what)
{
    sqlite3_str_appendf(words, "%s%s%s", sqlite3_str_length(words) ? " AND " : "", key_name, what);
}

static char *say(int plan, const char *key_name)
{
    sqlite3_str *words = sqlite3_str_new(NULL);

    if (plan & KV_PLAN_EQ)
        say_bound(words, key_name, "=?");
    if (plan & KV_PLAN_IN)
        say_bound(words, key_name, " IN (?)");
    if (plan & KV_PLAN_MIN)
        say_bound(words, key_name, plan & KV_PLAN_MIN_OPEN ? ">?" : ">=?");
    if (plan & KV_PLAN_MAX)
        say_bound(words, key_name, plan & KV_PLAN_MAX_OPEN ? "<?" : "<=?");
    if (plan & KV_PLAN_GLOB)
        say_bound(words, key_name, " GLOB ?");
    if (plan & KV_PLAN_BLOBS)
        sqlite3_str_appendall(words, " OR blobs");
    if (sqlite3_str_length(words) == 0)
        sqlite3_str_appendall(words, "all rows");
    if (plan & KV_PLAN_DESC)
        sqlite3_str_appendall(words, " DESC");
    return sqlite3_str_finish(words);
}

int kv_plan_choose(const struct kv_plan_input *input, sqlite3_index_info *info)
{
    struct found found = find(info);
    int plan = choose(info, &found);
    enum conversion conversion;

    estimate(info, plan, input->row_estimate);
    conversion = conversion_of(info, &found, plan, input->affinity);
    if (conversion == CONVERTS_NO_KEY)
        plan |= KV_PLAN_PLAIN;
    plan |= consume_order(info, plan, conversion);
    info->idxNum = plan;
    info->idxStr = say(plan, input->key_name);
    info->needToFreeIdxStr = 1;
    return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}

/* ---- Bounds */

static enum kv_bound bound_of(const struct kv_cell *cell, struct kv_scratch *out)
{
    if (!kv_key_encode(cell, out))
        return KV_BOUND_NOMEM;
    if (out->size <= KV_KEY_LIMIT_BYTES)
        return KV_BOUND_KEY;
    out->size = KV_KEY_LIMIT_BYTES;
    return KV_BOUND_KEY_LONG;
}

bool kv_bound_converts(sqlite3_value *value, enum kv_affinity affinity)
{
    int type = sqlite3_value_type(value);

    return affinity <= KV_AFFINITY_TEXT && (type == SQLITE_INTEGER || type == SQLITE_FLOAT) &&
           !sqlite3_value_frombind(value);
}

void kv_bound_numeric_texts(struct kv_slice *lower, struct kv_slice *upper)
{
    /* A number's text starts with a space of any kind, a sign, a point or a digit. */
    static const uint8_t first[] = {KV_KEY_TEXT_TAG, '\t'}, behind[] = {KV_KEY_TEXT_TAG, '9' + 1};

    *lower = kv_slice_of(first, sizeof(first));
    *upper = kv_slice_of(behind, sizeof(behind));
}

/*
 * A number on the right of a TEXT key stands for its usual text: that is how
 * SQLite compares them, unless it comes from a column of numbers.
 */
enum kv_bound kv_bound_equal(sqlite3_value *value, enum kv_affinity affinity,
                             struct kv_scratch *out)
{
    struct kv_cell cell;

    if (sqlite3_value_type(value) == SQLITE_NULL)
        return KV_BOUND_NOTHING;
    /* A column of reals is compared with integers exactly: they must not be rounded. */
    if (affinity == KV_AFFINITY_REAL)
        affinity = KV_AFFINITY_NUMERIC;
    if (kv_cell_read(value, affinity, &cell) != SQLITE_OK)
        return KV_BOUND_NOMEM;
    return bound_of(&cell, out);
}

enum kv_bound kv_bound_range(sqlite3_value *value, enum kv_affinity affinity,
                             struct kv_scratch *out)
{
    int type = sqlite3_value_type(value);

    /* Compared with a column of numbers, texts order as numbers do. */
    if (affinity == KV_AFFINITY_TEXT && (type == SQLITE_INTEGER || type == SQLITE_FLOAT))
        return KV_BOUND_ALL;
    return kv_bound_equal(value, affinity, out);
}

/* The bytes that every text matching the pattern starts with. */
static struct kv_slice start_of_pattern(const char *text)
{
    size_t size = strcspn(text, "*?[");
    const char *overflow = (const char *)memchr(text, 0xff, size);

    if (overflow) /* the end of the range could not be told; no proper text holds this byte */
        size = (size_t)(overflow - text);
    if (size >= KV_KEY_LIMIT_BYTES) /* a shorter start is enough */
        size = KV_KEY_LIMIT_BYTES - 1;
    return kv_slice_of(text, size);
}

/* Does some number's text start so? It would match, but its place is not among texts. */
static bool may_start_a_number(struct kv_slice start)
{
    size_t i = start.data[0] == '-';

    return i == start.size || (start.data[i] >= '0' && start.data[i] <= '9');
}

enum kv_bound kv_bound_glob(sqlite3_value *pattern, enum kv_affinity affinity,
                            struct kv_scratch *lower, struct kv_scratch *upper)
{
    struct kv_cell cell = {.type = SQLITE_TEXT};
    const char *text;

    if (sqlite3_value_type(pattern) == SQLITE_NULL)
        return KV_BOUND_NOTHING;
    if (sqlite3_value_type(pattern) != SQLITE_TEXT)
        return KV_BOUND_ALL;
    text = (const char *)sqlite3_value_text(pattern);
    if (!text)
        return KV_BOUND_NOMEM;
    cell.bytes = start_of_pattern(text);
    if (cell.bytes.size == 0 || (affinity != KV_AFFINITY_TEXT && may_start_a_number(cell.bytes)))
        return KV_BOUND_ALL;
    if (!kv_key_encode(&cell, lower) || !kv_scratch_set(upper, kv_scratch_slice(lower)))
        return KV_BOUND_NOMEM;
    upper->data[upper->size - 1]++;
    return KV_BOUND_KEY;
}
