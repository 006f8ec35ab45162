/* Making copies of files in another directory, for backups. */
#ifndef KV_COPY_H
#define KV_COPY_H

#include "kv.h"
#include "place.h"

/* KV_INTERRUPTED if the user has asked to stop. */
enum kv_status kv_copy_goes_on(const struct kv_settings *settings) KV_WARN_UNUSED;

/*
 * Make a file of `to` with these bytes, `head` and then `rest`, durable but for its name,
 * which must be free. KV_INTERRUPTED, within a tenth of a second. Failure leaves no file.
 */
enum kv_status kv_copy_bytes(const struct kv_place *to, const char *name, struct kv_slice head,
                             struct kv_slice rest,
                             const struct kv_settings *settings) KV_WARN_UNUSED;

/* The same with all bytes of a file of `from`, as many as `*copied_bytes` says. KV_NOTFOUND: there is none. */
enum kv_status kv_copy_file(const struct kv_place *to, const struct kv_place *from,
                            const char *name, const struct kv_settings *settings,
                            uint64_t *copied_bytes) KV_WARN_UNUSED;

#endif
