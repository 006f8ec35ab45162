/*
 * Backups of a store while threads write to it and merge it: each is one of its
 * states, and they follow each other. In real directories, for ThreadSanitizer as well.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bank.h"
#include "runner.h"

enum { WRITERS = 2, TARGETS = 2, ROUNDS = 12 };

static char base[] = "/tmp/kv-test-backup-XXXXXX";
static char elsewhere[] =
    "/dev/shm/kv-test-backup-XXXXXX"; /* another file system: nothing can be linked */
static struct kv_store *store;
static atomic_bool stop;
static _Atomic uint64_t transfers, failures;

static void *write_on(void *argument)
{
    uint64_t random = *(const uint64_t *)argument;

    while (!atomic_load(&stop)) {
        enum kv_status st = bank_transfer(store, &random);

        atomic_fetch_add(&transfers, st == KV_OK);
        atomic_fetch_add(&failures, st != KV_OK && st != KV_BUSY);
    }
    return NULL;
}

/* One more thread that backs up to the same places: one of the two is told to come back later. */
static void *back_up_too(void *argument)
{
    while (!atomic_load(&stop)) {
        enum kv_status st = kv_backup(store, argument, NULL, NULL);

        atomic_fetch_add(&failures, st != KV_OK && st != KV_BUSY);
        usleep(10000);
    }
    return NULL;
}

/* A backup is of this time: not before what had been committed, nor after. */
static void back_up(const char *path, uint64_t *last_seq)
{
    uint64_t before = kv_store_seq(store), seq = 0;
    enum kv_status st;

    do
        st = kv_backup(store, path, NULL, NULL);
    while (st == KV_BUSY);
    ck_kv(st);
    do
        st = bank_audit(path, &seq);
    while (st == KV_BUSY); /* the other thread is at it */
    ck_kv(st);
    ck_assert_uint_ge(seq, before);
    ck_assert_uint_le(seq, kv_store_seq(store));
    ck_assert_uint_ge(seq, *last_seq);
    *last_seq = seq;
}

START_TEST(test_backup_among_threads)
{
    struct kv_open_options options = bank_options();
    uint64_t seeds[WRITERS], last_seqs[TARGETS] = {0};
    char path[64], targets[TARGETS][64];
    pthread_t writers[WRITERS], other;
    int count = 0;

    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(path, sizeof(path), "%s/store", base);
    snprintf(targets[count++], sizeof(targets[0]), "%s/backup", base);
    if (mkdtemp(elsewhere))
        snprintf(targets[count++], sizeof(targets[0]), "%s/backup", elsewhere);
    ck_kv(kv_store_open(path, &options, &store));
    ck_kv(bank_found(store));
    for (unsigned i = 0; i < WRITERS; i++) {
        seeds[i] = i + 1;
        ck_assert_int_eq(pthread_create(&writers[i], NULL, write_on, &seeds[i]), 0);
    }
    ck_assert_int_eq(pthread_create(&other, NULL, back_up_too, targets[0]), 0);
    for (unsigned round = 0; round < ROUNDS; round++)
        back_up(targets[round % (unsigned)count], &last_seqs[round % (unsigned)count]);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    pthread_join(other, NULL);
    ck_assert_uint_eq(failures, 0);
    ck_assert_uint_gt(transfers, ROUNDS);
    ck_kv(kv_store_close(store));
    ck_kv(kv_destroy(path, NULL));
    for (int i = 0; i < count; i++)
        ck_kv(kv_destroy(targets[i], NULL));
    ck_assert_int_eq(rmdir(base), 0);
    if (count == TARGETS)
        ck_assert_int_eq(rmdir(elsewhere), 0);
}
END_TEST

/* Goal: backups seal, and what they seal is merged, also if there is never enough to seal otherwise. */
START_TEST(test_backup_leads_to_merges)
{
    struct kv_open_options options = bank_options();
    struct kv_stats stats;
    char path[64], target[64];

    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(path, sizeof(path), "%s/store", base);
    snprintf(target, sizeof(target), "%s/backup", base);
    options.settings.fanout = 4;
    ck_kv(kv_store_open(path, &options, &store));
    for (unsigned i = 0; i < 12; i++) {
        ck_kv(kv_put(store, kv_slice_text("key"), kv_slice_text("row")));
        ck_kv(kv_backup(store, target, NULL, NULL));
    }
    for (unsigned waits = 0; waits < 300; waits++) {
        ck_kv(kv_store_stats(store, &stats));
        if (stats.runs < 4)
            break;
        usleep(10000);
    }
    ck_assert_uint_lt(stats.runs, 4);
    ck_kv(kv_store_close(store));
    ck_kv(kv_destroy(path, NULL));
    ck_kv(kv_destroy(target, NULL));
    ck_assert_int_eq(rmdir(base), 0);
}
END_TEST

static Suite *backup_threads_suite(void)
{
    Suite *suite = suite_create("backup threads");
    TCase *tests = tcase_create("backup threads");

    tcase_add_test(tests, test_backup_among_threads);
    tcase_add_test(tests, test_backup_leads_to_merges);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return kv_run_suite(backup_threads_suite());
}
