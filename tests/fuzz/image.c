/* Store directories as inputs: see image.h. */
#include "image.h"

#include "bytes.h"
#include "fuzz.h"

enum { CHUNK_HEAD_BYTES = 4, CHUNK_MAX = UINT16_MAX, WORTHWHILE_ZEROS = 8 };

/* ---- Packing */

static void append(struct kv_buffer *buffer, const void *data, size_t size)
{
    fuzz_check(kv_buffer_append(buffer, kv_slice_of(data, size)) == KV_OK, "out of memory");
}

static void append_zeros(struct kv_buffer *buffer, size_t count)
{
    uint8_t *at = kv_buffer_reserve(buffer, count);

    fuzz_check(at, "out of memory");
    memset(at, 0, count);
    buffer->size += count;
}

static size_t room_in(const struct image_file *file)
{
    return IMAGE_FILE_BYTES - file->bytes.size;
}

static size_t at_most(size_t size, size_t limit)
{
    return size < limit ? size : limit;
}

/* Take one file off the front. */
static void unpack_file(struct kv_slice *rest, struct image_file *file)
{
    while (rest->size >= CHUNK_HEAD_BYTES) {
        size_t zeros = kv_load_u16(rest->data), literals = kv_load_u16(rest->data + 2);

        *rest = kv_slice_of(rest->data + CHUNK_HEAD_BYTES, rest->size - CHUNK_HEAD_BYTES);
        if (zeros == 0 && literals == 0)
            return;
        literals = at_most(literals, rest->size);
        append_zeros(&file->bytes, at_most(zeros, room_in(file)));
        append(&file->bytes, rest->data, at_most(literals, room_in(file)));
        *rest = kv_slice_of(rest->data + literals, rest->size - literals);
    }
}

void image_unpack(struct kv_slice packed, struct image *out)
{
    *out = (struct image){.count = 0};
    while (packed.size >= 2 && out->count < IMAGE_FILES) {
        struct image_file *file = &out->files[out->count];
        uint8_t kind = packed.data[0];

        if (kind != IMAGE_MANIFEST && kind != IMAGE_SEGMENT && kind != IMAGE_INDEX)
            return;
        file->kind = (enum image_kind)kind;
        file->number = packed.data[1];
        out->count++;
        packed = kv_slice_of(packed.data + 2, packed.size - 2);
        unpack_file(&packed, file);
    }
}

static size_t count_zeros(struct kv_slice bytes)
{
    size_t count = 0;

    while (count < bytes.size && count < CHUNK_MAX && bytes.data[count] == 0)
        count++;
    return count;
}

/* How much to the next run of zeros that is worth a chunk. */
static size_t count_literals(struct kv_slice bytes)
{
    size_t count = 0;

    while (count < bytes.size && count < CHUNK_MAX) {
        struct kv_slice rest = kv_slice_of(bytes.data + count, bytes.size - count);
        size_t zeros = count_zeros(rest);

        if (zeros >= WORTHWHILE_ZEROS || zeros == rest.size)
            break;
        count = at_most(count + zeros + 1, CHUNK_MAX);
    }
    return at_most(count, bytes.size);
}

static void append_chunk(struct kv_buffer *out, size_t zeros, struct kv_slice literals)
{
    uint8_t head[CHUNK_HEAD_BYTES];

    kv_store_u16(head, (uint16_t)zeros);
    kv_store_u16(head + 2, (uint16_t)literals.size);
    append(out, head, sizeof(head));
    append(out, literals.data, literals.size);
}

static void pack_file(const struct image_file *file, struct kv_buffer *out)
{
    struct kv_slice rest = kv_buffer_slice(&file->bytes);
    uint8_t head[2] = {(uint8_t)file->kind, file->number};

    append(out, head, sizeof(head));
    while (rest.size > 0) {
        size_t zeros = count_zeros(rest), literals;

        rest = kv_slice_of(rest.data + zeros, rest.size - zeros);
        literals = count_literals(rest);
        append_chunk(out, zeros, kv_slice_of(rest.data, literals));
        rest = kv_slice_of(rest.data + literals, rest.size - literals);
    }
    append_chunk(out, 0, kv_slice_of(NULL, 0));
}

void image_pack(const struct image *image, struct kv_buffer *out)
{
    for (size_t i = 0; i < image->count; i++)
        pack_file(&image->files[i], out);
}

void image_release(struct image *image)
{
    for (size_t i = 0; i < image->count; i++)
        kv_buffer_release(&image->files[i].bytes);
    image->count = 0;
}

struct image_file *image_find(struct image *image, enum image_kind kind, uint64_t number)
{
    for (size_t i = 0; i < image->count; i++) {
        if (image->files[i].kind == kind && image->files[i].number == number)
            return &image->files[i];
    }
    return NULL;
}

/* ---- Directories */

static void name_of(const struct image_file *file, char out[KV_NAME_BYTES])
{
    if (file->kind == IMAGE_SEGMENT)
        kv_name_segment(out, file->number);
    else if (file->kind == IMAGE_INDEX)
        kv_name_index(out, file->number);
    else
        strcpy(out, KV_NAME_MANIFEST);
}

static void path_of(const char *directory, const char *name, char out[2 * KV_NAME_BYTES])
{
    snprintf(out, 2 * KV_NAME_BYTES, "%s/%s", directory, name);
}

void image_install(const struct image *image, struct kv_memfs *fs, const char *directory)
{
    char name[KV_NAME_BYTES], path[2 * KV_NAME_BYTES];

    fuzz_check(kv_io_dir_create(kv_memfs_io(fs), directory, 0700) == KV_OK, "no directory");
    for (size_t i = 0; i < image->count; i++) {
        name_of(&image->files[i], name);
        path_of(directory, name, path);
        fuzz_check(kv_memfs_write_file(fs, path, kv_buffer_slice(&image->files[i].bytes)),
                   "no file");
    }
}

/* Which kind of file a name says; false: none that images have. */
static bool parse_name(const char *name, struct image_file *file)
{
    uint64_t number = 0;

    switch (kv_name_parse(name, &number)) {
    case KV_NAME_IS_MANIFEST: file->kind = IMAGE_MANIFEST; break;
    case KV_NAME_IS_SEGMENT: file->kind = IMAGE_SEGMENT; break;
    case KV_NAME_IS_INDEX: file->kind = IMAGE_INDEX; break;
    default: return false;
    }
    file->number = (uint8_t)number;
    return number <= UINT8_MAX;
}

void image_take(struct kv_memfs *fs, const char *directory, struct image *out)
{
    char *names = kv_memfs_list(fs, directory), *rest = names, *name, path[2 * KV_NAME_BYTES];

    *out = (struct image){.count = 0};
    while (rest && (name = strsep(&rest, "\n")) != NULL && out->count < IMAGE_FILES) {
        struct image_file *file = &out->files[out->count];
        uint8_t *bytes;
        size_t size;

        if (!parse_name(name, file))
            continue;
        path_of(directory, name, path);
        bytes = kv_memfs_read_file(fs, path, &size);
        append(&file->bytes, bytes, at_most(size, IMAGE_FILE_BYTES));
        free(bytes);
        out->count++;
    }
    free(names);
}
