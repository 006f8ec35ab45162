/*
 * kv.h - sqlite-kv's engine for C programs: an ordered map from key bytes to
 * row bytes in a directory of append-only segments.
 *
 * A store is shared by all threads of a process: opening its directory twice
 * gives the same object. One transaction writes at a time; any number of
 * snapshots read, and never wait for it. Keys have 1 … 65,535 bytes and
 * compare by memcmp; rows have 0 … 1,000,000,000 bytes.
 *
 * Failures: every function that returns enum kv_status leaves a message in
 * kv_message(). Any of them may return KV_NOMEM, KV_IOERR and KV_CORRUPT (the message names the file;
 * restore a backup, or salvage what is left with kv_repair());
 * others are named where they occur. A failed call changes nothing, unless
 * its comment says otherwise.
 *
 * A handle (transaction, snapshot, iterator) is used by one thread at a time.
 */
#ifndef KV_H
#define KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iter.h"
#include "slice.h"
#include "status.h"

struct kv_io;
struct kv_store;
struct kv_txn;
struct kv_snapshot;
struct kv_scan;

#define KV_VERSION "0.1.0"

/* ---- Settings */

enum kv_synchronous {
    KV_SYNC_OFF,    /* on disk when a log is sealed, and about every 64 MB */
    KV_SYNC_NORMAL, /* at most a second after the commit */
    KV_SYNC_FULL,   /* when the commit returns */
};

/* How a user of a store wants it treated. They belong to the user, not to the store. */
struct kv_settings {
    enum kv_synchronous synchronous;
    uint64_t segment_bytes;     /* the active log is sealed there; 64 KiB … 1 GiB */
    uint64_t max_segment_bytes; /* largest output of a merge; 64 KiB … 4 GiB */
    unsigned fanout;            /* runs in a tier that trigger a merge; 2 … 32 */
    unsigned tiers;             /* 1 … 8 */
    double garbage_ratio;       /* dead share that triggers a rewrite; 0.05 … 0.95 */
    bool auto_compact;
    unsigned busy_timeout_ms;           /* how long to wait for another writer; 0: not at all */
    bool (*interrupted)(void *context); /* asked now and then by long work; NULL: never stop */
    void *interrupted_context;
};

/* full, 64 MB, 256 MB, 4, 8, 0.35, auto_compact on, no waiting. */
struct kv_settings kv_settings_default(void);

/* KV_INVALID: a value is outside its limits; the message names it and them. */
enum kv_status kv_settings_check(const struct kv_settings *settings) KV_WARN_UNUSED;

/* ---- Opening */

enum kv_open_mode {
    KV_OPEN_EXISTING, /* KV_NOTFOUND if there is no store */
    KV_OPEN_OR_CREATE,
    KV_OPEN_NEW, /* KV_EXISTS unless the store there has never had a transaction and nobody has it open */
};

struct kv_open_options {
    enum kv_open_mode mode;
    bool readonly;  /* never create, change or remove anything there */
    bool temporary; /* remove the directory at the last close */
    /*
     * Permission bits of new files; 0: 0600. The directory gets x where these
     * have r. Added are those of the file `mode_like`, if it is given and there (it is not
     * opened), and those that the store's LOCK has: who may use the store goes on being able to.
     */
    unsigned file_mode;
    const char *mode_like;
    const uint8_t *uuid;         /* 16 bytes: KV_MISMATCH for any other store; NULL: any */
    struct kv_slice schema;      /* opaque; for a new store, or one whose repair has lost its own */
    struct kv_settings settings; /* used where a call is given none; the first opener's count. Only
                                    opening itself asks settings.interrupted (KV_INTERRUPTED) */
    bool foreground;             /* no thread: commits sync, and who seals merges, themselves */
    struct kv_io *io;            /* NULL: the real system */
};

struct kv_open_options kv_open_options_default(void);

/*
 * Open the store in directory `path`; missing parent directories are created
 * with it. Recovers after a crash: every committed transaction is there, none in part.
 *
 * KV_BUSY: another process has it open. KV_CORRUPT, KV_NEWER: nothing was
 * changed. KV_INVALID: `path` is no directory, or holds files that are no store's.
 */
enum kv_status kv_store_open(const char *path, const struct kv_open_options *options,
                             struct kv_store **out) KV_WARN_UNUSED;

/*
 * Give the store back; NULL is fine. The last user's close makes everything
 * durable and marks a clean end. Its transactions, snapshots and scans are
 * gone by then. Returns what went wrong; the store is closed all the same.
 */
enum kv_status kv_store_close(struct kv_store *store);

const char *kv_store_path(const struct kv_store *store);
const uint8_t *kv_store_uuid(const struct kv_store *store);    /* 16 bytes */
struct kv_slice kv_store_schema(const struct kv_store *store); /* valid while open */
bool kv_store_readonly(const struct kv_store *store);

/* ---- Simple verbs: each its own transaction or snapshot */

/* Insert or replace. KV_BUSY, KV_TOOBIG, KV_FULL, KV_READONLY, KV_INVALID (empty key). */
enum kv_status kv_put(struct kv_store *store, struct kv_slice key,
                      struct kv_slice row) KV_WARN_UNUSED;

/* Deleting a key that is not there is no error. */
enum kv_status kv_delete(struct kv_store *store, struct kv_slice key) KV_WARN_UNUSED;

/* Copy a row to `*row`, to be freed with free(). KV_DONE: no such key (`*row` NULL). */
enum kv_status kv_get(struct kv_store *store, struct kv_slice key, void **row,
                      size_t *row_size) KV_WARN_UNUSED;

/* ---- Write transactions */

/*
 * Start one: waits for another writer up to settings->busy_timeout_ms (KV_BUSY),
 * unless settings->interrupted says so meanwhile (KV_INTERRUPTED). While merges
 * in the background are behind, it returns up to 100 ms later, whatever busy_timeout_ms is.
 * `settings` NULL: the store's; else it must stay valid until the end of the
 * transaction. KV_READONLY; KV_IOERR also when an earlier failure has left
 * the store refusing writes.
 */
enum kv_status kv_txn_begin(struct kv_store *store, const struct kv_settings *settings,
                            struct kv_txn **out) KV_WARN_UNUSED;

/*
 * Have merges fallen so far behind that the next transaction to begin will wait
 * for them, up to settings->busy_timeout_ms, or merge by itself?
 */
bool kv_store_is_behind(struct kv_store *store, const struct kv_settings *settings);

/*
 * Key and row are copied. A transaction may be larger than memory: what no log can hold
 * goes to segments of its own, which count as one with its commit. KV_TOOBIG: a limit of
 * the key or the row (the message says which); KV_FULL: disk full. The transaction
 * stays usable: the failed write is not part of it.
 */
enum kv_status kv_txn_put(struct kv_txn *txn, struct kv_slice key,
                          struct kv_slice row) KV_WARN_UNUSED;
enum kv_status kv_txn_delete(struct kv_txn *txn, struct kv_slice key) KV_WARN_UNUSED;

/*
 * Look up what the next transaction would see: own writes, then the newest
 * committed state. `*out` (NULL allowed: mere existence) is valid until the next call on `txn`.
 * KV_DONE: no such key.
 */
enum kv_status kv_txn_get(struct kv_txn *txn, struct kv_slice key,
                          struct kv_entry *out) KV_WARN_UNUSED;

/* A position to come back to. Plain data: copy it, forget it. */
struct kv_savepoint {
    uint64_t record_count;
};

/* O(1). */
struct kv_savepoint kv_txn_savepoint(const struct kv_txn *txn);

/*
 * Undo what was written since; later savepoints become invalid. A commit that was
 * prepared is taken back first. It fails for one reason alone: of a transaction that is larger
 * than a log, up to a segment's worth of records must be written anew, and the disk may refuse.
 * Then every later call but abort says so.
 */
void kv_txn_rollback_to(struct kv_txn *txn, struct kv_savepoint savepoint);

uint64_t kv_txn_record_count(const struct kv_txn *txn);

/*
 * First half of a commit: write, and make durable as `synchronous` says.
 * Everything that can fail happens here. After a failure nothing of the
 * transaction is committed, unless the message says that the outcome is unknown until the next opening; only
 * abort remains. After success: publish or abort (which writes and syncs); or
 * a further put or delete, which first takes the commit back.
 */
enum kv_status kv_txn_prepare(struct kv_txn *txn) KV_WARN_UNUSED;

/*
 * Second half: show it to everyone; frees `txn`. Cannot fail. May seal the log
 * and merge; a failure of that concerns nobody's data and is tried again later.
 */
void kv_txn_publish(struct kv_txn *txn);

/* Forget the transaction; frees `txn`. NULL is fine. */
void kv_txn_abort(struct kv_txn *txn);

/* prepare, then publish, or abort if that fails. Frees `txn` in any case. */
enum kv_status kv_txn_commit(struct kv_txn *txn) KV_WARN_UNUSED;

/* ---- Snapshots */

/*
 * A reusable place for snapshots. Holds nothing until acquired. Make one for
 * each thread that reads often: acquiring again costs no lock and no system
 * call unless the store's files have changed since.
 */
enum kv_status kv_snapshot_new(struct kv_store *store, struct kv_snapshot **out) KV_WARN_UNUSED;
void kv_snapshot_free(struct kv_snapshot *snapshot); /* released first if need be; NULL is fine */

/*
 * Hold the newest committed state until released. It never changes meanwhile.
 * Not while it is acquired already.
 */
enum kv_status kv_snapshot_acquire(struct kv_snapshot *snapshot) KV_WARN_UNUSED;
void kv_snapshot_release(struct kv_snapshot *snapshot);

/* The seq of the last transaction that an acquired snapshot shows; 0: none. */
uint64_t kv_snapshot_seq(const struct kv_snapshot *snapshot);

/* The seq of the last committed transaction now. */
uint64_t kv_store_seq(struct kv_store *store);

/*
 * Look a key up in an acquired snapshot and, if `txn` is given, in its writes
 * so far first. KV_DONE: no such key. `*out` is valid until the snapshot is released; with
 * out->own set, only until the next call on `txn`.
 */
enum kv_status kv_snapshot_get(struct kv_snapshot *snapshot, struct kv_txn *txn,
                               struct kv_slice key, struct kv_entry *out) KV_WARN_UNUSED;

/* ---- Scans */

struct kv_range {
    bool has_lower, has_upper;
    bool lower_open, upper_open; /* the bound itself is excluded */
    struct kv_slice lower, upper;
    bool descending;
    bool (*interrupted)(
        void *context);        /* asked now and then while no row is found; NULL: never stop */
    void *interrupted_context; /* valid until the scan is closed */
};

/*
 * Scan a range of an acquired snapshot and, if `txn` is given, of its writes
 * made before this call. The snapshot stays acquired until the scan is closed;
 * the transaction may end earlier. The range's keys are copied.
 */
enum kv_status kv_scan_open(struct kv_snapshot *snapshot, struct kv_txn *txn,
                            const struct kv_range *range, struct kv_scan **out) KV_WARN_UNUSED;

/*
 * The next row. `*out` is valid until the next call on the scan, whatever
 * becomes of the transaction. KV_DONE: no more. KV_INTERRUPTED as the range says. KV_ABORTED: the transaction
 * whose writes it shows has been rolled back below the scan's opening.
 */
enum kv_status kv_scan_next(struct kv_scan *scan, struct kv_entry *out) KV_WARN_UNUSED;
void kv_scan_close(struct kv_scan *scan); /* NULL is fine */

/* ---- Maintenance */

/*
 * Seal the active log and merge everything into one run without dead records.
 * `settings` NULL: the store's. `*freed_bytes` (may be NULL): how much smaller
 * the directory is, never below 0. Readers and, but for a moment, writers go on.
 * KV_BUSY: a writer or another merge; KV_INTERRUPTED: stopped, the store consistent.
 */
enum kv_status kv_compact(struct kv_store *store, const struct kv_settings *settings,
                          uint64_t *freed_bytes) KV_WARN_UNUSED;

/* How much to do of a compaction; 0: as much as there is. */
struct kv_compact_budget {
    uint64_t bytes; /* to write, about */
    uint64_t ms;    /* to take, about */
};

/*
 * The same, a part at a time: each call does about as much as the budget says, going on where the one
 * before has stopped, in this process or another. `*left_bytes`: how much is still to be
 * rewritten; 0: done, but for what was committed since it was begun.
 */
enum kv_status kv_compact_some(struct kv_store *store, const struct kv_settings *settings,
                               const struct kv_compact_budget *budget,
                               uint64_t *left_bytes) KV_WARN_UNUSED;

/* Make every committed transaction durable. `*seq` (may be NULL): the last durable one. */
enum kv_status kv_sync(struct kv_store *store, uint64_t *seq) KV_WARN_UNUSED;

/*
 * Make a consistent copy of the store in `directory`, while others write: all that is
 * committed when it begins, perhaps more. The copy is an ordinary store. `directory` is
 * absent (it is created), empty, or holds an earlier backup of this store that nobody has
 * open (KV_BUSY) and nobody has written to; then it receives only what is new. Everything else
 * is refused (KV_MISMATCH: another store, or one that was written to; KV_INVALID) and not touched.
 *
 * The active log is sealed first (KV_BUSY as in kv_compact); one of a read-only store is
 * copied. Sealed segments are linked where possible, else copied: `*copied_bytes` (may be
 * NULL) counts those. What is new to the backup is read and verified, checksums and digests,
 * before the backup names it (KV_CORRUPT); a linked file still shares later damage with the
 * store's. Indexes are derived, and not verified. The copy is durable on return. On failure, or when the
 * process dies, an earlier backup is still what it was. KV_INTERRUPTED: `settings` (NULL: the store's) said so.
 */
enum kv_status kv_backup(struct kv_store *store, const char *directory,
                         const struct kv_settings *settings, uint64_t *copied_bytes) KV_WARN_UNUSED;

/*
 * Delete a store's own files, and its directory if that is then empty. Touches
 * no other file. KV_BUSY: somebody has it open; KV_NOTFOUND: no store there. `io` NULL: the real system.
 */
enum kv_status kv_destroy(const char *path, struct kv_io *io) KV_WARN_UNUSED;

/* Something wrong with a store, as kv_check found it. */
struct kv_problem {
    uint64_t segment; /* its number; 0: MANIFEST, or the directory */
    uint64_t offset;  /* in the segment's data file; 0: none in particular */
    const char *text; /* valid during the call only */
};

/*
 * Read everything a store consists of and compare: checksums, order, indexes
 * with data, manifest with directory. Calls `each` for every problem and goes
 * on; no calls: sound. Changes nothing. A failure of `each` ends it; other
 * failures mean that checking was not possible. KV_INTERRUPTED as settings say.
 */
enum kv_status kv_store_check(struct kv_store *store, const struct kv_settings *settings,
                              enum kv_status (*each)(void *context,
                                                     const struct kv_problem *problem),
                              void *context) KV_WARN_UNUSED;

/*
 * The same for a directory, whose store may be too broken to be opened.
 * KV_NOTFOUND: no store there; KV_BUSY: another process has it open. `io` NULL: the real system.
 */
enum kv_status kv_check(const char *path, struct kv_io *io, const struct kv_settings *settings,
                        enum kv_status (*each)(void *context, const struct kv_problem *problem),
                        void *context) KV_WARN_UNUSED;

/* One thing that kv_repair did or found. */
struct kv_repair_step {
    uint64_t segment;   /* its number; 0: MANIFEST, or the store as a whole */
    uint64_t offset;    /* in the segment's data file; 0: none in particular */
    const char *action; /* valid during the call only */
};

/*
 * Salvage a damaged store that nobody has open: rebuild manifest and indexes,
 * skip damage up to the next valid record, and move files that cannot be read
 * whole to <path>/quarantine. Nothing valid is lost, nothing is
 * deleted, and nothing that was deleted or overwritten comes back: rows that cannot be proved to
 * have been the newest of their key are withheld, in a store of their own,
 * <path>/quarantine/withheld. What a sound manifest does not name is left
 * alone. Calls `each` for every step; no calls: the store is sound, and as it was.
 * Interrupted, by settings, a failure or a crash, it can be run again.
 * KV_BUSY: somebody has the store open; KV_NOTFOUND: no store there; KV_NEWER;
 * KV_CORRUPT: nothing of it can be read. `io` NULL: the real system; `settings` NULL: no interruption.
 */
enum kv_status kv_repair(const char *path, struct kv_io *io, const struct kv_settings *settings,
                         enum kv_status (*each)(void *context, const struct kv_repair_step *step),
                         void *context) KV_WARN_UNUSED;

/* How the engine was built, in words: file format, hash function and what of the CPU it uses. */
const char *kv_build(void);

struct kv_stats {
    uint64_t keys; /* an estimate unless `exact` */
    bool exact;
    uint64_t records, tombstones;
    uint64_t segments, runs; /* the active log included in `segments` */
    uint64_t last_seq, durable_seq;
    uint64_t live_bytes, dead_bytes; /* of records; estimates */
    uint64_t data_bytes;             /* data files; preallocated space of the log is not counted */
    uint64_t index_bytes;
    uint64_t disk_bytes;        /* all files */
    uint64_t memory_bytes;      /* anonymous memory of memtables and the like */
    double write_amplification; /* bytes written to data files / bytes of records committed */
    double space_amplification; /* data_bytes / live_bytes; 0 if there is none */
    uint64_t compactions;
    uint64_t merge_id; /* of the merge under way, or left open; 0: none */
    uint64_t merge_written_bytes, merge_left_bytes; /* its output so far; still to be read, about */
    uint64_t compactions_since_open, seals_since_open, syncs_since_open;
    uint64_t commits_since_open;
    uint64_t indexes_rebuilt_since_open;
    uint64_t generation;
};

enum kv_status kv_store_stats(struct kv_store *store, struct kv_stats *out) KV_WARN_UNUSED;

enum kv_segment_state { KV_SEGMENT_ACTIVE, KV_SEGMENT_SEALED, KV_SEGMENT_MERGING };

/* One segment, as reported: newest run first, the active log at the head. */
struct kv_segment_report {
    uint64_t number;
    unsigned tier, run;
    enum kv_segment_state state;
    uint64_t file_bytes, records, tombstones, live_bytes, dead_bytes;
    struct kv_slice min_key, max_key;                    /* empty for none */
    uint64_t min_seq, max_seq, min_time_ms, max_time_ms; /* 0 for none */
    const char *reason; /* why the policy leaves it, or what it will do */
};

/* Call `each` for every segment; reports are valid during the call only. Failures of `each` end it. */
enum kv_status kv_store_segments(struct kv_store *store, const struct kv_settings *settings,
                                 enum kv_status (*each)(void *context,
                                                        const struct kv_segment_report *report),
                                 void *context) KV_WARN_UNUSED;

#endif
