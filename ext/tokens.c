/* Splitting SQL fragments into words: see tokens.h. */
#include "tokens.h"

#include <string.h>

#include "sqlite.h"

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || (unsigned char)c >= 0x80;
}

/* The position behind a comment that starts at `at`; `at` if none does; NULL if it has no end. */
static const char *skip_comment(const char *at)
{
    if (at[0] == '-' && at[1] == '-')
        return at + strcspn(at, "\n");
    if (at[0] == '/' && at[1] == '*') {
        const char *end = strstr(at + 2, "*/");

        return end ? end + 2 : NULL;
    }
    return at;
}

static char closing_quote(char open)
{
    switch (open) {
    case '"':
    case '`':
    case '\'': return open;
    case '[': return ']';
    default: return 0;
    }
}

/* A quoted token; a doubled quote inside stands for one, except in brackets. */
static struct kv_token quoted(const char *from)
{
    char close = closing_quote(*from);
    const char *at = from + 1;

    for (; *at; at++) {
        if (*at != close)
            continue;
        if (close == ']' || at[1] != close)
            return (struct kv_token){*from == '\'' ? KV_TOKEN_STRING : KV_TOKEN_QUOTED, from,
                                     (size_t)(at + 1 - from)};
        at++;
    }
    return (struct kv_token){KV_TOKEN_BROKEN, from, (size_t)(at - from)};
}

static struct kv_token token_at(const char *from)
{
    size_t size = 0;

    if (!*from)
        return (struct kv_token){KV_TOKEN_END, from, 0};
    if (closing_quote(*from))
        return quoted(from);
    while (is_word(from[size]))
        size++;
    if (size)
        return (struct kv_token){KV_TOKEN_WORD, from, size};
    return (struct kv_token){KV_TOKEN_SIGN, from, 1};
}

struct kv_token kv_token_next(const char **at)
{
    const char *from = *at;
    struct kv_token token;

    for (;;) {
        const char *after;

        while (is_space(*from))
            from++;
        after = skip_comment(from);
        if (!after) {
            token = (struct kv_token){KV_TOKEN_BROKEN, from, strlen(from)};
            break;
        }
        if (after == from) {
            token = token_at(from);
            break;
        }
        from = after;
    }
    *at = token.text + token.size;
    return token;
}

bool kv_token_is(struct kv_token token, const char *word)
{
    return token.kind == KV_TOKEN_WORD && strlen(word) == token.size &&
           sqlite3_strnicmp(token.text, word, (int)token.size) == 0;
}

bool kv_token_is_sign(struct kv_token token, char sign)
{
    return token.kind == KV_TOKEN_SIGN && *token.text == sign;
}

bool kv_token_is_name(struct kv_token token)
{
    return token.kind == KV_TOKEN_WORD || token.kind == KV_TOKEN_QUOTED ||
           token.kind == KV_TOKEN_STRING;
}

char *kv_token_text(struct kv_token token)
{
    char *text = (char *)sqlite3_malloc64(token.size + 1);
    size_t size = 0;
    char close;

    if (!text)
        return NULL;
    close = token.kind == KV_TOKEN_WORD ? 0 : closing_quote(*token.text);
    if (!close) {
        memcpy(text, token.text, token.size);
        text[token.size] = 0;
        return text;
    }
    for (size_t i = 1; i + 1 < token.size; i++) {
        text[size++] = token.text[i];
        if (token.text[i] == close) /* the first of two */
            i++;
    }
    text[size] = 0;
    return text;
}
