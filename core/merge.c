/*
 * A tree of losers (Knuth, The Art of Computer Programming, volume 3, 5.4.1).
 *
 * Sources are the leaves of a binary tree. Each inner node remembers who lost
 * the match there, and `tree[0]` who won them all. After the winner's source
 * has moved on, only the matches on its path to the root are played again:
 * one comparison a level, half of what a heap takes.
 *
 * A match is decided by eight bytes of each key as a number, kept in the tree
 * itself (inverted when going backwards, so that the smaller always wins); only
 * ties look at the keys. Keys often share their first bytes, so the eight are
 * those behind an *anchor*: bytes with which the current keys of all sources
 * begin when it is chosen. A key that has left the anchor counts as the
 * largest number. That is right, since its source once stood inside: who
 * leaves in the direction of travel is past all that are still inside. After
 * many ties a new anchor is chosen from where the sources then are.
 *
 * Why equal keys come out once: entries are ordered by (key, age of source).
 * Neighbours in that order must have met in a match: nothing else could tell
 * which of them goes first. So an entry whose key a newer source has too has
 * lost to one of its own key before it can win. Such a match marks the older
 * entry (`hidden`), and a winner so marked is passed over.
 *
 * The winner is given out by reference: its source moves on only when the
 * next entry is asked for.
 */
#include "merge.h"

#include <stdlib.h>
#include <string.h>

enum {
    ANCHOR_MAX_BYTES = 64,
    ANCHOR_SPARE_BYTES = 4, /* shared ones that stay in the number: so it is left less often */
    TIES_A_SOURCE = 8,      /* a new anchor costs about a tie a source: it shall not show */
};

struct source {
    struct kv_iter *it;
    struct kv_entry entry; /* current; borrowed from `it` */
    bool done;             /* there is none */
    bool hidden;           /* a newer source has the same key */
};

/* One side of a match. */
struct player {
    uint64_t prefix; /* of its key behind the anchor; inverted when going backwards */
    uint64_t source;
};

struct merge {
    struct kv_iter base;
    enum kv_direction direction;
    enum kv_status st; /* KV_OK: the winner is the next entry; else the iteration ended so */
    bool given_out;    /* the winner was returned: move its source on first */
    size_t count;
    struct source *sources; /* newest first; leaf i of the tree is node count + i */
    struct player *tree;    /* 0: the winner; 1 … count-1: the loser there; then scratch */
    size_t tie_count;       /* since the anchor was chosen */
    size_t anchor_bytes;
    uint8_t anchor[ANCHOR_MAX_BYTES];
};

/* ---- Matches */

/* A match whose prefixes tie: does `a` win over `b`? Marks the older of equal keys. */
static bool __attribute__((noinline)) wins_tie(struct merge *merge, size_t a, size_t b)
{
    struct source *left = &merge->sources[a];
    struct source *right = &merge->sources[b];
    int order;

    if (left->done || right->done)
        return right->done;
    merge->tie_count++;
    order = kv_slice_compare(left->entry.key, right->entry.key);
    if (order != 0)
        return (order < 0) == (merge->direction == KV_FORWARD);
    if (a < b)
        right->hidden = true;
    else
        left->hidden = true;
    return a < b;
}

static inline bool wins(struct merge *merge, struct player a, struct player b)
{
    if (a.prefix != b.prefix)
        return a.prefix < b.prefix;
    return wins_tie(merge, a.source, b.source);
}

/* Play the matches from a leaf to the root; those elsewhere stand as they were. */
static void replay(struct merge *merge, struct player player)
{
    for (size_t node = (merge->count + player.source) / 2; node > 0; node /= 2) {
        struct player other = merge->tree[node];

        if (!wins(merge, player, other)) {
            merge->tree[node] = player;
            player = other;
        }
    }
    merge->tree[0] = player;
}

/* Play all matches. `winners` is a player a node, of which the leaves are given. */
static void play_all(struct merge *merge, struct player *winners)
{
    for (size_t node = merge->count - 1; node > 0; node--) {
        struct player left = winners[2 * node];
        struct player right = winners[2 * node + 1];
        bool won = wins(merge, left, right);

        merge->tree[node] = won ? right : left;
        winners[node] = won ? left : right;
    }
    merge->tree[0] = winners[1];
}

/* ---- The anchor */

/* Who a source sends into the matches. */
static inline struct player player_of(const struct merge *merge, size_t i)
{
    const struct source *source = &merge->sources[i];
    struct kv_slice key = source->entry.key;
    size_t skip = merge->anchor_bytes;
    uint64_t prefix;

    if (source->done || key.size < skip || (skip > 0 && memcmp(key.data, merge->anchor, skip) != 0))
        return (struct player){UINT64_MAX, i};
    prefix = kv_slice_prefix(kv_slice_of(key.data + skip, key.size - skip));
    return (struct player){merge->direction == KV_FORWARD ? prefix : ~prefix, i};
}

static size_t common_bytes(struct kv_slice a, struct kv_slice b)
{
    size_t limit = a.size < b.size ? a.size : b.size;
    size_t common = 0;

    while (common < limit && a.data[common] == b.data[common])
        common++;
    return common;
}

/* What the current keys of all sources share, less some bytes that will change soon. */
static void choose_anchor(struct merge *merge)
{
    struct kv_slice shared = {NULL, 0};

    for (size_t i = 0; i < merge->count; i++) {
        const struct source *source = &merge->sources[i];

        if (source->done)
            continue;
        if (!shared.data)
            shared = source->entry.key;
        shared.size = common_bytes(shared, source->entry.key);
    }
    shared.size -= shared.size < ANCHOR_SPARE_BYTES ? shared.size : ANCHOR_SPARE_BYTES;
    merge->anchor_bytes = shared.size < ANCHOR_MAX_BYTES ? shared.size : ANCHOR_MAX_BYTES;
    if (merge->anchor_bytes > 0)
        memcpy(merge->anchor, shared.data, merge->anchor_bytes);
    merge->tie_count = 0;
}

/* Choose an anchor and play all matches. Entries that are hidden stay so. */
static void start_matches(struct merge *merge)
{
    struct player *winners = merge->tree + merge->count;

    choose_anchor(merge);
    for (size_t i = 0; i < merge->count; i++)
        winners[merge->count + i] = player_of(merge, i);
    play_all(merge, winners);
}

/* ---- The iterator */

static inline enum kv_status move_on(struct source *source)
{
    enum kv_status st = kv_iter_next(source->it, &source->entry);

    source->hidden = false;
    source->done = st != KV_OK;
    return st == KV_DONE ? KV_OK : st;
}

static enum kv_status merge_seek(struct kv_iter *it, const struct kv_slice *bound,
                                 enum kv_direction direction)
{
    struct merge *merge = (struct merge *)it;

    merge->direction = direction;
    merge->given_out = false;
    merge->st = merge->count > 0 ? KV_OK : KV_DONE;
    for (size_t i = 0; i < merge->count && merge->st == KV_OK; i++) {
        merge->st = kv_iter_seek(merge->sources[i].it, bound, direction);
        if (merge->st == KV_OK)
            merge->st = move_on(&merge->sources[i]);
    }
    if (merge->st == KV_OK)
        start_matches(merge);
    return merge->st == KV_DONE ? KV_OK : merge->st;
}

/* Leave the winner behind and find the next. */
static inline enum kv_status advance(struct merge *merge)
{
    size_t i = merge->tree[0].source;
    enum kv_status st = move_on(&merge->sources[i]);

    if (st != KV_OK)
        return st;
    replay(merge, player_of(merge, i));
    if (merge->tie_count > TIES_A_SOURCE * merge->count)
        start_matches(merge);
    return KV_OK;
}

static enum kv_status merge_next(struct kv_iter *it, struct kv_entry *out)
{
    struct merge *merge = (struct merge *)it;
    const struct source *winner;

    if (merge->st != KV_OK)
        return merge->st;
    winner = &merge->sources[merge->tree[0].source];
    while (merge->given_out || winner->hidden) {
        merge->given_out = false;
        merge->st = advance(merge);
        if (merge->st != KV_OK)
            return merge->st;
        winner = &merge->sources[merge->tree[0].source];
    }
    if (winner->done) {
        merge->st = KV_DONE;
        return KV_DONE;
    }
    *out = winner->entry;
    merge->given_out = true;
    return KV_OK;
}

static void merge_free(struct kv_iter *it)
{
    struct merge *merge = (struct merge *)it;

    for (size_t i = 0; i < merge->count; i++)
        kv_iter_free(merge->sources[i].it);
    free(merge->sources);
    free(merge->tree);
    free(merge);
}

static const struct kv_iter_ops merge_ops = {merge_seek, merge_next, merge_free};

static struct merge *merge_new(size_t source_count)
{
    struct merge *merge = calloc(1, sizeof(*merge));

    if (!merge)
        return NULL;
    merge->base.ops = &merge_ops;
    merge->st = KV_DONE; /* until the first seek */
    merge->sources = calloc(source_count + 1, sizeof(*merge->sources));
    merge->tree = calloc(3 * source_count + 1, sizeof(*merge->tree));
    if (merge->sources && merge->tree)
        return merge;
    merge_free(&merge->base);
    return NULL;
}

enum kv_status kv_merge_open(struct kv_iter **sources, size_t source_count, struct kv_iter **out)
{
    struct merge *merge;

    /* One source is its own merge. */
    if (source_count == 1) {
        *out = sources[0];
        return KV_OK;
    }
    *out = NULL;
    merge = merge_new(source_count);
    if (!merge) {
        for (size_t i = 0; i < source_count; i++)
            kv_iter_free(sources[i]);
        return kv_fail_nomem();
    }
    for (size_t i = 0; i < source_count; i++)
        merge->sources[i].it = sources[i];
    merge->count = source_count;
    *out = &merge->base;
    return KV_OK;
}
