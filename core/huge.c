/* Zeros, a huge page at a time: see huge.h. */
#include "huge.h"

enum kv_status kv_huge_prepare(struct kv_file *file, uint64_t size)
{
    static uint8_t zeros[KV_HUGE_MAX_BYTES]; /* never written, so it takes no memory of its own */
    uint64_t page = kv_huge_bytes(file->io);
    enum kv_status st = KV_OK;

    for (uint64_t at = 0; st == KV_OK && size - at >= page; at += page)
        st = kv_io_write(file, at, zeros, page);
    return st;
}
