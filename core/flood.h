/*
 * What a memtable does about keys of one hash.
 *
 * Whoever made a store knows the seed of its hashes, and can choose as many keys of one 64-bit hash as
 * he likes: they are one chain. By chance two keys of a log have one hash in one of a hundred million
 * logs. So the first lookup that meets another key of its own hash has noticed a flood, and makes a
 * second table of the same items, by a hash that is seeded with a secret of this process. From then on
 * lookups in this memtable go by that table. It costs memory and time only then.
 *
 * Invariants. The second table is a memtable too, whose item i is the first one's item i, but for `hash`
 * and `older`. (The offset is that of when it was added: in a log, it stays.) It has the first so many of
 * the linked items, and those who look up add the rest, as far as they need it, under a mutex: who
 * holds that is its one mutator, and who writes or publishes never waits for it. It has
 * the first one's capacity from the start, so that nothing moves under readers; that of a write set, which
 * is one thread's, grows and is taken back with it.
 *
 * Keys are added from records that were verified: damage must not hide a key behind another hash.
 */
#ifndef KV_FLOOD_H
#define KV_FLOOD_H

#include "memtable.h"

/* Where the keys of the items are. */
struct kv_flood_keys {
    /*
     * The key of the record at an offset, which was verified and ends at `bound_bytes` at the latest:
     * valid until the next call. Or whatever failed.
     */
    enum kv_status (*key)(const void *owner, uint32_t offset_bytes, uint32_t bound_bytes,
                          struct kv_slice *out);
    const void *owner;
    uint32_t bound_bytes; /* items at or past it are not looked at */
};

/*
 * The second table of `memtable`, which has every linked item before keys->bound_bytes. It is made if
 * there is none yet, and lasts as long as the memtable. KV_NOMEM, or what keys->key says.
 */
enum kv_status kv_flood_table(struct kv_memtable *memtable, const struct kv_flood_keys *keys,
                              const struct kv_memtable **out) KV_WARN_UNUSED;

/* What keys are hashed to in it. */
uint64_t kv_flood_hash(const struct kv_memtable *memtable, struct kv_slice key);

/* ---- For the memtable; NULL is fine: none has been noticed */

void kv_flood_free(struct kv_flood *flood);

/* Forget items `count` and later, before the memtable does. Only while nobody else reads them. */
void kv_flood_truncate(struct kv_flood *flood, uint32_t count);

uint64_t kv_flood_memory_bytes(const struct kv_flood *flood);

#endif
