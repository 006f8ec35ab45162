/*
 * Reads a log from its start and finds out what it holds: recovery's eyes.
 *
 * P1. A transaction counts iff its COMMIT is valid, its seq is the previous
 * plus one, it begins where the previous one ended, and its digest continues
 * the chain. Bytes left over from an aborted, torn or overwritten
 * transaction, even whole old transactions, never count.
 *
 * P2. The scan stops at the first transaction that does not count. If a later
 * COMMIT or an END says that bytes at or past that point were durable, or MANIFEST
 * does, it is damage, not a torn tail: KV_CORRUPT, and nothing is cut. A clean close
 * has MANIFEST say it of the whole log, since END goes with the tail that it stands behind.
 */
#ifndef KV_LOG_SCAN_H
#define KV_LOG_SCAN_H

#include <stdbool.h>

#include "log.h"

struct kv_log_scan {
    struct kv_log_tail durable; /* as of the last transaction known to be on disk */
    uint64_t durable_lsn;
    bool clean; /* a valid END stands at the tail: all of it is durable */
};

/*
 * Scan `log`, whose memtable is empty: fills it, the tail, and `*out`.
 * Everything before `durable_lsn` must be there: it is known to be on disk.
 * With `limit_lsn` (0: none) the scan ends there, since what follows is known
 * not to count. KV_CORRUPT with file and offset; KV_NEWER.
 */
enum kv_status kv_log_scan(struct kv_log *log, uint64_t durable_lsn, uint64_t limit_lsn,
                           struct kv_log_scan *out) KV_WARN_UNUSED;

/* Who has a scan made, and may end it. */
struct kv_log_watcher {
    bool (*goes_on)(void *context); /* asked now and then; false: stop */
    void *context;
};

/* The same, KV_INTERRUPTED when the watcher says so; the log is of no use then. */
enum kv_status kv_log_scan_watched(struct kv_log *log, uint64_t durable_lsn, uint64_t limit_lsn,
                                   const struct kv_log_watcher *watcher,
                                   struct kv_log_scan *out) KV_WARN_UNUSED;

/*
 * Index what has been committed up to `lsn`, a transaction's end in this log
 * that some process has published, unless that has been done. Takes the
 * index's mutex. KV_CORRUPT: it cannot be read, with file and offset.
 */
enum kv_status kv_log_catch_up(struct kv_log *log, uint64_t lsn) KV_WARN_UNUSED;

/*
 * Index whatever else counts by now, as P1 says, in a log that nobody is writing; `*lsn` is
 * its end. For readers that have no page to go by.
 */
enum kv_status kv_log_extend(struct kv_log *log, uint64_t *lsn) KV_WARN_UNUSED;

#endif
