/* The out-of-line half of the bounds-checked reader. */
#include "bytes.h"

static const uint8_t *take(struct kv_reader *reader, uint64_t size)
{
    const uint8_t *at = reader->at;

    if (reader->failed || size > kv_reader_left(reader)) {
        reader->failed = true;
        reader->at = reader->end;
        return NULL;
    }
    reader->at += size;
    return at;
}

uint8_t kv_read_u8(struct kv_reader *reader)
{
    const uint8_t *at = take(reader, 1);

    return at ? *at : 0;
}

uint16_t kv_read_u16(struct kv_reader *reader)
{
    const uint8_t *at = take(reader, 2);

    return at ? kv_load_u16(at) : 0;
}

uint32_t kv_read_u32(struct kv_reader *reader)
{
    const uint8_t *at = take(reader, 4);

    return at ? kv_load_u32(at) : 0;
}

uint64_t kv_read_u64(struct kv_reader *reader)
{
    const uint8_t *at = take(reader, 8);

    return at ? kv_load_u64(at) : 0;
}

static uint64_t fail(struct kv_reader *reader)
{
    reader->failed = true;
    reader->at = reader->end;
    return 0;
}

uint64_t kv_read_varint_slow(struct kv_reader *reader)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (reader->at == reader->end)
            return fail(reader);
        uint8_t byte = *reader->at++;
        if (shift == 63 && byte > 1)
            return fail(reader); /* past 64 bits */
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return byte == 0 && shift > 0 ? fail(reader) : value; /* a final 0 is padding */
    }
    return fail(reader);
}

struct kv_slice kv_read_bytes(struct kv_reader *reader, uint64_t size)
{
    const uint8_t *at = take(reader, size);

    return kv_slice_of(at, at ? (size_t)size : 0);
}
