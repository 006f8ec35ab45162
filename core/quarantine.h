/*
 * <path>/quarantine: where repair keeps files that it could not read whole.
 *
 * A file gets its name there first, durably, and loses the one in the
 * store later, when nothing needs it any more: it has a name at any moment. File
 * systems without hard links get a copy.
 */
#ifndef KV_QUARANTINE_H
#define KV_QUARANTINE_H

#include "place.h"

struct kv_quarantine;

/* Make the directory if need be, and open it. KV_INVALID: the name leads elsewhere. */
enum kv_status kv_quarantine_open(const struct kv_place *place,
                                  struct kv_quarantine **out) KV_WARN_UNUSED;
void kv_quarantine_close(struct kv_quarantine *quarantine); /* NULL is fine */

/* "<path>/quarantine"; valid while open. */
const char *kv_quarantine_path(const struct kv_quarantine *quarantine);

/*
 * Keep a file of the store under the same name; another one that has it there
 * gets a number behind its name. KV_OK also if the store has no such file.
 */
enum kv_status kv_quarantine_keep(struct kv_quarantine *quarantine,
                                  const char *name) KV_WARN_UNUSED;

/* Make what is kept durable. */
enum kv_status kv_quarantine_sync(struct kv_quarantine *quarantine) KV_WARN_UNUSED;

#endif
