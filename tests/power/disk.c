/* A disk that may lose its power at any time: see disk.h. */
#include "disk.h"

#include <stdio.h>
#include <stdlib.h>

enum { SECTOR_BYTES = 512, PAGE_BYTES = 4096 };

/* What may become of a write; the latter three only if it spans sectors, the last if pages. */
enum fate { DROPPED, KEPT, ZEROED, SPOILED, TORN_SECTORS, CUT_SECTORS, TORN_PAGES, FATE_COUNT };

/*
 * A change that is not durable: no sync came, or one failed, and then no later one helps. Or one that
 * is, but behind one of the latter, so that it has to be made after it.
 */
struct change {
    const struct trace_event *event;
    enum { OPEN, DOOMED, DURABLE } state;
};

struct changes {
    struct change *items;
    size_t count, capacity;
};

struct disk_file {
    struct image_bytes durable;
    struct changes changes;
};

struct disk_name {
    char name[KV_NAME_BYTES];
    unsigned file;
};

struct names {
    struct disk_name items[IMAGE_FILES];
    size_t count;
};

struct disk {
    struct disk_file *files;
    size_t file_count;
    bool has_directory;     /* durably */
    bool directory_is_new;  /* made, but not durable */
    struct names names;     /* durable ones */
    struct changes changes; /* of names */
};

static void *need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "disk: out of memory\n");
        abort();
    }
    return memory;
}

/* ---- Changes */

static void add_change(struct changes *changes, const struct trace_event *event)
{
    if (changes->count == changes->capacity) {
        changes->capacity = changes->capacity ? 2 * changes->capacity : 16;
        changes->items = need(realloc(changes->items, changes->capacity * sizeof(*changes->items)));
    }
    changes->items[changes->count++] = (struct change){event, OPEN};
}

/* A store replaces the one before it of the same page, which nobody can see any more. */
static void add_store(struct changes *changes, const struct trace_event *event)
{
    size_t kept = 0;

    for (size_t i = 0; i < changes->count; i++) {
        const struct trace_event *other = changes->items[i].event;

        if (other->kind != TRACE_STORE || other->offset != event->offset ||
            changes->items[i].state != OPEN)
            changes->items[kept++] = changes->items[i];
    }
    changes->count = kept;
    add_change(changes, event);
}

static void doom(struct changes *changes)
{
    for (size_t i = 0; i < changes->count; i++)
        if (changes->items[i].state == OPEN)
            changes->items[i].state = DOOMED;
}

/* A sync succeeded: the first changes, which it returns, can be made for good, the others are as good as made. */
static size_t settle(struct changes *changes)
{
    size_t first = 0;

    while (first < changes->count && changes->items[first].state != DOOMED)
        first++;
    for (size_t i = first; i < changes->count; i++)
        if (changes->items[i].state == OPEN)
            changes->items[i].state = DURABLE;
    return first;
}

static void forget(struct changes *changes, size_t count)
{
    changes->count -= count;
    if (count > 0)
        memmove(changes->items, changes->items + count, changes->count * sizeof(*changes->items));
}

static bool is_open(const struct change *change)
{
    return change->state != DURABLE;
}

/* ---- Names */

static struct disk_name *find_name(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i].name, name) == 0)
            return &names->items[i];
    return NULL;
}

static void set_name(struct names *names, const char *name, unsigned file)
{
    struct disk_name *found = find_name(names, name);

    if (!found) {
        found = &names->items[names->count++];
        need(names->count <= IMAGE_FILES ? found : NULL);
        snprintf(found->name, sizeof(found->name), "%s", name);
    }
    found->file = file;
}

/* Unless the name leads to another file by now. */
static void remove_name(struct names *names, const char *name, unsigned file)
{
    struct disk_name *found = find_name(names, name);

    if (found && found->file == file)
        *found = names->items[--names->count];
}

static void change_name(struct names *names, const struct trace_event *event)
{
    if (event->kind != TRACE_UNLINK)
        set_name(names, event->name, event->file);
    if (event->kind != TRACE_CREATE)
        remove_name(names, event->kind == TRACE_RENAME ? event->from : event->name, event->file);
}

/* ---- Bytes */

static void change_size(struct image_bytes *bytes, const struct trace_event *event)
{
    if (event->kind == TRACE_RESIZE || event->size > bytes->size)
        image_resize(bytes, event->size);
}

static void change_bytes(struct image_bytes *bytes, const struct trace_event *event)
{
    if (event->kind == TRACE_WRITE || event->kind == TRACE_STORE)
        image_write(bytes, event->offset, event->bytes, event->size);
    else
        change_size(bytes, event);
}

static uint64_t units(const struct trace_event *event, uint64_t unit)
{
    if (event->size == 0)
        return 0;
    return (event->offset + event->size - 1) / unit - event->offset / unit + 1;
}

static unsigned fate_count(const struct trace_event *event)
{
    if (event->kind != TRACE_WRITE && event->kind != TRACE_STORE)
        return 2;
    if (units(event, SECTOR_BYTES) < 2)
        return TORN_SECTORS;
    return units(event, PAGE_BYTES) < 2 ? TORN_PAGES : FATE_COUNT;
}

/* Write those units for which a coin says so, or those before a random one. */
static void tear(struct image_bytes *bytes, const struct trace_event *event, uint64_t unit,
                 bool in_order, struct chooser *chooser)
{
    uint64_t end = event->offset + event->size;
    uint64_t left = 1 + chooser_random(chooser) % units(event, unit);

    for (uint64_t at = event->offset; at < end;) {
        uint64_t next = (at / unit + 1) * unit;

        next = next < end ? next : end;
        if (in_order ? --left > 0 : chooser_below(chooser, 2) == 0)
            image_write(bytes, at, event->bytes + (at - event->offset), next - at);
        if (in_order && left == 0)
            return;
        at = next;
    }
}

static void fill(struct image_bytes *bytes, const struct trace_event *event, bool garbage,
                 struct chooser *chooser)
{
    uint8_t *data = need(calloc(1, event->size + 1));

    for (uint64_t i = 0; garbage && i < event->size; i++)
        data[i] = (uint8_t)chooser_random(chooser);
    image_write(bytes, event->offset, data, event->size);
    free(data);
}

static void decide(struct image_bytes *bytes, const struct trace_event *event,
                   struct chooser *chooser)
{
    switch ((enum fate)chooser_pick(chooser, fate_count(event))) {
    case DROPPED: break;
    case KEPT: change_bytes(bytes, event); break;
    case ZEROED: fill(bytes, event, false, chooser); break;
    case SPOILED: fill(bytes, event, true, chooser); break;
    case TORN_SECTORS: tear(bytes, event, SECTOR_BYTES, false, chooser); break;
    case CUT_SECTORS: tear(bytes, event, SECTOR_BYTES, true, chooser); break;
    case TORN_PAGES: tear(bytes, event, PAGE_BYTES, false, chooser); break;
    case FATE_COUNT: break;
    }
}

/* ---- The disk */

static struct disk_file *file_of(struct disk *disk, unsigned file)
{
    if (file >= disk->file_count) {
        size_t count = file + 1;

        disk->files = need(realloc(disk->files, count * sizeof(*disk->files)));
        memset(disk->files + disk->file_count, 0,
               (count - disk->file_count) * sizeof(*disk->files));
        disk->file_count = count;
    }
    return &disk->files[file];
}

struct disk *disk_new(const struct image *start)
{
    struct disk *disk = need(calloc(1, sizeof(*disk)));

    if (!start)
        return disk;
    disk->has_directory = start->has_directory;
    for (size_t i = 0; i < start->file_count; i++) {
        image_copy_bytes(&file_of(disk, (unsigned)i)->durable, &start->files[i].bytes);
        set_name(&disk->names, start->files[i].name, (unsigned)i);
    }
    return disk;
}

void disk_free(struct disk *disk)
{
    for (size_t i = 0; i < disk->file_count; i++) {
        free(disk->files[i].durable.data);
        free(disk->files[i].changes.items);
    }
    free(disk->files);
    free(disk->changes.items);
    free(disk);
}

static void sync_file(struct disk_file *file, bool failed)
{
    size_t count;

    if (failed) {
        doom(&file->changes);
        return;
    }
    count = settle(&file->changes);
    for (size_t i = 0; i < count; i++)
        change_bytes(&file->durable, file->changes.items[i].event);
    forget(&file->changes, count);
}

static void sync_names(struct disk *disk, bool failed)
{
    size_t count;

    if (failed) {
        doom(&disk->changes);
        return;
    }
    count = settle(&disk->changes);
    for (size_t i = 0; i < count; i++)
        change_name(&disk->names, disk->changes.items[i].event);
    forget(&disk->changes, count);
}

void disk_play(struct disk *disk, const struct trace_event *event)
{
    switch (event->kind) {
    case TRACE_CREATE_DIRECTORY: disk->directory_is_new = true; break;
    case TRACE_SYNC_PARENT: disk->has_directory |= disk->directory_is_new && !event->failed; break;
    case TRACE_CREATE:
        file_of(disk, event->file);
        add_change(&disk->changes, event);
        break;
    case TRACE_RENAME:
    case TRACE_UNLINK: add_change(&disk->changes, event); break;
    case TRACE_SYNC_DIRECTORY: sync_names(disk, event->failed); break;
    case TRACE_STORE: add_store(&file_of(disk, event->file)->changes, event); break;
    case TRACE_WRITE:
    case TRACE_RESIZE:
    case TRACE_GROW: add_change(&file_of(disk, event->file)->changes, event); break;
    case TRACE_SYNC: sync_file(file_of(disk, event->file), event->failed); break;
    case TRACE_MARK: break;
    }
}

static unsigned count_open(const struct changes *changes)
{
    unsigned count = 0;

    for (size_t i = 0; i < changes->count; i++)
        count += is_open(&changes->items[i]);
    return count;
}

unsigned disk_changes(const struct disk *disk)
{
    unsigned count = count_open(&disk->changes) + (disk->directory_is_new && !disk->has_directory);

    for (size_t i = 0; i < disk->file_count; i++)
        count += count_open(&disk->files[i].changes);
    return count;
}

uint64_t disk_combinations(const struct disk *disk)
{
    uint64_t count = disk->directory_is_new && !disk->has_directory ? 2 : 1;

    for (size_t i = 0; i < disk->changes.count && count < UINT32_MAX; i++)
        count *= is_open(&disk->changes.items[i]) ? 2 : 1;
    for (size_t i = 0; i < disk->file_count; i++) {
        const struct changes *changes = &disk->files[i].changes;

        for (size_t k = 0; k < changes->count && count < UINT32_MAX; k++)
            count *= is_open(&changes->items[k]) ? fate_count(changes->items[k].event) : 1;
    }
    return count < UINT32_MAX ? count : UINT32_MAX;
}

static void fail_file(const struct disk_file *file, struct chooser *chooser,
                      struct image_bytes *out)
{
    image_copy_bytes(out, &file->durable);
    for (size_t i = 0; i < file->changes.count; i++) {
        const struct change *change = &file->changes.items[i];

        if (is_open(change))
            decide(out, change->event, chooser);
        else
            change_bytes(out, change->event);
    }
}

void disk_fail(const struct disk *disk, struct chooser *chooser, struct image *out)
{
    struct names names = disk->names;

    image_clear(out);
    out->has_directory = disk->has_directory;
    if (disk->directory_is_new && !disk->has_directory)
        out->has_directory = chooser_pick(chooser, 2) == 1;
    if (!out->has_directory)
        return;
    for (size_t i = 0; i < disk->changes.count; i++) {
        const struct change *change = &disk->changes.items[i];

        if (!is_open(change) || chooser_pick(chooser, 2) == 1)
            change_name(&names, change->event);
    }
    for (size_t i = 0; i < names.count; i++)
        fail_file(&disk->files[names.items[i].file], chooser,
                  &image_add(out, names.items[i].name)->bytes);
}
