/*
 * Files that the page cache can hold in huge pages.
 *
 * A lookup touches a line here and a line there of hundreds of megabytes, and with pages
 * of 4 KiB it waits for the page tables at nearly each of them. Linux (6.16 and ext4, or
 * older ones and XFS) takes memory for its cache in blocks as large as what is written at once,
 * and maps blocks of 2 MiB as one page. So whoever writes much at once writes whole, aligned
 * huge pages, and what is filled in no order is filled over zeros that were so written.
 * Nothing depends on it: elsewhere these are large writes.
 */
#ifndef KV_HUGE_H
#define KV_HUGE_H

#include "io.h"

enum { KV_HUGE_MAX_BYTES = 2 * 1024 * 1024 };

/* How large a huge page is to this world; a power of two, KV_HUGE_MAX_BYTES at most. */
static inline uint64_t kv_huge_bytes(const struct kv_io *io)
{
    return io->ops->huge_bytes;
}

/*
 * Write zeros to the first `size` bytes of a new file, as far as there are whole huge
 * pages, before they are filled in place. Errors as kv_io_write.
 */
enum kv_status kv_huge_prepare(struct kv_file *file, uint64_t size) KV_WARN_UNUSED;

#endif
