/* What snapshots may show: see ledger.h. */
#include "ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

/* ---- Writing */

static enum kv_status put_text(struct kv_txn *txn, const char *key, const char *row)
{
    return kv_txn_put(txn, kv_slice_text(key), kv_slice_text(row));
}

/* The id of the last transaction and its place, as `txn` sees them; 0 and 0 in an empty store. */
static enum kv_status last_of(struct kv_txn *txn, unsigned *id, unsigned *place)
{
    struct kv_entry entry;
    char text[16], key[16];
    enum kv_status st = kv_txn_get(txn, kv_slice_text("last"), &entry);

    *id = *place = 0;
    if (st != KV_OK)
        return st == KV_DONE ? KV_OK : st;
    snprintf(text, sizeof(text), "%.*s", (int)entry.row.size, (const char *)entry.row.data);
    *id = (unsigned)strtoul(text, NULL, 10);
    snprintf(key, sizeof(key), "k%u", *id);
    st = kv_txn_get(txn, kv_slice_text(key), &entry);
    if (st != KV_OK)
        return st == KV_DONE ? kv_fail(KV_CORRUPT, "there is no %s", key) : st;
    snprintf(text, sizeof(text), "%.*s", (int)entry.row.size, (const char *)entry.row.data);
    if (sscanf(text, "%*u:%u", place) != 1)
        return kv_fail(KV_CORRUPT, "%s is %s", key, text);
    return KV_OK;
}

static enum kv_status put_big(struct kv_txn *txn, unsigned id, size_t size)
{
    uint8_t *row = malloc(size);
    enum kv_status st;

    if (!row)
        return kv_fail_nomem();
    memset(row, (int)id, size);
    st = kv_txn_put(txn, kv_slice_text("big"), kv_slice_of(row, size));
    free(row);
    return st;
}

enum kv_status ledger_write(struct kv_txn *txn, unsigned id, size_t big_bytes, unsigned *place)
{
    unsigned before;
    char key[16], row[32];
    enum kv_status st = last_of(txn, &before, place);

    if (st != KV_OK)
        return st;
    ++*place;
    snprintf(key, sizeof(key), "gone%u", before);
    if (before)
        st = kv_txn_delete(txn, kv_slice_text(key));
    snprintf(key, sizeof(key), "k%u", id);
    snprintf(row, sizeof(row), "%u:%u", before, *place);
    if (st == KV_OK)
        st = put_text(txn, key, row);
    snprintf(row, sizeof(row), "%u", id);
    if (st == KV_OK)
        st = put_text(txn, "last", row);
    snprintf(key, sizeof(key), "gone%u", id);
    if (st == KV_OK)
        st = put_text(txn, key, "x");
    return st == KV_OK && big_bytes ? put_big(txn, id, big_bytes) : st;
}

/* ---- Reading */

struct rows {
    unsigned last, gone, big; /* ids; 0: none */
    unsigned before[TXNS_MAX], place[TXNS_MAX];
    unsigned count;
};

static _Thread_local char complaint[256];

#define complain(...) (snprintf(complaint, sizeof(complaint), __VA_ARGS__), complaint)

static const char *take_row(struct rows *rows, const struct kv_entry *entry)
{
    char key[16], row[32];
    unsigned id, before, place;

    snprintf(key, sizeof(key), "%.*s", (int)entry->key.size, (const char *)entry->key.data);
    if (strcmp(key, "big") == 0) {
        rows->big = entry->row.data[0];
        return NULL;
    }
    snprintf(row, sizeof(row), "%.*s", (int)entry->row.size, (const char *)entry->row.data);
    if (strcmp(key, "last") == 0) {
        rows->last = (unsigned)strtoul(row, NULL, 10);
    } else if (sscanf(key, "gone%u", &id) == 1) {
        if (rows->gone)
            return complain("both gone%u and gone%u are there", rows->gone, id);
        rows->gone = id;
    } else if (sscanf(key, "k%u", &id) == 1 && sscanf(row, "%u:%u", &before, &place) == 2 &&
               id < TXNS_MAX && before < TXNS_MAX && place < TXNS_MAX && place > 0) {
        rows->before[id] = before;
        rows->place[id] = place;
        rows->count++;
    } else {
        return complain("a row %s = %s", key, row);
    }
    return NULL;
}

static const char *scan_rows(struct kv_snapshot *snapshot, struct rows *rows, uint64_t *digest)
{
    struct kv_range everything = {0};
    struct kv_entry entry;
    struct kv_scan *scan;
    const char *wrong = NULL;
    enum kv_status st = kv_scan_open(snapshot, NULL, &everything, &scan);

    if (st != KV_OK)
        return complain("scan: %s: %s", kv_status_name(st), kv_message());
    while (!wrong && (st = kv_scan_next(scan, &entry)) == KV_OK) {
        wrong = take_row(rows, &entry);
        *digest = kv_hash(entry.row, kv_hash(entry.key, *digest));
    }
    if (!wrong && st != KV_DONE)
        wrong = complain("scan: %s: %s", kv_status_name(st), kv_message());
    kv_scan_close(scan);
    return wrong;
}

/* Follow the transactions back from the last one: each in its place, and none besides. */
static const char *follow(const struct rows *rows, struct account *account)
{
    unsigned id = rows->last;

    account->last = id;
    account->place = id < TXNS_MAX ? rows->place[id] : 0;
    if (rows->gone != rows->last)
        return complain("gone%u is there, but the last one is %u", rows->gone, rows->last);
    if (account->place != rows->count)
        return complain("transaction %u is number %u, but %u have left a row", id, account->place,
                        rows->count);
    for (unsigned place = account->place; place > 0; place--) {
        if (id == 0 || id >= TXNS_MAX || rows->place[id] != place)
            return complain("transaction %u is not number %u", id, place);
        account->order[place] = id;
        id = rows->before[id];
    }
    return id == 0 ? NULL : complain("transaction %u is missing", id);
}

/* Each key by itself is what the scan has said. */
static const char *get_rows(struct kv_snapshot *snapshot, const struct rows *rows)
{
    for (unsigned id = 1; id < TXNS_MAX; id++) {
        static const char *const formats[] = {"k%u", "gone%u"};

        for (unsigned i = 0; i < 2; i++) {
            bool expected = i == 0 ? rows->place[id] != 0 : rows->gone == id;
            struct kv_entry entry;
            char key[16];
            enum kv_status st;

            snprintf(key, sizeof(key), i ? formats[1] : formats[0], id);
            st = kv_snapshot_get(snapshot, NULL, kv_slice_text(key), &entry);
            if (st != (expected ? KV_OK : KV_DONE))
                return complain("get %s: %s (%s), but the scan %s it", key, kv_status_name(st),
                                st < 0 ? kv_message() : "", expected ? "has" : "has not");
        }
    }
    return NULL;
}

const char *ledger_read(struct kv_snapshot *snapshot, struct account *account)
{
    struct rows rows = {0};
    const char *wrong;

    *account = (struct account){0};
    wrong = scan_rows(snapshot, &rows, &account->digest);
    if (!wrong)
        wrong = follow(&rows, account);
    if (!wrong)
        wrong = get_rows(snapshot, &rows);
    account->digest = kv_digest_add(account->digest, rows.big);
    return wrong;
}

/* ---- Judging */

static const char *judge_one(const struct ledger *ledger, unsigned id)
{
    enum txn_state state = ledger->txns[id].state;
    bool died = ledger->power_failed || ledger->writer_died[ledger->txns[id].writer];

    if (state == TXN_PUBLISHED || state == TXN_UNKNOWN || (state == TXN_PREPARING && died))
        return NULL;
    return complain("transaction %u is seen, which %s", id,
                    state == TXN_ABORTED     ? "was rolled back"
                    : state == TXN_PREPARING ? "its writer has not published"
                    : state == TXN_OPEN      ? "is being written"
                                             : "never was");
}

const char *ledger_judge(struct ledger *ledger, struct witness *witness,
                         const struct account *account, unsigned floor, uint64_t seq)
{
    if (account->place < floor)
        return complain("number %u is the last that is seen, but %u were committed before",
                        account->place, floor);
    if (account->place < witness->place)
        return complain("number %u is the last that is seen, and was %u before", account->place,
                        witness->place);
    if (seq != account->place)
        return complain("the snapshot's seq is %llu, but it shows %u transactions",
                        (unsigned long long)seq, account->place);
    for (unsigned place = 1; place <= account->place; place++) {
        unsigned id = account->order[place];
        const char *wrong = judge_one(ledger, id);

        if (wrong)
            return wrong;
        if (ledger->order[place] && ledger->order[place] != id)
            return complain("number %u is transaction %u, and was %u", place, id,
                            ledger->order[place]);
    }
    witness->place = account->place;
    return NULL;
}

void ledger_note(struct ledger *ledger, const struct account *account, bool durable)
{
    for (unsigned place = 1; place <= account->place; place++)
        ledger->order[place] = account->order[place];
    if (ledger->known < account->place)
        ledger->known = account->place;
    if (durable && ledger->durable < account->place)
        ledger->durable = account->place;
}

const char *ledger_acknowledge(struct ledger *ledger, unsigned id, unsigned place, bool durable)
{
    if (ledger->order[place] && ledger->order[place] != id)
        return complain("transaction %u was acknowledged as number %u, which is %u", id, place,
                        ledger->order[place]);
    ledger->order[place] = id;
    if (ledger->known < place)
        ledger->known = place;
    if (durable && ledger->durable < place)
        ledger->durable = place;
    return NULL;
}

uint64_t ledger_hash(const struct ledger *ledger)
{
    return kv_hash(kv_slice_of(ledger, sizeof(*ledger)), 0);
}
