/* Opening, creating, taking over, sharing, closing and deleting stores. */
#include <stdio.h>

#include "lock.h"
#include "names.h"
#include "record.h"
#include "runner.h"
#include "world.h"

static struct world world;

static void setup(void)
{
    world_init(&world);
}

static void teardown(void)
{
    world_end(&world);
}

static enum kv_status open_at(const char *path, struct kv_store **out)
{
    return kv_store_open(path, &world.options, out);
}

static bool directory_exists(void)
{
    char *names = kv_memfs_list(world.fs, WORLD_PATH);

    free(names);
    return names != NULL;
}

/* Opening fails with `expected`, and nothing in the directory changes. */
static void expect_refusal(const char *path, enum kv_status expected)
{
    uint64_t before = world_files_digest(&world);
    struct kv_store *store = (struct kv_store *)&world;

    ck_kv_is(open_at(path, &store), expected);
    ck_assert_ptr_null(store);
    ck_assert_ptr_nonnull(strstr(kv_message(), path));
    ck_assert_uint_eq(world_files_digest(&world), before);
}

/* ---- Creating */

START_TEST(test_kv_open_existing_needs_a_store)
{
    world.options.mode = KV_OPEN_EXISTING;
    expect_refusal(WORLD_PATH, KV_NOTFOUND);
    ck_assert(!directory_exists());
    ck_kv(kv_io_dir_create(world.io, WORLD_PATH, 0700));
    expect_refusal(WORLD_PATH, KV_NOTFOUND);
    world.options.mode = KV_OPEN_OR_CREATE;
    world_open(&world);
    world_close(&world);
    world.options.mode = KV_OPEN_EXISTING;
    world_open(&world);
}
END_TEST

/*
 * Goal: directories that were made on the way are durable, also when the first
 * attempt failed after making them.
 * Method: fail each call once, open again, commit, and cut the power.
 */
START_TEST(test_kv_open_creates_parents)
{
    uint64_t faults = 1;

    for (uint64_t nth = 1; faults; nth++) {
        struct kv_store *store;

        teardown();
        setup();
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_ONCE);
        if (open_at("/one/two/three", &store) != KV_OK)
            ck_kv(open_at("/one/two/three", &store));
        faults = kv_memfs_fault_count(world.fs);
        kv_memfs_heal(world.fs);
        ck_kv(kv_put(store, kv_slice_text("a"), kv_slice_text("1")));
        ck_kv(kv_store_close(store));
        kv_memfs_crash(world.fs, KV_MEMFS_DROP, 0);
        world.options.mode = KV_OPEN_EXISTING;
        ck_kv(open_at("/one/two/three/", &store));
        ck_assert_uint_eq(kv_store_seq(store), 1);
        ck_kv(kv_store_close(store));
    }
}
END_TEST

START_TEST(test_kv_open_refuses_bad_paths_and_settings)
{
    struct kv_store *store;

    ck_kv_is(open_at("", &store), KV_INVALID);
    ck_kv(kv_io_dir_create(world.io, WORLD_PATH, 0700));
    ck_assert(kv_memfs_write_file(world.fs, "/db/file", kv_slice_text("text")));
    expect_refusal("/db/file", KV_INVALID);
    expect_refusal(WORLD_PATH, KV_INVALID); /* holds a file that is no store's */
    ck_assert(kv_memfs_delete(world.fs, "/db/file"));
    world.options.settings.fanout = 1;
    ck_kv_is(open_at(WORLD_PATH, &store), KV_INVALID);
    ck_assert_ptr_nonnull(strstr(kv_message(), "fanout is 1"));
    world.options.settings.fanout = 2;
    ck_kv(open_at(WORLD_PATH, &store));
    ck_kv(kv_store_close(store));
    /* Next to a store, other files may lie about. */
    ck_assert(kv_memfs_write_file(world.fs, "/db/file", kv_slice_text("text")));
    ck_kv(open_at(WORLD_PATH, &store));
    ck_kv(kv_store_close(store));
    ck_assert(world_has_file(&world, "file"));
}
END_TEST

START_TEST(test_kv_settings_have_limits)
{
    struct kv_settings good = kv_settings_default(), bad;

    ck_kv(kv_settings_check(&good));
#define REFUSED(field, value)                                                                      \
    bad = good;                                                                                    \
    bad.field = value;                                                                             \
    ck_kv_is(kv_settings_check(&bad), KV_INVALID);                                                 \
    ck_assert_ptr_nonnull(strstr(kv_message(), #field))
#define ALLOWED(field, value)                                                                      \
    bad = good;                                                                                    \
    bad.field = value;                                                                             \
    ck_kv(kv_settings_check(&bad))
    REFUSED(segment_bytes, 65535);
    REFUSED(segment_bytes, (1 << 30) + 1);
    REFUSED(max_segment_bytes, 65535);
    REFUSED(max_segment_bytes, ((uint64_t)4 << 30) + 1);
    REFUSED(fanout, 1);
    REFUSED(fanout, 33);
    REFUSED(tiers, 0);
    REFUSED(tiers, 9);
    REFUSED(garbage_ratio, 0.04);
    REFUSED(garbage_ratio, 0.96);
    REFUSED(garbage_ratio, 0.0 / 0.0);
    ALLOWED(segment_bytes, 65536);
    ALLOWED(segment_bytes, 1 << 30);
    ALLOWED(max_segment_bytes, (uint64_t)4 << 30);
    ALLOWED(fanout, 32);
    ALLOWED(tiers, 8);
    ALLOWED(garbage_ratio, 0.05);
    ALLOWED(garbage_ratio, 0.95);
}
END_TEST

/*
 * Goal: however far a creation got, opening again makes or finds an empty store.
 * Method: freeze the world at each call of a creation; then kill, or cut the power.
 */
START_TEST(test_kv_unfinished_creation_is_taken_over)
{
    for (int death = 0; death < 6; death++) {
        enum kv_status st = KV_IOERR;

        for (uint64_t nth = 1; st != KV_OK; nth++) {
            struct kv_store *store;

            teardown();
            setup();
            world.options.mode = death % 2 ? KV_OPEN_NEW : KV_OPEN_OR_CREATE;
            kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
            st = open_at(WORLD_PATH, &store);
            if (death < 2)
                kv_memfs_kill(world.fs);
            else
                kv_memfs_crash(world.fs, death < 4 ? KV_MEMFS_DROP : KV_MEMFS_RANDOM, nth);
            if (st == KV_OK)
                st = kv_store_close(store) == KV_OK ? KV_OK : KV_OK;
            world_open(&world);
            world_put(&world, "a", "1");
            world_check(&world);
            /* The second one is as durable as any. */
            world_crash(&world, KV_MEMFS_DROP, 0);
            world.options.mode = KV_OPEN_EXISTING;
            world_open(&world);
            world_expect_all(&world, "a=1");
            world_check(&world);
            ck_assert_uint_lt(nth, 200);
        }
    }
}
END_TEST

/* The same with a single failing call and no crash: what was not synced then is synced later. */
START_TEST(test_kv_failed_creation_can_be_repeated)
{
    for (uint64_t nth = 1;; nth++) {
        enum kv_status st;

        teardown();
        setup();
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_ONCE);
        st = open_at(WORLD_PATH, &world.store);
        kv_memfs_heal(world.fs);
        if (!world.store)
            world_open(&world);
        world_put(&world, "a", "1");
        world_crash(&world, KV_MEMFS_DROP, 0);
        world.options.mode = KV_OPEN_EXISTING;
        world_open(&world);
        world_expect_all(&world, "a=1");
        world_check(&world);
        if (kv_memfs_fault_count(world.fs) == 0)
            break;
        ck_assert(st == KV_OK || st == KV_IOERR);
    }
}
END_TEST

START_TEST(test_kv_open_refuses_segments_without_manifest)
{
    world_open(&world);
    world_put(&world, "a", "1");
    world_close(&world);
    ck_assert(kv_memfs_delete(world.fs, WORLD_PATH "/" KV_NAME_MANIFEST));
    expect_refusal(WORLD_PATH, KV_CORRUPT);
    world.options.mode = KV_OPEN_NEW;
    expect_refusal(WORLD_PATH, KV_CORRUPT);
    world.options.mode = KV_OPEN_EXISTING;
    expect_refusal(WORLD_PATH, KV_NOTFOUND);
}
END_TEST

/* ---- Taking over */

START_TEST(test_kv_open_new_takes_over_a_store_never_used)
{
    uint8_t uuid[16];

    world.options.schema = kv_slice_text("first");
    world_open(&world);
    memcpy(uuid, kv_store_uuid(world.store), sizeof(uuid));
    world_close(&world);
    world.options.mode = KV_OPEN_NEW;
    world.options.schema = kv_slice_text("second");
    for (int turn = 0; turn < 3; turn++) {
        struct kv_txn *txn;

        world_open(&world);
        ck_assert_mem_ne(kv_store_uuid(world.store), uuid, sizeof(uuid));
        memcpy(uuid, kv_store_uuid(world.store), sizeof(uuid));
        ck_assert(kv_slice_equal(kv_store_schema(world.store), kv_slice_text("second")));
        world_check(&world);
        /* What was taken back does not count as use. */
        txn = world_begin(&world);
        txn_put(txn, "a", "1");
        ck_kv(kv_txn_prepare(txn));
        kv_txn_abort(txn);
        if (turn == 1)
            world_kill(&world);
        else
            world_close(&world);
    }
    world_open(&world);
    world_put(&world, "a", "1");
    world_close(&world);
    expect_refusal(WORLD_PATH, KV_EXISTS);
    world.options.mode = KV_OPEN_EXISTING;
    world_open(&world);
    world_expect_all(&world, "a=1");
}
END_TEST

START_TEST(test_kv_open_new_refuses_a_store_once_used)
{
    world_open(&world);
    world_put(&world, "a", "1");
    world_delete(&world, "a");
    ck_kv(kv_compact(world.store, NULL, NULL)); /* empty again, but used */
    world_close(&world);
    world.options.mode = KV_OPEN_NEW;
    expect_refusal(WORLD_PATH, KV_EXISTS);
}
END_TEST

/* ---- A manifest that may not last */

/*
 * Goal: what relies on a new manifest waits until that is durable, also if the
 * process that made it could not tell.
 * Method: fail the directory's sync behind a merge's rename, open again, which
 * finds the new manifest and the old files, and cut the power.
 */
START_TEST(test_kv_doubtful_manifest_is_published_again)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        char *row = calloc(1, WORLD_SEGMENT_BYTES);

        teardown();
        setup();
        world_open(&world);
        for (int i = 0; i < 2; i++) /* each is sealed at once, so the log is empty */
            ck_kv(kv_put(world.store, kv_slice_of("ab" + i, 1),
                         kv_slice_of(row, WORLD_SEGMENT_BYTES)));
        free(row);
        world_reopen(&world);
        ck_assert_uint_eq(world_stats(&world).runs, 2);
        kv_memfs_fail(world.fs, KV_MEMFS_DIR_SYNC, 2, KV_IOERR, KV_MEMFS_ONCE);
        ck_kv_is(kv_compact(world.store, NULL, NULL), KV_IOERR);
        if (seed % 2)
            world_reopen(&world);
        else {
            world_kill(&world);
            world_open(&world);
        }
        ck_assert_uint_eq(world_stats(&world).runs, 1);
        world_check(&world);
        world_crash(&world, KV_MEMFS_RANDOM, seed);
        world_open(&world);
        ck_assert_uint_eq(world_stats(&world).keys, 2);
        world_check(&world);
    }
}
END_TEST

/* ---- Sharing */

START_TEST(test_kv_open_shares_one_store)
{
    struct kv_store *other;
    const uint8_t nobody[16] = {1};

    world_open(&world);
    ck_kv(open_at("//db/", &other));
    ck_assert_ptr_eq(other, world.store);
    world_put(&world, "a", "1");
    world_close(&world);
    world.store = other;
    world_expect_all(&world, "a=1"); /* still open */

    world.options.mode = KV_OPEN_NEW;
    ck_kv_is(open_at(WORLD_PATH, &other), KV_EXISTS);
    world.options.mode = KV_OPEN_EXISTING;
    world.options.uuid = nobody;
    ck_kv_is(open_at(WORLD_PATH, &other), KV_MISMATCH);
    world.options.uuid = kv_store_uuid(world.store);
    ck_kv(open_at(WORLD_PATH, &other));
    ck_kv(kv_store_close(other));
    world.options.uuid = NULL;
    world.options.readonly = true;
    ck_kv(open_at(WORLD_PATH, &other)); /* reading is all it asks for */
    ck_kv(kv_store_close(other));
    ck_kv(kv_store_close(NULL));
}
END_TEST

START_TEST(test_kv_open_checks_the_uuid)
{
    const uint8_t nobody[16] = {1};
    uint8_t uuid[16];

    world_open(&world);
    memcpy(uuid, kv_store_uuid(world.store), sizeof(uuid));
    world_close(&world);
    world.options.uuid = nobody;
    expect_refusal(WORLD_PATH, KV_MISMATCH);
    world.options.uuid = uuid;
    world_open(&world);
    ck_assert_mem_eq(kv_store_uuid(world.store), uuid, sizeof(uuid));
}
END_TEST

START_TEST(test_kv_schema_stays)
{
    struct kv_slice schema = kv_slice_of("a\0b", 3);

    world.options.schema = schema;
    world_open(&world);
    world.options.schema = kv_slice_text("ignored");
    for (int turn = 0; turn < 3; turn++) {
        ck_assert(kv_slice_equal(kv_store_schema(world.store), schema));
        world_fill(&world, "k", 0, 20);
        ck_kv(kv_compact(world.store, NULL, NULL));
        ck_assert(kv_slice_equal(kv_store_schema(world.store), schema));
        world_reopen(&world);
    }
}
END_TEST

/* What another process does to LOCK. */
struct stranger {
    struct kv_dir *dir;
    struct kv_lock *lock;
};

static struct stranger stranger_attach(enum kv_lock_mode mode)
{
    struct stranger stranger;

    ck_kv(kv_io_dir_open(world.io, WORLD_PATH, &stranger.dir));
    ck_kv(kv_lock_open(world.io, stranger.dir, 0600, false, &stranger.lock));
    ck_kv(kv_lock_try(stranger.lock, KV_LOCK_ATTACHED, mode));
    return stranger;
}

static void stranger_leave(struct stranger stranger)
{
    kv_lock_close(stranger.lock);
    kv_io_dir_close(stranger.dir);
}

START_TEST(test_kv_open_and_destroy_respect_other_processes)
{
    struct stranger stranger;

    world_open(&world);
    world_put(&world, "a", "1");
    world_close(&world);
    stranger = stranger_attach(KV_LOCK_EXCLUSIVE);
    expect_refusal(WORLD_PATH, KV_BUSY); /* it is recovering */
    stranger_leave(stranger);
    stranger = stranger_attach(KV_LOCK_SHARED);
    world.options.mode = KV_OPEN_NEW;
    expect_refusal(WORLD_PATH, KV_EXISTS);
    ck_kv_is(kv_destroy(WORLD_PATH, world.io), KV_BUSY);
    world.options.mode = KV_OPEN_EXISTING;
    world_open(&world);
    world_expect_all(&world, "a=1");
    stranger_leave(stranger);
    /* With somebody about, closing leaves the end to them. */
    stranger = stranger_attach(KV_LOCK_SHARED);
    world_put(&world, "b", "2");
    world_close(&world);
    stranger_leave(stranger);
    world_open(&world);
    world_expect_all(&world, "a=1 b=2");
}
END_TEST

/* ---- Read-only */

static void make_store_with_runs(bool clean)
{
    world_open(&world);
    for (int turn = 0; turn < 3; turn++) {
        world_put(&world, "a", "1");
        world_seal(&world);
    }
    world_put(&world, "b", "2");
    if (clean)
        world_close(&world);
    else
        world_kill(&world);
}

/*
 * Goal: a read-only open reads everything and changes nothing, whatever state the store is in.
 * Method: clean, killed, indexes missing, LOCK missing, on a file system that refuses changes.
 */
START_TEST(test_kv_readonly_changes_nothing)
{
    for (int turn = 0; turn < 5; turn++) {
        struct kv_txn *txn;
        uint64_t before;

        teardown();
        setup();
        make_store_with_runs(turn != 1);
        if (turn == 2)
            ck_assert(kv_memfs_delete(world.fs, WORLD_PATH "/segment_000000000001.idx"));
        if (turn == 3)
            ck_assert(kv_memfs_delete(world.fs, WORLD_PATH "/" KV_NAME_LOCK));
        kv_memfs_set_readonly(world.fs, turn == 4);
        before = world_files_digest(&world);
        world.options.readonly = true;
        world_open(&world);
        ck_assert(kv_store_readonly(world.store));
        world_expect(&world, "a", "1");
        world_expect(&world, "b", "2");
        ck_assert_uint_gt(world_stats(&world).keys, 2);
        ck_kv_is(kv_txn_begin(world.store, NULL, &txn), KV_READONLY);
        ck_kv_is(kv_put(world.store, kv_slice_text("c"), kv_slice_text("3")), KV_READONLY);
        ck_kv_is(kv_delete(world.store, kv_slice_text("a")), KV_READONLY);
        ck_kv_is(kv_compact(world.store, NULL, NULL), KV_READONLY);
        ck_kv(kv_sync(world.store, NULL));
        world_close(&world);
        ck_assert_uint_eq(world_files_digest(&world), before);
        ck_assert_int_eq(world_has_file(&world, KV_NAME_LOCK), turn != 3);
    }
}
END_TEST

START_TEST(test_kv_readonly_creates_nothing)
{
    world.options.readonly = true;
    expect_refusal(WORLD_PATH, KV_NOTFOUND);
    world.options.mode = KV_OPEN_NEW;
    expect_refusal(WORLD_PATH, KV_NOTFOUND);
    ck_assert(!directory_exists());
    ck_kv(kv_io_dir_create(world.io, WORLD_PATH, 0700));
    expect_refusal(WORLD_PATH, KV_NOTFOUND);
    world.options.mode = KV_OPEN_OR_CREATE;
    expect_refusal(WORLD_PATH, KV_NOTFOUND);
    ck_assert(!world_has_file(&world, KV_NAME_LOCK));
    /* Nor does it take over. */
    world.options.readonly = false;
    world_open(&world);
    world_close(&world);
    world.options.readonly = true;
    world.options.mode = KV_OPEN_NEW;
    expect_refusal(WORLD_PATH, KV_EXISTS);
}
END_TEST

/* Who opens for writing does so beside one who only reads, who sees what is committed. */
START_TEST(test_kv_readonly_user_comes_before_writers)
{
    struct kv_store *writer;

    make_store_with_runs(true);
    world.options.readonly = true;
    world_open(&world);
    world.options.readonly = false;
    ck_kv(open_at(WORLD_PATH, &writer));
    ck_assert_ptr_ne(writer, world.store);
    ck_kv(kv_put(writer, kv_slice_text("new"), kv_slice_text("row")));
    ck_assert_uint_eq(kv_store_seq(world.store), kv_store_seq(writer));
    ck_kv_is(kv_put(world.store, kv_slice_text("new"), kv_slice_text("row")), KV_READONLY);
    ck_kv(kv_store_close(writer));
}
END_TEST

START_TEST(test_kv_open_refuses_to_write_where_it_may_not)
{
    make_store_with_runs(true);
    kv_memfs_set_readonly(world.fs, true);
    expect_refusal(WORLD_PATH, KV_READONLY);
    kv_memfs_set_readonly(world.fs, false);
    world_open(&world);
}
END_TEST

/* ---- Temporary stores, and the end of others */

START_TEST(test_kv_temporary_store_goes_with_its_last_user)
{
    struct kv_store *other;

    world.options.temporary = true;
    make_store_with_runs(true);
    ck_assert(!directory_exists());
    world_open(&world);
    world_expect_all(&world, "");
    ck_kv(open_at(WORLD_PATH, &other));
    world_close(&world);
    ck_assert(directory_exists());
    ck_kv(kv_store_close(other));
    ck_assert(!directory_exists());
}
END_TEST

/* Another process that found it is a user, too; a store of its last one's is as temporary as that says. */
START_TEST(test_kv_temporary_store_is_not_taken_from_others)
{
    struct world guest;

    world_join(&guest, &world);
    world.options.temporary = true;
    world_open(&world);
    world_put(&world, "a", "1");
    guest.options.readonly = _i;
    guest.options.temporary = !_i;
    world_open(&guest);
    world_close(&world);
    world_expect_all(&guest, "a=1");
    world_check(&guest);
    ck_assert(directory_exists());
    world_end(&guest);
    ck_assert_int_eq(directory_exists(), _i);
}
END_TEST

START_TEST(test_kv_destroy_removes_its_own_files_only)
{
    make_store_with_runs(false);
    ck_kv(kv_destroy(WORLD_PATH, world.io));
    ck_assert(!directory_exists());
    ck_kv_is(kv_destroy(WORLD_PATH, world.io), KV_NOTFOUND);

    make_store_with_runs(true);
    ck_assert(kv_memfs_write_file(world.fs, "/db/notes", kv_slice_text("mine")));
    ck_assert(kv_memfs_write_file(world.fs, "/db/segment_1.db", kv_slice_text("mine too")));
    ck_kv(kv_destroy(WORLD_PATH, world.io));
    char *names = kv_memfs_list(world.fs, WORLD_PATH);
    ck_assert_str_eq(names, "notes\nsegment_1.db\n");
    free(names);
    ck_kv_is(kv_destroy(WORLD_PATH, world.io), KV_NOTFOUND);
    names = kv_memfs_list(world.fs, WORLD_PATH);
    ck_assert_str_eq(names, "notes\nsegment_1.db\n");
    free(names);
}
END_TEST

START_TEST(test_kv_destroy_waits_for_nobody)
{
    world_open(&world);
    world_put(&world, "a", "1");
    ck_kv_is(kv_destroy(WORLD_PATH, world.io), KV_BUSY);
    world_expect_all(&world, "a=1");
    world_reopen(&world);
    world_expect_all(&world, "a=1");
}
END_TEST

/*
 * Goal: an interrupted removal leaves the whole store or none, and can be finished.
 * Method: freeze the world at each call, then kill or cut the power.
 */
START_TEST(test_kv_interrupted_destroy_leaves_all_or_nothing)
{
    for (int death = 0; death < 4; death++) {
        enum kv_status st = KV_IOERR, opened;

        for (uint64_t nth = 1; st != KV_OK; nth++) {
            teardown();
            setup();
            make_store_with_runs(true);
            kv_memfs_fail(world.fs, KV_MEMFS_ANY, nth, KV_IOERR, KV_MEMFS_STICKY);
            st = kv_destroy(WORLD_PATH, world.io);
            if (death == 0)
                kv_memfs_kill(world.fs);
            else
                kv_memfs_crash(world.fs,
                               death == 1   ? KV_MEMFS_DROP
                               : death == 2 ? KV_MEMFS_LAST
                                            : KV_MEMFS_RANDOM,
                               nth);
            world.options.mode = KV_OPEN_EXISTING;
            opened = open_at(WORLD_PATH, &world.store);
            ck_assert_msg(opened == KV_OK || opened == KV_NOTFOUND, "%s", kv_message());
            if (opened == KV_OK) {
                world_expect(&world, "a", "1");
                world_expect(&world, "b", "2");
                world_check(&world);
                world_close(&world);
                ck_kv(kv_destroy(WORLD_PATH, world.io));
            } else {
                enum kv_status again = kv_destroy(WORLD_PATH, world.io);

                ck_assert(again == KV_OK || again == KV_NOTFOUND);
            }
            world.options.mode = KV_OPEN_NEW;
            world_open(&world);
            world_expect_all(&world, "");
            world_check(&world);
            ck_assert_uint_lt(nth, 200);
        }
    }
}
END_TEST

/* ---- Closing */

/*
 * Goal: a close that fails is a close all the same, and loses nothing.
 * Method: fail each of its calls.
 */
START_TEST(test_kv_failed_close_loses_nothing)
{
    uint64_t nth = 0, faults;

    do {
        enum kv_status st;

        teardown();
        setup();
        world_open(&world);
        world.options.mode = KV_OPEN_EXISTING;
        world_fill(&world, "k", 0, 3);
        world_put(&world, "a", "1");
        kv_memfs_fail(world.fs, KV_MEMFS_ANY, ++nth, KV_IOERR, KV_MEMFS_ONCE);
        st = kv_store_close(world.store);
        world.store = NULL;
        faults = kv_memfs_fault_count(world.fs);
        kv_memfs_heal(world.fs);
        ck_assert(st == (faults ? KV_IOERR : KV_OK) || st == KV_OK);
        for (int turn = 0; turn < 2; turn++) {
            world_open(&world);
            world_expect(&world, "a", "1");
            ck_assert_uint_eq(world_stats(&world).keys, 4 + (unsigned)turn);
            world_put(&world, "b", "2");
            world_check(&world);
            world_crash(&world, KV_MEMFS_RANDOM, nth);
        }
    } while (faults);
    ck_assert_uint_gt(nth, 4);
}
END_TEST

START_TEST(test_kv_close_seals_a_large_log)
{
    world.options.settings.segment_bytes = 64 * 1024 * 1024;
    world_open(&world);
    world_fill(&world, "k", 0, 1100);
    ck_assert_uint_eq(world_stats(&world).runs, 0);
    world_reopen(&world);
    ck_assert_uint_eq(world_stats(&world).runs, 1);
    ck_assert_uint_eq(world_stats(&world).keys, 1100);
    world_check(&world);
}
END_TEST

static Suite *kv_open_suite(void)
{
    Suite *suite = suite_create("kv_open");
    TCase *tests = tcase_create("opening and closing");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_kv_open_existing_needs_a_store);
    tcase_add_test(tests, test_kv_open_creates_parents);
    tcase_add_test(tests, test_kv_open_refuses_bad_paths_and_settings);
    tcase_add_test(tests, test_kv_settings_have_limits);
    tcase_add_test(tests, test_kv_unfinished_creation_is_taken_over);
    tcase_add_test(tests, test_kv_failed_creation_can_be_repeated);
    tcase_add_test(tests, test_kv_open_refuses_segments_without_manifest);
    tcase_add_test(tests, test_kv_open_new_takes_over_a_store_never_used);
    tcase_add_test(tests, test_kv_open_new_refuses_a_store_once_used);
    tcase_add_test(tests, test_kv_doubtful_manifest_is_published_again);
    tcase_add_test(tests, test_kv_open_shares_one_store);
    tcase_add_test(tests, test_kv_open_checks_the_uuid);
    tcase_add_test(tests, test_kv_schema_stays);
    tcase_add_test(tests, test_kv_open_and_destroy_respect_other_processes);
    tcase_add_test(tests, test_kv_readonly_changes_nothing);
    tcase_add_test(tests, test_kv_readonly_creates_nothing);
    tcase_add_test(tests, test_kv_readonly_user_comes_before_writers);
    tcase_add_test(tests, test_kv_open_refuses_to_write_where_it_may_not);
    tcase_add_test(tests, test_kv_temporary_store_goes_with_its_last_user);
    tcase_add_loop_test(tests, test_kv_temporary_store_is_not_taken_from_others, 0, 2);
    tcase_add_test(tests, test_kv_destroy_removes_its_own_files_only);
    tcase_add_test(tests, test_kv_destroy_waits_for_nobody);
    tcase_add_test(tests, test_kv_interrupted_destroy_leaves_all_or_nothing);
    tcase_add_test(tests, test_kv_failed_close_loses_nothing);
    tcase_add_test(tests, test_kv_close_seals_a_large_log);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(kv_open_suite());
}
