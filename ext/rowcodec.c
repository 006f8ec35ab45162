/* Keys and rows as bytes: see rowcodec.h. */
#include "rowcodec.h"

enum {
    TAG_NULL = 0,
    TAG_INTEGER = 1,
    TAG_REAL = 2,
    TAG_TEXT = 3,
    TAG_BLOB = 4,
    TAG_BITS = 3,
    TAG_MAX_BYTES = 10,
    NUMBER_KEY_BYTES = 9,
    RESIDUAL_BYTES = 2,
    REAL_BYTES = 8,
};

#define SIGN_BIT (UINT64_C(1) << 63)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bodies are copied from memory");

/* ---- Keys */

static uint64_t bits_of(double real)
{
    uint64_t bits;

    memcpy(&bits, &real, sizeof(bits));
    return bits;
}

static double real_of(uint64_t bits)
{
    double real;

    memcpy(&real, &bits, sizeof(real));
    return real;
}

/* As an unsigned number, the result orders as the doubles do. */
static uint64_t ordered_from_real(double real)
{
    uint64_t bits = bits_of(real + 0.0); /* -0.0 becomes 0.0 */

    return bits & SIGN_BIT ? ~bits : bits | SIGN_BIT;
}

static double real_from_ordered(uint64_t ordered)
{
    return real_of(ordered & SIGN_BIT ? ordered & ~SIGN_BIT : ~ordered);
}

/* The largest double <= `value`, and how far above it the value lies. */
static double floor_double(sqlite3_int64 value, unsigned *residual)
{
    const sqlite3_int64 exact = INT64_C(1) << 53;
    double real = (double)value;

    *residual = 0;
    if (value >= -exact && value <= exact)
        return real;
    /* The conversion rounds to nearest, possibly up, and then to 2^63 at most. */
    if (real >= 9223372036854775808.0 || (sqlite3_int64)real > value)
        real = real_of(real > 0 ? bits_of(real) - 1 : bits_of(real) + 1);
    *residual = (unsigned)((uint64_t)value - (uint64_t)(sqlite3_int64)real);
    return real;
}

static bool encode_number(double floor, unsigned residual, struct kv_scratch *out)
{
    uint64_t big_endian = __builtin_bswap64(ordered_from_real(floor));

    if (!kv_scratch_reserve(out, NUMBER_KEY_BYTES + RESIDUAL_BYTES))
        return false;
    out->data[0] = KV_KEY_NUMBER_TAG;
    memcpy(out->data + 1, &big_endian, sizeof(big_endian));
    out->size = NUMBER_KEY_BYTES;
    if (residual) {
        out->data[out->size++] = (uint8_t)(residual >> 8);
        out->data[out->size++] = (uint8_t)residual;
    }
    return true;
}

static bool encode_bytes(uint8_t tag, struct kv_slice bytes, struct kv_scratch *out)
{
    if (!kv_scratch_reserve(out, 1 + bytes.size))
        return false;
    out->data[0] = tag;
    if (bytes.size)
        memcpy(out->data + 1, bytes.data, bytes.size);
    out->size = 1 + bytes.size;
    return true;
}

enum kv_key_kind kv_key_kind_of(const struct kv_cell *cell)
{
    switch (cell->type) {
    case SQLITE_INTEGER: return KV_KEY_INTEGER;
    case SQLITE_FLOAT: return bits_of(cell->real) == SIGN_BIT ? KV_KEY_NEGATIVE_ZERO : KV_KEY_REAL;
    default: return KV_KEY_BYTES;
    }
}

bool kv_key_encode(const struct kv_cell *cell, struct kv_scratch *out)
{
    unsigned residual;
    double floor;

    switch (cell->type) {
    case SQLITE_TEXT: return encode_bytes(KV_KEY_TEXT_TAG, cell->bytes, out);
    case SQLITE_BLOB: return encode_bytes(KV_KEY_BLOB_TAG, cell->bytes, out);
    case SQLITE_INTEGER:
        floor = floor_double(cell->integer, &residual);
        return encode_number(floor, residual, out);
    default: return encode_number(cell->real, 0, out);
    }
}

/* A number's two parts. False: not what kv_key_encode writes. */
static bool split_number(struct kv_slice key, double *floor, unsigned *residual)
{
    uint64_t ordered;

    *residual = 0;
    if (key.size != NUMBER_KEY_BYTES) {
        if (key.size != NUMBER_KEY_BYTES + RESIDUAL_BYTES)
            return false;
        *residual = (unsigned)(key.data[NUMBER_KEY_BYTES] << 8 | key.data[NUMBER_KEY_BYTES + 1]);
        if (*residual == 0)
            return false;
    }
    memcpy(&ordered, key.data + 1, sizeof(ordered));
    ordered = __builtin_bswap64(ordered);
    *floor = real_from_ordered(ordered);
    /* Neither NaN nor -0.0 is ever a key. */
    return *floor == *floor && ordered_from_real(*floor) == ordered;
}

/* The integer of these parts. False if it is none, or they are not those of an integer. */
static bool join_integer(double floor, unsigned residual, sqlite3_int64 *out)
{
    unsigned expected;

    if (!(floor >= -9223372036854775808.0 && floor < 9223372036854775808.0))
        return false;
    if ((double)(sqlite3_int64)floor != floor)
        return false;
    *out = (sqlite3_int64)((uint64_t)(sqlite3_int64)floor + residual);
    /* Each number has one key: with this residual, `floor` is its nearest below. */
    return floor_double(*out, &expected) == floor && expected == residual;
}

static bool decode_number(struct kv_slice key, enum kv_key_kind kind, struct kv_cell *out)
{
    double floor;
    unsigned residual;

    if (!split_number(key, &floor, &residual))
        return false;
    if (kind == KV_KEY_INTEGER) {
        out->type = SQLITE_INTEGER;
        return join_integer(floor, residual, &out->integer);
    }
    out->type = SQLITE_FLOAT;
    out->real = kind == KV_KEY_NEGATIVE_ZERO ? -0.0 : floor;
    if (kind == KV_KEY_NEGATIVE_ZERO && floor != 0)
        return false;
    return residual == 0 && (kind == KV_KEY_REAL || kind == KV_KEY_NEGATIVE_ZERO);
}

bool kv_key_decode(struct kv_slice key, enum kv_key_kind kind, struct kv_cell *out)
{
    if (key.size == 0)
        return false;
    switch (key.data[0]) {
    case KV_KEY_NUMBER_TAG: return decode_number(key, kind, out);
    case KV_KEY_TEXT_TAG: out->type = SQLITE_TEXT; break;
    case KV_KEY_BLOB_TAG: out->type = SQLITE_BLOB; break;
    default: return false;
    }
    out->bytes = kv_slice_of(key.data + 1, key.size - 1);
    return kind == KV_KEY_BYTES;
}

bool kv_key_decode_alone(struct kv_slice key, struct kv_cell *out)
{
    return kv_key_decode(key, KV_KEY_BYTES, out) || kv_key_decode(key, KV_KEY_INTEGER, out) ||
           kv_key_decode(key, KV_KEY_REAL, out);
}

/* ---- Rows */

/* Bytes that an integer takes: 0 for 0, else enough for the value and its sign. */
static size_t integer_size(sqlite3_int64 value)
{
    uint64_t magnitude = (uint64_t)(value < 0 ? ~value : value);

    if (value == 0)
        return 0;
    return magnitude ? (size_t)(64 - __builtin_clzll(magnitude)) / 8 + 1 : 1;
}

static uint64_t tag_of(const struct kv_cell *cell)
{
    switch (cell->type) {
    case SQLITE_INTEGER: return (uint64_t)integer_size(cell->integer) << TAG_BITS | TAG_INTEGER;
    case SQLITE_FLOAT: return REAL_BYTES << TAG_BITS | TAG_REAL;
    case SQLITE_TEXT: return (uint64_t)cell->bytes.size << TAG_BITS | TAG_TEXT;
    case SQLITE_BLOB: return (uint64_t)cell->bytes.size << TAG_BITS | TAG_BLOB;
    default: return TAG_NULL;
    }
}

static uint8_t *put_tag(uint8_t *at, uint64_t tag)
{
    for (; tag >= 0x80; tag >>= 7)
        *at++ = (uint8_t)(tag | 0x80);
    *at++ = (uint8_t)tag;
    return at;
}

/* At most `cell` bytes are written; texts and blobs may be empty with a null pointer. */
static uint8_t *put_body(uint8_t *at, const struct kv_cell *cell)
{
    size_t size = cell->bytes.size;

    switch (cell->type) {
    case SQLITE_INTEGER:
        size = integer_size(cell->integer);
        memcpy(at, &cell->integer, size);
        return at + size;
    case SQLITE_FLOAT: memcpy(at, &cell->real, REAL_BYTES); return at + REAL_BYTES;
    case SQLITE_TEXT:
    case SQLITE_BLOB:
        if (size)
            memcpy(at, cell->bytes.data, size);
        return at + size;
    default: return at;
    }
}

/* An upper bound on the row's size, so that writing needs no checks. */
static size_t row_size_limit(const struct kv_cell *cells, int cell_count)
{
    size_t size = 1;

    for (int i = 0; i < cell_count; i++) {
        bool bytes = cells[i].type == SQLITE_TEXT || cells[i].type == SQLITE_BLOB;

        size += TAG_MAX_BYTES + (bytes ? cells[i].bytes.size : REAL_BYTES);
    }
    return size;
}

bool kv_row_encode(enum kv_key_kind kind, const struct kv_cell *cells, int cell_count,
                   struct kv_scratch *out)
{
    uint8_t *at;

    if (!kv_scratch_reserve(out, row_size_limit(cells, cell_count)))
        return false;
    at = out->data;
    *at++ = (uint8_t)kind;
    for (int i = 0; i < cell_count; i++)
        at = put_tag(at, tag_of(&cells[i]));
    for (int i = 0; i < cell_count; i++)
        at = put_body(at, &cells[i]);
    out->size = (size_t)(at - out->data);
    return true;
}

bool kv_row_kind(struct kv_slice row, enum kv_key_kind *out)
{
    if (row.size == 0 || row.data[0] > KV_KEY_NEGATIVE_ZERO)
        return false;
    *out = (enum kv_key_kind)row.data[0];
    return true;
}

/* A tag of more than two bytes, or one that is no tag. */
static __attribute__((noinline)) bool take_long_tag(const uint8_t **at, const uint8_t *end,
                                                    uint64_t *out)
{
    const uint8_t *from = *at;
    uint64_t tag = 0;

    for (unsigned shift = 0; from < end && shift < 7 * TAG_MAX_BYTES - 7; shift += 7) {
        uint8_t byte = *from++;

        tag |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *at = from;
            *out = tag;
            return byte != 0 || shift == 0; /* one form for each number */
        }
    }
    return false;
}

/* The tag at `*at`, which moves behind it. False: it does not end before `end`, or is too long. */
static inline bool take_tag(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    const uint8_t *from = *at;

    if (end - from < 2 || (from[0] >= 0x80 && (from[1] >= 0x80 || from[1] == 0)))
        return take_long_tag(at, end, out);
    if (from[0] < 0x80) {
        *at = from + 1;
        *out = from[0];
    } else {
        *at = from + 2;
        *out = (uint64_t)(from[0] & 0x7f) | (uint64_t)from[1] << 7;
    }
    return true;
}

static bool take_integer(struct kv_slice body, sqlite3_int64 *out)
{
    uint64_t bits = 0;

    if (body.size > sizeof(bits))
        return false;
    if (body.size) {
        memcpy(&bits, body.data, body.size);
        if (body.size < sizeof(bits) && body.data[body.size - 1] & 0x80)
            bits |= ~UINT64_C(0) << (8 * body.size);
    }
    *out = (sqlite3_int64)bits;
    return integer_size(*out) == body.size;
}

/* What a tag and its body say. */
static inline bool take_body(uint64_t tag, struct kv_slice body, struct kv_cell *out)
{
    switch (tag & ((1 << TAG_BITS) - 1)) {
    case TAG_NULL: out->type = SQLITE_NULL; return body.size == 0;
    case TAG_INTEGER: out->type = SQLITE_INTEGER; return take_integer(body, &out->integer);
    case TAG_REAL:
        if (body.size != REAL_BYTES)
            return false;
        out->type = SQLITE_FLOAT;
        memcpy(&out->real, body.data, REAL_BYTES);
        return true;
    case TAG_TEXT: out->type = SQLITE_TEXT; break;
    case TAG_BLOB: out->type = SQLITE_BLOB; break;
    default: return false;
    }
    out->bytes = body;
    return true;
}

bool kv_row_decode(struct kv_slice row, struct kv_cell *out, int cell_count)
{
    const uint8_t *body, *end;

    if (row.size == 0)
        return false;
    body = row.data + 1;
    end = row.data + row.size;
    /* Tags wait in their cells until it is known where the bodies begin. */
    for (int i = 0; i < cell_count; i++) {
        uint64_t tag;

        if (!take_tag(&body, end, &tag))
            return false;
        out[i].integer = (sqlite3_int64)tag;
    }
    for (int i = 0; i < cell_count; i++) {
        uint64_t tag = (uint64_t)out[i].integer;
        uint64_t size = tag >> TAG_BITS;

        if (size > (uint64_t)(end - body) ||
            !take_body(tag, kv_slice_of(body, (size_t)size), &out[i]))
            return false;
        body += size;
    }
    return body == end;
}
