/* Playing a scene in all ways: see stage.h. */
#include "stage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acts.h"
#include "hash.h"
#include "names.h"
#include "page.h"

enum { LATE_MS = 3600 * 1000, STOPS_MAX = 20000 };

/* What reaches the disk when the power fails: by chance nothing or some of it; or just the removals of files. */
enum cut { SOME_LANDS, REMOVALS_LAND };

static _Thread_local struct actor *self_of_thread;
static struct kv_io_ops calls; /* of actors */

struct actor *stage_self(void)
{
    return self_of_thread;
}

void stage_fail(struct stage *stage, const char *format, ...)
{
    char decisions[DECISION_TEXT_BYTES];
    const struct actor *self = self_of_thread ? self_of_thread : &stage->crew;
    va_list args;

    fflush(stdout);
    explorer_text(&stage->explorer, decisions, sizeof(decisions));
    fprintf(stderr, "FAIL %s: %s, at %s %s: ", stage->scene->name,
            self_of_thread ? self->role->name : "the crew", self->call ? self->call : "nothing",
            self->subject);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nto see it again: --scene %s --replay \"%s\" --trace\n", stage->scene->name,
            decisions);
    _Exit(EXIT_FAILURE);
}

/* ---- What may happen next */

static bool can_run(const struct stage *stage, const struct actor *actor)
{
    if (actor->dead || actor->state == ACTOR_DONE)
        return false;
    return actor->state == ACTOR_READY || stage_lock_is_free(stage, actor);
}

static bool is_waiting(const struct stage *stage, const struct actor *actor)
{
    return !actor->dead && actor->state == ACTOR_BLOCKED && !stage_lock_is_free(stage, actor);
}

struct options {
    struct option items[OPTIONS_MAX];
    unsigned count;
};

static void offer(struct options *options, enum option_kind kind, enum option_cost cost,
                  unsigned actor)
{
    options->items[options->count++] = (struct option){.kind = kind, .cost = cost, .actor = actor};
}

/* Whoever runs goes on, or another does. */
static void offer_turns(const struct stage *stage, const struct actor *current,
                        struct options *options)
{
    bool goes_on = current && can_run(stage, current);

    if (goes_on)
        offer(options, OPTION_RUN, COST_NOTHING, current->index);
    if (goes_on && current->flags & STOP_IS_OWN)
        return;
    for (unsigned i = 0; i < stage->actor_count; i++)
        if (&stage->actors[i] != current && can_run(stage, &stage->actors[i]))
            offer(options, OPTION_RUN,
                  goes_on && !(current->flags & STOP_IS_REST) ? COST_PREEMPTION : COST_NOTHING, i);
}

static void offer_trouble(struct stage *stage, const struct actor *current, struct options *options)
{
    const struct scene *scene = stage->scene;
    uint64_t disk = kv_digest_add(stage_disk_hash(stage), ledger_hash(&stage->ledger));

    for (unsigned i = 0; i < stage->actor_count; i++) {
        const struct actor *actor = &stage->actors[i];

        if (scene->time_outs && is_waiting(stage, actor))
            offer(options, OPTION_TIME_OUT, COST_PREEMPTION, i);
        if (actor->role->mortal && !actor->dead && (actor->state != ACTOR_DONE || actor->store))
            offer(options, OPTION_KILL, COST_DEATH, i);
    }
    if (scene->faults && current && can_run(stage, current) && current->flags & STOP_MAY_FAIL)
        offer(options, OPTION_FAULT, COST_FAULT, 0);
    /* Of states that leave the same on disk, one is enough. */
    if (scene->power && stage->explorer.left.deaths && !explorer_note(&stage->explorer, disk)) {
        offer(options, OPTION_POWER, COST_DEATH, SOME_LANDS);
        if (stage_has_removals(stage))
            offer(options, OPTION_POWER, COST_DEATH, REMOVALS_LAND);
    }
}

static uint64_t state_hash(const struct stage *stage, const struct actor *current)
{
    uint64_t hash = stage_files_hash(stage);

    for (unsigned i = 0; i < stage->actor_count; i++) {
        const struct actor *actor = &stage->actors[i];

        hash = kv_digest_add(hash, actor->dead ? 0 : actor->history);
        hash = kv_digest_add(hash, actor->state * 4u + actor->dead * 2u + actor->timed_out);
        hash = kv_digest_add(hash, actor->witness.place);
    }
    hash = kv_digest_add(hash, ledger_hash(&stage->ledger));
    hash = kv_digest_add(hash, stage->faults);
    return kv_digest_add(hash, current && can_run(stage, current) ? current->index : ACTORS_MAX);
}

/* ---- Ends */

static void die(struct stage *stage, struct actor *actor)
{
    actor->dead = true;
    stage->ledger.writer_died[actor->index] = 1;
    kv_memfs_kill_process(stage->fs, actor->io);
}

static void end_all(struct stage *stage)
{
    for (unsigned i = 0; i < stage->actor_count; i++)
        if (!stage->actors[i].dead)
            die(stage, &stage->actors[i]);
}

static void fail_power(struct stage *stage, enum cut cut)
{
    uint64_t chance = stage_disk_hash(stage);

    end_all(stage);
    stage->power_failed = true;
    stage->ledger.power_failed = 1;
    kv_memfs_crash(stage->fs,
                   cut == REMOVALS_LAND ? KV_MEMFS_REMOVE
                   : chance % 2         ? KV_MEMFS_DROP
                                        : KV_MEMFS_RANDOM,
                   chance);
}

/* ---- Taking turns */

static void tell(const struct stage *stage, const char *what, const struct actor *actor)
{
    if (stage->trace)
        printf("%5zu --- %s %s\n", stage->explorer.at, actor ? actor->role->name : "", what);
}

/* Let `next` go on in the place of `current`, which (if it plays on) waits for its turn. */
static void hand_over(struct actor *current, struct actor *next)
{
    next->state = ACTOR_READY;
    if (next == current)
        return;
    sem_post(&next->turn);
    if (current && current->state != ACTOR_DONE)
        while (sem_wait(&current->turn) != 0) {
        }
}

/* Everybody has come to an end, one way or another. */
static bool all_over(const struct stage *stage)
{
    for (unsigned i = 0; i < stage->actor_count; i++)
        if (!stage->actors[i].dead && stage->actors[i].state != ACTOR_DONE)
            return false;
    return true;
}

/* Do what was decided. True: an actor that lives has the turn. */
static bool carry_out(struct stage *stage, struct actor *current, const struct option *option)
{
    struct actor *actor = &stage->actors[option->actor]; /* of a power cut: enum cut */

    switch (option->kind) {
    case OPTION_TIME_OUT:
        tell(stage, "has waited too long", actor);
        actor->late_ms += LATE_MS;
        actor->timed_out = true;
        hand_over(current, actor);
        return true;
    case OPTION_RUN: hand_over(current, actor); return true;
    case OPTION_KILL:
        tell(stage, "is killed", actor);
        stage->figures.deaths++;
        die(stage, actor);
        return false;
    case OPTION_POWER:
        tell(stage, "the power fails", NULL);
        stage->figures.power_cuts++;
        fail_power(stage, (enum cut)option->actor);
        return false;
    case OPTION_FAULT:
        tell(stage, "its sync will fail", current);
        stage->figures.faults++;
        stage->faults++;
        kv_memfs_fail(stage->fs, KV_MEMFS_ANY, 1, KV_IOERR, KV_MEMFS_ONCE);
        return true;
    }
    return true;
}

/*
 * Decide, until somebody may go on; `current` (NULL: the crew) has come to a
 * stop, an end, or a wait. True: an actor has the turn; if `current` has come
 * to its end, it must touch nothing any more.
 */
static bool decide(struct stage *stage, struct actor *current)
{
    while (!all_over(stage)) {
        struct options options = {0};
        const struct option *option;

        if (++stage->stops > STOPS_MAX)
            stage_fail(stage, "no end after %d stops", STOPS_MAX);
        offer_turns(stage, current, &options);
        if (options.count == 0)
            stage_fail(stage, "deadlock: everybody waits");
        offer_trouble(stage, current, &options);
        option = explorer_choose(&stage->explorer, state_hash(stage, current), options.items,
                                 options.count);
        if (!option) {
            stage->cut_short = true;
            end_all(stage);
        } else if (carry_out(stage, current, option)) {
            return true;
        }
    }
    return false;
}

/* Writes are refused because a sync failed, or its maker died or was too long about it: for nothing else. */
static void check_doubt(struct stage *stage)
{
    bool has_cause = stage->faults > 0;

    for (unsigned i = 0; i < stage->actor_count; i++)
        has_cause |= stage->actors[i].dead || stage->actors[i].timed_out;
    if (!has_cause && ((const struct kv_page *)stage->lock_file->cached)->refuse_writes)
        stage_fail(stage, "writes are refused, though nothing has failed and nobody has died");
}

void stage_stop(struct actor *self, const char *call, const char *subject, unsigned flags)
{
    struct stage *stage;

    if (!self || self->dead || !self->stage->is_open)
        return;
    stage = self->stage;
    self->call = call;
    self->flags = flags;
    snprintf(self->subject, sizeof(self->subject), "%s", subject);
    check_doubt(stage);
    (void)decide(stage, self);
    self->history = kv_digest_add(self->history, 1); /* a step further, even if it learns nothing */
    if (stage->trace && !self->dead)
        printf("%5zu %*s%s: %s %s\n", stage->explorer.at, 12 * (int)self->index, "",
               self->role->name, call, subject);
}

bool stage_wait(struct actor *self)
{
    if (self->dead || !self->stage->is_open)
        return false;
    self->state = ACTOR_BLOCKED;
    self->call = "wait";
    self->flags = 0;
    (void)decide(self->stage, self);
    self->state = ACTOR_READY;
    return true;
}

/* ---- Threads */

static void *play(void *context)
{
    struct actor *self = self_of_thread = context;
    struct stage *stage = self->stage;

    for (;;) {
        while (sem_wait(&self->turn) != 0) {
        }
        if (!self->job)
            return NULL;
        self->job(self);
        self->state = ACTOR_DONE;
        if (!stage->is_open || !decide(stage, self))
            sem_post(&stage->empty);
    }
}

static void wait_until_empty(struct stage *stage)
{
    while (sem_wait(&stage->empty) != 0) {
    }
}

/* Let one actor do something, alone and without stops. */
static void do_alone(struct actor *actor, script *job)
{
    actor->job = job;
    sem_post(&actor->turn);
    wait_until_empty(actor->stage);
}

/* ---- Files to begin with */

static void save_image(struct stage *stage)
{
    struct image *image = &stage->image;
    char *names = kv_memfs_list(stage->fs, STAGE_PATH), *rest = names, *name;

    while ((name = strtok_r(rest, "\n", &rest))) {
        size_t at = image->count++;

        if (at == IMAGE_FILES_MAX)
            stage_fail(stage, "too many files to begin with");
        snprintf(image->files[at].path, sizeof(image->files[at].path), STAGE_PATH "/%s", name);
        image->files[at].bytes =
            kv_memfs_read_file(stage->fs, image->files[at].path, &image->files[at].size);
    }
    free(names);
    image->ledger = stage->ledger;
    image->txn_count = stage->crew.txn_count;
}

static void make_world(struct stage *stage)
{
    enum kv_status st;

    stage->fs = kv_memfs_new(1);
    for (unsigned i = 0; i < stage->actor_count; i++)
        stage->actors[i].io = kv_memfs_process(stage->fs);
    stage->crew.io = kv_memfs_process(stage->fs);
    st = kv_io_dir_create(stage->crew.io, STAGE_PATH, 0700);
    if (st != KV_OK)
        stage_fail(stage, "%s", kv_message());
}

static void restore_image(struct stage *stage)
{
    const struct image *image = &stage->image;

    for (unsigned i = 0; i < image->count; i++)
        kv_memfs_write_file(stage->fs, image->files[i].path,
                            kv_slice_of(image->files[i].bytes, image->files[i].size));
    kv_memfs_settle(stage->fs);
    stage->ledger = image->ledger;
    stage->crew.txn_count = image->txn_count;
    stage->lock_file = kv_memfs_find(stage->fs, STAGE_PATH "/" KV_NAME_LOCK);
}

/* Make the store that each schedule begins with. */
static void build(struct stage *stage)
{
    make_world(stage);
    actor_reset(&stage->crew);
    stage->scene->build(&stage->crew);
    if (stage->scene->dies_before)
        kv_memfs_kill_process(stage->fs, stage->crew.io);
    actor_leave(&stage->crew);
    save_image(stage);
    kv_memfs_free(stage->fs);
}

/* ---- One schedule */

static void begin(struct stage *stage)
{
    make_world(stage);
    restore_image(stage);
    memset(stage->contents, 0, sizeof(stage->contents));
    memset(stage->durable, 0, sizeof(stage->durable));
    stage->cut_short = stage->power_failed = false;
    stage->faults = 0;
    stage->stops = 0;
    actor_reset(&stage->crew);
    for (unsigned i = 0; i < stage->actor_count; i++) {
        struct actor *actor = &stage->actors[i];

        actor_reset(actor);
        actor->io->ops = &calls;
        if (actor->role->prepare)
            do_alone(actor, actor->role->prepare);
        actor->state = ACTOR_READY;
    }
}

/* Everybody plays; the dead find out what they are at the end. */
static void perform(struct stage *stage)
{
    for (unsigned i = 0; i < stage->actor_count; i++)
        stage->actors[i].job = stage->actors[i].role->play;
    stage->is_open = true;
    if (decide(stage, NULL))
        wait_until_empty(stage);
    stage->is_open = false;
    for (unsigned i = 0; i < stage->actor_count; i++) {
        struct actor *actor = &stage->actors[i];

        if (actor->state == ACTOR_DONE)
            continue;
        sem_post(&actor->turn);
        wait_until_empty(stage);
    }
}

/* After trouble, perhaps the power fails before anybody has closed the store. */
static bool ends_in_the_dark(const struct stage *stage)
{
    const struct budget *left = &stage->explorer.left, *all = &stage->explorer.budget;

    return stage->scene->power && !stage->cut_short && !stage->power_failed &&
           (left->deaths < all->deaths || left->faults < all->faults) && stage_disk_hash(stage) % 2;
}

static void end(struct stage *stage)
{
    if (ends_in_the_dark(stage))
        fail_power(stage, SOME_LANDS);
    for (unsigned i = 0; i < stage->actor_count; i++)
        do_alone(&stage->actors[i], actor_leave);
    if (!stage->cut_short)
        crew_inspect(&stage->crew);
    actor_leave(&stage->crew);
    kv_memfs_free(stage->fs);
    stage->fs = NULL;
}

/* ---- All of them */

void stage_init(struct stage *stage, const struct scene *scene)
{
    *stage = (struct stage){.scene = scene, .actor_count = scene->role_count};
    calls = stage_calls();
    sem_init(&stage->empty, 0, 0);
    stage->crew = (struct actor){.stage = stage, .index = ACTORS_MAX};
    for (unsigned i = 0; i < stage->actor_count; i++) {
        struct actor *actor = &stage->actors[i];

        *actor = (struct actor){.role = &scene->roles[i], .stage = stage, .index = i};
        sem_init(&actor->turn, 0, 0);
        if (pthread_create(&actor->thread, NULL, play, actor) != 0)
            abort();
    }
    build(stage);
}

void stage_release(struct stage *stage)
{
    for (unsigned i = 0; i < stage->actor_count; i++) {
        struct actor *actor = &stage->actors[i];

        actor->job = NULL;
        sem_post(&actor->turn);
        pthread_join(actor->thread, NULL);
        sem_destroy(&actor->turn);
    }
    for (unsigned i = 0; i < stage->image.count; i++)
        free(stage->image.files[i].bytes);
    sem_destroy(&stage->empty);
    explorer_release(&stage->explorer);
}

void stage_run(struct stage *stage, uint64_t limit)
{
    do {
        explorer_begin(&stage->explorer);
        begin(stage);
        perform(stage);
        stage->figures.schedules++;
        stage->figures.cut_short += stage->cut_short;
        end(stage);
    } while (explorer_next(&stage->explorer) && (limit == 0 || stage->figures.schedules < limit));
}
