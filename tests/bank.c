/* Accounts (bank.h). */
#include "bank.h"

#include <stdio.h>

#include "model.h"

enum { PAPER_BYTES = 1500 }; /* fills up logs */

struct kv_open_options bank_options(void)
{
    struct kv_open_options options = kv_open_options_default();

    options.settings.synchronous = KV_SYNC_OFF;
    options.settings.segment_bytes = 64 * 1024;
    options.settings.max_segment_bytes = 64 * 1024;
    options.settings.fanout = 2;
    options.settings.busy_timeout_ms = 10000;
    return options;
}

static struct kv_slice account_key(unsigned account, char key[16])
{
    snprintf(key, 16, "account%03u", account);
    return kv_slice_text(key);
}

static enum kv_status put(struct kv_txn *txn, unsigned account, uint64_t money, size_t paper)
{
    uint8_t row[sizeof(money) + PAPER_BYTES] = {0};
    char key[16];

    memcpy(row, &money, sizeof(money));
    return kv_txn_put(txn, account_key(account, key), kv_slice_of(row, sizeof(money) + paper));
}

static enum kv_status get(struct kv_txn *txn, unsigned account, uint64_t *money)
{
    struct kv_entry entry;
    char key[16];
    enum kv_status st = kv_txn_get(txn, account_key(account, key), &entry);

    if (st == KV_OK)
        memcpy(money, entry.row.data, sizeof(*money));
    return st;
}

static enum kv_status end(struct kv_txn *txn, enum kv_status st)
{
    if (st == KV_OK)
        return kv_txn_commit(txn);
    kv_txn_abort(txn);
    return st;
}

enum kv_status bank_found(struct kv_store *store)
{
    struct kv_txn *txn;
    enum kv_status st = kv_txn_begin(store, NULL, &txn);

    if (st != KV_OK)
        return st;
    for (unsigned account = 0; account < BANK_ACCOUNTS && st == KV_OK; account++)
        st = put(txn, account, BANK_MONEY_EACH, 0);
    return end(txn, st);
}

enum kv_status bank_transfer(struct kv_store *store, uint64_t *random)
{
    unsigned from = model_below(random, BANK_ACCOUNTS), to = model_below(random, BANK_ACCOUNTS);
    uint64_t amount = model_below(random, 100), from_money = 0, to_money = 0;
    struct kv_txn *txn;
    enum kv_status st = kv_txn_begin(store, NULL, &txn);

    if (st != KV_OK)
        return st;
    st = get(txn, from, &from_money);
    if (amount > from_money)
        amount = from_money;
    if (st == KV_OK)
        st = put(txn, from, from_money - amount, model_below(random, PAPER_BYTES));
    if (st == KV_OK)
        st = get(txn, to, &to_money);
    if (st == KV_OK)
        st = put(txn, to, to_money + amount, model_below(random, PAPER_BYTES));
    return end(txn, st);
}

static enum kv_status count_rows(struct kv_snapshot *snapshot, uint64_t *sum, unsigned *accounts)
{
    struct kv_range everything = {0};
    struct kv_scan *scan;
    struct kv_entry entry;
    enum kv_status st = kv_scan_open(snapshot, NULL, &everything, &scan);

    *sum = *accounts = 0;
    if (st != KV_OK)
        return st;
    while ((st = kv_scan_next(scan, &entry)) == KV_OK) {
        uint64_t money;

        memcpy(&money, entry.row.data, sizeof(money));
        *sum += money;
        ++*accounts;
    }
    kv_scan_close(scan);
    return st == KV_DONE ? KV_OK : st;
}

enum kv_status bank_count(struct kv_store *store, uint64_t *seq)
{
    struct kv_snapshot *snapshot;
    unsigned accounts = 0;
    uint64_t sum = 0;
    enum kv_status st = kv_snapshot_new(store, &snapshot);

    if (st != KV_OK)
        return st;
    st = kv_snapshot_acquire(snapshot);
    if (st == KV_OK) {
        *seq = kv_snapshot_seq(snapshot);
        st = count_rows(snapshot, &sum, &accounts);
    }
    kv_snapshot_free(snapshot);
    if (st == KV_OK && (accounts != BANK_ACCOUNTS || sum != BANK_ACCOUNTS * BANK_MONEY_EACH))
        st = kv_fail(KV_MISMATCH, "%u accounts hold %llu", accounts, (unsigned long long)sum);
    return st;
}

static enum kv_status fail_on_problem(void *context, const struct kv_problem *problem)
{
    (void)context;
    return kv_fail(KV_CORRUPT, "segment %llu, offset %llu: %s",
                   (unsigned long long)problem->segment, (unsigned long long)problem->offset,
                   problem->text);
}

enum kv_status bank_audit(const char *path, uint64_t *seq)
{
    struct kv_open_options options = bank_options();
    struct kv_store *store;
    enum kv_status st = kv_check(path, NULL, NULL, fail_on_problem, NULL), closed;

    if (st != KV_OK)
        return st;
    options.mode = KV_OPEN_EXISTING;
    options.readonly = true;
    st = kv_store_open(path, &options, &store);
    if (st != KV_OK)
        return st;
    st = bank_count(store, seq);
    closed = kv_store_close(store);
    return st == KV_OK ? closed : st;
}
