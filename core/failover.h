/*
 * P6. Doubt about a log's tail - a failed sync, a writer that died, an unclean
 * end - is resolved in one way. What can be read of the tail may or may not be
 * on disk, and would be kept or cut by chance at the next crash. So a new log,
 * whose LSNs begin past every byte of the old one, receives copies of the valid
 * transactions that are not known to be durable (all of them, if the durable
 * part is small); it is synced, its header is written last, and a manifest
 * seals the old log where it was durable. The old log is never written to, and
 * never synced, again.
 */
#ifndef KV_FAILOVER_H
#define KV_FAILOVER_H

#include "engine.h"
#include "log_scan.h"

enum { KV_FAILOVER_SEAL_MIN_BYTES = 1024 * 1024 }; /* a smaller durable part is copied too */

/*
 * Fail over from `from`, the active log, a fresh object that has been scanned
 * with the result `scan`. Alone with the store, or holding WRITER with no
 * transaction open. On success the new log is active, the page says that everything in it
 * is committed and durable, and writes are allowed. On failure nothing has changed.
 */
enum kv_status kv_failover(struct kv_engine *engine, struct kv_log *from,
                           const struct kv_log_scan *scan) KV_WARN_UNUSED;

#endif
