/* Reading budgets: see budget.h. */
#include "budget.h"

#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "options.h"

enum { MS_A_SECOND = 1000, DIGITS_MAX = 9 };

/* "500ms" or "2s": digits, then the unit. */
static bool read_time(const char *text, uint64_t *out_ms)
{
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits;

    if (digits == 0 || digits > DIGITS_MAX)
        return false;
    *out_ms = strtoull(text, NULL, 10);
    if (sqlite3_stricmp(unit, "s") == 0)
        *out_ms *= MS_A_SECOND;
    else if (sqlite3_stricmp(unit, "ms") != 0)
        return false;
    return *out_ms > 0;
}

int kv_budget_parse(const char *caller, sqlite3_value *value, struct kv_compact_budget *out,
                    char **error)
{
    const char *text;

    *out = (struct kv_compact_budget){0, 0};
    if (sqlite3_value_type(value) != SQLITE_NULL) {
        text = (const char *)sqlite3_value_text(value);
        if (!text)
            return kv_error(error, SQLITE_NOMEM, caller, "out of memory");
        if (read_time(text, &out->ms) || (kv_option_read_size(text, &out->bytes) && out->bytes > 0))
            return SQLITE_OK;
    }
    return kv_error(error, SQLITE_ERROR, caller,
                    "a budget is a size such as '64MB' or a time such as '500ms'");
}
