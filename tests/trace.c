/* Writing down what the disk is asked to do: see trace.h. */
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memfs.h"

enum { PAGE_BYTES = 4096 };

struct trace_io {
    struct kv_io base;
    struct kv_io *inner;
    struct trace *trace;
};

struct trace_dir {
    struct kv_dir base;
    struct kv_dir *inner;
    bool is_store; /* else its parent */
};

struct trace_file {
    struct kv_file base;
    struct kv_file *inner;
    unsigned file;
    bool is_named; /* a temporary file is nobody's after a crash */
};

/* A writable mapping, and what its bytes were when last looked at. */
struct trace_mapping {
    struct trace_mapping *next;
    const uint8_t *at;
    uint8_t *seen;
    uint64_t size;
    unsigned file;
};

static void *need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "trace: out of memory\n");
        abort();
    }
    return memory;
}

static struct kv_io *inner_io(struct kv_io *io)
{
    return ((struct trace_io *)io)->inner;
}

static struct kv_dir *inner_dir(struct kv_dir *dir)
{
    return ((struct trace_dir *)dir)->inner;
}

static struct kv_file *inner_file(struct kv_file *file)
{
    return ((struct trace_file *)file)->inner;
}

static struct trace *trace_of(struct kv_io *io)
{
    return ((struct trace_io *)io)->trace;
}

/* ---- Events */

static struct trace_event *push(struct trace *trace, enum trace_kind kind)
{
    struct trace_event *event;

    if (trace->count == trace->capacity) {
        trace->capacity = trace->capacity ? 2 * trace->capacity : 256;
        trace->events = need(realloc(trace->events, trace->capacity * sizeof(*trace->events)));
    }
    event = &trace->events[trace->count++];
    memset(event, 0, sizeof(*event));
    event->kind = kind;
    return event;
}

static void push_bytes(struct trace *trace, enum trace_kind kind, unsigned file, uint64_t offset,
                       const void *bytes, size_t size)
{
    struct trace_event *event = push(trace, kind);

    event->file = file;
    event->offset = offset;
    event->size = size;
    event->bytes = need(malloc(size + 1));
    memcpy(event->bytes, bytes, size);
}

/* Look for pages that were stored to since. */
static void look_at(struct trace *trace, struct trace_mapping *mapping)
{
    for (uint64_t at = 0; at < mapping->size; at += PAGE_BYTES) {
        size_t size = mapping->size - at < PAGE_BYTES ? mapping->size - at : PAGE_BYTES;

        if (memcmp(mapping->at + at, mapping->seen + at, size) == 0)
            continue;
        memcpy(mapping->seen + at, mapping->at + at, size);
        push_bytes(trace, TRACE_STORE, mapping->file, at, mapping->seen + at, size);
        for (struct trace_mapping *other = trace->mappings; other; other = other->next)
            if (other->file == mapping->file && at + size <= other->size)
                memcpy(other->seen + at, mapping->seen + at, size);
    }
}

/* An event is about to be written down: what was stored before comes first. */
static struct trace_event *record(struct trace *trace, enum trace_kind kind)
{
    for (struct trace_mapping *mapping = trace->mappings; mapping; mapping = mapping->next)
        look_at(trace, mapping);
    return push(trace, kind);
}

static struct trace_event *record_name(struct trace *trace, enum trace_kind kind, const char *name,
                                       unsigned file)
{
    struct trace_event *event = record(trace, kind);

    snprintf(event->name, sizeof(event->name), "%s", name);
    event->file = file;
    return event;
}

void trace_mark(struct trace *trace, uint64_t mark)
{
    record(trace, TRACE_MARK)->mark = mark;
}

const char *trace_text(const struct trace_event *event)
{
    static char text[512];
    static const char *const kinds[] = {"create directory", "sync parent",    "create", "rename",
                                        "unlink",           "sync directory", "write",  "store",
                                        "resize",           "grow",           "sync",   "mark"};

    snprintf(text, sizeof(text), "%s%s file %u %s%s%s at %llu, %llu bytes; mark %llu",
             kinds[event->kind], event->failed ? " (failed)" : "", event->file, event->from,
             *event->from ? " to " : "", event->name, (unsigned long long)event->offset,
             (unsigned long long)event->size, (unsigned long long)event->mark);
    return text;
}

/* ---- Names */

static struct trace_name *find_name(struct trace *trace, const char *name)
{
    for (size_t i = 0; i < trace->name_count; i++)
        if (strcmp(trace->names[i].name, name) == 0)
            return &trace->names[i];
    return NULL;
}

static void set_name(struct trace *trace, const char *name, unsigned file)
{
    struct trace_name *found = find_name(trace, name);

    if (!found) {
        trace->names = need(realloc(trace->names, (trace->name_count + 1) * sizeof(*trace->names)));
        found = &trace->names[trace->name_count++];
        snprintf(found->name, sizeof(found->name), "%s", name);
    }
    found->file = file;
}

static unsigned remove_name(struct trace *trace, const char *name)
{
    struct trace_name *found = find_name(trace, name);
    unsigned file = found->file;

    *found = trace->names[--trace->name_count];
    return file;
}

void trace_init(struct trace *trace, const char *path)
{
    *trace = (struct trace){.path = path};
}

void trace_release(struct trace *trace)
{
    for (size_t i = 0; i < trace->count; i++)
        free(trace->events[i].bytes);
    while (trace->mappings) {
        struct trace_mapping *mapping = trace->mappings;

        trace->mappings = mapping->next;
        free(mapping->seen);
        free(mapping);
    }
    free(trace->events);
    free(trace->names);
    *trace = (struct trace){0};
}

void trace_add_file(struct trace *trace, const char *name)
{
    set_name(trace, name, trace->file_count++);
}

/* ---- Directories */

static enum kv_status trace_dir_open(struct kv_io *io, const char *path, struct kv_dir **out)
{
    struct kv_dir *inner;
    struct trace_dir *dir;
    enum kv_status st = kv_io_dir_open(inner_io(io), path, &inner);

    *out = NULL;
    if (st != KV_OK)
        return st;
    dir = need(calloc(1, sizeof(*dir)));
    dir->base.io = io;
    dir->inner = inner;
    dir->is_store = strcmp(path, trace_of(io)->path) == 0;
    *out = &dir->base;
    return KV_OK;
}

static enum kv_status trace_dir_create(struct kv_io *io, const char *path, unsigned mode)
{
    enum kv_status st = kv_io_dir_create(inner_io(io), path, mode);

    if (st == KV_OK)
        record(trace_of(io), TRACE_CREATE_DIRECTORY);
    return st;
}

static enum kv_status trace_dir_remove(struct kv_io *io, const char *path)
{
    return kv_io_dir_remove(inner_io(io), path);
}

static void trace_dir_close(struct kv_dir *dir)
{
    kv_io_dir_close(inner_dir(dir));
    free(dir);
}

static enum kv_status trace_dir_identity(struct kv_dir *dir, struct kv_identity *out)
{
    return kv_io_dir_identity(inner_dir(dir), out);
}

static enum kv_status trace_dir_list(struct kv_dir *dir,
                                     enum kv_status (*each)(void *context, const char *name),
                                     void *context)
{
    return kv_io_dir_list(inner_dir(dir), each, context);
}

/* A process may die in a sync, which nobody hears of then; one that is dead makes none. */
static bool may_sync(const struct kv_io *io)
{
    return !kv_memfs_process_is_dead(((const struct trace_io *)io)->inner);
}

static enum kv_status trace_dir_sync(struct kv_dir *dir)
{
    bool is_store = ((struct trace_dir *)dir)->is_store;
    struct trace_event *event;
    enum kv_status st;

    if (!may_sync(dir->io))
        return kv_io_dir_sync(inner_dir(dir));
    event = record(trace_of(dir->io), is_store ? TRACE_SYNC_DIRECTORY : TRACE_SYNC_PARENT);
    st = kv_io_dir_sync(inner_dir(dir));
    event->failed = st != KV_OK;
    return st;
}

static enum kv_status trace_dir_writable(struct kv_dir *dir)
{
    return kv_io_dir_writable(inner_dir(dir));
}

static enum kv_status trace_dir_free_bytes(struct kv_dir *dir, uint64_t *out)
{
    return kv_io_dir_free_bytes(inner_dir(dir), out);
}

static enum kv_status trace_rename(struct kv_dir *dir, const char *from, const char *to)
{
    struct trace *trace = trace_of(dir->io);
    enum kv_status st = kv_io_rename(inner_dir(dir), from, to);
    struct trace_event *event;
    unsigned file;

    if (st != KV_OK)
        return st;
    file = remove_name(trace, from);
    set_name(trace, to, file);
    event = record_name(trace, TRACE_RENAME, to, file);
    snprintf(event->from, sizeof(event->from), "%s", from);
    return KV_OK;
}

static enum kv_status trace_unlink(struct kv_dir *dir, const char *name)
{
    struct trace *trace = trace_of(dir->io);
    enum kv_status st = kv_io_unlink(inner_dir(dir), name);

    if (st == KV_OK)
        record_name(trace, TRACE_UNLINK, name, remove_name(trace, name));
    return st;
}

static enum kv_status trace_name_identity(struct kv_dir *dir, const char *name,
                                          struct kv_identity *out)
{
    return kv_io_name_identity(inner_dir(dir), name, out);
}

/* ---- Files */

static struct kv_file *file_new(struct kv_io *io, struct kv_file *inner, unsigned id, bool named)
{
    struct trace_file *file = need(calloc(1, sizeof(*file)));

    file->base.io = io;
    file->inner = inner;
    file->file = id;
    file->is_named = named;
    return &file->base;
}

static enum kv_status trace_file_open(struct kv_dir *dir, const char *name, unsigned flags,
                                      unsigned mode, struct kv_file **out)
{
    struct trace *trace = trace_of(dir->io);
    struct kv_file *inner;
    enum kv_status st = kv_io_file_open(inner_dir(dir), name, flags, mode, &inner);

    *out = NULL;
    if (st != KV_OK)
        return st;
    if (!find_name(trace, name)) {
        trace_add_file(trace, name);
        record_name(trace, TRACE_CREATE, name, trace->file_count - 1);
    }
    *out = file_new(dir->io, inner, find_name(trace, name)->file, true);
    return KV_OK;
}

static enum kv_status trace_file_temporary(struct kv_io *io, struct kv_file **out)
{
    struct kv_file *inner;
    enum kv_status st = kv_io_file_temporary(inner_io(io), &inner);

    *out = st == KV_OK ? file_new(io, inner, 0, false) : NULL;
    return st;
}

static void trace_file_close(struct kv_file *file)
{
    kv_io_file_close(inner_file(file));
    free(file);
}

static enum kv_status trace_file_identity(struct kv_file *file, struct kv_identity *out)
{
    return kv_io_file_identity(inner_file(file), out);
}

static enum kv_status trace_file_size(struct kv_file *file, uint64_t *out)
{
    return kv_io_file_size(inner_file(file), out);
}

static enum kv_status trace_read(struct kv_file *file, uint64_t offset, void *data, size_t size,
                                 size_t *got)
{
    return kv_io_read(inner_file(file), offset, data, size, got);
}

static enum kv_status trace_write(struct kv_file *base, uint64_t offset, const void *data,
                                  size_t size)
{
    struct trace_file *file = (struct trace_file *)base;
    struct trace *trace = trace_of(base->io);
    enum kv_status st = kv_io_write(file->inner, offset, data, size);

    if (st == KV_OK && file->is_named && size > 0) {
        record(trace, TRACE_MARK);
        trace->count--; /* only to look for stores */
        push_bytes(trace, TRACE_WRITE, file->file, offset, data, size);
    }
    return st;
}

static void record_size(struct kv_file *base, enum trace_kind kind, uint64_t size)
{
    struct trace_file *file = (struct trace_file *)base;
    struct trace_event *event;

    if (!file->is_named)
        return;
    event = record(trace_of(base->io), kind);
    event->file = file->file;
    event->size = size;
}

static enum kv_status trace_truncate(struct kv_file *file, uint64_t size)
{
    enum kv_status st = kv_io_truncate(inner_file(file), size);

    if (st == KV_OK)
        record_size(file, TRACE_RESIZE, size);
    return st;
}

static enum kv_status trace_allocate(struct kv_file *file, uint64_t offset, uint64_t size)
{
    enum kv_status st = kv_io_allocate(inner_file(file), offset, size);

    if (st == KV_OK)
        record_size(file, TRACE_GROW, offset + size);
    return st;
}

static enum kv_status trace_write_back(struct kv_file *file, uint64_t offset, uint64_t size)
{
    return kv_io_write_back(inner_file(file), offset, size);
}

static void record_sync(struct kv_file *base, bool made, enum kv_status st)
{
    struct trace_file *file = (struct trace_file *)base;
    struct trace_event *event;

    if (!file->is_named || !made)
        return;
    event = record(trace_of(base->io), TRACE_SYNC);
    event->file = file->file;
    event->failed = st != KV_OK;
}

static enum kv_status trace_sync(struct kv_file *file)
{
    bool made = may_sync(file->io);
    enum kv_status st = kv_io_sync(inner_file(file));

    record_sync(file, made, st);
    return st;
}

static enum kv_status trace_datasync(struct kv_file *file)
{
    bool made = may_sync(file->io);
    enum kv_status st = kv_io_datasync(inner_file(file));

    record_sync(file, made, st);
    return st;
}

static enum kv_status trace_lock(struct kv_file *file, uint64_t byte, enum kv_lock_mode mode)
{
    return kv_io_lock(inner_file(file), byte, mode);
}

static enum kv_status trace_lock_test(struct kv_file *file, uint64_t byte, enum kv_lock_mode mode,
                                      enum kv_lock_mode *held)
{
    return kv_io_lock_test(inner_file(file), byte, mode, held);
}

/* ---- Mappings */

static enum kv_status trace_map(struct kv_file *base, uint64_t size, bool writable, uint8_t **out)
{
    struct trace_file *file = (struct trace_file *)base;
    struct trace *trace = trace_of(base->io);
    enum kv_status st = kv_io_map(file->inner, size, writable, out);
    struct trace_mapping *mapping;

    if (st != KV_OK || !writable || !file->is_named)
        return st;
    mapping = need(calloc(1, sizeof(*mapping)));
    mapping->at = *out;
    mapping->size = size;
    mapping->file = file->file;
    mapping->seen = need(malloc(size + 1));
    memcpy(mapping->seen, *out, size);
    mapping->next = trace->mappings;
    trace->mappings = mapping;
    return KV_OK;
}

static void trace_unmap(struct kv_io *io, const uint8_t *at, uint64_t size)
{
    struct trace *trace = trace_of(io);
    struct trace_mapping **link = &trace->mappings, *mapping;

    while (*link && (*link)->at != at)
        link = &(*link)->next;
    mapping = *link;
    if (mapping) {
        look_at(trace, mapping);
        *link = mapping->next;
        free(mapping->seen);
        free(mapping);
    }
    kv_io_unmap(inner_io(io), at, size);
}

static void trace_advise_random(struct kv_io *io, const uint8_t *at, uint64_t size)
{
    kv_io_advise_random(inner_io(io), at, size);
}

static void trace_advise_soon(struct kv_io *io, const uint8_t *at, uint64_t size)
{
    kv_io_advise_soon(inner_io(io), at, size);
}

/* ---- Clocks and randomness */

static uint64_t trace_now_ms(struct kv_io *io)
{
    return kv_io_now_ms(inner_io(io));
}

static uint64_t trace_monotonic_ms(struct kv_io *io)
{
    return kv_io_monotonic_ms(inner_io(io));
}

static void trace_sleep_ms(struct kv_io *io, unsigned ms)
{
    kv_io_sleep_ms(inner_io(io), ms);
}

static enum kv_status trace_random(struct kv_io *io, void *data, size_t size)
{
    return kv_io_random(inner_io(io), data, size);
}

static const struct kv_io_ops trace_ops = {
    .dir_open = trace_dir_open,
    .dir_create = trace_dir_create,
    .dir_remove = trace_dir_remove,
    .dir_close = trace_dir_close,
    .dir_identity = trace_dir_identity,
    .dir_list = trace_dir_list,
    .dir_sync = trace_dir_sync,
    .dir_writable = trace_dir_writable,
    .dir_free_bytes = trace_dir_free_bytes,
    .rename = trace_rename,
    .unlink = trace_unlink,
    .name_identity = trace_name_identity,
    .file_open = trace_file_open,
    .file_temporary = trace_file_temporary,
    .file_close = trace_file_close,
    .file_identity = trace_file_identity,
    .file_size = trace_file_size,
    .read = trace_read,
    .write = trace_write,
    .truncate = trace_truncate,
    .allocate = trace_allocate,
    .write_back = trace_write_back,
    .sync = trace_sync,
    .datasync = trace_datasync,
    .lock = trace_lock,
    .lock_test = trace_lock_test,
    .map = trace_map,
    .unmap = trace_unmap,
    .advise_random = trace_advise_random,
    .advise_soon = trace_advise_soon,
    .now_ms = trace_now_ms,
    .monotonic_ms = trace_monotonic_ms,
    .sleep_ms = trace_sleep_ms,
    .random = trace_random,
    .huge_bytes = KV_MEMFS_HUGE_BYTES,
};

struct kv_io *trace_io_new(struct trace *trace, struct kv_io *inner)
{
    struct trace_io *io = need(calloc(1, sizeof(*io)));

    io->base.ops = &trace_ops;
    io->inner = inner;
    io->trace = trace;
    return &io->base;
}

void trace_io_free(struct kv_io *io)
{
    free(io);
}
