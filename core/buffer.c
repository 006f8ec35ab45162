/* Growth by doubling, so that appending n bytes costs O(n). */
#include "buffer.h"

#include <stdlib.h>

uint8_t *kv_buffer_reserve(struct kv_buffer *buffer, size_t extra)
{
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    uint8_t *data;

    if (extra <= buffer->capacity - buffer->size && buffer->data)
        return buffer->data + buffer->size;
    if (extra > SIZE_MAX / 2 - buffer->size)
        return NULL;
    while (capacity < buffer->size + extra)
        capacity *= 2;
    data = realloc(buffer->data, capacity);
    if (!data)
        return NULL;
    buffer->data = data;
    buffer->capacity = capacity;
    return data + buffer->size;
}

enum kv_status kv_buffer_append(struct kv_buffer *buffer, struct kv_slice bytes)
{
    uint8_t *at = kv_buffer_reserve(buffer, bytes.size);

    if (!at)
        return kv_fail_nomem();
    if (bytes.size)
        memcpy(at, bytes.data, bytes.size);
    buffer->size += bytes.size;
    return KV_OK;
}

enum kv_status kv_buffer_set(struct kv_buffer *buffer, struct kv_slice bytes)
{
    size_t size = buffer->size;

    buffer->size = 0;
    if (kv_buffer_append(buffer, bytes) == KV_OK)
        return KV_OK;
    buffer->size = size;
    return KV_NOMEM;
}

void kv_buffer_release(struct kv_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct kv_buffer){0};
}
