/* What is read one way must be what is read the other way: see agree.h. */
#include "agree.h"

#include "fuzz.h"
#include "hash.h"

enum { KEYS = 4096 };

/* One way through a source. */
struct collected {
    uint64_t count;
    uint64_t sum;        /* over keys, rows and seqs, in any order */
    uint8_t *keys[KEYS]; /* owned; the first ones */
    size_t sizes[KEYS];
    uint64_t rows[KEYS];
    const struct agree_source *source;
    bool sound, descending;
};

static uint64_t row_hash(const struct kv_entry *entry)
{
    return kv_hash(entry->row, 1 + entry->seq + entry->deleted);
}

static void check_order(const struct collected *all, struct kv_slice key)
{
    uint64_t last = all->count - 1;
    int order = kv_slice_compare(kv_slice_of(all->keys[last], all->sizes[last]), key);

    if (all->sound)
        fuzz_check(all->descending ? order > 0 : order < 0, "keys are not in order");
}

static void collect(void *context, const struct kv_entry *entry)
{
    struct collected *all = context;

    if (all->count > 0 && all->count <= KEYS)
        check_order(all, entry->key);
    if (all->count < KEYS) {
        all->keys[all->count] = malloc(entry->key.size + 1);
        fuzz_check(all->keys[all->count], "out of memory");
        memcpy(all->keys[all->count], entry->key.data, entry->key.size);
        all->sizes[all->count] = entry->key.size;
        all->rows[all->count] = row_hash(entry);
    }
    all->count++;
    all->sum += kv_hash(entry->key, row_hash(entry));
}

/* Every key that a scan shows is found, with the same row. */
static void get_all(const struct collected *all)
{
    for (uint64_t i = 0; i < all->count && i < KEYS; i++) {
        struct kv_entry entry;
        enum kv_status st = all->source->get(all->source->context,
                                             kv_slice_of(all->keys[i], all->sizes[i]), &entry);
        uint64_t hash = st == KV_OK ? row_hash(&entry) : 0;

        if (all->sound)
            fuzz_check(st == KV_OK && hash == all->rows[i], "a key is looked up in vain: %s",
                       kv_status_name(st));
    }
}

static void collected_free(struct collected *all)
{
    for (uint64_t i = 0; i < all->count && i < KEYS; i++)
        free(all->keys[i]);
    free(all);
}

static struct collected *scan(const struct agree_source *source, bool sound, bool descending)
{
    struct collected *all = calloc(1, sizeof(*all));
    enum kv_status st;

    fuzz_check(all, "out of memory");
    all->source = source;
    all->sound = sound;
    all->descending = descending;
    st = source->scan(source->context, descending, collect, all);
    if (sound)
        fuzz_check(st == KV_DONE, "a scan ends with %s: %s", kv_status_name(st), kv_message());
    return all;
}

void agree_source(const struct agree_source *source, bool sound)
{
    struct collected *up = scan(source, sound, false), *down = scan(source, sound, true);

    if (sound)
        fuzz_check(up->count == down->count && up->sum == down->sum,
                   "%llu entries forwards, %llu backwards", (unsigned long long)up->count,
                   (unsigned long long)down->count);
    get_all(up);
    collected_free(up);
    collected_free(down);
}

/* ---- Stores */

static enum kv_status count_problem(void *context, const struct kv_problem *problem)
{
    fuzz_check(problem->text, "a problem without words");
    ++*(unsigned *)context;
    return KV_OK;
}

bool agree_is_sound(const char *path, struct kv_io *io)
{
    unsigned problems = 0;
    enum kv_status st = kv_check(path, io, NULL, count_problem, &problems);

    return st == KV_OK && problems == 0;
}

static enum kv_status snapshot_get(void *context, struct kv_slice key, struct kv_entry *out)
{
    return kv_snapshot_get(context, NULL, key, out);
}

static enum kv_status snapshot_scan(void *context, bool descending,
                                    void (*each)(void *collector, const struct kv_entry *entry),
                                    void *collector)
{
    struct kv_range range = {.descending = descending};
    struct kv_entry entry;
    struct kv_scan *rows;
    enum kv_status st = kv_scan_open(context, NULL, &range, &rows);

    if (st != KV_OK)
        return st;
    while ((st = kv_scan_next(rows, &entry)) == KV_OK)
        each(collector, &entry);
    kv_scan_close(rows);
    return st;
}

static void count_entry(void *context, const struct kv_entry *entry)
{
    (void)entry;
    ++*(uint64_t *)context;
}

uint64_t agree_store(struct kv_store *store)
{
    struct agree_source source = {.get = snapshot_get, .scan = snapshot_scan};
    struct kv_snapshot *snapshot;
    unsigned problems = 0;
    uint64_t count = 0;
    enum kv_status st = kv_store_check(store, NULL, count_problem, &problems);

    if (kv_snapshot_new(store, &snapshot) != KV_OK)
        return 0;
    if (kv_snapshot_acquire(snapshot) == KV_OK) {
        source.context = snapshot;
        agree_source(&source, st == KV_OK && problems == 0);
        st = snapshot_scan(snapshot, false, count_entry, &count);
    }
    kv_snapshot_free(snapshot);
    return count;
}
