/*
 * How SQL values become key bytes and row bytes, and back. Pure.
 *
 * KEY: bytes that memcmp orders as SQLite orders values.
 *
 *   0x10, ordered double [, residual u16 BE]   a number
 *   0x20, bytes                                TEXT
 *   0x30, bytes                                BLOB
 *
 * A number's ordered double is the largest double that is <= it: eight bytes,
 * big-endian, sign bit flipped, all bits flipped if negative. Integers past
 * 2^53 may lie above that double: the residual, 1 … 1023, says by how much, and
 * is absent when 0. So 1, 1.0, 0.0 and -0.0 have one key each value, integers
 * and reals mix exactly, and a key without residual, being a prefix, comes
 * first. NULL and NaN have no key.
 *
 * ROW: what the key does not tell, then the value columns.
 *
 *   kind u8         how the key's number was written: enum kv_key_kind
 *   tag varint …    one a column: size << 3 | type
 *   body …          `size` bytes a column
 *
 *   type 0 NULL     size 0
 *        1 INTEGER  size 0 … 8: two's complement, little-endian, as short as its value allows
 *        2 REAL     size 8, little-endian
 *        3 TEXT     UTF-8 as given
 *        4 BLOB
 *
 * All tags come first, so that finding a column takes no look at the bodies. A varint is LEB128,
 * low bits first. VALID: the kind suits the key; as many tags as columns; sizes as above; the
 * bodies end where the row ends. Anything else is damage (SQLITE_CORRUPT_VTAB) to every
 * reader. The format evolves by new types and kinds, which old readers take for damage.
 */
#ifndef KV_EXT_ROWCODEC_H
#define KV_EXT_ROWCODEC_H

#include <stdbool.h>

#include "cell.h"
#include "scratch.h"
#include "slice.h"

enum kv_key_kind {
    KV_KEY_BYTES = 0, /* a text or blob */
    KV_KEY_INTEGER = 1,
    KV_KEY_REAL = 2,
    KV_KEY_NEGATIVE_ZERO = 3, /* the real -0.0, whose key is that of 0 */
};

enum {
    KV_KEY_NUMBER_TAG = 0x10,
    KV_KEY_TEXT_TAG = 0x20,
    KV_KEY_BLOB_TAG = 0x30,
    KV_KEY_LIMIT_BYTES = 65535, /* the engine's longest key */
};

enum kv_key_kind kv_key_kind_of(const struct kv_cell *cell);

/* Replace `out` by the key of `cell`, which is not NULL. False when out of memory. */
bool kv_key_encode(const struct kv_cell *cell, struct kv_scratch *out);

/* Read a key back; bytes are borrowed from `key`. False if key or kind are malformed. */
bool kv_key_decode(struct kv_slice key, enum kv_key_kind kind, struct kv_cell *out);

/* As above without a row at hand: an integer wherever the number is one. */
bool kv_key_decode_alone(struct kv_slice key, struct kv_cell *out);

/* Replace `out` by the row of these value columns. False when out of memory. */
bool kv_row_encode(enum kv_key_kind kind, const struct kv_cell *cells, int cell_count,
                   struct kv_scratch *out);

/* Just the kind. False if the row is malformed there. */
bool kv_row_kind(struct kv_slice row, enum kv_key_kind *out);

/* Read exactly `cell_count` value columns; bytes are borrowed from `row`. False if malformed. */
bool kv_row_decode(struct kv_slice row, struct kv_cell *out, int cell_count);

#endif
