/* Removing files that nothing names any more. */
#include "place.h"

#include "names.h"

bool kv_place_remove_segment(const struct kv_place *place, uint64_t number)
{
    struct kv_held_message held;
    char name[KV_NAME_BYTES];
    enum kv_status st;
    bool gone;

    kv_message_hold(&held);
    kv_name_segment(name, number);
    st = kv_io_unlink(place->dir, name);
    gone = st == KV_OK || st == KV_NOTFOUND;
    kv_name_index(name, number);
    st = kv_io_unlink(place->dir, name);
    (void)st;
    kv_message_restore(&held);
    return gone;
}
