/*
 * An io.h that wraps a process of memfs and writes down what the disk is asked to do:
 * every write with its bytes, every change of a name or a size, every sync and
 * whether it failed, in order, with marks of the test's between them. From that
 * a test can tell what the disk may hold after each of them (power/disk.h).
 *
 * Stores through writable mappings are noticed page by page, at the next call.
 * Several processes of one world may share a trace. For one thread.
 */
#ifndef KV_TESTS_TRACE_H
#define KV_TESTS_TRACE_H

#include "io.h"
#include "names.h"

enum trace_kind {
    TRACE_CREATE_DIRECTORY, /* the store's, in its parent */
    TRACE_SYNC_PARENT,
    TRACE_CREATE, /* `name`, a new file */
    TRACE_RENAME, /* `from` to `name` */
    TRACE_UNLINK,
    TRACE_SYNC_DIRECTORY,
    TRACE_WRITE,
    TRACE_STORE,  /* through a mapping: one page, as it is now */
    TRACE_RESIZE, /* to `size` */
    TRACE_GROW,   /* to at least `size` */
    TRACE_SYNC,
    TRACE_MARK, /* the test's */
};

struct trace_event {
    enum trace_kind kind;
    bool failed;   /* a sync: what it was asked to make durable may never become so */
    unsigned file; /* ids of files count from 0 */
    char name[KV_NAME_BYTES], from[KV_NAME_BYTES];
    uint64_t offset, size;
    uint8_t *bytes; /* `size` of them */
    uint64_t mark;
};

struct trace {
    struct trace_event *events;
    size_t count, capacity;
    struct trace_name {
        char name[KV_NAME_BYTES];
        unsigned file;
    } * names; /* that lead to files now */
    size_t name_count;
    unsigned file_count;
    const char *path; /* of the store's directory: others count as its parent */
    struct trace_mapping *mappings;
};

/* `path` must outlive the trace. */
void trace_init(struct trace *trace, const char *path);
void trace_release(struct trace *trace);

/* A file that is there from the start; ids in the order of these calls. */
void trace_add_file(struct trace *trace, const char *name);

/* The wrapped `inner`. Freed by trace_io_free, when all handles are closed. */
struct kv_io *trace_io_new(struct trace *trace, struct kv_io *inner);
void trace_io_free(struct kv_io *io);

void trace_mark(struct trace *trace, uint64_t mark);

/* One event in words, for people; valid until the next call. */
const char *trace_text(const struct trace_event *event);

#endif
