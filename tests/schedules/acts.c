/* What actors do: see acts.h. */
#include "acts.h"

#include <string.h>

#include "hash.h"

/* Logs are sealed early. A huge transaction does not fit behind others: its log is sealed under it. */
enum { SEGMENT_BYTES = 6 * 1024, BIG_BYTES = 2 * 1024, HUGE_BYTES = 4 * 1024 };
enum { PATIENCE_MS = 10000, IDS_OF_ONE = 10 };

static void fail_act(struct actor *actor, const char *act, enum kv_status st)
{
    stage_fail(actor->stage, "%s: %s: %s", act, kv_status_name(st), kv_message());
}

/* May this happen to an honest process? Others may be busy longer than it waits; disks fail. */
static bool is_excused(const struct actor *actor, enum kv_status st)
{
    if (actor->index == ACTORS_MAX)
        return false;
    return (st == KV_BUSY && actor->timed_out) || (st == KV_IOERR && actor->stage->faults > 0);
}

/* Is there anything more to do? Fails unless `st` may be. */
static bool goes_on(struct actor *actor, const char *act, enum kv_status st)
{
    if (actor->dead)
        return false;
    if (st == KV_OK)
        return true;
    if (!is_excused(actor, st))
        fail_act(actor, act, st);
    return false;
}

void actor_reset(struct actor *actor)
{
    unsigned index = actor->index;

    actor->dead = actor->timed_out = false;
    actor->state = ACTOR_READY;
    actor->options = kv_open_options_default();
    actor->options.io = actor->io;
    actor->options.foreground = true;
    actor->options.readonly = actor->role && actor->role->readonly;
    actor->options.settings.auto_compact = false;
    actor->options.settings.synchronous = actor->stage->scene->synchronous;
    actor->options.settings.busy_timeout_ms = PATIENCE_MS;
    actor->settings = actor->options.settings;
    actor->settings.segment_bytes = SEGMENT_BYTES;
    actor->store = NULL;
    actor->txn = NULL;
    actor->snapshot = NULL;
    actor->witness = (struct witness){0};
    if (index < ACTORS_MAX)
        actor->txn_count = 0;
    actor->history = actor->random = index + 1;
    actor->mapped_count = actor->own_count = 0;
    actor->flags = 0;
    actor->page = NULL;
    actor->late_ms = 0;
    actor->call = NULL;
    actor->subject[0] = '\0';
}

void actor_leave(struct actor *actor)
{
    enum kv_status st;

    kv_txn_abort(actor->txn);
    actor->txn = NULL;
    kv_snapshot_free(actor->snapshot);
    actor->snapshot = NULL;
    st = kv_store_close(actor->store);
    actor->store = NULL;
    if (is_alive(actor) && st != KV_OK && !is_excused(actor, st) &&
        !(actor->index == ACTORS_MAX && actor->stage->scene->dies_before))
        fail_act(actor, "close", st);
}

void act_open(struct actor *actor)
{
    if (is_alive(actor) && !actor->store)
        (void)goes_on(actor, "open", kv_store_open(STAGE_PATH, &actor->options, &actor->store));
}

void act_open_new(struct actor *actor)
{
    actor->options.mode = KV_OPEN_NEW;
    act_open(actor);
    actor->options.mode = KV_OPEN_EXISTING;
}

void act_close(struct actor *actor)
{
    struct kv_store *store = actor->store;

    if (!is_alive(actor))
        return; /* a transaction may be open still: see actor_leave */
    kv_snapshot_free(actor->snapshot);
    actor->snapshot = NULL;
    actor->store = NULL;
    if (store)
        (void)goes_on(actor, "close", kv_store_close(store));
}

/* ---- Writing */

static unsigned new_id(struct actor *actor)
{
    unsigned id = (actor->index + 1) * IDS_OF_ONE + actor->txn_count++;
    struct ledger *ledger = &actor->stage->ledger;

    ledger->txns[id].state = TXN_OPEN;
    ledger->txns[id].writer = actor->index;
    return id;
}

/* The dead change nothing, not even in the ledger. */
static void set_state(struct actor *actor, unsigned id, enum txn_state state)
{
    if (is_alive(actor))
        actor->stage->ledger.txns[id].state = state;
}

/* Begin, and write one transaction. False: it has come to nothing. */
static bool write_one(struct actor *actor, unsigned id, size_t big_bytes, unsigned *place)
{
    bool doubtful = stage_sync_is_doubtful(actor->stage);
    enum kv_status st;

    if (!goes_on(actor, "begin", kv_txn_begin(actor->store, &actor->settings, &actor->txn)))
        return false;
    if (doubtful && stage_sync_is_doubtful(actor->stage))
        stage_fail(actor->stage, "a transaction begins in a log that somebody died syncing");
    st = ledger_write(actor->txn, id, big_bytes, place);
    if (goes_on(actor, "write", st))
        return true;
    kv_txn_abort(actor->txn);
    actor->txn = NULL;
    return false;
}

/* The transaction could not be prepared. */
static void give_up(struct actor *actor, unsigned id, enum kv_status st)
{
    bool unknown = strstr(kv_message(), "unknown") != NULL;

    (void)goes_on(actor, "prepare", st);
    kv_txn_abort(actor->txn);
    actor->txn = NULL;
    set_state(actor, id, unknown ? TXN_UNKNOWN : TXN_ABORTED);
}

static void publish(struct actor *actor, unsigned id, unsigned place)
{
    struct stage *stage = actor->stage;
    const char *wrong;

    set_state(actor, id, TXN_PUBLISHED);
    kv_txn_publish(actor->txn);
    actor->txn = NULL;
    if (actor->dead)
        return;
    wrong =
        ledger_acknowledge(&stage->ledger, id, place, stage->scene->synchronous == KV_SYNC_FULL);
    if (wrong)
        stage_fail(stage, "%s", wrong);
    actor->witness.place = place;
}

static void commit(struct actor *actor, size_t big_bytes)
{
    unsigned id, place;
    enum kv_status st;

    if (!is_alive(actor) || !actor->store)
        return;
    id = new_id(actor);
    if (!write_one(actor, id, big_bytes, &place)) {
        set_state(actor, id, TXN_ABORTED);
        return;
    }
    set_state(actor, id, TXN_PREPARING);
    st = kv_txn_prepare(actor->txn);
    if (st == KV_OK)
        publish(actor, id, place);
    else
        give_up(actor, id, st);
}

void act_commit(struct actor *actor)
{
    commit(actor, 0);
}

void act_commit_big(struct actor *actor)
{
    commit(actor, BIG_BYTES);
}

void act_commit_huge(struct actor *actor)
{
    commit(actor, HUGE_BYTES);
}

void act_take_back(struct actor *actor)
{
    unsigned id, place;
    enum kv_status st;

    if (!is_alive(actor) || !actor->store)
        return;
    id = new_id(actor);
    if (!write_one(actor, id, 0, &place))
        return;
    set_state(actor, id, TXN_PREPARING);
    st = kv_txn_prepare(actor->txn);
    if (st != KV_OK) {
        give_up(actor, id, st);
        return;
    }
    kv_txn_abort(actor->txn);
    actor->txn = NULL;
    /* Who cannot take it back says nothing: a crash may bring it back. */
    set_state(actor, id, actor->stage->faults ? TXN_UNKNOWN : TXN_ABORTED);
}

/* ---- Reading */

/* The account of an acquired snapshot, judged by all that is known. */
static void look(struct actor *actor, struct account *account, unsigned floor)
{
    struct stage *stage = actor->stage;
    const char *wrong = ledger_read(actor->snapshot, account);

    if (actor->dead)
        return;
    if (!wrong)
        wrong = ledger_judge(&stage->ledger, &actor->witness, account, floor,
                             kv_snapshot_seq(actor->snapshot));
    if (wrong)
        stage_fail(stage, "%s", wrong);
    ledger_note(&stage->ledger, account,
                stage->scene->synchronous == KV_SYNC_FULL && !actor->options.readonly);
}

static void read_twice(struct actor *actor, unsigned floor)
{
    struct account first, second;
    const char *wrong;

    look(actor, &first, floor);
    stage_stop(actor, "hold", "the snapshot", 0);
    stage_stop(actor, "hold", "the snapshot", 0);
    wrong = ledger_read(actor->snapshot, &second);
    if (actor->dead)
        return;
    if (wrong)
        stage_fail(actor->stage, "read again: %s", wrong);
    if (first.digest != second.digest || first.place != second.place)
        stage_fail(actor->stage, "a snapshot has changed while it was held");
}

void act_read(struct actor *actor)
{
    unsigned floor;

    if (!is_alive(actor) || !actor->store)
        return;
    stage_stop(actor, "begin", "reading", 0);
    if (!actor->snapshot &&
        !goes_on(actor, "snapshot", kv_snapshot_new(actor->store, &actor->snapshot)))
        return;
    floor = actor->stage->ledger.known;
    actor->history = kv_digest_add(actor->history, floor);
    if (goes_on(actor, "acquire", kv_snapshot_acquire(actor->snapshot)))
        read_twice(actor, floor);
    kv_snapshot_release(actor->snapshot);
}

void act_rest(struct actor *actor)
{
    if (is_alive(actor))
        stage_stop(actor, "rest", "", STOP_IS_REST);
}

/* ---- Maintenance */

void act_compact(struct actor *actor)
{
    if (is_alive(actor) && actor->store)
        (void)goes_on(actor, "compact", kv_compact(actor->store, NULL, NULL));
}

void act_sync(struct actor *actor)
{
    struct ledger *ledger = &actor->stage->ledger;
    unsigned known = ledger->known;

    if (!is_alive(actor) || !actor->store)
        return;
    actor->history = kv_digest_add(actor->history, known);
    if (goes_on(actor, "sync", kv_sync(actor->store, NULL)) && ledger->durable < known)
        ledger->durable = known;
}

static enum kv_status complain(void *context, const struct kv_problem *problem)
{
    struct actor *actor = context;

    if (is_alive(actor))
        stage_fail(actor->stage, "check: segment %llu: %s", (unsigned long long)problem->segment,
                   problem->text);
    return KV_OK;
}

void act_check(struct actor *actor)
{
    if (is_alive(actor) && actor->store)
        (void)goes_on(actor, "check", kv_store_check(actor->store, NULL, complain, actor));
}

/* ---- The end */

void crew_inspect(struct actor *crew)
{
    struct stage *stage = crew->stage;
    enum kv_status st;

    if (stage->power_failed)
        stage->ledger.known = stage->ledger.durable;
    act_open(crew);
    act_read(crew);
    if (stage->power_failed) /* what is gone is gone */
        memset(&stage->ledger.order[crew->witness.place + 1], 0,
               sizeof(stage->ledger.order) -
                   (crew->witness.place + 1) * sizeof(stage->ledger.order[0]));
    act_check(crew);
    act_commit(crew);
    act_read(crew);
    act_compact(crew);
    act_read(crew);
    act_close(crew);
    st = kv_check(STAGE_PATH, crew->io, NULL, complain, crew);
    if (st != KV_OK)
        fail_act(crew, "check", st);
}
