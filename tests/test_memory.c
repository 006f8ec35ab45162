/*
 * The allocations of the engine, one after the other, fail in the middle of writing, sealing,
 * merging, copying, reading and repairing, once or with all that follow. The call says KV_NOMEM
 * or does its work all the same; nothing leaks, and the store is none the worse for it.
 *
 * Stores are in real files: what is in memory allocates, too.
 */
#include <stdio.h>
#include <unistd.h>

#include "kv.h"
#include "runner.h"
#include "scarcity.h"
#include "world.h"

enum { KEYS = 60, CALLS_MAX = 20000, PATH_BYTES = 64 };

static char base[PATH_BYTES - 16], whole[PATH_BYTES], used[PATH_BYTES], backup[PATH_BYTES];

/* ---- Stores */

static void shell(const char *format, const char *a, const char *b)
{
    char command[3 * PATH_BYTES];

    snprintf(command, sizeof(command), format, a, b);
    ck_assert_int_eq(system(command), 0);
}

static enum kv_status open_store(const char *path, struct kv_store **out)
{
    struct kv_open_options options = kv_open_options_default();

    options.foreground = true;
    options.settings.synchronous = KV_SYNC_OFF;
    options.settings.auto_compact = false;
    options.settings.segment_bytes = options.settings.max_segment_bytes = WORLD_SEGMENT_BYTES;
    return kv_store_open(path, &options, out);
}

static enum kv_status put_some(struct kv_store *store, char writer, unsigned count)
{
    char key[16], row[1200];
    struct kv_txn *txn;
    enum kv_status st = kv_txn_begin(store, NULL, &txn);

    if (st != KV_OK)
        return st;
    memset(row, writer, sizeof(row));
    for (unsigned i = 0; i < count && st == KV_OK; i++) {
        snprintf(key, sizeof(key), "%03u", i * 7 % KEYS);
        st = i % 5 == 3 ? kv_txn_delete(txn, kv_slice_text(key))
                        : kv_txn_put(txn, kv_slice_text(key), kv_slice_of(row, sizeof(row)));
    }
    if (st == KV_OK)
        return kv_txn_commit(txn);
    kv_txn_abort(txn);
    return st;
}

/* A merge output, a sealed log and an active one. */
static void setup(void)
{
    struct kv_store *store;

    snprintf(base, sizeof(base), "%s/test_memory_XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(whole, sizeof(whole), "%s/whole", base);
    snprintf(used, sizeof(used), "%s/used", base);
    snprintf(backup, sizeof(backup), "%s/backup", base);
    ck_kv(open_store(whole, &store));
    ck_kv(put_some(store, 'a', KEYS));
    ck_kv(kv_compact(store, NULL, NULL));
    for (int i = 0; i < 4; i++)
        ck_kv(put_some(store, (char)('b' + i), 25));
    ck_kv(kv_store_close(store));
}

static void teardown(void)
{
    shell("rm -r %s%s", base, "");
}

/* ---- What is done with them */

static enum kv_status scan_all(struct kv_store *store)
{
    struct kv_range range = {.descending = true};
    struct kv_snapshot *snapshot = NULL;
    struct kv_scan *scan;
    struct kv_entry entry;
    enum kv_status st = kv_snapshot_new(store, &snapshot);

    if (st == KV_OK)
        st = kv_snapshot_acquire(snapshot);
    if (st == KV_OK)
        st = kv_scan_open(snapshot, NULL, &range, &scan);
    if (st == KV_OK) {
        while ((st = kv_scan_next(scan, &entry)) == KV_OK)
            ;
        kv_scan_close(scan);
    }
    kv_snapshot_free(snapshot);
    return st == KV_DONE ? KV_OK : st;
}

static enum kv_status ignore_problem(void *context, const struct kv_problem *problem)
{
    (void)context, (void)problem;
    return KV_OK;
}

static enum kv_status ignore_step(void *context, const struct kv_repair_step *step)
{
    (void)context, (void)step;
    return KV_OK;
}

static enum kv_status use(void)
{
    struct kv_store *store;
    enum kv_status st = open_store(used, &store), closed;

    if (st != KV_OK)
        return st;
    for (int i = 0; i < 4 && st == KV_OK; i++)
        st = put_some(store, (char)('p' + i), 30);
    if (st == KV_OK)
        st = put_some(store, 'x', 2 * KEYS); /* more than a log holds */
    if (st == KV_OK)
        st = scan_all(store);
    if (st == KV_OK)
        st = kv_store_check(store, NULL, ignore_problem, NULL);
    if (st == KV_OK)
        st = kv_backup(store, backup, NULL, NULL);
    if (st == KV_OK)
        st = kv_compact(store, NULL, NULL);
    closed = kv_store_close(store);
    return st == KV_OK ? closed : st;
}

static enum kv_status repair(void)
{
    return kv_repair(used, NULL, NULL, ignore_step, NULL);
}

/* ---- Tests */

static enum kv_status count_problem(void *context, const struct kv_problem *problem)
{
    (void)problem;
    ++*(unsigned *)context;
    return KV_OK;
}

/* The store is sound; its rows as a number. */
static uint64_t digest(void)
{
    struct kv_store *store;
    struct kv_snapshot *snapshot;
    unsigned problem_count = 0;
    uint64_t sum;

    ck_kv_fast(open_store(used, &store));
    ck_kv_fast(kv_store_check(store, NULL, count_problem, &problem_count));
    ck_assert_uint_eq(problem_count, 0);
    ck_kv_fast(kv_snapshot_new(store, &snapshot));
    ck_kv_fast(kv_snapshot_acquire(snapshot));
    sum = snapshot_digest(snapshot);
    kv_snapshot_free(snapshot);
    ck_kv_fast(kv_store_close(store));
    return sum;
}

/* Do `work` with allocation `call` failing; false: there are not so many. */
static bool fail_at(enum kv_status (*work)(void), uint64_t call, bool lasts)
{
    enum kv_status st;
    bool has_failed;

    scarcity_begin(call, lasts, true);
    st = work();
    has_failed = scarcity_end();
    ck_assert_msg(st == KV_OK || (has_failed && st == KV_NOMEM), "allocation %u: %s: %s",
                  (unsigned)call, kv_status_name(st), kv_message());
    return has_failed;
}

static void flip(const char *path, long offset)
{
    FILE *file = fopen(path, "r+b");
    int byte;

    ck_assert_msg(file, "%s is missing", path);
    ck_assert_int_eq(fseek(file, offset, SEEK_SET), 0);
    byte = fgetc(file);
    ck_assert_int_ne(byte, EOF);
    ck_assert_int_eq(fseek(file, offset, SEEK_SET), 0);
    fputc(byte ^ 1, file);
    fclose(file);
}

static void begin_again(void)
{
    shell("rm -rf %s %s", backup, used);
    shell("mkdir -p %s", used, "");
    shell("cp %s/* %s", whole, used);
}

/* Damage in each of the segments, and perhaps no MANIFEST. */
static void damage(bool without_manifest)
{
    shell("rm -f %s/*3.idx%s", used, "");
    for (int number = 2; number <= 4; number++) {
        char path[2 * PATH_BYTES];

        snprintf(path, sizeof(path), "%s/segment_%012d.db", used, number);
        if (access(path, F_OK) == 0)
            flip(path, 4096 + 3000);
    }
    if (without_manifest)
        shell("rm %s/MANIFEST%s", used, "");
}

START_TEST(test_memory_while_a_store_is_used)
{
    for (uint64_t call = 1, failed = 1; failed && call < CALLS_MAX; call += 1 + call / 40) {
        begin_again();
        failed = fail_at(use, call, _i);
        (void)digest();
    }
}
END_TEST

/* Goal: a repair that ran out of memory is done again, and has lost nothing more. */
START_TEST(test_memory_while_a_store_is_repaired)
{
    uint64_t expected;

    begin_again();
    damage(_i % 2);
    ck_kv(repair());
    expected = digest();
    for (uint64_t call = 1, failed = 1; failed && call < CALLS_MAX; call++) {
        begin_again();
        damage(_i % 2);
        failed = fail_at(repair, call, _i / 2);
        ck_kv_fast(repair());
        ck_assert_msg(digest() == expected, "allocation %u: other rows", (unsigned)call);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *tests = tcase_create("memory");
    int failed;

    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, test_memory_while_a_store_is_used, 0, 2);
    tcase_add_loop_test(tests, test_memory_while_a_store_is_repaired, 0, 4);
    suite_add_tcase(suite, tests);
    scarcity_init();
    failed = kv_run_suite(suite);
    printf("%llu allocations failed\n", (unsigned long long)scarcity_count());
    return failed;
}
