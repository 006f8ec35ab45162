/* The words of an SQL fragment, split as SQLite splits them. Pure. */
#ifndef KV_EXT_TOKENS_H
#define KV_EXT_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

enum kv_token_kind {
    KV_TOKEN_END,
    KV_TOKEN_WORD,   /* bare: an identifier, a keyword, or digits */
    KV_TOKEN_QUOTED, /* "x", `x` or [x] */
    KV_TOKEN_STRING, /* 'x' */
    KV_TOKEN_SIGN,   /* any other single byte */
    KV_TOKEN_BROKEN, /* a quote or comment that is not closed */
};

struct kv_token {
    enum kv_token_kind kind;
    const char *text; /* quotes included; borrowed from the fragment */
    size_t size;
};

/* The token at or after `*at`, which moves behind it. Spaces and comments are skipped. */
struct kv_token kv_token_next(const char **at);

/* Is it this bare word, in any case? */
bool kv_token_is(struct kv_token token, const char *word);

/* Is it this single byte? */
bool kv_token_is_sign(struct kv_token token, char sign);

/* Can it be a name? */
bool kv_token_is_name(struct kv_token token);

/* Its text without quotes, doubled ones halved; free it with sqlite3_free. NULL: no memory. */
char *kv_token_text(struct kv_token token);

#endif
