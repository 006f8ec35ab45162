/*
 * A tree of losers (Knuth, The Art of Computer Programming, volume 3, 5.4.1).
 *
 * Sources are the leaves of a binary tree. Each inner node remembers who lost
 * the match there, and `tree[0]` who won them all. After the winner's source
 * has moved on, only the matches on its path to the root are played again:
 * one comparison a level, half of what a heap takes.
 *
 * A match is decided by the first eight bytes of the keys as a number, kept in
 * the tree itself (inverted when going backwards, so that the smaller always
 * wins); only ties look at the keys. Of equal keys the newer source wins.
 *
 * Why equal keys come out once: entries are ordered by (key, age of source),
 * and who loses a match loses it to an entry before it in that order. An entry
 * whose key a newer source has too has only entries of that key between
 * itself and the newest of them, so the match that it lost was against one of
 * its own key. Matches note that (`hidden`), and a winner so marked is passed
 * over. Its mark was set by an entry that came out, or was passed over, before.
 *
 * The winner is given out by reference: its source moves on only when the
 * next entry is asked for.
 */
#include "merge.h"

#include <stdlib.h>

struct source {
    struct kv_iter *it;
    struct kv_entry entry; /* current; borrowed from `it` */
    bool done;             /* there is none */
    bool hidden;           /* a newer source has the same key */
};

/* One side of a match. */
struct player {
    uint64_t prefix; /* of its key; inverted when going backwards */
    uint64_t source;
};

struct merge {
    struct kv_iter base;
    enum kv_direction direction;
    enum kv_status st; /* KV_OK: the winner is the next entry; else the iteration ended so */
    bool given_out;    /* the winner was returned: move its source on first */
    size_t count;
    struct source *sources; /* newest first; leaf i of the tree is node count + i */
    struct player *tree;    /* 0: the winner; 1 … count-1: the loser there */
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

/* Play all matches. `winners` has room for a player a node, leaves included. */
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

/* ---- Sources */

/* Fetch the next entry of a source, and who it sends into the matches. */
static inline enum kv_status move_on(struct merge *merge, size_t i, struct player *out)
{
    struct source *source = &merge->sources[i];
    enum kv_status st = kv_iter_next(source->it, &source->entry);
    uint64_t inverted = merge->direction == KV_FORWARD ? 0 : UINT64_MAX;

    source->hidden = false;
    source->done = st == KV_DONE;
    out->source = i;
    out->prefix = st == KV_OK ? kv_slice_prefix(source->entry.key) ^ inverted : UINT64_MAX;
    return st == KV_DONE ? KV_OK : st;
}

/* Seek every source, and send each one's first entry to its leaf. */
static enum kv_status seek_sources(struct merge *merge, const struct kv_slice *bound,
                                   struct player *leaves)
{
    for (size_t i = 0; i < merge->count; i++) {
        enum kv_status st = kv_iter_seek(merge->sources[i].it, bound, merge->direction);

        if (st == KV_OK)
            st = move_on(merge, i, &leaves[i]);
        if (st != KV_OK)
            return st;
    }
    return KV_OK;
}

/* ---- The iterator */

static enum kv_status merge_seek(struct kv_iter *it, const struct kv_slice *bound,
                                 enum kv_direction direction)
{
    struct merge *merge = (struct merge *)it;
    struct player *winners = merge->tree + merge->count; /* scratch behind the tree */

    merge->direction = direction;
    merge->given_out = false;
    merge->st = KV_DONE;
    if (merge->count == 0)
        return KV_OK;
    merge->st = seek_sources(merge, bound, winners + merge->count);
    if (merge->st == KV_OK)
        play_all(merge, winners);
    return merge->st;
}

static enum kv_status merge_next(struct kv_iter *it, struct kv_entry *out)
{
    struct merge *merge = (struct merge *)it;
    struct source *winner;

    if (merge->st != KV_OK)
        return merge->st;
    winner = &merge->sources[merge->tree[0].source];
    while (merge->given_out || winner->hidden) {
        struct player player;

        merge->st = move_on(merge, merge->tree[0].source, &player);
        if (merge->st != KV_OK)
            return merge->st;
        replay(merge, player);
        merge->given_out = false;
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
