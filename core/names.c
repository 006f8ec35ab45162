/*
 * Making and reading the names of a store's files.
 *
 * Reading makes the name again from what was read and compares: so exactly
 * the names that this file makes are recognised, and what other people put
 * into the directory is never mistaken for ours.
 */
#include "names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_PREFIX "segment_"
#define SEGMENT_FORMAT SEGMENT_PREFIX "%012" PRIu64

void kv_name_segment(char out[KV_NAME_BYTES], uint64_t number)
{
    snprintf(out, KV_NAME_BYTES, SEGMENT_FORMAT ".db", number);
}

void kv_name_index(char out[KV_NAME_BYTES], uint64_t number)
{
    snprintf(out, KV_NAME_BYTES, SEGMENT_FORMAT ".idx", number);
}

void kv_name_index_temporary(char out[KV_NAME_BYTES], uint64_t number, uint64_t random)
{
    snprintf(out, KV_NAME_BYTES, SEGMENT_FORMAT ".idx.%016" PRIx64 ".tmp", number, random);
}

static enum kv_name_kind parse_numbered(const char *name, uint64_t number, const char *rest)
{
    char same[KV_NAME_BYTES];

    kv_name_segment(same, number);
    if (strcmp(name, same) == 0)
        return KV_NAME_IS_SEGMENT;
    kv_name_index(same, number);
    if (strcmp(name, same) == 0)
        return KV_NAME_IS_INDEX;
    if (strncmp(rest, ".idx.", strlen(".idx.")) == 0) {
        kv_name_index_temporary(same, number, strtoull(rest + strlen(".idx."), NULL, 16));
        if (strcmp(name, same) == 0)
            return KV_NAME_IS_TEMPORARY;
    }
    return KV_NAME_IS_OTHER;
}

enum kv_name_kind kv_name_parse(const char *name, uint64_t *number)
{
    enum kv_name_kind kind;
    uint64_t found;
    char *rest;

    *number = 0;
    if (strcmp(name, KV_NAME_MANIFEST) == 0)
        return KV_NAME_IS_MANIFEST;
    if (strcmp(name, KV_NAME_LOCK) == 0)
        return KV_NAME_IS_LOCK;
    if (strcmp(name, KV_NAME_MANIFEST_TEMPORARY) == 0 ||
        strcmp(name, KV_NAME_BACKUP_TEMPORARY) == 0)
        return KV_NAME_IS_TEMPORARY;
    if (strncmp(name, SEGMENT_PREFIX, strlen(SEGMENT_PREFIX)) != 0)
        return KV_NAME_IS_OTHER;

    /* What strtoull accepts beyond plain digits does not survive the comparison. */
    found = strtoull(name + strlen(SEGMENT_PREFIX), &rest, 10);
    kind = parse_numbered(name, found, rest);
    if (kind != KV_NAME_IS_OTHER)
        *number = found;
    return kind;
}
