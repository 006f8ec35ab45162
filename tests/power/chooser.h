/*
 * Who decides what a disk did with what was not synced: always the same, by
 * chance, or every combination in turn.
 */
#ifndef KV_POWER_CHOOSER_H
#define KV_POWER_CHOOSER_H

#include <stdbool.h>
#include <stdint.h>

enum chooser_mode {
    CHOOSE_NOTHING,    /* all is lost */
    CHOOSE_ALL,        /* all is kept */
    CHOOSE_UP_TO,      /* all up to some change is kept, nothing behind it */
    CHOOSE_RANDOMLY,   /* by chance, with a bias of this sample's own */
    CHOOSE_EVERYTHING, /* combination after combination: chooser_next */
};

enum { CHOOSER_DIGITS = 64 };

struct chooser {
    enum chooser_mode mode;
    uint64_t random;
    unsigned keep_percent, odd_percent; /* RANDOMLY: kept; neither kept nor dropped */
    unsigned left;                      /* UP_TO: still to be kept */
    struct {
        unsigned digit, count;
    } digits[CHOOSER_DIGITS]; /* EVERYTHING: what was chosen */
    unsigned digit_count, at;
};

/* `changes`: how many there are to decide about. */
void chooser_init(struct chooser *chooser, enum chooser_mode mode, uint64_t seed, unsigned changes);

/* 0: dropped, 1: kept, others: something between; below `count`. */
unsigned chooser_pick(struct chooser *chooser, unsigned count);

/* EVERYTHING: on to the next combination; false: that was the last. */
bool chooser_next(struct chooser *chooser);

/* SplitMix64; and 0 … count-1. */
uint64_t chooser_random(struct chooser *chooser);
unsigned chooser_below(struct chooser *chooser, unsigned count);

#endif
