/*
 * A store directory as one input: its files, with runs of zeros packed.
 *
 * Segments and indexes are mostly zeros; packed, a store of a few segments is a few
 * kilobytes, so that a corpus is small and a mutation meets what matters.
 *
 * Packed, each file is: kind u8, number u8, then chunks of zero count u16, literal
 * count u16, literals; a chunk of nothing ends it. Unpacking takes any bytes: what
 * does not fit the form ends there, and what is too large is cut.
 */
#ifndef KV_FUZZ_IMAGE_H
#define KV_FUZZ_IMAGE_H

#include "buffer.h"
#include "memfs.h"
#include "names.h"

enum {
    IMAGE_FILES = 12,
    IMAGE_FILE_BYTES = 256 * 1024,
};

enum image_kind { IMAGE_MANIFEST = 1, IMAGE_SEGMENT = 2, IMAGE_INDEX = 4, IMAGE_ALL = 7 };

struct image_file {
    enum image_kind kind;
    uint8_t number;
    struct kv_buffer bytes;
};

/* Release with image_release. */
struct image {
    struct image_file files[IMAGE_FILES];
    size_t count;
};

void image_unpack(struct kv_slice packed, struct image *out);
void image_pack(const struct image *image, struct kv_buffer *out); /* appended */
void image_release(struct image *image);

/* NULL: there is none. */
struct image_file *image_find(struct image *image, enum image_kind kind, uint64_t number);

/* Make a directory of it; and an image of a directory, as far as it fits. */
void image_install(const struct image *image, struct kv_memfs *fs, const char *directory);
void image_take(struct kv_memfs *fs, const char *directory, struct image *out);

/* Change something in one file of these kinds, and repair checksums half of the time: see mend.h. */
size_t image_mutate(unsigned kinds, uint8_t *data, size_t size, size_t max_size, unsigned seed);

#endif
