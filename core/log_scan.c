/* Scanning a log: see log_scan.h for what counts. */
#include "log_scan.h"

#include <stdlib.h>

#include "hash.h"
#include "mutant.h"
#include "names.h"

enum { WATCH_EVERY_BYTES = 1 << 20 };

/* Tails of the transactions that are not known to be durable yet, oldest first. */
struct pending {
    struct kv_log_tail *tails;
    size_t first, count, capacity;
};

struct scanner {
    struct kv_log *log;
    struct kv_slice bytes;   /* of the file, as far as may be read */
    struct kv_log_scan *out; /* NULL: what is durable does not matter */
    struct pending pending;
    const struct kv_log_watcher *watcher; /* NULL: nobody watches */
    uint32_t watched_bytes;               /* where it was asked last */
};

static enum kv_status pending_add(struct pending *pending, struct kv_log_tail tail)
{
    if (pending->count == pending->capacity) {
        size_t capacity = pending->capacity ? 2 * pending->capacity : 64;
        struct kv_log_tail *tails = realloc(pending->tails, capacity * sizeof(*tails));

        if (!tails)
            return kv_fail_nomem();
        pending->tails = tails;
        pending->capacity = capacity;
    }
    pending->tails[pending->count++] = tail;
    return KV_OK;
}

/* A COMMIT says that everything before `lsn` was durable. */
static void note_durable(struct scanner *scanner, uint64_t lsn)
{
    struct pending *pending = &scanner->pending;

    while (pending->first < pending->count) {
        const struct kv_log_tail *tail = &pending->tails[pending->first];

        if (kv_log_lsn(scanner->log, tail->end_bytes) > lsn)
            break;
        scanner->out->durable = *tail;
        scanner->out->durable_lsn = kv_log_lsn(scanner->log, tail->end_bytes);
        pending->first++;
    }
}

static struct kv_slice rest(const struct scanner *scanner, uint32_t at)
{
    return kv_slice_of(scanner->bytes.data + at, scanner->bytes.size - at);
}

/* Ask every megabyte: some milliseconds of work. */
static enum kv_status ask(struct scanner *scanner, uint32_t at)
{
    const struct kv_log_watcher *watcher = scanner->watcher;

    if (!watcher || at - scanner->watched_bytes < WATCH_EVERY_BYTES)
        return KV_OK;
    scanner->watched_bytes = at;
    if (watcher->goes_on(watcher->context))
        return KV_OK;
    return kv_fail(KV_INTERRUPTED, "%s: reading the log was interrupted",
                   scanner->log->place->path);
}

static enum kv_status newer(const struct scanner *scanner, uint32_t at)
{
    char name[KV_NAME_BYTES];

    kv_name_segment(name, scanner->log->header.number);
    return kv_fail(KV_NEWER,
                   "%s/%s: the record at offset %u was written by a newer version of sqlite-kv",
                   scanner->log->place->path, name, at);
}

/*
 * Take the records of the transaction that begins at the tail into the
 * memtable's list. `*end_bytes` is where they end, `*digest` over them. KV_DONE if one is invalid.
 */
static enum kv_status scan_records(struct scanner *scanner, uint32_t *end_bytes, uint64_t *digest)
{
    struct kv_log *log = scanner->log;
    uint32_t at = log->tail.end_bytes;

    *digest = log->tail.digest;
    for (;;) {
        struct kv_slice bytes = rest(scanner, at);
        struct kv_record record;
        struct kv_item item;
        enum kv_status st;

        if (kv_record_kind(bytes) == KV_COMMIT)
            break;
        st = kv_record_decode(bytes, &log->record_place, at, &record);
        if (st == KV_NEWER)
            return newer(scanner, at);
        if (st != KV_OK || record.seq != log->tail.seq + 1 ||
            kv_memtable_count(&log->memtable) == log->header.log.record_limit)
            return KV_DONE;
        item = (struct kv_item){.prefix = kv_slice_prefix(record.key),
                                .hash = kv_hash(record.key, log->place->hash_seed),
                                .offset_bytes = at};
        kv_memtable_append(&log->memtable, item);
        *digest = kv_digest_add(*digest, record.checksum);
        at += record.size_bytes;
        st = ask(scanner, at);
        if (st != KV_OK)
            return st;
    }
    *end_bytes = at;
    return KV_OK;
}

/* Scan one transaction and accept it, or KV_DONE. */
static enum kv_status scan_transaction(struct scanner *scanner)
{
    struct kv_log *log = scanner->log;
    struct kv_log_tail *tail = &log->tail;
    uint32_t before = kv_memtable_count(&log->memtable), end_bytes = 0, count;
    uint64_t digest = 0;
    struct kv_commit commit;
    enum kv_status st = scan_records(scanner, &end_bytes, &digest);

    if (st == KV_OK) {
        st = kv_commit_decode(rest(scanner, end_bytes), log->header.salt, end_bytes, &commit);
        if (st == KV_NEWER)
            st = newer(scanner, end_bytes);
        else if (st != KV_OK)
            st = KV_DONE;
    }
    count = kv_memtable_count(&log->memtable) - before;
    if (st == KV_OK &&
        (commit.seq != tail->seq + 1 ||
         (commit.record_count != count && !KV_MUTANT(record_count_ignored)) ||
         (commit.begin_lsn != kv_log_lsn(log, tail->end_bytes) && !KV_MUTANT(begin_ignored)) ||
         (commit.digest != kv_commit_digest(&commit, digest) && !KV_MUTANT(digest_chain_ignored))))
        st = KV_DONE;
    /* The COMMIT of a group stands alone, as the first of its log: group.h. */
    if (st == KV_OK && commit.group != 0 && (count > 0 || tail->end_bytes != KV_HEADER_BYTES))
        st = newer(scanner, end_bytes);
    if (st != KV_OK) {
        kv_memtable_truncate(&log->memtable, before);
        return st;
    }
    kv_log_tail_advance(tail, end_bytes, count, &commit);
    if (!scanner->out)
        return KV_OK;
    note_durable(scanner, commit.durable_lsn);
    return pending_add(&scanner->pending, *tail);
}

/* Is there an END at the tail, and does it speak of it? Then everything is durable. */
static void scan_end(struct scanner *scanner)
{
    struct kv_log *log = scanner->log;
    uint32_t at = log->tail.end_bytes;
    struct kv_end end;

    if (kv_end_decode(rest(scanner, at), log->header.salt, at, &end) != KV_OK ||
        end.end_lsn != kv_log_lsn(log, at) || end.seq != log->tail.seq ||
        end.digest != log->tail.digest)
        return;
    scanner->out->clean = !KV_MUTANT(end_not_believed);
    scanner->out->durable = log->tail;
    scanner->out->durable_lsn = end.end_lsn;
}

static enum kv_status damaged(const struct scanner *scanner)
{
    char name[KV_NAME_BYTES];

    kv_name_segment(name, scanner->log->header.number);
    return kv_fail(KV_CORRUPT,
                   "%s/%s: damaged at or after offset %u: what was committed there cannot be read; "
                   "nothing was changed",
                   scanner->log->place->path, name, scanner->log->tail.end_bytes);
}

/* Does anything behind the tail prove that the tail is not where the log ended? (P2) */
static enum kv_status check_behind(const struct scanner *scanner)
{
    const struct kv_log *log = scanner->log;
    uint64_t end_lsn = kv_log_lsn(log, log->tail.end_bytes);
    uint64_t salt = log->header.salt;
    size_t at;

    for (at = kv_commit_find(scanner->bytes, salt, log->tail.end_bytes); at != SIZE_MAX;
         at = kv_commit_find(scanner->bytes, salt, at + 1)) {
        struct kv_commit commit;

        if (kv_commit_decode(rest(scanner, (uint32_t)at), salt, at, &commit) == KV_OK &&
            commit.durable_lsn > end_lsn && !KV_MUTANT(damage_taken_for_torn))
            return damaged(scanner);
    }
    for (at = kv_end_find(scanner->bytes, salt, log->tail.end_bytes); at != SIZE_MAX;
         at = kv_end_find(scanner->bytes, salt, at + 1)) {
        struct kv_end end;

        if (kv_end_decode(rest(scanner, (uint32_t)at), salt, at, &end) == KV_OK &&
            end.end_lsn > end_lsn)
            return damaged(scanner);
    }
    return KV_OK;
}

enum kv_status kv_log_scan_watched(struct kv_log *log, uint64_t durable_lsn, uint64_t limit_lsn,
                                   const struct kv_log_watcher *watcher, struct kv_log_scan *out)
{
    struct scanner scanner = {.log = log, .out = out, .watcher = watcher};
    uint64_t size = log->allocated_bytes;
    enum kv_status st;

    if (limit_lsn != 0 && kv_log_offset(log, limit_lsn) < size)
        size = kv_log_offset(log, limit_lsn);
    scanner.bytes = kv_slice_of(log->data, size);
    *out = (struct kv_log_scan){.durable = log->tail,
                                .durable_lsn = kv_log_lsn(log, log->tail.end_bytes)};
    do {
        st = scan_transaction(&scanner);
    } while (st == KV_OK);
    if (st != KV_DONE)
        goto out;
    st = KV_OK;
    kv_memtable_link(&log->memtable);
    kv_log_show(log, log->tail.end_bytes);
    note_durable(&scanner, durable_lsn);
    scan_end(&scanner);
    if (kv_log_lsn(log, log->tail.end_bytes) < durable_lsn)
        st = damaged(&scanner);
    else if (!out->clean && limit_lsn == 0)
        st = check_behind(&scanner);
out:
    free(scanner.pending.tails);
    return st;
}

enum kv_status kv_log_scan(struct kv_log *log, uint64_t durable_lsn, uint64_t limit_lsn,
                           struct kv_log_scan *out)
{
    return kv_log_scan_watched(log, durable_lsn, limit_lsn, NULL, out);
}

/* The index's mutex is held. */
static enum kv_status catch_up(struct kv_log *log, uint64_t lsn)
{
    struct scanner scanner = {.log = log};
    uint64_t end = kv_log_offset(log, lsn), size;
    enum kv_status st = kv_io_file_size(log->file, &size);

    if (st != KV_OK)
        return st;
    /* The LSN comes from a page that anybody could have written to. */
    if (end > size || end < log->tail.end_bytes)
        return damaged(&scanner);
    scanner.bytes = kv_slice_of(log->data, end);
    while (log->tail.end_bytes < end && st == KV_OK)
        st = scan_transaction(&scanner);
    if (st == KV_DONE)
        st = damaged(&scanner);
    kv_memtable_link(&log->memtable);
    kv_log_show(log, log->tail.end_bytes);
    return st;
}

enum kv_status kv_log_catch_up(struct kv_log *log, uint64_t lsn)
{
    enum kv_status st = KV_OK;

    if (kv_log_readable(log) >= kv_log_offset(log, lsn))
        return KV_OK;
    pthread_mutex_lock(&log->index_mutex);
    if (kv_log_readable(log) < kv_log_offset(log, lsn))
        st = catch_up(log, lsn);
    pthread_mutex_unlock(&log->index_mutex);
    return st;
}

enum kv_status kv_log_extend(struct kv_log *log, uint64_t *lsn)
{
    struct scanner scanner = {.log = log};
    uint64_t size;
    enum kv_status st;

    pthread_mutex_lock(&log->index_mutex);
    st = kv_io_file_size(log->file, &size);
    if (st == KV_OK && size > KV_SEGMENT_MAX_BYTES)
        st = damaged(&scanner);
    scanner.bytes = kv_slice_of(log->data, size);
    while (st == KV_OK)
        st = scan_transaction(&scanner);
    kv_memtable_link(&log->memtable);
    kv_log_show(log, log->tail.end_bytes);
    *lsn = kv_log_lsn(log, log->tail.end_bytes);
    pthread_mutex_unlock(&log->index_mutex);
    return st == KV_DONE ? KV_OK : st;
}
