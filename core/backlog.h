/*
 * Runs that have piled up because merges do not keep up with writers: every
 * read would become slower. A writer that is about to begin, and holds nothing yet,
 * waits for the merges, then helps; but it does not wait for merges that fail.
 */
#ifndef KV_BACKLOG_H
#define KV_BACKLOG_H

#include "store.h"

/*
 * Let merges catch up, or merge, if there are too many runs. KV_INTERRUPTED if
 * that was stopped; merges that cannot be made are left to the next one.
 */
enum kv_status kv_backlog_reduce(struct kv_store *store,
                                 const struct kv_settings *settings) KV_WARN_UNUSED;

#endif
