/*
 * A store directory in memory, and sealed logs in it whose every record the
 * test knows: for the tests of indexes, segments and runs.
 */
#ifndef KV_TESTS_SEGMENT_FIXTURE_H
#define KV_TESTS_SEGMENT_FIXTURE_H

#include "buffer.h"
#include "header.h"
#include "index.h"
#include "memfs.h"
#include "place.h"
#include "record.h"
#include "segment.h"
#include "segment_info.h"

#define FIXTURE_DIRECTORY "/db"

struct fixture {
    struct kv_memfs *fs;
    struct kv_place place;
};

void fixture_init(struct fixture *fixture);
void fixture_release(struct fixture *fixture);

/* "/db/segment_N.db" or "….idx"; valid until the next call. */
const char *fixture_data_path(uint64_t number);
const char *fixture_index_path(uint64_t number);

/* A small generator of numbers, the same on every run. */
uint64_t fixture_random(uint64_t *state);

/* One record as it was written. */
struct write {
    struct kv_slice key, row; /* owned */
    uint64_t seq;
    bool deleted;
    uint32_t offset_bytes, size_bytes;
};

/* A sealed log. Zero-initialise; append; finish. */
struct sealed_log {
    struct kv_header header;
    struct kv_buffer bytes;
    struct kv_record_place place;
    uint64_t digest;         /* of the last COMMIT */
    uint64_t records_digest; /* over what came since */
    uint32_t open_count;
    struct write *writes;
    size_t count, capacity;
    struct write **newest; /* of each key, in key order; after finish */
    size_t newest_count;
    struct kv_segment_info info; /* after finish */
};

void sealed_log_begin(struct sealed_log *log, const struct fixture *fixture, uint64_t number);
void sealed_log_put(struct sealed_log *log, struct kv_slice key, struct kv_slice row);
void sealed_log_delete(struct sealed_log *log, struct kv_slice key);
void sealed_log_commit(struct sealed_log *log);
void sealed_log_end(struct sealed_log *log); /* append END */

/* Commit if needed, write the file, sort `newest`, fill `info`. */
void sealed_log_finish(struct sealed_log *log, struct fixture *fixture);
void sealed_log_release(struct sealed_log *log);

/* What kv_index_build wants, for free(). */
struct kv_index_item *sealed_log_items(const struct sealed_log *log, const struct fixture *fixture);

/* The newest write of a key; NULL: none. */
const struct write *sealed_log_find(const struct sealed_log *log, struct kv_slice key);

/* How many newest keys are < `key`, or with `or_equal` <= `key`. */
size_t sealed_log_rank(const struct sealed_log *log, struct kv_slice key, bool or_equal);

/* ---- Sets of keys that are hard on an index */

enum key_shape {
    KEYS_RANDOM,      /* 1 … 40 random bytes, no common prefix */
    KEYS_COUNTER,     /* nine bytes, as SQL integers are encoded */
    KEYS_LONG_PREFIX, /* 40 equal bytes, then a number */
    KEYS_DEEP,        /* differ only behind 16 bytes that follow the common prefix */
    KEYS_NESTED,      /* each a prefix of the next: "a", "aa", … */
    KEYS_ZEROS,       /* runs of zero bytes: padding must not confuse */
    KEYS_SHAPE_COUNT,
};

/* Key `i` of a shape, into `out`. Different `i` may give equal keys only for KEYS_RANDOM. */
void fixture_key(enum key_shape shape, uint64_t i, struct kv_buffer *out);

/* Append keys 0 … key_count-1 of a shape, not in order; many are overwritten or deleted. */
void sealed_log_put_keys(struct sealed_log *log, enum key_shape shape, size_t key_count);

/* ---- A log and its segment */

enum { SEGMENT_WORLD_NUMBER = 3 };

struct segment_world {
    struct fixture fixture;
    struct sealed_log log;
    struct kv_segment *segment; /* NULL: not open */
};

/* A finished log of such keys, without an index, not opened. */
void segment_world_init(struct segment_world *world, enum key_shape shape, size_t key_count);
void segment_world_release(struct segment_world *world);

/* Build the log's index. */
void segment_world_index(struct segment_world *world);

/* Build an index of these items, true or not, and open the segment with it. */
void segment_world_lie(struct segment_world *world, const struct kv_index_item *items,
                       size_t count);

enum kv_status segment_world_reopen(struct segment_world *world);

/* Flip a bit in a page of the index file that is in place now. */
void segment_world_damage_page(struct segment_world *world, uint64_t page);

#endif
