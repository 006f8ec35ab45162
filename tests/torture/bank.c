/* The rows of the torture program: see bank.h. */
#include "bank.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Keys and paddings */

static char *next_key(void)
{
    static char keys[8][BANK_KEY_BYTES];
    static unsigned next;

    return keys[next++ % 8];
}

static const char *placed(char letter, unsigned place)
{
    char *key = next_key();

    snprintf(key, BANK_KEY_BYTES, "%c%02u", letter, place % BANK_PLACES);
    return key;
}

const char *bank_account(unsigned account)
{
    char *key = next_key();

    snprintf(key, BANK_KEY_BYTES, "a%04u", account % BANK_ACCOUNTS);
    return key;
}

const char *bank_counter(unsigned place)
{
    return placed('w', place);
}

const char *bank_queue(unsigned place, int64_t number)
{
    char *key = next_key();

    snprintf(key, BANK_KEY_BYTES, "q%02u:%010" PRId64, place % BANK_PLACES,
             number % INT64_C(10000000000));
    return key;
}

const char *bank_bulk_head(unsigned place)
{
    return placed('B', place);
}

const char *bank_bulk(unsigned place, unsigned index)
{
    char *key = next_key();

    snprintf(key, BANK_KEY_BYTES, "b%02u:%05u", place % BANK_PLACES, index % 100000);
    return key;
}

uint64_t bank_random(uint64_t *random)
{
    uint64_t z = (*random += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

int64_t bank_part(unsigned account, int64_t amount)
{
    uint64_t state = (uint64_t)amount * 1000003 + account;

    return (int64_t)(bank_random(&state) >> 8);
}

static uint8_t pad_byte(int64_t amount, size_t at)
{
    return (uint8_t)((uint64_t)amount * 31 + at);
}

struct kv_slice bank_pad(int64_t amount, size_t size)
{
    static uint8_t pad[BANK_PAD_MAX];

    for (size_t i = 0; i < size; i++)
        pad[i] = pad_byte(amount, i);
    return kv_slice_of(pad, size);
}

/* ---- A snapshot */

void bank_begin(struct bank_snapshot *snapshot, bool descending)
{
    *snapshot = (struct bank_snapshot){.direction = descending ? -1 : 1};
}

static void note_wrong(struct bank_snapshot *snapshot, const char *key)
{
    if (!*snapshot->wrong)
        snprintf(snapshot->wrong, sizeof(snapshot->wrong), "%s", key);
}

static void queue_row(struct bank_snapshot *snapshot, unsigned place, int64_t number)
{
    if (snapshot->places[place].queue_count++ == 0)
        snapshot->places[place].queue_first = snapshot->places[place].queue_last = number;
    if (number < snapshot->places[place].queue_first)
        snapshot->places[place].queue_first = number;
    if (number > snapshot->places[place].queue_last)
        snapshot->places[place].queue_last = number;
}

static void bulk_row(struct bank_snapshot *snapshot, unsigned place, unsigned index,
                     int64_t generation, const char *key)
{
    if (snapshot->places[place].bulk_count++ == 0)
        snapshot->places[place].bulk_generation = generation;
    if (snapshot->places[place].bulk_generation != generation)
        note_wrong(snapshot, key);
    if (index >= snapshot->places[place].bulk_end)
        snapshot->places[place].bulk_end = index + 1;
}

static void account_row(struct bank_snapshot *snapshot, unsigned account, int64_t amount)
{
    snapshot->account_count++;
    snapshot->sum += amount;
    snapshot->check += bank_part(account, amount);
}

/* A row whose key has a letter and a place. */
static void placed_row(struct bank_snapshot *snapshot, const char *key, int64_t amount)
{
    unsigned place = (unsigned)strtoul(key + 1, NULL, 10);
    const char *colon = strchr(key, ':');
    int64_t number = colon ? strtoll(colon + 1, NULL, 10) : 0;

    if (place >= BANK_PLACES)
        note_wrong(snapshot, key);
    else if (*key == 'w')
        snapshot->places[place].count = amount;
    else if (*key == 'q' && number == amount)
        queue_row(snapshot, place, number);
    else if (*key == 'B')
        snapshot->places[place].bulk_amount = amount;
    else if (*key == 'b')
        bulk_row(snapshot, place, (unsigned)number, amount, key);
    else
        note_wrong(snapshot, key);
}

void bank_row(struct bank_snapshot *snapshot, const char *key, int64_t amount, struct kv_slice pad)
{
    if (snapshot->row_count++ > 0 && strcmp(key, snapshot->key) * snapshot->direction <= 0)
        note_wrong(snapshot, key);
    snprintf(snapshot->key, sizeof(snapshot->key), "%s", key);
    for (size_t i = 0; i < pad.size; i++)
        if (pad.data[i] != pad_byte(amount, i))
            note_wrong(snapshot, key);
    if (*key == 'a')
        account_row(snapshot, (unsigned)strtoul(key + 1, NULL, 10), amount);
    else if (strcmp(key, "check") == 0)
        snapshot->stored_check = amount;
    else if (strcmp(key, "clock") == 0)
        snapshot->clock = amount;
    else if (*key != 'l') /* written to become the writer first; it says nothing */
        placed_row(snapshot, key, amount);
}

/* What is wrong with a place; NULL: nothing. */
static const char *place_end(const struct bank_snapshot *snapshot, unsigned place)
{
    static char text[200];
    int64_t count = snapshot->places[place].count;
    int64_t queued = count < BANK_QUEUE ? count : BANK_QUEUE;
    int64_t bulk = snapshot->places[place].bulk_amount;

    if (snapshot->places[place].queue_count != queued ||
        (queued && (snapshot->places[place].queue_last != count ||
                    snapshot->places[place].queue_first != count - queued + 1))) {
        snprintf(text, sizeof(text),
                 "place %u has %" PRId64 " queued rows, %" PRId64 " … %" PRId64 ", after %" PRId64
                 " transactions",
                 place, snapshot->places[place].queue_count, snapshot->places[place].queue_first,
                 snapshot->places[place].queue_last, count);
        return text;
    }
    if (snapshot->places[place].bulk_count != (bulk & 0xffff) ||
        snapshot->places[place].bulk_end != (bulk & 0xffff) ||
        (bulk & 0xffff && snapshot->places[place].bulk_generation != bulk >> 16)) {
        snprintf(text, sizeof(text),
                 "place %u has %u bulk rows of generation %" PRId64 ", should have %" PRId64
                 " of %" PRId64,
                 place, snapshot->places[place].bulk_count, snapshot->places[place].bulk_generation,
                 bulk & 0xffff, bulk >> 16);
        return text;
    }
    return NULL;
}

const char *bank_end(const struct bank_snapshot *snapshot)
{
    static char text[200];
    int64_t clock = 0;

    for (unsigned i = 0; i < BANK_PLACES; i++) {
        const char *wrong = place_end(snapshot, i);

        if (wrong)
            return wrong;
        clock += snapshot->places[i].count;
    }
    text[0] = '\0';
    if (*snapshot->wrong)
        snprintf(text, sizeof(text), "row %s is wrong, or out of order", snapshot->wrong);
    else if (snapshot->account_count != BANK_ACCOUNTS || snapshot->sum != 0)
        snprintf(text, sizeof(text), "%u accounts with a sum of %" PRId64, snapshot->account_count,
                 snapshot->sum);
    else if (snapshot->check != snapshot->stored_check)
        snprintf(text, sizeof(text), "the checksum is %" PRId64 ", not %" PRId64, snapshot->check,
                 snapshot->stored_check);
    else if (snapshot->clock != clock)
        snprintf(text, sizeof(text), "the clock says %" PRId64 " after %" PRId64 " transactions",
                 snapshot->clock, clock);
    return *text ? text : NULL;
}
