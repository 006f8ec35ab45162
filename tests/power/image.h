/* What a disk holds: the files of one directory, which may not be there itself. */
#ifndef KV_POWER_IMAGE_H
#define KV_POWER_IMAGE_H

#include "memfs.h"
#include "names.h"

enum { IMAGE_FILES = 64 };

/* Bytes of a file; what lies between `used` and `size` is zeros. */
struct image_bytes {
    uint8_t *data;
    uint64_t used, capacity, size;
};

struct image {
    bool has_directory;
    size_t file_count;
    struct image_file {
        char name[KV_NAME_BYTES];
        struct image_bytes bytes;
    } files[IMAGE_FILES]; /* buffers behind the last one are kept for reuse */
};

void image_write(struct image_bytes *bytes, uint64_t offset, const void *data, uint64_t size);
void image_resize(struct image_bytes *bytes, uint64_t size);
void image_copy_bytes(struct image_bytes *to, const struct image_bytes *from);

void image_clear(struct image *image);

/* One more file, empty. */
struct image_file *image_add(struct image *image, const char *name);
void image_copy(struct image *to, const struct image *from);
void image_release(struct image *image);

/*
 * Equal disks, equal numbers. Of LOCK only what anybody reads after a crash
 * counts, the generation: its other words are left over from the dead.
 */
uint64_t image_hash(const struct image *image);

/* A world with these files, in directory `path`; `seed` is for its randomness. */
struct kv_memfs *image_to_memfs(const struct image *image, const char *path, uint64_t seed);

#endif
