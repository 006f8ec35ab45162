/* Paths of stores: see location.h. */
#include "location.h"

#include <string.h>

/* The bytes up to and with the last slash. */
static size_t directory_size(const char *file)
{
    const char *slash = strrchr(file, '/');

    return slash ? (size_t)(slash + 1 - file) : 0;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

char *kv_location_default(const char *database_file, const char *table)
{
    sqlite3_str *text = sqlite3_str_new(NULL);

    sqlite3_str_appendf(text, "%s-kv/", database_file + directory_size(database_file));
    for (const char *at = table; *at; at++) {
        if (is_plain(*at))
            sqlite3_str_append(text, at, 1);
        else
            sqlite3_str_appendf(text, "%%%02X", (unsigned)(unsigned char)*at);
    }
    if (!*table) /* a percent sign alone is no other name's */
        sqlite3_str_appendchar(text, 1, '%');
    return sqlite3_str_finish(text);
}

char *kv_location_resolve(const char *database_file, const char *path)
{
    if (*path == '/')
        return sqlite3_mprintf("%s", path);
    return sqlite3_mprintf("%.*s%s", (int)directory_size(database_file), database_file, path);
}

char *kv_location_temporary(const char *directory)
{
    sqlite3_uint64 random[2];

    sqlite3_randomness(sizeof(random), random);
    return sqlite3_mprintf("%s/sqlite-kv-%016llx%016llx", directory, random[0], random[1]);
}
