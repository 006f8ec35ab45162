/* Windows of reading ahead: see ahead.h. */
#include "ahead.h"

enum { WINDOW_FIRST_BYTES = 64 * 1024, WINDOW_MAX_BYTES = 1024 * 1024 };

/* What no offset reaches, as `trigger`: there is nothing left to ask for. */
static uint64_t never(const struct kv_ahead *ahead)
{
    return ahead->down ? 0 : UINT64_MAX;
}

void kv_ahead_init(struct kv_ahead *ahead, struct kv_io *io, struct kv_slice data, bool down)
{
    *ahead = (struct kv_ahead){.io = io,
                               .data = data,
                               .down = down,
                               .trigger = down ? UINT64_MAX : 0,
                               .edge = down ? data.size : 0,
                               .window_bytes = WINDOW_FIRST_BYTES};
}

/*
 * Reading triggers a window when it enters the last one asked for, so that there is
 * always one on its way.
 */
void kv_ahead_next(struct kv_ahead *ahead, uint64_t offset_bytes)
{
    uint64_t begin, end;

    if (ahead->down) {
        end = offset_bytes < ahead->edge ? offset_bytes : ahead->edge;
        begin = end > ahead->window_bytes ? end - ahead->window_bytes : 0;
        ahead->trigger = begin > 0 ? end : never(ahead);
        ahead->edge = begin;
    } else {
        begin = offset_bytes > ahead->edge ? offset_bytes : ahead->edge;
        end = ahead->data.size - begin > ahead->window_bytes ? begin + ahead->window_bytes
                                                             : ahead->data.size;
        ahead->trigger = end < ahead->data.size ? begin : never(ahead);
        ahead->edge = end;
    }
    if (begin < end)
        kv_io_advise_soon(ahead->io, ahead->data.data + begin, end - begin);
    if (ahead->window_bytes < WINDOW_MAX_BYTES)
        ahead->window_bytes *= 2;
}

void kv_ahead_all(struct kv_ahead *ahead)
{
    if (ahead->data.size)
        kv_io_advise_soon(ahead->io, ahead->data.data, ahead->data.size);
    ahead->trigger = never(ahead);
}
