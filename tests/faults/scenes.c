/* The scenes: see play.h. */
#include <stdio.h>
#include <stdlib.h>

#include "engine_world.h"
#include "names.h"
#include "play.h"
#include "runner.h"

enum { KEYS = 40, ROW_BYTES = 3000, BACKUPS = 2 };

static const char backup_path[] = "/backup";

/* ---- Acting */

/* Go on? Not after a failure. */
static bool did(struct play *play, enum kv_status st)
{
    if (st == KV_OK || play->st != KV_OK)
        return play->st == KV_OK;
    play->st = st;
    play->unknown |= strstr(kv_message(), "unknown") != NULL;
    return false;
}

static void rehearse(struct play *play, struct world *world)
{
    if (play->is_rehearsal)
        play->digests[kv_store_seq(world->store)] = world_digest(world);
}

static bool opens(struct play *play, struct world *world)
{
    if (!did(play, kv_store_open(WORLD_PATH, &world->options, &world->store)))
        return false;
    rehearse(play, world);
    return true;
}

static void closes(struct play *play, struct world *world)
{
    enum kv_status st = kv_store_close(world->store);

    world->store = NULL;
    if (did(play, st) && play->promised_seq > play->durable_seq)
        play->durable_seq = play->promised_seq;
}

/* A transaction was acknowledged. */
static void promise(struct play *play, struct world *world, enum kv_synchronous synchronous)
{
    uint64_t seq = kv_store_seq(world->store);

    play->unknown = false;
    if (seq > play->promised_seq) /* less, where what was promised cannot be read any more */
        play->promised_seq = seq;
    if (synchronous == KV_SYNC_FULL)
        play->durable_seq = play->promised_seq;
    rehearse(play, world);
}

/* Change `count` keys, so that `turn` tells what they hold. */
static bool writes(struct play *play, struct kv_txn *txn, unsigned turn, unsigned count)
{
    static char row[ROW_BYTES];
    char key[32];

    memset(row, (int)('a' + turn % 26), sizeof(row));
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "key %03u", (turn * 7 + i * 3) % (count > KEYS ? count : KEYS));
        snprintf(row, sizeof(row), "%u", turn);
        if (!did(play, i % 6 == 5
                           ? kv_txn_delete(txn, kv_slice_text(key))
                           : kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, sizeof(row)))))
            return false;
    }
    return true;
}

static bool begins(struct play *play, struct world *world, struct kv_settings *settings,
                   struct kv_txn **txn)
{
    if (play->st != KV_OK || !did(play, kv_txn_begin(world->store, settings, txn)))
        return false;
    if (play->unknown) /* whoever writes has resolved all doubt */
        promise(play, world, KV_SYNC_OFF);
    rehearse(play, world);
    return true;
}

static void commits(struct play *play, struct world *world, struct kv_txn *txn,
                    enum kv_synchronous synchronous)
{
    if (did(play, kv_txn_commit(txn)))
        promise(play, world, synchronous);
}

static void transacts(struct play *play, struct world *world, unsigned turn, unsigned count)
{
    struct kv_settings settings = world->options.settings;
    struct kv_txn *txn;

    settings.synchronous = (enum kv_synchronous)(turn % 3);
    if (!begins(play, world, &settings, &txn))
        return;
    if (writes(play, txn, turn, count))
        commits(play, world, txn, settings.synchronous);
    else
        kv_txn_abort(txn);
}

/*
 * Taking back what was prepared cannot fail, as far as it says: after a fault since
 * there were so many, it may be there after all.
 */
static void took_back(struct play *play, uint64_t faults)
{
    play->unknown |= kv_memfs_fault_count(play->world.fs) > faults;
}

/* Prepare, and abort. */
static void hesitates(struct play *play, struct kv_txn *txn)
{
    uint64_t faults = kv_memfs_fault_count(play->world.fs);

    did(play, kv_txn_prepare(txn));
    kv_txn_abort(txn);
    took_back(play, faults);
}

/* Everything, once by key and once in order. */
static void reads(struct play *play, struct world *world)
{
    struct kv_range everything = {.descending = true};
    struct kv_snapshot *snapshot = NULL;
    struct kv_scan *scan = NULL;
    struct kv_entry entry;
    char key[32];
    enum kv_status st = kv_snapshot_new(world->store, &snapshot);

    if (st == KV_OK)
        st = kv_snapshot_acquire(snapshot);
    for (unsigned i = 0; i < KEYS && st == KV_OK; i++) {
        snprintf(key, sizeof(key), "key %03u", i);
        st = kv_snapshot_get(snapshot, NULL, kv_slice_text(key), &entry);
        st = st == KV_DONE ? KV_OK : st;
    }
    if (st == KV_OK)
        st = kv_scan_open(snapshot, NULL, &everything, &scan);
    while (st == KV_OK)
        st = kv_scan_next(scan, &entry);
    kv_scan_close(scan);
    kv_snapshot_free(snapshot);
    did(play, st == KV_DONE ? KV_OK : st);
}

/* ---- Stores to begin with */

static void init(struct play *play)
{
    struct kv_settings *settings;

    world_init(&play->world);
    settings = &play->world.options.settings;
    settings->max_segment_bytes = WORLD_SEGMENT_BYTES;
    settings->fanout = 2;
    settings->tiers = 3;
}

static void nothing(struct play *play)
{
    init(play);
}

/* A merged run of several segments, two sealed logs and something in the active one; open. */
static void fill(struct play *play)
{
    init(play);
    world_open(&play->world);
    for (unsigned turn = 1; turn < 5; turn++)
        transacts(play, &play->world, turn, 25);
    ck_kv(kv_compact(play->world.store, NULL, NULL));
    for (unsigned turn = 5; turn < 7; turn++) {
        transacts(play, &play->world, turn, 14);
        engine_seal(&play->world);
    }
    transacts(play, &play->world, 7, 5);
    ck_kv(play->st);
}

static void a_store(struct play *play)
{
    fill(play);
    closes(play, &play->world);
}

/* What each program that died may have left. */
static void leave_unfinished_files(struct world *world)
{
    static const char *const names[] = {"segment_000000000900.db", "segment_000000000900.idx",
                                        KV_NAME_MANIFEST_TEMPORARY};
    char index[KV_NAME_BYTES];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert(
            kv_memfs_write_file(world->fs, world_path(names[i]), kv_slice_text("unfinished")));
    kv_name_index_temporary(index, 3, 77);
    ck_assert(kv_memfs_write_file(world->fs, world_path(index), kv_slice_text("unfinished")));
}

/* Take every `which`th index of a store away. */
static void lose_indexes(struct world *world, unsigned which)
{
    char *all = kv_memfs_list(world->fs, WORLD_PATH), *rest = all, *name;
    unsigned count = 0;
    uint64_t number;

    while ((name = strsep(&rest, "\n")) != NULL)
        if (kv_name_parse(name, &number) == KV_NAME_IS_INDEX && ++count % which == 0)
            ck_assert(kv_memfs_delete(world->fs, world_path(name)));
    ck_assert_uint_gt(count, 2);
    free(all);
}

/* Its process has died in the middle of a transaction, having committed without syncing. */
static void a_killed_store(struct play *play)
{
    struct kv_settings settings;
    struct kv_txn *txn;

    fill(play);
    settings = play->world.options.settings;
    settings.synchronous = KV_SYNC_OFF;
    for (unsigned turn = 9; turn < 30; turn += 9)
        transacts(play, &play->world, turn, 3);
    ck_assert(begins(play, &play->world, &settings, &txn));
    ck_assert(writes(play, txn, 1, 5));
    kv_memfs_kill(play->world.fs);
    kv_txn_abort(txn);
    (void)!kv_store_close(play->world.store);
    play->world.store = NULL;
    leave_unfinished_files(&play->world);
    lose_indexes(&play->world, 2);
    play->durable_seq = play->promised_seq; /* the power was not cut */
}

/* A large transaction was prepared when its process died. */
static void a_store_with_a_group(struct play *play)
{
    struct kv_txn *txn;

    fill(play);
    ck_assert(begins(play, &play->world, NULL, &txn));
    ck_assert(writes(play, txn, 8, 60));
    ck_kv(kv_txn_prepare(txn));
    kv_memfs_kill(play->world.fs);
    kv_txn_abort(txn);
    (void)!kv_store_close(play->world.store);
    play->world.store = NULL;
    play->unknown = true;
}

static void a_store_without_indexes(struct play *play)
{
    a_store(play);
    lose_indexes(&play->world, 1);
}

static void an_empty_store(struct play *play)
{
    init(play);
    world_open(&play->world);
    world_close(&play->world);
}

/* Its creation ended before there was a MANIFEST. */
static void a_begun_store(struct play *play)
{
    an_empty_store(play);
    ck_assert(kv_memfs_delete(play->world.fs, world_path(KV_NAME_MANIFEST)));
    ck_assert(kv_memfs_truncate(play->world.fs, segment_path(1), 4096));
}

/* ---- Opening */

static void create(struct play *play)
{
    struct world *world = &play->world;

    if (opens(play, world)) {
        transacts(play, world, 2, 5);
        closes(play, world);
    }
}

/* Who may use a file may use the store beside it. */
static void create_like_another(struct play *play)
{
    ck_assert(kv_memfs_write_file(play->world.fs, "/main", kv_slice_text("another's")));
    play->world.options.mode_like = "/main";
    create(play);
    play->world.options.mode_like = NULL;
}

static void create_over(struct play *play)
{
    play->world.options.mode = KV_OPEN_NEW;
    create(play);
    play->world.options.mode = KV_OPEN_OR_CREATE;
}

static void open_and_read(struct play *play)
{
    if (!opens(play, &play->world))
        return;
    reads(play, &play->world);
    if (play->world.options.readonly)
        closes(play, &play->world);
    else
        transacts(play, &play->world, 3, 4);
}

static void open_readonly(struct play *play)
{
    play->world.options.readonly = true;
    open_and_read(play);
    play->world.options.readonly = false;
}

/* ---- Using */

static void use(struct play *play)
{
    struct world *world = &play->world;
    uint64_t seq;

    world->options.settings.auto_compact = true;
    if (!opens(play, world))
        return;
    for (unsigned turn = 3; turn < 20; turn++)
        transacts(play, world, turn, 12);
    if (play->st == KV_OK && did(play, kv_sync(world->store, &seq)))
        play->durable_seq = seq;
    reads(play, world);
    closes(play, world);
}

/* Take back what was prepared. When that fails it may be there after all: so it is then written again. */
static void hesitate(struct play *play)
{
    struct world *world = &play->world;
    struct kv_savepoint savepoint;
    struct kv_txn *txn;

    if (!opens(play, world) || !begins(play, world, NULL, &txn))
        return;
    if (writes(play, txn, 3, 5)) {
        savepoint = kv_txn_savepoint(txn);
        if (writes(play, txn, 4, 8) && did(play, kv_txn_prepare(txn))) {
            uint64_t faults = kv_memfs_fault_count(world->fs);

            kv_txn_rollback_to(txn, savepoint);
            took_back(play, faults);
        }
    }
    if (writes(play, txn, 4, 8))
        commits(play, world, txn, KV_SYNC_FULL);
    else
        kv_txn_abort(txn);
    if (!begins(play, world, NULL, &txn))
        return;
    if (writes(play, txn, 6, 5))
        hesitates(play, txn);
    else
        kv_txn_abort(txn);
    transacts(play, world, 6, 5);
    closes(play, world);
}

/* A transaction larger than a log, most of which is taken back once. */
static void overflow(struct play *play)
{
    struct world *world = &play->world;
    struct kv_savepoint savepoint;
    struct kv_txn *txn;

    if (!opens(play, world) || !begins(play, world, NULL, &txn))
        return;
    if (writes(play, txn, 3, 30)) {
        savepoint = kv_txn_savepoint(txn);
        if (writes(play, txn, 4, 100))
            kv_txn_rollback_to(txn, savepoint);
    }
    if (writes(play, txn, 5, 50))
        commits(play, world, txn, KV_SYNC_FULL);
    else
        kv_txn_abort(txn);
    if (!begins(play, world, NULL, &txn))
        return;
    if (writes(play, txn, 6, 60))
        hesitates(play, txn);
    else
        kv_txn_abort(txn);
    transacts(play, world, 6, 60);
    closes(play, world);
}

static void compact_in_steps(struct play *play)
{
    struct kv_compact_budget budget = {.bytes = 40000};
    uint64_t left = 1;

    if (!opens(play, &play->world))
        return;
    while (left > 0 && did(play, kv_compact_some(play->world.store, NULL, &budget, &left)))
        ;
    closes(play, &play->world);
}

static void compact(struct play *play)
{
    if (!opens(play, &play->world))
        return;
    did(play, kv_compact(play->world.store, NULL, NULL));
    transacts(play, &play->world, 3, 8);
    closes(play, &play->world);
}

static enum kv_status ignore_problem(void *context, const struct kv_problem *problem)
{
    (void)context, (void)problem;
    return KV_OK;
}

static enum kv_status ignore_report(void *context, const struct kv_segment_report *report)
{
    (void)context, (void)report;
    return KV_OK;
}

static void examine(struct play *play)
{
    struct kv_stats stats;

    did(play, kv_check(WORLD_PATH, play->world.io, NULL, ignore_problem, NULL));
    if (play->st != KV_OK || !opens(play, &play->world))
        return;
    did(play, kv_store_stats(play->world.store, &stats));
    did(play, kv_store_segments(play->world.store, NULL, ignore_report, NULL));
    did(play, kv_store_check(play->world.store, NULL, ignore_problem, NULL));
    closes(play, &play->world);
}

/* ---- Backing up */

static void back_up(struct play *play)
{
    if (!opens(play, &play->world))
        return;
    if (did(play, kv_backup(play->world.store, backup_path, NULL, NULL))) {
        transacts(play, &play->world, 3, 25);
        did(play, kv_backup(play->world.store, backup_path, NULL, NULL));
    }
    closes(play, &play->world);
}

static void back_up_by_copying(struct play *play)
{
    kv_memfs_fail(play->world.fs, KV_MEMFS_LINK, 1, KV_INVALID, KV_MEMFS_STICKY);
    back_up(play);
}

static void back_up_readonly(struct play *play)
{
    play->world.options.readonly = true;
    if (opens(play, &play->world)) {
        did(play, kv_backup(play->world.store, backup_path, NULL, NULL));
        closes(play, &play->world);
    }
    play->world.options.readonly = false;
}

/* A log and a copy of it that are not written at one go. */
static void back_up_much(struct play *play)
{
    enum { MEGABYTES = 9 };
    struct world *world = &play->world;
    struct kv_settings settings = world->options.settings;
    char *row = calloc(MEGABYTES, 1 << 20);
    struct kv_txn *txn;

    world->options.settings.segment_bytes = settings.segment_bytes = 16 << 20;
    ck_assert_ptr_nonnull(row);
    if (opens(play, world) && begins(play, world, &settings, &txn)) {
        if (did(play, kv_txn_put(txn, kv_slice_text("much"), kv_slice_of(row, MEGABYTES << 20))))
            commits(play, world, txn, KV_SYNC_FULL);
        else
            kv_txn_abort(txn);
        kv_memfs_fail(world->fs, KV_MEMFS_LINK, 1, KV_INVALID, KV_MEMFS_STICKY);
        did(play, play->st == KV_OK ? kv_backup(world->store, backup_path, NULL, NULL) : KV_OK);
    }
    free(row);
}

/* Whatever happened, the next backup is as good as any. */
static void expect_backup(struct play *play)
{
    struct world copy = play->world;
    uint64_t digest;

    world_open(&play->world);
    digest = world_digest(&play->world);
    ck_kv(kv_backup(play->world.store, backup_path, NULL, NULL));
    ck_kv(kv_store_open(backup_path, &copy.options, &copy.store));
    ck_assert_uint_eq(world_digest(&copy), digest);
    world_close(&copy);
    world_close(&play->world);
}

static void a_backup(struct play *play)
{
    a_store(play);
    world_open(&play->world);
    ck_kv(kv_backup(play->world.store, backup_path, NULL, NULL));
    world_close(&play->world);
}

/* Whoever writes to a backup makes it a store of its own. */
static void write_to_backup(struct play *play)
{
    struct world copy = play->world;

    if (!did(play, kv_store_open(backup_path, &copy.options, &copy.store)))
        return;
    did(play, kv_put(copy.store, kv_slice_text("key"), kv_slice_text("row")));
    (void)!kv_store_close(copy.store);
}

/* ---- Repairing */

/* A bit at `offset` in every segment and index is another one. */
static void damage(struct world *world, enum kv_name_kind kind, uint64_t offset)
{
    char *all = kv_memfs_list(world->fs, WORLD_PATH), *rest = all, *name;
    uint64_t number;

    while ((name = strsep(&rest, "\n")) != NULL)
        if (kv_name_parse(name, &number) == kind)
            kv_memfs_flip_bit(world->fs, world_path(name), offset, 3);
    free(all);
}

static void a_damaged_store(struct play *play)
{
    a_store(play);
    damage(&play->world, KV_NAME_IS_SEGMENT, 4096 + 4000);
    lose_indexes(&play->world, 3);
}

static void a_damaged_store_without_manifest(struct play *play)
{
    a_damaged_store(play);
    ck_assert(kv_memfs_delete(play->world.fs, world_path(KV_NAME_MANIFEST)));
}

/* Files of an earlier repair have the names that this one needs. */
static void a_store_repaired_before(struct play *play)
{
    char *all, *rest, *name;
    struct kv_dir *dir;
    uint64_t number;

    a_damaged_store(play);
    ck_kv(kv_io_dir_create(play->world.io, WORLD_PATH "/" KV_NAME_QUARANTINE, 0700));
    ck_kv(kv_io_dir_open(play->world.io, WORLD_PATH, &dir));
    kv_io_dir_close(dir);
    all = rest = kv_memfs_list(play->world.fs, WORLD_PATH);
    while ((name = strsep(&rest, "\n")) != NULL) {
        char path[2 * KV_NAME_BYTES];

        snprintf(path, sizeof(path), KV_NAME_QUARANTINE "/%s", name);
        if (kv_name_parse(name, &number) == KV_NAME_IS_SEGMENT)
            ck_assert(kv_memfs_write_file(play->world.fs, world_path(path), kv_slice_text("old")));
    }
    free(all);
}

static void a_store_with_damaged_indexes(struct play *play)
{
    a_store(play);
    for (uint64_t offset = 4000; offset < 200000; offset += 4096)
        damage(&play->world, KV_NAME_IS_INDEX, offset);
}

static enum kv_status ignore_step(void *context, const struct kv_repair_step *step)
{
    (void)context, (void)step;
    return KV_OK;
}

static void repair(struct play *play)
{
    did(play, kv_repair(WORLD_PATH, play->world.io, NULL, ignore_step, NULL));
    play->destroyed = true; /* in part: see expect_repaired */
}

static void repair_by_copying(struct play *play)
{
    kv_memfs_fail(play->world.fs, KV_MEMFS_LINK, 1, KV_INVALID, KV_MEMFS_STICKY);
    repair(play);
}

/* Fail unless every row is the one that `turn`s before have left as the newest. */
static void expect_newest(struct world *world)
{
    struct kv_range everything = {0};
    struct kv_snapshot *snapshot = world_snapshot(world);
    struct kv_scan *scan;
    struct kv_entry entry;
    unsigned newest[KEYS] = {0};
    enum kv_status st;

    for (unsigned turn = 1; turn < 8; turn++)
        for (unsigned i = 0, count = turn < 5 ? 25 : turn < 7 ? 14 : 5; i < count; i++)
            newest[(turn * 7 + i * 3) % KEYS] = i % 6 == 5 ? 0 : turn;
    ck_kv(kv_scan_open(snapshot, NULL, &everything, &scan));
    while ((st = kv_scan_next(scan, &entry)) == KV_OK) {
        char text[8];
        unsigned key;

        snprintf(text, sizeof(text), "%.*s", (int)entry.key.size, entry.key.data);
        key = (unsigned)atoi(text + 4);

        ck_assert_uint_lt(key, KEYS);
        ck_assert_int_eq(atoi((const char *)entry.row.data), (int)newest[key]);
    }
    ck_kv_is(st, KV_DONE);
    kv_scan_close(scan);
    kv_snapshot_free(snapshot);
}

/* It can be repaired again, and nothing older has come back. */
static void expect_repaired(struct play *play)
{
    ck_kv(kv_repair(WORLD_PATH, play->world.io, NULL, ignore_step, NULL));
    world_open(&play->world);
    expect_newest(&play->world);
    world_close(&play->world);
}

/* ---- Ending */

static void destroy(struct play *play)
{
    play->destroyed = true;
    did(play, kv_destroy(WORLD_PATH, play->world.io));
}

static void expect_destroyed(struct play *play)
{
    enum kv_status st = kv_destroy(WORLD_PATH, play->world.io);

    ck_assert(st == KV_OK || st == KV_NOTFOUND);
    play->promised_seq = play->durable_seq = 0;
}

static void be_temporary(struct play *play)
{
    play->world.options.temporary = true;
    if (opens(play, &play->world)) {
        transacts(play, &play->world, 3, 4);
        closes(play, &play->world);
    }
    play->world.options.temporary = false;
    play->destroyed = true;
}

/* ---- Two processes */

static void two_processes(struct play *play)
{
    init(play);
    world_join(&play->other, &play->world);
    world_open(&play->world);
    transacts(play, &play->world, 3, 14);
    engine_seal(&play->world);
    transacts(play, &play->world, 4, 14);
    ck_kv(play->st);
}

/* One follows the other, through seals and merges, and takes over when that dies. */
static void follow(struct play *play)
{
    struct world *one = &play->world, *other = &play->other;

    if (!opens(play, other))
        return;
    for (unsigned turn = 5; turn < 9; turn++) {
        transacts(play, turn % 2 ? one : other, turn, 14);
        reads(play, turn % 2 ? other : one);
    }
    did(play, play->st == KV_OK ? kv_compact(one->store, NULL, NULL) : KV_OK);
    reads(play, other);
    closes(play, other);
}

static void follow_readonly(struct play *play)
{
    struct world *one = &play->world, *other = &play->other;

    other->options.readonly = true;
    if (!opens(play, other))
        return;
    for (unsigned turn = 5; turn < 9; turn++) {
        transacts(play, one, turn, 14);
        reads(play, other);
    }
    closes(play, other);
}

static void survive(struct play *play)
{
    struct world *one = &play->world, *other = &play->other;
    struct kv_txn *txn;

    if (!opens(play, other) || !begins(play, other, NULL, &txn))
        return;
    if (writes(play, txn, 5, 5) && did(play, kv_txn_prepare(txn)))
        play->unknown = true;
    kv_memfs_kill_process(play->world.fs, other->io);
    kv_txn_abort(txn);
    if (play->st != KV_OK)
        return;
    reads(play, one);
    transacts(play, one, 6, 5);
    closes(play, one);
}

const struct scene scenes[] = {
    {.name = "create", nothing, create},
    {.name = "create like another", nothing, create_like_another},
    {.name = "create what was begun", a_begun_store, create},
    {.name = "create over an empty store", an_empty_store, create_over},
    {.name = "open", a_store, open_and_read},
    {.name = "recover", a_killed_store, open_and_read},
    {.name = "recover a group", a_store_with_a_group, open_and_read},
    {.name = "open read-only", a_store_without_indexes, open_readonly},
    {.name = "recover read-only", a_killed_store, open_readonly},
    {.name = "rebuild indexes", a_store_with_damaged_indexes, open_and_read},
    {.name = "use", a_store, use},
    {.name = "hesitate", a_store, hesitate},
    {.name = "overflow", a_store, overflow},
    {.name = "compact", a_store, compact},
    {.name = "compact in steps", a_store, compact_in_steps},
    {.name = "examine", a_store, examine},
    {.name = "examine without indexes", a_store_without_indexes, examine},
    {.name = "back up", a_store, back_up, expect_backup},
    {.name = "back up by copying", a_store, back_up_by_copying, expect_backup},
    {.name = "back up read-only", a_killed_store, back_up_readonly, expect_backup},
    {.name = "write to a backup", a_backup, write_to_backup},
    {.name = "repair", a_damaged_store, repair, expect_repaired},
    {.name = "repair by copying", a_damaged_store, repair_by_copying, expect_repaired},
    {.name = "repair without MANIFEST", a_damaged_store_without_manifest, repair, expect_repaired},
    {.name = "repair again", a_store_repaired_before, repair, expect_repaired},
    {.name = "repair indexes", a_store_with_damaged_indexes, repair, expect_repaired},
    {.name = "destroy", a_store, destroy, expect_destroyed},
    {.name = "be temporary", nothing, be_temporary, expect_destroyed},
    {.name = "follow", two_processes, follow, .has_two_processes = true},
    {.name = "follow read-only", two_processes, follow_readonly, .has_two_processes = true},
    {.name = "survive", two_processes, survive, .has_two_processes = true},
    {.name = "back up much", nothing, back_up_much, expect_backup, .is_long = true},
};
const unsigned scene_count = sizeof(scenes) / sizeof(scenes[0]);
