/* Copying files from one store's directory to another's, for backups. */
#ifndef KV_COPY_H
#define KV_COPY_H

#include "kv.h"
#include "place.h"

/* Has the user asked to stop? */
enum kv_status kv_copy_goes_on(const struct kv_settings *settings) KV_WARN_UNUSED;

/*
 * Make a file of `to` with these bytes, `head` and then `rest`, durable but for its name.
 * Its name must be free. KV_INTERRUPTED, within a tenth of a second. Failure leaves no file.
 */
enum kv_status kv_copy_bytes(const struct kv_place *to, const char *name, struct kv_slice head,
                             struct kv_slice rest,
                             const struct kv_settings *settings) KV_WARN_UNUSED;

#endif
