/* Sealed logs that tests know by heart (segment_fixture.h). */
#include "segment_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "hash.h"
#include "index_layout.h"
#include "names.h"
#include "runner.h"

enum { BASE_SEQ = 500, BASE_LSN = 1 << 20 };

void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){.fs = kv_memfs_new(1)};
    fixture->place.io = kv_memfs_io(fixture->fs);
    fixture->place.path = FIXTURE_DIRECTORY;
    fixture->place.hash_seed = 0xc0ffee;
    fixture->place.file_mode = 0600;
    memset(fixture->place.uuid, 'u', KV_UUID_BYTES);
    ck_kv(kv_io_dir_create(fixture->place.io, FIXTURE_DIRECTORY, 0700));
    ck_kv(kv_io_dir_open(fixture->place.io, FIXTURE_DIRECTORY, &fixture->place.dir));
}

void fixture_release(struct fixture *fixture)
{
    kv_io_dir_close(fixture->place.dir);
    kv_memfs_free(fixture->fs);
}

static const char *path_of(const char *name)
{
    static _Thread_local char path[KV_NAME_BYTES + sizeof(FIXTURE_DIRECTORY)];

    snprintf(path, sizeof(path), "%s/%s", FIXTURE_DIRECTORY, name);
    return path;
}

const char *fixture_data_path(uint64_t number)
{
    char name[KV_NAME_BYTES];

    kv_name_segment(name, number);
    return path_of(name);
}

const char *fixture_index_path(uint64_t number)
{
    char name[KV_NAME_BYTES];

    kv_name_index(name, number);
    return path_of(name);
}

uint64_t fixture_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return kv_digest_add(1, *state);
}

/* ---- Writing a log */

static struct kv_slice copy_of(struct kv_slice bytes)
{
    uint8_t *copy = malloc(bytes.size ? bytes.size : 1);

    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    return kv_slice_of(copy, bytes.size);
}

void sealed_log_begin(struct sealed_log *log, const struct fixture *fixture, uint64_t number)
{
    *log = (struct sealed_log){.header = {.role = KV_ROLE_LOG,
                                          .number = number,
                                          .salt = number * 0x123456789,
                                          .base_seq = BASE_SEQ,
                                          .time_ms = 1700000000000,
                                          .log = {.base_lsn = BASE_LSN,
                                                  .previous_digest = 0xd1ce,
                                                  .record_limit = KV_LOG_RECORD_LIMIT}}};
    memcpy(log->header.uuid, fixture->place.uuid, KV_UUID_BYTES);
    log->place = (struct kv_record_place){.salt = log->header.salt, .base_seq = BASE_SEQ};
    log->digest = log->records_digest = log->header.log.previous_digest;
    log->info.min_seq = BASE_SEQ + 1;
    log->info.max_seq = BASE_SEQ;
    kv_header_encode(kv_buffer_reserve(&log->bytes, KV_HEADER_BYTES), &log->header);
    log->bytes.size = KV_HEADER_BYTES;
}

static void append(struct sealed_log *log, enum kv_kind kind, struct kv_slice key,
                   struct kv_slice row)
{
    struct kv_record record = {.kind = kind, .seq = log->info.max_seq + 1, .key = key, .row = row};
    size_t size = kv_record_size(&log->place, &record);

    kv_record_encode(kv_buffer_reserve(&log->bytes, size), &log->place, log->bytes.size, &record);
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? log->capacity * 2 : 64;
        log->writes = realloc(log->writes, log->capacity * sizeof(*log->writes));
    }
    log->writes[log->count++] = (struct write){.key = copy_of(key),
                                               .row = copy_of(row),
                                               .seq = record.seq,
                                               .deleted = kind == KV_DELETE,
                                               .offset_bytes = (uint32_t)log->bytes.size,
                                               .size_bytes = record.size_bytes};
    log->bytes.size += size;
    log->records_digest = kv_digest_add(log->records_digest, record.checksum);
    log->open_count++;
}

void sealed_log_put(struct sealed_log *log, struct kv_slice key, struct kv_slice row)
{
    append(log, KV_PUT, key, row);
}

void sealed_log_delete(struct sealed_log *log, struct kv_slice key)
{
    append(log, KV_DELETE, key, kv_slice_of(NULL, 0));
}

void sealed_log_commit(struct sealed_log *log)
{
    struct kv_commit commit = {.seq = ++log->info.max_seq,
                               .record_count = log->open_count,
                               .begin_lsn = BASE_LSN,
                               .time_ms = 1700000000000,
                               .nonce = 7};

    commit.digest = kv_commit_digest(&commit, log->records_digest);
    kv_commit_encode(kv_buffer_reserve(&log->bytes, KV_COMMIT_BYTES), log->place.salt,
                     log->bytes.size, &commit);
    log->bytes.size += KV_COMMIT_BYTES;
    log->digest = log->records_digest = commit.digest;
    log->open_count = 0;
}

void sealed_log_end(struct sealed_log *log)
{
    struct kv_end end = {.seq = log->info.max_seq, .digest = log->digest};

    kv_end_encode(kv_buffer_reserve(&log->bytes, KV_END_BYTES), log->place.salt, log->bytes.size,
                  &end);
    log->bytes.size += KV_END_BYTES;
}

static int compare_writes(const void *a, const void *b)
{
    const struct write *const *left = a, *const *right = b;
    int order = kv_slice_compare((*left)->key, (*right)->key);

    if (order)
        return order;
    return (*left)->offset_bytes > (*right)->offset_bytes ? -1 : 1;
}

static void sort_newest(struct sealed_log *log)
{
    log->newest = malloc((log->count + 1) * sizeof(struct write *));
    for (size_t i = 0; i < log->count; i++)
        log->newest[i] = &log->writes[i];
    qsort(log->newest, log->count, sizeof(struct write *), compare_writes);
    log->newest_count = 0;
    for (size_t i = 0; i < log->count; i++)
        if (i == 0 || !kv_slice_equal(log->newest[i]->key, log->newest[log->newest_count - 1]->key))
            log->newest[log->newest_count++] = log->newest[i];
}

void sealed_log_finish(struct sealed_log *log, struct fixture *fixture)
{
    struct kv_segment_info *info = &log->info;

    if (log->open_count)
        sealed_log_commit(log);
    sort_newest(log);
    info->number = log->header.number;
    info->salt = log->header.salt;
    info->end_bytes = log->bytes.size;
    info->digest = log->digest;
    info->record_count = log->count;
    info->entry_count = log->newest_count;
    info->first_lsn = BASE_LSN;
    info->last_lsn = BASE_LSN + log->bytes.size - KV_HEADER_BYTES;
    for (size_t i = 0; i < log->newest_count; i++) {
        info->tombstone_count += log->newest[i]->deleted;
        info->entry_bytes += log->newest[i]->size_bytes;
    }
    if (log->newest_count) {
        ck_kv(kv_buffer_set(&info->min_key, log->newest[0]->key));
        ck_kv(kv_buffer_set(&info->max_key, log->newest[log->newest_count - 1]->key));
    }
    ck_assert(kv_memfs_write_file(fixture->fs, fixture_data_path(info->number),
                                  kv_buffer_slice(&log->bytes)));
}

void sealed_log_release(struct sealed_log *log)
{
    for (size_t i = 0; i < log->count; i++) {
        free((void *)(uintptr_t)log->writes[i].key.data);
        free((void *)(uintptr_t)log->writes[i].row.data);
    }
    free(log->writes);
    free(log->newest);
    kv_buffer_release(&log->bytes);
    kv_segment_info_release(&log->info);
}

struct kv_index_item *sealed_log_items(const struct sealed_log *log, const struct fixture *fixture)
{
    struct kv_index_item *items = malloc((log->newest_count + 1) * sizeof(*items));

    for (size_t i = 0; i < log->newest_count; i++)
        items[i] = (struct kv_index_item){kv_hash(log->newest[i]->key, fixture->place.hash_seed),
                                          log->newest[i]->offset_bytes};
    return items;
}

size_t sealed_log_rank(const struct sealed_log *log, struct kv_slice key, bool or_equal)
{
    size_t low = 0, high = log->newest_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (kv_slice_compare(log->newest[middle]->key, key) < or_equal)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct write *sealed_log_find(const struct sealed_log *log, struct kv_slice key)
{
    size_t i = sealed_log_rank(log, key, false);

    return i < log->newest_count && kv_slice_equal(log->newest[i]->key, key) ? log->newest[i]
                                                                             : NULL;
}

/* ---- Keys */

static void put_number(struct kv_buffer *out, uint64_t number)
{
    uint64_t bytes = __builtin_bswap64(number);

    ck_kv(kv_buffer_append(out, kv_slice_of(&bytes, sizeof(bytes))));
}

static void put_bytes(struct kv_buffer *out, uint8_t byte, size_t count)
{
    memset(kv_buffer_reserve(out, count + 1), byte, count);
    out->size += count;
}

void fixture_key(enum key_shape shape, uint64_t i, struct kv_buffer *out)
{
    uint64_t state = i;

    out->size = 0;
    switch (shape) {
    case KEYS_RANDOM:
        for (uint64_t n = fixture_random(&state) % 40 + 1; n > 0; n--)
            put_bytes(out, (uint8_t)fixture_random(&state), 1);
        break;
    case KEYS_COUNTER:
        put_bytes(out, 0x15, 1);
        put_number(out, i);
        break;
    case KEYS_LONG_PREFIX:
        put_bytes(out, 'p', 40);
        put_number(out, i * 1000);
        break;
    case KEYS_DEEP:
        put_bytes(out, 'd', 5);
        put_bytes(out, i % 7 ? 'x' : 'y', 1);
        put_bytes(out, 'e', 20);
        put_number(out, i);
        break;
    case KEYS_NESTED: put_bytes(out, 'a', i + 1); break;
    case KEYS_ZEROS:
        put_bytes(out, i % 2 ? 1 : 0, 1);
        put_bytes(out, 0, i / 2);
        break;
    case KEYS_SHAPE_COUNT: break;
    }
}

void sealed_log_put_keys(struct sealed_log *log, enum key_shape shape, size_t key_count)
{
    struct kv_buffer key = {0};
    char row[200];

    for (size_t i = 0; i < key_count; i++) {
        int size = snprintf(row, sizeof(row), "row of %zu %0*d", i, (int)(i % 60) + 1, 7);
        fixture_key(shape, i * 7919 % key_count, &key);
        sealed_log_put(log, kv_buffer_slice(&key), kv_slice_of(row, (size_t)size));
        if (i % 3 == 0)
            sealed_log_commit(log);
        if (i % 5 == 4) { /* overwritten at once, or deleted, or deleted and back */
            sealed_log_put(log, kv_buffer_slice(&key), kv_slice_text("second version"));
            if (i % 10 == 4)
                sealed_log_delete(log, kv_buffer_slice(&key));
            if (i % 20 == 4)
                sealed_log_put(log, kv_buffer_slice(&key), kv_slice_of(NULL, 0));
        }
    }
    kv_buffer_release(&key);
}

/* ---- A log and its segment */

void segment_world_init(struct segment_world *world, enum key_shape shape, size_t key_count)
{
    *world = (struct segment_world){0};
    fixture_init(&world->fixture);
    sealed_log_begin(&world->log, &world->fixture, SEGMENT_WORLD_NUMBER);
    sealed_log_put_keys(&world->log, shape, key_count);
    sealed_log_finish(&world->log, &world->fixture);
}

void segment_world_release(struct segment_world *world)
{
    kv_segment_unref(world->segment);
    sealed_log_release(&world->log);
    fixture_release(&world->fixture);
}

static void build(struct segment_world *world, const struct kv_index_item *items, size_t count)
{
    struct kv_index_array array = kv_index_array(items, count);

    ck_kv(kv_index_build(&world->fixture.place, &world->log.info,
                         kv_buffer_slice(&world->log.bytes), &array.base, NULL, NULL));
}

void segment_world_index(struct segment_world *world)
{
    struct kv_index_item *items = sealed_log_items(&world->log, &world->fixture);

    build(world, items, world->log.newest_count);
    free(items);
}

void segment_world_lie(struct segment_world *world, const struct kv_index_item *items, size_t count)
{
    build(world, items, count);
    ck_kv(segment_world_reopen(world));
}

enum kv_status segment_world_reopen(struct segment_world *world)
{
    kv_segment_unref(world->segment);
    return kv_segment_open(&world->fixture.place, &world->log.info, &world->segment);
}

void segment_world_damage_page(struct segment_world *world, uint64_t page)
{
    ck_assert(kv_memfs_flip_bit(world->fixture.fs, fixture_index_path(SEGMENT_WORLD_NUMBER),
                                page * KV_INDEX_PAGE_BYTES + 8, 3));
}
