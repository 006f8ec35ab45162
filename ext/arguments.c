/* Column definitions and options of a kv table: see arguments.h. */
#include "arguments.h"

#include <string.h>

#include "options.h"
#include "tokens.h"

static const char not_allowed[] =
    "column %s: %.*s is not allowed; a column is a name, a type and, if need be, NOT NULL "
    "(the first may say PRIMARY KEY)";

/* ---- Columns */

static bool is_constraint(struct kv_token token)
{
    static const char *const words[] = {"PRIMARY", "NOT",        "NULL",      "DEFAULT",
                                        "CHECK",   "COLLATE",    "UNIQUE",    "GENERATED",
                                        "AS",      "REFERENCES", "CONSTRAINT"};

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (kv_token_is(token, words[i]))
            return true;
    return false;
}

/* Words that start a table constraint where a column's name is expected. */
static bool is_table_constraint(struct kv_token token)
{
    return kv_token_is(token, "PRIMARY") || kv_token_is(token, "UNIQUE") ||
           kv_token_is(token, "CHECK") || kv_token_is(token, "FOREIGN") ||
           kv_token_is(token, "CONSTRAINT");
}

static int refuse(const struct kv_column *column, struct kv_token token, char **error)
{
    if (token.kind == KV_TOKEN_BROKEN)
        *error = sqlite3_mprintf("column %s: a quote or comment is not closed", column->name);
    else
        *error = sqlite3_mprintf(not_allowed, column->name, (int)token.size, token.text);
    return SQLITE_ERROR;
}

/* Is it one number or two in parentheses, as SQLite wants to read it in a declaration? */
static bool is_type_size(const char *text)
{
    static const char digits[] = "0123456789";

    for (int numbers = 0; numbers < 2; numbers++) {
        text++; /* behind the parenthesis, or the comma */
        text += *text == '+' || *text == '-';
        if (strspn(text, digits) == 0)
            return false;
        text += strspn(text, digits);
        if (*text == '.')
            text += 1 + strspn(text + 1, digits);
        if (*text != ',')
            break;
    }
    return strcmp(text, ")") == 0;
}

static int check_type_size(sqlite3_str *type, int start, const struct kv_column *column,
                           char **error)
{
    if (sqlite3_str_errcode(type) != SQLITE_OK)
        return SQLITE_NOMEM;
    if (is_type_size(sqlite3_str_value(type) + start))
        return SQLITE_OK;
    *error =
        sqlite3_mprintf("column %s: the size of its type is not one number or two", column->name);
    return SQLITE_ERROR;
}

/* The size in a type such as DECIMAL(10, 2), which changes nothing but is shown. */
static int parse_type_size(const char **at, const struct kv_column *column, sqlite3_str *type,
                           char **error)
{
    int start = sqlite3_str_length(type);
    struct kv_token token;

    sqlite3_str_appendchar(type, 1, '(');
    for (;;) {
        token = kv_token_next(at);
        if (token.kind != KV_TOKEN_WORD && token.kind != KV_TOKEN_SIGN)
            break;
        sqlite3_str_append(type, token.text, (int)token.size);
        if (kv_token_is_sign(token, ')'))
            return check_type_size(type, start, column, error);
        if (token.kind == KV_TOKEN_SIGN && !strchr("+-,.", *token.text))
            return refuse(column, token, error);
    }
    if (token.kind != KV_TOKEN_END)
        return refuse(column, token, error);
    *error = sqlite3_mprintf("column %s: the type's parenthesis is not closed", column->name);
    return SQLITE_ERROR;
}

static int append_type_word(struct kv_token token, sqlite3_str *type)
{
    char *text = kv_token_text(token);

    if (!text)
        return SQLITE_NOMEM;
    if (sqlite3_str_length(type))
        sqlite3_str_appendchar(type, 1, ' ');
    sqlite3_str_appendf(type, token.kind == KV_TOKEN_WORD ? "%s" : "\"%w\"", text);
    sqlite3_free(text);
    return SQLITE_OK;
}

/* Type names up to the first constraint, which is left in `*token`. */
static int parse_type_words(const char **at, const struct kv_column *column, struct kv_token *token,
                            sqlite3_str *type, char **error)
{
    int code = SQLITE_OK;

    *token = kv_token_next(at);
    while (code == SQLITE_OK && kv_token_is_name(*token) && !is_constraint(*token)) {
        /* SQLite takes this word out of a type and hides the column. */
        if (kv_token_is(*token, "HIDDEN"))
            return refuse(column, *token, error);
        code = append_type_word(*token, type);
        *token = kv_token_next(at);
    }
    if (code == SQLITE_OK && kv_token_is_sign(*token, '(') && sqlite3_str_length(type)) {
        code = parse_type_size(at, column, type, error);
        *token = kv_token_next(at);
    }
    return code;
}

/* As above, into `column`. */
static int parse_type(const char **at, struct kv_column *column, struct kv_token *token,
                      char **error)
{
    sqlite3_str *type = sqlite3_str_new(NULL);
    int code = parse_type_words(at, column, token, type, error);

    if (code == SQLITE_OK)
        code = sqlite3_str_errcode(type);
    column->type = sqlite3_str_finish(type);
    column->affinity = kv_affinity_of_type(column->type);
    /* Declared ANY, SQLite would treat the column as NUMERIC. */
    if (column->type && sqlite3_stricmp(column->type, "ANY") == 0) {
        sqlite3_free(column->type);
        column->type = NULL;
    }
    return code;
}

static int parse_constraints(const char **at, struct kv_column *column, struct kv_token token,
                             bool is_key, char **error)
{
    for (; token.kind != KV_TOKEN_END; token = kv_token_next(at)) {
        struct kv_token first = token;

        if (kv_token_is(first, "NOT")) {
            token = kv_token_next(at);
            if (!kv_token_is(token, "NULL"))
                return refuse(column, first, error);
            column->not_null = true;
        } else if (kv_token_is(first, "PRIMARY") && is_key) {
            token = kv_token_next(at);
            if (!kv_token_is(token, "KEY"))
                return refuse(column, first, error);
        } else if (kv_token_is(first, "PRIMARY")) {
            *error = sqlite3_mprintf("column %s: a second PRIMARY KEY is not allowed; the first "
                                     "column is the key",
                                     column->name);
            return SQLITE_ERROR;
        } else {
            return refuse(column, first, error);
        }
    }
    return SQLITE_OK;
}

static int check_name(const struct kv_definition *definition, const struct kv_column *column,
                      char **error)
{
    for (int i = 0; i < definition->column_count; i++) {
        if (sqlite3_stricmp(definition->columns[i].name, column->name) == 0) {
            *error = sqlite3_mprintf("column %s: there is another column of this name; give each "
                                     "a name of its own",
                                     column->name);
            return SQLITE_ERROR;
        }
    }
    return SQLITE_OK;
}

static int parse_column_into(const struct kv_definition *definition, const char *text,
                             struct kv_column *column, char **error)
{
    struct kv_token token = kv_token_next(&text);
    int code;

    if (!kv_token_is_name(token) || is_table_constraint(token)) {
        *error = sqlite3_mprintf("%.*s is not allowed; arguments are column definitions, then "
                                 "option=value pairs",
                                 (int)token.size, token.text);
        return SQLITE_ERROR;
    }
    column->name = kv_token_text(token);
    if (!column->name)
        return SQLITE_NOMEM;
    code = check_name(definition, column, error);
    if (code == SQLITE_OK)
        code = parse_type(&text, column, &token, error);
    if (code == SQLITE_OK)
        code = parse_constraints(&text, column, token, definition->column_count == 0, error);
    return code;
}

static void release_column(struct kv_column *column)
{
    sqlite3_free(column->name);
    sqlite3_free(column->type);
}

/* Add the column that `text` defines. */
static int parse_column(const char *text, struct kv_definition *out, char **error)
{
    struct kv_column column = {NULL, NULL, KV_AFFINITY_NONE, false};
    struct kv_column *columns;
    int code = parse_column_into(out, text, &column, error);

    if (code == SQLITE_OK) {
        columns = (struct kv_column *)sqlite3_realloc64(
            out->columns, sizeof(*columns) * (sqlite3_uint64)(out->column_count + 1));
        if (columns) {
            out->columns = columns;
            out->columns[out->column_count++] = column;
            return SQLITE_OK;
        }
        code = SQLITE_NOMEM;
    }
    release_column(&column);
    return code;
}

/* Without columns: a key of text; without value columns: one that takes anything. */
static int add_default_columns(struct kv_definition *out, char **error)
{
    int code = SQLITE_OK;

    if (out->column_count == 0)
        code = parse_column("key TEXT", out, error);
    if (code == SQLITE_OK && out->column_count == 1)
        code = parse_column("value", out, error);
    return code;
}

/* ---- All arguments */

static bool is_option(const char *text)
{
    struct kv_token name = kv_token_next(&text);

    return kv_token_is_name(name) && kv_token_is_sign(kv_token_next(&text), '=');
}

static bool has_column(const struct kv_definition *definition, const char *name)
{
    for (int i = 0; i < definition->column_count; i++)
        if (sqlite3_stricmp(definition->columns[i].name, name) == 0)
            return true;
    return false;
}

static int parse_columns(int argc, const char *const *argv, struct kv_definition *out,
                         int *option_index, char **error)
{
    int i = 0;
    int code = SQLITE_OK;

    for (; i < argc && !is_option(argv[i]) && code == SQLITE_OK; i++) {
        const char *text = argv[i];

        /* kv() has one empty argument. */
        if (argc == 1 && kv_token_next(&text).kind == KV_TOKEN_END)
            continue;
        code = parse_column(argv[i], out, error);
    }
    *option_index = i;
    return code == SQLITE_OK ? add_default_columns(out, error) : code;
}

static int check_settings(const struct kv_definition *definition, char **error)
{
    if (kv_settings_check(&definition->settings) == KV_OK)
        return SQLITE_OK;
    *error = sqlite3_mprintf("%s", kv_message());
    return SQLITE_ERROR;
}

int kv_definition_parse(const char *table, int argc, const char *const *argv,
                        struct kv_definition *out, char **error)
{
    struct kv_options_seen seen = {0};
    int code, i;

    *out = (struct kv_definition){.settings = kv_settings_default()};
    *error = NULL;
    code = parse_columns(argc, argv, out, &i, error);
    out->has_command = !has_column(out, table);
    for (; i < argc && code == SQLITE_OK; i++) {
        if (is_option(argv[i])) {
            code = kv_option_parse(argv[i], out, &seen, error);
        } else {
            *error = sqlite3_mprintf("%s: columns come before options", argv[i]);
            code = SQLITE_ERROR;
        }
    }
    if (code == SQLITE_OK)
        code = check_settings(out, error);
    return code == SQLITE_ERROR && !*error ? SQLITE_NOMEM : code;
}

void kv_definition_release(struct kv_definition *definition)
{
    for (int i = 0; i < definition->column_count; i++)
        release_column(&definition->columns[i]);
    sqlite3_free(definition->columns);
    sqlite3_free(definition->path);
    *definition = (struct kv_definition){0};
}

/* ---- The definition in SQL */

/* The text built, or NULL when memory ran out on the way. */
static char *finish(sqlite3_str *text)
{
    int code = sqlite3_str_errcode(text);
    char *result = sqlite3_str_finish(text);

    if (code == SQLITE_OK)
        return result;
    sqlite3_free(result);
    return NULL;
}

char *kv_definition_declaration(const struct kv_definition *definition, const char *table)
{
    sqlite3_str *text = sqlite3_str_new(NULL);

    sqlite3_str_appendall(text, "CREATE TABLE x(");
    if (definition->column_count == 0)
        sqlite3_str_appendall(text, "key PRIMARY KEY NOT NULL");
    for (int i = 0; i < definition->column_count; i++) {
        const struct kv_column *column = &definition->columns[i];

        sqlite3_str_appendf(text, "%s\"%w\" %s%s%s", i ? ", " : "", column->name,
                            column->type ? column->type : "", i ? "" : " PRIMARY KEY",
                            i == 0 || column->not_null ? " NOT NULL" : "");
    }
    if (definition->has_command)
        sqlite3_str_appendf(text, ", \"%w\" HIDDEN", table);
    sqlite3_str_appendall(text, ") WITHOUT ROWID");
    return finish(text);
}

char *kv_definition_schema(const struct kv_definition *definition)
{
    static const char *const types[] = {[KV_AFFINITY_NONE] = "",
                                        [KV_AFFINITY_TEXT] = " TEXT",
                                        [KV_AFFINITY_INTEGER] = " INTEGER",
                                        [KV_AFFINITY_REAL] = " REAL",
                                        [KV_AFFINITY_NUMERIC] = " NUMERIC"};
    sqlite3_str *text = sqlite3_str_new(NULL);

    for (int i = 0; i < definition->column_count; i++) {
        const struct kv_column *column = &definition->columns[i];

        sqlite3_str_appendf(text, "%s\"%w\"%s%s", i ? ", " : "", column->name,
                            types[column->affinity], i && column->not_null ? " NOT NULL" : "");
    }
    return finish(text);
}
