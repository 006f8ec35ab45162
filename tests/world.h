/*
 * A store in memory for the tests of kv.h: memfs, the options it is opened
 * with, and verbs and contents as text, so that a test reads like what it says.
 *
 * Everything fails the running test when it does not succeed.
 */
#ifndef KV_TESTS_WORLD_H
#define KV_TESTS_WORLD_H

#include "kv.h"
#include "memfs.h"

#define WORLD_PATH "/db"

enum { WORLD_SEGMENT_BYTES = 64 * 1024 };

struct world {
    struct kv_memfs *fs;
    struct kv_io *io;
    struct kv_open_options options; /* segments of 64 KiB, fanout 4, no compaction by itself */
    struct kv_store *store;         /* NULL: not open */
    bool is_guest;                  /* in the files of another */
};

void world_init(struct world *world); /* an empty file system; the store is not opened */
void world_open(struct world *world);
void world_start(struct world *world); /* both */
void world_close(struct world *world);
void world_reopen(struct world *world);
void world_end(struct world *world); /* close if open, and free */

/* One more process with the same files and options; the store is not opened. End it before `host`. */
void world_join(struct world *guest, struct world *host);

/* kill -9 with the store open, or the power cut; its handles are given back. All others are gone. */
void world_kill(struct world *world);
void world_crash(struct world *world, enum kv_memfs_crash_mode mode, uint64_t seed);

/* ---- Verbs with text; each its own transaction */

void world_put(struct world *world, const char *key, const char *row);
void world_delete(struct world *world, const char *key);

/* Fail unless `key` has `row`; NULL: unless it is absent. */
void world_expect(struct world *world, const char *key, const char *row);

/* `count` transactions of about 1 KiB each under keys "<prefix>0000", …; returns the next number. */
unsigned world_fill(struct world *world, const char *prefix, unsigned from, unsigned count);

/* Seal the log: fill it until a run is added. The filler's keys begin with "~". */
void world_seal(struct world *world);

/* kv_compact_some() with a budget of so many bytes. */
enum kv_status world_compact_some(struct world *world, uint64_t bytes);

/* ---- Transactions */

struct kv_txn *world_begin(struct world *world);
void txn_put(struct kv_txn *txn, const char *key, const char *row);
void txn_delete(struct kv_txn *txn, const char *key);
void txn_expect(struct kv_txn *txn, const char *key, const char *row);

/* ---- Contents: "a=1 b=2", for free() */

/* The rest of a scan; rows longer than 16 bytes are cut. Ends with "!KV_…" if the scan failed. */
char *scan_text(struct kv_scan *scan);
char *snapshot_text(struct kv_snapshot *snapshot, struct kv_txn *txn, const struct kv_range *range);

/* Fail unless the newest state, forwards and backwards, is `expected`. */
void world_expect_all(struct world *world, const char *expected);

struct kv_snapshot *world_snapshot(struct world *world); /* acquired */

/* A snapshot's rows, summed up in a number: equal rows, equal numbers. */
uint64_t snapshot_digest(struct kv_snapshot *snapshot);
uint64_t world_digest(struct world *world);

/* ---- What the store says of itself */

struct kv_stats world_stats(struct world *world);

/* Fail if kv_store_check finds a problem, or statistics, reports and directory contradict each other. */
void world_check(struct world *world);

/* Names and bytes of all files but LOCK, summed up in a number. */
uint64_t world_files_digest(struct world *world);
bool world_has_file(struct world *world, const char *name);

#endif
