/*
 * One SQL value in a form that both SQLite and the row codec understand, and
 * the conversion that SQLite calls affinity.
 *
 * An ordinary table converts values as it stores them; a virtual table is
 * given them raw. So kv_cell_read does what an ordinary column of that type
 * would do. It leaves the parsing of numbers to SQLite itself, whose rounding
 * differs from release to release.
 */
#ifndef KV_EXT_CELL_H
#define KV_EXT_CELL_H

#include "slice.h"
#include "sqlite.h"

enum kv_affinity {
    KV_AFFINITY_NONE, /* values stay as they are: BLOB, ANY, or no type at all */
    KV_AFFINITY_TEXT,
    KV_AFFINITY_INTEGER,
    KV_AFFINITY_REAL,
    KV_AFFINITY_NUMERIC,
};

struct kv_cell {
    int type; /* SQLITE_INTEGER, _FLOAT, _TEXT, _BLOB, _NULL */
    union {
        sqlite3_int64 integer;
        double real;
    };
    struct kv_slice bytes; /* of a text or blob; borrowed */
};

/*
 * Read `value` as a column of `affinity` would store it. Texts and blobs are
 * borrowed from `value` until SQLite touches it again. May convert `value` in place.
 * SQLITE_OK or SQLITE_NOMEM.
 */
int kv_cell_read(sqlite3_value *value, enum kv_affinity affinity, struct kv_cell *out);

/* Make the cell the result of an SQL function or column; the bytes are copied. */
void kv_cell_result(sqlite3_context *context, const struct kv_cell *cell);

/* The affinity that SQLite gives a column declared with `type` (NULL: none). ANY means none. */
enum kv_affinity kv_affinity_of_type(const char *type);

#endif
