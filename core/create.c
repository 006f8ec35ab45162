/*
 * Creation: the log first, then the manifest that names it, so that a crash
 * leaves either a store or files that nobody names.
 */
#include "create.h"

#include <stdio.h>
#include <stdlib.h>

#include "mutant.h"
#include "names.h"
#include "record.h"

static const uint64_t FIRST_LSN = 1 << 20; /* 0 means "none" in many places; keep away from it */

/* Make the name of a new directory durable in its parent: the first `size` bytes of `path`. */
static enum kv_status sync_parent(struct kv_io *io, const char *path, size_t size)
{
    struct kv_dir *parent;
    char *name = malloc(size + 2);
    enum kv_status st;

    if (!name)
        return kv_fail_nomem();
    while (size > 0 && path[size - 1] == '/')
        size--;
    while (size > 0 && path[size - 1] != '/')
        size--;
    memcpy(name, path, size);
    memcpy(name + size, size == 0 ? "." : "", size == 0 ? 2 : 1);
    st = kv_io_dir_open(io, name, &parent);
    if (st == KV_OK) {
        st = KV_UNLESS_MUTANT(directory_without_sync, kv_io_dir_sync(parent));
        kv_io_dir_close(parent);
    }
    free(name);
    return st;
}

/* Create the directory that the first `size` bytes of `path` name, durably; KV_OK if it is there. */
static enum kv_status create_one(struct kv_io *io, const char *path, size_t size, unsigned mode)
{
    char *part = strndup(path, size);
    enum kv_status st = part ? kv_io_dir_create(io, part, mode) : kv_fail_nomem();

    free(part);
    if (st == KV_OK)
        return sync_parent(io, path, size);
    if (st != KV_EXISTS)
        return st;
    /* Whoever made it may have died before syncing. But its parent may be a stranger's, and closed to us. */
    st = sync_parent(io, path, size);
    return KV_OK;
}

enum kv_status kv_create_directory(struct kv_io *io, const char *path, unsigned mode)
{
    size_t size = strlen(path);
    enum kv_status st = KV_OK;

    for (size_t i = 1; st == KV_OK && i < size; i++) {
        if (path[i] == '/')
            st = create_one(io, path, i, mode);
    }
    return st == KV_OK ? create_one(io, path, size, mode) : st;
}

void kv_create_adopt(struct kv_engine *engine)
{
    memcpy(engine->place.uuid, engine->manifest.uuid, KV_UUID_BYTES);
    engine->place.hash_seed = engine->manifest.hash_seed;
}

/* ---- What is in the directory? */

struct survey {
    struct kv_engine *engine;
    bool manifest_lost;          /* there is none, so that nothing says how far a log went */
    uint64_t greatest;           /* number in any name */
    bool foreign;                /* files that are no store's */
    char content[KV_NAME_BYTES]; /* a segment that holds something; "": none */
};

/* Behind header and END, which a creation that was cut short may have torn, there is nothing in its log. */
static bool is_written_beyond_creation(struct kv_slice bytes)
{
    for (size_t at = KV_HEADER_BYTES + KV_END_BYTES; at < bytes.size; at++) {
        if (bytes.data[at] != 0)
            return true;
    }
    return false;
}

/*
 * A log's header is written before, a merge's after, everything else. Where it is damaged, or MANIFEST is
 * lost, nobody can tell what the rest was: then whatever is there counts.
 */
static bool holds_something(const struct survey *survey, struct kv_slice bytes)
{
    struct kv_header header;
    enum kv_status st = kv_header_decode(bytes, &header);

    if (st == KV_NEWER || (st == KV_OK && header.role != KV_ROLE_LOG))
        return true;
    if (st != KV_OK || survey->manifest_lost)
        return is_written_beyond_creation(bytes);
    return kv_commit_find(bytes, header.salt, KV_HEADER_BYTES) != SIZE_MAX;
}

/* Does a segment file hold committed data, for all that can be told? */
static enum kv_status has_content(const struct survey *survey, const char *name, bool *out)
{
    struct kv_engine *engine = survey->engine;
    struct kv_file *file;
    uint64_t size = 0;
    uint8_t *data;
    enum kv_status st = kv_io_file_open(engine->place.dir, name, 0, 0, &file);

    *out = false;
    if (st != KV_OK)
        return st;
    st = kv_io_file_size(file, &size);
    if (st == KV_OK && size > 0) {
        st = kv_io_map(file, size, false, &data);
        if (st == KV_OK) {
            *out = holds_something(survey, kv_slice_of(data, size));
            kv_io_unmap(engine->place.io, data, size);
        }
    }
    kv_io_file_close(file);
    return st;
}

static enum kv_status survey_one(void *context, const char *name)
{
    struct survey *survey = context;
    uint64_t number;
    enum kv_name_kind kind = kv_name_parse(name, &number);
    bool content = false;
    enum kv_status st = KV_OK;

    survey->foreign |= kind == KV_NAME_IS_OTHER;
    if (number > survey->greatest)
        survey->greatest = number;
    if (kind == KV_NAME_IS_SEGMENT && survey->content[0] == '\0')
        st = has_content(survey, name, &content);
    if (content)
        snprintf(survey->content, sizeof(survey->content), "%s", name);
    return st;
}

static enum kv_status check_empty(struct kv_engine *engine)
{
    struct survey survey = {.engine = engine, .manifest_lost = true};
    enum kv_status st = kv_io_dir_list(engine->place.dir, survey_one, &survey);

    if (st != KV_OK)
        return st;
    if (survey.content[0] != '\0')
        return kv_fail(KV_CORRUPT, "%s: holds segments (%s) but no MANIFEST", engine->path,
                       survey.content);
    if (survey.foreign)
        return kv_fail(KV_INVALID,
                       "%s: is not empty and holds no store; choose an empty or new directory",
                       engine->path);
    atomic_store(&engine->next_number, survey.greatest + 1);
    return KV_OK;
}

/* ---- Making one */

static enum kv_status random_u64(struct kv_io *io, uint64_t *out)
{
    return kv_io_random(io, out, sizeof(*out));
}

/* A manifest of nothing but an active log. */
static enum kv_status make_manifest(struct kv_engine *engine, struct kv_slice schema,
                                    struct kv_manifest *out)
{
    struct kv_io *io = engine->place.io;
    enum kv_status st;

    *out = (struct kv_manifest){.active = {.base_lsn = FIRST_LSN, .start_lsn = FIRST_LSN}};
    st = kv_io_random(io, out->uuid, sizeof(out->uuid));
    if (st == KV_OK)
        st = random_u64(io, &out->hash_seed);
    if (st == KV_OK)
        st = random_u64(io, &out->lineage);
    if (st == KV_OK)
        st = random_u64(io, &out->active.salt);
    if (st == KV_OK)
        st = kv_buffer_set(&out->schema, schema);
    return st;
}

enum kv_status kv_create_log(const struct kv_place *place, struct kv_header header)
{
    uint64_t now_ms = kv_io_now_ms(place->io);
    struct kv_end end = {.seq = header.base_seq,
                         .end_lsn = header.log.base_lsn,
                         .time_ms = now_ms,
                         .digest = header.log.previous_digest};
    uint8_t bytes[KV_END_BYTES];
    struct kv_log *log;
    enum kv_status st;

    memcpy(header.uuid, place->uuid, KV_UUID_BYTES);
    header.time_ms = now_ms;
    st = kv_log_create(place, &header, false, &log);
    if (st != KV_OK)
        return st;
    kv_end_encode(bytes, header.salt, KV_HEADER_BYTES, &end);
    st = kv_log_write(log, KV_HEADER_BYTES, bytes, sizeof(bytes));
    if (st == KV_OK)
        st = KV_UNLESS_MUTANT(first_log_without_sync, kv_io_sync(log->file));
    kv_log_trim_behind(log, KV_HEADER_BYTES + KV_END_BYTES);
    kv_log_unref(log);
    return st;
}

/* The first log of the store that `manifest` is about. */
static enum kv_status make_log(const struct kv_engine *engine, const struct kv_manifest *manifest)
{
    struct kv_place place = engine->place; /* but of the new store */
    struct kv_header header = {.number = manifest->active.number,
                               .salt = manifest->active.salt,
                               .log = {.base_lsn = manifest->active.base_lsn,
                                       .previous_end_lsn = manifest->active.base_lsn}};

    memcpy(place.uuid, manifest->uuid, KV_UUID_BYTES);
    return kv_create_log(&place, header);
}

/* Make log and manifest; the latter replaces what is in the engine. */
static enum kv_status make_store(struct kv_engine *engine, struct kv_slice schema)
{
    struct kv_manifest manifest;
    bool renamed;
    enum kv_status st = make_manifest(engine, schema, &manifest);

    kv_page_store(&engine->page->generation, 0); /* LOCK may be left over from another store */
    if (st == KV_OK) {
        manifest.generation = engine->manifest.generation + 1;
        manifest.active.number = atomic_fetch_add(&engine->next_number, 1); /* alone */
        manifest.next_number = atomic_load(&engine->next_number);
        st = make_log(engine, &manifest);
    }
    if (st == KV_OK)
        st = kv_manifest_replace(engine->place.io, engine->place.dir, engine->place.file_mode,
                                 &manifest, &renamed);
    if (st != KV_OK) {
        kv_manifest_release(&manifest);
        return st;
    }
    kv_manifest_release(&engine->manifest);
    engine->manifest = manifest;
    kv_page_store(&engine->page->generation, manifest.generation);
    return KV_OK;
}

enum kv_status kv_create_store(struct kv_engine *engine, struct kv_slice schema)
{
    enum kv_status st = check_empty(engine);

    /* The directory may be left over from a creation that ended before its name was durable. */
    if (st == KV_OK)
        st = sync_parent(engine->place.io, engine->path, strlen(engine->path));
    return st == KV_OK ? make_store(engine, schema) : st;
}

enum kv_status kv_create_over(struct kv_engine *engine, struct kv_slice schema)
{
    struct survey survey = {.engine = engine};
    enum kv_status st = kv_io_dir_list(engine->place.dir, survey_one, &survey);

    if (st != KV_OK)
        return st;
    if (engine->manifest.last_seq > 0 || engine->manifest.run_count > 0 ||
        engine->manifest.group_count > 0 || survey.content[0] != '\0' ||
        engine->manifest.active.start_lsn != engine->manifest.active.base_lsn)
        return kv_fail(KV_EXISTS, "%s already holds a store", engine->path);
    atomic_store(&engine->next_number, engine->manifest.next_number > survey.greatest
                                           ? engine->manifest.next_number
                                           : survey.greatest + 1);
    return make_store(engine, schema); /* the old log is now a leftover */
}

/* ---- Deleting one */

struct own_files {
    char (*names)[KV_NAME_BYTES];
    size_t count;
};

static enum kv_status collect_own(void *context, const char *name)
{
    struct own_files *files = context;
    uint64_t number;
    void *names;

    if (kv_name_parse(name, &number) == KV_NAME_IS_OTHER)
        return KV_OK;
    names = realloc(files->names, (files->count + 1) * sizeof(*files->names));
    if (!names)
        return kv_fail_nomem();
    files->names = names;
    snprintf(files->names[files->count++], KV_NAME_BYTES, "%s", name);
    return KV_OK;
}

/* MANIFEST goes first, so that what is left of an interrupted removal is no store; LOCK last. */
static int rank(enum kv_name_kind kind)
{
    return kind == KV_NAME_IS_MANIFEST ? 0 : kind == KV_NAME_IS_LOCK ? 2 : 1;
}

static bool is_store(const struct own_files *files)
{
    uint64_t number;

    for (size_t i = 0; i < files->count; i++) {
        if (rank(kv_name_parse(files->names[i], &number)) < 2)
            return true;
    }
    return false;
}

static enum kv_status list_own(struct kv_dir *dir, const char *path, struct own_files *files)
{
    enum kv_status st;

    *files = (struct own_files){0};
    st = kv_io_dir_list(dir, collect_own, files);
    if (st == KV_OK && !is_store(files))
        st = kv_fail(KV_NOTFOUND, "%s: there is no store", path);
    return st;
}

enum kv_status kv_create_check_store(struct kv_dir *dir, const char *path)
{
    struct own_files files;
    enum kv_status st = list_own(dir, path, &files);

    free(files.names);
    return st;
}

enum kv_status kv_create_undo(struct kv_dir *dir, const char *path)
{
    struct own_files files;
    uint64_t number;
    enum kv_status st = list_own(dir, path, &files);

    for (int turn = 0; turn < 3 && st == KV_OK; turn++) {
        for (size_t i = 0; i < files.count && st == KV_OK; i++) {
            if (rank(kv_name_parse(files.names[i], &number)) == turn)
                st = kv_io_unlink(dir, files.names[i]);
        }
        if (st == KV_OK)
            st = KV_UNLESS_MUTANT(undone_without_sync, kv_io_dir_sync(dir));
    }
    free(files.names);
    return st;
}
