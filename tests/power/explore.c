/* From a trace to states of the disk, each checked once: see explore.h. */
#include "explore.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "disk.h"
#include "report.h"

/* States that were checked, by their hash, with what was found. */
struct seen {
    struct {
        uint64_t hash; /* 0: free */
        struct verdict verdict;
    } * slots;
    size_t capacity, count;
};

struct explorer {
    const struct exploration *exploration;
    struct seen seen;
    uint64_t seed;
    unsigned depth;
    struct image image, damaged;
};

static void *need(void *memory)
{
    if (!memory)
        fail("out of memory");
    return memory;
}

/* ---- States that were seen */

static size_t slot_of(const struct seen *seen, uint64_t hash)
{
    size_t at = hash & (seen->capacity - 1);

    while (seen->slots[at].hash != 0 && seen->slots[at].hash != hash)
        at = (at + 1) & (seen->capacity - 1);
    return at;
}

static void seen_grow(struct seen *seen)
{
    struct seen old = *seen;

    seen->capacity = old.capacity ? 2 * old.capacity : 1024;
    seen->slots = need(calloc(seen->capacity, sizeof(*seen->slots)));
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].hash)
            seen->slots[slot_of(seen, old.slots[i].hash)] = old.slots[i];
    free(old.slots);
}

/* The verdict on a state; `*is_new`: it is to be filled in. */
static struct verdict *seen_find(struct seen *seen, uint64_t hash, bool *is_new)
{
    size_t at;

    if (2 * (seen->count + 1) > seen->capacity)
        seen_grow(seen);
    hash |= 1;
    at = slot_of(seen, hash);
    *is_new = seen->slots[at].hash == 0;
    seen->count += *is_new;
    seen->slots[at].hash = hash;
    return &seen->slots[at].verdict;
}

/* ---- Exploring */

static void explore_trace(struct explorer *explorer, const struct trace *trace,
                          const struct image *start, const struct history *history,
                          unsigned samples);

/* Let the power fail again while the store recovers from `start` and goes on. */
static void nest(struct explorer *explorer, const struct image *start,
                 const struct history *history, const struct expectation *expectation)
{
    struct trace trace;
    struct history next;

    check_traced(start, history, expectation, &trace, &next);
    explorer->depth++;
    explore_trace(explorer, &trace, start, &next, explorer->exploration->nest_samples);
    explorer->depth--;
    place.nested_event = place.nested_sample = 0;
    trace_release(&trace);
    history_release(&next);
}

/* Check the state in explorer->image. */
static void examine(struct explorer *explorer, const struct history *history,
                    const struct expectation *expectation, struct chooser *chance)
{
    uint64_t hash = image_hash(&explorer->image);
    bool is_new;
    struct verdict *verdict = seen_find(&explorer->seen, hash, &is_new);

    if (!is_new) {
        atomic_fetch_add(&figures->duplicates, 1);
        place.step = "a state seen before";
        check_verdict(verdict, history, expectation);
        return;
    }
    atomic_fetch_add(&figures->states, 1);
    if (explorer->depth > 0)
        atomic_fetch_add(&figures->nested, 1);
    check_image(&explorer->image, history, expectation, verdict);
    if (explorer->depth == 0 && chooser_below(chance, 100) < explorer->exploration->nest_percent) {
        struct image start = {0};

        image_copy(&start, &explorer->image);
        nest(explorer, &start, history, expectation);
        image_copy(&explorer->image, &start);
        image_release(&start);
    }
    check_repaired(&explorer->image, history, expectation);
    /* Last, for it spoils the image. */
    check_damaged(&explorer->image, history, expectation, hash);
}

static void note_place(const struct explorer *explorer, uint64_t event, uint64_t sample)
{
    if (explorer->depth == 0) {
        place.event = event;
        place.sample = sample;
    } else {
        place.nested_event = event;
        place.nested_sample = sample;
    }
}

static void exhaust(struct explorer *explorer, const struct disk *disk, uint64_t event,
                    const struct history *history, const struct expectation *expectation)
{
    struct chooser chooser;
    uint64_t sample = 0;

    chooser_init(&chooser, CHOOSE_EVERYTHING, explorer->seed + event, 0);
    do {
        note_place(explorer, event, sample++);
        disk_fail(disk, &chooser, &explorer->image);
        examine(explorer, history, expectation, &chooser);
    } while (chooser_next(&chooser));
    atomic_fetch_add(&figures->exhausted, 1);
}

/* The power fails before an event: some of the states, or all if they are few. */
static void explore_point(struct explorer *explorer, const struct disk *disk, uint64_t event,
                          const struct history *history, const struct expectation *expectation,
                          unsigned samples)
{
    struct chooser chooser;

    atomic_fetch_add(&figures->points, 1);
    if (disk_combinations(disk) <= explorer->exploration->exhaust) {
        exhaust(explorer, disk, event, history, expectation);
        return;
    }
    for (unsigned i = 0; i < samples; i++) {
        enum chooser_mode mode = i == 0       ? CHOOSE_NOTHING
                                 : i == 1     ? CHOOSE_ALL
                                 : i % 4 == 2 ? CHOOSE_UP_TO
                                              : CHOOSE_RANDOMLY;

        note_place(explorer, event, i);
        chooser_init(&chooser, mode, (explorer->seed * 100003 + event) * 1009 + i,
                     disk_changes(disk));
        disk_fail(disk, &chooser, &explorer->image);
        examine(explorer, history, expectation, &chooser);
    }
}

/* Does the event take states away, so that the moment before it is the richest? */
static bool ends_something(const struct trace_event *event)
{
    return event->kind == TRACE_SYNC || event->kind == TRACE_SYNC_DIRECTORY ||
           event->kind == TRACE_SYNC_PARENT;
}

static void explore_trace(struct explorer *explorer, const struct trace *trace,
                          const struct image *start, const struct history *history,
                          unsigned samples)
{
    struct disk *disk = disk_new(start);
    const struct expectation *expectation = &history->expectations[0];

    for (size_t i = 0; i < trace->count; i++) {
        const struct trace_event *event = &trace->events[i];

        if (event->kind == TRACE_MARK) {
            expectation = &history->expectations[event->mark];
            continue;
        }
        explore_point(explorer, disk, i, history, expectation,
                      ends_something(event) ? samples : samples / 4 + 2);
        disk_play(disk, event);
        atomic_fetch_add(&figures->events, 1);
    }
    explore_point(explorer, disk, trace->count, history, expectation, samples);
    disk_free(disk);
}

void explore(const struct exploration *exploration, const struct profile *profile, uint64_t seed)
{
    struct explorer explorer = {.exploration = exploration, .seed = seed};
    struct workload workload;

    place = (struct place){.profile = profile->name, .seed = seed, .step = "nothing"};
    workload_run(&workload, profile, seed);
    explore_trace(&explorer, &workload.trace, NULL, &workload.history,
                  profile->long_rows ? 1 : exploration->samples);
    atomic_fetch_add(&figures->workloads, 1);
    workload_release(&workload);
    image_release(&explorer.image);
    free(explorer.seen.slots);
}
