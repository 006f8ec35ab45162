/*
 * What the engine costs by itself, through kv.h, beside LMDB, LevelDB and
 * RocksDB where their libraries are installed: the workloads of bench_sql.c
 * without SQLite, and two readers at once. Every answer is checked.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contest.h"
#include "kv.h"
#include "peer.h"

enum { SEEK_ROWS = 100 };

/* A contestant's own. */
struct world {
    const struct bench_options *options;
    const struct bench_peer *peer;
    char directory[4096];
    struct bench_store *store;
};

void *bench_allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);

    if (!memory)
        bench_fail("out of memory");
    return memory;
}

static struct kv_slice key_slice(char key[BENCH_KEY_BYTES], uint64_t n)
{
    bench_key(key, n);
    return kv_slice_of(key, BENCH_KEY_BYTES);
}

static struct kv_slice value_slice(const struct world *world, uint64_t n)
{
    return kv_slice_of(bench_value(n, world->options->value_bytes), world->options->value_bytes);
}

static void reset(struct world *world, bool durable)
{
    if (world->store)
        world->peer->close(world->store);
    bench_fresh_directory(world->options, world->peer->name, world->directory);
    world->store = world->peer->open(world->directory, durable);
}

static void finish(void *context)
{
    struct world *world = context;

    world->peer->close(world->store);
    bench_remove_directory(world->directory);
}

/* ---- Workloads */

/* Write the first `rows` rows, `rows_per_transaction` at a time. */
static struct bench_result write_rows(struct world *world, uint64_t rows,
                                      uint64_t rows_per_transaction, bool sequential,
                                      uint64_t value_offset)
{
    const struct bench_peer *peer = world->peer;
    char key[BENCH_KEY_BYTES];
    double start = bench_seconds();

    for (uint64_t i = 0; i < rows; i++) {
        if (i % rows_per_transaction == 0)
            peer->begin(world->store);
        peer->put(world->store, key_slice(key, sequential ? i : bench_scatter(i)),
                  value_slice(world, i + value_offset));
        if ((i + 1) % rows_per_transaction == 0 || i + 1 == rows)
            peer->commit(world->store);
    }
    return (struct bench_result){bench_seconds() - start, rows};
}

static struct bench_result fillseq(void *context)
{
    struct world *world = context;

    reset(world, false);
    return write_rows(world, world->options->rows, BENCH_ROWS_PER_TRANSACTION, true, 0);
}

static struct bench_result fillrandom(void *context)
{
    struct world *world = context;

    reset(world, false);
    return write_rows(world, world->options->rows, BENCH_ROWS_PER_TRANSACTION, false, 0);
}

static struct bench_result overwrite(void *context)
{
    struct world *world = context;

    return write_rows(world, world->options->rows, BENCH_ROWS_PER_TRANSACTION, false, 1);
}

static struct bench_result commit_normal(void *context)
{
    struct world *world = context;
    uint64_t rows = world->options->rows;

    reset(world, false);
    return write_rows(world, rows < 100000 ? rows : 100000, 1, false, 0);
}

static struct bench_result commit_full(void *context)
{
    struct world *world = context;
    uint64_t rows = world->options->rows;

    reset(world, true);
    return write_rows(world, rows < 150000 ? rows / 50 + 1 : 3000, 1, false, 0);
}

/* Wait until the background has nothing left to merge. */
static struct bench_result settle(void *context)
{
    (void)context;
    return (struct bench_result){bench_settle(), 1000};
}

static void read_rows(struct world *world, bool missing, uint64_t seed)
{
    uint64_t rows = world->options->rows;
    struct bench_reader *reader = world->peer->reader_new(world->store);
    char key[BENCH_KEY_BYTES];

    for (uint64_t i = 0; i < rows; i++) {
        uint64_t n = missing ? rows + i : bench_scatter(~(i + seed)) % rows;
        struct kv_slice value;
        bool found = world->peer->get(reader, key_slice(key, bench_scatter(n)), &value);

        bench_check(found == !missing);
        bench_check(missing || kv_slice_equal(value, value_slice(world, n)));
    }
    world->peer->reader_free(reader);
}

static struct bench_result readrandom(void *context)
{
    struct world *world = context;
    double start = bench_seconds();

    read_rows(world, false, 0);
    return (struct bench_result){bench_seconds() - start, world->options->rows};
}

static struct bench_result readmissing(void *context)
{
    struct world *world = context;
    double start = bench_seconds();

    read_rows(world, true, 0);
    return (struct bench_result){bench_seconds() - start, world->options->rows};
}

static void *read_in_thread(void *context)
{
    read_rows(context, false, 99);
    return NULL;
}

/* Two threads, each reading as many rows as one does in readrandom; counted together. */
static struct bench_result readrandom_two(void *context)
{
    struct world *world = context;
    double start = bench_seconds();
    pthread_t other;

    if (pthread_create(&other, NULL, read_in_thread, world))
        bench_fail("cannot start a thread");
    read_rows(world, false, 0);
    pthread_join(other, NULL);
    return (struct bench_result){bench_seconds() - start, 2 * world->options->rows};
}

/* Read up to `limit` rows from key `from` on. */
static uint64_t scan(struct world *world, struct bench_reader *reader, uint64_t from,
                     uint64_t limit)
{
    char first[BENCH_KEY_BYTES], last[BENCH_KEY_BYTES] = {0};
    struct kv_slice key, value;
    uint64_t count = 0;

    world->peer->seek(reader, key_slice(first, from));
    while (count < limit && world->peer->next(reader, &key, &value)) {
        bench_check(key.size == BENCH_KEY_BYTES);
        bench_check(memcmp(key.data, last, BENCH_KEY_BYTES) > 0);
        bench_check(value.size == world->options->value_bytes);
        memcpy(last, key.data, BENCH_KEY_BYTES);
        count++;
    }
    return count;
}

static struct bench_result readseq(void *context)
{
    struct world *world = context;
    struct bench_reader *reader = world->peer->reader_new(world->store);
    double start = bench_seconds();

    bench_check(scan(world, reader, 0, UINT64_MAX) == world->options->rows);
    start = bench_seconds() - start;
    world->peer->reader_free(reader);
    return (struct bench_result){start, world->options->rows};
}

static struct bench_result seek100(void *context)
{
    struct world *world = context;
    uint64_t seeks = world->options->rows / 50 + 1;
    struct bench_reader *reader = world->peer->reader_new(world->store);
    double start = bench_seconds();

    for (uint64_t i = 0; i < seeks; i++) {
        /* The last sixteenth is left out, so that a hundred rows do follow. */
        uint64_t count = scan(world, reader, bench_scatter(i) % (UINT64_MAX / 16 * 15), SEEK_ROWS);

        bench_check(count == SEEK_ROWS || world->options->rows < 10000);
    }
    start = bench_seconds() - start;
    world->peer->reader_free(reader);
    return (struct bench_result){start, seeks};
}

static struct bench_result compact(void *context)
{
    struct world *world = context;
    double start = bench_seconds();

    if (world->peer->compact)
        world->peer->compact(world->store);
    return (struct bench_result){bench_seconds() - start, world->options->rows};
}

static struct bench_result delete_rows(void *context)
{
    struct world *world = context;
    const struct bench_peer *peer = world->peer;
    uint64_t rows = world->options->rows;
    struct bench_reader *reader;
    char key[BENCH_KEY_BYTES];
    double start = bench_seconds();

    for (uint64_t i = 0; i < rows; i++) {
        if (i % BENCH_ROWS_PER_TRANSACTION == 0)
            peer->begin(world->store);
        peer->erase(world->store, key_slice(key, bench_scatter(i)));
        if ((i + 1) % BENCH_ROWS_PER_TRANSACTION == 0 || i + 1 == rows)
            peer->commit(world->store);
    }
    start = bench_seconds() - start;
    reader = peer->reader_new(world->store);
    bench_check(scan(world, reader, 0, 1) == 0);
    peer->reader_free(reader);
    return (struct bench_result){start, rows};
}

static const struct bench_workload workloads[] = {
    {"fillseq", fillseq, false},
    {"fillrandom", fillrandom, false},
    {"until merged, ms", settle, false},
    {"readrandom", readrandom, false},
    {"readrandom, 2 threads", readrandom_two, false},
    {"readmissing", readmissing, false},
    {"readseq", readseq, false},
    {"seek + 100 rows", seek100, false},
    {"overwrite", overwrite, false},
    {"compact, a row", compact, false},
    {"readseq, compacted", readseq, false},
    {"delete", delete_rows, false},
    {"commit, normal", commit_normal, false},
    {"commit, full", commit_full, false},
};

int main(void)
{
    static const struct bench_peer *const peers[] = {&bench_peer_kv, &bench_peer_lmdb,
                                                     &bench_peer_leveldb, &bench_peer_rocksdb};
    static struct world worlds[BENCH_CONTESTANTS_MAX];
    struct bench_options options = bench_options(1000000);
    struct bench_contest contest = {
        .program = "bench_engine",
        .options = &options,
        .workloads = workloads,
        .workload_count = sizeof(workloads) / sizeof(workloads[0]),
    };

    for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        struct world *world = &worlds[contest.contestant_count];

        if (!peers[i])
            continue;
        world->options = &options;
        world->peer = peers[i];
        contest.contestants[contest.contestant_count++] =
            (struct bench_contestant){peers[i]->name, world, finish};
    }
    printf("Engine: kv.h (sqlite-kv %s) beside other libraries (make bench-deps)\n", KV_VERSION);
    bench_print_machine(&options);
    bench_json_close(bench_contest(&contest));
    putchar('\n');
    return EXIT_SUCCESS;
}
