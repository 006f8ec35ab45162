/* Defaults and limits of settings. */
#include <stddef.h>

#include "kv.h"

enum { KIB = 1024, MIB = 1024 * 1024 };
static const uint64_t GIB = (uint64_t)1024 * MIB;

struct kv_settings kv_settings_default(void)
{
    return (struct kv_settings){.synchronous = KV_SYNC_FULL,
                                .segment_bytes = 64 * MIB,
                                .max_segment_bytes = 256 * MIB,
                                .fanout = 4,
                                .tiers = 8,
                                .garbage_ratio = 0.35,
                                .auto_compact = true};
}

struct kv_open_options kv_open_options_default(void)
{
    return (struct kv_open_options){.mode = KV_OPEN_OR_CREATE, .settings = kv_settings_default()};
}

enum kv_status kv_settings_check(const struct kv_settings *settings)
{
    if ((unsigned)settings->synchronous > KV_SYNC_FULL)
        return kv_fail(KV_INVALID, "synchronous is %d; it may be off, normal or full",
                       (int)settings->synchronous);
    if (settings->segment_bytes < 64 * KIB || settings->segment_bytes > GIB)
        return kv_fail(KV_INVALID, "segment_bytes is %llu; it may be 64KB to 1GB",
                       (unsigned long long)settings->segment_bytes);
    if (settings->max_segment_bytes < 64 * KIB || settings->max_segment_bytes > 4 * GIB)
        return kv_fail(KV_INVALID, "max_segment_bytes is %llu; it may be 64KB to 4GB",
                       (unsigned long long)settings->max_segment_bytes);
    if (settings->fanout < 2 || settings->fanout > 32)
        return kv_fail(KV_INVALID, "fanout is %u; it may be 2 to 32", settings->fanout);
    if (settings->tiers < 1 || settings->tiers > 8)
        return kv_fail(KV_INVALID, "tiers is %u; it may be 1 to 8", settings->tiers);
    if (!(settings->garbage_ratio >= 0.05 && settings->garbage_ratio <= 0.95))
        return kv_fail(KV_INVALID, "garbage_ratio is %g; it may be 0.05 to 0.95",
                       settings->garbage_ratio);
    return KV_OK;
}
