/* Opening a disk after a power failure, and looking: see check.h. */
#include "check.h"

#include <stdlib.h>

#include "chooser.h"
#include "kv.h"
#include "report.h"
#include "store.h"
#include "workload.h"

enum { FIRST_LIFE = 7, LAST_LIFE = 8 };

/* A machine that was switched on again. */
struct machine {
    struct kv_memfs *fs;
    struct kv_open_options options;
    struct kv_store *store;
};

static void must(enum kv_status st, const char *what)
{
    need_that(st == KV_OK, "%s: %s: %s", what, kv_status_name(st), kv_message());
}

static void open_store(struct machine *machine)
{
    must(kv_store_open(POWER_PATH, &machine->options, &machine->store), "opening");
    atomic_fetch_add(&figures->recoveries, 1);
}

static void close_store(struct machine *machine)
{
    must(kv_store_close(machine->store), "closing");
    machine->store = NULL;
}

/* The power fails; what was not synced is gone. */
static void lose_power(struct machine *machine)
{
    enum kv_status st;

    kv_memfs_crash(machine->fs, KV_MEMFS_DROP, 0);
    st = kv_store_close(machine->store);
    (void)st;
    machine->store = NULL;
}

/* `seed`: two lives of one disk make up different names. */
static void machine_init(struct machine *machine, const struct image *image, uint64_t seed)
{
    *machine = (struct machine){.fs = image_to_memfs(image, POWER_PATH, seed)};
    machine->options = power_options(kv_memfs_io(machine->fs));
}

static void machine_release(struct machine *machine)
{
    if (machine->store)
        lose_power(machine);
    kv_memfs_free(machine->fs);
}

/* ---- Contents */

static bool is_row(const struct kv_entry *entry, unsigned key, uint32_t number)
{
    return number != 0 && kv_slice_equal(entry->key, history_key(key)) &&
           kv_slice_equal(entry->row, history_row(number));
}

/* Which key of ours an entry has; HISTORY_KEYS: none. */
static unsigned key_of(const struct kv_entry *entry)
{
    unsigned key = 0;

    while (key < HISTORY_KEYS && !kv_slice_equal(entry->key, history_key(key)))
        key++;
    return key;
}

/* Scan everything; `may_fail`: KV_CORRUPT may end it. */
static void check_scan(struct kv_snapshot *snapshot, const struct content *content, bool descending,
                       bool may_fail)
{
    struct kv_range range = {.descending = descending};
    struct kv_scan *scan;
    struct kv_entry entry;
    unsigned seen = 0;
    enum kv_status st = kv_scan_open(snapshot, NULL, &range, &scan);

    if (st == KV_CORRUPT && may_fail)
        return;
    must(st, "scanning");
    while ((st = kv_scan_next(scan, &entry)) == KV_OK) {
        while (seen < HISTORY_KEYS &&
               content->rows[descending ? HISTORY_KEYS - 1 - seen : seen] == 0)
            seen++;
        need_that(seen < HISTORY_KEYS, "key %u is back", key_of(&entry));
        unsigned key = descending ? HISTORY_KEYS - 1 - seen : seen;
        need_that(is_row(&entry, key, content->rows[key]),
                  "key %u where %u is expected, or a wrong row", key_of(&entry), key);
        seen++;
    }
    kv_scan_close(scan);
    if (st == KV_CORRUPT && may_fail)
        return;
    need_that(st == KV_DONE, "scanning: %s: %s", kv_status_name(st), kv_message());
    for (; seen < HISTORY_KEYS; seen++) {
        unsigned key = descending ? HISTORY_KEYS - 1 - seen : seen;

        need_that(content->rows[key] == 0, "key %u is missing", key);
    }
}

static void check_gets(struct kv_snapshot *snapshot, const struct content *content, bool may_fail)
{
    for (unsigned key = 0; key < HISTORY_KEYS; key++) {
        struct kv_entry entry;
        enum kv_status st = kv_snapshot_get(snapshot, NULL, history_key(key), &entry);

        if (st == KV_CORRUPT && may_fail)
            continue;
        need_that(st == KV_OK || st == KV_DONE, "reading: %s: %s", kv_status_name(st),
                  kv_message());
        need_that((st == KV_OK) == (content->rows[key] != 0), "key %u is %s", key,
                  st == KV_OK ? "back" : "missing");
        need_that(st == KV_DONE || is_row(&entry, key, content->rows[key]),
                  "key %u has a wrong row", key);
    }
}

static void check_content(struct kv_store *store, const struct content *content, bool may_fail)
{
    struct kv_snapshot *snapshot;
    enum kv_status st;

    must(kv_snapshot_new(store, &snapshot), "making a snapshot");
    st = kv_snapshot_acquire(snapshot);
    if (st == KV_CORRUPT && may_fail) {
        kv_snapshot_free(snapshot);
        return;
    }
    must(st, "acquiring a snapshot");
    check_scan(snapshot, content, false, may_fail);
    check_scan(snapshot, content, true, may_fail);
    check_gets(snapshot, content, may_fail);
    kv_snapshot_free(snapshot);
}

static void check_state(struct machine *machine, uint64_t seq, const struct content *content)
{
    uint64_t found = kv_store_seq(machine->store);

    need_that(found == seq, "%llu transactions, not %llu", (unsigned long long)found,
              (unsigned long long)seq);
    check_content(machine->store, content, false);
}

/* ---- Soundness */

static enum kv_status fail_on_problem(void *context, const struct kv_problem *problem)
{
    (void)context;
    fail("segment %llu, offset %llu: %s", (unsigned long long)problem->segment,
         (unsigned long long)problem->offset, problem->text);
}

struct listing {
    uint64_t segments, indexes;
};

static enum kv_status count_name(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t number;
    enum kv_name_kind kind = kv_name_parse(name, &number);

    need_that(kind != KV_NAME_IS_TEMPORARY && kind != KV_NAME_IS_OTHER, "%s was left behind", name);
    listing->segments += kind == KV_NAME_IS_SEGMENT;
    listing->indexes += kind == KV_NAME_IS_INDEX;
    return KV_OK;
}

/* Everything that the manifest names is there and sound, and nothing else is there (5). */
static void check_sound(struct machine *machine)
{
    struct kv_engine *engine = &machine->store->engine;
    size_t count = kv_manifest_segment_count(&engine->manifest);
    struct listing listing = {0};
    uint64_t lsn = atomic_load(&engine->page->committed_lsn);

    must(kv_store_check(machine->store, NULL, fail_on_problem, NULL), "checking");
    must(kv_io_dir_list(engine->place.dir, count_name, &listing), "listing");
    need_that(listing.segments == count + 1 && listing.indexes <= count &&
                  listing.indexes + kv_manifest_has_unindexed(&engine->manifest) >= count,
              "%llu segments and %llu indexes, where %zu and a log are named",
              (unsigned long long)listing.segments, (unsigned long long)listing.indexes, count);
    for (size_t r = 0; r < engine->version->run_count; r++)
        for (size_t s = 0; s < kv_run_segment_count(engine->version->runs[r]); s++)
            need_that(!kv_segment_index_rebuilt(kv_run_segment(engine->version->runs[r], s)),
                      "an index had to be built anew");
    need_that(atomic_load(&engine->page->durable_lsn) >= lsn, "what was recovered is not durable");
}

/* ---- A life */

void check_verdict(const struct verdict *verdict, const struct history *history,
                   const struct expectation *expectation)
{
    uint64_t seq = verdict->seq;
    const struct content *content;

    need_that(seq >= expectation->durable, "%llu transactions left, %llu were durable",
              (unsigned long long)seq, (unsigned long long)expectation->durable);
    need_that(seq <= expectation->last + expectation->maybe,
              "%llu transactions, but only %llu were committed", (unsigned long long)seq,
              (unsigned long long)expectation->last);
    content = seq > expectation->last ? &expectation->after : &history->states[seq].content;
    need_that(verdict->content_hash == content_hash(content), "another content than expected");
}

static const struct content *content_at(const struct history *history,
                                        const struct expectation *expectation, uint64_t seq)
{
    return seq > expectation->last ? &expectation->after : &history->states[seq].content;
}

/* Open, and see what is there (1 to 5). */
static void check_recovery(struct machine *machine, const struct history *history,
                           const struct expectation *expectation, struct verdict *out)
{
    const struct content *content;

    place.step = "recovery";
    open_store(machine);
    out->seq = kv_store_seq(machine->store);
    content = content_at(history, expectation, out->seq);
    out->content_hash = content_hash(content);
    check_verdict(out, history, expectation);
    check_content(machine->store, content, false);
    check_sound(machine);
}

/* The last thing done to a store: another row of one key, and the absence of another. */
static struct kv_txn *one_more(struct machine *machine, struct content *content)
{
    struct kv_txn *txn;

    must(kv_txn_begin(machine->store, NULL, &txn), "beginning");
    must(kv_txn_put(txn, history_key(3), history_row(777)), "writing");
    must(kv_txn_delete(txn, history_key(5)), "deleting");
    content->rows[3] = 777;
    content->rows[5] = 0;
    return txn;
}

void check_image(const struct image *image, const struct history *history,
                 const struct expectation *expectation, struct verdict *out)
{
    struct machine machine;
    struct content content;

    machine_init(&machine, image, FIRST_LIFE);
    check_recovery(&machine, history, expectation, out);
    content = *content_at(history, expectation, out->seq);

    place.step = "recovering again";
    lose_power(&machine);
    open_store(&machine);
    check_state(&machine, out->seq, &content);

    place.step = "one more transaction";
    must(kv_txn_commit(one_more(&machine, &content)), "committing");
    lose_power(&machine);
    open_store(&machine);
    check_state(&machine, out->seq + 1, &content);

    place.step = "compaction";
    must(kv_compact(machine.store, NULL, NULL), "compacting");
    check_content(machine.store, &content, false);
    close_store(&machine);
    open_store(&machine);
    check_state(&machine, out->seq + 1, &content);
    check_sound(&machine);
    machine_release(&machine);
}

/* ---- Without a manifest */

static enum kv_status ignore_step(void *context, const struct kv_repair_step *step)
{
    (void)context;
    (void)step;
    return KV_OK;
}

void check_repaired(const struct image *image, const struct history *history,
                    const struct expectation *expectation)
{
    struct machine machine;
    struct verdict found;

    /* Before it has recovered, a second life may find what its recovery would not have found. */
    if (history->before && expectation == &history->expectations[0])
        history = history->before;
    place.step = "repair without a manifest";
    machine_init(&machine, image, LAST_LIFE);
    if (kv_memfs_delete(machine.fs, POWER_PATH "/" KV_NAME_MANIFEST)) {
        atomic_fetch_add(&figures->repaired, 1);
        must(kv_repair(POWER_PATH, machine.options.io, NULL, ignore_step, NULL), "repairing");
        open_store(&machine);
        found.seq = kv_store_seq(machine.store);
        need_that(found.seq <= expectation->last + expectation->maybe, "%llu transactions",
                  (unsigned long long)found.seq);
        found.content_hash = content_hash(content_at(history, expectation, found.seq));
        check_verdict(&found, history, expectation);
        check_content(machine.store, content_at(history, expectation, found.seq), false);
    }
    machine_release(&machine);
}

/* ---- Traced */

static void mark(struct trace *trace, struct history *next, struct expectation *now)
{
    now->last = next->last;
    trace_mark(trace, history_expect(next, now));
}

void check_traced(const struct image *image, const struct history *history,
                  const struct expectation *expectation, struct trace *trace, struct history *next)
{
    struct machine machine;
    struct verdict verdict;
    struct expectation now = *expectation;
    struct content content;
    struct kv_txn *txn;

    place.step = "a traced life";
    machine_init(&machine, image, FIRST_LIFE);
    trace_init(trace, POWER_PATH);
    for (size_t i = 0; i < image->file_count; i++)
        trace_add_file(trace, image->files[i].name);
    machine.options.io = trace_io_new(trace, machine.options.io);
    history_copy(next, history, expectation->last);
    next->before = history;
    mark(trace, next, &now);

    check_recovery(&machine, history, expectation, &verdict);
    content = *content_at(history, expectation, verdict.seq);
    if (verdict.seq > next->last)
        history_commit(next, &content, verdict.seq);
    next->last = now.durable = verdict.seq;
    now.maybe = false;
    mark(trace, next, &now);

    txn = one_more(&machine, &content);
    now.maybe = true;
    now.after = content;
    now.proven = next->last;
    mark(trace, next, &now);
    must(kv_txn_commit(txn), "committing");
    history_commit(next, &content, next->last);
    now.durable = next->last;
    now.maybe = false;
    mark(trace, next, &now);

    must(kv_compact(machine.store, NULL, NULL), "compacting");
    close_store(&machine);
    open_store(&machine);
    close_store(&machine);
    trace_io_free(machine.options.io);
    machine_release(&machine);
}

/* ---- Damaged */

/* Flip a bit, mostly of what holds something. False: there is nothing to damage. */
static bool damage(struct image *image, uint64_t seed, size_t *file, uint64_t *offset)
{
    struct chooser chance;
    struct image_bytes *bytes;

    chooser_init(&chance, CHOOSE_RANDOMLY, seed, 1);
    if (image->file_count == 0)
        return false;
    *file = chooser_below(&chance, (unsigned)image->file_count);
    bytes = &image->files[*file].bytes;
    if (bytes->used == 0 || strcmp(image->files[*file].name, KV_NAME_LOCK) == 0)
        return false;
    *offset = chooser_random(&chance) % bytes->used;
    bytes->data[*offset] ^= (uint8_t)(1 << chooser_below(&chance, 8));
    return true;
}

void check_damaged(struct image *image, const struct history *history,
                   const struct expectation *expectation, uint64_t seed)
{
    struct machine machine;
    uint64_t offset, whole, seq;
    size_t file;
    enum kv_status st;

    place.step = "damage";
    machine_init(&machine, image, FIRST_LIFE);
    open_store(&machine);
    whole = kv_store_seq(machine.store);
    machine_release(&machine);
    if (!damage(image, seed, &file, &offset))
        return;
    atomic_fetch_add(&figures->damaged, 1);
    machine_init(&machine, image, FIRST_LIFE);
    st = kv_store_open(POWER_PATH, &machine.options, &machine.store);
    if (st == KV_OK) {
        uint64_t proven =
            whole > expectation->last ? expectation->proven : history->states[whole].proven;

        seq = kv_store_seq(machine.store);
        need_that(
            seq <= whole && seq >= (proven < whole ? proven : whole),
            "%s damaged at %llu: %llu transactions are left of %llu, of which %llu are proven",
            image->files[file].name, (unsigned long long)offset, (unsigned long long)seq,
            (unsigned long long)whole, (unsigned long long)proven);
        check_content(machine.store, content_at(history, expectation, seq), true);
    } else {
        need_that(st == KV_CORRUPT, "%s damaged at %llu: %s: %s", image->files[file].name,
                  (unsigned long long)offset, kv_status_name(st), kv_message());
    }
    machine_release(&machine);
}
