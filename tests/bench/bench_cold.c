/*
 * How many pages a read takes from the disk, and how long it takes, when
 * nothing of the store is cached: point reads, seeks and a scan, of the store as it was
 * written, in small logs that nothing merges, and after kv_compact().
 *
 * Before each read the store is closed, its files are dropped from the page cache, and it is
 * opened again: no read profits from another. Before and behind the read mincore() counts which
 * pages of the files are cached, so readahead counts, too.
 * What the kernel says the process has read from the disk meanwhile is printed beside.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"
#include "kv.h"

enum { PAGE_BYTES = 4096, READS_MAX = 100, FILES_MAX = 1024, SEGMENT_BYTES = 16 << 20 };

static void must(enum kv_status st)
{
    if (st != KV_OK)
        bench_fail("%s: %s", kv_status_name(st), kv_message());
}

/* ---- The page cache */

/* A file of the store, mapped to ask about it; never touched through the mapping. */
struct watched {
    void *at;
    size_t size_bytes;
};

struct watch {
    struct watched files[FILES_MAX];
    size_t count;
};

/* Call `each` for every file in a directory, open for reading. */
static void for_each_file(const char *directory, void (*each)(void *context, int fd), void *context)
{
    DIR *entries = opendir(directory);
    struct dirent *entry;

    if (!entries)
        bench_fail("cannot list %s", directory);
    while ((entry = readdir(entries)) != NULL) {
        int fd = openat(dirfd(entries), entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        struct stat info;

        if (fd < 0)
            continue;
        if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0)
            each(context, fd);
        close(fd);
    }
    closedir(entries);
}

static void drop_file(void *context, int fd)
{
    (void)context;
    if (fdatasync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
        bench_fail("cannot drop a file from the page cache");
}

static void watch_file(void *context, int fd)
{
    struct watch *watch = context;
    struct watched *file = &watch->files[watch->count];
    struct stat info;

    if (watch->count++ == FILES_MAX || fstat(fd, &info))
        bench_fail("cannot watch so many files");
    file->size_bytes = (size_t)info.st_size;
    file->at = mmap(NULL, file->size_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (file->at == MAP_FAILED)
        bench_fail("cannot map a file");
}

static void unwatch(struct watch *watch)
{
    for (size_t i = 0; i < watch->count; i++)
        munmap(watch->files[i].at, watch->files[i].size_bytes);
    watch->count = 0;
}

/* How many pages of the files are cached. */
static uint64_t resident_pages(const struct watch *watch)
{
    static unsigned char pages[1 << 20]; /* of 4 GiB, as large as a segment can be */
    uint64_t resident = 0;

    for (size_t i = 0; i < watch->count; i++) {
        size_t count = (watch->files[i].size_bytes + PAGE_BYTES - 1) / PAGE_BYTES;

        if (count > sizeof(pages) || mincore(watch->files[i].at, watch->files[i].size_bytes, pages))
            bench_fail("cannot ask what is cached");
        for (size_t page = 0; page < count; page++)
            resident += pages[page] & 1;
    }
    return resident;
}

/* ---- A store, cold */

struct bench {
    const struct bench_options *options;
    struct bench_json *json;
    char directory[4096];
    struct kv_store *store;
    struct kv_snapshot *snapshot;
    struct watch watch;
};

static void open_store(struct bench *bench)
{
    struct kv_open_options options = kv_open_options_default();

    options.mode = KV_OPEN_OR_CREATE;
    options.settings.synchronous = KV_SYNC_NORMAL;
    options.settings.segment_bytes = SEGMENT_BYTES;
    options.settings.auto_compact = false;
    must(kv_store_open(bench->directory, &options, &bench->store));
    must(kv_snapshot_new(bench->store, &bench->snapshot));
}

static void close_store(struct bench *bench)
{
    kv_snapshot_free(bench->snapshot);
    must(kv_store_close(bench->store));
}

/* Close the store, drop its files from the page cache, and open it again. */
static void make_cold(struct bench *bench)
{
    close_store(bench);
    for_each_file(bench->directory, drop_file, NULL);
    for_each_file(bench->directory, watch_file, &bench->watch);
    if (resident_pages(&bench->watch) > 0)
        printf("(%llu pages stay cached)\n", (unsigned long long)resident_pages(&bench->watch));
    open_store(bench);
    must(kv_snapshot_acquire(bench->snapshot));
}

static void make_warm(struct bench *bench)
{
    kv_snapshot_release(bench->snapshot);
    unwatch(&bench->watch);
}

static void fill(struct bench *bench)
{
    char key[BENCH_KEY_BYTES];

    for (uint64_t n = 0; n < bench->options->rows;) {
        struct kv_txn *txn;

        must(kv_txn_begin(bench->store, NULL, &txn));
        do {
            bench_key(key, bench_scatter(n));
            must(kv_txn_put(txn, kv_slice_of(key, sizeof(key)),
                            kv_slice_of(bench_value(n, bench->options->value_bytes),
                                        bench->options->value_bytes)));
        } while (++n < bench->options->rows && n % BENCH_ROWS_PER_TRANSACTION != 0);
        must(kv_txn_commit(txn));
    }
}

/* ---- Reads */

/* The pages that an entry's record lies on; in front of the key stand some ten bytes. */
static uint64_t own_pages(const struct kv_entry *entry)
{
    uint64_t last = (uint64_t)(uintptr_t)entry->row.data + entry->row.size - 1;
    uint64_t first = last + 1 - entry->size_bytes;

    return last / PAGE_BYTES - first / PAGE_BYTES + 1;
}

/* Read row `n`; returns how many pages of its own it has. */
static uint64_t point_read(struct bench *bench, uint64_t n)
{
    struct kv_entry entry;
    char key[BENCH_KEY_BYTES];

    bench_key(key, bench_scatter(n));
    must(kv_snapshot_get(bench->snapshot, NULL, kv_slice_of(key, sizeof(key)), &entry));
    bench_check(entry.row.size == bench->options->value_bytes);
    bench_check(!memcmp(entry.row.data, bench_value(n, entry.row.size), entry.row.size));
    return own_pages(&entry);
}

static uint64_t absent_read(struct bench *bench, uint64_t n)
{
    struct kv_entry entry;
    char key[BENCH_KEY_BYTES];

    bench_key(key, bench_scatter(bench->options->rows + n));
    bench_check(kv_snapshot_get(bench->snapshot, NULL, kv_slice_of(key, sizeof(key)), &entry) ==
                KV_DONE);
    return 0;
}

/* The first row from row `n`'s key on, which is that row. */
static uint64_t seek(struct bench *bench, uint64_t n)
{
    struct kv_range range = {.has_lower = true};
    struct kv_entry entry;
    struct kv_scan *scan;
    char key[BENCH_KEY_BYTES];
    uint64_t pages;

    bench_key(key, bench_scatter(n));
    range.lower = kv_slice_of(key, sizeof(key));
    must(kv_scan_open(bench->snapshot, NULL, &range, &scan));
    must(kv_scan_next(scan, &entry));
    bench_check(entry.key.size == sizeof(key) && !memcmp(entry.key.data, key, sizeof(key)));
    pages = own_pages(&entry);
    kv_scan_close(scan);
    return pages;
}

struct figure {
    double median, mean, max;
};

static struct figure figure_of(double *values, unsigned count)
{
    struct figure figure = {.max = values[0]};

    for (unsigned i = 0; i < count; i++) {
        figure.mean += values[i] / count;
        figure.max = values[i] > figure.max ? values[i] : figure.max;
    }
    figure.median = bench_median(values, count);
    return figure;
}

/* A hundred reads of rows all over the store, each of them cold. */
static void measure_reads(struct bench *bench, const char *state, const char *name,
                          uint64_t (*read)(struct bench *bench, uint64_t n))
{
    static double pages[READS_MAX], beyond[READS_MAX], us[READS_MAX];
    uint64_t rows = bench->options->rows, step = rows / READS_MAX + 1;
    uint64_t disk_bytes = 0;
    struct figure all, more, latency;
    char label[128];
    unsigned count = 0;

    for (uint64_t n = 0; n < rows && count < READS_MAX; n += step, count++) {
        uint64_t before, disk_before, own;
        double start;

        make_cold(bench);
        before = resident_pages(&bench->watch);
        disk_before = bench_read_bytes(getpid());
        start = bench_seconds();
        own = read(bench, n);
        us[count] = (bench_seconds() - start) * 1e6;
        disk_bytes += bench_read_bytes(getpid()) - disk_before;
        pages[count] = (double)(resident_pages(&bench->watch) - before);
        beyond[count] = pages[count] > (double)own ? pages[count] - (double)own : 0;
        make_warm(bench);
    }

    all = figure_of(pages, count);
    more = figure_of(beyond, count);
    latency = figure_of(us, count);
    snprintf(label, sizeof(label), "%s: %s", state, name);
    printf("%-26s %8.0f %8.2f %8.0f %12.2f %12.2f %10.0f %10.0f\n", label, all.median, all.mean,
           all.max, more.mean, (double)disk_bytes / PAGE_BYTES / count, latency.median,
           latency.mean);
    snprintf(label, sizeof(label), "%s: %s, beyond its own", state, name);
    bench_json_number(bench->json, label, "pages", more.mean);
    snprintf(label, sizeof(label), "%s: %s", state, name);
    bench_json_number(bench->json, label, "pages", all.mean);
    bench_json_number(bench->json, label, "us", latency.median);
}

/* All rows in order, on a cold store. */
static void measure_scan(struct bench *bench, const char *state)
{
    struct kv_range range = {0};
    struct kv_entry entry;
    struct kv_scan *scan;
    uint64_t count = 0;
    char label[128];
    double start;

    make_cold(bench);
    start = bench_seconds();
    must(kv_scan_open(bench->snapshot, NULL, &range, &scan));
    while (kv_scan_next(scan, &entry) == KV_OK)
        count++;
    kv_scan_close(scan);
    start = bench_seconds() - start;
    bench_check(count == bench->options->rows);
    snprintf(label, sizeof(label), "%s: scan of all", state);
    printf("%-26s %.0f ms, %llu pages\n", label, start * 1e3,
           (unsigned long long)resident_pages(&bench->watch));
    bench_json_number(bench->json, label, "ms", start * 1e3);
    make_warm(bench);
}

static void measure(struct bench *bench, const char *state)
{
    struct kv_stats stats;
    char label[128];

    make_cold(bench); /* closing has sealed the log */
    must(kv_store_stats(bench->store, &stats));
    make_warm(bench);
    snprintf(label, sizeof(label), "%s: runs, and one", state);
    bench_json_number(bench->json, label, "count", (double)stats.runs + 1);
    printf("%s: %llu runs, %.0f MB\n", state, (unsigned long long)stats.runs,
           (double)stats.disk_bytes / 1e6);
    measure_reads(bench, state, "point read", point_read);
    measure_reads(bench, state, "absent key", absent_read);
    measure_reads(bench, state, "seek", seek);
    measure_scan(bench, state);
}

int main(void)
{
    struct bench_options options = bench_options(1000000);
    struct bench bench = {.options = &options};

    printf("Reads of a store that is not cached (sqlite-kv %s)\n", KV_VERSION);
    bench_print_machine(&options);
    bench_fresh_directory(&options, "cold", bench.directory);
    bench.json = bench_json_open(&options, "bench_cold");
    open_store(&bench);
    fill(&bench);
    bench_settle();
    printf("%-26s %8s %8s %8s %12s %12s %10s %10s\n", "pages a read", "median", "mean", "max",
           "beyond own", "from disk", "median us", "mean us");
    measure(&bench, "as written");
    must(kv_compact(bench.store, NULL, NULL));
    measure(&bench, "compacted");
    close_store(&bench);
    bench_json_close(bench.json);
    bench_remove_directory(bench.directory);
    return EXIT_SUCCESS;
}
