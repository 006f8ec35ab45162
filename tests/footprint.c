/* Memory, as the kernel counts it: see footprint.h. */
#include "footprint.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "runner.h"

uint64_t footprint_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    uint64_t kilobytes = 0;
    bool found = false;
    char line[256];

    ck_assert_ptr_nonnull(file);
    while (!found && fgets(line, sizeof(line), file))
        found = sscanf(line, "RssAnon: %" SCNu64, &kilobytes) == 1;
    fclose(file);
    ck_assert_msg(found, "the kernel does not tell RssAnon");
    return kilobytes * 1024;
}

static void *watch_run(void *context)
{
    struct footprint_watch *watch = context;
    uint64_t before = footprint_bytes();

    while (!atomic_load(&watch->stop)) {
        uint64_t bytes = footprint_bytes();

        if (bytes > before && bytes - before > watch->peak_bytes)
            watch->peak_bytes = bytes - before;
        usleep(1000);
    }
    return NULL;
}

void footprint_watch_start(struct footprint_watch *watch)
{
    watch->peak_bytes = 0;
    atomic_init(&watch->stop, false);
    ck_assert_int_eq(pthread_create(&watch->thread, NULL, watch_run, watch), 0);
}

uint64_t footprint_watch_end(struct footprint_watch *watch)
{
    atomic_store(&watch->stop, true);
    ck_assert_int_eq(pthread_join(watch->thread, NULL), 0);
    return watch->peak_bytes;
}
