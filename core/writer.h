/*
 * Becoming the writer: WRITER, with everything that others have done seen, and
 * whatever doubt they left resolved.
 */
#ifndef KV_WRITER_H
#define KV_WRITER_H

#include "engine.h"
#include "kv.h"

/*
 * Take WRITER, waiting up to `timeout_ms` (KV_BUSY). The newest version is
 * installed then, its log indexed to the committed end, and nothing is in
 * doubt: if a writer or a sync died, or a sync failed, this fails over first.
 * Give it back with kv_engine_drop_writer.
 */
enum kv_status kv_writer_take(struct kv_engine *engine, unsigned timeout_ms) KV_WARN_UNUSED;

/* The same, waiting up to settings->busy_timeout_ms, unless settings->interrupted says so meanwhile (KV_INTERRUPTED). */
enum kv_status kv_writer_wait(struct kv_engine *engine,
                              const struct kv_settings *settings) KV_WARN_UNUSED;

/*
 * Fail over because of doubt about the log's tail; WRITER is held, nothing is
 * being written. With `adopt`, a complete transaction behind the committed end counts: its writer
 * died before it could say so. Otherwise the committed end is the end.
 * Until this succeeds the store refuses writes.
 */
enum kv_status kv_writer_resolve(struct kv_engine *engine, bool adopt) KV_WARN_UNUSED;

/*
 * Seal what has been committed, becoming the writer for that moment, as
 * kv_writer_wait, and make it a run. What is committed from then on is in another log.
 */
enum kv_status kv_writer_seal_committed(struct kv_engine *engine,
                                        const struct kv_settings *settings) KV_WARN_UNUSED;

/*
 * The store is about to be written to. If it is a backup, give it a lineage of its own, durably:
 * it is a backup no more. WRITER is held.
 */
enum kv_status kv_writer_leave_backup(struct kv_engine *engine) KV_WARN_UNUSED;

/* Seal the log (seal.h), once the doubt that others may have left is resolved. WRITER is held. */
enum kv_status kv_writer_seal(struct kv_engine *engine, bool keep_tail,
                              const struct kv_interrupt *interrupt) KV_WARN_UNUSED;

#endif
