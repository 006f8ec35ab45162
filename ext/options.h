/* The option=value pairs among a kv table's arguments. Pure. */
#ifndef KV_EXT_OPTIONS_H
#define KV_EXT_OPTIONS_H

#include "arguments.h"

/* Which options have been given already: each may be given once. */
struct kv_options_seen {
    unsigned bits;
};

/*
 * Read one option into `out`. SQLITE_OK; SQLITE_NOMEM; SQLITE_ERROR with
 * `*error` naming the option, or value, and what is allowed. Limits of numbers
 * are kv_settings_check's business.
 */
int kv_option_parse(const char *text, struct kv_definition *out, struct kv_options_seen *seen,
                    char **error);

/* A size such as "65536", "64KB", "64MB" or "1GB": powers of 1024. False: it is none. */
bool kv_option_read_size(const char *value, uint64_t *out);

#endif
