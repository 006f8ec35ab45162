/*
 * YCSB's core workloads A to F through SQL, each operation a transaction of its
 * own, on keys that are asked for as Zipf's law says: a kv table beside an
 * ordinary one. (Cooper et al.: Benchmarking cloud serving systems with YCSB, 2010.)
 *
 * Every row's version is remembered, so that every answer can be checked.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contest.h"
#include "session.h"

enum { SCAN_ROWS_MAX = 100 };

/* Numbers 0 … count-1, 0 the most frequent (Gray et al.: Quickly generating billion-record
 * synthetic databases, 1994), with YCSB's skew. */
struct zipf {
    double count, alpha, zeta, eta, half_power;
};

struct world {
    struct session session; /* closed last */
    struct zipf zipf;
    uint64_t random;     /* state */
    uint64_t rows;       /* there are now */
    uint64_t rows_limit; /* there is room for */
    uint8_t *versions;   /* of each row */
    sqlite3_stmt *read, *write, *scan;
};

static const double zipf_skew = 0.99;

static struct zipf zipf_of(uint64_t count)
{
    struct zipf zipf = {.count = (double)count, .alpha = 1 / (1 - zipf_skew)};
    double zeta_of_two = 1 + pow(0.5, zipf_skew);

    for (uint64_t i = 1; i <= count; i++)
        zipf.zeta += pow(1 / (double)i, zipf_skew);
    zipf.half_power = zeta_of_two;
    zipf.eta = (1 - pow(2 / zipf.count, 1 - zipf_skew)) / (1 - zeta_of_two / zipf.zeta);
    return zipf;
}

static uint64_t next_random(struct world *world)
{
    return bench_scatter(world->random++);
}

static uint64_t next_zipf(struct world *world)
{
    const struct zipf *zipf = &world->zipf;
    double uniform = (double)(next_random(world) >> 11) * 0x1p-53;
    double scaled = uniform * zipf->zeta;
    double number;

    if (scaled < 1)
        return 0;
    if (scaled < zipf->half_power)
        return 1;
    number = zipf->count * pow(zipf->eta * uniform - zipf->eta + 1, zipf->alpha);
    return number < zipf->count ? (uint64_t)number : (uint64_t)zipf->count - 1;
}

/* A row that is asked for often or seldom; the frequent ones are spread over all. */
static uint64_t next_row(struct world *world)
{
    return bench_scatter(next_zipf(world) + 7) % world->rows;
}

static uint64_t value_number(const struct world *world, uint64_t row)
{
    return row * 256 + world->versions[row];
}

/* ---- Operations */

static void read_row(struct world *world, uint64_t row)
{
    size_t value_bytes = world->session.options->value_bytes;
    const void *value = bench_value(value_number(world, row), value_bytes);
    char key[BENCH_KEY_BYTES];

    session_bind_key(world->read, key, bench_scatter(row));
    bench_check(sqlite3_step(world->read) == SQLITE_ROW);
    bench_check((size_t)sqlite3_column_bytes(world->read, 0) == value_bytes);
    bench_check(!memcmp(sqlite3_column_blob(world->read, 0), value, value_bytes));
    sqlite3_reset(world->read);
}

static void write_row(struct world *world, uint64_t row)
{
    char key[BENCH_KEY_BYTES];

    session_bind_key(world->write, key, bench_scatter(row));
    session_bind_value(world->write, value_number(world, row), world->session.options->value_bytes);
    session_run(&world->session, world->write);
}

static void update_row(struct world *world, uint64_t row)
{
    world->versions[row]++;
    write_row(world, row);
}

static void insert_row(struct world *world)
{
    bench_check(world->rows < world->rows_limit);
    write_row(world, world->rows++);
}

static void scan_rows(struct world *world, uint64_t row)
{
    uint64_t limit = 1 + next_random(world) % SCAN_ROWS_MAX;
    char key[BENCH_KEY_BYTES];

    session_bind_key(world->scan, key, bench_scatter(row));
    sqlite3_bind_int64(world->scan, 2, (int64_t)limit);
    bench_check(session_read_ascending(&world->session, world->scan, limit) >= 1);
}

/* ---- Workloads */

static struct bench_result load(void *context)
{
    struct world *world = context;
    struct session *session = &world->session;
    double start;

    sqlite3_finalize(world->read);
    sqlite3_finalize(world->write);
    sqlite3_finalize(world->scan);
    free(world->versions);
    session_reset(session);
    world->rows_limit = session->options->rows * 2 + 1000;
    world->versions = calloc(world->rows_limit, 1);
    if (!world->versions)
        bench_fail("out of memory");
    world->read = session_prepare(session, "SELECT value FROM t WHERE key = ?");
    world->write = session_prepare(session, "INSERT OR REPLACE INTO t VALUES(?, ?)");
    world->scan =
        session_prepare(session, "SELECT key, value FROM t WHERE key >= ? ORDER BY key LIMIT ?");
    world->zipf = zipf_of(session->options->rows);
    world->random = 1;
    start = bench_seconds();
    for (world->rows = 0; world->rows < session->options->rows;) {
        if (world->rows % BENCH_ROWS_PER_TRANSACTION == 0)
            session_execute(session, world->rows ? "COMMIT; BEGIN" : "BEGIN");
        insert_row(world);
    }
    session_execute(session, "COMMIT");
    return (struct bench_result){bench_seconds() - start, world->rows};
}

/* A fifth as many operations as there are rows: `common` of them, and `rare` for `rare_percent`. */
static struct bench_result mix(struct world *world, unsigned rare_percent,
                               void (*common)(struct world *world),
                               void (*rare)(struct world *world))
{
    uint64_t operations = world->session.options->rows / 5 + 1;
    double start = bench_seconds();

    for (uint64_t i = 0; i < operations; i++)
        (next_random(world) % 100 < rare_percent ? rare : common)(world);
    return (struct bench_result){bench_seconds() - start, operations};
}

static void read_any(struct world *world)
{
    read_row(world, next_row(world));
}

static void read_latest(struct world *world)
{
    read_row(world, world->rows - 1 - next_zipf(world));
}

static void update_any(struct world *world)
{
    update_row(world, next_row(world));
}

static void scan_any(struct world *world)
{
    scan_rows(world, next_row(world));
}

static void modify_any(struct world *world)
{
    uint64_t row = next_row(world);

    read_row(world, row);
    update_row(world, row);
}

static struct bench_result update_heavy(void *world)
{
    return mix(world, 50, read_any, update_any);
}

static struct bench_result read_mostly(void *world)
{
    return mix(world, 5, read_any, update_any);
}

static struct bench_result read_only(void *world)
{
    return mix(world, 0, read_any, read_any);
}

static struct bench_result read_the_latest(void *world)
{
    return mix(world, 5, read_latest, insert_row);
}

static struct bench_result short_ranges(void *world)
{
    return mix(world, 5, scan_any, insert_row);
}

static struct bench_result read_modify_write(void *world)
{
    return mix(world, 50, read_any, modify_any);
}

static const struct bench_workload workloads[] = {
    {"load", load, false},
    {"A: 50 % updates", update_heavy, false},
    {"B: 5 % updates", read_mostly, false},
    {"C: reads", read_only, false},
    {"D: latest, 5 % inserts", read_the_latest, false},
    {"E: scans, 5 % inserts", short_ranges, false},
    {"F: 50 % read-modify-write", read_modify_write, false},
};

static void finish(void *context)
{
    struct world *world = context;

    sqlite3_finalize(world->read);
    sqlite3_finalize(world->write);
    sqlite3_finalize(world->scan);
    free(world->versions);
    session_finish(&world->session);
}

int main(void)
{
    struct bench_options options = bench_options(1000000);
    struct world kv = {.session = {.options = &options, .is_kv = true}};
    struct world ordinary = {.session = {.options = &options}};
    struct bench_contest contest = {
        .program = "bench_ycsb",
        .options = &options,
        .workloads = workloads,
        .workload_count = sizeof(workloads) / sizeof(workloads[0]),
        .contestants = {{"kv", &kv, finish}, {"ordinary", &ordinary, finish}},
        .contestant_count = 2,
    };

    printf("YCSB: a kv table beside an ordinary table (SQLite %s)\n", sqlite3_libversion());
    bench_print_machine(&options);
    bench_json_close(bench_contest(&contest));
    putchar('\n');
    return EXIT_SUCCESS;
}
