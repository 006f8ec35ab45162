/*
 * Little-endian numbers, varints, and a reader that never leaves its bounds.
 *
 * Every byte that comes from disk is parsed through `struct kv_reader`. A
 * varint is LEB128: seven bits a byte, low bits first, at most ten bytes; an
 * encoding longer than needed is invalid, so that each number has one form.
 */
#ifndef KV_BYTES_H
#define KV_BYTES_H

#include <stdbool.h>
#include <stdint.h>

#include "slice.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "loads and stores assume a little-endian host");

enum { KV_VARINT_MAX_BYTES = 10 };

static inline uint16_t kv_load_u16(const void *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint32_t kv_load_u32(const void *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint64_t kv_load_u64(const void *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline void kv_store_u16(void *at, uint16_t value)
{
    memcpy(at, &value, sizeof(value));
}

static inline void kv_store_u32(void *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

static inline void kv_store_u64(void *at, uint64_t value)
{
    memcpy(at, &value, sizeof(value));
}

/* Bytes that `value` takes as a varint: 1 … 10. */
static inline size_t kv_varint_size(uint64_t value)
{
    return value < 0x80 ? 1 : (size_t)(63 - __builtin_clzll(value)) / 7 + 1;
}

/* Write a varint; `at` has room for it. Returns the position after it. */
static inline uint8_t *kv_varint_put(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/*
 * Reads forwards through [at, end). The first read that does not fit, or an
 * invalid varint, sets `failed`, and from then on every read gives 0 or an
 * empty slice: check `failed` once at the end, but before using a value as a
 * size of anything that is not read through the same reader.
 */
struct kv_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct kv_reader kv_reader_of(struct kv_slice bytes)
{
    return (struct kv_reader){bytes.data, bytes.data + bytes.size, false};
}

static inline size_t kv_reader_left(const struct kv_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

uint8_t kv_read_u8(struct kv_reader *reader);
uint16_t kv_read_u16(struct kv_reader *reader);
uint32_t kv_read_u32(struct kv_reader *reader);
uint64_t kv_read_u64(struct kv_reader *reader);
uint64_t kv_read_varint_slow(struct kv_reader *reader);

static inline uint64_t kv_read_varint(struct kv_reader *reader)
{
    if (reader->at < reader->end && *reader->at < 0x80)
        return *reader->at++;
    return kv_read_varint_slow(reader);
}

/* `size` bytes, borrowed from the bytes being read. */
struct kv_slice kv_read_bytes(struct kv_reader *reader, uint64_t size);

#endif
