/*
 * Recovery: from whatever a crash left to a store that can be used.
 *
 * Runs with exclusive ATTACHED, so nobody else is about. It destroys nothing
 * before its result is durable, and running it twice changes nothing.
 * After an unclean end it fails over (failover.h).
 */
#ifndef KV_RECOVER_H
#define KV_RECOVER_H

#include "engine.h"

/*
 * Bring the engine up: its place, lock and manifest are set. Opens and scans
 * the active log, fails over if need be, opens all segments, removes what is
 * left of unfinished work, and sets the page's words.
 */
enum kv_status kv_recover(struct kv_engine *engine) KV_WARN_UNUSED;

/* Open as it is, or as a live writer's page says it is, without changing anything. OPEN is held shared. */
enum kv_status kv_recover_readonly(struct kv_engine *engine) KV_WARN_UNUSED;

/*
 * Make everything that is committed durable, whoever committed it, and mark a clean end: fail
 * over if there is doubt, sync, seal a log that is worth it, write END, and have MANIFEST vouch
 * for the log up to there, unless all of that has been done. Nobody else has the store
 * open. After a failure there is no clean end: the next opening recovers.
 */
enum kv_status kv_recover_close(struct kv_engine *engine) KV_WARN_UNUSED;

#endif
