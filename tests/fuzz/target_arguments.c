/*
 * The arguments of CREATE VIRTUAL TABLE, one a line: refused with a message, or columns
 * that SQLite takes as they are declared, if it takes them in an ordinary table.
 */
#include <sqlite3.h>
#include <string.h>

#include "arguments.h"
#include "fuzz.h"

enum { ARGUMENTS = 64 };

/* A database without tables, for the life of the program. */
static sqlite3 *database(void)
{
    static sqlite3 *db;

    if (!db)
        fuzz_check(sqlite3_open(":memory:", &db) == SQLITE_OK, "no database");
    return db;
}

/* Does SQLite take each of these columns in a table of its own? It knows its reserved words. */
static bool are_ordinary(const char *const *arguments, int count)
{
    bool all = true;

    for (int i = 0; i < count && all; i++) {
        char *sql = sqlite3_mprintf("CREATE TABLE t(%s)", arguments[i]);
        sqlite3_stmt *statement = NULL;

        all = sqlite3_prepare_v2(database(), sql, -1, &statement, NULL) == SQLITE_OK;
        sqlite3_finalize(statement);
        sqlite3_free(sql);
    }
    return all;
}

static void check_declaration(const struct kv_definition *definition)
{
    char *text = kv_definition_declaration(definition, "kv");
    char *schema = kv_definition_schema(definition);
    sqlite3_stmt *statement = NULL;

    fuzz_check(text && (schema || definition->column_count == 0), "no declaration");
    fuzz_check(sqlite3_prepare_v2(database(), text, -1, &statement, NULL) == SQLITE_OK,
               "SQLite refuses %s: %s", text, sqlite3_errmsg(database()));
    sqlite3_finalize(statement);
    sqlite3_free(text);
    sqlite3_free(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *rest = text;
    const char *arguments[ARGUMENTS];
    int count = 0, code;
    struct kv_definition definition;
    char *error = NULL;

    fuzz_check(text, "out of memory");
    memcpy(text, data, size);
    text[size] = '\0';
    while (rest && count < ARGUMENTS)
        arguments[count++] = strsep(&rest, "\n");
    code = kv_definition_parse("kv", count, arguments, &definition, &error);
    fuzz_check(code == SQLITE_OK || (code == SQLITE_ERROR && error), "code %d", code);
    if (code == SQLITE_OK) {
        fuzz_check(definition.column_count > 0, "no columns");
        fuzz_check(kv_settings_check(&definition.settings) == KV_OK, "%s", kv_message());
    }
    if (are_ordinary(arguments, definition.column_count < count ? definition.column_count : count))
        check_declaration(&definition);
    sqlite3_free(error);
    kv_definition_release(&definition);
    free(text);
    return 0;
}

/* Words that mean something here are rarely found by chance. */
static const char *const words[] = {
    "path=",
    "synchronous=",
    "segment_bytes=",
    "max_segment_bytes=",
    "fanout=",
    "tiers=",
    "off",
    "garbage_ratio=",
    "auto_compact=",
    "readonly=",
    "64KB",
    "NOT NULL",
    "PRIMARY KEY",
    "INTEGER",
    "varchar(20)",
    "\"",
    "'",
    "/*",
    "--",
    "\n",
    "GENERATED ALWAYS",
    "WITHOUT ROWID",
    "HIDDEN",
    "[",
};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    const char *word = words[(seed >> 8) % (sizeof(words) / sizeof(words[0]))];
    size_t word_size = strlen(word), at = size ? (seed >> 16) % size : 0;

    if (seed % 3 != 0 || size + word_size > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    memmove(data + at + word_size, data + at, size - at);
    memcpy(data + at, word, word_size);
    return size + word_size;
}
