/*
 * Accounts in a store: transfers move money between them, so that its sum is the
 * same in every state. Nothing here asserts: it is for threads and children, too.
 */
#ifndef KV_TESTS_BANK_H
#define KV_TESTS_BANK_H

#include "kv.h"

enum { BANK_ACCOUNTS = 40, BANK_MONEY_EACH = 1000 };

/* Options for a store with small segments that is merged all the time. */
struct kv_open_options bank_options(void);

/* Open the accounts, in one transaction. */
enum kv_status bank_found(struct kv_store *store) KV_WARN_UNUSED;

/* Move something from one account to another. KV_BUSY: somebody else is at it. */
enum kv_status bank_transfer(struct kv_store *store, uint64_t *random) KV_WARN_UNUSED;

/*
 * Count the money in a snapshot of the store: KV_MISMATCH if some is missing or too much. `*seq`
 * is the snapshot's.
 */
enum kv_status bank_count(struct kv_store *store, uint64_t *seq) KV_WARN_UNUSED;

/* Count the money in a directory that nobody has open, and check it: as above, or KV_CORRUPT. */
enum kv_status bank_audit(const char *path, uint64_t *seq) KV_WARN_UNUSED;

#endif
