/*
 * The engine: one open store directory, as shared by all its users in this
 * process: the manifest, the current version, and who may write, merge,
 * replace the manifest and sync.
 *
 * Exclusion, in the order of taking (lock.h): WRITER and COMPACTOR are held
 * across calls and threads, so within the process they are flags under
 * `mutex`, and MANIFEST and SYNC, which are short, are mutexes; each is backed
 * by its byte in LOCK. `mutex` itself is innermost and never held across I/O.
 *
 * What is read where:
 *   manifest        changed holding MANIFEST; read holding MANIFEST or mutex
 *   version, pins, merging_…  under mutex
 *   serial          atomic: raised after `version` has been replaced
 *   page words      atomics; committed_lsn is stored last of all in a commit
 * A reader loads committed_lsn first, then serial. A commit into a new log
 * stores its LSN after the seal that made the log raised the serial, so
 * whoever sees the LSN also sees the version it belongs to.
 */
#ifndef KV_ENGINE_H
#define KV_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "lock.h"
#include "log.h"
#include "manifest.h"
#include "place.h"
#include "version.h"

struct kv_engine_counters {
    _Atomic uint64_t commits, seals, syncs, compactions;
    _Atomic uint64_t log_bytes, merge_bytes; /* written since opening */
};

struct kv_engine {
    struct kv_place place;
    char *path;
    struct kv_lock *lock;
    struct kv_page *page;

    pthread_mutex_t mutex;
    pthread_cond_t changed; /* WRITER or COMPACTOR was given back */
    bool writer_taken, compactor_taken;
    pthread_mutex_t manifest_mutex;
    pthread_mutex_t sync_mutex;

    struct kv_manifest manifest;
    struct kv_version *version;
    _Atomic uint64_t serial;
    struct kv_pin *pins;
    uint64_t merging_first,
        merging_last; /* segments that begin the newest and end the oldest run being merged; 0: none */

    uint64_t nonce_seed, nonce_count; /* WRITER's */
    _Atomic uint64_t synced_ms;       /* monotonic: when a sync last succeeded */
    _Atomic uint64_t next_number;     /* for the next file: raised at each use, never given back */
    struct kv_engine_counters counters;
};

/* Set up mutexes; everything else is zero. */
void kv_engine_init(struct kv_engine *engine);

/* Free everything; partial engines are fine. No pin is left. */
void kv_engine_release(struct kv_engine *engine);

/* ---- Exclusion */

/* KV_BUSY after `timeout_ms`. */
enum kv_status kv_engine_take_writer(struct kv_engine *engine, unsigned timeout_ms) KV_WARN_UNUSED;
void kv_engine_drop_writer(struct kv_engine *engine);
enum kv_status kv_engine_take_compactor(struct kv_engine *engine,
                                        unsigned timeout_ms) KV_WARN_UNUSED;
void kv_engine_drop_compactor(struct kv_engine *engine);
enum kv_status kv_engine_take_manifest(struct kv_engine *engine) KV_WARN_UNUSED;
void kv_engine_drop_manifest(struct kv_engine *engine);

/* ---- Versions */

/* A reference to the current version. */
struct kv_version *kv_engine_version(struct kv_engine *engine);

/* List a zeroed pin, and take it off again (released first). */
void kv_engine_add_pin(struct kv_engine *engine, struct kv_pin *pin);
void kv_engine_remove_pin(struct kv_engine *engine, struct kv_pin *pin);

/* Hold the newest version; returns the LSN of the snapshot. Cannot fail. */
uint64_t kv_engine_acquire(struct kv_engine *engine, struct kv_pin *pin);
void kv_engine_release_pin(struct kv_pin *pin);

/*
 * Replace the manifest on disk by `*next` (P0) and install its version, with
 * `log` active; MANIFEST is held. The generation is filled in. On success
 * `*next` has been taken over, and files that are no longer named have been
 * unlinked. On failure all is as before, except that after a failure behind the
 * rename, which a crash could still undo, the store refuses writes.
 */
enum kv_status kv_engine_install(struct kv_engine *engine, struct kv_manifest *next,
                                 struct kv_log *log) KV_WARN_UNUSED;

/* ---- Syncing */

/*
 * Make everything written to the log durable, and note that its first
 * `end_bytes`, which are committed, are. A failure sets "refuse writes": what
 * reached the disk is unknown; once that is set, nothing is synced again.
 */
enum kv_status kv_engine_sync_log(struct kv_engine *engine, struct kv_log *log,
                                  uint32_t end_bytes) KV_WARN_UNUSED;

/*
 * Everything before `lsn` is durable and committed. Bytes that are durable but
 * may still be taken back do not count: others would be written over them.
 */
void kv_engine_note_durable(struct kv_engine *engine, uint64_t lsn);

/* KV_OK, or KV_IOERR with the reason why nothing may be written. */
enum kv_status kv_engine_check_writable(struct kv_engine *engine) KV_WARN_UNUSED;

uint64_t kv_engine_new_number(struct kv_engine *engine);

#endif
