/*
 * Write transactions.
 *
 * prepare does all that can fail: the records and the COMMIT are in the log,
 * and durable as the settings say. publish then makes them the log's, and
 * stores the committed LSN last (release): who loads it sees everything below.
 *
 * If a commit's sync fails, nobody can know what reached the disk: that is
 * resolved by failover (failover.h) before the failure is reported.
 */
#include "txn.h"

#include <stdlib.h>

#include "backlog.h"
#include "compact.h"
#include "hash.h"
#include "mutant.h"
#include "seal.h"
#include "writer.h"

/* A transaction alone in its log may take so many times segment_bytes there before it overflows. */
enum { ALONE_FACTOR = 4 };

enum { SYNC_AFTER_MS = 1000, SYNC_AFTER_BYTES = 64 * 1024 * 1024, COMMIT_TRIES = 3 };

/* ---- Beginning */

/* Is the active log due for sealing, by these settings? */
static bool is_due(const struct kv_log *log, const struct kv_settings *settings)
{
    return log->tail.end_bytes >= settings->segment_bytes ||
           log->tail.record_count >= log->header.log.record_limit;
}

/* How far a log may grow for a transaction that began in it: sealing at once would copy most of them. */
static uint64_t stretch(const struct kv_settings *settings)
{
    return settings->segment_bytes + settings->segment_bytes / 4;
}

/* Read the newest state, and write behind it. WRITER is held, so it stays the newest. */
static enum kv_status settle(struct kv_txn *txn)
{
    enum kv_status st = kv_engine_acquire(&txn->store->engine, &txn->pin, &txn->lsn);
    struct kv_log *log;

    if (st != KV_OK)
        return st;
    log = txn->pin.version->log;
    return kv_write_set_new(log, log->tail.seq + 1, &txn->set);
}

static enum kv_status seal(struct kv_txn *txn, bool keep_tail)
{
    struct kv_interrupt interrupt = {txn->settings->interrupted,
                                     txn->settings->interrupted_context};
    enum kv_status st = kv_writer_seal(&txn->store->engine, keep_tail, &interrupt);

    txn->sealed |= st == KV_OK;
    return st;
}

/* Seal first if that is overdue: here its errors can be reported. */
static enum kv_status seal_if_due(struct kv_txn *txn)
{
    struct kv_version *version = kv_engine_version(&txn->store->engine);
    bool due = is_due(version->log, txn->settings) || version->pending_count > 0;

    kv_version_unref(version);
    return due ? seal(txn, false) : KV_OK;
}

enum kv_status kv_txn_begin(struct kv_store *store, const struct kv_settings *settings,
                            struct kv_txn **out)
{
    struct kv_engine *engine = &store->engine;
    struct kv_txn *txn;
    enum kv_status st;

    *out = NULL;
    settings = kv_store_settings(store, settings);
    st = kv_engine_check_writable(engine);
    if (st == KV_OK)
        st = kv_backlog_reduce(store, settings);
    if (st != KV_OK)
        return st;
    txn = calloc(1, sizeof(*txn));
    if (!txn)
        return kv_fail_nomem();
    st = kv_writer_wait(engine, settings);
    if (st != KV_OK) {
        free(txn);
        return st;
    }
    txn->store = store;
    txn->settings = settings;
    /* Unpredictable for each holder of WRITER, without a system call. */
    txn->nonce = kv_digest_add(engine->nonce_seed, ++engine->nonce_count);
    kv_engine_add_pin(engine, &txn->pin);
    st = seal_if_due(txn);
    if (st == KV_OK)
        st = settle(txn);
    if (st != KV_OK) {
        kv_txn_abort(txn);
        return st;
    }
    *out = txn;
    return KV_OK;
}

/* Index the log that was sealed, and merge if that is due. Failures are tried again later. */
static void maintain_here(struct kv_engine *engine, const struct kv_settings *settings)
{
    enum kv_status st = kv_seal_finish(engine, NULL);

    if (!settings->auto_compact || kv_engine_take_compactor(engine, 0) != KV_OK)
        return;
    st = kv_compact_by_policy(engine, settings);
    (void)st;
    kv_engine_drop_compactor(engine);
}

/* A log was sealed: see to it here, or in the background. What the transaction failed with stays the message. */
static void maintain(struct kv_store *store, const struct kv_settings *settings)
{
    struct kv_held_message held;

    if (store->maintainer.running) {
        kv_maintainer_note_seal(&store->maintainer, settings);
        return;
    }
    kv_message_hold(&held);
    maintain_here(&store->engine, settings);
    kv_message_restore(&held);
}

/* Free everything, let the next writer in, and merge if sealing has left something to merge. */
static void finish(struct kv_txn *txn)
{
    struct kv_store *store = txn->store;
    struct kv_engine *engine = &store->engine;
    const struct kv_settings *settings = txn->settings;
    bool sealed = txn->sealed && kv_engine_check_alive(engine) == KV_OK;

    kv_write_views_release(&txn->views);
    kv_write_set_unref(txn->set);
    kv_overflow_release(&txn->overflow);
    if (kv_engine_check_alive(engine) == KV_OK) { /* else WRITER is the parent's */
        kv_engine_remove_pin(engine, &txn->pin);
        kv_engine_drop_writer(engine, false);
    }
    free(txn);
    if (sealed)
        maintain(store, settings);
}

/* ---- Writing */

/*
 * If the log has been sealed under the transaction, move its records to the
 * one that is active now. A move that failed, for want of disk space perhaps, is tried again.
 */
static enum kv_status follow_log(struct kv_txn *txn)
{
    struct kv_log *from = txn->set->log, *to = txn->pin.version->log;
    enum kv_status st;

    if (from == to || from->header.role == KV_ROLE_PENDING)
        return KV_OK;
    kv_log_ref(from);
    st = kv_write_set_move(txn->set, to);
    if (st == KV_OK)
        kv_log_trim(from);
    kv_log_unref(from);
    return st;
}

/* The active log is another one now: read the newest state and write behind it. */
static enum kv_status renew(struct kv_txn *txn)
{
    enum kv_status st;

    kv_engine_release_pin(&txn->pin);
    st = kv_engine_acquire(&txn->store->engine, &txn->pin, &txn->lsn);
    txn->failed = st != KV_OK; /* it holds nothing that it could read */
    return st == KV_OK ? follow_log(txn) : st;
}

/* Is the log that the transaction goes by not the active one any more? */
static bool is_left_behind(const struct kv_txn *txn)
{
    struct kv_version *version = kv_engine_version(&txn->store->engine);
    bool left_behind = version->log != txn->pin.version->log;

    kv_version_unref(version);
    return left_behind;
}

/*
 * The transaction does not fit what is left of the log: seal that at its committed end and move the
 * records behind it to a new one. If sealing fails, the log may have been given up before, for doubt
 * that others had left: then the records move all the same, for what is written there counts nowhere.
 */
static enum kv_status change_log(struct kv_txn *txn)
{
    struct kv_held_message held;
    enum kv_status sealed = seal(txn, true), st;

    if (sealed != KV_OK && !is_left_behind(txn))
        return sealed;
    kv_message_hold(&held);
    st = renew(txn);
    if (st != KV_OK || sealed == KV_OK)
        return st;
    kv_message_restore(&held);
    return sealed;
}

/* Would a record of `size` and a COMMIT, behind what the set holds, go past these limits of its file? */
static bool is_too_much(const struct kv_txn *txn, size_t size, uint64_t limit_bytes)
{
    const struct kv_write_set *set = txn->set;
    const struct kv_log *log = set->log;
    uint64_t end_bytes = set->end_bytes + (uint64_t)size + KV_COMMIT_BYTES;

    return end_bytes > limit_bytes ||
           log->tail.record_count + kv_write_set_count(set) >= log->header.log.record_limit;
}

/* The most that a transaction may take of a log that it has for itself. A first record always fits. */
static uint64_t alone(const struct kv_settings *settings)
{
    uint64_t bytes = ALONE_FACTOR * settings->segment_bytes;

    return bytes < KV_SEGMENT_MAX_BYTES - KV_END_BYTES ? bytes
                                                       : KV_SEGMENT_MAX_BYTES - KV_END_BYTES;
}

/* Make sure that a record of `size` fits the segment that collects what overflows. */
static enum kv_status make_room_in_part(struct kv_txn *txn, size_t size)
{
    bool has_part = txn->set->log->header.role == KV_ROLE_PENDING;
    struct kv_engine *engine = &txn->store->engine;
    struct kv_version *version;
    enum kv_status st;

    if (has_part && (kv_write_set_count(txn->set) == 0 ||
                     !is_too_much(txn, size, txn->settings->segment_bytes)))
        return KV_OK;
    version = kv_engine_version(engine);
    st = kv_overflow_next(&txn->overflow, engine, version->log, &txn->set);
    kv_version_unref(version);
    return st;
}

/*
 * Make sure that a record of `size` fits the log: else the log is sealed at its
 * committed end and the transaction moved to a new one; from there to pending segments.
 */
static enum kv_status make_room(struct kv_txn *txn, size_t size)
{
    enum kv_status st = KV_OK;

    if (txn->overflow.group == 0 && txn->set->log->tail.record_count > 0 &&
        is_too_much(txn, size, stretch(txn->settings)))
        st = change_log(txn);
    if (st == KV_OK && txn->overflow.group == 0 && kv_write_set_count(txn->set) > 0 &&
        is_too_much(txn, size, alone(txn->settings)))
        st = kv_overflow_begin(&txn->overflow, &txn->store->engine, &txn->set);
    if (st == KV_OK && txn->overflow.group != 0)
        st = make_room_in_part(txn, size);
    return st;
}

/* Its log may have been given up: what is written there would count nowhere, or twice. */
static enum kv_status check_usable(const struct kv_txn *txn)
{
    if (!txn->failed)
        return kv_engine_check_alive(&txn->store->engine);
    return kv_fail(KV_IOERR, "%s: the transaction has failed earlier; roll it back",
                   txn->store->engine.path);
}

static enum kv_status check_sizes(const struct kv_txn *txn, struct kv_slice key,
                                  struct kv_slice row)
{
    if (key.size == 0)
        return kv_fail(KV_INVALID, "%s: a key has at least one byte", txn->store->engine.path);
    if (key.size > KV_KEY_MAX_BYTES)
        return kv_fail(KV_TOOBIG, "%s: the key has %zu bytes encoded; a key may have at most %d",
                       txn->store->engine.path, key.size, KV_KEY_MAX_BYTES);
    if (row.size > KV_ROW_MAX_BYTES)
        return kv_fail(KV_TOOBIG, "%s: the row has %zu bytes encoded; a row may have at most %d",
                       txn->store->engine.path, row.size, KV_ROW_MAX_BYTES);
    return KV_OK;
}

/* The log's tail is in doubt, with a COMMIT there that must not count: go on in a new log. */
static enum kv_status leave_log(struct kv_txn *txn)
{
    struct kv_engine *engine = &txn->store->engine;
    enum kv_status st = kv_writer_resolve(engine, false);

    if (st == KV_OK && txn->overflow.group == 0)
        return renew(txn);
    txn->failed = true; /* another commit in the same place would leave two that may count */
    if (st == KV_OK)    /* failover has no use for a group without COMMIT, and has removed it */
        return kv_fail(KV_IOERR,
                       "%s: a write could not be made durable; the transaction was rolled back, "
                       "try it again",
                       engine->path);
    return kv_fail_in(st,
                      "%s: a commit could not be taken back; whether it counts is unknown until "
                      "the store is opened again or a write succeeds",
                      engine->path);
}

/* Take a prepared commit back: nothing may be written before that is durable, in every mode. */
static enum kv_status unprepare(struct kv_txn *txn)
{
    struct kv_engine *engine = &txn->store->engine;
    enum kv_status st = KV_OK;

    txn->prepared = txn->durable = false;
    if (kv_txn_record_count(txn) == 0)
        return KV_OK;
    st = kv_write_set_uncommit(txn->set);
    if (st == KV_OK)
        st = KV_UNLESS_MUTANT(
            uncommit_without_sync,
            kv_engine_sync_log(engine, txn->set->log, txn->set->log->tail.end_bytes));
    return st == KV_OK ? KV_OK : leave_log(txn);
}

static enum kv_status add(struct kv_txn *txn, enum kv_kind kind, struct kv_slice key,
                          struct kv_slice row)
{
    enum kv_status st = check_usable(txn);

    if (st == KV_OK)
        st = check_sizes(txn, key, row);
    if (st == KV_OK && txn->prepared)
        st = unprepare(txn);
    if (st == KV_OK)
        st = follow_log(txn);
    if (st == KV_OK)
        st = make_room(txn, kv_write_set_record_size(txn->set, kind, key, row));
    if (st != KV_OK)
        return st;
    return kv_write_set_add(txn->set, kind, kv_hash(key, txn->store->engine.place.hash_seed), key,
                            row);
}

enum kv_status kv_txn_put(struct kv_txn *txn, struct kv_slice key, struct kv_slice row)
{
    return add(txn, KV_PUT, key, row);
}

enum kv_status kv_txn_delete(struct kv_txn *txn, struct kv_slice key)
{
    return add(txn, KV_DELETE, key, (struct kv_slice){0});
}

enum kv_status kv_txn_get(struct kv_txn *txn, struct kv_slice key, struct kv_entry *out)
{
    uint64_t hash = kv_hash(key, txn->store->engine.place.hash_seed);
    struct kv_entry entry;
    enum kv_status st = kv_txn_get_own(txn, hash, key, &entry);

    if (st == KV_DONE)
        st = kv_version_get(txn->pin.version, txn->lsn, hash, key, &entry);
    if (st == KV_OK && entry.deleted)
        st = KV_DONE;
    if (st == KV_OK && out)
        *out = entry;
    return st;
}

struct kv_savepoint kv_txn_savepoint(const struct kv_txn *txn)
{
    return (struct kv_savepoint){kv_txn_record_count(txn)};
}

static void truncate(struct kv_txn *txn, uint64_t record_count)
{
    struct kv_engine *engine = &txn->store->engine;
    struct kv_version *version;

    kv_write_views_cut(&txn->views, record_count);
    if (txn->overflow.group == 0) {
        kv_write_set_truncate(txn->set, (uint32_t)record_count);
        return;
    }
    version = kv_engine_version(engine);
    if (kv_overflow_truncate(&txn->overflow, engine, version->log, &txn->set, record_count) !=
        KV_OK)
        txn->failed = true; /* more was lost than was to be taken back */
    kv_version_unref(version);
}

void kv_txn_rollback_to(struct kv_txn *txn, struct kv_savepoint savepoint)
{
    if (savepoint.record_count >= kv_txn_record_count(txn) ||
        kv_engine_check_alive(&txn->store->engine) != KV_OK)
        return;
    if (txn->prepared) {
        enum kv_status st = unprepare(txn);
        (void)st; /* the store refuses writes: the next prepare says so */
    }
    truncate(txn, savepoint.record_count);
}

uint64_t kv_txn_record_count(const struct kv_txn *txn)
{
    return txn->overflow.record_count + kv_write_set_count(txn->set);
}

/* ---- Own writes */

enum kv_status kv_txn_get_own(struct kv_txn *txn, uint64_t hash, struct kv_slice key,
                              struct kv_entry *out)
{
    enum kv_status st = check_usable(txn);

    if (st == KV_OK)
        st = kv_write_set_get(txn->set, hash, key, out);
    return st == KV_DONE ? kv_overflow_get(&txn->overflow, hash, key, out) : st;
}

size_t kv_txn_iter_max(const struct kv_txn *txn)
{
    return KV_BATCH_COUNT_MAX + txn->overflow.count;
}

enum kv_status kv_txn_iters(struct kv_txn *txn, struct kv_iter **out, size_t *count,
                            struct kv_write_view **view)
{
    size_t own = 0, parts = 0;
    enum kv_status st = check_usable(txn);

    *count = 0;
    if (st == KV_OK)
        st = kv_write_set_iters(txn->set, &txn->views, out, &own, view);
    if (st != KV_OK)
        return st;
    st = kv_overflow_iters(&txn->overflow, out + own, &parts);
    if (st == KV_OK) {
        *count = own + parts;
        return KV_OK;
    }
    kv_iters_free(out, &own);
    *view = NULL;
    return st;
}

/* ---- Committing */

/* Must the log be synced for this commit to be as durable as was asked for? */
static bool must_sync(const struct kv_txn *txn)
{
    struct kv_engine *engine = &txn->store->engine;

    switch (txn->settings->synchronous) {
    case KV_SYNC_FULL: return true;
    case KV_SYNC_NORMAL:
        return !KV_MUTANT(normal_never_syncs) &&
               kv_io_monotonic_ms(engine->place.io) >=
                   atomic_load(&engine->synced_ms) + SYNC_AFTER_MS;
    case KV_SYNC_OFF: break;
    }
    return kv_log_lsn(txn->set->log, txn->set->end_bytes) >=
           kv_page_load(&engine->page->durable_lsn) + SYNC_AFTER_BYTES;
}

/*
 * The commit's sync failed: what is on disk is unknown. The COMMIT is written
 * over, which mends what the page cache shows, and failover decides the rest
 * before anybody is told.
 */
static enum kv_status abandon(struct kv_txn *txn, enum kv_status st)
{
    struct kv_engine *engine = &txn->store->engine;
    struct kv_held_message cause;
    enum kv_status overwritten, resolved;

    txn->failed = true;
    kv_message_hold(&cause);
    overwritten = kv_write_set_uncommit(txn->set);
    (void)overwritten; /* failover ends at the committed end in any case */
    resolved = KV_MUTANT(failed_commit_trusted) ? KV_OK : kv_writer_resolve(engine, false);
    kv_message_restore(&cause);
    if (resolved == KV_OK)
        return kv_fail_after(st, "; the transaction was rolled back");
    return kv_fail_after(st,
                         "; the transaction is rolled back, unless a crash brings it back: its "
                         "outcome is unknown until the store is opened again or a write succeeds");
}

/* All that overflowed becomes a group, which COMMIT names. */
static enum kv_status list_group(struct kv_txn *txn)
{
    struct kv_engine *engine = &txn->store->engine;
    struct kv_version *version;
    enum kv_status st;

    if (txn->overflow.group == 0)
        return KV_OK;
    version = kv_engine_version(engine);
    st = kv_overflow_list(&txn->overflow, engine, version->log, &txn->set, &txn->commit);
    kv_version_unref(version);
    return st;
}

/* Write records and COMMIT, and sync. KV_BUSY: nothing has failed, but others have left doubt. */
static enum kv_status write_commit(struct kv_txn *txn)
{
    struct kv_engine *engine = &txn->store->engine;
    uint64_t durable_lsn = kv_page_load(&engine->page->durable_lsn), begin_lsn;
    enum kv_status st;

    txn->commit = (struct kv_commit){.time_ms = kv_io_now_ms(engine->place.io),
                                     .nonce = KV_MUTANT(nonce_ignored) ? 0 : txn->nonce};
    txn->durable = false; /* whatever an attempt before this one has synced */
    st = list_group(txn);
    if (st != KV_OK)
        return st;
    begin_lsn = kv_log_lsn(txn->set->log, txn->set->begin_bytes);
    txn->commit.durable_lsn =
        durable_lsn < begin_lsn && !KV_MUTANT(durable_overstated) ? durable_lsn : begin_lsn;
    st = kv_write_set_commit(txn->set, &txn->commit);
    if (st != KV_OK)
        return st;
    if (must_sync(txn)) {
        st = KV_UNLESS_MUTANT(
            commit_without_sync,
            kv_engine_sync_log(engine, txn->set->log, txn->set->log->tail.end_bytes));
        txn->durable = st == KV_OK;
        if (st != KV_OK && st != KV_BUSY)
            st = abandon(txn, st);
    }
    if (st == KV_OK && kv_page_is_set(&engine->page->refuse_writes))
        st = kv_fail(KV_BUSY, "%s: another process could not sync the log", engine->path);
    return st;
}

enum kv_status kv_txn_prepare(struct kv_txn *txn)
{
    enum kv_status st = check_usable(txn);

    if (st == KV_OK)
        st = follow_log(txn);
    if (st != KV_OK || txn->prepared)
        return st;
    if (kv_txn_record_count(txn) > 0 && txn->pin.version->is_backup)
        st = kv_writer_leave_backup(&txn->store->engine);
    if (st == KV_OK && kv_txn_record_count(txn) > 0) {
        st = write_commit(txn);
        for (unsigned tries = 0; st == KV_BUSY && tries < COMMIT_TRIES; tries++) {
            st = kv_write_set_uncommit(txn->set);
            (void)st; /* failover ends at the committed end in any case */
            st = leave_log(txn);
            if (st == KV_OK)
                st = write_commit(txn);
        }
        if (st == KV_BUSY)
            st = abandon(txn, KV_IOERR);
    }
    txn->prepared = st == KV_OK;
    return st;
}

void kv_txn_publish(struct kv_txn *txn)
{
    struct kv_engine *engine = &txn->store->engine;
    struct kv_log *log = txn->set->log;

    if (kv_txn_record_count(txn) > 0 && kv_engine_check_alive(engine) == KV_OK) {
        kv_write_set_publish(txn->set, &txn->commit);
        kv_page_store(&engine->page->committed_lsn, kv_log_lsn(log, log->tail.end_bytes));
        if (txn->durable)
            kv_engine_note_durable(engine, kv_log_lsn(log, log->tail.end_bytes));
        atomic_fetch_add_explicit(&engine->counters.commits, 1, memory_order_relaxed);
        /* What cannot be sealed now is sealed by the next writer, who reports why not. */
        if (is_due(log, txn->settings) || txn->overflow.group != 0)
            txn->sealed |= kv_seal(engine, false, NULL) == KV_OK;
    }
    finish(txn);
}

void kv_txn_abort(struct kv_txn *txn)
{
    if (!txn)
        return;
    if (txn->set)
        kv_txn_rollback_to(txn, (struct kv_savepoint){0});
    /* After a failure that left doubt, COMMIT may be on disk: failover decides about its group. */
    if (txn->overflow.listed && !txn->failed &&
        kv_engine_check_alive(&txn->store->engine) == KV_OK) {
        enum kv_status st = kv_overflow_unlist(&txn->overflow, &txn->store->engine);
        (void)st; /* the next writer does it, or cannot begin */
    }
    finish(txn);
}

enum kv_status kv_txn_commit(struct kv_txn *txn)
{
    enum kv_status st = kv_txn_prepare(txn);

    if (st == KV_OK)
        kv_txn_publish(txn);
    else
        kv_txn_abort(txn);
    return st;
}
