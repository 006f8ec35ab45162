/* Copies and releases of segment descriptions. */
#include "segment_info.h"

enum kv_status kv_segment_info_copy(struct kv_segment_info *to, const struct kv_segment_info *from)
{
    *to = *from;
    to->min_key = (struct kv_buffer){0};
    to->max_key = (struct kv_buffer){0};
    if (kv_buffer_set(&to->min_key, kv_buffer_slice(&from->min_key)) != KV_OK ||
        kv_buffer_set(&to->max_key, kv_buffer_slice(&from->max_key)) != KV_OK) {
        kv_segment_info_release(to);
        return KV_NOMEM;
    }
    return KV_OK;
}

void kv_segment_info_release(struct kv_segment_info *info)
{
    kv_buffer_release(&info->min_key);
    kv_buffer_release(&info->max_key);
    *info = (struct kv_segment_info){0};
}
