/* Results: see rows.h. */
#include "rows.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { LONG_BYTES = 64, SHOWN_BYTES = 32 };

struct value_header {
    int type;
    unsigned size; /* of the value */
    unsigned kept; /* bytes that follow, a hash included */
};

static void add_bytes(struct rows *rows, int type, const void *bytes, size_t size)
{
    struct value_header header = {.type = type, .size = (unsigned)size, .kept = (unsigned)size};
    uint64_t hash;

    if (size <= LONG_BYTES) {
        text_add_bytes(&rows->bytes, &header, sizeof(header));
        text_add_bytes(&rows->bytes, bytes, size);
        return;
    }
    header.kept = SHOWN_BYTES + sizeof(hash);
    hash = XXH3_64bits(bytes, size);
    text_add_bytes(&rows->bytes, &header, sizeof(header));
    text_add_bytes(&rows->bytes, bytes, SHOWN_BYTES);
    text_add_bytes(&rows->bytes, &hash, sizeof(hash));
}

static void add_value(struct rows *rows, sqlite3_stmt *statement, int column)
{
    int type = sqlite3_column_type(statement, column);
    sqlite3_int64 integer;
    double real;

    switch (type) {
    case SQLITE_INTEGER:
        integer = sqlite3_column_int64(statement, column);
        add_bytes(rows, type, &integer, sizeof(integer));
        break;
    case SQLITE_FLOAT:
        real = sqlite3_column_double(statement, column);
        add_bytes(rows, type, &real, sizeof(real));
        break;
    case SQLITE_TEXT:
        add_bytes(rows, type, sqlite3_column_text(statement, column),
                  (size_t)sqlite3_column_bytes(statement, column));
        break;
    case SQLITE_BLOB:
        add_bytes(rows, type, sqlite3_column_blob(statement, column),
                  (size_t)sqlite3_column_bytes(statement, column));
        break;
    default: add_bytes(rows, type, NULL, 0);
    }
}

/* Room for one more offset. */
static void reserve(struct rows *rows)
{
    if (rows->count + 1 < rows->capacity)
        return;
    rows->capacity = 2 * rows->capacity + 16;
    rows->offsets = (size_t *)realloc(rows->offsets, rows->capacity * sizeof(*rows->offsets));
    if (!rows->offsets)
        abort();
    rows->offsets[0] = 0;
}

void rows_add(struct rows *rows, sqlite3_stmt *statement)
{
    reserve(rows);
    for (int i = 0; i < sqlite3_column_count(statement); i++)
        add_value(rows, statement, i);
    rows->offsets[++rows->count] = rows->bytes.size;
}

void rows_add_from(struct rows *rows, const struct rows *from, size_t i)
{
    reserve(rows);
    text_add_bytes(&rows->bytes, from->bytes.data + from->offsets[i],
                   from->offsets[i + 1] - from->offsets[i]);
    rows->offsets[++rows->count] = rows->bytes.size;
}

void rows_clear(struct rows *rows)
{
    rows->count = 0;
    text_clear(&rows->bytes);
}

void rows_release(struct rows *rows)
{
    text_release(&rows->bytes);
    free(rows->offsets);
    *rows = (struct rows){0};
}

/* ---- Comparing */

struct piece {
    const char *data;
    size_t size;
};

static struct piece piece_at(const struct rows *rows, size_t i)
{
    size_t from = rows->offsets[i];

    return (struct piece){rows->bytes.data + from, rows->offsets[i + 1] - from};
}

static int compare_pieces(const void *left, const void *right)
{
    const struct piece *a = (const struct piece *)left, *b = (const struct piece *)right;
    size_t size = a->size < b->size ? a->size : b->size;
    int order = size ? memcmp(a->data, b->data, size) : 0;

    if (order)
        return order;
    return (a->size > b->size) - (a->size < b->size);
}

static void sort(struct rows *rows)
{
    struct piece *pieces = (struct piece *)calloc(rows->count + 1, sizeof(*pieces));
    struct text sorted = {0};

    if (!pieces)
        abort();
    for (size_t i = 0; i < rows->count; i++)
        pieces[i] = piece_at(rows, i);
    qsort(pieces, rows->count, sizeof(*pieces), compare_pieces);
    for (size_t i = 0; i < rows->count; i++)
        text_add_bytes(&sorted, pieces[i].data, pieces[i].size);
    for (size_t i = 0; i < rows->count; i++)
        rows->offsets[i + 1] = rows->offsets[i] + pieces[i].size;
    free(pieces);
    text_release(&rows->bytes);
    rows->bytes = sorted;
}

static bool same_bytes(const struct rows *a, const struct rows *b)
{
    if (a->count != b->count || a->bytes.size != b->bytes.size)
        return false;
    return a->bytes.size == 0 || memcmp(a->bytes.data, b->bytes.data, a->bytes.size) == 0;
}

bool rows_equal(struct rows *a, struct rows *b, bool ordered)
{
    if (same_bytes(a, b))
        return true;
    if (ordered || a->count != b->count || a->count == 0)
        return false;
    sort(a);
    sort(b);
    return same_bytes(a, b);
}

bool rows_equal_at(const struct rows *a, size_t i, const struct rows *b, size_t j)
{
    struct piece left = piece_at(a, i), right = piece_at(b, j);

    return compare_pieces(&left, &right) == 0;
}

/* ---- Showing */

static void describe_bytes(const struct value_header *header, const char *bytes, struct text *out)
{
    size_t shown = header->size > LONG_BYTES ? SHOWN_BYTES : header->size;

    text_add(out, header->type == SQLITE_BLOB ? "x'" : "'");
    for (size_t i = 0; i < shown; i++) {
        unsigned char byte = (unsigned char)bytes[i];

        if (header->type == SQLITE_BLOB)
            text_add(out, "%02x", byte);
        else
            text_add(out, byte >= ' ' && byte < 127 ? "%c" : "\\x%02x", byte);
    }
    text_add(out, header->size > LONG_BYTES ? "'… %u bytes" : "'", header->size);
}

static void describe_value(const struct value_header *header, const char *bytes, struct text *out)
{
    sqlite3_int64 integer;
    double real;

    switch (header->type) {
    case SQLITE_INTEGER:
        memcpy(&integer, bytes, sizeof(integer));
        text_add(out, "%lld", integer);
        break;
    case SQLITE_FLOAT:
        memcpy(&real, bytes, sizeof(real));
        text_add(out, "%#.17g", real);
        break;
    case SQLITE_NULL: text_add(out, "NULL"); break;
    default: describe_bytes(header, bytes, out);
    }
}

void rows_describe(const struct rows *rows, size_t i, struct text *out)
{
    struct piece piece = piece_at(rows, i);
    const char *at = piece.data, *end = piece.data + piece.size;

    while (at < end) {
        struct value_header header;

        memcpy(&header, at, sizeof(header));
        at += sizeof(header);
        if (at > piece.data + sizeof(header))
            text_add(out, "|");
        describe_value(&header, at, out);
        at += header.kept;
    }
}
