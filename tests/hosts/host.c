/*
 * A host for suite.txt: a C program linked with a SQLite of its own, built by
 * run.sh from the newest amalgamation at hand, with sanitizers. The extension
 * that it loads was compiled with the system's older headers.
 *
 *   host <extension> <suite>
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS = 10, PARAMETERS = 8 };

struct parameter {
    char *line; /* holds the others */
    const char *name, *type, *text;
};

static sqlite3 *connections[CONNECTIONS];
static sqlite3 *current;
static struct parameter parameters[PARAMETERS];
static int parameter_count;

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

/* The word that `*rest` starts with; `*rest` moves behind it. */
static char *take_word(char **rest)
{
    char *word = *rest;
    char *space = strchr(word, ' ');

    *rest = space ? space + 1 : word + strlen(word);
    if (space)
        *space = '\0';
    return word;
}

static void open_connection(int number, const char *file, const char *extension)
{
    char *error = NULL;

    if (sqlite3_open(file, &connections[number]) != SQLITE_OK)
        give_up(file, sqlite3_errmsg(connections[number]));
    current = connections[number];
    sqlite3_extended_result_codes(current, 1);
    sqlite3_db_config(current, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
    if (sqlite3_load_extension(current, extension, NULL, &error) != SQLITE_OK)
        give_up(extension, error);
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void bind_blob(sqlite3_stmt *statement, int i, const char *text)
{
    size_t size = strlen(text) / 2;
    unsigned char *bytes = malloc(size + 1);

    if (!bytes)
        give_up("bind", "out of memory");
    for (size_t at = 0; at < size; at++)
        bytes[at] = (unsigned char)(digit(text[2 * at]) << 4 | digit(text[2 * at + 1]));
    sqlite3_bind_blob64(statement, i, bytes, size, free);
}

static void bind(sqlite3_stmt *statement, const struct parameter *parameter)
{
    int i = sqlite3_bind_parameter_index(statement, parameter->name);

    if (strcmp(parameter->type, "text") == 0)
        sqlite3_bind_text(statement, i, parameter->text, -1, SQLITE_TRANSIENT);
    else if (strcmp(parameter->type, "integer") == 0)
        sqlite3_bind_int64(statement, i, strtoll(parameter->text, NULL, 10));
    else if (strcmp(parameter->type, "blob") == 0)
        bind_blob(statement, i, parameter->text);
    else
        sqlite3_bind_null(statement, i);
}

static void show(sqlite3_stmt *statement, int column, int in_hex)
{
    const unsigned char *bytes = sqlite3_column_blob(statement, column);
    int size = sqlite3_column_bytes(statement, column);
    const unsigned char *text;

    for (int i = 0; in_hex && i < size; i++)
        printf("%02x", bytes[i]);
    if (in_hex)
        return;
    text = sqlite3_column_text(statement, column);
    fputs(text ? (const char *)text : "NULL", stdout);
}

static void show_row(sqlite3_stmt *statement, int in_hex)
{
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        fputs(i ? "|" : "= ", stdout);
        show(statement, i, in_hex);
    }
    putchar('\n');
}

static void bind_all(sqlite3_stmt *statement)
{
    while (parameter_count) {
        bind(statement, &parameters[--parameter_count]);
        free(parameters[parameter_count].line);
    }
}

static void run(const char *sql, int in_hex)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(current, sql, -1, &statement, NULL);

    bind_all(statement);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
            show_row(statement, in_hex);
    }
    if (code != SQLITE_DONE)
        printf("! %s\n", sqlite3_errmsg(current));
    sqlite3_finalize(statement);
}

static void add_parameter(char *rest)
{
    struct parameter *parameter = &parameters[parameter_count++ % PARAMETERS];

    /* The line is overwritten by the next one. */
    parameter->line = rest = strdup(rest);
    if (!rest)
        give_up("bind", "out of memory");
    parameter->name = take_word(&rest);
    parameter->type = take_word(&rest);
    parameter->text = rest;
}

static void follow(char *line, const char *extension)
{
    char *rest = line;
    char *command = take_word(&rest);

    if (strcmp(command, "open") == 0) {
        int number = atoi(take_word(&rest));

        open_connection(number % CONNECTIONS, take_word(&rest), extension);
    } else if (strcmp(command, "on") == 0) {
        current = connections[atoi(rest) % CONNECTIONS];
    } else if (strcmp(command, "close") == 0) {
        if (sqlite3_close(connections[atoi(rest) % CONNECTIONS]) != SQLITE_OK)
            give_up("close", "the connection is in use");
    } else if (strcmp(command, "bind") == 0) {
        add_parameter(rest);
    } else if (strcmp(command, "sql") == 0 || strcmp(command, "once") == 0 ||
               strcmp(command, "hex") == 0) {
        run(rest, *command == 'h');
    }
}

int main(int argc, char **argv)
{
    FILE *suite = argc == 3 ? fopen(argv[2], "r") : NULL;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;

    if (!suite)
        give_up("usage", "host <extension> <suite>");
    while ((size = getline(&line, &capacity, suite)) > 0) {
        line[size - 1] = '\0';
        if (*line == '=' || *line == '!')
            continue;
        puts(line);
        follow(line, argv[1]);
    }
    free(line);
    fclose(suite);
    fprintf(stderr, "C program, SQLite %s\n", sqlite3_libversion());
    return 0;
}
