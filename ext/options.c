/* Options of a kv table: see options.h. */
#include "options.h"

#include <string.h>

#include "tokens.h"

/* One way to read a value into the definition; false: it is not one of what `allowed` says. */
typedef bool option_reader(const char *value, struct kv_definition *out);

/* ---- Values */

/* Decimal digits, at least one, up to the first other byte. False: none, or too many. */
static bool read_digits(const char **at, uint64_t *out)
{
    const char *from = *at;
    uint64_t number = 0;

    for (; **at >= '0' && **at <= '9'; ++*at) {
        uint64_t digit = (uint64_t)(**at - '0');

        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *out = number;
    return *at > from;
}

static bool read_count(const char *value, unsigned *out)
{
    uint64_t number;

    if (!read_digits(&value, &number) || *value || number > UINT32_MAX)
        return false;
    *out = (unsigned)number;
    return true;
}

bool kv_option_read_size(const char *value, uint64_t *out)
{
    static const char *const suffixes[] = {"", "KB", "MB", "GB"};
    uint64_t number;

    if (!read_digits(&value, &number))
        return false;
    for (unsigned i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
        if (sqlite3_stricmp(value, suffixes[i]) == 0) {
            *out = number << (10 * i);
            return *out >> (10 * i) == number;
        }
    }
    return false;
}

/* Digits with a point among them: what strtod reads depends on the locale. */
static bool read_ratio(const char *value, double *out)
{
    double scale = 1;
    uint64_t whole = 0, part = 0;
    const char *from;

    if (*value != '.' && !read_digits(&value, &whole))
        return false;
    if (*value == '.') {
        from = ++value;
        if (*value && !read_digits(&value, &part))
            return false;
        for (; from < value; from++)
            scale *= 10;
    }
    *out = (double)whole + (double)part / scale;
    return !*value;
}

static bool read_switch(const char *value, bool *out)
{
    *out = sqlite3_stricmp(value, "on") == 0 || strcmp(value, "1") == 0;
    return *out || sqlite3_stricmp(value, "off") == 0 || strcmp(value, "0") == 0;
}

/* ---- Options */

static bool set_synchronous(const char *value, struct kv_definition *out)
{
    static const struct {
        const char *name;
        enum kv_synchronous synchronous;
    } modes[] = {{"full", KV_SYNC_FULL}, {"normal", KV_SYNC_NORMAL}, {"off", KV_SYNC_OFF}};

    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        if (sqlite3_stricmp(value, modes[i].name) == 0) {
            out->settings.synchronous = modes[i].synchronous;
            return true;
        }
    }
    return false;
}

static bool set_path(const char *value, struct kv_definition *out)
{
    out->path = sqlite3_mprintf("%s", value); /* NULL when out of memory: see kv_option_parse */
    return *value != 0;
}

static bool set_segment_bytes(const char *value, struct kv_definition *out)
{
    return kv_option_read_size(value, &out->settings.segment_bytes);
}

static bool set_max_segment_bytes(const char *value, struct kv_definition *out)
{
    return kv_option_read_size(value, &out->settings.max_segment_bytes);
}

static bool set_fanout(const char *value, struct kv_definition *out)
{
    return read_count(value, &out->settings.fanout);
}

static bool set_tiers(const char *value, struct kv_definition *out)
{
    return read_count(value, &out->settings.tiers);
}

static bool set_garbage_ratio(const char *value, struct kv_definition *out)
{
    return read_ratio(value, &out->settings.garbage_ratio);
}

static bool set_auto_compact(const char *value, struct kv_definition *out)
{
    return read_switch(value, &out->settings.auto_compact);
}

static bool set_readonly(const char *value, struct kv_definition *out)
{
    return read_switch(value, &out->readonly);
}

static const struct option {
    const char *name;
    const char *allowed;
    option_reader *read;
} options[] = {
    {"path", "a directory", set_path},
    {"synchronous", "full, normal or off", set_synchronous},
    {"segment_bytes", "a size such as 65536, 64KB, 64MB or 1GB", set_segment_bytes},
    {"max_segment_bytes", "a size such as 65536, 64KB, 256MB or 4GB", set_max_segment_bytes},
    {"fanout", "a whole number from 2 to 32", set_fanout},
    {"tiers", "a whole number from 1 to 8", set_tiers},
    {"garbage_ratio", "a number from 0.05 to 0.95", set_garbage_ratio},
    {"auto_compact", "on or off", set_auto_compact},
    {"readonly", "0 or 1", set_readonly},
};

enum { OPTION_COUNT = sizeof(options) / sizeof(*options) };

static const struct option *find(const char *name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (sqlite3_stricmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

static int refuse_unknown(const char *name, char **error)
{
    sqlite3_str *text = sqlite3_str_new(NULL);

    sqlite3_str_appendf(text, "unknown option %s; allowed are", name);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        sqlite3_str_appendf(text, "%s %s", i ? "," : "", options[i].name);
    *error = sqlite3_str_finish(text);
    return SQLITE_ERROR;
}

static int set_option(const char *name, const char *value, struct kv_definition *out,
                      struct kv_options_seen *seen, char **error)
{
    const struct option *option = find(name);
    unsigned bit;

    if (!option)
        return refuse_unknown(name, error);
    bit = 1u << (option - options);
    if (seen->bits & bit) {
        *error = sqlite3_mprintf("option %s is given twice", option->name);
        return SQLITE_ERROR;
    }
    seen->bits |= bit;
    if (!option->read(value, out)) {
        *error = sqlite3_mprintf("%s=%s: allowed is %s", option->name, value, option->allowed);
        return SQLITE_ERROR;
    }
    return option->read == set_path && !out->path ? SQLITE_NOMEM : SQLITE_OK;
}

/*
 * The value behind the equals sign: one quoted text, or all that is there
 * without the spaces around it. NULL: no memory.
 */
static char *value_text(const char *text)
{
    const char *after = text;
    struct kv_token first = kv_token_next(&after);
    struct kv_token last = first;
    size_t size;

    if (first.kind == KV_TOKEN_QUOTED || first.kind == KV_TOKEN_STRING)
        if (kv_token_next(&after).kind == KV_TOKEN_END)
            return kv_token_text(first);
    size = 0;
    while (last.kind != KV_TOKEN_END) {
        size = (size_t)(last.text + last.size - first.text);
        after = last.text + last.size;
        last = kv_token_next(&after);
    }
    return sqlite3_mprintf("%.*s", (int)size, first.text);
}

int kv_option_parse(const char *text, struct kv_definition *out, struct kv_options_seen *seen,
                    char **error)
{
    char *name = kv_token_text(kv_token_next(&text));
    char *value;
    int code = SQLITE_NOMEM;

    (void)kv_token_next(&text); /* the equals sign */
    value = value_text(text);
    if (name && value)
        code = set_option(name, value, out, seen, error);
    sqlite3_free(name);
    sqlite3_free(value);
    return code;
}
