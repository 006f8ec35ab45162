/* SQL values and affinity: see cell.h. */
#include "cell.h"

#include <stdbool.h>
#include <string.h>

enum { SHORT_TEXT_BYTES = 255 };

/* Texts of numbers become numbers, as far as they look like one in full. */
static void read_text_as_number(sqlite3_value *value, struct kv_cell *out)
{
    out->type = sqlite3_value_numeric_type(value);
    if (out->type == SQLITE_INTEGER)
        out->integer = sqlite3_value_int64(value);
    else if (out->type == SQLITE_FLOAT)
        out->real = sqlite3_value_double(value);
}

/*
 * The bytes of a text or blob. A text is asked for as a blob: these are the same bytes, since the
 * database is in UTF-8 (attach.c), but a text that was bound with its length would be copied,
 * only to end in a NUL.
 */
static int read_bytes(sqlite3_value *value, int type, struct kv_cell *out)
{
    const void *data = sqlite3_value_blob(value);
    int size = sqlite3_value_bytes(value);

    /* What is empty is a null pointer, and so is what did not fit in memory. */
    if (!data && size > 0)
        return SQLITE_NOMEM;
    out->type = type;
    out->bytes = kv_slice_of(data, (size_t)size);
    return SQLITE_OK;
}

/* A number written out. */
static int read_number_as_text(sqlite3_value *value, struct kv_cell *out)
{
    const unsigned char *text = sqlite3_value_text(value);

    if (!text)
        return SQLITE_NOMEM;
    out->type = SQLITE_TEXT;
    out->bytes = kv_slice_of(text, (size_t)sqlite3_value_bytes(value));
    return SQLITE_OK;
}

/*
 * A real becomes an integer where nothing is lost. The two ends of the range
 * do not count, as in SQLite: a real just outside of it would convert to them.
 */
static void shorten_real(struct kv_cell *cell)
{
    const double limit = 9223372036854775808.0;

    if (cell->real > -limit && cell->real < limit &&
        (double)(sqlite3_int64)cell->real == cell->real) {
        cell->integer = (sqlite3_int64)cell->real;
        cell->type = SQLITE_INTEGER;
    }
}

static void convert_number(struct kv_cell *cell, enum kv_affinity affinity)
{
    if (affinity == KV_AFFINITY_REAL) {
        if (cell->type == SQLITE_INTEGER)
            cell->real = (double)cell->integer;
        else
            cell->real += 0.0; /* -0.0 becomes 0.0, as ordinary tables store it */
        cell->type = SQLITE_FLOAT;
    } else if (cell->type == SQLITE_FLOAT && affinity != KV_AFFINITY_NONE) {
        shorten_real(cell);
    }
}

int kv_cell_read(sqlite3_value *value, enum kv_affinity affinity, struct kv_cell *out)
{
    int type = sqlite3_value_type(value);

    out->type = type;
    switch (type) {
    case SQLITE_INTEGER:
    case SQLITE_FLOAT:
        if (affinity == KV_AFFINITY_TEXT)
            return read_number_as_text(value, out);
        if (type == SQLITE_INTEGER)
            out->integer = sqlite3_value_int64(value);
        else
            out->real = sqlite3_value_double(value);
        convert_number(out, affinity);
        return SQLITE_OK;
    case SQLITE_TEXT:
        if (affinity >= KV_AFFINITY_INTEGER) {
            read_text_as_number(value, out);
            if (out->type != SQLITE_TEXT) {
                convert_number(out, affinity);
                return SQLITE_OK;
            }
        }
        return read_bytes(value, SQLITE_TEXT, out);
    case SQLITE_BLOB: return read_bytes(value, SQLITE_BLOB, out);
    default: return SQLITE_OK;
    }
}

/*
 * SQLite keeps a result's memory for the next row, but shrinks it when somebody
 * asks for a text that does not end in NUL: an allocation for every row. So
 * texts short enough to be copied on the way are handed over with one.
 */
static void result_text(sqlite3_context *context, struct kv_slice text)
{
    char copy[SHORT_TEXT_BYTES + 1];

    if (text.size > SHORT_TEXT_BYTES || (text.size && memchr(text.data, 0, text.size))) {
        sqlite3_result_text64(context, (const char *)text.data, text.size, SQLITE_TRANSIENT,
                              SQLITE_UTF8);
        return;
    }
    if (text.size)
        memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    sqlite3_result_text(context, copy, -1, SQLITE_TRANSIENT);
}

void kv_cell_result(sqlite3_context *context, const struct kv_cell *cell)
{
    switch (cell->type) {
    case SQLITE_INTEGER: sqlite3_result_int64(context, cell->integer); break;
    case SQLITE_FLOAT: sqlite3_result_double(context, cell->real); break;
    case SQLITE_TEXT: result_text(context, cell->bytes); break;
    case SQLITE_BLOB:
        /* A null pointer would be NULL, not an empty blob. */
        sqlite3_result_blob64(context, cell->bytes.size ? (const void *)cell->bytes.data : "",
                              cell->bytes.size, SQLITE_TRANSIENT);
        break;
    default: sqlite3_result_null(context);
    }
}

/* The last four letters as one number, so that a type's name is read in one pass. */
static unsigned letters(const char *four)
{
    return (unsigned)four[0] << 24 | (unsigned)four[1] << 16 | (unsigned)four[2] << 8 |
           (unsigned)four[3];
}

/* SQLite's rules (datatype3.html, section 3.1), in its order of precedence. */
enum kv_affinity kv_affinity_of_type(const char *type)
{
    enum kv_affinity affinity = KV_AFFINITY_NUMERIC;
    unsigned last = 0;

    if (!type || !type[0] || sqlite3_stricmp(type, "ANY") == 0)
        return KV_AFFINITY_NONE;
    for (; *type; type++) {
        unsigned letter = (unsigned char)*type;
        bool number = affinity == KV_AFFINITY_NUMERIC;

        last = last << 8 | (letter >= 'A' && letter <= 'Z' ? letter + 32 : letter);
        if ((last & 0xffffff) == (letters("\0int") & 0xffffff))
            return KV_AFFINITY_INTEGER;
        if (last == letters("char") || last == letters("clob") || last == letters("text"))
            affinity = KV_AFFINITY_TEXT;
        else if (last == letters("blob") && (number || affinity == KV_AFFINITY_REAL))
            affinity = KV_AFFINITY_NONE;
        else if (number &&
                 (last == letters("real") || last == letters("floa") || last == letters("doub")))
            affinity = KV_AFFINITY_REAL;
    }
    return affinity;
}
