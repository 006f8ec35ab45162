/*
 * The scenes. Letters name the actors in the order of their roles; budgets are
 * preemptions, deaths and faults.
 */
#include "scenes.h"

#include "acts.h"

/* ---- What there is before */

/* Two transactions, closed. */
static void build_small(struct actor *crew)
{
    act_open_new(crew);
    act_commit(crew);
    act_commit(crew);
}

/* Two sealed runs, with deletes in each, and an empty log. */
static void build_sealed(struct actor *crew)
{
    act_open_new(crew);
    act_commit(crew);
    act_commit_big(crew);
    act_commit(crew);
    act_commit_big(crew);
}

/* The same, with something in the log. */
static void build_runs(struct actor *crew)
{
    build_sealed(crew);
    act_commit(crew);
}

/* ---- Parts */

static void attach_and_read(struct actor *actor)
{
    act_open(actor);
    act_read(actor);
    act_close(actor);
}

static void attach_and_commit(struct actor *actor)
{
    act_open(actor);
    act_read(actor);
    act_commit(actor);
    act_read(actor);
}

static void commit_twice(struct actor *actor)
{
    act_commit(actor);
    act_commit(actor);
}

static void commit_rest_commit(struct actor *actor)
{
    act_commit(actor);
    act_rest(actor);
    act_commit(actor);
}

static void commit_once(struct actor *actor)
{
    act_commit(actor);
}

static void commit_and_close(struct actor *actor)
{
    act_commit(actor);
    act_close(actor);
}

static void commit_and_take_back(struct actor *actor)
{
    act_take_back(actor);
    act_commit(actor);
}

static void seal_and_commit(struct actor *actor)
{
    act_commit_big(actor);
    act_commit(actor);
}

static void overflow(struct actor *actor)
{
    act_commit_huge(actor);
}

static void read_twice(struct actor *actor)
{
    act_read(actor);
    act_read(actor);
}

static void read_and_close(struct actor *actor)
{
    act_read(actor);
    act_close(actor);
}

static void open_and_read(struct actor *actor)
{
    act_open(actor);
    act_read(actor);
    act_read(actor);
}

static void open_rest_read(struct actor *actor)
{
    act_open(actor);
    act_rest(actor);
    act_read(actor);
}

static void read_and_sync(struct actor *actor)
{
    act_read(actor);
    act_sync(actor);
}

static void compact_and_close(struct actor *actor)
{
    act_compact(actor);
    act_close(actor);
}

static void open_and_close(struct actor *actor)
{
    act_open(actor);
    act_close(actor);
}

/* ---- The list, those that take longest first */

#define PLAYS(n, what)                                                                             \
    {                                                                                              \
        .name = (n), .prepare = act_open, .play = (what)                                           \
    }
#define ENTERS(n, what)                                                                            \
    {                                                                                              \
        .name = (n), .play = (what)                                                                \
    }
#define MORTAL(n, what)                                                                            \
    {                                                                                              \
        .name = (n), .prepare = act_open, .play = (what), .mortal = true                           \
    }
#define LOOKS_ON(n, what)                                                                          \
    {                                                                                              \
        .name = (n), .play = (what), .readonly = true                                              \
    }

const struct scene scenes[] = {
    {.name = "seal-kill",
     .roles = {MORTAL("writer", seal_and_commit), MORTAL("compactor", act_compact),
               PLAYS("reader", read_twice)},
     .role_count = 3,
     .build = build_runs,
     .power = true,
     .synchronous = KV_SYNC_NORMAL,
     .budget = {2, 1, 0},
     .share_percent = 0,
     .spared_percent = 95},
    {.name = "seal",
     .roles = {PLAYS("writer", seal_and_commit), PLAYS("compactor", act_compact),
               PLAYS("reader", read_twice)},
     .role_count = 3,
     .build = build_runs,
     .synchronous = KV_SYNC_FULL,
     .budget = {2, 0, 0},
     .share_percent = 2},
    {.name = "close",
     .roles = {MORTAL("leaver", commit_and_close), ENTERS("attacher", attach_and_commit),
               ENTERS("second", attach_and_commit)},
     .role_count = 3,
     .build = build_small,
     .power = true,
     .synchronous = KV_SYNC_NORMAL,
     .budget = {2, 1, 0},
     .share_percent = 2},
    {.name = "compactors",
     .roles = {MORTAL("one", act_compact), PLAYS("other", act_compact), PLAYS("reader", act_read)},
     .role_count = 3,
     .build = build_runs,
     .power = true,
     .synchronous = KV_SYNC_FULL,
     .budget = {2, 1, 0},
     .share_percent = 0,
     .spared_percent = 95},
    {.name = "attach-kill",
     .roles = {ENTERS("attacher", attach_and_commit), MORTAL("writer", commit_twice),
               PLAYS("reader", read_twice)},
     .role_count = 3,
     .build = build_small,
     .power = true,
     .synchronous = KV_SYNC_FULL,
     .budget = {2, 1, 0},
     .share_percent = 1,
     .spared_percent = 50},
    {.name = "look-on",
     .roles = {LOOKS_ON("onlooker", open_and_read), MORTAL("writer", commit_once),
               ENTERS("attacher", attach_and_commit)},
     .role_count = 3,
     .build = build_small,
     .synchronous = KV_SYNC_FULL,
     .budget = {2, 1, 0},
     .share_percent = 2,
     .spared_percent = 75},
    {.name = "attach",
     .roles = {ENTERS("attacher", attach_and_read), PLAYS("writer", commit_twice),
               PLAYS("reader", read_twice)},
     .role_count = 3,
     .build = build_small,
     .synchronous = KV_SYNC_FULL,
     .budget = {2, 0, 0},
     .share_percent = 5},
    {.name = "sync",
     .roles = {PLAYS("writer", commit_rest_commit), MORTAL("syncer", act_sync),
               PLAYS("reader", read_and_sync)},
     .role_count = 3,
     .build = build_small,
     .faults = true,
     .power = true,
     .synchronous = KV_SYNC_NORMAL,
     .budget = {2, 1, 1},
     .share_percent = 1,
     .spared_percent = 50},
    {.name = "overflow",
     .roles = {MORTAL("writer", overflow), PLAYS("reader", read_twice)},
     .role_count = 2,
     .build = build_small,
     .power = true,
     .synchronous = KV_SYNC_FULL,
     .budget = {2, 1, 0},
     .share_percent = 5},
    {.name = "recover",
     .roles = {{.name = "first", .play = attach_and_commit, .mortal = true},
               ENTERS("second", attach_and_commit)},
     .role_count = 2,
     .build = build_small,
     .dies_before = true,
     .power = true,
     .synchronous = KV_SYNC_FULL,
     .budget = {2, 1, 0},
     .share_percent = 3},
    {.name = "recover-read",
     .roles = {{.name = "first", .play = attach_and_commit, .mortal = true},
               ENTERS("second", open_and_read)},
     .role_count = 2,
     .build = build_small,
     .dies_before = true,
     .power = true,
     .synchronous = KV_SYNC_FULL,
     .budget = {2, 1, 0},
     .share_percent = 3},
    {.name = "writers",
     .roles = {PLAYS("one", commit_and_take_back), PLAYS("other", commit_twice),
               PLAYS("reader", read_twice)},
     .role_count = 3,
     .build = build_small,
     .time_outs = true,
     .synchronous = KV_SYNC_FULL,
     .budget = {2, 0, 0},
     .share_percent = 5},
    {.name = "take-back",
     .roles = {MORTAL("writer", commit_and_take_back), PLAYS("reader", read_twice)},
     .role_count = 2,
     .build = build_small,
     .power = true,
     .synchronous = KV_SYNC_FULL,
     .budget = {2, 1, 0},
     .share_percent = 10},
    {.name = "sync-fails",
     .roles = {MORTAL("one", commit_and_take_back), PLAYS("other", commit_twice),
               PLAYS("reader", read_twice)},
     .role_count = 3,
     .build = build_small,
     .faults = true,
     .power = true,
     .synchronous = KV_SYNC_FULL,
     .budget = {2, 1, 1},
     .share_percent = 1,
     .spared_percent = 50},
    {.name = "syncs-fail",
     .roles = {MORTAL("writer", commit_and_take_back), PLAYS("reader", read_twice)},
     .role_count = 2,
     .build = build_small,
     .faults = true,
     .power = true,
     .synchronous = KV_SYNC_FULL,
     .budget = {1, 1, 3},
     .share_percent = 10},
    {.name = "attach-seal",
     .roles = {MORTAL("sealer", act_compact), ENTERS("attacher", open_rest_read),
               PLAYS("survivor", commit_once)},
     .role_count = 3,
     .build = build_small,
     .power = true,
     .synchronous = KV_SYNC_FULL,
     .budget = {1, 1, 0},
     .share_percent = 0,
     .spared_percent = 50},
    {.name = "reopen",
     .roles = {MORTAL("compactor", compact_and_close), ENTERS("second", open_and_read)},
     .role_count = 2,
     .build = build_sealed,
     .faults = true,
     .power = true,
     .synchronous = KV_SYNC_FULL,
     .budget = {0, 2, 1},
     .share_percent = 2,
     .spared_percent = 50},
    {.name = "detach",
     .roles = {PLAYS("writer", commit_and_close), PLAYS("reader", read_and_close),
               ENTERS("attacher", open_and_close)},
     .role_count = 3,
     .build = build_small,
     .synchronous = KV_SYNC_NORMAL,
     .budget = {2, 0, 0},
     .share_percent = 5},
};

const size_t scene_count = sizeof(scenes) / sizeof(scenes[0]);
