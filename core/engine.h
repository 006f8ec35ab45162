/*
 * The engine: one open store directory, as shared by all its users in this
 * process: the manifest, the current version, and who may write, merge,
 * replace the manifest and sync.
 *
 * Exclusion, in the order of taking (lock.h): WRITER and COMPACTOR are held
 * across calls and threads, so within the process they are flags under
 * `mutex`, and MANIFEST and SYNC, which are short, are mutexes; each is backed
 * by its byte in LOCK, which excludes other processes. The indexer, a flag like
 * the first two and taken after them, excludes threads only. `install_mutex` is held
 * while a version that another process made is being opened. `mutex` itself is
 * innermost and never held across I/O.
 *
 * What is read where:
 *   manifest        changed holding MANIFEST; read holding MANIFEST or mutex
 *   version, pins, retired, merging   under mutex
 *   serial          atomic: raised after `version` has been replaced
 *   page words      atomics, through page.h alone; see below
 *
 * The words of the page, who writes them, and when. "Alone" is whoever holds
 * ATTACHED exclusively; OPEN keeps others from attaching then.
 *
 *   incarnation     alone: 0 before any other word is reset, random behind all
 *                   of them. Read by read-only processes, which nobody waits for:
 *                   0, or not the same before and after, and the words mean nothing.
 *   committed_lsn   WRITER: the last store of a commit; the last but the flags of
 *                   a failover, whose manifest is announced by then. Never lowered
 *                   while anyone is attached. Alone: 0, then the recovered end.
 *   durable_lsn     SYNC: raised after a sync to the committed end, never past
 *                   it: bytes that may be taken back do not count. WRITER: raised
 *                   behind committed_lsn if the commit was synced, and by failover.
 *                   COMMITs quote it (P2), so it must never promise too much; too
 *                   little costs a copy in failover. Alone: as committed_lsn.
 *   generation      MANIFEST: raised as the last step of P0 but the unlinking. Alone:
 *                   set below the disk's if they differ, which says "never announced";
 *                   0 until a new store's first manifest is durable.
 *   writer_busy     WRITER: set right after the byte was obtained, cleared right
 *                   before it is dropped. Found set by who sets it: its setter died.
 *   syncing         SYNC: likewise, around one sync; cleared behind refuse_writes if
 *                   the sync failed. Cleared by failover, too.
 *   refuse_writes   set under SYNC when a sync has failed or its maker died; under
 *                   MANIFEST when the sync behind a rename failed; under WRITER
 *                   when a commit must not be adopted. Cleared by failover, last of all, and alone.
 *                   Looked at by prepare behind its own sync: another's failure
 *                   may have been the one for these bytes.
 *
 * Why a reader never sees half of anything. A reader loads committed_lsn
 * first, then the generation. A commit into a new log stores its LSN after
 * the seal that made the log raised the generation (P0: when manifest and log
 * are durable), so whoever sees the LSN also sees that its own version is
 * too old, and installs a newer one first. (In the other order it could take a
 * generation from before the seal and an LSN from behind it, which lies in no
 * log that it has open.) A version that is newer than the LSN
 * begins at its start LSN, everything before which lies in sealed segments. Then
 * the reader's process indexes the log up to the LSN, from bytes that were
 * written before the LSN was stored; a COMMIT must be found exactly there.
 * What is installed stays readable: files are opened before a version is
 * installed, nobody changes what lies below an LSN that was stored, and an unlinked file that is mapped
 * stays. A file that is gone before it could be opened was unlinked behind a
 * newer generation: load MANIFEST again; the same generation twice is damage.
 * A read-only process asks, behind reading the words, whether somebody still
 * holds ATTACHED shared: only then the page is of this history. It copies them
 * to a page of its own, which is only raised, generation first.
 *
 * What each crash leaves, wherever it strikes:
 *
 *   a write         before writer_busy: nothing. Before committed_lsn: the flag, and
 *                   a tail with no, half a, or a whole transaction: the next writer
 *                   fails over, adopting a whole one (writer.h); readers go on at the LSN
 *                   they know. Behind committed_lsn: the same, and it is kept.
 *                   Behind the clearing of the flag: nothing.
 *   a sync          syncing: what reached the disk is not known, as after a failed
 *                   sync. Only what page and manifest say is committed counts then.
 *   a seal, a merge, a failover
 *                   before the rename: files that no manifest names, and all as it
 *                   was; a failover's log has no header before all else in it is durable.
 *                   Behind the rename: a generation that the page does
 *                   not know, and a directory that may not be synced. Whoever
 *                   takes MANIFEST next publishes it once more, through all of P0,
 *                   before building on it. So does whoever opens the store alone.
 *                   Behind the generation: files that nobody needs.
 *   between a failover's manifest and committed_lsn
 *                   everything in the new log is below its start LSN: readers take
 *                   the larger of the two. writer_busy is set still, so the next writer
 *                   fails over again, which changes nothing.
 *   an attaching    ATTACHED goes with the process: the next one is alone again, or
 *                   joins others, to whom nothing has happened. A page that was
 *                   being reset is reset again: what it must tell, the generation, survives that.
 *   a closing       as a failover, if others left doubt: resolving it comes first. END is
 *                   written behind a sync of all before it: with END the log
 *                   is whole, without it the next opening fails over. Then MANIFEST
 *                   vouches for the log up to END: without that, a log that is cut
 *                   afterwards would look torn.
 *
 * A power cut leaves what was synced, and the page means nothing: whoever comes
 * is alone. What becomes of a transaction that is larger than a log: group.h; of a
 * log that has no index yet: seal.h.
 *
 * tests/schedules plays small scenes in all orders of these steps.
 */
#ifndef KV_ENGINE_H
#define KV_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "interrupt.h"
#include "lock.h"
#include "log.h"
#include "manifest.h"
#include "place.h"
#include "version.h"

enum { KV_SHORT_WAIT_MS = 30000 }; /* for what is only ever held for moments: MANIFEST and SYNC */

struct kv_engine_counters {
    _Atomic uint64_t commits, seals, syncs, compactions;
    _Atomic uint64_t log_bytes, merge_bytes; /* written since opening */
};

/* What this process is merging: a step of a merge. */
struct kv_merging {
    uint64_t id; /* the merge's, or the one that it gets if it takes more steps; 0: nothing */
    uint64_t first, last;   /* segments that begin the newest and end the oldest run of it */
    size_t input_count;     /* of its runs; one more may be its output */
    uint64_t input_bytes;   /* of the inputs' files */
    uint64_t left_bytes;    /* of them, still to be read, about */
    uint64_t written_bytes; /* of output, by earlier steps, too */
};

struct kv_engine {
    struct kv_place place;
    char *path;
    struct kv_lock *lock;
    struct kv_page *page;
    _Atomic bool forked; /* this is the child of the process that opened it */

    pthread_mutex_t mutex;
    pthread_cond_t changed; /* one of these was given back, or a version installed */
    bool writer_taken, compactor_taken, indexer_taken;
    pthread_mutex_t manifest_mutex;
    pthread_mutex_t install_mutex;
    pthread_mutex_t sync_mutex;

    struct kv_manifest manifest;
    struct kv_version *version;
    _Atomic uint64_t serial;
    struct kv_pin *pins;
    struct kv_version *retired; /* replaced, and not freed yet */
    bool retires;               /* a thread frees them */
    struct kv_merging merging;

    uint64_t nonce_seed, nonce_count; /* WRITER's */
    _Atomic uint64_t synced_ms;       /* monotonic: when a sync last succeeded */
    _Atomic uint64_t next_number;     /* for the next file, as far as this process knows */
    struct kv_engine_counters counters;
};

/* Set up mutexes; everything else is zero. */
void kv_engine_init(struct kv_engine *engine);

/* Free everything; partial engines are fine. No pin is left. */
void kv_engine_release(struct kv_engine *engine);

/* ---- Exclusion */

/*
 * KV_BUSY after `timeout_ms`; KV_INVALID: LOCK was deleted or replaced underneath, and
 * excludes nobody any more. `*died`: the last holder did not give it back,
 * which is doubt; use kv_writer_take (writer.h), which resolves it.
 */
enum kv_status kv_engine_take_writer(struct kv_engine *engine, unsigned timeout_ms,
                                     bool *died) KV_WARN_UNUSED;

/* With `doubt` the next taker is told that the holder died. */
void kv_engine_drop_writer(struct kv_engine *engine, bool doubt);
enum kv_status kv_engine_take_compactor(struct kv_engine *engine,
                                        unsigned timeout_ms) KV_WARN_UNUSED;
void kv_engine_drop_compactor(struct kv_engine *engine);

/*
 * Become the thread of this process that builds the index of a sealed log
 * (seal.h), waiting for as long as another is. KV_INTERRUPTED. WRITER or COMPACTOR may be
 * held, and are not asked for until it is given back.
 */
enum kv_status kv_engine_take_indexer(struct kv_engine *engine,
                                      const struct kv_interrupt *interrupt) KV_WARN_UNUSED;
void kv_engine_drop_indexer(struct kv_engine *engine);

/*
 * Take MANIFEST: engine->manifest is then what is on disk, with its version
 * installed. A manifest that its maker did not get to announce is published again first.
 */
enum kv_status kv_engine_take_manifest(struct kv_engine *engine) KV_WARN_UNUSED;
void kv_engine_drop_manifest(struct kv_engine *engine);

/* Wait until there are fewer than `limit` runs; false after `timeout_ms`. */
bool kv_engine_wait_for_runs(struct kv_engine *engine, size_t limit, unsigned timeout_ms);

/* ---- Versions */

/* A reference to the current version. */
struct kv_version *kv_engine_version(struct kv_engine *engine);

/* List a zeroed pin, and take it off again (released first). */
void kv_engine_add_pin(struct kv_engine *engine, struct kv_pin *pin);
void kv_engine_remove_pin(struct kv_engine *engine, struct kv_pin *pin);

/*
 * Hold the newest committed state: its version in the pin, its LSN in `*lsn`.
 * No lock and no system call, unless another process has committed or changed the files
 * since; then KV_IOERR, KV_CORRUPT and so on are possible, and nothing is held.
 */
enum kv_status kv_engine_acquire(struct kv_engine *engine, struct kv_pin *pin,
                                 uint64_t *lsn) KV_WARN_UNUSED;
void kv_engine_release_pin(struct kv_pin *pin);

/*
 * Open and install what is on disk, unless the installed version is as new as
 * the page's generation. With engine->version NULL: the first one.
 */
enum kv_status kv_engine_refresh(struct kv_engine *engine) KV_WARN_UNUSED;

/*
 * Read-only: find out what is committed, from the shared page while a writer is
 * attached, else from the files. The words go to the private page.
 */
enum kv_status kv_engine_follow(struct kv_engine *engine) KV_WARN_UNUSED;

/*
 * Replace the manifest on disk by `*next` (P0) and install its version, with
 * `log` active; MANIFEST is held. The generation is filled in. On success
 * `*next` has been taken over, and files that are no longer named have been
 * unlinked. On failure all is as before, except that after a failure behind the
 * rename (`*renamed`), which a crash could still undo, files of both manifests
 * must stay, and the store refuses writes until that has been resolved.
 */
enum kv_status kv_engine_install(struct kv_engine *engine, struct kv_manifest *next,
                                 struct kv_log *log, bool *renamed) KV_WARN_UNUSED;

/*
 * Freeing a version takes long if it is the last one that holds large files which are
 * unlinked: it gives their disk space back. With `on`, versions that are replaced are kept until
 * kv_engine_free_retired finds that nobody holds them any more, so that whoever
 * lets go of one, a reader or writer perhaps, does not have to wait for that.
 */
void kv_engine_retire(struct kv_engine *engine, bool on);
void kv_engine_free_retired(struct kv_engine *engine);

/* ---- Syncing */

/*
 * Make everything written to the log durable, and note that its first
 * `end_bytes`, which are committed, are. A failure sets "refuse writes": what
 * reached the disk is unknown; once that is set, nothing is synced again. KV_BUSY: it was
 * another who failed, or died in a sync; whoever holds WRITER resolves that
 * (writer.h) and tries again.
 */
enum kv_status kv_engine_sync_log(struct kv_engine *engine, struct kv_log *log,
                                  uint32_t end_bytes) KV_WARN_UNUSED;

/*
 * Everything before `lsn` is durable and committed. Bytes that are durable but
 * may still be taken back do not count: others would be written over them.
 */
void kv_engine_note_durable(struct kv_engine *engine, uint64_t lsn);

/*
 * KV_INVALID in a forked child: locks are not inherited, threads neither, and a
 * mutex may have been held by one. Whatever takes a mutex or a lock asks first.
 */
enum kv_status kv_engine_check_alive(struct kv_engine *engine) KV_WARN_UNUSED;

/* KV_READONLY if the store was opened so; KV_INVALID as above. */
enum kv_status kv_engine_check_writable(struct kv_engine *engine) KV_WARN_UNUSED;

/*
 * A number for a new file. MANIFEST is held until the file has been created:
 * otherwise another process could be given the same number, use it, and have done with
 * it, before the file of this one takes the name again.
 */
uint64_t kv_engine_new_number(struct kv_engine *engine);

#endif
