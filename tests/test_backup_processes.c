/*
 * Backups of a store that other processes write to and merge, and backups whose
 * makers are killed: each is one of the store's states.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bank.h"
#include "model.h"
#include "runner.h"

enum { WRITERS = 2, ROUNDS = 9 };

static char base[] = "/tmp/kv-test-backup-XXXXXX";
static char path[64], target[64];

/* What children do until they are killed. What goes wrong ends them. */
static void write_on(uint64_t random)
{
    struct kv_open_options options = bank_options();
    struct kv_store *store;

    if (kv_store_open(path, &options, &store) != KV_OK)
        _exit(1);
    for (;;) {
        enum kv_status st = bank_transfer(store, &random);

        if (st != KV_OK && st != KV_BUSY) {
            fprintf(stderr, "a writer: %s\n", kv_message());
            _exit(2);
        }
        usleep(1000); /* whoever waits for its turn polls */
    }
}

static void back_up_on(bool readonly)
{
    struct kv_open_options options = bank_options();
    struct kv_store *store;

    options.mode = KV_OPEN_EXISTING;
    options.readonly = readonly;
    if (kv_store_open(path, &options, &store) != KV_OK)
        _exit(1);
    for (;;) {
        if (kv_backup(store, target, NULL, NULL) != KV_OK) {
            fprintf(stderr, "a maker of backups: %s\n", kv_message());
            _exit(3);
        }
    }
}

static void kill_child(pid_t child)
{
    int status;

    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
                  "child ended by itself: status %x", (unsigned)status);
}

static pid_t start_writer(uint64_t random)
{
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        write_on(random);
    return child;
}

/* Let a child make backups, and kill it. */
static void back_up_and_die(bool readonly, unsigned after_ms)
{
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        back_up_on(readonly);
    usleep(after_ms * 1000);
    kill_child(child);
}

/* The backup as the dead have left it, if there is one; and the next one. */
static void look(uint64_t *last_seq)
{
    struct kv_open_options options = bank_options();
    struct kv_store *store;
    uint64_t seq = 0;
    enum kv_status st;

    options.mode = KV_OPEN_EXISTING;
    st = kv_store_open(target, &options, &store);
    if (st != KV_NOTFOUND || *last_seq > 0) {
        ck_kv(st);
        ck_kv(bank_count(store, &seq));
        ck_assert_uint_ge(seq, *last_seq);
        ck_kv(kv_store_close(store));
    }
    ck_kv(kv_store_open(path, &options, &store));
    ck_kv(kv_backup(store, target, NULL, NULL));
    ck_kv(kv_store_close(store));
    *last_seq = seq;
    ck_kv(bank_audit(target, &seq));
    ck_assert_uint_ge(seq, *last_seq);
    *last_seq = seq;
}

START_TEST(test_backup_among_processes)
{
    struct kv_open_options options = bank_options();
    struct kv_store *store;
    pid_t writers[WRITERS];
    uint64_t random = 1, last_seq = 0;

    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(path, sizeof(path), "%s/store", base);
    snprintf(target, sizeof(target), "%s/backup", base);
    ck_kv(kv_store_open(path, &options, &store));
    ck_kv(bank_found(store));
    ck_kv(kv_store_close(store));
    for (unsigned i = 0; i < WRITERS; i++)
        writers[i] = start_writer(i + 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned writer = round % WRITERS;

        back_up_and_die(round % 3 != 0, 5 + model_below(&random, 40));
        if (round % 4 == 3) { /* a writer dies as well, perhaps in the middle of something */
            kill_child(writers[writer]);
            writers[writer] = start_writer(round + 10);
        }
        look(&last_seq);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        kill_child(writers[i]);
    ck_assert_uint_gt(last_seq, ROUNDS);
    ck_kv(kv_destroy(path, NULL));
    ck_kv(kv_destroy(target, NULL));
    ck_assert_int_eq(rmdir(base), 0);
}
END_TEST

static Suite *backup_processes_suite(void)
{
    Suite *suite = suite_create("backup processes");
    TCase *tests = tcase_create("backup processes");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_backup_among_processes);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(backup_processes_suite());
}
