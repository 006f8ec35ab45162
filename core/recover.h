/*
 * Recovery: from whatever a crash left to a store that can be used.
 *
 * Runs with exclusive ATTACHED, so nobody else is about. It destroys nothing
 * before its result is durable, and running it twice changes nothing.
 *
 * P6. After an unclean end the log's tail is in doubt: what was read may or may
 * not be on disk, and would be cut or kept by chance at the next crash.
 * Failover resolves it: a new log, whose LSNs begin past every byte of the old
 * one, receives copies of the valid transactions that were not known to be
 * durable (all of them, if the durable part is small); it is synced, its header
 * is written last, and a manifest seals the old log where it was durable. The
 * old log is never written to again.
 */
#ifndef KV_RECOVER_H
#define KV_RECOVER_H

#include "engine.h"

/*
 * Bring the engine up: its place, lock and manifest are set. Opens and scans
 * the active log, fails over if need be, opens all segments, removes what is
 * left of unfinished work, and sets the page's words. Read-only places are
 * opened as they are.
 */
enum kv_status kv_recover(struct kv_engine *engine) KV_WARN_UNUSED;

/*
 * Mark a clean end: sync, seal a log that is worth it, write END. Nobody else
 * has the store open. In doubt it does nothing: the next opening recovers.
 */
enum kv_status kv_recover_close(struct kv_engine *engine) KV_WARN_UNUSED;

/* Write END behind the tail of a log that is durable up to there, and make it durable. */
enum kv_status kv_recover_write_end(struct kv_engine *engine, struct kv_log *log) KV_WARN_UNUSED;

#endif
