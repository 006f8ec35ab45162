/* A growing run of bytes on the heap. Zero-initialise it; release it with kv_buffer_release. */
#ifndef KV_BUFFER_H
#define KV_BUFFER_H

#include "slice.h"
#include "status.h"

struct kv_buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

/*
 * Make room for `extra` more bytes and return where they go, or NULL when out
 * of memory (nothing is lost). `size` does not change: add what was written.
 */
uint8_t *kv_buffer_reserve(struct kv_buffer *buffer, size_t extra);

/* Append a copy of `bytes`. KV_OK or KV_NOMEM (nothing appended). */
enum kv_status kv_buffer_append(struct kv_buffer *buffer, struct kv_slice bytes) KV_WARN_UNUSED;

/* Make the content a copy of `bytes`. KV_OK or KV_NOMEM (unchanged). */
enum kv_status kv_buffer_set(struct kv_buffer *buffer, struct kv_slice bytes) KV_WARN_UNUSED;

static inline struct kv_slice kv_buffer_slice(const struct kv_buffer *buffer)
{
    return kv_slice_of(buffer->data, buffer->size);
}

/* Free the memory and leave an empty buffer. */
void kv_buffer_release(struct kv_buffer *buffer);

#endif
