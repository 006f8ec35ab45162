/*
 * Many threads on one store: writers that move money between accounts, readers
 * that count it, a compactor, and somebody who comes and goes.
 *
 * Meant for ThreadSanitizer as well. In memory (memfs), where the sanitizer
 * sees each byte that goes through a mapping; and in a real directory, where
 * writers wait for each other and the store works in the background.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "memfs.h"
#include "model.h"
#include "runner.h"

enum {
    ACCOUNTS = 50,
    MONEY_EACH = 1000,
    WRITERS = 3,
    READERS = 3,
    LENGTH_MS = 1200,
};

struct bank {
    const char *path;
    struct kv_open_options options;
    struct kv_store *store;
    struct kv_memfs *failing; /* whose calls fail now and then; NULL: none do */
    atomic_bool stop;
    _Atomic uint64_t commits, aborts, snapshots, compactions, visits;
    atomic_flag failed;
    char failure[400]; /* of whoever failed first; read when all threads have ended */
};

static struct model_figures *figures;

/* Check's assertions belong to the main thread: the others leave word and go. */
static void leave_word(struct bank *bank, int line, const char *what)
{
    if (!atomic_flag_test_and_set(&bank->failed))
        snprintf(bank->failure, sizeof(bank->failure), "line %d: %s (%s)", line, what,
                 kv_message());
    atomic_store(&bank->stop, true);
}

#define REQUIRE(bank, condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            leave_word(bank, __LINE__, #condition);                                                \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* KV_OK; nothing else, unless calls fail on purpose. */
static bool is_fine(const struct bank *bank, enum kv_status st)
{
    return st == KV_OK || (bank->failing && st == KV_IOERR);
}

static struct kv_slice account_key(unsigned account, char key[16])
{
    snprintf(key, 16, "account%03u", account);
    return kv_slice_text(key);
}

/* ---- Writers */

static bool read_money(struct kv_txn *txn, unsigned account, uint64_t *money)
{
    struct kv_entry entry;
    char key[16];

    if (kv_txn_get(txn, account_key(account, key), &entry) != KV_OK ||
        entry.row.size < sizeof(*money))
        return false;
    memcpy(money, entry.row.data, sizeof(*money));
    return true;
}

/* An account's row: what it holds, and paper, so that logs fill up. */
static bool write_money(struct kv_txn *txn, unsigned account, uint64_t money, size_t paper)
{
    uint8_t row[2000] = {0};
    char key[16];

    memcpy(row, &money, sizeof(money));
    return kv_txn_put(txn, account_key(account, key), kv_slice_of(row, sizeof(money) + paper)) ==
           KV_OK;
}

/* Move money, perhaps change one's mind in between, and commit or abort. */
static void transfer(struct bank *bank, struct kv_txn *txn, uint64_t *random)
{
    unsigned from = model_below(random, ACCOUNTS), to = model_below(random, ACCOUNTS);
    struct kv_savepoint savepoint = kv_txn_savepoint(txn);
    uint64_t from_money = 0, to_money, amount;
    bool ok = read_money(txn, from, &from_money);
    enum kv_status st;

    amount = model_below(random, 100);
    if (amount > from_money)
        amount = from_money;
    ok = ok && write_money(txn, from, from_money - amount, model_below(random, 1900));
    if (model_percent(random, 20)) {
        kv_txn_rollback_to(txn, savepoint);
        amount = 0;
    }
    ok = ok && read_money(txn, to, &to_money) &&
         write_money(txn, to, to_money + amount, model_below(random, 1900));
    if (!ok || model_percent(random, 10)) {
        if (model_percent(random, 50) && kv_txn_prepare(txn) == KV_OK)
            atomic_fetch_add(&bank->aborts, 1);
        kv_txn_abort(txn);
        REQUIRE(bank, ok || bank->failing);
        return;
    }
    st = kv_txn_commit(txn);
    REQUIRE(bank, is_fine(bank, st));
    atomic_fetch_add(&bank->commits, st == KV_OK);
}

static void write_on(struct bank *bank, uint64_t random)
{
    while (!atomic_load(&bank->stop)) {
        struct kv_settings settings = bank->options.settings;
        struct kv_txn *txn;
        enum kv_status st;

        settings.synchronous = (enum kv_synchronous)model_below(&random, 3);
        st = kv_txn_begin(bank->store, &settings, &txn);
        if (st == KV_OK)
            transfer(bank, txn, &random);
        else
            REQUIRE(bank, st == KV_BUSY || is_fine(bank, st));
        sched_yield();
    }
}

/* ---- Readers */

/* What all accounts hold together, forwards or backwards; UINT64_MAX: something is wrong. */
static uint64_t count_money(struct kv_snapshot *snapshot, bool descending)
{
    struct kv_range range = {.has_lower = true,
                             .lower = kv_slice_text("account"),
                             .has_upper = true,
                             .upper = kv_slice_text("account~"),
                             .descending = descending};
    struct kv_scan *scan;
    struct kv_entry entry;
    uint64_t sum = 0, money;
    unsigned count = 0;
    enum kv_status st = kv_scan_open(snapshot, NULL, &range, &scan);

    while (st == KV_OK && (st = kv_scan_next(scan, &entry)) == KV_OK) {
        memcpy(&money, entry.row.data, sizeof(money));
        sum += money;
        count++;
    }
    kv_scan_close(scan);
    return st == KV_DONE && count == ACCOUNTS ? sum : UINT64_MAX;
}

/* Two accounts that a lookup and a scan must agree upon. */
static bool lookups_agree(struct kv_snapshot *snapshot, unsigned account)
{
    struct kv_range range = {.has_lower = true, .has_upper = true};
    struct kv_entry found, scanned;
    struct kv_scan *scan;
    char key[16];
    bool ok;

    range.lower = range.upper = account_key(account, key);
    if (kv_snapshot_get(snapshot, NULL, range.lower, &found) != KV_OK ||
        kv_scan_open(snapshot, NULL, &range, &scan) != KV_OK)
        return false;
    ok = kv_scan_next(scan, &scanned) == KV_OK && found.seq == scanned.seq &&
         kv_slice_equal(found.row, scanned.row);
    kv_scan_close(scan);
    return ok;
}

static void read_on(struct bank *bank, uint64_t random)
{
    const uint64_t all = (uint64_t)ACCOUNTS * MONEY_EACH;
    struct kv_snapshot *snapshot;
    uint64_t last_seq = 0;

    REQUIRE(bank, kv_snapshot_new(bank->store, &snapshot) == KV_OK);
    while (!atomic_load(&bank->stop)) {
        bool ok = kv_snapshot_acquire(snapshot) == KV_OK && kv_snapshot_seq(snapshot) >= last_seq;

        for (int turn = 0; ok && turn < 3; turn++) {
            last_seq = kv_snapshot_seq(snapshot);
            ok = count_money(snapshot, turn % 2) == all &&
                 lookups_agree(snapshot, model_below(&random, ACCOUNTS)) &&
                 kv_snapshot_seq(snapshot) == last_seq;
            sched_yield();
        }
        if (!ok)
            leave_word(bank, __LINE__, "what a snapshot shows");
        kv_snapshot_release(snapshot);
        atomic_fetch_add(&bank->snapshots, 1);
    }
    kv_snapshot_free(snapshot);
}

/* ---- The others */

static void compact_on(struct bank *bank, uint64_t random)
{
    while (!atomic_load(&bank->stop)) {
        enum kv_status st = kv_compact(bank->store, NULL, NULL);

        REQUIRE(bank, st == KV_BUSY || is_fine(bank, st));
        atomic_fetch_add(&bank->compactions, st == KV_OK);
        for (unsigned i = model_below(&random, 40); i > 0; i--)
            sched_yield();
    }
}

static enum kv_status see(void *context, const struct kv_segment_report *report)
{
    *(uint64_t *)context += report->records;
    return KV_OK;
}

/* Opens the store, looks around, leaves. */
static void visit_on(struct bank *bank, uint64_t random)
{
    while (!atomic_load(&bank->stop)) {
        struct kv_store *store;
        struct kv_stats stats;
        uint64_t records = 0, seq;
        void *row;
        size_t size;

        enum kv_status st = kv_store_open(bank->path, &bank->options, &store);

        REQUIRE(bank, is_fine(bank, st));
        if (st != KV_OK)
            continue;
        st = kv_store_stats(store, &stats);
        REQUIRE(bank, is_fine(bank, st));
        REQUIRE(bank, st != KV_OK || stats.durable_seq <= stats.last_seq);
        REQUIRE(bank, kv_store_segments(store, NULL, see, &records) == KV_OK && records > 0);
        REQUIRE(bank, kv_get(store, kv_slice_text("account007"), &row, &size) == KV_OK);
        free(row);
        if (st == KV_OK && model_percent(&random, 20)) {
            st = kv_sync(store, &seq);
            REQUIRE(bank, is_fine(bank, st));
            REQUIRE(bank, st != KV_OK || seq >= stats.last_seq);
        }
        REQUIRE(bank, kv_store_close(store) == KV_OK);
        atomic_fetch_add(&bank->visits, 1);
        sched_yield();
    }
}

/* Makes calls fail: each failed sync has the next writer fail over. */
static void disturb_on(struct bank *bank, uint64_t random)
{
    static const enum kv_memfs_call calls[] = {KV_MEMFS_DATASYNC, KV_MEMFS_DATASYNC,
                                               KV_MEMFS_SYNC,     KV_MEMFS_DIR_SYNC,
                                               KV_MEMFS_RENAME,   KV_MEMFS_WRITE};

    while (!atomic_load(&bank->stop)) {
        struct timespec nap = {.tv_nsec = 1000000 + model_below(&random, 5000000)};

        kv_memfs_fail(bank->failing, calls[model_below(&random, 6)], 1 + model_below(&random, 4),
                      KV_IOERR, KV_MEMFS_ONCE);
        nanosleep(&nap, NULL);
        kv_memfs_heal(bank->failing);
    }
}

struct role {
    void (*play)(struct bank *bank, uint64_t random);
    struct bank *bank;
    uint64_t random;
};

static void *play(void *context)
{
    struct role *role = context;

    role->play(role->bank, role->random);
    return NULL;
}

/* ---- A day at the bank */

static void open_bank(struct bank *bank)
{
    struct kv_txn *txn;

    atomic_flag_clear(&bank->failed);
    ck_kv(kv_store_open(bank->path, &bank->options, &bank->store));
    ck_kv(kv_txn_begin(bank->store, NULL, &txn));
    for (unsigned i = 0; i < ACCOUNTS; i++)
        ck_assert(write_money(txn, i, MONEY_EACH, 0));
    ck_kv(kv_txn_commit(txn));
}

static void run_threads(struct bank *bank, struct role *roles, unsigned count)
{
    struct timespec length = {.tv_sec = LENGTH_MS / 1000, .tv_nsec = LENGTH_MS % 1000 * 1000000};
    pthread_t threads[16];

    ck_assert_uint_le(count, 16);
    for (unsigned i = 0; i < count; i++) {
        roles[i].bank = bank;
        roles[i].random = i + 1;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, play, &roles[i]), 0);
    }
    for (unsigned i = model_scaled(1); i > 0 && !atomic_load(&bank->stop); i--)
        nanosleep(&length, NULL);
    atomic_store(&bank->stop, true);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    ck_assert_msg(bank->failure[0] == '\0', "%s", bank->failure);
}

/* The books balance, and every commit is in them, before and after opening again. */
static void balance(struct bank *bank, uint64_t commits)
{
    for (int turn = 0; turn < 2; turn++) {
        struct kv_snapshot *snapshot;

        ck_kv(kv_snapshot_new(bank->store, &snapshot));
        ck_kv(kv_snapshot_acquire(snapshot));
        ck_assert_uint_eq(count_money(snapshot, turn), (uint64_t)ACCOUNTS * MONEY_EACH);
        ck_assert_uint_eq(kv_snapshot_seq(snapshot), 1 + commits);
        kv_snapshot_free(snapshot);
        ck_kv(kv_store_close(bank->store));
        ck_kv(kv_store_open(bank->path, &bank->options, &bank->store));
    }
    ck_kv(kv_store_close(bank->store));
}

static void spend_a_day(struct bank *bank)
{
    struct role roles[WRITERS + READERS + 3] = {{.play = compact_on}, {.play = visit_on}};
    unsigned count = 2;
    uint64_t commits;

    for (unsigned i = 0; i < WRITERS; i++)
        roles[count++].play = write_on;
    for (unsigned i = 0; i < READERS; i++)
        roles[count++].play = read_on;
    if (bank->failing)
        roles[count++].play = disturb_on;
    open_bank(bank);
    run_threads(bank, roles, count);
    commits = atomic_load(&bank->commits);
    ck_assert_uint_gt(commits, 10);
    ck_assert_uint_gt(atomic_load(&bank->snapshots), 10);
    ck_assert_uint_gt(atomic_load(&bank->compactions), 0);
    ck_assert_uint_gt(atomic_load(&bank->visits), 0);
    balance(bank, commits);
    figures->transactions += commits;
    figures->runs += atomic_load(&bank->snapshots);
    figures->compactions += atomic_load(&bank->compactions);
    figures->recoveries += atomic_load(&bank->visits);
    if (bank->failing)
        figures->faults += kv_memfs_fault_count(bank->failing);
}

static struct kv_open_options small_segments(struct kv_io *io)
{
    struct kv_open_options options = kv_open_options_default();

    options.io = io;
    options.settings.segment_bytes = 64 * 1024;
    options.settings.max_segment_bytes = 64 * 1024;
    options.settings.fanout = 2;
    options.settings.tiers = 4;
    return options;
}

START_TEST(test_threads_in_memory)
{
    struct kv_memfs *fs = kv_memfs_new(1);
    struct bank bank = {.path = "/db", .options = small_segments(kv_memfs_io(fs))};

    bank.options.foreground = true; /* no clock that goes by itself */
    bank.failing = _i ? fs : NULL;
    spend_a_day(&bank);
    kv_memfs_free(fs);
}
END_TEST

/* ---- In a real directory */

static char directory[] = "/tmp/kv-test-threads-XXXXXX";

static void real_setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void real_teardown(void)
{
    ck_assert_int_eq(rmdir(directory), 0);
}

static struct bank real_bank(char path[64])
{
    struct bank bank = {.options = small_segments(NULL)};

    snprintf(path, 64, "%s/db", directory);
    bank.path = path;
    bank.options.settings.busy_timeout_ms = 30000; /* nobody has to try twice */
    return bank;
}

START_TEST(test_threads_in_a_directory)
{
    char path[64];
    struct bank bank = real_bank(path);

    bank.options.foreground = _i;
    spend_a_day(&bank);
    ck_kv(kv_destroy(path, NULL));
}
END_TEST

/* Each opens, commits and closes: sometimes the first one there, sometimes the last one to go. */
static void come_and_go(struct bank *bank, uint64_t random)
{
    while (!atomic_load(&bank->stop)) {
        struct kv_store *store;
        struct kv_txn *txn;
        uint64_t money;

        REQUIRE(bank, kv_store_open(bank->path, &bank->options, &store) == KV_OK);
        REQUIRE(bank, kv_txn_begin(store, NULL, &txn) == KV_OK);
        REQUIRE(bank, read_money(txn, 0, &money));
        REQUIRE(bank, write_money(txn, 0, money + 1, model_below(&random, 1900)));
        REQUIRE(bank, kv_txn_commit(txn) == KV_OK);
        REQUIRE(bank, kv_store_close(store) == KV_OK);
        atomic_fetch_add(&bank->commits, 1);
    }
}

START_TEST(test_threads_come_and_go)
{
    struct role roles[4] = {
        {.play = come_and_go}, {.play = come_and_go}, {.play = come_and_go}, {.play = come_and_go}};
    struct kv_txn *txn;
    uint64_t money;
    char path[64];
    struct bank bank = real_bank(path);

    open_bank(&bank);
    ck_kv(kv_store_close(bank.store));
    run_threads(&bank, roles, 4);
    ck_kv(kv_store_open(path, &bank.options, &bank.store));
    ck_kv(kv_txn_begin(bank.store, NULL, &txn));
    ck_assert(read_money(txn, 0, &money));
    kv_txn_abort(txn);
    ck_assert_uint_eq(money, MONEY_EACH + atomic_load(&bank.commits));
    ck_assert_uint_eq(kv_store_seq(bank.store), 1 + atomic_load(&bank.commits));
    ck_kv(kv_store_close(bank.store));
    ck_kv(kv_destroy(path, NULL));
    figures->transactions += atomic_load(&bank.commits);
}
END_TEST

static Suite *threads_suite(void)
{
    Suite *suite = suite_create("threads");
    TCase *memory = tcase_create("in memory"), *real = tcase_create("in a directory");

    tcase_set_timeout(memory, 60 * model_scaled(1));
    tcase_set_timeout(real, 60 * model_scaled(1));
    tcase_add_checked_fixture(real, real_setup, real_teardown);
    tcase_add_loop_test(memory, test_threads_in_memory, 0, 2);
    tcase_add_loop_test(real, test_threads_in_a_directory, 0, 2);
    tcase_add_test(real, test_threads_come_and_go);
    suite_add_tcase(suite, memory);
    suite_add_tcase(suite, real);
    return suite;
}

int main(void)
{
    int failures;

    figures = model_figures_new();
    failures = kv_run_suite(threads_suite());
    printf("%llu commits, %llu snapshots read, %llu compactions, %llu visits, %llu faults\n",
           (unsigned long long)figures->transactions, (unsigned long long)figures->runs,
           (unsigned long long)figures->compactions, (unsigned long long)figures->recoveries,
           (unsigned long long)figures->faults);
    return failures;
}
