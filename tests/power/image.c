/* What a disk holds: see image.h. */
#include "image.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "hash.h"
#include "lock.h"

static void *need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "image: out of memory\n");
        abort();
    }
    return memory;
}

/* ---- Bytes */

static void reserve(struct image_bytes *bytes, uint64_t size)
{
    if (size <= bytes->capacity)
        return;
    bytes->capacity = size < 2 * bytes->capacity ? 2 * bytes->capacity : size + 4096;
    bytes->data = need(realloc(bytes->data, bytes->capacity));
}

void image_write(struct image_bytes *bytes, uint64_t offset, const void *data, uint64_t size)
{
    uint64_t end = offset + size;

    reserve(bytes, end);
    if (offset > bytes->used)
        memset(bytes->data + bytes->used, 0, offset - bytes->used);
    memcpy(bytes->data + offset, data, size);
    bytes->used = end > bytes->used ? end : bytes->used;
    bytes->size = end > bytes->size ? end : bytes->size;
}

void image_resize(struct image_bytes *bytes, uint64_t size)
{
    bytes->used = size < bytes->used ? size : bytes->used;
    bytes->size = size;
}

void image_copy_bytes(struct image_bytes *to, const struct image_bytes *from)
{
    reserve(to, from->used);
    if (from->used)
        memcpy(to->data, from->data, from->used);
    to->used = from->used;
    to->size = from->size;
}

/* ---- Images */

void image_clear(struct image *image)
{
    image->has_directory = false;
    image->file_count = 0;
}

struct image_file *image_add(struct image *image, const char *name)
{
    struct image_file *file = &image->files[image->file_count++];

    need(image->file_count <= IMAGE_FILES ? file : NULL);
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->bytes.used = file->bytes.size = 0;
    return file;
}

void image_copy(struct image *to, const struct image *from)
{
    image_clear(to);
    to->has_directory = from->has_directory;
    for (size_t i = 0; i < from->file_count; i++)
        image_copy_bytes(&image_add(to, from->files[i].name)->bytes, &from->files[i].bytes);
}

void image_release(struct image *image)
{
    for (size_t i = 0; i < IMAGE_FILES; i++)
        free(image->files[i].bytes.data);
    *image = (struct image){0};
}

static uint64_t hash_lock(const struct image_bytes *bytes)
{
    uint64_t generation = 0;
    size_t at = offsetof(struct kv_page, generation);

    if (bytes->used >= at + sizeof(generation))
        memcpy(&generation, bytes->data + at, sizeof(generation));
    return generation;
}

static uint64_t hash_bytes(const struct image_bytes *bytes)
{
    uint64_t used = bytes->used;

    while (used > 0 && bytes->data[used - 1] == 0)
        used--;
    return kv_digest_add(kv_hash(kv_slice_of(bytes->data, used), 1), bytes->size);
}

/* Files are in no order, so their hashes are summed up. */
uint64_t image_hash(const struct image *image)
{
    uint64_t sum = image->has_directory;

    for (size_t i = 0; i < image->file_count; i++) {
        const struct image_file *file = &image->files[i];
        bool is_lock = strcmp(file->name, KV_NAME_LOCK) == 0;

        sum += kv_hash(kv_slice_text(file->name),
                       is_lock ? hash_lock(&file->bytes) : hash_bytes(&file->bytes));
    }
    return kv_digest_add(sum, image->file_count);
}

struct kv_memfs *image_to_memfs(const struct image *image, const char *path, uint64_t seed)
{
    struct kv_memfs *fs = kv_memfs_new(seed);
    char name[256];

    if (!image->has_directory)
        return fs;
    need(kv_io_dir_create(kv_memfs_io(fs), path, 0700) == KV_OK ? fs : NULL);
    for (size_t i = 0; i < image->file_count; i++) {
        const struct image_file *file = &image->files[i];

        snprintf(name, sizeof(name), "%s/%s", path, file->name);
        need(kv_memfs_write_file(fs, name, kv_slice_of(file->bytes.data, file->bytes.used)) ? fs
                                                                                            : NULL);
        if (file->bytes.size > file->bytes.used)
            kv_memfs_truncate(fs, name, file->bytes.size);
    }
    kv_memfs_settle(fs);
    return fs;
}
