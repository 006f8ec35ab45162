/* Decisions of a disk: see chooser.h. */
#include "chooser.h"

uint64_t chooser_random(struct chooser *chooser)
{
    uint64_t word = chooser->random += 0x9e3779b97f4a7c15u;

    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
}

unsigned chooser_below(struct chooser *chooser, unsigned count)
{
    return (unsigned)(chooser_random(chooser) >> 16) % count;
}

void chooser_init(struct chooser *chooser, enum chooser_mode mode, uint64_t seed, unsigned changes)
{
    static const unsigned keep[] = {10, 50, 50, 90}, odd[] = {0, 0, 20, 60};

    chooser->mode = mode;
    chooser->random = seed;
    chooser->keep_percent = keep[chooser_below(chooser, 4)];
    chooser->odd_percent = odd[chooser_below(chooser, 4)];
    chooser->left = mode == CHOOSE_UP_TO ? chooser_below(chooser, changes + 1) : 0;
    chooser->digit_count = chooser->at = 0;
}

static unsigned pick_digit(struct chooser *chooser, unsigned count)
{
    if (chooser->at == CHOOSER_DIGITS)
        return chooser_below(chooser, count);
    if (chooser->at == chooser->digit_count) {
        chooser->digits[chooser->at].digit = 0;
        chooser->digit_count++;
    }
    chooser->digits[chooser->at].count = count;
    return chooser->digits[chooser->at++].digit;
}

unsigned chooser_pick(struct chooser *chooser, unsigned count)
{
    switch (chooser->mode) {
    case CHOOSE_NOTHING: return 0;
    case CHOOSE_ALL: return 1;
    case CHOOSE_EVERYTHING: return pick_digit(chooser, count);
    case CHOOSE_UP_TO:
        if (chooser->left == 0)
            return 0;
        chooser->left--;
        return 1;
    case CHOOSE_RANDOMLY: break;
    }
    if (count > 2 && chooser_below(chooser, 100) < chooser->odd_percent)
        return 2 + chooser_below(chooser, count - 2);
    return chooser_below(chooser, 100) < chooser->keep_percent;
}

bool chooser_next(struct chooser *chooser)
{
    unsigned last = chooser->at;

    while (last > 0 && chooser->digits[last - 1].digit + 1 == chooser->digits[last - 1].count)
        last--;
    chooser->at = 0;
    chooser->digit_count = last;
    if (last == 0)
        return false;
    chooser->digits[last - 1].digit++;
    return true;
}
