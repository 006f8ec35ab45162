/* What a query returned, kept so that two results can be compared and shown. */
#ifndef KV_DIFFERENTIAL_ROWS_H
#define KV_DIFFERENTIAL_ROWS_H

#include <sqlite3.h>
#include <stdbool.h>

#include "text.h"

/*
 * Values follow each other as type, size and bytes. Of long texts and blobs
 * the beginning and a hash stand for all, so that megabytes are not kept.
 */
struct rows {
    struct text bytes;
    size_t *offsets; /* where each row begins in `bytes` */
    size_t count;
    size_t capacity;
};

/* Append the statement's current row. */
void rows_add(struct rows *rows, sqlite3_stmt *statement);
/* Append row `i` of `from`. */
void rows_add_from(struct rows *rows, const struct rows *from, size_t i);
void rows_clear(struct rows *rows);
void rows_release(struct rows *rows);

/* The same rows; unless `ordered`, in any order. Otherwise sorts both. */
bool rows_equal(struct rows *a, struct rows *b, bool ordered);

/* Row `i` of `a` and row `j` of `b` hold the same values. */
bool rows_equal_at(const struct rows *a, size_t i, const struct rows *b, size_t j);

/* Append row `i` as SQLite's quote() would show it. */
void rows_describe(const struct rows *rows, size_t i, struct text *out);

#endif
