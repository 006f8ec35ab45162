/*
 * A growing text, for building SQL and messages. Running out of memory ends
 * the program: nothing here could go on without it.
 *
 * FRAGMENTS. Between FRAGMENT and END stands a part of a statement that can be
 * left out, and what remains is still a statement whose result both kinds of
 * table must agree on. Fragments nest. The shrinker leaves them out; text_add_sql
 * takes the marks away.
 *
 * VALUES. Between VALUE and VALUE_END stands a value, which can be bound as a
 * parameter instead of being written out.
 */
#ifndef KV_DIFFERENTIAL_TEXT_H
#define KV_DIFFERENTIAL_TEXT_H

#include <stddef.h>

struct text {
    char *data; /* NUL at the end; NULL: empty */
    size_t size;
    size_t capacity;
};

#define FRAGMENT "\001"
#define END "\002"
#define VALUE "\004"
#define VALUE_END "\005"
/* The table `k`, by one of its two names: see text_add_sql. */
#define EITHER_NAME "\003"

enum text_world { WORLD_ORDINARY, WORLD_KV };

/* Append printf-like. */
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *text, const void *bytes, size_t size);
void text_clear(struct text *text); /* keeps the memory */
void text_release(struct text *text);
/* The text itself; the caller frees it. `text` is empty afterwards. */
char *text_take(struct text *text);

/*
 * Append the SQL of a marked statement: without marks, and with EITHER_NAME as
 * `k_again` in the kv world, where two tables show one store, and as `k` in the
 * other. With `values`, each value becomes `?` and goes there, commas between.
 */
void text_add_sql(struct text *text, const char *marked, enum text_world world,
                  struct text *values);

#endif
