/* Forked children: inherited handles are dead and harmless, and the store can be opened anew. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kv.h"
#include "runner.h"

static char directory[] = "/tmp/kv-test-fork-XXXXXX";
static char path[64];

static struct kv_store *open_store(void)
{
    struct kv_open_options options = kv_open_options_default();
    struct kv_store *store;

    options.settings.busy_timeout_ms = 5000;
    ck_kv(kv_store_open(path, &options, &store));
    return store;
}

static void setup(void)
{
    strcpy(strrchr(directory, '-') + 1, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/db", directory);
}

static void teardown(void)
{
    ck_kv(kv_destroy(path, NULL));
    ck_assert_int_eq(rmdir(directory), 0);
}

/* Run `child` in a forked process; it returns what it found wrong, NULL for nothing. */
static void in_child(const char *(*child)(void *context), void *context)
{
    pid_t process = fork();
    int status;

    ck_assert_int_ge(process, 0);
    if (process == 0) {
        const char *wrong = child(context);

        if (wrong)
            fprintf(stderr, "in the child: %s (%s)\n", wrong, kv_message());
        _exit(wrong ? 1 : 0);
    }
    ck_assert_int_eq(waitpid(process, &status, 0), process);
    ck_assert_int_eq(status, 0);
}

static void put(struct kv_store *store, const char *key, const char *row)
{
    ck_kv(kv_put(store, kv_slice_text(key), kv_slice_text(row)));
}

static bool has(struct kv_store *store, const char *key, const char *expected)
{
    void *row;
    size_t size;
    bool ok = kv_get(store, kv_slice_text(key), &row, &size) == KV_OK && size == strlen(expected) &&
              memcmp(row, expected, size) == 0;

    free(row);
    return ok;
}

struct handles {
    struct kv_store *store;
    struct kv_snapshot *idle, *held;
    struct kv_txn *txn;
};

/* Every verb on what was inherited returns KV_INVALID, or does nothing. */
static const char *use_inherited(void *context)
{
    struct handles *handles = context;
    struct kv_slice key = kv_slice_text("child");
    struct kv_range everything = {0};
    struct kv_snapshot *snapshot;
    struct kv_stats stats;
    struct kv_scan *scan;
    struct kv_txn *txn;
    void *row;
    size_t size;

    if (kv_put(handles->store, key, key) != KV_INVALID)
        return "put";
    if (kv_delete(handles->store, key) != KV_INVALID)
        return "delete";
    if (kv_get(handles->store, key, &row, &size) != KV_INVALID)
        return "get";
    if (kv_txn_begin(handles->store, NULL, &txn) != KV_INVALID)
        return "begin";
    if (kv_txn_put(handles->txn, key, key) != KV_INVALID)
        return "txn_put";
    if (kv_txn_prepare(handles->txn) != KV_INVALID)
        return "prepare";
    if (kv_snapshot_new(handles->store, &snapshot) != KV_INVALID)
        return "snapshot_new";
    if (kv_snapshot_acquire(handles->idle) != KV_INVALID)
        return "acquire";
    if (kv_scan_open(handles->held, NULL, &everything, &scan) != KV_INVALID)
        return "scan_open";
    if (kv_compact(handles->store, NULL, NULL) != KV_INVALID)
        return "compact";
    if (kv_sync(handles->store, NULL) != KV_INVALID)
        return "sync";
    if (kv_store_stats(handles->store, &stats) != KV_INVALID)
        return "stats";
    kv_txn_rollback_to(handles->txn, (struct kv_savepoint){0});
    kv_txn_abort(handles->txn);
    kv_snapshot_release(handles->held);
    kv_snapshot_free(handles->held);
    kv_snapshot_free(handles->idle);
    return kv_store_close(handles->store) == KV_OK ? NULL : "close";
}

/*
 * Goal: whatever a child does with inherited handles, the parent's transaction
 * goes on as if nothing had happened.
 */
START_TEST(test_fork_kills_inherited_handles)
{
    struct handles handles = {.store = open_store()};

    put(handles.store, "a", "1");
    ck_kv(kv_snapshot_new(handles.store, &handles.idle));
    ck_kv(kv_snapshot_new(handles.store, &handles.held));
    ck_kv(kv_snapshot_acquire(handles.held));
    ck_kv(kv_txn_begin(handles.store, NULL, &handles.txn));
    ck_kv(kv_txn_put(handles.txn, kv_slice_text("b"), kv_slice_text("2")));
    in_child(use_inherited, &handles);
    ck_kv(kv_txn_put(handles.txn, kv_slice_text("c"), kv_slice_text("3")));
    ck_kv(kv_txn_commit(handles.txn));
    kv_snapshot_free(handles.held);
    kv_snapshot_free(handles.idle);
    ck_assert(has(handles.store, "b", "2"));
    ck_assert(has(handles.store, "c", "3"));
    ck_kv(kv_store_close(handles.store));
    handles.store = open_store();
    ck_assert(has(handles.store, "c", "3"));
    ck_kv(kv_store_close(handles.store));
}
END_TEST

static const char *open_anew(void *context)
{
    struct kv_store *store = open_store();

    (void)context;
    if (!has(store, "a", "1"))
        return "the parent's row is missing";
    put(store, "from the child", "2");
    return kv_store_close(store) == KV_OK ? NULL : "close";
}

START_TEST(test_fork_child_opens_anew)
{
    struct kv_store *store = open_store();

    put(store, "a", "1");
    in_child(open_anew, NULL);
    ck_assert(has(store, "from the child", "2"));
    put(store, "a", "3");
    ck_kv(kv_store_close(store));
}
END_TEST

/*
 * Goal: a child that lives on does not keep its dead parent's locks.
 * Method: a process opens the store, begins a transaction, forks a child that
 * sleeps, and dies; then the store must be free to write to.
 */
START_TEST(test_fork_does_not_keep_locks)
{
    struct kv_store *store = open_store();
    pid_t middle;
    int status, sleeper[2];
    char byte;

    put(store, "a", "1");
    ck_kv(kv_store_close(store));
    ck_assert_int_eq(pipe(sleeper), 0);
    middle = fork();
    if (middle == 0) {
        struct kv_txn *txn;

        store = open_store();
        ck_kv(kv_txn_begin(store, NULL, &txn));
        ck_kv(kv_txn_put(txn, kv_slice_text("b"), kv_slice_text("2")));
        if (fork() == 0) {
            close(sleeper[1]);
            (void)!read(sleeper[0], &byte, 1); /* until the test closes its end */
            _exit(0);
        }
        _exit(0);
    }
    ck_assert_int_eq(waitpid(middle, &status, 0), middle);
    store = open_store();
    put(store, "c", "3");
    ck_assert(has(store, "a", "1"));
    ck_assert(!has(store, "b", "2"));
    ck_kv(kv_store_close(store));
    close(sleeper[1]);
    close(sleeper[0]);
}
END_TEST

static Suite *fork_suite(void)
{
    Suite *suite = suite_create("fork");
    TCase *tests = tcase_create("children");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_fork_kills_inherited_handles);
    tcase_add_test(tests, test_fork_child_opens_anew);
    tcase_add_test(tests, test_fork_does_not_keep_locks);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(fork_suite());
}
